/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tables.h"

#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "runs.h"
#include "steps.h"

#define BUCKETS    4096
#define V4_BITS    96 /* ::ffff:0:0/96 holds the IPv4 addresses */
#define NO_IFINDEX 0xffffffffu

struct builder {
	struct arena *a, *scratch;
	struct diag *d;
	const struct rules *all; /* as they were given */
	const struct rules *r;   /* one a bit: of a run its first, which stands for all of them */
	const struct run **runs; /* by bit: what it stands for; NULL: itself */
	const struct tables_names *names;
	struct tables *t;
	VEC(uint32_t) same_hash; /* by row: the next one in its bucket + 1 */
	uint32_t bucket[BUCKETS];
};

/* ---- bits ----------------------------------------------------------------------------------------------------------
 */

static void give_bits(struct builder *b)
{
	struct rules *packed = arena_new_of(b->scratch, struct rules);

	packed->v = arena_array(b->scratch, b->all->n, sizeof(*packed->v));
	b->runs = arena_array(b->scratch, b->all->n, sizeof(const struct run *));
	b->t->bit = arena_array(b->a, b->all->n, sizeof(*b->t->bit));
	for (size_t first = 0, n; first < b->all->n; first += n) {
		const struct run *run = runs_of(b->all, first);

		n = run ? run->n : 1;
		for (size_t i = 0; i < n; i++)
			b->t->bit[first + i] = (uint32_t)packed->n;
		b->runs[packed->n] = run;
		packed->v[packed->n++] = b->all->v[first];
	}
	b->r = packed;
}

/* ---- rows ----------------------------------------------------------------------------------------------------------
 */

static void row_clear(struct tables_row *row, size_t rule)
{
	row->w[rule / 64] &= ~(1ull << rule % 64);
}

static bool row_has(const struct tables_row *row, size_t rule)
{
	return row->w[rule / 64] >> rule % 64 & 1;
}

static struct tables_row row_all(const struct tables *t)
{
	struct tables_row row;

	memcpy(row.w, t->conf.all, sizeof(row.w));
	return row;
}

/* The row's number; alike rows share one. */
static uint32_t row_number(struct builder *b, const struct tables_row *row)
{
	uint32_t *bucket = &b->bucket[digest_bytes(DIGEST_START, row, sizeof(*row)) % BUCKETS];

	for (uint32_t i = *bucket; i; i = b->same_hash.v[i - 1])
		if (memcmp(&b->t->rows.v[i - 1], row, sizeof(*row)) == 0)
			return i - 1;
	*vec_add(b->a, &b->t->rows) = *row;
	*vec_add(b->scratch, &b->same_hash) = *bucket;
	*bucket = (uint32_t)b->t->rows.n;
	return *bucket - 1;
}

/* ---- fields with few or many values: an index by value --------------------------------------------------------------
 */

/* A bit for each value of a field. */
struct values {
	uint64_t *w;
	uint32_t n;
};

static struct values values_new(struct arena *a, uint32_t n)
{
	return (struct values){arena_array(a, n / 64 + 1, sizeof(uint64_t)), n};
}

static bool values_has(const struct values *s, uint32_t v)
{
	return s->w[v / 64] >> v % 64 & 1;
}

static void values_fill(struct values *s, uint32_t lo, uint32_t hi)
{
	for (uint32_t v = lo; v <= hi; v++) {
		if (v % 64 == 0 && hi - v >= 63) {
			s->w[v / 64] = ~0ull;
			v += 63;
		} else {
			s->w[v / 64] |= 1ull << v % 64;
		}
	}
}

/* An indexed field: values 0 .. last, and what stands for "the packet has none" (0: it always has one). */
struct field_shape {
	enum field field;
	uint32_t use; /* enum qosd_use */
	uint32_t last, none;
	bool masked; /* a literal is value and mask, not ranges */
};

