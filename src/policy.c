/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy.h"

#include "node.h"
#include "schema.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The keys of all files' top levels, one behind the other. */
struct files {
	struct arena *arena;
	struct diag *diag;
	struct bind bind;
	struct node_limits limits;
	bool cut; /* a file could not be read to its end */
	struct {
		VEC(struct node_pair);
	} top;
};

static void add_text(struct files *f, const char *name, const char *text, size_t len)
{
	static const char bom[] = "\xef\xbb\xbf";
	struct node *root;
	uint32_t file;

	if (len >= 3 && !memcmp(text, bom, 3)) {
		text += 3;
		len -= 3;
	}
	file = diag_add_source(f->diag, name, text, len);
	root = node_parse(f->arena, f->diag, file, text, len, &f->limits);
	f->cut |= f->limits.cut;
	if (!root || root->kind == NODE_BROKEN)
		return;
	if (root->kind != NODE_MAP && root->cut)
		return;
	if (root->kind != NODE_MAP) {
		diag_error(f->diag, root->pos, "type", "a policy is a map of keys that starts with \"version: 1\"");
		return;
	}
	for (size_t i = 0; i < root->n_pairs; i++)
		*vec_add(f->arena, &f->top) = root->pairs[i];
	if (!schema_get(&f->bind, root, "version") && !root->cut)
		diag_error(f->diag, root->pos, "missing-key",
			   "the file needs the key \"version\": it starts with \"version: 1\"");
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

static void tell_file(struct files *f, const char *name, const char *id, const char *why)
{
	diag_error(f->diag, (struct pos){.file = diag_add_source(f->diag, name, "", 0)}, id, "cannot be read: %s", why);
	f->cut = true;
}

/* The whole file; malloced. NULL: told. */
static char *read_whole(struct files *f, const char *name, int fd, size_t size, size_t *len)
{
	char *text = xmalloc(size);
	ssize_t n;

	for (*len = 0; *len < size; *len += (size_t)n) {
		n = read(fd, text + *len, size - *len);
		if (n < 0 && errno == EINTR) {
			n = 0;
			continue;
		}
		if (n < 0) {
			tell_file(f, name, "unreadable", strerror(errno));
			free(text);
			return NULL;
		}
		if (!n)
			break;
	}
	return text;
}

static void add_file(struct files *f, const char *name)
{
	struct stat st;
	char *text;
	size_t len;
	int fd;

	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO without a writer would hang us */
	if (fd < 0) {
		tell_file(f, name, "unreadable", strerror(errno));
		return;
	}
	if (fstat(fd, &st) < 0)
		tell_file(f, name, "unreadable", strerror(errno));
	else if (S_ISDIR(st.st_mode))
		tell_file(f, name, "unreadable", "it is a directory, not a file");
	else if (!S_ISREG(st.st_mode))
		tell_file(f, name, "unreadable", "it is not a regular file");
	else if (st.st_size > (off_t)NODE_BYTES_MAX)
		tell_file(f, name, "too-large", "it is larger than 16 MiB");
	else if ((text = read_whole(f, name, fd, NODE_BYTES_MAX, &len))) {
		add_text(f, name, text, len);
		free(text);
	}
	(void)close(fd); /* only read */
}

/* ---- drop-ins -------------------------------------------------------------------------------------------------- */

static int is_drop_in(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return e->d_name[0] != '.' && n > 5 && !strcmp(e->d_name + n - 5, ".yaml");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name); /* not the locale's order */
}

static void add_drop_ins(struct files *f, const char *file)
{
	const char *slash = strrchr(file, '/');
	const char *dir = arena_printf(f->arena, "%.*spolicy.d", slash ? (int)(slash - file) + 1 : 0, file);
	struct dirent **entries;
	int n = scandir(dir, &entries, is_drop_in, by_name);

	if (n < 0 && errno == ENOENT)
		return;
	if (n < 0) {
		tell_file(f, dir, "unreadable", strerror(errno));
		return;
	}
	for (int i = 0; i < n; i++) {
		add_file(f, arena_printf(f->arena, "%s/%s", dir, entries[i]->d_name));
		free(entries[i]);
	}
	free(entries);
}

/* ---- all files together ---------------------------------------------------------------------------------------- */

/* What two files define under one name. Inside one file, node has told already. */
static void mark_repeats(struct files *f, const char *section)
{
	struct node_pair **pairs;
	size_t n = 0, i = 0;

	for (size_t t = 0; t < f->top.n; t++)
		if (!strcmp(f->top.v[t].key, section) && f->top.v[t].value->kind == NODE_MAP)
			n += f->top.v[t].value->n_pairs;
	pairs = xcalloc(n, sizeof(struct node_pair *));
	for (size_t t = 0; t < f->top.n; t++)
		if (!strcmp(f->top.v[t].key, section) && f->top.v[t].value->kind == NODE_MAP)
			for (size_t p = 0; p < f->top.v[t].value->n_pairs; p++)
				pairs[i++] = &f->top.v[t].value->pairs[p];
	node_mark_repeats(f->diag, pairs, n);
	free(pairs);
}

static void read_vars(struct files *f, const struct node *root)
{
	const struct node *misspelt = node_get(root, "vars") ? NULL : schema_get(&f->bind, root, "vars");
	struct vars *vars = &f->bind.vars;

	vars_init(vars);
	for (size_t t = 0; t < f->top.n; t++) {
		const struct node_pair *top = &f->top.v[t];

		if ((strcmp(top->key, "vars") != 0 && top->value != misspelt) || top->value->kind != NODE_MAP)
			continue;
		for (size_t p = 0; p < top->value->n_pairs; p++)
			vars_add(f->arena, vars, f->diag, &top->value->pairs[p]);
	}
	vars_seal(f->arena, vars);
}

static struct policy *bind_all(struct files *f)
{
	struct policy *p = arena_new_of(f->arena, struct policy);
	struct node root = {.kind = NODE_MAP, .pairs = f->top.v, .n_pairs = f->top.n, .cut = f->cut};

	for (size_t i = 0; schema_sections[i]; i++)
		mark_repeats(f, schema_sections[i]);
	read_vars(f, &root);
	schema_read(&f->bind, &root, p);
	p->cut = f->cut;
	return p;
}

static struct files new_files(struct arena *a, struct diag *d)
{
	return (struct files){
		.arena = a,
		.diag = d,
		.bind = {.arena = a, .diag = d, .all = schema_tables, .n_all = schema_tables_n},
		.limits = {.room = NODE_COUNT_MAX},
	};
}

struct policy *policy_load(struct arena *a, struct diag *d, const char *file)
{
	struct files f = new_files(a, d);

	add_file(&f, file);
	add_drop_ins(&f, file);
	return bind_all(&f);
}

struct policy *policy_parse(struct arena *a, struct diag *d, const char *name, const char *text, size_t len)
{
	struct files f = new_files(a, d);

	add_text(&f, name, text, len);
	return bind_all(&f);
}
