/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qosctl_cmds.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "csv.h"
#include "diag.h"
#include "mem.h"
#include "model.h"
#include "out.h"
#include "text.h"
#include "wire.h"

#define LOOK_S           30  /* how long the daemon may take to answer a question */
#define CHANGE_S         120 /* and to change something */
#define TOP_N            20  /* of stats --sort */
#define TOP_MAX          10000
#define GONE_S           10  /* and to end after it was told to stop */
#define CONFIRM_S        120 /* to confirm a change, if nothing else is said */
#define MATCHES(s, word) (strcmp((s), (word)) == 0)

/* What the command line said. */
struct cli {
	const char *run_dir;
	const char *config;
	bool json, exit_code, effective;
	unsigned confirm_s; /* 0: not asked for */
	unsigned top;       /* likewise */
	const char *sort;   /* NULL: not asked for */
};

enum flag { /* options that not every command takes */
	    FLAG_EXIT_CODE = 1,
	    FLAG_EFFECTIVE = 2,
	    FLAG_CONFIG = 4,
	    FLAG_CONFIRM = 8,
	    FLAG_TOP = 16,
	    FLAG_SORT = 32,
};

struct command {
	const char *name;
	const char *args, *help;
	int min_args, max_args; /* -1: any number */
	unsigned flags;         /* of enum flag */
	int (*run)(const struct cli *c, int argc, char **argv);
};

/* One line: names in it may be any bytes. */
__attribute__((format(printf, 1, 0))) static void complain_line(const char *fmt, va_list ap, const char *end)
{
	struct arena *a = arena_new();

	fprintf(stderr, "qosctl: %s%s\n", text_harmless(arena_vprintf(a, fmt, ap), false), end);
	arena_free(a);
}

__attribute__((format(printf, 1, 2))) static void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain_line(fmt, ap, "");
	va_end(ap);
}

__attribute__((format(printf, 1, 2))) static int usage_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain_line(fmt, ap, "; see qosctl help");
	va_end(ap);
	return EXIT_USAGE;
}

/* ---- asking the daemon ----------------------------------------------------------------------------------------------
 */

static json_t *ask(const struct cli *c, const char *command, json_t *args, unsigned timeout_s)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/" WIRE_SOCKET, c->run_dir); /* too long: wire_call refuses */
	return wire_call(path, command, args, timeout_s);
}

/* Messages about the policy, and why it was refused, go to standard error in both forms. */
static void complain_about(const json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error")), *text;
	const char *warning = json_string_value(json_object_get(answer, "warning"));
	json_t *message;
	size_t i;

	json_array_foreach (json_object_get(answer, "messages"), i, message)
		if ((text = json_string_value(json_object_get(message, "printed"))))
			fputs(text, stderr);
	if (warning)
		complain("warning: %s", warning);
	if (error)
		complain("%s", error);
}

/* What was printed is out, or the command has failed. */
static int printed(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_DONE;
	complain("cannot write to standard output");
	return EXIT_FAILED;
}

/* Prints the answer, which it takes over, and says how the command ends. */
static int finish(const struct cli *c, json_t *answer)
{
	int status = (int)json_integer_value(json_object_get(answer, "exit"));

	complain_about(answer);
	if ((c->json || status == EXIT_DONE) && out_print(stdout, answer, c->json ? OUT_JSON : OUT_TEXT) < 0) {
		complain("cannot write to standard output");
		status = status == EXIT_DONE ? EXIT_FAILED : status;
	}
	json_decref(answer);
	return status;
}

/* ---- check ----------------------------------------------------------------------------------------------------------
 */

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static json_t *check_answer(const char *file, struct diag *d, const char *effective)
{
	json_t *j = json_object();

	json_object_set_new(j, "file", wire_text(file));
	json_object_set_new(j, "errors", wire_count(diag_errors(d)));
	json_object_set_new(j, "warnings", wire_count(diag_warnings(d)));
	json_object_set_new(j, "messages", wire_messages(d));
	if (effective)
		json_object_set_new(j, "effective", wire_text(effective));
	return j;
}

