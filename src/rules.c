/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rules.h"

#include "../bpf/qosd_abi.h"
#include "runs.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static_assert(RULES_MAX == QOSD_RULES_MAX, "a rule is a bit of the classifier");

/* While a hook's rules are made. Conjunctions that are worked with live in scratch, what literals point to in the
 * arena. */
#define PARTS_MAX  4096      /* conjunctions of one match, before they are cut to what fits */
#define WORK_MAX   100000000 /* comparisons and products of one hook: a hostile file must end */
#define ABSORB_MAX 128       /* conjunctions that are compared with each other */

#define PROTO_ICMP    1
#define PROTO_TCP     6
#define PROTO_UDP     17
#define PROTO_DCCP    33
#define PROTO_ICMPV6  58
#define PROTO_SCTP    132
#define PROTO_UDPLITE 136

/* An "or" of conjunctions. No conjunction: nothing. A conjunction without literals: everything. */
struct dnf {
	VEC(struct rule);
};

struct build {
	struct arena *a, *scratch;
	struct diag *d;
	const struct model_hook *h;
	const struct model_forwarding *forwarding; /* whose hook it is; NULL: a policy's */
	struct rules *out;
	struct {
		VEC(struct rule);
	} rules;
	struct {
		VEC(struct never);
	} never;
	size_t work;
	bool over; /* too many, told */
};

/* ---- literals: what implies, what excludes what ------------------------------------------------------------------ */

enum shape { SHAPE_PREFIXES, SHAPE_SET, SHAPE_RANGES, SHAPE_MASK, SHAPE_NAME };

static const enum shape shapes[FIELDS] = {
	[FIELD_SRC] = SHAPE_PREFIXES,   [FIELD_DST] = SHAPE_PREFIXES,     [FIELD_SRC_SET] = SHAPE_SET,
	[FIELD_DST_SET] = SHAPE_SET,    [FIELD_SPORT] = SHAPE_RANGES,     [FIELD_DPORT] = SHAPE_RANGES,
	[FIELD_PROTO] = SHAPE_RANGES,   [FIELD_DSCP] = SHAPE_RANGES,      [FIELD_MARK] = SHAPE_MASK,
	[FIELD_VLAN] = SHAPE_RANGES,    [FIELD_FAMILY] = SHAPE_RANGES,    [FIELD_LENGTH] = SHAPE_RANGES,
	[FIELD_TCP_FLAGS] = SHAPE_MASK, [FIELD_ICMP_TYPE] = SHAPE_RANGES, [FIELD_IN_DEV] = SHAPE_NAME,
};

/* How x's i-th value lies to y's j-th: before, behind, or touching it. Values of one kind are sorted and apart. */
static int place_prefix(const struct prefix *x, const struct prefix *y)
{
	if (prefix_contains(x, y) || prefix_contains(y, x))
		return 0;
	return memcmp(&x->addr, &y->addr, sizeof(x->addr)) < 0 ? -1 : 1;
}

static int place(const struct literal *x, size_t i, const struct literal *y, size_t j)
{
	if (shapes[x->field] == SHAPE_PREFIXES)
		return place_prefix(&x->prefixes[i], &y->prefixes[j]);
	if (x->ranges[i].hi < y->ranges[j].lo)
		return -1;
	return x->ranges[i].lo > y->ranges[j].hi;
}

static bool inside(const struct literal *x, size_t i, const struct literal *y, size_t j)
{
	if (shapes[x->field] == SHAPE_PREFIXES)
		return prefix_contains(&y->prefixes[j], &x->prefixes[i]);
	return x->ranges[i].lo >= y->ranges[j].lo && x->ranges[i].hi <= y->ranges[j].hi;
}

static bool lists_subset(const struct literal *x, const struct literal *y)
{
	size_t j = 0;

	if (x->n == y->n && x->prefixes == y->prefixes && x->ranges == y->ranges)
		return true;
	for (size_t i = 0; i < x->n; i++) {
		while (j < y->n && place(x, i, y, j) > 0)
			j++;
		if (j == y->n || !inside(x, i, y, j))
			return false;
	}
	return true;
}

static bool lists_disjoint(const struct literal *x, const struct literal *y)
{
	size_t i = 0, j = 0;

	while (i < x->n && j < y->n) {
		int at = place(x, i, y, j);

		if (!at)
			return false;
		*(at < 0 ? &i : &j) += 1;
	}
	return true;
}

