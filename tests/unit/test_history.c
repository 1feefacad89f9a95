/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The policies that were in force, over restarts, crashes and damage.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "file.h"
#include "history.h"

static char dir[64], why[512];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_history.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static struct history *open_history(void)
{
	struct history *h;

	why[0] = 0;
	h = history_open(dir, why, sizeof(why));
	assert_non_null(h);
	return h;
}

/* What a new daemon would find. */
static struct history *restart(struct history *h)
{
	history_close(h);
	return open_history();
}

static void add(struct history *h, const char *text)
{
	assert_int_equal(history_add(h, text, "root", "/etc/qosd/qosd.yaml"), 0);
}

static size_t count(const struct history *h)
{
	size_t n;

	(void)history_entries(h, &n);
	return n;
}

static void path_to(const char *name, char out[512])
{
	snprintf(out, 512, "%s/history/%s", dir, name);
}

static void overwrite(const char *name, const char *text)
{
	char path[512];

	path_to(name, path);
	assert_int_equal(file_write(path, text, strlen(text)), 0);
}

static bool exists(const char *name)
{
	char path[512];

	path_to(name, path);
	return access(path, F_OK) == 0;
}

static void unlink_file(const char *name)
{
	char path[512];

	path_to(name, path);
	assert_int_equal(unlink(path), 0);
}

/* Policies come into force one after the other; a restart knows them all. */
static void test_normal_use(void **state)
{
	struct history *h = open_history();
	const struct history_entry *e;
	bool rolled_back = true;
	char path[PATH_MAX], text[16] = "";
	size_t n;
	FILE *f;

	(void)state;
	assert_string_equal(why, "");
	assert_int_equal(history_current(h, &rolled_back), 0);
	assert_false(rolled_back);
	assert_null(history_previous(h));
	assert_int_equal(history_left_ms(h), -1);

	assert_int_equal(history_add(h, "one\n", "start", "/etc/qosd/qosd.yaml"), 0);
	assert_int_equal(history_add(h, "two\n", "root", "/etc/qosd/qosd.yaml"), 0);
	for (int i = 0; i < 2; i++) {
		e = history_entries(h, &n);
		assert_int_equal(n, 2);
		assert_int_equal(e[0].number, 1);
		assert_string_equal(e[0].who, "start");
		assert_int_equal(e[1].number, 2);
		assert_string_equal(e[1].who, "root");
		assert_string_equal(e[1].source, "/etc/qosd/qosd.yaml");
		assert_true(e[1].time > 1600000000);
		assert_int_equal(history_current(h, &rolled_back), 2);
		assert_false(rolled_back);
		assert_int_equal(history_previous(h)->number, 1);
		assert_int_equal(history_check(h, 1), 0);
		h = restart(h);
	}
	history_path(h, 1, path);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	assert_string_equal(text, "one\n");
	history_close(h);
}

/* To look is not to write. */
static void test_open_writes_nothing(void **state)
{
	(void)state;
	history_close(open_history());
	assert_int_equal(rmdir(dir), 0); /* it is empty */
	assert_int_equal(mkdir(dir, 0700), 0);
}

static void test_same_text_adds_nothing(void **state)
{
	struct history *h = open_history();

	(void)state;
	add(h, "one\n");
	add(h, "one\n");
	assert_int_equal(count(h), 1);
	h = restart(h);
	add(h, "one\n");
	assert_int_equal(count(h), 1);
	add(h, "one\n\n");
	assert_int_equal(count(h), 2);
	history_close(h);
}

/* The last ten are kept, in memory and on disk; a number is not used twice. */
static void test_keeps_ten(void **state)
{
	struct history *h = open_history();
	const struct history_entry *e;
	char text[16];
	size_t n;

	(void)state;
	for (int i = 1; i <= 15; i++) {
		snprintf(text, sizeof(text), "%d\n", i);
		add(h, text);
	}
	for (int i = 0; i < 2; i++) {
		e = history_entries(h, &n);
		assert_int_equal(n, HISTORY_KEEP);
		assert_int_equal(e[0].number, 6);
		assert_int_equal(e[9].number, 15);
		h = restart(h);
	}
	assert_false(exists("000005.yaml"));
	assert_false(exists("000005.json"));
	assert_true(exists("000006.yaml"));
	history_close(h);
}

