/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * elements: live edits of sets, one by one and many at once, over restarts.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "elements.h"

static char path[64];

static int setup(void **state)
{
	(void)snprintf(path, sizeof(path), "/tmp/qosd-elements-%d.json", (int)getpid());
	*state = elements_new(path);
	return 0;
}

static int teardown(void **state)
{
	elements_free(*state);
	(void)unlink(path);
	return 0;
}

static struct prefix prefix(const char *s)
{
	struct prefix p;
	const char *why;

	assert_int_equal(text_prefix(s, &p, &why), 0);
	return p;
}

static int add(struct elements_store *s, const char *set, const char *address, uint64_t up, uint64_t down)
{
	struct prefix p = prefix(address);

	return elements_add(s, set, &p, up, down);
}

static uint64_t up_of(struct elements_store *s, const char *set, const char *address)
{
	struct prefix p = prefix(address);
	const struct plan_live *e = elements_find(s, set, &p);

	return e ? e->up_Bps : UINT64_MAX;
}

static size_t count(struct elements_store *s)
{
	size_t n;

	(void)elements_all(s, &n);
	return n;
}

static void test_one_by_one(void **state)
{
	struct prefix gone = prefix("10.0.0.2");

	assert_int_equal(add(*state, "b", "10.0.0.3", 1, 2), 0);
	assert_int_equal(add(*state, "b", "10.0.0.1", 3, 4), 0);
	assert_int_equal(add(*state, "a", "10.0.0.2", 5, 6), 0);
	assert_int_equal(add(*state, "b", "10.0.0.2", 7, 8), 0);
	assert_int_equal(add(*state, "b", "10.0.0.2", 7, 8), -EEXIST);
	assert_int_equal(add(*state, "b", "10.0.0.2", 7, 9), 0);
	assert_int_equal(up_of(*state, "a", "10.0.0.2"), 5);
	assert_int_equal(up_of(*state, "b", "10.0.0.1"), 3);
	assert_true(up_of(*state, "a", "10.0.0.1") == UINT64_MAX);
	assert_int_equal(elements_del(*state, "b", &gone), 0);
	assert_int_equal(elements_del(*state, "b", &gone), -ENOENT);
	assert_int_equal(up_of(*state, "b", "10.0.0.3"), 1);
	assert_int_equal(count(*state), 3);
}

static void test_many_at_once(void **state)
{
	struct plan_live v[1000];

	for (size_t i = 0; i < 1000; i++) {
		char address[32];

		(void)snprintf(address, sizeof(address), "10.1.%zu.%zu", (999 - i) / 256, (999 - i) % 256);
		v[i] = (struct plan_live){.prefix = prefix(address), .up_Bps = i};
	}
	assert_int_equal(add(*state, "b", "10.1.0.0", 12345, 0), 0);
	assert_int_equal(add(*state, "z", "10.1.0.0", 1, 0), 0);
	elements_add_many(*state, "b", v, 1000);
	assert_int_equal(count(*state), 1001);
	assert_int_equal(up_of(*state, "b", "10.1.0.0"), 999);
	assert_int_equal(up_of(*state, "b", "10.1.3.231"), 0);
	assert_int_equal(up_of(*state, "z", "10.1.0.0"), 1);
	elements_add_many(*state, "b", v, 0);
	assert_int_equal(elements_flush(*state, "b"), 1000);
	assert_int_equal(elements_flush(*state, "b"), 0);
	assert_int_equal(up_of(*state, "z", "10.1.0.0"), 1);
}

static void test_a_copy_is_its_own(void **state)
{
	struct elements_store *copy;

	assert_int_equal(add(*state, "a", "10.0.0.1", 1, 2), 0);
	copy = elements_copy(*state);
	assert_int_equal(elements_flush(*state, "a"), 1);
	assert_int_equal(up_of(copy, "a", "10.0.0.1"), 1);
	elements_free(copy);
}

static void test_over_a_restart(void **state)
{
	struct elements_store *again = elements_new(path);

	assert_int_equal(add(*state, "a", "2001:db8::/56", 1, 2), 0);
	assert_int_equal(add(*state, "a", "10.0.0.1", 0, 0), 0);
	assert_int_equal(elements_save(*state), 0);
	assert_int_equal(elements_load(again), 0);
	assert_int_equal(count(again), 2);
	assert_int_equal(up_of(again, "a", "2001:db8::/56"), 1);
	assert_int_equal(up_of(again, "a", "10.0.0.1"), 0);
	elements_free(again);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_one_by_one),
		TEST(test_many_at_once),
		TEST(test_a_copy_is_its_own),
		TEST(test_over_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
