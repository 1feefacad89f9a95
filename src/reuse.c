/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reuse.h"

#include <linux/pkt_sched.h>
#include <stdlib.h>
#include <string.h>

#include "bpf_map.h"
#include "pins.h"
#include "tc_class.h"
#include "tc_qdisc.h"

_Static_assert(REUSE_COUNTS == HANDLES_BASE, "a base has all counts");

#define MINORS 65536

/* ---- maps -------------------------------------------------------------------------------------------------------- */

static void reset(struct pins *pins, const char *path, uint32_t number)
{
	int fd = pins_map(pins, path);

	if (fd >= 0)                             /* otherwise it is going to be made, empty */
		(void)bpf_map_reset(fd, number); /* beyond its end: it is going to be larger, and empty there */
}

/* Of a class with `per`: nobody's debt is another's. */
static void forget_keys(struct pins *pins, const char *path)
{
	int fd = pins_map(pins, path);

	if (fd >= 0)
		(void)bpf_map_clear(fd); /* what stays ages */
}

static void reset_number(void *ctx, const char *space, const char *name, uint32_t number)
{
	static const struct {
		const char *space, *map;
	} shared[] = {
		{"set", "sets_stats"},
		{"forward", "forwards_stats"},
		{"target", "targets_stats"},
	};
	static const char *const of_class[] = {"stats", "clock"};
	char path[256];

	(void)name;
	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
		if (!strcmp(space, shared[i].space))
			reset(ctx, shared[i].map, number);
	if (strncmp(space, "class ", 6) != 0)
		return;
	if (snprintf(path, sizeof(path), "%s/%u/keys", space + 6, number) < (int)sizeof(path))
		forget_keys(ctx, path);
	for (size_t i = 0; i < sizeof(of_class) / sizeof(of_class[0]); i++)
		if (snprintf(path, sizeof(path), "%s/%s", space + 6, of_class[i]) < (int)sizeof(path))
			reset(ctx, path, number);
}

void reuse_reset(struct pins *pins, const struct handles *h)
{
	handles_each_new(h, reset_number, pins);
}

/* ---- htb's own counters ------------------------------------------------------------------------------------------ */

/* Classes of one hook whose bases are read. */
struct reading {
	int ifindex;
	const struct plan_hook *hook;
	const struct plan_class *by_minor[MINORS];
	struct handles_base bases[MINORS];
};

static const char *space_of(char space[256], const struct plan_hook *h)
{
	(void)snprintf(space, 256, "minor %s", h->path); /* interface names are short */
	return space;
}

static bool is_htb(const struct plan_hook *h)
{
	return h->hook && h->hook->type == POLICY_HTB && h->n_classes;
}

static struct handles_base *find_base(struct reading *r, uint32_t classid)
{
	uint32_t minor = TC_H_MIN(classid);
	const struct plan_class *pc = r->by_minor[minor];

	return pc && plan_htb_class(r->hook, pc) == classid ? &r->bases[minor] : NULL;
}

static int note_class(void *ctx, const struct kobj_class *c, const struct tc_class_stats *stats)
{
	struct handles_base *base = find_base(ctx, c->classid);

	if (!base)
		return 0;
	base->v[REUSE_BYTES] = stats->bytes;
	base->v[REUSE_PACKETS] = stats->packets;
	base->v[REUSE_DROPS] = stats->drops;
	base->v[REUSE_OVERLIMITS] = stats->overlimits;
	base->v[REUSE_LENDS] = stats->lends;
	base->v[REUSE_BORROWS] = stats->borrows;
	return 0;
}

static int note_leaf(void *ctx, const struct kobj_qdisc *q, uint32_t drops)
{
	struct reading *r = ctx;
	struct handles_base *base = q->ifindex == r->ifindex ? find_base(r, q->parent) : NULL;

	if (base)
		base->v[REUSE_LEAF_DROPS] = drops;
	return 0;
}

