#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Usage: flood.py FLOW..

Sends UDP, from namespace to namespace, at a steady rate, until it is terminated. A flow is
NAMESPACE/SOURCE>NAMESPACE/ADDRESS:PORT[/DSCP]@KBIT, the rate on the wire with the headers down to Ethernet's. Nobody answers, so
that one direction puts nothing into the other. Prints `ready` when it begins.
"""

import ctypes
import os
import socket
import sys
import time

CLONE_NEWNET = 0x40000000
PAYLOAD, HEADERS = 1400, 14 + 20 + 8
BEHIND = 40  # packets at most that are made up for after a pause
libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    fd = os.open("/run/netns/" + namespace, os.O_RDONLY)
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns " + namespace)
    os.close(fd)


class Flow:
    def __init__(self, text):
        path, kbit = text.split("@")
        sender, receiver = path.split(">")
        namespace, source = sender.split("/")
        to, address, *dscp = receiver.split("/")
        address, port = address.split(":")
        self.each = (PAYLOAD + HEADERS) * 8 / (float(kbit) * 1000)
        enter(to)
        self.sink = socket.socket(type=socket.SOCK_DGRAM)  # full soon, and quiet
        self.sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self.sink.bind((address, int(port)))
        enter(namespace)
        self.source = socket.socket(type=socket.SOCK_DGRAM)
        if dscp:
            self.source.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, int(dscp[0]) << 2)
        self.source.bind((source, 0))
        self.source.connect((address, int(port)))
        self.next = 0

    def send(self, now, payload):
        self.next = max(self.next, now - BEHIND * self.each)
        while self.next <= now:
            self.source.send(payload)
            self.next += self.each
        return self.next


def main():
    flows = [Flow(text) for text in sys.argv[1:]]
    payload = bytes(PAYLOAD)
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        soonest = min(flow.send(now, payload) for flow in flows)
        time.sleep(max(0.001, soonest - time.monotonic()))


main()
