/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * parse: a packet's headers, one cursor function each, into one struct packet. Nothing points into the packet
 * afterwards. What is behind the IP header and cannot be read (a fragment, too short, too many extension headers) is
 * not there; that is no error. Compiles natively too, where tests/fuzz/packet_shim.h stands for the kernel.
 */
#ifndef QOSD_PARSE_BPF_H
#define QOSD_PARSE_BPF_H

#ifndef PACKET_START
#define PACKET_START(skb) ((void *)(long)(skb)->data)
#define PACKET_END(skb)   ((void *)(long)(skb)->data_end)
#endif

#define VLANS_MAX        2      /* inline, behind the one in the metadata */
#define EXTENSIONS_MAX   8      /* IPv6 extension headers */
#define OFFSET_MAX       0x7fff /* beyond it the verifier believes no pointer */
#define ETHERTYPE_ARP    0x0806
#define ETHERTYPE_IPV4   0x0800
#define ETHERTYPE_IPV6   0x86dd
#define ETHERTYPE_8021Q  0x8100
#define ETHERTYPE_8021AD 0x88a8
#define ETHERTYPE_PPPOE  0x8864 /* session; discovery is not IP */
#define IPV4_MORE        0x2000 /* of frag_off: more fragments, */
#define IPV4_OFFSET      0x1fff /* and where this one belongs */
#define PPP_IPV4         0x0021
#define PPP_IPV6         0x0057
#define GSO_BY_FRAGS     0xffff /* in gso_size: segments of many sizes (SCTP) */
#define ND_FIRST         133    /* ICMPv6: router solicitation .. redirect */
#define ND_SOLICIT       135
#define ND_ADVERT        136
#define ND_LAST          137

enum packet_kind {
	PACKET_IP,
	PACKET_ARP,   /* IPv4 over Ethernet; src is the sender */
	PACKET_OTHER, /* not IP */
	PACKET_MALFORMED,
};

/* What of layer 4 is asked for; the rest is left as "not there". */
enum packet_want {
	WANT_PORTS = 1,
	WANT_TCP_FLAGS = 2,
	WANT_UDP_PORTS = 4, /* for DHCP, where no rule asks for ports */
	WANT_ICMP_TYPE = 8,
	WANT_ND_TARGET = 16,
	WANT_POLICY = 32,  /* without it: only what teaches of the sender */
	WANT_FORWARD = 64, /* fragment and options */
};

struct packet {
	struct qosd_lpm src, dst; /* prefixlen 128: keys of the tries as they are */
	struct qosd_addr target;  /* of a neighbour advertisement, if has_target */
	__u32 vlan;               /* outermost id, or QOSD_NO_VLAN */
	__u32 sport, dport;       /* host order, or QOSD_NO_PORT */
	__u32 tcp_flags;          /* or QOSD_NO_TCP_FLAGS */
	__u32 icmp_type;          /* ICMP in IPv4, ICMPv6 in IPv6; or QOSD_NO_ICMP_TYPE */
	__u32 length;             /* of the IP packet, one segment's */
	__u32 l3_off;             /* from the frame's start */
	__u32 payload_off;        /* behind TCP's or UDP's header, else behind the last that was understood */
	__u8 v6;
	__u8 proto;
	__u8 tos; /* or traffic class: DSCP and ECN */
	__u8 hop_limit;
	__u8 has_target;
	__u8 fragment; /* the first, or behind it */
	__u8 options;  /* IPv4's, or an extension header that every hop may have to look at */
};

/* ---- the cursor ---- */
struct cursor {
	struct __sk_buff *skb;
	void *data, *data_end; /* the linear part */
	__u32 off;             /* of the next header */
	__u32 end;             /* of what may be read: the frame's, later the IP packet's */
};

static __always_inline void cursor_start(struct cursor *c, struct __sk_buff *skb)
{
	c->skb = skb;
	c->data = PACKET_START(skb);
	c->data_end = PACKET_END(skb);
	c->off = 0;
	c->end = skb->len;
}

/* The header of size bytes at the cursor, NULL if the packet ends before it does. Merged packets (GRO) come with little
 * of them in the linear part; what is not there is copied to room, and the packet stays as it is. */