/* The values that the packet may have to satisfy l, "none" included where it is negated. */
static void literal_values(const struct literal *l, const struct field_shape *shape, struct values *out)
{
	memset(out->w, 0, (out->n / 64 + 1) * sizeof(*out->w));
	if (shape->masked) {
		for (uint32_t v = 0; v <= shape->last; v++)
			if ((v & l->mask) == l->value)
				values_fill(out, v, v);
	} else {
		for (size_t i = 0; i < l->n; i++)
			if (l->ranges[i].lo <= shape->last)
				values_fill(out, l->ranges[i].lo,
					    l->ranges[i].hi < shape->last ? l->ranges[i].hi : shape->last);
	}
	if (l->negated)
		for (size_t i = 0; i <= out->n / 64; i++)
			out->w[i] = ~out->w[i];
}

static bool rule_uses(const struct rule *rule, enum field field)
{
	for (size_t i = 0; i < rule->n; i++)
		if (rule->literals[i].field == field)
			return true;
	return false;
}

static bool field_is_used(const struct rules *r, enum field field)
{
	for (size_t i = 0; i < r->n; i++)
		if (rule_uses(&r->v[i], field))
			return true;
	return false;
}

/* The values that satisfy all of the rule's literals on the field; several literals are "and". */
static struct values rule_values(struct builder *b, const struct rule *rule, const struct field_shape *shape,
				 struct values *one)
{
	struct values all = values_new(b->scratch, one->n);

	memset(all.w, 0xff, (all.n / 64 + 1) * sizeof(*all.w));
	for (size_t i = 0; i < rule->n; i++) {
		if (rule->literals[i].field != shape->field)
			continue;
		literal_values(&rule->literals[i], shape, one);
		for (size_t w = 0; w <= all.n / 64; w++)
			all.w[w] &= one->w[w];
	}
	return all;
}

/* Fills index[value] with the number of the value's row. Neighbouring values mostly satisfy the same rules, so a row is
 * only made where that changes for some rule. */
static bool build_index(struct builder *b, const struct field_shape *shape, uint16_t *index)
{
	uint32_t n = (shape->none ? shape->none : shape->last) + 1, number = 0;
	struct values one = values_new(b->scratch, n), *by_rule = arena_array(b->scratch, b->r->n, sizeof(*by_rule));
	struct values edges = values_new(b->scratch, n);

	values_fill(&edges, 0, 0);
	for (size_t i = 0; i < b->r->n; i++) {
		if (!rule_uses(&b->r->v[i], shape->field))
			continue;
		by_rule[i] = rule_values(b, &b->r->v[i], shape, &one);
		for (size_t w = 0, carry = 0; w <= n / 64; w++) {
			edges.w[w] |= by_rule[i].w[w] ^ (by_rule[i].w[w] << 1 | carry);
			carry = by_rule[i].w[w] >> 63;
		}
	}
	for (uint32_t v = 0; v < n; v++) {
		if (values_has(&edges, v)) {
			struct tables_row row = row_all(b->t);

			for (size_t i = 0; i < b->r->n; i++)
				if (by_rule[i].w && !values_has(&by_rule[i], v))
					row_clear(&row, i);
			number = row_number(b, &row);
			if (number > UINT16_MAX)
				return false;
		}
		index[v] = (uint16_t)number;
	}
	return true;
}

/* The kernel's family field of the packet is a bit, 4 and 6 are what rules say. */
static void build_family(struct builder *b, uint16_t family[2])
{
	static const struct field_shape shape = {.field = FIELD_FAMILY, .last = 6};
	uint16_t by_number[7];

	(void)build_index(b, &shape, by_number); /* seven values: no chance of 65,536 rows */
	family[0] = by_number[4];
	family[1] = by_number[6];
}

