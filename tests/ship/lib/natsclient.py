# SPDX-License-Identifier: Apache-2.0
"""A small client of NATS servers, for the tests of ship and fetch: it shares no code with libnats.

One thread, and nothing happens between calls: what comes from the server is read when a call waits.
"""

import base64
import json
import os
import select
import socket
import ssl
import time
from collections import deque
from dataclasses import dataclass, field

import credentials

PATIENCE = 60  # seconds until something that has to happen counts as not happening


class NatsError(Exception):
    """The server refused, or ended the connection."""


class Late(NatsError):
    """Nothing came in time."""


class ApiError(NatsError):
    """An error of JetStream's API, or of a publish."""

    def __init__(self, error):
        super().__init__(f"{error.get('code')}/{error.get('err_code')}: {error.get('description')}")
        self.code = error.get("code")
        self.err_code = error.get("err_code")


@dataclass
class Message:
    subject: str
    sid: int
    reply: str | None
    status: int | None  # of the line that begins its headers, as 503
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    sequence: int = 0  # in a stream


def parse_headers(data):
    """The status, and the headers; a name that comes twice is an error of whoever sent it."""
    first, *lines = data.decode().split("\r\n")
    if not first.startswith("NATS/1.0"):
        raise NatsError(f"headers begin with {first!r}")
    status = first[len("NATS/1.0"):].split()
    headers = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            if name in headers:
                raise NatsError(f"header {name} comes twice")
            headers[name] = value.strip()
    return int(status[0]) if status else None, headers


class Nats:
    """A connection to the server at a port of 127.0.0.1."""

    def __init__(self, port, *, user=None, password=None, tls=None, creds=None, timeout=PATIENCE):
        self.timeout = timeout
        self.buffer = bytearray()
        self.queue = deque()  # messages of subscriptions, in their order
        self.sids = 0
        self.pongs = 0
        self.errors = []
        self.replies = 0
        self.inbox = "_INBOX." + base64.b32encode(os.urandom(10)).decode()
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        try:
            self.begin(user, password, tls, creds)
        except BaseException:
            self.socket.close()
            raise

    def begin(self, user, password, tls, creds):
        end = time.monotonic() + self.timeout
        while b"\r\n" not in self.buffer:
            self.receive(end)
        line, _, rest = bytes(self.buffer).partition(b"\r\n")
        self.buffer[:] = rest
        self.info = json.loads(line.removeprefix(b"INFO "))
        if tls is not None:
            context = ssl.create_default_context(cafile=tls["ca"])
            if "cert" in tls:
                context.load_cert_chain(tls["cert"], tls["key"])
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True,
                   "lang": "python-test", "version": "1", "protocol": 1, "name": "test"}
        if user is not None:
            options |= {"user": user, "pass": password}
        if creds is not None:
            options |= credentials.answer(creds, self.info["nonce"])
        self.send(b"CONNECT " + json.dumps(options).encode() + b"\r\n")
        self.ping()
        self.subscribe(self.inbox + ".*")

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise NatsError(f"lost the server: {error}") from error

    def receive(self, end):
        """Reads what is there, or waits for it."""
        left = end - time.monotonic()
        pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
        if left <= 0 or not (pending or select.select([self.socket], [], [], left)[0]):
            raise Late("nothing came in time")
        try:
            data = self.socket.recv(1 << 20)
        except OSError as error:
            raise NatsError(f"lost the server: {error}") from error
        if not data:
            raise NatsError("the server ended the connection" + "".join(f": {e}" for e in self.errors))
        self.buffer += data

    def take(self, end):
        """One operation of the server's."""
        while (at := self.buffer.find(b"\r\n")) < 0:
            self.receive(end)
        words = bytes(self.buffer[:at]).decode().split(" ")
        operation = words[0].upper()
        if operation in ("MSG", "HMSG"):
            size = int(words[-1])
            while len(self.buffer) < at + 2 + size + 2:
                self.receive(end)
            content = bytes(self.buffer[at + 2:at + 2 + size])
            del self.buffer[:at + 2 + size + 2]
            head = int(words[-2]) if operation == "HMSG" else 0
            given = len(words) - (2 if operation == "HMSG" else 1)
            status, headers = parse_headers(content[:head]) if head else (None, {})
            self.queue.append(Message(words[1], int(words[2]), words[3] if given > 3 else None, status,
                                      headers, content[head:]))
            return
        del self.buffer[:at + 2]
        if operation == "PING":
            self.send(b"PONG\r\n")
        elif operation == "PONG":
            self.pongs += 1
        elif operation == "-ERR":
            self.errors.append(" ".join(words[1:]).strip("'"))
        elif operation == "INFO":
            self.info |= json.loads(" ".join(words[1:]))

    def ping(self, timeout=None):
        """Everything sent before has come to the server, whose answers to that have come here."""
        end = time.monotonic() + (timeout or self.timeout)
        wanted = self.pongs + 1
        self.send(b"PING\r\n")
        while self.pongs < wanted:
            self.take(end)

    def publish(self, subject, body=b"", headers=None, reply=None):
        reply = f" {reply}" if reply else ""
        if headers is None:
            self.send(f"PUB {subject}{reply} {len(body)}\r\n".encode() + body + b"\r\n")
            return
        head = "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        head = head.encode()
        self.send(f"HPUB {subject}{reply} {len(head)} {len(head) + len(body)}\r\n".encode() + head + body + b"\r\n")

    def subscribe(self, subject):
        self.sids += 1
        self.send(f"SUB {subject} {self.sids}\r\n".encode())
        return self.sids

    def unsubscribe(self, sid):
        self.send(f"UNSUB {sid}\r\n".encode())

    def next(self, match, timeout=None):
        """The next message for which `match` is true; the others stay for later calls."""
        end = time.monotonic() + (timeout or self.timeout)
        seen = 0
        while True:
            while seen < len(self.queue):
                if match(self.queue[seen]):
                    message = self.queue[seen]
                    del self.queue[seen]
                    return message
                seen += 1
            self.take(end)

    def request(self, subject, body=b"", headers=None, timeout=None):
        self.replies += 1
        reply = f"{self.inbox}.{self.replies}"
        self.publish(subject, body, headers, reply)
        message = self.next(lambda message: message.subject == reply, timeout)
        if message.status == 503:
            raise ApiError({"code": 503, "err_code": 0, "description": "no responders"})
        return message

    def checked(self, message):
        answer = json.loads(message.body)
        if "error" in answer:
            raise ApiError(answer["error"])
        return answer

    def api(self, what, request=None, timeout=None):
        """A request to JetStream's API."""
        body = b"" if request is None else json.dumps(request).encode()
        return self.checked(self.request("$JS.API." + what, body, timeout=timeout))

    def store(self, subject, body=b"", headers=None, timeout=None):
        """Publishes to a stream; returns the sequence that the message got there."""
        return self.checked(self.request(subject, body, headers or {}, timeout=timeout))["seq"]
