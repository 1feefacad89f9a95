/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * edt: departure times to the nanosecond, what happens at the horizon, when a rate changes, above and below other
 * classes, the mark of congestion, and two CPUs on one clock. Where a test must know what time it is for the program,
 * the clock is so far ahead that the time does not matter.
 */
#include "harness.h"

#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.skel.h"
#include "tc_rate.h"

#define SECOND 1000000000ull
#define AHEAD  (1000 * SECOND) /* the clock, before now */
#define FAR    (1ull << 60)    /* a horizon that nothing reaches */

static struct test_hook h;

static int setup(void **state)
{
	(void)state;
	harness_open(&h);
	h.spec.conf.ingress = 0;
	h.spec.conf.paces = 1;
	return 0;
}

static struct qosd_class_conf edt(uint64_t Bps, uint64_t horizon_ns)
{
	struct qosd_class_conf c = {.kind = QOSD_KIND_EDT, .burst_ns = horizon_ns};

	tc_rate_mult(Bps, &c.mult, &c.shift);
	return c;
}

static struct packet_buf packet_of(size_t n)
{
	return packet_tcp_frame("10.0.0.1", "10.0.0.2", n);
}

static int run(const struct packet_buf *p, struct __sk_buff *ctx)
{
	return harness_run(h.prog, p->b, p->n, ctx, NULL, NULL);
}

/* The stamp of a packet of n bytes that comes without one; it must pass. */
static uint64_t stamp_of(size_t n)
{
	struct packet_buf p = packet_of(n);
	struct __sk_buff ctx = {0};

	assert_int_equal(run(&p, &ctx), TC_ACT_UNSPEC);
	return ctx.tstamp;
}

static void drops(size_t n)
{
	struct packet_buf p = packet_of(n);

	assert_int_equal(run(&p, NULL), TC_ACT_SHOT);
}

static uint64_t cost(const struct qosd_class_conf *c, uint64_t bytes)
{
	return bytes * c->mult >> c->shift;
}

/* ---- departure times ---- */

static void the_first_departs_now_and_the_next_when_it_has_left(void **state)
{
	struct qosd_class_conf c = edt(12500, 10 * SECOND);
	uint64_t before = harness_now(), first, after;

	(void)state;
	harness_load_class(&h, c);
	before = harness_now();
	first = stamp_of(1000);
	after = harness_now();
	assert_in_range(first, before, after);
	assert_int_equal(harness_clock(&h, 1), first + 80000000);
	assert_int_equal(stamp_of(500), first + 80000000);
	assert_int_equal(stamp_of(60), first + 120000000);
	assert_int_equal(harness_clock(&h, 1), first + 124800000);
}

/* A merged packet: wire_len is what its segments take together. */
static struct packet_buf merged(struct __sk_buff *ctx, uint32_t segments)
{
	*ctx = (struct __sk_buff){.gso_size = 1400, .gso_segs = segments, .wire_len = segments * 1454};
	return packet_of(1454);
}

static void departure_times_are_exact_at_every_rate(void **state)
{
	static const uint64_t rates[] = {1000,       12500,       125000,      1250000,   12500000,         125000000,
					 1250000000, 12500000000, 50000000000, 123456789, UINT32_MAX + 1ull};
	static const uint32_t segments[] = {1, 2, 45};

	(void)state;
	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		struct qosd_class_conf c = edt(rates[r], FAR);
		uint64_t at = harness_now() + AHEAD;

		harness_load_class(&h, c);
		harness_set_clock(&h, 1, at);
		for (size_t n = 60; n <= 1514; n += 727) {
			assert_int_equal(stamp_of(n), at);
			at += cost(&c, n);
			assert_int_equal(harness_clock(&h, 1), at);
		}
		for (size_t s = 0; s < sizeof(segments) / sizeof(segments[0]); s++) {
			struct __sk_buff ctx;
			struct packet_buf p = merged(&ctx, segments[s]);
			double exact = segments[s] * 1454e9 / (double)rates[r];

			assert_int_equal(run(&p, &ctx), TC_ACT_UNSPEC);
			assert_int_equal(ctx.tstamp, at);
			assert_true((double)cost(&c, segments[s] * 1454) <= exact);
			assert_true((double)cost(&c, segments[s] * 1454) >= exact * (1 - 1e-8) - 1);
			at += cost(&c, segments[s] * 1454);
			assert_int_equal(harness_clock(&h, 1), at);
		}
	}
}

