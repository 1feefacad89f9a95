/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "file.h"
#include "handles.h"

/* A name keeps its number, whatever order the names are asked for in. */
static void test_names_keep_numbers(void **state)
{
	struct handles *h = handles_new();

	(void)state;
	assert_int_equal(handles_get(h, "class", "a", 1, 10), 1);
	assert_int_equal(handles_get(h, "class", "b", 1, 10), 2);
	assert_int_equal(handles_get(h, "set", "b", 0, 10), 0);
	assert_int_equal(handles_get(h, "class", "b", 1, 10), 2);
	assert_int_equal(handles_find(h, "class", "a"), 1);
	assert_int_equal(handles_find(h, "class", "c"), -ENOENT);
	handles_free(h);
}

/* A number that nobody has any more is given again, so that numbers do not grow for ever. */
static void test_numbers_come_back(void **state)
{
	struct handles *h = handles_new();

	(void)state;
	assert_int_equal(handles_get(h, "class", "a", 1, 3), 1);
	assert_int_equal(handles_get(h, "class", "b", 1, 3), 2);
	handles_sweep(h); /* both were asked for */
	assert_int_equal(handles_get(h, "class", "b", 1, 3), 2);
	assert_int_equal(handles_get(h, "class", "c", 1, 3), 3); /* a may still be in the kernel */
	handles_sweep(h);                                        /* a was not */
	assert_int_equal(handles_find(h, "class", "a"), -ENOENT);
	assert_int_equal(handles_get(h, "class", "d", 1, 3), 1);
	assert_int_equal(handles_get(h, "class", "e", 1, 3), -ENOSPC);
	handles_free(h);
}

static void test_a_thousand_reloads_need_no_more_numbers(void **state)
{
	struct handles *h = handles_new();
	char name[32];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(handles_get(h, "class", "stays", 1, 1000), 1);
		snprintf(name, sizeof(name), "c%d", i);
		assert_in_range(handles_get(h, "class", name, 1, 1000), 2, 3);
		handles_sweep(h);
	}
	handles_free(h);
}

static void count_new(void *ctx, const char *space, const char *name, uint32_t number)
{
	(void)name;
	assert_string_equal(space, "class");
	*(uint32_t *)ctx += number;
}

static void count_names(void *ctx, const char *name)
{
	(void)name;
	++*(int *)ctx;
}

static void test_a_number_goes_to_another_name(void **state)
{
	char dir[] = "/tmp/test_handles.XXXXXX", path[64];
	struct handles_base base = {{1, 2, 3, 4, 5, 6, 1ull << 40}};
	struct handles *h = handles_new(), *next, *again = handles_new();
	uint32_t sum = 0;
	int unused = 0;

	(void)state;
	assert_int_equal(handles_get(h, "class", "a", 1, 10), 1);
	assert_int_equal(handles_get(h, "class", "b", 1, 10), 2);
	handles_sweep(h);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/handles.json", dir);
	assert_true(handles_changed(h));
	next = handles_copy(h);
	assert_true(handles_changed(next));
	handles_free(next);
	assert_int_equal(handles_save(h, path), 0);
	assert_false(handles_changed(h));
	next = handles_copy(h);
	assert_false(handles_changed(next));
	assert_int_equal(handles_get(next, "class", "b", 1, 10), 2);
	handles_each_unused(next, "class", count_names, &unused);
	assert_int_equal(unused, 1);
	handles_take(next, "class", "a", "c");
	assert_true(handles_changed(next));
	assert_null(handles_base(next, "class", "c"));
	handles_set_base(next, "class", "c", &base);
	handles_each_new(next, count_new, &sum);
	assert_int_equal(sum, 1);
	handles_sweep(next);
	assert_int_equal(handles_find(next, "class", "a"), -ENOENT);
	assert_int_equal(handles_find(next, "class", "c"), 1);
	assert_int_equal(handles_find(h, "class", "a"), 1);
	assert_int_equal(handles_save(next, path), 0);
	assert_int_equal(handles_load(again, path), 0);
	assert_int_equal(handles_find(again, "class", "c"), 1);
	assert_memory_equal(handles_base(again, "class", "c"), &base, sizeof(base));
	assert_null(handles_base(again, "class", "b"));
	assert_false(handles_changed(again));
	unlink(path);
	rmdir(dir);
	handles_free(h);
	handles_free(next);
	handles_free(again);
}

/* Who cannot have all that it needs leaves them to others. */
static void test_what_is_given_back_is_free_at_once_if_it_is_new(void **state)
{
	struct handles *h = handles_new(), *next;

	(void)state;
	assert_int_equal(handles_get(h, "police", "a", 0, 1), 0);
	handles_sweep(h);
	next = handles_copy(h);
	assert_int_equal(handles_get(next, "police", "a", 0, 1), 0);
	assert_int_equal(handles_get(next, "police", "b", 0, 1), 1);
	handles_give_back(next, "police", "a"); /* it may be in the kernel until the sweep */
	handles_give_back(next, "police", "b");
	handles_give_back(next, "police", "nobody");
	assert_int_equal(handles_find(next, "police", "a"), 0);
	assert_int_equal(handles_get(next, "police", "c", 0, 1), 1);
	assert_int_equal(handles_get(next, "police", "d", 0, 1), -ENOSPC);
	handles_sweep(next);
	assert_int_equal(handles_get(next, "police", "d", 0, 1), 0);
	handles_free(h);
	handles_free(next);
}

static void test_copy_is_independent(void **state)
{
	struct handles *h = handles_new(), *copy;

	(void)state;
	handles_get(h, "class", "a", 1, 10);
	copy = handles_copy(h);
	handles_get(copy, "class", "b", 1, 10);
	assert_int_equal(handles_find(h, "class", "b"), -ENOENT);
	assert_int_equal(handles_find(copy, "class", "a"), 1);
	handles_free(h);
	assert_int_equal(handles_find(copy, "class", "b"), 2);
	handles_free(copy);
}

