/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * counts: what the kernel has counted by itself, beside our programs: for our policers, for htb classes and for the
 * leaf qdiscs below them. Read once for a whole answer, then found by number. What could not be read is not there.
 */
#ifndef QOSD_COUNTS_H
#define QOSD_COUNTS_H

#include "mem.h"
#include "tc_action.h"
#include "tc_class.h"

struct counts;
struct handles_base;
struct nl;

/* In the arena. The policers of this namespace, the leaf qdiscs of all interfaces, and no htb class yet. */
struct counts *counts_read(struct arena *a, struct nl *nl);
/* Adds the classes of our htb at the root of a device, or of so many shards. */
void counts_read_htb(struct counts *c, struct nl *nl, int ifindex, uint32_t n_shards);

/* NULL: not there. */
const struct tc_action_stats *counts_policer(const struct counts *c, uint32_t index);
const struct tc_class_stats *counts_class(const struct counts *c, int ifindex, uint32_t classid);
/* Packets that the leaf below a class has dropped: those that it refused, and those that it threw away later. */
const uint32_t *counts_leaf_drops(const struct counts *c, int ifindex, uint32_t classid);

/* Takes off what the class counted for another name before. */
void counts_subtract(struct counts *c, int ifindex, uint32_t classid, const struct handles_base *base);

#endif
