/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "samples.h"

#include <assert.h>
#include <linux/pkt_sched.h>
#include <string.h>

#include "tc_rate.h"

#define DEPTH_MAX 8

uint32_t sample(struct sampler *s, uint32_t n)
{
	s->seed ^= s->seed << 13;
	s->seed ^= s->seed >> 7;
	s->seed ^= s->seed << 17;
	return (uint32_t)(s->seed >> 33) % n;
}

static uint64_t between(struct sampler *s, uint64_t lo, uint64_t hi)
{
	return lo + ((uint64_t)sample(s, 1u << 30) << 20 | sample(s, 1u << 20)) % (hi - lo + 1);
}

/* What tests need to know of a parameter: sensible values, and tc's words where they are not name and value. */
static const struct range {
	enum qdisc_kind kind;
	const char *name;
	uint64_t lo, hi;      /* in the kernel's units; both 0: as the parameter's type has it */
	const char *yes, *no; /* of a flag */
} ranges[] = {
	{QDISC_PFIFO, "limit", 1, 5000, NULL, NULL},
	{QDISC_BFIFO, "limit", 1000, 5000000, NULL, NULL},
	{QDISC_SFQ, "limit", 2, 3000, NULL, NULL},
	{QDISC_SFQ, "flows", 16, 500, NULL, NULL},
	{QDISC_SFQ, "divisor", 0, 0, NULL, NULL},
	{QDISC_SFQ, "depth", 8, 127, NULL, NULL},
	{QDISC_SFQ, "quantum", 300, 9000, NULL, NULL},
	{QDISC_SFQ, "perturb", 1, 60, NULL, NULL},
	{QDISC_SFQ, "headdrop", 0, 0, "headdrop", ""},
	{QDISC_FQ, "limit", 100, 100000, NULL, NULL},
	{QDISC_FQ, "flow_limit", 10, 1000, NULL, NULL},
	{QDISC_FQ, "buckets", 6, 12, NULL, NULL},
	{QDISC_FQ, "orphan_mask", 1, 0xfffff, NULL, NULL},
	{QDISC_FQ, "quantum", 1514, 20000, NULL, NULL},
	{QDISC_FQ, "initial_quantum", 1514, 20000, NULL, NULL},
	{QDISC_FQ, "pacing", 0, 0, "pacing", "nopacing"},
	{QDISC_FQ, "maxrate", 1000, 100000000, NULL, NULL},
	{QDISC_FQ, "low_rate_threshold", 1000, 1000000, NULL, NULL},
	{QDISC_FQ, "refill_delay", 1000, 200000, NULL, NULL},
	{QDISC_FQ, "ce_threshold", 100, 100000, NULL, NULL},
	{QDISC_FQ, "timer_slack", 1000, 100000, NULL, NULL},
	{QDISC_FQ, "horizon", 1000, 20000000, NULL, NULL},
	{QDISC_FQ, "horizon_drop", 0, 0, "horizon_drop", "horizon_cap"},
	{QDISC_FQ_CODEL, "limit", 100, 20000, NULL, NULL},
	{QDISC_FQ_CODEL, "flows", 1, 4096, NULL, NULL},
	{QDISC_FQ_CODEL, "quantum", 300, 9000, NULL, NULL},
	{QDISC_FQ_CODEL, "target", 1000, 30000, NULL, NULL},
	{QDISC_FQ_CODEL, "interval", 20000, 500000, NULL, NULL},
	{QDISC_FQ_CODEL, "ecn", 0, 0, "ecn", "noecn"},
	{QDISC_FQ_CODEL, "ce_threshold", 100, 20000, NULL, NULL},
	{QDISC_FQ_CODEL, "drop_batch", 1, 128, NULL, NULL},
	{QDISC_FQ_CODEL, "memory_limit", 100000, 64000000, NULL, NULL},
	{QDISC_CODEL, "limit", 100, 20000, NULL, NULL},
	{QDISC_CODEL, "target", 1000, 30000, NULL, NULL},
	{QDISC_CODEL, "interval", 20000, 500000, NULL, NULL},
	{QDISC_CODEL, "ecn", 0, 0, "ecn", "noecn"},
	{QDISC_CODEL, "ce_threshold", 100, 20000, NULL, NULL},
	{QDISC_CAKE, "bandwidth", 12500, 12500000000, NULL, NULL},
	{QDISC_CAKE, "diffserv", 0, 4, NULL, NULL},
	{QDISC_CAKE, "isolation", 0, 7, NULL, NULL},
	{QDISC_CAKE, "nat", 0, 0, "nat", "nonat"},
	{QDISC_CAKE, "wash", 0, 0, "wash", "nowash"},
	{QDISC_CAKE, "ingress", 0, 0, "ingress", "egress"},
	{QDISC_CAKE, "autorate-ingress", 0, 0, "autorate-ingress", ""},
	{QDISC_CAKE, "ack-filter", 0, 2, NULL, NULL},
	{QDISC_CAKE, "split-gso", 0, 0, "split-gso", "no-split-gso"},
	{QDISC_CAKE, "rtt", 1000, 1000000, NULL, NULL},
	{QDISC_CAKE, "overhead", 0, 64, NULL, NULL},
	{QDISC_CAKE, "atm", 0, 2, NULL, NULL},
	{QDISC_CAKE, "mpu", 1, 128, NULL, NULL},
	{QDISC_CAKE, "memlimit", 100000, 64000000, NULL, NULL},
	{QDISC_CAKE, "fwmark", 1, 0xff, NULL, NULL},
};

