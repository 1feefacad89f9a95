#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Class trees, both ways: whichever request of an apply the kernel refuses, what was there before is there afterwards; and wherever
# qosd is killed, the next one ends at the policy, and at nothing else.
#
#   QOSD_TEST_EVERY    1: every request (in software emulation each fortieth)
#
# variants: refused refused-changes killed killed-at-first
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

variant=${1:-refused}
needs_root
netns box
cable box w0 box w1
if ! at box tc qdisc add dev w1 root htb 2>/dev/null || ! ip -n "$prefix-box" link add probe type ifb 2>/dev/null; then
	skip "everything" "the kernel has no HTB (CONFIG_NET_SCH_HTB) or no ifb (CONFIG_IFB)"
	finish
fi
at box tc qdisc delete dev w1 root
ip -n "$prefix-box" link delete probe
at box tc qdisc add dev w1 root fq_codel 2>/dev/null && aqm=yes && at box tc qdisc delete dev w1 root
at box tc qdisc add dev w1 root fq 2>/dev/null && fq=yes && at box tc qdisc delete dev w1 root
# Software emulation is slow: some of the steps, not all.
every=1
is_emulated && every=40
every=${QOSD_TEST_EVERY:-$every}

daemon_dir a
policy=$dir/a/qosd.yaml
pins=$dir/a/pins

# ---- the policies ----

nothing()
{
	cat <<-'END'
		version: 1
	END
}

# A leaf of a kind that every kernel has, or of a better one.
leaf() # KIND PARAMETERS ELSE-KIND PARAMETERS
{
	if [ "${aqm:-}" ]; then
		echo "leaf: {qdisc: $1${2:+, $2}}"
	else
		echo "leaf: {qdisc: $3${4:+, $4}}"
	fi
}

# A rate for each address, where the kernel has what that takes.
per() # KEY RATE
{
	[ -z "${fq:-}" ] || echo ", per: {key: $1, rate: $2, max: 64}"
}

# The other policy, and where the two are; w1 has it in one direction or the other.
line_and_interfaces() # DIRECTION-OF-W1
{
	cat <<-END
		  line:
		    type: htb
		    rate: 20mbit
		    default: all
		    classes:
		      - {name: quick, rate: 5mbit, ceil: 100%, match: [{dscp: ef}]}
		      - {name: all, rate: 15mbit, ceil: 100%}
		interfaces:
		  w0: {side: wan, egress: {policy: office}, ingress: {policy: office, via: ifb}}
		  w1: {side: lan, $1}
	END
}

first()
{
	cat <<-END
		version: 1
		sets:
		  servers: {elements: [192.0.2.1, 192.0.2.2, "2001:db8::/64"]}
		  staff: {elements: [198.51.100.0/24]}
		  guests: {learn: {on: [w0], timeout: 1h, max: 64}}
		policies:
		  office:
		    type: htb
		    rate: {up: 40mbit, down: 100mbit}
		    default: rest
		    classes:
		      - {name: voice, rate: 2mbit, ceil: 4mbit, leaf: {qdisc: pfifo, limit: 50}, match: [{dscp: ef}]}
		      - name: servers
		        rate: 10mbit
		        ceil: 100%
		        match: [{local: "@servers"}]
		        classes:
		          - {name: web, rate: 60%, ceil: 100%, $(leaf fq_codel 'target: 10ms' pfifo 'limit: 100'), match: [{local-port: [80, 443]}]}
		          - {name: mail, rate: 20%, prio: 3, leaf: {qdisc: bfifo, limit: 64kb}, match: [{local-port: 25}]}
		          - {name: other, rate: 20%, match: [{all: true}]}
		      - name: staff
		        rate: 10mbit
		        ceil: 100%
		        match: [{local: "@staff"}]
		        classes:
		          - {name: video, rate: 40%, leaf: {qdisc: tbf, rate: 3mbit, burst: 8kb, latency: 50ms}, match: [{dscp: af41}]}
		          - {name: files, rate: 20%, ceil: 100%, prio: 5, match: [{remote-port: [22, 873]}]}
		          - {name: calls, rate: 20%, prio: 1, $(leaf sfq 'perturb: 10s' pfifo_fast ''), match: [{proto: udp}]}
		          - {name: work, rate: 20%, match: [{all: true}]}
		      - name: old
		        rate: 2mbit
		        match: [{remote-port: 8000-8080}]
		        classes:
		          - {name: old-a, rate: 50%, match: [{proto: tcp}]}
		          - {name: old-b, rate: 50%, match: [{all: true}]}
		      - {name: guests, rate: 4mbit, ceil: 50%, match: [{local: "@guests"}]$(per local 1mbit)}
		      - {name: rest, rate: 5mbit, ceil: 100%}
		$(line_and_interfaces 'egress: {policy: line}')
	END
}