static bool build_small(struct builder *b)
{
	static const struct field_shape shapes[] = {
		{FIELD_PROTO, QOSD_USE_PROTO, 255, 0, false},
		{FIELD_DSCP, QOSD_USE_DSCP, 63, 0, false},
		{FIELD_TCP_FLAGS, QOSD_USE_TCP_FLAGS, 255, QOSD_NO_TCP_FLAGS, true},
		{FIELD_ICMP_TYPE, QOSD_USE_ICMP_TYPE, 255, QOSD_NO_ICMP_TYPE, false},
		{FIELD_VLAN, QOSD_USE_VLAN, QOSD_NO_VLAN - 1, QOSD_NO_VLAN, false},
	};
	struct qosd_small_index *small = arena_new_of(b->a, struct qosd_small_index);
	uint16_t *const index[] = {small->proto, small->dscp, small->tcp_flags, small->icmp_type, small->vlan};
	struct qosd_table_conf *conf = &b->t->conf;
	bool fits = true;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (!field_is_used(b->r, shapes[i].field))
			continue;
		conf->uses |= shapes[i].use;
		b->t->small = small;
		fits &= build_index(b, &shapes[i], index[i]);
	}
	if (field_is_used(b->r, FIELD_FAMILY)) {
		conf->uses |= QOSD_USE_FAMILY;
		b->t->small = small;
		build_family(b, small->family);
	}
	return fits;
}

static bool build_wide(struct builder *b)
{
	static const struct field_shape shapes[] = {
		{FIELD_SPORT, QOSD_USE_SPORT, 65535, QOSD_NO_PORT, false},
		{FIELD_DPORT, QOSD_USE_DPORT, 65535, QOSD_NO_PORT, false},
		{FIELD_LENGTH, QOSD_USE_LENGTH, QOSD_LENGTH_MAX, 0, false},
	};
	struct qosd_wide_index **const index[] = {&b->t->sport, &b->t->dport, &b->t->length};
	bool fits = true;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		if (!field_is_used(b->r, shapes[i].field))
			continue;
		b->t->conf.uses |= shapes[i].use;
		*index[i] = arena_new_of(b->a, struct qosd_wide_index);
		fits &= build_index(b, &shapes[i], (*index[i])->row);
	}
	return fits;
}

/* ---- addresses: a trie whose entries carry the row of all that cover them -------------------------------------------
 */

/* A literal on the field, and how many of its prefixes cover the place that is looked at. */
struct cover {
	size_t rule;
	bool negated;
	uint32_t n;
};

struct mention {
	struct qosd_lpm key;
	size_t cover;
	uint32_t class_number; /* of a run's rule */
};

struct mentions {
	VEC(struct mention);
	VEC(struct cover) covers;
};

static bool is_v4(const struct qosd_lpm *key)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return key->prefixlen >= V4_BITS && memcmp(key->addr.b, mapped, sizeof(mapped)) == 0;
}

static bool lpm_covers(const struct qosd_lpm *outer, const struct qosd_lpm *inner)
{
	uint32_t bytes = outer->prefixlen / 8, rest = outer->prefixlen % 8;

	if (outer->prefixlen > inner->prefixlen || memcmp(outer->addr.b, inner->addr.b, bytes) != 0)
		return false;
	return !rest || (outer->addr.b[bytes] ^ inner->addr.b[bytes]) >> (8 - rest) == 0;
}

static int mention_cmp(const void *pa, const void *pb)
{
	const struct mention *a = pa, *b = pb;
	int c = memcmp(&a->key.addr, &b->key.addr, sizeof(a->key.addr));

	if (c)
		return c;
	if (a->key.prefixlen != b->key.prefixlen)
		return a->key.prefixlen < b->key.prefixlen ? -1 : 1;
	return a->cover < b->cover ? -1 : a->cover > b->cover;
}

static struct mention *add_mention(struct builder *b, struct mentions *m, const struct prefix *prefix)
{
	struct mention *mention = vec_add(b->scratch, m);

	mention->key.prefixlen = prefix->bits;
	memcpy(&mention->key.addr, &prefix->addr, sizeof(mention->key.addr));
	mention->cover = m->covers.n - 1;
	return mention;
}

