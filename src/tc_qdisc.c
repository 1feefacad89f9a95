/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tc_qdisc.h"

#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "nl.h"

static int qdisc_cmp(const struct kobj *a, const struct kobj *b)
{
	const struct kobj_qdisc *x = &a->qdisc, *y = &b->qdisc;

	if (x->ifindex != y->ifindex)
		return x->ifindex < y->ifindex ? -1 : 1;
	return (x->parent > y->parent) - (x->parent < y->parent);
}

static bool qdisc_same(const struct kobj *a, const struct kobj *b)
{
	return a->qdisc.handle == b->qdisc.handle && !strcmp(a->qdisc.kind, b->qdisc.kind);
}

static const char *qdisc_fixed(const struct kobj *before, const struct kobj *after)
{
	if (strcmp(before->qdisc.kind, after->qdisc.kind) != 0)
		return "a qdisc of another kind has its place";
	return "a qdisc keeps its handle";
}

static void qdisc_describe(const struct kobj *o, const char *(*ifname)(void *ctx, int ifindex), void *ctx, FILE *out)
{
	const char *name = ifname(ctx, o->qdisc.ifindex);

	fprintf(out, "qdisc %s dev ", o->qdisc.kind);
	if (name)
		fputs(name, out);
	else
		fprintf(out, "#%d", o->qdisc.ifindex);
}

const struct kobj_ops tc_qdisc_ops = {
	.name = "qdisc",
	.cmp = qdisc_cmp,
	.same = qdisc_same,
	.fixed = qdisc_fixed,
	.describe = qdisc_describe,
};

static struct nlmsghdr *put_header(void *buf, uint16_t type, const struct kobj_qdisc *q)
{
	struct nlmsghdr *msg = nl_begin(buf, type);
	struct tcmsg *tcm;

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
	mnl_attr_put_strz(msg, TCA_KIND, q->kind);
	return msg;
}

struct nlmsghdr *tc_qdisc_encode_delete(void *buf, const struct kobj_qdisc *q)
{
	struct nlmsghdr *msg = put_header(buf, RTM_DELQDISC, q);

	mnl_attr_put_strz(msg, TCA_KIND, q->kind);
	return msg;
}

struct nlmsghdr *tc_qdisc_encode_dump(void *buf)
{
	return put_header(buf, RTM_GETQDISC, NULL);
}

int tc_qdisc_decode(const struct nlmsghdr *msg, struct kobj_qdisc *out)
{
	const struct nlattr *tb[TCA_MAX + 1];
	struct tcmsg tcm;

	if (msg->nlmsg_type != RTM_NEWQDISC || mnl_nlmsg_get_payload_len(msg) < sizeof(tcm))
		return -ENOENT;
	memcpy(&tcm, mnl_nlmsg_get_payload(msg), sizeof(tcm));
	if (tcm.tcm_parent != TC_H_CLSACT)
		return -ENOENT;
	nl_attrs(msg, sizeof(tcm), tb, TCA_MAX);
	memset(out, 0, sizeof(*out));
	if (tcm.tcm_ifindex <= 0 || !nl_get_str(tb[TCA_KIND], out->kind, sizeof(out->kind)))
		return -EINVAL;
	out->ifindex = tcm.tcm_ifindex;
	out->handle = tcm.tcm_handle;
	out->parent = tcm.tcm_parent;
	return 0;
}
