/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * harness: a hook without a daemon: its maps, its program loaded through prog.c, packets put through it by
 * BPF_PROG_TEST_RUN. Everything here ends the test when the kernel refuses; without the right to use bpf(2) the whole
 * test program is skipped.
 */
#ifndef QOSD_HARNESS_H
#define QOSD_HARNESS_H

#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "prog.h"

#define HARNESS_CLASSES 16
#define HARNESS_MAPS    64

struct packet_buf {
	uint8_t b[2048];
	size_t n;
	size_t l3;  /* of the innermost IP header */
	uint8_t v6; /* what that is */
};

struct test_hook {
	struct arena *arena;
	struct diag *diag;
	struct {
		char path[64];
		int fd;
	} maps[HARNESS_MAPS];
	size_t n_maps;
	struct prog_spec spec;
	int prog; /* fd, -1 before harness_load */
};

/* Exits with 77 (skipped) where bpf(2) is not permitted. First thing in main. */
void harness_need_bpf(void);

/* Makes all shared maps, and a hook's under "hook". spec is for a hook with a policy and an Ethernet header. */
void harness_open(struct test_hook *h);
void harness_close(struct test_hook *h);
/* The same for cmocka: a case has the hook as its state. */
int harness_setup(void **state);
int harness_teardown(void **state);

/* A set's maps in their slot; learned_max 0: it does not learn. */
void harness_set(struct test_hook *h, uint32_t slot, const struct qosd_set_conf *conf, uint32_t learned_max);
int harness_map(struct test_hook *h, const char *path);
/* "set0/learned" etc. */
int harness_set_map(struct test_hook *h, uint32_t slot, const char *what);
void harness_conf(struct test_hook *h, uint32_t number, const struct qosd_class_conf *conf);
/* Gives the class, which has conf.keyed, a map of so many keys; before the program is loaded. */
void harness_keys(struct test_hook *h, uint32_t number, const struct qosd_key_conf *conf, uint32_t max);
struct harness_key {
	struct qosd_class_clock clock;
	struct qosd_key_stats stats; /* of all CPUs */
};
/* 0, or -ENOENT if there is no such key ("10.0.0.1", "10.0.0.0/24"). */
int harness_key(struct test_hook *h, uint32_t number, const char *prefix, struct harness_key *out);
/* An element of a set that was made by harness_set (whose conf says how many prefixes there are). */
void harness_written(struct test_hook *h, uint32_t slot, const char *prefix, uint64_t up_Bps, uint64_t down_Bps);
void harness_bypass(struct test_hook *h, bool on);

/* Builds the tables of the rules, classes numbered as struct numbered says, and loads h->spec. */
void harness_rules(struct test_hook *h, const struct rules *r);
/* The same for one rule: everything is of class 1. */
void harness_all_to_one(struct test_hook *h);
/* And class 1 has this conf. */
void harness_load_class(struct test_hook *h, struct qosd_class_conf conf);
void harness_load(struct test_hook *h);
/* The same for a second program on the same maps. */
int harness_load_spec(struct test_hook *h, const struct prog_spec *spec);

/* One packet; *ctx in and out (NULL: none). Returns the verdict. out (NULL: not wanted) gets the packet afterwards. */
int harness_run(int prog, const void *packet, size_t n, struct __sk_buff *ctx, void *out, size_t *out_n);
/* Whole, as it comes out of h->prog, which must let it pass at its length. */
struct packet_buf harness_passed(struct test_hook *h, const struct packet_buf *p, struct __sk_buff *ctx);
/* Again and again from two CPUs at once: each at least n times, and on until so many ns are over. */
void harness_two_cpus(struct test_hook *h, const struct packet_buf *p, uint32_t n, uint64_t ns);

/* An entry of 64 bit words of a per-CPU map, summed up. */
void harness_sum(struct test_hook *h, const char *path, uint32_t key, void *out, size_t size);
struct qosd_class_stats harness_stats(struct test_hook *h, uint32_t number);
struct qosd_hook_stats harness_hook_stats(struct test_hook *h);
struct qosd_set_stats harness_set_stats(struct test_hook *h, uint32_t slot);
uint64_t harness_clock(struct test_hook *h, uint32_t number);
/* Its time; the rest of the clock is as if it had never been used. */
void harness_set_clock(struct test_hook *h, uint32_t number, uint64_t last_ns);
/* What time it is for the programs. */
uint64_t harness_now(void);

/* Classes and sets are their numbers in these tests: class i is &harness_classes[i], slot i &harness_sets[i]. */
extern struct model_class harness_classes[HARNESS_CLASSES];
extern struct model_set harness_sets[QOSD_SETS_MAX];
extern const struct tables_names harness_names;

/* ---- packets ---- */

void packet_ethernet(struct packet_buf *p, uint16_t ethertype);
void packet_vlan(struct packet_buf *p, uint16_t tci, uint16_t ethertype);
void packet_pppoe(struct packet_buf *p, uint16_t ppp_protocol);
/* What follows is its payload until packet_done fills in lengths and the checksum. */
void packet_ipv4(struct packet_buf *p, const char *src, const char *dst, uint8_t proto);
void packet_ipv6(struct packet_buf *p, const char *src, const char *dst, uint8_t next);
/* Ethernet and the IP header of the family that src is of. */
void packet_ip(struct packet_buf *p, const char *src, const char *dst, uint8_t proto);
void packet_ports(struct packet_buf *p, uint16_t sport, uint16_t dport); /* the first 4 bytes of TCP, UDP, SCTP */
void packet_udp(struct packet_buf *p, uint16_t sport, uint16_t dport);
void packet_tcp(struct packet_buf *p, uint16_t sport, uint16_t dport, uint8_t flags);
void packet_arp(struct packet_buf *p, const char *sender, const char *target);
void packet_bytes(struct packet_buf *p, const void *b, size_t n);
void packet_zeros(struct packet_buf *p, size_t n);
/* The innermost IP header gets its length (and IPv4 its checksum) from what is there now. */
void packet_done(struct packet_buf *p);
/* Of an IPv4 header: 0xffff where its checksum is right. */
uint16_t packet_header_sum(const uint8_t *ip);
/* Grows the packet with zeros to n bytes and then packet_done. */
void packet_pad_to(struct packet_buf *p, size_t n);

/* Whole ones, done. n bytes with nothing but zeros behind the IP header, which says UDP. */
struct packet_buf packet_frame(const char *src, const char *dst, size_t n);
/* 100 bytes. */
struct packet_buf packet_udp_frame(const char *src, const char *dst, uint16_t sport, uint16_t dport);
/* n bytes, an ACK from port 1 to 2. */
struct packet_buf packet_tcp_frame(const char *src, const char *dst, size_t n);

#endif
