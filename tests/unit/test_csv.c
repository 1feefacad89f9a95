/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "csv.h"

struct fixture {
	struct arena *a;
	struct diag *d;
	struct csv rows;
};

static void parse(struct fixture *f, const char *text, size_t len)
{
	*f = (struct fixture){.a = arena_new(), .d = diag_new()};
	csv_parse(f->a, f->d, diag_add_source(f->d, "a.csv", text, len), text, len, &f->rows);
}

static void done(struct fixture *f)
{
	diag_free(f->d);
	arena_free(f->a);
}

static void expect_row(const struct csv_row *row, const char *prefix, uint64_t up_Bps, uint64_t down_Bps)
{
	char text[TEXT_MAX];

	assert_string_equal(text_format_prefix(text, &row->prefix), prefix);
	assert_int_equal(row->up_Bps, up_Bps);
	assert_int_equal(row->down_Bps, down_Bps);
}

static void test_rows(void **state)
{
	static const char text[] = "# our customers\n"
				   "100.64.0.7\n"
				   "\n"
				   "100.64.0.8,20mbit,100mbit\n"
				   "  10.0.0.0/8 , 8kbit ,16kbit # the office\n"
				   "fd00:1::/64,,8kbit";
	struct fixture f;

	(void)state;
	parse(&f, text, sizeof(text) - 1);
	assert_int_equal(diag_errors(f.d), 0);
	assert_int_equal(f.rows.n, 4);
	expect_row(&f.rows.v[0], "100.64.0.7", 0, 0);
	expect_row(&f.rows.v[1], "100.64.0.8", 2500000, 12500000);
	expect_row(&f.rows.v[2], "10.0.0.0/8", 1000, 2000);
	expect_row(&f.rows.v[3], "fd00:1::/64", 0, 1000);
	assert_int_equal(f.rows.v[2].pos.line, 5);
	assert_int_equal(f.rows.v[2].pos.col, 3);
	done(&f);
}

static void test_what_spreadsheets_write(void **state)
{
	static const char text[] = "\xef\xbb\xbf"
				   "10.0.0.1\r\n10.0.0.2,1mbit,2mbit\r\n\r\n";
	struct fixture f;

	(void)state;
	parse(&f, text, sizeof(text) - 1);
	assert_int_equal(diag_errors(f.d), 0);
	assert_int_equal(f.rows.n, 2);
	done(&f);
}

/* Every bad row is told, each at its place, and the good ones are read. */
static void test_bad_rows(void **state)
{
	static const struct {
		const char *line, *id;
		unsigned col;
	} cases[] = {
		{"10.0.0.256", "bad-address", 1},          {"  10.0.0.1/33", "bad-address", 3},
		{"10.0.0.1/8", "bad-address", 1},          {",1mbit,2mbit", "bad-address", 1},
		{"10.0.0.1,1mbit", "bad-row", 10},         {"10.0.0.1,10,1mbit", "bad-rate", 10},
		{"10.0.0.1,1mbit, 1Mbps", "bad-rate", 17}, {"10.0.0.1,50%,1mbit", "bad-rate", 10},
		{"10.0.0.1,0bit,1mbit", "bad-rate", 10},   {"10.0.0.1,1mbit,1mbit,x", "bad-row", 22},
		{"\"10.0.0.1\"", "bad-address", 1},        {"10.0.0.1,,", "bad-row", 10},
	};
	struct fixture f;
	char text[1024] = "";

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		strcat(text, cases[i].line);
		strcat(text, "\n192.0.2.1\n");
	}
	parse(&f, text, strlen(text));
	assert_int_equal(f.rows.n, sizeof(cases) / sizeof(*cases));
	assert_int_equal(diag_errors(f.d), sizeof(cases) / sizeof(*cases));
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct diag_message *m = diag_get(f.d, i);

		assert_string_equal(m->id, cases[i].id);
		assert_int_equal(m->pos.line, 2 * i + 1);
		assert_int_equal(m->pos.col, cases[i].col);
	}
	done(&f);
}

/* As in the policy itself. */
static void test_what_may_have_been_meant(void **state)
{
	static const char text[] = "10.0.0.7/24\nfd00::7/64\n10.0.0.1,10,1mbit\n10.0.0.1,1mbit,1Mbps\n";
	static const char *const say[] = {
		"address \"10.0.0.7/24\": bits are set behind the prefix length: the network 10.0.0.0/24 or the "
		"address 10.0.0.7?",
		"address \"fd00::7/64\": bits are set behind the prefix length: the network fd00::/64 or the address "
		"fd00::7?",
		"upload rate \"10\": it has no unit: 10kbit, 10mbit or 10gbit?",
		"download rate \"1Mbps\": people disagree on what \"Mbps\" means: 1mbit (bits) or 8mbit (bytes)?",
	};
	struct fixture f;

	(void)state;
	parse(&f, text, sizeof(text) - 1);
	assert_int_equal(diag_errors(f.d), sizeof(say) / sizeof(*say));
	for (size_t i = 0; i < sizeof(say) / sizeof(*say); i++)
		assert_string_equal(diag_get(f.d, i)->text, say[i]);
	done(&f);
}

