/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * packet_shim: as much of the kernel as bpf/parse.bpf.h sees, for user space. The linear part and the whole packet are
 * blocks of memory of their own, so that the address sanitizer sees a read behind either.
 */
#ifndef QOSD_PACKET_SHIM_H
#define QOSD_PACKET_SHIM_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stddef.h>
#include <string.h>

#include <bpf/bpf_endian.h>

#include "../../bpf/qosd_abi.h"

#undef __always_inline /* of the C library */
#define __always_inline inline __attribute__((always_inline))
#define __noinline      static __attribute__((noinline))

struct __sk_buff {
	const __u8 *linear, *whole;
	__u32 linear_len, len;
	__u32 protocol, vlan_present, vlan_tci, gso_size;
};

#define PACKET_START(skb) ((void *)(skb)->linear)
#define PACKET_END(skb)   ((void *)((skb)->linear + (skb)->linear_len))

static long bpf_skb_load_bytes(const struct __sk_buff *skb, __u32 off, void *to, __u32 len)
{
	if (off > skb->len || len > skb->len - off)
		return -14;
	memcpy(to, skb->whole + off, len);
	return 0;
}

#include "../../bpf/parse.bpf.h"

#endif
