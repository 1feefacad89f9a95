/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf_map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../bpf/qosd_abi.h"
#include "text.h"

/* The kernel's count of a large hash map is approximate: some more than max_entries may be found. */
#define LOOKUP_SLACK 4096u

/* ---- map, the kind ---- */

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static unsigned depth(const char *path)
{
	unsigned n = 0;

	while ((path = strchr(path, '/'))) {
		path++;
		n++;
	}
	return n;
}

/* Outer maps are at the top of the directory: they come before what is put into them. */
static int map_cmp(const struct kobj *a, const struct kobj *b)
{
	unsigned x = depth(a->map.path), y = depth(b->map.path);

	return x != y ? (int)x - (int)y : strcmp(a->map.path, b->map.path);
}

static const char *map_fixed(const struct kobj *before, const struct kobj *after)
{
	const struct kobj_map *x = &before->map, *y = &after->map;

	if (x->type != y->type)
		return "a map's type is fixed at creation";
	if (x->key_size != y->key_size || x->value_size != y->value_size)
		return "the sizes of a map's keys and values are fixed at creation";
	if (x->max_entries != y->max_entries)
		return "a map's size is fixed at creation";
	if (x->flags != y->flags)
		return "a map's flags are fixed at creation";
	if (strcmp(x->outer, y->outer) != 0 || x->slot != y->slot)
		return "a map's slot is fixed at creation";
	return NULL;
}

/* What an outer map was made to hold cannot be observed; QOSD_ABI stands for it. Everything else is fixed. */
static bool map_same(const struct kobj *a, const struct kobj *b)
{
	return !map_fixed(a, b);
}

static const char *type_name(uint32_t type)
{
	const char *name = libbpf_bpf_map_type_str((enum bpf_map_type)type);

	return name ? name : "map";
}

static void map_describe(const struct kobj *o, const char *(*ifname)(void *ctx, int ifindex), void *ctx, FILE *out)
{
	const struct kobj_map *m = &o->map;

	(void)ifname;
	(void)ctx;
	fprintf(out, "map %s %s max %u", m->path, type_name(m->type), m->max_entries);
	if (*m->outer)
		fprintf(out, " in %s slot %u", m->outer, m->slot);
}

const struct kobj_ops bpf_map_ops = {
	.name = "map",
	.cmp = map_cmp,
	.same = map_same,
	.fixed = map_fixed,
	.describe = map_describe,
};

/* ---- entry, the kind
 * ------------------------------------------------------------------------------------------------- */

static int entry_cmp(const struct kobj *a, const struct kobj *b)
{
	const struct kobj_entry *x = &a->entry, *y = &b->entry;
	int order = x->path == y->path ? 0 : strcmp(x->path, y->path);

	if (order)
		return order;
	if (x->key_size != y->key_size)
		return x->key_size < y->key_size ? -1 : 1;
	return memcmp(x->key, y->key, x->key_size);
}

static bool entry_same(const struct kobj *a, const struct kobj *b)
{
	return a->entry.value_size == b->entry.value_size &&
	       !memcmp(a->entry.value, b->entry.value, a->entry.value_size);
}

/* A map whose values have another size is another map, and is rebuilt before its entries are written. */
static const char *entry_fixed(const struct kobj *before, const struct kobj *after)
{
	(void)before;
	(void)after;
	return NULL;
}

static void describe_prefix(const struct qosd_addr *addr, uint32_t bits, FILE *out)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct prefix p = {.bits = bits > 128 ? 128 : (uint8_t)bits};
	char text[TEXT_MAX];

	memcpy(&p.addr, addr, sizeof(p.addr));
	p.v4 = p.bits >= 96 && !memcmp(addr, mapped, sizeof(mapped));
	fprintf(out, " %s", text_format_prefix(text, &p));
}

static void describe_rates(const struct kobj_entry *e, FILE *out)
{
	struct qosd_written w;
	char text[TEXT_MAX];

	memcpy(&w, e->value, sizeof(w));
	if (w.up_Bps)
		fprintf(out, " up %s", text_format_rate(text, w.up_Bps));
	if (w.down_Bps)
		fprintf(out, " down %s", text_format_rate(text, w.down_Bps));
}

static void describe_written(const struct kobj_entry *e, FILE *out)
{
	struct qosd_addr addr;

	memcpy(&addr, e->key, sizeof(addr));
	describe_prefix(&addr, 128, out);
	describe_rates(e, out);
}

