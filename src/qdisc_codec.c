/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qdisc_codec.h"

#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "nl.h"
#include "tc_rate.h"

#define ATTRS_MAX     32
#define HTB_VERSION   3   /* HTB_VER >> 16 of net/sched/sch_htb.c */
#define SFQ_MAX_DEPTH 127 /* net/sched/sch_sfq.c; also the limit that it begins with */

/* An attribute that is a number and a field of struct qdisc. */
struct wire {
	uint16_t attr;
	uint8_t width; /* of the attribute: 1, 4 or 8 bytes; the field has 8 or 4 */
	bool once;     /* refused in a change */
	bool codel;    /* microseconds that the kernel keeps as units of 1,024 ns */
	size_t offset;
	uint64_t absent; /* what it means that the kernel does not tell */
};

#define AT(f)       offsetof(struct qdisc, f)
#define U8(attr)    attr, 1, false, false
#define U32(attr)   attr, 4, false, false
#define U64(attr)   attr, 8, false, false
#define ONCE(attr)  attr, 4, true, false
#define CODEL(attr) attr, 4, false, true

#define CODEL_OFF_US 2199023255u /* see qdisc.c; the kernel tells no threshold that is off */

static const struct wire fq_wire[] = {
	{U32(TCA_FQ_PLIMIT), AT(fq.limit), 0},
	{U32(TCA_FQ_FLOW_PLIMIT), AT(fq.flow_limit), 0},
	{U32(TCA_FQ_QUANTUM), AT(fq.quantum), 0},
	{U32(TCA_FQ_INITIAL_QUANTUM), AT(fq.initial_quantum), 0},
	{U32(TCA_FQ_RATE_ENABLE), AT(fq.pacing), 0},
	{U32(TCA_FQ_FLOW_MAX_RATE), AT(fq.maxrate_Bps), 0},
	{U32(TCA_FQ_BUCKETS_LOG), AT(fq.buckets_log), 0},
	{U32(TCA_FQ_FLOW_REFILL_DELAY), AT(fq.refill_delay_us), 0},
	{U32(TCA_FQ_ORPHAN_MASK), AT(fq.orphan_mask), 0},
	{U32(TCA_FQ_LOW_RATE_THRESHOLD), AT(fq.low_rate_Bps), 0},
	{U32(TCA_FQ_CE_THRESHOLD), AT(fq.ce_threshold_us), 0},
	{U32(TCA_FQ_TIMER_SLACK), AT(fq.timer_slack_ns), 0},
	{U32(TCA_FQ_HORIZON), AT(fq.horizon_us), 0},
	{U8(TCA_FQ_HORIZON_DROP), AT(fq.horizon_drop), 0},
};

static const struct wire codel_wire[] = {
	{CODEL(TCA_CODEL_TARGET), AT(codel.target_us), 0},
	{U32(TCA_CODEL_LIMIT), AT(codel.limit), 0},
	{CODEL(TCA_CODEL_INTERVAL), AT(codel.interval_us), 0},
	{U32(TCA_CODEL_ECN), AT(codel.ecn), 0},
	{CODEL(TCA_CODEL_CE_THRESHOLD), AT(codel.ce_threshold_us), CODEL_OFF_US},
};

static const struct wire fq_codel_wire[] = {
	{CODEL(TCA_FQ_CODEL_TARGET), AT(fq_codel.target_us), 0},
	{U32(TCA_FQ_CODEL_LIMIT), AT(fq_codel.limit), 0},
	{CODEL(TCA_FQ_CODEL_INTERVAL), AT(fq_codel.interval_us), 0},
	{U32(TCA_FQ_CODEL_ECN), AT(fq_codel.ecn), 0},
	{ONCE(TCA_FQ_CODEL_FLOWS), AT(fq_codel.flows), 0},
	{U32(TCA_FQ_CODEL_QUANTUM), AT(fq_codel.quantum), 0},
	{CODEL(TCA_FQ_CODEL_CE_THRESHOLD), AT(fq_codel.ce_threshold_us), CODEL_OFF_US},
	{U32(TCA_FQ_CODEL_DROP_BATCH_SIZE), AT(fq_codel.drop_batch), 0},
	{U32(TCA_FQ_CODEL_MEMORY_LIMIT), AT(fq_codel.memory_limit), 0},
};