/* What is in force, and what a change goes back to, is never forgotten. */
static void test_keeps_what_is_needed(void **state)
{
	struct history *h = open_history();
	char text[16];

	(void)state;
	add(h, "first\n");
	assert_int_equal(history_set_pending(h, 1, 60), 0);
	for (int i = 2; i <= 15; i++) {
		snprintf(text, sizeof(text), "%d\n", i);
		add(h, text);
	}
	assert_int_equal(count(h), HISTORY_KEEP);
	assert_non_null(history_find(h, 1));
	assert_null(history_find(h, 6));
	h = restart(h);
	assert_int_equal(history_pending(h)->back_to, 1);
	history_close(h);
}

/* Going back twice goes two back; what was gone back from does not come up again after the next change. */
static void test_rolled_back(void **state)
{
	struct history *h = open_history();
	bool rolled_back;

	(void)state;
	add(h, "one\n");
	add(h, "two\n");
	add(h, "bad\n");
	assert_int_equal(history_went_back(h, history_previous(h)->number), 0);
	h = restart(h);
	assert_int_equal(history_current(h, &rolled_back), 2);
	assert_true(rolled_back);
	assert_int_equal(history_previous(h)->number, 1);

	assert_true(history_find(h, 3)->left);
	assert_false(history_find(h, 2)->left);

	add(h, "better\n");
	assert_int_equal(history_current(h, &rolled_back), 4);
	assert_false(rolled_back);
	assert_int_equal(history_previous(h)->number, 2);
	h = restart(h);
	assert_int_equal(history_previous(h)->number, 2);

	/* In force again after all. */
	assert_int_equal(history_went_back(h, 3), 0);
	add(h, "best\n");
	assert_int_equal(history_previous(h)->number, 3);
	history_close(h);
}

/* The file was put right again: it is in force, and nothing is new. */
static void test_rolled_back_then_the_same(void **state)
{
	struct history *h = open_history();
	bool rolled_back;

	(void)state;
	add(h, "one\n");
	add(h, "two\n");
	assert_int_equal(history_went_back(h, 1), 0);
	add(h, "one\n");
	h = restart(h);
	assert_int_equal(history_current(h, &rolled_back), 1);
	assert_false(rolled_back);
	assert_int_equal(count(h), 2);
	history_close(h);
}

/* A policy that comes again after others is a new one, with a time of its own. */
static void test_the_same_again(void **state)
{
	struct history *h = open_history();

	(void)state;
	add(h, "one\n");
	add(h, "two\n");
	assert_int_equal(history_went_back(h, 1), 0);
	add(h, "one\n");
	h = restart(h);
	add(h, "two\n");
	assert_int_equal(count(h), 3);
	assert_int_equal(history_current(h, NULL), 3);
	assert_int_equal(history_previous(h)->number, 1);
	history_close(h);
}

static void test_pending_survives_restart(void **state)
{
	struct history *h = open_history();

	(void)state;
	add(h, "one\n");
	assert_int_equal(history_set_pending(h, 1, 100), 0);
	add(h, "two\n");
	h = restart(h);
	assert_true(history_pending(h)->pending);
	assert_int_equal(history_pending(h)->back_to, 1);
	assert_in_range(history_left_ms(h), 95000, 100000);

	assert_int_equal(history_clear_pending(h), 0);
	h = restart(h);
	assert_false(history_pending(h)->pending);
	assert_int_equal(history_left_ms(h), -1);
	assert_int_equal(history_current(h, NULL), 2);
	history_close(h);
}

