/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reload.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../bpf/qosd_abi.h"
#include "bpf_map.h"
#include "elements.h"
#include "exits.h"
#include "file.h"
#include "history.h"
#include "ifb_name.h"
#include "kernel.h"
#include "nl.h"
#include "pins.h"
#include "prog.h"
#include "queues.h"
#include "replaced.h"
#include "reuse.h"

#define LINK_TRIES  4 /* of a run in whose middle links go */
#define WAITING_MAX 192

/* A policy that was read: the model and the texts its positions point into. Shared by the results made from it. */
struct loaded {
	int refs;
	struct arena *arena;
	struct diag *diag;
	struct model *model; /* NULL: invalid */
};

/* reload_result with what it holds on to. */
struct result {
	struct reload_result pub;
	struct loaded *loaded;
	struct handles *handles; /* as the plan left them */
	bool wrote_numbers;      /* they are on disk */
	struct replaced *replaced;
	struct kobj_set observed;
	struct steps steps;
};

struct shaper {
	char *config, *state_dir, *pin_dir, *handles_path, *replaced_path;
	struct reload_paths paths;
	struct nl *nl;
	struct pins *pins;
	struct kernel *kernel;
	struct caps caps;
	struct links links;
	struct handles *handles;
	struct elements_store *elements;
	struct history *history;
	struct replaced *replaced;
	int lock; /* of the state directory; negative: it is not ours */
	uint64_t build_id;
	struct result *current;
};

/* ---- opening and closing --------------------------------------------------------------------------------------------
 */

/* Two over one directory would take each other's numbers and pins, whatever their namespaces are. */
static int say_locked(int err, const char *what, const char *dir, char *why, size_t size)
{
	if (err == -EWOULDBLOCK)
		snprintf(why, size, "another qosd is using the %s directory %s", what, dir);
	else
		snprintf(why, size, "cannot lock the %s directory %s: %s", what, dir, strerror(-err));
	return err;
}

static int lock_state_dir(struct shaper *s, char *why, size_t size)
{
	int err = file_make_dirs(s->state_dir, 0700);

	if (err) {
		snprintf(why, size, "cannot make the state directory %s: %s", s->state_dir, strerror(-err));
		return err;
	}
	s->lock = file_lock_dir(s->state_dir);
	return s->lock < 0 ? say_locked(s->lock, "state", s->state_dir, why, size) : 0;
}

static int read_state_dir(struct shaper *s, char *why, size_t size)
{
	char path[4096];
	int err;

	snprintf(path, sizeof(path), "%s/handles.json", s->state_dir);
	s->handles_path = xstrdup(path);
	s->handles = handles_new();
	err = handles_load(s->handles, path);
	if (err) {
		/* Without the table the numbers change, which costs counters. Better than to run no policy; but say so.
		 */
		snprintf(why, size, "%s is damaged; classes get new numbers and counters start again", path);
	}
	snprintf(path, sizeof(path), "%s/elements.json", s->state_dir);
	s->elements = elements_new(path);
	err = elements_load(s->elements);
	if (err) {
		size_t n = strlen(why);

		snprintf(why + n, size - n, "%s%s is damaged; live edits of sets are lost", n ? "; " : "", path);
	}
	snprintf(path, sizeof(path), "%s/replaced.json", s->state_dir);
	s->replaced_path = xstrdup(path);
	s->replaced = replaced_new();
	err = replaced_load(s->replaced, path);
	if (err) {
		size_t n = strlen(why);

		snprintf(why + n, size - n, "%s%s is damaged; root qdiscs that were replaced do not come back",
			 n ? "; " : "", path);
	}
	s->history = history_open(s->state_dir, why, size);
	return s->history ? 0 : -EIO;
}

struct shaper *shaper_new(const struct reload_paths *paths, char *why, size_t size)
{
	struct shaper *s = xcalloc(1, sizeof(*s));
	int err;

	why[0] = 0;
	s->lock = -1;
	s->config = xstrdup(paths->config);
	s->state_dir = xstrdup(paths->state_dir);
	s->pin_dir = xstrdup(paths->pin_dir);
	s->paths = (struct reload_paths){s->config, s->state_dir, s->pin_dir};
	s->build_id = prog_build_id();
	if (lock_state_dir(s, why, size) < 0)
		goto fail;
	s->nl = nl_open();
	if (!s->nl) {
		snprintf(why, size, "cannot open a netlink socket: %s", strerror(errno));
		goto fail;
	}
	s->pins = pins_open(s->pin_dir, why, size);
	if (!s->pins)
		goto fail;
	err = pins_lock(s->pins);
	if (err) {
		(void)say_locked(err, "pin", s->pin_dir, why, size);
		goto fail;
	}
	s->kernel = kernel_new(s->nl, s->pins);
	err = caps_probe(&s->caps);
	if (err) {
		snprintf(why, size, "cannot probe the kernel: %s", strerror(-err));
		goto fail;
	}
	if (read_state_dir(s, why, size) < 0)
		goto fail;
	return s;
fail:
	shaper_free(s);
	return NULL;
}

void shaper_free(struct shaper *s)
{
	if (!s)
		return;
	if (s->current)
		reload_result_free(&s->current->pub);
	links_clear(&s->links);
	history_close(s->history);
	replaced_free(s->replaced);
	elements_free(s->elements);
	handles_free(s->handles);
	if (s->kernel)
		kernel_free(s->kernel);
	if (s->pins)
		pins_close(s->pins);
	if (s->nl)
		nl_close(s->nl);
	if (s->lock >= 0)
		close(s->lock);
	free(s->config);
	free(s->state_dir);
	free(s->pin_dir);
	free(s->handles_path);
	free(s->replaced_path);
	free(s);
}

