/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "out.h"

static void assert_out(const char *answer, enum out_form form, const char *expected)
{
	json_t *j = json_loads(answer, 0, NULL);
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(j);
	assert_int_equal(out_print(f, j, form), 0);
	fclose(f);
	assert_string_equal(text, expected);
	free(text);
	json_decref(j);
}

static void test_table(void **state)
{
	(void)state;
	assert_out("{\"exit\": 0, \"sets\": ["
		   "{\"name\": \"neighbours\", \"rate_bps\": 128000, \"learned\": 3},"
		   "{\"name\": \"x\", \"rate_bps\": 1500000000, \"learned\": 1024}]}",
		   OUT_TEXT,
		   "NAME            RATE  LEARNED\n"
		   "neighbours   128kbit        3\n"
		   "x           1500mbit     1024\n");
}

static void test_waits(void **state)
{
	(void)state;
	assert_out("{\"a\": [{\"delay_us\": 0}, {\"delay_us\": 999}, {\"delay_us\": 4250}, {\"delay_us\": 9999999},"
		   "{\"delay_us\": 10000000}]}",
		   OUT_TEXT,
		   "   DELAY\n"
		   "     0us\n"
		   "   999us\n"
		   "   4.2ms\n"
		   "9999.9ms\n"
		   "     10s\n");
}

/* A rate is a number and stands to the right, a list of words is text and stands to the left. */
static void test_columns(void **state)
{
	(void)state;
	assert_out("{\"a\": [{\"how\": [\"ip\", \"arp\"], \"n\": 5}, {\"how\": [\"nd\"], \"n\": 10, \"late\": true}]}",
		   OUT_TEXT,
		   "HOW      N  LATE\n"
		   "ip,arp   5\n"
		   "nd      10  yes\n");
}

/* A column that no row has anything for is not worth its width. */
static void test_empty_column(void **state)
{
	(void)state;
	assert_out("{\"a\": [{\"b\": null, \"c\": 1, \"d\": \"\"}]}", OUT_TEXT, "C\n1\n");
}

static void test_depth_indents(void **state)
{
	(void)state;
	assert_out("{\"classes\": [{\"name\": \"all\", \"depth\": 0, \"number\": 1}, {\"name\": \"voice\", \"depth\": "
		   "1, \"number\": "
		   "12}]}",
		   OUT_TEXT,
		   "NAME     NUMBER\n"
		   "all           1\n"
		   "  voice      12\n");
	assert_out(
		"{\"classes\": [{\"name\": \"a\", \"depth\": -2147483649}, {\"name\": \"b\", \"depth\": 2147483647}]}",
		OUT_TEXT,
		"NAME\n"
		"a\n"
		"                                                                "
		"                                                                b\n");
}

/* An inner class has no queue: its null keeps the columns in the order of the keys. */
static void test_htb_classes(void **state)
{
	(void)state;
	assert_out("{\"hooks\": [{\"interface\": \"wan0\", \"type\": \"htb\", \"ifb\": \"qosd0a1b2c3d\", \"classes\": ["
		   "{\"name\": \"root\", \"depth\": 0, \"classid\": \"5100:1\", \"ceil_bps\": 20000000, "
		   "\"cburst_bytes\": 2500, "
		   "\"prio\": null, \"quantum_bytes\": null, \"leaf\": null, \"default\": false},"
		   "{\"name\": \"rest\", \"depth\": 1, \"classid\": \"5100:fffe\", \"ceil_bps\": 4000000, "
		   "\"cburst_bytes\": 1514, \"prio\": 3, \"quantum_bytes\": 60000, \"leaf\": \"fq_codel\", "
		   "\"default\": true}]}]}",
		   OUT_TEXT,
		   "interface wan0, type htb, ifb qosd0a1b2c3d\n"
		   "  NAME    CLASSID      CEIL  CBURST BYTES  PRIO  QUANTUM BYTES  LEAF      DEFAULT\n"
		   "  root    5100:1     20mbit          2500                                 no\n"
		   "    rest  5100:fffe   4mbit          1514     3       58.6 KiB  fq_codel  yes\n");
}

