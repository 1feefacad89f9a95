/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "elements.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "mem.h"

struct elements_store {
	char *path;
	struct plan_live *v;
	size_t n, room;
};

struct elements_store *elements_new(const char *path)
{
	struct elements_store *s = xcalloc(1, sizeof(*s));

	s->path = xstrdup(path);
	return s;
}

static void clear(struct plan_live *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free((char *)v[i].set);
}

static void forget(struct elements_store *s)
{
	clear(s->v, s->n);
	s->n = 0;
}

void elements_free(struct elements_store *s)
{
	if (!s)
		return;
	forget(s);
	free(s->v);
	free(s->path);
	free(s);
}

/* By set, then by prefix. */
static int compare(const void *a, const void *b)
{
	const struct plan_live *x = a, *y = b;
	int order = strcmp(x->set, y->set);

	return order ? order : prefix_cmp(&x->prefix, &y->prefix);
}

/* Where it is, or would be. */
static size_t place(const struct elements_store *s, const char *set, const struct prefix *p)
{
	const struct plan_live key = {.set = set, .prefix = *p};
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (compare(&s->v[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct plan_live *elements_find(const struct elements_store *s, const char *set, const struct prefix *p)
{
	size_t i = place(s, set, p);

	return i < s->n && !strcmp(s->v[i].set, set) && !prefix_cmp(&s->v[i].prefix, p) ? &s->v[i] : NULL;
}

static void make_room(struct elements_store *s, size_t n)
{
	while (s->room < s->n + n)
		s->room = s->room ? s->room * 2 : 16;
	s->v = xrealloc(s->v, s->room * sizeof(*s->v));
}

int elements_add(struct elements_store *s, const char *set, const struct prefix *p, uint64_t up_Bps, uint64_t down_Bps)
{
	struct plan_live *e = (struct plan_live *)elements_find(s, set, p);
	size_t i;

	if (e && e->up_Bps == up_Bps && e->down_Bps == down_Bps)
		return -EEXIST;
	if (!e) {
		make_room(s, 1);
		i = place(s, set, p);
		e = &s->v[i];
		memmove(e + 1, e, (s->n++ - i) * sizeof(*e));
		e->set = xstrdup(set);
		e->prefix = *p;
	}
	e->up_Bps = up_Bps;
	e->down_Bps = down_Bps;
	return 0;
}

int elements_del(struct elements_store *s, const char *set, const struct prefix *p)
{
	struct plan_live *e = (struct plan_live *)elements_find(s, set, p);

	if (!e)
		return -ENOENT;
	free((char *)e->set);
	s->n--;
	memmove(e, e + 1, (size_t)(s->v + s->n - e) * sizeof(*e));
	return 0;
}

void elements_add_many(struct elements_store *s, const char *set, const struct plan_live *v, size_t n)
{
	size_t before = s->n;

	make_room(s, n);
	for (size_t i = 0; i < n; i++) {
		struct plan_live *e = (struct plan_live *)elements_find(s, set, &v[i].prefix);

		if (e) {
			e->up_Bps = v[i].up_Bps;
			e->down_Bps = v[i].down_Bps;
		} else {
			s->v[before++] = (struct plan_live){xstrdup(set), v[i].prefix, v[i].up_Bps, v[i].down_Bps};
		}
	}
	s->n = before;
	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), compare);
}

size_t elements_flush(struct elements_store *s, const char *set)
{
	size_t kept = 0, n = s->n;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(s->v[i].set, set) == 0)
			free((char *)s->v[i].set);
		else
			s->v[kept++] = s->v[i];
	}
	s->n = kept;
	return n - kept;
}

struct elements_store *elements_copy(const struct elements_store *s)
{
	struct elements_store *copy = elements_new(s->path);

	make_room(copy, s->n);
	for (size_t i = 0; i < s->n; i++) {
		copy->v[i] = s->v[i];
		copy->v[i].set = xstrdup(s->v[i].set);
	}
	copy->n = s->n;
	return copy;
}

struct plan_live *elements_all(const struct elements_store *s, size_t *n)
{
	*n = s->n;
	return s->v;
}

/* They come in order, each behind the last. */
static int read_one(struct elements_store *s, const json_t *j)
{
	const char *set = json_string_value(json_object_get(j, "set"));
	const char *address = json_string_value(json_object_get(j, "address"));
	json_int_t up = json_integer_value(json_object_get(j, "up_Bps"));
	json_int_t down = json_integer_value(json_object_get(j, "down_Bps"));
	struct prefix p;
	const char *why;

	if (!set || !address || up < 0 || down < 0 || text_prefix(address, &p, &why) < 0)
		return -EINVAL;
	(void)elements_add(s, set, &p, (uint64_t)up, (uint64_t)down); /* twice the same is once */
	return 0;
}

int elements_load(struct elements_store *s)
{
	json_error_t error;
	json_t *root, *value;
	size_t i;
	int err = 0;

	forget(s);
	if (access(s->path, F_OK) < 0)
		return errno == ENOENT ? 0 : -errno;
	root = json_load_file(s->path, 0, &error);
	if (!json_is_array(root))
		err = -EINVAL;
	else
		json_array_foreach (root, i, value)
			if (!err)
				err = read_one(s, value);
	if (err)
		forget(s);
	json_decref(root);
	return err;
}

int elements_save(const struct elements_store *s)
{
	json_t *root = json_array();
	char text[TEXT_MAX];
	int err;

	for (size_t i = 0; i < s->n; i++)
		json_array_append_new(root,
				      json_pack("{s:s, s:s, s:I, s:I}", "set", s->v[i].set, "address",
						text_format_prefix(text, &s->v[i].prefix), "up_Bps",
						(json_int_t)s->v[i].up_Bps, "down_Bps", (json_int_t)s->v[i].down_Bps));
	err = file_write_json(s->path, root);
	json_decref(root);
	return err;
}
