/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "world.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#include "diff.h"
#include "state.h"

int world_set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	char why[256];

	*state = w;
	assert_int_equal(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/qosd-test.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->pin_dir, sizeof(w->pin_dir), "%s/pins", w->dir);
	w->a = arena_new();
	w->nl = nl_open();
	assert_non_null(w->nl);
	w->pins = pins_open(w->pin_dir, why, sizeof(why));
	assert_non_null(w->pins);
	w->k = kernel_new(w->nl, w->pins);
	w->ifindex = 1;
	w->ifname = "lo";
	return 0;
}

int world_tear_down(void **state)
{
	struct world *w = *state;

	kernel_free(w->k);
	(void)umount(w->pin_dir);
	(void)rmdir(w->pin_dir);
	pins_close(w->pins);
	nl_close(w->nl);
	arena_free(w->a);
	assert_int_equal(rmdir(w->dir), 0);
	free(w);
	return 0;
}

struct kobj *world_want(struct world *w, enum kobj_kind kind)
{
	struct kobj *o = vec_add(w->a, &w->want);

	o->kind = kind;
	return o;
}

/* ---- the way to the kernel and back ---- */

struct kobj_set world_observe(struct world *w)
{
	struct kobj_set seen;
	const char *why;
	int err;

	pins_refresh(w->pins);
	err = state_read(w->a, w->nl, w->pins, NULL, &seen, &why);
	if (err)
		fail_msg("%s", why);
	return seen;
}

static const char *name_of(void *ctx, int ifindex)
{
	const struct world *w = ctx;

	return ifindex == w->ifindex ? w->ifname : NULL;
}

static void print_steps(struct world *w, const struct steps *steps)
{
	for (size_t i = 0; i < steps->n; i++) {
		diff_describe(&steps->v[i], name_of, w, stderr);
		fputc('\n', stderr);
	}
}

void world_assert_same(struct world *w, const struct kobj_set *seen, const struct kobj_set *expected)
{
	struct steps steps = {0};

	diff_build(w->a, seen, expected, &steps);
	print_steps(w, &steps);
	assert_int_equal(steps.n, 0);
	assert_int_equal(seen->n, expected->n);
}

int world_try_apply(struct world *w, struct applied **done, struct refusal *why)
{
	struct kobj_set seen = world_observe(w);
	struct steps steps = {0};

	if (w->want.n)
		kobj_set_sort(&w->want);
	diff_build(w->a, &seen, &w->want, &steps);
	return apply_steps(w->k, &steps, done, why);
}

struct applied *world_apply(struct world *w)
{
	struct applied *done;
	struct refusal why;

	if (world_try_apply(w, &done, &why)) {
		struct steps one = {.v = (struct step *)why.step, .n = why.step ? 1 : 0};

		print_steps(w, &one);
		fail_msg("refused: %s: %s", strerror(-why.err), why.text);
	}
	return done;
}

void world_apply_and_keep(struct world *w)
{
	struct kobj_set seen;

	apply_done(world_apply(w));
	seen = world_observe(w);
	world_assert_same(w, &seen, &w->want);
}

void world_revert(struct applied *done)
{
	char text[256] = "";

	if (apply_revert(done, text, sizeof(text)))
		fail_msg("cannot go back: %s", text);
	apply_done(done);
}

/* ---- commands ---- */

void world_run(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

const char *world_output(const char *command)
{
	static char text[65536];
	FILE *f = popen(command, "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	(void)pclose(f);
	return text;
}

void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in: %s", part, text);
}
