/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * plan: numbers that run out, and that no one interface keeps the others from being shaped. What a plan looks like is
 * in tests/golden/plan.
 */
#include <linux/pkt_sched.h>
#include <net/if_arp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../bpf/qosd_abi.h"
#include "ifb_name.h"
#include "plan.h"

#define POLICERS (KOBJ_POLICE_LAST - KOBJ_POLICE_FIRST + 1)

/* What a policy is planned for, and the numbers of before. */
struct world {
	struct arena *a;
	struct diag *d;
	struct handles *h;
	struct link link[8];
	struct links links;
	bool has_leaf[QDISC_KINDS];
	bool follows;
	struct kobj_set observed;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct link *)a)->name, ((const struct link *)b)->name);
}

/* names: of the links, with blanks between them. */
static void set_links(struct world *w, const char *names)
{
	char copy[128], *at = copy, *name;

	(void)snprintf(copy, sizeof(copy), "%s", names);
	w->links = (struct links){w->link, 0};
	while ((name = strsep(&at, " "))) {
		struct link *l = &w->link[w->links.n++];

		*l = (struct link){.type = ARPHRD_ETHER, .mtu = 1500, .tx_queues = 1, .txqlen = 1000};
		l->ifindex = (int)w->links.n;
		(void)snprintf(l->name, sizeof(l->name), "%s", name);
	}
	qsort(w->link, w->links.n, sizeof(w->link[0]), by_name);
}

static void set_up(struct world *w, const char *names)
{
	memset(w, 0, sizeof(*w));
	w->a = arena_new();
	w->d = diag_new();
	w->h = handles_new();
	w->has_leaf[QDISC_PFIFO] = w->has_leaf[QDISC_FQ] = true;
	set_links(w, names);
}

static void tear_down(struct world *w)
{
	handles_free(w->h);
	diag_free(w->d);
	arena_free(w->a);
}

static const struct plan *plan(struct world *w, const char *text)
{
	const char *whole = arena_printf(w->a, "version: 1\n%s", text);
	struct policy *policy = policy_parse(w->a, w->d, "test", whole, strlen(whole));
	struct plan_input in = {.model = model_build(w->a, w->d, policy, "."),
				.links = &w->links,
				.has_police = true,
				.has_htb = true,
				.has_ifb = true,
				.has_mirred = true,
				.has_leaf = w->has_leaf,
				.observed = &w->observed,
				.follows = w->follows,
				.prog_build_id = 1,
				.cpus = 1};

	if (diag_errors(w->d)) {
		diag_print(w->d, stderr);
		fail();
	}
	return plan_build(w->a, w->d, &in, w->h);
}

/* The first message of this id, or NULL. */
static const struct diag_message *told(const struct world *w, enum diag_level level, const char *id)
{
	for (size_t i = 0; i < diag_count(w->d); i++)
		if (diag_get(w->d, i)->level == level && !strcmp(diag_get(w->d, i)->id, id))
			return diag_get(w->d, i);
	return NULL;
}

static void assert_warned(const struct world *w, const char *id, const char *part)
{
	const struct diag_message *m = told(w, DIAG_WARNING, id);

	if (diag_errors(w->d))
		diag_print(w->d, stderr);
	assert_int_equal(diag_errors(w->d), 0);
	assert_non_null(m);
	if (!strstr(m->text, part))
		fail_msg("\"%s\" is not in: %s", part, m->text);
}

static void assert_error(const struct world *w, const char *id, const char *part)
{
	const struct diag_message *m = told(w, DIAG_ERROR, id);

	assert_non_null(m);
	if (!strstr(m->text, part))
		fail_msg("\"%s\" is not in: %s", part, m->text);
}

static const struct plan_hook *hook_of(const struct plan *p, const char *ifname, enum direction dir)
{
	for (size_t i = 0; i < p->hooks.n; i++)
		if (!strcmp(p->hooks.v[i].ifname, ifname) && p->hooks.v[i].dir == dir)
			return &p->hooks.v[i];
	fail_msg("nothing is planned for %s", ifname);
	return NULL;
}