static const struct wire cake_wire[] = {
	{U64(TCA_CAKE_BASE_RATE64), AT(cake.bandwidth_Bps), 0},
	{U32(TCA_CAKE_DIFFSERV_MODE), AT(cake.diffserv), 0},
	{U32(TCA_CAKE_ATM), AT(cake.atm), 0},
	{U32(TCA_CAKE_FLOW_MODE), AT(cake.isolation), 0},
	{U32(TCA_CAKE_RTT), AT(cake.rtt_us), 0},
	{U32(TCA_CAKE_TARGET), AT(cake.target_us), 0},
	{U32(TCA_CAKE_AUTORATE), AT(cake.autorate), 0},
	{U32(TCA_CAKE_MEMORY), AT(cake.memlimit), 0},
	{U32(TCA_CAKE_NAT), AT(cake.nat), 0},
	{U32(TCA_CAKE_WASH), AT(cake.wash), 0},
	{U32(TCA_CAKE_MPU), AT(cake.mpu), 0},
	{U32(TCA_CAKE_INGRESS), AT(cake.ingress), 0},
	{U32(TCA_CAKE_ACK_FILTER), AT(cake.ack_filter), 0},
	{U32(TCA_CAKE_SPLIT_GSO), AT(cake.split_gso), 0},
	{U32(TCA_CAKE_FWMARK), AT(cake.fwmark), 0},
};

#define WIRE(table) table, sizeof(table) / sizeof((table)[0])
#define NO_WIRE     NULL, 0

static void put_htb(struct nlmsghdr *msg, const struct qdisc *q);
static void put_fifo(struct nlmsghdr *msg, const struct qdisc *q);
static void put_sfq(struct nlmsghdr *msg, const struct qdisc *q);
static void put_tbf(struct nlmsghdr *msg, const struct qdisc *q);
static void put_cake_overhead(struct nlmsghdr *msg, const struct qdisc *q);
static int get_htb(const struct nlattr *options, struct qdisc *q);
static int get_fifo(const struct nlattr *options, struct qdisc *q);
static int get_sfq(const struct nlattr *options, struct qdisc *q);
static int get_tbf(const struct nlattr *options, struct qdisc *q);
static int get_cake_overhead(const struct nlattr *options, struct qdisc *q);

static const struct codec {
	void (*put_whole)(struct nlmsghdr *msg, const struct qdisc *q); /* TCA_OPTIONS itself */
	void (*put)(struct nlmsghdr *msg, const struct qdisc *q);       /* more within it */
	int (*get)(const struct nlattr *options, struct qdisc *q);
	const struct wire *wire;
	size_t n_wire;
} codecs[QDISC_KINDS] = {
	[QDISC_HTB] = {NULL, put_htb, get_htb, NO_WIRE},
	[QDISC_PFIFO] = {put_fifo, NULL, get_fifo, NO_WIRE},
	[QDISC_BFIFO] = {put_fifo, NULL, get_fifo, NO_WIRE},
	[QDISC_SFQ] = {put_sfq, NULL, get_sfq, NO_WIRE},
	[QDISC_FQ] = {NULL, NULL, NULL, WIRE(fq_wire)},
	[QDISC_FQ_CODEL] = {NULL, NULL, NULL, WIRE(fq_codel_wire)},
	[QDISC_CODEL] = {NULL, NULL, NULL, WIRE(codel_wire)},
	[QDISC_CAKE] = {NULL, put_cake_overhead, get_cake_overhead, WIRE(cake_wire)},
	[QDISC_TBF] = {NULL, put_tbf, get_tbf, NO_WIRE},
};

