/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What model_print writes means what the model meant: for every good golden policy, and model_equal sees any
 * difference.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "model.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static struct model *build(struct arena *a, const char *name, const char *text)
{
	struct diag *d = diag_new();
	struct model *m = model_build(a, d, policy_parse(a, d, name, text, strlen(text)), ".");

	if (diag_errors(d))
		diag_print(d, stderr);
	assert_int_equal(diag_errors(d), 0);
	diag_free(d);
	return m;
}

static void round_trip(const char *file)
{
	struct arena *a = arena_new();
	struct diag *d = diag_new();
	struct model *m = model_load(a, d, file), *again;
	char *text;

	if (!m)
		diag_print(d, stderr);
	assert_non_null(m);
	text = model_print(a, m);
	again = build(a, "printed", text);
	if (!model_equal(m, again))
		fail_msg("%s: what was printed means something else:\n%s", file, text);
	/* all but the comment that says which policy a variant was */
	text = model_print(a, again);
	assert_string_equal(model_print(a, build(a, "printed again", text)), text);
	/* what the history keeps */
	text = model_print_whole(a, build(a, "whole", model_print_whole(a, m)));
	assert_string_equal(model_print_whole(a, build(a, "whole again", text)), text);
	diag_free(d);
	arena_free(a);
}

static int is_policy(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n > 5 && !strcmp(e->d_name + n - 5, ".yaml");
}

/* In their directory, as that is where their set files are looked for. */
static void test_every_good_policy(void **state)
{
	const char *top = getenv("top_srcdir");
	struct dirent **found;
	char dir[4096], before[4096];
	int n;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/tests/golden/good", top ? top : ".");
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(dir), 0);
	n = scandir(".", &found, is_policy, alphasort);
	assert_true(n >= 15);
	for (int i = 0; i < n; i++) {
		round_trip(found[i]->d_name);
		free(found[i]);
	}
	free(found);
	print_message("%d policies\n", n);
	assert_int_equal(chdir(before), 0);
}

/* A policy in which everything stands once; each case replaces one text by another that means something else. */
static const char base[] =
	"version: 1\n"
	"settings:\n"
	"  on-stop: keep\n"
	"  takeover: refuse\n"
	"  protect: [{proto: ospf}]\n"
	"  learned: {save: 30s}\n"
	"sets:\n"
	"  s:\n"
	"    elements: [{address: 10.0.0.1, up: 1mbit, down: 2mbit}, 10.0.0.2]\n"
	"    learn: {on: [eth1], within: [10.0.0.0/8], from: [ip], timeout: 5m, max: 7, when-full: refuse}\n"
	"services:\n"
	"  web: [tcp/80-90, gre]\n"
	"policies:\n"
	"  p:\n"
	"    type: police\n"
	"    engine: bpf\n"
	"    rate: 100mbit\n"
	"    burst: 4mb\n"
	"    default: rest\n"
	"    classes:\n"
	"      - name: a\n"
	"        rate: 10mbit\n"
	"        burst: 1mb\n"
	"        mtu: 1600\n"
	"        exceed: {dscp: cs1}\n"
	"        conform: pass\n"
	"        remark: {dscp: ef, mark: 0x1/0xf}\n"
	"        match:\n"
	"          - {src: \"@s\", dst: 10.0.0.0/8, dport: 1-5, not: {proto: tcp}}\n"
	"          - {service: web, mark: 5/7, tcp-flags: syn/syn, icmp-type: 8, in-dev: eth5, family: ipv4}\n"
	"          - {all: true}\n"
	"        classes:\n"
	"          - {name: child, rate: 1mbit, match: [{dscp: cs1, vlan: 3, length: 1-9}]}\n"
	"      - {name: rest, rate: 5mbit}\n"
	"interfaces:\n"
	"  eth0: {side: wan, link: {linklayer: atm, overhead: 10, mpu: 64}, egress: {policy: p}}\n"
	"  eth2: {ingress: {policy: p}}\n";

struct change {
	const char *from, *to;
};