/* ---- one run --------------------------------------------------------------------------------------------------------
 */

static struct loaded *load(const char *config)
{
	struct loaded *l = xcalloc(1, sizeof(*l));

	l->refs = 1;
	l->arena = arena_new();
	l->diag = diag_new();
	l->model = model_load(l->arena, l->diag, config);
	return l;
}

/* For an answer that never came to a policy. */
static struct loaded *load_nothing(void)
{
	struct loaded *l = xcalloc(1, sizeof(*l));

	l->refs = 1;
	l->arena = arena_new();
	l->diag = diag_new();
	return l;
}

static void unload(struct loaded *l)
{
	if (--l->refs)
		return;
	diag_free(l->diag);
	arena_free(l->arena);
	free(l);
}

static struct result *result_new(struct loaded *l)
{
	struct result *r = xcalloc(1, sizeof(*r));

	r->loaded = l;
	r->pub.arena = arena_new();
	r->pub.diag = l->diag;
	r->pub.model = l->model;
	r->pub.error = "";
	r->pub.warning = "";
	return r;
}

void reload_result_free(struct reload_result *pub)
{
	struct result *r = (struct result *)pub;

	if (!r)
		return;
	handles_free(r->handles);
	replaced_free(r->replaced);
	arena_free(r->pub.arena);
	unload(r->loaded);
	free(r);
}

__attribute__((format(printf, 3, 4))) static void fail(struct result *r, int exit_code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	r->pub.error = arena_vprintf(r->pub.arena, fmt, ap);
	va_end(ap);
	r->pub.exit = exit_code;
}

__attribute__((format(printf, 2, 3))) static void warn(struct reload_result *r, const char *fmt, ...)
{
	const char *text;
	va_list ap;

	va_start(ap, fmt);
	text = arena_vprintf(r->arena, fmt, ap);
	va_end(ap);
	r->warning = *r->warning ? arena_printf(r->arena, "%s; %s", r->warning, text) : text;
}

struct name_ctx {
	const struct shaper *s;
	const struct kobj_set *wanted; /* NULL: nothing is */
};

static int compare_objects(const void *a, const void *b)
{
	return kobj_cmp(a, b);
}

static const char *link_name(void *ctx, int ifindex)
{
	const struct name_ctx *names = ctx;
	const struct link *l = links_by_index(&names->s->links, ifindex);
	const struct kobj key = {.kind = KOBJ_LINK, .link.ifindex = ifindex}, *made = NULL;

	if (l)
		return l->name;
	/* An ifb that is about to be made has its index already. */
	if (names->wanted && names->wanted->n)
		made = bsearch(&key, names->wanted->v, names->wanted->n, sizeof(key), compare_objects);
	return made ? made->link.name : NULL;
}

static char *describe(struct arena *a, const struct shaper *s, const struct plan *plan, const struct step *step)
{
	struct name_ctx names = {s, plan ? &plan->objects : NULL};
	char *text = NULL, *kept;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return arena_strdup(a, "?");
	diff_describe(step, link_name, &names, f);
	fclose(f);
	kept = arena_strndup(a, text, len);
	free(text);
	return kept;
}

static void invalid(struct result *r)
{
	size_t n = diag_errors(r->loaded->diag);

	fail(r, EXIT_INVALID, "the policy has %zu %s; nothing was changed", n, n == 1 ? "error" : "errors");
}

static bool wants_shards(const struct model *m)
{
	for (size_t i = 0; i < m->n_interfaces; i++)
		if ((m->interfaces[i].ingress && m->interfaces[i].ingress->shards) ||
		    (m->interfaces[i].egress && m->interfaces[i].egress->shards))
			return true;
	return false;
}

/* What a run is for. */
enum purpose {
	TO_LOOK,    /* changes nothing */
	TO_APPLY,   /* a policy */
	TO_GO_BACK, /* to a policy of the history */
	TO_FOLLOW,  /* the links, with the policy that is in force */
};

/* What was in force before must come back, and what is in force must stay, as far as that is possible: neither a disk
 * that is full nor one interface that somebody else has taken keeps all the others from it. */
static bool does_what_it_can(enum purpose purpose)
{
	return purpose == TO_GO_BACK || purpose == TO_FOLLOW;
}

/* Root qdiscs of other people: those that come back, and those that give way. */
static int give_back_and_take(struct shaper *s, struct result *r)
{
	struct kobj_set *wanted = &r->pub.plan->objects;

	r->replaced = replaced_copy(s->replaced);
	replaced_want(r->replaced, r->pub.arena, &s->links, &r->observed, wanted);
	kobj_set_sort(wanted);
	return replaced_note(r->replaced, r->pub.arena, s->nl, &s->links, &r->observed, wanted, &r->pub.warning);
}

