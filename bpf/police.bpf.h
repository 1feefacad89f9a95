/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * police: a packet at its class and at the classes above: counted, and held against their buckets, or given the
 * departure time that their clocks allow. A bucket is one word, the time at which its debt is paid (GCRA, ITU-T I.371):
 * a packet conforms if paying for it too is done within the burst from now.
 */
#ifndef QOSD_POLICE_BPF_H
#define QOSD_POLICE_BPF_H

#include "edt.bpf.h"
#include "wire.bpf.h"

#define CLOCK_TRIES 8

/* The two bits under the DSCP (RFC 3168): the ends can take a mark, and the mark. */
#define ECN_ECT1 1
#define ECN_ECT0 2
#define ECN_CE   3

/* What has been decided about a packet so far. */
struct act {
	__u64 now;     /* 0: not asked for yet */
	__u64 start;   /* edt: the latest departure time so far; 0: none has been given */
	__u64 horizon; /* edt: that of the class that gave the first one */
	struct wire wire;
	__u32 classid;              /* htb: for skb->priority; 0: none */
	__u32 mark, mark_mask;      /* mark_mask 0: leave it */
	__u32 paid[QOSD_DEPTH_MAX]; /* classes that this packet was counted at on the way here */
	__u32 above;                /* the class above the one that was charged last, or 0 */
	__u32 error;                /* a class without its maps' entries */
	__u32 ecn_ns;               /* edt: what waits longer is marked; 0: nothing is */
	__u8 remark, dscp;          /* remark: dscp is to be written */
	__u8 ecn;                   /* the two bits in the packet */
	__u8 marked;                /* they are to become CE */
	__u16 queue;                /* htb: for skb->queue_mapping; 0: leave it */
	__u8 over_key;              /* it is over the rate of its key in the class that is charged next */
	__u8 pad[3];
};

enum verdict { /* an int, as global functions return */
	       VERDICT_PASS,
	       VERDICT_DROP,
	       VERDICT_EXCEED,   /* over the rate, and let through */
	       VERDICT_CONTINUE, /* it conforms, and the class wants it classified again behind its rules */
};

/* Takes cost (ns of the class's rate) from a bucket that is burst deep: 1, or 0 if there is not so much in it. Many
 * CPUs on one word: whoever loses the race looks again; after CLOCK_TRIES it pays without looking, so that nothing is
 * lost. */
static __always_inline int clock_take(__u64 *word, __u64 now, __u64 cost, __u64 burst)
{
	for (int i = 0; i < CLOCK_TRIES; i++) {
		__u64 last = *(volatile __u64 *)word;
		__u64 paid = last > now ? last : now;

		if (paid > now + burst) /* the burst was made smaller */
			paid = now + burst;
		paid += cost;
		if (paid - now > burst)
			return 0;
		if (__sync_val_compare_and_swap(word, last, paid) == last)
			return 1;
	}
	__sync_fetch_and_add(word, cost);
	return 1;
}

static __always_inline __u64 class_cost(const struct qosd_class_conf *c, __u64 bytes)
{
	return bytes * c->mult >> (c->shift & 63);
}

static __always_inline int conforms(struct act *a, __u32 number, const struct qosd_class_conf *c)
{
	struct qosd_class_clock *k = bpf_map_lookup_elem(&clock, &number);

	if (!k) {
		a->error = 1;
		return 1;
	}
	if (!a->now)
		a->now = bpf_ktime_get_ns();
	return clock_take(&k->last_ns, a->now, class_cost(c, a->wire.bytes), c->burst_ns);
}

/* Too large a packet costs nothing. */
static __always_inline int is_over(struct act *a, __u32 number, const struct qosd_class_conf *c)
{
	if (hook.keyed && a->over_key)
		return 1;
	if (c->mtu && a->wire.largest > c->mtu)
		return 1;
	return c->kind == QOSD_KIND_POLICE && !conforms(a, number, c);
}

/* The departure time that one class allows, from now on by its own clock: what waits in a class does not hold up those
 * beside it in the class above. */
static __always_inline int depart(struct act *a, __u32 number, const struct qosd_class_conf *c,
				  struct qosd_class_stats *s)
{
	struct qosd_class_clock *k = bpf_map_lookup_elem(&clock, &number);
	__u64 start;

