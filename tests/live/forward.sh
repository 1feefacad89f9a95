#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Forwarding rules on a host with containers: every mode with TCP, UDP and ICMP over IPv4 and IPv6, with the stack's
# counters of forwarded packets as witness that it was not asked; devices that come and go; switches; counters.
#
#   out -- eth0 [host] v1 -- c1, v2 -- c2, tap0 -- cap; host's tun0
# shellcheck source=tests/live/lib.sh
. "$(dirname "$0")/lib.sh"
needs_root

netns host out c1 c2 cap
cable host eth0 out eth0
cable host tap0 cap tap0
address host eth0 10.0.0.1/24 fd00:9::1/64
address out eth0 10.0.0.2/24 fd00:9::2/64
ip -n "$prefix-out" route add 10.88.0.0/16 via 10.0.0.1
ip -n "$prefix-out" -6 route add fd00:88::/32 via fd00:9::1

container() # NUMBER: its cable, addresses and ways out
{
	behind host "v$1" "10.88.$1.1/24" "c$1" eth0 "10.88.$1.2/24" "fd00:88:$1::2/64"
	address host "v$1" "fd00:88:$1::1/64"
	ip -n "$prefix-c$1" -6 route add default via "fd00:88:$1::1"
}
container 1
container 2

# ---- who talks to whom ----

cat >"$dir/echo.py" <<-'END'
	# Answers on port 7; for each line of standard input, a word and addresses, a line says the word and what came of asking them: ok, or
	# why not.
	import select, socket, sys, threading

	PORT = 7

	def serve():
	    tcp = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
	    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
	    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
	    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
	    udp.bind(("::", PORT))
	    while True:
	        for s in select.select([tcp, udp], [], [])[0]:
	            if s is udp:
	                data, [(_, _, to)], _, peer = udp.recvmsg(65536, 64)
	                answer = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, to[:16] + bytes(4)
	                udp.sendmsg([data], [answer], 0, peer) # by the address that was asked
	            else:
	                c, _ = tcp.accept()
	                c.settimeout(10)
	                data = c.recv(65536)
	                while data:
	                    c.sendall(data)
	                    data = c.recv(65536)
	                c.close()

	def ask(address):
	    text, why = b"x" * 1000, None
	    family = socket.AF_INET6 if ":" in address else socket.AF_INET
	    for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
	        got = b""
	        for attempt in range(3):
	            s = socket.socket(family, kind)
	            s.settimeout(5)
	            try:
	                s.connect((address, PORT))
	                s.sendall(text)
	                got = s.recv(65536)
	                while kind == socket.SOCK_STREAM and len(got) < len(text):
	                    got += s.recv(65536)
	                break
	            except OSError as e:
	                why = e
	        if got != text:
	            return f"{address}: {kind} got {len(got)} bytes back: {why}"
	    return "ok"

	threading.Thread(target=serve, daemon=True).start()
	for line in sys.stdin:
	    word, *addresses = line.split()
	    said = "ok"
	    for address in addresses:
	        said = ask(address) if said == "ok" else said
	    print(word, said, flush=True)
END

# One process for all that a namespace says and answers, as to start one takes long where it is emulated.
declare -A ask_by said_by
talker() # NS
{
	local ask said
	mkfifo "$dir/ask-$1" "$dir/said-$1"
	exec {ask}<>"$dir/ask-$1" {said}<>"$dir/said-$1"
	ask_by[$1]=$ask
	said_by[$1]=$said
	at "$1" python3 "$dir/echo.py" <"$dir/ask-$1" >"$dir/said-$1" 2>"$dir/echo-$1.log" &
	within 60 listening "$1" -t "sport = :7" || { cat "$dir/echo-$1.log"; return 1; }
}
for ns in out c1 c2 cap; do
	talker "$ns"
done

talk() # NS ADDRESS..: TCP, UDP and ICMP
{
	local ns=$1 a word=$RANDOM$RANDOM of said
	shift
	echo "$word" "$@" >&"${ask_by[$ns]}"
	while read -r -t 60 of said <&"${said_by[$ns]}" && [ "$of" != "$word" ]; do
		said= # of an earlier question, whose answer came too late
	done
	[ "$said" = ok ] || { echo "${said:-nothing was said within a minute}"; return 1; }
	for a in "$@"; do
		at "$ns" ping -n -q -c 2 -i 0.2 -W 5 "$a" || return
	done
}

sysctls() # NS VALUE: forwarding of IPv4 and IPv6
{
	at "$1" sysctl -q -w "net.ipv4.ip_forward=$2" "net.ipv6.conf.all.forwarding=$2"
}

# Packets that the stack of the host has forwarded.
by_stack()
{
	# shellcheck disable=SC2016 # awk's
	at host awk '$1 == "Ip:" && $6 ~ /[0-9]/ { n += $7 } $1 == "Ip6OutForwDatagrams" { n += $2 } END { print n }' \
		/proc/net/snmp /proc/net/snmp6
}

