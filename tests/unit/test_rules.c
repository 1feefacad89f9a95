/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A hook's class tree as flat rules: small cases that show what comes out, then random trees against an evaluation of
 * the tree itself that knows nothing of rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rules.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* ---- policies to look at ----------------------------------------------------------------------------------------- */

struct fixture {
	struct arena *a;
	struct diag *d;
	struct model *m;
	struct rules *r;
};

/* The rules of the policy's only hook. body is what stands below `classes:`, indented by six. */
static void load(struct fixture *f, const char *side, const char *direction, const char *top, const char *body)
{
	struct policy *p;
	char *text;

	f->a = arena_new();
	f->d = diag_new();
	text = arena_printf(f->a,
			    "version: 1\n%s"
			    "policies:\n  p:\n    type: police\n    default: pass\n    classes:\n%s"
			    "interfaces:\n  eth0:\n    side: %s\n    %s: {policy: p}\n",
			    top, body, side, direction);
	p = policy_parse(f->a, f->d, "test", text, strlen(text));
	f->m = model_build(f->a, f->d, p, ".");
	if (diag_errors(f->d))
		diag_print(f->d, stderr);
	assert_int_equal(diag_errors(f->d), 0);
	f->r = rules_build(f->a, f->d, f->m,
			   f->m->interfaces[0].egress ? f->m->interfaces[0].egress : f->m->interfaces[0].ingress);
}

static void unload(struct fixture *f)
{
	diag_free(f->d);
	arena_free(f->a);
}

/* One class "a" with one match. */
static void load_match(struct fixture *f, const char *match)
{
	char body[1024];

	(void)snprintf(body, sizeof(body), "      - {name: a, rate: 1mbit, match: [%s]}\n", match);
	load(f, "wan", "egress",
	     "sets:\n  s: {elements: [10.1.0.0/16]}\n  t: {elements: [10.2.0.0/16]}\n"
	     "services:\n  dns: [udp/53, tcp/53]\n  ping: [icmp, icmpv6]\n  mix: [tcp/80, udp/443, gre]\n",
	     body);
}

static const char *const field_names[FIELDS] = {
	[FIELD_SRC] = "src",         [FIELD_DST] = "dst",        [FIELD_SRC_SET] = "src-set",
	[FIELD_DST_SET] = "dst-set", [FIELD_SPORT] = "sport",    [FIELD_DPORT] = "dport",
	[FIELD_PROTO] = "proto",     [FIELD_DSCP] = "dscp",      [FIELD_MARK] = "mark",
	[FIELD_VLAN] = "vlan",       [FIELD_FAMILY] = "family",  [FIELD_LENGTH] = "length",
	[FIELD_TCP_FLAGS] = "flags", [FIELD_ICMP_TYPE] = "icmp", [FIELD_IN_DEV] = "in-dev",
};

static void describe_literal(FILE *out, const struct literal *l)
{
	char text[TEXT_MAX];

	(void)fprintf(out, "%s%s=", l->negated ? "!" : "", field_names[l->field]);
	if (l->field == FIELD_SRC || l->field == FIELD_DST) {
		for (size_t i = 0; i < l->n; i++)
			(void)fprintf(out, "%s%s", i ? "," : "", text_format_prefix(text, &l->prefixes[i]));
	} else if (l->field == FIELD_SRC_SET || l->field == FIELD_DST_SET) {
		(void)fputs(l->set->name, out);
	} else if (l->field == FIELD_MARK || l->field == FIELD_TCP_FLAGS) {
		(void)fprintf(out, "%#x/%#x", l->value, l->mask);
	} else if (l->field == FIELD_IN_DEV) {
		(void)fputs(l->ifname, out);
	} else {
		for (size_t i = 0; i < l->n; i++) {
			(void)fprintf(out, "%s%u", i ? "," : "", l->ranges[i].lo);
			if (l->ranges[i].hi != l->ranges[i].lo)
				(void)fprintf(out, "-%u", l->ranges[i].hi);
		}
	}
}

