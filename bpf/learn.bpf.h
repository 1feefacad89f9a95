/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * learn: addresses that arrive on an interface, into the sets that it teaches. Looked up before written to: a known
 * neighbour costs one lookup a packet and one write a second.
 */
#ifndef QOSD_LEARN_BPF_H
#define QOSD_LEARN_BPF_H

#define SECOND_NS      1000000000ull
#define MILLISECOND_NS 1000000ull

static __always_inline int address_is_v4(const struct qosd_addr *a)
{
	const __u32 *w = (const __u32 *)a->b;

	return !w[0] && !w[1] && w[2] == bpf_htonl(0xffff);
}

/* 0/8, 127/8, 224/4 and 240/4 (the broadcast address is in there); ::, ::1, ff00::/8; a v4-mapped address never comes
 * here as IPv6 from a sane sender and counts as the IPv4 address that it holds. */
static __always_inline int address_is_unicast(const struct qosd_addr *a)
{
	const __u32 *w = (const __u32 *)a->b;

	if (address_is_v4(a))
		return a->b[12] != 0 && a->b[12] != 127 && a->b[12] < 224;
	if (!w[0] && !w[1] && !w[2])
		return bpf_ntohl(w[3]) > 1;
	return a->b[0] != 0xff;
}

static __always_inline int address_is_link_local(const struct qosd_addr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

/* In the trie ::/0 covers the IPv4 addresses too, in a fence it does not mean them: the prefix that was found must not
 * be found again by what lies above ::ffff:0:0/96. */
static __always_inline int fence_lets_in(__u32 slot, const struct qosd_addr *a)
{
	struct qosd_fence key = {.prefixlen = 32 + 128, .slot = slot, .addr = *a};
	__u32 *inside = bpf_map_lookup_elem(&fence, &key);

	if (!inside || !address_is_v4(a))
		return inside != NULL;
	key.prefixlen = 32 + 95;
	return inside != bpf_map_lookup_elem(&fence, &key);
}

static __always_inline void tell(__u32 type, __u32 slot, __u64 now, const struct qosd_addr *a, __u32 ifindex, __u32 how)
{
	struct qosd_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) /* nobody reads: the daemon is away, and lists the map when it is back */
		return;
	e->type = type;
	e->slot = slot;
	e->now_ns = now;
	e->addr = *a;
	e->ifindex = ifindex;
	e->how = how;
	bpf_ringbuf_submit(e, 0);
}

/* A set that asks the daemon to evict does so at most once a millisecond and CPU: a flood of spoofed sources must not
 * become a flood of evictions. */
static __always_inline void ask_for_room(struct qosd_set_stats *s, __u32 slot, __u64 now, const struct qosd_addr *a,
					 __u32 ifindex, __u32 how)
{
	if (now - s->asked_ns < MILLISECOND_NS)
		return;
	s->asked_ns = now;
	s->asked++;
	tell(QOSD_EVENT_SET_FULL, slot, now, a, ifindex, how);
}

/* Seen again: worth a write once a second, more often only where a shorter timeout asks for it. */
static __always_inline int needs_refresh(const struct qosd_learned *known, const struct qosd_set_conf *sc, __u64 now,
					 __u32 how, __u32 ifindex)
{
	__u64 every = sc->timeout_ns && sc->timeout_ns < 4 * SECOND_NS ? sc->timeout_ns / 4 : SECOND_NS;

	return (__s64)(now - known->last_ns) >= (__s64)every || how & ~known->how || known->ifindex != ifindex;
}

/* Where a timeout is so short that it is refreshed more often than a tick is long, every packet is looked at. */
static __always_inline int may_wait_a_tick(const struct qosd_set_conf *sc)
{
	return !sc->timeout_ns || sc->timeout_ns >= 4 * SECOND_NS;
}

/* Puts addr into the set in slot, or notes that it is still there. how is the ways it was seen, of which the set may
 * not want all. 1: it is in the set, and need not be looked at again in this tick. Global, so that the verifier looks
 * at it once for all sets and callers. */