	if (!k) {
		a->error = 1;
		return VERDICT_PASS;
	}
	if (!a->now)
		a->now = bpf_ktime_get_ns();
	edt_follow(k, a->now, class_cost(c, 1 << 20), c->burst_ns);
	start = edt_book(&k->last_ns, a->now, class_cost(c, a->wire.bytes), c->burst_ns);
	if (start == EDT_BEYOND) {
		s->drop_packets += a->wire.packets;
		s->drop_bytes += a->wire.bytes;
		s->horizon_packets += a->wire.packets;
		s->horizon_bytes += a->wire.bytes;
		return VERDICT_DROP;
	}
	if (!a->start) {
		a->horizon = c->burst_ns;
		a->ecn_ns = c->ecn_ns;
	}
	if (start > a->start)
		a->start = start;
	return VERDICT_PASS;
}

/* The packet at one class, without those above: counted, and held against its bucket. */
static __always_inline int charge_at(struct act *a, __u32 number, const struct qosd_class_conf *c,
				     struct qosd_class_stats *s)
{
	s->packets += a->wire.packets;
	s->bytes += a->wire.bytes;
	if (hook.paces && c->kind == QOSD_KIND_EDT && !(hook.keyed && a->over_key))
		return depart(a, number, c, s);
	if (!is_over(a, number, c))
		return VERDICT_PASS;
	if (c->exceed == QOSD_EXCEED_DROP) {
		s->drop_packets += a->wire.packets;
		s->drop_bytes += a->wire.bytes;
		if (hook.paces && hook.keyed) { /* where there is nothing else to be over */
			s->horizon_packets += a->wire.packets;
			s->horizon_bytes += a->wire.bytes;
		}
		return VERDICT_DROP;
	}
	s->exceed_packets += a->wire.packets;
	s->exceed_bytes += a->wire.bytes;
	if (c->exceed == QOSD_EXCEED_DSCP) {
		a->remark = 1;
		a->dscp = c->exceed_dscp;
	}
	return VERDICT_EXCEED;
}

/* The same, and which class is above. Global: verified once, not once a level. */
__noinline int charge(struct act *a, __u32 number)
{
	const struct qosd_class_conf *c = bpf_map_lookup_elem(&conf, &number);
	struct qosd_class_stats *s = bpf_map_lookup_elem(&stats, &number);

	if (!a)
		return VERDICT_PASS;
	a->above = 0;
	if (!c || !s) {
		a->error = 1;
		return VERDICT_PASS;
	}
	a->above = c->parent;
	return charge_at(a, number, c, s);
}

/* What the class itself wants of the packet, and where htb is to queue it. */
static __always_inline int take_remarks(struct act *a, const struct qosd_class_conf *c)
{
	if (c->kind == QOSD_KIND_HTB) {
		a->classid = c->classid;
		a->queue = c->queue;
	}
	if (c->remark & QOSD_REMARK_DSCP) {
		a->remark = 1;
		a->dscp = c->remark_dscp;
	}
	if (c->remark & QOSD_REMARK_MARK) {
		a->mark = (a->mark & ~c->mark_mask) | (c->mark & c->mark_mask);
		a->mark_mask |= c->mark_mask;
	}
	return c->conform_continue ? VERDICT_CONTINUE : VERDICT_PASS;
}

/* Was the packet at this class before, by way of a class with `conform: continue`? The rules come depth first, so the
 * classes that two of them in turn have in common are the ends of both ways to the root. */
static __always_inline int was_paid(const struct act *a, __u32 number)
{
	int found = 0;

	for (int i = 0; i < QOSD_DEPTH_MAX; i++)
		found |= a->paid[i] == number;
	return found;
}

/* per.bpf.h: the packet at its key in a class with `per`. VERDICT_PASS, or VERDICT_EXCEED: over the key's rate. */
int charge_key(struct act *a, __u32 number);
/* A class drops it, or with EDT it departs with a mark. */
int settle_key(struct act *a, __u32 number, __u32 dropped);