/* All prefixes of a run are as those of one literal. */
static void mention_run(struct builder *b, const struct run *run, struct mentions *m)
{
	*vec_add(b->scratch, &m->covers) = (struct cover){.rule = b->t->bit[run->first]};
	for (size_t i = 0; i < run->n_prefixes; i++)
		add_mention(b, m, &run->prefixes[i].prefix)->class_number =
			(uint32_t)b->names->class_number(b->names->ctx, b->all->v[run->prefixes[i].rule].cls);
}

static void collect_mentions(struct builder *b, enum field field, struct mentions *m)
{
	for (size_t i = 0; i < b->r->n; i++) {
		if (b->runs[i] && b->runs[i]->field == field) {
			mention_run(b, b->runs[i], m);
			continue;
		}
		for (size_t j = 0; j < b->r->v[i].n; j++) {
			const struct literal *l = &b->r->v[i].literals[j];

			if (l->field != field)
				continue;
			*vec_add(b->scratch, &m->covers) = (struct cover){.rule = i, .negated = l->negated};
			for (size_t k = 0; k < l->n; k++)
				add_mention(b, m, &l->prefixes[k]);
		}
	}
	if (m->n)
		qsort(m->v, m->n, sizeof(*m->v), mention_cmp);
}

static uint32_t row_of_covers(struct builder *b, const struct mentions *m)
{
	struct tables_row row = row_all(b->t);

	for (size_t i = 0; i < m->covers.n; i++)
		if ((m->covers.v[i].n > 0) == m->covers.v[i].negated)
			row_clear(&row, m->covers.v[i].rule);
	return row_number(b, &row);
}

static void add_prefix(struct builder *b, struct tables_prefix **out, const struct qosd_lpm *key,
		       const struct mentions *m, uint32_t class_number)
{
	(*out)->key = *key;
	(*out)->place = (struct qosd_place){row_of_covers(b, m), class_number};
	(*out)++;
}

/* The prefixes of one family, root first. In sorted order what covers a prefix comes before it, so a stack holds just
 * what covers the place that the walk is at. */
static void walk_family(struct builder *b, struct mentions *m, bool v4, struct tables_prefix **out)
{
	struct qosd_lpm root = {.prefixlen = v4 ? V4_BITS : 0};
	const struct mention **stack = arena_array(b->scratch, m->n + 1, sizeof(*stack));
	uint32_t *classes = arena_array(b->scratch, m->n + 2, sizeof(*classes)); /* [i]: below the i-th of the stack */
	size_t depth = 0;

	if (v4)
		root.addr.b[10] = root.addr.b[11] = 0xff;
	add_prefix(b, out, &root, m, 0);
	for (size_t i = 0; i < m->n; i++) {
		const struct mention *at = &m->v[i];

		if (is_v4(&at->key) != v4)
			continue;
		while (depth && !lpm_covers(&stack[depth - 1]->key, &at->key))
			m->covers.v[stack[--depth]->cover].n--;
		classes[depth + 1] = at->class_number ? at->class_number : classes[depth];
		stack[depth++] = at;
		m->covers.v[at->cover].n++;
		if (i + 1 < m->n && memcmp(&m->v[i + 1].key, &at->key, sizeof(at->key)) == 0)
			continue; /* the same prefix in another literal */
		if (memcmp(&(*out)[-1].key, &at->key, sizeof(at->key)) == 0)
			(*out)--; /* the root stands in the rules too */
		add_prefix(b, out, &at->key, m, classes[depth]);
	}
	while (depth)
		m->covers.v[stack[--depth]->cover].n--;
}

static void build_addresses(struct builder *b, enum field field, uint32_t use, struct tables_prefix **v, size_t *n)
{
	struct mentions m = {0};
	struct tables_prefix *out;

	if (!field_is_used(b->r, field))
		return;
	b->t->conf.uses |= use;
	collect_mentions(b, field, &m);
	*v = out = arena_array(b->a, m.n + 2, sizeof(*out));
	walk_family(b, &m, false, &out);
	walk_family(b, &m, true, &out);
	*n = (size_t)(out - *v);
}

/* ---- atoms: yes or no -----------------------------------------------------------------------------------------------
 */

