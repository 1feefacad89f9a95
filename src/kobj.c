/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kobj.h"

#include <assert.h>
#include <stdlib.h>

#include "bpf_map.h"
#include "tc_action.h"
#include "tc_filter.h"
#include "tc_qdisc.h"

const struct kobj_ops *const kobj_kinds[KOBJ_KINDS] = {
	[KOBJ_MAP] = &bpf_map_ops,      [KOBJ_ENTRY] = &bpf_entry_ops,  [KOBJ_QDISC] = &tc_qdisc_ops,
	[KOBJ_ACTION] = &tc_action_ops, [KOBJ_FILTER] = &tc_filter_ops,
};

int kobj_cmp(const struct kobj *a, const struct kobj *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return kobj_kinds[a->kind]->cmp(a, b);
}

static int cmp_for_qsort(const void *a, const void *b)
{
	return kobj_cmp(a, b);
}

void kobj_set_sort(struct kobj_set *s)
{
	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), cmp_for_qsort);
	for (size_t i = 1; i < s->n; i++)
		assert(kobj_cmp(&s->v[i - 1], &s->v[i]) < 0);
}
