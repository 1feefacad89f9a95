/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bpf_map.h"
#include "ifb.h"
#include "map_change.h"
#include "nl.h"
#include "pins.h"
#include "prog.h"
#include "tc_action.h"
#include "tc_class.h"
#include "tc_filter.h"
#include "tc_qdisc.h"

/* Requests of one kind are carried out together, up to so many. */
#define RUN_MAX 4096
/* A filter lets go of its actions an RCU grace period after it is gone; until then the kernel refuses to delete them,
 * with EPERM. */
#define UNBIND_TRIES    300
#define UNBIND_PAUSE_NS 10000000l

/* A program that filters of this apply share. */
struct prog {
	struct prog *next;
	unsigned users;
	int fd;
	uint32_t id;      /* of one that was there before */
	const char *name; /* of one that was loaded: its filter's, which stands for all that is in it */
};

/* A map that changes in this apply; the forward request and its undo share it. */
struct change {
	struct change *next;
	unsigned users;
	struct map_change *map;
};

struct request {
	const struct request_kind *kind;
	struct nlmsghdr *msg;                  /* of the netlink kinds */
	struct nlmsghdr *then;                 /* of a device: its alias */
	int ifindex;                           /* of the device itself, or of what is on it; 0: on none */
	const struct kobj_link *link;          /* of a device that is removed */
	bool is_root;                          /* a removal that takes all classes of its device along */
	bool done;                             /* a removal that was sent */
	struct request *with;                  /* the removal that takes this one along; it is not sent itself */
	const struct request *forward;         /* of the undo of a removal */
	struct prog *prog;                     /* kept open for msg */
	struct change *change;                 /* of maps */
	enum map_time to;                      /* of maps */
	const char *path;                      /* of an entry's map */
	const struct kobj_entry *put, *remove; /* of entries, one of them or none */
};

struct real {
	struct kernel pub;
	struct nl *nl;
	struct pins *pins;
	struct prog *progs;
	struct change *changes;
	struct change *asked;   /* what find_change found last, or NULL */
	const char *asked_path; /* and for which path */
	long fail_at;           /* requests to carry out before the one that fails; -1: none fails */
	long kill_at;           /* requests to carry out before this process dies; -1: it lives */
};

/* Carries out n requests of this kind, in order, and says in result how it went, -ECANCELED where one was not tried. 0
 * or the first error. */
struct request_kind {
	int (*commit)(struct real *k, struct request *const *r, size_t n, int *result, char *text, size_t size);
};

static const struct request_kind message_request, removal_request, clsact_removal_request, tc_removal_request,
	tc_restore_request, link_request, link_removal_request, action_removal_request, map_request, entry_request;

/* ---- the three verbs ---- */

/* Encodes one kind of object's step. 0, or -errno with words in text. */
typedef int prepare_fn(struct real *k, const struct step *s, struct request *fwd, struct request *undo, char *text,
		       size_t size);
static prepare_fn prepare_map, prepare_entry, prepare_link, prepare_tc, prepare_action, prepare_filter;

static void release(void *ctx, struct request *r);

static int prepare(void *ctx, const struct step *s, struct request **fwd, struct request **undo, char *text,
		   size_t size)
{
	static prepare_fn *const kinds[KOBJ_KINDS] = {
		[KOBJ_MAP] = prepare_map,       [KOBJ_ENTRY] = prepare_entry,   [KOBJ_LINK] = prepare_link,
		[KOBJ_QDISC] = prepare_tc,      [KOBJ_CLASS] = prepare_tc,      [KOBJ_LEAF] = prepare_tc,
		[KOBJ_ACTION] = prepare_action, [KOBJ_FILTER] = prepare_filter,
	};
	struct real *k = ctx;
	int err;

	text[0] = '\0';
	*fwd = xcalloc(1, sizeof(**fwd));
	*undo = xcalloc(1, sizeof(**undo));
	err = kinds[(s->after ? s->after : s->before)->kind](k, s, *fwd, *undo, text, size);
	if (err) {
		release(k, *fwd);
		release(k, *undo);
		*fwd = *undo = NULL;
	}
	return err;
}

/* What brings a program begins a run of its own: see catch_up(). */
static bool together(const struct request *a, const struct request *b)
{
	return a->kind == b->kind && !a->prog == !b->prog &&
	       (a->path == b->path || (a->path && b->path && !strcmp(a->path, b->path)));
}

