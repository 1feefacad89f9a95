/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * mem: an arena. What is born in a reload comes from its arena and is freed with it, in one call.
 * Allocation never fails from the caller's view: out of memory ends the process with a message.
 */
#ifndef QOSD_MEM_H
#define QOSD_MEM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct arena *arena_new(void);
/* Frees the arena and everything in it. NULL is fine. */
void arena_free(struct arena *a);

/* Zeroed memory, aligned for any type, owned by the arena. */
void *arena_alloc(struct arena *a, size_t size);
/* Zeroed array; ends the process if n * size overflows. */
void *arena_array(struct arena *a, size_t n, size_t size);
char *arena_strdup(struct arena *a, const char *s);
/* Copies n bytes and adds a NUL. */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Bytes handed out so far. */
size_t arena_used(const struct arena *a);

#define arena_new_of(a, type) ((type *)arena_alloc((a), sizeof(type)))

/* A growing array whose storage is the arena's: struct { T *v; size_t n, room; }.
 * vec_add returns a pointer to a zeroed new element, good until the next vec_add. */
#define VEC(type)            \
	struct {             \
		type *v;     \
		size_t n;    \
		size_t room; \
	}
void *vec_grow(struct arena *a, void *v, size_t n, size_t *room, size_t size);
#define vec_add(a, vec) \
	((vec)->v = vec_grow((a), (vec)->v, (vec)->n, &(vec)->room, sizeof(*(vec)->v)), &(vec)->v[(vec)->n++])

/* Makes room for n more at once; vec_reserve for what little comes behind them, too, so that it needs no copy. */
void *vec_make_room(struct arena *a, void *v, size_t used, size_t *room, size_t n, size_t size);
#define vec_reserve(a, vec, n_) \
	((vec)->v = vec_make_room((a), (vec)->v, (vec)->n, &(vec)->room, (n_) + (n_) / 16, sizeof(*(vec)->v)))

/* For what outlives an arena: like malloc and friends, but ends the process when memory is out. */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);

#endif
