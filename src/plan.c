/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "plan.h"

#include <errno.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/qosd_abi.h"
#include "glob.h"
#include "ifb_name.h"
#include "planner.h"
#include "rules.h"
#include "tables.h"
#include "tc_qdisc.h"
#include "tc_rate.h"

#define TICK_NS       64   /* PSCHED_SHIFT 6, include/net/pkt_sched.h */
#define ELEMENTS_ROOM 1024 /* a set's maps leave room for live edits */

struct kobj *plan_want(struct planner *p, enum kobj_kind kind, struct pos pos, const char *what)
{
	struct kobj *o = vec_add(p->a, &p->plan->objects);

	o->kind = kind;
	o->pos = pos;
	o->what = what;
	return o;
}

static uint32_t power_of_two(uint64_t at_least)
{
	uint32_t n = 1;

	while (n < at_least)
		n *= 2;
	return n;
}

/* Of what there are not too many: check has counted them. */
void plan_tell_taken(struct planner *p, struct pos pos, const char *id, const char *what, int max)
{
	diag_error(p->d, pos, id,
		   "%s finds no free number in this reload: with those that go there are more than %d; reload in two "
		   "steps",
		   what, max);
}

/* ---- sets ----------------------------------------------------------------------------------------------------------
 */

void plan_want_shared_map(struct planner *p, enum map_role role, bool measured)
{
	struct kobj *o = plan_want(p, KOBJ_MAP, (struct pos){0}, "of every set and hook");

	maps_describe(role, &o->map);
	o->map.path = maps_name(role);
	o->map.outer = "";
	o->measured = measured;
}

static void want_global_maps(struct planner *p)
{
	static const enum map_role roles[] = {MAP_SETS_LEARNED, MAP_SETS_WRITTEN, MAP_SETS_PREFIXES, MAP_SETS_CONF,
					      MAP_SETS_STATS,   MAP_BYPASS,       MAP_EVENTS};

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		plan_want_shared_map(p, roles[i], roles[i] != MAP_SETS_CONF);
}

static struct kobj *want_set_map(struct planner *p, const struct plan_set *s, enum map_role role, enum map_role outer,
				 const char *part, uint32_t max_entries)
{
	struct kobj *o = plan_want(p, KOBJ_MAP, s->set->pos, arena_printf(p->a, "set %s", s->set->name));

	maps_describe(role, &o->map);
	o->map.path = arena_printf(p->a, "sets/%s/%s", s->set->name, part);
	o->map.outer = maps_name(outer);
	o->map.slot = s->slot;
	o->map.max_entries = max_entries;
	return o;
}

void plan_want_entry(struct planner *p, struct pos pos, const char *what, const char *path, const void *key,
		     size_t key_size, const void *value, size_t value_size)
{
	struct kobj *o = plan_want(p, KOBJ_ENTRY, pos, what);

	o->entry.path = path;
	o->entry.key_size = (uint8_t)key_size;
	o->entry.value_size = (uint8_t)value_size;
	memcpy(o->entry.key, key, key_size);
	memcpy(o->entry.value, value, value_size);
}

/* One element of a set, in the hash if it is a single address, in the trie otherwise. */
struct element {
	struct pos pos;
	const struct prefix *prefix;
	uint64_t up_Bps, down_Bps;
};

struct elements {
	VEC(struct element);
};

static int compare_elements(const void *a, const void *b)
{
	return prefix_cmp(*(const struct prefix *const *)a, &((const struct model_element *)b)->prefix);
}

static bool is_written(const struct model_set *set, const struct prefix *prefix)
{
	return set->n_elements &&
	       bsearch(&prefix, set->elements, set->n_elements, sizeof(*set->elements), compare_elements);
}

/* What the file says and what was added live; an address that is in both is the file's. */
static struct elements collect_elements(struct planner *p, const struct model_set *set)
{
	struct elements all = {0};

	vec_reserve(p->a, &all, set->n_elements);
	for (size_t i = 0; i < set->n_elements; i++) {
		const struct model_element *e = &set->elements[i];

		*vec_add(p->a, &all) = (struct element){e->pos, &e->prefix, e->up_Bps, e->down_Bps};
	}
	for (size_t i = 0; i < p->in->n_live; i++) {
		const struct plan_live *live = &p->in->live[i];

		if (strcmp(live->set, set->name) == 0 && !is_written(set, &live->prefix))
			*vec_add(p->a, &all) = (struct element){set->pos, &live->prefix, live->up_Bps, live->down_Bps};
	}
	return all;
}

struct plan_rates plan_set_rates(const struct model_set *set, const struct plan_live *live, size_t n_live)
{
	struct plan_rates most = {0};

	for (size_t i = 0; i < set->n_elements; i++) {
		const struct model_element *e = &set->elements[i];

		most.up_Bps = e->up_Bps > most.up_Bps ? e->up_Bps : most.up_Bps;
		most.down_Bps = e->down_Bps > most.down_Bps ? e->down_Bps : most.down_Bps;
	}
	for (size_t i = 0; i < n_live; i++) {
		const struct plan_live *e = &live[i];

		if ((e->up_Bps <= most.up_Bps && e->down_Bps <= most.down_Bps) || strcmp(e->set, set->name) != 0 ||
		    is_written(set, &e->prefix))
			continue;
		most.up_Bps = e->up_Bps > most.up_Bps ? e->up_Bps : most.up_Bps;
		most.down_Bps = e->down_Bps > most.down_Bps ? e->down_Bps : most.down_Bps;
	}
	return most;
}

uint32_t plan_elements_room(size_t n)
{
	return power_of_two(n * 2 > ELEMENTS_ROOM ? n * 2 : ELEMENTS_ROOM);
}

static void want_elements(struct planner *p, const struct plan_set *s, uint32_t *n_prefixes)
{
	struct elements all = collect_elements(p, s->set);
	const char *what = arena_printf(p->a, "set %s", s->set->name);
	uint32_t n_single = 0;
	const char *written, *prefixes;

	*n_prefixes = 0;
	for (size_t i = 0; i < all.n; i++)
		*(all.v[i].prefix->bits == 128 ? &n_single : n_prefixes) += 1;
	written = want_set_map(p, s, MAP_WRITTEN, MAP_SETS_WRITTEN, "written", plan_elements_room(n_single))->map.path;
	prefixes = want_set_map(p, s, MAP_PREFIXES, MAP_SETS_PREFIXES, "prefixes", plan_elements_room(*n_prefixes))
			   ->map.path;
	vec_reserve(p->a, &p->plan->objects, all.n);
	for (size_t i = 0; i < all.n; i++) {
		const struct element *e = &all.v[i];
		struct qosd_written value = {.up_Bps = e->up_Bps, .down_Bps = e->down_Bps, .bits = e->prefix->bits};
		struct qosd_lpm key = {.prefixlen = e->prefix->bits};

		memcpy(&key.addr, &e->prefix->addr, sizeof(key.addr));
		if (e->prefix->bits == 128)
			plan_want_entry(p, e->pos, what, written, &key.addr, sizeof(key.addr), &value, sizeof(value));
		else
			plan_want_entry(p, e->pos, what, prefixes, &key, sizeof(key), &value, sizeof(value));
	}
}

