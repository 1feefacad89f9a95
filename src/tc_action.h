/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * tc_action: the kind of kernel object that is an indexed police action (struct kobj_police), between its struct and
 * rtnetlink messages, and the statistics of those that are there. Encoders send nothing, write into buf of NL_MSG_MAX
 * bytes and return it.
 */
#ifndef QOSD_TC_ACTION_H
#define QOSD_TC_ACTION_H

#include "kobj.h"

struct nl;
struct nlattr;
struct nlmsghdr;

extern const struct kobj_ops tc_action_ops;

struct nlmsghdr *tc_action_encode_create(void *buf, const struct kobj_police *p);
/* In place: bucket full again, counters kept. */
struct nlmsghdr *tc_action_encode_change(void *buf, const struct kobj_police *p);
struct nlmsghdr *tc_action_encode_delete(void *buf, uint32_t index);
/* Asks for all police actions of the namespace. A kernel without act_police answers with none. */
struct nlmsghdr *tc_action_encode_dump(void *buf);
/* Adds to a filter's list of actions, at order (from 1), the police action with this index, which must be there. */
void tc_action_encode_reference(struct nlmsghdr *msg, uint16_t order, uint32_t index);
/* Adds to a filter's list of actions, at order, a mirred that sends the packet to the egress of another device. */
void tc_action_encode_redirect(struct nlmsghdr *msg, uint16_t order, int ifindex);

/* Is this action of a filter's list the first such mirred, to a device that is still there? ifindex is 0 before. */
bool tc_action_decode_redirect(const struct nlattr *action, int *ifindex);
/* The index of one action of a filter's list; 0 if it is no police action. */
uint32_t tc_action_decode_reference(const struct nlattr *action);
/* Calls fn for each police action of the message that is in our range of indices; 0, fn's first negative return,
 * -ENOENT for another message, -EINVAL for one that is not readable. */
struct tc_action_stats;
int tc_action_decode(const struct nlmsghdr *msg,
		     int (*fn)(void *ctx, const struct kobj_police *p, const struct tc_action_stats *stats), void *ctx);

struct tc_action_stats {
	uint64_t packets, bytes;    /* that came to the action */
	uint32_t drops, overlimits; /* packets; overlimits is what exceeded, drops what was dropped of it */
};

/* Calls fn for each of our police actions as the kernel counts them now. Stops at fn's first negative return and
 * returns it, or 0 or -errno. An action may come twice where the kernel's table changed under the dump. */
int tc_action_stats(struct nl *nl, int (*fn)(void *ctx, uint32_t index, const struct tc_action_stats *stats),
		    void *ctx);

#endif
