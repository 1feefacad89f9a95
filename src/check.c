/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rules across the objects of a model. What one key may say was settled when it was read; here is what only several
 * together show. The same policy on many interfaces is looked at on each; the diag keeps equal messages once.
 */
#include "model.h"

#include "../bpf/qosd_abi.h"
#include "glob.h"
#include "ifb_name.h"
#include "names.h"
#include "rules.h"
#include "runs.h"

#include <stdlib.h>
#include <string.h>

#define MERGED_PACKET   65536      /* bytes: as large as GRO makes a packet */
#define LARGE_FRAME     1514       /* bytes: what most links carry, with the header of Ethernet */
#define BURST_ENOUGH_NS 200000000u /* below that much of its rate, drop-tail policing starves TCP on a short path */
#define LEARN_NAMES_MAX 4096       /* names that are compared with each other's globs; beyond, equal ones are found */
#define NS_PER_S        1000000000ull

struct checker {
	struct diag *d;
	const struct policy *p;
	const struct model *m;
	struct arena *a;                           /* until the check ends */
	const struct model_forwarding *forwarding; /* whose rules are looked at; NULL: a policy's classes */
	bool beyond_tc;                            /* the hook that is looked at asks for what act_police cannot do */
};

static bool same_pos(struct pos a, struct pos b)
{
	return a.file == b.file && a.line == b.line && a.col == b.col;
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

static const struct model_class *rated_above(const struct model_class *c)
{
	for (c = c->parent; c && !c->rate_Bps; c = c->parent)
		;
	return c;
}

static void check_rate(struct checker *k, const struct model_hook *h, const struct model_class *c)
{
	const struct model_class *above = rated_above(c);
	char rate[TEXT_MAX], limit[TEXT_MAX];

	if (!above || c->rate_Bps <= above->rate_Bps)
		return;
	diag_error(k->d, c->rate_pos, "rate-above-parent",
		   "rate %s of class \"%s\" is above the %s of \"%s\" around it", text_format_rate(rate, c->rate_Bps),
		   c->name, text_format_rate(limit, above->rate_Bps), above->name);
	diag_note(k->d, above->rate_pos, "the rate of \"%s\"", above->name);
	diag_note(k->d, h->pos, "the policy is used here");
}

/* Of the nearest classes below c that have a rate. */
static uint64_t sum_below(const struct model_class *c)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < c->n_children; i++) {
		const struct model_class *child = c->children[i];
		uint64_t Bps = child->rate_Bps ? child->rate_Bps : sum_below(child);

		sum = sum > UINT64_MAX - Bps ? UINT64_MAX : sum + Bps;
	}
	return sum;
}

static void check_sum(struct checker *k, const struct model_hook *h, const struct model_class *c)
{
	char sum[TEXT_MAX], rate[TEXT_MAX];

	if (!c->rate_Bps || sum_below(c) <= c->rate_Bps)
		return;
	diag_warning(k->d, c->rate_pos, "rates-above-parent",
		     "the classes in \"%s\" have %s together, more than its own %s: %s", c->name,
		     text_format_rate(sum, sum_below(c)), text_format_rate(rate, c->rate_Bps),
		     h->type == POLICY_HTB ? "none of them is sure of its rate" : "they will take from each other");
	diag_note(k->d, h->pos, "the policy is used here");
}

/* Elements whose own rates do not do: the worst of them, and how many there are. */
struct odd_elements {
	const struct model_element *worst;
	size_t n;
};

static uint64_t own_rate(const struct model_hook *h, const struct model_element *e)
{
	return h->up ? e->up_Bps : e->down_Bps;
}

/* "10.0.0.7 and 41 others in set "subscribers"" */
static const char *name_odd(struct checker *k, const struct odd_elements *odd, const struct model_set *set)
{
	char address[TEXT_MAX];
	const char *others =
		odd->n < 2 ? "" : arena_printf(k->a, " and %zu other%s", odd->n - 1, odd->n > 2 ? "s" : "");

	return arena_printf(k->a, "%s%s in set \"%s\"", text_format_prefix(address, &odd->worst->prefix), others,
			    set->name);
}

/* What all keys of a class have together, at most. */
struct together {
	const struct model_class *of;
	uint64_t Bps;
	struct pos pos;
	const char *what;
};

/* A warning: the key has its rate when the others leave room, and a line of a file is one of many. */
static void look_at_fast_elements(struct checker *k, const struct model_hook *h, const struct model_class *c,
				  const struct together *all)
{
	const struct model_set *set = c->per.set;
	char rate[TEXT_MAX], limit[TEXT_MAX];
	struct odd_elements odd = {0};

	for (size_t i = 0; set && i < set->n_elements; i++) {
		const struct model_element *e = &set->elements[i];

		if (own_rate(h, e) <= all->Bps)
			continue;
		odd.n++;
		if (!odd.worst || own_rate(h, e) > own_rate(h, odd.worst))
			odd.worst = e;
	}
	if (!odd.n)
		return;
	diag_warning(k->d, odd.worst->pos, "rate-above-parent", "rate %s of %s is above the %s of \"%s\" together",
		     text_format_rate(rate, own_rate(h, odd.worst)), name_odd(k, &odd, set),
		     text_format_rate(limit, all->Bps), all->of->name);
	diag_note(k->d, all->pos, "the %s of \"%s\"", all->what, all->of->name);
}

