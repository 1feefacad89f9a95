/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kobj.h"

#include <assert.h>
#include <linux/pkt_sched.h>
#include <stdlib.h>

#include "bpf_map.h"
#include "ifb.h"
#include "tc_action.h"
#include "tc_class.h"
#include "tc_filter.h"
#include "tc_qdisc.h"

const struct kobj_ops *const kobj_kinds[KOBJ_KINDS] = {
	[KOBJ_MAP] = &bpf_map_ops,      [KOBJ_ENTRY] = &bpf_entry_ops,  [KOBJ_LINK] = &ifb_ops,
	[KOBJ_QDISC] = &tc_qdisc_ops,   [KOBJ_CLASS] = &tc_class_ops,   [KOBJ_LEAF] = &tc_leaf_ops,
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

static bool is_qdisc(struct kobj *key, int ifindex, uint32_t parent)
{
	key->kind = KOBJ_QDISC;
	key->qdisc = (struct kobj_qdisc){.ifindex = ifindex, .parent = parent};
	return true;
}

/* An htb by its handle: the root, or a shard under the root's queue of the same number. */
static bool is_tree(struct kobj *key, int ifindex, uint32_t major)
{
	uint32_t shard = (major - KOBJ_ROOT_HANDLE) >> 16;

	return is_qdisc(key, ifindex, shard ? KOBJ_ROOT_HANDLE | shard : TC_H_ROOT);
}

static bool is_class(struct kobj *key, int ifindex, uint32_t classid)
{
	key->kind = KOBJ_CLASS;
	key->cls = (struct kobj_class){.ifindex = ifindex, .classid = classid};
	return true;
}

bool kobj_container(const struct kobj *o, struct kobj *key)
{
	*key = (struct kobj){0};
	switch (o->kind) {
	case KOBJ_QDISC:
		if (o->qdisc.parent != TC_H_ROOT && o->qdisc.parent != TC_H_CLSACT)
			return is_qdisc(key, o->qdisc.ifindex, TC_H_ROOT);
		key->kind = KOBJ_LINK;
		key->link.ifindex = o->qdisc.ifindex;
		return true;
	case KOBJ_CLASS:
		if (o->cls.parent == TC_H_ROOT)
			return is_tree(key, o->cls.ifindex, TC_H_MAJ(o->cls.classid));
		return is_class(key, o->cls.ifindex, o->cls.parent);
	case KOBJ_LEAF: return is_class(key, o->qdisc.ifindex, o->qdisc.parent);
	case KOBJ_FILTER: return is_qdisc(key, o->filter.ifindex, TC_H_CLSACT);
	case KOBJ_MAP:
	case KOBJ_ENTRY:
	case KOBJ_LINK:
	case KOBJ_ACTION:
	case KOBJ_KINDS: break;
	}
	return false;
}