static void describe_prefixes(const struct kobj_entry *e, FILE *out)
{
	struct qosd_lpm lpm;

	memcpy(&lpm, e->key, sizeof(lpm));
	describe_prefix(&lpm.addr, lpm.prefixlen, out);
	describe_rates(e, out);
}

static uint32_t number(const struct kobj_entry *e)
{
	uint32_t n;

	memcpy(&n, e->key, sizeof(n));
	return n;
}

static void describe_conf(const struct kobj_entry *e, FILE *out)
{
	static const char *const kinds[] = {
		[QOSD_KIND_PASS] = "pass", [QOSD_KIND_POLICE] = "police", [QOSD_KIND_COUNT] = "count",
		[QOSD_KIND_EDT] = "edt",   [QOSD_KIND_HTB] = "htb",
	};
	struct qosd_class_conf c;
	char text[TEXT_MAX];

	memcpy(&c, e->value, sizeof(c));
	fprintf(out, " class %u %s", number(e), c.kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[c.kind] : "unknown");
	if (c.parent)
		fprintf(out, " parent %u", c.parent);
	if (c.queue)
		fprintf(out, " classid %x:%x queue %u", c.classid >> 16, c.classid & 0xffff, c.queue);
	if (c.mult && c.burst_ns && c.shift < 63) {
		/* The factor is rounded; so is the rate that is told back. */
		unsigned __int128 scaled = (unsigned __int128)1000000000u << c.shift;

		fprintf(out, " rate %s", text_format_rate(text, (uint64_t)((scaled + c.mult / 2) / c.mult)));
		fprintf(out, " %s %s", c.kind == QOSD_KIND_EDT ? "horizon" : "burst",
			text_format_time(text, c.burst_ns));
	}
	if (c.ecn_ns)
		fprintf(out, " ecn %s", text_format_time(text, c.ecn_ns));
	if (c.keyed)
		fputs(" per", out);
	if (c.mtu)
		fprintf(out, " mtu %ub", c.mtu);
	if (c.exceed == QOSD_EXCEED_DSCP)
		fprintf(out, " exceed dscp %s", text_format_dscp(text, c.exceed_dscp));
	else if (c.exceed == QOSD_EXCEED_PASS)
		fputs(" exceed pass", out);
	if (c.conform_continue)
		fputs(" conform continue", out);
	if (c.remark & QOSD_REMARK_DSCP)
		fprintf(out, " remark dscp %s", text_format_dscp(text, c.remark_dscp));
	if (c.remark & QOSD_REMARK_MARK)
		fprintf(out, " remark mark 0x%x/0x%x", c.mark, c.mark_mask);
}

static void describe_key_conf(const struct kobj_entry *e, FILE *out)
{
	struct qosd_key_conf c;
	char text[TEXT_MAX];

	memcpy(&c, e->value, sizeof(c));
	fprintf(out, " class %u per %s", number(e), c.side == QOSD_KEY_SRC ? "src" : "dst");
	fprintf(out, " prefix4 %u prefix6 %u", c.prefix4 - 96u, c.prefix6);
	if (c.set)
		fprintf(out, " set %u %s", c.set - 1, c.up ? "up" : "down");
	if (c.rate_Bps)
		fprintf(out, " rate %s", text_format_rate(text, c.rate_Bps));
	if (c.burst_ns)
		fprintf(out, " burst %s", text_format_time(text, c.burst_ns));
	if (c.burst_bytes)
		fprintf(out, " burst %s", text_format_size(text, c.burst_bytes));
}

static void describe_sets_conf(const struct kobj_entry *e, FILE *out)
{
	struct qosd_set_conf c;
	char text[TEXT_MAX];

	memcpy(&c, e->value, sizeof(c));
	fprintf(out, " set %u", number(e));
	if (c.timeout_ns)
		fprintf(out, " timeout %s", text_format_time(text, c.timeout_ns));
	fprintf(out, " prefixes %u when-full %s", c.n_prefixes,
		c.when_full == QOSD_FULL_EVICT ? "evict-oldest" : "refuse");
	fprintf(out, " from%s%s%s%s", c.from & QOSD_HOW_IP ? " ip" : "", c.from & QOSD_HOW_ARP ? " arp" : "",
		c.from & QOSD_HOW_ND ? " nd" : "", c.from ? "" : " nothing");
}

static void describe_hex(const struct kobj_entry *e, FILE *out)
{
	fputc(' ', out);
	for (unsigned i = 0; i < e->key_size; i++)
		fprintf(out, "%02x", e->key[i]);
	fputs(" = ", out);
	for (unsigned i = 0; i < e->value_size; i++)
		fprintf(out, "%02x", e->value[i]);
}

