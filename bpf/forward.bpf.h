/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * forward: a packet that the policy let pass, handed to another device without the stack. What the stack has to see
 * (fragments, the last hop, what is too big for the other link) goes there as if there were no rule; what is not handed
 * over is counted with its reason, before the kernel can lose it silently.
 */
#ifndef QOSD_FORWARD_BPF_H
#define QOSD_FORWARD_BPF_H

#define NO_WHY (-1)
#define GO_ON  100 /* no TC_ACT_*: a copy was sent, later rules may take the packet */

/* pkt_type, include/uapi/linux/if_packet.h */
#define TYPE_HOST      0
#define TYPE_BROADCAST 1
#define TYPE_MULTICAST 2
#define TYPE_OTHERHOST 3

#define FAMILY_V4 2 /* AF_INET, AF_INET6 */
#define FAMILY_V6 10

/* May a router send on what is from or for this address? */
static __always_inline int is_routable(const struct qosd_addr *a)
{
	return address_is_unicast(a) && !address_is_link_local(a);
}

/* Nothing but a type of packet that one host sends to another may go past the stack. Of a source that no host has
 * (RFC 1812, 5.3.7) the stack drops it. */
static __always_inline int is_for_others(struct __sk_buff *skb, const struct packet *p, __u32 mode)
{
	__u32 type = skb->pkt_type;

	if (type == TYPE_BROADCAST || type == TYPE_MULTICAST)
		return 1;
	if (hook.ingress && type == TYPE_OTHERHOST && (mode == QOSD_FORWARD_NEIGH || mode == QOSD_FORWARD_PEER))
		return 1;
	return !is_routable(&p->src.addr) || !is_routable(&p->dst.addr);
}

/* The kernel knows at once that a device is gone, the daemon a moment later. */
static __always_inline int look_at_device(struct __sk_buff *skb, const struct packet *p, __u32 ifindex)
{
	__u32 mtu = p->length;

	if (bpf_check_mtu(skb, ifindex, &mtu, 0, 0) < 0)
		return QOSD_WHY_AWAY;
	return p->length > mtu ? QOSD_WHY_TOO_BIG : NO_WHY;
}

/* What keeps the packet from the fast path, or NO_WHY. */
static __always_inline int find_obstacle(struct __sk_buff *skb, const struct packet *p,
					 const struct qosd_forward_conf *c, const struct qosd_target *t)
{
	if (!t->ifindex)
		return QOSD_WHY_AWAY;
	if (c->mode == QOSD_FORWARD_CLONE)
		return t->l2_len && !hook.l2_len ? QOSD_WHY_FRAMING : look_at_device(skb, p, t->ifindex);
	if (c->mode == QOSD_FORWARD_PEER && !t->peer)
		return QOSD_WHY_NO_PEER;
	if (is_for_others(skb, p, c->mode))
		return QOSD_WHY_NOT_HOST;
	if (p->l3_off != hook.l2_len)
		return QOSD_WHY_FRAMING;
	if (c->mode == QOSD_FORWARD_EGRESS && t->l2_len && !hook.l2_len)
		return QOSD_WHY_FRAMING;
	if (p->hop_limit <= 1)
		return QOSD_WHY_TTL;
	if (p->fragment)
		return QOSD_WHY_FRAGMENT;
	if (p->options)
		return QOSD_WHY_OPTIONS;
	if (c->mode == QOSD_FORWARD_NEIGH && !c->nexthop) /* find_route looks at it */
		return NO_WHY;
	return look_at_device(skb, p, t->ifindex);
}

/* ---- mode neigh: who is next ---- */

static __always_inline void put_address(__u32 *to, const struct qosd_addr *from)
{
	const __u32 *w = (const __u32 *)from->b;

	to[0] = w[0];
	to[1] = w[1];
	to[2] = w[2];
	to[3] = w[3];
}

static __always_inline __be32 as_ipv4(const struct qosd_addr *a)
{
	return ((const __u32 *)a->b)[3];
}

