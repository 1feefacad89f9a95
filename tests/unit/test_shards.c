/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * shards: how the plan spreads a tree over the queues of a device, and what it asks the device for.
 */
#include <linux/pkt_sched.h>
#include <net/if_arp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "plan.h"
#include "queues.h"

/* A policy for wan0 on a device of so many queues, planned with the numbers of before. */
struct world {
	struct arena *a;
	struct diag *d;
	struct handles *h;
	struct link wan0;
	struct links links;
	bool has_leaf[QDISC_KINDS];
};

static void *set_up(struct world *w, uint32_t queues)
{
	memset(w, 0, sizeof(*w));
	w->a = arena_new();
	w->d = diag_new();
	w->h = handles_new();
	w->wan0 = (struct link){
		.ifindex = 7, .name = "wan0", .type = ARPHRD_ETHER, .mtu = 1500, .tx_queues = queues, .txqlen = 1000};
	w->links = (struct links){&w->wan0, 1};
	w->has_leaf[QDISC_PFIFO] = w->has_leaf[QDISC_MQ] = true;
	return w;
}

static void tear_down(struct world *w)
{
	handles_free(w->h);
	diag_free(w->d);
	arena_free(w->a);
}

/* classes: flow mappings of YAML, without those that every policy here has. */
static const struct plan *plan(struct world *w, const char *classes)
{
	char *text = arena_printf(w->a,
				  "version: 1\n"
				  "policies:\n"
				  "  p:\n"
				  "    type: htb\n"
				  "    rate: 100mbit\n"
				  "    shards: auto\n"
				  "    default: rest\n"
				  "    classes: [%s, {name: rest, rate: 1mbit, ceil: 10mbit}]\n"
				  "interfaces:\n"
				  "  wan0: {egress: {policy: p}}\n",
				  classes);
	struct policy *policy = policy_parse(w->a, w->d, "test", text, strlen(text));
	struct plan_input in = {.model = model_build(w->a, w->d, policy, "."),
				.links = &w->links,
				.has_htb = true,
				.has_leaf = w->has_leaf,
				.prog_build_id = 1};
	struct plan *p;

	if (diag_errors(w->d)) {
		diag_print(w->d, stderr);
		fail();
	}
	p = plan_build(w->a, w->d, &in, w->h);
	handles_sweep(w->h); /* as after a reload */
	assert_int_equal(diag_errors(w->d), 0);
	assert_int_equal(p->hooks.n, 1);
	return p;
}

static uint32_t shard_of(const struct plan *p, const char *name)
{
	const struct plan_hook *h = &p->hooks.v[0];

	for (size_t i = 0; i < h->n_classes; i++)
		if (!strcmp(h->classes[i].cls->name, name))
			return h->classes[i].shard;
	fail_msg("no class %s", name);
	return 0;
}

#define M "match: [{all: true}]"

/* The largest first, each where there is most room; of equals the first in the file. What is inside goes along. */
static void top_classes_are_spread_by_their_rates(void **state)
{
	struct world w;
	const struct plan *p =
		plan(set_up(&w, 3), "{name: small, rate: 2mbit, " M "}, {name: a, rate: 5mbit, " M "},"
				    "{name: b, rate: 5mbit, " M ", classes: [{name: in, rate: 1mbit, " M "}]},"
				    "{name: large, rate: 9mbit, " M "}");

	(void)state;
	assert_int_equal(shard_of(p, "large"), 1);
	assert_int_equal(shard_of(p, "a"), 2);
	assert_int_equal(shard_of(p, "b"), 3);
	assert_int_equal(shard_of(p, "in"), 3);
	assert_int_equal(shard_of(p, "small"), 2);
	assert_int_equal(shard_of(p, "rest"), 3);
	assert_int_equal(shard_of(p, "root"), 0);
	assert_int_equal(p->hooks.v[0].default_shard, 3);
	tear_down(&w);
}

