#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# An htb tree for each queue of a device with four: each class has its rate in its queue, what comes by another queue is
# shaped all the same, a reload moves nobody, and another number of queues builds the trees anew. Packets come from src,
# are forwarded by router and go out at wan0 to dst.
#
# measures closely
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
needs_qdisc htb
if ! has_qdisc pfifo; then
	skip "everything" "the kernel has no pfifo"
	finish
fi

netns src router dst
behind router lan0 10.1.0.1/24 src s0 10.1.0.2/24
queues=4 behind router wan0 10.2.0.1/24 dst d0 10.2.0.2/24

policy=$dir/a/qosd.yaml
daemon_dir a
cat >"$policy" <<-'END'
	version: 1
	policies:
	  spread:
	    type: htb
	    rate: 20mbit
	    leaf: {qdisc: pfifo, limit: 50}
	    shards: auto
	    default: rest
	    classes:
	      - {name: a, rate: 5mbit, match: [{dport: 6001}]}
	      - {name: b, rate: 4mbit, ceil: 100%, match: [{dport: 6002}]}
	      - name: c
	        rate: 3mbit
	        match: [{dport: [6003, 6004]}]
	        classes:
	          - {name: c3, rate: 2mbit, match: [{dport: 6003}]}
	          - {name: c4, rate: 1mbit, match: [{dport: 6004}]}
	      - {name: rest, rate: 1mbit, ceil: 2mbit}
	interfaces:
	  wan0: {egress: {policy: spread}}
END

# What a class has sent, and what came to a shard that does not belong there.
sent() # CLASS
{
	counter a wan0 egress "$1" sent_bytes
}

strays() # SHARD
{
	ctl a --json stats | jq --argjson s "$1" '.hooks[0].by_shard[] | select(.shard == $s) | .stray_bytes // 0'
}

shard() # CLASS
{
	ctl a --json show classes | jq --arg c "$1" '.hooks[0].classes[] | select(.name == $c).shard'
}

# UDP to some ports at once, more than any class here has, for so many seconds.
flood() # NS SECONDS PORT..
{
	at "$1" timeout $(($2 + 20)) python3 - "${@:2}" <<-'END'
		import socket, sys, time
		seconds, ports = float(sys.argv[1]), [int(p) for p in sys.argv[2:]]
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		end, n = time.monotonic() + seconds, 0
		start = time.monotonic()
		while time.monotonic() < end:
		    for p in ports:
		        s.sendto(bytes(1200), ("10.2.0.2", p))
		    n += 1
		    ahead = start + n / 900 - time.monotonic() # 9 Mbit/s each
		    if ahead > 0:
		        time.sleep(ahead)
	END
}

# kbit/s of a class between two readings so many milliseconds apart.
kbit() # BEFORE AFTER MS
{
	echo $((($2 - $1) * 8 / $3))
}

# What a class of so many kbit/s reaches at least; under emulation htb's timer comes late.
least() # KBIT
{
	if is_emulated; then
		echo $(($1 * 70 / 100))
	else
		echo $(($1 * 88 / 100))
	fi
}

now_ms()
{
	date +%s%3N
}

start_qosd a router
check "qosd starts" equal $? 0
tc_shows()
{
	contains "$(at router tc qdisc show dev wan0)" "$1"
}
check "wan0 has an mq" tc_shows "^qdisc mq 5100: root"
for i in 1 2 3 4; do
	check "queue $i has a tree" tc_shows "^qdisc htb 510$i: parent 5100:$i"
	check "with a default" contains "$(at router tc class show dev wan0)" "class htb 510$i:fffe "
done
check "plan is empty" plan_is_empty a
check "nothing is missing" equal "$(ctl a --json show interfaces | jq -c '[.interfaces[].missing[]]')" "[]"
sleep "$(is_emulated && echo 10 || echo 1)" # until no plan is made any more
at router tc qdisc delete dev wan0 parent 5100:2
check "a tree that somebody took away is" equal "$(ctl a --json show interfaces | jq -r '.interfaces[].missing[]')" \
	"htb of queue 2 is gone"
check "reload puts it back" exits 0 ctl a reload
check "it says how many there are" contains "$(ctl a show interfaces)" "4 trees, one for each transmit queue"
check "the largest class is in the first queue" equal "$(shard a) $(shard b) $(shard c) $(shard c3) $(shard rest)" \
	"1 2 3 3 4"
