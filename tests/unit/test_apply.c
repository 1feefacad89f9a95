/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * diff and apply against a fake kernel that is as strict as the real one about order: an entry needs its map, a filter
 * its actions, and a failure at any step must leave what was there.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apply.h"

#define MAPS    3
#define KEYS    4
#define ACTIONS 6
#define FILTERS 8
#define ROUNDS  150

struct request {
	const struct kobj *before, *after;
};

struct fake {
	struct kobj v[128];
	size_t n;
	int fail_at; /* the how-manieth request is refused; -1: none */
	int fail_again_at;
	int prepare_fail_at;
	int commits, prepares, live_requests;
};

static uint64_t seed = 88172645463325252ull;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % n;
}

static struct kobj *fake_find(struct fake *f, const struct kobj *o)
{
	for (size_t i = 0; i < f->n; i++)
		if (kobj_cmp(&f->v[i], o) == 0)
			return &f->v[i];
	return NULL;
}

static bool has_map(struct fake *f, const char *path)
{
	struct kobj o = {.kind = KOBJ_MAP, .map = {.path = path, .outer = ""}};

	return fake_find(f, &o);
}

static bool has_action(struct fake *f, uint32_t index)
{
	struct kobj o = {.kind = KOBJ_ACTION, .police = {.index = index}};

	return fake_find(f, &o);
}

static bool action_in_use(struct fake *f, uint32_t index)
{
	for (size_t i = 0; i < f->n; i++)
		for (uint32_t a = 0; f->v[i].kind == KOBJ_FILTER && a < f->v[i].filter.n_actions; a++)
			if (f->v[i].filter.actions[a] == index)
				return true;
	return false;
}

static int allowed(struct fake *f, const struct request *r)
{
	const struct kobj *o = r->after ? r->after : r->before;
	struct kobj *there = fake_find(f, o);

	if (!r->before && there)
		return -EEXIST;
	if (r->before && !there)
		return -ENOENT;
	if (o->kind == KOBJ_ENTRY && !has_map(f, o->entry.path))
		return -ENOENT;
	if (!r->after && o->kind == KOBJ_ACTION && action_in_use(f, o->police.index))
		return -EPERM;
	for (uint32_t a = 0; r->after && o->kind == KOBJ_FILTER && a < o->filter.n_actions; a++)
		if (!has_action(f, o->filter.actions[a]))
			return -ENOENT;
	return 0;
}

static int fake_prepare(void *ctx, const struct step *s, struct request **fwd, struct request **undo, char *text,
			size_t size)
{
	struct fake *f = ctx;

	(void)text;
	(void)size;
	if (f->prepares++ == f->prepare_fail_at)
		return -ENOMEM;
	*fwd = malloc(sizeof(**fwd));
	*undo = malloc(sizeof(**undo));
	**fwd = (struct request){s->before, s->after};
	**undo = (struct request){s->after, s->before};
	f->live_requests += 2;
	return 0;
}

static int fake_one(struct fake *f, const struct request *r)
{
	const struct kobj *o = r->after ? r->after : r->before;
	struct kobj *there;
	int err = allowed(f, r);

	if (f->commits == f->fail_at || f->commits == f->fail_again_at)
		err = -EIO;
	f->commits++;
	if (err)
		return err;
	there = fake_find(f, o);
	if (!r->after)
		*there = f->v[--f->n];
	else if (there)
		*there = *r->after;
	else
		f->v[f->n++] = *r->after;
	return 0;
}

static int fake_commit(void *ctx, struct request *const *requests, size_t n, int *result, char *text, size_t size)
{
	int first = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		/* Like a netlink batch: what stands behind a refused message in the same batch is still done. */
		if (first && i % 5 == 0) {
			for (; i < n; i++)
				result[i] = -ECANCELED;
			break;
		}
		result[i] = fake_one(ctx, requests[i]);
		if (result[i] && !first) {
			first = result[i];
			snprintf(text, size, "refused");
		}
	}
	return first;
}

static void fake_release(void *ctx, struct request *r)
{
	struct fake *f = ctx;

	f->live_requests--;
	free(r);
}

