/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prog.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../bpf/qosd.skel.h"
#include "digest.h"
#include "maps.h"

/* ---- what stands for a program
 * ---------------------------------------------------------------------------------------- */

static const char *const kind_names[] = {
	[PROG_CLASSIFY] = "classify",
	[PROG_CLASSIFY_NEIGHBOR] = "classify_neighbor",
	[PROG_CLASSIFY_WAN] = "classify_wan",
	[PROG_FORWARD] = "forward",
	[PROG_PASS] = "pass",
};

uint64_t prog_build_id(void)
{
	size_t n;
	const void *elf = qosd__elf_bytes(&n);

	return digest_bytes(DIGEST_START, elf, n);
}

/* A sum, so that the order of the fence does not matter. */
static uint64_t fence_digest(const struct prog_spec *spec)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < spec->n_fence; i++) {
		uint64_t h = digest_bytes(DIGEST_START, &spec->fence[i].addr, sizeof(spec->fence[i].addr));

		sum += digest_word(digest_word(h, spec->fence[i].bits), spec->fence_slot[i]);
	}
	return sum;
}

uint64_t prog_digest(const struct prog_spec *spec, uint64_t build_id)
{
	uint64_t h = digest_word(build_id, spec->kind);

	h = digest_bytes(h, &spec->conf, sizeof(spec->conf));
	h = digest_word(h, spec->tables ? tables_digest(spec->tables) : 0);
	h = digest_word(h, fence_digest(spec));
	return digest_bytes(h, spec->hook_path, spec->hook_path ? strlen(spec->hook_path) : 0);
}

const char *prog_filter_name(struct arena *a, const struct prog_spec *spec, uint64_t build_id)
{
	return arena_printf(a, "%s [%016llx]", kind_names[spec->kind], (unsigned long long)prog_digest(spec, build_id));
}

/* ---- why a load failed
 * ------------------------------------------------------------------------------------------------- */

#define VERIFIER_LOG \
	(16 << 20) /* too small a buffer would hide the verifier's errno; only a refusal touches its pages */

/* libbpf has one printer for the whole process; the first thing it says while a program is loaded is kept here. */
static struct {
	char text[1024];
} said;

__attribute__((format(printf, 2, 0))) static int keep_words(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level != LIBBPF_DEBUG && !said.text[0])
		(void)vsnprintf(said.text, sizeof(said.text), fmt, ap);
	return 0;
}

/* The verifier's last lines, or what else libbpf or we said. */
static void explain(const char *verifier, char *log, size_t log_size)
{
	const char *text = verifier && verifier[0] ? verifier : said.text;
	size_t n = strlen(text);

	while (n && text[n - 1] == '\n')
		n--;
	if (!log_size)
		return;
	if (n > log_size - 1) {
		text += n - (log_size - 1);
		n = log_size - 1;
	}
	memcpy(log, text, n);
	log[n] = 0;
}

/* ---- the maps: pinned ones are taken, a program's own are sized
 * ---------------------------------------------------------- */

static int take_map(struct bpf_map *map, const char *path, prog_map_fd map_fd, void *ctx)
{
	int fd = map_fd(ctx, path);
	int err = fd < 0 ? -ENOENT : bpf_map__reuse_fd(map, fd);

	if (err)
		(void)snprintf(said.text, sizeof(said.text), "the map %s cannot be used: %s", path, strerror(-err));
	return err ? err : bpf_map__set_autocreate(map, true);
}

static int take_shared_maps(struct qosd *o, prog_map_fd map_fd, void *ctx)
{
	const struct {
		struct bpf_map *map;
		enum map_role role;
	} maps[] = {
		{o->maps.bypass, MAP_BYPASS},
		{o->maps.sets_learned, MAP_SETS_LEARNED},
		{o->maps.sets_written, MAP_SETS_WRITTEN},
		{o->maps.sets_prefixes, MAP_SETS_PREFIXES},
		{o->maps.sets_conf, MAP_SETS_CONF},
		{o->maps.sets_stats, MAP_SETS_STATS},
		{o->maps.events, MAP_EVENTS},
	};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(maps) / sizeof(maps[0]); i++)
		err = take_map(maps[i].map, maps_name(maps[i].role), map_fd, ctx);
	return err;
}

