/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qdisc.h"

#include <errno.h>
#include <string.h>

#include "tc_rate.h"

/* net/sched/sch_sfq.c: sends these as "leave it", see qdisc_codec.c. */
#define SFQ_MAX_DEPTH 127
#define SFQ_MAX_FLOWS (0x10000 - SFQ_MAX_DEPTH - 1)
/* The microseconds that make the kernel's CODEL_DISABLED_THRESHOLD (INT_MAX units of 1,024 ns). */
#define CODEL_OFF_US 2199023255u
/* sch_fq.c's own default for "never", 4,294 seconds. */
#define FQ_CE_OFF_US UINT32_MAX
/* A jiffy is at most that long; refill_delay is rounded up to jiffies. */
#define JIFFY_MAX_US 10000

#define FIFO_DELAY_MS    100
#define FIFO_PACKETS_MIN 16

static const char *const diffserv_words[] = {"diffserv3", "diffserv4", "diffserv8", "besteffort", "precedence", NULL};
static const char *const isolation_words[] = {"flowblind",    "srchost",      "dsthost",        "hosts", "flows",
					      "dual-srchost", "dual-dsthost", "triple-isolate", NULL};
static const char *const atm_words[] = {"noatm", "atm", "ptm", NULL};
static const char *const ack_words[] = {"no-ack-filter", "ack-filter", "ack-filter-aggressive", NULL};

#define FIELD(f)         sizeof(((struct qdisc *)0)->f), offsetof(struct qdisc, f)
#define NONE             NULL, 0, NULL
#define OFF(word, value) word, value, NULL

static const struct qdisc_param pfifo_params[] = {
	{"limit", QDISC_NUMBER, FIELD(fifo.limit), 1, UINT32_MAX, NONE},
};

static const struct qdisc_param bfifo_params[] = {
	{"limit", QDISC_BYTES, FIELD(fifo.limit), 1, UINT32_MAX, NONE},
};

static const struct qdisc_param sfq_params[] = {
	{"limit", QDISC_NUMBER, FIELD(sfq.limit), 2, SFQ_MAX_DEPTH *SFQ_MAX_FLOWS, NONE},
	{"flows", QDISC_NUMBER, FIELD(sfq.flows), 1, SFQ_MAX_FLOWS, NONE},
	{"divisor", QDISC_NUMBER, FIELD(sfq.divisor), 1, 65536, NONE},
	{"depth", QDISC_NUMBER, FIELD(sfq.depth), 1, SFQ_MAX_DEPTH, NONE},
	{"quantum", QDISC_BYTES, FIELD(sfq.quantum), 1, INT32_MAX, NONE},
	{"perturb", QDISC_SEC, FIELD(sfq.perturb_s), 0, 86400, OFF("off", 0)},
	{"headdrop", QDISC_FLAG, FIELD(sfq.headdrop), 0, 1, NONE},
};

static const struct qdisc_param fq_params[] = {
	{"limit", QDISC_NUMBER, FIELD(fq.limit), 1, UINT32_MAX, NONE},
	{"flow_limit", QDISC_NUMBER, FIELD(fq.flow_limit), 1, UINT32_MAX, NONE},
	{"buckets", QDISC_LOG2, FIELD(fq.buckets_log), 2, 256 * 1024, NONE},
	{"orphan_mask", QDISC_MASK, FIELD(fq.orphan_mask), 0, UINT32_MAX, NONE},
	{"quantum", QDISC_BYTES, FIELD(fq.quantum), 1, 1 << 20, NONE},
	{"initial_quantum", QDISC_BYTES, FIELD(fq.initial_quantum), 1, INT32_MAX, NONE},
	{"pacing", QDISC_FLAG, FIELD(fq.pacing), 0, 1, NONE},
	{"maxrate", QDISC_RATE, FIELD(fq.maxrate_Bps), 1, UINT32_MAX - 1, OFF("off", UINT32_MAX)},
	{"low_rate_threshold", QDISC_RATE, FIELD(fq.low_rate_Bps), 1, UINT32_MAX, OFF("off", 0)},
	{"refill_delay", QDISC_USEC, FIELD(fq.refill_delay_us), 1000, 1000000000, NONE},
	{"ce_threshold", QDISC_USEC, FIELD(fq.ce_threshold_us), 0, UINT32_MAX - 1, OFF("off", FQ_CE_OFF_US)},
	{"timer_slack", QDISC_NSEC, FIELD(fq.timer_slack_ns), 0, UINT32_MAX, NONE},
	{"horizon", QDISC_USEC, FIELD(fq.horizon_us), 1, UINT32_MAX, NONE},
	{"horizon_drop", QDISC_FLAG, FIELD(fq.horizon_drop), 0, 1, NONE},
};

