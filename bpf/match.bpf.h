/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * match: which rules hold for a packet. A rule is a bit; each field that a rule asks about gives a row of bits, the
 * rules that its value satisfies; the AND of the rows has the rules that hold, and the lowest bit is the first of them
 * (the bit-vector scheme of Lakshman and Stiliadis, SIGCOMM 1998). src/tables.c builds the rows.
 */
#ifndef QOSD_MATCH_BPF_H
#define QOSD_MATCH_BPF_H

struct bits {
	__u64 w[QOSD_WORDS_MAX];
	__u32 src_class, dst_class; /* of a run's rule that has the address */
};

/* -1: no such row, which is a broken table. */
static __always_inline int and_row(struct bits *b, __u32 number)
{
	const __u64 *row = bpf_map_lookup_elem(&rows, &number);

	if (!row)
		return -1;
	b->w[0] &= row[0];
	if (table.words > 1)
		b->w[1] &= row[1];
	if (table.words > 2) {
		b->w[2] &= row[2];
		b->w[3] &= row[3];
	}
	if (table.words > 4) {
		b->w[4] &= row[4];
		b->w[5] &= row[5];
		b->w[6] &= row[6];
		b->w[7] &= row[7];
	}
	return 0;
}

/* An IPv6 packet may have an address that stands for an IPv4 one. */
static __always_inline int has_v4(const struct packet *p, const struct qosd_addr *a)
{
	return !p->v6 || address_is_v4(a);
}

/* NULL: broken steps. */
static __always_inline const struct qosd_place *take_steps(void *steps, const struct qosd_addr *a)
{
	__u32 number = 0;

	for (int i = 0; i < 4; i++) {
		const struct qosd_step *step = bpf_map_lookup_elem(steps, &number);
		const struct qosd_place *at;

		if (!step)
			return NULL;
		at = &step->at[a->b[12 + i]];
		if (!(at->row & QOSD_STEP_MORE))
			return at;
		number = at->row & ~QOSD_STEP_MORE;
	}
	return NULL;
}

static __always_inline int and_place(struct bits *b, const struct qosd_place *place, __u32 *class_number)
{
	if (!place)
		return -1;
	*class_number = place->class_number;
	return and_row(b, place->row);
}

static __always_inline int and_wide(struct bits *b, void *index, __u32 value)
{
	__u32 zero = 0;
	const struct qosd_wide_index *wide = bpf_map_lookup_elem(index, &zero);

	return wide && value <= 65536 ? and_row(b, wide->row[value]) : -1;
}

/* ---- sets ---- */
static __always_inline int is_fresh(const struct qosd_learned *l, const struct qosd_set_conf *sc, __u64 now)
{
	if (!sc->timeout_ns)
		return 1;
	if (!now)
		now = coarse_now();
	return (__s64)(now - l->last_ns) < (__s64)sc->timeout_ns;
}

/* As in a fence, ::/0 has no IPv4 address in it. */
static __always_inline int prefixes_have(void *prefixes, const struct qosd_addr *a)
{
	struct qosd_lpm key = {.prefixlen = 128, .addr = *a};
	void *found = bpf_map_lookup_elem(prefixes, &key);

	if (!found || !address_is_v4(a))
		return found != NULL;
	key.prefixlen = 95;
	return found != bpf_map_lookup_elem(prefixes, &key);
}

/* now is 0 where nobody has asked for the time yet. Global: verified once for all the places that ask. */
__noinline int set_has(__u32 slot, const struct qosd_addr *addr, __u64 now)
{
	struct qosd_set_conf *sc = bpf_map_lookup_elem(&sets_conf, &slot);
	struct qosd_learned *l;
	struct qosd_addr key;
	void *inner;

	if (!addr || !sc)
		return 0;
	key = *addr;
	inner = bpf_map_lookup_elem(&sets_learned, &slot);
	if (inner) {
		l = bpf_map_lookup_elem(inner, &key);
		if (l && is_fresh(l, sc, now))
			return 1;
	}
	inner = bpf_map_lookup_elem(&sets_written, &slot);
	if (inner && bpf_map_lookup_elem(inner, &key))
		return 1;
	if (!sc->n_prefixes)
		return 0;
	inner = bpf_map_lookup_elem(&sets_prefixes, &slot);
	return inner && prefixes_have(inner, &key);
}

static __always_inline int atom_holds(struct __sk_buff *skb, const struct packet *p, const volatile struct qosd_atom *a,
				      __u64 now)
{
	switch (a->kind) {
	case QOSD_ATOM_SRC_SET: return set_has(a->value, &p->src.addr, now);
	case QOSD_ATOM_DST_SET: return set_has(a->value, &p->dst.addr, now);
	case QOSD_ATOM_MARK: return (skb->mark & a->mask) == a->value;
	case QOSD_ATOM_IN_DEV: return skb->ingress_ifindex == a->value;
	default: return 0;
	}
}

