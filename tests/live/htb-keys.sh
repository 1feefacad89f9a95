#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A rate for each address inside a tree: the address has its own, all together have the class's, and who is in another class waits
# for nobody; the same for what arrives, through an ifb; and what is told when the queue that keeps the packets goes away.
#
# measures closely
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
needs_qdisc htb
needs_qdisc fq "a departure time for each address"

# What world and homes send each other is shaped on the router's lan0: down to the homes there, up from them on its ifb.
netns world router homes
behind router wan0 10.1.0.2/24 world up0 10.1.0.1/24
queues=4 behind router lan0 10.7.255.254/16 homes up0 10.7.0.{1..5}/16

daemon_dir a
cat >"$dir/a/qosd.yaml" <<-'END'
	version: 1
	settings: {on-stop: remove}
	sets:
	  homes: {elements: [{address: 10.7.0.1, up: 1mbit, down: 2mbit}, {address: 10.7.0.2, up: 2mbit, down: 3mbit}]}
	policies:
	  plans:
	    type: htb
	    rate: 20mbit
	    burst: 200ms
	    cburst: 200ms
	    default: rest
	    ecn: off
	    classes:
	      - {name: spare1, rate: 8kbit, match: [{dport: 60001}]}
	      - {name: spare2, rate: 8kbit, match: [{dport: 60002}]}
	      - {name: spare3, rate: 8kbit, match: [{dport: 60003}]}
	      - {name: spare4, rate: 8kbit, match: [{dport: 60004}]}
	      - {name: spare5, rate: 8kbit, match: [{dport: 60005}]}
	      - name: homes # would be class 5100:7, of which fq before Linux 6.8 holds nothing up
	        rate: 6mbit
	        ceil: 10mbit
	        burst: 200ms
	        cburst: 200ms
	        match: [{local: [10.7.0.1, 10.7.0.2, 10.7.0.3]}]
	        per: {key: local, set: homes, rate: 1mbit, max: 100}
	      - name: crowded
	        rate: 2mbit
	        burst: 200ms
	        cburst: 200ms
	        match: [{local: 10.7.0.4}]
	        per: {key: remote, rate: 1900kbit, max: 100}
	      - {name: rest, rate: 4mbit, ceil: 20mbit, burst: 200ms, cburst: 200ms}
	interfaces:
	  lan0: {side: lan, ingress: {policy: plans, via: ifb}, egress: {policy: plans}}
END
start_qosd a router
check "qosd starts" equal $? 0
check "nothing is left to do" plan_is_empty a
ifb=$(ctl a --json show interfaces | jq -r '.interfaces[] | select(.direction == "ingress") | .ifb // ""')
ip -n "$prefix-world" address add 10.1.0.3/24 dev up0

# ---- everybody his own ----

# Goodput is 95.6 % of the rate at most: headers.
own_rates() # MBIT..
{
	local n=0 mbit
	for mbit; do
		n=$((n + 1))
		between "$(cat "$dir/kbit.$n")" $((mbit * 910)) $((mbit * 960)) || return 1
	done
}

measure() # SENTENCE MBIT.. -- FLOW..
{
	local sentence=$1 rates=()
	shift
	while [ "$1" != -- ]; do
		rates+=("$1")
		shift
	done
	shift
	for _ in 1 2 3; do
		tcp_all "$@"
		echo "# kbit/s of ${rates[*]} Mbit/s: $(cat "$dir"/kbit.{1..3} | tr '\n' ' ')"
		own_rates "${rates[@]}" >/dev/null && break
	done
	check "$sentence" own_rates "${rates[@]}"
}

key() # DIRECTION ADDRESS FIELD
{
	ctl a --json show keys | jq --arg d "$1" --arg k "$2" --arg f "$3" \
		'.keyed_classes[] | select(.direction == $d) | .keys[] | select(.key == $k) | .[$f]'
}

class() # DIRECTION CLASS FIELD
{
	ctl a --json stats | jq --arg d "$1" --arg c "$2" --arg f "$3" \
		'.hooks[] | select(.direction == $d) | .classes[] | select(.name == $c) | .[$f]'
}

measure "down: two have the rates of the set, one that of the class, 91 to 96 % of them" 2 3 1 -- \
	"world 10.1.0.1 homes 10.7.0.1" "world 10.1.0.1 homes 10.7.0.2" "world 10.1.0.1 homes 10.7.0.3"
