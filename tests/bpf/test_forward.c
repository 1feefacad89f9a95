/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * forward: rules that hand packets to other devices, by BPF_PROG_TEST_RUN: verdicts, what of the packet changes, and
 * which counter says why not. The devices are veth ends of a namespace of the test's own; what arrives where is looked
 * at by tests/live/forward.sh, when (departure times, which no test run shows the end of) by forward-paced.sh.
 */
#include "harness.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct test_hook h;
static uint32_t here, small; /* devices; small has an MTU of 1280 */

enum { RULE_ONE = 1, RULE_TWO = 2 };

/* ---- the stage ---- */

static void rule_is(uint32_t number, struct qosd_forward_conf conf)
{
	conf.rule = number;
	assert_int_equal(bpf_map_update_elem(harness_map(&h, "forwards"), &number, &conf, BPF_ANY), 0);
}

static void target_is(uint32_t slot, struct qosd_target t)
{
	assert_int_equal(bpf_map_update_elem(harness_map(&h, "targets"), &slot, &t, BPF_ANY), 0);
}

static void switch_off(uint32_t number, uint32_t off)
{
	assert_int_equal(bpf_map_update_elem(harness_map(&h, "forwards_off"), &number, &off, BPF_ANY), 0);
}

/* Rule 1 matches what goes to port 1, rule 2 the rest. */
static void load_rules(uint32_t ingress, uint32_t l2_len)
{
	static struct range one = {1, 1};
	static struct literal l = {.field = FIELD_DPORT, .ranges = &one, .n = 1};
	static struct rule v[] = {{.cls = &harness_classes[RULE_ONE], .literals = &l, .n = 1},
				  {.cls = &harness_classes[RULE_TWO]}};
	struct rules r = {.v = v, .n = 2};

	h.spec = (struct prog_spec){.kind = PROG_FORWARD, .conf = {.ingress = ingress, .l2_len = l2_len}};
	harness_rules(&h, &r);
}

static void command(const char *line)
{
	if (system(line))
		fail_msg("%s", line);
}

/* Whose counters are looked at. */
static void one_cpu(void)
{
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET((unsigned)sched_getcpu(), &cpu);
	assert_int_equal(sched_setaffinity(0, sizeof(cpu), &cpu), 0);
}

static int setup(void **state)
{
	(void)state;
	harness_open(&h);
	target_is(0, (struct qosd_target){.ifindex = here, .l2_len = 14, .peer = 1, .mac = {2, 9, 9, 9, 9, 9}});
	target_is(1, (struct qosd_target){.ifindex = small, .l2_len = 14, .mac = {2, 8, 8, 8, 8, 8}});
	rule_is(RULE_ONE, (struct qosd_forward_conf){.mode = QOSD_FORWARD_PEER});
	rule_is(RULE_TWO, (struct qosd_forward_conf){.mode = QOSD_FORWARD_EGRESS, .target = 1});
	load_rules(1, 14);
	return 0;
}

/* To the test run's device, whose address is all zeros: PACKET_HOST. */
static void to_host(struct packet_buf *p)
{
	memset(p->b, 0, 6);
}

static struct packet_buf udp_packet(int v6, uint16_t dport)
{
	struct packet_buf p = packet_udp_frame(v6 ? "fd00::1" : "10.0.0.1", v6 ? "fd00::2" : "10.0.0.2", 5, dport);

	to_host(&p);
	return p;
}

static int run(const struct packet_buf *p)
{
	return harness_run(h.prog, p->b, p->n, NULL, NULL, NULL);
}

static struct qosd_forward_stats stats(uint32_t number)
{
	struct qosd_forward_stats s;

	harness_sum(&h, "forwards_stats", number, &s, sizeof(s));
	return s;
}

static uint64_t why(uint32_t number, enum qosd_forward_why w)
{
	return stats(number).why[w];
}

/* ---- normal use ---- */

