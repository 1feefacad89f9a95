/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "out.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "mem.h"
#include "text.h"

#define INDENT    2
#define DEPTH_MAX 64 /* what an answer says beyond that is not drawn */

/* Where text goes, and the arena of the cells of the answer. */
struct out {
	FILE *to;
	struct arena *a;
};

/* ---- values ---------------------------------------------------------------------------------------------------------
 */

static const char *rate_text(struct arena *a, uint64_t bps)
{
	char buf[TEXT_MAX];

	return arena_strdup(a, text_format_rate(buf, bps / 8));
}

/* Exact below 10 KiB, then three digits. */
static const char *bytes_text(struct arena *a, uint64_t bytes)
{
	static const char *const names[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double n = (double)bytes / 1024;
	size_t i = 0;

	if (bytes < 10240)
		return arena_printf(a, "%llu", (unsigned long long)bytes);
	for (; n >= 1000; n /= 1024)
		i++;
	return arena_printf(a, "%.*f %s", n < 10 ? 2 : n < 100 ? 1 : 0, n, names[i]);
}

/* "0.8s", "42s", "5m 3s", "2h 10m", "3d 4h": two units are enough for an age. */
static const char *time_text(struct arena *a, uint64_t ms)
{
	static const struct {
		uint64_t s;
		const char *name;
	} unit[] = {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
	uint64_t s = ms / 1000, rest;
	size_t i = 0;

	if (s < 10)
		return arena_printf(a, "%llu.%llus", (unsigned long long)s, (unsigned long long)(ms % 1000 / 100));
	while (s < unit[i].s)
		i++;
	rest = i < 3 ? s % unit[i].s / unit[i + 1].s : 0;
	if (!rest)
		return arena_printf(a, "%llu%s", (unsigned long long)(s / unit[i].s), unit[i].name);
	return arena_printf(a, "%llu%s %llu%s", (unsigned long long)(s / unit[i].s), unit[i].name,
			    (unsigned long long)rest, unit[i + 1].name);
}

/* "830us", "4.2ms": how long a packet waits. */
static const char *wait_text(struct arena *a, uint64_t us)
{
	if (us < 1000)
		return arena_printf(a, "%lluus", (unsigned long long)us);
	if (us < 10000000)
		return arena_printf(a, "%llu.%llums", (unsigned long long)(us / 1000),
				    (unsigned long long)(us % 1000 / 100));
	return time_text(a, us / 1000);
}

/* Ends of keys that say a unit; named: the unit is dropped from the title, as the value shows it. */
static const struct unit {
	const char *end;
	bool named;
	const char *(*text)(struct arena *a, uint64_t n);
} units[] = {
	{"_bps", true, rate_text},
	{"_ms", true, time_text},
	{"_us", true, wait_text},
	{"bytes", false, bytes_text},
};

static const struct unit *unit_of(const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t end = strlen(units[i].end);

		if (n >= end && strcmp(key + n - end, units[i].end) == 0)
			return &units[i];
	}
	return NULL;
}

/* "last_seen_ago_ms" is "last seen ago". */
static const char *title(struct arena *a, const char *key)
{
	const struct unit *u = unit_of(key);
	char *t = arena_strndup(a, key, strlen(key) - (u && u->named ? strlen(u->end) : 0));

	for (char *c = t; *c; c++)
		if (*c == '_')
			*c = ' ';
	return t;
}

static const char *number_text(struct arena *a, const char *key, json_int_t n)
{
	const struct unit *u = unit_of(key);

	return u && n >= 0 ? u->text(a, (uint64_t)n) : arena_printf(a, "%" JSON_INTEGER_FORMAT, n);
}

/* A value in one line; "" for what has none. */
static const char *value_text(struct arena *a, const char *key, const json_t *v)
{
	const char *all = "";
	json_t *one;
	size_t i;

	switch (json_typeof(v)) {
	case JSON_STRING: return text_harmless(arena_strdup(a, json_string_value(v)), false);
	case JSON_INTEGER: return number_text(a, key, json_integer_value(v));
	case JSON_REAL: return arena_printf(a, "%.2f", json_real_value(v));
	case JSON_TRUE: return "yes";
	case JSON_FALSE: return "no";
	case JSON_ARRAY:
		json_array_foreach (v, i, one)
			all = arena_printf(a, "%s%s%s", all, i ? "," : "",
					   json_is_array(one) ? "" : value_text(a, key, one));
		return all;
	case JSON_OBJECT:
	case JSON_NULL: return "";
	}
	return "";
}

/* ---- tables ---------------------------------------------------------------------------------------------------------
 */

struct column {
	const char *key, *title;
	bool numbers; /* to the right */
	bool shown;   /* some row has something here */
	size_t width;
};

struct table {
	VEC(struct column) columns;
	const char **cells; /* by row, then column */
	size_t n_rows;
};

/* What a terminal shows: characters, not bytes. */
static size_t width_of(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static struct column *column_of(struct arena *a, struct table *t, const char *key)
{
	struct column *c;

	for (size_t i = 0; i < t->columns.n; i++)
		if (strcmp(t->columns.v[i].key, key) == 0)
			return &t->columns.v[i];
	c = vec_add(a, &t->columns);
	c->key = key;
	c->title = title(a, key);
	c->numbers = true;
	c->width = width_of(c->title);
	return c;
}

static void find_columns(struct arena *a, struct table *t, const json_t *rows)
{
	const char *key;
	json_t *row, *v;
	size_t i;

	json_array_foreach (rows, i, row)
		json_object_foreach (row, key, v)
			if (strcmp(key, "depth") != 0)
				column_of(a, t, key)->numbers &= json_is_number(v) || json_is_null(v);
}

static void fill_cells(struct arena *a, struct table *t, const json_t *rows)
{
	json_t *row;
	size_t i;

	t->n_rows = json_array_size(rows);
	t->cells = arena_array(a, t->n_rows * t->columns.n, sizeof(*t->cells));
	json_array_foreach (rows, i, row) {
		json_int_t deep = json_integer_value(json_object_get(row, "depth"));
		int depth = deep < DEPTH_MAX ? (int)deep : DEPTH_MAX;

		for (size_t k = 0; k < t->columns.n; k++) {
			struct column *c = &t->columns.v[k];
			const json_t *v = json_object_get(row, c->key);
			const char *cell = v ? value_text(a, c->key, v) : "";

			if (!k && deep > 0)
				cell = arena_printf(a, "%*s%s", depth * INDENT, "", cell);
			if (*cell)
				c->shown = true;
			if (width_of(cell) > c->width)
				c->width = width_of(cell);
			t->cells[i * t->columns.n + k] = cell;
		}
	}
}

static void print_line(struct out *o, const struct table *t, const char *const *cells, int indent)
{
	size_t spaces = (size_t)indent; /* owed before the next cell, so that no line ends in one */

	for (size_t k = 0; k < t->columns.n; k++) {
		const struct column *c = &t->columns.v[k];
		const char *cell = cells ? cells[k] : c->title;
		size_t pad = c->width - width_of(cell);

		if (!c->shown)
			continue;
		if (c->numbers)
			spaces += pad;
		if (*cell) {
			fprintf(o->to, "%*s", (int)spaces, "");
			for (const char *s = cell; *s; s++)
				fputc(cells ? *s : toupper((unsigned char)*s), o->to);
			spaces = 0;
		}
		spaces += (c->numbers ? 0 : pad) + INDENT;
	}
	fputc('\n', o->to);
}

static void print_table(struct out *o, const json_t *rows, int indent)
{
	struct table t = {0};

	find_columns(o->a, &t, rows);
	fill_cells(o->a, &t, rows);
	print_line(o, &t, NULL, indent);
	for (size_t i = 0; i < t.n_rows; i++)
		print_line(o, &t, t.cells + i * t.columns.n, indent);
}

/* ---- the traversal --------------------------------------------------------------------------------------------------
 */

static void print_any(struct out *o, const char *key, const json_t *v, int indent);

static bool is_block(const json_t *v)
{
	return json_is_string(v) && strchr(json_string_value(v), '\n');
}

static bool is_list_of_objects(const json_t *v)
{
	return json_is_array(v) && json_is_object(json_array_get(v, 0));
}

/* What does not fit into a cell. */
static bool is_large(const json_t *v)
{
	return is_block(v) || is_list_of_objects(v) || json_is_object(v);
}

static bool has_large(const json_t *object)
{
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)object, key, v)
		if (is_large(v))
			return true;
	return false;
}

