/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "diag.h"
#include "mem.h"
#include "text.h"

/* Lists of every address of a large set are the longest answers: about 200 bytes each. */
#define REPLY_MAX (256u * 1024u * 1024u)

static bool is_command(const char *s, size_t size)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz-");

	return n > 0 && n < size && !s[n];
}

static int check_request(const json_t *root, const char **why)
{
	const json_t *args = json_object_get(root, "args");
	const char *command = json_string_value(json_object_get(root, "command"));
	const char *key;
	json_t *value;

	if (!json_is_object(root)) {
		*why = "a request is one JSON object";
		return -EINVAL;
	}
	json_object_foreach ((json_t *)root, key, value) {
		if (strcmp(key, "command") != 0 && strcmp(key, "args") != 0) {
			*why = "a request has the keys command and args, and no others";
			return -EINVAL;
		}
	}
	if (!command || !is_command(command, sizeof(((struct wire_request *)0)->command))) {
		*why = "command is missing or not a word";
		return -EINVAL;
	}
	if (args && !json_is_object(args)) {
		*why = "args is not a JSON object";
		return -EINVAL;
	}
	return 0;
}

int wire_parse_request(const char *line, size_t len, struct wire_request *out, const char **why)
{
	json_error_t error;
	json_t *root = NULL;
	int err = -EINVAL;

	memset(out, 0, sizeof(*out));
	if (len > WIRE_CHANGE_MAX) {
		*why = "the request is longer than 24 MiB";
		goto out;
	}
	root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	if (!root) {
		*why = "the request is not valid JSON";
		goto out;
	}
	err = check_request(root, why);
	if (err)
		goto out;
	strcpy(out->command, json_string_value(json_object_get(root, "command"))); /* fits: is_command */
	out->args = json_incref(json_object_get(root, "args"));
	if (!out->args)
		out->args = json_object();
out:
	json_decref(root);
	return err;
}

void wire_request_clear(struct wire_request *r)
{
	json_decref(r->args);
	memset(r, 0, sizeof(*r));
}

json_t *wire_text_n(const char *s, size_t len)
{
	static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
	char *clean = xmalloc(len * 3);
	size_t used = 0;
	uint32_t code;
	json_t *text;

	for (size_t i = 0; i < len;) {
		size_t n = s[i] ? text_utf8(s + i, len - i, &code) : 0;

		memcpy(clean + used, n ? s + i : replacement, n ? n : 3);
		used += n ? n : 3;
		i += n ? n : 1;
	}
	text = json_stringn(clean, used);
	free(clean);
	return text;
}

json_t *wire_text(const char *s)
{
	return s ? wire_text_n(s, strlen(s)) : json_null();
}

json_t *wire_count(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static json_t *printed(const struct diag *d, const struct diag_message *m)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	json_t *j;

	if (!f)
		return wire_text(m->text);
	diag_print_one(d, m, f);
	j = fclose(f) == 0 ? wire_text_n(text, size) : wire_text(m->text);
	free(text);
	return j;
}

json_t *wire_messages(struct diag *d)
{
	static const char *const levels[] = {
		[DIAG_ERROR] = "error",
		[DIAG_WARNING] = "warning",
		[DIAG_NOTE] = "note",
	};
	json_t *list = json_array();

	for (size_t i = 0, n = diag_count(d); i < n; i++) {
		const struct diag_message *m = diag_get(d, i);
		json_t *j = json_object();

		json_object_set_new(j, "level", json_string(levels[m->level]));
		json_object_set_new(j, "file", wire_text(diag_source_name(d, m->pos.file)));
		json_object_set_new(j, "line", json_integer(m->pos.line));
		json_object_set_new(j, "column", json_integer(m->pos.col));
		json_object_set_new(j, "id", wire_text(m->id));
		json_object_set_new(j, "text", wire_text(m->text));
		json_object_set_new(j, "printed", printed(d, m));
		json_array_append_new(list, j);
	}
	return list;
}

