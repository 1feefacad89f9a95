/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "learn.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "log.h"
#include "mem.h"
#include "pins.h"
#include "reload.h"

#define FORMAT_VERSION 1
#define BATCH          1024 /* entries read at once */
#define BURST          1024 /* newcomers remembered in one pass over the ring */
#define EVENTS_A_PASS  8192 /* what is read in one pass; the ring holds about 4,600 */
#define MS             1000000ull

struct evicted {
	char *set;
	uint64_t n;
};

/* A newcomer that the map had no room for. */
struct newcomer {
	uint32_t slot;
	struct qosd_addr addr;
	struct qosd_learned value;
};

struct learn {
	struct shaper *shaper;
	char *path;  /* learned.json */
	char **kept; /* sets that had learned addresses before we came */
	size_t n_kept;
	struct evicted *evicted;
	size_t n_evicted;
	struct ring_buffer *ring;
	int ring_map;     /* our own fd */
	uint32_t ring_id; /* of the map */
	struct newcomer burst[BURST];
	size_t n_burst;
	unsigned n_events;
};

/* ---- pure -----------------------------------------------------------------------------------------------------------
 */

uint64_t learn_age_ns(uint64_t now_ns, uint64_t then_ns)
{
	/* Modular, as the clock starts near 0 at boot and an address from before has a stamp "before 0". */
	int64_t age = (int64_t)(now_ns - then_ns);

	return age > 0 ? (uint64_t)age : 0;
}

static const struct {
	uint32_t bit;
	const char *name;
} hows[] = {
	{QOSD_HOW_IP, "ip"},
	{QOSD_HOW_ARP, "arp"},
	{QOSD_HOW_ND, "nd"},
	{QOSD_HOW_RESTORED, "restored"},
};

json_t *learn_how(uint32_t how)
{
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++)
		if (how & hows[i].bit)
			json_array_append_new(list, json_string(hows[i].name));
	return list;
}

static int decode_how(const json_t *list, uint32_t *how)
{
	size_t i, k;
	json_t *name;

	*how = 0;
	json_array_foreach (list, i, name) {
		for (k = 0; k < sizeof(hows) / sizeof(hows[0]); k++)
			if (json_is_string(name) && strcmp(hows[k].name, json_string_value(name)) == 0)
				break;
		if (k == sizeof(hows) / sizeof(hows[0]))
			return -EINVAL;
		*how |= hows[k].bit;
	}
	return json_is_array(list) ? 0 : -EINVAL;
}

struct prefix learn_prefix(const struct qosd_addr *a)
{
	struct prefix p = {.bits = 128};

	memcpy(&p.addr, a, sizeof(p.addr));
	p.v4 = IN6_IS_ADDR_V4MAPPED(&p.addr);
	return p;
}

/* A heap with the youngest on top, the one that goes when an older one comes. */
void learn_oldest_offer(struct learn_oldest *o, const struct qosd_addr *a, uint64_t age_ns)
{
	struct learn_seen new = {*a, age_ns};
	size_t at;

	if (o->n < o->room) {
		for (at = o->n++; at && o->v[(at - 1) / 2].age_ns > age_ns; at = (at - 1) / 2)
			o->v[at] = o->v[(at - 1) / 2];
		o->v[at] = new;
		return;
	}
	if (!o->n || o->v[0].age_ns >= age_ns)
		return;
	for (at = 0;;) {
		size_t child = at * 2 + 1;

		if (child + 1 < o->n && o->v[child + 1].age_ns < o->v[child].age_ns)
			child++;
		if (child >= o->n || o->v[child].age_ns >= age_ns)
			break;
		o->v[at] = o->v[child];
		at = child;
	}
	o->v[at] = new;
}

size_t learn_room(size_t n, uint32_t max)
{
	size_t quarter = max / 4 ? max / 4 : 1;

	return n < quarter ? n : quarter;
}