/* "src=10.0.0.0/8 proto=6 -> a", one line a rule. */
static char *describe(struct fixture *f)
{
	char *text, *copy;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	for (size_t i = 0; i < f->r->n; i++) {
		const struct rule *r = &f->r->v[i];

		for (size_t j = 0; j < r->n; j++) {
			describe_literal(out, &r->literals[j]);
			(void)fputc(' ', out);
		}
		(void)fprintf(out, "-> %s\n", r->cls ? r->cls->name : "protected");
	}
	(void)fclose(out);
	copy = arena_strdup(f->a, text);
	free(text);
	return copy;
}

static void expect_rules(struct fixture *f, const char *expected)
{
	assert_string_equal(describe(f), expected);
}

static void expect_match(const char *match, const char *expected)
{
	struct fixture f;

	load_match(&f, match);
	assert_string_equal(describe(&f), expected);
	unload(&f);
}

/* ---- cases ------------------------------------------------------------------------------------------------------- */

static void test_neighbour_sharing(void **state)
{
	struct fixture f;

	(void)state;
	load(&f, "wan", "ingress", "sets:\n  neighbours: {learn: {on: neigh0}}\n",
	     "      - {name: neighbours, rate: 128kbit, match: [{local: \"@neighbours\"}]}\n"
	     "      - {name: web, rate: 1mbit, match: [{proto: tcp, remote-port: [80, 443]}]}\n");
	expect_rules(&f, "dst-set=neighbours -> neighbours\n"
			 "sport=80,443 proto=6 -> web\n");
	assert_true(f.r->uses[FIELD_DST_SET]);
	assert_false(f.r->uses[FIELD_SRC_SET]);
	unload(&f);
}