# Of the first: voice and staff changed in place, servers without children, guests with some, calls moved below them, video with
# another kind of leaf, rates for the addresses of servers and none for those of guests, old gone, new there, another default, other
# sets; and w1's other direction.
second()
{
	cat <<-END
		version: 1
		sets:
		  servers: {elements: [192.0.2.1, 192.0.2.3]}
		  staff: {elements: [198.51.100.0/24, 203.0.113.0/25]}
		  friends: {elements: [203.0.113.200]}
		policies:
		  office:
		    type: htb
		    rate: {up: 50mbit, down: 90mbit}
		    default: new
		    classes:
		      - {name: voice, rate: 3mbit, ceil: 4mbit, burst: 10kb, leaf: {qdisc: pfifo, limit: 60}, match: [{dscp: ef}]}
		      - {name: servers, rate: 8mbit, ceil: 100%, prio: 2, match: [{local: "@servers"}]$(per remote 4mbit)}
		      - name: staff
		        rate: 12mbit
		        ceil: 90%
		        match: [{local: "@staff"}]
		        classes:
		          - {name: video, rate: 40%, leaf: {qdisc: bfifo, limit: 32kb}, match: [{dscp: af41}]}
		          - {name: work, rate: 20%, quantum: 3000, match: [{all: true}]}
		          - {name: files, rate: 20%, ceil: 100%, prio: 5, match: [{remote-port: [22, 873]}]}
		      - name: guests
		        rate: 4mbit
		        ceil: 50%
		        match: [{local: "@friends"}]
		        classes:
		          - {name: calls, rate: 20%, prio: 1, $(leaf sfq 'perturb: 10s' pfifo_fast ''), match: [{proto: udp}]}
		          - name: slow
		            rate: 50%
		            match: [{all: true}]
		            classes:
		              - {name: slow-a, rate: 50%, match: [{proto: tcp}]}
		              - {name: slow-b, rate: 50%, match: [{all: true}]}
		      - {name: rest, rate: 5mbit, ceil: 100%, match: [{proto: icmp}]}
		      - {name: new, rate: 5mbit, ceil: 100%, $(leaf fq_codel 'target: 15ms' pfifo 'limit: 30')}
		$(line_and_interfaces 'ingress: {policy: line, via: ifb}')
	END
}

# ---- what is there ----

start_dumper box "$pins"

# Waits until it is ready or has ended; then its status.
start() # POLICY
{
	local line status
	"$1" >"$policy"
	exec {out}< <(exec nsenter --net="/run/netns/$prefix-box" "$qosd" --config "$policy" --run-dir "$dir/a/run" \
		--state-dir "$dir/a/state" --pin-dir "$pins" 2>&1 </dev/null)
	pid_of[a]=$!
	: >"$dir/said"
	while read -r line <&"$out"; do
		printf '%s\n' "$line" >>"$dir/said"
		[ "$line" = "qosd: ready" ] || continue
		cat <&"$out" >"$dir/log" & # it may say much more, and must not wait for us
		exec {out}<&-
		return 0
	done
	exec {out}<&-
	wait "${pid_of[a]}"
	status=$?
	unset "pid_of[a]"
	return "$status"
}

# Leaves no daemon behind; what is in the kernel stays.
stop()
{
	kill9_qosd a 2>/dev/null # it may be dead already
}

# To a policy, with these faults on the way. The daemon's answer is in $dir/said.
reload_with() # POLICY FAULT..
{
	"$1" >"$policy"
	shift
	printf '%s\n' "$@" >"$QOSD_FAULTS"
	ctl a reload >"$dir/said" 2>&1
}
export QOSD_FAULTS=$dir/faults

# ---- refused ----

