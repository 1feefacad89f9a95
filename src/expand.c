/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "expand.h"

#include "../bpf/qosd_abi.h"

#include <string.h>

/* Of all policies together, templates expanded: a small file must not become a large tree. */
#define EXPANDED_MAX (4u * QOSD_CLASSES_MAX)

#define TEMPLATES_DEEP_MAX 64 /* that use one another: each is a call on the stack */

/* A template with the templates that it uses itself merged in. */
struct template
{
	const struct w_template *written;
	enum { TEMPLATE_NEW, TEMPLATE_BEGUN, TEMPLATE_MERGED } state;
	unsigned levels; /* once merged: of templates from here on, this one counted */
	bool incomplete; /* one that it uses could not be */
	struct w_class keys;
};

struct expander {
	struct arena *a;
	struct diag *d;
	struct names templates;
	size_t n_all;   /* classes of all policies */
	unsigned begun; /* templates that are being merged, each for the one before */
};

static unsigned merge(struct expander *e, const struct w_class *w, struct w_class *out, bool *incomplete);

static void overlay_rate(struct w_rate *onto, const struct w_rate *rate)
{
	if (rate->up.pos.line) /* one that could not be read, too: it was meant */
		onto->up = rate->up;
	if (rate->down.pos.line)
		onto->down = rate->down;
}

/* Every key that is written in c replaces that of onto; lists are replaced, not joined. */
static void overlay(struct w_class *onto, const struct w_class *c)
{
	overlay_rate(&onto->rate, &c->rate);
	overlay_rate(&onto->ceil, &c->ceil);
	if (c->burst.set)
		onto->burst = c->burst;
	if (c->cburst.set)
		onto->cburst = c->cburst;
	if (c->quantum.set)
		onto->quantum = c->quantum;
	if (c->prio.set)
		onto->prio = c->prio;
	if (c->mtu.set)
		onto->mtu = c->mtu;
	if (c->leaf.set)
		onto->leaf = c->leaf;
	if (c->exceed.set)
		onto->exceed = c->exceed;
	if (c->conform.set)
		onto->conform = c->conform;
	if (c->remark.has_dscp || c->remark.has_mark)
		onto->remark = c->remark;
	if (c->per.pos.line)
		onto->per = c->per;
	if (c->match.pos.line)
		onto->match = c->match;
	if (c->classes_pos.line) {
		onto->classes_pos = c->classes_pos;
		onto->classes = c->classes;
		onto->n_classes = c->n_classes;
	}
}

/* Each template is merged once, so that a chain in which each uses the one before twice costs nothing more. */
static void merge_template(struct expander *e, struct template *t)
{
	t->state = TEMPLATE_BEGUN;
	e->begun++;
	t->levels = 1 + merge(e, &t->written->keys, &t->keys, &t->incomplete);
	e->begun--;
	t->state = TEMPLATE_MERGED;
}

static unsigned merge_uses(struct expander *e, const struct w_class *w, struct w_class *out, bool *incomplete)
{
	unsigned levels = 0;

	for (size_t i = 0; i < w->use.n; i++) {
		const struct w_text *use = &w->use.v[i];
		struct template *t = use->s ? names_resolve(&e->templates, e->d, use->pos, use->s) : NULL;

		*incomplete |= !t;
		if (!t)
			continue;
		if (t->state == TEMPLATE_NEW && e->begun < TEMPLATES_DEEP_MAX)
			merge_template(e, t);
		*incomplete |= t->incomplete || t->state != TEMPLATE_MERGED;
		if (t->state == TEMPLATE_BEGUN) {
			diag_error(e->d, use->pos, "template-loop", "template \"%s\" ends up using itself", use->s);
			continue;
		}
		if (t->state == TEMPLATE_NEW || e->begun + t->levels > TEMPLATES_DEEP_MAX) {
			diag_error(e->d, use->pos, "too-deep", "templates use one another more than %d deep",
				   TEMPLATES_DEEP_MAX);
			continue;
		}
		if (levels < t->levels)
			levels = t->levels;
		overlay(out, &t->keys);
	}
	return levels;
}

/* Returns the levels of templates that w uses. */
static unsigned merge(struct expander *e, const struct w_class *w, struct w_class *out, bool *incomplete)
{
	unsigned levels;

	memset(out, 0, sizeof(*out));
	*incomplete = false;
	levels = merge_uses(e, w, out, incomplete);
	overlay(out, w);
	out->pos = w->pos;
	out->name = w->name;
	return levels;
}

struct expander *expand_new(struct arena *a, struct diag *d, const struct policy *p)
{
	struct expander *e = arena_new_of(a, struct expander);
	struct template *templates = arena_array(a, p->templates.n, sizeof(*templates));

