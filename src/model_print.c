/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A policy as some hooks mean it: rates are those of a direction and of an interface, so one that was written may
 * become several. */
struct variant {
	const struct model_hook *hook; /* the first of them */
	const char *name;
	bool only;       /* of its policy */
	unsigned number; /* in its name; 0: not named yet */
};

struct printer {
	struct arena *a;
	FILE *out;
	const struct model *m;
	bool whole; /* what is in the CSV files too */
	struct {
		VEC(struct variant);
	} variants;
};

/* ---- equal ------------------------------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_value(enum match_key key, const struct match_value *a, const struct match_value *b)
{
	switch (key) {
	case MATCH_LOCAL:
	case MATCH_REMOTE:
	case MATCH_SRC:
	case MATCH_DST:
	case MATCH_HOST:
		if (a->is_set || b->is_set)
			return a->is_set && b->is_set && same_text(a->name, b->name);
		return !prefix_cmp(&a->prefix, &b->prefix);
	case MATCH_SERVICE:
	case MATCH_SERVER:
	case MATCH_CLIENT:
	case MATCH_IN_DEV: return same_text(a->name, b->name);
	case MATCH_MARK:
	case MATCH_TCP_FLAGS: return a->value == b->value && a->mask == b->mask;
	case MATCH_ICMP_TYPE: return a->icmp4 == b->icmp4 && a->icmp6 == b->icmp6;
	case MATCH_LOCAL_PORT:
	case MATCH_REMOTE_PORT:
	case MATCH_SPORT:
	case MATCH_DPORT:
	case MATCH_PORT:
	case MATCH_PROTO:
	case MATCH_DSCP:
	case MATCH_VLAN:
	case MATCH_FAMILY:
	case MATCH_LENGTH: return a->lo == b->lo && a->hi == b->hi;
	case MATCH_ALL:
	case MATCH_NOT:
	case MATCH_KEYS: break;
	}
	return true;
}

static bool same_item(const struct match_item *a, const struct match_item *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct match_term *s = &a->terms[i], *t = &b->terms[i];

		if (s->key != t->key || s->n != t->n || (s->key == MATCH_NOT && !same_item(s->item, t->item)))
			return false;
		for (size_t j = 0; j < s->n; j++)
			if (!same_value(s->key, &s->values[j], &t->values[j]))
				return false;
	}
	return true;
}

static bool same_list(const struct match_list *a, const struct match_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!same_item(&a->items[i], &b->items[i]))
			return false;
	return true;
}

static bool same_remark(const struct w_remark *a, const struct w_remark *b)
{
	if (a->has_dscp != b->has_dscp || a->has_mark != b->has_mark)
		return false;
	return (!a->has_dscp || a->dscp == b->dscp) && (!a->has_mark || (a->mark == b->mark && a->mask == b->mask));
}

static bool same_per(const struct model_per *a, const struct model_per *b)
{
	if (a->key != b->key || !a->set != !b->set || (a->set && strcmp(a->set->name, b->set->name) != 0))
		return false;
	return a->prefix4 == b->prefix4 && a->prefix6 == b->prefix6 && a->max == b->max &&
	       a->timeout_ns == b->timeout_ns && a->rate_Bps == b->rate_Bps && a->burst_ns == b->burst_ns &&
	       a->burst_bytes == b->burst_bytes;
}

/* What htb has beyond a policer. */
static bool same_queue(const struct model_class *a, const struct model_class *b)
{
	if (a->ceil_Bps != b->ceil_Bps || a->cburst != b->cburst || a->quantum != b->quantum || a->prio != b->prio)
		return false;
	return a->leaf_auto == b->leaf_auto && a->leaf_paced == b->leaf_paced && qdisc_same(&a->leaf, &b->leaf);
}

static bool same_class(const struct model_class *a, const struct model_class *b)
{
	if (!same_text(a->name, b->name) || a->rate_Bps != b->rate_Bps || a->burst != b->burst || a->mtu != b->mtu)
		return false;
	if (!same_queue(a, b) || !same_per(&a->per, &b->per))
		return false;
	if (a->exceed != b->exceed || a->exceed_dscp != b->exceed_dscp || a->conform != b->conform)
		return false;
	if (!same_remark(&a->remark, &b->remark) || !same_list(&a->match, &b->match) || a->n_children != b->n_children)
		return false;
	for (size_t i = 0; i < a->n_children; i++)
		if (!same_class(a->children[i], b->children[i]))
			return false;
	return true;
}

/* As what they do to traffic, wherever they are. */
static bool same_policy(const struct model_hook *a, const struct model_hook *b)
{
	return a->type == b->type && a->engine == b->engine && a->shards == b->shards &&
	       a->horizon_ns == b->horizon_ns && a->ecn_ns == b->ecn_ns && !a->dflt == !b->dflt &&
	       (!a->dflt || !strcmp(a->dflt->name, b->dflt->name)) && same_class(a->root, b->root);
}

