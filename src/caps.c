/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "caps.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ifb.h"
#include "nl.h"
#include "tc_action.h"
#include "tc_filter.h"
#include "tc_qdisc.h"

/* Every new network namespace has it, and every qdisc can be put on it. */
#define SCRATCH_IFINDEX 1
#define SCRATCH_HANDLE  0x10000u /* 1: */

/* One thing to try. 0 or -errno with the kernel's words in text. */
struct trial {
	const char *name, *config;
	const char *what; /* what is tried */
	int (*run)(struct nl *nl, const struct trial *t, char *text, size_t size);
	enum qdisc_kind kind; /* of a qdisc */
	int helper;           /* of bpf(2) */
};

static int try_clsact(struct nl *nl, const struct trial *t, char *text, size_t size);
static int try_cls_bpf(struct nl *nl, const struct trial *t, char *text, size_t size);
static int try_act_police(struct nl *nl, const struct trial *t, char *text, size_t size);
static int try_qdisc(struct nl *nl, const struct trial *t, char *text, size_t size);
static int try_mq(struct nl *nl, const struct trial *t, char *text, size_t size);
static int try_ifb(struct nl *nl, const struct trial *t, char *text, size_t size);
static int try_act_mirred(struct nl *nl, const struct trial *t, char *text, size_t size);
static int try_helper(struct nl *nl, const struct trial *t, char *text, size_t size);
static int try_packet_helper(struct nl *nl, const struct trial *t, char *text, size_t size);

/* In this order: clsact is there for the filter. */
static const struct trial trials[CAPS] = {
	[CAP_CLSACT] = {"clsact", "CONFIG_NET_SCH_INGRESS", "added a clsact qdisc", try_clsact, QDISC_CLSACT, 0},
	[CAP_CLS_BPF] = {"cls_bpf", "CONFIG_NET_CLS_BPF", "added a bpf filter", try_cls_bpf, 0, 0},
	[CAP_ACT_POLICE] = {"act_police", "CONFIG_NET_ACT_POLICE", "added a police action", try_act_police, 0, 0},
	[CAP_HTB] = {"sch_htb", "CONFIG_NET_SCH_HTB", "added an htb qdisc", try_qdisc, QDISC_HTB, 0},
	[CAP_FQ] = {"sch_fq", "CONFIG_NET_SCH_FQ", "added an fq qdisc", try_qdisc, QDISC_FQ, 0},
	[CAP_FQ_CODEL] = {"sch_fq_codel", "CONFIG_NET_SCH_FQ_CODEL", "added an fq_codel qdisc", try_qdisc,
			  QDISC_FQ_CODEL, 0},
	[CAP_CAKE] = {"sch_cake", "CONFIG_NET_SCH_CAKE", "added a cake qdisc", try_qdisc, QDISC_CAKE, 0},
	[CAP_SFQ] = {"sch_sfq", "CONFIG_NET_SCH_SFQ", "added an sfq qdisc", try_qdisc, QDISC_SFQ, 0},
	[CAP_TBF] = {"sch_tbf", "CONFIG_NET_SCH_TBF", "added a tbf qdisc", try_qdisc, QDISC_TBF, 0},
	[CAP_CODEL] = {"sch_codel", "CONFIG_NET_SCH_CODEL", "added a codel qdisc", try_qdisc, QDISC_CODEL, 0},
	[CAP_PFIFO] = {"pfifo", "CONFIG_NET_SCH_FIFO", "added a pfifo qdisc", try_qdisc, QDISC_PFIFO, 0},
	[CAP_BFIFO] = {"bfifo", "CONFIG_NET_SCH_FIFO", "added a bfifo qdisc", try_qdisc, QDISC_BFIFO, 0},
	[CAP_PFIFO_FAST] = {"pfifo_fast", "CONFIG_NET_SCHED", "added a pfifo_fast qdisc", try_qdisc, QDISC_PFIFO_FAST,
			    0},
	[CAP_MQ] = {"sch_mq", "CONFIG_NET_SCHED", "added an mq qdisc to an ifb device of two queues", try_mq, QDISC_MQ,
		    0},
	[CAP_IFB] = {"ifb", "CONFIG_IFB", "made an ifb device", try_ifb, 0, 0},
	[CAP_ACT_MIRRED] = {"act_mirred", "CONFIG_NET_ACT_MIRRED", "added a filter that redirects to a device",
			    try_act_mirred, 0, 0},
	[CAP_REDIRECT] = {"bpf_redirect", "CONFIG_NET", "loaded a program that calls it", try_helper, 0,
			  BPF_FUNC_redirect},
	[CAP_CLONE_REDIRECT] = {"bpf_clone_redirect", "CONFIG_NET", "loaded a program that calls it", try_packet_helper,
				0, BPF_FUNC_clone_redirect},
	[CAP_SKB_SET_TSTAMP] = {"bpf_skb_set_tstamp", "CONFIG_NET", "loaded a program that calls it", try_packet_helper,
				0, BPF_FUNC_skb_set_tstamp},
	[CAP_REDIRECT_NEIGH] = {"bpf_redirect_neigh", "CONFIG_NET", "loaded a program that calls it", try_helper, 0,
				BPF_FUNC_redirect_neigh},
	[CAP_REDIRECT_PEER] = {"bpf_redirect_peer", "CONFIG_NET", "loaded a program that calls it", try_helper, 0,
			       BPF_FUNC_redirect_peer},
};

