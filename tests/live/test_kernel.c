/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every kind of kernel object against the running kernel, in a network namespace and a bpffs of the test's own: made,
 * changed, undone, removed, and each time state_read sees exactly what was asked for. tc and what it prints are the
 * second witness. Needs root (77 without); cases about policers are skipped where the kernel has no act_police.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../bpf/qosd_abi.h"
#include "bpf_map.h"
#include "caps.h"
#include "diff.h"
#include "kernel.h"
#include "links.h"
#include "pins.h"
#include "prog.h"
#include "tc_action.h"
#include "tc_filter.h"
#include "tc_qdisc.h"
#include "tc_rate.h"
#include "world.h"

#define LO      1
#define INGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
#define EGRESS  TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)
#define HOOK    "hooks/lo-ingress"

static struct caps caps;
static int programs_loaded;

/* What the filters run here: a program that reads one configured word of its hook and matches nothing, or that matches
 * all. */
int prog_load(const struct prog_spec *spec, prog_map_fd map_fd, void *ctx, char *log, size_t log_size)
{
	char path[64];
	int conf = -1;

	programs_loaded++;
	if (spec->hook_path) {
		(void)snprintf(path, sizeof(path), "%s/conf", spec->hook_path);
		conf = map_fd(ctx, path);
		if (conf < 0) {
			(void)snprintf(log, log_size, "no map %s", path);
			return -ENOENT;
		}
	}
	const struct bpf_insn uses_map[] = {
		{.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = conf},
		{0},
		{.code = BPF_ST | BPF_W | BPF_MEM, .dst_reg = BPF_REG_10, .off = -4, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = -4},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = TC_ACT_UNSPEC},
		{.code = BPF_JMP | BPF_EXIT},
	};
	const struct bpf_insn matches_all[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	if (spec->hook_path)
		return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "hook", "GPL", uses_map,
				     sizeof(uses_map) / sizeof(uses_map[0]), NULL);
	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "all", "GPL", matches_all,
			     sizeof(matches_all) / sizeof(matches_all[0]), NULL);
}

static const struct prog_spec hook_program = {.kind = PROG_CLASSIFY, .hook_path = HOOK};
static const struct prog_spec plain_program = {.kind = PROG_PASS};

static void needs_police(void)
{
	if (!caps.v[CAP_ACT_POLICE].has) {
		print_message("skipped: %s\n", caps.v[CAP_ACT_POLICE].how);
		skip();
	}
}

/* ---- wanted objects ---- */

static struct kobj *want_map(struct world *w, const char *path, uint32_t type, uint32_t key, uint32_t value,
			     uint32_t max)
{
	struct kobj *o = world_want(w, KOBJ_MAP);

	o->map = (struct kobj_map){
		.path = path, .type = type, .key_size = key, .value_size = value, .max_entries = max, .outer = ""};
	return o;
}

static void want_outer(struct world *w, const char *path, uint32_t inner, uint32_t key, uint32_t value, uint32_t flags)
{
	struct kobj *o = want_map(w, path, BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, QOSD_SETS_MAX);

	o->map.inner_type = inner;
	o->map.inner_key_size = key;
	o->map.inner_value_size = value;
	o->map.inner_flags = flags;
}

static void want_outers(struct world *w)
{
	want_outer(w, "sets_learned", BPF_MAP_TYPE_HASH, sizeof(struct qosd_addr), sizeof(struct qosd_learned), 0);
	want_outer(w, "sets_prefixes", BPF_MAP_TYPE_LPM_TRIE, sizeof(struct qosd_lpm), sizeof(struct qosd_written),
		   BPF_F_NO_PREALLOC);
	want_outer(w, "sets_written", BPF_MAP_TYPE_HASH, sizeof(struct qosd_addr), sizeof(struct qosd_written), 0);
}

static void want_set(struct world *w, const char *name, uint32_t slot, uint32_t learned_max, uint32_t written_max)
{
	struct kobj *o;

	o = want_map(w, arena_printf(w->a, "sets/%s/learned", name), BPF_MAP_TYPE_HASH, sizeof(struct qosd_addr),
		     sizeof(struct qosd_learned), learned_max);
	o->measured = true;
	o->map.outer = "sets_learned";
	o->map.slot = slot;
	o = want_map(w, arena_printf(w->a, "sets/%s/written", name), BPF_MAP_TYPE_HASH, sizeof(struct qosd_addr),
		     sizeof(struct qosd_written), written_max);
	o->map.outer = "sets_written";
	o->map.slot = slot;
	o = want_map(w, arena_printf(w->a, "sets/%s/prefixes", name), BPF_MAP_TYPE_LPM_TRIE, sizeof(struct qosd_lpm),
		     sizeof(struct qosd_written), written_max);
	o->map.flags = BPF_F_NO_PREALLOC;
	o->map.outer = "sets_prefixes";
	o->map.slot = slot;
}

static void want_entry(struct world *w, const char *path, const void *key, size_t key_size, const void *value,
		       size_t value_size)
{
	struct kobj_entry *e = &world_want(w, KOBJ_ENTRY)->entry;

	e->path = path;
	e->key_size = (uint8_t)key_size;
	e->value_size = (uint8_t)value_size;
	memcpy(e->key, key, key_size);
	memcpy(e->value, value, value_size);
}

static struct qosd_addr v4(uint32_t host)
{
	struct qosd_addr a = {.b = {[10] = 0xff, [11] = 0xff}};
	uint32_t n = htonl(host);

	memcpy(&a.b[12], &n, sizeof(n));
	return a;
}

static void want_written(struct world *w, const char *path, uint32_t host, uint64_t up)
{
	struct qosd_addr key = v4(host);
	struct qosd_written value = {.up_Bps = up};

	want_entry(w, path, &key, sizeof(key), &value, sizeof(value));
}

static void want_prefix(struct world *w, const char *path, uint32_t net, uint32_t bits)
{
	struct qosd_lpm key = {.prefixlen = 96 + bits, .addr = v4(net)};
	struct qosd_written value = {0};

	want_entry(w, path, &key, sizeof(key), &value, sizeof(value));
}

