/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * bpf_map: the two kinds of kernel object that are a BPF map (struct kobj_map) and a configured entry of one (struct
 * kobj_entry): made, observed, filled, copied. Where a map is pinned is not known here. Fds stay the caller's; errors
 * are -errno.
 */
#ifndef QOSD_BPF_MAP_H
#define QOSD_BPF_MAP_H

#include "kobj.h"

extern const struct kobj_ops bpf_map_ops, bpf_entry_ops;

/* Begins the name, as bpftool shows it, of every map made here: "pin.conf". By it a program's pinned maps are told from
 * its own. A map made for a slot of an outer map has the slot at its name's end, "pin.learned.3": to look through an
 * outer map for it would cost an RCU grace period a slot (Linux before 6.8). */
#define BPF_MAP_NAME_PREFIX "pin."
bool bpf_map_slot(const char *name, uint32_t *slot);

/* Makes a map that nobody sees yet. Its fd. */
int bpf_map_make(const struct kobj_map *m);
/* Type, sizes and flags of a map as the kernel has them, its id and name too where they are not NULL (name has room for
 * BPF_OBJ_NAME_LEN). path, outer, slot and the inner_* of an outer map are left zero. */
int bpf_map_observe(int fd, struct kobj_map *out, uint32_t *id, char *name);

/* Puts the map into the outer map's slot; fd -1 empties the slot, empty or not before. */
int bpf_map_set_slot(int outer_fd, uint32_t slot, int fd);
/* Calls fn with every entry, by key as memcmp sorts them. An array's values of nothing but zeros are no entries. key
 * and value are good until fn returns. Stops at fn's first negative return. Tells expect, if it is not NULL, before how
 * many there are in a map that is no array. */
int bpf_map_each(int fd, void (*expect)(void *ctx, size_t n), int (*fn)(void *ctx, const void *key, const void *value),
		 void *ctx);
/* Writes one entry, new or not. */
int bpf_map_put(int fd, const struct kobj_entry *e);
/* Writes n entries of one map; *done says how many are written when it fails. */
int bpf_map_put_many(int fd, const struct kobj_entry *const *e, size_t n, size_t *done);
/* Is the entry there with this value; or, not there, is it not? In an array nothing but zeros is not there. */
bool bpf_map_has(int fd, const struct kobj_entry *e, bool there);
/* An array's entry is 0 then, on every CPU. Not written where it is already. 0 or -errno. */
int bpf_map_reset(int fd, uint32_t key);
/* Deletes all entries of a hash. */
int bpf_map_clear(int fd);
/* Deletes an entry, which may be gone already; in an array zeros are written. */
int bpf_map_remove(int fd, const struct kobj_entry *e);

/* Fills the map `to` with what is in `from`, per-CPU values too, as far as it fits: of learned addresses (by_age) the
 * ones seen last, of an array the lower numbers. leave_out, if not NULL, says which keys not to copy. A ring buffer has
 * nothing to copy. */
int bpf_map_copy(int from, int to, bool by_age, bool (*leave_out)(void *ctx, const void *key), void *ctx);

#endif