static const struct range *find_range(enum qdisc_kind kind, const char *name)
{
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (ranges[i].kind == kind && !strcmp(ranges[i].name, name))
			return &ranges[i];
	return NULL;
}

static void add_words(char *words, size_t size, const char *name, const char *value)
{
	size_t n = strlen(words);

	(void)snprintf(words + n, size - n, "%s%s%s%s", *name ? " " : "", name, *value ? " " : "",
		       value); /* has room */
}

/* As a policy would set it: the text that stands for the value, read again. */
static void set_by_text(struct qdisc *q, const struct qdisc_param *p, uint64_t value, char *words, size_t size)
{
	const struct range *r = find_range(q->kind, p->name);
	char text[TEXT_MAX];
	uint64_t again;
	const char *why;
	int err = qdisc_parse(p, qdisc_format(text, p, value), &again, &why);

	assert(!err && again == value);
	(void)err;
	qdisc_set(q, p, again);
	if (p->type == QDISC_FLAG)
		add_words(words, size, value ? r->yes : r->no, "");
	else if (p->type == QDISC_WORD)
		add_words(words, size, text, "");
	else if (p->type == QDISC_SEC || p->type == QDISC_BYTES) {
		/* In places tc takes no unit. */
		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value); /* fits */
		add_words(words, size, p->name, text);
	} else {
		add_words(words, size, p->name, text);
	}
}

static void sample_param(struct sampler *s, struct qdisc *q, const struct qdisc_param *p, char *words, size_t size)
{
	const struct range *r = find_range(q->kind, p->name);
	uint64_t value = 0;

	assert(r);
	if (p->type == QDISC_FLAG)
		value = sample(s, 2);
	else if (!r->hi)
		value = 1u << (6 + sample(s, 8)); /* a divisor */
	else
		value = between(s, r->lo, r->hi);
	set_by_text(q, p, value, words, size);
}

static void sample_tbf(struct sampler *s, struct qdisc *q, char *words, size_t size)
{
	uint64_t rate = between(s, 12500, sample(s, 4) ? 125000000 : 12500000000);

	set_by_text(q, qdisc_param(QDISC_TBF, "rate"), rate, words, size);
	set_by_text(q, qdisc_param(QDISC_TBF, "burst"), between(s, 1600, 1000000), words, size);
	if (sample(s, 2))
		set_by_text(q, qdisc_param(QDISC_TBF, "limit"), between(s, 3000, 10000000), words, size);
	else
		set_by_text(q, qdisc_param(QDISC_TBF, "latency"), between(s, 1000, 200000), words, size);
	if (sample(s, 2))
		return;
	set_by_text(q, qdisc_param(QDISC_TBF, "peakrate"), between(s, rate + 1, 2 * rate), words, size);
	set_by_text(q, qdisc_param(QDISC_TBF, "mtu"), between(s, 1600, 9000), words, size);
}

