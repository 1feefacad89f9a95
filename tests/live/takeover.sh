#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Somebody else's root qdisc where one of ours is wanted: it stays and nothing is done; or it gives way and comes back; or, where only
# a glob names the interface, that one is left alone and the others are shaped.
#
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
needs_qdisc htb
netns router far
for i in 0 1 2; do
	cable router "lan$i" far "e$i"
done
cable router wan0 far ewan

daemon_dir a
policy=$dir/a/qosd.yaml
rules() # INTERFACE-OR-NONE TAKEOVER
{
	cat >"$policy" <<-END
		version: 1
		settings: {takeover: $2, on-stop: remove}
		sets: {some: {elements: [10.9.9.1]}}
		policies:
		  p:
		    type: htb
		    rate: 10mbit
		    default: rest
		    classes:
		      - {name: quick, rate: 2mbit, ceil: 100%, match: [{dscp: ef}]}
		      - {name: rest, rate: 8mbit, ceil: 100%}
	END
	[ -z "$1" ] || printf 'interfaces:\n  "%s": {egress: {policy: p}}\n' "$1" >>"$policy"
}

root_of() # INTERFACE
{
	at router tc -d qdisc show dev "$1" root | sed 's/ refcnt [0-9]*//'
}

has_ours() # INTERFACE
{
	contains "$(root_of "$1")" "^qdisc htb 5100: root"
}

state_of() # INTERFACE
{
	ctl a --json show interfaces | jq -r --arg i "$1" '.interfaces[] | select(.interface == $i) | .state'
}

is_state() # INTERFACE STATE
{
	equal "$(state_of "$1")" "$2"
}

# ---- a glob ----

at router tc qdisc add dev lan1 root handle 7: pfifo limit 77
rules 'lan*' refuse
start_qosd a router
check "qosd starts though one of many has a root qdisc of somebody else's" equal $? 0 || finish
check "the others are shaped, one" has_ours lan0
check "and another" has_ours lan2
check "that one is as it was" equal "$(root_of lan1)" "qdisc pfifo 7: root limit 77p"
check "and nothing else of ours is on it" equal "$(at router tc filter show dev lan1 egress)" ""
check "show interfaces says so" is_state lan1 refused
check "and why" contains "$(ctl a --json show interfaces | jq -r '.interfaces[] | select(.interface == "lan1").why')" \
	"lan1 has a root qdisc pfifo 7: that is not ours"
check "plan is empty" plan_is_empty a
check "plan says so" contains "$(ctl a plan 2>&1)" "qosd.yaml:[0-9]+:[0-9]+: warning: lan1 has a root qdisc pfifo 7: .*is not shaped"
check "reload says so" contains "$(ctl a reload 2>&1)" "warning: lan1 has a root qdisc pfifo 7:"
check "the log says so" contains "$(cat "$dir/a/log")" "lan1 has a root qdisc pfifo 7:"
cable router lan3 far e3
check "one that appears is shaped" within 5 has_ours lan3
ip -n "$prefix-router" link add name lan4 type veth peer name p4
at router tc qdisc replace dev lan4 root handle 7: pfifo limit 77 2>/dev/null
cable router lan5 far e5
check "one more, after one that was not left to us" within 5 has_ours lan5
at router tc qdisc delete dev lan1 root
ctl a reload >/dev/null
check "without it, that one is shaped too" has_ours lan1
check "and show interfaces says so" is_state lan1 shaped

# ---- an interface by name ----

at router tc qdisc add dev wan0 root handle 8: pfifo limit 88
rules wan0 refuse
check "named, it is an error" exits 6 ctl a reload
check "which says what is there, and where" contains "$(ctl a reload 2>&1)" \
	"qosd.yaml:[0-9]+:[0-9]+: error: wan0 has a root qdisc pfifo 8: that is not ours"
check "and nothing was changed" has_ours lan0