static size_t up_to(long at, size_t max)
{
	return at > 0 && (size_t)at < max ? (size_t)at : max;
}

static void count_down(long *at, size_t run)
{
	if (*at > 0)
		*at -= (long)run;
}

static size_t run_length(const struct real *k, struct request *const *r, size_t n)
{
	size_t max = up_to(k->kill_at, up_to(k->fail_at, n < RUN_MAX ? n : RUN_MAX)), run = 1;

	while (run < max && together(r[0], r[run]))
		run++;
	return run;
}

static void join_removals(struct request *const *r, size_t n);

/* A program is about to take the place of another, and may look at other maps: what was measured goes with it. */
static void catch_up(struct real *k)
{
	for (struct change *c = k->changes; c; c = c->next)
		map_change_catch_up(c->map);
}

static int commit(void *ctx, struct request *const *r, size_t n, int *result, char *text, size_t size)
{
	struct real *k = ctx;
	int err = 0;

	text[0] = '\0';
	if (n > 1)
		join_removals(r, n);
	for (size_t i = 0; i < n; i++)
		result[i] = -ECANCELED;
	for (size_t i = 0, run; i < n && !err; i += run) {
		if (k->kill_at == 0)
			(void)raise(SIGKILL);
		if (k->fail_at == 0) {
			k->fail_at = -1;
			(void)snprintf(text, size, "made to fail by a test"); /* cut to fit */
			return result[i] = -EIO;
		}
		run = run_length(k, r + i, n - i);
		if (r[i]->prog)
			catch_up(k);
		err = r[i]->kind->commit(k, r + i, run, result + i, text, size);
		count_down(&k->fail_at, run);
		count_down(&k->kill_at, run);
	}
	return err;
}

static void prog_put(struct real *k, struct prog *p);
static void change_put(struct real *k, struct change *c);

static void release(void *ctx, struct request *r)
{
	struct real *k = ctx;

	k->asked_path = NULL; /* may be this request's */
	prog_put(k, r->prog);
	change_put(k, r->change);
	free(r->msg);
	free(r->then);
	free(r);
}

struct kernel *kernel_new(struct nl *nl, struct pins *pins)
{
	struct real *k = xcalloc(1, sizeof(*k));

	k->pub = (struct kernel){.ctx = k, .prepare = prepare, .commit = commit, .release = release};
	k->nl = nl;
	k->pins = pins;
	k->fail_at = k->kill_at = -1;
#ifdef QOSD_FAULT_INJECTION
	if (getenv("QOSD_FAIL_AT"))
		k->fail_at = strtol(getenv("QOSD_FAIL_AT"), NULL, 10);
	if (getenv("QOSD_KILL_AT"))
		k->kill_at = strtol(getenv("QOSD_KILL_AT"), NULL, 10);
#endif
	return &k->pub;
}

void kernel_free(struct kernel *k)
{
	if (k)
		free(k->ctx);
}

void kernel_read_faults(struct kernel *k)
{
#ifdef QOSD_FAULT_INJECTION
	struct real *r = k->ctx;
	const char *path = getenv("QOSD_FAULTS");
	FILE *f = path ? fopen(path, "re") : NULL;
	char word[8];
	long n;

	if (!f)
		return;
	r->fail_at = r->kill_at = -1;
	while (fscanf(f, "%7s %ld", word, &n) == 2)
		*(!strcmp(word, "kill") ? &r->kill_at : &r->fail_at) = n;
	fclose(f);
	(void)unlink(path); /* read twice it would count twice, in tests */
#else
	(void)k;
#endif
}

void kernel_fail_at(struct kernel *k, int i)
{
	((struct real *)k->ctx)->fail_at = i;
}

/* ---- netlink messages
 * -------------------------------------------------------------------------------------------------- */

/* Does a request whose link has gone count as carried out? Whoever verifies the result does not miss what was on it. */
static bool is_vain(const struct request *r, int err)
{
	char name[IF_NAMESIZE];

	return err == -ENODEV && r->ifindex && !if_indextoname((unsigned)r->ifindex, name) && errno == ENXIO;
}

/* Does a removal that was refused? What is not there any more, or went with its link, is removed. */
static bool is_removed(const struct request *r, int err)
{
	(void)r;
	return err == -ENOENT || err == -ENODEV;
}

