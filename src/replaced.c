/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replaced.h"

#include <errno.h>
#include <jansson.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "mem.h"
#include "nl.h"
#include "qdisc_codec.h"
#include "tc_filter.h"
#include "tc_qdisc.h"

struct entry {
	struct kobj_qdisc qdisc;
	char ifname[IFNAMSIZ]; /* when it was replaced */
};

struct replaced {
	struct entry *v;
	size_t n;
};

struct replaced *replaced_new(void)
{
	return xcalloc(1, sizeof(struct replaced));
}

void replaced_free(struct replaced *r)
{
	if (!r)
		return;
	free(r->v);
	free(r);
}

static struct entry *add(struct replaced *r)
{
	r->v = xrealloc(r->v, (r->n + 1) * sizeof(*r->v));
	memset(&r->v[r->n], 0, sizeof(*r->v));
	return &r->v[r->n++];
}

static void drop(struct replaced *r, size_t i)
{
	r->v[i] = r->v[--r->n];
}

struct replaced *replaced_copy(const struct replaced *r)
{
	struct replaced *copy = replaced_new();

	for (size_t i = 0; i < r->n; i++)
		*add(copy) = r->v[i];
	return copy;
}

bool replaced_same(const struct replaced *a, const struct replaced *b)
{
	return a->n == b->n && (!a->n || !memcmp(a->v, b->v, a->n * sizeof(*a->v)));
}

/* ---- the file -------------------------------------------------------------------------------------------------------
 */

/* The attribute TCA_OPTIONS of a message that would make it, NULL where there is none. */
static const struct nlattr *options_of(void *buf, const struct qdisc *q)
{
	struct nlmsghdr *msg = nl_begin(buf, RTM_NEWQDISC);
	const struct nlattr *tb[TCA_MAX + 1];

	(void)mnl_nlmsg_put_extra_header(msg, sizeof(struct tcmsg)); /* zeros will do */
	qdisc_encode(msg, q, true);
	nl_attrs(msg, sizeof(struct tcmsg), tb, TCA_MAX);
	return tb[TCA_OPTIONS];
}

static void put_options(json_t *j, const struct qdisc *q)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	const struct nlattr *options = options_of(buf, q);
	char text[2 * NL_MSG_MAX + 1] = "";

	if (!options)
		return;
	for (size_t i = 0; i < mnl_attr_get_payload_len(options); i++)
		(void)sprintf(text + 2 * i, "%02x", ((const uint8_t *)mnl_attr_get_payload(options))[i]); /* fits */
	json_object_set_new(j, "options", json_string(text));
}

static const struct nlattr *get_options(void *buf, const char *text)
{
	struct nlmsghdr *msg = nl_begin(buf, RTM_NEWQDISC);
	uint8_t payload[NL_MSG_MAX / 2];
	size_t n = text ? strlen(text) / 2 : 0;

	if (!n || n > sizeof(payload))
		return NULL;
	for (size_t i = 0; i < n; i++) {
		unsigned byte;

		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return NULL;
		payload[i] = (uint8_t)byte;
	}
	mnl_attr_put(msg, TCA_OPTIONS, n, payload);
	return mnl_nlmsg_get_payload(msg);
}

static int read_one(struct replaced *r, const json_t *j)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	const char *ifname = json_string_value(json_object_get(j, "interface"));
	const char *kind = json_string_value(json_object_get(j, "qdisc"));
	json_int_t ifindex = json_integer_value(json_object_get(j, "ifindex"));
	json_int_t handle = json_integer_value(json_object_get(j, "handle"));
	bool whole = json_is_true(json_object_get(j, "whole"));
	struct entry *e;

	if (!ifname || !kind || ifindex <= 0 || ifindex > INT32_MAX || handle <= 0 || handle > UINT32_MAX)
		return -EINVAL;
	e = add(r);
	snprintf(e->ifname, sizeof(e->ifname), "%s", ifname);
	e->qdisc.ifindex = (int)ifindex;
	e->qdisc.handle = (uint32_t)handle;
	e->qdisc.parent = TC_H_ROOT;
	e->qdisc.lossy = !whole;
	if (whole)
		return qdisc_decode(kind, get_options(buf, json_string_value(json_object_get(j, "options"))),
				    &e->qdisc.q);
	e->qdisc.q.kind = QDISC_OTHER;
	snprintf(e->qdisc.q.other, sizeof(e->qdisc.q.other), "%s", kind);
	return 0;
}

