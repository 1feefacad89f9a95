/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "show.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/pkt_sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "counts.h"
#include "fastpath.h"
#include "glob.h"
#include "history.h"
#include "keys.h"
#include "learn.h"
#include "mem.h"
#include "meter.h"
#include "missing.h"
#include "nl.h"
#include "pins.h"
#include "reload.h"
#include "wire.h"

/* What one answer is made from. */
struct view {
	struct shaper *shaper;
	struct learn *learn;
	const struct reload_result *now;
	struct arena *a;             /* for this answer */
	const struct counts *counts; /* where the answer has some */
	const struct meter *meter;   /* likewise */
};

/* ---- reading the kernel ---------------------------------------------------------------------------------------------
 */

/* Sums n u64 counters of one entry of a per-CPU array over the CPUs. 0 or -errno; then they are all 0. */
static int read_counters(struct view *v, const char *path, uint32_t key, uint64_t *sum, size_t n)
{
	int cpus = libbpf_num_possible_cpus(), map = pins_map(shaper_pins(v->shaper), path), err;
	uint64_t *each;

	memset(sum, 0, n * sizeof(*sum));
	if (map < 0 || cpus < 0)
		return map < 0 ? map : cpus;
	each = arena_array(v->a, (size_t)cpus * n, sizeof(*each));
	err = bpf_map_lookup_elem(map, &key, each);
	for (size_t i = 0; !err && i < (size_t)cpus * n; i++)
		sum[i % n] += each[i];
	return err;
}

/* Fields of one of the structs of counters in bpf/qosd_abi.h, in its order. */
static void put_counters(json_t *j, const uint64_t *counters, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_object_set_new(j, names[i], wire_count(counters[i]));
}

static int device_of(const struct view *v, const struct plan_hook *h)
{
	return plan_htb_device(v->now->plan, h, NULL);
}

/* Departure times are given, and fq keeps to them. */
static bool is_paced(const struct plan_hook *h)
{
	return h->hook && h->engine == ENGINE_FQ;
}

static bool is_htb(const struct plan_hook *h)
{
	return h->hook && h->hook->type == POLICY_HTB;
}

/* All of ours at once, however many classes are shown. */
static void read_counts(struct view *v)
{
	const struct plan *p = v->now->plan;
	struct counts *counts = counts_read(v->a, shaper_nl(v->shaper));

	for (size_t i = 0; i < p->hooks.n; i++) {
		const struct plan_hook *h = &p->hooks.v[i];
		int ifindex = is_htb(h) ? device_of(v, h) : 0;

		if (!ifindex)
			continue;
		counts_read_htb(counts, shaper_nl(v->shaper), ifindex, h->n_shards);
		for (size_t j = 0; j < h->n_classes; j++)
			if (h->classes[j].base)
				counts_subtract(counts, ifindex, plan_htb_class(h, &h->classes[j]), h->classes[j].base);
	}
	v->counts = counts;
}

/* ---- words ----------------------------------------------------------------------------------------------------------
 */

static const char *direction_name(enum direction d)
{
	switch (d) {
	case DIR_INGRESS: return "ingress";
	case DIR_EGRESS: return "egress";
	}
	return "";
}

static const char *type_name(enum policy_type t)
{
	switch (t) {
	case POLICY_POLICE: return "police";
	case POLICY_HTB: return "htb";
	case POLICY_EDT: return "edt";
	}
	return "";
}

static const char *engine_name(enum engine e)
{
	switch (e) {
	case ENGINE_AUTO: return "auto";
	case ENGINE_TC: return "tc";
	case ENGINE_BPF: return "bpf";
	case ENGINE_FQ: return "fq";
	}
	return "";
}

static const char *side_name(enum side s)
{
	switch (s) {
	case SIDE_NONE: return "";
	case SIDE_WAN: return "wan";
	case SIDE_LAN: return "lan";
	}
	return "";
}

static const char *state_of(const struct plan_hook *h)
{
	if (*h->refused)
		return "refused";
	return !h->ifindex ? "waiting" : h->hook ? "shaped" : "learning";
}

static const char *exceed_name(const struct view *v, const struct model_class *c)
{
	char dscp[TEXT_MAX];

	switch (c->exceed) {
	case EXCEED_DROP: return "drop";
	case EXCEED_PASS: return "pass";
	case EXCEED_DSCP: return arena_printf(v->a, "dscp %s", text_format_dscp(dscp, c->exceed_dscp));
	}
	return "";
}

/* A rate, where there is one. */
static void put_rate(json_t *j, const char *key, uint64_t Bps)
{
	if (Bps)
		json_object_set_new(j, key, wire_count(Bps * 8));
}

static json_t *where(const struct view *v, struct pos pos)
{
	return pos.line ? wire_text(diag_where(v->now->diag, pos, v->a)) : json_null();
}

static json_t *answer_of(const char *key, json_t *value)
{
	json_t *j = json_object();

	json_object_set_new(j, key, value);
	return j;
}

/* Says so where a reader would think that the policy file is in force and it is not. */
static json_t *answer_in_force(const struct view *v)
{
	const char *in_force = shaper_in_force(v->shaper, v->a);

	return *in_force ? answer_of("in_force", wire_text(in_force)) : json_object();
}

/* Null: not known. */
static json_t *bypass(struct shaper *s)
{
	int map = pins_map(shaper_pins(s), "bypass");
	uint32_t key = 0, on = 0;

	return map >= 0 && bpf_map_lookup_elem(map, &key, &on) == 0 ? json_boolean(on) : json_null();
}

const char *show_bypassed(struct shaper *s)
{
	json_t *on = bypass(s);
	bool bypassed = json_is_true(on);

	json_decref(on);
	return bypassed ? "bypass is on: nothing is shaped" : "";
}

/* ---- policy ---------------------------------------------------------------------------------------------------------
 */

static json_t *show_policy(struct view *v)
{
	json_t *files = json_array(), *j = answer_in_force(v);
	const char *text;
	size_t len;

	for (uint32_t i = 1; (text = diag_source_text(v->now->diag, i, &len)); i++) {
		json_t *file = json_object();

		json_object_set_new(file, "file", wire_text(diag_source_name(v->now->diag, i)));
		json_object_set_new(file, "text", wire_text_n(text, len));
		json_array_append_new(files, file);
	}
	json_object_set_new(j, "files", files);
	return j;
}

