/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bind.h"

#include <ctype.h>
#include <string.h>

/* Room for any one field: what a key's value is read into when it is only looked at. */
struct scratch {
	_Alignas(16) unsigned char room[1024];
};
_Static_assert(sizeof(struct w_class) <= sizeof(struct scratch), "scratch");
_Static_assert(sizeof(struct policy) <= sizeof(struct scratch), "scratch");

/* ---- maps by tables -------------------------------------------------------------------------------------------- */

static const struct key *find_key(const struct keys *keys, const char *name)
{
	for (size_t i = 0; i < keys->n; i++)
		if (!strcmp(keys->v[i].name, name))
			return &keys->v[i];
	return NULL;
}

static const struct keys *find_home(const struct bind *b, const char *name)
{
	for (size_t i = 0; i < b->n_all; i++)
		if (find_key(b->all[i], name))
			return b->all[i];
	return NULL;
}

/* That could stand here: in this version, in a policy of this type. */
static bool is_usable(const struct bind *b, const struct key *key)
{
	return !(key->flags & KEY_LATER) && (!key->owners || !b->owner || key->owners & b->owner);
}

static const char *find_hint(const struct keys *keys, const char *name)
{
	for (size_t i = 0; i < keys->n_hints; i++)
		if (!strcmp(keys->hints[i].name, name))
			return keys->hints[i].hint;
	return NULL;
}

/* "services" of "service", "policies" of "policy". */
static bool is_plural(const char *many, const char *one)
{
	size_t n = strlen(one);

	if (n < 2)
		return false;
	if (one[n - 1] == 'y')
		return !strncmp(many, one, n - 1) && !strcmp(many + n - 1, "ies");
	return !strncmp(many, one, n) && !strcmp(many + n, "s");
}

#define ROWS_MAX 64 /* that are looked at for what a misspelt key means */

static const struct key *closest_key(const struct keys *keys, const char *name)
{
	const char *names[ROWS_MAX], *close;
	size_t n;

	for (n = 0; n < keys->n && n < ROWS_MAX; n++)
		names[n] = keys->v[n].name;
	close = text_closest(name, names, n);
	return close ? find_key(keys, close) : NULL;
}

/* The key that an unknown one seems to be misspelt for: one that exists elsewhere is none, unless it differs from one
 * of here in number only. */
static const struct key *find_meant(const struct bind *b, const struct keys *keys, const char *name)
{
	if (keys->open)
		return NULL;
	for (size_t i = 0; i < keys->n && i < ROWS_MAX; i++)
		if (is_plural(keys->v[i].name, name) || is_plural(name, keys->v[i].name))
			return &keys->v[i];
	if (find_hint(keys, name) || find_home(b, name))
		return NULL;
	return closest_key(keys, name);
}

static const char *list_keys(struct bind *b, const struct keys *keys)
{
	const char *list = "";

	for (size_t i = 0; i < keys->n; i++)
		if (is_usable(b, &keys->v[i]))
			list = arena_printf(b->arena, "%s %s", list, keys->v[i].name);
	return list;
}

/* meant: what it seems to be misspelt for, or NULL. */
static void tell_unknown(struct bind *b, const struct node_pair *pair, const struct keys *keys, const struct key *meant)
{
	const struct keys *home = find_home(b, pair->key);
	const char *hint = find_hint(keys, pair->key);
	const char *of_maps = pair->value->kind == NODE_MAP ? keys->of_maps : NULL;
	char buf[TEXT_MAX];

	text_quote(buf, pair->key);
	if (meant)
		diag_error(b->diag, pair->pos, "unknown-key", "%s has no key %s; did you mean \"%s\"?", keys->what, buf,
			   meant->name);
	else if (hint)
		diag_error(b->diag, pair->pos, "unknown-key", "%s has no key %s, %s", keys->what, buf, hint);
	else if (home)
		diag_error(b->diag, pair->pos, "unknown-key", "%s has no key %s, it belongs in %s", keys->what, buf,
			   home->what);
	else if (node_is_nothing(pair->value))
		diag_error(b->diag, pair->pos, "unknown-key",
			   "%s has no key %s; inside { } a comma starts the next key: quote a value that has one, "
			   "write lists in "
			   "[ ]",
			   keys->what, buf);
	else
		diag_error(b->diag, pair->pos, "unknown-key", "%s has no key %s; %s%sit has:%s", keys->what, buf,
			   of_maps ? of_maps : "", of_maps ? "; " : "", list_keys(b, keys));
}

