/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * police: buckets to the byte, what exceeds, remarks, wire bytes. Rates are so slow (a byte in 1.07 s) that nothing
 * trickles into a bucket while a test runs.
 */
#include "harness.h"

#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BYTE_NS (1ull << 30) /* at the rate of these tests */

static struct test_hook h;

/* A class that polices, with so many bytes in its bucket. */
static struct qosd_class_conf police(uint64_t burst_bytes)
{
	return (struct qosd_class_conf){.kind = QOSD_KIND_POLICE, .mult = BYTE_NS, .burst_ns = burst_bytes * BYTE_NS};
}

static struct packet_buf packet_of(size_t n)
{
	return packet_frame("10.0.0.1", "10.0.0.2", n);
}

static int send_packet(const struct packet_buf *p)
{
	return harness_run(h.prog, p->b, p->n, NULL, NULL, NULL);
}

static int send_bytes(size_t n)
{
	struct packet_buf p = packet_of(n);

	return send_packet(&p);
}

#define PASSES(bytes) assert_int_equal(send_bytes(bytes), TC_ACT_UNSPEC)
#define DROPS(bytes)  assert_int_equal(send_bytes(bytes), TC_ACT_SHOT)

/* ---- the bucket ---- */

static void a_bucket_is_exact_to_the_byte(void **state)
{
	uint64_t before, after;

	(void)state;
	harness_load_class(&h, police(1050));
	before = harness_now();
	PASSES(100);
	after = harness_now();
	assert_in_range(harness_clock(&h, 1), before + 100 * BYTE_NS, after + 100 * BYTE_NS);
	for (int i = 1; i < 10; i++)
		PASSES(100);
	DROPS(100);
	DROPS(51);
	PASSES(50);
	DROPS(34);
	assert_in_range(harness_clock(&h, 1), before + 1050 * BYTE_NS, after + 1050 * BYTE_NS);
	assert_int_equal(harness_stats(&h, 1).packets, 14);
	assert_int_equal(harness_stats(&h, 1).bytes, 1000 + 100 + 51 + 50 + 34);
	assert_int_equal(harness_stats(&h, 1).drop_packets, 3);
	assert_int_equal(harness_stats(&h, 1).drop_bytes, 100 + 51 + 34);
}

static void a_bucket_fills_with_time(void **state)
{
	(void)state;
	harness_load_class(&h, police(1000));
	harness_set_clock(&h, 1, harness_now() + 900 * BYTE_NS); /* 100 bytes of room by now, and not yet 101 */
	DROPS(102);
	PASSES(100);
	DROPS(34);
	harness_set_clock(&h, 1, 0); /* long ago: full, and not more than full */
	PASSES(1000);
	DROPS(34);
}

static void a_burst_made_smaller_takes_effect_at_once(void **state)
{
	struct qosd_class_conf conf = police(100);
	uint64_t before;

	(void)state;
	harness_load_class(&h, conf);
	before = harness_now();
	harness_set_clock(&h, 1, before + 100000 * BYTE_NS);
	DROPS(34);
	/* A packet that costs nothing conforms, and leaves the clock where the new burst allows. */
	conf.mult = 0;
	harness_conf(&h, 1, &conf);
	PASSES(34);
	assert_in_range(harness_clock(&h, 1), before + 100 * BYTE_NS, harness_now() + 100 * BYTE_NS);
}

static void a_new_rate_keeps_the_clock(void **state)
{
	struct qosd_class_conf conf = police(1000);
	uint64_t clock;

	(void)state;
	harness_load_class(&h, conf);
	PASSES(600);
	clock = harness_clock(&h, 1);
	conf.burst_ns = 650 * BYTE_NS;
	harness_conf(&h, 1, &conf);
	assert_true(harness_clock(&h, 1) == clock);
	DROPS(51);
	PASSES(50);
}

