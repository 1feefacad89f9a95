/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * hooks: the programs on clsact of a veth pair in a namespace of its own, for what no test run shows: the chain of
 * filters of engine tc, tags that the kernel moves to the metadata, merged packets that are hardly linear. near sends,
 * far receives. Everything is gone when the process is.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "harness.skel.h"

static struct test_hook h;
static struct harness *helper;
static char pins[] = "/tmp/qosd-test-XXXXXX";
static int wire = -1; /* a packet socket on near */

struct look {
	uint32_t packets, tc_index, mark, vlan_present, linear, len, wire_len, gso_segs, gso_size, priority,
		queue_mapping;
};

/* ---- the stage ---- */

static void shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *fmt, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command))
		fail_msg("failed: %s", command);
}

static void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0)
		return; /* a kernel without IPv6 */
	assert_true(write(fd, text, strlen(text)) > 0);
	close(fd);
}

static void give_up(const char *why)
{
	printf("SKIP: %s: %s\n", why, strerror(errno));
	(void)rmdir(pins);
	exit(77);
}

/* A namespace of the test's own; its mounts end with it. */
static void own_world(void)
{
	if (!mkdtemp(pins))
		give_up("mkdtemp");
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		give_up("namespaces");
	if (mount("bpf", pins, "bpf", 0, NULL))
		give_up("bpffs");
	put_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	put_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
}

static int setup(void **state)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int on = 1;

	(void)state;
	harness_open(&h);
	helper = harness__open_and_load();
	assert_non_null(helper);
	shell("ip link add near mtu 9000 type veth peer name far mtu 9000 && ip link set near up && ip link set far up "
	      "&& "
	      "tc qdisc add dev near clsact && tc qdisc add dev far clsact");
	wire = socket(AF_PACKET, SOCK_RAW, 0);
	assert_true(wire >= 0);
	assert_int_equal(setsockopt(wire, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	to.sll_ifindex = (int)if_nametoindex("near");
	assert_int_equal(bind(wire, (struct sockaddr *)&to, sizeof(to)), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(wire);
	shell("ip link del near");
	harness__destroy(helper);
	harness_close(&h);
	return 0;
}

static void attach_filter(const char *hook, int pref, uint32_t handle, int prog, const char *how)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/prog", pins);
	assert_int_equal(bpf_obj_pin(prog, path), 0);
	shell("tc filter add dev %s pref %d handle %u bpf object-pinned %s %s", hook, pref, handle, path, how);
	assert_int_equal(unlink(path), 0);
}

/* Direct action. */
static void attach(const char *hook, int pref, int prog)
{
	attach_filter(hook, pref, 1, prog, "da");
}

/* Not direct action, for class number. */
static void attach_class(int pref, enum prog_kind kind, uint32_t number)
{
	struct prog_spec spec = {.kind = kind};
	int fd = harness_load_spec(&h, &spec);
	char how[32];

	(void)snprintf(how, sizeof(how), "flowid 1:%x", number);
	attach_filter("far ingress", pref, number, fd, how);
	close(fd);
}

static void send_gso(const struct packet_buf *p, const struct virtio_net_hdr *gso, size_t extra)
{
	static uint8_t more[65536];
	struct iovec v[] = {{(void *)gso, sizeof(*gso)}, {(void *)p->b, p->n}, {more, extra}};
	ssize_t n = writev(wire, v, 3);

	if (n != (ssize_t)(sizeof(*gso) + p->n + extra))
		fail_msg("writev: %zd %s", n, strerror(errno));
}

static void send_packet(const struct packet_buf *p)
{
	static const struct virtio_net_hdr plain;

	send_gso(p, &plain, 0);
}

/* What the last filter of the chain saw since it was asked last: one packet, or none where none is expected. Packets
 * over veth take a moment. */
static struct look looked(bool expect)
{
	uint32_t zero = 0;
	struct look l;

	for (int i = 0; i < (expect ? 1000 : 20); i++) {
		assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(helper->maps.looked), &zero, &l), 0);
		if (l.packets)
			break;
		(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	assert_int_equal(l.packets, expect);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(helper->maps.looked), &zero, &(struct look){0}, BPF_ANY), 0);
	return l;
}

