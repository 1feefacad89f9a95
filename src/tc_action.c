/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tc_action.h"

#include <errno.h>
#include <linux/gen_stats.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <string.h>

#include "nl.h"
#include "tc_rate.h"
#include "text.h"

static int action_cmp(const struct kobj *a, const struct kobj *b)
{
	return (a->police.index > b->police.index) - (a->police.index < b->police.index);
}

static bool action_same(const struct kobj *a, const struct kobj *b)
{
	const struct kobj_police *x = &a->police, *y = &b->police;

	return x->rate_Bps == y->rate_Bps && x->burst_ticks == y->burst_ticks && x->mtu == y->mtu &&
	       x->overhead == y->overhead && x->mpu == y->mpu && x->linklayer == y->linklayer &&
	       x->exceed == y->exceed && x->conform == y->conform;
}

static const char *action_fixed(const struct kobj *before, const struct kobj *after)
{
	(void)before;
	(void)after;
	return NULL;
}

static const char *verdict_name(int32_t verdict)
{
	static const struct {
		int32_t verdict;
		const char *name;
	} names[] = {
		{TC_ACT_UNSPEC, "continue"}, {TC_ACT_OK, "ok"},     {TC_ACT_RECLASSIFY, "reclassify"},
		{TC_ACT_SHOT, "drop"},       {TC_ACT_PIPE, "pipe"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].verdict == verdict)
			return names[i].name;
	return "other";
}

static const char *linklayer_name(uint8_t linklayer)
{
	return linklayer == TC_LINKLAYER_ATM ? "atm" : linklayer == TC_LINKLAYER_ETHERNET ? "ethernet" : "unaware";
}

static void action_describe(const struct kobj *o, const char *(*ifname)(void *ctx, int ifindex), void *ctx, FILE *out)
{
	const struct kobj_police *p = &o->police;
	char rate[TEXT_MAX];

	(void)ifname;
	(void)ctx;
	fprintf(out, "action police index 0x%x", p->index);
	if (p->rate_Bps)
		fprintf(out, " rate %s burst %llub", text_format_rate(rate, p->rate_Bps),
			(unsigned long long)tc_rate_burst_bytes(p->rate_Bps, p->burst_ticks));
	if (p->mtu != UINT32_MAX)
		fprintf(out, " mtu %ub", p->mtu);
	if (p->overhead)
		fprintf(out, " overhead %u", p->overhead);
	if (p->mpu)
		fprintf(out, " mpu %u", p->mpu);
	if (p->linklayer != TC_LINKLAYER_ETHERNET)
		fprintf(out, " linklayer %s", linklayer_name(p->linklayer));
	fprintf(out, " conform-exceed %s/%s", verdict_name(p->exceed), verdict_name(p->conform));
}

const struct kobj_ops tc_action_ops = {
	.name = "action",
	.cmp = action_cmp,
	.same = action_same,
	.fixed = action_fixed,
	.describe = action_describe,
};

/* A message about the first (and only) action of a TCA_ACT_TAB, its nests left open. */
static struct nlmsghdr *begin(void *buf, uint16_t type, struct nlattr **tab, struct nlattr **action)
{
	struct nlmsghdr *msg = nl_begin(buf, type);
	struct tcamsg *head;

	head = mnl_nlmsg_put_extra_header(msg, sizeof(*head));
	head->tca_family = AF_UNSPEC;
	*tab = mnl_attr_nest_start(msg, TCA_ACT_TAB);
	*action = mnl_attr_nest_start(msg, 1);
	mnl_attr_put_strz(msg, TCA_ACT_KIND, "police");
	return msg;
}

static struct nlmsghdr *end(struct nlmsghdr *msg, struct nlattr *tab, struct nlattr *action)
{
	mnl_attr_nest_end(msg, action);
	mnl_attr_nest_end(msg, tab);
	return msg;
}

static struct nlmsghdr *encode(void *buf, uint16_t flags, const struct kobj_police *p)
{
	struct nlattr *tab, *action, *options;
	struct nlmsghdr *msg = begin(buf, RTM_NEWACTION, &tab, &action);
	struct tc_police parm = {
		.index = p->index,
		.action = p->exceed,
		.burst = p->burst_ticks,
		.mtu = p->mtu,
	};
	uint32_t table[256];

