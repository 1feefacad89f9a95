/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * fuzz_policy: a policy file with any bytes in it. Whatever comes of it, every message is about a place that exists and
 * can be printed; and a policy without a mistake, printed in its canonical form, means the same again.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_messages(struct diag *d, const char *text, size_t size)
{
	size_t lines = 1, length;
	char *printed = NULL;
	FILE *out = open_memstream(&printed, &length);

	if (!out)
		abort();
	diag_print(d, out);
	if (fclose(out))
		abort();
	free(printed);
	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	for (size_t i = 0; i < diag_count(d); i++) {
		const struct diag_message *m = diag_get(d, i);

		if (!*m->text || m->pos.line > lines || m->pos.col > size + 1 || !m->pos.line != !m->pos.col)
			abort();
	}
}

static bool reads_files(const struct policy *p)
{
	for (size_t i = 0; i < p->sets.n; i++)
		if (p->sets.v[i].file.s)
			return true;
	return false;
}

static struct model *build(struct arena *a, struct diag *d, const struct policy *p)
{
	struct model *m = model_build(a, d, p, ".");

	model_check(d, p, m);
	return diag_errors(d) ? NULL : m;
}

static void check_print(struct arena *a, const struct model *m)
{
	struct diag *d = diag_new();
	char *text = model_print(a, m);
	const struct policy *p = policy_parse(a, d, "printed.yaml", text, strlen(text));
	const struct model *again = build(a, d, p);

	if (!again) {
		diag_print(d, stderr);
		abort();
	}
	if (!model_equal(m, again)) {
		(void)fprintf(stderr, "does not mean the same again:\n%s", text);
		abort();
	}
	diag_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new();
	struct diag *d = diag_new();
	const struct policy *p = policy_parse(a, d, "fuzz.yaml", (const char *)data, size);
	const struct model *m = p->cut || reads_files(p) ? NULL : build(a, d, p);

	check_messages(d, (const char *)data, size);
	if (m)
		check_print(a, m);
	diag_free(d);
	arena_free(a);
	return 0;
}
