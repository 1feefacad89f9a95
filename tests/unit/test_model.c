/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a policy means, and what only several of its parts together show to be wrong. The messages themselves are in
 * tests/golden/bad.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "model.h"

#define MBIT (1000000u / 8)

struct fixture {
	struct arena *a;
	struct diag *d;
	struct model *m;
};

/* Built and checked; messages stay in the diag. */
static void load(struct fixture *f, const char *text)
{
	struct policy *p;

	*f = (struct fixture){.a = arena_new(), .d = diag_new()};
	p = policy_parse(f->a, f->d, "test", text, strlen(text));
	f->m = model_build(f->a, f->d, p, ".");
	model_check(f->d, p, f->m);
}

static void load_good(struct fixture *f, const char *text)
{
	load(f, text);
	if (diag_errors(f->d))
		diag_print(f->d, stderr);
	assert_int_equal(diag_errors(f->d), 0);
}

static void done(struct fixture *f)
{
	diag_free(f->d);
	arena_free(f->a);
}

/* 0: there is none. */
static uint32_t line_of_message(struct fixture *f, const char *id)
{
	for (size_t i = 0; i < diag_count(f->d); i++)
		if (!strcmp(diag_get(f->d, i)->id, id))
			return diag_get(f->d, i)->pos.line;
	return 0;
}

static bool has_message(struct fixture *f, const char *id)
{
	return line_of_message(f, id) != 0;
}

static const struct model_class *class_named(const struct model_hook *h, const char *name)
{
	for (size_t i = 0; i < h->n_classes; i++)
		if (!strcmp(h->classes[i]->name, name))
			return h->classes[i];
	fail_msg("no class %s", name);
	return NULL;
}

/* ---- meaning ----------------------------------------------------------------------------------------------------- */

static const char sharing[] =
	"version: 1\n"
	"sets:\n"
	"  neighbours:\n"
	"    learn: {on: [neigh0, \"vlan*\"], within: [172.16.1.0/24, \"fd00:1::/64\"]}\n"
	"policies:\n"
	"  sharing:\n"
	"    type: police\n"
	"    default: everyone\n"
	"    classes:\n"
	"      - {name: neighbours, rate: 128kbit, burst: 32kb, mtu: 16kb, match: [{local: \"@neighbours\"}]}\n"
	"      - {name: everyone, rate: 1024kbit}\n"
	"interfaces:\n"
	"  wan0: {side: wan, ingress: {policy: sharing}}\n";

static void test_neighbour_sharing(void **state)
{
	struct fixture f;
	const struct model_interface *wan;
	const struct model_hook *h;
	const struct model_set *s;

	(void)state;
	load_good(&f, sharing);
	assert_int_equal(f.m->n_sets, 1);
	s = f.m->sets[0];
	assert_true(s->used && s->learns);
	assert_int_equal(s->learn.n_on, 2);
	assert_int_equal(s->learn.n_within, 2);
	assert_int_equal(s->learn.from, LEARN_IP | LEARN_ARP | LEARN_ND);
	assert_int_equal(s->learn.timeout_ns, 600000000000);
	assert_int_equal(s->learn.max, 1024);
	assert_int_equal(s->learn.when_full, FULL_REFUSE);
	wan = model_interface_for(f.m, "wan0");
	assert_non_null(wan);
	assert_null(wan->egress);
	h = wan->ingress;
	assert_int_equal(h->dir, DIR_INGRESS);
	assert_false(h->up);
	assert_int_equal(h->engine, ENGINE_AUTO);
	assert_int_equal(h->root->rate_Bps, 0);
	assert_int_equal(h->n_classes, 2);
	assert_ptr_equal(h->dflt, h->classes[1]);
	assert_int_equal(h->classes[0]->rate_Bps, 16000);
	assert_int_equal(h->classes[0]->burst, 32768);
	assert_int_equal(h->classes[0]->mtu, 16384);
	assert_int_equal(h->classes[1]->burst, 65536 + 1500);
	assert_int_equal(h->classes[1]->mtu, 0);
	assert_int_equal(h->classes[0]->exceed, EXCEED_DROP);
	assert_int_equal(h->classes[0]->conform, CONFORM_PASS);
	assert_ptr_equal(h->classes[0]->match.items[0].terms[0].values[0].set, s);
	assert_int_equal(f.m->on_stop, ON_STOP_KEEP);
	assert_int_equal(f.m->learned_save_ns, 30000000000);
	done(&f);
}

static void test_up_and_down_by_side(void **state)
{
	struct fixture f;

	(void)state;
	load_good(&f, "version: 1\n"
		      "policies:\n"
		      "  p: {type: police, default: a, classes: [{name: a, rate: {up: 1mbit, down: 2mbit}}]}\n"
		      "interfaces:\n"
		      "  wan0: {side: wan, egress: {policy: p}, ingress: {policy: p}}\n"
		      "  lan0: {side: lan, egress: {policy: p}, ingress: {policy: p}}\n");
	assert_int_equal(f.m->interfaces[0].egress->classes[0]->rate_Bps, 1 * MBIT);
	assert_int_equal(f.m->interfaces[0].ingress->classes[0]->rate_Bps, 2 * MBIT);
	assert_int_equal(f.m->interfaces[1].egress->classes[0]->rate_Bps, 2 * MBIT);
	assert_int_equal(f.m->interfaces[1].ingress->classes[0]->rate_Bps, 1 * MBIT);
	done(&f);
}

