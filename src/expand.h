/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * expand: the classes of a policy with their templates merged in, still as written: rates are not yet of a direction,
 * names of sets not yet looked up. Lives in the arena.
 */
#ifndef QOSD_EXPAND_H
#define QOSD_EXPAND_H

#include "names.h"
#include "policy.h"

/* One class. keys.classes and keys.use mean nothing any more: the children are the merged ones. */
struct expanded {
	struct w_class keys;
	const struct expanded *parent; /* NULL for a class at the top of its policy */
	struct expanded *children;
	size_t n_children;
	bool incomplete; /* a template of it could not be used, which was told: what seems missing may be in there */
};

struct expanded_policy {
	const struct w_policy *written;
	struct expanded *classes;
	size_t n_classes;
	size_t n_all;       /* of the whole tree */
	struct names names; /* class name -> struct expanded */
	bool whole;         /* false: too deep or too many, so the tree is cut off */
};

struct expander;

/* Merges the templates of p among themselves; what is wrong with them goes to d. */
struct expander *expand_new(struct arena *a, struct diag *d, const struct policy *p);
/* names is hushed where a class has no name that could be read. Unknown templates, duplicate and missing class names,
 * too deep and too many: told to d. */
struct expanded_policy *expand_policy(struct expander *e, const struct w_policy *w);

#endif
