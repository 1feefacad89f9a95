/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * queues: how many transmit queues of a device are in use, and whether the kernel picks among them by CPU (XPS), which
 * goes before what a program says. Only devices with room for several are asked.
 */
#ifndef QOSD_QUEUES_H
#define QOSD_QUEUES_H

#include "links.h"

/* Fills in tx_queues and by_cpu. A device that tells nothing keeps what rtnetlink said; where /sys shows another
 * network namespace, by_cpu stays false. */
void queues_read(struct links *links);

/* Is there a mask in DIR/tx-I/xps_cpus or xps_rxqs, for an I below n? DIR is /sys/class/net/NAME/queues. */
bool queues_are_by_cpu(const char *dir, uint32_t n);

#endif
