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

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../lib.sh
. "$here/../lib.sh"
prefix=${2:-containers}
containers=(web db mail)
names=(host net "${containers[@]}")

build()
{
	local name i=0
	netns "${names[@]}"
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
	at host sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

up_or_down "$@"