static void test_local_is_the_source_of_upload(void **state)
{
	static const struct {
		const char *side, *direction, *rule;
	} cases[] = {
		{"wan", "egress", "src=10.0.0.0/8 sport=22 -> a\n"},
		{"wan", "ingress", "dst=10.0.0.0/8 dport=22 -> a\n"},
		{"lan", "egress", "dst=10.0.0.0/8 dport=22 -> a\n"},
		{"lan", "ingress", "src=10.0.0.0/8 sport=22 -> a\n"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct fixture f;

		load(&f, cases[i].side, cases[i].direction, "",
		     "      - {name: a, rate: 1mbit, match: [{local: 10.0.0.0/8, local-port: 22}]}\n");
		expect_rules(&f, cases[i].rule);
		unload(&f);
	}
}

static void test_host_is_two_rules_and_its_opposite_one(void **state)
{
	(void)state;
	expect_match("{host: 10.0.0.1}", "src=10.0.0.1 -> a\ndst=10.0.0.1 -> a\n");
	expect_match("{not: {host: 10.0.0.1}}", "!src=10.0.0.1 !dst=10.0.0.1 -> a\n");
	expect_match("{port: 53}", "sport=53 -> a\ndport=53 -> a\n");
}

static void test_sets_and_prefixes_of_a_list(void **state)
{
	(void)state;
	expect_match("{src: [10.0.0.0/8, \"@s\", 10.9.0.0/16, 192.0.2.1, \"@t\"]}",
		     "src=10.0.0.0/8,192.0.2.1 -> a\nsrc-set=s -> a\nsrc-set=t -> a\n");
	expect_match("{not: {src: [10.0.0.0/8, \"@s\"]}}", "!src=10.0.0.0/8 !src-set=s -> a\n");
}

static void test_services_by_protocol(void **state)
{
	(void)state;
	expect_match("{server: dns}", "sport=53 proto=6,17 -> a\n");
	expect_match("{client: dns}", "dport=53 proto=6,17 -> a\n");
	expect_match("{service: dns}", "sport=53 proto=6,17 -> a\ndport=53 proto=6,17 -> a\n");
	expect_match("{service: ping}", "proto=1,58 -> a\n");
	expect_match("{server: mix}", "sport=80 proto=6 -> a\nsport=443 proto=17 -> a\nproto=47 -> a\n");
	expect_match("{not: {server: dns}}", "!sport=53 -> a\n!proto=6,17 -> a\n");
	expect_match("{not: {service: dns}}", "!sport=53 !dport=53 -> a\n!proto=6,17 -> a\n");
}

static void test_a_protocol_comes_with_what_only_it_has(void **state)
{
	(void)state;
	expect_match("{icmp-type: echo-request}", "proto=1 icmp=8 -> a\nproto=58 icmp=128 -> a\n");
	expect_match("{icmp-type: packet-too-big}", "proto=58 icmp=2 -> a\n");
	expect_match("{proto: icmp, icmp-type: [8, 0]}", "proto=1 icmp=0,8 -> a\n");
	expect_match("{tcp-flags: \"syn/syn,ack\"}", "proto=6 flags=0x2/0x12 -> a\n");
	expect_match("{not: {tcp-flags: syn}}", "!flags=0x2/0x2 -> a\n");
	expect_match("{dport: 53}", "dport=53 -> a\n");
}

static void test_not(void **state)
{
	(void)state;
	expect_match("{not: {proto: tcp, dport: 80}}", "!proto=6 -> a\n!dport=80 -> a\n");
	expect_match("{not: {not: {proto: tcp, dport: 80}}}", "dport=80 proto=6 -> a\n");
	expect_match("{proto: udp, not: {dport: 53, not: {src: 10.0.0.0/8}}}",
		     "!dport=53 proto=17 -> a\nsrc=10.0.0.0/8 proto=17 -> a\n");
	expect_match("{not: {mark: [1, 2]}}", "!mark=0x1/0xffffffff !mark=0x2/0xffffffff -> a\n");
	expect_match("{not: {in-dev: [eth1, eth2]}}", "!in-dev=eth1 !in-dev=eth2 -> a\n");
}

static void test_what_is_implied_is_left_out(void **state)
{
	(void)state;
	expect_match("{family: ipv4, src: 10.0.0.0/8}", "src=10.0.0.0/8 -> a\n");
	expect_match("{proto: [tcp, udp], not: {proto: sctp}}", "proto=6,17 -> a\n");
	expect_match("{dport: [80-90, 85-95, 96]}", "dport=80-96 -> a\n");
	expect_match("{all: true}", "-> a\n");
}

/* In the bits of the classifier IPv4 is ::ffff:0:0/96, which ::/0 would cover. */
static void test_all_of_ipv6_is_not_ipv4(void **state)
{
	struct packet_fields p = {.family = 4, .proto = 17, .vlan = -1, .tcp_flags = -1, .icmp_type = -1, .in_dev = ""};
	struct fixture f;
	struct prefix v4, v6;
	const char *why;

	(void)state;
	load_match(&f, "{src: \"::/0\"}");
	assert_int_equal(text_prefix("192.0.2.1", &v4, &why), 0);
	assert_int_equal(text_prefix("2001:db8::1", &v6, &why), 0);
	p.src = v4.addr;
	assert_int_equal(rules_match(f.r, &p, NULL, NULL), -1);
	p.family = 6;
	p.src = v6.addr;
	assert_int_equal(rules_match(f.r, &p, NULL, NULL), 0);
	for (size_t i = 0; i < f.r->v[0].literals[0].n; i++) {
		/* taken as plain bits, too */
		struct prefix plain = v4;

		plain.v4 = false;
		assert_false(prefix_contains(&f.r->v[0].literals[0].prefixes[i], &plain));
	}
	unload(&f);
}

static void test_children_before_their_parent(void **state)
{
	struct fixture f;

	(void)state;
	load(&f, "wan", "egress", "",
	     "      - name: office\n        rate: 10mbit\n        match: [{src: 10.0.0.0/8}]\n        classes:\n"
	     "          - {name: voice, rate: 1mbit, match: [{dscp: ef}, {proto: udp, dport: 5060}]}\n"
	     "          - {name: mail, rate: 1mbit, match: [{dport: 25}]}\n"
	     "      - {name: guests, rate: 2mbit, match: [{src: 192.0.2.0/24}]}\n");
	expect_rules(&f, "src=10.0.0.0/8 dscp=46 -> voice\n"
			 "src=10.0.0.0/8 dport=5060 proto=17 -> voice\n"
			 "src=10.0.0.0/8 dport=25 -> mail\n"
			 "src=10.0.0.0/8 -> office\n"
			 "src=192.0.2.0/24 -> guests\n");
	unload(&f);
}

static void test_a_group_without_match(void **state)
{
	struct fixture f;

	(void)state;
	load(&f, "wan", "egress", "",
	     "      - name: group\n        rate: 10mbit\n        classes:\n"
	     "          - {name: voice, rate: 1mbit, match: [{dscp: ef}]}\n"
	     "          - {name: mail, rate: 1mbit, match: [{dport: 25}]}\n");
	expect_rules(&f, "dscp=46 -> voice\ndport=25 -> mail\n");
	unload(&f);
}

static void test_protected_first(void **state)
{
	struct fixture f;

	(void)state;
	load(&f, "wan", "ingress", "settings:\n  protect: [{local-port: 22, proto: tcp}]\n",
	     "      - {name: a, rate: 1mbit, match: [{all: true}]}\n");
	expect_rules(&f, "dport=22 proto=6 -> protected\n-> a\n");
	unload(&f);
}

static void test_never(void **state)
{
	struct fixture f;

	(void)state;
	load(&f, "wan", "egress", "",
	     "      - {name: a, rate: 1mbit, match: [{src: 10.0.0.0/8, dst: \"fd00::/8\"}, {dport: 1}]}\n"
	     "      - {name: b, rate: 1mbit, match: [{proto: icmp, dport: 80}]}\n"
	     "      - name: c\n        rate: 1mbit\n        match: [{src: 10.0.0.0/8}]\n        classes:\n"
	     "          - {name: d, rate: 1mbit, match: [{src: 192.0.2.0/24}]}\n");
	expect_rules(&f, "dport=1 -> a\nsrc=10.0.0.0/8 -> c\n");
	assert_int_equal(f.r->n_never, 3);
	assert_string_equal(f.r->never[0].cls->name, "a");
	assert_string_equal(f.r->never[1].cls->name, "b");
	assert_string_equal(f.r->never[2].cls->name, "d");
	unload(&f);
}

/* 512 fit, 513 do not. */
static void test_too_many_rules(void **state)
{
	(void)state;
	for (unsigned n = RULES_MAX; n <= RULES_MAX + 1; n++) {
		char *body, *match = NULL;
		size_t len = 0;
		FILE *out = open_memstream(&match, &len);
		struct fixture f;

		for (unsigned i = 0; i < n; i++)
			(void)fprintf(out, "%s%u", i ? ", " : "", i + 1);
		(void)fclose(out);
		body = malloc(len + 100);
		(void)snprintf(body, len + 100, "      - {name: a, rate: 1mbit, match: [{mark: [%s]}]}\n", match);
		load(&f, "wan", "egress", "", body);
		assert_int_equal(diag_errors(f.d), n > RULES_MAX);
		if (n > RULES_MAX) {
			assert_string_equal(diag_get(f.d, 0)->id, "too-many-rules");
			assert_non_null(strstr(diag_get(f.d, 0)->text, "513"));
		}
		unload(&f);
		free(body);
		free(match);
	}
}

/* Twelve lists of marks of sixteen values each, all of which must hold: 16^12 conjunctions if nobody stopped. */
static void test_products_are_bounded(void **state)
{
	char body[8192];
	struct fixture f;
	int n = snprintf(body, sizeof(body), "      - {name: a, rate: 1mbit, match: [{dscp: ef");

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		n += snprintf(body + n, sizeof(body) - (size_t)n, ", not: {not: {mark: [");
		for (unsigned j = 0; j < 16; j++)
			n += snprintf(body + n, sizeof(body) - (size_t)n, "%s0x%x/0x%x", j ? ", " : "", 1u << j,
				      1u << j);
		n += snprintf(body + n, sizeof(body) - (size_t)n, "]");
	}
	for (unsigned i = 0; i < 12; i++)
		n += snprintf(body + n, sizeof(body) - (size_t)n, "}}");
	n += snprintf(body + n, sizeof(body) - (size_t)n, "}]}\n");
	assert_in_range(n, 1, sizeof(body) - 1);
	load(&f, "wan", "egress", "", body);
	assert_int_equal(diag_errors(f.d), 1);
	assert_string_equal(diag_get(f.d, 0)->id, "too-many-rules");
	assert_in_range(arena_used(f.a), 1, 64 << 20);
	unload(&f);
}

