/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * rules: a hook's class tree as a flat list of conjunctions. One rule is one bit of the classifier. local and remote
 * have become src and dst, services protocols and ports, not: single negated fields, a child's matches and'ed with its
 * parent's. Order is meaning: the first rule that holds decides. Pure; lives in the arena.
 */
#ifndef QOSD_RULES_H
#define QOSD_RULES_H

#include "model.h"

#define RULES_MAX   512    /* bits of the classifier, QOSD_RULES_MAX of bpf/qosd_abi.h; a run takes one */
#define RULES_BOUND 140000 /* rules of one hook, those of runs counted one by one */

enum field {
	FIELD_SRC,
	FIELD_DST,
	FIELD_SRC_SET, /* membership of the source address in a set */
	FIELD_DST_SET,
	FIELD_SPORT,
	FIELD_DPORT,
	FIELD_PROTO,
	FIELD_DSCP,
	FIELD_MARK,
	FIELD_VLAN,
	FIELD_FAMILY,
	FIELD_LENGTH,
	FIELD_TCP_FLAGS,
	FIELD_ICMP_TYPE,
	FIELD_IN_DEV,
	FIELDS
};

struct range {
	uint32_t lo, hi; /* both inclusive */
};

/* "the field's value is one of these", or none of these. A value that the packet does not have (the port of a fragment)
 * is none of anything: a negated literal holds, a plain one does not. */
struct literal {
	enum field field;
	bool negated;
	struct prefix *prefixes;     /* SRC DST: sorted, none inside another. ::/0 is written as prefixes that leave out
					::ffff:0:0/96 */
	const struct model_set *set; /* *_SET: exactly one */
	struct range *ranges;        /* ports, proto, dscp, vlan, length, icmp-type, family (4 or 6): sorted, apart */
	uint32_t value, mask;        /* MARK, TCP_FLAGS: exactly one; negated or not */
	const char *ifname;          /* IN_DEV: exactly one */
	size_t n;                    /* of prefixes or ranges */
};

struct rule {
	struct pos pos;
	const struct model_class *cls; /* NULL: protected, passes */
	struct literal *literals;      /* all must hold; sorted by field, any number a field */
	size_t n;
};

/* A match that no packet can satisfy (udp with tcp-flags, or nothing of what the parent lets through). */
struct never {
	struct pos pos;
	const struct model_class *cls; /* NULL: in protect */
};

/* A prefix of a run, and the rule that has it. */
struct run_prefix {
	struct prefix prefix;
	size_t rule;
};

/* Rules side by side that tell the same apart from one address each: the customers of a provider. They differ in
 * nothing but one plain literal on this field, whose prefixes are apart from the others'. At most one of them holds, so
 * they share a bit of the classifier, and the address says whose it is. */
struct run {
	enum field field;            /* SRC or DST */
	size_t first, n;             /* rules */
	struct run_prefix *prefixes; /* sorted by address */
	size_t n_prefixes;
};

#define RUNS_MAX 2 /* one a field */

struct rules {
	struct rule *v; /* protect first, then the classes depth first, children before their parent's own rules */
	size_t n;
	struct run runs[RUNS_MAX]; /* by place */
	size_t n_runs;
	bool uses[FIELDS];
	struct never *never;
	size_t n_never;
};

/* More than RULES_MAX rules, each run counted as one, are told to d at the match that goes beyond; then the rules are
 * cut off and not to be used. Never NULL. */
struct rules *rules_build(struct arena *a, struct diag *d, const struct model *m, const struct model_hook *h);

/* What the classifier sees of one packet. Absent values are -1 (has_ports for the ports). */
struct packet_fields {
	int family;               /* 4 or 6 */
	struct in6_addr src, dst; /* IPv4 as ::ffff:a.b.c.d */
	bool has_ports;           /* first fragments of tcp udp udplite sctp dccp */
	uint16_t sport, dport;
	uint8_t proto;
	uint8_t dscp;
	uint32_t mark;
	int vlan;        /* id of the outermost tag */
	uint32_t length; /* of the IP packet, of one segment where packets came merged */
	int tcp_flags;
	int icmp_type;      /* of ICMP or ICMPv6, as proto says */
	const char *in_dev; /* where it came in; "" for none */
};

/* The first literal on the field, from the i-th literal on. NULL: there is none. */
const struct literal *rule_literal(const struct rule *r, enum field field, size_t i);

/* Does every packet that narrow holds for satisfy wide, too? Only said where it is provable. */
bool rule_implies(const struct rule *narrow, const struct rule *wide);

/* May one packet satisfy both? Denied only where it is provable. */
bool rules_may_meet(const struct rule *a, const struct rule *b);

/* The reference for the BPF classifier: the index of the first rule that holds, or -1. in_set answers for memberships.
 */
int rules_match(const struct rules *r, const struct packet_fields *p,
		bool (*in_set)(void *ctx, const struct model_set *set, const struct in6_addr *addr), void *ctx);

#endif
