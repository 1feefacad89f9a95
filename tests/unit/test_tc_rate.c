/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rates as the kernel keeps them. The expected numbers are what Linux 6.1 and 6.12 give.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tc_rate.h"

#define MBIT 125000ull /* bytes a second */

static void the_factor_is_the_kernels(void **state)
{
	static const struct {
		uint64_t rate_Bps;
		uint32_t mult, shift;
	} known[] = {
		/* 1 byte a second: 10^9 doubles twice before its top bit is bit 31. */
		{1, 4000000000u, 2},
		/* 128 kbit: 62,500 ns a byte. */
		{16000, 62500u << 16, 16},
		/* 1 Gbit: 8 ns a byte. */
		{1000 * MBIT, 1u << 31, 28},
		/* 100 Gbit: 0.08 ns a byte; here the 64 bits of the numerator are the limit. */
		{100000 * MBIT, 1374389534u, 34},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		uint32_t mult, shift;

		tc_rate_mult(known[i].rate_Bps, &mult, &shift);
		assert_int_equal(mult, known[i].mult);
		assert_int_equal(shift, known[i].shift);
	}
}

/* The longest packet that the data plane multiplies is 64 KiB, and the sum must stay within 64 bits. */
static void the_factor_is_within_a_millionth_and_never_overflows(void **state)
{
	(void)state;
	for (uint64_t rate = 1; rate < 200000 * MBIT; rate = rate * 17 / 16 + 1) {
		uint32_t mult, shift;
		uint64_t exact = 65535ull * 1000000000ull / rate, ns;

		tc_rate_mult(rate, &mult, &shift);
		assert_true(mult > 0 && shift < 64);
		ns = 65535ull * mult >> shift;
		assert_true(ns <= exact);
		assert_true(exact - ns <= exact / 1000000 + 1);
	}
}

static void a_burst_is_the_time_it_takes(void **state)
{
	(void)state;
	assert_int_equal(tc_rate_burst_ns(16000, 32768), 2048000000);
	assert_int_equal(tc_rate_burst_ns(MBIT, 0), 0);
	/* A terabyte at one byte a second is 31,000 years: more nanoseconds than there are. */
	assert_true(tc_rate_burst_ns(1, 1ull << 40) == UINT64_MAX);
}

static void ticks_are_64_ns_and_lose_less_than_a_tick(void **state)
{
	static const uint64_t rates[] = {1000, 16000, 12500000, 1250000000ull, 12500000000ull};

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		for (uint64_t bytes = 1500; bytes < 1 << 18; bytes = bytes * 5 / 4) {
			uint32_t ticks = (uint32_t)(tc_rate_burst_ns(rates[i], bytes) >> TC_RATE_TICK_SHIFT);
			uint64_t back = tc_rate_burst_bytes(rates[i], ticks);

			assert_true(back <= bytes);
			assert_true(bytes - back <= rates[i] * 64 / 1000000000 + 1);
		}
	}
	/* 15 KiB at 100 Mbit is 19,200 ticks exactly. */
	assert_int_equal(tc_rate_burst_bytes(100 * MBIT, (uint32_t)(tc_rate_burst_ns(100 * MBIT, 15360) >> 6)), 15360);
}

static void the_spec_is_what_the_kernel_insists_on(void **state)
{
	struct tc_ratespec spec;
	uint32_t table[256];

	(void)state;
	tc_rate_spec(16000, 26, 64, TC_LINKLAYER_ATM, &spec, table);
	assert_int_equal(spec.rate, 16000);
	assert_int_equal(spec.overhead, 26);
	assert_int_equal(spec.mpu, 64);
	assert_int_equal(spec.linklayer, TC_LINKLAYER_ATM);
	/* qdisc_get_rtab of net/sched/sch_api.c: 1 <= cell_log < 32. */
	assert_true(spec.cell_log >= 1 && spec.cell_log < 32);
	/* Cell i is for packets of up to (i + 1) << cell_log bytes. */
	assert_int_equal(table[0], 8 * 62500 / 64);
	assert_int_equal(table[255], 2048ull * 62500 / 64);
}

static void a_rate_beyond_32_bits_is_capped_in_the_spec(void **state)
{
	struct tc_ratespec spec;
	uint32_t table[256];

	(void)state;
	tc_rate_spec(UINT32_MAX, 0, 0, TC_LINKLAYER_ETHERNET, &spec, table);
	assert_int_equal(spec.rate, UINT32_MAX);
	tc_rate_spec(1ull << 33, 0, 0, TC_LINKLAYER_ETHERNET, &spec, table);
	assert_int_equal(spec.rate, UINT32_MAX);
	/* So slow that a cell takes longer than the table can say. */
	tc_rate_spec(1, 0, 0, TC_LINKLAYER_ETHERNET, &spec, table);
	assert_int_equal(table[255], UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_factor_is_the_kernels),
		cmocka_unit_test(the_factor_is_within_a_millionth_and_never_overflows),
		cmocka_unit_test(a_burst_is_the_time_it_takes),
		cmocka_unit_test(ticks_are_64_ns_and_lose_less_than_a_tick),
		cmocka_unit_test(the_spec_is_what_the_kernel_insists_on),
		cmocka_unit_test(a_rate_beyond_32_bits_is_capped_in_the_spec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
