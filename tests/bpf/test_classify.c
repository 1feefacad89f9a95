/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * classify: packets in, classes out. Class 1 is what the rules of a test are about, the default is to pass; the class a
 * packet came to is seen in the statistics.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness.skel.h"
#include "random_rules.h"
#include "runs.h"

static struct test_hook h;
static uint64_t seen[HARNESS_CLASSES]; /* packets of each class that class_of knows of */

static int setup(void **state)
{
	(void)state;
	harness_open(&h);
	memset(seen, 0, sizeof(seen));
	return 0;
}

/* ---- rules of one literal, each its own class from 1 on ---- */

static void load_literals(struct literal *literals, size_t n)
{
	static struct rule v[HARNESS_CLASSES];
	struct rules r = {.v = v, .n = n};

	for (size_t i = 0; i < n; i++)
		v[i] = (struct rule){.cls = &harness_classes[i + 1], .literals = &literals[i], .n = 1};
	harness_rules(&h, &r);
}

static struct prefix prefix(const char *s, uint8_t bits)
{
	struct prefix p = {.bits = bits};
	char mapped[64];

	p.v4 = !strchr(s, ':');
	(void)snprintf(mapped, sizeof(mapped), "%s%s", p.v4 ? "::ffff:" : "", s);
	assert_int_equal(inet_pton(AF_INET6, mapped, &p.addr), 1);
	return p;
}

/* Runs the packet and says which class it came to: the one that counted a packet. -1: none, the packet was left alone.
 */
static int class_of(const struct packet_buf *p, struct __sk_buff *ctx)
{
	int found = -1;

	assert_int_equal(harness_run(h.prog, p->b, p->n, ctx, NULL, NULL), TC_ACT_UNSPEC);
	for (uint32_t i = 0; i < HARNESS_CLASSES && found < 0; i++) {
		uint64_t packets = harness_stats(&h, i).packets;

		if (packets != seen[i])
			found = (int)i;
		seen[i] = packets;
	}
	return found;
}

/* Most tests ask: is port 7 seen in this packet? */
static void load_port_seven(void)
{
	static struct range seven = {7, 7};
	struct literal l = {.field = FIELD_DPORT, .ranges = &seven, .n = 1};

	load_literals(&l, 1);
}

/* ---- normal use ---- */

static void a_packet_comes_to_its_class(void **state)
{
	struct prefix lan = prefix("10.0.0.0", 104), lan6 = prefix("fd00::", 8);
	struct range web = {443, 443};
	struct literal l[] = {{.field = FIELD_DPORT, .ranges = &web, .n = 1},
			      {.field = FIELD_DST, .prefixes = &lan, .n = 1},
			      {.field = FIELD_DST, .prefixes = &lan6, .n = 1}};
	struct packet_buf p;

	(void)state;
	load_literals(l, 3);
	p = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, 443);
	assert_int_equal(class_of(&p, NULL), 1);
	p = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, 80);
	assert_int_equal(class_of(&p, NULL), 2);
	p = packet_udp_frame("fd00::1", "fd00::2", 5, 80);
	assert_int_equal(class_of(&p, NULL), 3);
	p = packet_udp_frame("1.1.1.1", "11.0.0.1", 5, 80);
	assert_int_equal(class_of(&p, NULL), 0);
	assert_int_equal(harness_hook_stats(&h).packets, 4);
	assert_int_equal(harness_stats(&h, 1).bytes, 100);
}

static void what_matches_nothing_comes_to_the_default(void **state)
{
	struct packet_buf p = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, 6);

	(void)state;
	h.spec.conf.default_class = 9;
	load_port_seven();
	assert_int_equal(class_of(&p, NULL), 9);
}

static void a_hook_without_rules_has_only_its_default(void **state)
{
	struct packet_buf p = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, 6);

	(void)state;
	h.spec.conf.default_class = 3;
	harness_load(&h);
	assert_int_equal(class_of(&p, NULL), 3);
}

static void same_as_rules_match_on_random_rules(void **state);

/* ---- the link layer ---- */

static void tags_and_pppoe_are_looked_through(void **state)
{
	static const struct {
		const char *what;
		int tags;
		uint16_t tag_type;
		bool pppoe, v6;
	} cases[] = {
		{"plain", 0, 0, false, false},
		{"802.1Q", 1, ETH_P_8021Q, false, false},
		{"802.1ad", 1, ETH_P_8021AD, false, true},
		{"two tags", 2, ETH_P_8021AD, false, false},
		{"two tags, IPv6", 2, ETH_P_8021Q, false, true},
		{"PPPoE", 0, 0, true, false},
		{"PPPoE, IPv6", 0, 0, true, true},
		{"PPPoE in two tags", 2, ETH_P_8021AD, true, false},
	};

	(void)state;
	load_port_seven();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint16_t ip = cases[i].v6 ? ETH_P_IPV6 : ETH_P_IP, inner = cases[i].pppoe ? ETH_P_PPP_SES : ip;
		struct packet_buf p;

		packet_ethernet(&p, cases[i].tags ? cases[i].tag_type : inner);
		for (int tag = cases[i].tags; tag > 0; tag--)
			packet_vlan(&p, (uint16_t)(0x2000 + tag), tag > 1 ? ETH_P_8021Q : inner);
		if (cases[i].pppoe)
			packet_pppoe(&p, cases[i].v6 ? 0x57 : 0x21);
		if (cases[i].v6)
			packet_ipv6(&p, "fd00::1", "fd00::2", IPPROTO_UDP);
		else
			packet_ipv4(&p, "1.1.1.1", "10.0.0.1", IPPROTO_UDP);
		packet_udp(&p, 5, 7);
		packet_done(&p);
		if (class_of(&p, NULL) != 1)
			fail_msg("%s: not seen", cases[i].what);
	}
}

