#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# From any policy to any other: each reload ends where it should, whatever was there before it; and in between policies are gone back
# to, qosd is killed, an interface gets another name. QOSD_SEED is another way, QOSD_STEPS a longer one.
#
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
needs_qdisc htb
steps=${QOSD_STEPS:-16}
is_emulated && steps=${QOSD_STEPS:-6}
seed=${QOSD_SEED:-12}

netns router far other
for i in wan lan ppp; do
	cable router "${i}0" far "$i"
done
cable router v0 other v1
ip link add name big0 netns "$prefix-router" numtxqueues 4 numrxqueues 4 type veth peer name big netns "$prefix-far"
ip -n "$prefix-router" link set big0 up
ip -n "$prefix-far" link set big up
at router tc qdisc add dev lan0 root handle 7: pfifo limit 77
at router tc qdisc add dev big0 root handle 8: pfifo limit 88

daemon_dir a
echo "version: 1" >"$dir/a/qosd.yaml"
start_qosd a router
check "qosd starts" equal $? 0 || finish

nothing_to_do()
{
	ctl a plan --exit-code >"$dir/planned" 2>/dev/null || { head -n 5 "$dir/planned"; return 1; }
}

whole()
{
	local what
	for what in "show classes" "show keys" "show forward" "stats --top 5" stats; do
		# shellcheck disable=SC2086 # words
		ctl a --json $what | jq -e .exit >/dev/null || { echo "$what is no JSON"; return 1; }
	done
}

renamed()
{
	ip -n "$prefix-router" link set ppp0 down
	ip -n "$prefix-router" link set ppp0 name ppp1 && ip -n "$prefix-router" link set ppp1 up
	within 20 nothing_to_do
	ip -n "$prefix-router" link set ppp1 down
	ip -n "$prefix-router" link set ppp1 name ppp0 && ip -n "$prefix-router" link set ppp0 up
	within 20 nothing_to_do
}

killed()
{
	kill9_qosd a
	start_qosd a router && nothing_to_do
}

walk()
{
	local n
	for ((n = seed; n < seed + steps; n++)); do
		echo "policy $n, after $((n - 1)):"
		"$top/tests/live/walk.py" "$n" >"$dir/a/qosd.yaml"
		ctl a reload >"$dir/said" 2>&1 || { grep -v '^[ +~!-]' "$dir/said"; return 1; }
		nothing_to_do && whole || return 1
		case $((n % 4)) in
		0) ctl a rollback >/dev/null 2>&1 || return 1 ;;
		1) killed || return 1 ;;
		2) renamed || return 1 ;;
		3) ctl a set gold add "10.77.0.$n" up 1mbit >/dev/null 2>&1 ;; # if there is one
		esac
	done
}
check "$steps policies after one another, from $seed" walk

echo "version: 1" >"$dir/a/qosd.yaml"
check "and to none" exits 0 ctl a reload
check "gives back the root qdiscs that were there" equal \
	"$(at router tc qdisc show | sed -n 's/^qdisc pfifo \([78]: dev [a-z0-9]* root\) refcnt [0-9]*/\1/p' | sort)" \
	$'7: dev lan0 root limit 77p\n8: dev big0 root limit 88p'
check "and leaves no ifb" equal "$(ip -n "$prefix-router" -o link show type ifb)" ""
finish
