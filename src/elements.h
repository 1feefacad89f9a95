/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * elements: live edits of sets (`qosctl set NAME add`), remembered in STATE_DIR/elements.json so that reloads and
 * restarts keep them.
 */
#ifndef QOSD_ELEMENTS_H
#define QOSD_ELEMENTS_H

#include "plan.h"

struct elements_store;

/* An empty store that will be saved at path. */
struct elements_store *elements_new(const char *path);
void elements_free(struct elements_store *s);
/* 0 or -errno; a missing file is an empty store, -EINVAL a damaged one (the store is then empty). */
int elements_load(struct elements_store *s);
int elements_save(const struct elements_store *s);

/* -EEXIST if it is there with the same rates; other rates replace. */
int elements_add(struct elements_store *s, const char *set, const struct prefix *p, uint64_t up_Bps, uint64_t down_Bps);
/* -ENOENT if it is not there. */
int elements_del(struct elements_store *s, const char *set, const struct prefix *p);
/* All at once, none twice in v (whose set is not looked at): new ones, and other rates of those that are there. */
void elements_add_many(struct elements_store *s, const char *set, const struct plan_live *v, size_t n);
/* Forgets all of the set; how many. */
size_t elements_flush(struct elements_store *s, const char *set);
/* A store of its own with the same in it, to go back to. */
struct elements_store *elements_copy(const struct elements_store *s);
const struct plan_live *elements_find(const struct elements_store *s, const char *set, const struct prefix *p);

/* All of them, the store's own, by set and prefix. */
struct plan_live *elements_all(const struct elements_store *s, size_t *n);

#endif