static void print_block(struct out *o, const char *text)
{
	size_t n = strlen(text);

	fputs(text_harmless(arena_strdup(o->a, text), true), o->to);
	if (n && text[n - 1] != '\n')
		fputc('\n', o->to);
}

/* "interface wan0, direction ingress, ..", then what is large about it. */
static void print_section(struct out *o, const json_t *object, int indent)
{
	const char *key, *before = "";
	json_t *v;

	fprintf(o->to, "%*s", indent, "");
	json_object_foreach ((json_t *)object, key, v) {
		const char *text = is_large(v) ? "" : value_text(o->a, key, v);

		if (!*text)
			continue;
		fprintf(o->to, "%s%s %s", before, title(o->a, key), text);
		before = ", ";
	}
	fputc('\n', o->to);
	json_object_foreach ((json_t *)object, key, v)
		if (is_large(v))
			print_any(o, key, v, indent + INDENT);
}

static void print_sections(struct out *o, const json_t *list, int indent)
{
	json_t *one;
	size_t i;

	json_array_foreach (list, i, one) {
		if (i)
			fputc('\n', o->to);
		print_section(o, one, indent);
	}
}

static bool any_has_large(const json_t *list)
{
	json_t *one;
	size_t i;

	json_array_foreach (list, i, one)
		if (has_large(one))
			return true;
	return false;
}