json_t *wire_error(int exit, const char *fmt, ...)
{
	json_t *j = json_object();
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* a sentence; cut where somebody's name is longer than that */
	va_end(ap);
	json_object_set_new(j, "exit", json_integer(exit));
	json_object_set_new(j, "error", wire_text(text));
	return j;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits until the socket is ready for events. 0, or -ETIMEDOUT at the deadline, or -errno. */
static int wait_for(int fd, short events, int64_t deadline_ms)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = deadline_ms - now_ms();
		int n = poll(&p, 1, left > 0 ? (int)left : 0);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (left <= 0)
			return -ETIMEDOUT;
	}
}

static int send_all(int fd, const char *data, size_t len, int64_t deadline_ms)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		int err = 0;

		if (n < 0 && errno == EAGAIN)
			err = wait_for(fd, POLLOUT, deadline_ms);
		else if (n < 0 && errno != EINTR)
			err = -errno;
		if (err)
			return err;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* Reads until the other side closes. *out is the caller's to free, also on error. */
static int receive_all(int fd, char **out, size_t *len, int64_t deadline_ms)
{
	size_t room = 0;

	*out = NULL;
	*len = 0;
	for (;;) {
		ssize_t n;
		int err;

		if (room - *len < 4096) {
			room = room ? room * 2 : 16384;
			if (room > REPLY_MAX)
				return -EMSGSIZE;
			*out = xrealloc(*out, room);
		}
		err = wait_for(fd, POLLIN, deadline_ms);
		if (err)
			return err;
		n = recv(fd, *out + *len, room - *len, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno == ECONNRESET)) /* reset: closed without reading all that we sent */
			return 0;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (n > 0)
			*len += (size_t)n;
	}
}

/* A connect that cannot block: with a full backlog a Unix socket says EAGAIN at once. */
static int connect_to(const char *path, int64_t deadline_ms)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	strcpy(to.sun_path, path); /* measured just above */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		int err = -errno;

		if (err == -EINTR)
			continue;
		if (err != -EAGAIN || now_ms() >= deadline_ms) {
			close(fd);
			return err == -EAGAIN ? -ETIMEDOUT : err;
		}
		(void)poll(NULL, 0, 50);
	}
	return fd;
}

static char *request_line(const char *command, json_t *args)
{
	json_t *request = json_object();
	char *line;

	json_object_set_new(request, "command", json_string(command));
	json_object_set_new(request, "args", args ? args : json_object());
	line = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	return line;
}

/* What it means for a person that the conversation failed with err. */
static json_t *call_failed(int err, const char *path, unsigned timeout_s)
{
	switch (err) {
	case -ENOENT:
	case -ECONNREFUSED: return wire_error(EXIT_NOT_RUNNING, "qosd is not running (no one answers at %s)", path);
	case -EACCES:
	case -EPERM:
		return wire_error(EXIT_PERMISSION, "no permission to talk to qosd at %s (root or group qosd)", path);
	case -ETIMEDOUT: return wire_error(EXIT_FAILED, "qosd did not answer within %u s", timeout_s);
	case -EBADMSG: return wire_error(EXIT_FAILED, "qosd closed the connection without a whole answer");
	default: return wire_error(EXIT_FAILED, "cannot talk to qosd at %s: %s", path, strerror(-err));
	}
}

json_t *wire_call(const char *socket_path, const char *command, json_t *args, unsigned timeout_s)
{
	int64_t deadline_ms = now_ms() + (int64_t)timeout_s * 1000;
	char *line = request_line(command, args), *text = NULL;
	json_t *reply = NULL;
	size_t len = 0;
	int fd, err;

	fd = connect_to(socket_path, deadline_ms);
	err = fd < 0 ? fd : 0;
	if (!err)
		err = send_all(fd, line, strlen(line), deadline_ms);
	if (!err)
		err = send_all(fd, "\n", 1, deadline_ms);
	/* A daemon that refuses us answers without reading the request and closes: the answer counts, not our EPIPE. */
	if (!err || err == -EPIPE || err == -ECONNRESET)
		err = receive_all(fd, &text, &len, deadline_ms);
	if (!err)
		reply = json_loadb(text, len, 0, NULL);
	if (!json_is_integer(json_object_get(reply, "exit"))) {
		json_decref(reply);
		reply = call_failed(err ? err : -EBADMSG, socket_path, timeout_s);
	}
	if (fd >= 0)
		close(fd);
	free(line);
	free(text);
	return reply;
}
