/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "links.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem.h"
#include "nl.h"

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
	/* What a device does not have stays 0 and "". */
	(void)nl_get_str(info[IFLA_INFO_KIND], out->kind, sizeof(out->kind));
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

int links_monitor_drain(int fd)
{
	_Alignas(struct nlmsghdr) char buf[32 * 1024];
	int changed = 0;

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
		while ((msg = nl_next(&at, &left)))
			changed |= tells_of_a_link(msg);
	}
}
