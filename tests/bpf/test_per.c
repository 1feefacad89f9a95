/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * per: every address its own bucket, an element's own rate, keys that share where there is no room, and what is counted
 * for each.
 */
#include "harness.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bpf_map.h"

#define SLOW  1 /* byte a second: nothing trickles into a bucket while a test runs */
#define S     1000000000ull
#define SHOTS 1000000

static struct test_hook h;

/* So many bytes for each source address, in buckets of so many. */
static struct qosd_key_conf keys(uint64_t rate_Bps, uint64_t burst_bytes)
{
	return (struct qosd_key_conf){.rate_Bps = rate_Bps,
				      .burst_bytes = burst_bytes,
				      .kind = QOSD_KIND_POLICE,
				      .side = QOSD_KEY_SRC,
				      .prefix4 = 128,
				      .prefix6 = 128};
}

static void load_class(struct qosd_class_conf c, struct qosd_key_conf conf, uint32_t max)
{
	c.keyed = 1;
	harness_keys(&h, 1, &conf, max);
	harness_load_class(&h, c);
}

static void load(struct qosd_key_conf conf, uint32_t max)
{
	load_class((struct qosd_class_conf){.kind = QOSD_KIND_PASS}, conf, max);
}

static int send_from(const char *from, size_t n)
{
	struct packet_buf p = packet_frame(from, strchr(from, ':') ? "fd00::ffff" : "10.255.255.255", n);

	return harness_run(h.prog, p.b, p.n, NULL, NULL, NULL);
}

static struct harness_key key(const char *prefix)
{
	struct harness_key k;

	if (harness_key(&h, 1, prefix, &k))
		fail_msg("no key %s", prefix);
	return k;
}

static bool has_key(const char *prefix)
{
	struct harness_key k;

	return harness_key(&h, 1, prefix, &k) == 0;
}

#define PASSES(from, bytes) assert_int_equal(send_from(from, bytes), TC_ACT_UNSPEC)
#define DROPS(from, bytes)  assert_int_equal(send_from(from, bytes), TC_ACT_SHOT)

/* ---- keys ---- */

static void every_address_has_a_bucket(void **state)
{
	uint64_t before;

	(void)state;
	load(keys(SLOW, 300), 16);
	before = harness_now();
	PASSES("10.0.0.1", 100);
	assert_in_range(key("10.0.0.1").clock.last_ns, before + 100 * S, harness_now() + 100 * S);
	PASSES("10.0.0.1", 200);
	DROPS("10.0.0.1", 34);
	PASSES("10.0.0.2", 300);
	DROPS("10.0.0.2", 34);
	PASSES("fd00::1", 300);
	DROPS("fd00::1", 54);
	assert_int_equal(key("10.0.0.1").stats.packets, 3);
	assert_int_equal(key("10.0.0.1").stats.bytes, 334);
	assert_int_equal(key("10.0.0.1").stats.drop_packets, 1);
	assert_int_equal(key("10.0.0.1").stats.drop_bytes, 34);
	assert_int_equal(key("fd00::1").stats.drop_packets, 1);
	assert_int_equal(harness_stats(&h, 1).packets, 7);
	assert_int_equal(harness_stats(&h, 1).drop_packets, 3);
	assert_int_equal(harness_hook_stats(&h).errors, 0);
}

static void of_the_end_that_is_asked_for(void **state)
{
	struct qosd_key_conf conf = keys(SLOW, 100);
	struct packet_buf p = packet_frame("10.0.0.1", "10.0.0.9", 100);

	(void)state;
	conf.side = QOSD_KEY_DST;
	load(conf, 16);
	assert_int_equal(harness_run(h.prog, p.b, p.n, NULL, NULL, NULL), TC_ACT_UNSPEC);
	assert_true(has_key("10.0.0.9"));
	assert_false(has_key("10.0.0.1"));
}

