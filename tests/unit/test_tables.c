/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * tables: rules as rows of bits hold for the same packets as the rules do.
 */
#include "tables.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../bpf/random_rules.h"
#include "runs.h"
#include "steps.h"

#define ALL_FIELDS ((1u << FIELDS) - 1)
#define CLASSES    40
#define SETS       3

static struct model_class classes[CLASSES];
static struct model_set sets[SETS];

static int class_number(void *ctx, const struct model_class *c)
{
	(void)ctx;
	return (int)(c - classes);
}

static int set_slot(void *ctx, const struct model_set *s)
{
	(void)ctx;
	return (int)(s - sets) + 5; /* a slot is not an index */
}

static int ifindex(void *ctx, const char *ifname)
{
	(void)ctx;
	return atoi(ifname);
}

static const struct tables_names names = {class_number, set_slot, ifindex, NULL};

static bool in_set(void *ctx, const struct model_set *s, const struct in6_addr *addr)
{
	(void)ctx;
	return random_in_set((uint32_t)(s - sets), addr);
}

static bool in_slot(void *ctx, uint32_t slot, const struct in6_addr *addr)
{
	(void)ctx;
	return random_in_set(slot - 5, addr);
}

struct fixture {
	struct arena *arena;
	struct diag *diag;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	memset(classes, 0, sizeof(classes));
	f->arena = arena_new();
	f->diag = diag_new();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	arena_free(f->arena);
	diag_free(f->diag);
	free(f);
	return 0;
}

static struct in6_addr address(const char *s)
{
	struct in6_addr a;
	char mapped[64];

	if (inet_pton(AF_INET6, s, &a) == 1)
		return a;
	(void)snprintf(mapped, sizeof(mapped), "::ffff:%s", s);
	assert_int_equal(inet_pton(AF_INET6, mapped, &a), 1);
	return a;
}

static struct packet_fields packet(const char *src, const char *dst, uint8_t proto, uint16_t dport)
{
	struct packet_fields p = {.src = address(src),
				  .dst = address(dst),
				  .proto = proto,
				  .has_ports = true,
				  .dport = dport,
				  .length = 100,
				  .vlan = -1,
				  .tcp_flags = -1,
				  .icmp_type = -1,
				  .in_dev = ""};

	p.family = IN6_IS_ADDR_V4MAPPED(&p.src) ? 4 : 6;
	return p;
}

/* The bit of the rule that holds for the packet. */
static int match(const struct tables *t, const struct packet_fields *p, uint32_t from)
{
	uint32_t number;

	return tables_match(t, p, from, 0, in_slot, NULL, &number);
}

static struct prefix prefix(const char *s, uint8_t bits)
{
	struct prefix p = {.addr = address(s), .bits = bits};

	p.v4 = IN6_IS_ADDR_V4MAPPED(&p.addr);
	return p;
}

/* ---- normal use ---- */

static void first_rule_that_holds_wins(void **state)
{
	struct fixture *f = *state;
	struct prefix lan = prefix("10.0.0.0", 104);
	struct range https = {443, 443};
	struct literal to_lan = {.field = FIELD_DST, .prefixes = &lan, .n = 1},
		       web = {.field = FIELD_DPORT, .ranges = &https, .n = 1};
	struct rule v[] = {{.cls = &classes[1], .literals = &web, .n = 1},
			   {.cls = &classes[2], .literals = &to_lan, .n = 1}};
	struct rules r = {.v = v, .n = 2};
	struct tables *t = tables_build(f->arena, f->diag, &r, &names);
	struct packet_fields both = packet("1.1.1.1", "10.0.0.1", IPPROTO_TCP, 443),
			     lan_only = packet("1.1.1.1", "10.0.0.1", IPPROTO_TCP, 80),
			     none = packet("1.1.1.1", "11.0.0.1", IPPROTO_TCP, 80);

	assert_int_equal(match(t, &both, 0), 0);
	assert_int_equal(match(t, &both, 1), 1);
	assert_int_equal(match(t, &lan_only, 0), 1);
	assert_int_equal(match(t, &none, 0), -1);
	assert_int_equal(t->rules[0].class_number, 1);
	assert_int_equal(t->rules[1].class_number, 2);
	assert_int_equal(t->conf.words, 1);
	assert_int_equal(t->conf.uses, QOSD_USE_DST | QOSD_USE_DST_STEPS | QOSD_USE_DPORT);
	assert_null(t->sport);
	assert_null(t->small);
}

/* ---- edges ---- */

