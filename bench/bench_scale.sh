#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# 1,000, 10,000 and 100,000 subscribers with a rate each: how long from the file to the kernel, how long to change one, and
# how much memory; by qosd (a class with `per`, the rates from a CSV file), by tc -batch and by pyroute2 with an HTB class and
# a u32 filter each, as far as they come in a minute (BENCH_LIMIT). BENCH_SUBSCRIBERS names other numbers.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
limit=${BENCH_LIMIT:-60}

# One line for each subscriber: ADDRESS,UP,DOWN. The rate of the middle one may be another.
subscribers() # N [DOWN-OF-THE-MIDDLE]
{
	awk -v n="$1" -v other="${2:-50mbit}" 'BEGIN {
		for (i = 0; i < n; i++)
			printf "10.%d.%d.%d,10mbit,%s\n", i / 65536, i / 256 % 256, i % 256, i == int(n / 2) ? other : "50mbit"
	}'
}

# A hash table of 256 for each /24, found by another by its number, so that a packet is compared with few.
tc_batch() # N
{
	awk -v n="$1" 'BEGIN {
		print "qdisc add dev wan0 root handle 1: htb default fffe"
		print "class add dev wan0 parent 1: classid 1:fffd htb rate 30gbit quantum 60000"
		print "filter add dev wan0 parent 1: prio 1 protocol ip u32"
		print "filter add dev wan0 parent 1: prio 1 protocol ip handle 1: u32 divisor 256"
		print "filter add dev wan0 parent 1: prio 1 protocol ip u32 ht 800: match u32 0 0 at 0 hashkey mask 0x0000ff00 at 16 link 1:"
		for (i = 0; i < n; i++) {
			address = sprintf("10.%d.%d.%d", i / 65536, i / 256 % 256, i % 256)
			if (i % 256 == 0) {
				table = sprintf("%x", i / 256 + 2)
				printf "filter add dev wan0 parent 1: prio 1 protocol ip handle %s: u32 divisor 256\n", table
				printf "filter add dev wan0 parent 1: prio 1 protocol ip u32 ht 1:%x: match ip dst %s/24 hashkey mask 0x000000ff at 16 link %s:\n", i / 256 % 256, address, table
			}
			minor = sprintf("%x", i + 1)
			printf "class add dev wan0 parent 1:fffd classid 1:%s htb rate 50mbit quantum 60000\n", minor
			printf "filter add dev wan0 parent 1: prio 1 protocol ip u32 ht %s:%x: match ip dst %s flowid 1:%s\n", table, i % 256, address, minor
		}
	}'
}

classes_in() # NS
{
	at "$1" tc class show dev wan0 | grep -c '^class htb'
}

stage() # NS
{
	netns "$1" "$1-far"
	cable "$1" wan0 "$1-far" eth0
}

# "" or why there is no figure for n of them.
peer_row() # WHO N SECONDS STATUS NS
{
	local made
	made=$(($(classes_in "$5") - 1))
	if [ "$4" -eq 0 ] && [ "$made" -ge "$2" ]; then
		row "$2 subscribers, file to kernel" "$1" "$3" s
		return
	fi
	row "$2 subscribers, file to kernel" "$1" null s "$1, $2 subscribers: $made of them after $(printf %.0f "$3") s"
	row "$2 subscribers, of them made in $limit s" "$1" "$made" ""
	return 1
}

measure_tc() # N
{
	local began status=0 ns=t$1 took
	stage "$ns"
	if [ "$1" -gt 65000 ]; then
		row "$1 subscribers, file to kernel" "tc -batch" null s "one htb has 65,535 classes at most"
		return
	fi
	tc_batch "$1" >"$dir/batch"
	began=$(moment)
	at "$ns" timeout "$limit" tc -batch "$dir/batch" >"$dir/tc.log" 2>&1 || status=$?
	took=$(since "$began")
	[ "$status" -eq 0 ] || tail -n 2 "$dir/tc.log"
	if peer_row "tc -batch" "$1" "$took" "$status" "$ns"; then
		began=$(moment)
		at "$ns" tc class change dev wan0 parent 1:fffd classid 1:7 htb rate 60mbit quantum 60000
		row "$1 subscribers, one rate changed by hand" "tc -batch" "$(since "$began")" s
	fi
	at "$ns" tc qdisc del dev wan0 root
}