json_t *learn_kept_encode(const struct learn_kept *k)
{
	struct prefix p = learn_prefix(&k->addr);
	char address[TEXT_MAX];

	return json_pack("{s:s, s:I, s:I, s:o, s:o}", "address", text_format_prefix(address, &p), "age_ms",
			 (json_int_t)(k->age_ns / MS), "known_ms", (json_int_t)(k->known_ns / MS), "interface",
			 file_json_name(k->ifname), "how", learn_how(k->how));
}

static int decode_ms(const json_t *j, uint64_t *ns)
{
	json_int_t ms = json_integer_value(j);

	if (!json_is_integer(j) || ms < 0 || (uint64_t)ms > INT64_MAX / MS)
		return -EINVAL;
	*ns = (uint64_t)ms * MS;
	return 0;
}

int learn_kept_decode(const json_t *j, struct learn_kept *out)
{
	const char *address = json_string_value(json_object_get(j, "address"));
	const char *ifname = json_string_value(json_object_get(j, "interface"));
	const char *why;
	struct prefix p;

	memset(out, 0, sizeof(*out));
	if (!address || text_prefix(address, &p, &why) < 0 || p.bits != 128)
		return -EINVAL;
	memcpy(&out->addr, &p.addr, sizeof(out->addr));
	if (!ifname || strlen(ifname) >= sizeof(out->ifname))
		return -EINVAL;
	strcpy(out->ifname, ifname); /* measured just above */
	if (decode_ms(json_object_get(j, "age_ms"), &out->age_ns) < 0 ||
	    decode_ms(json_object_get(j, "known_ms"), &out->known_ns) < 0)
		return -EINVAL;
	return decode_how(json_object_get(j, "how"), &out->how);
}

static bool is_unicast(const struct prefix *p)
{
	uint8_t first = p->addr.s6_addr[12];

	if (p->v4)
		return first != 0 && first != 127 && first < 224;
	return !IN6_IS_ADDR_MULTICAST(&p->addr) && !IN6_IS_ADDR_LOOPBACK(&p->addr) &&
	       !IN6_IS_ADDR_UNSPECIFIED(&p->addr);
}

/* As the programs decide it, see bpf/learn.bpf.h. */
static bool may_learn(const struct model_set *set, const struct qosd_addr *a)
{
	struct prefix p = learn_prefix(a);

	if (!is_unicast(&p))
		return false;
	for (size_t i = 0; i < set->learn.n_within; i++)
		if (set->learn.within[i].v4 == p.v4 && prefix_contains(&set->learn.within[i], &p))
			return true;
	return !set->learn.n_within && !IN6_IS_ADDR_LINKLOCAL(&p.addr);
}

static int younger_first(const void *a, const void *b)
{
	const struct learn_kept *x = a, *y = b;

	return x->age_ns < y->age_ns ? -1 : x->age_ns > y->age_ns;
}

int learn_select(const json_t *list, const struct model_set *set, uint64_t elapsed_ns, struct learn_kept **out)
{
	struct learn_kept *v = xcalloc(json_array_size(list), sizeof(*v));
	size_t i, n = 0;
	json_t *j;

	json_array_foreach (list, i, j) {
		struct learn_kept *k = &v[n];

		if (learn_kept_decode(j, k) < 0) {
			free(v);
			return -EINVAL;
		}
		k->age_ns += elapsed_ns;
		k->known_ns += elapsed_ns;
		if (may_learn(set, &k->addr) && (!set->learn.timeout_ns || k->age_ns <= set->learn.timeout_ns))
			n++;
	}
	if (n)
		qsort(v, n, sizeof(*v), younger_first);
	*out = v;
	return (int)(n < set->learn.max ? n : set->learn.max);
}

/* ---- maps -----------------------------------------------------------------------------------------------------------
 */

uint64_t learn_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / MS;
}

int learn_map(struct learn *l, const char *set)
{
	char path[64];

	/* A set's name has at most 48 letters. */
	(void)snprintf(path, sizeof(path), "sets/%s/learned", set);
	return pins_map(shaper_pins(l->shaper), path);
}

