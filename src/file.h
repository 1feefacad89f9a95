/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * file: state that must be whole after a crash. A file is written beside, synced and renamed over the old one.
 */
#ifndef QOSD_FILE_H
#define QOSD_FILE_H

#include <jansson.h>
#include <stddef.h>
#include <sys/types.h>

/* Writes data to path with mode 0600, all or nothing. 0 or -errno. */
int file_write(const char *path, const void *data, size_t len);
/* The same for JSON text, keys sorted. */
int file_write_json(const char *path, const json_t *j);
/* mkdir -p. 0 or -errno. */
int file_make_dirs(const char *path, mode_t mode);

#endif
