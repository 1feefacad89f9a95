#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Usage: demo.sh
#
# An access router with 10,000 subscribers in network namespaces of its own: starts qosd with the policy beside this file and a
# file of that many subscribers, sends TCP to and from a handful of them, alone and all at once, changes one contract, prints
# who got how much, and takes everything away. Exit status 0 if everybody got what the file says. Needs root and a minute.
#
#   QOSD, QOSCTL       the programs                       (found in PATH)
#   DEMO_SECONDS       length of each measurement         (5)
#   DEMO_SUBSCRIBERS   how many there are                 (10000)
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
qosd=${QOSD:-qosd}
qosctl=${QOSCTL:-qosctl}
seconds=${DEMO_SECONDS:-5}
subscribers=${DEMO_SUBSCRIBERS:-10000}
prefix=subscribers$$
dir=$(mktemp -d "${TMPDIR:-/tmp}/qosd-demo.XXXXXX")
daemon=
waits=()
bad=0

clean_up()
{
	local ns
	if [ -n "$daemon" ]; then
		kill "$daemon" 2>/dev/null
		wait "$daemon" 2>/dev/null
	fi
	# shellcheck disable=SC2046 # process ids
	kill $(jobs -p) 2>/dev/null
	for ns in homes router world; do
		ip netns delete "$prefix-$ns" 2>/dev/null
	done
	mountpoint -q "$dir/pins" && umount "$dir/pins"
	rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

die()
{
	echo "demo: $*" >&2
	exit 1
}

# ip netns exec would mount a new /sys; entering the network alone does not.
at() # HOST COMMAND..
{
	local host=$1
	shift
	nsenter --net="/run/netns/$prefix-$host" "$@"
}

ctl()
{
	"$qosctl" --run-dir "$dir/run" "$@"
}

# homes (100.64.0.1 to .8 and .200.1) ── access0, router, core0 ── world (198.51.100.1)
topology()
{
	local ns i
	for ns in homes router world; do
		ip netns add "$prefix-$ns" && ip -n "$prefix-$ns" link set lo up || return
	done
	ip link add name access0 netns "$prefix-router" type veth peer name eth0 netns "$prefix-homes" &&
		ip link add name core0 netns "$prefix-router" type veth peer name eth0 netns "$prefix-world" || return
	for i in router:access0 router:core0 homes:eth0 world:eth0; do
		ip -n "$prefix-${i%:*}" link set "${i#*:}" up
	done
	at router sysctl -q -w net.ipv4.ip_forward=1
	ip -n "$prefix-router" address add 100.64.255.254/16 dev access0
	ip -n "$prefix-router" address add 198.51.100.254/24 dev core0
	ip -n "$prefix-world" address add 198.51.100.1/24 dev eth0
	ip -n "$prefix-world" route add default via 198.51.100.254
	for i in 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 200.1; do
		ip -n "$prefix-homes" address add "100.64.$i/16" dev eth0
	done
	ip -n "$prefix-homes" route add default via 100.64.255.254
}

start_qosd()
{
	local i
	cp "$here/qosd.yaml" "$dir/qosd.yaml"
	"$here/make-csv.sh" "$subscribers" >"$dir/subscribers.csv"
	mkdir "$dir/run" "$dir/state" "$dir/pins"
	nsenter --net="/run/netns/$prefix-router" "$qosd" --config "$dir/qosd.yaml" --run-dir "$dir/run" \
		--state-dir "$dir/state" --pin-dir "$dir/pins" 2>"$dir/log" &
	daemon=$!
	for ((i = 0; i < 300; i++)); do
		ctl show interfaces >/dev/null 2>&1 && return
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.1
	done
	cat "$dir/log" >&2
	die "qosd did not start"
}

# TCP between the world and a subscriber: kbit/s that got there. What fills an empty bucket first does not count.
tcp() # down|up ADDRESS
{
	local port=$((5000 + ${2##*.})) server how=()
	[ "$1" = up ] && how=(-R)
	at homes timeout $((seconds + 60)) iperf3 -s -1 -B "$2" -p "$port" >/dev/null 2>&1 &
	server=$!
	for _ in {1..300}; do
		at homes ss -Hltn "sport = :$port" | grep -q -F "$2" && break
		sleep 0.1
	done
	at world timeout $((seconds + 40)) iperf3 -c "$2" -p "$port" "${how[@]}" -O 2 -t "$seconds" -J >"$dir/iperf-$2" 2>/dev/null
	kill "$server" 2>/dev/null
	wait "$server" 2>/dev/null
	jq -r '.end.sum_received.bits_per_second // 0 | . / 1000 | round' "$dir/iperf-$2"
}

# Payload is at most 95.6 % of a rate, headers are the rest.
row() # WHO POLICY-RATE MEASURED
{
	local verdict="as it should be"
	if ! [ "$3" -ge $(($2 * 85 / 100)) ] 2>/dev/null || ! [ "$3" -le $(($2 * 104 / 100)) ]; then
		verdict="NOT as it should be"
		bad=1
	fi
	printf '%-42s %13s %14s   %s\n' "$1" "$2 kbit/s" "$3 kbit/s" "$verdict"
}

[ "$(id -u)" -eq 0 ] || die "needs root, for network namespaces and traffic control"
topology || die "the topology could not be built"
start_qosd
echo "$(grep -c '^100' "$dir/subscribers.csv") subscribers"
echo

printf '%-42s %13s %14s   %s\n' who "policy rate" measured verdict
row "plan basic, down" 10000 "$(tcp down 100.64.0.1)"
row "plan basic, up" 2000 "$(tcp up 100.64.0.1)"
row "plan plus, down" 25000 "$(tcp down 100.64.0.2)"
row "plan pro, down" 50000 "$(tcp down 100.64.0.4)"
row "plan pro, up" 10000 "$(tcp up 100.64.0.4)"
row "who is in no contract, down" 1000 "$(tcp down 100.64.200.1)"

for i in 3 6 8; do
	tcp down "100.64.0.$i" >"$dir/rate-$i" &
	waits+=($!)
done
wait "${waits[@]}"
row "at the same time: basic" 10000 "$(cat "$dir/rate-3")"
row "at the same time: plus" 25000 "$(cat "$dir/rate-6")"
row "at the same time: pro" 50000 "$(cat "$dir/rate-8")"

sed -i 's/^100\.64\.0\.5,.*/100.64.0.5,5mbit,25mbit/' "$dir/subscribers.csv"
changes=$(ctl --json reload | jq '.changes | length')
row "from basic to plus, with one line changed" 25000 "$(tcp down 100.64.0.5)"
echo
echo "That reload made $changes change(s)."
[ "$changes" = 1 ] || bad=1
echo
ctl stats | head -n 20
if [ "$bad" -ne 0 ]; then
	echo
	cat "$dir/log"
fi
exit "$bad"