static void plan_set(struct planner *p, const struct model_set *set)
{
	int slot = handles_get(p->handles, "set", set->name, 0, QOSD_SETS_MAX - 1);
	struct qosd_set_conf conf = {.timeout_ns = set->learn.timeout_ns, .from = set->learn.from};
	struct plan_set *s;
	uint32_t key;

	if (slot < 0) {
		plan_tell_taken(p, set->pos, "too-many-sets", arena_printf(p->a, "set %s", set->name), QOSD_SETS_MAX);
		return;
	}
	s = vec_add(p->a, &p->plan->sets);
	s->set = set;
	s->slot = key = (uint32_t)slot;
	s->most = plan_set_rates(set, p->in->live, p->in->n_live);
	if (set->learns)
		want_set_map(p, s, MAP_LEARNED, MAP_SETS_LEARNED, "learned", set->learn.max)->measured = true;
	want_elements(p, s, &conf.n_prefixes);
	conf.when_full = set->learn.when_full == FULL_EVICT_OLDEST ? QOSD_FULL_EVICT : QOSD_FULL_REFUSE;
	plan_want_entry(p, set->pos, arena_printf(p->a, "set %s", set->name), maps_name(MAP_SETS_CONF), &key,
			sizeof(key), &conf, sizeof(conf));
}

/* ---- classes -------------------------------------------------------------------------------------------------------
 */

/* The nearest class above that has a rate of its own, or NULL. */
static const struct model_class *rated_ancestor(const struct model_class *c)
{
	const struct model_class *up = c->parent;

	while (up && !up->rate_Bps)
		up = up->parent;
	return up;
}

const struct plan_class *plan_find_class(const struct plan_hook *h, const struct model_class *c)
{
	size_t first = h->n_classes && !h->classes[0].cls->parent; /* the root, where it has a rate */
	size_t i = c && c->parent ? first + c->index : 0;

	return c && i < h->n_classes && h->classes[i].cls == c ? &h->classes[i] : NULL;
}

static bool is_policed(const struct model_class *c)
{
	return c->rate_Bps || rated_ancestor(c);
}

/* A name keeps its number. The kernel cannot move an htb class to another parent, so there the name has the ancestors
 * in it: a class that was moved is another class. */
static const char *handle_name(struct planner *p, const struct plan_hook *h, const struct model_class *c)
{
	if (h->hook->type != POLICY_HTB || !c->parent)
		return c->name;
	return arena_printf(p->a, "%s/%s", handle_name(p, h, c->parent), c->name);
}

static const char *police_name(struct planner *p, const struct plan_hook *h, const struct model_class *c)
{
	return arena_printf(p->a, "%s %s", h->path, c->name);
}

/* A hook that does not get as many as it needs must not keep others from theirs. */
static void give_back_policers(struct planner *p, const struct plan_hook *h)
{
	for (size_t i = 0; i < h->n_classes; i++)
		if (h->classes[i].police_index)
			handles_give_back(p->handles, "police", police_name(p, h, h->classes[i].cls));
}

/* The root is one where it has a rate. */
static size_t count_numbered(const struct model_hook *m)
{
	return m->n_classes + (m->root->rate_Bps != 0);
}

static bool number_class(struct planner *p, struct plan_hook *h, const struct model_class *c)
{
	struct plan_class *out = &h->classes[h->n_classes];
	const char *handle = handle_name(p, h, c);
	int number = handles_get(p->handles, h->space, handle, 1, QOSD_CLASSES_MAX);
	int police = 0;

	if (number < 0 && count_numbered(h->hook) > QOSD_CLASSES_MAX)
		diag_error(p->d, c->pos, "too-many-classes", "class %s is one too many, there can be %d on a hook",
			   c->name, QOSD_CLASSES_MAX);
	else if (number < 0)
		plan_tell_taken(p, c->pos, "too-many-classes", arena_printf(p->a, "class %s", c->name),
				QOSD_CLASSES_MAX);
	if (number < 0)
		return false;
	if (h->engine == ENGINE_TC && c->rate_Bps) {
		police = handles_get(p->handles, "police", police_name(p, h, c), 0,
				     KOBJ_POLICE_LAST - KOBJ_POLICE_FIRST);
		if (police < 0) {
			give_back_policers(p, h);
			diag_error(p->d, c->pos, "too-many-policers",
				   "class %s needs one policer too many: there can be %u, those that go in this "
				   "reload among them",
				   c->name, KOBJ_POLICE_LAST - KOBJ_POLICE_FIRST + 1);
			return false;
		}
		out->police_index = KOBJ_POLICE_FIRST + (uint32_t)police;
	}
	out->cls = c;
	out->handle = handle;
	out->number = (uint32_t)number;
	h->n_classes++;
	return true;
}

/* Map sizes grow in powers of two, so that a class more rarely means new maps. */
static uint32_t room_for(const struct plan_hook *h)
{
	uint32_t highest = 0;

	for (size_t i = 0; i < h->n_classes; i++)
		if (h->classes[i].number > highest)
			highest = h->classes[i].number;
	return power_of_two(highest + 1 > 16 ? highest + 1 : 16);
}

static bool number_classes(struct planner *p, struct plan_hook *h)
{
	const struct model_hook *m = h->hook;

	h->space = arena_printf(p->a, "class %s", h->path);
	h->classes = arena_array(p->a, m->n_classes + 1, sizeof(*h->classes));
	if (m->root->rate_Bps && !number_class(p, h, m->root))
		return false;
	for (size_t i = 0; i < m->n_classes; i++)
		if (!number_class(p, h, m->classes[i]))
			return false;
	h->room = room_for(h);
	return m->type != POLICY_HTB || plan_minors(p, h);
}

const char *plan_class_what(struct planner *p, const struct plan_hook *h, const struct model_class *c)
{
	return arena_printf(p->a, "class %s of %s %s", c->name, h->ifname,
			    h->dir == DIR_INGRESS ? "ingress" : "egress");
}

static void want_hook_maps(struct planner *p, const struct plan_hook *h)
{
	static const struct {
		enum map_role role;
		const char *name;
		bool measured, by_class;
	} maps[] = {
		{MAP_CONF, "conf", false, true},
		{MAP_CLOCK, "clock", true, true},
		{MAP_STATS, "stats", true, true},
		{MAP_HOOK_STATS, "hook_stats", true, false},
	};

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		struct kobj *o =
			plan_want(p, KOBJ_MAP, h->hook->pos,
				  arena_printf(p->a, "%s %s", h->ifname, h->dir == DIR_INGRESS ? "ingress" : "egress"));

		maps_describe(maps[i].role, &o->map);
		o->map.path = arena_printf(p->a, "%s/%s", h->path, maps[i].name);
		o->map.outer = "";
		o->measured = maps[i].measured;
		if (maps[i].by_class)
			o->map.max_entries = h->room;
	}
}

/* ---- keys of classes with per ---------------------------------------------------------------------------------------
 */