static struct packet_buf udp_packet(uint16_t dport)
{
	return packet_udp_frame("10.0.0.1", "10.0.0.2", 5, dport);
}

/* Ports 1, 2, 3 are classes 1, 2, 3; the default is class 4. */
static void load_ports(bool engine_tc, bool ingress)
{
	static struct range ports[] = {{1, 1}, {2, 2}, {3, 3}};
	static struct literal l[3];
	static struct rule v[3];
	struct rules r = {.v = v, .n = 3};

	for (int i = 0; i < 3; i++) {
		l[i] = (struct literal){.field = FIELD_DPORT, .ranges = &ports[i], .n = 1};
		v[i] = (struct rule){.cls = &harness_classes[i + 1], .literals = &l[i], .n = 1};
	}
	h.spec.conf.engine_tc = engine_tc;
	h.spec.conf.ingress = ingress;
	h.spec.conf.default_class = 4;
	harness_rules(&h, &r);
}

/* ---- engine tc ---- */

/* classify, two classes' filters, the default's, and who looks at what they let go on. Class 3 has no rate and no
 * filter. */
static void attach_chain(void)
{
	struct qosd_class_conf counted = {.kind = QOSD_KIND_COUNT}, free = {.kind = QOSD_KIND_PASS};

	harness_conf(&h, 1, &counted);
	harness_conf(&h, 2, &counted);
	harness_conf(&h, 3, &free);
	harness_conf(&h, 4, &counted);
	load_ports(true, true);
	attach("far ingress", 1, h.prog);
	attach("far ingress", 9, bpf_program__fd(helper->progs.look));
}

static void classify_leaves_the_class_in_tc_index(void **state)
{
	static const struct {
		uint16_t dport;
		uint32_t tc_index;
	} cases[] = {{1, 1}, {2, 2}, {3, QOSD_TC_EXEMPT}, {9, 4}};

	(void)state;
	attach_chain();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packet_buf p = udp_packet(cases[i].dport);

		send_packet(&p);
		assert_int_equal(looked(true).tc_index, cases[i].tc_index);
	}
}

/* A filter that matches without an action ends the chain: the last one does not see the packet. */
static void classify_wan_matches_its_filters_own_class(void **state)
{
	struct packet_buf p;

	(void)state;
	attach_chain();
	attach_class(2, PROG_CLASSIFY_WAN, 1);
	attach_class(2, PROG_CLASSIFY_WAN, 0x1000);
	p = udp_packet(1);
	send_packet(&p);
	(void)looked(false);
	p = udp_packet(2);
	send_packet(&p);
	assert_int_equal(looked(true).tc_index, 2);
	attach_class(2, PROG_CLASSIFY_WAN, 2);
	send_packet(&p);
	(void)looked(false);
}

static void pass_takes_the_default_and_nothing_else(void **state)
{
	struct packet_buf p;

	(void)state;
	attach_chain();
	attach_class(2, PROG_CLASSIFY_WAN, 1);
	attach_class(3, PROG_PASS, 4);
	p = udp_packet(9);
	send_packet(&p);
	(void)looked(false);
	p = udp_packet(3); /* nothing polices class 3, so neither does the default's policer */
	send_packet(&p);
	(void)looked(true);
	packet_ethernet(&p, ETHERTYPE_ARP);
	packet_arp(&p, "10.0.0.1", "10.0.0.2");
	send_packet(&p);
	assert_int_equal(looked(true).tc_index, QOSD_TC_EXEMPT);
	harness_bypass(&h, true);
	p = udp_packet(9);
	send_packet(&p);
	(void)looked(true);
}

