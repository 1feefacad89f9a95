/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model.h"

#include "../bpf/qosd_abi.h"
#include "csv.h"
#include "expand.h"
#include "glob.h"
#include "names.h"

#include <stdlib.h>
#include <string.h>

#define HOOK_CLASSES_MAX     (1u << 18) /* of all hooks together */
#define LEARN_TIMEOUT_NS     (10 * 60 * NS_PER_S)
#define LEARN_MAX            1024
#define LEARNED_SAVE_NS      (30 * NS_PER_S)
#define BURST_DEFAULT_NS     (NS_PER_S / 4)     /* a policer with less starves TCP on a short path */
#define BURST_DEFAULT_BYTES  (64 * 1024 + 1500) /* the largest merged packet, and one more */
#define BURST_DEFAULT_MAX_NS (250 * NS_PER_S)   /* act_police and htb hold 2^32 ticks of 64 ns, 274 s */

#define PER_PREFIX4    32
#define PER_PREFIX6    128
#define PER_MAX        65536
#define PER_TIMEOUT_NS (5 * 60 * NS_PER_S)

#define HTB_BURST_DEFAULT_NS (NS_PER_S / 1000) /* what a timer that is late by that much has to make up for */
#define HTB_MTU              (1500 + 14)       /* with the header of Ethernet, as the kernel counts it */
#define HTB_QUANTUM_SHARE    10                /* of the rate: tc's r2q */
#define HTB_QUANTUM_MAX      60000
#define HTB_TXQLEN           1000 /* what a device has that says nothing of it */

#define NS_PER_S 1000000000ull

#define EDT_HORIZON_NS (NS_PER_S / 20)  /* the queue of an aggregate, so short */
#define EDT_ECN_NS     (NS_PER_S / 200) /* codel's target */

static const char *const type_names[] = {[POLICY_POLICE] = "police", [POLICY_EDT] = "edt", [POLICY_HTB] = "htb"};

#define OF(type) (1u << (type))

/* What makes it matter which way traffic flows. */
struct need {
	struct pos pos; /* line 0: nothing does */
	const char *what;
};

struct policy_in_use {
	struct expanded_policy *expanded;
	struct need side;
};

struct builder {
	struct arena *a;
	struct diag *d;
	const struct policy *p;
	const char *dir;
	struct model *m;
	struct names sets, services, policies; /* -> model_set, model_service, policy_in_use */
	struct need protect_side;
	size_t n_classes; /* of all hooks so far */
	bool rate_broken; /* one of this hook was written and could not be read: who needs it is not to blame */
};

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static void build_settings(struct builder *b)
{
	const struct policy *p = b->p;

	b->m->on_stop = p->settings.on_stop.set ? (enum on_stop)p->settings.on_stop.v : ON_STOP_KEEP;
	b->m->takeover = p->settings.takeover.set ? (enum takeover)p->settings.takeover.v : TAKEOVER_REFUSE;
	b->m->learned_save_ns = p->settings.learned_save.set ? p->settings.learned_save.v : LEARNED_SAVE_NS;
	b->m->protect = p->settings.protect;
	b->m->fast_path = !p->settings.fast_path.set || p->settings.fast_path.v;
}

/* ---- services ---------------------------------------------------------------------------------------------------- */

static void build_services(struct builder *b)
{
	struct model *m = b->m;

	b->services.kind = "service";
	b->services.hushed = b->p->unread.services;
	m->services = arena_array(b->a, b->p->services.n, sizeof(*m->services));
	for (size_t i = 0; i < b->p->services.n; i++) {
		const struct w_service *w = &b->p->services.v[i];
		struct model_service *s;

		if (!w->name.s)
			continue;
		s = m->services[m->n_services++] = arena_new_of(b->a, struct model_service);
		s->name = w->name.s;
		s->pos = w->name.pos;
		s->entries = w->v;
		s->n = w->n;
		names_add(b->a, &b->services, s->name, s);
	}
	names_seal(b->a, &b->services);
}

/* ---- sets -------------------------------------------------------------------------------------------------------- */

static const char *beside(struct builder *b, const char *path)
{
	if (path[0] == '/' || !strcmp(b->dir, "."))
		return path;
	return arena_printf(b->a, "%s%s%s", b->dir, strcmp(b->dir, "/") ? "/" : "", path);
}

static int by_prefix(const void *left, const void *right)
{
	const struct model_element *a = left, *b = right;
	const uint32_t pa[] = {a->pos.file, a->pos.line, a->pos.col}, pb[] = {b->pos.file, b->pos.line, b->pos.col};
	int cmp = prefix_cmp(&a->prefix, &b->prefix);

	for (size_t i = 0; !cmp && i < sizeof(pa) / sizeof(*pa); i++)
		cmp = (pa[i] > pb[i]) - (pa[i] < pb[i]);
	return cmp;
}

/* Files often are. */
static bool are_sorted(const struct model_element *v, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (by_prefix(&v[i - 1], &v[i]) > 0)
			return false;
	return true;
}

static void refuse_duplicates(struct builder *b, const struct model_set *s)
{
	const struct model_element *first = s->elements;
	char text[TEXT_MAX];

	for (size_t i = 1; i < s->n_elements; i++) {
		const struct model_element *e = &s->elements[i];

		if (prefix_cmp(&first->prefix, &e->prefix)) {
			first = e;
			continue;
		}
		diag_error(b->d, e->pos, "duplicate-element", "set \"%s\" has %s already", s->name,
			   text_format_prefix(text, &e->prefix));
		diag_note(b->d, first->pos, "it is written here first");
	}
}

static void build_elements(struct builder *b, const struct w_set *w, struct model_set *s)
{
	struct csv rows = {0};
	size_t n = 0;

	if (w->file.s) {
		s->file = beside(b, w->file.s);
		(void)csv_load(b->a, b->d, w->file.pos, s->file, &rows); /* told to the diag */
	}
	s->elements = arena_array(b->a, w->elements.n + rows.n, sizeof(*s->elements));
	for (size_t i = 0; i < w->elements.n; i++) {
		const struct w_element *e = &w->elements.v[i];

		s->elements[n++] = (struct model_element){.prefix = e->prefix,
							  .pos = e->pos,
							  .up_Bps = e->up.set ? e->up.v.Bps : 0,
							  .down_Bps = e->down.set ? e->down.v.Bps : 0};
	}
	for (size_t i = 0; i < rows.n; i++) {
		const struct csv_row *r = &rows.v[i];

		s->elements[n++] = (struct model_element){r->prefix, r->pos, r->up_Bps, r->down_Bps};
	}
	s->n_elements = n;
	if (!are_sorted(s->elements, n))
		qsort(s->elements, n, sizeof(*s->elements), by_prefix);
	refuse_duplicates(b, s);
}

