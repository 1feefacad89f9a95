/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diff.h"

#include <linux/pkt_sched.h>
#include <stdlib.h>
#include <string.h>

#include "tc_qdisc.h"

/* What happens to an observed object whose container is built anew. */
enum fate { FATE_UNKNOWN, FATE_STAYS, FATE_LOST };

struct builder {
	struct arena *a;
	const struct kobj_set *observed, *wanted;
	uint8_t *fate;               /* enum fate of each observed object; NULL: all stay */
	const struct kobj **handles; /* wanted leaves by device and handle; NULL: not asked for yet */
	size_t n_handles;
	struct steps first, in_turn, gone, last;
};

static const struct kobj *find(const struct kobj_set *s, const struct kobj *key);
static const struct kobj *find_container(const struct kobj_set *s, const struct kobj *o);
static void decide_fates(struct builder *b);
static void add_created(struct builder *b, const struct kobj *new);
static void add_deleted(struct builder *b, const struct kobj *old);
static void add_pair(struct builder *b, const struct kobj *old, const struct kobj *new);
static void put_together(struct builder *b, struct steps *out);

void diff_build(struct arena *a, const struct kobj_set *observed, const struct kobj_set *wanted, struct steps *out)
{
	struct builder b = {.a = a, .observed = observed, .wanted = wanted};
	size_t o = 0, w = 0;

	decide_fates(&b);
	while (o < observed->n || w < wanted->n) {
		const struct kobj *old = o < observed->n ? &observed->v[o] : NULL;
		const struct kobj *new = w < wanted->n ? &wanted->v[w] : NULL;
		int order = !old ? 1 : !new ? -1 : kobj_cmp(old, new);

		if (order < 0)
			add_deleted(&b, old);
		else if (order > 0)
			add_created(&b, new);
		else
			add_pair(&b, old, new);
		o += order <= 0;
		w += order >= 0;
	}
	put_together(&b, out);
}

static void add_step(struct builder *b, struct steps *to, const struct kobj *before, const struct kobj *after,
		     const char *rebuild)
{
	*vec_add(b->a, to) = (struct step){before, after, rebuild};
}

static int cmp_for_bsearch(const void *a, const void *b)
{
	return kobj_cmp(a, b);
}

static const struct kobj *find(const struct kobj_set *s, const struct kobj *key)
{
	return s->n ? bsearch(key, s->v, s->n, sizeof(*s->v), cmp_for_bsearch) : NULL;
}

static const struct kobj *find_container(const struct kobj_set *s, const struct kobj *o)
{
	const struct kobj *there;
	struct kobj key;

	if (!kobj_container(o, &key))
		return NULL;
	there = find(s, &key);
	if (there || o->kind != KOBJ_LEAF)
		return there;
	key = (struct kobj){.kind = KOBJ_QDISC, .qdisc = {.ifindex = o->qdisc.ifindex, .parent = TC_H_ROOT}};
	return find(s, &key);
}

/* ---- what must be built anew ---- */

/* Of these kinds what cannot be changed is deleted and created; a map or a filter takes care of itself. */
static bool is_rebuilt(enum kobj_kind kind)
{
	return kind == KOBJ_LINK || kind == KOBJ_QDISC || kind == KOBJ_CLASS || kind == KOBJ_LEAF;
}

static bool is_clsact(const struct kobj *o)
{
	return o->kind == KOBJ_QDISC && o->qdisc.parent == TC_H_CLSACT;
}

static const char *why_rebuilt(const struct kobj *old, const struct kobj *new)
{
	if (!new || !is_rebuilt(old->kind) || is_clsact(old) || kobj_kinds[old->kind]->same(old, new))
		return NULL;
	return kobj_kinds[old->kind]->fixed(old, new);
}

/* Nothing hangs on these, nor do they on what may be built anew. There may be 100,000 entries. */
static bool is_for_itself(enum kobj_kind kind)
{
	return kind == KOBJ_MAP || kind == KOBJ_ENTRY || kind == KOBJ_ACTION;
}

