/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "csv.h"
#include "ctl.h"
#include "digest.h"
#include "fastpath.h"
#include "file.h"
#include "history.h"
#include "keys.h"
#include "learn.h"
#include "links.h"
#include "log.h"
#include "meter.h"
#include "missing.h"
#include "pins.h"
#include "sd.h"
#include "show.h"
#include "wire.h"

#define SETTLE_MS      10   /* after a link event, for those that come with it */
#define RETRY_MIN_MS   1000 /* after a run that failed; doubled each time */
#define RETRY_MAX_MS   60000
#define AGE_S          5
#define WAIT_MAX_MS    10000 /* between looks at a time to confirm: it goes on in suspend, our timers do not */
#define AGE_KEYS_MS    20    /* between two steps through the keys of classes with per */
#define TICK_MS        1000  /* of the meter */
#define TOP_MAX        10000
#define NAMESPACE_LOCK "qosd" /* abstract socket, one a network namespace */

/* What the log said of qdiscs that are missing, for as long as they are. */
struct loss {
	const char *text, *ifname;
};
struct told {
	struct arena *a;
	VEC(struct loss);
};

struct daemon {
	const struct daemon_options *options;
	int lock, namespace_lock, links;
	struct event_base *base;
	struct shaper *shaper;
	struct learn *learn;
	struct keys *keys;
	struct meter *meter;
	struct ctl *ctl;
	struct event *terminate, *interrupt, *hangup, *hung_up, *asked;
	struct event *link_event, *replan, *age, *age_keys, *tick, *save, *learned, *learned_again, *expire;
	unsigned retry_ms;
	unsigned long long replan_at_ms; /* when replan is due, where it is pending */
	unsigned expire_retry_ms;
	unsigned run_ms; /* how long the last run took */
	unsigned long long run_end_ms;
	struct told missing; /* qdiscs at the last look */
	uint64_t refused;    /* digest of what was told of interfaces that are left alone */
	bool removed;        /* everything of ours is gone already */
	bool stopped;        /* `stop` has done all that comes at the end */
};

