#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Interfaces with class trees both ways come, go, come again, are renamed, moved and taken down: trees and ifb devices follow them, at
# once, and nothing is left behind.
#
# measures closely
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
needs_qdisc htb
netns router far other
daemon_dir a
cat >"$dir/a/qosd.yaml" <<-'END'
	version: 1
	settings: {on-stop: remove}
	policies:
	  line:
	    type: htb
	    rate: {up: 10mbit, down: 20mbit}
	    default: rest
	    classes:
	      - {name: quick, rate: 20%, ceil: 100%, match: [{dscp: ef}]}
	      - {name: rest, rate: 80%, ceil: 100%}
	interfaces:
	  wan0: {side: wan, egress: {policy: line}, ingress: {policy: line, via: ifb}}
	  ppp*: {side: wan, egress: {policy: line}, ingress: {policy: line, via: ifb}}
END
start_qosd a router
check "qosd starts though none of its interfaces is there" equal $? 0 || finish

states() # INTERFACE
{
	ctl a --json show interfaces | jq -r --arg i "$1" '[.interfaces[] | select(.interface == $i) | .state] | unique | join(" ")'
}

is_state() # INTERFACE STATE
{
	equal "$(states "$1")" "$2"
}

ifbs()
{
	ip -n "$prefix-router" -o link show type ifb | sed -n 's/.*alias qosd ifb of \([^ ]*\).*/\1/p' | sort | paste -sd ' '
}

ifbs_are() # INTERFACES
{
	equal "$(ifbs)" "$1"
}

# The ifb of an interface; empty if there is none.
ifb_of() # INTERFACE
{
	ip -n "$prefix-router" -o link show type ifb | sed -n "s/^[0-9]*: \([^:@]*\).*alias qosd ifb of $1\( .*\)\?$/\1/p"
}

has_tree() # DEVICE
{
	local classes
	classes=$(at router tc class show dev "$1" 2>/dev/null)
	[[ $classes == *"class htb 5100:1 root"* && $classes == *"class htb 5100:fffe parent 5100:1"* ]]
}

has_classifier() # DEVICE ingress|egress
{
	[[ $(at router tc filter show dev "$1" "$2" 2>/dev/null) == *"pref 20736 bpf"* ]]
}

# All of it: a tree on the device and one on its ifb, which is up, and the programs that lead there.
is_whole() # INTERFACE
{
	local ifb
	has_tree "$1" && has_classifier "$1" egress && has_classifier "$1" ingress && ifb=$(ifb_of "$1") && [ "$ifb" ] &&
		has_tree "$ifb" && has_classifier "$ifb" egress &&
		[[ $(ip -n "$prefix-router" link show dev "$ifb") == *,UP* ]]
}

# Milliseconds from now until its trees are there, whole; at most five seconds.
wait_for() # INTERFACE
{
	local started=${EPOCHREALTIME/./} now
	until has_classifier "$1" ingress; do
		now=${EPOCHREALTIME/./}
		[ $((now - started)) -lt 5000000 ] || break
	done
	now=${EPOCHREALTIME/./}
	took_ms=$(((now - started) / 1000))
}

# A machine that is busy with something else may be asked again; only where no processor was idle all the while, each that waits for
# one may have its share.
limit=100
is_emulated && limit=2000

idle_ticks() # since the start, a hundred a second and processor
{
	read -r _ _ _ _ idle _ </proc/stat
}

appears() # INTERFACE
{
	local try idle before started=${EPOCHREALTIME/./} load allowed=$limit
	idle_ticks
	before=$idle
	for try in {1..10}; do
		cable router "$1" far "far-$1"
		wait_for "$1"
		echo "# $1 is shaped $took_ms ms after it has appeared"
		[ "$took_ms" -gt "$limit" ] || break
		[ "$try" = 10 ] || { ip -n "$prefix-router" link delete "$1"; within 5 is_state "$1" "${2:-}"; }
	done
	idle_ticks
	if [ "$took_ms" -gt "$limit" ] && [ $(((idle - before) * 100000)) -lt $((${EPOCHREALTIME/./} - started)) ]; then
		read -r load _ </proc/loadavg
		allowed=$((limit * (${load%.*} / $(nproc) + 1)))
	fi
	check "$1 is shaped in $allowed ms" between "$took_ms" 0 "$allowed"
	check "all of it" within 2 is_whole "$1"
}