/* Are all values of x values of y? Both of one field; negation is not looked at. */
static bool values_subset(const struct literal *x, const struct literal *y)
{
	switch (shapes[x->field]) {
	case SHAPE_PREFIXES:
	case SHAPE_RANGES: return lists_subset(x, y);
	case SHAPE_SET: return x->set == y->set;
	case SHAPE_MASK: return !(y->mask & ~x->mask) && (x->value & y->mask) == y->value;
	case SHAPE_NAME: return !strcmp(x->ifname, y->ifname);
	}
	return false;
}

/* Has no value of x a place in y? false where it is not known: two sets may share any address. */
static bool values_disjoint(const struct literal *x, const struct literal *y)
{
	switch (shapes[x->field]) {
	case SHAPE_PREFIXES:
	case SHAPE_RANGES: return lists_disjoint(x, y);
	case SHAPE_SET: return false;
	case SHAPE_MASK: return ((x->value ^ y->value) & x->mask & y->mask) != 0;
	case SHAPE_NAME: return strcmp(x->ifname, y->ifname) != 0;
	}
	return false;
}

enum { V4 = 1, V6 = 2 };

/* The families of packets that l may hold for. */
static unsigned families(const struct literal *l)
{
	unsigned in = 0;

	if (l->field == FIELD_FAMILY) {
		for (size_t i = 0; i < l->n; i++)
			in |= (l->ranges[i].lo <= 4 && l->ranges[i].hi >= 4 ? V4 : 0) |
			      (l->ranges[i].lo <= 6 && l->ranges[i].hi >= 6 ? V6 : 0);
		return l->negated ? (V4 | V6) & ~in : in;
	}
	if ((l->field != FIELD_SRC && l->field != FIELD_DST) || l->negated)
		return V4 | V6;
	for (size_t i = 0; i < l->n && in != (V4 | V6); i++)
		in |= l->prefixes[i].v4 ? V4 : V6;
	return in;
}

static bool literal_implies(const struct literal *k, const struct literal *l)
{
	if (l->field == FIELD_FAMILY && !(families(k) & ~families(l)))
		return true;
	if (k->field != l->field)
		return false;
	if (!l->negated)
		return !k->negated && values_subset(k, l);
	return k->negated ? values_subset(l, k) : values_disjoint(k, l);
}

static const struct range port_protos[] = {{PROTO_TCP, PROTO_TCP},
					   {PROTO_UDP, PROTO_UDP},
					   {PROTO_DCCP, PROTO_DCCP},
					   {PROTO_SCTP, PROTO_SCTP},
					   {PROTO_UDPLITE, PROTO_UDPLITE}};

/* A packet with a port is of one of these. */
static const struct literal has_ports = {
	.field = FIELD_PROTO,
	.ranges = (struct range *)port_protos, /* only read */
	.n = sizeof(port_protos) / sizeof(*port_protos),
};

static bool is_port(const struct literal *l)
{
	return (l->field == FIELD_SPORT || l->field == FIELD_DPORT) && !l->negated;
}

/* Is there no packet for which both hold? */
static bool literal_excludes(const struct literal *x, const struct literal *y)
{
	if (!(families(x) & families(y)))
		return true;
	if (is_port(x) && y->field == FIELD_PROTO && !y->negated)
		return lists_disjoint(y, &has_ports);
	if (is_port(y) && x->field == FIELD_PROTO && !x->negated)
		return lists_disjoint(x, &has_ports);
	if (x->field != y->field)
		return false;
	if (!x->negated && !y->negated)
		return values_disjoint(x, y);
	if (x->negated && y->negated)
		return false;
	return x->negated ? values_subset(y, x) : values_subset(x, y);
}

bool rule_implies(const struct rule *narrow, const struct rule *wide)
{
	for (size_t i = 0; i < wide->n; i++) {
		size_t j = 0;

		while (j < narrow->n && !literal_implies(&narrow->literals[j], &wide->literals[i]))
			j++;
		if (j == narrow->n)
			return false;
	}
	return true;
}

