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
	const char *kind;                      /* of a qdisc */
	void (*options)(struct nlmsghdr *msg); /* that a qdisc cannot do without; NULL: none */
	int helper;                            /* of bpf(2) */
};

static int try_clsact(struct nl *nl, const struct trial *t, char *text, size_t size);
static int try_cls_bpf(struct nl *nl, const struct trial *t, char *text, size_t size);
static int try_act_police(struct nl *nl, const struct trial *t, char *text, size_t size);
static int try_qdisc(struct nl *nl, const struct trial *t, char *text, size_t size);
static int try_ifb(struct nl *nl, const struct trial *t, char *text, size_t size);
static int try_helper(struct nl *nl, const struct trial *t, char *text, size_t size);
static void put_htb(struct nlmsghdr *msg);
static void put_tbf(struct nlmsghdr *msg);

/* In this order: clsact is there for the filter. */
static const struct trial trials[CAPS] = {
	[CAP_CLSACT] = {"clsact", "CONFIG_NET_SCH_INGRESS", "added a clsact qdisc", try_clsact, NULL, NULL, 0},
	[CAP_CLS_BPF] = {"cls_bpf", "CONFIG_NET_CLS_BPF", "added a bpf filter", try_cls_bpf, NULL, NULL, 0},
	[CAP_ACT_POLICE] = {"act_police", "CONFIG_NET_ACT_POLICE", "added a police action", try_act_police, NULL, NULL,
			    0},
	[CAP_HTB] = {"sch_htb", "CONFIG_NET_SCH_HTB", "added an htb qdisc", try_qdisc, "htb", put_htb, 0},
	[CAP_FQ] = {"sch_fq", "CONFIG_NET_SCH_FQ", "added an fq qdisc", try_qdisc, "fq", NULL, 0},
	[CAP_FQ_CODEL] = {"sch_fq_codel", "CONFIG_NET_SCH_FQ_CODEL", "added an fq_codel qdisc", try_qdisc, "fq_codel",
			  NULL, 0},
	[CAP_CAKE] = {"sch_cake", "CONFIG_NET_SCH_CAKE", "added a cake qdisc", try_qdisc, "cake", NULL, 0},
	[CAP_SFQ] = {"sch_sfq", "CONFIG_NET_SCH_SFQ", "added an sfq qdisc", try_qdisc, "sfq", NULL, 0},
	[CAP_TBF] = {"sch_tbf", "CONFIG_NET_SCH_TBF", "added a tbf qdisc", try_qdisc, "tbf", put_tbf, 0},
	[CAP_IFB] = {"ifb", "CONFIG_IFB", "made an ifb device", try_ifb, NULL, NULL, 0},
	[CAP_REDIRECT_NEIGH] = {"bpf_redirect_neigh", "CONFIG_NET", "loaded a program that calls it", try_helper, NULL,
				NULL, BPF_FUNC_redirect_neigh},
	[CAP_REDIRECT_PEER] = {"bpf_redirect_peer", "CONFIG_NET", "loaded a program that calls it", try_helper, NULL,
			       NULL, BPF_FUNC_redirect_peer},
};

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
			       .kind = "clsact"};

	(void)t;
	return nl_talk(nl, tc_qdisc_encode_create(buf, &q), text, size);
}

static int load(const struct bpf_insn *insns, size_t n)
{
	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "probe", "GPL", insns, n, NULL);
}

static int try_cls_bpf(struct nl *nl, const struct trial *t, char *text, size_t size)
{
	static const struct bpf_insn match_nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	struct kobj_filter f = {
		.ifindex = SCRATCH_IFINDEX,
		.parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
		.pref = KOBJ_PREF_FIRST,
		.handle = 1,
		.name = "probe",
	};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	int err, fd = load(match_nothing, sizeof(match_nothing) / sizeof(match_nothing[0]));

	(void)t;
	if (fd < 0)
		return fd;
	err = nl_talk(nl, tc_filter_encode_create(buf, &f, fd), text, size);
	(void)close(fd); /* the filter holds it */
	return err;
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

/* As the root of the scratch device, and away again for the next one. */
static int try_qdisc(struct nl *nl, const struct trial *t, char *text, size_t size)
{
	struct kobj_qdisc q = {.ifindex = SCRATCH_IFINDEX, .handle = SCRATCH_HANDLE, .parent = TC_H_ROOT};
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg;
	int err;

	(void)snprintf(q.kind, sizeof(q.kind), "%s", t->kind); /* fits */
	msg = tc_qdisc_encode_create(buf, &q);
	if (t->options)
		t->options(msg);
	err = nl_talk(nl, msg, text, size);
	return err ? err : nl_talk(nl, tc_qdisc_encode_delete(buf, &q), text, size);
}

static void put_htb(struct nlmsghdr *msg)
{
	struct tc_htb_glob glob = {.version = 3, .rate2quantum = 10};
	struct nlattr *options = mnl_attr_nest_start(msg, TCA_OPTIONS);

	mnl_attr_put(msg, TCA_HTB_INIT, sizeof(glob), &glob);
	mnl_attr_nest_end(msg, options);
}

static void put_tbf(struct nlmsghdr *msg)
{
	struct tc_tbf_qopt parms = {
		.rate = {.rate = 125000, .linklayer = TC_LINKLAYER_ETHERNET},
		.limit = 131072,
		.buffer = 1000000,
	};
	struct nlattr *options = mnl_attr_nest_start(msg, TCA_OPTIONS);

	mnl_attr_put(msg, TCA_TBF_PARMS, sizeof(parms), &parms);
	/* Less than the device's largest packet, and the kernel's log would say so. */
	mnl_attr_put_u32(msg, TCA_TBF_BURST, 131072);
	mnl_attr_nest_end(msg, options);
}

static int try_ifb(struct nl *nl, const struct trial *t, char *text, size_t size)
{
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
	struct nlmsghdr *msg = nl_begin(buf, RTM_NEWLINK);
	struct nlattr *info;

	(void)t;
	msg->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	(void)mnl_nlmsg_put_extra_header(msg, sizeof(struct ifinfomsg)); /* all zero */
	mnl_attr_put_strz(msg, IFLA_IFNAME, "probe");
	info = mnl_attr_nest_start(msg, IFLA_LINKINFO);
	mnl_attr_put_strz(msg, IFLA_INFO_KIND, "ifb");
	mnl_attr_nest_end(msg, info);
	return nl_talk(nl, msg, text, size);
}

/* All arguments are 0: the verifier looks at their types, and nobody runs the program. */
static int try_helper(struct nl *nl, const struct trial *t, char *text, size_t size)
{
	const struct bpf_insn call[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_4},
		{.code = BPF_JMP | BPF_CALL, .imm = t->helper},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = load(call, sizeof(call) / sizeof(call[0]));

	(void)nl;
	(void)text;
	(void)size;
	if (fd < 0)
		return fd;
	(void)close(fd); /* that it loaded is all */
	return 0;
}
