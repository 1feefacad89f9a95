/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * qdisc: what kind of queueing discipline, with all its parameters in the kernel's units, and the table of the
 * parameters that a policy may set, under tc's names. Values are whole: qdisc_defaults fills all that `tc qdisc add ..
 * KIND` would get from the kernel, qdisc_set changes single ones, qdisc_finish makes of them what the kernel will say
 * it has. Pure.
 */
#ifndef QOSD_QDISC_H
#define QOSD_QDISC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "text.h"

enum qdisc_kind {
	QDISC_OTHER, /* observed, and not one of these */
	QDISC_CLSACT,
	QDISC_INGRESS,
	QDISC_HTB,
	QDISC_MQ,
	QDISC_PFIFO,
	QDISC_BFIFO,
	QDISC_PFIFO_FAST,
	QDISC_SFQ,
	QDISC_FQ,
	QDISC_FQ_CODEL,
	QDISC_CODEL,
	QDISC_CAKE,
	QDISC_TBF,
	QDISC_KINDS
};

struct qdisc_htb {
	uint32_t default_minor, r2q;
};

struct qdisc_mq {
	uint32_t trees; /* queues below it, from the first, that have an htb of ours; the kernel does not know */
};

struct qdisc_fifo {
	uint32_t limit; /* pfifo: packets; bfifo: bytes */
};

struct qdisc_sfq {
	uint32_t limit, flows, divisor, depth; /* packets, .., .., packets a flow */
	uint32_t quantum, perturb_s, headdrop;
};

struct qdisc_fq {
	uint32_t limit, flow_limit, quantum, initial_quantum;
	uint32_t pacing, maxrate_Bps, low_rate_Bps; /* UINT32_MAX: no maxrate */
	uint32_t buckets_log, orphan_mask;
	uint32_t refill_delay_us, ce_threshold_us, timer_slack_ns, horizon_us, horizon_drop;
};

struct qdisc_codel {
	uint32_t limit, target_us, interval_us, ecn, ce_threshold_us;
};

struct qdisc_fq_codel {
	uint32_t limit, flows, quantum, target_us, interval_us, ecn, ce_threshold_us, drop_batch, memory_limit;
};

struct qdisc_cake {
	uint64_t bandwidth_Bps;                        /* 0: unlimited */
	uint32_t diffserv, isolation, atm, ack_filter; /* CAKE_DIFFSERV_*, CAKE_FLOW_*, CAKE_ATM_*, CAKE_ACK_* */
	uint32_t rtt_us, target_us;                    /* target: a twentieth of rtt */
	uint32_t memlimit, fwmark, mpu;
	int32_t overhead;
	uint32_t raw; /* what the device says of a frame's length is right; no overhead */
	uint32_t nat, wash, ingress, autorate, split_gso;
};

struct qdisc_tbf {
	uint64_t rate_Bps, peakrate_Bps;
	uint32_t limit;                  /* bytes */
	uint32_t burst_ticks, mtu_ticks; /* time at the rate, at the peak rate */
	uint32_t burst, mtu, latency_us; /* as they were set, bytes; not compared */
};

struct qdisc {
	enum qdisc_kind kind;
	char other[16]; /* QDISC_OTHER: its name */
	union {
		struct qdisc_htb htb;
		struct qdisc_mq mq;
		struct qdisc_fifo fifo;
		struct qdisc_sfq sfq;
		struct qdisc_fq fq;
		struct qdisc_codel codel;
		struct qdisc_fq_codel fq_codel;
		struct qdisc_cake cake;
		struct qdisc_tbf tbf;
	};
};

/* "fq_codel". QDISC_OTHER's is "". */
const char *qdisc_name(enum qdisc_kind kind);
/* QDISC_OTHER if it is none of them. */
enum qdisc_kind qdisc_by_name(const char *name);
/* May it be a leaf of a policy? */
bool qdisc_is_leaf(enum qdisc_kind kind);
/* Does it keep its own queue short, whatever the rate? */
bool qdisc_has_aqm(enum qdisc_kind kind);

/* The device that the kernel's defaults go by. */
struct qdisc_device {
	uint32_t frame;  /* MTU with the link-layer header in front */
	uint32_t txqlen; /* packets */
};

/* tbf has no rate, burst and limit of its own; they must be set. */
void qdisc_defaults(struct qdisc *q, enum qdisc_kind kind, const struct qdisc_device *dev);
/* A pfifo as long as rate carries in 100 ms, at least 16 packets: what a class gets where the kernel has no fq_codel.
 */
void qdisc_sized_fifo(struct qdisc *q, uint64_t rate_Bps, const struct qdisc_device *dev);
/* After the last qdisc_set. NULL, or what is missing or contradicts itself ("tbf needs a burst"). */
const char *qdisc_finish(struct qdisc *q);

/* ---- parameters -------------------------------------------------------------------------------------------------- */

enum qdisc_type {
	QDISC_NUMBER,
	QDISC_SIGNED,
	QDISC_BYTES,
	QDISC_USEC,
	QDISC_NSEC,
	QDISC_SEC,
	QDISC_FLAG, /* on, off */
	QDISC_RATE,
	QDISC_MASK,
	QDISC_LOG2, /* a power of two, kept as its logarithm */
	QDISC_WORD, /* one of words, kept as its place */
	QDISC_TYPES
};

struct qdisc_param {
	const char *name; /* tc's, or where tc has only words: what they choose among */
	enum qdisc_type type;
	uint8_t width; /* bytes of the field: 4 or 8 */
	size_t offset; /* in struct qdisc */
	int64_t min, max;
	const char *off; /* the word for none, or NULL if there is no such thing */
	uint64_t off_value;
	const char *const *words; /* NULL at the end */
};

const struct qdisc_param *qdisc_params(enum qdisc_kind kind, size_t *n);
/* NULL if the kind has no such parameter. */
const struct qdisc_param *qdisc_param(enum qdisc_kind kind, const char *name);
/* What a policy says, as a value in the kernel's units. 0 or -EINVAL/-ERANGE with why, which is good until the next
 * call. */
int qdisc_parse(const struct qdisc_param *p, const char *text, uint64_t *value, const char **why);
/* Parses back to value, unless rounding was tc's: a rate and a time are exact. */
char *qdisc_format(char buf[TEXT_MAX], const struct qdisc_param *p, uint64_t value);
void qdisc_set(struct qdisc *q, const struct qdisc_param *p, uint64_t value);
uint64_t qdisc_get(const struct qdisc *q, const struct qdisc_param *p);

/* ---- as a kernel object ------------------------------------------------------------------------------------------ */

bool qdisc_same(const struct qdisc *a, const struct qdisc *b);
/* Why the kernel cannot turn before into after in place, or NULL if it can. */
const char *qdisc_fixed(const struct qdisc *before, const struct qdisc *after);
/* "fq_codel limit 10240 flows 1024 ..": kind and parameters in tc's words, without those that are off. */
void qdisc_describe(const struct qdisc *q, FILE *out);

#endif