/* Which classes each queue has, as comments: a policy says only that they are spread. */
static void write_shards(FILE *out, const struct plan_hook *h)
{
	char rate[TEXT_MAX];

	(void)fprintf(out, "# shards of %s %s:\n", h->ifname, direction_name(h->dir));
	for (uint32_t shard = 1; shard <= h->n_shards; shard++) {
		(void)fprintf(out, "#   %u: %s:", shard, text_format_rate(rate, h->parts_Bps[shard - 1]));
		for (size_t i = 0; i < h->n_classes; i++)
			if (h->classes[i].shard == shard && h->classes[i].cls->parent == h->hook->root)
				(void)fprintf(out, " %s", h->classes[i].cls->name);
		(void)fputc('\n', out);
	}
}

static const char *effective(const struct view *v)
{
	const struct plan *p = v->now->plan;
	char *text = NULL;
	const char *kept;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return model_print(v->a, v->now->model);
	(void)fputs(model_print(v->a, v->now->model), out);
	for (size_t i = 0; i < p->hooks.n; i++)
		if (p->hooks.v[i].n_shards)
			write_shards(out, &p->hooks.v[i]);
	(void)fclose(out); /* to memory: what fails there is cut off */
	kept = arena_strndup(v->a, text, len);
	free(text);
	return kept;
}

static json_t *show_effective(struct view *v)
{
	return answer_of("effective", wire_text(effective(v)));
}

/* ---- interfaces -----------------------------------------------------------------------------------------------------
 */

static bool teaches(const struct model_set *set, const char *ifname)
{
	for (size_t i = 0; set->learns && i < set->learn.n_on; i++)
		if (glob_match(set->learn.on[i], ifname))
			return true;
	return false;
}

/* The sets that this interface teaches. */
static json_t *taught_by(const struct view *v, const char *ifname)
{
	const struct model *m = v->now->model;
	json_t *names = json_array();

	for (size_t i = 0; i < m->n_sets; i++)
		if (teaches(m->sets[i], ifname))
			json_array_append_new(names, json_string(m->sets[i]->name));
	return names;
}

/* Who does it: an engine of police, or the queues of a device. */
static void put_way(const struct view *v, json_t *j, const struct plan_hook *h)
{
	const char *ifb;

	(void)plan_htb_device(v->now->plan, h, &ifb);
	if (!is_htb(h))
		json_object_set_new(j, "engine", json_string(engine_name(h->engine)));
	if (ifb)
		json_object_set_new(j, "ifb", wire_text(ifb));
	if (h->n_shards)
		json_object_set_new(j, "shards", json_integer(h->n_shards));
}

static void put_waits(json_t *j, const struct plan_hook *h)
{
	json_object_set_new(j, "horizon_us", wire_count(h->hook->horizon_ns / 1000));
	json_object_set_new(j, "ecn_us", h->hook->ecn_ns ? wire_count(h->hook->ecn_ns / 1000) : json_null());
}

/* The qdiscs of ours that somebody took away; an empty list is good news. */
static json_t *missing_of(const struct missing *m, const struct plan_hook *h)
{
	json_t *texts = json_array();

	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].hook == h)
			json_array_append_new(texts, wire_text(m->v[i].text));
	return texts;
}

static json_t *interface_row(const struct view *v, const struct plan_hook *h, const struct missing *missing)
{
	json_t *j = json_object();

	json_object_set_new(j, "interface", wire_text(h->ifname));
	json_object_set_new(j, "direction", json_string(direction_name(h->dir)));
	json_object_set_new(j, "state", json_string(state_of(h)));
	if (h->hook) {
		json_object_set_new(j, "side", json_string(side_name(h->hook->side)));
		json_object_set_new(j, "policy", json_string(h->hook->policy));
		json_object_set_new(j, "type", json_string(type_name(h->hook->type)));
		put_rate(j, "rate_bps", h->hook->root->rate_Bps);
		put_way(v, j, h);
	}
	if (is_paced(h))
		put_waits(j, h);
	if (h->ifindex)
		json_object_set_new(j, "missing", missing_of(missing, h));
	if (h->dir == DIR_INGRESS)
		json_object_set_new(j, "learns", taught_by(v, h->ifname));
	if (*h->refused)
		json_object_set_new(j, "why", wire_text(h->refused));
	else if (h->hook && (!is_htb(h) || *h->engine_why))
		json_object_set_new(j, "why", wire_text(h->engine_why));
	return j;
}

static bool has_hook(const struct plan *p, const char *ifname)
{
	for (size_t i = 0; i < p->hooks.n; i++)
		if (strcmp(p->hooks.v[i].ifname, ifname) == 0)
			return true;
	return false;
}

static json_t *show_interfaces(struct view *v)
{
	const struct plan *p = v->now->plan;
	json_t *list = json_array(), *answer = answer_in_force(v);
	struct missing missing;

	(void)missing_read(v->a, shaper_nl(v->shaper), p, &missing); /* could not be read: nothing is known to be */
	for (size_t i = 0; i < p->hooks.n; i++)
		json_array_append_new(list, interface_row(v, &p->hooks.v[i], &missing));
	for (size_t i = 0; i < p->waiting.n; i++) {
		json_t *j;

		if (has_hook(p, p->waiting.v[i]))
			continue;
		j = answer_of("interface", wire_text(p->waiting.v[i]));
		json_object_set_new(j, "state", json_string("waiting"));
		json_object_set_new(j, "learns", taught_by(v, p->waiting.v[i]));
		json_array_append_new(list, j);
	}
	json_object_set_new(answer, "interfaces", list);
	if (*show_bypassed(v->shaper))
		json_object_set_new(answer, "warning", json_string(show_bypassed(v->shaper)));
	return answer;
}

/* ---- classes --------------------------------------------------------------------------------------------------------
 */

