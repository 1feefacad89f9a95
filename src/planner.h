/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * planner: what the files of the plan (plan.c, plan_edt.c, plan_htb.c, plan_shards.c) share. Nobody else includes it.
 */
#ifndef QOSD_PLANNER_H
#define QOSD_PLANNER_H

#include "maps.h"
#include "plan.h"
#include "prog.h"

#define PLAN_ETHERNET_HEADER 14

/* Who would have an ifb of this index. */
struct plan_claim {
	int ifindex;
	const struct link *l;
	bool named, held;
};

/* What every part of a plan is made with. */
struct planner {
	struct arena *a;
	struct diag *d;
	const struct plan_input *in;
	struct handles *handles;
	struct plan *plan;
	const struct model_interface **ifaces; /* by link; NULL: no entry fits, or it is an ifb of ours */
	struct {
		VEC(int);
	} clsacts; /* interface indexes of those that are planned */
	struct {
		VEC(struct plan_claim);
	} claims; /* sorted; none before the first ifb is planned */
};

/* A new wanted object; good until the next one. */
struct kobj *plan_want(struct planner *p, enum kobj_kind kind, struct pos pos, const char *what);
/* "class neighbours of wan0 ingress" */
const char *plan_class_what(struct planner *p, const struct plan_hook *h, const struct model_class *c);
/* The class as it was numbered, or NULL. */
const struct plan_class *plan_find_class(const struct plan_hook *h, const struct model_class *c);
/* Bytes to add to what the kernel counts for a frame of this device. */
int plan_link_overhead(const struct plan_hook *h, const struct link *l);
uint16_t plan_clamp_u16(int64_t v);
bool plan_has_ethernet_header(const struct link *l);

/* Tells that names that go hold the numbers which `what` needs one of; max is how many there are. */
void plan_tell_taken(struct planner *p, struct pos pos, const char *id, const char *what, int max);

/* plan_edt.c: the fq of a class of htb whose packets, or whose ancestors' packets, wait at keys. */
struct qdisc plan_paced_leaf(struct planner *p, const struct model_hook *m, const struct model_class *c,
			     const struct qdisc_device *device);
/* fq on device dev, for a hook of type edt: at the root, or under each queue of an mq. */
void plan_edt(struct planner *p, const struct plan_hook *h, const struct link *dev);

/* plan_shards.c: spreads the classes of a hook with `shards: auto` over the queues of l, or says why not. */
void plan_shards(struct planner *p, struct plan_hook *h, const struct link *l);

/* An entry of a configured map. */
void plan_want_entry(struct planner *p, struct pos pos, const char *what, const char *path, const void *key,
		     size_t key_size, const void *value, size_t value_size);
/* A pinned map that is not one set's or hook's. */
void plan_want_shared_map(struct planner *p, enum map_role role, bool measured);
/* Of a sorted set, by the key of key; NULL: it is not there. */
const struct kobj *plan_find_object(const struct kobj_set *s, const struct kobj *key);
/* What is to be said of an `ingress` qdisc on l, which has the place of a clsact and no egress; or "". */
const char *plan_foreign_ingress(struct planner *p, const struct link *l);
void plan_want_clsact(struct planner *p, const struct plan_hook *h, struct pos pos);
struct kobj_filter *plan_want_filter(struct planner *p, const struct plan_hook *h, struct pos pos, const char *what,
				     const struct prog_spec *spec, uint16_t pref, uint32_t handle);
void plan_add_waiting(struct planner *p, const char *name);
/* For tables_names. ctx of both: the planner. */
int plan_name_set(void *ctx, const struct model_set *s);
int plan_name_ifindex(void *ctx, const char *ifname);

/* plan_forward.c: numbers, maps and filters of the forwarding rules. */
void plan_forward(struct planner *p);

/* plan_htb.c: the tree of a hook of type htb on device dev: root qdisc, classes, leaf qdiscs. */
void plan_htb(struct planner *p, const struct plan_hook *h, const struct link *dev);
/* plan_minors.c: gives each class of a hook of type htb its minor. false: told to d. */
bool plan_minors(struct planner *p, struct plan_hook *h);
/* skb->priority that picks the class; for an inner class, which cannot queue, that of the policy's default class. */
uint32_t plan_htb_classid(const struct plan_hook *h, const struct plan_class *pc);
/* skb->queue_mapping that goes with it, 0 to leave it. */
uint16_t plan_htb_queue(const struct plan_hook *h, const struct plan_class *pc);
/* The ifb that stands for the ingress of l (via: ifb), as a link, in the arena; wants it. NULL and told to d where
 * another interface's ifb has its index: of two it is that of the one with an entry of its own, then of the one whose
 * ifb is there, then of the first by name. */
const struct link *plan_ifb(struct planner *p, const struct plan_hook *h, const struct link *l);

#endif