static void test_pending_is_over(void **state)
{
	struct history *h = open_history();

	(void)state;
	add(h, "one\n");
	assert_int_equal(history_set_pending(h, 1, 0), 0);
	add(h, "two\n");
	assert_int_equal(history_left_ms(h), 0);
	h = restart(h);
	assert_int_equal(history_left_ms(h), 0);
	assert_int_equal(history_went_back(h, 1), 0);
	h = restart(h);
	assert_int_equal(history_left_ms(h), -1);
	history_close(h);
}

/* A reboot ends the time: its clock is another, and whoever rebooted had a reason. */
static void test_pending_of_another_boot(void **state)
{
	struct history *h = open_history();

	(void)state;
	add(h, "one\n");
	add(h, "two\n");
	overwrite("state.json",
		  "{\"current\": 2, \"rolled_back\": false, \"pending\": {\"back_to\": 1, \"deadline_ms\": "
		  "9000000000000, \"boot_id\": \"00000000-0000-0000-0000-000000000000\"}}");
	h = restart(h);
	assert_true(history_pending(h)->pending);
	assert_int_equal(history_left_ms(h), 0);
	history_close(h);
}

/* An hour nobody asked for is none: a time is a day at most, whatever the file says. */
static void test_pending_nonsense(void **state)
{
	struct history *h = open_history();
	char text[512], boot_id[64] = "";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");

	(void)state;
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%63s", boot_id), 1);
	fclose(f);
	add(h, "one\n");
	add(h, "two\n");
	snprintf(text, sizeof(text),
		 "{\"current\": 2, \"pending\": {\"back_to\": 1, \"deadline_ms\": 9223372036854775807, \"boot_id\": "
		 "\"%s\"}}",
		 boot_id);
	overwrite("state.json", text);
	h = restart(h);
	assert_int_equal(history_left_ms(h), 86400000);
	snprintf(text, sizeof(text),
		 "{\"current\": -3, \"pending\": {\"back_to\": 1, \"deadline_ms\": -9223372036854775807, \"boot_id\": "
		 "\"%s\"}}",
		 boot_id);
	overwrite("state.json", text);
	h = restart(h);
	assert_int_equal(history_left_ms(h), 0);
	assert_int_equal(history_current(h, NULL), 0);
	overwrite("state.json", "{\"current\": 2, \"left\": [\"x\", 77, {}], \"pending\": {\"back_to\": 77}}");
	h = restart(h);
	assert_int_equal(history_pending(h)->back_to, 1);
	assert_int_equal(history_left_ms(h), 0);
	history_close(h);
}

