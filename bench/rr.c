/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * rr udp|tcp ADDRESS PORT SECONDS: sends 16 bytes, waits until they come back, and so on. Prints how many round trips a
 * second there were, and their 50th and 99th percentile in microseconds. rr serve PORT: the other end of both. With -s
 * first, that end looks again and again, and sleeps only after a moment in which nothing came.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define TRIPS_MAX 4000000
#define SIZE      16
#define AWAKE_NS  2000000 /* so long it looks again before it sleeps */

static bool spins;

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What recvfrom gives; for TCP it is all of a message or nothing, as nothing else is on its way. */
static ssize_t receive(int fd, char text[SIZE], struct sockaddr *from, socklen_t *len)
{
	uint64_t until = spins ? now_ns() + AWAKE_NS : 0;
	socklen_t room = len ? *len : 0;
	ssize_t n;

	while (spins && now_ns() < until) {
		n = recvfrom(fd, text, SIZE, MSG_DONTWAIT, from, len);
		if (n >= 0 || errno != EAGAIN)
			return n;
	}
	if (len)
		*len = room;
	return recvfrom(fd, text, SIZE, MSG_WAITALL, from, len);
}

/* Bound to the port of any address. */
static int open_server(const char *port, int type)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET6, type, 0), off = 0, on = 1;

	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) || bind(fd, (struct sockaddr *)&at, sizeof(at)))
		err(1, "port %s", port);
	return fd;
}

static void serve_udp(int fd)
{
	struct sockaddr_in6 from;
	char text[SIZE];

	for (;;) {
		socklen_t len = sizeof(from);
		ssize_t n = receive(fd, text, (struct sockaddr *)&from, &len);

		if (n > 0)
			(void)sendto(fd, text, (size_t)n, 0, (struct sockaddr *)&from,
				     len); /* the other end asks again */
	}
}

static void at_once(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		err(1, "TCP_NODELAY");
}

/* One after the other. */
static void serve_tcp(int fd)
{
	char text[SIZE];

	if (listen(fd, 8))
		err(1, "listen");
	for (;;) {
		int c = accept(fd, NULL, NULL);
		ssize_t n;

		if (c < 0)
			continue;
		at_once(c);
		while ((n = receive(c, text, NULL, NULL)) > 0 && send(c, text, (size_t)n, MSG_NOSIGNAL) > 0)
			;
		(void)close(c);
	}
}

static void serve(const char *port)
{
	int udp = open_server(port, SOCK_DGRAM), tcp = open_server(port, SOCK_STREAM);
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid)
		serve_udp(udp);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		err(1, "prctl");
	serve_tcp(tcp);
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Connected; what does not come within a second does not come. */
static int open_client(const char *transport, const char *address, const char *port)
{
	const struct timeval patience = {.tv_sec = 1};
	const struct addrinfo hints = {.ai_socktype = strcmp(transport, "tcp") ? SOCK_DGRAM : SOCK_STREAM,
				       .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *to;
	int fd;

	if (getaddrinfo(address, port, &hints, &to))
		errx(1, "%s port %s: no address", address, port);
	fd = socket(to->ai_family, to->ai_socktype, 0);
	if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		err(1, "%s", address);
	if (hints.ai_socktype == SOCK_STREAM)
		at_once(fd);
	freeaddrinfo(to);
	return fd;
}

int main(int argc, char **argv)
{
	static uint32_t trips[TRIPS_MAX];
	uint64_t end, start, begin;
	uint32_t n = 0, lost = 0;
	char text[SIZE] = "";
	int fd;

	if (argc > 1 && strcmp(argv[1], "-s") == 0) {
		spins = true;
		argc--;
		argv++;
	}
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve(argv[2]);
	if (argc != 5 || (strcmp(argv[1], "udp") != 0 && strcmp(argv[1], "tcp") != 0)) {
		(void)fprintf(stderr, "usage: rr [-s] udp|tcp ADDRESS PORT SECONDS, or rr [-s] serve PORT\n");
		return 2;
	}
	fd = open_client(argv[1], argv[2], argv[3]);
	begin = now_ns();
	end = begin + (uint64_t)(strtod(argv[4], NULL) * 1e9);
	while ((start = now_ns()) < end && n < TRIPS_MAX) {
		if (send(fd, text, sizeof(text), 0) < 0 || receive(fd, text, NULL, NULL) < 0) {
			if (++lost > 3)
				err(1, "no answer");
			continue;
		}
		trips[n++] = (uint32_t)(now_ns() - start);
	}
	if (!n)
		errx(1, "no answer");
	qsort(trips, n, sizeof(trips[0]), compare);
	(void)printf("%.0f %.1f %.1f\n", n * 1e9 / (double)(start - begin), trips[n / 2] / 1000.0,
		     trips[n - 1 - n / 100] / 1000.0);
	return 0;
}
