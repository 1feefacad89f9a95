/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "map_change.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf_map.h"
#include "pins.h"

struct map_change {
	struct pins *pins;
	const char *path;
	bool measured;
	struct {
		const struct kobj_map *map;
		int fd; /* -1: there is no map at this time */
		uint32_t id;
	} at[MAP_TIMES];
	bool caught_up;                    /* map_change_catch_up was here since the last commit */
	int occupant;                      /* the map that was in the slot that this one is going to take; -1: none */
	const struct kobj_entry **leaving; /* entries that are going to be removed */
	size_t n_leaving, room;
};

/* ---- before anything is seen
 * ------------------------------------------------------------------------------------------ */

static int own_fd(int fd)
{
	int copy = fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return fd >= 0 && copy < 0 ? -errno : copy;
}

static int hold(struct map_change *m, enum map_time time, const struct kobj_map *map, int fd)
{
	struct kobj_map seen;

	if (fd < 0)
		return fd;
	m->at[time].fd = fd;
	m->at[time].map = map;
	return bpf_map_observe(fd, &seen, &m->at[time].id, NULL);
}

/* The map in a slot, or -1. */
static int open_occupant(struct pins *pins, const struct kobj_map *map)
{
	int outer = *map->outer ? pins_map(pins, map->outer) : -1;
	uint32_t id;

	/* An outer map that is only being made is empty. */
	if (outer < 0 || bpf_map_lookup_elem(outer, &map->slot, &id) < 0)
		return -1;
	return bpf_map_get_fd_by_id(id);
}

/* The map that replaces another of the same slot pushes it out and needs no more looking. */
static bool keeps_slot(const struct map_change *m)
{
	const struct kobj_map *x = m->at[MAP_BEFORE].map, *y = m->at[MAP_AFTER].map;

	return x && y && !strcmp(x->outer, y->outer) && x->slot == y->slot;
}

int map_change_new(struct pins *pins, const struct kobj *before, const struct kobj *after, struct map_change **out)
{
	const struct kobj *any = after ? after : before;
	struct map_change *m = xcalloc(1, sizeof(*m));
	int err = 0;

	m->pins = pins;
	m->path = any->map.path;
	m->measured = any->measured;
	m->at[MAP_BEFORE].fd = m->at[MAP_AFTER].fd = m->occupant = -1;
	if (before)
		err = hold(m, MAP_BEFORE, &before->map, own_fd(pins_map(pins, m->path)));
	if (!err && after)
		err = hold(m, MAP_AFTER, &after->map, bpf_map_make(&after->map));
	if (!err && after && !keeps_slot(m))
		m->occupant = open_occupant(pins, &after->map);
	if (err) {
		map_change_free(m);
		m = NULL;
	}
	*out = m;
	return err;
}

void map_change_free(struct map_change *m)
{
	if (!m)
		return;
	for (int time = 0; time < MAP_TIMES; time++)
		if (m->at[time].fd >= 0)
			(void)close(m->at[time].fd); /* pins and programs hold what they use */
	if (m->occupant >= 0)
		(void)close(m->occupant); /* likewise */
	free(m->leaving);
	free(m);
}

const char *map_change_path(const struct map_change *m)
{
	return m->path;
}

int map_change_fd(const struct map_change *m)
{
	return m->at[MAP_AFTER].fd;
}

void map_change_leave_out(struct map_change *m, const struct kobj_entry *e)
{
	if (m->n_leaving == m->room) {
		m->room = m->room ? 2 * m->room : 64;
		m->leaving = xrealloc(m->leaving, m->room * sizeof(const struct kobj_entry *));
	}
	m->leaving[m->n_leaving++] = e;
}

/* ---- slots of outer maps
 * ---------------------------------------------------------------------------------------------- */

static int take_slot(const struct map_change *m, enum map_time time)
{
	const struct kobj_map *map = m->at[time].map;
	int outer;

	if (!*map->outer)
		return 0;
	outer = pins_map(m->pins, map->outer);
	return outer < 0 ? outer : bpf_map_set_slot(outer, map->slot, m->at[time].fd);
}