/* From the model to the steps that lead to it. Changes nothing. */
static void find_steps(struct shaper *s, struct result *r, enum purpose purpose)
{
	struct arena *a = r->pub.arena;
	bool has_leaf[QDISC_KINDS] = {false};
	struct plan_input in = {.model = r->loaded->model,
				.links = &s->links,
				.has_police = s->caps.v[CAP_ACT_POLICE].has,
				.has_htb = s->caps.v[CAP_HTB].has,
				.has_ifb = s->caps.v[CAP_IFB].has,
				.has_mirred = s->caps.v[CAP_ACT_MIRRED].has,
				.has_neigh = s->caps.v[CAP_REDIRECT_NEIGH].has,
				.has_peer = s->caps.v[CAP_REDIRECT_PEER].has,
				.has_leaf = has_leaf,
				.observed = &r->observed,
				.prog_build_id = s->build_id,
				.cpus = (uint32_t)libbpf_num_possible_cpus(),
				.follows = does_what_it_can(purpose)};
	size_t errors_before = diag_told(r->loaded->diag);
	const char *why = "";
	int err;

	for (int kind = 0; kind < QDISC_KINDS; kind++) {
		const struct cap_result *c = caps_of_qdisc(&s->caps, kind);

		has_leaf[kind] = c && c->has;
	}
	links_clear(&s->links);
	err = links_read(s->nl, &s->links);
	if (err) {
		fail(r, EXIT_FAILED, "cannot read the interfaces: %s", strerror(-err));
		return;
	}
	if (wants_shards(in.model))
		queues_read(&s->links);
	err = state_read(a, s->nl, s->pins, &s->links, &r->observed, &why);
	if (err) {
		fail(r, EXIT_FAILED, "cannot read the kernel's state: %s", why);
		return;
	}
	in.live = elements_all(s->elements, &in.n_live);
	r->handles = handles_copy(s->handles);
	r->pub.plan = plan_build(a, r->loaded->diag, &in, r->handles);
	if (diag_told(r->loaded->diag) == errors_before)
		plan_adopt(a, r->pub.plan, r->loaded->diag, &r->observed, r->loaded->model->takeover);
	if (diag_told(r->loaded->diag) > errors_before) {
		invalid(r);
		return;
	}
	err = give_back_and_take(s, r);
	if (err) {
		fail(r, EXIT_FAILED, "cannot read the root qdiscs that are there: %s", strerror(-err));
		return;
	}
	diff_build(a, &r->observed, &r->pub.plan->objects, &r->steps);
	r->pub.n_changes = r->steps.n;
	r->pub.changes = arena_array(a, r->steps.n, sizeof(*r->pub.changes));
	for (size_t i = 0; i < r->steps.n; i++)
		r->pub.changes[i] = describe(a, s, r->pub.plan, &r->steps.v[i]);
}

static const char *refusal_text(struct arena *a, const struct shaper *s, const struct plan *plan,
				const struct refusal *why)
{
	return arena_printf(a, "the kernel refused: %s: %s%s%s; %s%s%s%s",
			    why->step ? describe(a, s, plan, why->step) : "a step", strerror(-why->err),
			    why->text[0] ? ": " : "", why->text,
			    why->undone ? "everything is as it was" : "and the way back failed too: ",
			    why->stuck ? describe(a, s, plan, why->stuck) : "", why->stuck ? ": " : "", why->undo_text);
}

/* "FILE:LINE:COL: " of what asks for the step, "" where nothing does. */
static const char *where_of(struct result *r, const struct step *step)
{
	const struct kobj *o = !step ? NULL : step->after ? step->after : step->before;
	const char *where = o && o->pos.line ? diag_where(r->loaded->diag, o->pos, r->pub.arena) : "";

	return *where ? arena_printf(r->pub.arena, "%s: ", where) : "";
}

static void explain_refusal(const struct shaper *s, struct result *r)
{
	const struct refusal *why = &r->pub.refusal;

	fail(r, EXIT_FAILED, "%s%s", where_of(r, why->step), refusal_text(r->pub.arena, s, r->pub.plan, why));
}

static bool only_entries(const struct steps *steps)
{
	for (size_t i = 0; i < steps->n; i++)
		if ((steps->v[i].after ? steps->v[i].after : steps->v[i].before)->kind != KOBJ_ENTRY)
			return false;
	return true;
}

/* Is the entry as the step leaves it? */
static bool entry_is(struct shaper *s, const struct step *step)
{
	const struct kobj_entry *e = &(step->after ? step->after : step->before)->entry;
	int fd = pins_map(s->pins, e->path);

	return fd >= 0 && bpf_map_has(fd, e, step->after != NULL);
}

static bool verify_entries(struct shaper *s, struct result *r)
{
	for (size_t i = 0; i < r->steps.n; i++) {
		if (entry_is(s, &r->steps.v[i]))
			continue;
		fail(r, EXIT_FAILED, "%sthe kernel did not keep what it acknowledged: %s", where_of(r, &r->steps.v[i]),
		     describe(r->pub.arena, s, r->pub.plan, &r->steps.v[i]));
		return false;
	}
	return true;
}

/* The interface that it is on; 0: on none. */
static int ifindex_of(const struct kobj *o)
{
	switch (o->kind) {
	case KOBJ_QDISC:
	case KOBJ_LEAF: return o->qdisc.ifindex;
	case KOBJ_CLASS: return o->cls.ifindex;
	case KOBJ_FILTER: return o->filter.ifindex;
	case KOBJ_MAP:
	case KOBJ_ENTRY:
	case KOBJ_LINK:
	case KOBJ_ACTION:
	case KOBJ_KINDS: break;
	}
	return 0;
}

/* What a link takes along when it goes is not missed: that it went makes a new plan. */
static void leave_out_gone(struct steps *left, const struct links *links)
{
	size_t kept = 0;

	for (size_t i = 0; i < left->n; i++) {
		const struct step *step = &left->v[i];
		int ifindex = ifindex_of(step->after ? step->after : step->before);

		if (!ifindex || links_by_index(links, ifindex))
			left->v[kept++] = *step;
	}
	left->n = kept;
}

