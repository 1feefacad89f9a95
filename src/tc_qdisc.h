/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * tc_qdisc: the kinds of kernel object that are qdiscs (struct kobj_qdisc): clsact, roots and shards, and the leaves
 * below classes; between their struct and rtnetlink messages, and what they dropped. Encoders send nothing, write into
 * buf of NL_MSG_MAX bytes and return it.
 */
#ifndef QOSD_TC_QDISC_H
#define QOSD_TC_QDISC_H

#include "kobj.h"

struct nl;
struct nlmsghdr;

extern const struct kobj_ops tc_qdisc_ops, tc_leaf_ops;

struct nlmsghdr *tc_qdisc_encode_create(void *buf, const struct kobj_qdisc *q);
/* In place: what waits in it stays. */
struct nlmsghdr *tc_qdisc_encode_change(void *buf, const struct kobj_qdisc *q);
struct nlmsghdr *tc_qdisc_encode_delete(void *buf, const struct kobj_qdisc *q);
/* Asks for the qdiscs of all interfaces. */
struct nlmsghdr *tc_qdisc_encode_dump(void *buf);
/* A clsact or an ingress qdisc, which has clsact's place; a root qdisc that somebody put there; one below a handle of
 * ours. 0; -ENOENT: another message or qdisc; -EINVAL: not readable. */
int tc_qdisc_decode(const struct nlmsghdr *msg, struct kobj_qdisc *out);

/* How many packets it dropped, of a message that tc_qdisc_decode took. */
uint32_t tc_qdisc_decode_drops(const struct nlmsghdr *msg);

/* Calls fn for each qdisc of all interfaces that tc_qdisc_decode takes. Stops at fn's first negative return and returns
 * it, or 0 or -errno. A qdisc may come twice where others changed the table meanwhile. */
int tc_qdisc_drops(struct nl *nl, int (*fn)(void *ctx, const struct kobj_qdisc *q, uint32_t drops), void *ctx);

/* Is it a root qdisc, and not ours? */
bool tc_qdisc_is_foreign(const struct kobj_qdisc *q);

#endif