static void same_as_rules_match_on_random_rules(void **state)
{
	struct fixture *f = *state;
	const char *env = getenv("QOSD_SEED");
	uint64_t first = env ? strtoull(env, NULL, 0) : 1, last = env ? first : 150;
	size_t told_by_address = 0;

	for (uint64_t seed = first; seed <= last; seed++) {
		struct random r = {.state = seed * 0x9e3779b97f4a7c15ull};
		size_t n = seed % 10 == 0 ? QOSD_RULES_MAX : 1 + random_below(&r, 100);
		struct rules *rules = random_rules(f->arena, &r, n, ALL_FIELDS, classes, CLASSES, sets, SETS);
		struct tables *t = tables_build(f->arena, f->diag, rules, &names);

		assert_non_null(t);
		assert_int_equal(t->n_rules, runs_bits(rules));
		for (int i = 0; i < 300; i++) {
			struct packet_fields p = random_packet(&r);
			int rule = rules_match(rules, &p, in_set, NULL), want = rule < 0 ? -1 : (int)t->bit[rule];
			uint32_t cls = 0, want_cls = rule < 0 ? 0 : (uint32_t)(rules->v[rule].cls - classes);
			int got = tables_match(t, &p, 0, (uint32_t)atoi(p.in_dev), in_slot, NULL, &cls);

			told_by_address += rule >= 0 && runs_of(rules, (size_t)rule);
			if (got != want || cls != want_cls)
				fail_msg("seed %llu: bit %d of class %u, not %d of %u, for %s",
					 (unsigned long long)seed, got, cls, want, want_cls, packet_fields_text(&p));
		}
	}
	if (!env)
		assert_true(told_by_address > 300);
}

/* ---- runs ---- */

#define CUSTOMERS 10000

/* Customer i has 10.x.y.z of his own and fd00:0:0:i::/64. */
static struct rules *customers(struct arena *a, size_t n, size_t n_classes)
{
	struct rules *r = arena_new_of(a, struct rules);

	r->v = arena_array(a, n, sizeof(*r->v));
	for (size_t i = 0; i < n; i++) {
		struct literal *l = arena_new_of(a, struct literal);

		*l = (struct literal){.field = FIELD_SRC, .prefixes = arena_array(a, 2, sizeof(*l->prefixes)), .n = 2};
		l->prefixes[0] = prefix("10.0.0.0", 128);
		l->prefixes[1] = prefix("fd00::", 64);
		for (int byte = 0; byte < 3; byte++)
			l->prefixes[0].addr.s6_addr[15 - byte] = l->prefixes[1].addr.s6_addr[7 - byte] =
				(uint8_t)(i >> 8 * byte);
		r->v[r->n++] = (struct rule){.cls = &classes[1 + i % n_classes], .literals = l, .n = 1};
	}
	return r;
}

static uint32_t class_of_src(const struct tables *t, const struct in6_addr *src)
{
	struct packet_fields p = packet("10.0.0.0", "1.1.1.1", IPPROTO_TCP, 1);
	uint32_t cls = 0;

	p.src = *src;
	p.family = IN6_IS_ADDR_V4MAPPED(src) ? 4 : 6;
	(void)tables_match(t, &p, 0, 0, in_slot, NULL, &cls);
	return cls;
}

static void ten_thousand_customers_are_one_bit(void **state)
{
	struct fixture *f = *state;
	struct rules *r = customers(f->arena, CUSTOMERS, CLASSES - 1);
	struct tables *t;

	runs_find(f->arena, r);
	assert_int_equal(r->n_runs, 1);
	assert_int_equal(r->runs[0].n, CUSTOMERS);
	t = tables_build(f->arena, f->diag, r, &names);
	assert_non_null(t);
	assert_int_equal(t->n_rules, 1);
	assert_int_equal(t->conf.words, 1);
	assert_int_equal(t->src.n, 2 * CUSTOMERS + 2);
	for (size_t i = 0; i < CUSTOMERS; i += 97)
		for (size_t j = 0; j < 2; j++)
			assert_int_equal(class_of_src(t, &r->v[i].literals->prefixes[j].addr), 1 + i % (CLASSES - 1));
	assert_int_equal(class_of_src(t, &(struct in6_addr){{{0}}}), 0);
}

