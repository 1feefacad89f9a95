/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * state: the kernel objects that are there and ours, by dump. Read anew for every plan; never remembered.
 */
#ifndef QOSD_STATE_H
#define QOSD_STATE_H

#include "kobj.h"
#include "links.h"

struct nl;
struct pins;

/* Fills out (sorted, strings in the arena): filters in our preferences and police actions in our index range, clsact or
 * ingress qdiscs of every link, root qdiscs that somebody put there, the classes and leaves below ours, our ifb
 * devices, the maps below the pin directory, and the entries of those maps that are configured. 0 or -errno with a
 * sentence in *why (arena). */
int state_read(struct arena *a, struct nl *nl, struct pins *pins, const struct links *links, struct kobj_set *out,
	       const char **why);

/* Entries are configured, not measured, in maps of these names: written prefixes (below sets/), conf, sets_conf. In
 * arrays (conf, sets_conf) an all-zero value is no entry. */
bool state_is_configured(const char *path);

#endif
