/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "handles.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "mem.h"

#define FORMAT_VERSION 1
#define NUMBER_MAX     65535 /* where each is one name's */

/* A name and its number, in the chain of its hash bucket. */
struct handle {
	struct handle *next;
	struct space *space;
	char *name;
	uint32_t number;
	bool used;
	bool new;                  /* it got its number after the copy was made */
	struct handles_base *base; /* NULL: none */
};

struct space {
	struct space *next;
	char *name;
	size_t n;           /* names */
	uint64_t *taken;    /* a bit for each number that somebody has; NULL: not known */
	size_t n_taken;     /* words */
	struct space *twin; /* of the copy that is being made */
};

struct handles {
	struct space *spaces;
	struct handle **buckets;
	size_t n_buckets;
	size_t n;
	bool changed;
};

static uint32_t hash(const char *space, const char *name)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (; *space; space++)
		h = (h ^ (unsigned char)*space) * 16777619u;
	h = (h ^ 0xff) * 16777619u;
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h;
}

struct handles *handles_new(void)
{
	struct handles *h = xcalloc(1, sizeof(*h));

	h->n_buckets = 64;
	h->buckets = xcalloc(h->n_buckets, sizeof(*h->buckets));
	return h;
}

static void free_handle(struct handle *e)
{
	free(e->name);
	free(e->base);
	free(e);
}

static void forget_taken(struct space *s)
{
	free(s->taken);
	s->taken = NULL;
	s->n_taken = 0;
}

static void free_space(struct space *s)
{
	forget_taken(s);
	free(s->name);
	free(s);
}

static void forget_all(struct handles *h)
{
	for (size_t i = 0; i < h->n_buckets; i++) {
		for (struct handle *e = h->buckets[i], *next; e; e = next) {
			next = e->next;
			free_handle(e);
		}
		h->buckets[i] = NULL;
	}
	for (struct space *s = h->spaces, *next; s; s = next) {
		next = s->next;
		free_space(s);
	}
	h->spaces = NULL;
	h->n = 0;
}

void handles_free(struct handles *h)
{
	if (!h)
		return;
	forget_all(h);
	free(h->buckets);
	free(h);
}

static struct space *find_space(const struct handles *h, const char *name)
{
	struct space *s = h->spaces;

	while (s && strcmp(s->name, name) != 0)
		s = s->next;
	return s;
}

static struct space *add_space(struct handles *h, const char *name)
{
	struct space *s = xcalloc(1, sizeof(*s));

	s->name = xstrdup(name);
	s->next = h->spaces;
	h->spaces = s;
	return s;
}

/* Of a thousand hooks there are thousands. Names come by hook, so the one that was asked for last is the first. */
static struct space *get_space(struct handles *h, const char *name)
{
	struct space **at = &h->spaces, *s;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	s = *at;
	if (!s)
		return add_space(h, name);
	*at = s->next;
	s->next = h->spaces;
	h->spaces = s;
	return s;
}

static struct handle *find(const struct handles *h, const char *space, const char *name)
{
	struct handle *e = h->buckets[hash(space, name) % h->n_buckets];

	while (e && (strcmp(e->name, name) != 0 || strcmp(e->space->name, space) != 0))
		e = e->next;
	return e;
}

static void grow(struct handles *h)
{
	size_t n = h->n_buckets * 2;
	struct handle **buckets = xcalloc(n, sizeof(*buckets));

	for (size_t i = 0; i < h->n_buckets; i++) {
		for (struct handle *e = h->buckets[i], *next; e; e = next) {
			size_t b = hash(e->space->name, e->name) % n;

			next = e->next;
			e->next = buckets[b];
			buckets[b] = e;
		}
	}
	free(h->buckets);
	h->buckets = buckets;
	h->n_buckets = n;
}

static void mark_taken(struct space *s, uint32_t number)
{
	size_t word = number / 64;

	if (word >= s->n_taken) {
		size_t n = word + 1 > 2 * s->n_taken ? word + 1 : 2 * s->n_taken;

		s->taken = xrealloc(s->taken, n * sizeof(*s->taken));
		memset(s->taken + s->n_taken, 0, (n - s->n_taken) * sizeof(*s->taken));
		s->n_taken = n;
	}
	s->taken[word] |= 1ull << number % 64;
}

static bool is_taken(const struct space *s, uint32_t number)
{
	return number / 64 < s->n_taken && s->taken[number / 64] >> number % 64 & 1;
}

static struct handle *add(struct handles *h, struct space *s, const char *name, uint32_t number)
{
	struct handle *e = xcalloc(1, sizeof(*e));
	size_t b;

	if (h->n >= h->n_buckets)
		grow(h);
	b = hash(s->name, name) % h->n_buckets;
	e->space = s;
	e->name = xstrdup(name);
	e->number = number;
	e->next = h->buckets[b];
	h->buckets[b] = e;
	h->n++;
	s->n++;
	if (s->taken)
		mark_taken(s, number);
	return e;
}

