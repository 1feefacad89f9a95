/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/pkt_sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../bpf/qosd_abi.h"
#include "bpf_map.h"
#include "ifb.h"
#include "nl.h"
#include "pins.h"
#include "tc_action.h"
#include "tc_class.h"
#include "tc_filter.h"
#include "tc_qdisc.h"

/* As the name of a filter whose program uses a map of ours that is not pinned (any more). Nobody wants that name, so
 * the filter is given a program that uses the maps that are. */
#define NAME_OF_LOST "with maps that are not pinned"

#define PROG_MAPS_MAX 64 /* MAX_USED_MAPS of the kernel's bpf_verifier.h */

/* A pinned map, to find it by its id. */
struct pinned {
	uint32_t id;
	bool has_slot; /* it was made for this slot of an outer map */
	uint32_t slot;
	size_t object; /* number in out */
};

struct prog {
	uint32_t id;
	bool lost;
};

struct reader {
	struct arena *a;
	struct nl *nl;
	struct pins *pins;
	struct kobj_set *out;
	VEC(struct pinned) pinned; /* sorted by id once all are there */
	VEC(struct prog) progs;    /* that were looked at */
	size_t dump_start;         /* out->n when the dump began */
	const char **why;
};

static void sort_once(struct kobj_set *s);
static int read_maps(struct reader *r);
static int read_slots(struct reader *r);
static int read_links(struct reader *r);
static int read_qdiscs(struct reader *r);
static int read_classes(struct reader *r);
static int read_filters(struct reader *r);
static int read_actions(struct reader *r);

int state_read(struct arena *a, struct nl *nl, struct pins *pins, const struct links *links, struct kobj_set *out,
	       const char **why)
{
	static const struct {
		int (*read)(struct reader *r);
		const char *what;
	} parts[] = {
		{read_maps, "the pinned maps"},       {read_slots, "the outer maps"}, {read_links, "the devices"},
		{read_qdiscs, "the qdiscs"},          {read_classes, "the classes"},  {read_filters, "the filters"},
		{read_actions, "the police actions"},
	};
	struct reader r = {.a = a, .nl = nl, .pins = pins, .out = out, .why = why};

	(void)links; /* the dumps name every interface themselves */
	*why = "";
	*out = (struct kobj_set){0};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		int err = parts[i].read(&r);

		if (err) {
			*why = arena_printf(a, "cannot read %s: %s", parts[i].what, strerror(-err));
			return err;
		}
	}
	sort_once(out);
	return 0;
}

bool state_is_configured(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	if (!strncmp(path, "sets/", 5))
		return !strcmp(name, "written") || !strcmp(name, "prefixes");
	if (!strncmp(path, "hooks/", 6))
		return !strcmp(name, "conf") || !strcmp(name, "key_conf");
	return !strcmp(path, "sets_conf") || !strcmp(path, "forwards") || !strcmp(path, "targets");
}

static int by_key(const void *a, const void *b)
{
	return kobj_cmp(a, b);
}

/* A dump may tell an object twice where others changed the table meanwhile. */
static void sort_once(struct kobj_set *s)
{
	size_t n = 0;

	kobj_sort(s->v, s->n);
	for (size_t i = 0; i < s->n; i++)
		if (!n || kobj_cmp(&s->v[n - 1], &s->v[i]) != 0)
			s->v[n++] = s->v[i];
	s->n = n;
}

static struct kobj *found(struct reader *r, enum kobj_kind kind)
{
	struct kobj *o = vec_add(r->a, r->out);

	o->kind = kind;
	return o;
}

/* ---- maps
 * ------------------------------------------------------------------------------------------------------------ */

struct entries_of {
	struct reader *r;
	const char *path;
	struct kobj_map map;
};

static void expect_entries(void *ctx, size_t n)
{
	const struct entries_of *e = ctx;

	vec_reserve(e->r->a, e->r->out, n);
}

static int add_entry(void *ctx, const void *key, const void *value)
{
	const struct entries_of *e = ctx;
	struct kobj_entry *out = &found(e->r, KOBJ_ENTRY)->entry;

	out->path = e->path;
	out->key_size = (uint8_t)e->map.key_size;
	out->value_size = (uint8_t)e->map.value_size;
	memcpy(out->key, key, e->map.key_size);
	memcpy(out->value, value, e->map.value_size);
	return 0;
}