__noinline int learn_address(__u32 slot, const struct qosd_addr *addr, __u32 how, __u32 ifindex, __u32 has_fence)
{
	struct qosd_set_conf *sc = bpf_map_lookup_elem(&sets_conf, &slot);
	void *learned = bpf_map_lookup_elem(&sets_learned, &slot);
	struct qosd_learned *known, fresh = {};
	struct qosd_set_stats *s;
	struct qosd_addr key;
	__u64 now;
	long err;

	if (!addr || !sc || !learned)
		return 0;
	how &= sc->from;
	if (!how)
		return 0;
	key = *addr;
	now = coarse_now();
	known = bpf_map_lookup_elem(learned, &key);
	if (known && !needs_refresh(known, sc, now, how, ifindex))
		return may_wait_a_tick(sc);
	s = bpf_map_lookup_elem(&sets_stats, &slot);
	if (!s)
		return 0;
	/* A link-local address never is behind the router: it counts only where a fence names it. */
	if (!address_is_unicast(&key) || (address_is_link_local(&key) && !has_fence)) {
		s->unusable++;
		return 0;
	}
	if (has_fence && !fence_lets_in(slot, &key)) {
		s->fenced++;
		return 0;
	}
	if (known) {
		known->last_ns = now;
		known->ifindex = ifindex;
		known->how |= how;
		return 0;
	}
	fresh.first_ns = now;
	fresh.last_ns = now;
	fresh.ifindex = ifindex;
	fresh.how = how;
	err = bpf_map_update_elem(learned, &key, &fresh, BPF_NOEXIST);
	if (!err) {
		s->learned++;
		tell(QOSD_EVENT_LEARNED, slot, now, &key, ifindex, how);
	} else if (err != -EEXIST) { /* another CPU was faster */
		s->refused++;
		if (sc->when_full == QOSD_FULL_EVICT)
			ask_for_room(s, slot, now, &key, ifindex, how);
	}
	return 0;
}

/* 16 jiffies, which cost nothing to read: 16 to 160 ms, by the kernel's HZ. */
static __always_inline __u32 learn_tick(void)
{
	return bpf_jiffies64() >> 4;
}

static __always_inline int same_address(const struct qosd_addr *a, const struct qosd_addr *b)
{
	const __u32 *x = (const __u32 *)a->b, *y = (const __u32 *)b->b;

	return x[3] == y[3] && x[2] == y[2] && x[1] == y[1] && x[0] == y[0];
}

/* An address sends many packets: all but the first of a tick end here. What is taken out of a set comes back with the
 * first packet of the next tick. */
static __always_inline void learn_in(__u32 slot, const struct qosd_addr *addr, __u32 how, __u32 ifindex,
				     __u32 has_fence)
{
	const __u32 *w = (const __u32 *)addr->b;
	__u32 tick = learn_tick(), place = (bpf_ntohl(w[3]) ^ slot) & (NOTED_MAX - 1);
	struct noted *n = bpf_map_lookup_elem(&noted, &place);

	if (!n)
		return;
	if (n->tick == tick && n->slot == slot && n->ifindex == ifindex && n->how == how &&
	    same_address(&n->addr, addr))
		return;
	if (!learn_address(slot, addr, how, ifindex, has_fence))
		return;
	n->addr = *addr;
	n->slot = slot;
	n->ifindex = ifindex;
	n->how = how;
	n->tick = tick;
}

static __always_inline void learn_in_all(const struct qosd_addr *addr, __u32 how, __u32 ifindex)
{
	for (__u32 i = 0; i < QOSD_LEARN_MAX; i++)
		if (i < hook.learn_n)
			learn_in(hook.learn_slot[i], addr, how, ifindex, fenced >> i & 1);
}

/* What a packet says about who sent it. */
static __always_inline void learn(struct __sk_buff *skb, const struct packet *p, enum packet_kind kind)
{
	int is_nd = kind == PACKET_IP && p->v6 && p->proto == IPPROTO_ICMPV6 && p->hop_limit == 255 &&
		    p->icmp_type >= ND_FIRST && p->icmp_type <= ND_LAST;
	__u32 how = kind == PACKET_ARP ? QOSD_HOW_ARP : is_nd ? QOSD_HOW_IP | QOSD_HOW_ND : QOSD_HOW_IP;

	if (kind != PACKET_IP && kind != PACKET_ARP)
		return;
	learn_in_all(&p->src.addr, how, skb->ifindex);
	if (is_nd && p->has_target)
		learn_in_all(&p->target, QOSD_HOW_ND, skb->ifindex);
}

#endif
