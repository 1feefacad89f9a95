/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <linux/pkt_sched.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/qosd_abi.h"
#include "ifb.h"
#include "planner.h"
#include "tc_rate.h"

#define TICK_NS    64 /* PSCHED_SHIFT 6, include/net/pkt_sched.h */
#define HTB_R2Q    10 /* the kernel's own; every class brings its quantum */
#define IFB_TXQLEN 32 /* TX_Q_LIMIT of drivers/net/ifb.c */

static uint32_t minor_of(const struct plan_hook *h, const struct plan_class *pc)
{
	return pc->cls == h->hook->dflt ? KOBJ_DEFAULT_MINOR : pc->minor;
}

uint32_t plan_htb_class(const struct plan_hook *h, const struct plan_class *pc)
{
	return TC_H_MAKE(KOBJ_SHARD(pc->shard), minor_of(h, pc));
}

/* Of a sorted set, in which there may be a hundred thousand entries of maps before it. */
static size_t first_of_kind(const struct kobj_set *s, enum kobj_kind kind)
{
	size_t from = 0, to = s->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (s->v[middle].kind < kind)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

int plan_htb_device(const struct plan *plan, const struct plan_hook *h, const char **ifb)
{
	if (ifb)
		*ifb = NULL;
	if (!h->hook->via_ifb)
		return h->ifindex;
	for (size_t i = first_of_kind(&plan->objects, KOBJ_LINK); i < plan->objects.n; i++) {
		const struct kobj *o = &plan->objects.v[i];

		if (o->kind != KOBJ_LINK)
			break;
		if (strcmp(o->link.of, h->ifname))
			continue;
		if (ifb)
			*ifb = o->link.name;
		return o->link.ifindex;
	}
	return 0;
}

/* The first of the classes: every policy of htb has a rate. */
uint32_t plan_htb_root(const struct plan_hook *h, uint32_t shard)
{
	return TC_H_MAKE(KOBJ_SHARD(shard), h->classes[0].minor);
}

/* Where packets of the class are queued: an inner one cannot. */
static const struct plan_class *queued_at(const struct plan_hook *h, const struct plan_class *pc)
{
	return pc->cls->n_children ? plan_find_class(h, h->hook->dflt) : pc;
}

uint32_t plan_htb_classid(const struct plan_hook *h, const struct plan_class *pc)
{
	return plan_htb_class(h, queued_at(h, pc));
}

/* The tree of shard i is under the device's queue i - 1, which is what a packet says that was received on it. */
uint16_t plan_htb_queue(const struct plan_hook *h, const struct plan_class *pc)
{
	return (uint16_t)queued_at(h, pc)->shard;
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

/* One class of the kernel's. c may be changed from what the policy says. */
struct node {
	const struct model_class *cls;
	const char *what;
	uint32_t classid, parent, level;
};

static void want_class(struct planner *p, const struct plan_hook *h, const struct link *dev, const struct node *n)
{
	const struct model_class *c = n->cls;
	const struct model_link *link = &h->iface->link;
	uint64_t rate = wire_rate(link, c->rate_Bps), ceil = wire_rate(link, c->ceil_Bps);
	uint32_t burst = ticks(p, c, "burst", rate, c->burst), cburst = ticks(p, c, "cburst", ceil, c->cburst);
	struct kobj *o = plan_want(p, KOBJ_CLASS, c->pos, n->what);

	o->level = n->level;
	o->cls.ifindex = dev->ifindex;
	o->cls.classid = n->classid;
	o->cls.parent = n->parent;
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

/* The class's minor is the leaf's major, past the majors of the root and its shards. Of the defaults that all shards
 * have the majors are those from fffe down. */
static uint32_t leaf_handle(uint32_t classid)
{
	const uint32_t first = KOBJ_ROOT_HANDLE >> 16, taken = KOBJ_SHARDS_MAX + 1;
	uint32_t minor = TC_H_MIN(classid), shard = (TC_H_MAJ(classid) - KOBJ_ROOT_HANDLE) >> 16;

	_Static_assert(QOSD_CLASSES_MAX + 2 * (KOBJ_SHARDS_MAX + 1) < KOBJ_DEFAULT_MINOR, "majors for all leaves");
	if (minor == KOBJ_DEFAULT_MINOR)
		return (KOBJ_DEFAULT_MINOR - shard) << 16;
	return (minor < first ? minor : minor + taken) << 16;
}

/* CONFIG_NET_SCH_FQ_CODEL */
static const char *config_of(struct planner *p, enum qdisc_kind kind)
{
	bool fifo = kind == QDISC_PFIFO || kind == QDISC_BFIFO;
	char *name = arena_printf(p->a, "CONFIG_NET_SCH_%s", fifo ? "FIFO" : qdisc_name(kind));

	for (char *c = name; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return name;
}

/* A queue of its own for each class, short by itself or sized to the rate: the kernel would put a thousand packets
 * there. */
static void want_leaf(struct planner *p, const struct plan_hook *h, const struct link *dev, const struct node *n)
{
	const struct qdisc_device device = {dev->mtu + (plan_has_ethernet_header(dev) ? PLAN_ETHERNET_HEADER : 0),
					    dev->txqlen};
	const struct model_class *c = n->cls;
	struct kobj *o = plan_want(p, KOBJ_LEAF, c->pos, n->what);

	o->qdisc.ifindex = dev->ifindex;
	o->qdisc.parent = n->classid;
	o->qdisc.handle = leaf_handle(n->classid);
	if (c->leaf_paced)
		o->qdisc.q = plan_paced_leaf(p, h->hook, c, &device);
	else if (!c->leaf_auto)
		o->qdisc.q = c->leaf;
	else if (p->in->has_leaf[QDISC_FQ_CODEL])
		qdisc_defaults(&o->qdisc.q, QDISC_FQ_CODEL, &device);
	else
		qdisc_sized_fifo(&o->qdisc.q, c->rate_Bps, &device);
	if (!p->in->has_leaf[o->qdisc.q.kind])
		diag_error(p->d, c->pos, "no-kernel-support",
			   "this kernel has no %s (%s), which class %s wants as its leaf", qdisc_name(o->qdisc.q.kind),
			   config_of(p, o->qdisc.q.kind), c->name);
}

/* A class of the policy, in its tree. */
static void want_written(struct planner *p, const struct plan_hook *h, const struct link *dev,
			 const struct plan_class *pc)
{
	const struct model_class *c = pc->cls;
	const struct plan_class *up = plan_find_class(h, c->parent);
	struct node n = {c, plan_class_what(p, h, c), plan_htb_class(h, pc), TC_H_ROOT, 0};

	for (const struct model_class *above = c->parent; above; above = above->parent)
		n.level++;
	if (up)
		n.parent = up->cls->parent ? plan_htb_class(h, up) : plan_htb_root(h, pc->shard);
	want_class(p, h, dev, &n);
	if (!c->n_children)
		want_leaf(p, h, dev, &n);
}

static struct kobj *want_qdisc(struct planner *p, const struct plan_hook *h, const struct link *dev, uint32_t parent,
			       uint32_t handle)
{
	struct kobj *o = plan_want(p, KOBJ_QDISC, h->hook->pos, arena_printf(p->a, "%s", h->ifname));

	o->qdisc.ifindex = dev->ifindex;
	o->qdisc.parent = parent;
	o->qdisc.handle = handle;
	return o;
}

static void want_htb(struct planner *p, const struct plan_hook *h, const struct link *dev, uint32_t parent,
		     uint32_t shard)
{
	struct kobj *o = want_qdisc(p, h, dev, parent, KOBJ_SHARD(shard));

	o->level = shard != 0;
	o->qdisc.q.kind = QDISC_HTB;
	o->qdisc.q.htb = (struct qdisc_htb){KOBJ_DEFAULT_MINOR, HTB_R2Q};
}

/* ---- shards: a tree for each queue ---------------------------------------------------------------------------------
 */

/* As long as before at a lower rate, but room for two frames. */
static uint64_t smaller_burst(const struct model_class *c, uint64_t burst, uint64_t before_Bps, uint64_t Bps)
{
	uint64_t scaled = (uint64_t)((unsigned __int128)burst * Bps / before_Bps), least = 2 * (uint64_t)c->mtu;

	if (least > burst)
		least = burst;
	return scaled > least ? scaled : least;
}

/* The root's class, with the tree's part of the policy's rate. */
static void want_shard_root(struct planner *p, const struct plan_hook *h, const struct link *dev, uint32_t shard)
{
	struct model_class *c = arena_new_of(p->a, struct model_class);
	const struct model_class *root = h->hook->root;
	uint64_t part = h->parts_Bps[shard - 1];
	struct node n = {c, NULL, plan_htb_root(h, shard), TC_H_ROOT, 0};

	*c = *root;
	c->rate_Bps = c->ceil_Bps = part;
	c->burst = smaller_burst(c, root->burst, root->rate_Bps, part);
	c->cburst = smaller_burst(c, root->cburst, root->rate_Bps, part);
	n.what = arena_printf(p->a, "%s, shard %u of %u", plan_class_what(p, h, root), shard, h->n_shards);
	want_class(p, h, dev, &n);
}

/* htb sends past all classes what has none of its own and no default: in a queue that is not its class's, a packet
 * finds neither. So each tree has a class like the policy's default, with next to no rate, to catch it. */
static void want_stray(struct planner *p, const struct plan_hook *h, const struct link *dev, uint32_t shard)
{
	struct model_class *c = arena_new_of(p->a, struct model_class);
	const struct model_class *dflt = h->hook->dflt;
	uint64_t part = h->parts_Bps[shard - 1];
	struct node n = {c, NULL, KOBJ_SHARD(shard) | KOBJ_DEFAULT_MINOR, plan_htb_root(h, shard), 1};

	*c = *dflt;
	c->rate_Bps = h->stray_Bps < part ? h->stray_Bps : part;
	c->ceil_Bps = dflt->ceil_Bps < part ? dflt->ceil_Bps : part;
	if (c->rate_Bps > c->ceil_Bps)
		c->rate_Bps = c->ceil_Bps;
	c->burst = 2 * (uint64_t)c->mtu;
	c->cburst = smaller_burst(c, dflt->cburst, dflt->ceil_Bps, c->ceil_Bps);
	c->quantum = c->mtu;
	n.what = arena_printf(p->a, "%s, for what strays into shard %u", plan_class_what(p, h, dflt), shard);
	want_class(p, h, dev, &n);
	c->rate_Bps = c->ceil_Bps; /* what is there lives on what it borrows */
	want_leaf(p, h, dev, &n);
}

static void want_shards(struct planner *p, const struct plan_hook *h, const struct link *dev)
{
	struct kobj *o = want_qdisc(p, h, dev, TC_H_ROOT, KOBJ_ROOT_HANDLE);

	o->qdisc.q.kind = QDISC_MQ;
	o->qdisc.q.mq.trees = h->n_shards;
	for (uint32_t i = 1; i <= h->n_shards; i++) {
		want_htb(p, h, dev, KOBJ_ROOT_HANDLE | i, i);
		want_shard_root(p, h, dev, i);
		if (i != h->default_shard)
			want_stray(p, h, dev, i);
	}
	for (size_t i = 0; i < h->n_classes; i++)
		if (h->classes[i].cls->parent)
			want_written(p, h, dev, &h->classes[i]);
}

/* ---- a device ------------------------------------------------------------------------------------------------------
 */

void plan_htb(struct planner *p, const struct plan_hook *h, const struct link *dev)
{
	if (plan_link_overhead(h, dev) < 0)
		diag_warning(p->d, h->hook->pos, "no-effect",
			     "%s would need an overhead of %d bytes on what the kernel counts; htb knows none below 0 "
			     "and takes 0",
			     h->ifname, plan_link_overhead(h, dev));
	if (h->n_shards) {
		want_shards(p, h, dev);
		return;
	}
	want_htb(p, h, dev, TC_H_ROOT, 0);
	for (size_t i = 0; i < h->n_classes; i++)
		want_written(p, h, dev, &h->classes[i]);
}

/* ---- ifb devices ---------------------------------------------------------------------------------------------------
 */

/* The one that is there, or NULL. */
static const struct link *ifb_of(const struct planner *p, const struct link *l, char name[IFNAMSIZ])
{
	return links_by_name(p->in->links, ifb_name(name, l->name));
}

static bool is_held(const struct planner *p, const struct plan_claim *c)
{
	const struct kobj key = {.kind = KOBJ_LINK, .link.ifindex = c->ifindex};
	const struct kobj *o = p->in->observed ? plan_find_object(p->in->observed, &key) : NULL;

	return o && !strcmp(o->link.of, c->l->name);
}

/* Of one index the first is who gets it. */
static int compare_claims(const void *left, const void *right)
{
	const struct plan_claim *a = left, *b = right;

	if (a->ifindex != b->ifindex)
		return a->ifindex < b->ifindex ? -1 : 1;
	if (a->named != b->named)
		return a->named ? -1 : 1;
	if (a->held != b->held)
		return a->held ? -1 : 1;
	return (a->l > b->l) - (a->l < b->l);
}

static void find_claims(struct planner *p)
{
	for (size_t i = 0; i < p->in->links->n; i++) {
		const struct link *l = &p->in->links->v[i], *there;
		const struct model_interface *iface = p->ifaces[i];
		struct plan_claim *c;
		char name[IFNAMSIZ];

		if (!iface || !iface->ingress || !iface->ingress->via_ifb)
			continue;
		there = ifb_of(p, l, name);
		c = vec_add(p->a, &p->claims);
		c->ifindex = there ? there->ifindex : ifb_index(l->name);
		c->l = l;
		c->named = !iface->glob;
		c->held = is_held(p, c);
	}
	qsort(p->claims.v, p->claims.n, sizeof(*p->claims.v), compare_claims);
}

/* Who gets the ifb of the index; somebody does. */
static const struct link *owner_of(struct planner *p, int ifindex)
{
	size_t from = 0, to;

	if (!p->claims.n)
		find_claims(p);
	for (to = p->claims.n; from < to;) {
		size_t middle = from + (to - from) / 2;

		if (p->claims.v[middle].ifindex < ifindex)
			from = middle + 1;
		else
			to = middle;
	}
	return p->claims.v[from].l;
}

const struct link *plan_ifb(struct planner *p, const struct plan_hook *h, const struct link *l)
{
	struct link *ifb = arena_new_of(p->a, struct link);
	const struct link *there, *owner;
	struct kobj *o;

	*ifb = *l;
	there = ifb_of(p, l, ifb->name);
	ifb->ifindex = there ? there->ifindex : ifb_index(l->name);
	ifb->type = ARPHRD_ETHER;
	ifb->l3_behind = !plan_has_ethernet_header(l);
	ifb->txqlen = there ? there->txqlen : IFB_TXQLEN;
	owner = owner_of(p, ifb->ifindex);
	if (owner != l) {
		diag_error(p->d, h->hook->pos, "ifb-collision",
			   "the ifb devices of %s and %s would have the same index, as it is a hash of their names: "
			   "only one of the two can have \"via: ifb\"",
			   owner->name, l->name);
		return NULL;
	}
	o = plan_want(p, KOBJ_LINK, h->hook->pos, arena_printf(p->a, "ingress of %s", l->name));
	o->link.ifindex = ifb->ifindex;
	strcpy(o->link.name, ifb->name);
	strcpy(o->link.of, l->name);
	o->link.tx_queues = h->n_shards ? h->n_shards : 1;
	o->link.up = true;
	return ifb;
}