const struct cap_result *caps_of_qdisc(const struct caps *caps, enum qdisc_kind kind)
{
	for (int c = 0; c < CAPS; c++)
		if (trials[c].kind == kind && kind != QDISC_OTHER)
			return &caps->v[c];
	return NULL;
}

static void say(struct cap_result *r, const struct trial *t, int err, const char *text)
{
	r->has = !err;
	if (!err)
		(void)snprintf(r->how, sizeof(r->how), "%s", t->what); /* all cut to fit */
	else if (*text)
		(void)snprintf(r->how, sizeof(r->how), "not %s: %s (%s)", t->what, strerror(-err), text);
	else
		(void)snprintf(r->how, sizeof(r->how), "not %s: %s", t->what, strerror(-err));
}

static int try_all(struct caps *out)
{
	struct nl *nl;

	/* Gone with this process. */
	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	nl = nl_open();
	if (!nl)
		return -errno;
	for (int c = 0; c < CAPS; c++) {
		char text[96] = "";
		int err = trials[c].run(nl, &trials[c], text, sizeof(text));

		say(&out->v[c], &trials[c], err, text);
	}
	nl_close(nl);
	return 0;
}

/* What the child found comes back over a pipe. */
struct report {
	int err;
	struct caps caps;
};

static _Noreturn void child(int to)
{
	struct report r = {0};

	r.err = try_all(&r.caps);
	/* A short write shows at the other end. */
	_exit(write(to, &r, sizeof(r)) == (ssize_t)sizeof(r) ? 0 : 1);
}

static int read_report(int from, struct report *r)
{
	size_t got = 0;

	while (got < sizeof(*r)) {
		ssize_t n = read(from, (char *)r + got, sizeof(*r) - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EPIPE;
		got += (size_t)n;
	}
	return r->err;
}

int caps_probe(struct caps *out)
{
	struct report r = {0};
	int pipe_fds[2], err;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		child(pipe_fds[1]);
	(void)close(pipe_fds[1]); /* the child's end */
	err = pid < 0 ? -errno : read_report(pipe_fds[0], &r);
	(void)close(pipe_fds[0]); /* read off */
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	*out = r.caps;
	for (int c = 0; c < CAPS; c++) {
		out->v[c].name = trials[c].name;
		out->v[c].config = trials[c].config;
		if (err)
			out->v[c].has = false;
		if (err)
			(void)snprintf(out->v[c].how, sizeof(out->v[c].how), "not tried: %s",
				       strerror(-err)); /* fits */
	}
	return err;
}

/* ---- trials
 * ------------------------------------------------------------------------------------------------------------ */

static int try_clsact(struct nl *nl, const struct trial *t, char *text, size_t size)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct kobj_qdisc q = {.ifindex = SCRATCH_IFINDEX,
			       .handle = TC_H_MAKE(TC_H_CLSACT, 0),
			       .parent = TC_H_CLSACT,
			       .q.kind = QDISC_CLSACT};

	(void)t;
	return nl_talk(nl, tc_qdisc_encode_create(buf, &q), text, size);
}

static int load(const struct bpf_insn *insns, size_t n)
{
	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "probe", "GPL", insns, n, NULL);
}