static bool is_shaped(const struct plan *p, const char *ifname, enum direction dir)
{
	const struct plan_hook *h = hook_of(p, ifname, dir);

	assert_int_equal(h->ifindex != 0, !*h->refused);
	return h->ifindex;
}

static size_t count(const struct plan *p, enum kobj_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < p->objects.n; i++)
		n += p->objects.v[i].kind == kind;
	return n;
}

static bool has_filter(const struct plan *p, int ifindex)
{
	for (size_t i = 0; i < p->objects.n; i++)
		if (p->objects.v[i].kind == KOBJ_FILTER && p->objects.v[i].filter.ifindex == ifindex)
			return true;
	return false;
}

static bool has_map(const struct plan *p, const char *path)
{
	for (size_t i = 0; i < p->objects.n; i++)
		if (p->objects.v[i].kind == KOBJ_MAP && !strcmp(p->objects.v[i].map.path, path))
			return true;
	return false;
}

/* ---- ifb devices of one index ------------------------------------------------------------------------------------ */

/* Names with one hash, the first of them by name first. */
#define FIRST  "ppp12735"
#define SECOND "ppp3034"
#define GLOB   "ppp4396"
#define NAMED  "zwan1651"

#define TREE                                                                                  \
	"policies:\n"                                                                         \
	"  p: {type: htb, rate: 10mbit, default: all, classes: [{name: all, rate: 1mbit}]}\n" \
	"sets:\n"                                                                             \
	"  neighbours: {learn: {on: ppp*}}\n"                                                 \
	"interfaces:\n"                                                                       \
	"  wan0: {side: wan, egress: {policy: p}}\n"                                          \
	"  zwan1651: {side: wan, ingress: {policy: p, via: ifb}}\n"                           \
	"  ppp*: {side: wan, ingress: {policy: p, via: ifb}}\n"

static void have_ifb(struct world *w, const char *ifname)
{
	struct kobj *o = vec_add(w->a, &w->observed);

	o->kind = KOBJ_LINK;
	o->link.ifindex = ifb_index(ifname);
	(void)snprintf(o->link.of, sizeof(o->link.of), "%s", ifname);
}

static void of_two_ifbs_of_one_index_one_is_made(void **state)
{
	struct world w;
	const struct plan *p;

	(void)state;
	assert_int_equal(ifb_index(FIRST), ifb_index(SECOND));
	for (int follows = 0; follows < 2; follows++) {
		set_up(&w, FIRST " " SECOND " wan0");
		w.follows = follows;
		p = plan(&w, TREE);
		assert_warned(&w, "ifb-collision", SECOND " is not shaped");
		assert_true(is_shaped(p, "wan0", DIR_EGRESS));
		assert_true(is_shaped(p, FIRST, DIR_INGRESS));
		assert_false(is_shaped(p, SECOND, DIR_INGRESS));
		assert_non_null(strstr(hook_of(p, SECOND, DIR_INGRESS)->refused, "same index"));
		assert_int_equal(count(p, KOBJ_LINK), 1);
		/* as of an interface that is not there, and it teaches the set all the same */
		assert_true(has_map(p, "hooks/" SECOND "-ingress/conf"));
		assert_true(has_filter(p, links_by_name(&w.links, SECOND)->ifindex));
		tear_down(&w);
	}
}

static void who_has_the_ifb_keeps_it(void **state)
{
	struct world w;
	const struct plan *p;

	(void)state;
	set_up(&w, FIRST " " SECOND " wan0");
	w.follows = true;
	have_ifb(&w, SECOND);
	p = plan(&w, TREE);
	assert_warned(&w, "ifb-collision", FIRST " is not shaped");
	assert_false(is_shaped(p, FIRST, DIR_INGRESS));
	assert_true(is_shaped(p, SECOND, DIR_INGRESS));
	set_links(&w, FIRST " wan0"); /* the other one went */
	assert_true(is_shaped(plan(&w, TREE), FIRST, DIR_INGRESS));
	tear_down(&w);
}

