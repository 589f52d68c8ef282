# SPDX-License-Identifier: MIT
"""Routes of the configuration: fixed addresses without DNS, pinned certificates, refused domains."""
import hashlib
import re
import ssl

from federation.bed import bed
from federation.comity import Comity
from federation.names import records
from federation.network import NOWHERE, v4
from federation.people import User
from federation.peers import PASSWORD, USERS
from federation.remote import Remote
from federation.story import STANZAS, condition
from harness import cases, check, dedicated, equal

TIMES = {"s2s_connect_timeout": "2s", "s2s_reach_timeout": "6s", "s2s_negotiate_timeout": "5s",
         "s2s_verify_timeout": "4s", "dns_timeout": "1s", "s2s_queue_age": "10s"}
TIMEOUT = "remote-server-timeout"
UNTRUSTED = "remote-server-timeout"
REFUSED = "policy-violation|not-allowed|forbidden|not-acceptable|service-unavailable|remote-server-not-found"

# name, act of the fake, its certificate, its port, text of the route, None or (condition, sentence)
ROUTES = [
    ("fixed address", "good", "external", 5269, "host = {address}", None),
    ("fixed port", "good", "external", 7269, "host = {address}\nport = 7269", None),
    ("fixed name", "good", "external", 5269, "host = box.example", None),
    ("sub.of wildcard", "good", "external", 5269, None, None),
    ("own authority", "good", "alone", 5269, "host = {address}\nca_file = {cert}", None),
    ("pinned", "good", "alone", 5269, "host = {address}\ncertificate_sha256 = {pin}", None),
    ("pinned wrongly", "good", "external", 5269, "host = {address}\ncertificate_sha256 = {other_pin}",
     (UNTRUSTED, "fingerprint|pin|certificate")),
    ("opportunistic", "good", "alone", 5269, "host = {address}\nsecurity = opportunistic", None),
    ("not opportunistic", "good", "alone", 5269, "host = {address}", (UNTRUSTED, "self-signed|trust|authority")),
    ("insecure", "plain", "external", 5269, "host = {address}\nsecurity = insecure", None),
    ("opportunistic plain", "plain", "external", 5269, "host = {address}\nsecurity = opportunistic",
     (UNTRUSTED, "TLS|encryption")),
    ("refused route", "good", "external", 5269, "host = {address}\nsecurity = refuse", (REFUSED, "configured not")),
    ("denied", "good", "external", 5269, None, (REFUSED, "configured not|deny")),
    ("dead route", None, "external", 5269, f"host = {v4(NOWHERE)}", (TIMEOUT, "time|answer|within")),
]


def _domain(name):
    return name.replace(" ", "-") + ".example"


class Scene:
    """One server with all the routes, and a fake for each."""

    def __init__(self):
        self.bed = bed()
        self.remote = Remote(self.bed)
        text = []
        for name, act, auth, port, route, _ in ROUTES:
            domain, number = _domain(name), self.remote.number()
            cert, key = self.bed.certificate(domain, auth)
            if act:
                self.remote.fake(domain, act, number, cert, key, port=port, ca=self.bed.authority.ca)
            if name == "denied":
                self.bed.names.set(domain, records(domain, number))
            if name == "fixed name":
                self.bed.names.set(domain, [f"box.example. IN A {v4(number)}"])
            if name == "sub.of wildcard":
                text.append(f"route \"*.of-wildcard.example\" {{\n\thost = {v4(number)}\n}}")
            if route:
                with open(cert) as pem:
                    pin = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.read())).hexdigest()
                body = route.format(address=v4(number), cert=cert, pin=pin, other_pin="ab" * 32)
                text.append(f"route \"{domain}\" {{\n" + "".join(
                    f"\t{k} = \"{v}\"\n" for k, v in (line.split(" = ") for line in body.splitlines())) + "}")
        self.server = Comity(self.bed, "comity.example", "external", TIMES | {"s2s_deny": ["denied.example"]},
                             "\n".join(text))
        self.bed.names.set("server", records(self.server.domain, self.server.number))
        self.bed.names.publish()
        self.remote.start()
        self.server.start()
        self.user = User(self.server, USERS[0], PASSWORD).online()
        self.said = {}
        for name, *_ in ROUTES:
            self.say(name)

    def say(self, name):
        self.said[name] = self.user.say(f"user@{_domain(name)}", f"to {name}")


_scene = []


@cases(ROUTES)
@dedicated(start=False)
def route(server, name, act, auth, port, text, wanted):
    del server, act, auth, port, text
    if not _scene:
        _scene.append(Scene())
    scene = _scene[0]
    if name not in scene.said:
        scene.say(name)
    ident = scene.said.pop(name)
    if wanted is None:
        got = scene.remote.until(event="message", domain=_domain(name))
        equal(got["body"], f"to {name}")
        return
    error = scene.user.until("message", type="error", id=ident)
    said = error.find("error").child_text("text", STANZAS) or ""
    check(re.fullmatch(wanted[0], condition(error)), f"wanted {wanted[0]}, got {error}")
    check(re.search(wanted[1], said, re.I), f"the text does not say why: {said!r}")
    reason = scene.server.why(_domain(name))
    check(re.search(wanted[1], reason, re.I), f"comityctl why does not explain it: {reason}")
