/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What goes into rtnetlink messages comes out of them again, every kind, over random values; what is not ours or not
 * readable is told apart; and no message makes a decoder read beyond its end (run with the sanitizers to see that).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/gen_stats.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "../samples.h"
#include "ifb.h"
#include "links.h"
#include "nl.h"
#include "tc_action.h"
#include "tc_class.h"
#include "tc_filter.h"
#include "tc_qdisc.h"
#include "tc_rate.h"

#define ROUNDS  2000
#define INGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)

static uint64_t seed = 88172645463325252ull;

static uint32_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static uint32_t pick(uint32_t n)
{
	return rnd() % n;
}

/* ---- qdisc ---- */

static struct kobj random_qdisc(void)
{
	struct kobj o = {.kind = KOBJ_QDISC};

	o.qdisc.ifindex = 1 + (int)pick(1000);
	o.qdisc.handle = TC_H_MAKE(TC_H_CLSACT, 0);
	o.qdisc.parent = TC_H_CLSACT;
	o.qdisc.q.kind = pick(2) ? QDISC_CLSACT : QDISC_INGRESS;
	return o;
}

static void a_qdisc_comes_back(void **state)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct kobj o = random_qdisc(), back = {.kind = KOBJ_QDISC};

		assert_int_equal(tc_qdisc_decode(tc_qdisc_encode_create(buf, &o.qdisc), &back.qdisc), 0);
		assert_int_equal(kobj_kinds[KOBJ_QDISC]->cmp(&o, &back), 0);
		assert_true(kobj_kinds[KOBJ_QDISC]->same(&o, &back));
	}
}

static void a_root_qdisc_is_seen_if_somebody_put_it_there(void **state)
{
	const struct qdisc_device dev = {.frame = 1514, .txqlen = 1000};
	struct kobj_qdisc q = {.ifindex = 1, .handle = 0x10000, .parent = TC_H_ROOT}, out;
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

	(void)state;
	qdisc_defaults(&q.q, QDISC_HTB, &dev);
	assert_int_equal(tc_qdisc_decode(tc_qdisc_encode_create(buf, &q), &out), 0);
	assert_true(tc_qdisc_is_foreign(&out));
	q.handle = KOBJ_ROOT_HANDLE;
	assert_int_equal(tc_qdisc_decode(tc_qdisc_encode_create(buf, &q), &out), 0);
	assert_false(tc_qdisc_is_foreign(&out));
	q.handle = 0; /* the kernel's own */
	assert_int_equal(tc_qdisc_decode(tc_qdisc_encode_create(buf, &q), &out), -ENOENT);
	q.handle = 0x20000;
	q.parent = 0x10001; /* below somebody else's */
	assert_int_equal(tc_qdisc_decode(tc_qdisc_encode_create(buf, &q), &out), -ENOENT);
	q.parent = KOBJ_ROOT_HANDLE | 7;
	assert_int_equal(tc_qdisc_decode(tc_qdisc_encode_create(buf, &q), &out), 0);
	q.parent = TC_H_CLSACT;
	assert_int_equal(tc_qdisc_decode(tc_qdisc_encode_delete(buf, &q), &out), -ENOENT);
}

static void what_a_qdisc_dropped_is_told(void **state)
{
	struct kobj_qdisc q = {.ifindex = 1, .handle = 0x20000, .parent = KOBJ_ROOT_HANDLE | 2};
	const struct qdisc_device dev = {.frame = 1514, .txqlen = 1000};
	struct gnet_stats_queue queue = {.drops = 70000, .overlimits = 9};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg;
	struct nlattr *nest;

	(void)state;
	qdisc_defaults(&q.q, QDISC_PFIFO, &dev);
	msg = tc_qdisc_encode_create(buf, &q);
	assert_int_equal(tc_qdisc_decode_drops(msg), 0); /* nothing was counted */
	nest = mnl_attr_nest_start(msg, TCA_STATS2);
	mnl_attr_put(msg, TCA_STATS_QUEUE, sizeof(queue), &queue);
	mnl_attr_nest_end(msg, nest);
	assert_int_equal(tc_qdisc_decode_drops(msg), 70000);
}