static const struct qdisc_param codel_params[] = {
	{"limit", QDISC_NUMBER, FIELD(codel.limit), 1, UINT32_MAX, NONE},
	{"target", QDISC_USEC, FIELD(codel.target_us), 2, 1000000000, NONE},
	{"interval", QDISC_USEC, FIELD(codel.interval_us), 2, 1000000000, NONE},
	{"ecn", QDISC_FLAG, FIELD(codel.ecn), 0, 1, NONE},
	{"ce_threshold", QDISC_USEC, FIELD(codel.ce_threshold_us), 0, 1000000000, OFF("off", CODEL_OFF_US)},
};

static const struct qdisc_param fq_codel_params[] = {
	{"limit", QDISC_NUMBER, FIELD(fq_codel.limit), 1, UINT32_MAX, NONE},
	{"flows", QDISC_NUMBER, FIELD(fq_codel.flows), 1, 65536, NONE},
	{"quantum", QDISC_BYTES, FIELD(fq_codel.quantum), 256, 1 << 20, NONE},
	{"target", QDISC_USEC, FIELD(fq_codel.target_us), 2, 1000000000, NONE},
	{"interval", QDISC_USEC, FIELD(fq_codel.interval_us), 2, 1000000000, NONE},
	{"ecn", QDISC_FLAG, FIELD(fq_codel.ecn), 0, 1, NONE},
	{"ce_threshold", QDISC_USEC, FIELD(fq_codel.ce_threshold_us), 0, 1000000000, OFF("off", CODEL_OFF_US)},
	{"drop_batch", QDISC_NUMBER, FIELD(fq_codel.drop_batch), 1, UINT32_MAX, NONE},
	{"memory_limit", QDISC_BYTES, FIELD(fq_codel.memory_limit), 1, 1ll << 31, NONE},
};

/* What is a word of its own for tc ("diffserv4", "dual-dsthost", "nonat") is the value of a key here. */
static const struct qdisc_param cake_params[] = {
	{"bandwidth", QDISC_RATE, FIELD(cake.bandwidth_Bps), 1, INT64_MAX, OFF("unlimited", 0)},
	{"diffserv", QDISC_WORD, FIELD(cake.diffserv), 0, 4, NULL, 0, diffserv_words},
	{"isolation", QDISC_WORD, FIELD(cake.isolation), 0, 7, NULL, 0, isolation_words},
	{"nat", QDISC_FLAG, FIELD(cake.nat), 0, 1, NONE},
	{"wash", QDISC_FLAG, FIELD(cake.wash), 0, 1, NONE},
	{"ingress", QDISC_FLAG, FIELD(cake.ingress), 0, 1, NONE},
	{"autorate-ingress", QDISC_FLAG, FIELD(cake.autorate), 0, 1, NONE},
	{"ack-filter", QDISC_WORD, FIELD(cake.ack_filter), 0, 2, NULL, 0, ack_words},
	{"split-gso", QDISC_FLAG, FIELD(cake.split_gso), 0, 1, NONE},
	{"rtt", QDISC_USEC, FIELD(cake.rtt_us), 1, 4000000000, NONE},
	{"overhead", QDISC_SIGNED, FIELD(cake.overhead), -64, 256, NONE},
	{"atm", QDISC_WORD, FIELD(cake.atm), 0, 2, NULL, 0, atm_words},
	{"mpu", QDISC_BYTES, FIELD(cake.mpu), 0, 256, NONE},
	{"memlimit", QDISC_BYTES, FIELD(cake.memlimit), 1, UINT32_MAX, OFF("auto", 0)},
	{"fwmark", QDISC_MASK, FIELD(cake.fwmark), 0, UINT32_MAX, OFF("off", 0)},
};

