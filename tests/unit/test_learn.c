/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pure half of learn: who is old, who goes first, what comes back after a reboot.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "learn.h"

#define S 1000000000ull

static struct qosd_addr address(const char *text)
{
	struct qosd_addr a;
	struct prefix p;
	const char *why;

	assert_int_equal(text_prefix(text, &p, &why), 0);
	memcpy(&a, &p.addr, sizeof(a));
	return a;
}

static struct qosd_addr numbered(uint32_t n)
{
	struct qosd_addr a = address("10.0.0.0");

	a.b[13] = (uint8_t)(n >> 16);
	a.b[14] = (uint8_t)(n >> 8);
	a.b[15] = (uint8_t)n;
	return a;
}

/* ---- ages -----------------------------------------------------------------------------------------------------------
 */

static void test_age(void **state)
{
	(void)state;
	assert_true(learn_age_ns(100 * S, 40 * S) == 60 * S);
	assert_true(learn_age_ns(100 * S, 100 * S) == 0);
}

/* Another CPU's packet may carry a stamp from just after our look at the clock. */
static void test_age_of_the_future(void **state)
{
	(void)state;
	assert_true(learn_age_ns(100 * S, 100 * S + 1) == 0);
}

/* 20 s after boot, an address last seen 60 s ago has a stamp below zero. */
static void test_age_from_before_boot(void **state)
{
	(void)state;
	assert_true(learn_age_ns(20 * S, 20 * S - 60 * S) == 60 * S);
	assert_true(learn_age_ns(30 * S, 20 * S - 60 * S) == 70 * S);
}

/* ---- the oldest -----------------------------------------------------------------------------------------------------
 */

static int by_age(const void *a, const void *b)
{
	const struct learn_seen *x = a, *y = b;

	return x->age_ns < y->age_ns ? -1 : x->age_ns > y->age_ns;
}

/* Ages 0..9999 s in a scrambled order: the ten oldest stay, whatever their order was. */
static void test_oldest_of_many(void **state)
{
	struct learn_seen v[10];
	struct learn_oldest o = {.v = v, .room = 10};

	(void)state;
	for (uint32_t i = 0; i < 10000; i++) {
		uint32_t n = i * 7919 % 10000;
		struct qosd_addr a = numbered(n);

		learn_oldest_offer(&o, &a, n * S);
	}
	assert_int_equal(o.n, 10);
	qsort(v, 10, sizeof(v[0]), by_age);
	for (uint32_t i = 0; i < 10; i++) {
		struct qosd_addr a = numbered(9990 + i);

		assert_true(v[i].age_ns == (9990 + i) * S);
		assert_memory_equal(&v[i].addr, &a, sizeof(a));
	}
}

static void test_oldest_of_few(void **state)
{
	struct learn_seen v[10];
	struct learn_oldest o = {.v = v, .room = 10};
	struct qosd_addr a = numbered(1);

	(void)state;
	learn_oldest_offer(&o, &a, 5);
	learn_oldest_offer(&o, &a, 3);
	assert_int_equal(o.n, 2);
	assert_true(v[0].age_ns == 3);
}

static void test_oldest_without_room(void **state)
{
	struct learn_oldest o = {0};
	struct qosd_addr a = numbered(1);

	(void)state;
	learn_oldest_offer(&o, &a, 5);
	assert_int_equal(o.n, 0);
}

/* A flood gets a quarter of the map at once, and a small map lets one in. */
static void test_room_for_newcomers(void **state)
{
	(void)state;
	assert_int_equal(learn_room(3, 1024), 3);
	assert_int_equal(learn_room(1000, 1024), 256);
	assert_int_equal(learn_room(5, 3), 1);
	assert_int_equal(learn_room(0, 1024), 0);
}

/* ---- over a reboot --------------------------------------------------------------------------------------------------
 */