static struct nlmsghdr *keep(const struct nlmsghdr *msg)
{
	return memcpy(xmalloc(msg->nlmsg_len), msg, msg->nlmsg_len);
}

/* Sends messages until one is refused; counts says which refusals are none. */
static int send_requests(struct real *k, struct request *const *r, size_t n,
			 bool (*counts)(const struct request *r, int err), int *result, char *text, size_t size)
{
	struct nlmsghdr **msgs = xcalloc(n, sizeof(struct nlmsghdr *));
	size_t sent = 0;
	bool has_words = true; /* text is about the first refusal that counts */
	int err = 0;

	for (size_t i = 0; i < n; i++) {
		msgs[i] = r[i]->msg;
		result[i] = -ECANCELED;
	}
	while (sent < n && !err) {
		(void)nl_batch(k->nl, msgs + sent, n - sent, result + sent, text, size); /* each has its result */
		has_words = true;
		for (; sent < n && result[sent] != -ECANCELED; sent++) {
			if (result[sent] && counts(r[sent], result[sent])) {
				result[sent] = 0;
				has_words &= err != 0; /* the batch's words were about this one */
			}
			if (!err)
				err = result[sent];
		}
	}
	if (!has_words)
		text[0] = '\0';
	free(msgs);
	return err;
}

static int commit_messages(struct real *k, struct request *const *r, size_t n, int *result, char *text, size_t size)
{
	return send_requests(k, r, n, is_vain, result, text, size);
}
static const struct request_kind message_request = {commit_messages};

static int commit_removals(struct real *k, struct request *const *r, size_t n, int *result, char *text, size_t size)
{
	return send_requests(k, r, n, is_removed, result, text, size);
}
static const struct request_kind removal_request = {commit_removals};

/* ---- qdiscs
 * ------------------------------------------------------------------------------------------------------------ */

static int note_filter(const struct nlmsghdr *msg, void *ctx)
{
	*(bool *)ctx |= tc_filter_is_any(msg);
	return 0;
}

