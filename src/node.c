/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "node.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define PATCHES_MAX    32
#define PATCHABLE_SIZE (1024u * 1024u) /* each patch reads the text again */

struct reader {
	struct arena *arena;
	struct diag *diag;
	struct node_limits *limits;
	yaml_parser_t parser;
	yaml_event_t event;
	bool stopped; /* nothing more can be read */
	uint32_t file;
	const char *text, *end;
	/* libyaml counts columns in characters; here is how far into which line they were counted into bytes. */
	const char *line_start, *at;
	uint32_t line, column;
	/* What libyaml reads: the text, with letters for what should have been quoted, so that the rest can be read,
	 * too. */
	char *patched;
	struct patch {
		size_t offset, len;
	} patches[PATCHES_MAX];
	size_t n_patches;
	struct node *last; /* the scalar read last */
	struct {
		VEC(const char *);
	} aliases; /* told already */
};

/* ---- positions ------------------------------------------------------------------------------------------------- */

static struct pos here(const struct reader *r)
{
	return (struct pos){.file = r->file, .line = r->line + 1, .col = (uint32_t)(r->at - r->line_start) + 1};
}

/* Marks come nearly in order, so the walk goes on from the last one. */
static struct pos pos_of(struct reader *r, yaml_mark_t mark)
{
	uint32_t code;

	if (mark.line < r->line) {
		r->line = 0;
		r->line_start = r->at = r->text;
		r->column = 0;
	}
	if (mark.line == r->line && mark.column < r->column) {
		r->at = r->line_start;
		r->column = 0;
	}
	while (r->line < mark.line) {
		const char *eol = memchr(r->at, '\n', (size_t)(r->end - r->at));

		if (!eol)
			return here(r);
		r->line++;
		r->line_start = r->at = eol + 1;
		r->column = 0;
	}
	while (r->column < mark.column && r->at < r->end && *r->at != '\n') {
		r->at += text_utf8(r->at, (size_t)(r->end - r->at), &code);
		r->column++;
	}
	return here(r);
}

/* ---- the text before YAML looks at it -------------------------------------------------------------------------- */

static bool check_text(struct diag *d, uint32_t file, const char *text, size_t len)
{
	struct pos pos = {.file = file, .line = 1, .col = 1};

	for (size_t i = 0, n; i < len; i += n) {
		uint32_t code = 0;

		n = text_utf8(text + i, len - i, &code);
		if (!n) {
			diag_error(d, pos, "not-text", "byte 0x%02x is not UTF-8: this is not the text of a policy",
				   (unsigned char)text[i]);
			return false;
		}
		if (!text_allows(code) && !(code == '\r' && i + 1 < len && text[i + 1] == '\n')) {
			diag_error(d, pos, "not-text", "character U+%04X has no place in a policy's text", code);
			return false;
		}
		pos.col += (uint32_t)n;
		if (code == '\n') {
			pos.line++;
			pos.col = 1;
		}
	}
	return true;
}

/* ---- what YAML itself refuses ---------------------------------------------------------------------------------- */

/* What policies have a use for, and YAML another. Without quotes, none of these can start a value. */
static const struct unquoted {
	const char *start;
	const char *id;
	const char *hint;
	const char *in_block; /* what is said outside of [ ] and { }; NULL: the same */
} unquoted[] = {
	{"@", "yaml-syntax", "a value that starts with \"@\" must be quoted, as in \"@neighbours\"", NULL},
	{"%", "yaml-syntax", "a value that starts with \"%\" must be quoted", NULL},
	{"`", "yaml-syntax", "a value that starts with \"`\" must be quoted", NULL},
	{"::", "yaml-syntax",
	 "inside [ ] and { } an address with \"::\" at its start or end must be quoted, as in \"::/0\"",
	 "an address that ends with \"::\" must be quoted at the end of a line, as in \"2001:db8::\""},
	{"${", "yaml-syntax", "inside [ ] and { } a value with \"${\" must be quoted, as in \"${NAME}\"", NULL},
	{"*", "yaml-alias", "a value that starts with \"*\" must be quoted, as in \"*eth\"", NULL},
	{"&", "yaml-anchor", "a value that starts with \"&\" must be quoted", NULL},
	{"!", "yaml-tag",
	 "a value that starts with \"!\" must be quoted; what is meant to be negated goes below \"not:\"", NULL},
};

