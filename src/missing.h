/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * missing: qdiscs that programs, pacing and trees cannot do without and that are not in the kernel as they were
 * planned: somebody took them away or changed them. Only looks; what is below the root of a tree `plan` looks at.
 */
#ifndef QOSD_MISSING_H
#define QOSD_MISSING_H

#include "plan.h"

struct nl;

struct missing_qdisc {
	const struct plan_hook *hook;
	const char *text; /* "fq at the root is gone, pfifo is in its place", in the arena */
	const char *lost; /* what no packet is now: "classified", "queued" or "paced" */
};
struct missing {
	VEC(struct missing_qdisc);
};

/* Fills out, in the order of the plan. 0 or -errno; then out is empty. */
int missing_read(struct arena *a, struct nl *nl, const struct plan *plan, struct missing *out);

#endif
