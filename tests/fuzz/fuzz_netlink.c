/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What comes from a netlink socket, messages behind each other, through every decoder. The corpus is what Linux 6.1
 * answered to the dumps of qdiscs, filters, police actions and links, and to requests that it refused.
 */
#include <stdlib.h>
#include <string.h>

#include "ifb.h"
#include "links.h"
#include "mem.h"
#include "nl.h"
#include "tc_action.h"
#include "tc_class.h"
#include "tc_filter.h"
#include "tc_qdisc.h"

static int take_police(void *ctx, const struct kobj_police *p, const struct tc_action_stats *stats)
{
	*(uint64_t *)ctx += p->index + stats->packets;
	return 0;
}

static void decode(struct arena *a, const struct nlmsghdr *msg)
{
	struct kobj_filter filter;
	struct tc_class_stats stats;
	struct kobj_qdisc qdisc;
	struct kobj_class cls;
	struct kobj_link ifb;
	uint64_t sum = 0;
	struct link link;
	char text[64];

	/* What they say of garbage is their business, that they come back is ours. */
	(void)tc_qdisc_decode(msg, &qdisc);
	(void)tc_class_decode(msg, &cls, &stats);
	(void)ifb_decode(msg, &ifb);
	(void)tc_filter_decode(a, msg, &filter);
	(void)tc_filter_is_any(msg);
	(void)tc_action_decode(msg, take_police, &sum);
	(void)links_decode(msg, &link);
	(void)nl_ack(msg, text, sizeof(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new();
	/* Of exactly this size, so that a sanitizer sees a step too far. */
	char *buf = memcpy(xmalloc(size), data, size);
	const struct nlmsghdr *msg;
	const void *at = buf;
	size_t left = size;

	while ((msg = nl_next(&at, &left)))
		decode(a, msg);
	free(buf);
	arena_free(a);
	return 0;
}
