/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tc_filter.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "nl.h"
#include "tc_action.h"

#define NAME_MAX_LEN 255 /* CLS_BPF_NAME_LEN of net/sched/cls_bpf.c without the NUL */

static int filter_cmp(const struct kobj *a, const struct kobj *b)
{
	const struct kobj_filter *x = &a->filter, *y = &b->filter;

	/* Higher indices first: an ifb of ours classifies before anything is sent to it. */
	if (x->ifindex != y->ifindex)
		return x->ifindex > y->ifindex ? -1 : 1;
	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	/* Higher preferences first: what polices a class is there before classify, in front of it, points at it, and
	 * goes after. */
	if (x->pref != y->pref)
		return x->pref > y->pref ? -1 : 1;
	return (x->handle > y->handle) - (x->handle < y->handle);
}

static bool filter_same(const struct kobj *a, const struct kobj *b)
{
	const struct kobj_filter *x = &a->filter, *y = &b->filter;

	return !strcmp(x->name, y->name) && x->da == y->da && x->classid == y->classid && x->redirect == y->redirect &&
	       x->n_actions == y->n_actions && !memcmp(x->actions, y->actions, x->n_actions * sizeof(x->actions[0]));
}

static const char *filter_fixed(const struct kobj *before, const struct kobj *after)
{
	(void)before;
	(void)after;
	return NULL;
}

static void filter_describe(const struct kobj *o, const char *(*ifname)(void *ctx, int ifindex), void *ctx, FILE *out)
{
	const struct kobj_filter *f = &o->filter;
	const char *name = ifname(ctx, f->ifindex);

	fputs("filter dev ", out);
	if (name)
		fputs(name, out);
	else
		fprintf(out, "#%d", f->ifindex);
	fprintf(out, " %s pref %u handle 0x%x bpf", TC_H_MIN(f->parent) == TC_H_MIN_INGRESS ? "ingress" : "egress",
		f->pref, f->handle);
	if (f->da)
		fputs(" direct-action", out);
	fprintf(out, " %s", f->name);
	if (f->classid)
		fprintf(out, " flowid %x:%x", TC_H_MAJ(f->classid) >> 16, TC_H_MIN(f->classid));
	for (uint32_t i = 0; i < f->n_actions; i++)
		fprintf(out, " action police index 0x%x", f->actions[i]);
	if (!f->redirect)
		return;
	fputs(" action mirred egress redirect dev ", out);
	name = ifname(ctx, f->redirect);
	if (name)
		fputs(name, out);
	else
		fprintf(out, "#%d", f->redirect);
}

const struct kobj_ops tc_filter_ops = {
	.name = "filter",
	.cmp = filter_cmp,
	.same = filter_same,
	.fixed = filter_fixed,
	.describe = filter_describe,
};

static struct nlmsghdr *put_header(void *buf, uint16_t type, int ifindex, uint32_t parent, uint16_t pref,
				   uint32_t handle)
{
	struct nlmsghdr *msg = nl_begin(buf, type);
	struct tcmsg *tcm;

	tcm = mnl_nlmsg_put_extra_header(msg, sizeof(*tcm));
	tcm->tcm_family = AF_UNSPEC;
	tcm->tcm_ifindex = ifindex;
	tcm->tcm_parent = parent;
	tcm->tcm_handle = handle;
	if (pref)
		tcm->tcm_info = TC_H_MAKE((uint32_t)pref << 16, htons(ETH_P_ALL));
	return msg;
}

static struct nlmsghdr *encode(void *buf, uint16_t flags, const struct kobj_filter *f, int prog_fd)
{
	struct nlmsghdr *msg = put_header(buf, RTM_NEWTFILTER, f->ifindex, f->parent, f->pref, f->handle);
	struct nlattr *options, *actions;

	assert(strlen(f->name) <= NAME_MAX_LEN && f->n_actions <= KOBJ_ACTIONS_MAX);
	msg->nlmsg_flags = flags;
	mnl_attr_put_strz(msg, TCA_KIND, "bpf");
	options = mnl_attr_nest_start(msg, TCA_OPTIONS);
	if (f->n_actions || f->redirect) {
		actions = mnl_attr_nest_start(msg, TCA_BPF_ACT);
		for (uint32_t i = 0; i < f->n_actions; i++)
			tc_action_encode_reference(msg, (uint16_t)(i + 1), f->actions[i]);
		if (f->redirect)
			tc_action_encode_redirect(msg, (uint16_t)(f->n_actions + 1), f->redirect);
		mnl_attr_nest_end(msg, actions);
	}
	if (f->classid)
		mnl_attr_put_u32(msg, TCA_BPF_CLASSID, f->classid);
	mnl_attr_put_u32(msg, TCA_BPF_FD, (uint32_t)prog_fd);
	mnl_attr_put_strz(msg, TCA_BPF_NAME, f->name);
	if (f->da)
		mnl_attr_put_u32(msg, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	mnl_attr_nest_end(msg, options);
	return msg;
}

struct nlmsghdr *tc_filter_encode_create(void *buf, const struct kobj_filter *f, int prog_fd)
{
	return encode(buf, NLM_F_CREATE | NLM_F_EXCL, f, prog_fd);
}

struct nlmsghdr *tc_filter_encode_change(void *buf, const struct kobj_filter *f, int prog_fd)
{
	/* Should it have gone meanwhile it is made anew. */
	return encode(buf, NLM_F_CREATE, f, prog_fd);
}

struct nlmsghdr *tc_filter_encode_delete(void *buf, const struct kobj_filter *f)
{
	struct nlmsghdr *msg = put_header(buf, RTM_DELTFILTER, f->ifindex, f->parent, f->pref, f->handle);