bool rules_may_meet(const struct rule *a, const struct rule *b)
{
	for (size_t i = 0; i < a->n; i++)
		for (size_t j = 0; j < b->n; j++)
			if (literal_excludes(&a->literals[i], &b->literals[j]))
				return false;
	return true;
}

/* ---- conjunctions ------------------------------------------------------------------------------------------------ */

static size_t size_of(const struct literal *l)
{
	return 1 + l->n;
}

static bool spend(struct build *b, size_t work)
{
	b->work += work;
	return b->work <= WORK_MAX;
}

/* Puts l into c, which has room, unless c implies it. False: with l nothing satisfies c any more. */
static bool add_literal(struct build *b, struct rule *c, const struct literal *l)
{
	size_t kept = 0, at;

	for (size_t i = 0; i < c->n; i++) {
		if (!spend(b, size_of(l) + size_of(&c->literals[i])))
			break;
		if (literal_excludes(l, &c->literals[i]))
			return false;
		if (literal_implies(&c->literals[i], l))
			return true;
	}
	for (size_t i = 0; i < c->n; i++)
		if (!spend(b, size_of(l)) || !literal_implies(l, &c->literals[i]))
			c->literals[kept++] = c->literals[i];
	for (at = kept; at && c->literals[at - 1].field > l->field; at--)
		c->literals[at] = c->literals[at - 1];
	c->literals[at] = *l;
	c->n = kept + 1;
	return true;
}

static void add_conjunction(struct build *b, struct dnf *out, const struct literal *literals, size_t n)
{
	struct rule c = {.literals = arena_array(b->scratch, n, sizeof(*literals))};

	for (size_t i = 0; i < n; i++)
		if (!add_literal(b, &c, &literals[i]))
			return;
	*vec_add(b->scratch, out) = c;
}

static struct dnf everything(struct build *b)
{
	struct dnf out = {0};

	add_conjunction(b, &out, NULL, 0);
	return out;
}

/* Both. False: nothing satisfies both. */
static bool join(struct build *b, const struct rule *x, const struct rule *y, struct rule *out)
{
	*out = *x;
	out->literals = arena_array(b->scratch, x->n + y->n, sizeof(*out->literals));
	if (x->n)
		memcpy(out->literals, x->literals, x->n * sizeof(*x->literals));
	for (size_t i = 0; i < y->n; i++)
		if (!add_literal(b, out, &y->literals[i]))
			return false;
	if (y->pos.line)
		out->pos = y->pos;
	return true;
}

static size_t size_of_rule(const struct rule *r)
{
	size_t size = 1;

	for (size_t i = 0; i < r->n; i++)
		size += size_of(&r->literals[i]);
	return size;
}

/* Leaves out every conjunction that a wider one of the same match makes superfluous; of equal ones the first stays. */
static void absorb(struct build *b, struct dnf *x)
{
	bool superfluous[ABSORB_MAX] = {false};
	size_t kept = 0;

	if (x->n > ABSORB_MAX)
		return;
	for (size_t i = 0; i < x->n; i++)
		for (size_t j = 0; j < x->n && !superfluous[i]; j++)
			if (i != j && !superfluous[j] && spend(b, size_of_rule(&x->v[i]) + size_of_rule(&x->v[j])))
				superfluous[i] = rule_implies(&x->v[i], &x->v[j]) &&
						 (j < i || !rule_implies(&x->v[j], &x->v[i]));
	for (size_t i = 0; i < x->n; i++)
		if (!superfluous[i])
			x->v[kept++] = x->v[i];
	x->n = kept;
}

static void too_many(struct build *b, struct pos pos, const char *how_many)
{
	if (!b->over && b->forwarding)
		diag_error(b->d, pos, "too-many-rules",
			   "with this match the forwarding rules of \"%s\" need %s rules, a hook takes at most %d",
			   b->forwarding->ifname, how_many, RULES_MAX);
	else if (!b->over)
		diag_error(b->d, pos, "too-many-rules",
			   "with this match policy \"%s\" needs %s rules, a hook takes at most %d", b->h->policy,
			   how_many, RULES_MAX);
	b->over = true;
}

static struct dnf both(struct build *b, struct pos pos, const struct dnf *x, const struct dnf *y)
{
	struct dnf out = {0};

