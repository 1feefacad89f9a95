/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "mem.h"

/* The kernel does not reschedule within one send: a longer batch holds RTNL for seconds where tables are large. */
#define BATCH_MSGS 64
#define BATCH_SIZE (64u * 1024u)
/* A dump answers with at most 32 KiB at once. */
#define RECV_SIZE (64u * 1024u)
/* Room for the acks of a whole batch with their extack texts. */
#define RECV_QUEUE     (2 * 1024 * 1024)
#define ANSWER_SECONDS 10
#define DUMP_TRIES     50

struct nl {
	struct mnl_socket *sock;
	unsigned portid;
	uint32_t seq;
	char send[BATCH_SIZE];
	_Alignas(struct nlmsghdr) char recv[RECV_SIZE];
};

struct nl *nl_open(void)
{
	struct nl *nl = xcalloc(1, sizeof(*nl));
	struct timeval patience = {.tv_sec = ANSWER_SECONDS};
	int one = 1, queue = RECV_QUEUE, err;

	nl->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!nl->sock)
		goto fail;
	if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0)
		goto fail;
	/* Both only make answers better; a kernel without them (before 4.12) works too. */
	(void)mnl_socket_setsockopt(nl->sock, NETLINK_EXT_ACK, &one, sizeof(one));
	(void)mnl_socket_setsockopt(nl->sock, NETLINK_CAP_ACK, &one, sizeof(one));
	/* Without CAP_NET_ADMIN the default queue must do, and nothing can be changed anyway. */
	(void)setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVBUFFORCE, &queue, sizeof(queue));
	if (setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		goto fail;
	nl->portid = mnl_socket_get_portid(nl->sock);
	return nl;
fail:
	err = errno;
	nl_close(nl);
	errno = err;
	return NULL;
}

void nl_close(struct nl *nl)
{
	if (!nl)
		return;
	if (nl->sock)
		(void)mnl_socket_close(nl->sock); /* nothing is buffered in it that could be lost */
	free(nl);
}

int nl_talk(struct nl *nl, struct nlmsghdr *msg, char *text, size_t size)
{
	int result;

	return nl_batch(nl, &msg, 1, &result, text, size);
}

static ssize_t receive(struct nl *nl)
{
	ssize_t n;

	do
		n = mnl_socket_recvfrom(nl->sock, nl->recv, sizeof(nl->recv));
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN ? -ETIMEDOUT : -errno;
}

/* Collects the acks of n messages numbered from first. A message whose ack was lost keeps the error of receiving. */
static void collect_acks(struct nl *nl, uint32_t first, size_t n, int *result, size_t *first_error, char *text,
			 size_t size)
{
	size_t missing = n;
	bool seen[BATCH_MSGS] = {false};

	*first_error = n;
	while (missing) {
		ssize_t got = receive(nl);
		size_t left = (size_t)got;
		const struct nlmsghdr *msg;
		const void *at = nl->recv;

		if (got < 0) {
			for (size_t i = 0; i < n; i++) {
				if (seen[i])
					continue;
				result[i] = (int)got;
				if (i < *first_error) {
					*first_error = i;
					(void)snprintf(text, size, "no answer"); /* cut to fit */
				}
			}
			return;
		}
		while ((msg = nl_next(&at, &left))) {
			size_t i = msg->nlmsg_seq - first;
			char words[512];

			if (msg->nlmsg_type != NLMSG_ERROR || i >= n || seen[i] || msg->nlmsg_pid != nl->portid)
				continue;
			seen[i] = true;
			missing--;
			result[i] = nl_ack(msg, words, sizeof(words));
			if (result[i] && i < *first_error) {
				*first_error = i;
				(void)snprintf(text, size, "%s", words); /* cut to fit */
			}
		}
	}
}