	mnl_attr_put_strz(msg, TCA_KIND, "bpf");
	return msg;
}

struct nlmsghdr *tc_filter_encode_dump(void *buf, int ifindex, uint32_t parent)
{
	return put_header(buf, RTM_GETTFILTER, ifindex, parent, 0, 0);
}

static void decode_actions(const struct nlattr *list, struct kobj_filter *out)
{
	const struct nlattr *action;

	if (!list)
		return;
	mnl_attr_for_each_nested (action, list) {
		if (tc_action_decode_redirect(action, &out->redirect))
			continue;
		/* More than we ever give: whatever it is, it is not what is wanted. */
		if (out->n_actions == KOBJ_ACTIONS_MAX) {
			out->actions[KOBJ_ACTIONS_MAX - 1] = 0;
			return;
		}
		out->actions[out->n_actions++] = tc_action_decode_reference(action);
	}
}

/* The head of a filter message, with the attributes behind it. */
static bool read_head(const struct nlmsghdr *msg, struct tcmsg *tcm, const struct nlattr **tb)
{
	if (msg->nlmsg_type != RTM_NEWTFILTER || mnl_nlmsg_get_payload_len(msg) < sizeof(*tcm))
		return false;
	memcpy(tcm, mnl_nlmsg_get_payload(msg), sizeof(*tcm));
	nl_attrs(msg, sizeof(*tcm), tb, TCA_MAX);
	return true;
}

static bool is_ours(const struct tcmsg *tcm, const struct nlattr *const *tb)
{
	uint32_t pref = TC_H_MAJ(tcm->tcm_info) >> 16, chain;

	if (pref < KOBJ_PREF_FIRST || pref > KOBJ_PREF_LAST || !tcm->tcm_handle || !nl_is(tb[TCA_KIND], "bpf"))
		return false;
	(void)nl_get(tb[TCA_CHAIN], &chain, sizeof(chain)); /* absent: 0 */
	return !chain && TC_H_MIN(tcm->tcm_info) == htons(ETH_P_ALL);
}

int tc_filter_decode(struct arena *a, const struct nlmsghdr *msg, struct kobj_filter *out)
{
	const struct nlattr *tb[TCA_MAX + 1], *options[TCA_BPF_MAX + 1];
	char name[NAME_MAX_LEN + 1];
	struct tcmsg tcm;
	uint32_t flags;

	if (!read_head(msg, &tcm, tb) || !is_ours(&tcm, tb))
		return -ENOENT;
	if (!tb[TCA_OPTIONS] || tcm.tcm_ifindex <= 0)
		return -EINVAL;
	nl_nested(tb[TCA_OPTIONS], options, TCA_BPF_MAX);
	*out = (struct kobj_filter){
		.ifindex = tcm.tcm_ifindex,
		.parent = tcm.tcm_parent,
		.pref = (uint16_t)(TC_H_MAJ(tcm.tcm_info) >> 16),
		.handle = tcm.tcm_handle,
	};
	/* What is absent is zero: that is how the kernel tells it. */
	(void)nl_get_str(options[TCA_BPF_NAME], name, sizeof(name));
	(void)nl_get(options[TCA_BPF_CLASSID], &out->classid, sizeof(out->classid));
	(void)nl_get(options[TCA_BPF_ID], &out->prog_id, sizeof(out->prog_id));
	(void)nl_get(options[TCA_BPF_FLAGS], &flags, sizeof(flags));
	out->name = arena_strdup(a, name);
	out->da = flags & TCA_BPF_FLAG_ACT_DIRECT;
	decode_actions(options[TCA_BPF_ACT], out);
	return 0;
}

bool tc_filter_is_any(const struct nlmsghdr *msg)
{
	const struct nlattr *tb[TCA_MAX + 1];
	struct tcmsg tcm;

	return read_head(msg, &tcm, tb) && tb[TCA_OPTIONS];
}
