/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * digest: a 64 bit number that stands for bytes, to see whether two things are equal without keeping both. Not for
 * adversaries.
 */
#ifndef QOSD_DIGEST_H
#define QOSD_DIGEST_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DIGEST_START 0xcbf29ce484222325ull

static inline uint64_t digest_word(uint64_t h, uint64_t w)
{
	h = (h ^ w) * 0x9fb21c651e98df25ull;
	return h ^ h >> 32;
}

/* The digest of what h stands for with n bytes at p behind it. */
static inline uint64_t digest_bytes(uint64_t h, const void *p, size_t n)
{
	const unsigned char *b = p;
	uint64_t w = 0;
	size_t i = 0;

	for (; i + sizeof(w) <= n; i += sizeof(w)) {
		memcpy(&w, b + i, sizeof(w));
		h = digest_word(h, w);
	}
	w = 0;
	if (i < n)
		memcpy(&w, b + i, n - i);
	return digest_word(digest_word(h, w), n);
}

#endif
