#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What a host hands from one container to another: routed by the stack, and by forwarding rules of each mode. Packets a second
# (UDP of 60 bytes, send, hand over and receive on one processor; the container drops them as they arrive, or its answers would
# be most of what is measured) and round trips of a UDP datagram. What mode ingress hands over is routed all the same. All modes
# are set up side by side and take turns, BENCH_ROUNDS (8) of BENCH_SECONDS (1) each; the best round counts.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
rounds=${BENCH_ROUNDS:-8}
seconds=${BENCH_SECONDS:-1}
rr=${top_builddir:-.}/bench/rr
modes=(stack egress ingress neigh peer)
declare -A pps=() p50=() p99=() trips=()

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
	if [ "$m" != stack ]; then
		cat >>"$dir/$m/qosd.yaml" <<-END
			forward:
			  - {name: there, on: va, match: [{dst: 10.2.0.2}], redirect: {mode: $m, dev: vb}}
			  - {name: back, on: vb, match: [{dst: 10.1.0.2}], redirect: {mode: $m, dev: va}}
		END
	fi
	start_qosd "$m" "$m-host" || return
	at "$m-b" taskset -c 0 "$rr" serve & # where the packets come; or chance would say who is fast
	within 10 listening "$m-b" -u "sport = :9"
}

received() # MODE
{
	ip -n "$prefix-$1-b" -s -json link show eth0 | jq '.[0].stats64.rx.packets'
}

# What b receives is dropped, until its clsact is deleted. A program of one instruction, as not every kernel has gact.
drop_all() # NS
{
	at "$1" tc qdisc add dev eth0 clsact || return
	at "$1" tc filter add dev eth0 ingress bpf direct-action bytecode "1,6 0 0 2"
}

# Packets a second that container b got.
measure_pps() # MODE
{
	local before after out to=va
	drop_all "$1-b" || return
	before=$(received "$1")
	if [ "$1" = egress ]; then
		to=$(mac "$1-b" eth0)
	else
		to=$(mac "$1-host" va)
	fi
	out=$(at "$1-a" taskset -c 0 "$flood" eth0 "$to" 10.1.0.2 10.2.0.2 100 "$seconds") || return
	after=$(received "$1")
	at "$1-b" tc qdisc del dev eth0 clsact
	awk -v n="$((after - before))" -v s="${out#* }" 'BEGIN { printf "%d\n", n / s }'
}

less() # A B: as numbers
{
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'
}

round() # MODE
{
	local got n half most
	got=$(measure_pps "$1") || return
	[ "$got" -gt "${pps[$1]:-0}" ] && pps[$1]=$got
	read -r n half most < <(at "$1-a" taskset -c 0 "$rr" 10.2.0.2 "$seconds") || return
	[ "$n" -gt "${trips[$1]:-0}" ] && trips[$1]=$n
	less "$half" "${p50[$1]:-999999}" && p50[$1]=$half
	less "$most" "${p99[$1]:-999999}" && p99[$1]=$most
	return 0
}

if [ ! -x "$flood" ] || [ ! -x "$rr" ]; then
	cannot "bench/flood and bench/rr were not built"
fi
for m in "${modes[@]}"; do
	stage "$m" || { echo "mode $m cannot be set up"; exit 1; }
done
for ((i = 0; i < rounds; i++)); do
	for m in "${modes[@]}"; do
		round "$m" || { echo "mode $m cannot be measured"; exit 1; }
	done
done

for m in "${modes[@]}"; do
	row "packets a second" "$m" "${pps[$m]}" ""
	row "round trips a second" "$m" "$(jq -n "${trips[$m]} / $seconds | round")" ""
	row "round trip, median" "$m" "${p50[$m]}" us
	row "round trip, 99 of 100" "$m" "${p99[$m]}" us
done
for m in "${modes[@]:1}"; do
	ratio "packets a second by $m to those by the stack" "${pps[$m]}" "${pps[stack]}"
	ratio "99th percentile of round trips by $m to that by the stack" "${p99[$m]}" "${p99[stack]}"
done
of_stack() # VALUE STACK
{
	jq -n "$1 / $2 * 1000 | round / 1000"
}
goal "packets by peer" "$(of_stack "${pps[peer]}" "${pps[stack]}")" at_least 1.08 "of the stack's"
goal "99th percentile by peer" "$(of_stack "${p99[peer]}" "${p99[stack]}")" at_most 0.8 "of the stack's"
# What mode ingress hands over, the stack still routes: that cannot be faster than the stack.
for m in egress neigh peer; do
	goal "packets by $m" "$(of_stack "${pps[$m]}" "${pps[stack]}")" at_least 1 "of the stack's"
done
done_measuring forward "from container to container over veth on one host; the stack routes and has no rules of its own"
