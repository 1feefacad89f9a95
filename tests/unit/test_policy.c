/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From the text of a policy to what was written, and what becomes of texts that are no policies. How each mistake is
 * told is in tests/golden/bad.
 */
#include "match.h"
#include "node.h"
#include "policy.h"
#include "schema.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	struct arena *a;
	struct diag *d;
	char dir[32]; /* of its own; removed with what the tests put there */
};

static const char *const files[] = {
	"qosd.yaml", "policy.d/10.yaml", "policy.d/20.yaml", "policy.d/.hidden.yaml", "policy.d/readme.txt", "policy.d",
	"fifo"};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->a = arena_new();
	f->d = diag_new();
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/test_policy.XXXXXX");
	*state = f;
	return mkdtemp(f->dir) ? 0 : -1;
}

static const char *path(struct fixture *f, const char *name)
{
	return arena_printf(f->a, "%s/%s", f->dir, name);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		(void)remove(path(f, files[i])); /* most tests make none */
	(void)rmdir(f->dir);
	diag_free(f->d);
	arena_free(f->a);
	free(f);
	return 0;
}

static const char *put(struct fixture *f, const char *name, const char *text)
{
	FILE *out = fopen(path(f, name), "we");

	assert_non_null(out);
	assert_int_equal(fwrite(text, 1, strlen(text), out), strlen(text));
	assert_int_equal(fclose(out), 0);
	return path(f, name);
}

static struct policy *parse(struct fixture *f, const char *text)
{
	return policy_parse(f->a, f->d, "test.yaml", text, strlen(text));
}

static struct policy *parse_good(struct fixture *f, const char *text)
{
	struct policy *p = parse(f, text);

	diag_print(f->d, stderr);
	assert_int_equal(diag_errors(f->d), 0);
	assert_false(p->cut);
	return p;
}

static const char *first_id(struct fixture *f)
{
	return diag_count(f->d) ? diag_get(f->d, 0)->id : "";
}

/* ---- what was written ------------------------------------------------------------------------------------------ */

static const char whole[] = "version: 1\n"
			    "vars: {DOWN: 95mbit, ssh_port: 22}\n"
			    "settings:\n"
			    "  on-stop: remove\n"
			    "  takeover: replace\n"
			    "  protect: [{proto: tcp, dport: '${ssh_port}'}]\n"
			    "  learned: {save: 30s}\n"
			    "sets:\n"
			    "  neighbours:\n"
			    "    learn:\n"
			    "      on: [neigh0, \"n*\"]\n"
			    "      within: [172.16.1.0/24, \"fd00:1::/64\"]\n"
			    "      from: [ip, nd]\n"
			    "      timeout: 10m\n"
			    "      max: 512\n"
			    "      when-full: evict-oldest\n"
			    "  subscribers:\n"
			    "    elements:\n"
			    "      - 100.64.0.7\n"
			    "      - {address: 100.64.0.8/31, up: 20mbit, down: \"${DOWN}\"}\n"
			    "    file: subscribers.csv\n"
			    "services: {web: [tcp/80, udp/8000-8080], ping: icmp}\n"
			    "templates:\n"
			    "  slow: {rate: 1mbit, burst: 20ms}\n"
			    "policies:\n"
			    "  office:\n"
			    "    type: police\n"
			    "    engine: bpf\n"
			    "    rate: {up: 38mbit, down: \"${DOWN}\"}\n"
			    "    default: rest\n"
			    "    burst: 256kb\n"
			    "    classes:\n"
			    "      - name: voice\n"
			    "        rate: 10%\n"
			    "        mtu: 1500\n"
			    "        exceed: {dscp: cs1}\n"
			    "        conform: continue\n"
			    "        remark: {dscp: ef, mark: 0x10/0xf0}\n"
			    "        match:\n"
			    "          - {dscp: [ef, cs5], not: {remote: \"@neighbours\"}}\n"
			    "          - service: web\n"
			    "        classes:\n"
			    "          - {name: deep, match: {all: true}}\n"
			    "      - {name: rest, use: [slow]}\n"
			    "interfaces:\n"
			    "  ppp0:\n"
			    "    side: wan\n"
			    "    link: {linklayer: ptm, overhead: -4, mpu: 64}\n"
			    "    egress: {policy: office, rate: 30mbit}\n"
			    "    ingress: {policy: office}\n"
			    "  \"eth*\": {link: {preset: ethernet}}\n";