/* The interface's rate, else the policy's, is the root's; a share is of the nearest rate above. */
static void test_shares(void **state)
{
	struct fixture f;
	const struct model_hook *h;

	(void)state;
	load_good(&f, "version: 1\n"
		      "policies:\n"
		      "  p:\n    type: police\n    rate: 100mbit\n    default: pass\n    classes:\n"
		      "      - name: half\n        rate: 50%\n        match: [{proto: tcp}]\n        classes:\n"
		      "          - name: group\n            match: [{dscp: cs1}]\n            classes:\n"
		      "              - {name: tenth, rate: 10%, match: [{dport: 80}]}\n"
		      "interfaces:\n"
		      "  eth0: {egress: {policy: p}}\n"
		      "  eth1: {egress: {policy: p, rate: 20mbit}}\n");
	h = f.m->interfaces[0].egress;
	assert_int_equal(h->root->rate_Bps, 100 * MBIT);
	assert_int_equal(class_named(h, "half")->rate_Bps, 50 * MBIT);
	assert_int_equal(class_named(h, "group")->rate_Bps, 0);
	assert_int_equal(class_named(h, "tenth")->rate_Bps, 5 * MBIT);
	h = f.m->interfaces[1].egress;
	assert_int_equal(h->root->rate_Bps, 20 * MBIT);
	assert_int_equal(class_named(h, "tenth")->rate_Bps, 1 * MBIT);
	assert_string_equal(class_named(h, "tenth")->parent->name, "group");
	assert_int_equal(h->n_classes, 3);
	done(&f);
}

/* A rate that could not be read is not blamed on those that have a share of it. */
static void test_a_broken_rate_is_told_once(void **state)
{
	struct fixture f;

	(void)state;
	load(&f, "version: 1\n"
		 "policies:\n"
		 "  p: {type: police, rate: 10Mbps, default: a, classes: [{name: a, rate: \"50%\"}]}\n"
		 "interfaces:\n"
		 "  eth0: {egress: {policy: p}}\n");
	assert_int_equal(diag_errors(f.d), 1);
	assert_true(has_message(&f, "bad-rate"));
	done(&f);
}

static void test_templates(void **state)
{
	struct fixture f;
	const struct model_hook *h;

	(void)state;
	load_good(&f, "version: 1\n"
		      "templates:\n"
		      "  low: {rate: {up: 1mbit, down: 2mbit}, burst: 1mb, match: [{proto: tcp}, {proto: udp}]}\n"
		      "  high: {rate: 9mbit, exceed: pass}\n"
		      "  both: {use: [low, high]}\n"
		      "policies:\n"
		      "  p:\n    type: police\n    default: pass\n    classes:\n"
		      "      - {name: a, use: [low, high]}\n"
		      "      - {name: b, use: [high, low], match: [{proto: sctp}]}\n"
		      "      - {name: c, use: both, rate: {up: 3mbit}, match: [{proto: gre}]}\n"
		      "interfaces:\n"
		      "  eth0: {side: wan, egress: {policy: p}, ingress: {policy: p}}\n");
	h = f.m->interfaces[0].egress;
	assert_int_equal(class_named(h, "a")->rate_Bps, 9 * MBIT);
	assert_int_equal(class_named(h, "a")->burst, 1 << 20);
	assert_int_equal(class_named(h, "a")->exceed, EXCEED_PASS);
	assert_int_equal(class_named(h, "a")->match.n, 2);
	assert_int_equal(class_named(h, "b")->rate_Bps, 1 * MBIT);
	assert_int_equal(class_named(h, "b")->match.n, 1); /* replaced, not added to */
	assert_int_equal(class_named(h, "c")->rate_Bps, 3 * MBIT);
	assert_int_equal(class_named(f.m->interfaces[0].ingress, "c")->rate_Bps, 9 * MBIT);
	done(&f);
}

static void test_bursts(void **state)
{
	struct fixture f;
	const struct model_hook *h;

	(void)state;
	load_good(&f, "version: 1\n"
		      "policies:\n"
		      "  p:\n    type: police\n    rate: 1gbit\n    default: pass\n    classes:\n"
		      "      - {name: fast, rate: 80mbit, match: [{dscp: cs1}]}\n"
		      "      - {name: slow, rate: 80kbit, match: [{dscp: cs2}]}\n"
		      "      - {name: tiny, rate: 80bit, match: [{dscp: cs3}]}\n"
		      "      - {name: time, rate: 8mbit, burst: 500ms, match: [{dscp: cs4}]}\n"
		      "      - {name: none, match: [{dscp: cs5}]}\n"
		      "interfaces:\n"
		      "  eth0: {egress: {policy: p}}\n");
	h = f.m->interfaces[0].egress;
	assert_int_equal(h->root->burst, 1000 * MBIT / 4);
	assert_int_equal(class_named(h, "fast")->burst, 2500000);
	assert_int_equal(class_named(h, "slow")->burst, 65536 + 1500);
	assert_int_equal(class_named(h, "tiny")->burst, 2500); /* 250 s: more is too much for act_police */
	assert_int_equal(class_named(h, "time")->burst, 500000);
	assert_int_equal(class_named(h, "none")->burst, 0);
	done(&f);
}

static void test_interface_for(void **state)
{
	struct fixture f;

	(void)state;
	load_good(&f, "version: 1\n"
		      "policies:\n"
		      "  p: {type: police, default: a, classes: [{name: a, rate: 1mbit}]}\n"
		      "interfaces:\n"
		      "  \"eth*\": {egress: {policy: p}}\n"
		      "  \"*\": {egress: {policy: p}}\n"
		      "  eth1: {egress: {policy: p}}\n"
		      "  \"ppp[0-3]\": {egress: {policy: p}}\n");
	assert_string_equal(model_interface_for(f.m, "eth1")->name, "eth1");
	assert_string_equal(model_interface_for(f.m, "eth2")->name, "eth*");
	assert_string_equal(model_interface_for(f.m, "ppp0")->name, "*"); /* the order of the file */
	done(&f);
	load_good(&f, sharing);
	assert_null(model_interface_for(f.m, "wan01"));
	done(&f);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *out;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	out = fopen(path, "w");
	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
}

