#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The shaping outlives the daemon, whichever way that goes, and a new one takes over what it finds.
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
start_qosd a router
check "qosd starts" equal $? 0
at neigh0 ping -q -c 1 -W 2 172.16.1.5 >/dev/null
check "a neighbour is learned" within 5 is_member a neighbours 172.16.1.100

tcp_kbit wan neigh0 172.16.1.100 20 >"$dir/measured" &
traffic=$!
sleep 5
packets=$(counter a wan0 ingress neighbours packets)
kill9_qosd a
check "nobody answers any more" exits 7 ctl a show interfaces
wait "$traffic"
check "shaping goes on after kill -9 under traffic" between "$(cat "$dir/measured")" 100 140

# What nobody is there to see is learned all the same.
at neigh1 ping -q -c 1 -W 2 172.16.1.5 >/dev/null
before=$(dump_kernel router "$dir/a/pins")
check "its filters and maps are still there" contains "$before" "pref 20736 bpf"
check "with what they hold" contains "$before" "^value"
start_qosd a router
check "a new qosd starts over the old one's lock and socket" equal $? 0
check "it changes nothing" equal "$(dump_kernel router "$dir/a/pins")" "$before"
check "its plan is empty" plan_is_empty a
check "it says so in its log" contains "$(tail -n 3 "$dir/a/log")" "start: 0 changes"
check "it knows who was learned before" is_member a neighbours 172.16.1.100
check "and who was learned in between" is_member a neighbours 172.16.1.101
check "the counters went on" between "$(counter a wan0 ingress neighbours packets)" "$((packets + 1))" 1000000

# on-stop: keep, the default.
check "SIGTERM ends it with 0" stop_qosd a
check "and leaves the shaping" equal "$(dump_kernel router "$dir/a/pins")" "$before"
start_qosd a router
check "the next one starts" equal $? 0
check "and has nothing to do either" plan_is_empty a

# A drift is seen, and repaired by a reload.
at router tc filter delete dev wan0 ingress pref 20736
check "plan sees a filter that somebody deleted" exits 1 ctl a plan --exit-code
check "reload puts it back" exits 0 ctl a reload
check "and then plan is empty" plan_is_empty a
finish