static struct together all_together(const struct model_hook *h, const struct model_class *c)
{
	const struct model_class *of = c->rate_Bps ? c : rated_above(c);

	if (h->type == POLICY_HTB) /* where it has none, that was told */
		return (struct together){c->ceil_Bps ? c : NULL, c->ceil_Bps, c->ceil_pos, "ceil"};
	return (struct together){of, of ? of->rate_Bps : 0, of ? of->rate_pos : c->pos, "rate"};
}

static void check_per(struct checker *k, const struct model_hook *h, const struct model_class *c)
{
	const struct together all = all_together(h, c);
	char rate[TEXT_MAX], limit[TEXT_MAX];

	if (!c->per.key)
		return;
	if (h->type == POLICY_POLICE && h->engine == ENGINE_TC) {
		diag_error(k->d, c->per.pos, "engine",
			   "class \"%s\" has a bucket for each address (per), which engine tc cannot; use engine: bpf",
			   c->name);
		diag_note(k->d, h->engine_pos, "the engine is chosen here");
	}
	if (!all.of)
		return;
	look_at_fast_elements(k, h, c, &all);
	if (c->per.rate_Bps <= all.Bps)
		return;
	diag_error(k->d, c->per.rate_pos, "rate-above-parent",
		   "rate %s of each address of class \"%s\" is above the %s of \"%s\" together",
		   text_format_rate(rate, c->per.rate_Bps), c->name, text_format_rate(limit, all.Bps), all.of->name);
	diag_note(k->d, all.pos, "the %s of \"%s\"", all.what, all.of->name);
	diag_note(k->d, h->pos, "the policy is used here");
}

/* act_police and the programs take tokens for a merged packet as a whole, but compare mtu with each of its segments:
 * mtu is no way out. */
static void look_at_burst(struct checker *k, const struct model_class *c, uint64_t rate_Bps, uint64_t burst_bytes)
{
	char burst[TEXT_MAX], rate[TEXT_MAX], enough[TEXT_MAX];
	unsigned __int128 bytes = (unsigned __int128)rate_Bps * BURST_ENOUGH_NS / NS_PER_S;

	text_format_size(burst, burst_bytes);
	text_format_rate(rate, rate_Bps);
	if (burst_bytes < MERGED_PACKET) {
		diag_warning(k->d, c->burst_pos, "small-burst",
			     "the burst of \"%s\" is %s: packets that arrive merged (GRO) have up to 64kb, and one "
			     "larger than "
			     "the burst always exceeds, whatever the mtu",
			     c->name, burst);
	} else if (burst_bytes < bytes) {
		text_format_size(enough, (uint64_t)bytes);
		diag_warning(k->d, c->burst_pos, "small-burst",
			     "the burst of \"%s\" is %s, less than 200 ms of %s (%s): TCP will not reach the rate",
			     c->name, burst, rate, enough);
	}
}

/* One that was written: that of a tiny rate is small by default, and nothing can be done. */
static void check_burst(struct checker *k, const struct model_hook *h, const struct model_class *c)
{
	uint64_t of_key = (uint64_t)((unsigned __int128)c->per.rate_Bps * c->per.burst_ns / NS_PER_S);

	if (same_pos(c->burst_pos, c->pos))
		return;
	if (c->rate_Bps)
		look_at_burst(k, c, c->rate_Bps, c->burst);
	if (c->per.rate_Bps && h->type == POLICY_POLICE)
		look_at_burst(k, c, c->per.rate_Bps, of_key > c->per.burst_bytes ? of_key : c->per.burst_bytes);
}

/* The kernel keeps a burst as 32 bits of ticks of 64 ns at the rate. */
static bool exceeds_ticks(uint64_t bytes, uint64_t Bps)
{
	unsigned __int128 ns = Bps ? (unsigned __int128)bytes * NS_PER_S / Bps : 0;

	return ns / 64 > UINT32_MAX;
}

static void check_burst_time(struct checker *k, const struct model_hook *h, const struct model_class *c)
{
	if (h->engine == ENGINE_BPF || !exceeds_ticks(c->burst, c->rate_Bps))
		return;
	if (h->engine == ENGINE_AUTO && k->beyond_tc)
		return;
	diag_error(k->d, c->burst_pos, "bad-burst",
		   "the burst of \"%s\" is more than 274 s of its rate, which is what act_police can hold; use engine: "
		   "bpf",
		   c->name);
}