static struct kernel fake_kernel(struct fake *f)
{
	return (struct kernel){.ctx = f, .prepare = fake_prepare, .commit = fake_commit, .release = fake_release};
}

static const char *map_names[MAPS] = {"a", "b", "c"};

/* A random set that is complete in itself: entries only in maps, filters only with actions that are there. */
static void random_set(struct arena *a, struct kobj_set *out)
{
	uint32_t there[ACTIONS], n_there = 0;

	for (uint32_t m = 0; m < MAPS; m++) {
		struct kobj *o;

		if (rnd(3) == 0)
			continue;
		o = vec_add(a, out);
		o->kind = KOBJ_MAP;
		o->map = (struct kobj_map){
			.path = map_names[m], .outer = "", .max_entries = 1u << rnd(3), .key_size = 4};
		for (uint32_t k = 0; k < KEYS; k++) {
			if (rnd(2))
				continue;
			o = vec_add(a, out);
			o->kind = KOBJ_ENTRY;
			o->entry = (struct kobj_entry){.path = map_names[m], .key_size = 4, .value_size = 8};
			o->entry.key[0] = (uint8_t)k;
			o->entry.value[0] = (uint8_t)(1 + rnd(3));
		}
	}
	for (uint32_t i = 0; i < ACTIONS; i++) {
		struct kobj *o;

		if (rnd(3) == 0)
			continue;
		o = vec_add(a, out);
		o->kind = KOBJ_ACTION;
		o->police = (struct kobj_police){.index = KOBJ_POLICE_FIRST + i, .rate_Bps = 1000 * (1 + rnd(2))};
		there[n_there++] = o->police.index;
	}
	for (uint32_t i = 0; i < FILTERS; i++) {
		struct kobj *o;

		if (rnd(3) == 0)
			continue;
		o = vec_add(a, out);
		o->kind = KOBJ_FILTER;
		o->filter = (struct kobj_filter){.ifindex = 1 + (int)(i % 2),
						 .parent = 0xfffffff2,
						 .pref = KOBJ_PREF_CLASSES,
						 .handle = i + 1,
						 .name = rnd(2) ? "x" : "y"};
		if (n_there && rnd(2))
			o->filter.actions[o->filter.n_actions++] = there[rnd(n_there)];
	}
	kobj_set_sort(out);
}

static void fake_fill(struct fake *f, const struct kobj_set *s)
{
	memset(f, 0, sizeof(*f));
	f->fail_at = f->fail_again_at = f->prepare_fail_at = -1;
	for (size_t i = 0; i < s->n; i++)
		f->v[f->n++] = s->v[i];
}

static void assert_holds(struct fake *f, const struct kobj_set *s)
{
	assert_int_equal(f->n, s->n);
	for (size_t i = 0; i < s->n; i++) {
		struct kobj *there = fake_find(f, &s->v[i]);

		assert_non_null(there);
		assert_true(kobj_kinds[there->kind]->same(there, &s->v[i]));
	}
}

/* Applying the difference turns one random set into another, in an order that a strict kernel accepts. */
static void test_apply_reaches_wanted(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct arena *a = arena_new();
		struct kobj_set before = {0}, after = {0};
		struct steps steps = {0}, none = {0};
		struct refusal why;
		struct applied *done;
		struct fake f;
		struct kernel k = fake_kernel(&f);

		random_set(a, &before);
		random_set(a, &after);
		fake_fill(&f, &before);
		diff_build(a, &before, &after, &steps);
		assert_int_equal(apply_steps(&k, &steps, &done, &why), 0);
		assert_holds(&f, &after);
		diff_build(a, &after, &after, &none);
		assert_int_equal(none.n, 0);
		apply_done(done);
		assert_int_equal(f.live_requests, 0);
		arena_free(a);
	}
}