void bind_later(struct bind *b, struct pos pos, const char *what)
{
	if (!b->quiet)
		diag_error(b->diag, pos, "not-in-this-version", "%s is not in this version", what);
}

/* The key exists, but in policies of another type. */
static void tell_owner(struct bind *b, const struct node_pair *pair, const struct key *key, const struct keys *keys)
{
	diag_error(b->diag, pair->pos, "wrong-type", "\"%s\" belongs to policies of type %s, this one is of type %s",
		   key->name, keys->owner_name(key->owners), keys->owner_name(b->owner));
}

/* Bit of a row that a misspelt key was taken for. */
static uint64_t bit_of(const struct keys *keys, const struct key *key)
{
	size_t i = (size_t)(key - keys->v);

	return i < ROWS_MAX ? 1ull << i : 0;
}

/* guessed: the rows that misspelt keys before this one were taken for. */
static void read_unknown(struct bind *b, const struct node *map, const struct node_pair *pair, const struct keys *keys,
			 void *base, uint64_t *guessed)
{
	const struct key *meant;

	if (strstr(pair->key, "${")) {
		diag_error(b->diag, pair->pos, "var-in-key", "a variable cannot stand in a key");
		return;
	}
	if (diag_full(b->diag)) {
		diag_error(b->diag, pair->pos, "unknown-key", "unknown key");
		return;
	}
	meant = find_meant(b, keys, pair->key);
	tell_unknown(b, pair, keys, meant);
	if (!meant || pair->again || *guessed & bit_of(keys, meant) || node_get(map, meant->name))
		return;
	*guessed |= bit_of(keys, meant);
	if (is_usable(b, meant))
		meant->read(b, pair->value, (char *)base + meant->offset, meant->how);
}

static void read_pair(struct bind *b, const struct node *map, const struct node_pair *pair, const struct keys *keys,
		      void *base, uint64_t *guessed)
{
	const struct key *key = find_key(keys, pair->key);
	bool later = key && key->flags & KEY_LATER;
	bool foreign = key && key->owners && b->owner && !(key->owners & b->owner);
	struct scratch scratch;
	void *field;

	if (!key && keys->open) {
		bind_any(b, pair->value, NULL, NULL);
		return;
	}
	if (!key) {
		read_unknown(b, map, pair, keys, base, guessed);
		return;
	}
	if (pair->again || later || foreign)
		field = memset(&scratch, 0, sizeof(scratch));
	else
		field = (char *)base + key->offset;
	b->quiet += later || foreign;
	key->read(b, pair->value, field, key->how);
	b->quiet -= later || foreign;
	if (foreign)
		tell_owner(b, pair, key, keys);
	else if (later)
		bind_later(b, pair->pos, arena_printf(b->arena, "\"%s\"", key->name));
}

static void tell_missing(struct bind *b, const struct node *map, const struct keys *keys, struct pos pos,
			 uint64_t guessed)
{
	if (map->cut)
		return; /* it may stand in the part that could not be read */
	for (size_t i = 0; i < keys->n; i++) {
		const struct key *key = &keys->v[i];

		if (key->flags & KEY_REQUIRED && !node_get(map, key->name) && !(guessed & bit_of(keys, key)))
			diag_error(b->diag, pos, "missing-key", "%s needs the key \"%s\"", keys->what, key->name);
	}
}

const struct node *bind_get(const struct bind *b, const struct node *map, const struct keys *keys, const char *name)
{
	const struct node *value = node_get(map, name);
	size_t unknown = 0;

	if (value || map->kind != NODE_MAP)
		return value;
	for (size_t i = 0; i < map->n_pairs && unknown < DIAG_KEPT_MAX; i++) {
		const struct key *meant;

		if (find_key(keys, map->pairs[i].key))
			continue;
		unknown++; /* of more than are told, nothing is made */
		meant = find_meant(b, keys, map->pairs[i].key);
		if (meant && !strcmp(meant->name, name))
			return map->pairs[i].value;
	}
	return NULL;
}

void bind_map(struct bind *b, const struct node *map, const struct keys *keys, void *base, struct pos pos)
{
	uint64_t guessed = 0;

	if (map->kind != NODE_MAP) {
		if (map->kind != NODE_BROKEN)
			bind_expected(b, map,
				      arena_printf(b->arena, "%s, that is a map with keys such as \"%s\"", keys->what,
						   keys->v[0].name));
		return;
	}
	for (size_t i = 0; i < map->n_pairs; i++)
		read_pair(b, map, &map->pairs[i], keys, base, &guessed);
	tell_missing(b, map, keys, pos, guessed);
}

