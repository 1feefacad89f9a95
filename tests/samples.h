/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * samples: random qdiscs and htb trees for tests, from a seed, each together with the words with which tc would make
 * it.
 */
#ifndef QOSD_TESTS_SAMPLES_H
#define QOSD_TESTS_SAMPLES_H

#include "caps.h"
#include "kobj.h"

struct sampler {
	uint64_t seed;           /* not 0 */
	const struct caps *caps; /* leaves are of kinds that are there; NULL: of all */
	struct qdisc_device dev;
};

/* 0 to n - 1. */
uint32_t sample(struct sampler *s, uint32_t n);
/* With some parameters set to something; finished. words (of size bytes) gets the kind and those parameters for tc. */
void sample_qdisc(struct sampler *s, enum qdisc_kind kind, struct qdisc *q, char *words, size_t size);
/* A root htb on the interface, up to max classes in at most eight levels, leaves under all that have no children.
 * Sorted. Commands for tc -batch, with the name of another interface, go to batch unless that is NULL. */
void sample_tree(struct sampler *s, struct arena *a, int ifindex, uint32_t max, struct kobj_set *out, FILE *batch,
		 const char *other);
/* The same below an mq, one htb for each of so many queues, max classes of all together. */
void sample_shards(struct sampler *s, struct arena *a, int ifindex, uint32_t shards, uint32_t max, struct kobj_set *out,
		   FILE *batch, const char *other);

#endif
