#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What a host hands from one container to another: routed by the stack, and by forwarding rules of each mode. Packets a second
# (UDP of 60 bytes, send, hand over and receive on one processor; the container drops them as they arrive, or its answers would
# be most of what is measured) and round trips, of UDP and TCP, with both ends on one processor, where the scheduler puts them, and
# on one processor that hands over BENCH_LOAD (250,000) other packets a second as well, in bursts: hosts are rarely idle; and with two
# ends that never sleep, each on a processor, so that it is the way that is measured and not who is woken when.
# What mode ingress hands over is routed all the same.
#
# All modes are set up side by side. In each of BENCH_ROUNDS (20) rounds every one has its turn, another one first each time, for
# BENCH_SECONDS (0.3) and half of that for each kind of round trip: many short ones, as what else a machine does comes in bursts.
# A mode is compared with the stack of the same round; the median of the rounds counts, and between what the middle half of them
# is, is told. `generator` is what the sender alone does: the host drops it all at once. What a packet takes beyond that is its way.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
rounds=${BENCH_ROUNDS:-20}
seconds=${BENCH_SECONDS:-0.3}
rr=${top_builddir:-.}/bench/rr
modes=(stack egress ingress neigh peer)
load=${BENCH_LOAD:-250000}
kinds=(udp-pinned udp-free udp-busy tcp-pinned tcp-free tcp-busy)
processors=$(nproc)
[ "$processors" -eq 1 ] || kinds+=(udp-awake tcp-awake)
declare -A words=([udp-pinned]="UDP, one processor" [udp-free]="UDP, any processor" [udp-busy]="UDP, one busy processor"
	[udp-awake]="UDP, both ends awake" [tcp-awake]="TCP, both ends awake"
	[tcp-pinned]="TCP, one processor" [tcp-free]="TCP, any processor" [tcp-busy]="TCP, one busy processor")

mac() # NS IFNAME
{
	ip -n "$prefix-$1" -json link show "$2" | jq -r '.[0].address'
}