check "they waited, each on its own" between "$(key egress 10.7.0.2 delay_us)" 1000 50000
check "which the class tells too" between "$(class egress homes delay_us)" 1000 50000
check "a class without keys tells of no wait" equal "$(class egress rest delay_us)" null
measure "up, through $ifb: the same" 1 2 1 -- \
	"homes 10.7.0.1 world 10.1.0.1" "homes 10.7.0.2 world 10.1.0.1" "homes 10.7.0.3 world 10.1.0.1"
check "they waited there" between "$(key ingress 10.7.0.2 delay_us)" 1000 50000

# ---- all together ----

# Two keys of 1.9 Mbit/s in a class of 2.
two_in_two()
{
	local sum
	sum=$(($(cat "$dir/kbit.1") + $(cat "$dir/kbit.2")))
	between $sum 1820 1920 && between "$(cat "$dir/kbit.1")" 600 1300
}
for _ in 1 2 3; do
	tcp_all "world 10.1.0.1 homes 10.7.0.4" "world 10.1.0.3 homes 10.7.0.4"
	echo "# kbit/s of 2 Mbit/s together: $(cat "$dir"/kbit.{1,2} | tr '\n' ' ')"
	two_in_two >/dev/null && break
done
check "two that may have more than their class share it" two_in_two

# What the tree makes them wait is marked, too, so that they keep fewer packets on the way.
mean_rtt()
{
	jq -s '[.[].end.streams[0].sender.mean_rtt] | max' "$dir/out.1" "$dir/out.2"
}
marks_shorten()
{
	local without with
	without=$(mean_rtt)
	sed -i 's/ecn: off/ecn: 5ms/' "$dir/a/qosd.yaml"
	ctl a reload || return
	at world sysctl -qw net.ipv4.tcp_ecn=1
	at homes sysctl -qw net.ipv4.tcp_ecn=1
	tcp_all "world 10.1.0.1 homes 10.7.0.4" "world 10.1.0.3 homes 10.7.0.4"
	with=$(mean_rtt)
	at world sysctl -qw net.ipv4.tcp_ecn=2
	sed -i 's/ecn: 5ms/ecn: off/' "$dir/a/qosd.yaml"
	ctl a reload || return
	echo "mean round trip $without us, with ecn $with us; kbit/s $(cat "$dir"/kbit.{1,2} | tr '\n' ' ')"
	between $(($(cat "$dir/kbit.1") + $(cat "$dir/kbit.2"))) 1800 2000 && [ "$with" -gt 0 ] && [ "$with" -lt $((without / 2)) ]
}
check "with ecn, at less than half the round trip" marks_shorten

# ---- beside them ----

# What all addresses of the class have lost.
key_drops()
{
	ctl a --json show keys | jq '[.keyed_classes[] | select(.direction == "egress" and .class == "homes") | .keys[].drop_packets] | add'
}

lost=$(key egress 10.7.0.1 drop_packets)
udp_pour world 10.7.0.1 9 1400 0.003 # twice what it may have
sleep 1.5
for _ in 1 2 3; do
	of_full=$(rtt_us world 10.7.0.1 100 0.01 50) beside=$(rtt_us world 10.7.0.2 100 0.01 50) elsewhere=$(rtt_us world 10.7.0.5 100 0.01 50)
	echo "# p50 of the round trip: $of_full us to who is full, $beside us in his class, $elsewhere us in another"
	[ "$beside" -lt 20000 ] && [ "$elsewhere" -lt 20000 ] && break
done
end_pour
check "who is full waits up to the horizon" between "$of_full" 35000 80000
check "who is in his class does not wait for him" between "$beside" 1 19999
check "nor who is in another" between "$elsewhere" 1 19999
check "what he lost is counted" between $(($(key egress 10.7.0.1 drop_packets) - lost)) 100 1000000
check "for the class, too, with what its queue dropped" between "$(class egress homes drop_packets)" "$(key_drops)" 1000000

# The clock by which a packet waited must not be taken for the time at which it arrived (SO_TIMESTAMP, by which ping goes).
at router ping -n -c 5 -i 0.2 -w 20 10.7.0.1 >"$dir/ping" 2>&1
cat "$dir/ping"
check "what came through the ifb to the router itself has its time of arrival" \
	equal "$(grep -c 'time=' "$dir/ping") $(grep -c 'goes back' "$dir/ping")" "5 0"