static int take_forward_maps(struct qosd *o, prog_map_fd map_fd, void *ctx)
{
	const struct {
		struct bpf_map *map;
		enum map_role role;
	} maps[] = {
		{o->maps.forwards, MAP_FORWARDS},           {o->maps.forwards_stats, MAP_FORWARDS_STATS},
		{o->maps.forwards_off, MAP_FORWARDS_OFF},   {o->maps.targets, MAP_TARGETS},
		{o->maps.targets_stats, MAP_TARGETS_STATS},
	};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(maps) / sizeof(maps[0]); i++)
		err = take_map(maps[i].map, maps_name(maps[i].role), map_fd, ctx);
	return err;
}

static int take_hook_maps(struct qosd *o, const char *hook_path, bool keyed, prog_map_fd map_fd, void *ctx)
{
	const struct {
		struct bpf_map *map;
		enum map_role role;
	} maps[] = {
		{o->maps.conf, MAP_CONF},         {o->maps.clock, MAP_CLOCK},
		{o->maps.stats, MAP_STATS},       {o->maps.hook_stats, MAP_HOOK_STATS},
		{o->maps.key_conf, MAP_KEY_CONF}, {o->maps.keys, MAP_KEYS},
	};
	size_t n = sizeof(maps) / sizeof(maps[0]) - (keyed ? 0 : 2);
	char path[256];
	int err = 0;

	for (size_t i = 0; !err && i < n; i++) {
		if (!hook_path) {
			err = bpf_map__set_autocreate(maps[i].map, true);
			continue;
		}
		if (snprintf(path, sizeof(path), "%s/%s", hook_path, maps_name(maps[i].role)) >= (int)sizeof(path))
			return -ENAMETOOLONG;
		err = take_map(maps[i].map, path, map_fd, ctx);
	}
	return err;
}

/* A map of the program's own that is filled once and then frozen. */
struct own_map {
	struct bpf_map *map;
	const void *keys; /* NULL: 0, 1, 2 .. */
	const void *values;
	size_t n, key_step, value_step; /* from one to the next, in bytes */
};

#define OWN_MAPS_MAX 12

struct own_maps {
	struct own_map v[OWN_MAPS_MAX];
	size_t n;
};

/* An empty one is made too (with room for one entry) where the program asks it all the same. */
static int own_map(struct own_maps *own, struct own_map m)
{
	int err = bpf_map__set_autocreate(m.map, true);

	if (!err)
		err = bpf_map__set_max_entries(m.map, m.n ? (uint32_t)m.n : 1);
	own->v[own->n++] = m;
	return err;
}

static int fill_array(int fd, const struct own_map *m)
{
	uint32_t n = (uint32_t)m->n, *keys = xcalloc(m->n + 1, sizeof(*keys));
	int err;

	for (uint32_t i = 0; i < n; i++)
		keys[i] = i;
	err = n && bpf_map_update_batch(fd, keys, m->values, &n, NULL) ? -errno : 0;
	free(keys);
	return err;
}

/* A batch wants keys and values packed. */
static int fill_keys(int fd, const struct own_map *m)
{
	size_t key_size = bpf_map__key_size(m->map), value_size = bpf_map__value_size(m->map);
	char *keys = xcalloc(m->n, key_size), *values = xcalloc(m->n, value_size);
	uint32_t n = (uint32_t)m->n;
	int err;

	for (size_t i = 0; i < m->n; i++) {
		memcpy(keys + i * key_size, (const char *)m->keys + i * m->key_step, key_size);
		memcpy(values + i * value_size, (const char *)m->values + i * m->value_step, value_size);
	}
	err = n && bpf_map_update_batch(fd, keys, values, &n, NULL) ? -errno : 0;
	free(keys);
	free(values);
	return err;
}

static int fill_own_maps(const struct own_maps *own)
{
	for (size_t i = 0; i < own->n; i++) {
		const struct own_map *m = &own->v[i];
		int fd = bpf_map__fd(m->map);
		int err = m->keys ? fill_keys(fd, m) : fill_array(fd, m);

		if (!err && bpf_map_freeze(fd))
			err = -errno;
		if (err) {
			(void)snprintf(said.text, sizeof(said.text), "the map %s cannot be filled: %s",
				       bpf_map__name(m->map), strerror(-err));
			return err;
		}
	}
	return 0;
}