	for (size_t i = 0; i < x->n && !b->over; i++) {
		for (size_t j = 0; j < y->n && !b->over; j++) {
			struct rule c;

			if (out.n > PARTS_MAX || !spend(b, 1))
				too_many(b, pos, "thousands of");
			else if (join(b, &x->v[i], &y->v[j], &c))
				*vec_add(b->scratch, &out) = c;
		}
	}
	return out;
}

static void either(struct build *b, struct pos pos, struct dnf *onto, const struct dnf *x)
{
	if (onto->n + x->n > PARTS_MAX)
		too_many(b, pos, "thousands of");
	for (size_t i = 0; i < x->n && !b->over; i++)
		*vec_add(b->scratch, onto) = x->v[i];
}

/* De Morgan: the "and" over the conjunctions of the "or" of their literals' opposites. */
static struct dnf opposite(struct build *b, struct pos pos, const struct dnf *x)
{
	struct dnf out = everything(b);

	for (size_t i = 0; i < x->n; i++) {
		struct dnf one = {0};

		for (size_t j = 0; j < x->v[i].n; j++) {
			struct literal l = x->v[i].literals[j];

			l.negated = !l.negated;
			add_conjunction(b, &one, &l, 1);
		}
		out = both(b, pos, &out, &one);
		absorb(b, &out);
	}
	return out;
}

/* ---- from values to literals ------------------------------------------------------------------------------------- */

static int by_lo(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	return (a->lo > b->lo) - (a->lo < b->lo);
}

/* Sorts ranges and joins those that touch. */
static struct literal ranges_literal(enum field field, struct range *ranges, size_t n)
{
	size_t kept = 0;

	qsort(ranges, n, sizeof(*ranges), by_lo);
	for (size_t i = 0; i < n; i++) {
		if (kept && ranges[i].lo <= ranges[kept - 1].hi + 1ull) {
			if (ranges[i].hi > ranges[kept - 1].hi)
				ranges[kept - 1].hi = ranges[i].hi;
		} else {
			ranges[kept++] = ranges[i];
		}
	}
	return (struct literal){.field = field, .ranges = ranges, .n = kept};
}

static struct literal one_range(struct build *b, enum field field, uint32_t lo, uint32_t hi)
{
	struct range *r = arena_new_of(b->a, struct range);

	*r = (struct range){lo, hi};
	return ranges_literal(field, r, 1);
}

static struct dnf ranges_term(struct build *b, enum field field, const struct match_term *t)
{
	struct range *ranges = arena_array(b->a, t->n, sizeof(*ranges));
	struct dnf out = {0};
	struct literal l;

	for (size_t i = 0; i < t->n; i++) {
		const struct match_value *v = &t->values[i];

		ranges[i] = (struct range){v->lo, field == FIELD_FAMILY ? v->lo : v->hi};
	}
	l = ranges_literal(field, ranges, t->n);
	add_conjunction(b, &out, &l, 1);
	return out;
}

