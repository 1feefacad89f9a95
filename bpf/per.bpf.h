/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * per: a packet at its key: the address or prefix of one end that has a clock of its own in a class with `per`. A key
 * that turns up is put into the class's map; where that is full, all further ones share one clock of the class. Nothing
 * is ever thrown out here.
 */
#ifndef QOSD_PER_BPF_H
#define QOSD_PER_BPF_H

#include "police.bpf.h"

#define KEY_NS_PER_S 1000000000ull
#define KEY_FULL_NS  1000000ull /* a map that had no room is not tried again for so long */

/* Where a packet pays, and is counted. */
struct key_at {
	struct qosd_class_clock *own; /* NULL: it shares one */
	__u64 *last_ns;
	struct qosd_key_stats *stats; /* of this CPU; NULL: nowhere */
};

static __always_inline struct key_scratch *key_scratch_of(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&key_scratch, &zero);
}

static __always_inline void key_remember(const struct packet *p)
{
	struct key_scratch *scratch = key_scratch_of();

	if (scratch) {
		scratch->ends[QOSD_KEY_SRC] = p->src.addr;
		scratch->ends[QOSD_KEY_DST] = p->dst.addr;
	}
}

static __always_inline __u64 key_own_rate(const struct qosd_key_conf *kc, const struct qosd_written *w)
{
	return kc->up ? w->up_Bps : w->down_Bps;
}

/* The element of the set that the address is a key of, or NULL: itself if it has a rate in this direction, else the
 * longest prefix that covers it. As in a fence, ::/0 has no IPv4 address in it. */
static __always_inline const struct qosd_written *key_element(const struct qosd_key_conf *kc, const struct qosd_lpm *at)
{
	__u32 slot = kc->set - 1;
	struct qosd_set_conf *sc = bpf_map_lookup_elem(&sets_conf, &slot);
	const struct qosd_written *w;
	void *inner = bpf_map_lookup_elem(&sets_written, &slot);

	if (!sc || !inner)
		return NULL;
	w = bpf_map_lookup_elem(inner, &at->addr);
	if ((w && key_own_rate(kc, w)) || !sc->n_prefixes)
		return w;
	inner = bpf_map_lookup_elem(&sets_prefixes, &slot);
	if (!inner)
		return NULL;
	w = bpf_map_lookup_elem(inner, at);
	return w && (w->bits >= 96 || !address_is_v4(&at->addr)) ? w : NULL;
}

/* Clears all but the first bits of the address. */
static __always_inline void key_mask(struct qosd_lpm *key, __u32 bits)
{
	__u32 *word = (__u32 *)key->addr.b;

	key->prefixlen = bits;
	if (bits >= 128)
		return;
	for (__u32 i = 0; i < 4; i++) {
		if (bits <= 32 * i)
			word[i] = 0;
		else if (bits < 32 * (i + 1))
			word[i] &= bpf_htonl(~0u << ((32 * (i + 1) - bits) & 31));
	}
}

/* The key of this packet, and its rate in bytes a second (0: none). An element with a rate of its own is one key, be it
 * a single address or a prefix. */
static __always_inline __u64 key_of(const struct key_scratch *scratch, const struct qosd_key_conf *kc,
				    struct qosd_lpm *key)
{
	__u32 bits = kc->prefix6;
	__u64 rate = kc->rate_Bps, own;
	const struct qosd_written *w;

	key->prefixlen = 128;
	key->addr = scratch->ends[kc->side & 1];
	if (address_is_v4(&key->addr))
		bits = kc->prefix4;
	w = kc->set ? key_element(kc, key) : NULL;
	if (w) {
		own = key_own_rate(kc, w);
		if (own) {
			rate = own;
			bits = w->bits;
		}
	}
	key_mask(key, bits);
	return rate;
}

/* The key's entry, made if need be. NULL: there is no room for it, or no map. */
static __always_inline void *key_entry(struct act *a, __u32 number, const struct qosd_lpm *key,
				       struct qosd_class_clock *shared)
{
	void *map = bpf_map_lookup_elem(&keys, &number), *entry, *zeros;
	__u32 zero = 0;
	long err;

	if (!map)
		return NULL;
	entry = bpf_map_lookup_elem(map, key);
	if (entry || a->now - *(volatile __u64 *)&shared->full_ns < KEY_FULL_NS)
		return entry;
	zeros = bpf_map_lookup_elem(&new_key, &zero);
	if (!zeros)
		return NULL;
	err = bpf_map_update_elem(map, key, zeros, BPF_NOEXIST);
	if (err == -E2BIG)
		*(volatile __u64 *)&shared->full_ns = a->now;
	return bpf_map_lookup_elem(map, key); /* another CPU may have been faster */
}

/* counting: the packet is seen here for the first time. */
static __always_inline int key_find(struct act *a, __u32 number, const struct qosd_lpm *key, int counting,
				    struct key_at *at)
{
	struct qosd_class_clock *shared = bpf_map_lookup_elem(&clock, &number);
	__u32 cpu = bpf_get_smp_processor_id();
	void *entry;

	if (!shared)
		return -1;
	entry = key_entry(a, number, key, shared);
	at->own = entry;
	at->stats = NULL;
	if (!entry) {
		at->last_ns = &shared->shared_ns;
		if (counting)
			__sync_fetch_and_add(&shared->shared_packets, a->wire.packets);
		return 0;
	}
	at->last_ns = &at->own->last_ns;
	if (cpu < cpus)
		at->stats = entry + sizeof(struct qosd_class_clock) + cpu * sizeof(struct qosd_key_stats);
	return 0;
}

