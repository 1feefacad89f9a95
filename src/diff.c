/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diff.h"

#include <string.h>

/* clsact is everybody's: deleting it deletes other people's filters. */
static bool is_shared(const struct kobj *o)
{
	return o->kind == KOBJ_QDISC;
}

static void add_step(struct arena *a, struct steps *out, const struct kobj *before, const struct kobj *after)
{
	struct step *s = vec_add(a, out);

	s->before = before;
	s->after = after;
}

void diff_build(struct arena *a, const struct kobj_set *observed, const struct kobj_set *wanted, struct steps *out)
{
	struct steps deletions = {0};
	size_t o = 0, w = 0;

	while (o < observed->n || w < wanted->n) {
		const struct kobj *old = o < observed->n ? &observed->v[o] : NULL;
		const struct kobj *new = w < wanted->n ? &wanted->v[w] : NULL;
		int order = !old ? 1 : !new ? -1 : kobj_cmp(old, new);

		if (order < 0) {
			if (!is_shared(old))
				add_step(a, &deletions, old, NULL);
			o++;
		} else if (order > 0) {
			add_step(a, out, NULL, new);
			w++;
		} else {
			if (!kobj_kinds[old->kind]->same(old, new))
				add_step(a, out, old, new);
			o++;
			w++;
		}
	}
	for (size_t i = deletions.n; i > 0; i--)
		*vec_add(a, out) = deletions.v[i - 1];
}

void diff_describe(const struct step *s, const char *(*ifname)(void *ctx, int ifindex), void *ctx, FILE *out)
{
	const struct kobj *o = s->after ? s->after : s->before;
	const struct kobj_ops *kind = kobj_kinds[o->kind];
	const char *fixed = s->before && s->after ? kind->fixed(s->before, s->after) : NULL;

	fputs(!s->before ? "+ " : !s->after ? "- " : fixed ? "! " : "~ ", out);
	kind->describe(o, ifname, ctx, out);
	if (s->before && s->after) {
		fputs("   (was: ", out);
		kind->describe(s->before, ifname, ctx, out);
		fputs(")", out);
	}
	if (fixed)
		fprintf(out, "   rebuild: %s", fixed);
	if (o->what)
		fprintf(out, "   # %s", o->what);
}
