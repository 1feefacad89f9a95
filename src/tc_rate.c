/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tc_rate.h"

#include <string.h>

#define NS_PER_S 1000000000ull
/* A table of 256 cells of 8 bytes reaches to 2,047 bytes, tc's default. */
#define CELL_LOG 3

void tc_rate_mult(uint64_t rate_Bps, uint32_t *mult, uint32_t *shift)
{
	uint64_t factor = NS_PER_S;

	for (*shift = 0;; (*shift)++) {
		*mult = (uint32_t)(factor / rate_Bps);
		if (*mult & (1u << 31) || factor & (1ull << 63))
			return;
		factor <<= 1;
	}
}

/* a * b / c without losing the upper bits. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c, uint64_t round)
{
	unsigned __int128 quotient = ((unsigned __int128)a * b + round) / c;

	return quotient > UINT64_MAX ? UINT64_MAX : (uint64_t)quotient;
}

uint64_t tc_rate_burst_ns(uint64_t rate_Bps, uint64_t bytes)
{
	return scale(bytes, NS_PER_S, rate_Bps, 0);
}

uint64_t tc_rate_burst_bytes(uint64_t rate_Bps, uint32_t ticks)
{
	return scale((uint64_t)ticks << TC_RATE_TICK_SHIFT, rate_Bps, NS_PER_S, NS_PER_S / 2);
}

void tc_rate_spec(uint64_t rate_Bps, uint16_t overhead, uint16_t mpu, uint8_t linklayer, struct tc_ratespec *spec,
		  uint32_t table[256])
{
	memset(spec, 0, sizeof(*spec));
	spec->rate = rate_Bps > UINT32_MAX ? UINT32_MAX : (uint32_t)rate_Bps;
	spec->overhead = overhead;
	spec->mpu = mpu;
	spec->linklayer = linklayer;
	spec->cell_log = CELL_LOG;
	spec->cell_align = -1;
	for (unsigned i = 0; i < 256; i++) {
		uint64_t ticks = tc_rate_burst_ns(rate_Bps, (uint64_t)(i + 1) << CELL_LOG) >> TC_RATE_TICK_SHIFT;

		table[i] = ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks;
	}
}
