/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * qosd_abi: the layouts that the BPF programs and the daemon share; both compilers check them. A change of a layout
 * or a meaning here raises QOSD_ABI, which names the pin directory, so that old maps are never read as new ones.
 */
#ifndef QOSD_ABI_H
#define QOSD_ABI_H

#ifndef __bpf__
#include <assert.h>
#include <linux/types.h>
#endif

#define QOSD_ABI 4

#define QOSD_RULES_MAX    512 /* rules a hook: bits of a row; a run of rules has one bit */
#define QOSD_SETS_MAX     64  /* sets a daemon: slots of the outer maps */
#define QOSD_DEPTH_MAX    8   /* classes from a leaf to the root, both counted */
#define QOSD_CLASSES_MAX  65000
#define QOSD_CONTINUE_MAX 32  /* classes with `conform: continue` a hook */
#define QOSD_FORWARDS_MAX 255 /* forwarding rules a daemon */
/* Room for two policies in one reload: what the old programs look at stays until the new ones have taken their place.
 */
#define QOSD_FORWARD_NUMBERS (2 * (QOSD_FORWARDS_MAX + 1)) /* of rules, and of what they do; from 1 */
#define QOSD_TARGETS_MAX     (2 * (QOSD_FORWARDS_MAX + 1)) /* slots of devices that they hand packets to */

/* skb->tc_index of a packet that no policer may touch (engine tc): protected, not IP, bypassed, or in a class of
 * QOSD_KIND_PASS, which would otherwise fall through to the `pass` filter and its default class. */
#define QOSD_TC_EXEMPT 0xffff

/* ND and DHCP: so many packets at once on a CPU, and one each so many ns, are never policed. */
#define QOSD_EXEMPT_BURST 256
#define QOSD_EXEMPT_NS    15625000 /* 64 a second */

/* ---- sets --------------------------------------------------------------------------------------------------------
 * Three outer maps (array of maps, QOSD_SETS_MAX slots) hold each set's inner maps:
 *   sets_learned   hash  struct qosd_addr -> struct qosd_learned   measured; max_entries is the set's max
 *   sets_written   hash  struct qosd_addr -> struct qosd_written   configured, and live edits
 *   sets_prefixes  LPM   struct qosd_lpm  -> struct qosd_written   configured prefixes that are not single addresses
 * An address is IPv6, or IPv4 as ::ffff:a.b.c.d.
 */
struct qosd_addr {
	__u8 b[16];
} __attribute__((aligned(4))); /* or a program copies it byte by byte */

struct qosd_lpm {
	__u32 prefixlen; /* 0..128 */
	struct qosd_addr addr;
};

enum qosd_how {
	QOSD_HOW_IP = 1,
	QOSD_HOW_ARP = 2,
	QOSD_HOW_ND = 4,
	QOSD_HOW_RESTORED = 8, /* by the daemon, from the state directory */
};

struct qosd_learned {
	__u64 first_ns; /* bpf_ktime_get_ns */
	__u64 last_ns;
	__u32 ifindex; /* where it was seen last */
	__u32 how;     /* bits of enum qosd_how */
};

struct qosd_written {
	__u64 up_Bps; /* bytes a second; 0: none of its own */
	__u64 down_Bps;
	__u32 bits; /* of the prefix that it is, 0..128 */
	__u32 pad;
};

enum qosd_when_full {
	QOSD_FULL_REFUSE,
	QOSD_FULL_EVICT, /* the program asks the daemon through the event ring */
};

/* sets_conf: array by slot, configured. */
struct qosd_set_conf {
	__u64 timeout_ns; /* 0: never; an older entry no longer counts, whoever removes it */
	__u32 n_prefixes; /* 0: sets_prefixes need not be asked */
	__u32 when_full;  /* enum qosd_when_full */
	__u32 from;       /* bits of enum qosd_how that teach */
	__u32 pad;
};

/* sets_stats: per-CPU array by slot. */
struct qosd_set_stats {
	__u64 learned;  /* new addresses put in */
	__u64 refused;  /* the map was full */
	__u64 fenced;   /* outside `within` */
	__u64 unusable; /* multicast, broadcast, loopback, unspecified, link-local */
	__u64 asked;    /* QOSD_EVENT_SET_FULL sent, at most one a millisecond and CPU */
	__u64 asked_ns; /* when the last was */
};

/* ---- classes -----------------------------------------------------------------------------------------------------
 * Per hook, by class number: conf (array, configured), clock (array, measured), stats (per-CPU array, measured).
 * Number 0 is no class: what passes unclassified; its stats count that.
 */