static void a_third_tag_is_not_ip(void **state)
{
	struct packet_buf p;

	(void)state;
	load_port_seven();
	packet_ethernet(&p, ETH_P_8021AD);
	packet_vlan(&p, 1, ETH_P_8021Q);
	packet_vlan(&p, 2, ETH_P_8021Q);
	packet_vlan(&p, 3, ETH_P_IP);
	packet_ipv4(&p, "1.1.1.1", "10.0.0.1", IPPROTO_UDP);
	packet_udp(&p, 5, 7);
	packet_done(&p);
	assert_int_equal(class_of(&p, NULL), -1);
	assert_int_equal(harness_hook_stats(&h).not_ip, 1);
}

static void the_outermost_vlan_id_counts(void **state)
{
	struct range five = {5, 5}, six = {6, 6}, all = {0, 4095};
	struct literal l[] = {{.field = FIELD_VLAN, .ranges = &five, .n = 1},
			      {.field = FIELD_VLAN, .ranges = &six, .n = 1},
			      {.field = FIELD_VLAN, .ranges = &all, .n = 1, .negated = true}};
	struct packet_buf p;

	(void)state;
	load_literals(l, 3);
	packet_ethernet(&p, ETH_P_8021AD);
	packet_vlan(&p, 0xe000 | 5, ETH_P_8021Q); /* with a priority, which is no part of the id */
	packet_vlan(&p, 6, ETH_P_IP);
	packet_ipv4(&p, "1.1.1.1", "10.0.0.1", IPPROTO_UDP);
	packet_udp(&p, 5, 7);
	packet_done(&p);
	assert_int_equal(class_of(&p, NULL), 1);
	p = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, 6);
	assert_int_equal(class_of(&p, NULL), 3);
}

static void a_tag_in_the_metadata_comes_before_those_in_the_frame(void **state)
{
	struct range five = {5, 5}, six = {6, 6};
	struct literal l[] = {{.field = FIELD_VLAN, .ranges = &five, .n = 1},
			      {.field = FIELD_VLAN, .ranges = &six, .n = 1}};
	struct harness *helper = harness__open_and_load();
	uint32_t zero = 0;
	struct packet_buf p;

	(void)state;
	load_literals(l, 2);
	assert_non_null(helper);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(helper->maps.next), &zero, &h.prog, BPF_ANY), 0);
	helper->bss->vlan_tci = 5;
	p = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, 7);
	assert_int_equal(harness_run(bpf_program__fd(helper->progs.push_vlan), p.b, p.n, NULL, NULL, NULL),
			 TC_ACT_UNSPEC);
	assert_int_equal(harness_stats(&h, 1).packets, 1);
	/* The tag is not in the packet that the program sees, but it is on the wire. */
	assert_int_equal(harness_stats(&h, 1).bytes, 104);

	packet_ethernet(&p, ETH_P_8021Q);
	packet_vlan(&p, 6, ETH_P_IP);
	packet_ipv4(&p, "1.1.1.1", "10.0.0.1", IPPROTO_UDP);
	packet_udp(&p, 5, 7);
	packet_done(&p);
	assert_int_equal(harness_run(bpf_program__fd(helper->progs.push_vlan), p.b, p.n, NULL, NULL, NULL),
			 TC_ACT_UNSPEC);
	assert_int_equal(harness_stats(&h, 1).packets, 2);
	harness__destroy(helper);
}

/* A frame whose bytes 12 and 13 happen to be the EtherType too: the test run needs one to know the protocol. */
static void a_device_without_ethernet_starts_at_ip(void **state)
{
	struct packet_buf p, frame;

	(void)state;
	h.spec.conf.l2_len = 0;
	load_port_seven();
	p = packet_udp_frame("8.0.0.1", "10.0.0.1", 5, 7); /* 0x0800 */
	frame.n = 0;
	packet_bytes(&frame, p.b + ETH_HLEN, p.n - ETH_HLEN);
	assert_int_equal(class_of(&frame, NULL), 1);
	p = packet_udp_frame("fd00:0:86dd::1", "fd00::2", 5, 7);
	frame.n = 0;
	packet_bytes(&frame, p.b + ETH_HLEN, p.n - ETH_HLEN);
	assert_int_equal(class_of(&frame, NULL), 1);
}

/* ---- IP ---- */

static void options_are_stepped_over(void **state)
{
	struct packet_buf p;

	(void)state;
	load_port_seven();
	packet_ip(&p, "1.1.1.1", "10.0.0.1", IPPROTO_UDP);
	packet_zeros(&p, 40);
	p.b[p.l3] = 0x4f;
	packet_udp(&p, 5, 7);
	packet_done(&p);
	assert_int_equal(class_of(&p, NULL), 1);
}