static __always_inline void *cursor_look(const struct cursor *c, void *room, __u32 size)
{
	void *header = c->data + c->off;

	if (c->off + size > c->end)
		return NULL;
	if (header + size <= c->data_end)
		return header;
	return bpf_skb_load_bytes(c->skb, c->off, room, size) ? NULL : room;
}

/* ---- link layer: each returns the EtherType of what follows in host order (0: something that is not IP), or -1 ----
 */
static __always_inline int parse_ethernet(struct cursor *c)
{
	struct ethhdr room, *eth = cursor_look(c, &room, sizeof(*eth));

	if (!eth)
		return -1;
	c->off += sizeof(*eth);
	return bpf_ntohs(eth->h_proto);
}

static __always_inline int is_tag(int ethertype)
{
	return ethertype == ETHERTYPE_8021Q || ethertype == ETHERTYPE_8021AD;
}

struct tags {
	__u32 off;  /* in: of the first, out: behind the last */
	__u32 vlan; /* in: of the metadata, out: the outermost */
	__s32 ethertype;
};

static __always_inline int skip_vlan(struct __sk_buff *skb, struct tags *t)
{
	struct {
		__be16 tci, proto;
	} tag;

	if (bpf_skb_load_bytes(skb, t->off, &tag, sizeof(tag)))
		return -1;
	if (t->vlan == QOSD_NO_VLAN)
		t->vlan = bpf_ntohs(tag.tci) & 0xfff;
	t->off += sizeof(tag);
	return bpf_ntohs(tag.proto);
}

static __always_inline int skip_pppoe(struct __sk_buff *skb, struct tags *t)
{
	struct {
		__u8 version_type, code;
		__be16 session, length, proto;
	} ppp;

	if (bpf_skb_load_bytes(skb, t->off, &ppp, sizeof(ppp)))
		return -1;
	t->off += sizeof(ppp);
	switch (bpf_ntohs(ppp.proto)) {
	case PPP_IPV4: return ETHERTYPE_IPV4;
	case PPP_IPV6: return ETHERTYPE_IPV6;
	default: return 0;
	}
}

/* Tags that are in the frame itself, and PPPoE. Global, as all rare ways here: the verifier looks at it once, and its
 * caller goes on with one unknown offset instead of one for each kind of tagging. */
__noinline int skip_tags(struct __sk_buff *skb, struct tags *t)
{
	if (!t)
		return 0;
	for (int i = 0; i < VLANS_MAX && is_tag(t->ethertype); i++)
		t->ethertype = skip_vlan(skb, t);
	if (t->ethertype == ETHERTYPE_PPPOE)
		t->ethertype = skip_pppoe(skb, t);
	return 0;
}

static __always_inline int parse_tags(struct cursor *c, struct packet *p, int ethertype)
{
	struct tags t = {.off = c->off, .vlan = p->vlan, .ethertype = ethertype};

	skip_tags(c->skb, &t);
	p->vlan = t.vlan;
	c->off = t.off < OFFSET_MAX ? t.off : OFFSET_MAX;
	return t.ethertype;
}

/* ---- addresses ---- */
static __always_inline void address_v4(struct qosd_addr *to, __be32 from)
{
	__u32 *w = (__u32 *)to->b;

	w[0] = 0;
	w[1] = 0;
	w[2] = bpf_htonl(0xffff);
	w[3] = from;
}

static __always_inline void address_v6(struct qosd_addr *to, const struct in6_addr *from)
{
	__u32 *w = (__u32 *)to->b;

	w[0] = from->in6_u.u6_addr32[0];
	w[1] = from->in6_u.u6_addr32[1];
	w[2] = from->in6_u.u6_addr32[2];
	w[3] = from->in6_u.u6_addr32[3];
}

static __always_inline int parse_arp(struct cursor *c, struct packet *p)
{
	struct {
		__be16 hw, proto;
		__u8 hw_len, proto_len;
		__be16 op;
		__u8 sender_hw[6], sender[4];
	} __attribute__((packed)) room, *arp = cursor_look(c, &room, sizeof(*arp));
	__be32 sender;

	if (!arp || arp->hw != bpf_htons(1) || arp->proto != bpf_htons(ETHERTYPE_IPV4) || arp->hw_len != 6 ||
	    arp->proto_len != 4)
		return PACKET_OTHER;
	__builtin_memcpy(&sender, arp->sender, sizeof(sender));
	address_v4(&p->src.addr, sender);
	return PACKET_ARP;
}

