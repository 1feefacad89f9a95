/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * learn: packets in, addresses in the sets' maps out. Set 0 is what the hook teaches unless a test says otherwise.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALL_WAYS (QOSD_HOW_IP | QOSD_HOW_ARP | QOSD_HOW_ND)
#define MAX      16

static struct test_hook h;

static int setup(void **state)
{
	struct qosd_set_conf conf = {.from = ALL_WAYS};

	(void)state;
	harness_open(&h);
	harness_set(&h, 0, &conf, MAX);
	h.spec = (struct prog_spec){.kind = PROG_CLASSIFY_NEIGHBOR,
				    .conf = {.ingress = 1, .l2_len = ETH_HLEN, .learn_n = 1}};
	return 0;
}

static struct in6_addr address(const char *s)
{
	struct in6_addr a;
	char mapped[64];

	(void)snprintf(mapped, sizeof(mapped), "%s%s", strchr(s, ':') ? "" : "::ffff:", s);
	assert_int_equal(inet_pton(AF_INET6, mapped, &a), 1);
	return a;
}

static bool known(uint32_t slot, const char *s, struct qosd_learned *out)
{
	struct in6_addr a = address(s);
	struct qosd_learned room;

	return !bpf_map_lookup_elem(harness_set_map(&h, slot, "learned"), &a, out ? out : &room);
}

static size_t how_many(uint32_t slot)
{
	struct qosd_addr key, *at = NULL;
	size_t n = 0;

	while (!bpf_map_get_next_key(harness_set_map(&h, slot, "learned"), at, &key)) {
		at = &key;
		n++;
	}
	return n;
}

static void run(const struct packet_buf *p)
{
	if (h.prog < 0)
		harness_load(&h);
	assert_int_equal(harness_run(h.prog, p->b, p->n, NULL, NULL, NULL), TC_ACT_UNSPEC);
}

static void from_ip(const char *src)
{
	struct packet_buf p;

	packet_ip(&p, src, strchr(src, ':') ? "fd00::ffff" : "10.99.99.99", IPPROTO_UDP);
	packet_udp(&p, 1, 2);
	packet_done(&p);
	run(&p);
}

static void from_arp(const char *sender)
{
	struct packet_buf p;

	packet_ethernet(&p, ETH_P_ARP);
	packet_arp(&p, sender, "10.0.0.254");
	run(&p);
}

/* A solicitation (135) or an advertisement (136) about target. */
static void from_nd(uint8_t type, const char *src, const char *target, uint8_t hop_limit)
{
	struct packet_buf p;
	struct in6_addr t = address(target);

	packet_ip(&p, src, "ff02::1", IPPROTO_ICMPV6);
	p.b[p.l3 + 7] = hop_limit;
	packet_bytes(&p, &type, 1);
	packet_zeros(&p, 7);
	packet_bytes(&p, &t, sizeof(t));
	packet_done(&p);
	run(&p);
}

static void age(const char *s, uint64_t ns)
{
	struct in6_addr a = address(s);
	struct qosd_learned l;

	assert_true(known(0, s, &l));
	l.last_ns = harness_now() - ns;
	assert_int_equal(bpf_map_update_elem(harness_set_map(&h, 0, "learned"), &a, &l, BPF_EXIST), 0);
}

static void forget(const char *s)
{
	struct in6_addr a = address(s);

	assert_int_equal(bpf_map_delete_elem(harness_set_map(&h, 0, "learned"), &a), 0);
}

/* Longer than 16 jiffies at any HZ. */
static void next_tick(void)
{
	struct timespec pause = {.tv_nsec = 200000000};

	(void)nanosleep(&pause, NULL);
}

static void set_conf(uint32_t slot, struct qosd_set_conf conf)
{
	assert_int_equal(bpf_map_update_elem(harness_map(&h, "sets_conf"), &slot, &conf, BPF_ANY), 0);
}

/* ---- events ---- */

struct told {
	struct qosd_event v[64];
	size_t n;
};

static int on_event(void *ctx, void *data, size_t size)
{
	struct told *t = ctx;

	assert_int_equal(size, sizeof(struct qosd_event));
	assert_true(t->n < 64);
	memcpy(&t->v[t->n++], data, size);
	return 0;
}

static struct told read_events(void)
{
	struct told t = {.n = 0};
	struct ring_buffer *ring = ring_buffer__new(harness_map(&h, "events"), on_event, &t, NULL);

	assert_non_null(ring);
	assert_true(ring_buffer__consume(ring) >= 0);
	ring_buffer__free(ring);
	return t;
}