static void set_base(struct handle *e, const struct handles_base *base)
{
	free(e->base);
	e->base = NULL;
	if (base)
		e->base = memcpy(xmalloc(sizeof(*base)), base, sizeof(*base));
}

struct handles *handles_copy(const struct handles *h)
{
	struct handles *copy = handles_new();

	for (struct space *s = h->spaces; s; s = s->next)
		s->twin = add_space(copy, s->name);
	for (size_t i = 0; i < h->n_buckets; i++) {
		for (const struct handle *e = h->buckets[i]; e; e = e->next) {
			struct handle *c = add(copy, e->space->twin, e->name, e->number);

			c->used = e->used;
			set_base(c, e->base);
		}
	}
	copy->changed = h->changed;
	return copy;
}

static void none_taken(struct space *s)
{
	mark_taken(s, 0);
	s->taken[0] = 0;
}

static void find_taken(const struct handles *h, struct space *s)
{
	none_taken(s);
	for (size_t b = 0; s->n && b < h->n_buckets; b++)
		for (const struct handle *e = h->buckets[b]; e; e = e->next)
			if (e->space == s)
				mark_taken(s, e->number);
}

static bool is_unfit(uint32_t number, uint64_t unfit)
{
	return unfit >> number % 64 & 1;
}

/* The lowest number that no name of the space has. */
static int lowest_free(const struct handles *h, struct space *s, uint32_t first, uint32_t last, uint64_t unfit)
{
	uint32_t number = first;

	if (!s->taken)
		find_taken(h, s);
	while (number <= last && (is_taken(s, number) || is_unfit(number, unfit)))
		number += is_taken(s, number) && (s->taken[number / 64] | unfit) == ~0ull ? 64 - number % 64 : 1;
	return number <= last ? (int)number : -ENOSPC;
}

static struct handle *add_new(struct handles *h, struct space *s, const char *name, uint32_t number)
{
	struct handle *e = add(h, s, name, number);

	e->used = e->new = h->changed = true;
	return e;
}

static void set_number(struct handle *e, uint32_t number)
{
	e->number = number;
	e->new = true;
	set_base(e, NULL);
}

int handles_get(struct handles *h, const char *space, const char *name, uint32_t first, uint32_t last)
{
	return handles_get_fit(h, space, name, first, last, 0);
}

int handles_get_fit(struct handles *h, const char *space, const char *name, uint32_t first, uint32_t last,
		    uint64_t unfit)
{
	struct handle *e = find(h, space, name);
	bool fits = e && !is_unfit(e->number, unfit);
	struct space *s;
	int number;

	if (fits && e->number >= first && e->number <= last) {
		e->used = true;
		return (int)e->number;
	}
	if (fits)
		return -ENOSPC;
	s = get_space(h, space);
	number = lowest_free(h, s, first, last, unfit);
	if (number < 0)
		return number;
	if (!e) {
		(void)add_new(h, s, name, (uint32_t)number);
		return number;
	}
	set_number(e, (uint32_t)number);
	e->used = h->changed = true;
	mark_taken(s, (uint32_t)number); /* what it had is not free before the numbers are looked at again */
	return number;
}

void handles_put(struct handles *h, const char *space, const char *name, uint32_t number)
{
	struct handle *e = find(h, space, name);

	if (!e) {
		(void)add_new(h, get_space(h, space), name, number);
		return;
	}
	e->used = true;
	if (e->number == number)
		return;
	set_number(e, number);
	h->changed = true;
	forget_taken(e->space);
}

static void forget(struct handles *h, struct handle **at)
{
	struct handle *e = *at;

	*at = e->next;
	e->space->n--;
	forget_taken(e->space);
	free_handle(e);
	h->n--;
	h->changed = true;
}

static struct handle **place_of(struct handles *h, const char *space, const char *name)
{
	struct handle **at = &h->buckets[hash(space, name) % h->n_buckets];

	while (*at && (strcmp((*at)->name, name) != 0 || strcmp((*at)->space->name, space) != 0))
		at = &(*at)->next;
	return at;
}

void handles_give_back(struct handles *h, const char *space, const char *name)
{
	struct handle **at = place_of(h, space, name);

	if (*at && (*at)->new)
		forget(h, at);
	else if (*at)
		(*at)->used = false;
}

void handles_take(struct handles *h, const char *space, const char *from, const char *name)
{
	struct handle **at = place_of(h, space, from);
	uint32_t number = (*at)->number;
	struct space *s = (*at)->space;

	forget(h, at);
	(void)add_new(h, s, name, number);
}

void handles_each_unused(const struct handles *h, const char *space, void (*fn)(void *ctx, const char *name), void *ctx)
{
	const struct space *s = find_space(h, space);

	for (size_t i = 0; s && i < h->n_buckets; i++)
		for (const struct handle *e = h->buckets[i]; e; e = e->next)
			if (e->space == s && !e->used)
				fn(ctx, e->name);
}

