/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * caps: what this kernel can do, found out by trying it on a scratch device in a scratch network namespace, never by
 * version.
 */
#ifndef QOSD_CAPS_H
#define QOSD_CAPS_H

#include <stdbool.h>
#include <stddef.h>

#include "qdisc.h"

enum cap {
	CAP_CLSACT,
	CAP_CLS_BPF,
	CAP_ACT_POLICE,
	CAP_HTB,
	CAP_FQ,
	CAP_FQ_CODEL,
	CAP_CAKE,
	CAP_SFQ,
	CAP_TBF,
	CAP_CODEL,
	CAP_PFIFO,
	CAP_BFIFO,
	CAP_PFIFO_FAST,
	CAP_MQ,
	CAP_IFB,
	CAP_ACT_MIRRED,
	CAP_REDIRECT,
	CAP_CLONE_REDIRECT,
	CAP_REDIRECT_NEIGH,
	CAP_REDIRECT_PEER,
	CAP_SKB_SET_TSTAMP,
	CAPS
};

struct cap_result {
	const char *name;   /* "act_police" */
	const char *config; /* "CONFIG_NET_ACT_POLICE" */
	bool has;
	char how[128]; /* what was tried and what the kernel said */
};

struct caps {
	struct cap_result v[CAPS];
};

/* Tries everything, in a child process with a namespace of its own. 0 or -errno (then nothing is known and all are
 * false). */
int caps_probe(struct caps *out);
/* What was found about a kind of qdisc, or NULL where it was not tried. */
const struct cap_result *caps_of_qdisc(const struct caps *caps, enum qdisc_kind kind);

#endif
