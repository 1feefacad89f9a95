/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * policy: what was written, with positions; nothing resolved, nothing filled in. policy_load reads the main file and
 * the drop-ins of policy.d beside it into one struct, reports every mistake it can find to the diag and goes on.
 * Everything lives in the arena.
 */
#ifndef QOSD_POLICY_H
#define QOSD_POLICY_H

#include "diag.h"
#include "match.h"
#include "mem.h"
#include "qdisc.h"
#include "text.h"

/* A written scalar; s is NULL (or set is false) where nothing was written. */
struct w_text {
	const char *s;
	struct pos pos;
};
struct w_u64 {
	bool set;
	struct pos pos;
	uint64_t v;
};
struct w_bool {
	bool set;
	struct pos pos;
	bool v;
};
struct w_word {
	bool set;
	struct pos pos;
	int v; /* an enum of ours */
};
struct w_one_rate {
	bool set;
	struct pos pos;
	struct rate v;
};
struct w_rate {
	struct w_one_rate up, down; /* one written rate stands in both */
};
struct w_span {
	bool set;
	struct pos pos;
	bool is_time;
	uint64_t v; /* bytes, or ns */
};
struct w_texts {
	struct pos pos;
	struct w_text *v;
	size_t n;
	size_t room;
};
struct w_prefix {
	struct prefix prefix;
	struct pos pos;
};
struct w_prefixes {
	struct pos pos;
	struct w_prefix *v;
	size_t n;
	size_t room;
};

enum policy_type { POLICY_POLICE, POLICY_EDT, POLICY_HTB };
enum engine { ENGINE_AUTO, ENGINE_TC, ENGINE_BPF, ENGINE_FQ };
enum side { SIDE_NONE, SIDE_WAN, SIDE_LAN };
enum on_stop { ON_STOP_KEEP, ON_STOP_REMOVE };
enum takeover { TAKEOVER_REFUSE, TAKEOVER_REPLACE };
enum when_full { FULL_REFUSE, FULL_EVICT_OLDEST };
enum learn_from { LEARN_IP = 1, LEARN_ARP = 2, LEARN_ND = 4 };
enum exceed { EXCEED_DROP, EXCEED_PASS, EXCEED_DSCP };
enum conform { CONFORM_PASS, CONFORM_CONTINUE };
enum linklayer { LINK_ETHERNET, LINK_ATM, LINK_PTM };
enum via { VIA_IFB };
enum per_key { PER_NONE, PER_LOCAL, PER_REMOTE, PER_SRC, PER_DST };
enum forward_mode { FORWARD_EGRESS, FORWARD_INGRESS, FORWARD_NEIGH, FORWARD_PEER, FORWARD_CLONE };
enum on_miss { ON_MISS_PASS, ON_MISS_DROP };
enum clsact_hook { CLSACT_INGRESS, CLSACT_EGRESS };

struct w_exceed {
	bool set;
	struct pos pos;
	enum exceed what;
	uint8_t dscp;
};
struct w_remark {
	struct pos pos;
	bool has_dscp;
	uint8_t dscp;
	bool has_mark;
	uint32_t mark, mask;
};

struct w_param {
	const struct qdisc_param *param;
	uint64_t value; /* as qdisc_parse gives it */
};
struct w_per {
	struct pos pos;    /* line 0: not written */
	struct w_word key; /* enum per_key */
	struct w_text set; /* with or without '@' */
	struct w_u64 prefix4, prefix6, max;
	struct w_u64 timeout; /* ns */
	struct w_rate rate;
	struct model_set *found; /* the set; filled by the model */
};

/* What was written of it is a qdisc that qdisc_finish agrees with. */
struct w_leaf {
	bool set;
	struct pos pos;
	struct w_word qdisc; /* enum qdisc_kind */
	VEC(struct w_param);
};