static int compare_prefixes(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

/* An IPv6 prefix that covers ::ffff:0:0/96 would, as bits, hold IPv4 too: all its halves that do not are taken instead.
 */
static size_t split_around_v4(const struct prefix *p, struct prefix *out)
{
	static const struct in6_addr mapped = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
	const struct prefix v4 = {.addr = mapped, .bits = 96};
	size_t n = 0;

	if (p->v4 || p->bits >= 96 || !prefix_contains(p, &v4)) {
		out[0] = *p;
		return 1;
	}
	for (unsigned bits = p->bits + 1u; bits <= 96; bits++) {
		struct prefix half = {.bits = (uint8_t)bits};

		for (unsigned i = 0; i < bits; i++) {
			bool bit = mapped.s6_addr[i / 8] & (0x80 >> (i % 8));

			if (i == bits - 1u ? !bit : bit)
				half.addr.s6_addr[i / 8] |= (uint8_t)(0x80 >> (i % 8));
		}
		out[n++] = half;
	}
	return n;
}

static struct literal prefixes_literal(struct build *b, enum field field, const struct match_term *t)
{
	struct prefix split[96], *all;
	size_t room = 0, n = 0, kept = 0;

	for (size_t i = 0; i < t->n; i++)
		room += t->values[i].is_set ? 0 : split_around_v4(&t->values[i].prefix, split);
	all = arena_array(b->a, room, sizeof(*all));
	for (size_t i = 0; i < t->n; i++)
		if (!t->values[i].is_set)
			n += split_around_v4(&t->values[i].prefix, &all[n]);
	qsort(all, n, sizeof(*all), compare_prefixes);
	for (size_t i = 0; i < n; i++)
		if (!kept || !prefix_contains(&all[kept - 1], &all[i]))
			all[kept++] = all[i];
	return (struct literal){.field = field, .prefixes = all, .n = kept};
}

/* The prefixes of the list as one conjunction, each of its sets as one more. */
static void add_addresses(struct build *b, struct dnf *out, enum field field, const struct match_term *t,
			  struct literal prefixes)
{
	prefixes.field = field;
	if (prefixes.n)
		add_conjunction(b, out, &prefixes, 1);
	for (size_t i = 0; i < t->n; i++) {
		struct literal l = {.field = field == FIELD_SRC ? FIELD_SRC_SET : FIELD_DST_SET,
				    .set = t->values[i].set};

		if (t->values[i].is_set)
			add_conjunction(b, out, &l, 1);
	}
}

enum { AT_SRC = 1, AT_DST = 2 };

/* Which ends of a packet a key looks at: upload has the local end as its source. */
static unsigned ends(const struct build *b, enum match_key key)
{
	switch (key) {
	case MATCH_SRC:
	case MATCH_SPORT: return AT_SRC;
	case MATCH_DST:
	case MATCH_DPORT: return AT_DST;
	case MATCH_LOCAL:
	case MATCH_LOCAL_PORT:
	case MATCH_SERVER: return b->h->up ? AT_SRC : AT_DST;
	case MATCH_REMOTE:
	case MATCH_REMOTE_PORT:
	case MATCH_CLIENT: return b->h->up ? AT_DST : AT_SRC;
	case MATCH_HOST:
	case MATCH_PORT:
	case MATCH_SERVICE: return AT_SRC | AT_DST;
	case MATCH_ALL:
	case MATCH_NOT:
	case MATCH_PROTO:
	case MATCH_DSCP:
	case MATCH_MARK:
	case MATCH_VLAN:
	case MATCH_FAMILY:
	case MATCH_LENGTH:
	case MATCH_TCP_FLAGS:
	case MATCH_ICMP_TYPE:
	case MATCH_IN_DEV:
	case MATCH_KEYS: break;
	}
	return 0;
}

static struct dnf address_term(struct build *b, const struct match_term *t)
{
	struct literal prefixes = prefixes_literal(b, FIELD_SRC, t);
	unsigned at = ends(b, t->key);
	struct dnf out = {0};

	if (at & AT_SRC)
		add_addresses(b, &out, FIELD_SRC, t, prefixes);
	if (at & AT_DST)
		add_addresses(b, &out, FIELD_DST, t, prefixes);
	return out;
}

static struct dnf port_term(struct build *b, const struct match_term *t)
{
	unsigned at = ends(b, t->key);
	struct dnf out = {0}, one;

	if (at & AT_SRC)
		out = ranges_term(b, FIELD_SPORT, t);
	if (at & AT_DST) {
		one = ranges_term(b, FIELD_DPORT, t);
		either(b, t->pos, &out, &one);
	}
	return out;
}

/* The ports of a protocol, over all services of the term; any: an entry without ports. */
struct proto_ports {
	bool any;
	size_t n;
	struct range *ranges;
};

static bool same_ranges(const struct literal *x, const struct literal *y)
{
	return x->n == y->n && !memcmp(x->ranges, y->ranges, x->n * sizeof(*x->ranges));
}

static void collect_ports(struct build *b, const struct match_term *t, struct proto_ports *all)
{
	for (int fill = 0; fill < 2; fill++) {
		for (size_t p = 0; fill && p < 256; p++) {
			all[p].ranges = arena_array(b->a, all[p].n, sizeof(struct range));
			all[p].n = 0;
		}
		for (size_t i = 0; i < t->n; i++) {
			const struct model_service *s = t->values[i].service;

			for (size_t j = 0; j < s->n; j++) {
				const struct w_service_entry *e = &s->entries[j];
				struct proto_ports *p = &all[e->proto];

				if (!e->has_ports)
					p->any = true;
				else if (fill)
					p->ranges[p->n++] = (struct range){e->lo, e->hi};
				else
					p->n++;
			}
		}
	}
}

/* One conjunction (two where either port may be the service's) for all protocols with the same ports: dns is udp or
 * tcp, and 53. */
static struct dnf service_term(struct build *b, const struct match_term *t)
{
	struct proto_ports *all = arena_array(b->scratch, 256, sizeof(*all));
	struct literal ports[256];
	unsigned at = ends(b, t->key);
	struct dnf out = {0};

	collect_ports(b, t, all);
	for (size_t p = 0; p < 256; p++)
		ports[p] = ranges_literal(FIELD_SPORT, all[p].ranges, all[p].any ? 0 : all[p].n);
	for (size_t p = 0; p < 256; p++) {
		struct range *protos;
		struct literal l[2];
		size_t n = 0;

		if (!all[p].any && !all[p].n)
			continue;
		protos = arena_array(b->a, 256, sizeof(*protos));
		for (size_t q = p; q < 256; q++) {
			if ((!all[q].any && !all[q].n) || !same_ranges(&ports[p], &ports[q]))
				continue;
			protos[n++] = (struct range){(uint32_t)q, (uint32_t)q};
			if (q != p)
				all[q] = (struct proto_ports){0};
		}
		l[0] = ranges_literal(FIELD_PROTO, protos, n);
		l[1] = ports[p];
		if (!ports[p].n) {
			add_conjunction(b, &out, l, 1);
			continue;
		}
		if (at & AT_SRC)
			add_conjunction(b, &out, l, 2);
		l[1].field = FIELD_DPORT;
		if (at & AT_DST)
			add_conjunction(b, &out, l, 2);
	}
	return out;
}

/* Of all values of one family. */
static void add_icmp_types(struct build *b, struct dnf *out, const struct match_term *t, bool v6)
{
	struct range *types = arena_array(b->a, t->n, sizeof(*types));
	struct literal l[2];
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		int type = v6 ? t->values[i].icmp6 : t->values[i].icmp4;

		if (type >= 0)
			types[n++] = (struct range){(uint32_t)type, (uint32_t)type};
	}
	if (!n)
		return;
	l[0] = v6 ? one_range(b, FIELD_PROTO, PROTO_ICMPV6, PROTO_ICMPV6)
		  : one_range(b, FIELD_PROTO, PROTO_ICMP, PROTO_ICMP);
	l[1] = ranges_literal(FIELD_ICMP_TYPE, types, n);
	add_conjunction(b, out, l, 2);
}