/* What is left does not depend on a file that can be opened, nor is an entry damaged that cannot be. */
static void test_no_descriptors(void **state)
{
	struct history *h = open_history();
	struct rlimit files, none;
	int64_t left_ms;
	int checked;

	(void)state;
	add(h, "one\n");
	add(h, "two\n");
	assert_int_equal(history_set_pending(h, 1, 60), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = files.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	left_ms = history_left_ms(h);
	checked = history_check(h, 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	assert_in_range(left_ms, 50000, 60000);
	assert_int_equal(checked, -EMFILE);
	assert_int_equal(history_check(h, 1), 0);
	history_close(h);
}

/* Damaged entries are named and left out; the others are as good as before. Their numbers stay taken. */
static void test_damaged_entries(void **state)
{
	struct history *h = open_history();

	(void)state;
	add(h, "one\n");
	add(h, "two\n");
	add(h, "three\n");
	add(h, "four\n");
	overwrite("000002.yaml", "tw");
	overwrite("000003.json", "{\"time\": 5, \"who\": \"root\"}");
	overwrite("4.json", "{}");
	overwrite("000000.json", "{}");
	overwrite("readme.txt", "hello");
	h = restart(h);
	assert_non_null(strstr(why, "is damaged and left out of the history"));
	assert_int_equal(count(h), 2);
	assert_null(history_find(h, 2));
	assert_null(history_find(h, 3));
	assert_int_equal(history_previous(h)->number, 1);
	assert_int_equal(history_check(h, 1), 0);
	assert_int_equal(history_check(h, 2), -ENOENT);
	overwrite("000001.yaml", "ONE\n");
	assert_int_equal(history_check(h, 1), -EBADMSG);
	history_close(h);
}

/* The policy to go back to is lost: another one that was in force, never one that somebody went back from. */
static void test_lost_way_back(void **state)
{
	struct history *h = open_history();

	(void)state;
	add(h, "one\n");
	add(h, "bad\n");
	assert_int_equal(history_went_back(h, 1), 0);
	add(h, "three\n");
	assert_int_equal(history_set_pending(h, 3, 60), 0);
	add(h, "four\n");
	overwrite("000003.yaml", "thr");
	h = restart(h);
	assert_non_null(strstr(why, "policy 3, to go back to, is lost; policy 1 takes its place"));
	assert_int_equal(history_pending(h)->back_to, 1);
	assert_int_equal(history_previous(h)->number, 1);
	assert_true(history_left_ms(h) > 0);
	overwrite("000001.yaml", "");
	h = restart(h);
	assert_non_null(strstr(why, "stays without being confirmed"));
	assert_int_equal(history_left_ms(h), -1);
	history_close(h);
}

static void test_lost_what_was_gone_back_to(void **state)
{
	struct history *h = open_history();
	bool rolled_back;

	(void)state;
	add(h, "one\n");
	add(h, "two\n");
	assert_int_equal(history_went_back(h, 1), 0);
	overwrite("000001.yaml", "");
	h = restart(h);
	assert_non_null(strstr(why, "policy 1, which was gone back to, is lost"));
	assert_int_equal(history_current(h, &rolled_back), 0);
	assert_false(rolled_back);
	history_close(h);
}

static void test_damaged_newest(void **state)
{
	struct history *h = open_history();

	(void)state;
	add(h, "one\n");
	add(h, "two\n");
	overwrite("000002.json", "");
	h = restart(h);
	assert_int_equal(history_current(h, NULL), 0);
	add(h, "two\n");
	assert_int_equal(history_current(h, NULL), 3);
	assert_int_equal(history_previous(h)->number, 1);
	history_close(h);
}

/* A state that is lost: what was in force last is found again by its text. */
static void test_lost_state(void **state)
{
	struct history *h = open_history();

	(void)state;
	add(h, "one\n");
	add(h, "two\n");
	overwrite("state.json", "[1, 2");
	h = restart(h);
	assert_int_equal(history_current(h, NULL), 0);
	assert_null(history_previous(h));
	add(h, "two\n");
	assert_int_equal(count(h), 2);
	assert_int_equal(history_current(h, NULL), 2);
	assert_int_equal(history_previous(h)->number, 1);

	unlink_file("state.json");
	h = restart(h);
	add(h, "three\n");
	assert_int_equal(history_previous(h)->number, 2);
	history_close(h);
}

/* The daemon died between any two writes of an addition: the next start finds no entry twice and none half. */
static void test_died_while_adding(void **state)
{
	struct history *h = open_history();

	(void)state;
	add(h, "one\n");
	/* Only the text. */
	overwrite("000002.yaml", "two\n");
	overwrite("000003.yaml.new", "thr");
	h = restart(h);
	assert_string_equal(why, "");
	assert_int_equal(count(h), 1);
	assert_int_equal(history_current(h, NULL), 1);
	add(h, "two\n");
	assert_int_equal(history_current(h, NULL), 2);
	assert_false(exists("000003.yaml.new"));

	/* Everything but the state. */
	overwrite("state.json", "{\"current\": 1, \"last\": 1, \"rolled_back\": false}");
	h = restart(h);
	assert_int_equal(history_current(h, NULL), 1);
	add(h, "two\n");
	assert_int_equal(count(h), 2);
	assert_int_equal(history_current(h, NULL), 2);
	assert_int_equal(history_previous(h)->number, 1);
	history_close(h);
}

/* And between the two removals of what is forgotten. */
static void test_died_while_forgetting(void **state)
{
	struct history *h = open_history();
	char text[16];

	(void)state;
	for (int i = 1; i <= 12; i++) {
		snprintf(text, sizeof(text), "%d\n", i);
		add(h, text);
	}
	overwrite("000001.yaml", "1\n");
	overwrite("000002.json", "{}"); /* damaged, and as old */
	h = restart(h);
	add(h, "13\n");
	assert_false(exists("000001.yaml"));
	assert_false(exists("000002.json"));
	history_close(h);
}

/* A disk that takes nothing: told. What somebody asks for is not done then; what the kernel has come to already is
 * known all the same, and written later. */
static void test_cannot_write(void **state)
{
	struct history *h = open_history();
	bool rolled_back;
	char path[512];

	(void)state;
	add(h, "one\n");
	add(h, "two\n");
	assert_int_equal(history_set_pending(h, 1, 60), 0);
	path_to("state.json.new", path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(history_clear_pending(h), -EISDIR);
	assert_true(history_pending(h)->pending);
	assert_int_equal(history_went_back(h, 1), -EISDIR);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(history_current(h, &rolled_back), 1);
		assert_true(rolled_back);
		assert_false(history_pending(h)->pending);
		assert_true(history_find(h, 2)->left);
		if (i)
			break;
		assert_int_equal(history_write_again(h), -EISDIR);
		assert_int_equal(rmdir(path), 0);
		assert_int_equal(history_write_again(h), 0);
		h = restart(h);
	}
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(history_set_pending(h, 1, 60), -EISDIR);
	assert_false(history_pending(h)->pending);
	history_close(h);
}

/* What cannot be an entry is in force all the same: the way back from it is to the one before, not to the one
 * before that. */
static void test_cannot_add(void **state)
{
	struct history *h = open_history();
	bool rolled_back;
	char path[512];

	(void)state;
	add(h, "one\n");
	add(h, "two\n");
	add(h, "bad\n");
	assert_int_equal(history_went_back(h, 2), 0);
	path_to("000004.json.new", path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(history_add(h, "four\n", "root", "/etc/qosd/qosd.yaml"), -EISDIR);
	assert_int_equal(history_current(h, &rolled_back), 0);
	assert_false(rolled_back);
	assert_true(history_lacks_current(h));
	assert_int_equal(history_previous(h)->number, 2);

	/* The policy before is in force again, by its text or by its number. */
	add(h, "two\n");
	assert_false(history_lacks_current(h));
	assert_int_equal(history_current(h, &rolled_back), 2);
	assert_false(rolled_back);
	assert_int_equal(history_add(h, "four\n", "root", "/etc/qosd/qosd.yaml"), -EISDIR);
	assert_int_equal(history_went_back(h, 2), 0);
	assert_false(history_lacks_current(h));
	assert_int_equal(history_previous(h)->number, 1);

	/* A restart knows that none of them was in force. */
	assert_int_equal(history_add(h, "four\n", "root", "/etc/qosd/qosd.yaml"), -EISDIR);
	h = restart(h);
	assert_int_equal(history_current(h, &rolled_back), 0);
	assert_false(rolled_back);
	assert_int_equal(rmdir(path), 0);
	add(h, "four\n");
	assert_int_equal(history_current(h, NULL), 4);
	assert_int_equal(history_previous(h)->number, 2);
	history_close(h);
}

#define TEXT_SIZE 12000

/* On a disk that has room for a few such texts: 0, or the line that was not as it should be. */
static int add_to_a_full_disk(void)
{
	static char text[TEXT_SIZE + 1];
	struct history *h;
	size_t n;

	if (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", dir, "tmpfs", 0, "size=96k"))
		return -1;
	memset(text, '#', TEXT_SIZE);
	h = open_history();
	for (int i = 0; i < 9; i++) {
		text[0] = (char)('a' + i);
		if (history_add(h, text, "root", "/etc/qosd/qosd.yaml"))
			return __LINE__;
		if (i == 4 && history_set_pending(h, 3, 600))
			return __LINE__;
	}
	h = restart(h);
	(void)history_entries(h, &n);
	if (n >= 9 || n < 3)
		return __LINE__;
	if (history_current(h, NULL) != 9 || history_check(h, 9) || history_check(h, 8) || history_check(h, 3))
		return __LINE__;
	if (history_find(h, 1))
		return __LINE__;
	history_close(h);
	return 0;
}

static void test_old_ones_give_way_on_a_full_disk(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (!pid) {
		int line = add_to_a_full_disk();

		if (line > 0)
			print_error("line %d\n", line);
		_exit(line < 0 ? 77 : line > 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip(); /* only root may mount */
	assert_int_equal(status, 0);
}

/* One that was gone back from, and came again, while the disk took neither. */
static void test_unwritten_comes_again(void **state)
{
	struct history *h = open_history();
	char path[512];

	(void)state;
	add(h, "one\n");
	path_to("state.json.new", path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(history_add(h, "two\n", "root", "/etc/qosd/qosd.yaml"), -EISDIR);
	assert_int_equal(history_went_back(h, 1), -EISDIR);
	assert_int_equal(rmdir(path), 0);
	add(h, "two\n");
	assert_int_equal(count(h), 2);
	assert_int_equal(history_current(h, NULL), 2);
	assert_false(history_find(h, 2)->left);
	history_close(h);
}

/* What a full disk did not take is written when the same policy is brought into force once more. */
static void test_written_the_next_time(void **state)
{
	struct history *h = open_history();
	bool rolled_back;
	char path[512];

	(void)state;
	add(h, "one\n");
	add(h, "two\n");
	assert_int_equal(history_went_back(h, 1), 0);
	path_to("state.json.new", path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(history_add(h, "three\n", "root", "/etc/qosd/qosd.yaml"), -EISDIR);
	assert_int_equal(rmdir(path), 0);
	add(h, "three\n");
	h = restart(h);
	assert_int_equal(history_current(h, &rolled_back), 3);
	assert_false(rolled_back);

	/* The text of what was gone back to. */
	assert_int_equal(history_went_back(h, 1), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(history_add(h, "one\n", "root", "/etc/qosd/qosd.yaml"), -EISDIR);
	assert_int_equal(rmdir(path), 0);
	add(h, "one\n");
	h = restart(h);
	assert_int_equal(history_current(h, &rolled_back), 1);
	assert_false(rolled_back);
	history_close(h);
}

/* File names are any bytes. */
static void test_name_that_is_not_utf8(void **state)
{
	struct history *h = open_history();

	(void)state;
	assert_int_equal(history_add(h, "one\n", "root", "/etc/qosd/b\xfcro.yaml"), 0);
	h = restart(h);
	assert_int_equal(count(h), 1);
	assert_string_equal(history_find(h, 1)->source, "/etc/qosd/b?ro.yaml");
	history_close(h);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_normal_use),
		TEST(test_open_writes_nothing),
		TEST(test_same_text_adds_nothing),
		TEST(test_keeps_ten),
		TEST(test_keeps_what_is_needed),
		TEST(test_rolled_back),
		TEST(test_rolled_back_then_the_same),
		TEST(test_the_same_again),
		TEST(test_pending_survives_restart),
		TEST(test_pending_is_over),
		TEST(test_pending_of_another_boot),
		TEST(test_pending_nonsense),
		TEST(test_no_descriptors),
		TEST(test_damaged_entries),
		TEST(test_lost_way_back),
		TEST(test_lost_what_was_gone_back_to),
		TEST(test_damaged_newest),
		TEST(test_lost_state),
		TEST(test_died_while_adding),
		TEST(test_died_while_forgetting),
		TEST(test_cannot_write),
		TEST(test_cannot_add),
		TEST(test_old_ones_give_way_on_a_full_disk),
		TEST(test_unwritten_comes_again),
		TEST(test_written_the_next_time),
		TEST(test_name_that_is_not_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