static const struct qdisc_param tbf_params[] = {
	{"rate", QDISC_RATE, FIELD(tbf.rate_Bps), 1, INT64_MAX, NONE},
	{"burst", QDISC_BYTES, FIELD(tbf.burst), 1, UINT32_MAX, NONE},
	{"limit", QDISC_BYTES, FIELD(tbf.limit), 1, UINT32_MAX, NONE},
	{"latency", QDISC_USEC, FIELD(tbf.latency_us), 1, UINT32_MAX, OFF("off", 0)},
	{"peakrate", QDISC_RATE, FIELD(tbf.peakrate_Bps), 1, INT64_MAX, OFF("off", 0)},
	{"mtu", QDISC_BYTES, FIELD(tbf.mtu), 1, UINT32_MAX, OFF("off", 0)},
};

#define PARAMS(table) table, sizeof(table) / sizeof((table)[0])
#define NO_PARAMS     NULL, 0

static void htb_defaults(struct qdisc *q, const struct qdisc_device *dev);
static void pfifo_defaults(struct qdisc *q, const struct qdisc_device *dev);
static void bfifo_defaults(struct qdisc *q, const struct qdisc_device *dev);
static void sfq_defaults(struct qdisc *q, const struct qdisc_device *dev);
static void fq_defaults(struct qdisc *q, const struct qdisc_device *dev);
static void codel_defaults(struct qdisc *q, const struct qdisc_device *dev);
static void fq_codel_defaults(struct qdisc *q, const struct qdisc_device *dev);
static void cake_defaults(struct qdisc *q, const struct qdisc_device *dev);
static const char *sfq_finish(struct qdisc *q);
static const char *codel_finish(struct qdisc *q);
static const char *fq_codel_finish(struct qdisc *q);
static const char *cake_finish(struct qdisc *q);
static const char *tbf_finish(struct qdisc *q);

static const struct kind {
	const char *name;
	const struct qdisc_param *params;
	size_t n_params;
	void (*defaults)(struct qdisc *q, const struct qdisc_device *dev); /* NULL: all zero */
	const char *(*finish)(struct qdisc *q);                            /* NULL: nothing to do */
	bool leaf, aqm;
	const char *fixed; /* nothing of it can be changed, and why */
} kinds[QDISC_KINDS] = {
	[QDISC_OTHER] = {"", NO_PARAMS, NULL, NULL, false, false, "qosd does not know what is there"},
	[QDISC_CLSACT] = {"clsact", NO_PARAMS, NULL, NULL, false, false, NULL},
	[QDISC_INGRESS] = {"ingress", NO_PARAMS, NULL, NULL, false, false, NULL},
	[QDISC_HTB] = {"htb", NO_PARAMS, htb_defaults, NULL, false, false, "htb has no change operation"},
	[QDISC_MQ] = {"mq", NO_PARAMS, NULL, NULL, false, false,
		      "the classes are spread anew over another number of queues"},
	[QDISC_PFIFO] = {"pfifo", PARAMS(pfifo_params), pfifo_defaults, NULL, true, false, NULL},
	[QDISC_BFIFO] = {"bfifo", PARAMS(bfifo_params), bfifo_defaults, NULL, true, false, NULL},
	[QDISC_PFIFO_FAST] = {"pfifo_fast", NO_PARAMS, NULL, NULL, true, false, NULL},
	[QDISC_SFQ] = {"sfq", PARAMS(sfq_params), sfq_defaults, sfq_finish, true, false, "sfq has no change operation"},
	[QDISC_FQ] = {"fq", PARAMS(fq_params), fq_defaults, NULL, true, false, NULL},
	[QDISC_FQ_CODEL] = {"fq_codel", PARAMS(fq_codel_params), fq_codel_defaults, fq_codel_finish, true, true, NULL},
	[QDISC_CODEL] = {"codel", PARAMS(codel_params), codel_defaults, codel_finish, true, true, NULL},
	[QDISC_CAKE] = {"cake", PARAMS(cake_params), cake_defaults, cake_finish, true, true, NULL},
	[QDISC_TBF] = {"tbf", PARAMS(tbf_params), NULL, tbf_finish, true, false, NULL},
};

