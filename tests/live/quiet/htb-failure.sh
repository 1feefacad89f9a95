#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Class trees, both ways: whichever request of an apply the kernel refuses, what was there before is there afterwards; and wherever
# qosd is killed, the next one ends at the policy, and at nothing else.
#
#   QOSD_TEST_EVERY    1: every request (in software emulation each 19th)
#
# variants: refused killed
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

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
# Software emulation is slow: some of the steps, not all.
every=1
grep -q -i qemu /proc/cpuinfo && every=19
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
		      - {name: guests, rate: 4mbit, ceil: 50%, match: [{local: "@guests"}]}
		      - {name: rest, rate: 5mbit, ceil: 100%}
		  line:
		    type: htb
		    rate: 20mbit
		    default: all
		    classes:
		      - {name: quick, rate: 5mbit, ceil: 100%, match: [{dscp: ef}]}
		      - {name: all, rate: 15mbit, ceil: 100%}
		interfaces:
		  w0: {side: wan, egress: {policy: office}, ingress: {policy: office, via: ifb}}
		  w1: {side: lan, egress: {policy: line}}
	END
}

# Of the first: voice and staff changed in place, servers without children, guests with some, calls moved below them, video with
# another kind of leaf, old gone, new there, another default, other sets; and w1's other direction.
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
		      - {name: servers, rate: 8mbit, ceil: 100%, prio: 2, match: [{local: "@servers"}]}
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
		  line:
		    type: htb
		    rate: 20mbit
		    default: all
		    classes:
		      - {name: quick, rate: 5mbit, ceil: 100%, match: [{dscp: ef}]}
		      - {name: all, rate: 15mbit, ceil: 100%}
		interfaces:
		  w0: {side: wan, egress: {policy: office}, ingress: {policy: office, via: ifb}}
		  w1: {side: lan, ingress: {policy: line, via: ifb}}
	END
}

# ---- what is there ----

# More than dump_kernel tells, with classes, qdiscs and entries of maps sorted: they come in any order. Less a clsact, which stays
# for whoever else wants it, and the address that a device is born with.
dump()
{
	local dev
	dump_kernel box "$pins" | grep -v '^qdisc ' | awk '
		/^value:/ { line = line " " $0; next }
		{ if (NR > 1) print n, line; if (!/^key:/) n++; line = $0 }
		END { print n, line }' | sort -k 1,1n -k 2
	at box tc -j qdisc show |
		jq -c 'map(select(.kind != "clsact")) | sort_by(.dev, .parent, .handle)[] | del(.options.direct_packets_stat)'
	ip -n "$prefix-box" -d -o link show >"$dir/.links"
	sed -n '/ ifb /s/link\/ether [0-9a-f:]*//p' "$dir/.links"
	while read -r dev; do
		echo "classes of $dev"
		at box tc -d class show dev "$dev" </dev/null | sed -n '/^class htb/p' | sort
	done < <(sed -n 's/^[0-9]*: \([wq][^:@]*\).*/\1/p' "$dir/.links")
}

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
		[ "$line" != "qosd: ready" ] || return 0
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
	kill9_qosd a
	exec {out}<&-
}

is_there() # DUMP WHEN
{
	local now
	now=$(dump)
	[ "$now" = "$1" ] || { echo "$2:"; diff <(printf '%s\n' "$1") <(printf '%s\n' "$now"); return 1; }
}

# ---- refused ----

# From one policy to the next with the request n refused, for every n until there is none left to refuse; then the next is in force.
refused_all() # TO
{
	local n status before
	requests=0
	before=$(dump)
	for ((n = 0; n < 2000; n += every)); do
		status=0
		QOSD_FAIL_AT=$n start "$1" || status=$?
		if [ "$status" -eq 0 ]; then
			requests=$n
			plan_is_empty a && stop
			return
		fi
		grep -q 'made to fail by a test; everything is as it was' "$dir/said" ||
			{ echo "request $n to $1 failed otherwise:"; cat "$dir/said"; return 1; }
		is_there "$before" "after a failure at request $n to $1" || return
	done
	echo "more than $n requests"
	return 1
}

refused()
{
	check "a first start that is refused at any request leaves what was there" refused_all first
	check "each of them was refused once" between "$requests" 100 1999
	check "so does a change to another tree" refused_all second
	check "each of its requests was refused once" between "$requests" 60 1999
	check "and the change back" refused_all first
	check "each of its requests was refused once, too" between "$requests" 60 1999
	check "and the removal of all" refused_all nothing
}

# ---- killed ----

# With numbers for the classes of both policies, so that each has the same whatever happened before.
restore_state()
{
	rm -rf "$dir/a/state" && cp -a "$dir/numbers" "$dir/a/state"
}

# What each policy comes to where nothing happens, to be compared with.
undisturbed() # POLICY OTHER
{
	rm -rf "$dir/a/state"
	daemon_dir a
	start "$1" && stop || return
	QOSD_KILL_AT=0 start "$2" && return 1
	rm -rf "$dir/numbers" && cp -a "$dir/a/state" "$dir/numbers"
	restore_state
	start "$2" && stop && target[$2]=$(dump) || return
	restore_state
	start "$1" && stop && target[$1]=$(dump)
}

# To a policy, killed in front of request n of that way; or, where one of that way is refused, on the way back. Then once more, in
# peace. What was there to begin with is the other policy.
killed_at() # N TO [REFUSED]
{
	local status=0 when="killed at request $1 to $2${3:+, after a failure at request $3}"
	restore_state
	QOSD_KILL_AT=$1 QOSD_FAIL_AT=${3:--1} start "$2" || status=$?
	case $status${3:+ back} in
	0) total[$2]=$1 ;;
	137*) start "$2" || { echo "$when:"; cat "$dir/said"; return 1; } ;;
	*) echo "$when: ends with $status"; cat "$dir/said"; return 1 ;;
	esac
	plan_is_empty a || { echo "$when"; return 1; }
	stop
	is_there "${target[$2]}" "$when"
}

declare -A target=() total=()

# To this policy or, where all of its requests were looked at, straight there.
killed_or_not() # N TO
{
	if [ -z "${total[$2]:-}" ]; then
		killed_at "$1" "$2"
	else
		restore_state && start "$2" && stop
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
		killed_at "$n" "$2" "$last" && restore_state && start "$1" && stop || return
	done
}

killed()
{
	check "two policies come and go" undisturbed first second
	check "killed at any request to another tree, and back, the next start ends at the policy" killed_all first second
	check "and killed while it takes back what it did" killed_back first second
	check "it was killed at every request" between "$((total[first] + total[second]))" 120 3999
	check "a policy and none come and go" undisturbed first nothing
	check "killed at any request from nothing, and to it, the next start ends there" killed_all first nothing
	check "it was killed at every one" between "$((total[first] + total[nothing]))" 180 3999
}

if [ "$variant" = refused ] && QOSD_FAIL_AT=0 start first || [ "$variant" = killed ] && QOSD_KILL_AT=0 start first; then
	skip "everything" "qosd was built without --enable-fault-injection"
	finish
fi
"$variant"
finish