static void settings_are_read(void **state)
{
	struct fixture *f = *state;
	struct policy *p = parse_good(f, whole);

	assert_int_equal(p->version.v, 1);
	assert_int_equal(p->settings.on_stop.v, ON_STOP_REMOVE);
	assert_int_equal(p->settings.takeover.v, TAKEOVER_REPLACE);
	assert_int_equal(p->settings.learned_save.v, 30000000000);
	assert_int_equal(p->settings.protect.n, 1);
	assert_int_equal(p->settings.protect.items[0].n, 2);
	assert_int_equal(p->settings.protect.items[0].terms[1].key, MATCH_DPORT);
	assert_int_equal(p->settings.protect.items[0].terms[1].values[0].lo, 22);
}

static void sets_are_read(void **state)
{
	struct fixture *f = *state;
	struct policy *p = parse_good(f, whole);
	struct w_set *s = &p->sets.v[0];

	assert_int_equal(p->sets.n, 2);
	assert_string_equal(s->name.s, "neighbours");
	assert_int_equal(s->name.pos.line, 9);
	assert_int_equal(s->name.pos.col, 3);
	assert_int_equal(s->learn.on.n, 2);
	assert_string_equal(s->learn.on.v[1].s, "n*");
	assert_int_equal(s->learn.within.n, 2);
	assert_int_equal(s->learn.within.v[0].prefix.bits, 120);
	assert_int_equal(s->learn.from.v, LEARN_IP | LEARN_ND);
	assert_int_equal(s->learn.timeout.v, 600000000000);
	assert_int_equal(s->learn.max.v, 512);
	assert_int_equal(s->learn.when_full.v, FULL_EVICT_OLDEST);
	s++;
	assert_int_equal(s->learn.pos.line, 0);
	assert_int_equal(s->elements.n, 2);
	assert_int_equal(s->elements.v[0].pos.line, 19);
	assert_false(s->elements.v[0].up.set);
	assert_int_equal(s->elements.v[1].prefix.bits, 127);
	assert_int_equal(s->elements.v[1].up.v.Bps, 2500000);
	assert_int_equal(s->elements.v[1].down.v.Bps, 11875000);
	assert_string_equal(s->file.s, "subscribers.csv");
}

static void services_and_templates_are_read(void **state)
{
	struct fixture *f = *state;
	struct policy *p = parse_good(f, whole);

	assert_int_equal(p->services.n, 2);
	assert_int_equal(p->services.v[0].n, 2);
	assert_int_equal(p->services.v[0].v[1].proto, 17);
	assert_int_equal(p->services.v[0].v[1].lo, 8000);
	assert_int_equal(p->services.v[0].v[1].hi, 8080);
	assert_int_equal(p->services.v[1].n, 1);
	assert_false(p->services.v[1].v[0].has_ports);
	assert_int_equal(p->templates.n, 1);
	assert_string_equal(p->templates.v[0].name.s, "slow");
	assert_true(p->templates.v[0].keys.burst.is_time);
	assert_int_equal(p->templates.v[0].keys.burst.v, 20000000);
}

static void policies_and_classes_are_read(void **state)
{
	struct fixture *f = *state;
	struct policy *p = parse_good(f, whole);
	struct w_policy *office = &p->policies.v[0];
	struct w_class *voice = &office->classes[0];

	assert_int_equal(office->type.v, POLICY_POLICE);
	assert_int_equal(office->engine.v, ENGINE_BPF);
	assert_int_equal(office->rate.up.v.Bps, 4750000);
	assert_int_equal(office->rate.down.v.Bps, 11875000);
	assert_string_equal(office->dflt.s, "rest");
	assert_int_equal(office->burst.v, 262144);
	assert_int_equal(office->n_classes, 2);
	assert_string_equal(voice->name.s, "voice");
	assert_int_equal(voice->rate.up.v.percent, 100000);
	assert_int_equal(voice->rate.down.v.percent, 100000);
	assert_int_equal(voice->mtu.v, 1500);
	assert_int_equal(voice->exceed.what, EXCEED_DSCP);
	assert_int_equal(voice->exceed.dscp, 8);
	assert_int_equal(voice->conform.v, CONFORM_CONTINUE);
	assert_int_equal(voice->remark.dscp, 46);
	assert_int_equal(voice->remark.mark, 0x10);
	assert_int_equal(voice->remark.mask, 0xf0);
	assert_int_equal(voice->n_classes, 1);
	assert_string_equal(voice->classes[0].name.s, "deep");
	assert_int_equal(office->classes[1].use.n, 1);
	assert_int_equal(office->classes[1].match.pos.line, 0);
}