static void only_the_first_fragment_has_ports(void **state)
{
	struct packet_buf p = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, 7);
	static const uint8_t fragment_first[] = {IPPROTO_UDP, 0, 0x00, 0x01, 0, 0, 0, 1},
			     fragment_later[] = {IPPROTO_UDP, 0, 0x00, 0x08, 0, 0, 0, 1};

	(void)state;
	load_port_seven();
	p.b[p.l3 + 6] = 0x20; /* more fragments, offset 0 */
	packet_done(&p);
	assert_int_equal(class_of(&p, NULL), 1);
	p.b[p.l3 + 7] = 1;
	packet_done(&p);
	assert_int_equal(class_of(&p, NULL), 0);

	packet_ip(&p, "fd00::1", "fd00::2", IPPROTO_FRAGMENT);
	packet_bytes(&p, fragment_first, sizeof(fragment_first));
	packet_udp(&p, 5, 7);
	packet_done(&p);
	assert_int_equal(class_of(&p, NULL), 1);
	memcpy(p.b + p.l3 + 40, fragment_later, sizeof(fragment_later));
	assert_int_equal(class_of(&p, NULL), 0);
}

static void a_later_fragment_still_has_its_protocol(void **state)
{
	struct range udp = {IPPROTO_UDP, IPPROTO_UDP};
	struct literal l = {.field = FIELD_PROTO, .ranges = &udp, .n = 1};
	static const uint8_t fragment[] = {IPPROTO_UDP, 0, 0x00, 0x08, 0, 0, 0, 1};
	struct packet_buf p;

	(void)state;
	load_literals(&l, 1);
	packet_ip(&p, "fd00::1", "fd00::2", IPPROTO_FRAGMENT);
	packet_bytes(&p, fragment, sizeof(fragment));
	packet_udp(&p, 5, 7);
	packet_done(&p);
	assert_int_equal(class_of(&p, NULL), 1);
}

static void extension_headers_are_stepped_over(void **state)
{
	static const uint8_t hop_by_hop[] = {IPPROTO_ROUTING, 1, 1, 12}, routing[] = {IPPROTO_AH, 0},
			     auth[] = {IPPROTO_DSTOPTS, 4}, dest[] = {IPPROTO_UDP, 0};
	struct packet_buf p;

	(void)state;
	load_port_seven();
	packet_ip(&p, "fd00::1", "fd00::2", IPPROTO_HOPOPTS);
	packet_bytes(&p, hop_by_hop, sizeof(hop_by_hop));
	packet_zeros(&p, 16 - sizeof(hop_by_hop));
	packet_bytes(&p, routing, sizeof(routing));
	packet_zeros(&p, 8 - sizeof(routing));
	packet_bytes(&p, auth, sizeof(auth));
	packet_zeros(&p, 24 - sizeof(auth));
	packet_bytes(&p, dest, sizeof(dest));
	packet_zeros(&p, 8 - sizeof(dest));
	packet_udp(&p, 5, 7);
	packet_done(&p);
	assert_int_equal(class_of(&p, NULL), 1);
}

/* It still has its addresses: a packet must not get around a policer by wearing hats. */
static void too_many_extension_headers_hide_only_layer_four(void **state)
{
	static const uint8_t more[] = {IPPROTO_DSTOPTS, 0, 0, 0, 0, 0, 0, 0},
			     last[] = {IPPROTO_UDP, 0, 0, 0, 0, 0, 0, 0};
	struct range seven = {7, 7};
	struct prefix v6 = prefix("fd00::", 8);
	struct literal l[] = {{.field = FIELD_DPORT, .ranges = &seven, .n = 1},
			      {.field = FIELD_SRC, .prefixes = &v6, .n = 1}};

	(void)state;
	load_literals(l, 2);
	for (int n = 7; n <= 9; n++) {
		struct packet_buf p;

		packet_ip(&p, "fd00::1", "fd00::2", IPPROTO_DSTOPTS);
		for (int i = 1; i < n; i++)
			packet_bytes(&p, more, sizeof(more));
		packet_bytes(&p, last, sizeof(last));
		packet_udp(&p, 5, 7);
		packet_done(&p);
		assert_int_equal(class_of(&p, NULL), n <= 8 ? 1 : 2);
	}
}

/* 60 bytes is the least that Ethernet sends: what is behind the IP packet is no header. */
static void padding_is_not_a_port(void **state)
{
	struct packet_buf p;

	(void)state;
	load_port_seven();
	packet_ip(&p, "1.1.1.1", "10.0.0.1", IPPROTO_UDP);
	packet_done(&p);
	packet_udp(&p, 5, 7);
	packet_zeros(&p, 60 - p.n);
	assert_int_equal(class_of(&p, NULL), 0);
}

static void each_transport_with_ports_has_them(void **state)
{
	static const struct {
		uint8_t proto;
		bool has;
	} cases[] = {{IPPROTO_TCP, true},  {IPPROTO_UDP, true}, {IPPROTO_UDPLITE, true}, {IPPROTO_SCTP, true},
		     {IPPROTO_DCCP, true}, {47, false},         {IPPROTO_ICMP, false}};

	(void)state;
	load_port_seven();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packet_buf p;

		packet_ip(&p, "1.1.1.1", "10.0.0.1", cases[i].proto);
		packet_ports(&p, 5, 7);
		packet_done(&p);
		assert_int_equal(class_of(&p, NULL), cases[i].has ? 1 : 0);
	}
}

/* ---- what is left alone ---- */