static void check_text(const char *file, struct diag *d, const char *effective)
{
	size_t errors = diag_errors(d), warnings = diag_warnings(d);

	diag_print(d, stderr);
	if (effective)
		fputs(effective, stdout);
	else if (errors || warnings)
		printf("%s: %zu error%s, %zu warning%s\n", file, errors, plural(errors), warnings, plural(warnings));
	else
		printf("%s: ok\n", file);
}

/* True if the policy is good. With json a row is added to files. */
static bool check_file(const struct cli *c, const char *file, json_t *files)
{
	struct arena *a = arena_new();
	struct diag *d = diag_new();
	const struct model *m = model_load(a, d, file);
	const char *effective = m && c->effective ? model_print(a, m) : NULL;

	if (c->json)
		json_array_append_new(files, check_answer(file, d, effective));
	else
		check_text(file, d, effective);
	diag_free(d);
	arena_free(a);
	return m;
}

static int cmd_check(const struct cli *c, int argc, char **argv)
{
	json_t *answer = json_object(), *files = json_array();
	int status = EXIT_DONE;

	if (!argc && !check_file(c, c->config, files))
		status = EXIT_INVALID;
	for (int i = 0; i < argc; i++)
		if (!check_file(c, argv[i], files))
			status = EXIT_INVALID;
	json_object_set_new(answer, "exit", json_integer(status));
	json_object_set_new(answer, "files", files);
	if (c->json)
		(void)out_print(stdout, answer, OUT_JSON); /* printed() sees whether it could */
	json_decref(answer);
	return printed() == EXIT_DONE ? status : status == EXIT_DONE ? EXIT_FAILED : status;
}

/* ---- the others -----------------------------------------------------------------------------------------------------
 */

/* What the note says to people. */
static void drop_noted(const struct cli *c, json_t *answer)
{
	if (c->json)
		return;
	json_object_del(answer, "goes_back_to");
	json_object_del(answer, "left_ms");
}

/* A list of changes that is empty says so in words. */
static int finish_changes(const struct cli *c, json_t *answer, const char *if_none)
{
	bool none = !json_array_size(json_object_get(answer, "changes"));

	drop_noted(c, answer);
	if (!c->json && none && !json_object_get(answer, "error")) {
		json_object_del(answer, "changes");
		puts(if_none);
	}
	return finish(c, answer);
}

static int cmd_plan(const struct cli *c, int argc, char **argv)
{
	json_t *answer = ask(c, "plan", NULL, CHANGE_S);
	bool something = json_array_size(json_object_get(answer, "changes"));
	int status = (int)json_integer_value(json_object_get(answer, "exit"));

	(void)argc;
	(void)argv;
	if (status != EXIT_DONE || !c->exit_code || !something)
		return finish_changes(c, answer, "nothing to do");
	if (c->json)
		json_object_set_new(answer, "exit", json_integer(EXIT_FAILED));
	status = finish_changes(c, answer, "nothing to do");
	return status == EXIT_DONE ? EXIT_FAILED : status;
}

static int cmd_reload(const struct cli *c, int argc, char **argv)
{
	json_t *args = c->confirm_s ? json_pack("{s:i}", "confirm_s", (int)c->confirm_s) : NULL;

	(void)argc;
	(void)argv;
	return finish_changes(c, ask(c, "reload", args, CHANGE_S), "nothing to do");
}

static int cmd_confirm(const struct cli *c, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return finish(c, ask(c, "confirm", NULL, CHANGE_S));
}

/* Decimal digits and nothing else, up to max. */
static bool read_number(const char *s, unsigned long max, unsigned long *n)
{
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*n = strtoul(s, &end, 10);
	return !*end && !errno && *n <= max;
}

