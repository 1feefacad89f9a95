/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "maps.h"

#include <linux/bpf.h>

#include "../bpf/qosd_abi.h"

#define KEYS \
	.inner_type = BPF_MAP_TYPE_HASH, .inner_key_size = sizeof(struct qosd_lpm), .inner_value_size = QOSD_KEY_SIZE(1)
#define EVENTS_SIZE      (256u * 1024u)
#define KEY_SIZE_AT_ONCE 1024u /* bytes of an entry */

#define LEARNED                                                                      \
	.inner_type = BPF_MAP_TYPE_HASH, .inner_key_size = sizeof(struct qosd_addr), \
	.inner_value_size = sizeof(struct qosd_learned)
#define WRITTEN                                                                      \
	.inner_type = BPF_MAP_TYPE_HASH, .inner_key_size = sizeof(struct qosd_addr), \
	.inner_value_size = sizeof(struct qosd_written)
#define PREFIXES                                                                        \
	.inner_type = BPF_MAP_TYPE_LPM_TRIE, .inner_key_size = sizeof(struct qosd_lpm), \
	.inner_value_size = sizeof(struct qosd_written), .inner_flags = BPF_F_NO_PREALLOC

static const struct {
	const char *name;
	struct kobj_map map;
} roles[MAP_ROLES] = {
	[MAP_SETS_LEARNED] = {"sets_learned",
			      {.type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
			       .key_size = 4,
			       .value_size = 4,
			       .max_entries = QOSD_SETS_MAX,
			       LEARNED}},
	[MAP_SETS_WRITTEN] = {"sets_written",
			      {.type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
			       .key_size = 4,
			       .value_size = 4,
			       .max_entries = QOSD_SETS_MAX,
			       WRITTEN}},
	[MAP_SETS_PREFIXES] = {"sets_prefixes",
			       {.type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
				.key_size = 4,
				.value_size = 4,
				.max_entries = QOSD_SETS_MAX,
				PREFIXES}},
	[MAP_SETS_CONF] = {"sets_conf",
			   {.type = BPF_MAP_TYPE_ARRAY,
			    .key_size = 4,
			    .value_size = sizeof(struct qosd_set_conf),
			    .max_entries = QOSD_SETS_MAX}},
	[MAP_SETS_STATS] = {"sets_stats",
			    {.type = BPF_MAP_TYPE_PERCPU_ARRAY,
			     .key_size = 4,
			     .value_size = sizeof(struct qosd_set_stats),
			     .max_entries = QOSD_SETS_MAX}},
	[MAP_BYPASS] = {"bypass", {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1}},
	[MAP_EVENTS] = {"events", {.type = BPF_MAP_TYPE_RINGBUF, .max_entries = EVENTS_SIZE}},
	[MAP_FORWARDS] = {"forwards",
			  {.type = BPF_MAP_TYPE_ARRAY,
			   .key_size = 4,
			   .value_size = sizeof(struct qosd_forward_conf),
			   .max_entries = QOSD_FORWARD_NUMBERS}},
	[MAP_FORWARDS_STATS] = {"forwards_stats",
				{.type = BPF_MAP_TYPE_PERCPU_ARRAY,
				 .key_size = 4,
				 .value_size = sizeof(struct qosd_forward_stats),
				 .max_entries = QOSD_FORWARD_NUMBERS}},
	[MAP_FORWARDS_OFF] =
		{"forwards_off",
		 {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = QOSD_FORWARD_NUMBERS}},
	[MAP_TARGETS] = {"targets",
			 {.type = BPF_MAP_TYPE_ARRAY,
			  .key_size = 4,
			  .value_size = sizeof(struct qosd_target),
			  .max_entries = QOSD_TARGETS_MAX}},
	[MAP_TARGETS_STATS] = {"targets_stats",
			       {.type = BPF_MAP_TYPE_PERCPU_ARRAY,
				.key_size = 4,
				.value_size = sizeof(struct qosd_target_stats),
				.max_entries = QOSD_TARGETS_MAX}},
	[MAP_LEARNED] = {"learned",
			 {.type = BPF_MAP_TYPE_HASH,
			  .key_size = sizeof(struct qosd_addr),
			  .value_size = sizeof(struct qosd_learned),
			  .max_entries = 1024}},
	[MAP_WRITTEN] = {"written",
			 {.type = BPF_MAP_TYPE_HASH,
			  .key_size = sizeof(struct qosd_addr),
			  .value_size = sizeof(struct qosd_written),
			  .max_entries = 1024}},
	[MAP_PREFIXES] = {"prefixes",
			  {.type = BPF_MAP_TYPE_LPM_TRIE,
			   .key_size = sizeof(struct qosd_lpm),
			   .value_size = sizeof(struct qosd_written),
			   .max_entries = 1024,
			   .flags = BPF_F_NO_PREALLOC}},
	[MAP_CONF] = {"conf",
		      {.type = BPF_MAP_TYPE_ARRAY,
		       .key_size = 4,
		       .value_size = sizeof(struct qosd_class_conf),
		       .max_entries = 16}},
	[MAP_CLOCK] = {"clock",
		       {.type = BPF_MAP_TYPE_ARRAY,
			.key_size = 4,
			.value_size = sizeof(struct qosd_class_clock),
			.max_entries = 16}},
	[MAP_STATS] = {"stats",
		       {.type = BPF_MAP_TYPE_PERCPU_ARRAY,
			.key_size = 4,
			.value_size = sizeof(struct qosd_class_stats),
			.max_entries = 16}},
	[MAP_KEY_CONF] = {"key_conf",
			  {.type = BPF_MAP_TYPE_ARRAY,
			   .key_size = 4,
			   .value_size = sizeof(struct qosd_key_conf),
			   .max_entries = 16}},
	[MAP_KEYS] = {"keys",
		      {.type = BPF_MAP_TYPE_ARRAY_OF_MAPS, .key_size = 4, .value_size = 4, .max_entries = 16, KEYS}},
	[MAP_CLASS_KEYS] = {"keys",
			    {.type = BPF_MAP_TYPE_HASH,
			     .key_size = sizeof(struct qosd_lpm),
			     .value_size = QOSD_KEY_SIZE(1),
			     .max_entries = 1024}},
	[MAP_HOOK_STATS] = {"hook_stats",
			    {.type = BPF_MAP_TYPE_PERCPU_ARRAY,
			     .key_size = 4,
			     .value_size = sizeof(struct qosd_hook_stats),
			     .max_entries = 1}},
};

void maps_describe(enum map_role role, struct kobj_map *out)
{
	*out = roles[role].map;
	out->path = "";
	out->outer = "";
}

/* Entries for every key that there may be are made at once, unless they are so large that it would take too much. */
static uint32_t key_flags(uint32_t value_size)
{
	return value_size > KEY_SIZE_AT_ONCE ? BPF_F_NO_PREALLOC : 0;
}

void maps_size_keys(struct kobj_map *m, uint32_t cpus)
{
	uint32_t size = QOSD_KEY_SIZE(cpus);

	if (m->inner_type) {
		m->inner_value_size = size;
		m->inner_flags = key_flags(size);
	} else if (m->type == BPF_MAP_TYPE_HASH) {
		m->value_size = size;
		m->flags = key_flags(size);
	}
}

const char *maps_name(enum map_role role)
{
	return roles[role].name;
}
