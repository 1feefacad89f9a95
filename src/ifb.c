/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ifb.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "nl.h"

#define ALIAS_PREFIX "qosd ifb of "

static int ifb_cmp(const struct kobj *a, const struct kobj *b)
{
	return (a->link.ifindex > b->link.ifindex) - (a->link.ifindex < b->link.ifindex);
}

static bool ifb_same(const struct kobj *a, const struct kobj *b)
{
	const struct kobj_link *x = &a->link, *y = &b->link;

	return !strcmp(x->name, y->name) && !strcmp(x->of, y->of) && x->tx_queues == y->tx_queues && x->up == y->up;
}

static const char *ifb_fixed(const struct kobj *before, const struct kobj *after)
{
	if (before->link.tx_queues != after->link.tx_queues)
		return "a device keeps its number of queues";
	return strcmp(before->link.name, after->link.name) != 0 ? "a device that is up keeps its name" : NULL;
}

static void ifb_describe(const struct kobj *o, const char *(*ifname)(void *ctx, int ifindex), void *ctx, FILE *out)
{
	const struct kobj_link *l = &o->link;

	(void)ifname;
	(void)ctx;
	fprintf(out, "link %s type ifb numtxqueues %u alias \"" ALIAS_PREFIX "%s\"%s", l->name, l->tx_queues, l->of,
		l->up ? " up" : "");
}

const struct kobj_ops ifb_ops = {
	.name = "link",
	.cmp = ifb_cmp,
	.same = ifb_same,
	.fixed = ifb_fixed,
	.describe = ifb_describe,
};

/* change: which of the flags count. */
static struct nlmsghdr *put_header(void *buf, uint16_t type, int ifindex, unsigned flags, unsigned change)
{
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *head;

	msg->nlmsg_type = type;
	head = mnl_nlmsg_put_extra_header(msg, sizeof(*head));
	head->ifi_family = AF_UNSPEC;
	head->ifi_index = ifindex;
	head->ifi_flags = flags;
	head->ifi_change = change;
	return msg;
}

struct nlmsghdr *ifb_encode_create(void *buf, const struct kobj_link *l)
{
	struct nlmsghdr *msg = put_header(buf, RTM_NEWLINK, l->ifindex, 0, 0);
	struct nlattr *info;

	msg->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	mnl_attr_put_strz(msg, IFLA_IFNAME, l->name);
	mnl_attr_put_u32(msg, IFLA_NUM_TX_QUEUES, l->tx_queues);
	info = mnl_attr_nest_start(msg, IFLA_LINKINFO);
	mnl_attr_put_strz(msg, IFLA_INFO_KIND, "ifb");
	mnl_attr_nest_end(msg, info);
	return msg;
}

struct nlmsghdr *ifb_encode_alias(void *buf, const struct kobj_link *l)
{
	struct nlmsghdr *msg = put_header(buf, RTM_NEWLINK, l->ifindex, l->up ? IFF_UP : 0, IFF_UP);
	char alias[sizeof(ALIAS_PREFIX) + sizeof(l->of)];

	(void)snprintf(alias, sizeof(alias), ALIAS_PREFIX "%s", l->of); /* fits */
	mnl_attr_put_strz(msg, IFLA_IFALIAS, alias);
	return msg;
}

struct nlmsghdr *ifb_encode_delete(void *buf, const struct kobj_link *l)
{
	return put_header(buf, RTM_DELLINK, l->ifindex, 0, 0);
}

struct nlmsghdr *ifb_encode_dump(void *buf)
{
	struct nlmsghdr *msg = put_header(buf, RTM_GETLINK, 0, 0, 0);

	mnl_attr_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return msg;
}

/* Only qosd makes an ifb of such a name with just that index. */
static bool is_born_ours(const char *name, int ifindex)
{
	return ifindex && ifindex == ifb_index_of_ifb(name);
}

int ifb_decode(const struct nlmsghdr *msg, struct kobj_link *out)
{
	const struct nlattr *tb[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1];
	char alias[sizeof(ALIAS_PREFIX) + sizeof(out->of)];
	struct ifinfomsg head;

	if (msg->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(msg) < sizeof(head))
		return -ENOENT;
	memcpy(&head, mnl_nlmsg_get_payload(msg), sizeof(head));
	nl_attrs(msg, sizeof(head), tb, IFLA_MAX);
	nl_nested(tb[IFLA_LINKINFO], info, IFLA_INFO_MAX);
	if (!nl_is(info[IFLA_INFO_KIND], "ifb"))
		return -ENOENT;
	memset(out, 0, sizeof(*out));
	if (head.ifi_index <= 0 || !nl_get_str(tb[IFLA_IFNAME], out->name, sizeof(out->name)))
		return -EINVAL;
	out->ifindex = head.ifi_index;
	out->up = head.ifi_flags & IFF_UP;
	(void)nl_get(tb[IFLA_NUM_TX_QUEUES], &out->tx_queues, sizeof(out->tx_queues)); /* every device has some */
	if (!nl_get_str(tb[IFLA_IFALIAS], alias, sizeof(alias)))
		return is_born_ours(out->name, out->ifindex) ? 0 : -ENOENT;
	if (strncmp(alias, ALIAS_PREFIX, strlen(ALIAS_PREFIX)) != 0)
		return -ENOENT;
	memcpy(out->of, alias + strlen(ALIAS_PREFIX), strnlen(alias + strlen(ALIAS_PREFIX), sizeof(out->of) - 1));
	return 0;
}

struct search {
	const struct kobj_link *l;
	int found;
};

static int look(const struct nlmsghdr *msg, void *ctx)
{
	struct search *s = ctx;
	struct kobj_link l;

	if (ifb_decode(msg, &l) == 0 && l.ifindex == s->l->ifindex && !strcmp(l.name, s->l->name))
		s->found = 1;
	return 0;
}

int ifb_is_ours(struct nl *nl, const struct kobj_link *l)
{
	struct search s = {.l = l};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	int err = nl_dump(nl, ifb_encode_dump(buf), look, NULL, &s);

	return err ? err : s.found;
}
