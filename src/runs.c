/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "runs.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 129 /* prefixes inside one another, one a length */

/* ---- who may be in one ------------------------------------------------------------------------------------------- */

const struct literal *rule_literal(const struct rule *r, enum field field, size_t i)
{
	for (; i < r->n; i++)
		if (r->literals[i].field == field)
			return &r->literals[i];
	return NULL;
}

/* The literal on the field by which the rule can be told from its neighbours, or NULL. Behind a class that continues
 * other rules of the same packet are asked for. */
static const struct literal *teller(const struct rule *r, enum field field)
{
	const struct literal *l = rule_literal(r, field, 0);

	if (!l || l->negated || !l->n || rule_literal(r, field, (size_t)(l - r->literals) + 1))
		return NULL;
	return r->cls && r->cls->conform != CONFORM_CONTINUE ? l : NULL;
}

static bool same_prefixes(const struct literal *x, const struct literal *y)
{
	for (size_t i = 0; x->prefixes != y->prefixes && i < x->n; i++)
		if (prefix_cmp(&x->prefixes[i], &y->prefixes[i]) != 0 || x->prefixes[i].v4 != y->prefixes[i].v4)
			return false;
	return true;
}

static bool same_literal(const struct literal *x, const struct literal *y)
{
	if (x->field != y->field || x->negated != y->negated || x->set != y->set || x->value != y->value ||
	    x->mask != y->mask)
		return false;
	if (x->ifname || y->ifname)
		return x->ifname && y->ifname && !strcmp(x->ifname, y->ifname);
	if (x->set || x->mask)
		return true;
	if (x->n != y->n || !x->ranges != !y->ranges)
		return false;
	return x->ranges ? !memcmp(x->ranges, y->ranges, x->n * sizeof(*x->ranges)) : same_prefixes(x, y);
}

/* Do both say the same but for their one literal on the field? */
static bool alike(const struct rule *x, const struct rule *y, enum field field)
{
	if (x->n != y->n)
		return false;
	for (size_t i = 0; i < x->n; i++) {
		if (x->literals[i].field == field && y->literals[i].field == field)
			continue;
		if (!same_literal(&x->literals[i], &y->literals[i]))
			return false;
	}
	return true;
}

/* ---- whose prefixes are apart ------------------------------------------------------------------------------------ */

struct finder {
	struct arena *scratch;
	const struct rules *r;
	enum field field;
	size_t *not_with; /* by rule: the last one in front of it that has an address in common, + 1; 0: none has */
};

static int by_place(const void *left, const void *right)
{
	const struct run_prefix *a = left, *b = right;
	int cmp = prefix_cmp(&a->prefix, &b->prefix);

	return cmp ? cmp : (a->rule > b->rule) - (a->rule < b->rule);
}

static struct run_prefix *collect(struct arena *a, const struct rules *r, enum field field, size_t first, size_t end,
				  size_t *n)
{
	struct run_prefix *all;
	size_t room = 0;

	for (size_t i = first; i < end; i++)
		room += teller(&r->v[i], field)->n;
	all = arena_array(a, room, sizeof(*all));
	*n = 0;
	for (size_t i = first; i < end; i++) {
		const struct literal *l = teller(&r->v[i], field);

		for (size_t j = 0; j < l->n; j++)
			all[(*n)++] = (struct run_prefix){l->prefixes[j], i};
	}
	qsort(all, *n, sizeof(*all), by_place);
	return all;
}

static void not_together(struct finder *f, size_t x, size_t y)
{
	size_t early = x < y ? x : y, late = x < y ? y : x;

	if (early != late && f->not_with[late] < early + 1)
		f->not_with[late] = early + 1;
}

/* Entries with one prefix, sorted by rule. */
struct level {
	const struct run_prefix *v;
	size_t n;
};

/* Of all rules of a level the two next to this one will do: the others are apart from those already. */
static void not_with_level(struct finder *f, const struct level *l, size_t rule)
{
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (l->v[mid].rule < rule)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo)
		not_together(f, l->v[lo - 1].rule, rule);
	while (lo < l->n && l->v[lo].rule == rule)
		lo++;
	if (lo < l->n)
		not_together(f, l->v[lo].rule, rule);
}

/* As bits: ::/0 covers the IPv4 addresses, too. */
static bool covers(const struct prefix *outer, const struct prefix *inner)
{
	struct prefix p = *inner;

	p.v4 = outer->v4;
	return prefix_contains(outer, &p);
}