/* ---- loading
 * ------------------------------------------------------------------------------------------------------------- */

/* What is put together for one load, and freed after it. */
struct load {
	const struct prog_spec *spec;
	struct qosd *o;
	struct own_maps own;
	uint64_t *rows; /* conf.words a row */
	void *new_key;
	struct qosd_fence *fence;
	uint32_t *fence_values;
};

static struct bpf_program *wanted_program(const struct load *l)
{
	switch (l->spec->kind) {
	case PROG_CLASSIFY: return l->o->progs.classify;
	case PROG_CLASSIFY_NEIGHBOR: return l->o->progs.classify_neighbor;
	case PROG_CLASSIFY_WAN: return l->o->progs.classify_wan;
	case PROG_FORWARD: return l->o->progs.forward;
	case PROG_PASS: return l->o->progs.pass;
	}
	abort();
}

static int own_fence(struct load *l)
{
	const struct prog_spec *spec = l->spec;

	l->fence = xcalloc(spec->n_fence + 1, sizeof(*l->fence));
	l->fence_values = xcalloc(spec->n_fence + 1, sizeof(*l->fence_values));
	for (size_t i = 0; i < spec->n_fence; i++) {
		l->fence[i].prefixlen = 32u + spec->fence[i].bits;
		l->fence[i].slot = spec->fence_slot[i];
		memcpy(&l->fence[i].addr, &spec->fence[i].addr, sizeof(l->fence[i].addr));
		for (uint32_t s = 0; s < spec->conf.learn_n; s++)
			if (spec->conf.learn_slot[s] == spec->fence_slot[i])
				l->o->rodata->fenced |= 1u << s;
	}
	return own_map(&l->own, (struct own_map){l->o->maps.fence, l->fence, l->fence_values, spec->n_fence,
						 sizeof(*l->fence), sizeof(*l->fence_values)});
}

static int own_rows(struct load *l, const struct tables *t)
{
	uint32_t words = t->conf.words;
	int err = bpf_map__set_value_size(l->o->maps.rows, words * sizeof(uint64_t));

	if (err)
		return err;
	l->rows = xcalloc(t->rows.n + 1, words * sizeof(uint64_t));
	for (size_t i = 0; i < t->rows.n; i++)
		memcpy(l->rows + i * words, t->rows.v[i].w, words * sizeof(uint64_t));
	return own_map(&l->own, (struct own_map){.map = l->o->maps.rows, .values = l->rows, .n = t->rows.n});
}

static int own_steps(struct load *l, struct bpf_map *map, const struct tables_steps *s)
{
	return s->n ? own_map(&l->own, (struct own_map){.map = map, .values = s->v, .n = s->n}) : 0;
}

/* The IPv4 ones, which are the last, are left out where there are steps for them. */
static int own_prefixes(struct load *l, struct bpf_map *map, const struct tables_prefix *v, size_t n, bool has_steps)
{
	static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};

	while (has_steps && n && v[n - 1].key.prefixlen >= 96 && memcmp(v[n - 1].key.addr.b, v4, sizeof(v4)) == 0)
		n--;
	return n ? own_map(&l->own, (struct own_map){map, &v->key, &v->place, n, sizeof(*v), sizeof(*v)}) : 0;
}

/* One entry that is a whole table. */
static int own_table(struct load *l, struct bpf_map *map, const void *table)
{
	return table ? own_map(&l->own, (struct own_map){.map = map, .values = table, .n = 1}) : 0;
}

/* Maps of fields that no rule asks about are not made: the program's code for them is unreachable. */
static int own_tables(struct load *l, const struct tables *t)
{
	struct own_map rules = {.map = l->o->maps.rules, .values = t->rules, .n = t->n_rules};
	int err = own_rows(l, t);

	err = err ? err : own_map(&l->own, rules);
	err = err ? err : own_table(l, l->o->maps.small_index, t->small);
	err = err ? err : own_table(l, l->o->maps.sport_index, t->sport);
	err = err ? err : own_table(l, l->o->maps.dport_index, t->dport);
	err = err ? err : own_table(l, l->o->maps.length_index, t->length);
	err = err ? err : own_prefixes(l, l->o->maps.src_index, t->src.v, t->src.n, t->src_steps.n > 0);
	err = err ? err : own_prefixes(l, l->o->maps.dst_index, t->dst.v, t->dst.n, t->dst_steps.n > 0);
	err = err ? err : own_steps(l, l->o->maps.src_steps, &t->src_steps);
	return err ? err : own_steps(l, l->o->maps.dst_steps, &t->dst_steps);
}