/* A class of htb, too, has its bursts as ticks. */
static void check_htb_bursts(struct checker *k, const struct model_hook *h, const struct model_class *c)
{
	(void)h;
	if (exceeds_ticks(c->burst, c->rate_Bps))
		diag_error(k->d, c->burst_pos, "bad-burst",
			   "the burst of \"%s\" is more than 274 s of its rate, which is what htb can hold", c->name);
	if (exceeds_ticks(c->cburst, c->ceil_Bps))
		diag_error(k->d, c->cburst_pos, "bad-burst",
			   "the cburst of \"%s\" is more than 274 s of its ceil, which is what htb can hold", c->name);
}

static void check_ceil(struct checker *k, const struct model_hook *h, const struct model_class *c)
{
	char ceil[TEXT_MAX], limit[TEXT_MAX];

	text_format_rate(ceil, c->ceil_Bps);
	if (c->ceil_Bps < c->rate_Bps) {
		diag_error(k->d, c->ceil_pos, "ceil-below-rate", "ceil %s of class \"%s\" is below its rate of %s",
			   ceil, c->name, text_format_rate(limit, c->rate_Bps));
		diag_note(k->d, c->rate_pos, "the rate of \"%s\"", c->name);
		diag_note(k->d, h->pos, "the policy is used here");
	}
	if (c->ceil_Bps == c->rate_Bps || c->ceil_Bps <= c->parent->ceil_Bps) /* of a rate that is above: check_rate */
		return;
	if (!c->parent->ceil_Bps) /* told */
		return;
	diag_error(k->d, c->ceil_pos, "ceil-above-parent",
		   "ceil %s of class \"%s\" is above the %s of \"%s\" around it", ceil, c->name,
		   text_format_rate(limit, c->parent->ceil_Bps), c->parent->name);
	diag_note(k->d, c->parent->ceil_pos, "the ceil of \"%s\"", c->parent->name);
	diag_note(k->d, h->pos, "the policy is used here");
}

static void check_depth(struct checker *k, const struct model_hook *h, const struct model_class *c)
{
	unsigned depth = h->root->rate_Bps != 0;

	for (const struct model_class *up = c; up != h->root; up = up->parent)
		depth++;
	if (depth != QOSD_DEPTH_MAX + 1)
		return; /* told once, where it begins */
	diag_error(k->d, c->pos, "too-deep", "class \"%s\" is nested more than %d deep, counting the rate of the whole",
		   c->name, QOSD_DEPTH_MAX);
	diag_note(k->d, h->pos, "the policy is used here");
}

static void check_reach(struct checker *k, const struct model_hook *h, const struct model_class *c)
{
	if (c == h->dflt || c->match.pos.line || c->n_children)
		return;
	if (!h->dflt_known || !*c->name || c->incomplete) /* it may well be meant to be reached */
		return;
	diag_error(k->d, c->pos, "missing-match",
		   "class \"%s\" has no match and is not the default: no packet can reach it", c->name);
}

static void check_continue(struct checker *k, const struct model_hook *h, const struct model_class *c)
{
	if (c->conform != CONFORM_CONTINUE)
		return;
	if (c == h->dflt)
		diag_error(k->d, c->pos, "continue-default",
			   "class \"%s\" is the default and has \"conform: continue\", but behind the default nothing "
			   "follows",
			   c->name);
	if (h->engine == ENGINE_TC && rated_above(c)) {
		diag_error(k->d, c->pos, "engine",
			   "class \"%s\" continues under the rate of \"%s\", which a chain of tc actions cannot; use "
			   "engine: bpf",
			   c->name, rated_above(c)->name);
		diag_note(k->d, h->engine_pos, "the engine is chosen here");
	}
}

static void check_exceed(struct checker *k, const struct model_hook *h, const struct model_class *c)
{
	if (h->engine != ENGINE_TC || c->exceed != EXCEED_DSCP)
		return;
	diag_error(k->d, c->pos, "engine",
		   "class \"%s\" changes the DSCP of what exceeds its rate, which engine tc cannot; use engine: bpf",
		   c->name);
	diag_note(k->d, h->engine_pos, "the engine is chosen here");
}

/* A horizon is a queue: one that cannot hold a packet behind another is none. */
static bool is_short(const struct model_hook *h, uint64_t rate_Bps)
{
	return rate_Bps && (unsigned __int128)rate_Bps * h->horizon_ns / NS_PER_S < 2 * LARGE_FRAME;
}

/* of: whose rate it is. */
static void look_at_horizon(struct checker *k, const struct model_hook *h, const char *of, uint64_t rate_Bps,
			    struct pos pos)
{
	unsigned __int128 bytes = (unsigned __int128)rate_Bps * h->horizon_ns / NS_PER_S;
	char rate[TEXT_MAX], horizon[TEXT_MAX], carries[TEXT_MAX];

