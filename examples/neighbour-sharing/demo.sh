#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Usage: demo.sh
#
# Builds the topology beside this file in network namespaces of its own, starts qosd with the policy beside this file, sends
# TCP from the wan side to neighbours and LAN hosts, prints who got how much, and takes everything away. Exit status 0 if
# everybody got what the policy says. Needs root and about 90 seconds.
#
#   QOSD, QOSCTL     the programs                             (found in PATH)
#   QOSD_ENGINE      tc or bpf in place of the policy's auto
#   DEMO_FAMILY      4 or 6: which addresses to talk to       (4)
#   DEMO_SECONDS     length of each measurement               (20)
#   TOPOLOGY_VLAN    see topology.sh
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
qosd=${QOSD:-qosd}
qosctl=${QOSCTL:-qosctl}
seconds=${DEMO_SECONDS:-20}
prefix=sharing$$
dir=$(mktemp -d "${TMPDIR:-/tmp}/qosd-demo.XXXXXX")
daemon=
bad=0

case ${DEMO_FAMILY:-4} in
6) net=fd00:1:: ;;
*) net=172.16.1. ;;
esac

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

start_qosd()
{
	local engine=${QOSD_ENGINE:-auto} i
	sed "s/engine: auto /engine: $engine /" "$here/qosd.yaml" >"$dir/qosd.yaml"
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

# Until the command says something, for half a minute at most.
await() # HOST COMMAND..
{
	for _ in {1..150}; do
		at "$@" | grep -q . && break
		sleep 0.2
	done
}

# Sends about 2 Mbit/s to a host that never answers, and prints how many kbit/s of payload got there.
udp() # HOST NUMBER
{
	local host=$1 address=$net$2
	at "$host" timeout $((seconds + 150)) python3 - "$address" <<-'END' >"$dir/udp" &
		import socket, sys, time
		family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
		s = socket.socket(family, socket.SOCK_DGRAM)
		s.bind((sys.argv[1], 4000))
		first = last = None
		size = 0
		s.settimeout(60)
		while True:
		    try:
		        data = s.recv(2000)
		    except TimeoutError:
		        break
		    s.settimeout(10)
		    last = time.monotonic()
		    if first is None:
		        first = last
		    else:
		        size += len(data)
		print(round(size * 8 / 1000 / (last - first)) if size else 0)
	END
	local receiver=$!
	for _ in {1..600}; do # Python takes its time on an emulated processor
		at "$host" ss -Hlun 'sport = :4000' | grep -q . && break
		sleep 0.1
	done
	at wan timeout $((seconds + 60)) python3 - "$address" "$((seconds / 2))" <<-'END'
		import socket, sys, time
		family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
		s = socket.socket(family, socket.SOCK_DGRAM)
		start = time.monotonic()
		sent = 0
		while (now := time.monotonic() - start) < float(sys.argv[2]):
		    while sent * 1400 * 8 < now * 2e6:
		        s.sendto(bytes(1400), (sys.argv[1], 4000))
		        sent += 1
		    time.sleep(0.005)
	END
	wait "$receiver"
	cat "$dir/udp"
}

# TCP from the wan side to a host: kbit/s that got there. The first seconds do not count: they empty the bucket, which is no rate.
tcp() # HOST NUMBER
{
	local host=$1 address=$net$2
	at "$host" timeout $((seconds + 40)) iperf3 -s -1 >/dev/null 2>&1 &
	local server=$!
	await "$host" ss -Hltn 'sport = :5201'
	at wan timeout $((seconds + 30)) iperf3 -c "$address" -O 3 -t "$seconds" -J >"$dir/iperf-$host"
	kill "$server" 2>/dev/null
	wait "$server" 2>/dev/null
	jq -r '.end.sum_received.bits_per_second // 0 | . / 1000 | round' "$dir/iperf-$host"
}

# Two at once do not start and end in the same moment: all that got there, over the time from the first start to the last end.
together() # IPERF-FILE IPERF-FILE
{
	jq -rs 'map({bytes: .end.sum_received.bytes, start: .start.timestamp.timesecs,
			end: (.start.timestamp.timesecs + .end.sum_received.seconds)}) |
		(map(.bytes) | add) * 8 / 1000 / ((map(.end) | max) - (map(.start) | min)) | round' "$@"
}