static void a_packet_is_handed_over_and_counted(void **state)
{
	struct packet_buf p = udp_packet(0, 1);

	(void)state;
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	assert_int_equal(stats(RULE_ONE).packets, 1);
	assert_int_equal(stats(RULE_ONE).bytes, 100);
	assert_int_equal(stats(RULE_ONE).skbs, 1);
	assert_int_equal(stats(RULE_ONE).skb_bytes, 100);
	assert_int_equal(stats(RULE_TWO).packets, 0);
	p = udp_packet(1, 9);
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	assert_int_equal(stats(RULE_TWO).packets, 1);
}

static void a_routed_packet_has_one_hop_less(void **state)
{
	uint8_t out[256];

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct packet_buf p = udp_packet(v6, 1);
		size_t n = sizeof(out);

		assert_int_equal(harness_run(h.prog, p.b, p.n, NULL, out, &n), TC_ACT_REDIRECT);
		assert_int_equal(out[14 + (v6 ? 7 : 8)], 63);
		if (!v6)
			assert_int_equal(packet_header_sum(out + 14), 0xffff);
		/* nothing else */
		p.b[14 + (v6 ? 7 : 8)] = out[14 + (v6 ? 7 : 8)];
		if (!v6)
			memcpy(p.b + 24, out + 24, 2);
		assert_memory_equal(out, p.b, p.n);
	}
}

static void a_packet_of_layer_2_stays_as_it_is(void **state)
{
	struct packet_buf p = udp_packet(0, 9);
	uint8_t out[256];
	size_t n = sizeof(out);

	(void)state;
	assert_int_equal(harness_run(h.prog, p.b, p.n, NULL, out, &n), TC_ACT_REDIRECT);
	assert_memory_equal(out, p.b, p.n);
}

static void on_ingress_it_is_addressed_to_the_device(void **state)
{
	static const uint8_t mac[6] = {2, 8, 8, 8, 8, 8};
	struct packet_buf p = udp_packet(0, 9);
	uint8_t out[256];
	size_t n = sizeof(out);

	(void)state;
	rule_is(RULE_TWO, (struct qosd_forward_conf){.mode = QOSD_FORWARD_INGRESS, .target = 1});
	assert_int_equal(harness_run(h.prog, p.b, p.n, NULL, out, &n), TC_ACT_REDIRECT);
	assert_memory_equal(out, mac, 6);
	assert_memory_equal(out + 6, p.b + 6, p.n - 6);
}

static void after_a_copy_later_rules_are_looked_at(void **state)
{
	struct packet_buf p = udp_packet(0, 1);

	(void)state;
	rule_is(RULE_ONE, (struct qosd_forward_conf){.mode = QOSD_FORWARD_CLONE});
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	assert_int_equal(stats(RULE_ONE).packets, 1);
	assert_int_equal(stats(RULE_TWO).packets, 1);
	/* and where none is, the stack has it */
	rule_is(RULE_TWO, (struct qosd_forward_conf){.mode = QOSD_FORWARD_CLONE, .target = 1});
	assert_int_equal(run(&p), TC_ACT_UNSPEC);
	assert_int_equal(stats(RULE_TWO).packets, 2);
}

/* Whatever on-miss says, and whichever of its reasons. */
static void without_a_copy_the_packet_goes_on(void **state)
{
	struct packet_buf p = udp_packet(0, 1);

	(void)state;
	target_is(0, (struct qosd_target){0});
	for (uint32_t drop = 0; drop < 2; drop++) {
		rule_is(RULE_ONE, (struct qosd_forward_conf){.mode = QOSD_FORWARD_CLONE, .miss_drop = (uint8_t)drop});
		assert_int_equal(run(&p), TC_ACT_REDIRECT); /* by rule 2 */
		assert_int_equal(why(RULE_ONE, QOSD_WHY_AWAY), drop + 1);
		assert_int_equal(stats(RULE_TWO).packets, drop + 1);
	}
	rule_is(RULE_TWO, (struct qosd_forward_conf){.mode = QOSD_FORWARD_CLONE, .miss_drop = 1});
	assert_int_equal(run(&p), TC_ACT_UNSPEC);
	assert_int_equal(why(RULE_TWO, QOSD_WHY_AWAY), 1);
	assert_int_equal(stats(RULE_ONE).packets, 0);
}

