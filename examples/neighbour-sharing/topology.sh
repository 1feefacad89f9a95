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

prefix=${2:-sharing}
vlan=${TOPOLOGY_VLAN:-}
hosts=(wan:5 neigh0:100 neigh1:101 neigh2:102 lan0:150 lan1:151)

host() # NAME NUMBER: a namespace, its eth0 with both addresses, its port on the bridge
{
	local name=$1 number=$2 ns=$prefix-$1 port=$1 dev=eth0
	[ "$name" = wan ] && port=wan0
	ip netns add "$ns"
	ip link add name "$port" netns "$prefix-router" type veth peer name eth0 netns "$ns"
	ip -n "$prefix-router" link set "$port" master br100 up
	ip -n "$ns" link set lo up
	ip -n "$ns" link set eth0 up
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
	ip -n "$ns" address add "172.16.1.$number/24" dev "$dev"
	ip -n "$ns" address add "fd00:1::$number/64" dev "$dev" nodad
}

up()
{
	local entry
	trap down ERR
	ip netns add "$prefix-router"
	ip -n "$prefix-router" link add name br100 type bridge forward_delay 0 ${vlan:+vlan_filtering 1 vlan_default_pvid 0}
	ip -n "$prefix-router" link set br100 up
	for entry in "${hosts[@]}"; do
		host "${entry%:*}" "${entry#*:}"
	done
}

down()
{
	local entry
	for entry in "${hosts[@]}" router:; do
		ip netns pids "$prefix-${entry%:*}" 2>/dev/null | xargs -r kill 2>/dev/null || true
		ip netns delete "$prefix-${entry%:*}" 2>/dev/null || true
	done
}

case ${1:-} in
up) up ;;
down) down ;;
*)
	echo "usage: topology.sh up|down [PREFIX]" >&2
	exit 2
	;;
esac