/* The ifb that a filter sends packets to, which forgets it when it goes, and drops them from then on; or NULL. */
static const struct kobj *find_target(const struct kobj_set *s, const struct kobj *o)
{
	const struct kobj key = {.kind = KOBJ_LINK, .link.ifindex = o->filter.redirect};

	return o->kind == KOBJ_FILTER && o->filter.redirect ? find(s, &key) : NULL;
}

/* Does anything go that other objects hang on and that is not taken down one by one? */
static bool is_lost(struct builder *b, size_t i)
{
	const struct kobj *o = &b->observed->v[i], *above;
	bool lost;

	if (b->fate[i] != FATE_UNKNOWN)
		return b->fate[i] == FATE_LOST;
	b->fate[i] = FATE_STAYS; /* also what a circle among the parents comes to, which no kernel has */
	lost = why_rebuilt(o, find(b->wanted, o)) != NULL;
	above = lost ? NULL : find_container(b->observed, o);
	if (above)
		lost = is_lost(b, (size_t)(above - b->observed->v));
	above = lost ? NULL : find_target(b->observed, o);
	if (above)
		lost = is_lost(b, (size_t)(above - b->observed->v));
	b->fate[i] = lost ? FATE_LOST : FATE_STAYS;
	return lost;
}

static void decide_fates(struct builder *b)
{
	b->fate = arena_array(b->a, b->observed->n ? b->observed->n : 1, sizeof(*b->fate));
	for (size_t i = 0; i < b->observed->n; i++)
		if (!is_for_itself(b->observed->v[i].kind))
			(void)is_lost(b, i); /* remembered */
}

static bool has_fate(const struct builder *b, const struct kobj *old)
{
	return b->fate[old - b->observed->v] == FATE_LOST;
}

/* ---- where each step belongs ---- */

static bool is_inner(const struct kobj *cls)
{
	return cls && cls->kind == KOBJ_CLASS && cls->cls.inner;
}

/* Its class has children that go in this very apply: until then the kernel refuses a leaf there. */
static bool waits_for_children(const struct builder *b, const struct kobj *leaf)
{
	const struct kobj *cls = leaf->kind == KOBJ_LEAF ? find_container(b->observed, leaf) : NULL;

	return is_inner(cls) && !has_fate(b, cls);
}

static void add_created(struct builder *b, const struct kobj *new)
{
	add_step(b, waits_for_children(b, new) ? &b->last : &b->in_turn, NULL, new, NULL);
}

/* clsact is everybody's: deleting it deletes other people's filters. It goes with a device that is ours. A foreign root
 * is somebody else's. */
static bool is_shared(const struct builder *b, const struct kobj *o)
{
	const struct kobj *link;

	if (o->kind != KOBJ_QDISC)
		return false;
	if (tc_qdisc_is_foreign(&o->qdisc))
		return true;
	if (!is_clsact(o))
		return false;
	link = find_container(b->observed, o);
	return !link || find(b->wanted, link);
}

/* The first child of a class throws its leaf away; undo must find it gone before. */
static bool gives_way_to_children(const struct builder *b, const struct kobj *leaf)
{
	return leaf->kind == KOBJ_LEAF && is_inner(find_container(b->wanted, leaf));
}

static int by_handle(const void *left, const void *right)
{
	const struct kobj_qdisc *a = &(*(const struct kobj *const *)left)->qdisc,
				*b = &(*(const struct kobj *const *)right)->qdisc;

	if (a->ifindex != b->ifindex)
		return a->ifindex < b->ifindex ? -1 : 1;
	return (a->handle > b->handle) - (a->handle < b->handle);
}

static void sort_handles(struct builder *b)
{
	b->handles = arena_array(b->a, b->wanted->n + 1, sizeof(*b->handles));
	for (size_t i = 0; i < b->wanted->n; i++)
		if (b->wanted->v[i].kind == KOBJ_LEAF)
			b->handles[b->n_handles++] = &b->wanted->v[i];
	if (b->n_handles > 1)
		qsort(b->handles, b->n_handles, sizeof(*b->handles), by_handle);
}

