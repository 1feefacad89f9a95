/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "counts.h"

#include <stdlib.h>

#include "reuse.h"
#include "tc_qdisc.h"

/* Whose counters: an index of a policer, or a class of an interface. */
struct place {
	int ifindex;
	uint32_t id;
};

struct policer {
	struct place at;
	struct tc_action_stats stats;
};

struct queue {
	struct place at;
	struct tc_class_stats stats;
};

struct leaf {
	struct place at; /* the class */
	uint32_t drops;
};

/* Each sorted by place. */
struct counts {
	struct arena *a;
	VEC(struct policer) policers;
	VEC(struct queue) queues;
	VEC(struct leaf) leaves;
};

static int compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->ifindex != y->ifindex)
		return x->ifindex < y->ifindex ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static int add_policer(void *ctx, uint32_t index, const struct tc_action_stats *stats)
{
	struct counts *c = ctx;

	*vec_add(c->a, &c->policers) = (struct policer){{0, index}, *stats};
	return 0;
}

static int add_queue(void *ctx, const struct kobj_class *cls, const struct tc_class_stats *stats)
{
	struct counts *c = ctx;

	*vec_add(c->a, &c->queues) = (struct queue){{cls->ifindex, cls->classid}, *stats};
	return 0;
}

static int add_leaf(void *ctx, const struct kobj_qdisc *q, uint32_t drops)
{
	struct counts *c = ctx;

	*vec_add(c->a, &c->leaves) = (struct leaf){{q->ifindex, q->parent}, drops};
	return 0;
}

struct counts *counts_read(struct arena *a, struct nl *nl)
{
	struct counts *c = arena_new_of(a, struct counts);

	c->a = a;
	(void)tc_action_stats(nl, add_policer, c);
	(void)tc_qdisc_drops(nl, add_leaf, c);
	if (c->policers.n)
		qsort(c->policers.v, c->policers.n, sizeof(*c->policers.v), compare);
	if (c->leaves.n)
		qsort(c->leaves.v, c->leaves.n, sizeof(*c->leaves.v), compare);
	return c;
}

void counts_read_htb(struct counts *c, struct nl *nl, int ifindex, uint32_t n_shards)
{
	for (uint32_t i = n_shards ? 1 : 0; i <= n_shards; i++)
		(void)tc_class_stats(nl, ifindex, KOBJ_SHARD(i), add_queue, c);
	if (c->queues.n)
		qsort(c->queues.v, c->queues.n, sizeof(*c->queues.v), compare);
}

/* An array may be NULL while it is empty, which bsearch would not take. */
static const void *find(const void *all, size_t n, size_t size, int ifindex, uint32_t id)
{
	const struct place key = {ifindex, id};

	return n ? bsearch(&key, all, n, size, compare) : NULL;
}

const struct tc_action_stats *counts_policer(const struct counts *c, uint32_t index)
{
	const struct policer *p = find(c->policers.v, c->policers.n, sizeof(*c->policers.v), 0, index);

	return p ? &p->stats : NULL;
}

const struct tc_class_stats *counts_class(const struct counts *c, int ifindex, uint32_t classid)
{
	const struct queue *q = find(c->queues.v, c->queues.n, sizeof(*c->queues.v), ifindex, classid);

	return q ? &q->stats : NULL;
}

const uint32_t *counts_leaf_drops(const struct counts *c, int ifindex, uint32_t classid)
{
	const struct leaf *l = find(c->leaves.v, c->leaves.n, sizeof(*c->leaves.v), ifindex, classid);

	return l ? &l->drops : NULL;
}

/* Smaller than its base: the kernel began anew, by somebody else's hand. */
static uint64_t above(uint64_t count, uint64_t base)
{
	return count < base ? count : count - base;
}

void counts_subtract(struct counts *c, int ifindex, uint32_t classid, const struct handles_base *base)
{
	const struct place key = {ifindex, classid};
	struct queue *q = c->queues.n ? bsearch(&key, c->queues.v, c->queues.n, sizeof(*q), compare) : NULL;
	struct leaf *l = c->leaves.n ? bsearch(&key, c->leaves.v, c->leaves.n, sizeof(*l), compare) : NULL;

	if (q) {
		q->stats.bytes = above(q->stats.bytes, base->v[REUSE_BYTES]);
		q->stats.packets = above(q->stats.packets, base->v[REUSE_PACKETS]);
		q->stats.drops = (uint32_t)above(q->stats.drops, base->v[REUSE_DROPS]);
		q->stats.overlimits = (uint32_t)above(q->stats.overlimits, base->v[REUSE_OVERLIMITS]);
		q->stats.lends = (uint32_t)above(q->stats.lends, base->v[REUSE_LENDS]);
		q->stats.borrows = (uint32_t)above(q->stats.borrows, base->v[REUSE_BORROWS]);
	}
	if (l)
		l->drops = (uint32_t)above(l->drops, base->v[REUSE_LEAF_DROPS]);
}
