#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Packets a second through a routing namespace, send, route and deliver on one processor: with nothing on the way out, and
# with 1 and 512 rules on UDP ports by qosd, tc's u32, nftables and HTB. Every second packet meets a rule in the rear half.
# All are set up side by side and take turns, BENCH_ROUNDS (5) of BENCH_SECONDS (1) each; the best round counts.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
rounds=${BENCH_ROUNDS:-5}
seconds=${BENCH_SECONDS:-1}
declare -A ports=() best=()
names=()

# A sender, a router and a receiver, which has no use for what it gets: the packets are for somebody behind it.
stage() # NAME PORTS
{
	local name=$1
	names+=("$name")
	ports[$name]=$2
	netns "$name-a" "$name-r" "$name-b"
	cable "$name-a" eth0 "$name-r" lan0 || return
	cable "$name-r" wan0 "$name-b" eth0 || return
	address "$name-a" eth0 10.1.0.1/24
	address "$name-r" lan0 10.1.0.254/24
	address "$name-r" wan0 10.2.0.254/24
	address "$name-b" eth0 10.2.0.1/24
	at "$name-r" sysctl -q -w net.ipv4.ip_forward=1
	ip -n "$prefix-$name-r" route add 10.3.0.0/16 via 10.2.0.1
	ip -n "$prefix-$name-r" neighbour replace 10.2.0.1 lladdr "$(mac "$name-b" eth0)" dev wan0 nud permanent
}

mac() # NS IFNAME
{
	ip -n "$prefix-$1" -json link show "$2" | jq -r '.[0].address'
}

sent() # NAME: packets that left the router
{
	ip -n "$prefix-$1-r" -s -json link show wan0 | jq '.[0].stats64.tx.packets'
}

# Packets a second.
measure() # NAME
{
	local before after out
	before=$(sent "$1")
	out=$(at "$1-a" taskset -c 0 "$flood" eth0 "$(mac "$1-r" lan0)" 10.1.0.1 10.3.0.1 "${ports[$1]}" "$seconds") || return
	after=$(sent "$1")
	awk -v n="$((after - before))" -v s="${out#* }" 'BEGIN { printf "%d\n", n / s }'
}

qosd_policy() # POLICE|HTB N
{
	local i
	printf 'version: 1\npolicies:\n  p:\n    type: %s\n    rate: 900gbit\n    default: rest\n    classes:\n' "$1"
	for ((i = 1; i <= $2; i++)); do
		printf '      - {name: c%d, rate: 1gbit, match: [{remote-port: %d}]' "$i" "$i"
		[ "$1" = htb ] && printf ', ceil: 900gbit'
		printf '}\n'
	done
	printf '      - {name: rest, rate: 1gbit%s}\n' "$([ "$1" = htb ] && printf ', ceil: 900gbit')"
	printf 'interfaces:\n  wan0:\n    side: wan\n    egress: {policy: p}\n'
}

with_qosd() # NAME POLICE|HTB N
{
	stage "$1" "$3"
	daemon_dir "$1"
	qosd_policy "$2" "$3" | if [ "$2" = police ]; then sed 's/type: police/type: police\n    engine: bpf/; s/    rate: 900gbit//'; else cat; fi >"$dir/$1/qosd.yaml"
	sed -i '/^ *$/d; s/rate: 1gbit/rate: 100gbit/' "$dir/$1/qosd.yaml"
	[ "$2" = htb ] && sed -i 's/{\(.*\)rate: 100gbit/{\1rate: 1gbit/' "$dir/$1/qosd.yaml"
	start_qosd "$1" "$1-r"
}

u32_filters() # PARENT N CLASS
{
	local i
	for ((i = 1; i <= $2; i++)); do
		echo "filter add dev wan0 $1 protocol ip pref 1 u32 match ip protocol 17 0xff match ip dport $i 0xffff $3:$(printf %x "$i")"
	done
}

with_u32() # NAME N
{
	stage "$1" "$2"
	at "$1-r" tc qdisc add dev wan0 clsact
	u32_filters egress "$2" "classid 1" >"$dir/batch"
	at "$1-r" tc -batch "$dir/batch"
}

