/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * tc_rate: rates, bursts and times in the units of the kernel's packet schedulers. Rates are bytes a second and never 0
 * here, a tick is 64 ns. Pure.
 */
#ifndef QOSD_TC_RATE_H
#define QOSD_TC_RATE_H

#include <linux/pkt_sched.h>
#include <stdint.h>

#define TC_RATE_TICK_SHIFT 6 /* PSCHED_SHIFT of include/net/pkt_sched.h: ns = ticks << 6 */

/* The factor with which ns = bytes * mult >> shift, to the bit as psched_ratecfg_precompute of net/sched/sch_generic.c.
 */
void tc_rate_mult(uint64_t rate_Bps, uint32_t *mult, uint32_t *shift);

/* How long so many bytes take at the rate, rounded down; UINT64_MAX where it does not fit. */
uint64_t tc_rate_burst_ns(uint64_t rate_Bps, uint64_t bytes);
/* How many bytes fit into so many ticks, to the nearest; UINT64_MAX where it does not fit. */
uint64_t tc_rate_burst_bytes(uint64_t rate_Bps, uint32_t ticks);

/* A rate as the kernel wants it: the spec (rate capped at UINT32_MAX, then a RATE64 attribute is needed) and the table
 * of 256 times in ticks that old schedulers looked up; act_police insists on one and never reads it. */
void tc_rate_spec(uint64_t rate_Bps, uint16_t overhead, uint16_t mpu, uint8_t linklayer, struct tc_ratespec *spec,
		  uint32_t table[256]);

#endif