	if (!is_short(h, rate_Bps))
		return;
	diag_warning(k->d, pos, "short-horizon",
		     "the rate %s of %s carries %s within the horizon of %s, less than two large packets: most of "
		     "what comes behind one is dropped, and TCP will not reach the rate",
		     text_format_rate(rate, rate_Bps), of, text_format_size(carries, (uint64_t)bytes),
		     text_format_time(horizon, h->horizon_ns));
	diag_note(k->d, h->horizon_pos, "the policy's horizon");
}

static void look_at_slow_elements(struct checker *k, const struct model_hook *h, const struct model_set *set)
{
	struct odd_elements odd = {0};

	for (size_t i = 0; set && i < set->n_elements; i++) {
		const struct model_element *e = &set->elements[i];

		if (!is_short(h, own_rate(h, e)))
			continue;
		odd.n++;
		if (!odd.worst || own_rate(h, e) < own_rate(h, odd.worst))
			odd.worst = e;
	}
	if (odd.n)
		look_at_horizon(k, h, name_odd(k, &odd, set), own_rate(h, odd.worst), odd.worst->pos);
}

static void check_horizon(struct checker *k, const struct model_hook *h, const struct model_class *c)
{
	const char *of = arena_printf(k->a, "\"%s\"", c->name);

	if (h->type == POLICY_EDT) /* the rate of an htb's class makes nobody wait for a departure time */
		look_at_horizon(k, h, of, c->rate_Bps, c->rate_pos);
	look_at_horizon(k, h, of, c->per.rate_Bps, c->per.rate_pos);
	look_at_slow_elements(k, h, c->per.set);
}

typedef void class_check(struct checker *k, const struct model_hook *h, const struct model_class *c);

/* Each list ends with NULL. */
static class_check *const police_checks[] = {check_rate,  check_sum,      check_burst,  check_burst_time, check_depth,
					     check_reach, check_continue, check_exceed, check_per,        NULL};
static class_check *const police_root_checks[] = {check_sum, check_burst, check_burst_time, NULL};
static class_check *const edt_checks[] = {check_rate,    check_sum, check_depth, check_reach,
					  check_horizon, check_per, NULL};
static class_check *const edt_root_checks[] = {check_sum, check_horizon, NULL};
static class_check *const htb_checks[] = {
	check_rate, check_ceil, check_sum, check_htb_bursts, check_depth, check_reach, check_horizon, check_per, NULL};
static class_check *const htb_root_checks[] = {check_sum, check_htb_bursts, NULL};

static const struct {
	class_check *const *classes, *const *root;
} checks[] = {
	[POLICY_POLICE] = {police_checks, police_root_checks},
	[POLICY_EDT] = {edt_checks, edt_root_checks},
	[POLICY_HTB] = {htb_checks, htb_root_checks},
};

static void check_class(struct checker *k, const struct model_hook *h, const struct model_class *c,
			class_check *const *list)
{
	for (; *list; list++)
		(*list)(k, h, c);
}

/* ---- hooks ------------------------------------------------------------------------------------------------------- */

static void check_continue_count(struct checker *k, const struct model_hook *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_classes; i++) {
		if (h->classes[i]->conform != CONFORM_CONTINUE || ++n != QOSD_CONTINUE_MAX + 1)
			continue;
		diag_error(k->d, h->classes[i]->pos, "too-many-continues",
			   "class \"%s\" is one too many with \"conform: continue\", a hook has room for %d",
			   h->classes[i]->name, QOSD_CONTINUE_MAX);
	}
}

/* A default is no promise, one that was written is. */
static void check_ecn(struct checker *k, const struct model_hook *h)
{
	char ecn[TEXT_MAX], horizon[TEXT_MAX];

	if (h->ecn_ns < h->horizon_ns || same_pos(h->ecn_pos, h->root->pos))
		return;
	diag_warning(k->d, h->ecn_pos, "no-effect",
		     "\"ecn\" has no effect: nothing waits longer than %s, as the horizon is %s",
		     text_format_time(ecn, h->ecn_ns), text_format_time(horizon, h->horizon_ns));
}

/* With engine auto it is the program's on every kernel then. */
static bool is_beyond_tc(const struct model_hook *h)
{
	for (size_t i = 0; i < h->n_classes; i++) {
		const struct model_class *c = h->classes[i];

		if (c->per.key || c->exceed == EXCEED_DSCP || (c->conform == CONFORM_CONTINUE && rated_above(c)))
			return true;
	}
	return false;
}

static void check_hook(struct checker *k, const struct model_hook *h)
{
	if (!h)
		return;
	k->beyond_tc = is_beyond_tc(h);
	if (h->paces)
		check_ecn(k, h);
	check_class(k, h, h->root, checks[h->type].root);
	for (size_t i = 0; i < h->n_classes; i++)
		check_class(k, h, h->classes[i], checks[h->type].classes);
	check_continue_count(k, h);
}

