/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diag.h"
#include "mem.h"
#include "text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LINES_PER_MARK 256  /* how far to walk to a line */
#define NOTES_MAX      16   /* behind one message */
#define TEXT_ROOM      1024 /* a sentence longer than this is cut */
#define SHOWN_WIDTH    160  /* bytes of a source line that are shown */

struct source {
	const char *name;
	const char *text;
	size_t len;
	struct {
		VEC(size_t);
	} marks; /* where every LINES_PER_MARK-th line starts */
};

/* A message with what it is sorted by: its own place, or that of the message a note belongs to. */
struct entry {
	struct diag_message m;
	struct pos at;
	size_t group;
	size_t seq;
};

struct diag {
	struct arena *arena;
	VEC(struct entry) entries;
	struct {
		VEC(struct source);
	} sources;
	size_t kept[2], counted[2]; /* by level: errors, warnings */
	bool sorted;
	size_t told;              /* errors, repeated ones too */
	struct diag_message last; /* the last of them; text NULL: none, or not kept */
	bool dropping;            /* the last message was not kept, so its notes are not either */
	struct pos at;            /* of the last message kept */
	size_t group;
	size_t notes; /* behind the last message kept */
};

struct diag *diag_new(void)
{
	struct diag *d = xcalloc(1, sizeof(*d));

	d->arena = arena_new();
	return d;
}

void diag_free(struct diag *d)
{
	if (!d)
		return;
	arena_free(d->arena);
	free(d);
}

uint32_t diag_add_source(struct diag *d, const char *name, const char *text, size_t len)
{
	struct source *s = vec_add(d->arena, &d->sources);
	size_t line = 0;

	s->name = text_harmless(arena_strdup(d->arena, name), false);
	s->text = arena_strndup(d->arena, text, len);
	s->len = len;
	for (const char *p = s->text, *end = p + len; p; line++) {
		if (line % LINES_PER_MARK == 0)
			*vec_add(d->arena, &s->marks) = (size_t)(p - s->text);
		p = memchr(p, '\n', (size_t)(end - p));
		if (p)
			p++;
	}
	return (uint32_t)d->sources.n;
}

static const struct source *source_of(const struct diag *d, uint32_t file)
{
	return file && file <= d->sources.n ? &d->sources.v[file - 1] : NULL;
}

const char *diag_source_name(const struct diag *d, uint32_t file)
{
	const struct source *s = source_of(d, file);

	return s ? s->name : "";
}

const char *diag_source_text(const struct diag *d, uint32_t file, size_t *len)
{
	const struct source *s = source_of(d, file);

	*len = s ? s->len : 0;
	return s ? s->text : NULL;
}

/* Cuts at a character, not inside one. */
static void cut_utf8(char *s, size_t room)
{
	size_t n = strlen(s);

	if (n + 1 < room)
		return;
	n = room - 4;
	while (n && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	memcpy(s + n, "...", 4);
}

static bool same_pos(struct pos a, struct pos b)
{
	return a.file == b.file && a.line == b.line && a.col == b.col;
}

/* One policy used by several interfaces is examined several times: what is said twice is said once. */
static const struct diag_message *said_already(const struct diag *d, const struct diag_message *m)
{
	for (size_t i = 0; i < d->entries.n; i++) {
		const struct diag_message *o = &d->entries.v[i].m;

		if (o->level == m->level && same_pos(o->pos, m->pos) && !strcmp(o->id, m->id) &&
		    !strcmp(o->text, m->text))
			return o;
	}
	return NULL;
}

static void add(struct diag *d, enum diag_level level, struct pos pos, const char *id, const char *fmt, va_list ap)
	__attribute__((format(printf, 5, 0)));
static void add(struct diag *d, enum diag_level level, struct pos pos, const char *id, const char *fmt, va_list ap)
{
	char text[TEXT_ROOM];
	struct diag_message m = {.level = level, .pos = pos, .id = id, .text = text};
	const struct diag_message *before = NULL;
	struct entry *e;

	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut where longer */
	cut_utf8(text, sizeof(text));
	text_harmless(text, false);
	if (level == DIAG_NOTE) {
		if (d->dropping || d->notes >= NOTES_MAX)
			return;
		d->notes++;
	} else {
		d->dropping = true;
		d->told += level == DIAG_ERROR;
		before = said_already(d, &m);
		if (level == DIAG_ERROR)
			d->last = before ? *before : (struct diag_message){0};
		if (before)
			return;
		d->counted[level]++;
		if (d->kept[level] >= DIAG_KEPT_MAX)
			return;
		d->dropping = false;
		d->kept[level]++;
		d->at = pos;
		d->group++;
		d->notes = 0;
	}
	m.text = arena_strdup(d->arena, text);
	if (level == DIAG_ERROR)
		d->last = m;
	e = vec_add(d->arena, &d->entries);
	*e = (struct entry){.m = m, .at = d->at, .group = d->group, .seq = d->entries.n};
	d->sorted = false;
}

void diag_error(struct diag *d, struct pos pos, const char *id, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(d, DIAG_ERROR, pos, id, fmt, ap);
	va_end(ap);
}

void diag_warning(struct diag *d, struct pos pos, const char *id, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(d, DIAG_WARNING, pos, id, fmt, ap);
	va_end(ap);
}

void diag_note(struct diag *d, struct pos pos, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(d, DIAG_NOTE, pos, "", fmt, ap);
	va_end(ap);
}

size_t diag_errors(const struct diag *d)
{
	return d->counted[DIAG_ERROR];
}

size_t diag_told(const struct diag *d)
{
	return d->told;
}

size_t diag_warnings(const struct diag *d)
{
	return d->counted[DIAG_WARNING];
}

const struct diag_message *diag_last_error(const struct diag *d)
{
	return d->last.text ? &d->last : NULL;
}

bool diag_full(const struct diag *d)
{
	return d->kept[DIAG_ERROR] >= DIAG_KEPT_MAX;
}

static int by_place(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;
	const uint64_t ka[] = {a->at.file, a->at.line, a->at.col, a->group, a->seq};
	const uint64_t kb[] = {b->at.file, b->at.line, b->at.col, b->group, b->seq};

	for (size_t i = 0; i < sizeof(ka) / sizeof(*ka); i++)
		if (ka[i] != kb[i])
			return ka[i] < kb[i] ? -1 : 1;
	return 0;
}

size_t diag_count(struct diag *d)
{
	if (!d->sorted && d->entries.n)
		qsort(d->entries.v, d->entries.n, sizeof(*d->entries.v), by_place);
	d->sorted = true;
	return d->entries.n;
}

const struct diag_message *diag_get(struct diag *d, size_t i)
{
	size_t n = diag_count(d);

	assert(i < n);
	return &d->entries.v[i].m;
}

/* The line without its end; false where there is none. */
static bool find_line(const struct source *s, uint32_t line, const char **start, size_t *len)
{
	const char *p, *end = s->text + s->len, *eol;

	if (!line || (line - 1) / LINES_PER_MARK >= s->marks.n)
		return false;
	p = s->text + s->marks.v[(line - 1) / LINES_PER_MARK];
	for (uint32_t skip = (line - 1) % LINES_PER_MARK; skip; skip--) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			return false;
		p++;
	}
	eol = memchr(p, '\n', (size_t)(end - p));
	*start = p;
	*len = (size_t)((eol ? eol : end) - p);
	if (*len && p[*len - 1] == '\r')
		--*len;
	return true;
}

