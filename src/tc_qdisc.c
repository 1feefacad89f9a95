/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tc_qdisc.h"

#include <errno.h>
#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "nl.h"
#include "qdisc_codec.h"

static int qdisc_cmp(const struct kobj *a, const struct kobj *b)
{
	const struct kobj_qdisc *x = &a->qdisc, *y = &b->qdisc;

	if (x->ifindex != y->ifindex)
		return x->ifindex < y->ifindex ? -1 : 1;
	return (x->parent > y->parent) - (x->parent < y->parent);
}

static bool same(const struct kobj *a, const struct kobj *b)
{
	return a->qdisc.handle == b->qdisc.handle && qdisc_same(&a->qdisc.q, &b->qdisc.q);
}

static const char *fixed(const struct kobj *before, const struct kobj *after)
{
	const char *why = qdisc_fixed(&before->qdisc.q, &after->qdisc.q);

	if (why)
		return why;
	return before->qdisc.handle != after->qdisc.handle ? "a qdisc keeps its handle" : NULL;
}

static void describe_handle(const char *word, uint32_t h, FILE *out)
{
	if (TC_H_MIN(h))
		fprintf(out, " %s %x:%x", word, TC_H_MAJ(h) >> 16, TC_H_MIN(h));
	else
		fprintf(out, " %s %x:", word, TC_H_MAJ(h) >> 16);
}

static void qdisc_describe_object(const struct kobj *o, const char *(*ifname)(void *ctx, int ifindex), void *ctx,
				  FILE *out)
{
	const struct kobj_qdisc *q = &o->qdisc;
	const char *name = ifname(ctx, q->ifindex);

	if (q->parent == TC_H_CLSACT) {
		fprintf(out, "qdisc %s dev ", qdisc_name(q->q.kind));
	} else {
		fputs("qdisc dev ", out);
	}
	if (name)
		fputs(name, out);
	else
		fprintf(out, "#%d", q->ifindex);
	if (q->parent == TC_H_CLSACT)
		return;
	if (q->parent == TC_H_ROOT)
		fputs(" root", out);
	else
		describe_handle("parent", q->parent, out);
	describe_handle("handle", q->handle, out);
	fputc(' ', out);
	qdisc_describe(&q->q, out);
}

const struct kobj_ops tc_qdisc_ops = {
	.name = "qdisc",
	.cmp = qdisc_cmp,
	.same = same,
	.fixed = fixed,
	.describe = qdisc_describe_object,
};

const struct kobj_ops tc_leaf_ops = {
	.name = "leaf",
	.cmp = qdisc_cmp,
	.same = same,
	.fixed = fixed,
	.describe = qdisc_describe_object,
};

bool tc_qdisc_is_foreign(const struct kobj_qdisc *q)
{
	return q->parent == TC_H_ROOT && q->handle != KOBJ_ROOT_HANDLE;
}

static struct nlmsghdr *put_header(void *buf, uint16_t type, const struct kobj_qdisc *q)
{
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
	struct tcmsg *tcm;

	msg->nlmsg_type = type;
	tcm = mnl_nlmsg_put_extra_header(msg, sizeof(*tcm));
	tcm->tcm_family = AF_UNSPEC;
	if (q) {
		tcm->tcm_ifindex = q->ifindex;
		tcm->tcm_handle = q->handle;
		tcm->tcm_parent = q->parent;
	}
	return msg;
}

struct nlmsghdr *tc_qdisc_encode_create(void *buf, const struct kobj_qdisc *q)
{
	struct nlmsghdr *msg = put_header(buf, RTM_NEWQDISC, q);

	msg->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	qdisc_encode(msg, &q->q, true);
	return msg;
}

struct nlmsghdr *tc_qdisc_encode_change(void *buf, const struct kobj_qdisc *q)
{
	struct nlmsghdr *msg = put_header(buf, RTM_NEWQDISC, q);

	qdisc_encode(msg, &q->q, false);
	return msg;
}

struct nlmsghdr *tc_qdisc_encode_delete(void *buf, const struct kobj_qdisc *q)
{
	return put_header(buf, RTM_DELQDISC, q);
}

struct nlmsghdr *tc_qdisc_encode_dump(void *buf)
{
	return put_header(buf, RTM_GETQDISC, NULL);
}

/* The kernel's own default qdiscs have no handle and give way without being asked. */
static bool is_wanted(const struct tcmsg *tcm)
{
	uint32_t above = TC_H_MAJ(tcm->tcm_parent);

	if (tcm->tcm_parent == TC_H_CLSACT)
		return true;
	if (!tcm->tcm_handle)
		return false;
	return tcm->tcm_parent == TC_H_ROOT || (above >= KOBJ_ROOT_HANDLE && above <= KOBJ_SHARD(KOBJ_SHARDS_MAX));
}

int tc_qdisc_decode(const struct nlmsghdr *msg, struct kobj_qdisc *out)
{
	const struct nlattr *tb[TCA_MAX + 1];
	char kind[sizeof(out->q.other)];
	struct tcmsg tcm;

	if (msg->nlmsg_type != RTM_NEWQDISC || mnl_nlmsg_get_payload_len(msg) < sizeof(tcm))
		return -ENOENT;
	memcpy(&tcm, mnl_nlmsg_get_payload(msg), sizeof(tcm));
	if (!is_wanted(&tcm))
		return -ENOENT;
	nl_attrs(msg, sizeof(tcm), tb, TCA_MAX);
	memset(out, 0, sizeof(*out));
	if (tcm.tcm_ifindex <= 0 || !nl_get_str(tb[TCA_KIND], kind, sizeof(kind)))
		return -EINVAL;
	out->ifindex = tcm.tcm_ifindex;
	out->handle = tcm.tcm_handle;
	out->parent = tcm.tcm_parent;
	return qdisc_decode(kind, tb[TCA_OPTIONS], &out->q);
}

uint32_t tc_qdisc_decode_drops(const struct nlmsghdr *msg)
{
	const struct nlattr *tb[TCA_MAX + 1], *stats[TCA_STATS_MAX + 1];
	struct gnet_stats_queue queue;

	nl_attrs(msg, sizeof(struct tcmsg), tb, TCA_MAX);
	nl_nested(tb[TCA_STATS2], stats, TCA_STATS_MAX);
	(void)nl_get(stats[TCA_STATS_QUEUE], &queue, sizeof(queue)); /* absent: it counts nothing */
	return queue.drops;
}

struct drops_dump {
	int (*fn)(void *ctx, const struct kobj_qdisc *q, uint32_t drops);
	void *ctx;
};

static int tell_drops(const struct nlmsghdr *msg, void *ctx)
{
	const struct drops_dump *d = ctx;
	struct kobj_qdisc q;

	/* What is not readable is nobody's leaf that is asked for. */
	return tc_qdisc_decode(msg, &q) ? 0 : d->fn(d->ctx, &q, tc_qdisc_decode_drops(msg));
}

int tc_qdisc_drops(struct nl *nl, int (*fn)(void *ctx, const struct kobj_qdisc *q, uint32_t drops), void *ctx)
{
	struct drops_dump d = {.fn = fn, .ctx = ctx};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

	return nl_dump(nl, tc_qdisc_encode_dump(buf), tell_drops, NULL, &d);
}