void bind_form(struct bind *b, const struct node *n, void *field, const void *how)
{
	(void)field; /* every row of such a table is KEY_LATER or keeps nothing */
	bind_map(b, n, how, NULL, n->pos);
}

void bind_form_list(struct bind *b, const struct node *n, void *field, const void *how)
{
	const struct keys *keys = how;
	const struct node *const *items;
	size_t count = bind_items(b, n, keys->what, &items);

	for (size_t i = 0; i < count; i++)
		bind_form(b, items[i], field, how);
}

/* ---- scalars --------------------------------------------------------------------------------------------------- */

void bind_expected(struct bind *b, const struct node *n, const char *what)
{
	char buf[TEXT_MAX];

	if (n->kind != NODE_BROKEN)
		diag_error(b->diag, n->pos, "type", "expected %s, found %s", what, node_found(n, buf));
}

const char *bind_scalar(struct bind *b, const struct node *n, const char *what)
{
	b->used = NULL;
	if (n->kind != NODE_SCALAR || node_is_nothing(n)) {
		bind_expected(b, n, what);
		return NULL;
	}
	return vars_replace(b->arena, &b->vars, b->diag, n, &b->used);
}

static void note_var(struct bind *b)
{
	if (b->used)
		diag_note(b->diag, b->used->pos, "the variable \"%s\" is defined here", b->used->name);
}

void bind_refuse(struct bind *b, const struct node *n, const char *id, const char *found, const char *what,
		 const char *why)
{
	const char *hint = strcmp(id, "bad-name") ? bind_number_hint(b, n, found) : ""; /* no number is a name */
	char buf[TEXT_MAX];

	diag_error(b->diag, n->pos, id, "%s is not %s: %s%s", text_quote(buf, found), what, why, hint);
	note_var(b);
}

size_t bind_items(struct bind *b, const struct node *n, const char *what, const struct node *const **items)
{
	*items = NULL;
	if (n->kind == NODE_BROKEN)
		return 0;
	if (n->kind != NODE_LIST) {
		const struct node **only = arena_new_of(b->arena, const struct node *);

		*only = n;
		*items = only;
		return 1;
	}
	if (!n->n_items && !n->cut)
		diag_error(b->diag, n->pos, "empty-list", "the list is empty, expected %s", what);
	*items = (const struct node *const *)n->items;
	return n->n_items;
}

/* What YAML 1.1 (https://yaml.org/type/int.html) makes a decimal number of that does not look like it: digits with
 * underscores, octal ones behind a 0, and d:dd or d:dd:dd in base 60. Longer ones in base 60 are MAC addresses. */
static bool yaml_number(const char *s, uint64_t *value)
{
	bool sixty = strchr(s, ':') != NULL, octal = *s == '0' && s[1] && !sixty;
	unsigned groups = 1;
	uint64_t group = 0;

	*value = 0;
	if (!isdigit((unsigned char)*s) || (!strpbrk(s, ":_") && !octal))
		return false;
	for (; *s; s++) {
		if (*s == ':' && s[1] && s[1] != ':' && groups < 3 && (groups == 1 || group < 60)) {
			*value = (*value + group) * 60;
			group = 0;
			groups++;
		} else if (isdigit((unsigned char)*s) && !(octal && *s > '7')) {
			group = group * (octal ? 8 : 10) + (uint64_t)(*s - '0');
		} else if (*s != '_') {
			return false;
		}
		if (group > UINT32_MAX || *value > UINT32_MAX)
			return false;
	}
	*value += group;
	return groups == 1 || group < 60;
}

const char *bind_number_hint(struct bind *b, const struct node *n, const char *s)
{
	uint64_t value;

	if (n->quoted || b->used || !yaml_number(s, &value))
		return "";
	if (!strchr(s, ':'))
		return arena_printf(b->arena, "; YAML reads it as the number %llu: write it without %s",
				    (unsigned long long)value, *s == '0' ? "the leading 0" : "\"_\"");
	return arena_printf(b->arena, "; without quotes YAML turns it into the number %llu: quote it",
			    (unsigned long long)value);
}

void bind_any(struct bind *b, const struct node *n, void *field, const void *how)
{
	(void)field;
	(void)how;
	(void)bind_scalar(b, n, "one value"); /* only whether it is one */
}

