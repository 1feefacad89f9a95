/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * kobj_sort against qsort: in order, in a few runs, backwards, and in no order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kobj.h"

#define MANY 1000

static uint64_t seed = 88172645463325252ull;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % n;
}

/* An entry of one of three maps, the key in the kernel's order of bytes. */
static struct kobj entry(uint32_t number)
{
	static const char *const paths[] = {"a", "b", "c"};
	struct kobj o = {.kind = KOBJ_ENTRY, .level = number};

	o.entry.path = paths[number / MANY % 3];
	o.entry.key_size = 4;
	for (size_t i = 0; i < 4; i++)
		o.entry.key[i] = (uint8_t)(number % MANY >> (24 - 8 * i));
	return o;
}

static struct kobj qdisc(uint32_t number)
{
	return (struct kobj){.kind = KOBJ_QDISC, .level = number, .qdisc.ifindex = (int)number};
}

static int by_key(const void *a, const void *b)
{
	return kobj_cmp(a, b);
}

static void assert_sorts(const struct kobj *v, size_t n)
{
	struct kobj *ours = calloc(n + 1, sizeof(*ours)), *theirs = calloc(n + 1, sizeof(*theirs));

	memcpy(ours, v, n * sizeof(*v));
	memcpy(theirs, v, n * sizeof(*v));
	kobj_sort(ours, n);
	qsort(theirs, n, sizeof(*theirs), by_key);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(kobj_cmp(&ours[i], &theirs[i]), 0);
		assert_int_equal(ours[i].level, theirs[i].level); /* glibc's is stable, too */
	}
	free(ours);
	free(theirs);
}

static void sorts_whatever_comes(void **state)
{
	struct kobj v[MANY];

	(void)state;
	for (int round = 0; round < 50; round++) {
		size_t n = rnd(MANY);

		for (size_t i = 0; i < n; i++)
			v[i] = rnd(4) ? entry(rnd(3 * MANY)) : qdisc(rnd(9));
		assert_sorts(v, n);
	}
}

static void sorts_what_is_in_order_and_backwards(void **state)
{
	struct kobj v[MANY];

	(void)state;
	for (uint32_t i = 0; i < MANY; i++)
		v[i] = entry(i);
	assert_sorts(v, MANY);
	for (uint32_t i = 0; i < MANY; i++)
		v[i] = entry(MANY - 1 - i);
	assert_sorts(v, MANY);
}

/* As state and plan make them: each map's entries in order, with others in front of them and behind. */
static void sorts_runs(void **state)
{
	struct kobj v[MANY];

	(void)state;
	for (uint32_t i = 0; i < MANY; i++)
		v[i] = i % 300 == 0 ? qdisc(i) : entry((3 - i / 300) * MANY + i);
	assert_sorts(v, MANY);
}

static void one_and_none(void **state)
{
	struct kobj one = qdisc(1);

	(void)state;
	assert_sorts(&one, 1);
	assert_sorts(&one, 0);
	kobj_sort(NULL, 0);
}

static void of_the_same_key_the_first_stays_first(void **state)
{
	struct kobj v[] = {qdisc(2), qdisc(1), qdisc(2), qdisc(1)};

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		v[i].level = i;
	kobj_sort(v, 4);
	assert_int_equal(v[0].level, 1);
	assert_int_equal(v[1].level, 3);
	assert_int_equal(v[2].level, 0);
	assert_int_equal(v[3].level, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorts_whatever_comes),
		cmocka_unit_test(sorts_what_is_in_order_and_backwards),
		cmocka_unit_test(sorts_runs),
		cmocka_unit_test(one_and_none),
		cmocka_unit_test(of_the_same_key_the_first_stays_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