/* The next hop is given: only whether its link-layer address is known is asked. The kernel tells that where it
 * forwards, has a route there, and the address is not link-local; else it is taken to be known. */
static __always_inline int find_given(struct __sk_buff *skb, const struct packet *p, const struct qosd_forward_conf *c,
				      const struct qosd_target *t, struct bpf_redir_neigh *nh)
{
	struct bpf_fib_lookup f = {.ifindex = t->ifindex};

	if (p->v6 && c->nexthop == 4)
		return QOSD_WHY_NO_ROUTE;
	if (c->nexthop == 4) {
		nh->nh_family = f.family = FAMILY_V4;
		nh->ipv4_nh = f.ipv4_dst = as_ipv4(&c->address);
	} else {
		nh->nh_family = f.family = FAMILY_V6;
		put_address(nh->ipv6_nh, &c->address);
		put_address(f.ipv6_dst, &c->address);
	}
	if (t->l2_len && bpf_fib_lookup(skb, &f, sizeof(f), BPF_FIB_LOOKUP_OUTPUT) == BPF_FIB_LKUP_RET_NO_NEIGH)
		return QOSD_WHY_NEIGHBOUR;
	return NO_WHY;
}

/* The kernel's answer, and who is next in nh. */
static __always_inline int ask_routes(struct __sk_buff *skb, const struct packet *p, __u32 here,
				      const struct qosd_target *t, struct bpf_redir_neigh *nh)
{
	struct bpf_fib_lookup f = {
		.family = p->v6 ? FAMILY_V6 : FAMILY_V4,
		.l4_protocol = p->proto,
		.tot_len = p->length,
		.ifindex = here,
	};
	long found;

	if (p->sport < QOSD_NO_PORT && p->dport < QOSD_NO_PORT) {
		f.sport = bpf_htons(p->sport);
		f.dport = bpf_htons(p->dport);
	}
	if (p->v6) {
		f.flowinfo = bpf_htonl(p->tos << 20);
		put_address(f.ipv6_src, &p->src.addr);
		put_address(f.ipv6_dst, &p->dst.addr);
	} else {
		f.tos = p->tos & 0x1c;
		f.ipv4_src = as_ipv4(&p->src.addr);
		f.ipv4_dst = as_ipv4(&p->dst.addr);
	}
	found = bpf_fib_lookup(skb, &f, sizeof(f), hook.ingress ? 0 : BPF_FIB_LOOKUP_OUTPUT);
	if (found < 0)
		return QOSD_WHY_FAILED;
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return QOSD_WHY_TOO_BIG;
	if ((found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH) || f.ifindex != t->ifindex)
		return look_at_device(skb, p, t->ifindex) == QOSD_WHY_AWAY ? QOSD_WHY_AWAY : QOSD_WHY_NO_ROUTE;
	nh->nh_family = f.family; /* of the gateway: IPv4 may go by way of IPv6 */
	if (f.family == FAMILY_V4) {
		nh->ipv4_nh = f.ipv4_dst;
	} else {
		nh->ipv6_nh[0] = f.ipv6_dst[0];
		nh->ipv6_nh[1] = f.ipv6_dst[1];
		nh->ipv6_nh[2] = f.ipv6_dst[2];
		nh->ipv6_nh[3] = f.ipv6_dst[3];
	}
	return found == BPF_FIB_LKUP_RET_NO_NEIGH && t->l2_len ? QOSD_WHY_NEIGHBOUR : NO_WHY;
}

/* Protocol, TOS and family. */
static __always_inline __u32 rest_of(const struct packet *p)
{
	return p->proto | p->tos << 8 | p->v6 << 16;
}

/* All that ask_routes() tells the kernel. Not by way of a struct flow of its own: the stack of a chain of calls is
 * short. */
static __always_inline int is_of_flow(const struct packet *p, __u32 here, const struct flow *f)
{
	return f->rest == rest_of(p) && f->sport == p->sport && f->dport == p->dport && f->here == here &&
	       same_address(&f->dst, &p->dst.addr) && same_address(&f->src, &p->src.addr);
}

