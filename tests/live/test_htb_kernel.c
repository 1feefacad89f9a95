/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ifb devices, root qdiscs, htb classes and leaves against the running kernel, in a network namespace of the test's
 * own: made, changed, moved, undone, removed, and each time state_read sees exactly what was asked for. tc and ip are
 * the second witness. Needs root (77 without); kinds of qdiscs that the kernel lacks are left out.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/pkt_sched.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../samples.h"
#include "caps.h"
#include "diff.h"
#include "ifb.h"
#include "kernel.h"
#include "prog.h"
#include "qdisc_codec.h"
#include "tc_class.h"
#include "tc_qdisc.h"
#include "world.h"

#define ROUNDS  40
#define CLASSES 3000

static struct caps caps;
static const struct qdisc_device ethernet = {.frame = 1514, .txqlen = 32}; /* what an ifb is like */

/* No filters here. */
int prog_load(const struct prog_spec *spec, prog_map_fd map_fd, void *ctx, char *log, size_t log_size)
{
	(void)spec, (void)map_fd, (void)ctx, (void)log, (void)log_size;
	return -ENOSYS;
}

/* ---- a world with an ifb, on which everything is put ---- */

static struct kobj_link *want_ifb(struct world *w, const char *of, uint32_t queues)
{
	struct kobj_link *l = &world_want(w, KOBJ_LINK)->link;

	l->ifindex = ifb_index(of);
	ifb_name(l->name, of);
	(void)snprintf(l->of, sizeof(l->of), "%s", of); /* fits */
	l->tx_queues = queues;
	l->up = true;
	return l;
}

static void forget(struct world *w)
{
	w->want = (struct kobj_set){0};
	want_ifb(w, "wan0", 1);
}

static int set_up(void **state)
{
	struct world *w;

	assert_int_equal(world_set_up(state), 0);
	w = *state;
	world_run("ip link set lo up; sysctl -qw net.ipv6.conf.default.disable_ipv6=1 2>/dev/null || true");
	w->ifindex = ifb_index("wan0");
	w->ifname = "ifb";
	forget(w);
	return 0;
}

/* ---- wanted objects ---- */

static void want_root(struct world *w)
{
	struct kobj_qdisc *q = &world_want(w, KOBJ_QDISC)->qdisc;

	*q = (struct kobj_qdisc){.ifindex = w->ifindex, .handle = KOBJ_ROOT_HANDLE, .parent = TC_H_ROOT};
	qdisc_defaults(&q->q, QDISC_HTB, &ethernet);
	q->q.htb.default_minor = KOBJ_DEFAULT_MINOR;
}

static struct kobj_class *want_class(struct world *w, uint32_t parent, uint32_t number, uint64_t rate_Bps)
{
	struct kobj *o = world_want(w, KOBJ_CLASS);

	o->cls = (struct kobj_class){
		.ifindex = w->ifindex,
		.classid = KOBJ_ROOT_HANDLE | number,
		.parent = parent ? KOBJ_ROOT_HANDLE | parent : TC_H_ROOT,
		.rate_Bps = rate_Bps,
		.ceil_Bps = 2 * rate_Bps,
		.burst_ticks = 100000,
		.cburst_ticks = 50000,
		.quantum = 3000,
		.prio = number % 8,
		.linklayer = TC_LINKLAYER_ETHERNET,
	};
	for (size_t i = 0; parent && i + 1 < w->want.n; i++) {
		struct kobj *p = &w->want.v[i];

		if (p->kind != KOBJ_CLASS || p->cls.classid != o->cls.parent)
			continue;
		p->cls.inner = true;
		o->level = p->level + 1;
	}
	return &o->cls;
}

static struct qdisc *want_leaf(struct world *w, uint32_t number, enum qdisc_kind kind)
{
	struct kobj_qdisc *q = &world_want(w, KOBJ_LEAF)->qdisc;

	*q = (struct kobj_qdisc){.ifindex = w->ifindex, .handle = number << 16, .parent = KOBJ_ROOT_HANDLE | number};
	qdisc_defaults(&q->q, kind, &ethernet);
	return &q->q;
}

/* A root with two classes and the default one. */
static void want_small_tree(struct world *w)
{
	want_root(w);
	want_class(w, 0, 1, 12500000);
	want_class(w, 1, 2, 2500000);
	want_class(w, 1, 3, 5000000);
	want_class(w, 1, KOBJ_DEFAULT_MINOR, 1250000);
	want_leaf(w, 2, QDISC_PFIFO);
	want_leaf(w, 3, QDISC_BFIFO)->fifo.limit = 30000;
	want_leaf(w, KOBJ_DEFAULT_MINOR, QDISC_PFIFO)->fifo.limit = 50;
}

