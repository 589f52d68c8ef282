# SPDX-License-Identifier: MIT
"""A raw XMPP stream: bytes out, elements in, with every wait bounded and every failure explained."""
import itertools
import select
import socket
import ssl
import time
from xml.parsers import expat

from .checks import Failure, context, equal
from .elements import StreamReader, escape

NS_CLIENT = "jabber:client"
NS_STREAM = "http://etherx.jabber.org/streams"
NS_STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"
NS_STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
NS_TLS = "urn:ietf:params:xml:ns:xmpp-tls"
NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
NS_BIND = "urn:ietf:params:xml:ns:xmpp-bind"
NS_SESSION = "urn:ietf:params:xml:ns:xmpp-session"

TIMEOUT = 8.0  # seconds; generous, because sanitizers and two busy cores are slow
# In the transcript of who was left without close_notify.
NO_GOODBYE = b"the end of the connection without that of TLS"

_sources = itertools.count(1)


def fresh_source():
    """A loopback address of its own for each connection, so that limits per address do not mix tests."""
    n = next(_sources)
    return f"127.{1 + n // 62500 % 250}.{1 + n // 250 % 250}.{1 + n % 250}"


class Closed(Exception):
    """The stream has ended: `clean` says whether </stream:stream> came first."""

    def __init__(self, clean):
        super().__init__("stream closed by the server" if clean else "connection lost")
        self.clean = clean