/* Empties the slot, or gives it back to whom it was taken from; unless another map has taken it meanwhile. */
static int leave_slot(const struct map_change *m, enum map_time time)
{
	const struct kobj_map *map = m->at[time].map;
	uint32_t id;
	int outer;

	if (!*map->outer)
		return 0;
	outer = pins_map(m->pins, map->outer);
	if (outer < 0)
		return outer == -ENOENT ? 0 : outer;
	if (bpf_map_lookup_elem(outer, &map->slot, &id) < 0 || id != m->at[time].id)
		return 0;
	return bpf_map_set_slot(outer, map->slot, time == MAP_AFTER ? m->occupant : -1);
}

/* ---- contents
 * ---------------------------------------------------------------------------------------------------------- */

static int cmp_key(const void *a, const void *b)
{
	const struct kobj_entry *x = *(const struct kobj_entry *const *)a, *y = *(const struct kobj_entry *const *)b;

	return memcmp(x->key, y->key, x->key_size);
}

static bool is_leaving(void *ctx, const void *key)
{
	const struct map_change *m = ctx;
	struct kobj_entry wanted = {0};
	const struct kobj_entry *p = &wanted;

	if (!m->n_leaving)
		return false;
	wanted.key_size = m->leaving[0]->key_size;
	memcpy(wanted.key, key, wanted.key_size);
	return bsearch(&p, m->leaving, m->n_leaving, sizeof(p), cmp_key);
}

static int copy_contents(struct map_change *m, enum map_time from, enum map_time to)
{
	bool by_age = m->measured && m->at[to].map->type == BPF_MAP_TYPE_HASH;

	if (to == MAP_BEFORE && !m->measured)
		return 0;
	if (m->n_leaving)
		qsort(m->leaving, m->n_leaving, sizeof(*m->leaving), cmp_key);
	return bpf_map_copy(m->at[from].fd, m->at[to].fd, by_age, is_leaving, m);
}

/* ---- the three ways
 * ------------------------------------------------------------------------------------------------------ */

/* Where a way fails in the middle its beginning is taken back. Should that fail as well, the next reload finds what is
 * left and repairs it. */

static int add(struct map_change *m, enum map_time to)
{
	int err = pins_put(m->pins, m->path, m->at[to].fd);

	if (err)
		return err;
	err = take_slot(m, to);
	if (err)
		(void)pins_remove(m->pins, m->path);
	return err;
}

static int drop(struct map_change *m, enum map_time from)
{
	int err = leave_slot(m, from);

	if (err)
		return err;
	err = pins_remove(m->pins, m->path);
	if (!err || err == -ENOENT)
		return 0;
	(void)take_slot(m, from);
	return err;
}

static int replace(struct map_change *m, enum map_time from, enum map_time to)
{
	int err = copy_contents(m, from, to);

	if (!err)
		err = take_slot(m, to);
	if (err)
		return err;
	err = pins_replace(m->pins, m->path, m->at[to].fd);
	if (!err)
		return keeps_slot(m) ? 0 : leave_slot(m, from);
	(void)leave_slot(m, to);
	(void)take_slot(m, from);
	return err;
}

void map_change_catch_up(struct map_change *m)
{
	/* What has a slot was taken by all programs at once; and what is in the slots of a map of maps by now may be
	 * new. */
	if (m->caught_up || !m->measured || m->at[MAP_BEFORE].fd < 0 || m->at[MAP_AFTER].fd < 0 ||
	    *m->at[MAP_AFTER].map->outer || m->at[MAP_AFTER].map->type == BPF_MAP_TYPE_ARRAY_OF_MAPS)
		return;
	m->caught_up = true;
	(void)copy_contents(m, MAP_BEFORE, MAP_AFTER); /* what was copied first is there */
}

int map_change_commit(struct map_change *m, enum map_time to)
{
	enum map_time from = to == MAP_AFTER ? MAP_BEFORE : MAP_AFTER;

	m->caught_up = false;
	if (m->at[from].fd < 0)
		return add(m, to);
	if (m->at[to].fd < 0)
		return drop(m, from);
	return replace(m, from, to);
}