static struct timeval milliseconds(uint64_t ms)
{
	return (struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

/* From now on, however long ago the loop woke up. Only memory that is out makes this fail. */
static void start_timer(struct event *e, uint64_t ms)
{
	struct timeval tv = milliseconds(ms);

	(void)event_base_update_cache_time(event_get_base(e)); /* fails only where there is no base */
	if (event_add(e, &tv) < 0)
		log_error("cannot set a timer");
}

static bool is_pending(const struct event *e)
{
	return event_pending(e, EV_TIMEOUT | EV_READ, NULL);
}

/* ---- runs -----------------------------------------------------------------------------------------------------------
 */

static const struct model *model_in_force(const struct daemon *d)
{
	return shaper_current(d->shaper)->model;
}

static void log_changes(const char *occasion, const struct reload_result *r)
{
	log_info("%s: %zu %s", occasion, r->n_changes, r->n_changes == 1 ? "change" : "changes");
	for (size_t i = 0; i < r->n_changes; i++)
		log_debug("%s", r->changes[i]);
}

static void on_ring(evutil_socket_t fd, short what, void *arg);

/* What hangs on the policy in force and on the maps. */
static void follow(struct daemon *d)
{
	uint64_t save_ms = model_in_force(d)->learned_save_ns / 1000000;
	int fd;

	if (d->learned)
		event_free(d->learned);
	d->learned = NULL;
	learn_follow(d->learn);
	fastpath_follow(d->shaper);
	fd = learn_events_fd(d->learn);
	if (fd >= 0)
		d->learned = event_new(d->base, fd, EV_READ, on_ring, d);
	if (d->learned && !is_pending(d->learned_again))
		(void)event_add(d->learned, NULL); /* on_ring_again tries again if not */
	if (!save_ms)
		(void)event_del(d->save); /* cannot fail on a timer */
	else if (!is_pending(d->save))
		start_timer(d->save, save_ms);
}

static unsigned long long now_ms(void)
{
	return learn_now_ns() / 1000000;
}

/* Interfaces that are there and left alone, once for as long as they are the same. */
static void tell_refused(struct daemon *d, const struct reload_result *r)
{
	const struct plan *p = r->plan;
	uint64_t before = d->refused;
	struct arena *a = arena_new();

	d->refused = DIGEST_START;
	for (size_t i = 0; i < p->hooks.n; i++)
		d->refused = digest_bytes(d->refused, p->hooks.v[i].refused, strlen(p->hooks.v[i].refused));
	for (size_t i = 0; i < p->forwards.n; i++)
		d->refused = digest_bytes(d->refused, p->forwards.v[i].refused, strlen(p->forwards.v[i].refused));
	for (size_t i = 0; i < p->hooks.n && d->refused != before; i++)
		if (*p->hooks.v[i].refused)
			log_warning("%s: %s is not shaped: %s", diag_where(r->diag, p->hooks.v[i].hook->pos, a),
				    p->hooks.v[i].ifname, p->hooks.v[i].refused);
	for (size_t i = 0; i < p->forwards.n && d->refused != before; i++)
		if (*p->forwards.v[i].refused)
			log_warning("%s: forwarding rule %s does nothing: %s",
				    diag_where(r->diag, p->forwards.v[i].rule->pos, a), p->forwards.v[i].rule->name,
				    p->forwards.v[i].refused);
	arena_free(a);
}

/* Nobody tells when what is in the way of an interface with a name of its own is gone: it is tried again. */
static bool leaves_named(const struct plan *p)
{
	for (size_t i = 0; i < p->hooks.n; i++)
		if (*p->hooks.v[i].refused && !p->hooks.v[i].iface->glob)
			return true;
	for (size_t i = 0; i < p->forwards.n; i++)
		if (*p->forwards.v[i].refused)
			return true;
	return false;
}

static void replan_in(struct daemon *d, unsigned long long ms)
{
	d->replan_at_ms = now_ms() + ms;
	start_timer(d->replan, ms);
}

/* After a run that may have left an interface alone; on_replan sees to it by itself. */
static void try_left_again(struct daemon *d)
{
	if (!leaves_named(shaper_current(d->shaper)->plan) || is_pending(d->replan))
		return;
	d->retry_ms = RETRY_MIN_MS;
	replan_in(d, RETRY_MIN_MS);
}

static void note_run(struct daemon *d, unsigned long long start_ms)
{
	d->run_end_ms = now_ms();
	d->run_ms = (unsigned)(d->run_end_ms - start_ms);
}

/* Takes note of a result that the shaper gave; it is valid until the next run. */
static void settle(struct daemon *d, struct reload_result *r)
{
	if (r->applied) {
		d->retry_ms = 0;
		tell_refused(d, r);
		follow(d);
	}
}

/* A result that is not in force is ours to free. */
static void discard(struct reload_result *r)
{
	if (!r->applied)
		reload_result_free(r);
}

static void log_result(const char *occasion, const struct reload_result *r)
{
	if (r->applied)
		log_changes(occasion, r);
	else
		log_error("%s: %s", occasion, r->error);
	if (*r->warning)
		log_warning("%s: %s", occasion, r->warning);
}

static uint32_t policy_in_force(const struct daemon *d)
{
	return history_current(shaper_history(d->shaper), NULL);
}

/* "policy 3": what is in force. */
static const char *name_in_force(const struct daemon *d, char *out, size_t size)
{
	uint32_t number = policy_in_force(d);

	if (number)
		(void)snprintf(out, size, "policy %u", number); /* short */
	else
		(void)snprintf(out, size, "a policy that is not in the history"); /* short, too */
	return out;
}

/* "goes back to policy 3 in 120 s unless `qosctl confirm` comes". False if nothing waits. */
static bool waiting_text(const struct daemon *d, char *out, size_t size)
{
	const struct history *h = shaper_history(d->shaper);

	if (!history_pending(h)->pending)
		return false;
	(void)snprintf(out, size, "goes back to policy %u in %lld s unless `qosctl confirm` comes", /* short */
		       history_pending(h)->back_to, (long long)(history_left_ms(h) + 999) / 1000);
	return true;
}

/* Sets the timer for what waits to be confirmed, if anything does. */
static void watch_waiting(struct daemon *d)
{
	int64_t left_ms = history_left_ms(shaper_history(d->shaper));

	d->expire_retry_ms = 0;
	if (left_ms < 0)
		(void)event_del(d->expire); /* cannot fail on a timer */
	else
		start_timer(d->expire, left_ms < WAIT_MAX_MS ? (uint64_t)left_ms : WAIT_MAX_MS);
}

/* seconds 0: for good. */
static struct reload_result *reload(struct daemon *d, const char *who, uint32_t seconds)
{
	unsigned long long start = now_ms();
	struct reload_result *r;
	char waiting[128], policy[64];

	(void)sd_tell_reloading(); /* who does not listen misses nothing */
	r = seconds ? shaper_reload_confirm(d->shaper, who, seconds) : shaper_reload(d->shaper, who);
	note_run(d, start);
	settle(d, r);
	log_result("reload", r);
	if (r->applied && waiting_text(d, waiting, sizeof(waiting)))
		log_info("%s is in force for now: %s", name_in_force(d, policy, sizeof(policy)), waiting);
	watch_waiting(d);
	(void)sd_tell("READY=1");
	return r;
}

static struct reload_result *rollback(struct daemon *d, const char *who, uint32_t number)
{
	unsigned long long start = now_ms();
	struct reload_result *r;

	(void)sd_tell_reloading(); /* who does not listen misses nothing */
	r = shaper_rollback(d->shaper, number);
	note_run(d, start);
	settle(d, r);
	log_result("rollback", r);
	if (r->applied) {
		log_warning("policy %u is in force again, as asked for by %s; %s is not, until the next reload",
			    policy_in_force(d), who, d->options->paths.config);
		try_left_again(d);
	}
	watch_waiting(d);
	(void)sd_tell("READY=1");
	return r;
}

/* After a link came, went or changed. Half of the time at most goes into runs, however often that happens. What waits
 * already comes no later. */
static void replan_soon(struct daemon *d)
{
	unsigned long long rested = now_ms() - d->run_end_ms;
	unsigned long long rest_ms = rested < d->run_ms ? d->run_ms - rested : 0;
	unsigned long long ms = rest_ms > SETTLE_MS ? rest_ms : SETTLE_MS;

	if (!is_pending(d->replan) || d->replan_at_ms > now_ms() + ms)
		replan_in(d, ms);
}

static void on_replan(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	unsigned long long start = now_ms();
	unsigned retry_ms = d->retry_ms ? d->retry_ms * 2 : RETRY_MIN_MS;
	struct reload_result *r = shaper_replan(d->shaper);
	bool done = r->applied && !leaves_named(r->plan);

	(void)fd;
	(void)what;
	if (retry_ms > RETRY_MAX_MS)
		retry_ms = RETRY_MAX_MS;
	note_run(d, start);
	settle(d, r);
	if (!r->applied)
		log_error("links changed: %s; trying again in %u s", r->error, retry_ms / 1000);
	else if (r->n_changes)
		log_changes("links changed", r);
	if (r->applied && *r->warning)
		log_warning("links changed: %s", r->warning);
	discard(r);
	if (done)
		return;
	d->retry_ms = retry_ms;
	replan_in(d, retry_ms);
}

/* The time to confirm is over. */
static void go_back(struct daemon *d)
{
	const struct history_pending *p = history_pending(shaper_history(d->shaper));
	uint32_t back_to = p->back_to;
	unsigned retry_ms = d->expire_retry_ms ? d->expire_retry_ms * 2 : RETRY_MIN_MS;
	struct reload_result *r;
	char unconfirmed[64];

	(void)name_in_force(d, unconfirmed, sizeof(unconfirmed)); /* as long as it is */
	r = shaper_expire(d->shaper);
	if (!r)
		return;
	settle(d, r);
	log_result("going back", r);
	if (r->applied) {
		log_warning("nobody has confirmed %s; policy %u is in force again, and %s is not until the next "
			    "reload",
			    unconfirmed, back_to, d->options->paths.config);
		try_left_again(d);
	}
	discard(r);
	if (!p->pending)
		return;
	d->expire_retry_ms = retry_ms < RETRY_MAX_MS ? retry_ms : RETRY_MAX_MS;
	log_error("going back: trying again in %u s", d->expire_retry_ms / 1000);
	start_timer(d->expire, d->expire_retry_ms);
}

static void on_expire(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	if (history_left_ms(shaper_history(d->shaper)) > 0)
		watch_waiting(d); /* only one of the looks in between */
	else
		go_back(d);
}

/* ---- events ---------------------------------------------------------------------------------------------------------
 */

static void on_gone(void *ctx, int ifindex)
{
	struct daemon *d = ctx;

	fastpath_gone(d->shaper, ifindex);
}

static void on_link(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	int n = links_monitor_drain(fd, on_gone, d);

	(void)what;
	if (n > 0)
		replan_soon(d);
	if (n >= 0)
		return;
	/* Not seen to happen; but deaf to links the daemon would look well while interfaces go unshaped. */
	log_error("cannot follow the interfaces any more: %s; restart qosd", strerror(-n));
	(void)event_del(d->link_event); /* or it would fire for ever */
}

static bool was_told(const struct told *t, const char *text)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->v[i].text, text) == 0)
			return true;
	return false;
}

