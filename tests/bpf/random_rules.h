/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * random_rules: rules and packets that often meet, for tests that compare two ways of matching. The same seed gives the
 * same.
 */
#ifndef QOSD_RANDOM_RULES_H
#define QOSD_RANDOM_RULES_H

#include "rules.h"

struct random {
	uint64_t state; /* the seed; not 0 */
};

/* 0 .. n - 1 */
uint32_t random_below(struct random *r, uint32_t n);

/* n rules of mostly 1 to 4 literals on fields of `fields` (bits 1 << enum field), now and then many that differ in one
 * address only. Classes are from classes[1 ..
 * n_classes - 1], sets sets[0 .. n_sets - 1], interfaces "1" .. "3". */
struct rules *random_rules(struct arena *a, struct random *r, size_t n, uint32_t fields, struct model_class *classes,
			   uint32_t n_classes, struct model_set *sets, uint32_t n_sets);

/* A packet that can be built: ports with TCP, UDP and SCTP, now and then a fragment. */
struct packet_fields random_packet(struct random *r);

/* What it is, for a failure's message. */
const char *packet_fields_text(const struct packet_fields *p);

/* Does the set, which is only its number here, have the address? */
bool random_in_set(uint32_t slot, const struct in6_addr *addr);

#endif
