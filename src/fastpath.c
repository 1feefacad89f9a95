/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fastpath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/qosd_abi.h"
#include "links.h"
#include "maps.h"
#include "mem.h"
#include "pins.h"
#include "reload.h"
#include "wire.h"

static const char *const mode_names[] = {[FORWARD_EGRESS] = "egress",
					 [FORWARD_INGRESS] = "ingress",
					 [FORWARD_NEIGH] = "neigh",
					 [FORWARD_PEER] = "peer",
					 [FORWARD_CLONE] = "clone"};

/* Enum qosd_forward_why. */
static const char *const why_names[QOSD_WHYS] = {
	[QOSD_WHY_AWAY] = "device_away",
	[QOSD_WHY_NO_PEER] = "no_peer",
	[QOSD_WHY_NEIGHBOUR] = "neighbour_unknown",
	[QOSD_WHY_LOOP] = "loop",
	[QOSD_WHY_NOT_HOST] = "not_unicast",
	[QOSD_WHY_FRAGMENT] = "fragment",
	[QOSD_WHY_TTL] = "last_hop",
	[QOSD_WHY_OPTIONS] = "options",
	[QOSD_WHY_TOO_BIG] = "too_big",
	[QOSD_WHY_NO_ROUTE] = "no_route",
	[QOSD_WHY_FRAMING] = "framing",
	[QOSD_WHY_FAILED] = "failed",
};

static const struct plan *plan_of(const struct shaper *s)
{
	const struct reload_result *now = shaper_current(s);

	return now ? now->plan : NULL;
}

static int map_of(struct shaper *s, enum map_role role)
{
	return pins_map(shaper_pins(s), maps_name(role));
}

/* The values of an entry of a per-CPU map, one behind the other, malloced; how many in *cpus. NULL: there are none. */
static void *read_each(struct shaper *s, enum map_role role, uint32_t key, size_t size, size_t *cpus)
{
	int n = libbpf_num_possible_cpus(), map = map_of(s, role);
	void *each;

	if (map < 0 || n < 0)
		return NULL;
	*cpus = (size_t)n;
	each = xcalloc(*cpus, size);
	if (bpf_map_lookup_elem(map, &key, each) == 0)
		return each;
	free(each);
	return NULL;
}

static void add_rule(struct shaper *s, const struct plan_forward *f, struct qosd_forward_stats *sum)
{
	struct qosd_forward_stats *each;
	size_t cpus;

	each = read_each(s, MAP_FORWARDS_STATS, f->number, sizeof(*each), &cpus);
	for (size_t i = 0; each && i < cpus; i++) {
		sum->packets += each[i].packets;
		sum->bytes += each[i].bytes;
		sum->skbs += each[i].skbs;
		sum->skb_bytes += each[i].skb_bytes;
		for (int w = 0; w < QOSD_WHYS; w++)
			sum->why[w] += each[i].why[w];
	}
	free(each);
}

/* Of this device, not of one that had the name before. */
static struct qosd_target_stats read_target(struct shaper *s, uint32_t slot, int ifindex)
{
	struct qosd_target_stats sum = {0}, *each;
	size_t cpus;

	each = read_each(s, MAP_TARGETS_STATS, slot, sizeof(*each), &cpus);
	for (size_t i = 0; each && i < cpus; i++) {
		if (each[i].ifindex != (uint64_t)ifindex)
			continue;
		sum.tx_skbs += each[i].tx_skbs;
		sum.tx_bytes += each[i].tx_bytes;
		sum.unseen_tx_skbs += each[i].unseen_tx_skbs;
		sum.unseen_tx_bytes += each[i].unseen_tx_bytes;
		sum.unseen_rx_skbs += each[i].unseen_rx_skbs;
		sum.unseen_rx_bytes += each[i].unseen_rx_bytes;
	}
	free(each);
	return sum;
}

static bool is_off(struct shaper *s, uint32_t number)
{
	int map = map_of(s, MAP_FORWARDS_OFF);
	uint32_t off = 0;

	return map >= 0 && bpf_map_lookup_elem(map, &number, &off) == 0 && off;
}

/* ---- show -----------------------------------------------------------------------------------------------------------
 */

static const char *state_of(struct shaper *s, const struct plan_forward *f, const struct model *m, const char **why)
{
	*why = "";
	if (!m->fast_path)
		*why = "settings: fast-path: off";
	else if (is_off(s, 0) || is_off(s, f->number))
		*why = "qosctl forward off";
	if (**why)
		return "off";
	*why = *f->refused ? f->refused : f->away;
	if (!links_by_name(shaper_links(s), f->rule->on))
		return "waiting";
	if (*f->refused)
		return "refused";
	if (*f->away)
		return "away";
	if (f->rule->has_nexthop && IN6_IS_ADDR_LINKLOCAL(&f->rule->nexthop.addr))
		*why = "the next hop is link-local: nobody sees whether it answers";
	return "on";
}