static struct packet_buf icmp6_packet(uint8_t type, uint8_t hop_limit)
{
	struct packet_buf p;

	packet_ip(&p, "fd00::1", "fd00::2", IPPROTO_ICMPV6);
	p.b[p.l3 + 7] = hop_limit;
	packet_bytes(&p, &type, 1);
	packet_zeros(&p, 23);
	packet_done(&p);
	return p;
}

static void neighbour_discovery_and_dhcp_are_exempt(void **state)
{
	static const struct {
		bool v6;
		uint16_t sport, dport;
		bool exempt;
	} dhcp[] = {{false, 68, 67, true},   {false, 67, 68, true},    {false, 67, 67, true},  {false, 68, 443, false},
		    {false, 443, 68, false}, {false, 546, 547, false}, {true, 546, 547, true}, {true, 547, 546, true},
		    {true, 546, 443, false}, {true, 68, 67, false}};
	struct packet_buf p;

	(void)state;
	h.spec.conf.default_class = 2;
	harness_load(&h);
	for (int type = 130; type <= 140; type++) {
		p = icmp6_packet((uint8_t)type, 255);
		assert_int_equal(class_of(&p, NULL), type >= 133 && type <= 137 ? -1 : 2);
	}
	p = icmp6_packet(135, 64); /* came from elsewhere: that is not ND */
	assert_int_equal(class_of(&p, NULL), 2);
	for (size_t i = 0; i < sizeof(dhcp) / sizeof(dhcp[0]); i++) {
		p = packet_udp_frame(dhcp[i].v6 ? "fe80::1" : "0.0.0.0", dhcp[i].v6 ? "ff02::2" : "255.255.255.255",
				     dhcp[i].sport, dhcp[i].dport);
		assert_int_equal(class_of(&p, NULL), dhcp[i].exempt ? -1 : 2);
		/* merged from many */
		assert_int_equal(class_of(&p, &(struct __sk_buff){.gso_size = 10, .gso_segs = 2}), 2);
	}
	assert_int_equal(harness_hook_stats(&h).exempt, 5 + 5);
}

/* Who uses their ports for something else has what the bucket holds, and is classified from then on. */
static void what_is_exempt_has_a_limit(void **state)
{
	struct packet_buf dhcp = packet_udp_frame("192.0.2.1", "198.51.100.7", 68, 67), nd = icmp6_packet(136, 255);
	struct timespec pause = {.tv_nsec = 300000000};
	cpu_set_t before, one;
	int classified = 0;

	(void)state;
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one); /* each has a bucket */
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	h.spec.conf.default_class = 2;
	h.spec.conf.exempt_ns = 200000000;
	harness_load(&h);
	for (int i = 0; i < QOSD_EXEMPT_BURST; i++)
		assert_int_equal(class_of(i % 2 ? &dhcp : &nd, NULL), -1);
	for (int i = 0; i < 100; i++) /* the bucket gains a few while this runs */
		classified += class_of(i % 2 ? &dhcp : &nd, NULL) == 2;
	assert_in_range(classified, 80, 100);
	assert_int_equal(harness_hook_stats(&h).exempt, QOSD_EXEMPT_BURST + 100 - classified);
	(void)nanosleep(&pause, NULL);
	assert_int_equal(class_of(&nd, NULL), -1);
	(void)sched_setaffinity(0, sizeof(before), &before);
}

static void protected_packets_come_to_no_class(void **state)
{
	struct range ssh = {22, 22};
	struct literal l = {.field = FIELD_DPORT, .ranges = &ssh, .n = 1};
	struct rule v[] = {{.cls = NULL, .literals = &l, .n = 1}, {.cls = &harness_classes[1]}};
	struct rules r = {.v = v, .n = 2};
	struct packet_buf p = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, 22);

	(void)state;
	harness_rules(&h, &r);
	assert_int_equal(class_of(&p, NULL), -1);
	assert_int_equal(harness_hook_stats(&h).exempt, 1);
	p = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, 23);
	assert_int_equal(class_of(&p, NULL), 1);
}

static void what_is_not_ip_passes(void **state)
{
	static const uint16_t types[] = {ETH_P_ARP, ETH_P_PPP_DISC, 0x88cc, 0x0026, ETH_P_8021Q};
	struct packet_buf p;

	(void)state;
	h.spec.conf.default_class = 2;
	harness_load(&h);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		packet_ethernet(&p, types[i]);
		packet_zeros(&p, 46);
		assert_int_equal(class_of(&p, NULL), -1);
	}
	packet_ethernet(&p, ETH_P_PPP_SES);
	packet_pppoe(&p, 0xc021); /* LCP */
	packet_zeros(&p, 46);
	assert_int_equal(class_of(&p, NULL), -1);
	assert_int_equal(harness_hook_stats(&h).not_ip, 6);
}

static void a_header_that_lies_about_its_version_passes(void **state)
{
	struct packet_buf p = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, 7);

	(void)state;
	h.spec.conf.default_class = 2;
	harness_load(&h);
	p.b[p.l3] = 0x44; /* shorter than the shortest header */
	assert_int_equal(class_of(&p, NULL), -1);
	p.b[p.l3] = 0x65;
	assert_int_equal(class_of(&p, NULL), -1);
	p = packet_udp_frame("fd00::1", "fd00::2", 5, 7);
	p.b[p.l3] = 0x40;
	assert_int_equal(class_of(&p, NULL), -1);
	assert_int_equal(harness_hook_stats(&h).malformed, 3);
}