static void fractions_of_a_nanosecond_are_kept_by_mult_and_shift(void **state)
{
	struct qosd_class_conf conf = {
		.kind = QOSD_KIND_POLICE, .mult = 0xc0000001, .shift = 2, .burst_ns = ~0ull >> 2};
	uint64_t before = harness_now();

	(void)state;
	harness_load_class(&h, conf);
	PASSES(101);
	assert_in_range(harness_clock(&h, 1), before + (101ull * 0xc0000001 >> 2),
			harness_now() + (101ull * 0xc0000001 >> 2));
}

/* Two CPUs on one bucket: what they get together is what one would have got. */
#define SHOTS 1000000

static void two_cpus_lose_nothing(void **state)
{
	struct packet_buf p = packet_of(100);
	struct qosd_class_stats s;

	(void)state;
	harness_load_class(&h, police(100 * SHOTS));
	harness_two_cpus(&h, &p, SHOTS, 0);
	s = harness_stats(&h, 1);
	assert_int_equal(s.packets, 2 * SHOTS);
	/* Who loses the race eight times in a row pays without a look. */
	assert_in_range(s.packets - s.drop_packets, SHOTS, SHOTS + 100);
}

/* ---- classes above ---- */

static void ancestors_must_conform_too(void **state)
{
	struct qosd_class_conf leaf = police(1000), middle = {.kind = QOSD_KIND_PASS, .parent = 3}, root = police(350);

	(void)state;
	leaf.parent = 2;
	harness_conf(&h, 2, &middle);
	harness_conf(&h, 3, &root);
	harness_load_class(&h, leaf);
	PASSES(100);
	PASSES(100);
	PASSES(100);
	DROPS(100); /* by the root; the leaf paid */
	PASSES(50);
	assert_int_equal(harness_stats(&h, 1).packets, 5);
	assert_int_equal(harness_stats(&h, 1).drop_packets, 0);
	assert_int_equal(harness_stats(&h, 2).packets, 5);
	assert_int_equal(harness_stats(&h, 3).drop_packets, 1);
	assert_int_equal(harness_stats(&h, 3).drop_bytes, 100);
	assert_in_range(harness_clock(&h, 1), harness_now() + 449 * BYTE_NS, harness_now() + 450 * BYTE_NS);
}

static void what_a_leaf_drops_does_not_come_to_its_ancestor(void **state)
{
	struct qosd_class_conf leaf = police(100), root = police(1000);

	(void)state;
	leaf.parent = 2;
	harness_conf(&h, 2, &root);
	harness_load_class(&h, leaf);
	PASSES(100);
	DROPS(100);
	assert_int_equal(harness_stats(&h, 2).packets, 1);
	assert_in_range(harness_clock(&h, 2), harness_now() + 99 * BYTE_NS, harness_now() + 100 * BYTE_NS);
}

static void eight_levels(void **state)
{
	(void)state;
	for (uint32_t i = 1; i <= QOSD_DEPTH_MAX; i++) {
		struct qosd_class_conf conf = police(i == QOSD_DEPTH_MAX ? 100 : 1000);

		conf.parent = i < QOSD_DEPTH_MAX ? i + 1 : 0;
		harness_conf(&h, i, &conf);
	}
	harness_all_to_one(&h);
	PASSES(100);
	DROPS(100);
	assert_int_equal(harness_stats(&h, QOSD_DEPTH_MAX).drop_packets, 1);
}

/* ---- over the rate ---- */

static void exceed_pass_only_counts(void **state)
{
	struct qosd_class_conf conf = police(100);

	(void)state;
	conf.exceed = QOSD_EXCEED_PASS;
	harness_load_class(&h, conf);
	PASSES(100);
	PASSES(100);
	assert_int_equal(harness_stats(&h, 1).exceed_packets, 1);
	assert_int_equal(harness_stats(&h, 1).exceed_bytes, 100);
	assert_int_equal(harness_stats(&h, 1).drop_packets, 0);
}