static __always_inline void note_flow(struct flow *f, const struct packet *p, __u32 here)
{
	f->src = p->src.addr;
	f->dst = p->dst.addr;
	f->sport = p->sport;
	f->dport = p->dport;
	f->rest = rest_of(p);
	f->here = here;
}

/* As the routes say; they must lead to the rule's device. */
static __always_inline int find_route(struct __sk_buff *skb, const struct packet *p, const struct qosd_target *t,
				      struct bpf_redir_neigh *nh)
{
	__u32 here = skb->ifindex, jiffy = bpf_jiffies64();
	__u32 place = (bpf_ntohl(as_ipv4(&p->dst.addr)) ^ p->sport ^ p->dport) & (ROUTED_MAX - 1);
	struct routed *r = bpf_map_lookup_elem(&routed, &place);
	int why;

	/* clang would choose between the two pointers, and the verifier wants no computed one into the context. */
	asm volatile("" : "+r"(here));
	if (!hook.ingress)
		here = t->ifindex;
	if (!r)
		return QOSD_WHY_FAILED;
	if (r->jiffy == jiffy && r->ifindex == t->ifindex && p->length <= r->length && is_of_flow(p, here, &r->flow)) {
		*nh = r->nh;
		return look_at_device(skb, p, t->ifindex);
	}
	why = ask_routes(skb, p, here, t, nh);
	if (why == NO_WHY) {
		note_flow(&r->flow, p, here);
		r->jiffy = jiffy;
		r->length = p->length;
		r->ifindex = t->ifindex;
		r->nh = *nh;
	}
	return why;
}

/* ---- what changes on the way ---- */

/* A routed packet has one hop less to go. The sum of an IPv4 header follows as in ip_decrease_ttl (include/net/ip.h,
 * RFC 1624), and that of the whole packet stays; IPv6's has to follow what the card may have summed up. */
static __always_inline int take_hop_ipv4(struct __sk_buff *skb)
{
	struct iphdr *ip = (void *)(long)skb->data + hook.l2_len;
	__u32 sum;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end) {
		if (bpf_skb_pull_data(skb, hook.l2_len + sizeof(*ip)))
			return -1;
		ip = (void *)(long)skb->data + hook.l2_len;
		if ((void *)(ip + 1) > (void *)(long)skb->data_end)
			return -1;
	}
	sum = ip->check + bpf_htons(0x0100);
	ip->check = sum + (sum >= 0xffff);
	ip->ttl--;
	return 0;
}

static __always_inline int take_hop_ipv6(struct __sk_buff *skb, const struct packet *p)
{
	__u8 hop_limit = p->hop_limit - 1;

	return bpf_skb_store_bytes(skb, p->l3_off + 7, &hop_limit, sizeof(hop_limit), BPF_F_RECOMPUTE_CSUM);
}

/* From a device without an Ethernet header: one is put in front. */
static __always_inline int put_header(struct __sk_buff *skb)
{
	__be16 protocol = skb->protocol;

	return bpf_skb_change_head(skb, ETH_HLEN, 0) ||
	       bpf_skb_store_bytes(skb, ETH_HLEN - 2, &protocol, sizeof(protocol), 0);
}

/* To the device itself. */
static __always_inline int address_to(struct __sk_buff *skb, const struct qosd_target *t)
{
	__u8 *to = (void *)(long)skb->data;

	if ((void *)(to + ETH_HLEN) > (void *)(long)skb->data_end)
		return bpf_skb_store_bytes(skb, 0, t->mac, sizeof(t->mac), 0);
	__builtin_memcpy(to, t->mac, sizeof(t->mac));
	return 0;
}

