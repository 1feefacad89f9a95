# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the live tests share: namespaces of the test's own, daemons with directories of their own, checks that are counted, and
# an end that takes everything away, whatever happened. A test sources this, does its work, and calls finish last.
#
#   QOSD, QOSCTL    the programs; set by tests/live/run
#   top_srcdir      the source tree
#   top_builddir    where it was built
#
# Namespace NAME is called $prefix-NAME in the system. Everything else a test writes is below $dir.
set -uo pipefail

qosd=${QOSD:-./qosd}
qosctl=${QOSCTL:-./qosctl}
# shellcheck disable=SC2034 # used by those who source this
spoof=${top_builddir:-.}/tests/live/spoof # built by make check
top=${top_srcdir:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
example=$top/examples/neighbour-sharing
prefix=q$$
dir=$(mktemp -d "${TMPDIR:-/tmp}/qosd-live.XXXXXX")
declare -A pid_of=() # daemons by name
passed=0
failed=0
skipped=0
finished=no

# ---- the end ----

clean_up()
{
	local name mounted ns
	trap '' INT TERM # who ends a test may say so more than once
	for name in "${!pid_of[@]}"; do
		kill -KILL "${pid_of[$name]}" 2>/dev/null
		wait "${pid_of[$name]}" 2>/dev/null
	done
	# shellcheck disable=SC2046 # a list of process ids
	kill $(jobs -p) 2>/dev/null
	for ns in $(ip netns list | sed -n "s/^\($prefix-[^ ]*\).*/\1/p"); do
		# A job is a shell around the program that it started.
		# shellcheck disable=SC2046 # a list of process ids
		kill -KILL $(ip netns pids "$ns") 2>/dev/null
		ip netns delete "$ns"
	done
	findmnt -rn -o TARGET | grep -F "$dir/" | sort -r | while read -r mounted; do
		umount "$mounted"
	done
	rm -rf "$dir"
	if [ "$finished" = no ]; then
		echo "not ok - came to the end of the test"
	fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Call it last. Exit status 0: all well; 1: a check failed; 77: nothing but skips.
finish()
{
	finished=yes
	echo "# $passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ] || exit 1
	[ "$passed" -gt 0 ] || exit 77
	exit 0
}

# ---- checks ----

# Runs the command; its success is the check's. What it printed is shown if it failed.
check() # SENTENCE COMMAND [ARG..]
{
	local sentence=$1
	shift
	if "$@" >"$dir/.check" 2>&1; then
		echo "ok - $sentence"
		passed=$((passed + 1))
	else
		echo "not ok - $sentence"
		{
			printf '%s\n' "$*"
			cat "$dir/.check"
		} | sed 's/^/#   /'
		failed=$((failed + 1))
		return 1
	fi
}

skip() # SENTENCE WHY
{
	echo "skip - $1 # $2"
	skipped=$((skipped + 1))
}

fails() # COMMAND..
{
	! "$@"
}

exits() # STATUS COMMAND..
{
	local want=$1 got=0
	shift
	"$@" || got=$?
	echo "exit status $got, expected $want"
	[ "$got" -eq "$want" ]
}

between() # VALUE LOW HIGH
{
	echo "$1, expected $2 to $3"
	[[ $1 =~ ^-?[0-9]+$ ]] && [ "$1" -ge "$2" ] && [ "$1" -le "$3" ]
}

equal() # GOT EXPECTED
{
	[ "$1" = "$2" ] || diff <(printf '%s\n' "$2") <(printf '%s\n' "$1")
}

contains() # TEXT PATTERN
{
	grep -q -E -e "$2" <<<"$1" || { printf '%s\n' "nothing like $2 in:" "$1"; return 1; }
}

# Tries the command for so many seconds until it succeeds, ever less often: where it is emulated, to look takes as long as to wait.
within() # SECONDS COMMAND..
{
	local end=$((SECONDS + $1)) ms=100
	shift
	until "$@" >/dev/null 2>&1; do
		if [ "$SECONDS" -ge "$end" ]; then
			"$@"
			return
		fi
		sleep "0.$ms"
		ms=$((ms < 600 ? ms * 3 / 2 : 900))
	done
}

# ---- what this kernel has ----

needs_root()
{
	if [ "$(id -u)" -ne 0 ]; then
		skip "everything" "needs root"
		finish
	fi
}

has_police()
{
	local answer=1
	ip netns add "$prefix-probe" || return 1
	ip netns exec "$prefix-probe" tc actions add action police rate 1mbit burst 10k index 1 2>/dev/null && answer=0
	ip netns delete "$prefix-probe"
	return "$answer"
}

has_vlan()
{
	local answer=1
	ip netns add "$prefix-probe" || return 1
	ip -n "$prefix-probe" link add name v0 type veth peer name v1
	ip -n "$prefix-probe" link add link v0 name v0.5 type vlan id 5 2>/dev/null && answer=0
	ip netns delete "$prefix-probe"
	return "$answer"
}

has_qdisc() # KIND [ARG..]
{
	local answer=1
	ip netns add "$prefix-probe" || return 1
	at probe tc qdisc add dev lo root "$@" 2>/dev/null && answer=0
	ip netns delete "$prefix-probe"
	return "$answer"
}

# Without it the sentence (everything) is skipped, and that was the test.
needs_qdisc() # KIND [SENTENCE]
{
	if ! has_qdisc "$1"; then
		skip "${2:-everything}" "the kernel has no sch_$1 (CONFIG_NET_SCH_${1^^})"
		finish
	fi
}

# The engine that this variant of the test is about must be one that the kernel has.
needs_engine() # tc|bpf
{
	if [ "$1" = tc ] && ! has_police; then
		skip "everything" "the kernel has no act_police (CONFIG_NET_ACT_POLICE)"
		finish
	fi
}

# Under QEMU's software emulation, thirty times slower: a test may do less of the same.
is_emulated()
{
	grep -q '^model name.*QEMU' /proc/cpuinfo
}

# ---- namespaces ----

netns() # NAME..
{
	local name
	for name in "$@"; do
		ip netns add "$prefix-$name"
		ip -n "$prefix-$name" link set lo up
	done
}

# A cable between two namespaces; both ends up, IPv6 addresses usable at once. As many queues as the kernel gives it, or, called
# with queues=N in front of it, so many each way at both ends.
cable() # NS IFNAME NS IFNAME
{
	local each=(${queues:+numtxqueues "$queues" numrxqueues "$queues"})
	ip link add name "$2" netns "$prefix-$1" "${each[@]}" type veth peer name "$4" netns "$prefix-$3" "${each[@]}" &&
		ip -n "$prefix-$1" link set "$2" up && ip -n "$prefix-$3" link set "$4" up
}

address() # NS IFNAME ADDRESS/LEN..
{
	local ns=$1 dev=$2 a
	shift 2
	for a in "$@"; do
		case $a in
		*:*) ip -n "$prefix-$ns" address add "$a" dev "$dev" nodad ;;
		*) ip -n "$prefix-$ns" address add "$a" dev "$dev" ;;
		esac
	done
}