static bool same_hook(const struct model_hook *a, const struct model_hook *b)
{
	if (!a || !b)
		return !a && !b;
	return a->dir == b->dir && a->up == b->up && a->side == b->side && a->via_ifb == b->via_ifb &&
	       same_policy(a, b);
}

static bool same_interface(const struct model_interface *a, const struct model_interface *b)
{
	const struct model_link *s = &a->link, *t = &b->link;

	return same_text(a->name, b->name) && a->glob == b->glob && a->side == b->side &&
	       s->linklayer == t->linklayer && s->overhead == t->overhead && s->l3_based == t->l3_based &&
	       s->mpu == t->mpu && same_hook(a->ingress, b->ingress) && same_hook(a->egress, b->egress);
}

static bool same_service(const struct model_service *a, const struct model_service *b)
{
	if (!same_text(a->name, b->name) || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct w_service_entry *s = &a->entries[i], *t = &b->entries[i];

		if (s->proto != t->proto || s->has_ports != t->has_ports)
			return false;
		if (s->has_ports && (s->lo != t->lo || s->hi != t->hi))
			return false;
	}
	return true;
}

static bool same_learn(const struct model_set *a, const struct model_set *b)
{
	if (a->learns != b->learns || a->learn.n_on != b->learn.n_on || a->learn.n_within != b->learn.n_within)
		return false;
	if (a->learn.from != b->learn.from || a->learn.timeout_ns != b->learn.timeout_ns ||
	    a->learn.max != b->learn.max || a->learn.when_full != b->learn.when_full)
		return false;
	for (size_t i = 0; i < a->learn.n_on; i++)
		if (!same_text(a->learn.on[i], b->learn.on[i]))
			return false;
	for (size_t i = 0; i < a->learn.n_within; i++)
		if (prefix_cmp(&a->learn.within[i], &b->learn.within[i]))
			return false;
	return true;
}

/* Who uses it is seen where it is used; policies that no interface has do not count. */
static bool same_set(const struct model_set *a, const struct model_set *b)
{
	if (!same_text(a->name, b->name) || !same_text(a->file, b->file) || a->n_elements != b->n_elements ||
	    !same_learn(a, b))
		return false;
	for (size_t i = 0; i < a->n_elements; i++) {
		const struct model_element *e = &a->elements[i], *f = &b->elements[i];

		if (prefix_cmp(&e->prefix, &f->prefix) || e->up_Bps != f->up_Bps || e->down_Bps != f->down_Bps)
			return false;
	}
	return true;
}

static bool same_forward(const struct model_forward *a, const struct model_forward *b)
{
	return same_text(a->name, b->name) && same_text(a->on, b->on) && same_text(a->dev, b->dev) &&
	       a->dir == b->dir && a->mode == b->mode && a->on_miss == b->on_miss && a->has_nexthop == b->has_nexthop &&
	       (!a->has_nexthop || !prefix_cmp(&a->nexthop, &b->nexthop)) && same_list(&a->match, &b->match);
}

bool model_equal(const struct model *a, const struct model *b)
{
	if (a->on_stop != b->on_stop || a->takeover != b->takeover || a->learned_save_ns != b->learned_save_ns ||
	    !same_list(&a->protect, &b->protect))
		return false;
	if (a->fast_path != b->fast_path || a->n_forwards != b->n_forwards)
		return false;
	if (a->n_sets != b->n_sets || a->n_services != b->n_services || a->n_interfaces != b->n_interfaces)
		return false;
	for (size_t i = 0; i < a->n_sets; i++)
		if (!same_set(a->sets[i], b->sets[i]))
			return false;
	for (size_t i = 0; i < a->n_services; i++)
		if (!same_service(a->services[i], b->services[i]))
			return false;
	for (size_t i = 0; i < a->n_interfaces; i++)
		if (!same_interface(&a->interfaces[i], &b->interfaces[i]))
			return false;
	for (size_t i = 0; i < a->n_forwards; i++)
		if (!same_forward(&a->forwards[i], &b->forwards[i]))
			return false;
	return true;
}

/* ---- scalars ----------------------------------------------------------------------------------------------------- */

/* What some YAML reader takes for a truth value or nothing. */
static bool is_yaml_word(const char *s)
{
	static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcasecmp(s, words[i]))
			return true;
	return false;
}

/* Plain where YAML leaves no doubt, else in double quotes. */
static void put_text(FILE *out, const char *s)
{
	bool plain = isalnum((unsigned char)*s) && !is_yaml_word(s);

	for (const char *c = s; *c && plain; c++)
		plain = isalnum((unsigned char)*c) || strchr("._/-%", *c);
	if (plain) {
		(void)fputs(s, out);
		return;
	}
	(void)fputc('"', out);
	for (const unsigned char *c = (const unsigned char *)s; *c; c++) {
		if (*c == '"' || *c == '\\')
			(void)fprintf(out, "\\%c", *c);
		else if (*c < 0x20 || *c == 0x7f)
			(void)fprintf(out, "\\x%02x", *c);
		else
			(void)fputc(*c, out);
	}
	(void)fputc('"', out);
}