static void test_implies(void **state)
{
	static const struct {
		const char *narrow, *wide;
		bool implied;
	} cases[] = {
		{"{src: 10.1.0.0/16, proto: tcp}", "{src: 10.0.0.0/8}", true},
		{"{src: 10.0.0.0/8}", "{src: 10.1.0.0/16}", false},
		{"{src: [10.1.0.0/16, 192.0.2.1]}", "{src: [10.0.0.0/8, 192.0.2.0/24]}", true},
		{"{dport: 80}", "{dport: 1-1023}", true},
		{"{dport: 80}", "{not: {dport: 443}}", true},
		{"{not: {dport: 1-1023}}", "{not: {dport: 80}}", true},
		{"{not: {dport: 80}}", "{not: {dport: 1-1023}}", false},
		{"{not: {dport: 80}}", "{dport: 443}", false},
		{"{src: \"@s\"}", "{src: \"@s\"}", true},
		{"{src: \"@s\"}", "{src: 10.0.0.0/8}", false}, /* what is in a set changes */
		{"{src: 10.0.0.0/8}", "{family: ipv4}", true},
		{"{src: 10.0.0.0/8}", "{not: {family: ipv6}}", true},
		{"{mark: 0x13/0xff}", "{mark: 0x10/0xf0}", true},
		{"{mark: 0x10/0xf0}", "{mark: 0x13/0xff}", false},
		{"{proto: tcp}", "{all: true}", true},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct fixture narrow, wide;

		load_match(&narrow, cases[i].narrow);
		load_match(&wide, cases[i].wide);
		if (!strncmp(cases[i].narrow, "{src: \"@s", 9) && !strcmp(cases[i].narrow, cases[i].wide))
			wide.r->v[0].literals[0].set =
				narrow.r->v[0].literals[0].set; /* sets are compared by identity */
		if (rule_implies(&narrow.r->v[0], &wide.r->v[0]) != cases[i].implied)
			fail_msg("%s implies %s: expected %d", cases[i].narrow, cases[i].wide, cases[i].implied);
		unload(&narrow);
		unload(&wide);
	}
}

