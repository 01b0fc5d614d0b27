# SPDX-License-Identifier: Apache-2.0
"""A server's port by another one, whose connections can be cut while what a client has sent comes late."""

import select
import socket
import threading

from servers import free_port, give_back


class Proxy:
    """Passes everything on in both directions.  hold(): what clients send is kept, and they get no answers.  cut():
    ends their connections; what was kept stays.  release(): gives it to the server, over the connections of before."""

    def __init__(self, port):
        self.server = port
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.lock = threading.Lock()
        self.pairs = []  # client, server, what is kept; the client is None when it was cut, or killed
        self.held = False
        self.done = False
        self.waker, self.wake = socket.socketpair()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        if self.done:
            return
        self.done = True
        self.wake.send(b".")
        self.thread.join(60)
        for one in (self.listener, self.waker, self.wake, *(s for pair in self.pairs for s in pair[:2] if s)):
            one.close()
        give_back(self.port)

    def hold(self):
        with self.lock:
            self.held = True

    def kept(self):
        with self.lock:
            return sum(len(pair[2]) for pair in self.pairs)

    def sent(self):
        """What is kept, of all connections."""
        with self.lock:
            return b"".join(pair[2] for pair in self.pairs)

    def cut(self):
        """New connections pass everything on again."""
        with self.lock:
            for pair in self.pairs:
                if pair[0] is not None:
                    pair[0].close()
                    pair[0] = None
            self.held = False
        self.wake.send(b".")

    def release(self):
        """Returns when the server has taken all, and ends the connection."""
        with self.lock:
            late = [pair for pair in self.pairs if pair[0] is None]
            self.pairs = [pair for pair in self.pairs if pair[0] is not None]
        for _, server, kept in late:
            with server:
                server.settimeout(60)
                try:
                    # what was cut off in the middle of a message never becomes one
                    server.sendall(bytes(kept))
                    server.shutdown(socket.SHUT_WR)
                    while server.recv(1 << 16):
                        pass
                except OSError:  # the server was killed meanwhile
                    pass

    def run(self):
        while not self.done:
            with self.lock:
                ends = {}
                for pair in self.pairs:
                    if pair[0] is not None:
                        ends |= {pair[0]: pair, pair[1]: pair}
            ready = select.select([self.listener, self.waker, *ends], [], [])[0]
            with self.lock:
                for one in ready:
                    if one is self.listener:
                        self.accept()
                    elif one is self.waker:
                        one.recv(100)
                    elif ends[one][0] is not None and any(ends[one] is pair for pair in self.pairs):
                        self.pass_on(one, ends[one])

    def accept(self):
        client = self.listener.accept()[0]
        try:
            self.pairs.append([client, socket.create_connection(("127.0.0.1", self.server)), bytearray()])
        except OSError:  # the server is down
            client.close()

    def pass_on(self, one, pair):
        client, server, kept = pair
        try:
            data = one.recv(1 << 16)
            if data and self.held:
                if one is client:
                    kept += data
                return
            if data:
                (server if one is client else client).sendall(data)
                return
        except OSError:
            pass
        client.close()
        if self.held and one is client and kept:
            pair[0] = None  # it was killed: as cut()
            return
        server.close()
        self.pairs = [other for other in self.pairs if other is not pair]