static void an_ifb_is_ours_by_its_alias_or_by_name_and_index(void **state)
{
	struct kobj_link l = {.ifindex = ifb_index("wan0"), .of = "wan0", .tx_queues = 4}, out;
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg;

	(void)state;
	ifb_name(l.name, "wan0");
	msg = ifb_encode_create(buf, &l);
	assert_int_equal(ifb_decode(msg, &out), 0);
	assert_true(!strcmp(out.name, l.name) && out.ifindex == l.ifindex && out.tx_queues == 4 && !out.up);
	assert_string_equal(out.of, ""); /* not said yet */
	mnl_attr_put_strz(msg, IFLA_IFALIAS, "qosd ifb of wan0");
	assert_int_equal(ifb_decode(msg, &out), 0);
	assert_string_equal(out.of, "wan0");
	l.ifindex++;
	msg = ifb_encode_create(buf, &l);
	assert_int_equal(ifb_decode(msg, &out), -ENOENT);
	mnl_attr_put_strz(msg, IFLA_IFALIAS, "qosd ifb of an_interface_with_a_long_name");
	assert_int_equal(ifb_decode(msg, &out), 0);
	assert_int_equal(strlen(out.of), sizeof(out.of) - 1);
	l.ifindex = ifb_index("wan0");
	msg = ifb_encode_create(buf, &l);
	mnl_attr_put_strz(msg, IFLA_IFALIAS, "mine");
	assert_int_equal(ifb_decode(msg, &out), -ENOENT);
}

/* Undo of "set up" is "set down". */
static void an_ifb_is_set_up_and_down(void **state)
{
	struct kobj_link l = {.ifindex = ifb_index("wan0"), .of = "wan0", .tx_queues = 4};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

	(void)state;
	for (int up = 0; up < 2; up++) {
		struct ifinfomsg head;

		l.up = up;
		memcpy(&head, mnl_nlmsg_get_payload(ifb_encode_alias(buf, &l)), sizeof(head));
		assert_int_equal(head.ifi_change, IFF_UP);
		assert_int_equal(head.ifi_flags, up ? IFF_UP : 0);
	}
}

/* ---- action ---- */

static struct kobj random_police(void)
{
	static const uint8_t linklayers[] = {TC_LINKLAYER_ETHERNET, TC_LINKLAYER_ATM};
	static const int32_t verdicts[] = {TC_ACT_UNSPEC, TC_ACT_OK, TC_ACT_SHOT, TC_ACT_PIPE, TC_ACT_RECLASSIFY};
	struct kobj o = {.kind = KOBJ_ACTION};

	o.police = (struct kobj_police){
		.index = KOBJ_POLICE_FIRST + pick(KOBJ_POLICE_LAST - KOBJ_POLICE_FIRST + 1),
		.rate_Bps = pick(3) ? 1 + rnd() : ((uint64_t)pick(1000) << 32) + 1 + rnd(),
		.burst_ticks = rnd(),
		.mtu = pick(2) ? UINT32_MAX : rnd(),
		.overhead = (uint16_t)rnd(),
		.mpu = (uint16_t)rnd(),
		.linklayer = linklayers[pick(2)],
		.exceed = verdicts[pick(5)],
		.conform = verdicts[pick(5)],
	};
	return o;
}

static int take_police(void *ctx, const struct kobj_police *p, const struct tc_action_stats *stats)
{
	struct kobj *o = ctx;

	(void)stats;
	o->kind = KOBJ_ACTION;
	o->police = *p;
	return 0;
}