const char *qdisc_name(enum qdisc_kind kind)
{
	return kinds[kind].name;
}

enum qdisc_kind qdisc_by_name(const char *name)
{
	for (int k = QDISC_OTHER + 1; k < QDISC_KINDS; k++)
		if (!strcmp(kinds[k].name, name))
			return (enum qdisc_kind)k;
	return QDISC_OTHER;
}

bool qdisc_is_leaf(enum qdisc_kind kind)
{
	return kinds[kind].leaf;
}

bool qdisc_has_aqm(enum qdisc_kind kind)
{
	return kinds[kind].aqm;
}

/* ---- defaults, each as the init function in net/sched/sch_KIND.c has them ---- */

void qdisc_defaults(struct qdisc *q, enum qdisc_kind kind, const struct qdisc_device *dev)
{
	memset(q, 0, sizeof(*q));
	q->kind = kind;
	if (kinds[kind].defaults)
		kinds[kind].defaults(q, dev);
}

void qdisc_sized_fifo(struct qdisc *q, uint64_t rate_Bps, const struct qdisc_device *dev)
{
	uint64_t packets = rate_Bps / (1000 / FIFO_DELAY_MS) / dev->frame;

	qdisc_defaults(q, QDISC_PFIFO, dev);
	q->fifo.limit = packets < FIFO_PACKETS_MIN ? FIFO_PACKETS_MIN
			: packets > UINT32_MAX     ? UINT32_MAX
						   : (uint32_t)packets;
}

static void htb_defaults(struct qdisc *q, const struct qdisc_device *dev)
{
	(void)dev;
	q->htb.r2q = 10;
}

static void pfifo_defaults(struct qdisc *q, const struct qdisc_device *dev)
{
	q->fifo.limit = dev->txqlen;
}

static void bfifo_defaults(struct qdisc *q, const struct qdisc_device *dev)
{
	q->fifo.limit = dev->txqlen * dev->frame;
}

static void sfq_defaults(struct qdisc *q, const struct qdisc_device *dev)
{
	q->sfq = (struct qdisc_sfq){
		.limit = SFQ_MAX_DEPTH,
		.flows = 128,
		.divisor = 1024,
		.depth = SFQ_MAX_DEPTH,
		.quantum = dev->frame,
	};
}

static void fq_defaults(struct qdisc *q, const struct qdisc_device *dev)
{
	q->fq = (struct qdisc_fq){
		.limit = 10000,
		.flow_limit = 100,
		.quantum = 2 * dev->frame,
		.initial_quantum = 10 * dev->frame,
		.pacing = 1,
		.maxrate_Bps = UINT32_MAX,
		.low_rate_Bps = 550000 / 8,
		.buckets_log = 10,
		.orphan_mask = 1023,
		.refill_delay_us = 40000,
		.ce_threshold_us = FQ_CE_OFF_US,
		.timer_slack_ns = 10000,
		.horizon_us = 10000000,
		.horizon_drop = 1,
	};
}

static void codel_defaults(struct qdisc *q, const struct qdisc_device *dev)
{
	(void)dev;
	q->codel = (struct qdisc_codel){
		.limit = 1000, .target_us = 5000, .interval_us = 100000, .ce_threshold_us = CODEL_OFF_US};
}

