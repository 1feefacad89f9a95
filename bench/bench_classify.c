/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * bench_classify: what the programs cost, in ns a packet: BPF_PROG_TEST_RUN repeated, best of five of the CPU time,
 * less what an empty program takes. The five are rounds through all of it, as a shared machine is slow for a while and
 * then fast again. Figures go to the file $BENCH_JSON for bench/report, without it to stdout.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness.skel.h"

#define ROUNDS    5
#define REPEAT    200000
#define CELLS_MAX 64

/* One figure, and what is taken off it: the least of all rounds each. */
struct cell {
	char what[64], who[16];
	double ns, off_ns;
};

static struct test_hook h;
static int empty;       /* the program */
static double empty_ns; /* in this round */
static struct cell cells[CELLS_MAX];
static size_t n_cells;

static double run(int prog, const struct packet_buf *p)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p->b, .data_size_in = (uint32_t)p->n, .repeat = REPEAT);
	struct timespec a, b;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	if (bpf_prog_test_run_opts(prog, &opts)) {
		(void)fprintf(stderr, "BPF_PROG_TEST_RUN: %s\n", strerror(errno));
		exit(1);
	}
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / REPEAT;
}

static struct cell *cell_of(const char *what, const char *who)
{
	for (size_t i = 0; i < n_cells; i++)
		if (!strcmp(cells[i].what, what) && !strcmp(cells[i].who, who))
			return &cells[i];
	return NULL;
}

static void note(const char *what, const char *who, double ns, double off_ns)
{
	struct cell *c = cell_of(what, who);

	if (!c) {
		if (n_cells == CELLS_MAX)
			abort();
		c = &cells[n_cells++];
		*c = (struct cell){.ns = ns, .off_ns = off_ns};
		(void)snprintf(c->what, sizeof(c->what), "%s", what);
		(void)snprintf(c->who, sizeof(c->who), "%s", who);
	}
	if (ns < c->ns)
		c->ns = ns;
	if (off_ns < c->off_ns)
		c->off_ns = off_ns;
}

static double value(const char *what, const char *who)
{
	const struct cell *c = cell_of(what, who);

	return c ? c->ns - c->off_ns : 0;
}

/* Runs what h has loaded, and starts over with an empty hook. */
static void measure(const char *what, const char *who, const struct packet_buf *p)
{
	note(what, who, run(h.prog, p), empty_ns);
	harness_close(&h);
	harness_open(&h);
}

static double in_tenths(double ns)
{
	return (double)(long)(ns * 10 + 0.5) / 10;
}

static void add_goal(json_t *goals, const char *what, double ns, double at_most)
{
	json_array_append_new(goals, json_pack("{ss sf sf ss}", "what", what, "value", in_tenths(ns), "at_most",
					       at_most, "unit", "ns"));
}

static struct packet_buf udp_packet(uint16_t sport, uint16_t dport)
{
	return packet_udp_frame("10.1.2.3", "10.9.8.7", sport, dport);
}

static struct prefix prefix(const char *mapped, uint8_t bits)
{
	struct prefix p = {.bits = bits, .v4 = true};

	(void)inet_pton(AF_INET6, mapped, &p.addr);
	return p;
}

enum { FIELDS_MAX = 7 };

