/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * steps: the IPv4 prefixes of an address index by the four bytes of an address, for the classifier: four lookups in
 * arrays at most, however many prefixes there are and however they nest. Pure; lives in the arena.
 */
#ifndef QOSD_STEPS_H
#define QOSD_STEPS_H

#include "tables.h"

#define STEPS_MAX 16384 /* 32 MB of the kernel's memory; addresses so scattered are left to the trie */

/* From prefixes as tables_build sorts them, of which the IPv4 ones are the last and ::ffff:0:0/96 is among them. Fills
 * in out->v and n. False: more than STEPS_MAX, and out is empty. */
bool steps_build(struct arena *a, const struct tables_prefix *v, size_t n, struct tables_steps *out);

/* Where the longest prefix that covers the address ends. */
struct qosd_place steps_find(const struct tables_steps *s, const struct in6_addr *addr);

#endif
