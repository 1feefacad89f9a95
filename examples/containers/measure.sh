#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Usage: measure.sh
#
# Builds the topology beside this file in network namespaces of its own, starts qosd with the policy beside this file, and
# measures with the fast paths and without: round trips between containers, how many packets the host's stack forwarded for
# them, and the rates, which are the same. Takes everything away. Exit status 0 if all was as it should be. Needs root and
# about a minute.
#
#   QOSD, QOSCTL     the programs                  (found in PATH)
#   DEMO_SECONDS     length of each measurement    (5)
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
qosd=${QOSD:-qosd}
qosctl=${QOSCTL:-qosctl}
seconds=${DEMO_SECONDS:-5}
prefix=containers$$
dir=$(mktemp -d "${TMPDIR:-/tmp}/qosd-demo.XXXXXX")
daemon=
bad=0

clean_up()
{
	if [ -n "$daemon" ]; then
		kill "$daemon" 2>/dev/null
		wait "$daemon" 2>/dev/null
	fi
	"$here/topology.sh" down "$prefix"
	mountpoint -q "$dir/pins" && umount "$dir/pins"
	rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

die()
{
	echo "measure: $*" >&2
	exit 1
}

# ip netns exec would mount a new /sys; entering the network alone does not.
at() # NS COMMAND..
{
	local ns=$1
	shift
	nsenter --net="/run/netns/$prefix-$ns" "$@"
}

ctl()
{
	"$qosctl" --run-dir "$dir/run" "$@"
}

start_qosd()
{
	local i
	mkdir "$dir/run" "$dir/state" "$dir/pins"
	# Not by at: its subshell would be who is killed in the end.
	nsenter --net="/run/netns/$prefix-host" "$qosd" --config "$here/qosd.yaml" --run-dir "$dir/run" \
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

# Packets that the stack of the host has forwarded.
by_stack()
{
	# shellcheck disable=SC2016 # of awk
	at host awk '$1 == "Ip:" && $6 ~ /[0-9]/ { print $7 }' /proc/net/snmp
}

# TCP: kbit/s that got there, less the second that empties the first bucket.
tcp() # FROM TO ADDRESS
{
	at "$2" timeout $((seconds + 20)) iperf3 -s -1 >/dev/null 2>&1 &
	local server=$!
	for _ in {1..150}; do
		at "$2" ss -Hltn 'sport = :5201' | grep -q . && break
		sleep 0.1
	done
	at "$1" timeout $((seconds + 15)) iperf3 -c "$3" -O 2 -t "$seconds" -J 2>/dev/null |
		jq -r '.end.sum_received.bits_per_second // 0 | . / 1000 | round'
	kill "$server" 2>/dev/null
	wait "$server" 2>/dev/null
}

round_trip() # FROM ADDRESS: the mean of 2000 pings in microseconds
{
	at "$1" ping -n -q -i 0.001 -c 2000 -W 2 "$2" | sed -n 's|^rtt [^=]*= [^/]*/\([0-9.]*\)/.*|\1|p' |
		awk '{ printf "%d\n", $1 * 1000 }'
}

verdict() # WHAT VALUE LOW HIGH UNIT
{
	local word="as it should be"
	if [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
		word="NOT as it should be"
		bad=1
	fi
	printf '%-50s %10s %-7s %s\n' "$1" "$2" "$5" "$word"
}

measure() # with|without
{
	local before after trip
	before=$(by_stack)
	trip=$(round_trip web 10.88.2.2)
	after=$(by_stack)
	verdict "$1 fast paths: round trip web to db, mean" "$trip" 1 20000 us
	if [ "$1" = with ]; then
		verdict "  packets that the stack forwarded for it" $((after - before)) 0 20 ""
	else
		verdict "  packets that the stack forwarded for it" $((after - before)) 3900 4100 ""
	fi
	verdict "$1 fast paths: web uploads, 20 Mbit" "$(tcp web net 10.0.0.2)" 17000 20500 kbit/s
	verdict "$1 fast paths: web downloads, 40 Mbit" "$(tcp net web 10.88.1.2)" 30000 41500 kbit/s
}

"$here/topology.sh" up "$prefix" || die "no topology"
start_qosd
for address in 10.88.1.2 10.88.2.2 10.88.3.2; do
	at net ping -n -q -c 2 -i 0.2 -W 5 "$address" >/dev/null || die "$address does not answer"
done
measure with
ctl forward off >/dev/null || die "qosctl forward off"
measure without
ctl forward on >/dev/null || die "qosctl forward on"
echo
ctl stats interfaces
exit "$bad"
