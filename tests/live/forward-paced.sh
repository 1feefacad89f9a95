#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Departure times over a redirect: what a container sends comes to the uplink by mode neigh, past the stack, and the uplink's
# policy of type edt holds it to its rate. So does the fq of another device, to which a rule hands on what the policy stamped.
# measures

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
needs_root
needs_qdisc fq "traffic that comes by neigh is paced on the uplink, and departure times go along"

netns host out c1
behind host eth0 10.0.0.1/24 out eth0 10.0.0.2/24
cable host other out other
address host other 10.1.0.1/24
address out other 10.1.0.2/24
behind host v1 10.88.1.1/24 c1 eth0 10.88.1.2/24
at c1 ping -n -q -c 1 -W 5 10.0.0.2 >/dev/null # neighbours are known from here on

daemon_dir q
cat >"$dir/q/qosd.yaml" <<-'END'
	version: 1
	policies:
	  up:
	    type: edt
	    default: pass
	    classes: [{name: c1, rate: 10mbit, match: [{src: 10.88.1.2}]}]
	interfaces:
	  eth0: {side: wan, egress: {policy: up}}
	forward:
	  - {name: out, on: v1, match: [{src: 10.88.1.2}], redirect: {mode: neigh, dev: eth0}}
	  - {name: in, on: eth0, match: [{dst: 10.88.1.2}], redirect: {mode: peer, dev: v1}}
END
check "qosd starts" start_qosd q host

forwarded()
{
	# shellcheck disable=SC2016 # of awk
	at host awk '$1 == "Ip:" && $6 ~ /[0-9]/ { print $7 }' /proc/net/snmp
}
before=$(forwarded)
kbit=$(tcp_kbit c1 out 10.0.0.2 6)
after=$(forwarded)
check "traffic that comes by neigh is paced on the uplink: 91 to 96 % of 10 Mbit is payload" between "$kbit" 9100 9600
check "the stack forwarded none of it" between "$((after - before))" 0 10
handed=$(ctl q --json stats | jq '.forward[] | select(.name == "out") | .packets')
check "the rule handed it on" between "$handed" 5000 100000

# The stamp is made on eth0, and who waits is the fq of another device, where nothing stamps. A burst of 40 packets, each a
# millisecond at the rate. UDP, as the kernel keeps the departure times of TCP's own packets by itself.
cat >"$dir/spread.py" <<-'END'
	# How many milliseconds there are from the first of 40 packets to port 9 to the last.
	import socket, time
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	s.bind(("", 9))
	s.settimeout(15)
	print("ready", flush=True)
	times = [(s.recv(2048), time.monotonic())[1] for _ in range(40)]
	print(round((times[-1] - times[0]) * 1000), flush=True)
END
spread()
{
	at out python3 "$dir/spread.py" >"$dir/spread" &
	within 30 grep -q ready "$dir/spread"
	udp_send c1 10.0.0.2 9 40 1208
	wait $!
	tail -n 1 "$dir/spread"
}

at host tc qdisc add dev other root fq
cat >>"$dir/q/qosd.yaml" <<-'END'
	  - {name: over, on: eth0, hook: egress, match: [{src: 10.88.1.2}],
	     redirect: {mode: neigh, dev: other, nexthop: 10.1.0.2}, on-miss: drop}
END
ctl q reload >/dev/null
at c1 ping -n -q -c 1 -W 5 10.0.0.2 >/dev/null
check "what is handed on once more keeps its departure time" between "$(spread)" 25 400 # without it, 5 to 8
check "it went by the other device" \
	between "$(ctl q --json stats | jq '.forward[] | select(.name == "over") | .packets')" 40 100
finish