enum qosd_kind {
	QOSD_KIND_PASS,   /* no rate of its own; engine tc: nor above it */
	QOSD_KIND_POLICE, /* token bucket here */
	QOSD_KIND_COUNT,  /* classed here, policed by a tc action behind */
	QOSD_KIND_EDT,    /* gets a departure time here, for the fq behind */
	QOSD_KIND_HTB,
};

enum qosd_exceed {
	QOSD_EXCEED_DROP,
	QOSD_EXCEED_PASS,
	QOSD_EXCEED_DSCP,
};

#define QOSD_REMARK_DSCP 1
#define QOSD_REMARK_MARK 2

struct qosd_class_conf {
	__u64 burst_ns; /* the bucket's depth, as time at the rate; EDT: the horizon */
	__u32 mult;     /* ns = bytes * mult >> shift, as in psched_ratecfg_precompute (net/sched/sch_generic.c) */
	__u32 shift;
	__u32 mtu;     /* bytes of one packet on the wire; 0: any */
	__u32 parent;  /* class number whose bucket must conform too; 0: none */
	__u32 classid; /* HTB: major:minor for skb->priority */
	__u32 mark;
	__u32 mark_mask;
	__u32 ecn_ns;     /* EDT: what would wait longer is marked, where it can be; 0: nothing is */
	__u8 kind;        /* enum qosd_kind */
	__u8 exceed;      /* enum qosd_exceed */
	__u8 exceed_dscp; /* the six bits */
	__u8 conform_continue;
	__u8 remark; /* bits of QOSD_REMARK_* */
	__u8 remark_dscp;
	__u16 queue; /* HTB: where that class's tree is, for skb->queue_mapping, from 1; 0: leave it */
	__u8 keyed;  /* has an entry in key_conf */
	__u8 there;  /* always 1: a class that does nothing is not one that is not there */
	__u8 pad[14];
};

/* One cache line, and last_ns the only word of it that packets write all the time. For POLICE the time at which the
 * bucket would be empty of debt (GCRA); for EDT the time at which the last packet has left the line. */
struct qosd_class_clock {
	__u64 last_ns;
	__u64 slowness; /* EDT: what 1 MiB takes at the rate at which packets were booked last, ns; 0: none was */
	__u64 pad[3];
	/* Of a class with `per`, for all keys together that its map has no room for. */
	__u64 shared_ns;      /* their clock */
	__u64 shared_packets; /* that had to take it */
	__u64 full_ns;        /* when the map last had no room */
};

/* A packet counts at its class, then at each class up `parent` as far as it gets. */
struct qosd_class_stats {
	__u64 packets; /* that came to the class, segments counted */
	__u64 bytes;   /* wire bytes of those */
	__u64 drop_packets;
	__u64 drop_bytes;
	__u64 exceed_packets; /* over the rate and not dropped */
	__u64 exceed_bytes;
	/* EDT, of packets that depart: how long each waits, summed up, and those that got the mark of congestion. */
	__u64 delay_ns;
	__u64 mark_packets;
	__u64 mark_bytes;
	/* EDT: of those dropped, what would have waited for the horizon. The others were over a rate. */
	__u64 horizon_packets;
	__u64 horizon_bytes;
	/* EDT: of those not dropped here, what a class above has dropped, so that they do not depart. */
	__u64 above_packets;
};

/* ---- keys --------------------------------------------------------------------------------------------------------
 * A class with `per`: a clock for each address or prefix of one end. Per hook, by class number: key_conf (array,
 * configured) and keys (array of maps); each class's own map is a hash from struct qosd_lpm to struct qosd_class_clock
 * with a struct qosd_key_stats for each possible CPU behind it, so that a packet finds both in one lookup. Measured.
 * The daemon takes out what was idle for the timeout; nothing else leaves.
 */
enum qosd_key_side {
	QOSD_KEY_SRC,
	QOSD_KEY_DST,
};

struct qosd_key_conf {
	__u64 rate_Bps;    /* bytes a second of a key that has none of its own; 0: it is only counted */
	__u64 burst_ns;    /* a bucket's depth: so much time at the key's rate .. */
	__u64 burst_bytes; /* .. and at least so many bytes. EDT: burst_ns is the horizon, burst_bytes 0 */
	__u32 set;         /* 1 + the slot of the set whose elements' rates win; 0: none */
	__u8 kind;         /* QOSD_KIND_POLICE or QOSD_KIND_EDT */
	__u8 side;         /* enum qosd_key_side */
	__u8 prefix4;      /* bits of a key, of 128: 96 to 128 */
	__u8 prefix6;      /* 0 to 128 */
	__u8 up;           /* 1: elements' up_Bps counts, 0: down_Bps */
	__u8 pad[7];
};