/* ---- random trees against the tree itself ------------------------------------------------------------------------ */

static uint64_t seed;

static uint32_t roll(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 11) % n;
}

static const char *const prefixes[] = {"10.0.0.0/8",  "10.1.0.0/16", "10.1.2.3",  "192.0.2.0/24", "0.0.0.0/0",
				       "fd00:1::/64", "fd00::/16",   "fd00:1::7", "::/0",         "2001:db8::/32"};
static const char *const hosts[] = {"10.1.2.3",  "10.1.9.9",  "10.200.0.1",  "192.0.2.77",
				    "fd00:1::7", "fd00:2::1", "2001:db8::1", "198.51.100.1"};
static const uint16_t ports[] = {22, 53, 80, 443, 8080, 0, 65535};
static const uint8_t protos[] = {1, 6, 17, 47, 58, 132};
static const char *const devices[] = {"eth1", "eth2", "wg0"};

static struct model_set sets[3] = {{.name = "x"}, {.name = "y"}, {.name = "z"}};
static struct w_service_entry entries[3][3] = {
	{{.proto = 6, .has_ports = true, .lo = 53, .hi = 53}, {.proto = 17, .has_ports = true, .lo = 53, .hi = 53}},
	{{.proto = 6, .has_ports = true, .lo = 80, .hi = 443},
	 {.proto = 132},
	 {.proto = 6, .has_ports = true, .lo = 22, .hi = 22}},
	{{.proto = 1}, {.proto = 58}, {.proto = 17, .has_ports = true, .lo = 8080, .hi = 8080}},
};
static struct model_service services[3] = {
	{.name = "dns", .entries = entries[0], .n = 2},
	{.name = "web", .entries = entries[1], .n = 3},
	{.name = "mix", .entries = entries[2], .n = 3},
};

static struct in6_addr address(const char *text)
{
	struct prefix p;
	const char *why;

	assert_int_equal(text_prefix(text, &p, &why), 0);
	return p.addr;
}

/* Some addresses are in some sets; both evaluations ask here. */
static bool member(void *ctx, const struct model_set *set, const struct in6_addr *addr)
{
	unsigned sum = (unsigned)(set - sets) * 5 + 1;

	(void)ctx;
	for (size_t i = 0; i < 16; i++)
		sum = sum * 31 + addr->s6_addr[i];
	return (sum >> 4) % 3 == 0;
}