/* ---- normal use ---- */

static void a_source_is_learned(void **state)
{
	struct qosd_learned l;
	uint64_t before = harness_now(), after;

	(void)state;
	from_ip("10.0.0.1");
	from_ip("fd00::1");
	after = harness_now();
	assert_int_equal(how_many(0), 2);
	assert_true(known(0, "fd00::1", NULL));
	assert_true(known(0, "10.0.0.1", &l));
	assert_int_equal(l.how, QOSD_HOW_IP);
	assert_int_equal(l.ifindex, 1); /* test runs happen on lo */
	assert_true(l.first_ns == l.last_ns);
	/* the program's clock is as coarse as a timer tick */
	assert_true(l.last_ns + 20000000 >= before && l.last_ns <= after);
	assert_int_equal(harness_set_stats(&h, 0).learned, 2);
}

static void news_is_told_once(void **state)
{
	struct told t;
	struct in6_addr a = address("10.0.0.1");

	(void)state;
	from_ip("10.0.0.1");
	from_ip("10.0.0.1");
	t = read_events();
	assert_int_equal(t.n, 1);
	assert_int_equal(t.v[0].type, QOSD_EVENT_LEARNED);
	assert_int_equal(t.v[0].slot, 0);
	assert_int_equal(t.v[0].ifindex, 1);
	assert_int_equal(t.v[0].how, QOSD_HOW_IP);
	assert_memory_equal(&t.v[0].addr, &a, sizeof(a));
}

/* ---- the ways ---- */

static void arp_senders_teach_and_probes_do_not(void **state)
{
	struct qosd_learned l;

	(void)state;
	from_arp("10.0.0.1");
	from_arp("0.0.0.0");
	assert_int_equal(how_many(0), 1);
	assert_true(known(0, "10.0.0.1", &l));
	assert_int_equal(l.how, QOSD_HOW_ARP);
	assert_int_equal(harness_set_stats(&h, 0).unusable, 1);
}

static void other_arp_is_not_understood(void **state)
{
	struct packet_buf p;

	(void)state;
	for (size_t byte = 0; byte < 6; byte++) {
		packet_ethernet(&p, ETH_P_ARP);
		packet_arp(&p, "10.0.0.1", "10.0.0.2");
		p.b[ETH_HLEN + byte] ^= 1; /* hardware type, protocol, their lengths */
		run(&p);
	}
	packet_ethernet(&p, ETH_P_ARP);
	packet_arp(&p, "10.0.0.1", "10.0.0.2");
	p.n = ETH_HLEN + 17; /* ends within the sender */
	run(&p);
	assert_int_equal(how_many(0), 0);
}

static void nd_teaches_source_and_advertised_target(void **state)
{
	struct qosd_learned l;

	(void)state;
	from_nd(135, "fd00::1", "fd00::2", 255); /* looks for ::2 */
	assert_int_equal(how_many(0), 1);
	assert_true(known(0, "fd00::1", &l));
	assert_int_equal(l.how, QOSD_HOW_IP | QOSD_HOW_ND);
	from_nd(136, "fe80::1", "fd00::3", 255); /* is ::3 */
	assert_int_equal(how_many(0), 2);
	assert_true(known(0, "fd00::3", &l));
	assert_int_equal(l.how, QOSD_HOW_ND);
	from_nd(135, "::", "fd00::4", 255); /* would like to be ::4 */
	assert_int_equal(how_many(0), 2);
}

static void nd_from_afar_is_not_nd(void **state)
{
	struct qosd_learned l;

	(void)state;
	from_nd(136, "fd00::1", "fd00::3", 254);
	assert_int_equal(how_many(0), 1);
	assert_true(known(0, "fd00::1", &l));
	assert_int_equal(l.how, QOSD_HOW_IP);
}

static void only_the_ways_that_the_set_wants(void **state)
{
	struct qosd_learned l;

	(void)state;
	set_conf(0, (struct qosd_set_conf){.from = QOSD_HOW_ARP});
	from_ip("10.0.0.1");
	from_nd(136, "fd00::1", "fd00::3", 255);
	assert_int_equal(how_many(0), 0);
	from_arp("10.0.0.1");
	assert_int_equal(how_many(0), 1);
	set_conf(0, (struct qosd_set_conf){.from = QOSD_HOW_ND});
	from_ip("10.0.0.2");
	from_arp("10.0.0.2");
	assert_int_equal(how_many(0), 1);
	from_nd(135, "fd00::1", "fd00::3", 255);
	assert_true(known(0, "fd00::1", &l));
	assert_int_equal(l.how, QOSD_HOW_ND);
}

