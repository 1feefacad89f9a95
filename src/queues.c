/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "queues.h"

#include <limits.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file.h"

#define SYS_NET "/sys/class/net"

/* 0: the device does not say. */
static uint32_t in_use(int fd, const char *ifname)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	struct ifreq request = {.ifr_data = (void *)&channels};

	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname); /* as long as in struct link */
	return ioctl(fd, SIOCETHTOOL, &request) < 0 ? 0 : channels.combined_count + channels.tx_count;
}

/* "00000000,0000000f": is any bit set? */
static bool has_mask(const char *path)
{
	char line[4096];

	return file_read_line(path, line, sizeof(line)) && line[strspn(line, "0,")];
}

bool queues_are_by_cpu(const char *dir, uint32_t n)
{
	static const char *const masks[] = {"xps_cpus", "xps_rxqs"};
	char path[PATH_MAX];

	for (uint32_t i = 0; i < n; i++)
		for (size_t m = 0; m < sizeof(masks) / sizeof(masks[0]); m++)
			if (snprintf(path, sizeof(path), "%s/tx-%u/%s", dir, i, masks[m]) < (int)sizeof(path) &&
			    has_mask(path))
				return true;
	return false;
}

/* /sys shows the network namespace of whoever mounted it. */
static bool is_in_sys(const struct link *l)
{
	char path[128], line[32];

	(void)snprintf(path, sizeof(path), SYS_NET "/%s/ifindex", l->name); /* fits */
	return file_read_line(path, line, sizeof(line)) && strtol(line, NULL, 10) == l->ifindex;
}

static void look_at(int fd, struct link *l)
{
	uint32_t used = in_use(fd, l->name);
	char dir[128];

	if (used && used < l->tx_queues)
		l->tx_queues = used;
	if (l->tx_queues < 2 || !is_in_sys(l))
		return;
	(void)snprintf(dir, sizeof(dir), SYS_NET "/%s/queues", l->name); /* fits */
	l->by_cpu = queues_are_by_cpu(dir, l->tx_queues);
}

void queues_read(struct links *links)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	for (size_t i = 0; i < links->n; i++)
		if (links->v[i].tx_queues > 1)
			look_at(fd, &links->v[i]);
	(void)close(fd); /* only asked */
}