static void behind_a_class_that_continues_classify_runs_again(void **state)
{
	struct qosd_class_conf on = {.kind = QOSD_KIND_COUNT, .conform_continue = 1},
			       counted = {.kind = QOSD_KIND_COUNT};
	static struct rule v[] = {{.cls = &harness_classes[1]}, {.cls = &harness_classes[2]}};
	struct rules r = {.v = v, .n = 2};
	struct prog_spec again;
	struct packet_buf p = udp_packet(1);
	int fd;

	(void)state;
	harness_conf(&h, 1, &on);
	harness_conf(&h, 2, &counted);
	h.spec.conf.engine_tc = 1;
	harness_rules(&h, &r);
	attach("far ingress", 1, h.prog);
	attach("far ingress", 9, bpf_program__fd(helper->progs.look));
	send_packet(&p);
	assert_int_equal(looked(true).tc_index, 1);
	again = h.spec;
	again.conf.resume_class = 1;
	again.conf.resume_rule = 1;
	fd = harness_load_spec(&h, &again);
	attach("far ingress", 2, fd);
	close(fd);
	send_packet(&p);
	assert_int_equal(looked(true).tc_index, 2);
	assert_int_equal(harness_hook_stats(&h).packets, 2);
	assert_int_equal(harness_stats(&h, 1).packets, 2);
	assert_int_equal(harness_stats(&h, 2).packets, 1);
	/* What is in another class it leaves as it is. */
	helper->bss->put_tc_index = 77;
	shell("tc filter del dev far ingress pref 1");
	attach("far ingress", 1, bpf_program__fd(helper->progs.put));
	send_packet(&p);
	assert_int_equal(looked(true).tc_index, 77);
	assert_int_equal(harness_stats(&h, 2).packets, 1);
}

/* ---- htb ---- */

/* Of a tree that is spread over queues: the class, and as if it had been received on the class's queue. */
static void a_packet_goes_to_its_class_in_its_queue(void **state)
{
	struct qosd_class_conf conf[] = {
		{.kind = QOSD_KIND_HTB, .classid = 0x51030007, .queue = 3},
		{.kind = QOSD_KIND_HTB, .classid = 0x51ff0008, .queue = 255},
		{.kind = QOSD_KIND_HTB, .classid = 0x51000009}, /* one tree */
		{.kind = QOSD_KIND_HTB, .classid = 0x5102fffe, .queue = 2},
	};
	struct packet_buf p = udp_packet(1);
	uint32_t untouched;
	struct look l;

	(void)state;
	attach("far ingress", 9, bpf_program__fd(helper->progs.look));
	send_packet(&p);
	untouched = looked(true).queue_mapping;
	for (uint32_t i = 0; i < 4; i++)
		harness_conf(&h, i + 1, &conf[i]);
	h.spec.conf.htb_direct = 0x51010000;
	h.spec.conf.htb_direct_queue = 1;
	load_ports(false, false);
	attach("far ingress", 1, h.prog);
	for (uint16_t i = 0; i < 4; i++) {
		p = udp_packet((uint16_t)(i + 1)); /* 4: the default */
		send_packet(&p);
		l = looked(true);
		assert_int_equal(l.priority, conf[i].classid);
		assert_int_equal(l.queue_mapping, conf[i].queue ? conf[i].queue : untouched);
	}
	packet_ethernet(&p, ETHERTYPE_ARP);
	packet_arp(&p, "10.0.0.1", "10.0.0.2");
	send_packet(&p);
	l = looked(true);
	assert_int_equal(l.priority, 0x51010000); /* past all classes of that queue's tree */
	assert_int_equal(l.queue_mapping, 1);
}

/* ---- tags ---- */