# The command succeeds, and what the stack has forwarded is afterwards as much as before, or more.
stack_forwards() # -eq|-gt COMMAND..
{
	local than=$1 before after
	shift
	before=$(by_stack)
	"$@" || return
	after=$(by_stack)
	echo "the stack forwarded $((after - before)) packets"
	test "$after" "$than" "$before"
}

past_stack() # COMMAND..
{
	stack_forwards -eq "$@"
}

through_stack() # COMMAND..
{
	stack_forwards -gt "$@"
}

ctl_and_wait() # ARG..: and lets some packets come
{
	ctl q "$@" && sleep 0.3
}

rule() # NAME KEY: a counter of a rule; missed.REASON too, or "| FILTER"
{
	ctl q --json stats | jq --arg n "$1" ".forward[] | select(.name == \$n) $([[ $2 = "|"* ]] || echo "| .")$2 // 0"
}

missed_more() # RULE REASON COMMAND..: it is counted more often afterwards, whatever the command says
{
	local rule=$1 reason=$2 before
	shift 2
	before=$(rule "$rule" "missed.$reason")
	"$@"
	[ "$(rule "$rule" "missed.$reason")" -gt "$before" ]
}

state() # NAME: "away: down"
{
	ctl q --json show forward | jq -r --arg n "$1" '.forward[] | select(.name == $n) | .state + ": " + .why'
}

is_state() # NAME STATE
{
	equal "$(state "$1")" "$2"
}

daemon_dir q
cat >"$dir/q/qosd.yaml" <<-'END'
	version: 1
	sets:
	  one: {elements: [10.88.1.2, "fd00:88:1::2"]}
	  two: {elements: [10.88.2.2, "fd00:88:2::2"]}
	forward:
	  - {name: in1, on: eth0, match: [{dst: "@one"}], redirect: {mode: peer, dev: v1}}
	  - {name: in2, on: eth0, match: [{dst: "@two"}], redirect: {mode: peer, dev: v2}}
	  - {name: to2, on: v1, match: [{dst: "@two"}], redirect: {mode: peer, dev: v2}}
	  - {name: out1-v4, on: v1, match: [{family: ipv4, src: "@one"}],
	     redirect: {mode: neigh, dev: eth0, nexthop: 10.0.0.2}}
	  - {name: out1-v6, on: v1, match: [{family: ipv6, src: "@one"}],
	     redirect: {mode: neigh, dev: eth0, nexthop: "fd00:9::2"}}
	  - {name: to1, on: v2, match: [{dst: "@one"}], redirect: {mode: neigh, dev: v1}}
	  - {name: out2, on: v2, match: [{src: "@two"}], redirect: {mode: neigh, dev: eth0}}
END
check "qosd starts" start_qosd q host
check "a plan is empty at once" plan_is_empty q
check "capabilities say which modes the kernel has" jq -e '[.capabilities[] | select(.capability | test("redirect"))] |
	length == 4 and all(.has and .how == "loaded a program that calls it")' <(ctl q --json show capabilities)

sysctls host 0
check "NIC to container by peer, back by neigh with a next hop, ip_forward=0" past_stack talk out 10.88.1.2 fd00:88:1::2
check "and the other way round" past_stack talk c1 10.0.0.2 fd00:9::2
sysctls host 1
at out ping -n -q -c 1 -W 2 10.0.0.1 >/dev/null
talk out 10.88.2.2 fd00:88:2::2 >/dev/null 2>&1 # neighbours are known from here on
talk c1 10.88.2.2 fd00:88:2::2 >/dev/null 2>&1
check "NIC to container by peer, back by neigh as the routes say" past_stack talk out 10.88.2.2 fd00:88:2::2
check "container to container by peer, back by neigh" past_stack talk c1 10.88.2.2 fd00:88:2::2

# ---- counters: what a capture in the container saw ----

cat >"$dir/count.py" <<-'END'
	# Counts what arrives on an interface for UDP port 9, as a capture sees it, until a packet says END.
	import socket, sys
	taker = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
	taker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
	taker.bind(("", 9))
	s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
	s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20) # SO_RCVBUFFORCE: no packet may be missed
	s.bind((sys.argv[1], 0))
	s.settimeout(15)
	print("ready", file=sys.stderr, flush=True)
	packets = size = 0
	while True:
	    data, (_, _, kind, _, _) = s.recvfrom(65536)
	    v4 = data[12:14] == b"\x08\x00"
	    udp = 34 if v4 else 54
	    if kind == 4 or not v4 and data[12:14] != b"\x86\xdd" or data[23 if v4 else 20] != 17:
	        continue
	    if data[udp + 2:udp + 4] != b"\x00\x09":
	        continue
	    if data[udp + 8:udp + 11] == b"END":
	        break
	    packets += 1
	    size += len(data)
	print(packets, size)