/* Has any class of the hook keys that the program looks at? */
static bool is_keyed(const struct plan_hook *h)
{
	for (size_t i = 0; h->engine != ENGINE_TC && i < h->n_classes; i++)
		if (h->classes[i].cls->per.key)
			return true;
	return false;
}

static struct kobj *want_key_map(struct planner *p, const struct plan_hook *h, enum map_role role, struct pos pos,
				 const char *what, const char *path)
{
	struct kobj *o = plan_want(p, KOBJ_MAP, pos, what);

	maps_describe(role, &o->map);
	maps_size_keys(&o->map, p->in->cpus);
	o->map.path = path;
	o->map.max_entries = h->room;
	o->measured = true;
	return o;
}

/* bytes * 10^9 must fit into 64 bits in the program. */
#define KEY_BURST_MAX 18000000000ull

static bool is_source(const struct plan_hook *h, enum per_key key)
{
	switch (key) {
	case PER_LOCAL: return h->hook->up;
	case PER_REMOTE: return !h->hook->up;
	case PER_SRC: return true;
	case PER_DST:
	case PER_NONE: return false;
	}
	abort();
}

static void want_class_keys(struct planner *p, const struct plan_hook *h, const struct plan_class *pc)
{
	const struct model_per *per = &pc->cls->per;
	const char *what = plan_class_what(p, h, pc->cls);
	int slot = per->set ? handles_find(p->handles, "set", per->set->name) : -1;
	struct qosd_key_conf conf = {
		.rate_Bps = per->rate_Bps,
		.burst_ns = per->burst_ns,
		.burst_bytes = per->burst_bytes < KEY_BURST_MAX ? per->burst_bytes : KEY_BURST_MAX,
		.set = (uint32_t)(slot + 1),
		.kind = h->engine == ENGINE_FQ ? QOSD_KIND_EDT : QOSD_KIND_POLICE,
		.side = is_source(h, per->key) ? QOSD_KEY_SRC : QOSD_KEY_DST,
		.prefix4 = (uint8_t)(96 + per->prefix4),
		.prefix6 = per->prefix6,
		.up = h->hook->up,
	};
	struct kobj *o = want_key_map(p, h, MAP_CLASS_KEYS, per->pos, what,
				      arena_printf(p->a, "%s/%u/keys", h->path, pc->number));

	if (h->engine == ENGINE_FQ) {
		conf.burst_ns = h->hook->horizon_ns;
		conf.burst_bytes = 0;
	}
	o->map.outer = arena_printf(p->a, "%s/keys", h->path);
	o->map.slot = pc->number;
	o->map.max_entries = per->max;
	plan_want_entry(p, per->pos, what, arena_printf(p->a, "%s/key_conf", h->path), &pc->number, sizeof(pc->number),
			&conf, sizeof(conf));
}

static void want_keys(struct planner *p, const struct plan_hook *h)
{
	const char *what = arena_printf(p->a, "%s %s", h->ifname, h->dir == DIR_INGRESS ? "ingress" : "egress");

	if (!is_keyed(h))
		return;
	want_key_map(p, h, MAP_KEYS, h->hook->pos, what, arena_printf(p->a, "%s/keys", h->path));
	want_key_map(p, h, MAP_KEY_CONF, h->hook->pos, what, arena_printf(p->a, "%s/key_conf", h->path))->measured =
		false;
	for (size_t i = 0; i < h->n_classes; i++)
		if (h->classes[i].cls->per.key)
			want_class_keys(p, h, &h->classes[i]);
}

static enum qosd_exceed exceed_of(const struct model_class *c)
{
	switch (c->exceed) {
	case EXCEED_DROP: return QOSD_EXCEED_DROP;
	case EXCEED_PASS: return QOSD_EXCEED_PASS;
	case EXCEED_DSCP: return QOSD_EXCEED_DSCP;
	}
	abort();
}

static void want_class_conf(struct planner *p, const struct plan_hook *h, const struct plan_class *pc)
{
	const struct model_class *c = pc->cls;
	const struct plan_class *up = plan_find_class(h, c->parent);
	struct qosd_class_conf conf = {.conform_continue = c->conform == CONFORM_CONTINUE,
				       .keyed = h->engine != ENGINE_TC && c->per.key,
				       .there = 1};
	uint32_t key = pc->number;

	conf.parent = up ? up->number : 0; /* packets count there too */
	if (h->hook->type == POLICY_HTB) {
		conf.kind = QOSD_KIND_HTB;
		conf.classid = plan_htb_classid(h, pc);
		conf.queue = plan_htb_queue(h, pc);
		if (c->per.key)
			conf.ecn_ns = (uint32_t)h->hook->ecn_ns;
	} else if (h->engine == ENGINE_TC) {
		/* What nothing polices must not end at the default's filter: the program keeps PASS from the filters
		 * behind. */
		conf.kind = is_policed(c) ? QOSD_KIND_COUNT : QOSD_KIND_PASS;
	} else if (h->engine == ENGINE_FQ) {
		conf.kind = c->rate_Bps ? QOSD_KIND_EDT : QOSD_KIND_PASS;
		if (c->rate_Bps)
			tc_rate_mult(c->rate_Bps, &conf.mult, &conf.shift);
		if (c->rate_Bps || c->per.key) {
			conf.burst_ns = h->hook->horizon_ns;
			conf.ecn_ns = (uint32_t)h->hook->ecn_ns;
		}
	} else {
		conf.kind = c->rate_Bps ? QOSD_KIND_POLICE : QOSD_KIND_PASS;
		conf.exceed = exceed_of(c);
		conf.exceed_dscp = c->exceed_dscp;
		conf.mtu = c->mtu;
		if (c->rate_Bps) {
			tc_rate_mult(c->rate_Bps, &conf.mult, &conf.shift);
			conf.burst_ns = tc_rate_burst_ns(c->rate_Bps, c->burst);
		}
	}
	if (c->remark.has_dscp) {
		conf.remark |= QOSD_REMARK_DSCP;
		conf.remark_dscp = c->remark.dscp;
	}
	if (c->remark.has_mark) {
		conf.remark |= QOSD_REMARK_MARK;
		conf.mark = c->remark.mark;
		conf.mark_mask = c->remark.mask;
	}
	plan_want_entry(p, c->pos, plan_class_what(p, h, c), arena_printf(p->a, "%s/conf", h->path), &key, sizeof(key),
			&conf, sizeof(conf));
}

/* ---- link ----------------------------------------------------------------------------------------------------------
 */

bool plan_has_ethernet_header(const struct link *l)
{
	return l->type == ARPHRD_ETHER;
}

/* Bytes to add to what the kernel counts for a frame of this device. */
int plan_link_overhead(const struct plan_hook *h, const struct link *l)
{
	const struct model_link *m = &h->iface->link;

	return m->overhead - (l->l3_behind || (m->l3_based && plan_has_ethernet_header(l)) ? PLAN_ETHERNET_HEADER : 0);
}

/* ---- engine tc: police actions and their filters --------------------------------------------------------------------
 */