struct qosd_key_stats {
	__u64 packets; /* as in struct qosd_class_stats */
	__u64 bytes;
	__u64 drop_packets;
	__u64 drop_bytes;
	__u64 mark_packets; /* EDT: marked ECN */
	__u64 delay_ns;     /* EDT: what the packets were to wait, all together */
	__u64 pad[2];
};

#define QOSD_KEY_SIZE(cpus) (sizeof(struct qosd_class_clock) + (cpus) * sizeof(struct qosd_key_stats))

/* hook_stats: per-CPU array of one. */
struct qosd_hook_stats {
	__u64 packets;
	__u64 bypassed;
	__u64 not_ip;    /* passed: ARP, PPPoE discovery, .. */
	__u64 malformed; /* passed: ends before its addresses, or is not the IP version that it says */
	__u64 exempt;    /* passed: ND, DHCP, settings: protect */
	__u64 errors;    /* passed: a helper or a lookup failed */
};

/* bypass: array of one __u32; not 0 turns every program into a pass. */

/* ---- forwarding --------------------------------------------------------------------------------------------------
 * What a rule does has a number that hangs on its name, mode, device and next hop together: forwards (array,
 * configured). An old program that still looks there while a policy is replaced never finds another place to hand its
 * packets to. Switches and counters hang on the rule's name alone: forwards_stats (per-CPU array by rule number) and
 * forwards_off (array by rule number; 0 stands for all rules): not 0: left to the stack. targets (array by slot,
 * configured), targets_stats (per-CPU).
 */
enum qosd_forward_mode {
	QOSD_FORWARD_NONE, /* nothing has this number */
	QOSD_FORWARD_EGRESS,
	QOSD_FORWARD_INGRESS,
	QOSD_FORWARD_NEIGH,
	QOSD_FORWARD_PEER,
	QOSD_FORWARD_CLONE,
};

struct qosd_forward_conf {
	__u8 mode;                /* enum qosd_forward_mode */
	__u8 miss_drop;           /* on-miss: drop */
	__u8 off;                 /* settings: fast-path: off */
	__u8 nexthop;             /* 4, 6: there is one; 0: as the routes say */
	__u32 target;             /* slot */
	__u32 rule;               /* its number, for counters and switch */
	struct qosd_addr address; /* of the next hop */
};

/* The ifindex is 0 while the device is not there, is down or has no carrier. */
struct qosd_target {
	__u32 ifindex;
	__u16 l2_len; /* 14: Ethernet; 0: packets start at IP */
	__u8 peer;    /* it has a peer in another namespace */
	__u8 vlan;    /* it puts a tag of its own before what it sends */
	__u8 mac[6];
	__u8 pad[2];
};

/* Why a packet was not handed over. */
enum qosd_forward_why {
	QOSD_WHY_AWAY,      /* on-miss: no device, or it is down */
	QOSD_WHY_NO_PEER,   /* on-miss: its peer is in this namespace, or it never has one */
	QOSD_WHY_NEIGHBOUR, /* on-miss: the neighbour's address is not known (yet) */
	QOSD_WHY_LOOP,      /* dropped, or of mode clone not sent: it went round */
	QOSD_WHY_NOT_HOST,  /* from here on: to the stack. Broadcast, multicast, addressed to another host */
	QOSD_WHY_FRAGMENT,
	QOSD_WHY_TTL,
	QOSD_WHY_OPTIONS,
	QOSD_WHY_TOO_BIG,
	QOSD_WHY_NO_ROUTE, /* none, or by another device, or forwarding is off */
	QOSD_WHY_FRAMING,  /* tags or PPPoE in the frame, or no Ethernet header where one is needed */
	QOSD_WHY_FAILED,   /* a helper refused */
	QOSD_WHYS
};

struct qosd_forward_stats {
	__u64 packets; /* handed over, segments counted */
	__u64 bytes;   /* of their frames, each with its headers */
	__u64 skbs;    /* the same as the kernel and captures count: merged packets are one */
	__u64 skb_bytes;
	__u64 why[QOSD_WHYS]; /* packets, segments counted */
};

/* What was handed to a device, as the kernel counts it, by where it counts (or should). Those of a CPU begin anew when
 * another device takes the slot, as the kernel's own do. */
