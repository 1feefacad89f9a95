/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * diff: from what is there to what is wanted, as steps in an order in which each is valid, and whose undo is valid
 * backwards. Pure.
 *
 *   1. deletions of what must be built anew, with all that hangs on it, and of leaves under classes that get children
 *   2. creations and changes, by kind, then from the root down; qdiscs, classes and leaves tree by tree, clsact late
 *   3. deletions, backwards
 *   4. classes that have lost their children: the kernel takes their queue parameters and leaf only now
 */
#ifndef QOSD_DIFF_H
#define QOSD_DIFF_H

#include "kobj.h"

struct steps {
	VEC(struct step);
};

/* Both sets sorted. The steps point into them. clsact and other people's root qdiscs are never deleted, except that a
 * foreign root gives way where a root of ours is wanted. */
void diff_build(struct arena *a, const struct kobj_set *observed, const struct kobj_set *wanted, struct steps *out);

/* "+ ", "- ", "~ " or "! " (rebuild, with the reason) and the object; one line a step. */
void diff_describe(const struct step *s, const char *(*ifname)(void *ctx, int ifindex), void *ctx, FILE *out);

#endif
