/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vars.h"

#include <stdlib.h>
#include <string.h>

#define VALUE_MAX  256                 /* bytes of a variable */
#define RESULT_MAX 1024                /* bytes of a scalar with all replaced */
#define BUDGET     (16u * 1024 * 1024) /* what replacing may make of a small file, all in all */

void vars_init(struct vars *vars)
{
	*vars = (struct vars){.budget = BUDGET};
}

static bool is_usable(struct diag *d, const struct node_pair *pair)
{
	const struct node *n = pair->value;
	char buf[TEXT_MAX];
	const char *why;

	if (text_name(pair->key, &why)) {
		diag_error(d, pair->pos, "bad-name", "%s is not the name of a variable: %s", text_quote(buf, pair->key),
			   why);
		return false;
	}
	if (n->kind == NODE_BROKEN)
		return true; /* so that whoever uses it is not told that there is none */
	if (n->kind != NODE_SCALAR || node_is_nothing(n)) {
		diag_error(d, n->pos, "type", "a variable is one value, found %s", node_found(n, buf));
		return true;
	}
	if (strlen(n->s) > VALUE_MAX) {
		diag_error(d, n->pos, "too-large", "a variable has at most %d bytes", VALUE_MAX);
		return true;
	}
	if (strstr(n->s, "${"))
		diag_error(d, n->pos, "nested-var", "a variable cannot be made of other variables");
	return true;
}

void vars_add(struct arena *a, struct vars *vars, struct diag *d, const struct node_pair *pair)
{
	const struct node *n = pair->value;
	bool fits = n->kind == NODE_SCALAR && !node_is_nothing(n) && strlen(n->s) <= VALUE_MAX && !strstr(n->s, "${");

	if (!is_usable(d, pair) || pair->again)
		return;
	*vec_add(a, vars) = (struct var){.name = pair->key, .pos = n->pos, .value = fits ? n->s : NULL};
}

static int by_name(const void *left, const void *right)
{
	const struct var *a = left, *b = right;

	return strcmp(a->name, b->name);
}

void vars_seal(struct arena *a, struct vars *vars)
{
	if (vars->n)
		qsort(vars->v, vars->n, sizeof(*vars->v), by_name);
	vars->names = arena_array(a, vars->n, sizeof(*vars->names));
	for (size_t i = 0; i < vars->n; i++)
		vars->names[i] = vars->v[i].name;
}

static const struct var *find(const struct vars *vars, const char *name)
{
	const struct var key = {.name = name};

	return vars->n ? bsearch(&key, vars->v, vars->n, sizeof(*vars->v), by_name) : NULL;
}

static void tell_undefined(const struct vars *vars, struct diag *d, struct pos pos, const char *name)
{
	char buf[TEXT_MAX];
	const char *close;

	if (diag_full(d)) {
		diag_error(d, pos, "undefined-var", "no variable has this name");
		return;
	}
	close = text_closest(name, vars->names, vars->n);
	if (close)
		diag_error(d, pos, "undefined-var", "no variable is called %s; did you mean \"%s\"?",
			   text_quote(buf, name), close);
	else
		diag_error(d, pos, "undefined-var",
			   "no variable is called %s: it must be defined in vars:", text_quote(buf, name));
}

/* A scalar on one line whose text is as it was written: then the column of each character is known. */
static struct pos inside(const struct node *scalar, size_t offset)
{
	struct pos pos = scalar->pos;

	if (!scalar->quoted)
		pos.col += (uint32_t)offset;
	return pos;
}

const char *vars_replace(struct arena *a, struct vars *vars, struct diag *d, const struct node *scalar,
			 const struct var **used)
{
	char result[RESULT_MAX + 1];
	char name[TEXT_NAME_MAX + 2];
	size_t n = 0, len;
	const char *s = scalar->s, *dollar, *end;
	bool good = true;

	*used = NULL;
	if (!strstr(s, "${"))
		return s;
	for (;; s = end + 1) {
		const struct var *var;

		dollar = strstr(s, "${");
		len = dollar ? (size_t)(dollar - s) : strlen(s);
		if (len > RESULT_MAX - n)
			goto too_long;
		memcpy(result + n, s, len);
		n += len;
		if (!dollar)
			break;
		end = strchr(dollar, '}');
		if (!end) {
			diag_error(d, inside(scalar, (size_t)(dollar - scalar->s)), "undefined-var",
				   "\"${\" without a \"}\"");
			return NULL;
		}
		len = (size_t)(end - dollar) - 2;
		if (len >= sizeof(name))
			len = sizeof(name) - 1; /* too long to be a variable's */
		memcpy(name, dollar + 2, len);
		name[len] = '\0';
		var = find(vars, name);
		if (!var)
			tell_undefined(vars, d, inside(scalar, (size_t)(dollar - scalar->s)), name);
		good = good && var && var->value; /* without a value: told where it is defined */
		if (!good)
			continue;
		*used = var;
		len = strlen(var->value);
		if (len > RESULT_MAX - n)
			goto too_long;
		memcpy(result + n, var->value, len);
		n += len;
	}
	if (!good)
		return NULL;
	if (n > vars->budget) {
		diag_error(d, scalar->pos, "too-large", "the variables make the policy larger than 16 MiB");
		return NULL;
	}
	vars->budget -= n;
	return arena_strndup(a, result, n);
too_long:
	diag_error(d, scalar->pos, "too-large", "with its variables replaced the value has more than %d bytes",
		   RESULT_MAX);
	return NULL;
}