static void an_ancestor_still_drops_what_a_leaf_lets_exceed(void **state)
{
	struct qosd_class_conf leaf = police(100), root = police(200);

	(void)state;
	leaf.exceed = QOSD_EXCEED_PASS;
	leaf.parent = 2;
	harness_conf(&h, 2, &root);
	harness_load_class(&h, leaf);
	PASSES(100);
	PASSES(100);
	DROPS(100);
}

static void too_big_a_packet_exceeds_and_costs_nothing(void **state)
{
	struct qosd_class_conf conf = police(1000);

	(void)state;
	conf.mtu = 100;
	harness_load_class(&h, conf);
	DROPS(101);
	PASSES(100);
	assert_in_range(harness_clock(&h, 1), harness_now() + 99 * BYTE_NS, harness_now() + 100 * BYTE_NS);
}

static void remarks_dscp_and_keeps_ecn_and_checksum(void **state)
{
	struct qosd_class_conf conf = {.kind = QOSD_KIND_PASS, .remark = QOSD_REMARK_DSCP};

	(void)state;
	for (unsigned tos = 0; tos < 256; tos++) {
		struct packet_buf p = packet_of(60), p6 = packet_frame("fd00::1", "fd00::2", 74), out;

		conf.remark_dscp = (uint8_t)(tos * 7 % 64);
		if (tos == 0)
			harness_load_class(&h, conf);
		harness_conf(&h, 1, &conf);
		p.b[p.l3 + 1] = (uint8_t)tos;
		packet_done(&p);
		out = harness_passed(&h, &p, NULL);
		assert_int_equal(out.b[p.l3 + 1] >> 2, conf.remark_dscp);
		assert_int_equal(out.b[p.l3 + 1] & 3, tos & 3);
		assert_int_equal(packet_header_sum(out.b + p.l3), 0xffff);
		assert_memory_equal(out.b + p.l3 + 12, p.b + p.l3 + 12, p.n - p.l3 - 12);

		p6.b[p6.l3] = (uint8_t)(0x60 | tos >> 4);
		p6.b[p6.l3 + 1] = (uint8_t)(tos << 4 | 0xa);
		out = harness_passed(&h, &p6, NULL);
		assert_int_equal(out.b[p6.l3], 0x60 | conf.remark_dscp >> 2);
		assert_int_equal(out.b[p6.l3 + 1], (uint8_t)(conf.remark_dscp << 6) | (tos & 3) << 4 | 0xa);
		assert_memory_equal(out.b + p6.l3 + 2, p6.b + p6.l3 + 2, p6.n - p6.l3 - 2);
	}
	assert_int_equal(harness_hook_stats(&h).errors, 0);
}

static void remarks_behind_tags(void **state)
{
	struct qosd_class_conf conf = {.kind = QOSD_KIND_PASS, .remark = QOSD_REMARK_DSCP, .remark_dscp = 46};
	struct packet_buf p, out;

	(void)state;
	harness_load_class(&h, conf);
	packet_ethernet(&p, ETH_P_8021AD);
	packet_vlan(&p, 7, ETH_P_PPP_SES);
	packet_pppoe(&p, 0x21);
	packet_ipv4(&p, "10.0.0.1", "10.0.0.2", IPPROTO_UDP);
	packet_pad_to(&p, 100);
	out = harness_passed(&h, &p, NULL);
	assert_int_equal(out.b[p.l3 + 1], 46 << 2);
	assert_int_equal(packet_header_sum(out.b + p.l3), 0xffff);
}

static void what_exceeds_gets_the_dscp_of_exceeding(void **state)
{
	struct qosd_class_conf conf = police(100);
	struct packet_buf p = packet_of(100), out;

	(void)state;
	conf.exceed = QOSD_EXCEED_DSCP;
	conf.exceed_dscp = 8;
	conf.remark = QOSD_REMARK_DSCP;
	conf.remark_dscp = 46;
	harness_load_class(&h, conf);
	out = harness_passed(&h, &p, NULL);
	assert_int_equal(out.b[p.l3 + 1], 46 << 2);
	out = harness_passed(&h, &p, NULL);
	assert_int_equal(out.b[p.l3 + 1], 8 << 2);
	assert_int_equal(packet_header_sum(out.b + p.l3), 0xffff);
	assert_int_equal(harness_stats(&h, 1).exceed_packets, 1);
}