/* With a clsact go all of its filters, and some may be other people's. */
static bool clsact_is_used(struct real *k, int ifindex)
{
	static const uint32_t hooks[] = {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	bool used = false;

	for (size_t h = 0; h < sizeof(hooks) / sizeof(hooks[0]) && !used; h++) {
		uint32_t parent = TC_H_MAKE(TC_H_CLSACT, hooks[h]);
		int err = nl_dump(k->nl, tc_filter_encode_dump(buf, ifindex, parent), note_filter, NULL, &used);

		used |= err && err != -ENODEV; /* in doubt it stays */
	}
	return used;
}

static int commit_clsact_removals(struct real *k, struct request *const *r, size_t n, int *result, char *text,
				  size_t size)
{
	for (size_t i = 0; i < n; i++) {
		result[i] = 0;
		if (clsact_is_used(k, r[i]->ifindex))
			continue;
		result[i] = nl_talk(k->nl, r[i]->msg, text, size);
		r[i]->done = !result[i];
		if (is_removed(r[i], result[i]))
			result[i] = 0;
		if (result[i])
			return result[i];
	}
	return 0;
}
static const struct request_kind clsact_removal_request = {commit_clsact_removals};

/* One that was left is there still, unless its device has gone and come back meanwhile. */
static int commit_clsact_restores(struct real *k, struct request *const *r, size_t n, int *result, char *text,
				  size_t size)
{
	for (size_t i = 0; i < n; i++) {
		result[i] = nl_talk(k->nl, r[i]->msg, text, size);
		if (is_vain(r[i], result[i]) || (result[i] == -EEXIST && !r[i]->forward->done))
			result[i] = 0;
		if (result[i])
			return result[i];
	}
	return 0;
}
static const struct request_kind clsact_restore_request = {commit_clsact_restores};

static struct request *find_root(struct request *const *roots, size_t n, int ifindex)
{
	for (size_t i = 0; i < n; i++)
		if (roots[i]->ifindex == ifindex)
			return roots[i];
	return NULL;
}

/* With a root qdisc go its classes and their leaves in no time, with a device all of them; one by one 10,000 classes
 * take seconds, since the kernel looks at all for each. */
static void join_removals(struct request *const *r, size_t n)
{
	struct request **roots = xcalloc(n, sizeof(*roots));
	size_t n_roots = 0;

	for (size_t i = n; i > 0; i--) {
		struct request *one = r[i - 1];

		if (one->kind == &tc_removal_request)
			one->with = find_root(roots, n_roots, one->ifindex);
		if (one->is_root && !one->with)
			roots[n_roots++] = one;
	}
	free(roots);
}

static int commit_tc_removals(struct real *k, struct request *const *r, size_t n, int *result, char *text, size_t size)
{
	struct request **alone = xcalloc(n, sizeof(*alone));
	int *sent = xcalloc(n, sizeof(int)), err;
	size_t m = 0;

	for (size_t i = 0; i < n; i++)
		if (!r[i]->with)
			alone[m++] = r[i];
	err = send_requests(k, alone, m, is_removed, sent, text, size);
	m = 0;
	for (size_t i = 0; i < n; i++) {
		result[i] = r[i]->with ? 0 : sent[m++];
		r[i]->done = !r[i]->with && !result[i];
	}
	free(alone);
	free(sent);
	return err;
}
static const struct request_kind tc_removal_request = {commit_tc_removals};

/* Only what was removed is put back. */
static int commit_tc_restores(struct real *k, struct request *const *r, size_t n, int *result, char *text, size_t size)
{
	for (size_t i = 0; i < n; i++) {
		const struct request *with = r[i]->forward->with;

		result[i] = with && !with->done ? 0 : nl_talk(k->nl, r[i]->msg, text, size);
		if (is_vain(r[i], result[i]))
			result[i] = 0;
		if (result[i])
			return result[i];
	}
	return 0;
}
static const struct request_kind tc_restore_request = {commit_tc_restores};

static bool is_clsact(const struct kobj *o)
{
	return o->kind == KOBJ_QDISC && o->qdisc.parent == TC_H_CLSACT;
}

static struct nlmsghdr *encode_tc_message(void *buf, const struct kobj *from, const struct kobj *to)
{
	if ((to ? to : from)->kind == KOBJ_CLASS)
		return !to    ? tc_class_encode_delete(buf, &from->cls)
		       : from ? tc_class_encode_change(buf, &to->cls)
			      : tc_class_encode_create(buf, &to->cls);
	return !to    ? tc_qdisc_encode_delete(buf, &from->qdisc)
	       : from ? tc_qdisc_encode_change(buf, &to->qdisc)
		      : tc_qdisc_encode_create(buf, &to->qdisc);
}

static void encode_tc(struct request *r, const struct kobj *from, const struct kobj *to)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	const struct kobj *o = to ? to : from;

	r->kind = to ? &message_request : is_clsact(from) ? &clsact_removal_request : &tc_removal_request;
	r->ifindex = o->kind == KOBJ_CLASS ? o->cls.ifindex : o->qdisc.ifindex;
	r->is_root = !to && o->kind == KOBJ_QDISC && o->qdisc.parent == TC_H_ROOT;
	r->msg = keep(encode_tc_message(buf, from, to));
}

/* Could undo make it again? Where nobody knows that it could not, what is somebody else's stays. */
static bool may_go(const struct kobj *o)
{
	return o->kind != KOBJ_QDISC || !tc_qdisc_is_foreign(&o->qdisc) || o->qdisc.lossy ||
	       (o->qdisc.q.kind != QDISC_OTHER && o->qdisc.q.kind != QDISC_HTB);
}

/* The undo of a removal that has none: a root qdisc that gave way to ours and could not be made again. */
static int commit_lost(struct real *k, struct request *const *r, size_t n, int *result, char *text, size_t size)
{
	(void)k;
	(void)r;
	(void)n;
	(void)snprintf(text, size,
		       "the root qdisc that was replaced could not be made again; the kernel's default has its place");
	return result[0] = -EOPNOTSUPP;
}
static const struct request_kind lost_request = {commit_lost};

/* Qdiscs, classes and leaves. */
static int prepare_tc(struct real *k, const struct step *s, struct request *fwd, struct request *undo, char *text,
		      size_t size)
{
	const char *fixed = s->before && s->after ? kobj_kinds[s->before->kind]->fixed(s->before, s->after) : NULL;

	(void)k;
	if (fixed) {
		(void)snprintf(text, size, "%s", fixed); /* cut to fit */
		return -EEXIST;
	}
	if (!s->after && !may_go(s->before)) {
		(void)snprintf(text, size,
			       "the root qdisc that is there could not be put back if something failed"); /* fits */
		return -EEXIST;
	}
	encode_tc(fwd, s->before, s->after);
	encode_tc(undo, s->after, s->before);
	if (!s->after && s->before->kind == KOBJ_QDISC && s->before->qdisc.lossy) {
		undo->kind = &lost_request;
	} else if (!s->after) {
		undo->kind = is_clsact(s->before) ? &clsact_restore_request : &tc_restore_request;
		undo->forward = fwd;
	}
	return 0;
}