static int cmd_rollback(const struct cli *c, int argc, char **argv)
{
	json_t *args = NULL;
	unsigned long number;

	if (argc && (!read_number(argv[0], UINT32_MAX, &number) || !number))
		return usage_error("%s is no number of a policy, as `qosctl show history` shows them", argv[0]);
	if (argc)
		args = json_pack("{s:I}", "number", (json_int_t)number);
	return finish_changes(c, ask(c, "rollback", args, CHANGE_S), "nothing to do");
}

static int cmd_show(const struct cli *c, int argc, char **argv)
{
	json_t *args;

	if (argc == 2 && !MATCHES(argv[0], "sets"))
		return usage_error("show %s takes no name", argv[0]);
	args = json_pack("{s:o}", "what", wire_text(argv[0]));
	if (argc == 2)
		json_object_set_new(args, "name", wire_text(argv[1]));
	return finish(c, ask(c, "show", args, LOOK_S));
}

/* "last_hop 3" for people, in a row of its own kind: of a rule or of an interface. */
static void name_missed(json_t *row)
{
	json_t *words = json_array(), *n;
	const char *why;

	json_object_foreach (json_object_get(row, "missed"), why, n) {
		json_t *word = json_sprintf("%s %" JSON_INTEGER_FORMAT, why, json_integer_value(n));

		json_array_append_new(words, word);
	}
	json_object_set_new(row, "missed", words);
	json_object_del(row, "kernel_packets");
	json_object_del(row, "kernel_bytes");
}

/* Of keys that nobody has looked at for a minute there is a rate only after two seconds. */
static int stats_top(const struct cli *c)
{
	json_t *answer = NULL, *wait = NULL;

	for (int tries = 0; tries < 3 && (!answer || wait); tries++) {
		json_t *args = json_pack("{s:i, s:s}", "top", (int)(c->top ? c->top : TOP_N), "sort",
					 c->sort ? c->sort : "rate");

		if (wait)
			(void)usleep((useconds_t)json_integer_value(wait) * 1000); /* cut short: asks again earlier */
		json_decref(answer);
		answer = ask(c, "stats", args, LOOK_S);
		wait = json_object_get(answer, "wait_ms");
	}
	return finish(c, answer);
}

static int cmd_stats(const struct cli *c, int argc, char **argv)
{
	json_t *args = NULL, *answer, *row;
	size_t i;

	if (c->sort && !c->top)
		return argc ? usage_error("stats --sort takes no %s", argv[0]) : stats_top(c);
	if (c->top)
		return argc ? usage_error("stats --top takes no %s", argv[0]) : stats_top(c);

	if (argc && !MATCHES(argv[0], "interfaces"))
		return usage_error("stats: \"%s\" is not interfaces", argv[0]);
	if (argc)
		args = json_pack("{s:s}", "what", argv[0]);
	answer = ask(c, "stats", args, LOOK_S);
	json_array_foreach (json_object_get(answer, argc ? "interfaces" : "forward"), i, row)
		if (!c->json)
			name_missed(row);
	return finish(c, answer);
}

/* "up RATE" and "down RATE", each once. */
static int rate_args(json_t *args, int argc, char **argv)
{
	for (int i = 0; i < argc; i += 2) {
		const char *key = MATCHES(argv[i], "up")     ? "up_bps"
				  : MATCHES(argv[i], "down") ? "down_bps"
							     : NULL,
			   *why;
		struct rate rate;

		if (!key)
			return usage_error("\"%s\" is neither up nor down", argv[i]);
		if (i + 1 == argc)
			return usage_error("%s wants a rate", argv[i]);
		if (json_object_get(args, key))
			return usage_error("%s is there twice", argv[i]);
		if (text_rate(argv[i + 1], &rate, &why) < 0)
			return usage_error("%s: %s", argv[i + 1], why);
		if (!rate.Bps || rate.Bps > INT64_MAX / 8)
			return usage_error("%s: an address has a rate of its own, in bits a second", argv[i + 1]);
		json_object_set_new(args, key, json_integer((json_int_t)rate.Bps * 8));
	}
	return EXIT_DONE;
}

