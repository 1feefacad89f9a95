/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rules across the forwarding rules of a model: what the kernel cannot do, what goes round, what goes past shaping.
 */
#include "model.h"

#include "../bpf/qosd_abi.h"
#include "rules.h"

#include <netinet/in.h>
#include <string.h>

struct checker {
	struct diag *d;
	const struct model *m;
	struct arena *a; /* until the check ends */
};

static void check_mode(struct checker *k, const struct model_forward *f)
{
	if (f->mode == FORWARD_PEER && f->dir == DIR_EGRESS)
		diag_error(k->d, f->mode_pos, "peer-on-egress",
			   "mode peer is possible on ingress only: the kernel hands a packet that is being sent to no "
			   "peer");
	if (f->has_nexthop && f->mode != FORWARD_NEIGH)
		diag_error(k->d, f->nexthop_pos, "wrong-mode",
			   "\"nexthop\" belongs to mode neigh: no other mode asks for a neighbour");
	if (f->mode == FORWARD_CLONE && f->on_miss == ON_MISS_DROP)
		diag_warning(k->d, f->mode_pos, "no-effect",
			     "\"on-miss: drop\" has no effect with mode clone: what was to be copied goes on");
}

static bool is_unicast(const struct prefix *p)
{
	const uint8_t *a = p->addr.s6_addr;

	if (p->v4)
		return a[12] != 0 && a[12] != 127 && a[12] < 224;
	return a[0] != 0xff && !IN6_IS_ADDR_UNSPECIFIED(&p->addr) && !IN6_IS_ADDR_LOOPBACK(&p->addr);
}

/* Does every packet of the rule have this address family? */
static bool only_family(const struct rules *r, const struct model_forward *f, uint32_t family)
{
	struct range range = {family, family};
	struct literal l = {.field = FIELD_FAMILY, .ranges = &range, .n = 1};
	const struct rule wide = {.literals = &l, .n = 1};
	bool some = false;

	for (size_t i = 0; i < r->n; i++) {
		if (r->v[i].cls != f->cls)
			continue;
		some = true;
		if (!rule_implies(&r->v[i], &wide))
			return false;
	}
	return some;
}

/* r: NULL where nothing is known of the matches. */
static void check_nexthop(struct checker *k, const struct rules *r, const struct model_forward *f)
{
	char text[TEXT_MAX];

	if (!f->has_nexthop)
		return;
	if (!is_unicast(&f->nexthop))
		diag_error(k->d, f->nexthop_pos, "bad-address", "%s is not the address of a neighbour",
			   text_format_prefix(text, &f->nexthop));
	else if (r && f->nexthop.v4 && only_family(r, f, 6))
		diag_error(
			k->d, f->nexthop_pos, "bad-address",
			"%s cannot be the next hop of IPv6: IPv4 may go by way of an IPv6 neighbour, not the reverse",
			text_format_prefix(text, &f->nexthop));
}

/* What arrives goes to an ifb before any rule could see it, and comes back behind all of them. */
static void check_ifb(struct checker *k, const struct model_forward *f)
{
	const struct model_interface *iface = model_interface_for(k->m, f->on);

	if (f->dir != DIR_INGRESS || !iface || !iface->ingress || !iface->ingress->via_ifb)
		return;
	diag_error(k->d, f->on_pos, "forward-ifb",
		   "what arrives on \"%s\" goes through an ifb, which no forwarding rule on its ingress can see",
		   f->on);
	diag_note(k->d, iface->ingress->pos, "because of \"via: ifb\" here");
}

static void check_around(struct checker *k, const struct model_forward *f)
{
	const struct model_interface *iface = model_interface_for(k->m, f->dev);

	if (f->mode != FORWARD_PEER || !iface || !iface->egress)
		return;
	diag_warning(k->d, f->mode_pos, "around-shaping",
		     "mode peer goes around the egress policy of \"%s\"; mode neigh goes through it", f->dev);
	diag_note(k->d, iface->egress->pos, "the policy");
}

/* The departure time of a packet goes with it, for the fq of the other device. */
static bool keeps_its_time(const struct checker *k, const struct model_forward *f)
{
	const struct model_interface *to = model_interface_for(k->m, f->dev);

	return f->mode != FORWARD_INGRESS && to && to->egress && to->egress->type == POLICY_EDT;
}