struct w_class {
	struct pos pos;
	struct w_text name;
	struct w_rate rate, ceil;
	struct w_span burst, cburst;
	struct w_u64 quantum, prio, mtu;
	struct w_leaf leaf;
	struct w_exceed exceed;
	struct w_word conform; /* enum conform */
	struct w_remark remark;
	struct w_per per;
	struct match_list match;
	struct w_class *classes;
	size_t n_classes;
	struct pos classes_pos;
	struct w_texts use;
};

struct w_template {
	struct w_text name;
	struct w_class keys;
};

struct w_element {
	struct pos pos;
	struct prefix prefix;
	struct w_one_rate up, down;
};

struct w_set {
	struct w_text name;
	struct {
		struct pos pos;
		struct w_element *v;
		size_t n;
		size_t room;
	} elements;
	struct w_text file;
	struct {
		struct pos pos; /* line 0: not learned */
		struct w_texts on;
		struct w_prefixes within;
		struct w_u64 from;    /* bits of enum learn_from */
		struct w_u64 timeout; /* ns */
		struct w_u64 max;
		struct w_word when_full;
	} learn;
};

/* tcp/22, udp/10000-10100, icmp */
struct w_service_entry {
	struct pos pos;
	uint8_t proto;
	bool has_ports;
	uint16_t lo, hi;
};
struct w_service {
	struct w_text name;
	struct w_service_entry *v;
	size_t n;
	size_t room;
};

struct w_policy {
	struct w_text name;
	struct w_word type;   /* enum policy_type */
	struct w_word engine; /* enum engine */
	struct w_rate rate;
	struct w_text dflt; /* default: */
	struct w_span burst, cburst;
	struct w_u64 quantum;
	struct w_leaf leaf;
	struct w_word shards;      /* set: auto, the only word there is */
	struct w_u64 horizon, ecn; /* ns; ecn 0: off */
	struct w_class *classes;
	size_t n_classes;
	struct pos classes_pos;
};

struct w_link {
	struct pos pos; /* line 0: not written */
	struct w_text preset;
	struct w_word linklayer;
	bool overhead_set;
	int overhead;
	struct pos overhead_pos;
	struct w_u64 mpu;
};

struct w_hook {
	struct pos pos;
	struct w_text policy;
	struct w_one_rate rate;
	struct w_word via; /* enum via */
};

struct w_interface {
	struct w_text name; /* a name or a glob */
	struct w_word side;
	struct w_link link;
	struct w_hook ingress, egress; /* pos.line 0: not written */
};

struct w_nexthop {
	bool set;
	struct pos pos;
	struct prefix address;
};

struct w_forward {
	struct pos pos;
	struct w_text name, on;
	struct w_word hook; /* enum clsact_hook */
	struct match_list match;
	struct w_word mode; /* of redirect; enum forward_mode */
	struct w_text dev;
	struct w_nexthop nexthop;
	struct w_word on_miss; /* enum on_miss */
};

struct policy {
	bool cut; /* a file could not be read to its end, which was told: names may be missing because of that */
	struct {
		bool sets, services, templates, policies, others;
	} unread; /* such a section, or a name in it, could not be read, which was told: the same */
	struct w_u64 version;
	struct {
		struct pos pos;
		struct w_word on_stop, takeover;
		struct match_list protect;
		struct w_u64 learned_save; /* ns */
		struct w_word fast_path;   /* 1: on */
	} settings;
	VEC(struct w_set) sets;
	VEC(struct w_service) services;
	VEC(struct w_template) templates;
	VEC(struct w_policy) policies;
	VEC(struct w_interface) interfaces;
	VEC(struct w_forward) forwards;
};

/* Reads file and DIR(file)/policy.d/ *.yaml (in the order of strcmp). Never NULL; what could not be read is missing
 * from it and told to d. At most 16 MiB a file, 64 levels deep. */
struct policy *policy_load(struct arena *a, struct diag *d, const char *file);
/* The same from memory, without drop-ins; for tests and fuzzing. */
struct policy *policy_parse(struct arena *a, struct diag *d, const char *name, const char *text, size_t len);

#endif