/* The rate by which the packet is charged, of its key's own (0: none). Those who share a clock share a speed, or one
 * slow key would keep all others away for as long as its packets take. */
static __always_inline __u64 key_speed(const struct key_at *at, const struct qosd_key_conf *kc, __u64 rate)
{
	return !at->own && rate && kc->rate_Bps ? kc->rate_Bps : rate;
}

/* Time at the rate, which is not 0. */
static __always_inline __u64 key_ns(__u64 bytes, __u64 rate)
{
	return bytes * KEY_NS_PER_S / rate;
}

static __always_inline int key_conforms(const struct act *a, const struct qosd_key_conf *kc, __u64 rate, __u64 *last_ns)
{
	__u64 burst = kc->burst_ns, least;

	if (!rate) { /* seen, so that it does not age */
		*(volatile __u64 *)last_ns = a->now;
		return 1;
	}
	if (kc->burst_bytes) {
		least = key_ns(kc->burst_bytes, rate);
		if (least > burst)
			burst = least;
	}
	return clock_take(last_ns, a->now, key_ns(a->wire.bytes, rate), burst);
}

/* EDT: the departure time that the key allows; 0: it would wait beyond the horizon. */
static __always_inline int key_departs(struct act *a, const struct qosd_class_conf *c, const struct qosd_key_conf *kc,
				       __u64 rate, const struct key_at *at)
{
	__u64 start;

	if (!rate) {
		*(volatile __u64 *)at->last_ns = a->now;
		return 1;
	}
	if (at->own)
		edt_follow(at->own, a->now, ~rate, kc->burst_ns);
	start = edt_book(at->last_ns, a->now, key_ns(a->wire.bytes, rate), kc->burst_ns);
	if (start == EDT_BEYOND)
		return 0;
	if (!a->start) {
		a->horizon = kc->burst_ns;
		a->ecn_ns = c->ecn_ns;
	}
	if (start > a->start)
		a->start = start;
	if (at->stats)
		at->stats->delay_ns += (start - a->now) * a->wire.packets;
	return 1;
}

/* What key_departs booked and counted, for a packet that does not depart after all. Its clock is where it was before,
 * unless another CPU has booked in between. */
static __always_inline void key_stays(const struct act *a, const struct key_at *at, __u64 cost)
{
	__u64 wait, counted;

	edt_unbook(at->last_ns, cost);
	wait = *(volatile __u64 *)at->last_ns - a->now;
	if (!at->stats || (__s64)wait <= 0)
		return;
	wait *= a->wire.packets;
	counted = at->stats->delay_ns;
	at->stats->delay_ns = counted > wait ? counted - wait : 0;
}

/* Global: verified by itself, before Linux 6.8 also where nothing calls it; and its maps are there only where a class
 * has `per`. Too large a packet costs nothing. */
__noinline int charge_key(struct act *a, __u32 number)
{
	const struct qosd_class_conf *c;
	const struct qosd_key_conf *kc;
	struct key_scratch *scratch;
	int conforming = 1;
	struct key_at at;
	__u64 rate;

	if (!hook.keyed)
		return VERDICT_PASS;
	c = bpf_map_lookup_elem(&conf, &number);
	kc = bpf_map_lookup_elem(&key_conf, &number);
	scratch = key_scratch_of();
	if (!a || !c || !c->keyed)
		return VERDICT_PASS;
	if (!kc || !scratch) {
		a->error = 1;
		return VERDICT_PASS;
	}
	if (!a->now)
		a->now = bpf_ktime_get_ns();
	rate = key_of(scratch, kc, &scratch->key);
	if (key_find(a, number, &scratch->key, 1, &at)) {
		a->error = 1;
		return VERDICT_PASS;
	}
	rate = key_speed(&at, kc, rate);
	if (hook.paces && kc->kind == QOSD_KIND_EDT)
		conforming = key_departs(a, c, kc, rate, &at);
	else if (c->mtu && a->wire.largest > c->mtu)
		conforming = 0;
	else
		conforming = key_conforms(a, kc, rate, at.last_ns);
	if (at.stats) {
		at.stats->packets += a->wire.packets;
		at.stats->bytes += a->wire.bytes;
		if (!conforming && c->exceed == QOSD_EXCEED_DROP) {
			at.stats->drop_packets += a->wire.packets;
			at.stats->drop_bytes += a->wire.bytes;
		}
	}
	return conforming ? VERDICT_PASS : VERDICT_EXCEED;
}

/* A class drops what its key let pass: that counts at the key too, and with EDT it gets back what it paid. Or, with
 * EDT, the packet departs with a mark. */
__noinline int settle_key(struct act *a, __u32 number, __u32 dropped)
{
	const struct qosd_class_conf *c;
	const struct qosd_key_conf *kc;
	struct key_scratch *scratch;
	struct key_at at;
	__u64 rate;

	if (!hook.keyed)
		return 0;
	c = bpf_map_lookup_elem(&conf, &number);
	kc = bpf_map_lookup_elem(&key_conf, &number);
	scratch = key_scratch_of();
	if (!a || !c || !c->keyed || !kc || !scratch)
		return 0;
	rate = key_of(scratch, kc, &scratch->key);
	if (key_find(a, number, &scratch->key, 0, &at))
		return 0;
	rate = key_speed(&at, kc, rate);
	if (dropped && rate && kc->kind == QOSD_KIND_EDT)
		key_stays(a, &at, key_ns(a->wire.bytes, rate));
	if (!at.stats)
		return 0;
	if (dropped) {
		at.stats->drop_packets += a->wire.packets;
		at.stats->drop_bytes += a->wire.bytes;
	} else {
		at.stats->mark_packets += a->wire.packets;
	}
	return 0;
}

#endif