/* Why act_police chains cannot do what this hook asks for, or NULL. */
static const char *beyond_tc(struct planner *p, const struct model_hook *m, struct pos *pos)
{
	for (size_t i = 0; i < m->n_classes; i++) {
		const struct model_class *c = m->classes[i];

		*pos = c->pos;
		if (c->per.key) {
			*pos = c->per.pos;
			return arena_printf(
				p->a, "class %s has a bucket for each address (per), which act_police cannot", c->name);
		}
		if (c->exceed == EXCEED_DSCP)
			return arena_printf(p->a, "class %s remarks what exceeds its rate, which act_police cannot",
					    c->name);
		if (c->conform == CONFORM_CONTINUE && rated_ancestor(c))
			return arena_printf(p->a,
					    "class %s continues under a rate of %s, which a chain of actions cannot",
					    c->name, rated_ancestor(c)->name);
	}
	return NULL;
}

static const struct model_class *keyed_class(const struct model_hook *m)
{
	size_t i = 0;

	while (!m->classes[i]->per.key)
		i++;
	return m->classes[i];
}

static bool pick_htb(struct planner *p, struct plan_hook *h)
{
	const struct model_hook *m = h->hook;

	if (m->paces)
		h->engine = ENGINE_FQ;
	if (!p->in->has_htb)
		diag_error(p->d, m->pos, "no-kernel-support",
			   "this kernel has no sch_htb (CONFIG_NET_SCH_HTB), which type htb needs");
	else if (m->via_ifb && !p->in->has_ifb)
		diag_error(p->d, m->pos, "no-kernel-support",
			   "this kernel has no ifb (CONFIG_IFB), which via: ifb needs");
	else if (m->via_ifb && !p->in->has_mirred)
		diag_error(p->d, m->pos, "no-kernel-support",
			   "this kernel has no act_mirred (CONFIG_NET_ACT_MIRRED), which via: ifb needs");
	else if (m->paces && !p->in->has_leaf[QDISC_FQ])
		diag_error(p->d, keyed_class(m)->per.pos, "no-kernel-support",
			   "this kernel has no sch_fq (CONFIG_NET_SCH_FQ), in which packets of type htb wait for the "
			   "rate of their address (per)");
	else
		return true;
	return false;
}

/* Without fq nobody holds a packet until it may go. Policing in the program is what comes closest. */
static bool pick_edt(struct planner *p, struct plan_hook *h)
{
	const struct model_hook *m = h->hook;
	bool is_auto = m->engine == ENGINE_AUTO, has_fq = p->in->has_leaf[QDISC_FQ];

	if (!has_fq && !is_auto) {
		diag_error(
			p->d, m->engine_pos, "no-kernel-support",
			"this kernel has no sch_fq (CONFIG_NET_SCH_FQ), which type edt needs; with engine: auto what "
			"exceeds a rate is dropped, not delayed");
		return false;
	}
	if (!has_fq)
		diag_warning(p->d, m->engine_pos, "not-paced",
			     "this kernel has no sch_fq (CONFIG_NET_SCH_FQ): what exceeds a rate is dropped, not "
			     "delayed");
	h->engine = has_fq ? ENGINE_FQ : ENGINE_BPF;
	if (is_auto)
		h->engine_why = has_fq ? "auto: this kernel has sch_fq"
				       : "auto: this kernel has no sch_fq (CONFIG_NET_SCH_FQ), so what exceeds a rate "
					 "is dropped, not delayed";
	return true;
}

static bool pick_engine(struct planner *p, struct plan_hook *h)
{
	const struct model_hook *m = h->hook;
	struct pos pos;
	const char *beyond = beyond_tc(p, m, &pos);

	if (m->type == POLICY_HTB)
		return pick_htb(p, h);
	if (m->type == POLICY_EDT)
		return pick_edt(p, h);
	switch (m->engine) {
	case ENGINE_BPF: h->engine = ENGINE_BPF; return true;
	case ENGINE_TC:
		h->engine = ENGINE_TC;
		if (!p->in->has_police) {
			diag_error(p->d, m->engine_pos, "no-kernel-support",
				   "this kernel has no act_police (CONFIG_NET_ACT_POLICE), which engine tc needs; "
				   "engine bpf works");
			return false;
		}
		if (beyond) {
			diag_error(p->d, pos, "engine", "%s; engine bpf can", beyond);
			return false;
		}
		return true;
	case ENGINE_AUTO:
	case ENGINE_FQ: /* not of police */
		h->engine = p->in->has_police && !beyond ? ENGINE_TC : ENGINE_BPF;
		if (!p->in->has_police)
			h->engine_why = "auto: this kernel has no act_police (CONFIG_NET_ACT_POLICE)";
		else if (beyond)
			h->engine_why = arena_printf(p->a, "auto: %s", beyond);
		else
			h->engine_why = "auto: this kernel has act_police";
		return true;
	}
	abort();
}

uint16_t plan_clamp_u16(int64_t v)
{
	return (uint16_t)(v < 0 ? 0 : v > UINT16_MAX ? UINT16_MAX : v);
}

static uint8_t police_linklayer(enum linklayer l)
{
	switch (l) {
	case LINK_ETHERNET: return TC_LINKLAYER_ETHERNET;
	case LINK_ATM: return TC_LINKLAYER_ATM;
	case LINK_PTM: return TC_LINKLAYER_ETHERNET; /* the kernel knows no ptm; 65/64 goes into the rate */
	}
	abort();
}

static void want_police(struct planner *p, const struct plan_hook *h, const struct link *l, const struct plan_class *pc)
{
	const struct model_class *c = pc->cls;
	const struct model_link *m = &h->iface->link;
	bool chained = rated_ancestor(c);
	uint64_t burst_ns = tc_rate_burst_ns(c->rate_Bps, c->burst);
	int32_t done = h->forwards ? TC_ACT_UNSPEC : TC_ACT_OK;
	struct kobj *o;

	if (burst_ns / TICK_NS > UINT32_MAX) {
		diag_error(p->d, c->pos, "bad-burst",
			   "class %s has a burst of %llu s at its rate, act_police holds at most 274 s; engine bpf "
			   "holds more",
			   c->name, (unsigned long long)(burst_ns / 1000000000u));
		return;
	}
	o = plan_want(p, KOBJ_ACTION, c->pos, plan_class_what(p, h, c));
	o->police.index = pc->police_index;
	o->police.rate_Bps = m->linklayer == LINK_PTM ? c->rate_Bps * 64 / 65 : c->rate_Bps;
	o->police.burst_ticks = (uint32_t)(burst_ns / TICK_NS);
	o->police.mtu = c->mtu ? c->mtu : UINT32_MAX;
	/* On ingress act_police does not see the Ethernet header that the wire carried. */
	o->police.overhead =
		plan_clamp_u16(plan_link_overhead(h, l) +
			       (h->dir == DIR_INGRESS && plan_has_ethernet_header(l) ? PLAN_ETHERNET_HEADER : 0));
	o->police.mpu = plan_clamp_u16(m->mpu);
	o->police.linklayer = police_linklayer(m->linklayer);
	/* PIPE goes on to the ancestor's policer, the next action of the filter; UNSPEC to the next filter. */
	o->police.conform = chained ? TC_ACT_PIPE : c->conform == CONFORM_CONTINUE ? TC_ACT_UNSPEC : done;
	o->police.exceed = c->exceed == EXCEED_DROP ? TC_ACT_SHOT : chained ? TC_ACT_PIPE : done;
}