static void bypass_turns_it_off_and_on(void **state)
{
	struct packet_buf p = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, 7);

	(void)state;
	load_port_seven();
	harness_bypass(&h, true);
	assert_int_equal(class_of(&p, NULL), -1);
	assert_int_equal(harness_hook_stats(&h).bypassed, 1);
	harness_bypass(&h, false);
	assert_int_equal(class_of(&p, NULL), 1);
}

/* ---- marks, interfaces, sets ---- */

static void marks_and_interfaces(void **state)
{
	struct literal l[] = {{.field = FIELD_MARK, .value = 0x10, .mask = 0xf0},
			      {.field = FIELD_IN_DEV, .ifname = "7"}};
	struct packet_buf p = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, 7);
	struct __sk_buff ctx = {.mark = 0x1f};

	(void)state;
	load_literals(l, 2);
	assert_int_equal(class_of(&p, &ctx), 1);
	ctx = (struct __sk_buff){.mark = 0x3f, .ingress_ifindex = 7};
	assert_int_equal(class_of(&p, &ctx), 2);
	ctx = (struct __sk_buff){.ingress_ifindex = 8};
	assert_int_equal(class_of(&p, &ctx), 0);
}

static void put_element(const char *what, const char *address, uint8_t bits)
{
	struct prefix p = prefix(address, bits);
	struct qosd_lpm lpm = {.prefixlen = bits};
	struct qosd_written value = {0};
	bool single = strcmp(what, "written") == 0;

	memcpy(&lpm.addr, &p.addr, sizeof(lpm.addr));
	assert_int_equal(
		bpf_map_update_elem(harness_set_map(&h, 3, what), single ? (void *)&lpm.addr : &lpm, &value, BPF_ANY),
		0);
}

static void put_learned(const char *address, uint64_t age_ns)
{
	struct prefix p = prefix(address, 128);
	struct timespec now;
	struct qosd_learned value = {0};

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
	value.last_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec - age_ns;
	assert_int_equal(bpf_map_update_elem(harness_set_map(&h, 3, "learned"), &p.addr, &value, BPF_ANY), 0);
}

static void look_for_members(bool clocked)
{
	struct qosd_set_conf conf = {.timeout_ns = 15000000000, .n_prefixes = 1};
	struct literal l[] = {{.field = FIELD_SRC_SET, .set = &harness_sets[3]},
			      {.field = FIELD_DST_SET, .set = &harness_sets[3]}};
	static const struct {
		const char *src, *dst;
		int class_number;
	} cases[] = {
		{"10.0.0.1", "1.1.1.1", 1},  {"10.0.0.2", "1.1.1.1", 0}, /* learned, too old */
		{"10.0.0.3", "1.1.1.1", 1},  {"10.7.0.1", "1.1.1.1", 1}, /* written; in a prefix */
		{"1.1.1.1", "10.0.0.1", 2},  {"10.0.0.1", "10.0.0.1", 1},
		{"fd00::1", "fd00::2", 1},   {"fd00::2", "fd00::1", 2},
		{"fd00::2", "fd00::3", 0},   {"10.8.0.1", "9.9.9.9", 0}, /* the set has 0::/8, which is not IPv4 */
		{"::5:1:2:3", "fd00::9", 1},
	};

	harness_set(&h, 3, &conf, 16);
	h.spec.conf.clocked = clocked;
	put_learned("10.0.0.1", 0);
	put_learned("10.0.0.2", 16000000000);
	put_learned("fd00::1", 0);
	put_element("written", "10.0.0.3", 128);
	put_element("prefixes", "10.7.0.0", 112);
	put_element("prefixes", "::", 8);
	load_literals(l, 2);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packet_buf p = packet_udp_frame(cases[i].src, cases[i].dst, 5, 7);
		int got = class_of(&p, NULL);

		if (got != cases[i].class_number)
			fail_msg("%s -> %s: class %d, not %d", cases[i].src, cases[i].dst, got, cases[i].class_number);
	}
}

static void a_set_that_is_not_there_has_no_members(void **state)
{
	struct literal l[] = {{.field = FIELD_SRC_SET, .set = &harness_sets[9]}};
	struct packet_buf p = packet_udp_frame("10.0.0.1", "1.1.1.1", 5, 7);

	(void)state;
	load_literals(l, 1);
	assert_int_equal(class_of(&p, NULL), 0);
}

static void members_of_a_set(void **state)
{
	(void)state;
	look_for_members(false);
}

/* Where the time is asked for once, for the sets and the class. */
static void members_of_a_set_by_the_clock(void **state)
{
	(void)state;
	look_for_members(true);
}

static void a_timeout_of_zero_is_never(void **state)
{
	struct qosd_set_conf conf = {0};
	struct literal l[] = {{.field = FIELD_SRC_SET, .set = &harness_sets[3]}};
	struct packet_buf p = packet_udp_frame("10.0.0.1", "1.1.1.1", 5, 7);

	(void)state;
	harness_set(&h, 3, &conf, 16);
	put_learned("10.0.0.1", 2000000000);
	load_literals(l, 1);
	assert_int_equal(class_of(&p, NULL), 1);
}

/* ---- lengths ---- */