static void want_hook(struct world *w, uint32_t classes)
{
	want_map(w, HOOK "/conf", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct qosd_class_conf), classes)->map.flags =
		BPF_F_RDONLY_PROG;
	want_map(w, HOOK "/stats", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct qosd_class_stats), classes)->measured =
		true;
}

static void want_class(struct world *w, uint32_t number, uint64_t rate_Bps)
{
	struct qosd_class_conf conf = {.kind = QOSD_KIND_POLICE};

	tc_rate_mult(rate_Bps, &conf.mult, &conf.shift);
	conf.burst_ns = 250000000;
	want_entry(w, HOOK "/conf", &number, sizeof(number), &conf, sizeof(conf));
}

static void want_clsact(struct world *w)
{
	world_want(w, KOBJ_QDISC)->qdisc = (struct kobj_qdisc){
		.ifindex = LO, .handle = TC_H_MAKE(TC_H_CLSACT, 0), .parent = TC_H_CLSACT, .q.kind = QDISC_CLSACT};
}

static struct kobj_filter *want_filter(struct world *w, uint32_t parent, uint16_t pref, uint32_t handle,
				       const char *name)
{
	struct kobj_filter *f = &world_want(w, KOBJ_FILTER)->filter;

	*f = (struct kobj_filter){
		.ifindex = LO, .parent = parent, .pref = pref, .handle = handle, .name = name, .prog = &plain_program};
	return f;
}

static void want_da_filter(struct world *w, const char *name)
{
	struct kobj_filter *f = want_filter(w, INGRESS, KOBJ_PREF_CLASSIFY, 1, name);

	f->da = true;
	f->prog = &hook_program;
}

static struct kobj_police *want_police(struct world *w, uint32_t number, uint64_t rate_Bps)
{
	struct kobj_police *p = &world_want(w, KOBJ_ACTION)->police;

	*p = (struct kobj_police){
		.index = KOBJ_POLICE_FIRST + number,
		.rate_Bps = rate_Bps,
		.burst_ticks = (uint32_t)(tc_rate_burst_ns(rate_Bps, 65536) >> TC_RATE_TICK_SHIFT),
		.mtu = UINT32_MAX,
		.linklayer = TC_LINKLAYER_ETHERNET,
		.exceed = TC_ACT_SHOT,
		.conform = TC_ACT_OK,
	};
	return p;
}

/* A hook with everything that this kernel can have; version 2 differs in one object of every kind and has some more,
 * and some less. */
static void want_everything(struct world *w, int version)
{
	bool second = version == 2;

	w->want = (struct kobj_set){0};
	want_outers(w);
	want_set(w, "neighbours", 3, 64, 64);
	want_set(w, second ? "guests" : "lan", 4, 64, 64);
	want_written(w, "sets/neighbours/written", 0x0a000001, second ? 2000 : 1000);
	want_written(w, "sets/neighbours/written", second ? 0x0a000003 : 0x0a000002, 0);
	want_prefix(w, "sets/neighbours/prefixes", 0x0a000000, 8);
	want_prefix(w, "sets/neighbours/prefixes", second ? 0xac100000 : 0xc0a80000, 16);
	want_hook(w, second ? 16 : 8);
	want_class(w, 1, 16000);
	want_class(w, 2, second ? 256000 : 128000);
	if (second)
		want_class(w, 12, 1000000);
	else
		want_class(w, 3, 1000000);
	want_clsact(w);
	want_da_filter(w, second ? "classify [2]" : "classify [1]");
	want_filter(w, EGRESS, KOBJ_PREF_CLASSES, 1, "classify_wan [1]")->classid = 0x10001;
	want_filter(w, EGRESS, KOBJ_PREF_CLASSES, 2, "classify_wan [1]")->classid = second ? 0x10007 : 0x10002;
	want_filter(w, EGRESS, KOBJ_PREF_CLASSES, second ? 4 : 3, "classify_wan [1]")->classid = 0x10003;
	if (!caps.v[CAP_ACT_POLICE].has)
		return;
	want_police(w, 1, 16000);
	want_police(w, 2, second ? 32000 : 128000);
	want_police(w, second ? 4 : 3, 6000000000);
	for (size_t i = 0; i < w->want.n; i++) {
		struct kobj_filter *f = &w->want.v[i].filter;

		if (w->want.v[i].kind != KOBJ_FILTER || f->pref != KOBJ_PREF_CLASSES)
			continue;
		f->actions[f->n_actions++] = KOBJ_POLICE_FIRST + f->handle;
		if (f->handle != 1)
			f->actions[f->n_actions++] = KOBJ_POLICE_FIRST + 1;
	}
}

/* ---- what is in the maps ---- */

static int map(struct world *w, const char *path)
{
	int fd;

	pins_refresh(w->pins);
	fd = pins_map(w->pins, path);
	assert_true(fd >= 0);
	return fd;
}

struct counted {
	unsigned n, expected;
	struct qosd_addr last;
};

static void expect(void *ctx, size_t n)
{
	((struct counted *)ctx)->expected = (unsigned)n;
}

static int count_one(void *ctx, const void *key, const void *value)
{
	struct counted *c = ctx;

	(void)value;
	if (c->n++)
		assert_true(memcmp(&c->last, key, sizeof(c->last)) < 0);
	memcpy(&c->last, key, sizeof(c->last));
	return 0;
}

/* Of a map by address, which come in order. */
static unsigned count(int fd)
{
	struct counted c = {0};

	assert_int_equal(bpf_map_each(fd, expect, count_one, &c), 0);
	assert_int_equal(c.expected, c.n);
	return c.n;
}

static void learn(int fd, uint32_t host, uint64_t last_ns)
{
	struct qosd_learned value = {.first_ns = 1, .last_ns = last_ns, .ifindex = 7, .how = QOSD_HOW_ARP};
	struct qosd_addr key = v4(host);

	assert_int_equal(bpf_map_update_elem(fd, &key, &value, BPF_ANY), 0);
}

static uint64_t learned_at(int fd, uint32_t host)
{
	struct qosd_learned value = {0};
	struct qosd_addr key = v4(host);

	return bpf_map_lookup_elem(fd, &key, &value) ? 0 : value.last_ns;
}