void sample_qdisc(struct sampler *s, enum qdisc_kind kind, struct qdisc *q, char *words, size_t size)
{
	const struct qdisc_param *params;
	const char *missing;
	size_t n;

	(void)snprintf(words, size, "%s", qdisc_name(kind)); /* fits */
	params = qdisc_params(kind, &n);
	do {
		words[strlen(qdisc_name(kind))] = '\0';
		qdisc_defaults(q, kind, &s->dev);
		if (kind == QDISC_TBF)
			sample_tbf(s, q, words, size);
		for (size_t i = 0; i < n && kind != QDISC_TBF; i++)
			if (sample(s, 3) == 0)
				sample_param(s, q, &params[i], words, size);
		missing = qdisc_finish(q);
	} while (missing);
}

/* ---- trees ---- */

/* Here tc counts in whole microseconds, and ticks are 64 ns. */
static uint32_t ticks_as_tc(uint64_t rate_Bps, uint32_t bytes)
{
	unsigned us = (unsigned)(1000000 * ((double)bytes / (double)rate_Bps));

	return (unsigned)(us * (1000.0 / 64));
}

struct tree {
	struct sampler *s;
	struct arena *a;
	int ifindex;
	struct kobj_set *out;
	FILE *batch;
	const char *other;
	uint32_t handle;     /* of the htb */
	uint32_t left, next; /* classes yet to be made, and their numbers */
	uint16_t overhead, mpu;
	uint8_t linklayer;
};

static struct kobj *add(struct tree *t, enum kobj_kind kind, uint32_t level)
{
	struct kobj *o = vec_add(t->a, t->out);

	o->kind = kind;
	o->level = level;
	return o;
}

static enum qdisc_kind leaf_kind(struct tree *t)
{
	for (;;) {
		enum qdisc_kind kind = (enum qdisc_kind)sample(t->s, QDISC_KINDS);
		const struct cap_result *cap = t->s->caps ? caps_of_qdisc(t->s->caps, kind) : NULL;

		if (qdisc_is_leaf(kind) && (!t->s->caps || (cap && cap->has)))
			return kind;
	}
}

static void add_leaf(struct tree *t, uint32_t number)
{
	struct kobj_qdisc *q = &add(t, KOBJ_LEAF, 0)->qdisc;
	char words[512];

	q->ifindex = t->ifindex;
	q->handle = number << 16;
	q->parent = t->handle | number;
	sample_qdisc(t->s, leaf_kind(t), &q->q, words, sizeof(words));
	if (t->batch)
		fprintf(t->batch, "qdisc add dev %s parent %x:%x handle %x: %s\n", t->other, t->handle >> 16, number,
			number, words);
}

static void print_class(struct tree *t, const struct kobj_class *c, uint32_t burst, uint32_t cburst)
{
	static const char *const linklayers[] = {"", "ethernet", "atm"};
	char rate[TEXT_MAX], ceil[TEXT_MAX];

	fprintf(t->batch, "class add dev %s parent %x:%x classid %x:%x htb rate %s ceil %s burst %ub cburst %ub",
		t->other, t->handle >> 16, c->parent == TC_H_ROOT ? 0 : TC_H_MIN(c->parent), t->handle >> 16,
		TC_H_MIN(c->classid), text_format_rate(rate, c->rate_Bps), text_format_rate(ceil, c->ceil_Bps), burst,
		cburst);
	fprintf(t->batch, " prio %u quantum %u overhead %u mpu %u linklayer %s\n", c->prio, c->quantum, c->overhead,
		c->mpu, linklayers[c->linklayer]);
}