static int add_map(void *ctx, const char *path, int fd)
{
	struct reader *r = ctx;
	struct entries_of e = {.r = r, .path = arena_strdup(r->a, path)};
	struct pinned p = {.object = r->out->n};
	char name[BPF_OBJ_NAME_LEN];
	int err = bpf_map_observe(fd, &e.map, &p.id, name);

	if (err)
		return err;
	p.has_slot = bpf_map_slot(name, &p.slot);
	*(struct pinned *)vec_add(r->a, &r->pinned) = p;
	e.map.path = e.path;
	found(r, KOBJ_MAP)->map = e.map;
	/* A map of another layout is going to be rebuilt, empty. */
	if (!state_is_configured(path) || e.map.key_size > KOBJ_KEY_MAX || e.map.value_size > KOBJ_VALUE_MAX)
		return 0;
	return bpf_map_each(fd, expect_entries, add_entry, &e);
}

static int cmp_pinned(const void *a, const void *b)
{
	const struct pinned *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int read_maps(struct reader *r)
{
	int err = pins_each(r->pins, add_map, r);

	if (r->pinned.n)
		qsort(r->pinned.v, r->pinned.n, sizeof(*r->pinned.v), cmp_pinned);
	return err;
}

static const struct pinned *find_pinned(const struct reader *r, uint32_t id)
{
	const struct pinned key = {.id = id};

	return r->pinned.n ? bsearch(&key, r->pinned.v, r->pinned.n, sizeof(key), cmp_pinned) : NULL;
}

/* "sets/NAME/learned" belongs into "sets_learned", "hooks/HOOK/5/keys" into "hooks/HOOK/keys". */
static const char *outer_of(struct reader *r, const char *path)
{
	const char *name = strrchr(path, '/'), *above = name ? memrchr(path, '/', (size_t)(name - path)) : NULL;

	if (!above)
		return "";
	return arena_printf(r->a, "%.*s%s%s", (int)(above - path), path, strncmp(path, "sets/", 5) ? "/" : "_",
			    name + 1);
}

/* Is the map really where it was made for? */
static int read_slot(struct reader *r, const struct pinned *p)
{
	struct kobj_map *m = &r->out->v[p->object].map;
	const char *outer = outer_of(r, m->path);
	int fd = pins_map(r->pins, outer);
	uint32_t id;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (bpf_map_lookup_elem(fd, &p->slot, &id) < 0 || id != p->id)
		return 0;
	m->outer = outer;
	m->slot = p->slot;
	return 0;
}

static int read_slots(struct reader *r)
{
	int err = 0;

	for (size_t i = 0; i < r->pinned.n && !err; i++)
		if (r->pinned.v[i].has_slot)
			err = read_slot(r, &r->pinned.v[i]);
	return err;
}

/* ---- netlink
 * --------------------------------------------------------------------------------------------------------- */

static void restart(void *ctx)
{
	struct reader *r = ctx;

	r->out->n = r->dump_start;
}

static int dump(struct reader *r, struct nlmsghdr *msg, int (*cb)(const struct nlmsghdr *msg, void *ctx))
{
	r->dump_start = r->out->n;
	return nl_dump(r->nl, msg, cb, restart, r);
}

static int add_link(const struct nlmsghdr *msg, void *ctx)
{
	struct kobj_link l;
	int err = ifb_decode(msg, &l);

	if (!err)
		found(ctx, KOBJ_LINK)->link = l;
	return err == -ENOENT ? 0 : err;
}

static int read_links(struct reader *r)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

	return dump(r, ifb_encode_dump(buf), add_link);
}

static int add_qdisc(const struct nlmsghdr *msg, void *ctx)
{
	struct kobj_qdisc q;
	int err = tc_qdisc_decode(msg, &q);

	if (!err)
		found(ctx, KOBJ_QDISC)->qdisc = q;
	return err == -ENOENT ? 0 : err;
}

/* A root qdisc of ours. */
struct root {
	int ifindex;
	enum qdisc_kind kind;
	uint32_t trees; /* of an mq: the last of its queues that has one, from 1 */
};

struct roots {
	VEC(struct root); /* by ifindex */
};