static void a_police_action_comes_back(void **state)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct kobj o = random_police(), back = {0};
		struct nlmsghdr *msg =
			i % 2 ? tc_action_encode_create(buf, &o.police) : tc_action_encode_change(buf, &o.police);

		assert_true(msg->nlmsg_len <= NL_MSG_MAX);
		assert_int_equal(tc_action_decode(msg, take_police, &back), 0);
		assert_int_equal(back.kind, KOBJ_ACTION);
		assert_int_equal(tc_action_ops.cmp(&o, &back), 0);
		assert_true(tc_action_ops.same(&o, &back));
	}
}

/* Everything that is compared is also sent, and the other way round. */
static void every_field_of_a_police_action_matters(void **state)
{
	struct kobj o = random_police();

	(void)state;
#define DIFFERS(field, value)                                 \
	do {                                                  \
		struct kobj other = o;                        \
		other.police.field = value;                   \
		assert_false(tc_action_ops.same(&o, &other)); \
	} while (0)
	DIFFERS(rate_Bps, o.police.rate_Bps + 1);
	DIFFERS(burst_ticks, o.police.burst_ticks + 1);
	DIFFERS(mtu, o.police.mtu - 1);
	DIFFERS(overhead, (uint16_t)(o.police.overhead + 1));
	DIFFERS(mpu, (uint16_t)(o.police.mpu + 1));
	DIFFERS(linklayer, (uint8_t)(o.police.linklayer + 1));
	DIFFERS(exceed, o.police.exceed + 1);
	DIFFERS(conform, o.police.conform + 1);
}

struct told {
	unsigned n;
	struct tc_action_stats stats;
	struct kobj_police police;
};

static int count_police(void *ctx, const struct kobj_police *p, const struct tc_action_stats *stats)
{
	struct told *t = ctx;

	t->n++;
	t->stats = *stats;
	t->police = *p;
	return 0;
}

static void put_action(struct nlmsghdr *msg, uint16_t order, const char *kind, uint32_t index)
{
	struct tc_police parm = {
		.index = index, .action = TC_ACT_SHOT, .rate.rate = 16000, .rate.linklayer = 0x11, .mtu = 2000};
	struct gnet_stats_queue queue = {.drops = 7, .overlimits = 9};
	struct gnet_stats_basic basic = {.bytes = 1ull << 40, .packets = 5};
	struct nlattr *action = mnl_attr_nest_start(msg, order), *nest;

	mnl_attr_put_strz(msg, TCA_ACT_KIND, kind);
	nest = mnl_attr_nest_start(msg, TCA_ACT_STATS);
	mnl_attr_put(msg, TCA_STATS_BASIC, sizeof(basic), &basic);
	mnl_attr_put_u64(msg, TCA_STATS_PKT64, 1ull << 33);
	mnl_attr_put(msg, TCA_STATS_QUEUE, sizeof(queue), &queue);
	mnl_attr_nest_end(msg, nest);
	nest = mnl_attr_nest_start(msg, TCA_ACT_OPTIONS);
	mnl_attr_put(msg, TCA_POLICE_TBF, sizeof(parm), &parm);
	mnl_attr_nest_end(msg, nest);
	mnl_attr_nest_end(msg, action);
}

/* As the kernel answers a dump: many in one message, other people's among them. */
static void a_dump_tells_ours_with_their_counters(void **state)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
	struct told told = {0};
	struct nlattr *tab;

	(void)state;
	msg->nlmsg_type = RTM_GETACTION; /* so it does, to RTM_GETACTION */
	(void)mnl_nlmsg_put_extra_header(msg, sizeof(struct tcamsg));
	tab = mnl_attr_nest_start(msg, TCA_ROOT_TAB);
	put_action(msg, 1, "police", 1);
	put_action(msg, 2, "police", KOBJ_POLICE_FIRST - 1);
	put_action(msg, 3, "police", KOBJ_POLICE_FIRST + 5);
	put_action(msg, 4, "gact", KOBJ_POLICE_FIRST + 6);
	put_action(msg, 5, "police", KOBJ_POLICE_LAST + 1);
	mnl_attr_nest_end(msg, tab);
	assert_int_equal(tc_action_decode(msg, count_police, &told), 0);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.police.index, KOBJ_POLICE_FIRST + 5);
	assert_int_equal(told.police.conform, TC_ACT_OK);
	assert_int_equal(told.police.linklayer, TC_LINKLAYER_ETHERNET);
	assert_true(told.stats.packets == 1ull << 33);
	assert_true(told.stats.bytes == 1ull << 40);
	assert_int_equal(told.stats.drops, 7);
	assert_int_equal(told.stats.overlimits, 9);
}

