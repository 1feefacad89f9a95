/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * prog: what a program is called, and what is said when it cannot be loaded.
 */
#include "harness.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random_rules.h"

static struct test_hook h;

static int no_map(void *ctx, const char *path)
{
	return strcmp(path, ctx) == 0 ? -ENOENT : harness_map(&h, path);
}

static int wrong_map(void *ctx, const char *path)
{
	return harness_map(&h, strcmp(path, ctx) == 0 ? "bypass" : path);
}

static struct prefix prefix(uint8_t last, uint8_t bits)
{
	return (struct prefix){.addr.s6_addr = {[15] = last}, .bits = bits};
}

static void the_name_has_a_digest(void **state)
{
	const char *name = prog_filter_name(h.arena, &h.spec, prog_build_id());
	char want[64];

	(void)state;
	(void)snprintf(want, sizeof(want), "classify [%016llx]",
		       (unsigned long long)prog_digest(&h.spec, prog_build_id()));
	assert_string_equal(name, want);
	h.spec.kind = PROG_CLASSIFY_NEIGHBOR;
	assert_memory_equal(prog_filter_name(h.arena, &h.spec, 1), "classify_neighbor [", 19);
	assert_true(prog_build_id() != 0 && prog_build_id() == prog_build_id());
}

static void whatever_goes_into_a_program_is_in_its_digest(void **state)
{
	struct prefix fence[] = {prefix(1, 128), prefix(0, 64)}, turned[] = {prefix(0, 64), prefix(1, 128)};
	uint32_t slots[] = {1, 2}, slots_turned[] = {2, 1};
	struct random r = {.state = 5};
	struct prog_spec specs[9];
	uint64_t plain = prog_digest(&h.spec, 1);

	(void)state;
	for (size_t i = 0; i < 9; i++)
		specs[i] = h.spec;
	specs[0].kind = PROG_CLASSIFY_NEIGHBOR;
	specs[1].conf.default_class = 1;
	specs[2].conf.overhead = -1;
	specs[3].hook_path = "other";
	specs[4].tables = tables_build(
		h.arena, h.diag, random_rules(h.arena, &r, 9, 1 << FIELD_DPORT, harness_classes, 3, harness_sets, 1),
		&harness_names);
	specs[5].fence = fence;
	specs[5].fence_slot = slots;
	specs[5].n_fence = 2;
	specs[6] = specs[5];
	specs[6].n_fence = 1;
	specs[7] = specs[5];
	specs[7].fence_slot = slots_turned;
	for (size_t i = 0; i < 8; i++) {
		assert_true(prog_digest(&specs[i], 1) != plain);
		for (size_t j = 0; j < i; j++)
			assert_true(prog_digest(&specs[i], 1) != prog_digest(&specs[j], 1));
	}
	assert_true(prog_digest(&h.spec, 2) != plain);
	/* The order of the fence says nothing. */
	specs[8] = specs[5];
	specs[8].fence = turned;
	specs[8].fence_slot = slots_turned;
	assert_true(prog_digest(&specs[8], 1) == prog_digest(&specs[5], 1));
}

static void a_map_that_is_missing_is_named(void **state)
{
	char log[256] = "";

	(void)state;
	assert_int_equal(prog_load(&h.spec, no_map, (void *)"hook/clock", log, sizeof(log)), -ENOENT);
	assert_string_equal(log, "the map hook/clock cannot be used: No such file or directory");
	assert_int_equal(prog_load(&h.spec, no_map, (void *)"sets_conf", log, sizeof(log)), -ENOENT);
	assert_string_equal(log, "the map sets_conf cannot be used: No such file or directory");
}

static void what_the_verifier_says_is_passed_on(void **state)
{
	char log[256] = "", tiny[8] = "";

	(void)state;
	assert_true(prog_load(&h.spec, wrong_map, (void *)"hook/conf", log, sizeof(log)) < 0);
	assert_non_null(strstr(log, "invalid access to map value"));
	assert_true(strlen(log) < sizeof(log));
	assert_true(prog_load(&h.spec, wrong_map, (void *)"hook/conf", tiny, sizeof(tiny)) < 0);
	assert_int_equal(strlen(tiny), sizeof(tiny) - 1);
	assert_true(prog_load(&h.spec, wrong_map, (void *)"hook/conf", NULL, 0) < 0);
}

static size_t open_files(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void nothing_is_left_open(void **state)
{
	char log[256];
	size_t before;

	(void)state;
	harness_load(&h); /* libbpf keeps what it found out about the kernel */
	before = open_files();
	harness_load(&h);
	assert_true(prog_load(&h.spec, no_map, (void *)"hook/clock", log, sizeof(log)) < 0);
	assert_true(prog_load(&h.spec, wrong_map, (void *)"hook/conf", log, sizeof(log)) < 0);
	assert_int_equal(open_files(), before);
}

/* What a load costs is what the verifier has to look at: half a microsecond an instruction. The time itself says little
 * on a busy machine, and nothing in an emulator. */
static void the_verifier_has_little_to_look_at(void **state)
{
	struct random r = {.state = 5};
	struct literal in_set = {.field = FIELD_DST_SET, .set = &harness_sets[0]};
	struct rule one[] = {{.cls = &harness_classes[1], .literals = &in_set, .n = 1}};
	struct rules few = {.v = one, .n = 1}, *most = random_rules(h.arena, &r, QOSD_RULES_MAX, (1u << FIELDS) - 1,
								    harness_classes, HARNESS_CLASSES, harness_sets, 3);
	const struct {
		const struct rules *rules;
		uint32_t learn_n, limit;
	} cases[] = {{&few, 0, 15000}, {most, QOSD_LEARN_MAX, 60000}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);

		h.spec.conf.learn_n = cases[i].learn_n;
		harness_rules(&h, cases[i].rules);
		assert_int_equal(bpf_obj_get_info_by_fd(h.prog, &info, &size), 0);
		print_message("%zu rules: %u instructions\n", cases[i].rules->n, info.verified_insns);
		assert_true(info.verified_insns > 0 && info.verified_insns < cases[i].limit);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_prestate_setup_teardown(f, harness_setup, harness_teardown, &h)
	const struct CMUnitTest tests[] = {
		TEST(the_name_has_a_digest),          TEST(whatever_goes_into_a_program_is_in_its_digest),
		TEST(a_map_that_is_missing_is_named), TEST(what_the_verifier_says_is_passed_on),
		TEST(nothing_is_left_open),           TEST(the_verifier_has_little_to_look_at),
	};

	harness_need_bpf();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
