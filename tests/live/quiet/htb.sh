#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# HTB by policy, upload on the device and download through an ifb: who gets how much of a full line, who waits how long, and
# what is left when it stops.
#
# measures
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

needs_root
needs_htb
netns router wan lan
cable router wan0 wan eth0
cable router lan0 lan eth0
address router wan0 192.0.2.1/24
address router lan0 198.51.100.1/24
address wan eth0 192.0.2.2/24 192.0.2.3/24
address lan eth0 198.51.100.2/24 198.51.100.130/24
ip -n "$prefix-wan" route add default via 192.0.2.1
ip -n "$prefix-lan" route add default via 198.51.100.1
at router sysctl -qw net.ipv4.ip_forward=1
# A packet that is many in one takes its turn whole, however large the quantum.
ip -n "$prefix-wan" link set eth0 gso_max_segs 2
ip -n "$prefix-lan" link set eth0 gso_max_segs 2

fq_codel=no
if has_qdisc fq_codel; then
	fq_codel=yes
fi
daemon_dir a
policy=$dir/a/qosd.yaml
# Queues and bursts are such that a machine that is busy with something else for some milliseconds loses nothing.
cat >"$policy" <<-'END'
	version: 1
	templates:
	  steady: {burst: 50ms, cburst: 50ms}
	  deep: {use: [steady], leaf: {qdisc: pfifo, limit: 100}}
	settings: {on-stop: remove}
	sets:
	  servers: {elements: [192.0.2.3]}
	  guests: {learn: {on: [lan0], within: [198.51.100.128/25], timeout: 10m}}
	policies:
	  home:
	    type: htb
	    rate: {up: 20mbit, down: 40mbit}
	    burst: 50ms
	    cburst: 50ms
	    default: rest
	    quantum: 12000
	    classes:
	      - {name: voice, use: [deep], rate: 10%, ceil: 20%, match: [{dscp: ef}]}
	      - {name: quick, rate: 64kbit, ceil: 100%, prio: 0, match: [{dscp: cs4}]}
	      - {name: slow, rate: 64kbit, ceil: 100%, prio: 3, match: [{dscp: cs1}]}
	      - name: office
	        use: [steady]
	        rate: 60%
	        ceil: 100%
	        match: [{port: [5001, 5002]}, {dscp: [af11, af12]}]
	        classes:
	          - {name: web, use: [deep], rate: {up: 4mbit, down: 8mbit}, ceil: 100%, prio: 1, quantum: 18000,
	             match: [{port: 5001}, {dscp: af11}]}
	          - {name: bulk, use: [deep], rate: {up: 2mbit, down: 4mbit}, ceil: 100%, prio: 1, quantum: 6000,
	             match: [{all: true}]}
	      - {name: guests, use: [deep], rate: 5%, ceil: 50%, prio: 1, match: [{local: "@guests"}]}
	      - {name: servers, use: [deep], rate: 10%, ceil: 100%, prio: 1, match: [{remote: "@servers"}]}
	      - {name: limited, use: [deep], rate: 5%, ceil: 10%, prio: 1, match: [{port: 5003}]}
	      - {name: rest, use: [deep], rate: 9%, ceil: 100%, prio: 1}
	interfaces:
	  wan0: {side: wan, egress: {policy: home}, ingress: {policy: home, via: ifb}}
END
if [ "$fq_codel" = yes ]; then
	sed -i '/name: bulk/s/deep/steady/' "$policy"
fi
start_qosd a router
check "qosd starts" equal $? 0 || finish
check "plan of what is in force is empty" plan_is_empty a
ifb=$(ip -n "$prefix-router" -o link show type ifb | sed 's/^[0-9]*: \([^:@]*\).*/\1/')
check "there is one ifb" contains "$ifb" '^qosd[0-9a-f]+$'
declare -A rate=([up]=20000 [down]=40000) device=([up]=wan0 [down]="$ifb")

# ---- what is in the kernel ----

# Of a class: its id, from the number that qosd says it has.
declare -A id_of=()
for way in egress ingress; do
	while read -r class number; do
		id_of[$way-$class]=$(printf '5100:%x' "$number")
	done < <(ctl a --json show classes | jq -r --arg d "$way" \
		'.hooks[] | select(.direction == $d) | .classes[] | "\(.name) \(.number)"')
	id_of[$way-rest]=5100:fffe
done
declare -A direction=([up]=egress [down]=ingress)

sent_by() # up|down CLASS
{
	at router tc -s class show dev "${device[$1]}" |
		awk -v id="${id_of[${direction[$1]}-$2]}" '$1 == "class" { mine = $3 == id } mine && $1 == "Sent" { print $2 }'
}

packets_by() # up|down CLASS
{
	at router tc -s class show dev "${device[$1]}" |
		awk -v id="${id_of[${direction[$1]}-$2]}" '$1 == "class" { mine = $3 == id } mine && $1 == "Sent" { print $4 }'
}

# ---- loads ----