/* Four copies are sent, each of a packet that nobody has handed on before. */
static void copies_are_no_hops_of_the_packet(void **state)
{
	static struct rule v[] = {{.cls = &harness_classes[1]},
				  {.cls = &harness_classes[2]},
				  {.cls = &harness_classes[3]},
				  {.cls = &harness_classes[4]},
				  {.cls = &harness_classes[5]}};
	struct rules r = {.v = v, .n = 5};
	struct packet_buf p = udp_packet(0, 1);
	struct __sk_buff ctx = {0};

	(void)state;
	for (uint32_t i = 1; i < 5; i++)
		rule_is(i, (struct qosd_forward_conf){.mode = QOSD_FORWARD_CLONE});
	rule_is(5, (struct qosd_forward_conf){.mode = QOSD_FORWARD_PEER});
	harness_rules(&h, &r);
	assert_int_equal(harness_run(h.prog, p.b, p.n, &ctx, NULL, NULL), TC_ACT_REDIRECT);
	assert_int_equal(ctx.cb[1], 1);
	for (uint32_t i = 1; i <= 5; i++)
		assert_int_equal(stats(i).packets, 1);
	/* what has gone round is not copied again, and is dropped by none but the rule that it goes by */
	ctx.cb[1] = QOSD_HOPS_MAX;
	rule_is(5, (struct qosd_forward_conf){.mode = QOSD_FORWARD_CLONE});
	assert_int_equal(harness_run(h.prog, p.b, p.n, &ctx, NULL, NULL), TC_ACT_UNSPEC);
	for (uint32_t i = 1; i <= 5; i++)
		assert_int_equal(why(i, QOSD_WHY_LOOP), 1);
}

/* Nor is one that the kernel says nothing of (IPv4 where it does not forward, link-local) taken to be unknown. */
static void a_next_hop_needs_no_route(void **state)
{
	struct qosd_forward_conf conf = {.mode = QOSD_FORWARD_NEIGH, .target = 1, .nexthop = 6, .miss_drop = 1};
	struct packet_buf p = udp_packet(0, 9);

	(void)state;
	conf.address.b[0] = 0xfe;
	conf.address.b[1] = 0x80;
	conf.address.b[15] = 1;
	rule_is(RULE_TWO, conf);
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	assert_int_equal(stats(RULE_TWO).packets, 1);
	conf.nexthop = 4;
	memcpy(conf.address.b, (uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 7, 0, 9}, 16);
	command("ip address add 10.7.0.1/24 dev small && sysctl -q -w net.ipv4.ip_forward=0");
	rule_is(RULE_TWO, conf);
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	command("ip address del 10.7.0.1/24 dev small");
	assert_int_equal(stats(RULE_TWO).packets, 2);
	assert_int_equal(why(RULE_TWO, QOSD_WHY_NEIGHBOUR), 0);
	/* IPv6 cannot go by way of IPv4 */
	p = udp_packet(1, 9);
	assert_int_equal(run(&p), TC_ACT_UNSPEC);
	assert_int_equal(why(RULE_TWO, QOSD_WHY_NO_ROUTE), 1);
}

static struct qosd_target_stats target_stats(uint32_t slot)
{
	struct qosd_target_stats s;

	harness_sum(&h, "targets_stats", slot, &s, sizeof(s));
	return s;
}

/* The kernel's counters of a new device begin at 0, and ours are added to them. */
static void another_device_of_the_slot_is_counted_anew(void **state)
{
	struct packet_buf p = udp_packet(0, 1);

	(void)state;
	one_cpu();
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	assert_int_equal(target_stats(0).unseen_tx_skbs, 2);
	assert_int_equal(target_stats(0).ifindex, here);
	target_is(0, (struct qosd_target){.ifindex = small, .l2_len = 14, .peer = 1});
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	assert_int_equal(target_stats(0).unseen_tx_skbs, 1);
	assert_int_equal(target_stats(0).unseen_tx_bytes, p.n);
	assert_int_equal(target_stats(0).ifindex, small);
	assert_int_equal(stats(RULE_ONE).packets, 3);
}