/* What a dump shows, against what is wanted. It goes with a. */
static bool verify_all(struct shaper *s, struct result *r, struct arena *a)
{
	struct kobj_set now = {0};
	struct steps left = {0};
	struct links links;
	const char *why = "";
	int err = state_read(a, s->nl, s->pins, &s->links, &now, &why);

	if (err) {
		fail(r, EXIT_FAILED, "cannot read the kernel's state after the change: %s", why);
		return false;
	}
	diff_build(a, &now, &r->pub.plan->objects, &left);
	if (left.n && links_read(s->nl, &links) == 0) {
		leave_out_gone(&left, &links);
		links_clear(&links);
	}
	if (!left.n)
		return true;
	fail(r, EXIT_FAILED, "%sthe kernel did not keep what it acknowledged: %zu objects differ, first: %s",
	     where_of(r, &left.v[0]), left.n, describe(a, s, r->pub.plan, &left.v[0]));
	return false;
}

/* The kernel takes some things and says 0 without doing them: what counts is what a dump shows. Where nothing but
 * entries of maps changed, only they are looked at, as there may be 100,000 others. */
static bool verify(struct shaper *s, struct result *r)
{
	struct arena *a;
	bool good;

	if (only_entries(&r->steps))
		return verify_entries(s, r);
	a = arena_new();
	good = verify_all(s, r, a);
	arena_free(a);
	return good;
}

/* The numbers are on disk before the kernel knows them: whoever starts after a crash in between finds the same. */
static int write_numbers(struct shaper *s, struct result *r)
{
	int err;

	if (!handles_changed(r->handles))
		return 0;
	err = handles_save(r->handles, s->handles_path);
	r->wrote_numbers = !err;
	return err;
}

/* Back to what is in the kernel again. Numbers that are taken too long in the file do no harm. */
static void restore_numbers(struct shaper *s, const struct result *r)
{
	if (r->wrote_numbers)
		(void)handles_save(s->handles, s->handles_path);
}

static void carry_out(struct shaper *s, struct result *r, enum purpose purpose)
{
	struct applied *done;
	char text[256] = "";
	int err;

	/* Whatever happens in between: what gives way now is known. */
	err = replaced_same(r->replaced, s->replaced) ? 0 : replaced_save(r->replaced, s->replaced_path);
	if (err && does_what_it_can(purpose)) {
		warn(&r->pub, "cannot write %s: %s; after a restart root qdiscs that were replaced may not come back",
		     s->replaced_path, strerror(-err));
	} else if (err) {
		fail(r, EXIT_FAILED, "cannot write %s: %s; nothing was changed", s->replaced_path, strerror(-err));
		return;
	}
	reuse_reset(s->pins, r->handles);
	reuse_read_bases(s->nl, r->pub.plan, r->handles);
	err = write_numbers(s, r);
	if (err && does_what_it_can(purpose)) {
		warn(&r->pub, "cannot write %s: %s; after a restart classes may get other numbers", s->handles_path,
		     strerror(-err));
	} else if (err) {
		fail(r, EXIT_FAILED, "cannot write %s: %s; nothing was changed", s->handles_path, strerror(-err));
		return;
	}
	kernel_read_faults(s->kernel);
	pins_refresh(s->pins); /* it needs the file descriptors more */
	if (apply_steps(s->kernel, &r->steps, &done, &r->pub.refusal) < 0) {
		explain_refusal(s, r);
		pins_refresh(s->pins);
		restore_numbers(s, r);
		return;
	}
	pins_refresh(s->pins);
	if (!verify(s, r)) {
		err = apply_revert(done, text, sizeof(text));
		pins_refresh(s->pins);
		r->pub.error =
			arena_printf(r->pub.arena, "%s; %s%s", r->pub.error,
				     err ? "and the way back failed: " : "everything is as it was", err ? text : "");
		restore_numbers(s, r);
	} else {
		r->pub.applied = true;
	}
	apply_done(done);
}

/* On disk is r->replaced, as it was before the change. */
static void keep_replaced(struct shaper *s, struct result *r)
{
	struct replaced *kept = replaced_copy(r->pub.applied ? r->replaced : s->replaced);

	if (r->pub.applied)
		replaced_settle(kept, &r->pub.plan->objects);
	if (!replaced_same(kept, r->replaced))
		(void)replaced_save(kept, s->replaced_path); /* a file that says too much does no harm */
	replaced_free(s->replaced);
	s->replaced = kept;
}

/* The result becomes the one in force. */
static void keep(struct shaper *s, struct result *r)
{
	reuse_read_bases(s->nl, r->pub.plan, r->handles);
	reuse_drop_bases(r->pub.plan, r->handles, &r->steps);
	handles_free(s->handles);
	s->handles = r->handles;
	r->handles = NULL;
	handles_sweep(s->handles);
	/* The names that were swept are in the file until the next save; a number that is taken too long does no harm.
	 */
	if (handles_changed(s->handles))
		(void)handles_save(s->handles, s->handles_path);
	if (s->current)
		reload_result_free(&s->current->pub);
	s->current = r;
}

/* One try. */
static struct reload_result *run_once(struct shaper *s, struct loaded *l, enum purpose purpose)
{
	struct result *r = result_new(l);

	if (!l->model) {
		invalid(r);
		return &r->pub;
	}
	find_steps(s, r, purpose);
	if (r->pub.exit || purpose == TO_LOOK)
		return &r->pub;
	if (r->steps.n)
		carry_out(s, r, purpose);
	else
		r->pub.applied = true;
	keep_replaced(s, r);
	if (r->pub.applied)
		keep(s, r);
	return &r->pub;
}

/* Did a link go since the last run read them, or get another name? */
static bool link_went(struct shaper *s)
{
	struct links now;
	bool went = false;

	if (links_read(s->nl, &now) < 0)
		return false;
	for (size_t i = 0; i < s->links.n && !went; i++) {
		const struct link *before = &s->links.v[i], *l = links_by_name(&now, before->name);

		/* Those of ours come and go by what we do. */
		went = (!l || l->ifindex != before->ifindex) && ifb_index_of_ifb(before->name) != before->ifindex;
	}
	links_clear(&now);
	return went;
}

