/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * show: what is in force, as the answers of `qosctl show` and `qosctl stats`: names from the plan, figures from the
 * kernel's maps and policers. Changes nothing. Every answer is a new JSON object (or one with "error"), the caller's.
 * Absent keys are unknown, not zero.
 *
 *   policy        files: [file, text]; in_force: a sentence, where they are not what the policy file was last
 *   effective     effective: canonical YAML with everything that was computed
 *   interfaces    interfaces: a row a hook; in_force as above; warning: while bypass is on
 *   classes       hooks: [interface, .., classes: the tree, "depth" is the row's place in it]
 *   filters       objects: [kind, object: in tc's words, for, where: FILE:LINE:COL]
 *   sets          sets: [name, .., counters, addresses: one row each]
 *   capabilities  kernel, capabilities
 *   keys          keyed_classes: [interface, direction, class, count, max, .., keys: [key, counters, idle_ms]]
 *   forward       as fastpath_show
 *   bypass        bypass: BOOL
 *   history       history: [number, time, who, source, is: ["in force", ..], left_ms]
 */
#ifndef QOSD_SHOW_H
#define QOSD_SHOW_H

#include <jansson.h>

struct learn;
struct meter;
struct shaper;

/* A sentence that warns of it while bypass is on, else "". */
const char *show_bypassed(struct shaper *s);
/* args: {"what": .., "name": SET}. */
json_t *show_answer(struct shaper *s, struct learn *l, const json_t *args);
/* bypass, hooks: [.., counters, classes: [name, counters]], sets: counters. */
json_t *show_stats(struct shaper *s, struct learn *l, const struct meter *m);
/* The classes and keys with the most of sort, "rate", "drops" or "delay", and their rates: top: [..]. Or only wait_ms,
 * after which to ask again, where keys have not been looked at before. */
json_t *show_top(struct shaper *s, struct learn *l, struct meter *m, size_t n, const char *sort);

#endif