# ---- edits ----

check "a rate for an address that had none" ctl a set homes add 10.7.0.3 down 4mbit
check "leaves nothing to do" plan_is_empty a
packets=$(key egress 10.7.0.2 packets)
sed -i 's/rate: 6mbit/rate: 5mbit/' "$dir/a/qosd.yaml"
check "a changed class is reloaded" ctl a reload
check "and keys keep what they counted" between "$(key egress 10.7.0.2 packets)" "$packets" 100000000
measure "the live edit's rate is the address's" 2 3 4 -- \
	"world 10.1.0.1 homes 10.7.0.1" "world 10.1.0.1 homes 10.7.0.2" "world 10.1.0.1 homes 10.7.0.3"

# ---- the queue that keeps them ----

missing()
{
	ctl a --json show interfaces | jq -r '.interfaces[] | select(.direction == "egress") | .missing | join(", ")'
}
missing_is() # TEXT
{
	equal "$(missing)" "$1"
}
classid_of() # CLASS
{
	ctl a --json show classes | jq -r --arg c "$1" '.hooks[] | select(.direction == "egress") | .classes[] | select(.name == $c) | .classid'
}
classid=$(classid_of homes)
check "its leaf is fq" contains "$(at router tc qdisc show dev lan0 parent "$classid")" '^qdisc fq .*orphan_mask 1048575 .*horizon 50ms'
check "nothing is missing" missing_is ""
at router tc qdisc replace dev lan0 parent "$classid" handle 7777: pfifo limit 10
check "somebody's queue in its place is told" missing_is "fq of class $classid is gone, pfifo is in its place"
in_log()
{
	grep -q "fq of class $classid is gone" "$dir/a/log"
}
check "in the log, too" within 30 in_log
check "a reload puts it back" ctl a reload
check "and it is there" missing_is ""
check "with nothing left to do" plan_is_empty a

# ---- a tree for each queue ----

leaf_in_shard()
{
	at router tc qdisc replace dev lan0 parent "$classid" handle 7777: pfifo limit 10 &&
		missing_is "fq of class $classid is gone, pfifo is in its place"
}

# Sooner or later the device's link changes by that, and qosd puts the tree back: it may be there before anybody has looked.
tree_of_shard()
{
	local shard=${classid%%:*} said
	local queue=$((0x$shard - 0x5100))
	for _ in 1 2 3; do
		within 20 missing_is "" || return
		at router tc qdisc del dev lan0 parent "5100:$queue" handle "$shard:" || return
		said=$(missing)
		[ -z "$said" ] || break
	done
	contains "$said" "^htb of queue $queue is gone" && fails contains "$said" class
}
sed -i 's/^    rate: 20mbit/&\n    shards: auto/' "$dir/a/qosd.yaml"
check "another way to be shaped is a reload" ctl a reload
check "what was one tree is four" \
	equal "$(ctl a --json show interfaces | jq '.interfaces[] | select(.direction == "egress") | .shards')" 4
sleep 3 # what the reload did to the link is over, or qosd would look after the queue by itself
classid=$(classid_of homes)
check "all is there" missing_is ""
check "the queue of the class is looked after" leaf_in_shard
check "a reload puts it back" ctl a reload
check "of a tree that is gone its queues are not told" tree_of_shard
check "a reload puts it back" ctl a reload
check "and all is there" missing_is ""
# As many as their shard's part of the ceil is enough for.
measure "addresses of a shard have their rates" 2 3 -- "world 10.1.0.1 homes 10.7.0.1" "world 10.1.0.1 homes 10.7.0.2"
sed -i '/shards: auto/d' "$dir/a/qosd.yaml"
check "and four are one again" ctl a reload

# ---- a tree like others ----

classid=$(classid_of homes)
without_keys()
{
	sed -i -e '/per: {/d' -e '/ecn: off/d' "$dir/a/qosd.yaml" && ctl a reload && plan_is_empty a &&
		equal "$(ctl a --json show keys | jq '.keyed_classes | length')" 0 &&
		contains "$(at router tc qdisc show dev lan0 parent "$classid")" '^qdisc (fq_codel|pfifo) '
}
check "without keys it is a tree like others" without_keys
stop_qosd a
check "and goes with qosd" equal "$(at router tc qdisc show | grep -c -w -e htb -e fq)" 0
finish
