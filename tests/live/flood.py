#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Usage: flood.py FLOW..

Sends UDP, from namespace to namespace, at a steady rate, until it is terminated. A flow is
NAMESPACE/SOURCE>NAMESPACE/ADDRESS:PORT[/DSCP]@KBIT, the rate on the wire with the headers down to Ethernet's. Nobody answers, so
that one direction puts nothing into the other. Prints `ready` when it begins.
"""

import socket
import sys
import time

from flow import Flow

PAYLOAD, HEADERS = 1400, 14 + 20 + 8
BEHIND = 40  # packets at most that are made up for after a pause


class Flood(Flow):
    def __init__(self, text):
        path, kbit = text.split("@")
        super().__init__(path)
        self.each = (PAYLOAD + HEADERS) * 8 / (float(kbit) * 1000)
        self.sink = self.far_end(socket.SOCK_DGRAM)  # full soon, and quiet
        self.sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self.sink.bind(self.to)
        self.source = self.near_end(socket.SOCK_DGRAM)
        self.source.connect(self.to)
        self.next = 0

    def send(self, now, payload):
        self.next = max(self.next, now - BEHIND * self.each)
        while self.next <= now:
            self.source.send(payload)
            self.next += self.each
        return self.next


def main():
    flows = [Flood(text) for text in sys.argv[1:]]
    payload = bytes(PAYLOAD)
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        soonest = min(flow.send(now, payload) for flow in flows)
        time.sleep(max(0.001, soonest - time.monotonic()))


main()
