# SPDX-License-Identifier: MIT
"""A small client on a blocking socket: logs in by SCRAM-SHA-1, with or without TLS, and binds."""
import base64
import hashlib
import hmac
import os
import re
import socket
import ssl

DOMAIN = "localhost"
HEADER = (f"<stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' "
          "xmlns:stream='http://etherx.jabber.org/streams'>")
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"


class Closed(Exception):
    """The server closed the stream; what it said last."""


class Client:
    """After say() and wait(), text is what came up to the awaited words and in the same piece."""

    def __init__(self, port, timeout=30):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.text = ""

    def wait(self, wanted):
        """Reads until the regular expression appears; returns its match. What follows it stays."""
        expression = re.compile(wanted)
        while not (found := expression.search(self.text)):
            piece = self.sock.recv(65536)
            if not piece:
                raise Closed(f"the server closed the stream before {wanted}: {self.text[-500:]}")
            self.text += piece.decode(errors="replace")
        self.text = self.text[found.end():]
        return found

    def send(self, text):
        self.sock.sendall(text.encode())

    def say(self, text, wanted):
        self.send(text)
        return self.wait(wanted)

    def secure(self):
        self.say(HEADER, "</stream:features>")
        self.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<proceed[^>]*>")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock, server_hostname=DOMAIN)

    def log_in(self, user, password="pw", tls=False):
        """By the book of RFC 5802, with no channel binding."""
        if tls:
            self.secure()
        first = f"n={user},r={base64.b64encode(os.urandom(12)).decode()}"
        self.say(HEADER, "</stream:features>")
        found = self.say(f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'>"
                         + base64.b64encode(f"n,,{first}".encode()).decode() + "</auth>",
                         "<challenge[^>]*>([^<]*)</challenge>")
        challenge = base64.b64decode(found[1]).decode()
        fields = dict(part.split("=", 1) for part in challenge.split(","))
        final = f"c=biws,r={fields['r']}"
        salted = hashlib.pbkdf2_hmac("sha1", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        key = hmac.digest(salted, b"Client Key", "sha1")
        signature = hmac.digest(hashlib.sha1(key).digest(), f"{first},{challenge},{final}".encode(), "sha1")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
        self.say(f"<response xmlns='{SASL}'>" + base64.b64encode(f"{final},p={proof}".encode()).decode()
                 + "</response>", "</success>|<success[^>]*/>")
        self.say(HEADER, "</stream:features>")

    def bind(self, resource="probe"):
        self.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                 f"<resource>{resource}</resource></bind></iq>", "</iq>")

    def enable(self):
        """Switches stream management on; returns the id to resume with."""
        return re.search(r"""\bid=['"]([^'"]+)""", self.say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
                                                             "<enabled[^>]*>")[0])[1]

    def resume(self, previd):
        self.say(f"<resume xmlns='urn:xmpp:sm:3' previd='{previd}' h='0'/>", "<resumed")

    def available(self):
        self.send("<presence/><iq type='get' id='ready'><ping xmlns='urn:xmpp:ping'/></iq>")
        self.wait("""<iq[^>]*id=['"]ready['"]""")

    def acknowledge_sent(self, count):
        """Waits until the server has acknowledged so many stanzas."""
        while int(self.wait(r"""<a [^>]*\bh=['"](\d+)['"]""")[1]) < count:
            pass

    def close(self):
        try:
            self.send("</stream:stream>")
            self.sock.close()
        except OSError:
            pass