static void the_link_counts_around_each_segment(void **state)
{
	struct qosd_class_conf c = edt(125000, FAR);
	uint64_t at = harness_now() + AHEAD;
	struct __sk_buff ctx;
	struct packet_buf p = merged(&ctx, 45);

	(void)state;
	h.spec.conf.overhead = 24;
	harness_load_class(&h, c);
	harness_set_clock(&h, 1, at);
	assert_int_equal(run(&p, &ctx), TC_ACT_UNSPEC);
	assert_int_equal(harness_clock(&h, 1), at + 45ull * (1454 + 24) * 8000);
	assert_int_equal(harness_stats(&h, 1).packets, 45);
}

/* ---- the horizon ---- */

static struct harness *skel;
static struct packet_buf any;

static uint64_t book(uint64_t last, uint64_t now, uint64_t costs, uint64_t horizon)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = any.b, .data_size_in = (uint32_t)any.n);

	skel->bss->book_clock.last_ns = last;
	skel->bss->book_now = now;
	skel->bss->book_cost = costs;
	skel->bss->book_horizon = horizon;
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(skel->progs.book), &opts), 0);
	return skel->bss->book_start;
}

static void a_clock_to_the_nanosecond(void **state)
{
	static const struct {
		uint64_t last, now, cost, horizon, start, then;
	} cases[] = {
		{0, 5000, 10, 100, 5000, 5010},          /* never used */
		{4999, 5000, 10, 100, 5000, 5010},       /* idle */
		{5000, 5000, 10, 100, 5000, 5010},       /* just left */
		{5001, 5000, 10, 100, 5001, 5011},       /* busy */
		{5099, 5000, 10, 100, 5099, 5109},       /* the last one within the horizon */
		{5100, 5000, 10, 100, 0, 5100},          /* at the horizon, nothing is booked */
		{5101, 5000, 10, 100, 0, 5101},          /* and behind it */
		{5000, 5000, 100000, 100, 5000, 105000}, /* one that takes longer than the horizon may go */
		{-10ull, 5000, 10, 100, 5000, 5010},     /* taken back from the very beginning */
		{5001, 5000, 0, 1, 0, 5001},             /* the shortest horizon */
		{5000, 5000, 1, 1, 5000, 5001},
		{SECOND, SECOND, 1, 2 * SECOND, SECOND, SECOND + 1},
		{3 * SECOND - 1, SECOND, 1, 2 * SECOND, 3 * SECOND - 1, 3 * SECOND},
		{3 * SECOND, SECOND, 1, 2 * SECOND, 0, 3 * SECOND},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t start = book(cases[i].last, cases[i].now, cases[i].cost, cases[i].horizon);

		if (start != cases[i].start || skel->bss->book_clock.last_ns != cases[i].then)
			fail_msg("case %zu: start %llu, then %llu", i, (unsigned long long)start,
				 (unsigned long long)skel->bss->book_clock.last_ns);
	}
}

static void what_is_taken_back_was_never_booked(void **state)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = any.b, .data_size_in = (uint32_t)any.n);

	(void)state;
	assert_int_equal(book(5050, 5000, 700, 100), 5050);
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(skel->progs.unbook), &opts), 0);
	assert_int_equal(skel->bss->book_clock.last_ns, 5050);
}

static uint64_t book_at(uint64_t slowness, uint64_t last, uint64_t horizon)
{
	skel->bss->book_slowness = slowness;
	return book(last, 5000, 10, horizon);
}

static void a_higher_rate_forgives_what_is_beyond_the_horizon(void **state)
{
	(void)state;
	skel->bss->book_clock.slowness = 0;
	assert_int_equal(book_at(1000, 9000, 100), 0); /* new: no rate to compare with */
	assert_int_equal(book_at(1000, 9000, 100), 0); /* the same */
	assert_int_equal(book_at(2000, 9000, 100), 0); /* a lower one forgives nothing */
	assert_int_equal(skel->bss->book_clock.last_ns, 9000);
	assert_int_equal(book_at(1999, 9000, 100), 5099); /* a higher one: the packet at hand departs */
	assert_int_equal(skel->bss->book_clock.last_ns, 5109);
	assert_int_equal(book_at(1999, 9000, 100), 0); /* once */
	assert_int_equal(book_at(1, 5042, 100), 5042); /* within the horizon: nothing to forgive */
	assert_int_equal(skel->bss->book_clock.slowness, 1);
}