/* A customer whose address another one has, too, sees nothing of it: the first one wins. */
static void shared_addresses_end_a_run(void **state)
{
	struct fixture *f = *state;
	struct rules *r = customers(f->arena, 39, 39);
	struct tables *t;

	r->v[25].literals->prefixes[0] = prefix("10.0.0.0", 125); /* customers 0 to 7 */
	runs_find(f->arena, r);
	assert_int_equal(r->n_runs, 1);
	assert_int_equal(r->runs[0].first, 8);
	assert_int_equal(r->runs[0].n, 31);
	t = tables_build(f->arena, f->diag, r, &names);
	assert_int_equal(t->n_rules, 9);
	for (size_t i = 0; i < 39; i++)
		if (i != 25)
			assert_int_equal(class_of_src(t, &r->v[i].literals->prefixes[0].addr), 1 + i);
	assert_int_equal(class_of_src(t, &r->v[25].literals->prefixes[0].addr), 1);
	assert_int_equal(class_of_src(t, &r->v[25].literals->prefixes[1].addr), 26);
}

static void what_continues_or_asks_more_has_a_bit_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct rules *r = customers(f->arena, 30, 30);
	struct range web = {443, 443};
	struct literal more[2] = {r->v[20].literals[0], {.field = FIELD_DPORT, .ranges = &web, .n = 1}};

	classes[11].conform = CONFORM_CONTINUE;
	r->v[20].literals = more;
	r->v[20].n = 2;
	runs_find(f->arena, r);
	assert_int_equal(r->n_runs, 1);
	assert_int_equal(r->runs[0].first, 0);
	assert_int_equal(r->runs[0].n, 10);
	assert_int_equal(runs_bits(r), 21);
	assert_int_equal(runs_rule_at(&r->runs[0], &r->v[3].literals->prefixes[1]), 3);
	assert_int_equal(runs_rule_at(&r->runs[0], &r->v[10].literals->prefixes[1]), -1);
}

static void what_stands_around_a_run_keeps_its_place(void **state)
{
	struct fixture *f = *state;
	struct rules *r = customers(f->arena, 22, 22);
	struct prefix some = prefix("10.0.0.8", 125), all = prefix("10.0.0.0", 104);
	struct literal front = {.field = FIELD_SRC, .prefixes = &some, .n = 1, .negated = false},
		       behind = {.field = FIELD_SRC, .prefixes = &all, .n = 1};
	struct range web = {443, 443};
	struct literal both[2] = {front, {.field = FIELD_DPORT, .ranges = &web, .n = 1}};
	struct tables *t;

	r->v[0].literals = both; /* tcp/443 of customers 8 to 15 */
	r->v[0].n = 2;
	r->v[21].literals = &behind;
	runs_find(f->arena, r);
	assert_int_equal(r->runs[0].first, 1);
	assert_int_equal(r->runs[0].n, 20);
	t = tables_build(f->arena, f->diag, r, &names);
	assert_int_equal(t->n_rules, 3);
	for (size_t i = 1; i < 21; i++) {
		struct packet_fields p = packet("10.0.0.0", "1.1.1.1", IPPROTO_TCP, 443);
		uint32_t cls;

		p.src = r->v[i].literals->prefixes[0].addr;
		(void)tables_match(t, &p, 0, 0, in_slot, NULL, &cls);
		assert_int_equal(cls, i >= 8 && i < 16 ? 1 : 1 + i);
		(void)tables_match(t, &p, 1, 0, in_slot, NULL, &cls);
		assert_int_equal(cls, 1 + i);
		(void)tables_match(t, &p, 2, 0, in_slot, NULL, &cls);
		assert_int_equal(cls, 22);
	}
}

static void v6_everything_is_not_v4(void **state)
{
	struct fixture *f = *state;
	struct prefix everything = prefix("::", 0);
	struct literal any_v6 = {.field = FIELD_SRC, .prefixes = &everything, .n = 1};
	struct rule v[] = {{.cls = &classes[1], .literals = &any_v6, .n = 1}};
	struct rules r = {.v = v, .n = 1};
	struct tables *t = tables_build(f->arena, f->diag, &r, &names);
	struct packet_fields v4 = packet("1.1.1.1", "10.0.0.1", IPPROTO_TCP, 443),
			     v6 = packet("fd00::1", "fd00::2", IPPROTO_TCP, 443);

	assert_int_equal(match(t, &v4, 0), -1);
	assert_int_equal(match(t, &v6, 0), 0);
}