/* A handle is there once on a device: a leaf of another class that is to have it has to wait for this one to go. */
static bool is_in_the_way(struct builder *b, const struct kobj *leaf)
{
	if (leaf->kind != KOBJ_LEAF)
		return false;
	if (!b->handles)
		sort_handles(b);
	return bsearch(&leaf, b->handles, b->n_handles, sizeof(*b->handles), by_handle) != NULL;
}

static void add_deleted(struct builder *b, const struct kobj *old)
{
	if (has_fate(b, old))
		add_step(b, &b->first, old, NULL, NULL);
	else if (!is_shared(b, old))
		add_step(b, gives_way_to_children(b, old) || is_in_the_way(b, old) ? &b->first : &b->gone, old, NULL,
			 NULL);
}

/* A class that moves by itself, without children before or after, below what stays. */
static bool goes_alone(const struct builder *b, const struct kobj *old, const struct kobj *new)
{
	const struct kobj *above = find_container(b->observed, old);

	return old->kind == KOBJ_CLASS && has_fate(b, old) && !old->cls.inner && !new->cls.inner &&
	       !(above && has_fate(b, above));
}

static void add_pair(struct builder *b, const struct kobj *old, const struct kobj *new)
{
	const char *why = why_rebuilt(old, new);

	if (goes_alone(b, old, new)) {
		/* The default's class: for as long as it is away htb sends what has no class unshaped. */
		struct kobj *before = arena_new_of(b->a, struct kobj);

		*before = *old;
		before->level = new->level; /* the two steps stay together */
		add_step(b, &b->in_turn, before, NULL, why ? why : "what it hangs on is built anew");
		add_step(b, &b->in_turn, NULL, new, NULL);
	} else if (has_fate(b, old) && old->kind != KOBJ_LEAF) {
		add_step(b, &b->first, old, NULL, why ? why : "what it hangs on is built anew");
		add_step(b, &b->in_turn, NULL, new, NULL);
	} else if (has_fate(b, old)) {
		/* A leaf alone: one after the other, so that its class is without it for a moment only. */
		const struct kobj *cls = find_container(b->observed, old);

		add_step(b, cls && has_fate(b, cls) ? &b->first : &b->in_turn, old, NULL,
			 why ? why : "what it hangs on is built anew");
		add_step(b, &b->in_turn, NULL, new, NULL);
	} else if (!kobj_kinds[old->kind]->same(old, new)) {
		add_step(b, is_inner(old) && !is_inner(new) ? &b->last : &b->in_turn, old, new, NULL);
	}
}

/* ---- the order ---- */

static const struct kobj *object(const struct step *s)
{
	return s->after ? s->after : s->before;
}

/* All leaves are alike, so that the two steps of one that is built anew stay together. */
static uint32_t level(const struct kobj *o)
{
	return o->kind == KOBJ_LEAF ? 0 : o->level;
}

/* Devices' trees are one kind, in which each is whole before the next begins: to look up a tree among its device's
 * qdiscs the kernel passes all that were made after it. And it passes all of them twice where there is a clsact, so
 * that one comes when the filters do. */
static int phase(const struct kobj *o)
{
	switch (o->kind) {
	case KOBJ_MAP: return 0;
	case KOBJ_ENTRY: return 1;
	case KOBJ_LINK: return 2;
	case KOBJ_QDISC: return is_clsact(o) ? 5 : 3;
	case KOBJ_CLASS:
	case KOBJ_LEAF: return 3;
	case KOBJ_ACTION: return 4;
	case KOBJ_FILTER:
	case KOBJ_KINDS: break;
	}
	return 6;
}

/* What stands first in the order of a device's trees: the root qdisc, then tree by tree. */
struct tree {
	int ifindex;
	uint32_t major;
};

