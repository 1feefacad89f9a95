/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * qosctl_cmds: the commands of qosctl, one table. Most ask the daemon and print its answer; check reads policies by
 * itself. Answers go to standard output, everything that is wrong to standard error.
 */
#ifndef QOSD_QOSCTL_CMDS_H
#define QOSD_QOSCTL_CMDS_H

/* Reads options and command, runs it. An EXIT_* of wire.h. */
int qosctl_main(int argc, char **argv);

#endif