static const struct change changes[] = {
	{"on-stop: keep", "on-stop: remove"},
	{"takeover: refuse", "takeover: replace"},
	{"{proto: ospf}", "{proto: gre}"},
	{"save: 30s", "save: 31s"},
	{"save: 30s", "save: 1ms"},
	{"save: 30s", "save: 0"},
	{"10.0.0.2", "10.0.0.3"},
	{"up: 1mbit", "up: 3mbit"},
	{"down: 2mbit", "down: 3mbit"},
	{", 10.0.0.2]", "]"},
	{"on: [eth1]", "on: [eth1, eth2]"},
	{"within: [10.0.0.0/8]", "within: [10.0.0.0/9]"},
	{"from: [ip]", "from: [arp]"},
	{"timeout: 5m", "timeout: 6m"},
	{"max: 7", "max: 8"},
	{"when-full: refuse", "when-full: evict-oldest"},
	{"tcp/80-90", "tcp/80-91"},
	{", gre]", ", esp]"},
	{"  web: [tcp/80-90, gre]", "  web: [tcp/80-90, gre]\n  more: [udp/1]"},
	{"engine: bpf", "engine: auto"},
	{"rate: 100mbit", "rate: 101mbit"},
	{"burst: 4mb", "burst: 5mb"},
	{"default: rest", "default: pass"},
	{"default: rest", "default: child"},
	{"- name: a", "- name: b"},
	{"rate: 10mbit", "rate: 11mbit"},
	{"burst: 1mb", "burst: 2mb"},
	{"mtu: 1600", "mtu: 1601"},
	{"exceed: {dscp: cs1}", "exceed: {dscp: cs2}"},
	{"exceed: {dscp: cs1}", "exceed: pass"},
	{"conform: pass", "conform: continue"},
	{"dscp: ef", "dscp: cs5"},
	{"0x1/0xf", "0x2/0xf"},
	{"dscp: ef, ", ""},
	{"src: \"@s\"", "src: 10.0.0.0/8"},
	{"dst: 10.0.0.0/8", "dst: 10.0.0.0/9"},
	{"dport: 1-5", "dport: 1-6"},
	{"not: {proto: tcp}", "not: {proto: udp}"},
	{", not: {proto: tcp}", ""},
	{"mark: 5/7", "mark: 5/15"},
	{"syn/syn", "none/syn"},
	{"icmp-type: 8", "icmp-type: echo-request"},
	{"in-dev: eth5", "in-dev: eth6"},
	{"ipv4", "ipv6"},
	{"          - {all: true}\n", ""},
	{"cs1, vlan", "cs2, vlan"},
	{"vlan: 3", "vlan: 4"},
	{"length: 1-9", "length: 2-9"},
	{"name: child, rate: 1mbit", "name: child, rate: 2mbit"},
	{"side: wan", "side: lan"},
	{"linklayer: atm", "linklayer: ptm"},
	{"overhead: 10", "overhead: 11"},
	{"mpu: 64", "mpu: 65"},
	{"{linklayer: atm, overhead: 10, mpu: 64}", "{preset: pppoa-vcmux}"},
	{"eth0: {side", "\"eth*\": {side"},
	{"egress: {policy: p}", "egress: {policy: p, rate: 50mbit}"},
	{"eth2: {ingress", "eth2: {egress"},
};

static const char tree[] = "version: 1\n"
			   "policies:\n"
			   "  p:\n"
			   "    type: htb\n"
			   "    rate: 100mbit\n"
			   "    burst: 64kb\n"
			   "    cburst: 32kb\n"
			   "    quantum: 4000\n"
			   "    leaf: {qdisc: pfifo, limit: 30}\n"
			   "    default: rest\n"
			   "    classes:\n"
			   "      - name: a\n"
			   "        rate: 10mbit\n"
			   "        ceil: 80%\n"
			   "        burst: 16kb\n"
			   "        cburst: 5ms\n"
			   "        mtu: 1600\n"
			   "        match: [{proto: tcp}]\n"
			   "        classes:\n"
			   "          - name: aa\n"
			   "            rate: 1mbit\n"
			   "            prio: 3\n"
			   "            quantum: 3000\n"
			   "            leaf: {qdisc: fq_codel, target: 7ms, ecn: off}\n"
			   "            match: [{dport: 80}]\n"
			   "      - {name: b, rate: 2mbit, leaf: {qdisc: cake, rtt: 30ms}, match: [{dscp: cs1}]}\n"
			   "      - {name: rest, rate: 5mbit}\n"
			   "interfaces:\n"
			   "  eth0: {link: {overhead: 10}, ingress: {policy: p, via: ifb}}\n"
			   "  eth2: {egress: {policy: p}}\n";

static const struct change tree_changes[] = {
	{"rate: 100mbit", "rate: 101mbit"},
	{"burst: 64kb", "burst: 65kb"},
	{"cburst: 32kb", "cburst: 33kb"},
	{"    cburst: 32kb\n", ""},
	{"quantum: 4000", "quantum: 4001"},
	{"limit: 30", "limit: 31"},
	{"    leaf: {qdisc: pfifo, limit: 30}\n", ""},
	{"leaf: {qdisc: pfifo, limit: 30}", "leaf: {qdisc: pfifo}"},
	{"leaf: {qdisc: pfifo, limit: 30}", "leaf: {qdisc: bfifo}"},
	{"default: rest", "default: b"},
	{"rate: 10mbit", "rate: 11mbit"},
	{"ceil: 80%", "ceil: 81%"},
	{"        ceil: 80%\n", ""},
	{"burst: 16kb", "burst: 17kb"},
	{"cburst: 5ms", "cburst: 6ms"},
	{"mtu: 1600", "mtu: 9000"},
	{"prio: 3", "prio: 4"},
	{"quantum: 3000", "quantum: 3001"},
	{"target: 7ms", "target: 8ms"},
	{"ecn: off", "ecn: on"},
	{"ecn: off", "ce_threshold: 1ms"},
	{"{qdisc: fq_codel, target: 7ms, ecn: off}", "{qdisc: codel, target: 7ms, ecn: off}"},
	{"rtt: 30ms", "rtt: 31ms"},
	{"rtt: 30ms", "rtt: 30ms, overhead: 0"},
	{"rtt: 30ms", "rtt: 30ms, diffserv: besteffort"},
	{"qdisc: cake, rtt: 30ms", "qdisc: tbf, rate: 1mbit, burst: 5kb, latency: 50ms"},
	{"qdisc: cake, rtt: 30ms", "qdisc: sfq, limit: 60, depth: 20"},
	{"qdisc: cake, rtt: 30ms", "qdisc: fq, maxrate: 1mbit, buckets: 64, orphan_mask: 0xff"},
	{"overhead: 10", "overhead: 11"},
	{"ingress: {policy: p, via: ifb}", "egress: {policy: p}"},
};