/* ---- IP: each returns the protocol of layer 4 (with *there 0 if its header is not), or -1 ---- */
static __always_inline int parse_ipv4(struct cursor *c, struct packet *p, __u32 want, int *there)
{
	struct iphdr room, *ip = cursor_look(c, &room, sizeof(*ip));
	__u32 total;

	if (!ip || ip->version != 4 || ip->ihl < 5)
		return -1;
	address_v4(&p->src.addr, ip->saddr);
	if (!(want & WANT_POLICY)) /* nothing of layer 4 does */
		return ip->protocol;
	address_v4(&p->dst.addr, ip->daddr);
	p->tos = ip->tos;
	p->hop_limit = ip->ttl;
	p->l3_off = c->off;
	total = bpf_ntohs(ip->tot_len);
	p->length = total;
	if (want & WANT_FORWARD) {
		p->fragment = (ip->frag_off & bpf_htons(IPV4_MORE | IPV4_OFFSET)) != 0;
		p->options = ip->ihl > 5;
	}
	/* Behind the IP packet there may be Ethernet's padding, which is no header. A merged packet says the length of
	 * one segment or of nothing (BIG TCP: 0). */
	if (!c->skb->gso_size && c->end > c->off + total)
		c->end = c->off + total;
	*there = !(ip->frag_off & bpf_htons(IPV4_OFFSET));
	c->off += ip->ihl * 4;
	return ip->protocol;
}

static __always_inline int is_extension(__u32 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT || next == IPPROTO_AH;
}

struct extensions {
	__u32 off, end; /* in: of the first, of the packet; out: of layer 4 */
	__u32 next;     /* in and out: the protocol at off */
	__u32 there;    /* out: off is where its header is */
};

/* Global, so that the verifier looks at the loop once and not for every way that leads here. */
__noinline int skip_extensions(struct __sk_buff *skb, struct extensions *e)
{
	if (!e)
		return 0;
	for (int i = 0; i < EXTENSIONS_MAX && is_extension(e->next); i++) {
		struct {
			__u8 next, length;
			__be16 frag_off;
			__be32 id;
		} ext;

		if (e->off + sizeof(ext) > e->end || bpf_skb_load_bytes(skb, e->off, &ext, sizeof(ext)))
			return 0;
		if (e->next == IPPROTO_FRAGMENT &&
		    ext.frag_off & bpf_htons(0xfff8)) { /* not the first: data behind it */
			e->next = ext.next;
			return 0;
		}
		e->off += e->next == IPPROTO_FRAGMENT ? 8
			  : e->next == IPPROTO_AH     ? (ext.length + 2) * 4
						      : (ext.length + 1) * 8;
		e->next = ext.next;
	}
	e->there = !is_extension(e->next);
	return 0;
}

static __always_inline int parse_extensions(struct cursor *c, __u32 next, int *there)
{
	struct extensions e = {.off = c->off, .end = c->end, .next = next};

	skip_extensions(c->skb, &e);
	/* A bound that no verifier forgets, whatever becomes of *there on the stack. */
	c->off = e.off & OFFSET_MAX;
	*there = e.there && e.off <= OFFSET_MAX;
	return e.next & 0xff;
}

static __always_inline int parse_ipv6(struct cursor *c, struct packet *p, __u32 want, int *there)
{
	struct ipv6hdr room, *ip = cursor_look(c, &room, sizeof(*ip));
	__u32 total, next;

	if (!ip || ip->version != 6)
		return -1;
	p->v6 = 1;
	address_v6(&p->src.addr, &ip->saddr);
	address_v6(&p->dst.addr, &ip->daddr);
	p->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	p->hop_limit = ip->hop_limit;
	p->l3_off = c->off;
	total = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	p->length = total;
	if (!c->skb->gso_size && c->end > c->off + total)
		c->end = c->off + total;
	next = ip->nexthdr;
	if (want & WANT_FORWARD) {
		p->fragment = next == IPPROTO_FRAGMENT;
		p->options = is_extension(next) && next != IPPROTO_FRAGMENT && next != IPPROTO_AH;
	}
	c->off += sizeof(*ip);
	*there = 1;
	return is_extension(next) ? parse_extensions(c, next, there) : (int)next;
}

