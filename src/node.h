/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * node: YAML text as a tree of scalars, lists and maps, each with its position. Knows YAML and nothing of policies.
 * What YAML allows and a policy does not (tags, anchors, aliases, merge keys, a key twice, a second document) is told
 * to the diag. Everything lives in the arena.
 */
#ifndef QOSD_NODE_H
#define QOSD_NODE_H

#include "diag.h"
#include "mem.h"
#include "text.h"

#define NODE_BYTES_MAX (16u * 1024u * 1024u) /* of a file */
#define NODE_DEPTH_MAX 64
#define NODE_COUNT_MAX 1000000 /* of all files together: bounds memory */

enum node_kind {
	NODE_SCALAR,
	NODE_LIST,
	NODE_MAP,
	NODE_BROKEN, /* already complained about: whoever finds it says nothing */
};

struct node;

struct node_pair {
	const char *key;
	struct pos pos;
	struct node *value;
	bool again; /* the key was there before, and that was told: the value is only looked at for mistakes */
};

struct node {
	enum node_kind kind;
	bool quoted; /* scalar: "22", '22' or a block, not a plain 22 */
	bool cut;    /* list, map: the text went wrong inside, so more may have been meant */
	struct pos pos;
	union {
		const char *s; /* scalar */
		struct {
			struct node **items;
			size_t n_items;
		};
		struct {
			struct node_pair *pairs;
			size_t n_pairs;
		};
	};
};

struct node_limits {
	size_t room; /* how many more nodes there may be */
	bool cut;    /* set where a text went wrong and the rest of it was not read */
};

/* Reads one document. file is the number of text in d. Reading stops at what is not YAML, and what was read up to there
 * comes back. NULL: nothing of it could be read. Either was told to d. */
struct node *node_parse(struct arena *a, struct diag *d, uint32_t file, const char *text, size_t len,
			struct node_limits *limits);

/* Marks and tells each pair whose key an earlier one of the n has. */
void node_mark_repeats(struct diag *d, struct node_pair **pairs, size_t n);

/* The value of a key, or NULL. */
const struct node *node_get(const struct node *map, const char *key);

/* A plain scalar that says nothing: "key:" with nothing behind, ~ or null. */
bool node_is_nothing(const struct node *n);

/* For sentences: "nothing", "a list", "a map", or the text in quotes; in buf or constant. */
const char *node_found(const struct node *n, char buf[TEXT_MAX]);

#endif