static void test_kept_round_trip(void **state)
{
	struct learn_kept in = {.addr = address("fd00:1::7"),
				.age_ns = 1500000000,
				.known_ns = 90 * S,
				.how = QOSD_HOW_IP | QOSD_HOW_ND,
				.ifname = "neigh0"},
			  out;
	json_t *j = learn_kept_encode(&in);
	char *text = json_dumps(j, JSON_COMPACT);

	(void)state;
	assert_string_equal(text,
			    "{\"address\":\"fd00:1::7\",\"age_ms\":1500,\"known_ms\":90000,\"interface\":\"neigh0\","
			    "\"how\":[\"ip\",\"nd\"]}");
	assert_int_equal(learn_kept_decode(j, &out), 0);
	assert_memory_equal(&in.addr, &out.addr, sizeof(in.addr));
	assert_true(in.age_ns == out.age_ns && in.known_ns == out.known_ns && in.how == out.how);
	assert_string_equal(out.ifname, "neigh0");
	free(text);
	json_decref(j);

	/* Names of interfaces are any bytes; JSON is UTF-8. */
	strcpy(in.ifname, "w\xfcn");
	j = learn_kept_encode(&in);
	assert_int_equal(learn_kept_decode(j, &out), 0);
	assert_string_equal(out.ifname, "w?n");
	json_decref(j);
}

/* JSON with ' for ". */
static json_t *load(const char *text)
{
	char copy[256];

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *c = copy; *c; c++)
		if (*c == '\'')
			*c = '"';
	return json_loads(copy, JSON_DECODE_ANY, NULL);
}

static void test_kept_that_is_damaged(void **state)
{
	static const char *const lines[] = {
		"5",
		"{}",
		"{'address':'10.0.0.0/8','age_ms':1,'known_ms':1,'interface':'','how':[]}",
		"{'address':'no','age_ms':1,'known_ms':1,'interface':'','how':[]}",
		"{'address':'10.0.0.1','age_ms':-1,'known_ms':1,'interface':'','how':[]}",
		"{'address':'10.0.0.1','age_ms':9223372036854775807,'known_ms':1,'interface':'','how':[]}",
		"{'address':'10.0.0.1','age_ms':1.5,'known_ms':1,'interface':'','how':[]}",
		"{'address':'10.0.0.1','age_ms':1,'interface':'','how':[]}",
		"{'address':'10.0.0.1','age_ms':1,'known_ms':1,'how':[]}",
		"{'address':'10.0.0.1','age_ms':1,'known_ms':1,'interface':'sixteen_letters_','how':[]}",
		"{'address':'10.0.0.1','age_ms':1,'known_ms':1,'interface':'','how':['dns']}",
		"{'address':'10.0.0.1','age_ms':1,'known_ms':1,'interface':'','how':[1]}",
		"{'address':'10.0.0.1','age_ms':1,'known_ms':1,'interface':'','how':'ip'}",
		"{'address':'10.0.0.1','age_ms':1,'known_ms':1,'interface':''}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		json_t *j = load(lines[i]);
		struct learn_kept k;

		assert_non_null(j);
		assert_int_equal(learn_kept_decode(j, &k), -EINVAL);
		json_decref(j);
	}
}

/* Selects from (address, age in s) pairs and compares with the addresses expected, in order. */
struct pair {
	const char *address;
	unsigned age_s;
};

static void assert_selected(const struct model_set *set, unsigned elapsed_s, const struct pair *from, size_t n,
			    const char *expected)
{
	json_t *list = json_array();
	struct learn_kept *v;
	char got[512] = "";
	int have;

	for (size_t i = 0; i < n; i++) {
		struct learn_kept k = {
			.addr = address(from[i].address), .age_ns = from[i].age_s * S, .how = QOSD_HOW_IP};

		json_array_append_new(list, learn_kept_encode(&k));
	}
	have = learn_select(list, set, elapsed_s * S, &v);
	for (int i = 0; i < have; i++) {
		struct prefix p = learn_prefix(&v[i].addr);
		char text[TEXT_MAX];

		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s:%u", i ? " " : "",
			 text_format_prefix(text, &p), (unsigned)(v[i].age_ns / S));
	}
	assert_string_equal(got, expected);
	free(v);
	json_decref(list);
}