/* Puts a prefix into text and returns what is behind it. An IPv4 address is plain for YAML, in an IPv6 address are
 * colons.
 */
static char *add_prefix(char *text, const struct prefix *p)
{
	const char *quote = p->v4 ? "" : "\"";
	char prefix[TEXT_MAX];

	return stpcpy(stpcpy(stpcpy(text, quote), text_format_prefix(prefix, p)), quote);
}

static void put_prefix(FILE *out, const struct prefix *p)
{
	char text[TEXT_MAX + 2]; /* its quotes */

	(void)add_prefix(text, p);
	(void)fputs(text, out);
}

static void put_range(FILE *out, uint32_t lo, uint32_t hi)
{
	(void)fprintf(out, lo == hi ? "%" PRIu32 : "%" PRIu32 "-%" PRIu32, lo, hi);
}

static void put_mark(FILE *out, uint32_t value, uint32_t mask)
{
	(void)fprintf(out, mask == UINT32_MAX ? "0x%" PRIx32 : "0x%" PRIx32 "/0x%" PRIx32, value, mask);
}

/* ---- matches ----------------------------------------------------------------------------------------------------- */

static void put_flag_names(FILE *out, uint32_t flags)
{
	static const char *const names[] = {"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"};
	const char *comma = "";

	if (!flags)
		(void)fputs("none", out);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!(flags & 1u << i))
			continue;
		(void)fprintf(out, "%s%s", comma, names[i]);
		comma = ",";
	}
}

static void put_tcp_flags(FILE *out, uint32_t value, uint32_t mask)
{
	(void)fputc('"', out);
	put_flag_names(out, value);
	(void)fputc('/', out);
	put_flag_names(out, mask);
	(void)fputc('"', out);
}

/* The name that text_icmp_type reads as just these two; a number is one that both families share. */
static void put_icmp_type(FILE *out, int type4, int type6)
{
	static const char *const names[] = {
		"echo-request",
		"echo-reply",
		"destination-unreachable",
		"packet-too-big",
		"time-exceeded",
		"parameter-problem",
		"source-quench",
		"redirect",
		"router-solicitation",
		"router-advertisement",
		"timestamp-request",
		"timestamp-reply",
		"neighbour-solicitation",
		"neighbour-advertisement",
		"mld-query",
		"mld-report",
		"mld-done",
		"mld2-report",
	};
	const char *why;
	int v4, v6;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (text_icmp_type(names[i], &v4, &v6, &why) || v4 != type4 || v6 != type6)
			continue;
		(void)fputs(names[i], out);
		return;
	}
	(void)fprintf(out, "%d", type4);
}

static void put_value(FILE *out, enum match_key key, const struct match_value *v)
{
	char text[TEXT_MAX];

	switch (key) {
	case MATCH_LOCAL:
	case MATCH_REMOTE:
	case MATCH_SRC:
	case MATCH_DST:
	case MATCH_HOST:
		if (v->is_set)
			(void)fprintf(out, "\"@%s\"", v->name);
		else
			put_prefix(out, &v->prefix);
		return;
	case MATCH_SERVICE:
	case MATCH_SERVER:
	case MATCH_CLIENT:
	case MATCH_IN_DEV: put_text(out, v->name); return;
	case MATCH_MARK: put_mark(out, v->value, v->mask); return;
	case MATCH_TCP_FLAGS: put_tcp_flags(out, v->value, v->mask); return;
	case MATCH_ICMP_TYPE: put_icmp_type(out, v->icmp4, v->icmp6); return;
	case MATCH_PROTO: (void)fputs(text_format_proto(text, (uint8_t)v->lo), out); return;
	case MATCH_DSCP: (void)fputs(text_format_dscp(text, (uint8_t)v->lo), out); return;
	case MATCH_FAMILY: (void)fputs(v->lo == 4 ? "ipv4" : "ipv6", out); return;
	case MATCH_LOCAL_PORT:
	case MATCH_REMOTE_PORT:
	case MATCH_SPORT:
	case MATCH_DPORT:
	case MATCH_PORT:
	case MATCH_VLAN:
	case MATCH_LENGTH: put_range(out, v->lo, v->hi); return;
	case MATCH_ALL:
	case MATCH_NOT:
	case MATCH_KEYS: return;
	}
}

static void put_item(FILE *out, const struct match_item *item);

static void put_term(FILE *out, const struct match_term *t)
{
	(void)fprintf(out, "%s: ", match_key_name(t->key));
	if (t->key == MATCH_ALL) {
		(void)fputs("true", out);
		return;
	}
	if (t->key == MATCH_NOT) {
		put_item(out, t->item);
		return;
	}
	if (t->n != 1)
		(void)fputc('[', out);
	for (size_t i = 0; i < t->n; i++) {
		(void)fputs(i ? ", " : "", out);
		put_value(out, t->key, &t->values[i]);
	}
	if (t->n != 1)
		(void)fputc(']', out);
}