static void length_is_that_of_one_segment(void **state)
{
	struct range small = {100, 100}, segment = {20 + 32 + 1000, 20 + 32 + 1000};
	struct literal l[] = {{.field = FIELD_LENGTH, .ranges = &small, .n = 1},
			      {.field = FIELD_LENGTH, .ranges = &segment, .n = 1}};
	struct __sk_buff ctx = {.gso_size = 1000, .gso_segs = 2};
	struct packet_buf p = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, 7);

	(void)state;
	load_literals(l, 2);
	packet_pad_to(&p, ETH_HLEN + 100);
	assert_int_equal(class_of(&p, NULL), 1);

	packet_ip(&p, "1.1.1.1", "10.0.0.1", IPPROTO_TCP);
	packet_tcp(&p, 5, 7, 0x10);
	p.b[p.n - 8] = 8 << 4; /* 32 bytes of header */
	packet_zeros(&p, 12);
	packet_pad_to(&p, ETH_HLEN + 20 + 32 + 1500);
	ctx.wire_len = (uint32_t)p.n + ETH_HLEN + 20 + 32;
	assert_int_equal(class_of(&p, &ctx), 2);
	/* BIG TCP does not say how long it is. */
	memset(p.b + p.l3 + 2, 0, 2);
	ctx = (struct __sk_buff){.gso_size = 1000, .gso_segs = 2, .wire_len = (uint32_t)p.n + ETH_HLEN + 20 + 32};
	assert_int_equal(class_of(&p, &ctx), 2);
}

/* ---- random ---- */

static void build(const struct packet_fields *f, struct packet_buf *p)
{
	bool v4 = f->family == 4, fragment;
	uint16_t ip = v4 ? ETH_P_IP : ETH_P_IPV6;
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	static const uint8_t later[] = {0, 0, 0x00, 0x08, 0, 0, 0, 1};

	packet_ethernet(p, f->vlan >= 0 ? ETH_P_8021Q : ip);
	if (f->vlan >= 0)
		packet_vlan(p, (uint16_t)f->vlan, ip);
	assert_non_null(inet_ntop(v4 ? AF_INET : AF_INET6, f->src.s6_addr + (v4 ? 12 : 0), src, sizeof(src)));
	assert_non_null(inet_ntop(v4 ? AF_INET : AF_INET6, f->dst.s6_addr + (v4 ? 12 : 0), dst, sizeof(dst)));
	fragment = !f->has_ports && f->icmp_type < 0 && f->proto != 47;
	if (v4) {
		packet_ipv4(p, src, dst, f->proto);
		p->b[p->l3 + 1] = (uint8_t)(f->dscp << 2 | 1);
		p->b[p->l3 + 7] = fragment;
	} else {
		packet_ipv6(p, src, dst, fragment ? IPPROTO_FRAGMENT : f->proto);
		p->b[p->l3] = (uint8_t)(0x60 | f->dscp >> 2);
		p->b[p->l3 + 1] = (uint8_t)(f->dscp << 6 | 0x10);
		if (fragment) {
			packet_bytes(p, later, sizeof(later));
			p->b[p->n - 8] = f->proto;
		}
	}
	if (f->proto == IPPROTO_TCP)
		packet_tcp(p, f->sport, f->dport, f->tcp_flags < 0 ? 0xff : (uint8_t)f->tcp_flags);
	else if (f->has_ports)
		packet_udp(p, f->sport, f->dport);
	else
		packet_bytes(p, &(uint8_t){f->icmp_type < 0 ? 8 : (uint8_t)f->icmp_type}, 1);
	packet_pad_to(p, p->l3 + f->length);
}

static bool in_set(void *ctx, const struct model_set *s, const struct in6_addr *addr)
{
	(void)ctx;
	return random_in_set((uint32_t)(s - harness_sets), addr);
}

/* All addresses that random packets have, into the sets that have them; by one way or another. */
static void fill_sets(uint32_t n)
{
	struct qosd_set_conf conf = {.timeout_ns = 60000000000u};
	struct qosd_learned learned = {.last_ns = ~0ull >> 2};
	struct qosd_written written = {0};
	struct random r = {.state = 4711};

	for (uint32_t slot = 0; slot < n; slot++)
		harness_set(&h, slot, &conf, 512);
	for (int i = 0; i < 4000; i++) {
		struct packet_fields p = random_packet(&r);

		for (uint32_t slot = 0; slot < n; slot++) {
			if (!random_in_set(slot, &p.src))
				continue;
			if (p.src.s6_addr[15] & 1)
				assert_int_equal(bpf_map_update_elem(harness_set_map(&h, slot, "learned"), &p.src,
								     &learned, BPF_ANY),
						 0);
			else
				assert_int_equal(bpf_map_update_elem(harness_set_map(&h, slot, "written"), &p.src,
								     &written, BPF_ANY),
						 0);
		}
	}
}

