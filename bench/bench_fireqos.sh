#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What FireQOS (Debian's package fireqos), a generator of tc commands in shell, needs for a policy of 100 and of 1,000
# classes, an address each, and what qosd needs for the same: from the file to the kernel, and the time to change one rate.
# BENCH_CLASSES names other numbers.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
limit=${BENCH_LIMIT:-240} # seconds

command -v fireqos >/dev/null || cannot "no fireqos here"

customer() # NUMBER
{
	echo "10.0.$(($1 / 250)).$(($1 % 250 + 1))"
}

# FORMAT gets the number of each class, its rate and its address.
classes() # N RATE-OF-THE-FIRST FORMAT
{
	local i rate=$2
	for ((i = 1; i <= $1; i++)); do
		# shellcheck disable=SC2059 # that is what it is for
		printf "$3" "$i" "$rate" "$(customer "$i")"
		rate=1mbit
	done
}

fireqos_policy() # N RATE-OF-THE-FIRST
{
	echo 'interface wan0 wan output rate 10gbit qdisc pfifo'
	classes "$1" "$2" '\tclass c%d commit %s\n\t\tmatch dst %s\n'
}

qosd_policy() # N RATE-OF-THE-FIRST
{
	printf 'version: 1\npolicies:\n  p:\n    type: htb\n    rate: 10gbit\n    leaf: {qdisc: pfifo}\n    default: rest\n    classes:\n'
	classes "$1" "$2" '      - {name: c%d, rate: %s, ceil: 10gbit, match: [{remote: %s}]}\n'
	printf '      - {name: rest, rate: 1mbit, ceil: 10gbit}\ninterfaces:\n  wan0: {side: wan, egress: {policy: p}}\n'
}

# FireQOS keeps its state in /run, and loads modules: in mounts of its own it does neither to the machine.
fireqos_start() # NS
{
	# shellcheck disable=SC2016 # for the other shell
	timeout "$limit" nsenter --net="/run/netns/$prefix-$1" unshare -m sh -c \
		'mount -t tmpfs none /run && mount -t tmpfs none /var/run 2>/dev/null; exec fireqos "$1" start' \
		sh "$dir/fireqos.conf" </dev/null >"$dir/fireqos.log" 2>&1
}

measure_fireqos() # N
{
	local began took
	netns "f$1" "g$1"
	cable "f$1" wan0 "g$1" eth0
	fireqos_policy "$1" 1mbit >"$dir/fireqos.conf"
	began=$(moment)
	if ! fireqos_start "f$1"; then
		tail -n 5 "$dir/fireqos.log"
		row "$1 classes, file to kernel" fireqos null s "fireqos did not come to its end with $1 classes within $limit s"
		return
	fi
	took=$(since "$began")
	row "$1 classes, file to kernel" fireqos "$took" s
	row "$1 classes, in the kernel" fireqos "$(at "f$1" tc class show dev wan0 | wc -l)" ""
	if [ "$1" -gt 500 ]; then # it starts all over
		row "$1 classes, one rate changed" fireqos "$took" s
		return
	fi
	fireqos_policy "$1" 2mbit >"$dir/fireqos.conf"
	began=$(moment)
	fireqos_start "f$1" || return
	row "$1 classes, one rate changed" fireqos "$(since "$began")" s
}

measure_qosd() # N
{
	local began name=q$1
	netns "$name" "r$1"
	cable "$name" wan0 "r$1" eth0
	daemon_dir "$name"
	printf 'version: 1\n' >"$dir/$name/qosd.yaml"
	start_qosd "$name" "$name" || return
	qosd_policy "$1" 1mbit >"$dir/$name/qosd.yaml"
	began=$(moment)
	ctl "$name" reload >"$dir/reload" 2>&1 || { cat "$dir/reload"; return 1; }
	row "$1 classes, file to kernel" qosd "$(since "$began")" s
	row "$1 classes, in the kernel" qosd "$(at "$name" tc class show dev wan0 | wc -l)" ""
	qosd_policy "$1" 2mbit >"$dir/$name/qosd.yaml"
	began=$(moment)
	ctl "$name" reload >/dev/null 2>&1 || return
	row "$1 classes, one rate changed" qosd "$(since "$began")" s
	stop_qosd "$name"
}

for n in ${BENCH_CLASSES:-100 1000}; do
	measure_qosd "$n" || exit 1
	measure_fireqos "$n"
	for what in "file to kernel" "one rate changed"; do
		ratio "time of fireqos to qosd, $n classes, $what" \
			"$(value_of "$n classes, $what" fireqos)" "$(value_of "$n classes, $what" qosd)"
	done
done
done_measuring fireqos "the same htb policy, a class for each address, by qosd and by FireQOS"
