/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The same random trees made by qosd's encoders and by tc, on twin interfaces in a network namespace of the test's own;
 * what the kernel then tells of both must be equal, field by field. Needs root, htb, ifb and iproute2 (77 without).
 *
 * Usage: test_differential [TREES [SEED]]
 *
 *   QOSD_TREES   how many, where none are given (220)
 */
#include <errno.h>
#include <jansson.h>
#include <linux/pkt_sched.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../samples.h"
#include "caps.h"
#include "diff.h"
#include "kernel.h"
#include "nl.h"
#include "prog.h"
#include "tc_qdisc.h"

#define TREES     220
#define CLASSES   24
#define SHARDS    4 /* queues of the interfaces; every third tree is spread over them */
#define OURS      "ours0"
#define THEIRS    "tc0"
#define OURS_IX   0x5100
#define THEIRS_IX 0x5101

int prog_load(const struct prog_spec *spec, prog_map_fd map_fd, void *ctx, char *log, size_t log_size)
{
	(void)spec, (void)map_fd, (void)ctx, (void)log, (void)log_size;
	return -ENOSYS;
}

static _Noreturn void give_up(const char *what)
{
	printf("FAIL: %s\n", what);
	exit(1);
}

static void run(const char *command)
{
	if (system(command) != 0)
		give_up(command);
}

/* ---- making one tree twice ---- */

static void make_ours(struct nl *nl, struct arena *a, const struct kobj_set *tree)
{
	struct kernel *k = kernel_new(nl, NULL);
	struct kobj_set none = {0};
	struct steps steps = {0};
	struct applied *done;
	struct refusal why;

	diff_build(a, &none, tree, &steps);
	if (apply_steps(k, &steps, &done, &why)) {
		printf("refused: %s: %s\n", strerror(-why.err), why.text);
		give_up("qosd");
	}
	apply_done(done);
	kernel_free(k);
}

static void make_theirs(const char *batch, size_t len)
{
	FILE *f = popen("tc -batch -", "w");

	if (!f || fwrite(batch, 1, len, f) != len || pclose(f) != 0) {
		fputs(batch, stdout);
		give_up("tc");
	}
}

/* ---- what the kernel tells ---- */

/* Words of one class, from its "class htb" to the next one's. */
struct class
{
	const char *words[128];
	size_t n;
};

struct classes {
	char *text;
	struct class v[2 * CLASSES];
	size_t n;
};

static int cmp_classes(const void *a, const void *b)
{
	return strcmp(((const struct class *)a)->words[2], ((const struct class *)b)->words[2]);
}

static void read_classes(const char *dev, struct classes *out)
{
	char command[64];
	size_t room = 1 << 20, n;
	FILE *f;

	out->n = 0;
	out->text = xmalloc(room);
	(void)snprintf(command, sizeof(command), "tc -d -s class show dev %s", dev); /* fits */
	f = popen(command, "r");
	n = f ? fread(out->text, 1, room - 1, f) : 0;
	out->text[n] = '\0';
	if (!f || pclose(f) != 0)
		give_up(command);
	for (char *at = out->text, *word; (word = strtok_r(at, " \n", &at));) {
		struct class *c;

		/* fq_codel and others tell their flows as classes of their own */
		if (!strcmp(word, "class")) {
			if (out->n == sizeof(out->v) / sizeof(out->v[0]))
				give_up("too many classes");
			out->v[out->n++].n = 0;
		}
		c = &out->v[out->n - 1];
		if (!out->n || c->n == sizeof(c->words) / sizeof(c->words[0]))
			give_up("what tc says of a class");
		c->words[c->n++] = word;
	}
	qsort(out->v, out->n, sizeof(*out->v), cmp_classes);
}

static unsigned compare_classes(const struct kobj_set *tree)
{
	struct classes ours, theirs;
	unsigned fields = 0;
	size_t wanted = 0;

	for (size_t i = 0; i < tree->n; i++)
		wanted += tree->v[i].kind == KOBJ_CLASS;
	read_classes(OURS, &ours);
	read_classes(THEIRS, &theirs);
	if (ours.n != theirs.n || ours.n < wanted)
		give_up("another number of classes");
	for (size_t i = 0; i < ours.n; i++) {
		struct class *o = &ours.v[i], *t = &theirs.v[i];

		for (size_t w = 0; w < o->n && w < t->n; w++, fields++) {
			if (!strcmp(o->words[w], t->words[w]))
				continue;
			printf("class %s: %s: qosd %s, tc %s\n", o->words[2], o->words[w - 1], o->words[w],
			       t->words[w]);
			give_up("a field of a class");
		}
		if (o->n != t->n)
			give_up("another number of fields");
	}
	free(ours.text);
	free(theirs.text);
	return fields;
}

static json_t *read_qdiscs(const char *dev)
{
	char command[64];
	json_error_t err;
	json_t *list;
	FILE *f;

	(void)snprintf(command, sizeof(command), "tc -j -d -s qdisc show dev %s", dev); /* fits */
	f = popen(command, "r");
	list = f ? json_loadf(f, 0, &err) : NULL;
	if (!list || pclose(f) != 0)
		give_up(command);
	return list;
}

