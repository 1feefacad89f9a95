/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ctl: the server end of the control socket. Reads one request of a client, asks whether that user may, runs the
 * command and sends its answer; what wire.h says. Clients are few, limited in size and time, and never trusted.
 */
#ifndef QOSD_CTL_H
#define QOSD_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct ctl;
struct event_base;

/* run returns the answer, an object; "exit" is put in as 0 where it is missing. */
struct ctl_command {
	const char *name;
	bool changes; /* for root only; the others are for members of the group too */
	json_t *(*run)(void *ctx, const json_t *args);
};

#define CTL_GROUP       "qosd"
#define CTL_CLIENTS_MAX 32
#define CTL_READERS_MAX 16 /* of those who are not root, so that they never lock root out */

/* Listens on path (mode 0660, group qosd if there is one), replacing a socket that is there: whoever calls holds the
 * lock of the run directory. commands ends with a NULL name. The process must ignore SIGPIPE. NULL with a sentence in
 * why. */
struct ctl *ctl_open(struct event_base *base, const char *path, const struct ctl_command *commands, void *ctx,
		     char *why, size_t size);
/* Closes all connections and removes the socket. */
void ctl_close(struct ctl *c);
/* Accepts nobody any more, drops who was not answered yet, and calls done once the answers under way are out. A command
 * may call it: its own answer still goes out. */
void ctl_drain(struct ctl *c, void (*done)(void *ctx), void *ctx);
/* The name of the user whose command is running, or "uid N", or "" if none is; written to out, which is returned. */
const char *ctl_user(const struct ctl *c, char *out, size_t size);

#endif
