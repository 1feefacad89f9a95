/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Messages: where, which line, a caret; in the order of the file; bounded.
 */
#include "diag.h"
#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct arena *a;
	struct diag *d;
	char *printed;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->a = arena_new();
	f->d = diag_new();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	diag_free(f->d);
	arena_free(f->a);
	free(f->printed);
	free(f);
	return 0;
}

static const char *print(struct fixture *f)
{
	size_t size;
	FILE *out;

	free(f->printed);
	out = open_memstream(&f->printed, &size);
	assert_non_null(out);
	diag_print(f->d, out);
	assert_int_equal(fclose(out), 0);
	return f->printed;
}

static uint32_t source(struct fixture *f, const char *name, const char *text)
{
	return diag_add_source(f->d, name, text, strlen(text));
}

static struct pos at(uint32_t file, uint32_t line, uint32_t col)
{
	return (struct pos){.file = file, .line = line, .col = col};
}

static void a_message_shows_the_line_and_a_caret(void **state)
{
	struct fixture *f = *state;
	uint32_t file = source(f, "qosd.yaml", "version: 1\n  rat: 5mbit\n");

	diag_error(f->d, at(file, 2, 3), "unknown-key", "no key %s", "\"rat\"");
	assert_string_equal(print(f), "qosd.yaml:2:3: error: no key \"rat\" [unknown-key]\n"
				      "      rat: 5mbit\n"
				      "      ^\n");
	assert_int_equal(diag_errors(f->d), 1);
	assert_int_equal(diag_warnings(f->d), 0);
	assert_string_equal(diag_where(f->d, at(file, 2, 3), f->a), "qosd.yaml:2:3");
	assert_string_equal(diag_source_name(f->d, file), "qosd.yaml");
	assert_string_equal(diag_source_line(f->d, at(file, 2, 3)), "  rat: 5mbit");
}

static void a_message_about_a_whole_file_names_it(void **state)
{
	struct fixture *f = *state;
	uint32_t file = source(f, "qosd.yaml", "");

	diag_error(f->d, at(file, 0, 0), "empty", "nothing in it");
	assert_string_equal(print(f), "qosd.yaml: error: nothing in it [empty]\n");
	assert_string_equal(diag_where(f->d, at(file, 0, 0), f->a), "qosd.yaml");
}

static void a_message_about_nothing_in_particular(void **state)
{
	struct fixture *f = *state;

	diag_warning(f->d, at(0, 0, 0), "odd", "it is late");
	assert_string_equal(print(f), "warning: it is late [odd]\n");
	assert_string_equal(diag_where(f->d, at(0, 0, 0), f->a), "");
	assert_string_equal(diag_source_name(f->d, 0), "");
	assert_string_equal(diag_source_name(f->d, 7), "");
}

static void messages_come_in_the_order_of_the_files_with_their_notes(void **state)
{
	struct fixture *f = *state;
	uint32_t one = source(f, "a", "1\n2\n3\n"), two = source(f, "b", "1\n2\n3\n");

	diag_warning(f->d, at(two, 1, 1), "w", "fourth");
	diag_error(f->d, at(one, 3, 1), "e", "third");
	diag_note(f->d, at(one, 1, 1), "of the third");
	diag_note(f->d, at(two, 1, 1), "of the third, too");
	diag_error(f->d, at(one, 1, 9), "e", "second");
	diag_error(f->d, at(one, 1, 2), "e", "first");
	assert_string_equal(print(f), "a:1:2: error: first [e]\n    1\n     ^\n"
				      "a:1:9: error: second [e]\n    1\n     ^\n"
				      "a:3:1: error: third [e]\n    3\n    ^\n"
				      "a:1:1: note: of the third\n    1\n    ^\n"
				      "b:1:1: note: of the third, too\n    1\n    ^\n"
				      "b:1:1: warning: fourth [w]\n    1\n    ^\n");
	assert_int_equal(diag_count(f->d), 6);
	assert_string_equal(diag_get(f->d, 0)->text, "first");
	assert_int_equal(diag_get(f->d, 3)->level, DIAG_NOTE);
	diag_error(f->d, at(one, 1, 1), "e", "the very first, told last");
	assert_string_equal(diag_get(f->d, 0)->text, "the very first, told last");
}

static void what_is_said_twice_is_said_once(void **state)
{
	struct fixture *f = *state;
	uint32_t file = source(f, "a", "x\n");

	for (int i = 0; i < 3; i++) {
		diag_error(f->d, at(file, 1, 1), "e", "the same");
		diag_note(f->d, at(file, 1, 1), "with its note");
	}
	diag_error(f->d, at(file, 1, 1), "e", "not the same");
	assert_int_equal(diag_errors(f->d), 2);
	assert_int_equal(diag_count(f->d), 3);
}