static void of_prefixes_of_each_family(void **state)
{
	static const struct {
		uint8_t prefix4, prefix6;
		const char *from, *is;
	} cases[] = {
		{96 + 24, 128, "10.1.2.3", "10.1.2.0/24"},
		{96 + 31, 128, "10.1.2.3", "10.1.2.2/31"},
		{96 + 8, 128, "10.1.2.3", "10.0.0.0/8"},
		{96, 128, "10.1.2.3", "0.0.0.0/0"},
		{128, 56, "fd01:2:3:4567::1", "fd01:2:3:4500::/56"},
		{128, 64, "fd01::1:0:0:1", "fd01::/64"},
		{128, 1, "fd01::1", "8000::/1"},
		{128, 0, "fd01::1", "::/0"},
		{128, 127, "fd01::3", "fd01::2/127"},
		{128, 96, "fd01::1:2:3", "fd01::1:0:0/96"},
	};

	(void)state;
	load(keys(SLOW, 1000), 16);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qosd_key_conf conf = keys(SLOW, 1000);
		uint32_t number = 1;

		conf.prefix4 = cases[i].prefix4;
		conf.prefix6 = cases[i].prefix6;
		assert_int_equal(bpf_map_update_elem(harness_map(&h, "hook/key_conf"), &number, &conf, BPF_ANY), 0);
		PASSES(cases[i].from, 60);
		if (!has_key(cases[i].is))
			fail_msg("no key %s", cases[i].is);
	}
}

static void neighbours_of_a_prefix_share(void **state)
{
	struct qosd_key_conf conf = keys(SLOW, 200);

	(void)state;
	conf.prefix4 = 96 + 24;
	load(conf, 16);
	PASSES("10.1.2.3", 100);
	PASSES("10.1.2.4", 100);
	DROPS("10.1.2.5", 34);
	PASSES("10.1.3.5", 100);
}

static void a_class_may_have_a_rate_of_all_together(void **state)
{
	struct qosd_class_conf c = {
		.kind = QOSD_KIND_POLICE, .mult = 1u << 30, .burst_ns = 250ull << 30}; /* 250 bytes */
	struct qosd_key_conf conf = keys(SLOW, 200);

	(void)state;
	load_class(c, conf, 16);
	PASSES("10.0.0.1", 200);
	DROPS("10.0.0.1", 34); /* its own */
	DROPS("10.0.0.2", 51); /* all together */
	PASSES("10.0.0.3", 50);
	assert_int_equal(key("10.0.0.2").stats.drop_packets, 1); /* whoever drops it */
	assert_int_equal(key("10.0.0.2").stats.drop_bytes, 51);
	assert_int_equal(key("10.0.0.3").stats.drop_packets, 0);
	assert_int_equal(harness_stats(&h, 1).drop_packets, 2);
}

static void what_exceeds_may_pass(void **state)
{
	struct qosd_class_conf c = {.kind = QOSD_KIND_PASS, .exceed = QOSD_EXCEED_PASS};
	struct qosd_key_conf conf = keys(SLOW, 100);

	(void)state;
	load_class(c, conf, 16);
	PASSES("10.0.0.1", 100);
	PASSES("10.0.0.1", 100);
	assert_int_equal(harness_stats(&h, 1).exceed_packets, 1);
	assert_int_equal(key("10.0.0.1").stats.drop_packets, 0);
}

static void without_a_rate_it_is_only_counted(void **state)
{
	uint64_t before = harness_now();

	(void)state;
	load(keys(0, 0), 16);
	for (int i = 0; i < 10; i++)
		PASSES("10.0.0.1", 1000);
	assert_int_equal(key("10.0.0.1").stats.packets, 10);
	assert_in_range(key("10.0.0.1").clock.last_ns, before, harness_now());
}

static void a_burst_is_a_time_and_at_least_a_size(void **state)
{
	struct qosd_key_conf conf = keys(SLOW, 100);

	(void)state;
	conf.burst_ns = 500 * S; /* 500 bytes at this rate */
	load(conf, 16);
	PASSES("10.0.0.1", 500);
	DROPS("10.0.0.1", 34);
}