static uint32_t clsact_parent(enum direction dir)
{
	return TC_H_MAKE(TC_H_CLSACT, dir == DIR_INGRESS ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
}

/* Stands for the sizes of the maps a program holds on to: maps of another size are other maps, and it must be loaded
 * again. */
static uint64_t build_id_with_maps(const struct planner *p, const struct plan_hook *h)
{
	return h->hook ? p->in->prog_build_id ^ (h->room * 0x9e3779b97f4a7c15ull) : p->in->prog_build_id;
}

struct kobj_filter *plan_want_filter(struct planner *p, const struct plan_hook *h, struct pos pos, const char *what,
				     const struct prog_spec *spec, uint16_t pref, uint32_t handle)
{
	struct kobj *o = plan_want(p, KOBJ_FILTER, pos, what);

	o->filter.ifindex = h->ifindex;
	o->filter.parent = clsact_parent(h->at);
	o->filter.pref = pref;
	o->filter.handle = handle;
	o->filter.name = prog_filter_name(p->a, spec, build_id_with_maps(p, h));
	o->filter.prog = spec;
	return &o->filter;
}

/* The class's policer, then those of its ancestors. */
static void add_actions(const struct plan_hook *h, const struct model_class *c, struct kobj_filter *f)
{
	for (const struct plan_class *pc = plan_find_class(h, c->rate_Bps ? c : rated_ancestor(c));
	     pc && f->n_actions < KOBJ_ACTIONS_MAX; pc = plan_find_class(h, rated_ancestor(pc->cls)))
		f->actions[f->n_actions++] = pc->police_index;
}

static struct prog_spec *new_spec(struct planner *p, enum prog_kind kind)
{
	struct prog_spec *spec = arena_new_of(p->a, struct prog_spec);

	spec->kind = kind;
	return spec;
}

/* A class with `conform: continue`: its policer, and behind it the classifier again for the rules that follow. In a
 * band of its own in the order of the rules, before the filters of the other classes. */
static void want_continue(struct planner *p, const struct plan_hook *h, const struct plan_class *pc, uint16_t nth,
			  const struct prog_spec *classify, const struct prog_spec *wan)
{
	uint16_t pref = (uint16_t)(KOBJ_PREF_CONTINUE + 2 * nth);
	struct prog_spec *again = new_spec(p, PROG_CLASSIFY);
	const char *what = plan_class_what(p, h, pc->cls);

	if (pc->cls->rate_Bps) {
		struct kobj_filter *f = plan_want_filter(p, h, pc->cls->pos, what, wan, pref, pc->number);

		f->classid = TC_H_MAKE(1u << 16, pc->number);
		add_actions(h, pc->cls, f);
	}
	*again = *classify;
	again->conf.learn_n = 0;
	again->n_fence = 0;
	again->conf.resume_class = pc->number;
	again->conf.resume_rule = tables_behind(classify->tables, pc->number);
	plan_want_filter(p, h, pc->cls->pos, what, again, (uint16_t)(pref + 1), 1)->da = true;
}

/* The last filter. Where packets that conform go on to the forwarding rules, it must match the default's packets and no
 * others. */
static void want_default(struct planner *p, const struct plan_hook *h, const struct prog_spec *spec)
{
	const struct plan_class *dflt = plan_find_class(h, h->hook->dflt);
	struct kobj_filter *f =
		plan_want_filter(p, h, dflt->cls->pos, plan_class_what(p, h, dflt->cls), spec, KOBJ_PREF_PASS, 1);

	if (h->forwards)
		f->classid = TC_H_MAKE(1u << 16, dflt->number);
	add_actions(h, dflt->cls, f);
}

static void want_tc_filters(struct planner *p, const struct plan_hook *h, const struct link *l,
			    const struct prog_spec *classify)
{
	const struct prog_spec *wan = new_spec(p, PROG_CLASSIFY_WAN), *pass = new_spec(p, PROG_PASS);
	const struct model_class *dflt = h->hook->dflt;
	uint16_t continues = 0;

	for (size_t i = 0; i < h->n_classes; i++) {
		const struct plan_class *pc = &h->classes[i];
		const struct model_class *c = pc->cls;
		struct kobj_filter *f;

		if (c->rate_Bps)
			want_police(p, h, l, pc);
		if (!c->parent) /* the root: only ever an ancestor */
			continue;
		if (c->conform == CONFORM_CONTINUE) {
			want_continue(p, h, pc, continues++, classify, wan);
			continue;
		}
		if (c == dflt || !is_policed(c))
			continue;
		f = plan_want_filter(p, h, c->pos, plan_class_what(p, h, c), wan, KOBJ_PREF_CLASSES, pc->number);
		f->classid = TC_H_MAKE(1u << 16, pc->number);
		add_actions(h, c, f);
	}
	if (dflt && is_policed(dflt))
		want_default(p, h, h->forwards ? wan : pass);
}

/* ---- what is there and not ours ------------------------------------------------------------------------------------
 */

static int by_key(const void *a, const void *b)
{
	return kobj_cmp(a, b);
}

const struct kobj *plan_find_object(const struct kobj_set *s, const struct kobj *key)
{
	return s->n ? bsearch(key, s->v, s->n, sizeof(*s->v), by_key) : NULL;
}

static const struct kobj *find_qdisc(const struct kobj_set *s, int ifindex, uint32_t parent)
{
	const struct kobj key = {.kind = KOBJ_QDISC, .qdisc = {.ifindex = ifindex, .parent = parent}};

	return plan_find_object(s, &key);
}

static const char *foreign_root(struct arena *a, const char *ifname, const struct kobj_qdisc *q)
{
	return arena_printf(
		a,
		"%s has a root qdisc %s %x: that is not ours; remove it with `tc qdisc del dev %s root`, or "
		"write `takeover: replace` in settings",
		ifname, q->q.kind == QDISC_OTHER ? q->q.other : qdisc_name(q->q.kind), q->handle >> 16, ifname);
}

static const char *foreign_ingress(struct arena *a, const char *ifname)
{
	return arena_printf(a,
			    "%s has an ingress qdisc that is not ours and egress needs clsact; remove it with "
			    "`tc qdisc del dev %s ingress`",
			    ifname, ifname);
}

/* ---- hooks ---------------------------------------------------------------------------------------------------------
 */

static bool learns_on(const struct model_set *set, const char *ifname)
{
	for (size_t i = 0; set->learns && i < set->learn.n_on; i++)
		if (glob_match(set->learn.on[i], ifname))
			return true;
	return false;
}

/* What arrives on an interface teaches these sets. That they are too many for one, check tells where names say so; here
 * only globs fit it, and the policy is good. */
static void add_learning(struct planner *p, const char *ifname, struct prog_spec *spec)
{
	size_t room = 0;

	for (size_t i = 0; i < p->plan->sets.n; i++)
		room += p->plan->sets.v[i].set->learn.n_within;
	spec->fence = arena_array(p->a, room, sizeof(*spec->fence));
	spec->fence_slot = arena_array(p->a, room, sizeof(*spec->fence_slot));
	for (size_t i = 0; i < p->plan->sets.n; i++) {
		const struct plan_set *s = &p->plan->sets.v[i];

		if (!learns_on(s->set, ifname))
			continue;
		if (spec->conf.learn_n == QOSD_LEARN_MAX) {
			diag_warning(p->d, s->set->pos, "too-many-learners",
				     "%s already teaches %d sets, set %s is one too many and learns nothing there",
				     ifname, QOSD_LEARN_MAX, s->set->name);
			continue;
		}
		spec->conf.learn_slot[spec->conf.learn_n++] = s->slot;
		for (size_t f = 0; f < s->set->learn.n_within; f++) {
			spec->fence[spec->n_fence] = s->set->learn.within[f];
			spec->fence_slot[spec->n_fence++] = s->slot;
		}
	}
}

struct names_ctx {
	struct planner *p;
	const struct plan_hook *h;
};

static int name_class(void *ctx, const struct model_class *c)
{
	struct names_ctx *n = ctx;
	const struct plan_class *pc = plan_find_class(n->h, c);

	return pc ? (int)pc->number : 0;
}

int plan_name_set(void *ctx, const struct model_set *s)
{
	return handles_find(((struct planner *)ctx)->handles, "set", s->name);
}

int plan_name_ifindex(void *ctx, const char *ifname)
{
	const struct link *l = links_by_name(((struct planner *)ctx)->in->links, ifname);

	return l ? l->ifindex : 0;
}

static int name_set(void *ctx, const struct model_set *s)
{
	return plan_name_set(((struct names_ctx *)ctx)->p, s);
}

static int name_ifindex(void *ctx, const char *ifname)
{
	return plan_name_ifindex(((struct names_ctx *)ctx)->p, ifname);
}

static uint32_t linklayer_of(enum linklayer l)
{
	switch (l) {
	case LINK_ETHERNET: return QOSD_LINK_ETHERNET;
	case LINK_ATM: return QOSD_LINK_ATM;
	case LINK_PTM: return QOSD_LINK_PTM;
	}
	abort();
}

/* The age of what a set has learned, and then a bucket or a departure time. */
static bool asks_twice_for_the_time(const struct plan_hook *h, const struct tables *t)
{
	bool of_a_set = false;

	for (uint32_t i = 0; i < t->conf.n_atoms; i++)
		of_a_set |= t->conf.atoms[i].kind == QOSD_ATOM_SRC_SET || t->conf.atoms[i].kind == QOSD_ATOM_DST_SET;
	return of_a_set && h->engine != ENGINE_TC && (h->hook->type != POLICY_HTB || h->hook->paces);
}

/* The program at the front of a hook, and with engine tc the filters behind it. */
static void want_classify(struct planner *p, const struct plan_hook *h, const struct link *l, struct prog_spec *spec)
{
	struct names_ctx ctx = {p, h};
	const struct tables_names names = {name_class, name_set, name_ifindex, &ctx};
	const struct rules *rules = rules_build(p->a, p->d, p->in->model, h->hook);
	const struct plan_class *dflt = plan_find_class(h, h->hook->dflt);

	spec->kind = PROG_CLASSIFY;
	spec->hook_path = h->path;
	spec->conf.has_policy = 1;
	spec->conf.engine_tc = h->engine == ENGINE_TC;
	spec->conf.paces = h->engine == ENGINE_FQ;
	spec->conf.htb_direct = h->hook->type != POLICY_HTB ? 0 : KOBJ_SHARD(h->n_shards ? 1 : 0);
	spec->conf.htb_direct_queue = h->n_shards ? 1 : 0;
	spec->conf.keyed = is_keyed(h);
	spec->conf.default_class = dflt ? dflt->number : 0;
	spec->conf.overhead = plan_link_overhead(h, l);
	spec->conf.mpu = h->iface->link.mpu;
	spec->conf.linklayer = linklayer_of(h->iface->link.linklayer);
	spec->conf.exempt_ns = QOSD_EXEMPT_NS;
	spec->tables = tables_build(p->a, p->d, rules, &names);
	if (!spec->tables)
		return;
	spec->conf.clocked = asks_twice_for_the_time(h, spec->tables);
	if (h->engine == ENGINE_TC)
		want_tc_filters(p, h, l, spec);
	plan_want_filter(p, h, h->hook->pos,
			 arena_printf(p->a, "%s %s", h->ifname, h->dir == DIR_INGRESS ? "ingress" : "egress"), spec,
			 KOBJ_PREF_CLASSIFY, 1)
		->da = true;
}

void plan_want_clsact(struct planner *p, const struct plan_hook *h, struct pos pos)
{
	struct kobj *o;

	for (size_t i = p->clsacts.n; i > 0; i--) /* mostly the last one's */
		if (p->clsacts.v[i - 1] == h->ifindex)
			return;
	*vec_add(p->a, &p->clsacts) = h->ifindex;
	o = plan_want(p, KOBJ_QDISC, pos, h->ifname);
	o->qdisc.ifindex = h->ifindex;
	o->qdisc.parent = TC_H_CLSACT;
	o->qdisc.handle = TC_H_MAKE(TC_H_CLSACT, 0);
	o->qdisc.q.kind = QDISC_CLSACT;
}

/* Ingress has no queue: what arrives learns, goes to an ifb, and is classified and queued on that one's egress. */
static void want_through_ifb(struct planner *p, const struct plan_hook *h, const struct link *l, struct prog_spec *spec)
{
	const struct link *ifb = plan_ifb(p, h, l);
	struct prog_spec *classify = new_spec(p, PROG_CLASSIFY);
	struct plan_hook at_ifb = *h;

	if (!ifb)
		return;
	at_ifb.ifindex = ifb->ifindex;
	at_ifb.at = DIR_EGRESS;
	spec->conf.to_ifb = 1;
	plan_want_filter(p, h, h->hook->pos, arena_printf(p->a, "%s ingress to %s", h->ifname, ifb->name),
			 new_spec(p, PROG_PASS), KOBJ_PREF_PASS, 1)
		->redirect = ifb->ifindex;
	plan_want_filter(p, h, h->hook->pos, arena_printf(p->a, "%s ingress", h->ifname), spec, KOBJ_PREF_CLASSIFY, 1)
		->da = true;
	classify->conf.l2_len = PLAN_ETHERNET_HEADER;
	plan_want_clsact(p, &at_ifb, h->hook->pos);
	plan_htb(p, &at_ifb, ifb);
	want_classify(p, &at_ifb, ifb, classify);
}

static bool has_forwards(const struct model *m, const char *ifname, enum direction dir)
{
	for (size_t i = 0; i < m->n_forwardings; i++)
		if (m->forwardings[i].dir == dir && strcmp(m->forwardings[i].ifname, ifname) == 0)
			return true;
	return false;
}

/* edt without fq polices, whatever is the root. */
static bool needs_root(const struct planner *p, const struct model_hook *m)
{
	return m->type == POLICY_HTB || (m->type == POLICY_EDT && p->in->has_leaf[QDISC_FQ]);
}

const char *plan_foreign_ingress(struct planner *p, const struct link *l)
{
	const struct kobj *there = p->in->observed ? find_qdisc(p->in->observed, l->ifindex, TC_H_CLSACT) : NULL;

	return there && there->qdisc.q.kind == QDISC_INGRESS ? foreign_ingress(p->a, l->name) : "";
}

/* One direction of one interface. */
struct site {
	const struct model_interface *iface; /* NULL: the policy has no entry for it */
	const struct model_hook *hook;       /* NULL: not shaped */
	const char *ifname;
	const struct link *l; /* NULL: it is not there, or left alone */
	enum direction dir;
	const char *refused; /* why it is left alone, or "" */
};

/* One that only a glob fits, or that comes while the policy is in force, must not keep the others from being shaped. */
static bool may_be_left_alone(const struct planner *p, const struct site *s)
{
	return s->hook && (s->iface->glob || p->in->follows);
}

/* Somebody else's qdisc has the place of ours: for an interface that the policy names that is an error, see plan_adopt.
 */
static const char *why_refused(struct planner *p, const struct site *s)
{
	const struct kobj *root;
	const char *ingress;

	if (!s->l || !may_be_left_alone(p, s) || s->dir != DIR_EGRESS || !p->in->observed)
		return "";
	ingress = plan_foreign_ingress(p, s->l);
	if (*ingress)
		return ingress;
	root = find_qdisc(p->in->observed, s->l->ifindex, TC_H_ROOT);
	if (needs_root(p, s->hook) && root && tc_qdisc_is_foreign(&root->qdisc) &&
	    p->in->model->takeover == TAKEOVER_REFUSE)
		return foreign_root(p->a, s->ifname, &root->qdisc);
	return "";
}

static struct plan_hook *add_hook(struct planner *p, const struct site *s)
{
	struct plan_hook *h = vec_add(p->a, &p->plan->hooks);

	h->iface = s->iface;
	h->hook = s->hook;
	h->ifindex = s->l ? s->l->ifindex : 0;
	h->ifname = arena_strdup(p->a, s->ifname);
	h->dir = h->at = s->dir;
	h->forwards = has_forwards(p->in->model, s->ifname, s->dir);
	h->engine = ENGINE_BPF;
	h->engine_why = "";
	h->refused = s->refused;
	return h;
}

static void name_path(struct planner *p, struct plan_hook *h)
{
	h->path = arena_printf(p->a, "hooks/%s%s", plan_hook_name(p->a, h->ifname, h->dir),
			       h->engine == ENGINE_TC ? "-tc" : "");
}

/* What is at the front of a hook; so far it only learns, if anything. */
static struct prog_spec *new_front(struct planner *p, const struct link *l, enum direction dir)
{
	struct prog_spec *spec = new_spec(p, PROG_CLASSIFY_NEIGHBOR);

	spec->conf.ingress = dir == DIR_INGRESS;
	spec->conf.l2_len = plan_has_ethernet_header(l) ? PLAN_ETHERNET_HEADER : 0;
	if (dir == DIR_INGRESS)
		add_learning(p, l->name, spec);
	return spec;
}

/* What arrives where nothing is shaped. Teaches it any set? */
static bool want_learning(struct planner *p, const struct link *l)
{
	const struct plan_hook at = {.ifname = arena_strdup(p->a, l->name), .ifindex = l->ifindex, .at = DIR_INGRESS};
	const struct prog_spec *spec = new_front(p, l, DIR_INGRESS);
	struct pos pos;

	if (!spec->conf.learn_n)
		return false;
	pos = p->plan->sets.v[0].set->pos;
	plan_want_clsact(p, &at, pos);
	plan_want_filter(p, &at, pos, arena_printf(p->a, "learning on %s", l->name), spec, KOBJ_PREF_CLASSIFY, 1)->da =
		true;
	return true;
}

/* Without a link only what outlives the link is planned: numbers and maps. */
static void want_hook(struct planner *p, const struct site *s)
{
	const struct model_hook *m = s->hook;
	struct plan_hook *h = add_hook(p, s);
	const struct link *l = s->l;
	struct prog_spec *spec;

	if (!pick_engine(p, h))
		return;
	name_path(p, h);
	if (!number_classes(p, h))
		return;
	if (m->shards && l)
		plan_shards(p, h, l);
	want_hook_maps(p, h);
	for (size_t i = 0; i < h->n_classes; i++)
		want_class_conf(p, h, &h->classes[i]);
	want_keys(p, h);
	if (!l)
		return;
	spec = new_front(p, l, s->dir);
	plan_want_clsact(p, h, m->pos);
	if (m->type != POLICY_HTB) {
		if (h->engine == ENGINE_FQ)
			plan_edt(p, h, l);
		want_classify(p, h, l, spec);
	} else if (!m->via_ifb) {
		plan_htb(p, h, l);
		want_classify(p, h, l, spec);
	} else {
		want_through_ifb(p, h, l, spec);
	}
}

/* How much is planned. */
struct extent {
	size_t objects, hooks, clsacts;
};

static struct extent extent_now(const struct planner *p)
{
	return (struct extent){p->plan->objects.n, p->plan->hooks.n, p->clsacts.n};
}

/* What vec_add gives out is zero. */
static void take_back(struct planner *p, const struct extent *to)
{
	struct plan *plan = p->plan;

	if (plan->objects.n > to->objects)
		memset(&plan->objects.v[to->objects], 0, (plan->objects.n - to->objects) * sizeof(*plan->objects.v));
	if (plan->hooks.n > to->hooks)
		memset(&plan->hooks.v[to->hooks], 0, (plan->hooks.n - to->hooks) * sizeof(*plan->hooks.v));
	plan->objects.n = to->objects;
	plan->hooks.n = to->hooks;
	p->clsacts.n = to->clsacts;
}

/* The same, but what is to be said of it goes to aside. */
static void want_hook_aside(struct planner *p, const struct site *s, struct diag *aside)
{
	struct diag *d = p->d;

	p->d = aside;
	want_hook(p, s);
	p->d = d;
}

static void tell_all(struct diag *d, struct diag *aside)
{
	for (size_t i = 0; i < diag_count(aside); i++) {
		const struct diag_message *m = diag_get(aside, i);

		switch (m->level) {
		case DIAG_ERROR: diag_error(d, m->pos, m->id, "%s", m->text); break;
		case DIAG_WARNING: diag_warning(d, m->pos, m->id, "%s", m->text); break;
		case DIAG_NOTE: diag_note(d, m->pos, "%s", m->text); break;
		}
	}
}

static const struct diag_message *first_error(struct diag *d)
{
	for (size_t i = 0; i < diag_count(d); i++)
		if (diag_get(d, i)->level == DIAG_ERROR)
			return diag_get(d, i);
	return NULL;
}

/* It comes from which interfaces there are, not from the policy, which a reload still refuses for anything else. */
static bool is_of_one_interface(const struct diag_message *error)
{
	return !strcmp(error->id, "ifb-collision") || !strcmp(error->id, "too-many-policers");
}

/* Numbers and maps stay, as of an interface that is not there; without numbers not even these. It teaches sets all the
 * same. */
static void leave_alone(struct planner *p, struct site *s, const struct extent *before,
			const struct diag_message *error)
{
	struct diag *aside = diag_new();
	const struct link *l = s->l;
	enum engine engine;
	struct plan_hook *h;

	s->l = NULL;
	s->refused = arena_strdup(p->a, error->text);
	diag_warning(p->d, error->pos, error->id, "%s; %s is not shaped", error->text, s->ifname);
	take_back(p, before);
	want_hook_aside(p, s, aside);
	if (diag_errors(aside)) {
		engine = p->plan->hooks.v[before->hooks].engine;
		take_back(p, before);
		h = add_hook(p, s);
		h->engine = engine;
		name_path(p, h);
	}
	diag_free(aside);
	if (l && s->dir == DIR_INGRESS)
		(void)want_learning(p, l); /* or nothing is to be learned */
}

/* What is to be said of one that may be left alone is known before it is told. */
static void plan_hook(struct planner *p, const struct model_interface *iface, const char *ifname, const struct link *l,
		      enum direction dir)
{
	const struct model_hook *m = !iface ? NULL : dir == DIR_INGRESS ? iface->ingress : iface->egress;
	struct site s = {.iface = iface, .hook = m, .ifname = ifname, .l = l, .dir = dir};
	const struct extent before = extent_now(p);
	const struct diag_message *error;
	struct diag *aside;

	s.refused = why_refused(p, &s);
	if (*s.refused) {
		diag_warning(p->d, m->pos, "foreign-qdisc", "%s; until then %s is not shaped", s.refused, ifname);
		s.l = NULL;
	}
	if (!m) {
		if (l && dir == DIR_INGRESS && want_learning(p, l))
			(void)add_hook(p, &s); /* for people to see */
		return;
	}
	if (!may_be_left_alone(p, &s)) {
		want_hook(p, &s);
		return;
	}
	aside = diag_new();
	want_hook_aside(p, &s, aside);
	error = first_error(aside);
	if (error && (p->in->follows || is_of_one_interface(error)))
		leave_alone(p, &s, &before, error);
	else
		tell_all(p->d, aside);
	diag_free(aside);
}

void plan_add_waiting(struct planner *p, const char *name)
{
	for (size_t i = 0; i < p->plan->waiting.n; i++)
		if (strcmp(p->plan->waiting.v[i], name) == 0)
			return;
	*vec_add(p->a, &p->plan->waiting) = name;
}

static void plan_absent(struct planner *p)
{
	const struct model *m = p->in->model;

	for (size_t i = 0; i < m->n_interfaces; i++) {
		const struct model_interface *iface = &m->interfaces[i];

		if (iface->glob || links_by_name(p->in->links, iface->name))
			continue;
		plan_add_waiting(p, iface->name);
		plan_hook(p, iface, iface->name, NULL, DIR_INGRESS);
		plan_hook(p, iface, iface->name, NULL, DIR_EGRESS);
	}
	for (size_t s = 0; s < m->n_sets; s++)
		for (size_t i = 0; m->sets[s]->learns && i < m->sets[s]->learn.n_on; i++)
			if (!glob_is(m->sets[s]->learn.on[i]) && !links_by_name(p->in->links, m->sets[s]->learn.on[i]))
				plan_add_waiting(p, m->sets[s]->learn.on[i]);
}

static bool is_our_ifb(const struct link *l)
{
	return strcmp(l->kind, "ifb") == 0 && ifb_index_of_ifb(l->name) == l->ifindex;
}

struct plan *plan_build(struct arena *a, struct diag *d, const struct plan_input *in, struct handles *h)
{
	struct planner p = {.a = a, .d = d, .in = in, .handles = h, .plan = arena_new_of(a, struct plan)};

	p.ifaces = arena_array(a, in->links->n, sizeof(struct model_interface *));
	for (size_t i = 0; i < in->links->n; i++)
		if (!is_our_ifb(&in->links->v[i])) /* even if a glob fits it */
			p.ifaces[i] = model_interface_for(in->model, in->links->v[i].name);
	want_global_maps(&p);
	for (size_t i = 0; i < in->model->n_sets; i++)
		plan_set(&p, in->model->sets[i]);
	for (size_t i = 0; i < in->links->n; i++) {
		const struct link *l = &in->links->v[i];

		if (is_our_ifb(l))
			continue;
		plan_hook(&p, p.ifaces[i], l->name, l, DIR_INGRESS);
		plan_hook(&p, p.ifaces[i], l->name, l, DIR_EGRESS);
	}
	plan_absent(&p);
	plan_forward(&p);
	kobj_set_sort(&p.plan->objects);
	return p.plan;
}

static bool has_egress_filter(const struct kobj_set *s, int ifindex)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].kind == KOBJ_FILTER && s->v[i].filter.ifindex == ifindex &&
		    s->v[i].filter.parent == clsact_parent(DIR_EGRESS))
			return true;
	return false;
}