static void tell_missing(struct told *t, const struct told *before, const struct missing_qdisc *m)
{
	const struct plan_hook *h = m->hook;
	const char *text = arena_printf(t->a, "%s%s: %s; nothing is %s there until `qosctl reload`", h->ifname,
					h->dir == DIR_INGRESS ? " ingress" : "", m->text, m->lost);

	if (!was_told(before, text))
		log_warning("%s", text);
	*vec_add(t->a, t) = (struct loss){text, arena_strdup(t->a, h->ifname)};
}

/* Of an interface that is left alone nothing is looked at: what was told of it still holds. */
static void keep_told(struct told *t, const struct told *before, const struct plan *p)
{
	for (size_t i = 0; i < before->n; i++)
		for (size_t j = 0; j < p->hooks.n; j++) {
			if (!*p->hooks.v[j].refused || strcmp(p->hooks.v[j].ifname, before->v[i].ifname) != 0)
				continue;
			*vec_add(t->a, t) = (struct loss){arena_strdup(t->a, before->v[i].text),
							  arena_strdup(t->a, before->v[i].ifname)};
			break;
		}
}

/* Nobody tells when a qdisc is taken away. */
static void look_for_missing(struct daemon *d)
{
	const struct reload_result *now = shaper_current(d->shaper);
	struct arena *a = arena_new();
	struct told told = {.a = arena_new()};
	struct missing m;

	if (missing_read(a, shaper_nl(d->shaper), now->plan, &m) < 0) { /* the next look will show */
		arena_free(told.a);
		arena_free(a);
		return;
	}
	for (size_t i = 0; i < m.n; i++)
		tell_missing(&told, &d->missing, &m.v[i]);
	keep_told(&told, &d->missing, now->plan);
	if (!told.n && d->missing.n)
		log_info("all qdiscs are in their places again");
	arena_free(d->missing.a);
	d->missing = told;
	arena_free(a);
}

static void on_age(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	unsigned n = learn_age(d->learn);

	(void)fd;
	(void)what;
	if (n)
		log_debug("%u learned addresses have aged out", n);
	look_for_missing(d);
	shaper_write_again(d->shaper);
	if (d->namespace_lock >= 0 && !is_pending(d->asked))
		(void)event_add(d->asked, NULL); /* or in the next look */
	if (!is_pending(d->age_keys))
		start_timer(d->age_keys, 0);
	start_timer(d->age, AGE_S * 1000);
}

/* There may be 100,000 keys: between two steps others are served. */
static void on_age_keys(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	if (keys_age(d->keys))
		start_timer(d->age_keys, AGE_KEYS_MS);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	meter_tick(d->meter);
}

static void save(struct daemon *d)
{
	int err = learn_save(d->learn);

	if (err)
		log_warning("cannot save the learned addresses in %s: %s", d->options->paths.state_dir, strerror(-err));
}

static void on_save(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	save(d);
	start_timer(d->save, model_in_force(d)->learned_save_ns / 1000000);
}

/* One burst, then deaf for a moment: a flood of new addresses costs the same as a few. */
static void on_ring(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	learn_events(d->learn);
	start_timer(d->learned_again, LEARN_EVENTS_MS);
}

static void on_ring_again(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	if (d->learned && event_add(d->learned, NULL) < 0)
		start_timer(d->learned_again, LEARN_EVENTS_MS);
}

/* Called once for each signal that came, and nobody else is heard before all of them were: they are one reload. */
static void on_hangup(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	if (!is_pending(d->hung_up))
		start_timer(d->hung_up, 0);
}

static void on_hung_up(evutil_socket_t fd, short what, void *arg)
{
	struct reload_result *r = reload(arg, "SIGHUP", 0);

	(void)fd;
	(void)what;
	diag_print(r->diag, stderr);
	discard(r);
}