static const struct unquoted *unquoted_at(const struct reader *r, const char *at)
{
	for (size_t i = 0; i < sizeof(unquoted) / sizeof(*unquoted); i++) {
		size_t n = strlen(unquoted[i].start);

		if ((size_t)(r->end - at) >= n && !memcmp(at, unquoted[i].start, n))
			return &unquoted[i];
	}
	return NULL;
}

/* Finds what should have been quoted, if that is what is wrong, and moves r->at there. */
static const struct unquoted *find_unquoted(struct reader *r, struct pos *pos)
{
	const char *context = r->parser.context ? r->parser.context : "";
	const struct unquoted *u;

	if (!strcmp(context, "while scanning an alias") || !strcmp(context, "while scanning an anchor") ||
	    !strcmp(context, "while scanning a tag")) {
		*pos = pos_of(r, r->parser.context_mark);
		return unquoted_at(r, r->at);
	}
	*pos = pos_of(r, r->parser.problem_mark);
	u = unquoted_at(r, r->at);
	if (!u && r->at > r->line_start && strchr(":$", r->at[-1])) {
		u = unquoted_at(r, r->at - 1); /* libyaml stops at the second of the two characters */
		if (u)
			*pos = pos_of(r, (yaml_mark_t){.line = r->line, .column = r->column - 1});
	}
	return u;
}

/* Next time, libyaml is to take it for a word. */
static void patch(struct reader *r, const struct unquoted *u)
{
	size_t len = strlen(u->start);
	const char *close;

	if (r->n_patches >= PATCHES_MAX || r->end - r->text > PATCHABLE_SIZE)
		return;
	if (!strcmp(u->start, "${")) {
		close = memchr(r->at, '}', (size_t)(r->end - r->at));
		len = close && !memchr(r->at, '\n', (size_t)(close - r->at)) ? (size_t)(close - r->at) + 1 : len;
	}
	r->patches[r->n_patches++] = (struct patch){.offset = (size_t)(r->at - r->text), .len = len};
}

static const struct {
	const char *problem; /* a part of libyaml's words */
	const char *hint;
} hints[] = {
	{"mapping values are not allowed", "is the line indented wrongly, or a value with \": \" not quoted?"},
	{"expected ',' or", "is a comma or a bracket missing, or a value not quoted?"},
	{"block mapping", "is the line indented wrongly, or a \":\" missing?"},
	{"block collection", "is the line indented wrongly?"},
	{"could not find expected ':'", "is the line indented wrongly, or a \":\" missing?"},
	{"cannot start any token", "lines are indented with spaces, not with tabs"},
};

static void tell_syntax(struct reader *r)
{
	const char *problem = r->parser.problem ? r->parser.problem : "it cannot be read";
	const char *context = r->parser.context ? r->parser.context : "", *hint = "";
	bool in_block = !strncmp(problem, "mapping values are not allowed", 30); /* inside brackets they are */
	struct pos pos;
	const struct unquoted *u = find_unquoted(r, &pos);

	if (r->last)
		r->last->kind = NODE_BROKEN; /* the mistake may be a part of it */
	if (u) {
		patch(r, u);
		diag_error(r->diag, pos, u->id, "%s", in_block && u->in_block ? u->in_block : u->hint);
		return;
	}
	for (size_t i = 0; i < sizeof(hints) / sizeof(*hints) && !*hint; i++)
		if (strstr(problem, hints[i].problem))
			hint = hints[i].hint;
	diag_error(r->diag, pos, "yaml-syntax", "not valid YAML: %s%s%s", problem, *hint ? ": " : "", hint);
	if (!strcmp(context, "while scanning a quoted scalar"))
		diag_note(r->diag, pos_of(r, r->parser.context_mark), "the quote is opened here");
	else if (!strncmp(context, "while parsing a flow", 20))
		diag_note(r->diag, pos_of(r, r->parser.context_mark), "the bracket is opened here");
}

/* Any of the len bytes from r->at on? */
static bool is_patched(const struct reader *r, size_t len)
{
	size_t at = (size_t)(r->at - r->text);

	for (size_t i = 0; i < r->n_patches; i++)
		if (r->patches[i].offset >= at && r->patches[i].offset < at + len)
			return true;
	return false;
}

/* ---- events to nodes ------------------------------------------------------------------------------------------- */

/* The next event; false if there is none because the text is wrong, which was told. */
static bool next(struct reader *r)
{
	if (r->stopped)
		return false;
	yaml_event_delete(&r->event);
	if (yaml_parser_parse(&r->parser, &r->event))
		return true;
	memset(&r->event, 0, sizeof(r->event));
	r->stopped = true;
	tell_syntax(r);
	return false;
}

