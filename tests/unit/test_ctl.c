/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The server end of the control socket, in a process of its own, against clients of every kind.
 */
#include <errno.h>
#include <event2/event.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl.h"
#include "wire.h"

static char dir[] = "/tmp/test_ctl.XXXXXX", path[64];
static pid_t server;
static struct ctl *ctl;
static struct event_base *base;

static json_t *run_echo(void *ctx, const json_t *args)
{
	(void)ctx;
	return json_deep_copy(args);
}

static json_t *run_large(void *ctx, const json_t *args)
{
	static char text[8 << 20];

	(void)ctx;
	(void)args;
	memset(text, 'x', sizeof(text) - 1);
	return json_pack("{s:s}", "text", text);
}

/* Longer than a client may take. */
static json_t *run_long(void *ctx, const json_t *args)
{
	sleep(11);
	return run_large(ctx, args);
}

static void end_loop(void *ctx)
{
	(void)ctx;
	event_base_loopbreak(base);
}

static json_t *run_stop(void *ctx, const json_t *args)
{
	(void)ctx;
	(void)args;
	ctl_drain(ctl, end_loop, NULL);
	return json_object();
}

static const struct ctl_command commands[] = {
	{"echo", false, run_echo},  {"large", false, run_large}, {"long", false, run_long},
	{"change", true, run_echo}, {"stop", true, run_stop},    {0},
};

static void serve(int ready)
{
	char why[256] = "";

	signal(SIGPIPE, SIG_IGN);
	base = event_base_new();
	ctl = ctl_open(base, path, commands, NULL, why, sizeof(why));
	if (!ctl) {
		fprintf(stderr, "%s\n", why);
		_exit(1);
	}
	if (write(ready, "1", 1) != 1)
		_exit(1);
	event_base_dispatch(base);
	ctl_close(ctl);
	event_base_free(base);
	_exit(0);
}

static int start(void **state)
{
	int ready[2];
	char c;

	(void)state;
	if (pipe(ready) < 0)
		return -1;
	server = fork();
	if (!server)
		serve(ready[1]);
	close(ready[1]);
	return read(ready[0], &c, 1) == 1 && close(ready[0]) == 0 ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	unlink(path);
	return 0;
}

static int connect_raw(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(to.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Sends any bytes, then (with shut) no more, and reads the answer. */
static json_t *talk(const char *data, size_t len, bool shut)
{
	static char answer[1 << 16];
	int fd = connect_raw();
	size_t have = 0;
	ssize_t n;

	while (len && (n = send(fd, data, len, MSG_NOSIGNAL)) > 0) {
		data += n;
		len -= (size_t)n;
	}
	if (shut)
		shutdown(fd, SHUT_WR);
	while ((n = read(fd, answer + have, sizeof(answer) - have)) > 0)
		have += (size_t)n;
	close(fd);
	return json_loadb(answer, have, 0, NULL);
}

static void assert_exit(json_t *answer, int exit, const char *error)
{
	assert_non_null(answer);
	assert_int_equal(json_integer_value(json_object_get(answer, "exit")), exit);
	if (error)
		assert_string_equal(json_string_value(json_object_get(answer, "error")), error);
	json_decref(answer);
}

static void test_answers(void **state)
{
	json_t *answer = wire_call(path, "echo", json_pack("{s:i}", "n", 5), 5);

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(answer, "n")), 5);
	assert_exit(answer, EXIT_DONE, NULL);
	assert_exit(wire_call(path, "change", NULL, 5), EXIT_DONE, NULL); /* the test is the same user as the server */
	assert_exit(wire_call(path, "dance", NULL, 5), EXIT_USAGE, "qosd knows no command \"dance\"");
}

static void test_large_answer(void **state)
{
	json_t *answer = wire_call(path, "large", NULL, 10);

	(void)state;
	assert_int_equal(strlen(json_string_value(json_object_get(answer, "text"))), (8 << 20) - 1);
	json_decref(answer);
}

static void test_large_answer_that_took_long(void **state)
{
	json_t *answer = wire_call(path, "long", NULL, 60);

	(void)state;
	assert_exit(json_incref(answer), EXIT_DONE, NULL);
	assert_int_equal(strlen(json_string_value(json_object_get(answer, "text"))), (8 << 20) - 1);
	json_decref(answer);
}

static void test_garbage(void **state)
{
	size_t limit = geteuid() ? WIRE_REQUEST_MAX : WIRE_CHANGE_MAX;
	char *much = malloc(limit + 100000), error[64];

	(void)state;
	memset(much, 'x', limit + 100000);
	(void)snprintf(error, sizeof(error), "the request is longer than %zu KiB", limit / 1024);
	assert_exit(talk("\n", 1, false), EXIT_USAGE, "the request is not valid JSON");
	assert_exit(talk("\0\0\0\n", 4, false), EXIT_USAGE, "the request is not valid JSON");
	assert_exit(talk("GET / HTTP/1.0\r\n\r\n", 18, false), EXIT_USAGE, "the request is not valid JSON");
	assert_exit(talk("{\"command\":\"echo\"}", 18, true), EXIT_USAGE, "the request does not end with a newline");
	assert_exit(talk("", 0, true), EXIT_USAGE, "the request does not end with a newline");
	assert_exit(talk(much, limit + 100000, false), EXIT_USAGE, error);
	assert_exit(talk("{\"command\":\"echo\"}\n", 19, true), EXIT_DONE, NULL);
	free(much);
}