bool bind_name_check(struct bind *b, const struct node *n, const char *s, const struct bind_name *name)
{
	const char *why;

	if (!name->check || !name->check(s, &why))
		return true;
	bind_refuse(b, n, name->id ? name->id : "bad-name", s, name->what, why);
	return false;
}

void bind_text(struct bind *b, const struct node *n, void *field, const void *how)
{
	const struct bind_name *name = how;
	struct w_text *out = field;

	*out = (struct w_text){.s = bind_scalar(b, n, name->what), .pos = n->pos};
	if (out->s && !bind_name_check(b, n, out->s, name))
		out->s = NULL;
}

void bind_texts(struct bind *b, const struct node *n, void *field, const void *how)
{
	const struct bind_name *name = how;
	struct w_texts *out = field;
	const struct node *const *items;
	size_t count = bind_items(b, n, name->what, &items);

	out->pos = n->pos;
	for (size_t i = 0; i < count; i++) {
		const char *s = bind_scalar(b, items[i], name->what);

		if (s && !bind_name_check(b, items[i], s, name))
			s = NULL;
		*vec_add(b->arena, out) = (struct w_text){.s = s, .pos = items[i]->pos};
	}
}

/* ---- words and numbers ----------------------------------------------------------------------------------------- */

static const struct bind_word *find_word(struct bind *b, const struct node *n, const struct bind_words *words)
{
	const char *s = bind_scalar(b, n, words->what);
	const char *names[32], *close;
	char buf[TEXT_MAX];
	size_t i;

	if (!s)
		return NULL;
	for (i = 0; i < words->n; i++)
		if (!strcmp(words->v[i].name, s))
			return &words->v[i];
	for (i = 0; i < words->n && i < sizeof(names) / sizeof(*names); i++)
		names[i] = words->v[i].name;
	close = text_closest(s, names, i);
	if (close)
		diag_error(b->diag, n->pos, "bad-word", "expected %s, found %s; did you mean \"%s\"?", words->what,
			   text_quote(buf, s), close);
	else
		diag_error(b->diag, n->pos, "bad-word", "expected %s, found %s", words->what, text_quote(buf, s));
	note_var(b);
	return NULL;
}

void bind_words(struct bind *b, const struct node *n, void *field, const void *how)
{
	const struct bind_word *word = find_word(b, n, how);
	struct w_word *out = field;

	out->pos = n->pos;
	if (!word)
		return;
	out->set = true;
	out->v = word->value;
}

void bind_bits(struct bind *b, const struct node *n, void *field, const void *how)
{
	const struct bind_words *words = how;
	struct w_u64 *out = field;
	const struct node *const *items;
	size_t count = bind_items(b, n, words->what, &items);

	out->pos = n->pos;
	for (size_t i = 0; i < count; i++) {
		const struct bind_word *word = find_word(b, items[i], words);

		if (!word)
			continue;
		out->v |= (uint64_t)word->value;
		out->set = true;
	}
}

static void keep_number(struct bind *b, const struct node *n, const char *s, const struct bind_number *range,
			uint64_t v, struct w_u64 *out)
{
	char buf[TEXT_MAX];

	if (v < range->min || v > range->max) {
		diag_error(b->diag, n->pos, "bad-number", "%s is not %s, which goes from %llu to %llu",
			   text_quote(buf, s), range->what, (unsigned long long)range->min,
			   (unsigned long long)range->max);
		note_var(b);
		return;
	}
	out->set = true;
	out->v = v;
}

void bind_number(struct bind *b, const struct node *n, void *field, const void *how)
{
	const struct bind_number *range = how;
	const char *s = bind_scalar(b, n, range->what), *why;
	struct w_u64 *out = field;
	uint64_t v;

	out->pos = n->pos;
	if (!s)
		return;
	if (text_number(s, UINT64_MAX, &v, &why))
		bind_refuse(b, n, "bad-number", s, range->what, why);
	else
		keep_number(b, n, s, range, v, out);
}

void bind_size(struct bind *b, const struct node *n, void *field, const void *how)
{
	const struct bind_number *range = how;
	const char *s = bind_scalar(b, n, range->what), *why;
	struct w_u64 *out = field;
	uint64_t v;

	out->pos = n->pos;
	if (!s)
		return;
	if (text_size(s, &v, &why))
		bind_refuse(b, n, "bad-size", s, range->what, why);
	else
		keep_number(b, n, s, range, v, out);
}