/* A class further up drops what departed from this one. Global: verified once, not once a level. */
__noinline int return_to(struct act *a, __u32 number)
{
	const struct qosd_class_conf *c = bpf_map_lookup_elem(&conf, &number);
	struct qosd_class_clock *k = bpf_map_lookup_elem(&clock, &number);
	struct qosd_class_stats *s = bpf_map_lookup_elem(&stats, &number);

	if (a && c && k && c->kind == QOSD_KIND_EDT)
		edt_unbook(&k->last_ns, class_cost(c, a->wire.bytes));
	if (a && s && hook.paces)
		s->above_packets += a->wire.packets;
	return 0;
}

static __always_inline void count_departure_at(const struct act *a, struct qosd_class_stats *s)
{
	s->delay_ns += (a->start - a->now) * a->wire.packets;
	if (a->marked) {
		s->mark_packets += a->wire.packets;
		s->mark_bytes += a->wire.bytes;
	}
}

/* It departs: what it waits for, and whether it is marked, counts at every class that it came through. */
__noinline int count_departure(struct act *a, __u32 number)
{
	struct qosd_class_stats *s = bpf_map_lookup_elem(&stats, &number);

	if (a && s)
		count_departure_at(a, s);
	return 0;
}

static __always_inline int wants_mark(const struct act *a)
{
	return a->ecn_ns && a->start - a->now > a->ecn_ns && (a->ecn == ECN_ECT0 || a->ecn == ECN_ECT1);
}

/* The end of a packet's way through n classes that pace, or that have keys. */
static __always_inline void settle(struct act *a, const __u32 *way, int n, int verdict)
{
	if (verdict != VERDICT_DROP && !a->start) /* no class has a rate */
		return;
	a->marked = wants_mark(a);
	for (int i = 0; i < QOSD_DEPTH_MAX && i < n; i++) {
		if (hook.keyed && (verdict == VERDICT_DROP || a->marked))
			settle_key(a, way[i], verdict == VERDICT_DROP);
		if (verdict == VERDICT_DROP)
			return_to(a, way[i]);
		else
			count_departure(a, way[i]);
	}
}

/* The packet at a class with nothing above it, as act_class below, without what only ways and keys need. */
static __always_inline int act_alone(struct act *a, __u32 number, const struct qosd_class_conf *c, int verdict)
{
	struct qosd_class_stats *s = bpf_map_lookup_elem(&stats, &number);
	int at;

	if (!s) {
		a->error = 1;
		return verdict;
	}
	at = charge_at(a, number, c, s);
	if (hook.paces && at != VERDICT_DROP && a->start) {
		a->marked = wants_mark(a);
		count_departure_at(a, s);
	}
	return at == VERDICT_EXCEED ? VERDICT_PASS : at == VERDICT_DROP ? at : verdict;
}

/* The packet at class number and up to the root. Global: verified once, not once a class that continues. */
__noinline int act_class(struct act *a, __u32 number)
{
	const struct qosd_class_conf *own = bpf_map_lookup_elem(&conf, &number);
	__u32 way[QOSD_DEPTH_MAX] = {};
	int verdict, paid = 0, depth;

	if (!a)
		return VERDICT_PASS;
	if (!own) {
		a->error = 1;
		return VERDICT_PASS;
	}
	verdict = take_remarks(a, own);
	for (depth = 0; depth < QOSD_DEPTH_MAX && number; depth++) {
		int at;

		way[depth] = number;
		if (table.rounds && (paid || was_paid(a, number))) {
			const struct qosd_class_conf *c = bpf_map_lookup_elem(&conf, &number);

			paid = 1;
			number = c ? c->parent : 0;
			continue;
		}
		if (hook.keyed) /* from here and not from charge(): the stack of a chain of calls is short */
			a->over_key = charge_key(a, number) != VERDICT_PASS;
		at = charge(a, number);
		if (at == VERDICT_DROP) {
			if (hook.keyed && !a->over_key) /* the class, and not the key */
				settle_key(a, number, 1);
			if (hook.paces || hook.keyed)
				settle(a, way, depth, at);
			return VERDICT_DROP;
		}
		if (at == VERDICT_EXCEED)
			verdict = VERDICT_PASS;
		number = a->above;
	}
	if (hook.paces)
		settle(a, way, depth, verdict);
	if (table.rounds)
		for (int i = 0; i < QOSD_DEPTH_MAX; i++)
			a->paid[i] = way[i];
	return verdict;
}

#endif