static void build_learn(struct builder *b, const struct w_set *w, struct model_set *s)
{
	s->learn.from = w->learn.from.set ? (unsigned)w->learn.from.v : LEARN_IP | LEARN_ARP | LEARN_ND;
	s->learn.timeout_ns = w->learn.timeout.set ? w->learn.timeout.v : LEARN_TIMEOUT_NS;
	s->learn.max = w->learn.max.set ? (uint32_t)w->learn.max.v : LEARN_MAX;
	s->learn.when_full = w->learn.when_full.set ? (enum when_full)w->learn.when_full.v : FULL_REFUSE;
	if (!w->learn.pos.line)
		return;
	s->learns = true;
	s->learn.on = arena_array(b->a, w->learn.on.n, sizeof(*s->learn.on));
	for (size_t i = 0; i < w->learn.on.n; i++)
		if (w->learn.on.v[i].s)
			s->learn.on[s->learn.n_on++] = w->learn.on.v[i].s;
	s->learn.n_within = w->learn.within.n;
	s->learn.within = arena_array(b->a, w->learn.within.n, sizeof(*s->learn.within));
	for (size_t i = 0; i < w->learn.within.n; i++)
		s->learn.within[i] = w->learn.within.v[i].prefix;
}

static void build_sets(struct builder *b)
{
	struct model *m = b->m;

	b->sets.kind = "set";
	b->sets.hushed = b->p->unread.sets;
	m->sets = arena_array(b->a, b->p->sets.n, sizeof(*m->sets));
	for (size_t i = 0; i < b->p->sets.n; i++) {
		const struct w_set *w = &b->p->sets.v[i];
		struct model_set *s;

		if (!w->name.s)
			continue;
		s = m->sets[m->n_sets++] = arena_new_of(b->a, struct model_set);
		s->name = w->name.s;
		s->pos = w->name.pos;
		build_elements(b, w, s);
		build_learn(b, w, s);
		names_add(b->a, &b->sets, s->name, s);
	}
	names_seal(b->a, &b->sets);
}

/* ---- names in matches -------------------------------------------------------------------------------------------- */

static void resolve_item(struct builder *b, struct match_item *item);

static void resolve_term(struct builder *b, struct match_term *t)
{
	bool is_service = t->key == MATCH_SERVICE || t->key == MATCH_SERVER || t->key == MATCH_CLIENT;

	if (t->key == MATCH_NOT && t->item)
		resolve_item(b, t->item);
	for (size_t i = 0; i < t->n; i++) {
		struct match_value *v = &t->values[i];
		struct model_set *set;

		if (is_service && v->name) {
			v->service = names_resolve(&b->services, b->d, v->pos, v->name);
		} else if (v->is_set && v->name) {
			v->set = set = names_resolve(&b->sets, b->d, v->pos, v->name);
			if (set)
				set->used = true;
		}
	}
}

static void resolve_item(struct builder *b, struct match_item *item)
{
	for (size_t i = 0; i < item->n; i++)
		resolve_term(b, &item->terms[i]);
}

static void resolve_list(struct builder *b, struct match_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		resolve_item(b, &list->items[i]);
}

static void resolve_per(struct builder *b, struct w_per *per)
{
	const char *name = per->set.s;

	if (!name)
		return;
	per->found = names_resolve(&b->sets, b->d, per->set.pos, *name == '@' ? name + 1 : name);
	if (per->found)
		per->found->used = per->found->rates_used = true;
}

static void resolve_class(struct builder *b, struct w_class *c)
{
	resolve_list(b, &c->match);
	resolve_per(b, &c->per);
	for (size_t i = 0; i < c->n_classes; i++)
		resolve_class(b, &c->classes[i]);
}

/* Where they are written, so that what many classes share is told once. */
static void resolve_matches(struct builder *b)
{
	const struct policy *p = b->p;

	resolve_list(b, &b->m->protect);
	for (size_t i = 0; i < p->templates.n; i++)
		resolve_class(b, &p->templates.v[i].keys);
	for (size_t i = 0; i < p->policies.n; i++)
		for (size_t j = 0; j < p->policies.v[i].n_classes; j++)
			resolve_class(b, &p->policies.v[i].classes[j]);
	for (size_t i = 0; i < p->forwards.n; i++)
		resolve_list(b, &p->forwards.v[i].match);
}

/* ---- who needs to know which way is up --------------------------------------------------------------------------- */

static bool key_is_sided(enum match_key key)
{
	return key == MATCH_LOCAL || key == MATCH_REMOTE || key == MATCH_LOCAL_PORT || key == MATCH_REMOTE_PORT ||
	       key == MATCH_SERVER || key == MATCH_CLIENT;
}

static struct need item_need(const struct match_item *item)
{
	struct need need = {0};

	for (size_t i = 0; i < item->n && !need.pos.line; i++) {
		const struct match_term *t = &item->terms[i];

		if (key_is_sided(t->key))
			need = (struct need){t->pos, match_key_name(t->key)};
		else if (t->key == MATCH_NOT && t->item)
			need = item_need(t->item);
	}
	return need;
}

static struct need list_need(const struct match_list *list)
{
	struct need need = {0};

	for (size_t i = 0; i < list->n && !need.pos.line; i++)
		need = item_need(&list->items[i]);
	return need;
}

static bool same_rate(const struct rate *a, const struct rate *b)
{
	return a->Bps == b->Bps && a->percent == b->percent;
}

static struct need rate_need(const struct w_rate *r, const char *key)
{
	if (r->up.set == r->down.set && same_rate(&r->up.v, &r->down.v))
		return (struct need){0};
	return (struct need){r->up.set ? r->up.pos : r->down.pos, key};
}

static struct need per_need(const struct w_per *per)
{
	if (per->key.set && (per->key.v == PER_LOCAL || per->key.v == PER_REMOTE))
		return (struct need){per->key.pos, "key"};
	if (per->set.s)
		return (struct need){per->set.pos, "set"};
	return rate_need(&per->rate, "rate");
}

static struct need classes_need(const struct expanded *classes, size_t n)
{
	struct need need = {0};