static void describe_forward(const struct kobj_entry *e, FILE *out)
{
	static const char *const modes[] = {
		[QOSD_FORWARD_NONE] = "none",   [QOSD_FORWARD_EGRESS] = "egress", [QOSD_FORWARD_INGRESS] = "ingress",
		[QOSD_FORWARD_NEIGH] = "neigh", [QOSD_FORWARD_PEER] = "peer",     [QOSD_FORWARD_CLONE] = "clone"};
	struct qosd_forward_conf c;

	memcpy(&c, e->value, sizeof(c));
	fprintf(out, " number %u rule %u %s target %u", number(e), c.rule,
		c.mode < sizeof(modes) / sizeof(modes[0]) ? modes[c.mode] : "unknown", c.target);
	if (c.nexthop) {
		fputs(" nexthop", out);
		describe_prefix(&c.address, 128, out);
	}
	if (c.miss_drop)
		fputs(" on-miss drop", out);
	if (c.off)
		fputs(" off", out);
}

static void describe_target(const struct kobj_entry *e, FILE *out)
{
	struct qosd_target t;

	memcpy(&t, e->value, sizeof(t));
	fprintf(out, " slot %u", number(e));
	if (!t.ifindex) {
		fputs(" away", out);
		return;
	}
	fprintf(out, " ifindex %u%s%s%s", t.ifindex, t.l2_len ? "" : " layer 3", t.peer ? " with a peer elsewhere" : "",
		t.vlan ? " vlan" : "");
}

static const struct {
	const char *name; /* last part of the map's path */
	size_t key_size, value_size;
	void (*describe)(const struct kobj_entry *e, FILE *out);
} layouts[] = {
	{"written", sizeof(struct qosd_addr), sizeof(struct qosd_written), describe_written},
	{"prefixes", sizeof(struct qosd_lpm), sizeof(struct qosd_written), describe_prefixes},
	{"conf", sizeof(uint32_t), sizeof(struct qosd_class_conf), describe_conf},
	{"key_conf", sizeof(uint32_t), sizeof(struct qosd_key_conf), describe_key_conf},
	{"sets_conf", sizeof(uint32_t), sizeof(struct qosd_set_conf), describe_sets_conf},
	{"forwards", sizeof(uint32_t), sizeof(struct qosd_forward_conf), describe_forward},
	{"targets", sizeof(uint32_t), sizeof(struct qosd_target), describe_target},
};

static void entry_describe(const struct kobj *o, const char *(*ifname)(void *ctx, int ifindex), void *ctx, FILE *out)
{
	const struct kobj_entry *e = &o->entry;
	void (*describe)(const struct kobj_entry *, FILE *) = describe_hex;

	(void)ifname;
	(void)ctx;
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (!strcmp(last_part(e->path), layouts[i].name) && e->key_size == layouts[i].key_size &&
		    e->value_size == layouts[i].value_size)
			describe = layouts[i].describe;
	fprintf(out, "entry %s", e->path);
	describe(e, out);
}

const struct kobj_ops bpf_entry_ops = {
	.name = "entry",
	.cmp = entry_cmp,
	.same = entry_same,
	.fixed = entry_fixed,
	.describe = entry_describe,
};

/* ---- making and observing
 * -------------------------------------------------------------------------------------------- */

/* "pin.conf", "pin.learned.3". The kernel takes letters, digits, '_' and '.' in names. */
static void name_of(const struct kobj_map *m, char name[BPF_OBJ_NAME_LEN])
{
	char slot[12] = "", part[BPF_OBJ_NAME_LEN];

	if (*m->outer)
		(void)snprintf(slot, sizeof(slot), ".%u", m->slot);                       /* fits */
	(void)snprintf(part, sizeof(part), BPF_MAP_NAME_PREFIX "%s", last_part(m->path)); /* cut to fit */
	part[BPF_OBJ_NAME_LEN - 1 - strlen(slot)] = '\0';
	(void)strcat(strcpy(name, part), slot);
	for (char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '.')
			*c = '_';
}

bool bpf_map_slot(const char *name, uint32_t *slot)
{
	const char *dot;
	char *end;

	if (strncmp(name, BPF_MAP_NAME_PREFIX, strlen(BPF_MAP_NAME_PREFIX)) != 0)
		return false;
	dot = strchr(name + strlen(BPF_MAP_NAME_PREFIX), '.');
	if (!dot || !isdigit((unsigned char)dot[1]))
		return false;
	*slot = (uint32_t)strtoul(dot + 1, &end, 10);
	return !*end;
}