static void print_any(struct out *o, const char *key, const json_t *v, int indent)
{
	json_t *one;
	size_t i;

	if (is_block(v))
		print_block(o, json_string_value(v));
	else if (json_is_object(v))
		print_section(o, v, indent);
	else if (json_is_array(v) && !json_array_size(v))
		fprintf(o->to, "%*sno %s\n", indent, "", title(o->a, key));
	else if (is_list_of_objects(v) && any_has_large(v))
		print_sections(o, v, indent);
	else if (is_list_of_objects(v))
		print_table(o, v, indent);
	else if (json_is_array(v))
		json_array_foreach (v, i, one)
			fprintf(o->to, "%*s%s\n", indent, "", value_text(o->a, key, one));
	else
		fprintf(o->to, "%*s%s: %s\n", indent, "", title(o->a, key), value_text(o->a, key, v));
}

static void print_text(FILE *to, const json_t *answer)
{
	static const char *const about_the_asking[] = {"exit", "error", "warning", "messages"};
	struct out o = {to, arena_new()};
	bool before = false;
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)answer, key, v) {
		bool skip = false;

		for (size_t i = 0; i < sizeof(about_the_asking) / sizeof(about_the_asking[0]); i++)
			skip |= strcmp(key, about_the_asking[i]) == 0;
		if (skip)
			continue;
		if (before && is_large(v))
			fputc('\n', to);
		print_any(&o, key, v, 0);
		before = true;
	}
	arena_free(o.a);
}

int out_print(FILE *to, const json_t *answer, enum out_form form)
{
	switch (form) {
	case OUT_TEXT: print_text(to, answer); break;
	case OUT_JSON:
		if (json_dumpf(answer, to, JSON_INDENT(2)) < 0)
			return -EIO;
		fputc('\n', to);
		break;
	}
	return fflush(to) == 0 && !ferror(to) ? 0 : -EIO;
}
