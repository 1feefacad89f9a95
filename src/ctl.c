/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "wire.h"

#define TIMEOUT_S  10 /* for the whole request, and again for the whole answer */
#define GROUPS_MAX 1024
#define DEAF_MS    500 /* where the next client could not be accepted */

struct client {
	struct client *next;
	struct ctl *ctl;
	struct bufferevent *bev;
	struct event *deadline;
	struct ucred who;
	bool may_look;
	bool answered;
	size_t searched; /* bytes of the request without a newline so far: it comes in small pieces */
};

struct ctl {
	struct event_base *base;
	const struct ctl_command *commands;
	void *ctx;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd;
	struct event *listener, *again;
	bool deaf;
	struct client *clients;
	const struct client *served; /* whose command is running */
	unsigned n_clients, n_readers;
	void (*drained)(void *ctx);
	void *drained_ctx;
};

static bool is_root(const struct client *c)
{
	return c->who.uid == 0;
}

/* The group as it is now: the administrator may make it while we run. */
static bool is_member(const struct ucred *who)
{
	const struct group *group = getgrnam(CTL_GROUP);
	gid_t gid, groups[GROUPS_MAX];
	int n = GROUPS_MAX;
	const struct passwd *user;

	if (!group)
		return false;
	gid = group->gr_gid;
	if (who->gid == gid)
		return true;
	user = getpwuid(who->uid);
	if (!user || getgrouplist(user->pw_name, user->pw_gid, groups, &n) < 0)
		return false;
	for (int i = 0; i < n; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

static void client_free(struct client *c)
{
	struct ctl *ctl = c->ctl;

	for (struct client **at = &ctl->clients; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	ctl->n_clients--;
	if (!is_root(c))
		ctl->n_readers--;
	event_free(c->deadline);
	bufferevent_free(c->bev);
	free(c);
	if (ctl->drained && !ctl->n_clients)
		ctl->drained(ctl->drained_ctx);
}

static void arm(struct client *c)
{
	static const struct timeval timeout = {.tv_sec = TIMEOUT_S};

	/* From now on, not from when the loop woke up: what was asked for may have taken longer than that. */
	(void)event_base_update_cache_time(c->ctl->base); /* fails only where there is no base */
	(void)event_add(c->deadline, &timeout); /* fails only where memory is out; then the client has no time limit */
}

/* Sends the answer, which it takes over; the client goes when it is out. */
static void answer(struct client *c, json_t *reply)
{
	char *line;

	if (!json_object_get(reply, "exit"))
		json_object_set_new(reply, "exit", json_integer(EXIT_DONE));
	line = json_dumps(reply, JSON_COMPACT);
	json_decref(reply);
	c->answered = true;
	(void)bufferevent_disable(c->bev,
				  EV_READ); /* what else it says is of no interest; it cannot fail on a socket */
	if (!line || bufferevent_write(c->bev, line, strlen(line)) < 0 || bufferevent_write(c->bev, "\n", 1) < 0)
		log_error("no memory for an answer on the control socket");
	free(line);
	arm(c);
}

static const struct ctl_command *find_command(const struct ctl *ctl, const char *name)
{
	for (const struct ctl_command *k = ctl->commands; k->name; k++)
		if (strcmp(k->name, name) == 0)
			return k;
	return NULL;
}

static void serve(struct client *c, const char *line, size_t len)
{
	struct wire_request request;
	const struct ctl_command *command;
	const char *why;

	if (wire_parse_request(line, len, &request, &why) < 0) {
		answer(c, wire_error(EXIT_USAGE, "%s", why));
		return;
	}
	command = find_command(c->ctl, request.command);
	c->ctl->served = c;
	if (!command)
		answer(c, wire_error(EXIT_USAGE, "qosd knows no command \"%s\"", request.command));
	else if (command->changes && !is_root(c))
		answer(c, wire_error(EXIT_PERMISSION, "only root may change anything (\"%s\")", request.command));
	else
		answer(c, command->run(c->ctl->ctx, request.args));
	c->ctl->served = NULL;
	wire_request_clear(&request);
}

static size_t longest_request(const struct client *c)
{
	return is_root(c) ? WIRE_CHANGE_MAX : WIRE_REQUEST_MAX;
}

/* The request without its newline, malloced; NULL: it is not whole yet. */
static char *read_request(struct client *c, struct evbuffer *in, size_t *len)
{
	struct evbuffer_ptr from;

	if (evbuffer_ptr_set(in, &from, c->searched, EVBUFFER_PTR_SET) == 0 &&
	    evbuffer_search_eol(in, &from, NULL, EVBUFFER_EOL_LF).pos >= 0)
		return evbuffer_readln(in, len, EVBUFFER_EOL_LF);
	c->searched = evbuffer_get_length(in);
	return NULL;
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct client *c = arg;
	size_t len;
	char *line;

	if (c->answered)
		return;
	line = read_request(c, in, &len);
	if (line)
		serve(c, line, len);
	else if (evbuffer_get_length(in) > longest_request(c))
		answer(c, wire_error(EXIT_USAGE, "the request is longer than %zu KiB", longest_request(c) / 1024));
	free(line);
}

static void on_written(struct bufferevent *bev, void *arg)
{
	struct client *c = arg;

	if (c->answered && !evbuffer_get_length(bufferevent_get_output(bev)))
		client_free(c);
}

/* Gone, or only its sending end closed: a request without a newline is none. */
static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct client *c = arg;

	(void)bev;
	if ((what & BEV_EVENT_EOF) && !c->answered) {
		answer(c, wire_error(EXIT_USAGE, "the request does not end with a newline"));
		return;
	}
	client_free(c);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
	if (c->answered)
		client_free(c);
	else
		answer(c, wire_error(EXIT_FAILED, "no request within %d s", TIMEOUT_S));
}

static struct client *client_new(struct ctl *ctl, int fd, const struct ucred *who)
{
	struct client *c = xcalloc(1, sizeof(*c));

	c->ctl = ctl;
	c->who = *who;
	c->bev = bufferevent_socket_new(ctl->base, fd, BEV_OPT_CLOSE_ON_FREE);
	c->deadline = evtimer_new(ctl->base, on_deadline, c);
	if (!c->bev || !c->deadline) {
		if (c->bev)
			bufferevent_free(c->bev);
		else
			close(fd);
		if (c->deadline)
			event_free(c->deadline);
		free(c);
		return NULL;
	}
	bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
	/* Read no further than one byte beyond the limit. */
	bufferevent_setwatermark(c->bev, EV_READ, 0, longest_request(c) + 1);
	c->next = ctl->clients;
	ctl->clients = c;
	ctl->n_clients++;
	if (!is_root(c))
		ctl->n_readers++;
	return c;
}

/* The client stays in the queue and would wake us up for ever: we listen again in a moment. */
static void rest(struct ctl *ctl, int err)
{
	static const struct timeval deaf = {.tv_usec = DEAF_MS * 1000};

	if (err == EAGAIN || err == EINTR || err == ECONNABORTED)
		return;
	if (!ctl->deaf)
		log_warning("cannot accept clients on the control socket: %s; trying again", strerror(err));
	ctl->deaf = true;
	if (event_add(ctl->again, &deaf) == 0)
		(void)event_del(ctl->listener); /* cannot fail on what was added */
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct ctl *ctl = arg;

	(void)fd;
	(void)what;
	if (ctl->listener && event_add(ctl->listener, NULL) < 0)
		rest(ctl, ENOMEM);
}

static void on_accept(evutil_socket_t listener, short what, void *arg)
{
	struct ctl *ctl = arg;
	struct ucred who;
	socklen_t len = sizeof(who);
	struct client *c;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0) {
		rest(ctl, errno);
		return;
	}
	ctl->deaf = false;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0) {
		close(fd);
		return;
	}
	c = client_new(ctl, fd, &who);
	if (!c)
		return;
	arm(c);
	/* One more than there may be: it is told so, and holds a slot only until it has read that. */
	if (!is_root(c) && !is_member(&who))
		answer(c, wire_error(EXIT_PERMISSION, "only root and members of the group " CTL_GROUP " may ask"));
	else if (ctl->n_clients > CTL_CLIENTS_MAX || ctl->n_readers > CTL_READERS_MAX)
		answer(c, wire_error(EXIT_FAILED, "too many clients at once, try again"));
	else
		(void)bufferevent_enable(c->bev, EV_READ); /* cannot fail on a socket */
}

