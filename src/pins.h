/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pins: the pin directory, PIN_DIR/v<QOSD_ABI>/, where the maps outlive the daemon. Mounts a bpffs at PIN_DIR where
 * there is none.
 */
#ifndef QOSD_PINS_H
#define QOSD_PINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pins;

/* Opens (creating, mounting) the directory. NULL with errno and a sentence in why. */
struct pins *pins_open(const char *pin_dir, char *why, size_t size);
void pins_close(struct pins *p);
/* No other process can do this until pins_close or pins_remove_all. Removes what whoever died in pins_replace left
 * there. 0; -EWOULDBLOCK: one has; -errno. */
int pins_lock(struct pins *p);

/* fd of a pinned map by its path below the directory; cached, stays the pins', and open while no more than thirty
 * others are asked for. -errno. */
int pins_map(struct pins *p, const char *path);
/* Forgets cached fds (after maps were replaced). */
void pins_refresh(struct pins *p);
/* Calls fn for every pinned map, path below the directory. Stops at the first non-zero return and returns it. */
int pins_each(struct pins *p, int (*fn)(void *ctx, const char *path, int fd), void *ctx);
/* Pins fd at path (making directories), removes, or replaces atomically. 0 or -errno. */
int pins_put(struct pins *p, const char *path, int fd);
int pins_remove(struct pins *p, const char *path);
int pins_replace(struct pins *p, const char *path, int fd);
/* Removes every pin and directory, and unmounts what pins_open mounted. */
int pins_remove_all(struct pins *p);

#endif