/* Copies messages behind each other while they fit; returns how many, and their length together in *len. */
static size_t fill_batch(struct nl *nl, struct nlmsghdr *const *msgs, size_t n, size_t *len)
{
	size_t i;

	*len = 0;
	for (i = 0; i < n && i < BATCH_MSGS; i++) {
		size_t room = MNL_ALIGN(msgs[i]->nlmsg_len);

		if (room > BATCH_SIZE - *len)
			break;
		msgs[i]->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
		msgs[i]->nlmsg_seq = ++nl->seq;
		msgs[i]->nlmsg_pid = 0;
		memset(nl->send + *len, 0, room);
		memcpy(nl->send + *len, msgs[i], msgs[i]->nlmsg_len);
		*len += room;
	}
	return i;
}

int nl_batch(struct nl *nl, struct nlmsghdr *const *msgs, size_t n, int *result, char *text, size_t size)
{
	char ignored[1];
	int err = 0;

	if (!text || !size) {
		text = ignored;
		size = sizeof(ignored);
	}
	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		result[i] = -ECANCELED;
	for (size_t done = 0; done < n && !err;) {
		uint32_t first = nl->seq + 1;
		size_t len, bad, count = fill_batch(nl, msgs + done, n - done, &len);

		if (!count)
			return result[done] = -EMSGSIZE;
		if (mnl_socket_sendto(nl->sock, nl->send, len) < 0)
			return result[done] = -errno;
		collect_acks(nl, first, count, result + done, &bad, text, size);
		if (bad < count)
			err = result[done + bad];
		done += count;
	}
	return err;
}

enum dump_end { DUMP_GOES_ON, DUMP_DONE };

struct dump {
	int (*cb)(const struct nlmsghdr *msg, void *ctx);
	void *ctx;
	int err;    /* cb's, or the kernel's */
	bool again; /* what was told is not one moment's truth */
};

static enum dump_end dump_message(struct dump *d, const struct nlmsghdr *msg)
{
	int32_t err = 0;

	if (msg->nlmsg_flags & NLM_F_DUMP_INTR)
		d->again = true;
	if (msg->nlmsg_type == NLMSG_ERROR) {
		d->err = nl_ack(msg, NULL, 0);
		return DUMP_DONE;
	}
	if (msg->nlmsg_type == NLMSG_DONE) {
		if (mnl_nlmsg_get_payload_len(msg) >= sizeof(err))
			memcpy(&err, mnl_nlmsg_get_payload(msg), sizeof(err));
		if (err < 0 && !d->err)
			d->err = err;
		return DUMP_DONE;
	}
	/* After an error the rest is only read off, or the socket would answer EBUSY to the next dump. */
	if (!d->err && !d->again) {
		int answer = d->cb(msg, d->ctx);

		d->err = answer < 0 ? answer : 0;
	}
	return DUMP_GOES_ON;
}

