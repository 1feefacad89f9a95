/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct applied {
	const struct kernel *k;
	size_t n; /* steps prepared */
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

/* Undoes every step that was done, last one first. */
static int walk_back(struct applied *d, char *text, size_t size)
{
	struct request **requests = xcalloc(d->n, sizeof(struct request *));
	int *result = xcalloc(d->n, sizeof(int));
	size_t n = 0;
	int err = 0;

	for (size_t i = d->n; i > 0; i--)
		if (d->result[i - 1] == 0)
			requests[n++] = d->undo[i - 1];
	/* One by one: a step that cannot be undone must not keep the others from it. */
	for (size_t i = 0; i < n; i++) {
		int one = d->k->commit(d->k->ctx, &requests[i], 1, &result[i], text, size);

		if (one && !err)
			err = one;
	}
	for (size_t i = 0; i < d->n; i++)
		d->result[i] = -ECANCELED;
	free(requests);
	free(result);
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
		why->undone = walk_back(d, why->undo_text, sizeof(why->undo_text)) == 0;
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
	return walk_back(done, text, size);
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