static bool atom_of(struct builder *b, const struct literal *l, struct qosd_atom *out)
{
	int ifindex;

	switch (l->field) {
	case FIELD_SRC_SET:
	case FIELD_DST_SET:
		out->kind = l->field == FIELD_SRC_SET ? QOSD_ATOM_SRC_SET : QOSD_ATOM_DST_SET;
		out->value = (uint32_t)b->names->set_slot(b->names->ctx, l->set);
		return true;
	case FIELD_MARK:
		out->kind = QOSD_ATOM_MARK;
		out->value = l->value;
		out->mask = l->mask;
		return true;
	case FIELD_IN_DEV:
		ifindex = b->names->ifindex(b->names->ctx, l->ifname);
		out->kind = QOSD_ATOM_IN_DEV;
		out->value = ifindex > 0 ? (uint32_t)ifindex : NO_IFINDEX;
		return true;
	case FIELD_SRC:
	case FIELD_DST:
	case FIELD_SPORT:
	case FIELD_DPORT:
	case FIELD_PROTO:
	case FIELD_DSCP:
	case FIELD_VLAN:
	case FIELD_FAMILY:
	case FIELD_LENGTH:
	case FIELD_TCP_FLAGS:
	case FIELD_ICMP_TYPE:
	case FIELDS: break;
	}
	return false;
}

static bool same_question(const struct qosd_atom *x, const struct qosd_atom *y)
{
	return x->kind == y->kind && x->value == y->value && x->mask == y->mask;
}

static bool build_atoms(struct builder *b)
{
	struct qosd_table_conf *conf = &b->t->conf;
	struct tables_row hit[QOSD_ATOMS_MAX], miss[QOSD_ATOMS_MAX];

	for (size_t i = 0; i < b->r->n; i++) {
		for (size_t j = 0; j < b->r->v[i].n; j++) {
			const struct literal *l = &b->r->v[i].literals[j];
			struct qosd_atom atom = {0};
			uint32_t k = 0;

			if (!atom_of(b, l, &atom))
				continue;
			while (k < conf->n_atoms && !same_question(&conf->atoms[k], &atom))
				k++;
			if (k == QOSD_ATOMS_MAX) {
				diag_error(
					b->d, b->r->v[i].pos, "too-many-tests",
					"this is one set, mark or interface too many, a hook can tell %d of them apart",
					QOSD_ATOMS_MAX);
				return false;
			}
			if (k == conf->n_atoms) {
				conf->atoms[conf->n_atoms++] = atom;
				hit[k] = miss[k] = row_all(b->t);
			}
			row_clear(l->negated ? &hit[k] : &miss[k], i);
		}
	}
	for (uint32_t k = 0; k < conf->n_atoms; k++) {
		uint32_t hit_row = row_number(b, &hit[k]), miss_row = row_number(b, &miss[k]);

		if (hit_row > UINT16_MAX || miss_row > UINT16_MAX)
			return false;
		conf->atoms[k].hit = (uint16_t)hit_row;
		conf->atoms[k].miss = (uint16_t)miss_row;
	}
	return true;
}

/* ---- rules to classes -----------------------------------------------------------------------------------------------
 */

static bool build_rules(struct builder *b)
{
	struct tables *t = b->t;

	t->n_rules = b->r->n;
	t->rules = arena_array(b->a, t->n_rules, sizeof(*t->rules));
	for (size_t i = b->r->n; i-- > 0;) {
		const struct model_class *c = b->r->v[i].cls;
		size_t last = i;

		if (b->runs[i]) {
			t->rules[i].teller = b->runs[i]->field == FIELD_SRC ? QOSD_TELLER_SRC : QOSD_TELLER_DST;
			t->rules[i].resume = (uint16_t)(i + 1);
			t->conf.uses |= QOSD_USE_RUNS;
			continue;
		}
		if (!c)
			continue;
		for (size_t j = i + 1; j < b->r->n; j++)
			if (b->r->v[j].cls == c)
				last = j;
		t->rules[i].class_number = (uint32_t)b->names->class_number(b->names->ctx, c);
		t->rules[i].resume = (uint16_t)(last + 1);
		if (c->conform == CONFORM_CONTINUE && last == i && ++t->conf.rounds > QOSD_CONTINUE_MAX) {
			diag_error(b->d, c->pos, "too-many-continues",
				   "class %s continues when it conforms, as %d others of this hook do, which is as "
				   "many as can",
				   c->name, QOSD_CONTINUE_MAX);
			return false;
		}
	}
	return true;
}