static void on_terminate(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)what;
	log_info("stopping on signal %d", (int)fd);
	(void)event_base_loopbreak(d->base); /* fails only where there is no base */
}

/* ---- commands -------------------------------------------------------------------------------------------------------
 */

static json_t *result_answer(const struct daemon *d, const struct reload_result *r)
{
	json_t *j = r->exit ? wire_error(r->exit, "%s", r->error) : json_object();
	const char *bypassed = show_bypassed(d->shaper);
	json_t *changes = json_array();

	for (size_t i = 0; i < r->n_changes; i++)
		json_array_append_new(changes, wire_text(r->changes[i]));
	json_object_set_new(j, "changes", changes);
	json_object_set_new(j, "messages", wire_messages(r->diag));
	if (*r->warning || *bypassed)
		json_object_set_new(j, "warning",
				    wire_text(arena_printf(r->arena, "%s%s%s", r->warning,
							   *r->warning && *bypassed ? "; " : "", bypassed)));
	return j;
}

/* Its number, where it has one. */
static void put_policy(const struct daemon *d, json_t *j)
{
	if (policy_in_force(d))
		json_object_set_new(j, "policy", json_integer(policy_in_force(d)));
}

/* Which policy that made, and what becomes of it. */
static void put_outcome(const struct daemon *d, json_t *j)
{
	const struct history *h = shaper_history(d->shaper);
	char waiting[128];

	put_policy(d, j);
	if (!waiting_text(d, waiting, sizeof(waiting)))
		return;
	json_object_set_new(j, "goes_back_to", json_integer(history_pending(h)->back_to));
	json_object_set_new(j, "left_ms", json_integer(history_left_ms(h)));
	json_object_set_new(j, "note", json_string(waiting));
}

static json_t *cmd_version(void *ctx, const json_t *args)
{
	(void)ctx;
	(void)args;
	return json_pack("{s:s, s:i}", "version", PACKAGE_VERSION, "abi", QOSD_ABI);
}

static json_t *cmd_show(void *ctx, const json_t *args)
{
	struct daemon *d = ctx;

	return show_answer(d->shaper, d->learn, args);
}

/* A word, or NULL where there is none. False if it is something else. */
static bool text_arg(const json_t *args, const char *key, const char **text)
{
	const json_t *j = json_object_get(args, key);

	*text = json_string_value(j);
	return !j || *text;
}

static json_t *stats_top(struct daemon *d, const json_t *args)
{
	json_int_t n = json_integer_value(json_object_get(args, "top"));
	const char *sort;
	bool good = text_arg(args, "sort", &sort);

	sort = sort ? sort : "rate";
	if (n < 1 || n > TOP_MAX)
		return wire_error(EXIT_USAGE, "top is a number from 1 to %d", TOP_MAX);
	if (!good || (strcmp(sort, "rate") != 0 && strcmp(sort, "drops") != 0 && strcmp(sort, "delay") != 0))
		return wire_error(EXIT_USAGE, "sort is rate, drops or delay");
	return show_top(d->shaper, d->learn, d->meter, (size_t)n, sort);
}

static json_t *cmd_stats(void *ctx, const json_t *args)
{
	struct daemon *d = ctx;
	const char *what;

	if (json_object_get(args, "top"))
		return stats_top(d, args);
	if (!text_arg(args, "what", &what))
		return wire_error(EXIT_USAGE, "what is a word");
	if (what && strcmp(what, "interfaces") == 0)
		return fastpath_interfaces(d->shaper);
	if (what)
		return wire_error(EXIT_USAGE, "there are no stats of \"%s\"", what);
	return show_stats(d->shaper, d->learn, d->meter);
}

static json_t *cmd_plan(void *ctx, const json_t *args)
{
	struct daemon *d = ctx;
	struct reload_result *r = shaper_plan(d->shaper);
	json_t *j = result_answer(d, r);

	(void)args;
	reload_result_free(r);
	return j;
}

/* confirm_s: so many seconds to confirm. */
static json_t *cmd_reload(void *ctx, const json_t *args)
{
	const json_t *confirm = json_object_get(args, "confirm_s");
	json_int_t seconds = json_integer_value(confirm);
	struct daemon *d = ctx;
	struct reload_result *r;
	char who[64];
	json_t *j;

	if (confirm && (!json_is_integer(confirm) || seconds < WIRE_CONFIRM_MIN || seconds > WIRE_CONFIRM_MAX))
		return wire_error(EXIT_USAGE, "confirm_s is a number of seconds, %d to %d", WIRE_CONFIRM_MIN,
				  WIRE_CONFIRM_MAX);
	r = reload(d, ctl_user(d->ctl, who, sizeof(who)), (uint32_t)seconds);
	j = result_answer(d, r);
	if (r->applied)
		put_outcome(d, j);
	if (r->applied && confirm && !json_object_get(j, "note"))
		json_object_set_new(j, "note", json_string("the policy was in force already, nothing waits"));
	discard(r);
	return j;
}

static json_t *cmd_confirm(void *ctx, const json_t *args)
{
	struct daemon *d = ctx;
	char why[512], who[64], policy[64];
	json_t *answer;

	(void)args;
	if (shaper_confirm(d->shaper, why, sizeof(why)) < 0)
		return wire_error(EXIT_FAILED, "%s", why);
	watch_waiting(d);
	log_info("%s is confirmed by %s", name_in_force(d, policy, sizeof(policy)), ctl_user(d->ctl, who, sizeof(who)));
	answer = json_object();
	put_policy(d, answer);
	return answer;
}

