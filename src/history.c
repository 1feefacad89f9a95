/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "digest.h"
#include "file.h"
#include "mem.h"

#define SECONDS_MAX 86400 /* no longer does anything wait */

struct history {
	char *dir;
	struct history_entry *v; /* sorted by number */
	size_t n, room;
	uint32_t last;  /* the highest number that was ever seen, readable or not */
	uint32_t told;  /* last, as the state on disk has it */
	bool unwritten; /* the state on disk may be an older one */
	uint32_t current;
	bool rolled_back;
	bool unlisted; /* in force is one that could not be added: current is 0 */
	struct history_pending pending;
	char boot_id[40]; /* of now */
};

/* ---- files: NUMBER.yaml with what is known about it in NUMBER.json, state.json --------------------------------------
 */

static void path_of(const struct history *h, const char *name, char out[PATH_MAX])
{
	(void)snprintf(out, PATH_MAX, "%s/%s", h->dir, name); /* a longer one does not open, and that is told */
}

static void name_of(uint32_t number, const char *end, char out[32])
{
	(void)snprintf(out, 32, "%06" PRIu32 ".%s", number, end); /* ten digits at most */
}

void history_path(const struct history *h, uint32_t number, char out[PATH_MAX])
{
	char name[32];

	name_of(number, "yaml", name);
	path_of(h, name, out);
}

static void meta_path(const struct history *h, uint32_t number, char out[PATH_MAX])
{
	char name[32];

	name_of(number, "json", name);
	path_of(h, name, out);
}

/* 0 for a name that is none of ours. */
static uint32_t number_of(const char *file, const char *end)
{
	char name[32];
	unsigned long number = strtoul(file, NULL, 10);

	if (!number || number > UINT32_MAX)
		return 0;
	name_of((uint32_t)number, end, name);
	return strcmp(file, name) == 0 ? (uint32_t)number : 0;
}

static int digest_file(const char *path, uint64_t *digest)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t len = 0, room = 0, got;
	bool good;

	if (!f)
		return -errno;
	do {
		if (len == room) {
			room = room ? room * 2 : 65536;
			text = xrealloc(text, room);
		}
		got = fread(text + len, 1, room - len, f);
		len += got;
	} while (got);
	good = !ferror(f);
	*digest = digest_bytes(DIGEST_START, text, len);
	free(text);
	fclose(f);
	return good ? 0 : -EIO;
}

static void copy_string(char *out, size_t size, const json_t *j)
{
	const char *s = json_string_value(j);

	snprintf(out, size, "%s", s ? s : "");
}

static uint32_t read_number(const json_t *j, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(j, key));

	return n > 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static struct history_entry *insert(struct history *h, uint32_t number)
{
	size_t at = h->n;

	if (h->n == h->room) {
		h->room = h->room ? h->room * 2 : HISTORY_KEEP + 2;
		h->v = xrealloc(h->v, h->room * sizeof(*h->v));
	}
	while (at > 0 && h->v[at - 1].number > number)
		at--;
	memmove(&h->v[at + 1], &h->v[at], (h->n - at) * sizeof(*h->v));
	h->n++;
	memset(&h->v[at], 0, sizeof(h->v[at]));
	h->v[at].number = number;
	return &h->v[at];
}

static bool read_digest(const json_t *meta, uint64_t *digest)
{
	const char *text = json_string_value(json_object_get(meta, "digest"));
	int end = 0;

	return text && sscanf(text, "%16" SCNx64 "%n", digest, &end) == 1 && end == 16 && !text[end];
}

/* Both files of an entry must be there: the text is written first, so an entry whose time is known is whole. */
static bool read_entry(struct history *h, uint32_t number)
{
	uint64_t written, there;
	char path[PATH_MAX];
	struct history_entry *e;
	json_error_t error;
	json_t *j;

	meta_path(h, number, path);
	j = json_load_file(path, 0, &error);
	history_path(h, number, path);
	if (!read_digest(j, &written) || digest_file(path, &there) < 0 || there != written) {
		json_decref(j);
		return false;
	}
	e = insert(h, number);
	e->time = json_integer_value(json_object_get(j, "time"));
	e->digest = written;
	copy_string(e->who, sizeof(e->who), json_object_get(j, "who"));
	copy_string(e->source, sizeof(e->source), json_object_get(j, "source"));
	json_decref(j);
	return true;
}

