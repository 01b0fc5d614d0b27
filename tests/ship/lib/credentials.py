# SPDX-License-Identifier: Apache-2.0
"""Certificates, and files of credentials (an operator, an account, users) for servers, all made by openssl."""

import base64
import binascii
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

OPERATOR, ACCOUNT, USER = 14 << 3, 0, 20 << 3
SEED = 18 << 3
PRIVATE = bytes.fromhex("302e020100300506032b657004220420")  # what comes before a seed of ed25519 in DER
UNLIMITED = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage",
                           "disk_storage", "streams", "consumer"), -1) | {"wildcards": True}


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=data, check=True, capture_output=True,
                          timeout=60).stdout


def base32(data):
    """With the checksum that keys of NATS have."""
    checksum = binascii.crc_hqx(data, 0).to_bytes(2, "little")
    return base64.b32encode(data + checksum).decode().rstrip("=")


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Key:
    """A pair of keys; the seed is drawn, or that of a file of credentials."""

    def __init__(self, role, seed=None):
        self.role = role
        self.seed = os.urandom(32) if seed is None else seed
        public = openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", data=PRIVATE + self.seed)[-32:]
        self.public = base32(bytes([role]) + public)

    def text(self):
        return base32(bytes([SEED | self.role >> 5, (self.role & 31) << 3]) + self.seed)

    def sign(self, data):
        with tempfile.TemporaryDirectory(prefix="chronq-ship.") as folder:
            key, message = Path(folder, "key"), Path(folder, "message")
            key.write_bytes(PRIVATE + self.seed)
            message.write_bytes(data)
            return openssl("pkeyutl", "-sign", "-keyform", "DER", "-inkey", key, "-rawin", "-in", message)

    def token(self, subject, name, claims):
        """What this key says of another one."""
        body = {"jti": base32(os.urandom(16)), "iat": int(time.time()), "iss": self.public, "name": name,
                "sub": subject, "nats": claims | {"version": 2}}
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        text = ".".join(base64url(json.dumps(part).encode()) for part in (head, body))
        return f"{text}.{base64url(self.sign(text.encode()))}"


class Operator:
    """An operator with an account for streams, and one for the system; makes users, each with a file of credentials."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.key, self.account, self.system = Key(OPERATOR), Key(ACCOUNT), Key(ACCOUNT)

    def settings(self):
        """Lines of the servers' configuration."""
        accounts = "\n".join(
            f"  {key.public}: {self.key.token(key.public, name, {'type': 'account', 'limits': limits})}"
            for key, name, limits in ((self.account, "streams", UNLIMITED),
                                      (self.system, "system", UNLIMITED | {"disk_storage": 0, "mem_storage": 0})))
        return (f"operator: {self.key.token(self.key.public, 'test', {'type': 'operator'})}\n"
                f"system_account: {self.system.public}\nresolver: MEMORY\nresolver_preload: {{\n{accounts}\n}}\n")

    def user(self, name, denied=()):
        """The file of credentials of a user that may not publish to these subjects."""
        key = Key(USER)
        claims = {"type": "user", "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}}
        if denied:
            claims["pub"] = {"deny": list(denied)}
        path = self.folder / (name + ".creds")
        path.write_text(f"-----BEGIN NATS USER JWT-----\n{self.account.token(key.public, name, claims)}\n"
                        f"------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{key.text()}\n"
                        "------END USER NKEY SEED------\n")
        path.chmod(0o600)
        return path


def answer(path, nonce):
    """What a client with this file of credentials replies to a server's nonce."""
    lines = Path(path).read_text().splitlines()
    seed = base64.b32decode(lines[5] + "=" * (-len(lines[5]) % 8))[2:34]
    return {"jwt": lines[1], "sig": base64url(Key(USER, seed).sign(nonce.encode()))}


def certificates(folder):
    """An authority, and a certificate of it for servers at 127.0.0.1 and for clients; a stranger's authority.  They
    have what Python 3.13 asks for: the use of an authority's key, and who has signed with which key."""
    folder = Path(folder)
    files = {name: folder / (name + ".pem") for name in ("ca", "ca-key", "cert", "key", "stranger", "stranger-key")}
    for name in ("ca", "stranger"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                "-keyout", files[name + "-key"], "-out", files[name])
    request, extensions = folder / "request", folder / "extensions"
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=127.0.0.1",
            "-keyout", files["key"], "-out", request)
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n"
                          "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    openssl("x509", "-req", "-in", request, "-CA", files["ca"], "-CAkey", files["ca-key"], "-CAcreateserial",
            "-days", "2", "-extfile", extensions, "-out", files["cert"])
    return files