static json_t *hook_head(const struct view *v, const struct plan_hook *h)
{
	json_t *j = answer_of("interface", wire_text(h->ifname));

	json_object_set_new(j, "direction", json_string(direction_name(h->dir)));
	json_object_set_new(j, "policy", json_string(h->hook->policy));
	if (is_htb(h))
		json_object_set_new(j, "type", json_string(type_name(h->hook->type)));
	put_way(v, j, h);
	if (is_paced(h))
		put_waits(j, h);
	if (!h->ifindex)
		json_object_set_new(j, "state", json_string(state_of(h)));
	return j;
}

/* The fields of struct qosd_class_stats, in its order. Where people look at more than counters, the first will do. */
static const char *const class_counters[] = {
	"packets",  "bytes",        "drop_packets", "drop_bytes",           "exceed_packets",     "exceed_bytes",
	"delay_ns", "mark_packets", "mark_bytes",   "horizon_drop_packets", "horizon_drop_bytes", "above_drop_packets"};
#define CLASS_COUNTERS      (sizeof(class_counters) / sizeof(class_counters[0]))
#define POLICED_COUNTERS    6
#define CLASSIFIED_COUNTERS 2
#define FIRST_COUNTERS      3

_Static_assert(CLASS_COUNTERS * sizeof(uint64_t) == sizeof(struct qosd_class_stats), "a name for each counter");

/* With engine tc it is the policer that knows what was dropped (in packets only), not the map. */
static void count_policer(uint64_t *counters, const struct tc_action_stats *policer)
{
	counters[2] = policer->drops;
	counters[4] = policer->overlimits > policer->drops ? policer->overlimits - policer->drops : 0;
}

/* Of packets that were given a departure time: how long each waits, on average, and how many were marked. */
static void put_paced(json_t *j, const uint64_t *counters, size_t n)
{
	uint64_t dropped = counters[2] + counters[11];
	uint64_t departed = counters[0] > dropped ? counters[0] - dropped : 0;

	json_object_set_new(j, "delay_us", departed ? wire_count(counters[6] / departed / 1000) : json_null());
	json_object_set_new(j, class_counters[7], wire_count(counters[7]));
	for (size_t i = 8; i < n; i++)
		json_object_set_new(j, class_counters[i], wire_count(counters[i]));
	if (n == CLASS_COUNTERS)
		json_object_set_new(j, "delay_sum_us", wire_count(counters[6] / 1000));
}

/* Class 0 is what passes without a class. */
static void put_class_counters(struct view *v, json_t *j, const struct plan_hook *h, uint32_t number,
			       const struct tc_action_stats *policer, size_t n)
{
	/* Of htb it is not known how many bytes a leaf dropped. */
	size_t of_paced = is_htb(h) ? 3 : 4;
	bool in_packets_only = h->engine == ENGINE_TC;
	uint64_t counters[CLASS_COUNTERS];

	if (read_counters(v, arena_printf(v->a, "%s/stats", h->path), number, counters, CLASS_COUNTERS) < 0)
		return;
	if (policer)
		count_policer(counters, policer);
	for (size_t i = 0; i < n && i < POLICED_COUNTERS; i++)
		if (is_paced(h) ? i < of_paced : !in_packets_only || i < FIRST_COUNTERS || i == 4)
			json_object_set_new(j, class_counters[i], wire_count(counters[i]));
	if (is_paced(h) && number && n > CLASSIFIED_COUNTERS)
		put_paced(j, counters, n);
}

/* What our program gave to an htb class, and what it did to keys: of those it drops, too. */
static void put_classified(struct view *v, json_t *j, const struct plan_hook *h, const struct plan_class *pc, size_t n)
{
	put_class_counters(v, j, h, pc->number, NULL, model_keyed(pc->cls) ? n : CLASSIFIED_COUNTERS);
}

/* Of an htb class, on top of the program's drops: what it refused, and where there is a leaf, all that this dropped,
 * soon or late. */
static void put_drops(const struct view *v, json_t *j, int ifindex, uint32_t classid)
{
	const struct tc_class_stats *stats = counts_class(v->counts, ifindex, classid);
	const uint32_t *leaf = counts_leaf_drops(v->counts, ifindex, classid);
	json_int_t before = json_integer_value(json_object_get(j, "drop_packets"));

	if (stats || leaf)
		json_object_set_new(j, "drop_packets", wire_count((uint64_t)before + (leaf ? *leaf : stats->drops)));
}

static void put_queue(const struct view *v, json_t *j, int ifindex, uint32_t classid)
{
	const struct tc_class_stats *stats = counts_class(v->counts, ifindex, classid);

	if (stats) {
		json_object_set_new(j, "sent_packets", wire_count(stats->packets));
		json_object_set_new(j, "sent_bytes", wire_count(stats->bytes));
	}
	put_drops(v, j, ifindex, classid);
	if (stats) {
		json_object_set_new(j, "overlimits", wire_count(stats->overlimits));
		json_object_set_new(j, "backlog_packets", wire_count(stats->backlog_packets));
		json_object_set_new(j, "backlog_bytes", wire_count(stats->backlog_bytes));
		json_object_set_new(j, "lends", wire_count(stats->lends));
		json_object_set_new(j, "borrows", wire_count(stats->borrows));
	}
}

static int depth_of(const struct plan_hook *h, const struct model_class *c)
{
	int depth = 0;

	for (; c->parent; c = c->parent)
		depth++;
	/* A root without a rate is not in the list. */
	return depth && !h->hook->root->rate_Bps ? depth - 1 : depth;
}

static void put_police(const struct view *v, json_t *j, const struct model_class *c, bool paced)
{
	put_rate(j, "rate_bps", c->rate_Bps);
	if (c->rate_Bps && !paced) {
		json_object_set_new(j, "burst_bytes", wire_count(c->burst));
		json_object_set_new(j, "exceed", json_string(exceed_name(v, c)));
	}
	if (c->mtu)
		json_object_set_new(j, "mtu_bytes", json_integer(c->mtu));
}

static int compare_objects(const void *a, const void *b)
{
	return kobj_cmp(a, b);
}

/* The leaf of a class as it was planned, or NULL. */
static const struct qdisc *leaf_of(const struct view *v, int ifindex, uint32_t classid)
{
	const struct kobj key = {.kind = KOBJ_LEAF, .qdisc = {.ifindex = ifindex, .parent = classid}};
	const struct kobj_set *objects = &v->now->plan->objects;
	const struct kobj *o = bsearch(&key, objects->v, objects->n, sizeof(*objects->v), compare_objects);

	return o ? &o->qdisc.q : NULL;
}