static struct dnf icmp_type_term(struct build *b, const struct match_term *t)
{
	struct dnf out = {0};

	add_icmp_types(b, &out, t, false);
	add_icmp_types(b, &out, t, true);
	return out;
}

static struct dnf masks_term(struct build *b, enum field field, const struct match_term *t)
{
	struct dnf out = {0};

	for (size_t i = 0; i < t->n; i++) {
		struct literal l = {.field = field, .value = t->values[i].value, .mask = t->values[i].mask};

		add_conjunction(b, &out, &l, 1);
	}
	return out;
}

/* The flags alone say that it is TCP; where they are wanted, the protocol is named so that a contradiction is seen. */
static struct dnf tcp_flags_term(struct build *b, const struct match_term *t, bool negated)
{
	struct dnf flags = masks_term(b, FIELD_TCP_FLAGS, t), tcp = {0};
	struct literal l = one_range(b, FIELD_PROTO, PROTO_TCP, PROTO_TCP);

	if (negated)
		return flags;
	add_conjunction(b, &tcp, &l, 1);
	return both(b, t->pos, &tcp, &flags);
}

static struct dnf in_dev_term(struct build *b, const struct match_term *t)
{
	struct dnf out = {0};

	for (size_t i = 0; i < t->n; i++) {
		struct literal l = {.field = FIELD_IN_DEV, .ifname = t->values[i].name};

		add_conjunction(b, &out, &l, 1);
	}
	return out;
}

/* ---- terms, items, lists ----------------------------------------------------------------------------------------- */

static struct dnf item_dnf(struct build *b, const struct match_item *item, bool negated);

