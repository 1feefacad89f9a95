/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "diag.h"
#include "wire.h"

static int parse(const char *line, struct wire_request *r, const char **why)
{
	*why = NULL;
	return wire_parse_request(line, strlen(line), r, why);
}

/* ---- requests -------------------------------------------------------------------------------------------------------
 */

static void test_a_request(void **state)
{
	struct wire_request r;
	const char *why;

	(void)state;
	assert_int_equal(parse("{\"command\": \"show\", \"args\": {\"what\": \"classes\"}}", &r, &why), 0);
	assert_string_equal(r.command, "show");
	assert_string_equal(json_string_value(json_object_get(r.args, "what")), "classes");
	wire_request_clear(&r);
	assert_null(r.args);
}

static void test_args_may_be_missing(void **state)
{
	struct wire_request r;
	const char *why;

	(void)state;
	assert_int_equal(parse("{\"command\":\"stats\"}", &r, &why), 0);
	assert_true(json_is_object(r.args));
	assert_int_equal(json_object_size(r.args), 0);
	wire_request_clear(&r);
}

static void test_what_is_no_request(void **state)
{
	static const struct {
		const char *line, *why;
	} cases[] = {
		{"", "the request is not valid JSON"},
		{"stats", "the request is not valid JSON"},
		{"{\"command\":\"stats\"} x", "the request is not valid JSON"},
		{"{\"command\":\"a\",\"command\":\"b\"}", "the request is not valid JSON"},
		{"{\"command\":\"\xff\"}", "the request is not valid JSON"},
		{"{\"command\":\"st\\u0000ats\"}", "the request is not valid JSON"},
		{"[\"stats\"]", "a request is one JSON object"},
		{"{}", "command is missing or not a word"},
		{"{\"command\":1}", "command is missing or not a word"},
		{"{\"command\":\"\"}", "command is missing or not a word"},
		{"{\"command\":\"Stats\"}", "command is missing or not a word"},
		{"{\"command\":\"stats \"}", "command is missing or not a word"},
		{"{\"command\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", "command is missing or not a word"},
		{"{\"command\":\"stats\",\"args\":[]}", "args is not a JSON object"},
		{"{\"command\":\"stats\",\"args\":null}", "args is not a JSON object"},
		{"{\"command\":\"stats\",\"arg\":{}}", "a request has the keys command and args, and no others"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wire_request r;
		const char *why;

		assert_int_equal(parse(cases[i].line, &r, &why), -EINVAL);
		assert_string_equal(why, cases[i].why);
		wire_request_clear(&r); /* harmless */
	}
}

/* 31 letters are the longest command. */
static void test_longest_command(void **state)
{
	struct wire_request r;
	const char *why;

	(void)state;
	assert_int_equal(parse("{\"command\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", &r, &why), 0);
	assert_int_equal(strlen(r.command), 31);
	wire_request_clear(&r);
}

static void test_nesting_ends(void **state)
{
	size_t n = 60000;
	char *line = malloc(n + 1);
	struct wire_request r;
	const char *why;

	(void)state;
	memset(line, '[', n);
	line[n] = 0;
	assert_int_equal(parse(line, &r, &why), -EINVAL);
	free(line);
}

static void test_too_long(void **state)
{
	size_t n = WIRE_CHANGE_MAX + 1;
	char *line = malloc(n);
	struct wire_request r;
	const char *why;

	(void)state;
	memset(line, ' ', n);
	memcpy(line, "{\"command\":\"stats\"}", 19);
	assert_int_equal(wire_parse_request(line, n, &r, &why), -EINVAL);
	assert_string_equal(why, "the request is longer than 24 MiB");
	assert_int_equal(wire_parse_request(line, n - 1, &r, &why), 0);
	wire_request_clear(&r);
	free(line);
}

/* ---- answers --------------------------------------------------------------------------------------------------------
 */

static void assert_text(const char *in, size_t len, const char *expected)
{
	json_t *j = wire_text_n(in, len);

	assert_non_null(j);
	assert_string_equal(json_string_value(j), expected);
	json_decref(j);
}

#define FFFD "\xef\xbf\xbd"

static void test_text_of_any_bytes(void **state)
{
	(void)state;
	assert_text("wan0", 4, "wan0");
	assert_text("", 0, "");
	assert_text("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x99\x82", 15,
		    "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x99\x82");
	assert_text("a\0b", 3, "a" FFFD "b");
	assert_text("\xff\xfe", 2, FFFD FFFD);
	assert_text("\xc3", 1, FFFD);                            /* cut */
	assert_text("\xc0\xaf", 2, FFFD FFFD);                   /* not the shortest form */
	assert_text("\xed\xa0\x80", 3, FFFD FFFD FFFD);          /* surrogate */
	assert_text("\xf4\x90\x80\x80", 4, FFFD FFFD FFFD FFFD); /* beyond U+10FFFF */
	assert_text("\xe2\x82x", 3, FFFD FFFD "x");
}

static void test_no_text_is_null(void **state)
{
	json_t *j = wire_text(NULL);

	(void)state;
	assert_true(json_is_null(j));
	json_decref(j);
}

static void test_counters_stay_positive(void **state)
{
	json_t *j = wire_count(UINT64_MAX);

	(void)state;
	assert_true(json_integer_value(j) == INT64_MAX);
	json_decref(j);
}

static void test_messages(void **state)
{
	struct diag *d = diag_new();
	uint32_t file = diag_add_source(d, "a.yaml", "version: 1\nsetz: {}\n", 20);
	json_t *list, *m;
	const char *level, *name, *id, *text, *printed;
	int line, column;

	(void)state;
	diag_error(d, (struct pos){file, 2, 1}, "unknown-key", "unknown key %s", "setz");
	list = wire_messages(d);
	assert_int_equal(json_array_size(list), 1);
	m = json_array_get(list, 0);
	assert_int_equal(json_unpack(m, "{s:s,s:s,s:i,s:i,s:s,s:s,s:s !}", "level", &level, "file", &name, "line",
				     &line, "column", &column, "id", &id, "text", &text, "printed", &printed),
			 0);
	assert_string_equal(level, "error");
	assert_string_equal(name, "a.yaml");
	assert_int_equal(line, 2);
	assert_int_equal(column, 1);
	assert_string_equal(id, "unknown-key");
	assert_string_equal(text, "unknown key setz");
	assert_non_null(strstr(printed, "a.yaml:2:1: error: unknown key setz [unknown-key]\n"));
	json_decref(list);
	diag_free(d);
}

/* ---- a conversation -------------------------------------------------------------------------------------------------
 */

/* A server for one client: a process that says say after it has read a line, or says nothing at all (NULL). */
struct server {
	char dir[32], path[64];
	pid_t pid;
};

static void serve_one(int listener, const char *say)
{
	int fd = accept(listener, NULL, NULL);
	char c = 0;

	while (c != '\n' && read(fd, &c, 1) == 1)
		;
	if (!say)
		pause();
	if (write(fd, say, strlen(say)) < 0)
		_exit(1);
	_exit(0);
}

static void server_start(struct server *s, const char *say)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(s->dir, "/tmp/test_wire.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/s", s->dir);
	strcpy(at.sun_path, s->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	s->pid = fork();
	if (!s->pid)
		serve_one(fd, say);
	close(fd);
}

static void server_end(struct server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	unlink(s->path);
	rmdir(s->dir);
}

static void assert_call(const char *say, int exit, const char *error)
{
	struct server s;
	json_t *reply;

	server_start(&s, say);
	reply = wire_call(s.path, "stats", NULL, 1);
	server_end(&s);
	assert_int_equal(json_integer_value(json_object_get(reply, "exit")), exit);
	if (error)
		assert_string_equal(json_string_value(json_object_get(reply, "error")), error);
	json_decref(reply);
}

static void test_an_answer(void **state)
{
	(void)state;
	assert_call("{\"exit\": 6, \"error\": \"no\"}\n", EXIT_INVALID, "no");
}

static void test_half_an_answer(void **state)
{
	(void)state;
	assert_call("{\"exit\": 0", EXIT_FAILED, "qosd closed the connection without a whole answer");
	assert_call("", EXIT_FAILED, "qosd closed the connection without a whole answer");
	assert_call("{\"exit\": \"0\"}", EXIT_FAILED, "qosd closed the connection without a whole answer");
}

/* A daemon that hangs does not hang its command line. */
static void test_no_answer(void **state)
{
	time_t start = time(NULL);

	(void)state;
	assert_call(NULL, EXIT_FAILED, "qosd did not answer within 1 s");
	assert_true(time(NULL) - start < 10);
}

static void test_nobody_there(void **state)
{
	json_t *reply = wire_call("/nonexistent/qosd.sock", "stats", NULL, 1);

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(reply, "exit")), EXIT_NOT_RUNNING);
	json_decref(reply);
}

