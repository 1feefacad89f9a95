#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Departure times over a redirect: what a container sends comes to the uplink by mode neigh, past the stack, and the uplink's
# policy of type edt holds it to its rate.
# measures

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
needs_root
needs_qdisc fq "traffic that comes by neigh is paced on the uplink"

netns host out c1
behind host eth0 10.0.0.1/24 out eth0 10.0.0.2/24
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
check "traffic that comes by neigh is paced on the uplink: 91 to 97 % of 10 Mbit is payload" between "$kbit" 9100 9700
check "the stack forwarded none of it" between "$((after - before))" 0 10
handed=$(ctl q --json stats | jq '.forward[] | select(.name == "out") | .packets')
check "the rule handed it on" between "$handed" 5000 100000
finish