	for (size_t i = 0; i < n && !need.pos.line; i++) {
		need = rate_need(&classes[i].keys.rate, "rate");
		if (!need.pos.line)
			need = rate_need(&classes[i].keys.ceil, "ceil");
		if (!need.pos.line)
			need = per_need(&classes[i].keys.per);
		if (!need.pos.line)
			need = list_need(&classes[i].keys.match);
		if (!need.pos.line)
			need = classes_need(classes[i].children, classes[i].n_children);
	}
	return need;
}

/* ---- policies ---------------------------------------------------------------------------------------------------- */

static bool is_written(const struct w_rate *rate)
{
	return rate->up.pos.line || rate->down.pos.line;
}

/* A key has to have some rate, or it would be unshaped by accident. The rate of a class of htb is that of all. */
static void require_key_rates(struct builder *b, const struct expanded *classes, size_t n, bool htb)
{
	for (size_t i = 0; i < n; i++) {
		const struct w_class *c = &classes[i].keys;
		bool has_rate = is_written(&c->per.rate) || (!htb && is_written(&c->rate));

		if (c->per.pos.line && !has_rate && !classes[i].incomplete)
			diag_error(b->d, c->per.pos, "missing-rate", "\"per\" of class \"%s\" needs a rate%s: %s",
				   c->name.s ? c->name.s : "",
				   c->per.set.s ? " for addresses that have none of their own" : "",
				   htb ? "that of the class is of all together" : "here, or in the class");
		require_key_rates(b, classes[i].children, classes[i].n_children, htb);
	}
}

static bool any_per(const struct expanded *classes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (classes[i].keys.per.pos.line || any_per(classes[i].children, classes[i].n_children))
			return true;
	return false;
}

/* What belongs to the waits of keys, in an htb without any. */
static void warn_without_keys(struct builder *b, const struct w_policy *w, const struct expanded_policy *e)
{
	if (!e->whole || any_per(e->classes, e->n_classes))
		return;
	if (w->horizon.set)
		diag_warning(b->d, w->horizon.pos, "no-effect",
			     "\"horizon\" has no effect: no class of policy \"%s\" has \"per\"", w->name.s);
	if (w->ecn.set)
		diag_warning(b->d, w->ecn.pos, "no-effect",
			     "\"ecn\" has no effect: no class of policy \"%s\" has \"per\"", w->name.s);
}

/* What belongs to a rate, in a class that has none in either direction. */
static void warn_without_rate(struct builder *b, const struct expanded *classes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct w_class *c = &classes[i].keys;
		bool without = !is_written(&c->rate) && !c->per.pos.line && !classes[i].incomplete;
		const struct {
			const char *key;
			bool set;
			struct pos pos;
		} keys[] = {
			{"burst", c->burst.set, c->burst.pos},
			{"mtu", c->mtu.set, c->mtu.pos},
			{"exceed", c->exceed.set, c->exceed.pos},
		};

		for (size_t j = 0; j < sizeof(keys) / sizeof(*keys); j++)
			if (without && keys[j].set)
				diag_warning(b->d, keys[j].pos, "no-effect",
					     "\"%s\" has no effect: class \"%s\" has no rate", keys[j].key,
					     c->name.s ? c->name.s : "");
		warn_without_rate(b, classes[i].children, classes[i].n_children);
	}
}

static const char *owners(unsigned of)
{
	return of == OF(POLICY_POLICE) ? "police"
	       : of == OF(POLICY_HTB)  ? "htb"
	       : of & OF(POLICY_EDT)   ? "police or edt"
				       : "police or htb";
}

/* A template knows no type; told where it is used by a policy of the wrong one. What is written in the class itself was
 * told when it was read, and is not set. */
static void refuse_foreign_keys(struct builder *b, const struct w_policy *p, const struct expanded *classes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct w_class *c = &classes[i].keys;
		const struct {
			const char *key;
			unsigned of; /* types */
			bool set;
			struct pos pos;
		} keys[] = {
			{"exceed", OF(POLICY_POLICE), c->exceed.set, c->exceed.pos},
			{"conform", OF(POLICY_POLICE), c->conform.set, c->conform.pos},
			{"burst", OF(POLICY_POLICE) | OF(POLICY_HTB), c->burst.set, c->burst.pos},
			{"mtu", OF(POLICY_POLICE) | OF(POLICY_HTB), c->mtu.set, c->mtu.pos},
			{"ceil", OF(POLICY_HTB), c->ceil.up.set, c->ceil.up.pos},
			{"ceil", OF(POLICY_HTB), !c->ceil.up.set && c->ceil.down.set, c->ceil.down.pos},
			{"cburst", OF(POLICY_HTB), c->cburst.set, c->cburst.pos},
			{"quantum", OF(POLICY_HTB), c->quantum.set, c->quantum.pos},
			{"prio", OF(POLICY_HTB), c->prio.set, c->prio.pos},
			{"leaf", OF(POLICY_HTB), c->leaf.set, c->leaf.pos},
		};

		for (size_t j = 0; j < sizeof(keys) / sizeof(*keys); j++) {
			if (!keys[j].set || keys[j].of & OF(p->type.v))
				continue;
			diag_error(b->d, keys[j].pos, "wrong-type",
				   "\"%s\" belongs to policies of type %s, but this template is used in one of type %s",
				   keys[j].key, owners(keys[j].of), type_names[p->type.v]);
			diag_note(b->d, c->pos, "by class \"%s\"", c->name.s ? c->name.s : "");
		}
		refuse_foreign_keys(b, p, classes[i].children, classes[i].n_children);
	}
}

/* Only the innermost classes of htb have a queue that takes its turn. */
static void warn_without_queue(struct builder *b, const struct expanded *classes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct w_class *c = &classes[i].keys;
		const struct {
			const char *key;
			bool set;
			struct pos pos;
		} keys[] = {
			{"quantum", c->quantum.set, c->quantum.pos},
			{"prio", c->prio.set, c->prio.pos},
			{"leaf", c->leaf.set, c->leaf.pos},
		};

		for (size_t j = 0; j < sizeof(keys) / sizeof(*keys) && classes[i].n_children; j++)
			if (keys[j].set)
				diag_warning(
					b->d, keys[j].pos, "no-effect",
					"\"%s\" has no effect: class \"%s\" has classes, and only the innermost ones "
					"have a queue",
					keys[j].key, c->name.s ? c->name.s : "");
		warn_without_queue(b, classes[i].children, classes[i].n_children);
	}
}