/* In sorted order what covers a prefix comes before it. */
static void find_shared(struct finder *f, const struct run_prefix *all, size_t n)
{
	struct level levels[DEPTH_MAX];
	size_t depth = 0;

	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && !prefix_cmp(&all[end].prefix, &all[i].prefix); end++)
			not_together(f, all[end - 1].rule, all[end].rule);
		while (depth && !covers(&levels[depth - 1].v->prefix, &all[i].prefix))
			depth--;
		for (size_t l = 0; l < depth; l++)
			for (size_t j = i; j < end; j++)
				not_with_level(f, &levels[l], all[j].rule);
		if (depth < DEPTH_MAX)
			levels[depth++] = (struct level){&all[i], end - i};
	}
}

/* ---- the longest ------------------------------------------------------------------------------------------------- */

/* Of rules first .. end - 1, which are alike, the longest part that is pairwise apart, if it is longer than best. */
static void look_at_alike(struct finder *f, size_t first, size_t end, struct run *best)
{
	struct run_prefix *all;
	size_t n, from = first;

	if (end - first < RUN_LEAST || end - first <= best->n)
		return;
	all = collect(f->scratch, f->r, f->field, first, end, &n);
	find_shared(f, all, n);
	for (size_t i = first; i < end; i++) {
		if (f->not_with[i] > from)
			from = f->not_with[i];
		if (i + 1 - from >= RUN_LEAST && i + 1 - from > best->n)
			*best = (struct run){.field = f->field, .first = from, .n = i + 1 - from};
	}
}

static struct run longest(const struct rules *r, enum field field)
{
	struct finder f = {.scratch = arena_new(), .r = r, .field = field};
	struct run best = {.field = field};

	f.not_with = arena_array(f.scratch, r->n, sizeof(*f.not_with));
	for (size_t i = 0, end; i < r->n; i = end) {
		end = i + 1;
		if (!teller(&r->v[i], field) || runs_of(r, i))
			continue;
		while (end < r->n && teller(&r->v[end], field) && !runs_of(r, end) &&
		       alike(&r->v[i], &r->v[end], field))
			end++;
		look_at_alike(&f, i, end, &best);
	}
	arena_free(f.scratch);
	return best;
}

static void add(struct arena *a, struct rules *r, struct run run)
{
	size_t at = r->n_runs;

	run.prefixes = collect(a, r, run.field, run.first, run.first + run.n, &run.n_prefixes);
	for (; at && r->runs[at - 1].first > run.first; at--)
		r->runs[at] = r->runs[at - 1];
	r->runs[at] = run;
	r->n_runs++;
}

void runs_find(struct arena *a, struct rules *r)
{
	struct run by_src, by_dst;

	r->n_runs = 0;
	by_src = longest(r, FIELD_SRC);
	by_dst = longest(r, FIELD_DST);
	if (by_src.n && by_src.n >= by_dst.n) {
		add(a, r, by_src);
		by_dst = longest(r, FIELD_DST); /* what is left */
		if (by_dst.n)
			add(a, r, by_dst);
	} else if (by_dst.n) {
		add(a, r, by_dst);
		by_src = longest(r, FIELD_SRC);
		if (by_src.n)
			add(a, r, by_src);
	}
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

size_t runs_bits(const struct rules *r)
{
	size_t bits = r->n;

	for (size_t i = 0; i < r->n_runs; i++)
		bits -= r->runs[i].n - 1;
	return bits;
}

const struct run *runs_of(const struct rules *r, size_t rule)
{
	for (size_t i = 0; i < r->n_runs; i++)
		if (rule >= r->runs[i].first && rule - r->runs[i].first < r->runs[i].n)
			return &r->runs[i];
	return NULL;
}

/* The prefixes of different rules are apart; those of one may lie in each other. */
long runs_rule_at(const struct run *run, const struct prefix *p)
{
	size_t lo = 0, hi = run->n_prefixes;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (prefix_cmp(&run->prefixes[mid].prefix, p) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo-- > 0) {
		if (prefix_contains(&run->prefixes[lo].prefix, p))
			return (long)run->prefixes[lo].rule;
		if (lo && run->prefixes[lo - 1].rule != run->prefixes[lo].rule)
			break;
	}
	return -1;
}