static struct dnf plain_term(struct build *b, const struct match_term *t, bool negated)
{
	switch (t->key) {
	case MATCH_ALL: return everything(b);
	case MATCH_LOCAL:
	case MATCH_REMOTE:
	case MATCH_SRC:
	case MATCH_DST:
	case MATCH_HOST: return address_term(b, t);
	case MATCH_LOCAL_PORT:
	case MATCH_REMOTE_PORT:
	case MATCH_SPORT:
	case MATCH_DPORT:
	case MATCH_PORT: return port_term(b, t);
	case MATCH_SERVICE:
	case MATCH_SERVER:
	case MATCH_CLIENT: return service_term(b, t);
	case MATCH_PROTO: return ranges_term(b, FIELD_PROTO, t);
	case MATCH_DSCP: return ranges_term(b, FIELD_DSCP, t);
	case MATCH_MARK: return masks_term(b, FIELD_MARK, t);
	case MATCH_VLAN: return ranges_term(b, FIELD_VLAN, t);
	case MATCH_FAMILY: return ranges_term(b, FIELD_FAMILY, t);
	case MATCH_LENGTH: return ranges_term(b, FIELD_LENGTH, t);
	case MATCH_TCP_FLAGS: return tcp_flags_term(b, t, negated);
	case MATCH_ICMP_TYPE: return icmp_type_term(b, t);
	case MATCH_IN_DEV: return in_dev_term(b, t);
	case MATCH_NOT:
	case MATCH_KEYS: break;
	}
	return (struct dnf){0};
}

static struct dnf term_dnf(struct build *b, const struct match_term *t, bool negated)
{
	struct dnf plain;

	if (t->key == MATCH_NOT)
		return item_dnf(b, t->item, !negated);
	plain = plain_term(b, t, negated);
	return negated ? opposite(b, t->pos, &plain) : plain;
}

static struct dnf item_dnf(struct build *b, const struct match_item *item, bool negated)
{
	struct dnf out = {0};

	if (!negated)
		out = everything(b);
	for (size_t i = 0; i < item->n && !b->over; i++) {
		struct dnf t = term_dnf(b, &item->terms[i], negated);

		if (negated)
			either(b, item->pos, &out, &t);
		else
			out = both(b, item->pos, &out, &t);
		absorb(b, &out);
	}
	return out;
}

/* Every conjunction of the list under those of above; each item's positions are kept. Tells which items can never hold.
 */
static struct dnf list_under(struct build *b, const struct dnf *above, const struct match_list *list,
			     const struct model_class *cls)
{
	struct dnf out = {0};

	for (size_t i = 0; i < list->n && !b->over; i++) {
		struct dnf item = item_dnf(b, &list->items[i], false), here;

		for (size_t j = 0; j < item.n; j++)
			item.v[j].pos = list->items[i].pos;
		here = both(b, list->items[i].pos, above, &item);
		absorb(b, &here);
		if (!here.n && above->n && !b->over)
			*vec_add(b->a, &b->never) = (struct never){list->items[i].pos, cls};
		either(b, list->items[i].pos, &out, &here);
	}
	return out;
}

/* ---- the tree ---------------------------------------------------------------------------------------------------- */

static void add_rules(struct build *b, const struct dnf *x, const struct model_class *cls)
{
	for (size_t i = 0; i < x->n && !b->over; i++) {
		struct rule *r;

		if (b->rules.n == RULES_BOUND) {
			too_many(b, x->v[i].pos, "thousands of");
			return;
		}
		r = vec_add(b->a, &b->rules);
		*r = x->v[i];
		r->cls = cls;
		r->literals = arena_array(b->a, r->n, sizeof(*r->literals));
		for (size_t j = 0; j < r->n; j++) {
			r->literals[j] = x->v[i].literals[j];
			b->out->uses[r->literals[j].field] = true;
		}
	}
}

/* A class without a match groups its children: they see what came to the group, and nothing comes to it by a rule. */
static void add_class(struct build *b, const struct dnf *above, const struct model_class *c)
{
	struct dnf own = *above;

	if (c->match.n)
		own = list_under(b, above, &c->match, c);
	for (size_t i = 0; i < c->n_children && !b->over; i++)
		add_class(b, &own, c->children[i]);
	if (c->match.n)
		add_rules(b, &own, c);
}

