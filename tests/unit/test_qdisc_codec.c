/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Qdiscs and their parameters: from words to the kernel's attributes and back, for every kind and for random values.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "../samples.h"
#include "nl.h"
#include "qdisc_codec.h"

#define ROUNDS 500

static const struct qdisc_device ethernet = {.frame = 1514, .txqlen = 1000};

/* What a dump of it would decode to. */
static void through_a_message(const struct qdisc *q, bool create, struct qdisc *out)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
	const struct nlattr *tb[TCA_MAX + 1];
	char kind[16];

	(void)mnl_nlmsg_put_extra_header(msg, sizeof(struct tcmsg));
	qdisc_encode(msg, q, create);
	nl_attrs(msg, sizeof(struct tcmsg), tb, TCA_MAX);
	assert_true(nl_get_str(tb[TCA_KIND], kind, sizeof(kind)));
	assert_int_equal(qdisc_decode(kind, tb[TCA_OPTIONS], out), 0);
}

/* Units of 1,024 ns, told in microseconds; both times rounded down. */
static uint32_t as_codel_tells(uint32_t us)
{
	return (uint32_t)((((uint64_t)us * 1000 >> 10) << 10) / 1000);
}

static void through_the_kernel(const struct qdisc *q, struct qdisc *out)
{
	struct qdisc told = *q;

	if (q->kind == QDISC_CODEL) {
		told.codel.target_us = as_codel_tells(q->codel.target_us);
		told.codel.interval_us = as_codel_tells(q->codel.interval_us);
		told.codel.ce_threshold_us = as_codel_tells(q->codel.ce_threshold_us);
	}
	if (q->kind == QDISC_FQ_CODEL) {
		told.fq_codel.target_us = as_codel_tells(q->fq_codel.target_us);
		told.fq_codel.interval_us = as_codel_tells(q->fq_codel.interval_us);
		told.fq_codel.ce_threshold_us = as_codel_tells(q->fq_codel.ce_threshold_us);
	}
	through_a_message(&told, true, out);
}

static const char *words(const struct qdisc *q)
{
	static char text[1024];
	FILE *f = fmemopen(text, sizeof(text), "w");

	assert_non_null(f);
	qdisc_describe(q, f);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void set(struct qdisc *q, const char *name, const char *value)
{
	const struct qdisc_param *p = qdisc_param(q->kind, name);
	const char *why = "";
	uint64_t v;

	assert_non_null(p);
	if (qdisc_parse(p, value, &v, &why))
		fail_msg("%s %s: %s", name, value, why);
	qdisc_set(q, p, v);
}

static void an_fq_codel_of_a_policy(void **state)
{
	struct qdisc q, again;

	(void)state;
	qdisc_defaults(&q, QDISC_FQ_CODEL, &ethernet);
	assert_string_equal(words(&q),
			    "fq_codel limit 10240 flows 1024 quantum 1514b target 5ms interval 100ms ecn drop_batch 64 "
			    "memory_limit 32mb");
	set(&q, "target", "8ms");
	set(&q, "ecn", "off");
	set(&q, "memory_limit", "4mb");
	assert_null(qdisc_finish(&q));
	through_the_kernel(&q, &again);
	assert_true(qdisc_same(&q, &again));
	assert_string_equal(words(&again),
			    "fq_codel limit 10240 flows 1024 quantum 1514b target 8ms interval 100ms drop_batch 64 "
			    "memory_limit 4mb");
}

static void every_kind_goes_there_and_back(void **state)
{
	struct sampler s = {.seed = 88172645463325252ull, .dev = ethernet};

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		for (int k = QDISC_OTHER + 1; k < QDISC_KINDS; k++) {
			struct qdisc q, again;
			char text[512];

			sample_qdisc(&s, (enum qdisc_kind)k, &q, text, sizeof(text));
			through_the_kernel(&q, &again);
			if (!qdisc_same(&q, &again) || !qdisc_same(&again, &q))
				fail_msg("%s: became %s", text, words(&again));
			assert_null(qdisc_fixed(&q, &again));
		}
	}
}

/* codel's times come back changed, and must still be what was wanted, and can be sent again. */
static void what_is_seen_can_be_sent_again(void **state)
{
	(void)state;
	for (uint32_t us = 2; us < 100000; us += us < 3000 ? 1 : 37) {
		struct qdisc wanted, seen, again;

		qdisc_defaults(&wanted, QDISC_CODEL, &ethernet);
		wanted.codel.target_us = us;
		assert_null(qdisc_finish(&wanted));
		through_the_kernel(&wanted, &seen);
		through_the_kernel(&seen, &again);
		if (!qdisc_same(&wanted, &seen) || !qdisc_same(&seen, &again))
			fail_msg("%u us: %u, %u and %u", us, wanted.codel.target_us, seen.codel.target_us,
				 again.codel.target_us);
	}
}