static struct match_value random_value(enum match_key key)
{
	struct match_value v = {0};
	const char *why;

	switch (key) {
	case MATCH_LOCAL:
	case MATCH_REMOTE:
	case MATCH_SRC:
	case MATCH_DST:
	case MATCH_HOST:
		v.is_set = roll(3) == 0;
		v.set = &sets[roll(3)];
		if (!v.is_set)
			assert_int_equal(text_prefix(prefixes[roll(COUNT(prefixes))], &v.prefix, &why), 0);
		break;
	case MATCH_SERVICE:
	case MATCH_SERVER:
	case MATCH_CLIENT: v.service = &services[roll(3)]; break;
	case MATCH_LOCAL_PORT:
	case MATCH_REMOTE_PORT:
	case MATCH_SPORT:
	case MATCH_DPORT:
	case MATCH_PORT:
		v.lo = v.hi = ports[roll(COUNT(ports))];
		if (roll(2))
			v.hi = v.lo + (65535 - v.lo) / (1 + roll(20));
		break;
	case MATCH_PROTO: v.lo = v.hi = protos[roll(COUNT(protos))]; break;
	case MATCH_DSCP: v.lo = v.hi = 8 * roll(8); break;
	case MATCH_MARK:
		v.mask = roll(2) ? UINT32_MAX : 3;
		v.value = roll(4);
		break;
	case MATCH_VLAN: v.lo = v.hi = 1 + roll(3); break;
	case MATCH_FAMILY: v.lo = v.hi = roll(2) ? 4 : 6; break;
	case MATCH_LENGTH:
		v.lo = roll(3) * 100;
		v.hi = v.lo + roll(1000);
		break;
	case MATCH_TCP_FLAGS:
		v.mask = 1 + roll(255);
		v.value = v.mask & roll(256);
		break;
	case MATCH_ICMP_TYPE:
		v.icmp4 = roll(4) ? (int)roll(3) : -1;
		v.icmp6 = v.icmp4 < 0 || roll(4) ? (int)roll(3) : -1;
		break;
	case MATCH_IN_DEV: v.name = devices[roll(COUNT(devices))]; break;
	case MATCH_ALL:
	case MATCH_NOT:
	case MATCH_KEYS: break;
	}
	return v;
}

static struct match_item *random_item(struct arena *a, unsigned depth)
{
	struct match_item *item = arena_new_of(a, struct match_item);

	item->pos = (struct pos){1, 1 + roll(1000), 1};
	item->n = 1 + roll(3);
	item->terms = arena_array(a, item->n, sizeof(*item->terms));
	for (size_t i = 0; i < item->n; i++) {
		struct match_term *t = &item->terms[i];

		t->pos = item->pos;
		t->key = roll(MATCH_KEYS);
		if (t->key == MATCH_NOT && depth == 0)
			t->key = MATCH_ALL;
		if (t->key == MATCH_NOT) {
			t->item = random_item(a, depth - 1);
			continue;
		}
		t->n = t->key == MATCH_ALL ? 0 : 1 + roll(3);
		t->values = arena_array(a, t->n, sizeof(*t->values));
		for (size_t j = 0; j < t->n; j++)
			t->values[j] = random_value(t->key);
	}
	return item;
}

static struct match_list random_list(struct arena *a)
{
	struct match_list list = {.pos = {1, 1, 1}, .n = 1 + roll(2)};

	list.items = arena_array(a, list.n, sizeof(*list.items));
	for (size_t i = 0; i < list.n; i++)
		list.items[i] = *random_item(a, 2);
	return list;
}

static struct model_class *random_class(struct arena *a, struct model_class *parent, unsigned depth)
{
	struct model_class *c = arena_new_of(a, struct model_class);

	c->parent = parent;
	c->name = arena_printf(a, "c%u", roll(1000000));
	if (parent && roll(5))
		c->match = random_list(a);
	c->n_children = depth ? roll(4) : 0;
	c->children = arena_array(a, c->n_children, sizeof(*c->children));
	for (size_t i = 0; i < c->n_children; i++)
		c->children[i] = random_class(a, c, depth - 1);
	return c;
}

static struct packet_fields random_packet(void)
{
	struct packet_fields p = {.vlan = -1, .tcp_flags = -1, .icmp_type = -1, .in_dev = ""};

