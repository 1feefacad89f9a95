#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In a tree of more than a thousand classes, one that comes takes the place of one that goes: the kernel changes it, queue
# and all, and nobody sees the other's counters. In any tree, numbers that are free are given again, with nothing on them.
#
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
needs_qdisc htb
netns router far
cable router wan0 far eth0
address router wan0 10.1.0.1/24
address far eth0 10.1.0.2/24
ip -n "$prefix-router" route add 10.77.0.0/16 via 10.1.0.2

# Customers FIRST to LAST, without those in SKIP; c3 has RATE.
policy() # FIRST LAST [SKIP [RATE [LEAF]]]
{
	awk -v first="$1" -v last="$2" -v skip=" ${3:-} " -v rate="${4:-64kbit}" -v leaf="${5:-pfifo}" 'BEGIN {
		print "version: 1\npolicies:\n  isp:\n    type: htb\n    rate: 1gbit\n    default: other\n    classes:"
		print "      - {name: other, rate: 64kbit, ceil: 100mbit}"
		for (i = first; i <= last; i++)
			if (!index(skip, " " i " "))
				printf "      - {name: c%d, rate: %s, ceil: 100mbit, leaf: {qdisc: %s, limit: %d}, match: [{dst: 10.77.%d.%d}]}\n",
					i, i == 3 ? rate : "64kbit", i == last ? leaf : "pfifo",
					i == last && leaf == "bfifo" ? 60000 : 40, i / 256, i % 256
		print "interfaces:\n  wan0: {egress: {policy: isp}}"
	}' >"$dir/a/qosd.yaml"
}
ping_customer() # N COUNT
{
	at router ping -q -c "$2" -i 0.02 -W 0.1 "10.77.$(($1 / 256)).$(($1 % 256))" >/dev/null || true # nobody answers
}
sent() # CLASS; what htb itself counted
{
	ctl a --json stats | jq -r --arg c "$1" '[.. | objects | select(.name? == $c) | .sent_packets] | .[0]'
}
classified() # CLASS
{
	counter a wan0 egress "$1" packets
}
classid() # CLASS
{
	ctl a --json show classes | jq -r --arg c "$1" '[.. | objects | select(.name? == $c) | .classid] | .[0]'
}
only() # FILE KIND SIGN; how many lines of the plan
{
	grep -c "^$3 $2 " "$1" || true
}

daemon_dir a
policy 1 1100
start_qosd a router
check "qosd starts with 1,101 classes" equal $? 0
ping_customer 5 10
check "what goes to c5 is counted at c5" between "$(classified c5)" 10 12
check "by htb too" between "$(sent c5)" 10 12
# The counters of so many classes are read in slices: of the first, and of the last.
has_rate() # CUSTOMER
{
	ping_customer "$1" 10
	[ "$(counter a wan0 egress "c$1" rate_10s_bps)" -gt 0 ]
}
check "it has a rate" within 10 has_rate 6
check "so has the last of all classes" within 10 has_rate 1100
minor=$(classid c5)

# One goes, one comes, with another leaf.
policy 1 1101 5 64kbit bfifo
ctl a plan >"$dir/plan"
check "a class that comes for one that goes: no class is made" equal "$(only "$dir/plan" class +)" 0
check "nor deleted" equal "$(only "$dir/plan" class -)" 0
check "its leaf is another one" equal "$(grep -c "^[+] .*bfifo" "$dir/plan")" 1
ctl a reload >/dev/null
check "the reload is done" equal $? 0
check "and nothing is left to do" plan_is_empty a
check "the new class has the place of the old one" equal "$(classid c1101)" "$minor"
check "with no packet of its own" equal "$(classified c1101)" 0
check "nor of htb's" equal "$(sent c1101)" 0
ping_customer 1101 7
check "its packets count" between "$(classified c1101)" 7 8
check "in htb too" between "$(sent c1101)" 7 8
ping_customer 5 4
check "the old one's address is the default's" between "$(classified other)" 4 30
check "and not its" between "$(classified c1101)" 7 8

# The base is remembered.
stop_qosd a >/dev/null
start_qosd a router
check "qosd starts again" equal $? 0
check "what htb counted before still does not count" between "$(sent c1101)" 7 8

# One after the other, and each gives its number back.
room=$(at router bpftool -j map show 2>/dev/null | jq '[.[] | select(.name == "pin.stats") | .max_entries] | max' 2>/dev/null)
gone=5
for ((i = 1101; i < 1105; i++)); do
	gone="$gone $i"
	policy 1 $((i + 1)) "$gone"
	ctl a reload >/dev/null
done
number=$(ctl a --json show classes | jq '[.. | objects | .number? // empty] | max')
check "after some cycles the highest number is no higher" between "$number" 1101 1103
if [ -n "$room" ] && [ "$room" != null ]; then
	again=$(at router bpftool -j map show | jq '[.[] | select(.name == "pin.stats") | .max_entries] | max')
	check "and the maps are as large as before" equal "$again" "$room"
fi

# In a small tree a class that comes is made.
policy 1 20
ctl a reload >/dev/null
check "a small tree" plan_is_empty a
ping_customer 7 10
check "c7 counts" between "$(classified c7)" 10 12
policy 1 21 7
ctl a plan >"$dir/plan"
check "in a small tree a class that comes is made" equal "$(only "$dir/plan" class +)" 1
ctl a reload >/dev/null
policy 1 22 7
ctl a reload >/dev/null
check "and a number that was another's has nothing on it" equal "$(classified c21) $(classified c22)" "0 0"
check "nor in htb" equal "$(sent c21) $(sent c22)" "0 0"
finish