static struct node *new_node(struct reader *r, enum node_kind kind)
{
	struct node *n = arena_new_of(r->arena, struct node);

	n->kind = kind;
	n->pos = pos_of(r, r->event.start_mark);
	if (r->limits->room) {
		r->limits->room--;
	} else {
		r->stopped = true;
		diag_error(r->diag, n->pos, "too-large",
			   "the policy has more than %d values: long lists of addresses belong into a set's file",
			   NODE_COUNT_MAX);
	}
	return n;
}

/* Tags and anchors of the event in hand. True if the node is what it seems to be. */
static bool is_bare(struct reader *r, const yaml_char_t *tag, const yaml_char_t *anchor, const char *value)
{
	struct pos pos = pos_of(r, r->event.start_mark);

	if (tag && value && !*value)
		diag_error(r->diag, pos, "yaml-tag",
			   "YAML takes \"%.40s\" for a tag, and tags are not allowed: quote the value, or write what "
			   "is negated below "
			   "\"not:\"",
			   (const char *)tag);
	else if (tag)
		diag_error(r->diag, pos, "yaml-tag", "YAML tags such as \"%.40s\" are not allowed", (const char *)tag);
	if (anchor)
		diag_error(r->diag, pos, "yaml-anchor",
			   "YAML anchors such as \"&%.40s\" are not allowed: use vars or templates; a value that "
			   "starts with \"&\" "
			   "must be quoted",
			   (const char *)anchor);
	return !tag;
}

static struct node *read_scalar(struct reader *r)
{
	const char *value = (const char *)r->event.data.scalar.value;
	size_t len = r->event.data.scalar.length;
	struct node *n = new_node(r, NODE_SCALAR);

	if (is_patched(r, len))
		n->kind = NODE_BROKEN;
	if (!is_bare(r, r->event.data.scalar.tag, r->event.data.scalar.anchor, value))
		n->kind = NODE_BROKEN;
	if (memchr(value, '\0', len)) {
		diag_error(r->diag, n->pos, "not-text", "the value has a NUL character in it");
		n->kind = NODE_BROKEN;
	}
	n->quoted = r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	n->s = arena_strndup(r->arena, value, len);
	r->last = n;
	return n;
}

#define ALIASES_MAX 100

/* An alias that many places use is told once, or a bomb of them would bury everything else. */
static bool is_new_alias(struct reader *r, const char *name)
{
	for (size_t i = 0; i < r->aliases.n; i++)
		if (!strcmp(r->aliases.v[i], name))
			return false;
	if (r->aliases.n < ALIASES_MAX)
		*vec_add(r->arena, &r->aliases) = arena_strdup(r->arena, name);
	return true;
}

static struct node *read_alias(struct reader *r)
{
	const char *name = (const char *)r->event.data.alias.anchor;
	struct node *n = new_node(r, NODE_BROKEN);

	if (is_new_alias(r, name))
		diag_error(r->diag, n->pos, "yaml-alias",
			   "YAML takes \"*%.40s\" for an alias, and aliases are not allowed: quote a pattern, as in "
			   "\"*eth\"",
			   name);
	return n;
}

static struct node *read_node(struct reader *r, unsigned depth);

/* Broken, and the end. */
static struct node *refuse_depth(struct reader *r)
{
	struct node *n = new_node(r, NODE_BROKEN);

	r->stopped = true;
	diag_error(r->diag, n->pos, "too-deep", "nested deeper than %d levels", NODE_DEPTH_MAX);
	return n;
}

static struct node *read_list(struct reader *r, unsigned depth)
{
	struct node *n = new_node(r, NODE_LIST);
	struct {
		VEC(struct node *);
	} items = {0};

	(void)is_bare(r, r->event.data.sequence_start.tag, r->event.data.sequence_start.anchor,
		      NULL); /* a list all the same */
	while (next(r) && r->event.type != YAML_SEQUENCE_END_EVENT)
		*vec_add(r->arena, &items) = read_node(r, depth + 1);
	n->items = items.v;
	n->n_items = items.n;
	n->cut = r->stopped;
	return n;
}

static void tell_missing_key(struct reader *r, const struct node *key)
{
	const char *hint = "";

	(void)pos_of(r, r->event.start_mark); /* moves r->at there */
	if (r->end - r->at >= 2 && r->at[0] == ':' && r->at[1] == ':')
		hint = "; an address that starts with \"::\" must be quoted here, as in \"::/0\"";
	diag_error(r->diag, key->pos, "yaml-key", "a key is missing before the \":\"%s", hint);
}

