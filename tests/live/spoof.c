/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * spoof: sends UDP packets from as many made-up sources as asked for, out of an interface, as fast as they go. For the
 * live tests: it stops by itself, and sends only where it is told to, in a namespace of the test's own.
 *
 * usage: spoof INTERFACE FIRST-SOURCE COUNT      (IPv4; the sources follow each other)
 */
#include <arpa/inet.h>
#include <err.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <netpacket/packet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 256

struct frame {
	struct ether_header ether;
	struct iphdr ip;
	struct udphdr udp;
	char data[18];
} __attribute__((packed));

static uint16_t checksum(const struct iphdr *ip)
{
	uint16_t word[sizeof(*ip) / 2];
	uint32_t sum = 0;

	memcpy(word, ip, sizeof(word));
	for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

static void fill(struct frame *f, uint32_t source)
{
	struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};

	ip.tot_len = htons(sizeof(*f) - sizeof(f->ether));
	ip.saddr = htonl(source);
	ip.daddr = htonl(0xac100105); /* 172.16.1.5 */
	ip.check = checksum(&ip);
	*f = (struct frame){
		.ether = {.ether_dhost = {2, 0, 0, 0, 0, 1}, .ether_shost = {2, 0, 0, 0, 0, 2}},
		.ip = ip,
		.udp = {.source = htons(9), .dest = htons(9), .len = htons(sizeof(f->udp) + sizeof(f->data))},
	};
	f->ether.ether_type = htons(ETHERTYPE_IP);
}

/* All of n frames, however many the kernel takes at a time. */
static void send_all(int fd, struct mmsghdr *msgs, unsigned n)
{
	for (unsigned sent = 0; sent < n;) {
		int k = sendmmsg(fd, msgs + sent, n - sent, 0);

		if (k < 0)
			err(1, "sendmmsg");
		sent += (unsigned)k;
	}
}

int main(int argc, char **argv)
{
	static struct frame frames[BATCH];
	static struct iovec iov[BATCH];
	static struct mmsghdr msgs[BATCH];
	struct sockaddr_ll to = {.sll_family = AF_PACKET};
	struct in_addr first;
	uint32_t count;
	int fd;

	if (argc != 4 || inet_pton(AF_INET, argv[2], &first) != 1)
		errx(2, "usage: spoof INTERFACE FIRST-SOURCE COUNT");
	count = (uint32_t)strtoul(argv[3], NULL, 10);
	to.sll_ifindex = (int)if_nametoindex(argv[1]);
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0 || !to.sll_ifindex || bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		err(1, "%s", argv[1]);
	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){&frames[i], sizeof(frames[i])};
		msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	for (uint32_t done = 0; done < count;) {
		unsigned n = count - done < BATCH ? count - done : BATCH;

		for (unsigned i = 0; i < n; i++)
			fill(&frames[i], ntohl(first.s_addr) + done + i);
		send_all(fd, msgs, n);
		done += n;
	}
	return 0;
}
