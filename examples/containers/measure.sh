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
# shellcheck source=../lib.sh
. "$here/../lib.sh"

# Packets that the stack of the host has forwarded.
by_stack()
{
	# shellcheck disable=SC2016 # of awk
	at host awk '$1 == "Ip:" && $6 ~ /[0-9]/ { print $7 }' /proc/net/snmp
}

round_trip() # FROM ADDRESS: the mean of 2000 pings in microseconds
{
	at "$1" ping -n -q -i 0.001 -c 2000 -W 2 "$2" | sed -n 's|^rtt [^=]*= [^/]*/\([0-9.]*\)/.*|\1|p' |
		awk '{ printf "%d\n", $1 * 1000 }'
}

row() # WHAT VALUE LOW HIGH UNIT
{
	judge "$2" "$3" "$4"
	printf '%-50s %10s %-7s %s\n' "$1" "$2" "$5" "$verdict"
}

measure() # with|without
{
	local before after trip
	before=$(by_stack)
	trip=$(round_trip web 10.88.2.2)
	after=$(by_stack)
	row "$1 fast paths: round trip web to db, mean" "$trip" 1 20000 us
	if [ "$1" = with ]; then
		row "  packets that the stack forwarded for it" $((after - before)) 0 20 ""
	else
		row "  packets that the stack forwarded for it" $((after - before)) 3900 4100 ""
	fi
	row "$1 fast paths: web uploads, 20 Mbit" "$(tcp web net 10.0.0.2 2 5201)" 17000 20500 kbit/s
	row "$1 fast paths: web downloads, 40 Mbit" "$(tcp net web 10.88.1.2 2 5201)" 30000 41500 kbit/s
}

begin containers
"$here/topology.sh" up "$prefix" || die "no topology"
start_qosd host "$here/qosd.yaml"
for address in 10.88.1.2 10.88.2.2 10.88.3.2; do
	at net ping -n -q -c 2 -i 0.2 -W 5 "$address" >/dev/null || die "$address does not answer"
done
measure with
ctl forward off >/dev/null || die "qosctl forward off"
measure without
ctl forward on >/dev/null || die "qosctl forward on"
echo
ctl stats interfaces
finish