	do {
		p.src = address(hosts[roll(COUNT(hosts))]);
		p.dst = address(hosts[roll(COUNT(hosts))]);
	} while (IN6_IS_ADDR_V4MAPPED(&p.src) != IN6_IS_ADDR_V4MAPPED(&p.dst));
	p.family = IN6_IS_ADDR_V4MAPPED(&p.src) ? 4 : 6;
	p.proto = protos[roll(COUNT(protos))];
	if (p.proto == 6 || p.proto == 17 || p.proto == 132) {
		p.has_ports = roll(5) != 0;
		p.sport = ports[roll(COUNT(ports))];
		p.dport = ports[roll(COUNT(ports))];
	}
	if (p.proto == 6 && p.has_ports)
		p.tcp_flags = (int)roll(256);
	if (p.proto == 1 || p.proto == 58)
		p.icmp_type = (int)roll(4) - 1;
	p.dscp = (uint8_t)(8 * roll(8));
	p.mark = roll(6);
	p.vlan = (int)roll(4) - 1;
	p.length = roll(1300);
	if (roll(2))
		p.in_dev = devices[roll(COUNT(devices))];
	return p;
}

static bool holds_address(const struct match_value *v, const struct in6_addr *addr)
{
	struct prefix host = {.addr = *addr, .bits = 128, .v4 = IN6_IS_ADDR_V4MAPPED(addr)};

	return v->is_set ? member(NULL, v->set, addr) : prefix_contains(&v->prefix, &host);
}

static bool holds_service(const struct model_service *s, const struct packet_fields *p, bool src, bool dst)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct w_service_entry *e = &s->entries[i];

		if (e->proto != p->proto)
			continue;
		if (!e->has_ports)
			return true;
		if (p->has_ports && ((src && p->sport >= e->lo && p->sport <= e->hi) ||
				     (dst && p->dport >= e->lo && p->dport <= e->hi)))
			return true;
	}
	return false;
}

static bool within(const struct match_value *v, bool there, uint32_t value)
{
	return there && value >= v->lo && value <= v->hi;
}

static bool holds_value(enum match_key key, const struct match_value *v, const struct packet_fields *p, bool up)
{
	const struct in6_addr *local = up ? &p->src : &p->dst, *remote = up ? &p->dst : &p->src;
	uint16_t local_port = up ? p->sport : p->dport, remote_port = up ? p->dport : p->sport;

	switch (key) {
	case MATCH_LOCAL: return holds_address(v, local);
	case MATCH_REMOTE: return holds_address(v, remote);
	case MATCH_SRC: return holds_address(v, &p->src);
	case MATCH_DST: return holds_address(v, &p->dst);
	case MATCH_HOST: return holds_address(v, &p->src) || holds_address(v, &p->dst);
	case MATCH_LOCAL_PORT: return within(v, p->has_ports, local_port);
	case MATCH_REMOTE_PORT: return within(v, p->has_ports, remote_port);
	case MATCH_SPORT: return within(v, p->has_ports, p->sport);
	case MATCH_DPORT: return within(v, p->has_ports, p->dport);
	case MATCH_PORT: return within(v, p->has_ports, p->sport) || within(v, p->has_ports, p->dport);
	case MATCH_PROTO: return within(v, true, p->proto);
	case MATCH_SERVICE: return holds_service(v->service, p, true, true);
	case MATCH_SERVER: return holds_service(v->service, p, up, !up);
	case MATCH_CLIENT: return holds_service(v->service, p, !up, up);
	case MATCH_DSCP: return within(v, true, p->dscp);
	case MATCH_MARK: return (p->mark & v->mask) == v->value;
	case MATCH_VLAN: return within(v, p->vlan >= 0, (uint32_t)p->vlan);
	case MATCH_FAMILY: return v->lo == (uint32_t)p->family;
	case MATCH_LENGTH: return within(v, true, p->length);
	case MATCH_TCP_FLAGS: return p->tcp_flags >= 0 && ((uint32_t)p->tcp_flags & v->mask) == v->value;
	case MATCH_ICMP_TYPE:
		return p->icmp_type >= 0 &&
		       ((p->proto == 1 && p->icmp_type == v->icmp4) || (p->proto == 58 && p->icmp_type == v->icmp6));
	case MATCH_IN_DEV: return !strcmp(v->name, p->in_dev);
	case MATCH_ALL:
	case MATCH_NOT:
	case MATCH_KEYS: break;
	}
	return false;
}