/* ---- cases ---- */

static void everything_is_made_and_seen_as_it_was_asked_for(void **state)
{
	struct world *w = *state;
	const char *text;

	want_everything(w, 1);
	world_apply_and_keep(w);
	text = world_output("tc -j qdisc show dev lo");
	assert_contains(text, "\"kind\":\"clsact\"");
	text = world_output("tc -j filter show dev lo ingress");
	assert_contains(text, "\"pref\":20736");
	assert_contains(text, "\"bpf_name\":\"classify [1]\"");
	assert_contains(text, "\"direct-action\":true");
	text = world_output("tc filter show dev lo egress");
	assert_contains(text, "pref 20864 bpf chain 0 handle 0x2 flowid 1:2 classify_wan [1]");
	if (caps.v[CAP_ACT_POLICE].has) {
		assert_contains(text, "police 0x51000002 rate 1024Kbit");
		text = world_output("tc actions show action police");
		assert_contains(text, "police 0x51000003 rate 48Gbit");
	}
}

static void one_program_serves_all_filters_of_its_name(void **state)
{
	struct world *w = *state;
	int before = programs_loaded;

	want_everything(w, 1);
	world_apply_and_keep(w);
	assert_int_equal(programs_loaded - before, 2);
}

static void a_second_apply_finds_nothing_to_do(void **state)
{
	struct world *w = *state;
	struct steps steps = {0};
	struct kobj_set seen;

	want_everything(w, 1);
	world_apply_and_keep(w);
	seen = world_observe(w);
	diff_build(w->a, &seen, &w->want, &steps);
	assert_int_equal(steps.n, 0);
}

static void every_kind_is_changed_in_place(void **state)
{
	struct world *w = *state;

	want_everything(w, 1);
	world_apply_and_keep(w);
	want_everything(w, 2);
	world_apply_and_keep(w);
	assert_contains(world_output("tc filter show dev lo ingress"), "classify [2]");
}

static void everything_is_removed_but_clsact(void **state)
{
	struct world *w = *state;
	struct kobj_set seen;

	want_everything(w, 1);
	world_apply_and_keep(w);
	w->want = (struct kobj_set){0};
	apply_done(world_apply(w));
	seen = world_observe(w);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.v[0].kind, KOBJ_QDISC);
	assert_string_equal(world_output("tc filter show dev lo ingress; tc filter show dev lo egress"), "");
}

static void a_change_is_taken_back(void **state)
{
	struct world *w = *state;
	struct kobj_set before, after;
	struct applied *done;

	want_everything(w, 1);
	world_apply_and_keep(w);
	before = world_observe(w);
	want_everything(w, 2);
	done = world_apply(w);
	world_revert(done);
	after = world_observe(w);
	world_assert_same(w, &after, &before);
}

static void creating_all_is_taken_back(void **state)
{
	struct world *w = *state;
	struct kobj_set after;

	want_everything(w, 1);
	world_revert(world_apply(w));
	after = world_observe(w);
	assert_int_equal(after.n, 0);
	assert_null(strstr(world_output("tc qdisc show dev lo"), "clsact"));
}

/* From the set of one version to that of another (0: nothing), with a refusal of each request in turn. */
static void fail_everywhere(struct world *w, int from, int to)
{
	if (from) {
		want_everything(w, from);
		world_apply_and_keep(w);
	}
	for (int i = 0;; i++) {
		struct kobj_set before = world_observe(w), after;
		struct applied *done;
		struct refusal why;
		int err;

		if (to)
			want_everything(w, to);
		else
			w->want = (struct kobj_set){0};
		kernel_fail_at(w->k, i);
		err = world_try_apply(w, &done, &why);
		kernel_fail_at(w->k, -1);
		if (!err) {
			assert_true(i > 5);
			apply_done(done);
			return;
		}
		assert_int_equal(err, -EIO);
		assert_non_null(why.step);
		if (!why.undone)
			fail_msg("request %d: not undone: %s", i, why.undo_text);
		after = world_observe(w);
		world_assert_same(w, &after, &before);
	}
}

static void a_refusal_anywhere_while_creating_leaves_nothing(void **state)
{
	fail_everywhere(*state, 0, 1);
}

static void a_refusal_anywhere_while_changing_leaves_what_was(void **state)
{
	fail_everywhere(*state, 1, 2);
}

static void a_refusal_anywhere_while_removing_leaves_what_was(void **state)
{
	fail_everywhere(*state, 1, 0);
}

static void a_larger_map_of_learned_addresses_keeps_them_all(void **state)
{
	struct world *w = *state;
	int fd;

	want_outers(w);
	want_set(w, "neighbours", 3, 8, 64);
	world_apply_and_keep(w);
	fd = map(w, "sets/neighbours/learned");
	for (uint32_t i = 0; i < 8; i++)
		learn(fd, i, 100 + i);
	w->want = (struct kobj_set){0};
	want_outers(w);
	want_set(w, "neighbours", 3, 1024, 64);
	world_apply_and_keep(w);
	fd = map(w, "sets/neighbours/learned");
	assert_int_equal(count(fd), 8);
	assert_int_equal(learned_at(fd, 5), 105);
}

static void a_smaller_map_of_learned_addresses_keeps_those_seen_last(void **state)
{
	struct world *w = *state;
	struct kobj_set before, after;
	struct applied *done;
	int fd;

	want_outers(w);
	want_set(w, "neighbours", 3, 100, 64);
	world_apply_and_keep(w);
	before = world_observe(w);
	fd = map(w, "sets/neighbours/learned");
	for (uint32_t i = 0; i < 100; i++)
		learn(fd, i, 1000 + (i * 37) % 100);
	w->want = (struct kobj_set){0};
	want_outers(w);
	want_set(w, "neighbours", 3, 10, 64);
	done = world_apply(w);
	fd = map(w, "sets/neighbours/learned");
	assert_int_equal(count(fd), 10);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(learned_at(fd, i), (i * 37) % 100 >= 90 ? 1000 + (i * 37) % 100 : 0);
	/* And on the way back what was learned meanwhile comes along. */
	learn(fd, 70, 5000);
	world_revert(done);
	after = world_observe(w);
	world_assert_same(w, &after, &before);
	fd = map(w, "sets/neighbours/learned");
	assert_int_equal(count(fd), 100);
	assert_int_equal(learned_at(fd, 70), 5000);
}