/* A link that goes in the middle makes some step fail. Without it there is another plan. */
static struct reload_result *run(struct shaper *s, struct loaded *l, enum purpose purpose)
{
	struct reload_result *r = run_once(s, l, purpose);

	for (int tries = 1; r->exit == EXIT_FAILED && tries < LINK_TRIES && link_went(s); tries++) {
		l->refs++;
		reload_result_free(r);
		r = run_once(s, l, purpose);
	}
	return r;
}

/* ---- the policy file, and policies of the history
 * ----------------------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static struct reload_result *refuse(const char *fmt, ...)
{
	struct result *r = result_new(load_nothing());
	va_list ap;

	va_start(ap, fmt);
	r->pub.error = arena_vprintf(r->pub.arena, fmt, ap);
	va_end(ap);
	r->pub.exit = EXIT_FAILED;
	return &r->pub;
}

const char *shaper_in_force(const struct shaper *s, struct arena *a)
{
	bool rolled_back;
	uint32_t current = history_current(s->history, &rolled_back);

	return rolled_back ? arena_printf(a, "policy %u of the history, which was gone back to; %s is not in force",
					  current, s->config)
			   : "";
}

/* Why no reload is accepted now. */
static const char *waiting_text(const struct shaper *s, char out[WAITING_MAX])
{
	int64_t left_ms = history_left_ms(s->history);

	(void)snprintf(out, WAITING_MAX, /* fits */
		       "the last reload waits to be confirmed and goes back to policy %u %s%lld s: `qosctl confirm` or "
		       "`qosctl rollback` first",
		       history_pending(s->history)->back_to, left_ms ? "in " : "now, ",
		       (long long)(left_ms + 999) / 1000);
	return out;
}

struct reload_result *shaper_plan(struct shaper *s)
{
	struct reload_result *r = run(s, load(s->config), TO_LOOK);
	const char *in_force = shaper_in_force(s, r->arena);
	char waiting[WAITING_MAX];

	if (*in_force)
		warn(r, "in force is %s", in_force);
	if (history_pending(s->history)->pending)
		warn(r, "a reload would be refused now: %s", waiting_text(s, waiting));
	return r;
}

/* A policy came into force: it goes into the history. That this failed does not undo it, but must be said. */
static void remember(struct shaper *s, struct reload_result *r, const char *who)
{
	int err = history_add(s->history, model_print_whole(r->arena, r->model), who, s->config);

	if (err && history_lacks_current(s->history))
		warn(r,
		     "the policy is in force, but cannot be put into the history in %s (%s); there is no way back to "
		     "it",
		     s->state_dir, strerror(-err));
	else if (err)
		warn(r, "the policy is in force, but %s cannot be written (%s): a restart will not know", s->state_dir,
		     strerror(-err));
}

static struct reload_result *refuse_waiting(struct shaper *s)
{
	char waiting[WAITING_MAX];

	return refuse("%s", waiting_text(s, waiting));
}

struct reload_result *shaper_reload(struct shaper *s, const char *who)
{
	struct reload_result *r;

	if (history_pending(s->history)->pending)
		return refuse_waiting(s);
	r = run(s, load(s->config), TO_APPLY);
	if (r->applied)
		remember(s, r, who);
	return r;
}

/* Nobody prints all messages of a policy that was in force before: the error itself has to be the sentence. */
static void name_error(struct reload_result *r)
{
	const struct diag_message *m = diag_last_error(r->diag);

	if (m)
		r->error = arena_printf(r->arena, "%s:%u:%u: %s; nothing was changed",
					diag_source_name(r->diag, m->pos.file), m->pos.line, m->pos.col, m->text);
}

/* Brings a policy of the history into force, as far as that is possible. */
static struct reload_result *run_entry(struct shaper *s, uint32_t number)
{
	char path[PATH_MAX];
	struct reload_result *r;
	int err = history_check(s->history, number);

	if (err == -ENOENT || err == -EBADMSG)
		return refuse("policy %u of the history is damaged", number);
	if (err)
		return refuse("policy %u of the history cannot be read: %s", number, strerror(-err));
	history_path(s->history, number, path);
	r = run(s, load(path), TO_GO_BACK);
	if (r->exit == EXIT_INVALID)
		name_error(r);
	if (!r->applied)
		r->error = arena_printf(r->arena, "policy %u of the history: %s", number, r->error);
	return r;
}

static struct reload_result *go_back(struct shaper *s, uint32_t number)
{
	struct reload_result *r = run_entry(s, number);
	int err = r->applied ? history_went_back(s->history, number) : 0;

	if (err)
		warn(r, "policy %u is in force again, but %s cannot be written (%s): a restart will not know", number,
		     s->state_dir, strerror(-err));
	return r;
}

/* The time is over; or the change that was to be confirmed was never finished, because the daemon died in it. */
static bool must_go_back(const struct shaper *s)
{
	const struct history_pending *p = history_pending(s->history);
	uint32_t current = history_current(s->history, NULL);

	return p->pending && (history_left_ms(s->history) == 0 || !current || current == p->back_to);
}

/* Takes what was tried over into the next try. */
static struct reload_result *try_next(struct reload_result *failed, struct reload_result *next)
{
	if (failed)
		warn(next, "%s", failed->error);
	if (failed && *failed->warning)
		warn(next, "%s", failed->warning);
	reload_result_free(failed);
	return next;
}

struct reload_result *shaper_start(struct shaper *s)
{
	const struct history_pending *p = history_pending(s->history);
	bool rolled_back, back = must_go_back(s);
	uint32_t current = history_current(s->history, &rolled_back);
	struct reload_result *r = NULL;

