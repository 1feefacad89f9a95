#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The daemon's ends: the control socket, who may do what, signals, the service manager, exit codes.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

needs_root
netns router wan
cable router wan0 wan eth0
address wan eth0 172.16.1.5/24
sharing_policy a auto
chmod 755 "$dir" "$dir/a" "$dir/a/run"

check "qosctl without a daemon exits with 7" exits 7 ctl a show classes
check "an unknown command is a usage error" exits 2 ctl a dance
check "so is an unknown option" exits 2 "$qosctl" --colour
check "and an unknown option of qosd" exits 2 "$qosd" --colour
check "qosd needs root" exits 4 setpriv --reuid=65534 --regid=65534 --clear-groups "$qosd" --config "$dir/a/qosd.yaml" \
	--run-dir "$dir/a/run" --state-dir "$dir/a/state" --pin-dir "$dir/a/pins"
check "qosd -t does not, nor a kernel" exits 0 setpriv --reuid=65534 --regid=65534 --clear-groups "$qosd" -t --config "$dir/a/qosd.yaml"

# The service manager's socket hears of it.
python3 - "$dir/notify" "$dir/heard" <<'END' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
with open(sys.argv[2], "w") as out:
    while True:
        print(s.recv(4096).decode(), file=out, flush=True)
END
within 5 test -S "$dir/notify"
NOTIFY_SOCKET=$dir/notify start_qosd a router
check "qosd starts" equal $? 0
check "the service manager hears READY=1" within 5 grep -q '^READY=1' "$dir/heard"
for what in policy effective interfaces classes filters sets capabilities; do
	check "show $what answers" exits 0 ctl a show "$what"
	check "show $what answers in JSON" jq -e . <<<"$(ctl a --json show "$what")"
done
check "stats answers" exits 0 ctl a stats
check "stats answers in JSON" jq -e . <<<"$(ctl a --json stats)"
ctl a show effective >"$dir/effective.yaml"
check "effective is a policy again" exits 0 "$qosctl" check "$dir/effective.yaml"
check "show capabilities names the kernel" contains "$(ctl a --json show capabilities | jq -r .kernel)" "^$(uname -r | sed 's/+/./g')$"
check "reload exits with 0" exits 0 ctl a reload
check "the service manager hears RELOADING=1" within 5 grep -q '^RELOADING=1' "$dir/heard"
check "show of what there is not exits with 2" exits 2 ctl a show fish
check "show of a set there is not exits with 1" exits 1 ctl a show sets nobody

# Bypass.
check "bypass on" exits 0 ctl a bypass on
check "is shown" equal "$(ctl a --json bypass show | jq .bypass)" true
check "show interfaces warns of it" contains "$(ctl a show interfaces 2>&1)" "^qosctl: warning: bypass is on: nothing is shaped$"
check "plan does too" contains "$(ctl a --json plan | jq -r .warning)" "^bypass is on: nothing is shaped$"
check "the log says who asked" contains "$(cat "$dir/a/log")" "bypass is on: nothing is shaped, as asked for by root"
check "bypass off" exits 0 ctl a bypass off
check "is shown too" equal "$(ctl a --json bypass show | jq .bypass)" false
check "nobody warns any more" equal "$(ctl a --json show interfaces | jq .warning)" null

# Nobody tells when clsact is taken away.
missing()
{
	ctl a --json show interfaces | jq -c '[.interfaces[] | .missing // [] | .[]] | unique'
}
check "nothing is missing" equal "$(missing)" "[]"
at router tc qdisc del dev wan0 clsact
check "clsact that somebody deleted is" equal "$(missing)" '["clsact is gone"]'
check "the log tells of it" within 15 grep -q 'wan0 ingress: clsact is gone; nothing is classified there until' "$dir/a/log"
check "a reload brings it back" exits 0 ctl a reload
check "and all of it" equal "$(missing)$(ctl a --json plan | jq -c .changes)" "[][]"

# Who may do what.
as() # GROUP COMMAND..
{
	setpriv --reuid=65534 --regid="$1" --clear-groups "$qosctl" --run-dir "$dir/a/run" "${@:2}"
}
check "a stranger may not look" exits 4 as 65534 show classes
check "nor change anything" exits 4 as 65534 reload
if ! getent group qosd >/dev/null && [ "$(hostname)" = qosd-test ]; then
	groupadd -r qosd # a machine of the test's own
