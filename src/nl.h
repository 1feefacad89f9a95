/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * nl: one rtnetlink socket (libmnl). Every request wants an ack of its own; a refusal carries the kernel's extack text.
 * The readers of attributes below trust no length that they find inside a message.
 */
#ifndef QOSD_NL_H
#define QOSD_NL_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nl;

/* Room for the longest message that is ever encoded here (a police action with its rate table). */
#define NL_MSG_MAX 4096

/* A NETLINK_ROUTE socket with EXT_ACK and CAP_ACK. NULL and errno. */
struct nl *nl_open(void);
void nl_close(struct nl *nl);

/* Sends one message (flags NLM_F_REQUEST|NLM_F_ACK and the sequence are set here). 0 or -errno; text gets the extack or
 * "". */
int nl_talk(struct nl *nl, struct nlmsghdr *msg, char *text, size_t size);
/* Sends n messages in batches of at most 64; result[i] is 0 or -errno. Returns 0 or the first error, its words in text.
 * The kernel carries out the rest of a batch after a refusal; later batches are not sent, -ECANCELED. */
int nl_batch(struct nl *nl, struct nlmsghdr *const *msgs, size_t n, int *result, char *text, size_t size);
/* Sends a dump request and calls cb for each answer; starts again (calling restart, if not NULL) on NLM_F_DUMP_INTR and
 * ENOBUFS. 0 or -errno, or cb's first negative return. */
int nl_dump(struct nl *nl, struct nlmsghdr *msg, int (*cb)(const struct nlmsghdr *msg, void *ctx),
	    void (*restart)(void *ctx), void *ctx);

/* Begins a message in buf of NL_MSG_MAX bytes, all zero but its head: libmnl leaves what pads an attribute as it was.
 */
struct nlmsghdr *nl_begin(void *buf, uint16_t type);
/* The next message of a datagram: *at and *left go on behind it. NULL where no whole one is left. libmnl's own takes a
 * length above 2 GiB for a negative one. */
const struct nlmsghdr *nl_next(const void **at, size_t *left);
/* What an NLMSG_ERROR says: 0 or -errno, the extack words in text ("" for none); -EBADMSG if it is none. */
int nl_ack(const struct nlmsghdr *msg, char *text, size_t size);
/* Attributes by type, behind the message's own header of that size, or within a nest. tb has max + 1 places; types that
 * are not there are NULL, types above max are passed over. A nest of NULL has none. */
void nl_attrs(const struct nlmsghdr *msg, size_t header, const struct nlattr **tb, int max);
void nl_nested(const struct nlattr *nest, const struct nlattr **tb, int max);
/* Copies size bytes of the payload; false (and *out zeroed) where the attribute is NULL or shorter. */
bool nl_get(const struct nlattr *attr, void *out, size_t size);
/* Copies a string, cut to fit and NUL-terminated; false (and "") where the attribute is NULL. */
bool nl_get_str(const struct nlattr *attr, char *out, size_t size);
/* The attribute is exactly this string. */
bool nl_is(const struct nlattr *attr, const char *s);

#endif
