#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A rate for each address: ten subscribers from a CSV file have a bucket each; edits of the set, of which one changed row is one
# write; who was idle is forgotten, but for who owes.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
netns lan router
cable lan up0 router lan0
for i in {1..10}; do
	address lan up0 "10.7.0.$i/24"
done
address router lan0 10.7.0.100/24

rates=(50kbit 1mbit 2mbit 3mbit 5mbit 8mbit 10mbit 20mbit 50mbit 100mbit) # of 10.7.0.1 and so on
daemon_dir d
for i in {1..10}; do
	echo "10.7.0.$i,${rates[i - 1]},1mbit"
done >"$dir/d/subscribers.csv"
subscribers_policy "rate: 500kbit, max: 64, timeout: 10s" "lan0: {side: lan, ingress: {policy: access}}" >"$dir/d/qosd.yaml"
check "qosd starts" start_qosd d router

# ---- everybody his own ----

# Packets of 1400 bytes, far more in a moment than a bucket of the slow ones holds. All at once, or the first would be forgotten
# before the last is through where the machine is slow.
pinging=()
for i in {1..10}; do
	at lan ping -q -c 100 -i 0.002 -s 1400 -I "10.7.0.$i" 10.7.0.100 >/dev/null &
	pinging+=($!)
done
wait "${pinging[@]}"

# One key of the daemon's answer.
key() # ADDRESS FIELD
{
	ctl d --json show keys | jq --arg k "$1" --arg f "$2" '.keyed_classes[].keys[] | select(.key == $k) | .[$f]'
}

# The hosts themselves have IPv6 addresses, which are keys too.
subscribers()
{
	ctl d --json show keys | jq '[.keyed_classes[].keys[] | select(.key | startswith("10.7.0."))] | length'
}

check "ten keys are counted" equal "$(subscribers)" 10
check "the slow one has drops" [ "$(key 10.7.0.1 drop_packets)" -gt 0 ]
check "the fast one has none" equal "$(key 10.7.0.10 drop_packets)" 0
check "what came is counted for each" equal "$(key 10.7.0.5 packets)" 100

# ---- who has most ----

# Of the first three, class or key, from the daemon's answer: "NAME VALUE" a line.
top() # SORT FIELD
{
	ctl d --json stats --top 3 --sort "$1" >"$dir/top.json"
	jq -r --arg f "$2" '.top[] | "\(.key // .class) \(.[$f] // 0)"' "$dir/top.json"
}

check "most drops: the class, then the slowest" equal "$(top drops drop_packets | cut -d' ' -f1 | head -n 2 | paste -sd' ')" "all 10.7.0.1"
check "as many as he had" equal "$(jq '.top[1].drop_packets' "$dir/top.json")" "$(key 10.7.0.1 drop_packets)"
check "and who comes next has no more" between "$(jq '.top[2].drop_packets' "$dir/top.json")" 0 "$(jq '.top[1].drop_packets' "$dir/top.json")"

# Packets of 1442 bytes, at most a hundred a second from one, five from another.
# Not by at: what is killed would be its subshell.
pinging=()
for ping in "10.7.0.10 -i 0.01" "10.7.0.9 -i 0.2"; do
	# shellcheck disable=SC2086 # arguments
	nsenter --net="/run/netns/$prefix-lan" ping -q -w 60 -s 1400 -I $ping 10.7.0.100 >/dev/null &
	pinging+=($!)
done
two_send()
{
	top rate rate_1s_bps >"$dir/rates"
	[ "$(awk '$2 > 0' "$dir/rates" | wc -l)" -eq 3 ]
}
within 30 two_send
sleep 2
two_send
kill "${pinging[@]}"
check "highest rate: the class, then who sends most" equal "$(cut -d' ' -f1 "$dir/rates" | paste -sd' ')" "all 10.7.0.10 10.7.0.9"
mapfile -t bps < <(cut -d' ' -f2 "$dir/rates")
check "the first has at most what he sends" between "${bps[1]:-}" 80000 1400000
check "so has the second" between "${bps[2]:-}" 1000 150000
check "and the class what both have" between "${bps[0]:-}" $(((bps[1] + bps[2]) * 8 / 10)) $(((bps[1] + bps[2]) * 12 / 10))

# ---- edits ----

changed_row()
{
	sed -i 's/^10.7.0.3,.*/10.7.0.3,7mbit,1mbit/' "$dir/d/subscribers.csv"
	ctl d plan
	[ "$(changes d plan)" = 1 ]
}
check "a changed row is one write" changed_row
check "which a reload makes" ctl d reload
check "and no more is to be done" plan_is_empty d