/* ---- switches ---- */

static void what_is_switched_off_goes_to_the_stack(void **state)
{
	struct packet_buf p = udp_packet(0, 1);

	(void)state;
	switch_off(RULE_ONE, 1);
	assert_int_equal(run(&p), TC_ACT_UNSPEC);
	switch_off(RULE_ONE, 0);
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	switch_off(0, 1);
	assert_int_equal(run(&p), TC_ACT_UNSPEC);
	switch_off(0, 0);
	harness_bypass(&h, true);
	assert_int_equal(run(&p), TC_ACT_UNSPEC);
	harness_bypass(&h, false);
	rule_is(RULE_ONE, (struct qosd_forward_conf){.mode = QOSD_FORWARD_PEER, .off = 1});
	assert_int_equal(run(&p), TC_ACT_UNSPEC);
	assert_int_equal(stats(RULE_ONE).packets, 1);
}

/* ---- what the stack has to see ---- */

static void left_to_the_stack(const struct packet_buf *p, enum qosd_forward_why w)
{
	uint64_t before = why(RULE_ONE, w);

	assert_int_equal(run(p), TC_ACT_UNSPEC);
	assert_int_equal(why(RULE_ONE, w), before + 1);
	assert_int_equal(stats(RULE_ONE).packets, 0);
}

static void what_the_stack_has_to_see_goes_there(void **state)
{
	static const char *const nobody[] = {"127.0.0.1", "224.0.0.5", "0.0.0.0", "::1", "fe80::1", "ff02::5"};
	struct packet_buf p;

	(void)state;
	/* also with on-miss: drop */
	rule_is(RULE_ONE, (struct qosd_forward_conf){.mode = QOSD_FORWARD_PEER, .miss_drop = 1});
	for (int v6 = 0; v6 < 2; v6++) {
		p = udp_packet(v6, 1);
		p.b[14 + (v6 ? 7 : 8)] = 1;
		packet_done(&p);
		left_to_the_stack(&p, QOSD_WHY_TTL);
		p = udp_packet(v6, 1);
		memset(p.b, 0xff, 6);
		left_to_the_stack(&p, QOSD_WHY_NOT_HOST);
		p = udp_packet(v6, 1);
		p.b[0] = 2; /* another host's */
		left_to_the_stack(&p, QOSD_WHY_NOT_HOST);
	}
	p = udp_packet(0, 1);
	p.b[14 + 16] = 239;
	packet_done(&p);
	left_to_the_stack(&p, QOSD_WHY_NOT_HOST);
	for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
		p = packet_udp_frame(nobody[i], strchr(nobody[i], ':') ? "fd00::2" : "10.0.0.2", 5, 1);
		to_host(&p);
		left_to_the_stack(&p, QOSD_WHY_NOT_HOST);
	}
	p = udp_packet(0, 1);
	p.b[14 + 6] = 0x20; /* more fragments */
	packet_done(&p);
	left_to_the_stack(&p, QOSD_WHY_FRAGMENT);
	packet_ethernet(&p, ETHERTYPE_IP);
	to_host(&p);
	packet_ipv4(&p, "10.0.0.1", "10.0.0.2", IPPROTO_UDP);
	p.b[14] = 0x46;
	packet_bytes(&p, (uint8_t[]){1, 1, 1, 1}, 4);
	packet_udp(&p, 5, 1);
	packet_done(&p);
	left_to_the_stack(&p, QOSD_WHY_OPTIONS);
	packet_ethernet(&p, ETHERTYPE_IPV6);
	to_host(&p);
	packet_ipv6(&p, "fd00::1", "fd00::2", IPPROTO_HOPOPTS);
	packet_bytes(&p, (uint8_t[]){IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0}, 8);
	packet_udp(&p, 5, 1);
	packet_done(&p);
	left_to_the_stack(&p, QOSD_WHY_OPTIONS);
	rule_is(RULE_ONE, (struct qosd_forward_conf){.mode = QOSD_FORWARD_INGRESS, .target = 1});
	p = udp_packet(0, 1);
	packet_pad_to(&p, 14 + 1281);
	left_to_the_stack(&p, QOSD_WHY_TOO_BIG);
}