	msg->nlmsg_flags = flags;
	options = mnl_attr_nest_start(msg, TCA_ACT_OPTIONS);
	if (p->rate_Bps)
		tc_rate_spec(p->rate_Bps, p->overhead, p->mpu, p->linklayer, &parm.rate, table);
	mnl_attr_put(msg, TCA_POLICE_TBF, sizeof(parm), &parm);
	if (p->rate_Bps)
		mnl_attr_put(msg, TCA_POLICE_RATE, sizeof(table), table);
	if (p->rate_Bps > UINT32_MAX)
		mnl_attr_put_u64(msg, TCA_POLICE_RATE64, p->rate_Bps);
	mnl_attr_put_u32(msg, TCA_POLICE_RESULT, (uint32_t)p->conform);
	mnl_attr_nest_end(msg, options);
	return end(msg, tab, action);
}

struct nlmsghdr *tc_action_encode_create(void *buf, const struct kobj_police *p)
{
	return encode(buf, NLM_F_CREATE | NLM_F_EXCL, p);
}

struct nlmsghdr *tc_action_encode_change(void *buf, const struct kobj_police *p)
{
	return encode(buf, NLM_F_CREATE | NLM_F_REPLACE, p);
}

struct nlmsghdr *tc_action_encode_delete(void *buf, uint32_t index)
{
	struct nlattr *tab, *action;
	struct nlmsghdr *msg = begin(buf, RTM_DELACTION, &tab, &action);

	mnl_attr_put_u32(msg, TCA_ACT_INDEX, index);
	return end(msg, tab, action);
}

struct nlmsghdr *tc_action_encode_dump(void *buf)
{
	struct nla_bitfield32 flags = {.value = TCA_FLAG_LARGE_DUMP_ON, .selector = TCA_FLAG_LARGE_DUMP_ON};
	struct nlattr *tab, *action;
	struct nlmsghdr *msg = begin(buf, RTM_GETACTION, &tab, &action);

	end(msg, tab, action);
	/* Without it the kernel tells 32 actions and no more. */
	mnl_attr_put(msg, TCA_ROOT_FLAGS, sizeof(flags), &flags);
	return msg;
}

void tc_action_encode_reference(struct nlmsghdr *msg, uint16_t order, uint32_t index)
{
	struct nlattr *action = mnl_attr_nest_start(msg, order);
	struct nlattr *options;
	/* tcf_police_init binds an index that is there and looks at nothing else. One that is not there it would make,
	 * without a limit; a rate without a table makes it refuse instead. */
	struct tc_police parm = {.index = index, .rate.rate = 1};

	mnl_attr_put_strz(msg, TCA_ACT_KIND, "police");
	options = mnl_attr_nest_start(msg, TCA_ACT_OPTIONS);
	mnl_attr_put(msg, TCA_POLICE_TBF, sizeof(parm), &parm);
	mnl_attr_nest_end(msg, options);
	mnl_attr_nest_end(msg, action);
}

/* The options of one action of a list; false if it is no police action or says not what it is. */
static bool read_options(const struct nlattr *const *action, const struct nlattr **tb, struct tc_police *parm)
{
	if (!nl_is(action[TCA_ACT_KIND], "police"))
		return false;
	nl_nested(action[TCA_ACT_OPTIONS], tb, TCA_POLICE_MAX);
	return nl_get(tb[TCA_POLICE_TBF], parm, sizeof(*parm));
}

void tc_action_encode_redirect(struct nlmsghdr *msg, uint16_t order, int ifindex)
{
	struct nlattr *action = mnl_attr_nest_start(msg, order);
	struct nlattr *options;
	struct tc_mirred parm = {.action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = (uint32_t)ifindex};

	mnl_attr_put_strz(msg, TCA_ACT_KIND, "mirred");
	options = mnl_attr_nest_start(msg, TCA_ACT_OPTIONS);
	mnl_attr_put(msg, TCA_MIRRED_PARMS, sizeof(parm), &parm);
	mnl_attr_nest_end(msg, options);
	mnl_attr_nest_end(msg, action);
}

bool tc_action_decode_redirect(const struct nlattr *action, int *ifindex)
{
	const struct nlattr *tb[TCA_ACT_MAX + 1], *options[TCA_MIRRED_MAX + 1];
	struct tc_mirred parm;

	nl_nested(action, tb, TCA_ACT_MAX);
	if (!nl_is(tb[TCA_ACT_KIND], "mirred") || !tb[TCA_ACT_OPTIONS])
		return false;
	nl_nested(tb[TCA_ACT_OPTIONS], options, TCA_MIRRED_MAX);
	if (!nl_get(options[TCA_MIRRED_PARMS], &parm, sizeof(parm)) || parm.eaction != TCA_EGRESS_REDIR ||
	    parm.action != TC_ACT_STOLEN || !parm.ifindex || *ifindex)
		return false;
	*ifindex = (int)parm.ifindex;
	return true;
}

