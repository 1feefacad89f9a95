/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * replaced: root qdiscs of other people that ours took the place of (`takeover: replace`), kept in
 * STATE_DIR/replaced.json, so that they come back where the policy lets go of an interface, or qosd takes everything of
 * its own away. One that cannot be made again as it was is remembered only to be named.
 */
#ifndef QOSD_REPLACED_H
#define QOSD_REPLACED_H

#include "kobj.h"
#include "links.h"

struct nl;
struct replaced;

/* Nothing was replaced yet. */
struct replaced *replaced_new(void);
struct replaced *replaced_copy(const struct replaced *r);
void replaced_free(struct replaced *r);
bool replaced_same(const struct replaced *a, const struct replaced *b);

/* 0 or -errno; a missing file is nothing, and so is what was written before the machine was started. -EINVAL: the file
 * is damaged; then there is nothing either. */
int replaced_load(struct replaced *r, const char *path);
int replaced_save(const struct replaced *r, const char *path);

/* Adds what is going to be replaced where wanted comes: roots in observed that are not ours and must give way, but on
 * an ifb of ours. Looks closely at all of them, and marks those in observed that could not be made again. Where there
 * are such among those that it adds, *warning says which (arena), otherwise it is left alone. 0 or -errno. */
int replaced_note(struct replaced *r, struct arena *a, struct nl *nl, const struct links *links,
		  struct kobj_set *observed, const struct kobj_set *wanted, const char **warning);
/* Adds to wanted, unsorted then, what must come back: where our root goes and none is wanted. */
void replaced_want(const struct replaced *r, struct arena *a, const struct links *links,
		   const struct kobj_set *observed, struct kobj_set *wanted);
/* wanted is what is there now: forgets what is back, and what was on an interface that is gone. */
void replaced_settle(struct replaced *r, const struct kobj_set *wanted);

#endif
