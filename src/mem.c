/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE (64u * 1024u)
#define ALIGNMENT  16u

struct block {
	struct block *next;
	size_t size;
	size_t used;
	_Alignas(ALIGNMENT) unsigned char data[];
};

struct arena {
	struct block *blocks;
	size_t used;
};

static void out_of_memory(void)
{
	fputs("qosd: out of memory\n", stderr);
	abort();
}

void *xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *xrealloc(void *old, size_t size)
{
	void *p = realloc(old, size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

char *xstrdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(xmalloc(n), s, n);
}

struct arena *arena_new(void)
{
	return xcalloc(1, sizeof(struct arena));
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	for (struct block *b = a->blocks, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(a);
}

static struct block *add_block(struct arena *a, size_t room)
{
	size_t size = room > BLOCK_SIZE ? room : BLOCK_SIZE;
	struct block *b = xcalloc(1, sizeof(*b) + size);

	b->size = size;
	if (a->blocks && room > BLOCK_SIZE) {
		/* A large allocation gets a block of its own, behind the one being filled. */
		b->next = a->blocks->next;
		a->blocks->next = b;
	} else {
		b->next = a->blocks;
		a->blocks = b;
	}
	return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct block *b = a->blocks;
	void *p;

	if (size > SIZE_MAX - ALIGNMENT)
		out_of_memory();
	size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (!b || b->size - b->used < size)
		b = add_block(a, size);
	p = b->data + b->used;
	b->used += size;
	a->used += size;
	return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	if (size && n > SIZE_MAX / size)
		out_of_memory();
	return arena_alloc(a, n * size);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *copy = arena_alloc(a, n + 1);

	if (n)
		memcpy(copy, s, n);
	return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	char shortly[128]; /* most are, and need to be written once only */
	va_list again;
	char *s;
	int n;

	va_copy(again, ap);
	n = vsnprintf(shortly, sizeof(shortly), fmt, again);
	va_end(again);
	if (n < 0)
		out_of_memory();
	if ((size_t)n < sizeof(shortly))
		return arena_strndup(a, shortly, (size_t)n);
	s = arena_alloc(a, (size_t)n + 1);
	(void)vsnprintf(s, (size_t)n + 1, fmt, ap); /* sized just above */
	return s;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return s;
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}

void *vec_make_room(struct arena *a, void *v, size_t used, size_t *room, size_t n, size_t size)
{
	void *bigger;

	if (n <= *room - used)
		return v;
	*room = used + n;
	bigger = arena_array(a, *room, size);
	if (used)
		memcpy(bigger, v, used * size);
	return bigger;
}

void *vec_grow(struct arena *a, void *v, size_t n, size_t *room, size_t size)
{
	return n < *room ? v : vec_make_room(a, v, n, room, n ? n : 8, size);
}