static struct kobj *wanted_class(struct world *w, uint32_t number)
{
	for (size_t i = 0; i < w->want.n; i++)
		if (w->want.v[i].kind == KOBJ_CLASS && TC_H_MIN(w->want.v[i].cls.classid) == number)
			return &w->want.v[i];
	return NULL;
}

/* ---- the way to the kernel and back ---- */

static void apply_and_revert(struct world *w)
{
	struct kobj_set before = world_observe(w), after;

	world_revert(world_apply(w));
	after = world_observe(w);
	world_assert_same(w, &after, &before);
	world_apply_and_keep(w);
}

/* Packets of 1,000 bytes into a class, as a classifier on clsact would: by their priority. */
static void send_into(uint32_t classid, int packets)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = inet_addr("192.0.2.1")};
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char data[958] = {0};

	assert_true(s >= 0);
	assert_int_equal(setsockopt(s, SOL_SOCKET, SO_PRIORITY, &classid, sizeof(classid)), 0);
	for (int i = 0; i < packets; i++)
		assert_int_equal(sendto(s, data, sizeof(data), 0, (struct sockaddr *)&to, sizeof(to)), sizeof(data));
	(void)close(s);
}

static void route_over_ifb(void)
{
	char name[IFNAMSIZ], command[128];

	(void)snprintf(command, sizeof(command), "ip addr add 192.0.2.9/24 dev %s", ifb_name(name, "wan0"));
	world_run(command);
}

struct wanted_stats {
	uint32_t classid;
	struct tc_class_stats stats;
};

static int note_stats(void *ctx, const struct kobj_class *c, const struct tc_class_stats *stats)
{
	struct wanted_stats *s = ctx;

	if (c->classid == s->classid)
		s->stats = *stats;
	return 0;
}

static struct tc_class_stats stats_of(struct world *w, uint32_t number)
{
	struct wanted_stats s = {.classid = KOBJ_ROOT_HANDLE | number};

	assert_int_equal(tc_class_stats(w->nl, w->ifindex, KOBJ_ROOT_HANDLE, note_stats, &s), 0);
	return s.stats;
}

/* ---- cases ---- */

static void a_tree_is_made_and_seen_as_it_was_asked_for(void **state)
{
	struct world *w = *state;
	char command[128], name[IFNAMSIZ];

	want_small_tree(w);
	world_apply_and_keep(w);
	(void)snprintf(command, sizeof(command), "tc -d class show dev %s", ifb_name(name, "wan0"));
	assert_contains(world_output(command),
			"class htb 5100:3 parent 5100:1 leaf 3: prio 3 quantum 3000 rate 40Mbit ceil 80Mbit");
	(void)snprintf(command, sizeof(command), "tc -j qdisc show dev %s", name);
	assert_contains(world_output(command), "\"handle\":\"5100:\",\"root\":true");
	assert_contains(world_output(command), "\"default\":\"0xfffe\"");
	assert_contains(world_output(command),
			"\"kind\":\"bfifo\",\"handle\":\"3:\",\"parent\":\"5100:3\",\"options\":{\"limit\":30000}");
	(void)snprintf(command, sizeof(command), "ip link show %s", name);
	assert_contains(world_output(command), "alias qosd ifb of wan0");
	assert_contains(world_output(command), "UP");
}

static void a_second_apply_finds_nothing_to_do(void **state)
{
	struct world *w = *state;
	struct steps steps = {0};
	struct kobj_set seen;

	want_small_tree(w);
	world_apply_and_keep(w);
	seen = world_observe(w);
	diff_build(w->a, &seen, &w->want, &steps);
	assert_int_equal(steps.n, 0);
}