static void test_set_files_lie_beside_the_policy(void **state)
{
	char dir[] = "/tmp/test_model.XXXXXX", path[64];
	struct arena *a = arena_new();
	struct diag *d = diag_new();
	const struct model *m;
	static const char policy[] =
		"version: 1\n"
		"sets:\n  s: {elements: [10.0.0.9], file: s.csv}\n"
		"policies:\n"
		"  p: {type: police, default: pass, classes: [{name: a, rate: 1mbit, match: [{src: \"@s\"}]}]}\n"
		"interfaces:\n  eth0: {egress: {policy: p}}\n";

	(void)state;
	assert_non_null(mkdtemp(dir));
	write_file(dir, "qosd.yaml", policy);
	write_file(dir, "s.csv", "10.0.0.7,1mbit,2mbit\n10.0.0.8\n");
	(void)snprintf(path, sizeof(path), "%s/qosd.yaml", dir);
	m = model_load(a, d, path);
	assert_non_null(m);
	assert_int_equal(m->sets[0]->n_elements, 3);
	assert_int_equal(m->sets[0]->elements[0].up_Bps, 1 * MBIT);
	assert_int_equal(m->sets[0]->elements[0].down_Bps, 2 * MBIT);
	assert_int_equal(m->sets[0]->elements[2].up_Bps, 0);

	write_file(dir, "s.csv", "10.0.0.9\n");
	assert_null(model_load(a, d, path)); /* twice in the set */
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/s.csv", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	diag_free(d);
	arena_free(a);
}

static void test_a_file_that_is_not_there(void **state)
{
	struct arena *a = arena_new();
	struct diag *d = diag_new();

	(void)state;
	assert_null(model_load(a, d, "/nowhere/qosd.yaml"));
	assert_int_equal(diag_errors(d), 1); /* and nothing about names */
	diag_free(d);
	arena_free(a);
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Each template uses the one before twice, and each has children that use it: no more than the limits comes of it. */
static void test_template_bomb(void **state)
{
	char text[8192];
	int n = snprintf(text, sizeof(text), "version: 1\ntemplates:\n  t0: {rate: 1mbit}\n");
	double before = cpu_ms();
	struct fixture f;

	(void)state;
	for (int i = 1; i < 60; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			      "  t%d: {use: [t%d, t%d], classes: [{name: a, use: [t%d]}, {name: b, use: [t%d]}]}\n", i,
			      i - 1, i - 1, i - 1, i - 1);
	n += snprintf(text + n, sizeof(text) - (size_t)n,
		      "policies:\n  p: {type: police, default: c, classes: [{name: c, use: [t59]}]}\n"
		      "interfaces:\n  eth0: {egress: {policy: p}}\n");
	assert_in_range(n, 1, sizeof(text) - 1);
	load(&f, text);
	assert_true(has_message(&f, "too-deep"));
	assert_true(cpu_ms() - before < 2000);
	done(&f);
}

/* Each template uses the next one, or with the file upside down the one before. */
static void load_template_chain(struct fixture *f, int n, bool down)
{
	size_t room = 128 + 32 * (size_t)n, len;
	char *text = malloc(room);

	len = (size_t)snprintf(text, room, "version: 1\ntemplates:\n");
	for (int i = 0; i < n; i++) {
		int t = down ? i : n - 1 - i;

		len += (size_t)snprintf(text + len, room - len,
					t < n - 1 ? "  t%d: {use: t%d}\n" : "  t%d: {rate: 1mbit}\n", t, t + 1);
	}
	(void)snprintf(text + len, room - len,
		       "policies:\n  p: {type: police, default: c, classes: [{name: c, use: t0}]}\n"
		       "interfaces:\n  eth0: {egress: {policy: p}}\n");
	load(f, text);
	free(text);
}

static void test_a_chain_of_templates_is_bounded(void **state)
{
	static const struct {
		int n;
		bool good;
	} cases[] = {{64, true}, {65, false}, {100000, false}};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (int down = 0; down < 2; down++) {
			load_template_chain(&f, cases[i].n, down);
			assert_int_equal(diag_errors(f.d) == 0, cases[i].good);
			assert_int_equal(has_message(&f, "too-deep"), !cases[i].good);
			if (cases[i].good)
				assert_int_equal(f.m->interfaces[0].egress->classes[0]->rate_Bps, MBIT);
			done(&f);
		}
	}
}

/* A policy of many classes on many interfaces is refused before it is built. */
static void test_classes_of_all_interfaces_are_bounded(void **state)
{
	size_t room = 1 << 20, n = 0;
	char *text = malloc(room);
	struct fixture f;

	(void)state;
	n += (size_t)snprintf(text, room,
			      "version: 1\npolicies:\n  p:\n    type: police\n    default: pass\n    classes:\n");
	for (int i = 0; i < 1000; i++)
		n += (size_t)snprintf(text + n, room - n, "      - {name: c%d, rate: 1mbit, match: [{mark: %d}]}\n", i,
				      i);
	n += (size_t)snprintf(text + n, room - n, "interfaces:\n");
	for (int i = 0; i < 1000; i++)
		n += (size_t)snprintf(text + n, room - n, "  eth%d: {ingress: {policy: p}}\n", i);
	load(&f, text);
	assert_true(has_message(&f, "too-many-classes"));
	assert_in_range(arena_used(f.a), 1, 256 << 20);
	done(&f);
	free(text);
}

