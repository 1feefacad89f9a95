#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# HTB by policy, upload on the device and download through an ifb, both full at once: who gets how much, who waits how long, and
# what is left when it stops. The rates are low, so that software emulation keeps up with them.
#
# measures closely
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
needs_qdisc htb
netns router wan lan
for ns in router wan lan; do
	at $ns sysctl -qw net.ipv6.conf.default.disable_ipv6=1 # nothing of its own on the line
done
behind router wan0 192.0.2.1/24 wan eth0 192.0.2.2/24 192.0.2.3/24
behind router lan0 198.51.100.1/24 lan eth0 198.51.100.2/24 198.51.100.130/24

fq_codel=no
has_qdisc fq_codel && fq_codel=yes
window=3
is_emulated && window=5

daemon_dir a
policy=$dir/a/qosd.yaml
# Queues and bursts are such that a machine that is busy with something else for some milliseconds loses nothing.
cat >"$policy" <<-'END'
	version: 1
	templates:
	  steady: {burst: 200ms, cburst: 200ms}
	  deep: {use: [steady], leaf: {qdisc: pfifo, limit: 50}}
	settings: {on-stop: remove}
	sets:
	  servers: {elements: [192.0.2.3]}
	  guests: {learn: {on: [lan0], within: [198.51.100.128/25], timeout: 10m}}
	policies:
	  home:
	    type: htb
	    rate: {up: 4mbit, down: 6mbit}
	    burst: 200ms
	    cburst: 200ms
	    default: rest
	    quantum: 3000
	    classes:
	      - {name: voice, use: [deep], rate: 3%, ceil: 8%, match: [{dscp: ef}]}
	      - {name: quick, rate: 16kbit, ceil: 100%, prio: 0, match: [{dscp: cs4}]}
	      - {name: slow, rate: 16kbit, ceil: 100%, prio: 3, match: [{dscp: cs1}]}
	      - name: office
	        use: [steady]
	        rate: 60%
	        ceil: 100%
	        match: [{port: [5001, 5002]}, {dscp: [af11, af12]}]
	        classes:
	          - {name: web, use: [deep], rate: {up: 800kbit, down: 1200kbit}, ceil: 100%, prio: 1, quantum: 4500,
	             match: [{port: 5001}, {dscp: af11}]}
	          - {name: bulk, use: [deep], rate: {up: 400kbit, down: 600kbit}, ceil: 100%, prio: 1, quantum: 1500,
	             match: [{all: true}]}
	      - {name: guests, use: [deep], rate: 2%, ceil: 50%, prio: 1, match: [{local: "@guests"}]}
	      - {name: servers, use: [deep], rate: 22%, ceil: 100%, prio: 1, match: [{remote: "@servers"}]}
	      - {name: limited, use: [deep], rate: 2%, ceil: 10%, prio: 1, match: [{port: 5003}]}
	      - {name: rest, use: [deep], rate: 10%, ceil: 100%, prio: 1}
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
declare -A rate=([up]=4000 [down]=6000) device=([up]=wan0 [down]=$ifb)

# ---- what the kernel has counted ----

# Of a class: its place in what tc tells, from the number that qosd says it has.
declare -A id_of=()
while read -r way class number; do
	id_of[$way-$class]=$(printf '%s/5100:%x' "$way" "$number")
done < <(ctl a --json show classes | jq -r '.hooks[] | (if .direction == "egress" then "up" else "down" end) as $way |
	.classes[] | "\($way) \(.name) \(.number)"')
id_of[up-rest]=up/5100:fffe
id_of[down-rest]=down/5100:fffe

# By the name of a look: when it was, in microseconds, and packets that waited, each way; bytes and packets that each class had sent.
declare -A time=() waiting=() bytes=() packets=()

# Without a process more than needed: in software emulation each takes a while.
look() # NAME
{
	local way line id=''
	for way in up down; do
		time[$1-$way]=''
		waiting[$1-$way]=0
		while read -r -a line; do
			[ "${time[$1-$way]}" ] || time[$1-$way]=${EPOCHREALTIME/./}
			case ${line[0]:-} in
			class) id=$way/${line[2]} ;;
			Sent)
				bytes[$1-$id]=${line[1]}
				packets[$1-$id]=${line[3]}
				;;
			backlog) waiting[$1-$way]=$((${waiting[$1-$way]} + ${line[2]%p})) ;;
			esac
		done < <(at router tc -s class show dev "${device[$way]}")
	done
}

# What a class has sent from one look to another.
sent() # FROM TO WAY CLASS
{
	local id=${id_of[$3-$4]}
	grown=$((${bytes[$2-$id]} - ${bytes[$1-$id]}))
}

# The same in kbit/s.
speed() # FROM TO WAY CLASS
{
	sent "$@"
	kbit=$((grown * 8000 / (${time[$2-$3]} - ${time[$1-$3]})))
}

received() # NS: bytes
{
	at "$1" cat /proc/thread-self/net/dev | awk '$1 == "eth0:" { print $2 }'
}

