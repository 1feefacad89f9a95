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
has_ifb=$(ctl a --json show interfaces | jq -r '.interfaces[] | select(.direction == "ingress") | .ifb // ""')
ip -n "$prefix-world" address add 10.1.0.3/24 dev up0

# ---- everybody his own ----

# TCP of all at once, "FROM FROM-ADDRESS TO TO-ADDRESS", ten seconds behind the first three; $dir/kbit.N says what the Nth got.
# Written in small pieces, as what is counted is whole ones.
send_all() # FLOW..
{
	local flow clients=() servers=() n=0 f
	for flow; do
		read -ra f <<<"$flow"
		n=$((n + 1))
		at "${f[2]}" timeout 100 iperf3 -s -1 -B "${f[3]}" -p $((5201 + n)) >/dev/null 2>&1 &
		servers+=($!)
	done
	n=0
	for flow; do
		read -ra f <<<"$flow"
		n=$((n + 1))
		within 30 listening "${f[2]}" -t "src ${f[3]} sport = :$((5201 + n))" >/dev/null
		at "${f[0]}" timeout 60 iperf3 -c "${f[3]}" -B "${f[1]}" -p $((5201 + n)) -l 4K -O 3 -t 10 -J >"$dir/out.$n" 2>/dev/null &
		clients+=($!)
	done
	wait "${clients[@]}"
	kill "${servers[@]}" 2>/dev/null
	wait "${servers[@]}" 2>/dev/null
	for ((n = 1; n <= $#; n++)); do
		jq -r '.end.sum_received.bits_per_second // 0 | . / 1000 | round' "$dir/out.$n" >"$dir/kbit.$n"
	done
}

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
		send_all "$@"
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
check "what was dropped at the keys counts for the class" between "$(class egress homes drop_packets)" \
	"$(($(key egress 10.7.0.1 drop_packets) + $(key egress 10.7.0.2 drop_packets) + $(key egress 10.7.0.3 drop_packets)))" 1000000
check "a class without keys tells of no wait" equal "$(class egress rest delay_us)" null
if [ -n "$has_ifb" ]; then
	measure "up, through $has_ifb: the same" 1 2 1 -- \
		"homes 10.7.0.1 world 10.1.0.1" "homes 10.7.0.2 world 10.1.0.1" "homes 10.7.0.3 world 10.1.0.1"
	check "they waited there" between "$(key ingress 10.7.0.2 delay_us)" 1000 50000
fi

# ---- all together ----

# Two keys of 1.9 Mbit/s in a class of 2.
two_in_two()
{
	local sum
	sum=$(($(cat "$dir/kbit.1") + $(cat "$dir/kbit.2")))
	between $sum 1820 1920 && between "$(cat "$dir/kbit.1")" 600 1300
}
for _ in 1 2 3; do
	send_all "world 10.1.0.1 homes 10.7.0.4" "world 10.1.0.3 homes 10.7.0.4"
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
	send_all "world 10.1.0.1 homes 10.7.0.4" "world 10.1.0.3 homes 10.7.0.4"
	with=$(mean_rtt)
	at world sysctl -qw net.ipv4.tcp_ecn=2
	sed -i 's/ecn: 5ms/ecn: off/' "$dir/a/qosd.yaml"
	ctl a reload || return
	echo "mean round trip $without us, with ecn $with us; kbit/s $(cat "$dir"/kbit.{1,2} | tr '\n' ' ')"
	between $(($(cat "$dir/kbit.1") + $(cat "$dir/kbit.2"))) 1800 2000 && [ "$with" -gt 0 ] && [ "$with" -lt $((without / 2)) ]
}
check "with ecn, at less than half the round trip" marks_shorten

# ---- beside them ----

# Twice what 10.7.0.1 may have. Not by at: what is killed would be its subshell.
fill()
{
	timeout 60 nsenter --net="/run/netns/$prefix-world" python3 - <<-'END' &
		import socket, time
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		while True:
		    s.sendto(bytes(1400), ("10.7.0.1", 9))
		    time.sleep(0.003)
	END
	filling=$!
	sleep 1.5
}

p50_us() # ADDRESS
{
	at world ping -n -c 100 -i 0.01 -w 40 "$1" | sed -n 's/.*time=\([0-9.]*\) ms/\1/p' | sort -n |
		awk '{ v[NR] = $1 * 1000 } END { printf "%d\n", v[int(NR * 0.5)] }'
}

fill
for _ in 1 2 3; do
	of_full=$(p50_us 10.7.0.1) beside=$(p50_us 10.7.0.2) elsewhere=$(p50_us 10.7.0.5)
	echo "# p50 of the round trip: $of_full us to who is full, $beside us in his class, $elsewhere us in another"
	[ "$beside" -lt 20000 ] && [ "$elsewhere" -lt 20000 ] && break
done
kill "$filling" 2>/dev/null
wait "$filling" 2>/dev/null
check "who is full waits up to the horizon" between "$of_full" 35000 80000
check "who is in his class does not wait for him" between "$beside" 1 19999
check "nor who is in another" between "$elsewhere" 1 19999
check "what he lost is counted" between "$(key egress 10.7.0.1 drop_packets)" 100 1000000

# The clock by which a packet waited must not be taken for the time at which it arrived (SO_TIMESTAMP, by which ping goes).
if [ -n "$has_ifb" ]; then
	at router ping -n -c 5 -i 0.2 -w 20 10.7.0.1 >"$dir/ping" 2>&1
	cat "$dir/ping"
	check "what came through the ifb to the router itself has its time of arrival" \
		equal "$(grep -c 'time=' "$dir/ping") $(grep -c 'goes back' "$dir/ping")" "5 0"
fi

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
classid_of() # CLASS
{
	ctl a --json show classes | jq -r --arg c "$1" '.hooks[] | select(.direction == "egress") | .classes[] | select(.name == $c) | .classid'
}
classid=$(classid_of homes)
check "its leaf is fq" contains "$(at router tc qdisc show dev lan0 parent "$classid")" '^qdisc fq .*orphan_mask 1048575 .*horizon 50ms'
check "nothing is missing" equal "$(missing)" ""
at router tc qdisc replace dev lan0 parent "$classid" handle 7777: pfifo limit 10
check "somebody's queue in its place is told" equal "$(missing)" "fq of class $classid is gone, pfifo is in its place"
in_log()
{
	grep -q "fq of class $classid is gone" "$dir/a/log"
}
check "in the log, too" within 30 in_log
check "a reload puts it back" ctl a reload
check "and it is there" equal "$(missing)" ""
check "with nothing left to do" plan_is_empty a

# ---- a tree for each queue ----

missing_is() # TEXT
{
	equal "$(missing)" "$1"
}

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
spread="with shards the queue of the class is looked after"
sed -i 's/^    rate: 20mbit/&\n    shards: auto/' "$dir/a/qosd.yaml"
check "what was one tree is four" ctl a reload
if [ "$(ctl a --json show interfaces | jq '.interfaces[] | select(.direction == "egress") | .shards')" = 4 ]; then
	sleep 3 # what the reload did to the link is over, or qosd would look after the queue by itself
	classid=$(classid_of homes)
	check "all is there" missing_is ""
	check "$spread" leaf_in_shard
	check "a reload puts it back" ctl a reload
	check "of a tree that is gone its queues are not told" tree_of_shard
	check "a reload puts it back" ctl a reload
	check "and all is there" missing_is ""
	# As many as their shard's part of the ceil is enough for.
	measure "addresses of a shard have their rates" 2 3 -- "world 10.1.0.1 homes 10.7.0.1" "world 10.1.0.1 homes 10.7.0.2"
else
	skip "$spread" "$(ctl a --json show interfaces | jq -r '.interfaces[] | select(.direction == "egress") | .why')"
fi
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