static void who_has_a_place_keeps_it(void **state)
{
	struct world w;
	const struct plan *p = plan(set_up(&w, 2), "{name: a, rate: 5mbit, " M "}, {name: b, rate: 4mbit, " M "}");

	(void)state;
	assert_int_equal(shard_of(p, "a"), 1);
	assert_int_equal(shard_of(p, "b"), 2);
	assert_int_equal(shard_of(p, "rest"), 2);
	/* In another order, with other rates, and with a new one. */
	p = plan(&w, "{name: new, rate: 3mbit, " M "}, {name: b, rate: 8mbit, " M "}, {name: a, rate: 1mbit, " M "}");
	assert_int_equal(shard_of(p, "a"), 1);
	assert_int_equal(shard_of(p, "b"), 2);
	assert_int_equal(shard_of(p, "rest"), 2);
	assert_int_equal(shard_of(p, "new"), 1);
	/* Over another number of queues all of them are spread anew. */
	w.wan0.tx_queues = 4;
	p = plan(&w, "{name: new, rate: 3mbit, " M "}, {name: b, rate: 8mbit, " M "}, {name: a, rate: 1mbit, " M "}");
	assert_int_equal(shard_of(p, "b"), 1);
	assert_int_equal(shard_of(p, "new"), 2);
	assert_int_equal(shard_of(p, "a"), 3);
	assert_int_equal(shard_of(p, "rest"), 4);
	tear_down(&w);
}

/* Many alike end up as evenly as can be. */
static void hundreds_of_classes_are_spread_evenly(void **state)
{
	struct world w;
	char *classes = xmalloc(1 << 20), *at = classes;
	size_t of[9] = {0};
	const struct plan *p;

	(void)state;
	for (int i = 0; i < 480; i++)
		at += sprintf(at, "%s{name: c%d, rate: 10kbit, " M "}", i ? ", " : "", i);
	p = plan(set_up(&w, 8), classes);
	for (size_t i = 0; i < p->hooks.v[0].n_classes; i++)
		of[p->hooks.v[0].classes[i].shard]++;
	assert_int_equal(of[0], 1); /* root */
	assert_int_equal(of[1], 1); /* rest, as large as a hundred of them */
	for (uint32_t i = 2; i <= 8; i++)
		assert_in_range(of[i], 68, 69);
	free(classes);
	tear_down(&w);
}

/* However many queues there are, they send no more than the policy's rate together; and where all of it is given out,
 * nobody's guarantee is cut by more than what strays may have. */
static void the_parts_are_the_policys_rate(void **state)
{
	static const uint32_t queues[] = {2, 3, 4, 8, 64, 255};

	(void)state;
	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
		struct world w;
		const struct plan *p = plan(set_up(&w, queues[i]), "{name: a, rate: 60mbit, " M "}, "
								   "{name: b, rate: 39mbit, " M "}");
		const struct plan_hook *h = &p->hooks.v[0];
		uint64_t sum = 0;

		assert_int_equal(h->n_shards, queues[i]);
		for (uint32_t s = 0; s < h->n_shards; s++)
			sum += h->parts_Bps[s];
		assert_in_range(sum, 12500000 - queues[i], 12500000);
		assert_true(h->parts_Bps[shard_of(p, "a") - 1] >= 7500000ull * 95 / 100);
		tear_down(&w);
	}
}