/* The index of the ifb of an interface's ingress; 0: it has none, or is called by a pattern, so that nobody knows yet.
 */
static int ifb_of(const struct model_interface *iface)
{
	return iface->ingress && iface->ingress->via_ifb && !iface->glob ? ifb_index(iface->name) : 0;
}

static int by_ifb(const void *left, const void *right)
{
	const struct model_interface *a = *(const struct model_interface *const *)left,
				     *b = *(const struct model_interface *const *)right;
	int x = ifb_of(a), y = ifb_of(b);

	return x != y ? (x > y) - (x < y) : (a > b) - (a < b); /* then in the order of the file */
}

/* They are called after a hash of the interface's name. */
static void check_ifbs(struct checker *k)
{
	const struct model_interface **list = arena_array(k->a, k->m->n_interfaces, sizeof(struct model_interface *));
	size_t n = 0;

	for (size_t i = 0; i < k->m->n_interfaces; i++)
		if (ifb_of(&k->m->interfaces[i]))
			list[n++] = &k->m->interfaces[i];
	qsort(list, n, sizeof(*list), by_ifb);
	for (size_t i = 1; i < n; i++) {
		if (ifb_of(list[i - 1]) != ifb_of(list[i]))
			continue;
		diag_error(k->d, list[i]->ingress->pos, "ifb-collision",
			   "the ifb devices of \"%s\" and \"%s\" would have the same index, as it is a hash of their "
			   "names: only one of the two can have \"via: ifb\"",
			   list[i - 1]->name, list[i]->name);
		diag_note(k->d, list[i - 1]->ingress->pos, "the other one");
	}
}

static void check_interfaces(struct checker *k)
{
	for (size_t i = 0; i < k->m->n_interfaces; i++) {
		const struct model_interface *iface = &k->m->interfaces[i];

		check_hook(k, iface->ingress);
		check_hook(k, iface->egress);
	}
}

/* ---- sets -------------------------------------------------------------------------------------------------------- */

static bool set_learns_on(const struct model_set *s, const char *name)
{
	for (size_t i = 0; i < s->learn.n_on; i++)
		if (!strcmp(s->learn.on[i], name) || glob_match(s->learn.on[i], name))
			return true;
	return false;
}

static void tell_too_many_learn(struct checker *k, const struct model_set *set, const char *name)
{
	diag_error(k->d, set->pos, "too-many-sets",
		   "set \"%s\" is one too many to learn on \"%s\": an interface teaches at most %d sets", set->name,
		   name, QOSD_LEARN_MAX);
}

/* What interface names will fit the globs is known only when they appear; this finds what the file alone shows. */
static void check_learn_on(struct checker *k, const struct model_set *set, const char *name)
{
	const struct model *m = k->m;
	size_t n = 0;

	for (size_t i = 0; i < m->n_sets; i++) {
		if (!set_learns_on(m->sets[i], name) || ++n <= QOSD_LEARN_MAX)
			continue;
		if (m->sets[i] == set)
			tell_too_many_learn(k, set, name);
		return;
	}
}

/* A name on which a set learns. */
struct lesson {
	const char *name;
	size_t set;
};

static int by_name_and_set(const void *left, const void *right)
{
	const struct lesson *a = left, *b = right;
	int cmp = strcmp(a->name, b->name);

	return cmp ? cmp : (a->set > b->set) - (a->set < b->set);
}

/* Of n names in all, those that several sets have. */
static void check_equal_learn_on(struct checker *k, size_t n)
{
	struct lesson *all = arena_array(k->a, n, sizeof(*all));
	size_t n_sets = 0;

	n = 0;
	for (size_t i = 0; i < k->m->n_sets; i++)
		for (size_t j = 0; j < k->m->sets[i]->learn.n_on; j++)
			all[n++] = (struct lesson){k->m->sets[i]->learn.on[j], i};
	qsort(all, n, sizeof(*all), by_name_and_set);
	for (size_t i = 0; i < n; i++) {
		bool again = i && !strcmp(all[i - 1].name, all[i].name);

		if (again && all[i - 1].set == all[i].set)
			continue;
		n_sets = again ? n_sets + 1 : 1;
		if (n_sets == QOSD_LEARN_MAX + 1)
			tell_too_many_learn(k, k->m->sets[all[i].set], all[i].name);
	}
}