static void put_item(FILE *out, const struct match_item *item)
{
	(void)fputc('{', out);
	for (size_t i = 0; i < item->n; i++) {
		(void)fputs(i ? ", " : "", out);
		put_term(out, &item->terms[i]);
	}
	(void)fputc('}', out);
}

static void put_matches(FILE *out, int indent, const char *key, const struct match_list *list)
{
	if (!list->n)
		return;
	(void)fprintf(out, "%*s%s:\n", indent, "", key);
	for (size_t i = 0; i < list->n; i++) {
		(void)fprintf(out, "%*s- ", indent + 2, "");
		put_item(out, &list->items[i]);
		(void)fputc('\n', out);
	}
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */

static void print_settings(struct printer *p)
{
	static const char *const on_stop[] = {[ON_STOP_KEEP] = "keep", [ON_STOP_REMOVE] = "remove"};
	static const char *const takeover[] = {[TAKEOVER_REFUSE] = "refuse", [TAKEOVER_REPLACE] = "replace"};
	char save[TEXT_MAX];

	(void)fprintf(p->out, "settings:\n  on-stop: %s\n  takeover: %s\n", on_stop[p->m->on_stop],
		      takeover[p->m->takeover]);
	put_matches(p->out, 2, "protect", &p->m->protect);
	(void)fprintf(p->out, "  learned: {save: %s}\n", text_format_time(save, p->m->learned_save_ns));
	if (p->m->n_forwards || !p->m->fast_path)
		(void)fprintf(p->out, "  fast-path: %s\n", p->m->fast_path ? "on" : "off");
}

static char *add_rate(char *text, const char *name, uint64_t Bps)
{
	char rate[TEXT_MAX];

	return Bps ? stpcpy(stpcpy(text, name), text_format_rate(rate, Bps)) : text;
}

/* A rate that is none is left out of the pair. There may be 100,000 lines. */
static void print_element(FILE *out, const struct model_element *e)
{
	bool rated = e->up_Bps || e->down_Bps;
	char line[4 * TEXT_MAX], *end = stpcpy(line, rated ? "      - {address: " : "      - ");

	end = add_prefix(end, &e->prefix);
	end = add_rate(end, ", up: ", e->up_Bps);
	end = add_rate(end, ", down: ", e->down_Bps);
	(void)stpcpy(end, rated ? "}\n" : "\n"); /* TEXT_MAX for each of the three, and one for what is between them */
	(void)fputs(line, out);
}

/* Those of the CSV file stay there, unless all of it is wanted. */
static void print_elements(FILE *out, const struct model_set *s, bool whole)
{
	size_t here = 0;

	for (size_t i = 0; i < s->n_elements; i++) {
		if (!whole && s->elements[i].pos.file != s->pos.file)
			continue;
		if (!here++)
			(void)fputs("    elements:\n", out);
		print_element(out, &s->elements[i]);
	}
	if (!here && (whole || !s->file) && !s->learns)
		(void)fputs("    elements: []\n", out);
	if (whole || !s->file)
		return;
	(void)fputs("    file: ", out);
	put_text(out, s->file);
	(void)fprintf(out, " # %zu address%s\n", s->n_elements - here, s->n_elements - here == 1 ? "" : "es");
}

static void print_learn(FILE *out, const struct model_set *s)
{
	static const struct {
		enum learn_from bit;
		const char *name;
	} froms[] = {{LEARN_IP, "ip"}, {LEARN_ARP, "arp"}, {LEARN_ND, "nd"}};
	const char *comma = "";
	char timeout[TEXT_MAX];

	(void)fputs("    learn:\n      on: [", out);
	for (size_t i = 0; i < s->learn.n_on; i++) {
		(void)fputs(i ? ", " : "", out);
		put_text(out, s->learn.on[i]);
	}
	(void)fputs("]\n", out);
	for (size_t i = 0; i < s->learn.n_within; i++) {
		(void)fputs(i ? ", " : "      within: [", out);
		put_prefix(out, &s->learn.within[i]);
	}
	(void)fprintf(out, "%s      from: [", s->learn.n_within ? "]\n" : "");
	for (size_t i = 0; i < sizeof(froms) / sizeof(*froms); i++) {
		if (!(s->learn.from & froms[i].bit))
			continue;
		(void)fprintf(out, "%s%s", comma, froms[i].name);
		comma = ", ";
	}
	(void)fprintf(out, "]\n      timeout: %s\n      max: %" PRIu32 "\n      when-full: %s\n",
		      text_format_time(timeout, s->learn.timeout_ns), s->learn.max,
		      s->learn.when_full == FULL_EVICT_OLDEST ? "evict-oldest" : "refuse");
}

static void print_sets(struct printer *p)
{
	if (p->m->n_sets)
		(void)fputs("sets:\n", p->out);
	for (size_t i = 0; i < p->m->n_sets; i++) {
		const struct model_set *s = p->m->sets[i];

		(void)fputs("  ", p->out);
		put_text(p->out, s->name);
		(void)fputs(":\n", p->out);
		print_elements(p->out, s, p->whole);
		if (s->learns)
			print_learn(p->out, s);
	}
}

static void print_services(struct printer *p)
{
	char proto[TEXT_MAX];

	if (p->m->n_services)
		(void)fputs("services:\n", p->out);
	for (size_t i = 0; i < p->m->n_services; i++) {
		const struct model_service *s = p->m->services[i];

		(void)fputs("  ", p->out);
		put_text(p->out, s->name);
		(void)fputs(": [", p->out);
		for (size_t j = 0; j < s->n; j++) {
			const struct w_service_entry *e = &s->entries[j];

			(void)fprintf(p->out, "%s%s", j ? ", " : "", text_format_proto(proto, e->proto));
			if (e->has_ports) {
				(void)fputc('/', p->out);
				put_range(p->out, e->lo, e->hi);
			}
		}
		(void)fputs("]\n", p->out);
	}
}

static void print_rate(FILE *out, int indent, const struct model_class *c)
{
	char rate[TEXT_MAX], burst[TEXT_MAX];
	unsigned __int128 ms;

	if (!c->rate_Bps)
		return;
	ms = ((unsigned __int128)c->burst * 1000 + c->rate_Bps / 2) / c->rate_Bps;
	(void)fprintf(out, "%*srate: %s\n%*sburst: %s # %" PRIu64 " ms\n", indent, "",
		      text_format_rate(rate, c->rate_Bps), indent, "", text_format_size(burst, c->burst), (uint64_t)ms);
}

/* Its duration behind it, as htb takes it. */
static void print_htb_burst(FILE *out, int indent, const char *key, uint64_t burst, uint64_t Bps)
{
	unsigned __int128 us = ((unsigned __int128)burst * 1000000 + Bps / 2) / Bps;
	char text[TEXT_MAX];

	(void)fprintf(out, "%*s%s: %s # %" PRIu64 " us\n", indent, "", key, text_format_size(text, burst),
		      (uint64_t)us);
}

/* All its parameters; what was not written may be another number in another version. */
static void print_leaf(FILE *out, int indent, const struct qdisc *q)
{
	const struct qdisc_param *params;
	char value[TEXT_MAX];
	size_t n;

	(void)fprintf(out, "%*sleaf: {qdisc: %s", indent, "", qdisc_name(q->kind));
	params = qdisc_params(q->kind, &n);
	for (size_t i = 0; i < n; i++) {
		bool raw = q->kind == QDISC_CAKE && q->cake.raw; /* "overhead: 0" would be something else */

		if (!raw || strcmp(params[i].name, "overhead") != 0)
			(void)fprintf(out, ", %s: %s", params[i].name,
				      qdisc_format(value, &params[i], qdisc_get(q, &params[i])));
	}
	(void)fputs("}\n", out);
}

/* Keys that have only the rates of the set in this direction: they have one in the other, the policy says, and as this
 * is not used there, any will do. */
static void print_no_key_rate(FILE *out, bool up)
{
	(void)fprintf(out, ", rate: {%s: 8bit}} # none %s\n", up ? "down" : "up", up ? "up" : "down");
}

static void print_per(FILE *out, int indent, const struct model_per *per, bool up)
{
	static const char *const keys[] = {
		[PER_LOCAL] = "local", [PER_REMOTE] = "remote", [PER_SRC] = "src", [PER_DST] = "dst"};
	char text[TEXT_MAX];

	(void)fprintf(out, "%*sper: {key: %s", indent, "", keys[per->key]);
	if (per->set) {
		(void)fputs(", set: ", out);
		put_text(out, per->set->name);
	}
	(void)fprintf(out, ", prefix4: %u, prefix6: %u, max: %" PRIu32 ", timeout: %s", per->prefix4, per->prefix6,
		      per->max, text_format_time(text, per->timeout_ns));
	if (per->rate_Bps)
		(void)fprintf(out, ", rate: %s}\n", text_format_rate(text, per->rate_Bps));
	else
		print_no_key_rate(out, up);
}

/* The root's ceil is its rate, its mtu the usual one. */
static void print_htb_root(FILE *out, int indent, const struct model_class *c)
{
	char rate[TEXT_MAX];

	(void)fprintf(out, "%*srate: %s\n", indent, "", text_format_rate(rate, c->rate_Bps));
	print_htb_burst(out, indent, "burst", c->burst, c->rate_Bps);
	print_htb_burst(out, indent, "cburst", c->cburst, c->ceil_Bps);
}

static void print_htb(FILE *out, int indent, const struct model_class *c, bool up)
{
	char text[TEXT_MAX];

	(void)fprintf(out, "%*srate: %s\n", indent, "", text_format_rate(text, c->rate_Bps));
	(void)fprintf(out, "%*sceil: %s\n", indent, "", text_format_rate(text, c->ceil_Bps));
	print_htb_burst(out, indent, "burst", c->burst, c->rate_Bps);
	print_htb_burst(out, indent, "cburst", c->cburst, c->ceil_Bps);
	(void)fprintf(out, "%*smtu: %s\n", indent, "", text_format_size(text, c->mtu));
	if (c->per.key)
		print_per(out, indent, &c->per, up);
	if (c->n_children)
		return;
	(void)fprintf(out, "%*squantum: %s\n", indent, "", text_format_size(text, c->quantum));
	(void)fprintf(out, "%*sprio: %" PRIu32 "\n", indent, "", c->prio);
	if (c->leaf_paced)
		(void)fprintf(out, "%*s# leaf: fq, in which packets wait for the rate of their address\n", indent, "");
	else if (c->leaf_auto)
		(void)fprintf(out, "%*s# leaf: fq_codel, or where the kernel has none a pfifo of 100 ms\n", indent, "");
	else
		print_leaf(out, indent, &c->leaf);
}

static void print_exceed(FILE *out, int indent, const struct model_class *c)
{
	char dscp[TEXT_MAX];

	switch (c->exceed) {
	case EXCEED_DROP:
		if (c->rate_Bps || c->per.key)
			(void)fprintf(out, "%*sexceed: drop\n", indent, "");
		return;
	case EXCEED_PASS: (void)fprintf(out, "%*sexceed: pass\n", indent, ""); return;
	case EXCEED_DSCP:
		(void)fprintf(out, "%*sexceed: {dscp: %s}\n", indent, "", text_format_dscp(dscp, c->exceed_dscp));
		return;
	}
}

static void print_remark(FILE *out, int indent, const struct w_remark *r)
{
	char dscp[TEXT_MAX];

	if (!r->has_dscp && !r->has_mark)
		return;
	(void)fprintf(out, "%*sremark: {", indent, "");
	if (r->has_dscp)
		(void)fprintf(out, "dscp: %s%s", text_format_dscp(dscp, r->dscp), r->has_mark ? ", " : "");
	if (r->has_mark) {
		(void)fputs("mark: ", out);
		put_mark(out, r->mark, r->mask);
	}
	(void)fputs("}\n", out);
}

/* Of a burst "m" is mega: minutes are written as seconds. */
static char *format_burst_time(char buf[TEXT_MAX], uint64_t ns)
{
	text_format_time(buf, ns);
	if (ns && buf[strlen(buf) - 1] == 'm')
		(void)snprintf(buf, TEXT_MAX, "%" PRIu64 "s", ns / 1000000000u);
	return buf;
}

/* A class with per: the burst is of each key as well, so that it stays a time or a size as it was written. */
static void print_key_rates(FILE *out, int indent, const struct model_class *c, bool up)
{
	const struct model_per *per = &c->per;
	char time[TEXT_MAX], size[TEXT_MAX];

	if (c->rate_Bps)
		(void)fprintf(out, "%*srate: %s\n", indent, "", text_format_rate(time, c->rate_Bps));
	format_burst_time(time, per->burst_ns);
	text_format_size(size, per->burst_bytes);
	if (per->burst_ns && per->burst_bytes)
		(void)fprintf(out, "%*s# burst: %s of a rate, and at least %s\n", indent, "", time, size);
	else if (per->burst_ns || per->burst_bytes)
		(void)fprintf(out, "%*sburst: %s\n", indent, "", per->burst_ns ? time : size);
	print_per(out, indent, per, up);
}

static void print_police(FILE *out, int indent, const struct model_class *c, bool up)
{
	char mtu[TEXT_MAX];

	if (c->per.key)
		print_key_rates(out, indent, c, up);
	else
		print_rate(out, indent, c);
	if (c->mtu)
		(void)fprintf(out, "%*smtu: %s\n", indent, "", text_format_size(mtu, c->mtu));
	print_exceed(out, indent, c);
	if (c->conform == CONFORM_CONTINUE)
		(void)fprintf(out, "%*sconform: continue\n", indent, "");
}

/* The burst is not written: it counts only where the kernel has no fq. */
static void print_edt_rate(FILE *out, int indent, const struct model_class *c, const struct model_hook *h)
{
	char rate[TEXT_MAX], burst[TEXT_MAX];

	if (c->rate_Bps)
		(void)fprintf(out, "%*srate: %s\n", indent, "", text_format_rate(rate, c->rate_Bps));
	if (c->per.key)
		print_per(out, indent, &c->per, h->up);
	if (h->engine == ENGINE_AUTO && c->rate_Bps)
		(void)fprintf(out, "%*s# without fq policed, with a burst of %s\n", indent, "",
			      text_format_size(burst, c->burst));
}

static void print_waits(FILE *out, int indent, const struct model_hook *h)
{
	char horizon[TEXT_MAX], ecn[TEXT_MAX] = "off";

	if (h->ecn_ns)
		text_format_time(ecn, h->ecn_ns);
	(void)fprintf(out, "%*shorizon: %s\n%*secn: %s\n", indent, "", text_format_time(horizon, h->horizon_ns), indent,
		      "", ecn);
}

static void print_classes(FILE *out, int indent, const struct model_class *parent, const struct model_hook *h)
{
	if (!parent->n_children)
		return;
	(void)fprintf(out, "%*sclasses:\n", indent, "");
	for (size_t i = 0; i < parent->n_children; i++) {
		const struct model_class *c = parent->children[i];

		(void)fprintf(out, "%*s- name: ", indent + 2, "");
		put_text(out, c->name);
		(void)fputc('\n', out);
		switch (h->type) {
		case POLICY_POLICE: print_police(out, indent + 4, c, h->up); break;
		case POLICY_EDT: print_edt_rate(out, indent + 4, c, h); break;
		case POLICY_HTB: print_htb(out, indent + 4, c, h->up); break;
		}
		print_remark(out, indent + 4, &c->remark);
		put_matches(out, indent + 4, "match", &c->match);
		print_classes(out, indent + 4, c, h);
	}
}

static const char *const engines[] = {
	[ENGINE_AUTO] = "auto", [ENGINE_TC] = "tc", [ENGINE_BPF] = "bpf", [ENGINE_FQ] = "fq"};
static const char *const types[] = {[POLICY_POLICE] = "police", [POLICY_EDT] = "edt", [POLICY_HTB] = "htb"};

static void print_policies(struct printer *p)
{
	if (p->variants.n)
		(void)fputs("policies:\n", p->out);
	for (size_t i = 0; i < p->variants.n; i++) {
		const struct variant *v = &p->variants.v[i];
		const struct model_hook *h = v->hook;

		(void)fputs("  ", p->out);
		put_text(p->out, v->name);
		(void)fputc(':', p->out);
		if (!v->only)
			(void)fprintf(p->out, " # %s", h->policy);
		(void)fprintf(p->out, "\n    type: %s\n", types[h->type]);
		if (h->type == POLICY_HTB) {
			print_htb_root(p->out, 4, h->root);
			if (h->shards)
				(void)fputs("    shards: auto\n", p->out);
		} else {
			(void)fprintf(p->out, "    engine: %s\n", engines[h->engine]);
			if (h->type == POLICY_EDT)
				print_edt_rate(p->out, 4, h->root, h);
			else
				print_rate(p->out, 4, h->root);
		}
		if (h->paces)
			print_waits(p->out, 4, h);
		(void)fputs("    default: ", p->out);
		put_text(p->out, h->dflt ? h->dflt->name : "pass");
		(void)fputc('\n', p->out);
		print_classes(p->out, 4, h->root, h);
	}
}

static void print_link(FILE *out, const struct model_link *l)
{
	static const char *const layers[] = {[LINK_ETHERNET] = "ethernet", [LINK_ATM] = "atm", [LINK_PTM] = "ptm"};

	if (l->l3_based)
		(void)fprintf(out, "    link: {preset: %s} # %s, overhead %d, mpu %" PRIu32 "\n", model_link_preset(l),
			      layers[l->linklayer], l->overhead, l->mpu);
	else
		(void)fprintf(out, "    link: {linklayer: %s, overhead: %d, mpu: %" PRIu32 "}\n", layers[l->linklayer],
			      l->overhead, l->mpu);
}

static const struct variant *variant_of(const struct printer *p, const struct model_hook *h)
{
	for (size_t i = 0; i < p->variants.n; i++)
		if (!strcmp(p->variants.v[i].hook->policy, h->policy) && same_policy(p->variants.v[i].hook, h))
			return &p->variants.v[i];
	return NULL;
}

static void print_hook(struct printer *p, const char *key, const struct model_hook *h)
{
	if (!h)
		return;
	(void)fprintf(p->out, "    %s: {policy: ", key);
	put_text(p->out, variant_of(p, h)->name);
	(void)fprintf(p->out, "%s}%s\n", h->via_ifb ? ", via: ifb" : "",
		      h->side == SIDE_NONE ? ""
		      : h->up              ? " # up"
					   : " # down");
}

static void print_interfaces(struct printer *p)
{
	if (p->m->n_interfaces)
		(void)fputs("interfaces:\n", p->out);
	for (size_t i = 0; i < p->m->n_interfaces; i++) {
		const struct model_interface *iface = &p->m->interfaces[i];

		(void)fputs("  ", p->out);
		put_text(p->out, iface->name);
		(void)fputs(":\n", p->out);
		if (iface->side != SIDE_NONE)
			(void)fprintf(p->out, "    side: %s\n", iface->side == SIDE_WAN ? "wan" : "lan");
		print_link(p->out, &iface->link);
		print_hook(p, "ingress", iface->ingress);
		print_hook(p, "egress", iface->egress);
	}
}

static void print_forwards(struct printer *p)
{
	static const char *const modes[] = {[FORWARD_EGRESS] = "egress",
					    [FORWARD_INGRESS] = "ingress",
					    [FORWARD_NEIGH] = "neigh",
					    [FORWARD_PEER] = "peer",
					    [FORWARD_CLONE] = "clone"};

	if (p->m->n_forwards)
		(void)fputs("forward:\n", p->out);
	for (size_t i = 0; i < p->m->n_forwards; i++) {
		const struct model_forward *f = &p->m->forwards[i];

		(void)fputs("  - name: ", p->out);
		put_text(p->out, f->name);
		(void)fputs("\n    on: ", p->out);
		put_text(p->out, f->on);
		(void)fprintf(p->out, "\n    hook: %s\n", f->dir == DIR_EGRESS ? "egress" : "ingress");
		put_matches(p->out, 4, "match", &f->match);
		(void)fprintf(p->out, "    redirect: {mode: %s, dev: ", modes[f->mode]);
		put_text(p->out, f->dev);
		if (f->has_nexthop) {
			(void)fputs(", nexthop: ", p->out);
			put_prefix(p->out, &f->nexthop);
		}
		(void)fprintf(p->out, "}\n    on-miss: %s\n", f->on_miss == ON_MISS_DROP ? "drop" : "pass");
	}
}

/* ---- variants ---------------------------------------------------------------------------------------------------- */

static void add_variant(struct printer *p, const struct model_hook *h)
{
	if (h && !variant_of(p, h))
		*vec_add(p->a, &p->variants) = (struct variant){.hook = h};
}

static bool is_taken(const struct printer *p, const char *name)
{
	for (size_t i = 0; i < p->variants.n; i++)
		if (!strcmp(p->variants.v[i].hook->policy, name) || same_text(p->variants.v[i].name, name))
			return true;
	return false;
}

static const char *way_of(const struct model_hook *h)
{
	return h->side == SIDE_NONE ? (h->dir == DIR_INGRESS ? "ingress" : "egress") : h->up ? "up" : "down";
}

/* That of the last one before v which is called after the same policy and way: none below it is free. */
static unsigned last_number(const struct printer *p, const struct variant *v)
{
	const struct model_hook *h = v->hook;

	while (v-- > p->variants.v)
		if (v->number && !strcmp(v->hook->policy, h->policy) && !strcmp(way_of(v->hook), way_of(h)))
			return v->number;
	return 0;
}

/* "office-up", or "office-up-2" where that is another's; cut so that it is still a name. */
static void name_variant(struct printer *p, struct variant *v)
{
	const char *way = way_of(v->hook), *name;

	v->number = last_number(p, v);
	do {
		char *suffix = ++v->number == 1 ? arena_printf(p->a, "-%s", way)
						: arena_printf(p->a, "-%s-%u", way, v->number);
		int room = TEXT_NAME_MAX - (int)strlen(suffix);

		name = arena_printf(p->a, "%.*s%s", room, v->hook->policy, suffix);
	} while (is_taken(p, name));
	v->name = name;
}

static void find_variants(struct printer *p)
{
	for (size_t i = 0; i < p->m->n_interfaces; i++) {
		add_variant(p, p->m->interfaces[i].ingress);
		add_variant(p, p->m->interfaces[i].egress);
	}
	for (size_t i = 0; i < p->variants.n; i++) {
		struct variant *v = &p->variants.v[i];

		v->only = true;
		for (size_t j = 0; j < p->variants.n && v->only; j++)
			v->only = i == j || strcmp(v->hook->policy, p->variants.v[j].hook->policy) != 0;
		if (v->only)
			v->name = v->hook->policy;
		else
			name_variant(p, v);
	}
}

static char *print(struct arena *a, const struct model *m, bool whole)
{
	struct printer p = {.a = a, .m = m, .whole = whole};
	char *text = NULL, *copy;
	size_t len = 0;

	p.out = open_memstream(&text, &len);
	if (!p.out)
		return arena_strdup(a, ""); /* no memory for a stream: nothing can be shown */
	find_variants(&p);
	(void)fputs("version: 1\n", p.out);
	print_settings(&p);
	print_sets(&p);
	print_services(&p);
	print_policies(&p);
	print_interfaces(&p);
	print_forwards(&p);
	(void)fclose(p.out); /* to memory: what fails there is cut off */
	copy = arena_strndup(a, text, len);
	free(text);
	return copy;
}

char *model_print(struct arena *a, const struct model *m)
{
	return print(a, m, false);
}

char *model_print_whole(struct arena *a, const struct model *m)
{
	return print(a, m, true);
}
