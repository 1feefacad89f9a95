/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * prog: the BPF programs of the skeleton, ready to load. A spec says everything that goes into one loaded program; its
 * digest is in the filter's name, so that a dump shows whether the program in the kernel is the one that is wanted.
 */
#ifndef QOSD_PROG_H
#define QOSD_PROG_H

#include "../bpf/qosd_abi.h"
#include "tables.h"

enum prog_kind {
	PROG_CLASSIFY,          /* da: learn, classify, and with engine bpf police */
	PROG_CLASSIFY_NEIGHBOR, /* da: only learn */
	PROG_CLASSIFY_WAN,      /* not da: matches tc_index == minor of its filter's class id */
	PROG_FORWARD,           /* da: behind the others; hands packets to other devices */
	PROG_PASS,              /* not da: matches all but what is exempt */
};

struct prog_spec {
	enum prog_kind kind;
	struct qosd_hook_conf conf;
	const struct tables *tables; /* PROG_CLASSIFY with rules; NULL otherwise */
	struct prefix *fence;        /* what may be learned, see fence_slot; n_fence 0: no fence at all */
	uint32_t *fence_slot;        /* the set each prefix of the fence is for; a set without one has no fence */
	size_t n_fence;
	const char *hook_path; /* "hooks/wan0-ingress": conf, clock, stats below it; NULL without a policy */
};

/* Which pinned maps a program uses: fd by path below the pin directory, or -1. The fd stays the callee's. */
typedef int (*prog_map_fd)(void *ctx, const char *path);

/* Stands for the object file that was compiled in; changes when the programs change. */
uint64_t prog_build_id(void);
uint64_t prog_digest(const struct prog_spec *spec, uint64_t build_id);
/* "classify [0123456789abcdef]", in the arena. */
const char *prog_filter_name(struct arena *a, const struct prog_spec *spec, uint64_t build_id);

/* Loads; returns the program's fd (the caller closes it) or -errno with the verifier's last lines in log[log_size]. */
int prog_load(const struct prog_spec *spec, prog_map_fd map_fd, void *ctx, char *log, size_t log_size);

#endif