check "wan0 is waited for" is_state wan0 waiting
check "and there is no ifb" equal "$(ifbs)" ""
appears wan0 waiting
check "qosd says so" is_state wan0 shaped
check "plan is empty" plan_is_empty a

# ---- gone, and here again ----

numbers=$(ctl a --json show classes | jq -c '[.hooks[] | .classes[] | {name, number}]')
ip -n "$prefix-router" link delete wan0
check "gone, it is waited for" within 5 is_state wan0 waiting
check "and its ifb is gone too" within 5 equal "$(ifbs)" ""
check "plan is empty" plan_is_empty a
appears wan0 waiting
check "its classes have the same numbers" equal "$(ctl a --json show classes | jq -c '[.hooks[] | .classes[] | {name, number}]')" "$numbers"

# Like ppp0, which is another device each time a line comes back, many times and at once.
for i in {1..5}; do
	cable router ppp0 far pppfar
	ip -n "$prefix-router" link delete ppp0
done
cable router ppp0 far pppfar
check "one that reconnects five times is shaped in the end" within 10 is_whole ppp0
check "plan is empty" within 5 plan_is_empty a

# ---- others that the glob fits ----

appears ppp1
check "each has an ifb of its own" equal "$(ifbs)" "ppp0 ppp1 wan0"

# ---- names ----

ip -n "$prefix-router" link set ppp1 down
ip -n "$prefix-router" link set ppp1 name old1
check "renamed out of the policy, it is not shaped" within 5 is_state ppp1 ""
check "and has no tree" within 5 fails has_tree old1
check "nor a filter, nor an ifb" fails has_classifier old1 ingress
check "the others have theirs" equal "$(ifbs)" "ppp0 wan0"
ip -n "$prefix-router" link set old1 name ppp2
ip -n "$prefix-router" link set ppp2 up
check "renamed into it, it is shaped" within 5 is_whole ppp2
ip -n "$prefix-router" link set ppp2 down
ip -n "$prefix-router" link set ppp2 name ppp3
ip -n "$prefix-router" link set ppp3 up
check "renamed within it, it is shaped by its new name" within 5 is_whole ppp3
check "and the ifb of the old one is gone" within 5 equal "$(ifbs)" "ppp0 ppp3 wan0"
check "plan is empty" within 5 plan_is_empty a

# ---- down and up ----

classes=$(at router tc class show dev wan0 | grep '^class htb') # fq_codel tells its flows as classes, too
ip -n "$prefix-router" link set wan0 down
check "down, it keeps its trees" is_whole wan0
ip -n "$prefix-router" link set wan0 up
check "and up again" equal "$(at router tc class show dev wan0 | grep '^class htb')" "$classes"
check "plan is empty" plan_is_empty a
ip -n "$prefix-router" link set "$(ifb_of ppp0)" down
check "an ifb that somebody took down is up again" within 5 is_whole ppp0
ip -n "$prefix-router" link delete "$(ifb_of ppp0)"
check "one that somebody deleted is there again" within 5 is_whole ppp0

# ---- a tree that somebody took away ----

