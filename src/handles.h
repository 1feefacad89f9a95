/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * handles: which number a name has, kept across reloads and restarts, so that a reorder in the file moves nothing in
 * the kernel. Spaces are independent ("class wan0 ingress", "set", "police"); numbers start at the space's first.
 */
#ifndef QOSD_HANDLES_H
#define QOSD_HANDLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct handles;

struct handles *handles_new(void);
void handles_free(struct handles *h);
/* An independent copy; plan works on one and the daemon keeps it only if the apply went well. */
struct handles *handles_copy(const struct handles *h);

/* What was counted under a number before it came to the name that it has now. */
#define HANDLES_BASE 7
struct handles_base {
	uint64_t v[HANDLES_BASE];
};

/* The number of name in space; a new name takes the lowest number from first to last that nobody has. Somebody may have
 * had it before: see handles_each_new. -ENOSPC when there is none. Marks it used. */
int handles_get(struct handles *h, const char *space, const char *name, uint32_t first, uint32_t last);
/* The same, but none of the numbers whose bit, modulo 64, is set in unfit: a name that has one of them gets another. */
int handles_get_fit(struct handles *h, const char *space, const char *name, uint32_t first, uint32_t last,
		    uint64_t unfit);
/* Gives name a number of the caller's choice, which others may have too. Marks it used. */
void handles_put(struct handles *h, const char *space, const char *name, uint32_t number);
/* Gives name the number of another one that is in the table and was not asked for, which is forgotten. Marks it used.
 */
void handles_take(struct handles *h, const char *space, const char *from, const char *name);
/* What was asked for is not needed: a name that got its number since handles_copy is forgotten, others are not marked
 * used any more. */
void handles_give_back(struct handles *h, const char *space, const char *name);
/* Those that were not asked for, in no order. Good until the table changes. */
void handles_each_unused(const struct handles *h, const char *space, void (*fn)(void *ctx, const char *name),
			 void *ctx);
/* Those that got their number since handles_copy, in no order. */
void handles_each_new(const struct handles *h,
		      void (*fn)(void *ctx, const char *space, const char *name, uint32_t number), void *ctx);
/* Is anything different from what was loaded or saved last, by this table or by the one that it is a copy of? */
bool handles_changed(const struct handles *h);
/* NULL: it counts from 0. The name must be there; a number that goes to another name takes no base along. */
const struct handles_base *handles_base(const struct handles *h, const char *space, const char *name);
void handles_set_base(struct handles *h, const char *space, const char *name, const struct handles_base *base);
/* The number, or -ENOENT; marks nothing. */
int handles_find(const struct handles *h, const char *space, const char *name);
/* Forgets every name that was not asked for since handles_new, handles_load or the last handles_sweep. */
void handles_sweep(struct handles *h);

/* JSON file, written to a temporary name, synced and renamed. A missing file is an empty table. 0 or -errno;
 * -EINVAL: the file is damaged, or gives one number to two (the caller warns and starts with an empty table). */
int handles_load(struct handles *h, const char *path);
int handles_save(struct handles *h, const char *path);

#endif