/* In htb nothing passes by the classes, and an inner class has no queue. */
static void check_htb_default(struct builder *b, const struct w_policy *w, const struct expanded *dflt)
{
	if (!strcmp(w->dflt.s, "pass")) {
		diag_error(b->d, w->dflt.pos, "bad-default",
			   "\"pass\" is not possible in a policy of type htb: traffic beside its classes would be sent "
			   "ahead of all of them; name a class");
	} else if (dflt && dflt->n_children) {
		diag_error(b->d, w->dflt.pos, "bad-default",
			   "class \"%s\" has classes and so no queue of its own; the default of htb is one without",
			   w->dflt.s);
		diag_note(b->d, dflt->children[0].keys.pos, "the first of its classes");
	}
}

static void check_policy(struct builder *b, const struct w_policy *w, const struct expanded_policy *e)
{
	bool htb = w->type.set && w->type.v == POLICY_HTB;
	const struct expanded *dflt = NULL;

	if (w->type.set)
		refuse_foreign_keys(b, w, e->classes, e->n_classes);
	require_key_rates(b, e->classes, e->n_classes, htb);
	if (htb) {
		warn_without_queue(b, e->classes, e->n_classes);
		warn_without_keys(b, w, e);
	} else if (w->type.set) {
		warn_without_rate(b, e->classes, e->n_classes);
	}
	if (e->whole && w->dflt.s && strcmp(w->dflt.s, "pass") != 0)
		dflt = names_resolve(&e->names, b->d, w->dflt.pos, w->dflt.s); /* found again per hook */
	if (htb && w->dflt.s)
		check_htb_default(b, w, dflt);
}

static void build_policies(struct builder *b)
{
	struct expander *e = expand_new(b->a, b->d, b->p);

	b->policies.kind = "policy";
	b->policies.hushed = b->p->unread.policies;
	for (size_t i = 0; i < b->p->policies.n; i++) {
		const struct w_policy *w = &b->p->policies.v[i];
		struct policy_in_use *use = arena_new_of(b->a, struct policy_in_use);

		use->expanded = expand_policy(e, w);
		check_policy(b, w, use->expanded);
		use->side = classes_need(use->expanded->classes, use->expanded->n_classes);
		names_add(b->a, &b->policies, w->name.s, use);
	}
	names_seal(b->a, &b->policies);
}

/* ---- hooks ------------------------------------------------------------------------------------------------------- */

static uint64_t bytes_in(uint64_t Bps, uint64_t ns)
{
	unsigned __int128 bytes = (unsigned __int128)Bps * ns / NS_PER_S;

	return bytes > UINT64_MAX ? UINT64_MAX : bytes ? (uint64_t)bytes : 1;
}

static uint64_t default_burst(uint64_t Bps)
{
	uint64_t burst = bytes_in(Bps, BURST_DEFAULT_NS), most = bytes_in(Bps, BURST_DEFAULT_MAX_NS);

	if (burst < BURST_DEFAULT_BYTES)
		burst = BURST_DEFAULT_BYTES;
	return burst < most ? burst : most;
}

static uint64_t burst_bytes(const struct w_span *burst, uint64_t Bps, uint64_t dflt)
{
	if (!Bps)
		return 0;
	if (!burst->set)
		return dflt;
	return burst->is_time ? bytes_in(Bps, burst->v) : burst->v;
}

static uint64_t nearest_rate(const struct model_class *c)
{
	while (c && !c->rate_Bps)
		c = c->parent;
	return c ? c->rate_Bps : 0;
}

static const struct w_one_rate *in_direction(const struct model_hook *h, const struct w_rate *written)
{
	return h->up ? &written->up : &written->down;
}

/* Bytes a second in the hook's direction, of which a share is of the whole; 0: none. */
static uint64_t class_rate(struct builder *b, const struct model_hook *h, const struct w_rate *written, uint64_t whole,
			   struct pos *pos)
{
	const struct w_one_rate *r = in_direction(h, written);
	uint64_t Bps;

	if (!r->set) {
		b->rate_broken |= r->pos.line != 0;
		return 0;
	}
	*pos = r->pos;
	if (!r->v.percent)
		return r->v.Bps;
	if (!whole && (b->rate_broken || h->type == POLICY_HTB)) /* told where it is missing */
		return 0;
	if (!whole) {
		diag_error(b->d, r->pos, "no-parent-rate",
			   "a share of what? neither policy \"%s\", nor the interface, nor a class above has a rate",
			   h->policy);
		diag_note(b->d, h->pos, "the policy is used here");
		return 0;
	}
	Bps = (uint64_t)((unsigned __int128)whole * r->v.percent / 1000000u);
	if (!Bps)
		diag_error(b->d, r->pos, "bad-rate", "this share of the parent's rate is less than a byte a second");
	return Bps;
}

/* Where per has no rate in either direction, the class's is that of each key and there is none of all together; but in
 * htb, where the class keeps its own. */
static void build_per(struct builder *b, const struct model_hook *h, struct model_class *c, const struct w_class *w)
{
	const struct w_per *per = &w->per;
	struct model_per *out = &c->per;

	if (!per->pos.line || !per->key.set)
		return;
	out->pos = out->rate_pos = per->pos;
	out->rate_Bps = class_rate(b, h, &per->rate, 0, &out->rate_pos);
	if (h->type != POLICY_HTB && !per->rate.up.set && !per->rate.down.set) {
		out->rate_Bps = c->rate_Bps;
		out->rate_pos = c->rate_pos;
		c->rate_Bps = 0;
	}
	if (!out->rate_Bps && !per->found) /* a rate for the other direction only */
		return;
	out->key = (enum per_key)per->key.v;
	out->set = per->found;
	out->prefix4 = per->prefix4.set ? (uint8_t)per->prefix4.v : PER_PREFIX4;
	out->prefix6 = per->prefix6.set ? (uint8_t)per->prefix6.v : PER_PREFIX6;
	out->max = per->max.set ? (uint32_t)per->max.v : PER_MAX;
	out->timeout_ns = per->timeout.set ? per->timeout.v : PER_TIMEOUT_NS;
	if (h->type == POLICY_HTB) /* they wait */
		return;
	if (!w->burst.set)
		out->burst_ns = BURST_DEFAULT_NS;
	else if (w->burst.is_time)
		out->burst_ns = w->burst.v;
	out->burst_bytes = !w->burst.set ? BURST_DEFAULT_BYTES : w->burst.is_time ? 0 : w->burst.v;
}

