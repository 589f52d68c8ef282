# SPDX-License-Identifier: MIT
"""The client side of SCRAM (RFC 5802, RFC 7677) and the channel binding data it may carry."""
import base64
import ctypes
import ctypes.util
import functools
import hashlib
import hmac
import secrets
import sys

from .checks import Failure, Skip


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def unb64(text):
    return base64.b64decode(text or "", validate=True)


def saslname(name):
    return name.replace("=", "=3D").replace(",", "=2C")


@functools.lru_cache(1000)
def salted_password(name, password, salt, iterations):
    """What takes long in SCRAM; a client that logs in again and again may keep it (RFC 5802 3)."""
    return hashlib.pbkdf2_hmac(name, password.encode(), salt, iterations)


class Scram:
    """One exchange: first(), then final(challenge), then verify(server final message)."""

    def __init__(self, mechanism, user, password, binding=None, flag=None, authzid=""):
        """binding is (type, data) for -PLUS; flag overrides the GS2 flag ("n", "y" or "p=type")."""
        self.hash = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}[mechanism.removesuffix("-PLUS")]
        self.user, self.password = user, password
        self.data = binding[1] if binding else b""
        if flag is None:
            flag = f"p={binding[0]}" if binding else "n"
        self.gs2 = flag + "," + (f"a={saslname(authzid)}" if authzid else "") + ","
        self.nonce = secrets.token_hex(12)
        self.bare = f"n={saslname(user)},r={self.nonce}"
        self.salt = self.iterations = None

    def first(self):
        return (self.gs2 + self.bare).encode()

    def read_challenge(self, challenge):
        """Takes apart the server's first message; sets salt and iterations."""
        self.server_first = challenge.decode()
        fields = dict(f.split("=", 1) for f in self.server_first.split(","))
        self.full_nonce, self.salt = fields["r"], unb64(fields["s"])
        self.iterations = int(fields["i"])
        if not self.full_nonce.startswith(self.nonce) or self.full_nonce == self.nonce:
            raise Failure(f"SCRAM: the server did not extend the nonce: {self.server_first}")
        if self.iterations < 4096 or len(self.salt) < 8:
            raise Failure(f"SCRAM: weak parameters: {self.server_first}")

    def final(self, challenge):
        self.read_challenge(challenge)
        without = f"c={b64(self.gs2.encode() + self.data)},r={self.full_nonce}"
        message = f"{self.bare},{self.server_first},{without}".encode()
        salted = salted_password(self.hash, self.password, self.salt, self.iterations)
        client = hmac.digest(salted, b"Client Key", self.hash)
        stored = hashlib.new(self.hash, client).digest()
        signature = hmac.digest(stored, message, self.hash)
        proof = bytes(a ^ b for a, b in zip(client, signature))
        self.server_signature = hmac.digest(hmac.digest(salted, b"Server Key", self.hash), message, self.hash)
        return f"{without},p={b64(proof)}".encode()

    def verify(self, message):
        if message.decode() != f"v={b64(self.server_signature)}":
            raise Failure(f"SCRAM: the server's signature is wrong: {message!r}")


def channel_binding(sock, kind):
    """The data of one binding type on a TLS socket."""
    if kind == "tls-unique":
        return sock.get_channel_binding("tls-unique")
    if kind == "tls-server-end-point":  # RFC 5929; all our certificates are signed with SHA-256
        return hashlib.sha256(sock.getpeercert(binary_form=True)).digest()
    if kind == "tls-exporter":
        return _export(sock, b"EXPORTER-Channel-Binding", 32)
    raise Skip(f"no channel binding {kind}")


def _export(sock, label, length):
    """RFC 9266. Python has no call for it; the SSL pointer is the second field of its socket object."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise Skip("tls-exporter needs 64 bit CPython")
    ssl = ctypes.c_void_p.from_address(id(sock._sslobj) + 24).value
    lib = ctypes.CDLL(ctypes.util.find_library("ssl"))
    lib.SSL_export_keying_material.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t,
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    out = ctypes.create_string_buffer(length)
    if lib.SSL_export_keying_material(ssl, out, length, label, len(label), b"", 0, 1) != 1:
        raise Skip("tls-exporter: no keying material")
    return out.raw
