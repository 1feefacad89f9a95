#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A reload that is not confirmed goes back by itself, whatever happens to the daemon meanwhile; the policies before can be
# gone back to.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
netns router wan
cable router wan0 wan eth0
address router wan0 172.16.1.1/24
address wan eth0 172.16.1.5/24
sharing_policy a auto
policy=$dir/a/qosd.yaml

start_a()
{
	start_qosd a router
}

kernel()
{
	dump_kernel router "$dir/a/pins"
}

# What the file says of the class everyone.
write_rate() # KBIT
{
	sed -i "/name: everyone/,/burst/s/rate: .*/rate: $1kbit/" "$policy"
}

rate()
{
	ctl a --json show classes | jq '.hooks[0].classes[] | select(.name == "everyone").rate_bps / 1000'
}

rate_is() # KBIT
{
	equal "$(rate)" "$1"
}

# The marks of a policy of the history, in one line.
marks() # NUMBER
{
	ctl a --json show history | jq -r --argjson n "$1" '.history[] | select(.number == $n).is | join(", ")'
}

numbers()
{
	ctl a --json show history | jq -r '[.history[].number | tostring] | join(" ")'
}

in_force()
{
	ctl a --json show "$1" | jq -r '.in_force // ""'
}

packets()
{
	counter a wan0 ingress everyone packets
}

check "qosd starts" start_a
check "the policy that it started with is the history" equal "$(numbers): $(marks 1)" "1: in force"
check "with who brought it" equal "$(ctl a --json show history | jq -r '.history[0].who')" start
check "there is nothing before it to go back to" exits 1 ctl a rollback
check "nor anything to confirm" exits 1 ctl a confirm
check "a policy that is not there cannot be gone back to" exits 1 ctl a rollback 99
check "--confirm wants at least 5 seconds" exits 2 ctl a reload --confirm=4
check "and whole ones" exits 2 ctl a reload --confirm=5s
check "and belongs to reload" exits 2 ctl a --confirm plan
first=$(kernel)
at router ping -q -c 10 -i 0.02 172.16.1.5 >/dev/null
counted=$(packets)
check "packets are counted" between "$counted" 10 100

# Nobody confirms.
write_rate 2000
said=$(ctl a reload --confirm=5)
check "reload --confirm says what will happen" contains "$said" "goes back to policy 1 in 5 s unless .qosctl confirm. comes"
check "the new policy is in force" rate_is 2000
check "the history says until when" equal "$(marks 1); $(marks 2)" "next unless confirmed; in force, to be confirmed"
check "and for how long" between "$(ctl a --json show history | jq '.history[0].left_ms')" 1 5000
check "and whose it is" equal "$(ctl a --json show history | jq -r '.history[1].who')" "$(id -un)"
check "another reload has to wait" exits 1 ctl a reload
check "which plan says, too" contains "$(ctl a plan 2>&1 >/dev/null)" \
	"warning: a reload would be refused now: the last reload waits to be confirmed and goes back to policy 1 in [1-5] s"
check "and is told how long" contains "$(ctl a reload 2>&1)" "goes back to policy 1 in [1-5] s"
kill -HUP "${pid_of[a]}"
check "SIGHUP has to wait too" within 2 grep -q "reload: the last reload waits to be confirmed" "$dir/a/log"
check "unconfirmed, the old policy is back within the time" within 7 rate_is 1024
check "in the kernel too" equal "$(kernel)" "$first"
check "and the history says which was gone back from" equal "$(marks 1); $(marks 2)" "in force, gone back to; gone back from"
check "and counts on" between "$(packets)" "$counted" 1000
check "the log says so" contains "$(cat "$dir/a/log")" "nobody has confirmed policy 2; policy 1 is in force again"
check "show policy says that the file is not in force" contains "$(in_force policy)" "^policy 1 .*not in force"
check "so does show interfaces" contains "$(in_force interfaces)" "^policy 1 .*not in force"
check "plan sees what the file would change" exits 1 ctl a plan --exit-code
check "and warns of what is in force" contains "$(ctl a plan 2>&1 >/dev/null)" "warning: in force is policy 1"
write_rate 1024
check "with the old file back, plan is empty" plan_is_empty a
check "a reload of it changes nothing" equal "$(changes a reload)" 0
check "and the file is in force again" equal "$(in_force policy)" ""

# Somebody confirms.
check "reload --confirm of what is in force leaves nothing to wait for" contains "$(ctl a reload --confirm)" "nothing waits"
write_rate 3000
check "the next one" exits 0 ctl a reload --confirm=5
check "is confirmed" exits 0 ctl a confirm
sleep 6
check "and stays" rate_is 3000
check "as a policy like any other" equal "$(marks 3)" "in force"
check "plan is empty" plan_is_empty a
echo 'version: 2' >"$dir/bad"
cp "$policy" "$dir/good"
cp "$dir/bad" "$policy"
check "an invalid policy is refused with --confirm as without" exits 6 ctl a reload --confirm=5
check "and leaves nothing to confirm" exits 1 ctl a confirm
cp "$dir/good" "$policy"