/* Several names may have a number that the caller gave them. */
static void test_put(void **state)
{
	struct handles *h = handles_new();

	(void)state;
	handles_put(h, "shard", "a", 2);
	handles_put(h, "shard", "b", 2);
	handles_sweep(h); /* just put: used */
	handles_put(h, "shard", "a", 3);
	assert_int_equal(handles_find(h, "shard", "a"), 3);
	assert_int_equal(handles_find(h, "shard", "b"), 2);
	handles_sweep(h);
	assert_int_equal(handles_find(h, "shard", "b"), -ENOENT);
	handles_free(h);
}

/* Numbers that will not do are left to others. */
static void test_fit(void **state)
{
	const uint64_t unfit = 0x0080008000800080u; /* 7, 23, 39.. */
	struct handles *h = handles_new(), *next;
	char name[16];

	(void)state;
	for (int i = 1; i <= 6; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		assert_int_equal(handles_get_fit(h, "minor", name, 1, 200, unfit), i);
	}
	assert_int_equal(handles_get_fit(h, "minor", "a", 1, 200, unfit), 8);
	assert_int_equal(handles_get(h, "minor", "b", 1, 200), 7);
	handles_sweep(h); /* all were asked for */
	assert_int_equal(handles_get_fit(h, "minor", "a", 1, 200, unfit), 8);
	assert_int_equal(handles_get_fit(h, "minor", "b", 1, 200, 0), 7);
	assert_int_equal(handles_get_fit(h, "minor", "b", 1, 200, unfit), 9);
	assert_int_equal(handles_get(h, "minor", "b", 1, 200), 9);
	next = handles_copy(h);
	handles_free(h);
	h = next;
	assert_int_equal(handles_get(h, "minor", "c", 1, 200), 7);
	for (int i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		assert_int_equal(handles_get_fit(h, "minor", name, 1, 200, unfit), 10 + i);
	}
	for (int i = 0; i < 120; i++) { /* over words that are full but for those */
		snprintf(name, sizeof(name), "e%d", i);
		assert_int_equal(handles_get_fit(h, "minor", name, 1, 200, unfit) % 16 == 7, 0);
	}
	assert_int_equal(handles_get_fit(h, "minor", "last", 1, handles_find(h, "minor", "e119"), unfit), -ENOSPC);
	assert_int_equal(handles_get(h, "minor", "last", 1, 200), 23);
	handles_free(h);
}

static void test_survives_a_restart(void **state)
{
	char dir[] = "/tmp/test_handles.XXXXXX", path[64];
	struct handles *h = handles_new(), *again = handles_new();
	const char *damaged = "{\"version\": 1, \"spaces\": {\"x\": [1]}}";
	char name[32];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/handles.json", dir);
	assert_int_equal(handles_load(again, path), 0); /* missing: empty */
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "c%d", i * 7 % 500);
		assert_int_equal(handles_get(h, "class wan0-ingress", name, 1, 1000), i + 1);
	}
	assert_int_equal(handles_save(h, path), 0);
	assert_int_equal(handles_load(again, path), 0);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "c%d", i * 7 % 500);
		assert_int_equal(handles_find(again, "class wan0-ingress", name), i + 1);
	}
	assert_int_equal(handles_get(again, "class wan0-ingress", "new", 1, 1000), 501);
	assert_int_equal(file_write(path, damaged, strlen(damaged)), 0);
	assert_int_equal(handles_load(again, path), -EINVAL);
	assert_int_equal(handles_find(again, "class wan0-ingress", "new"), -ENOENT);
	unlink(path);
	rmdir(dir);
	handles_free(h);
	handles_free(again);
}

static int load_text(struct handles *h, const char *text)
{
	char path[] = "/tmp/test_handles.XXXXXX";
	int fd = mkstemp(path), err;

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(file_write(path, text, strlen(text)), 0);
	err = handles_load(h, path);
	unlink(path);
	return err;
}

/* Two classes of one number would be one object twice in a plan. */
static void test_a_file_with_numbers_that_cannot_be_is_damaged(void **state)
{
	struct handles *h = handles_new();

	(void)state;
	assert_int_equal(load_text(h, "{\"version\": 1, \"spaces\": {\"class a\": {\"names\": {\"x\": 3, \"y\": 3}}}}"),
			 -EINVAL);
	assert_int_equal(handles_find(h, "class a", "x"), -ENOENT);
	assert_int_equal(load_text(h, "{\"version\": 1, \"spaces\": {\"class a\": {\"names\": {\"x\": 65536}}}}"),
			 -EINVAL);
	assert_int_equal(load_text(h, "{\"version\": 1, \"spaces\": {\"class a\": {\"names\": {\"x\": 3}}, "
				      "\"minor a\": {\"names\": {\"x\": 3, \"y\": 4}}, "
				      "\"2 shards of a\": {\"names\": {\"x\": 1, \"y\": 1}}}}"),
			 0);
	assert_int_equal(handles_get(h, "minor a", "z", 3, 10), 5);
	handles_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_keep_numbers),
		cmocka_unit_test(test_numbers_come_back),
		cmocka_unit_test(test_a_thousand_reloads_need_no_more_numbers),
		cmocka_unit_test(test_a_number_goes_to_another_name),
		cmocka_unit_test(test_what_is_given_back_is_free_at_once_if_it_is_new),
		cmocka_unit_test(test_copy_is_independent),
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_fit),
		cmocka_unit_test(test_survives_a_restart),
		cmocka_unit_test(test_a_file_with_numbers_that_cannot_be_is_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
