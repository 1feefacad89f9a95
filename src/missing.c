/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "missing.h"

#include <linux/pkt_sched.h>
#include <net/if.h>
#include <stdlib.h>

#include "tc_qdisc.h"

/* A device that queues for a hook. */
struct device {
	int ifindex;
	const struct plan_hook *hook;
};

/* A qdisc that is looked at, and what has its place. */
struct place {
	const struct kobj_qdisc *wanted;
	struct kobj_qdisc there;
	bool of_class; /* the leaf of a tree's class */
	bool taken;
};

struct reader {
	struct arena *a;
	VEC(struct device) devices; /* by ifindex */
	VEC(struct place) places;   /* by ifindex and parent: of a device the root is the last */
};

static bool is_tree(const struct plan_hook *h)
{
	return h->hook->type == POLICY_HTB;
}

static bool queues(const struct plan_hook *h)
{
	return h->hook && h->ifindex && (h->engine == ENGINE_FQ || is_tree(h));
}

static int device_of(const struct plan *plan, const struct plan_hook *h)
{
	return is_tree(h) ? plan_htb_device(plan, h, NULL) : h->ifindex;
}

/* Where no interface is there, there is nothing to read. */
static bool can_be(const struct plan *plan)
{
	for (size_t i = 0; i < plan->hooks.n; i++)
		if (plan->hooks.v[i].ifindex)
			return true;
	return false;
}

/* ---- what is looked at ---- */

static int cmp_device(const void *a, const void *b)
{
	const struct device *x = a, *y = b;

	return (x->ifindex > y->ifindex) - (x->ifindex < y->ifindex);
}

static int cmp_place(const void *a, const void *b)
{
	const struct kobj_qdisc *x = ((const struct place *)a)->wanted, *y = ((const struct place *)b)->wanted;

	if (x->ifindex != y->ifindex)
		return x->ifindex < y->ifindex ? -1 : 1;
	return (x->parent > y->parent) - (x->parent < y->parent);
}

static const struct device *find_device(const struct reader *r, int ifindex)
{
	const struct device key = {.ifindex = ifindex};

	return r->devices.n ? bsearch(&key, r->devices.v, r->devices.n, sizeof(key), cmp_device) : NULL;
}

static void add_place(struct reader *r, const struct kobj *o, bool of_class)
{
	*vec_add(r->a, &r->places) = (struct place){.wanted = &o->qdisc, .of_class = of_class};
}

/* Of type edt all leaves are queues; of a tree, which may have ten thousand, those where packets are paced count. */
static void look_for(struct reader *r, const struct kobj *o)
{
	const struct device *d = find_device(r, o->qdisc.ifindex);
	bool is_leaf = o->kind == KOBJ_LEAF;

	if (o->kind != KOBJ_QDISC && !is_leaf)
		return;
	if (o->qdisc.parent == TC_H_CLSACT || (d && !(is_leaf && is_tree(d->hook))))
		add_place(r, o, false);
	else if (d && d->hook->engine == ENGINE_FQ && o->qdisc.q.kind == QDISC_FQ)
		add_place(r, o, true);
}

static void collect(struct reader *r, const struct plan *plan)
{
	for (size_t i = 0; i < plan->hooks.n; i++)
		if (queues(&plan->hooks.v[i]))
			*vec_add(r->a, &r->devices) =
				(struct device){device_of(plan, &plan->hooks.v[i]), &plan->hooks.v[i]};
	if (r->devices.n)
		qsort(r->devices.v, r->devices.n, sizeof(*r->devices.v), cmp_device);
	for (size_t i = 0; i < plan->objects.n; i++)
		look_for(r, &plan->objects.v[i]);
	if (r->places.n)
		qsort(r->places.v, r->places.n, sizeof(*r->places.v), cmp_place);
}

static int note(void *ctx, const struct kobj_qdisc *q, uint32_t drops)
{
	const struct reader *r = ctx;
	const struct place key = {.wanted = q};
	struct place *p = bsearch(&key, r->places.v, r->places.n, sizeof(key), cmp_place);

	(void)drops;
	if (p) {
		p->there = *q;
		p->taken = true;
	}
	return 0;
}

/* ---- what is wrong with it ---- */

