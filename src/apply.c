/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "apply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct applied {
	const struct kernel *k;
	const struct steps *steps; /* the caller's */
	size_t n;                  /* steps prepared */
	struct request **forward, **undo;
	int *result; /* of each forward request: 0 where it was done */
};

static int prepare_all(struct applied *d, const struct steps *steps, struct refusal *why)
{
	for (; d->n < steps->n; d->n++) {
		const struct step *s = &steps->v[d->n];
		int err = d->k->prepare(d->k->ctx, s, &d->forward[d->n], &d->undo[d->n], why->text, sizeof(why->text));

		if (err) {
			why->step = s;
			why->err = err;
			why->undone = true;
			return err;
		}
		d->result[d->n] = -ECANCELED;
	}
	return 0;
}

/* Undoes every step that was done, last one first, one by one: a step that cannot be undone must not keep the others
 * from it. The first of those is *stuck, and why is in text. */
static int walk_back(struct applied *d, const struct step **stuck, char *text, size_t size)
{
	int err = 0;

	text[0] = '\0';
	for (size_t i = d->n; i > 0; i--) {
		char words[512] = "";
		int result, one;

		if (d->result[i - 1])
			continue;
		one = d->k->commit(d->k->ctx, &d->undo[i - 1], 1, &result, words, sizeof(words));
		if (one && !err) {
			err = one;
			*stuck = &d->steps->v[i - 1];
			(void)snprintf(text, size, "%s%s%s", strerror(-one), *words ? ": " : "",
				       words); /* cut to fit */
		}
	}
	for (size_t i = 0; i < d->n; i++)
		d->result[i] = -ECANCELED;
	return err;
}

static void blame(struct refusal *why, const struct applied *d, const struct steps *steps, int err)
{
	why->err = err;
	for (size_t i = 0; i < d->n && !why->step; i++) {
		if (d->result[i] && d->result[i] != -ECANCELED) {
			why->step = &steps->v[i];
			why->err = d->result[i];
		}
	}
}

int apply_steps(const struct kernel *k, const struct steps *steps, struct applied **out, struct refusal *why)
{
	struct applied *d = xcalloc(1, sizeof(*d));
	int err;

	memset(why, 0, sizeof(*why));
	d->k = k;
	d->steps = steps;
	d->forward = xcalloc(steps->n, sizeof(struct request *));
	d->undo = xcalloc(steps->n, sizeof(struct request *));
	d->result = xcalloc(steps->n, sizeof(int));
	err = prepare_all(d, steps, why);
	if (err)
		goto out;
	if (steps->n)
		err = k->commit(k->ctx, d->forward, d->n, d->result, why->text, sizeof(why->text));
	if (err) {
		blame(why, d, steps, err);
		why->undone = walk_back(d, &why->stuck, why->undo_text, sizeof(why->undo_text)) == 0;
	}
out:
	if (err) {
		apply_done(d);
		d = NULL;
	}
	*out = d;
	return err;
}

int apply_revert(struct applied *done, char *text, size_t size)
{
	const struct step *stuck;

	return walk_back(done, &stuck, text, size);
}

void apply_done(struct applied *done)
{
	if (!done)
		return;
	for (size_t i = done->n; i > 0; i--) {
		if (done->forward[i - 1])
			done->k->release(done->k->ctx, done->forward[i - 1]);
		if (done->undo[i - 1])
			done->k->release(done->k->ctx, done->undo[i - 1]);
	}
	free(done->forward);
	free(done->undo);
	free(done->result);
	free(done);
}
