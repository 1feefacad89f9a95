/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * bind: from nodes to structs, by tables. A table lists the keys that a map may have, one row a key: how its value is
 * read and where it goes. What does not fit is told to the diag with what was expected, and reading goes on. Knows
 * scalars, lists and maps of a policy's kind, and no particular key.
 */
#ifndef QOSD_BIND_H
#define QOSD_BIND_H

#include "policy.h"
#include "vars.h"

struct bind_name;

struct bind {
	struct arena *arena;
	struct diag *diag;
	struct vars vars;
	const struct var *used;        /* by the scalar that was read last */
	const struct keys *const *all; /* every table, to say where a misplaced key belongs */
	size_t n_all;
	unsigned owner; /* bit of the type of policy that is being read; 0: not in one, or of an unknown type */
	unsigned quiet; /* > 0: inside something that is not in this version, which was told */
};

/* Reads n into field. how: what the row says about it. */
typedef void bind_fn(struct bind *b, const struct node *n, void *field, const void *how);

enum key_flags {
	KEY_REQUIRED = 1,
	KEY_LATER = 2, /* not in this version: only its form is checked, nothing is kept */
};

struct key {
	const char *name;
	bind_fn *read;
	const void *how;
	size_t offset;   /* of the field in the struct of the table; of no meaning for KEY_LATER */
	unsigned flags;  /* enum key_flags */
	unsigned owners; /* bits of the types of policy that have it; 0: all */
};

/* A key that belongs elsewhere, but is often written here. */
struct key_hint {
	const char *name;
	const char *hint; /* "it belongs in ingress or egress" */
};

struct keys {
	const char *what; /* "a class" */
	const struct key *v;
	size_t n;
	const char *(*owner_name)(unsigned owner); /* "htb"; for tables with owners */
	bool open;                                 /* any other key is fine, too, with a scalar */
	const struct key_hint *hints;
	size_t n_hints;
	const char *of_maps; /* what to say of an unknown key that has a map; NULL: nothing */
};

/* Reads every pair of map by its row in keys. pos: where a missing key is missing. A key that seems to be misspelt is
 * told, and read as the one that was meant, so that nobody misses what is there. */
void bind_map(struct bind *b, const struct node *map, const struct keys *keys, void *base, struct pos pos);

/* The value that bind_map reads by the row of this name, or NULL. */
const struct node *bind_get(const struct bind *b, const struct node *map, const struct keys *keys, const char *name);

/* The text of a scalar, its variables replaced. NULL: it is none, which was told ("expected WHAT, found .."). */
const char *bind_scalar(struct bind *b, const struct node *n, const char *what);
/* "FOUND is not WHAT: WHY" at n. */
void bind_refuse(struct bind *b, const struct node *n, const char *id, const char *found, const char *what,
		 const char *why);
/* "WHAT is not in this version", unless that was told for what is around it. */
void bind_later(struct bind *b, struct pos pos, const char *what);
/* "expected WHAT, found ..", except where that was told already. */
void bind_expected(struct bind *b, const struct node *n, const char *what);
/* Whether s passes the check of name; if not, it is told. */
bool bind_name_check(struct bind *b, const struct node *n, const char *s, const struct bind_name *name);
/* n as a list: its items, or itself as the only one. An empty list is refused and has none. */
size_t bind_items(struct bind *b, const struct node *n, const char *what, const struct node *const **items);
/* "; without quotes YAML turns it into the number N: quote it" or how else to write it, where YAML 1.1 takes the plain
 * scalar for a number that does not look like what was written; "" otherwise. */
const char *bind_number_hint(struct bind *b, const struct node *n, const char *s);

/* ---- how the usual values are read; the comment names the field and what `how` points to ---- */
struct bind_word {
	const char *name;
	int value;
};
struct bind_words {
	const char *what; /* "on or off" */
	const struct bind_word *v;
	size_t n;
};
struct bind_number {
	const char *what;
	uint64_t min, max;
};
struct bind_name {
	const char *what;                              /* "the name of a set" */
	int (*check)(const char *s, const char **why); /* NULL: any text */
	const char *id;                                /* of the message; NULL: bad-name */
};

bind_fn bind_text;      /* struct w_text, struct bind_name */
bind_fn bind_texts;     /* struct w_texts, struct bind_name; one or a list; NULL for one that was told */
bind_fn bind_words;     /* struct w_word, struct bind_words */
bind_fn bind_bits;      /* struct w_u64, struct bind_words: one or a list, or'ed */
bind_fn bind_number;    /* struct w_u64, struct bind_number */
bind_fn bind_size;      /* struct w_u64, struct bind_number */
bind_fn bind_time;      /* struct w_u64 in ns, NULL */
bind_fn bind_span;      /* struct w_span, NULL */
bind_fn bind_rate;      /* struct w_rate, const char *: why no percentage can stand here, NULL: it can */
bind_fn bind_one_rate;  /* struct w_one_rate, likewise */
bind_fn bind_prefixes;  /* struct w_prefixes, NULL; one or a list */
bind_fn bind_form;      /* nothing: a map of the keys in struct keys, kept nowhere */
bind_fn bind_form_list; /* the same for a list of such maps */
bind_fn bind_any;       /* nothing, NULL: any scalar */

/* A prefix with the good advice where host bits are set; false: told. */
bool bind_prefix(struct bind *b, const struct node *n, const char *s, struct prefix *out);

#endif