static uint32_t words_for(size_t n_rules)
{
	uint32_t words = 1;

	while (words * 64 < n_rules)
		words *= 2;
	return words;
}

struct tables *tables_build(struct arena *a, struct diag *d, const struct rules *r, const struct tables_names *names)
{
	struct builder *b;
	struct tables *t = arena_new_of(a, struct tables);
	bool fits;

	if (runs_bits(r) > QOSD_RULES_MAX) /* rules_build has said so */
		return NULL;
	b = xcalloc(1, sizeof(*b));
	*b = (struct builder){.a = a, .scratch = arena_new(), .d = d, .all = r, .names = names, .t = t};
	give_bits(b);
	t->conf.words = words_for(b->r->n);
	for (size_t i = 0; i < b->r->n; i++)
		t->conf.all[i / 64] |= 1ull << i % 64;
	fits = build_rules(b) && build_atoms(b);
	if (fits) {
		fits = build_small(b) && build_wide(b);
		if (!fits)
			diag_error(d, (struct pos){0}, "too-many-values",
				   "the rules of one hook tell too many port ranges and the like apart");
	}
	if (fits) {
		build_addresses(b, FIELD_SRC, QOSD_USE_SRC, &t->src.v, &t->src.n);
		build_addresses(b, FIELD_DST, QOSD_USE_DST, &t->dst.v, &t->dst.n);
		if (t->src.n && steps_build(a, t->src.v, t->src.n, &t->src_steps))
			t->conf.uses |= QOSD_USE_SRC_STEPS;
		if (t->dst.n && steps_build(a, t->dst.v, t->dst.n, &t->dst_steps))
			t->conf.uses |= QOSD_USE_DST_STEPS;
	}
	arena_free(b->scratch);
	free(b);
	return fits ? t : NULL;
}

/* ---- digest
 * ---------------------------------------------------------------------------------------------------------- */

static uint64_t digest_part(uint64_t h, const void *p, size_t n, size_t size)
{
	return p ? digest_bytes(h, p, n * size) : digest_word(h, 0);
}

uint64_t tables_digest(const struct tables *t)
{
	uint64_t h = digest_bytes(DIGEST_START, &t->conf, sizeof(t->conf));

	h = digest_part(h, t->rows.v, t->rows.n, sizeof(*t->rows.v));
	h = digest_part(h, t->rules, t->n_rules, sizeof(*t->rules));
	h = digest_part(h, t->small, 1, sizeof(*t->small));
	h = digest_part(h, t->sport, 1, sizeof(*t->sport));
	h = digest_part(h, t->dport, 1, sizeof(*t->dport));
	h = digest_part(h, t->length, 1, sizeof(*t->length));
	h = digest_part(h, t->src.v, t->src.n, sizeof(*t->src.v));
	return digest_part(h, t->dst.v, t->dst.n, sizeof(*t->dst.v));
}

/* ---- the classifier's work, here
 * -------------------------------------------------------------------------------------- */

static void and_row(struct tables_row *bits, const struct tables *t, uint32_t number)
{
	for (size_t i = 0; i < QOSD_WORDS_MAX; i++)
		bits->w[i] &= t->rows.v[number].w[i];
}

static struct qosd_place longest_prefix(const struct tables_prefix *v, size_t n, const struct tables_steps *steps,
					const struct in6_addr *addr)
{
	struct qosd_lpm key = {.prefixlen = 128};
	const struct tables_prefix *best = NULL;

	memcpy(&key.addr, addr, sizeof(key.addr));
	if (steps->n && is_v4(&key))
		return steps_find(steps, addr);
	for (size_t i = 0; i < n; i++)
		if (lpm_covers(&v[i].key, &key) && (!best || v[i].key.prefixlen > best->key.prefixlen))
			best = &v[i];
	return best->place;
}

