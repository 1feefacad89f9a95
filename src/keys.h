/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * keys: the addresses that have a clock of their own in classes with `per`: read for who asks, and forgotten when they
 * were idle for the class's timeout. A key whose clock is ahead of now is not idle: it is never reset while it owes.
 */
#ifndef QOSD_KEYS_H
#define QOSD_KEYS_H

#include "../bpf/qosd_abi.h"
#include "plan.h"

struct keys;
struct shaper;

/* One key as it is now, the counters of all CPUs together. */
struct key_now {
	struct qosd_lpm key;
	uint64_t last_ns; /* of its clock, by bpf_ktime_get_ns */
	struct qosd_key_stats stats;
};

/* The shaper must outlive it. */
struct keys *keys_new(struct shaper *s);
void keys_free(struct keys *k);

/* One step of a sweep through all classes in force: looks at a few thousand keys at most. True: there is more, call it
 * again soon. */
bool keys_age(struct keys *k);

/* Has the class keys here? Not with engine tc. */
bool keys_has(const struct plan_hook *h, const struct plan_class *c);
/* Calls fn with every key of the class, in no order. 0 or -errno. */
int keys_each(struct shaper *s, const struct plan_hook *h, const struct plan_class *c,
	      void (*fn)(void *ctx, const struct key_now *key), void *ctx);
/* Packets that found no room for a key of their own. */
uint64_t keys_shared(struct shaper *s, const struct plan_hook *h, const struct plan_class *c);
struct prefix keys_prefix(const struct qosd_lpm *key);

#endif
