# SPDX-License-Identifier: MIT
"""Fake servers, run as a process on the host "remote": argv[1] is a JSON list of orders, each a listener
(domain, address, act, cert, key...) or a name server; commands on stdin make them call the server under test.
Answers on stdout are JSON lines."""
import json
import os
import socket
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "../../protocol")]

from federation.fake_names import serve_names  # noqa: E402
from federation.wire import (DIALBACK, DIALBACK_FEATURE, SASL, TLS, Ended, Wire, tls_context)  # noqa: E402

STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"
STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
lock = threading.Lock()


def tell(**data):
    with lock:
        sys.stdout.write(json.dumps(data) + "\n")
        sys.stdout.flush()


def features(wire, *inner):
    wire.send(f"<stream:features>{''.join(inner)}</stream:features>")


EXTERNAL = f"<mechanisms xmlns='{SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>"
CALL_BACK = f"<dialback xmlns='{DIALBACK_FEATURE}'><errors/></dialback>"
START_TLS = f"<starttls xmlns='{TLS}'><required/></starttls>"


class Receiver:
    """One connection that was made to a fake."""

    def __init__(self, order, sock):
        self.order, self.wire, self.serial = order, Wire(sock), 0
        self.domain, self.other = order["domain"], None

    def greet(self):
        """Takes the header of the other side and answers it."""
        opened = self.wire.element()
        self.other = opened["from"] or self.other
        self.serial += 1
        self.wire.header(self.domain, self.other, f"{self.domain}-{self.serial}-{time.monotonic_ns()}")

    def secure(self):
        """STARTTLS, up to the header after it."""
        self.greet()
        features(self.wire, START_TLS)
        asked = self.wire.element()
        if asked.name != "starttls":
            raise Ended(f"wanted starttls, got {asked}")
        self.wire.send(f"<proceed xmlns='{TLS}'/>")
        self.wire.start_tls(tls_context(self.order, True), True)
        self.greet()

    def stream_error(self, condition, text=None):
        text = f"<text xmlns='{STREAM_ERRORS}'>{text}</text>" if text else ""
        self.wire.send(f"<stream:error><{condition} xmlns='{STREAM_ERRORS}'/>{text}</stream:error>")

    def result(self, asked, type_, inner=""):
        self.wire.send(f"<db:{asked.name} from='{asked['to']}' to='{asked['from']}' "
                       + (f"id='{asked['id']}' " if asked["id"] else "") + f"type='{type_}'>{inner}</db:{asked.name}>")

    def take_stanzas(self, verify="valid"):
        """Goes on as a server that works: answers dialback, tells of messages."""
        while True:
            element = self.wire.element(60)
            if element.ns == DIALBACK:
                self.result(element, verify if element.name == "verify" else "valid")
            elif element.name == "message":
                tell(event="message", domain=self.domain, body=element.child_text("body"), sender=element["from"],
                     type=element["type"])

    # Acts: what a fake does with a connection

    def act_good(self):
        self.secure()
        features(self.wire, CALL_BACK)
        self.take_stanzas()

    def act_good_external(self):
        self.secure()
        features(self.wire, EXTERNAL)
        if self.wire.element().name != "auth":
            raise Ended("no EXTERNAL")
        self.wire.send(f"<success xmlns='{SASL}'/>")
        self.wire.restart()
        self.greet()
        features(self.wire)
        self.take_stanzas()

    def act_denies_keys(self):
        """Works, but says of any key that it is not its own."""
        self.secure()
        features(self.wire, CALL_BACK)
        self.take_stanzas(verify="invalid")

    def act_silent(self):
        time.sleep(60)

    def act_not_xmpp(self):
        self.wire.send("SSH-2.0-OpenSSH_9.2\r\n")
        time.sleep(2)

    def act_closes_at_once(self):
        self.wire.sock.close()

    def act_plain(self):
        self.greet()
        features(self.wire, CALL_BACK)
        self.take_stanzas()

    def act_no_starttls(self):
        self.greet()
        features(self.wire, START_TLS)
        self.wire.element()
        self.wire.send(f"<failure xmlns='{TLS}'/></stream:stream>")

    def act_broken_tls(self):
        self.greet()
        features(self.wire, START_TLS)
        self.wire.element()
        self.wire.send(f"<proceed xmlns='{TLS}'/>")
        time.sleep(0.3)
        self.wire.send("HTTP/1.1 400 Bad Request\r\n\r\n")
        time.sleep(1)

    def act_host_unknown(self):
        self.greet()
        self.stream_error("host-unknown", "This server does not serve that")

    def act_stream_error(self):
        self.secure()
        self.stream_error("policy-violation", "We do not like you")

    def act_closes_after_features(self):
        self.secure()
        features(self.wire, EXTERNAL, CALL_BACK)

    def act_refuses_external(self):
        self.secure()
        features(self.wire, EXTERNAL)
        while True:
            asked = self.wire.element(10)
            if asked.ns == DIALBACK:
                self.result(asked, "error", f"<error type='cancel'><not-allowed xmlns='{STANZA_ERRORS}'/></error>")
            else:
                self.wire.send(f"<failure xmlns='{SASL}'><not-authorized/><text>Bad certificate</text></failure>")

    def act_offers_nothing(self):
        self.secure()
        features(self.wire)
        self.wire.element(10)

    def act_dialback_invalid(self):
        self.secure()
        features(self.wire, CALL_BACK)
        self.result(self.wire.element(), "invalid")
        self.wire.element(10)

    def act_dialback_error(self):
        self.secure()
        features(self.wire, CALL_BACK)
        self.result(self.wire.element(), "error", "<error type='cancel'><remote-connection-failed xmlns="
                    f"'{STANZA_ERRORS}'/><text xmlns='{STANZA_ERRORS}'>Cannot reach you</text></error>")
        self.wire.element(10)

    def act_dialback_unanswered(self):
        self.secure()
        features(self.wire, CALL_BACK)
        while True:
            self.wire.element(60)

    def act_no_features(self):
        self.secure()
        self.wire.element(60)

    def run(self):
        try:
            getattr(self, f"act_{self.order['act']}")()
        except Ended as end:
            tell(event="ended", domain=self.domain, text=str(end))
        finally:
            self.wire.close()