/* The socket is there and nobody listens, as after a kill -9. */
static void test_dead_socket(void **state)
{
	struct server s;
	json_t *reply;

	(void)state;
	server_start(&s, "");
	kill(s.pid, SIGKILL);
	waitpid(s.pid, NULL, 0);
	reply = wire_call(s.path, "stats", NULL, 1);
	assert_int_equal(json_integer_value(json_object_get(reply, "exit")), EXIT_NOT_RUNNING);
	json_decref(reply);
	unlink(s.path);
	rmdir(s.dir);
}

static void test_path_too_long(void **state)
{
	char path[300];
	json_t *reply;

	(void)state;
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = 0;
	reply = wire_call(path, "stats", NULL, 1);
	assert_int_equal(json_integer_value(json_object_get(reply, "exit")), EXIT_FAILED);
	json_decref(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_request),
		cmocka_unit_test(test_args_may_be_missing),
		cmocka_unit_test(test_what_is_no_request),
		cmocka_unit_test(test_longest_command),
		cmocka_unit_test(test_nesting_ends),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_text_of_any_bytes),
		cmocka_unit_test(test_no_text_is_null),
		cmocka_unit_test(test_counters_stay_positive),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_an_answer),
		cmocka_unit_test(test_half_an_answer),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_dead_socket),
		cmocka_unit_test(test_path_too_long),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
