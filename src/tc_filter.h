/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * tc_filter: the kind of kernel object that is a cls_bpf filter in our range of preferences (struct kobj_filter),
 * between its struct and rtnetlink messages. It sends nothing. Encoders write into buf of NL_MSG_MAX bytes and return
 * it.
 */
#ifndef QOSD_TC_FILTER_H
#define QOSD_TC_FILTER_H

#include "kobj.h"

struct nlmsghdr;

extern const struct kobj_ops tc_filter_ops;

/* prog_fd must be open when the message is sent; the kernel takes a reference of its own. */
struct nlmsghdr *tc_filter_encode_create(void *buf, const struct kobj_filter *f, int prog_fd);
/* Replaces program, name, class and actions at once: no packet sees neither. */
struct nlmsghdr *tc_filter_encode_change(void *buf, const struct kobj_filter *f, int prog_fd);
struct nlmsghdr *tc_filter_encode_delete(void *buf, const struct kobj_filter *f);
/* Asks for all filters of one hook: parent is clsact's ingress or egress. */
struct nlmsghdr *tc_filter_encode_dump(void *buf, int ifindex, uint32_t parent);
/* 0 with the name in the arena; -ENOENT: another message, or not in our range; -EINVAL: not readable. An action that is
 * not police has index 0. */
int tc_filter_decode(struct arena *a, const struct nlmsghdr *msg, struct kobj_filter *out);
/* Is it any filter at all, ours or not? The kernel also tells of preferences without one. */
bool tc_filter_is_any(const struct nlmsghdr *msg);

#endif