static void statistics_of_every_cpu_survive_more_classes(void **state)
{
	struct world *w = *state;
	int cpus = libbpf_num_possible_cpus();
	struct qosd_class_stats *v = xcalloc((size_t)cpus, sizeof(*v));
	uint32_t number = 5;

	want_hook(w, 8);
	world_apply_and_keep(w);
	for (int c = 0; c < cpus; c++)
		v[c].packets = 100 + (uint64_t)c;
	assert_int_equal(bpf_map_update_elem(map(w, HOOK "/stats"), &number, v, BPF_ANY), 0);
	w->want = (struct kobj_set){0};
	want_hook(w, 32);
	world_apply_and_keep(w);
	memset(v, 0, (size_t)cpus * sizeof(*v));
	assert_int_equal(bpf_map_lookup_elem(map(w, HOOK "/stats"), &number, v), 0);
	for (int c = 0; c < cpus; c++)
		assert_int_equal(v[c].packets, 100 + c);
	free(v);
}

struct between {
	const struct kernel *k; /* the real one */
	int fd;                 /* of the map as it was */
	size_t joined;          /* so many of the last requests are carried out together */
	uint64_t counted;
};

/* One request after the other but for the last, and the program that is attached counts before each. */
static int commit_and_count(void *ctx, struct request *const *requests, size_t n, int *result, char *text, size_t size)
{
	int cpus = libbpf_num_possible_cpus(), err = 0;
	struct qosd_class_stats *v = xcalloc((size_t)cpus, sizeof(*v));
	struct between *b = ctx;
	uint32_t number = 5;

	for (size_t i = 0, run; i < n && !err; i += run) {
		run = n - i <= b->joined ? n - i : 1;
		v[0].packets = ++b->counted;
		assert_int_equal(bpf_map_update_elem(b->fd, &number, v, BPF_ANY), 0);
		err = b->k->commit(b->k->ctx, &requests[i], run, &result[i], text, size);
	}
	free(v);
	return err;
}

static int prepare_as_before(void *ctx, const struct step *s, struct request **fwd, struct request **undo, char *text,
			     size_t size)
{
	const struct between *b = ctx;

	return b->k->prepare(b->k->ctx, s, fwd, undo, text, size);
}

static void release_as_before(void *ctx, struct request *r)
{
	const struct between *b = ctx;

	b->k->release(b->k->ctx, r);
}

static void want_counting_hook(struct world *w, uint32_t classes, const char *program)
{
	w->want = (struct kobj_set){0};
	want_hook(w, classes);
	for (uint32_t i = 1; i < classes; i++)
		want_class(w, i, i * 1000);
	want_clsact(w);
	want_da_filter(w, program);
}

/* The program that is there goes on with the old maps until its filter is replaced, behind all other steps. */
static void count_during_an_apply(struct world *w, size_t joined)
{
	struct between b = {.k = w->k, .joined = joined};
	struct kernel counting = {
		.ctx = &b, .prepare = prepare_as_before, .commit = commit_and_count, .release = release_as_before};
	int cpus = libbpf_num_possible_cpus();
	struct qosd_class_stats *v = xcalloc((size_t)cpus, sizeof(*v));
	struct steps steps = {0};
	struct kobj_set seen;
	struct applied *done;
	struct refusal why;
	uint32_t number = 5;

	want_counting_hook(w, 8, "classify [1]");
	world_apply_and_keep(w);
	b.fd = dup(map(w, HOOK "/stats"));
	seen = world_observe(w);
	want_counting_hook(w, 32, "classify [2]");
	if (joined > 1) /* something to make right before the filter */
		world_want(w, KOBJ_QDISC)->qdisc = (struct kobj_qdisc){.ifindex = (int)if_nametoindex("v0"),
								       .handle = TC_H_MAKE(TC_H_CLSACT, 0),
								       .parent = TC_H_CLSACT,
								       .q.kind = QDISC_CLSACT};
	kobj_set_sort(&w->want);
	diff_build(w->a, &seen, &w->want, &steps);
	assert_int_equal(apply_steps(&counting, &steps, &done, &why), 0);
	apply_done(done);
	assert_true(b.counted > 24);
	assert_int_equal(bpf_map_lookup_elem(map(w, HOOK "/stats"), &number, v), 0);
	assert_int_equal(v[0].packets, b.counted);
	close(b.fd);
	free(v);
}

static void what_is_counted_during_an_apply_is_not_lost(void **state)
{
	count_during_an_apply(*state, 1);
}

static void nor_where_requests_go_together(void **state)
{
	world_run("ip link add v0 type veth peer name v1");
	count_during_an_apply(*state, 2);
}

/* Equal entries are in no step: they must come along with the map. Those that go must not keep others out. */
static void entries_come_along_into_a_map_of_another_size(void **state)
{
	static const struct {
		uint32_t max, n;
	} sizes[] = {{64, 10}, {1024, 1000}, {16, 10}};
	struct world *w = *state;

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		w->want = (struct kobj_set){0};
		want_outers(w);
		want_set(w, "neighbours", 3, 64, sizes[s].max);
		for (uint32_t i = 0; i < sizes[s].n; i++) {
			want_written(w, "sets/neighbours/written", i, i);
			want_prefix(w, "sets/neighbours/prefixes", i << 8, 24);
		}
		world_apply_and_keep(w);
	}
}

static void fewer_classes_than_the_array_had_are_taken_back(void **state)
{
	struct world *w = *state;
	struct kobj_set before, after;

	want_hook(w, 64);
	for (uint32_t i = 1; i < 64; i++)
		want_class(w, i, i * 1000);
	world_apply_and_keep(w);
	before = world_observe(w);
	w->want = (struct kobj_set){0};
	want_hook(w, 4);
	want_class(w, 1, 1000);
	want_class(w, 2, 2500);
	world_revert(world_apply(w));
	after = world_observe(w);
	world_assert_same(w, &after, &before);
	world_apply_and_keep(w);
}