# A namespace behind a router: a cable from the router's interface to the namespace's, as with `cable`, addresses at both ends, and
# the way to all that is elsewhere by the router, which forwards IPv4.
behind() # ROUTER-NS IFNAME ADDRESS/LEN NS IFNAME ADDRESS/LEN..
{
	local router=$1 gate=$2 gateway=$3 ns=$4 dev=$5
	shift 5
	cable "$router" "$gate" "$ns" "$dev" || return
	address "$router" "$gate" "$gateway"
	address "$ns" "$dev" "$@"
	ip -n "$prefix-$ns" route add default via "${gateway%/*}"
	at "$router" sysctl -qw net.ipv4.ip_forward=1
}

# Enters the network alone: ip netns exec would mount a new /sys, and hide the pins.
at() # NS COMMAND..
{
	local ns=$1
	shift
	nsenter --net="/run/netns/$prefix-$ns" "$@"
}

# The example's network: router, wan, neigh0..2, lan0..1.
sharing_up()
{
	"$example/topology.sh" up "$prefix"
}

# ---- daemons ----

# The example's policy for a daemon, with this engine.
sharing_policy() # NAME ENGINE
{
	daemon_dir "$1"
	sed "s/engine: auto /engine: $2 /" "$example/qosd.yaml" >"$dir/$1/qosd.yaml"
}

