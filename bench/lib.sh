# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the benchmarks that are scripts share: namespaces and daemons as the live tests have them, and figures that go to the
# file $BENCH_JSON in the end, see bench/report. A benchmark sources this, measures, and calls done_measuring last.

# shellcheck source=../tests/live/lib.sh
. "${top_srcdir:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}/tests/live/lib.sh"

# shellcheck disable=SC2034 # used by those who source this
flood=${top_builddir:-.}/bench/flood
rows='[]'
ratios='[]'
goals='[]'

row() # WHAT WHO VALUE UNIT [NOTE]: VALUE null where it could not be measured, and NOTE says why
{
	rows=$(jq -c --arg what "$1" --arg who "$2" --argjson value "${3:-null}" --arg unit "$4" --arg note "${5:-}" \
		'. + [{what: $what, who: $who, value: $value, unit: $unit} + if $note == "" then {} else {note: $note} end]' <<<"$rows")
}

# How many times the first value is of the second; nothing if one of them is not known.
ratio() # WHAT VALUE VALUE
{
	ratios=$(jq -c --arg what "$1" --argjson a "$2" --argjson b "$3" \
		'if $a and $b and $b != 0 then . + [{what: $what, value: ($a / $b)}] else . end' <<<"$ratios")
}

goal() # WHAT VALUE at_most|at_least LIMIT UNIT
{
	goals=$(jq -c --arg what "$1" --argjson value "${2:-null}" --arg kind "$3" --argjson limit "$4" --arg unit "$5" \
		'. + [{what: $what, value: $value, ($kind): $limit, unit: $unit}]' <<<"$goals")
}

value_of() # WHAT WHO
{
	jq --arg what "$1" --arg who "$2" 'first(.[] | select(.what == $what and .who == $who) | .value) // null' <<<"$rows"
}

# Now, in seconds.
moment()
{
	local now=${EPOCHREALTIME/,/.}
	echo "$now"
}

since() # SECONDS
{
	awk -v a="$1" -v b="$(moment)" 'BEGIN { printf "%.6f\n", b - a }'
}

# Why it cannot run here; ends it.
cannot() # WHY
{
	echo "  $1"
	# shellcheck disable=SC2034 # of tests/live/lib.sh
	finished=yes
	exit 77
}

done_measuring() # NAME ABOUT
{
	jq -n --arg bench "$1" --arg about "$2" --argjson ratios "$ratios" --argjson goals "$goals" --argjson rows "$rows" \
		'{bench: $bench, about: $about, ratios: $ratios, goals: $goals, rows: $rows}' >"${BENCH_JSON:-/dev/stdout}"
	# shellcheck disable=SC2034 # of tests/live/lib.sh
	finished=yes
}

[ "$(id -u)" -eq 0 ] || cannot "needs root, for network namespaces"
