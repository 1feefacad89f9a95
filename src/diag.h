/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * diag: located messages about a policy. A diag owns the text of every source file and every message;
 * stages add to it and go on, the top layer prints it once. It never prints by itself.
 */
#ifndef QOSD_DIAG_H
#define QOSD_DIAG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct arena;

/* Where something was written. line 0: nowhere in particular (then only the file is named, if file is not 0). */
struct pos {
	uint32_t file; /* number given by diag_add_source, from 1; 0: no file */
	uint32_t line; /* from 1 */
	uint32_t col;  /* from 1, in bytes */
};

enum diag_level {
	DIAG_ERROR,
	DIAG_WARNING,
	DIAG_NOTE, /* belongs to the message before it */
};

struct diag_message {
	enum diag_level level;
	struct pos pos;
	const char *id;   /* "unknown-key"; a string literal; "" for a note */
	const char *text; /* one sentence without a full stop */
};

struct diag;

struct diag *diag_new(void);
void diag_free(struct diag *d);

/* Copies name and text; returns the file number for struct pos. */
uint32_t diag_add_source(struct diag *d, const char *name, const char *text, size_t len);
/* Name of a source as it was given; "" for file 0. */
const char *diag_source_name(const struct diag *d, uint32_t file);
/* Its text and length; NULL where there is no such source. */
const char *diag_source_text(const struct diag *d, uint32_t file, size_t *len);

void diag_error(struct diag *d, struct pos pos, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void diag_warning(struct diag *d, struct pos pos, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void diag_note(struct diag *d, struct pos pos, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* How many were told, of which DIAG_KEPT_MAX are kept; the same message at the same place counts once. */
#define DIAG_KEPT_MAX 100
size_t diag_errors(const struct diag *d);
size_t diag_warnings(const struct diag *d);
/* Errors, one that was told before counted again: did this run find any? */
size_t diag_told(const struct diag *d);
/* The error that was told last, be it once more; good until the next message. NULL: there is none, or it was not kept.
 */
const struct diag_message *diag_last_error(const struct diag *d);
/* Nothing more will be kept: a costly "did you mean" may be spared. */
bool diag_full(const struct diag *d);

/* Messages in the order of files, lines and columns (notes stay behind theirs). Sorts on first use. */
size_t diag_count(struct diag *d);
const struct diag_message *diag_get(struct diag *d, size_t i);

/* FILE:LINE:COL: error: SENTENCE [id], the source line, a caret. */
void diag_print(struct diag *d, FILE *out);
void diag_print_one(const struct diag *d, const struct diag_message *m, FILE *out);

/* The source line at pos, or ""; cut after 160 bytes, without control characters; the diag's own. */
const char *diag_source_line(struct diag *d, struct pos pos);

/* "FILE:LINE:COL", in the arena or the diag's own. */
const char *diag_where(const struct diag *d, struct pos pos, struct arena *a);

#endif
