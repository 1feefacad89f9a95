/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * plan_forward: the forwarding rules: a number for each, a slot for each device that they hand packets to, and one
 * program a hook behind the policy's filters.
 */
#include "planner.h"

#include <errno.h>
#include <net/if_arp.h>
#include <string.h>

#include "../bpf/qosd_abi.h"
#include "rules.h"
#include "tables.h"

static void want_maps(struct planner *p)
{
	plan_want_shared_map(p, MAP_FORWARDS, false);
	plan_want_shared_map(p, MAP_FORWARDS_STATS, true);
	plan_want_shared_map(p, MAP_FORWARDS_OFF, true);
	plan_want_shared_map(p, MAP_TARGETS, false);
	plan_want_shared_map(p, MAP_TARGETS_STATS, true);
}

static enum qosd_forward_mode mode_of(enum forward_mode m)
{
	switch (m) {
	case FORWARD_EGRESS: return QOSD_FORWARD_EGRESS;
	case FORWARD_INGRESS: return QOSD_FORWARD_INGRESS;
	case FORWARD_NEIGH: return QOSD_FORWARD_NEIGH;
	case FORWARD_PEER: return QOSD_FORWARD_PEER;
	case FORWARD_CLONE: return QOSD_FORWARD_CLONE;
	}
	return QOSD_FORWARD_NONE;
}

static bool kernel_has(struct planner *p, const struct model_forward *f)
{
	if (f->mode == FORWARD_NEIGH && !p->in->has_neigh)
		diag_error(p->d, f->mode_pos, "no-kernel-support",
			   "this kernel has no bpf_redirect_neigh, which mode neigh needs");
	else if (f->mode == FORWARD_PEER && !p->in->has_peer)
		diag_error(p->d, f->mode_pos, "no-kernel-support",
			   "this kernel has no bpf_redirect_peer, which mode peer needs");
	else
		return true;
	return false;
}

/* Why a device can take no packets now, or "". */
static const char *away(const struct link *l, enum forward_mode mode)
{
	if (!l)
		return "not there";
	if (!l->up)
		return "down";
	if (!l->running)
		return "no carrier";
	if (mode == FORWARD_PEER && !l->peer_elsewhere)
		return "no peer in another namespace";
	return "";
}

static void want_target(struct planner *p, const struct model_forward *f, uint32_t slot)
{
	const struct link *l = links_by_name(p->in->links, f->dev);
	struct qosd_target t = {0};

	if (!l || !l->running) /* an entry that is not wanted is all zero, which says the same */
		return;
	t.ifindex = (uint32_t)l->ifindex;
	t.l2_len = plan_has_ethernet_header(l) ? PLAN_ETHERNET_HEADER : 0;
	t.peer = l->peer_elsewhere;
	t.vlan = strcmp(l->kind, "vlan") == 0;
	memcpy(t.mac, l->mac, sizeof(t.mac));
	plan_want_entry(p, f->dev_pos, arena_printf(p->a, "device %s of forwarding rule %s", f->dev, f->name),
			maps_name(MAP_TARGETS), &slot, sizeof(slot), &t, sizeof(t));
}

static bool has_slot(const struct plan *plan, const char *dev)
{
	for (size_t i = 0; i < plan->forwards.n; i++)
		if (strcmp(plan->forwards.v[i].rule->dev, dev) == 0)
			return true;
	return false;
}

/* No error: a container may be on its way there, and everything else is good. */
static void warn_without_peer(struct planner *p, const struct model_forward *f)
{
	const struct link *l = links_by_name(p->in->links, f->dev);

	if (f->mode == FORWARD_PEER && l && !l->peer_elsewhere)
		diag_warning(
			p->d, f->dev_pos, "no-peer",
			"\"%s\" has no peer in another namespace now, which mode peer needs: its packets are missed",
			f->dev);
}

/* A rule that leads elsewhere is another one to the kernel: until the reload comes to its hook, the program there takes
 * what the old rule matched, and must send it where the old rule did. */
static const char *redirect_name(struct planner *p, const struct model_forward *f)
{
	char text[TEXT_MAX];

	return arena_printf(p->a, "%s %d %s %s", f->name, mode_of(f->mode), f->dev,
			    f->has_nexthop ? text_format_prefix(text, &f->nexthop) : "");
}