/* Of small classes each shard has an equal part, and a new rate is one change; a shard with more in it has that. */
static void equal_parts_but_for_those_who_need_more(void **state)
{
	struct world w;
	const struct plan *p = plan(set_up(&w, 4), "{name: a, rate: 9mbit, " M "}, {name: b, rate: 8mbit, " M "},"
						   "{name: c, rate: 7mbit, " M "}");

	(void)state;
	for (uint32_t s = 0; s < 4; s++)
		assert_int_equal(p->hooks.v[0].parts_Bps[s], 12500000 / 4);
	p = plan(&w, "{name: a, rate: 9mbit, " M "}, {name: b, rate: 2mbit, " M "}, {name: c, rate: 7mbit, " M "}");
	for (uint32_t s = 0; s < 4; s++)
		assert_int_equal(p->hooks.v[0].parts_Bps[s], 12500000 / 4);
	p = plan(&w, "{name: a, rate: 52mbit, " M "}, {name: b, rate: 2mbit, " M "}, {name: c, rate: 7mbit, " M "}");
	assert_in_range(p->hooks.v[0].parts_Bps[0], 6500000, 6600000);
	assert_in_range(p->hooks.v[0].parts_Bps[1], 1960000, 2000000);
	tear_down(&w);
	/* who has no class needs next to nothing */
	p = plan(set_up(&w, 8), "{name: a, rate: 50mbit, " M "}");
	assert_in_range(p->hooks.v[0].parts_Bps[0], 6250000, 6400000);
	assert_in_range(p->hooks.v[0].parts_Bps[1], 6000000, 6250000);
	assert_in_range(p->hooks.v[0].parts_Bps[2], 1, 20000);
	tear_down(&w);
}

static const struct kobj *find(const struct plan *p, enum kobj_kind kind, uint32_t parent, uint32_t id)
{
	for (size_t i = 0; i < p->objects.n; i++) {
		const struct kobj *o = &p->objects.v[i];

		if (o->kind != kind)
			continue;
		if (kind == KOBJ_CLASS ? o->cls.parent == parent && o->cls.classid == id
				       : o->qdisc.parent == parent && o->qdisc.handle == id)
			return o;
	}
	return NULL;
}

/* An htb without the class of its default sends what it does not know unshaped. */
static void each_queue_has_a_tree_with_a_default(void **state)
{
	struct world w;
	const struct plan *p = plan(set_up(&w, 5), "{name: a, rate: 5mbit, " M "}");

	(void)state;
	assert_non_null(find(p, KOBJ_QDISC, TC_H_ROOT, KOBJ_ROOT_HANDLE));
	for (uint32_t i = 1; i <= 5; i++) {
		const struct kobj *tree = find(p, KOBJ_QDISC, KOBJ_ROOT_HANDLE | i, KOBJ_SHARD(i));
		const struct kobj *dflt =
			find(p, KOBJ_CLASS, plan_htb_root(&p->hooks.v[0], i), KOBJ_SHARD(i) | KOBJ_DEFAULT_MINOR);

		assert_non_null(tree);
		assert_int_equal(tree->qdisc.q.htb.default_minor, KOBJ_DEFAULT_MINOR);
		assert_non_null(dflt);
		assert_true(dflt->cls.ceil_Bps <= 10000000 / 8);
		assert_non_null(find(p, KOBJ_CLASS, TC_H_ROOT, plan_htb_root(&p->hooks.v[0], i)));
	}
	tear_down(&w);
}

/* A leaf's handle is a class's minor, or one of those behind them: never two the same. */
static void no_two_qdiscs_have_one_handle(void **state)
{
	static const char classes[] = "{name: a, rate: 5mbit, " M "}, {name: b, rate: 5mbit, " M "}";
	struct world w;
	const struct plan *p = plan(set_up(&w, 255), classes);

	(void)state;
	for (size_t i = 0; i < p->objects.n; i++)
		for (size_t j = 0; j < i; j++) {
			const struct kobj *x = &p->objects.v[i], *y = &p->objects.v[j];

			if ((x->kind == KOBJ_QDISC || x->kind == KOBJ_LEAF) &&
			    (y->kind == KOBJ_QDISC || y->kind == KOBJ_LEAF))
				assert_int_not_equal(x->qdisc.handle, y->qdisc.handle);
		}
	tear_down(&w);
}