static void beyond_the_horizon_is_dropped_and_counted(void **state)
{
	struct qosd_class_conf c = edt(125000, SECOND);
	uint64_t at;

	(void)state;
	harness_load_class(&h, c);
	at = harness_now() + SECOND + SECOND / 2;
	harness_set_clock(&h, 1, at);
	drops(1000);
	drops(60);
	assert_int_equal(harness_clock(&h, 1), at);
	assert_int_equal(harness_stats(&h, 1).packets, 2);
	assert_int_equal(harness_stats(&h, 1).drop_packets, 2);
	assert_int_equal(harness_stats(&h, 1).drop_bytes, 1060);
	assert_int_equal(harness_stats(&h, 1).horizon_packets, 2);
	assert_int_equal(harness_stats(&h, 1).horizon_bytes, 1060);
	assert_int_equal(harness_stats(&h, 1).delay_ns, 0);
}

/* ---- new rates ---- */

static void a_lower_rate_takes_effect_with_the_next_packet(void **state)
{
	struct qosd_class_conf c = edt(1250000, FAR);
	uint64_t at = harness_now() + AHEAD;

	(void)state;
	harness_load_class(&h, c);
	harness_set_clock(&h, 1, at);
	assert_int_equal(stamp_of(1000), at);
	assert_int_equal(stamp_of(1000), at + 800000);
	c = edt(125000, FAR);
	harness_conf(&h, 1, &c);
	assert_int_equal(stamp_of(1000), at + 1600000); /* what was booked keeps its time */
	assert_int_equal(stamp_of(1000), at + 9600000);
}

/* A minute's debt of the old rate does not outlast it. */
static void a_higher_rate_takes_effect_at_once(void **state)
{
	struct qosd_class_conf c = edt(20, SECOND);
	uint64_t before, stamp;

	(void)state;
	harness_load_class(&h, c);
	assert_true(stamp_of(1200) > 0);
	drops(60);
	c = edt(125000, SECOND);
	harness_conf(&h, 1, &c);
	before = harness_now();
	stamp = stamp_of(60);
	assert_in_range(stamp, before + SECOND - 1, harness_now() + SECOND - 1);
}

static void the_same_conf_again_leaves_the_clock_alone(void **state)
{
	struct qosd_class_conf c = edt(125000, FAR);
	uint64_t at = harness_now() + AHEAD;

	(void)state;
	harness_load_class(&h, c);
	harness_set_clock(&h, 1, at);
	assert_int_equal(stamp_of(1000), at);
	harness_conf(&h, 1, &c);
	harness_load(&h);
	assert_int_equal(stamp_of(1000), at + 8000000);
}

/* ---- classes above ---- */

static void the_latest_departure_of_all_levels_counts(void **state)
{
	struct qosd_class_conf leaf = edt(125000, FAR), middle = {.kind = QOSD_KIND_PASS, .parent = 3},
			       root = edt(1250000, FAR);
	uint64_t at = harness_now() + AHEAD;

	(void)state;
	leaf.parent = 2;
	harness_conf(&h, 2, &middle);
	harness_conf(&h, 3, &root);
	harness_load_class(&h, leaf);
	harness_set_clock(&h, 1, at);
	harness_set_clock(&h, 3, at + 100);
	assert_int_equal(stamp_of(1000), at + 100);
	assert_int_equal(harness_clock(&h, 1), at + 8000000);      /* each by its own clock, */
	assert_int_equal(harness_clock(&h, 3), at + 100 + 800000); /* from now on */
	assert_int_equal(stamp_of(1000), at + 8000000);
	assert_int_equal(harness_clock(&h, 3), at + 100 + 1600000);
}

/* A slow class does not hold up another one under the same root. */
static void a_slow_class_leaves_its_siblings_alone(void **state)
{
	static struct rule two[] = {{.cls = &harness_classes[1]}, {.cls = &harness_classes[2]}};
	struct qosd_class_conf slow = edt(1250, FAR), root = edt(12500000, FAR);
	struct rules r = {.v = two + 1, .n = 1};
	uint64_t before, stamp;

	(void)state;
	slow.parent = root.parent = 0;
	slow.parent = 3;
	harness_conf(&h, 3, &root);
	harness_load_class(&h, slow);
	for (int i = 0; i < 10; i++)
		(void)stamp_of(1250); /* a second each */
	slow = edt(6250000, FAR);
	slow.parent = 3;
	harness_conf(&h, 2, &slow);
	harness_rules(&h, &r);
	before = harness_now();
	stamp = stamp_of(1250);
	assert_in_range(stamp, before, harness_now() + 10 * 100000);
}

