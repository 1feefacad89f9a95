/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * maps: every map and every constant that the programs see. The pinned ones (src/maps.c has their geometry for the
 * daemon) are put in the place of these definitions when a program is loaded; a program's own tables are sized then.
 */
#ifndef QOSD_MAPS_BPF_H
#define QOSD_MAPS_BPF_H

/* ---- fixed before the program is loaded: the verifier removes what they make unreachable ---- */
const volatile struct qosd_hook_conf hook;
const volatile struct qosd_table_conf table;
const volatile __u32 fenced; /* bit i: hook.learn_slot[i] has a fence */
const volatile __u32 cpus;   /* possible ones: how many struct qosd_key_stats a key has */

/* ---- pinned, shared by all hooks ---- */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, QOSD_SETS_MAX);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_HASH);
			__uint(max_entries, 1024);
			__uint(key_size, sizeof(struct qosd_addr));
			__uint(value_size, sizeof(struct qosd_learned));
		});
} sets_learned SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, QOSD_SETS_MAX);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_HASH);
			__uint(max_entries, 1024);
			__uint(key_size, sizeof(struct qosd_addr));
			__uint(value_size, sizeof(struct qosd_written));
		});
} sets_written SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, QOSD_SETS_MAX);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_LPM_TRIE);
			__uint(max_entries, 1024);
			__uint(map_flags, BPF_F_NO_PREALLOC);
			__uint(key_size, sizeof(struct qosd_lpm));
			__uint(value_size, sizeof(struct qosd_written));
		});
} sets_prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, QOSD_SETS_MAX);
	__type(key, __u32);
	__type(value, struct qosd_set_conf);
} sets_conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, QOSD_SETS_MAX);
	__type(key, __u32);
	__type(value, struct qosd_set_stats);
} sets_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bypass SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

/* ---- pinned, shared by all hooks that forward ---- */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, QOSD_FORWARD_NUMBERS);
	__type(key, __u32);
	__type(value, struct qosd_forward_conf);
} forwards SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, QOSD_FORWARD_NUMBERS);
	__type(key, __u32);
	__type(value, struct qosd_forward_stats);
} forwards_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, QOSD_FORWARD_NUMBERS);
	__type(key, __u32);
	__type(value, __u32);
} forwards_off SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, QOSD_TARGETS_MAX);
	__type(key, __u32);
	__type(value, struct qosd_target);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, QOSD_TARGETS_MAX);
	__type(key, __u32);
	__type(value, struct qosd_target_stats);
} targets_stats SEC(".maps");

/* ---- pinned, one hook's, by class number ---- */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct qosd_class_conf);
} conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct qosd_class_clock);
} clock SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct qosd_class_stats);
} stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct qosd_hook_stats);
} hook_stats SEC(".maps");

/* Made where a class of the hook has `per`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct qosd_key_conf);
} key_conf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_HASH);
			__uint(max_entries, 1);
			__uint(key_size, sizeof(struct qosd_lpm));
			__uint(value_size, QOSD_KEY_SIZE(1)); /* of the real ones: QOSD_KEY_SIZE(cpus) */
		});
} keys SEC(".maps");

/* ---- the program's own, sized when it is loaded ---- */
/* Addresses that this CPU has found in a set in this tick, in a place that the address's last bits give. */
#define NOTED_MAX 64

struct noted {
	struct qosd_addr addr;
	__u32 slot;
	__u32 ifindex;
	__u32 how;
	__u32 tick; /* when, as learn_tick() has it */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NOTED_MAX);
	__type(key, __u32);
	__type(value, struct noted);
} noted SEC(".maps");

/* What the routes said of a flow in this jiffy, asked by this CPU, in a place that the flow's ends give: packets come
 * in trains, and all but the first of one need not ask. */
#define ROUTED_MAX 256

struct flow {
	struct qosd_addr src, dst;
	__u32 sport, dport;
	__u32 rest; /* protocol, TOS, family */
	__u32 here; /* the device that the routes are asked for */
};

struct routed {
	struct flow flow;
	__u32 jiffy;
	__u32 length; /* of a packet that was not too big */
	__u32 ifindex;
	struct bpf_redir_neigh nh;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ROUTED_MAX);
	__type(key, __u32);
	__type(value, struct routed);
} routed SEC(".maps");

/* What coarse_now() says for all of a jiffy. */
struct jiffy_time {
	__u64 jiffy;
	__u64 ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct jiffy_time);
} jiffy_time SEC(".maps");

/* What is exempt has a bucket, a CPU's own: the time at which its debt is paid. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} exempt_clock SEC(".maps");

/* What does not fit on the stack of a hook with keys. A tc program is not interrupted by another on its CPU. */
struct key_scratch {
	struct qosd_addr ends[2]; /* of the packet, by enum qosd_key_side */
	struct qosd_lpm key;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct key_scratch);
} key_scratch SEC(".maps");

/* What a new key begins with: zeros. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, QOSD_KEY_SIZE(1));
} new_key SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, QOSD_WORDS_MAX * sizeof(__u64)); /* table.words of them */
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct qosd_rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct qosd_small_index);
} small_index SEC(".maps");

struct wide_index {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct qosd_wide_index);
};
struct wide_index sport_index SEC(".maps");
struct wide_index dport_index SEC(".maps");
struct wide_index length_index SEC(".maps");

/* The longest prefix that covers an address; its value has the row of all prefixes that do. */
struct addr_index {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct qosd_lpm);
	__type(value, struct qosd_place);
};
struct addr_index src_index SEC(".maps");
struct addr_index dst_index SEC(".maps");

struct steps {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct qosd_step);
};
struct steps src_steps SEC(".maps");
struct steps dst_steps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct qosd_fence);
	__type(value, __u32);
} fence SEC(".maps");

/* CLOCK_MONOTONIC_COARSE, which changes once a jiffy: to ask takes long beside all else that a rule on a set needs. A
 * CPU that asks while the jiffy begins may have the time of the one before. */
static __always_inline __u64 coarse_now(void)
{
	__u32 zero = 0;
	struct jiffy_time *t = bpf_map_lookup_elem(&jiffy_time, &zero);
	__u64 jiffy = bpf_jiffies64();

	if (!t)
		return bpf_ktime_get_coarse_ns();
	if (t->jiffy != jiffy) {
		t->ns = bpf_ktime_get_coarse_ns();
		t->jiffy = jiffy;
	}
	return t->ns;
}

#endif