/* Each rule on a device of its own, as many as there can be and more. */
static void load_forwards(struct fixture *f, int n)
{
	size_t room = 128 + 128 * (size_t)n, len;
	char *text = malloc(room);

	len = (size_t)snprintf(text, room, "version: 1\nforward:\n");
	for (int i = 0; i < n; i++)
		len += (size_t)snprintf(
			text + len, room - len,
			"  - {name: f%d, on: in%d, match: [{all: true}], redirect: {mode: neigh, dev: out}}\n", i, i);
	load(f, text);
	free(text);
}

static void test_forwarding_rules_are_bounded(void **state)
{
	struct fixture f;

	(void)state;
	load_forwards(&f, 255);
	assert_int_equal(diag_errors(f.d), 0);
	assert_int_equal(f.m->n_forwards, 255);
	assert_int_equal(f.m->n_forwardings, 255);
	done(&f);
	load_forwards(&f, 256);
	assert_true(has_message(&f, "too-many-rules"));
	done(&f);
	load_forwards(&f, 5000);
	assert_true(has_message(&f, "too-many-rules"));
	assert_in_range(arena_used(f.a), 1, 64 << 20);
	done(&f);
}

/* Each set learns on many interfaces of its own and, twice, on one of all. */
static void load_learners(struct fixture *f, int n_sets, int n_own)
{
	size_t room = 256 + (size_t)n_sets * (64 + 16 * (size_t)n_own), len;
	char *text = malloc(room);

	len = (size_t)snprintf(text, room, "version: 1\nsets:\n");
	for (int i = 0; i < n_sets; i++) {
		len += (size_t)snprintf(text + len, room - len, "  s%d: {learn: {on: [eth0", i);
		for (int j = 0; j < n_own; j++)
			len += (size_t)snprintf(text + len, room - len, ", own%d.%d", i, j);
		len += (size_t)snprintf(text + len, room - len, ", eth0]}}\n");
	}
	load(f, text);
	free(text);
}

static void test_sets_of_an_interface_are_bounded_however_many_names(void **state)
{
	struct fixture f;

	(void)state;
	for (int own = 0; own <= 2000; own += 1000) {
		load_learners(&f, 4, own);
		assert_false(has_message(&f, "too-many-sets"));
		done(&f);
		load_learners(&f, 6, own);
		assert_int_equal(diag_errors(f.d), 1);
		assert_int_equal(line_of_message(&f, "too-many-sets"), 2 + 5); /* at the fifth */
		done(&f);
	}
}

/* 512 rules in each of 200 hooks, which are looked at once for each direction. */
static void test_a_large_policy_is_quick(void **state)
{
	size_t room = 1 << 20, n = 0;
	char *text = malloc(room);
	struct fixture f;
	double ms;

	(void)state;
	n += (size_t)snprintf(text, room,
			      "version: 1\npolicies:\n  p:\n    type: police\n    default: pass\n    classes:\n");
	for (int i = 0; i < 512; i++)
		n += (size_t)snprintf(text + n, room - n,
				      "      - {name: c%d, rate: 1mbit, match: [{local: 10.%d.%d.0/24, proto: tcp}]}\n",
				      i, i / 256, i % 256);
	n += (size_t)snprintf(text + n, room - n, "interfaces:\n");
	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(text + n, room - n,
				      "  eth%d: {side: wan, ingress: {policy: p}, egress: {policy: p}}\n", i);
	ms = cpu_ms();
	load_good(&f, text);
	ms = cpu_ms() - ms;
	assert_int_equal(diag_warnings(f.d), 0);
	print_message("200 hooks of 512 classes in %.0f ms\n", ms);
	assert_true(ms < 5000);
	done(&f);
	free(text);
}

/* ---- checks that have an edge ------------------------------------------------------------------------------------ */

static void load_classes(struct fixture *f, const char *policy_keys, const char *classes)
{
	char text[4096];

	(void)snprintf(text, sizeof(text),
		       "version: 1\n"
		       "services:\n  web: [tcp/80, tcp/443]\n  http: [tcp/80]\n"
		       "sets:\n  s: {elements: [10.0.0.1]}\n"
		       "policies:\n  p:\n    type: police\n%s    classes:\n%s"
		       "interfaces:\n  eth0: {side: wan, egress: {policy: p}, ingress: {policy: p}}\n",
		       policy_keys, classes);
	load(f, text);
}

static void expect(const char *policy_keys, const char *classes, const char *id, bool expected)
{
	struct fixture f;

	load_classes(&f, policy_keys, classes);
	if (has_message(&f, id) != expected) {
		diag_print(f.d, stderr);
		fail_msg("expected %s[%s] of:\n%s%s", expected ? "" : "no ", id, policy_keys, classes);
	}
	done(&f);
}

#define PASS "    default: pass\n"

static void test_rates_at_the_limit(void **state)
{
	(void)state;
	expect(PASS "    rate: 2mbit\n", "      - {name: a, rate: 2mbit, match: [{dscp: ef}]}\n", "rate-above-parent",
	       false);
	expect(PASS "    rate: 2mbit\n", "      - {name: a, rate: 2001kbit, match: [{dscp: ef}]}\n",
	       "rate-above-parent", true);
	expect(PASS "    rate: 2mbit\n",
	       "      - {name: a, rate: 1mbit, match: [{dscp: ef}]}\n      - {name: b, rate: 1mbit, match: [{dscp: "
	       "cs1}]}\n",
	       "rates-above-parent", false);
	expect(PASS "    rate: 2mbit\n",
	       "      - {name: a, rate: 1mbit, match: [{dscp: ef}]}\n      - {name: b, rate: 1001kbit, match: [{dscp: "
	       "cs1}]}\n",
	       "rates-above-parent", true);
	/* through a group that has no rate */
	expect(PASS "    rate: 2mbit\n",
	       "      - name: g\n        classes:\n"
	       "          - {name: a, rate: 1mbit, match: [{dscp: ef}]}\n          - {name: b, rate: 1001kbit, match: "
	       "[{dscp: cs1}]}\n",
	       "rates-above-parent", true);
}