/* As the other side has it: hops, tags, header. 0, or the kernel refused. */
static __always_inline int change(struct __sk_buff *skb, const struct packet *p, const struct qosd_forward_conf *c,
				  const struct qosd_target *t)
{
	int routed = c->mode == QOSD_FORWARD_NEIGH || c->mode == QOSD_FORWARD_PEER;

	/* What leaves by an egress hook has been routed before. */
	if (routed && hook.ingress && (p->v6 ? take_hop_ipv6(skb, p) : take_hop_ipv4(skb)))
		return -1;
	/* A tag is the link's that the packet came by; a VLAN device has its own. */
	if (skb->vlan_present && (routed || t->vlan || !t->l2_len) && bpf_skb_vlan_pop(skb))
		return -1;
	if (!hook.l2_len && t->l2_len && put_header(skb))
		return -1;
	/* As if it had been sent to that device. */
	if (c->mode == QOSD_FORWARD_INGRESS && t->l2_len && skb->pkt_type != TYPE_OTHERHOST)
		return address_to(skb, t);
	return 0;
}

/* The departure time that the policy stamped would be cleared by the redirect. */
static __always_inline void keep_stamp(struct __sk_buff *skb)
{
	__u64 stamp;

	if (hook.ingress)
		return;
	stamp = skb->tstamp;
	if (stamp)
		(void)bpf_skb_set_tstamp(skb, stamp, BPF_SKB_TSTAMP_DELIVERY_MONO);
}

/* ---- counting ---- */

