# SPDX-License-Identifier: MIT
"""One s2s stream of a fake server: blocking, with a reader of elements and STARTTLS on either side."""
import socket
import ssl
import time

from harness.elements import StreamReader

SERVER, STREAMS = "jabber:server", "http://etherx.jabber.org/streams"
DIALBACK, DIALBACK_FEATURE = "jabber:server:dialback", "urn:xmpp:features:dialback"
TLS, SASL = "urn:ietf:params:xml:ns:xmpp-tls", "urn:ietf:params:xml:ns:xmpp-sasl"


class Ended(Exception):
    """The other side closed the stream, or said nothing in time; the text says which."""


def tls_context(order, server_side):
    """The TLS of a fake: order has cert and key, and perhaps tls="1.1" for that version only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if order.get("ca"):     # asks for a certificate, without which a caller cannot use EXTERNAL
        context.load_verify_locations(order["ca"])
        context.verify_mode = ssl.CERT_OPTIONAL
    if order.get("cert"):
        context.load_cert_chain(order["cert"], order["key"])
    if order.get("tls") == "1.1":
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


class Wire:
    """A connected socket. Errors of the socket become Ended."""

    def __init__(self, sock, timeout=20.0):
        self.sock, self.timeout = sock, timeout
        self.reader, self.events = StreamReader(), []
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, text):
        try:
            self.sock.sendall(text.encode())
        except OSError as error:
            raise Ended(f"cannot send: {error}") from None

    def next(self, timeout=None):
        """The next event of the stream, see StreamReader."""
        end = time.monotonic() + (timeout or self.timeout)
        while not self.events:
            self.sock.settimeout(max(0.01, end - time.monotonic()))
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                raise Ended("silence") from None
            except OSError as error:
                raise Ended(f"cannot receive: {error}") from None
            if not data:
                raise Ended("closed")
            self.reader.feed(data)
            self.events = self.reader.take()
        return self.events.pop(0)

    def element(self, timeout=None):
        """The next element; the end of the stream becomes Ended."""
        kind, element = self.next(timeout)
        if kind == "end":
            raise Ended("</stream>")
        return element

    def start_tls(self, context, server_side, name=None):
        try:
            self.sock.settimeout(self.timeout)
            self.sock = context.wrap_socket(self.sock, server_side=server_side, server_hostname=name)
        except OSError as error:
            raise Ended(f"TLS: {error}") from None
        self.restart()

    def restart(self):
        self.reader, self.events = StreamReader(), []

    def header(self, own, other, ident=None):
        ident = f" id='{ident}'" if ident else ""
        self.send(f"<?xml version='1.0'?><stream:stream xmlns='{SERVER}' xmlns:stream='{STREAMS}' "
                  f"xmlns:db='{DIALBACK}' from='{own}' to='{other}'{ident} version='1.0'>")

    def close(self):
        """Says farewell and waits for the other side, so that nothing said before is lost by a reset."""
        try:
            self.sock.sendall(b"</stream:stream>")
            self.sock.settimeout(2)
            while self.sock.recv(65536):
                pass
        except OSError:
            pass
        self.sock.close()
