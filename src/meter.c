/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "meter.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "learn.h"
#include "mem.h"
#include "pins.h"
#include "reload.h"

#define ONES          11 /* ticks */
#define TENS          7
#define WATCHED_TICKS 60
#define SWEEP_TICKS   16
#define NO_KEY        UINT32_MAX
#define SLICE         512 /* classes that are read at once */
#define WORDS         (sizeof(struct qosd_class_stats) / sizeof(uint64_t))

/* Whose bytes; no padding, as it is hashed. */
struct id {
	uint64_t hook;   /* a digest of its path */
	uint32_t number; /* of the class */
	uint32_t bits;   /* of the key; NO_KEY: the class itself */
	struct qosd_addr addr;
};

struct metered {
	struct id id;
	struct meter_ring ring; /* last 0: a free place */
};

struct meter {
	struct shaper *shaper;
	struct meter_clock clock;
	uint64_t watched_from, watched_until; /* ticks */
	struct metered *v;                    /* a hash table of room places, a power of two */
	size_t n, room;
	size_t cpus;      /* possible ones; 0: not known */
	uint64_t *values; /* of a slice of classes */
};

struct meter *meter_new(struct shaper *s)
{
	struct meter *m = xcalloc(1, sizeof(*m));
	int cpus = libbpf_num_possible_cpus();

	m->shaper = s;
	m->cpus = cpus > 0 ? (size_t)cpus : 0;
	m->values = xcalloc(SLICE * m->cpus, WORDS * sizeof(*m->values));
	return m;
}

void meter_free(struct meter *m)
{
	if (!m)
		return;
	free(m->v);
	free(m->values);
	free(m);
}

/* ---- rings ----------------------------------------------------------------------------------------------------------
 */

void meter_clock_tick(struct meter_clock *c, uint64_t now_ns)
{
	c->tick++;
	c->one_ns[c->tick % ONES] = now_ns;
	if (c->tick % 10 == 0)
		c->ten_ns[c->tick / 10 % TENS] = now_ns;
}

void meter_ring_note(struct meter_ring *r, const struct meter_clock *c, uint64_t bytes)
{
	if (!r->last || r->last + 1 != c->tick)
		r->first = c->tick;
	r->last = c->tick;
	r->one[c->tick % ONES] = bytes;
	if (c->tick % 10 == 0)
		r->ten[c->tick / 10 % TENS] = bytes;
}

static uint64_t since(const struct meter_ring *r, const struct meter_clock *c, uint64_t bytes, uint64_t then_ns)
{
	uint64_t now = r->one[c->tick % ONES], ns = c->one_ns[c->tick % ONES] - then_ns;

	/* Counters that were made anew begin at 0 again. */
	return now > bytes && ns ? (uint64_t)((unsigned __int128)(now - bytes) * 8000000000u / ns) : 0;
}

/* Over so many ticks, or as many as there are. */
static uint64_t over_ones(const struct meter_ring *r, const struct meter_clock *c, uint64_t ticks)
{
	uint64_t from = c->tick - r->first < ticks ? r->first : c->tick - ticks;

	return since(r, c, r->one[from % ONES], c->one_ns[from % ONES]);
}

bool meter_ring_rates(const struct meter_ring *r, const struct meter_clock *c, uint64_t bps[METER_WINDOWS])
{
	uint64_t oldest = c->tick > 60 ? c->tick - 60 : 0, from;

	if (r->last != c->tick || r->first == r->last)
		return false;
	bps[0] = over_ones(r, c, 1);
	bps[1] = over_ones(r, c, 10);
	from = r->first > oldest ? r->first : oldest;
	from = (from + 9) / 10 * 10; /* what is remembered that far back */
	/* The last ten say more than fewer. */
	bps[2] = from + 10 >= c->tick ? bps[1] : since(r, c, r->ten[from / 10 % TENS], c->ten_ns[from / 10 % TENS]);
	return true;
}

/* ---- whose ----------------------------------------------------------------------------------------------------------
 */

static struct id id_of(const struct plan_hook *h, uint32_t number, const struct qosd_lpm *key)
{
	struct id id = {.hook = digest_bytes(DIGEST_START, h->path, strlen(h->path)), .number = number, .bits = NO_KEY};

	if (key) {
		id.bits = key->prefixlen;
		id.addr = key->addr;
	}
	return id;
}

/* Where it is, or would be. There is always a free place. */
static struct metered *place(const struct meter *m, const struct id *id)
{
	size_t at = digest_bytes(DIGEST_START, id, sizeof(*id)) & (m->room - 1);