check "and its comment says so" contains "$(ctl a show effective)" "^#   3: [0-9a-z]*: c$"

# Every class in its queue has its rate, while all send more; b borrows what its shard has.
flood src 9 6001 6002 6003 6004 6009 &
flooding=$!
sleep 2
declare -A rate=()
t=$(now_ms)
stats=$(ctl a --json stats)
stat_of() # JSON CLASS
{
	jq --arg c "$2" '.hooks[0].classes[] | select(.name == $c).sent_bytes' <<<"$1"
}
sleep 5
later=$(ctl a --json stats)
t=$(($(now_ms) - t))
wait "$flooding"
for class in a b c3 c4 rest; do
	rate[$class]=$(kbit "$(stat_of "$stats" $class)" "$(stat_of "$later" $class)" "$t")
done
check "class a has its 5 Mbit/s" between "${rate[a]}" "$(least 5000)" 5400
check "class b has its 4 Mbit/s and what its shard has beyond" between "${rate[b]}" "$(least 4000)" 6500
check "class c3 has its 2 Mbit/s" between "${rate[c3]}" "$(least 2000)" 2200
check "class c4 in the same shard has its 1 Mbit/s" between "${rate[c4]}" "$(least 1000)" 1150
check "the default has its 1 Mbit/s and no more than its ceil" between "${rate[rest]}" "$(least 1000)" 2200
total=$((rate[a] + rate[b] + rate[c3] + rate[c4] + rate[rest]))
check "all together stay below the policy's 20 Mbit/s" between "$total" 9000 20400
check "nothing strayed" equal "$(strays 1) $(strays 2) $(strays 3)" "0 0 0"

# Adding a class moves nobody; its shard's neighbours notice nothing but other parts.
sed -i 's/^      - {name: rest.*/      - {name: new, rate: 500kbit, match: [{dport: 6005}]}\n&/' "$policy"
plan=$(ctl a plan)
check "a new class takes nothing away" fails grep -q '^[-!]' <<<"$plan"
kept=$(sent a)
check "it is made" contains "$(ctl a reload)" "htb prio 0 quantum .* rate 500kbit"
check "the others keep their counters" between "$(sent a)" "$kept" $((kept + 100000))
check "and their places" equal "$(shard a) $(shard b) $(shard c3) $(shard rest)" "1 2 3 4"

# The default may move to a class of another shard.
sed -i 's/default: rest/default: b/; s/\(name: rest.*\)}/\1, match: [{dport: 6010}]}/' "$policy"
check "another class becomes the default, in another shard" exits 0 ctl a reload
check "plan is empty then" plan_is_empty a
check "in place" fails tc_shows "pfifo fffe:"
sed -i 's/default: b/default: rest/; s/, match: \[{dport: 6010}\]}/}/' "$policy"
check "and back" exits 0 ctl a reload

# What is past all classes is so in each queue.
direct=$(at router tc -s qdisc show dev wan0 | sed -n 's/.*htb 5101:.*direct_packets_stat \([0-9]*\).*/\1/p')
check "bypass" exits 0 ctl a bypass on
udp_send src 10.2.0.2 6004 200 1000
check "while bypass is on packets go past the classes" between \
	"$(at router tc -s qdisc show dev wan0 | sed -n 's/.*htb 5101:.*direct_packets_stat \([0-9]*\).*/\1/p')" \
	$((direct + 200)) $((direct + 1000))
check "bypass is off again" exits 0 ctl a bypass off

