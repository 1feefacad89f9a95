/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * map_change: one pinned map on its way from before to after: made, replaced by one of another size or in another
 * slot, or removed; and back again. It holds both maps open, so that either can be pinned as long as it
 * lives. Errors are -errno.
 */
#ifndef QOSD_MAP_CHANGE_H
#define QOSD_MAP_CHANGE_H

#include "kobj.h"

struct pins;
struct map_change;

enum map_time { MAP_BEFORE, MAP_AFTER, MAP_TIMES };

/* Opens the map that is there, makes the one that is wanted; nobody sees anything yet. before or after may be NULL. The
 * objects must outlive it. */
int map_change_new(struct pins *pins, const struct kobj *before, const struct kobj *after, struct map_change **out);
/* Closes both maps; what is pinned stays. NULL is fine. */
void map_change_free(struct map_change *m);

const char *map_change_path(const struct map_change *m);
/* The map as it will be; stays the change's. -1 where there will be none. */
int map_change_fd(const struct map_change *m);
/* This entry is going to be removed from the map: it needs no room in the one that replaces it. */
void map_change_leave_out(struct map_change *m, const struct kobj_entry *e);

/* Makes it so, as it was or as it will be; all of it or nothing. A map that replaces another gets its contents first.
 * On the way back only what is measured goes along: the old map still has what was configured. */
int map_change_commit(struct map_change *m, enum map_time to);

/* Before a program comes that uses the map as it will be: programs that are attached go on with the map as it was, and
 * what they have measured since the commit is copied once more, once. */
void map_change_catch_up(struct map_change *m);

#endif
