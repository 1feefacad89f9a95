#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Pacing: TCP and UDP get the rate they have, marks instead of losses, a reload under traffic, fq taken away; and on a kernel
# without fq an error, or policing.
#
# measures closely
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
netns left router right
behind router in0 10.1.0.2/24 left eth0 10.1.0.1/24
# One queue: elsewhere there may be as many as processors.
queues=1 behind router out0 10.2.0.2/24 right eth0 10.2.0.1/24
ip link add name multi0 netns "$prefix-router" numtxqueues 4 type veth peer name multi1 netns "$prefix-router" numtxqueues 4

policy=$dir/a/qosd.yaml
daemon_dir a
cat >"$policy" <<'END'
version: 1
policies:
  pace:
    type: edt
    engine: fq
    default: rest
    classes:
      - {name: one, rate: 1mbit, match: [{dport: 5201}]}
      - {name: ten, rate: 10mbit, match: [{dport: 5202}]}
      - {name: fifty, rate: 50mbit, match: [{dport: 5203}]}
      - {name: rest, rate: 5mbit}
interfaces:
  out0: {egress: {policy: pace}}
  multi0: {egress: {policy: pace}}
END

goodput() # PORT
{
	tcp_kbit left right 10.2.0.1 10 "$1"
}

# ---- a kernel without fq ----

if ! has_qdisc fq; then
	check "without fq qosd does not start" exits 6 start_qosd a router
	check "and says what is missing, and where" contains "$(cat "$dir/a/log")" "qosd.yaml:5:13: error:.*CONFIG_NET_SCH_FQ"
	sed -i 's/engine: fq/engine: auto/' "$policy"
	start_qosd a router
	check "with engine auto it does" equal $? 0
	check "and says that nothing is delayed" contains "$(cat "$dir/a/log")" "CONFIG_NET_SCH_FQ.*dropped, not delayed"
	check "so does show interfaces" contains "$(ctl a show interfaces)" "auto: this kernel has no sch_fq"
	check "TCP at 10 Mbit/s gets 90 to 100 % of it" between "$(goodput 5202)" 9000 10000
	skip "pacing" "the kernel has no sch_fq (CONFIG_NET_SCH_FQ)"
	finish
fi

# ---- fq where it belongs ----

start_qosd a router
check "qosd starts" equal $? 0
root()
{
	at router tc qdisc show dev out0 root
}
check "fq is the root, flows apart" contains "$(root)" "qdisc fq 5100: root .*buckets 32768 orphan_mask 1048575"
check "and nobody waits longer in it than the horizon" contains "$(root)" "horizon 50ms horizon_cap"
check "a device with queues has one under each" equal "$(at router tc qdisc show dev multi0 | grep -c 'qdisc fq 510[1-4]: parent 5100:[1-4] ')" 4
check "plan is empty" plan_is_empty a

# ---- rates ----

at left sysctl -qw net.ipv4.tcp_ecn=0
check "TCP at 1 Mbit/s gets 91 to 96 % of it" between "$(goodput 5201)" 910 960
check "TCP at 10 Mbit/s gets 91 to 96 % of it" between "$(goodput 5202)" 9100 9600
check "TCP at 50 Mbit/s gets 91 to 96 % of it" between "$(goodput 5203)" 45500 48000
check "what waits is seen to wait" between "$(counter a out0 egress ten delay_us)" 1000 50000
check "nobody who does not want marks has one" equal "$(counter a out0 egress ten mark_packets)" 0
lost=$(counter a out0 egress ten drop_packets)
check "but losses" between "$lost" 1 100000

# Marks come at a tenth of the horizon; a machine that dozes longer than that leaves the line idle.
at left sysctl -qw net.ipv4.tcp_ecn=1
at right sysctl -qw net.ipv4.tcp_ecn=1
check "with ECN TCP gets most of its rate" between "$(tcp_kbit left right 10.2.0.1 5 5202)" 6000 9600
check "and marks" between "$(counter a out0 egress ten mark_packets)" 10 1000000
check "and hardly a loss more" between "$(($(counter a out0 egress ten drop_packets) - lost))" 0 $((lost / 2 + 20))

# On the wire, Ethernet headers and all, measured where it arrives.
wire_kbit() # SECONDS
{
	at right python3 - "$1" <<-'END'
		import sys, time
		def look():
		    with open("/proc/net/dev") as f:
		        line = next(l for l in f if l.strip().startswith("eth0:"))
		    return time.monotonic(), int(line.split(":")[1].split()[0])
		begin, before = look()
		time.sleep(float(sys.argv[1]))
		end, after = look()
		print(round((after - before) * 8 / (end - begin) / 1000))
	END
}
# UDP, twice the rate of the default class.
flood() # SECONDS
{
	at left timeout $(($1 + 20)) python3 - "$1" <<-'END' &
		import socket, sys, time
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		begin = time.monotonic()
		sent = passed = 0
		while passed < int(sys.argv[1]):
		    passed = time.monotonic() - begin
		    for i in range(min(int(passed * 900) - sent, 100)):
		        s.sendto(bytes(1400), ("10.2.0.1", 5204))
		        sent += 1
		    time.sleep(0.002)
	END
	flooding=$!
	sleep 1
}
# With a horizon that a machine may doze for: this is about the clock.
sed -i 's/    engine: fq/&\n    horizon: 300ms/' "$policy"
check "a longer horizon is one more line" exits 0 ctl a reload
check "fq holds more packets for it" contains "$(root)" "horizon 300ms"
flood 10
check "UDP gets the rate on the wire within 1 %" between "$(wire_kbit 6)" 4950 5050
kill "$flooding" 2>/dev/null
check "what is dropped is counted as beyond the horizon" \
	between "$(counter a out0 egress rest horizon_drop_packets)" 10 1000000