static json_t *cmd_rollback(void *ctx, const json_t *args)
{
	const json_t *number = json_object_get(args, "number");
	struct daemon *d = ctx;
	struct reload_result *r;
	char who[64];
	json_t *j;

	if (number &&
	    (!json_is_integer(number) || json_integer_value(number) < 1 || json_integer_value(number) > UINT32_MAX))
		return wire_error(EXIT_USAGE, "number is that of a policy, see `qosctl show history`");
	r = rollback(d, ctl_user(d->ctl, who, sizeof(who)), (uint32_t)json_integer_value(number));
	j = result_answer(d, r);
	if (r->applied)
		put_outcome(d, j);
	discard(r);
	return j;
}

/* An absent rate is 0. False if there is something that is none. */
static bool rate_arg(const json_t *args, const char *key, uint64_t *Bps)
{
	const json_t *j = json_object_get(args, key);

	*Bps = j ? (uint64_t)json_integer_value(j) / 8 : 0;
	return !j || (json_is_integer(j) && json_integer_value(j) >= 8);
}

static bool rates_count(const struct daemon *d, const char *set)
{
	const struct model *m = model_in_force(d);

	for (size_t i = 0; i < m->n_sets; i++)
		if (strcmp(m->sets[i]->name, set) == 0)
			return m->sets[i]->rates_used;
	return false;
}

static json_t *set_add(struct daemon *d, const char *set, const struct prefix *p, const json_t *args)
{
	uint64_t up_Bps, down_Bps;
	char why[512];

	if (!rate_arg(args, "up_bps", &up_Bps) || !rate_arg(args, "down_bps", &down_Bps))
		return wire_error(EXIT_USAGE, "up_bps and down_bps are rates in bits a second");
	if (shaper_set_add(d->shaper, set, p, up_Bps, down_Bps, why, sizeof(why)) < 0)
		return wire_error(EXIT_FAILED, "%s", why);
	if ((up_Bps || down_Bps) && !rates_count(d, set))
		return json_pack("{s:s}", "warning",
				 "a rate of a single address has no effect: no class has \"per\" with this set");
	return json_object();
}

static json_t *set_del(struct daemon *d, const char *set, const struct prefix *p)
{
	char why[512];
	int err = shaper_set_del(d->shaper, set, p, why, sizeof(why));

	/* Not added live; it may have been learned. */
	if (err == -ENXIO && learn_forget(d->learn, set, p) == 0)
		err = 0;
	return err ? wire_error(EXIT_FAILED, "%s", why) : json_object();
}

/* Of two rows of one prefix the one written first. */
static int by_prefix(const void *a, const void *b)
{
	const struct csv_row *x = a, *y = b;
	int order = prefix_cmp(&x->prefix, &y->prefix);

	return order ? order : (x->pos.line > y->pos.line) - (x->pos.line < y->pos.line);
}

/* Rows of a CSV file, sorted; false: some are bad, or there twice, which was told. */
static bool read_rows(struct arena *a, struct diag *d, const char *file, const char *text, struct plan_live **out,
		      size_t *n)
{
	struct csv rows = {0};
	struct plan_live *v;
	char address[TEXT_MAX];

	csv_parse(a, d, diag_add_source(d, file, text, strlen(text)), text, strlen(text), &rows);
	if (rows.n)
		qsort(rows.v, rows.n, sizeof(*rows.v), by_prefix);
	*out = v = arena_array(a, rows.n, sizeof(*v));
	*n = rows.n;
	for (size_t i = 0; i < rows.n; i++) {
		const struct csv_row *row = &rows.v[i];

		v[i] = (struct plan_live){.prefix = row->prefix, .up_Bps = row->up_Bps, .down_Bps = row->down_Bps};
		if (i && !prefix_cmp(&v[i - 1].prefix, &row->prefix))
			diag_error(d, row->pos, "duplicate-element", "%s is there already",
				   text_format_prefix(address, &row->prefix));
	}
	return !diag_errors(d);
}

static json_t *set_import(struct daemon *d, const char *set, const json_t *args)
{
	const char *text = json_string_value(json_object_get(args, "csv"));
	const char *file = json_string_value(json_object_get(args, "file"));
	struct arena *a = arena_new();
	struct diag *diag = diag_new();
	struct plan_live *rows;
	json_t *answer;
	char why[512];
	size_t n;
	int imported;

	if (!text || !file) {
		answer = wire_error(EXIT_USAGE, "import wants a file's name and its csv");
	} else if (!read_rows(a, diag, file, text, &rows, &n)) {
		answer = wire_error(EXIT_INVALID, "%s has %zu bad %s; nothing was imported", file, diag_errors(diag),
				    diag_errors(diag) == 1 ? "row" : "rows");
		json_object_set_new(answer, "messages", wire_messages(diag));
	} else {
		imported = shaper_set_import(d->shaper, set, rows, n, why, sizeof(why));
		answer = imported < 0 ? wire_error(EXIT_FAILED, "%s", why)
				      : json_pack("{s:i, s:I}", "imported", imported, "rows", (json_int_t)n);
	}
	diag_free(diag);
	arena_free(a);
	return answer;
}

static json_t *set_flush(struct daemon *d, const char *set)
{
	char why[512];
	int n = shaper_set_flush(d->shaper, set, why, sizeof(why));

	return n < 0 ? wire_error(EXIT_FAILED, "%s", why) : json_pack("{s:i}", "flushed", n);
}

/* An edit may need a plan, as links do, and that may leave an interface alone. */
static void follow_edit(struct daemon *d)
{
	const struct reload_result *now = shaper_current(d->shaper);

	tell_refused(d, now);
	try_left_again(d);
	follow(d);
}