/* ---- filter ---- */

static struct kobj random_filter(struct arena *a)
{
	struct kobj o = {.kind = KOBJ_FILTER};
	struct kobj_filter *f = &o.filter;

	f->ifindex = 1 + (int)pick(1000);
	f->parent = TC_H_MAKE(TC_H_CLSACT, pick(2) ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
	f->pref = (uint16_t)(KOBJ_PREF_FIRST + pick(KOBJ_PREF_LAST - KOBJ_PREF_FIRST + 1));
	f->handle = 1 + pick(65000);
	f->name = arena_printf(a, "%.*s [%08x]", (int)pick(200),
			       "classify classify classify classify classify classify classify"
			       " classify classify classify classify classify classify classify classify classify "
			       "classify classify classify",
			       rnd());
	f->da = pick(2);
	f->classid = pick(2) ? 0 : 1 + rnd() / 2;
	f->n_actions = pick(KOBJ_ACTIONS_MAX + 1);
	for (uint32_t i = 0; i < f->n_actions; i++)
		f->actions[i] = KOBJ_POLICE_FIRST + pick(65536);
	f->redirect = pick(2) ? 0 : 1 + (int)pick(0x51ffffff);
	return o;
}

static void a_filter_comes_back(void **state)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX], again[NL_MSG_MAX];
	struct arena *a = arena_new();

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct kobj o = random_filter(a), back = {.kind = KOBJ_FILTER};
		struct nlmsghdr *msg =
			i % 2 ? tc_filter_encode_create(buf, &o.filter, 5) : tc_filter_encode_change(buf, &o.filter, 5);
		struct nlmsghdr *twice;

		assert_true(msg->nlmsg_len <= NL_MSG_MAX);
		assert_int_equal(tc_filter_decode(a, msg, &back.filter), 0);
		assert_int_equal(tc_filter_ops.cmp(&o, &back), 0);
		assert_true(tc_filter_ops.same(&o, &back));
		assert_true(tc_filter_is_any(msg));
		/* And encoded again it is the same message, byte for byte. */
		twice = i % 2 ? tc_filter_encode_create(again, &back.filter, 5)
			      : tc_filter_encode_change(again, &back.filter, 5);
		assert_int_equal(twice->nlmsg_len, msg->nlmsg_len);
		assert_memory_equal(twice, msg, msg->nlmsg_len);
	}
	arena_free(a);
}

static void every_field_of_a_filter_matters(void **state)
{
	struct arena *a = arena_new();
	struct kobj o = random_filter(a), other;

	(void)state;
	o.filter.n_actions = 2;
	other = o;
	other.filter.name = "x";
	assert_false(tc_filter_ops.same(&o, &other));
	other = o;
	other.filter.da = !o.filter.da;
	assert_false(tc_filter_ops.same(&o, &other));
	other = o;
	other.filter.classid++;
	assert_false(tc_filter_ops.same(&o, &other));
	other = o;
	other.filter.n_actions = 1;
	assert_false(tc_filter_ops.same(&o, &other));
	other = o;
	other.filter.actions[1]++;
	assert_false(tc_filter_ops.same(&o, &other));
	other = o;
	other.filter.redirect++;
	assert_false(tc_filter_ops.same(&o, &other));
	other = o;
	other.filter.prog_id++;
	assert_true(tc_filter_ops.same(&o, &other));
	arena_free(a);
}

static struct nlmsghdr *filter_message(void *buf)
{
	struct kobj_filter f = {
		.ifindex = 3, .parent = INGRESS, .pref = KOBJ_PREF_FIRST, .handle = 1, .name = "classify [1]"};