static void check_set_limits(struct checker *k)
{
	const struct model *m = k->m;
	size_t names = 0;

	if (m->n_sets > QOSD_SETS_MAX)
		diag_error(k->d, m->sets[QOSD_SETS_MAX]->pos, "too-many-sets",
			   "set \"%s\" is one too many, there can be %d", m->sets[QOSD_SETS_MAX]->name, QOSD_SETS_MAX);
	for (size_t i = 0; i < m->n_sets; i++)
		names += m->sets[i]->learn.n_on;
	if (names > LEARN_NAMES_MAX) {
		check_equal_learn_on(k, names);
		return;
	}
	for (size_t i = 0; i < m->n_sets; i++)
		for (size_t j = 0; j < m->sets[i]->learn.n_on; j++)
			check_learn_on(k, m->sets[i], m->sets[i]->learn.on[j]);
}

/* ---- what nothing uses, what does nothing ------------------------------------------------------------------------ */

struct usage {
	struct arena *a;
	struct names services, templates, policies;
};

static void use_item(struct usage *u, const struct match_item *item)
{
	for (size_t i = 0; i < item->n; i++) {
		const struct match_term *t = &item->terms[i];

		if (t->key == MATCH_NOT)
			use_item(u, t->item);
		for (size_t j = 0; j < t->n; j++)
			if (t->values[j].service)
				names_add(u->a, &u->services, t->values[j].service->name, u);
	}
}

static void use_list(struct usage *u, const struct match_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		use_item(u, &list->items[i]);
}

static void use_class(struct usage *u, const struct w_class *c)
{
	use_list(u, &c->match);
	for (size_t i = 0; i < c->use.n; i++)
		names_add(u->a, &u->templates, c->use.v[i].s, u);
	for (size_t i = 0; i < c->n_classes; i++)
		use_class(u, &c->classes[i]);
}

static void find_usage(struct checker *k, struct usage *u)
{
	const struct policy *p = k->p;

	use_list(u, &p->settings.protect);
	for (size_t i = 0; i < p->forwards.n; i++)
		use_list(u, &p->forwards.v[i].match);
	for (size_t i = 0; i < p->templates.n; i++)
		use_class(u, &p->templates.v[i].keys);
	for (size_t i = 0; i < p->policies.n; i++)
		for (size_t j = 0; j < p->policies.v[i].n_classes; j++)
			use_class(u, &p->policies.v[i].classes[j]);
	for (size_t i = 0; i < p->interfaces.n; i++) {
		names_add(u->a, &u->policies, p->interfaces.v[i].ingress.policy.s, u);
		names_add(u->a, &u->policies, p->interfaces.v[i].egress.policy.s, u);
	}
	names_seal(u->a, &u->services);
	names_seal(u->a, &u->templates);
	names_seal(u->a, &u->policies);
}

static void warn_unused(struct checker *k, const struct names *used, const struct w_text *name, const char *what,
			const char *by)
{
	if (name->s && !names_find(used, name->s))
		diag_warning(k->d, name->pos, "unused", "%s \"%s\" is used by no %s", what, name->s, by);
}

static void check_unused(struct checker *k)
{
	struct usage u = {.a = k->a};
	const struct policy *p = k->p;

	find_usage(k, &u);
	for (size_t i = 0; i < k->m->n_sets; i++)
		if (!k->m->sets[i]->used)
			diag_warning(k->d, k->m->sets[i]->pos, "unused",
				     "set \"%s\" is used by no match and no \"per\"%s", k->m->sets[i]->name,
				     k->m->sets[i]->learns ? ", so what it learns has no effect" : "");
	for (size_t i = 0; i < p->services.n; i++)
		warn_unused(k, &u.services, &p->services.v[i].name, "service", "match");
	for (size_t i = 0; i < p->templates.n; i++)
		warn_unused(k, &u.templates, &p->templates.v[i].name, "template", "class");
	for (size_t i = 0; i < p->policies.n; i++)
		warn_unused(k, &u.policies, &p->policies.v[i].name, "policy",
			    "interface, so its rates and matches were not checked against each other");
}

/* Of every interface entry: do forwarding rules have their side from it? It may be there for that alone. */
static const bool *find_forwarded(struct checker *k)
{
	bool *found = arena_array(k->a, k->m->n_interfaces, sizeof(*found));

	for (size_t i = 0; i < k->m->n_forwardings; i++) {
		const struct model_interface *iface = model_interface_for(k->m, k->m->forwardings[i].ifname);

		if (iface)
			found[iface - k->m->interfaces] = true;
	}
	return found;
}

static void check_effect(struct checker *k)
{
	const bool *forwarded = find_forwarded(k);

	for (size_t i = 0; i < k->m->n_interfaces; i++) {
		const struct model_interface *iface = &k->m->interfaces[i];

		if (!iface->ingress && !iface->egress && !forwarded[i])
			diag_warning(k->d, iface->pos, "no-effect",
				     "interface \"%s\" has neither ingress nor egress: nothing is shaped there",
				     iface->name);
	}
	for (size_t i = 0; i < k->m->n_sets; i++) {
		const struct model_set *s = k->m->sets[i];
		size_t j = s->rates_used ? s->n_elements : 0;

		while (j < s->n_elements && !s->elements[j].up_Bps && !s->elements[j].down_Bps)
			j++;
		if (j < s->n_elements)
			diag_warning(
				k->d, s->elements[j].pos, "no-effect",
				"rates of single addresses of set \"%s\" have no effect: no class has \"per\" with "
				"this set",
				s->name);
	}
}

