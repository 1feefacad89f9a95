/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIELDS_MAX 3

/* A part of the line, without the blanks around it. */
struct field {
	const char *s;
	size_t len;
	uint32_t col;
};

struct reader {
	struct diag *d;
	struct pos pos; /* of the line */
};

static void complain(struct reader *r, uint32_t col, const char *id, const char *text)
{
	struct pos pos = r->pos;

	pos.col = col;
	diag_error(r->d, pos, id, "%s", text);
}

static void complain_about(struct reader *r, const struct field *f, const char *id, const char *what, const char *why)
{
	char text[320];

	(void)snprintf(text, sizeof(text), "%s \"%.*s\": %s", what, (int)(f->len > 64 ? 64 : f->len), f->s, why);
	complain(r, f->col, id, text);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct field trim(const char *line, size_t from, size_t to)
{
	while (from < to && is_blank(line[from]))
		from++;
	while (to > from && is_blank(line[to - 1]))
		to--;
	return (struct field){.s = line + from, .len = to - from, .col = (uint32_t)from + 1};
}

/* A NUL-terminated copy of a field that the parsers of text.h can read, or NULL if it is longer than any value. */
static const char *copy_field(const struct field *f, char buf[TEXT_MAX])
{
	if (f->len >= TEXT_MAX)
		return NULL;
	memcpy(buf, f->s, f->len);
	buf[f->len] = '\0';
	return buf;
}

static bool read_rate(struct reader *r, const struct field *f, const char *what, uint64_t *Bps)
{
	char buf[TEXT_MAX], readings[TEXT_READINGS_MAX];
	const char *s = copy_field(f, buf), *why = "too long for a rate";
	struct rate rate;

	*Bps = 0;
	if (!f->len)
		return true; /* `address,,10mbit`: none in this direction */
	if (!s || text_rate(s, &rate, &why) != 0) {
		complain_about(r, f, "bad-rate", what, s && text_rate_readings(readings, s) ? readings : why);
		return false;
	}
	if (rate.percent || !rate.Bps) {
		complain_about(r, f, "bad-rate", what,
			       rate.percent ? "an address has no parent to take a share of" : "must be above zero");
		return false;
	}
	*Bps = rate.Bps;
	return true;
}

static bool read_address(struct reader *r, const struct field *f, struct prefix *out)
{
	char buf[TEXT_MAX], net[TEXT_MAX], host[TEXT_MAX], which[2 * TEXT_MAX + 64];
	const char *s = copy_field(f, buf), *why = "too long for an address";
	struct prefix network, single;

	if (s && !text_prefix(s, out, &why))
		return true;
	if (s && text_masked(s, &network, &single)) {
		(void)snprintf(which, sizeof(which),
			       "bits are set behind the prefix length: the network %s or the address %s?",
			       text_format_prefix(net, &network), text_format_prefix(host, &single));
		why = which;
	}
	complain_about(r, f, "bad-address", "address", why);
	return false;
}

static bool read_fields(struct reader *r, const struct field *fields, size_t n, struct csv_row *row)
{
	bool good = read_address(r, &fields[0], &row->prefix);

	if (n == 1)
		return good;
	if (n == 2) {
		complain(r, fields[1].col, "bad-row",
			 "an upload rate without a download rate, expected \"address,up,down\"");
		return false;
	}
	if (!fields[1].len && !fields[2].len) {
		complain(r, fields[1].col, "bad-row", "neither of the two rates is there: write the address alone");
		return false;
	}
	good = read_rate(r, &fields[1], "upload rate", &row->up_Bps) && good;
	good = read_rate(r, &fields[2], "download rate", &row->down_Bps) && good;
	return good;
}

/* False if the line holds no row, be it blank or bad. */
static bool read_line(struct reader *r, const char *line, size_t len, struct csv_row *row)
{
	const char *hash = memchr(line, '#', len);
	struct field fields[FIELDS_MAX];
	size_t n = 0, from = 0, end;

	if (len > CSV_LINE_MAX) {
		complain(r, 1, "bad-row", "the line is longer than 1024 bytes");
		return false;
	}
	if (memchr(line, '\0', len)) {
		complain(r, 1, "bad-row", "the line holds a NUL byte, expected text");
		return false;
	}
	end = hash ? (size_t)(hash - line) : len;
	if (!trim(line, 0, end).len)
		return false;
	for (size_t i = 0; i <= end; i++) {
		if (i < end && line[i] != ',')
			continue;
		if (n == FIELDS_MAX) {
			complain(r, (uint32_t)from + 1, "bad-row",
				 "more than three fields, expected \"address,up,down\"");
			return false;
		}
		fields[n++] = trim(line, from, i);
		from = i + 1;
	}
	row->pos = r->pos;
	row->pos.col = fields[0].col;
	return read_fields(r, fields, n, row);
}

void csv_parse(struct arena *a, struct diag *d, uint32_t file, const char *text, size_t len, struct csv *out)
{
	struct reader r = {.d = d, .pos = {.file = file}};
	const char *end = text + len, *line = text, *newline;

	for (; line < end; line = newline + 1) {
		struct csv_row row = {0};
		size_t n;

		newline = memchr(line, '\n', (size_t)(end - line));
		if (!newline)
			newline = end;
		n = (size_t)(newline - line);
		if (n && line[n - 1] == '\r')
			n--;
		r.pos.line++;
		if (r.pos.line == 1 && n >= 3 && !memcmp(line, "\xef\xbb\xbf", 3)) {
			/* spreadsheets put a byte order mark in front */
			line += 3;
			n -= 3;
		}
		if (read_line(&r, line, n, &row))
			*vec_add(a, out) = row;
	}
}

/* Everything behind fd up to CSV_SIZE_MAX bytes, malloced. */
static int read_all(int fd, char **text, size_t *len)
{
	size_t room = CSV_SIZE_MAX + 1, n = 0;
	struct stat st;
	char *buf;
	ssize_t got;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -ENOTSUP;
	if (st.st_size > (off_t)CSV_SIZE_MAX)
		return -EFBIG;
	if (st.st_size > 0 && (size_t)st.st_size + 1 < room)
		room = (size_t)st.st_size + 1;
	buf = xmalloc(room);
	while (n < room) {
		got = read(fd, buf + n, room - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int err = -errno;

			free(buf);
			return err;
		}
		if (got == 0)
			break;
		n += (size_t)got;
	}
	if (n > CSV_SIZE_MAX) {
		free(buf);
		return -EFBIG;
	}
	*text = buf;
	*len = n;
	return 0;
}

int csv_load(struct arena *a, struct diag *d, struct pos from, const char *path, struct csv *out)
{
	/* O_NONBLOCK: a FIFO must not make us wait for a writer before fstat refuses it. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text = NULL;
	size_t len = 0;
	int err = fd < 0 ? -errno : read_all(fd, &text, &len);

	if (fd >= 0)
		(void)close(fd); /* only read from */
	switch (err) {
	case 0:
		csv_parse(a, d, diag_add_source(d, path, text, len), text, len, out);
		free(text);
		return 0;
	case -ENOTSUP: diag_error(d, from, "unreadable-file", "%s is not a regular file", path); return err;
	case -EFBIG: diag_error(d, from, "unreadable-file", "%s is larger than 16 MiB", path); return err;
	default: diag_error(d, from, "unreadable-file", "cannot read %s: %s", path, strerror(-err)); return err;
	}
}
