#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A reload changes what was changed, and nothing else.
#
# variants: tc bpf
# measures
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

engine=${1:-bpf}
needs_root
needs_engine "$engine"
sharing_up
sharing_policy a "$engine"
policy=$dir/a/qosd.yaml
start_qosd a router
check "qosd starts" equal $? 0

for host in neigh0 neigh1 neigh2; do
	at "$host" ping -q -c 1 -W 2 172.16.1.5 >/dev/null
done
neighbours="172.16.1.100 172.16.1.101 172.16.1.102"
three_known()
{
	equal "$(members a neighbours)" "$neighbours"
}
check "what the neighbours said has taught their addresses" within 5 three_known
at wan ping -q -c 20 -i 0.05 172.16.1.150 >/dev/null
everyone=$(counter a wan0 ingress everyone packets)
check "the other class has counted" between "$everyone" 20 1000

# Nothing changed, nothing done.
check "plan of what is in force is empty" plan_is_empty a
check "a reload of an unchanged file does nothing" equal "$(changes a reload)" 0
echo "# a remark" >>"$policy"
check "nor does one of a file with a new comment" equal "$(changes a reload)" 0

# One word changed, one object changed.
sed -i 's/128kbit/256kbit/' "$policy"
check "plan exits with 1 when there is something to do" exits 1 ctl a plan --exit-code
check "plan names one object" equal "$(changes a plan)" 1
check "to plan is not to do" equal "$(changes a plan)" 1
before=$(dump_kernel router "$dir/a/pins" | wc -l)
check "reload changes one object" equal "$(changes a reload)" 1
check "and adds none" equal "$(dump_kernel router "$dir/a/pins" | wc -l)" "$before"
check "plan is empty afterwards" plan_is_empty a
check "every learned address is still there" three_known
after=$(counter a wan0 ingress everyone packets)
check "the other class counts on from where it was" between "$after" "$everyone" $((everyone + 50))
check "the measured rate is the new one" between "$(tcp_kbit wan neigh0 172.16.1.100 15)" 215 285

# SIGHUP is a reload.
sed -i 's/256kbit/512kbit/' "$policy"
kill -HUP "${pid_of[a]}"
rate_is()
{
	equal "$(ctl a --json show classes | jq '.hooks[0].classes[] | select(.name == "neighbours").rate_bps')" "$1"
}
check "SIGHUP reloads too" within 5 rate_is 512000

# A new class, a class less: the others keep their counters.
everyone=$(counter a wan0 ingress everyone packets)
cp "$policy" "$dir/before"
sed -i 's/^    classes:/&\n      - {name: telnet, rate: 64kbit, burst: 64kb, match: [{port: 23}]}/' "$policy"
check "a new class comes in" exits 0 ctl a reload
check "the others count on" between "$(counter a wan0 ingress everyone packets)" "$everyone" $((everyone + 50))
at lan0 timeout 30 nc -l -p 23 >/dev/null &
within 20 listening lan0 -t 'sport = :23'
at wan timeout 20 nc -N -w 5 172.16.1.150 23 </dev/null >/dev/null
check "and it is the one that its packets belong to" between "$(counter a wan0 ingress telnet packets)" 2 100
cp "$dir/before" "$policy"
check "and goes again" exits 0 ctl a reload
check "plan is empty after all that" plan_is_empty a
check "every learned address is still there after all that" three_known

# A class that only counts, below nothing: all of its configuration is that it is there.
sed -i 's/^    classes:/&\n      - {name: telnet, match: [{port: 23}]}/' "$policy"
check "a class without a rate of its own or above it comes in" exits 0 ctl a reload
check "and is there" plan_is_empty a
cp "$dir/before" "$policy"
check "and goes" exits 0 ctl a reload
check "and nothing is left to do" plan_is_empty a
finish
