#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Usage: topology.sh up|down [PREFIX]
#
#     net ── uplink [host] ─┬─ veth-web ── web      10.88.1.2, fd00:88:1::2
#                           ├─ veth-db ─── db       10.88.2.2, fd00:88:2::2
#                           └─ veth-mail ─ mail     10.88.3.2, fd00:88:3::2
#
# Each is a network namespace, PREFIX-host and so on; net is 10.0.0.2 and fd00:9::2. PREFIX is containers if not given.
set -euo pipefail

prefix=${2:-containers}
containers=(web db mail)

cable() # NS IFNAME NS IFNAME
{
	ip link add name "$2" netns "$prefix-$1" type veth peer name "$4" netns "$prefix-$3"
	ip -n "$prefix-$1" link set "$2" up
	ip -n "$prefix-$3" link set "$4" up
}

address() # NS IFNAME IPV4/LEN IPV6/LEN
{
	ip -n "$prefix-$1" address add "$3" dev "$2"
	ip -n "$prefix-$1" address add "$4" dev "$2" nodad
}

up()
{
	local name i=0
	trap down ERR
	for name in host net "${containers[@]}"; do
		ip netns add "$prefix-$name"
		ip -n "$prefix-$name" link set lo up
	done
	cable host uplink net eth0
	address host uplink 10.0.0.1/24 fd00:9::1/64
	address net eth0 10.0.0.2/24 fd00:9::2/64
	ip -n "$prefix-net" route add 10.88.0.0/16 via 10.0.0.1
	ip -n "$prefix-net" -6 route add fd00:88::/32 via fd00:9::1
	for name in "${containers[@]}"; do
		i=$((i + 1))
		cable host "veth-$name" "$name" eth0
		address host "veth-$name" "10.88.$i.1/24" "fd00:88:$i::1/64"
		address "$name" eth0 "10.88.$i.2/24" "fd00:88:$i::2/64"
		ip -n "$prefix-$name" route add default via "10.88.$i.1"
		ip -n "$prefix-$name" -6 route add default via "fd00:88:$i::1"
	done
	nsenter --net="/run/netns/$prefix-host" sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

down()
{
	local name
	for name in host net "${containers[@]}"; do
		ip netns delete "$prefix-$name" 2>/dev/null || true
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
