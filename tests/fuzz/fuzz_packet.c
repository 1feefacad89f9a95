/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * fuzz_packet: the packet parser of the BPF programs. The first six bytes of an input say how the packet comes: bits
 * for "no Ethernet header", "tag in the metadata", "merged", "all of layer 4 wanted"; how much of it is linear;
 * EtherType or tag; gso_size. How much is linear must not matter.
 */
#include "packet_shim.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD 6

enum { NO_ETHERNET = 1, TAG = 2, MERGED = 4, WANT_ALL = 8 };

/* As drivers do, so that IP lies on a multiple of four behind an Ethernet header. */
#define ALIGN 2

static uint8_t *copy(const uint8_t *data, size_t n, size_t align)
{
	uint8_t *p = malloc(n + align + !(n + align)); /* not a byte behind the end */

	if (!p)
		abort();
	memcpy(p + align, data, n);
	return p;
}

static enum packet_kind parse(const uint8_t *head, const uint8_t *data, size_t n, size_t linear, struct packet *p)
{
	struct __sk_buff skb = {.len = (__u32)n, .linear_len = (__u32)linear};
	__u32 want = head[0] & WANT_ALL ? 0xff : WANT_POLICY | WANT_UDP_PORTS | WANT_ICMP_TYPE;
	size_t align = head[0] & NO_ETHERNET ? 0 : ALIGN;
	uint8_t *linear_block = copy(data, linear, align);
	enum packet_kind kind;

	skb.linear = linear_block + align;
	skb.whole = data;
	skb.protocol = (__u32)(head[2] | head[3] << 8);
	skb.vlan_present = !!(head[0] & TAG);
	skb.vlan_tci = (__u32)(head[2] << 8 | head[3]);
	skb.gso_size = head[0] & MERGED ? (__u32)(head[4] << 8 | head[5]) : 0;
	memset(p, 0, sizeof(*p));
	kind = parse_packet(&skb, head[0] & NO_ETHERNET ? 0 : ETH_HLEN, want, p);
	free(linear_block);
	return kind;
}

static void check(int holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packet p, q;
	enum packet_kind kind;
	size_t n;

	if (size < HEAD)
		return 0;
	n = size - HEAD;
	kind = parse(data, data + HEAD, n, data[1] < n ? data[1] : n, &p);
	check(kind == parse(data, data + HEAD, n, n, &q));
	check(memcmp(&p, &q, sizeof(p)) == 0);
	check(p.vlan <= QOSD_NO_VLAN);
	check(p.sport <= QOSD_NO_PORT && p.dport <= QOSD_NO_PORT);
	check(p.tcp_flags <= QOSD_NO_TCP_FLAGS && p.icmp_type <= QOSD_NO_ICMP_TYPE);
	if (kind != PACKET_IP)
		return 0;
	check(p.src.prefixlen == 128 && p.dst.prefixlen == 128);
	check(p.l3_off + (p.v6 ? 40 : 20) <= n);
	check(p.payload_off >= p.l3_off + (p.v6 ? 40 : 20));
	check((data[HEAD + p.l3_off] >> 4) == (p.v6 ? 6 : 4));
	if (p.sport != QOSD_NO_PORT)
		check(p.dport != QOSD_NO_PORT && p.l3_off + (p.v6 ? 40 : 20) + 4 <= n);
	return 0;
}