def listen(order):
    family = socket.AF_INET6 if ":" in order["address"] else socket.AF_INET
    listener = socket.create_server((order["address"], order.get("port", 5269)), family=family)

    def accept():
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=Receiver(order, sock).run, daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()


class Caller:
    """A connection to the server under test: address, port, domain (own), to, cert, key."""

    def __init__(self, order):
        self.order, self.domain, self.to = order, order["domain"], order["to"]
        try:
            self.wire = Wire(socket.create_connection((order["address"], order.get("port", 5269)), 10))
        except OSError as error:
            raise Ended(f"cannot connect: {error}") from None

    def answer(self, xml="", end=None):
        tell(event="answer", call=self.order["call"], xml=xml, end=end)

    def open(self):
        """A stream up to the features after TLS; returns them."""
        self.wire.header(self.domain, self.to)
        self.wire.element()
        self.wire.element()
        self.wire.send(f"<starttls xmlns='{TLS}'/>")
        self.wire.element()
        self.wire.start_tls(tls_context(self.order, False), False, self.to)
        return self.restart()

    def restart(self):
        self.wire.restart()
        self.wire.header(self.domain, self.to)
        self.wire.element()
        return self.wire.element()

    def authenticate(self):
        """EXTERNAL with the certificate of the order; returns the answer."""
        self.open()
        self.wire.send(f"<auth xmlns='{SASL}' mechanism='EXTERNAL'>=</auth>")
        answer = self.wire.element()
        if answer.name == "success":
            self.restart()
        return answer

    def do_authenticate(self):
        """Only EXTERNAL, and says what came of it."""
        self.answer(self.authenticate().xml())

    def do_key(self):
        """Offers a dialback key and says what came of it."""
        self.open()
        self.wire.send(f"<db:result from='{self.domain}' to='{self.to}'>{self.order['key_text']}</db:result>")
        self.answer(self.wire.element(30).xml())

    def do_stanza(self):
        """Authenticates and sends a stanza; tells of all that comes until the end."""
        self.authenticate()
        self.wire.send(self.order["stanza"])
        while True:
            self.answer(self.wire.element(self.order.get("patience", 10)).xml())

    def do_early_stanza(self):
        """Sends a stanza without having proved anything."""
        self.open()
        self.wire.send(self.order["stanza"])
        while True:
            self.answer(self.wire.element(10).xml())


def call(order):
    try:
        caller = Caller(order)
        try:
            getattr(caller, f"do_{order['do']}")()
        finally:
            caller.wire.sock.close()
    except Ended as end:
        tell(event="answer", call=order["call"], xml="", end=str(end))


def main():
    with open(sys.argv[1]) as orders:
        for order in json.load(orders):
            if order.get("act") == "names":
                serve_names(order)
            else:
                listen(order)
    tell(event="ready")
    for line in sys.stdin:
        threading.Thread(target=call, args=(json.loads(line),), daemon=True).start()


main()
