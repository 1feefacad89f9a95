# SPDX-License-Identifier: GPL-2.0-or-later
"""What flood.py and load.py share: a flow from namespace to namespace, written

    NAMESPACE/SOURCE>NAMESPACE/ADDRESS:PORT[/DSCP]

and the sockets at its ends, of the kind that is asked for.
"""

import ctypes
import os
import socket

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    fd = os.open("/run/netns/" + namespace, os.O_RDONLY)
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns " + namespace)
    os.close(fd)


class Flow:
    def __init__(self, text):
        sender, receiver = text.split(">")
        self.sender, self.from_address = sender.split("/")
        self.receiver, to, *self.dscp = receiver.split("/")
        address, port = to.split(":")
        self.to = (address, int(port))

    def far_end(self, kind):
        """Where it arrives; not bound yet."""
        enter(self.receiver)
        return socket.socket(type=kind)

    def near_end(self, kind):
        """Where it begins: bound, and with its DSCP; not connected yet."""
        enter(self.sender)
        s = socket.socket(type=kind)
        if self.dscp:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, int(self.dscp[0]) << 2)
        s.bind((self.from_address, 0))
        return s