static int cmp_roots(const void *a, const void *b)
{
	const struct root *x = a, *y = b;

	return (x->ifindex > y->ifindex) - (x->ifindex < y->ifindex);
}

static void find_roots(struct arena *a, const struct kobj *v, size_t n, struct roots *out)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].qdisc.parent == TC_H_ROOT && !tc_qdisc_is_foreign(&v[i].qdisc))
			*vec_add(a, out) = (struct root){.ifindex = v[i].qdisc.ifindex, .kind = v[i].qdisc.q.kind};
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), cmp_roots);
}

static struct root *find_root(const struct roots *roots, int ifindex)
{
	const struct root key = {.ifindex = ifindex};

	return roots->n ? bsearch(&key, roots->v, roots->n, sizeof(key), cmp_roots) : NULL;
}

/* What a qdisc that is neither root nor clsact is, which only what stands above it tells. false: below nothing of ours.
 */
static bool place_below(const struct roots *roots, struct kobj *o)
{
	struct root *root = find_root(roots, o->qdisc.ifindex);

	if (!root)
		return false;
	if (root->kind != QDISC_MQ || o->qdisc.q.kind != QDISC_HTB || TC_H_MAJ(o->qdisc.parent) != KOBJ_ROOT_HANDLE) {
		o->kind = KOBJ_LEAF;
		return true;
	}
	o->level = 1;
	if (root->trees < TC_H_MIN(o->qdisc.parent))
		root->trees = TC_H_MIN(o->qdisc.parent);
	return true;
}

/* An mq is as wide as the last of its queues that has a tree. */
static void measure_mq(const struct roots *roots, struct kobj *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct root *root = v[i].qdisc.parent == TC_H_ROOT ? find_root(roots, v[i].qdisc.ifindex) : NULL;

		if (root && root->kind == QDISC_MQ)
			v[i].qdisc.q.mq.trees = root->trees;
	}
}

static int read_qdiscs(struct reader *r)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	size_t first = r->out->n, kept = first;
	int err = dump(r, tc_qdisc_encode_dump(buf), add_qdisc);
	struct roots roots = {0};

	if (r->out->n == first) /* before the first start: there is nothing at all, and no array */
		return err;
	find_roots(r->a, r->out->v + first, r->out->n - first, &roots);
	for (size_t i = first; i < r->out->n; i++) {
		struct kobj *o = &r->out->v[i];

		if (o->qdisc.parent == TC_H_ROOT || o->qdisc.parent == TC_H_CLSACT || place_below(&roots, o))
			r->out->v[kept++] = *o;
	}
	r->out->n = kept;
	measure_mq(&roots, r->out->v + first, kept - first);
	return err;
}

static int add_class(const struct nlmsghdr *msg, void *ctx)
{
	struct kobj_class c;
	int err = tc_class_decode(msg, &c, NULL);

	if (!err)
		found(ctx, KOBJ_CLASS)->cls = c;
	return err == -ENOENT ? 0 : err;
}

static const struct kobj *find_class(const struct kobj *v, size_t n, const struct kobj *of)
{
	struct kobj key = {.kind = KOBJ_CLASS, .cls = {.ifindex = of->cls.ifindex, .classid = of->cls.parent}};

	return n ? bsearch(&key, v, n, sizeof(*v), by_key) : NULL;
}

/* How many classes are above it. */
static uint32_t depth(const struct kobj *v, size_t n, const struct kobj *o)
{
	uint32_t levels = 0;

	for (o = find_class(v, n, o); o && levels < QOSD_DEPTH_MAX; o = find_class(v, n, o))
		levels++;
	return levels;
}

/* Only of qdiscs that are ours: the dump of a whole device also tells each flow of each leaf as a class. */
static int read_classes(struct reader *r)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	size_t first = r->out->n;

	for (size_t i = 0; i < first; i++) {
		const struct kobj o = r->out->v[i]; /* adding classes moves it */
		int err;

		if (o.kind != KOBJ_QDISC || o.qdisc.q.kind != QDISC_HTB || tc_qdisc_is_foreign(&o.qdisc))
			continue;
		err = dump(r, tc_class_encode_dump(buf, o.qdisc.ifindex, o.qdisc.handle), add_class);
		if (err && err != -ENODEV) /* the link has just gone */
			return err;
	}
	if (r->out->n == first)
		return 0;
	kobj_sort(r->out->v + first, r->out->n - first);
	for (size_t i = first; i < r->out->n; i++)
		r->out->v[i].level = depth(r->out->v + first, r->out->n - first, &r->out->v[i]);
	return 0;
}

