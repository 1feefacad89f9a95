/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * qosd: the programs, one hook's story each: parse, learn, classify, act. Every way out that is not a verdict of a
 * policer passes the packet: TC_ACT_UNSPEC, so that other people's filters behind ours still see it.
 */
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "qosd_abi.h"

#include "maps.bpf.h"
#include "parse.bpf.h"

#include "learn.bpf.h"

#include "forward.bpf.h"
#include "match.bpf.h"
#include "per.bpf.h"
#include "police.bpf.h"
#include "remark.bpf.h"

#define MATCH    (-1) /* cls_bpf without direct action: the filter's own class and actions */
#define NO_MATCH 0

static __always_inline int is_bypassed(void)
{
	__u32 zero = 0;
	const __u32 *on = bpf_map_lookup_elem(&bypass, &zero);

	return on && *on;
}

/* ARP and the like are not IP. ND and DHCP are what keeps a link alive: never policed, whatever a policy says. Both
 * ends must be DHCP's, and ND must come from the link itself (RFC 4861), and neither is ever merged; who sends
 * something else in that guise comes to what has_exemption_left() leaves. */
static __always_inline int is_exempt(struct __sk_buff *skb, const struct packet *p)
{
	if (skb->gso_size)
		return 0;
	if (p->proto == IPPROTO_UDP && !p->v6)
		return (p->sport == 67 || p->sport == 68) && (p->dport == 67 || p->dport == 68);
	if (p->proto == IPPROTO_UDP)
		return (p->sport == 546 || p->sport == 547) && (p->dport == 546 || p->dport == 547);
	return p->v6 && p->proto == IPPROTO_ICMPV6 && p->hop_limit == 255 && p->icmp_type >= ND_FIRST &&
	       p->icmp_type <= ND_LAST;
}

/* A link needs few of them. What comes beyond is classified as all else, or a tunnel between the ports of DHCP would
 * never be policed. */
static __always_inline int has_exemption_left(void)
{
	__u32 zero = 0;
	__u64 now, *until;

	if (!hook.exempt_ns)
		return 1;
	until = bpf_map_lookup_elem(&exempt_clock, &zero);
	if (!until)
		return 1;
	now = coarse_now();
	if (*until < now)
		*until = now;
	if (*until - now >= (__u64)QOSD_EXEMPT_BURST * hook.exempt_ns)
		return 0;
	*until += hook.exempt_ns;
	return 1;
}

/* What the rules of this hook, learning and the exemptions want to know of layer 4. */
static __always_inline __u32 wants(void)
{
	__u32 want = WANT_POLICY | WANT_UDP_PORTS | WANT_ICMP_TYPE;

	if (table.uses & (QOSD_USE_SPORT | QOSD_USE_DPORT))
		want |= WANT_PORTS;
	if (table.uses & QOSD_USE_TCP_FLAGS)
		want |= WANT_TCP_FLAGS;
	if (hook.learn_n)
		want |= WANT_ND_TARGET;
	return want;
}

/* Nobody behind is to police this packet, and no class of an htb to queue it. */
static __always_inline int leave_alone(struct __sk_buff *skb)
{
	/* With engine bpf too: filters of the other engine may still stand behind while a reload changes over. */
	skb->tc_index = QOSD_TC_EXEMPT;
	if (hook.htb_direct)
		skb->priority = hook.htb_direct;
	if (hook.htb_direct_queue)
		skb->queue_mapping = hook.htb_direct_queue;
	return TC_ACT_UNSPEC;
}

static __always_inline int leave_unclassified(struct __sk_buff *skb, const struct wire *w)
{
	__u32 zero = 0;
	struct qosd_class_stats *s = bpf_map_lookup_elem(&stats, &zero);

	if (s && !hook.resume_class) { /* a packet that continued has been counted */
		s->packets += w->packets;
		s->bytes += w->bytes;
	}
	return leave_alone(skb);
}

static __always_inline __u8 tos_of(const struct packet *p, const struct act *a)
{
	__u8 dscp = a->remark ? a->dscp : p->tos >> 2, ecn = a->marked ? ECN_CE : p->tos & 3;

	return dscp << 2 | ecn;
}