static void one_tree_where_it_cannot_be_spread(void **state)
{
	static const struct {
		uint32_t queues;
		bool by_cpu, no_mq;
		const char *why;
	} cases[] = {
		{1, false, false, "wan0 has one transmit queue"},
		{256, false, false, "more than the 255"},
		{4, true, false, "XPS"},
		{4, false, true, "no sch_mq"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct plan *p;
		struct world w;

		(void)set_up(&w, cases[i].queues);
		w.wan0.by_cpu = cases[i].by_cpu;
		w.has_leaf[QDISC_MQ] = !cases[i].no_mq;
		p = plan(&w, "{name: a, rate: 5mbit, " M "}");
		assert_int_equal(p->hooks.v[0].n_shards, 0);
		assert_non_null(strstr(p->hooks.v[0].engine_why, cases[i].why));
		assert_int_equal(diag_warnings(w.d), 1); /* at the line of shards */
		assert_non_null(find(p, KOBJ_CLASS, TC_H_ROOT, KOBJ_ROOT_HANDLE | 1));
		assert_null(find(p, KOBJ_QDISC, KOBJ_ROOT_HANDLE | 1, KOBJ_SHARD(1)));
		tear_down(&w);
	}
}

static void another_number_of_queues_is_another_mq(void **state)
{
	struct qdisc four = {.kind = QDISC_MQ, .mq = {4}}, two = {.kind = QDISC_MQ, .mq = {2}};

	(void)state;
	assert_true(qdisc_same(&four, &four));
	assert_null(qdisc_fixed(&four, &four));
	assert_false(qdisc_same(&four, &two));
	assert_non_null(strstr(qdisc_fixed(&four, &two), "another number of queues"));
}

/* ---- the device ---- */

static void write_mask(const char *dir, int queue, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/tx-%d", dir, queue);
	(void)mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/tx-%d/%s", dir, queue, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void masks_of_processors_are_seen(void **state)
{
	char dir[] = "/tmp/test_shards.XXXXXX", command[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_false(queues_are_by_cpu(dir, 4)); /* a kernel without XPS */
	for (int i = 0; i < 4; i++) {
		write_mask(dir, i, "xps_cpus", "00000000,00000000\n");
		write_mask(dir, i, "xps_rxqs", "0\n");
	}
	assert_false(queues_are_by_cpu(dir, 4));
	write_mask(dir, 3, "xps_cpus", "00000000,00000008\n");
	assert_true(queues_are_by_cpu(dir, 4));
	assert_false(queues_are_by_cpu(dir, 3)); /* of a queue that is not in use */
	write_mask(dir, 0, "xps_rxqs", "1\n");
	assert_true(queues_are_by_cpu(dir, 3));
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

/* lo has one queue and is not asked; what is not there tells nothing. */
static void devices_without_an_answer_stay_as_they_are(void **state)
{
	struct link v[] = {{.ifindex = 1, .name = "lo", .tx_queues = 1},
			   {.ifindex = 1 << 30, .name = "nobody", .tx_queues = 4}};
	struct links links = {v, 2};

	(void)state;
	queues_read(&links);
	assert_int_equal(v[0].tx_queues, 1);
	assert_int_equal(v[1].tx_queues, 4);
	assert_false(v[1].by_cpu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(top_classes_are_spread_by_their_rates),
		cmocka_unit_test(who_has_a_place_keeps_it),
		cmocka_unit_test(hundreds_of_classes_are_spread_evenly),
		cmocka_unit_test(the_parts_are_the_policys_rate),
		cmocka_unit_test(equal_parts_but_for_those_who_need_more),
		cmocka_unit_test(each_queue_has_a_tree_with_a_default),
		cmocka_unit_test(no_two_qdiscs_have_one_handle),
		cmocka_unit_test(one_tree_where_it_cannot_be_spread),
		cmocka_unit_test(another_number_of_queues_is_another_mq),
		cmocka_unit_test(masks_of_processors_are_seen),
		cmocka_unit_test(devices_without_an_answer_stay_as_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
