# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the scripts of the examples share: a network of namespaces, qosd in one of them, TCP between them, a verdict on what was
# measured, and an end that takes everything away, whatever happened.
#
# What measures calls begin first and finish last. A topology.sh sets prefix and names, has a function build, and calls
# up_or_down. Namespace NAME is called $prefix-NAME in the system; what a script writes is below $dir.
#
#   QOSD, QOSCTL     the programs                  (found in PATH)
#   DEMO_SECONDS     length of each measurement    (5, if the script has no other)

qosd=${QOSD:-qosd}
qosctl=${QOSCTL:-qosctl}
seconds=${DEMO_SECONDS:-5}
prefix=
names=()
dir=
daemon=
bad=0

# ---- beginning and end ----

die()
{
	echo "$(basename "$0" .sh): $*" >&2
	exit 1
}

begin() # NAME: what the namespaces' names begin with
{
	[ "$(id -u)" -eq 0 ] || die "needs root, for network namespaces and traffic control"
	prefix=$1$$
	dir=$(mktemp -d "${TMPDIR:-/tmp}/qosd-demo.XXXXXX") || exit
	trap clean_up EXIT
	trap 'exit 130' INT TERM
}

clean_up()
{
	local made
	if [ -n "$daemon" ]; then
		kill "$daemon" 2>/dev/null
		wait "$daemon" 2>/dev/null
	fi
	# shellcheck disable=SC2046 # process ids
	kill $(jobs -p) 2>/dev/null
	mapfile -t made < <(ip netns list | sed -n "s/^\($prefix-[^ ]*\).*/\1/p")
	remove "${made[@]}"
	mountpoint -q "$dir/pins" && umount "$dir/pins"
	rm -rf "$dir"
}

# Exit status 0 if all was as it should be; what qosd had to say if not.
finish()
{
	if [ "$bad" -ne 0 ]; then
		echo
		cat "$dir/log"
	fi
	exit "$bad"
}

# ---- namespaces ----

netns() # NAME..
{
	local name
	for name in "$@"; do
		ip netns add "$prefix-$name" && ip -n "$prefix-$name" link set lo up || return
	done
}

# Both ends are up.
cable() # NAME IFNAME NAME IFNAME
{
	ip link add name "$2" netns "$prefix-$1" type veth peer name "$4" netns "$prefix-$3" &&
		ip -n "$prefix-$1" link set "$2" up &&
		ip -n "$prefix-$3" link set "$4" up
}

# An IPv6 address is usable at once.
address() # NAME IFNAME IPV4/LEN [IPV6/LEN]
{
	ip -n "$prefix-$1" address add "$3" dev "$2" || return
	[ $# -lt 4 ] || ip -n "$prefix-$1" address add "$4" dev "$2" nodad
}

# What runs in the namespace is asked to end, and made to where it does not within three seconds.
empty() # NAMESPACE
{
	local pids tries
	for ((tries = 0; tries < 40; tries++)); do
		mapfile -t pids < <(ip netns pids "$1" 2>/dev/null)
		[ ${#pids[@]} -gt 0 ] || break
		case $tries in
		0) kill "${pids[@]}" 2>/dev/null || true ;;
		30) kill -KILL "${pids[@]}" 2>/dev/null || true ;;
		esac
		sleep 0.1
	done
}

# The namespaces, by their names in the system, and all that runs in them. Those that are not there are none the worse.
remove() # NAMESPACE..
{
	local ns
	for ns in "$@"; do
		empty "$ns"
		ip netns delete "$ns" 2>/dev/null || true
	done
}

# The work of a topology.sh. What could be built of it goes again if not all could.
up_or_down() # up|down
{
	case ${1:-} in
	up)
		[ ! -e "/run/netns/$prefix-${names[0]}" ] || die "$prefix is up already"
		trap 'remove "${names[@]/#/$prefix-}"' EXIT
		build
		trap - EXIT
		;;
	down)
		remove "${names[@]/#/$prefix-}"
		;;
	*)
		echo "usage: topology.sh up|down [PREFIX]" >&2
		exit 2
		;;
	esac
}

# ip netns exec would mount a new /sys; entering the network alone does not.
at() # NAME COMMAND..
{
	local name=$1
	shift
	nsenter --net="/run/netns/$prefix-$name" "$@"
}

# ---- qosd ----

# Not by at: its subshell would be who is killed in the end.
start_qosd() # NAME POLICY
{
	local tries
	mkdir "$dir/run" "$dir/state" "$dir/pins"
	nsenter --net="/run/netns/$prefix-$1" "$qosd" --config "$2" --run-dir "$dir/run" --state-dir "$dir/state" \
		--pin-dir "$dir/pins" 2>"$dir/log" &
	daemon=$!
	for ((tries = 0; tries < 300; tries++)); do
		ctl show interfaces >/dev/null 2>&1 && return
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.1
	done
	cat "$dir/log" >&2
	die "qosd did not start"
}

ctl() # ARG..
{
	"$qosctl" --run-dir "$dir/run" "$@"
}

# ---- measuring ----

# Until the command says something, for a minute at most: an emulated processor takes its time.
await() # NAME COMMAND..
{
	for _ in {1..300}; do
		at "$@" | grep -q . && break
		sleep 0.2
	done
}

# TCP for $seconds: kbit/s that got there. The seconds that are skipped empty the bucket, or fill it, which is no rate. More
# arguments go to the client. What iperf3 says is in $dir/iperf-ADDRESS.
tcp() # FROM TO ADDRESS SKIPPED PORT [ARG..]
{
	local from=$1 to=$2 address=$3 skipped=$4 port=$5 server
	shift 5
	# Not by at: what is killed in the end would be its subshell.
	nsenter --net="/run/netns/$prefix-$to" timeout $((seconds + 100)) iperf3 -s -1 -p "$port" >/dev/null 2>&1 &
	server=$!
	await "$to" ss -Hltn "sport = :$port"
	at "$from" timeout $((seconds + 40)) iperf3 -c "$address" -p "$port" -O "$skipped" -t "$seconds" -J "$@" >"$dir/iperf-$address"
	kill "$server" 2>/dev/null
	wait "$server" 2>/dev/null
	jq -r '.end.sum_received.bits_per_second // 0 | . / 1000 | round' "$dir/iperf-$address"
}

# Sets verdict, the word for a value, and bad where it is not a good one.
judge() # VALUE LOW HIGH [WORD-FOR-BAD]
{
	verdict="as it should be"
	if ! [ "$1" -ge "$2" ] 2>/dev/null || ! [ "$1" -le "$3" ]; then
		# shellcheck disable=SC2034 # used by those who source this
		verdict=${4:-NOT as it should be}
		bad=1
	fi
}
