/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * qdisc_codec: struct qdisc as the attributes TCA_KIND and TCA_OPTIONS of a message, and back. What the kernel dumps
 * after an add decodes to what was added.
 */
#ifndef QOSD_QDISC_CODEC_H
#define QOSD_QDISC_CODEC_H

#include "qdisc.h"

struct nlattr;
struct nlmsghdr;

/* Appends kind and options, whole. create: also what the kernel takes only then. */
void qdisc_encode(struct nlmsghdr *msg, const struct qdisc *q, bool create);
/* options may be NULL. A kind that is none of ours becomes QDISC_OTHER. 0, or -EINVAL where options that must be there
 * are not. */
int qdisc_decode(const char *kind, const struct nlattr *options, struct qdisc *out);
/* Does struct qdisc hold all that the options of a dump say? Newer kernels tell more than it knows. */
bool qdisc_is_whole(enum qdisc_kind kind, const struct nlattr *options);

#endif
