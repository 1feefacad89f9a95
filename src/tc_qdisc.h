/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * tc_qdisc: the kind of kernel object that is a clsact qdisc (struct kobj_qdisc), between its struct and rtnetlink
 * messages. It sends nothing. Encoders write into buf of NL_MSG_MAX bytes and return it.
 */
#ifndef QOSD_TC_QDISC_H
#define QOSD_TC_QDISC_H

#include "kobj.h"

struct nlmsghdr;

extern const struct kobj_ops tc_qdisc_ops;

struct nlmsghdr *tc_qdisc_encode_create(void *buf, const struct kobj_qdisc *q);
struct nlmsghdr *tc_qdisc_encode_delete(void *buf, const struct kobj_qdisc *q);
/* Asks for the qdiscs of all interfaces. */
struct nlmsghdr *tc_qdisc_encode_dump(void *buf);
/* A clsact or an ingress qdisc, which has clsact's place. 0; -ENOENT: another message or qdisc; -EINVAL: not readable.
 */
int tc_qdisc_decode(const struct nlmsghdr *msg, struct kobj_qdisc *out);

#endif
