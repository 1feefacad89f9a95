#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Whatever is handed over in place of a policy: a clear no, and what runs goes on running.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
sharing_up
sharing_policy a auto
policy=$dir/a/qosd.yaml
cp "$policy" "$dir/good"
start_qosd a router
check "qosd starts with a good policy" equal $? 0
at neigh0 ping -q -c 1 -W 2 172.16.1.5 >/dev/null
within 5 is_member a neighbours 172.16.1.100 >/dev/null
before=$(dump_kernel router "$dir/a/pins")

# $policy is something bad now: check, -t and reload say so, each with 6, in a moment, and nothing else happens.
refused() # SENTENCE
{
	local said
	check "$1: qosctl check exits with 6" exits 6 timeout 20 "$qosctl" check "$policy"
	said=$("$qosctl" check "$policy" 2>&1 | head -c 2000)
	check "$1: with a sentence that names the file" contains "$said" "qosd\.yaml.*error: .+\[[a-z0-9-]+\]"
	check "$1: qosd -t exits with 6" exits 6 timeout 20 "$qosd" -t --config "$policy"
	check "$1: reload exits with 6" exits 6 timeout 20 "$qosctl" --run-dir "$dir/a/run" reload
	check "$1: what runs is untouched" equal "$(dump_kernel router "$dir/a/pins")" "$before"
	rm -rf "$policy"
}

cat >"$policy" <<'END'
version: 1
sets:
  neighbours:
    learn: {on: ["neigh*"], within: [172.16.1.7/24], timeout: 10 minutes}
  neighbours: {}
policies:
  sharing:
    type: police
    default: nobody
    classes:
      - name: neighbours
        rate: 128kbps
        burst: big
        match: [{local: "@neighbors"}]
        colour: blue
      - name: everyone
        rate: 1024
        prio: 3
interfaces:
  wan0: {side: left, ingress: {policy: shairing}}
END
said=$("$qosctl" check "$policy" 2>&1)
# What each line is about, as LINE:WORD; a mistake may hide another on its line, never one on another line.
for place in 4:within 4:timeout 5:neighbours 9:default 12:rate 13:burst 14:match 15:colour 17:rate 18:prio 20:side; do
	check "ten mistakes and one: line ${place%:*} (${place#*:}) is reported" contains "$said" \
		"qosd\.yaml:${place%:*}:[0-9]+: error: .+\[[a-z0-9-]+\]"
done
check "ten mistakes: each once at least" between "$(grep -c ': error: ' <<<"$said")" 10 14
refused "a file with ten mistakes"

head -c 65536 /dev/urandom >"$policy"
refused "a binary"

printf '\0\0\0\0' >"$policy"
refused "NUL bytes"

mkdir "$policy"
refused "a directory"

: >"$policy"
refused "an empty file"

{
	cat "$dir/good"
	head -c 52428800 /dev/zero | tr '\0' '#'
} >"$policy"
refused "a file of 50 MB"

{
	printf 'version: 1\nsets: '
	head -c 200000 /dev/zero | tr '\0' '['
} >"$policy"
refused "brackets 200,000 deep"

{
	printf 'version: 1\nvars:\n  a: &a [x, x, x, x, x, x, x, x, x]\n'
	last=a
	for name in b c d e f g h i j k l; do
		echo "  $name: &$name [*$last, *$last, *$last, *$last, *$last, *$last, *$last, *$last, *$last]"
		last=$name
	done
} >"$policy"
refused "an alias bomb"

{
	printf 'version: 1\nvars:\n  a: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"\n'
	last=a
	for name in b c d e f g h i j k l; do
		# shellcheck disable=SC2016 # the policy's own variables
		printf '  %s: "${%s}${%s}${%s}${%s}${%s}${%s}${%s}${%s}"\n' "$name" $last $last $last $last $last $last $last $last
		last=$name
	done
	echo "sets: {\"\${$last}\": {}}"
} >"$policy"
refused "variables within variables"

mkfifo "$policy"
refused "a pipe that nobody writes to"

ln -s qosd.yaml "$policy"
refused "a link to itself"

check "a file that is not there: check says so" exits 6 "$qosctl" check "$policy"
check "a file that is not there: reload exits with 6" exits 6 ctl a reload

# The daemon is as well as before.
cp "$dir/good" "$policy"
check "and after all that the good policy reloads, with nothing to do" equal "$(changes a reload)" 0
check "and the neighbour is still known" is_member a neighbours 172.16.1.100
check "and what runs is untouched" equal "$(dump_kernel router "$dir/a/pins")" "$before"

# A daemon that is started with such a file says so and touches nothing.
netns other
cable other wan0 other peer0
daemon_dir b
echo 'version: 2' >"$dir/b/qosd.yaml"
check "qosd does not start with a bad policy, exit status 6" exits 6 start_qosd b other
check "and touches nothing" equal "$(at other tc qdisc show dev wan0 clsact)$(ls "$dir/b/pins")" ""
finish
