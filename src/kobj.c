/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kobj.h"

#include <assert.h>
#include <linux/pkt_sched.h>
#include <stdlib.h>
#include <string.h>

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

/* Where the part in order that begins at i ends. */
static size_t end_of_run(const struct kobj *const *v, size_t n, size_t i)
{
	do
		i++;
	while (i < n && kobj_cmp(v[i - 1], v[i]) <= 0);
	return i;
}

static void merge(const struct kobj *const *a, size_t n_a, const struct kobj *const *b, size_t n_b,
		  const struct kobj **out)
{
	while (n_a && n_b) {
		if (kobj_cmp(*a, *b) <= 0) {
			*out++ = *a++;
			n_a--;
		} else {
			*out++ = *b++;
			n_b--;
		}
	}
	memcpy(out, a, n_a * sizeof(*a));
	memcpy(out + n_a, b, n_b * sizeof(*b));
}

/* Merges each two neighbours of the runs in from; false: there was but one. */
static bool merge_runs(const struct kobj **from, const struct kobj **to, size_t n)
{
	size_t runs = 0;

	for (size_t i = 0, middle, end; i < n; i = end, runs++) {
		middle = end_of_run(from, n, i);
		end = middle < n ? end_of_run(from, n, middle) : n;
		merge(&from[i], middle - i, &from[middle], end - middle, &to[i]);
		runs += middle < n;
	}
	return runs > 1;
}

/* Puts each object where its pointer is. */
static void arrange(struct kobj *v, const struct kobj **at, size_t n)
{
	for (size_t i = 0, to, from; i < n; i++) {
		struct kobj first;

		if (at[i] == &v[i])
			continue;
		first = v[i];
		for (to = i; at[to] != &v[i]; to = from) {
			from = (size_t)(at[to] - v);
			v[to] = v[from];
			at[to] = &v[to];
		}
		v[to] = first;
		at[to] = &v[to];
	}
}

/* 100,000 entries come in order, with little in front and behind: then there is little to do. */
void kobj_sort(struct kobj *v, size_t n)
{
	const struct kobj **from = xcalloc(n, sizeof(*from)), **to = xcalloc(n, sizeof(*to)), **swap;

	for (size_t i = 0; i < n; i++)
		from[i] = &v[i];
	while (merge_runs(from, to, n)) {
		swap = from;
		from = to;
		to = swap;
	}
	arrange(v, from, n);
	free(from);
	free(to);
}

void kobj_set_sort(struct kobj_set *s)
{
	kobj_sort(s->v, s->n);
	for (size_t i = 1; i < s->n; i++)
		assert(kobj_cmp(&s->v[i - 1], &s->v[i]) < 0);
}

bool kobj_set_has_link(const struct kobj_set *s, int ifindex)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].kind == KOBJ_LINK && s->v[i].link.ifindex == ifindex)
			return true;
	return false;
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
