/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * wire: how many bytes a packet takes on the wire: every segment's headers, and what the link wraps around each.
 */
#ifndef QOSD_WIRE_BPF_H
#define QOSD_WIRE_BPF_H

#define VLAN_TAG 4
#define ATM_CELL 53
#define ATM_DATA 48

struct wire {
	__u32 packets; /* segments */
	__u32 bytes;
	__u32 largest; /* frame among the segments, before what the link adds: what `mtu` is about */
};

/* One segment's frame as the link sends it. */
static __always_inline __u32 wire_frame(__u32 bytes)
{
	__s32 n = (__s32)bytes + hook.overhead;

	if (n < (__s32)hook.mpu)
		n = hook.mpu;
	if (n < 1)
		n = 1;
	if (hook.linklayer == QOSD_LINK_ATM)
		return ((__u32)n + ATM_DATA - 1) / ATM_DATA * ATM_CELL;
	if (hook.linklayer == QOSD_LINK_PTM) /* 64b/65b */
		return (__u32)n + ((__u32)n + 63) / 64;
	return n;
}

/* A merged packet is gso_size bytes a segment behind headers that each segment has. On egress the kernel counted them
 * all (wire_len), on ingress nobody did. A tag in the metadata is on the wire too. */
static __always_inline void wire_measure(struct __sk_buff *skb, const struct packet *p, struct wire *w)
{
	__u32 tag = skb->vlan_present ? VLAN_TAG : 0;
	__u32 len = skb->len, gso_size = skb->gso_size, segments = skb->gso_segs, headers = p->payload_off;
	__u32 full, last, wire_len;

	if (!gso_size) {
		w->packets = 1;
		w->largest = len + tag;
		w->bytes = wire_frame(len + tag);
		return;
	}
	if (segments < 1) /* from an untrusted source (virtio): not counted yet */
		segments = len > headers ? (len - headers + gso_size - 1) / gso_size : 1;
	wire_len = skb->wire_len;
	if (hook.ingress || wire_len < len)
		wire_len = len + (segments - 1) * headers;
	/* All but the last are full. Inside a tunnel headers are longer than what was parsed, and the last takes that
	 * too; where that cannot be (segments of many sizes), all are of the mean. */
	full = headers + gso_size;
	if ((__u64)(segments - 1) * full >= wire_len)
		full = wire_len / segments;
	last = wire_len - (segments - 1) * full;
	w->packets = segments;
	w->largest = (segments > 1 && full > last ? full : last) + tag;
	w->bytes = (segments - 1) * wire_frame(full + tag) + wire_frame(last + tag);
}

#endif