static void marks_under_their_mask(void **state)
{
	struct qosd_class_conf conf = {
		.kind = QOSD_KIND_PASS, .remark = QOSD_REMARK_MARK, .mark = 0x20, .mark_mask = 0xf0};
	struct __sk_buff ctx = {.mark = 0x12345678};
	struct packet_buf p = packet_of(100);

	(void)state;
	harness_load_class(&h, conf);
	(void)harness_passed(&h, &p, &ctx);
	assert_int_equal(ctx.mark, 0x12345628);
}

/* ---- conform: continue ---- */

/* Class i has rule i - 1, and continues where bit i of continues is set. */
static void load_chain(uint32_t n, uint32_t continues)
{
	static struct rule v[HARNESS_CLASSES];
	struct rules r = {.v = v, .n = n};

	for (uint32_t i = 1; i <= n; i++) {
		harness_classes[i].conform = continues >> i & 1 ? CONFORM_CONTINUE : CONFORM_PASS;
		v[i - 1] = (struct rule){.cls = &harness_classes[i]};
	}
	harness_rules(&h, &r);
}

static void what_conforms_continues_to_the_next_class(void **state)
{
	struct qosd_class_conf first = police(1000), second = police(250);

	(void)state;
	first.conform_continue = 1;
	harness_conf(&h, 1, &first);
	harness_conf(&h, 2, &second);
	load_chain(2, 1 << 1);
	PASSES(100);
	PASSES(100);
	DROPS(100); /* by the second */
	assert_int_equal(harness_stats(&h, 1).packets, 3);
	assert_int_equal(harness_stats(&h, 2).drop_packets, 1);
	harness_set_clock(&h, 1, harness_now() + 1000 * BYTE_NS);
	DROPS(34); /* by the first; the second never sees it */
	assert_int_equal(harness_stats(&h, 1).drop_packets, 1);
	assert_int_equal(harness_stats(&h, 2).packets, 3);
}

static void what_exceeds_a_class_does_not_continue(void **state)
{
	struct qosd_class_conf first = police(100), second = police(1000);

	(void)state;
	first.conform_continue = 1;
	first.exceed = QOSD_EXCEED_PASS;
	harness_conf(&h, 1, &first);
	harness_conf(&h, 2, &second);
	load_chain(2, 1 << 1);
	PASSES(100);
	PASSES(100);
	assert_int_equal(harness_stats(&h, 2).packets, 1);
}

static void behind_the_last_rule_there_is_the_default(void **state)
{
	struct qosd_class_conf first = police(1000), dflt = police(100);

	(void)state;
	first.conform_continue = 1;
	h.spec.conf.default_class = 5;
	harness_conf(&h, 1, &first);
	harness_conf(&h, 5, &dflt);
	load_chain(1, 1 << 1);
	PASSES(100);
	DROPS(100);
	assert_int_equal(harness_stats(&h, 5).drop_packets, 1);
}

static void an_ancestor_in_common_is_paid_once(void **state)
{
	struct qosd_class_conf first = police(1000), second = police(1000), third = police(1000), shared = police(200),
			       top = police(10000);

	(void)state;
	first.conform_continue = 1;
	second.conform_continue = 1;
	first.parent = 4; /* 1 and 2 below 4, that and 3 below 5 */
	second.parent = 4;
	third.parent = 5;
	shared.parent = 5;
	harness_conf(&h, 1, &first);
	harness_conf(&h, 2, &second);
	harness_conf(&h, 3, &third);
	harness_conf(&h, 4, &shared);
	harness_conf(&h, 5, &top);
	load_chain(3, 1 << 1 | 1 << 2);
	PASSES(100);
	PASSES(100);
	DROPS(100);
	assert_int_equal(harness_stats(&h, 1).packets, 3);
	assert_int_equal(harness_stats(&h, 2).packets, 2);
	assert_int_equal(harness_stats(&h, 3).packets, 2);
	assert_int_equal(harness_stats(&h, 4).packets, 3);
	assert_int_equal(harness_stats(&h, 4).drop_packets, 1);
	assert_int_equal(harness_stats(&h, 5).packets, 2);
}