static int dump_once(struct nl *nl, const struct nlmsghdr *msg, struct dump *d)
{
	if (mnl_socket_sendto(nl->sock, msg, msg->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t got = receive(nl);
		size_t left = (size_t)got;
		const struct nlmsghdr *m;
		const void *at = nl->recv;

		if (got == -ENOBUFS) {
			d->again = true;
			continue;
		}
		if (got < 0)
			return (int)got;
		while ((m = nl_next(&at, &left)))
			if (m->nlmsg_seq == msg->nlmsg_seq && m->nlmsg_pid == nl->portid &&
			    dump_message(d, m) == DUMP_DONE)
				return d->err;
	}
}

int nl_dump(struct nl *nl, struct nlmsghdr *msg, int (*cb)(const struct nlmsghdr *msg, void *ctx),
	    void (*restart)(void *ctx), void *ctx)
{
	for (int tries = 0; tries < DUMP_TRIES; tries++) {
		struct dump d = {.cb = cb, .ctx = ctx};
		int err;

		msg->nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
		msg->nlmsg_seq = ++nl->seq;
		msg->nlmsg_pid = 0;
		err = dump_once(nl, msg, &d);
		if (err || !d.again)
			return err;
		if (restart)
			restart(ctx);
	}
	return -EAGAIN;
}

struct nlmsghdr *nl_begin(void *buf, uint16_t type)
{
	struct nlmsghdr *msg;

	memset(buf, 0, NL_MSG_MAX);
	msg = mnl_nlmsg_put_header(buf);
	msg->nlmsg_type = type;
	return msg;
}

const struct nlmsghdr *nl_next(const void **at, size_t *left)
{
	const struct nlmsghdr *msg = *at;
	size_t room;

	if (*left < sizeof(*msg) || msg->nlmsg_len < sizeof(*msg) || msg->nlmsg_len > *left)
		return NULL;
	room = MNL_ALIGN((size_t)msg->nlmsg_len);
	if (room > *left)
		room = *left;
	*at = (const char *)*at + room;
	*left -= room;
	return msg;
}

int nl_ack(const struct nlmsghdr *msg, char *text, size_t size)
{
	const struct nlattr *tb[NLMSGERR_ATTR_MSG + 1];
	struct nlmsgerr e;
	size_t header = sizeof(e);

	if (size)
		text[0] = '\0';
	if (msg->nlmsg_type != NLMSG_ERROR || msg->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(e))
		return -EBADMSG;
	memcpy(&e, mnl_nlmsg_get_payload(msg), sizeof(e));
	if (e.error > 0)
		return -EBADMSG;
	if (!(msg->nlmsg_flags & NLM_F_ACK_TLVS) || !size)
		return e.error;
	/* Unless capped, the refused request stands between the error and the attributes. */
	if (!(msg->nlmsg_flags & NLM_F_CAPPED) && e.msg.nlmsg_len > sizeof(e.msg))
		header += MNL_ALIGN((size_t)e.msg.nlmsg_len) - sizeof(e.msg);
	nl_attrs(msg, header, tb, NLMSGERR_ATTR_MSG);
	(void)nl_get_str(tb[NLMSGERR_ATTR_MSG], text, size); /* no text is "" */
	return e.error;
}

/* The attributes in [at, at + len). */
static void index_attrs(const char *at, size_t len, const struct nlattr **tb, int max)
{
	memset(tb, 0, ((size_t)max + 1) * sizeof(*tb));
	while (len >= sizeof(struct nlattr)) {
		const struct nlattr *attr = (const struct nlattr *)at;
		size_t room;

		if (attr->nla_len < sizeof(*attr) || attr->nla_len > len)
			return;
		if (mnl_attr_get_type(attr) <= max)
			tb[mnl_attr_get_type(attr)] = attr;
		room = MNL_ALIGN((size_t)attr->nla_len);
		if (room >= len)
			return;
		at += room;
		len -= room;
	}
}

void nl_attrs(const struct nlmsghdr *msg, size_t header, const struct nlattr **tb, int max)
{
	size_t from = MNL_NLMSG_HDRLEN + MNL_ALIGN(header);

	if (msg->nlmsg_len <= from)
		index_attrs(NULL, 0, tb, max);
	else
		index_attrs((const char *)msg + from, msg->nlmsg_len - from, tb, max);
}

void nl_nested(const struct nlattr *nest, const struct nlattr **tb, int max)
{
	if (!nest)
		index_attrs(NULL, 0, tb, max);
	else
		index_attrs(mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest), tb, max);
}

bool nl_get(const struct nlattr *attr, void *out, size_t size)
{
	if (!attr || mnl_attr_get_payload_len(attr) < size) {
		memset(out, 0, size);
		return false;
	}
	memcpy(out, mnl_attr_get_payload(attr), size);
	return true;
}

bool nl_get_str(const struct nlattr *attr, char *out, size_t size)
{
	size_t n;

	out[0] = '\0';
	if (!attr)
		return false;
	n = strnlen(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
	if (n >= size)
		n = size - 1;
	memcpy(out, mnl_attr_get_payload(attr), n);
	out[n] = '\0';
	return true;
}

bool nl_is(const struct nlattr *attr, const char *s)
{
	size_t n;

	if (!attr)
		return false;
	n = strnlen(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
	return n == strlen(s) && !memcmp(mnl_attr_get_payload(attr), s, n);
}
