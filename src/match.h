/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * match: what a match list says. Written by the policy loader with names only; the model fills in the set and
 * service pointers. Items of a list are "or", terms of an item are "and", values of a term are "or".
 */
#ifndef QOSD_MATCH_H
#define QOSD_MATCH_H

#include "diag.h"
#include "text.h"

struct model_set;
struct model_service;

enum match_key {
	MATCH_ALL, /* no values: everything */
	MATCH_NOT, /* item is what must not hold */
	MATCH_LOCAL,
	MATCH_REMOTE,
	MATCH_SRC,
	MATCH_DST,
	MATCH_HOST,
	MATCH_LOCAL_PORT,
	MATCH_REMOTE_PORT,
	MATCH_SPORT,
	MATCH_DPORT,
	MATCH_PORT,
	MATCH_PROTO,
	MATCH_SERVICE, /* either port is the service's */
	MATCH_SERVER,  /* the local port is: the local end serves */
	MATCH_CLIENT,  /* the remote port is: the remote end serves */
	MATCH_DSCP,
	MATCH_MARK,
	MATCH_VLAN,
	MATCH_FAMILY,
	MATCH_LENGTH,
	MATCH_TCP_FLAGS,
	MATCH_ICMP_TYPE,
	MATCH_IN_DEV,
	MATCH_KEYS
};

/* One value; which members hold follows from the key. */
struct match_value {
	struct pos pos;
	bool is_set;                         /* addresses: name and set instead of prefix */
	struct prefix prefix;                /* addresses */
	const char *name;                    /* set (without '@'), service or interface name as written */
	const struct model_set *set;         /* filled by the model */
	const struct model_service *service; /* filled by the model */
	uint32_t lo, hi;      /* port, proto, dscp, vlan, length: inclusive range; family: lo is 4 or 6 */
	uint32_t value, mask; /* mark, tcp-flags */
	int icmp4, icmp6;     /* icmp-type; -1: none in that family */
};

struct match_term {
	enum match_key key;
	struct pos pos;
	struct match_value *values;
	size_t n;
	struct match_item *item; /* MATCH_NOT */
};

struct match_item {
	struct pos pos;
	struct match_term *terms;
	size_t n;
};

struct match_list {
	struct pos pos; /* line 0: not written */
	struct match_item *items;
	size_t n;
};

/* "local-port" etc.; the one table of the names of the keys. */
const char *match_key_name(enum match_key key);

#endif