static void build_police(struct model_class *c, const struct w_class *w)
{
	c->burst = burst_bytes(&w->burst, c->rate_Bps, default_burst(c->rate_Bps));
	if (c->rate_Bps || c->per.key) { /* without a rate nothing exceeds */
		c->mtu = w->mtu.set ? (uint32_t)w->mtu.v : 0;
		c->exceed = w->exceed.set ? w->exceed.what : EXCEED_DROP;
		c->exceed_dscp = w->exceed.set && w->exceed.what == EXCEED_DSCP ? w->exceed.dscp : 0;
	}
	c->conform = w->conform.set ? (enum conform)w->conform.v : CONFORM_PASS;
}

/* ---- departure times --------------------------------------------------------------------------------------------- */

static bool any_keys(const struct model_hook *h)
{
	for (size_t i = 0; i < h->n_classes; i++)
		if (h->classes[i]->per.key)
			return true;
	return false;
}

/* Once the classes are known: packets wait in those of edt, and at the keys of htb. */
static void build_waits(struct model_hook *h, const struct w_policy *p)
{
	h->paces = h->type == POLICY_EDT || (h->type == POLICY_HTB && any_keys(h));
	if (!h->paces)
		return;
	h->horizon_ns = p->horizon.set ? p->horizon.v : EDT_HORIZON_NS;
	h->horizon_pos = p->horizon.set ? p->horizon.pos : p->name.pos;
	h->ecn_ns = p->ecn.set ? p->ecn.v : EDT_ECN_NS;
	h->ecn_pos = p->ecn.set ? p->ecn.pos : p->name.pos;
}

/* ---- htb --------------------------------------------------------------------------------------------------------- */

const struct model_class *model_keyed(const struct model_class *c)
{
	while (c && !c->per.key)
		c = c->parent;
	return c;
}

/* How much of the line a frame takes, at most: what a preset says is on top of the IP packet counts on top of the
 * frame. */
static uint64_t on_link(const struct model_link *l, uint32_t frame)
{
	int64_t bytes = (int64_t)frame + l->overhead;

	if (bytes < (int64_t)frame)
		bytes = frame;
	if (bytes < (int64_t)l->mpu)
		bytes = l->mpu;
	switch (l->linklayer) {
	case LINK_ETHERNET: break;
	case LINK_ATM: return (uint64_t)(bytes + 47) / 48 * 53;
	case LINK_PTM: return (uint64_t)(bytes * 65 + 63) / 64;
	}
	return (uint64_t)bytes;
}

static uint64_t default_htb_burst(const struct model_link *l, uint64_t Bps, uint32_t mtu)
{
	uint64_t burst = bytes_in(Bps, HTB_BURST_DEFAULT_NS), least = on_link(l, mtu),
		 most = bytes_in(Bps, BURST_DEFAULT_MAX_NS);

	if (burst < least)
		burst = least;
	return burst < most ? burst : most;
}

static uint32_t default_quantum(uint64_t Bps, uint32_t mtu)
{
	uint64_t quantum = Bps / HTB_QUANTUM_SHARE;

	if (quantum > HTB_QUANTUM_MAX)
		quantum = HTB_QUANTUM_MAX;
	if (quantum < mtu)
		quantum = mtu;
	return quantum < INT32_MAX ? (uint32_t)quantum : INT32_MAX; /* as one that is written */
}

/* The queue of a class. One without a rule of its own against long queues is as long as the rate warrants. */
static struct qdisc build_leaf(const struct w_leaf *w, uint64_t rate_Bps, uint32_t mtu)
{
	const struct qdisc_device dev = {.frame = mtu, .txqlen = HTB_TXQLEN};
	struct qdisc q, sized;
	uint64_t bytes;

	qdisc_defaults(&q, (enum qdisc_kind)w->qdisc.v, &dev);
	qdisc_sized_fifo(&sized, rate_Bps, &dev);
	bytes = (uint64_t)sized.fifo.limit * mtu;
	if (q.kind == QDISC_PFIFO)
		q.fifo.limit = sized.fifo.limit;
	if (q.kind == QDISC_BFIFO)
		q.fifo.limit = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
	for (size_t i = 0; i < w->n; i++)
		qdisc_set(&q, w->v[i].param, w->v[i].value);
	(void)qdisc_finish(&q); /* it agreed when they were read */
	return q;
}

/* Which rate is missing, where there is one for the other direction. */
static const char *missing_way(const struct model_hook *h, const struct w_rate *rate)
{
	const struct w_one_rate *other = h->up ? &rate->down : &rate->up;

	return !other->pos.line ? "" : h->up ? " for upload" : " for download";
}

/* A rate that could not be read was told; so was a share of none. */
static void require_rate(struct builder *b, const struct model_hook *h, const struct expanded *e)
{
	const struct w_class *w = &e->keys;

	if (in_direction(h, &w->rate)->pos.line || e->incomplete)
		return;
	diag_error(b->d, w->pos, "missing-rate", "class \"%s\" needs a rate%s, as every class of htb does",
		   w->name.s ? w->name.s : "", missing_way(h, &w->rate));
	diag_note(b->d, h->pos, "the policy is used here");
}

/* What waits for its key's departure time waits in fq, whose parameters the plan knows. The policy's leaf is that of
 * the other classes. */
static void build_paced_leaf(struct builder *b, struct model_class *c, const struct w_class *w)
{
	c->leaf_paced = true;
	if (!w->leaf.set || (w->leaf.qdisc.v == QDISC_FQ && !w->leaf.n))
		return;
	diag_error(b->d, w->leaf.pos, "bad-leaf",
		   "packets of class \"%s\" wait for the rate of their addresses (per), in an fq with parameters that "
		   "follow from the rates: leave \"leaf\" out",
		   c->name);
	diag_note(b->d, model_keyed(c)->per.pos, "the addresses' rates");
}

