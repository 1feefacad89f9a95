/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * names: which thing a name stands for. One table a kind of thing; lives in the arena and borrows the names.
 */
#ifndef QOSD_NAMES_H
#define QOSD_NAMES_H

#include "diag.h"
#include "mem.h"

struct name {
	const char *name;
	void *thing;
};

struct names {
	const char *kind; /* "set", for messages */
	bool hushed;      /* some could not be read, which was told: nobody is to blame for using one that is missing */
	struct {
		VEC(struct name);
	} all;
	const char **sorted; /* for text_closest */
};

/* A NULL name is passed over: its absence was told where it was read. */
void names_add(struct arena *a, struct names *n, const char *name, void *thing);
/* After the last names_add and before the first look-up. Of equal names the first added is found. */
void names_seal(struct arena *a, struct names *n);
/* NULL if there is none. */
void *names_find(const struct names *n, const char *name);
/* The same, and tells d what it might have meant, unless hushed. */
void *names_resolve(const struct names *n, struct diag *d, struct pos pos, const char *name);

#endif