	while (m->v[at].ring.last && memcmp(&m->v[at].id, id, sizeof(*id)) != 0)
		at = (at + 1) & (m->room - 1);
	return &m->v[at];
}

/* Into a table of another size, without those that were not seen at the last tick. */
static void rebuild(struct meter *m, size_t room)
{
	struct metered *old = m->v;
	size_t n = m->room;

	m->v = xcalloc(room, sizeof(*m->v));
	m->room = room;
	m->n = 0;
	for (size_t i = 0; i < n; i++) {
		if (!old[i].ring.last || old[i].ring.last + 1 < m->clock.tick)
			continue;
		*place(m, &old[i].id) = old[i];
		m->n++;
	}
	free(old);
}

static void note(struct meter *m, const struct id *id, uint64_t bytes)
{
	struct metered *at;

	if (m->n + 1 > m->room / 2)
		rebuild(m, m->room ? m->room * 2 : 256);
	at = place(m, id);
	if (!at->ring.last) {
		if (id->bits != NO_KEY && m->n >= METER_KEYS_MAX)
			return;
		at->id = *id;
		m->n++;
	}
	meter_ring_note(&at->ring, &m->clock, bytes);
}

bool meter_rates(const struct meter *m, const struct plan_hook *h, uint32_t number, const struct qosd_lpm *key,
		 uint64_t bps[METER_WINDOWS])
{
	struct id id;

	memset(bps, 0, METER_WINDOWS * sizeof(*bps));
	if (!m->room || !h->path)
		return false;
	id = id_of(h, number, key);
	return meter_ring_rates(&place(m, &id)->ring, &m->clock, bps);
}

/* ---- reading --------------------------------------------------------------------------------------------------------
 */

struct of_class {
	struct meter *m;
	const struct plan_hook *h;
	uint32_t number;
};

static void note_key(void *ctx, const struct key_now *key)
{
	const struct of_class *c = ctx;
	struct id id = id_of(c->h, c->number, &key->key);

	note(c->m, &id, key->stats.bytes);
}

/* Notes n classes, of which values has WORDS for each CPU. */
static void note_classes(struct meter *m, const struct plan_hook *h, const uint32_t *numbers, const uint64_t *values,
			 uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t bytes = 0;

		for (size_t cpu = 0; cpu < m->cpus; cpu++)
			bytes += values[(i * m->cpus + cpu) * WORDS + 1];
		if (bytes) {
			struct id id = id_of(h, numbers[i], NULL);

			note(m, &id, bytes);
		}
	}
}

/* All classes of the hook, so many a call: of 10,000 there are megabytes for each possible CPU. */
static void tick_classes(struct meter *m, const struct plan_hook *h)
{
	uint32_t numbers[SLICE], position, *from = NULL;
	char path[128];
	int map, err = 0;

	if (!m->cpus || snprintf(path, sizeof(path), "%s/stats", h->path) >= (int)sizeof(path))
		return;
	map = pins_map(shaper_pins(m->shaper), path);
	if (map < 0)
		return;
	for (uint32_t read = 0, n = SLICE; !err && read < h->room && n; read += n) {
		n = SLICE;
		err = bpf_map_lookup_batch(map, from, &position, numbers, m->values, &n, NULL);
		if (!err || err == -ENOENT) /* after the last */
			note_classes(m, h, numbers, m->values, n);
		from = &position;
	}
}

void meter_tick(struct meter *m)
{
	const struct reload_result *now = shaper_current(m->shaper);

	meter_clock_tick(&m->clock, learn_now_ns());
	for (size_t i = 0; now && i < now->plan->hooks.n; i++) {
		const struct plan_hook *h = &now->plan->hooks.v[i];

		if (!h->hook || !h->path)
			continue;
		tick_classes(m, h);
		for (size_t c = 0; c < h->n_classes && m->clock.tick < m->watched_until; c++) {
			struct of_class of = {m, h, h->classes[c].number};

			if (keys_has(h, &h->classes[c]))
				(void)keys_each(m->shaper, h, &h->classes[c], note_key, &of); /* again in a second */
		}
	}
	if (m->room && m->clock.tick % SWEEP_TICKS == 0)
		rebuild(m, m->n < m->room / 8 && m->room > 256 ? m->room / 2 : m->room);
}

bool meter_watch_keys(struct meter *m)
{
	if (m->clock.tick >= m->watched_until)
		m->watched_from = m->clock.tick;
	m->watched_until = m->clock.tick + WATCHED_TICKS;
	return m->clock.tick >= m->watched_from + 2;
}
