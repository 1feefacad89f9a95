/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * reuse: numbers that go from one name to another, without what was counted or owed under them.
 */
#ifndef QOSD_REUSE_H
#define QOSD_REUSE_H

#include "diff.h"
#include "plan.h"

struct nl;
struct pins;

/* Before an apply: what the maps have measured under numbers that names of h get now is gone. Nobody in the kernel uses
 * those numbers. */
void reuse_reset(struct pins *pins, const struct handles *h);

/* What htb has counted up to now in classes that go from one name to another in place is remembered as the base of the
 * new one. Before an apply and, as counting goes on until then, behind it. */
void reuse_read_bases(struct nl *nl, const struct plan *plan, struct handles *h);
/* After an apply: classes and leaves that the kernel made anew count from 0. */
void reuse_drop_bases(const struct plan *plan, struct handles *h, const struct steps *steps);

/* What struct handles_base has, in its order. */
enum reuse_count {
	REUSE_BYTES,
	REUSE_PACKETS,
	REUSE_DROPS,
	REUSE_OVERLIMITS,
	REUSE_LENDS,
	REUSE_BORROWS,
	REUSE_LEAF_DROPS,
	REUSE_COUNTS
};

#endif