bad_rows()
{
	printf '10.7.1.1,1mbit,1mbit\n10.7.1.2,fast,1mbit\nnobody\n10.7.1.1\n' >"$dir/bad.csv"
	exits 6 ctl d set subscribers import "$dir/bad.csv" >"$dir/bad.out" 2>&1
	cat "$dir/bad.out"
	grep -q 'bad.csv:2:' "$dir/bad.out" && grep -q 'bad.csv:3:' "$dir/bad.out" &&
		grep -q 'bad.csv:4:' "$dir/bad.out" && fails is_member d subscribers 10.7.1.1
}
check "bad rows are told all, and nothing is imported" bad_rows

import_and_back()
{
	printf '10.7.1.1,1mbit,1mbit\n10.7.2.0/24,,2mbit\n10.7.1.3\n' >"$dir/good.csv"
	ctl d set subscribers import "$dir/good.csv" && is_member d subscribers 10.7.2.0/24 &&
		ctl d set subscribers export >"$dir/exported.csv" && grep -qx '10.7.2.0/24,,2mbit' "$dir/exported.csv" &&
		ctl d set subscribers flush && fails is_member d subscribers 10.7.1.1 &&
		ctl d set subscribers import "$dir/exported.csv" && is_member d subscribers 10.7.1.1 &&
		[ "$(ctl d --json set subscribers import "$dir/exported.csv" | jq .imported)" = 0 ] &&
		ctl d set subscribers flush && plan_is_empty d
}
check "what is imported is exported, flushed, and imported again, once" import_and_back

live_edit()
{
	ctl d set subscribers add 10.7.3.1 up 5mbit && ctl d set subscribers add 10.7.3.1 up 6mbit &&
		plan_is_empty d && ctl d set subscribers del 10.7.3.1 && plan_is_empty d
}
check "a live edit leaves nothing to be done" live_edit

# ---- more classes, and more keys ----

grown()
{
	local i
	sed -i 's/max: 64/max: 128/' "$dir/d/qosd.yaml"
	for i in {1..20}; do
		sed -i "s/^    classes:/&\n      - {name: c$i, rate: 1mbit, match: [{dport: $i}]}/" "$dir/d/qosd.yaml"
	done
	ctl d reload && plan_is_empty d
}
check "what needs larger maps of both is one reload" grown

# ---- time ----

# One owes for two minutes, one goes on sending, the others do neither.
sed -i 's/timeout: 10s/timeout: 4s/' "$dir/d/qosd.yaml"
sed -i 's/^10.7.0.1,.*/10.7.0.1,4kbit,1mbit/' "$dir/d/subscribers.csv"
ctl d reload >/dev/null
for i in {3..10}; do
	at lan ping -q -c 1 -W 5 -I "10.7.0.$i" 10.7.0.100 >/dev/null
done
at lan ping -q -c 60 -i 0.002 -s 1400 -W 1 -I 10.7.0.1 10.7.0.100 >/dev/null
owed_since=$SECONDS
owes=$(key 10.7.0.1 packets)
at lan ping -q -c 1 -W 5 -I 10.7.0.2 10.7.0.100 >/dev/null
sends=$(key 10.7.0.2 packets)
nsenter --net="/run/netns/$prefix-lan" ping -q -w 120 -i 0.5 -I 10.7.0.2 10.7.0.100 >"$dir/ping" &
sending=$!

left()
{
	ctl d --json show keys | jq -r '[.keyed_classes[].keys[].key | select(startswith("10.7.0."))] | sort | join(" ")'
}
left_are() # ADDRESS..
{
	equal "$(left)" "$*"
}
check "who was idle for the timeout is forgotten, who owes or sends is not" within 60 left_are 10.7.0.1 10.7.0.2
sleep $((owed_since + 13 > SECONDS ? owed_since + 13 - SECONDS : 0))
check "nor after three of them" left_are 10.7.0.1 10.7.0.2
kill -INT "$sending"
wait "$sending"
sent=$(sed -n 's/^\([0-9]*\) packets transmitted.*/\1/p' "$dir/ping")
check "who sends was never forgotten: all he sent is counted" equal "$(key 10.7.0.2 packets)" $((sends + sent))
check "until he is idle too" within 60 left_are 10.7.0.1
check "who owes was never forgotten" equal "$(key 10.7.0.1 packets)" "$owes"
finish