/* ---- rates of elements ---- */

static void load_with_set(uint64_t rate_Bps, uint32_t n_prefixes)
{
	struct qosd_set_conf set = {.n_prefixes = n_prefixes};
	struct qosd_key_conf conf = keys(rate_Bps, 0);

	conf.burst_ns = 100 * S; /* 100 bytes at one a second */
	conf.set = 1 + 3;
	conf.up = 1;
	harness_set(&h, 3, &set, 0);
	load(conf, 16);
}

static void an_elements_own_rate_wins(void **state)
{
	(void)state;
	load_with_set(1, 0);
	harness_written(&h, 3, "10.0.0.2", 3, 7);
	harness_written(&h, 3, "10.0.0.3", 0, 7);
	PASSES("10.0.0.1", 100);
	DROPS("10.0.0.1", 34);
	PASSES("10.0.0.2", 300);
	DROPS("10.0.0.2", 34);
	PASSES("10.0.0.3", 100); /* no rate of its own in this direction */
	DROPS("10.0.0.3", 34);
}

static void and_acts_at_once(void **state)
{
	(void)state;
	load_with_set(1, 0);
	harness_written(&h, 3, "10.0.0.2", 1, 0);
	PASSES("10.0.0.2", 100);
	DROPS("10.0.0.2", 34);
	harness_written(&h, 3, "10.0.0.2", 1000, 0); /* what is owed is 100 s still, and no more: see below */
	DROPS("10.0.0.2", 34);
	harness_written(&h, 3, "10.0.0.4", 1000, 0);
	PASSES("10.0.0.4", 1400);
	harness_written(&h, 3, "10.0.0.4", 10, 0); /* 1.4 s of 100 are gone: 98.6 s at ten bytes a second */
	DROPS("10.0.0.4", 987);
	PASSES("10.0.0.4", 980);
}

static void an_element_that_is_a_prefix_is_one_key(void **state)
{
	(void)state;
	load_with_set(1, 3);
	harness_written(&h, 3, "10.0.0.0/24", 2, 0);
	harness_written(&h, 3, "10.0.0.7", 4, 0);
	harness_written(&h, 3, "10.0.1.0/24", 0, 0);
	harness_written(&h, 3, "fd00:1::/56", 2, 0);
	PASSES("10.0.0.1", 100);
	PASSES("10.0.0.2", 100);
	DROPS("10.0.0.3", 34);
	PASSES("10.0.0.7", 400); /* the longest one counts */
	PASSES("10.0.1.1", 100); /* one without a rate gathers nobody */
	PASSES("10.0.1.2", 100);
	PASSES("fd00:1::1", 200);
	DROPS("fd00:1:0:ff::1", 54);
	PASSES("fd00:1:0:100::1", 100);
	assert_true(has_key("10.0.0.0/24") && has_key("10.0.0.7") && has_key("10.0.1.1") && has_key("fd00:1::/56"));
}

/* What a subscriber has written for the other direction alone takes nothing from him in this one. */
static void an_address_without_a_rate_here_is_in_its_prefix(void **state)
{
	(void)state;
	load_with_set(1, 3);
	harness_written(&h, 3, "10.0.0.0/24", 3, 0);
	harness_written(&h, 3, "10.0.0.7", 0, 9);
	harness_written(&h, 3, "10.0.1.0/24", 3, 0);
	harness_written(&h, 3, "10.0.1.0/28", 0, 9);
	PASSES("10.0.0.7", 200);
	PASSES("10.0.0.8", 100);
	DROPS("10.0.0.7", 34); /* one key with the others */
	assert_true(has_key("10.0.0.0/24"));
	assert_false(has_key("10.0.0.7"));
	/* of prefixes the longest is asked, whatever it has */
	PASSES("10.0.1.7", 100);
	DROPS("10.0.1.7", 34);
	assert_true(has_key("10.0.1.7"));
}