/* What is about a whole set and no single address. NULL: it is not such an action. */
static json_t *set_whole(struct daemon *d, const char *set, const char *action, const json_t *args)
{
	json_t *answer = NULL;
	char who[64];

	if (strcmp(action, "import") == 0)
		answer = set_import(d, set, args);
	else if (strcmp(action, "flush") == 0)
		answer = set_flush(d, set);
	if (!answer)
		return NULL;
	follow_edit(d);
	log_info("set %s %s by %s: %s", set, action, ctl_user(d->ctl, who, sizeof(who)),
		 json_object_get(answer, "error") ? "refused" : "done");
	return answer;
}

static json_t *cmd_set(void *ctx, const json_t *args)
{
	const char *name = json_string_value(json_object_get(args, "name"));
	const char *action = json_string_value(json_object_get(args, "action"));
	const char *address = json_string_value(json_object_get(args, "address"));
	bool add = action && strcmp(action, "add") == 0, del = action && strcmp(action, "del") == 0;
	struct daemon *d = ctx;
	const char *why;
	struct prefix p;
	json_t *answer = name && action ? set_whole(d, name, action, args) : NULL;
	char who[64];

	if (answer)
		return answer;
	if (!name || !address || (!add && !del))
		return wire_error(EXIT_USAGE, "set wants a name, an action (add or del) and an address");
	if (text_prefix(address, &p, &why) < 0)
		return wire_error(EXIT_USAGE, "\"%s\": %s", address, why);
	answer = add ? set_add(d, name, &p, args) : set_del(d, name, &p);
	follow_edit(d);
	log_info("set %s %s %s by %s: %s", name, action, address, ctl_user(d->ctl, who, sizeof(who)),
		 json_object_get(answer, "error") ? "refused" : "done");
	return answer;
}

static json_t *cmd_bypass(void *ctx, const json_t *args)
{
	struct daemon *d = ctx;
	int map = pins_map(shaper_pins(d->shaper), "bypass"), err;
	uint32_t key = 0, on = json_is_true(json_object_get(args, "on"));
	char who[64];

	if (!json_is_boolean(json_object_get(args, "on")))
		return wire_error(EXIT_USAGE, "bypass wants on: true or false");
	err = map < 0 ? map : bpf_map_update_elem(map, &key, &on, BPF_ANY);
	if (err)
		return wire_error(EXIT_FAILED, "cannot write the bypass map: %s", strerror(-err));
	if (on)
		log_warning("bypass is on: nothing is shaped, as asked for by %s", ctl_user(d->ctl, who, sizeof(who)));
	else
		log_info("bypass is off, as asked for by %s", ctl_user(d->ctl, who, sizeof(who)));
	return json_pack("{s:b}", "bypass", on);
}

static json_t *cmd_forward(void *ctx, const json_t *args)
{
	const json_t *on = json_object_get(args, "on");
	struct daemon *d = ctx;
	const char *rule;
	json_t *answer;
	char who[64];

	if (!json_is_boolean(on))
		return wire_error(EXIT_USAGE, "forward wants on: true or false");
	if (!text_arg(args, "rule", &rule)) /* no rule would be all of them */
		return wire_error(EXIT_USAGE, "rule is the name of a forwarding rule");
	answer = fastpath_switch(d->shaper, json_is_true(on), rule);
	if (!json_object_get(answer, "error"))
		log_info("forwarding%s%s is switched %s, as asked for by %s", rule ? " by rule " : "", rule ? rule : "",
			 json_is_true(on) ? "on" : "off", ctl_user(d->ctl, who, sizeof(who)));
	return answer;
}

/* Takes everything of ours out of the kernel if the policy wants that. 0 or -errno; with why not, or what is left all
 * the same, which is logged. */
static int remove_all(struct daemon *d, char *why, size_t size)
{
	int err;

	why[0] = '\0';
	if (d->removed || model_in_force(d)->on_stop == ON_STOP_KEEP)
		return 0;
	err = shaper_remove(d->shaper, why, size);
	d->removed = !err;
	if (err)
		log_error("%s", why);
	else if (*why)
		log_warning("%s", why);
	return err;
}

static void warn_waiting(const struct daemon *d)
{
	char waiting[128], policy[64];

	if (waiting_text(d, waiting, sizeof(waiting)))
		log_warning("%s %s; without qosd, at its next start", name_in_force(d, policy, sizeof(policy)),
			    waiting);
}

static void on_drained(void *ctx)
{
	struct daemon *d = ctx;

	(void)event_base_loopbreak(d->base); /* fails only where there is no base */
}

/* From here on nothing puts anything into the kernel again. */
static void rest(struct daemon *d)
{
	struct event *const events[] = {d->link_event, d->replan,        d->age,    d->age_keys, d->tick,  d->save,
					d->learned,    d->learned_again, d->hangup, d->hung_up,  d->expire};

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			(void)event_del(events[i]); /* fails only for what was never added */
}

/* The answer comes when the kernel is as on-stop says. */
static json_t *cmd_stop(void *ctx, const json_t *args)
{
	struct daemon *d = ctx;
	json_t *answer;
	char why[512];

	(void)args;
	log_info("stopping, as asked for");
	warn_waiting(d);
	save(d);
	if (remove_all(d, why, sizeof(why)) < 0)
		return wire_error(EXIT_FAILED, "%s", why);
	d->stopped = true;
	rest(d);
	ctl_drain(d->ctl, on_drained, d);
	answer = json_pack("{s:b}", "removed", d->removed);
	if (*why)
		json_object_set_new(answer, "warning", wire_text(why));
	return answer;
}

static const struct ctl_command commands[] = {
	{"version", false, cmd_version},  {"show", false, cmd_show},    {"stats", false, cmd_stats},
	{"plan", false, cmd_plan},        {"reload", true, cmd_reload}, {"confirm", true, cmd_confirm},
	{"rollback", true, cmd_rollback}, {"set", true, cmd_set},       {"bypass", true, cmd_bypass},
	{"forward", true, cmd_forward},   {"stop", true, cmd_stop},     {0},
};

