/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * random: packets as the world has them, half of them bent, through every program. What must come out is worked out
 * here, by a reader of packets and of rules that shares nothing with the programs. Each program gets QOSD_PACKETS of
 * them (a million); QOSD_SEED makes others.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.skel.h"
#include "random_rules.h"
#include "runs.h"

#define PACKETS     1000000
#define ROUND       10000 /* packets with one set of rules */
#define MEMBERS_MAX 512
#define LEARNED_MAX 65536
#define SETS        3 /* that rules ask */
#define LEARN_SLOT  3 /* and one that no rule does */

/* Classes: what a rule may give, of which two drop everything; and the default. A class leaves its number in bits 8 to
 * 15 of the mark. */
#define CLASS_DROP    3
#define CLASS_DROPS   2
#define CLASS_DEFAULT 15
#define MARK_SHIFT    8
#define MARK_MASK     0xff00u

static struct test_hook h;
static struct harness *helper;
static struct random r;

/* Addresses, each once; a power of two places, the free ones all zeros. */
static struct in6_addr learned[LEARNED_MAX];
static size_t n_learned;

static uint64_t packets_wanted(void)
{
	const char *env = getenv("QOSD_PACKETS");
	uint64_t n = env ? strtoull(env, NULL, 10) : PACKETS;

	return n < ROUND ? ROUND : n;
}

static int setup(void **state)
{
	const char *env = getenv("QOSD_SEED");

	(void)state;
	harness_open(&h);
	helper = harness__open_and_load();
	assert_non_null(helper);
	memset(learned, 0, sizeof(learned));
	n_learned = 0;
	r.state = (env ? strtoull(env, NULL, 0) : 1) * 0x9e3779b97f4a7c15ull;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	harness__destroy(helper);
	harness_close(&h);
	return 0;
}

static bool one_in(uint32_t n)
{
	return random_below(&r, n) == 0;
}

static uint16_t be16(const uint8_t *b)
{
	return (uint16_t)(b[0] << 8 | b[1]);
}