static void a_flood_is_counted_and_not_kept(void **state)
{
	struct fixture *f = *state;
	uint32_t file = source(f, "a", "x\n");

	assert_false(diag_full(f->d));
	for (uint32_t i = 1; i <= 100000; i++) {
		diag_error(f->d, at(file, i, 1), "e", "number %u", i);
		diag_note(f->d, at(file, i, 1), "a note");
	}
	diag_warning(f->d, at(file, 1, 1), "w", "still heard");
	assert_true(diag_full(f->d));
	assert_int_equal(diag_errors(f->d), 100000);
	assert_int_equal(diag_count(f->d), 2 * DIAG_KEPT_MAX + 1);
	assert_non_null(strstr(print(f), "still heard"));
	assert_non_null(strstr(f->printed, "99900 more errors not shown\n"));
}

static void a_sentence_that_is_too_long_is_cut_at_a_character(void **state)
{
	struct fixture *f = *state;
	char long_text[4001];

	for (size_t i = 0; i < 4000; i += 2)
		memcpy(long_text + i, "\xc3\xa4", 2);
	long_text[4000] = '\0';
	diag_error(f->d, at(0, 0, 0), "e", "x%s", long_text);
	assert_true(strlen(diag_get(f->d, 0)->text) < 1100);
	assert_non_null(strstr(diag_get(f->d, 0)->text, "\xa4..."));
}

static void no_control_character_reaches_the_terminal(void **state)
{
	struct fixture *f = *state;
	uint32_t file = source(f, "e\033[1mvil", "a\033[31mb\x9b\tc\xc2\x9b\n");

	diag_error(f->d, at(file, 1, 1), "e", "found \"%s\"", "\033]0;title\a\x7f\xff");
	assert_string_equal(print(f), "e?[1mvil:1:1: error: found \"?]0;title???\" [e]\n"
				      "    a?[31mb? c?\n"
				      "    ^\n");
}

static void the_caret_counts_characters(void **state)
{
	struct fixture *f = *state;
	uint32_t file = source(f, "a", "\xc3\xa4\xe2\x82\xac: x\n");

	diag_error(f->d, at(file, 1, 8), "e", "here");
	assert_string_equal(print(f), "a:1:8: error: here [e]\n    \xc3\xa4\xe2\x82\xac: x\n        ^\n");
}

static void of_a_long_line_the_part_around_the_column_is_shown(void **state)
{
	struct fixture *f = *state;
	char *line = xmalloc(100001), *caret;
	uint32_t file;

	memset(line, '.', 100000);
	line[50000] = 'X';
	line[100000] = '\0';
	file = source(f, "a", line);
	free(line);
	diag_error(f->d, at(file, 1, 50001), "e", "here");
	assert_true(strlen(print(f)) < 600);
	line = strchr(f->printed, '\n') + 1;
	caret = strchr(line, '\n') + 1;
	assert_int_equal(line[strchr(caret, '^') - caret], 'X');
}

/* Only some lines are remembered: those between are found by walking. */
static void every_line_is_found(void **state)
{
	struct fixture *f = *state;
	char text[20000], want[16];
	size_t n = 0;
	uint32_t file;

	for (int i = 1; i <= 2000; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "l%d\r\n", i);
	file = diag_add_source(f->d, "a", text, n);
	for (uint32_t i = 1; i <= 2000; i++) {
		(void)snprintf(want, sizeof(want), "l%u", i);
		assert_string_equal(diag_source_line(f->d, at(file, i, 1)), want);
	}
	assert_string_equal(diag_source_line(f->d, at(file, 2001, 1)), "");
	assert_string_equal(diag_source_line(f->d, at(file, 5000, 1)), "");
	assert_string_equal(diag_source_line(f->d, at(9, 1, 1)), "");
}

static void the_last_error_is_known_though_it_was_told_before(void **state)
{
	struct fixture *f = *state;
	uint32_t file = source(f, "a", "x\n");

	assert_null(diag_last_error(f->d));
	diag_error(f->d, at(file, 1, 1), "one", "the first");
	diag_error(f->d, at(file, 1, 2), "two", "the second");
	diag_warning(f->d, at(file, 1, 3), "three", "a warning");
	assert_string_equal(diag_last_error(f->d)->text, "the second");
	diag_error(f->d, at(file, 1, 1), "one", "the first");
	assert_string_equal(diag_last_error(f->d)->text, "the first");
	assert_int_equal(diag_errors(f->d), 2);
	for (uint32_t i = 0; i < DIAG_KEPT_MAX; i++)
		diag_error(f->d, at(file, 2, i), "many", "and more");
	assert_null(diag_last_error(f->d));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_message_shows_the_line_and_a_caret),
		TEST(a_message_about_a_whole_file_names_it),
		TEST(a_message_about_nothing_in_particular),
		TEST(messages_come_in_the_order_of_the_files_with_their_notes),
		TEST(what_is_said_twice_is_said_once),
		TEST(a_flood_is_counted_and_not_kept),
		TEST(a_sentence_that_is_too_long_is_cut_at_a_character),
		TEST(no_control_character_reaches_the_terminal),
		TEST(the_caret_counts_characters),
		TEST(of_a_long_line_the_part_around_the_column_is_shown),
		TEST(every_line_is_found),
		TEST(the_last_error_is_known_though_it_was_told_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