	return tc_filter_encode_create(buf, &f, 5);
}

static void other_peoples_filters_are_not_ours(void **state)
{
	static const uint16_t prefs[] = {0, 1, KOBJ_PREF_FIRST - 1, KOBJ_PREF_LAST + 1, 49152};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct arena *a = arena_new();
	struct kobj_filter out;
	struct nlmsghdr *msg;
	struct tcmsg *tcm;

	(void)state;
	for (size_t i = 0; i < sizeof(prefs) / sizeof(prefs[0]); i++) {
		msg = filter_message(buf);
		tcm = mnl_nlmsg_get_payload(msg);
		tcm->tcm_info = TC_H_MAKE((uint32_t)prefs[i] << 16, htons(ETH_P_ALL));
		assert_int_equal(tc_filter_decode(a, msg, &out), -ENOENT);
	}
	msg = filter_message(buf);
	tcm = mnl_nlmsg_get_payload(msg);
	tcm->tcm_info = TC_H_MAKE((uint32_t)KOBJ_PREF_FIRST << 16, htons(ETH_P_IP));
	assert_int_equal(tc_filter_decode(a, msg, &out), -ENOENT);
	msg = filter_message(buf);
	mnl_attr_put_u32(msg, TCA_CHAIN, 1);
	assert_int_equal(tc_filter_decode(a, msg, &out), -ENOENT);
	arena_free(a);
}

/* The kernel tells of a preference before it tells of its filters: no handle, no options. */
static void a_preference_is_no_filter(void **state)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
	struct kobj_filter out;
	struct tcmsg *tcm;

	(void)state;
	msg->nlmsg_type = RTM_NEWTFILTER;
	tcm = mnl_nlmsg_put_extra_header(msg, sizeof(*tcm));
	tcm->tcm_ifindex = 3;
	tcm->tcm_info = TC_H_MAKE((uint32_t)KOBJ_PREF_FIRST << 16, htons(ETH_P_ALL));
	mnl_attr_put_strz(msg, TCA_KIND, "bpf");
	assert_int_equal(tc_filter_decode(NULL, msg, &out), -ENOENT);
	assert_false(tc_filter_is_any(msg));
}

/* An action that is not ours to know must not look like one that is wanted. */
static void a_foreign_action_on_our_filter_is_a_difference(void **state)
{
	struct kobj_filter f = {.ifindex = 3, .parent = INGRESS, .pref = KOBJ_PREF_FIRST, .handle = 1, .name = "pass"};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
	struct arena *a = arena_new();
	struct nlattr *options, *list;
	struct kobj_filter out;
	struct tcmsg *tcm;

	(void)state;
	msg->nlmsg_type = RTM_NEWTFILTER;
	tcm = mnl_nlmsg_put_extra_header(msg, sizeof(*tcm));
	*tcm = (struct tcmsg){.tcm_ifindex = f.ifindex,
			      .tcm_parent = f.parent,
			      .tcm_handle = f.handle,
			      .tcm_info = TC_H_MAKE((uint32_t)f.pref << 16, htons(ETH_P_ALL))};
	mnl_attr_put_strz(msg, TCA_KIND, "bpf");
	options = mnl_attr_nest_start(msg, TCA_OPTIONS);
	list = mnl_attr_nest_start(msg, TCA_BPF_ACT);
	put_action(msg, 1, "mirred", KOBJ_POLICE_FIRST + 1);
	for (uint16_t i = 2; i <= KOBJ_ACTIONS_MAX + 1; i++)
		put_action(msg, i, "police", KOBJ_POLICE_FIRST + i);
	mnl_attr_nest_end(msg, list);
	mnl_attr_nest_end(msg, options);
	assert_int_equal(tc_filter_decode(a, msg, &out), 0);
	assert_int_equal(out.n_actions, KOBJ_ACTIONS_MAX);
	assert_int_equal(out.actions[0], 0);
	assert_int_equal(out.actions[1], KOBJ_POLICE_FIRST + 2);
	assert_int_equal(out.actions[KOBJ_ACTIONS_MAX - 1], 0);
	arena_free(a);
}