static void a_second_way_is_noted(void **state)
{
	struct qosd_learned l;

	(void)state;
	from_arp("10.0.0.1");
	from_ip("10.0.0.1");
	assert_true(known(0, "10.0.0.1", &l));
	assert_int_equal(l.how, QOSD_HOW_ARP | QOSD_HOW_IP);
	assert_int_equal(harness_set_stats(&h, 0).learned, 1);
}

static void through_tags(void **state)
{
	struct packet_buf p;

	(void)state;
	packet_ethernet(&p, ETH_P_8021AD);
	packet_vlan(&p, 7, ETH_P_8021Q);
	packet_vlan(&p, 8, ETH_P_ARP);
	packet_arp(&p, "10.0.0.1", "10.0.0.2");
	run(&p);
	packet_ethernet(&p, ETH_P_8021Q);
	packet_vlan(&p, 7, ETH_P_IPV6);
	packet_ipv6(&p, "fd00::1", "fd00::2", IPPROTO_UDP);
	packet_udp(&p, 1, 2);
	packet_done(&p);
	run(&p);
	assert_true(known(0, "10.0.0.1", NULL));
	assert_true(known(0, "fd00::1", NULL));
}

/* ---- what is no neighbour ---- */

static void addresses_that_nobody_has(void **state)
{
	static const char *const unusable[] = {"0.0.0.0",   "0.1.2.3",         "127.0.0.1", "127.255.0.1", "224.0.0.1",
					       "239.1.1.1", "255.255.255.255", "240.0.0.1", "::",          "::1",
					       "ff02::1",   "fe80::1",         "febf::1"};
	static const char *const fine[] = {"1.0.0.0", "126.1.1.1", "128.0.0.1", "223.255.255.255",
					   "::2",     "fe00::1",   "fec0::1"};

	(void)state;
	for (size_t i = 0; i < sizeof(unusable) / sizeof(unusable[0]); i++)
		from_ip(unusable[i]);
	assert_int_equal(how_many(0), 0);
	assert_int_equal(harness_set_stats(&h, 0).unusable, sizeof(unusable) / sizeof(unusable[0]));
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		from_ip(fine[i]);
		assert_true(known(0, fine[i], NULL));
	}
}

static void set_fence(struct prefix *fence, uint32_t *slots, size_t n)
{
	h.spec.fence = fence;
	h.spec.fence_slot = slots;
	h.spec.n_fence = n;
}

static struct prefix prefix(const char *s, uint8_t bits)
{
	return (struct prefix){.addr = address(s), .bits = bits, .v4 = !strchr(s, ':')};
}

static void only_within_the_fence(void **state)
{
	struct prefix fence[] = {prefix("10.1.0.0", 112), prefix("fd00:1::", 64), prefix("fe80::", 10)};
	uint32_t slots[] = {0, 0, 0};

	(void)state;
	set_fence(fence, slots, 3);
	from_ip("10.1.255.255");
	from_ip("10.2.0.0");
	from_arp("10.0.255.255");
	from_ip("fd00:1::1");
	from_ip("fd00:2::1");
	from_ip("fe80::7"); /* named, so it is wanted */
	assert_int_equal(how_many(0), 3);
	assert_true(known(0, "10.1.255.255", NULL));
	assert_true(known(0, "fd00:1::1", NULL));
	assert_true(known(0, "fe80::7", NULL));
	assert_int_equal(harness_set_stats(&h, 0).fenced, 3);
}

static void a_fence_of_all_ipv6_keeps_ipv4_out(void **state)
{
	struct prefix fence[] = {prefix("::", 0)};
	uint32_t slots[] = {0};

	(void)state;
	set_fence(fence, slots, 1);
	from_ip("10.1.0.1");
	from_ip("fd00::1");
	assert_int_equal(how_many(0), 1);
	assert_true(known(0, "fd00::1", NULL));
}

static void each_set_has_its_own_fence(void **state)
{
	struct qosd_set_conf conf = {.from = ALL_WAYS};
	struct prefix fence[] = {prefix("10.1.0.0", 112), prefix("10.2.0.0", 112)};
	uint32_t slots[] = {0, 7};

	(void)state;
	harness_set(&h, 7, &conf, MAX);
	harness_set(&h, 63, &conf, MAX); /* no fence */
	h.spec.conf.learn_n = 3;
	h.spec.conf.learn_slot[1] = 7;
	h.spec.conf.learn_slot[2] = 63;
	set_fence(fence, slots, 2);
	from_ip("10.1.0.1");
	from_ip("10.2.0.1");
	from_ip("10.3.0.1");
	assert_int_equal(how_many(0), 1);
	assert_int_equal(how_many(7), 1);
	assert_int_equal(how_many(63), 3);
	assert_true(known(0, "10.1.0.1", NULL));
	assert_true(known(7, "10.2.0.1", NULL));
}

