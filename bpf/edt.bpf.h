/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * edt: earliest departure times. A clock is one word, the time at which the last packet has left the line; the next one
 * departs then, or now. Nothing is dropped that would wait less than the horizon. fq keeps the packets until their
 * time; on a device without it nothing does.
 */
#ifndef QOSD_EDT_BPF_H
#define QOSD_EDT_BPF_H

#define EDT_TRIES  8
#define EDT_BEYOND 0 /* no packet departs at that time */

/* Books cost (ns of the line) on a clock: when the packet departs, or EDT_BEYOND if it would have to wait for horizon
 * ns; then nothing is booked. Many CPUs on one word: whoever loses the race looks again; after EDT_TRIES it books
 * without looking, so that nothing is lost. A clock that was never used, or went below 0, is in the past. */
static __always_inline __u64 edt_book(__u64 *clock_ns, __u64 now, __u64 cost, __u64 horizon)
{
	__u64 last;

	for (int i = 0; i < EDT_TRIES; i++) {
		__u64 start;

		last = *(volatile __u64 *)clock_ns;
		start = (__s64)(last - now) > 0 ? last : now;
		if (start - now >= horizon)
			return EDT_BEYOND;
		if (__sync_val_compare_and_swap(clock_ns, last, start + cost) == last)
			return start;
	}
	last = __sync_fetch_and_add(clock_ns, cost);
	return (__s64)(last - now) > 0 ? last : now;
}

/* Takes back what edt_book booked, for a packet that does not depart after all. */
static __always_inline void edt_unbook(__u64 *clock_ns, __u64 cost)
{
	__sync_fetch_and_add(clock_ns, -cost);
}

/* The rate has changed if slowness, a number that is lower for a higher rate and never 0, is not what the clock was run
 * at. A higher rate counts at once: what was booked at the lower one holds nobody up for longer than the horizon. */
static __always_inline void edt_follow(struct qosd_class_clock *k, __u64 now, __u64 slowness, __u64 horizon)
{
	__u64 was = *(volatile __u64 *)&k->slowness;

	if (was == slowness || __sync_val_compare_and_swap(&k->slowness, was, slowness) != was)
		return;
	for (int i = 0; i < EDT_TRIES && slowness < was; i++) {
		__u64 last = *(volatile __u64 *)&k->last_ns;

		if ((__s64)(last - now) < (__s64)horizon)
			return;
		if (__sync_val_compare_and_swap(&k->last_ns, last, now + horizon - 1) == last)
			return;
	}
}

/* The stamp that fq goes by. A later one of the sender's own (its pacing) is kept; one beyond the horizon is none of
 * that clock, but a card's, say, that leaked in. may_return: an ifb may give the packet to a socket here, which must
 * not take the stamp for the time at which it arrived; told that it is a departure time, the kernel clears it on the
 * way. */
static __always_inline void edt_stamp(struct __sk_buff *skb, __u64 start, __u64 now, __u64 horizon, int may_return)
{
	__u64 theirs = skb->tstamp;

	if (theirs > start && theirs - now < horizon)
		return;
	if (!may_return || bpf_skb_set_tstamp(skb, start, BPF_SKB_TSTAMP_DELIVERY_MONO))
		skb->tstamp = start;
}

#endif
