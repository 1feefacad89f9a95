/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * runs: which rules of a hook can share one bit of the classifier, see struct run in rules.h. Pure; lives in the arena.
 */
#ifndef QOSD_RUNS_H
#define QOSD_RUNS_H

#include "rules.h"

#define RUN_LEAST 8 /* rules: what is shorter is not worth a lookup's answer */

/* Fills in r->runs, the longest one of each address field. */
void runs_find(struct arena *a, struct rules *r);

/* The bits that the rules take. */
size_t runs_bits(const struct rules *r);
/* The run that the rule is in, or NULL. */
const struct run *runs_of(const struct rules *r, size_t rule);
/* The rule of the run that has a prefix which contains p, or -1. */
long runs_rule_at(const struct run *run, const struct prefix *p);

#endif
