/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * flood IFNAME MAC SOURCE DESTINATION PORTS SECONDS [RATE]: UDP packets of 60 bytes out of an interface as fast as they
 * go, or so many a second in bursts of 64, past its queue, to ports 1 to PORTS in turn (source port 9). Prints how many
 * went, and in how many seconds.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64
#define FRAME 60

struct frame {
	struct ether_header eth;
	struct iphdr ip;
	struct udphdr udp;
	uint8_t padding[FRAME - sizeof(struct ether_header) - sizeof(struct iphdr) - sizeof(struct udphdr)];
} __attribute__((packed));

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint16_t checksum(const void *p, size_t n)
{
	const uint16_t *w = p;
	uint32_t sum = 0;

	for (size_t i = 0; i < n / 2; i++)
		sum += w[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void make_frame(struct frame *f, const char *mac, const char *src, const char *dst)
{
	const struct ether_addr *to = ether_aton(mac);

	memset(f, 0, sizeof(*f));
	if (!to || inet_pton(AF_INET, src, &f->ip.saddr) != 1 || inet_pton(AF_INET, dst, &f->ip.daddr) != 1) {
		errno = EINVAL;
		err(1, "addresses");
	}
	memcpy(f->eth.ether_dhost, to, ETH_ALEN);
	f->eth.ether_shost[0] = 2;
	f->eth.ether_type = htons(ETHERTYPE_IP);
	f->ip.version = 4;
	f->ip.ihl = 5;
	f->ip.ttl = 64;
	f->ip.protocol = IPPROTO_UDP;
	f->ip.tot_len = htons(FRAME - sizeof(f->eth));
	{
		struct iphdr ip = f->ip; /* the frame is not aligned */

		f->ip.check = checksum(&ip, sizeof(ip));
	}
	f->udp.source = htons(9);
	f->udp.len = htons(FRAME - sizeof(f->eth) - sizeof(f->ip));
}

static int open_socket(const char *ifname)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(ifname)};
	int on = 1, fd = socket(AF_PACKET, SOCK_RAW, 0);

	if (fd < 0)
		err(1, "socket");
	if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)))
		err(1, "PACKET_QDISC_BYPASS");
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)))
		err(1, "%s", ifname);
	return fd;
}

/* Until as many are due as were sent. */
static void keep_to(double rate, double start, uint64_t sent)
{
	double due = start + (double)sent / rate;
	struct timespec t = {.tv_sec = (time_t)due, .tv_nsec = (long)((due - (double)(time_t)due) * 1e9)};

	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL); /* cut short: catches up */
}

int main(int argc, char **argv)
{
	static struct frame frames[BATCH];
	static struct mmsghdr messages[BATCH];
	static struct iovec iov[BATCH];
	uint32_t ports, port = 0;
	double seconds, start, took, rate;
	uint64_t sent = 0;
	int fd;

	if (argc != 7 && argc != 8) {
		(void)fprintf(stderr, "usage: flood IFNAME MAC SOURCE DESTINATION PORTS SECONDS [RATE]\n");
		return 2;
	}
	ports = (uint32_t)strtoul(argv[5], NULL, 10);
	seconds = strtod(argv[6], NULL);
	rate = argc == 8 ? strtod(argv[7], NULL) : 0;
	if (!ports || ports > 65535 || !(seconds > 0) || !(rate >= 0)) {
		(void)fprintf(stderr, "flood: 1 to 65535 ports, some seconds, so many a second\n");
		return 2;
	}
	fd = open_socket(argv[1]);
	for (int i = 0; i < BATCH; i++) {
		make_frame(&frames[i], argv[2], argv[3], argv[4]);
		iov[i] = (struct iovec){&frames[i], FRAME};
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	start = now();
	do {
		int n;

		for (int i = 0; i < BATCH; i++) {
			frames[i].udp.dest = htons((uint16_t)(port + 1));
			port = (port + 1) % ports;
		}
		n = sendmmsg(fd, messages, BATCH, 0);
		if (n < 0 && errno != ENOBUFS)
			err(1, "sendmmsg");
		sent += n > 0 ? (uint64_t)n : 0;
		if (rate > 0)
			keep_to(rate, start, sent);
		took = now() - start;
	} while (took < seconds);
	(void)printf("%llu %.6f\n", (unsigned long long)sent, took);
	return 0;
}