uint32_t tc_action_decode_reference(const struct nlattr *action)
{
	const struct nlattr *tb[TCA_ACT_MAX + 1], *options[TCA_POLICE_MAX + 1];
	struct tc_police parm;

	nl_nested(action, tb, TCA_ACT_MAX);
	return read_options(tb, options, &parm) ? parm.index : 0;
}

static void decode_police(const struct tc_police *parm, const struct nlattr *const *options, struct kobj_police *out)
{
	uint32_t result;

	*out = (struct kobj_police){
		.index = parm->index,
		.rate_Bps = parm->rate.rate,
		.burst_ticks = parm->burst,
		.mtu = parm->mtu,
		.overhead = parm->rate.overhead,
		.mpu = parm->rate.mpu,
		.linklayer = parm->rate.linklayer & TC_LINKLAYER_MASK,
		.exceed = parm->action,
		.conform = TC_ACT_OK, /* the kernel does not tell a result of 0 */
	};
	if (nl_get(options[TCA_POLICE_RESULT], &result, sizeof(result)))
		out->conform = (int32_t)result;
	if (options[TCA_POLICE_RATE64])
		(void)nl_get(options[TCA_POLICE_RATE64], &out->rate_Bps,
			     sizeof(out->rate_Bps)); /* too short: 0, a drift */
}

static void decode_stats(const struct nlattr *nest, struct tc_action_stats *out)
{
	const struct nlattr *tb[TCA_STATS_MAX + 1];
	struct gnet_stats_basic basic;
	struct gnet_stats_queue queue;

	nl_nested(nest, tb, TCA_STATS_MAX);
	/* struct gnet_stats_basic ends in padding that the kernel may leave out. */
	memset(&basic, 0, sizeof(basic));
	(void)nl_get(tb[TCA_STATS_BASIC], &basic, offsetof(struct gnet_stats_basic, packets) + sizeof(basic.packets));
	(void)nl_get(tb[TCA_STATS_QUEUE], &queue, sizeof(queue)); /* absent: zero */
	*out = (struct tc_action_stats){
		.packets = basic.packets,
		.bytes = basic.bytes,
		.drops = queue.drops,
		.overlimits = queue.overlimits,
	};
	if (tb[TCA_STATS_PKT64])
		(void)nl_get(tb[TCA_STATS_PKT64], &out->packets, sizeof(out->packets)); /* fits, or zero */
}

int tc_action_decode(const struct nlmsghdr *msg,
		     int (*fn)(void *ctx, const struct kobj_police *p, const struct tc_action_stats *stats), void *ctx)
{
	const struct nlattr *root[TCA_ROOT_MAX + 1], *action;

	if (msg->nlmsg_type != RTM_NEWACTION && msg->nlmsg_type != RTM_GETACTION)
		return -ENOENT;
	nl_attrs(msg, sizeof(struct tcamsg), root, TCA_ROOT_MAX);
	if (!root[TCA_ROOT_TAB])
		return -EINVAL;
	mnl_attr_for_each_nested (action, root[TCA_ROOT_TAB]) {
		const struct nlattr *tb[TCA_ACT_MAX + 1], *options[TCA_POLICE_MAX + 1];
		struct tc_action_stats stats;
		struct kobj_police police;
		struct tc_police parm;
		int err;

		nl_nested(action, tb, TCA_ACT_MAX);
		if (!read_options(tb, options, &parm) || parm.index < KOBJ_POLICE_FIRST ||
		    parm.index > KOBJ_POLICE_LAST)
			continue;
		decode_police(&parm, options, &police);
		decode_stats(tb[TCA_ACT_STATS], &stats);
		err = fn(ctx, &police, &stats);
		if (err < 0)
			return err;
	}
	return 0;
}

struct stats_dump {
	int (*fn)(void *ctx, uint32_t index, const struct tc_action_stats *stats);
	void *ctx;
};

static int tell_stats(void *ctx, const struct kobj_police *p, const struct tc_action_stats *stats)
{
	const struct stats_dump *d = ctx;

	return d->fn(d->ctx, p->index, stats);
}

static int decode_for_stats(const struct nlmsghdr *msg, void *ctx)
{
	int err = tc_action_decode(msg, tell_stats, ctx);

	return err == -ENOENT ? 0 : err;
}

int tc_action_stats(struct nl *nl, int (*fn)(void *ctx, uint32_t index, const struct tc_action_stats *stats), void *ctx)
{
	struct stats_dump d = {.fn = fn, .ctx = ctx};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

	return nl_dump(nl, tc_action_encode_dump(buf), decode_for_stats, NULL, &d);
}
