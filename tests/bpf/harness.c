/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "harness.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "maps.h"

struct model_class harness_classes[HARNESS_CLASSES];
struct model_set harness_sets[QOSD_SETS_MAX];

static int name_class(void *ctx, const struct model_class *c)
{
	(void)ctx;
	return (int)(c - harness_classes);
}

static int name_set(void *ctx, const struct model_set *s)
{
	(void)ctx;
	return (int)(s - harness_sets);
}

/* Interfaces are called by their numbers. */
static int name_ifindex(void *ctx, const char *ifname)
{
	(void)ctx;
	return atoi(ifname);
}

const struct tables_names harness_names = {name_class, name_set, name_ifindex, NULL};

/* ---- maps
 * ------------------------------------------------------------------------------------------------------------ */

void harness_need_bpf(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "probe", 4, 4, 1, NULL);

	if (fd < 0) {
		printf("SKIP: bpf(2): %s\n", strerror(errno));
		exit(77);
	}
	close(fd);
}

static int create(const struct kobj_map *m, int inner)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = m->flags, .inner_map_fd = inner < 0 ? 0 : (uint32_t)inner);
	int fd = bpf_map_create(m->type, "harness", m->key_size, m->value_size, m->max_entries, &opts);

	if (fd < 0)
		fail_msg("bpf_map_create: %s", strerror(errno));
	return fd;
}

static int keep(struct test_hook *h, const char *path, int fd)
{
	assert_true(h->n_maps < HARNESS_MAPS);
	(void)snprintf(h->maps[h->n_maps].path, sizeof(h->maps[0].path), "%s", path);
	h->maps[h->n_maps++].fd = fd;
	return fd;
}

static void add_map(struct test_hook *h, const char *dir, enum map_role role, uint32_t max_entries)
{
	struct kobj_map m, inner = {0};
	char path[64];
	int fd = -1;

	maps_describe(role, &m);
	if (role == MAP_KEYS || role == MAP_CLASS_KEYS)
		maps_size_keys(&m, (uint32_t)libbpf_num_possible_cpus());
	if (max_entries)
		m.max_entries = max_entries;
	if (m.inner_type) {
		inner = (struct kobj_map){.type = m.inner_type,
					  .key_size = m.inner_key_size,
					  .value_size = m.inner_value_size,
					  .flags = m.inner_flags,
					  .max_entries = 1};
		fd = create(&inner, -1);
	}
	(void)snprintf(path, sizeof(path), "%s%s", dir, maps_name(role));
	(void)keep(h, path, create(&m, fd));
	if (fd >= 0)
		close(fd);
}

int harness_map(struct test_hook *h, const char *path)
{
	for (size_t i = 0; i < h->n_maps; i++)
		if (strcmp(h->maps[i].path, path) == 0)
			return h->maps[i].fd;
	return -ENOENT;
}

int harness_set_map(struct test_hook *h, uint32_t slot, const char *what)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "set%u/%s", slot, what);
	return harness_map(h, path);
}

static int map_fd(void *ctx, const char *path)
{
	return harness_map(ctx, path);
}

void harness_open(struct test_hook *h)
{
	memset(h, 0, sizeof(*h));
	memset(harness_classes, 0, sizeof(harness_classes));
	h->arena = arena_new();
	h->diag = diag_new();
	h->prog = -1;
	for (enum map_role role = MAP_SETS_LEARNED; role < MAP_LEARNED; role++)
		add_map(h, "", role, 0);
	add_map(h, "hook/", MAP_CONF, HARNESS_CLASSES);
	add_map(h, "hook/", MAP_CLOCK, HARNESS_CLASSES);
	add_map(h, "hook/", MAP_STATS, HARNESS_CLASSES);
	add_map(h, "hook/", MAP_HOOK_STATS, 0);
	h->spec = (struct prog_spec){.kind = PROG_CLASSIFY,
				     .conf = {.l2_len = ETH_HLEN, .has_policy = 1, .ingress = 1},
				     .hook_path = "hook"};
}