static void a_class_is_its_childs_ancestor_and_then_a_class(void **state)
{
	struct qosd_class_conf child = police(1000), parent = police(200);

	(void)state;
	child.conform_continue = 1;
	child.parent = 2;
	harness_conf(&h, 1, &child);
	harness_conf(&h, 2, &parent);
	load_chain(2, 1 << 1);
	PASSES(100);
	PASSES(100);
	DROPS(100);
	assert_int_equal(harness_stats(&h, 2).packets, 3);
}

static void remarks_of_all_classes_on_the_way(void **state)
{
	struct qosd_class_conf first = {.kind = QOSD_KIND_PASS,
					.conform_continue = 1,
					.mark = 1,
					.mark_mask = 0xf,
					.remark_dscp = 1},
			       second = {.kind = QOSD_KIND_PASS, .mark = 0x20, .mark_mask = 0xf0, .remark_dscp = 2};
	struct __sk_buff ctx = {.mark = 0xfff};
	struct packet_buf p = packet_of(100), out;

	(void)state;
	first.remark = second.remark = QOSD_REMARK_MARK | QOSD_REMARK_DSCP;
	harness_conf(&h, 1, &first);
	harness_conf(&h, 2, &second);
	load_chain(2, 1 << 1);
	out = harness_passed(&h, &p, &ctx);
	assert_int_equal(ctx.mark, 0xf21);
	assert_int_equal(out.b[p.l3 + 1] >> 2, 2);
}

static void as_many_continues_as_there_may_be(void **state)
{
	static struct model_class classes[QOSD_CONTINUE_MAX + 1];
	static struct rule v[QOSD_CONTINUE_MAX + 1];
	struct rules r = {.v = v, .n = QOSD_CONTINUE_MAX + 1};
	struct qosd_class_conf on = {.kind = QOSD_KIND_PASS, .conform_continue = 1}, end = police(100);

	(void)state;
	for (int i = 0; i <= QOSD_CONTINUE_MAX; i++) {
		classes[i].conform = CONFORM_CONTINUE;
		v[i].cls = &classes[i];
	}
	h.spec.tables = tables_build(h.arena, h.diag, &r, &harness_names);
	assert_null(h.spec.tables);
	assert_string_equal(diag_get(h.diag, 0)->id, "too-many-continues");

	/* Class numbers are taken from an array of fewer classes here: 32 rules that share two of them in turn. */
	for (int i = 0; i < QOSD_CONTINUE_MAX; i++)
		v[i].cls = &classes[i];
	classes[QOSD_CONTINUE_MAX].conform = CONFORM_PASS;
	h.spec.tables = tables_build(h.arena, h.diag, &r,
				     &(struct tables_names){.class_number = harness_names.class_number,
							    .set_slot = harness_names.set_slot,
							    .ifindex = harness_names.ifindex});
	assert_non_null(h.spec.tables);
	for (int i = 0; i <= QOSD_CONTINUE_MAX; i++)
		h.spec.tables->rules[i].class_number = i < QOSD_CONTINUE_MAX ? 1 + (uint32_t)i % 2 : 3;
	harness_conf(&h, 1, &on);
	harness_conf(&h, 2, &on);
	harness_conf(&h, 3, &end);
	harness_load(&h);
	PASSES(100);
	DROPS(100);
	assert_int_equal(harness_stats(&h, 1).packets, QOSD_CONTINUE_MAX);
	assert_int_equal(harness_stats(&h, 2).packets, QOSD_CONTINUE_MAX);
}

/* ---- bytes on the wire ---- */

