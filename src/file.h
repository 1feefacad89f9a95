/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * file: state that must be whole after a crash. A file is written beside, synced and renamed over the old one.
 */
#ifndef QOSD_FILE_H
#define QOSD_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Writes data to path with mode 0600, all or nothing. 0 or -errno. */
int file_write(const char *path, const void *data, size_t len);
/* The same for JSON text, keys sorted. */
int file_write_json(const char *path, const json_t *j);
/* mkdir -p. 0 or -errno. */
int file_make_dirs(const char *path, mode_t mode);
/* An fd that locks the directory for as long as it is open, or -errno; -EWOULDBLOCK: another process has locked it. */
int file_lock_dir(const char *path);
/* The first line, without its newline and cut to fit. false, and "": there is none, or it cannot be read. */
bool file_read_line(const char *path, char *line, size_t size);
/* A name as a JSON string: it may be any bytes, which JSON does not take. What is not UTF-8 has a '?' for each byte
 * beyond ASCII. Never NULL. */
json_t *file_json_name(const char *name);

/* Another one since each boot. */
#define FILE_BOOT_ID "/proc/sys/kernel/random/boot_id"

#endif
