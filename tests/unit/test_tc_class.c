/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * HTB classes between their struct and rtnetlink, and the order in which trees are changed: every step, and every undo,
 * must find what it needs. The kernel here is a list that refuses what HTB would.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "../samples.h"
#include "diff.h"
#include "nl.h"
#include "tc_class.h"

#define ROUNDS 150

static const struct kobj_class example = {
	.ifindex = 3,
	.classid = 0x51000007,
	.parent = 0x51000001,
	.rate_Bps = 1250000,
	.ceil_Bps = 12500000,
	.burst_ticks = 19200,
	.cburst_ticks = 2000,
	.quantum = 1514,
	.prio = 3,
	.overhead = 26,
	.mpu = 64,
	.linklayer = TC_LINKLAYER_ETHERNET,
};

static struct kobj_class through_a_message(const struct kobj_class *c)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct kobj_class out;

	assert_int_equal(tc_class_decode(tc_class_encode_create(buf, c), &out, NULL), 0);
	return out;
}

static bool same(struct kobj_class a, struct kobj_class b)
{
	struct kobj x = {.kind = KOBJ_CLASS, .cls = a}, y = {.kind = KOBJ_CLASS, .cls = b};

	return tc_class_ops.same(&x, &y);
}

static void a_class_goes_there_and_back(void **state)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct kobj_class again = through_a_message(&example);

	(void)state;
	assert_memory_equal(&again, &example, sizeof(example));
	/* No tables of times: 2 kB a class less. */
	assert_true(tc_class_encode_create(buf, &example)->nlmsg_len < 128);
}

static void rates_above_32_bits(void **state)
{
	struct kobj_class c = example, again;

	(void)state;
	c.rate_Bps = 5000000000;
	c.ceil_Bps = 50000000000;
	again = through_a_message(&c);
	assert_int_equal(again.rate_Bps, 5000000000);
	assert_int_equal(again.ceil_Bps, 50000000000);
}

static void each_difference_is_seen(void **state)
{
	struct kobj_class other;

	(void)state;
	assert_true(same(example, example));
#define DIFFERS(field)                              \
	do {                                        \
		other = example;                    \
		other.field++;                      \
		assert_false(same(example, other)); \
	} while (0)
	DIFFERS(parent);
	DIFFERS(rate_Bps);
	DIFFERS(ceil_Bps);
	DIFFERS(burst_ticks);
	DIFFERS(cburst_ticks);
	DIFFERS(quantum);
	DIFFERS(prio);
	DIFFERS(overhead);
	DIFFERS(mpu);
	DIFFERS(linklayer);
#undef DIFFERS
}

static void quantum_and_prio_of_a_class_with_children_do_not_matter(void **state)
{
	struct kobj_class inner = example, leaf = example;

	(void)state;
	inner.inner = true;
	inner.quantum++;
	assert_true(same(example, inner));
	assert_false(same(inner, leaf)); /* they will when it has none */
}

static void a_moved_class_is_a_rebuild(void **state)
{
	struct kobj before = {.kind = KOBJ_CLASS, .cls = example}, after = before;

	(void)state;
	after.cls.prio = 7;
	assert_null(tc_class_ops.fixed(&before, &after));
	after.cls.parent = 0x51000002;
	assert_string_equal(tc_class_ops.fixed(&before, &after), "a class keeps its parent");
}

static const char *no_name(void *ctx, int ifindex)
{
	(void)ctx;
	(void)ifindex;
	return NULL;
}

static void in_tcs_words(void **state)
{
	struct kobj o = {.kind = KOBJ_CLASS, .cls = example};
	char text[256];
	FILE *f = fmemopen(text, sizeof(text), "w");

	(void)state;
	tc_class_ops.describe(&o, no_name, NULL, f);
	assert_int_equal(fclose(f), 0);
	assert_string_equal(
		text, "class dev #3 parent 5100:1 classid 5100:7 htb prio 3 quantum 1514 rate 10mbit burst 1536b ceil "
		      "100mbit cburst 1600b overhead 26 mpu 64");
}

static void statistics_of_a_class(void **state)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg = tc_class_encode_create(buf, &example);
	struct gnet_stats_basic basic = {.bytes = 5000000000, .packets = 7};
	struct gnet_stats_queue queue = {.qlen = 2, .backlog = 3000, .drops = 4, .overlimits = 5};
	struct tc_htb_xstats htb = {.lends = 6, .borrows = 8, .tokens = -9, .ctokens = 10};
	struct tc_class_stats stats;
	struct kobj_class c;
	uint64_t packets = 1ull << 40;
	struct nlattr *nest = mnl_attr_nest_start(msg, TCA_STATS2);

	(void)state;
	mnl_attr_put(msg, TCA_STATS_BASIC, sizeof(basic), &basic);
	mnl_attr_put(msg, TCA_STATS_QUEUE, sizeof(queue), &queue);
	mnl_attr_put(msg, TCA_STATS_APP, sizeof(htb), &htb);
	mnl_attr_put(msg, TCA_STATS_PKT64, sizeof(packets), &packets);
	mnl_attr_nest_end(msg, nest);
	assert_int_equal(tc_class_decode(msg, &c, &stats), 0);
	assert_true(stats.bytes == 5000000000 && stats.packets == packets && stats.drops == 4 && stats.overlimits == 5);
	assert_true(stats.backlog_bytes == 3000 && stats.backlog_packets == 2 && stats.lends == 6 &&
		    stats.borrows == 8);
	assert_true(stats.tokens == -9 && stats.ctokens == 10);
}

