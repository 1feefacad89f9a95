/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * exits: the exit codes of qosd and qosctl, and of every answer on the control socket.
 */
#ifndef QOSD_EXITS_H
#define QOSD_EXITS_H

enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1, /* and what was there still is */
	EXIT_USAGE = 2,
	EXIT_PERMISSION = 4,
	EXIT_INVALID = 6, /* the policy */
	EXIT_NOT_RUNNING = 7,
};

#endif