/* "5100:fffe", as tc shows it. */
static json_t *classid_text(const struct view *v, uint32_t classid)
{
	return wire_text(arena_printf(v->a, "%x:%x", TC_H_MAJ(classid) >> 16, TC_H_MIN(classid)));
}

/* Where tc has it. The root of a spread tree is in each shard. */
static void put_place(const struct view *v, json_t *j, const struct plan_hook *h, const struct plan_class *pc)
{
	bool everywhere = h->n_shards && !pc->shard;

	if (h->n_shards)
		json_object_set_new(j, "shard", everywhere ? json_null() : json_integer(pc->shard));
	json_object_set_new(j, "classid", everywhere ? json_null() : classid_text(v, plan_htb_class(h, pc)));
}

static void put_htb(const struct view *v, json_t *j, const struct model_class *c, int ifindex, uint32_t classid)
{
	const struct qdisc *leaf = leaf_of(v, ifindex, classid);

	put_rate(j, "rate_bps", c->rate_Bps);
	put_rate(j, "ceil_bps", c->ceil_Bps);
	json_object_set_new(j, "burst_bytes", wire_count(c->burst));
	json_object_set_new(j, "cburst_bytes", wire_count(c->cburst));
	json_object_set_new(j, "prio", c->n_children ? json_null() : json_integer(c->prio));
	json_object_set_new(j, "quantum_bytes", c->n_children ? json_null() : wire_count(c->quantum));
	json_object_set_new(j, "leaf", leaf ? json_string(qdisc_name(leaf->kind)) : json_null());
}

static json_t *class_row(struct view *v, const struct plan_hook *h, const struct plan_class *pc, int ifindex)
{
	const struct model_class *c = pc->cls;
	json_t *j = answer_of("name", json_string(c->name));
	uint32_t classid = plan_htb_class(h, pc);

	json_object_set_new(j, "depth", json_integer(depth_of(h, c)));
	json_object_set_new(j, "number", json_integer(pc->number));
	json_object_set_new(j, "parent",
			    c->parent && (c->parent->parent || h->hook->root->rate_Bps) ? json_string(c->parent->name)
											: json_null());
	if (is_htb(h)) {
		put_place(v, j, h, pc);
		put_htb(v, j, c, ifindex, classid);
	} else {
		put_police(v, j, c, is_paced(h));
	}
	json_object_set_new(j, "default", json_boolean(c == h->hook->dflt));
	if (is_htb(h)) {
		put_classified(v, j, h, pc, FIRST_COUNTERS);
		put_drops(v, j, ifindex, classid);
	} else {
		put_class_counters(v, j, h, pc->number, counts_policer(v->counts, pc->police_index), FIRST_COUNTERS);
	}
	return j;
}

static json_t *pass_row(struct view *v, const struct plan_hook *h)
{
	json_t *j = answer_of("name", json_string("pass"));

	json_object_set_new(j, "depth", json_integer(0));
	json_object_set_new(j, "number", json_integer(0));
	json_object_set_new(j, "default", json_boolean(!h->hook->dflt));
	put_class_counters(v, j, h, 0, NULL, FIRST_COUNTERS);
	return j;
}

static json_t *class_rows(struct view *v, const struct plan_hook *h)
{
	int ifindex = device_of(v, h);
	json_t *rows = json_array();

	for (size_t i = 0; i < h->n_classes; i++)
		json_array_append_new(rows, class_row(v, h, &h->classes[i], ifindex));
	if (!is_htb(h)) /* in htb every packet is in a class */
		json_array_append_new(rows, pass_row(v, h));
	return rows;
}

static size_t count_tops(const struct plan_hook *h, uint32_t shard)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_classes; i++)
		n += h->classes[i].shard == shard && h->classes[i].cls->parent == h->hook->root;
	return n;
}

/* A row a shard: its part of the rate, what it sent, and what of that came into another queue than its class's. */
static json_t *shard_rows(const struct view *v, const struct plan_hook *h)
{
	int ifindex = device_of(v, h);
	json_t *rows = json_array();

	for (uint32_t i = 1; i <= h->n_shards; i++) {
		const struct tc_class_stats *all = counts_class(v->counts, ifindex, plan_htb_root(h, i)),
					    *strays = counts_class(v->counts, ifindex,
								   KOBJ_SHARD(i) | KOBJ_DEFAULT_MINOR);
		json_t *j = answer_of("shard", json_integer(i));

		json_object_set_new(j, "queue", wire_text(arena_printf(v->a, "tx-%u", i - 1)));
		json_object_set_new(j, "top_classes", wire_count(count_tops(h, i)));
		put_rate(j, "rate_bps", h->parts_Bps[i - 1]);
		if (all) {
			json_object_set_new(j, "sent_packets", wire_count(all->packets));
			json_object_set_new(j, "sent_bytes", wire_count(all->bytes));
		}
		if (strays && i != h->default_shard) {
			json_object_set_new(j, "stray_packets", wire_count(strays->packets));
			json_object_set_new(j, "stray_bytes", wire_count(strays->bytes));
		}
		json_array_append_new(rows, j);
	}
	return rows;
}

static json_t *show_classes(struct view *v)
{
	const struct plan *p = v->now->plan;
	json_t *hooks = json_array();

	read_counts(v);
	for (size_t i = 0; i < p->hooks.n; i++) {
		json_t *j;

		if (!p->hooks.v[i].hook)
			continue;
		j = hook_head(v, &p->hooks.v[i]);
		if (p->hooks.v[i].n_shards)
			json_object_set_new(j, "by_shard", shard_rows(v, &p->hooks.v[i]));
		json_object_set_new(j, "classes", class_rows(v, &p->hooks.v[i]));
		json_array_append_new(hooks, j);
	}
	return answer_of("hooks", hooks);
}

/* ---- filters --------------------------------------------------------------------------------------------------------
 */

static const char *link_name(void *ctx, int ifindex)
{
	const struct link *l = links_by_index(ctx, ifindex);

	return l ? l->name : NULL;
}