# ---- loads ----

declare -A flow=(
	[up-web]="$prefix-lan/198.51.100.2>$prefix-wan/192.0.2.2:5001"
	[up-bulk]="$prefix-lan/198.51.100.2>$prefix-wan/192.0.2.2:5002"
	[up-limited]="$prefix-lan/198.51.100.2>$prefix-wan/192.0.2.2:5003"
	[up-servers]="$prefix-lan/198.51.100.2>$prefix-wan/192.0.2.3:5004"
	[up-guests]="$prefix-lan/198.51.100.130>$prefix-wan/192.0.2.2:5005"
	[up-rest]="$prefix-lan/198.51.100.2>$prefix-wan/192.0.2.2:5006"
	[up-voice]="$prefix-lan/198.51.100.2>$prefix-wan/192.0.2.2:5007/46"
	[down-web]="$prefix-wan/192.0.2.2>$prefix-lan/198.51.100.2:5001"
	[down-bulk]="$prefix-wan/192.0.2.2>$prefix-lan/198.51.100.2:5002"
	[down-limited]="$prefix-wan/192.0.2.2>$prefix-lan/198.51.100.2:5003"
	[down-servers]="$prefix-wan/192.0.2.3>$prefix-lan/198.51.100.2:5004"
	[down-guests]="$prefix-wan/192.0.2.2>$prefix-lan/198.51.100.130:5005"
	[down-rest]="$prefix-wan/192.0.2.2>$prefix-lan/198.51.100.2:5006"
	[down-voice]="$prefix-wan/192.0.2.2>$prefix-lan/198.51.100.2:5007/46"
)

start_load() # FLOW@KBIT..
{
	timeout 60 nice -n -10 python3 -B "$top/tests/live/flood.py" "$@" >"$dir/ready" &
	load_pid=$!
	within 20 grep -q ready "$dir/ready"
}

drained()
{
	look drained
	equal "${waiting[drained-up]} ${waiting[drained-down]}" "0 0"
}

stop_load()
{
	kill "$load_pid" 2>/dev/null
	wait "$load_pid" 2>/dev/null
	within 10 drained
}

# The sender offers 1.4 times of what each is to get.
offers() # CLASS=SHARE..
{
	local way pair
	for way in up down; do
		for pair in "$@"; do
			echo "${flow[$way-${pair%=*}]}@$((rate[$way] * ${pair#*=} * 14 / 10000))"
		done
	done
}