/* On top of the rate, which is known. */
static void build_htb(struct builder *b, const struct model_hook *h, const struct model_link *l, struct model_class *c,
		      const struct expanded *e, const struct w_policy *p)
{
	const struct w_class *w = &e->keys;
	const struct w_u64 *quantum = w->quantum.set ? &w->quantum : &p->quantum;
	const struct w_leaf *leaf = w->leaf.set ? &w->leaf : &p->leaf;

	require_rate(b, h, e);
	c->mtu = w->mtu.set ? (uint32_t)w->mtu.v : HTB_MTU;
	c->ceil_pos = c->rate_pos;
	c->ceil_Bps = class_rate(b, h, &w->ceil, c->parent->ceil_Bps, &c->ceil_pos);
	if (!c->ceil_Bps)
		c->ceil_Bps = c->rate_Bps;
	c->burst = burst_bytes(&w->burst, c->rate_Bps, default_htb_burst(l, c->rate_Bps, c->mtu));
	c->cburst = burst_bytes(&w->cburst, c->ceil_Bps, default_htb_burst(l, c->ceil_Bps, c->mtu));
	c->cburst_pos = w->cburst.set ? w->cburst.pos : w->pos;
	c->quantum = default_quantum(c->rate_Bps, c->mtu);
	if (e->n_children)
		return;
	if (quantum->set)
		c->quantum = (uint32_t)quantum->v;
	c->prio = w->prio.set ? (uint32_t)w->prio.v : 0;
	if (model_keyed(c))
		build_paced_leaf(b, c, w);
	else if (!leaf->set)
		c->leaf_auto = true;
	else
		c->leaf = build_leaf(leaf, c->rate_Bps, c->mtu);
}

static void build_htb_root(struct builder *b, const struct model_hook *h, const struct model_link *l,
			   struct model_class *root, const struct w_policy *p, const struct w_rate *rate)
{
	if (!in_direction(h, rate)->pos.line)
		diag_error(b->d, h->pos, "missing-rate",
			   "policy \"%s\" is of type htb and needs a rate%s, here or in the policy", h->policy,
			   missing_way(h, rate));
	root->mtu = HTB_MTU;
	root->ceil_Bps = root->rate_Bps;
	root->ceil_pos = root->rate_pos;
	root->burst = burst_bytes(&p->burst, root->rate_Bps, default_htb_burst(l, root->rate_Bps, root->mtu));
	root->cburst = burst_bytes(&p->cburst, root->ceil_Bps, default_htb_burst(l, root->ceil_Bps, root->mtu));
	root->cburst_pos = p->cburst.set ? p->cburst.pos : p->name.pos;
	root->quantum = default_quantum(root->rate_Bps, root->mtu);
}

/* Where htb can and must be told of an ifb. */
static void check_via(struct builder *b, const struct model_hook *h, const struct w_hook *w)
{
	if (w->via.set && h->dir == DIR_EGRESS)
		diag_error(b->d, w->via.pos, "bad-via",
			   "\"via\" belongs in ingress: what is sent is shaped on the interface itself");
	else if (h->dir == DIR_INGRESS && h->type == POLICY_EDT)
		diag_error(b->d, h->pos, "bad-direction",
			   "policy \"%s\" is of type edt, which paces what is sent: what arrives can be limited by "
			   "type police, or by type htb with \"via: ifb\"",
			   h->policy);
	else if (w->via.set && h->type == POLICY_POLICE)
		diag_error(b->d, w->via.pos, "bad-via",
			   "policy \"%s\" is of type police, which needs no ifb: leave \"via\" out", h->policy);
	else if (!w->via.pos.line && h->dir == DIR_INGRESS && h->type == POLICY_HTB)
		diag_error(
			b->d, h->pos, "missing-via",
			"policy \"%s\" is of type htb, which shapes what is sent: for ingress write \"via: ifb\" here",
			h->policy);
}

/* ---- a hook ------------------------------------------------------------------------------------------------------ */

static struct model_class *build_class(struct builder *b, struct model_hook *h, const struct model_link *l,
				       struct model_class *parent, const struct expanded *e, const struct w_policy *p)
{
	const struct w_class *w = &e->keys;
	struct model_class *c = arena_new_of(b->a, struct model_class);

	c->index = h->n_classes;
	h->classes[h->n_classes++] = c;
	c->name = w->name.s ? w->name.s : "";
	c->pos = w->pos;
	c->rate_pos = w->pos;
	c->burst_pos = w->burst.set ? w->burst.pos : w->pos;
	c->parent = parent;
	c->level = parent->level + 1;
	c->rate_Bps = class_rate(b, h, &w->rate, nearest_rate(parent), &c->rate_pos);
	c->ceil_pos = c->cburst_pos = w->pos;
	build_per(b, h, c, w);
	if (h->type == POLICY_HTB)
		build_htb(b, h, l, c, e, p);
	else
		build_police(c, w);
	c->remark = w->remark;
	c->match = w->match;
	c->incomplete = e->incomplete;
	c->children = arena_array(b->a, e->n_children, sizeof(*c->children));
	for (size_t i = 0; i < e->n_children; i++)
		c->children[c->n_children++] = build_class(b, h, l, c, &e->children[i], p);
	return c;
}

static struct model_class *build_root(struct builder *b, struct model_hook *h, const struct model_link *l,
				      const struct w_hook *w, const struct w_policy *p)
{
	struct model_class *root = arena_new_of(b->a, struct model_class);
	const struct w_rate of_interface = {.up = w->rate, .down = w->rate};
	const struct w_rate *rate = w->rate.pos.line ? &of_interface : &p->rate;

	root->name = "root";
	root->pos = root->rate_pos = p->name.pos;
	root->rate_Bps = class_rate(b, h, rate, 0, &root->rate_pos);
	root->ceil_pos = root->cburst_pos = p->name.pos;
	root->burst_pos = p->burst.set ? p->burst.pos : p->name.pos;
	if (h->type == POLICY_HTB)
		build_htb_root(b, h, l, root, p, rate);
	else
		root->burst = burst_bytes(&p->burst, root->rate_Bps, default_burst(root->rate_Bps));
	return root;
}

static struct model_class *find_class(const struct model_hook *h, const char *name)
{
	for (size_t i = 0; i < h->n_classes; i++)
		if (!strcmp(h->classes[i]->name, name))
			return h->classes[i];
	return NULL;
}

static void require_side(struct builder *b, const struct model_interface *iface, const struct policy_in_use *use,
			 const struct w_hook *w)
{
	const struct w_policy *p = use->expanded->written;
	struct need need = use->side;

	if (iface->side != SIDE_NONE)
		return;
	if (!need.pos.line && !w->rate.set)
		need = rate_need(&p->rate, "rate");
	if (!need.pos.line)
		need = b->protect_side;
	if (!need.pos.line)
		return;
	diag_error(b->d, iface->pos, "missing-side",
		   "interface \"%s\" needs a side: wan or lan, as up and down differ here", iface->name);
	diag_note(b->d, need.pos, "because of this \"%s\"", need.what);
}

