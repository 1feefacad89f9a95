/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tc_class.h"

#include <errno.h>
#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "nl.h"
#include "tc_rate.h"
#include "text.h"

static int class_cmp(const struct kobj *a, const struct kobj *b)
{
	const struct kobj_class *x = &a->cls, *y = &b->cls;

	if (x->ifindex != y->ifindex)
		return x->ifindex < y->ifindex ? -1 : 1;
	return (x->classid > y->classid) - (x->classid < y->classid);
}

/* Of a class with children the kernel tells the quantum and prio that it had without them, whatever is sent. */
static bool class_same(const struct kobj *a, const struct kobj *b)
{
	const struct kobj_class *x = &a->cls, *y = &b->cls;

	return x->parent == y->parent && x->rate_Bps == y->rate_Bps && x->ceil_Bps == y->ceil_Bps &&
	       x->burst_ticks == y->burst_ticks && x->cburst_ticks == y->cburst_ticks && x->overhead == y->overhead &&
	       x->mpu == y->mpu && x->linklayer == y->linklayer &&
	       (y->inner || (x->quantum == y->quantum && x->prio == y->prio));
}

static const char *class_fixed(const struct kobj *before, const struct kobj *after)
{
	/* The kernel keeps the old parent and says 0. */
	return before->cls.parent != after->cls.parent ? "a class keeps its parent" : NULL;
}

static void describe_rate(const char *word, uint64_t rate_Bps, const char *burst, uint32_t ticks, FILE *out)
{
	char text[TEXT_MAX];

	fprintf(out, " %s %s %s %llub", word, text_format_rate(text, rate_Bps), burst,
		(unsigned long long)tc_rate_burst_bytes(rate_Bps, ticks));
}

static const char *linklayer_name(uint8_t linklayer)
{
	return linklayer == TC_LINKLAYER_ATM ? "atm" : linklayer == TC_LINKLAYER_ETHERNET ? "ethernet" : "unaware";
}

static void class_describe(const struct kobj *o, const char *(*ifname)(void *ctx, int ifindex), void *ctx, FILE *out)
{
	const struct kobj_class *c = &o->cls;
	const char *name = ifname(ctx, c->ifindex);

	fputs("class dev ", out);
	if (name)
		fputs(name, out);
	else
		fprintf(out, "#%d", c->ifindex);
	if (c->parent == TC_H_ROOT)
		fprintf(out, " parent %x:", TC_H_MAJ(c->classid) >> 16);
	else
		fprintf(out, " parent %x:%x", TC_H_MAJ(c->parent) >> 16, TC_H_MIN(c->parent));
	fprintf(out, " classid %x:%x htb", TC_H_MAJ(c->classid) >> 16, TC_H_MIN(c->classid));
	if (!c->inner)
		fprintf(out, " prio %u quantum %u", c->prio, c->quantum);
	describe_rate("rate", c->rate_Bps, "burst", c->burst_ticks, out);
	describe_rate("ceil", c->ceil_Bps, "cburst", c->cburst_ticks, out);
	if (c->overhead)
		fprintf(out, " overhead %u", c->overhead);
	if (c->mpu)
		fprintf(out, " mpu %u", c->mpu);
	if (c->linklayer != TC_LINKLAYER_ETHERNET)
		fprintf(out, " linklayer %s", linklayer_name(c->linklayer));
}

const struct kobj_ops tc_class_ops = {
	.name = "class",
	.cmp = class_cmp,
	.same = class_same,
	.fixed = class_fixed,
	.describe = class_describe,
};

static struct nlmsghdr *put_header(void *buf, uint16_t type, int ifindex, uint32_t parent, uint32_t classid)
{
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
	struct tcmsg *tcm;

	msg->nlmsg_type = type;
	tcm = mnl_nlmsg_put_extra_header(msg, sizeof(*tcm));
	tcm->tcm_family = AF_UNSPEC;
	tcm->tcm_ifindex = ifindex;
	tcm->tcm_parent = parent;
	tcm->tcm_handle = classid;
	return msg;
}

static struct tc_ratespec spec_of(const struct kobj_class *c, uint64_t rate_Bps)
{
	return (struct tc_ratespec){
		.rate = rate_Bps > UINT32_MAX ? UINT32_MAX : (uint32_t)rate_Bps,
		.overhead = c->overhead,
		.mpu = c->mpu,
		/* Told, the kernel looks up no table of times, and none needs to be sent. */
		.linklayer = c->linklayer,
	};
}

static struct nlmsghdr *encode(void *buf, uint16_t flags, const struct kobj_class *c)
{
	/* A class at the root names the qdisc as its parent. */
	uint32_t parent = c->parent == TC_H_ROOT ? TC_H_MAJ(c->classid) : c->parent;
	struct nlmsghdr *msg = put_header(buf, RTM_NEWTCLASS, c->ifindex, parent, c->classid);
	struct tc_htb_opt opt = {
		.rate = spec_of(c, c->rate_Bps),
		.ceil = spec_of(c, c->ceil_Bps),
		.buffer = c->burst_ticks,
		.cbuffer = c->cburst_ticks,
		.quantum = c->quantum,
		.prio = c->prio,
	};
	struct nlattr *options;

	msg->nlmsg_flags = flags;
	mnl_attr_put_strz(msg, TCA_KIND, "htb");
	options = mnl_attr_nest_start(msg, TCA_OPTIONS);
	if (c->rate_Bps > UINT32_MAX)
		mnl_attr_put_u64(msg, TCA_HTB_RATE64, c->rate_Bps);
	if (c->ceil_Bps > UINT32_MAX)
		mnl_attr_put_u64(msg, TCA_HTB_CEIL64, c->ceil_Bps);
	mnl_attr_put(msg, TCA_HTB_PARMS, sizeof(opt), &opt);
	mnl_attr_nest_end(msg, options);
	return msg;
}

