/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * fastpath: the forwarding rules as they run: their switches, what they handed over and what they did not, and the
 * counters of interfaces with what the kernel's own do not see. Every answer is a new JSON value, the caller's.
 */
#ifndef QOSD_FASTPATH_H
#define QOSD_FASTPATH_H

#include <jansson.h>
#include <stdbool.h>

struct shaper;

/* fast_path: in words; forward: [name, on, hook, mode, dev, nexthop, on_miss, state, why] */
json_t *fastpath_show(struct shaper *s);
/* An array: [name, on, hook, dev, packets, bytes, kernel_packets, kernel_bytes, missed: {reason: packets}] */
json_t *fastpath_stats(struct shaper *s);
/* interfaces: a row for every interface: [rx_packets, .. as they are, kernel_rx_packets, .. as the kernel says, unseen:
 * which of the kernel's figures miss something, missed: what the rules to it did not hand over] */
json_t *fastpath_interfaces(struct shaper *s);
/* rule NULL: all. An answer to a command. */
json_t *fastpath_switch(struct shaper *s, bool on, const char *rule);
/* After a run: switches of rules that are gone are not the next rule's. */
void fastpath_follow(struct shaper *s);
/* The device is gone or down: no packet goes there any more, whatever takes longer. */
void fastpath_gone(struct shaper *s, int ifindex);

#endif