/* A fence made narrower: who is outside of it now is not kept alive. */
static void outside_a_new_fence_an_address_grows_old(void **state)
{
	struct prefix fence[] = {prefix("10.1.0.0", 112)};
	uint32_t slots[] = {0};
	struct qosd_learned l;

	(void)state;
	from_ip("10.2.0.1");
	age("10.2.0.1", 2000000000u);
	set_fence(fence, slots, 1);
	harness_load(&h);
	from_ip("10.2.0.1");
	assert_true(known(0, "10.2.0.1", &l));
	assert_true(harness_now() - l.last_ns >= 2000000000u);
}

/* ---- last seen ---- */

static void last_seen_is_written_once_a_second(void **state)
{
	struct qosd_learned l;
	uint64_t first;

	(void)state;
	from_ip("10.0.0.1");
	age("10.0.0.1", 500000000);
	assert_true(known(0, "10.0.0.1", &l));
	first = l.first_ns;
	from_ip("10.0.0.1");
	assert_true(known(0, "10.0.0.1", &l));
	assert_true(harness_now() - l.last_ns >= 500000000);
	age("10.0.0.1", 1500000000);
	next_tick();
	from_ip("10.0.0.1");
	assert_true(known(0, "10.0.0.1", &l));
	assert_true(harness_now() - l.last_ns < 500000000);
	assert_true(l.first_ns == first);
}

/* A packet that follows others of its sender is not looked at, so what was taken out comes back a tick later. */
static void what_was_taken_out_comes_back_with_the_next_tick(void **state)
{
	(void)state;
	from_ip("10.0.0.1");
	from_ip("10.0.0.1");
	forget("10.0.0.1");
	next_tick();
	from_ip("10.0.0.1");
	assert_true(known(0, "10.0.0.1", NULL));
}

/* Two whose addresses end in the same bits share a place, and the ways they come by differ. */
static void those_who_share_a_place_are_told_apart(void **state)
{
	struct qosd_learned l;

	(void)state;
	from_ip("10.0.0.1");
	from_ip("10.0.0.1");
	from_ip("10.0.1.1");
	from_ip("10.0.0.1");
	from_arp("10.0.0.1");
	assert_true(known(0, "10.0.1.1", &l));
	assert_true(known(0, "10.0.0.1", &l));
	assert_int_equal(l.how, QOSD_HOW_IP | QOSD_HOW_ARP);
}

static void a_short_timeout_is_refreshed_in_time(void **state)
{
	struct qosd_learned l;

	(void)state;
	set_conf(0, (struct qosd_set_conf){.from = ALL_WAYS, .timeout_ns = 800000000});
	from_ip("10.0.0.1");
	age("10.0.0.1", 300000000);
	from_ip("10.0.0.1");
	assert_true(known(0, "10.0.0.1", &l));
	assert_true(harness_now() - l.last_ns < 200000000);
}

/* ---- a full map ---- */

static void fill_up(void)
{
	char src[32];

	for (int i = 0; i < MAX; i++) {
		(void)snprintf(src, sizeof(src), "10.0.0.%d", i + 1);
		from_ip(src);
	}
	assert_int_equal(how_many(0), MAX);
}

static void a_full_set_refuses(void **state)
{
	(void)state;
	fill_up();
	(void)read_events();
	from_ip("10.0.1.1");
	from_ip("10.0.0.1"); /* known, so not refused */
	assert_int_equal(how_many(0), MAX);
	assert_int_equal(harness_set_stats(&h, 0).refused, 1);
	assert_int_equal(harness_set_stats(&h, 0).asked, 0);
	assert_int_equal(read_events().n, 0);
}

static void a_full_set_asks_for_room(void **state)
{
	struct in6_addr a = address("10.0.1.1");
	struct told t;

	(void)state;
	set_conf(0, (struct qosd_set_conf){.from = ALL_WAYS, .when_full = QOSD_FULL_EVICT});
	fill_up();
	(void)read_events();
	from_ip("10.0.1.1");
	t = read_events();
	assert_int_equal(t.n, 1);
	assert_int_equal(t.v[0].type, QOSD_EVENT_SET_FULL);
	assert_int_equal(t.v[0].slot, 0);
	assert_int_equal(t.v[0].how, QOSD_HOW_IP);
	assert_memory_equal(&t.v[0].addr, &a, sizeof(a));
	assert_int_equal(how_many(0), MAX);
}