static void a_tag_goes_from_the_frame_to_the_metadata(void **state)
{
	static struct range five = {5, 5};
	static struct literal l = {.field = FIELD_VLAN, .ranges = &five, .n = 1};
	static struct rule v[] = {{.cls = &harness_classes[1], .literals = &l, .n = 1}};
	struct qosd_set_conf conf = {.from = QOSD_HOW_IP};
	struct qosd_addr key = {.b = {[10] = 0xff, 0xff, 10, 0, 0, 1}};
	struct qosd_learned learned;
	struct rules r = {.v = v, .n = 1};
	struct packet_buf p;

	(void)state;
	harness_set(&h, 0, &conf, 16);
	h.spec.conf.learn_n = 1;
	harness_rules(&h, &r);
	attach("near egress", 1, h.prog);
	attach("far ingress", 1, h.prog);
	attach("far ingress", 9, bpf_program__fd(helper->progs.look));
	packet_ethernet(&p, ETHERTYPE_VLAN);
	packet_vlan(&p, 5, ETHERTYPE_IP);
	packet_ipv4(&p, "10.0.0.1", "10.0.0.2", IPPROTO_UDP);
	packet_udp(&p, 1, 2);
	packet_pad_to(&p, 104);
	send_packet(&p);
	assert_int_equal(looked(true).vlan_present, 1);
	assert_int_equal(harness_stats(&h, 1).packets, 2);
	assert_int_equal(harness_stats(&h, 1).bytes, 2 * 104); /* the tag is on the wire in either place */
	assert_int_equal(bpf_map_lookup_elem(harness_set_map(&h, 0, "learned"), &key, &learned), 0);
	assert_int_equal(learned.ifindex, if_nametoindex("far"));
}

/* ---- merged packets ---- */

/* Headers of a packet with 8,000 bytes of payload in segments of 1,000. */
static struct virtio_net_hdr gso_packet(struct packet_buf *p, bool v6, uint16_t dport)
{
	size_t l4;

	packet_ip(p, v6 ? "fd00::1" : "10.0.0.1", v6 ? "fd00::2" : "10.0.0.2", IPPROTO_TCP);
	l4 = p->n;
	packet_tcp(p, 5, dport, 0x10);
	packet_done(p);
	return (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				       .gso_type = v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
				       .hdr_len = (uint16_t)p->n,
				       .gso_size = 1000,
				       .csum_start = (uint16_t)l4,
				       .csum_offset = 16};
}