struct nlmsghdr *tc_class_encode_create(void *buf, const struct kobj_class *c)
{
	return encode(buf, NLM_F_CREATE | NLM_F_EXCL, c);
}

struct nlmsghdr *tc_class_encode_change(void *buf, const struct kobj_class *c)
{
	return encode(buf, 0, c);
}

struct nlmsghdr *tc_class_encode_delete(void *buf, const struct kobj_class *c)
{
	return put_header(buf, RTM_DELTCLASS, c->ifindex, 0, c->classid);
}

struct nlmsghdr *tc_class_encode_dump(void *buf, int ifindex, uint32_t handle)
{
	return put_header(buf, RTM_GETTCLASS, ifindex, handle, 0);
}

static void decode_stats(const struct nlattr *const *tb, struct tc_class_stats *out)
{
	const struct nlattr *stats[TCA_STATS_MAX + 1];
	struct gnet_stats_basic basic = {0};
	struct gnet_stats_queue queue;
	struct tc_htb_xstats htb;

	nl_nested(tb[TCA_STATS2], stats, TCA_STATS_MAX);
	/* What is absent is zero. struct gnet_stats_basic ends in padding that the kernel may leave out. */
	(void)nl_get(stats[TCA_STATS_BASIC], &basic,
		     offsetof(struct gnet_stats_basic, packets) + sizeof(basic.packets));
	(void)nl_get(stats[TCA_STATS_QUEUE], &queue, sizeof(queue));
	(void)nl_get(stats[TCA_STATS_APP], &htb, sizeof(htb));
	*out = (struct tc_class_stats){
		.bytes = basic.bytes,
		.packets = basic.packets,
		.drops = queue.drops,
		.overlimits = queue.overlimits,
		.backlog_bytes = queue.backlog,
		.backlog_packets = queue.qlen,
		.lends = htb.lends,
		.borrows = htb.borrows,
		.tokens = htb.tokens,
		.ctokens = htb.ctokens,
	};
	if (stats[TCA_STATS_PKT64])
		(void)nl_get(stats[TCA_STATS_PKT64], &out->packets, sizeof(out->packets)); /* fits, or zero */
}

static void decode_rates(const struct nlattr *const *options, const struct tc_htb_opt *opt, struct kobj_class *out)
{
	out->rate_Bps = opt->rate.rate;
	out->ceil_Bps = opt->ceil.rate;
	if (options[TCA_HTB_RATE64])
		(void)nl_get(options[TCA_HTB_RATE64], &out->rate_Bps,
			     sizeof(out->rate_Bps)); /* too short: 0, a drift */
	if (options[TCA_HTB_CEIL64])
		(void)nl_get(options[TCA_HTB_CEIL64], &out->ceil_Bps, sizeof(out->ceil_Bps));
}

int tc_class_decode(const struct nlmsghdr *msg, struct kobj_class *out, struct tc_class_stats *stats)
{
	const struct nlattr *tb[TCA_MAX + 1], *options[TCA_HTB_MAX + 1];
	struct tc_htb_opt opt;
	struct tcmsg tcm;

	if (msg->nlmsg_type != RTM_NEWTCLASS || mnl_nlmsg_get_payload_len(msg) < sizeof(tcm))
		return -ENOENT;
	memcpy(&tcm, mnl_nlmsg_get_payload(msg), sizeof(tcm));
	nl_attrs(msg, sizeof(tcm), tb, TCA_MAX);
	if (!nl_is(tb[TCA_KIND], "htb"))
		return -ENOENT;
	nl_nested(tb[TCA_OPTIONS], options, TCA_HTB_MAX);
	if (tcm.tcm_ifindex <= 0 || !tcm.tcm_handle || !nl_get(options[TCA_HTB_PARMS], &opt, sizeof(opt)))
		return -EINVAL;
	*out = (struct kobj_class){
		.ifindex = tcm.tcm_ifindex,
		.classid = tcm.tcm_handle,
		.parent = tcm.tcm_parent,
		.burst_ticks = opt.buffer,
		.cburst_ticks = opt.cbuffer,
		.quantum = opt.quantum,
		.prio = opt.prio,
		.overhead = opt.rate.overhead,
		.mpu = opt.rate.mpu,
		.linklayer = opt.rate.linklayer & TC_LINKLAYER_MASK,
		.inner = opt.level > 0,
	};
	decode_rates(options, &opt, out);
	if (stats)
		decode_stats(tb, stats);
	return 0;
}

struct stats_dump {
	int (*fn)(void *ctx, const struct kobj_class *c, const struct tc_class_stats *stats);
	void *ctx;
};

static int tell_stats(const struct nlmsghdr *msg, void *ctx)
{
	const struct stats_dump *d = ctx;
	struct tc_class_stats stats;
	struct kobj_class c;
	int err = tc_class_decode(msg, &c, &stats);

	if (err)
		return err == -ENOENT ? 0 : err;
	return d->fn(d->ctx, &c, &stats);
}

int tc_class_stats(struct nl *nl, int ifindex, uint32_t handle,
		   int (*fn)(void *ctx, const struct kobj_class *c, const struct tc_class_stats *stats), void *ctx)
{
	struct stats_dump d = {.fn = fn, .ctx = ctx};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

	return nl_dump(nl, tc_class_encode_dump(buf, ifindex, handle), tell_stats, NULL, &d);
}