static json_t *describe(const struct view *v, const struct kobj *o)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	json_t *j;

	if (!f)
		return json_null();
	kobj_kinds[o->kind]->describe(o, link_name, (void *)shaper_links(v->shaper), f);
	j = fclose(f) == 0 ? wire_text_n(text, len) : json_null();
	free(text);
	return j;
}

static bool is_traffic_control(enum kobj_kind k)
{
	return k == KOBJ_LINK || k == KOBJ_QDISC || k == KOBJ_CLASS || k == KOBJ_LEAF || k == KOBJ_ACTION ||
	       k == KOBJ_FILTER;
}

static json_t *show_filters(struct view *v)
{
	const struct kobj_set *objects = &v->now->plan->objects;
	json_t *list = json_array();

	for (size_t i = 0; i < objects->n; i++) {
		const struct kobj *o = &objects->v[i];
		json_t *j;

		if (!is_traffic_control(o->kind))
			continue;
		j = answer_of("kind", json_string(kobj_kinds[o->kind]->name));
		json_object_set_new(j, "object", describe(v, o));
		json_object_set_new(j, "for", wire_text(o->what));
		json_object_set_new(j, "where", where(v, o->pos));
		json_array_append_new(list, j);
	}
	return answer_of("objects", list);
}

/* ---- sets -----------------------------------------------------------------------------------------------------------
 */

struct listing {
	struct view *v;
	json_t *rows; /* NULL: they are only counted */
	size_t n;
	uint64_t now_ns;
	uint64_t timeout_ns;
	bool paced;
};

static int list_learned(void *ctx, const struct qosd_addr *a, const struct qosd_learned *e)
{
	struct listing *l = ctx;
	const struct link *link = links_by_index(shaper_links(l->v->shaper), (int)e->ifindex);
	uint64_t last_ns = learn_age_ns(l->now_ns, e->last_ns);
	struct prefix p = learn_prefix(a);
	char address[TEXT_MAX];
	json_t *j;

	if (l->timeout_ns && last_ns > l->timeout_ns) /* counts no more, the next sweep takes it */
		return 0;
	l->n++;
	if (!l->rows)
		return 0;
	j = answer_of("address", json_string(text_format_prefix(address, &p)));
	json_object_set_new(j, "how", learn_how(e->how));
	json_object_set_new(j, "interface", link ? wire_text(link->name) : json_null());
	json_object_set_new(j, "age_ms", wire_count(learn_age_ns(l->now_ns, e->first_ns) / 1000000));
	json_object_set_new(j, "last_seen_ago_ms", wire_count(last_ns / 1000000));
	json_array_append_new(l->rows, j);
	return 0;
}

/* An element of a set: where it was written, or a live edit. */
struct element {
	const struct prefix *prefix;
	struct pos pos; /* line 0: live */
	uint64_t up_Bps, down_Bps;
};

static int find_written(const void *key, const void *element)
{
	return prefix_cmp(key, &((const struct model_element *)element)->prefix);
}

/* Those that are written, then those that are only live. */
static void each_element(const struct view *v, const struct model_set *set,
			 void (*fn)(void *ctx, const struct element *e), void *ctx)
{
	const struct plan_live *live;
	size_t n;

	for (size_t i = 0; i < set->n_elements; i++) {
		const struct model_element *e = &set->elements[i];

		fn(ctx, &(struct element){&e->prefix, e->pos, e->up_Bps, e->down_Bps});
	}
	live = shaper_live(v->shaper, &n);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(live[i].set, set->name) != 0)
			continue;
		if (set->n_elements &&
		    bsearch(&live[i].prefix, set->elements, set->n_elements, sizeof(*set->elements), find_written))
			continue;
		fn(ctx, &(struct element){&live[i].prefix, {0}, live[i].up_Bps, live[i].down_Bps});
	}
}

static void list_element(void *ctx, const struct element *e)
{
	struct listing *l = ctx;
	char address[TEXT_MAX];
	json_t *j;

	l->n++;
	if (!l->rows)
		return;
	j = answer_of("address", json_string(text_format_prefix(address, e->prefix)));
	json_object_set_new(j, "how", json_pack("[s]", e->pos.line ? "written" : "live"));
	json_object_set_new(j, "where", where(l->v, e->pos));
	put_rate(j, "up_bps", e->up_Bps);
	put_rate(j, "down_bps", e->down_Bps);
	json_array_append_new(l->rows, j);
}

/* As csv.h reads it. */
static void export_element(void *ctx, const struct element *e)
{
	char address[TEXT_MAX], rate[TEXT_MAX];
	FILE *out = ctx;

	fputs(text_format_prefix(address, e->prefix), out);
	if (e->up_Bps || e->down_Bps)
		fprintf(out, ",%s", e->up_Bps ? text_format_rate(rate, e->up_Bps) : "");
	if (e->up_Bps || e->down_Bps)
		fprintf(out, ",%s", e->down_Bps ? text_format_rate(rate, e->down_Bps) : "");
	fputc('\n', out);
}

static const struct plan_set *set_named(const struct plan *p, const char *name)
{
	for (size_t i = 0; name && i < p->sets.n; i++)
		if (strcmp(p->sets.v[i].set->name, name) == 0)
			return &p->sets.v[i];
	return NULL;
}

/* What import reads back: the elements of a set, without what it learned. */
static json_t *show_csv(struct view *v, const char *name)
{
	const struct plan_set *s = set_named(v->now->plan, name);
	char *text = NULL;
	size_t len = 0;
	json_t *j;
	FILE *out;

	if (!s)
		return wire_error(EXIT_FAILED, "there is no set %s", name ? name : "");
	out = open_memstream(&text, &len);
	if (!out)
		return wire_error(EXIT_FAILED, "no memory for the elements of set %s", name);
	each_element(v, s->set, export_element, out);
	j = fclose(out) == 0 ? answer_of("csv", wire_text_n(text, len))
			     : wire_error(EXIT_FAILED, "no memory for the elements of set %s", name);
	free(text);
	return j;
}

static const char *when_full_name(enum when_full w)
{
	switch (w) {
	case FULL_REFUSE: return "refuse";
	case FULL_EVICT_OLDEST: return "evict-oldest";
	}
	return "";
}