void harness_close(struct test_hook *h)
{
	for (size_t i = 0; i < h->n_maps; i++)
		close(h->maps[i].fd);
	if (h->prog >= 0)
		close(h->prog);
	diag_free(h->diag);
	arena_free(h->arena);
}

int harness_setup(void **state)
{
	harness_open(*state);
	return 0;
}

int harness_teardown(void **state)
{
	harness_close(*state);
	return 0;
}

static void put(int fd, const void *key, const void *value)
{
	if (bpf_map_update_elem(fd, key, value, BPF_ANY))
		fail_msg("bpf_map_update_elem: %s", strerror(errno));
}

static void add_set_map(struct test_hook *h, uint32_t slot, enum map_role role, enum map_role outer,
			uint32_t max_entries)
{
	char dir[32];

	(void)snprintf(dir, sizeof(dir), "set%u/", slot);
	add_map(h, dir, role, max_entries);
	put(harness_map(h, maps_name(outer)), &slot, &h->maps[h->n_maps - 1].fd);
}

void harness_set(struct test_hook *h, uint32_t slot, const struct qosd_set_conf *conf, uint32_t learned_max)
{
	put(harness_map(h, "sets_conf"), &slot, conf);
	if (learned_max)
		add_set_map(h, slot, MAP_LEARNED, MAP_SETS_LEARNED, learned_max);
	add_set_map(h, slot, MAP_WRITTEN, MAP_SETS_WRITTEN, 64);
	add_set_map(h, slot, MAP_PREFIXES, MAP_SETS_PREFIXES, 64);
}

void harness_conf(struct test_hook *h, uint32_t number, const struct qosd_class_conf *conf)
{
	put(harness_map(h, "hook/conf"), &number, conf);
}

void harness_keys(struct test_hook *h, uint32_t number, const struct qosd_key_conf *conf, uint32_t max)
{
	char dir[32];

	if (!h->spec.conf.keyed) {
		add_map(h, "hook/", MAP_KEY_CONF, HARNESS_CLASSES);
		add_map(h, "hook/", MAP_KEYS, HARNESS_CLASSES);
		h->spec.conf.keyed = 1;
	}
	(void)snprintf(dir, sizeof(dir), "hook/%u/", number);
	add_map(h, dir, MAP_CLASS_KEYS, max);
	put(harness_map(h, "hook/keys"), &number, &h->maps[h->n_maps - 1].fd);
	put(harness_map(h, "hook/key_conf"), &number, conf);
}

int harness_key(struct test_hook *h, uint32_t number, const char *prefix, struct harness_key *out)
{
	size_t cpus = (size_t)libbpf_num_possible_cpus();
	char *value = xcalloc(1, QOSD_KEY_SIZE(cpus)), path[32];
	const struct qosd_key_stats *each = (const void *)(value + sizeof(out->clock));
	struct qosd_lpm key;
	struct prefix p;
	const char *why;
	int err;

	assert_int_equal(text_prefix(prefix, &p, &why), 0);
	key.prefixlen = p.bits;
	memcpy(&key.addr, &p.addr, sizeof(key.addr));
	(void)snprintf(path, sizeof(path), "hook/%u/keys", number);
	err = bpf_map_lookup_elem(harness_map(h, path), &key, value);
	memset(out, 0, sizeof(*out));
	memcpy(&out->clock, value, sizeof(out->clock));
	for (size_t i = 0; !err && i < cpus; i++) {
		out->stats.packets += each[i].packets;
		out->stats.bytes += each[i].bytes;
		out->stats.drop_packets += each[i].drop_packets;
		out->stats.drop_bytes += each[i].drop_bytes;
		out->stats.mark_packets += each[i].mark_packets;
		out->stats.delay_ns += each[i].delay_ns;
	}
	free(value);
	return err;
}