# By hand.
said=$(ctl a rollback)
check "rollback names the policy" contains "$said" "^policy: 1$"
check "and the policy before is in force, not one that was never confirmed" rate_is 1024
check "the kernel is as at first" equal "$(kernel)" "$first"
check "the history says so" equal "$(marks 1)" "in force, gone back to"
check "any policy of the history can be gone back to" exits 0 ctl a rollback 2
check "and then is in force" rate_is 2000
check "but not the one that is in force already" exits 1 ctl a rollback 2
check "a reload brings the file back" exits 0 ctl a reload
check "and its rate" rate_is 3000
check "plan is empty after that" plan_is_empty a
before=$(kernel)

# The daemon is killed while it waits.
write_rate 4000
check "a reload that is to be confirmed" exits 0 ctl a reload --confirm=5
kill9_qosd a
check "a new daemon starts while it waits" start_a
check "with the policy that waits" rate_is 4000
check "and goes back in time" within 7 rate_is 3000
check "in the kernel too, after kill -9" equal "$(kernel)" "$before"

# The time passes without a daemon.
check "the same again" exits 0 ctl a reload --confirm=5
check "the daemon ends meanwhile" exits 0 ctl a stop
wait "${pid_of[a]}"
unset 'pid_of[a]'
check "and said once what is still to come" equal "$(grep -c 'goes back to policy .* at its next start' "$dir/a/log")" 1
sleep 6
check "it starts after the time" start_a
check "with the policy before" rate_is 3000
check "and nothing else" equal "$(kernel)" "$before"

# What was gone back to is in force until the next reload, over restarts, even if the file is invalid by now.
cp "$dir/bad" "$policy"
check "a daemon that went back ends" stop_qosd a
check "and starts although the file is invalid" start_a
check "with what was gone back to" rate_is 3000
check "and says so" contains "$(tail -n 4 "$dir/a/log")" "in force is policy .* of the history"
check "and in show policy" contains "$(in_force policy)" "not in force"
cp "$dir/good" "$policy"
check "reload ends that" exits 0 ctl a reload
check "for good" equal "$(in_force policy)" ""

# The daemon died in the middle of such a reload, before the new policy was in the history.
write_rate 5000
check "qosd ends" stop_qosd a
state=$dir/a/state/history/state.json
jq --arg boot "$(cat /proc/sys/kernel/random/boot_id)" \
	'.pending = {back_to: .current, deadline_ms: 9000000000000, boot_id: $boot}' "$state" >"$dir/state"
cp "$dir/state" "$state"
check "and starts" start_a
check "without what was never done" rate_is 3000
check "and nothing waits" exits 1 ctl a confirm

# It cannot go back when the time is over: said, and tried again.
check "a reload again" exits 0 ctl a reload --confirm=5
text=$dir/a/state/history/$(printf %06d "$(ctl a --json show history | jq '.history[] | select(.left_ms).number')").yaml
mv "$text" "$dir/text"
check "with nothing to go back to in time" within 7 grep -q "going back: trying again in 1 s" "$dir/a/log"
check "stays in force" rate_is 5000
mv "$dir/text" "$text"
check "and is gone back from when that is possible" within 4 rate_is 3000

# The policy to go back to is damaged: said, and the one before it takes its place.
check "what the file says comes with a reload" exits 0 ctl a reload --confirm=5
back_to=$(ctl a --json show history | jq '.history[] | select(.left_ms).number')
check "that waits" stop_qosd a
echo >>"$dir/a/state/history/$(printf %06d "$back_to").yaml"
sleep 6
check "qosd starts when it cannot go back there" start_a
check "with the one before" fails rate_is 5000
check "and says so" contains "$(cat "$dir/a/log")" "policy $back_to, to go back to, is lost; policy .* takes its place"
check "qosd ends well" stop_qosd a

# ---- what is in the way must not keep the rest from going back ----

netns edge peer
cable edge wan0 peer e0
cable edge lan0 peer e1
daemon_dir b
type=police
has_qdisc htb && type=htb

# A policy with these classes, of which all has the rate, on these interfaces.
write_b() # KBIT CLASSES INTERFACE..
{
	local class
	{
		printf 'version: 1\npolicies:\n  p:\n    type: %s\n    default: all\n    classes:\n' "$type"
		for class in $2; do
			printf '      - {name: %s, rate: %skbit, match: [{dscp: ef}]}\n' "$class" 500
		done
		printf '      - {name: all, rate: %skbit}\ninterfaces:\n' "$1"
		printf '  %s: {egress: {policy: p}}\n' "${@:3}"
	} >"$dir/b/qosd.yaml"
	[ "$type" = police ] || sed -i 's/^    default/    rate: 10mbit\n    default/' "$dir/b/qosd.yaml"
}