static void test_bursts_at_the_limit(void **state)
{
	(void)state;
	expect(PASS, "      - {name: a, rate: 1mbit, burst: 64kb, match: [{dscp: ef}]}\n", "small-burst", false);
	expect(PASS, "      - {name: a, rate: 1mbit, burst: 65535, match: [{dscp: ef}]}\n", "small-burst", true);
	/* the kernel compares mtu with each segment, but takes tokens for all of them */
	expect(PASS, "      - {name: a, rate: 1mbit, burst: 32kb, mtu: 16kb, match: [{dscp: ef}]}\n", "small-burst",
	       true);
	expect(PASS, "      - {name: a, rate: 80mbit, burst: 2000000, match: [{dscp: ef}]}\n", "small-burst", false);
	expect(PASS, "      - {name: a, rate: 80mbit, burst: 1999999, match: [{dscp: ef}]}\n", "small-burst", true);
	expect(PASS "    engine: tc\n", "      - {name: a, rate: 8mbit, burst: 274s, match: [{dscp: ef}]}\n",
	       "bad-burst", false);
	expect(PASS "    engine: tc\n", "      - {name: a, rate: 8mbit, burst: 275s, match: [{dscp: ef}]}\n",
	       "bad-burst", true);
	expect(PASS "    engine: bpf\n", "      - {name: a, rate: 8mbit, burst: 275s, match: [{dscp: ef}]}\n",
	       "bad-burst", false);
	/* a default that has to be small: nobody wrote it */
	expect(PASS, "      - {name: a, rate: 1kbit, match: [{dscp: ef}]}\n", "small-burst", false);
	expect(PASS "    rate: 1kbit\n", "      - {name: a, match: [{dscp: ef}]}\n", "small-burst", false);
	expect(PASS "    rate: 1kbit\n    burst: 32kb\n", "      - {name: a, match: [{dscp: ef}]}\n", "small-burst",
	       true);
}

/* What act_police cannot do is the program's, whose bursts have no bound. */
static void test_long_bursts_of_engine_auto(void **state)
{
#define LONG_BURST "      - {name: a, rate: 8mbit, burst: 275s, match: [{dscp: ef}]}\n"
	(void)state;
	expect(PASS, LONG_BURST, "bad-burst", true);
	expect(PASS, LONG_BURST "      - {name: b, rate: 8mbit, exceed: pass, match: [{dscp: cs1}]}\n", "bad-burst",
	       true);
	expect(PASS, LONG_BURST "      - {name: b, rate: 8mbit, conform: continue, match: [{dscp: cs1}]}\n",
	       "bad-burst", true);
	expect(PASS, LONG_BURST "      - {name: b, per: {key: src, rate: 1mbit}, match: [{dscp: cs1}]}\n", "bad-burst",
	       false);
	expect(PASS, LONG_BURST "      - {name: b, rate: 8mbit, exceed: {dscp: le}, match: [{dscp: cs1}]}\n",
	       "bad-burst", false);
	expect(PASS "    rate: 20mbit\n    burst: 275s\n",
	       "      - {name: b, rate: 8mbit, conform: continue, match: [{dscp: cs1}]}\n", "bad-burst", false);
	expect(PASS "    engine: tc\n",
	       LONG_BURST "      - {name: b, per: {key: src, rate: 1mbit}, match: [{dscp: cs1}]}\n", "bad-burst", true);
}

static void test_reach(void **state)
{
	(void)state;
	expect(PASS, "      - {name: a, rate: 1mbit}\n", "missing-match", true);
	expect("    default: a\n", "      - {name: a, rate: 1mbit}\n", "missing-match", false);
	expect(PASS, "      - {name: a, classes: [{name: b, rate: 1mbit, match: [{dscp: ef}]}]}\n", "missing-match",
	       false);
}

