#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Usage: load.py [-w NAMESPACE/IFNAME -c KBIT] [-b BYTES] WARM SECONDS FLOW..

Saturates with TCP, from namespace to namespace, and measures where it arrives. A flow is
NAME=NAMESPACE/SOURCE>NAMESPACE/ADDRESS:PORT[/DSCP]; flows of the same name are added up. After WARM seconds measures a window
of so many; then, or at SIGTERM, ends. SIGUSR1 ends a window and begins the next. For each window prints

    window SECONDS
    flow NAME KBIT-ON-THE-WIRE RETRANSMITS      with the headers down to Ethernet's; less those that the receiver had already
    top KBIT EXCESS                             with -w: what the interface sent in the 100 ms in which it sent most, as a rate,
                                                and by how many bytes any 100 ms were above the rate -c
and at last, of all the time

    total NAME BYTES-ON-THE-WIRE

-b is the receive buffer, which bounds what can be on its way. Prints `ready` when the first window begins.
"""

import argparse
import os
import selectors
import signal
import socket
import struct
import sys
import time

from flow import Flow, enter

HEADERS = 14 + 20 + 32  # Ethernet, IPv4, TCP with timestamps


class Load(Flow):
    def __init__(self, text, receive_buffer):
        self.name, path = text.split("=")
        super().__init__(path)
        self.at_start = self.retransmits_at_start = 0
        with self.far_end(socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if receive_buffer:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            listener.bind(self.to)
            listener.listen()
            self.source = self.near_end(socket.SOCK_STREAM)
            self.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends with a reset
            self.source.settimeout(20)
            self.source.connect(self.to)
            listener.settimeout(20)
            self.sink, _ = listener.accept()
        self.source.setblocking(False)
        self.sink.setblocking(False)
        mss = self.source.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        self.wire = (mss + HEADERS) / mss

    def retransmits(self):  # tcpi_total_retrans, less tcpi_dsack_dups: what a probe sent again that had not been lost
        info = self.source.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 224)
        return struct.unpack_from("I", info, 100)[0] - struct.unpack_from("I", info, 216)[0]

    def received(self):  # tcpi_bytes_received, which does not wait for us to be scheduled
        return struct.unpack_from("Q", self.sink.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136), 128)[0]

    def start(self):
        self.at_start, self.retransmits_at_start = self.received(), self.retransmits()


class Watch:
    """An interface's counter of sent bytes, every 100 ms."""

    def __init__(self, where, limit_kbit):
        namespace, self.ifname = where.split("/")
        enter(namespace)
        self.file = os.open("/proc/thread-self/net/dev", os.O_RDONLY)
        self.limit = limit_kbit * 125
        self.start()

    def read(self):
        before = time.monotonic()
        for line in os.pread(self.file, 65536, 0).decode().splitlines():
            if line.strip().startswith(self.ifname + ":"):
                return before, time.monotonic(), int(line.split(":")[1].split()[8])
        raise SystemExit(self.ifname + " is gone")

    def start(self):
        self.last, self.top, self.excess = self.read(), 0, 0

    def look(self):
        if time.monotonic() - self.last[0] < 0.1:
            return
        now = self.read()
        sent, seconds = now[2] - self.last[2], now[1] - self.last[0]
        self.top = max(self.top, sent / seconds)
        self.excess = max(self.excess, sent - self.limit * seconds)
        self.last = now


def main():
    options = argparse.ArgumentParser()
    options.add_argument("-w", dest="watch")
    options.add_argument("-c", dest="limit", type=int, default=0)
    options.add_argument("-b", dest="buffer", type=int, default=0)
    options.add_argument("warm", type=float)
    options.add_argument("seconds", type=float)
    options.add_argument("flows", nargs="+")
    args = options.parse_args()

    signals = []
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, lambda got, frame: signals.append(got))
    flows = [Load(text, args.buffer) for text in args.flows]
    names = list(dict.fromkeys(flow.name for flow in flows))
    watch = Watch(args.watch, args.limit) if args.watch else None
    selector = selectors.DefaultSelector()
    for flow in flows:
        selector.register(flow.source, selectors.EVENT_WRITE, flow)
        selector.register(flow.sink, selectors.EVENT_READ, flow)
    data, space = bytes(1 << 16), bytearray(1 << 18)

    begun, started = time.monotonic(), None
    while True:
        for key, _ in selector.select(0.01):
            flow = key.data
            try:
                if key.fileobj is flow.source:
                    flow.source.send(data)
                else:
                    flow.sink.recv_into(space)
            except BlockingIOError:
                pass
        now = time.monotonic()
        if started is None:
            if now < begun + args.warm:
                continue
            started = now
            for part in flows + ([watch] if watch else []):
                part.start()
            print("ready", flush=True)
        if watch:
            watch.look()
        if not signals and now < started + args.seconds:
            continue
        print("window %.2f" % (now - started))
        for name in names:
            mine = [flow for flow in flows if flow.name == name]
            wire = sum((flow.received() - flow.at_start) * flow.wire for flow in mine)
            again = sum(flow.retransmits() - flow.retransmits_at_start for flow in mine)
            print("flow %s %d %d" % (name, wire / 125 / (now - started), again))
        if watch:
            print("top %d %d" % (watch.top / 125, watch.excess))
        sys.stdout.flush()
        if not signals or signals.pop(0) == signal.SIGTERM:
            break
        started = now
        for part in flows + ([watch] if watch else []):
            part.start()
    for name in names:
        print("total %s %d" % (name, sum(flow.received() * flow.wire for flow in flows if flow.name == name)))


main()