static json_t *rule_head(const struct model_forward *f)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", f->name, "on", f->on, "hook",
			 f->dir == DIR_INGRESS ? "ingress" : "egress", "mode", mode_names[f->mode], "dev", f->dev);
}

json_t *fastpath_show(struct shaper *s)
{
	const struct model *m = shaper_current(s)->model;
	const struct plan *p = plan_of(s);
	json_t *rows = json_array();

	for (size_t i = 0; i < p->forwards.n; i++) {
		const struct plan_forward *f = &p->forwards.v[i];
		json_t *j = rule_head(f->rule);
		char text[TEXT_MAX];
		const char *why;

		if (f->rule->has_nexthop)
			json_object_set_new(j, "nexthop", wire_text(text_format_prefix(text, &f->rule->nexthop)));
		json_object_set_new(j, "on_miss", json_string(f->rule->on_miss == ON_MISS_DROP ? "drop" : "pass"));
		json_object_set_new(j, "state", json_string(state_of(s, f, m, &why)));
		json_object_set_new(j, "why", json_string(why));
		json_array_append_new(rows, j);
	}
	return json_pack("{s:s, s:o}", "fast_path",
			 !m->fast_path  ? "off, by settings"
			 : is_off(s, 0) ? "off, by qosctl"
					: "on",
			 "forward", rows);
}

/* ---- counters -------------------------------------------------------------------------------------------------------
 */

/* By reason, without those that are 0. */
static json_t *missed_of(const struct qosd_forward_stats *stats)
{
	json_t *missed = json_object();

	for (int i = 0; i < QOSD_WHYS; i++)
		if (stats->why[i])
			json_object_set_new(missed, why_names[i], wire_count(stats->why[i]));
	return missed;
}

static json_t *rule_stats(struct shaper *s, const struct plan_forward *f)
{
	struct qosd_forward_stats stats = {0};
	json_t *j = rule_head(f->rule);

	add_rule(s, f, &stats);
	json_object_set_new(j, "packets", wire_count(stats.packets));
	json_object_set_new(j, "bytes", wire_count(stats.bytes));
	json_object_set_new(j, "kernel_packets", wire_count(stats.skbs));
	json_object_set_new(j, "kernel_bytes", wire_count(stats.skb_bytes));
	json_object_set_new(j, "missed", missed_of(&stats));
	return j;
}

json_t *fastpath_stats(struct shaper *s)
{
	const struct plan *p = plan_of(s);
	json_t *rows = json_array();

	for (size_t i = 0; i < p->forwards.n; i++)
		json_array_append_new(rows, rule_stats(s, &p->forwards.v[i]));
	return rows;
}

struct rows {
	struct shaper *s;
	json_t *v;
};

static const struct plan_forward *forward_to(const struct plan *p, const char *ifname)
{
	for (size_t i = 0; i < p->forwards.n; i++)
		if (strcmp(p->forwards.v[i].rule->dev, ifname) == 0)
			return &p->forwards.v[i];
	return NULL;
}

/* Of all rules that hand packets to this interface. */
static json_t *missed_to(struct shaper *s, const char *ifname)
{
	const struct plan *p = plan_of(s);
	struct qosd_forward_stats sum = {0};

	for (size_t i = 0; i < p->forwards.n; i++)
		if (strcmp(p->forwards.v[i].rule->dev, ifname) == 0)
			add_rule(s, &p->forwards.v[i], &sum);
	return missed_of(&sum);
}

static int add_interface(void *ctx, const struct link_counts *c)
{
	struct rows *rows = ctx;
	const struct plan_forward *f = forward_to(plan_of(rows->s), c->name);
	struct qosd_target_stats stats = {0};
	json_t *j = json_pack("{s:o}", "interface", wire_text(c->name)), *unseen = json_array();

	if (f)
		stats = read_target(rows->s, f->slot, c->ifindex);
	json_object_set_new(j, "rx_packets", wire_count(c->rx_packets + stats.unseen_rx_skbs));
	json_object_set_new(j, "rx_bytes", wire_count(c->rx_bytes + stats.unseen_rx_bytes));
	json_object_set_new(j, "tx_packets", wire_count(c->tx_packets + stats.unseen_tx_skbs));
	json_object_set_new(j, "tx_bytes", wire_count(c->tx_bytes + stats.unseen_tx_bytes));
	json_object_set_new(j, "kernel_rx_packets", wire_count(c->rx_packets));
	json_object_set_new(j, "kernel_rx_bytes", wire_count(c->rx_bytes));
	json_object_set_new(j, "kernel_tx_packets", wire_count(c->tx_packets));
	json_object_set_new(j, "kernel_tx_bytes", wire_count(c->tx_bytes));
	json_object_set_new(j, "forwarded_packets",
			    wire_count(stats.tx_skbs + stats.unseen_tx_skbs + stats.unseen_rx_skbs));
	json_object_set_new(j, "forwarded_bytes",
			    wire_count(stats.tx_bytes + stats.unseen_tx_bytes + stats.unseen_rx_bytes));
	if (stats.unseen_rx_skbs)
		json_array_append_new(unseen, json_string("rx"));
	if (stats.unseen_tx_skbs)
		json_array_append_new(unseen, json_string("tx"));
	json_object_set_new(j, "unseen", unseen);
	json_object_set_new(j, "missed", missed_to(rows->s, c->name));
	json_array_append_new(rows->v, j);
	return 0;
}

