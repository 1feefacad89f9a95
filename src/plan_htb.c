/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/pkt_sched.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>

#include "ifb.h"
#include "planner.h"
#include "tc_rate.h"

#define TICK_NS    64 /* PSCHED_SHIFT 6, include/net/pkt_sched.h */
#define HTB_R2Q    10 /* the kernel's own; every class brings its quantum */
#define IFB_TXQLEN 32 /* TX_Q_LIMIT of drivers/net/ifb.c */

static uint32_t minor_of(const struct plan_hook *h, const struct plan_class *pc)
{
	return pc->cls == h->hook->dflt ? KOBJ_DEFAULT_MINOR : pc->number;
}

uint32_t plan_htb_class(const struct plan_hook *h, const struct plan_class *pc)
{
	return TC_H_MAKE(KOBJ_ROOT_HANDLE, minor_of(h, pc));
}

uint32_t plan_htb_classid(const struct plan_hook *h, const struct plan_class *pc)
{
	return plan_htb_class(h, pc->cls->n_children ? plan_find_class(h, h->hook->dflt) : pc);
}

/* ATM's cells are computed by the kernel; ptm's 65 bytes for 64 it does not know, so they go into the rate. */
static uint64_t wire_rate(const struct model_link *l, uint64_t Bps)
{
	return l->linklayer == LINK_PTM ? Bps * 64 / 65 : Bps;
}

static uint32_t ticks(struct planner *p, const struct model_class *c, const char *key, uint64_t Bps, uint64_t bytes)
{
	uint64_t ns = tc_rate_burst_ns(Bps, bytes);

	if (ns / TICK_NS <= UINT32_MAX)
		return (uint32_t)(ns / TICK_NS);
	diag_error(p->d, c->pos, "bad-burst", "class %s has a %s of %llu s at its rate, the kernel holds at most 274 s",
		   c->name, key, (unsigned long long)(ns / 1000000000u));
	return UINT32_MAX;
}

static void want_class(struct planner *p, const struct plan_hook *h, const struct link *dev,
		       const struct plan_class *pc)
{
	const struct model_class *c = pc->cls;
	const struct plan_class *up = plan_find_class(h, c->parent);
	const struct model_link *link = &h->iface->link;
	uint64_t rate = wire_rate(link, c->rate_Bps), ceil = wire_rate(link, c->ceil_Bps);
	uint32_t burst = ticks(p, c, "burst", rate, c->burst), cburst = ticks(p, c, "cburst", ceil, c->cburst);
	struct kobj *o = plan_want(p, KOBJ_CLASS, c->pos, plan_class_what(p, h, c));

	for (const struct model_class *above = c->parent; above; above = above->parent)
		o->level++;
	o->cls.ifindex = dev->ifindex;
	o->cls.classid = plan_htb_class(h, pc);
	o->cls.parent = up ? plan_htb_class(h, up) : TC_H_ROOT;
	o->cls.rate_Bps = rate;
	o->cls.ceil_Bps = ceil;
	o->cls.burst_ticks = burst;
	o->cls.cburst_ticks = cburst;
	o->cls.quantum = c->quantum;
	o->cls.prio = c->prio;
	o->cls.overhead = plan_clamp_u16(plan_link_overhead(h, dev));
	o->cls.mpu = plan_clamp_u16(link->mpu);
	o->cls.linklayer = link->linklayer == LINK_ATM ? TC_LINKLAYER_ATM : TC_LINKLAYER_ETHERNET;
	o->cls.inner = c->n_children != 0;
}

/* The class's minor is the leaf's major, past the majors of the root and its shards. */
static uint32_t leaf_handle(uint32_t minor)
{
	const uint32_t first = KOBJ_ROOT_HANDLE >> 16, taken = KOBJ_SHARDS_MAX + 1;

	return (minor < first || minor == KOBJ_DEFAULT_MINOR ? minor : minor + taken) << 16;
}