int learn_each(int map, int (*fn)(void *ctx, const struct qosd_addr *a, const struct qosd_learned *e), void *ctx)
{
	uint32_t room = BATCH, count, position = 0;
	struct qosd_addr *keys = xcalloc(room, sizeof(*keys));
	struct qosd_learned *values = xcalloc(room, sizeof(*values));
	bool first = true;
	int err, stop = 0;

	do {
		count = room;
		err = bpf_map_lookup_batch(map, first ? NULL : &position, &position, keys, values, &count, NULL);
		if (err == -ENOSPC && room < 1u << 24) {
			/* A bucket of the hash has more entries than there is room for. */
			room *= 2;
			keys = xrealloc(keys, room * sizeof(*keys));
			values = xrealloc(values, room * sizeof(*values));
			err = 0;
			continue;
		}
		if (err && err != -ENOENT) /* ENOENT: these were the last */
			break;
		first = false;
		for (uint32_t i = 0; i < count && !stop; i++)
			stop = fn(ctx, &keys[i], &values[i]);
	} while (!err && !stop);
	free(keys);
	free(values);
	return stop ? stop : err == -ENOENT ? 0 : err;
}

/* The sets in force that learn, one after the other: i is where to go on. NULL at the end. */
static const struct plan_set *next_set(const struct learn *l, size_t *i)
{
	const struct reload_result *now = shaper_current(l->shaper);

	while (now && *i < now->plan->sets.n) {
		const struct plan_set *s = &now->plan->sets.v[(*i)++];

		if (s->set->learns)
			return s;
	}
	return NULL;
}

/* ---- ageing ---------------------------------------------------------------------------------------------------------
 */

struct sweep {
	int map;
	uint64_t now_ns, timeout_ns;
	unsigned n;
};

static int age_one(void *ctx, const struct qosd_addr *a, const struct qosd_learned *e)
{
	struct sweep *s = ctx;
	struct qosd_learned again;

	if (learn_age_ns(s->now_ns, e->last_ns) <= s->timeout_ns)
		return 0;
	/* It may have been seen again since the batch was read. */
	if (bpf_map_lookup_elem(s->map, a, &again) < 0 || learn_age_ns(s->now_ns, again.last_ns) <= s->timeout_ns)
		return 0;
	if (bpf_map_delete_elem(s->map, a) == 0)
		s->n++;
	return 0;
}

unsigned learn_age(struct learn *l)
{
	unsigned n = 0;
	size_t i = 0;

	for (const struct plan_set *s; (s = next_set(l, &i));) {
		struct sweep sweep = {.map = learn_map(l, s->set->name),
				      .now_ns = learn_now_ns(),
				      .timeout_ns = s->set->learn.timeout_ns};
		int err;

		if (sweep.map < 0 || !sweep.timeout_ns)
			continue;
		err = learn_each(sweep.map, age_one, &sweep);
		if (err)
			log_warning("cannot age the addresses of set %s: %s", s->set->name, strerror(-err));
		n += sweep.n;
	}
	return n;
}

int learn_forget(struct learn *l, const char *set, const struct prefix *p)
{
	int map = learn_map(l, set);
	struct qosd_addr a;

	if (map < 0 || p->bits != 128)
		return -ENOENT;
	memcpy(&a, &p->addr, sizeof(a));
	return bpf_map_delete_elem(map, &a);
}

/* ---- making room ----------------------------------------------------------------------------------------------------
 */

static uint64_t *evicted_of(struct learn *l, const char *set)
{
	for (size_t i = 0; i < l->n_evicted; i++)
		if (strcmp(l->evicted[i].set, set) == 0)
			return &l->evicted[i].n;
	l->evicted = xrealloc(l->evicted, (l->n_evicted + 1) * sizeof(*l->evicted));
	l->evicted[l->n_evicted] = (struct evicted){.set = xstrdup(set)};
	return &l->evicted[l->n_evicted++].n;
}

uint64_t learn_evicted(const struct learn *l, const char *set)
{
	for (size_t i = 0; i < l->n_evicted; i++)
		if (strcmp(l->evicted[i].set, set) == 0)
			return l->evicted[i].n;
	return 0;
}