	if (back)
		r = go_back(s, p->back_to);
	if (!(r && r->applied) && current && current != (back ? p->back_to : 0) && (p->pending || rolled_back))
		r = try_next(r, run_entry(s, current));
	if (r && r->applied)
		return r;
	r = try_next(r, run(s, load(s->config), TO_APPLY));
	if (r->applied)
		remember(s, r, "start");
	return r;
}

bool shaper_starts_with_history(const struct reload_paths *paths)
{
	char why[512] = "";
	struct history *h = history_open(paths->state_dir, why, sizeof(why));
	bool rolled_back, yes;

	if (!h)
		return false;
	yes = (history_current(h, &rolled_back) && rolled_back) || history_pending(h)->pending;
	history_close(h);
	return yes;
}

/* Everything that is needed to go back is looked at before the first step forward. */
static bool is_readable(struct shaper *s, uint32_t number)
{
	char path[PATH_MAX];
	struct loaded *l;
	bool good;

	if (history_check(s->history, number) < 0)
		return false;
	history_path(s->history, number, path);
	l = load(path);
	good = l->model;
	unload(l);
	return good;
}

struct reload_result *shaper_reload_confirm(struct shaper *s, const char *who, uint32_t seconds)
{
	uint32_t back_to = history_current(s->history, NULL);
	struct reload_result *r;
	int err;

	if (history_pending(s->history)->pending)
		return refuse_waiting(s);
	if (history_lacks_current(s->history))
		return refuse("the policy in force could not be put into the history, and so cannot be gone back to; "
			      "reload without --confirm");
	if (!back_to)
		return refuse("there is no policy in the history to go back to; reload without --confirm");
	if (!is_readable(s, back_to))
		return refuse("policy %u of the history, to go back to, cannot be read any more; nothing was changed",
			      back_to);
	/* Before the change, so that a daemon that dies in the middle of it goes back too. */
	err = history_set_pending(s->history, back_to, seconds);
	if (err)
		return refuse("cannot write to %s: %s; nothing was changed", s->state_dir, strerror(-err));
	r = run(s, load(s->config), TO_APPLY);
	/* What could not be remembered waits all the same: it is there to be gone back from. */
	if (r->applied)
		remember(s, r, who);
	if (r->applied && history_current(s->history, NULL) != back_to)
		return r;
	err = history_clear_pending(s->history);
	if (err)
		warn(r, "cannot write to %s: %s; `qosctl confirm` tries again", s->state_dir, strerror(-err));
	return r;
}

int shaper_confirm(struct shaper *s, char *why, size_t size)
{
	int err;

	if (!history_pending(s->history)->pending) {
		snprintf(why, size, "nothing waits to be confirmed");
		return -ENOENT;
	}
	err = history_clear_pending(s->history);
	if (err)
		snprintf(why, size, "cannot write to %s: %s; the change still waits", s->state_dir, strerror(-err));
	return err;
}

struct reload_result *shaper_expire(struct shaper *s)
{
	const struct history_pending *p = history_pending(s->history);

	return p->pending ? go_back(s, p->back_to) : NULL;
}

struct reload_result *shaper_rollback(struct shaper *s, uint32_t number)
{
	const struct history_pending *p = history_pending(s->history);
	const struct history_entry *to = number       ? history_find(s->history, number)
					 : p->pending ? history_find(s->history, p->back_to)
						      : history_previous(s->history);
	uint32_t current = history_current(s->history, NULL);

	if (!to)
		return number ? refuse("there is no policy %u in the history, see `qosctl show history`", number)
			      : refuse("there is no policy before the one in force");
	if (to->number == current)
		return refuse("policy %u is in force already%s", current,
			      p->pending ? "; `qosctl confirm` keeps it" : "");
	return go_back(s, to->number);
}

void shaper_write_again(struct shaper *s)
{
	(void)history_write_again(s->history); /* that it failed was told when it was new */
}

const struct history *shaper_history(const struct shaper *s)
{
	return s->history;
}

struct reload_result *shaper_replan(struct shaper *s)
{
	struct reload_result *r;

	if (!s->current)
		return NULL;
	s->current->loaded->refs++;
	r = run(s, s->current->loaded, TO_FOLLOW);
	if (r->exit == EXIT_INVALID)
		name_error(r);
	return r;
}

/* ---- looking --------------------------------------------------------------------------------------------------------
 */

const struct reload_result *shaper_current(const struct shaper *s)
{
	return s->current ? &s->current->pub : NULL;
}

const struct caps *shaper_caps(const struct shaper *s)
{
	return &s->caps;
}

const struct links *shaper_links(const struct shaper *s)
{
	return &s->links;
}

struct nl *shaper_nl(struct shaper *s)
{
	return s->nl;
}

struct pins *shaper_pins(struct shaper *s)
{
	return s->pins;
}

const struct reload_paths *shaper_paths(const struct shaper *s)
{
	return &s->paths;
}

/* ---- removing -------------------------------------------------------------------------------------------------------
 */

/* Every object of ours goes; what gave way to one comes back. 0 once that is so, with words in why if something else
 * failed. */
