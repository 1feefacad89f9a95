#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""netkit NAME PEER MODE: makes a pair of netkit devices (Linux 6.7) in this network namespace, as the iproute2 of
Debian 12 cannot: mode l2 or l3. Status 77 where the kernel has none, or was built without them."""
import errno
import os
import socket
import struct
import sys

RTM_NEWLINK, NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 16, 1, 4, 0x200, 0x400
IFLA_IFNAME, IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA = 3, 18, 1, 2
IFLA_NETKIT_PEER_INFO, IFLA_NETKIT_MODE = 1, 5  # include/uapi/linux/if_link.h
MODES = {"l2": 0, "l3": 1}


def attribute(kind, value):
    return (struct.pack("=HH", 4 + len(value), kind) + value).ljust(4 + (len(value) + 3 & ~3), b"\0")


def named(name):
    return bytes(16) + attribute(IFLA_IFNAME, name.encode() + b"\0")


def main():
    name, peer, mode = sys.argv[1:4]
    data = attribute(IFLA_NETKIT_PEER_INFO, named(peer)) + attribute(IFLA_NETKIT_MODE, struct.pack("=I", MODES[mode]))
    info = attribute(IFLA_INFO_KIND, b"netkit\0") + attribute(IFLA_INFO_DATA, data)
    body = named(name) + attribute(IFLA_LINKINFO, info)
    flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.settimeout(10)
        s.send(struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, flags, 1, 0) + body)
        error = -struct.unpack_from("=i", s.recv(65536), 16)[0]
    if error == errno.EOPNOTSUPP:
        sys.exit(77)
    if error:
        sys.exit(f"{name}: {os.strerror(error)}")


main()
