/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "names.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

void names_add(struct arena *a, struct names *n, const char *name, void *thing)
{
	if (name)
		*vec_add(a, &n->all) = (struct name){name, thing};
}

struct ordered {
	struct name name;
	size_t order; /* qsort is not stable */
};

static int by_name(const void *left, const void *right)
{
	const struct ordered *a = left, *b = right;
	int cmp = strcmp(a->name.name, b->name.name);

	return cmp ? cmp : (a->order > b->order) - (a->order < b->order);
}

void names_seal(struct arena *a, struct names *n)
{
	struct ordered *all = xcalloc(n->all.n, sizeof(*all));
	size_t kept = 0;

	for (size_t i = 0; i < n->all.n; i++)
		all[i] = (struct ordered){n->all.v[i], i};
	qsort(all, n->all.n, sizeof(*all), by_name);
	n->sorted = arena_array(a, n->all.n, sizeof(*n->sorted));
	for (size_t i = 0; i < n->all.n; i++) {
		if (kept && !strcmp(n->sorted[kept - 1], all[i].name.name))
			continue;
		n->sorted[kept] = all[i].name.name;
		n->all.v[kept++] = all[i].name;
	}
	n->all.n = kept;
	free(all);
}

static int name_cmp(const void *key, const void *element)
{
	return strcmp(key, ((const struct name *)element)->name);
}

void *names_find(const struct names *n, const char *name)
{
	const struct name *found = NULL;

	if (n->all.n)
		found = bsearch(name, n->all.v, n->all.n, sizeof(*n->all.v), name_cmp);
	return found ? found->thing : NULL;
}

void *names_resolve(const struct names *n, struct diag *d, struct pos pos, const char *name)
{
	void *thing = names_find(n, name);
	const char *close;

	if (thing || n->hushed)
		return thing;
	close = diag_full(d) ? NULL : text_closest(name, n->sorted, n->all.n);
	if (close)
		diag_error(d, pos, "unknown-name", "there is no %s \"%s\", did you mean \"%s\"?", n->kind, name, close);
	else
		diag_error(d, pos, "unknown-name", "there is no %s \"%s\"", n->kind, name);
	return NULL;
}