/* What a rule takes from an egress hook never comes to the qdisc there. */
static void check_leaving(struct checker *k, const struct model_forward *f)
{
	const struct model_interface *from = model_interface_for(k->m, f->on);

	if (f->dir != DIR_EGRESS || f->mode == FORWARD_CLONE || !from || !from->egress)
		return;
	if (from->egress->type != POLICY_HTB && (from->egress->type != POLICY_EDT || keeps_its_time(k, f)))
		return;
	diag_warning(k->d, f->on_pos, "around-shaping",
		     "the egress policy of \"%s\" counts what this rule takes, and does not delay it", f->on);
	diag_note(k->d, from->egress->pos, "the policy");
}

/* ---- loops ----
 * A packet that a rule hands to the ingress or egress of a device comes to the rules of that hook. */

static bool leads_to(const struct model_forward *f, const struct model_forward *next)
{
	enum direction dir = f->mode == FORWARD_INGRESS ? DIR_INGRESS : DIR_EGRESS;

	return f->mode != FORWARD_PEER && next->dir == dir && !strcmp(f->dev, next->on);
}

/* Can what a takes be taken by b, too? Only a contradiction of their matches that is visible rules that out. */
static bool may_meet(const struct rules *of_a, const struct model_forward *a, const struct rules *of_b,
		     const struct model_forward *b)
{
	for (size_t i = 0; i < of_a->n; i++) {
		for (size_t j = 0; j < of_b->n; j++) {
			if (of_a->v[i].cls != a->cls || of_b->v[j].cls != b->cls)
				continue;
			if (rules_may_meet(&of_a->v[i], &of_b->v[j]))
				return true;
		}
	}
	return false;
}

struct loops {
	struct checker *k;
	struct rules **rules; /* by number of the forwarding rule: those of its hook */
	bool *on_way, *done;
	bool told;
};

static void walk(struct loops *l, size_t from, size_t start)
{
	const struct model *m = l->k->m;

	l->on_way[from] = true;
	for (size_t i = 0; i < m->n_forwards && !l->told; i++) {
		const struct model_forward *a = &m->forwards[from], *b = &m->forwards[i];

		if (!leads_to(a, b) || l->done[i] || !may_meet(l->rules[from], a, l->rules[i], b))
			continue;
		if (i == start) {
			diag_warning(l->k->d, m->forwards[start].pos, "forward-loop",
				     "packets of rule \"%s\" come back to it%s: after %d devices they are dropped",
				     m->forwards[start].name, from == start ? "" : " by way of others", QOSD_HOPS_MAX);
			if (from != start)
				diag_note(l->k->d, a->pos, "rule \"%s\" closes the circle", a->name);
			l->told = true;
		} else if (!l->on_way[i]) {
			walk(l, i, start);
		}
	}
}

static void check_loops(struct checker *k, struct rules **rules)
{
	size_t n = k->m->n_forwards;
	struct loops l = {.k = k, .rules = rules, .done = arena_array(k->a, n, sizeof(bool))};

	for (size_t i = 0; i < n; i++) {
		l.on_way = arena_array(k->a, n, sizeof(bool));
		l.told = false;
		walk(&l, i, i);
		l.done[i] = true; /* what goes round through it was told */
	}
}

static void check_numbers(struct checker *k)
{
	for (size_t i = 0; i < k->m->n_forwards; i++) {
		const struct model_forward *f = &k->m->forwards[i];

		if (i == QOSD_FORWARDS_MAX)
			diag_error(k->d, f->pos, "too-many-rules",
				   "forwarding rule \"%s\" is one too many, there can be %d", f->name,
				   QOSD_FORWARDS_MAX);
	}
}

void model_check_forward(struct diag *d, const struct model *m, bool whole)
{
	struct checker k = {d, m, arena_new()};
	struct rules **rules = arena_array(k.a, m->n_forwards, sizeof(*rules));

	check_numbers(&k);
	for (size_t i = 0; whole && i < m->n_forwardings; i++) {
		struct rules *r = rules_build(k.a, d, m, m->forwardings[i].hook);

		for (size_t j = 0; j < m->forwardings[i].n; j++)
			rules[m->forwardings[i].rules[j] - m->forwards] = r;
	}
	for (size_t i = 0; i < m->n_forwards; i++) {
		const struct model_forward *f = &m->forwards[i];

		check_mode(&k, f);
		check_nexthop(&k, rules[i], f);
		check_ifb(&k, f);
		check_around(&k, f);
		check_leaving(&k, f);
	}
	if (whole && m->n_forwards <= QOSD_FORWARDS_MAX)
		check_loops(&k, rules);
	arena_free(k.a);
}