/* What the kernel says of a redirect whose device has gone. */
static void a_redirect_to_nowhere_is_a_difference(void **state)
{
	struct kobj o = {.kind = KOBJ_FILTER}, back = {.kind = KOBJ_FILTER};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct arena *a = arena_new();
	struct nlmsghdr *msg;
	char *at;
	int gone = 0x51234567;

	(void)state;
	o.filter = (struct kobj_filter){
		.ifindex = 3, .parent = INGRESS, .pref = KOBJ_PREF_PASS, .handle = 1, .name = "pass"};
	o.filter.redirect = gone;
	msg = tc_filter_encode_create(buf, &o.filter, 5);
	at = memmem(msg, msg->nlmsg_len, &gone, sizeof(gone));
	assert_non_null(at);
	memset(at, 0, sizeof(gone));
	assert_int_equal(tc_filter_decode(a, msg, &back.filter), 0);
	assert_false(tc_filter_ops.same(&o, &back));
	o.filter.redirect = 0;
	assert_false(tc_filter_ops.same(&o, &back));
	arena_free(a);
}

/* ---- links ---- */

static void a_link_is_read(void **state)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *head;
	struct nlattr *info;
	struct link link;

	(void)state;
	msg->nlmsg_type = RTM_NEWLINK;
	head = mnl_nlmsg_put_extra_header(msg, sizeof(*head));
	head->ifi_index = 7;
	head->ifi_type = 1;
	head->ifi_flags = IFF_UP;
	mnl_attr_put_strz(msg, IFLA_IFNAME, "wan0");
	mnl_attr_put_u32(msg, IFLA_MTU, 1492);
	mnl_attr_put_u32(msg, IFLA_TXQLEN, 1000);
	mnl_attr_put_u32(msg, IFLA_NUM_TX_QUEUES, 8);
	info = mnl_attr_nest_start(msg, IFLA_LINKINFO);
	mnl_attr_put_strz(msg, IFLA_INFO_KIND, "vlan");
	mnl_attr_nest_end(msg, info);
	assert_int_equal(links_decode(msg, &link), 0);
	assert_int_equal(link.ifindex, 7);
	assert_string_equal(link.name, "wan0");
	assert_string_equal(link.kind, "vlan");
	assert_int_equal(link.mtu, 1492);
	assert_int_equal(link.txqlen, 1000);
	assert_int_equal(link.tx_queues, 8);
	assert_true(link.up);
	msg->nlmsg_type = RTM_DELLINK;
	assert_int_equal(links_decode(msg, &link), -ENOENT);
}

/* ---- acks ---- */

static struct nlmsghdr *refusal(void *buf, int err, uint16_t flags, uint32_t echoed, const char *words)
{
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
	struct nlmsgerr *e = mnl_nlmsg_put_extra_header(msg, sizeof(*e) + echoed);

	msg->nlmsg_type = NLMSG_ERROR;
	msg->nlmsg_flags = flags;
	e->error = err;
	e->msg.nlmsg_len = sizeof(e->msg) + (echoed ? echoed : 500);
	if (words)
		mnl_attr_put_strz(msg, NLMSGERR_ATTR_MSG, words);
	return msg;
}

static void a_refusal_brings_the_kernels_words(void **state)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	char text[64];

	(void)state;
	assert_int_equal(
		nl_ack(refusal(buf, -EINVAL, NLM_F_CAPPED | NLM_F_ACK_TLVS, 0, "no such class"), text, sizeof(text)),
		-EINVAL);
	assert_string_equal(text, "no such class");
	/* A kernel that does not cap puts the whole request in front. */
	assert_int_equal(nl_ack(refusal(buf, -EEXIST, NLM_F_ACK_TLVS, 100, "exists"), text, sizeof(text)), -EEXIST);
	assert_string_equal(text, "exists");
	assert_int_equal(nl_ack(refusal(buf, -EPERM, NLM_F_CAPPED, 0, NULL), text, sizeof(text)), -EPERM);
	assert_string_equal(text, "");
	assert_int_equal(nl_ack(refusal(buf, 0, NLM_F_CAPPED, 0, NULL), text, sizeof(text)), 0);
	/* Longer words are cut. */
	assert_int_equal(nl_ack(refusal(buf, -EINVAL, NLM_F_CAPPED | NLM_F_ACK_TLVS, 0, "no such class"), text, 5),
			 -EINVAL);
	assert_string_equal(text, "no s");
}