# A policy that limits each address on its own; those in subscribers.csv beside it have their rates there.
subscribers_policy() # WHAT-ELSE-PER-SAYS INTERFACES
{
	cat <<-END
		version: 1
		sets:
		  subscribers: {file: subscribers.csv}
		policies:
		  access:
		    type: police
		    default: all
		    classes:
		      - {name: all, per: {key: local, set: subscribers, $1}}
		interfaces:
		  $2
	END
}

# Daemon NAME lives in $dir/NAME: qosd.yaml (the caller writes it), run, state, pins, log.
daemon_dir() # NAME
{
	mkdir -p "$dir/$1/run" "$dir/$1/state" "$dir/$1/pins"
}

# Starts it in a namespace and waits until it answers. Status: 0, or its own if it ended. More arguments go to qosd.
start_qosd() # NAME NS [ARG..]
{
	local name=$1 ns=$2 i status
	shift 2
	daemon_dir "$name"
	nsenter --net="/run/netns/$prefix-$ns" "$qosd" --config "$dir/$name/qosd.yaml" --run-dir "$dir/$name/run" \
		--state-dir "$dir/$name/state" --pin-dir "$dir/$name/pins" "$@" >>"$dir/$name/log" 2>&1 </dev/null &
	pid_of[$name]=$!
	for ((i = 0; i < 600; i++)); do
		ctl "$name" show interfaces >/dev/null 2>&1 && return 0
		if ! kill -0 "${pid_of[$name]}" 2>/dev/null; then
			status=0
			wait "${pid_of[$name]}" || status=$?
			unset "pid_of[$name]"
			tail -n 15 "$dir/$name/log"
			return "$status"
		fi
		sleep 0.1
	done
	echo "qosd does not answer"
	tail -n 15 "$dir/$name/log"
	return 124
}

# SIGTERM; its exit status.
stop_qosd() # NAME
{
	local pid=${pid_of[$1]}
	unset "pid_of[$1]"
	kill -TERM "$pid" && wait "$pid"
}

kill9_qosd() # NAME
{
	local pid=${pid_of[$1]}
	unset "pid_of[$1]"
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	return 0
}

ctl() # NAME ARG..
{
	local name=$1
	shift
	"$qosctl" --run-dir "$dir/$name/run" "$@"
}

plan_is_empty() # NAME
{
	ctl "$1" plan --exit-code
}

# How many changes a plan or a reload has.
changes() # NAME plan|reload
{
	ctl "$1" --json "$2" | jq '.changes | length'
}

# One counter of a class of a hook.
counter() # NAME INTERFACE DIRECTION CLASS KEY
{
	ctl "$1" --json stats | jq --arg i "$2" --arg d "$3" --arg c "$4" --arg k "$5" \
		'.hooks[] | select(.interface == $i and .direction == $d) | .classes[] | select(.name == $c) | .[$k] // 0'
}

# The addresses of a set, sorted, in one line.
members() # NAME SET
{
	ctl "$1" --json show sets "$2" | jq -r '[.sets[0].addresses[].address] | sort | join(" ")'
}

is_member() # NAME SET ADDRESS
{
	[[ " $(members "$1" "$2") " == *" $3 "* ]]
}

# ---- what is in the kernel ----

# Everything of traffic control and every pinned map in a namespace, less what moves by itself: counters, ages, ids,
# what is learned.
dump_kernel() # NS PIN-DIR
{
	local dev pin
	{
		echo "qdisc show"
		for dev in $(ip -n "$prefix-$1" -o link show 2>/dev/null | sed 's/^[0-9]*: \([^:@]*\).*/\1/'); do
			printf 'filter show dev %s ingress\nfilter show dev %s egress\n' "$dev" "$dev"
		done
		echo "actions show action police"
	} >"$dir/.tc"
	at "$1" tc -force -batch "$dir/.tc" 2>/dev/null |
		# used_hw_stats says whether somebody has looked for hardware counters since the action was made.
		sed '/used_hw_stats/d; s/ id [0-9]*//; s/ installed [0-9]*//; s/ used [0-9]*//; s/ firstused [0-9]* sec//; s/ ref [0-9]* bind [0-9]*//'
	find "$2" -type f 2>/dev/null | sort >"$dir/.pins"
	while read -r pin; do
		case $pin in
		*.debug | *stats* | *clock* | *events* | */learned) ;;
		*sets_learned | *sets_written | *sets_prefixes) ;; # outer maps: ids of the inner ones
		*) echo "map dump pinned $pin" ;;
		esac
	done <"$dir/.pins" >"$dir/.bpftool"
	sed "s|^$2||" "$dir/.pins"
	bpftool batch file "$dir/.bpftool" 2>&1 | sed "s|^# .*$2||"
}

