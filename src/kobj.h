/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * kobj: a kernel object that qosd may want or find: one struct, one table of kinds. Values are whole and in the
 * kernel's units, strings belong to the arena of whoever made the set, so that two objects of one key compare with
 * `same` and a difference is a change to be made. The order of the kinds is the order of creation, but for what
 * diff.h says; deletion goes the other way.
 */
#ifndef QOSD_KOBJ_H
#define QOSD_KOBJ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "diag.h"
#include "mem.h"
#include "qdisc.h"

struct prog_spec;

enum kobj_kind {
	KOBJ_MAP,    /* a pinned BPF map (and its slot of an outer map) */
	KOBJ_ENTRY,  /* a configured entry of a pinned map */
	KOBJ_LINK,   /* an ifb device of ours */
	KOBJ_QDISC,  /* clsact, a root qdisc, or a shard: an htb under our mq */
	KOBJ_CLASS,  /* an htb class */
	KOBJ_LEAF,   /* the qdisc under a class, or one without classes under our mq */
	KOBJ_ACTION, /* an indexed police action */
	KOBJ_FILTER, /* a cls_bpf filter in our preference range */
	KOBJ_KINDS
};

#define KOBJ_KEY_MAX     24
#define KOBJ_VALUE_MAX   64
#define KOBJ_ACTIONS_MAX 8 /* police actions of one filter: a class and its ancestors */

/* Filters: preferences that are ours on clsact ingress and egress, protocol all, chain 0. */
#define KOBJ_PREF_FIRST    20736 /* 0x5100 */
#define KOBJ_PREF_CLASSIFY 20736 /* the direct-action program; handle 1 */
#define KOBJ_PREF_CONTINUE 20737 /* + 2k: a class with conform: continue, + 2k + 1: classify again behind it */
#define KOBJ_CONTINUE_MAX  32
#define KOBJ_PREF_CLASSES  20864 /* 0x5180: classify_wan, handle is the class number */
#define KOBJ_PREF_PASS     20865
#define KOBJ_PREF_FORWARD  20900 /* behind every filter of the policy; handle 1 */
#define KOBJ_PREF_LAST     20991 /* 0x51ff */
/* Police actions: indices that are ours, in this namespace. */
#define KOBJ_POLICE_FIRST 0x51000000u
#define KOBJ_POLICE_LAST  0x5100ffffu

/* Root qdiscs that are ours: handle 5100:, an htb, or an mq with shard i (from 1), handle 5100+i:, under its queue i.
 * Their classes have the same majors. */
#define KOBJ_ROOT_HANDLE   0x51000000u
#define KOBJ_SHARD(i)      (KOBJ_ROOT_HANDLE + ((uint32_t)(i) << 16))
#define KOBJ_SHARDS_MAX    255
#define KOBJ_DEFAULT_MINOR 0xfffeu /* the class of what no rule matches */

struct kobj_map {
	const char *path; /* below the pin directory: "sets/neighbours/learned". The key */
	uint32_t type, key_size, value_size, max_entries, flags;            /* BPF_MAP_TYPE_* .. */
	uint32_t inner_type, inner_key_size, inner_value_size, inner_flags; /* of an outer map; 0 otherwise */
	const char *outer; /* path of the outer map that holds it, "" for none */
	uint32_t slot;     /* in the outer map */
};

struct kobj_entry {
	const char *path; /* of the map; with key: the key */
	uint8_t key_size, value_size;
	uint8_t key[KOBJ_KEY_MAX];
	uint8_t value[KOBJ_VALUE_MAX];
};

/* An ifb. Its interface index is chosen by us, so that what hangs on it can be planned before it is there. */
struct kobj_link {
	int ifindex; /* the key */
	char name[16];
	char of[16]; /* the interface that it shapes, from the alias; "" if it has none */
	uint32_t tx_queues;
	bool up;
};

/* KOBJ_QDISC and KOBJ_LEAF. */
struct kobj_qdisc {
	int ifindex;
	uint32_t handle, parent; /* parent is the key with ifindex */
	struct qdisc q;
	bool lossy; /* observed: there is more to it, and it could not be made again. Not compared */
};