/* On the wan side upload leaves and download arrives; on the lan side the reverse. */
static bool is_up(enum side side, enum direction dir)
{
	return side == SIDE_LAN ? dir == DIR_INGRESS : dir == DIR_EGRESS;
}

static struct model_hook *build_hook(struct builder *b, const struct model_interface *iface, const struct w_hook *w,
				     enum direction dir)
{
	const struct policy_in_use *use;
	const struct expanded_policy *e;
	struct model_hook *h;

	if (!w->pos.line || !w->policy.s)
		return NULL;
	use = names_resolve(&b->policies, b->d, w->policy.pos, w->policy.s);
	if (!use)
		return NULL;
	e = use->expanded;
	if (!e->whole || !e->written->type.set) /* told; what is left of it says nothing */
		return NULL;
	if (b->n_classes + e->n_all > HOOK_CLASSES_MAX) {
		diag_error(b->d, w->pos, "too-many-classes", "the interfaces together have more than %u classes",
			   HOOK_CLASSES_MAX);
		return NULL;
	}
	b->n_classes += e->n_all;
	b->rate_broken = false;
	require_side(b, iface, use, w);

	h = arena_new_of(b->a, struct model_hook);
	h->pos = w->pos;
	h->dir = dir;
	h->side = iface->side;
	h->up = is_up(iface->side, dir);
	h->policy = w->policy.s;
	h->type = (enum policy_type)e->written->type.v;
	h->engine = e->written->engine.set  ? (enum engine)e->written->engine.v
		    : h->type == POLICY_EDT ? ENGINE_FQ
					    : ENGINE_AUTO;
	h->engine_pos = e->written->engine.set ? e->written->engine.pos : e->written->name.pos;
	h->via_ifb = w->via.set;
	h->shards = e->written->shards.set;
	h->shards_pos = e->written->shards.pos;
	check_via(b, h, w);
	h->root = build_root(b, h, &iface->link, w, e->written);
	h->classes = arena_array(b->a, e->n_all, sizeof(*h->classes));
	h->root->children = arena_array(b->a, e->n_classes, sizeof(*h->root->children));
	for (size_t i = 0; i < e->n_classes; i++)
		h->root->children[h->root->n_children++] =
			build_class(b, h, &iface->link, h->root, &e->classes[i], e->written);
	build_waits(h, e->written);
	h->dflt = e->written->dflt.s ? find_class(h, e->written->dflt.s) : NULL;
	h->dflt_known = h->dflt || (e->written->dflt.s && !strcmp(e->written->dflt.s, "pass"));
	return h;
}

/* ---- interfaces -------------------------------------------------------------------------------------------------- */

/* The table of tc-cake(8): bytes on top of the IP packet. */
static const struct {
	const char *name;
	struct model_link link;
} presets[] = {
	{"raw", {LINK_ETHERNET, 0, false, 0}},       {"conservative", {LINK_ATM, 48, true, 0}},
	{"ethernet", {LINK_ETHERNET, 38, true, 84}}, {"docsis", {LINK_ETHERNET, 18, true, 64}},
	{"pppoe-ptm", {LINK_PTM, 30, true, 0}},      {"bridged-ptm", {LINK_PTM, 22, true, 0}},
	{"pppoa-vcmux", {LINK_ATM, 10, true, 0}},    {"pppoa-llc", {LINK_ATM, 14, true, 0}},
	{"pppoe-vcmux", {LINK_ATM, 32, true, 0}},    {"pppoe-llcsnap", {LINK_ATM, 40, true, 0}},
	{"bridged-vcmux", {LINK_ATM, 24, true, 0}},  {"bridged-llcsnap", {LINK_ATM, 32, true, 0}},
	{"ipoa-vcmux", {LINK_ATM, 8, true, 0}},      {"ipoa-llcsnap", {LINK_ATM, 16, true, 0}},
};

#define N_PRESETS (sizeof(presets) / sizeof(*presets))

const char *model_link_preset(const struct model_link *l)
{
	for (size_t i = 0; i < N_PRESETS; i++) {
		const struct model_link *p = &presets[i].link;

		if (p->linklayer == l->linklayer && p->overhead == l->overhead && p->l3_based == l->l3_based &&
		    p->mpu == l->mpu)
			return presets[i].name;
	}
	return NULL;
}

static struct model_link build_preset(struct builder *b, const struct w_text *name)
{
	const char *names[N_PRESETS], *close, *all = "";

	for (size_t i = 0; i < N_PRESETS; i++) {
		if (!strcmp(presets[i].name, name->s))
			return presets[i].link;
		names[i] = presets[i].name;
	}
	close = text_closest(name->s, names, N_PRESETS);
	for (size_t i = 0; i < N_PRESETS && !close; i++)
		all = arena_printf(b->a, "%s %s", all, names[i]);
	if (close)
		diag_error(b->d, name->pos, "unknown-name", "there is no link preset \"%s\", did you mean \"%s\"?",
			   name->s, close);
	else
		diag_error(b->d, name->pos, "unknown-name", "there is no link preset \"%s\"; there are:%s", name->s,
			   all);
	return presets[0].link;
}

static struct model_link build_link(struct builder *b, const struct w_link *w)
{
	struct model_link link = {.linklayer = LINK_ETHERNET};

	if (w->preset.s)
		return build_preset(b, &w->preset);
	link.linklayer = w->linklayer.set ? (enum linklayer)w->linklayer.v : LINK_ETHERNET;
	link.overhead = w->overhead_set ? w->overhead : 0;
	link.mpu = w->mpu.set ? (uint32_t)w->mpu.v : 0;
	return link;
}

static void build_interfaces(struct builder *b)
{
	struct model *m = b->m;

	m->interfaces = arena_array(b->a, b->p->interfaces.n, sizeof(*m->interfaces));
	for (size_t i = 0; i < b->p->interfaces.n; i++) {
		const struct w_interface *w = &b->p->interfaces.v[i];
		struct model_interface *iface;

		if (!w->name.s)
			continue;
		iface = &m->interfaces[m->n_interfaces++];
		iface->name = w->name.s;
		iface->glob = glob_is(w->name.s);
		iface->pos = w->name.pos;
		iface->side = w->side.set ? (enum side)w->side.v : SIDE_NONE;
		iface->link = build_link(b, &w->link);
		iface->ingress = build_hook(b, iface, &w->ingress, DIR_INGRESS);
		iface->egress = build_hook(b, iface, &w->egress, DIR_EGRESS);
	}
}

