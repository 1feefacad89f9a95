#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Forwarding rules on a host with containers: every mode with TCP, UDP and ICMP over IPv4 and IPv6, with the stack's
# counters of forwarded packets as witness that it was not asked; devices that come and go; switches; counters.
#
#   out -- eth0 [host] v1 -- c1, v2 -- c2, tap0 -- cap; host's tun0
# shellcheck source=tests/live/lib.sh
. "$(dirname "$0")/lib.sh"
needs_root

netns host out c1 c2 cap
cable host eth0 out eth0
cable host v1 c1 eth0
cable host v2 c2 eth0
cable host tap0 cap tap0
address host eth0 10.0.0.1/24 fd00:9::1/64
address out eth0 10.0.0.2/24 fd00:9::2/64
ip -n "$prefix-out" route add 10.88.0.0/16 via 10.0.0.1
ip -n "$prefix-out" -6 route add fd00:88::/32 via fd00:9::1
for i in 1 2; do
	address host "v$i" "10.88.$i.1/24" "fd00:88:$i::1/64"
	address "c$i" eth0 "10.88.$i.2/24" "fd00:88:$i::2/64"
	ip -n "$prefix-c$i" route add default via "10.88.$i.1"
	ip -n "$prefix-c$i" -6 route add default via "fd00:88:$i::1"
done

# ---- who talks to whom ----

cat >"$dir/echo.py" <<-'END'
	import select, socket, sys

	PORT = 7

	def serve():
	    tcp = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
	    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
	    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
	    udp.bind(("::", PORT))
	    while True:
	        for s in select.select([tcp, udp], [], [])[0]:
	            if s is udp:
	                data, peer = udp.recvfrom(65536)
	                udp.sendto(data, peer)
	            else:
	                c, _ = tcp.accept()
	                c.settimeout(10)
	                data = c.recv(65536)
	                while data:
	                    c.sendall(data)
	                    data = c.recv(65536)
	                c.close()

	def ask(address):
	    text = b"x" * 1000
	    family = socket.AF_INET6 if ":" in address else socket.AF_INET
	    for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
	        got = b""
	        for attempt in range(3):
	            s = socket.socket(family, kind)
	            s.settimeout(5)
	            try:
	                s.connect((address, PORT))
	                s.sendall(text)
	                got = s.recv(65536)
	                while kind == socket.SOCK_STREAM and len(got) < len(text):
	                    got += s.recv(65536)
	                break
	            except OSError as e:
	                print(address, kind, e)
	        if got != text:
	            sys.exit(f"{address}: {kind} got {len(got)} bytes back")

	serve() if len(sys.argv) < 2 else [ask(a) for a in sys.argv[1:]]
END
for ns in out c1 c2; do
	at "$ns" python3 "$dir/echo.py" >"$dir/echo-$ns.log" 2>&1 &
	within 60 listening "$ns" -t "sport = :7" || cat "$dir/echo-$ns.log"
done

talk() # NS ADDRESS..: TCP, UDP and ICMP
{
	local ns=$1 a
	shift
	at "$ns" timeout 60 python3 "$dir/echo.py" "$@" || return
	for a in "$@"; do
		at "$ns" ping -n -q -c 2 -i 0.2 -W 5 "$a" || return
	done
}

sysctls() # NS VALUE: forwarding of IPv4 and IPv6
{
	at "$1" sysctl -q -w "net.ipv4.ip_forward=$2" "net.ipv6.conf.all.forwarding=$2"
}

# Packets that the stack of the host has forwarded.
by_stack()
{
	# shellcheck disable=SC2016 # awk's
	at host awk '$1 == "Ip:" && $6 ~ /[0-9]/ { n += $7 } $1 == "Ip6OutForwDatagrams" { n += $2 } END { print n }' \
		/proc/net/snmp /proc/net/snmp6
}

past_stack() # COMMAND..: it succeeds, and the stack forwards nothing for it
{
	local before after
	before=$(by_stack)
	"$@" || return
	after=$(by_stack)
	echo "the stack forwarded $((after - before)) packets"
	[ "$before" -eq "$after" ]
}

through_stack()
{
	local before after
	before=$(by_stack)
	"$@" || return
	after=$(by_stack)
	echo "the stack forwarded $((after - before)) packets"
	[ "$after" -gt "$before" ]
}

rule() # NAME KEY: a counter of a rule; missed.REASON too
{
	ctl q --json stats | jq --arg n "$1" ".forward[] | select(.name == \$n) | .$2 // 0"
}

state() # NAME: "away: down"
{
	ctl q --json show forward | jq -r --arg n "$1" '.forward[] | select(.name == $n) | .state + ": " + .why'
}

is_state() # NAME STATE
{
	equal "$(state "$1")" "$2"
}

daemon_dir q
cat >"$dir/q/qosd.yaml" <<-'END'
	version: 1
	sets:
	  one: {elements: [10.88.1.2, "fd00:88:1::2"]}
	  two: {elements: [10.88.2.2, "fd00:88:2::2"]}
	forward:
	  - {name: in1, on: eth0, match: [{dst: "@one"}], redirect: {mode: peer, dev: v1}}
	  - {name: in2, on: eth0, match: [{dst: "@two"}], redirect: {mode: peer, dev: v2}}
	  - {name: to2, on: v1, match: [{dst: "@two"}], redirect: {mode: peer, dev: v2}}
	  - {name: out1-v4, on: v1, match: [{family: ipv4, src: "@one"}],
	     redirect: {mode: neigh, dev: eth0, nexthop: 10.0.0.2}}
	  - {name: out1-v6, on: v1, match: [{family: ipv6, src: "@one"}],
	     redirect: {mode: neigh, dev: eth0, nexthop: "fd00:9::2"}}
	  - {name: to1, on: v2, match: [{dst: "@one"}], redirect: {mode: neigh, dev: v1}}
	  - {name: out2, on: v2, match: [{src: "@two"}], redirect: {mode: neigh, dev: eth0}}
END
check "qosd starts" start_qosd q host
check "a plan is empty at once" plan_is_empty q

sysctls host 0
check "NIC to container by peer, back by neigh with a next hop, ip_forward=0" past_stack talk out 10.88.1.2 fd00:88:1::2
check "and the other way round" past_stack talk c1 10.0.0.2 fd00:9::2
sysctls host 1
at out ping -n -q -c 1 10.0.0.1 >/dev/null
at c1 ping -n -q -c 1 10.88.1.1 >/dev/null
at c2 ping -n -q -c 1 10.88.2.1 >/dev/null
talk out 10.88.2.2 fd00:88:2::2 >/dev/null 2>&1 # neighbours are known from here on
talk c1 10.88.2.2 fd00:88:2::2 >/dev/null 2>&1
check "NIC to container by peer, back by neigh as the routes say" past_stack talk out 10.88.2.2 fd00:88:2::2
check "container to container by peer, back by neigh" past_stack talk c1 10.88.2.2 fd00:88:2::2
finish
