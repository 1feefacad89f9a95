/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * tables: a hook's rules as the rows of bits that the classifier and's (Lakshman and Stiliadis, SIGCOMM 1998). Pure:
 * from rules and numbers to arrays that prog.c puts into maps. Lives in the arena.
 */
#ifndef QOSD_TABLES_H
#define QOSD_TABLES_H

#include "../bpf/qosd_abi.h"
#include "rules.h"

/* A bit for each rule that a field's value satisfies; conf.words of them are in use. */
struct tables_row {
	uint64_t w[QOSD_WORDS_MAX];
};

struct tables_prefix {
	struct qosd_lpm key;
	struct qosd_place place;
};

struct tables_steps {
	VEC(struct qosd_step);
};

struct tables {
	struct qosd_table_conf conf;
	VEC(struct tables_row) rows; /* no two alike; index and atoms hold their numbers */
	struct qosd_rule *rules;     /* one a bit */
	size_t n_rules;
	uint32_t *bit;                  /* of each rule that this was built from; those of a run share one */
	struct qosd_small_index *small; /* NULL: none of its fields is in use */
	struct qosd_wide_index *sport, *dport, *length; /* NULL: not in use */
	VEC(struct tables_prefix) src, dst;       /* not in use: empty; else ::/0 and ::ffff:0:0/96 are among them */
	struct tables_steps src_steps, dst_steps; /* the IPv4 ones of them once more; empty: too many for that */
};

/* What the rules' names mean here and now. Every function returns a number, or -1 / 0 as said. */
struct tables_names {
	int (*class_number)(void *ctx, const struct model_class *c); /* > 0 */
	int (*set_slot)(void *ctx, const struct model_set *s);       /* >= 0 */
	int (*ifindex)(void *ctx, const char *ifname);               /* 0: absent, matches nothing now */
	void *ctx;
};

/* Told to d: more than the classifier has room for (QOSD_ATOMS_MAX set memberships, marks and interfaces,
 * QOSD_CONTINUE_MAX classes that continue, 65,536 different rows). NULL only then. */
struct tables *tables_build(struct arena *a, struct diag *d, const struct rules *r, const struct tables_names *names);

/* A digest of everything in the tables: equal tables, equal digest, whatever order they were built in. */
uint64_t tables_digest(const struct tables *t);

/* Where the classifier goes on behind a class with `conform: continue`: the bit behind its last rule. */
uint32_t tables_behind(const struct tables *t, uint32_t class_number);

/* What the classifier would find: the bit of the first rule at or behind bit `from` that holds, or -1, and whose class
 * that is. The packet came in on in_ifindex (0: nowhere); in_slot answers for memberships. */
int tables_match(const struct tables *t, const struct packet_fields *p, uint32_t from, uint32_t in_ifindex,
		 bool (*in_slot)(void *ctx, uint32_t slot, const struct in6_addr *addr), void *ctx,
		 uint32_t *class_number);

#endif