# shellcheck disable=SC2034 # flows() refers to it
declare -A flow_up=(
	[web]="web=$prefix-lan/198.51.100.2>$prefix-wan/192.0.2.2:5001"
	[bulk]="bulk=$prefix-lan/198.51.100.2>$prefix-wan/192.0.2.2:5002"
	[limited]="limited=$prefix-lan/198.51.100.2>$prefix-wan/192.0.2.2:5003"
	[servers]="servers=$prefix-lan/198.51.100.2>$prefix-wan/192.0.2.3:5004"
	[guests]="guests=$prefix-lan/198.51.100.130>$prefix-wan/192.0.2.2:5005"
	[rest]="rest=$prefix-lan/198.51.100.2>$prefix-wan/192.0.2.2:5006"
	[voice]="voice=$prefix-lan/198.51.100.2>$prefix-wan/192.0.2.2:5007/46"
)
# shellcheck disable=SC2034 # flows() refers to it
declare -A flow_down=(
	[web]="web=$prefix-wan/192.0.2.2>$prefix-lan/198.51.100.2:5001"
	[bulk]="bulk=$prefix-wan/192.0.2.2>$prefix-lan/198.51.100.2:5002"
	[limited]="limited=$prefix-wan/192.0.2.2>$prefix-lan/198.51.100.2:5003"
	[servers]="servers=$prefix-wan/192.0.2.3>$prefix-lan/198.51.100.2:5004"
	[guests]="guests=$prefix-wan/192.0.2.2>$prefix-lan/198.51.100.130:5005"
	[rest]="rest=$prefix-wan/192.0.2.2>$prefix-lan/198.51.100.2:5006"
	[voice]="voice=$prefix-wan/192.0.2.2>$prefix-lan/198.51.100.2:5007/46"
)

flows() # up|down CLASS.. : one line each
{
	local -n flow=flow_$1
	shift
	local class
	for class in "$@"; do
		echo "${flow[$class]}"
	done
}

load=(timeout 120 nice -n -10 python3 "$top/tests/live/quiet/load.py")

drained()
{
	! { at router tc -s class show dev wan0; at router tc -s class show dev "$ifb"; } | grep -q 'backlog [0-9]*b [1-9]'
}

got() # NAME: of what load printed into $dir/load
{
	awk -v name="$1" '$1 == "flow" && $2 == name { print $3 }' "$dir/load"
}

