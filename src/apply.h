/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * apply: carries out steps, or leaves everything as it was. Every step is prepared (programs loaded, maps made,
 * messages encoded, forward and undo) before the first is sent; on a refusal what was done is undone backwards.
 */
#ifndef QOSD_APPLY_H
#define QOSD_APPLY_H

#include "diff.h"

struct request; /* the kernel side's: one prepared change */

struct refusal {
	const struct step *step;  /* whose object was refused */
	int err;                  /* -errno */
	char text[512];           /* the kernel's own words (extack, verifier), or "" */
	bool undone;              /* everything is as it was; false: the walk back failed too */
	const struct step *stuck; /* the first that could not be undone; NULL: all could */
	char undo_text[512];      /* why it could not, with the kernel's own words; or "" */
};

/* The kernel, a fake one in tests. */
struct kernel {
	void *ctx;
	/* Makes all that can be made without being seen, and encodes s and its undo. 0 or -errno with words in text. */
	int (*prepare)(void *ctx, const struct step *s, struct request **fwd, struct request **undo, char *text,
		       size_t size);
	/* Sends n requests in order; result[i] is 0 or -errno for each (after a failure later ones may be done or
	 * -ECANCELED). 0 or the first error with its words in text. */
	int (*commit)(void *ctx, struct request *const *requests, size_t n, int *result, char *text, size_t size);
	/* Frees the request and what prepare made for it and nobody took. */
	void (*release)(void *ctx, struct request *r);
};

/* What was applied and can still be taken back: requests and what they hold on to. */
struct applied;

/* 0 with *out, or -errno with *why filled and everything as it was (or undone false). The steps must live until
 * apply_done. */
int apply_steps(const struct kernel *k, const struct steps *steps, struct applied **out, struct refusal *why);
/* Takes back what apply_steps did. 0 or the first -errno with why in text. Then apply_done. */
int apply_revert(struct applied *done, char *text, size_t size);
/* Frees; nothing can be taken back afterwards. NULL is fine. */
void apply_done(struct applied *done);

#endif
