/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * maps: the geometry of every pinned map, as the BPF programs expect it (bpf/maps.bpf.h) and the planner makes it.
 * Constants only; max_entries of a set's and a hook's maps are a start, the planner sizes them.
 */
#ifndef QOSD_MAPS_H
#define QOSD_MAPS_H

#include "kobj.h"

enum map_role {
	MAP_SETS_LEARNED, /* outer maps, one slot a set */
	MAP_SETS_WRITTEN,
	MAP_SETS_PREFIXES,
	MAP_SETS_CONF, /* by slot */
	MAP_SETS_STATS,
	MAP_BYPASS,
	MAP_EVENTS,
	MAP_FORWARDS, /* by number of the rule */
	MAP_FORWARDS_STATS,
	MAP_FORWARDS_OFF,
	MAP_TARGETS, /* by slot */
	MAP_TARGETS_STATS,
	MAP_LEARNED, /* a set's own, below sets/NAME */
	MAP_WRITTEN,
	MAP_PREFIXES,
	MAP_CONF, /* a hook's own, below hooks/NAME, by class number */
	MAP_CLOCK,
	MAP_STATS,
	MAP_HOOK_STATS,
	MAP_KEY_CONF,
	MAP_KEYS,       /* outer map, one slot a class, by class number */
	MAP_CLASS_KEYS, /* a class's own, below hooks/NAME/NUMBER */
	MAP_ROLES
};

/* Everything but the path and the place in an outer map, which are "" afterwards. */
void maps_describe(enum map_role role, struct kobj_map *out);
/* MAP_KEYS and MAP_CLASS_KEYS: the value of a key has a part for each CPU. */
void maps_size_keys(struct kobj_map *m, uint32_t cpus);
/* The last part of the map's path: "sets_learned", "conf". */
const char *maps_name(enum map_role role);

#endif