void harness_written(struct test_hook *h, uint32_t slot, const char *prefix, uint64_t up_Bps, uint64_t down_Bps)
{
	struct qosd_written value = {.up_Bps = up_Bps, .down_Bps = down_Bps};
	struct qosd_lpm key;
	struct prefix p;
	const char *why;

	assert_int_equal(text_prefix(prefix, &p, &why), 0);
	value.bits = key.prefixlen = p.bits;
	memcpy(&key.addr, &p.addr, sizeof(key.addr));
	if (p.bits == 128)
		put(harness_set_map(h, slot, "written"), &key.addr, &value);
	else
		put(harness_set_map(h, slot, "prefixes"), &key, &value);
}

void harness_bypass(struct test_hook *h, bool on)
{
	uint32_t zero = 0, value = on;

	put(harness_map(h, "bypass"), &zero, &value);
}

/* ---- programs
 * ---------------------------------------------------------------------------------------------------------- */

int harness_load_spec(struct test_hook *h, const struct prog_spec *spec)
{
	char log[2048] = "";
	int fd = prog_load(spec, map_fd, h, log, sizeof(log));

	if (fd < 0)
		fail_msg("prog_load: %s: %s", strerror(-fd), log);
	return fd;
}

void harness_load(struct test_hook *h)
{
	if (h->prog >= 0)
		close(h->prog);
	h->prog = harness_load_spec(h, &h->spec);
}

void harness_rules(struct test_hook *h, const struct rules *r)
{
	h->spec.tables = tables_build(h->arena, h->diag, r, &harness_names);
	if (!h->spec.tables) {
		diag_print(h->diag, stderr);
		fail_msg("tables_build refused");
	}
	harness_load(h);
}

void harness_all_to_one(struct test_hook *h)
{
	static struct rule everything[] = {{.cls = &harness_classes[1]}};
	struct rules one_rule = {.v = everything, .n = 1};

	harness_rules(h, &one_rule);
}

void harness_load_class(struct test_hook *h, struct qosd_class_conf conf)
{
	harness_conf(h, 1, &conf);
	harness_all_to_one(h);
}

int harness_run(int prog, const void *packet, size_t n, struct __sk_buff *ctx, void *out, size_t *out_n)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = (uint32_t)n, .data_out = out,
		    .data_size_out = out ? (uint32_t)*out_n : 0, .ctx_in = ctx, .ctx_size_in = ctx ? sizeof(*ctx) : 0,
		    .ctx_out = ctx, .ctx_size_out = ctx ? sizeof(*ctx) : 0);

	if (bpf_prog_test_run_opts(prog, &opts))
		fail_msg("BPF_PROG_TEST_RUN of %zu bytes: %s", n, strerror(errno));
	if (out)
		*out_n = opts.data_size_out;
	return (int)opts.retval;
}

struct packet_buf harness_passed(struct test_hook *h, const struct packet_buf *p, struct __sk_buff *ctx)
{
	struct packet_buf out = *p;

	out.n = sizeof(out.b);
	assert_int_equal(harness_run(h->prog, p->b, p->n, ctx, out.b, &out.n), TC_ACT_UNSPEC);
	assert_int_equal(out.n, p->n);
	return out;
}

struct gun {
	const struct packet_buf *packet;
	pthread_barrier_t *ready;
	uint64_t until;
	uint32_t shots;
	int prog, cpu;
	bool failed;
};

static void *shoot(void *arg)
{
	struct gun *g = arg;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = g->packet->b, .data_size_in = (uint32_t)g->packet->n,
		    .repeat = (int)g->shots);
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(g->cpu, &cpus);
	(void)pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus); /* with one CPU: both there */
	(void)pthread_barrier_wait(g->ready);
	do
		g->failed |= bpf_prog_test_run_opts(g->prog, &opts) != 0;
	while (harness_now() < g->until);
	return NULL;
}

