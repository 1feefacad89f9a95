/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "match_read.h"

#include <string.h>

/* How one value of a match key is read. */
struct term_kind {
	enum match_key key;
	const char *what;
	bool (*read)(struct bind *b, const struct node *n, const char *s, const struct term_kind *kind,
		     struct match_value *v);
	uint32_t max;
	const char *id;
};

struct terms {
	VEC(struct match_term);
};

static bool tell(struct bind *b, const struct node *n, const char *s, const struct term_kind *kind, const char *why)
{
	bind_refuse(b, n, kind->id, s, kind->what, why);
	return false;
}

static bool tell_word(struct bind *b, const struct node *n, const char *s, const struct term_kind *kind,
		      const char *why, const char *close)
{
	return tell(b, n, s, kind, close ? arena_printf(b->arena, "did you mean \"%s\"?", close) : why);
}

static bool read_address(struct bind *b, const struct node *n, const char *s, const struct term_kind *kind,
			 struct match_value *v)
{
	const char *why;

	if (*s != '@')
		return bind_prefix(b, n, s, &v->prefix);
	if (text_name(s + 1, &why)) {
		bind_refuse(b, n, "bad-name", s, "the name of a set behind \"@\"", why);
		return false;
	}
	(void)kind;
	v->is_set = true;
	v->name = s + 1;
	return true;
}

static bool read_numbers(struct bind *b, const struct node *n, const char *s, const struct term_kind *kind,
			 struct match_value *v)
{
	const char *why;

	return !text_range(s, kind->max, &v->lo, &v->hi, &why) || tell(b, n, s, kind, why);
}

static bool read_proto(struct bind *b, const struct node *n, const char *s, const struct term_kind *kind,
		       struct match_value *v)
{
	const char *why;
	uint8_t proto;

	if (text_proto(s, &proto, &why))
		return tell_word(b, n, s, kind, why, text_closest_proto(s));
	v->lo = v->hi = proto;
	return true;
}

static bool read_dscp(struct bind *b, const struct node *n, const char *s, const struct term_kind *kind,
		      struct match_value *v)
{
	const char *why;
	uint8_t dscp;

	if (text_dscp(s, &dscp, &why))
		return tell_word(b, n, s, kind, why, text_closest_dscp(s));
	v->lo = v->hi = dscp;
	return true;
}

static bool read_mark(struct bind *b, const struct node *n, const char *s, const struct term_kind *kind,
		      struct match_value *v)
{
	const char *why;

	return !text_mark(s, &v->value, &v->mask, &why) || tell(b, n, s, kind, why);
}

static bool read_family(struct bind *b, const struct node *n, const char *s, const struct term_kind *kind,
			struct match_value *v)
{
	if (strcmp(s, "ipv4") != 0 && strcmp(s, "ipv6") != 0)
		return tell(b, n, s, kind, "it is neither ipv4 nor ipv6");
	v->lo = v->hi = s[3] == '4' ? 4 : 6;
	return true;
}

static bool read_flags(struct bind *b, const struct node *n, const char *s, const struct term_kind *kind,
		       struct match_value *v)
{
	const char *why;
	uint8_t value, mask;

	if (text_tcp_flags(s, &value, &mask, &why))
		return tell(b, n, s, kind, why);
	v->value = value;
	v->mask = mask;
	return true;
}

static bool read_icmp(struct bind *b, const struct node *n, const char *s, const struct term_kind *kind,
		      struct match_value *v)
{
	const char *why;

	if (text_icmp_type(s, &v->icmp4, &v->icmp6, &why))
		return tell_word(b, n, s, kind, why, text_closest_icmp_type(s));
	return true;
}

static bool read_service_name(struct bind *b, const struct node *n, const char *s, const struct term_kind *kind,
			      struct match_value *v)
{
	const char *why;

	v->name = s;
	return !text_name(s, &why) || tell(b, n, s, kind, why);
}

static bool read_in_dev(struct bind *b, const struct node *n, const char *s, const struct term_kind *kind,
			struct match_value *v)
{
	const char *why;

	v->name = s;
	return !text_ifname(s, false, &why) || tell(b, n, s, kind, why);
}

/* One value or a list of them. */
static void read_term(struct bind *b, const struct node *n, void *field, const void *how)
{
	const struct term_kind *kind = how;
	const struct node *const *items;
	size_t count = bind_items(b, n, kind->what, &items);
	struct match_value *values = arena_array(b->arena, count, sizeof(*values));
	struct match_term *term;
	size_t good = 0;

	for (size_t i = 0; i < count; i++) {
		const char *s = bind_scalar(b, items[i], kind->what);

		values[good].pos = items[i]->pos;
		if (s && kind->read(b, items[i], s, kind, &values[good]))
			good++;
		else
			values[good] = (struct match_value){0};
	}
	term = vec_add(b->arena, (struct terms *)field);
	*term = (struct match_term){.key = kind->key, .pos = n->pos, .values = values, .n = good};
}