static void ipv4_is_not_in_a_prefix_of_ipv6(void **state)
{
	(void)state;
	load_with_set(1, 1);
	harness_written(&h, 3, "::/0", 2, 0);
	PASSES("10.0.0.1", 100);
	DROPS("10.0.0.1", 34);
	assert_true(has_key("10.0.0.1"));
	PASSES("fd00::1", 200);
	assert_true(has_key("::/0"));
}

/* ---- no room ---- */

static void who_finds_no_room_shares_a_clock(void **state)
{
	struct qosd_class_clock c;
	uint32_t number = 1;

	(void)state;
	load(keys(SLOW, 300), 2);
	PASSES("10.0.0.1", 100);
	PASSES("10.0.0.2", 100);
	PASSES("10.0.0.3", 200);
	PASSES("10.0.0.4", 100);
	DROPS("10.0.0.5", 34);
	PASSES("10.0.0.1", 200); /* who was there keeps its own */
	DROPS("10.0.0.1", 34);
	assert_false(has_key("10.0.0.3"));
	assert_int_equal(key("10.0.0.2").stats.packets, 1);
	assert_int_equal(bpf_map_lookup_elem(harness_map(&h, "hook/clock"), &number, &c), 0);
	assert_int_equal(c.shared_packets, 3);
	assert_true(c.last_ns == 0);
}

/* What a class drops then has shared once. */
static void what_shares_a_clock_is_counted_once(void **state)
{
	struct qosd_class_conf c = {.kind = QOSD_KIND_POLICE, .mult = 1, .burst_ns = 250};
	struct qosd_class_clock k;
	uint32_t number = 1;

	(void)state;
	load_class(c, keys(1000000, 1000000), 1);
	PASSES("10.0.0.1", 100);
	PASSES("10.0.0.2", 100);
	DROPS("10.0.0.2", 1000); /* more than the burst of the class */
	assert_false(has_key("10.0.0.2"));
	assert_int_equal(bpf_map_lookup_elem(harness_map(&h, "hook/clock"), &number, &k), 0);
	assert_int_equal(k.shared_packets, 2);
}

/* An element of one byte a second does not keep those of the class's rate away for as long as its packet takes. */
static void those_who_share_a_clock_share_its_rate(void **state)
{
	struct qosd_key_conf conf = keys(1000000, 1000);

	(void)state;
	conf.set = 1 + 3;
	conf.up = 1;
	harness_set(&h, 3, &(struct qosd_set_conf){0}, 16);
	harness_written(&h, 3, "10.0.0.2", 1, 0);
	load(conf, 1);
	PASSES("10.0.0.1", 100);
	PASSES("10.0.0.2", 500);
	PASSES("10.0.0.3", 400);
	PASSES("10.0.0.4", 100);
	assert_false(has_key("10.0.0.2"));
}

static void room_is_found_again(void **state)
{
	struct timespec pause = {.tv_nsec = 2000000};

	(void)state;
	load(keys(SLOW, 300), 1);
	PASSES("10.0.0.1", 100);
	PASSES("10.0.0.2", 300);
	DROPS("10.0.0.2", 34);
	assert_int_equal(bpf_map_clear(harness_map(&h, "hook/1/keys")), 0);
	(void)nanosleep(&pause, NULL);
	PASSES("10.0.0.2", 300);
	assert_true(has_key("10.0.0.2"));
}

/* ---- departure times ---- */

/* Its departure, or 0 if it is dropped. */
static uint64_t departs(const char *from, size_t n)
{
	struct packet_buf p = packet_frame(from, "10.255.255.255", n);
	struct __sk_buff ctx = {0};

	p.b[p.l3 + 1] = 2; /* ECT(0) */
	packet_done(&p);
	return harness_run(h.prog, p.b, p.n, &ctx, NULL, NULL) == TC_ACT_SHOT ? 0 : ctx.tstamp;
}