static __always_inline int finish(struct __sk_buff *skb, const struct packet *p, struct qosd_hook_stats *hs,
				  const struct act *a)
{
	if (!hook.engine_tc)
		skb->tc_index = QOSD_TC_EXEMPT;
	if (a->mark_mask)
		skb->mark = (skb->mark & ~a->mark_mask) | a->mark;
	if (a->classid)
		skb->priority = a->classid;
	if (a->queue) /* as if it had been received there: skb_tx_hash() sends it from the queue of that number */
		skb->queue_mapping = a->queue;
	if (hook.paces && a->start)
		edt_stamp(skb, a->start, a->now, a->horizon, hook.htb_direct != 0);
	if (a->error || ((a->remark || a->marked) && remark(skb, p, tos_of(p, a))))
		hs->errors++;
	return TC_ACT_UNSPEC;
}

/* Engine tc: the class's number goes to the filters behind, which police. A class that nothing polices must not reach
 * the default's filter, except where the classifier runs again behind it and looks for its number. */
static __always_inline void hand_on(struct __sk_buff *skb, __u32 number)
{
	const struct qosd_class_conf *c = bpf_map_lookup_elem(&conf, &number);

	skb->tc_index = c && (c->kind != QOSD_KIND_PASS || c->conform_continue) ? number : QOSD_TC_EXEMPT;
}

/* The packet at its class and those above. Where nothing is above, no key and no second class can be, that is done
 * here: most packets of most policies. */
static __always_inline int act_at(struct act *a, __u32 number)
{
	const struct qosd_class_conf *own;

	if (table.rounds || hook.keyed)
		return act_class(a, number);
	own = bpf_map_lookup_elem(&conf, &number);
	if (!own) {
		a->error = 1;
		return VERDICT_PASS;
	}
	if (own->parent)
		return act_class(a, number);
	return act_alone(a, number, own, take_remarks(a, own));
}

/* Engine bpf: the class's verdict; after `conform: continue` the next class's, and so on. */
static __always_inline int police(const struct bits *b, struct act *a, __u32 number, __u32 resume)
{
	for (__u32 round = 0; round <= QOSD_CONTINUE_MAX; round++) {
		struct qosd_rule *r;
		__u32 next;
		int verdict = act_at(a, number);

		if (verdict != VERDICT_CONTINUE || round >= table.rounds)
			return verdict;
		next = first_rule(b, resume);
		r = bpf_map_lookup_elem(&rules, &next);
		number = r ? class_of_rule(b, r) : hook.default_class;
		resume = r ? r->resume : QOSD_RULES_MAX;
		if (!number)
			return VERDICT_PASS;
	}
	return VERDICT_PASS;
}

static __always_inline int classify_ip(struct __sk_buff *skb, const struct packet *p, struct qosd_hook_stats *hs)
{
	__u32 number = hook.default_class, resume = QOSD_RULES_MAX, first;
	struct act a = {};
	struct qosd_rule *r;
	struct bits b;

	if (hook.clocked)
		a.now = bpf_ktime_get_ns();
	if (match_rules(skb, p, &b, a.now)) {
		hs->errors++;
		return leave_alone(skb);
	}
	first = first_rule(&b, hook.resume_rule);
	r = bpf_map_lookup_elem(&rules, &first);
	if (r) {
		number = class_of_rule(&b, r);
		resume = r->resume;
		if (!number) { /* settings: protect */
			hs->exempt++;
			return leave_alone(skb);
		}
	}
	wire_measure(skb, p, &a.wire);
	a.ecn = p->tos & 3;
	if (hook.keyed)
		key_remember(p);
	if (!number)
		return leave_unclassified(skb, &a.wire);
	if (hook.engine_tc) {
		act_at(&a, number);
		hand_on(skb, number);
	} else if (police(&b, &a, number, resume) == VERDICT_DROP) {
		return TC_ACT_SHOT;
	}
	return finish(skb, p, hs, &a);
}

/* A hook with a policy: learn if it is to, then one class for the packet. Behind a class with `conform: continue` of
 * engine tc (hook.resume_class) it runs again, for packets of that class only, which were counted and learned from
 * before. */