/* ---- matches ----------------------------------------------------------------------------------------------------- */

/* A match item that does nothing, in one direction of a policy. */
struct idle {
	struct pos pos;
	const struct model_class *cls;
	const struct rule *by; /* what takes all of it; NULL: no packet satisfies it */
};

struct idles {
	VEC(struct idle);
};

static const char *class_name(const struct model_class *c)
{
	return c ? c->name : "";
}

static bool is_below(const struct model_class *c, const struct model_class *above)
{
	for (; c; c = c->parent)
		if (c == above)
			return true;
	return false;
}

/* Children come before their parent on purpose, and a class that continues leaves what conforms to those behind. */
static bool may_swallow(const struct rule *early, const struct rule *late)
{
	if (!early->cls || !late->cls)
		return true;
	return early->cls->conform != CONFORM_CONTINUE && (early->cls == late->cls || !is_below(early->cls, late->cls));
}

/* Behind a copy the packet goes on to the next rule. */
static bool is_clone(const struct checker *k, const struct rule *r)
{
	return k->forwarding && r->cls && model_forward_of(k->forwarding, r->cls)->mode == FORWARD_CLONE;
}

static bool swallows(const struct checker *k, const struct rules *r, size_t early, size_t late)
{
	return may_swallow(&r->v[early], &r->v[late]) && rule_implies(&r->v[late], &r->v[early]) &&
	       !is_clone(k, &r->v[early]);
}

/* Of a run only the rule can swallow that has the address of the later one. */
static size_t swallower_in_run(const struct checker *k, const struct rules *r, const struct run *run, size_t late,
			       size_t n_early)
{
	const struct literal *l = rule_literal(&r->v[late], run->field, 0);

	for (; l; l = rule_literal(&r->v[late], run->field, (size_t)(l - r->v[late].literals) + 1)) {
		long rule = !l->negated && l->n ? runs_rule_at(run, &l->prefixes[0]) : -1;

		if (rule >= 0 && (size_t)rule < n_early && swallows(k, r, (size_t)rule, late))
			return (size_t)rule;
	}
	return n_early;
}

/* The first that does. */
static const struct rule *swallower(const struct checker *k, const struct rules *r, size_t late, size_t n_early)
{
	const struct run *run;
	size_t rule;

	for (size_t i = 0; i < n_early; i += run ? run->n : 1) {
		run = runs_of(r, i);
		rule = run ? swallower_in_run(k, r, run, late, n_early) : swallows(k, r, i, late) ? i : n_early;
		if (rule < n_early)
			return &r->v[rule];
	}
	return NULL;
}

static void find_idles(struct checker *k, const struct rules *r, struct idles *out)
{
	for (size_t i = 0; i < r->n_never; i++)
		*vec_add(k->a, out) = (struct idle){r->never[i].pos, r->never[i].cls, NULL};
	/* an item is a run of rules of one class and place */
	for (size_t first = 0, end; first < r->n; first = end) {
		const struct rule *by = NULL, *one;
		bool all = true;

		for (end = first;
		     end < r->n && r->v[end].cls == r->v[first].cls && same_pos(r->v[end].pos, r->v[first].pos);
		     end++) {
			one = all ? swallower(k, r, end, first) : NULL;
			all = one != NULL;
			by = by ? by : one;
		}
		if (all)
			*vec_add(k->a, out) = (struct idle){r->v[first].pos, r->v[first].cls, by};
	}
}

static bool is_idle_too(const struct idle *x, const struct idles *others)
{
	for (size_t i = 0; i < others->n; i++)
		if (same_pos(x->pos, others->v[i].pos) && !x->by == !others->v[i].by &&
		    !strcmp(class_name(x->cls), class_name(others->v[i].cls)))
			return true;
	return false;
}

static void tell_idle(struct checker *k, const struct idle *x)
{
	const char *what = k->forwarding ? "rule" : "class";
	const char *around = k->forwarding ? "" : " and what is around it";

	if (!x->by && !x->cls)
		diag_warning(k->d, x->pos, "never-matches", "no packet can satisfy this match");
	else if (!x->by)
		diag_warning(k->d, x->pos, "never-matches", "no packet can satisfy this match of %s \"%s\"%s", what,
			     x->cls->name, around);
	else if (!x->cls)
		diag_warning(k->d, x->pos, "swallowed", "this match adds nothing: an earlier one protects all of it");
	else if (!x->by->cls)
		diag_warning(k->d, x->pos, "swallowed",
			     "nothing is left for this match of %s \"%s\": all of it is protected", what, x->cls->name);
	else if (!strcmp(x->by->cls->name, x->cls->name))
		diag_warning(k->d, x->pos, "swallowed",
			     "this match adds nothing to %s \"%s\": an earlier one takes all of it", what,
			     x->cls->name);
	else
		diag_warning(k->d, x->pos, "swallowed",
			     "nothing is left for this match of %s \"%s\": an earlier one of %s \"%s\" takes all of it",
			     what, x->cls->name, what, x->by->cls->name);
	if (x->by)
		diag_note(k->d, x->by->pos, "the earlier match");
}