static void a_refusal_that_lies_about_its_length_has_no_words(void **state)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg = refusal(buf, -EINVAL, NLM_F_ACK_TLVS, 0, "words");
	struct nlmsgerr *e = mnl_nlmsg_get_payload(msg);
	char text[64];

	(void)state;
	e->msg.nlmsg_len = UINT32_MAX;
	assert_int_equal(nl_ack(msg, text, sizeof(text)), -EINVAL);
	assert_string_equal(text, "");
	msg->nlmsg_len = MNL_NLMSG_HDRLEN + 4;
	assert_int_equal(nl_ack(msg, text, sizeof(text)), -EBADMSG);
}

/* ---- datagrams ---- */

static void messages_of_a_datagram_come_one_by_one(void **state)
{
	_Alignas(struct nlmsghdr) char buf[64] = {0};
	struct nlmsghdr *first = (struct nlmsghdr *)buf, *second = (struct nlmsghdr *)(buf + 20);
	size_t left = 36;
	const void *at = buf;

	(void)state;
	first->nlmsg_len = 18;
	second->nlmsg_len = 16;
	assert_ptr_equal(nl_next(&at, &left), first);
	assert_ptr_equal(nl_next(&at, &left), second);
	assert_null(nl_next(&at, &left));
	assert_int_equal(left, 0);
}

static void a_length_that_is_not_there_ends_a_datagram(void **state)
{
	static const uint32_t lengths[] = {0, 15, 37, 0x7fffffff, 0x80000000, 0xffef0024, UINT32_MAX};
	_Alignas(struct nlmsghdr) char buf[36] = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		const void *at = buf;
		size_t left = sizeof(buf);

		((struct nlmsghdr *)buf)->nlmsg_len = lengths[i];
		assert_null(nl_next(&at, &left));
	}
}

/* ---- every message, cut short and damaged ---- */

static const char *no_name(void *ctx, int ifindex)
{
	return NULL;
}

/* Whatever came out of it must have words. */
static void say(const struct kobj *o)
{
	char text[1024];
	FILE *f = fmemopen(text, sizeof(text), "w");

	assert_non_null(f);
	kobj_kinds[o->kind]->describe(o, no_name, NULL, f);
	assert_int_equal(fclose(f), 0);
}

static struct nlmsghdr *encode_sample(struct sampler *s, void *buf, int kind)
{
	struct kobj_link l = {.ifindex = ifb_index("wan0"), .of = "wan0", .tx_queues = 4};
	struct kobj_class c = {.ifindex = 1, .classid = KOBJ_ROOT_HANDLE | 1, .rate_Bps = 5000000000, .linklayer = 1};
	struct kobj_qdisc q = {.ifindex = 1, .handle = 0x10000, .parent = KOBJ_ROOT_HANDLE | 1};
	char words[512];

	if (kind == 0)
		return ifb_encode_create(buf, &l);
	if (kind == 1)
		return tc_class_encode_create(buf, &c);
	sample_qdisc(s, (enum qdisc_kind)(1 + sample(s, QDISC_KINDS - 1)), &q.q, words, sizeof(words));
	return tc_qdisc_encode_create(buf, &q);
}