struct qosd_target_stats {
	__u64 ifindex; /* of the device that they are about */
	__u64 tx_skbs; /* seen by the device's own counters */
	__u64 tx_bytes;
	__u64 unseen_tx_skbs; /* not seen by them: by way of a peer */
	__u64 unseen_tx_bytes;
	__u64 unseen_rx_skbs; /* mode ingress */
	__u64 unseen_rx_bytes;
};

/* skb->cb[0] and [1] of a packet that a rule handed over: how often. The kernel's layers above clear it. */
#define QOSD_HOPS_MAGIC 0x71307364
#define QOSD_HOPS_MAX   4  /* devices one packet may be handed to without the stack in between */
#define QOSD_ASK_EVERY  64 /* packets with an unknown next hop, on a CPU: one asks for it */
#define QOSD_COPIES_MAX 4  /* rules of mode clone that one packet meets on a hook */

/* ---- events: the ring buffer to the daemon ---------------------------------------------------------------------- */
enum qosd_event_type {
	QOSD_EVENT_LEARNED = 1,
	QOSD_EVENT_SET_FULL, /* addr would be learned into slot; evict-oldest */
};

struct qosd_event {
	__u32 type; /* enum qosd_event_type */
	__u32 slot;
	__u64 now_ns;
	struct qosd_addr addr;
	__u32 ifindex;
	__u32 how;
};

/* ---- what is fixed before a program is loaded (.rodata), the same for every field of the hook ---------------------
 */
#define QOSD_LEARN_MAX 4  /* sets one interface teaches */
#define QOSD_ATOMS_MAX 32 /* set memberships, and mark tests, of one hook */

enum qosd_linklayer {
	QOSD_LINK_ETHERNET,
	QOSD_LINK_ATM,
	QOSD_LINK_PTM,
};

struct qosd_hook_conf {
	__u32 ingress;       /* 1: clsact ingress, 0: egress */
	__u32 l2_len;        /* 14: Ethernet header in front; 0: the packet starts at IP */
	__u32 engine_tc;     /* leave the class in tc_index, let the next filters police */
	__u32 has_policy;    /* 0: this hook only learns */
	__u32 default_class; /* class number of what no rule matches; 0: pass */
	__u32 resume_class;  /* engine tc, after a class with `conform: continue`: act only on tc_index == this */
	__u32 resume_rule;   /* and match only rules from this one on */
	__s32 overhead;      /* bytes added to every packet on the wire */
	__u32 mpu;
	__u32 linklayer;        /* enum qosd_linklayer */
	__u32 paces;            /* there are classes of QOSD_KIND_EDT */
	__u32 htb_direct;       /* the htb's handle: as skb->priority it goes past all classes; 0: no htb */
	__u32 htb_direct_queue; /* and its queue, from 1; 0: leave it */
	__u32 keyed;            /* a class has `per` */
	__u32 clocked;          /* sets are asked for, and then most packets pay: the time is read once, before both */
	__u32 exempt_ns;        /* what one exempt packet takes of its CPU's bucket; 0: there is none */
	__u32 to_ifb;           /* classify_neighbor: the filter `pass` behind it redirects to an ifb */
	__u32 learn_n;
	__u32 learn_slot[QOSD_LEARN_MAX];
};

/* ---- a program's own tables, filled before it is attached, never changed -------------------------------------------
 * A field's value gives the number of a row; the AND of the rows of all fields in use has a bit for each rule that
 * holds.
 */
#define QOSD_WORDS_MAX (QOSD_RULES_MAX / 64)

/* Bits of qosd_table_conf.uses. */
enum qosd_use {
	QOSD_USE_SRC = 1,
	QOSD_USE_DST = 2,
	QOSD_USE_SPORT = 4,
	QOSD_USE_DPORT = 8,
	QOSD_USE_PROTO = 16,
	QOSD_USE_DSCP = 32,
	QOSD_USE_VLAN = 64,
	QOSD_USE_FAMILY = 128,
	QOSD_USE_LENGTH = 256,
	QOSD_USE_TCP_FLAGS = 512,
	QOSD_USE_ICMP_TYPE = 1024,
	QOSD_USE_RUNS = 2048,      /* rules whose class an address tells */
	QOSD_USE_SRC_STEPS = 4096, /* IPv4 sources are looked up in steps, not in the trie */
	QOSD_USE_DST_STEPS = 8192,
};

/* What stands for "the packet has none" in each field. */
#define QOSD_NO_PORT      65536
#define QOSD_NO_VLAN      4096
#define QOSD_NO_TCP_FLAGS 256
#define QOSD_NO_ICMP_TYPE 256
#define QOSD_LENGTH_MAX   65535 /* longer ones count as this */