static void sets_may_swap_their_slots(void **state)
{
	struct world *w = *state;
	struct kobj_set before, after;

	want_outers(w);
	want_set(w, "a", 1, 64, 64);
	want_set(w, "b", 2, 64, 64);
	world_apply_and_keep(w);
	before = world_observe(w);
	w->want = (struct kobj_set){0};
	want_outers(w);
	want_set(w, "a", 2, 64, 64);
	want_set(w, "b", 1, 64, 64);
	world_revert(world_apply(w));
	after = world_observe(w);
	world_assert_same(w, &after, &before);
	world_apply_and_keep(w);
}

static void a_slot_passes_from_a_set_that_goes_to_one_that_comes(void **state)
{
	struct world *w = *state;

	want_outers(w);
	want_set(w, "old", 1, 64, 64);
	world_apply_and_keep(w);
	w->want = (struct kobj_set){0};
	want_outers(w);
	want_set(w, "new", 1, 64, 64);
	world_apply_and_keep(w);
}

/* Taking it is undone while the set that goes is still there. */
static void a_slot_is_given_back_to_a_set_that_was_to_go(void **state)
{
	struct world *w = *state;
	struct kobj_set before, after;
	struct applied *done;
	struct refusal why;

	want_outers(w);
	want_set(w, "old", 1, 64, 64);
	world_apply_and_keep(w);
	before = world_observe(w);
	w->want = (struct kobj_set){0};
	want_outers(w);
	want_set(w, "new", 1, 64, 64);
	kernel_fail_at(w->k, 3);
	assert_int_equal(world_try_apply(w, &done, &why), -EIO);
	assert_true(why.undone);
	after = world_observe(w);
	world_assert_same(w, &after, &before);
}

static void a_map_that_left_its_slot_is_put_back(void **state)
{
	struct world *w = *state;
	uint32_t slot = 3;

	want_outers(w);
	want_set(w, "neighbours", slot, 64, 64);
	world_apply_and_keep(w);
	assert_int_equal(bpf_map_delete_elem(map(w, "sets_learned"), &slot), 0);
	world_apply_and_keep(w);
}

static void a_filter_whose_map_was_unpinned_gets_a_new_program(void **state)
{
	struct world *w = *state;
	struct kobj_set seen;
	char path[PATH_MAX];
	int loaded;

	want_everything(w, 1);
	world_apply_and_keep(w);
	(void)snprintf(path, sizeof(path), "%s/v%d/" HOOK "/conf", w->pin_dir, QOSD_ABI);
	assert_int_equal(unlink(path), 0);
	seen = world_observe(w);
	for (size_t i = 0; i < seen.n; i++)
		if (seen.v[i].kind == KOBJ_FILTER && seen.v[i].filter.parent == INGRESS)
			assert_string_equal(seen.v[i].filter.name, "with maps that are not pinned");
	loaded = programs_loaded;
	world_apply_and_keep(w);
	assert_true(programs_loaded > loaded);
}

/* A filter on both sides of an interface of its own. */
static void want_link(struct world *w)
{
	world_run("ip link add qosd-a type veth peer name qosd-b");
	want_clsact(w);
	want_filter(w, INGRESS, KOBJ_PREF_PASS, 1, "pass [1]");
	want_filter(w, EGRESS, KOBJ_PREF_PASS, 1, "pass [1]");
	w->ifindex = (int)if_nametoindex("qosd-a");
	w->want.v[0].qdisc.ifindex = w->want.v[1].filter.ifindex = w->want.v[2].filter.ifindex = w->ifindex;
}

static void what_a_link_cannot_get_any_more_counts_as_made(void **state)
{
	struct world *w = *state;
	struct steps steps = {0};
	struct applied *made;
	struct refusal why;

	want_link(w);
	kobj_set_sort(&w->want);
	diff_build(w->a, &(struct kobj_set){0}, &w->want, &steps);
	assert_int_equal(steps.n, 3);
	world_run("ip link delete qosd-a");
	if (apply_steps(w->k, &steps, &made, &why))
		fail_msg("%s: %s", strerror(-why.err), why.text);
	world_revert(made);
}

static void what_a_link_took_along_counts_as_removed(void **state)
{
	struct world *w = *state;
	struct kobj_set seen;
	struct steps steps = {0};
	struct applied *made, *removed;
	struct refusal why;

	want_link(w);
	made = world_apply(w);
	seen = world_observe(w);
	w->want = (struct kobj_set){0};
	diff_build(w->a, &seen, &w->want, &steps);
	assert_int_equal(steps.n, 2);
	world_run("ip link delete qosd-a");
	if (apply_steps(w->k, &steps, &removed, &why))
		fail_msg("%s: %s", strerror(-why.err), why.text);
	apply_done(removed);
	apply_done(made);
}

static void what_a_link_took_along_counts_as_taken_back(void **state)
{
	struct world *w = *state;
	struct applied *made;

	want_link(w);
	made = world_apply(w);
	world_run("ip link delete qosd-a");
	world_revert(made);
}

static void other_peoples_filters_stay_and_are_not_seen(void **state)
{
	struct world *w = *state;
	struct kobj_set seen;

	world_run("tc qdisc add dev lo clsact");
	world_run("tc filter add dev lo ingress pref 10 protocol ip u32 match u32 0 0 classid 1:1");
	world_run("tc filter add dev lo ingress pref 20992 protocol ip u32 match u32 0 0 classid 1:2");
	want_everything(w, 1);
	world_apply_and_keep(w);
	w->want = (struct kobj_set){0};
	apply_done(world_apply(w));
	seen = world_observe(w);
	assert_int_equal(seen.n, 1);
	assert_contains(world_output("tc filter show dev lo ingress"), "pref 10 u32");
	assert_contains(world_output("tc filter show dev lo ingress"), "pref 20992 u32");
}