END
cat >"$dir/send.py" <<-'END'
	# 200 datagrams of many sizes, or 20 of 10 segments each (UDP_SEGMENT), and one that says END. A refusal is no loss: it is told
	# instead of a send.
	import socket, sys
	def send(data):
	    try:
	        s.send(data)
	    except ConnectionRefusedError:
	        send(data)
	s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
	s.connect((sys.argv[1], 9))
	if sys.argv[2] == "gso":
	    s.setsockopt(socket.IPPROTO_UDP, 103, 1000)
	    sizes = [10000] * 20
	else:
	    sizes = range(100, 1100, 5)
	for n in sizes:
	    send(bytes(n))
	if sys.argv[2] == "gso":
	    s.setsockopt(socket.IPPROTO_UDP, 103, 0)
	send(b"END")
END

# What a rule counted of 200 packets is what a capture saw, but for END itself.
counted() # plain|gso RULE FROM ADDRESS AT INTERFACE
{
	local before after saw counter end=45
	[[ $4 != *:* ]] || end=65
	rm -f "$dir/ready"
	at "$5" python3 "$dir/count.py" "$6" >"$dir/saw" 2>"$dir/ready" &
	counter=$!
	within 30 grep -q ready "$dir/ready"
	before=$(rule "$2" '| "\(.packets) \(.kernel_packets) \(.kernel_bytes)"')
	at "$3" python3 "$dir/send.py" "$4" "$1"
	wait "$counter"
	after=$(rule "$2" '| "\(.packets) \(.kernel_packets) \(.kernel_bytes)"')
	saw=$(<"$dir/saw")
	echo "before $before after $after saw $saw"
	# shellcheck disable=SC2086 # three numbers each
	set -- "$end" ${before//\"/} ${after//\"/}
	equal "$(($5 - $2 - 1)) $(($6 - $3 - 1)) $(($7 - $4 - $1))" "200 $saw"
}

check "counters are what a capture in the container saw" counted plain in1 out 10.88.1.2 c1 eth0
check "and of merged packets" counted gso in1 out 10.88.1.2 c1 eth0
check "of IPv6" counted gso in1 out fd00:88:1::2 c1 eth0
check "of mode neigh" counted plain out1-v4 c1 10.0.0.2 out eth0
check "of mode neigh, merged, IPv6" counted gso out1-v6 c1 fd00:9::2 out eth0
check "the host's side of the pair shows what the kernel does not count" \
	jq -e '.interfaces[] | select(.interface == "v1") | .unseen == ["tx"] and .tx_packets > .kernel_tx_packets + 200' \
	<(ctl q --json stats interfaces)
check "what was handed to it is what the rules that lead there handed on" \
	equal "$(ctl q --json stats interfaces | jq '.interfaces[] | select(.interface == "v1") | .forwarded_packets')" \
	"$(ctl q --json stats | jq '[.forward[] | select(.dev == "v1") | .kernel_packets] | add')"

# ---- switches, under traffic ----

# Not by at: what is told to end would be its subshell.
nsenter --net="/run/netns/$prefix-out" ping -n -i 0.01 -w 300 -W 2 10.88.2.2 >"$dir/ping" &
pinging=$!
check "switched off, packets take the stack's way" through_stack ctl_and_wait forward off
check "the rules say so" is_state in2 "off: qosctl forward off"
ctl q forward on >/dev/null
sleep 0.2
check "switched on, they do not" past_stack sleep 0.3
check "one rule alone can be off" through_stack ctl_and_wait forward off in2
check "to switch all on leaves it off, and says so" contains "$(ctl q forward on 2>&1)" 'rule in2 is still off: qosctl forward on in2'
check "it is" is_state in2 "off: qosctl forward off"
check "by itself it is switched on, and nothing is left to be said" fails contains "$(ctl q forward on in2 2>&1; ctl q forward on 2>&1)" off
sleep 0.5
kill -INT "$pinging"
wait "$pinging"
# The last may be on its way when ping is ended; of all up to the last answer there is one.
no_loss()
{
	local answers last
	answers=$(grep -c ' icmp_seq=' "$dir/ping")
	last=$(sed -n 's/.* icmp_seq=\([0-9]*\) .*/\1/p' "$dir/ping" | sort -n | tail -n 1)
	echo "$answers answers up to number $last"
	[ "$answers" -gt 100 ] && equal "$answers" "$last"
}
check "no packet was lost by that" no_loss

# ---- the daemon dies; the policy's own switch ----

one_ping() # NS ADDRESS
{
	at "$1" ping -n -q -c 2 -i 0.1 -W 5 "$2"
}
ctl q forward off in1 >/dev/null
kill9_qosd q
check "while the daemon is dead the fast path works" past_stack one_ping out 10.88.2.2
check "and what was switched off is" through_stack one_ping out 10.88.1.2
check "it starts again" start_qosd q host
check "the rule is still off" is_state in1 "off: qosctl forward off"
check "its packets go through the stack" through_stack one_ping out 10.88.1.2
check "those of the others do not" past_stack one_ping out 10.88.2.2
ctl q forward on in1 >/dev/null
check "switched on, they do not either" past_stack one_ping out 10.88.1.2

fast_path() # on|off: by a reload
{
	sed -i "s/^version: 1/&\nsettings: {fast-path: $1}/; /^settings:/d" "$dir/q/qosd.yaml"
	ctl q reload
}
check "the policy can switch all off" through_stack eval 'fast_path off && one_ping out 10.88.2.2'
check "and the rules say so" is_state in2 "off: settings: fast-path: off"
check "and on again" past_stack eval 'fast_path on && one_ping out 10.88.2.2'

# ---- a reload that leads a rule elsewhere ----

cat >"$dir/pour.py" <<-'END'
	# Empty datagrams to an address, until it is ended.
	import socket, sys
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	while True:
	    s.sendto(b"", (sys.argv[1], 9))
END

elsewhere_policy() # ADDRESS DEVICE
{
	cat >"$dir/q/elsewhere.yaml" <<-END
		version: 1
		forward: [{name: in1, on: eth0, match: [{dst: $1}], redirect: {mode: peer, dev: $2}}]
	END
	mv "$dir/q/elsewhere.yaml" "$dir/q/qosd.yaml"
	ctl q reload >/dev/null
}

strays() # packets that c2 got and that are not its own
{
	# shellcheck disable=SC2016 # awk's
	at c2 awk '$1 == "Ip:" && $6 ~ /[0-9]/ { print $6 }' /proc/net/snmp
}

# While c1 is flooded. The rule is off at the end, which a rule of its name stays.
never_to_c2()
{
	local before pouring poured i bad=0 rounds=15 least=1000
	is_emulated && rounds=4 least=100
	before=$(strays)
	poured=$(rule in1 packets)
	nsenter --net="/run/netns/$prefix-out" python3 "$dir/pour.py" 10.88.1.2 & # not by at, whose shell would be who is ended
	pouring=$!
	for ((i = 0; i < rounds; i++)); do
		elsewhere_policy 10.88.1.2 v1 && elsewhere_policy 10.88.2.2 v2 || bad=1
	done
	ctl q forward off in1 >/dev/null
	elsewhere_policy 10.88.1.2 v1
	poured=$(($(rule in1 packets) - poured))
	kill "$pouring"
	wait "$pouring"
	echo "c1 got $poured packets"
	[ "$bad" = 0 ] && [ "$poured" -gt "$least" ] && equal "$(strays)" "$before"
}

cp "$dir/q/qosd.yaml" "$dir/q/first"
check "a rule that leads to another container takes nobody else's packets there" never_to_c2
check "it is as off as it was" is_state in1 "off: qosctl forward off"
ctl q forward on in1 >/dev/null
cp "$dir/q/first" "$dir/q/qosd.yaml"
check "and back" ctl q reload

# ---- devices that come and go ----

address c1 eth0 10.88.1.77/24
check "what is in no set takes the stack's way" through_stack talk out 10.88.1.77
ctl q set one add 10.88.1.77 >/dev/null
check "a live edit of the set brings a new container in" past_stack talk out 10.88.1.77
ip -n "$prefix-c2" link set eth0 down
check "a peer that is down: away" within 20 is_state in2 "away: no carrier"
check "and its packets are counted as missed" missed_more in2 device_away at out ping -n -q -c 1 -W 1 10.88.2.2
check "at the interface too, where all rules that lead there are one" \
	equal "$(ctl q --json stats interfaces | jq '.interfaces[] | select(.interface == "v2") | .missed.device_away')" \
	"$(ctl q --json stats | jq '[.forward[] | select(.dev == "v2") | .missed.device_away // 0] | add')"
check "for people in words" contains "$(ctl q stats interfaces)" '^ *v2 .* device_away [1-9]'
ip -n "$prefix-c2" link set eth0 up
ip -n "$prefix-c2" route replace default via 10.88.2.1
ip -n "$prefix-c2" address replace fd00:88:2::2/64 dev eth0 nodad
ip -n "$prefix-c2" -6 route replace default via fd00:88:2::1
check "and up again" within 20 is_state in2 "on: "
ip -n "$prefix-host" link set v2 down
ip -n "$prefix-host" link set v2 name w2
check "renamed: not there" within 20 is_state in2 "away: not there"
ip -n "$prefix-host" link set w2 name v2
ip -n "$prefix-host" link set v2 up
ip -n "$prefix-host" address replace fd00:88:2::1/64 dev v2 nodad
check "and back" within 20 is_state in2 "on: "
talk out 10.88.2.2 >/dev/null 2>&1
check "it works as before" past_stack talk out 10.88.2.2
ip -n "$prefix-host" link del v2
check "deleted: not there" within 20 is_state in2 "away: not there"
container 2
check "made again under the same name" within 20 is_state in2 "on: "
talk out 10.88.2.2 fd00:88:2::2 >/dev/null 2>&1
check "traffic takes the fast path again, both ways" past_stack talk out 10.88.2.2 fd00:88:2::2
check "its counters are those of the new device" jq -e \
	'.interfaces[] | select(.interface == "v2") | .tx_packets > .kernel_tx_packets and .tx_packets < 200' \
	<(ctl q --json stats interfaces)
ip -n "$prefix-host" link set v2 netns "$prefix-cap"
check "the host's end moved to another namespace: not there" within 20 is_state in2 "away: not there"
check "and packets are counted as missed" missed_more in2 device_away at out ping -n -q -c 1 -W 1 10.88.2.2
ip -n "$prefix-cap" link set v2 netns "$prefix-host"
ip -n "$prefix-host" link set v2 up
address host v2 10.88.2.1/24 fd00:88:2::1/64
check "and back again" within 20 is_state in2 "on: "
ip -n "$prefix-c2" link set eth0 down # or older kernels give it no other name
ip -n "$prefix-c2" link set eth0 name was2
ip -n "$prefix-c2" link set was2 netns "$prefix-host"
ip -n "$prefix-host" link set was2 up
check "moved to the namespace of the host: no peer to hand packets to" \
	within 20 is_state in2 "away: no peer in another namespace"
check "and packets are counted as missed" missed_more in2 no_peer at out ping -n -q -c 1 -W 1 10.88.2.2
check "a plan is empty after all that" plan_is_empty q
check "reload says so too" contains "$(ctl q reload 2>&1)" 'no-peer'

# ---- the other modes: a mirror, layer 2, tunnels, a loop ----

cat >"$dir/q/qosd.yaml" <<-'END'
	version: 1
	forward:
	  - {name: mirror, on: eth0, match: [{dst: [10.88.1.2, "fd00:88:1::2"]}], redirect: {mode: clone, dev: tap0}}
	  - {name: in1, on: eth0, match: [{dst: [10.88.1.2, "fd00:88:1::2"]}], redirect: {mode: peer, dev: v1}}
	  - {name: tun-tun, on: tun0, match: [{dst: 10.78.0.2}], redirect: {mode: neigh, dev: tun1}}
	  - {name: tun-back, on: tun1, match: [{dst: 10.77.0.2}], redirect: {mode: neigh, dev: tun0}}
	  - {name: tun-in, on: tun0, match: [{dst: 10.88.1.2}, {dst: "fd00:88:1::2"}], redirect: {mode: peer, dev: v1}}
	  - {name: tun-out, on: v1, match: [{dst: 10.77.0.2}, {dst: "fd00:77::2"}], redirect: {mode: neigh, dev: tun0}}
	  - {name: l2, on: v1, match: [{dst: 10.66.0.1}], redirect: {mode: egress, dev: tap0}}
	  - {name: as-received, on: v1, match: [{dst: 10.66.0.2}], redirect: {mode: ingress, dev: tap0}}
	  - {name: round, on: v1, match: [{dst: 10.66.0.3}], redirect: {mode: ingress, dev: tap0}}
	  - {name: and-round, on: tap0, match: [{dst: 10.66.0.3}], redirect: {mode: ingress, dev: v1}}
	  - {name: l2-there, on: v1, match: [{dst: [10.66.1.2, "fd00:66:1::2"]}], redirect: {mode: egress, dev: tap0}}
	  - {name: l2-back, on: tap0, match: [{dst: [10.66.1.1, "fd00:66:1::1"]}], redirect: {mode: egress, dev: v1}}
	  - {name: leaving, on: eth0, hook: egress, match: [{dst: 10.67.0.8}], redirect: {mode: egress, dev: tap0}}
	  - {name: new-hop, on: v1, match: [{dst: 10.67.0.1}], redirect: {mode: neigh, dev: eth0, nexthop: 10.0.0.3}}
	  - {name: dead-hop, on: v1, match: [{dst: 10.67.0.2}], redirect: {mode: neigh, dev: eth0, nexthop: 10.0.0.99}}
	  - {name: elsewhere, on: v1, match: [{dst: 10.67.0.3}], redirect: {mode: peer, dev: nowhere}}
	  - {name: received, on: v1, match: [{dst: [10.67.0.4, "fd00:67::4"]}], redirect: {mode: ingress, dev: tap0}}
	  - {name: unresolved, on: v1, match: [{dst: 10.67.0.5}], redirect: {mode: neigh, dev: eth0, nexthop: 10.0.0.99},
	     on-miss: drop}
	  - {name: gone, on: v1, match: [{dst: 10.67.0.6}], redirect: {mode: egress, dev: nowhere}, on-miss: drop}
	  - {name: unseen-hop, on: v1, match: [{dst: 10.66.0.6}], redirect: {mode: neigh, dev: eth0, nexthop: "fe80::9"}}
END
check "reload warns of the loop" contains "$(ctl q reload 2>&1)" 'forward-loop'
check "of a link-local next hop the rule says what is not seen" \
	within 20 is_state unseen-hop "on: the next hop is link-local: nobody sees whether it answers"
packets() # NS IFNAME rx|tx
{
	ip -n "$prefix-$1" -j -s link show "$2" | jq ".[0].stats64.$3.packets"
}

copied()
{
	local before after
	before=$(packets cap tap0 rx)
	at out ping -n -q -c 5 -i 0.05 -W 2 10.88.1.2 || return
	after=$(packets cap tap0 rx)
	echo "copies: $((after - before))"
	[ $((after - before)) -ge 5 ] && equal "$(rule mirror packets)" 5
}
check "a mirror has a copy of each packet, which goes on" copied
# UDP, TCP and ICMP: every packet that is handed on to c1 is copied, and the copies arrive.
all_copied() # ADDRESS
{
	local mirrored handed arrived
	mirrored=$(rule mirror packets) handed=$(rule in1 packets) arrived=$(packets cap tap0 rx)
	talk out "$1" || return
	mirrored=$(($(rule mirror packets) - mirrored)) handed=$(($(rule in1 packets) - handed))
	arrived=$(($(packets cap tap0 rx) - arrived))
	echo "handed on $handed, copied $mirrored, arrived $arrived"
	[ "$mirrored" -ge 7 ] && equal "$mirrored" "$handed" && [ "$arrived" -ge "$mirrored" ]
}
check "of TCP and UDP too" all_copied 10.88.1.2
check "and of IPv6" all_copied fd00:88:1::2
check "its counters are what a capture there saw" counted plain mirror out 10.88.1.2 cap tap0
check "of merged packets of IPv6" counted gso mirror out fd00:88:1::2 cap tap0

# Frames that are addressed by who sends them.
mac() # NS IFNAME
{
	ip -n "$prefix-$1" -j link show "$2" | jq -r '.[0].address'
}
address c1 eth0 10.66.1.1/24 fd00:66:1::1/64
ip -n "$prefix-c1" -6 route replace default via fd00:88:1::1 src fd00:88:1::2 # elsewhere by this one still
address cap tap0 10.66.1.2/24 fd00:66:1::2/64
for a in 10.66.1. fd00:66:1::; do
	ip -n "$prefix-c1" neighbour replace "${a}2" lladdr "$(mac cap tap0)" dev eth0
	ip -n "$prefix-cap" neighbour replace "${a}1" lladdr "$(mac c1 eth0)" dev tap0
done
check "layer 2: from one container to another and back" past_stack talk c1 10.66.1.2 fd00:66:1::2

# ---- what the stack goes on with, and what it leaves by ----

address out eth0 10.0.0.3/24
address out lo 10.67.0.{1..6}/32 fd00:67::4/128
ip -n "$prefix-host" route add 10.67.0.0/24 via 10.0.0.2
ip -n "$prefix-host" -6 route add fd00:67::/64 via fd00:9::2
new_hop()
{
	at c1 ping -n -q -c 10 -i 0.1 -W 5 10.67.0.1 && between "$(rule new-hop packets)" 5 10
}
check "a next hop that no route has is asked for, and packets go there" new_hop
check "on-miss: pass: where the next hop does not answer, the stack's does" 	through_stack at c1 ping -n -q -c 10 -i 0.1 -W 2 10.67.0.2
check "and that is counted" between "$(rule dead-hop missed.neighbour_unknown)" 10 10
check "on-miss: pass: where the device is not, the stack goes on" through_stack talk c1 10.67.0.3
check "and that is counted" between "$(rule elsewhere missed.device_away)" 5 1000
check "as if it had been received elsewhere: the stack goes on with TCP, UDP and IPv6" 	through_stack talk c1 10.67.0.4 fd00:67::4
check "which was by the rule" between "$(rule received packets)" 10 1000
check "on the way out, by another device" counted plain leaving c1 10.67.0.8 cap tap0

# One packet of c1 to the address; a counter of a rule must rise.
one_to() # ADDRESS RULE KEY
{
	local before
	before=$(rule "$2" "$3")
	at c1 ping -n -q -c 1 -W 1 "$1"
	[ "$(rule "$2" "$3")" -gt "$before" ]
}
check "layer 2: a frame leaves by the other device" one_to 10.66.0.1 l2 packets
check "as if it had been received there" one_to 10.66.0.2 as-received packets
check "that is not in the kernel's counters, but in ours" \
	jq -e '.interfaces[] | select(.interface == "tap0") | .unseen == ["rx"] and .rx_packets > .kernel_rx_packets' \
	<(ctl q --json stats interfaces)
goes_round()
{
	one_to 10.66.0.3 round packets && [ $(($(rule round missed.loop) + $(rule and-round missed.loop))) -ge 1 ]
}
check "a loop is cut off and counted" goes_round

# Packets of c1 are dropped and counted, and not forwarded by the stack, which does so while the rule is off. Three, as with
# on-miss: pass the first would be held, too, until the neighbour answers.
dropped() # ADDRESS RULE REASON
{
	local before
	before=$(rule "$2" "missed.$3")
	past_stack fails at c1 ping -n -q -c 3 -i 0.1 -W 1 "$1" || return
	[ "$(rule "$2" "missed.$3")" -gt "$before" ] || return
	ctl q forward off "$2" >/dev/null
	through_stack at c1 ping -n -q -c 1 -W 5 "$1" || return
	ctl q forward on "$2" >/dev/null
}
check "on-miss: drop: a neighbour that does not answer" dropped 10.67.0.5 unresolved neighbour_unknown
check "and a device that never was" dropped 10.67.0.6 gone device_away

cat >"$dir/wire.py" <<-'END'
	# wire.py NAMESPACE IFNAME: between the devices of that name in this namespace and that one, until it is ended.
	import ctypes, fcntl, os, select, struct, sys

	def attach():
	    tun = os.open("/dev/net/tun", os.O_RDWR)
	    fcntl.ioctl(tun, 0x400454ca, struct.pack("16sH22x", sys.argv[2].encode(), 0x1001))
	    return tun

	here = attach()
	if ctypes.CDLL(None, use_errno=True).setns(os.open(sys.argv[1], os.O_RDONLY), 0x40000000):
	    sys.exit("setns")
	there = attach()
	while True:
	    for tun in select.select([here, there], [], [])[0]:
	        try:
	            os.write(here if tun == there else there, os.read(tun, 65536))
	        except OSError: # an end is down
	            pass
END

# A namespace at the other end of a tunnel, a pair of devices without Ethernet headers.
tunnel() # IFNAME NUMBER NS
{
	netns "$3"
	ip -n "$prefix-host" tuntap add dev "$1" mode tun 2>/dev/null || return
	ip -n "$prefix-$3" tuntap add dev "$1" mode tun
	ip -n "$prefix-host" link set "$1" up
	ip -n "$prefix-$3" link set "$1" up
	address host "$1" "10.$2.0.1/24" "fd00:$2::1/64"
	address "$3" "$1" "10.$2.0.2/24" "fd00:$2::2/64"
	ip -n "$prefix-$3" route add default dev "$1"
	ip -n "$prefix-$3" -6 route add default dev "$1"
	at host python3 "$dir/wire.py" "/run/netns/$prefix-$3" "$1" &
}

hops() # NS ADDRESS: what is left of 64 when the answer has come
{
	at "$1" ping -n -c 1 -W 5 "$2" | sed -n 's/.* ttl=\([0-9]*\) .*/\1/p'
}

# By neigh and not by the stack, and each packet is what it is: 84 bytes.
between_tunnels()
{
	past_stack at far ping -n -q -c 3 -i 0.1 -W 5 10.78.0.2 && equal "$(rule tun-tun '| "\(.packets) \(.kernel_bytes)"')" '"3 252"'
}

if [ -c /dev/net/tun ] && tunnel tun0 77 far && tunnel tun1 78 farther; then
	within 20 is_state tun-out "on: "
	within 20 is_state tun-tun "on: "
	talker far
	at farther ping -n -q -c 1 -W 5 10.78.0.1 >/dev/null
	check "tunnel to container by peer, back by neigh" past_stack talk far 10.88.1.2 fd00:88:1::2
	check "and the other way round" past_stack at c1 ping -n -q -c 2 -i 0.2 -W 5 fd00:77::2
	check "each is a hop" equal "$(hops far 10.88.1.2) $(hops far fd00:88:1::2)" "63 63"
	check "from one tunnel to another" between_tunnels
else
	skip "tunnel to container by peer, back by neigh, hops counted" "the kernel has no tun (CONFIG_TUN)"
fi

# ---- IPv4 by way of IPv6, and what the policy drops ----

address out lo 10.99.0.2/32
ip -n "$prefix-host" route add 10.99.0.0/24 via inet6 fd00:9::2 dev eth0
cat >"$dir/q/qosd.yaml" <<-'END'
	version: 1
	policies:
	  tight:
	    type: police
	    default: pass
	    classes: [{name: few, rate: 8kbit, burst: 70kb, match: [{proto: udp, dport: 9}]}]
	interfaces:
	  eth0: {side: wan, ingress: {policy: tight}}
	forward:
	  - {name: by-v6, on: v1, match: [{dst: 10.99.0.2}], redirect: {mode: neigh, dev: eth0}}
	  - {name: in1, on: eth0, match: [{dst: 10.88.1.2}], redirect: {mode: peer, dev: v1}}
END
ctl q reload >/dev/null 2>&1
at host ping -n -q -c 1 -W 5 fd00:9::2 >/dev/null
check "IPv4 by way of an IPv6 next hop, as the route says" past_stack at c1 ping -n -q -c 3 -i 0.1 -W 2 10.99.0.2

policed() # of 200 packets the policy drops some, and the rule hands on the rest
{
	local rule_before class_before drops_before drops
	rule_before=$(rule in1 packets)
	class_before=$(counter q eth0 ingress few packets)
	drops_before=$(counter q eth0 ingress few drop_packets)
	udp_send out 10.88.1.2 9 200 1000
	drops=$(($(counter q eth0 ingress few drop_packets) - drops_before))
	echo "class: $(($(counter q eth0 ingress few packets) - class_before)), dropped $drops, handed on $(($(rule in1 packets) - rule_before))"
	equal "$(($(counter q eth0 ingress few packets) - class_before))" 200 && between "$drops" 100 160 &&
		equal "$(($(rule in1 packets) - rule_before))" "$((200 - drops))"
}
check "what the policy of the interface drops is not handed on, what it lets pass is" policed

# ---- VLAN ----

if has_vlan; then
	ip -n "$prefix-host" link add link eth0 name eth0.5 type vlan id 5
	ip -n "$prefix-out" link add link eth0 name eth0.5 type vlan id 5
	ip -n "$prefix-host" link set eth0.5 up
	ip -n "$prefix-out" link set eth0.5 up
	address host eth0.5 10.5.0.1/24 fd00:5::1/64
	address out eth0.5 10.5.0.2/24 fd00:5::2/64
	ip -n "$prefix-out" route replace 10.88.0.0/16 via 10.5.0.1
	ip -n "$prefix-out" -6 route replace fd00:88::/32 via fd00:5::1
	cat >"$dir/q/qosd.yaml" <<-'END'
		version: 1
		forward:
		  - {name: trunk, on: eth0, match: [{vlan: 5, dst: [10.88.1.2, "fd00:88:1::2"]}], redirect: {mode: peer, dev: v1}}
		  - {name: back, on: v1, match: [{dst: [10.5.0.2, "fd00:5::2"]}], redirect: {mode: neigh, dev: eth0.5}}
	END
	ctl q reload >/dev/null
	talk out 10.88.1.2 fd00:88:1::2 >/dev/null 2>&1
	check "VLAN to untagged and back" past_stack talk out 10.88.1.2 fd00:88:1::2
else
	skip "VLAN to untagged and back" "the kernel has no VLAN (CONFIG_VLAN_8021Q)"
fi

# ---- netkit: pairs without addresses of the link layer, or with them ----

over_netkit() # MODE NUMBER
{
	netns "k$2" || return
	at host python3 "$(dirname "$0")/netkit.py" "nk$2" nkpeer "$1" || return
	ip -n "$prefix-host" link set nkpeer netns "$prefix-k$2" name eth0
	ip -n "$prefix-host" link set "nk$2" up
	ip -n "$prefix-k$2" link set eth0 up
	address host "nk$2" "10.88.$2.1/24" "fd00:88:$2::1/64"
	address "k$2" eth0 "10.88.$2.2/24" "fd00:88:$2::2/64"
	ip -n "$prefix-k$2" route add default via "10.88.$2.1"
	ip -n "$prefix-k$2" -6 route add default via "fd00:88:$2::1"
	talker "k$2" || return
	ip -n "$prefix-out" route replace 10.88.0.0/16 via 10.0.0.1
	ip -n "$prefix-out" -6 route replace fd00:88::/32 via fd00:9::1
	cat >"$dir/q/qosd.yaml" <<-END
		version: 1
		forward:
		  - {name: in, on: eth0, match: [{dst: [10.88.$2.2, "fd00:88:$2::2"]}], redirect: {mode: peer, dev: nk$2}}
		  - {name: out, on: nk$2, match: [{dst: [10.0.0.2, "fd00:9::2"]}], redirect: {mode: neigh, dev: eth0}}
	END
	ctl q reload || return
	talk out "10.88.$2.2" "fd00:88:$2::2" >/dev/null 2>&1 # neighbours are known from here on
	past_stack talk out "10.88.$2.2" "fd00:88:$2::2" && [ "$(rule in packets)" -ge 20 ] && [ "$(rule out packets)" -ge 20 ]
}

status=0
at host python3 "$(dirname "$0")/netkit.py" nkprobe nkother l3 >"$dir/netkit" 2>&1 || status=$?
if [ "$status" -eq 77 ]; then
	skip "netkit" "the kernel has no netkit (CONFIG_NETKIT)"
else
	ip -n "$prefix-host" link del nkprobe 2>/dev/null
	check "NIC to container by the peer of a netkit device of layer 3, and back by neigh" over_netkit l3 3
	check "NIC to container by the peer of a netkit device of layer 2, and back by neigh" over_netkit l2 4
fi
finish
