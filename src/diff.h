/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * diff: from what is there to what is wanted, as steps in an order in which each is valid: creations and changes by
 * kind, then deletions by kind backwards. Pure.
 */
#ifndef QOSD_DIFF_H
#define QOSD_DIFF_H

#include "kobj.h"

struct steps {
	VEC(struct step);
};

/* Both sets sorted. The steps point into them. clsact is never deleted; it is shared. */
void diff_build(struct arena *a, const struct kobj_set *observed, const struct kobj_set *wanted, struct steps *out);

/* "+ ", "- ", "~ " or "! " (rebuild, with the reason) and the object; one line a step. */
void diff_describe(const struct step *s, const char *(*ifname)(void *ctx, int ifindex), void *ctx, FILE *out);

#endif