/* A queue of its own for each class, short by itself or sized to the rate: the kernel would put a thousand packets
 * there. */
static void want_leaf(struct planner *p, const struct plan_hook *h, const struct link *dev, const struct plan_class *pc)
{
	const struct qdisc_device device = {dev->mtu + (plan_has_ethernet_header(dev) ? PLAN_ETHERNET_HEADER : 0),
					    dev->txqlen};
	const struct model_class *c = pc->cls;
	struct kobj *o = plan_want(p, KOBJ_LEAF, c->pos, plan_class_what(p, h, c));

	o->qdisc.ifindex = dev->ifindex;
	o->qdisc.parent = plan_htb_class(h, pc);
	o->qdisc.handle = leaf_handle(minor_of(h, pc));
	if (!c->leaf_auto)
		o->qdisc.q = c->leaf;
	else if (p->in->has_leaf[QDISC_FQ_CODEL])
		qdisc_defaults(&o->qdisc.q, QDISC_FQ_CODEL, &device);
	else
		qdisc_sized_fifo(&o->qdisc.q, c->rate_Bps, &device);
	if (!p->in->has_leaf[o->qdisc.q.kind])
		diag_error(p->d, c->pos, "no-kernel-support", "this kernel has no %s, which class %s wants as its leaf",
			   qdisc_name(o->qdisc.q.kind), c->name);
}

void plan_htb(struct planner *p, const struct plan_hook *h, const struct link *dev)
{
	struct kobj *o = plan_want(p, KOBJ_QDISC, h->hook->pos, arena_printf(p->a, "%s", h->ifname));

	if (plan_link_overhead(h, dev) < 0)
		diag_warning(p->d, h->hook->pos, "no-effect",
			     "%s would need an overhead of %d bytes on what the kernel counts; htb knows none below 0 "
			     "and takes 0",
			     h->ifname, plan_link_overhead(h, dev));
	o->qdisc.ifindex = dev->ifindex;
	o->qdisc.parent = TC_H_ROOT;
	o->qdisc.handle = KOBJ_ROOT_HANDLE;
	o->qdisc.q.kind = QDISC_HTB;
	o->qdisc.q.htb = (struct qdisc_htb){KOBJ_DEFAULT_MINOR, HTB_R2Q};
	for (size_t i = 0; i < h->n_classes; i++) {
		want_class(p, h, dev, &h->classes[i]);
		if (!h->classes[i].cls->n_children)
			want_leaf(p, h, dev, &h->classes[i]);
	}
}

const struct link *plan_ifb(struct planner *p, const struct plan_hook *h, const struct link *l)
{
	struct link *ifb = arena_new_of(p->a, struct link);
	const struct link *there;
	struct kobj *o;

	*ifb = *l;
	ifb_name(ifb->name, l->name);
	there = links_by_name(p->in->links, ifb->name);
	ifb->ifindex = there ? there->ifindex : ifb_index(l->name);
	ifb->type = ARPHRD_ETHER;
	ifb->l3_behind = !plan_has_ethernet_header(l);
	ifb->txqlen = there ? there->txqlen : IFB_TXQLEN;
	for (size_t i = 0; i < p->plan->objects.n; i++) {
		const struct kobj *k = &p->plan->objects.v[i];

		if (k->kind != KOBJ_LINK || k->link.ifindex != ifb->ifindex)
			continue;
		diag_error(p->d, h->hook->pos, "ifb-collision",
			   "the ifb devices of %s and %s would have the same index: only one of the two can have "
			   "\"via: ifb\"",
			   k->link.of, l->name);
		return NULL;
	}
	o = plan_want(p, KOBJ_LINK, h->hook->pos, arena_printf(p->a, "ingress of %s", l->name));
	o->link.ifindex = ifb->ifindex;
	strcpy(o->link.name, ifb->name);
	strcpy(o->link.of, l->name);
	o->link.tx_queues = 1;
	o->link.up = true;
	return ifb;
}