/* Whichever step is refused, the kernel is as it was and the refused step is named. */
static void test_failure_at_every_step(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS / 3; round++) {
		struct arena *a = arena_new();
		struct kobj_set before = {0}, after = {0};
		struct steps steps = {0};

		random_set(a, &before);
		random_set(a, &after);
		diff_build(a, &before, &after, &steps);
		for (int i = 0; i < (int)steps.n; i++) {
			struct refusal why;
			struct applied *done;
			struct fake f;
			struct kernel k = fake_kernel(&f);

			fake_fill(&f, &before);
			f.fail_at = i;
			assert_int_equal(apply_steps(&k, &steps, &done, &why), -EIO);
			assert_null(done);
			assert_ptr_equal(why.step, &steps.v[i]);
			assert_string_equal(why.text, "refused");
			assert_true(why.undone);
			assert_holds(&f, &before);
			assert_int_equal(f.live_requests, 0);

			fake_fill(&f, &before);
			f.prepare_fail_at = i;
			assert_int_equal(apply_steps(&k, &steps, &done, &why), -ENOMEM);
			assert_ptr_equal(why.step, &steps.v[i]);
			assert_int_equal(f.commits, 0);
			assert_holds(&f, &before);
			assert_int_equal(f.live_requests, 0);
		}
		arena_free(a);
	}
}

/* Three maps are wanted, the second is refused, and then the way back from the third: the first goes all the same, and
 * the refusal says where it was stuck and why. */
static void test_failure_on_the_way_back(void **state)
{
	struct arena *a = arena_new();
	struct kobj_set after = {0};
	struct steps steps = {0};
	struct refusal why;
	struct applied *done;
	struct fake f;
	struct kernel k = fake_kernel(&f);

	(void)state;
	for (uint32_t m = 0; m < MAPS; m++) {
		struct kobj *o = vec_add(a, &after);

		o->kind = KOBJ_MAP;
		o->map = (struct kobj_map){.path = map_names[m], .outer = ""};
	}
	diff_build(a, &(struct kobj_set){0}, &after, &steps);
	assert_int_equal(steps.n, 3);
	fake_fill(&f, &(struct kobj_set){0});
	f.fail_at = 1;
	f.fail_again_at = 3;
	assert_int_equal(apply_steps(&k, &steps, &done, &why), -EIO);
	assert_ptr_equal(why.step, &steps.v[1]);
	assert_false(why.undone);
	assert_ptr_equal(why.stuck, &steps.v[2]);
	assert_string_equal(why.undo_text, "Input/output error: refused");
	assert_int_equal(f.n, 1);
	assert_string_equal(f.v[0].map.path, map_names[2]);
	arena_free(a);
}

/* What was applied can be taken back as a whole until apply_done. */
static void test_revert(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct arena *a = arena_new();
		struct kobj_set before = {0}, after = {0};
		struct steps steps = {0};
		struct refusal why;
		struct applied *done;
		char text[64];
		struct fake f;
		struct kernel k = fake_kernel(&f);

		random_set(a, &before);
		random_set(a, &after);
		fake_fill(&f, &before);
		diff_build(a, &before, &after, &steps);
		assert_int_equal(apply_steps(&k, &steps, &done, &why), 0);
		assert_int_equal(apply_revert(done, text, sizeof(text)), 0);
		assert_holds(&f, &before);
		apply_done(done);
		arena_free(a);
	}
}

/* Creations by kind, then deletions by kind backwards; clsact stays because other people's filters may be on it. */
static void test_order_and_shared_qdisc(void **state)
{
	struct arena *a = arena_new();
	struct kobj_set before = {0}, after = {0};
	struct steps steps = {0};
	struct kobj *o;

	(void)state;
	o = vec_add(a, &before);
	o->kind = KOBJ_QDISC;
	o->qdisc = (struct kobj_qdisc){.ifindex = 1, .parent = 0xfffffff1, .q.kind = QDISC_CLSACT};
	o = vec_add(a, &before);
	o->kind = KOBJ_ACTION;
	o->police = (struct kobj_police){.index = KOBJ_POLICE_FIRST};
	o = vec_add(a, &before);
	o->kind = KOBJ_FILTER;
	o->filter = (struct kobj_filter){.ifindex = 1, .pref = KOBJ_PREF_CLASSES, .handle = 1, .name = "x"};
	o = vec_add(a, &after);
	o->kind = KOBJ_MAP;
	o->map = (struct kobj_map){.path = "m", .outer = ""};
	kobj_set_sort(&before);
	diff_build(a, &before, &after, &steps);
	assert_int_equal(steps.n, 3);
	assert_int_equal(steps.v[0].after->kind, KOBJ_MAP);
	assert_int_equal(steps.v[1].before->kind, KOBJ_FILTER);
	assert_int_equal(steps.v[2].before->kind, KOBJ_ACTION);
	arena_free(a);
}