static void what_is_not_ip_or_protected_is_not_looked_at(void **state)
{
	struct packet_buf p;

	(void)state;
	packet_ethernet(&p, ETHERTYPE_ARP);
	packet_arp(&p, "10.0.0.1", "10.0.0.2");
	assert_int_equal(run(&p), TC_ACT_UNSPEC);
	packet_ethernet(&p, ETHERTYPE_IP);
	to_host(&p);
	packet_ipv4(&p, "10.0.0.1", "10.0.0.2", IPPROTO_UDP);
	packet_udp(&p, 68, 67);
	packet_done(&p);
	assert_int_equal(run(&p), TC_ACT_UNSPEC);
	for (int w = 0; w < QOSD_WHYS; w++)
		assert_int_equal(why(RULE_TWO, w), 0);
}

static void a_packet_of_the_MTU_is_not_too_big(void **state)
{
	struct packet_buf p = udp_packet(0, 9);

	(void)state;
	packet_pad_to(&p, 14 + 1280);
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
}

/* An IP packet of 86 bytes with 1200 behind it: the stack would cut them off. */
static void what_is_behind_the_IP_packet_counts_for_the_MTU(void **state)
{
	struct packet_buf p = udp_packet(0, 9);

	(void)state;
	packet_zeros(&p, 1200);
	assert_int_equal(run(&p), TC_ACT_UNSPEC);
	assert_int_equal(why(RULE_TWO, QOSD_WHY_TOO_BIG), 1);
	/* what a merged packet has, its segments have together */
	assert_int_equal(harness_run(h.prog, p.b, p.n, &(struct __sk_buff){.gso_size = 600, .gso_segs = 3}, NULL, NULL),
			 TC_ACT_REDIRECT);
}

/* ---- on-miss ---- */

static void a_device_that_is_away_is_a_miss(void **state)
{
	static const struct qosd_target aways[] = {{0}, {.ifindex = 0x7ffffff0, .l2_len = 14, .peer = 1}};
	struct packet_buf p = udp_packet(0, 1);

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		target_is(0, aways[i]);
		rule_is(RULE_ONE, (struct qosd_forward_conf){.mode = QOSD_FORWARD_PEER});
		assert_int_equal(run(&p), TC_ACT_UNSPEC);
		rule_is(RULE_ONE, (struct qosd_forward_conf){.mode = QOSD_FORWARD_PEER, .miss_drop = 1});
		assert_int_equal(run(&p), TC_ACT_SHOT);
		assert_int_equal(why(RULE_ONE, QOSD_WHY_AWAY), 2 * (i + 1));
	}
	target_is(0, (struct qosd_target){.ifindex = here, .l2_len = 14});
	assert_int_equal(run(&p), TC_ACT_SHOT);
	assert_int_equal(why(RULE_ONE, QOSD_WHY_NO_PEER), 1);
	assert_int_equal(stats(RULE_ONE).packets, 0);
}

static void without_forwarding_there_is_no_route(void **state)
{
	struct packet_buf p = udp_packet(0, 9);

	(void)state;
	rule_is(RULE_TWO, (struct qosd_forward_conf){.mode = QOSD_FORWARD_NEIGH, .target = 1});
	assert_int_equal(run(&p), TC_ACT_UNSPEC);
	assert_int_equal(why(RULE_TWO, QOSD_WHY_NO_ROUTE) + why(RULE_TWO, QOSD_WHY_FAILED), 1);
}

/* ---- mode neigh, as the routes say ---- */

static void routes(bool there)
{
	command(there ? "ip link set lo up && sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.lo.forwarding=1 && "
			"ip address add 10.7.0.1/24 dev small && ip route add 10.0.0.2/32 via 10.7.0.9 mtu lock 1000 "
			"&& "
			"ip neighbour replace 10.7.0.9 lladdr 02:00:00:00:00:09 dev small"
		      : "ip address del 10.7.0.1/24 dev small && sysctl -q -w net.ipv4.ip_forward=0 && ip link set lo "
			"down");
}