# A clock that a reload sets back would send a horizon's worth more each time.
flood 12
wire_kbit 8 >"$dir/rate" &
measuring=$!
reloads=0
while kill -0 "$measuring" 2>/dev/null && [ "$reloads" -lt 20 ]; do
	sed -i "s/name: fifty, rate: [0-9]*mbit/name: fifty, rate: $((50 + reloads % 3))mbit/" "$policy"
	sed -i "s/dport: 5203/dport: 5300/; s/dport: 53[0-9]*/dport: $((5300 + reloads))/" "$policy"
	ctl a reload >/dev/null && reloads=$((reloads + 1))
	sleep 0.1
done
wait "$measuring"
kill "$flooding" 2>/dev/null
check "reloads of rates and rules under traffic" between "$reloads" 3 20
check "leave its clock alone" between "$(cat "$dir/rate")" 4925 5075

sed -i 's/name: rest, rate: 5mbit/name: rest, rate: 3mbit/' "$policy"
flood 7
check "a rate is changed in place" contains "$(ctl a reload)" '~ entry hooks/out0-egress/conf class [0-9]+ edt rate 3mbit'
sleep 1 # what was stamped before goes by what it was told
check "and holds for all that comes" between "$(wire_kbit 4)" 2970 3030
kill "$flooding" 2>/dev/null

# ---- fq taken away ----

at router tc qdisc delete dev out0 root
check "without its fq plan puts it back" contains "$(ctl a plan)" '^\+ qdisc dev out0 root handle 5100: fq'
check "show interfaces tells" contains "$(ctl a show interfaces)" "fq at the root is gone"
in_log()
{
	grep -q -e "$1" "$dir/a/log"
}
check "and so does the log" within 15 in_log "out0: fq at the root is gone"
check "reload puts it back" exits 0 ctl a reload
check "which the log tells, too" within 15 in_log "in their places again"
at router tc qdisc delete dev multi0 parent 5100:2
check "one of several is missed" contains "$(ctl a show interfaces)" "fq of queue 2 is gone"
check "and comes back" exits 0 ctl a reload
at router tc qdisc change dev out0 root fq limit 50
check "one that was changed is told of" contains "$(ctl a show interfaces)" "fq at the root is not as it was put there"
check "and changed back" contains "$(ctl a reload)" '~ qdisc dev out0 root handle 5100: fq'
check "plan is empty after all that" plan_is_empty a

# ---- rates that are set live ----

flow_limit()
{
	root | sed -n 's/.* flow_limit \([0-9]*\)p .*/\1/p'
}
sed -i 's/^policies:/sets:\n  s: {elements: [10.9.0.1]}\n&/
	s/^ *- {name: rest/      - {name: each, match: [{dport: 5999}], per: {key: dst, set: s, rate: 1mbit, max: 64}}\n&/
	s/0: {egress:/0: {side: wan, egress:/' "$policy"
check "a clock for each address" exits 0 ctl a reload
before=$(flow_limit)
check "and a slow one that is added live" exits 0 ctl a set s add 10.9.0.2 up 2mbit down 2mbit
check "leaves fq as it is" equal "$(flow_limit)" "$before"
check "of a fast one" exits 0 ctl a set s add 10.9.0.3 up 1gbit down 1gbit
check "fq holds all that waits" between "$(flow_limit)" $((before * 2)) 1048576
check "plan is empty then" plan_is_empty a
check "without it" exits 0 ctl a set s del 10.9.0.3
check "fq is as before" equal "$(flow_limit)" "$before"
check "and plan is empty" plan_is_empty a

# ---- a class above drops ----

sed -i 's/^ *- {name: rest.*/      - name: outer\n        rate: 2mbit\n        match: [{dport: 5204}]\n        classes: [{name: inner, match: [{all: true}]}]\n&/' "$policy"
check "a class below another" exits 0 ctl a reload
flood 2
wait "$flooding"
above=$(counter a out0 egress inner above_drop_packets)
check "what the one above drops is no drop of its own" equal "$(counter a out0 egress inner drop_packets)" 0
check "and is counted" between "$above" 10 1000000
check "as the other's" equal "$(counter a out0 egress outer drop_packets)" "$above"
check "what departs from both has waited as long in both" equal "$(counter a out0 egress inner delay_us)" \
	"$(counter a out0 egress outer delay_us)"

check "a policy without it takes it away" exits 0 bash -c "sed -i '/out0: /d' '$policy' && '$qosctl' --run-dir '$dir/a/run' reload"
check "and leaves what the kernel has by itself" fails contains "$(root)" "5100:"
finish