void harness_two_cpus(struct test_hook *h, const struct packet_buf *p, uint32_t n, uint64_t ns)
{
	pthread_barrier_t ready;
	pthread_t threads[2];
	struct gun guns[2];

	assert_int_equal(pthread_barrier_init(&ready, NULL, 2), 0);
	for (int i = 0; i < 2; i++) {
		guns[i] = (struct gun){.packet = p,
				       .ready = &ready,
				       .until = harness_now() + ns,
				       .shots = n,
				       .prog = h->prog,
				       .cpu = i};
		assert_int_equal(pthread_create(&threads[i], NULL, shoot, &guns[i]), 0);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_false(guns[i].failed);
	}
	(void)pthread_barrier_destroy(&ready);
}

/* ---- what was counted
 * ----------------------------------------------------------------------------------------------------- */

/* A per-CPU entry of 64 bit words, summed up. */
static void sum(int fd, uint32_t key, void *out, size_t size)
{
	int cpus = libbpf_num_possible_cpus();
	size_t words = size / sizeof(uint64_t);
	uint64_t *each = xcalloc((size_t)cpus * words, sizeof(*each)), *total = out;

	memset(out, 0, size);
	assert_int_equal(bpf_map_lookup_elem(fd, &key, each), 0);
	for (size_t i = 0; i < (size_t)cpus * words; i++)
		total[i % words] += each[i];
	free(each);
}

void harness_sum(struct test_hook *h, const char *path, uint32_t key, void *out, size_t size)
{
	sum(harness_map(h, path), key, out, size);
}

struct qosd_class_stats harness_stats(struct test_hook *h, uint32_t number)
{
	struct qosd_class_stats s;

	sum(harness_map(h, "hook/stats"), number, &s, sizeof(s));
	return s;
}

struct qosd_hook_stats harness_hook_stats(struct test_hook *h)
{
	struct qosd_hook_stats s;

	sum(harness_map(h, "hook/hook_stats"), 0, &s, sizeof(s));
	return s;
}

struct qosd_set_stats harness_set_stats(struct test_hook *h, uint32_t slot)
{
	struct qosd_set_stats s;

	sum(harness_map(h, "sets_stats"), slot, &s, sizeof(s));
	return s;
}

uint64_t harness_clock(struct test_hook *h, uint32_t number)
{
	struct qosd_class_clock c;

	assert_int_equal(bpf_map_lookup_elem(harness_map(h, "hook/clock"), &number, &c), 0);
	return c.last_ns;
}

void harness_set_clock(struct test_hook *h, uint32_t number, uint64_t last_ns)
{
	struct qosd_class_clock c = {.last_ns = last_ns};

	put(harness_map(h, "hook/clock"), &number, &c);
}