static void same_as_rules_match_on_random_rules(void **state)
{
	const char *env = getenv("QOSD_SEED");
	uint64_t first = env ? strtoull(env, NULL, 0) : 1, last = env ? first : 40;

	(void)state;
	fill_sets(3);
	for (uint64_t seed = first; seed <= last; seed++) {
		struct random r = {.state = seed * 0x9e3779b97f4a7c15ull};
		size_t n = seed % 5 == 0 ? QOSD_RULES_MAX : 1 + random_below(&r, 80);
		uint32_t fields = seed % 3 ? (1u << FIELDS) - 1 : 1 + random_below(&r, (1u << FIELDS) - 1);
		struct rules *rules =
			random_rules(h.arena, &r, n, fields, harness_classes, HARNESS_CLASSES, harness_sets, 3);

		harness_rules(&h, rules);
		for (int i = 0; i < 200; i++) {
			struct packet_fields f = random_packet(&r);
			struct __sk_buff ctx = {.mark = f.mark, .ingress_ifindex = (uint32_t)atoi(f.in_dev)};
			int rule = rules_match(rules, &f, in_set, NULL);
			int want = rule < 0 ? 0 : (int)(rules->v[rule].cls - harness_classes), got;
			struct packet_buf p;

			build(&f, &p);
			got = class_of(&p, &ctx);
			if (got != want)
				fail_msg("seed %llu: class %d, not %d, for %s", (unsigned long long)seed, got, want,
					 packet_fields_text(&f));
		}
	}
}

static void each_of_the_most_rules_can_win(void **state)
{
	static struct rule v[QOSD_RULES_MAX];
	static struct literal l[QOSD_RULES_MAX];
	static struct range port[QOSD_RULES_MAX];
	static const size_t numbers[] = {1, 63, 64, 65, 128, 129, 256, 257, QOSD_RULES_MAX};
	struct rules r = {.v = v};

	(void)state;
	for (size_t i = 0; i < QOSD_RULES_MAX; i++) {
		port[i] = (struct range){(uint32_t)i, (uint32_t)i};
		l[i] = (struct literal){.field = FIELD_DPORT, .ranges = &port[i], .n = 1};
		v[i] = (struct rule){.cls = &harness_classes[1 + i % 7], .literals = &l[i], .n = 1};
	}
	for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
		r.n = numbers[n];
		harness_rules(&h, &r);
		for (size_t i = 0; i <= r.n; i++) {
			struct packet_buf p = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, (uint16_t)i);

			assert_int_equal(class_of(&p, NULL), i < r.n ? 1 + i % 7 : 0);
		}
	}
}

/* Far more classes than bits: customers that an address tells apart. */
static void thousands_of_customers_have_a_class_each(void **state)
{
	enum { CUSTOMERS = 3000 };
	static struct rule v[CUSTOMERS + 2];
	static struct literal l[CUSTOMERS + 2];
	static struct prefix at[CUSTOMERS + 2];
	static struct range web = {443, 443};
	struct rules r = {.v = v, .n = CUSTOMERS + 2};
	struct packet_buf p;
	char address[32];

	(void)state;
	at[CUSTOMERS + 1] = prefix("10.0.0.0", 104);
	l[0] = (struct literal){.field = FIELD_DPORT, .ranges = &web, .n = 1};
	for (size_t i = 1; i < r.n; i++)
		l[i] = (struct literal){.field = FIELD_DST, .prefixes = &at[i], .n = 1};
	for (size_t i = 0; i < r.n; i++)
		v[i] = (struct rule){.cls = &harness_classes[i <= 1 ? 14 + i : 1 + i % 13], .literals = &l[i], .n = 1};
	for (size_t i = 1; i <= CUSTOMERS; i++) {
		(void)snprintf(address, sizeof(address), "10.0.%zu.%zu", i / 256, i % 256);
		at[i] = prefix(address, 128);
	}
	runs_find(h.arena, &r);
	harness_rules(&h, &r);
	assert_int_equal(h.spec.tables->n_rules, 3);
	for (size_t i = 1; i <= CUSTOMERS; i += i < 20 ? 1 : 113) {
		(void)snprintf(address, sizeof(address), "10.0.%zu.%zu", i / 256, i % 256);
		p = packet_udp_frame("1.1.1.1", address, 5, 6);
		assert_int_equal(class_of(&p, NULL), v[i].cls - harness_classes);
		p = packet_udp_frame("1.1.1.1", address, 5, 443);
		assert_int_equal(class_of(&p, NULL), 14);
	}
	p = packet_udp_frame("1.1.1.1", "10.1.0.0", 5, 6);
	assert_int_equal(class_of(&p, NULL), v[CUSTOMERS + 1].cls - harness_classes);
	p = packet_udp_frame("10.0.0.1", "11.1.0.0", 5, 6);
	assert_int_equal(class_of(&p, NULL), 0);
}

/* ---- garbage ---- */

/* A program that would drop everything it can: rate zero's neighbour for every field. */
static void load_drop_all(void)
{
	static struct range seven = {7, 7};
	struct literal l = {.field = FIELD_DPORT, .ranges = &seven, .n = 1};
	struct qosd_class_conf conf = {.kind = QOSD_KIND_POLICE, .mult = 1u << 31, .shift = 1};

	harness_conf(&h, 1, &conf);
	load_literals(&l, 1);
}

