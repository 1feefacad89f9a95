#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A rate for each address, measured: ten subscribers send at once and each gets his own; policing in the program at a gigabit; and
# with edt a subscriber who fills his queue in fq does not make the others wait, ten thousand of them, all in a few buckets; all in one
# queue he does.
#
# variants: police edt
# measures closely
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

type=${1:-police}
needs_root
[ "$type" = police ] || needs_qdisc fq "a clock for each address"

# world sends to the homes behind the router; what is shaped is the router's egress to them.
netns world router homes
behind router wan0 10.1.0.2/24 world up0 10.1.0.1/24
queues=1 behind router lan0 10.7.255.254/16 homes up0 10.7.0.{1..11}/16
ip -n "$prefix-router" route add 10.8.0.0/16 via 10.7.0.11 # where they end, unanswered

# Mbit/s of 10.7.0.1 and so on. An emulated machine is kept below what it can do; Ethernet's header counts.
rates=(1 1 2 3 5 8 10 20 50 100)
! is_emulated || rates=(1 1 1 2 2 2 3 3 4 5)
least=900 most=1000
[ "$type" = police ] || least=910 most=960

daemon_dir a
{
	for i in {1..10}; do
		echo "10.7.0.$i,1mbit,${rates[i - 1]}mbit"
	done
	echo "10.7.0.11,1mbit,10mbit"
	echo "10.8.255.1,1mbit,100kbit"
	for i in {0..39}; do
		printf "10.8.$i.%d,1mbit,20mbit\n" {1..250}
	done
} >"$dir/a/homes.csv"
cat >"$dir/a/qosd.yaml" <<-END
	version: 1
	sets:
	  homes: {file: homes.csv}
	policies:
	  access:
	    type: $type
	    $([ "$type" = edt ] && echo "ecn: off" || echo "engine: bpf")
	    default: all
	    classes:
	      - {name: fast, rate: 1gbit, match: [{dport: 5400}]}
	      - name: all
	        per: {key: local, set: homes, rate: 500kbit, max: 16384}
	interfaces:
	  lan0: {side: lan, egress: {policy: access}}
END
start_qosd a router
check "qosd starts" equal $? 0

# ---- everybody his own ----

has_own_rate() # N
{
	between "$(cat "$dir/kbit.$1")" $((rates[$1 - 1] * least)) $((rates[$1 - 1] * most))
}

all_have_their_rates()
{
	local i
	for i in {1..10}; do
		has_own_rate "$i" || return 1
	done
}

for _ in 1 2 3; do
	tcp_all "world 10.1.0.1 homes 10.7.0."{1..10}
	echo "# kbit/s of ${rates[*]} Mbit/s: $(cat "$dir"/kbit.{1..10} | tr '\n' ' ')"
	all_have_their_rates >/dev/null && break
done
for i in {1..10}; do
	check "10.7.0.$i gets its ${rates[i - 1]} Mbit/s, $((least / 10)) to $((most / 10)) % of them" has_own_rate "$i"
done

# ---- a gigabit ----

if [ "$type" = police ] && ! is_emulated; then
	for _ in 1 2 3; do
		kbit=$(tcp_kbit world homes 10.7.0.11 10 5400)
		echo "# kbit/s of 1 Gbit/s: $kbit"
		between "$kbit" 900000 1000000 >/dev/null && break
	done
	check "TCP at 1 Gbit/s gets 90 to 100 % of it" between "$kbit" 900000 1000000
fi

# ---- nobody waits for another ----

# To each of ten thousand a packet, so that each has a clock.
everybody()
{
	at world python3 - <<-'END'
		import socket, time
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		for i in range(40):
		    for j in range(1, 251):
		        s.sendto(bytes(100), (f"10.8.{i}.{j}", 9))
		    time.sleep(0.01)
	END
}

p99_us()
{
	rtt_us world 10.7.0.11 400 0.005 99
}

# Sets idle and full.
measure_beside_full()
{
	idle=$(p99_us)
	udp_pour world 10.8.255.1 9 1400 0.035 # three times what it may have, to a home of 100 kbit/s
	sleep 1.5
	full=$(p99_us)
	end_pour
	echo "# p99 of the round trip: $idle us idle, $full us beside a full queue"
}

keys()
{
	ctl a --json show keys | jq '[.keyed_classes[].keys[] | select(.key | startswith("10.8."))] | length'
}

if [ "$type" = edt ]; then
	everybody
	check "ten thousand have a clock" between "$(keys)" 9500 10002
	# All of them in two trees of fq.
	at router tc qdisc change dev lan0 root fq buckets 2
	for _ in 1 2 3; do
		measure_beside_full
		between "$full" 1 $((idle * 3)) >/dev/null && break
		sleep 1
	done
	check "one who fills his queue has losses" between \
		"$(ctl a --json show keys | jq '.keyed_classes[].keys[] | select(.key == "10.8.255.1") | .drop_packets')" 1 100000
	check "and nobody else waits longer: p99 within three times that of an idle line" between "$full" 1 $((idle * 3))
	# He, the ten who had TCP, and their class; who sent one packet did not wait.
	ctl a --json stats --top 30 --sort delay >"$dir/top.json"
	check "he is among those that wait longest" contains "$(jq -r '.top[].key' "$dir/top.json")" '^10\.8\.255\.1$'
	check "the longest first" equal "$(jq -c '[.top[].delay_us // 0]' "$dir/top.json")" "$(jq -c '[.top[].delay_us // 0] | sort | reverse' "$dir/top.json")"
	check "and more than a millisecond" between "$(jq '.top[] | select(.key == "10.8.255.1") | .delay_us' "$dir/top.json")" 1000 100000
	# All of them in one queue of fq: there they do wait, and this test sees it.
	one_queue="where fq does not tell them apart, everybody waits"
	if [ "$(printf '%s\n' 6.7 "$(uname -r)" | sort -V | head -n 1)" = 6.7 ]; then
		skip "$one_queue" "since Linux 6.7 fq sends what is due past all that waits for its time"
	else
		at router tc qdisc change dev lan0 root fq orphan_mask 0
		for _ in 1 2 3; do
			measure_beside_full
			[ "$full" -le $((idle * 3)) ] || break
			sleep 1
		done
		check "$one_queue" between "$full" $((idle * 3 + 1)) 10000000
	fi
fi
finish