measure_pyroute2() # N
{
	local out status=0 ns=p$1
	stage "$ns"
	if [ "$1" -gt 65000 ]; then
		row "$1 subscribers, file to kernel" pyroute2 null s "one htb has 65,535 classes at most"
		return
	fi
	out=$(at "$ns" timeout $((limit + 20)) /usr/bin/python3 - "$1" "$limit" <<-'END'
		import sys, time
		from pyroute2 import IPRoute
		n, limit = int(sys.argv[1]), float(sys.argv[2])
		start = time.monotonic()
		with IPRoute() as ip:
		    index = ip.link_lookup(ifname="wan0")[0]
		    ip.tc("add", "htb", index, 0x10000, default=0xfffe)
		    ip.tc("add-class", "htb", index, 0x1fffd, parent=0x10000, rate="30gbit", quantum=60000)
		    for i in range(n):
		        if time.monotonic() - start > limit:
		            break
		        ip.tc("add-class", "htb", index, 0x10001 + i, parent=0x1fffd, rate="50mbit", quantum=60000)
		        address = 10 << 24 | i
		        key = f"0x{address:08x}/0xffffffff+16"
		        ip.tc("add-filter", "u32", index, parent=0x10000, prio=1, protocol=0x0800, target=0x10001 + i, keys=[key])
		print(time.monotonic() - start)
	END
	) || status=$?
	peer_row pyroute2 "$1" "${out:-0}" "$status" "$ns" || true
	at "$ns" tc qdisc del dev wan0 root
}

maps_kib() # PIN-DIR
{
	find "$1" -type f -exec bpftool -j map show pinned '{}' ';' 2>/dev/null | jq -s '[.[] | select(.bytes_memlock) | {id, b: .bytes_memlock}] | unique_by(.id) | map(.b) | add / 1024 | round'
}

# The shortest of three.
live_edit() # NAME ADDRESS
{
	local i began least=999 took
	for i in 1 2 3; do
		began=$(moment)
		ctl "$1" set subscribers add "$2" up 20mbit down "$((60 + i))mbit" >/dev/null || return
		took=$(since "$began")
		least=$(awk -v a="$least" -v b="$took" 'BEGIN { print a < b ? a : b }')
	done
	echo "$least"
}

measure_qosd() # N
{
	local began name=q$1 n=$1 took changes edit
	stage "$name"
	daemon_dir "$name"
	printf 'version: 1\n' >"$dir/$name/qosd.yaml"
	start_qosd "$name" "$name" || return
	subscribers_policy "max: 131072, rate: {up: 1mbit, down: 5mbit}" \
		"wan0: {side: wan, ingress: {policy: access}, egress: {policy: access}}" >"$dir/$name/qosd.yaml"
	subscribers "$n" >"$dir/$name/subscribers.csv"
	began=$(moment)
	ctl "$name" reload >"$dir/reload" 2>&1 || { cat "$dir/reload"; return 1; }
	took=$(since "$began")
	row "$n subscribers, file to kernel" qosd "$took" s
	[ "$n" -ne 10000 ] || goal "10,000 subscribers from file to kernel" "$took" at_most 0.3 s
	[ "$n" -ne 100000 ] || goal "100,000 subscribers from file to kernel" "$took" at_most 2 s
	subscribers "$n" 70mbit >"$dir/$name/subscribers.csv"
	began=$(moment)
	changes=$(ctl "$name" --json reload | jq '.changes | length')
	took=$(since "$began")
	row "$n subscribers, reload after one changed row" qosd "$took" s
	row "$n subscribers, changes of that reload" qosd "$changes" ""
	edit=$(live_edit "$name" 10.200.0.7) || return
	row "$n subscribers, one rate changed by hand" qosd "$edit" s
	if [ "$n" -eq 100000 ]; then
		goal "a reload after one changed row of 100,000" "$took" at_most 0.3 s
		goal "changes of that reload" "$changes" at_most 1 ""
		goal "a live edit among 100,000" "$edit" at_most 0.01 s
	fi
	row "$n subscribers, memory of the daemon" qosd "$(awk '/VmRSS/ { print $2 }' "/proc/${pid_of[$name]}/status")" KiB
	row "$n subscribers, memory of its maps" qosd "$(maps_kib "$dir/$name/pins")" KiB
	stop_qosd "$name"
}

for n in ${BENCH_SUBSCRIBERS:-1000 10000 100000}; do
	measure_qosd "$n" || exit 1
	measure_tc "$n"
	if /usr/bin/python3 -c 'import pyroute2' 2>/dev/null; then
		measure_pyroute2 "$n"
	fi
	what="$n subscribers, file to kernel"
	for who in "tc -batch" pyroute2; do
		ratio "time of $who to qosd, $what" "$(value_of "$what" "$who")" "$(value_of "$what" qosd)"
	done
done
done_measuring scale "a rate for each of many subscribers"