static __always_inline int missed(const struct qosd_forward_conf *c, struct qosd_forward_stats *s, __u32 packets,
				  int why)
{
	if (why < 0 || why >= QOSD_WHYS)
		return TC_ACT_UNSPEC;
	s->why[why] += packets;
	return why == QOSD_WHY_LOOP || (why < QOSD_WHY_LOOP && c->miss_drop) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

static __always_inline void count(struct __sk_buff *skb, const struct qosd_forward_conf *c, const struct qosd_target *t,
				  struct qosd_forward_stats *s, struct qosd_target_stats *ts, __u32 packets,
				  __u32 bytes)
{
	__u32 len = skb->len;

	if (!t->l2_len && hook.l2_len && c->mode != QOSD_FORWARD_PEER)
		len -= ETH_HLEN; /* the kernel takes it off */
	s->packets += packets;
	s->bytes += bytes;
	s->skbs++;
	s->skb_bytes += len;
	if (ts->ifindex != t->ifindex)
		*ts = (struct qosd_target_stats){.ifindex = t->ifindex};
	switch (c->mode) {
	case QOSD_FORWARD_PEER:
		ts->unseen_tx_skbs++;
		ts->unseen_tx_bytes += len;
		break;
	case QOSD_FORWARD_INGRESS:
		ts->unseen_rx_skbs++;
		ts->unseen_rx_bytes += len;
		break;
	default:
		ts->tx_skbs++;
		ts->tx_bytes += len;
		break;
	}
}

/* How often the packet has been handed on. Rules that hand packets to each other would do so for ever. */
static __always_inline __u32 get_hops(struct __sk_buff *skb)
{
	return skb->cb[0] == QOSD_HOPS_MAGIC ? skb->cb[1] : 0;
}

static __always_inline void set_hops(struct __sk_buff *skb, __u32 hops)
{
	skb->cb[0] = QOSD_HOPS_MAGIC;
	skb->cb[1] = hops;
}

/* ---- the story ---- */

static __always_inline int is_off(__u32 rule)
{
	const __u32 *off = bpf_map_lookup_elem(&forwards_off, &rule);

	return off && *off;
}

static __always_inline int redirect(const struct qosd_forward_conf *c, const struct qosd_target *t,
				    struct bpf_redir_neigh *nh)
{
	switch (c->mode) {
	case QOSD_FORWARD_INGRESS: return bpf_redirect(t->ifindex, BPF_F_INGRESS);
	case QOSD_FORWARD_NEIGH:
		return t->l2_len ? bpf_redirect_neigh(t->ifindex, nh, sizeof(*nh), 0) : bpf_redirect(t->ifindex, 0);
	case QOSD_FORWARD_PEER: return bpf_redirect_peer(t->ifindex, 0);
	default: return bpf_redirect(t->ifindex, 0);
	}
}

/* Past the stack. */
static __always_inline int send_on(struct __sk_buff *skb, const struct qosd_forward_conf *c,
				   const struct qosd_target *t, struct bpf_redir_neigh *nh, __u32 hops)
{
	set_hops(skb, hops + 1);
	keep_stamp(skb);
	return redirect(c, t, nh);
}

/* The kernel asks for the address of a neighbour when it is to send there, and holds the packet until the answer. The
 * stack would ask only for a packet that it gets, and not for a next hop that none of its routes has: without these
 * there would never be an answer. One in so many is enough where the others have another way. */
static __always_inline int may_ask(const struct qosd_forward_conf *c, const struct qosd_forward_stats *s, __u32 packets)
{
	__u64 n = s->why[QOSD_WHY_NEIGHBOUR];

	return c->miss_drop || (c->nexthop && (!n || n / QOSD_ASK_EVERY != (n + packets) / QOSD_ASK_EVERY));
}

/* A copy is sent, which has been handed on once more; the packet has not. */
static __always_inline int send_copy(struct __sk_buff *skb, __u32 ifindex, __u32 hops)
{
	long err;

	set_hops(skb, hops + 1);
	err = bpf_clone_redirect(skb, ifindex, 0);
	set_hops(skb, hops);
	return err ? QOSD_WHY_FAILED : NO_WHY;
}

/* What this number says is done with the packet, whose segments and bytes on the wire are given: a verdict, or GO_ON.
 * Global: verified once. */
__noinline int hand_over(struct __sk_buff *skb, const struct packet *p, __u32 number, __u32 packets, __u32 bytes)
{
	const struct qosd_forward_conf *c = bpf_map_lookup_elem(&forwards, &number);
	const struct qosd_target *now, *t;
	struct bpf_redir_neigh nh = {};
	struct qosd_forward_stats *s;
	struct qosd_target_stats *ts;
	struct qosd_target target;
	__u32 rule, slot, hops;
	int why;

	if (!p || !c || c->mode == QOSD_FORWARD_NONE)
		return TC_ACT_UNSPEC;
	rule = c->rule;
	slot = c->target;
	s = bpf_map_lookup_elem(&forwards_stats, &rule);
	now = bpf_map_lookup_elem(&targets, &slot);
	ts = bpf_map_lookup_elem(&targets_stats, &slot);
	if (!s || !now || !ts || c->off || is_off(rule))
		return c->mode == QOSD_FORWARD_CLONE ? GO_ON : TC_ACT_UNSPEC;
	/* The daemon empties it when the device goes: one look for all that is done with this packet. */
	target = *now;
	t = &target;
	asm volatile("" : : "r"(t) : "memory");
	why = find_obstacle(skb, p, c, t);
	if (why == NO_WHY && c->mode == QOSD_FORWARD_NEIGH)
		why = c->nexthop ? find_given(skb, p, c, t, &nh) : find_route(skb, p, t, &nh);
	hops = get_hops(skb);
	if (why == NO_WHY && hops >= QOSD_HOPS_MAX)
		why = QOSD_WHY_LOOP;
	if (c->mode == QOSD_FORWARD_CLONE) {
		if (why == NO_WHY)
			why = send_copy(skb, t->ifindex, hops);
		if (why == NO_WHY)
			count(skb, c, t, s, ts, packets, bytes);
		else
			(void)missed(c, s, packets, why); /* it is the copy that is not made; the packet goes on */
		return GO_ON;
	}
	if (why == QOSD_WHY_NEIGHBOUR && may_ask(c, s, packets)) {
		int verdict = missed(c, s, packets, why);

		return change(skb, p, c, t) ? verdict : send_on(skb, c, t, &nh, hops);
	}
	if (why == NO_WHY && change(skb, p, c, t))
		why = QOSD_WHY_FAILED;
	if (why != NO_WHY)
		return missed(c, s, packets, why);
	count(skb, c, t, s, ts, packets, bytes);
	return send_on(skb, c, t, &nh, hops);
}

#endif
