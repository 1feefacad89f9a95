/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * meter: rates out of counters that are read once a second.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "meter.h"

#define S    1000000000ull
#define MBIT 125000u /* bytes a second */

struct fixture {
	struct meter_clock clock;
	struct meter_ring ring;
	uint64_t now_ns, bytes;
};

/* So many seconds at so many bytes a second. */
static void run(struct fixture *f, unsigned seconds, uint64_t Bps)
{
	for (unsigned i = 0; i < seconds; i++) {
		f->now_ns += S;
		f->bytes += Bps;
		meter_clock_tick(&f->clock, f->now_ns);
		meter_ring_note(&f->ring, &f->clock, f->bytes);
	}
}

static void assert_rates(const struct fixture *f, uint64_t one, uint64_t ten, uint64_t sixty)
{
	uint64_t bps[METER_WINDOWS];

	assert_true(meter_ring_rates(&f->ring, &f->clock, bps));
	assert_int_equal(bps[0], one);
	assert_int_equal(bps[1], ten);
	assert_int_equal(bps[2], sixty);
}

static void test_three_windows(void **state)
{
	struct fixture f = {.bytes = 12345};

	(void)state;
	run(&f, 120, 0);
	run(&f, 1, 10 * MBIT);
	assert_rates(&f, 10000000, 1000000, 10000000 / 51); /* the last sixty begin at a multiple of ten */
	run(&f, 9, 10 * MBIT);
	assert_rates(&f, 10000000, 10000000, 100000000 / 60);
	run(&f, 60, 10 * MBIT);
	assert_rates(&f, 10000000, 10000000, 10000000);
	run(&f, 1, 0);
	assert_rates(&f, 0, 9000000, 10000000ull * 50 / 51);
}

static void test_over_what_there_is(void **state)
{
	uint64_t bps[METER_WINDOWS];
	struct fixture f = {0};

	(void)state;
	for (unsigned start = 1; start <= 25; start++) {
		f = (struct fixture){0};
		for (unsigned i = 1; i < start; i++)
			meter_clock_tick(&f.clock, f.now_ns += S);
		run(&f, 1, 7);
		assert_false(meter_ring_rates(&f.ring, &f.clock, bps));
		for (unsigned n = 1; n <= 130; n++) {
			run(&f, 1, MBIT);
			assert_rates(&f, 1000000, 1000000, 1000000);
		}
	}
}

/* What is remembered of long ago is every tenth: at first that may be a moment ago. */
static void test_the_longest_window_is_no_shorter_than_the_next(void **state)
{
	struct fixture f = {0};

	(void)state;
	run(&f, 1, 0);
	run(&f, 9, 10 * MBIT);
	run(&f, 2, 0);
	assert_rates(&f, 0, 8000000, 8000000);
}

static void test_late_ticks(void **state)
{
	struct fixture f = {0};

	(void)state;
	run(&f, 1, 0);
	f.now_ns += S; /* the next one comes after two seconds */
	run(&f, 1, 4 * MBIT);
	assert_rates(&f, 2000000, 2000000, 2000000);
}

static void test_who_was_away_begins_anew(void **state)
{
	uint64_t bps[METER_WINDOWS];
	struct fixture f = {0};

	(void)state;
	run(&f, 30, MBIT);
	meter_clock_tick(&f.clock, f.now_ns += S);
	assert_false(meter_ring_rates(&f.ring, &f.clock, bps));
	run(&f, 1, MBIT);
	assert_false(meter_ring_rates(&f.ring, &f.clock, bps));
	run(&f, 1, 2 * MBIT);
	assert_rates(&f, 2000000, 2000000, 2000000);
}

static void test_counters_that_begin_anew(void **state)
{
	struct fixture f = {0};

	(void)state;
	run(&f, 30, MBIT);
	f.bytes = 0;
	run(&f, 1, MBIT);
	assert_rates(&f, 0, 0, 0);
	run(&f, 70, MBIT);
	assert_rates(&f, 1000000, 1000000, 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_windows),
		cmocka_unit_test(test_over_what_there_is),
		cmocka_unit_test(test_the_longest_window_is_no_shorter_than_the_next),
		cmocka_unit_test(test_late_ticks),
		cmocka_unit_test(test_who_was_away_begins_anew),
		cmocka_unit_test(test_counters_that_begin_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
