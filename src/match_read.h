/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * match_read: a match item, or a list of them, from nodes to a struct match_list. Names of sets and services are not
 * looked up.
 */
#ifndef QOSD_MATCH_READ_H
#define QOSD_MATCH_READ_H

#include "bind.h"

bind_fn match_read; /* struct match_list, NULL */
extern const struct keys match_read_keys;

#endif