int history_check(const struct history *h, uint32_t number)
{
	const struct history_entry *e = history_find(h, number);
	char path[PATH_MAX];
	uint64_t there;
	int err;

	if (!e)
		return -ENOENT;
	history_path(h, number, path);
	err = digest_file(path, &there);
	return err == -ENOENT || (!err && there != e->digest) ? -EBADMSG : err;
}

/* The last one up to this number that was not gone back from. */
static const struct history_entry *last_good(const struct history *h, uint32_t number)
{
	const struct history_entry *found = NULL;

	for (size_t i = 0; i < h->n && h->v[i].number <= number; i++)
		if (!h->v[i].left)
			found = &h->v[i];
	return found;
}

__attribute__((format(printf, 3, 4))) static void tell(char *why, size_t size, const char *fmt, ...)
{
	size_t len = strlen(why);
	va_list ap;

	if (len + 2 < size)
		len += (size_t)snprintf(why + len, size - len, "%s", len ? "; " : "");
	va_start(ap, fmt);
	(void)vsnprintf(why + len, size - len, fmt, ap); /* what does not fit is the least of it */
	va_end(ap);
}

static void read_state(struct history *h, char *why, size_t size)
{
	char path[PATH_MAX];
	json_error_t error;
	const json_t *p, *left;
	json_t *j;

	path_of(h, "state.json", path);
	j = json_load_file(path, 0, &error);
	if (!j && access(path, F_OK) == 0)
		tell(why, size, "%s is damaged: what was gone back to, or waits to be confirmed, is not known", path);
	h->current = read_number(j, "current");
	h->told = read_number(j, "last");
	h->rolled_back = json_is_true(json_object_get(j, "rolled_back"));
	left = json_object_get(j, "left");
	for (size_t i = 0; i < h->n; i++)
		for (size_t k = 0; k < json_array_size(left); k++)
			if (json_integer_value(json_array_get(left, k)) == h->v[i].number)
				h->v[i].left = true;
	p = json_object_get(j, "pending");
	if (json_is_object(p)) {
		h->pending.pending = true;
		h->pending.back_to = read_number(p, "back_to");
		h->pending.deadline_ms = json_integer_value(json_object_get(p, "deadline_ms"));
		if (h->pending.deadline_ms < 0)
			h->pending.deadline_ms = 0;
		copy_string(h->pending.boot_id, sizeof(h->pending.boot_id), json_object_get(p, "boot_id"));
	}
	json_decref(j);
}

/* Entries that the state names may be lost. */
static void check_state(struct history *h, char *why, size_t size)
{
	uint32_t back_to = h->pending.back_to;
	const struct history_entry *e;

	if (h->current && !history_find(h, h->current)) {
		if (h->rolled_back)
			tell(why, size, "policy %" PRIu32 ", which was gone back to, is lost", h->current);
		h->current = 0;
		h->rolled_back = false;
	}
	if (!h->pending.pending || history_find(h, back_to))
		return;
	e = last_good(h, h->current && h->current <= back_to ? h->current - 1 : back_to);
	if (e)
		tell(why, size, "policy %" PRIu32 ", to go back to, is lost; policy %" PRIu32 " takes its place",
		     back_to, e->number);
	else
		tell(why, size,
		     "policy %" PRIu32 ", to go back to, is lost; the last change stays without being confirmed",
		     back_to);
	h->pending.pending = e != NULL;
	h->pending.back_to = e ? e->number : 0;
}

static int write_state(struct history *h)
{
	json_t *j = json_pack("{s:I, s:I, s:b}", "current", (json_int_t)h->current, "last", (json_int_t)h->last,
			      "rolled_back", h->rolled_back);
	json_t *left = json_array();
	char path[PATH_MAX];
	int err;

	for (size_t i = 0; i < h->n; i++)
		if (h->v[i].left)
			json_array_append_new(left, json_integer(h->v[i].number));
	json_object_set_new(j, "left", left);
	if (h->pending.pending)
		json_object_set_new(j, "pending",
				    json_pack("{s:I, s:I, s:s}", "back_to", (json_int_t)h->pending.back_to,
					      "deadline_ms", (json_int_t)h->pending.deadline_ms, "boot_id",
					      h->pending.boot_id));
	path_of(h, "state.json", path);
	err = file_write_json(path, j);
	json_decref(j);
	h->unwritten = err;
	if (!err)
		h->told = h->last;
	return err;
}

int history_write_again(struct history *h)
{
	return h->unwritten ? write_state(h) : 0;
}