static void poke16(uint8_t *b, uint32_t v)
{
	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

/* ---- packets as the world has them ---- */

static const uint8_t transports[] = {IPPROTO_TCP,  IPPROTO_UDP,    IPPROTO_SCTP, IPPROTO_UDPLITE, IPPROTO_DCCP,
				     IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_GRE,  IPPROTO_ESP};
static const uint8_t extensions[] = {IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS, IPPROTO_AH, IPPROTO_FRAGMENT};

#define N(array)   (sizeof(array) / sizeof((array)[0]))
#define ANY(array) ((array)[random_below(&r, N(array))])

static void add_link(struct packet_buf *p, bool v6)
{
	static const uint16_t tag_types[] = {ETH_P_8021Q, ETH_P_8021AD};
	uint32_t tags = one_in(2) ? 0 : one_in(20) ? 3 : 1 + random_below(&r, 2);
	bool pppoe = one_in(6);
	uint16_t inner = pppoe ? ETH_P_PPP_SES : v6 ? ETH_P_IPV6 : ETH_P_IP;

	packet_ethernet(p, tags ? ANY(tag_types) : inner);
	for (; tags; tags--)
		packet_vlan(p, (uint16_t)random_below(&r, one_in(2) ? 4 : 65536), tags > 1 ? ANY(tag_types) : inner);
	if (pppoe)
		packet_pppoe(p, one_in(20) ? 0xc021 : v6 ? 0x57 : 0x21);
}

static void add_ipv4(struct packet_buf *p, const struct packet_fields *f, uint8_t proto)
{
	static const uint16_t fragments[] = {0x2000, 0x0001, 0x2010, 0x4000};
	uint32_t options = one_in(4) ? random_below(&r, 11) : 0;
	char src[INET_ADDRSTRLEN], dst[INET_ADDRSTRLEN];

	assert_non_null(inet_ntop(AF_INET, &f->src.s6_addr[12], src, sizeof(src)));
	assert_non_null(inet_ntop(AF_INET, &f->dst.s6_addr[12], dst, sizeof(dst)));
	packet_ipv4(p, src, dst, proto);
	packet_zeros(p, (size_t)options * 4);
	p->b[p->l3] = (uint8_t)(0x45 + options);
	p->b[p->l3 + 1] = (uint8_t)(f->dscp << 2 | random_below(&r, 4));
	if (one_in(6))
		poke16(p->b + p->l3 + 6, ANY(fragments));
}

/* One that says what comes behind it, of the length that its kind has. */
static void add_extension(struct packet_buf *p, uint8_t kind, uint8_t next)
{
	uint8_t b[40] = {next};
	size_t n = 8;

	if (kind == IPPROTO_FRAGMENT) {
		poke16(b + 2, one_in(2) ? one_in(2) : 8 * random_below(&r, 100) + one_in(2));
	} else if (kind == IPPROTO_AH) {
		b[1] = 4;
		n = 24;
	} else {
		b[1] = (uint8_t)random_below(&r, 4);
		n = 8 * (b[1] + 1u);
	}
	packet_bytes(p, b, n);
}

static void add_ipv6(struct packet_buf *p, const struct packet_fields *f, uint8_t proto)
{
	uint32_t n = one_in(3) ? random_below(&r, one_in(4) ? 11 : 4) : 0;
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	uint8_t kinds[12];

	for (uint32_t i = 0; i < n; i++)
		kinds[i] = ANY(extensions);
	kinds[n] = proto;
	assert_non_null(inet_ntop(AF_INET6, &f->src, src, sizeof(src)));
	assert_non_null(inet_ntop(AF_INET6, &f->dst, dst, sizeof(dst)));
	packet_ipv6(p, src, dst, kinds[0]);
	p->b[p->l3] = (uint8_t)(0x60 | f->dscp >> 2);
	p->b[p->l3 + 1] = (uint8_t)(f->dscp << 6 | random_below(&r, 64));
	p->b[p->l3 + 7] = one_in(2) ? 255 : 64;
	for (uint32_t i = 0; i < n; i++)
		add_extension(p, kinds[i], kinds[i + 1]);
}

static void add_transport(struct packet_buf *p, const struct packet_fields *f, uint8_t proto)
{
	static const uint16_t dhcp[] = {67, 68, 546, 547};
	bool is_dhcp = one_in(8);
	uint16_t sport = is_dhcp ? ANY(dhcp) : f->sport, dport = is_dhcp ? ANY(dhcp) : f->dport;
	uint8_t icmp[24] = {(uint8_t)(one_in(2) ? random_below(&r, 25) : 130 + random_below(&r, 10))};

	switch (proto) {
	case IPPROTO_TCP:
		packet_tcp(p, sport, dport, (uint8_t)random_below(&r, 256));
		if (one_in(4)) {
			packet_zeros(p, 12);
			p->b[p->n - 20] = 8 << 4;
		}
		return;
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP: packet_udp(p, sport, dport); return;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		memcpy(icmp + 8, &f->dst, 16);
		packet_bytes(p, icmp, sizeof(icmp));
		return;
	default: packet_zeros(p, random_below(&r, 16)); return;
	}
}

static void make_arp(struct packet_buf *p, const struct packet_fields *f)
{
	char src[INET_ADDRSTRLEN];

	packet_ethernet(p, one_in(2) ? ETH_P_ARP : ETH_P_8021Q);
	if (be16(p->b + 12) == ETH_P_8021Q)
		packet_vlan(p, 5, ETH_P_ARP);
	assert_non_null(inet_ntop(AF_INET, &f->src.s6_addr[12], src, sizeof(src)));
	packet_arp(p, src, "10.0.0.1");
	packet_zeros(p, 60 - p->n);
}

static void make_packet(struct packet_buf *p)
{
	struct packet_fields f = random_packet(&r);
	uint8_t proto = ANY(transports);
	size_t n;

	if (one_in(20)) {
		make_arp(p, &f);
		return;
	}
	add_link(p, f.family == 6);
	if (f.family == 6)
		add_ipv6(p, &f, proto);
	else
		add_ipv4(p, &f, proto);
	n = p->n; /* first fragments, and later ones, which have data there */
	add_transport(p, &f, proto);
	packet_pad_to(p, one_in(4) ? n : p->n + random_below(&r, 200));
	if (one_in(8)) /* Ethernet's padding */
		packet_zeros(p, random_below(&r, 40));
}

/* ---- and as it should not have them ---- */

static void bend_once(struct packet_buf *p)
{
	static const uint16_t words[] = {0,      1,      5,      20,     40,     0x0021, 0x0057, 0x0800, 0x0806,
					 0x1fff, 0x2000, 0x8100, 0x86dd, 0x8864, 0x88a8, 0xffff, 0x0600, 0x05ff};
	static const uint8_t bytes[] = {0, 1, 6, 17, 43, 44, 50, 51, 58, 59, 60, 132, 0x40, 0x45, 0x4f, 0x60, 0xff};
	size_t headers = p->n < 110 ? p->n : 110, at = 12 + random_below(&r, (uint32_t)(headers - 12)), n, to;

	switch (random_below(&r, 8)) {
	case 0: p->n = ETH_HLEN + random_below(&r, (uint32_t)(p->n - ETH_HLEN + 1)); return;
	case 1: p->b[random_below(&r, (uint32_t)p->n)] ^= (uint8_t)(1 << random_below(&r, 8)); return;
	case 2: p->b[at] = (uint8_t)random_below(&r, 256); return;
	case 3: p->b[at] = ANY(bytes); return;
	case 4: poke16(p->b + (at & ~(size_t)1), ANY(words)); return; /* there is room behind the packet */
	case 5:                                                       /* bytes gone */
		n = 1 + random_below(&r, 8);
		if (at + n >= p->n || p->n - n < ETH_HLEN)
			return;
		memmove(p->b + at, p->b + at + n, p->n - at - n);
		p->n -= n;
		return;
	case 6: /* bytes too many */
		n = 1 + random_below(&r, 8);
		memmove(p->b + at + n, p->b + at, p->n - at);
		p->n += n;
		for (size_t i = 0; i < n; i++)
			p->b[at + i] = (uint8_t)random_below(&r, 256);
		return;
	case 7: /* one piece over another */
		to = 12 + random_below(&r, (uint32_t)(headers - 12));
		n = random_below(&r, 24);
		if (at + n <= p->n && to + n <= p->n)
			memmove(p->b + to, p->b + at, n);
		return;
	default: return;
	}
}

static void bend(struct packet_buf *p)
{
	for (uint32_t i = 1 + random_below(&r, 4); i; i--)
		bend_once(p);
}

/* A frame of a device without Ethernet. A test run takes the protocol from where Ethernet has it, which is in the
 * source address. */
static void strip_ethernet(struct packet_buf *p)
{
	uint16_t type = be16(p->b + 12);

	if (p->n < 2 * ETH_HLEN)
		return;
	memmove(p->b, p->b + ETH_HLEN, p->n - ETH_HLEN);
	p->n -= ETH_HLEN;
	poke16(p->b + 12, type);
}

/* ---- an independent reader ---- */

enum reading_kind { READ_IP, READ_ARP, READ_OTHER, READ_BROKEN };

struct reading {
	struct packet_fields f;
	uint8_t hop_limit;
	size_t transport; /* where it is, 0: nowhere */
	size_t end;       /* of what belongs to the packet */
	bool has_target;  /* a neighbour advertisement's */
	struct in6_addr target;
};

static struct in6_addr mapped(const uint8_t *b)
{
	struct in6_addr a = {0};

	a.s6_addr[10] = a.s6_addr[11] = 0xff;
	memcpy(&a.s6_addr[12], b, 4);
	return a;
}

static bool is_tag(int type)
{
	return type == ETH_P_8021Q || type == ETH_P_8021AD;
}

/* Where IP begins, and which: 4 or 6; 0 for ARP, -1 for something else, -2 if the frame ends before that is known. */
static int read_link(const uint8_t *b, size_t n, bool ethernet, struct reading *out, size_t *at)
{
	int type = be16(b + 12);

	*at = ethernet ? ETH_HLEN : 0;
	for (int tags = 0; is_tag(type) && tags < 2; tags++) {
		if (*at + 4 > n)
			return -2;
		if (!tags)
			out->f.vlan = be16(b + *at) & 0xfff;
		type = be16(b + *at + 2);
		*at += 4;
	}
	if (type == ETH_P_PPP_SES) {
		if (*at + 8 > n)
			return -2;
		type = be16(b + *at + 6);
		*at += 8;
		return type == 0x21 ? 4 : type == 0x57 ? 6 : -1;
	}
	return type == ETH_P_IP ? 4 : type == ETH_P_IPV6 ? 6 : type == ETH_P_ARP ? 0 : -1;
}

static enum reading_kind read_arp(const uint8_t *b, size_t n, size_t at, struct reading *out)
{
	static const uint8_t ipv4_over_ethernet[] = {0, 1, 8, 0, 6, 4};

	if (at + 18 > n || memcmp(b + at, ipv4_over_ethernet, sizeof(ipv4_over_ethernet)) != 0)
		return READ_OTHER;
	out->f.src = mapped(b + at + 14);
	return READ_ARP;
}

static bool read_ipv4(const uint8_t *b, size_t n, size_t at, bool merged, struct reading *out)
{
	const uint8_t *ip = b + at;

	if (at + 20 > n || ip[0] >> 4 != 4 || (ip[0] & 15) < 5)
		return false;
	out->f.family = 4;
	out->f.src = mapped(ip + 12);
	out->f.dst = mapped(ip + 16);
	out->f.dscp = ip[1] >> 2;
	out->f.proto = ip[9];
	out->f.length = be16(ip + 2);
	out->hop_limit = ip[8];
	out->end = !merged && at + out->f.length < n ? at + out->f.length : n;
	if ((be16(ip + 6) & 0x1fff) == 0)
		out->transport = at + (size_t)(ip[0] & 15) * 4;
	return true;
}

/* Eight extension headers at most; what is behind them is not seen, as it is not in a later fragment. */
static void read_extensions(const uint8_t *b, size_t at, struct reading *out)
{
	for (int i = 0; i < 9; i++) {
		const uint8_t *e = b + at;

		if (!memchr(extensions, out->f.proto, sizeof(extensions))) {
			out->transport = at;
			return;
		}
		if (i == 8 || at + 8 > out->end)
			return;
		if (out->f.proto == IPPROTO_FRAGMENT)
			at += 8;
		else if (out->f.proto == IPPROTO_AH)
			at += ((size_t)e[1] + 2) * 4;
		else
			at += ((size_t)e[1] + 1) * 8;
		if (out->f.proto == IPPROTO_FRAGMENT && be16(e + 2) >> 3) {
			out->f.proto = e[0];
			return;
		}
		out->f.proto = e[0];
	}
}

static bool read_ipv6(const uint8_t *b, size_t n, size_t at, bool merged, struct reading *out)
{
	const uint8_t *ip = b + at;

	if (at + 40 > n || ip[0] >> 4 != 6)
		return false;
	out->f.family = 6;
	memcpy(&out->f.src, ip + 8, 16);
	memcpy(&out->f.dst, ip + 24, 16);
	out->f.dscp = (uint8_t)((ip[0] & 15) << 2 | ip[1] >> 6);
	out->f.proto = ip[6];
	out->f.length = 40u + be16(ip + 4);
	out->hop_limit = ip[7];
	out->end = !merged && at + out->f.length < n ? at + out->f.length : n;
	read_extensions(b, at + 40, out);
	return true;
}

static void read_transport(const uint8_t *b, struct reading *out)
{
	size_t at = out->transport, room = at < out->end ? out->end - at : 0;

	switch (out->f.proto) {
	case IPPROTO_TCP:
		if (room >= 14)
			out->f.tcp_flags = b[at + 13];
		/* fall through */
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
		if (room < 4)
			return;
		out->f.has_ports = true;
		out->f.sport = be16(b + at);
		out->f.dport = be16(b + at + 2);
		return;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (!room || (out->f.proto == IPPROTO_ICMP) != (out->f.family == 4))
			return;
		out->f.icmp_type = b[at];
		out->has_target = out->f.proto == IPPROTO_ICMPV6 && b[at] == 136 && room >= 24;
		if (out->has_target)
			memcpy(&out->target, b + at + 8, 16);
		return;
	default: return;
	}
}

/* gso_size 0: not merged. A merged packet's transport header must be there whole, see may_be_merged. */
static enum reading_kind read_packet(const uint8_t *b, size_t n, bool ethernet, uint32_t gso_size, struct reading *out)
{
	size_t at;
	int family;

	memset(out, 0, sizeof(*out));
	out->f.vlan = out->f.tcp_flags = out->f.icmp_type = -1;
	out->f.in_dev = "";
	family = read_link(b, n, ethernet, out, &at);
	if (family == -2)
		return READ_BROKEN;
	if (family == -1)
		return READ_OTHER;
	if (family == 0)
		return read_arp(b, n, at, out);
	if (!(family == 4 ? read_ipv4(b, n, at, gso_size, out) : read_ipv6(b, n, at, gso_size, out)))
		return READ_BROKEN;
	if (out->transport)
		read_transport(b, out);
	if (gso_size)
		out->f.length = (uint32_t)(out->transport - at) + gso_size +
				(out->f.proto == IPPROTO_UDP ? 8 : (b[out->transport + 12] >> 4) * 4u);
	return READ_IP;
}

static bool may_be_merged(const uint8_t *b, size_t n, bool ethernet)
{
	struct reading out;

	return read_packet(b, n, ethernet, 0, &out) == READ_IP && out.transport && out.transport + 20 <= n &&
	       (out.f.proto == IPPROTO_TCP || out.f.proto == IPPROTO_UDP);
}

/* ---- an independent classifier ---- */

static struct in6_addr members[SETS][MEMBERS_MAX];
static size_t n_members[SETS];

static int address_cmp(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct in6_addr));
}