static const struct pair three[] = {{"10.0.0.1", 30}, {"10.0.0.2", 10}, {"fd00::3", 20}};

/* The ages go on while the router is off. */
static void test_select_ages(void **state)
{
	struct model_set set = {.learn = {.timeout_ns = 60 * S, .max = 10}};

	(void)state;
	assert_selected(&set, 0, three, 3, "10.0.0.2:10 fd00::3:20 10.0.0.1:30");
	assert_selected(&set, 35, three, 3, "10.0.0.2:45 fd00::3:55");
	assert_selected(&set, 1000, three, 3, "");
	set.learn.timeout_ns = 0;
	assert_selected(&set, 1000, three, 3, "10.0.0.2:1010 fd00::3:1020 10.0.0.1:1030");
}

/* max may have been lowered: the youngest stay. */
static void test_select_max(void **state)
{
	struct model_set set = {.learn = {.timeout_ns = 60 * S, .max = 2}};

	(void)state;
	assert_selected(&set, 0, three, 3, "10.0.0.2:10 fd00::3:20");
}

/* The fence may have moved. ::/0 means IPv6 only, though an IPv4 address is kept as ::ffff:a.b.c.d. */
static void test_select_fence(void **state)
{
	struct prefix within[2];
	struct model_set set = {.learn = {.timeout_ns = 60 * S, .max = 10, .within = within, .n_within = 1}};
	const char *why;

	(void)state;
	assert_int_equal(text_prefix("10.0.0.2/31", &within[0], &why), 0);
	assert_selected(&set, 0, three, 3, "10.0.0.2:10");
	assert_int_equal(text_prefix("::/0", &within[0], &why), 0);
	assert_selected(&set, 0, three, 3, "fd00::3:20");
	assert_int_equal(text_prefix("10.0.0.1", &within[1], &why), 0);
	set.learn.n_within = 2;
	assert_selected(&set, 0, three, 3, "fd00::3:20 10.0.0.1:30");
}

/* What the programs would not learn does not come in through the file either. */
static void test_select_unicast(void **state)
{
	static const struct pair odd[] = {{"224.0.0.1", 1}, {"255.255.255.255", 1}, {"127.0.0.1", 1},
					  {"0.0.0.0", 1},   {"ff02::1", 1},         {"::1", 1},
					  {"::", 1},        {"fe80::1", 1},         {"10.0.0.1", 1}};
	struct model_set set = {.learn = {.max = 10}};

	(void)state;
	assert_selected(&set, 0, odd, sizeof(odd) / sizeof(odd[0]), "10.0.0.1:1");
}

static void test_select_damaged(void **state)
{
	struct model_set set = {.learn = {.max = 10}};
	json_t *list = json_pack("[i]", 1);
	struct learn_kept *v;

	(void)state;
	assert_int_equal(learn_select(list, &set, 0, &v), -EINVAL);
	json_decref(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_age),
		cmocka_unit_test(test_age_of_the_future),
		cmocka_unit_test(test_age_from_before_boot),
		cmocka_unit_test(test_oldest_of_many),
		cmocka_unit_test(test_oldest_of_few),
		cmocka_unit_test(test_oldest_without_room),
		cmocka_unit_test(test_room_for_newcomers),
		cmocka_unit_test(test_kept_round_trip),
		cmocka_unit_test(test_kept_that_is_damaged),
		cmocka_unit_test(test_select_ages),
		cmocka_unit_test(test_select_max),
		cmocka_unit_test(test_select_fence),
		cmocka_unit_test(test_select_unicast),
		cmocka_unit_test(test_select_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
