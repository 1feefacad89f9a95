#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What no kernel can hold, or not this one, is refused at its line before anything is sent.
#
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
needs_qdisc htb
netns router far
cable router wan0 far eth0
daemon_dir a
policy=$dir/a/qosd.yaml

# The head of a policy whose classes come on standard input.
policy()
{
	printf 'version: 1\npolicies:\n  p:\n    type: htb\n    rate: 100mbit\n    default: rest\n    classes:\n' >"$policy"
	cat >>"$policy"
	printf '      - {name: rest, rate: 1mbit, leaf: {qdisc: pfifo}}\ninterfaces:\n  wan0: {egress: {policy: p}}\n' >>"$policy"
}
line() # LINE..
{
	printf '      - %s\n' "$@"
}
state()
{
	dump_kernel router "$dir/a/pins" | sed 's/ direct_packets_stat [0-9]*//' # neighbour discovery goes past the classes
	at router tc class show dev wan0
}
# The answer to a reload; what the kernel has must be what it had.
refused() # SENTENCE LINE ID
{
	local status=0 answer after
	answer=$(ctl a reload 2>&1) || status=$?
	check "$1: exit status 6" equal "$status" 6
	check "$1: told at line $2" contains "$answer" "qosd.yaml:$2:[0-9]*: error: .*\[$3\]"
	after=$(state)
	check "$1: nothing was changed" equal "$after" "$before"
}

line '{name: web, rate: 2mbit, leaf: {qdisc: pfifo}, match: [{dport: 443}]}' | policy
start_qosd a router
check "qosd starts" equal $? 0
before=$(state)

# The policy's rate is the first of eight levels, c8 the ninth.
deep='{name: c8, rate: 1mbit, match: [{dport: 1}]}'
for ((i = 7; i > 0; i--)); do
	deep="{name: c$i, rate: 1mbit, classes: [$deep]}"
done
line "$deep" | policy
refused "nine levels" 8 too-deep
line '{name: a, rate: 2mbit, classes: [' '{name: b, rate: 3mbit, match: [{dport: 1}]}' | sed '2s/- / /; $s/$/]}/' | policy
refused "a child above its parent" 9 rate-above-parent
line '{name: a, rate: 2mbit, ceil: 3mbit, classes: [{name: b, rate: 1mbit, ceil: 4mbit, match: [{dport: 1}]}]}' | policy
refused "a child's ceil above its parent's" 8 ceil-above-parent
awk 'BEGIN { for (i = 0; i < 70000; i++)
	printf "      - {name: c%d, rate: 1kbit, match: [{dst: 10.%d.%d.%d}]}\n", i, i / 65536, i / 256 % 256, i % 256 }' | policy
refused "70,000 classes" 8 too-many-classes
line '{name: a, rate: 2mbit, leaf: {qdisc: fifo}, match: [{dport: 1}]}' | policy
refused "an unknown leaf qdisc" 8 bad-word

missing=
for kind in fq_codel cake codel sfq; do
	has_qdisc "$kind" || missing=$kind
done
if [ -n "$missing" ]; then
	line "{name: a, rate: 2mbit, leaf: {qdisc: $missing}, match: [{dport: 1}]}" | policy
	refused "a leaf qdisc that this kernel has not" 8 no-kernel-support
else
	skip "a leaf qdisc that this kernel has not" "it has all of them"
fi

line '{name: web, rate: 3mbit, leaf: {qdisc: pfifo}, match: [{dport: 443}]}' | policy
check "a good policy is taken after all of these" ctl a reload
finish
