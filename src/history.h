/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * history: the policies that were in force, as canonical YAML (sets and all, so that nothing outside is needed to go
 * back to one), with time and who. Kept in STATE_DIR/history/, the last HISTORY_KEEP of them, fewer on a full disk. It
 * also remembers, across restarts, which one is in force and whether a change waits for `qosctl confirm`.
 */
#ifndef QOSD_HISTORY_H
#define QOSD_HISTORY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_KEEP 10

struct history_entry {
	uint32_t number;  /* counts up, never used twice */
	int64_t time;     /* seconds since the epoch: when it came into force */
	uint64_t digest;  /* of the text */
	bool left;        /* gone back from, and not in force since */
	char who[64];     /* "root", "start", "SIGHUP" */
	char source[256]; /* the policy file as it was named */
};

/* A change that goes back by itself. */
struct history_pending {
	bool pending;
	uint32_t back_to;    /* number */
	int64_t deadline_ms; /* CLOCK_BOOTTIME */
	char boot_id[40];    /* of the boot that deadline_ms belongs to */
};

struct history;

/* Reads DIR/history; writes nothing, a history that is missing is empty. NULL with a sentence in why. Entries that
 * cannot be read are left out; sentences about that are added to what is in why. */
struct history *history_open(const char *state_dir, char *why, size_t size);
void history_close(struct history *h);

/* Oldest first; good until the next history_add. */
const struct history_entry *history_entries(const struct history *h, size_t *n);
const struct history_entry *history_find(const struct history *h, uint32_t number);
/* The entry in force, 0 if none is known; is it one that was gone back to, so that the policy file is not in force? */
uint32_t history_current(const struct history *h, bool *rolled_back);
/* Is in force what could not be added? Then history_current is 0. */
bool history_lacks_current(const struct history *h);
/* The last one before the one in force that was not gone back from, or NULL. */
const struct history_entry *history_previous(const struct history *h);
/* Path of the entry's YAML, for model_load. */
void history_path(const struct history *h, uint32_t number, char out[PATH_MAX]);
/* Is the text still what was written? 0, -ENOENT, -EBADMSG, or -errno where it cannot be read now. */
int history_check(const struct history *h, uint32_t number);

/* These two say what the kernel has come to already. Where that cannot be written it is known until the daemon ends,
 * and every later write tries it again. */

/* A policy came into force. The same text as the entry in force adds nothing; where there is no room, old entries go.
 * 0 or -errno; if there is no entry then, none of the history is in force. */
int history_add(struct history *h, const char *text, const char *who, const char *source);
/* The entry is in force again, and nothing waits any more. 0 or -errno. */
int history_went_back(struct history *h, uint32_t number);
/* Writes what could not be written before, if there is anything. 0 or -errno. */
int history_write_again(struct history *h);

const struct history_pending *history_pending(const struct history *h);
/* Starts the time; 0 or -errno, and then nothing waits. */
int history_set_pending(struct history *h, uint32_t back_to, uint32_t seconds);
/* Confirmed. 0 or -errno, and then it still waits. */
int history_clear_pending(struct history *h);
/* Milliseconds that are left; 0 if the time is over or belongs to another boot; -1 if nothing is pending. */
int64_t history_left_ms(const struct history *h);

#endif
