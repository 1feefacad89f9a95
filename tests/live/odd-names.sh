#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Interfaces may have any bytes in their names but / : and blanks, and a glob takes them all: what qosd knows of one outlives it, and
# every answer is JSON.
#
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
needs_qdisc htb
netns router far
odd=$'w\xfcn.\xff'
cable router "$odd" far e0
cable router 'w"\x' far e1
at router tc qdisc add dev "$odd" root handle 7: pfifo limit 77

daemon_dir a
rules() # CLASS..
{
	printf 'version: 1\nsettings: {takeover: replace}\n'
	[ $# -gt 0 ] || return
	printf 'sets:\n  seen: {learn: {on: ["w*"]}}\npolicies:\n  p:\n    type: htb\n    rate: 100mbit\n    default: rest\n    classes:\n'
	printf '      - %s\n' "$@" '{name: rest, rate: 1mbit}'
	printf 'interfaces:\n  "w*": {egress: {policy: p}, ingress: {policy: p, via: ifb}}\n'
}
a='{name: a, rate: 3mbit, match: [{dst: 10.0.0.1}]}'
b='{name: b, rate: 5mbit, match: [{dst: 10.0.0.2}]}'

# The classids of both and their rates.
classes()
{
	at router tc class show dev "$odd" | sed -n 's/.* \(5100:[0-9]*\) parent 5100:1 .* rate \([35]Mbit\) .*/\1 \2/p' | sort
}

rules "$a" "$b" >"$dir/a/qosd.yaml"
start_qosd a router
check "qosd starts" equal $? 0 || finish
check "a device with an odd name is shaped" equal "$(classes)" $'5100:2 3Mbit\n5100:3 5Mbit'
all_json()
{
	local what
	for what in plan reload "show policy" "show effective" "show interfaces" "show classes" "show keys" "show filters" "show sets" \
		"show forward" "show history" stats "stats interfaces" "stats --top 9" "bypass show"; do
		# shellcheck disable=SC2086 # words
		ctl a --json $what | jq -e .exit >/dev/null || { echo "$what"; return 1; }
	done
}
check "every answer is JSON" all_json
check "an interface is there under a name that can be shown" contains \
	"$(ctl a --json show interfaces | jq -r '.interfaces[].interface')" $'^w\uFFFDn.\uFFFD$'

unheard_of()
{
	ctl a show sets $'x\e[2J\xff' 2>&1
	ctl a set $'x\e[2J' add 10.0.0.1 2>&1
	ctl a $'show\e[2J' 2>&1
	cat "$dir/a/log"
}
check "no name commands a terminal, in an answer or in the log" fails grep -q $'\e' <(unheard_of)

kill9_qosd a
rules "$b" "$a" >"$dir/a/qosd.yaml"
start_qosd a router
check "after a restart its classes have the numbers that they had" equal "$(classes)" $'5100:2 3Mbit\n5100:3 5Mbit'
rules >"$dir/a/qosd.yaml"
check "a policy without it" exits 0 ctl a reload
check "gives back the root qdisc that it had" equal "$(at router tc -d qdisc show dev "$odd" root | sed 's/ refcnt [0-9]*//')" \
	"qdisc pfifo 7: root limit 77p"
check "and that is all" plan_is_empty a
finish