static int remove_objects(struct shaper *s, struct arena *a, char *why, size_t size)
{
	struct kobj_set observed = {0}, left = {0};
	struct steps steps = {0};
	struct applied *done = NULL;
	struct refusal refusal;
	const char *sentence = "";
	int err;

	links_clear(&s->links);
	err = links_read(s->nl, &s->links);
	if (!err)
		err = state_read(a, s->nl, s->pins, &s->links, &observed, &sentence);
	if (err) {
		snprintf(why, size, "cannot read the kernel's state: %s", *sentence ? sentence : strerror(-err));
		return err;
	}
	replaced_want(s->replaced, a, &s->links, &observed, &left);
	kobj_set_sort(&left);
	diff_build(a, &observed, &left, &steps);
	err = apply_steps(s->kernel, &steps, &done, &refusal);
	apply_done(done);
	pins_refresh(s->pins);
	if (err) {
		snprintf(why, size, "%s", refusal_text(a, s, NULL, &refusal));
		return err;
	}
	replaced_settle(s->replaced, &left);
	err = replaced_save(s->replaced, s->replaced_path);
	if (err)
		snprintf(why, size, "nothing is shaped any more, but %s cannot be written: %s", s->replaced_path,
			 strerror(-err));
	return 0;
}

int shaper_remove(struct shaper *s, char *why, size_t size)
{
	int err, tries = 0;
	size_t len;

	do {
		struct arena *a = arena_new();

		why[0] = '\0';
		err = remove_objects(s, a, why, size);
		arena_free(a);
	} while (err && ++tries < LINK_TRIES && link_went(s));
	if (err)
		return err;
	err = pins_remove_all(s->pins);
	len = strlen(why);
	if (err)
		snprintf(why + len, size - len, "%s%s cannot be removed: %s",
			 len ? "; " : "nothing is shaped any more, but ", s->pin_dir, strerror(-err));
	return 0;
}

/* ---- live edits
 * ------------------------------------------------------------------------------------------------------ */

static const struct model_set *find_set(const struct shaper *s, const char *name)
{
	const struct model *m = s->current ? s->current->loaded->model : NULL;

	for (size_t i = 0; m && i < m->n_sets; i++)
		if (strcmp(m->sets[i]->name, name) == 0)
			return m->sets[i];
	return NULL;
}

static int by_prefix(const void *key, const void *element)
{
	return prefix_cmp(key, &((const struct model_element *)element)->prefix);
}

static const struct model_element *find_element(const struct model_set *set, const struct prefix *p)
{
	return set->n_elements ? bsearch(p, set->elements, set->n_elements, sizeof(*set->elements), by_prefix) : NULL;
}

/* Appends where that is, and what follows. */
static void say_where(const struct shaper *s, struct pos pos, const char *then, char *why, size_t size)
{
	struct arena *a = arena_new();
	size_t n = strlen(why);

	snprintf(why + n, size - n, "%s%s", diag_where(s->current->loaded->diag, pos, a), then);
	arena_free(a);
}

/* Single addresses of a set: those of the file, and those that are only live. */
static size_t count_addresses(const struct shaper *s, const struct model_set *set)
{
	size_t n = 0, n_live;
	const struct plan_live *live = elements_all(s->elements, &n_live);

	for (size_t i = 0; i < set->n_elements; i++)
		n += set->elements[i].prefix.bits == 128;
	for (size_t i = 0; i < n_live; i++)
		n += live[i].prefix.bits == 128 && !strcmp(live[i].set, set->name) &&
		     !find_element(set, &live[i].prefix);
	return n;
}

/* Is an fq as long as other rates than the set's now needed it? It drops what it has no room for, and nobody counts
 * that. */
static bool needs_other_fq(const struct shaper *s, const struct model_set *set)
{
	const struct plan *plan = s->current->pub.plan;
	size_t n_live;
	const struct plan_live *live = elements_all(s->elements, &n_live);

	for (size_t i = 0; i < plan->sets.n; i++) {
		const struct plan_set *p = &plan->sets.v[i];
		struct plan_rates most;

		if (p->set != set || !p->sizes_fq)
			continue;
		most = plan_set_rates(set, live, n_live);
		return most.up_Bps != p->most.up_Bps || most.down_Bps != p->most.down_Bps;
	}
	return false;
}

/* Most edits are one entry of a map that stays as large as it is: then there is no need to look at all the others. 0,
 * or -EAGAIN where a whole plan must be made, or the kernel's error. */
static int edit_entry(struct shaper *s, const struct model_set *set, const struct prefix *p)
{
	const struct plan_live *live = elements_find(s->elements, set->name, p);
	struct qosd_written value = {.bits = 128};
	struct kobj_entry e = {.key_size = sizeof(struct qosd_addr), .value_size = sizeof(value)};
	struct kobj_map map;
	char path[96];
	int fd;

	(void)snprintf(path, sizeof(path), "sets/%s/written", set->name); /* a name has at most 48 letters */
	fd = p->bits == 128 ? pins_map(s->pins, path) : -1;
	if (fd < 0 || bpf_map_observe(fd, &map, NULL, NULL) < 0)
		return -EAGAIN;
	if (map.max_entries != plan_elements_room(count_addresses(s, set)) || map.key_size != e.key_size ||
	    map.value_size != e.value_size || needs_other_fq(s, set))
		return -EAGAIN;
	if (live) {
		value.up_Bps = live->up_Bps;
		value.down_Bps = live->down_Bps;
	}
	memcpy(e.key, &p->addr, e.key_size);
	memcpy(e.value, &value, e.value_size);
	return live ? bpf_map_put(fd, &e) : bpf_map_remove(fd, &e);
}

static int save_edits(struct shaper *s, char *why, size_t size)
{
	int err = elements_save(s->elements);

	if (err)
		snprintf(why, size, "cannot write the live edits to %s: %s", s->state_dir, strerror(-err));
	return err;
}

static int replan_edits(struct shaper *s, char *why, size_t size)
{
	struct reload_result *r = shaper_replan(s);

	if (r->applied)
		return 0;
	snprintf(why, size, "%s", r->error);
	reload_result_free(r);
	return -EIO;
}