/* The second line of a connection is not read. */
static void test_one_request(void **state)
{
	const char *two = "{\"command\":\"echo\"}\n{\"command\":\"stop\"}\n";

	(void)state;
	assert_exit(talk(two, strlen(two), false), EXIT_DONE, NULL);
	assert_exit(wire_call(path, "echo", NULL, 5), EXIT_DONE, NULL);
}

/* Those who connect and say nothing take the places, and leave them. */
static void test_too_many(void **state)
{
	int fds[CTL_CLIENTS_MAX];

	(void)state;
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++)
		fds[i] = connect_raw();
	if (getuid() == 0)
		assert_exit(wire_call(path, "echo", NULL, 5), EXIT_FAILED, "too many clients at once, try again");
	for (size_t i = 0; i < CTL_CLIENTS_MAX; i++)
		close(fds[i]);
	for (int i = 0; i < 100; i++) {
		json_t *answer = wire_call(path, "echo", NULL, 5);
		bool good = json_integer_value(json_object_get(answer, "exit")) == EXIT_DONE;

		json_decref(answer);
		if (good)
			return;
		usleep(10000);
	}
	fail_msg("the places were not given back");
}

static double seconds_of(clockid_t clock)
{
	struct timespec now = {0};

	assert_int_equal(clock_gettime(clock, &now), 0);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Who cannot be accepted waits without keeping a processor busy, and is served once that goes again. */
static void test_no_descriptors(void **state)
{
	struct rlimit files, none;
	clockid_t clock;
	double before;
	int waiting;

	(void)state;
	assert_int_equal(prlimit(server, RLIMIT_NOFILE, NULL, &files), 0);
	assert_int_equal(clock_getcpuclockid(server, &clock), 0);
	none = (struct rlimit){.rlim_cur = 3, .rlim_max = files.rlim_max};
	assert_int_equal(prlimit(server, RLIMIT_NOFILE, &none, NULL), 0);
	waiting = connect_raw();
	before = seconds_of(clock);
	sleep(2);
	assert_true(seconds_of(clock) - before < 0.2);
	assert_int_equal(prlimit(server, RLIMIT_NOFILE, &files, NULL), 0);
	assert_exit(wire_call(path, "echo", NULL, 5), EXIT_DONE, NULL);
	close(waiting);
}

static int call_as(uid_t uid, gid_t gid, const char *command)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
			_exit(99);
		_exit((int)json_integer_value(json_object_get(wire_call(path, command, NULL, 5), "exit")));
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static void test_permission(void **state)
{
	const struct group *group = getgrnam(CTL_GROUP);
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	if (getuid() != 0) {
		print_message("needs root to become somebody else\n");
		skip();
	}
	assert_int_equal(call_as(65534, 65534, "echo"), EXIT_PERMISSION);
	/* Even where the file lets everybody in. */
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(call_as(65534, 65534, "echo"), EXIT_PERMISSION);
	if (!group)
		return;
	assert_int_equal(call_as(65534, group->gr_gid, "echo"), EXIT_DONE);
	assert_int_equal(call_as(65534, group->gr_gid, "change"), EXIT_PERMISSION);
}

/* The answer to stop arrives although others hang on. */
static void test_drain(void **state)
{
	int idle = connect_raw(), status;

	(void)state;
	usleep(50000);
	assert_exit(wire_call(path, "stop", NULL, 5), EXIT_DONE, NULL);
	assert_int_equal(waitpid(server, &status, 0), server);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(access(path, F_OK), -1);
	close(idle);
}

/* A socket that a killed server left behind is replaced. */
static void test_stale_socket(void **state)
{
	(void)state;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(start(NULL), 0);
	assert_exit(wire_call(path, "echo", NULL, 5), EXIT_DONE, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, start, end),
		cmocka_unit_test_setup_teardown(test_large_answer, start, end),
		cmocka_unit_test_setup_teardown(test_large_answer_that_took_long, start, end),
		cmocka_unit_test_setup_teardown(test_garbage, start, end),
		cmocka_unit_test_setup_teardown(test_one_request, start, end),
		cmocka_unit_test_setup_teardown(test_too_many, start, end),
		cmocka_unit_test_setup_teardown(test_no_descriptors, start, end),
		cmocka_unit_test_setup_teardown(test_permission, start, end),
		cmocka_unit_test_setup_teardown(test_drain, start, end),
		cmocka_unit_test_setup_teardown(test_stale_socket, start, end),
	};
	int failed;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/s", dir);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return failed;
}