struct history *history_open(const char *state_dir, char *why, size_t size)
{
	struct history *h = xcalloc(1, sizeof(*h));
	size_t len = strlen(state_dir) + sizeof("/history");
	const struct dirent *e;
	DIR *dir;

	h->dir = xmalloc(len);
	snprintf(h->dir, len, "%s/history", state_dir);
	/* Once for all: a time must not seem to be over because there is no file descriptor left to ask with. */
	(void)file_read_line(FILE_BOOT_ID, h->boot_id, sizeof(h->boot_id)); /* "" is that of no boot */
	dir = opendir(h->dir);
	if (!dir && errno == ENOENT)
		return h;
	if (!dir) {
		snprintf(why, size, "cannot open %s: %s", h->dir, strerror(errno));
		history_close(h);
		return NULL;
	}
	while ((e = readdir(dir))) {
		uint32_t number = number_of(e->d_name, "json");

		if (!number)
			continue;
		if (number > h->last)
			h->last = number;
		if (!read_entry(h, number))
			tell(why, size, "policy %" PRIu32 " in %s is damaged and left out of the history", number,
			     h->dir);
	}
	closedir(dir);
	read_state(h, why, size);
	check_state(h, why, size);
	return h;
}

void history_close(struct history *h)
{
	if (!h)
		return;
	free(h->dir);
	free(h->v);
	free(h);
}

const struct history_entry *history_entries(const struct history *h, size_t *n)
{
	*n = h->n;
	return h->v;
}

const struct history_entry *history_find(const struct history *h, uint32_t number)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->v[i].number == number)
			return &h->v[i];
	return NULL;
}

uint32_t history_current(const struct history *h, bool *rolled_back)
{
	if (rolled_back)
		*rolled_back = h->rolled_back;
	return h->current;
}

bool history_lacks_current(const struct history *h)
{
	return h->unlisted;
}

const struct history_entry *history_previous(const struct history *h)
{
	const struct history_entry *e = history_find(h, h->current);

	if (h->unlisted)
		return last_good(h, h->last);
	return e ? last_good(h, e->number - 1) : NULL;
}

/* ---- adding ------------------------------------------------------------------------------------------------------
 */

static bool is_kept(const struct history *h, uint32_t number)
{
	return number == h->current || (h->pending.pending && number == h->pending.back_to);
}

/* The oldest goes, but never the one in force, nor the one that a pending change goes back to. False: there is
 * no other. */
static bool forget_oldest(struct history *h)
{
	char path[PATH_MAX];
	size_t i = 0;

	while (i < h->n && is_kept(h, h->v[i].number))
		i++;
	if (i == h->n)
		return false;
	/* What cannot be removed is an entry again after the next start, and goes then. */
	meta_path(h, h->v[i].number, path);
	(void)unlink(path);
	history_path(h, h->v[i].number, path);
	(void)unlink(path);
	h->n--;
	memmove(&h->v[i], &h->v[i + 1], (h->n - i) * sizeof(*h->v));
	return true;
}

/* A text whose entry never came to be, an entry that was damaged and would be forgotten by now, a write that was cut
 * short. */
static bool is_litter(const struct history *h, const char *name)
{
	uint32_t yaml = number_of(name, "yaml"), json = number_of(name, "json"), number = yaml ? yaml : json;
	size_t len = strlen(name);
	char path[PATH_MAX];

	if (len > 4 && strcmp(name + len - 4, ".new") == 0)
		return true;
	if (!number || history_find(h, number))
		return false;
	meta_path(h, number, path);
	return (h->n && number < h->v[0].number) || (yaml && access(path, F_OK) < 0);
}

static void sweep(const struct history *h)
{
	DIR *dir = opendir(h->dir);
	const struct dirent *e;
	char path[PATH_MAX];

	while (dir && (e = readdir(dir))) {
		if (!is_litter(h, e->d_name))
			continue;
		path_of(h, e->d_name, path);
		(void)unlink(path); /* tried again the next time */
	}
	if (dir)
		closedir(dir);
}

static int write_entry(const struct history *h, const struct history_entry *e, const char *text)
{
	char path[PATH_MAX], digest[17];
	json_t *j;
	int err = file_make_dirs(h->dir, 0700);

	if (err)
		return err;
	history_path(h, e->number, path);
	err = file_write(path, text, strlen(text));
	if (err)
		return err;
	(void)snprintf(digest, sizeof(digest), "%016" PRIx64, e->digest); /* 16 digits */
	j = json_pack("{s:I, s:s, s:o, s:o}", "time", (json_int_t)e->time, "digest", digest, "who",
		      file_json_name(e->who), "source", file_json_name(e->source));
	meta_path(h, e->number, path);
	err = file_write_json(path, j);
	json_decref(j);
	return err;
}