/* Everything that there is to read, NUL-terminated and malloced; NULL: why was told. */
static char *read_file(const char *file)
{
	FILE *in = strcmp(file, "-") ? fopen(file, "re") : stdin;
	size_t room = 1u << 16, n = 0, got;
	char *text = xmalloc(room);

	while (in && (got = fread(text + n, 1, room - 1 - n, in)) > 0 && n <= CSV_SIZE_MAX) {
		n += got;
		if (room - 1 - n < room / 2)
			text = xrealloc(text, room *= 2);
	}
	text[n] = '\0';
	if (!in || ferror(in))
		complain("cannot read %s: %s", file, strerror(errno));
	else if (n > CSV_SIZE_MAX)
		complain("%s is larger than 16 MiB", file);
	else if (strlen(text) != n)
		complain("%s holds a NUL byte, expected text", file);
	else
		goto out;
	free(text);
	text = NULL;
out:
	if (in && in != stdin)
		(void)fclose(in); /* only read from */
	return text;
}

static int set_import(const struct cli *c, const char *name, const char *file)
{
	char *text = read_file(file);
	json_t *args;

	if (!text)
		return EXIT_FAILED;
	args = json_pack("{s:o, s:s, s:o, s:o}", "name", wire_text(name), "action", "import", "file",
			 wire_text(MATCHES(file, "-") ? "standard input" : file), "csv", wire_text(text));
	free(text);
	return finish(c, ask(c, "set", args, CHANGE_S));
}

/* As text it is the file itself. */
static int set_export(const struct cli *c, const char *name)
{
	json_t *answer = ask(c, "show", json_pack("{s:s, s:o}", "what", "csv", "name", wire_text(name)), LOOK_S);
	const char *csv = json_string_value(json_object_get(answer, "csv"));

	if (c->json || !csv)
		return finish(c, answer);
	fputs(csv, stdout);
	json_decref(answer);
	return printed();
}

/* import FILE, export, flush. -1: it is none of them. */
static int set_whole(const struct cli *c, int argc, char **argv)
{
	const char *name = argv[0], *action = argv[1];

	if (MATCHES(action, "import"))
		return argc == 3 ? set_import(c, name, argv[2])
				 : usage_error("set %s import wants a file, or - for standard input", name);
	if (!MATCHES(action, "export") && !MATCHES(action, "flush"))
		return -1;
	if (argc != 2)
		return usage_error("set %s %s takes nothing else", name, action);
	if (MATCHES(action, "export"))
		return set_export(c, name);
	return finish(c, ask(c, "set", json_pack("{s:o, s:s}", "name", wire_text(name), "action", action), CHANGE_S));
}

static int cmd_set(const struct cli *c, int argc, char **argv)
{
	const char *name = argv[0], *action = argv[1], *address = argv[2], *why;
	struct prefix p;
	json_t *args;
	int status = set_whole(c, argc, argv);

	if (status >= 0)
		return status;
	if (!MATCHES(action, "add") && !MATCHES(action, "del"))
		return usage_error("set %s: \"%s\" is none of add, del, import, export and flush", name, action);
	if (argc < 3)
		return usage_error("set %s %s wants an address", name, action);
	if (argc > 3 && !MATCHES(action, "add"))
		return usage_error("set %s del takes an address and nothing else", name);
	if (text_prefix(address, &p, &why) < 0)
		return usage_error("%s: %s", address, why);
	args = json_pack("{s:o, s:s, s:o}", "name", wire_text(name), "action", action, "address", wire_text(address));
	status = rate_args(args, argc - 3, argv + 3);
	if (status != EXIT_DONE) {
		json_decref(args);
		return status;
	}
	return finish(c, ask(c, "set", args, CHANGE_S));
}

