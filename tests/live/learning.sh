#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Who teaches, what is not learned, how it is forgotten, and what a flood of made-up sources does not do.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
netns router neigh
cable router neigh0 neigh eth0
daemon_dir a
policy=$dir/a/qosd.yaml
cat >"$policy" <<'END'
version: 1
settings: {on-stop: remove, learned: {save: 1s}}
sets:
  neighbours:
    learn: {on: ["neigh*"], within: [172.16.1.0/24, "fd00:1::/64"], timeout: 10m}
  arpers:
    learn: {on: [neigh0], within: [172.16.2.0/24], from: [arp]}
  brief:
    learn: {on: [neigh0], within: [172.16.3.0/24], timeout: 6s}
  crowd:
    elements: [10.255.255.1, 10.255.255.2, 10.254.0.0/16]
    learn: {on: [neigh0], within: [10.0.0.0/8], max: 64, when-full: refuse}
policies:
  all:
    type: police
    default: pass
    classes:
      - {name: known, rate: 100mbit, match: [{src: ["@neighbours", "@arpers", "@brief", "@crowd"]}]}
interfaces:
  neigh0: {ingress: {policy: all}}
END
start_qosd a router
check "qosd starts" equal $? 0

how() # SET ADDRESS
{
	ctl a --json show sets "$1" | jq -r --arg a "$2" '.sets[0].addresses[] | select(.address == $a) | .how | join(" ")'
}
set_counter() # SET KEY
{
	ctl a --json show sets "$1" | jq --arg k "$2" '.sets[0][$k]'
}

entries() # SET: in the map of learned addresses, old ones too
{
	bpftool --json map dump pinned "$(find "$dir/a/pins" -path "*/sets/$1/learned")" | jq length
}
has_entries() # SET N
{
	equal "$(entries "$1")" "$2"
}

# Who teaches.
frame_send neigh eth0 ip=172.16.1.10 arp=172.16.1.11 ip=fd00:1::10 nd=fd00:1::11 vlan=5/ip=172.16.1.12 \
	vlan=5/vlan=6/ip=172.16.1.13 vlan=5/arp=172.16.1.14 vlan=5/nd=fd00:1::14 vlan=5/vlan=6/ip=fd00:1::13