static void want_rule(struct planner *p, const struct model_forward *f)
{
	int number = handles_get(p->handles, "forward", f->name, 1, QOSD_FORWARD_NUMBERS - 1);
	int redirect = handles_get(p->handles, "redirect", redirect_name(p, f), 1, QOSD_FORWARD_NUMBERS - 1);
	int slot = handles_get(p->handles, "target", f->dev, 0, QOSD_TARGETS_MAX - 1);
	struct qosd_forward_conf conf = {.mode = mode_of(f->mode),
					 .miss_drop = f->on_miss == ON_MISS_DROP,
					 .off = !p->in->model->fast_path,
					 .target = (uint32_t)slot,
					 .rule = (uint32_t)number};
	bool known = has_slot(p->plan, f->dev);
	uint32_t key = (uint32_t)redirect;

	if (number < 0 || redirect < 0 || slot < 0) {
		diag_error(p->d, f->pos, "too-many-rules", "forwarding rule %s is one too many, there can be %d",
			   f->name, QOSD_FORWARDS_MAX);
		return;
	}
	if (f->has_nexthop) {
		conf.nexthop = f->nexthop.v4 ? 4 : 6;
		memcpy(&conf.address, &f->nexthop.addr, sizeof(conf.address));
	}
	*vec_add(p->a, &p->plan->forwards) = (struct plan_forward){
		.rule = f,
		.number = (uint32_t)number,
		.redirect = key,
		.slot = (uint32_t)slot,
		.away = away(links_by_name(p->in->links, f->dev), f->mode),
		.refused = "",
	};
	warn_without_peer(p, f);
	plan_want_entry(p, f->pos, arena_printf(p->a, "forwarding rule %s", f->name), maps_name(MAP_FORWARDS), &key,
			sizeof(key), &conf, sizeof(conf));
	if (!known)
		want_target(p, f, (uint32_t)slot);
}

static int name_rule(void *ctx, const struct model_class *c)
{
	const struct planner *p = ctx;

	for (size_t i = 0; i < p->plan->forwards.n; i++)
		if (p->plan->forwards.v[i].rule->cls == c)
			return (int)p->plan->forwards.v[i].redirect;
	return 0; /* the kernel cannot do it, which was told */
}

/* The policy is in force, and no one interface may be an error. */
static void leave_alone(struct planner *p, const struct model_forwarding *f, const char *why)
{
	for (size_t i = 0; i < p->plan->forwards.n; i++)
		if (p->plan->forwards.v[i].rule->dir == f->dir && !strcmp(p->plan->forwards.v[i].rule->on, f->ifname))
			p->plan->forwards.v[i].refused = why;
	diag_warning(p->d, f->rules[0]->pos, "foreign-qdisc", "%s; until then nothing is forwarded there", why);
}

/* Behind whatever the policy has there. */
static void want_hook(struct planner *p, const struct model_forwarding *f)
{
	const struct link *l = links_by_name(p->in->links, f->ifname);
	const struct tables_names names = {name_rule, plan_name_set, plan_name_ifindex, p};
	struct prog_spec *spec = arena_new_of(p->a, struct prog_spec);
	struct plan_hook at = {.ifname = f->ifname, .dir = f->dir, .at = f->dir};
	struct pos pos = f->rules[0]->pos;
	const char *foreign;

	if (!l) {
		plan_add_waiting(p, f->ifname);
		return;
	}
	foreign = f->dir == DIR_EGRESS && p->in->follows ? plan_foreign_ingress(p, l) : "";
	if (*foreign) {
		leave_alone(p, f, foreign);
		return;
	}
	at.ifindex = l->ifindex;
	spec->kind = PROG_FORWARD;
	spec->conf.ingress = f->dir == DIR_INGRESS;
	spec->conf.l2_len = plan_has_ethernet_header(l) ? PLAN_ETHERNET_HEADER : 0;
	spec->tables = tables_build(p->a, p->d, rules_build(p->a, p->d, p->in->model, f->hook), &names);
	if (!spec->tables)
		return;
	plan_want_clsact(p, &at, pos);
	plan_want_filter(
		p, &at, pos,
		arena_printf(p->a, "forwarding on %s %s", f->ifname, f->dir == DIR_INGRESS ? "ingress" : "egress"),
		spec, KOBJ_PREF_FORWARD, 1)
		->da = true;
}

void plan_forward(struct planner *p)
{
	const struct model *m = p->in->model;

	if (!m->n_forwards)
		return;
	want_maps(p);
	for (size_t i = 0; i < m->n_forwards; i++)
		if (kernel_has(p, &m->forwards[i]))
			want_rule(p, &m->forwards[i]);
	for (size_t i = 0; i < m->n_forwardings; i++)
		want_hook(p, &m->forwardings[i]);
}