/* ---- devices
 * ----------------------------------------------------------------------------------------------------------- */

/* Made and given its alias, or not there. */
static int make_device(struct real *k, const struct request *r, char *text, size_t size)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	int err = nl_talk(k->nl, r->msg, text, size);

	if (err)
		return err;
	err = nl_talk(k->nl, r->then, text, size);
	if (err)
		(void)nl_talk(k->nl, ifb_encode_delete(buf, r->link), NULL, 0); /* the first refusal is what is told */
	return err;
}

static int commit_links(struct real *k, struct request *const *r, size_t n, int *result, char *text, size_t size)
{
	for (size_t i = 0; i < n; i++) {
		result[i] = make_device(k, r[i], text, size);
		if (result[i])
			return result[i];
	}
	return 0;
}
static const struct request_kind link_request = {commit_links};

/* Only what was removed is put back. */
static int commit_link_restores(struct real *k, struct request *const *r, size_t n, int *result, char *text,
				size_t size)
{
	for (size_t i = 0; i < n; i++) {
		result[i] = r[i]->forward->done ? make_device(k, r[i], text, size) : 0;
		if (result[i])
			return result[i];
	}
	return 0;
}
static const struct request_kind link_restore_request = {commit_link_restores};

static int remove_device(struct real *k, struct request *r, char *text, size_t size)
{
	int ours = ifb_is_ours(k->nl, r->link), err;

	if (ours < 0)
		return ours;
	if (!ours)
		return 0; /* gone, or somebody else's by now */
	err = nl_talk(k->nl, r->msg, text, size);
	r->done = !err;
	return err;
}

static int commit_link_removals(struct real *k, struct request *const *r, size_t n, int *result, char *text,
				size_t size)
{
	for (size_t i = 0; i < n; i++) {
		result[i] = remove_device(k, r[i], text, size);
		if (result[i])
			return result[i];
	}
	return 0;
}
static const struct request_kind link_removal_request = {commit_link_removals};

static void encode_link(struct request *r, const struct kobj *from, const struct kobj *to)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

	r->link = &(to ? to : from)->link;
	r->ifindex = r->link->ifindex;
	r->is_root = !to;
	r->kind = !to ? &link_removal_request : from ? &message_request : &link_request;
	r->msg = keep(!to    ? ifb_encode_delete(buf, r->link)
		      : from ? ifb_encode_alias(buf, r->link)
			     : ifb_encode_create(buf, r->link));
	if (to && !from)
		r->then = keep(ifb_encode_alias(buf, r->link));
}

static int prepare_link(struct real *k, const struct step *s, struct request *fwd, struct request *undo, char *text,
			size_t size)
{
	const char *fixed = s->before && s->after ? ifb_ops.fixed(s->before, s->after) : NULL;

	(void)k;
	if (fixed) {
		(void)snprintf(text, size, "%s", fixed); /* cut to fit */
		return -EEXIST;
	}
	encode_link(fwd, s->before, s->after);
	encode_link(undo, s->after, s->before);
	if (!s->after) {
		undo->kind = &link_restore_request;
		undo->forward = fwd;
	}
	return 0;
}

/* ---- actions
 * ----------------------------------------------------------------------------------------------------------- */

static int remove_action(struct real *k, struct nlmsghdr *msg, char *text, size_t size)
{
	const struct timespec pause = {.tv_nsec = UNBIND_PAUSE_NS};
	int err = nl_talk(k->nl, msg, text, size);

	for (int tries = 0; err == -EPERM && tries < UNBIND_TRIES; tries++) {
		(void)nanosleep(&pause, NULL); /* a shorter one is as good */
		err = nl_talk(k->nl, msg, text, size);
	}
	return err == -ENOENT ? 0 : err;
}

static int commit_action_removals(struct real *k, struct request *const *r, size_t n, int *result, char *text,
				  size_t size)
{
	for (size_t i = 0; i < n; i++) {
		result[i] = remove_action(k, r[i]->msg, text, size);
		if (result[i])
			return result[i];
	}
	return 0;
}
static const struct request_kind action_removal_request = {commit_action_removals};

