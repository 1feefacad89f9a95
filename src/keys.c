/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "learn.h"
#include "log.h"
#include "mem.h"
#include "pins.h"
#include "reload.h"

#define BATCH_BYTES (1u << 20) /* of values that are read at once */
#define BATCH_MOST  4096u

/* Keys of one map, some at a time. */
struct reader {
	int map;
	size_t value_size;
	uint32_t room, n; /* keys */
	uint32_t position;
	bool begun, ended;
	struct qosd_lpm *keys;
	char *values;
};

struct keys {
	struct shaper *shaper;
	size_t nth; /* keyed class of the plan, where the sweep is */
	uint32_t position;
	bool begun; /* position means something */
};

struct keys *keys_new(struct shaper *s)
{
	struct keys *k = xcalloc(1, sizeof(*k));

	k->shaper = s;
	return k;
}

void keys_free(struct keys *k)
{
	free(k);
}

bool keys_has(const struct plan_hook *h, const struct plan_class *c)
{
	return h->hook && h->engine != ENGINE_TC && c->cls->per.key;
}

struct prefix keys_prefix(const struct qosd_lpm *key)
{
	struct prefix p = {.bits = key->prefixlen > 128 ? 128 : (uint8_t)key->prefixlen};

	memcpy(&p.addr, &key->addr, sizeof(p.addr));
	p.v4 = p.bits >= 96 && IN6_IS_ADDR_V4MAPPED(&p.addr);
	return p;
}

/* ---- reading --------------------------------------------------------------------------------------------------------
 */