static int cmd_bypass(const struct cli *c, int argc, char **argv)
{
	(void)argc;
	if (MATCHES(argv[0], "show"))
		return finish(c, ask(c, "show", json_pack("{s:s}", "what", "bypass"), LOOK_S));
	if (!MATCHES(argv[0], "on") && !MATCHES(argv[0], "off"))
		return usage_error("bypass: \"%s\" is not on, off or show", argv[0]);
	return finish(c, ask(c, "bypass", json_pack("{s:b}", "on", MATCHES(argv[0], "on")), CHANGE_S));
}

static int cmd_forward(const struct cli *c, int argc, char **argv)
{
	json_t *args;

	if (MATCHES(argv[0], "show"))
		return argc == 2 ? usage_error("forward show takes no %s", argv[1])
				 : finish(c, ask(c, "show", json_pack("{s:s}", "what", "forward"), LOOK_S));
	if (!MATCHES(argv[0], "on") && !MATCHES(argv[0], "off"))
		return usage_error("forward: \"%s\" is not on, off or show", argv[0]);
	args = json_pack("{s:b}", "on", MATCHES(argv[0], "on"));
	if (argc == 2)
		json_object_set_new(args, "rule", wire_text(argv[1]));
	return finish(c, ask(c, "forward", args, CHANGE_S));
}

/* The daemon has answered, but it is gone only when its socket is. */
static bool wait_until_gone(const struct cli *c)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/" WIRE_SOCKET, c->run_dir); /* it was short enough to be asked */
	for (int i = 0; i < GONE_S * 50; i++) {
		if (access(path, F_OK) < 0)
			return true;
		(void)usleep(20000); /* cut short: looks again earlier */
	}
	return false;
}

static int cmd_stop(const struct cli *c, int argc, char **argv)
{
	json_t *answer = ask(c, "stop", NULL, CHANGE_S);

	(void)argc;
	(void)argv;
	if (json_integer_value(json_object_get(answer, "exit")) == EXIT_DONE && !wait_until_gone(c)) {
		json_decref(answer);
		answer = wire_error(EXIT_FAILED, "qosd said that it stops, but is still there after %d s", GONE_S);
	}
	if (!c->json)
		json_object_del(answer, "removed");
	return finish(c, answer);
}

/* Our own version, and the daemon's if there is one to ask. */
static int cmd_version(const struct cli *c, int argc, char **argv)
{
	json_t *answer = ask(c, "version", NULL, LOOK_S), *j;
	int status = (int)json_integer_value(json_object_get(answer, "exit"));

	(void)argc;
	(void)argv;
	j = json_pack("{s:i, s:s, s:O}", "exit", status == EXIT_NOT_RUNNING ? EXIT_DONE : status, "qosctl",
		      PACKAGE_VERSION, "qosd", status == EXIT_DONE ? json_object_get(answer, "version") : json_null());
	if (status == EXIT_NOT_RUNNING && !c->json)
		json_object_set_new(j, "qosd", json_string("not running"));
	if (status != EXIT_DONE && status != EXIT_NOT_RUNNING)
		json_object_set(j, "error", json_object_get(answer, "error"));
	json_decref(answer);
	return finish(c, j);
}

static int cmd_help(const struct cli *c, int argc, char **argv);