/* ---- start ----------------------------------------------------------------------------------------------------------
 */

static int test_policy(const char *config, bool quiet)
{
	struct arena *a = arena_new();
	struct diag *d = diag_new();
	bool good = model_load(a, d, config);

	if (!good || !quiet)
		diag_print(d, stderr);
	diag_free(d);
	arena_free(a);
	return good ? EXIT_DONE : EXIT_INVALID;
}

int daemon_test(const char *config)
{
	int status = test_policy(config, false);

	if (status == EXIT_DONE)
		log_info("%s: ok", config);
	else
		log_error("%s: the policy is invalid", config);
	return status;
}

static int lock_run_dir(struct daemon *d)
{
	const char *dir = d->options->run_dir;
	int err = file_make_dirs(dir, 0755);
	char path[PATH_MAX], pid[16];
	ssize_t n;

	if (err) {
		log_error("cannot make the run directory %s: %s", dir, strerror(-err));
		return err;
	}
	(void)snprintf(path, sizeof(path), "%s/lock", dir); /* too long: refused on opening */
	d->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (d->lock < 0) {
		err = -errno;
		log_error("cannot open %s: %s", path, strerror(-err));
		return err;
	}
	if (flock(d->lock, LOCK_EX | LOCK_NB) < 0) {
		n = read(d->lock, pid, sizeof(pid) - 1);
		pid[n > 0 ? n : 0] = 0;
		pid[strcspn(pid, "\n")] = 0;
		log_error("qosd is already running in %s%s%s", dir, *pid ? ", process " : "", pid);
		return -EBUSY;
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(d->lock, 0) < 0 || pwrite(d->lock, pid, (size_t)n, 0) != n) /* only for the message above */
		log_warning("cannot write to %s", path);
	return 0;
}

static int namespace_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Is it root who listens there? The kernel tells whoever connects. */
static bool root_listens(const struct sockaddr *at, socklen_t len)
{
	struct ucred who = {.uid = UINT32_MAX};
	socklen_t size = sizeof(who);
	int fd = namespace_socket();
	bool root = fd >= 0 && connect(fd, at, len) == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
		    who.uid == 0;

	if (fd >= 0)
		close(fd);
	return root;
}

/* By a name that every user of the namespace can take: only where root has it is it a qosd's. */
static int lock_namespace(struct daemon *d)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(NAMESPACE_LOCK));

	memcpy(at.sun_path + 1, NAMESPACE_LOCK, strlen(NAMESPACE_LOCK));
	d->namespace_lock = namespace_socket();
	if (d->namespace_lock >= 0 && bind(d->namespace_lock, (struct sockaddr *)&at, len) == 0 &&
	    listen(d->namespace_lock, SOMAXCONN) == 0)
		return 0;
	if (errno != EADDRINUSE) {
		log_error("cannot lock this network namespace: %s", strerror(errno));
		return -EBUSY;
	}
	close(d->namespace_lock);
	d->namespace_lock = -1;
	if (root_listens((struct sockaddr *)&at, len)) {
		log_error("another qosd is already running in this network namespace");
		return -EBUSY;
	}
	log_warning("some other program has the socket @" NAMESPACE_LOCK
		    " of this network namespace; a second qosd here would not be noticed");
	return 0;
}

/* Another qosd has asked who we are, and knows by now. Where it cannot be taken out of the queue it would wake us up
 * for ever: on_age listens again. */
static void on_asked(evutil_socket_t fd, short what, void *arg)
{
	int asking = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	struct daemon *d = arg;

	(void)what;
	if (asking >= 0)
		close(asking);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		(void)event_del(d->asked); /* cannot fail on what was added */
}

__attribute__((format(printf, 2, 0))) static int quiet_libbpf(enum libbpf_print_level level, const char *fmt,
							      va_list ap)
{
	char text[512];
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	(void)level;
	text[strcspn(text, "\n")] = 0;
	log_debug("%s", text);
	return n;
}

static bool make_events(struct daemon *d)
{
	d->base = event_base_new();
	if (!d->base)
		return false;
	d->terminate = evsignal_new(d->base, SIGTERM, on_terminate, d);
	d->interrupt = evsignal_new(d->base, SIGINT, on_terminate, d);
	d->hangup = evsignal_new(d->base, SIGHUP, on_hangup, d);
	d->hung_up = evtimer_new(d->base, on_hung_up, d);
	d->asked = event_new(d->base, d->namespace_lock, EV_READ | EV_PERSIST, on_asked, d);
	d->replan = evtimer_new(d->base, on_replan, d);
	d->age = evtimer_new(d->base, on_age, d);
	d->age_keys = evtimer_new(d->base, on_age_keys, d);
	d->tick = event_new(d->base, -1, EV_PERSIST, on_tick, d);
	d->save = evtimer_new(d->base, on_save, d);
	d->learned_again = evtimer_new(d->base, on_ring_again, d);
	d->expire = evtimer_new(d->base, on_expire, d);
	return d->terminate && d->interrupt && d->hangup && d->hung_up && d->replan && d->age && d->age_keys &&
	       d->tick && d->save && d->learned_again && d->expire && event_add(d->terminate, NULL) == 0 &&
	       event_add(d->interrupt, NULL) == 0 && event_add(d->hangup, NULL) == 0 && d->asked &&
	       (d->namespace_lock < 0 || event_add(d->asked, NULL) == 0);
}

