/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "glob.h"

#include <fnmatch.h>
#include <string.h>

bool glob_is(const char *s)
{
	return strpbrk(s, "*?[") != NULL;
}

bool glob_match(const char *pattern, const char *name)
{
	return fnmatch(pattern, name, FNM_NOESCAPE) == 0;
}
