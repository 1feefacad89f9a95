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

/* A number that was in use goes to somebody else only when there is no fresh one: its counters are still in the kernel.
 */
static void test_fresh_numbers_first(void **state)
{
	struct handles *h = handles_new();

	(void)state;
	assert_int_equal(handles_get(h, "class", "a", 1, 3), 1);
	assert_int_equal(handles_get(h, "class", "b", 1, 3), 2);
	handles_sweep(h); /* both were asked for */
	assert_int_equal(handles_get(h, "class", "b", 1, 3), 2);
	handles_sweep(h); /* a was not */
	assert_int_equal(handles_find(h, "class", "a"), -ENOENT);
	assert_int_equal(handles_get(h, "class", "c", 1, 3), 3);
	assert_int_equal(handles_get(h, "class", "d", 1, 3), 1);
	assert_int_equal(handles_get(h, "class", "e", 1, 3), -ENOSPC);
	handles_free(h);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_keep_numbers),  cmocka_unit_test(test_fresh_numbers_first),
		cmocka_unit_test(test_copy_is_independent), cmocka_unit_test(test_put),
		cmocka_unit_test(test_survives_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