static void a_change_keeps_counters_and_neighbours(void **state)
{
	struct world *w = *state;
	struct steps steps = {0};
	struct kobj_set seen;

	want_small_tree(w);
	world_apply_and_keep(w);
	route_over_ifb();
	send_into(KOBJ_ROOT_HANDLE | 2, 7);
	send_into(KOBJ_ROOT_HANDLE | 3, 5);
	assert_int_equal(stats_of(w, 2).packets, 7);
	assert_int_equal(stats_of(w, 3).packets, 5);
	assert_int_equal(stats_of(w, 3).bytes, 5000);
	assert_int_equal(stats_of(w, 1).packets, 12);
	wanted_class(w, 2)->cls.rate_Bps = 3000000;
	wanted_class(w, 2)->cls.quantum = 6000;
	wanted_class(w, 2)->cls.prio = 0;
	seen = world_observe(w);
	diff_build(w->a, &seen, &w->want, &steps);
	assert_int_equal(steps.n, 1); /* one class, one message */
	apply_and_revert(w);
	assert_int_equal(stats_of(w, 2).packets, 7);
	assert_int_equal(stats_of(w, 3).packets, 5);
}

static void what_is_not_classed_goes_to_the_default(void **state)
{
	struct world *w = *state;

	want_small_tree(w);
	world_apply_and_keep(w);
	route_over_ifb();
	send_into(0, 3);
	send_into(KOBJ_ROOT_HANDLE | 0x77, 2); /* no such class */
	assert_int_equal(stats_of(w, KOBJ_DEFAULT_MINOR).packets, 5);
}

static void a_leaf_is_changed_in_place(void **state)
{
	struct world *w = *state;

	want_small_tree(w);
	world_apply_and_keep(w);
	for (size_t i = 0; i < w->want.n; i++)
		if (w->want.v[i].kind == KOBJ_LEAF)
			w->want.v[i].qdisc.q.fifo.limit += 1000;
	apply_and_revert(w);
}

/* What the kernel says of each kind is what was asked for, created and changed. */
static void every_kind_of_leaf_in_every_shape(void **state)
{
	struct sampler s = {.seed = 424242, .caps = &caps, .dev = ethernet};
	struct world *w = *state;
	int tried = 0;

	for (int k = 0; k < QDISC_KINDS; k++) {
		const struct cap_result *cap = caps_of_qdisc(&caps, (enum qdisc_kind)k);

		if (!qdisc_is_leaf((enum qdisc_kind)k))
			continue;
		assert_non_null(cap);
		if (!cap->has) {
			print_message("left out: %s\n", cap->how);
			continue;
		}
		tried++;
		for (int i = 0; i < 25; i++) {
			char text[512];

			forget(w);
			want_root(w);
			want_class(w, 0, KOBJ_DEFAULT_MINOR, 1250000);
			sample_qdisc(&s, (enum qdisc_kind)k, want_leaf(w, KOBJ_DEFAULT_MINOR, (enum qdisc_kind)k), text,
				     sizeof(text));
			world_apply_and_keep(w);
		}
	}
	assert_true(tried >= 4);
}

/* qdisc_defaults is what the kernel gives where tc says nothing. */
static void the_kernels_own_defaults(void **state)
{
	struct world *w = *state;
	char command[256], name[IFNAMSIZ];

	want_root(w);
	want_class(w, 0, KOBJ_DEFAULT_MINOR, 1250000);
	want_leaf(w, KOBJ_DEFAULT_MINOR, QDISC_PFIFO);
	world_apply_and_keep(w);
	for (int k = 0; k < QDISC_KINDS; k++) {
		const struct cap_result *cap = caps_of_qdisc(&caps, (enum qdisc_kind)k);
		struct kobj_set seen;

		if (!qdisc_is_leaf((enum qdisc_kind)k) || k == QDISC_TBF || !cap->has)
			continue;
		(void)snprintf(
			command, sizeof(command),
			"tc qdisc del dev %s parent 5100:fffe; tc qdisc add dev %s parent 5100:fffe handle fffe: %s",
			ifb_name(name, "wan0"), name, qdisc_name((enum qdisc_kind)k));
		world_run(command);
		forget(w);
		want_root(w);
		want_class(w, 0, KOBJ_DEFAULT_MINOR, 1250000);
		want_leaf(w, KOBJ_DEFAULT_MINOR, (enum qdisc_kind)k);
		kobj_set_sort(&w->want);
		seen = world_observe(w);
		world_assert_same(w, &seen, &w->want);
	}
}