static void matches_are_read(void **state)
{
	struct fixture *f = *state;
	struct policy *p = parse_good(f, whole);
	struct match_list *m = &p->policies.v[0].classes[0].match;
	struct match_term *dscp = &m->items[0].terms[0], *not = &m->items[0].terms[1];

	assert_int_equal(m->n, 2);
	assert_int_equal(m->items[0].n, 2);
	assert_int_equal(dscp->key, MATCH_DSCP);
	assert_int_equal(dscp->n, 2);
	assert_int_equal(dscp->values[1].lo, 40);
	assert_int_equal(not ->key, MATCH_NOT);
	assert_int_equal(not ->item->terms[0].key, MATCH_REMOTE);
	assert_true(not ->item->terms[0].values[0].is_set);
	assert_string_equal(not ->item->terms[0].values[0].name, "neighbours");
	assert_int_equal(m->items[1].terms[0].key, MATCH_SERVICE);
	assert_string_equal(m->items[1].terms[0].values[0].name, "web");
	assert_int_equal(p->policies.v[0].classes[0].classes[0].match.items[0].terms[0].key, MATCH_ALL);
}

static void interfaces_are_read(void **state)
{
	struct fixture *f = *state;
	struct policy *p = parse_good(f, whole);
	struct w_interface *ppp0 = &p->interfaces.v[0];

	assert_int_equal(p->interfaces.n, 2);
	assert_string_equal(ppp0->name.s, "ppp0");
	assert_int_equal(ppp0->side.v, SIDE_WAN);
	assert_int_equal(ppp0->link.linklayer.v, LINK_PTM);
	assert_true(ppp0->link.overhead_set);
	assert_int_equal(ppp0->link.overhead, -4);
	assert_int_equal(ppp0->link.mpu.v, 64);
	assert_string_equal(ppp0->egress.policy.s, "office");
	assert_int_equal(ppp0->egress.rate.v.Bps, 3750000);
	assert_false(ppp0->ingress.rate.set);
	assert_string_equal(p->interfaces.v[1].name.s, "eth*");
	assert_int_equal(p->interfaces.v[1].egress.pos.line, 0);
}

/* The tables of the match keys and their names are two. */
static void every_match_key_has_its_name(void **state)
{
	struct fixture *f = *state;
	static const char *const values[MATCH_KEYS] = {
		[MATCH_ALL] = "true",       [MATCH_NOT] = "{all: true}", [MATCH_PROTO] = "tcp",
		[MATCH_DSCP] = "ef",        [MATCH_MARK] = "1",          [MATCH_VLAN] = "7",
		[MATCH_FAMILY] = "ipv6",    [MATCH_LENGTH] = "0-64",     [MATCH_TCP_FLAGS] = "syn",
		[MATCH_ICMP_TYPE] = "8",    [MATCH_IN_DEV] = "eth0",     [MATCH_SERVICE] = "s",
		[MATCH_SERVER] = "s",       [MATCH_CLIENT] = "s",        [MATCH_LOCAL] = "1.2.3.4",
		[MATCH_REMOTE] = "1.2.3.4", [MATCH_SRC] = "1.2.3.4",     [MATCH_DST] = "1.2.3.4",
		[MATCH_HOST] = "1.2.3.4",
	};

	for (enum match_key key = 0; key < MATCH_KEYS; key++) {
		const char *text = arena_printf(f->a, "version: 1\nsettings: {protect: [{%s: %s}]}\n",
						match_key_name(key), values[key] ? values[key] : "80");
		struct policy *p = parse_good(f, text);

		assert_int_equal(p->settings.protect.items[0].n, 1);
		assert_int_equal(p->settings.protect.items[0].terms[0].key, key);
	}
}

/* Names that a table has by mistake twice would hide each other. */
static void no_table_has_a_key_twice(void **state)
{
	(void)state;
	for (size_t t = 0; t < schema_tables_n; t++)
		for (size_t i = 0; i < schema_tables[t]->n; i++)
			for (size_t j = 0; j < i; j++)
				assert_string_not_equal(schema_tables[t]->v[i].name, schema_tables[t]->v[j].name);
}

/* ---- variables ------------------------------------------------------------------------------------------------- */

static void a_variable_may_be_a_part_of_a_value(void **state)
{
	struct fixture *f = *state;
	struct policy *p = parse_good(f, "version: 1\n"
					 "vars: {net: 10.7, n: 2}\n"
					 "sets: {s: {elements: [\"${net}.0.0/16\", \"${net}.${n}.${n}\"]}}\n");
	char buf[TEXT_MAX];

	assert_string_equal(text_format_prefix(buf, &p->sets.v[0].elements.v[0].prefix), "10.7.0.0/16");
	assert_string_equal(text_format_prefix(buf, &p->sets.v[0].elements.v[1].prefix), "10.7.2.2");
}