/* Does the program use a map that was made to be pinned, and is not? Then nobody sees its counters, and no change of
 * the policy reaches it. */
static bool uses_lost_map(const struct reader *r, uint32_t prog_id)
{
	uint32_t ids[PROG_MAPS_MAX];
	struct bpf_prog_info info = {.nr_map_ids = PROG_MAPS_MAX, .map_ids = (uint64_t)(uintptr_t)ids};
	uint32_t len = sizeof(info);
	bool lost = false;
	int prog = bpf_prog_get_fd_by_id(prog_id);

	if (prog < 0)
		return false; /* replaced a moment ago */
	if (bpf_obj_get_info_by_fd(prog, &info, &len) < 0)
		info.nr_map_ids = 0;
	for (uint32_t i = 0; i < info.nr_map_ids && i < PROG_MAPS_MAX && !lost; i++) {
		char name[BPF_OBJ_NAME_LEN] = "";
		struct kobj_map m;
		int map;

		if (find_pinned(r, ids[i]))
			continue;
		map = bpf_map_get_fd_by_id(ids[i]);
		lost = map >= 0 && bpf_map_observe(map, &m, NULL, name) == 0 &&
		       !strncmp(name, BPF_MAP_NAME_PREFIX, strlen(BPF_MAP_NAME_PREFIX));
		if (map >= 0)
			(void)close(map); /* only looked at */
	}
	(void)close(prog); /* only looked at */
	return lost;
}

static bool is_lost(struct reader *r, uint32_t prog_id)
{
	struct prog *p;

	for (size_t i = r->progs.n; i > 0; i--)
		if (r->progs.v[i - 1].id == prog_id)
			return r->progs.v[i - 1].lost;
	p = vec_add(r->a, &r->progs);
	*p = (struct prog){.id = prog_id, .lost = uses_lost_map(r, prog_id)};
	return p->lost;
}

static int add_filter(const struct nlmsghdr *msg, void *ctx)
{
	struct kobj_filter f;
	struct reader *r = ctx;
	int err = tc_filter_decode(r->a, msg, &f);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (f.prog_id && is_lost(r, f.prog_id))
		f.name = NAME_OF_LOST;
	found(r, KOBJ_FILTER)->filter = f;
	return 0;
}

static int read_filters(struct reader *r)
{
	static const uint32_t hooks[] = {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

	for (size_t i = 0, n = r->out->n; i < n; i++) {
		const struct kobj o = r->out->v[i]; /* adding filters moves it */

		size_t n_hooks = sizeof(hooks) / sizeof(hooks[0]);

		if (o.kind == KOBJ_QDISC && o.qdisc.q.kind == QDISC_INGRESS)
			n_hooks = 1; /* it has one list of filters and tells it for either */
		else if (o.kind != KOBJ_QDISC || o.qdisc.q.kind != QDISC_CLSACT)
			continue;
		for (size_t h = 0; h < n_hooks; h++) {
			uint32_t parent = TC_H_MAKE(TC_H_CLSACT, hooks[h]);
			int err = dump(r, tc_filter_encode_dump(buf, o.qdisc.ifindex, parent), add_filter);

			if (err && err != -ENODEV) /* the link has just gone */
				return err;
		}
	}
	return 0;
}

static int add_police(void *ctx, const struct kobj_police *p, const struct tc_action_stats *stats)
{
	(void)stats;
	found(ctx, KOBJ_ACTION)->police = *p;
	return 0;
}

static int add_actions(const struct nlmsghdr *msg, void *ctx)
{
	int err = tc_action_decode(msg, add_police, ctx);

	return err == -ENOENT ? 0 : err;
}

static int read_actions(struct reader *r)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	int err = dump(r, tc_action_encode_dump(buf), add_actions);

	return err == -EOPNOTSUPP ? 0 : err; /* a kernel without tc actions has none */
}