static void what_is_no_class_of_htb(void **state)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg = tc_class_encode_create(buf, &example);
	struct kobj_class c;

	(void)state;
	msg->nlmsg_type = RTM_NEWQDISC;
	assert_int_equal(tc_class_decode(msg, &c, NULL), -ENOENT);
	msg = tc_class_encode_create(buf, &example);
	msg->nlmsg_len = MNL_NLMSG_HDRLEN + sizeof(struct tcmsg);
	assert_int_equal(tc_class_decode(msg, &c, NULL), -ENOENT);
	msg = tc_class_encode_create(buf, &example);
	for (msg->nlmsg_len--; msg->nlmsg_len > MNL_NLMSG_HDRLEN + sizeof(struct tcmsg) + 8; msg->nlmsg_len--)
		assert_int_equal(tc_class_decode(msg, &c, NULL), -EINVAL);
}

/* ---- a kernel that knows what HTB refuses ---- */

struct fake {
	struct kobj v[512];
	size_t n;
};

static struct kobj *fake_find(struct fake *f, const struct kobj *key)
{
	for (size_t i = 0; i < f->n; i++)
		if (kobj_cmp(&f->v[i], key) == 0)
			return &f->v[i];
	return NULL;
}

static struct kobj *fake_container(struct fake *f, const struct kobj *o)
{
	struct kobj key;

	return kobj_container(o, &key) ? fake_find(f, &key) : NULL;
}

static bool has_child(struct fake *f, const struct kobj *o)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].kind == KOBJ_CLASS && fake_container(f, &f->v[i]) == o)
			return true;
	return false;
}

static struct kobj *leaf_of(struct fake *f, const struct kobj *cls)
{
	struct kobj key = {.kind = KOBJ_LEAF, .qdisc = {.ifindex = cls->cls.ifindex, .parent = cls->cls.classid}};

	return fake_find(f, &key);
}

static void carry_out(struct fake *f, const struct kobj *before, const struct kobj *after)
{
	const struct kobj *o = after ? after : before;
	struct kobj *there = fake_find(f, o), *above = fake_container(f, o);

	if (!before) {
		assert_null(there);
		assert_true(o->kind == KOBJ_QDISC || above);
		/* A leaf under a class that has children is refused. The first child would throw a leaf away unseen. */
		if (o->kind == KOBJ_LEAF)
			assert_false(has_child(f, above));
		if (o->kind == KOBJ_CLASS && above->kind == KOBJ_CLASS)
			assert_null(leaf_of(f, above));
		assert_true(f->n < sizeof(f->v) / sizeof(f->v[0]));
		f->v[f->n++] = *after;
		return;
	}
	assert_non_null(there);
	if (after) {
		assert_null(kobj_kinds[o->kind]->fixed(before, after));
		/* Only a class without children takes a quantum. */
		if (o->kind == KOBJ_CLASS && !after->cls.inner)
			assert_false(has_child(f, there));
		*there = *after;
		return;
	}
	if (o->kind == KOBJ_CLASS) {
		assert_false(has_child(f, there));
		assert_null(leaf_of(f, there));
	}
	if (o->kind == KOBJ_QDISC)
		for (size_t i = 0; i < f->n; i++)
			assert_true(fake_container(f, &f->v[i]) != there);
	*there = f->v[--f->n];
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

/* Trees of one seed have the same classes in other places: classes move, get children and lose them, roots change. */
static void from_any_tree_to_any_other_and_back(void **state)
{
	struct sampler s = {.seed = 1234567, .dev = {.frame = 1514, .txqlen = 1000}};
	size_t moved = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct arena *a = arena_new();
		struct kobj_set before = {0}, after = {0};
		struct steps steps = {0};
		struct fake f = {.n = 0};

		if (sample(&s, 8))
			sample_tree(&s, a, 3, 30, &before, NULL, NULL);
		if (sample(&s, 8))
			sample_tree(&s, a, 3, 30, &after, NULL, NULL);
		if (after.n && sample(&s, 4) == 0)
			after.v[0].qdisc.q.htb.default_minor = 1;
		for (; f.n < before.n; f.n++)
			f.v[f.n] = before.v[f.n];
		diff_build(a, &before, &after, &steps);
		for (size_t i = 0; i < steps.n; i++) {
			moved += steps.v[i].rebuild != NULL;
			carry_out(&f, steps.v[i].before, steps.v[i].after);
		}
		assert_holds(&f, &after);
		for (size_t i = steps.n; i > 0; i--)
			carry_out(&f, steps.v[i - 1].after, steps.v[i - 1].before);
		assert_holds(&f, &before);
		arena_free(a);
	}
	assert_true(moved > ROUNDS); /* else this tests nothing */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_class_goes_there_and_back),
		cmocka_unit_test(rates_above_32_bits),
		cmocka_unit_test(each_difference_is_seen),
		cmocka_unit_test(quantum_and_prio_of_a_class_with_children_do_not_matter),
		cmocka_unit_test(a_moved_class_is_a_rebuild),
		cmocka_unit_test(in_tcs_words),
		cmocka_unit_test(statistics_of_a_class),
		cmocka_unit_test(what_is_no_class_of_htb),
		cmocka_unit_test(from_any_tree_to_any_other_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