static void variables_cannot_make_a_small_file_large(void **state)
{
	struct fixture *f = *state;
	size_t room = 400000, n;
	char *text = arena_alloc(f->a, room);

	n = (size_t)snprintf(text, room, "version: 1\nvars: {v: %0250d}\nsets: {s: {elements: [", 1);
	for (int i = 0; i < 30000; i++)
		n += (size_t)snprintf(text + n, room - n, "\"x${v}${v}\",");
	(void)snprintf(text + n, room - n, "]}}\n");
	(void)parse(f, text);
	assert_true(arena_used(f->a) < 40u * 1024 * 1024);
	assert_true(diag_errors(f->d) >= 30000); /* each is also no address */
}

/* ---- several files --------------------------------------------------------------------------------------------- */

static void drop_ins_are_merged_by_name(void **state)
{
	struct fixture *f = *state;
	struct policy *p;

	assert_int_equal(mkdir(path(f, "policy.d"), 0700), 0);
	(void)put(f, "policy.d/20.yaml", "version: 1\nsets: {c: {elements: [10.0.0.3]}}\nvars: {X: 30s}\n");
	(void)put(f, "policy.d/10.yaml",
		  "version: 1\nsets: {b: {elements: [10.0.0.2]}}\nsettings: {on-stop: remove}\n");
	(void)put(f, "policy.d/.hidden.yaml", "not looked at: [");
	(void)put(f, "policy.d/readme.txt", "not looked at: [");
	p = policy_load(f->a, f->d,
			put(f, "qosd.yaml",
			    "version: 1\nsets: {a: {elements: [10.0.0.1]}}\nsettings: {learned: {save: '${X}'}}\n"));
	diag_print(f->d, stderr);
	assert_int_equal(diag_errors(f->d), 0);
	assert_int_equal(p->sets.n, 3);
	assert_string_equal(p->sets.v[0].name.s, "a");
	assert_string_equal(p->sets.v[1].name.s, "b");
	assert_string_equal(p->sets.v[2].name.s, "c");
	assert_int_equal(p->settings.on_stop.v, ON_STOP_REMOVE);
	assert_int_equal(p->settings.learned_save.v, 30000000000);
}

static void the_same_name_in_two_files_shows_both(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(path(f, "policy.d"), 0700), 0);
	(void)put(f, "policy.d/10.yaml", "version: 1\nsets:\n  a: {elements: [10.0.0.2]}\n");
	(void)policy_load(f->a, f->d, put(f, "qosd.yaml", "version: 1\nsets: {a: {elements: [10.0.0.1]}}\n"));
	assert_int_equal(diag_errors(f->d), 1);
	assert_string_equal(first_id(f), "duplicate-key");
	assert_string_equal(diag_where(f->d, diag_get(f->d, 0)->pos, f->a), path(f, "policy.d/10.yaml:3:3"));
	assert_int_equal(diag_get(f->d, 1)->level, DIAG_NOTE);
	assert_string_equal(diag_where(f->d, diag_get(f->d, 1)->pos, f->a), path(f, "qosd.yaml:2:8"));
}

/* ---- garbage --------------------------------------------------------------------------------------------------- */

static void refuse_file(struct fixture *f, const char *file, const char *id)
{
	struct policy *p = policy_load(f->a, f->d, file);

	assert_int_equal(diag_errors(f->d), 1);
	assert_string_equal(first_id(f), id);
	assert_true(p->cut);
}

static void a_file_that_is_not_there(void **state)
{
	struct fixture *f = *state;

	refuse_file(f, path(f, "qosd.yaml"), "unreadable");
}

static void a_directory(void **state)
{
	struct fixture *f = *state;

	refuse_file(f, f->dir, "unreadable");
}

static void a_fifo_that_nobody_writes_to(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkfifo(path(f, "fifo"), 0600), 0);
	refuse_file(f, path(f, "fifo"), "unreadable");
}

static void an_empty_file(void **state)
{
	struct fixture *f = *state;

	refuse_file(f, put(f, "qosd.yaml", ""), "empty");
}

static void a_file_of_50_megabytes(void **state)
{
	struct fixture *f = *state;
	const char *file = put(f, "qosd.yaml", "version: 1\n");

	assert_int_equal(truncate(file, 50 * 1024 * 1024), 0);
	refuse_file(f, file, "too-large");
	assert_true(arena_used(f->a) < 65536);
}