/* Lists what counts as in the set now; rows NULL: only how many. */
static size_t list_addresses(struct view *v, const struct plan_set *s, json_t *rows)
{
	struct listing l = {.v = v, .rows = rows, .now_ns = learn_now_ns(), .timeout_ns = s->set->learn.timeout_ns};
	int map = s->set->learns ? learn_map(v->learn, s->set->name) : -ENOENT;

	each_element(v, s->set, list_element, &l);
	if (map >= 0)
		(void)learn_each(map, list_learned, &l); /* what could not be read is missing from the answer */
	return l.n;
}

static void put_set_counters(struct view *v, json_t *j, const struct plan_set *s)
{
	/* The others of the struct are the programs' own business. */
	static const char *const names[] = {"learned", "refused", "fenced", "unusable"};
	uint64_t counters[sizeof(struct qosd_set_stats) / sizeof(uint64_t)];

	if (!s->set->learns ||
	    read_counters(v, "sets_stats", s->slot, counters, sizeof(counters) / sizeof(counters[0])) < 0)
		return;
	put_counters(j, counters, names, sizeof(names) / sizeof(names[0]));
	json_object_set_new(j, "evicted", wire_count(learn_evicted(v->learn, s->set->name)));
}

static json_t *set_answer(struct view *v, const struct plan_set *s, bool listed)
{
	json_t *j = answer_of("name", json_string(s->set->name)), *rows = listed ? json_array() : NULL;

	json_object_set_new(j, "count", json_integer((json_int_t)list_addresses(v, s, rows)));
	if (s->set->learns) {
		json_object_set_new(j, "max", json_integer(s->set->learn.max));
		json_object_set_new(j, "timeout_ms", wire_count(s->set->learn.timeout_ns / 1000000));
		json_object_set_new(j, "when_full", json_string(when_full_name(s->set->learn.when_full)));
	}
	put_set_counters(v, j, s);
	if (rows)
		json_object_set_new(j, "addresses", rows);
	return j;
}

static json_t *show_sets(struct view *v, const char *name)
{
	const struct plan *p = v->now->plan;
	json_t *sets = json_array();

	for (size_t i = 0; i < p->sets.n; i++)
		if (!name || strcmp(p->sets.v[i].set->name, name) == 0)
			json_array_append_new(sets, set_answer(v, &p->sets.v[i], true));
	if (name && !json_array_size(sets)) {
		json_decref(sets);
		return wire_error(EXIT_FAILED, "there is no set %s", name);
	}
	return answer_of("sets", sets);
}

/* ---- keys -----------------------------------------------------------------------------------------------------------
 */

static void list_key(void *ctx, const struct key_now *key)
{
	struct listing *l = ctx;
	const struct qosd_key_stats *s = &key->stats;
	uint64_t departed = s->packets - s->drop_packets;
	struct prefix p = keys_prefix(&key->key);
	char address[TEXT_MAX];
	json_t *j = answer_of("key", json_string(text_format_prefix(address, &p)));

	l->n++;
	json_object_set_new(j, "packets", wire_count(s->packets));
	json_object_set_new(j, "bytes", wire_count(s->bytes));
	json_object_set_new(j, "drop_packets", wire_count(s->drop_packets));
	json_object_set_new(j, "drop_bytes", wire_count(s->drop_bytes));
	if (l->paced) {
		json_object_set_new(j, "delay_us", departed ? wire_count(s->delay_ns / departed / 1000) : json_null());
		json_object_set_new(j, "mark_packets", wire_count(s->mark_packets));
	}
	json_object_set_new(j, "idle_ms", wire_count(learn_age_ns(l->now_ns, key->last_ns) / 1000000));
	json_array_append_new(l->rows, j);
}

static json_t *class_keys(struct view *v, const struct plan_hook *h, const struct plan_class *c)
{
	struct listing l = {.v = v, .rows = json_array(), .now_ns = learn_now_ns(), .paced = is_paced(h)};
	json_t *j = answer_of("interface", wire_text(h->ifname));
	int err = keys_each(v->shaper, h, c, list_key, &l);

	json_object_set_new(j, "direction", json_string(direction_name(h->dir)));
	json_object_set_new(j, "class", json_string(c->cls->name));
	put_rate(j, "rate_bps", c->cls->per.rate_Bps);
	json_object_set_new(j, "count", json_integer((json_int_t)l.n));
	json_object_set_new(j, "max", json_integer(c->cls->per.max));
	json_object_set_new(j, "timeout_ms", wire_count(c->cls->per.timeout_ns / 1000000));
	json_object_set_new(j, "shared_packets", wire_count(keys_shared(v->shaper, h, c)));
	if (err)
		json_object_set_new(j, "unreadable", json_string(strerror(-err)));
	json_object_set_new(j, "keys", l.rows);
	return j;
}

static json_t *show_keys(struct view *v)
{
	const struct plan *p = v->now->plan;
	json_t *classes = json_array();

	for (size_t i = 0; i < p->hooks.n; i++)
		for (size_t c = 0; c < p->hooks.v[i].n_classes; c++)
			if (keys_has(&p->hooks.v[i], &p->hooks.v[i].classes[c]))
				json_array_append_new(classes,
						      class_keys(v, &p->hooks.v[i], &p->hooks.v[i].classes[c]));
	return answer_of("keyed_classes", classes);
}

/* ---- capabilities, bypass -------------------------------------------------------------------------------------------
 */

static json_t *show_capabilities(struct view *v)
{
	const struct caps *caps = shaper_caps(v->shaper);
	json_t *list = json_array(), *j;
	struct utsname kernel;

	for (size_t i = 0; i < CAPS; i++) {
		j = answer_of("capability", json_string(caps->v[i].name));
		json_object_set_new(j, "has", json_boolean(caps->v[i].has));
		json_object_set_new(j, "config", json_string(caps->v[i].config));
		json_object_set_new(j, "how", wire_text(caps->v[i].how));
		json_array_append_new(list, j);
	}
	j = answer_of("kernel", wire_text(uname(&kernel) == 0 ? kernel.release : NULL));
	json_object_set_new(j, "capabilities", list);
	return j;
}