static uint64_t bytes_of(const struct packet_buf *p, struct __sk_buff *ctx)
{
	uint64_t before = harness_stats(&h, 1).bytes;

	assert_int_equal(harness_run(h.prog, p->b, p->n, ctx, NULL, NULL), TC_ACT_UNSPEC);
	return harness_stats(&h, 1).bytes - before;
}

static void the_link_wraps_each_packet(void **state)
{
	static const struct {
		int32_t overhead;
		uint32_t mpu, linklayer;
		size_t packet;
		uint64_t bytes;
	} cases[] = {
		{0, 0, QOSD_LINK_ETHERNET, 100, 100},  {24, 0, QOSD_LINK_ETHERNET, 100, 124},
		{-14, 0, QOSD_LINK_ETHERNET, 100, 86}, {24, 84, QOSD_LINK_ETHERNET, 40, 84},
		{24, 84, QOSD_LINK_ETHERNET, 61, 85},  {-200, 0, QOSD_LINK_ETHERNET, 40, 1},
		{0, 0, QOSD_LINK_ATM, 48, 53},         {0, 0, QOSD_LINK_ATM, 49, 106},
		{32, 0, QOSD_LINK_ATM, 64, 106},       {0, 0, QOSD_LINK_PTM, 64, 65},
		{0, 0, QOSD_LINK_PTM, 65, 67},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packet_buf p = packet_of(cases[i].packet);

		h.spec.conf.overhead = cases[i].overhead;
		h.spec.conf.mpu = cases[i].mpu;
		h.spec.conf.linklayer = cases[i].linklayer;
		harness_all_to_one(&h);
		harness_conf(&h, 1, &(struct qosd_class_conf){.kind = QOSD_KIND_PASS});
		if (bytes_of(&p, NULL) != cases[i].bytes)
			fail_msg("case %zu", i);
	}
}

/* Two and a half segments of 1000 bytes with 54 bytes of headers each. */
static struct packet_buf merged(struct __sk_buff *ctx)
{
	*ctx = (struct __sk_buff){.gso_size = 600, .gso_segs = 3, .wire_len = 54 * 3 + 1500};
	return packet_tcp_frame("10.0.0.1", "10.0.0.2", 54 + 1500);
}

static void every_segment_has_headers_on_egress(void **state)
{
	struct __sk_buff ctx;
	struct packet_buf p = merged(&ctx);

	(void)state;
	h.spec.conf.ingress = 0;
	harness_load_class(&h, police(54 * 3 + 1500));
	assert_int_equal(bytes_of(&p, &ctx), 54 * 3 + 1500);
	assert_int_equal(harness_stats(&h, 1).packets, 3);
	DROPS(34);
}

static void every_segment_has_headers_on_ingress(void **state)
{
	struct __sk_buff ctx;
	struct packet_buf p = merged(&ctx);

	(void)state;
	harness_load_class(&h, police(54 * 3 + 1500));
	ctx.wire_len = 0; /* the kernel does not count them there */
	assert_int_equal(bytes_of(&p, &ctx), 54 * 3 + 1500);
	assert_int_equal(harness_stats(&h, 1).packets, 3);
	DROPS(34);
}

static void the_link_wraps_each_segment(void **state)
{
	struct __sk_buff ctx;
	struct packet_buf p = merged(&ctx);

	(void)state;
	h.spec.conf.linklayer = QOSD_LINK_ATM;
	h.spec.conf.overhead = 10;
	harness_load_class(&h, (struct qosd_class_conf){.kind = QOSD_KIND_PASS});
	/* two of 664 are 14 cells each, one of 364 is 8 */
	assert_int_equal(bytes_of(&p, &ctx), (14 + 14 + 8) * 53);
}