static void fq_codel_defaults(struct qdisc *q, const struct qdisc_device *dev)
{
	q->fq_codel = (struct qdisc_fq_codel){
		.limit = 10240,
		.flows = 1024,
		.quantum = dev->frame,
		.target_us = 5000,
		.interval_us = 100000,
		.ecn = 1,
		.ce_threshold_us = CODEL_OFF_US,
		.drop_batch = 64,
		.memory_limit = 32 << 20,
	};
}

static void cake_defaults(struct qdisc *q, const struct qdisc_device *dev)
{
	(void)dev;
	q->cake = (struct qdisc_cake){
		.isolation = 7, .rtt_us = 100000, .target_us = 5000, .raw = 1, .split_gso = 1}; /* triple-isolate */
}

/* ---- what becomes of values in the kernel ---- */

const char *qdisc_finish(struct qdisc *q)
{
	return kinds[q->kind].finish ? kinds[q->kind].finish(q) : NULL;
}

static uint32_t at_most(uint32_t value, uint32_t max)
{
	return value < max ? value : max;
}

/* sfq_change. A limit that is the default one is not sent, and limits nothing. */
static const char *sfq_finish(struct qdisc *q)
{
	struct qdisc_sfq *s = &q->sfq;

	if (s->divisor & (s->divisor - 1))
		return "the divisor of sfq is a power of two";
	s->flows = at_most(s->flows, s->divisor);
	if (s->limit == SFQ_MAX_DEPTH)
		return NULL;
	s->limit = at_most(s->limit, s->depth * s->flows);
	s->flows = at_most(s->flows, s->limit);
	return s->limit > 1 ? NULL : "the limit of sfq is at most depth times flows, and at least two packets";
}

/* codel keeps units of 1,024 ns, rounded down. Of the microseconds that give the same units these are the fewest, so
 * that what a dump tells can be sent again. */
static uint32_t codel_us(uint32_t us)
{
	uint64_t units = (uint64_t)us * 1000 >> 10;

	return (uint32_t)((units * 1024 + 999) / 1000);
}

static const char *codel_finish(struct qdisc *q)
{
	q->codel.target_us = codel_us(q->codel.target_us);
	q->codel.interval_us = codel_us(q->codel.interval_us);
	q->codel.ce_threshold_us = codel_us(q->codel.ce_threshold_us);
	return NULL;
}

static const char *fq_codel_finish(struct qdisc *q)
{
	q->fq_codel.target_us = codel_us(q->fq_codel.target_us);
	q->fq_codel.interval_us = codel_us(q->fq_codel.interval_us);
	q->fq_codel.ce_threshold_us = codel_us(q->fq_codel.ce_threshold_us);
	return NULL;
}

static const char *cake_finish(struct qdisc *q)
{
	q->cake.target_us = q->cake.rtt_us / 20 ? q->cake.rtt_us / 20 : 1;
	return NULL;
}

/* psched_l2t_ns, in ticks. */
static uint32_t ticks_of(uint64_t rate_Bps, uint32_t bytes)
{
	uint32_t mult, shift;
	uint64_t ticks;

	tc_rate_mult(rate_Bps, &mult, &shift);
	ticks = ((uint64_t)bytes * mult >> shift) >> TC_RATE_TICK_SHIFT;
	return ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks;
}

/* How much waits at the rate for that long, and what a burst lets through at once, as tc reckons. */
static uint64_t tbf_limit(uint64_t rate_Bps, uint32_t latency_us, uint32_t burst)
{
	return (uint64_t)((unsigned __int128)rate_Bps * latency_us / 1000000) + burst;
}