/* Root and the group may connect; where there is no group, root alone. */
static int bind_to(struct ctl *ctl, char *why, size_t size)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	const struct group *group = getgrnam(CTL_GROUP);
	mode_t mask;
	int err = 0;

	strcpy(at.sun_path, ctl->path); /* the same size */
	if (unlink(ctl->path) < 0 && errno != ENOENT)
		err = -errno;
	mask = umask(0117);
	if (!err && bind(ctl->fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		err = -errno;
	umask(mask);
	if (!err && group && chown(ctl->path, (uid_t)-1, group->gr_gid) < 0)
		err = -errno;
	if (!err && listen(ctl->fd, CTL_CLIENTS_MAX) < 0)
		err = -errno;
	if (err)
		(void)snprintf(why, size, "cannot listen on %s: %s", ctl->path, strerror(-err));
	return err;
}

const char *ctl_user(const struct ctl *ctl, char *out, size_t size)
{
	const struct passwd *user = ctl->served ? getpwuid(ctl->served->who.uid) : NULL;

	if (user)
		(void)snprintf(out, size, "%s", user->pw_name); /* cut, if it must be */
	else if (ctl->served)
		(void)snprintf(out, size, "uid %u", (unsigned)ctl->served->who.uid);
	else
		out[0] = 0;
	return out;
}

struct ctl *ctl_open(struct event_base *base, const char *path, const struct ctl_command *commands, void *ctx,
		     char *why, size_t size)
{
	struct ctl *ctl = xcalloc(1, sizeof(*ctl));

	ctl->base = base;
	ctl->commands = commands;
	ctl->ctx = ctx;
	ctl->fd = -1;
	if (strlen(path) >= sizeof(ctl->path)) {
		(void)snprintf(why, size, "the path %s is too long for a Unix socket", path);
		goto fail;
	}
	strcpy(ctl->path, path); /* measured just above */
	ctl->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (ctl->fd < 0) {
		(void)snprintf(why, size, "cannot make a Unix socket: %s", strerror(errno));
		goto fail;
	}
	if (bind_to(ctl, why, size) < 0)
		goto fail;
	ctl->listener = event_new(base, ctl->fd, EV_READ | EV_PERSIST, on_accept, ctl);
	ctl->again = evtimer_new(base, on_again, ctl);
	if (!ctl->listener || !ctl->again || event_add(ctl->listener, NULL) < 0) {
		(void)snprintf(why, size, "no memory for the control socket");
		goto fail;
	}
	return ctl;
fail:
	if (ctl->listener)
		event_free(ctl->listener);
	if (ctl->again)
		event_free(ctl->again);
	if (ctl->fd >= 0)
		close(ctl->fd);
	free(ctl);
	return NULL;
}

void ctl_close(struct ctl *ctl)
{
	if (!ctl)
		return;
	ctl->drained = NULL;
	while (ctl->clients)
		client_free(ctl->clients);
	if (ctl->listener)
		event_free(ctl->listener);
	event_free(ctl->again);
	close(ctl->fd);
	(void)unlink(ctl->path); /* whoever comes next replaces it anyway */
	free(ctl);
}

void ctl_drain(struct ctl *ctl, void (*done)(void *ctx), void *ctx)
{
	if (ctl->listener)
		event_free(ctl->listener);
	ctl->listener = NULL;
	for (struct client *c = ctl->clients, *next; c; c = next) {
		next = c->next;
		if (!c->answered && c != ctl->served)
			client_free(c);
	}
	ctl->drained = done;
	ctl->drained_ctx = ctx;
	if (!ctl->n_clients)
		done(ctx);
}