static struct kobj *want_qdisc(struct arena *a, struct kobj_set *s, enum kobj_kind kind, int ifindex, uint32_t parent,
			       uint32_t handle)
{
	struct kobj *o = vec_add(a, s);

	o->kind = kind;
	o->qdisc = (struct kobj_qdisc){.ifindex = ifindex, .parent = parent, .handle = handle};
	return o;
}

/* A tree with one class and its leaf. */
static void want_tree(struct arena *a, struct kobj_set *s, int ifindex, uint32_t parent, uint32_t major)
{
	struct kobj *cls;

	want_qdisc(a, s, KOBJ_QDISC, ifindex, parent, major)->level = parent != 0xffffffff;
	cls = vec_add(a, s);
	cls->kind = KOBJ_CLASS;
	cls->cls = (struct kobj_class){.ifindex = ifindex, .classid = major | 2, .parent = 0xffffffff};
	want_qdisc(a, s, KOBJ_LEAF, ifindex, major | 2, 0x20000 + (major & 0xff0000));
}

/* Each tree is whole before the next begins, and clsact comes just before the filters. Deletions go backwards. */
static void test_trees_one_by_one(void **state)
{
	static const struct {
		enum kobj_kind kind;
		int ifindex;
		uint32_t parent;
	} order[] = {
		{KOBJ_QDISC, 1, 0xffffffff},
		{KOBJ_QDISC, 1, KOBJ_ROOT_HANDLE | 1},
		{KOBJ_CLASS, 1, 0xffffffff},
		{KOBJ_LEAF, 1, KOBJ_SHARD(1) | 2},
		{KOBJ_QDISC, 1, KOBJ_ROOT_HANDLE | 2},
		{KOBJ_CLASS, 1, 0xffffffff},
		{KOBJ_LEAF, 1, KOBJ_SHARD(2) | 2},
		{KOBJ_QDISC, 2, 0xffffffff},
		{KOBJ_CLASS, 2, 0xffffffff},
		{KOBJ_LEAF, 2, KOBJ_ROOT_HANDLE | 2},
		{KOBJ_ACTION, 0, 0},
		{KOBJ_QDISC, 1, 0xfffffff1},
		{KOBJ_FILTER, 1, 0xfffffff2},
	};
	const size_t n = sizeof(order) / sizeof(order[0]);
	struct arena *a = arena_new();
	struct kobj_set none = {0}, wanted = {0};
	struct steps there = {0}, back = {0};
	struct kobj *o;

	(void)state;
	want_qdisc(a, &wanted, KOBJ_QDISC, 1, 0xffffffff, KOBJ_ROOT_HANDLE)->qdisc.q.kind = QDISC_MQ;
	want_tree(a, &wanted, 1, KOBJ_ROOT_HANDLE | 1, KOBJ_SHARD(1));
	want_tree(a, &wanted, 1, KOBJ_ROOT_HANDLE | 2, KOBJ_SHARD(2));
	want_tree(a, &wanted, 2, 0xffffffff, KOBJ_ROOT_HANDLE);
	want_qdisc(a, &wanted, KOBJ_QDISC, 1, 0xfffffff1, 0xffff0000)->qdisc.q.kind = QDISC_CLSACT;
	o = vec_add(a, &wanted);
	o->kind = KOBJ_ACTION;
	o->police = (struct kobj_police){.index = KOBJ_POLICE_FIRST};
	o = vec_add(a, &wanted);
	o->kind = KOBJ_FILTER;
	o->filter = (struct kobj_filter){
		.ifindex = 1, .parent = 0xfffffff2, .pref = KOBJ_PREF_CLASSES, .handle = 1, .name = "x"};
	kobj_set_sort(&wanted);
	diff_build(a, &none, &wanted, &there);
	assert_int_equal(there.n, n);
	for (size_t i = 0; i < n; i++) {
		o = (struct kobj *)there.v[i].after;
		assert_int_equal(o->kind, order[i].kind);
		if (o->kind == KOBJ_ACTION)
			continue;
		assert_int_equal(o->kind == KOBJ_CLASS ? o->cls.ifindex : o->qdisc.ifindex, order[i].ifindex);
		if (o->kind == KOBJ_QDISC || o->kind == KOBJ_LEAF)
			assert_int_equal(o->qdisc.parent, order[i].parent);
	}
	diff_build(a, &wanted, &none, &back);
	assert_int_equal(back.n, n - 1); /* clsact stays */
	for (size_t i = 0, j = n; i < back.n; i++) {
		j -= order[j - 1].kind == KOBJ_QDISC && order[j - 1].parent == 0xfffffff1 ? 2 : 1;
		assert_ptr_equal(back.v[i].before, there.v[j].after);
	}
	arena_free(a);
}

