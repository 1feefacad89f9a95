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
# shellcheck source=../lib.sh
. "$here/../lib.sh"
subscribers=${DEMO_SUBSCRIBERS:-10000}
waits=()

# homes (100.64.0.1 to .8 and .200.1) ── access0, router, core0 ── world (198.51.100.1)
topology()
{
	local i
	netns homes router world && cable router access0 homes eth0 && cable router core0 world eth0 || return
	at router sysctl -q -w net.ipv4.ip_forward=1
	address router access0 100.64.255.254/16
	address router core0 198.51.100.254/24
	address world eth0 198.51.100.1/24
	ip -n "$prefix-world" route add default via 198.51.100.254
	for i in 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 200.1; do
		address homes eth0 "100.64.$i/16"
	done
	ip -n "$prefix-homes" route add default via 100.64.255.254
}

# Between the world and a subscriber: a port for each, so that several may be measured at once.
rate() # down|up ADDRESS
{
	local reverse=()
	[ "$1" = down ] || reverse=(-R)
	tcp world homes "$2" 2 $((5000 + ${2##*.})) "${reverse[@]}"
}

# Payload is at most 95.6 % of a rate, headers are the rest.
row() # WHO POLICY-RATE MEASURED
{
	judge "$3" $(($2 * 85 / 100)) $(($2 * 104 / 100))
	printf '%-42s %13s %14s   %s\n' "$1" "$2 kbit/s" "$3 kbit/s" "$verdict"
}

begin subscribers
topology || die "the topology could not be built"
cp "$here/qosd.yaml" "$dir/qosd.yaml"
"$here/make-csv.sh" "$subscribers" >"$dir/subscribers.csv"
start_qosd router "$dir/qosd.yaml"
echo "$(grep -c '^100' "$dir/subscribers.csv") subscribers"
echo

printf '%-42s %13s %14s   %s\n' who "policy rate" measured verdict
row "plan basic, down" 10000 "$(rate down 100.64.0.1)"
row "plan basic, up" 2000 "$(rate up 100.64.0.1)"
row "plan plus, down" 25000 "$(rate down 100.64.0.2)"
row "plan pro, down" 50000 "$(rate down 100.64.0.4)"
row "plan pro, up" 10000 "$(rate up 100.64.0.4)"
row "who is in no contract, down" 1000 "$(rate down 100.64.200.1)"

for i in 3 6 8; do
	rate down "100.64.0.$i" >"$dir/rate-$i" &
	waits+=($!)
done
wait "${waits[@]}"
row "at the same time: basic" 10000 "$(cat "$dir/rate-3")"
row "at the same time: plus" 25000 "$(cat "$dir/rate-6")"
row "at the same time: pro" 50000 "$(cat "$dir/rate-8")"

sed -i 's/^100\.64\.0\.5,.*/100.64.0.5,5mbit,25mbit/' "$dir/subscribers.csv"
changes=$(ctl --json reload | jq '.changes | length')
row "from basic to plus, with one line changed" 25000 "$(rate down 100.64.0.5)"
echo
echo "That reload made $changes change(s)."
[ "$changes" = 1 ] || bad=1
echo
ctl stats | head -n 20
finish