SEC("tc")
int classify(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct qosd_hook_stats *hs = bpf_map_lookup_elem(&hook_stats, &zero);
	enum packet_kind kind;
	struct packet p;

	if (hook.resume_class && skb->tc_index != hook.resume_class)
		return TC_ACT_UNSPEC;
	if (!hs)
		return leave_alone(skb);
	if (!hook.resume_class)
		hs->packets++;
	if (is_bypassed()) {
		hs->bypassed++;
		return leave_alone(skb);
	}
	kind = parse_packet(skb, hook.l2_len, wants(), &p);
	if (hook.learn_n)
		learn(skb, &p, kind);
	switch (kind) {
	case PACKET_ARP:
	case PACKET_OTHER: hs->not_ip++; return leave_alone(skb);
	case PACKET_MALFORMED: hs->malformed++; return leave_alone(skb);
	case PACKET_IP: break;
	}
	/* Where the classifier runs again it has been found that this one is not. */
	if (!hook.resume_class && is_exempt(skb, &p) && has_exemption_left()) {
		hs->exempt++;
		return leave_alone(skb);
	}
	return classify_ip(skb, &p, hs);
}

/* Ingress is queued on the egress of an ifb, to which a mirred behind `pass` sends it: an ifb drops what a program
 * redirects (before Linux 6.4, which tells it where the packet came from). To ifb a packet has a link-layer header, so
 * one of ppp or tun gets it; the ifb takes it off again when it hands the packet back (drivers/net/ifb.c). */
static __always_inline int to_ifb(struct __sk_buff *skb)
{
	if (!hook.l2_len && put_header(skb))
		return leave_alone(skb);
	skb->tc_index = 0;
	return TC_ACT_UNSPEC;
}

/* An interface that only teaches sets, or whose ingress goes to an ifb. */
SEC("tc")
int classify_neighbor(struct __sk_buff *skb)
{
	struct packet p;

	if (is_bypassed())
		return hook.to_ifb ? leave_alone(skb) : TC_ACT_UNSPEC;
	if (hook.learn_n)
		learn(skb, &p, parse_packet(skb, hook.l2_len, WANT_ICMP_TYPE | WANT_ND_TARGET, &p));
	return hook.to_ifb ? to_ifb(skb) : TC_ACT_UNSPEC;
}

/* Engine tc, one filter a class, not direct action: is it the filter's class that classify found? The kernel puts the
 * filter's own class id into tc_classid before it runs the program. */
SEC("tc")
int classify_wan(struct __sk_buff *skb)
{
	return skb->tc_index == skb->tc_classid ? MATCH : NO_MATCH;
}

/* Engine tc, the last filter, not direct action: all that is not exempt and that no class's filter took is the default
 * class's. */
SEC("tc")
int pass(struct __sk_buff *skb)
{
	return skb->tc_index == QOSD_TC_EXEMPT ? NO_MATCH : MATCH;
}

/* The larger of what the IP header says and what is there: bytes behind the IP packet, which the stack cuts off, go
 * along past it. */
static __always_inline __u32 sent_length(struct __sk_buff *skb, const struct packet *p)
{
	__u32 there = skb->len - p->l3_off;

	return skb->gso_size || p->length > there ? p->length : there;
}

/* Behind the policy's filters: the first rule that holds takes the packet past the stack; copies go on the way. */
SEC("tc")
int forward(struct __sk_buff *skb)
{
	struct packet p = {}; /* all of it: it goes to a global function */
	struct wire w;
	struct bits b;
	__u32 first;

	if (is_bypassed() || is_off(0))
		return TC_ACT_UNSPEC;
	if (parse_packet(skb, hook.l2_len, wants() | WANT_FORWARD, &p) != PACKET_IP || is_exempt(skb, &p) ||
	    match_rules(skb, &p, &b, 0))
		return TC_ACT_UNSPEC;
	first = first_rule(&b, 0);
	if ((int)first < 0)
		return TC_ACT_UNSPEC;
	wire_measure(skb, &p, &w);
	p.length = sent_length(skb, &p);
	for (int i = 0; i <= QOSD_COPIES_MAX; i++) {
		const struct qosd_rule *r = bpf_map_lookup_elem(&rules, &first);
		__u32 number;
		int verdict;

		if (!r)
			return TC_ACT_UNSPEC;
		number = class_of_rule(&b, r);
		if (!number) /* protected */
			return TC_ACT_UNSPEC;
		verdict = hand_over(skb, &p, number, w.packets, w.bytes);
		if (verdict != GO_ON)
			return verdict;
		first = first_rule(&b, r->resume);
	}
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "GPL";
