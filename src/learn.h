/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * learn: the daemon's side of learned addresses. The programs put addresses into the sets' maps; this ages them out,
 * makes room where a set evicts, and keeps them over a reboot in STATE_DIR/learned.json. It never touches an element
 * that was written. Nothing here runs by itself: the daemon calls each verb when its time has come.
 */
#ifndef QOSD_LEARN_H
#define QOSD_LEARN_H

#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bpf/qosd_abi.h"
#include "model.h"

struct learn;
struct shaper;

/* Called before the shaper's first run: remembers which sets have learned addresses already, so that learn_restore
 * leaves those alone. The shaper must outlive it. */
struct learn *learn_new(struct shaper *s);
void learn_free(struct learn *l);

/* After every run that was applied: finds the maps again. */
void learn_follow(struct learn *l);
/* Puts what the state directory remembers into the sets whose maps are new, as long as it is within the set's timeout
 * (by the wall clock), max and fence. How many addresses, or -errno; a file that is not there is 0, -EINVAL is a
 * damaged one. */
int learn_restore(struct learn *l);
/* Writes the state directory's learned.json. 0 or -errno. */
int learn_save(struct learn *l);
/* Deletes what its set's timeout has passed. How many. */
unsigned learn_age(struct learn *l);

/* Readable when the programs ask for room; -1 where there is no ring. Good until the next learn_follow. */
int learn_events_fd(const struct learn *l);
/* Reads a burst of those events and makes room, once for each set: memory is bounded by the burst, whatever comes. To
 * be called at most every LEARN_EVENTS_MS. */
#define LEARN_EVENTS_MS 100
void learn_events(struct learn *l);

/* Addresses of the set that made room for others, since the daemon runs. */
uint64_t learn_evicted(const struct learn *l, const char *set);
/* Deletes one learned address. 0, -ENOENT or -errno. */
int learn_forget(struct learn *l, const char *set, const struct prefix *p);
/* fd of the set's learned map, the pins' own, or -errno. */
int learn_map(struct learn *l, const char *set);
/* Calls fn for every entry of a learned map, which it may delete, until it returns non-zero; returns that, 0, or
 * -errno. */
int learn_each(int map, int (*fn)(void *ctx, const struct qosd_addr *a, const struct qosd_learned *e), void *ctx);
/* CLOCK_MONOTONIC, which bpf_ktime_get_ns is. */
uint64_t learn_now_ns(void);

/* ---- pure ---- */

/* Time since then. A stamp that another CPU made just after now is 0 old; an age from before this boot is fine. */
uint64_t learn_age_ns(uint64_t now_ns, uint64_t then_ns);
/* Bits of enum qosd_how as ["ip", "arp"]. */
json_t *learn_how(uint32_t how);
struct prefix learn_prefix(const struct qosd_addr *a);

/* The entries seen longest ago, of any number offered one by one. room of them are kept in v, which is the caller's. */
struct learn_oldest {
	struct learn_seen {
		struct qosd_addr addr;
		uint64_t age_ns;
	} * v;
	size_t n, room;
};
void learn_oldest_offer(struct learn_oldest *o, const struct qosd_addr *a, uint64_t age_ns);

/* How many of n wanted newcomers are let into a map of max entries at once: a quarter, so that a flood of strangers
 * pushes out one another and not those who are seen all the time. */
size_t learn_room(size_t n, uint32_t max);

/* One address as it is kept over a reboot. */
struct learn_kept {
	struct qosd_addr addr;
	uint64_t age_ns;   /* since last seen */
	uint64_t known_ns; /* since first seen */
	uint32_t how;
	char ifname[IFNAMSIZ]; /* "": unknown */
};
json_t *learn_kept_encode(const struct learn_kept *k);
/* 0 or -EINVAL. */
int learn_kept_decode(const json_t *j, struct learn_kept *out);

/* From the list of a file, what may go back into this set after elapsed_ns: the youngest max ones within timeout and
 * fence, youngest first. *out is malloced. How many, or -EINVAL. */
int learn_select(const json_t *list, const struct model_set *set, uint64_t elapsed_ns, struct learn_kept **out);

#endif