/* A byte a second for each, 1000 s ahead; all together limited by class 2. */
static void load_edt_keys(uint64_t horizon_of_all, uint32_t max)
{
	struct qosd_class_conf c = {.kind = QOSD_KIND_PASS, .burst_ns = 1000 * S, .ecn_ns = 2000000000, .parent = 2};
	struct qosd_class_conf all = {.kind = QOSD_KIND_EDT, .mult = 1000000000, .burst_ns = horizon_of_all};
	struct qosd_key_conf conf = keys(1, 0);

	h.spec.conf.paces = 1;
	h.spec.conf.ingress = 0;
	conf.kind = QOSD_KIND_EDT;
	conf.burst_ns = 1000 * S;
	conf.set = 1 + 3;
	conf.up = 1;
	harness_set(&h, 3, &(struct qosd_set_conf){0}, 0);
	all.kind = horizon_of_all ? QOSD_KIND_EDT : QOSD_KIND_PASS;
	harness_conf(&h, 2, &all);
	load_class(c, conf, max);
}

static void load_edt(uint64_t horizon_of_all)
{
	load_edt_keys(horizon_of_all, 16);
}

static void every_address_departs_by_its_own_clock(void **state)
{
	uint64_t before = harness_now(), first, second;

	(void)state;
	load_edt(0);
	first = departs("10.0.0.1", 600);
	assert_in_range(first, before, harness_now());
	second = departs("10.0.0.1", 600);
	assert_true(second == first + 600 * S);
	second = departs("10.0.0.2", 600);
	assert_in_range(second, before, harness_now());
	assert_int_equal(departs("10.0.0.1", 600), 0); /* 1200 s from now */
	assert_int_equal(key("10.0.0.1").stats.drop_packets, 1);
	assert_in_range(key("10.0.0.1").stats.delay_ns, 599 * S, 600 * S);
	assert_int_equal(key("10.0.0.1").stats.mark_packets, 1);
	assert_int_equal(harness_stats(&h, 1).horizon_packets, 1);
	assert_int_equal(harness_stats(&h, 1).drop_packets, 1);
	assert_int_equal(harness_hook_stats(&h).errors, 0);
}

static void what_a_class_above_drops_is_paid_back(void **state)
{
	uint64_t clock;

	(void)state;
	load_edt(100 * S); /* one of 600 bytes is 600 s of all together */
	assert_true(departs("10.0.0.1", 600) != 0);
	clock = key("10.0.0.1").clock.last_ns;
	assert_int_equal(departs("10.0.0.1", 300), 0);
	assert_true(key("10.0.0.1").clock.last_ns == clock);
	assert_true(key("10.0.0.1").stats.delay_ns == 0); /* 600 s would have been waited by what was dropped */
	assert_int_equal(departs("10.0.0.2", 300), 0);
	assert_int_equal(harness_stats(&h, 2).drop_packets, 2);
	assert_int_equal(key("10.0.0.1").stats.packets, 2);
	assert_int_equal(key("10.0.0.1").stats.drop_packets, 1);
	assert_int_equal(key("10.0.0.1").stats.drop_bytes, 300);
	assert_int_equal(key("10.0.0.2").stats.drop_packets, 1);
}

static void a_higher_rate_of_an_element_counts_at_once(void **state)
{
	uint64_t first;

	(void)state;
	load_edt(0);
	first = departs("10.0.0.1", 900);
	assert_true(departs("10.0.0.1", 900) == first + 900 * S);
	assert_int_equal(departs("10.0.0.1", 60), 0);
	harness_written(&h, 3, "10.0.0.1", 1000, 0);
	first = departs("10.0.0.1", 1000);
	assert_in_range(first, harness_now() + 990 * S,
			harness_now() + 1000 * S); /* what was booked stays within the horizon */
}