static void mtu_is_about_a_segment(void **state)
{
	struct qosd_class_conf conf = police(100000);
	struct __sk_buff ctx;
	struct packet_buf p = merged(&ctx);

	(void)state;
	conf.mtu = 653;
	harness_load_class(&h, conf);
	assert_int_equal(harness_run(h.prog, p.b, p.n, &ctx, NULL, NULL), TC_ACT_SHOT);
	conf.mtu = 654;
	harness_conf(&h, 1, &conf);
	(void)merged(&ctx);
	assert_int_equal(harness_run(h.prog, p.b, p.n, &ctx, NULL, NULL), TC_ACT_UNSPEC);
}

/* From a virtual machine segments come uncounted; SCTP's have many sizes; and a count may be nonsense. */
static void odd_segment_counts(void **state)
{
	static const struct {
		uint32_t gso_size, gso_segs;
		uint64_t packets, bytes;
	} cases[] = {
		{600, 0, 3, 54 * 3 + 1500},
		{0xffff, 3, 3, 54 * 3 + 1500},
		{600, 1, 1, 54 + 1500},
		{600, 1000, 1000, 54 * 1000 + 1500},
		{0xfffe, 65535, 65535, 54 * 65535 + 1500},
	};

	(void)state;
	harness_load_class(&h, (struct qosd_class_conf){.kind = QOSD_KIND_PASS});
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t packets = harness_stats(&h, 1).packets;
		struct __sk_buff ctx;
		struct packet_buf p = merged(&ctx);

		ctx = (struct __sk_buff){.gso_size = cases[i].gso_size, .gso_segs = cases[i].gso_segs};
		assert_int_equal(bytes_of(&p, &ctx), cases[i].bytes);
		assert_int_equal(harness_stats(&h, 1).packets - packets, cases[i].packets);
	}
}

/* ---- fail open ---- */

static void a_class_that_is_not_there_passes(void **state)
{
	struct rule v[] = {{.cls = &harness_classes[1]}};
	struct rules r = {.v = v, .n = 1};

	(void)state;
	h.spec.tables = tables_build(h.arena, h.diag, &r, &harness_names);
	h.spec.tables->rules[0].class_number = HARNESS_CLASSES + 1; /* beyond its maps */
	harness_load(&h);
	PASSES(100);
	assert_int_equal(harness_hook_stats(&h).errors, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_prestate_setup_teardown(f, harness_setup, harness_teardown, &h)
	const struct CMUnitTest tests[] = {
		TEST(a_bucket_is_exact_to_the_byte),
		TEST(a_bucket_fills_with_time),
		TEST(a_burst_made_smaller_takes_effect_at_once),
		TEST(a_new_rate_keeps_the_clock),
		TEST(fractions_of_a_nanosecond_are_kept_by_mult_and_shift),
		TEST(two_cpus_lose_nothing),
		TEST(ancestors_must_conform_too),
		TEST(what_a_leaf_drops_does_not_come_to_its_ancestor),
		TEST(eight_levels),
		TEST(exceed_pass_only_counts),
		TEST(an_ancestor_still_drops_what_a_leaf_lets_exceed),
		TEST(too_big_a_packet_exceeds_and_costs_nothing),
		TEST(remarks_dscp_and_keeps_ecn_and_checksum),
		TEST(remarks_behind_tags),
		TEST(what_exceeds_gets_the_dscp_of_exceeding),
		TEST(marks_under_their_mask),
		TEST(what_conforms_continues_to_the_next_class),
		TEST(what_exceeds_a_class_does_not_continue),
		TEST(behind_the_last_rule_there_is_the_default),
		TEST(an_ancestor_in_common_is_paid_once),
		TEST(a_class_is_its_childs_ancestor_and_then_a_class),
		TEST(remarks_of_all_classes_on_the_way),
		TEST(as_many_continues_as_there_may_be),
		TEST(the_link_wraps_each_packet),
		TEST(every_segment_has_headers_on_egress),
		TEST(every_segment_has_headers_on_ingress),
		TEST(the_link_wraps_each_segment),
		TEST(mtu_is_about_a_segment),
		TEST(odd_segment_counts),
		TEST(a_class_that_is_not_there_passes),
	};

	harness_need_bpf();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