static void a_class_gets_children_and_loses_them(void **state)
{
	struct world *w = *state;

	want_small_tree(w);
	world_apply_and_keep(w);
	/* 3 was a leaf. */
	forget(w);
	want_root(w);
	want_class(w, 0, 1, 12500000);
	want_class(w, 1, 2, 2500000);
	want_class(w, 1, 3, 5000000);
	want_class(w, 3, 4, 1250000);
	want_class(w, 3, 5, 1250000);
	want_class(w, 1, KOBJ_DEFAULT_MINOR, 1250000);
	want_leaf(w, 2, QDISC_PFIFO);
	want_leaf(w, 4, QDISC_PFIFO);
	want_leaf(w, 5, QDISC_PFIFO);
	want_leaf(w, KOBJ_DEFAULT_MINOR, QDISC_PFIFO)->fifo.limit = 50;
	apply_and_revert(w);
	/* And is one again, with other parameters. */
	forget(w);
	want_small_tree(w);
	wanted_class(w, 3)->cls.quantum = 7777;
	wanted_class(w, 3)->cls.prio = 1;
	apply_and_revert(w);
}

static void a_class_that_somebody_moved_is_put_back(void **state)
{
	struct world *w = *state;
	char command[512], name[IFNAMSIZ];

	want_small_tree(w);
	world_apply_and_keep(w);
	(void)snprintf(
		command, sizeof(command),
		"tc class del dev %s classid 5100:3 && tc class add dev %s parent 5100: classid 5100:3 htb rate 1mbit "
		"&& "
		"tc class add dev %s parent 5100:3 classid 5100:9 htb rate 1mbit && tc qdisc del dev %s parent 5100:2",
		ifb_name(name, "wan0"), name, name, name);
	world_run(command);
	apply_and_revert(w);
}

static void another_default_builds_the_tree_anew(void **state)
{
	struct world *w = *state;
	char command[512], name[IFNAMSIZ];
	struct steps steps = {0};
	struct kobj_set seen;

	(void)snprintf(command, sizeof(command),
		       "tc qdisc add dev %s root handle 5100: htb default 5 && tc class add dev %s parent 5100: "
		       "classid 5100:1 "
		       "htb rate 1mbit && tc class add dev %s parent 5100:1 classid 5100:2 htb rate 1mbit",
		       ifb_name(name, "wan0"), name, name);
	world_apply_and_keep(w);
	world_run(command);
	want_small_tree(w);
	kobj_set_sort(&w->want);
	seen = world_observe(w);
	diff_build(w->a, &seen, &w->want, &steps);
	assert_string_equal(steps.v[2].rebuild, "htb has no change operation");
	apply_and_revert(w);
}

static void a_foreign_root_stays_until_its_place_is_wanted(void **state)
{
	struct world *w = *state;
	char command[128], name[IFNAMSIZ];
	struct kobj_set seen;
	struct refusal why;
	struct applied *done;

	world_apply_and_keep(w);
	(void)snprintf(command, sizeof(command), "tc qdisc add dev %s root handle 7: pfifo limit 77",
		       ifb_name(name, "wan0"));
	world_run(command);
	apply_done(world_apply(w));
	seen = world_observe(w);
	assert_int_equal(seen.n, 2);
	assert_true(seen.v[1].kind == KOBJ_QDISC && tc_qdisc_is_foreign(&seen.v[1].qdisc));
	assert_int_equal(seen.v[1].qdisc.q.fifo.limit, 77);
	want_small_tree(w);
	apply_and_revert(w);
	/* Of classes of somebody else's we know nothing. */
	(void)snprintf(command, sizeof(command), "tc qdisc replace dev %s root handle 8: htb", name);
	world_run(command);
	assert_int_equal(world_try_apply(w, &done, &why), -EEXIST);
	assert_contains(why.text, "could not be put back");
	assert_contains(world_output("tc qdisc"), "htb 8: dev");
}

static void only_our_ifb_is_removed(void **state)
{
	struct world *w = *state;
	char command[256], name[IFNAMSIZ];
	struct kobj_set seen, before;

	world_run("ip link add ifb9 type ifb && ip link set ifb9 alias 'qosd is nice' && ip link add qosd0000beef type "
		  "ifb");
	(void)snprintf(command, sizeof(command), "ip link add name %s index %d type ifb", ifb_name(name, "half"),
		       ifb_index("half"));
	world_run(command); /* as if its maker had been killed before the alias */
	want_small_tree(w);
	apply_done(world_apply(w));
	seen = world_observe(w);
	world_assert_same(w, &seen, &w->want);
	before = seen;
	w->want = (struct kobj_set){0};
	world_revert(world_apply(w));
	seen = world_observe(w);
	world_assert_same(w, &seen, &before);
	w->want = (struct kobj_set){0};
	world_apply_and_keep(w);
	assert_contains(world_output("ip link"), "ifb9");
	assert_contains(world_output("ip link"), "qosd0000beef");
	assert_null(strstr(world_output("ip link"), name));
}

