#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Usage: make-csv.sh [N]
#
# Prints the file of N subscribers (10000): 100.64.0.1 and on, every second one with plan basic, of the others every second one
# with plus, the rest with pro. Instead of this, your billing system.
exec awk -v n="${1:-10000}" 'BEGIN {
	print "# SPDX-License-Identifier: GPL-2.0-or-later"
	print "# address, up, down"
	for (i = 1; i <= n; i++) {
		address = sprintf("100.%d.%d.%d", 64 + int(i / 65536), int(i / 256) % 256, i % 256)
		if (i % 2)
			print address ",2mbit,10mbit   # basic"
		else if (i % 4)
			print address ",5mbit,25mbit   # plus"
		else
			print address ",10mbit,50mbit  # pro"
	}
}'