static void a_flood_fills_no_more_than_the_map_and_asks_seldom(void **state)
{
	struct qosd_set_stats s;
	uint64_t started = harness_now(), ms;

	(void)state;
	set_conf(0, (struct qosd_set_conf){.from = ALL_WAYS, .when_full = QOSD_FULL_EVICT});
	fill_up();
	for (int i = 0; i < 5000; i++) {
		char src[32];

		(void)snprintf(src, sizeof(src), "11.%d.%d.1", i / 256, i % 256);
		from_ip(src);
	}
	ms = (harness_now() - started) / 1000000 + 1;
	s = harness_set_stats(&h, 0);
	assert_int_equal(how_many(0), MAX);
	assert_int_equal(s.refused, 5000);
	/* The coarse clock makes it fewer still. Test runs may move between CPUs. */
	assert_in_range(s.asked, 1, (ms + 1) * (uint64_t)libbpf_num_possible_cpus());
	assert_true(s.asked < 5000);
}

static void nobody_listening_is_no_error(void **state)
{
	struct qosd_set_conf conf = {.from = ALL_WAYS};

	(void)state;
	harness_set(&h, 1, &conf, 20000);
	h.spec.conf.learn_slot[0] = 1;
	for (int i = 0; i < 10000; i++) { /* 480 KB of events do not fit */
		char src[32];

		(void)snprintf(src, sizeof(src), "11.%d.%d.1", i / 256, i % 256);
		from_ip(src);
	}
	assert_int_equal(how_many(1), 10000);
}

/* ---- together with a policy ---- */

static void a_hook_with_a_policy_learns_too(void **state)
{
	struct literal l = {.field = FIELD_SRC_SET, .set = &harness_sets[0]};
	struct rule v[] = {{.cls = &harness_classes[1], .literals = &l, .n = 1}};
	struct rules r = {.v = v, .n = 1};

	(void)state;
	h.spec.kind = PROG_CLASSIFY;
	h.spec.conf.has_policy = 1;
	h.spec.hook_path = "hook";
	harness_rules(&h, &r);
	from_ip("10.0.0.1"); /* learned before it is classified */
	from_arp("10.0.0.2");
	assert_int_equal(how_many(0), 2);
	assert_int_equal(harness_stats(&h, 1).packets, 1);
	assert_int_equal(harness_hook_stats(&h).not_ip, 1);
}

static void bypass_stops_learning(void **state)
{
	(void)state;
	harness_bypass(&h, true);
	from_ip("10.0.0.1");
	assert_int_equal(how_many(0), 0);
}

static void a_set_without_a_map_is_no_error(void **state)
{
	(void)state;
	h.spec.conf.learn_slot[0] = 44;
	from_ip("10.0.0.1");
	assert_int_equal(how_many(0), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_prestate_setup_teardown(f, setup, harness_teardown, &h)
	const struct CMUnitTest tests[] = {
		TEST(a_source_is_learned),
		TEST(news_is_told_once),
		TEST(arp_senders_teach_and_probes_do_not),
		TEST(other_arp_is_not_understood),
		TEST(nd_teaches_source_and_advertised_target),
		TEST(nd_from_afar_is_not_nd),
		TEST(only_the_ways_that_the_set_wants),
		TEST(a_second_way_is_noted),
		TEST(through_tags),
		TEST(addresses_that_nobody_has),
		TEST(only_within_the_fence),
		TEST(a_fence_of_all_ipv6_keeps_ipv4_out),
		TEST(each_set_has_its_own_fence),
		TEST(outside_a_new_fence_an_address_grows_old),
		TEST(last_seen_is_written_once_a_second),
		TEST(what_was_taken_out_comes_back_with_the_next_tick),
		TEST(those_who_share_a_place_are_told_apart),
		TEST(a_short_timeout_is_refreshed_in_time),
		TEST(a_full_set_refuses),
		TEST(a_full_set_asks_for_room),
		TEST(a_flood_fills_no_more_than_the_map_and_asks_seldom),
		TEST(nobody_listening_is_no_error),
		TEST(a_hook_with_a_policy_learns_too),
		TEST(bypass_stops_learning),
		TEST(a_set_without_a_map_is_no_error),
	};

	harness_need_bpf();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