/* ---- all fields ---- */
static __always_inline int and_small(struct bits *b, const struct packet *p, __u64 uses)
{
	const __u32 any = QOSD_USE_PROTO | QOSD_USE_DSCP | QOSD_USE_FAMILY | QOSD_USE_VLAN | QOSD_USE_TCP_FLAGS |
			  QOSD_USE_ICMP_TYPE;
	const struct qosd_small_index *small;
	__u32 zero = 0;
	int err = 0;

	if (!(uses & any))
		return 0;
	small = bpf_map_lookup_elem(&small_index, &zero);
	if (!small)
		return -1;
	if (uses & QOSD_USE_PROTO)
		err |= and_row(b, small->proto[p->proto]);
	if (uses & QOSD_USE_DSCP)
		err |= and_row(b, small->dscp[p->tos >> 2]);
	if (uses & QOSD_USE_FAMILY)
		err |= and_row(b, small->family[p->v6 & 1]);
	if (uses & QOSD_USE_VLAN && p->vlan <= QOSD_NO_VLAN)
		err |= and_row(b, small->vlan[p->vlan]);
	if (uses & QOSD_USE_TCP_FLAGS && p->tcp_flags <= QOSD_NO_TCP_FLAGS)
		err |= and_row(b, small->tcp_flags[p->tcp_flags]);
	if (uses & QOSD_USE_ICMP_TYPE && p->icmp_type <= QOSD_NO_ICMP_TYPE)
		err |= and_row(b, small->icmp_type[p->icmp_type]);
	return err;
}

/* The rules that hold, in b, at the time now (0: not asked for yet). -1: a broken table. */
static __always_inline int match_rules(struct __sk_buff *skb, const struct packet *p, struct bits *b, __u64 now)
{
	const __u64 uses = table.uses; /* once: each look at a constant is a load */
	int err;

	b->w[0] = table.all[0];
	for (__u32 i = 1; i < QOSD_WORDS_MAX; i++)
		b->w[i] = i < table.words ? table.all[i] : 0;
	b->src_class = b->dst_class = 0;
	err = and_small(b, p, uses);
	if (uses & QOSD_USE_SPORT)
		err |= and_wide(b, &sport_index, p->sport);
	if (uses & QOSD_USE_DPORT)
		err |= and_wide(b, &dport_index, p->dport);
	if (uses & QOSD_USE_LENGTH)
		err |= and_wide(b, &length_index, p->length < QOSD_LENGTH_MAX ? p->length : QOSD_LENGTH_MAX);
	if (uses & QOSD_USE_SRC_STEPS && has_v4(p, &p->src.addr))
		err |= and_place(b, take_steps(&src_steps, &p->src.addr), &b->src_class);
	else if (uses & QOSD_USE_SRC)
		err |= and_place(b, bpf_map_lookup_elem(&src_index, &p->src), &b->src_class);
	if (uses & QOSD_USE_DST_STEPS && has_v4(p, &p->dst.addr))
		err |= and_place(b, take_steps(&dst_steps, &p->dst.addr), &b->dst_class);
	else if (uses & QOSD_USE_DST)
		err |= and_place(b, bpf_map_lookup_elem(&dst_index, &p->dst), &b->dst_class);
	for (__u32 i = 0; i < QOSD_ATOMS_MAX; i++) {
		if (i >= table.n_atoms)
			break;
		err |= and_row(b, atom_holds(skb, p, &table.atoms[i], now) ? table.atoms[i].hit : table.atoms[i].miss);
	}
	return err;
}

/* The place of a bit by what it makes of a de Bruijn sequence (Leiserson, Prokop and Randall, "Using de Bruijn
 * Sequences to Index a 1 in a Computer Word", 1998). */
static const __u8 debruijn_place[64] = {
	0,  1,  2,  53, 3,  7,  54, 27, 4,  38, 41, 8,  34, 55, 48, 28, 62, 5,  39, 46, 44, 42,
	22, 9,  24, 35, 59, 56, 49, 18, 29, 11, 63, 52, 6,  26, 37, 40, 33, 47, 61, 45, 43, 21,
	23, 58, 17, 10, 51, 25, 36, 32, 60, 20, 57, 16, 50, 31, 19, 15, 30, 14, 13, 12,
};

/* w is not 0. Clang 14 dies of __builtin_ctzll here. */
static __always_inline __u32 lowest_bit(__u64 w)
{
	return debruijn_place[(w & -w) * 0x022fdd63cc95386dull >> 58];
}

/* Rules of a run have one bit, and the packet's address told whose it is. */
static __always_inline __u32 class_of_rule(const struct bits *b, const struct qosd_rule *r)
{
	if (table.uses & QOSD_USE_RUNS) {
		if (r->teller == QOSD_TELLER_SRC)
			return b->src_class;
		if (r->teller == QOSD_TELLER_DST)
			return b->dst_class;
	}
	return r->class_number;
}

/* The number of the first rule at or behind `from` that holds, or -1. */
static __always_inline int first_rule(const struct bits *b, __u32 from)
{
	for (__u32 i = 0; i < QOSD_WORDS_MAX; i++) {
		__u64 w;

		if (i >= table.words)
			break;
		w = b->w[i];
		if (from >= (i + 1) * 64)
			continue;
		if (from > i * 64)
			w &= ~0ull << (from & 63);
		if (w)
			return i * 64 + lowest_bit(w);
	}
	return -1;
}

#endif