static void test_sections(void **state)
{
	(void)state;
	assert_out(
		"{\"hooks\": [{\"interface\": \"wan0\", \"direction\": \"ingress\", \"classes\": [{\"name\": \"a\"}]},"
		"{\"interface\": \"lan0\", \"note\": null, \"classes\": []}]}",
		OUT_TEXT,
		"interface wan0, direction ingress\n"
		"  NAME\n"
		"  a\n"
		"\n"
		"interface lan0\n");
}

static void test_lines_and_values(void **state)
{
	(void)state;
	assert_out("{\"exit\": 1, \"error\": \"e\", \"messages\": [], \"changes\": [\"+ a\", \"- b\"], \"bypass\": "
		   "false, \"kernel\": "
		   "\"6.1\"}",
		   OUT_TEXT, "+ a\n- b\nbypass: no\nkernel: 6.1\n");
	assert_out("{\"sets\": []}", OUT_TEXT, "no sets\n");
	assert_out("{}", OUT_TEXT, "");
}

static void test_block(void **state)
{
	(void)state;
	assert_out("{\"effective\": \"version: 1\\nsets: {}\"}", OUT_TEXT, "version: 1\nsets: {}\n");
	assert_out("{\"files\": [{\"file\": \"a\", \"text\": \"b\\n\\tc\\n\"}]}", OUT_TEXT, "file a\nb\n\tc\n");
}

static void test_units(void **state)
{
	(void)state;
	assert_out("{\"t_ms\": 0}", OUT_TEXT, "t: 0.0s\n");
	assert_out("{\"t_ms\": 9999}", OUT_TEXT, "t: 9.9s\n");
	assert_out("{\"t_ms\": 59000}", OUT_TEXT, "t: 59s\n");
	assert_out("{\"t_ms\": 60000}", OUT_TEXT, "t: 1m\n");
	assert_out("{\"t_ms\": 303000}", OUT_TEXT, "t: 5m 3s\n");
	assert_out("{\"t_ms\": 7800000}", OUT_TEXT, "t: 2h 10m\n");
	assert_out("{\"t_ms\": 950400000}", OUT_TEXT, "t: 11d\n");
	assert_out("{\"bytes\": 10239}", OUT_TEXT, "bytes: 10239\n");
	assert_out("{\"drop_bytes\": 67036}", OUT_TEXT, "drop bytes: 65.5 KiB\n");
	assert_out("{\"bytes\": 10240}", OUT_TEXT, "bytes: 10.0 KiB\n");
	assert_out("{\"bytes\": 1048576}", OUT_TEXT, "bytes: 1.00 MiB\n");
	assert_out("{\"bytes\": 9223372036854775807}", OUT_TEXT, "bytes: 8.00 EiB\n");
	assert_out("{\"last_seen_ago_ms\": 1000}", OUT_TEXT, "last seen ago: 1.0s\n");
}

/* A name that an interface or a file brought along is not a command to the terminal. */
static void test_control_characters(void **state)
{
	(void)state;
	assert_out("{\"a\": \"x\\u001b[2Jy\\u009bz\"}", OUT_TEXT, "a: x?[2Jy?z\n");
	assert_out("{\"a\": [{\"b\": \"x\\ry\\u007f\"}, {\"b\": \"c\"}]}", OUT_TEXT, "B\nx?y?\nc\n");
}

static void test_wide_characters(void **state)
{
	(void)state;
	assert_out("{\"a\": [{\"b\": \"\xc3\xbc\", \"c\": \"x\"}, {\"b\": \"uu\", \"c\": \"x\"}]}", OUT_TEXT,
		   "B   C\n"
		   "\xc3\xbc   x\n"
		   "uu  x\n");
}

static void test_json(void **state)
{
	(void)state;
	assert_out("{\"exit\": 0, \"sets\": [{\"name\": \"x\", \"rate_bps\": 8}]}", OUT_JSON,
		   "{\n  \"exit\": 0,\n  \"sets\": [\n    {\n      \"name\": \"x\",\n      \"rate_bps\": 8\n    }\n  "
		   "]\n}\n");
}

static void test_full_disk(void **state)
{
	json_t *j = json_pack("{s:i}", "n", 1);
	FILE *f = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(f);
	assert_true(out_print(f, j, OUT_TEXT) < 0);
	fclose(f);
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_empty_column),
		cmocka_unit_test(test_depth_indents),
		cmocka_unit_test(test_htb_classes),
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_lines_and_values),
		cmocka_unit_test(test_block),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_wide_characters),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