with_htb() # NAME N
{
	local i
	stage "$1" "$2"
	{
		echo "qdisc add dev wan0 root handle 1: htb default ffff"
		echo "class add dev wan0 parent 1: classid 1:fffe htb rate 900gbit quantum 60000"
		echo "class add dev wan0 parent 1:fffe classid 1:ffff htb rate 1gbit ceil 900gbit quantum 60000"
		for ((i = 1; i <= $2; i++)); do
			echo "class add dev wan0 parent 1:fffe classid 1:$(printf %x "$i") htb rate 1gbit ceil 900gbit quantum 60000"
		done
		u32_filters "parent 1:" "$2" "flowid 1"
	} >"$dir/batch"
	at "$1-r" tc -batch "$dir/batch"
}

with_nft() # NAME N rules|map
{
	local i
	stage "$1" "$2"
	{
		printf 'table inet qos {\n\tchain out {\n\t\ttype filter hook postrouting priority mangle\n'
		if [ "$3" = rules ]; then
			for ((i = 1; i <= $2; i++)); do
				printf '\t\toifname wan0 udp dport %d meta mark set %d accept\n' "$i" "$i"
			done
		else
			printf '\t\toifname wan0 meta mark set udp dport map {'
			for ((i = 1; i <= $2; i++)); do
				printf ' %d : %d,' "$i" "$i"
			done
			printf ' }\n'
		fi
		printf '\t}\n}\n'
	} >"$dir/nft"
	at "$1-r" nft -f "$dir/nft"
}

[ -x "$flood" ] || cannot "bench/flood was not built"
stage none 512
for n in 1 512; do
	with_qosd "qosd$n" police "$n" || exit 1
	with_qosd "htb$n" htb "$n" || exit 1
	with_u32 "u32$n" "$n" || exit 1
	with_htb "tchtb$n" "$n" || exit 1
	if command -v nft >/dev/null; then
		with_nft "nft$n" "$n" rules || exit 1
		with_nft "nftmap$n" "$n" map || exit 1
	fi
done

for ((i = 0; i < rounds; i++)); do
	for name in "${names[@]}"; do
		got=$(measure "$name") || exit 1
		[ "$got" -gt "${best[$name]:-0}" ] && best[$name]=$got
	done
done

for n in 1 512; do
	rules="$n rule$([ "$n" -gt 1 ] && echo s)"
	for who in "none:no QoS" "qosd:qosd police" "u32:tc u32" "nft:nft rules" "nftmap:nft map" "htb:qosd htb" "tchtb:tc htb, u32"; do
		name=${who%%:*}
		[ "$name" = none ] || name+=$n
		[ -n "${best[$name]:-}" ] || { row "packets a second, $rules" "${who#*:}" null "" "no nft here"; continue; }
		row "packets a second, $rules" "${who#*:}" "${best[$name]}" ""
	done
	for who in "qosd police" "tc u32" "nft rules" "nft map" "qosd htb" "tc htb, u32"; do
		pps=$(value_of "packets a second, $rules" "$who")
		row "added to a packet, $rules" "$who" \
			"$(jq -n --argjson p "$pps" --argjson none "${best[none]}" 'if $p then (1e9 / $p - 1e9 / $none) * 10 | round / 10 else null end')" ns
	done
done
for n in "1 rule" "512 rules"; do
	what="packets a second, $n"
	ratio "packets a second with qosd police to none, $n" "$(value_of "$what" "qosd police")" "$(value_of "$what" "no QoS")"
	for who in "tc u32" "nft rules" "nft map"; do
		ratio "packets a second, qosd police to $who, $n" "$(value_of "$what" "qosd police")" "$(value_of "$what" "$who")"
	done
	ratio "packets a second, qosd htb to tc htb, u32, $n" "$(value_of "$what" "qosd htb")" "$(value_of "$what" "tc htb, u32")"
done
done_measuring pps "UDP packets of 60 bytes through a router on veth, all on one processor; what a rule does: qosd counts and polices, u32 \
classifies, nft marks, htb queues"