# The same for tests that look very often: dump.py stays, and writes into a file when it is told to.
start_dumper() # NS PIN-DIR
{
	coproc dumper { exec nsenter --net="/run/netns/$prefix-$1" python3 "$top/tests/live/dump.py" "$2"; }
	# shellcheck disable=SC2154 # coproc makes it
	exec {ask}>&"${dumper[1]}" {told}<&"${dumper[0]}"
}

dump() # FILE
{
	local answer
	echo "$1" >&"$ask"
	read -r answer <&"$told" && [ "$answer" = "done" ]
}

is_there() # FILE WHEN: what such a file says, now
{
	dump "$dir/now"
	cmp -s "$1" "$dir/now" || { echo "$2:"; diff "$1" "$dir/now"; return 1; }
}

# ---- traffic ----

listening() # NS ss-ARG..
{
	local ns=$1
	shift
	at "$ns" ss -Hln "$@" | grep -q .
}

# TCP from one namespace to an address of another: kbit/s that got there, less three seconds that empty the bucket.
tcp_kbit() # FROM-NS TO-NS ADDRESS SECONDS [PORT]
{
	local from=$1 to=$2 to_address=$3 seconds=$4 port=${5:-5201} server out
	at "$to" timeout $((seconds + 40)) iperf3 -s -1 -p "$port" >/dev/null 2>&1 &
	server=$!
	within 60 listening "$to" -t "sport = :$port" >/dev/null
	out=$(at "$from" timeout $((seconds + 30)) iperf3 -c "$to_address" -p "$port" -O 3 -t "$seconds" -J 2>/dev/null)
	kill "$server" 2>/dev/null
	wait "$server" 2>/dev/null
	jq -r '.end.sum_received.bits_per_second // 0 | . / 1000 | round' <<<"$out"
}

# n UDP packets of size bytes of payload, one way, as fast as they go or paced; nobody need answer.
udp_send() # NS ADDRESS PORT N SIZE [SECONDS-BETWEEN]
{
	at "$1" timeout 120 python3 - "$2" "$3" "$4" "$5" "${6:-0}" <<-'END'
		import socket, sys, time
		address, port, n, size, pause = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])
		s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
		for i in range(n):
		    try:
		        s.sendto(bytes(size), (address, port))
		    except ConnectionRefusedError:
		        pass
		    if pause:
		        time.sleep(pause)
	END
}

# The same, one each so many seconds, in the background until end_pour, and for a minute at most. Not by at: what is killed would be
# its subshell.
udp_pour() # NS ADDRESS PORT SIZE SECONDS-BETWEEN
{
	timeout 60 nsenter --net="/run/netns/$prefix-$1" python3 - "${@:2}" <<-'END' &
		import socket, sys, time
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		while True:
		    s.sendto(bytes(int(sys.argv[3])), (sys.argv[1], int(sys.argv[2])))
		    time.sleep(float(sys.argv[4]))
	END
	pouring=$!
}

end_pour()
{
	kill "$pouring" 2>/dev/null
	wait "$pouring" 2>/dev/null
}

# So many of a hundred pings come back within what it prints.
rtt_us() # NS ADDRESS PINGS SECONDS-BETWEEN PERCENT
{
	at "$1" ping -n -c "$3" -i "$4" -w 40 "$2" | sed -n 's/.*time=\([0-9.]*\) ms/\1/p' | sort -n |
		awk -v percent="$5" '{ v[NR] = $1 * 1000 } END { printf "%d\n", v[int(NR * percent / 100)] }'
}

