/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * kernel: the real struct kernel of apply.h, over rtnetlink and bpf(2).
 */
#ifndef QOSD_KERNEL_H
#define QOSD_KERNEL_H

#include "apply.h"

struct nl;
struct pins;

/* Uses nl and pins for as long as it lives. */
struct kernel *kernel_new(struct nl *nl, struct pins *pins);
void kernel_free(struct kernel *k);

/* For tests of the promise: the i-th request (from 0) that is committed fails with -EIO before it is sent; -1: none.
 * Also set by the environment variable QOSD_FAIL_AT in builds with --enable-fault-injection. */
void kernel_fail_at(struct kernel *k, int i);
/* Where QOSD_FAULTS names a file (--enable-fault-injection): the N of its lines "fail N" and "kill N" count from here
 * on.
 */
void kernel_read_faults(struct kernel *k);

#endif