struct survey {
	struct learn_oldest oldest;
	uint64_t now_ns;
	size_t n;
};

static int survey_one(void *ctx, const struct qosd_addr *a, const struct qosd_learned *e)
{
	struct survey *s = ctx;

	s->n++;
	learn_oldest_offer(&s->oldest, a, learn_age_ns(s->now_ns, e->last_ns));
	return 0;
}

/* The newcomers of this slot to the front of the burst, each once and none that is in the map by now. How many. */
static size_t gather(struct learn *l, uint32_t slot, int map)
{
	struct qosd_learned value;
	size_t n = 0;

	for (size_t i = 0; i < l->n_burst; i++) {
		struct newcomer *c = &l->burst[i], swap;

		if (c->slot != slot || bpf_map_lookup_elem(map, &c->addr, &value) == 0)
			continue;
		swap = l->burst[n];
		l->burst[n++] = *c;
		*c = swap;
	}
	return n;
}

/* Reads the map once, deletes as many of the oldest as are needed and puts the newcomers in. */
static int make_room(struct learn *l, const struct plan_set *s)
{
	int map = learn_map(l, s->set->name), err;
	uint32_t max = s->set->learn.max;
	size_t n = map < 0 ? 0 : learn_room(gather(l, s->slot, map), max), spare;
	struct survey survey = {.now_ns = learn_now_ns()};

	if (!n)
		return map < 0 ? map : 0;
	survey.oldest.room = n;
	survey.oldest.v = xcalloc(n, sizeof(*survey.oldest.v));
	err = learn_each(map, survey_one, &survey);
	spare = survey.n < max ? max - survey.n : 0;
	for (size_t i = 0; !err && i < survey.oldest.n && spare < n; i++, spare++)
		if (bpf_map_delete_elem(map, &survey.oldest.v[i].addr) == 0)
			++*evicted_of(l, s->set->name);
	for (size_t i = 0; !err && i < n; i++) {
		err = bpf_map_update_elem(map, &l->burst[i].addr, &l->burst[i].value, BPF_NOEXIST);
		if (err == -EEXIST || err == -E2BIG) /* the program was faster, with this one or with another */
			err = 0;
	}
	free(survey.oldest.v);
	return err;
}

static bool is_new(const struct learn *l, const struct qosd_event *e)
{
	for (size_t i = 0; i < l->n_burst; i++)
		if (l->burst[i].slot == e->slot && memcmp(&l->burst[i].addr, &e->addr, sizeof(e->addr)) == 0)
			return false;
	return true;
}

/* One record of the ring. Non-zero stops the reading; what is left waits for the next pass. */
static int on_event(void *ctx, void *data, size_t size)
{
	const struct qosd_event *e = data;
	struct learn *l = ctx;

	if (size >= sizeof(*e) && e->type == QOSD_EVENT_SET_FULL && is_new(l, e)) {
		struct newcomer *c = &l->burst[l->n_burst++];

		c->slot = e->slot;
		c->addr = e->addr;
		c->value = (struct qosd_learned){e->now_ns, e->now_ns, e->ifindex, e->how};
	}
	return l->n_burst == BURST || ++l->n_events == EVENTS_A_PASS ? -EAGAIN : 0;
}

void learn_events(struct learn *l)
{
	size_t i = 0;
	int err;

	if (!l->ring)
		return;
	l->n_burst = 0;
	l->n_events = 0;
	err = ring_buffer__consume(l->ring);
	if (err < 0 && err != -EAGAIN)
		log_warning("cannot read the event ring: %s", strerror(-err));
	for (const struct plan_set *s; l->n_burst && (s = next_set(l, &i));) {
		if (s->set->learn.when_full != FULL_EVICT_OLDEST)
			continue;
		err = make_room(l, s);
		if (err)
			log_warning("cannot make room in set %s: %s", s->set->name, strerror(-err));
	}
}

int learn_events_fd(const struct learn *l)
{
	return l->ring ? ring_buffer__epoll_fd(l->ring) : -1;
}