static bool follow_links(struct daemon *d)
{
	d->links = links_monitor_open();
	if (d->links < 0) {
		log_error("cannot follow the interfaces: %s", strerror(-d->links));
		return false;
	}
	d->link_event = event_new(d->base, d->links, EV_READ | EV_PERSIST, on_link, d);
	return d->link_event && event_add(d->link_event, NULL) == 0;
}

static int any_pin(void *ctx, const char *path, int fd)
{
	(void)ctx;
	(void)path;
	(void)fd;
	return 1;
}

/* A first run that failed leaves no directories behind where there was nothing before. */
static void tidy(struct daemon *d)
{
	struct pins *pins = shaper_pins(d->shaper);

	if (pins_each(pins, any_pin, NULL) == 0)
		(void)pins_remove_all(pins); /* what is left is empty */
}

static int first_run(struct daemon *d)
{
	struct reload_result *r = shaper_start(d->shaper);
	char waiting[128], policy[64];
	int status = r->exit, n;

	diag_print(r->diag, stderr);
	if (*r->warning)
		log_warning("%s", r->warning);
	if (!r->applied) {
		log_error("%s", r->error);
		discard(r);
		tidy(d);
		return status;
	}
	log_changes("start", r);
	if (*shaper_in_force(d->shaper, r->arena))
		log_warning("in force is %s", shaper_in_force(d->shaper, r->arena));
	if (waiting_text(d, waiting, sizeof(waiting)))
		log_warning("%s is in force for now: %s", name_in_force(d, policy, sizeof(policy)), waiting);
	watch_waiting(d);
	for (size_t i = 0; i < r->plan->waiting.n; i++)
		log_info("waiting for the interface %s", r->plan->waiting.v[i]);
	n = learn_restore(d->learn);
	if (n < 0)
		log_warning("cannot read the learned addresses in %s: %s", d->options->paths.state_dir,
			    n == -EINVAL ? "the file is damaged" : strerror(-n));
	else if (n > 0)
		log_info("%d learned addresses are back", n);
	if (*show_bypassed(d->shaper))
		log_warning("%s", show_bypassed(d->shaper));
	follow(d);
	try_left_again(d);
	start_timer(d->age, AGE_S * 1000);
	start_timer(d->tick, TICK_MS);
	return EXIT_DONE;
}

static int start(struct daemon *d)
{
	char path[PATH_MAX], why[512] = "";

	if (lock_run_dir(d) < 0 || lock_namespace(d) < 0)
		return EXIT_FAILED;
	if (!make_events(d) || !follow_links(d)) {
		log_error("cannot set up the event loop");
		return EXIT_FAILED;
	}
	/* Clients may connect from here on; they are answered when the loop runs. */
	(void)snprintf(path, sizeof(path), "%s/" WIRE_SOCKET, d->options->run_dir); /* too long: ctl_open refuses */
	d->ctl = ctl_open(d->base, path, commands, d, why, sizeof(why));
	if (!d->ctl) {
		log_error("%s", why);
		return EXIT_FAILED;
	}
	d->shaper = shaper_new(&d->options->paths, why, sizeof(why));
	if (!d->shaper) {
		log_error("%s", why);
		return EXIT_FAILED;
	}
	if (*why)
		log_warning("%s", why);
	d->learn = learn_new(d->shaper);
	d->keys = keys_new(d->shaper);
	d->meter = meter_new(d->shaper);
	return first_run(d);
}

static int stop(struct daemon *d)
{
	char why[512];

	(void)sd_tell("STOPPING=1"); /* who does not listen misses nothing */
	if (d->stopped)
		return EXIT_DONE;
	warn_waiting(d);
	save(d);
	return remove_all(d, why, sizeof(why)) < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* The socket goes before the lock, and is the last that others see of us. */
static void release(struct daemon *d)
{
	struct event *const events[] = {d->terminate,  d->interrupt, d->asked,         d->hangup,   d->hung_up,
					d->link_event, d->replan,    d->age,           d->age_keys, d->tick,
					d->save,       d->learned,   d->learned_again, d->expire};

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_free(events[i]);
	arena_free(d->missing.a);
	learn_free(d->learn);
	keys_free(d->keys);
	meter_free(d->meter);
	shaper_free(d->shaper);
	ctl_close(d->ctl);
	if (d->links >= 0)
		close(d->links);
	if (d->namespace_lock >= 0)
		close(d->namespace_lock);
	if (d->lock >= 0)
		close(d->lock);
	if (d->base)
		event_base_free(d->base);
}

/* An apply holds the maps and programs of every hook open until it is done: some six files a hook. */
static void raise_file_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files); /* with fewer, an apply that needs more says so */
	}
}

int daemon_run(const struct daemon_options *o)
{
	struct daemon d = {.options = o, .lock = -1, .namespace_lock = -1, .links = -1};
	int status;

	if (geteuid() != 0) {
		log_error("qosd must be started by root (to test a policy: qosd --test)");
		return EXIT_PERMISSION;
	}
	raise_file_limit();
	/* Nothing is touched before the policy is known to be good. */
	status = test_policy(o->paths.config, true);
	if (status != EXIT_DONE && shaper_starts_with_history(&o->paths)) {
		log_warning("%s: the policy is invalid; trying one of the history instead", o->paths.config);
	} else if (status != EXIT_DONE) {
		log_error("%s: the policy is invalid; nothing was changed", o->paths.config);
		return status;
	}
	(void)signal(SIGPIPE, SIG_IGN); /* SIGPIPE can be ignored */
	(void)libbpf_set_print(quiet_libbpf);
	status = start(&d);
	if (status == EXIT_DONE) {
		(void)sd_tell("READY=1"); /* who does not listen misses nothing */
		log_info("ready");
		if (event_base_dispatch(d.base) < 0)
			log_error("the event loop failed");
		status = stop(&d);
	}
	release(&d);
	return status;
}