/* What one packet was told holds for the rest of the jiffy: for those of its flow that are not longer. Each round
 * is two looks at the routes and two at what they said, unless a jiffy ends in between. */
static void routes_are_asked_for_each_flow(void **state)
{
	struct packet_buf p = udp_packet(0, 9), longer = udp_packet(0, 9);
	/* in the same place of the cache as p's */
	struct packet_buf other = packet_udp_frame("10.0.0.1", "10.0.1.2", 5, 9);
	struct packet_buf port = udp_packet(0, 9 + 256);

	(void)state;
	to_host(&other);
	packet_pad_to(&longer, 14 + 1001);
	routes(true);
	rule_is(RULE_TWO, (struct qosd_forward_conf){.mode = QOSD_FORWARD_NEIGH, .target = 1});
	for (uint64_t i = 1; i <= 100; i++) {
		assert_int_equal(run(&p), TC_ACT_REDIRECT);
		assert_int_equal(run(&p), TC_ACT_REDIRECT);
		assert_int_equal(run(&longer), TC_ACT_UNSPEC);
		assert_int_equal(why(RULE_TWO, QOSD_WHY_TOO_BIG), i);
		assert_int_equal(run(&other), TC_ACT_UNSPEC);
		assert_int_equal(why(RULE_TWO, QOSD_WHY_NO_ROUTE), i);
		assert_int_equal(run(&port), TC_ACT_REDIRECT);
		assert_int_equal(stats(RULE_TWO).packets, 3 * i);
	}
	routes(false);
}

/* Neither a route nor a device that has gone is used behind the jiffy. */
static void what_routes_said_is_soon_forgotten(void **state)
{
	struct packet_buf p = udp_packet(0, 9);

	(void)state;
	routes(true);
	rule_is(RULE_TWO, (struct qosd_forward_conf){.mode = QOSD_FORWARD_NEIGH, .target = 1});
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	target_is(1, (struct qosd_target){.ifindex = here, .l2_len = 14});
	assert_int_equal(run(&p), TC_ACT_UNSPEC);
	assert_int_equal(why(RULE_TWO, QOSD_WHY_NO_ROUTE), 1);
	target_is(1, (struct qosd_target){.ifindex = small, .l2_len = 14});
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	command("ip route del 10.0.0.2/32 && sleep 0.02");
	assert_int_equal(run(&p), TC_ACT_UNSPEC);
	assert_int_equal(why(RULE_TWO, QOSD_WHY_NO_ROUTE), 2);
	routes(false);
}

/* The stack would never ask for it. */
static void one_packet_in_many_asks_for_a_next_hop(void **state)
{
	struct qosd_forward_conf conf = {.mode = QOSD_FORWARD_NEIGH, .target = 1, .nexthop = 4};
	struct packet_buf p = udp_packet(0, 9);
	int asked = 0;

	(void)state;
	memcpy(conf.address.b, (uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 7, 0, 9}, 16);
	command("sysctl -q -w net.ipv4.ip_forward=1 && ip address add 10.7.0.1/24 dev small");
	rule_is(RULE_TWO, conf);
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	for (int i = 0; i < 3 * QOSD_ASK_EVERY; i++)
		asked += run(&p) == TC_ACT_REDIRECT;
	/* whatever CPUs it ran on */
	assert_true(asked >= 1 && asked <= 3 * QOSD_ASK_EVERY / 4);
	assert_int_equal(why(RULE_TWO, QOSD_WHY_NEIGHBOUR), 3 * QOSD_ASK_EVERY + 1);
	assert_int_equal(stats(RULE_TWO).packets, 0);
	/* what is to be dropped may ask each time */
	conf.miss_drop = 1;
	rule_is(RULE_TWO, conf);
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	assert_int_equal(stats(RULE_TWO).packets, 0);
	/* and when it is known, it goes there */
	command("ip neighbour replace 10.7.0.9 lladdr 02:00:00:00:00:09 dev small");
	assert_int_equal(run(&p), TC_ACT_REDIRECT);
	assert_int_equal(stats(RULE_TWO).packets, 1);
	command("ip address del 10.7.0.1/24 dev small && sysctl -q -w net.ipv4.ip_forward=0");
}