classes_b()
{
	ctl b --json show classes | jq -r '[.hooks[0].classes[] | select(.name == ("all", "quick")) | "\(.name) \(.rate_bps / 1000)"] | sort | join(", ")'
}

classes_are() # CLASSES
{
	equal "$(classes_b)" "$1"
}

write_b 1000 quick wan0
start_qosd b edge
check "qosd starts with two classes" classes_are "all 1000, quick 500"
write_b 2000 "" wan0
check "a reload on trial takes one away" exits 0 ctl b reload --confirm=5
rm "$dir/b/state/handles.json"
mkdir "$dir/b/state/handles.json"
check "with a disk that takes no numbers, it is back all the same" within 8 classes_are "all 1000, quick 500"
check "the log says what could not be written" contains "$(cat "$dir/b/log")" \
	"going back: cannot write .*/handles.json: Is a directory; after a restart"
rmdir "$dir/b/state/handles.json"
check "and nothing waits" exits 1 ctl b confirm

if [ "$type" = htb ]; then
	root_of() # INTERFACE
	{
		at edge tc qdisc show dev "$1" root | cut -d ' ' -f 2,3
	}

	root_is() # INTERFACE KIND HANDLE
	{
		equal "$(root_of "$1")" "$2 $3"
	}

	# Of the interfaces wan0 and lan0 the second is let go, and somebody puts a qdisc of his own there.
	try_without_lan0()
	{
		write_b 1000 "" wan0 lan0
		ctl b reload || return
		classes_are "all 1000" && root_is lan0 htb 5100: || return
		write_b 3000 "" wan0
		ctl b reload --confirm=5 && at edge tc qdisc replace dev lan0 root handle 7: pfifo limit 7
	}
	check "a reload on trial lets go of an interface, and somebody puts a qdisc there" try_without_lan0
	: >"$dir/b/log"
	check "the rest goes back in time" within 8 classes_are "all 1000"
	check "that one is left alone" root_is lan0 pfifo 7:
	check "the log says why, and where it is asked for" grep -q "\.yaml:[0-9]*:[0-9]*: lan0 is not shaped: lan0 has a root qdisc pfifo 7:" "$dir/b/log"
	at edge tc qdisc delete dev lan0 root
	check "it is shaped, too, once that is gone" within 70 root_is lan0 htb 5100:

	check "the same again" try_without_lan0
	kill9_qosd b
	sleep 6
	check "a start after the time" start_qosd b edge
	check "goes back, too" classes_are "all 1000"
	check "and leaves that one alone" root_is lan0 pfifo 7:
	at edge tc qdisc delete dev lan0 root
	check "until that is gone" within 70 root_is lan0 htb 5100:

	check "and once more" try_without_lan0
	check "by hand it is gone back as well" contains "$(ctl b rollback 2>&1)" "warning: lan0 has a root qdisc pfifo 7:"
	check "to the policy before" classes_are "all 1000"
	at edge tc qdisc delete dev lan0 root
	check "and to the last interface, once it is free" within 70 root_is lan0 htb 5100:
else
	skip "an interface that somebody else has taken does not keep the others from going back" "the kernel has no sch_htb (CONFIG_NET_SCH_HTB)"
fi

# ---- a history that cannot be written ----

history=$dir/b/state/history
in_force_b()
{
	ctl b --json show history | jq '.history[] | select(.is | index("in force")).number'
}

written_is() # NUMBER
{
	equal "$(jq .current "$history/state.json")" "$1"
}

write_b 1000 "" wan0
ctl b reload >/dev/null
before=$(in_force_b)
next=$history/$(printf %06d "$(ctl b --json show history | jq '[.history[].number] | max + 1')").json.new
mkdir "$next"
write_b 4000 "" wan0
check "a policy that cannot be put into the history is in force, with a warning" contains "$(ctl b reload 2>&1)" \
	"warning: the policy is in force, but cannot be put into the history"
check "and is" classes_are "all 4000"
check "but none of the history" equal "$(in_force_b)" ""
write_b 5000 "" wan0
check "it cannot be gone back to, which is said before the next one is put on trial" contains "$(ctl b reload --confirm=5 2>&1)" \
	"could not be put into the history, and so cannot be gone back to"
check "from it, the way back is to the one before" contains "$(ctl b rollback)" "^policy: $before$"
check "which is in force" classes_are "all 1000"
rmdir "$next"
check "a reload on trial, with room again" exits 0 ctl b reload --confirm=5
mkdir "$history/state.json.new"
check "without any, it is gone back from all the same" within 8 classes_are "all 1000"
check "nothing waits" contains "$(ctl b confirm 2>&1)" "nothing waits to be confirmed"
check "the history says so" equal "$(in_force_b)" "$before"
rmdir "$history/state.json.new"
check "and its file, once it can be written" within 12 written_is "$before"

check "qosd ends well, too" stop_qosd b
finish