static void a_clsact_that_others_began_to_use_is_not_taken_back(void **state)
{
	struct world *w = *state;
	struct applied *done;

	want_clsact(w);
	done = world_apply(w);
	world_run("tc filter add dev lo egress pref 10 protocol ip u32 match u32 0 0 classid 1:1");
	world_revert(done);
	assert_contains(world_output("tc filter show dev lo egress"), "pref 10 u32");
}

static void an_ingress_qdisc_in_the_place_of_clsact_is_seen_and_refused(void **state)
{
	struct world *w = *state;
	struct applied *done;
	struct refusal why;
	struct kobj_set seen;

	world_run("tc qdisc add dev lo ingress");
	seen = world_observe(w);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.v[0].qdisc.q.kind, QDISC_INGRESS);
	want_clsact(w);
	assert_int_equal(world_try_apply(w, &done, &why), -EEXIST);
	assert_string_equal(why.text, "a qdisc of another kind has its place");
	assert_contains(world_output("tc qdisc show dev lo"), "ingress");
}

static void the_kernels_words_come_with_a_refusal(void **state)
{
	struct world *w = *state;
	struct applied *done;
	struct refusal why;

	world_run("tc qdisc add dev lo clsact");
	world_run("tc filter add dev lo ingress pref 20736 protocol ip u32 match u32 0 0 classid 1:1");
	want_hook(w, 8);
	want_clsact(w);
	want_da_filter(w, "classify [1]");
	assert_true(world_try_apply(w, &done, &why) < 0);
	assert_true(why.undone);
	assert_int_equal(why.step->after->kind, KOBJ_FILTER);
	assert_true(strlen(why.text) > 0);
}

/* The kernel carries out the rest of a batch after the message that it refused: that must be undone, too. */
static void a_refusal_within_a_batch_is_taken_back_on_both_sides(void **state)
{
	struct world *w = *state;
	struct kobj_set before, after;
	struct applied *done;
	struct refusal why;

	world_run("tc qdisc add dev lo clsact");
	world_run("tc filter add dev lo egress pref 20900 protocol ip u32 match u32 0 0 classid 1:1");
	want_clsact(w);
	for (uint32_t i = 1; i <= 200; i++)
		want_filter(w, EGRESS, (uint16_t)(KOBJ_PREF_LAST - i), 1, "classify_wan [1]");
	before = world_observe(w);
	assert_true(world_try_apply(w, &done, &why) < 0);
	assert_true(why.undone);
	assert_int_equal(why.step->after->filter.pref, 20900);
	after = world_observe(w);
	world_assert_same(w, &after, &before);
	assert_contains(world_output("tc filter show dev lo egress"), "pref 20900 u32");
	world_run("tc filter delete dev lo egress pref 20900");
	world_apply_and_keep(w);
}

static void a_hundred_thousand_entries_are_quick(void **state)
{
	struct timespec from, to;
	struct world *w = *state;
	double s;

	want_outers(w);
	want_set(w, "subscribers", 3, 64, 262144);
	for (uint32_t i = 0; i < 100000; i++)
		want_written(w, "sets/subscribers/written", 0x64000000 + i, i);
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	world_apply_and_keep(w);
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	s = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	print_message("100,000 entries: diffed, written, read back and compared in %.2f s\n", s);
	assert_true(s < 20);
	/* And away again, which is 100,000 system calls. */
	w->want = (struct kobj_set){0};
	apply_done(world_apply(w));
}

static void nobody(void *ctx, int ifindex)
{
	(void)ctx;
	(void)ifindex;
}

static void an_interface_that_comes_is_told_once(void **state)
{
	struct world *w = *state;
	const struct link *link;
	struct links links;
	int fd = links_monitor_open();

	assert_true(fd >= 0);
	assert_int_equal(links_monitor_drain(fd, nobody, NULL), 0);
	world_run("ip link add qosd-a type veth peer name qosd-b");
	assert_int_equal(links_monitor_drain(fd, nobody, NULL), 1);
	assert_int_equal(links_monitor_drain(fd, nobody, NULL), 0);
	assert_int_equal(links_read(w->nl, &links), 0);
	link = links_by_name(&links, "qosd-b");
	assert_non_null(link);
	assert_string_equal(link->kind, "veth");
	assert_int_equal(link->mtu, 1500);
	assert_int_equal(link->type, 1);
	assert_false(link->up);
	assert_ptr_equal(links_by_index(&links, link->ifindex), link);
	assert_null(links_by_name(&links, "qosd-c"));
	links_clear(&links);
	world_run("ip link delete qosd-a");
	assert_int_equal(links_monitor_drain(fd, nobody, NULL), 1);
	(void)close(fd);
}

static void the_pin_directory_goes_with_its_mount(void **state)
{
	struct world *w = *state;
	struct stat st;

	want_outers(w);
	world_apply_and_keep(w);
	assert_int_equal(pins_remove_all(w->pins), 0);
	assert_int_equal(stat(w->pin_dir, &st), -1);
}

