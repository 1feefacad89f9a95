#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Whichever request of an apply the kernel refuses, what was there before is there afterwards.
#
# variants: tc bpf
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

engine=${1:-bpf}
needs_root
needs_engine "$engine"
sharing_up

# tests/live/test_kernel makes every request fail, everywhere.
step=1
is_emulated && step=15

daemon_dir a
policy=$dir/a/qosd.yaml
small()
{
	sed "s/engine: auto /engine: $engine /" "$example/qosd.yaml"
}
# Something to create of every kind, to change and, from the small one's view, to delete.
large()
{
	small | sed -e 's/128kbit/256kbit/' \
		-e 's/^sets:/&\n  servers: {elements: [172.16.1.150, 172.16.1.151, 10.0.0.0\/8]}/' \
		-e 's/^    classes:/&\n      - {name: servers, rate: 2mbit, burst: 64kb, match: [{local: "@servers", port: [80, 443]}]}/'
	echo '    egress: {policy: sharing}'
	echo '  lan0: {side: lan, egress: {policy: sharing}, ingress: {policy: sharing}}'
}
start_dumper router "$dir/a/pins"

# From nothing to the policy with a failure at request n, for every n until there is none left to fail.
from_nothing()
{
	local n
	dump "$dir/before"
	for ((n = 0; n < 400; n += step)); do
		if QOSD_FAIL_AT=$n start_qosd a router >"$dir/said" 2>&1; then
			return 0
		fi
		is_there "$dir/before" "after a failure at request $n" || return
		grep -q 'made to fail by a test' "$dir/said" || { echo "request $n failed otherwise:"; cat "$dir/said"; return 1; }
	done
	echo "more than $n requests"
	return 1
}

large >"$policy"
if QOSD_FAIL_AT=0 start_qosd a router >"$dir/said"; then
	skip "everything" "qosd was built without --enable-fault-injection"
	finish
fi
check "an error names the object, the kernel's word and the line" contains "$(cat "$dir/a/log")" \
	"qosd\.yaml:[0-9]+:[0-9]+: .*made to fail by a test; everything is as it was|made to fail by a test; everything is as it was"

export QOSD_FAULTS=$dir/faults
from_nothing >"$dir/result" 2>&1
check "a first start that fails at any request leaves nothing" equal "$?$(cat "$dir/result")" 0
requests=$(grep -c 'made to fail by a test' "$dir/a/log")
check "the requests were made to fail one by one" between "$requests" $((30 / step)) 399
check "and then the policy is in force" plan_is_empty a
dump "$dir/now"
check "seen in filters and maps" between "$(grep -c -E '^(filter|action|map /v[0-9]*/sets/.*) ' "$dir/now")" 8 999

# To and fro between the two policies, each time with the next request of that direction refused: what a reload that fails leaves
# is what was there, and the same reload then succeeds.
declare -A next=([large]=0 [small]=0) # the request that fails on the way to that policy
declare -A total=()
to_and_fro()
{
	local to=small status
	dump "$dir/before"
	while [ -z "${total[small]:-}" ] || [ -z "${total[large]:-}" ]; do
		"$to" >"$policy"
		if [ -z "${total[$to]:-}" ]; then
			echo "fail ${next[$to]}" >"$QOSD_FAULTS"
			status=0
			ctl a reload >"$dir/said" 2>&1 || status=$?
			if [ "$status" -eq 0 ]; then
				total[$to]=${next[$to]}
			else
				is_there "$dir/before" "after a failure at request ${next[$to]} to $to" || return
				[ "$status" -eq 1 ] || { echo "exits with $status at request ${next[$to]} to $to"; return 1; }
				grep -q 'everything is as it was' "$dir/said" || { cat "$dir/said"; return 1; }
				next[$to]=$((next[$to] + step))
			fi
		fi
		ctl a reload || { echo "the same reload without a failure"; return 1; }
		plan_is_empty a || { echo "plan is not empty after the second try"; return 1; }
		dump "$dir/before"
		[ "$to" = small ] && to=large || to=small
	done
}
check "a reload that fails at any request changes nothing, and succeeds when tried again" to_and_fro
check "to the large policy, they failed one by one" between "${total[large]:-0}" 20 399
check "and to the small one" between "${total[small]:-0}" 20 399
check "a new qosd has nothing to do after all that" exits 0 stop_qosd a
check "it starts" start_qosd a router
check "its plan is empty" plan_is_empty a
finish
