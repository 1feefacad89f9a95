/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * rr ADDRESS SECONDS: sends a UDP datagram to port 9 of the address, waits for the answer, and so on. Prints how many
 * round trips there were, and their 50th and 99th percentile in microseconds. rr serve: the other end.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#define TRIPS_MAX 4000000
#define PORT      "9"

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void serve(void)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(9)}, from;
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), off = 0;
	char text[64];

	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)))
		err(1, "serve");
	for (;;) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, text, sizeof(text), 0, (struct sockaddr *)&from, &len);

		if (n > 0)
			(void)sendto(fd, text, (size_t)n, 0, (struct sockaddr *)&from,
				     len); /* the other end asks again */
	}
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST};
	const struct timeval patience = {.tv_sec = 1};
	static uint32_t trips[TRIPS_MAX];
	struct addrinfo *to;
	uint64_t end, start;
	uint32_t n = 0, lost = 0;
	char text[16] = "";
	int fd;

	if (argc == 2 && strcmp(argv[1], "serve") == 0)
		serve();
	if (argc != 3 || getaddrinfo(argv[1], PORT, &hints, &to)) {
		(void)fprintf(stderr, "usage: rr ADDRESS SECONDS, or rr serve\n");
		return 2;
	}
	fd = socket(to->ai_family, SOCK_DGRAM, 0);
	if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		err(1, "%s", argv[1]);
	end = now_ns() + (uint64_t)(strtod(argv[2], NULL) * 1e9);
	while ((start = now_ns()) < end && n < TRIPS_MAX) {
		if (send(fd, text, sizeof(text), 0) < 0 || recv(fd, text, sizeof(text), 0) < 0) {
			if (++lost > 3)
				err(1, "no answer");
			continue;
		}
		trips[n++] = (uint32_t)(now_ns() - start);
	}
	freeaddrinfo(to);
	if (!n)
		err(1, "no answer");
	qsort(trips, n, sizeof(trips[0]), compare);
	(void)printf("%u %.1f %.1f\n", n, trips[n / 2] / 1000.0, trips[n - 1 - n / 100] / 1000.0);
	return 0;
}