static void an_entry_of_its_own_comes_first(void **state)
{
	struct world w;
	const struct plan *p;

	(void)state;
	assert_int_equal(ifb_index(GLOB), ifb_index(NAMED));
	set_up(&w, GLOB " " NAMED);
	have_ifb(&w, GLOB);
	p = plan(&w, TREE);
	assert_warned(&w, "ifb-collision", GLOB " is not shaped");
	assert_true(is_shaped(p, NAMED, DIR_INGRESS));
	assert_false(is_shaped(p, GLOB, DIR_INGRESS));
	tear_down(&w);
}

/* ---- numbers that run out ---------------------------------------------------------------------------------------- */

#define POLICED                                                                                                       \
	"policies:\n"                                                                                                 \
	"  two: {type: police, engine: tc, default: pass, classes: [{name: a, rate: 1mbit, match: [{all: true}]},"    \
	" {name: b, rate: 1mbit, match: [{all: true}]}]}\n"                                                           \
	"  one: {type: police, engine: tc, default: pass, classes: [{name: a, rate: 1mbit, match: [{all: true}]}]}\n" \
	"interfaces:\n"                                                                                               \
	"  ppp*: {side: wan, ingress: {policy: two}}\n"                                                               \
	"  wan0: {side: wan, ingress: {policy: two}}\n"                                                               \
	"  wan1: {side: wan, ingress: {policy: one}}\n"

/* So many are somebody's. */
static void take_policers(struct world *w, uint32_t n)
{
	char name[32];

	for (uint32_t i = 0; i < n; i++) {
		(void)snprintf(name, sizeof(name), "hooks/x-tc %u", i);
		assert_int_equal(handles_get(w->h, "police", name, 0, POLICERS - 1), i);
	}
}

static void without_a_policer_others_are_shaped(void **state)
{
	struct world w;
	const struct plan *p;

	(void)state;
	set_up(&w, "ppp0 wan0 wan1");
	w.follows = true;
	take_policers(&w, POLICERS - 1);
	p = plan(&w, POLICED);
	assert_warned(&w, "too-many-policers", "ppp0 is not shaped");
	assert_false(is_shaped(p, "ppp0", DIR_INGRESS));
	assert_false(is_shaped(p, "wan0", DIR_INGRESS));
	assert_int_equal(hook_of(p, "wan0", DIR_INGRESS)->engine, ENGINE_TC);
	assert_int_equal(hook_of(p, "wan0", DIR_INGRESS)->n_classes, 0);
	assert_false(has_map(p, "hooks/wan0-ingress-tc/conf"));
	/* the last one is for who can do with it */
	assert_true(is_shaped(p, "wan1", DIR_INGRESS));
	assert_int_equal(count(p, KOBJ_ACTION), 1);
	tear_down(&w);
}

static void for_a_named_interface_a_reload_says_no(void **state)
{
	struct world w;

	(void)state;
	set_up(&w, "ppp0");
	take_policers(&w, POLICERS - 1);
	(void)plan(&w, POLICED); /* by a glob; wan0 and wan1 are not there and want their numbers */
	assert_error(&w, "too-many-policers", "those that go in this reload among them");
	assert_non_null(told(&w, DIAG_WARNING, "too-many-policers"));
	tear_down(&w);
}

/* n sets, called sN. */
static const char *sets(struct world *w, int first, int n)
{
	const char *text = "sets:\n";

	for (int i = first; i < first + n; i++)
		text = arena_printf(w->a, "%s  s%d: {elements: [10.0.0.%d]}\n", text, i, i);
	return text;
}