/* What was booked stays; what comes takes longer. */
static void a_lower_rate_of_an_element_counts_for_what_comes(void **state)
{
	uint64_t first;

	(void)state;
	load_edt(0);
	harness_written(&h, 3, "10.0.0.1", 10, 0);
	first = departs("10.0.0.1", 1000);
	harness_written(&h, 3, "10.0.0.1", 2, 0);
	assert_true(departs("10.0.0.1", 1000) == first + 100 * S);
	assert_true(departs("10.0.0.1", 60) == first + 600 * S);
	assert_int_equal(key("10.0.0.1").stats.drop_packets, 0);
}

/* One after the other, at the class's rate, whatever their own; who has a clock does not wait for them. */
static void who_finds_no_room_departs_by_a_shared_clock(void **state)
{
	uint64_t own, first, before;
	struct qosd_class_clock c;
	uint32_t number = 1;

	(void)state;
	load_edt_keys(0, 1);
	harness_written(&h, 3, "10.0.0.3", 1000, 0);
	own = departs("10.0.0.1", 600);
	before = harness_now();
	first = departs("10.0.0.2", 300);
	assert_in_range(first, before, harness_now());
	assert_true(departs("10.0.0.3", 500) == first + 300 * S);
	assert_true(departs("10.0.0.4", 300) == first + 800 * S);
	assert_int_equal(departs("10.0.0.2", 60), 0); /* 1100 s from then */
	assert_true(departs("10.0.0.1", 60) == own + 600 * S);
	assert_false(has_key("10.0.0.2"));
	assert_int_equal(bpf_map_lookup_elem(harness_map(&h, "hook/clock"), &number, &c), 0);
	assert_true(c.shared_ns == first + 1100 * S);
	assert_int_equal(c.shared_packets, 4);
	assert_true(c.last_ns == 0);
}

/* In a tree it is the class that says where, and the key when. */
static void in_htb_an_address_departs_by_its_own_clock(void **state)
{
	struct qosd_class_conf leaf = {
		.kind = QOSD_KIND_HTB, .classid = 0x51000002, .parent = 2, .burst_ns = 1000 * S, .ecn_ns = 2000000000};
	struct packet_buf p = packet_frame("10.0.0.1", "10.255.255.255", 600);
	struct qosd_class_conf above = {.kind = QOSD_KIND_HTB, .classid = 0x51000003};
	struct qosd_key_conf conf = keys(SLOW, 0);
	struct __sk_buff ctx = {.priority = 7};
	uint64_t before = harness_now(), first;

	(void)state;
	h.spec.conf.paces = 1;
	h.spec.conf.ingress = 0;
	h.spec.conf.htb_direct = 0x51000000;
	conf.kind = QOSD_KIND_EDT;
	conf.burst_ns = 1000 * S;
	harness_conf(&h, 2, &above);
	load_class(leaf, conf, 16);
	assert_int_equal(harness_run(h.prog, p.b, p.n, &ctx, NULL, NULL), TC_ACT_UNSPEC);
	assert_int_equal(ctx.priority, 0x51000002);
	first = ctx.tstamp;
	assert_in_range(first, before, harness_now());
	assert_true(departs("10.0.0.1", 600) == first + 600 * S);
	assert_int_equal(departs("10.0.0.1", 600), 0);
	first = departs("10.0.0.2", 600);
	assert_in_range(first, before, harness_now());
	assert_int_equal(key("10.0.0.1").stats.packets, 3);
	assert_int_equal(key("10.0.0.1").stats.drop_packets, 1);
	assert_int_equal(key("10.0.0.1").stats.mark_packets, 1);
	assert_int_equal(harness_stats(&h, 1).packets, 4);
	assert_int_equal(harness_stats(&h, 1).drop_packets, 1);
	assert_int_equal(harness_stats(&h, 1).horizon_bytes, 600);
	assert_int_equal(harness_stats(&h, 1).mark_packets, 1);
	assert_int_equal(harness_stats(&h, 2).packets, 3);
	assert_int_equal(harness_hook_stats(&h).errors, 0);
}

