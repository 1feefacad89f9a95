/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * model: what a policy means. Names are resolved, templates merged, percentages computed, every default filled; nothing
 * is optional. Once model_build and model_check left no error in the diag, later stages may assert what they rely on.
 * Everything lives in the arena; a model is never changed after check.
 */
#ifndef QOSD_MODEL_H
#define QOSD_MODEL_H

#include "match.h"
#include "mem.h"
#include "policy.h"
#include "qdisc.h"

enum direction { DIR_INGRESS, DIR_EGRESS };

struct model_element {
	struct prefix prefix;
	struct pos pos;            /* in the YAML or the CSV file */
	uint64_t up_Bps, down_Bps; /* bytes a second; 0: none of its own */
};

struct model_set {
	const char *name;
	struct pos pos;
	bool used;                      /* by a match or a class's per */
	bool rates_used;                /* by a class's per, in which an element's own rates count */
	struct model_element *elements; /* sorted by prefix_cmp, no duplicates */
	size_t n_elements;
	const char *file; /* CSV path as opened, or NULL */
	bool learns;
	struct {
		const char **on; /* names or globs */
		size_t n_on;
		struct prefix *within; /* n_within 0: any unicast source */
		size_t n_within;
		unsigned from;       /* bits of enum learn_from */
		uint64_t timeout_ns; /* 0: never */
		uint32_t max;
		enum when_full when_full;
	} learn;
};

struct model_service {
	const char *name;
	struct pos pos;
	const struct w_service_entry *entries;
	size_t n;
};

/* What wraps a packet on the link. overhead is in bytes on top of what the kernel counts (the frame without FCS on
 * Ethernet); from a preset it is on top of the IP packet, and whoever knows the device takes its header away
 * (l3_based). */
struct model_link {
	enum linklayer linklayer;
	int overhead;
	bool l3_based;
	uint32_t mpu;
};

/* A clock for each address or prefix of one end. */
struct model_per {
	enum per_key key; /* PER_NONE: the class has none */
	struct pos pos, rate_pos;
	const struct model_set *set; /* whose elements' own rates win, each element one key; or NULL */
	uint8_t prefix4, prefix6;    /* bits of a key, of 32 and of 128 */
	uint32_t max;
	uint64_t timeout_ns; /* idle for so long: forgotten; 0: never */
	uint64_t rate_Bps;   /* bytes a second of a key that has none of its own; 0: it is only counted */
	/* police: a key's bucket holds so much time at its rate, and at least so many bytes */
	uint64_t burst_ns, burst_bytes;
};

struct model_class {
	const char *name; /* unique in its policy; "root" for the root */
	struct pos pos;
	struct pos rate_pos, burst_pos;  /* the class's pos where not written */
	struct pos ceil_pos, cburst_pos; /* that of the rate, the class's pos */
	struct model_class *parent;      /* NULL for the root */
	struct model_class **children;
	size_t n_children;
	unsigned level;    /* the root's is 0 */
	size_t index;      /* in the hook's classes; the root's is 0 */
	uint64_t rate_Bps; /* bytes a second of all its traffic together; 0: none of its own (never in htb) */
	uint64_t burst;    /* bytes; 0 only where rate_Bps is 0. Of edt: where a kernel without fq must police */
	uint32_t mtu;      /* bytes; 0: any size. Without a rate mtu is 0 and exceed drop: nothing exceeds. In htb
			      the largest frame, never 0 */
	/* of htb, else 0; those of a class with children but ceil and cburst have no effect */
	uint64_t ceil_Bps, cburst; /* bytes a second, bytes */
	uint32_t quantum, prio;    /* bytes; 0..7 */
	bool leaf_auto;            /* what the kernel has: fq_codel, or else a pfifo of qdisc_sized_fifo */
	bool leaf_paced;           /* an fq that waits for departure times, sized by the plan */
	struct qdisc leaf;         /* QDISC_OTHER where leaf_auto or leaf_paced, and in a class with children */
	enum exceed exceed;
	uint8_t exceed_dscp;
	enum conform conform;
	struct w_remark remark;
	struct model_per per;
	struct match_list match; /* n 0 for the root and for a class that is only a default */
	bool incomplete;         /* a template of it is missing, which was told; never in a model without errors */
};

