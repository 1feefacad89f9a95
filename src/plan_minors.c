/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The minors of htb classes. A name keeps its own; a new one takes a number that nobody has. In a large tree a class
 * that comes takes the minor of one that goes, of the same parent: the kernel changes a class in place in a
 * microsecond, but looks at all of them to make one.
 *
 * A class's minor is in skb->priority, and before Linux 6.8 fq takes what has TC_PRIO_CONTROL in its last four bits for
 * traffic that must not wait: at once, in one line. So no class with an fq has such a minor.
 */
#include <linux/pkt_sched.h>
#include <string.h>

#include "../bpf/qosd_abi.h"
#include "names.h"
#include "planner.h"

#define RECYCLE_FROM 1000 /* classes of a tree: with so many, making one takes the kernel 40 us and more, and grows */

/* As handles_get_fit wants them. */
#define OF_CONTROL 0x0080008000800080u

_Static_assert(TC_PRIO_CONTROL == 7 && TC_PRIO_MAX == 15, "four in 64");

/* A name that the policy has no more. */
struct gone {
	struct gone *next; /* of the same parent */
	const char *name, *parent;
	bool has_children;
};

struct recycler {
	struct planner *p;
	struct names by_name;   /* -> struct gone */
	struct names by_parent; /* -> struct gone, the first of a list */
};

/* "root/a" of "root/a/b"; "" of "root". */
static const char *parent_of(struct arena *a, const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? arena_strndup(a, name, (size_t)(slash - name)) : "";
}

static void add_gone(void *ctx, const char *name)
{
	struct recycler *r = ctx;
	struct gone *g = arena_new_of(r->p->a, struct gone);

	g->name = arena_strdup(r->p->a, name);
	g->parent = parent_of(r->p->a, name);
	names_add(r->p->a, &r->by_name, g->name, g);
}

static void find_gone(struct recycler *r, const char *space)
{
	handles_each_unused(r->p->handles, space, add_gone, r);
	names_seal(r->p->a, &r->by_name);
	for (size_t i = 0; i < r->by_name.all.n; i++) {
		struct gone *g = r->by_name.all.v[i].thing, *above = names_find(&r->by_name, g->parent);

		if (above)
			above->has_children = true;
		/* Each parent is asked for by a head of its own. */
		names_add(r->p->a, &r->by_parent, g->parent, arena_new_of(r->p->a, struct gone));
	}
	names_seal(r->p->a, &r->by_parent);
	for (size_t i = r->by_name.all.n; i-- > 0;) {
		struct gone *g = r->by_name.all.v[i].thing, *head = names_find(&r->by_parent, g->parent);

		if (g->has_children)
			continue;
		g->next = head->next;
		head->next = g;
	}
}

/* The default has a minor of its own in the kernel. */
static uint64_t unfit_for(const struct plan_hook *h, const struct plan_class *pc)
{
	const struct model_class *c = pc->cls;
	bool has_fq = c->leaf_paced || c->leaf.kind == QDISC_FQ;

	return has_fq && c != h->hook->dflt ? OF_CONTROL : 0;
}

static bool fits(const struct recycler *r, const char *space, const struct gone *g, uint64_t unfit)
{
	return !(unfit >> handles_find(r->p->handles, space, g->name) % 64 & 1);
}

/* Classes with children are not worth it: there are few. */
static void recycle(struct recycler *r, const char *space, struct plan_class *pc, uint64_t unfit)
{
	struct gone *g = pc->cls->n_children ? NULL : names_find(&r->by_parent, parent_of(r->p->a, pc->handle)), *one;

	while (g && g->next && !fits(r, space, g->next, unfit))
		g = g->next;
	if (!g || !g->next)
		return;
	one = g->next;
	g->next = one->next;
	handles_take(r->p->handles, space, one->name, pc->handle);
	pc->recycled = true;
}

static void tell_none_left(struct planner *p, const struct plan_class *pc)
{
	plan_tell_taken(p, pc->cls->pos, "too-many-classes", arena_printf(p->a, "class %s", pc->cls->name),
			QOSD_CLASSES_MAX);
}

static bool number_new(struct planner *p, struct plan_hook *h, const char *space)
{
	struct recycler r = {.p = p};

	if (h->n_classes >= RECYCLE_FROM)
		find_gone(&r, space);
	for (size_t i = 0; i < h->n_classes; i++) {
		struct plan_class *pc = &h->classes[i];
		uint64_t unfit = unfit_for(h, pc);

		if (handles_find(p->handles, space, pc->handle) >= 0)
			continue;
		if (r.by_name.all.n)
			recycle(&r, space, pc, unfit);
		if (!pc->recycled && handles_get_fit(p->handles, space, pc->handle, 1, QOSD_CLASSES_MAX, unfit) < 0) {
			tell_none_left(p, pc);
			return false;
		}
	}
	return true;
}

/* What a class leaves when it takes another minor is in the kernel until the plan is in force: the new ones were
 * numbered before. */
bool plan_minors(struct planner *p, struct plan_hook *h)
{
	const char *space = arena_printf(p->a, "minor %s", h->path);

	for (size_t i = 0; i < h->n_classes; i++)
		if (handles_find(p->handles, space, h->classes[i].handle) >= 0)
			(void)handles_get(p->handles, space, h->classes[i].handle, 1, QOSD_CLASSES_MAX);
	if (!number_new(p, h, space))
		return false;
	for (size_t i = 0; i < h->n_classes; i++) {
		struct plan_class *pc = &h->classes[i];
		int minor = handles_get_fit(p->handles, space, pc->handle, 1, QOSD_CLASSES_MAX, unfit_for(h, pc));

		if (minor < 0) {
			tell_none_left(p, pc);
			return false;
		}
		pc->minor = (uint32_t)minor;
		pc->base = handles_base(p->handles, space, pc->handle);
	}
	return true;
}