# It comes while the policy is in force.
rules wan9 refuse
echo '  wan8: {egress: {policy: p}}' >>"$policy"
ctl a reload >/dev/null
ip -n "$prefix-router" link add name x9 type veth peer name p9
at router tc qdisc add dev x9 root handle 8: pfifo limit 99
ip -n "$prefix-router" link set x9 name wan9
check "one that comes with a root qdisc is told, with the line that names it" within 20 grep -q \
	"qosd.yaml:[0-9]*:[0-9]*: wan9 is not shaped: wan9 has a root qdisc pfifo 8: that is not ours" "$dir/a/log"
check "show interfaces says that it is left alone" is_state wan9 refused
cable router wan8 far e8
check "and one that comes after it is shaped" within 20 has_ours wan8
check "a reload is told that it is an error" exits 6 ctl a reload
at router tc qdisc delete dev wan9 root
check "it is shaped, too, once that is gone" within 70 has_ours wan9

# A live edit may need a plan.
rules wan9 refuse
ctl a reload >/dev/null
ctl a set some add 10.9.9.2 >/dev/null
: >"$dir/a/log"
at router tc qdisc replace dev wan9 root handle 8: pfifo limit 99
check "a live edit that needs a plan goes on beside one" exits 0 ctl a set some flush
check "which is told" within 5 grep -q "qosd.yaml:[0-9]*:[0-9]*: wan9 is not shaped: wan9 has a root qdisc pfifo 8:" "$dir/a/log"
at router tc qdisc delete dev wan9 root
check "and mended when it is gone" within 70 has_ours wan9

# ---- an egress hook that only forwards ----

forward_state()
{
	ctl a --json show forward | jq -r '.forward[0].state'
}
is_forwarding()
{
	equal "$(forward_state)" on
}
rules wan9 refuse
echo 'forward: [{name: out, on: fwd0, hook: egress, match: [{dst: 10.0.0.1}], redirect: {mode: clone, dev: lan0}}]' >>"$policy"
ctl a reload >/dev/null
ip -n "$prefix-router" link add name y0 type veth peer name py
at router tc qdisc add dev y0 ingress
ip -n "$prefix-router" link set y0 name fwd0
check "a rule on the egress of what comes with an ingress qdisc is told of" within 20 grep -q \
	"qosd.yaml:[0-9]*:[0-9]*: forwarding rule out does nothing: fwd0 has an ingress qdisc that is not ours" "$dir/a/log"
check "show forward says that it is left alone" equal "$(forward_state)" refused
at router tc qdisc delete dev fwd0 ingress
check "and it is there once that is gone" within 70 is_forwarding

# ---- replaced, and back ----

rules wan0 replace
check "plan names what goes" contains "$(ctl a plan)" "^! qdisc dev wan0 root handle 8: pfifo limit 88"
check "it is replaced" exits 0 ctl a reload
check "by ours" has_ours wan0
check "plan is empty then" plan_is_empty a
kill9_qosd a
start_qosd a router
rules "" replace
check "plan names what comes back" contains "$(ctl a plan)" "^\+ qdisc dev wan0 root handle 8: pfifo limit 88"
check "a policy without the interface gives it back" exits 0 ctl a reload
check "as it was, after a restart in between" equal "$(root_of wan0)" "qdisc pfifo 8: root limit 88p"
check "plan is empty then, too" plan_is_empty a

# Of every kind of which all is known.
kinds=("pfifo limit 33" "bfifo limit 9000b" "tbf rate 3mbit burst 5kb latency 70ms" "pfifo_fast"
	"fq_codel limit 1000 target 10ms interval 200ms" "fq limit 3000 flow_limit 50" "sfq perturb 20 quantum 2000" "codel target 9ms"
	"cake bandwidth 7mbit rtt 30ms besteffort")
given=
not_back=
for kind in "${kinds[@]}"; do
	at router tc qdisc delete dev wan0 root 2>/dev/null
	# shellcheck disable=SC2086 # words
	at router tc qdisc add dev wan0 root handle 9: $kind 2>/dev/null || continue
	before=$(root_of wan0)
	rules wan0 replace
	ctl a reload >"$dir/said" 2>&1
	has_ours wan0 >/dev/null || not_back+="$kind: not replaced: $(cat "$dir/said")"$'\n'
	rules "" replace
	ctl a reload >"$dir/said" 2>&1
	[ "$(root_of wan0)" = "$before" ] || not_back+="$before became $(root_of wan0): $(cat "$dir/said")"$'\n'
	given+="${kind%% *} "