/* The key in hand, NULL if it is none (then the value is read and thrown away). */
static const char *key_of(struct reader *r, const struct node *key)
{
	if (key->kind == NODE_BROKEN)
		return NULL;
	if (key->kind != NODE_SCALAR) {
		diag_error(r->diag, key->pos, "yaml-key", "a key must be a word, not %s",
			   key->kind == NODE_LIST ? "a list" : "a map");
		return NULL;
	}
	if (!key->quoted && !strcmp(key->s, "<<")) {
		diag_error(r->diag, key->pos, "yaml-merge", "YAML merge keys (<<) are not allowed: use templates");
		return NULL;
	}
	if (!*key->s) {
		tell_missing_key(r, key);
		return NULL;
	}
	return key->s;
}

static void mark_repeats_in(struct diag *d, struct node_pair *pairs, size_t n);

/* "fe80::" at the end of a line is the key "fe80:" without a value. */
static bool is_address_taken_for_key(const struct node *key, const struct node *value)
{
	size_t len = key->kind == NODE_SCALAR && !key->quoted ? strlen(key->s) : 0;

	return len > 1 && key->s[len - 1] == ':' && node_is_nothing(value);
}

static struct node *read_map(struct reader *r, unsigned depth)
{
	struct node *n = new_node(r, NODE_MAP);
	struct {
		VEC(struct node_pair);
	} pairs = {0};

	(void)is_bare(r, r->event.data.mapping_start.tag, r->event.data.mapping_start.anchor,
		      NULL); /* a map all the same */
	while (next(r) && r->event.type != YAML_MAPPING_END_EVENT) {
		struct node *key = read_node(r, depth + 1);
		const char *name = key_of(r, key);
		struct node *value;

		if (!next(r))
			break;
		value = read_node(r, depth + 1);
		if (is_address_taken_for_key(key, value)) {
			diag_error(r->diag, key->pos, "yaml-syntax",
				   "YAML takes this for a key: \"%.40s:\" must be quoted", key->s);
			n->kind = NODE_BROKEN;
			continue;
		}
		if (name)
			*vec_add(r->arena, &pairs) = (struct node_pair){.key = name, .pos = key->pos, .value = value};
	}
	n->cut = r->stopped;
	if (n->kind == NODE_BROKEN)
		return n;
	n->pairs = pairs.v;
	n->n_pairs = pairs.n;
	mark_repeats_in(r->diag, n->pairs, n->n_pairs);
	return n;
}

/* The node that the event in hand starts. */
static struct node *read_node(struct reader *r, unsigned depth)
{
	switch ((int)r->event.type) {
	case YAML_SCALAR_EVENT: return read_scalar(r);
	case YAML_ALIAS_EVENT: return read_alias(r);
	case YAML_SEQUENCE_START_EVENT: return depth < NODE_DEPTH_MAX ? read_list(r, depth) : refuse_depth(r);
	default: break;
	}
	assert(r->event.type == YAML_MAPPING_START_EVENT); /* libyaml keeps to its grammar */
	return depth < NODE_DEPTH_MAX ? read_map(r, depth) : refuse_depth(r);
}

static struct node *tell_empty(struct reader *r)
{
	diag_error(r->diag, (struct pos){.file = r->file}, "empty",
		   "the file says nothing: a policy starts with \"version: 1\"");
	return NULL;
}

static void check_directives(struct reader *r)
{
	if (r->event.data.document_start.version_directive ||
	    r->event.data.document_start.tag_directives.start != r->event.data.document_start.tag_directives.end)
		diag_error(r->diag, pos_of(r, r->event.start_mark), "yaml-directive",
			   "YAML directives (%%) are not allowed");
}

static void check_no_more(struct reader *r)
{
	if (next(r) && next(r) && r->event.type != YAML_STREAM_END_EVENT) /* behind the end of the document */
		diag_error(r->diag, pos_of(r, r->event.start_mark), "yaml-document",
			   "a second YAML document starts here, and only one is read");
}

static struct node *read_stream(struct reader *r)
{
	struct node *root;

