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

/* A name and its number, in the chain of its hash bucket. */
struct handle {
	struct handle *next;
	struct space *space;
	char *name;
	uint32_t number;
	bool used;
};

struct space {
	struct space *next;
	char *name;
	uint32_t fresh; /* no number from here on was ever given; 0: none given at all */
};

struct handles {
	struct space *spaces;
	struct handle **buckets;
	size_t n_buckets;
	size_t n;
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

static void forget_all(struct handles *h)
{
	for (size_t i = 0; i < h->n_buckets; i++) {
		for (struct handle *e = h->buckets[i], *next; e; e = next) {
			next = e->next;
			free(e->name);
			free(e);
		}
		h->buckets[i] = NULL;
	}
	for (struct space *s = h->spaces, *next; s; s = next) {
		next = s->next;
		free(s->name);
		free(s);
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

static struct space *get_space(struct handles *h, const char *name)
{
	struct space *s = find_space(h, name);

	if (s)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->name = xstrdup(name);
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
	if (s->fresh <= number)
		s->fresh = number + 1;
	return e;
}

struct handles *handles_copy(const struct handles *h)
{
	struct handles *copy = handles_new();

	for (const struct space *s = h->spaces; s; s = s->next)
		get_space(copy, s->name)->fresh = s->fresh;
	for (size_t i = 0; i < h->n_buckets; i++)
		for (const struct handle *e = h->buckets[i]; e; e = e->next)
			add(copy, get_space(copy, e->space->name), e->name, e->number)->used = e->used;
	return copy;
}

/* The lowest number that no name of the space has. Only asked once all numbers were given at least once. */
static int recycle(const struct handles *h, const struct space *s, uint32_t first, uint32_t last)
{
	size_t n = (size_t)last - first + 1;
	bool *taken = xcalloc(n, sizeof(*taken));
	size_t i = 0;

	for (size_t b = 0; b < h->n_buckets; b++)
		for (const struct handle *e = h->buckets[b]; e; e = e->next)
			if (e->space == s && e->number >= first && e->number <= last)
				taken[e->number - first] = true;
	while (i < n && taken[i])
		i++;
	free(taken);
	return i < n ? (int)(first + i) : -ENOSPC;
}

int handles_get(struct handles *h, const char *space, const char *name, uint32_t first, uint32_t last)
{
	struct handle *e = find(h, space, name);
	struct space *s;
	int number;

	if (e && e->number >= first && e->number <= last) {
		e->used = true;
		return (int)e->number;
	}
	if (e)
		return -ENOSPC;
	s = get_space(h, space);
	if (s->fresh <= last)
		number = (int)(s->fresh > first ? s->fresh : first);
	else
		number = recycle(h, s, first, last);
	if (number >= 0)
		add(h, s, name, (uint32_t)number)->used = true;
	return number;
}

void handles_put(struct handles *h, const char *space, const char *name, uint32_t number)
{
	struct handle *e = find(h, space, name);

	if (!e)
		e = add(h, get_space(h, space), name, number);
	e->number = number;
	e->used = true;
}

int handles_find(const struct handles *h, const char *space, const char *name)
{
	const struct handle *e = find(h, space, name);

	return e ? (int)e->number : -ENOENT;
}

static bool has_names(const struct handles *h, const struct space *s)
{
	for (size_t i = 0; i < h->n_buckets; i++)
		for (const struct handle *e = h->buckets[i]; e; e = e->next)
			if (e->space == s)
				return true;
	return false;
}

void handles_sweep(struct handles *h)
{
	for (size_t i = 0; i < h->n_buckets; i++) {
		for (struct handle **at = &h->buckets[i]; *at;) {
			struct handle *e = *at;

			if (e->used) {
				e->used = false;
				at = &e->next;
				continue;
			}
			*at = e->next;
			free(e->name);
			free(e);
			h->n--;
		}
	}
	for (struct space **at = &h->spaces; *at;) {
		struct space *s = *at;

		if (has_names(h, s)) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		free(s->name);
		free(s);
	}
}

static int read_space(struct handles *h, const char *name, const json_t *j)
{
	const json_t *names = json_object_get(j, "names");
	json_int_t fresh = json_integer_value(json_object_get(j, "fresh"));
	struct space *s = get_space(h, name);
	const char *key;
	json_t *value;

	if (!json_is_object(names) || fresh < 0 || fresh > INT32_MAX)
		return -EINVAL;
	json_object_foreach ((json_t *)names, key, value) {
		json_int_t number = json_integer_value(value);

		if (!json_is_integer(value) || number < 0 || number >= INT32_MAX)
			return -EINVAL;
		add(h, s, key, (uint32_t)number);
	}
	if (s->fresh < (uint32_t)fresh)
		s->fresh = (uint32_t)fresh;
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

int handles_save(const struct handles *h, const char *path)
{
	json_t *root = json_object(), *spaces = json_object();
	int err;

	for (const struct space *s = h->spaces; s; s = s->next)
		json_object_set_new(spaces, s->name, json_pack("{s:i, s:{}}", "fresh", (int)s->fresh, "names"));
	for (size_t i = 0; i < h->n_buckets; i++)
		for (const struct handle *e = h->buckets[i]; e; e = e->next)
			json_object_set_new(json_object_get(json_object_get(spaces, e->space->name), "names"), e->name,
					    json_integer(e->number));
	json_object_set_new(root, "version", json_integer(FORMAT_VERSION));
	json_object_set_new(root, "spaces", spaces);
	err = file_write_json(path, root);
	json_decref(root);
	return err;
}
