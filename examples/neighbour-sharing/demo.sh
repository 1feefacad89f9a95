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
# shellcheck source=../lib.sh
. "$here/../lib.sh"
seconds=${DEMO_SECONDS:-20}

case ${DEMO_FAMILY:-4} in
6) net=fd00:1:: ;;
*) net=172.16.1. ;;
esac

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
	await "$host" ss -Hlun 'sport = :4000'
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

# From the wan side to a host.
download() # HOST NUMBER
{
	tcp wan "$1" "$net$2" 3 5201
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
	judge "$3" "$4" "$5" "NOT within $4 to $5"
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

begin sharing
"$here/topology.sh" up "$prefix" || die "the topology could not be built"
sed "s/engine: auto /engine: ${QOSD_ENGINE:-auto} /" "$here/qosd.yaml" >"$dir/qosd.yaml"
start_qosd router "$dir/qosd.yaml"

# A neighbour that has never said a word: the wan side is told its link-layer address by hand, so that nobody need ask.
mac=$(ip -n "$prefix-neigh0" -json link show eth0 | jq -r '.[0].address')
dev=eth0${TOPOLOGY_VLAN:+.$TOPOLOGY_VLAN}
ip -n "$prefix-wan" neighbour replace "${net}100" lladdr "$mac" dev "$dev" nud permanent
expect "nobody is known as a neighbour at first" knows_none 100 101 102
silent=$(udp neigh0 100)
expect "a neighbour that only received is not known either" knows_none 100 101 102
ip -n "$prefix-wan" neighbour delete "${net}100" dev "$dev"

lan_alone=$(download lan0 150)
one=$(download neigh0 100)
download neigh1 101 >/dev/null &
first=$!
download neigh2 102 >/dev/null &
second=$!
lan_busy=$(download lan1 151)
wait "$first" "$second"
both=$(together "$dir/iperf-${net}101" "$dir/iperf-${net}102")

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
finish