uint64_t harness_now(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- packets
 * ---------------------------------------------------------------------------------------------------------------- */

void packet_bytes(struct packet_buf *p, const void *b, size_t n)
{
	assert_true(p->n + n <= sizeof(p->b));
	memcpy(p->b + p->n, b, n);
	p->n += n;
}

void packet_zeros(struct packet_buf *p, size_t n)
{
	assert_true(p->n + n <= sizeof(p->b));
	memset(p->b + p->n, 0, n);
	p->n += n;
}

static void put16(struct packet_buf *p, uint16_t v)
{
	uint16_t be = htons(v);

	packet_bytes(p, &be, sizeof(be));
}

static void put8(struct packet_buf *p, uint8_t v)
{
	packet_bytes(p, &v, sizeof(v));
}

static void put_address(struct packet_buf *p, int family, const char *s)
{
	uint8_t addr[16];

	assert_int_equal(inet_pton(family, s, addr), 1);
	packet_bytes(p, addr, family == AF_INET ? 4 : 16);
}

void packet_ethernet(struct packet_buf *p, uint16_t ethertype)
{
	static const uint8_t macs[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};

	memset(p, 0, sizeof(*p));
	packet_bytes(p, macs, sizeof(macs));
	put16(p, ethertype);
}

void packet_vlan(struct packet_buf *p, uint16_t tci, uint16_t ethertype)
{
	put16(p, tci);
	put16(p, ethertype);
}

void packet_pppoe(struct packet_buf *p, uint16_t ppp_protocol)
{
	static const uint8_t head[] = {0x11, 0, 0, 1, 0, 0}; /* the length is nobody's business here */

	packet_bytes(p, head, sizeof(head));
	put16(p, ppp_protocol);
}

void packet_ipv4(struct packet_buf *p, const char *src, const char *dst, uint8_t proto)
{
	static const uint8_t head[] = {0x45, 0, 0, 0, 0, 1, 0, 0, 64};

	p->l3 = p->n;
	p->v6 = 0;
	packet_bytes(p, head, sizeof(head));
	put8(p, proto);
	put16(p, 0);
	put_address(p, AF_INET, src);
	put_address(p, AF_INET, dst);
}

void packet_ipv6(struct packet_buf *p, const char *src, const char *dst, uint8_t next)
{
	static const uint8_t head[] = {0x60, 0, 0, 0, 0, 0};

	p->l3 = p->n;
	p->v6 = 1;
	packet_bytes(p, head, sizeof(head));
	put8(p, next);
	put8(p, 64);
	put_address(p, AF_INET6, src);
	put_address(p, AF_INET6, dst);
}

void packet_ip(struct packet_buf *p, const char *src, const char *dst, uint8_t proto)
{
	if (strchr(src, ':')) {
		packet_ethernet(p, ETH_P_IPV6);
		packet_ipv6(p, src, dst, proto);
	} else {
		packet_ethernet(p, ETH_P_IP);
		packet_ipv4(p, src, dst, proto);
	}
}

void packet_ports(struct packet_buf *p, uint16_t sport, uint16_t dport)
{
	put16(p, sport);
	put16(p, dport);
}

void packet_udp(struct packet_buf *p, uint16_t sport, uint16_t dport)
{
	packet_ports(p, sport, dport);
	packet_zeros(p, 4);
}

void packet_tcp(struct packet_buf *p, uint16_t sport, uint16_t dport, uint8_t flags)
{
	packet_ports(p, sport, dport);
	packet_zeros(p, 8);
	put8(p, 5 << 4);
	put8(p, flags);
	packet_zeros(p, 6);
}

void packet_arp(struct packet_buf *p, const char *sender, const char *target)
{
	static const uint8_t head[] = {0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2};

	packet_bytes(p, head, sizeof(head));
	put_address(p, AF_INET, sender);
	packet_zeros(p, 6);
	put_address(p, AF_INET, target);
}

uint16_t packet_header_sum(const uint8_t *ip)
{
	uint32_t total = 0;

	for (size_t i = 0; i < (size_t)(ip[0] & 15) * 4; i += 2)
		total += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (uint16_t)total;
}

static void poke16(uint8_t *b, size_t v)
{
	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

void packet_done(struct packet_buf *p)
{
	uint8_t *ip = p->b + p->l3;

	if (p->v6) {
		poke16(ip + 4, p->n - p->l3 - 40);
		return;
	}
	poke16(ip + 2, p->n - p->l3);
	poke16(ip + 10, 0);
	poke16(ip + 10, (uint16_t)~packet_header_sum(ip));
}

void packet_pad_to(struct packet_buf *p, size_t n)
{
	if (n > p->n)
		packet_zeros(p, n - p->n);
	packet_done(p);
}

struct packet_buf packet_frame(const char *src, const char *dst, size_t n)
{
	struct packet_buf p;

	packet_ip(&p, src, dst, IPPROTO_UDP);
	packet_pad_to(&p, n);
	return p;
}

struct packet_buf packet_udp_frame(const char *src, const char *dst, uint16_t sport, uint16_t dport)
{
	struct packet_buf p;

	packet_ip(&p, src, dst, IPPROTO_UDP);
	packet_udp(&p, sport, dport);
	packet_pad_to(&p, 100);
	return p;
}

struct packet_buf packet_tcp_frame(const char *src, const char *dst, size_t n)
{
	struct packet_buf p;

	packet_ip(&p, src, dst, IPPROTO_TCP);
	packet_tcp(&p, 1, 2, 0x10);
	packet_pad_to(&p, n);
	return p;
}