static void a_parameter_is_refused_with_what_was_expected(void **state)
{
	static const struct {
		enum qdisc_kind kind;
		const char *name, *value;
		int err;
		const char *why; /* NULL: whatever text says */
	} cases[] = {
		{QDISC_FQ_CODEL, "flows", "0", -ERANGE, "expected 1 to 65536"},
		{QDISC_FQ_CODEL, "flows", "65537", -ERANGE, "expected 1 to 65536"},
		{QDISC_FQ_CODEL, "quantum", "100b", -ERANGE, "expected 256b to 1mb"},
		{QDISC_FQ_CODEL, "ecn", "perhaps", -EINVAL, "expected on or off"},
		{QDISC_FQ_CODEL, "target", "5", -EINVAL, NULL},
		{QDISC_FQ, "buckets", "1000", -EINVAL, "expected a power of two"},
		{QDISC_FQ, "buckets", "524288", -ERANGE, "expected 2 to 262144"},
		{QDISC_FQ, "maxrate", "50%", -EINVAL, "a share of the parent's rate is not possible here"},
		{QDISC_CAKE, "diffserv", "diffserv5", -EINVAL,
		 "expected one of diffserv3 diffserv4 diffserv8 besteffort precedence"},
		{QDISC_CAKE, "overhead", "-100", -ERANGE, "expected -64 to 256"},
		{QDISC_CAKE, "fwmark", "1/2", -EINVAL, NULL},
		{QDISC_SFQ, "divisor", "0", -ERANGE, "expected 1 to 65536"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *why = NULL;
		uint64_t value;

		assert_int_equal(qdisc_parse(qdisc_param(cases[i].kind, cases[i].name), cases[i].value, &value, &why),
				 cases[i].err);
		assert_non_null(why);
		if (cases[i].why)
			assert_string_equal(why, cases[i].why);
	}
	assert_null(qdisc_param(QDISC_PFIFO, "target"));
	assert_null(qdisc_param(QDISC_HTB, "r2q"));
}

static void words_for_none(void **state)
{
	struct qdisc q;

	(void)state;
	qdisc_defaults(&q, QDISC_CAKE, &ethernet);
	set(&q, "bandwidth", "unlimited");
	assert_string_equal(words(&q), "cake diffserv3 triple-isolate no-ack-filter split-gso rtt 100ms noatm mpu 0b");
	set(&q, "bandwidth", "20mbit");
	set(&q, "overhead", "-4");
	assert_string_equal(
		words(&q),
		"cake bandwidth 20mbit diffserv3 triple-isolate no-ack-filter split-gso rtt 100ms overhead -4 "
		"noatm mpu 0b");
	qdisc_defaults(&q, QDISC_FQ, &ethernet);
	set(&q, "maxrate", "1mbit");
	set(&q, "maxrate", "off");
	assert_int_equal(q.fq.maxrate_Bps, UINT32_MAX);
}

static void tbf_says_what_it_lacks(void **state)
{
	struct qdisc q, again;

	(void)state;
	qdisc_defaults(&q, QDISC_TBF, &ethernet);
	assert_string_equal(qdisc_finish(&q), "tbf needs a rate");
	set(&q, "rate", "1mbit");
	assert_string_equal(qdisc_finish(&q), "tbf needs a burst");
	set(&q, "burst", "10kb");
	assert_string_equal(qdisc_finish(&q), "tbf needs a limit or a latency");
	set(&q, "latency", "50ms");
	assert_null(qdisc_finish(&q));
	assert_int_equal(q.tbf.limit, 6250 + 10240);
	assert_int_equal(q.tbf.burst_ticks, 81920000 / 64);
	set(&q, "peakrate", "1mbit");
	assert_string_equal(qdisc_finish(&q), "tbf needs a peakrate and an mtu together");
	set(&q, "mtu", "1600b");
	assert_string_equal(qdisc_finish(&q), "the peakrate of tbf is above its rate");
	set(&q, "peakrate", "50gbit");
	set(&q, "rate", "40gbit");
	assert_null(qdisc_finish(&q));
	through_a_message(&q, true, &again);
	assert_int_equal(again.tbf.rate_Bps, 5000000000);
	assert_int_equal(again.tbf.peakrate_Bps, 6250000000);
}

static void what_the_kernel_cannot_change(void **state)
{
	struct qdisc a, b;

	(void)state;
	qdisc_defaults(&a, QDISC_FQ_CODEL, &ethernet);
	b = a;
	set(&b, "target", "10ms");
	assert_null(qdisc_fixed(&a, &b));
	set(&b, "flows", "2048");
	assert_string_equal(qdisc_fixed(&a, &b), "the number of flows of fq_codel is fixed at creation");
	through_a_message(&b, false, &a);
	assert_int_equal(a.fq_codel.flows, 0); /* a change does not even mention them */
	qdisc_defaults(&a, QDISC_SFQ, &ethernet);
	b = a;
	assert_null(qdisc_fixed(&a, &b));
	set(&b, "perturb", "10s");
	assert_string_equal(qdisc_fixed(&a, &b), "sfq has no change operation");
	qdisc_defaults(&b, QDISC_PFIFO, &ethernet);
	assert_string_equal(qdisc_fixed(&a, &b), "a qdisc of another kind has its place");
}

/* The kernel limits what it is given without a word. */
static void sfq_keeps_its_limits(void **state)
{
	struct qdisc q;

	(void)state;
	qdisc_defaults(&q, QDISC_SFQ, &ethernet);
	set(&q, "divisor", "64");
	set(&q, "flows", "100");
	set(&q, "depth", "2");
	set(&q, "limit", "1000");
	assert_null(qdisc_finish(&q));
	assert_int_equal(q.sfq.flows, 64);
	assert_int_equal(q.sfq.limit, 128);
	set(&q, "divisor", "100");
	assert_string_equal(qdisc_finish(&q), "the divisor of sfq is a power of two");
}

static void a_fifo_as_long_as_the_rate_asks_for(void **state)
{
	struct qdisc q;

	(void)state;
	qdisc_sized_fifo(&q, 12500000, &ethernet); /* 100 Mbit/s: 1.25 MB in 100 ms */
	assert_int_equal(q.kind, QDISC_PFIFO);
	assert_int_equal(q.fifo.limit, 825);
	qdisc_sized_fifo(&q, 1000, &ethernet);
	assert_int_equal(q.fifo.limit, 16);
}

static void options_that_are_missing_or_short(void **state)
{
	_Alignas(struct nlattr) char buf[64] = {0};
	struct nlattr *attr = (struct nlattr *)buf;
	struct qdisc q;

	(void)state;
	attr->nla_type = TCA_OPTIONS;
	attr->nla_len = sizeof(*attr) + 2;
	for (int k = QDISC_OTHER + 1; k < QDISC_KINDS; k++) {
		bool has_options = k == QDISC_HTB || (qdisc_is_leaf((enum qdisc_kind)k) && k != QDISC_PFIFO_FAST);

		assert_int_equal(qdisc_decode(qdisc_name((enum qdisc_kind)k), NULL, &q), has_options ? -EINVAL : 0);
		(void)qdisc_decode(qdisc_name((enum qdisc_kind)k), attr, &q); /* only must not read further */
	}
	assert_int_equal(qdisc_decode("a_kind_of_a_very_long_name", NULL, &q), 0);
	assert_int_equal(q.kind, QDISC_OTHER);
	assert_int_equal(strlen(q.other), 15);
}

/* What later kernels tell of fq is passed over where it is as it always is. */
static void what_a_dump_tells_besides_is_seen(void **state)
{
	struct tc_prio_qopt bands = {3, {1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg = nl_begin(buf, RTM_NEWQDISC);
	struct nlattr *options = mnl_attr_nest_start(msg, TCA_OPTIONS);

	(void)state;
	mnl_attr_put_u32(msg, TCA_FQ_PLIMIT, 77);
	mnl_attr_put(msg, 16, sizeof(bands), &bands);
	mnl_attr_put_u32(msg, 18, 0);
	mnl_attr_nest_end(msg, options);
	assert_true(qdisc_is_whole(QDISC_FQ, options));
	assert_false(qdisc_is_whole(QDISC_FQ_CODEL, options));
	bands.priomap[3] = 0;
	mnl_attr_put(msg, 16, sizeof(bands), &bands);
	mnl_attr_nest_end(msg, options);
	assert_false(qdisc_is_whole(QDISC_FQ, options));
	assert_true(qdisc_is_whole(QDISC_PFIFO, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_fq_codel_of_a_policy),
		cmocka_unit_test(every_kind_goes_there_and_back),
		cmocka_unit_test(what_is_seen_can_be_sent_again),
		cmocka_unit_test(a_parameter_is_refused_with_what_was_expected),
		cmocka_unit_test(words_for_none),
		cmocka_unit_test(tbf_says_what_it_lacks),
		cmocka_unit_test(what_the_kernel_cannot_change),
		cmocka_unit_test(sfq_keeps_its_limits),
		cmocka_unit_test(a_fifo_as_long_as_the_rate_asks_for),
		cmocka_unit_test(options_that_are_missing_or_short),
		cmocka_unit_test(what_a_dump_tells_besides_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