# Two containers a and b of a host. In mode egress frames must be addressed right by who sends them.
stage() # MODE
{
	local m=$1 end other number=0
	netns "$m-host" "$m-a" "$m-b"
	for end in a b; do
		number=$((number + 1))
		cable "$m-host" "v$end" "$m-$end" eth0 || return
		address "$m-host" "v$end" "10.$number.0.1/24"
		address "$m-$end" eth0 "10.$number.0.2/24"
		ip -n "$prefix-$m-$end" route add default via "10.$number.0.1"
	done
	at "$m-host" sysctl -q -w net.ipv4.ip_forward=1
	at "$m-a" ping -n -q -c 1 -W 5 10.2.0.2 >/dev/null || return
	if [ "$m" = egress ]; then
		for end in a:1:b b:2:a; do
			number=${end#*:}
			number=${number%:*}
			other=${end##*:}
			ip -n "$prefix-$m-${end%%:*}" neighbour replace "10.$number.0.1" lladdr "$(mac "$m-$other" eth0)" dev eth0 nud permanent
		done
	fi
	daemon_dir "$m"
	echo "version: 1" >"$dir/$m/qosd.yaml"
	if [ "$m" != stack ] && [ "$m" != generator ]; then
		cat >>"$dir/$m/qosd.yaml" <<-END
			forward:
			  - {name: there, on: va, match: [{dst: 10.2.0.2}], redirect: {mode: $m, dev: vb}}
			  - {name: back, on: vb, match: [{dst: 10.1.0.2}], redirect: {mode: $m, dev: va}}
		END
	fi
	start_qosd "$m" "$m-host" || return
	[ "$m" != generator ] || return 0
	at "$m-b" taskset -c 0 "$rr" serve 9 &
	at "$m-b" "$rr" serve 10 &
	within 10 listening "$m-b" -t "sport = :9" && within 10 listening "$m-b" -t "sport = :10" || return
	[ "$processors" -gt 1 ] || return 0
	at "$m-b" taskset -c 1 "$rr" -s serve 11 &
	within 10 listening "$m-b" -t "sport = :11"
}

received() # MODE
{
	ip -n "$prefix-$1-b" -s -json link show eth0 | jq '.[0].stats64.rx.packets'
}

# What arrives is dropped where the program says so, until the clsact is deleted. Bytecode, as not every kernel has gact.
drop() # NS IFNAME BYTECODE
{
	at "$1" tc qdisc add dev "$2" clsact && at "$1" tc filter add dev "$2" ingress bpf direct-action bytecode "$3"
}
all="1,6 0 0 2"
from_flood="6,48 0 0 23,21 0 3 17,40 0 0 34,21 0 1 9,6 0 0 2,6 0 0 4294967295" # UDP from port 9

# Packets from container a to b.
send() # MODE SECONDS [RATE]
{
	local to=va
	if [ "$1" = egress ]; then
		to=$(mac "$1-b" eth0)
	else
		to=$(mac "$1-host" va)
	fi
	at "$1-a" taskset -c 0 "$flood" eth0 "$to" 10.1.0.2 10.2.0.2 100 "${@:2}"
}

note() # MODE FIGURE VALUE: of this round
{
	echo "$i $1 $2 $3" >>"$dir/figures"
}

# Packets a second that container b got.
measure_pps() # MODE
{
	local before after out
	drop "$1-b" eth0 "$all" || return
	before=$(received "$1")
	out=$(send "$1" "$seconds") || return
	after=$(received "$1")
	at "$1-b" tc qdisc del dev eth0 clsact
	note "$1" pps "$(awk -v n="$((after - before))" -v s="${out#* }" 'BEGIN { printf "%d", n / s }')"
}

# Packets a second that container a sends if nothing becomes of them.
measure_generator()
{
	local out
	out=$(at generator-a taskset -c 0 "$flood" eth0 "$(mac generator-host va)" 10.1.0.2 10.2.0.2 100 "$seconds") || return
	note generator pps "$(awk -v n="${out% *}" -v s="${out#* }" 'BEGIN { printf "%d", n / s }')"
}

measure_trips() # MODE KIND
{
	local trips half most port=10 pinned=() spin=() pid=
	[[ $2 == *-free ]] || pinned=(taskset -c 0) port=9
	[[ $2 != *-awake ]] || spin=(-s) port=11
	if [[ $2 == *-busy ]]; then
		drop "$1-b" eth0 "$from_flood" || return
		send "$1" "$(jq -n "$seconds / 2 + 0.2")" "$load" >"$dir/load" &
		pid=$!
		sleep 0.1
	fi
	read -r trips half most < <(at "$1-a" "${pinned[@]}" "$rr" "${spin[@]}" "${2%-*}" 10.2.0.2 "$port" "$(jq -n "$seconds / 2")") || return
	if [ -n "$pid" ]; then
		wait "$pid" || return
		at "$1-b" tc qdisc del dev eth0 clsact
		note "$1" "$2-load" "$(awk '{ printf "%d", $1 / $2 }' "$dir/load")"
	fi
	note "$1" "$2-trips" "$trips"
	note "$1" "$2-p50" "$half"
	note "$1" "$2-p99" "$most"
}

turn() # MODE
{
	local kind
	measure_pps "$1" || return
	for kind in "${kinds[@]}"; do
		measure_trips "$1" "$kind" || return
	done
}

# The median of some numbers, and between what the middle half of them is.
spread()
{
	sort -g | awk '{ v[NR] = $1 } END { if (NR) print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2, v[int((NR + 3) / 4)], v[int((3 * NR + 3) / 4)] }'
}

of_mode() # MODE FIGURE: its median
{
	awk -v mode="$1" -v figure="$2" '$2 == mode && $3 == figure { print $4 }' "$dir/figures" | spread | cut -d " " -f 1
}

of_stack() # MODE FIGURE: in each round, to that of the stack
{
	awk -v mode="$1" -v figure="$2" '$3 == figure { v[$1, $2] = $4; n = $1 }
		END { for (i = 0; i <= n; i++) if (v[i, "stack"]) printf "%.3f\n", v[i, mode] / v[i, "stack"] }' "$dir/figures" | spread
}

compare() # MODE FIGURE WHAT
{
	local median low high
	read -r median low high < <(of_stack "$1" "$2")
	ratio "$3 by $1 to those by the stack ($low to $high)" "$median" 1
}

if [ ! -x "$flood" ] || [ ! -x "$rr" ]; then
	cannot "bench/flood and bench/rr were not built"
fi
for m in "${modes[@]}" generator; do
	stage "$m" || { echo "mode $m cannot be set up"; exit 1; }
done
drop generator-host va "$all" || exit 1
for ((i = 0; i < rounds; i++)); do
	measure_generator || { echo "the sender cannot be measured"; exit 1; }
	for ((j = 0; j < ${#modes[@]}; j++)); do
		m=${modes[$(((i + j) % ${#modes[@]}))]}
		turn "$m" || { echo "mode $m cannot be measured"; exit 1; }
	done
done

sender=$(of_mode generator pps)
row "packets a second" "sender alone" "$sender" ""
for m in "${modes[@]}"; do
	row "packets a second" "$m" "$(jq -n "$(of_mode "$m" pps) | round")" ""
	row "the way of a packet" "$m" "$(jq -n "1e9 / $(of_mode "$m" pps) - 1e9 / $sender | round")" ns
	for kind in "${kinds[@]}"; do
		row "round trips a second, ${words[$kind]}" "$m" "$(jq -n "$(of_mode "$m" "$kind-trips") | round")" ""
		row "their median" "$m" "$(of_mode "$m" "$kind-p50")" "us, ${words[$kind]}"
		row "99 of 100 within" "$m" "$(of_mode "$m" "$kind-p99")" "us, ${words[$kind]}"
		[[ $kind != *-busy ]] || row "beside packets a second" "$m" "$(of_mode "$m" "$kind-load")" "${words[$kind]}"
	done
done
for m in "${modes[@]:1}"; do
	compare "$m" pps "packets a second"
	for kind in "${kinds[@]}"; do
		compare "$m" "$kind-p99" "99th percentiles of round trips (${words[$kind]})"
	done
done
first() # MODE FIGURE: the median of its ratios to the stack's
{
	of_stack "$@" | cut -d " " -f 1
}
goal "packets by peer" "$(first peer pps)" at_least 1.08 "of the stack's"
for kind in "${kinds[@]}"; do
	goal "99th percentile by peer, ${words[$kind]}" "$(first peer "$kind-p99")" at_most 0.8 "of the stack's"
done
for m in "${modes[@]:1}"; do
	goal "packets by $m" "$(first "$m" pps)" at_least 1 "of the stack's"
done
done_measuring forward "from container to container over veth on one host; the stack routes and has no rules of its own"