static const char *tbf_finish(struct qdisc *q)
{
	struct qdisc_tbf *t = &q->tbf;

	if (!t->rate_Bps)
		return "tbf needs a rate";
	if (!t->burst)
		return "tbf needs a burst";
	if (!t->limit && !t->latency_us)
		return "tbf needs a limit or a latency";
	if (!t->peakrate_Bps != !t->mtu)
		return "tbf needs a peakrate and an mtu together";
	if (t->peakrate_Bps && t->peakrate_Bps <= t->rate_Bps)
		return "the peakrate of tbf is above its rate";
	t->burst_ticks = ticks_of(t->rate_Bps, t->burst);
	if (t->peakrate_Bps)
		t->mtu_ticks = ticks_of(t->peakrate_Bps, t->mtu);
	if (!t->burst_ticks || (t->peakrate_Bps && !t->mtu_ticks))
		return "the burst of tbf is nothing at its rate";
	if (t->latency_us) {
		uint64_t limit = tbf_limit(t->rate_Bps, t->latency_us, t->burst);
		uint64_t peak = t->peakrate_Bps ? tbf_limit(t->peakrate_Bps, t->latency_us, t->mtu) : limit;

		limit = peak < limit ? peak : limit;
		t->limit = limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit;
	}
	return NULL;
}

/* ---- parameters ---- */

const struct qdisc_param *qdisc_params(enum qdisc_kind kind, size_t *n)
{
	*n = kinds[kind].n_params;
	return kinds[kind].params;
}

const struct qdisc_param *qdisc_param(enum qdisc_kind kind, const char *name)
{
	for (size_t i = 0; i < kinds[kind].n_params; i++)
		if (!strcmp(kinds[kind].params[i].name, name))
			return &kinds[kind].params[i];
	return NULL;
}

void qdisc_set(struct qdisc *q, const struct qdisc_param *p, uint64_t value)
{
	uint32_t narrow = (uint32_t)value;

	memcpy((char *)q + p->offset, p->width == 8 ? (void *)&value : &narrow, p->width);
	/* For tc, too, an overhead is the opposite of raw. */
	if (p->offset == offsetof(struct qdisc, cake.overhead) && q->kind == QDISC_CAKE)
		q->cake.raw = 0;
}

