/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * tc_class: the kind of kernel object that is an htb class (struct kobj_class), between its struct and rtnetlink
 * messages, and the statistics of those that are there. Encoders send nothing, write into buf of NL_MSG_MAX bytes and
 * return it.
 */
#ifndef QOSD_TC_CLASS_H
#define QOSD_TC_CLASS_H

#include "kobj.h"

struct nl;
struct nlmsghdr;

extern const struct kobj_ops tc_class_ops;

struct nlmsghdr *tc_class_encode_create(void *buf, const struct kobj_class *c);
/* In place: queue, counters and tokens stay. */
struct nlmsghdr *tc_class_encode_change(void *buf, const struct kobj_class *c);
struct nlmsghdr *tc_class_encode_delete(void *buf, const struct kobj_class *c);
/* Asks for the classes of one qdisc of an interface. */
struct nlmsghdr *tc_class_encode_dump(void *buf, int ifindex, uint32_t handle);

struct tc_class_stats {
	uint64_t bytes, packets; /* sent */
	uint32_t drops, overlimits;
	uint32_t backlog_bytes, backlog_packets;
	uint32_t lends, borrows; /* packets sent from the own rate, with tokens of an ancestor */
	int32_t tokens, ctokens; /* ticks of 64 ns */
};

/* An htb class, its parent and whether it has children as the kernel has them, and stats unless that is NULL. 0;
 * -ENOENT: another message or kind of class; -EINVAL: not readable. */
int tc_class_decode(const struct nlmsghdr *msg, struct kobj_class *out, struct tc_class_stats *stats);

/* Calls fn for each class of the qdisc as the kernel counts it now. Stops at fn's first negative return and returns it,
 * or 0 or -errno; no such qdisc has no classes. A class may come twice where others changed the table meanwhile. */
int tc_class_stats(struct nl *nl, int ifindex, uint32_t handle,
		   int (*fn)(void *ctx, const struct kobj_class *c, const struct tc_class_stats *stats), void *ctx);

#endif