static void a_drop_in_that_is_a_directory(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(path(f, "policy.d"), 0700), 0);
	assert_int_equal(mkdir(path(f, "policy.d/10.yaml"), 0700), 0);
	refuse_file(f, put(f, "qosd.yaml", "version: 1\n"), "unreadable");
}

static void random_bytes(void **state)
{
	struct fixture *f = *state;
	char text[4096];
	uint32_t seed = 1;

	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = (char)((seed = seed * 1664525 + 1013904223) >> 24);
		(void)policy_parse(f->a, f->d, "random", text, sizeof(text));
		assert_int_equal(diag_errors(f->d), round + 1);
	}
	assert_string_equal(first_id(f), "not-text");
}

static void every_beginning_of_a_policy(void **state)
{
	struct fixture *f = *state;

	for (size_t n = 0; n < strlen(whole); n++) {
		struct diag *d = diag_new();
		struct arena *a = arena_new();

		(void)policy_parse(a, d, "cut.yaml", whole, n);
		arena_free(a);
		diag_free(d);
	}
	(void)parse_good(f, whole);
}

/* ---- bounded --------------------------------------------------------------------------------------------------- */

/* A text of head, n times part, and tail. */
static char *repeat(const char *head, const char *part, size_t n, const char *tail, size_t *len)
{
	size_t h = strlen(head), p = strlen(part), t = strlen(tail);
	char *text = xmalloc(h + n * p + t);

	memcpy(text, head, h);
	for (size_t i = 0; i < n; i++)
		memcpy(text + h + i * p, part, p);
	memcpy(text + h + n * p, tail, t);
	*len = h + n * p + t;
	return text;
}

/* Where time grows with the square of the size, these take minutes and not a second. */
static void time_is_bounded(void **state)
{
	static const struct {
		const char *head, *part, *tail;
	} texts[] = {
		{"version: 1\nsets:\n", "  k: 1\n", ""},
		{"version: 1\nsets: {s: {elements: [", "x, ", "]}}"},
		{"version: 1\nsets: {s: {elements: [", "'${x}', ", "]}}"},
		{"version: 1\nsets: [", "{a: {}},", "]"},
		{"version: 1\nsets: [", "@a,", "]"},
		{"version: 1\nsets: [", "::,", "]"},
		{"version: 1\nsets: [", "&a x,", "]"},
		{"version: 1\nsets: [", "*a,", "]"},
		{"version: 1\nsets: ", "{", ""},
		{"version: 1\n", "\n", ""},
		{"version: 1\n", "# \n", ""},
		{"version: 1\nsets: '", "x", "'"},
	};
	struct fixture *f = *state;
	struct timespec start, end;

	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start), 0);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct arena *a = arena_new();
		size_t len;
		char *text = repeat(texts[i].head, texts[i].part, 1000000 / strlen(texts[i].part), texts[i].tail, &len);

		(void)policy_parse(a, f->d, "long.yaml", text, len);
		free(text);
		arena_free(a);
	}
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end), 0);
	assert_true(end.tv_sec - start.tv_sec < 60); /* with sanitizers and on a slow machine, too */
}

static void the_number_of_values_is_bounded(void **state)
{
	struct fixture *f = *state;
	size_t len;
	char *text = repeat("version: 1\nsets: {s: {elements: [", "1.2.3.4,", NODE_COUNT_MAX + 1, "]}}", &len);
	struct policy *p = policy_parse(f->a, f->d, "many.yaml", text, len);

	free(text);
	assert_int_equal(diag_errors(f->d), 1);
	assert_string_equal(first_id(f), "too-large");
	assert_true(p->cut);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(settings_are_read),
		TEST(sets_are_read),
		TEST(services_and_templates_are_read),
		TEST(policies_and_classes_are_read),
		TEST(matches_are_read),
		TEST(interfaces_are_read),
		TEST(every_match_key_has_its_name),
		TEST(no_table_has_a_key_twice),
		TEST(a_variable_may_be_a_part_of_a_value),
		TEST(variables_cannot_make_a_small_file_large),
		TEST(drop_ins_are_merged_by_name),
		TEST(the_same_name_in_two_files_shows_both),
		TEST(a_file_that_is_not_there),
		TEST(a_directory),
		TEST(a_fifo_that_nobody_writes_to),
		TEST(an_empty_file),
		TEST(a_file_of_50_megabytes),
		TEST(a_drop_in_that_is_a_directory),
		TEST(random_bytes),
		TEST(every_beginning_of_a_policy),
		TEST(time_is_bounded),
		TEST(the_number_of_values_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