static bool holds_item(const struct match_item *item, const struct packet_fields *p, bool up)
{
	for (size_t i = 0; i < item->n; i++) {
		const struct match_term *t = &item->terms[i];
		bool holds = t->key == MATCH_ALL;

		if (t->key == MATCH_NOT)
			holds = !holds_item(t->item, p, up);
		for (size_t j = 0; j < t->n && !holds; j++)
			holds = holds_value(t->key, &t->values[j], p, up);
		if (!holds)
			return false;
	}
	return true;
}

static bool holds_list(const struct match_list *list, const struct packet_fields *p, bool up)
{
	for (size_t i = 0; i < list->n; i++)
		if (holds_item(&list->items[i], p, up))
			return true;
	return false;
}

static const struct model_class *class_of(const struct model_class *c, const struct packet_fields *p, bool up)
{
	if (c->match.n && !holds_list(&c->match, p, up))
		return NULL;
	for (size_t i = 0; i < c->n_children; i++) {
		const struct model_class *found = class_of(c->children[i], p, up);

		if (found)
			return found;
	}
	return c->match.n ? c : NULL;
}

static void test_random_trees(void **state)
{
	const char *given = getenv("QOSD_TEST_SEED");
	uint64_t start = given ? strtoull(given, NULL, 0) : 0x9e3779b97f4a7c15ull;
	size_t compared = 0, matched = 0;

	(void)state;
	seed = start ? start : 1;
	print_message("QOSD_TEST_SEED=%#llx\n", (unsigned long long)seed);
	for (unsigned tree = 0; tree < 1500; tree++) {
		struct arena *a = arena_new();
		struct diag *d = diag_new();
		struct model m = {.arena = a};
		struct model_hook h = {.up = roll(2), .policy = "p", .root = random_class(a, NULL, 1 + roll(3))};
		struct rules *r;

		if (roll(4) == 0)
			m.protect = random_list(a);
		r = rules_build(a, d, &m, &h);
		for (unsigned i = 0; !diag_errors(d) && i < 40; i++) {
			struct packet_fields p = random_packet();
			const struct model_class *expected = NULL;
			bool protected = holds_list(&m.protect, &p, h.up);
			int at = rules_match(r, &p, member, NULL);

			for (size_t c = 0; c < h.root->n_children && !expected && !protected; c++)
				expected = class_of(h.root->children[c], &p, h.up);
			compared++;
			matched += at >= 0;
			if (protected != (at >= 0 && !r->v[at].cls) || expected != (at >= 0 ? r->v[at].cls : NULL))
				fail_msg("tree %u packet %u: expected %s, rule %d is of %s", tree, i,
					 protected  ? "protected"
					 : expected ? expected->name
						    : "nothing",
					 at,
					 at < 0         ? "nothing"
					 : r->v[at].cls ? r->v[at].cls->name
							: "protected");
		}
		diag_free(d);
		arena_free(a);
	}
	print_message("%zu packets, %zu matched\n", compared, matched);
	assert_true(compared > 30000);
	assert_true(matched > compared / 10 && matched < compared * 9 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_neighbour_sharing),
		cmocka_unit_test(test_local_is_the_source_of_upload),
		cmocka_unit_test(test_host_is_two_rules_and_its_opposite_one),
		cmocka_unit_test(test_sets_and_prefixes_of_a_list),
		cmocka_unit_test(test_services_by_protocol),
		cmocka_unit_test(test_a_protocol_comes_with_what_only_it_has),
		cmocka_unit_test(test_not),
		cmocka_unit_test(test_what_is_implied_is_left_out),
		cmocka_unit_test(test_all_of_ipv6_is_not_ipv4),
		cmocka_unit_test(test_children_before_their_parent),
		cmocka_unit_test(test_a_group_without_match),
		cmocka_unit_test(test_protected_first),
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_too_many_rules),
		cmocka_unit_test(test_products_are_bounded),
		cmocka_unit_test(test_implies),
		cmocka_unit_test(test_random_trees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
