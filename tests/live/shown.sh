#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The policies that people are shown do something: each of README.md, the man pages, examples/ and policies/ is put in force, on
# interfaces of the names that it has, and taken away again.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
netns box far
daemon_dir a
policy=$dir/a/qosd.yaml

# The interfaces that the policy waits for; for a pattern, one that it fits.
waiting()
{
	ctl a --json show interfaces | jq -r '.interfaces[] | select(.state == "waiting") | .interface' | sort -u | sed 's/[*?]/0/g; s/\[\(.\)[^]]*\]/\1/g'
}

nobody_waits()
{
	[ -z "$(waiting)" ]
}

number=0
make_link() # IFNAME
{
	number=$((number + 1))
	ip -n "$prefix-box" link add "$1" type veth peer name "far$number" netns "$prefix-far" && ip -n "$prefix-box" link set "$1" up
}

# With the files beside it.
put() # FOLDER
{
	rm -rf "$dir/a/policy.d"
	cp -rL "$1/." "$dir/a/"
}

reload()
{
	ctl a reload >"$dir/said" 2>&1 || { cat "$dir/said"; return 1; }
}

in_force()
{
	local link links
	reload || return
	links=$(waiting)
	for link in $links; do
		make_link "$link" || return
	done
	within 20 nobody_waits || { ctl a show interfaces; return 1; }
	reload || return # what names an interface that was not there may have been put off
	equal "$(ctl a --json show interfaces | jq -c '[.interfaces[] | select(.state != "shaped" and .state != "learning")]')" "[]" &&
		plan_is_empty a
}

said_and_done() # STATUS
{
	cat "$dir/out"
	return "$1"
}

gone()
{
	local link
	echo "version: 1" >"$policy"
	reload && plan_is_empty a || return
	for link in $(ip -n "$prefix-box" -json link show type veth | jq -r '.[].ifname'); do
		ip -n "$prefix-box" link delete "$link" || return
	done
}

echo "version: 1" >"$policy"
check "qosd starts" start_qosd a box
mkdir "$dir/shown"
"$top/tests/run-yaml-blocks" --into "$dir/shown" >"$dir/list"
check "there are policies that people are shown" between "$(wc -l <"$dir/list")" 30 1000
while read -r folder what; do
	# In software emulation, which is slow, those that need what not every kernel has: the others run elsewhere.
	is_emulated && ! grep -q -E 'edt|engine: tc|qdisc:' "$dir/shown/$folder/qosd.yaml" && continue
	put "$dir/shown/$folder"
	status=0
	in_force >"$dir/out" 2>&1 || status=$?
	why=$(sed -n 's/.*error: \(this kernel has no [^,;:]*\).*/\1/p' "$dir/said" | head -n 1)
	if [ "$status" -ne 0 ] && [ "$why" ]; then
		skip "$what is in force" "$why"
	else
		check "$what is in force" said_and_done "$status"
	fi
	status=0
	gone >"$dir/out" 2>&1 || status=$?
	check "and goes again" said_and_done "$status"
done <"$dir/list"
check "no device of theirs is left" equal "$(ip -n "$prefix-box" -json link show | jq -r '.[].ifname')" lo
check "nor a map" equal "$(find "$dir/a/pins" -path '*/hooks/*')" ""
finish