static bool has_member(size_t slot, const struct in6_addr *a)
{
	return bsearch(a, members[slot], n_members[slot], sizeof(*a), address_cmp);
}

static bool is_mapped(const struct in6_addr *a)
{
	static const uint8_t front[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(a, front, sizeof(front)) == 0;
}

static bool prefix_has(const struct prefix *p, const struct in6_addr *a)
{
	for (unsigned bit = 0; bit < p->bits; bit++)
		if ((p->addr.s6_addr[bit / 8] ^ a->s6_addr[bit / 8]) & 0x80 >> bit % 8)
			return false;
	return p->v4 == is_mapped(a);
}

static bool address_holds(const struct literal *l, const struct in6_addr *a)
{
	bool found = false;

	for (size_t i = 0; i < l->n; i++)
		found |= prefix_has(&l->prefixes[i], a);
	return found;
}

/* -1: the packet has no such value. */
static bool value_holds(const struct literal *l, int64_t v)
{
	bool found = false;

	for (size_t i = 0; i < l->n; i++)
		found |= v >= l->ranges[i].lo && v <= l->ranges[i].hi;
	return found;
}

static bool literal_holds(const struct literal *l, const struct packet_fields *f)
{
	switch (l->field) {
	case FIELD_SRC: return address_holds(l, &f->src);
	case FIELD_DST: return address_holds(l, &f->dst);
	case FIELD_SRC_SET: return has_member((size_t)(l->set - harness_sets), &f->src);
	case FIELD_DST_SET: return has_member((size_t)(l->set - harness_sets), &f->dst);
	case FIELD_SPORT: return value_holds(l, f->has_ports ? f->sport : -1);
	case FIELD_DPORT: return value_holds(l, f->has_ports ? f->dport : -1);
	case FIELD_PROTO: return value_holds(l, f->proto);
	case FIELD_DSCP: return value_holds(l, f->dscp);
	case FIELD_VLAN: return value_holds(l, f->vlan);
	case FIELD_FAMILY: return value_holds(l, f->family);
	case FIELD_LENGTH: return value_holds(l, f->length > 65535 ? 65535 : f->length);
	case FIELD_ICMP_TYPE: return value_holds(l, f->icmp_type);
	case FIELD_MARK: return (f->mark & l->mask) == l->value;
	case FIELD_TCP_FLAGS: return f->tcp_flags >= 0 && ((uint32_t)f->tcp_flags & l->mask) == l->value;
	case FIELD_IN_DEV: return strcmp(f->in_dev, l->ifname) == 0;
	case FIELDS: break;
	}
	abort();
}

static bool rule_holds(const struct rule *rule, const struct packet_fields *f)
{
	for (size_t i = 0; i < rule->n; i++)
		if (literal_holds(&rule->literals[i], f) == rule->literals[i].negated)
			return false;
	return true;
}

/* The class; -1: protected. */
static int class_of(const struct rules *rules, const struct packet_fields *f)
{
	for (size_t i = 0; i < rules->n; i++)
		if (rule_holds(&rules->v[i], f))
			return rules->v[i].cls ? (int)(rules->v[i].cls - harness_classes) : -1;
	return CLASS_DEFAULT;
}

static bool is_dhcp(uint16_t port, bool v6)
{
	return v6 ? port == 546 || port == 547 : port == 67 || port == 68;
}

static bool is_discovery(const struct reading *p)
{
	return p->f.family == 6 && p->f.proto == IPPROTO_ICMPV6 && p->hop_limit == 255 && p->f.icmp_type >= 133 &&
	       p->f.icmp_type <= 137;
}

static bool is_exempt(const struct reading *p, uint32_t gso_size)
{
	if (gso_size)
		return false;
	if (p->f.proto == IPPROTO_UDP)
		return p->f.has_ports && is_dhcp(p->f.sport, p->f.family == 6) && is_dhcp(p->f.dport, p->f.family == 6);
	return is_discovery(p);
}

/* ---- what is learned ---- */

static bool is_unset(const struct in6_addr *a)
{
	static const struct in6_addr zero;

	return memcmp(a, &zero, sizeof(zero)) == 0;
}

static struct in6_addr *place_of(const struct in6_addr *a)
{
	uint32_t at = 2166136261u;

	for (int i = 0; i < 16; i++)
		at = (at ^ a->s6_addr[i]) * 16777619u;
	for (;; at++) {
		struct in6_addr *place = &learned[at % LEARNED_MAX];

		if (is_unset(place) || memcmp(place, a, sizeof(*a)) == 0)
			return place;
	}
}

static bool is_usable(const struct in6_addr *a)
{
	const uint8_t *b = a->s6_addr;

	if (is_mapped(a))
		return b[12] != 0 && b[12] != 127 && b[12] < 224;
	if (IN6_IS_ADDR_UNSPECIFIED(a) || IN6_IS_ADDR_LOOPBACK(a))
		return false;
	return b[0] != 0xff && !IN6_IS_ADDR_LINKLOCAL(a);
}

static void learn(const struct in6_addr *a)
{
	struct in6_addr *place = is_usable(a) ? place_of(a) : NULL;

	if (!place || !is_unset(place))
		return;
	*place = *a;
	n_learned++;
	assert_true(n_learned < LEARNED_MAX / 2);
}

static void learn_from(enum reading_kind kind, const struct reading *p)
{
	if (kind == READ_IP || kind == READ_ARP)
		learn(&p->f.src);
	if (kind == READ_IP && is_discovery(p) && p->has_target)
		learn(&p->target);
}

/* The program's set is the one that was worked out since the last time; both are emptied. */
static void check_learned(void)
{
	int fd = harness_set_map(&h, LEARN_SLOT, "learned");
	struct in6_addr a;
	size_t n = 0;

	while (bpf_map_get_next_key(fd, NULL, &a) == 0) {
		if (is_unset(place_of(&a))) {
			char text[INET6_ADDRSTRLEN];

			fail_msg("learned for nothing: %s", inet_ntop(AF_INET6, &a, text, sizeof(text)));
		}
		assert_int_equal(bpf_map_delete_elem(fd, &a), 0);
		n++;
	}
	assert_int_equal(n, n_learned);
	memset(learned, 0, sizeof(learned));
	n_learned = 0;
}

/* ---- one packet through one program ---- */

struct trial {
	struct packet_buf p;
	struct __sk_buff ctx; /* in, then out */
	uint32_t mark;        /* in */
	uint8_t out[2048];
	size_t out_n;
	int verdict;
};

/* False: a kernel that does not want so short a packet (less than an IP header). */
static bool run_packet(int prog, struct trial *run)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = run->p.b, .data_size_in = (uint32_t)run->p.n,
		    .data_out = run->out, .data_size_out = sizeof(run->out), .ctx_in = &run->ctx,
		    .ctx_size_in = sizeof(run->ctx), .ctx_out = &run->ctx, .ctx_size_out = sizeof(run->ctx));

	if (bpf_prog_test_run_opts(prog, &opts)) {
		if (errno != EINVAL || run->p.n >= ETH_HLEN + 40)
			fail_msg("BPF_PROG_TEST_RUN of %zu bytes: %s", run->p.n, strerror(errno));
		return false;
	}
	run->verdict = (int)opts.retval;
	run->out_n = opts.data_size_out;
	return true;
}