static void nested_prefixes_of_one_and_of_many_rules(void **state)
{
	struct fixture *f = *state;
	struct prefix wide[] = {prefix("10.0.0.0", 104), prefix("10.0.0.0", 120), prefix("0.0.0.0", 96)};
	struct prefix narrow = prefix("10.0.0.128", 121);
	struct literal but_narrow[] = {{.field = FIELD_SRC, .prefixes = wide, .n = 2},
				       {.field = FIELD_SRC, .prefixes = &narrow, .n = 1, .negated = true}},
		       any = {.field = FIELD_SRC, .prefixes = &wide[2], .n = 1};
	struct rule v[] = {{.cls = &classes[1], .literals = but_narrow, .n = 2},
			   {.cls = &classes[2], .literals = &any, .n = 1}};
	struct rules r = {.v = v, .n = 2};
	struct tables *t = tables_build(f->arena, f->diag, &r, &names);
	static const struct {
		const char *src;
		int rule;
	} cases[] = {{"10.0.0.127", 0}, {"10.0.0.128", 1}, {"10.0.1.0", 0}, {"11.0.0.1", 1}, {"fd00::1", -1}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packet_fields p = packet(cases[i].src, "1.1.1.1", IPPROTO_TCP, 1);

		assert_int_equal(match(t, &p, 0), cases[i].rule);
	}
}

static void absent_values_satisfy_only_negations(void **state)
{
	struct fixture *f = *state;
	struct range any_port = {0, 65535}, any_vlan = {0, 4095};
	struct literal port = {.field = FIELD_SPORT, .ranges = &any_port, .n = 1},
		       no_vlan = {.field = FIELD_VLAN, .ranges = &any_vlan, .n = 1, .negated = true};
	struct rule v[] = {{.cls = &classes[1], .literals = &port, .n = 1},
			   {.cls = &classes[2], .literals = &no_vlan, .n = 1}};
	struct rules r = {.v = v, .n = 2};
	struct tables *t = tables_build(f->arena, f->diag, &r, &names);
	struct packet_fields p = packet("1.1.1.1", "10.0.0.1", IPPROTO_TCP, 443);

	p.vlan = 4095;
	assert_int_equal(match(t, &p, 0), 0);
	p.has_ports = false;
	assert_int_equal(match(t, &p, 0), -1);
	p.vlan = -1;
	assert_int_equal(match(t, &p, 0), 1);
}

static void an_absent_interface_is_not_where_local_packets_come_from(void **state)
{
	struct fixture *f = *state;
	struct literal gone = {.field = FIELD_IN_DEV, .ifname = "0"};
	struct rule v[] = {{.cls = &classes[1], .literals = &gone, .n = 1}};
	struct rules r = {.v = v, .n = 1};
	struct tables *t = tables_build(f->arena, f->diag, &r, &names);
	struct packet_fields p = packet("1.1.1.1", "10.0.0.1", IPPROTO_TCP, 443);

	assert_int_equal(match(t, &p, 0), -1);
}

static void continue_goes_on_behind_the_last_rule_of_the_class(void **state)
{
	struct fixture *f = *state;
	struct rule v[] = {
		{.cls = NULL}, {.cls = &classes[1]}, {.cls = &classes[2]}, {.cls = &classes[1]}, {.cls = &classes[3]}};
	struct rules r = {.v = v, .n = 5};
	struct tables *t;

	classes[1].conform = CONFORM_CONTINUE;
	t = tables_build(f->arena, f->diag, &r, &names);
	assert_int_equal(t->conf.rounds, 1);
	assert_int_equal(t->rules[0].class_number, 0);
	assert_int_equal(t->rules[1].resume, 4);
	assert_int_equal(t->rules[3].resume, 4);
	assert_int_equal(t->rules[2].resume, 3);
}

static void alike_rules_share_rows(void **state)
{
	struct fixture *f = *state;
	struct range web = {443, 443};
	struct literal to_web = {.field = FIELD_DPORT, .ranges = &web, .n = 1};
	struct rule v[QOSD_RULES_MAX];
	struct rules r = {.v = v, .n = QOSD_RULES_MAX};
	struct tables *t;

	for (size_t i = 0; i < QOSD_RULES_MAX; i++)
		v[i] = (struct rule){.cls = &classes[1], .literals = &to_web, .n = 1};
	t = tables_build(f->arena, f->diag, &r, &names);
	assert_int_equal(t->conf.words, QOSD_WORDS_MAX);
	assert_int_equal(t->rows.n, 2); /* 443, and every other port */
}

