/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * log: what the daemon and the commands say to people on standard error. Only the top layers call it.
 * Under systemd (JOURNAL_STREAM set) lines carry a "<N>" priority prefix, see sd-daemon(3).
 */
#ifndef QOSD_LOG_H
#define QOSD_LOG_H

#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* name goes in front of each line ("qosd: "). Messages above level are not written. */
void log_init(const char *name, enum log_level level);
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