static void put_number(struct nlmsghdr *msg, const struct wire *w, const struct qdisc *q)
{
	uint64_t wide;
	uint32_t narrow;

	if (w->width == 8) {
		memcpy(&wide, (const char *)q + w->offset, sizeof(wide));
		mnl_attr_put_u64(msg, w->attr, wide);
		return;
	}
	memcpy(&narrow, (const char *)q + w->offset, sizeof(narrow));
	if (w->width == 1)
		mnl_attr_put_u8(msg, w->attr, (uint8_t)narrow);
	else
		mnl_attr_put_u32(msg, w->attr, narrow);
}

/* A dump tells units of 1,024 ns as microseconds, rounded down; the fewest microseconds that give these units again are
 * what qdisc_finish makes of a wanted value. */
static uint32_t codel_us(uint32_t told)
{
	uint64_t units = ((uint64_t)told * 1000 + 1023) / 1024;

	return (uint32_t)((units * 1024 + 999) / 1000);
}

static void get_number(const struct nlattr *const *tb, const struct wire *w, struct qdisc *q)
{
	uint64_t wide = w->absent;
	uint32_t narrow;
	uint8_t byte;

	if (w->width == 8 && tb[w->attr])
		(void)nl_get(tb[w->attr], &wide, sizeof(wide)); /* too short: zero, a drift, as in all of these */
	if (w->width == 4 && tb[w->attr]) {
		(void)nl_get(tb[w->attr], &narrow, sizeof(narrow));
		wide = w->codel ? codel_us(narrow) : narrow;
	}
	if (w->width == 1 && tb[w->attr]) {
		(void)nl_get(tb[w->attr], &byte, sizeof(byte));
		wide = byte;
	}
	narrow = (uint32_t)wide;
	memcpy((char *)q + w->offset, w->width == 8 ? (void *)&wide : &narrow, w->width == 8 ? 8 : 4);
}

void qdisc_encode(struct nlmsghdr *msg, const struct qdisc *q, bool create)
{
	const struct codec *c = &codecs[q->kind];
	struct nlattr *options;

	mnl_attr_put_strz(msg, TCA_KIND, q->kind == QDISC_OTHER ? q->other : qdisc_name(q->kind));
	if (c->put_whole) {
		c->put_whole(msg, q);
		return;
	}
	if (!c->put && !c->n_wire)
		return;
	options = mnl_attr_nest_start(msg, TCA_OPTIONS);
	for (size_t i = 0; i < c->n_wire; i++)
		if (create || !c->wire[i].once)
			put_number(msg, &c->wire[i], q);
	if (c->put)
		c->put(msg, q);
	mnl_attr_nest_end(msg, options);
}

int qdisc_decode(const char *kind, const struct nlattr *options, struct qdisc *out)
{
	const struct nlattr *tb[ATTRS_MAX + 1];
	const struct codec *c;

	memset(out, 0, sizeof(*out));
	out->kind = qdisc_by_name(kind);
	if (out->kind == QDISC_OTHER)
		memcpy(out->other, kind, strnlen(kind, sizeof(out->other) - 1));
	c = &codecs[out->kind];
	if (c->n_wire && !options)
		return -EINVAL;
	nl_nested(c->n_wire ? options : NULL, tb, ATTRS_MAX);
	for (size_t i = 0; i < c->n_wire; i++)
		get_number(tb, &c->wire[i], out);
	return c->get ? c->get(options, out) : 0;
}

/* What fq of later kernels tells besides (TCA_FQ_PRIOMAP, TCA_FQ_WEIGHTS of 6.7), as it is unless somebody set it. */
#define FQ_PRIOMAP 16
#define FQ_WEIGHTS 17
static const struct tc_prio_qopt fq_priomap = {3, {1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}};
static const uint32_t fq_weights[] = {589824, 196608, 65536};

static bool has_payload(const struct nlattr *attr, const void *data, size_t size)
{
	return mnl_attr_get_payload_len(attr) == size && !memcmp(mnl_attr_get_payload(attr), data, size);
}