static void a_packet_that_goes_round_is_dropped(void **state)
{
	struct packet_buf p = udp_packet(0, 9);
	struct __sk_buff ctx = {0};

	(void)state;
	for (int i = 0; i < QOSD_HOPS_MAX; i++)
		assert_int_equal(harness_run(h.prog, p.b, p.n, &ctx, NULL, NULL), TC_ACT_REDIRECT);
	assert_int_equal(harness_run(h.prog, p.b, p.n, &ctx, NULL, NULL), TC_ACT_SHOT);
	assert_int_equal(why(RULE_TWO, QOSD_WHY_LOOP), 1);
	assert_int_equal(stats(RULE_TWO).packets, QOSD_HOPS_MAX);
}

/* ---- other sides ---- */

/* No hop is taken from it a second time. */
static void what_leaves_has_been_routed_before(void **state)
{
	struct qosd_forward_conf conf = {.mode = QOSD_FORWARD_NEIGH, .target = 1, .nexthop = 6, .address.b = {0xfd}};

	(void)state;
	rule_is(RULE_TWO, conf);
	load_rules(0, 14);
	for (int v6 = 0; v6 < 2; v6++) {
		struct packet_buf p = udp_packet(v6, 9);
		uint8_t out[256];
		size_t n = sizeof(out);

		assert_int_equal(harness_run(h.prog, p.b, p.n, NULL, out, &n), TC_ACT_REDIRECT);
		assert_int_equal(n, p.n);
		assert_memory_equal(out, p.b, p.n);
	}
}

/* The test run takes the protocol from where an Ethernet header would have it: that is in this source address. */
static void between_devices_without_headers_none_is_made(void **state)
{
	struct qosd_forward_conf conf = {.mode = QOSD_FORWARD_NEIGH, .target = 1, .nexthop = 6, .address.b = {0xfd}};
	struct packet_buf p = {0};
	uint8_t out[256];
	size_t n = sizeof(out);

	(void)state;
	packet_ipv6(&p, "fd00:0:86dd::1", "fd00::2", IPPROTO_UDP);
	packet_udp(&p, 5, 9);
	packet_pad_to(&p, 100);
	target_is(1, (struct qosd_target){.ifindex = here});
	rule_is(RULE_TWO, conf);
	load_rules(0, 0);
	assert_int_equal(harness_run(h.prog, p.b, p.n, NULL, out, &n), TC_ACT_REDIRECT);
	assert_int_equal(n, p.n);
	assert_memory_equal(out, p.b, p.n);
	assert_int_equal(stats(RULE_TWO).skb_bytes, p.n);
	/* to one with a header: it is */
	target_is(1, (struct qosd_target){.ifindex = here, .l2_len = 14});
	n = sizeof(out);
	assert_int_equal(harness_run(h.prog, p.b, p.n, NULL, out, &n), TC_ACT_REDIRECT);
	assert_int_equal(n, p.n + ETH_HLEN);
}

/* ---- whatever comes ---- */

/* By the first byte of an IPv4 address. */
static bool is_host(uint8_t first)
{
	return first != 0 && first != 127 && first < 224;
}

/* What a second reader finds that a packet must be to go past the stack. */
static bool may_go(const uint8_t *b, size_t n)
{
	static const uint8_t zeros[6];
	const uint8_t *ip = b + ETH_HLEN;

	if (n < ETH_HLEN + 20u || memcmp(b, zeros, 6) != 0)
		return false;
	if (b[12] == 0x08 && b[13] == 0x00)
		return ip[0] == 0x45 && ip[8] > 1 && !((ip[6] << 8 | ip[7]) & 0x3fff) && is_host(ip[12]) &&
		       is_host(ip[16]);
	if (b[12] == 0x86 && b[13] == 0xdd && n >= ETH_HLEN + 40u)
		return ip[0] >> 4 == 6 && ip[7] > 1 && ip[8] != 0xff && ip[24] != 0xff && ip[6] != IPPROTO_FRAGMENT &&
		       ip[6] != IPPROTO_HOPOPTS && ip[6] != IPPROTO_ROUTING && ip[6] != IPPROTO_DSTOPTS;
	return false;
}