/* What a key begins with: zeros, as many as a key's value has. */
static int own_new_key(struct load *l)
{
	uint32_t cpus = (uint32_t)libbpf_num_possible_cpus();
	size_t size = QOSD_KEY_SIZE(cpus);
	int err;

	if (!l->spec->conf.keyed)
		return 0;
	l->o->rodata->cpus = cpus;
	l->new_key = xcalloc(1, size);
	err = bpf_map__set_value_size(l->o->maps.new_key, (uint32_t)size);
	err = err ? err : bpf_map__set_autocreate(l->o->maps.key_scratch, true);
	return err ? err : own_table(l, l->o->maps.new_key, l->new_key);
}

static int put_together(struct load *l, prog_map_fd map_fd, void *ctx)
{
	static const struct tables no_rules = {.conf.words = 1};
	const struct tables *t = l->spec->tables ? l->spec->tables : &no_rules;
	struct bpf_program *prog;
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_program(prog, l->o->obj)(void)
		bpf_program__set_autoload(prog, prog == wanted_program(l)); /* fails only once loaded */
	bpf_object__for_each_map(map, l->o->obj) if (map != l->o->maps.rodata)(void)
		bpf_map__set_autocreate(map, false); /* fails only once loaded */
	l->o->rodata->hook = l->spec->conf;
	l->o->rodata->table = t->conf;
	switch (l->spec->kind) {
	case PROG_CLASSIFY:
		err = take_hook_maps(l->o, l->spec->hook_path, l->spec->conf.keyed, map_fd, ctx);
		err = err ? err : own_tables(l, t);
		err = err ? err : own_new_key(l);
		/* fall through */
	case PROG_CLASSIFY_NEIGHBOR:
		err = err ? err : take_shared_maps(l->o, map_fd, ctx);
		err = err ? err : bpf_map__set_autocreate(l->o->maps.jiffy_time, true);
		err = err ? err : bpf_map__set_autocreate(l->o->maps.noted, l->spec->conf.learn_n > 0);
		err = err ? err : bpf_map__set_autocreate(l->o->maps.exempt_clock, l->spec->kind == PROG_CLASSIFY);
		err = err ? err : own_fence(l);
		break;
	case PROG_FORWARD:
		err = take_forward_maps(l->o, map_fd, ctx);
		err = err ? err : take_shared_maps(l->o, map_fd, ctx);
		err = err ? err : bpf_map__set_autocreate(l->o->maps.routed, true);
		err = err ? err : bpf_map__set_autocreate(l->o->maps.jiffy_time, true);
		err = err ? err : own_tables(l, t);
		break;
	case PROG_CLASSIFY_WAN:
	case PROG_PASS: break;
	}
	return err;
}

int prog_load(const struct prog_spec *spec, prog_map_fd map_fd, void *ctx, char *log, size_t log_size)
{
	libbpf_print_fn_t printer = libbpf_set_print(keep_words);
	struct load l = {.spec = spec};
	char *verifier = NULL;
	int err = 0, fd = -1;

	said.text[0] = 0;
	l.o = qosd__open();
	if (!l.o) {
		err = -errno;
		goto out;
	}
	err = put_together(&l, map_fd, ctx);
	if (err)
		goto out;
	verifier = xmalloc(VERIFIER_LOG);
	verifier[0] = 0;
	err = bpf_program__set_log_buf(wanted_program(&l), verifier, VERIFIER_LOG);
	err = err ? err : qosd__load(l.o);
	err = err ? err : fill_own_maps(&l.own);
	if (err)
		goto out;
	fd = fcntl(bpf_program__fd(wanted_program(&l)), F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		err = -errno;
out:
	if (err)
		explain(verifier, log, log_size);
	qosd__destroy(l.o);
	free(verifier);
	free(l.rows);
	free(l.new_key);
	free(l.fence);
	free(l.fence_values);
	libbpf_set_print(printer);
	return err ? err : fd;
}
