/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ifb_name: what the ifb device is called that takes the ingress of an interface: name and index are a hash of the
 * interface's name, so that they are the same whoever asks and whenever. Pure.
 */
#ifndef QOSD_IFB_NAME_H
#define QOSD_IFB_NAME_H

#include <net/if.h>

/* "qosd1a2b3c4d". Two interfaces may have one name. */
char *ifb_name(char buf[IFNAMSIZ], const char *ifname);
/* 0x51000000 and above: so far the kernel does not count by itself. The same for the same name; two names may have one
 * index, and then these two interfaces cannot both have an ifb. */
int ifb_index(const char *ifname);
/* The index that belongs to the name of an ifb; 0: it is not such a name. */
int ifb_index_of_ifb(const char *name);

#endif