static struct kobj *want_class(struct arena *a, struct kobj_set *s, uint32_t classid, uint32_t parent, uint32_t level)
{
	struct kobj *o = vec_add(a, s);

	o->kind = KOBJ_CLASS;
	o->level = level;
	o->cls = (struct kobj_class){.ifindex = 1, .classid = classid, .parent = parent};
	return o;
}

/* A tree with the default below a class of its own. */
static void want_deep_tree(struct arena *a, struct kobj_set *s, uint32_t parent, uint32_t major)
{
	want_qdisc(a, s, KOBJ_QDISC, 1, parent, major)->level = 1;
	want_class(a, s, major | 1, 0xffffffff, 0);
	want_class(a, s, major | 2, major | 1, 1);
	want_class(a, s, major | 3, major | 2, 2);
	want_class(a, s, major | 4, major | 1, 1);
	want_class(a, s, major | KOBJ_DEFAULT_MINOR, major | 4, 2);
}

/* While a tree has no default class htb lets everything pass: it comes first, with what is above it, and goes last,
 * tree by tree. */
static void test_default_comes_first(void **state)
{
	static const uint32_t order[] = {1, 4, KOBJ_DEFAULT_MINOR, 2, 3};
	const size_t n = sizeof(order) / sizeof(order[0]);
	struct arena *a = arena_new();
	struct kobj_set mq = {0}, wanted = {0};
	struct steps there = {0}, back = {0};

	(void)state;
	want_qdisc(a, &mq, KOBJ_QDISC, 1, 0xffffffff, KOBJ_ROOT_HANDLE)->qdisc.q.kind = QDISC_MQ;
	want_qdisc(a, &wanted, KOBJ_QDISC, 1, 0xffffffff, KOBJ_ROOT_HANDLE)->qdisc.q.kind = QDISC_MQ;
	want_deep_tree(a, &wanted, KOBJ_ROOT_HANDLE | 1, KOBJ_SHARD(1));
	want_deep_tree(a, &wanted, KOBJ_ROOT_HANDLE | 2, KOBJ_SHARD(2));
	kobj_set_sort(&wanted);
	diff_build(a, &mq, &wanted, &there);
	assert_int_equal(there.n, 2 * (n + 1));
	for (uint32_t shard = 1; shard <= 2; shard++) {
		size_t at = (shard - 1) * (n + 1);

		assert_int_equal(there.v[at].after->kind, KOBJ_QDISC);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(there.v[at + 1 + i].after->cls.classid, KOBJ_SHARD(shard) | order[i]);
	}
	diff_build(a, &wanted, &mq, &back);
	assert_int_equal(back.n, there.n);
	for (size_t i = 0; i < back.n; i++)
		assert_ptr_equal(back.v[i].before, there.v[there.n - 1 - i].after);
	arena_free(a);
}

/* The default moves below a class that moves itself, away from another that does: what is taken down goes by what is
 * there, what is made comes by what is wanted. */