static char *replaced(struct arena *a, const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);

	assert_non_null(at);
	return arena_printf(a, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void every_difference_counts(const char *text, const struct change *list, size_t n)
{
	struct arena *a = arena_new();
	struct model *m = build(a, "base", text);

	assert_true(model_equal(m, build(a, "same", text)));
	assert_true(model_equal(m, build(a, "printed", model_print(a, m))));
	for (size_t i = 0; i < n; i++) {
		struct model *other = build(a, "changed", replaced(a, text, list[i].from, list[i].to)), *again;

		if (model_equal(m, other) || model_equal(other, m))
			fail_msg("\"%s\" means the same as \"%s\"", list[i].from, list[i].to);
		again = build(a, "printed", model_print(a, other));
		if (!model_equal(other, again))
			fail_msg("\"%s\" is lost when printed", list[i].to);
	}
	arena_free(a);
}

static void test_every_difference_counts(void **state)
{
	(void)state;
	every_difference_counts(base, changes, COUNT(changes));
}

static void test_every_difference_of_htb_counts(void **state)
{
	(void)state;
	every_difference_counts(tree, tree_changes, COUNT(tree_changes));
}

static void test_places_and_policy_names_do_not(void **state)
{
	struct arena *a = arena_new();

	(void)state;
	assert_true(model_equal(build(a, "base", base),
				build(a, "comment", replaced(a, base, "settings:", "# moved down\n\nsettings:"))));
	arena_free(a);
}

/* Nor is anything left of it where it is printed. */
static void test_a_policy_that_nothing_uses_does_not(void **state)
{
	static const char idle[] =
		"  idle: {type: police, default: x, classes: [{name: x, per: {key: src, set: t, rate: 1mbit}}]}\n"
		"interfaces:\n";
	struct arena *a = arena_new();
	const char *text = replaced(a, base, "sets:\n", "sets:\n  t: {elements: [10.0.0.9]}\n");
	struct model *m = build(a, "idle", replaced(a, text, "interfaces:\n", idle));

	(void)state;
	assert_true(model_equal(m, build(a, "without", text)));
	assert_true(model_equal(m, build(a, "printed", model_print(a, m))));
	arena_free(a);
}

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* One policy with a rate of its own on each of 1000 interfaces. One of its names is another's. */
static void test_many_variants_are_named_quickly(void **state)
{
	size_t room = 1 << 17, n = 0;
	char *text = malloc(room), *printed;
	struct arena *a = arena_new();
	struct model *m;
	double ms;

	(void)state;
	n += (size_t)snprintf(text, room,
			      "version: 1\npolicies:\n"
			      "  p: {type: police, default: r, classes: [{name: r}]}\n"
			      "  p-egress-500: {type: police, default: r, classes: [{name: r}]}\n"
			      "interfaces:\n  lo: {egress: {policy: p-egress-500}}\n");
	for (int i = 1; i <= 1000; i++)
		n += (size_t)snprintf(text + n, room - n, "  eth%d: {egress: {policy: p, rate: %dmbit}}\n", i, i);
	m = build(a, "many", text);
	ms = cpu_ms();
	printed = model_print(a, m);
	ms = cpu_ms() - ms;
	assert_non_null(strstr(printed, "eth1:\n    link: {linklayer: ethernet, overhead: 0, mpu: 0}\n"
					"    egress: {policy: p-egress}\n"));
	assert_non_null(strstr(printed, "egress: {policy: p-egress-499}\n"));
	assert_non_null(strstr(printed, "egress: {policy: p-egress-501}\n"));
	assert_non_null(strstr(printed, "egress: {policy: p-egress-1001}\n"));
	assert_true(model_equal(m, build(a, "printed", printed)));
	print_message("1000 variants in %.0f ms\n", ms);
	assert_true(ms < 500);
	free(text);
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_good_policy),
		cmocka_unit_test(test_every_difference_counts),
		cmocka_unit_test(test_every_difference_of_htb_counts),
		cmocka_unit_test(test_places_and_policy_names_do_not),
		cmocka_unit_test(test_a_policy_that_nothing_uses_does_not),
		cmocka_unit_test(test_many_variants_are_named_quickly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