fi
if getent group qosd >/dev/null; then
	stop_qosd a
	start_qosd a router
	check "a member of the group qosd may look" exits 0 as qosd show classes
	check "but not change anything" exits 4 as qosd reload
	check "nor stop it" exits 4 as qosd stop
else
	skip "members of the group qosd" "there is no such group, and this machine is not ours to add one"
fi

# Clients that mean no good.
python3 - "$dir/a/run/qosd.sock" <<'END'
import os, socket, sys
def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(5)
    s.connect(sys.argv[1])
    return s
for garbage in (b"\n", b"\0\0\0\n", b"{}\n", b"[" * 60000 + b"\n", b"x" * 200000 + b"\n", b'{"command": 7}\n', b'{"command": "show", "args": []}\n',
                os.urandom(5000) + b"\n", b'{"command": "show", "args": {"what": {"what": "what"}}}\n', b""):
    s = connect()
    try:
        s.sendall(garbage)
        s.shutdown(socket.SHUT_WR)
        while s.recv(65536):
            pass
    except (BrokenPipeError, ConnectionResetError):
        pass
    s.close()
END

# Its exit code for a request. What has the wrong type is not what is left out: without a rule, all are meant.
answers_to() # REQUEST
{
	python3 - "$dir/a/run/qosd.sock" "$1" <<-'END'
		import json, socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
		s.settimeout(10)
		s.connect(sys.argv[1])
		s.sendall(sys.argv[2].encode() + b"\n")
		print(json.loads(b"".join(iter(lambda: s.recv(65536), b"")))["exit"])
	END
}
check "a rule that is no word is not all rules" equal "$(answers_to '{"command": "forward", "args": {"on": false, "rule": 5}}')" 2
check "nor is anything else of a wrong type left out" equal "$(answers_to '{"command": "stats", "args": {"what": 5}}')" 2
check "garbage on the socket leaves it well" exits 0 timeout 10 "$qosctl" --run-dir "$dir/a/run" show interfaces
python3 - "$dir/a/run/qosd.sock" <<'END' &
import socket, sys, time
held = []
for i in range(200):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.setblocking(False)
    try:
        s.connect(sys.argv[1])
    except BlockingIOError:
        break
    held.append(s)
time.sleep(20)
END
holder=$!
sleep 1
check "two hundred connections that say nothing do not keep it from answering" within 30 ctl a show interfaces
kill "$holder"
check "plan is empty" plan_is_empty a

# Many signals during a reload that takes its time are one more, or two, and do not keep it from hearing others.
daemon_dir h
{
	printf 'version: 1\nsets:\n  many:\n    elements:\n'
	for i in {1..20000}; do
		echo "      - 10.$((i >> 16)).$((i >> 8 & 255)).$((i & 255))"
	done
	cat <<-'END'
		policies:
		  p:
		    type: police
		    default: rest
		    classes: [{name: few, rate: 1mbit, match: [{src: "@many"}]}, {name: rest, rate: 10mbit}]
		interfaces: {eth0: {ingress: {policy: p}}}
	END
} >"$dir/h/qosd.yaml"
reloads()
{
	grep -c 'reload: [0-9]* change' "$dir/h/log"
}
check "qosd starts with a large set" start_qosd h wan
# One process sends them all: one each would come no faster, in emulation, than the reloads.
python3 - "${pid_of[h]}" <<'END' &
import os, signal, sys, time
for i in range(300):
    os.kill(int(sys.argv[1]), signal.SIGHUP)
    time.sleep(0.001)
END
sender=$!
check "in three hundred SIGHUP a client is answered" exits 0 timeout 20 "$qosctl" --run-dir "$dir/h/run" show interfaces
check "all of them are sent" wait "$sender"
check "and SIGTERM heard" stop_qosd h
check "they were few reloads" between "$(reloads)" 1 100

# The ends.
check "SIGTERM: exit status 0" stop_qosd a
check "the service manager hears STOPPING=1" within 5 grep -q '^STOPPING=1' "$dir/heard"
check "the socket is gone" fails test -e "$dir/a/run/qosd.sock"
start_qosd a router
check "it starts again" equal $? 0
check "qosctl stop: exit status 0" exits 0 ctl a stop
check "and then nobody answers" within 5 exits 7 ctl a show interfaces
wait "${pid_of[a]}"
check "the daemon ended with 0" equal $? 0
unset 'pid_of[a]'
finish