/* An outer map is made after a template of what it may hold; the template's own size does not matter. */
static int make_template(const struct kobj_map *m)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = m->inner_flags);

	return bpf_map_create((enum bpf_map_type)m->inner_type, "template", m->inner_key_size, m->inner_value_size, 1,
			      &opts);
}

int bpf_map_make(const struct kobj_map *m)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = m->flags);
	char name[BPF_OBJ_NAME_LEN];
	int fd, template = -1;

	name_of(m, name);
	if (m->type == BPF_MAP_TYPE_ARRAY_OF_MAPS) {
		template = make_template(m);
		if (template <0)
			return template;
		opts.inner_map_fd = (uint32_t) template;
	}
	fd = bpf_map_create((enum bpf_map_type)m->type, name, m->key_size, m->value_size, m->max_entries, &opts);
	if (template >= 0)
		(void)close(template); /* the outer map keeps a copy of what matters */
	return fd;
}

int bpf_map_observe(int fd, struct kobj_map *out, uint32_t *id, char *name)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);
	int err = bpf_obj_get_info_by_fd(fd, &info, &len);

	if (err)
		return err;
	*out = (struct kobj_map){
		.path = "",
		.type = info.type,
		.key_size = info.key_size,
		.value_size = info.value_size,
		.max_entries = info.max_entries,
		.flags = info.map_flags,
		.outer = "",
	};
	if (id)
		*id = info.id;
	if (name)
		memcpy(name, info.name, BPF_OBJ_NAME_LEN);
	return 0;
}

int bpf_map_set_slot(int outer_fd, uint32_t slot, int fd)
{
	int err = fd < 0 ? bpf_map_delete_elem(outer_fd, &slot) : bpf_map_update_elem(outer_fd, &slot, &fd, BPF_ANY);

	return fd < 0 && err == -ENOENT ? 0 : err;
}

/* ---- contents ---- */

/* All entries of a map at once. */
struct contents {
	struct kobj_map map;
	size_t value_size; /* with every CPU's */
	char *keys, *values;
	size_t n;
};