static bool is_zero(const struct nlattr *attr)
{
	const uint8_t *byte = mnl_attr_get_payload(attr);

	for (size_t i = 0; i < mnl_attr_get_payload_len(attr); i++)
		if (byte[i])
			return false;
	return true;
}

static bool is_default(enum qdisc_kind kind, int type, const struct nlattr *attr)
{
	if (kind == QDISC_FQ && type == FQ_PRIOMAP)
		return has_payload(attr, &fq_priomap, sizeof(fq_priomap));
	if (kind == QDISC_FQ && type == FQ_WEIGHTS)
		return has_payload(attr, fq_weights, sizeof(fq_weights));
	return is_zero(attr);
}

static bool is_known(enum qdisc_kind kind, int type)
{
	for (size_t i = 0; i < codecs[kind].n_wire; i++)
		if (codecs[kind].wire[i].attr == type)
			return true;
	return kind == QDISC_CAKE && (type == TCA_CAKE_RAW || type == TCA_CAKE_OVERHEAD);
}

bool qdisc_is_whole(enum qdisc_kind kind, const struct nlattr *options)
{
	const struct nlattr *tb[ATTRS_MAX + 1];

	if (!codecs[kind].n_wire)
		return true;
	nl_nested(options, tb, ATTRS_MAX);
	for (int type = 1; type <= ATTRS_MAX; type++)
		if (tb[type] && !is_known(kind, type) && !is_default(kind, type, tb[type]))
			return false;
	return true;
}

/* ---- htb ---- */

static void put_htb(struct nlmsghdr *msg, const struct qdisc *q)
{
	struct tc_htb_glob glob = {.version = HTB_VERSION, .rate2quantum = q->htb.r2q, .defcls = q->htb.default_minor};

	mnl_attr_put(msg, TCA_HTB_INIT, sizeof(glob), &glob);
}

static int get_htb(const struct nlattr *options, struct qdisc *q)
{
	const struct nlattr *tb[TCA_HTB_MAX + 1];
	struct tc_htb_glob glob;

	nl_nested(options, tb, TCA_HTB_MAX);
	if (!nl_get(tb[TCA_HTB_INIT], &glob, sizeof(glob)))
		return -EINVAL;
	q->htb = (struct qdisc_htb){.default_minor = glob.defcls, .r2q = glob.rate2quantum};
	return 0;
}

/* ---- pfifo, bfifo ---- */

static void put_fifo(struct nlmsghdr *msg, const struct qdisc *q)
{
	struct tc_fifo_qopt opt = {.limit = q->fifo.limit};

	mnl_attr_put(msg, TCA_OPTIONS, sizeof(opt), &opt);
}

static int get_fifo(const struct nlattr *options, struct qdisc *q)
{
	struct tc_fifo_qopt opt;

	if (!nl_get(options, &opt, sizeof(opt)))
		return -EINVAL;
	q->fifo.limit = opt.limit;
	return 0;
}

/* ---- sfq ---- */

static void put_sfq(struct nlmsghdr *msg, const struct qdisc *q)
{
	const struct qdisc_sfq *s = &q->sfq;
	struct tc_sfq_qopt_v1 opt = {
		.v0 = {.quantum = s->quantum,
		       .perturb_period = (int)s->perturb_s,
		       /* Given, it would also limit the flows. */
		       .limit = s->limit == SFQ_MAX_DEPTH ? 0 : s->limit,
		       .divisor = s->divisor,
		       .flows = s->flows},
		.depth = s->depth,
		.headdrop = s->headdrop,
	};

	mnl_attr_put(msg, TCA_OPTIONS, sizeof(opt), &opt);
}

static int get_sfq(const struct nlattr *options, struct qdisc *q)
{
	struct tc_sfq_qopt_v1 opt;

	if (!nl_get(options, &opt, sizeof(opt)))
		return -EINVAL;
	q->sfq = (struct qdisc_sfq){
		.limit = opt.v0.limit ? opt.v0.limit : SFQ_MAX_DEPTH,
		.flows = opt.v0.flows,
		.divisor = opt.v0.divisor,
		.depth = opt.depth,
		.quantum = opt.v0.quantum,
		.perturb_s = (uint32_t)opt.v0.perturb_period,
		.headdrop = opt.headdrop,
	};
	return 0;
}

