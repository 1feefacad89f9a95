/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ifb: the kind of kernel object that is an ifb device of ours (struct kobj_link): ingress traffic of one interface is
 * redirected into it and shaped on its way out. Its name and its interface index come from the other interface's name,
 * its alias says whose it is, and a device that does not say so is never touched.
 */
#ifndef QOSD_IFB_H
#define QOSD_IFB_H

#include "ifb_name.h"
#include "kobj.h"

struct nl;
struct nlmsghdr;

extern const struct kobj_ops ifb_ops;

/* Two messages: the device, then its alias and whether it is up. */
struct nlmsghdr *ifb_encode_create(void *buf, const struct kobj_link *l);
struct nlmsghdr *ifb_encode_alias(void *buf, const struct kobj_link *l);
struct nlmsghdr *ifb_encode_delete(void *buf, const struct kobj_link *l);
/* Asks for all interfaces. */
struct nlmsghdr *ifb_encode_dump(void *buf);
/* An ifb with our alias, or without an alias but with the name and index that only we give (its maker was stopped
 * halfway). 0; -ENOENT: another message or device; -EINVAL: not readable. */
int ifb_decode(const struct nlmsghdr *msg, struct kobj_link *out);
/* Is the device with this index and name still one of ours? 1, 0, or -errno. */
int ifb_is_ours(struct nl *nl, const struct kobj_link *l);

#endif