static bool is_array(const struct kobj_map *m)
{
	return m->type == BPF_MAP_TYPE_ARRAY || m->type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

static void contents_clear(struct contents *c)
{
	free(c->keys);
	free(c->values);
}

static int contents_size(int fd, struct contents *c)
{
	int cpus, err = bpf_map_observe(fd, &c->map, NULL, NULL);

	if (err)
		return err;
	c->value_size = c->map.value_size;
	if (c->map.type != BPF_MAP_TYPE_PERCPU_ARRAY)
		return 0;
	cpus = libbpf_num_possible_cpus();
	if (cpus < 0)
		return cpus;
	c->value_size = ((c->value_size + 7) & ~(size_t)7) * (size_t)cpus;
	return 0;
}

static int contents_read(int fd, struct contents *c)
{
	char batch[KOBJ_KEY_MAX + 8], *from = NULL;
	size_t room;
	int err;

	*c = (struct contents){0};
	err = contents_size(fd, c);
	if (err)
		return err;
	if (c->map.key_size > KOBJ_KEY_MAX)
		return -EINVAL;
	room = (size_t)c->map.max_entries + (is_array(&c->map) ? 0 : LOOKUP_SLACK);
	c->keys = xcalloc(room, c->map.key_size);
	c->values = xcalloc(room, c->value_size);
	while (!err && c->n < room) {
		uint32_t count = (uint32_t)(room - c->n);

		err = bpf_map_lookup_batch(fd, from, batch, c->keys + c->n * c->map.key_size,
					   c->values + c->n * c->value_size, &count, NULL);
		if (!err || err == -ENOENT)
			c->n += count;
		from = batch;
	}
	if (!err || err == -ENOENT) /* the latter is how the kernel says that this was all */
		return 0;
	contents_clear(c);
	return err;
}

static bool is_zero(const char *p, size_t n)
{
	while (n && !*p) {
		p++;
		n--;
	}
	return !n;
}

/* Sorts the entries named in order by one byte of their keys; those that are alike in it stay as they are. spare is as
 * large. */
static void sort_by_byte(const struct contents *c, uint32_t byte, uint32_t **order, uint32_t **spare)
{
	const uint8_t *keys = (const uint8_t *)c->keys + byte;
	size_t next[256] = {0}, count, sum = 0;
	uint32_t *sorted = *spare;

	for (size_t i = 0; i < c->n; i++)
		next[keys[i * c->map.key_size]]++;
	if (next[keys[0]] == c->n)
		return;
	for (size_t b = 0; b < 256; b++) {
		count = next[b];
		next[b] = sum;
		sum += count;
	}
	for (size_t i = 0; i < c->n; i++) {
		uint32_t entry = (*order)[i];

		sorted[next[keys[(size_t)entry * c->map.key_size]]++] = entry;
	}
	*spare = *order;
	*order = sorted;
}

/* The entries by key, as memcmp has them: from the last byte to the first. A hash map tells them in no order, and to
 * sort 100,000 of them later by comparing takes ten times as long. */
static uint32_t *order_of(const struct contents *c)
{
	uint32_t *order = xcalloc(c->n, sizeof(*order)), *spare = xcalloc(c->n, sizeof(*spare));

	for (size_t i = 0; i < c->n; i++)
		order[i] = (uint32_t)i;
	for (uint32_t byte = c->map.key_size; c->n && byte > 0; byte--)
		sort_by_byte(c, byte - 1, &order, &spare);
	free(spare);
	return order;
}

int bpf_map_each(int fd, void (*expect)(void *ctx, size_t n), int (*fn)(void *ctx, const void *key, const void *value),
		 void *ctx)
{
	struct contents c;
	int err = contents_read(fd, &c);
	uint32_t *order;

	if (err)
		return err;
	order = order_of(&c);
	if (expect && !is_array(&c.map))
		expect(ctx, c.n);
	for (size_t i = 0; i < c.n && !err; i++) {
		const char *key = c.keys + (size_t)order[i] * c.map.key_size;
		const char *value = c.values + (size_t)order[i] * c.value_size;

		if (is_array(&c.map) && is_zero(value, c.value_size))
			continue;
		err = fn(ctx, key, value);
		err = err < 0 ? err : 0;
	}
	free(order);
	contents_clear(&c);
	return err;
}

int bpf_map_put(int fd, const struct kobj_entry *e)
{
	return bpf_map_update_elem(fd, e->key, e->value, BPF_ANY);
}

int bpf_map_put_many(int fd, const struct kobj_entry *const *e, size_t n, size_t *done)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	char *keys = xcalloc(n, e[0]->key_size), *values = xcalloc(n, e[0]->value_size);
	uint32_t count = (uint32_t)n;
	int err;

	for (size_t i = 0; i < n; i++) {
		memcpy(keys + i * e[0]->key_size, e[i]->key, e[0]->key_size);
		memcpy(values + i * e[0]->value_size, e[i]->value, e[0]->value_size);
	}
	err = bpf_map_update_batch(fd, keys, values, &count, &opts);
	*done = !err ? n : count < n ? count : 0; /* a call that was refused as a whole leaves count as it was */
	free(keys);
	free(values);
	return err;
}

bool bpf_map_has(int fd, const struct kobj_entry *e, bool there)
{
	char value[KOBJ_VALUE_MAX];
	struct kobj_map m = {0};

	if (bpf_map_observe(fd, &m, NULL, NULL) < 0 || m.value_size > sizeof(value))
		return false;
	if (bpf_map_lookup_elem(fd, e->key, value) < 0)
		return !there;
	return there ? !memcmp(value, e->value, e->value_size) : is_array(&m) && is_zero(value, m.value_size);
}

int bpf_map_remove(int fd, const struct kobj_entry *e)
{
	static const char zeros[KOBJ_VALUE_MAX];
	struct kobj_map m;
	int err = bpf_map_observe(fd, &m, NULL, NULL);

	if (err)
		return err;
	/* An array has all its entries for ever. */
	if (is_array(&m))
		return bpf_map_update_elem(fd, e->key, zeros, BPF_ANY);
	err = bpf_map_delete_elem(fd, e->key);
	return err == -ENOENT ? 0 : err;
}

int bpf_map_clear(int fd)
{
	struct kobj_map m = {0};
	char key[KOBJ_KEY_MAX];
	int err = bpf_map_observe(fd, &m, NULL, NULL);

	if (err || m.type != BPF_MAP_TYPE_HASH || m.key_size > sizeof(key))
		return err ? err : -EINVAL;
	/* As many as there can be: others may put some in meanwhile. */
	for (uint32_t i = 0; i < m.max_entries && bpf_map_get_next_key(fd, NULL, key) == 0; i++) {
		err = bpf_map_delete_elem(fd, key);
		if (err && err != -ENOENT)
			return err;
	}
	return 0;
}

