/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * world: for tests of kernel objects: a network namespace, a bpffs and all that is opened in them, new for every case;
 * the objects that are wanted there, and the way to the kernel and back. Everything here ends the case when it fails.
 */
#ifndef QOSD_TESTS_WORLD_H
#define QOSD_TESTS_WORLD_H

#include "kernel.h"
#include "nl.h"
#include "pins.h"

struct world {
	struct arena *a;
	struct nl *nl;
	struct pins *pins;
	struct kernel *k;
	char dir[64], pin_dir[80];
	struct kobj_set want;
	int ifindex; /* of the interface that everything is put on: lo, or what a test sets */
	const char *ifname;
};

/* For cmocka: the case's state is a world, which the process enters; there is no way back into the old one. */
int world_set_up(void **state);
int world_tear_down(void **state);

/* Another wanted object, all zeros but its kind. */
struct kobj *world_want(struct world *w, enum kobj_kind kind);

/* What is in the kernel. */
struct kobj_set world_observe(struct world *w);
/* Says on stderr in what they differ. */
void world_assert_same(struct world *w, const struct kobj_set *seen, const struct kobj_set *expected);
/* From what there is to what is wanted; may fail, as apply_steps. */
int world_try_apply(struct world *w, struct applied **done, struct refusal *why);
struct applied *world_apply(struct world *w);
/* And what is there then is what was wanted. */
void world_apply_and_keep(struct world *w);
void world_revert(struct applied *done);

/* Commands for a shell in the world. What one prints is in a buffer that the next one uses. */
void world_run(const char *command);
const char *world_output(const char *command);
void assert_contains(const char *text, const char *part);

#endif