/* ---- cake: raw and overhead are one thing with two names ---- */

static void put_cake_overhead(struct nlmsghdr *msg, const struct qdisc *q)
{
	if (q->cake.raw)
		mnl_attr_put_u32(msg, TCA_CAKE_RAW, 0);
	else
		mnl_attr_put_u32(msg, TCA_CAKE_OVERHEAD, (uint32_t)q->cake.overhead);
}

static int get_cake_overhead(const struct nlattr *options, struct qdisc *q)
{
	const struct nlattr *tb[TCA_CAKE_MAX + 1];

	nl_nested(options, tb, TCA_CAKE_MAX);
	q->cake.raw = tb[TCA_CAKE_RAW] != NULL;
	if (!q->cake.raw)
		(void)nl_get(tb[TCA_CAKE_OVERHEAD], &q->cake.overhead, sizeof(q->cake.overhead)); /* absent: zero */
	return 0;
}

/* ---- tbf ---- */

static struct tc_ratespec spec_of(uint64_t rate_Bps)
{
	return (struct tc_ratespec){.rate = rate_Bps > UINT32_MAX ? UINT32_MAX : (uint32_t)rate_Bps,
				    /* Told, no table is looked up, and none needs to be sent. */
				    .linklayer = rate_Bps ? TC_LINKLAYER_ETHERNET : TC_LINKLAYER_UNAWARE};
}

/* The burst goes as time, not as TCA_TBF_BURST, so that what a dump tells is what was sent. */
static void put_tbf(struct nlmsghdr *msg, const struct qdisc *q)
{
	const struct qdisc_tbf *t = &q->tbf;
	struct tc_tbf_qopt opt = {
		.rate = spec_of(t->rate_Bps),
		.peakrate = spec_of(t->peakrate_Bps),
		.limit = t->limit,
		.buffer = t->burst_ticks,
		.mtu = t->mtu_ticks,
	};

	mnl_attr_put(msg, TCA_TBF_PARMS, sizeof(opt), &opt);
	if (t->rate_Bps > UINT32_MAX)
		mnl_attr_put_u64(msg, TCA_TBF_RATE64, t->rate_Bps);
	if (t->peakrate_Bps > UINT32_MAX)
		mnl_attr_put_u64(msg, TCA_TBF_PRATE64, t->peakrate_Bps);
}

static uint32_t bytes_of(uint64_t rate_Bps, uint32_t ticks)
{
	uint64_t bytes = tc_rate_burst_bytes(rate_Bps, ticks);

	return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

static int get_tbf(const struct nlattr *options, struct qdisc *q)
{
	const struct nlattr *tb[TCA_TBF_MAX + 1];
	struct qdisc_tbf *t = &q->tbf;
	struct tc_tbf_qopt opt;

	nl_nested(options, tb, TCA_TBF_MAX);
	if (!nl_get(tb[TCA_TBF_PARMS], &opt, sizeof(opt)))
		return -EINVAL;
	*t = (struct qdisc_tbf){
		.rate_Bps = opt.rate.rate,
		.peakrate_Bps = opt.peakrate.rate,
		.limit = opt.limit,
		.burst_ticks = opt.buffer,
		.mtu_ticks = opt.mtu,
	};
	if (tb[TCA_TBF_RATE64])
		(void)nl_get(tb[TCA_TBF_RATE64], &t->rate_Bps, sizeof(t->rate_Bps)); /* too short: 0, a drift */
	if (tb[TCA_TBF_PRATE64])
		(void)nl_get(tb[TCA_TBF_PRATE64], &t->peakrate_Bps, sizeof(t->peakrate_Bps));
	t->burst = bytes_of(t->rate_Bps, t->burst_ticks);
	t->mtu = t->peakrate_Bps ? bytes_of(t->peakrate_Bps, t->mtu_ticks) : 0;
	return 0;
}
