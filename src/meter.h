/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * meter: how fast classes and their keys are, over the last second, the last ten and the last sixty. Counters are read
 * once a second and remembered in rings of fixed size; those of keys, of which there may be 100,000, only while
 * somebody looks, and of so many at most.
 */
#ifndef QOSD_METER_H
#define QOSD_METER_H

#include "keys.h"

#define METER_KEYS_MAX  131072u
#define METER_WINDOWS   3
#define METER_SETTLE_MS 2100 /* until there are rates of keys that nobody looked at before */

struct meter;

/* The shaper must outlive it. */
struct meter *meter_new(struct shaper *s);
void meter_free(struct meter *m);
/* Once a second. */
void meter_tick(struct meter *m);
/* Keys are metered too from now on, until a minute after the last call. False: they were not before, so that there is
 * no rate of any in the next two seconds. */
bool meter_watch_keys(struct meter *m);

/* Bits a second over each window, of a class or of a key in it (NULL: of the class). False: nothing is known yet. Where
 * it is known for less than a window, over what there is. */
bool meter_rates(const struct meter *m, const struct plan_hook *h, uint32_t number, const struct qosd_lpm *key,
		 uint64_t bps[METER_WINDOWS]);

/* Pure: how it is told apart and remembered, for tests. */
struct meter_ring {
	uint64_t first, last; /* ticks */
	uint64_t one[11];     /* bytes at the last ticks */
	uint64_t ten[7];      /* at the last ones that are multiples of ten */
};
struct meter_clock {
	uint64_t tick;
	uint64_t one_ns[11], ten_ns[7];
};
/* The next tick, at this time. */
void meter_clock_tick(struct meter_clock *c, uint64_t now_ns);
/* Bytes as they are at this tick. */
void meter_ring_note(struct meter_ring *r, const struct meter_clock *c, uint64_t bytes);
bool meter_ring_rates(const struct meter_ring *r, const struct meter_clock *c, uint64_t bps[METER_WINDOWS]);

#endif