static void decode_all(struct arena *a, const struct nlmsghdr *msg)
{
	struct kobj o = {.kind = KOBJ_QDISC};
	struct tc_class_stats stats;
	struct kobj_filter filter;
	struct told told = {0};
	struct link link;
	char text[16];

	if (tc_qdisc_decode(msg, &o.qdisc) == 0)
		say(&o);
	o.kind = KOBJ_CLASS;
	if (tc_class_decode(msg, &o.cls, &stats) == 0)
		say(&o);
	o.kind = KOBJ_LINK;
	if (ifb_decode(msg, &o.link) == 0)
		say(&o);
	(void)tc_filter_decode(a, msg, &filter);
	(void)tc_filter_is_any(msg);
	(void)tc_action_decode(msg, count_police, &told);
	(void)links_decode(msg, &link);
	(void)nl_ack(msg, text, sizeof(text));
}

/* In memory of exactly its length, so that the sanitizer sees a step too far. */
static void decode_damaged(struct arena *a, const struct nlmsghdr *msg, uint32_t len, bool flip)
{
	char *copy = malloc(len);

	assert_non_null(copy);
	memcpy(copy, msg, len);
	((struct nlmsghdr *)copy)->nlmsg_len = len;
	if (flip && len > MNL_NLMSG_HDRLEN)
		copy[MNL_NLMSG_HDRLEN + pick(len - MNL_NLMSG_HDRLEN)] = (char)rnd();
	decode_all(a, (struct nlmsghdr *)copy);
	free(copy);
}

static void no_damage_makes_a_decoder_read_too_far(void **state)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct sampler s = {.seed = 99, .dev = {.frame = 1514, .txqlen = 1000}};
	struct arena *a = arena_new();

	(void)state;
	for (int i = 0; i < 300; i++) {
		struct kobj q = random_qdisc(), p = random_police(), f = random_filter(a);
		struct nlmsghdr *msgs[6];

		for (int kind = 0; kind < 6; kind++) {
			msgs[kind] = kind == 0   ? tc_qdisc_encode_create(buf, &q.qdisc)
				     : kind == 1 ? tc_action_encode_create(buf, &p.police)
				     : kind == 2 ? tc_filter_encode_create(buf, &f.filter, 5)
						 : encode_sample(&s, buf, kind - 3);
			for (int cut = 0; cut < 20; cut++)
				decode_damaged(a, msgs[kind],
					       MNL_NLMSG_HDRLEN + pick(msgs[kind]->nlmsg_len - MNL_NLMSG_HDRLEN + 1),
					       cut % 2);
			for (int flip = 0; flip < 20; flip++)
				decode_damaged(a, msgs[kind], msgs[kind]->nlmsg_len, true);
		}
	}
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_qdisc_comes_back),
		cmocka_unit_test(a_root_qdisc_is_seen_if_somebody_put_it_there),
		cmocka_unit_test(what_a_qdisc_dropped_is_told),
		cmocka_unit_test(an_ifb_is_ours_by_its_alias_or_by_name_and_index),
		cmocka_unit_test(an_ifb_is_set_up_and_down),
		cmocka_unit_test(a_police_action_comes_back),
		cmocka_unit_test(every_field_of_a_police_action_matters),
		cmocka_unit_test(a_dump_tells_ours_with_their_counters),
		cmocka_unit_test(a_filter_comes_back),
		cmocka_unit_test(every_field_of_a_filter_matters),
		cmocka_unit_test(other_peoples_filters_are_not_ours),
		cmocka_unit_test(a_preference_is_no_filter),
		cmocka_unit_test(a_foreign_action_on_our_filter_is_a_difference),
		cmocka_unit_test(a_redirect_to_nowhere_is_a_difference),
		cmocka_unit_test(a_link_is_read),
		cmocka_unit_test(a_refusal_brings_the_kernels_words),
		cmocka_unit_test(a_refusal_that_lies_about_its_length_has_no_words),
		cmocka_unit_test(messages_of_a_datagram_come_one_by_one),
		cmocka_unit_test(a_length_that_is_not_there_ends_a_datagram),
		cmocka_unit_test(no_damage_makes_a_decoder_read_too_far),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
