/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * fuzz_csv: a file of addresses with any bytes in it. What comes out is whole: each prefix reads back from its text.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_row(const struct csv_row *row, uint32_t file)
{
	char text[TEXT_MAX];
	struct prefix again;
	const char *why;

	if (row->pos.file != file || !row->pos.line || !row->pos.col)
		abort();
	if (text_prefix(text_format_prefix(text, &row->prefix), &again, &why) || prefix_cmp(&again, &row->prefix))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new();
	struct diag *d = diag_new();
	struct csv rows = {0};
	size_t lines = 1;
	uint32_t file = diag_add_source(d, "fuzz.csv", (const char *)data, size);

	csv_parse(a, d, file, (const char *)data, size, &rows);
	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	if (rows.n > lines)
		abort();
	for (size_t i = 0; i < rows.n; i++)
		check_row(&rows.v[i], file);
	for (size_t i = 0; i < diag_count(d); i++)
		if (!diag_get(d, i)->pos.line || diag_get(d, i)->pos.line > lines)
			abort();
	diag_free(d);
	arena_free(a);
	return 0;
}
