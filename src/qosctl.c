/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * qosctl: the command line of qosd.
 */
#include "qosctl_cmds.h"

int main(int argc, char **argv)
{
	return qosctl_main(argc, argv);
}