static void hex(const struct packet_buf *p)
{
	for (size_t i = 0; i < p->n; i++)
		print_error("%02x%s", p->b[i], i % 16 == 15 || i + 1 == p->n ? "\n" : " ");
}

/* The next packet, and what it has beside its bytes. Returns how many it counts as. */
static uint32_t next_packet(struct trial *run, bool ethernet, struct reading *reading, enum reading_kind *kind)
{
	static const char *const devices[] = {"", "1", "2", "3"};
	uint32_t device = random_below(&r, N(devices));

	make_packet(&run->p);
	if (!ethernet)
		strip_ethernet(&run->p);
	if (one_in(2))
		bend(&run->p);
	run->mark = random_below(&r, 5);
	run->ctx = (struct __sk_buff){.mark = run->mark, .ingress_ifindex = device};
	if (one_in(16) && may_be_merged(run->p.b, run->p.n, ethernet)) {
		run->ctx.gso_size = 1 + random_below(&r, 1400);
		run->ctx.gso_segs = 1 + random_below(&r, 20);
	}
	*kind = read_packet(run->p.b, run->p.n, ethernet, run->ctx.gso_size, reading);
	reading->f.mark = run->mark;
	reading->f.in_dev = devices[device];
	return run->ctx.gso_size ? run->ctx.gso_segs : 1;
}

