/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * schema: every key that a policy may have, as tables for bind. They are the manual: man/qosd.yaml.5 is written after
 * them.
 */
#ifndef QOSD_SCHEMA_H
#define QOSD_SCHEMA_H

#include "bind.h"

/* Reads the top level into p. root may be the keys of several files; those that an earlier file has are marked. vars:
 * was read before. Does not ask for "version", which each file needs. */
void schema_read(struct bind *b, const struct node *root, struct policy *p);

/* The value of a key of the top level, be it misspelt so that schema_read reads it all the same; or NULL. */
const struct node *schema_get(const struct bind *b, const struct node *root, const char *name);

/* Sections that map names or settings: no two files may have the same one. Ends with NULL. */
extern const char *const schema_sections[];

/* For b->all. */
extern const struct keys *const schema_tables[];
extern const size_t schema_tables_n;

#endif