uint64_t qdisc_get(const struct qdisc *q, const struct qdisc_param *p)
{
	uint64_t wide;
	uint32_t narrow;

	if (p->width == 8) {
		memcpy(&wide, (const char *)q + p->offset, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, (const char *)q + p->offset, sizeof(narrow));
	return narrow;
}

static int parse_time(const char *text, uint64_t unit_ns, uint64_t *value, const char **why)
{
	int err = text_time(text, value, why);

	*value /= unit_ns;
	return err;
}

static int parse_word(const char *const *words, const char *text, uint64_t *value, const char **why)
{
	static char say[160];

	for (*value = 0; words[*value]; ++*value)
		if (!strcmp(words[*value], text))
			return 0;
	(void)snprintf(say, sizeof(say), "expected one of");
	for (size_t i = 0; words[i]; i++)
		(void)snprintf(say + strlen(say), sizeof(say) - strlen(say), " %s", words[i]); /* cut to fit */
	*why = say;
	return -EINVAL;
}

static int parse_flag(const char *text, uint64_t *value, const char **why)
{
	*value = !strcmp(text, "on");
	if (*value || !strcmp(text, "off"))
		return 0;
	*why = "expected on or off";
	return -EINVAL;
}

static int parse_log2(const char *text, uint64_t *value, const char **why)
{
	uint64_t n;
	int err = text_number(text, UINT32_MAX, &n, why);

	if (err)
		return err;
	*why = "expected a power of two";
	if (!n || (n & (n - 1)))
		return -EINVAL;
	*value = (uint64_t)__builtin_ctzll(n);
	return 0;
}

static int parse_signed(const char *text, uint64_t *value, const char **why)
{
	bool minus = *text == '-';
	int err = text_number(text + minus, INT32_MAX, value, why);

	if (minus)
		*value = (uint64_t) - (int64_t)*value;
	return err;
}

static int parse_rate(const char *text, uint64_t *value, const char **why)
{
	struct rate rate;
	int err = text_rate(text, &rate, why);

	if (!err && rate.percent) {
		*why = "a share of the parent's rate is not possible here";
		return -EINVAL;
	}
	*value = err ? 0 : rate.Bps;
	return err;
}

static int parse_mask(const char *text, uint64_t *value, const char **why)
{
	uint32_t number, mask;
	int err = text_mark(text, &number, &mask, why);

	if (!err && strchr(text, '/')) {
		*why = "expected one number";
		return -EINVAL;
	}
	*value = err ? 0 : number;
	return err;
}

static int parse(const struct qdisc_param *p, const char *text, uint64_t *value, const char **why)
{
	switch (p->type) {
	case QDISC_NUMBER: return text_number(text, UINT32_MAX, value, why);
	case QDISC_SIGNED: return parse_signed(text, value, why);
	case QDISC_BYTES: return text_size(text, value, why);
	case QDISC_USEC: return parse_time(text, 1000, value, why);
	case QDISC_NSEC: return parse_time(text, 1, value, why);
	case QDISC_SEC: return parse_time(text, 1000000000, value, why);
	case QDISC_FLAG: return parse_flag(text, value, why);
	case QDISC_RATE: return parse_rate(text, value, why);
	case QDISC_MASK: return parse_mask(text, value, why);
	case QDISC_LOG2: return parse_log2(text, value, why);
	case QDISC_WORD: return parse_word(p->words, text, value, why);
	case QDISC_TYPES: break;
	}
	*why = "no such parameter";
	return -EINVAL;
}

/* What min and max are said in. */
static int64_t in_words(const struct qdisc_param *p, uint64_t value)
{
	return p->type == QDISC_LOG2                          ? (int64_t)1 << value
	       : value > INT64_MAX && p->type != QDISC_SIGNED ? INT64_MAX
							      : (int64_t)value;
}

int qdisc_parse(const struct qdisc_param *p, const char *text, uint64_t *value, const char **why)
{
	static char say[160];
	char lo[TEXT_MAX], hi[TEXT_MAX];
	int err;

	*value = 0;
	if (p->off && !strcmp(text, p->off)) {
		*value = p->off_value;
		return 0;
	}
	err = parse(p, text, value, why);
	if (err)
		return err;
	if (in_words(p, *value) >= p->min && in_words(p, *value) <= p->max)
		return 0;
	qdisc_format(lo, p, p->type == QDISC_LOG2 ? (uint64_t)__builtin_ctzll((uint64_t)p->min) : (uint64_t)p->min);
	qdisc_format(hi, p, p->type == QDISC_LOG2 ? (uint64_t)__builtin_ctzll((uint64_t)p->max) : (uint64_t)p->max);
	(void)snprintf(say, sizeof(say), "expected %s to %s", lo, hi); /* fits */
	*why = say;
	return -ERANGE;
}

char *qdisc_format(char buf[TEXT_MAX], const struct qdisc_param *p, uint64_t value)
{
	if (p->off && value == p->off_value) {
		(void)snprintf(buf, TEXT_MAX, "%s", p->off); /* fits, as all of these do */
		return buf;
	}
	switch (p->type) {
	case QDISC_NUMBER: (void)snprintf(buf, TEXT_MAX, "%llu", (unsigned long long)value); break;
	case QDISC_SIGNED: (void)snprintf(buf, TEXT_MAX, "%d", (int32_t)value); break;
	case QDISC_BYTES: return text_format_size(buf, value);
	case QDISC_USEC: return text_format_time(buf, value * 1000);
	case QDISC_NSEC: return text_format_time(buf, value);
	case QDISC_SEC: return text_format_time(buf, value * 1000000000);
	case QDISC_FLAG: (void)snprintf(buf, TEXT_MAX, "%s", value ? "on" : "off"); break;
	case QDISC_RATE: return text_format_rate(buf, value);
	case QDISC_MASK: (void)snprintf(buf, TEXT_MAX, "0x%llx", (unsigned long long)value); break;
	case QDISC_LOG2: (void)snprintf(buf, TEXT_MAX, "%llu", 1ull << (value & 31)); break;
	case QDISC_WORD:
		(void)snprintf(buf, TEXT_MAX, "%s", value <= (uint64_t)p->max ? p->words[value] : "unknown");
		break;
	case QDISC_TYPES: buf[0] = '\0'; break;
	}
	return buf;
}

/* ---- as a kernel object ---- */

static bool tbf_same(const struct qdisc_tbf *a, const struct qdisc_tbf *b)
{
	return a->rate_Bps == b->rate_Bps && a->peakrate_Bps == b->peakrate_Bps && a->limit == b->limit &&
	       a->burst_ticks == b->burst_ticks && a->mtu_ticks == b->mtu_ticks;
}

static bool fq_same(const struct qdisc *a, const struct qdisc *b)
{
	struct qdisc x = *a;
	uint32_t p = a->fq.refill_delay_us, q = b->fq.refill_delay_us;

	x.fq.refill_delay_us = q;
	return (p > q ? p - q : q - p) < JIFFY_MAX_US && !memcmp(&x.fq, &b->fq, sizeof(x.fq));
}

bool qdisc_same(const struct qdisc *a, const struct qdisc *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case QDISC_OTHER: return !strcmp(a->other, b->other);
	case QDISC_CLSACT:
	case QDISC_INGRESS:
	case QDISC_PFIFO_FAST: return true;
	case QDISC_MQ: return a->mq.trees == b->mq.trees;
	case QDISC_HTB: return !memcmp(&a->htb, &b->htb, sizeof(a->htb));
	case QDISC_PFIFO:
	case QDISC_BFIFO: return a->fifo.limit == b->fifo.limit;
	case QDISC_SFQ: return !memcmp(&a->sfq, &b->sfq, sizeof(a->sfq));
	case QDISC_FQ: return fq_same(a, b);
	case QDISC_FQ_CODEL: return !memcmp(&a->fq_codel, &b->fq_codel, sizeof(a->fq_codel));
	case QDISC_CODEL: return !memcmp(&a->codel, &b->codel, sizeof(a->codel));
	case QDISC_CAKE: return !memcmp(&a->cake, &b->cake, sizeof(a->cake));
	case QDISC_TBF: return tbf_same(&a->tbf, &b->tbf);
	case QDISC_KINDS: break;
	}
	return false;
}