static void close_ring(struct learn *l)
{
	ring_buffer__free(l->ring);
	if (l->ring_map >= 0)
		close(l->ring_map);
	l->ring = NULL;
	l->ring_map = -1;
	l->ring_id = 0;
}

void learn_follow(struct learn *l)
{
	int map = pins_map(shaper_pins(l->shaper), "events");
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);

	if (map >= 0 && bpf_obj_get_info_by_fd(map, &info, &size) == 0 && l->ring && info.id == l->ring_id)
		return;
	close_ring(l);
	if (map < 0)
		return;
	/* A copy of our own: the pins close theirs whenever maps are replaced. */
	l->ring_map = fcntl(map, F_DUPFD_CLOEXEC, 0);
	if (l->ring_map >= 0)
		l->ring = ring_buffer__new(l->ring_map, on_event, l, NULL);
	l->ring_id = info.id;
	if (!l->ring)
		log_warning("cannot open the event ring: %s; sets that are full evict nothing", strerror(errno));
}

/* ---- over a reboot --------------------------------------------------------------------------------------------------
 */

struct saving {
	struct learn *learn;
	const struct model_set *set;
	uint64_t now_ns;
	FILE *out;
	bool comma;
};

static int save_one(void *ctx, const struct qosd_addr *a, const struct qosd_learned *e)
{
	struct saving *s = ctx;
	const struct link *link = links_by_index(shaper_links(s->learn->shaper), (int)e->ifindex);
	struct learn_kept k = {.addr = *a,
			       .age_ns = learn_age_ns(s->now_ns, e->last_ns),
			       .known_ns = learn_age_ns(s->now_ns, e->first_ns),
			       .how = e->how};
	json_t *j;
	char *line;

	if (s->set->learn.timeout_ns && k.age_ns > s->set->learn.timeout_ns)
		return 0;
	if (link)
		memcpy(k.ifname, link->name, sizeof(k.ifname));
	j = learn_kept_encode(&k);
	line = json_dumps(j, JSON_COMPACT);
	json_decref(j);
	if (!line)
		return -ENOMEM;
	fprintf(s->out, "%s\n%s", s->comma ? "," : "", line);
	free(line);
	s->comma = true;
	return 0;
}

/* Written line by line: the map may hold many, and one JSON tree of all would be ten times as large. */
static int write_sets(struct learn *l, FILE *out)
{
	struct saving s = {.learn = l, .now_ns = learn_now_ns(), .out = out};
	const char *comma = "";
	int err = 0;
	size_t i = 0;

	fprintf(out, "{\"version\": %d, \"saved_unix_ms\": %llu, \"sets\": {", FORMAT_VERSION,
		(unsigned long long)wall_ms());
	for (const struct plan_set *p; !err && (p = next_set(l, &i));) {
		int map = learn_map(l, p->set->name);

		s.set = p->set;
		s.comma = false;
		fprintf(out, "%s\n\"%s\": [", comma, p->set->name);
		err = map < 0 ? map : learn_each(map, save_one, &s);
		fputs("]", out);
		comma = ",";
	}
	fputs("}}\n", out);
	return err;
}

int learn_save(struct learn *l)
{
	char *text = NULL;
	size_t size = 0, i = 0;
	FILE *out;
	int err;

	if (!next_set(l, &i))
		return 0;
	out = open_memstream(&text, &size);
	if (!out)
		return -errno;
	err = write_sets(l, out);
	if (fclose(out) != 0 && !err)
		err = -ENOMEM;
	if (!err)
		err = file_write(l->path, text, size);
	free(text);
	return err;
}

static bool was_there(const struct learn *l, const char *set)
{
	for (size_t i = 0; i < l->n_kept; i++)
		if (strcmp(l->kept[i], set) == 0)
			return true;
	return false;
}