static void start_again(void *ctx)
{
	json_array_clear(((struct rows *)ctx)->v);
}

json_t *fastpath_interfaces(struct shaper *s)
{
	struct rows rows = {s, json_array()};
	int err = links_counts(shaper_nl(s), add_interface, start_again, &rows);

	if (!err)
		return json_pack("{s:o}", "interfaces", rows.v);
	json_decref(rows.v);
	return wire_error(EXIT_FAILED, "cannot read the interfaces: %s", strerror(-err));
}

/* ---- switches -------------------------------------------------------------------------------------------------------
 */

/* A rule that was switched off by itself stays so when all are switched on. The sentence, or NULL: there is none. */
static json_t *still_off(struct shaper *s, const struct plan *p)
{
	const char *name = NULL;
	int n = 0;

	for (size_t i = 0; i < p->forwards.n; i++) {
		if (!is_off(s, p->forwards.v[i].number))
			continue;
		name = name ? name : p->forwards.v[i].rule->name;
		n++;
	}
	if (n > 1)
		return json_sprintf("%d rules are still off, %s first: qosctl show forward", n, name);
	return n ? json_sprintf("rule %s is still off: qosctl forward on %s", name, name) : NULL;
}

json_t *fastpath_switch(struct shaper *s, bool on, const char *rule)
{
	const struct model *m = shaper_current(s)->model;
	const struct plan *p = plan_of(s);
	uint32_t key = 0, off = !on;
	int map, err;

	for (size_t i = 0; rule && i < p->forwards.n; i++)
		if (strcmp(p->forwards.v[i].rule->name, rule) == 0)
			key = p->forwards.v[i].number;
	if (rule && !key)
		return wire_error(EXIT_FAILED, "there is no forwarding rule %s", rule);
	if (!p->forwards.n)
		return wire_error(EXIT_FAILED, "the policy has no forwarding rules");
	map = map_of(s, MAP_FORWARDS_OFF);
	err = map < 0 ? map : bpf_map_update_elem(map, &key, &off, BPF_ANY);
	if (err)
		return wire_error(EXIT_FAILED, "cannot write the map of switches: %s", strerror(-err));
	if (on && !m->fast_path)
		return json_pack("{s:b, s:s}", "forward", on, "warning", "settings: fast-path: off keeps it off");
	if (on && rule && is_off(s, 0))
		return json_pack("{s:b, s:s}", "forward", on, "warning", "all rules are off: qosctl forward on");
	return json_pack("{s:b, s:o*}", "forward", on, "warning", on && !rule ? still_off(s, p) : NULL);
}

static bool is_number(const struct plan *p, uint32_t number)
{
	for (size_t i = 0; i < p->forwards.n; i++)
		if (p->forwards.v[i].number == number)
			return true;
	return false;
}

void fastpath_follow(struct shaper *s)
{
	const struct plan *p = plan_of(s);
	int map = map_of(s, MAP_FORWARDS_OFF);
	const uint32_t on = 0;

	for (uint32_t i = 1; map >= 0 && p && i < QOSD_FORWARD_NUMBERS; i++)
		if (!is_number(p, i) && is_off(s, i))
			(void)bpf_map_update_elem(map, &i, &on, BPF_ANY); /* tried again after the next run */
}

void fastpath_gone(struct shaper *s, int ifindex)
{
	static const struct qosd_target nothing;
	const struct plan *p = plan_of(s);
	int map = map_of(s, MAP_TARGETS);
	struct qosd_target t;

	for (size_t i = 0; map >= 0 && p && i < p->forwards.n; i++)
		if (bpf_map_lookup_elem(map, &p->forwards.v[i].slot, &t) == 0 && t.ifindex == (uint32_t)ifindex)
			(void)bpf_map_update_elem(map, &p->forwards.v[i].slot, &nothing,
						  BPF_ANY); /* the run that follows does it too */
}