/* n rules of one, three or seven fields each, of which the packet meets only the last. */
static void many_rules(uint32_t n, uint32_t fields)
{
	static struct rule v[QOSD_RULES_MAX];
	static struct literal l[QOSD_RULES_MAX][FIELDS_MAX];
	static struct range r[QOSD_RULES_MAX][5];
	static struct prefix addr[QOSD_RULES_MAX][2];
	struct rules rules = {.v = v, .n = n};
	struct packet_buf p = udp_packet(1000, (uint16_t)(n - 1));
	char what[64], who[64];

	for (uint32_t i = 0; i < n; i++) {
		addr[i][0] = prefix("::ffff:10.9.8.0", (uint8_t)(112 + i % 9));
		addr[i][0].addr.s6_addr[14] &= (uint8_t)(0xff << (8 - i % 9));
		addr[i][1] = prefix("::ffff:10.0.0.0", (uint8_t)(104 + i % 8));
		r[i][0] = (struct range){i, i};
		r[i][1] = (struct range){IPPROTO_UDP, IPPROTO_UDP + i % 3};
		r[i][2] = (struct range){0, 1000 + i};
		r[i][3] = (struct range){0, i % 64};
		r[i][4] = (struct range){0, 86 + i};
		l[i][0] = (struct literal){.field = FIELD_DPORT, .ranges = &r[i][0], .n = 1};
		l[i][1] = (struct literal){.field = FIELD_DST, .prefixes = &addr[i][0], .n = 1};
		l[i][2] = (struct literal){.field = FIELD_PROTO, .ranges = &r[i][1], .n = 1};
		l[i][3] = (struct literal){.field = FIELD_SRC, .prefixes = &addr[i][1], .n = 1};
		l[i][4] = (struct literal){.field = FIELD_SPORT, .ranges = &r[i][2], .n = 1};
		l[i][5] = (struct literal){.field = FIELD_DSCP, .ranges = &r[i][3], .n = 1};
		l[i][6] = (struct literal){.field = FIELD_LENGTH, .ranges = &r[i][4], .n = 1};
		v[i] = (struct rule){.cls = &harness_classes[1], .literals = l[i], .n = fields};
	}
	harness_rules(&h, &rules);
	(void)snprintf(what, sizeof(what), "classify, %u rule%s", n, n == 1 ? "" : "s");
	(void)snprintf(who, sizeof(who), "%u field%s", fields, fields == 1 ? "" : "s");
	measure(what, who, &p);
}

#define NO_RULE "classify, no rule: parse and count"

static void no_rule(void)
{
	struct packet_buf p = udp_packet(1000, 443);

	harness_load(&h);
	measure(NO_RULE, "1 field", &p);
}

static struct qosd_class_conf police(uint32_t parent)
{
	return (struct qosd_class_conf){
		.kind = QOSD_KIND_POLICE, .mult = 1, .shift = 10, .burst_ns = 1000000, .parent = parent};
}

/* The article's example: is the destination a neighbour? Then its bucket, else the default's. */
static void neighbour_sharing(bool policed)
{
	struct qosd_set_conf set = {.timeout_ns = 1000000000000u};
	struct literal l = {.field = FIELD_DST_SET, .set = &harness_sets[0]};
	struct rule v[] = {{.cls = &harness_classes[1], .literals = &l, .n = 1}};
	struct rules rules = {.v = v, .n = 1};
	struct packet_buf p = udp_packet(1000, 443);
	struct prefix neighbour = prefix("::ffff:10.9.8.7", 128);
	struct qosd_learned learned = {.last_ns = ~0ull >> 1};
	struct qosd_class_conf conf = police(0);

	harness_set(&h, 0, &set, 1024);
	(void)bpf_map_update_elem(harness_set_map(&h, 0, "learned"), &neighbour.addr, &learned, BPF_ANY);
	if (policed)
		harness_conf(&h, 1, &conf);
	h.spec.conf.clocked = policed;
	harness_rules(&h, &rules);
	measure(policed ? "classify, 1 rule on a set, police" : "classify, 1 rule on a set", "1 field", &p);
}

static void police_levels(uint32_t levels)
{
	struct packet_buf p = udp_packet(1000, 443);
	char what[64];

	for (uint32_t i = 1; i <= levels; i++) {
		struct qosd_class_conf conf = police(i < levels ? i + 1 : 0);

		harness_conf(&h, i, &conf);
	}
	harness_all_to_one(&h);
	(void)snprintf(what, sizeof(what), "no field, police in %u level%s", levels, levels == 1 ? "" : "s");
	measure(what, "1 field", &p);
}

/* Classified, stamped and counted: what a paced packet costs. */
static void edt(uint32_t n_rules)
{
	static struct range ports[QOSD_RULES_MAX];
	static struct literal l[QOSD_RULES_MAX];
	static struct rule v[QOSD_RULES_MAX];
	struct rules rules = {.v = v, .n = n_rules};
	struct packet_buf p = udp_packet(1000, (uint16_t)(n_rules - 1));
	struct qosd_class_conf conf = {.kind = QOSD_KIND_EDT, .mult = 1, .shift = 10, .burst_ns = 50000000};
	char what[64];

	for (uint32_t i = 0; i < n_rules; i++) {
		ports[i] = (struct range){i, i};
		l[i] = (struct literal){.field = FIELD_DPORT, .ranges = &ports[i], .n = 1};
		v[i] = (struct rule){.cls = &harness_classes[1], .literals = &l[i], .n = 1};
	}
	harness_conf(&h, 1, &conf);
	h.spec.conf.paces = 1;
	h.spec.conf.ingress = 0;
	harness_rules(&h, &rules);
	(void)snprintf(what, sizeof(what), "classify, %u rule%s, edt", n_rules, n_rules == 1 ? "" : "s");
	measure(what, "1 field", &p);
}