# Somebody takes two queues away while nobody looks: c's packets come by another queue than its tree's, and must be shaped
# there.
kernel_strays()
{
	at router tc -s class show dev wan0 | awk '/^class htb 510[12]:fffe /{hit = 1} hit && $1 == "Sent" {n += $2; hit = 0} END {print n + 0}'
}
kill9_qosd a
if at router ethtool -L wan0 tx 2 2>"$dir/ethtool"; then
	flood src 7 6003 &
	flooding=$!
	sleep 2
	t=$(now_ms)
	before=$(kernel_strays)
	sleep 4
	after=$(kernel_strays)
	t=$(($(now_ms) - t))
	wait "$flooding"
	check "they are held to the default's ceil of 2 Mbit/s" between "$(kbit "$before" "$after" "$t")" "$(least 2000)" 2250
	start_qosd a router
	check "qosd starts again" equal $? 0
	check "there are two trees" contains "$(ctl a show interfaces)" "2 trees"
	check "and no third" fails tc_shows "htb 5103:"
	check "plan is empty after that" plan_is_empty a
	flood src 5 6003 &
	flooding=$!
	sleep 1
	t=$(now_ms)
	before=$(sent c3)
	sleep 3
	after=$(sent c3)
	t=$(($(now_ms) - t))
	wait "$flooding"
	check "c3 has its 2 Mbit/s again" between "$(kbit "$before" "$after" "$t")" "$(least 2000)" 2250
	at router ethtool -L wan0 tx 1
	check "with one queue qosd makes one tree, at once or at a reload" exits 0 ctl a reload
	check "an htb at the root" tc_shows "^qdisc htb 5100: root"
	check "and a reason" contains "$(ctl a show interfaces)" "one tree, since wan0 has one transmit queue"
	check "also where the policy is read" contains "$(ctl a plan 2>&1)" "no-effect"
	at router ethtool -L wan0 tx 4
	check "with four there are four again" exits 0 ctl a reload
	check "as before" equal "$(shard a) $(shard b)" "1 2"
else
	skip "another number of queues" "$(cat "$dir/ethtool")"
	start_qosd a router
fi

# Ingress: the ifb has as many queues.
sed -i 's/egress: {policy: spread}/ingress: {policy: spread, via: ifb}/' "$policy"
check "from egress to ingress" exits 0 ctl a reload
ifb=$(ctl a --json show interfaces | jq -r '.interfaces[] | select(.ifb).ifb')
check "the ifb has four queues" contains "$(ip -d -n "$prefix-router" link show "$ifb")" "numtxqueues 4"
at dst timeout 30 python3 - <<-'END' &
	import socket, time
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	end = time.monotonic() + 5
	while time.monotonic() < end:
	    s.sendto(bytes(1200), ("10.1.0.2", 6004))
	    time.sleep(0.002)
END
flooding=$!
sleep 1
t=$(now_ms)
before=$(counter a wan0 ingress c4 sent_bytes)
sleep 3
after=$(counter a wan0 ingress c4 sent_bytes)
t=$(($(now_ms) - t))
wait "$flooding"
check "a class of ingress has its 1 Mbit/s" between "$(kbit "$before" "$after" "$t")" "$(least 1000)" 1150
check "in its queue" equal "$(strays 1) $(strays 2) $(strays 3)" "0 0 0"

# The ifb is made anew with another number of queues, and what sends packets there with it.
arrives() # COUNTER-BEFORE
{
	at dst timeout 10 python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(bytes(100), ("10.1.0.2", 6004))'
	[ "$(counter a wan0 ingress c4 sent_packets)" -gt "$1" ]
}
sed -i '/shards: auto/d' "$policy"
check "from four trees on an ifb to one" exits 0 ctl a reload
check "plan is empty" plan_is_empty a
check "packets still come through it" within 5 arrives "$(counter a wan0 ingress c4 sent_packets)"
sed -i 's/^    type: htb/&\n    shards: auto/' "$policy"
check "and back" exits 0 ctl a reload
check "plan is empty again" plan_is_empty a
check "and packets come" within 5 arrives "$(counter a wan0 ingress c4 sent_packets)"

check "qosd stops" stop_qosd a

# Where processors pick the queue a class cannot. /sys is one network namespace's: for this the router's own.
sed -i 's/ingress: {policy: spread, via: ifb}/egress: {policy: spread}/' "$policy"
if at router unshare -m sh -c 'mount -t sysfs none /sys; echo 1 >/sys/class/net/wan0/queues/tx-2/xps_cpus' 2>"$dir/xps"; then
	cat >"$dir/qosd-with-its-sys" <<-END
		#!/bin/sh
		exec unshare -m sh -c 'mount -t sysfs none /sys; exec "\$0" "\$@"' "$(realpath "$qosd")" "\$@"
	END
	chmod +x "$dir/qosd-with-its-sys"
	qosd=$dir/qosd-with-its-sys
	start_qosd a router
	check "with XPS qosd starts" equal $? 0
	check "with one tree, and says why" contains "$(ctl a show interfaces)" "one tree, since XPS picks"
	check "plan is empty with it" plan_is_empty a
	check "qosd stops again" stop_qosd a
else
	skip "one tree with XPS" "$(cat "$dir/xps")"
fi
finish