void bind_time(struct bind *b, const struct node *n, void *field, const void *how)
{
	const char *s = bind_scalar(b, n, "a time such as 10m"), *why;
	struct w_u64 *out = field;

	(void)how;
	out->pos = n->pos;
	if (!s)
		return;
	if (text_time(s, &out->v, &why))
		bind_refuse(b, n, "bad-time", s, "a time", why);
	else
		out->set = true;
}

/* The units of times and sizes have only "m" in common, which is tc's mega here. */
void bind_span(struct bind *b, const struct node *n, void *field, const void *how)
{
	const char *s = bind_scalar(b, n, "a size such as 64kb or a time such as 20ms"), *why;
	struct w_span *out = field;

	(void)how;
	out->pos = n->pos;
	if (!s)
		return;
	if (text_size(s, &out->v, &why)) {
		out->is_time = true;
		if (text_time(s, &out->v, &why))
			why = "sizes are written as 1500 (bytes), 64kb or 1mb, times as 500us, 20ms or 1s";
		else
			why = NULL;
	} else {
		why = NULL;
	}
	if (!why && !out->v)
		why = "it must be more than nothing";
	if (why)
		bind_refuse(b, n, "bad-size", s, "a size or a time", why);
	else
		out->set = true;
}

/* ---- rates ----------------------------------------------------------------------------------------------------- */

static bool read_rate(struct bind *b, const struct node *n, const char *no_share, struct rate *out)
{
	const char *s = bind_scalar(b, n, "a rate such as 10mbit"), *why;
	char readings[TEXT_READINGS_MAX];

	if (!s)
		return false;
	if (text_rate(s, out, &why)) {
		bind_refuse(b, n, "bad-rate", s, "a rate", text_rate_readings(readings, s) ? readings : why);
		return false;
	}
	if (out->percent && no_share) {
		bind_refuse(b, n, "bad-rate", s, "possible here", no_share);
		return false;
	}
	return true;
}

void bind_one_rate(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_one_rate *out = field;

	out->pos = n->pos;
	out->set = read_rate(b, n, how, &out->v);
}

void bind_rate(struct bind *b, const struct node *n, void *field, const void *how)
{
	/* Both rows have the same `how`, which is that of the outer key. */
	const struct key rows[] = {
		{.name = "up", .read = bind_one_rate, .how = how, .offset = offsetof(struct w_rate, up)},
		{.name = "down", .read = bind_one_rate, .how = how, .offset = offsetof(struct w_rate, down)},
	};
	const struct keys keys = {.what = "a rate of two directions", .v = rows, .n = 2};
	struct w_rate *out = field;

	if (n->kind != NODE_MAP) {
		bind_one_rate(b, n, &out->up, how);
		out->down = out->up;
		return;
	}
	bind_map(b, n, &keys, out, n->pos);
	if (!n->n_pairs && !n->cut)
		diag_error(b->diag, n->pos, "missing-key", "a rate of two directions needs \"up\" or \"down\"");
}

/* ---- addresses ------------------------------------------------------------------------------------------------- */

/* "10.0.0.7/8": the network or the one address? */
static bool offer_masked(struct bind *b, const struct node *n, const char *s)
{
	char net[TEXT_MAX], host[TEXT_MAX], buf[TEXT_MAX];
	struct prefix network, single;

	if (!text_masked(s, &network, &single))
		return false;
	diag_error(b->diag, n->pos, "bad-address",
		   "%s has bits set behind its prefix length: the network %s or the address %s?", text_quote(buf, s),
		   text_format_prefix(net, &network), text_format_prefix(host, &single));
	note_var(b);
	return true;
}

bool bind_prefix(struct bind *b, const struct node *n, const char *s, struct prefix *out)
{
	const char *why;

	if (!text_prefix(s, out, &why))
		return true;
	if (!offer_masked(b, n, s))
		bind_refuse(b, n, "bad-address", s, "an address or a prefix", why);
	return false;
}

void bind_prefixes(struct bind *b, const struct node *n, void *field, const void *how)
{
	struct w_prefixes *out = field;
	const struct node *const *items;
	size_t count = bind_items(b, n, "a prefix such as 10.0.0.0/8", &items);

	(void)how;
	out->pos = n->pos;
	for (size_t i = 0; i < count; i++) {
		const char *s = bind_scalar(b, items[i], "a prefix such as 10.0.0.0/8");
		struct prefix p;

		if (s && bind_prefix(b, items[i], s, &p))
			*vec_add(b->arena, out) = (struct w_prefix){.prefix = p, .pos = items[i]->pos};
	}
}