/* A class within rate and ceil, and what is below it. */
static void add_classes(struct tree *t, uint32_t parent, uint32_t level, uint64_t rate_max, uint64_t ceil_max)
{
	uint32_t number = t->next++, children, burst, cburst;
	size_t at = t->out->n;
	struct kobj_class c;

	(void)add(t, KOBJ_CLASS, level); /* filled below: adding others moves it */
	t->left--;
	children = level + 1 < DEPTH_MAX && t->left ? sample(t->s, level ? 4 : 6) : 0;
	if (children > t->left)
		children = t->left;
	burst = 1600 + sample(t->s, 200000);
	cburst = 1600 + sample(t->s, 200000);
	c = (struct kobj_class){
		.ifindex = t->ifindex,
		.classid = t->handle | number,
		.parent = parent,
		.rate_Bps = between(t->s, rate_max / 4 + 1000, rate_max + 1000),
		.quantum = 1514 + sample(t->s, 58000),
		.prio = sample(t->s, 8),
		.overhead = t->overhead,
		.mpu = t->mpu,
		.linklayer = t->linklayer,
		.inner = children > 0,
	};
	c.ceil_Bps = between(t->s, c.rate_Bps, c.rate_Bps > ceil_max ? c.rate_Bps : ceil_max);
	c.burst_ticks = ticks_as_tc(c.rate_Bps, burst);
	c.cburst_ticks = ticks_as_tc(c.ceil_Bps, cburst);
	if (t->batch)
		print_class(t, &c, burst, cburst);
	t->out->v[at].cls = c;
	if (!children)
		add_leaf(t, number);
	for (uint32_t i = 0; i < children; i++) {
		if (!t->left && i == 0)
			assert(!"a class without its children");
		if (t->left)
			add_classes(t, c.classid, level + 1, c.rate_Bps / children, c.ceil_Bps);
	}
}

static void add_qdisc(struct tree *t, enum qdisc_kind kind, uint32_t parent, uint32_t handle)
{
	struct kobj *o = add(t, KOBJ_QDISC, parent != TC_H_ROOT);

	o->qdisc = (struct kobj_qdisc){.ifindex = t->ifindex, .handle = handle, .parent = parent};
	qdisc_defaults(&o->qdisc.q, kind, &t->s->dev);
}

/* An htb and its classes, up to max of them. */
static void add_tree(struct tree *t, uint32_t parent, uint32_t handle, uint32_t max)
{
	t->handle = handle;
	t->left = 1 + sample(t->s, max);
	add_qdisc(t, QDISC_HTB, parent, handle);
	t->out->v[t->out->n - 1].qdisc.q.htb.default_minor = KOBJ_DEFAULT_MINOR;
	if (t->batch && parent == TC_H_ROOT)
		fprintf(t->batch, "qdisc add dev %s root handle %x: htb default fffe\n", t->other, handle >> 16);
	else if (t->batch)
		fprintf(t->batch, "qdisc add dev %s parent %x:%x handle %x: htb default fffe\n", t->other,
			TC_H_MAJ(parent) >> 16, TC_H_MIN(parent), handle >> 16);
	for (uint32_t tops = 1 + sample(t->s, 3); tops && t->left; tops--) {
		uint64_t rate =
			sample(t->s, 4) ? between(t->s, 125000, 1250000000) : between(t->s, 4000000000, 20000000000);

		add_classes(t, TC_H_ROOT, 0, rate, 2 * rate);
	}
}

static void choose_link(struct tree *t)
{
	t->overhead = sample(t->s, 2) ? (uint16_t)sample(t->s, 64) : 0;
	t->mpu = sample(t->s, 2) ? (uint16_t)sample(t->s, 128) : 0;
	t->linklayer = sample(t->s, 4) ? TC_LINKLAYER_ETHERNET : TC_LINKLAYER_ATM;
}

void sample_tree(struct sampler *s, struct arena *a, int ifindex, uint32_t max, struct kobj_set *out, FILE *batch,
		 const char *other)
{
	struct tree t = {.s = s, .a = a, .ifindex = ifindex, .out = out, .batch = batch, .other = other, .next = 1};

	choose_link(&t);
	add_tree(&t, TC_H_ROOT, KOBJ_ROOT_HANDLE, max);
	kobj_set_sort(out);
}

void sample_shards(struct sampler *s, struct arena *a, int ifindex, uint32_t shards, uint32_t max, struct kobj_set *out,
		   FILE *batch, const char *other)
{
	struct tree t = {.s = s, .a = a, .ifindex = ifindex, .out = out, .batch = batch, .other = other, .next = 1};

	choose_link(&t);
	add_qdisc(&t, QDISC_MQ, TC_H_ROOT, KOBJ_ROOT_HANDLE);
	out->v[out->n - 1].qdisc.q.mq.trees = shards;
	if (batch)
		fprintf(batch, "qdisc add dev %s root handle 5100: mq\n", other);
	for (uint32_t i = 1; i <= shards; i++)
		add_tree(&t, KOBJ_ROOT_HANDLE | i, KOBJ_SHARD(i), max / shards);
	kobj_set_sort(out);
}
