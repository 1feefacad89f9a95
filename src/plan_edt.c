/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/pkt_sched.h>

#include "planner.h"

#define SMALL_PACKET   64         /* the least that Ethernet carries */
#define USUAL_PACKET   512        /* of a flow that is busy, on average, between acknowledgements and data */
#define FLOW_LIMIT_MIN 100        /* the kernel's own, */
#define LIMIT_MIN      10000      /* both */
#define LIMIT_MAX      (1u << 20) /* packets; the memory of a fq that holds them all */
#define BUCKETS_LOG    15         /* trees of flows, of 8 bytes each; there is one fq for all */
#define LEAF_LOG_MIN   10         /* one of many; a tree a key */
#define LEAF_FLOW_MIN  16         /* a flow that the htb holds back keeps so many waiting */
#define ORPHAN_MASK    0xfffffu   /* so many hashes of flows without a socket: forwarded ones */
#define NS_PER_S       1000000000u

/* How many packets of the size wait, at most, that are sent within the horizon. */
static uint32_t packets_in(uint64_t Bps, uint64_t horizon_ns, uint32_t size, uint32_t least)
{
	unsigned __int128 packets = (unsigned __int128)Bps * horizon_ns / NS_PER_S / size + 1;

	return packets < least ? least : packets > LIMIT_MAX ? LIMIT_MAX : (uint32_t)packets;
}

static uint64_t add_rates(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* The highest rate of any key of the class: its own, or an element's. */
static uint64_t key_rate(struct planner *p, const struct model_hook *m, const struct model_per *per)
{
	uint64_t most = per->rate_Bps;

	for (size_t i = 0; i < p->plan->sets.n; i++) {
		struct plan_set *s = &p->plan->sets.v[i];
		uint64_t own = m->up ? s->most.up_Bps : s->most.down_Bps;

		if (s->set != per->set)
			continue;
		s->sizes_fq = true;
		most = own > most ? own : most;
	}
	return most;
}

static void find_key_rates(struct planner *p, const struct model_hook *m, const struct model_per *per, uint64_t *all,
			   uint64_t *one)
{
	uint64_t each = key_rate(p, m, per);

	*one = each > *one ? each : *one;
	*all = add_rates(*all, each > UINT64_MAX / per->max ? UINT64_MAX : each * per->max);
}

/* What all classes send together, and what one flow sends at most. */
static void find_rates(struct planner *p, const struct model_hook *m, const struct model_class *c, uint64_t *all,
		       uint64_t *one)
{
	if (c->rate_Bps) {
		*all = add_rates(*all, c->rate_Bps);
		*one = c->rate_Bps > *one ? c->rate_Bps : *one;
		return;
	}
	if (c->per.key)
		find_key_rates(p, m, &c->per, all, one);
	for (size_t i = 0; i < c->n_children; i++)
		find_rates(p, m, c->children[i], all, one);
}

/* All but how long it is. A stamp beyond fq's horizon is none of ours: sent then, not dropped. */
static struct qdisc fq_of(const struct model_hook *m, const struct qdisc_device *device)
{
	struct qdisc q;

	qdisc_defaults(&q, QDISC_FQ, device);
	q.fq.buckets_log = BUCKETS_LOG;
	q.fq.orphan_mask = ORPHAN_MASK;
	q.fq.horizon_us = (uint32_t)((m->horizon_ns + 999) / 1000);
	q.fq.horizon_drop = 0;
	return q;
}

static uint32_t log_of_buckets(uint32_t keys)
{
	uint32_t log = LEAF_LOG_MIN;

	while (log < BUCKETS_LOG && 1u << log < keys)
		log++;
	return log;
}

/* In the room for many small packets, large ones would wait for seconds where it is the htb that holds them back: fq
 * may drop before the horizon does, which counts as the leaf's. Where keys may have no rate, those of the class around
 * are what its packets wait for, or there is only the ceil. */
struct qdisc plan_paced_leaf(struct planner *p, const struct model_hook *m, const struct model_class *c,
			     const struct qdisc_device *device)
{
	const struct model_class *keyed = model_keyed(c);
	uint64_t all = 0, one = 0;
	uint32_t keys = 0;
	struct qdisc fq;

	while (keyed) {
		find_key_rates(p, m, &keyed->per, &all, &one);
		keys = keyed->per.max > keys ? keyed->per.max : keys;
		if (keyed->per.rate_Bps)
			break;
		keyed = model_keyed(keyed->parent);
	}
	if (!keyed)
		one = c->ceil_Bps > one ? c->ceil_Bps : one;
	fq = fq_of(m, device);
	fq.fq.limit = packets_in(all, m->horizon_ns, USUAL_PACKET, LIMIT_MIN);
	fq.fq.flow_limit = packets_in(one, m->horizon_ns, USUAL_PACKET, LEAF_FLOW_MIN);
	fq.fq.buckets_log = log_of_buckets(keys);
	if (m->ecn_ns) /* from the time on at which the packet was to depart: what the htb makes it wait */
		fq.fq.ce_threshold_us = (uint32_t)((m->ecn_ns + 999) / 1000);
	return fq;
}

static struct kobj_qdisc *want_qdisc(struct planner *p, const struct plan_hook *h, enum kobj_kind kind,
				     const struct link *dev, uint32_t parent, uint32_t handle)
{
	struct kobj *o = plan_want(p, kind, h->hook->pos, h->ifname);

	o->qdisc.ifindex = dev->ifindex;
	o->qdisc.parent = parent;
	o->qdisc.handle = handle;
	return &o->qdisc;
}

void plan_edt(struct planner *p, const struct plan_hook *h, const struct link *dev)
{
	const struct qdisc_device device = {dev->mtu + (plan_has_ethernet_header(dev) ? PLAN_ETHERNET_HEADER : 0),
					    dev->txqlen};
	const uint64_t horizon_ns = h->hook->horizon_ns;
	struct qdisc fq = fq_of(h->hook, &device);
	uint64_t all = 0, one = 0;

	find_rates(p, h->hook, h->hook->root, &all, &one);
	/* Small packets, so that it is always the program's horizon that drops, which counts it, and never fq. */
	fq.fq.limit = packets_in(all, horizon_ns, SMALL_PACKET, LIMIT_MIN);
	fq.fq.flow_limit = packets_in(one, horizon_ns, SMALL_PACKET, FLOW_LIMIT_MIN);
	if (dev->tx_queues <= 1 || dev->tx_queues > KOBJ_SHARDS_MAX || !p->in->has_leaf[QDISC_MQ]) {
		want_qdisc(p, h, KOBJ_QDISC, dev, TC_H_ROOT, KOBJ_ROOT_HANDLE)->q = fq;
		return;
	}
	want_qdisc(p, h, KOBJ_QDISC, dev, TC_H_ROOT, KOBJ_ROOT_HANDLE)->q = (struct qdisc){.kind = QDISC_MQ};
	for (uint32_t i = 1; i <= dev->tx_queues; i++)
		want_qdisc(p, h, KOBJ_LEAF, dev, KOBJ_ROOT_HANDLE | i, KOBJ_SHARD(i))->q = fq;
}