/* Somebody's filters keep clsact where it is; then the device is refused to go. */
static void a_clsact_that_stayed_is_not_put_back(void **state)
{
	struct world *w = *state;
	char command[256], name[IFNAMSIZ];
	struct kobj_set seen, before;
	struct applied *done;
	struct refusal why;

	world_want(w, KOBJ_QDISC)->qdisc = (struct kobj_qdisc){.ifindex = w->ifindex,
							       .handle = TC_H_MAKE(TC_H_CLSACT, 0),
							       .parent = TC_H_CLSACT,
							       .q.kind = QDISC_CLSACT};
	world_apply_and_keep(w);
	before = world_observe(w);
	(void)snprintf(command, sizeof(command),
		       "tc filter add dev %s egress pref 10 protocol ip u32 match u32 0 0 classid 1:1",
		       ifb_name(name, "wan0"));
	world_run(command);
	w->want = (struct kobj_set){0};
	kernel_fail_at(w->k, 1);
	assert_int_equal(world_try_apply(w, &done, &why), -EIO);
	if (!why.undone)
		fail_msg("%s", why.undo_text);
	seen = world_observe(w);
	world_assert_same(w, &seen, &before);
}

/* And not a device that had gone by itself. */
static void an_ifb_that_was_gone_is_not_put_back(void **state)
{
	struct world *w = *state;
	char command[64], name[IFNAMSIZ];
	struct kobj_set seen;
	struct steps steps = {0};
	struct applied *done;
	struct refusal why;

	want_small_tree(w);
	world_apply_and_keep(w);
	seen = world_observe(w);
	diff_build(w->a, &seen, &(struct kobj_set){0}, &steps);
	(void)snprintf(command, sizeof(command), "ip link delete %s", ifb_name(name, "wan0"));
	world_run(command);
	assert_int_equal(apply_steps(w->k, &steps, &done, &why), 0);
	world_revert(done);
	seen = world_observe(w);
	assert_int_equal(seen.n, 0);
}

static void more_queues_are_another_device(void **state)
{
	struct world *w = *state;

	want_small_tree(w);
	world_apply_and_keep(w);
	w->want.v[0].link.tx_queues = 4;
	apply_and_revert(w);
	assert_contains(world_output("ip -d link"), "numtxqueues 4");
}

static void shards(void **state)
{
	struct world *w = *state;
	struct kobj_qdisc *q;
	struct kobj *o;

	w->want = (struct kobj_set){0};
	want_ifb(w, "wan0", 4);
	q = &world_want(w, KOBJ_QDISC)->qdisc;
	*q = (struct kobj_qdisc){.ifindex = w->ifindex, .handle = KOBJ_ROOT_HANDLE, .parent = TC_H_ROOT};
	q->q.kind = QDISC_MQ;
	q->q.mq.trees = 3;
	for (uint32_t i = 1; i <= 3; i++) {
		o = world_want(w, KOBJ_QDISC);
		o->level = 1;
		o->qdisc = (struct kobj_qdisc){
			.ifindex = w->ifindex, .handle = KOBJ_SHARD(i), .parent = KOBJ_ROOT_HANDLE | i};
		qdisc_defaults(&o->qdisc.q, QDISC_HTB, &ethernet);
		o->qdisc.q.htb.default_minor = KOBJ_DEFAULT_MINOR;
		for (uint32_t c = 0; c < 2; c++) {
			struct kobj_class *cls = want_class(w, 0, 10 * i + c, 1250000);

			cls->classid = KOBJ_SHARD(i) | (10 * i + c);
			want_leaf(w, 10 * i + c, QDISC_PFIFO);
			w->want.v[w->want.n - 1].qdisc.parent = cls->classid;
		}
	}
	/* The fourth queue has a qdisc of its own. */
	want_leaf(w, 4, QDISC_PFIFO);
	world_apply_and_keep(w);
	forget(w);
	w->want.v[0].link.tx_queues = 4;
	want_small_tree(w);
	apply_and_revert(w);
}