static void read_all(struct bind *b, const struct node *n, void *field, const void *how)
{
	const char *s = bind_scalar(b, n, "true");

	(void)how;
	if (s && strcmp(s, "true") != 0)
		bind_refuse(b, n, "bad-word", s, "possible here", "only \"all: true\" says something");
	*vec_add(b->arena, (struct terms *)field) = (struct match_term){.key = MATCH_ALL, .pos = n->pos};
}

static void read_item(struct bind *b, const struct node *n, struct match_item *item);

static void read_not(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct match_item *item = arena_new_of(b->arena, struct match_item);

	(void)how;
	read_item(b, n, item);
	*vec_add(b->arena, (struct terms *)field) = (struct match_term){.key = MATCH_NOT, .pos = n->pos, .item = item};
}

#define ADDRESS(key) \
	(&(const struct term_kind){key, "an address, a prefix or \"@set\"", read_address, 0, "bad-address"})
#define NUMBERS(key, w, m, id) (&(const struct term_kind){key, w, read_numbers, m, id})
#define PORTS(key)             NUMBERS(key, "a port or a range of ports", 65535, "bad-port")
#define VALUE(key, w, fn, id)  (&(const struct term_kind){key, w, fn, 0, id})
#define SERVICE(key)           VALUE(key, "the name of a service", read_service_name, "bad-name")
static const struct key match_rows[] = {
	{"all", read_all, NULL, 0, 0, 0},
	{"not", read_not, NULL, 0, 0, 0},
	{"local", read_term, ADDRESS(MATCH_LOCAL), 0, 0, 0},
	{"remote", read_term, ADDRESS(MATCH_REMOTE), 0, 0, 0},
	{"src", read_term, ADDRESS(MATCH_SRC), 0, 0, 0},
	{"dst", read_term, ADDRESS(MATCH_DST), 0, 0, 0},
	{"host", read_term, ADDRESS(MATCH_HOST), 0, 0, 0},
	{"local-port", read_term, PORTS(MATCH_LOCAL_PORT), 0, 0, 0},
	{"remote-port", read_term, PORTS(MATCH_REMOTE_PORT), 0, 0, 0},
	{"sport", read_term, PORTS(MATCH_SPORT), 0, 0, 0},
	{"dport", read_term, PORTS(MATCH_DPORT), 0, 0, 0},
	{"port", read_term, PORTS(MATCH_PORT), 0, 0, 0},
	{"proto", read_term, VALUE(MATCH_PROTO, "a protocol", read_proto, "bad-proto"), 0, 0, 0},
	{"service", read_term, SERVICE(MATCH_SERVICE), 0, 0, 0},
	{"server", read_term, SERVICE(MATCH_SERVER), 0, 0, 0},
	{"client", read_term, SERVICE(MATCH_CLIENT), 0, 0, 0},
	{"dscp", read_term, VALUE(MATCH_DSCP, "a DSCP", read_dscp, "bad-dscp"), 0, 0, 0},
	{"mark", read_term, VALUE(MATCH_MARK, "a mark", read_mark, "bad-mark"), 0, 0, 0},
	{"vlan", read_term, NUMBERS(MATCH_VLAN, "a VLAN id", 4094, "bad-vlan"), 0, 0, 0},
	{"family", read_term, VALUE(MATCH_FAMILY, "an address family", read_family, "bad-word"), 0, 0, 0},
	{"length", read_term, NUMBERS(MATCH_LENGTH, "a length or a range of lengths", 65575, "bad-length"), 0, 0, 0},
	{"tcp-flags", read_term, VALUE(MATCH_TCP_FLAGS, "TCP flags", read_flags, "bad-flags"), 0, 0, 0},
	{"icmp-type", read_term, VALUE(MATCH_ICMP_TYPE, "an ICMP type", read_icmp, "bad-icmp-type"), 0, 0, 0},
	{"in-dev", read_term, VALUE(MATCH_IN_DEV, "the name of an interface", read_in_dev, "bad-name"), 0, 0, 0},
};
const struct keys match_read_keys = {.what = "a match", .v = match_rows, .n = sizeof(match_rows) / sizeof(*match_rows)};

static void read_item(struct bind *b, const struct node *n, struct match_item *item)
{
	struct terms terms = {0};

	item->pos = n->pos;
	bind_map(b, n, &match_read_keys, &terms, n->pos);
	if (n->kind != NODE_MAP)
		return;
	if (!n->n_pairs && !n->cut)
		diag_error(b->diag, n->pos, "empty-match",
			   "a match without keys; everything is matched by \"all: true\"");
	item->terms = terms.v;
	item->n = terms.n;
}

void match_read(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct match_list *list = field;
	const struct node *const *items;
	size_t count = bind_items(b, n, "a match", &items);

	(void)how;
	list->pos = n->pos;
	list->items = arena_array(b->arena, count, sizeof(*list->items));
	list->n = count;
	for (size_t i = 0; i < count; i++)
		read_item(b, items[i], &list->items[i]);
}