static void read_hook(struct nl *nl, const struct plan *plan, struct handles *h, struct plan_hook *hook)
{
	struct reading *r = NULL;
	char space[256];

	for (size_t i = 0; i < hook->n_classes; i++) {
		if (!hook->classes[i].recycled)
			continue;
		if (!r)
			r = xcalloc(1, sizeof(*r));
		r->by_minor[TC_H_MIN(plan_htb_class(hook, &hook->classes[i]))] = &hook->classes[i];
	}
	if (!r)
		return;
	r->ifindex = plan_htb_device(plan, hook, NULL);
	r->hook = hook;
	/* What cannot be read counts as 0: then too much is shown, and nothing is lost. */
	for (uint32_t shard = hook->n_shards ? 1 : 0; r->ifindex && shard <= hook->n_shards; shard++)
		(void)tc_class_stats(nl, r->ifindex, KOBJ_SHARD(shard), note_class, r);
	if (r->ifindex)
		(void)tc_qdisc_drops(nl, note_leaf, r);
	for (size_t i = 0; i < hook->n_classes; i++) {
		struct plan_class *pc = &hook->classes[i];

		if (!pc->recycled)
			continue;
		handles_set_base(h, space_of(space, hook), pc->handle, &r->bases[TC_H_MIN(plan_htb_class(hook, pc))]);
		pc->base = handles_base(h, space, pc->handle);
	}
	free(r);
}

void reuse_read_bases(struct nl *nl, const struct plan *plan, struct handles *h)
{
	for (size_t i = 0; i < plan->hooks.n; i++)
		if (is_htb(&plan->hooks.v[i]))
			read_hook(nl, plan, h, &plan->hooks.v[i]);
}

/* A class or leaf that the kernel made anew. */
struct made {
	enum kobj_kind kind;
	int ifindex;
	uint32_t classid;
};

struct all_made {
	struct made *v;
	size_t n;
};

static int compare_made(const void *left, const void *right)
{
	const struct made *a = left, *b = right;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->ifindex != b->ifindex)
		return a->ifindex < b->ifindex ? -1 : 1;
	return (a->classid > b->classid) - (a->classid < b->classid);
}

/* Malloced, sorted. */
static struct all_made find_made(const struct steps *steps)
{
	struct all_made all = {.v = xcalloc(steps->n, sizeof(*all.v))};

	for (size_t i = 0; i < steps->n; i++) {
		const struct kobj *o = steps->v[i].before ? NULL : steps->v[i].after;

		if (o && o->kind == KOBJ_CLASS)
			all.v[all.n++] = (struct made){o->kind, o->cls.ifindex, o->cls.classid};
		else if (o && o->kind == KOBJ_LEAF)
			all.v[all.n++] = (struct made){o->kind, o->qdisc.ifindex, o->qdisc.parent};
	}
	qsort(all.v, all.n, sizeof(*all.v), compare_made);
	return all;
}

static bool was_made(const struct all_made *all, enum kobj_kind kind, int ifindex, uint32_t classid)
{
	const struct made key = {kind, ifindex, classid};

	return bsearch(&key, all->v, all->n, sizeof(key), compare_made);
}

static void drop_bases(const struct plan *plan, struct handles *h, struct plan_hook *hook, const struct all_made *made)
{
	int ifindex = plan_htb_device(plan, hook, NULL);
	char space[256];

	for (size_t i = 0; ifindex && i < hook->n_classes; i++) {
		struct plan_class *pc = &hook->classes[i];
		uint32_t classid = plan_htb_class(hook, pc);
		struct handles_base base;

		if (!pc->base || pc->recycled)
			continue;
		base = *pc->base;
		if (was_made(made, KOBJ_LEAF, ifindex, classid))
			base.v[REUSE_LEAF_DROPS] = 0;
		if (was_made(made, KOBJ_CLASS, ifindex, classid))
			handles_set_base(h, space_of(space, hook), pc->handle, NULL);
		else if (base.v[REUSE_LEAF_DROPS] != pc->base->v[REUSE_LEAF_DROPS])
			handles_set_base(h, space_of(space, hook), pc->handle, &base);
		pc->base = handles_base(h, space_of(space, hook), pc->handle);
	}
}

void reuse_drop_bases(const struct plan *plan, struct handles *h, const struct steps *steps)
{
	struct all_made made = find_made(steps);

	for (size_t i = 0; i < plan->hooks.n && made.n; i++)
		if (is_htb(&plan->hooks.v[i]))
			drop_bases(plan, h, &plan->hooks.v[i], &made);
	free(made.v);
}
