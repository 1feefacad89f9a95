/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * reload: the one way from a policy file to the kernel: load, check, plan, read the state, diff, apply. First start,
 * reload, repair of drift, a link that appeared and recovery after a crash are all this path; `plan` is the same
 * stopped before apply.
 */
#ifndef QOSD_RELOAD_H
#define QOSD_RELOAD_H

#include "apply.h"
#include "caps.h"
#include "plan.h"
#include "state.h"

struct history;
struct nl;
struct pins;

struct reload_paths {
	const char *config;    /* /etc/qosd/qosd.yaml */
	const char *state_dir; /* /var/lib/qosd; made if missing */
	const char *pin_dir;   /* /sys/fs/bpf/qosd */
};

/* What one run found and did. Owns everything it points to; reload_result_free. */
struct reload_result {
	struct arena *arena;
	struct diag *diag;    /* messages about the policy, warnings too */
	int exit;             /* EXIT_* of exits.h; 0: done (or planned) */
	const char *error;    /* one sentence; "" if exit is 0 */
	const char *warning;  /* what went wrong besides, one sentence; "" otherwise */
	struct model *model;  /* NULL if the policy is invalid */
	struct plan *plan;    /* NULL likewise */
	const char **changes; /* a line a step, as diff_describe writes it */
	size_t n_changes;
	struct refusal refusal; /* if the kernel refused: step NULL otherwise */
	bool applied;
};

/* The shaper: the kernel at hand, the numbers in use, and the last result that was applied. One a daemon. */
struct shaper;

/* Opens sockets and pins, probes the kernel, reads the handle table and live edits. NULL with a sentence in why. */
struct shaper *shaper_new(const struct reload_paths *paths, char *why, size_t size);
/* Closes; the kernel's objects stay. */
void shaper_free(struct shaper *s);

/* What an apply would do now. */
struct reload_result *shaper_plan(struct shaper *s);
/* Does it. If exit is 0 the result becomes the current one and stays the shaper's (do not free it). who is for the
 * history. */
struct reload_result *shaper_reload(struct shaper *s, const char *who);
/* The first run of a daemon: the policy file, or what was gone back to before the restart, or what waits to be
 * confirmed, or, if the time for that is over, the policy before it. What cannot be brought into force is told in
 * warning and the next best is tried, the file last. */
struct reload_result *shaper_start(struct shaper *s);
/* Will shaper_start try a policy of the history before the file? Needs no rights and writes nothing. */
bool shaper_starts_with_history(const struct reload_paths *paths);
/* What is in force, in words, where that is not what the policy file was at the last reload; otherwise "". */
const char *shaper_in_force(const struct shaper *s, struct arena *a);
/* A reload that goes back by itself after so many seconds, unless shaper_confirm comes. The caller keeps the time, see
 * history_left_ms, and calls shaper_expire. Nothing waits if the policy turned out to be the one in force. */
struct reload_result *shaper_reload_confirm(struct shaper *s, const char *who, uint32_t seconds);
/* 0, or -ENOENT if nothing waits, or why it could not be written; then it still waits. */
int shaper_confirm(struct shaper *s, char *why, size_t size);
/* The time is over: back to the policy before. NULL if nothing waits. If it failed, the change still waits. As in every
 * way back, an interface where somebody else's qdisc has the place of ours is left alone, which the plan says, and what
 * cannot be written is a warning. */
struct reload_result *shaper_expire(struct shaper *s);
/* Back to a policy of the history; number 0: the one before the one in force (or before the change that waits). */
struct reload_result *shaper_rollback(struct shaper *s, uint32_t number);
/* What the history could not write, if there is anything: call it now and then. */
void shaper_write_again(struct shaper *s);
const struct history *shaper_history(const struct shaper *s);
/* The same with the model that is in force: after a link came or went, or a live edit. Never NULL if there is a current
 * one. */
struct reload_result *shaper_replan(struct shaper *s);
void reload_result_free(struct reload_result *r);

/* The result in force; NULL before the first success. */
const struct reload_result *shaper_current(const struct shaper *s);
const struct caps *shaper_caps(const struct shaper *s);
const struct links *shaper_links(const struct shaper *s); /* as of the last run */
struct nl *shaper_nl(struct shaper *s);
struct pins *shaper_pins(struct shaper *s);
const struct reload_paths *shaper_paths(const struct shaper *s);

/* Removes everything of ours from this namespace and the pins: `qosctl stop` with on-stop: remove. -errno with why, and
 * everything is as it was; or 0, and nothing is shaped any more: what is left then in files or pins is said in why, ""
 * otherwise. */
int shaper_remove(struct shaper *s, char *why, size_t size);

/* Live edits: kept in STATE_DIR/elements.json and applied by one shaper_replan. prefix as text; rates 0 for none. 0, or
 * -errno with a sentence in why: -ENOENT no such set, -EEXIST a file has it already (why names the place) or it is
 * there live, -ENXIO nothing to delete. */
int shaper_set_add(struct shaper *s, const char *set, const struct prefix *p, uint64_t up_Bps, uint64_t down_Bps,
		   char *why, size_t size);
int shaper_set_del(struct shaper *s, const char *set, const struct prefix *p, char *why, size_t size);
/* All rows at once, or none; those that the set has already with the same rates are skipped. No address may be in rows
 * twice; their set is not looked at. How many are new or have new rates, or -errno with a sentence in why. */
int shaper_set_import(struct shaper *s, const char *set, const struct plan_live *rows, size_t n, char *why,
		      size_t size);
/* Takes back all live edits of the set: how many, or -errno with a sentence in why. */
int shaper_set_flush(struct shaper *s, const char *set, char *why, size_t size);
/* All live edits, by set and prefix; good until the next edit. */
const struct plan_live *shaper_live(const struct shaper *s, size_t *n);
/* Is this element of the set a live edit? */
bool shaper_set_is_live(const struct shaper *s, const char *set, const struct prefix *p);

#endif