/* ---- classify ---- */

/* Addresses that random packets have, in one of the two maps that a set's single addresses are in. */
static void fill_sets(void)
{
	struct qosd_set_conf conf = {.timeout_ns = 1000000};
	struct qosd_learned in_time = {.last_ns = ~0ull >> 2}, late = {.last_ns = 0};
	struct qosd_written written = {0};

	for (uint32_t slot = 0; slot < SETS; slot++) {
		harness_set(&h, slot, &conf, MEMBERS_MAX);
		n_members[slot] = 0;
		for (int i = 0; i < 200; i++) {
			struct packet_fields f = random_packet(&r);

			if (has_member(slot, &f.src) || !random_in_set(slot, &f.src))
				continue;
			if (one_in(2) || n_members[slot] >= 60)
				(void)bpf_map_update_elem(harness_set_map(&h, slot, "learned"), &f.src, &in_time,
							  BPF_ANY);
			else
				(void)bpf_map_update_elem(harness_set_map(&h, slot, "written"), &f.src, &written,
							  BPF_ANY);
			members[slot][n_members[slot]++] = f.src;
			qsort(members[slot], n_members[slot], sizeof(f.src), address_cmp);
		}
		for (int i = 0; i < 50; i++) { /* learned long ago: no members */
			struct packet_fields f = random_packet(&r);

			if (!has_member(slot, &f.src))
				(void)bpf_map_update_elem(harness_set_map(&h, slot, "learned"), &f.src, &late, BPF_ANY);
		}
		assert_true(n_members[slot] > 20);
	}
}

