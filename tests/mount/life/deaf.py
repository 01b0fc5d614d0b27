# SPDX-License-Identifier: Apache-2.0
"""deaf.py KIND PATH READY - holds the end of a socket or FIFO, and reads nothing

Fills it first, so that the next who writes to it waits; then makes the file READY and stays until
it is killed."""
import os
import signal
import socket
import sys

kind, path, ready = sys.argv[1:]
if kind == "socket":
    end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    end.bind(path)
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.connect(path)
    other.setblocking(False)
    put = other.send
else:
    end = os.open(path, os.O_RDWR)
    other = os.open(path, os.O_WRONLY | os.O_NONBLOCK)

    def put(data):
        os.write(other, data)

for size in 4096, 1:
    try:
        while True:
            put(b"x" * size)
    except BlockingIOError:
        pass
open(ready, "w").close()
signal.pause()