static void sets_that_go_hold_their_numbers(void **state)
{
	struct world w;

	(void)state;
	set_up(&w, "wan0");
	(void)plan(&w, sets(&w, 0, QOSD_SETS_MAX));
	handles_sweep(w.h);
	(void)plan(&w, sets(&w, 1, QOSD_SETS_MAX)); /* s0 is called s64 now */
	assert_error(&w, "too-many-sets", "set s64 finds no free number in this reload");
	assert_error(&w, "too-many-sets", "reload in two steps");
	tear_down(&w);
	set_up(&w, "wan0"); /* and in two steps it works */
	(void)plan(&w, sets(&w, 0, QOSD_SETS_MAX));
	handles_sweep(w.h);
	(void)plan(&w, sets(&w, 1, QOSD_SETS_MAX - 1));
	handles_sweep(w.h);
	(void)plan(&w, sets(&w, 1, QOSD_SETS_MAX));
	assert_int_equal(diag_errors(w.d), 0);
	tear_down(&w);
}

static void classes_that_go_hold_their_numbers(void **state)
{
	struct world w;
	char name[16];

	(void)state;
	set_up(&w, "wan1");
	for (int i = 0; i < QOSD_CLASSES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "old%d", i);
		(void)handles_get(w.h, "class hooks/wan1-ingress-tc", name, 1, QOSD_CLASSES_MAX);
	}
	handles_sweep(w.h);
	(void)plan(&w, POLICED);
	assert_error(&w, "too-many-classes", "class a finds no free number in this reload");
	tear_down(&w);
}

/* ---- other things that one interface cannot have ------------------------------------------------------------------
 */

static void a_name_that_fits_too_many_globs_teaches_four_sets(void **state)
{
	static const char text[] = "sets:\n"
				   "  a: {learn: {on: p*}}\n"
				   "  b: {learn: {on: pp*}}\n"
				   "  c: {learn: {on: ppp*}}\n"
				   "  d: {learn: {on: \"*\"}}\n"
				   "  e: {learn: {on: \"*0\"}}\n";
	struct world w;
	const struct plan *p;

	(void)state;
	set_up(&w, "lan0 ppp0");
	w.follows = true;
	p = plan(&w, text);
	assert_warned(&w, "too-many-learners", "ppp0 already teaches 4 sets, set e is one too many");
	assert_true(is_shaped(p, "lan0", DIR_INGRESS));
	assert_true(is_shaped(p, "ppp0", DIR_INGRESS));
	tear_down(&w);
}

static void what_the_kernel_lacks_for_one_that_comes_keeps_no_other_from_its_own(void **state)
{
	static const char text[] = "policies:\n"
				   "  p: {type: htb, rate: 10mbit, default: all, classes: [{name: all, rate: 1mbit}]}\n"
				   "  q: {type: htb, rate: 10mbit, default: all, classes: [{name: all, rate: 1mbit, "
				   "leaf: {qdisc: sfq}}]}\n"
				   "interfaces:\n"
				   "  wan0: {side: wan, egress: {policy: p}}\n"
				   "  ppp*: {side: wan, egress: {policy: q}}\n";
	struct world w;
	const struct plan *p;

	(void)state;
	set_up(&w, "ppp0 wan0");
	w.follows = true;
	p = plan(&w, text);
	assert_warned(&w, "no-kernel-support", "ppp0 is not shaped");
	assert_true(is_shaped(p, "wan0", DIR_EGRESS));
	assert_false(is_shaped(p, "ppp0", DIR_EGRESS));
	tear_down(&w);
	set_up(&w, "ppp0 wan0"); /* a reload is for good */
	(void)plan(&w, text);
	assert_error(&w, "no-kernel-support", "which class all wants as its leaf");
	tear_down(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_two_ifbs_of_one_index_one_is_made),
		cmocka_unit_test(who_has_the_ifb_keeps_it),
		cmocka_unit_test(an_entry_of_its_own_comes_first),
		cmocka_unit_test(without_a_policer_others_are_shaped),
		cmocka_unit_test(for_a_named_interface_a_reload_says_no),
		cmocka_unit_test(sets_that_go_hold_their_numbers),
		cmocka_unit_test(classes_that_go_hold_their_numbers),
		cmocka_unit_test(a_name_that_fits_too_many_globs_teaches_four_sets),
		cmocka_unit_test(what_the_kernel_lacks_for_one_that_comes_keeps_no_other_from_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