/* The edit is on disk and in the kernel, or in neither. */
static int edit_done(struct shaper *s, const struct model_set *set, const struct prefix *p, char *why, size_t size)
{
	int err = save_edits(s, why, size);

	if (err)
		return err;
	err = edit_entry(s, set, p);
	if (err == -EAGAIN)
		return replan_edits(s, why, size);
	if (err)
		snprintf(why, size, "the kernel refused: %s", strerror(-err));
	return err;
}

int shaper_set_add(struct shaper *s, const char *set, const struct prefix *p, uint64_t up_Bps, uint64_t down_Bps,
		   char *why, size_t size)
{
	const struct model_set *m = find_set(s, set);
	const struct model_element *written = m ? find_element(m, p) : NULL;
	const struct plan_live *live = elements_find(s->elements, set, p);
	struct plan_live before = live ? *live : (struct plan_live){0};
	char address[TEXT_MAX];
	int err;

	text_format_prefix(address, p);
	if (!m) {
		snprintf(why, size, "there is no set %s", set);
		return -ENOENT;
	}
	if (written) {
		snprintf(why, size, "%s is in set %s already, written at ", address, set);
		say_where(s, written->pos, "", why, size);
		return -EEXIST;
	}
	err = elements_add(s->elements, set, p, up_Bps, down_Bps);
	if (err) {
		snprintf(why, size, "%s is in set %s already, added live", address, set);
		return err;
	}
	err = edit_done(s, m, p, why, size);
	if (err) {
		(void)elements_del(s->elements, set, p); /* it was put there just above */
		if (before.set)
			(void)elements_add(s->elements, set, p, before.up_Bps, before.down_Bps);
		(void)elements_save(s->elements); /* the error that counts is the one before */
	}
	return err;
}

int shaper_set_del(struct shaper *s, const char *set, const struct prefix *p, char *why, size_t size)
{
	const struct model_set *m = find_set(s, set);
	const struct model_element *written = m ? find_element(m, p) : NULL;
	const struct plan_live *live = elements_find(s->elements, set, p);
	struct plan_live before = live ? *live : (struct plan_live){0};
	char address[TEXT_MAX];
	int err;

	text_format_prefix(address, p);
	if (!m) {
		snprintf(why, size, "there is no set %s", set);
		return -ENOENT;
	}
	if (!live && written) {
		snprintf(why, size, "%s is written at ", address);
		say_where(s, written->pos, "; take it out there and reload", why, size);
		return -EEXIST;
	}
	if (!live) {
		snprintf(why, size, "%s is not in set %s", address, set);
		return -ENXIO;
	}
	(void)elements_del(s->elements, set, p); /* found just above */
	/* One that the file has come to have as well stays in the kernel, as the file says. */
	err = written ? save_edits(s, why, size) : edit_done(s, m, p, why, size);
	if (err) {
		(void)elements_add(s->elements, set, p, before.up_Bps, before.down_Bps);
		(void)elements_save(s->elements); /* the error that counts is the one before */
	}
	return err;
}

/* Many edits at once: all of them on disk and in the kernel, or none. before is what was, and is taken over. */
static int edits_done(struct shaper *s, struct elements_store *before, char *why, size_t size)
{
	int err = save_edits(s, why, size);

	if (!err)
		err = replan_edits(s, why, size);
	if (err) {
		elements_free(s->elements);
		s->elements = before;
		(void)elements_save(s->elements); /* the error that counts is the one before */
	} else {
		elements_free(before);
	}
	return err;
}

static bool has_rates(const struct model_element *e, const struct plan_live *row)
{
	return e->up_Bps == row->up_Bps && e->down_Bps == row->down_Bps;
}

int shaper_set_import(struct shaper *s, const char *set, const struct plan_live *rows, size_t n, char *why, size_t size)
{
	const struct model_set *m = find_set(s, set);
	struct plan_live *news;
	size_t n_news = 0;
	int err = 0;

	if (!m) {
		snprintf(why, size, "there is no set %s", set);
		return -ENOENT;
	}
	news = xcalloc(n, sizeof(*news));
	for (size_t i = 0; i < n && !err; i++) {
		const struct model_element *written = find_element(m, &rows[i].prefix);
		const struct plan_live *live = elements_find(s->elements, set, &rows[i].prefix);
		char address[TEXT_MAX];

		if (!written) {
			if (!live || live->up_Bps != rows[i].up_Bps || live->down_Bps != rows[i].down_Bps)
				news[n_news++] = rows[i];
		} else if (!has_rates(written, &rows[i])) {
			snprintf(why, size, "%s has other rates where it is written, at ",
				 text_format_prefix(address, &rows[i].prefix));
			say_where(s, written->pos, "; nothing was imported", why, size);
			err = -EEXIST;
		}
	}
	if (!err && n_news) {
		struct elements_store *before = elements_copy(s->elements);

		elements_add_many(s->elements, set, news, n_news);
		err = edits_done(s, before, why, size);
	}
	free(news);
	return err ? err : (int)n_news;
}

int shaper_set_flush(struct shaper *s, const char *set, char *why, size_t size)
{
	struct elements_store *before;
	size_t n;
	int err;

	if (!find_set(s, set)) {
		snprintf(why, size, "there is no set %s", set);
		return -ENOENT;
	}
	before = elements_copy(s->elements);
	n = elements_flush(s->elements, set);
	err = edits_done(s, before, why, size);
	return err ? err : (int)n;
}

const struct plan_live *shaper_live(const struct shaper *s, size_t *n)
{
	return elements_all(s->elements, n);
}

bool shaper_set_is_live(const struct shaper *s, const char *set, const struct prefix *p)
{
	return elements_find(s->elements, set, p) != NULL;
}