/* A filter that matches nothing, in the scratch device's clsact. */
static int try_filter(struct nl *nl, uint32_t handle, int redirect, char *text, size_t size)
{
	static const struct bpf_insn match_nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	struct kobj_filter f = {
		.ifindex = SCRATCH_IFINDEX,
		.parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
		.pref = KOBJ_PREF_FIRST,
		.handle = handle,
		.name = "probe",
		.redirect = redirect,
	};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	int err, fd = load(match_nothing, sizeof(match_nothing) / sizeof(match_nothing[0]));

	if (fd < 0)
		return fd;
	err = nl_talk(nl, tc_filter_encode_create(buf, &f, fd), text, size);
	(void)close(fd); /* the filter holds it */
	return err;
}

static int try_cls_bpf(struct nl *nl, const struct trial *t, char *text, size_t size)
{
	(void)t;
	return try_filter(nl, 1, 0, text, size);
}

static int try_act_mirred(struct nl *nl, const struct trial *t, char *text, size_t size)
{
	(void)t;
	return try_filter(nl, 2, SCRATCH_IFINDEX, text, size);
}

static int try_act_police(struct nl *nl, const struct trial *t, char *text, size_t size)
{
	struct kobj_police p = {
		.index = KOBJ_POLICE_FIRST,
		.rate_Bps = 125000,
		.burst_ticks = 1000000,
		.mtu = UINT32_MAX,
		.linklayer = TC_LINKLAYER_ETHERNET,
		.exceed = TC_ACT_SHOT,
		.conform = TC_ACT_OK,
	};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

	(void)t;
	return nl_talk(nl, tc_action_encode_create(buf, &p), text, size);
}

/* As the root of the device, and away again for the next one. */
static int try_on(struct nl *nl, int ifindex, enum qdisc_kind kind, char *text, size_t size)
{
	const struct qdisc_device dev = {.frame = 1514, .txqlen = 1000};
	struct kobj_qdisc q = {.ifindex = ifindex, .handle = SCRATCH_HANDLE, .parent = TC_H_ROOT};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	int err;

	qdisc_defaults(&q.q, kind, &dev);
	if (kind == QDISC_TBF)
		q.q.tbf = (struct qdisc_tbf){.rate_Bps = 125000, .limit = 65536, .burst_ticks = 1000000};
	err = nl_talk(nl, tc_qdisc_encode_create(buf, &q), text, size);
	return err ? err : nl_talk(nl, tc_qdisc_encode_delete(buf, &q), text, size);
}

static int try_qdisc(struct nl *nl, const struct trial *t, char *text, size_t size)
{
	return try_on(nl, SCRATCH_IFINDEX, t->kind, text, size);
}

static int make_ifb(struct nl *nl, const struct kobj_link *l, char *text, size_t size)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

	return nl_talk(nl, ifb_encode_create(buf, l), text, size);
}

static int try_mq(struct nl *nl, const struct trial *t, char *text, size_t size)
{
	const struct kobj_link two = {.ifindex = 0x5100, .name = "probe2", .tx_queues = 2};
	int err = make_ifb(nl, &two, text, size);

	return err ? err : try_on(nl, two.ifindex, t->kind, text, size);
}

static int try_ifb(struct nl *nl, const struct trial *t, char *text, size_t size)
{
	(void)t;
	return make_ifb(nl, &(struct kobj_link){.ifindex = 0x5101, .name = "probe", .tx_queues = 1}, text, size);
}

/* All arguments are 0, but for the packet where it is the first: the verifier looks at their types, and nobody runs the
 * program. */
static int try_call(const struct trial *t, bool packet)
{
	const struct bpf_insn call[] = {
		{.code = BPF_ALU64 | BPF_MOV | (packet ? BPF_X : BPF_K),
		 .dst_reg = BPF_REG_1,
		 .src_reg = packet ? BPF_REG_1 : 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_4},
		{.code = BPF_JMP | BPF_CALL, .imm = t->helper},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = load(call, sizeof(call) / sizeof(call[0]));

	if (fd < 0)
		return fd;
	(void)close(fd); /* that it loaded is all */
	return 0;
}

static int try_helper(struct nl *nl, const struct trial *t, char *text, size_t size)
{
	(void)nl;
	(void)text;
	(void)size;
	return try_call(t, false);
}

static int try_packet_helper(struct nl *nl, const struct trial *t, char *text, size_t size)
{
	(void)nl;
	(void)text;
	(void)size;
	return try_call(t, true);
}