static bool drops(int number)
{
	return number >= CLASS_DROP && number < CLASS_DROP + CLASS_DROPS;
}

/* What a hook does with what it has classified. */
enum way {
	WAY_POLICE,
	WAY_TC, /* others police */
	WAY_EDT,
	WAY_PER,
};

/* In each way, the classes that drop have no room for a single byte. */
static void set_class(uint32_t number, enum way way)
{
	struct qosd_class_conf conf = {
		.remark = QOSD_REMARK_MARK, .mark = number << MARK_SHIFT, .mark_mask = MARK_MASK};
	struct qosd_key_conf keys = {.kind = QOSD_KIND_POLICE, .side = number % 2, .prefix4 = 120, .prefix6 = 64};
	bool dropping = drops((int)number);

	switch (way) {
	case WAY_POLICE:
	case WAY_TC:
		if (!dropping)
			break;
		conf.kind = QOSD_KIND_POLICE;
		conf.mult = 1u << 31;
		conf.shift = 1;
		break;
	case WAY_EDT:
		conf.kind = QOSD_KIND_EDT;
		conf.mult = 1;
		conf.burst_ns = dropping ? 0 : 1000000000;
		break;
	case WAY_PER:
		conf.keyed = 1;
		keys.rate_Bps = dropping;
		harness_keys(&h, number, &keys, 64);
		break;
	}
	harness_conf(&h, number, &conf);
}

static void set_classes(enum way way)
{
	for (uint32_t i = 1; i <= CLASS_DEFAULT; i++)
		set_class(i, way);
}

struct counts {
	uint64_t class_packets[HARNESS_CLASSES];
	struct qosd_hook_stats hook;
};

static void count(struct counts *c, enum reading_kind kind, bool exempt, int number, uint32_t packets)
{
	c->hook.packets++;
	c->hook.not_ip += kind == READ_ARP || kind == READ_OTHER;
	c->hook.malformed += kind == READ_BROKEN;
	c->hook.exempt += kind == READ_IP && (exempt || number < 0);
	if (number >= 0)
		c->class_packets[number] += packets;
}

/* What the program says it did is what it did. */
static void check_counts(const struct counts *want)
{
	struct qosd_hook_stats got = harness_hook_stats(&h);

	assert_memory_equal(&got, &want->hook, sizeof(got));
	for (uint32_t i = 0; i < HARNESS_CLASSES; i++)
		assert_int_equal(harness_stats(&h, i).packets, want->class_packets[i]);
}