for pair in "172.16.1.10:an IPv4 source:ip" "172.16.1.11:an ARP sender:arp" "fd00:1::10:an IPv6 source:ip" \
	"fd00:1::11:a neighbour advertisement:nd" "172.16.1.12:a source behind a VLAN tag:ip" \
	"172.16.1.13:a source behind two VLAN tags:ip" "172.16.1.14:ARP behind a VLAN tag:arp" \
	"fd00:1::14:ND behind a VLAN tag:nd" "fd00:1::13:IPv6 behind two VLAN tags:ip"; do
	means=${pair##*:}
	rest=${pair%:*}
	check "${rest##*:} teaches" within 5 is_member a neighbours "${rest%:*}"
	check "${rest##*:} is shown as $means" contains "$(how neighbours "${rest%:*}")" "\\b$means\\b"
done

# What does not.
fenced=$(set_counter neighbours fenced)
unusable=$(set_counter neighbours unusable)
frame_send neigh eth0 ip=192.0.2.1 arp=192.0.2.2 ip=2001:db8::1 ip=172.16.2.20 arp=172.16.2.21
frame_send neigh eth0 ip=0.0.0.0 ip=127.0.0.1 ip=224.0.0.1 ip=255.255.255.255 ip=:: ip=::1 ip=ff02::1 arp=0.0.0.0
sleep 0.5
check "nobody outside the fence is learned" equal "$(members a neighbours | tr ' ' '\n' | grep -c -v -E '^(172\.16\.1|fd00:1:)')" 0
check "each is counted" between "$(set_counter neighbours fenced)" $((fenced + 4)) $((fenced + 20))
check "nor what is no unicast address" between "$(set_counter neighbours unusable)" $((unusable + 7)) $((unusable + 20))
check "a set from ARP learns from ARP" is_member a arpers 172.16.2.21
check "and from nothing else" fails is_member a arpers 172.16.2.20

# How it is forgotten.
frame_send neigh eth0 ip=172.16.3.1 ip=172.16.3.2
check "a set with a timeout of 6 s learns" is_member a brief 172.16.3.1
end=$((SECONDS + 9))
while [ "$SECONDS" -lt "$end" ]; do
	sleep 1
	frame_send neigh eth0 ip=172.16.3.2
done
check "who has been silent for longer is forgotten" fails is_member a brief 172.16.3.1
check "who has not is not" is_member a brief 172.16.3.2
check "who is silent from now on is forgotten too" within 12 fails is_member a brief 172.16.3.2
check "the entries themselves go, in a while" within 15 has_entries brief 0

# Live edits.
check "an address is added by hand" exits 0 ctl a set neighbours add 172.16.1.200
check "and is there" equal "$(how neighbours 172.16.1.200)" live
check "plan stays empty" plan_is_empty a
check "a second time it is refused" exits 1 ctl a set neighbours add 172.16.1.200
check "what a file says cannot be deleted by hand" exits 1 ctl a set crowd del 10.255.255.1
check "the refusal says where it is written" contains "$(ctl a set crowd del 10.255.255.1 2>&1)" 'qosd\.yaml:[0-9]+'
check "what was learned can be" exits 0 ctl a set neighbours del 172.16.1.10
check "and is gone" fails is_member a neighbours 172.16.1.10
check "no such set: 1" exits 1 ctl a set nobody add 172.16.1.200
check "no address: 2" exits 2 ctl a set neighbours add 172.16.1.300

# A restart with everything gone from the kernel, as after a reboot.
check "qosd stops and takes everything away" stop_qosd a
check "the pins are gone" equal "$(find "$dir/a/pins" -type f)" ""
start_qosd a router
check "it starts again" equal $? 0
check "learned addresses are back" is_member a neighbours 172.16.1.11
check "IPv6 too" is_member a neighbours fd00:1::11
check "shown as restored" contains "$(how neighbours 172.16.1.11)" restored
check "live edits are back" equal "$(how neighbours 172.16.1.200)" live
check "what was deleted by hand is not" fails is_member a neighbours 172.16.1.10

# A flood.
rss_kb()
{
	awk '/^VmRSS/ { print $2 }' "/proc/${pid_of[a]}/status"
}
count_is() # N
{
	equal "$(set_counter crowd count)" "$1"
}
written_is_there()
{
	is_member a crowd 10.255.255.1 && is_member a crowd 10.255.255.2 && is_member a crowd 10.254.0.0/16
}
million=1000000
is_emulated && million=30000
flood() # FIRST
{
	at neigh timeout 200 "$spoof" eth0 "$1" "$million"
}
check "a flood of $million made-up sources" flood 10.1.0.0
sleep 1
check "leaves the set at its maximum, and what is written" within 5 count_is 67
check "counts whom it refused" between "$(set_counter crowd refused)" 1 10000000
check "leaves what was written where it was" written_is_there
check "leaves the other sets alone" is_member a neighbours 172.16.1.11
check "the daemon answers" exits 0 timeout 20 "$qosctl" --run-dir "$dir/a/run" show interfaces
# What it needs for a look at the kernel now and then comes once; what it kept of a flood would come each time.
does_not_grow() # FIRST..
{
	local first before
	for first in "$@"; do
		before=$(rss_kb)
		flood "$first" || return
		sleep 1
		between "$(rss_kb)" 0 $((before + 512)) && return
	done
	return 1
}
check "and another flood does not make it grow" does_not_grow 10.20.0.0 10.22.0.0 10.24.0.0

sed -i 's/when-full: refuse/when-full: evict-oldest/' "$policy"
check "the same set, evicting the oldest" exits 0 ctl a reload
check "a flood again" flood 10.2.0.0
sleep 1
check "leaves the set at its maximum again" between "$(set_counter crowd count)" 66 67
check "counts whom it evicted" between "$(set_counter crowd evicted)" 1 10000000
frame_send neigh eth0 ip=10.9.9.9
sleep 0.3
frame_send neigh eth0 ip=10.9.9.9
check "and a new address comes in" within 5 is_member a crowd 10.9.9.9
check "what was written is still there" written_is_there
check "and another flood does not make it grow either" does_not_grow 10.40.0.0 10.42.0.0 10.44.0.0
check "plan is empty" plan_is_empty a
finish
