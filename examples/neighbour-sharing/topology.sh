#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Usage: topology.sh up|down [PREFIX]
#
#     neigh0..2 ──┐
#                 ├── br100 ── wan0 ── wan        (PREFIX-router holds the bridge and its ports)
#     lan0..1   ──┘
#
# Every host is a network namespace of its own, PREFIX-neigh0 and so on, with an eth0 that ends in the router as a port of
# the host's name. One subnet: wan .5, neighbours .100 to .102, LAN hosts .150 and .151 of 172.16.1.0/24 and fd00:1::/64.
# TOPOLOGY_VLAN=ID: the neighbours' ports and wan0 carry the subnet tagged. PREFIX is sharing if not given.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../lib.sh
. "$here/../lib.sh"
prefix=${2:-sharing}
vlan=${TOPOLOGY_VLAN:-}
hosts=(wan:5 neigh0:100 neigh1:101 neigh2:102 lan0:150 lan1:151)
names=("${hosts[@]%:*}" router)

host() # NAME NUMBER: its eth0 with both addresses, its port on the bridge
{
	local name=$1 number=$2 ns=$prefix-$1 port=$1 dev=eth0
	[ "$name" = wan ] && port=wan0
	cable router "$port" "$name" eth0
	ip -n "$prefix-router" link set "$port" master br100
	if [ -n "$vlan" ]; then
		case $name in
		lan*)
			bridge -n "$prefix-router" vlan add dev "$port" vid "$vlan" pvid untagged
			;;
		*)
			bridge -n "$prefix-router" vlan add dev "$port" vid "$vlan"
			dev=eth0.$vlan
			ip -n "$ns" link add link eth0 name "$dev" type vlan id "$vlan"
			ip -n "$ns" link set "$dev" up
			;;
		esac
	fi
	address "$name" "$dev" "172.16.1.$number/24" "fd00:1::$number/64"
}

build()
{
	local entry
	netns "${names[@]}"
	ip -n "$prefix-router" link add name br100 type bridge forward_delay 0 ${vlan:+vlan_filtering 1 vlan_default_pvid 0}
	ip -n "$prefix-router" link set br100 up
	for entry in "${hosts[@]}"; do
		host "${entry%:*}" "${entry#*:}"
	done
}

up_or_down "$@"
