/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * `shards: auto`: which of the trees under an mq each top class goes to, with all that is in it, and how much of the
 * policy's rate each tree has.
 */
#include <stdlib.h>
#include <string.h>

#include "planner.h"

#define STRAY_SHARE   100  /* what strays has, of the policy's rate over all trees: 1 % */
#define STRAY_MIN_Bps 1000 /* and at least */
#define PART_MIN_Bps  100  /* of a tree: its burst must not be more than the 274 s that htb holds */

/* Why there is one tree, in words, or NULL. The device is asked, also where an ifb stands for its ingress: that one
 * gets as many queues. */
static const char *why_one_tree(struct planner *p, const struct plan_hook *h, const struct link *l)
{
	if (!p->in->has_leaf[QDISC_MQ])
		return "this kernel has no sch_mq";
	if (l->tx_queues < 2)
		return arena_printf(p->a, "%s has one transmit queue", l->name);
	if (l->tx_queues > KOBJ_SHARDS_MAX)
		return arena_printf(p->a, "%s has %u transmit queues, more than the %d that there can be trees",
				    l->name, l->tx_queues, KOBJ_SHARDS_MAX);
	if (l->by_cpu && !h->hook->via_ifb)
		return arena_printf(p->a,
				    "XPS picks the transmit queue by CPU (/sys/class/net/%s/queues/tx-*/xps_cpus), "
				    "whatever the class",
				    l->name);
	return NULL;
}

static bool is_top(const struct plan_hook *h, const struct plan_class *pc)
{
	return pc->cls->parent == h->hook->root;
}

/* The most first, then in the order of the file. */
static int by_rate(const void *left, const void *right)
{
	const struct plan_class *a = *(struct plan_class *const *)left, *b = *(struct plan_class *const *)right;

	if (a->cls->rate_Bps != b->cls->rate_Bps)
		return a->cls->rate_Bps > b->cls->rate_Bps ? -1 : 1;
	return (a > b) - (a < b);
}

static uint32_t least_loaded(const uint64_t *load, uint32_t n)
{
	uint32_t least = 0;

	for (uint32_t i = 1; i < n; i++)
		if (load[i] < load[least])
			least = i;
	return least;
}

/* Whoever has a place keeps it, so that a reload moves nobody; the others go where there is most room. load is by
 * shard, from 0. */
static void place_tops(struct planner *p, struct plan_hook *h, uint64_t *load)
{
	const char *space = arena_printf(p->a, "%u shards of %s", h->n_shards, h->path);
	struct plan_class **new = arena_array(p->a, h->n_classes + 1, sizeof(*new));
	size_t n_new = 0;

	for (size_t i = 0; i < h->n_classes; i++) {
		struct plan_class *pc = &h->classes[i];
		int shard = is_top(h, pc) ? handles_find(p->handles, space, pc->cls->name) : 0;

		if (shard >= 1 && shard <= (int)h->n_shards) {
			pc->shard = (uint32_t)shard;
			load[shard - 1] += pc->cls->rate_Bps;
		} else if (is_top(h, pc)) {
			new[n_new++] = pc;
		}
	}
	qsort(new, n_new, sizeof(struct plan_class *), by_rate);
	for (size_t i = 0; i < n_new; i++) {
		uint32_t at = least_loaded(load, h->n_shards);

		new[i]->shard = at + 1;
		load[at] += new[i]->cls->rate_Bps;
	}
	for (size_t i = 0; i < h->n_classes; i++)
		if (is_top(h, &h->classes[i]))
			handles_put(p->handles, space, h->classes[i].cls->name, h->classes[i].shard);
}

/* The classes come depth first: what is in a top class follows it. */
static void follow_tops(struct plan_hook *h)
{
	uint32_t shard = 0;

	for (size_t i = 0; i < h->n_classes; i++) {
		struct plan_class *pc = &h->classes[i];

		if (is_top(h, pc))
			shard = pc->shard;
		else if (pc->cls->parent)
			pc->shard = shard;
		if (pc->cls == h->hook->dflt)
			h->default_shard = shard;
	}
}

static int descending(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a < b) - (a > b);
}

/* What those have who need no more, once the others have what they need: all of rate is given out. Without a need above
 * an equal share that is the share, whatever the needs are. */
static uint64_t common_part(struct planner *p, const uint64_t *need, size_t n, uint64_t rate)
{
	uint64_t *sorted = arena_array(p->a, n, sizeof(*sorted));
	size_t left = n;

	memcpy(sorted, need, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), descending);
	for (size_t i = 0; left > 1 && sorted[i] > rate / left; i++, left--)
		rate -= sorted[i];
	return rate / left;
}

/* No class can hold back what several queues send: each tree has a part of the policy's rate. It is the same for all
 * that have classes, but where those need more; so a class that changes mostly changes no part. A tree without classes
 * has what strays need. Where that is too much for the policy's rate, each has as much as its needs are of all. load is
 * by shard, from 0. */
static void divide_rate(struct planner *p, struct plan_hook *h, const uint64_t *load)
{
	uint64_t rate = h->hook->root->rate_Bps, stray = rate / STRAY_SHARE / h->n_shards, for_classes = rate, common;
	uint64_t *need = arena_array(p->a, h->n_shards, sizeof(*need));
	unsigned __int128 all = 0;
	size_t n = 0;

	h->stray_Bps = stray > STRAY_MIN_Bps ? stray : STRAY_MIN_Bps;
	for (uint32_t i = 0; i < h->n_shards; i++) {
		uint64_t part = load[i] + (i + 1 == h->default_shard ? 0 : h->stray_Bps);

		all += h->parts_Bps[i] = part;
		if (load[i])
			need[n++] = part;
		else
			for_classes -= for_classes < part ? for_classes : part;
	}
	common = all < rate ? common_part(p, need, n, for_classes) : 0;
	for (uint32_t i = 0; i < h->n_shards; i++) {
		uint64_t *part = &h->parts_Bps[i];

		if (all >= rate)
			*part = (uint64_t)((unsigned __int128)rate * *part / all);
		else if (load[i] && *part < common)
			*part = common;
		if (*part < PART_MIN_Bps)
			*part = PART_MIN_Bps;
	}
}

void plan_shards(struct planner *p, struct plan_hook *h, const struct link *l)
{
	const char *why = why_one_tree(p, h, l);
	uint64_t *load;

	if (why) {
		h->engine_why = arena_printf(p->a, "shards: auto: one tree, since %s", why);
		diag_warning(p->d, h->hook->shards_pos, "no-effect", "\"shards\" has no effect on %s %s: %s", h->ifname,
			     h->dir == DIR_INGRESS ? "ingress" : "egress", why);
		return;
	}
	h->n_shards = l->tx_queues;
	h->engine_why = arena_printf(p->a, "shards: auto: %u trees, one for each transmit queue", h->n_shards);
	h->parts_Bps = arena_array(p->a, h->n_shards, sizeof(*h->parts_Bps));
	load = arena_array(p->a, h->n_shards, sizeof(*load));
	place_tops(p, h, load);
	follow_tops(h);
	divide_rate(p, h, load);
}