static void what_an_ancestor_drops_is_not_booked_below(void **state)
{
	struct qosd_class_conf leaf = edt(125000, FAR), middle = edt(250000, FAR), root = edt(1250000, SECOND);
	uint64_t at = harness_now() + AHEAD;

	(void)state;
	leaf.parent = 2;
	middle.parent = 3;
	harness_conf(&h, 2, &middle);
	harness_conf(&h, 3, &root);
	harness_load_class(&h, leaf);
	harness_set_clock(&h, 1, at + 1);
	harness_set_clock(&h, 2, at + 2);
	harness_set_clock(&h, 3, at + 3);
	drops(1000);
	assert_int_equal(harness_clock(&h, 1), at + 1);
	assert_int_equal(harness_clock(&h, 2), at + 2);
	assert_int_equal(harness_clock(&h, 3), at + 3);
	assert_int_equal(harness_stats(&h, 1).drop_packets, 0);
	assert_int_equal(harness_stats(&h, 3).horizon_packets, 1);
	assert_int_equal(harness_stats(&h, 1).delay_ns, 0);
	assert_int_equal(harness_stats(&h, 1).above_packets, 1);
	assert_int_equal(harness_stats(&h, 2).above_packets, 1);
	assert_int_equal(harness_stats(&h, 3).above_packets, 0);
}

static void eight_levels(void **state)
{
	uint64_t at = harness_now() + AHEAD;

	(void)state;
	for (uint32_t i = 1; i <= QOSD_DEPTH_MAX; i++) {
		struct qosd_class_conf conf = edt(125000, FAR);

		conf.parent = i < QOSD_DEPTH_MAX ? i + 1 : 0;
		harness_conf(&h, i, &conf);
		harness_set_clock(&h, i, at + i);
	}
	harness_all_to_one(&h);
	assert_int_equal(stamp_of(1000), at + QOSD_DEPTH_MAX);
	for (uint32_t i = 1; i <= QOSD_DEPTH_MAX; i++)
		assert_int_equal(harness_clock(&h, i), at + i + 8000000);
}

/* ---- other people's stamps, and none ---- */

static uint64_t restamped(uint64_t theirs)
{
	struct packet_buf p = packet_of(100);
	struct __sk_buff ctx = {.tstamp = theirs};

	assert_int_equal(run(&p, &ctx), TC_ACT_UNSPEC);
	return ctx.tstamp;
}

static void a_later_stamp_of_the_sender_is_kept(void **state)
{
	struct qosd_class_conf c = edt(125000, AHEAD + SECOND);
	uint64_t at = harness_now() + AHEAD;

	(void)state;
	harness_load_class(&h, c);
	harness_set_clock(&h, 1, at);
	assert_int_equal(restamped(at + SECOND / 2), at + SECOND / 2);
	assert_int_equal(harness_clock(&h, 1), at + 800000);
	assert_int_equal(restamped(at), at + 800000); /* an earlier one is not */
	/* One beyond the horizon, as a card's clock has it, is none. */
	assert_int_equal(restamped(at + 10 * SECOND), at + 1600000);
	assert_int_equal(restamped(1700000000ull * SECOND), at + 2400000);
	assert_int_equal(restamped(~0ull), at + 3200000);
}

static void what_no_class_with_a_rate_takes_keeps_its_stamp(void **state)
{
	struct qosd_class_conf c = {.kind = QOSD_KIND_PASS};
	struct packet_buf arp, dhcp;
	struct __sk_buff ctx = {.tstamp = 4711};

	(void)state;
	harness_load_class(&h, c);
	assert_int_equal(restamped(0), 0);
	assert_int_equal(restamped(4711), 4711);
	c = edt(1, 1);
	harness_conf(&h, 1, &c);
	packet_ethernet(&arp, ETH_P_ARP);
	packet_arp(&arp, "10.0.0.1", "10.0.0.2");
	assert_int_equal(run(&arp, &ctx), TC_ACT_UNSPEC);
	assert_int_equal(ctx.tstamp, 4711);
	packet_ip(&dhcp, "10.0.0.1", "10.0.0.2", IPPROTO_UDP);
	packet_udp(&dhcp, 68, 67);
	packet_pad_to(&dhcp, 300);
	ctx = (struct __sk_buff){.tstamp = 4711};
	assert_int_equal(run(&dhcp, &ctx), TC_ACT_UNSPEC);
	assert_int_equal(ctx.tstamp, 4711);
	assert_int_equal(harness_clock(&h, 1), 0);
}

/* ---- the mark of congestion ---- */

