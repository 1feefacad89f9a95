/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "links.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem.h"
#include "nl.h"

#define LOWER_UP (1u << 16) /* IFF_LOWER_UP of linux/if.h, which net/if.h does not go with */

struct links_dump {
	struct links *out;
	size_t room;
};

static int cmp_name(const void *a, const void *b)
{
	return strcmp(((const struct link *)a)->name, ((const struct link *)b)->name);
}

int links_decode(const struct nlmsghdr *msg, struct link *out)
{
	const struct nlattr *tb[IFLA_MAX + 1], *info[IFLA_INFO_KIND + 1];
	struct ifinfomsg head;

	if (msg->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(msg) < sizeof(head))
		return -ENOENT;
	memcpy(&head, mnl_nlmsg_get_payload(msg), sizeof(head));
	nl_attrs(msg, sizeof(head), tb, IFLA_MAX);
	nl_nested(tb[IFLA_LINKINFO], info, IFLA_INFO_KIND);
	memset(out, 0, sizeof(*out));
	if (head.ifi_index <= 0 || !nl_get_str(tb[IFLA_IFNAME], out->name, sizeof(out->name)))
		return -EINVAL;
	out->ifindex = head.ifi_index;
	out->type = head.ifi_type;
	out->up = head.ifi_flags & IFF_UP;
	out->running = out->up && head.ifi_flags & LOWER_UP;
	/* What a device does not have stays 0 and "". */
	(void)nl_get_str(info[IFLA_INFO_KIND], out->kind, sizeof(out->kind));
	(void)nl_get(tb[IFLA_ADDRESS], out->mac, sizeof(out->mac));
	out->peer_elsewhere = tb[IFLA_LINK_NETNSID] && (!strcmp(out->kind, "veth") || !strcmp(out->kind, "netkit"));
	(void)nl_get(tb[IFLA_MTU], &out->mtu, sizeof(out->mtu));
	(void)nl_get(tb[IFLA_NUM_TX_QUEUES], &out->tx_queues, sizeof(out->tx_queues));
	(void)nl_get(tb[IFLA_TXQLEN], &out->txqlen, sizeof(out->txqlen));
	return 0;
}

static int add_link(const struct nlmsghdr *msg, void *ctx)
{
	struct links_dump *d = ctx;
	struct link link;
	int err = links_decode(msg, &link);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (d->out->n == d->room) {
		d->room = d->room ? 2 * d->room : 16;
		d->out->v = xrealloc(d->out->v, d->room * sizeof(*d->out->v));
	}
	d->out->v[d->out->n++] = link;
	return 0;
}

static void restart(void *ctx)
{
	((struct links_dump *)ctx)->out->n = 0;
}

int links_read(struct nl *nl, struct links *out)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg = nl_begin(buf, RTM_GETLINK);
	struct links_dump d = {.out = out};
	struct ifinfomsg *head;
	int err;

	*out = (struct links){0};
	head = mnl_nlmsg_put_extra_header(msg, sizeof(*head));
	head->ifi_family = AF_UNSPEC;
	mnl_attr_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	err = nl_dump(nl, msg, add_link, restart, &d);
	if (err) {
		links_clear(out);
		return err;
	}
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), cmp_name);
	return 0;
}

void links_clear(struct links *l)
{
	free(l->v);
	*l = (struct links){0};
}

const struct link *links_by_name(const struct links *l, const char *name)
{
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(name, l->v[mid].name);

		if (!c)
			return &l->v[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

const struct link *links_by_index(const struct links *l, int ifindex)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].ifindex == ifindex)
			return &l->v[i];
	return NULL;
}

struct counts_dump {
	int (*cb)(void *ctx, const struct link_counts *c);
	void (*restart)(void *ctx);
	void *ctx;
};

static int tell_counts(const struct nlmsghdr *msg, void *ctx)
{
	const struct counts_dump *d = ctx;
	const struct nlattr *tb[IFLA_MAX + 1];
	struct rtnl_link_stats64 stats = {0};
	struct ifinfomsg head;
	struct link_counts c;

	if (msg->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(msg) < sizeof(head))
		return 0;
	memcpy(&head, mnl_nlmsg_get_payload(msg), sizeof(head));
	nl_attrs(msg, sizeof(head), tb, IFLA_MAX);
	/* Older kernels have fewer counters; the first four are in all. */
	if (!nl_get_str(tb[IFLA_IFNAME], c.name, sizeof(c.name)) ||
	    !nl_get(tb[IFLA_STATS64], &stats, offsetof(struct rtnl_link_stats64, rx_errors)))
		return 0;
	c.ifindex = head.ifi_index;
	c.rx_packets = stats.rx_packets;
	c.rx_bytes = stats.rx_bytes;
	c.tx_packets = stats.tx_packets;
	c.tx_bytes = stats.tx_bytes;
	return d->cb(d->ctx, &c);
}

static void restart_counts(void *ctx)
{
	const struct counts_dump *d = ctx;

	d->restart(d->ctx);
}

int links_counts(struct nl *nl, int (*cb)(void *ctx, const struct link_counts *c), void (*restart)(void *ctx),
		 void *ctx)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg = nl_begin(buf, RTM_GETLINK);
	struct counts_dump d = {cb, restart, ctx};
	struct ifinfomsg *head = mnl_nlmsg_put_extra_header(msg, sizeof(*head));

	head->ifi_family = AF_UNSPEC;
	return nl_dump(nl, msg, tell_counts, restart_counts, &d);
}

int links_monitor_open(void)
{
	struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int err, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	err = -errno;
	(void)close(fd); /* never used */
	return err;
}

/* The link went, or can take no packets any more. */
static bool tells_of_an_end(const struct nlmsghdr *msg, int *ifindex)
{
	struct ifinfomsg head;

	memcpy(&head, mnl_nlmsg_get_payload(msg), sizeof(head));
	*ifindex = head.ifi_index;
	return msg->nlmsg_type == RTM_DELLINK || (head.ifi_flags & (IFF_UP | LOWER_UP)) != (IFF_UP | LOWER_UP);
}

/* A bridge tells of its ports in messages of its own family; no link came, went or was renamed by them. */
static bool tells_of_a_link(const struct nlmsghdr *msg)
{
	struct ifinfomsg head;

	if (msg->nlmsg_type != RTM_NEWLINK && msg->nlmsg_type != RTM_DELLINK)
		return false;
	if (mnl_nlmsg_get_payload_len(msg) < sizeof(head))
		return false;
	memcpy(&head, mnl_nlmsg_get_payload(msg), sizeof(head));
	return head.ifi_family == AF_UNSPEC;
}

int links_monitor_drain(int fd, void (*gone)(void *ctx, int ifindex), void *ctx)
{
	_Alignas(struct nlmsghdr) char buf[32 * 1024];
	int changed = 0, ifindex;

	for (;;) {
		ssize_t got = recv(fd, buf, sizeof(buf), 0);
		size_t left = (size_t)got;
		const struct nlmsghdr *msg;
		const void *at = buf;

		if (got < 0 && errno == EAGAIN)
			return changed;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == ENOBUFS) {
			changed = 1; /* whatever it was, we missed it */
			continue;
		}
		if (got < 0)
			return -errno;
		while ((msg = nl_next(&at, &left))) {
			if (!tells_of_a_link(msg))
				continue;
			changed = 1;
			if (tells_of_an_end(msg, &ifindex))
				gone(ctx, ifindex);
		}
	}
}