/* ---- layer 4 ---- */
static __always_inline void parse_ports(struct cursor *c, struct packet *p)
{
	struct {
		__be16 source, dest;
	} room, *ports = cursor_look(c, &room, sizeof(*ports));

	if (!ports)
		return;
	p->sport = bpf_ntohs(ports->source);
	p->dport = bpf_ntohs(ports->dest);
}

static __always_inline void parse_tcp(struct cursor *c, struct packet *p)
{
	__u8 room[14], *tcp = cursor_look(c, room, sizeof(room));

	if (!tcp)
		return;
	p->tcp_flags = tcp[13];
	p->payload_off = c->off + (tcp[12] >> 4) * 4;
}

static __always_inline void parse_icmp(struct cursor *c, struct packet *p)
{
	__u8 room, *type = cursor_look(c, &room, sizeof(room));

	if (type)
		p->icmp_type = *type;
}

static __always_inline void parse_nd_target(struct cursor *c, struct packet *p)
{
	struct in6_addr room, *target;

	c->off += 8;
	target = cursor_look(c, &room, sizeof(*target));
	if (!target)
		return;
	address_v6(&p->target, target);
	p->has_target = 1;
}

static __always_inline void parse_layer4(struct cursor *c, struct packet *p, __u32 want)
{
	switch (p->proto) {
	case IPPROTO_TCP:
		if (want & WANT_PORTS)
			parse_ports(c, p);
		if (want & WANT_TCP_FLAGS || (want & WANT_POLICY && c->skb->gso_size))
			parse_tcp(c, p);
		return;
	case IPPROTO_UDP:
		if (want & (WANT_PORTS | WANT_UDP_PORTS))
			parse_ports(c, p);
		p->payload_off = c->off + 8;
		return;
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		if (want & WANT_PORTS)
			parse_ports(c, p);
		return;
	case IPPROTO_ICMP:
		if (want & WANT_ICMP_TYPE && !p->v6)
			parse_icmp(c, p);
		return;
	case IPPROTO_ICMPV6:
		if (want & WANT_ICMP_TYPE && p->v6)
			parse_icmp(c, p);
		if (want & WANT_ND_TARGET && p->icmp_type == ND_ADVERT)
			parse_nd_target(c, p);
		return;
	default: return;
	}
}

/* The whole story. l2_len is 14 for a frame with an Ethernet header, 0 for one that starts at IP. */
static __always_inline enum packet_kind parse_packet(struct __sk_buff *skb, __u32 l2_len, __u32 want, struct packet *p)
{
	struct cursor c;
	int proto, there = 0;

	cursor_start(&c, skb);
	p->vlan = QOSD_NO_VLAN;
	p->icmp_type = QOSD_NO_ICMP_TYPE;
	p->v6 = 0;
	p->has_target = 0;
	if (want & WANT_POLICY) {
		if (skb->vlan_present)
			p->vlan = skb->vlan_tci & 0xfff;
		p->src.prefixlen = 128;
		p->dst.prefixlen = 128;
		p->sport = QOSD_NO_PORT;
		p->dport = QOSD_NO_PORT;
		p->tcp_flags = QOSD_NO_TCP_FLAGS;
	}

	proto = l2_len ? parse_ethernet(&c) : bpf_ntohs(skb->protocol);
	if (is_tag(proto) || proto == ETHERTYPE_PPPOE)
		proto = parse_tags(&c, p, proto);

	if (proto == ETHERTYPE_ARP)
		return parse_arp(&c, p);
	if (proto == ETHERTYPE_IPV4)
		proto = parse_ipv4(&c, p, want, &there);
	else if (proto == ETHERTYPE_IPV6)
		proto = parse_ipv6(&c, p, want, &there);
	else if (proto >= 0)
		return PACKET_OTHER;
	if (proto < 0)
		return PACKET_MALFORMED;
	p->proto = proto;
	p->payload_off = c.off;
	if (there)
		parse_layer4(&c, p, want);
	if (want & WANT_POLICY && skb->gso_size && skb->gso_size != GSO_BY_FRAGS)
		p->length = p->payload_off - p->l3_off + skb->gso_size;
	return PACKET_IP;
}

#endif
