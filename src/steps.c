/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steps.h"

#include <string.h>

#define V4_BITS 96 /* of ::ffff:0:0/96, in front of an IPv4 address */
#define V4_BYTE 12 /* the first byte of one */

static bool is_v4(const struct qosd_lpm *key)
{
	static const uint8_t mapped[V4_BYTE] = {[10] = 0xff, [11] = 0xff};

	return key->prefixlen >= V4_BITS && memcmp(key->addr.b, mapped, sizeof(mapped)) == 0;
}

/* A new step, all of whose entries are `at`. Returns its number. */
static uint32_t new_step(struct arena *a, struct tables_steps *s, struct qosd_place at)
{
	struct qosd_step *step = vec_add(a, s);

	for (int i = 0; i < 256; i++)
		step->at[i] = at;
	return (uint32_t)s->n - 1;
}

/* What covers a prefix was put in before it, so entries below it lead nowhere yet. */
static bool put(struct arena *a, struct tables_steps *s, const struct tables_prefix *p)
{
	uint32_t bits = p->key.prefixlen - V4_BITS, step = 0, depth = 0, first, n;

	for (; bits > 8; bits -= 8, depth++) {
		uint8_t byte = p->key.addr.b[V4_BYTE + depth];
		struct qosd_place at = s->v[step].at[byte];

		if (!(at.row & QOSD_STEP_MORE)) {
			if (s->n == STEPS_MAX)
				return false;
			at.row = QOSD_STEP_MORE | new_step(a, s, at);
			s->v[step].at[byte] = at;
		}
		step = at.row & ~QOSD_STEP_MORE;
	}
	n = 1u << (8 - bits);
	first = bits ? p->key.addr.b[V4_BYTE + depth] & ~(n - 1) & 0xff : 0;
	for (uint32_t i = 0; i < n; i++)
		s->v[step].at[first + i] = p->place;
	return true;
}

bool steps_build(struct arena *a, const struct tables_prefix *v, size_t n, struct tables_steps *out)
{
	(void)new_step(a, out, (struct qosd_place){0}); /* ::ffff:0:0/96 fills it */
	for (size_t i = 0; i < n; i++)
		if (is_v4(&v[i].key) && !put(a, out, &v[i])) {
			*out = (struct tables_steps){0};
			return false;
		}
	return true;
}

struct qosd_place steps_find(const struct tables_steps *s, const struct in6_addr *addr)
{
	struct qosd_place at = {QOSD_STEP_MORE, 0};

	for (int i = 0; at.row & QOSD_STEP_MORE; i++)
		at = s->v[at.row & ~QOSD_STEP_MORE].at[addr->s6_addr[V4_BYTE + i]];
	return at;
}
