/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * remark: another DSCP or the mark of congestion in the IP header; the checksums stay right.
 */
#ifndef QOSD_REMARK_BPF_H
#define QOSD_REMARK_BPF_H

#define IPV4_TOS   1
#define IPV4_CHECK 10

/* 0, or negative if the kernel could not write to the packet. */
static __always_inline int remark_ipv4(struct __sk_buff *skb, const struct packet *p, __u8 tos)
{
	long err = bpf_l3_csum_replace(skb, p->l3_off + IPV4_CHECK, bpf_htons(p->tos), bpf_htons(tos), 2);

	return err ? err : bpf_skb_store_bytes(skb, p->l3_off + IPV4_TOS, &tos, sizeof(tos), 0);
}

/* IPv6 has no checksum of its own, but the sum of the whole packet that a card may have left in the skb
 * (CHECKSUM_COMPLETE) has to follow. */
static __always_inline int remark_ipv6(struct __sk_buff *skb, const struct packet *p, __u8 tos)
{
	__u8 head[2];
	long err = bpf_skb_load_bytes(skb, p->l3_off, head, sizeof(head));

	if (err)
		return err;
	head[0] = (head[0] & 0xf0) | tos >> 4;
	head[1] = (head[1] & 0x0f) | tos << 4;
	return bpf_skb_store_bytes(skb, p->l3_off, head, sizeof(head), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int remark(struct __sk_buff *skb, const struct packet *p, __u8 tos)
{
	if (tos == p->tos)
		return 0;
	return p->v6 ? remark_ipv6(skb, p, tos) : remark_ipv4(skb, p, tos);
}

#endif