static void nothing_bent_goes_past_the_stack(void **state)
{
	unsigned handed = 0, left = 0;

	(void)state;
	/* Both rules by the mode that takes least. */
	rule_is(RULE_TWO, (struct qosd_forward_conf){.mode = QOSD_FORWARD_PEER});
	srand(1);
	for (int i = 0; i < 60000; i++) {
		struct packet_buf p = udp_packet(rand() % 2, (uint16_t)(rand() % 3));
		uint8_t out[256];
		size_t n = sizeof(out);
		int verdict;

		for (int bends = rand() % 4; bends; bends--)
			p.b[(size_t)rand() % 60] = (uint8_t)rand();
		if (rand() % 8 == 0)
			p.n = 54 + (size_t)rand() % (p.n - 54); /* the kernel runs no program on less */
		verdict = harness_run(h.prog, p.b, p.n, NULL, out, &n);
		assert_int_equal(n, p.n);
		if (verdict == TC_ACT_REDIRECT)
			handed++;
		else
			left++;
		if (verdict == TC_ACT_REDIRECT)
			assert_true(may_go(p.b, p.n));
		else
			assert_int_equal(verdict, TC_ACT_UNSPEC);
		if (verdict == TC_ACT_UNSPEC)
			assert_memory_equal(out, p.b, p.n);
	}
	assert_true(handed > 5000 && left > 5000);
}

static uint32_t device(const char *name, int mtu)
{
	char command[128];

	(void)snprintf(
		command, sizeof(command),
		"ip link add %s mtu %d type veth peer name %.10s-x && ip link set %s up && ip link set %.10s-x up",
		name, mtu, name, name, name);
	if (system(command)) {
		printf("SKIP: no veth\n");
		exit(77);
	}
	return if_nametoindex(name);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_prestate_setup_teardown(f, setup, harness_teardown, &h)
	const struct CMUnitTest tests[] = {
		TEST(a_packet_is_handed_over_and_counted),
		TEST(a_routed_packet_has_one_hop_less),
		TEST(a_packet_of_layer_2_stays_as_it_is),
		TEST(on_ingress_it_is_addressed_to_the_device),
		TEST(after_a_copy_later_rules_are_looked_at),
		TEST(without_a_copy_the_packet_goes_on),
		TEST(copies_are_no_hops_of_the_packet),
		TEST(a_next_hop_needs_no_route),
		TEST(another_device_of_the_slot_is_counted_anew),
		TEST(what_is_switched_off_goes_to_the_stack),
		TEST(what_the_stack_has_to_see_goes_there),
		TEST(what_is_not_ip_or_protected_is_not_looked_at),
		TEST(a_packet_of_the_MTU_is_not_too_big),
		TEST(what_is_behind_the_IP_packet_counts_for_the_MTU),
		TEST(a_device_that_is_away_is_a_miss),
		TEST(without_forwarding_there_is_no_route),
		TEST(routes_are_asked_for_each_flow),
		TEST(what_routes_said_is_soon_forgotten),
		TEST(one_packet_in_many_asks_for_a_next_hop),
		TEST(a_packet_that_goes_round_is_dropped),
		TEST(what_leaves_has_been_routed_before),
		TEST(between_devices_without_headers_none_is_made),
		TEST(nothing_bent_goes_past_the_stack),
	};

	harness_need_bpf();
	if (unshare(CLONE_NEWNET)) {
		printf("SKIP: namespaces: %s\n", strerror(errno));
		return 77;
	}
	here = device("here", 1500);
	small = device("small", 1280);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