/* Only those who said that they understand it (RFC 3168) are marked: ECT(0) 2, ECT(1) 1. */
static unsigned marked(unsigned ecn)
{
	return ecn ? 3 : 0;
}

static void all_codepoints_with_right_checksums(void **state)
{
	struct qosd_class_conf c = edt(125000, FAR);

	(void)state;
	c.ecn_ns = 5000000;
	harness_load_class(&h, c);
	for (unsigned tos = 0; tos < 256; tos++) {
		struct packet_buf p = packet_of(100), p6 = packet_tcp_frame("fd00::1", "fd00::2", 100), out;

		harness_set_clock(&h, 1, harness_now() + AHEAD);
		p.b[p.l3 + 1] = (uint8_t)tos;
		packet_done(&p);
		out = harness_passed(&h, &p, NULL);
		assert_int_equal(out.b[p.l3 + 1], (tos & 0xfc) | marked(tos & 3));
		assert_int_equal(packet_header_sum(out.b + p.l3), 0xffff);
		assert_memory_equal(out.b + p.l3 + 12, p.b + p.l3 + 12, p.n - p.l3 - 12);

		p6.b[p6.l3] = (uint8_t)(0x60 | tos >> 4);
		p6.b[p6.l3 + 1] = (uint8_t)(tos << 4 | 0xa);
		out = harness_passed(&h, &p6, NULL);
		assert_int_equal(out.b[p6.l3], 0x60 | tos >> 4);
		assert_int_equal(out.b[p6.l3 + 1], (uint8_t)(tos << 4 & 0xc0) | marked(tos & 3) << 4 | 0xa);
		assert_memory_equal(out.b + p6.l3 + 2, p6.b + p6.l3 + 2, p6.n - p6.l3 - 2);
	}
	/* What had the mark already was not given it. */
	assert_int_equal(harness_stats(&h, 1).mark_packets, 2 * 128);
	assert_int_equal(harness_stats(&h, 1).mark_bytes, 2 * 128 * 100);
	assert_int_equal(harness_hook_stats(&h).errors, 0);
}

static uint8_t ecn_after(uint64_t wait_ns)
{
	struct packet_buf p = packet_of(100), out;

	p.b[p.l3 + 1] = 2;
	packet_done(&p);
	harness_set_clock(&h, 1, harness_now() + wait_ns);
	out = harness_passed(&h, &p, NULL);
	return out.b[p.l3 + 1];
}

static void only_what_waits_longer_is_marked(void **state)
{
	struct qosd_class_conf c = edt(125000, FAR);

	(void)state;
	c.ecn_ns = SECOND;
	harness_load_class(&h, c);
	assert_int_equal(ecn_after(0), 2);
	assert_int_equal(ecn_after(SECOND), 2); /* a little has passed since */
	assert_int_equal(ecn_after(2 * SECOND), 3);
	assert_int_equal(harness_stats(&h, 1).mark_packets, 1);
	c.ecn_ns = 0;
	harness_conf(&h, 1, &c);
	assert_int_equal(ecn_after(AHEAD), 2);
	assert_int_equal(harness_stats(&h, 1).mark_packets, 1);
}

static void a_mark_and_a_remark_go_together(void **state)
{
	struct qosd_class_conf c = edt(125000, FAR);
	struct packet_buf p = packet_of(100), out;

	(void)state;
	c.ecn_ns = 1;
	c.remark = QOSD_REMARK_DSCP;
	c.remark_dscp = 46;
	harness_load_class(&h, c);
	harness_set_clock(&h, 1, harness_now() + AHEAD);
	p.b[p.l3 + 1] = 8 << 2 | 1;
	packet_done(&p);
	out = harness_passed(&h, &p, NULL);
	assert_int_equal(out.b[p.l3 + 1], 46 << 2 | 3);
	assert_int_equal(packet_header_sum(out.b + p.l3), 0xffff);
}

static void marks_and_delays_count_at_every_level(void **state)
{
	struct qosd_class_conf leaf = edt(125000, FAR), root = edt(1250000, FAR);
	struct packet_buf p = packet_of(100);
	uint64_t before, least;

	(void)state;
	leaf.ecn_ns = root.ecn_ns = 1000;
	leaf.parent = 2;
	harness_conf(&h, 2, &root);
	harness_load_class(&h, leaf);
	p.b[p.l3 + 1] = 1;
	packet_done(&p);
	before = harness_now();
	harness_set_clock(&h, 2, before + AHEAD); /* it waits for the root */
	assert_int_equal(run(&p, NULL), TC_ACT_UNSPEC);
	least = AHEAD - (harness_now() - before);
	for (uint32_t i = 1; i <= 2; i++) {
		assert_in_range(harness_stats(&h, i).delay_ns, least, AHEAD);
		assert_int_equal(harness_stats(&h, i).mark_packets, 1);
		assert_int_equal(harness_stats(&h, i).mark_bytes, 100);
	}
}