int replaced_load(struct replaced *r, const char *path)
{
	json_error_t error;
	json_t *root, *list, *value;
	const char *boot;
	char now[64];
	size_t i;
	int err = 0;

	r->n = 0;
	if (access(path, F_OK) < 0)
		return errno == ENOENT ? 0 : -errno;
	root = json_load_file(path, 0, &error);
	list = json_object_get(root, "replaced");
	boot = json_string_value(json_object_get(root, "boot"));
	/* An interface index means something until the next boot. */
	if (!json_is_array(list) || !boot)
		err = -EINVAL;
	else if (file_read_line(FILE_BOOT_ID, now, sizeof(now)) && !strcmp(boot, now))
		json_array_foreach (list, i, value)
			if (!err)
				err = read_one(r, value);
	if (err)
		r->n = 0;
	json_decref(root);
	return err;
}

static const char *kind_of(const struct kobj_qdisc *q)
{
	return q->q.kind == QDISC_OTHER ? q->q.other : qdisc_name(q->q.kind);
}

int replaced_save(const struct replaced *r, const char *path)
{
	json_t *list = json_array(), *root;
	char boot[64];
	int err;

	(void)file_read_line(FILE_BOOT_ID, boot, sizeof(boot)); /* "" is that of no boot */
	for (size_t i = 0; i < r->n; i++) {
		const struct entry *e = &r->v[i];
		json_t *j = json_pack("{s:o, s:i, s:I, s:s, s:b}", "interface", file_json_name(e->ifname), "ifindex",
				      e->qdisc.ifindex, "handle", (json_int_t)e->qdisc.handle, "qdisc",
				      kind_of(&e->qdisc), "whole", !e->qdisc.lossy);

		if (!e->qdisc.lossy)
			put_options(j, &e->qdisc.q);
		json_array_append_new(list, j);
	}
	root = json_pack("{s:s, s:o}", "boot", boot, "replaced", list);
	err = file_write_json(path, root);
	json_decref(root);
	return err;
}

/* ---- replacing ------------------------------------------------------------------------------------------------------
 */

static int by_key(const void *a, const void *b)
{
	return kobj_cmp(a, b);
}

static struct kobj *find_root(const struct kobj_set *s, int ifindex)
{
	const struct kobj key = {.kind = KOBJ_QDISC, .qdisc = {.ifindex = ifindex, .parent = TC_H_ROOT}};

	return s->n ? bsearch(&key, s->v, s->n, sizeof(*s->v), by_key) : NULL;
}

/* A kind that has nothing that a dump of it would not tell. */
static bool is_simple(enum qdisc_kind kind)
{
	return qdisc_is_leaf(kind) || kind == QDISC_MQ;
}

static int look_at_qdisc(const struct nlmsghdr *msg, void *ctx)
{
	struct kobj_qdisc *q = ctx;
	const struct nlattr *tb[TCA_MAX + 1];
	struct tcmsg tcm;

	if (msg->nlmsg_type != RTM_NEWQDISC || mnl_nlmsg_get_payload_len(msg) < sizeof(tcm))
		return 0;
	memcpy(&tcm, mnl_nlmsg_get_payload(msg), sizeof(tcm));
	if (tcm.tcm_ifindex != q->ifindex || !tcm.tcm_handle)
		return 0;
	nl_attrs(msg, sizeof(tcm), tb, TCA_MAX);
	if (tcm.tcm_handle == q->handle)
		q->lossy |= tb[TCA_STAB] || !qdisc_is_whole(q->q.kind, tb[TCA_OPTIONS]);
	else if (TC_H_MAJ(tcm.tcm_parent) == q->handle)
		q->lossy = true; /* somebody put it there */
	return 0;
}