	if (!next(r) || !next(r)) /* the start of the stream, of the document */
		return NULL;
	if (r->event.type == YAML_STREAM_END_EVENT)
		return tell_empty(r);
	check_directives(r);
	if (!next(r))
		return NULL;
	root = read_node(r, 0);
	check_no_more(r);
	if (node_is_nothing(root) && !r->stopped)
		return tell_empty(r);
	return root;
}

/* Reads it from the start. */
static struct node *read_text(struct reader *r)
{
	struct node *root;

	r->stopped = false;
	r->last = NULL;
	r->aliases.n = 0;
	r->line_start = r->at = r->text;
	r->line = r->column = 0;
	for (size_t i = 0; i < r->n_patches; i++)
		memset(r->patched + r->patches[i].offset, 'x', r->patches[i].len);
	if (!yaml_parser_initialize(&r->parser)) {
		diag_error(r->diag, (struct pos){.file = r->file}, "yaml-syntax", "no memory to read YAML");
		return NULL;
	}
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)r->patched, (size_t)(r->end - r->text));
	root = read_stream(r);
	yaml_event_delete(&r->event);
	yaml_parser_delete(&r->parser);
	return root;
}

struct node *node_parse(struct arena *a, struct diag *d, uint32_t file, const char *text, size_t len,
			struct node_limits *limits)
{
	struct reader r = {.arena = a, .diag = d, .limits = limits, .file = file, .text = text, .end = text + len};
	size_t room = limits->room, patches;
	struct node *root;

	limits->cut = true;
	if (len > NODE_BYTES_MAX) {
		diag_error(d, (struct pos){.file = file}, "too-large", "the file is larger than 16 MiB");
		return NULL;
	}
	if (!check_text(d, file, text, len))
		return NULL;
	r.patched = xmalloc(len);
	memcpy(r.patched, text, len);
	do {
		patches = r.n_patches;
		limits->room = room;
		root = read_text(&r);
	} while (r.n_patches > patches);
	free(r.patched);
	limits->cut = r.stopped || !root;
	return root;
}

/* ---- keys that are there twice --------------------------------------------------------------------------------- */

static bool is_before(struct pos a, struct pos b)
{
	if (a.file != b.file)
		return a.file < b.file;
	if (a.line != b.line)
		return a.line < b.line;
	return a.col < b.col;
}

static int by_key(const void *left, const void *right)
{
	const struct node_pair *a = *(struct node_pair *const *)left, *b = *(struct node_pair *const *)right;
	int c = strcmp(a->key, b->key);

	if (c)
		return c;
	return is_before(a->pos, b->pos) ? -1 : 1;
}

void node_mark_repeats(struct diag *d, struct node_pair **pairs, size_t n)
{
	struct node_pair *first = NULL;

	if (n > 1) /* qsort may not be given NULL */
		qsort(pairs, n, sizeof(*pairs), by_key);
	for (size_t i = 0; i < n; i++) {
		if (!first || strcmp(first->key, pairs[i]->key) != 0) {
			first = pairs[i];
			continue;
		}
		if (pairs[i]->again)
			continue;
		pairs[i]->again = true;
		diag_error(d, pairs[i]->pos, "duplicate-key", "\"%.60s\" is written twice", first->key);
		diag_note(d, first->pos, "first written here");
	}
}

static void mark_repeats_in(struct diag *d, struct node_pair *pairs, size_t n)
{
	struct node_pair **sorted;

	if (n < 2)
		return;
	sorted = xcalloc(n, sizeof(struct node_pair *));
	for (size_t i = 0; i < n; i++)
		sorted[i] = &pairs[i];
	node_mark_repeats(d, sorted, n);
	free(sorted);
}

/* ---- looking at nodes ------------------------------------------------------------------------------------------ */

const struct node *node_get(const struct node *map, const char *key)
{
	if (map->kind != NODE_MAP)
		return NULL;
	for (size_t i = 0; i < map->n_pairs; i++)
		if (!strcmp(map->pairs[i].key, key))
			return map->pairs[i].value;
	return NULL;
}

bool node_is_nothing(const struct node *n)
{
	return n->kind == NODE_SCALAR && !n->quoted && (!*n->s || !strcmp(n->s, "~") || !strcmp(n->s, "null"));
}

const char *node_found(const struct node *n, char buf[TEXT_MAX])
{
	switch (n->kind) {
	case NODE_LIST: return "a list";
	case NODE_MAP: return "a map";
	case NODE_BROKEN: return "something broken";
	case NODE_SCALAR: break;
	}
	if (node_is_nothing(n))
		return "nothing";
	return text_quote(buf, n->s);
}