static json_t *show_bypass(struct view *v)
{
	return answer_of("bypass", bypass(v->shaper));
}

static json_t *show_forward(struct view *v)
{
	return fastpath_show(v->shaper);
}

/* ---- history --------------------------------------------------------------------------------------------------------
 */

/* As clocks show it here, with the zone: "2026-11-21T22:50:43+0100". */
static json_t *local_time(int64_t seconds)
{
	time_t t = (time_t)seconds;
	char text[64];
	struct tm tm;

	return localtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S%z", &tm) ? json_string(text)
												: json_null();
}

static json_t *history_row(const struct history *h, const struct history_entry *e)
{
	const struct history_pending *p = history_pending(h);
	bool rolled_back, current = history_current(h, &rolled_back) == e->number;
	json_t *j = answer_of("number", json_integer(e->number)), *is = json_array();

	json_object_set_new(j, "time", local_time(e->time));
	json_object_set_new(j, "who", wire_text(e->who));
	json_object_set_new(j, "source", wire_text(e->source));
	if (current)
		json_array_append_new(is, json_string("in force"));
	if (current && rolled_back)
		json_array_append_new(is, json_string("gone back to"));
	if (e->left)
		json_array_append_new(is, json_string("gone back from"));
	if (current && p->pending)
		json_array_append_new(is, json_string("to be confirmed"));
	if (p->pending && p->back_to == e->number) {
		json_array_append_new(is, json_string("next unless confirmed"));
		json_object_set_new(j, "left_ms", json_integer(history_left_ms(h)));
	}
	json_object_set_new(j, "is", is);
	return j;
}

static json_t *show_history(struct view *v)
{
	const struct history *h = shaper_history(v->shaper);
	json_t *rows = json_array();
	size_t n;
	const struct history_entry *e = history_entries(h, &n);

	for (size_t i = 0; i < n; i++)
		json_array_append_new(rows, history_row(h, &e[i]));
	return answer_of("history", rows);
}

/* ---- stats ----------------------------------------------------------------------------------------------------------
 */

/* Where they are known. */
static void put_rates(const struct view *v, json_t *j, const struct plan_hook *h, uint32_t number,
		      const struct qosd_lpm *key)
{
	static const char *const names[METER_WINDOWS] = {"rate_1s_bps", "rate_10s_bps", "rate_60s_bps"};
	uint64_t bps[METER_WINDOWS];
	bool known = v->meter && meter_rates(v->meter, h, number, key, bps);

	for (size_t i = 0; i < METER_WINDOWS; i++)
		json_object_set_new(j, names[i], known ? wire_count(bps[i]) : json_null());
}

static json_t *class_stats(struct view *v, const struct plan_hook *h)
{
	int ifindex = device_of(v, h);
	json_t *rows = json_array();

	for (size_t i = 0; i < h->n_classes; i++) {
		const struct plan_class *c = &h->classes[i];
		json_t *j = answer_of("name", json_string(c->cls->name));

		json_object_set_new(j, "depth", json_integer(depth_of(h, c->cls)));
		put_rates(v, j, h, c->number, NULL);
		if (is_htb(h)) {
			put_place(v, j, h, c);
			put_classified(v, j, h, c, CLASS_COUNTERS);
			put_queue(v, j, ifindex, plan_htb_class(h, c));
		} else {
			put_class_counters(v, j, h, c->number, counts_policer(v->counts, c->police_index),
					   CLASS_COUNTERS);
		}
		json_array_append_new(rows, j);
	}
	if (is_htb(h))
		return rows;
	json_array_append_new(rows, answer_of("name", json_string("pass")));
	put_class_counters(v, json_array_get(rows, json_array_size(rows) - 1), h, 0, NULL, CLASS_COUNTERS);
	return rows;
}

static json_t *hook_stats(struct view *v, const struct plan_hook *h)
{
	static const char *const names[] = {"packets",           "bypassed_packets", "not_ip_packets",
					    "malformed_packets", "exempt_packets",   "error_packets"};
	uint64_t counters[sizeof(struct qosd_hook_stats) / sizeof(uint64_t)];
	json_t *j = hook_head(v, h);

	_Static_assert(sizeof(names) / sizeof(names[0]) == sizeof(counters) / sizeof(counters[0]),
		       "a name for each counter");
	if (read_counters(v, arena_printf(v->a, "%s/hook_stats", h->path), 0, counters,
			  sizeof(counters) / sizeof(counters[0])) == 0)
		put_counters(j, counters, names, sizeof(names) / sizeof(names[0]));
	if (h->n_shards)
		json_object_set_new(j, "by_shard", shard_rows(v, h));
	json_object_set_new(j, "classes", class_stats(v, h));
	return j;
}

json_t *show_stats(struct shaper *s, struct learn *l, const struct meter *m)
{
	struct view v = {.shaper = s, .learn = l, .now = shaper_current(s), .a = arena_new(), .meter = m};
	json_t *hooks = json_array(), *sets = json_array(), *j = answer_of("bypass", bypass(v.shaper));

	read_counts(&v);
	for (size_t i = 0; i < v.now->plan->hooks.n; i++)
		if (v.now->plan->hooks.v[i].hook)
			json_array_append_new(hooks, hook_stats(&v, &v.now->plan->hooks.v[i]));
	for (size_t i = 0; i < v.now->plan->sets.n; i++)
		json_array_append_new(sets, set_answer(&v, &v.now->plan->sets.v[i], false));
	json_object_set_new(j, "hooks", hooks);
	json_object_set_new(j, "sets", sets);
	if (v.now->plan->forwards.n)
		json_object_set_new(j, "forward", fastpath_stats(s));
	arena_free(v.a);
	return j;
}

/* ---- top ------------------------------------------------------------------------------------------------------------
 */

/* A class or a key that may be among the first. */
struct candidate {
	uint64_t value; /* what is sorted by */
	const struct plan_hook *h;
	const struct plan_class *c;
	bool is_key;
	struct key_now key;
};

struct contest {
	struct view *view;
	const char *sort;
	const struct plan_hook *h;
	const struct plan_class *c;
	VEC(struct candidate);
};