static void load_round(uint64_t round, enum way way, struct rules **rules)
{
	size_t n = round % 5 == 0 ? QOSD_RULES_MAX : 1 + random_below(&r, round % 2 ? 4 : 80);
	uint32_t fields = round % 3 ? (1u << FIELDS) - 1 : 1 + random_below(&r, (1u << FIELDS) - 1);

	h.spec.conf.l2_len = round % 8 == 7 ? 0 : ETH_HLEN;
	h.spec.conf.engine_tc = way == WAY_TC;
	h.spec.conf.paces = way == WAY_EDT;
	h.spec.conf.keyed = way == WAY_PER;
	h.spec.conf.default_class = CLASS_DEFAULT;
	h.spec.conf.learn_n = round % 2;
	h.spec.conf.learn_slot[0] = LEARN_SLOT;
	*rules = random_rules(h.arena, &r, n, fields, harness_classes, CLASS_DEFAULT, harness_sets, SETS);
	for (size_t i = 0; i < n; i++) /* NULL: protected */
		(*rules)->v[i].cls = one_in(30) ? NULL : &harness_classes[1 + random_below(&r, CLASS_DEFAULT - 1)];
	runs_find(h.arena, *rules); /* protected rules are in none */
	harness_rules(&h, *rules);
}

static void check_classified(const struct trial *run, int number, bool dropped)
{
	uint32_t mark = number < 0 ? run->mark : (run->mark & ~MARK_MASK) | (uint32_t)number << MARK_SHIFT;
	int verdict = dropped ? TC_ACT_SHOT : TC_ACT_UNSPEC;

	if (run->verdict == verdict && (dropped || run->ctx.mark == mark) && run->out_n == run->p.n &&
	    memcmp(run->out, run->p.b, run->p.n) == 0)
		return;
	hex(&run->p);
	fail_msg("verdict %d, mark %#x; expected %d, %#x (class %d)", run->verdict, run->ctx.mark, verdict, mark,
		 number);
}

static void classify_with(enum way way)
{
	struct qosd_set_conf learn_conf = {.from = QOSD_HOW_IP | QOSD_HOW_ARP | QOSD_HOW_ND};
	static struct trial run;
	struct counts counts = {0};
	struct rules *rules = NULL;
	uint64_t n = packets_wanted(), refused = 0;

	fill_sets();
	set_classes(way);
	harness_set(&h, LEARN_SLOT, &learn_conf, LEARNED_MAX);
	for (uint64_t i = 0; i < n; i++) {
		struct reading reading;
		enum reading_kind kind;
		uint32_t packets;
		int number = -1;
		bool exempt;

		if (i % ROUND == 0) {
			check_learned();
			load_round(i / ROUND, way, &rules);
		}
		packets = next_packet(&run, h.spec.conf.l2_len, &reading, &kind);
		exempt = kind == READ_IP && is_exempt(&reading, run.ctx.gso_size);
		if (kind == READ_IP && !exempt)
			number = class_of(rules, &reading.f);
		if (!run_packet(h.prog, &run)) {
			refused++;
			continue;
		}
		check_classified(&run, number, way != WAY_TC && drops(number));
		count(&counts, kind, exempt, number, packets);
		if (h.spec.conf.learn_n)
			learn_from(kind, &reading);
	}
	check_learned();
	check_counts(&counts);
	assert_true(refused < n / 10);
	print_message("%llu packets: %llu malformed, %llu not IP, %llu exempt, %llu too short for the kernel\n",
		      (unsigned long long)n, (unsigned long long)counts.hook.malformed,
		      (unsigned long long)counts.hook.not_ip, (unsigned long long)counts.hook.exempt,
		      (unsigned long long)refused);
	if (n < PACKETS)
		return;
	assert_true(counts.hook.malformed > n / 100);
	assert_true(counts.hook.not_ip > n / 100);
	assert_true(counts.hook.exempt > n / 100);
	for (uint32_t i = 1; i <= CLASS_DEFAULT; i++)
		assert_true(counts.class_packets[i] > n / 100);
}

static void classify_gives_the_class_that_was_worked_out(void **state)
{
	(void)state;
	classify_with(WAY_POLICE);
}

static void classify_drops_nothing_where_others_police(void **state)
{
	(void)state;
	classify_with(WAY_TC);
}

static void classify_paces_the_class_that_was_worked_out(void **state)
{
	(void)state;
	classify_with(WAY_EDT);
}

static void classify_finds_the_keys_of_the_class_that_was_worked_out(void **state)
{
	(void)state;
	classify_with(WAY_PER);
}

/* ---- forward ---- */

/* Every rule leads to a device that is away, which each packet that it takes is counted for; every other one drops. */
static void set_forwards(void)
{
	struct qosd_target away = {0};
	uint32_t slot = 0;

	assert_int_equal(bpf_map_update_elem(harness_map(&h, "targets"), &slot, &away, BPF_ANY), 0);
	for (uint32_t i = 1; i < CLASS_DEFAULT; i++) {
		struct qosd_forward_conf conf = {.mode = QOSD_FORWARD_EGRESS + i % 4, .miss_drop = i % 2, .rule = i};

		assert_int_equal(bpf_map_update_elem(harness_map(&h, "forwards"), &i, &conf, BPF_ANY), 0);
	}
}

