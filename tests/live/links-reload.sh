#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Interfaces that come and go in the middle of a reload or of a stop: neither fails because of them.
#
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

reloads=50
classes=100
is_emulated && reloads=10
needs_root
needs_qdisc htb
netns router far
daemon_dir a

rules() # RATE
{
	local i
	cat <<-END
		version: 1
		settings: {on-stop: remove}
		policies:
		  line:
		    type: htb
		    rate: $1
		    default: rest
		    classes:
		      - {name: rest, rate: 1mbit, ceil: 100%}
	END
	for ((i = 1; i <= classes; i++)); do
		printf '      - {name: c%d, rate: 10kbit, ceil: %s, match: [{dst: 10.0.%d.%d}]}\n' \
			"$i" "$1" $((i / 200)) $((i % 200))
	done
	printf 'interfaces:\n  wan0: {egress: {policy: line}}\n  ppp*: {egress: {policy: line}, ingress: {policy: line, via: ifb}}\n'
}
rules 10mbit >"$dir/slow"
rules 20mbit >"$dir/fast"
cable router wan0 far e0
cp "$dir/slow" "$dir/a/qosd.yaml"
start_qosd a router
check "qosd starts" equal $? 0 || finish

come_and_go()
{
	while :; do
		for i in 0 1 2; do
			ip -n "$prefix-router" link add name "ppp$i" type veth peer name "p$i"
			sleep "0.$((RANDOM % 3))"
			ip -n "$prefix-router" link delete "ppp$((RANDOM % 3))"
		done
	done 2>/dev/null
}

reload_often()
{
	local i failed=0
	for ((i = 1; i <= reloads; i++)); do
		cp "$dir/$( ((i % 2)) && echo fast || echo slow)" "$dir/a/qosd.yaml"
		ctl a reload >"$dir/reload" 2>&1 || { failed=$((failed + 1)) && tail -n 3 "$dir/reload"; }
	done
	echo "$failed of $reloads failed"
	[ "$failed" -eq 0 ]
}

come_and_go &
coming=$!
check "no reload fails though interfaces come and go" reload_often
check "nor does a stop" stop_qosd a
kill "$coming"
wait "$coming" 2>/dev/null
check "which leaves nothing" equal "$(at router tc class show dev wan0; ip -n "$prefix-router" -o link show type ifb)" ""
finish
