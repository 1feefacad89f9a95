/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * glob: patterns for interface names: * ? [..]. No other character is special.
 */
#ifndef QOSD_GLOB_H
#define QOSD_GLOB_H

#include <stdbool.h>

/* Does s hold a wildcard? */
bool glob_is(const char *s);
/* Does the whole name fit the pattern? A pattern without wildcards fits itself. */
bool glob_match(const char *pattern, const char *name);

#endif