static const struct command commands[] = {
	{"check", "[FILE ..]", "test policies, without root, daemon or kernel", 0, -1, FLAG_EFFECTIVE | FLAG_CONFIG,
	 cmd_check},
	{"plan", "", "what a reload would change now", 0, 0, FLAG_EXIT_CODE, cmd_plan},
	{"reload", "", "read the policy again and bring it into the kernel", 0, 0, FLAG_CONFIRM, cmd_reload},
	{"confirm", "", "keep what reload --confirm brought", 0, 0, 0, cmd_confirm},
	{"rollback", "[NUMBER]", "go back to the policy before, or to one of the history", 0, 1, 0, cmd_rollback},
	{"show",
	 "policy | effective | interfaces | classes | keys | filters | sets [NAME] | forward | capabilities | history",
	 "what is in force, and what was", 1, 2, 0, cmd_show},
	{"stats", "[interfaces]", "what was counted", 0, 1, FLAG_TOP | FLAG_SORT, cmd_stats},
	{"set",
	 "NAME add ADDRESS [up RATE] [down RATE] | NAME del ADDRESS | NAME import FILE | NAME export | NAME flush",
	 "edit a set, over reloads too", 2, 7, 0, cmd_set},
	{"bypass", "on | off | show", "let everything pass, or not", 1, 1, 0, cmd_bypass},
	{"forward", "on [RULE] | off [RULE] | show", "the fast paths, or the stack for all", 1, 2, 0, cmd_forward},
	{"stop", "", "end the daemon", 0, 0, 0, cmd_stop},
	{"version", "", "qosctl's own and the daemon's", 0, 0, 0, cmd_version},
	{"help", "[COMMAND]", "", 0, 1, 0, cmd_help},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (MATCHES(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int unknown_command(const char *name)
{
	const char *names[N_COMMANDS], *close;

	for (size_t i = 0; i < N_COMMANDS; i++)
		names[i] = commands[i].name;
	close = text_closest(name, names, N_COMMANDS);
	return close ? usage_error("there is no command %s, did you mean %s?", name, close)
		     : usage_error("there is no command %s", name);
}

static int cmd_help(const struct cli *c, int argc, char **argv)
{
	const struct command *k;

	(void)c;
	if (argc) {
		k = find_command(argv[0]);
		if (!k)
			return unknown_command(argv[0]);
		printf("usage: qosctl %s%s%s\n", k->name, *k->args ? " " : "", k->args);
		if (*k->help)
			printf("        %s\n", k->help);
		return printed();
	}
	puts("usage: qosctl [options] command\n");
	for (size_t i = 0; i < N_COMMANDS; i++) {
		printf("  %s%s%s\n", commands[i].name, *commands[i].args ? " " : "", commands[i].args);
		if (*commands[i].help)
			printf("        %s\n", commands[i].help);
	}
	puts("\n"
	     "      --json          answers as JSON\n"
	     "      --run-dir DIR   where the daemon's socket is (" WIRE_RUN_DIR ")\n"
	     "  -c, --config FILE   check: the policy if no FILE is given (" WIRE_CONFIG ")\n"
	     "      --effective     check: print what the policy means\n"
	     "      --exit-code     plan: end with 1 if there is something to do\n"
	     "      --top N         stats: the N classes and keys with the most (20)\n"
	     "      --sort WHAT     stats: those with the most rate, drops or delay\n"
	     "      --confirm[=SECONDS]\n"
	     "                      reload: go back after so many seconds (120) unless confirmed\n"
	     "  -V, --version       qosctl's own version\n"
	     "  -h, --help          this\n"
	     "\n"
	     "exit codes: 0 done, 1 failed and what was there still is, 2 usage, 4 no permission,\n"
	     "            6 the policy is invalid, 7 qosd is not running");
	return printed();
}

/* ---- the command line -----------------------------------------------------------------------------------------------
 */

static int run_command(const struct cli *c, unsigned flags, int argc, char **argv)
{
	const struct command *k;

	if (!argc)
		return usage_error("a command is missing");
	k = find_command(argv[0]);
	if (!k)
		return unknown_command(argv[0]);
	if (flags & ~k->flags)
		return usage_error("%s takes no %s", k->name,
				   flags & ~k->flags & FLAG_EXIT_CODE   ? "--exit-code"
				   : flags & ~k->flags & FLAG_EFFECTIVE ? "--effective"
				   : flags & ~k->flags & FLAG_CONFIRM   ? "--confirm"
				   : flags & ~k->flags & FLAG_TOP       ? "--top"
				   : flags & ~k->flags & FLAG_SORT      ? "--sort"
									: "--config");
	argc--;
	argv++;
	if (argc < k->min_args || (k->max_args >= 0 && argc > k->max_args))
		return usage_error("wants: qosctl %s%s%s", k->name, *k->args ? " " : "", k->args);
	return k->run(c, argc, argv);
}

enum {
	OPT_JSON = 256,
	OPT_RUN_DIR,
	OPT_EXIT_CODE,
	OPT_EFFECTIVE,
	OPT_CONFIRM,
	OPT_TOP,
	OPT_SORT,
};

static const struct option options[] = {
	{"json", no_argument, NULL, OPT_JSON},
	{"run-dir", required_argument, NULL, OPT_RUN_DIR},
	{"config", required_argument, NULL, 'c'},
	{"exit-code", no_argument, NULL, OPT_EXIT_CODE},
	{"effective", no_argument, NULL, OPT_EFFECTIVE},
	{"confirm", optional_argument, NULL, OPT_CONFIRM},
	{"top", required_argument, NULL, OPT_TOP},
	{"sort", required_argument, NULL, OPT_SORT},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

int qosctl_main(int argc, char **argv)
{
	struct cli c = {.run_dir = WIRE_RUN_DIR, .config = WIRE_CONFIG};
	unsigned long number;
	unsigned flags = 0;
	int o;

	opterr = 0;
	while ((o = getopt_long(argc, argv, "c:Vh", options, NULL)) != -1) {
		switch (o) {
		case OPT_JSON: c.json = true; break;
		case OPT_RUN_DIR: c.run_dir = optarg; break;
		case 'c':
			c.config = optarg;
			flags |= FLAG_CONFIG;
			break;
		case OPT_EXIT_CODE:
			c.exit_code = true;
			flags |= FLAG_EXIT_CODE;
			break;
		case OPT_EFFECTIVE:
			c.effective = true;
			flags |= FLAG_EFFECTIVE;
			break;
		case OPT_CONFIRM:
			if (!optarg && optind < argc && read_number(argv[optind], WIRE_CONFIRM_MAX, &number))
				return usage_error("write --confirm=%s, without a space", argv[optind]);
			number = CONFIRM_S;
			if (optarg && (!read_number(optarg, WIRE_CONFIRM_MAX, &number) || number < WIRE_CONFIRM_MIN))
				return usage_error("--confirm=%s: not a number of seconds from %d to %d", optarg,
						   WIRE_CONFIRM_MIN, WIRE_CONFIRM_MAX);
			c.confirm_s = (unsigned)number;
			flags |= FLAG_CONFIRM;
			break;
		case OPT_TOP:
			if (!read_number(optarg, TOP_MAX, &number) || !number)
				return usage_error("--top %s: not a number from 1 to %d", optarg, TOP_MAX);
			c.top = (unsigned)number;
			flags |= FLAG_TOP;
			break;
		case OPT_SORT:
			if (!MATCHES(optarg, "rate") && !MATCHES(optarg, "drops") && !MATCHES(optarg, "delay"))
				return usage_error("--sort %s: not rate, drops or delay", optarg);
			c.sort = optarg;
			flags |= FLAG_SORT;
			break;
		case 'V': puts("qosctl " PACKAGE_VERSION); return printed();
		case 'h': return cmd_help(&c, 0, NULL);
		default:
			if (optopt > ' ' && optopt < OPT_JSON && optopt != 'c') /* a letter, among others perhaps */
				return usage_error("-%c is no option", optopt);
			return usage_error("%s is no option, or its value is missing", argv[optind - 1]);
		}
	}
	return run_command(&c, flags, argc - optind, argv + optind);
}