static void more_questions_than_atoms_are_told(void **state)
{
	struct fixture *f = *state;
	struct literal marks[QOSD_ATOMS_MAX + 1];
	struct rule v[QOSD_ATOMS_MAX + 1];
	struct rules r = {.v = v, .n = QOSD_ATOMS_MAX};

	for (uint32_t i = 0; i <= QOSD_ATOMS_MAX; i++) {
		marks[i] = (struct literal){.field = FIELD_MARK, .value = i, .mask = 0xff};
		v[i] = (struct rule){.cls = &classes[1], .literals = &marks[i], .n = 1};
	}
	assert_non_null(tables_build(f->arena, f->diag, &r, &names));
	r.n++;
	assert_null(tables_build(f->arena, f->diag, &r, &names));
	assert_int_equal(diag_errors(f->diag), 1);
	assert_string_equal(diag_get(f->diag, 0)->id, "too-many-tests");
}

/* An address more in each of so many networks: the steps end where memory is worth more, and the trie has all. */
static void too_scattered_addresses_are_left_to_the_trie(void **state)
{
	struct fixture *f = *state;
	size_t n = STEPS_MAX + 1;
	struct tables_prefix *v = arena_array(f->arena, n, sizeof(*v));
	struct tables_steps steps = {0};

	v[0].key.prefixlen = 96;
	v[0].key.addr.b[10] = v[0].key.addr.b[11] = 0xff;
	for (size_t i = 1; i < n; i++) {
		v[i].key = v[0].key;
		v[i].key.prefixlen = 128;
		v[i].key.addr.b[12] = 10;
		v[i].key.addr.b[13] = (uint8_t)(i >> 8);
		v[i].key.addr.b[14] = (uint8_t)i;
		v[i].place = (struct qosd_place){7, (uint32_t)i};
	}
	assert_false(steps_build(f->arena, v, n, &steps));
	assert_int_equal(steps.n, 0);
	assert_true(steps_build(f->arena, v, 10001, &steps));
	for (size_t i = 1; i <= 10000; i++) {
		struct in6_addr a;

		memcpy(&a, &v[i].key.addr, sizeof(a));
		assert_int_equal(steps_find(&steps, &a).class_number, i);
		a.s6_addr[15] = 1;
		assert_int_equal(steps_find(&steps, &a).class_number, 0);
	}
}

static void no_rules_at_all(void **state)
{
	struct fixture *f = *state;
	struct rules r = {0};
	struct tables *t = tables_build(f->arena, f->diag, &r, &names);
	struct packet_fields p = packet("1.1.1.1", "10.0.0.1", IPPROTO_TCP, 443);

	assert_int_equal(match(t, &p, 0), -1);
}

static void digest_follows_the_content(void **state)
{
	struct fixture *f = *state;
	uint64_t digest[3];

	for (int i = 0; i < 3; i++) {
		struct random r = {.state = 77};
		struct rules *rules = random_rules(f->arena, &r, 40, ALL_FIELDS, classes, CLASSES, sets, SETS);

		if (i == 2)
			rules->v[7].cls = &classes[rules->v[7].cls == &classes[1] ? 2 : 1];
		digest[i] = tables_digest(tables_build(f->arena, f->diag, rules, &names));
	}
	assert_true(digest[0] == digest[1]);
	assert_true(digest[0] != digest[2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(first_rule_that_holds_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(same_as_rules_match_on_random_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(ten_thousand_customers_are_one_bit, setup, teardown),
		cmocka_unit_test_setup_teardown(shared_addresses_end_a_run, setup, teardown),
		cmocka_unit_test_setup_teardown(what_continues_or_asks_more_has_a_bit_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(what_stands_around_a_run_keeps_its_place, setup, teardown),
		cmocka_unit_test_setup_teardown(v6_everything_is_not_v4, setup, teardown),
		cmocka_unit_test_setup_teardown(nested_prefixes_of_one_and_of_many_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(absent_values_satisfy_only_negations, setup, teardown),
		cmocka_unit_test_setup_teardown(an_absent_interface_is_not_where_local_packets_come_from, setup,
						teardown),
		cmocka_unit_test_setup_teardown(continue_goes_on_behind_the_last_rule_of_the_class, setup, teardown),
		cmocka_unit_test_setup_teardown(alike_rules_share_rows, setup, teardown),
		cmocka_unit_test_setup_teardown(more_questions_than_atoms_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(too_scattered_addresses_are_left_to_the_trie, setup, teardown),
		cmocka_unit_test_setup_teardown(no_rules_at_all, setup, teardown),
		cmocka_unit_test_setup_teardown(digest_follows_the_content, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