# From one policy to the next with the request n refused, for every n until there is none left to refuse; then the next is in force.
refused_all() # TO
{
	local n
	requests=0
	dump "$dir/before"
	for ((n = 0; n < 2000; n += every)); do
		if reload_with "$1" "fail $n"; then
			requests=$n
			plan_is_empty a
			return
		fi
		grep -q 'made to fail by a test; everything is as it was' "$dir/said" ||
			{ echo "request $n to $1 failed otherwise:"; cat "$dir/said"; return 1; }
		is_there "$dir/before" "after a failure at request $n to $1" || return
	done
	echo "more than $n requests"
	return 1
}

refused()
{
	start nothing
	check "an apply that is refused at any request leaves what was there" refused_all first
	check "each of them was refused once" between "$requests" 100 1999
	dump "$dir/now"
	check "those are sixty objects, and more" between "$(grep -c -E '^(class|filter|link|qdisc .* parent 51|map /v[0-9]*/sets/.* )' "$dir/now")" 60 1999
	check "and the removal of all" refused_all nothing
	check "each of its requests was refused once, too" between "$requests" 60 1999
}

refused-changes()
{
	start first
	check "a change to another tree that is refused at any request leaves what was there" refused_all second
	check "each of its requests was refused once" between "$requests" 60 1999
	check "and the change back" refused_all first
	check "each of its requests was refused once, too" between "$requests" 60 1999
}

# ---- killed ----

# With numbers for the classes of both policies, so that each has the same whatever happened before.
restore_state()
{
	rm -rf "$dir/a/state" && cp -a "$dir/numbers" "$dir/a/state"
}

start_restored() # POLICY
{
	restore_state && start "$1"
}

# What each policy comes to where nothing happens, to be compared with; the first is in force afterwards.
undisturbed() # POLICY OTHER
{
	rm -rf "$dir/a/state"
	daemon_dir a
	start "$1" || return
	! reload_with "$2" "kill 0" || return
	stop
	rm -rf "$dir/numbers" && cp -a "$dir/a/state" "$dir/numbers"
	rm -rf "$dir/numbers/history"
	start_restored "$2" && dump "$dir/$2" && stop && start_restored "$1" && dump "$dir/$1"
}

# To a policy, killed in front of request n of that way; or, where one of that way is refused, on the way back. Then started again,
# in peace. What was there to begin with is the other policy.
killed_at() # N TO [REFUSED]
{
	local when="killed at request $1 to $2${3:+, after a failure at request $3}"
	if reload_with "$2" "kill $1" ${3:+"fail $3"}; then
		[ -z "${3:-}" ] || { echo "$when: was not refused"; return 1; }
		total[$2]=$1
		plan_is_empty a || { echo "$when"; return 1; }
	fi
	stop
	start_restored "$2" || { echo "$when:"; cat "$dir/said"; return 1; }
	plan_is_empty a || { echo "$when"; return 1; }
	is_there "$dir/$2" "$when"
}

declare -A total=()

# To this policy or, where all of its requests were looked at, straight there.
killed_or_not() # N TO
{
	if [ -z "${total[$2]:-}" ]; then
		killed_at "$1" "$2"
	else
		reload_with "$2"
	fi
}

# To and fro, one request further each time.
killed_all() # POLICY OTHER
{
	local n
	total=()
	for ((n = 0; n < 2000; n += every)); do
		[ "${total[$2]:-}" ] && [ "${total[$1]:-}" ] && return 0
		killed_or_not "$n" "$2" && killed_or_not "$n" "$1" || return
	done
	echo "more than $n requests"
	return 1
}

# The last request is refused, and then it is killed on the way back, after some of it.
killed_back() # POLICY OTHER
{
	local n last=$((total[$2] - every))
	for ((n = last; n < 2 * last; n += 6 + every)); do
		killed_at "$n" "$2" "$last" && reload_with "$1" || return
	done
}

killed()
{
	check "two policies come and go" undisturbed first second
	check "killed at any request to another tree, and back, the next start ends at the policy" killed_all first second
	check "it was killed at every request" between "$((total[first] + total[second]))" 120 3999
	check "and killed while it takes back what it did" killed_back first second
}

killed-at-first()
{
	check "a policy and none come and go" undisturbed first nothing
	check "killed at any request from nothing, and to it, the next start ends there" killed_all first nothing
	check "it was killed at every one" between "$((total[first] + total[nothing]))" 150 3999
}

if QOSD_FAIL_AT=0 start first; then
	skip "everything" "qosd was built without --enable-fault-injection"
	finish
fi
"$variant"
finish