static void a_bpffs_that_was_there_stays(void **state)
{
	struct world *w = *state;
	char why[256], dir[128], below[160];
	struct pins *pins;
	struct stat st;

	(void)snprintf(dir, sizeof(dir), "%s/other", w->dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(mount("bpf", dir, "bpf", 0, NULL), 0);
	(void)snprintf(below, sizeof(below), "%s/qosd", dir);
	pins = pins_open(below, why, sizeof(why));
	assert_non_null(pins);
	assert_int_equal(pins_remove_all(pins), 0);
	pins_close(pins);
	assert_int_equal(stat(below, &st), -1);
	assert_int_equal(stat(dir, &st), 0);
	pins = pins_open(dir, why, sizeof(why));
	assert_non_null(pins);
	assert_int_equal(pins_remove_all(pins), 0);
	pins_close(pins);
	/* Still a bpffs. */
	assert_contains(world_output("cat /proc/self/mountinfo"), dir);
	assert_int_equal(umount(dir), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void what_is_pinned_and_no_map_is_passed_over(void **state)
{
	struct world *w = *state;
	struct prog_spec spec = plain_program;
	char log[256], path[PATH_MAX];
	struct kobj_set seen;
	int fd = prog_load(&spec, NULL, NULL, log, sizeof(log));

	assert_true(fd >= 0);
	(void)snprintf(path, sizeof(path), "%s/v%d/program", w->pin_dir, QOSD_ABI);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	(void)close(fd);
	seen = world_observe(w);
	assert_int_equal(seen.n, 0);
	assert_int_equal(pins_map(w->pins, "program"), -ENOENT);
	assert_int_equal(unlink(path), 0);
}

static void what_was_pinned_and_not_yet_renamed_goes_at_the_start(void **state)
{
	struct world *w = *state;
	char why[256], left[PATH_MAX];
	struct pins *pins;
	struct stat st;
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "qosd_left", 4, 8, 1, NULL);

	assert_true(fd >= 0);
	assert_int_equal(pins_put(w->pins, "sets/s/written", fd), 0);
	(void)snprintf(left, sizeof(left), "%s/v%d/sets/s/~written", w->pin_dir, QOSD_ABI);
	assert_int_equal(bpf_obj_pin(fd, left), 0);
	(void)close(fd);
	pins = pins_open(w->pin_dir, why, sizeof(why));
	assert_non_null(pins);
	assert_int_equal(stat(left, &st), 0); /* another's, perhaps, who is at it */
	assert_int_equal(pins_lock(pins), 0);
	assert_int_equal(stat(left, &st), -1);
	assert_true(pins_map(pins, "sets/s/written") >= 0);
	assert_int_equal(pins_remove_all(pins), 0);
	pins_close(pins);
}

static size_t open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Of a hook there are maps that are looked at every second; thousands of hooks leave nothing for a reload. */
static void of_many_pins_some_stay_open(void **state)
{
	struct world *w = *state;
	struct rlimit files, few;
	size_t before = open_files();
	struct pins *pins;
	char path[32], why[256];

	for (uint32_t i = 1; i <= 300; i++) {
		int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "qosd_many", 4, 8, i, NULL);

		assert_true(fd >= 0);
		(void)snprintf(path, sizeof(path), "many/%u", i);
		assert_int_equal(pins_put(w->pins, path, fd), 0);
		(void)close(fd);
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	few = (struct rlimit){.rlim_cur = 200, .rlim_max = files.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	pins = pins_open(w->pin_dir, why, sizeof(why));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	assert_non_null(pins);
	for (uint32_t n = 0; n < 900; n++) {
		struct kobj_map map, first;
		uint32_t i = n * 7 % 300 + 1;
		int fd, kept = pins_map(pins, "many/1");

		(void)snprintf(path, sizeof(path), "many/%u", i);
		fd = pins_map(pins, path);
		assert_true(fd >= 0);
		assert_int_equal(bpf_map_observe(fd, &map, NULL, NULL), 0);
		assert_int_equal(map.max_entries, i);
		assert_int_equal(bpf_map_observe(kept, &first, NULL, NULL), 0);
		assert_int_equal(first.max_entries, 1);
		assert_in_range(open_files(), 0, before + 64);
	}
	pins_close(pins);
	assert_int_equal(open_files(), before);
}

static void the_probe_knows_clsact_and_says_what_it_tried(void **state)
{
	(void)state;
	for (int c = 0; c < CAPS; c++) {
		assert_true(strlen(caps.v[c].name) > 0 && strlen(caps.v[c].config) > 0 && strlen(caps.v[c].how) > 0);
		print_message("%-20s %-4s %s\n", caps.v[c].name, caps.v[c].has ? "yes" : "no", caps.v[c].how);
	}
	assert_true(caps.v[CAP_CLSACT].has);
	assert_true(caps.v[CAP_CLS_BPF].has);
	assert_true(caps.v[CAP_HTB].has);
}

/* ---- cases that need act_police ---- */

static int find_stats(void *ctx, uint32_t index, const struct tc_action_stats *stats)
{
	struct tc_action_stats *out = ctx;

	if (index == KOBJ_POLICE_FIRST + 1)
		*out = *stats;
	return 0;
}

static struct tc_action_stats stats_of_first(struct world *w)
{
	struct tc_action_stats stats = {0};

	assert_int_equal(tc_action_stats(w->nl, find_stats, &stats), 0);
	return stats;
}

static void want_policed_lo(struct world *w, uint64_t rate_Bps, const char *name)
{
	struct kobj_filter *f;

	w->want = (struct kobj_set){0};
	want_clsact(w);
	want_police(w, 1, rate_Bps);
	f = want_filter(w, EGRESS, KOBJ_PREF_PASS, 1, name);
	f->actions[f->n_actions++] = KOBJ_POLICE_FIRST + 1;
}

/* 2,000 bytes at a time, 20,000 a second at most: what the policer's bucket of 64 KiB does not take is dropped. */
static void send_packets(int n)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "ping -q -f -c %d -W 1 -s 1972 127.0.0.1 >/dev/null 2>&1 || true", n);
	world_run(command);
}

static void a_policer_counts_and_drops_what_filters_send_to_it(void **state)
{
	struct world *w = *state;
	struct tc_action_stats stats;

	needs_police();
	world_run("ip link set lo up");
	want_policed_lo(w, 16000, "pass [1]");
	world_apply_and_keep(w);
	send_packets(60);
	stats = stats_of_first(w);
	assert_true(stats.packets >= 60);
	assert_true(stats.bytes >= 60 * 2000);
	assert_true(stats.drops > 0);
	assert_int_equal(stats.overlimits, stats.drops);
}

static void counters_survive_another_rate_and_another_program(void **state)
{
	struct world *w = *state;
	struct tc_action_stats before, after;

	needs_police();
	world_run("ip link set lo up");
	want_policed_lo(w, 16000, "pass [1]");
	world_apply_and_keep(w);
	send_packets(10);
	before = stats_of_first(w);
	assert_true(before.packets >= 10);
	want_policed_lo(w, 32000, "pass [2]");
	world_apply_and_keep(w);
	after = stats_of_first(w);
	assert_true(after.packets >= before.packets);
	assert_contains(world_output("tc actions show action police"), "rate 256Kbit");
}

static void every_field_of_a_policer_comes_back(void **state)
{
	struct world *w = *state;
	struct kobj_police *p;

	needs_police();
	p = want_police(w, 1, 125000);
	p->overhead = 26;
	p->mpu = 64;
	p->mtu = 16384;
	p->exceed = TC_ACT_PIPE;
	p->conform = TC_ACT_UNSPEC;
	p = want_police(w, 2, 125000);
	p->linklayer = TC_LINKLAYER_ATM;
	p->exceed = TC_ACT_OK;
	p->conform = TC_ACT_PIPE;
	want_police(w, 3, UINT32_MAX);
	want_police(w, 4, (uint64_t)UINT32_MAX + 1);
	want_police(w, 5, 1);
	world_apply_and_keep(w);
}

static void a_filter_cannot_refer_to_a_policer_that_is_not_there(void **state)
{
	struct world *w = *state;
	struct kobj_filter *f;
	struct applied *done;
	struct refusal why;

	needs_police();
	want_clsact(w);
	f = want_filter(w, EGRESS, KOBJ_PREF_PASS, 1, "pass [1]");
	f->actions[f->n_actions++] = KOBJ_POLICE_FIRST + 1;
	assert_true(world_try_apply(w, &done, &why) < 0);
	assert_true(why.undone);
	assert_null(strstr(world_output("tc actions show action police"), "police 0x"));
}

static void a_thousand_policers_are_all_seen(void **state)
{
	struct world *w = *state;

	needs_police();
	want_clsact(w);
	for (uint32_t i = 1; i <= 1000; i++) {
		struct kobj_filter *f;

		want_police(w, i, 1000 * (uint64_t)i);
		f = want_filter(w, EGRESS, KOBJ_PREF_CLASSES, i, "classify_wan [1]");
		f->classid = 0x10000 + i;
		f->actions[f->n_actions++] = KOBJ_POLICE_FIRST + i;
	}
	world_apply_and_keep(w);
	/* Filters let go of their policers only after a while; removing waits for that. */
	w->want = (struct kobj_set){0};
	want_clsact(w);
	world_apply_and_keep(w);
}

static void other_peoples_policers_are_not_seen(void **state)
{
	struct world *w = *state;
	struct kobj_set seen;

	needs_police();
	world_run("tc actions add action police rate 1mbit burst 10k index 7");
	seen = world_observe(w);
	assert_int_equal(seen.n, 0);
}

/* The kernel counts what it wrote only where it began to write. */
static void entries_that_are_refused_as_a_whole_are_not_counted(void **state)
{
	const struct kobj_entry e = {.key_size = 4, .value_size = 4}, *const all[] = {&e, &e};
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "test", 0, 0, 4096, NULL);
	size_t done = 9;

	(void)state;
	assert_true(fd >= 0);
	assert_true(bpf_map_put_many(fd, all, 2, &done) < 0);
	assert_int_equal(done, 0);
	close(fd);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)
	const struct CMUnitTest tests[] = {
		CASE(everything_is_made_and_seen_as_it_was_asked_for),
		CASE(one_program_serves_all_filters_of_its_name),
		CASE(a_second_apply_finds_nothing_to_do),
		CASE(every_kind_is_changed_in_place),
		CASE(everything_is_removed_but_clsact),
		CASE(a_change_is_taken_back),
		CASE(creating_all_is_taken_back),
		CASE(a_refusal_anywhere_while_creating_leaves_nothing),
		CASE(a_refusal_anywhere_while_changing_leaves_what_was),
		CASE(a_refusal_anywhere_while_removing_leaves_what_was),
		CASE(a_larger_map_of_learned_addresses_keeps_them_all),
		CASE(a_smaller_map_of_learned_addresses_keeps_those_seen_last),
		CASE(statistics_of_every_cpu_survive_more_classes),
		CASE(what_is_counted_during_an_apply_is_not_lost),
		CASE(nor_where_requests_go_together),
		CASE(entries_come_along_into_a_map_of_another_size),
		CASE(fewer_classes_than_the_array_had_are_taken_back),
		CASE(entries_that_are_refused_as_a_whole_are_not_counted),
		CASE(sets_may_swap_their_slots),
		CASE(a_slot_passes_from_a_set_that_goes_to_one_that_comes),
		CASE(a_slot_is_given_back_to_a_set_that_was_to_go),
		CASE(a_map_that_left_its_slot_is_put_back),
		CASE(a_filter_whose_map_was_unpinned_gets_a_new_program),
		CASE(what_a_link_cannot_get_any_more_counts_as_made),
		CASE(what_a_link_took_along_counts_as_removed),
		CASE(what_a_link_took_along_counts_as_taken_back),
		CASE(other_peoples_filters_stay_and_are_not_seen),
		CASE(a_clsact_that_others_began_to_use_is_not_taken_back),
		CASE(an_ingress_qdisc_in_the_place_of_clsact_is_seen_and_refused),
		CASE(the_kernels_words_come_with_a_refusal),
		CASE(a_refusal_within_a_batch_is_taken_back_on_both_sides),
		CASE(a_hundred_thousand_entries_are_quick),
		CASE(an_interface_that_comes_is_told_once),
		CASE(the_pin_directory_goes_with_its_mount),
		CASE(a_bpffs_that_was_there_stays),
		CASE(what_is_pinned_and_no_map_is_passed_over),
		CASE(what_was_pinned_and_not_yet_renamed_goes_at_the_start),
		CASE(of_many_pins_some_stay_open),
		CASE(the_probe_knows_clsact_and_says_what_it_tried),
		CASE(a_policer_counts_and_drops_what_filters_send_to_it),
		CASE(counters_survive_another_rate_and_another_program),
		CASE(every_field_of_a_policer_comes_back),
		CASE(a_filter_cannot_refer_to_a_policer_that_is_not_there),
		CASE(a_thousand_policers_are_all_seen),
		CASE(other_peoples_policers_are_not_seen),
	};
	int err = caps_probe(&caps);

	if (err) {
		fprintf(stderr, "skipped: namespaces and bpf(2) need root: %s\n", strerror(-err));
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