static void test_default_moves(void **state)
{
	const uint32_t root = KOBJ_ROOT_HANDLE;
	struct arena *a = arena_new();
	struct kobj_set before = {0}, after = {0};
	struct steps steps = {0};

	(void)state;
	want_qdisc(a, &before, KOBJ_QDISC, 1, 0xffffffff, root);
	want_class(a, &before, root | 1, 0xffffffff, 0)->cls.inner = true;
	want_class(a, &before, root | 2, root | 1, 1)->cls.inner = true;
	want_class(a, &before, root | 3, root | 2, 2);
	want_class(a, &before, root | 4, root | 1, 1);
	want_class(a, &before, root | KOBJ_DEFAULT_MINOR, root | 1, 1);
	want_qdisc(a, &after, KOBJ_QDISC, 1, 0xffffffff, root);
	want_class(a, &after, root | 1, 0xffffffff, 0)->cls.inner = true;
	want_class(a, &after, root | 4, root | 1, 1)->cls.inner = true;
	want_class(a, &after, root | 2, root | 4, 2);
	want_class(a, &after, root | 3, root | 1, 1)->cls.inner = true;
	want_class(a, &after, root | KOBJ_DEFAULT_MINOR, root | 3, 2);
	kobj_set_sort(&before);
	kobj_set_sort(&after);
	diff_build(a, &before, &after, &steps);
	for (size_t i = 0; i < steps.n; i++) {
		const struct kobj *gone = steps.v[i].after ? NULL : steps.v[i].before;
		const struct kobj *made = steps.v[i].before ? NULL : steps.v[i].after;

		for (size_t j = i + 1; j < steps.n; j++) {
			const struct step *later = &steps.v[j];

			if (gone && !later->after)
				assert_int_not_equal(later->before->cls.parent, gone->cls.classid);
			if (made && !later->before)
				assert_int_not_equal(later->after->cls.classid, made->cls.parent);
		}
	}
	assert_int_equal(steps.n, 6); /* 2, 3 and the default, down and up */
	arena_free(a);
}

static void want_through_ifb(struct arena *a, struct kobj_set *s, uint32_t queues)
{
	struct kobj *o = vec_add(a, s);

	o->kind = KOBJ_LINK;
	o->link = (struct kobj_link){.ifindex = 9, .name = "ifb", .of = "wan0", .tx_queues = queues, .up = true};
	want_qdisc(a, s, KOBJ_QDISC, 1, 0xfffffff1, 0xffff0000)->qdisc.q.kind = QDISC_CLSACT;
	o = vec_add(a, s);
	o->kind = KOBJ_FILTER;
	o->filter = (struct kobj_filter){
		.ifindex = 1, .parent = 0xfffffff2, .pref = KOBJ_PREF_PASS, .handle = 1, .name = "x", .redirect = 9};
	kobj_set_sort(s);
}

/* A redirect whose device went drops what it is given: the filter goes before, and comes after. */
static void test_filter_goes_with_its_ifb(void **state)
{
	static const struct {
		enum kobj_kind kind;
		bool made;
	} order[] = {{KOBJ_FILTER, false}, {KOBJ_LINK, false}, {KOBJ_LINK, true}, {KOBJ_FILTER, true}};
	struct arena *a = arena_new();
	struct kobj_set four = {0}, one = {0};
	struct steps steps = {0};

	(void)state;
	want_through_ifb(a, &four, 4);
	want_through_ifb(a, &one, 1);
	diff_build(a, &four, &one, &steps);
	assert_int_equal(steps.n, 4);
	for (size_t i = 0; i < 4; i++) {
		const struct step *s = &steps.v[i];

		assert_int_equal((s->after ? s->after : s->before)->kind, order[i].kind);
		assert_true(order[i].made ? s->after && !s->before : s->before && !s->after);
	}
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apply_reaches_wanted),     cmocka_unit_test(test_failure_at_every_step),
		cmocka_unit_test(test_failure_on_the_way_back),  cmocka_unit_test(test_revert),
		cmocka_unit_test(test_order_and_shared_qdisc),   cmocka_unit_test(test_trees_one_by_one),
		cmocka_unit_test(test_default_comes_first),      cmocka_unit_test(test_default_moves),
		cmocka_unit_test(test_filter_goes_with_its_ifb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
