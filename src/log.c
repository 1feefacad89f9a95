/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "text.h"

static const char *log_name = "";
static enum log_level log_limit = LOG_LEVEL_INFO;
static bool log_to_journal;

/* Priorities of syslog(3): err, warning, info, debug. */
static const int journal_priority[] = {
	[LOG_LEVEL_ERROR] = 3,
	[LOG_LEVEL_WARNING] = 4,
	[LOG_LEVEL_INFO] = 6,
	[LOG_LEVEL_DEBUG] = 7,
};

static const char *const level_word[] = {
	[LOG_LEVEL_ERROR] = "error: ",
	[LOG_LEVEL_WARNING] = "warning: ",
	[LOG_LEVEL_INFO] = "",
	[LOG_LEVEL_DEBUG] = "debug: ",
};

void log_init(const char *name, enum log_level level)
{
	log_name = name;
	log_limit = level;
	log_to_journal = getenv("JOURNAL_STREAM") != NULL;
}

/* One write per line, so that lines of several processes do not mix. */
__attribute__((format(printf, 2, 0))) static void log_line(enum log_level level, const char *fmt, va_list ap)
{
	char text[2048];
	char priority[8] = "";

	if (level > log_limit)
		return;
	if (log_to_journal)
		(void)snprintf(priority, sizeof(priority), "<%d>", journal_priority[level]); /* always fits */
	(void)vsnprintf(text, sizeof(text), fmt, ap);                                        /* a longer line is cut */
	text_harmless(text, false);
	/* The journal knows the name and the level already. A standard error that cannot be written is nobody's. */
	if (log_to_journal)
		(void)fprintf(stderr, "%s%s\n", priority, text);
	else
		(void)fprintf(stderr, "%s%s%s%s\n", log_name, *log_name ? ": " : "", level_word[level], text);
}

#define LOG_FUNCTION(name, level)         \
	void name(const char *fmt, ...)   \
	{                                 \
		va_list ap;               \
                                          \
		va_start(ap, fmt);        \
		log_line(level, fmt, ap); \
		va_end(ap);               \
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warning, LOG_LEVEL_WARNING)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