const char *diag_source_line(struct diag *d, struct pos pos)
{
	const struct source *s = source_of(d, pos.file);
	const char *line;
	size_t len;

	if (!s || !find_line(s, pos.line, &line, &len))
		return "";
	return text_harmless(arena_strndup(d->arena, line, len < SHOWN_WIDTH ? len : SHOWN_WIDTH), false);
}

static bool inside_character(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* Shows the line, of a long one the part around the column, and a caret below the column. */
static void print_line(const struct source *s, struct pos pos, FILE *out)
{
	const char *line;
	char shown[SHOWN_WIDTH + 1];
	size_t len, from = 0, n, col;

	if (!find_line(s, pos.line, &line, &len))
		return;
	col = pos.col ? pos.col - 1 : 0;
	if (col > len)
		col = len;
	if (len > SHOWN_WIDTH && col > SHOWN_WIDTH / 2)
		from = col - SHOWN_WIDTH / 2;
	while (from && inside_character(line[from]))
		from--;
	n = len - from < SHOWN_WIDTH ? len - from : SHOWN_WIDTH;
	while (n && from + n < len && inside_character(line[from + n]))
		n--;
	memcpy(shown, line + from, n);
	shown[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if (!shown[i])
			shown[i] = '?';
	(void)fprintf(out, "    %s\n    ", text_harmless(shown, false));
	for (size_t i = from; i < col; i++)
		if (!inside_character(line[i]))
			(void)fputc(' ', out);
	(void)fputs("^\n", out);
}

static void print_where(const struct diag *d, struct pos pos, FILE *out)
{
	const struct source *s = source_of(d, pos.file);

	if (!s)
		return;
	if (pos.line)
		(void)fprintf(out, "%s:%u:%u: ", s->name, pos.line, pos.col);
	else
		(void)fprintf(out, "%s: ", s->name);
}

/* Whether out took it all is asked of out by its owner, with ferror or fclose. */
void diag_print_one(const struct diag *d, const struct diag_message *m, FILE *out)
{
	static const char *const word[] = {[DIAG_ERROR] = "error", [DIAG_WARNING] = "warning", [DIAG_NOTE] = "note"};
	const struct source *s = source_of(d, m->pos.file);

	print_where(d, m->pos, out);
	(void)fprintf(out, "%s: %s", word[m->level], m->text);
	if (*m->id)
		(void)fprintf(out, " [%s]", m->id);
	(void)fputc('\n', out);
	if (s)
		print_line(s, m->pos, out);
}

void diag_print(struct diag *d, FILE *out)
{
	size_t n = diag_count(d);
	size_t errors = d->counted[DIAG_ERROR] - d->kept[DIAG_ERROR];
	size_t warnings = d->counted[DIAG_WARNING] - d->kept[DIAG_WARNING];

	for (size_t i = 0; i < n; i++)
		diag_print_one(d, &d->entries.v[i].m, out);
	if (errors)
		(void)fprintf(out, "%zu more error%s not shown\n", errors, errors == 1 ? "" : "s");
	if (warnings)
		(void)fprintf(out, "%zu more warning%s not shown\n", warnings, warnings == 1 ? "" : "s");
}

const char *diag_where(const struct diag *d, struct pos pos, struct arena *a)
{
	const struct source *s = source_of(d, pos.file);

	if (!s)
		return "";
	if (!pos.line)
		return s->name;
	return arena_printf(a, "%s:%u:%u", s->name, pos.line, pos.col);
}
