#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The example with many subscribers does what its README says.
# measures
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
export DEMO_SECONDS=3
if is_emulated; then
	export DEMO_SUBSCRIBERS=1000
fi
TMPDIR=$dir "$top/examples/subscribers/demo.sh" >"$dir/demo" 2>&1
status=$?
check "it comes to its end, and everybody has his rate" equal "$status" 0 || cat "$dir/demo"
check "it shows ten measured rates" equal "$(grep -c '[^T] as it should be$' "$dir/demo")" 10
check "one changed line is one change" contains "$(cat "$dir/demo")" 'made 1 change'
finish
