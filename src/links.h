/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * links: the network interfaces of this namespace, as rtnetlink tells them. A table is a snapshot, sorted by name.
 */
#ifndef QOSD_LINKS_H
#define QOSD_LINKS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nl;
struct nlmsghdr;

struct link {
	int ifindex;
	char name[IFNAMSIZ];
	char kind[16]; /* "veth", "vlan"; "" where the kernel says none */
	uint16_t type; /* ARPHRD_* */
	uint32_t mtu;
	uint32_t tx_queues; /* that it has room for; after queues_read those in use */
	uint32_t txqlen;
	bool up;
	bool by_cpu;         /* XPS picks the queue of what is sent; set by queues_read */
	bool running;        /* up, and something is at the other end */
	bool peer_elsewhere; /* a veth or netkit whose peer is in another namespace */
	uint8_t mac[6];      /* of an Ethernet device */
	bool l3_behind; /* an ifb whose packets came without a link-layer header and were given one; set by the planner
			 */
};

struct links {
	struct link *v;
	size_t n;
};

/* Dumps all interfaces into *out (malloced, links_clear frees). 0 or -errno. */
int links_read(struct nl *nl, struct links *out);
void links_clear(struct links *l);
const struct link *links_by_name(const struct links *l, const char *name);
const struct link *links_by_index(const struct links *l, int ifindex);

/* One RTM_NEWLINK as a link. 0; -ENOENT: another message; -EINVAL: not readable. */
int links_decode(const struct nlmsghdr *msg, struct link *out);

struct link_counts {
	char name[IFNAMSIZ];
	int ifindex;
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
};

/* The kernel's own counters of all interfaces. restart: what cb was given does not count, it all comes again. 0, -errno
 * or cb's first negative return. */
int links_counts(struct nl *nl, int (*cb)(void *ctx, const struct link_counts *c), void (*restart)(void *ctx),
		 void *ctx);

/* A non-blocking socket that becomes readable when a link comes, goes or changes; the caller closes it. -errno. */
int links_monitor_open(void);
/* Reads all that is waiting: 1 something changed (or messages were lost), 0 nothing did, -errno. gone is told the index
 * of every link that went or went down. */
int links_monitor_drain(int fd, void (*gone)(void *ctx, int ifindex), void *ctx);

#endif