int bpf_map_reset(int fd, uint32_t key)
{
	struct contents c = {0};
	int err = contents_size(fd, &c);
	char *value;

	if (err)
		return err;
	value = xcalloc(1, c.value_size);
	err = bpf_map_lookup_elem(fd, &key, value);
	if (!err && !is_zero(value, c.value_size)) {
		memset(value, 0, c.value_size);
		err = bpf_map_update_elem(fd, &key, value, BPF_ANY);
	}
	free(value);
	return err;
}

/* ---- copying
 * --------------------------------------------------------------------------------------------------------- */

static int copy_slot(int from, int to, uint32_t slot)
{
	uint32_t id;
	int err, fd;

	if (bpf_map_lookup_elem(from, &slot, &id) < 0)
		return 0; /* empty */
	fd = bpf_map_get_fd_by_id(id);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd; /* it went away meanwhile */
	err = bpf_map_set_slot(to, slot, fd);
	(void)close(fd); /* the slot holds it */
	return err;
}

static int copy_slots(int from, int to, uint32_t n)
{
	int err = 0;

	for (uint32_t slot = 0; slot < n && !err; slot++)
		err = copy_slot(from, to, slot);
	return err;
}

static const char *value_at(const struct contents *c, size_t i)
{
	return c->values + i * c->value_size;
}

static int newest_first(const void *a, const void *b, void *ctx)
{
	struct qosd_learned x, y;

	memcpy(&x, value_at(ctx, *(const size_t *)a), sizeof(x));
	memcpy(&y, value_at(ctx, *(const size_t *)b), sizeof(y));
	return (x.last_ns < y.last_ns) - (x.last_ns > y.last_ns);
}

static bool fits(const struct contents *c, size_t i, const struct kobj_map *to)
{
	uint32_t index;

	if (!is_array(to))
		return true;
	memcpy(&index, c->keys + i * c->map.key_size, sizeof(index));
	return index < to->max_entries;
}

/* Numbers of the entries to copy, in the order in which they matter; how many. */
static size_t choose(struct contents *c, const struct kobj_map *to, bool by_age,
		     bool (*leave_out)(void *ctx, const void *key), void *ctx, size_t *chosen)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		if (fits(c, i, to) && (!leave_out || !leave_out(ctx, c->keys + i * c->map.key_size)))
			chosen[n++] = i;
	if (by_age && c->value_size == sizeof(struct qosd_learned) && n)
		qsort_r(chosen, n, sizeof(*chosen), newest_first, c);
	return n < to->max_entries ? n : to->max_entries;
}

static int write_chosen(int to, const struct contents *c, const size_t *chosen, size_t n)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	char *keys = xcalloc(n, c->map.key_size), *values = xcalloc(n, c->value_size);
	uint32_t count = (uint32_t)n;
	int err = 0;

	for (size_t i = 0; i < n; i++) {
		memcpy(keys + i * c->map.key_size, c->keys + chosen[i] * c->map.key_size, c->map.key_size);
		memcpy(values + i * c->value_size, value_at(c, chosen[i]), c->value_size);
	}
	if (n)
		err = bpf_map_update_batch(to, keys, values, &count, &opts);
	free(keys);
	free(values);
	/* Full before the end where the map was not empty: the rest does not fit. */
	return err == -E2BIG ? 0 : err;
}

int bpf_map_copy(int from, int to, bool by_age, bool (*leave_out)(void *ctx, const void *key), void *ctx)
{
	struct kobj_map target, source;
	struct contents c;
	size_t *chosen, n;
	int err = bpf_map_observe(to, &target, NULL, NULL);

	if (!err)
		err = bpf_map_observe(from, &source, NULL, NULL);
	if (err || source.type != target.type || source.type == BPF_MAP_TYPE_RINGBUF)
		return err;
	if (source.type == BPF_MAP_TYPE_ARRAY_OF_MAPS)
		return copy_slots(from, to,
				  source.max_entries < target.max_entries ? source.max_entries : target.max_entries);
	if (source.key_size != target.key_size || source.value_size != target.value_size)
		return 0; /* another layout: nothing of it can be kept */
	err = contents_read(from, &c);
	if (err)
		return err;
	chosen = xcalloc(c.n, sizeof(*chosen));
	n = choose(&c, &target, by_age, leave_out, ctx, chosen);
	err = write_chosen(to, &c, chosen, n);
	free(chosen);
	contents_clear(&c);
	return err;
}