# Five percent more or less of it; in this try or an earlier one, see below.
in_share() # WAY CLASS=SHARE
{
	local want=$((rate[$1] * ${2#*=} / 1000))
	between "${got[$1-${2%=*}]}" $((want * 95 / 100)) $((want * 105 / 100))
}

all_in_share() # WAY CLASS=SHARE..
{
	local way=$1 pair
	shift
	for pair in "$@"; do
		in_share "$way" "$pair" || return
	done
}

# CLASS=TENTHS-OF-A-PERCENT..: all at once, both ways; each must get that much of the line. A machine that is busy with something
# else may need to be asked again, for the way where it was not so; all that it said is shown.
shares() # SENTENCE CLASS=SHARE..
{
	local sentence=$1 way pair try said again="up down"
	local -a lines
	shift
	mapfile -t lines < <(offers "$@")
	for try in 1 2 3; do
		[ "$again" ] || break
		start_load "${lines[@]}"
		sleep 1.2
		look begin
		sleep "$window"
		look end
		stop_load || echo "# not drained"
		for way in $again; do
			said="# $sentence, $way, try $try:"
			for pair in "$@"; do
				speed begin end "$way" "${pair%=*}"
				got[$way-${pair%=*}]=$kbit
				said+=" ${pair%=*} $kbit of $((rate[$way] * ${pair#*=} / 1000))"
			done
			echo "$said"
			! all_in_share "$way" "$@" >/dev/null || again=${again/$way/}
		done
		again=${again# } again=${again% }
	done
	for way in up down; do
		for pair in "$@"; do
			check "$sentence, $way: ${pair%=*} has its share" in_share "$way" "$pair"
		done
	done
}
declare -A got=()

at lan ping -q -c 1 -W 2 -I 198.51.100.130 192.0.2.2 >/dev/null
check "what the guest said has taught its address" within 5 is_member a guests 198.51.100.130
at lan ping -q -c 1 -W 2 -I 198.51.100.2 192.0.2.3 >/dev/null
look first
declare -A before=([up]=$(received wan) [down]=$(received lan))

# Nobody needs more than what is there: a class takes it all, and the ceil of another is its end.
shares "alone" bulk=1000
shares "below their ceil's sum" limited=100 guests=500
# What the others leave goes to both alike, as their quanta are.
shares "with the line to themselves" servers=560 rest=440
# Of 1000, office has 600, of which web has 200 and bulk 100; the 300 that office has left go to both as their quanta are, 3 to 1.
# servers have 220, rest has 100, voice has 30 and may borrow before all others: the 50 that are left, and is at its ceil.
shares "in contention" web=425 bulk=175 servers=220 rest=100 voice=80

# All of that was in the classes that send it, and nowhere else: what arrived is what they have counted, but for a few frames of
# ARP, which is in no class.
look last
counted() # WAY
{
	local class sum=0
	for class in voice web bulk guests servers limited rest; do
		sent first last "$1" $class
		sum=$((sum + grown))
	done
	echo $sum
}
for way in up down; do
	to=wan
	[ $way = up ] || to=lan
	arrived=$(($(received $to) - before[$way]))
	check "what arrived was counted in the classes, $way" between "$(counted $way)" $((arrived - 3000)) $((arrived + 3000))
done

# ---- what no class matches ----

ip -n "$prefix-router" neighbour flush dev wan0
look begin
at lan ping -q -c 5 -i 0.1 -W 2 192.0.2.2 >"$dir/ping"
look end
check "ping comes through" contains "$(cat "$dir/ping")" ' 0% packet loss'
for way in up down; do
	check "the default has what no class matches, ARP goes past it, $way" \
		equal "$((${packets[end-${id_of[$way-rest]}]} - ${packets[begin-${id_of[$way-rest]}]}))" 5
done

# ---- who waits how long ----

# Microseconds that a ping takes, the median of those that came back; 10 seconds where none did. Beside a load.
ping_us() # DSCP SIZE INTERVAL N
{
	at lan ping -n -Q $(($1 << 2)) -s "$2" -i "$3" -c "$4" -W 2 192.0.2.2 | sed -n 's/.*time=\([0-9.]*\) ms/\1/p' | sort -n |
		awk '{ t[NR] = $1 * 1000 } END { printf "%d\n", NR ? t[int((NR + 1) / 2)] : 10000000 }'
}

# Of two pings beside a load, which the first word names, the first waits at most a quarter of what the second does. May need to
# be asked again, as above.
waits_less() # SENTENCE ARGS-OF-PING ARGS-OF-PING
{
	local try
	for try in 1 2 3; do
		# shellcheck disable=SC2086 # arguments
		less=$(ping_us $2) more=$(ping_us $3)
		echo "# try $try: median of a ping $less us, of the other $more us"
		[ $((less * 4)) -gt "$more" ] || break
	done
	check "$1" between $((less * 4)) 0 "$more"
}

start_load "${flow[up-web]}@5600"
sleep 1
waits_less "beside a full line, a small flow waits less in its class than in the full one" "46 56 0.05 20" "10 56 0.05 20"
queued=$more
# Both have 16 kbit for sure and send some 200: one may borrow before web, the other after it.
waits_less "of two classes that must borrow, the lower prio waits less" "32 500 0.02 60" "8 500 0.02 60"
stop_load

if [ "$fq_codel" = yes ]; then
	start_load "${flow[up-bulk]}@5600"
	sleep 1
	for try in 1 2 3; do
		fair=$(ping_us 12 56 0.05 20)
		echo "# try $try: median of a ping in fq_codel $fair us, in a pfifo $queued us"
		[ $((fair * 3)) -gt "$queued" ] || break
	done
	check "beside a full flow in the same fq_codel, a small one waits less than in a pfifo" between $((fair * 3)) 0 "$queued"
	stop_load
	check "a class without a leaf has fq_codel" contains "$(at router tc qdisc show dev wan0)" \
		"^qdisc fq_codel .* parent ${id_of[up-quick]#*/} "
else
	skip "beside a full flow in the same fq_codel, a small one waits less than in a pfifo" "the kernel has no sch_fq_codel (CONFIG_NET_SCH_FQ_CODEL)"
	check "a class without a leaf has a pfifo" contains "$(at router tc qdisc show dev wan0)" \
		"^qdisc pfifo .* parent ${id_of[up-quick]#*/} "
fi

# ---- the end of it ----

# Without what fq_codel tells as classes, its flows.
tree()
{
	at router tc class show dev wan0 | grep '^class htb'
	at router tc class show dev "$ifb" | grep '^class htb'
}
tree=$(tree)
kill9_qosd a
look begin
start_load "${flow[up-limited]}@600"
sleep 2
stop_load
look end
sent begin end up limited
check "with qosd killed, shaping goes on" between $grown 80000 250000
start_qosd a router
check "qosd starts again" equal $? 0
check "plan is empty after that" plan_is_empty a
check "the classes are the same" equal "$(tree)" "$tree"
look again
sent end again up limited
check "and count on, up" equal $grown 0
sent end again down web
check "and count on, down" equal $grown 0
stop_qosd a
check "qosd ends" equal $? 0
check "no ifb is left" equal "$(ip -n "$prefix-router" -o link show type ifb)" ""
check "no qdisc is left but clsact, which may be anybody's" equal \
	"$(at router tc qdisc show dev wan0 | grep -v -E '^qdisc (noqueue|clsact) ')" ""
check "no filter is left" equal "$(at router tc filter show dev wan0 ingress; at router tc filter show dev wan0 egress)" ""
finish