/* As some drivers deliver them: nothing but the Ethernet header is in the linear part. */
static void packets_that_are_hardly_linear_are_read(void **state)
{
	struct virtio_net_hdr no_gso = {.hdr_len = ETHER_HDR_LEN};

	(void)state;
	load_ports(false, true);
	attach("far ingress", 1, h.prog);
	attach("near egress", 1, h.prog);
	attach("far ingress", 9, bpf_program__fd(helper->progs.look));
	for (int v6 = 0; v6 < 2; v6++) {
		static const uint8_t options[] = {IPPROTO_UDP, 1};
		uint16_t dport = v6 ? 2 : 1;
		struct packet_buf p;

		packet_ethernet(&p, v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
		if (v6) {
			packet_ipv6(&p, "fd00::1", "fd00::2", IPPROTO_HOPOPTS);
			packet_bytes(&p, options, sizeof(options));
			packet_zeros(&p, 14);
		} else {
			packet_ipv4(&p, "10.0.0.1", "10.0.0.2", IPPROTO_UDP);
			packet_zeros(&p, 40);
			p.b[p.l3] = 0x4f;
		}
		packet_udp(&p, 5, dport);
		packet_done(&p);
		p.b[p.l3 + (v6 ? 4 : 2)] = 8000 / 256; /* near enough to what follows */
		send_gso(&p, &no_gso, 8000);
		assert_int_equal(looked(true).linear, ETHER_HDR_LEN); /* or this test tests nothing */
		assert_int_equal(harness_stats(&h, dport).packets, 2);
	}
}

static void merged_packets_are_read_and_counted_right(void **state)
{
	struct prog_spec egress;
	struct look l;
	int fd;

	(void)state;
	load_ports(false, true);
	attach("far ingress", 1, h.prog);
	attach("far ingress", 9, bpf_program__fd(helper->progs.look));
	for (int v6 = 0; v6 < 2; v6++) {
		uint16_t dport = v6 ? 2 : 1;
		size_t headers = v6 ? 74 : 54;
		struct packet_buf p;
		struct virtio_net_hdr gso = gso_packet(&p, v6, dport);
		uint64_t bytes;

		send_gso(&p, &gso, 8000);
		l = looked(true);
		assert_int_equal(l.len, headers + 8000);
		assert_int_equal(l.gso_size, 1000);
		assert_int_equal(harness_stats(&h, dport).packets, l.gso_segs);
		bytes = harness_stats(&h, dport).bytes;
		assert_int_equal(bytes, 8000 + l.gso_segs * headers);
	}
	/* On egress the kernel has counted the headers, and the segments of such a packet not yet. */
	egress = h.spec;
	egress.conf.ingress = 0;
	fd = harness_load_spec(&h, &egress);
	attach("near egress", 1, fd);
	close(fd);
	for (int v6 = 0; v6 < 2; v6++) {
		uint16_t dport = v6 ? 2 : 1;
		struct packet_buf p;
		struct virtio_net_hdr gso = gso_packet(&p, v6, dport);
		uint64_t bytes = harness_stats(&h, dport).bytes, packets = harness_stats(&h, dport).packets;

		send_gso(&p, &gso, 8000);
		(void)looked(true);
		assert_int_equal(harness_stats(&h, dport).bytes, 3 * bytes);
		assert_int_equal(harness_stats(&h, dport).packets, 3 * packets);
	}
}

static void a_merged_packet_is_dropped_whole_or_not_at_all(void **state)
{
	struct qosd_class_conf conf = {
		.kind = QOSD_KIND_POLICE, .mult = 1u << 30, .burst_ns = (8000ull + 8 * 54) << 30};
	struct packet_buf p;
	struct virtio_net_hdr gso = gso_packet(&p, false, 1);

	(void)state;
	harness_conf(&h, 1, &conf);
	load_ports(false, true);
	attach("far ingress", 1, h.prog);
	attach("far ingress", 9, bpf_program__fd(helper->progs.look));
	send_gso(&p, &gso, 8000);
	(void)looked(true);
	send_gso(&p, &gso, 8000);
	(void)looked(false);
	assert_int_equal(harness_stats(&h, 1).drop_packets, 8);
}

static void a_merged_packet_is_remarked(void **state)
{
	struct qosd_class_conf conf = {.kind = QOSD_KIND_PASS,
				       .remark = QOSD_REMARK_DSCP | QOSD_REMARK_MARK,
				       .remark_dscp = 46,
				       .mark = 7,
				       .mark_mask = 0xff};

	(void)state;
	harness_conf(&h, 1, &conf);
	harness_conf(&h, 2, &conf);
	load_ports(false, true);
	attach("far ingress", 1, h.prog);
	attach("far ingress", 9, bpf_program__fd(helper->progs.look));
	for (int v6 = 0; v6 < 2; v6++) {
		struct packet_buf p;
		struct virtio_net_hdr gso = gso_packet(&p, v6, v6 ? 2 : 1);

		send_gso(&p, &gso, 8000);
		assert_int_equal(looked(true).mark, 7);
	}
	assert_int_equal(harness_hook_stats(&h).errors, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(classify_leaves_the_class_in_tc_index),
		TEST(classify_wan_matches_its_filters_own_class),
		TEST(pass_takes_the_default_and_nothing_else),
		TEST(behind_a_class_that_continues_classify_runs_again),
		TEST(a_packet_goes_to_its_class_in_its_queue),
		TEST(a_tag_goes_from_the_frame_to_the_metadata),
		TEST(packets_that_are_hardly_linear_are_read),
		TEST(merged_packets_are_read_and_counted_right),
		TEST(a_merged_packet_is_dropped_whole_or_not_at_all),
		TEST(a_merged_packet_is_remarked),
	};
	int failed;

	harness_need_bpf();
	own_world();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)umount2(pins, MNT_DETACH);
	(void)rmdir(pins);
	return failed;
}