void handles_each_new(const struct handles *h,
		      void (*fn)(void *ctx, const char *space, const char *name, uint32_t number), void *ctx)
{
	for (size_t i = 0; i < h->n_buckets; i++)
		for (const struct handle *e = h->buckets[i]; e; e = e->next)
			if (e->new)
				fn(ctx, e->space->name, e->name, e->number);
}

bool handles_changed(const struct handles *h)
{
	return h->changed;
}

const struct handles_base *handles_base(const struct handles *h, const char *space, const char *name)
{
	return find(h, space, name)->base;
}

void handles_set_base(struct handles *h, const char *space, const char *name, const struct handles_base *base)
{
	set_base(find(h, space, name), base);
	h->changed = true;
}

int handles_find(const struct handles *h, const char *space, const char *name)
{
	const struct handle *e = find(h, space, name);

	return e ? (int)e->number : -ENOENT;
}

void handles_sweep(struct handles *h)
{
	for (size_t i = 0; i < h->n_buckets; i++) {
		for (struct handle **at = &h->buckets[i]; *at;) {
			struct handle *e = *at;

			if (!e->used) {
				forget(h, at);
				continue;
			}
			e->used = false;
			at = &e->next;
		}
	}
	for (struct space **at = &h->spaces; *at;) {
		struct space *s = *at;

		if (s->n) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		free_space(s);
	}
}

/* A number, or where something was counted under it before, a list of it and that. */
static bool read_number(const json_t *value, uint32_t *number, struct handles_base *base)
{
	const json_t *first = json_is_array(value) ? json_array_get(value, 0) : value;
	json_int_t n = json_integer_value(first);

	if (!json_is_integer(first) || n < 0 || n >= INT32_MAX)
		return false;
	*number = (uint32_t)n;
	for (size_t i = 0; json_is_array(value) && i < HANDLES_BASE; i++) {
		const json_t *v = json_array_get(value, i + 1);

		if (!json_is_integer(v) || json_integer_value(v) < 0)
			return false;
		base->v[i] = (uint64_t)json_integer_value(v);
	}
	return true;
}

/* "4 shards of hooks/wan0-egress": a shard has many classes. In all other spaces a number is one name's. */
static bool is_shared(const char *space)
{
	return strstr(space, " shards of ") != NULL;
}

static int read_space(struct handles *h, const char *name, const json_t *j)
{
	const json_t *names = json_object_get(j, "names");
	struct space *s = get_space(h, name);
	const char *key;
	json_t *value;

	if (!json_is_object(names))
		return -EINVAL;
	if (!is_shared(name))
		none_taken(s); /* yet; each that is added is from here on */
	json_object_foreach ((json_t *)names, key, value) {
		struct handles_base base;
		uint32_t number;

		if (!read_number(value, &number, &base))
			return -EINVAL;
		if (!is_shared(name) && (number > NUMBER_MAX || is_taken(s, number)))
			return -EINVAL;
		set_base(add(h, s, key, number), json_is_array(value) ? &base : NULL);
	}
	return 0;
}

int handles_load(struct handles *h, const char *path)
{
	json_error_t error;
	json_t *root, *spaces, *value;
	const char *key;
	int err = 0;

	forget_all(h);
	if (access(path, F_OK) < 0)
		return errno == ENOENT ? 0 : -errno;
	root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	spaces = json_object_get(root, "spaces");
	if (!json_is_object(spaces) || json_integer_value(json_object_get(root, "version")) != FORMAT_VERSION)
		err = -EINVAL;
	else
		json_object_foreach (spaces, key, value)
			if (!err)
				err = read_space(h, key, value);
	if (err)
		forget_all(h);
	json_decref(root);
	return err;
}

static json_t *number_json(const struct handle *e)
{
	json_t *list;

	if (!e->base)
		return json_integer(e->number);
	list = json_pack("[I]", (json_int_t)e->number);
	for (size_t i = 0; i < HANDLES_BASE; i++)
		json_array_append_new(list, json_integer((json_int_t)(e->base->v[i] & INT64_MAX)));
	return list;
}

int handles_save(struct handles *h, const char *path)
{
	json_t *root = json_object(), *spaces = json_object();
	int err;

	for (const struct space *s = h->spaces; s; s = s->next)
		json_object_set_new(spaces, s->name, json_pack("{s:{}}", "names"));
	for (size_t i = 0; i < h->n_buckets; i++)
		for (const struct handle *e = h->buckets[i]; e; e = e->next)
			json_object_set_new(json_object_get(json_object_get(spaces, e->space->name), "names"), e->name,
					    number_json(e));
	json_object_set_new(root, "version", json_integer(FORMAT_VERSION));
	json_object_set_new(root, "spaces", spaces);
	err = file_write_json(path, root);
	json_decref(root);
	if (!err)
		h->changed = false;
	return err;
}
