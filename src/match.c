/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "match.h"

static const char *const names[MATCH_KEYS] = {
	[MATCH_ALL] = "all",
	[MATCH_NOT] = "not",
	[MATCH_LOCAL] = "local",
	[MATCH_REMOTE] = "remote",
	[MATCH_SRC] = "src",
	[MATCH_DST] = "dst",
	[MATCH_HOST] = "host",
	[MATCH_LOCAL_PORT] = "local-port",
	[MATCH_REMOTE_PORT] = "remote-port",
	[MATCH_SPORT] = "sport",
	[MATCH_DPORT] = "dport",
	[MATCH_PORT] = "port",
	[MATCH_PROTO] = "proto",
	[MATCH_SERVICE] = "service",
	[MATCH_SERVER] = "server",
	[MATCH_CLIENT] = "client",
	[MATCH_DSCP] = "dscp",
	[MATCH_MARK] = "mark",
	[MATCH_VLAN] = "vlan",
	[MATCH_FAMILY] = "family",
	[MATCH_LENGTH] = "length",
	[MATCH_TCP_FLAGS] = "tcp-flags",
	[MATCH_ICMP_TYPE] = "icmp-type",
	[MATCH_IN_DEV] = "in-dev",
};

const char *match_key_name(enum match_key key)
{
	return names[key];
}