static struct tree tree_of(const struct kobj *o)
{
	if (is_clsact(o))
		return (struct tree){0};
	switch (o->kind) {
	case KOBJ_QDISC:
		return (struct tree){o->qdisc.ifindex, o->qdisc.parent == TC_H_ROOT ? 0 : TC_H_MAJ(o->qdisc.handle)};
	case KOBJ_CLASS: return (struct tree){o->cls.ifindex, TC_H_MAJ(o->cls.classid)};
	case KOBJ_LEAF: return (struct tree){o->qdisc.ifindex, TC_H_MAJ(o->qdisc.parent)};
	default: return (struct tree){0};
	}
}

static int cmp_trees(const struct kobj *x, const struct kobj *y)
{
	struct tree s = tree_of(x), t = tree_of(y);

	if (s.ifindex != t.ifindex)
		return s.ifindex < t.ifindex ? -1 : 1;
	return (s.major > t.major) - (s.major < t.major);
}

/* While a tree has no default, htb lets pass unshaped what is of no class that is there: so the default comes, with
 * what is above it, before the other classes, and goes after them. By the set's objects. */
static const bool *find_defaults(struct builder *b, const struct kobj_set *s)
{
	bool *found = arena_array(b->a, s->n + 1, sizeof(*found));

	for (size_t i = 0; i < s->n; i++) {
		const struct kobj *o = &s->v[i];

		if (o->kind != KOBJ_CLASS || TC_H_MIN(o->cls.classid) != KOBJ_DEFAULT_MINOR)
			continue;
		for (; o && o->kind == KOBJ_CLASS && !found[o - s->v]; o = find_container(s, o))
			found[o - s->v] = true;
	}
	return found;
}

struct place {
	struct step step;
	bool later; /* than the default of its tree: of a class */
};

/* By kind and tree, the default first, from the root down, by key; of one object its deletion first. */
static int cmp_places(const void *a, const void *b)
{
	const struct place *p = a, *q = b;
	const struct step *s = &p->step, *t = &q->step;
	const struct kobj *x = object(s), *y = object(t);
	int order = phase(x) - phase(y);

	if (!order)
		order = cmp_trees(x, y);
	if (order)
		return order;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (p->later != q->later)
		return p->later - q->later;
	if (level(x) != level(y))
		return level(x) < level(y) ? -1 : 1;
	order = kobj_cmp(x, y);
	return order ? order : (s->after != NULL) - (t->after != NULL);
}

/* in has all that the steps are about. */
static void append(struct builder *b, struct steps *out, const struct steps *from, const struct kobj_set *in,
		   bool backwards)
{
	struct place *v = arena_array(b->a, from->n + 1, sizeof(*v));
	const bool *defaults = from->n ? find_defaults(b, in) : NULL;

	for (size_t i = 0; i < from->n; i++) {
		const struct kobj *o = object(&from->v[i]);

		v[i].step = from->v[i];
		v[i].later = o->kind == KOBJ_CLASS && !defaults[find(in, o) - in->v];
	}
	if (from->n > 1)
		qsort(v, from->n, sizeof(*v), cmp_places);
	for (size_t i = 0; i < from->n; i++)
		*vec_add(b->a, out) = v[backwards ? from->n - 1 - i : i].step;
}

static void put_together(struct builder *b, struct steps *out)
{
	append(b, out, &b->first, b->observed, true);
	append(b, out, &b->in_turn, b->wanted, false);
	append(b, out, &b->gone, b->observed, true);
	append(b, out, &b->last, b->wanted, false);
}

void diff_describe(const struct step *s, const char *(*ifname)(void *ctx, int ifindex), void *ctx, FILE *out)
{
	const struct kobj *o = object(s);
	const struct kobj_ops *kind = kobj_kinds[o->kind];
	const char *fixed = s->before && s->after ? kind->fixed(s->before, s->after) : s->rebuild;

	fputs(fixed ? "! " : !s->before ? "+ " : !s->after ? "- " : "~ ", out);
	kind->describe(o, ifname, ctx, out);
	if (s->before && s->after) {
		fputs("   (was: ", out);
		kind->describe(s->before, ifname, ctx, out);
		fputs(")", out);
	}
	if (fixed)
		fprintf(out, "   rebuild: %s", fixed);
	if (o->what)
		fprintf(out, "   # %s", o->what);
}