/* ---- two CPUs ---- */

static void two_cpus_lose_nothing(void **state)
{
	struct packet_buf p = packet_frame("10.0.0.1", "10.0.0.2", 100);
	struct qosd_key_stats s;

	(void)state;
	load(keys(SLOW, 100ull * SHOTS), 16);
	harness_two_cpus(&h, &p, SHOTS, 0);
	s = key("10.0.0.1").stats;
	/* A program that is preempted between two of its instructions may lose a count, as with every map of a CPU. */
	assert_in_range(s.packets, 2 * SHOTS - 100, 2 * SHOTS);
	assert_in_range(s.packets - s.drop_packets, SHOTS - 100, SHOTS + 100);
}

/* So many bytes got through as the bucket held at first and the rate allowed while it lasted, within half a percent. */
static bool got_the_rate(uint64_t rate_Bps, uint64_t burst_ns)
{
	struct packet_buf p = packet_frame("10.0.0.1", "10.0.0.2", 1000);
	struct harness_key before = {0}, after;
	uint64_t start, took, passed, wanted;

	(void)harness_key(&h, 1, "10.0.0.1", &before); /* not there the first time */
	start = before.clock.last_ns ? before.clock.last_ns - burst_ns : harness_now() - burst_ns;
	if (start < harness_now() - burst_ns)
		start = harness_now() - burst_ns;
	harness_two_cpus(&h, &p, SHOTS, 0);
	took = harness_now() - start;
	after = key("10.0.0.1");
	passed = after.stats.bytes - after.stats.drop_bytes - (before.stats.bytes - before.stats.drop_bytes);
	wanted = (uint64_t)((double)rate_Bps * (double)took / 1e9);
	printf("# %.4f of the rate\n", (double)passed / (double)wanted);
	return passed > wanted - wanted / 200 && passed < wanted + wanted / 200;
}

static void two_cpus_get_the_rate(void **state)
{
	struct qosd_key_conf conf = keys(200000000, 0);
	int tries = 5; /* both may have to wait for others for longer than a bucket takes to fill */

	(void)state;
	conf.burst_ns = S / 5;
	load(conf, 16);
	while (!got_the_rate(conf.rate_Bps, conf.burst_ns) && --tries)
		;
	assert_true(tries > 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_prestate_setup_teardown(f, harness_setup, harness_teardown, &h)
	const struct CMUnitTest tests[] = {
		TEST(every_address_has_a_bucket),
		TEST(of_the_end_that_is_asked_for),
		TEST(of_prefixes_of_each_family),
		TEST(neighbours_of_a_prefix_share),
		TEST(a_class_may_have_a_rate_of_all_together),
		TEST(what_exceeds_may_pass),
		TEST(without_a_rate_it_is_only_counted),
		TEST(a_burst_is_a_time_and_at_least_a_size),
		TEST(an_elements_own_rate_wins),
		TEST(and_acts_at_once),
		TEST(an_element_that_is_a_prefix_is_one_key),
		TEST(an_address_without_a_rate_here_is_in_its_prefix),
		TEST(ipv4_is_not_in_a_prefix_of_ipv6),
		TEST(who_finds_no_room_shares_a_clock),
		TEST(what_shares_a_clock_is_counted_once),
		TEST(those_who_share_a_clock_share_its_rate),
		TEST(room_is_found_again),
		TEST(every_address_departs_by_its_own_clock),
		TEST(what_a_class_above_drops_is_paid_back),
		TEST(a_higher_rate_of_an_element_counts_at_once),
		TEST(a_lower_rate_of_an_element_counts_for_what_comes),
		TEST(who_finds_no_room_departs_by_a_shared_clock),
		TEST(in_htb_an_address_departs_by_its_own_clock),
		TEST(two_cpus_lose_nothing),
		TEST(two_cpus_get_the_rate),
	};

	harness_need_bpf();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