static const json_t *find_qdisc(const json_t *list, const char *handle)
{
	const json_t *q;
	size_t i;

	json_array_foreach (list, i, q)
		if (!strcmp(json_string_value(json_object_get(q, "handle")), handle))
			return q;
	give_up("a qdisc of tc's is not there");
}

static unsigned compare_values(const char *handle, const char *field, const json_t *ours, const json_t *theirs)
{
	unsigned fields = 0;
	const char *key;
	json_t *value;

	if (!json_is_object(ours) || !json_is_object(theirs)) {
		if (json_equal(ours, theirs))
			return 1;
		printf("qdisc %s: %s: qosd %s, tc %s\n", handle, field, json_dumps(ours, JSON_ENCODE_ANY),
		       theirs ? json_dumps(theirs, JSON_ENCODE_ANY) : "nothing");
		give_up("a field of a qdisc");
	}
	if (json_object_size(ours) != json_object_size(theirs))
		give_up("another number of fields of a qdisc");
	json_object_foreach ((json_t *)ours, key, value)
		fields += compare_values(handle, key, value, json_object_get(theirs, key));
	return fields;
}

static unsigned compare_qdiscs(const struct kobj_set *tree)
{
	json_t *ours = read_qdiscs(OURS), *theirs = read_qdiscs(THEIRS);
	unsigned fields = 0;
	size_t wanted = 0, i;
	const json_t *q;

	for (i = 0; i < tree->n; i++)
		wanted += tree->v[i].kind != KOBJ_CLASS;
	if (json_array_size(ours) != wanted || json_array_size(theirs) != wanted)
		give_up("another number of qdiscs");
	json_array_foreach (ours, i, q) {
		const char *handle = json_string_value(json_object_get(q, "handle"));

		fields += compare_values(handle, "qdisc", q, find_qdisc(theirs, handle));
	}
	json_decref(ours);
	json_decref(theirs);
	return fields;
}

/* ---- all of it ---- */

static unsigned one_tree(struct nl *nl, struct sampler *s, bool spread, size_t *objects, size_t *leaves)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct kobj_qdisc root = {.parent = TC_H_ROOT, .handle = KOBJ_ROOT_HANDLE};
	struct arena *a = arena_new();
	struct kobj_set tree = {0};
	char *batch = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&batch, &len);
	unsigned fields;

	if (!f)
		give_up("out of memory");
	if (spread)
		sample_shards(s, a, OURS_IX, SHARDS, CLASSES, &tree, f, THEIRS);
	else
		sample_tree(s, a, OURS_IX, CLASSES, &tree, f, THEIRS);
	if (fclose(f) != 0)
		give_up("out of memory");
	make_ours(nl, a, &tree);
	make_theirs(batch, len);
	fields = compare_classes(&tree) + compare_qdiscs(&tree);
	for (size_t i = 0; i < tree.n; i++)
		if (tree.v[i].kind == KOBJ_LEAF)
			leaves[tree.v[i].qdisc.q.kind]++;
	*objects += tree.n;
	for (root.ifindex = OURS_IX; root.ifindex <= THEIRS_IX; root.ifindex++)
		if (nl_talk(nl, tc_qdisc_encode_delete(buf, &root), NULL, 0))
			give_up("a root cannot be removed");
	free(batch);
	arena_free(a);
	return fields;
}

static int n_trees = TREES;
static uint64_t seed = 20240229;
static struct caps caps;

/* Field by field what tc installs on a twin device for the same parameters. */
static void trees_are_those_of_tc(void **state)
{
	struct sampler s = {.seed = seed, .dev = {.frame = 1514, .txqlen = 32}, .caps = &caps};
	size_t objects = 0, fields = 0, leaves[QDISC_KINDS] = {0};
	struct nl *nl = nl_open();

	(void)state;
	if (!nl)
		give_up("no netlink");
	for (int i = 0; i < n_trees; i++)
		fields += one_tree(nl, &s, i % 3 == 2, &objects, leaves);
	nl_close(nl);
	assert_true(fields > objects);
	printf("%d trees, %d of them spread over %d queues, %zu objects, %zu fields equal; leaves:", n_trees,
	       n_trees / 3, SHARDS, objects, fields);
	for (int k = 0; k < QDISC_KINDS; k++)
		if (leaves[k])
			printf(" %s %zu", qdisc_name((enum qdisc_kind)k), leaves[k]);
	putchar('\n');
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(trees_are_those_of_tc)};

	if (getenv("QOSD_TREES"))
		n_trees = atoi(getenv("QOSD_TREES"));
	if (argc > 1)
		n_trees = atoi(argv[1]);
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0);
	if (geteuid() != 0 || system("tc -V >/dev/null 2>&1") != 0) {
		puts("skip: needs root and tc");
		return 77;
	}
	if (caps_probe(&caps) || !caps.v[CAP_HTB].has || !caps.v[CAP_IFB].has) {
		puts("skip: needs htb and ifb");
		return 77;
	}
	if (unshare(CLONE_NEWNET) < 0)
		give_up("no network namespace");
	run("ip link add name " OURS " index 20736 numtxqueues 4 type ifb && ip link add name " THEIRS
	    " index 20737 numtxqueues 4 type ifb");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
