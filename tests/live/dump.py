#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Usage: dump.py PIN-DIR

For each line of standard input, the name of a file, writes into it what of traffic control and of pinned maps is in this network
namespace, sorted, as raw bytes of attributes, less what moves by itself (counters, programs' ids, what is learned); and prints
`done`. It knows nothing of qosd, and is much faster than tc and bpftool, for tests that look very often.
"""

import ctypes
import os
import socket
import struct
import sys

RTM_GETLINK, RTM_GETQDISC, RTM_GETTCLASS, RTM_GETTFILTER, RTM_GETACTION = 18, 38, 42, 46, 50
TCA_KIND, TCA_OPTIONS, TCA_HTB_INIT, TCA_BPF_ACT, TCA_BPF_ID = 1, 2, 2, 1, 11
TCA_ACT_KIND, TCA_ACT_OPTIONS, TCA_MIRRED_PARMS, TCA_POLICE_PARMS, TCA_POLICE_TM, TCA_ACT_TAB = 1, 2, 2, 1, 6, 1
TCA_COUNTERS = (3, 4, 5, 7)  # STATS, XSTATS, RATE, STATS2
IFLA_IFNAME, IFLA_TXQLEN, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_NUM_TX_QUEUES = 3, 13, 18, 20, 31
MEASURED = ("stats", "clock", "events", "sets_learned", "sets_written", "sets_prefixes", "keys")
SYS_BPF = 321
libc = ctypes.CDLL(None, use_errno=True)
rtnetlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)


def ask(kind, header):
    rtnetlink.send(struct.pack("=IHHII", 16 + len(header), kind, 0x301, 1, 0) + header)
    while True:
        data = rtnetlink.recv(1 << 18)
        while data:
            length, answer = struct.unpack_from("=IH", data)
            if answer in (2, 3):  # error, done
                return
            yield data[16:length]
            data = data[(length + 3) & ~3:]


def attributes(data):
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3fff] = data[4:length]
        data = data[(length + 3) & ~3:]
    return found


def text(found):
    return " ".join("%d=%s" % (kind, value.hex()) for kind, value in sorted(found.items()))


def links():
    for message in ask(RTM_GETLINK, bytes(16)):
        index, flags = struct.unpack_from("=xxxxiI", message)
        found = attributes(message[16:])
        name = found[IFLA_IFNAME].rstrip(b"\0").decode()
        ours = (IFLA_TXQLEN, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_NUM_TX_QUEUES)
        yield index, name, flags & 1, text({kind: found[kind] for kind in ours if kind in found})


def objects(kind, ifindex, parent):
    for message in ask(kind, struct.pack("=BxxxiIII", 0, ifindex, 0, parent, 0)):
        _, index, handle, parent_of_it, info = struct.unpack_from("=BxxxiIII", message)
        found = {a: v for a, v in attributes(message[20:]).items() if a not in TCA_COUNTERS}
        yield index, handle, parent_of_it, info, found.get(TCA_KIND, b"").rstrip(b"\0").decode(), found


# Less when it was made and used, and by whom. Of a mirred: its verdict, what it does, and to whom; by which index the kernel knows
# it is the kernel's choice.
def actions(data):
    for _, one in sorted(attributes(data).items()):
        found = attributes(one)
        kind = found[TCA_ACT_KIND].rstrip(b"\0").decode()
        options = attributes(found[TCA_ACT_OPTIONS])
        if kind == "mirred":
            parms = options[TCA_MIRRED_PARMS]
            yield "mirred %s" % (parms[8:12] + parms[20:28]).hex()
        elif kind == "police":
            parms = options[TCA_POLICE_PARMS]
            options[TCA_POLICE_PARMS] = parms[:44] + parms[52:]
            options.pop(TCA_POLICE_TM, None)
            yield "police %s" % text(options)
        else:
            yield "%s %s" % (kind, text(options))


def policers():
    one = struct.pack("=HH7sx", 11, TCA_ACT_KIND, b"police\0")
    table = struct.pack("=HH", 4 + 4 + len(one), TCA_ACT_TAB) + struct.pack("=HH", 4 + len(one), 1) + one
    for message in ask(RTM_GETACTION, bytes(4) + table):
        yield from actions(attributes(message[4:])[TCA_ACT_TAB])


def tc(lines):
    devices = list(links())
    lines.extend("action " + one for one in policers())
    for index, name, up, rest in devices:
        if rest.find("716f7364") >= 0:  # an alias of ours: qosd
            lines.append("link %d %s up %d %s" % (index, name, up, rest))
    for index, handle, parent, _, kind, found in objects(RTM_GETQDISC, 0, 0):
        if kind == "clsact":
            continue
        if kind == "htb":  # less the packets that it has sent past all classes
            init = attributes(found[TCA_OPTIONS])
            init[TCA_HTB_INIT] = init[TCA_HTB_INIT][:16]
            found[TCA_OPTIONS] = text(init).encode()
        lines.append("qdisc %d %x parent %x %s %s" % (index, handle, parent, kind, text(found)))
    for device, name, _, _ in devices:
        for index, handle, parent, info, kind, found in objects(RTM_GETTCLASS, device, 0):
            if kind == "htb":
                lines.append("class %d %x parent %x leaf %x %s" % (index, handle, parent, info, text(found)))
        for hook in (0xfffffff2, 0xfffffff3):
            for index, handle, parent, info, kind, found in objects(RTM_GETTFILTER, device, hook):
                if TCA_OPTIONS not in found:
                    continue
                options = attributes(found.pop(TCA_OPTIONS))
                options.pop(TCA_BPF_ID, None)
                if TCA_BPF_ACT in options:
                    options[TCA_BPF_ACT] = " ".join(actions(options[TCA_BPF_ACT])).encode()
                lines.append("filter %d %x parent %x %x %s %s %s" % (index, handle, parent, info, kind, text(found), text(options)))


def bpf(command, attr):
    buf = ctypes.create_string_buffer(attr + bytes(128 - len(attr)), 128)
    return libc.syscall(SYS_BPF, command, buf, 128)


def entries(path):
    name = ctypes.create_string_buffer(path.encode())
    fd = bpf(7, struct.pack("=Q", ctypes.addressof(name)))
    if fd < 0:
        return
    info = ctypes.create_string_buffer(128)
    bpf(15, struct.pack("=IIQ", fd, 128, ctypes.addressof(info)))
    kind, _, key_size, value_size, room = struct.unpack_from("=IIIII", info)
    yield "type %d key %d value %d max %d" % (kind, key_size, value_size, room)
    key, value, before = ctypes.create_string_buffer(key_size), ctypes.create_string_buffer(value_size + 8), 0
    while bpf(4, struct.pack("=IxxxxQQ", fd, before, ctypes.addressof(key))) == 0:
        if bpf(1, struct.pack("=IxxxxQQ", fd, ctypes.addressof(key), ctypes.addressof(value))) == 0:
            yield "%s %s" % (key.raw.hex(), value.raw[:value_size].hex())
        before = ctypes.addressof(key)
    os.close(fd)


def maps(lines, top):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            shown = path[len(top):]
            lines.append("pin " + shown)
            if name == "learned" or any(word in name for word in MEASURED) or name.endswith(".debug"):
                continue
            lines.extend("map %s %s" % (shown, entry) for entry in entries(path))


for line in sys.stdin:
    everything = []
    tc(everything)
    maps(everything, sys.argv[1])
    with open(line.strip(), "w") as out:
        out.writelines(one + "\n" for one in sorted(everything))
    print("done", flush=True)