static void cut_off_anywhere_it_passes_unless_the_port_is_there(void **state)
{
	struct packet_buf whole[6];
	static const size_t port_end[] = {14 + 20 + 4, 18 + 20 + 4,      22 + 8 + 40 + 4,
					  14 + 60 + 4, 14 + 40 + 16 + 4, 14 + 40 + 8 + 4};
	static const uint8_t ext[] = {IPPROTO_UDP, 1}, frag[] = {IPPROTO_UDP, 0, 0, 1, 0, 0, 0, 1};

	(void)state;
	load_drop_all();
	whole[0] = packet_udp_frame("1.1.1.1", "10.0.0.1", 5, 7);
	packet_ethernet(&whole[1], ETH_P_8021Q);
	packet_vlan(&whole[1], 5, ETH_P_IP);
	packet_ipv4(&whole[1], "1.1.1.1", "10.0.0.1", IPPROTO_UDP);
	packet_ethernet(&whole[2], ETH_P_8021AD);
	packet_vlan(&whole[2], 5, ETH_P_8021Q);
	packet_vlan(&whole[2], 5, ETH_P_PPP_SES);
	packet_pppoe(&whole[2], 0x57);
	packet_ipv6(&whole[2], "fd00::1", "fd00::2", IPPROTO_UDP);
	packet_ip(&whole[3], "1.1.1.1", "10.0.0.1", IPPROTO_UDP);
	whole[3].b[14] = 0x4f;
	packet_zeros(&whole[3], 40);
	packet_ip(&whole[4], "fd00::1", "fd00::2", IPPROTO_HOPOPTS);
	packet_bytes(&whole[4], ext, sizeof(ext));
	packet_zeros(&whole[4], 14);
	packet_ip(&whole[5], "fd00::1", "fd00::2", IPPROTO_FRAGMENT);
	packet_bytes(&whole[5], frag, sizeof(frag));
	for (size_t i = 0; i < 6; i++) {
		struct packet_buf *p = &whole[i];

		if (i)
			packet_udp(p, 5, 7);
		packet_pad_to(p, 120);
		for (size_t n = 120; n >= ETH_HLEN; n--) {
			int verdict;

			/* Kernels refuse runs of less than a header; some of less than an IP header. */
			LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p->b, .data_size_in = (uint32_t)n);
			if (bpf_prog_test_run_opts(h.prog, &opts)) {
				assert_int_equal(errno, EINVAL);
				assert_true(n < ETH_HLEN + 40);
				continue;
			}
			verdict = (int)opts.retval;
			if (verdict != (n >= port_end[i] ? TC_ACT_SHOT : TC_ACT_UNSPEC))
				fail_msg("packet %zu cut to %zu bytes: verdict %d", i, n, verdict);
		}
	}
}

static void garbage_passes(void **state)
{
	struct random r = {.state = 99};
	uint64_t malformed;

	(void)state;
	fill_sets(3);
	h.spec.conf.learn_n = 3;
	for (uint32_t i = 0; i < 3; i++)
		h.spec.conf.learn_slot[i] = i;
	harness_rules(&h, random_rules(h.arena, &r, 100, (1u << FIELDS) - 1, harness_classes, HARNESS_CLASSES,
				       harness_sets, 3));
	for (int i = 0; i < 100000; i++) {
		struct packet_fields f = random_packet(&r);
		struct packet_buf p;
		size_t n;

		build(&f, &p);
		for (uint32_t flips = random_below(&r, 8); flips; flips--)
			p.b[12 + random_below(&r, 90)] = (uint8_t)random_below(&r, 256);
		n = ETH_HLEN + 40 + random_below(&r, (uint32_t)(p.n - ETH_HLEN - 39));
		assert_int_equal(harness_run(h.prog, p.b, n, NULL, NULL, NULL), TC_ACT_UNSPEC);
	}
	malformed = harness_hook_stats(&h).malformed;
	assert_true(malformed > 100);
	assert_int_equal(harness_hook_stats(&h).errors, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_prestate_setup_teardown(f, setup, harness_teardown, &h)
	const struct CMUnitTest tests[] = {
		TEST(a_packet_comes_to_its_class),
		TEST(what_matches_nothing_comes_to_the_default),
		TEST(a_hook_without_rules_has_only_its_default),
		TEST(tags_and_pppoe_are_looked_through),
		TEST(a_third_tag_is_not_ip),
		TEST(the_outermost_vlan_id_counts),
		TEST(a_tag_in_the_metadata_comes_before_those_in_the_frame),
		TEST(a_device_without_ethernet_starts_at_ip),
		TEST(options_are_stepped_over),
		TEST(only_the_first_fragment_has_ports),
		TEST(a_later_fragment_still_has_its_protocol),
		TEST(extension_headers_are_stepped_over),
		TEST(too_many_extension_headers_hide_only_layer_four),
		TEST(padding_is_not_a_port),
		TEST(each_transport_with_ports_has_them),
		TEST(neighbour_discovery_and_dhcp_are_exempt),
		TEST(what_is_exempt_has_a_limit),
		TEST(protected_packets_come_to_no_class),
		TEST(what_is_not_ip_passes),
		TEST(a_header_that_lies_about_its_version_passes),
		TEST(bypass_turns_it_off_and_on),
		TEST(marks_and_interfaces),
		TEST(members_of_a_set),
		TEST(members_of_a_set_by_the_clock),
		TEST(a_set_that_is_not_there_has_no_members),
		TEST(a_timeout_of_zero_is_never),
		TEST(length_is_that_of_one_segment),
		TEST(same_as_rules_match_on_random_rules),
		TEST(each_of_the_most_rules_can_win),
		TEST(thousands_of_customers_have_a_class_each),
		TEST(cut_off_anywhere_it_passes_unless_the_port_is_there),
		TEST(garbage_passes),
	};

	harness_need_bpf();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