static uint64_t rate_now(const struct view *v, const struct plan_hook *h, uint32_t number, const struct qosd_lpm *key)
{
	uint64_t bps[METER_WINDOWS];

	return meter_rates(v->meter, h, number, key, bps) ? bps[0] : 0;
}

static uint64_t delay_us(uint64_t delay_ns, uint64_t packets, uint64_t drops)
{
	return packets > drops ? delay_ns / (packets - drops) / 1000 : 0;
}

static void enter_key(void *ctx, const struct key_now *key)
{
	struct contest *t = ctx;
	const struct qosd_key_stats *s = &key->stats;
	struct candidate *one = vec_add(t->view->a, t);

	*one = (struct candidate){.h = t->h, .c = t->c, .is_key = true, .key = *key};
	if (strcmp(t->sort, "drops") == 0)
		one->value = s->drop_packets;
	else if (strcmp(t->sort, "delay") == 0)
		one->value = delay_us(s->delay_ns, s->packets, s->drop_packets);
	else
		one->value = rate_now(t->view, t->h, t->c->number, &key->key);
}

static json_t *top_row(const struct candidate *one)
{
	json_t *j = answer_of("interface", wire_text(one->h->ifname));

	json_object_set_new(j, "direction", json_string(direction_name(one->h->dir)));
	json_object_set_new(j, "class", json_string(one->c->cls->name));
	return j;
}

static json_t *class_counted(struct view *v, const struct candidate *one)
{
	json_t *j = top_row(one);

	json_object_set_new(j, "key", json_null());
	put_rates(v, j, one->h, one->c->number, NULL);
	if (is_htb(one->h)) {
		put_classified(v, j, one->h, one->c, FIRST_COUNTERS);
		put_drops(v, j, device_of(v, one->h), plan_htb_class(one->h, one->c));
	} else {
		put_class_counters(v, j, one->h, one->c->number, counts_policer(v->counts, one->c->police_index),
				   FIRST_COUNTERS);
	}
	return j;
}

static void enter_class(struct contest *t)
{
	struct candidate one = {.h = t->h, .c = t->c};
	json_t *counted;

	if (strcmp(t->sort, "rate") == 0) {
		one.value = rate_now(t->view, t->h, t->c->number, NULL);
	} else {
		counted = class_counted(t->view, &one);
		one.value = (uint64_t)json_integer_value(
			json_object_get(counted, strcmp(t->sort, "drops") == 0 ? "drop_packets" : "delay_us"));
		json_decref(counted);
	}
	*vec_add(t->view->a, t) = one;
}

static json_t *key_counted(struct view *v, const struct candidate *one)
{
	const struct qosd_key_stats *s = &one->key.stats;
	struct prefix p = keys_prefix(&one->key.key);
	char address[TEXT_MAX];
	json_t *j = top_row(one);

	json_object_set_new(j, "key", json_string(text_format_prefix(address, &p)));
	put_rates(v, j, one->h, one->c->number, &one->key.key);
	json_object_set_new(j, "packets", wire_count(s->packets));
	json_object_set_new(j, "bytes", wire_count(s->bytes));
	json_object_set_new(j, "drop_packets", wire_count(s->drop_packets));
	if (is_paced(one->h)) {
		json_object_set_new(j, "delay_us", wire_count(delay_us(s->delay_ns, s->packets, s->drop_packets)));
		json_object_set_new(j, "mark_packets", wire_count(s->mark_packets));
	}
	return j;
}

static int most_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return (x->value < y->value) - (x->value > y->value);
}

json_t *show_top(struct shaper *s, struct learn *l, struct meter *m, size_t n, const char *sort)
{
	struct view v = {.shaper = s, .learn = l, .now = shaper_current(s), .a = arena_new(), .meter = m};
	struct contest t = {.view = &v, .sort = sort};
	json_t *rows = json_array();
	bool any_keys = false;

	read_counts(&v);
	for (size_t i = 0; i < v.now->plan->hooks.n; i++) {
		t.h = &v.now->plan->hooks.v[i];
		for (size_t c = 0; c < t.h->n_classes; c++) {
			t.c = &t.h->classes[c];
			enter_class(&t);
			if (!keys_has(t.h, t.c))
				continue;
			any_keys = true;
			(void)keys_each(s, t.h, t.c, enter_key, &t); /* what cannot be read is missing */
		}
	}
	if (t.n)
		qsort(t.v, t.n, sizeof(*t.v), most_first);
	for (size_t i = 0; i < t.n && i < n; i++)
		json_array_append_new(rows, t.v[i].is_key ? key_counted(&v, &t.v[i]) : class_counted(&v, &t.v[i]));
	arena_free(v.a);
	if (any_keys && !meter_watch_keys(m)) {
		json_decref(rows);
		return answer_of("wait_ms", json_integer(METER_SETTLE_MS));
	}
	return answer_of("top", rows);
}

/* ---- which one ------------------------------------------------------------------------------------------------------
 */

static const struct {
	const char *what;
	json_t *(*show)(struct view *v);
} shows[] = {
	{"policy", show_policy},
	{"effective", show_effective},
	{"interfaces", show_interfaces},
	{"classes", show_classes},
	{"keys", show_keys},
	{"filters", show_filters},
	{"capabilities", show_capabilities},
	{"forward", show_forward},
	{"bypass", show_bypass},
	{"history", show_history},
};

json_t *show_answer(struct shaper *s, struct learn *l, const json_t *args)
{
	const char *what = json_string_value(json_object_get(args, "what"));
	const char *name = json_string_value(json_object_get(args, "name"));
	struct view v = {.shaper = s, .learn = l, .now = shaper_current(s), .a = arena_new()};
	json_t *answer = NULL;

	if (what && strcmp(what, "sets") == 0)
		answer = show_sets(&v, name);
	if (what && strcmp(what, "csv") == 0)
		answer = show_csv(&v, name);
	for (size_t i = 0; what && !answer && i < sizeof(shows) / sizeof(shows[0]); i++)
		if (strcmp(what, shows[i].what) == 0)
			answer = shows[i].show(&v);
	if (!answer)
		answer = wire_error(EXIT_USAGE, "qosd cannot show \"%s\"", what ? what : "");
	arena_free(v.a);
	return answer;
}