done
check "what is replaced comes back as it was: ${given% }" equal "$not_back" ""

# An interface comes with one while the state directory cannot be written.
ip -n "$prefix-router" link delete wan0
rules wan0 replace
ctl a reload >/dev/null
ip -n "$prefix-router" link add name x0 type veth peer name px
at router tc qdisc add dev x0 root handle 9: pfifo limit 66
mkdir "$dir/a/state/replaced.json.new"
ip -n "$prefix-router" link set x0 name wan0
check "one that comes is replaced also where that cannot be written down" within 20 has_ours wan0
check "which the log says" within 5 grep -q "links changed: cannot write .*/replaced.json: Is a directory" "$dir/a/log"
rmdir "$dir/a/state/replaced.json.new"
rules "" replace
ctl a reload >/dev/null
check "and comes back" equal "$(root_of wan0)" "qdisc pfifo 9: root limit 66p"

# When qosd is stopped.
at router tc qdisc delete dev wan0 root 2>/dev/null
at router tc qdisc add dev wan0 root handle 9: pfifo limit 99
rules wan0 replace
ctl a reload >/dev/null
cd "$dir/a/pins" || exit 1
sleep 60 &
busy=$!
cd / || exit 1
said=$(ctl a stop 2>&1)
check "a pin directory that somebody is in does not keep it from stopping" equal $? 0
check "but is told" contains "$said" \
	"warning: nothing is shaped any more, but .*/pins cannot be removed: Device or resource busy"
check "the log says so" contains "$(cat "$dir/a/log")" "pins cannot be removed"
wait "${pid_of[a]}"
check "the daemon ends well" equal $? 0
unset 'pid_of[a]'
kill "$busy"
wait "$busy" 2>/dev/null
check "stopping with on-stop: remove gives it back" equal "$(root_of wan0)" "qdisc pfifo 9: root limit 99p"
check "and once only" equal "$(jq -c .replaced "$dir/a/state/replaced.json")" "[]"

# ---- what could not be made again ----

at router tc qdisc replace dev wan0 root handle a: htb
at router tc class add dev wan0 classid a:1 parent a: htb rate 1mbit
rules wan0 replace
start_qosd a router
check "one with classes gives way, too" has_ours wan0
check "the log says that it is gone for good" contains "$(cat "$dir/a/log")" "wan0 has a root qdisc htb a: that gives way and could not be made again"
rules "" replace
ctl a reload >/dev/null
check "the kernel's default has its place then" fails contains "$(root_of wan0)" " (5100|a): root"
at router tc qdisc replace dev wan0 root handle b: tbf rate 3mbit burst 5kb latency 70ms
at router tc qdisc add dev wan0 parent b:1 handle c: pfifo limit 5
rules wan0 replace
check "plan says so of one with a qdisc below it" contains "$(ctl a plan 2>&1)" "wan0 has a root qdisc tbf b: that gives way and could not be made again"
check "reload says so" contains "$(ctl a reload 2>&1)" "wan0 has a root qdisc tbf b: that gives way and could not be made again"

# ---- a failure in between ----

stop_qosd a
at router tc qdisc replace dev wan0 root handle d: pfifo limit 44
if QOSD_FAIL_AT=0 start_qosd a router >/dev/null; then
	skip "whatever is refused, what was replaced is there" "qosd was built without --enable-fault-injection"
else
	each_is_undone()
	{
		local n
		for ((n = 0; n < 100; n++)); do
			QOSD_FAIL_AT=$n start_qosd a router >"$dir/said" 2>&1 && return 0
			equal "$(root_of wan0)" "qdisc pfifo d: root limit 44p" || { echo "request $n"; return 1; }
		done
		return 1
	}
	check "whatever is refused, what was replaced is there" each_is_undone
	kill9_qosd a # what would fail is further on
	start_qosd a router
	stop_qosd a
	check "and comes back in the end" equal "$(root_of wan0)" "qdisc pfifo d: root limit 44p"
fi
finish
