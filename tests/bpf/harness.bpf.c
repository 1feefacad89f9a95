/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * harness: what BPF_PROG_TEST_RUN cannot put into a packet from outside, and what it does not show afterwards.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "qosd_abi.h"

#include "edt.bpf.h"

/* The program under test, for push_vlan. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

/* What the last packet looked like at the end of the chain of filters. */
struct look {
	__u32 packets;
	__u32 tc_index;
	__u32 mark;
	__u32 vlan_present;
	__u32 linear; /* bytes */
	__u32 len;
	__u32 wire_len;
	__u32 gso_segs;
	__u32 gso_size;
	__u32 priority;
	__u32 queue_mapping;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct look);
} looked SEC(".maps");

__u32 vlan_tci;     /* of push_vlan */
__u32 put_tc_index; /* of put and behind */
__u32 put_tc_classid;
__u32 vary_n = 1; /* of vary */
__u32 vary_at;

/* A tag in the metadata, then the program under test. */
SEC("tc")
int push_vlan(struct __sk_buff *skb)
{
	if (bpf_skb_vlan_push(skb, bpf_htons(0x8100), vlan_tci))
		return 1001;
	bpf_tail_call(skb, &next, 0);
	return 1002;
}

/* Another source address in each packet, 10.0.0.0 or one of vary_n - 1 behind it, then the program under test. */
SEC("tc")
int vary(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__be32 *src = data + 26; /* behind an Ethernet header */

	if ((void *)(src + 1) > end)
		return 1001;
	vary_at = (vary_at + 7919) % vary_n; /* a prime: all in turn, and no two neighbours */
	*src = bpf_htonl(10 << 24 | vary_at);
	bpf_tail_call(skb, &next, 0);
	return 1002;
}

/* What the kernel itself takes for bench/bench_classify: a run, the clock, and a look for an address that is there. */
SEC("tc")
int empty(struct __sk_buff *skb)
{
	(void)skb;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int read_clock(struct __sk_buff *skb)
{
	skb->mark = bpf_ktime_get_ns();
	return TC_ACT_UNSPEC;
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct qosd_addr);
	__type(value, __u32);
} addresses SEC(".maps");

SEC("tc")
int look_up(struct __sk_buff *skb)
{
	struct qosd_addr key = {};

	skb->mark = bpf_map_lookup_elem(&addresses, &key) != NULL;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int put(struct __sk_buff *skb)
{
	skb->tc_index = put_tc_index;
	return TC_ACT_UNSPEC;
}

/* The program under test in a filter that stands behind a classifier, with what that left. */
SEC("tc")
int behind(struct __sk_buff *skb)
{
	skb->tc_index = put_tc_index;
	skb->tc_classid = put_tc_classid;
	bpf_tail_call(skb, &next, 0);
	return 1002;
}

SEC("tc")
int look(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct look *l = bpf_map_lookup_elem(&looked, &zero);

	if (!l)
		return TC_ACT_UNSPEC;
	l->packets++;
	l->tc_index = skb->tc_index;
	l->mark = skb->mark;
	l->vlan_present = skb->vlan_present;
	l->linear = (long)skb->data_end - (long)skb->data;
	l->len = skb->len;
	l->wire_len = skb->wire_len;
	l->gso_segs = skb->gso_segs;
	l->gso_size = skb->gso_size;
	l->priority = skb->priority;
	l->queue_mapping = skb->queue_mapping;
	return TC_ACT_UNSPEC;
}

/* A clock at a time that the test chooses. */
__u64 book_now, book_cost, book_horizon, book_slowness, book_start;
struct qosd_class_clock book_clock;

SEC("tc")
int book(struct __sk_buff *skb)
{
	(void)skb;
	edt_follow(&book_clock, book_now, book_slowness, book_horizon);
	book_start = edt_book(&book_clock.last_ns, book_now, book_cost, book_horizon);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int unbook(struct __sk_buff *skb)
{
	(void)skb;
	edt_unbook(&book_clock.last_ns, book_cost);
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "GPL";
