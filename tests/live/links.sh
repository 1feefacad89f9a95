#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Interfaces come, go, come again and change their names: what the policy says follows them.
#
# variants: tc bpf
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

engine=${1:-bpf}
needs_root
needs_engine "$engine"
netns router wan
sharing_policy a "$engine"
start_qosd a router
check "qosd starts though none of its interfaces is there" equal $? 0

state_of() # INTERFACE
{
	ctl a --json show interfaces | jq -r --arg i "$1" '[.interfaces[] | select(.interface == $i) | .state] | unique | join(" ")'
}
is_state() # INTERFACE STATE
{
	equal "$(state_of "$1")" "$2"
}
has_filter() # INTERFACE
{
	contains "$(at router tc filter show dev "$1" ingress)" "pref 20736 bpf"
}
check "wan0 is waited for" is_state wan0 waiting
check "and plan is empty" plan_is_empty a

cable router wan0 wan eth0
check "wan0 appears and is shaped" within 5 is_state wan0 shaped
check "with a filter" within 5 has_filter wan0
check "neigh7 has not appeared" equal "$(state_of neigh7)" ""
netns neigh
cable router neigh7 neigh eth0
check "neigh7 appears and teaches" within 5 is_state neigh7 learning
address wan eth0 172.16.1.5/24
address neigh eth0 172.16.1.107/24
ip -n "$prefix-router" link add name br100 type bridge forward_delay 0
ip -n "$prefix-router" link set br100 up
ip -n "$prefix-router" link set wan0 master br100
ip -n "$prefix-router" link set neigh7 master br100
at neigh ping -q -c 1 -W 2 172.16.1.5 >/dev/null
check "its address is learned" within 5 is_member a neighbours 172.16.1.107
at wan ping -q -c 10 -i 0.05 172.16.1.107 >/dev/null
packets=$(counter a wan0 ingress neighbours packets)
check "and counts as a neighbour's" between "$packets" 10 100

# Gone, and here again: a new interface of the old name.
ip -n "$prefix-router" link delete wan0
check "wan0 goes and is waited for" within 5 is_state wan0 waiting
check "plan is empty without it" within 5 plan_is_empty a
cable router wan0 wan eth0
ip -n "$prefix-router" link set wan0 master br100
address wan eth0 172.16.1.5/24
check "wan0 comes again and is shaped again" within 5 is_state wan0 shaped
check "with a filter again" within 5 has_filter wan0
check "who was learned is still known" is_member a neighbours 172.16.1.107
at wan ping -q -c 10 -i 0.05 172.16.1.107 >/dev/null
check "and still counts as a neighbour's" between "$(counter a wan0 ingress neighbours packets)" 10 1000

# The name is what the policy goes by.
ip -n "$prefix-router" link set neigh7 down
ip -n "$prefix-router" link set neigh7 name lan7
check "renamed out of the policy, it teaches no more" within 5 is_state neigh7 ""
check "and has no filter of ours" within 5 fails has_filter lan7
ip -n "$prefix-router" link set lan7 name neigh8
ip -n "$prefix-router" link set neigh8 up
check "renamed into it, it teaches" within 5 is_state neigh8 learning
check "with a filter" within 5 has_filter neigh8
check "plan is empty after all that" within 5 plan_is_empty a

# Very many changes in a row cost no more than a few runs, and end well.
for i in {1..30}; do
	ip -n "$prefix-router" link add name "neigh1$i" type veth peer name "p$i"
done
check "thirty interfaces at once are all served" within 20 has_filter neigh130
for i in {1..30}; do
	ip -n "$prefix-router" link delete "neigh1$i"
done
check "and plan is empty when they are gone" within 20 plan_is_empty a
check "the daemon is well" exits 0 ctl a show interfaces
finish
