#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The example with containers does what its README says.
# measures
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
export DEMO_SECONDS=4 # a policed TCP flow is where its rate is only in the mean
TMPDIR=$dir "$top/examples/containers/measure.sh" >"$dir/demo" 2>&1
status=$?
check "it comes to its end, and the rates are the same with and without fast paths" equal "$status" 0 || cat "$dir/demo"
check "it shows eight figures" equal "$(grep -c '[^T] as it should be$' "$dir/demo")" 8
check "and what the kernel's counters miss" contains "$(cat "$dir/demo")" '^veth-web .* tx *$'
finish