const struct model_interface *model_interface_for(const struct model *m, const char *ifname)
{
	for (size_t i = 0; i < m->n_interfaces; i++)
		if (!m->interfaces[i].glob && !strcmp(m->interfaces[i].name, ifname))
			return &m->interfaces[i];
	for (size_t i = 0; i < m->n_interfaces; i++)
		if (m->interfaces[i].glob && glob_match(m->interfaces[i].name, ifname))
			return &m->interfaces[i];
	return NULL;
}

/* ---- forwarding ------------------------------------------------------------------------------------------------ */

/* As many as are built: one more than there can be, for check to tell of. Each device has arrays as long. */
static size_t forwards_room(const struct builder *b)
{
	return b->p->forwards.n <= QOSD_FORWARDS_MAX ? b->p->forwards.n : QOSD_FORWARDS_MAX + 1;
}

static struct model_forwarding *forwarding_of(struct builder *b, const struct model_forward *f)
{
	struct model *m = b->m;
	const struct model_interface *iface = model_interface_for(m, f->on);
	struct model_forwarding *g = m->forwardings;
	struct model_hook *h;

	for (; g < m->forwardings + m->n_forwardings; g++)
		if (!strcmp(g->ifname, f->on) && g->dir == f->dir)
			return g;
	m->n_forwardings++;
	g->ifname = f->on;
	g->dir = f->dir;
	g->rules = arena_array(b->a, forwards_room(b), sizeof(struct model_forward *));
	g->hook = h = arena_new_of(b->a, struct model_hook);
	h->pos = f->pos;
	h->dir = f->dir;
	h->side = iface ? iface->side : SIDE_NONE;
	h->up = is_up(h->side, f->dir);
	h->policy = "forward";
	h->engine = ENGINE_BPF;
	h->engine_pos = f->pos;
	h->root = arena_new_of(b->a, struct model_class);
	h->root->name = "root";
	h->root->pos = f->pos;
	h->classes = arena_array(b->a, forwards_room(b), sizeof(*h->classes));
	h->root->children = arena_array(b->a, forwards_room(b), sizeof(*h->root->children));
	return g;
}

static void add_to_forwarding(struct builder *b, struct model_forward *f)
{
	struct model_forwarding *g = forwarding_of(b, f);
	struct model_class *c = arena_new_of(b->a, struct model_class);

	c->name = f->name;
	c->pos = f->pos;
	c->parent = g->hook->root;
	c->level = 1;
	c->match = f->match;
	f->cls = c;
	g->rules[g->n++] = f;
	g->hook->classes[g->hook->n_classes++] = c;
	g->hook->root->children[g->hook->root->n_children++] = c;
}

/* Which way is up is known where the interface has an entry with a side. */
static void require_forward_side(struct builder *b, const struct model_forward *f)
{
	const struct model_interface *iface = model_interface_for(b->m, f->on);
	struct need need = list_need(&f->match);

	if (!need.pos.line)
		need = b->protect_side;
	if (!need.pos.line || (iface && iface->side != SIDE_NONE))
		return;
	diag_error(b->d, f->on_pos, "missing-side",
		   "interface \"%s\" needs an entry in interfaces with a side, wan or lan, as up and down differ here",
		   f->on);
	diag_note(b->d, need.pos, "because of this \"%s\"", need.what);
}

static void build_forward(struct builder *b, const struct w_forward *w)
{
	struct model_forward *f = &b->m->forwards[b->m->n_forwards];

	if (!w->name.s || !w->on.s || !w->mode.set || !w->dev.s)
		return; /* told when it was read */
	for (size_t i = 0; i < b->m->n_forwards; i++) {
		if (strcmp(b->m->forwards[i].name, w->name.s) != 0)
			continue;
		diag_error(b->d, w->name.pos, "duplicate-name", "there is a forwarding rule \"%s\" already", w->name.s);
		diag_note(b->d, b->m->forwards[i].pos, "this one");
		return;
	}
	b->m->n_forwards++;
	*f = (struct model_forward){
		.name = w->name.s,
		.pos = w->name.pos,
		.on = w->on.s,
		.on_pos = w->on.pos,
		.dir = w->hook.set && w->hook.v == CLSACT_EGRESS ? DIR_EGRESS : DIR_INGRESS,
		.mode = (enum forward_mode)w->mode.v,
		.mode_pos = w->mode.pos,
		.dev = w->dev.s,
		.dev_pos = w->dev.pos,
		.has_nexthop = w->nexthop.set,
		.nexthop = w->nexthop.address,
		.nexthop_pos = w->nexthop.pos,
		.on_miss = w->on_miss.set ? (enum on_miss)w->on_miss.v : ON_MISS_PASS,
		.match = w->match,
	};
	require_forward_side(b, f);
	add_to_forwarding(b, f);
}

static void build_forwards(struct builder *b)
{
	struct model *m = b->m;

	m->forwards = arena_array(b->a, forwards_room(b), sizeof(*m->forwards));
	m->forwardings = arena_array(b->a, forwards_room(b), sizeof(*m->forwardings));
	for (size_t i = 0; i < b->p->forwards.n && m->n_forwards < forwards_room(b); i++)
		build_forward(b, &b->p->forwards.v[i]);
}

const struct model_forward *model_forward_of(const struct model_forwarding *f, const struct model_class *c)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->rules[i]->cls == c)
			return f->rules[i];
	return NULL;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

struct model *model_build(struct arena *a, struct diag *d, const struct policy *p, const char *dir)
{
	struct builder b = {.a = a, .d = d, .p = p, .dir = dir, .m = arena_new_of(a, struct model)};

	b.m->arena = a;
	build_settings(&b);
	build_services(&b);
	build_sets(&b);
	resolve_matches(&b);
	b.protect_side = list_need(&b.m->protect);
	build_policies(&b);
	build_interfaces(&b);
	build_forwards(&b);
	return b.m;
}

static const char *dir_of(struct arena *a, const char *file)
{
	const char *slash = strrchr(file, '/');

	if (!slash)
		return ".";
	return slash == file ? "/" : arena_strndup(a, file, (size_t)(slash - file));
}

struct model *model_load(struct arena *a, struct diag *d, const char *file)
{
	struct policy *p = policy_load(a, d, file);
	struct model *m;

	if (p->cut) /* told; names would be missed that are in the rest of the file */
		return NULL;
	m = model_build(a, d, p, dir_of(a, file));
	model_check(d, p, m);
	return diag_errors(d) ? NULL : m;
}