	e->a = a;
	e->d = d;
	e->templates.kind = "template";
	e->templates.hushed = p->unread.templates;
	for (size_t i = 0; i < p->templates.n; i++) {
		templates[i].written = &p->templates.v[i];
		names_add(a, &e->templates, p->templates.v[i].name.s, &templates[i]);
	}
	names_seal(a, &e->templates);
	/* the ones that nobody uses, too: their mistakes count */
	for (size_t i = 0; i < p->templates.n; i++)
		if (templates[i].state == TEMPLATE_NEW)
			merge_template(e, &templates[i]);
	return e;
}

/* Classes were meant inside, and none could be read. */
static bool hides_classes(const struct expanded *c)
{
	return c->keys.classes_pos.line && !c->keys.n_classes;
}

static void expand_classes(struct expander *e, struct expanded_policy *p, const struct expanded *parent,
			   const struct w_class *written, size_t n, struct expanded **out, unsigned depth)
{
	struct expanded *classes;

	*out = NULL;
	if (!n)
		return;
	if (depth > QOSD_DEPTH_MAX) {
		diag_error(e->d, written[0].pos, "too-deep", "classes are nested more than %d deep", QOSD_DEPTH_MAX);
		p->whole = false;
		return;
	}
	if (n > QOSD_CLASSES_MAX || p->n_all > QOSD_CLASSES_MAX - n) {
		if (p->whole)
			diag_error(e->d, written[0].pos, "too-many-classes", "policy \"%s\" has more than %d classes",
				   p->written->name.s ? p->written->name.s : "", QOSD_CLASSES_MAX);
		p->whole = false;
		return;
	}
	if (e->n_all > EXPANDED_MAX - n) {
		diag_error(e->d, written[0].pos, "too-many-classes", "the policies together have more than %u classes",
			   EXPANDED_MAX);
		p->whole = false;
		return;
	}
	p->n_all += n;
	e->n_all += n;
	*out = classes = arena_array(e->a, n, sizeof(*classes));
	for (size_t i = 0; i < n; i++) {
		struct expanded *c = &classes[i];

		c->parent = parent;
		/* any number of levels: a template was told of when it was merged */
		(void)merge(e, &written[i], &c->keys, &c->incomplete);
		p->names.hushed |= !c->keys.name.s || hides_classes(c);
		names_add(e->a, &p->names, c->keys.name.s, c);
		expand_classes(e, p, c, c->keys.classes, c->keys.n_classes, &c->children, depth + 1);
		c->n_children = c->children ? c->keys.n_classes : 0;
	}
}

static bool same_pos(struct pos a, struct pos b)
{
	return a.file == b.file && a.line == b.line && a.col == b.col;
}

/* One template that is used twice brings the same line twice: then its users tell more. */
static void tell_twice(struct expander *e, const struct expanded_policy *p, const struct expanded *first,
		       const struct expanded *second)
{
	const struct w_text *name = &second->keys.name;

	diag_error(e->d, name->pos, "duplicate-name", "policy \"%s\" has a class \"%s\" already",
		   p->written->name.s ? p->written->name.s : "", name->s);
	if (!same_pos(name->pos, first->keys.name.pos)) {
		diag_note(e->d, first->keys.name.pos, "the first \"%s\" is here", name->s);
	} else if (first->parent && second->parent) {
		diag_note(e->d, first->parent->keys.pos, "it comes from a template that is used here");
		diag_note(e->d, second->parent->keys.pos, "and here");
	}
}

static void check_names(struct expander *e, const struct expanded_policy *p, const struct expanded *classes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct w_text *name = &classes[i].keys.name;
		const struct expanded *first = name->s ? names_find(&p->names, name->s) : NULL;

		if (first && first != &classes[i])
			tell_twice(e, p, first, &classes[i]);
		if (name->s && (!strcmp(name->s, "root") || !strcmp(name->s, "pass")))
			diag_error(e->d, name->pos, "bad-name", "\"%s\" is reserved, a class cannot have that name",
				   name->s);
		check_names(e, p, classes[i].children, classes[i].n_children);
	}
}

struct expanded_policy *expand_policy(struct expander *e, const struct w_policy *w)
{
	struct expanded_policy *p = arena_new_of(e->a, struct expanded_policy);

	p->written = w;
	p->whole = true;
	p->names.kind = "class";
	p->names.hushed = !w->n_classes;
	expand_classes(e, p, NULL, w->classes, w->n_classes, &p->classes, 1);
	p->n_classes = p->classes ? w->n_classes : 0;
	names_seal(e->a, &p->names);
	if (p->whole)
		check_names(e, p, p->classes, p->n_classes);
	return p;
}