/* The first rule that finds no bit left. */
static size_t first_beyond(const struct rules *r)
{
	size_t bits = 0, i = 0;

	while (i < r->n && bits < RULES_MAX) {
		const struct run *run = runs_of(r, i);

		i += run ? run->n : 1;
		bits++;
	}
	return i;
}

/* A run takes one bit, every other rule one of its own. */
static void share_bits(struct build *b, struct rules *r)
{
	char how_many[24];
	size_t bits;

	runs_find(b->a, r);
	bits = runs_bits(r);
	if (bits <= RULES_MAX)
		return;
	(void)snprintf(how_many, sizeof(how_many), "%zu", bits);
	r->n = first_beyond(r);
	too_many(b, r->v[r->n].pos, how_many);
	while (r->n_runs && r->runs[r->n_runs - 1].first >= r->n)
		r->n_runs--;
}

struct rules *rules_build(struct arena *a, struct diag *d, const struct model *m, const struct model_hook *h)
{
	struct build b = {.a = a, .scratch = arena_new(), .d = d, .h = h, .out = arena_new_of(a, struct rules)};
	struct dnf all = everything(&b), protected;

	for (size_t i = 0; i < m->n_forwardings; i++)
		if (m->forwardings[i].hook == h)
			b.forwarding = &m->forwardings[i];
	protected = list_under(&b, &all, &m->protect, NULL);
	add_rules(&b, &protected, NULL);
	for (size_t i = 0; i < h->root->n_children && !b.over; i++)
		add_class(&b, &all, h->root->children[i]);
	b.out->v = b.rules.v;
	b.out->n = b.rules.n;
	b.out->never = b.never.v;
	b.out->n_never = b.never.n;
	share_bits(&b, b.out);
	arena_free(b.scratch);
	return b.out;
}

/* ---- the reference ----------------------------------------------------------------------------------------------- */

typedef bool (*in_set_fn)(void *ctx, const struct model_set *set, const struct in6_addr *addr);

static bool in_ranges(const struct literal *l, int64_t v)
{
	for (size_t i = 0; v >= 0 && i < l->n; i++)
		if (v >= l->ranges[i].lo && v <= l->ranges[i].hi)
			return true;
	return false;
}

static bool in_prefixes(const struct literal *l, const struct in6_addr *addr)
{
	struct prefix host = {.addr = *addr, .bits = 128, .v4 = IN6_IS_ADDR_V4MAPPED(addr)};

	for (size_t i = 0; i < l->n; i++)
		if (prefix_contains(&l->prefixes[i], &host))
			return true;
	return false;
}

static bool has_value(const struct literal *l, const struct packet_fields *p, in_set_fn in_set, void *ctx)
{
	switch (l->field) {
	case FIELD_SRC: return in_prefixes(l, &p->src);
	case FIELD_DST: return in_prefixes(l, &p->dst);
	case FIELD_SRC_SET: return in_set(ctx, l->set, &p->src);
	case FIELD_DST_SET: return in_set(ctx, l->set, &p->dst);
	case FIELD_SPORT: return in_ranges(l, p->has_ports ? p->sport : -1);
	case FIELD_DPORT: return in_ranges(l, p->has_ports ? p->dport : -1);
	case FIELD_PROTO: return in_ranges(l, p->proto);
	case FIELD_DSCP: return in_ranges(l, p->dscp);
	case FIELD_MARK: return (p->mark & l->mask) == l->value;
	case FIELD_VLAN: return in_ranges(l, p->vlan);
	case FIELD_FAMILY: return in_ranges(l, p->family);
	case FIELD_LENGTH: return in_ranges(l, p->length);
	case FIELD_TCP_FLAGS: return p->tcp_flags >= 0 && ((uint32_t)p->tcp_flags & l->mask) == l->value;
	case FIELD_ICMP_TYPE: return in_ranges(l, p->icmp_type);
	case FIELD_IN_DEV: return !strcmp(l->ifname, p->in_dev);
	case FIELDS: break;
	}
	return false;
}

int rules_match(const struct rules *r, const struct packet_fields *p, in_set_fn in_set, void *ctx)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct rule *rule = &r->v[i];
		size_t j = 0;

		while (j < rule->n && has_value(&rule->literals[j], p, in_set, ctx) != rule->literals[j].negated)
			j++;
		if (j == rule->n)
			return (int)i;
	}
	return -1;
}
