/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * sd: tells the service manager how we are, as sd_notify(3) does, without its library.
 */
#ifndef QOSD_SD_H
#define QOSD_SD_H

#include <stdint.h>

/* Sends "READY=1" and the like to $NOTIFY_SOCKET. 0, also where nobody listens, or -errno. */
int sd_tell(const char *state);
/* RELOADING=1 with the clock that Type=notify-reload wants, see sd_notify(3). */
int sd_tell_reloading(void);

#endif
