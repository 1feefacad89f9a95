#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Neighbour sharing, measured: the example's demonstration with each engine, both families of addresses, and the neighbours on
# a VLAN.
#
# variants: tc-4 bpf-4 tc-6 bpf-6 tc-vlan bpf-vlan tc-vlan6
# measures
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

variant=${1:-bpf-4}
export QOSD_ENGINE=${variant%%-*}
needs_root
needs_engine "$QOSD_ENGINE"
case $variant in
*6) export DEMO_FAMILY=6 ;;
*) export DEMO_FAMILY=4 ;;
esac
case $variant in
*vlan*)
	if ! has_vlan; then
		skip "everything" "the kernel has no VLAN interfaces (CONFIG_VLAN_8021Q)"
		finish
	fi
	export TOPOLOGY_VLAN=100
	;;
esac

check "everybody gets what the policy says" "$example/demo.sh"
finish