row() # WHO POLICY-RATE MEASURED LOW HIGH
{
	local verdict="as it should be"
	if ! [ "$3" -ge "$4" ] 2>/dev/null || ! [ "$3" -le "$5" ]; then
		verdict="NOT within $4 to $5"
		bad=1
	fi
	printf '%-42s %12s %14s   %s\n' "$1" "$2 kbit/s" "$3 kbit/s" "$verdict"
}

expect() # SENTENCE COMMAND..
{
	local sentence=$1
	shift
	if "$@"; then
		echo "$sentence: yes"
	else
		echo "$sentence: NO"
		bad=1
	fi
}

learned() # the set as qosctl shows it
{
	ctl show sets neighbours
}

knows() # NUMBER..: are these neighbours in the set?
{
	local number
	for number in "$@"; do
		learned | grep -q -w -F "$net$number" || return 1
	done
}

knows_none() # NUMBER..
{
	local number
	for number in "$@"; do
		! learned | grep -q -w -F "$net$number" || return 1
	done
}

[ "$(id -u)" -eq 0 ] || die "needs root, for network namespaces and traffic control"
"$here/topology.sh" up "$prefix" || die "the topology could not be built"
start_qosd

# A neighbour that has never said a word: the wan side is told its link-layer address by hand, so that nobody need ask.
mac=$(ip -n "$prefix-neigh0" -json link show eth0 | jq -r '.[0].address')
dev=eth0${TOPOLOGY_VLAN:+.$TOPOLOGY_VLAN}
ip -n "$prefix-wan" neighbour replace "${net}100" lladdr "$mac" dev "$dev" nud permanent
expect "nobody is known as a neighbour at first" knows_none 100 101 102
silent=$(udp neigh0 100)
expect "a neighbour that only received is not known either" knows_none 100 101 102
ip -n "$prefix-wan" neighbour delete "${net}100" dev "$dev"

lan_alone=$(tcp lan0 150)
one=$(tcp neigh0 100)
tcp neigh1 101 >/dev/null &
first=$!
tcp neigh2 102 >/dev/null &
second=$!
lan_busy=$(tcp lan1 151)
wait "$first" "$second"
both=$(together "$dir/iperf-neigh1" "$dir/iperf-neigh2")

expect "all three neighbours are known now" knows 100 101 102
expect "and no LAN host is" knows_none 150 151
echo
printf '%-42s %12s %14s   %s\n' who "policy rate" measured verdict
row "a neighbour, not yet learned (UDP)" 1024 "$silent" 400 1080
row "a LAN host, alone" 1024 "$lan_alone" 900 1080
row "a neighbour" 128 "$one" 100 140
row "two neighbours at once, together" 128 "$both" 100 140
row "a LAN host, while neighbours are busy" 1024 "$lan_busy" 900 1080
echo
learned
echo
ctl show classes

if [ "${QOSD_ENGINE:-}" = tc ]; then
	echo
	at router tc -s filter show dev wan0 ingress >"$dir/filters"
	at router tc -s actions show action police >"$dir/actions"
	cat "$dir/filters" "$dir/actions"
	for rate in 128Kbit 1024Kbit; do
		expect "tc shows a filter with a police action of $rate" grep -q "rate $rate" "$dir/filters"
		# shellcheck disable=SC2016 # awk's own variables
		expect "and that it has counted packets" awk -v "rate=$rate" '
			$0 ~ "police .*rate " rate " " { mine = 1 }
			mine && $1 == "Sent" { found = $4 > 0; mine = 0; if (found) exit }
			END { exit !found }' "$dir/actions"
	done
fi
if [ "$bad" -ne 0 ]; then
	echo
	cat "$dir/log"
fi
exit "$bad"
