#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What qosd(8) tells an administrator to do at the beginning, without the daemon, and at the end, typed as it stands there.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
netns router wan
cable router wan0 wan eth0
address router wan0 172.16.1.1/24
address wan eth0 172.16.1.5/24
daemon_dir a
policy=$dir/a/qosd.yaml

programs()
{
	at router tc filter show dev wan0 ingress
	at router tc filter show dev wan0 egress
}

no_programs()
{
	equal "$(programs)" ""
}

# The capabilities that the unit leaves, and nothing else: a daemon under its rules.
unit_qosd() # FILE: instead of the program
{
	local caps
	caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$top/qosd.service.in" | tr 'A-Z ' 'a-z,' | sed 's/cap_/+/g')
	printf '#!/bin/sh\nexec setpriv --bounding-set "-all,%s" --no-new-privs "%s" "$@"\n' "$caps" "$(realpath "$qosd")" >"$1"
	chmod +x "$1"
	qosd=$1
}

write_policy()
{
	cat >"$policy" <<-'END'
		version: 1
		policies:
		  up: {type: htb, rate: 10mbit, default: all, classes: [{name: all, rate: 10mbit}]}
		  down: {type: police, engine: bpf, default: all, classes: [{name: all, rate: 10mbit}]}
		interfaces:
		  wan0: {egress: {policy: up}, ingress: {policy: down}}
	END
	has_qdisc htb || sed -i '/type: htb/d; s/egress: {policy: up}, //' "$policy"
}

counted() # COUNTER
{
	ctl a --json stats | jq --arg c "$1" '.hooks[] | select(.direction == "ingress") | .[$c]'
}

# "The first five minutes", over the link that is about to be shaped.
unit_qosd "$dir/qosd-of-the-unit"
echo 'version: 1' >"$policy"
start_qosd a router
check "with the unit's capabilities qosd starts, with a policy that does nothing" equal $? 0
write_policy
check "the first policy that does something can be on trial" exits 0 ctl a reload --confirm=5
check "it is in force" contains "$(programs)" "pref 20736"
check "and gone when nobody confirms it" within 60 no_programs
check "confirmed" exits 0 ctl a reload --confirm
check "it stays" exits 0 ctl a confirm

# "When it is not running".
at wan ping -q -c 1 -W 2 172.16.1.1 >/dev/null
kill9_qosd a
check "the bypass works without the daemon" bpftool map update pinned "$dir/a/pins/v4/bypass" key 0 0 0 0 value 1 0 0 0
at wan ping -q -c 3 -i 0.2 -W 2 172.16.1.1 >/dev/null
check "and off again" bpftool map update pinned "$dir/a/pins/v4/bypass" key 0 0 0 0 value 0 0 0 0
check "without bpftool, tc takes engine bpf out of the way" at router tc filter del dev wan0 ingress pref 20736
if has_qdisc htb; then
	check "and type htb" at router tc qdisc del dev wan0 root
fi
start_qosd a router
check "a new daemon takes over" equal $? 0
check "and puts back what was taken away" plan_is_empty a
check "on ingress too" contains "$(at router tc filter show dev wan0 ingress)" "pref 20736"
check "and has counted what was let pass meanwhile" between "$(counted bypassed_packets)" 3 100

# "Taking qosd off a machine", where a policy was gone back to and the daemon was killed.
sed -i 's/10mbit/20mbit/' "$policy"
check "another policy" exits 0 ctl a reload
check "is gone back from" exits 0 ctl a rollback
kill9_qosd a
printf 'version: 1\nsettings: {on-stop: remove}\n' >"$policy"
rm -r "$dir/a/state/history"
start_qosd a router
check "a policy with on-stop: remove and nothing else starts" equal $? 0
kill -INT "${pid_of[a]}"
check "and ends with ^C" wait "${pid_of[a]}"
unset "pid_of[a]"
check "no filter is left" no_programs
check "no qdisc but an empty clsact" equal "$(at router tc qdisc show dev wan0 | grep -v -E ' clsact | noqueue 0: ')" ""
check "no device" fails contains "$(at router ip -o link show)" "qosd"
check "no map" equal "$(find "$dir/a/pins" -name "v[0-9]*" 2>/dev/null)" ""
finish