static void set_next(struct harness *helper, int prog)
{
	uint32_t zero = 0;

	(void)bpf_map_update_elem(bpf_map__fd(helper->maps.next), &zero, &prog, BPF_ANY);
}

/* A bucket or a clock, and counters, for each of n addresses. The packets are one address's, or all take turns, so that
 * the memory of each is cold. */
static void per_what(char what[64], enum qosd_kind kind, uint32_t n, bool in_turn)
{
	(void)snprintf(what, 64, "%s for each of %u addresses%s", kind == QOSD_KIND_EDT ? "edt" : "police", n,
		       in_turn ? ", all in turn" : "");
}

static void per_address(struct harness *helper, enum qosd_kind kind, uint32_t n, bool in_turn)
{
	struct packet_buf p = udp_packet(1000, 443);
	struct qosd_class_conf conf = {.kind = QOSD_KIND_PASS, .keyed = 1};
	struct qosd_key_conf keys = {.rate_Bps = 1000000000,
				     .burst_bytes = 1000000,
				     .kind = (uint8_t)kind,
				     .side = QOSD_KEY_SRC,
				     .prefix4 = 128,
				     .prefix6 = 128};
	int vary = bpf_program__fd(helper->progs.vary);
	char what[64];
	double least, ns;

	per_what(what, kind, n, in_turn);
	if (kind == QOSD_KIND_EDT) {
		keys.burst_bytes = 0;
		keys.burst_ns = 50000000;
		h.spec.conf.paces = 1;
		h.spec.conf.ingress = 0;
	}
	harness_conf(&h, 1, &conf);
	harness_keys(&h, 1, &keys, n);
	harness_all_to_one(&h);
	helper->bss->vary_at = 0;
	helper->data->vary_n = n;
	set_next(helper, empty);
	least = run(vary, &p);
	set_next(helper, h.prog);
	(void)run(vary, &p);
	ns = run(vary, &p); /* all of them are in the map now */
	if (in_turn)
		note(what, "1 field", ns, least);
	else
		note(what, "1 field", run(h.prog, &p), empty_ns);
	harness_close(&h);
	harness_open(&h);
}

#define LEARN     "classify_neighbor, a known address"
#define LEARN_TOO "classify, no rule, and learn a known address"

static void learn(void)
{
	struct qosd_set_conf set = {.from = QOSD_HOW_IP};
	struct packet_buf p = udp_packet(1000, 443);

	harness_set(&h, 0, &set, 1024);
	h.spec.kind = PROG_CLASSIFY_NEIGHBOR;
	h.spec.conf.learn_n = 1;
	harness_load(&h);
	measure(LEARN, "1 field", &p);
}

/* Learning beside a policy, where the packet has been parsed anyway. */
static void learn_too(void)
{
	struct qosd_set_conf set = {.from = QOSD_HOW_IP};
	struct packet_buf p = udp_packet(1000, 443);

	harness_set(&h, 0, &set, 1024);
	h.spec.conf.learn_n = 1;
	harness_load(&h);
	measure(LEARN_TOO, "1 field", &p);
}

/* So many senders, all known, that hardly one of them is found among those of a moment ago. */
static void learn_many(struct harness *helper)
{
	struct qosd_set_conf set = {.from = QOSD_HOW_IP};
	struct packet_buf p = udp_packet(1000, 443);
	int vary = bpf_program__fd(helper->progs.vary);
	double least;

	harness_set(&h, 0, &set, 16384);
	h.spec.kind = PROG_CLASSIFY_NEIGHBOR;
	h.spec.conf.learn_n = 1;
	harness_load(&h);
	helper->bss->vary_at = 0;
	helper->data->vary_n = 10000;
	set_next(helper, empty);
	least = run(vary, &p);
	set_next(helper, h.prog);
	(void)run(vary, &p);
	note("classify_neighbor, 10000 known addresses, all in turn", "1 field", run(vary, &p), least);
	harness_close(&h);
	harness_open(&h);
}