static void encode_action(struct request *r, const struct kobj *from, const struct kobj *to)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

	r->kind = to ? &message_request : &action_removal_request;
	r->msg = keep(!to    ? tc_action_encode_delete(buf, from->police.index)
		      : from ? tc_action_encode_change(buf, &to->police)
			     : tc_action_encode_create(buf, &to->police));
}

static int prepare_action(struct real *k, const struct step *s, struct request *fwd, struct request *undo, char *text,
			  size_t size)
{
	(void)k;
	(void)text;
	(void)size;
	encode_action(fwd, s->before, s->after);
	encode_action(undo, s->after, s->before);
	return 0;
}

/* ---- filters
 * ----------------------------------------------------------------------------------------------------------- */

/* Programs see the maps that this apply is making before those that are pinned. */
static int map_fd_for_prog(void *ctx, const char *path)
{
	struct real *k = ctx;
	int fd;

	for (const struct change *c = k->changes; c; c = c->next)
		if (map_change_fd(c->map) >= 0 && !strcmp(map_change_path(c->map), path))
			return map_change_fd(c->map);
	fd = pins_map(k->pins, path);
	return fd < 0 ? -1 : fd;
}

static struct prog *prog_new(struct real *k, int fd, uint32_t id, const char *name)
{
	struct prog *p = xcalloc(1, sizeof(*p));

	*p = (struct prog){.next = k->progs, .users = 1, .fd = fd, .id = id, .name = name};
	k->progs = p;
	return p;
}

static struct prog *prog_use(struct prog *p)
{
	p->users++;
	return p;
}

static void prog_put(struct real *k, struct prog *p)
{
	if (!p || --p->users)
		return;
	for (struct prog **at = &k->progs; *at; at = &(*at)->next) {
		if (*at == p) {
			*at = p->next;
			break;
		}
	}
	(void)close(p->fd); /* filters hold what they use */
	free(p);
}

static int load_prog(struct real *k, const struct kobj_filter *f, struct prog **out, char *text, size_t size)
{
	int fd;

	for (struct prog *p = k->progs; p; p = p->next) {
		if (p->name && !strcmp(p->name, f->name)) {
			*out = prog_use(p);
			return 0;
		}
	}
	fd = prog_load(f->prog, map_fd_for_prog, k, text, size);
	if (fd < 0)
		return fd;
	*out = prog_new(k, fd, 0, f->name);
	return 0;
}

/* The program that is attached now is kept, so that undo can put it back. */
static int find_prog(struct real *k, const struct kobj_filter *f, struct prog **out, char *text, size_t size)
{
	int fd;

	for (struct prog *p = k->progs; p; p = p->next) {
		if (p->id && p->id == f->prog_id) {
			*out = prog_use(p);
			return 0;
		}
	}
	fd = f->prog_id ? bpf_prog_get_fd_by_id(f->prog_id) : -ENOENT;
	if (fd < 0) {
		(void)snprintf(text, size,
			       "the filter that is there has no program that could be put back"); /* cut to fit */
		return fd;
	}
	*out = prog_new(k, fd, f->prog_id, NULL);
	return 0;
}

static void encode_filter(struct request *r, const struct kobj *from, const struct kobj *to)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

	r->kind = to ? &message_request : &removal_request;
	r->ifindex = (to ? to : from)->filter.ifindex;
	r->msg = keep(!to    ? tc_filter_encode_delete(buf, &from->filter)
		      : from ? tc_filter_encode_change(buf, &to->filter, r->prog->fd)
			     : tc_filter_encode_create(buf, &to->filter, r->prog->fd));
}

static int prepare_filter(struct real *k, const struct step *s, struct request *fwd, struct request *undo, char *text,
			  size_t size)
{
	int err = 0;

	if (s->before)
		err = find_prog(k, &s->before->filter, &undo->prog, text, size);
	if (!err && s->after)
		err = load_prog(k, &s->after->filter, &fwd->prog, text, size);
	if (err)
		return err;
	encode_filter(fwd, s->before, s->after);
	encode_filter(undo, s->after, s->before);
	return 0;
}

/* ---- maps
 * -------------------------------------------------------------------------------------------------------------- */