/* Row numbers by value. */
struct qosd_small_index {
	__u16 proto[256];
	__u16 dscp[64];
	__u16 family[2]; /* IPv4, IPv6 */
	__u16 tcp_flags[QOSD_NO_TCP_FLAGS + 1];
	__u16 icmp_type[QOSD_NO_ICMP_TYPE + 1];
	__u16 vlan[QOSD_NO_VLAN + 1];
};
struct qosd_wide_index {
	__u16 row[65536 + 1]; /* a port or QOSD_NO_PORT, a length */
};

/* What an address index says of the longest prefix that covers an address. */
struct qosd_place {
	__u32 row;          /* of all prefixes that cover it */
	__u32 class_number; /* where a run tells its rules apart by this address; 0: no rule of it has the address */
};

/* The same for IPv4, by the bytes of the address: an entry for each value that a byte has. With QOSD_STEP_MORE in its
 * row it leads to the step of that number, for the next byte; else the longest prefix ends there. The first byte's step
 * is number 0. */
#define QOSD_STEP_MORE 0x80000000u
struct qosd_step {
	struct qosd_place at[256];
};

/* Many rules that differ in nothing but one address share a bit, and the address says whose it is. */
enum qosd_teller {
	QOSD_TELLER_RULE, /* its own class_number */
	QOSD_TELLER_SRC,
	QOSD_TELLER_DST,
};

/* The first rule of a class that holds ends the search, or with `conform: continue` it goes on at `resume`. */
struct qosd_rule {
	__u32 class_number; /* 0: protected, passes */
	__u16 resume;       /* the rule behind the class's last one */
	__u8 teller;        /* enum qosd_teller; a class that continues has rules of its own */
	__u8 pad;
};

/* A yes-or-no question with a row for each answer. */
enum qosd_atom_kind {
	QOSD_ATOM_SRC_SET, /* value: slot */
	QOSD_ATOM_DST_SET,
	QOSD_ATOM_MARK,   /* (skb->mark & mask) == value */
	QOSD_ATOM_IN_DEV, /* value: ifindex */
};
struct qosd_atom {
	__u32 kind; /* enum qosd_atom_kind */
	__u32 value;
	__u32 mask;
	__u16 hit, miss; /* rows */
};

struct qosd_table_conf {
	__u64 all[QOSD_WORDS_MAX]; /* a bit for each rule */
	__u32 words;               /* of a row: 1, 2, 4 or 8 */
	__u32 uses;                /* bits of enum qosd_use */
	__u32 rounds;              /* classes with `conform: continue` */
	__u32 n_atoms;
	struct qosd_atom atoms[QOSD_ATOMS_MAX];
};

/* A hook's fence: LPM trie of what its sets may learn. */
struct qosd_fence {
	__u32 prefixlen; /* 32 + 0..128 */
	__u32 slot;
	struct qosd_addr addr;
};

#ifndef __bpf__
static_assert(sizeof(struct qosd_addr) == 16, "addr");
static_assert(sizeof(struct qosd_lpm) == 20, "lpm");
static_assert(sizeof(struct qosd_learned) == 24, "learned");
static_assert(sizeof(struct qosd_set_conf) == 24, "set_conf");
static_assert(sizeof(struct qosd_class_conf) == 64, "class_conf");
static_assert(sizeof(struct qosd_class_clock) == 64, "class_clock");
static_assert(sizeof(struct qosd_class_stats) == 96, "class_stats");
static_assert(sizeof(struct qosd_written) == 24, "written");
static_assert(sizeof(struct qosd_key_conf) == 40, "key_conf");
static_assert(sizeof(struct qosd_key_stats) == 64, "key_stats");
static_assert(sizeof(struct qosd_set_stats) == 48, "set_stats");
static_assert(sizeof(struct qosd_place) == 8, "place");
static_assert(sizeof(struct qosd_step) == 2048, "step");
static_assert(sizeof(struct qosd_rule) == 8, "rule");
static_assert(sizeof(struct qosd_atom) == 16, "atom");
static_assert(sizeof(struct qosd_table_conf) == 80 + 16 * QOSD_ATOMS_MAX, "table_conf");
static_assert(sizeof(struct qosd_fence) == 24, "fence");
static_assert(sizeof(struct qosd_forward_conf) == 28, "forward_conf");
static_assert(sizeof(struct qosd_target) == 16, "target");
static_assert(sizeof(struct qosd_forward_stats) == 32 + 8 * QOSD_WHYS, "forward_stats");
static_assert(sizeof(struct qosd_target_stats) == 56, "target_stats");
#endif

#endif