static void test_swallowed(void **state)
{
	static const struct {
		const char *classes;
		bool expected;
	} cases[] = {
		{"      - {name: a, match: [{all: true}]}\n      - {name: b, match: [{proto: tcp}]}\n", true},
		{"      - {name: a, match: [{proto: tcp}]}\n      - {name: b, match: [{all: true}]}\n", false},
		{"      - {name: a, match: [{service: web}]}\n      - {name: b, match: [{service: http, dscp: ef}]}\n",
		 true},
		{"      - {name: a, match: [{service: http}]}\n      - {name: b, match: [{service: web}]}\n", false},
		{"      - {name: a, match: [{host: 10.0.0.0/8}]}\n      - {name: b, match: [{local: 10.1.0.0/16}]}\n",
		 true},
		/* only together */
		{"      - {name: a, match: [{dport: 0-99}, {dport: 100-65535}]}\n      - {name: b, match: [{dport: "
		 "50-200}]}\n",
		 false},
		/* in one direction only: src is local of upload, not of download */
		{"      - {name: a, match: [{src: 10.0.0.0/8}]}\n      - {name: b, match: [{local: 10.0.0.0/8}]}\n",
		 false},
		{"      - {name: a, match: [{src: \"@s\"}]}\n      - {name: b, match: [{src: \"@s\", proto: tcp}]}\n",
		 true},
		{"      - {name: a, conform: continue, match: [{proto: tcp}]}\n      - {name: b, match: [{proto: "
		 "tcp}]}\n",
		 false},
		{"      - {name: a, match: [{proto: tcp}], classes: [{name: b, match: [{all: true}]}]}\n", false},
		{"      - {name: a, match: [{proto: tcp}], classes: [{name: b, match: [{all: true}]}]}\n"
		 "      - {name: c, match: [{proto: tcp, dport: 1}]}\n",
		 true},
		{"      - {name: a, match: [{not: {proto: tcp}}]}\n      - {name: b, match: [{proto: udp}]}\n", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		expect(PASS, cases[i].classes, "swallowed", cases[i].expected);
}

static void test_never_matches(void **state)
{
	(void)state;
	expect(PASS, "      - {name: a, match: [{proto: udp, tcp-flags: syn}]}\n", "never-matches", true);
	expect(PASS, "      - {name: a, match: [{family: ipv6, src: 10.0.0.0/8}]}\n", "never-matches", true);
	/* possible in one of the two directions */
	expect(PASS, "      - {name: a, match: [{src: 10.0.0.0/8, local: 10.0.0.0/9, remote: 192.0.2.0/24}]}\n",
	       "never-matches", false);
	expect(PASS, "      - {name: a, match: [{src: 10.0.0.0/8, dst: 10.0.0.0/8, host: 192.0.2.0/24}]}\n",
	       "never-matches", true);
}

/* ---- htb --------------------------------------------------------------------------------------------------------- */

/* One policy of htb with the interfaces given. */
#define TREE(rate, classes, interfaces)                                                      \
	"version: 1\n"                                                                       \
	"policies:\n"                                                                        \
	"  p:\n    type: htb\n    rate: " rate "\n    default: rest\n    classes:\n" classes \
	"      - {name: rest, rate: 80kbit}\n"                                               \
	"interfaces:\n" interfaces
#define ETH0 "  eth0: {egress: {policy: p}}\n"

static void test_a_tree(void **state)
{
	const struct model_class *a, *aa;
	const struct model_hook *h;
	struct fixture f;

	(void)state;
	load_good(&f, TREE("100mbit",
			   "      - name: a\n        rate: 50%\n        ceil: 80%\n        classes:\n"
			   "          - {name: aa, rate: 10%, ceil: 50%, prio: 7, match: [{dport: 80}]}\n",
			   ETH0));
	h = f.m->interfaces[0].egress;
	a = class_named(h, "a");
	aa = class_named(h, "aa");
	assert_int_equal(h->type, POLICY_HTB);
	assert_false(h->via_ifb);
	assert_int_equal(h->root->rate_Bps, 100 * MBIT);
	assert_int_equal(h->root->ceil_Bps, 100 * MBIT);
	assert_int_equal(a->rate_Bps, 50 * MBIT);
	assert_int_equal(a->ceil_Bps, 80 * MBIT);
	assert_int_equal(aa->rate_Bps, 5 * MBIT);  /* of the rate above */
	assert_int_equal(aa->ceil_Bps, 40 * MBIT); /* of the ceil above */
	assert_int_equal(h->dflt->ceil_Bps, h->dflt->rate_Bps);
	assert_int_equal(h->root->level, 0);
	assert_int_equal(a->level, 1);
	assert_int_equal(aa->level, 2);
	assert_int_equal(aa->prio, 7);
	assert_int_equal(h->dflt->prio, 0);
	assert_true(aa->leaf_auto && h->dflt->leaf_auto);
	assert_false(a->leaf_auto || h->root->leaf_auto); /* they have no queue */
	assert_string_equal(h->dflt->name, "rest");
	done(&f);
}

/* 1 ms of the rate, and at least a frame with what the link puts around it. */
static void test_htb_bursts(void **state)
{
	static const struct {
		const char *link;
		uint64_t least;
	} links[] = {
		{"{overhead: 0}", 1514},
		{"{overhead: 24}", 1538},
		{"{overhead: \"-10\"}", 1514},
		{"{overhead: 24, mpu: 1600}", 1600},
		{"{linklayer: atm, overhead: 0}", 32 * 53},  /* 31.5 cells */
		{"{linklayer: atm, overhead: 22}", 32 * 53}, /* 32 of them are full */
		{"{linklayer: atm, overhead: 23}", 33 * 53},
		{"{linklayer: ptm, overhead: 22}", 1560}, /* 24 whole blocks of 64 */
		{"{linklayer: ptm, overhead: 23}", 1562},
		{"{preset: pppoe-ptm}", 1569},
	};
	const struct model_hook *h;
	struct fixture f;

	(void)state;
	load_good(&f, TREE("1gbit",
			   "      - {name: fast, rate: 80mbit, ceil: 800mbit, match: [{dscp: cs1}]}\n"
			   "      - {name: timed, rate: 80mbit, ceil: 800mbit, burst: 3ms, cburst: 3ms, match: [{dscp: "
			   "cs2}]}\n"
			   "      - {name: sized, rate: 80mbit, burst: 1, cburst: 2, match: [{dscp: cs3}]}\n"
			   "      - {name: jumbo, rate: 80kbit, mtu: 9014, match: [{dscp: cs4}]}\n"
			   "      - {name: slowest, rate: 8bit, match: [{dscp: cs5}]}\n",
			   ETH0));
	h = f.m->interfaces[0].egress;
	assert_int_equal(h->root->burst, 125000);
	assert_int_equal(class_named(h, "fast")->burst, 10000);
	assert_int_equal(class_named(h, "fast")->cburst, 100000);
	assert_int_equal(class_named(h, "timed")->burst, 30000);
	assert_int_equal(class_named(h, "timed")->cburst, 300000);
	assert_int_equal(class_named(h, "sized")->burst, 1);
	assert_int_equal(class_named(h, "sized")->cburst, 2);
	assert_int_equal(class_named(h, "jumbo")->burst, 9014);
	assert_int_equal(class_named(h, "jumbo")->mtu, 9014);
	assert_int_equal(class_named(h, "slowest")->burst, 250); /* 250 s: more is too much for the kernel */
	done(&f);
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		char text[1024];

		(void)snprintf(text, sizeof(text), TREE("1mbit", "", "  eth0: {link: %s, egress: {policy: p}}\n"),
			       links[i].link);
		load_good(&f, text);
		assert_int_equal(f.m->interfaces[0].egress->dflt->burst, links[i].least);
		assert_int_equal(f.m->interfaces[0].egress->dflt->mtu, 1514);
		done(&f);
	}
}

/* A tenth of the rate, one frame to 60000 bytes; what is written is left alone. */
static void test_quantum(void **state)
{
	const struct model_hook *h;
	struct fixture f;

	(void)state;
	load_good(&f, TREE("1gbit\n    quantum: 5000",
			   "      - {name: a, rate: 500mbit, quantum: 200000, match: [{dscp: cs1}]}\n"
			   "      - {name: b, rate: 1mbit, quantum: 100, match: [{dscp: cs2}]}\n",
			   ETH0));
	h = f.m->interfaces[0].egress;
	assert_int_equal(class_named(h, "a")->quantum, 200000);
	assert_int_equal(class_named(h, "b")->quantum, 100);
	assert_int_equal(h->dflt->quantum, 5000); /* the policy's */
	done(&f);
	load_good(&f, TREE("1gbit",
			   "      - {name: a, rate: 800mbit, match: [{dscp: cs1}]}\n"
			   "      - {name: b, rate: 800kbit, match: [{dscp: cs2}]}\n"
			   "      - {name: c, rate: 800kbit, mtu: 9014, match: [{dscp: cs2}]}\n",
			   ETH0));
	h = f.m->interfaces[0].egress;
	assert_int_equal(class_named(h, "a")->quantum, 60000);
	assert_int_equal(class_named(h, "b")->quantum, 10000);
	assert_int_equal(class_named(h, "c")->quantum, 10000);
	assert_int_equal(h->dflt->quantum, 1514);
	done(&f);
}

/* The class's, else the policy's, else whatever the kernel has; and a FIFO is as long as 100 ms of the rate. */
static void test_leaves(void **state)
{
	const struct model_hook *h;
	struct fixture f;

	(void)state;
	load_good(&f,
		  TREE("1gbit\n    leaf: {qdisc: pfifo}",
		       "      - {name: fast, rate: 80mbit, match: [{dscp: cs1}]}\n"
		       "      - {name: bytes, rate: 80mbit, leaf: {qdisc: bfifo}, match: [{dscp: cs2}]}\n"
		       "      - {name: own, rate: 8mbit, leaf: {qdisc: pfifo, limit: 7}, match: [{dscp: cs3}]}\n"
		       "      - {name: fair, rate: 8mbit, leaf: {qdisc: fq_codel, flows: 64}, match: [{dscp: cs4}]}\n"
		       "      - {name: jumbo, rate: 8mbit, mtu: 9014, leaf: {qdisc: fq_codel}, match: [{dscp: cs5}]}\n",
		       ETH0));
	h = f.m->interfaces[0].egress;
	assert_int_equal(class_named(h, "fast")->leaf.kind, QDISC_PFIFO);
	assert_int_equal(class_named(h, "fast")->leaf.fifo.limit, 1000000 / 1514);
	assert_false(class_named(h, "fast")->leaf_auto);
	assert_int_equal(h->dflt->leaf.fifo.limit, 16);
	assert_int_equal(class_named(h, "bytes")->leaf.kind, QDISC_BFIFO);
	assert_int_equal(class_named(h, "bytes")->leaf.fifo.limit, 1000000 / 1514 * 1514);
	assert_int_equal(class_named(h, "own")->leaf.fifo.limit, 7);
	assert_int_equal(class_named(h, "fair")->leaf.kind, QDISC_FQ_CODEL);
	assert_int_equal(class_named(h, "fair")->leaf.fq_codel.flows, 64);
	assert_int_equal(class_named(h, "fair")->leaf.fq_codel.quantum, 1514);
	assert_int_equal(class_named(h, "jumbo")->leaf.fq_codel.quantum, 9014);
	done(&f);
}

/* What a template has is a key like the class's own: a leaf is replaced, not mixed. */
static void test_leaves_of_templates(void **state)
{
	const struct model_hook *h;
	struct fixture f;

	(void)state;
	load_good(
		&f,
		"version: 1\n"
		"templates:\n"
		"  t: {rate: 1mbit, ceil: {up: 2mbit, down: 4mbit}, prio: 5, leaf: {qdisc: codel, target: 9ms}}\n"
		"policies:\n"
		"  p:\n    type: htb\n    rate: 10mbit\n    default: a\n    classes:\n"
		"      - {name: a, use: t}\n"
		"      - {name: b, use: t, ceil: {up: 3mbit}, leaf: {qdisc: codel, limit: 9}, match: [{proto: tcp}]}\n"
		"interfaces:\n"
		"  eth0: {side: wan, egress: {policy: p}, ingress: {policy: p, via: ifb}}\n");
	h = f.m->interfaces[0].egress;
	assert_int_equal(class_named(h, "a")->ceil_Bps, 2 * MBIT);
	assert_int_equal(class_named(h, "a")->prio, 5);
	assert_int_equal(class_named(h, "a")->leaf.codel.target_us, 9000);
	assert_int_equal(class_named(h, "b")->ceil_Bps, 3 * MBIT);
	assert_int_equal(class_named(h, "b")->leaf.codel.limit, 9);
	assert_int_equal(class_named(h, "b")->leaf.codel.target_us, 5000);
	h = f.m->interfaces[0].ingress;
	assert_true(h->via_ifb);
	assert_int_equal(class_named(h, "b")->ceil_Bps, 4 * MBIT);
	done(&f);
}

/* The table of tc-cake(8), to the byte. */
static void test_link_presets(void **state)
{
	static const struct {
		const char *name;
		enum linklayer linklayer;
		int overhead;
		uint32_t mpu;
	} presets[] = {
		{"conservative", LINK_ATM, 48, 0},    {"ipoa-vcmux", LINK_ATM, 8, 0},
		{"ipoa-llcsnap", LINK_ATM, 16, 0},    {"bridged-vcmux", LINK_ATM, 24, 0},
		{"bridged-llcsnap", LINK_ATM, 32, 0}, {"pppoa-vcmux", LINK_ATM, 10, 0},
		{"pppoa-llc", LINK_ATM, 14, 0},       {"pppoe-vcmux", LINK_ATM, 32, 0},
		{"pppoe-llcsnap", LINK_ATM, 40, 0},   {"pppoe-ptm", LINK_PTM, 30, 0},
		{"bridged-ptm", LINK_PTM, 22, 0},     {"docsis", LINK_ETHERNET, 18, 64},
		{"ethernet", LINK_ETHERNET, 38, 84},  {"raw", LINK_ETHERNET, 0, 0},
	};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < sizeof(presets) / sizeof(*presets); i++) {
		const struct model_link *l;
		char text[1024];

		(void)snprintf(text, sizeof(text),
			       TREE("1mbit", "", "  eth0: {link: {preset: %s}, egress: {policy: p}}\n"),
			       presets[i].name);
		load_good(&f, text);
		l = &f.m->interfaces[0].link;
		assert_int_equal(l->linklayer, presets[i].linklayer);
		assert_int_equal(l->overhead, presets[i].overhead);
		assert_int_equal(l->mpu, presets[i].mpu);
		assert_int_equal(l->l3_based, strcmp(presets[i].name, "raw") != 0);
		done(&f);
	}
}