static void change_put(struct real *k, struct change *c)
{
	if (!c || --c->users)
		return;
	for (struct change **at = &k->changes; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	map_change_free(c->map);
	free(c);
}

static int commit_maps(struct real *k, struct request *const *r, size_t n, int *result, char *text, size_t size)
{
	(void)k;
	for (size_t i = 0; i < n; i++) {
		struct map_change *m = r[i]->change->map;

		result[i] = map_change_commit(m, r[i]->to);
		if (result[i]) {
			(void)snprintf(text, size, "map %s: %s", map_change_path(m),
				       strerror(-result[i])); /* cut to fit */
			return result[i];
		}
	}
	return 0;
}
static const struct request_kind map_request = {commit_maps};

static int prepare_map(struct real *k, const struct step *s, struct request *fwd, struct request *undo, char *text,
		       size_t size)
{
	struct map_change *m;
	struct change *c;
	int err = map_change_new(k->pins, s->before, s->after, &m);

	if (err) {
		(void)snprintf(text, size, "cannot %s the map: %s", s->before ? "open or replace" : "make",
			       strerror(-err));
		return err;
	}
	c = xcalloc(1, sizeof(*c));
	*c = (struct change){.next = k->changes, .users = 2, .map = m};
	k->changes = c;
	k->asked_path = NULL;
	fwd->kind = undo->kind = &map_request;
	fwd->change = undo->change = c;
	fwd->to = MAP_AFTER;
	undo->to = MAP_BEFORE;
	return 0;
}

/* ---- entries
 * ----------------------------------------------------------------------------------------------------------- */

static size_t puts_ahead(struct request *const *r, size_t n)
{
	size_t i = 0;

	while (i < n && r[i]->put)
		i++;
	return i;
}

/* Writes n entries of one map at once. */
static int put_entries(int fd, struct request *const *r, size_t n, int *result)
{
	const struct kobj_entry **entries = xcalloc(n, sizeof(*entries));
	size_t done;
	int err;

	for (size_t i = 0; i < n; i++)
		entries[i] = r[i]->put;
	err = bpf_map_put_many(fd, entries, n, &done);
	for (size_t i = 0; i < done; i++)
		result[i] = 0;
	if (err)
		result[done] = err;
	free(entries);
	return err;
}

static int remove_entry(int fd, const struct request *r)
{
	int err = r->remove ? bpf_map_remove(fd, r->remove) : 0;

	/* An array that was replaced by a smaller one has lost the entry already. */
	return err == -E2BIG ? 0 : err;
}

static int commit_entries(struct real *k, struct request *const *r, size_t n, int *result, char *text, size_t size)
{
	int fd = pins_map(k->pins, r[0]->path), err = 0;
	size_t i = 0;

	if (fd < 0)
		err = result[0] = fd;
	while (i < n && !err) {
		size_t run = puts_ahead(r + i, n - i);

		if (run)
			err = put_entries(fd, r + i, run, result + i);
		else
			err = result[i] = remove_entry(fd, r[i]);
		i += run ? run : 1;
	}
	if (err)
		(void)snprintf(text, size, "map %s: %s", r[0]->path, strerror(-err)); /* cut to fit */
	return err;
}
static const struct request_kind entry_request = {commit_entries};

/* Entries come sorted by map. */
static struct change *find_change(struct real *k, const char *path)
{
	if (k->asked_path && !strcmp(k->asked_path, path))
		return k->asked;
	k->asked_path = path;
	for (k->asked = k->changes; k->asked; k->asked = k->asked->next)
		if (!strcmp(map_change_path(k->asked->map), path))
			break;
	return k->asked;
}

static void set_entry(struct request *r, const struct kobj *from, const struct kobj *to)
{
	r->put = to ? &to->entry : NULL;
	r->remove = to ? NULL : &from->entry;
}

static int prepare_entry(struct real *k, const struct step *s, struct request *fwd, struct request *undo, char *text,
			 size_t size)
{
	const char *path = (s->after ? s->after : s->before)->entry.path;
	struct change *c = find_change(k, path);

	(void)text;
	(void)size;
	fwd->kind = undo->kind = &entry_request;
	fwd->path = undo->path = path;
	set_entry(fwd, s->before, s->after);
	if (fwd->remove && c)
		map_change_leave_out(c->map, fwd->remove);
	/* Where the map is made or replaced in this apply, its undo brings back the old one, or none, with all that was
	 * in it. */
	if (!c)
		set_entry(undo, s->after, s->before);
	return 0;
}
