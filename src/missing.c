/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "missing.h"

#include <linux/pkt_sched.h>
#include <net/if.h>
#include <string.h>

#include "tc_qdisc.h"

struct reader {
	struct arena *a;
	VEC(struct kobj_qdisc) there;
};

static bool is_tree(const struct plan_hook *h)
{
	return h->hook->type == POLICY_HTB;
}

/* Without qdiscs of ours there is nothing that could be missing. */
static bool queues(const struct plan_hook *h)
{
	return h->hook && h->ifindex && (h->engine == ENGINE_FQ || is_tree(h));
}

bool missing_can_be(const struct plan *plan)
{
	for (size_t i = 0; i < plan->hooks.n; i++)
		if (queues(&plan->hooks.v[i]))
			return true;
	return false;
}

static int note(void *ctx, const struct kobj_qdisc *q, uint32_t drops)
{
	struct reader *r = ctx;

	(void)drops;
	*vec_add(r->a, &r->there) = *q;
	return 0;
}

static const struct kobj_qdisc *find(const struct reader *r, const struct kobj_qdisc *wanted)
{
	for (size_t i = 0; i < r->there.n; i++)
		if (r->there.v[i].ifindex == wanted->ifindex && r->there.v[i].parent == wanted->parent)
			return &r->there.v[i];
	return NULL;
}

static const char *place(struct arena *a, const struct kobj_qdisc *q)
{
	return q->parent == TC_H_ROOT ? "at the root" : arena_printf(a, "of queue %u", TC_H_MIN(q->parent));
}

/* NULL: it is as it was planned. */
static const char *fault(struct reader *r, const struct kobj_qdisc *wanted)
{
	const char *name = qdisc_name(wanted->q.kind), *where = place(r->a, wanted);
	const struct kobj_qdisc *q = find(r, wanted);

	if (!q)
		return arena_printf(r->a, "%s %s is gone", name, where);
	if (q->q.kind != wanted->q.kind)
		return arena_printf(r->a, "%s %s is gone, %s is in its place", name, where,
				    q->q.kind == QDISC_OTHER ? q->q.other : qdisc_name(q->q.kind));
	if (q->handle != wanted->handle || !qdisc_same(&q->q, &wanted->q))
		return arena_printf(r->a, "%s %s is not as it was put there", name, where);
	return NULL;
}

/* What hangs on a qdisc that is missing is missing with it, and need not be told; nor what went with its interface,
 * which the next plan sees. */
static void look_at(struct reader *r, const struct plan *plan, const struct plan_hook *h, struct missing *out)
{
	int ifindex = is_tree(h) ? plan_htb_device(plan, h, NULL) : h->ifindex;
	char name[IF_NAMESIZE];
	bool root_is_gone = !if_indextoname((unsigned)ifindex, name);

	for (size_t i = 0; i < plan->objects.n; i++) {
		const struct kobj *o = &plan->objects.v[i];
		const char *text;

		/* the queues of type edt are leaves, of which there are few; classes may have ten thousand */
		if ((o->kind != KOBJ_QDISC && (o->kind != KOBJ_LEAF || is_tree(h))) || o->qdisc.ifindex != ifindex ||
		    o->qdisc.parent == TC_H_CLSACT || root_is_gone)
			continue;
		text = fault(r, &o->qdisc);
		if (text)
			*vec_add(r->a, out) = (struct missing_qdisc){h, text};
		root_is_gone = text && o->qdisc.parent == TC_H_ROOT;
	}
}

int missing_read(struct arena *a, struct nl *nl, const struct plan *plan, struct missing *out)
{
	struct reader r = {.a = a};
	int err = missing_can_be(plan) ? tc_qdisc_drops(nl, note, &r) : 0;

	*out = (struct missing){0};
	for (size_t i = 0; i < plan->hooks.n && !err; i++)
		if (queues(&plan->hooks.v[i]))
			look_at(&r, plan, &plan->hooks.v[i], out);
	return err;
}