static int look_at_filter(const struct nlmsghdr *msg, void *ctx)
{
	((struct kobj_qdisc *)ctx)->lossy |= tc_filter_is_any(msg);
	return 0;
}

/* Is there more to it than its parameters: qdiscs below it, filters, a size table? */
static int look_closely(struct nl *nl, struct kobj_qdisc *q)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	int err;

	q->lossy = !is_simple(q->q.kind);
	err = nl_dump(nl, tc_qdisc_encode_dump(buf), look_at_qdisc, NULL, q);
	if (!err)
		err = nl_dump(nl, tc_filter_encode_dump(buf, q->ifindex, q->handle), look_at_filter, NULL, q);
	return err;
}

static struct entry *entry_of(struct replaced *r, int ifindex)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].qdisc.ifindex == ifindex)
			return &r->v[i];
	return add(r);
}

static const char *and_lossy(struct arena *a, const char *before, const struct entry *e)
{
	const char *text = arena_printf(a,
					"%s has a root qdisc %s %x: that gives way and could not be made again as it "
					"is: once qosd lets go of %s, it gets the kernel's default",
					e->ifname, kind_of(&e->qdisc), e->qdisc.handle >> 16, e->ifname);

	return *before ? arena_printf(a, "%s; %s", before, text) : text;
}

int replaced_note(struct replaced *r, struct arena *a, struct nl *nl, const struct links *links,
		  struct kobj_set *observed, const struct kobj_set *wanted, const char **warning)
{
	for (size_t i = 0; i < wanted->n; i++) {
		const struct kobj_qdisc *new = &wanted->v[i].qdisc;
		const struct link *l;
		struct entry *e;
		struct kobj *old;
		int err;

		if (wanted->v[i].kind != KOBJ_QDISC || new->parent != TC_H_ROOT || tc_qdisc_is_foreign(new))
			continue;
		old = find_root(observed, new->ifindex);
		l = links_by_index(links, new->ifindex);
		if (!old || !tc_qdisc_is_foreign(&old->qdisc))
			continue;
		err = look_closely(nl, &old->qdisc);
		if (err)
			return err;
		if (!l || kobj_set_has_link(wanted, new->ifindex))
			continue; /* what somebody put on an ifb of ours does not come back: the ifb goes */
		e = entry_of(r, new->ifindex);
		*e = (struct entry){.qdisc = old->qdisc};
		memcpy(e->ifname, l->name, sizeof(e->ifname));
		if (e->qdisc.lossy)
			*warning = and_lossy(a, *warning, e);
	}
	return 0;
}

void replaced_want(const struct replaced *r, struct arena *a, const struct links *links,
		   const struct kobj_set *observed, struct kobj_set *wanted)
{
	size_t n = wanted->n; /* sorted up to here */

	for (size_t i = 0; i < r->n; i++) {
		const struct kobj_qdisc *q = &r->v[i].qdisc;
		const struct kobj *there = find_root(observed, q->ifindex);
		const struct kobj_set sorted = {.v = wanted->v, .n = n};
		struct kobj *o;

		if (q->lossy || !links_by_index(links, q->ifindex) || find_root(&sorted, q->ifindex) ||
		    (there && tc_qdisc_is_foreign(&there->qdisc)))
			continue;
		o = vec_add(a, wanted);
		o->kind = KOBJ_QDISC;
		o->what = "what was there before";
		o->qdisc = *q;
	}
}

void replaced_settle(struct replaced *r, const struct kobj_set *wanted)
{
	for (size_t i = r->n; i > 0; i--) {
		const struct kobj *root = find_root(wanted, r->v[i - 1].qdisc.ifindex);

		if (!root || tc_qdisc_is_foreign(&root->qdisc))
			drop(r, i - 1);
	}
}