static int map_of(struct shaper *s, const struct plan_hook *h, const struct plan_class *c)
{
	char path[128];

	if (snprintf(path, sizeof(path), "%s/%u/keys", h->path, c->number) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return pins_map(shaper_pins(s), path);
}

static int reader_open(struct reader *r, int map)
{
	int cpus = libbpf_num_possible_cpus();

	*r = (struct reader){.map = map};
	if (map < 0 || cpus < 0)
		return map < 0 ? map : cpus;
	r->value_size = QOSD_KEY_SIZE((size_t)cpus);
	r->room = BATCH_BYTES / (uint32_t)r->value_size;
	r->room = r->room > BATCH_MOST ? BATCH_MOST : r->room < 16 ? 16 : r->room;
	r->keys = xcalloc(r->room, sizeof(*r->keys));
	r->values = xcalloc(r->room, r->value_size);
	return 0;
}

static void reader_close(struct reader *r)
{
	free(r->keys);
	free(r->values);
}

/* The next keys, r->n of them. 0 or -errno; r->ended after the last. */
static int reader_next(struct reader *r)
{
	int err;

	do {
		uint32_t n = r->room;

		err = bpf_map_lookup_batch(r->map, r->begun ? &r->position : NULL, &r->position, r->keys, r->values, &n,
					   NULL);
		r->n = err && err != -ENOENT ? 0 : n;
		if (err == -ENOSPC && r->room < 1u << 22) { /* a bucket of the hash has more */
			r->room *= 2;
			r->keys = xrealloc(r->keys, r->room * sizeof(*r->keys));
			r->values = xrealloc(r->values, r->room * r->value_size);
			continue;
		}
		break;
	} while (true);
	r->begun = true;
	r->ended = err != 0;
	return err == -ENOENT ? 0 : err;
}

static struct key_now key_at(const struct reader *r, uint32_t i)
{
	const char *value = r->values + i * r->value_size;
	const struct qosd_class_clock *clock = (const void *)value;
	const struct qosd_key_stats *each = (const void *)(value + sizeof(*clock));
	size_t cpus = (r->value_size - sizeof(*clock)) / sizeof(*each);
	struct key_now now = {.key = r->keys[i], .last_ns = clock->last_ns};

	for (size_t cpu = 0; cpu < cpus; cpu++) {
		now.stats.packets += each[cpu].packets;
		now.stats.bytes += each[cpu].bytes;
		now.stats.drop_packets += each[cpu].drop_packets;
		now.stats.drop_bytes += each[cpu].drop_bytes;
		now.stats.mark_packets += each[cpu].mark_packets;
		now.stats.delay_ns += each[cpu].delay_ns;
	}
	return now;
}

int keys_each(struct shaper *s, const struct plan_hook *h, const struct plan_class *c,
	      void (*fn)(void *ctx, const struct key_now *key), void *ctx)
{
	struct reader r;
	int err = reader_open(&r, map_of(s, h, c));

	while (!err && !r.ended) {
		err = reader_next(&r);
		for (uint32_t i = 0; !err && i < r.n; i++) {
			struct key_now now = key_at(&r, i);

			fn(ctx, &now);
		}
	}
	reader_close(&r);
	return err;
}

uint64_t keys_shared(struct shaper *s, const struct plan_hook *h, const struct plan_class *c)
{
	struct qosd_class_clock clock;
	char path[128];
	int map;

	if (snprintf(path, sizeof(path), "%s/clock", h->path) >= (int)sizeof(path))
		return 0;
	map = pins_map(shaper_pins(s), path);
	return map >= 0 && bpf_map_lookup_elem(map, &c->number, &clock) == 0 ? clock.shared_packets : 0;
}

/* ---- ageing ---------------------------------------------------------------------------------------------------------
 */

/* The nth class in force that has keys which age, or NULL. */
static const struct plan_class *nth_class(struct keys *k, const struct plan_hook **hook)
{
	const struct reload_result *now = shaper_current(k->shaper);
	size_t n = k->nth;

	for (size_t i = 0; now && i < now->plan->hooks.n; i++) {
		*hook = &now->plan->hooks.v[i];
		for (size_t c = 0; c < (*hook)->n_classes; c++)
			if (keys_has(*hook, &(*hook)->classes[c]) && (*hook)->classes[c].cls->per.timeout_ns && !n--)
				return &(*hook)->classes[c];
	}
	return NULL;
}

static bool is_idle(uint64_t last_ns, uint64_t timeout_ns)
{
	return learn_age_ns(learn_now_ns(), last_ns) > timeout_ns;
}

/* It may have sent again since it was read. */
static bool forget(const struct reader *r, uint32_t i, uint64_t timeout_ns)
{
	char *value = xcalloc(1, r->value_size);
	bool idle = bpf_map_lookup_elem(r->map, &r->keys[i], value) == 0 &&
		    is_idle(((const struct qosd_class_clock *)(const void *)value)->last_ns, timeout_ns);

	free(value);
	return idle && bpf_map_delete_elem(r->map, &r->keys[i]) == 0;
}

static void next_class(struct keys *k)
{
	k->nth++;
	k->begun = false;
}

bool keys_age(struct keys *k)
{
	const struct plan_hook *h = NULL;
	const struct plan_class *c = nth_class(k, &h);
	unsigned forgotten = 0;
	struct reader r;
	int err;

	if (!c) {
		k->nth = 0;
		k->begun = false;
		return false;
	}
	err = reader_open(&r, map_of(k->shaper, h, c));
	r.begun = k->begun;
	r.position = k->position;
	if (!err)
		err = reader_next(&r); /* of a map that was replaced meanwhile the rest is looked at the next time */
	for (uint32_t i = 0; !err && i < r.n; i++)
		if (is_idle(key_at(&r, i).last_ns, c->cls->per.timeout_ns))
			forgotten += forget(&r, i, c->cls->per.timeout_ns);
	if (forgotten)
		log_debug("%u keys of class %s of %s were idle", forgotten, c->cls->name, h->ifname);
	if (err && err != -ENOENT)
		log_warning("cannot age the keys of class %s of %s: %s", c->cls->name, h->ifname, strerror(-err));
	k->position = r.position;
	k->begun = true;
	if (err || r.ended)
		next_class(k);
	reader_close(&r);
	return true;
}