const char *qdisc_fixed(const struct qdisc *before, const struct qdisc *after)
{
	if (before->kind != after->kind)
		return "a qdisc of another kind has its place";
	if (qdisc_same(before, after))
		return NULL;
	if (before->kind == QDISC_FQ_CODEL && before->fq_codel.flows != after->fq_codel.flows)
		return "the number of flows of fq_codel is fixed at creation";
	return kinds[before->kind].fixed;
}

static void describe_param(const struct qdisc *q, const struct qdisc_param *p, FILE *out)
{
	uint64_t value = qdisc_get(q, p);
	char buf[TEXT_MAX];

	if (p->off && value == p->off_value)
		return;
	if (p->type == QDISC_FLAG)
		fprintf(out, "%s%s", value ? " " : "", value ? p->name : "");
	else if (p->type == QDISC_WORD)
		fprintf(out, " %s", qdisc_format(buf, p, value));
	else
		fprintf(out, " %s %s", p->name, qdisc_format(buf, p, value));
}

void qdisc_describe(const struct qdisc *q, FILE *out)
{
	const struct kind *k = &kinds[q->kind];
	struct qdisc shown = *q;

	fputs(q->kind == QDISC_OTHER ? q->other : k->name, out);
	if (q->kind == QDISC_HTB)
		fprintf(out, " r2q %u default 0x%x", q->htb.r2q, q->htb.default_minor);
	if (q->kind == QDISC_TBF)
		shown.tbf.latency_us = 0; /* what became of it is the limit */
	for (size_t i = 0; i < k->n_params; i++)
		if (q->kind != QDISC_CAKE || !q->cake.raw ||
		    k->params[i].offset != offsetof(struct qdisc, cake.overhead))
			describe_param(&shown, &k->params[i], out);
}