/* ---- two CPUs on one clock ---- */

#define SHOTS 20000

static void two_cpus_lose_no_nanosecond(void **state)
{
	struct qosd_class_conf c = edt(125000000, FAR);
	struct packet_buf p = packet_of(1000);
	uint64_t at = harness_now() + AHEAD;

	(void)state;
	harness_load_class(&h, c);
	harness_set_clock(&h, 1, at);
	harness_two_cpus(&h, &p, SHOTS, SECOND / 5);
	assert_int_equal(harness_stats(&h, 1).drop_packets, 0);
	assert_int_equal(harness_clock(&h, 1), at + harness_stats(&h, 1).packets * cost(&c, 1000));
}

/* Sends until the horizon is reached; when that was. */
static uint64_t fill(void)
{
	struct packet_buf p = packet_of(1000);
	uint64_t now;

	do
		now = harness_now();
	while (run(&p, NULL) != TC_ACT_SHOT);
	return now;
}

/* What two CPUs let through together is what the rate allows, within half a percent. The horizon is far and full before
 * they start, so that nobody has to be on time. */
static bool kept_to_the_rate(const struct packet_buf *p, uint64_t Bps, uint64_t horizon)
{
	struct qosd_class_stats before = harness_stats(&h, 1), after;
	uint64_t first, last, sent;
	double allowed;

	harness_set_clock(&h, 1, 0);
	first = stamp_of(1000);
	(void)fill();
	harness_two_cpus(&h, p, SHOTS, 2 * SECOND);
	last = fill();
	after = harness_stats(&h, 1);
	sent = after.bytes - after.drop_bytes - (before.bytes - before.drop_bytes);
	allowed = (double)(last + horizon - first) * (double)Bps / 1e9;
	printf("%.0f bytes allowed, %.4f of them sent\n", allowed, (double)sent / allowed);
	return (double)sent > allowed * 0.995 && (double)sent < allowed * 1.005;
}

static void two_cpus_keep_to_the_rate(void **state)
{
	const uint64_t Bps = 12500000, horizon = SECOND;
	struct packet_buf p = packet_of(1000);
	int tries = 3; /* on a machine that has other work, a program that is preempted may lose a count */

	(void)state;
	harness_load_class(&h, edt(Bps, horizon));
	while (!kept_to_the_rate(&p, Bps, horizon) && --tries)
		;
	assert_true(tries > 0);
}

#define TEST(name) cmocka_unit_test_prestate_setup_teardown(name, setup, harness_teardown, &h)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_departs_now_and_the_next_when_it_has_left),
		TEST(departure_times_are_exact_at_every_rate),
		TEST(the_link_counts_around_each_segment),
		TEST(a_clock_to_the_nanosecond),
		TEST(what_is_taken_back_was_never_booked),
		TEST(a_higher_rate_forgives_what_is_beyond_the_horizon),
		TEST(beyond_the_horizon_is_dropped_and_counted),
		TEST(a_lower_rate_takes_effect_with_the_next_packet),
		TEST(a_higher_rate_takes_effect_at_once),
		TEST(the_same_conf_again_leaves_the_clock_alone),
		TEST(the_latest_departure_of_all_levels_counts),
		TEST(a_slow_class_leaves_its_siblings_alone),
		TEST(what_an_ancestor_drops_is_not_booked_below),
		TEST(eight_levels),
		TEST(a_later_stamp_of_the_sender_is_kept),
		TEST(what_no_class_with_a_rate_takes_keeps_its_stamp),
		TEST(all_codepoints_with_right_checksums),
		TEST(only_what_waits_longer_is_marked),
		TEST(a_mark_and_a_remark_go_together),
		TEST(marks_and_delays_count_at_every_level),
		TEST(two_cpus_lose_no_nanosecond),
		TEST(two_cpus_keep_to_the_rate),
	};
	int failed;

	harness_need_bpf();
	any = packet_of(60);
	skel = harness__open_and_load();
	if (!skel) {
		fprintf(stderr, "cannot load the harness\n");
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	harness__destroy(skel);
	return failed;
}