/* An mq has no parameters, and how many trees are below it their own places tell. */
static bool is_as_wanted(const struct place *p)
{
	return p->there.handle == p->wanted->handle &&
	       (p->wanted->q.kind == QDISC_MQ || qdisc_same(&p->there.q, &p->wanted->q));
}

/* NULL: it is as it was planned. */
static const char *fault(struct arena *a, const struct place *p)
{
	const char *name = qdisc_name(p->wanted->q.kind), *where = " at the root";

	if (p->wanted->parent == TC_H_CLSACT)
		where = "";
	else if (p->of_class)
		where = arena_printf(a, " of class %x:%x", TC_H_MAJ(p->wanted->parent) >> 16,
				     TC_H_MIN(p->wanted->parent));
	else if (p->wanted->parent != TC_H_ROOT)
		where = arena_printf(a, " of queue %u", TC_H_MIN(p->wanted->parent));
	if (!p->taken)
		return arena_printf(a, "%s%s is gone", name, where);
	if (p->there.q.kind != p->wanted->q.kind)
		return arena_printf(a, "%s%s is gone, %s is in its place", name, where,
				    p->there.q.kind == QDISC_OTHER ? p->there.q.other : qdisc_name(p->there.q.kind));
	return is_as_wanted(p) ? NULL : arena_printf(a, "%s%s is not as it was put there", name, where);
}

static const struct place *find_place(const struct reader *r, int ifindex, uint32_t parent)
{
	const struct kobj_qdisc qdisc = {.ifindex = ifindex, .parent = parent};
	const struct place key = {.wanted = &qdisc};

	return bsearch(&key, r->places.v, r->places.n, sizeof(key), cmp_place);
}

/* Is the tree of a leaf, of those that a spread tree has, as it should be? */
static bool has_tree(struct reader *r, const struct place *leaf)
{
	uint32_t shard = (TC_H_MAJ(leaf->wanted->parent) - KOBJ_ROOT_HANDLE) >> 16;
	const struct place *tree = find_place(r, leaf->wanted->ifindex, KOBJ_ROOT_HANDLE | shard);

	return !shard || (tree && !fault(r->a, tree));
}

/* What hangs on a root that is missing is missing with it, and need not be told; nor what went with its interface,
 * which the next plan sees. */
static void look_at(struct reader *r, const struct plan_hook *h, int ifindex, struct missing *out)
{
	const struct place *last = find_place(r, ifindex, TC_H_ROOT);
	char name[IF_NAMESIZE];

	if (!last || !if_indextoname((unsigned)ifindex, name))
		return;
	for (size_t i = (size_t)(last - r->places.v) + 1; i-- > 0 && r->places.v[i].wanted->ifindex == ifindex;) {
		const struct place *p = &r->places.v[i];
		const char *text = fault(r->a, p);

		if (!text || p->wanted->parent == TC_H_CLSACT || (p->of_class && !has_tree(r, p)))
			continue;
		*vec_add(r->a, out) = (struct missing_qdisc){h, text, is_tree(h) && !p->of_class ? "queued" : "paced"};
		if (p == last)
			return;
	}
}

static void look_at_clsact(struct reader *r, const struct plan_hook *h, int ifindex, struct missing *out)
{
	const struct place *p = find_place(r, ifindex, TC_H_CLSACT);
	const char *text = p ? fault(r->a, p) : NULL;
	char name[IF_NAMESIZE];

	if (text && if_indextoname((unsigned)ifindex, name))
		*vec_add(r->a, out) = (struct missing_qdisc){h, text, "classified"};
}

int missing_read(struct arena *a, struct nl *nl, const struct plan *plan, struct missing *out)
{
	struct reader r = {.a = a};
	int err = 0;

	*out = (struct missing){0};
	if (!can_be(plan))
		return 0;
	collect(&r, plan);
	if (r.places.n)
		err = tc_qdisc_drops(nl, note, &r);
	for (size_t i = 0; i < plan->hooks.n && r.places.n && !err; i++) {
		const struct plan_hook *h = &plan->hooks.v[i];
		int device = queues(h) ? device_of(plan, h) : 0;

		if (device)
			look_at(&r, h, device, out);
		if (h->ifindex)
			look_at_clsact(&r, h, h->ifindex, out);
		if (device && device != h->ifindex) /* an ifb, where it is classified */
			look_at_clsact(&r, h, device, out);
	}
	return err;
}
