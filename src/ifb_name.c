/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ifb_name.h"

#include <stdio.h>
#include <stdlib.h>

#include "digest.h"

#define NAME_PREFIX "qosd"
#define INDEX_FIRST 0x51000000
#define INDEX_MASK  0x00ffffff

static uint32_t hash_of(const char *ifname)
{
	uint64_t h = digest_bytes(DIGEST_START, ifname, strlen(ifname));

	return (uint32_t)(h ^ h >> 32);
}

static char *name_of_hash(char buf[IFNAMSIZ], uint32_t hash)
{
	(void)snprintf(buf, IFNAMSIZ, NAME_PREFIX "%08x", hash); /* twelve characters */
	return buf;
}

static int index_of_hash(uint32_t hash)
{
	return INDEX_FIRST + (int)(hash & INDEX_MASK);
}

char *ifb_name(char buf[IFNAMSIZ], const char *ifname)
{
	return name_of_hash(buf, hash_of(ifname));
}

int ifb_index(const char *ifname)
{
	return index_of_hash(hash_of(ifname));
}

int ifb_index_of_ifb(const char *name)
{
	char *end, again[IFNAMSIZ];
	unsigned long hash;

	if (strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) != 0)
		return 0;
	hash = strtoul(name + strlen(NAME_PREFIX), &end, 16);
	if (*end || strcmp(name, name_of_hash(again, (uint32_t)hash)) != 0)
		return 0;
	return index_of_hash((uint32_t)hash);
}