/* One mistake, one message, with and without the rule around it. */
static void test_htb_mistakes(void **state)
{
	static const struct {
		const char *text, *id; /* NULL: none */
	} cases[] = {
		{TREE("1mbit", "", ETH0), NULL},
		{TREE("80kbit", "", ETH0), NULL},
		{TREE("79kbit", "", ETH0), "rate-above-parent"},
		{TREE("1mbit", "      - {name: a, rate: 1mbit, ceil: 1mbit, match: [{dscp: 1}]}\n", ETH0), NULL},
		{TREE("1mbit", "      - {name: a, rate: 90kbit, ceil: 89kbit, match: [{dscp: 1}]}\n", ETH0),
		 "ceil-below-rate"},
		{TREE("1mbit", "      - {name: a, rate: 90kbit, ceil: 1001kbit, match: [{dscp: 1}]}\n", ETH0),
		 "ceil-above-parent"},
		{TREE("1mbit", "      - {name: a, match: [{dscp: 1}]}\n", ETH0), "missing-rate"},
		{TREE("1mbit", "      - {name: a, rate: 1kbit}\n", ETH0), "missing-match"},
		{TREE("1mbit", "", "  eth0: {ingress: {policy: p, via: ifb}}\n"), NULL},
		{TREE("1mbit", "", "  eth0: {ingress: {policy: p}}\n"), "missing-via"},
		{TREE("1mbit", "", "  eth0: {egress: {policy: p, via: ifb}}\n"), "bad-via"},
		{TREE("1mbit", "      - {name: a, rate: 80kbit, burst: 274s, match: [{dscp: 1}]}\n", ETH0), NULL},
		{TREE("1mbit", "      - {name: a, rate: 80kbit, burst: 275s, match: [{dscp: 1}]}\n", ETH0),
		 "bad-burst"},
		{TREE("1mbit", "      - {name: a, rate: 80kbit, cburst: 275s, match: [{dscp: 1}]}\n", ETH0),
		 "bad-burst"},
	};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		load(&f, cases[i].text);
		if (diag_errors(f.d) != (cases[i].id != NULL) || (cases[i].id && !has_message(&f, cases[i].id))) {
			diag_print(f.d, stderr);
			fail_msg("case %zu: expected %s", i, cases[i].id ? cases[i].id : "no error");
		}
		done(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_neighbour_sharing),
		cmocka_unit_test(test_up_and_down_by_side),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_a_broken_rate_is_told_once),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_bursts),
		cmocka_unit_test(test_interface_for),
		cmocka_unit_test(test_set_files_lie_beside_the_policy),
		cmocka_unit_test(test_a_file_that_is_not_there),
		cmocka_unit_test(test_template_bomb),
		cmocka_unit_test(test_a_chain_of_templates_is_bounded),
		cmocka_unit_test(test_classes_of_all_interfaces_are_bounded),
		cmocka_unit_test(test_forwarding_rules_are_bounded),
		cmocka_unit_test(test_sets_of_an_interface_are_bounded_however_many_names),
		cmocka_unit_test(test_a_large_policy_is_quick),
		cmocka_unit_test(test_rates_at_the_limit),
		cmocka_unit_test(test_bursts_at_the_limit),
		cmocka_unit_test(test_long_bursts_of_engine_auto),
		cmocka_unit_test(test_reach),
		cmocka_unit_test(test_swallowed),
		cmocka_unit_test(test_never_matches),
		cmocka_unit_test(test_a_tree),
		cmocka_unit_test(test_htb_bursts),
		cmocka_unit_test(test_quantum),
		cmocka_unit_test(test_leaves),
		cmocka_unit_test(test_leaves_of_templates),
		cmocka_unit_test(test_link_presets),
		cmocka_unit_test(test_htb_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
