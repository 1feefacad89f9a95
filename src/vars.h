/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * vars: ${NAME} inside scalars, from the vars: of all files. Lives in the arena.
 */
#ifndef QOSD_VARS_H
#define QOSD_VARS_H

#include "node.h"

struct var {
	const char *name;
	struct pos pos; /* of the value */
	const char *value;
};

struct vars {
	VEC(struct var);
	size_t budget;      /* bytes that replacing may still make */
	const char **names; /* for text_closest */
};

void vars_init(struct vars *vars);
/* One key of vars:. Mistakes are told to d. */
void vars_add(struct arena *a, struct vars *vars, struct diag *d, const struct node_pair *pair);
/* After the last vars_add, before the first vars_replace. */
void vars_seal(struct arena *a, struct vars *vars);
/* The text of a scalar with each ${NAME} replaced; the scalar's own where there is none. *used: the last one, or NULL.
 * NULL: told to d. */
const char *vars_replace(struct arena *a, struct vars *vars, struct diag *d, const struct node *scalar,
			 const struct var **used);

#endif