/* On an `ingress` qdisc of somebody else's, ingress filters live as well; egress needs clsact in its place. */
static void adopt_ingress(struct arena *a, struct plan *plan, struct diag *d, struct kobj *o, const struct kobj *there)
{
	if (has_egress_filter(&plan->objects, o->qdisc.ifindex))
		diag_error(d, o->pos, "foreign-qdisc", "%s", foreign_ingress(a, o->what));
	else
		o->qdisc = there->qdisc;
}

void plan_adopt(struct arena *a, struct plan *plan, struct diag *d, const struct kobj_set *observed,
		enum takeover takeover)
{
	for (size_t i = 0; i < plan->objects.n; i++) {
		struct kobj *o = &plan->objects.v[i];
		const struct kobj *there = o->kind == KOBJ_QDISC ? plan_find_object(observed, o) : NULL;

		if (!there)
			continue;
		if (there->qdisc.q.kind == QDISC_INGRESS)
			adopt_ingress(a, plan, d, o, there);
		else if (tc_qdisc_is_foreign(&there->qdisc) && there->qdisc.handle && takeover == TAKEOVER_REFUSE &&
			 !kobj_set_has_link(&plan->objects, o->qdisc.ifindex))
			diag_error(d, o->pos, "foreign-qdisc", "%s", foreign_root(a, o->what, &there->qdisc));
	}
}

const char *plan_hook_name(struct arena *a, const char *ifname, enum direction dir)
{
	char *out = arena_alloc(a, strlen(ifname) * 3 + sizeof("-ingress")), *at = out;

	for (; *ifname; ifname++) {
		unsigned char c = (unsigned char)*ifname;

		if (c == '.' || c == '%' || c <= ' ' || c >= 0x7f)
			at += sprintf(at, "%%%02x", c);
		else
			*at++ = *ifname;
	}
	strcpy(at, dir == DIR_INGRESS ? "-ingress" : "-egress");
	return out;
}