static void test_lines_are_bounded(void **state)
{
	char text[CSV_LINE_MAX + 40];
	struct fixture f;

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "10.0.0.1", 8);
	parse(&f, text, CSV_LINE_MAX);
	assert_int_equal(f.rows.n, 1);
	done(&f);
	parse(&f, text, CSV_LINE_MAX + 1);
	assert_int_equal(f.rows.n, 0);
	assert_int_equal(diag_errors(f.d), 1);
	done(&f);
}

static void test_nul_byte(void **state)
{
	static const char text[] = "10.0.0.1\0,1mbit,2mbit\n10.0.0.2\n";
	struct fixture f;

	(void)state;
	parse(&f, text, sizeof(text) - 1);
	assert_int_equal(f.rows.n, 1);
	assert_int_equal(diag_errors(f.d), 1);
	done(&f);
}

/* Each mistake is told, however many are kept. */
static void test_many_mistakes(void **state)
{
	char *text = malloc(5000 * 2 + 1);
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < 5000; i++)
		memcpy(text + 2 * i, "x\n", 2);
	parse(&f, text, 10000);
	assert_int_equal(diag_errors(f.d), 5000);
	assert_true(diag_count(f.d) <= DIAG_KEPT_MAX);
	done(&f);
	free(text);
}

static void test_hundred_thousand_rows(void **state)
{
	struct timespec before, after;
	size_t n = 0, room = 100000 * 40;
	char *text = malloc(room);
	struct fixture f;
	double ms;

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		n += (size_t)snprintf(text + n, room - n, "10.%u.%u.%u,20mbit,100mbit\n", i >> 16, i >> 8 & 255,
				      i & 255);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	parse(&f, text, n);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	ms = (double)(after.tv_sec - before.tv_sec) * 1e3 + (double)(after.tv_nsec - before.tv_nsec) / 1e6;
	print_message("100,000 rows in %.1f ms\n", ms);
	assert_int_equal(f.rows.n, 100000);
	assert_true(ms < 1000); /* 30 without sanitizers; more than this is not linear */
	done(&f);
	free(text);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static int load(struct fixture *f, const char *path)
{
	uint32_t policy;

	*f = (struct fixture){.a = arena_new(), .d = diag_new()};
	policy = diag_add_source(f->d, "qosd.yaml", "file: x\n", 8);
	return csv_load(f->a, f->d, (struct pos){policy, 1, 7}, path, &f->rows);
}

static void test_file(void **state)
{
	char path[] = "/tmp/test_csv.XXXXXX";
	struct fixture f;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "10.0.0.1\nx\n", 11), 11);
	assert_int_equal(close(fd), 0);
	assert_int_equal(load(&f, path), 0);
	assert_int_equal(f.rows.n, 1);
	assert_int_equal(diag_errors(f.d), 1);
	assert_string_equal(diag_source_name(f.d, diag_get(f.d, 0)->pos.file), path);
	assert_string_equal(diag_source_line(f.d, diag_get(f.d, 0)->pos), "x");
	done(&f);
	assert_int_equal(unlink(path), 0);
}

static void expect_refused(const char *path, int err)
{
	struct fixture f;

	assert_int_equal(load(&f, path), err);
	assert_int_equal(diag_errors(f.d), 1);
	assert_string_equal(diag_get(f.d, 0)->id, "unreadable-file");
	assert_int_equal(diag_get(f.d, 0)->pos.col, 7); /* where the policy names the file */
	done(&f);
}

static void test_only_regular_files(void **state)
{
	char dir[] = "/tmp/test_csv.XXXXXX", fifo[64], big[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	(void)snprintf(big, sizeof(big), "%s/big", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	fclose(fopen(big, "w"));
	assert_int_equal(truncate(big, CSV_SIZE_MAX + 1), 0);
	expect_refused(dir, -EISDIR);
	expect_refused(fifo, -ENOTSUP);
	expect_refused("/dev/zero", -ENOTSUP);
	expect_refused(big, -EFBIG);
	assert_int_equal(unlink(fifo), 0);
	assert_int_equal(unlink(big), 0);
	expect_refused(big, -ENOENT);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_what_spreadsheets_write),
		cmocka_unit_test(test_bad_rows),
		cmocka_unit_test(test_what_may_have_been_meant),
		cmocka_unit_test(test_lines_are_bounded),
		cmocka_unit_test(test_nul_byte),
		cmocka_unit_test(test_many_mistakes),
		cmocka_unit_test(test_hundred_thousand_rows),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_only_regular_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