static uint64_t missed_by(uint32_t rule)
{
	struct qosd_forward_stats s;

	harness_sum(&h, "forwards_stats", rule, &s, sizeof(s));
	return s.why[QOSD_WHY_AWAY];
}

static void forward_goes_by_the_rule_that_was_worked_out(void **state)
{
	uint64_t want[CLASS_DEFAULT] = {0};
	static struct trial run;
	struct rules *rules = NULL;

	(void)state;
	fill_sets();
	set_forwards();
	h.spec.kind = PROG_FORWARD;
	for (uint64_t n = packets_wanted(), i = 0; i < n; i++) {
		struct reading reading;
		enum reading_kind kind;
		uint32_t packets;
		int number = -1;

		if (i % ROUND == 0)
			load_round(i / ROUND, WAY_POLICE, &rules);
		packets = next_packet(&run, h.spec.conf.l2_len, &reading, &kind);
		if (kind == READ_IP && !is_exempt(&reading, run.ctx.gso_size))
			number = class_of(rules, &reading.f);
		if (!run_packet(h.prog, &run))
			continue;
		if (number == CLASS_DEFAULT) /* no rule */
			number = -1;
		if (run.verdict != (number > 0 && number % 2 ? TC_ACT_SHOT : TC_ACT_UNSPEC)) {
			hex(&run.p);
			fail_msg("verdict %d; rule %d", run.verdict, number);
		}
		assert_int_equal(run.out_n, run.p.n);
		assert_memory_equal(run.out, run.p.b, run.p.n);
		if (number > 0)
			want[number] += packets;
	}
	for (uint32_t i = 1; i < CLASS_DEFAULT; i++) {
		assert_int_equal(missed_by(i), want[i]);
		assert_true(want[i] > 0 || packets_wanted() < PACKETS);
	}
}

/* ---- the others ---- */

static void classify_neighbor_passes_and_learns(void **state)
{
	struct qosd_set_conf conf = {.from = QOSD_HOW_IP | QOSD_HOW_ARP | QOSD_HOW_ND};
	static struct trial run;

	(void)state;
	harness_set(&h, LEARN_SLOT, &conf, LEARNED_MAX);
	h.spec = (struct prog_spec){.kind = PROG_CLASSIFY_NEIGHBOR,
				    .conf = {.l2_len = ETH_HLEN, .learn_n = 1, .learn_slot = {LEARN_SLOT}}};
	for (uint64_t n = packets_wanted(), i = 0; i < n; i++) {
		struct reading reading;
		enum reading_kind kind;

		if (i % ROUND == 0) {
			check_learned();
			harness_load(&h); /* one that has found nobody yet */
		}
		(void)next_packet(&run, true, &reading, &kind);
		if (!run_packet(h.prog, &run))
			continue;
		check_classified(&run, -1, false);
		learn_from(kind, &reading);
	}
	check_learned();
}

/* What classify left in the packet's metadata decides, whatever the packet is. */
static void numbered_packets(enum prog_kind what)
{
	static const uint32_t numbers[] = {0, 1, 2, 3, 0xfffe, QOSD_TC_EXEMPT};
	struct prog_spec spec = {.kind = what};
	int prog = harness_load_spec(&h, &spec);
	static struct trial run;
	uint32_t zero = 0;

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(helper->maps.next), &zero, &prog, BPF_ANY), 0);
	for (uint64_t n = packets_wanted(), i = 0; i < n; i++) {
		struct reading reading;
		enum reading_kind kind;
		bool matches;

		(void)next_packet(&run, true, &reading, &kind);
		helper->bss->put_tc_index = ANY(numbers);
		helper->bss->put_tc_classid = ANY(numbers);
		matches = what == PROG_PASS ? helper->bss->put_tc_index != QOSD_TC_EXEMPT
					    : helper->bss->put_tc_index == helper->bss->put_tc_classid;
		if (!run_packet(bpf_program__fd(helper->progs.behind), &run))
			continue;
		assert_int_equal(run.verdict, matches ? -1 : 0);
		assert_int_equal(run.ctx.mark, run.mark);
	}
	close(prog);
}

static void classify_wan_takes_the_packets_of_its_class(void **state)
{
	(void)state;
	numbered_packets(PROG_CLASSIFY_WAN);
}

static void pass_takes_all_but_the_exempt(void **state)
{
	(void)state;
	numbered_packets(PROG_PASS);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(classify_gives_the_class_that_was_worked_out),
		TEST(classify_drops_nothing_where_others_police),
		TEST(classify_paces_the_class_that_was_worked_out),
		TEST(classify_finds_the_keys_of_the_class_that_was_worked_out),
		TEST(forward_goes_by_the_rule_that_was_worked_out),
		TEST(classify_neighbor_passes_and_learns),
		TEST(classify_wan_takes_the_packets_of_its_class),
		TEST(pass_takes_all_but_the_exempt),
	};

	harness_need_bpf();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