/* Is the newest entry one that was written just before the daemon died, so that the state does not know it? */
static bool is_unfinished(const struct history *h, uint64_t digest)
{
	const struct history_entry *newest = h->n ? &h->v[h->n - 1] : NULL;

	return newest && newest->number > h->told && newest->digest == digest;
}

/* In force is this policy, as the file says. The disk may refuse what memory must know all the same. */
static void set_current(struct history *h, uint32_t number)
{
	h->unwritten |= h->current != number || h->rolled_back;
	h->current = number;
	h->rolled_back = false;
	h->unlisted = !number;
}

/* The entry with this text that is in force, or was until one came that could not be added. */
static const struct history_entry *find_same(const struct history *h, uint64_t digest)
{
	const struct history_entry *e = h->unlisted ? history_previous(h) : history_find(h, h->current);

	return e && e->digest == digest ? e : NULL;
}

int history_add(struct history *h, const char *text, const char *who, const char *source)
{
	struct history_entry e = {.number = h->last + 1, .time = time(NULL)};
	const struct history_entry *same;
	int err;

	e.digest = digest_bytes(DIGEST_START, text, strlen(text));
	same = find_same(h, e.digest);
	if (same) {
		set_current(h, same->number);
		return history_write_again(h);
	}
	if (is_unfinished(h, e.digest)) {
		h->v[h->n - 1].left = false;
		set_current(h, h->v[h->n - 1].number);
		return write_state(h);
	}
	snprintf(e.who, sizeof(e.who), "%s", who);
	snprintf(e.source, sizeof(e.source), "%s", source);
	do
		err = write_entry(h, &e, text);
	while ((err == -ENOSPC || err == -EDQUOT) && forget_oldest(h)); /* they are worth less than what is in force */
	if (err) {
		set_current(h, 0);
		(void)write_state(h); /* the error that counts is the one before */
		return err;
	}
	*insert(h, e.number) = e;
	h->last = e.number;
	set_current(h, e.number);
	/* First the state, then the sweeping: what the state names is there at every moment. */
	err = write_state(h);
	if (err)
		return err;
	while (h->n > HISTORY_KEEP && forget_oldest(h))
		;
	sweep(h);
	return 0;
}

/* ---- what waits for a confirmation
 * ----------------------------------------------------------------------------------- */

static int64_t boottime_ms(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_BOOTTIME, &now) < 0)
		return 0;
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const struct history_pending *history_pending(const struct history *h)
{
	return &h->pending;
}

/* The state with this change, on disk and in memory, or neither. */
static int change_state(struct history *h, struct history *after)
{
	int err = write_state(after);

	if (err) {
		(void)write_state(h); /* the error that counts is the one before */
		return err;
	}
	h->current = after->current;
	h->rolled_back = after->rolled_back;
	h->pending = after->pending;
	h->told = after->told;
	h->unwritten = after->unwritten;
	return 0;
}

int history_set_pending(struct history *h, uint32_t back_to, uint32_t seconds)
{
	struct history after = *h;
	int err = file_make_dirs(h->dir, 0700);

	if (err)
		return err;
	/* Without it, a time of this boot would be taken for one of the next. */
	if (!*h->boot_id)
		return -ENOENT;
	after.pending = (struct history_pending){
		.pending = true, .back_to = back_to, .deadline_ms = boottime_ms() + (int64_t)seconds * 1000};
	memcpy(after.pending.boot_id, h->boot_id, sizeof(h->boot_id));
	return change_state(h, &after);
}

int history_clear_pending(struct history *h)
{
	struct history after = *h;

	after.pending.pending = false;
	return change_state(h, &after);
}

int history_went_back(struct history *h, uint32_t number)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->v[i].number >= number)
			h->v[i].left = h->v[i].number > number;
	h->current = number;
	h->rolled_back = true;
	h->unlisted = false;
	h->pending.pending = false;
	return write_state(h);
}

int64_t history_left_ms(const struct history *h)
{
	int64_t left;

	if (!h->pending.pending)
		return -1;
	if (!*h->boot_id || strcmp(h->boot_id, h->pending.boot_id) != 0)
		return 0;
	left = h->pending.deadline_ms - boottime_ms();
	return left < 0 ? 0 : left > SECONDS_MAX * 1000ll ? SECONDS_MAX * 1000ll : left;
}