/* What of all this is the kernel's, whatever a program does. */
static void kernels_own(struct harness *helper, const struct packet_buf *p)
{
	struct qosd_addr key = {0};
	uint32_t one = 1;

	(void)bpf_map_update_elem(bpf_map__fd(helper->maps.addresses), &key, &one, BPF_ANY);
	note("of that: the clock (bpf_ktime_get_ns)", "1 field", run(bpf_program__fd(helper->progs.read_clock), p),
	     empty_ns);
	note("of that: to find an address in a hash", "1 field", run(bpf_program__fd(helper->progs.look_up), p),
	     empty_ns);
	note("an empty program, taken off above", "1 field", empty_ns, 0);
}

static const uint32_t sizes[] = {1, 16, 128, 512}, fields[] = {1, 3, FIELDS_MAX};
static const uint32_t keys[] = {1000, 10000, 100000};
static const enum qosd_kind kinds[] = {QOSD_KIND_POLICE, QOSD_KIND_EDT}; /* of keys */

#define N(v) (sizeof(v) / sizeof((v)[0]))

static void measure_all(struct harness *helper)
{
	struct packet_buf p = udp_packet(1000, 443);

	empty_ns = run(empty, &p);
	for (size_t i = 0; i < N(sizes); i++)
		for (size_t j = 0; j < N(fields); j++)
			many_rules(sizes[i], fields[j]);
	no_rule();
	learn_too();
	learn();
	learn_many(helper);
	neighbour_sharing(false);
	neighbour_sharing(true);
	police_levels(1);
	police_levels(3);
	edt(1);
	edt(512);
	for (size_t i = 0; i < N(keys); i++) {
		for (size_t k = 0; k < N(kinds); k++) {
			per_address(helper, kinds[k], keys[i], false);
			per_address(helper, kinds[k], keys[i], true);
		}
	}
	kernels_own(helper, &p);
}

/* What 100,000 keys cost, of what 1,000 do. One address alone is in the caches, however many there are; all in turn are
 * what a router sees. */
static void add_many_of_few(json_t *goals, enum qosd_kind kind, bool in_turn)
{
	char few[64], many[64];

	per_what(few, kind, keys[0], in_turn);
	per_what(many, kind, keys[N(keys) - 1], in_turn);
	json_array_append_new(
		goals,
		json_pack("{so sf sf ss}", "what",
			  json_sprintf("%s for each address, 100,000 of them to 1,000, %s",
				       kind == QOSD_KIND_EDT ? "edt" : "police", in_turn ? "all in turn" : "one sends"),
			  "value", value(many, "1 field") / value(few, "1 field"), "at_most", 1.3, "unit", "times"));
}

static json_t *goals_of(void)
{
	json_t *goals = json_array();

	add_goal(goals, "classify, 512 rules of seven fields", value("classify, 512 rules", "7 fields"), 150);
	add_goal(goals, "classify, one rule, edt and statistics", value("classify, 1 rule, edt", "1 field"), 60);
	add_goal(goals, "learn a known address, beside a policy",
		 value(LEARN_TOO, "1 field") - value(NO_RULE, "1 field"), 20);
	add_goal(goals, "learn a known address, parsing it too", value(LEARN, "1 field"), 20);
	for (size_t k = 0; k < N(kinds); k++) {
		add_many_of_few(goals, kinds[k], false);
		add_many_of_few(goals, kinds[k], true);
	}
	return goals;
}

static json_t *rows_of(void)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < n_cells; i++)
		json_array_append_new(rows, json_pack("{ss ss sf ss}", "what", cells[i].what, "who", cells[i].who,
						      "value", in_tenths(cells[i].ns - cells[i].off_ns), "unit", "ns"));
	return rows;
}

static int write_report(void)
{
	const char *path = getenv("BENCH_JSON");
	json_t *report = json_pack("{ss ss so so}", "bench", "classify", "about",
				   "ns a packet in the program, an empty one's taken off", "goals", goals_of(), "rows",
				   rows_of());
	int err = path ? json_dump_file(report, path, JSON_INDENT(1)) : json_dumpf(report, stdout, JSON_INDENT(1));

	json_decref(report);
	return err;
}

int main(void)
{
	struct harness *helper;

	harness_need_bpf();
	helper = harness__open_and_load();
	if (!helper) {
		(void)fprintf(stderr, "the empty program cannot be loaded: %s\n", strerror(errno));
		return 1;
	}
	empty = bpf_program__fd(helper->progs.empty);
	harness_open(&h);
	for (int i = 0; i < ROUNDS; i++)
		measure_all(helper);
	harness_close(&h);
	harness__destroy(helper);
	return write_report() ? 1 : 0;
}
