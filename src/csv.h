/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * csv: files of addresses, `address[,up,down]` a line. Comments start with #, blank lines and CRLF are fine. Every bad
 * row is told to the diag at its line and column; rows live in the arena. It never opens anything but a regular file.
 */
#ifndef QOSD_CSV_H
#define QOSD_CSV_H

#include "diag.h"
#include "mem.h"
#include "text.h"

#define CSV_SIZE_MAX (16u * 1024u * 1024u) /* bytes a file */
#define CSV_LINE_MAX 1024u                 /* bytes a line */

struct csv_row {
	struct prefix prefix;
	struct pos pos;
	uint64_t up_Bps, down_Bps; /* bytes a second; 0: none of its own */
};

struct csv {
	VEC(struct csv_row);
};

/* Reads the file at path and registers its text with d, so that messages show the line. What keeps it from being read
 * is told at `from`, where the policy names the file. 0, or -errno if nothing could be read; bad rows are missing from
 * out. */
int csv_load(struct arena *a, struct diag *d, struct pos from, const char *path, struct csv *out);
/* The same for a text that d knows as source number file. */
void csv_parse(struct arena *a, struct diag *d, uint32_t file, const char *text, size_t len, struct csv *out);

#endif