/* A policy as it applies in one direction of one interface entry. */
struct model_hook {
	struct pos pos;
	enum direction dir;
	bool up; /* this direction carries upload */
	enum side side;
	const char *policy; /* name */
	enum policy_type type;
	enum engine engine;           /* as asked for */
	struct pos engine_pos;        /* the policy's pos where not written */
	struct model_class *root;     /* rate_Bps 0: the policy has no rate of its own. The children are the classes */
	struct model_class **classes; /* all but the root, depth first in the order of the file; n_classes of them */
	size_t n_classes;
	struct model_class *dflt; /* NULL: pass. In htb always a class without children */
	bool dflt_known;          /* false: what was written is none, which was told */
	bool via_ifb;             /* htb on ingress: shaped on an ifb */
	bool shards;              /* htb: a tree for each queue of the device, where it has several */
	struct pos shards_pos;    /* where that is written */
	bool paces;               /* packets get departure times: edt, and htb with a class with per */
	/* where it paces, else 0 */
	uint64_t horizon_ns;             /* what would wait as long or longer is dropped; at most 2 s */
	uint64_t ecn_ns;                 /* what waits longer is marked; 0: nothing is */
	struct pos horizon_pos, ecn_pos; /* the policy's pos where not written */
};

struct model_interface {
	const char *name; /* a name or a glob; the first entry that fits an interface is the one that counts, names
			     before globs */
	bool glob;
	struct pos pos;
	enum side side;
	struct model_link link;
	struct model_hook *ingress, *egress; /* NULL: not shaped */
};

struct model_forward {
	const char *name; /* unique */
	struct pos pos;
	const char *on; /* the interface's name */
	struct pos on_pos;
	enum direction dir;
	enum forward_mode mode;
	struct pos mode_pos;
	const char *dev;
	struct pos dev_pos;
	bool has_nexthop;
	struct prefix nexthop; /* a single address */
	struct pos nexthop_pos;
	enum on_miss on_miss;
	struct match_list match;
	const struct model_class *cls; /* what stands for it in its forwarding's hook */
};

/* The rules of one direction of one interface: a hook whose classes are the rules, in the order of the file, so that
 * they are looked up as a policy's are. */
struct model_forwarding {
	const char *ifname;
	enum direction dir;
	struct model_hook *hook;            /* without rates and default; of no policy */
	const struct model_forward **rules; /* hook->classes[i] stands for rules[i] */
	size_t n;
};

struct model {
	struct arena *arena; /* not owned */
	enum on_stop on_stop;
	enum takeover takeover;
	struct match_list protect;
	uint64_t learned_save_ns;
	struct model_set **sets;
	size_t n_sets;
	struct model_service **services;
	size_t n_services;
	struct model_interface *interfaces;
	size_t n_interfaces;
	bool fast_path;
	struct model_forward *forwards;
	size_t n_forwards;
	struct model_forwarding *forwardings;
	size_t n_forwardings;
};

/* Builds the model from what was written; mistakes go to d. Set files are read here, relative to the policy file dir.
 * Never NULL; use only if diag_errors(d) is 0 afterwards. */
struct model *model_build(struct arena *a, struct diag *d, const struct policy *p, const char *dir);

/* The innermost class with per on the way from c up, or NULL. */
const struct model_class *model_keyed(const struct model_class *c);

/* The name of the preset that says exactly this, or NULL. */
const char *model_link_preset(const struct model_link *link);

/* check.c: rules across objects; errors and warnings go to d. */
void model_check(struct diag *d, const struct policy *p, const struct model *m);

/* check_forward.c: the same for the forwarding rules. Not whole: there were errors, and nothing is made of matches, in
 * which names may be missing. */
void model_check_forward(struct diag *d, const struct model *m, bool whole);

/* The whole front end: load, build, check. Returns NULL if d has errors. */
struct model *model_load(struct arena *a, struct diag *d, const char *file);

/* model_print.c: canonical YAML that parses back to an equal model, with what was computed in comments. */
char *model_print(struct arena *a, const struct model *m);
/* The same with the elements of the CSV files in it: needs no other file. */
char *model_print_whole(struct arena *a, const struct model *m);
/* Do both mean the same? Positions do not count, nor what a policy is called: model_print splits one that differs by
 * direction. */
bool model_equal(const struct model *a, const struct model *b);

/* The rule that a class of a forwarding's hook stands for. */
const struct model_forward *model_forward_of(const struct model_forwarding *f, const struct model_class *c);

/* The entry that applies to an interface name: an exact name first, then globs in the order of the file. NULL: none. */
const struct model_interface *model_interface_for(const struct model *m, const char *ifname);

#endif