/* From one random tree to another, with a refusal of one request, each time another one, before it goes through. */
static void from_any_tree_to_any_other(void **state)
{
	struct sampler s = {.seed = 777, .caps = &caps, .dev = ethernet};
	struct world *w = *state;

	for (int round = 0; round < ROUNDS; round++) {
		struct kobj_set before, after;
		struct applied *done;
		struct refusal why;
		bool spread = round / 2 % 3 == 2;
		int err;

		forget(w);
		w->want.v[0].link.tx_queues = spread ? 4 : 1 + (round % 13 == 12);
		if (spread)
			sample_shards(&s, w->a, w->ifindex, 2 + sample(&s, 3), 25, &w->want, NULL, NULL);
		else if (sample(&s, 10))
			sample_tree(&s, w->a, w->ifindex, 25, &w->want, NULL, NULL);
		before = world_observe(w);
		kernel_fail_at(w->k, (int)sample(&s, 60));
		err = world_try_apply(w, &done, &why);
		kernel_fail_at(w->k, -1);
		if (err) {
			if (err != -EIO || !why.undone)
				fail_msg("round %d: %s: %s; %s", round, strerror(-err), why.text, why.undo_text);
			after = world_observe(w);
			world_assert_same(w, &after, &before);
		} else {
			world_revert(done);
			after = world_observe(w);
			world_assert_same(w, &after, &before);
		}
		world_apply_and_keep(w);
	}
}

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void thousands_of_classes(void **state)
{
	struct world *w = *state;
	struct kobj_set seen;
	struct steps steps = {0};
	double t[6];

	want_root(w);
	want_class(w, 0, 1, 1250000000);
	w->want.v[w->want.n - 1].cls.inner = true;
	for (uint32_t i = 0; i < CLASSES; i++) {
		struct kobj *o = world_want(w, KOBJ_CLASS);

		o->level = 1;
		o->cls = (struct kobj_class){.ifindex = w->ifindex,
					     .classid = KOBJ_ROOT_HANDLE | (2 + i),
					     .parent = KOBJ_ROOT_HANDLE | 1,
					     .rate_Bps = 125000,
					     .ceil_Bps = 125000,
					     .burst_ticks = 100000,
					     .cburst_ticks = 100000,
					     .quantum = 1514,
					     .linklayer = TC_LINKLAYER_ETHERNET};
		want_leaf(w, 2 + i, QDISC_PFIFO);
	}
	t[0] = now();
	apply_done(world_apply(w));
	t[1] = now();
	seen = world_observe(w);
	t[2] = now();
	wanted_class(w, 1500)->cls.rate_Bps = 100000;
	diff_build(w->a, &seen, &w->want, &steps);
	assert_int_equal(steps.n, 1);
	t[3] = now();
	apply_done(world_apply(w));
	t[4] = now();
	forget(w);
	apply_done(world_apply(w));
	t[5] = now();
	print_message("%d classes with leaves: made %.2f s, read %.3f s, compared %.3f s, one changed %.3f s, "
		      "removed %.3f s\n",
		      CLASSES, t[1] - t[0], t[2] - t[1], t[3] - t[2], t[4] - t[3], t[5] - t[4]);
	assert_true(t[4] - t[3] < t[1] - t[0]);
	assert_true(t[5] - t[4] < t[1] - t[0]); /* with their root, not one by one */
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, world_tear_down)
	const struct CMUnitTest tests[] = {
		CASE(a_tree_is_made_and_seen_as_it_was_asked_for),
		CASE(a_second_apply_finds_nothing_to_do),
		CASE(a_change_keeps_counters_and_neighbours),
		CASE(what_is_not_classed_goes_to_the_default),
		CASE(a_leaf_is_changed_in_place),
		CASE(every_kind_of_leaf_in_every_shape),
		CASE(the_kernels_own_defaults),
		CASE(a_class_gets_children_and_loses_them),
		CASE(a_class_that_somebody_moved_is_put_back),
		CASE(another_default_builds_the_tree_anew),
		CASE(a_foreign_root_stays_until_its_place_is_wanted),
		CASE(only_our_ifb_is_removed),
		CASE(a_clsact_that_stayed_is_not_put_back),
		CASE(an_ifb_that_was_gone_is_not_put_back),
		CASE(more_queues_are_another_device),
		CASE(shards),
		CASE(from_any_tree_to_any_other),
		CASE(thousands_of_classes),
	};

	if (geteuid() != 0) {
		puts("skip: needs root");
		return 77;
	}
	if (caps_probe(&caps) || !caps.v[CAP_HTB].has || !caps.v[CAP_IFB].has) {
		puts("skip: needs htb and ifb");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