/* An htb class. Times in ticks of 64 ns as the kernel keeps them. */
struct kobj_class {
	int ifindex;
	uint32_t classid; /* the key with ifindex */
	uint32_t parent;  /* a classid, or TC_H_ROOT */
	uint64_t rate_Bps, ceil_Bps;
	uint32_t burst_ticks, cburst_ticks;
	uint32_t quantum, prio; /* of a class without children; the kernel changes them only there */
	uint16_t overhead, mpu;
	uint8_t linklayer; /* TC_LINKLAYER_*, not UNAWARE */
	bool inner;        /* has children */
};

/* act_police. exceed and conform are TC_ACT_*. Times in ticks of 64 ns as the kernel keeps them. */
struct kobj_police {
	uint32_t index; /* the key */
	uint64_t rate_Bps;
	uint32_t burst_ticks;
	uint32_t mtu; /* bytes; UINT32_MAX: any */
	uint16_t overhead, mpu;
	uint8_t linklayer; /* TC_LINKLAYER_* */
	int32_t exceed, conform;
};

struct kobj_filter {
	int ifindex;     /* the key: ifindex, parent, pref, handle */
	uint32_t parent; /* TC_H_CLSACT ingress or egress: 0xfffffff2, 0xfffffff3 */
	uint16_t pref;
	uint32_t handle;
	const char *name; /* TCA_BPF_NAME: "classify [DIGEST]"; DIGEST stands for all that is in the program */
	bool da;
	uint32_t classid;                   /* flowid; 0: none */
	uint32_t actions[KOBJ_ACTIONS_MAX]; /* police indices, in order */
	uint32_t n_actions;
	int redirect;                 /* mirred egress redirect to this ifindex, behind the others; 0: none */
	const struct prog_spec *prog; /* wanted: what to load. Not compared */
	uint32_t prog_id;             /* observed: what is attached. Not compared */
};

struct kobj {
	enum kobj_kind kind;
	struct pos pos;   /* the policy line that wants it; not compared */
	const char *what; /* "class neighbours of wan0 ingress", for people; not compared; NULL where observed */
	uint32_t level;   /* how deep below others of its kind: a root class 0, its children 1; not compared */
	bool measured;    /* KOBJ_MAP: the data plane writes it; contents are kept when it must be rebuilt */
	union {
		struct kobj_map map;
		struct kobj_entry entry;
		struct kobj_link link;
		struct kobj_qdisc qdisc;
		struct kobj_class cls;
		struct kobj_police police;
		struct kobj_filter filter;
	};
};

struct kobj_set {
	VEC(struct kobj);
};

/* Pure part of a kind, in kobj.c and the file of the kind. */
struct kobj_ops {
	const char *name; /* "map", "entry", "link", "qdisc", "class", "leaf", "action", "filter" */
	/* Total order of the keys within the kind; 0 exactly if it is the same object. */
	int (*cmp)(const struct kobj *a, const struct kobj *b);
	/* Equal in everything that is compared; a is what is there where that makes a difference. */
	bool (*same)(const struct kobj *a, const struct kobj *b);
	/* Why the kernel cannot turn before into after in place ("the map's size is fixed at creation"), or NULL if it
	 * can. */
	const char *(*fixed)(const struct kobj *before, const struct kobj *after);
	/* One line in tc's words, no newline: "filter dev wan0 ingress pref 20736 handle 0x1 bpf direct-action classify
	 * [..]". ifname resolves an ifindex and may return NULL. */
	void (*describe)(const struct kobj *o, const char *(*ifname)(void *ctx, int ifindex), void *ctx, FILE *out);
};
extern const struct kobj_ops *const kobj_kinds[KOBJ_KINDS];

/* By kind, then by the kind's cmp. */
int kobj_cmp(const struct kobj *a, const struct kobj *b);
/* Sorts, of the same key as they were. */
void kobj_sort(struct kobj *v, size_t n);
/* Sorts and asserts that no key is there twice. */
void kobj_set_sort(struct kobj_set *s);
/* Is the device an ifb of the set, in any order? */
bool kobj_set_has_link(const struct kobj_set *s, int ifindex);

/* What o hangs on and cannot be without, as an object with the key of that: a filter's clsact, a class's parent, a
 * qdisc's link. false: nothing that is ours. A leaf hangs on a class, or where there is none on the mq at the root. */
bool kobj_container(const struct kobj *o, struct kobj *key);

/* One change. before NULL: create; after NULL: delete; both: change (or rebuild where ops->fixed says so). Undo is the
 * pair swapped. */
struct step {
	const struct kobj *before, *after;
	const char *rebuild; /* of a deletion: why the object comes back in a later step; NULL: it does not */
};

#endif
