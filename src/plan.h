/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * plan: the kernel objects that a model asks for on these links. Pure: the same inputs, the same objects.
 */
#ifndef QOSD_PLAN_H
#define QOSD_PLAN_H

#include "handles.h"
#include "kobj.h"
#include "links.h"
#include "model.h"

struct plan_input {
	const struct model *model;
	const struct links *links;
	bool has_police; /* this kernel has act_police */
	bool has_htb, has_ifb, has_mirred;
	bool has_neigh, has_peer;        /* bpf_redirect_neigh, bpf_redirect_peer */
	const bool *has_leaf;            /* by enum qdisc_kind, QDISC_KINDS of them */
	const struct kobj_set *observed; /* what is there, sorted; NULL: nothing is known of it */
	uint64_t prog_build_id;
	uint32_t cpus;          /* possible ones */
	struct plan_live *live; /* live edits of sets, see below */
	size_t n_live;
	bool follows; /* the policy is, or was, in force; the links may be others: no one interface may be an error */
};

/* `qosctl set NAME add`: elements that are not in the file. */
struct plan_live {
	const char *set;
	struct prefix prefix;
	uint64_t up_Bps, down_Bps;
};

/* One hook as it was planned: what `show` and `stats` need to find their way back from numbers to names. */
struct plan_class {
	const struct model_class *cls;
	uint32_t number;
	uint32_t police_index;           /* engine tc; 0 otherwise */
	uint32_t minor;                  /* of htb */
	const char *handle;              /* its name in the handle table */
	const struct handles_base *base; /* htb: what its minor counted for another class before; NULL: nothing */
	bool recycled;                   /* htb: in this very plan the minor came from another class */
	uint32_t shard; /* which tree it is in, from 1; 0: there is one tree, or it is the root, in each of them */
};

struct plan_hook {
	const struct model_interface *iface;
	const struct model_hook *hook; /* NULL: only learns */
	int ifindex;
	const char *ifname;
	enum direction dir;
	enum direction at;          /* the clsact hook where it classifies: dir, or egress of an ifb */
	enum engine engine;         /* what was picked: ENGINE_TC or ENGINE_BPF, ENGINE_FQ where the hook paces */
	const char *engine_why;     /* "auto: the kernel has no act_police (CONFIG_NET_ACT_POLICE)" or "" */
	bool forwards;              /* forwarding rules stand behind it: what conforms must come to them */
	const char *path;           /* "hooks/wan0-ingress" */
	const char *refused;        /* why it is left alone though the interface is there (ifindex is 0 then), or "" */
	struct plan_class *classes; /* root with a rate first, then in the order of the file */
	size_t n_classes;
	const char *space;      /* of the classes' numbers in the handle table */
	uint32_t room;          /* entries of the maps by class number */
	uint32_t n_shards;      /* htb trees, one a queue; 0: one tree */
	uint32_t default_shard; /* where the policy's default class is; the others have one of their own */
	uint64_t *parts_Bps;    /* of the policy's rate, by shard from [0] */
	uint64_t stray_Bps;     /* the rate of a shard's own default */
};

/* One forwarding rule as it was planned. */
struct plan_forward {
	const struct model_forward *rule;
	uint32_t number;     /* of the name: counters, switch */
	uint32_t redirect;   /* the number of what it does: what its program looks up */
	uint32_t slot;       /* of its target */
	const char *away;    /* why the target can take no packet now, or "" */
	const char *refused; /* why its own interface is left alone, or "" */
};

/* Bytes a second. */
struct plan_rates {
	uint64_t up_Bps, down_Bps;
};

struct plan_set {
	const struct model_set *set;
	uint32_t slot;
	struct plan_rates most; /* of its elements, see plan_set_rates */
	bool sizes_fq;          /* an fq is as long as these rates need it */
};

struct plan {
	struct kobj_set objects; /* sorted */
	VEC(struct plan_hook) hooks;
	VEC(struct plan_set) sets;
	VEC(struct plan_forward) forwards;
	VEC(const char *) waiting; /* interface entries and learn names without an interface */
};

/* What the kernel lacks or numbers that run out are told to d at their policy line. Takes numbers from h. An interface
 * where somebody else's qdisc has the place of ours is left alone, with a warning, if only a glob names it or the plan
 * follows. */
struct plan *plan_build(struct arena *a, struct diag *d, const struct plan_input *in, struct handles *h);

/* What is there already and not ours. An `ingress` qdisc where clsact is wanted is taken as it is, since ingress
 * filters live on it as well; for egress that is an error at the line that wants it. A root qdisc that somebody set up
 * where an htb is wanted is an error unless takeover says replace, but for an ifb of ours. observed is sorted. */
void plan_adopt(struct arena *a, struct plan *plan, struct diag *d, const struct kobj_set *observed,
		enum takeover takeover);

/* The highest rates that elements of the set have of their own, those of live included; 0: none has any. */
struct plan_rates plan_set_rates(const struct model_set *set, const struct plan_live *live, size_t n_live);

/* How many entries a set's map has that is to hold n elements: it grows in powers of two. */
uint32_t plan_elements_room(size_t n);

/* The htb class that it is, 5100:N, in a shard 5101:N. Of the root's of a sharded hook there is one in each. */
uint32_t plan_htb_class(const struct plan_hook *h, const struct plan_class *pc);
uint32_t plan_htb_root(const struct plan_hook *h, uint32_t shard);

/* Where a hook of type htb has its tree: the interface, or the ifb that stands for its ingress, whose name *ifb is then
 * (else NULL; ifb may be NULL). 0: it is not there. */
int plan_htb_device(const struct plan *plan, const struct plan_hook *h, const char **ifb);

/* "wan0-ingress" with what bpffs forbids in names (dots) written as %2e, and likewise what is no visible ASCII: the
 * name is also in JSON, which takes UTF-8 only, and interfaces may have any bytes. */
const char *plan_hook_name(struct arena *a, const char *ifname, enum direction dir);

#endif