class Stream:
    """One connection to the server's client port."""

    def __init__(self, server, direct=False, port=None, source=None, domain=None, name="stream", tls=None):
        """direct: TLS from the first byte. source: address to connect from (a fresh one if None).
        tls: keyword arguments for tls_context()."""
        self.server, self.name = server, name
        self.domain = domain or server.domain
        self.transcript = []
        self.inbox = []         # elements received and not yet claimed
        self.stanzas = 0        # received so far
        self.header = None      # the server's stream header
        self.features = None
        self.ended = False      # </stream:stream> has come
        self.eof = False
        self.said_goodbye = False  # we have sent </stream:stream>
        self.reader = StreamReader()
        self.tls = None
        self.tls_options = tls or {}
        if port is None:
            port = server.c2s_tls if direct else server.c2s
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.bind((source or fresh_source(), 0))
        self.sock.settimeout(TIMEOUT)
        self.sock.connect((server.address, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context.streams.append(self)
        if direct:
            self.start_tls_layer(alpn=["xmpp-client"])

    # Sending

    def send(self, data):
        """Sends bytes or text as they are."""
        data = data.encode() if isinstance(data, str) else data
        self._note("C", data)
        try:
            self.sock.sendall(data)
        except (ConnectionError, ssl.SSLError, BrokenPipeError) as error:
            self._note("!", f"send: {error}".encode())

    def open_raw(self, to=None, version="1.0", ns=NS_CLIENT, stream_ns=NS_STREAM, declaration=True, extra=""):
        """Sends a stream header without waiting for anything. to=False leaves the attribute out."""
        to = self.domain if to is None else to
        attrs = "" if to is False else f" to='{escape(to)}'"
        attrs += "" if version is None else f" version='{version}'"
        attrs += "" if ns is None else f" xmlns='{ns}'"
        self.send(("<?xml version='1.0'?>" if declaration else "") +
                  f"<stream:stream{attrs} xmlns:stream='{stream_ns}'{extra}>")

    def restart(self):
        """Forgets the parser's state, as after STARTTLS and SASL."""
        self.reader = StreamReader()
        self.header = self.features = None

    def open(self, **args):
        """Opens (or restarts) the stream; returns the features."""
        if self.header is not None:
            self.restart()
        self.open_raw(**args)
        self.wait_header()
        self.features = self.expect_next("features", NS_STREAM)
        return self.features

    def wait_header(self, timeout=TIMEOUT):
        self._pump_until(lambda: self.header is not None, timeout, "a stream header")
        return self.header

    def close(self):
        """Ends the stream and waits until the server has ended its side and the connection."""
        self.say_goodbye()
        self.expect_end()

    def say_goodbye(self):
        """Ends our side of the stream, once."""
        if not self.said_goodbye:
            self.said_goodbye = True
            self.send("</stream:stream>")

    def abort(self):
        """Drops the connection without a word."""
        self.sock.close()
        self.eof = True

    # TLS

    def tls_context(self, verify=True, minimum=None, maximum=None, ciphers=None, cert=None):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF   # an end without close_notify is noted
        if verify:
            made.load_verify_locations(self.server.ca)
        else:
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        if minimum:
            made.minimum_version = minimum
        if maximum:
            made.maximum_version = maximum
        if ciphers:
            made.set_ciphers(ciphers)
        if cert:
            made.load_cert_chain(*cert)
        return made

    def start_tls_layer(self, alpn=None, sni=None):
        """The TLS handshake; raises ssl.SSLError or OSError when it fails."""
        made = self.tls_context(**self.tls_options)
        if alpn:
            made.set_alpn_protocols(alpn)
        self.sock = made.wrap_socket(self.sock, server_hostname=sni or self.domain, suppress_ragged_eofs=False)
        self.tls = self.sock
        self._note("-", f"{self.sock.version()} {self.sock.cipher()[0]}".encode())

    def starttls(self):
        """STARTTLS to the end, including the new stream; returns its features."""
        self.send(f"<starttls xmlns='{NS_TLS}'/>")
        self.expect_next("proceed", NS_TLS)
        self.start_tls_layer()
        return self.open()

    # Receiving

    def _is_readable(self, timeout):
        poll = select.poll()   # which, unlike select, knows descriptors over 1024
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(max(timeout, 0) * 1000))

    def pump(self, timeout):
        """Reads once what is there within timeout seconds; True if anything came."""
        if self.eof:
            return False
        if not (self.tls and self.tls.pending()) and not self._is_readable(timeout):
            return False
        try:
            data = self.sock.recv(65536)
        except ssl.SSLWantReadError:
            return False
        except (TimeoutError, socket.timeout):
            return False
        except (ssl.SSLError, ConnectionError) as error:
            # What an end without close_notify is called depends on the version of Python.
            is_cut = getattr(error, "reason", None) == "UNEXPECTED_EOF_WHILE_READING" or isinstance(error, ssl.SSLEOFError)
            if not (is_cut or isinstance(error, (ssl.SSLZeroReturnError, ConnectionError))):
                raise
            self._note("!", NO_GOODBYE if is_cut else str(error).encode())
            data = b""
        if not data:
            self._note("-", b"end of connection")
            self.eof = True
            return True
        self._note("S", data)
        try:
            self.reader.feed(data)
        except expat.ExpatError as error:
            raise Failure(f"the server sent broken XML: {error}: {data[-300:]!r}") from error
        for kind, element in self.reader.take():
            if kind == "open":
                self.header = element
            elif kind == "end":
                self.ended = True
            else:
                self.inbox.append(element)
                self.stanzas += element.name in ("message", "presence", "iq")
        return True

    def _pump_until(self, condition, timeout, what):
        end = time.monotonic() + timeout
        while not condition():
            if self.eof:
                raise Closed(self.ended) if not self.inbox else Failure(
                    f"{self.name}: wanted {what}; the connection ended; {self._inbox_text()}")
            left = end - time.monotonic()
            if left <= 0:
                raise Failure(f"{self.name}: wanted {what} within {timeout} s; {self._inbox_text()}")
            self.pump(min(left, 0.5))

    def _inbox_text(self):
        if not self.inbox:
            return "nothing came"
        return "what came instead:\n    " + "\n    ".join(map(repr, self.inbox[-10:]))

    @staticmethod
    def _wanted(name, ns, where, attrs):
        text = f"<{name or '*'}" + (f" xmlns='{ns}'" if ns else "")
        text += "".join(f" {k.rstrip('_')}={v!r}" for k, v in attrs.items()) + "/>"
        return text + (" with a further condition" if where else "")

    def next(self, timeout=TIMEOUT):
        """The next element, whatever it is. Raises Closed when the stream has ended instead."""
        self._pump_until(lambda: self.inbox or self.ended, timeout, "an element")
        if not self.inbox:
            raise Closed(True)
        return self.inbox.pop(0)

    def expect_next(self, name=None, ns=None, where=None, timeout=TIMEOUT, **attrs):
        """The very next element must be this."""
        wanted = self._wanted(name, ns, where, attrs)
        self._pump_until(lambda: self.inbox or self.ended, timeout, wanted)
        if not self.inbox:
            raise Failure(f"{self.name}: wanted {wanted}; the stream ended")
        got = self.inbox.pop(0)
        if not got.matches(name, ns, where, **attrs):
            raise Failure(f"{self.name}: wanted next {wanted}, got {got!r}")
        return got

    def expect(self, name=None, ns=None, where=None, timeout=TIMEOUT, **attrs):
        """Waits for an element like this, wherever in the order; all others stay in the inbox."""
        found = []

        def look():
            for element in self.inbox:
                if element.matches(name, ns, where, **attrs):
                    found.append(element)
                    return True
            return False

        wanted = self._wanted(name, ns, where, attrs)
        try:
            self._pump_until(look, timeout, wanted)
        except Closed as error:
            raise Failure(f"{self.name}: wanted {wanted}; {error}") from error
        self.inbox.remove(found[0])
        return found[0]

    def expect_end(self, timeout=TIMEOUT):
        """</stream:stream> and then the end of the connection, and no element before."""
        self._pump_until(lambda: self.ended or self.inbox, timeout, "</stream:stream>")
        if self.inbox:
            raise Failure(f"{self.name}: wanted </stream:stream>; {self._inbox_text()}")
        self.say_goodbye()
        self.expect_eof(timeout)

    def pump_until_goodbye(self, timeout=TIMEOUT):
        self._pump_until(lambda: self.ended, timeout, "</stream:stream>")

    def pump_to_end(self, timeout=TIMEOUT):
        """The end of the connection, whatever comes before."""
        self.pump_until_goodbye(timeout)
        self.say_goodbye()
        self.expect_eof(timeout)

    def expect_eof(self, timeout=TIMEOUT):
        self._pump_until(lambda: self.eof, timeout, "the end of the connection")

    def expect_stream_error(self, *conditions, timeout=TIMEOUT):
        """A stream error with one of these conditions, the end tag and the end of the connection,
        after the server's own header (RFC 6120 4.9.1). Returns the error element."""
        try:
            error = self.expect("error", NS_STREAM, timeout=timeout)
        except Failure as failure:
            raise Failure(f"wanted the stream error {' or '.join(conditions)}; {failure}") from failure
        found = [c.name for c in error.find_all(ns=NS_STREAM_ERRORS) if c.name != "text"]
        if len(found) != 1 or found[0] not in conditions:
            raise Failure(f"{self.name}: wanted the stream error {' or '.join(conditions)}, got {error!r}")
        if self.header is None:
            raise Failure("a stream error came without a stream header")
        equal(self.inbox, [], "elements besides the stream error")
        self.expect_end(timeout)
        return error

    def still_open(self, seconds=0.0):
        """Nothing has come and the connection lives, after a short look."""
        self.pump(seconds)
        if self.inbox or self.ended or self.eof:
            raise Failure(f"{self.name}: wanted silence; ended={self.ended} eof={self.eof}; {self._inbox_text()}")

    def _note(self, who, data):
        self.transcript.append((time.monotonic(), who, bytes(data)))

    def story(self, limit=30):
        """The last lines of what went over this stream, for the report of a failure."""
        lines = []
        for _, who, data in self.transcript[-limit:]:
            text = data.decode("utf-8", "backslashreplace")
            lines.append(f"    {who}: " + (text if len(text) < 1500 else f"{text[:700]} … {text[-700:]}"))
        return "\n".join(lines)
