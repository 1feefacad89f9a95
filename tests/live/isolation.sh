#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What is not ours stays as it is, and two instances do not see each other.
#
# variants: tc bpf
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

engine=${1:-bpf}
needs_root
needs_engine "$engine"

# Two routers with interfaces of the same names, addresses and policy.
for n in 1 2; do
	netns "router$n" "wan$n" "neigh$n"
	cable "router$n" wan0 "wan$n" eth0
	cable "router$n" neigh0 "neigh$n" eth0
	ip -n "$prefix-router$n" link add name br100 type bridge forward_delay 0
	ip -n "$prefix-router$n" link set br100 up
	ip -n "$prefix-router$n" link set wan0 master br100
	ip -n "$prefix-router$n" link set neigh0 master br100
	address "wan$n" eth0 172.16.1.5/24
	address "neigh$n" eth0 172.16.1.10$n/24
	sharing_policy "$n" "$engine"
	printf 'settings: {on-stop: remove}\n' >>"$dir/$n/qosd.yaml"
done

# Somebody else's things, in front of ours and behind, and at the root.
other_people()
{
	at router1 tc qdisc show dev wan0 root
	at router1 tc -s class show dev wan0 | grep -v -E 'Sent|rate|lended|backlog|tokens'
	at router1 tc filter show dev wan0
	for hook in ingress egress; do
		at router1 tc filter show dev wan0 $hook pref 1
		at router1 tc filter show dev wan0 $hook pref 50000
		at router1 tc filter show dev neigh0 $hook
	done
	at router1 tc qdisc show dev neigh0
}
at router1 tc qdisc add dev wan0 root handle 1: htb default 10
at router1 tc class add dev wan0 parent 1: classid 1:10 htb rate 1gbit
at router1 tc qdisc add dev wan0 clsact
for hook in ingress egress; do
	for pref in 1 50000; do
		at router1 tc filter add dev wan0 $hook pref $pref protocol ip u32 match ip dport 9 0xffff flowid 1:10
	done
done
at router1 tc qdisc add dev neigh0 root tbf rate 1gbit burst 100k latency 50ms
before=$(other_people)
whole=$(dump_kernel router1 /nonexistent)

start_qosd 1 router1
check "qosd starts beside other people's filters and qdiscs" equal $? 0
check "they are as they were" equal "$(other_people | grep -v -E '^filter protocol all pref 20|qdisc clsact')" \
	"$(grep -v 'qdisc clsact' <<<"$before")"
check "and ours are there" contains "$(at router1 tc filter show dev wan0 ingress)" "pref 20736 bpf"

# A second one in the same namespace would fight with the first.
sharing_policy x "$engine"
check "a second qosd in the namespace does not start" exits 1 start_qosd x router1
check "and says why" contains "$(cat "$dir/x/log")" "another qosd is already running in this network namespace"
# A user who takes the name by which they notice each other does not keep one from starting.
netns taken
take_the_name()
{
	nsenter --net="/run/netns/$prefix-taken" python3 - <<-'END' &
		import os, socket, time
		os.setgroups([])
		os.setresgid(65534, 65534, 65534)
		os.setresuid(65534, 65534, 65534)
		s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
		s.bind("\0qosd")
		s.listen(0)
		time.sleep(60)
	END
}
name_is_taken()
{
	at taken grep -q @qosd /proc/net/unix
}
sharing_policy t "$engine"
take_the_name
holder=$!
check "a user has the name @qosd" within 5 name_is_taken
check "qosd starts all the same" start_qosd t taken
check "and says so" contains "$(cat "$dir/t/log")" "some other program has the socket @qosd"
stop_qosd t
kill "$holder"
# Nor one over the same directories, wherever it is.
netns elsewhere
check "nor one with the first one's run directory" exits 1 timeout 20 nsenter --net="/run/netns/$prefix-elsewhere" "$qosd" \
	--config "$dir/1/qosd.yaml" --run-dir "$dir/1/run" --state-dir "$dir/x/state" --pin-dir "$dir/x/pins"

# Its own run directory, and of the first one the state or the pins.
elsewhere() # STATE-DIR PIN-DIR
{
	timeout 20 nsenter --net="/run/netns/$prefix-elsewhere" "$qosd" --config "$dir/x/qosd.yaml" --run-dir "$dir/x/run" \
		--state-dir "$dir/$1/state" --pin-dir "$dir/$2/pins" 2>&1
}
handles=$(cat "$dir/1/state/handles.json")
said=$(elsewhere 1 x)
check "nor with its state directory" equal "$?" 1
check "which is said" contains "$said" "another qosd is using the state directory $dir/1/state"
said=$(elsewhere x 1)
check "nor with its pins" equal "$?" 1
check "which is said, too" contains "$said" "another qosd is using the pin directory $dir/1/pins"
check "the first has its own" equal "$(cat "$dir/1/state/handles.json")" "$handles"
check "and nothing to do" plan_is_empty 1
check "and no pins were left where there were none" equal "$(findmnt -n "$dir/x/pins")" ""

start_qosd 2 router2
check "one in another namespace does" equal $? 0
at neigh1 ping -q -c 1 -W 2 172.16.1.5 >/dev/null
check "the first learns its neighbour" within 5 is_member 1 neighbours 172.16.1.101
at neigh2 ping -q -c 1 -W 2 172.16.1.5 >/dev/null
check "the second learns its own" within 5 is_member 2 neighbours 172.16.1.102
check "and not the other's" equal "$(members 1 neighbours) $(members 2 neighbours)" "172.16.1.101 172.16.1.102"
first=$(counter 1 wan0 ingress neighbours packets)
at wan2 ping -q -c 10 -i 0.05 172.16.1.102 >/dev/null
check "what the second counts" between "$(counter 2 wan0 ingress neighbours packets)" 10 100
check "the first does not" equal "$(counter 1 wan0 ingress neighbours packets)" "$first"
check "the plan of the first is empty" plan_is_empty 1
check "the plan of the second is empty" plan_is_empty 2

second=$(dump_kernel router2 "$dir/2/pins")
check "the first stops, on-stop: remove" stop_qosd 1
check "what other people have there is as it was" equal "$(other_people | grep -v 'qdisc clsact')" \
	"$(grep -v 'qdisc clsact' <<<"$before")"
check "nothing else is left of ours but the shared clsact" \
	equal "$(dump_kernel router1 "$dir/1/pins" | grep -v 'qdisc clsact')" "$(grep -v 'qdisc clsact' <<<"$whole")"
check "the pins are gone, and their mount" equal "$(ls -A "$dir/1/pins" 2>/dev/null)$(findmnt -n "$dir/1/pins")" ""
check "the second has not noticed" equal "$(dump_kernel router2 "$dir/2/pins")" "$second"
check "and its plan is empty" plan_is_empty 2
check "qosctl stop ends the second" exits 0 ctl 2 stop
check "and with it what it made" equal "$(at router2 tc filter show dev wan0 ingress)$(ls -A "$dir/2/pins" 2>/dev/null)" ""
finish