static uint32_t value_or(int value, uint32_t none)
{
	return value < 0 ? none : (uint32_t)value;
}

static void and_small(struct tables_row *bits, const struct tables *t, const struct packet_fields *p)
{
	uint32_t uses = t->conf.uses;

	if (uses & QOSD_USE_PROTO)
		and_row(bits, t, t->small->proto[p->proto]);
	if (uses & QOSD_USE_DSCP)
		and_row(bits, t, t->small->dscp[p->dscp & 63]);
	if (uses & QOSD_USE_FAMILY)
		and_row(bits, t, t->small->family[p->family == 6]);
	if (uses & QOSD_USE_VLAN)
		and_row(bits, t, t->small->vlan[value_or(p->vlan, QOSD_NO_VLAN)]);
	if (uses & QOSD_USE_TCP_FLAGS)
		and_row(bits, t, t->small->tcp_flags[value_or(p->tcp_flags, QOSD_NO_TCP_FLAGS)]);
	if (uses & QOSD_USE_ICMP_TYPE)
		and_row(bits, t, t->small->icmp_type[value_or(p->icmp_type, QOSD_NO_ICMP_TYPE)]);
}

uint32_t tables_behind(const struct tables *t, uint32_t class_number)
{
	for (size_t i = 0; i < t->n_rules; i++)
		if (t->rules[i].teller == QOSD_TELLER_RULE && t->rules[i].class_number == class_number)
			return t->rules[i].resume;
	return 0;
}

int tables_match(const struct tables *t, const struct packet_fields *p, uint32_t from, uint32_t in_ifindex,
		 bool (*in_slot)(void *ctx, uint32_t slot, const struct in6_addr *addr), void *ctx,
		 uint32_t *class_number)
{
	struct tables_row bits = row_all(t);
	struct qosd_place src = {0}, dst = {0};

	and_small(&bits, t, p);
	if (t->sport)
		and_row(&bits, t, t->sport->row[p->has_ports ? p->sport : QOSD_NO_PORT]);
	if (t->dport)
		and_row(&bits, t, t->dport->row[p->has_ports ? p->dport : QOSD_NO_PORT]);
	if (t->length)
		and_row(&bits, t, t->length->row[p->length < QOSD_LENGTH_MAX ? p->length : QOSD_LENGTH_MAX]);
	if (t->src.n) {
		src = longest_prefix(t->src.v, t->src.n, &t->src_steps, &p->src);
		and_row(&bits, t, src.row);
	}
	if (t->dst.n) {
		dst = longest_prefix(t->dst.v, t->dst.n, &t->dst_steps, &p->dst);
		and_row(&bits, t, dst.row);
	}
	for (uint32_t i = 0; i < t->conf.n_atoms; i++) {
		const struct qosd_atom *a = &t->conf.atoms[i];
		bool holds = false;

		switch ((enum qosd_atom_kind)a->kind) {
		case QOSD_ATOM_SRC_SET: holds = in_slot(ctx, a->value, &p->src); break;
		case QOSD_ATOM_DST_SET: holds = in_slot(ctx, a->value, &p->dst); break;
		case QOSD_ATOM_MARK: holds = (p->mark & a->mask) == a->value; break;
		case QOSD_ATOM_IN_DEV: holds = in_ifindex == a->value; break;
		}
		and_row(&bits, t, holds ? a->hit : a->miss);
	}
	for (uint32_t i = from; i < t->n_rules; i++) {
		const struct qosd_rule *r = &t->rules[i];

		if (!row_has(&bits, i))
			continue;
		*class_number = r->teller == QOSD_TELLER_SRC   ? src.class_number
				: r->teller == QOSD_TELLER_DST ? dst.class_number
							       : r->class_number;
		return (int)i;
	}
	return -1;
}