missing() # INTERFACE DIRECTION
{
	ctl a --json show interfaces |
		jq -c --arg i "$1" --arg d "$2" '.interfaces[] | select(.interface == $i and .direction == $d).missing'
}
# What links did a moment ago may make a plan again, which would see what is done here.
sleep "$(is_emulated && echo 10 || echo 2)"
check "nothing is missing" equal "$(missing wan0 egress)$(missing wan0 ingress)" "[][]"
at router tc qdisc replace dev wan0 root handle 9: pfifo limit 9
check "another qdisc in its place is told of" equal "$(missing wan0 egress)" '["htb at the root is gone, pfifo is in its place"]'
check "the tree of the ifb is where it was" equal "$(missing wan0 ingress)" "[]"
check "the log tells" within 15 grep -q "wan0: htb at the root is gone, pfifo is in its place" "$dir/a/log"
at router tc qdisc delete dev wan0 root
at router tc qdisc delete dev "$(ifb_of wan0)" root
check "so it is with that of the ifb" equal "$(missing wan0 ingress)" '["htb at the root is gone"]'
check "of which the log tells, too" within 15 grep -q "wan0 ingress: htb at the root is gone" "$dir/a/log"
at router tc qdisc add dev "$(ifb_of wan0)" root handle 9: pfifo limit 9
check "reload puts both back, whatever is on an ifb of ours" exits 0 ctl a reload
check "and nothing is missing again" equal "$(missing wan0 egress)$(missing wan0 ingress)" "[][]"
check "which the log tells" within 15 grep -q "in their places again" "$dir/a/log"
check "nor is anything to be done" plan_is_empty a

# What could not be made again as it was gives way there, too, and no link waits for it.
kinds=(htb)
has_qdisc prio && kinds+=(prio)
has_qdisc netem && kinds+=("netem delay 1ms")
for kind in "${kinds[@]}"; do
	# shellcheck disable=SC2086 # words
	at router tc qdisc replace dev "$(ifb_of wan0)" root handle 9: $kind
	check "a $kind on an ifb of ours is there" contains "$(at router tc qdisc show dev "$(ifb_of wan0)" root)" "^qdisc ${kind%% *} 9: root"
	check "and gives way to a reload" exits 0 ctl a reload
	check "by which wan0 is whole" is_whole wan0
done
at router tc qdisc replace dev "$(ifb_of wan0)" root handle 9: htb
cable router ppp8 far pppfar8
check "nor does one keep what comes from being shaped" within 5 is_whole ppp8
check "plan is empty" within 5 plan_is_empty a
ip -n "$prefix-router" link delete ppp8
check "which goes again" within 5 ifbs_are "ppp0 ppp3 wan0"

# ---- another namespace ----

ip -n "$prefix-router" link set ppp3 netns "$prefix-other"
check "moved to another namespace, it is gone" within 5 is_state ppp3 ""
check "with its ifb" within 5 equal "$(ifbs)" "ppp0 wan0"
check "and has nothing of ours there" equal "$(at other tc qdisc show dev ppp3 | grep -c 5100:)" 0
ip -n "$prefix-other" link set ppp3 netns "$prefix-router"
ip -n "$prefix-router" link set ppp3 up
check "moved back, it is shaped" within 5 is_whole ppp3

# ---- somebody else's qdisc on one of many ----

cable router tmp0 far tmpfar
at router tc qdisc add dev tmp0 root handle 7: pfifo limit 7
ip -n "$prefix-router" link set tmp0 down
ip -n "$prefix-router" link set tmp0 name ppp5
ip -n "$prefix-router" link set ppp5 up
cable router ppp6 far pppfar6
check "the one behind it is shaped" within 5 is_whole ppp6
check "that one is left alone on egress" contains "$(at router tc qdisc show dev ppp5 root)" "^qdisc pfifo 7: root"
check "and shaped on ingress" within 5 has_classifier ppp5 ingress
check "the log says so" contains "$(cat "$dir/a/log")" "ppp5 is not shaped: ppp5 has a root qdisc pfifo 7:"

# ---- a state directory that cannot be written ----

rm "$dir/a/state/handles.json"
mkdir "$dir/a/state/handles.json"
cable router ppp7 far pppfar7
check "an interface that comes is shaped all the same" within 5 is_whole ppp7
check "the log says what could not be written" within 5 grep -q "links changed: cannot write .*/handles.json: Is a directory" "$dir/a/log"
rmdir "$dir/a/state/handles.json"
ip -n "$prefix-router" link set ppp7 alias later
check "when it can be, it is written" within 5 grep -q "class hooks/ppp7-egress" "$dir/a/state/handles.json"

stop_qosd a
check "in the end no ifb is left" equal "$(ifbs)" ""
check "nor a tree" fails has_tree wan0
finish