# TCP of all at once, "FROM-NS ADDRESS TO-NS ADDRESS", ten seconds behind the first three; $dir/kbit.N says what the Nth got, and
# $dir/out.N is iperf3's. Written in small pieces, as what is counted is whole ones.
tcp_all() # FLOW..
{
	local flow clients=() servers=() n=0 f
	for flow; do
		read -ra f <<<"$flow"
		n=$((n + 1))
		at "${f[2]}" timeout 100 iperf3 -s -1 -B "${f[3]}" -p $((5201 + n)) >/dev/null 2>&1 &
		servers+=($!)
	done
	n=0
	for flow; do
		read -ra f <<<"$flow"
		n=$((n + 1))
		within 30 listening "${f[2]}" -t "src ${f[3]} sport = :$((5201 + n))" >/dev/null
		at "${f[0]}" timeout 60 iperf3 -c "${f[3]}" -B "${f[1]}" -p $((5201 + n)) -l 4K -O 3 -t 10 -J >"$dir/out.$n" 2>/dev/null &
		clients+=($!)
	done
	wait "${clients[@]}"
	kill "${servers[@]}" 2>/dev/null
	wait "${servers[@]}" 2>/dev/null
	for ((n = 1; n <= $#; n++)); do
		jq -r '.end.sum_received.bits_per_second // 0 | . / 1000 | round' "$dir/out.$n" >"$dir/kbit.$n"
	done
}

# Frames straight out of an interface, one for each word: ip=SOURCE, arp=SENDER, nd=TARGET (a neighbour advertisement); with
# vlan=ID/ in front of it, once or twice, tagged.
frame_send() # NS IFNAME WORD..
{
	at "$1" python3 - "${@:2}" <<-'END'
		import socket, struct, sys

		def ip(source):
		    a = socket.inet_pton(socket.AF_INET6 if ":" in source else socket.AF_INET, source)
		    if len(a) == 4:
		        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 17, 0, a, socket.inet_aton("172.16.1.5"))
		        return 0x0800, head + struct.pack("!HHHH", 9, 9, 8, 0)
		    head = struct.pack("!IHBB16s16s", 0x60000000, 8, 17, 64, a, socket.inet_pton(socket.AF_INET6, "fd00:1::5"))
		    return 0x86dd, head + struct.pack("!HHHH", 9, 9, 8, 0)

		def arp(sender):
		    return 0x0806, struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac, socket.inet_aton(sender), bytes(6),
		                               socket.inet_aton("172.16.1.5"))

		def nd(target):
		    a = socket.inet_pton(socket.AF_INET6, target)
		    body = struct.pack("!BBHI16sBB6s", 136, 0, 0, 0x20000000, a, 2, 1, mac)
		    link_local = socket.inet_pton(socket.AF_INET6, "fe80::2")
		    to = socket.inet_pton(socket.AF_INET6, "ff02::1")
		    head = struct.pack("!IHBB16s16s", 0x60000000, len(body), 58, 255, link_local, to)
		    checksum = struct.pack("!16s16sII", link_local, to, len(body), 58) + body
		    total = sum(struct.unpack("!%dH" % (len(checksum) // 2), checksum))
		    while total >> 16:
		        total = (total & 0xffff) + (total >> 16)
		    return 0x86dd, head + body[:2] + struct.pack("!H", total ^ 0xffff) + body[4:]

		mac = bytes([2, 0, 0, 0, 0, 2])
		s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
		s.bind((sys.argv[1], 0))
		for word in sys.argv[2:]:
		    *tags, what = word.split("/")
		    kind, address = what.split("=")
		    ethertype, body = {"ip": ip, "arp": arp, "nd": nd}[kind](address)
		    for i, tag in enumerate(reversed(tags)):
		        body = struct.pack("!HH", int(tag.split("=")[1]), ethertype) + body
		        ethertype = 0x88a8 if i else 0x8100
		    frame = bytes([0xff] * 6) + mac + struct.pack("!H", ethertype) + body
		    s.send(frame.ljust(60, b"\0"))
	END
}
