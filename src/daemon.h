/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * daemon: qosd as it runs: takes the locks, brings the policy into the kernel, then waits for signals, requests, links
 * that come and go and addresses that are learned. One event loop, one thread; everything it says goes to standard
 * error.
 */
#ifndef QOSD_DAEMON_H
#define QOSD_DAEMON_H

#include "reload.h"

#define DAEMON_STATE_DIR LOCALSTATEDIR "/lib/qosd"
#define DAEMON_PIN_DIR   "/sys/fs/bpf/qosd"

struct daemon_options {
	struct reload_paths paths;
	const char *run_dir; /* socket and lock; made if missing */
};

/* Loads and checks the policy, without root and without the kernel. The messages go to standard error. EXIT_DONE or
 * EXIT_INVALID. */
int daemon_test(const char *config);
/* Runs until SIGTERM, SIGINT or `qosctl stop`. An EXIT_* of wire.h. */
int daemon_run(const struct daemon_options *o);

#endif