static const bool is_question[FIELDS] = {
	[FIELD_SRC_SET] = true, [FIELD_DST_SET] = true, [FIELD_MARK] = true, [FIELD_IN_DEV] = true};

static bool same_question(const struct literal *a, const struct literal *b)
{
	if (a->field != b->field || a->set != b->set || a->value != b->value || a->mask != b->mask)
		return false;
	return a->ifname == b->ifname || !strcmp(a->ifname, b->ifname);
}

/* Memberships of sets, marks and interfaces are asked one by one for every packet. */
static void check_questions(struct checker *k, const struct rules *r)
{
	const struct literal *asked[QOSD_ATOMS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++) {
		for (size_t j = 0; j < r->v[i].n; j++) {
			const struct literal *l = &r->v[i].literals[j];
			size_t q = 0;

			if (!is_question[l->field])
				continue;
			while (q < n && !same_question(asked[q], l))
				q++;
			if (q < n)
				continue;
			if (n == QOSD_ATOMS_MAX) {
				diag_error(
					k->d, r->v[i].pos, "too-many-tests",
					"this is one set, mark or interface too many, a hook can tell %d of them apart",
					QOSD_ATOMS_MAX);
				return;
			}
			asked[n++] = l;
		}
	}
}

static int by_policy(const void *left, const void *right)
{
	const struct model_hook *a = *(const struct model_hook *const *)left,
				*b = *(const struct model_hook *const *)right;
	int cmp = strcmp(a->policy, b->policy);

	return cmp ? cmp : a->up - b->up;
}

static void look_at_rules(struct checker *k, const struct model_hook *h, struct idles *idles)
{
	const struct rules *r = rules_build(k->a, k->d, k->m, h);

	check_questions(k, r);
	find_idles(k, r, idles);
}

/* What a policy matches depends on nothing but the direction, so it is looked at once for each. A match is idle if it
 * is in all directions that are used. */
static void check_matches(struct checker *k)
{
	const struct model *m = k->m;
	const struct model_hook **hooks = arena_array(k->a, 2 * m->n_interfaces, sizeof(struct model_hook *));
	size_t n = 0;

	for (size_t i = 0; i < m->n_interfaces; i++) {
		if (m->interfaces[i].ingress)
			hooks[n++] = m->interfaces[i].ingress;
		if (m->interfaces[i].egress)
			hooks[n++] = m->interfaces[i].egress;
	}
	qsort(hooks, n, sizeof(*hooks), by_policy);
	for (size_t first = 0, end; first < n; first = end) {
		struct idles one = {0}, other = {0};
		bool both;

		for (end = first + 1; end < n && !strcmp(hooks[end]->policy, hooks[first]->policy); end++)
			;
		both = hooks[end - 1]->up != hooks[first]->up; /* sorted by that, too */
		look_at_rules(k, hooks[first], &one);
		if (both)
			look_at_rules(k, hooks[end - 1], &other);
		for (size_t i = 0; i < one.n; i++)
			if (!both || is_idle_too(&one.v[i], &other))
				tell_idle(k, &one.v[i]);
	}
}

/* What is protected was told with the policies: one direction alone says nothing of it. */
static void check_forward_matches(struct checker *k)
{
	for (size_t i = 0; i < k->m->n_forwardings; i++) {
		struct idles idles = {0};

		k->forwarding = &k->m->forwardings[i];
		look_at_rules(k, k->forwarding->hook, &idles);
		for (size_t j = 0; j < idles.n; j++)
			if (idles.v[j].cls)
				tell_idle(k, &idles.v[j]);
	}
	k->forwarding = NULL;
}

void model_check(struct diag *d, const struct policy *p, const struct model *m)
{
	struct checker k = {.d = d, .p = p, .m = m, .a = arena_new()};
	bool whole = diag_errors(d) == 0; /* otherwise what seems unused may be used by what could not be read */

	check_interfaces(&k);
	check_ifbs(&k);
	check_set_limits(&k);
	if (whole) {
		check_unused(&k);
		check_effect(&k);
		check_matches(&k);
		check_forward_matches(&k);
	}
	model_check_forward(d, m, whole);
	arena_free(k.a);
}