static int restore_set(struct learn *l, const struct model_set *set, const json_t *list, uint64_t elapsed_ns)
{
	int map = learn_map(l, set->name), n, done = 0;
	uint64_t now_ns = learn_now_ns();
	struct learn_kept *v = NULL;

	if (map < 0)
		return map;
	n = learn_select(list, set, elapsed_ns, &v);
	for (int i = 0; i < n; i++) {
		const struct link *link = links_by_name(shaper_links(l->shaper), v[i].ifname);
		struct qosd_learned value = {.first_ns = now_ns - v[i].known_ns,
					     .last_ns = now_ns - v[i].age_ns,
					     .ifindex = link ? (uint32_t)link->ifindex : 0,
					     .how = v[i].how | QOSD_HOW_RESTORED};

		/* What was seen meanwhile, or found the map full, is not an error. */
		if (bpf_map_update_elem(map, &v[i].addr, &value, BPF_NOEXIST) == 0)
			done++;
	}
	free(v);
	return n < 0 ? n : done;
}

int learn_restore(struct learn *l)
{
	const json_t *sets, *saved;
	uint64_t now_ms = wall_ms(), saved_ms, elapsed_ns;
	json_t *root;
	size_t i = 0;
	int total = 0;

	if (access(l->path, F_OK) < 0)
		return errno == ENOENT ? 0 : -errno;
	root = json_load_file(l->path, JSON_REJECT_DUPLICATES, NULL);
	sets = json_object_get(root, "sets");
	saved = json_object_get(root, "saved_unix_ms");
	if (!json_is_object(sets) || !json_is_integer(saved) || json_integer_value(saved) < 0 ||
	    json_integer_value(json_object_get(root, "version")) != FORMAT_VERSION) {
		json_decref(root);
		return -EINVAL;
	}
	/* A clock that stands before the time of saving (no battery, no NTP yet) tells nothing: as if no time had
	 * passed. */
	saved_ms = (uint64_t)json_integer_value(saved);
	elapsed_ns = now_ms > saved_ms && now_ms - saved_ms < INT64_MAX / MS ? (now_ms - saved_ms) * MS : 0;
	for (const struct plan_set *s; total >= 0 && (s = next_set(l, &i));) {
		const json_t *list = json_object_get(sets, s->set->name);
		int n = !list || was_there(l, s->set->name) ? 0 : restore_set(l, s->set, list, elapsed_ns);

		total = n < 0 ? n : total + n;
	}
	json_decref(root);
	return total;
}

/* ---- opening and closing --------------------------------------------------------------------------------------------
 */

/* Remembers the set of a learned map that is pinned already and holds something. */
static int note_kept(void *ctx, const char *path, int fd)
{
	static const char first[] = "sets/", last[] = "/learned";
	struct learn *l = ctx;
	size_t n = strlen(path);
	struct qosd_addr any;

	if (strncmp(path, first, strlen(first)) != 0 || n < strlen(first) + strlen(last) ||
	    strcmp(path + n - strlen(last), last) != 0 || bpf_map_get_next_key(fd, NULL, &any) < 0)
		return 0;
	l->kept = xrealloc(l->kept, (l->n_kept + 1) * sizeof(*l->kept));
	l->kept[l->n_kept] = xstrdup(path + strlen(first));
	l->kept[l->n_kept++][n - strlen(first) - strlen(last)] = 0;
	return 0;
}

struct learn *learn_new(struct shaper *s)
{
	struct learn *l = xcalloc(1, sizeof(*l));
	char path[PATH_MAX];

	l->shaper = s;
	l->ring_map = -1;
	(void)snprintf(path, sizeof(path), "%s/learned.json",
		       shaper_paths(s)->state_dir); /* too long: refused on opening */
	l->path = xstrdup(path);
	(void)pins_each(shaper_pins(s), note_kept, l); /* nothing there yet: nothing was kept */
	return l;
}

void learn_free(struct learn *l)
{
	if (!l)
		return;
	close_ring(l);
	for (size_t i = 0; i < l->n_kept; i++)
		free(l->kept[i]);
	for (size_t i = 0; i < l->n_evicted; i++)
		free(l->evicted[i].set);
	free(l->kept);
	free(l->evicted);
	free(l->path);
	free(l);
}