# Whether each has its share, five percent more or less of it.
all_within() # up|down CLASS=SHARE..
{
	local way=$1 pair want
	shift
	for pair in "$@"; do
		want=$((rate[$way] * ${pair#*=} / 1000))
		between "$(got "${pair%=*}")" $((want * 95 / 100)) $((want * 105 / 100)) || return
	done
}

# CLASS=TENTHS-OF-A-PERCENT..: all at once; each must get that much of the line, and what tc counted must be what arrived. A
# machine that is busy with something else may need to be asked again.
shares() # SENTENCE up|down CLASS=SHARE..
{
	local sentence=$1 way=$2 pair class counted arrived try
	local -A earlier=()
	local -a lines
	shift 2
	mapfile -t lines < <(flows "$way" "${@%=*}")
	for try in 1 2 3; do
		for pair in "$@"; do
			earlier[${pair%=*}]=$(sent_by "$way" "${pair%=*}")
		done
		"${load[@]}" 1 3 "${lines[@]}" >"$dir/load"
		within 5 drained
		if all_within "$way" "$@" >/dev/null; then
			break
		fi
		echo "# try $try:" "$(awk '$1 == "flow" { print $2, $3 }' "$dir/load" | paste -sd ' ')"
	done
	for pair in "$@"; do
		class=${pair%=*}
		check "$sentence, $way: $class has its share" all_within "$way" "$pair"
		counted=$(($(sent_by "$way" "$class") - earlier[$class]))
		arrived=$(awk -v name="$class" '$1 == "total" && $2 == name { print $3 }' "$dir/load")
		# What was still in the queue, or was sent again, did not arrive.
		check "$sentence, $way: $class was counted as such" between "$counted" $((arrived * 98 / 100)) \
			$((arrived * 105 / 100 + 500000))
	done
}

# Nobody needs more than what is there: a class takes it all, and the ceil of another is its end.
at lan ping -q -c 1 -W 2 -I 198.51.100.130 192.0.2.2 >/dev/null
check "what the guest said has taught its address" within 5 is_member a guests 198.51.100.130
for way in up down; do
	shares "alone" "$way" bulk=1000
	shares "below their ceil's sum" "$way" limited=100 guests=500
	# Of 1000, office has 600, of which web has 200 and bulk 100; servers 100, rest 90. The 300 that office has left go to web
	# and bulk as their quanta are, 3 to 1; the 210 of the root to all four, as 3 to 1 to 2 to 2.
	shares "in contention" "$way" web=504 bulk=201 servers=152 rest=142
	# voice may borrow before all others: 100 of the 110 that are left, and is at its ceil.
	shares "with one of a lower prio" "$way" voice=200 web=429 bulk=176 servers=102 rest=92
done

mapfile -t both < <(flows up bulk | sed 's/^bulk=/up=/'; flows down web | sed 's/^web=/down=/')
for try in 1 2 3; do
	"${load[@]}" 1 3 "${both[@]}" >"$dir/load"
	if [ "$(got up)" -ge 18000 ] && [ "$(got down)" -ge 36000 ]; then
		break
	fi
	echo "# try $try: up $(got up) down $(got down)"
done
check "both ways at once: upload has its rate" between "$(got up)" 18000 20600
check "both ways at once: download has its rate" between "$(got down)" 36000 41200

# ---- what no class matches ----

rest_up=$(packets_by up rest)
rest_down=$(packets_by down rest)
ip -n "$prefix-router" neighbour flush dev wan0
at lan ping -q -c 5 -i 0.1 -W 2 192.0.2.2 >"$dir/ping"
check "ping comes through" contains "$(cat "$dir/ping")" ' 0% packet loss'
check "the default has what no class matches, ARP goes past it, up" equal "$(($(packets_by up rest) - rest_up))" 5
check "the default has what no class matches, ARP goes past it, down" equal "$(($(packets_by down rest) - rest_down))" 5

# ---- who waits how long ----

# Microseconds that a ping takes in the median; a lost one takes 10 seconds. Beside a load.
ping_us() # DSCP SIZE INTERVAL N
{
	local times
	times=$(at lan ping -n -Q $(($1 << 2)) -s "$2" -i "$3" -c "$4" -W 4 192.0.2.2 | sed -n 's/.*time=\([0-9.]*\) ms/\1/p')
	awk -v n="$4" '{ t[NR] = $1 * 1000 } END { i = int(n / 2) + 1; printf "%d\n", i <= NR ? t[i] : 10000000 }' \
		<(sort -n <<<"$times")
}

start_load() # up|down CLASS..
{
	local -a lines
	mapfile -t lines < <(flows "$@")
	"${load[@]}" 1 60 "${lines[@]}" >"$dir/load" &
	load_pid=$!
	within 20 grep -q ready "$dir/load"
}

stop_load()
{
	kill "$load_pid" 2>/dev/null
	wait "$load_pid" 2>/dev/null
	within 5 drained
}

start_load up web
queued=$(ping_us 10 56 0.1 15)
ahead=$(ping_us 46 56 0.1 15)
check "beside a full line, a small flow waits less in its class than in the full one" between $((ahead * 4)) 0 "$queued"
echo "# median of a ping: $ahead us, in the full class $queued us"

# Both have 64 kbit for sure and send about 400: one may borrow before web, the other after it.
first=$(ping_us 32 1000 0.02 80)
last=$(ping_us 8 1000 0.02 80)
check "of two classes that must borrow, the lower prio waits less" between $((first * 4)) 0 "$last"
echo "# median of a ping: prio 0 $first us, prio 3 $last us"
stop_load

if [ "$fq_codel" = yes ]; then
	start_load up bulk
	fair=$(ping_us 12 56 0.1 15)
	check "beside a full flow in the same fq_codel, a small one waits less than in a pfifo" between $((fair * 3)) 0 "$queued"
	echo "# median of a ping: in fq_codel $fair us, in pfifo $queued us"
	stop_load
	check "a class without a leaf has fq_codel" contains "$(at router tc qdisc show dev wan0)" "^qdisc fq_codel .* parent ${id_of[egress-quick]} "
else
	skip "a small flow in an fq_codel leaf" "the kernel has no sch_fq_codel (CONFIG_NET_SCH_FQ_CODEL)"
	check "a class without a leaf has a pfifo" contains "$(at router tc qdisc show dev wan0)" "^qdisc pfifo .* parent ${id_of[egress-quick]} "
fi

# ---- the end of it ----

bulk_up=$(sent_by up bulk)
web_down=$(sent_by down web)
tree=$(at router tc class show dev wan0; at router tc class show dev "$ifb")
kill9_qosd a
mapfile -t lines < <(flows up limited)
"${load[@]}" 1 2 "${lines[@]}" >"$dir/load"
check "with qosd killed, shaping goes on" between "$(got limited)" 1900 2100
start_qosd a router
check "qosd starts again" equal $? 0
check "plan is empty after that" plan_is_empty a
check "the classes are the same" equal "$(at router tc class show dev wan0; at router tc class show dev "$ifb")" "$tree"
check "and count on, up" between "$(sent_by up bulk)" "$bulk_up" $((bulk_up + 10000))
check "and count on, down" between "$(sent_by down web)" "$web_down" $((web_down + 10000))
stop_qosd a
check "qosd ends" equal $? 0
check "no ifb is left" equal "$(ip -n "$prefix-router" -o link show type ifb)" ""
check "no qdisc is left but clsact, which may be anybody's" equal \
	"$(at router tc qdisc show dev wan0 | grep -v -E '^qdisc (noqueue|clsact) ')" ""
check "no filter is left" equal "$(at router tc filter show dev wan0 ingress; at router tc filter show dev wan0 egress)" ""
finish
