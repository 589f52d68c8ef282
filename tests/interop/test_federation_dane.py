# SPDX-License-Identifier: MIT
"""Certificates of other servers that DNS names (DANE, RFC 7673), where the name server checks DNSSEC."""
import base64
import hashlib
import re

from federation.bed import bed
from federation.comity import Comity
from federation.names import records
from federation.network import DNS, v4
from federation.people import User
from federation.peers import PASSWORD, USERS
from federation.remote import Remote
from federation.story import STANZAS, condition
from harness import check, dedicated, equal

SENTENCE = "its certificate is not the one that DNS (DANE) names"
# Domain: its certificate, what DNS says of it, whether the name server has checked that.
FITTING, WRONG = "fitting", "wrong"
DOMAINS = {
    "dane-fits.example": ("dialback", FITTING, "signed"),
    "dane-wrong.example": ("dialback", WRONG, "signed"),
    "dane-wrong-ca.example": ("external", WRONG, "signed"),
    "dane-unsigned.example": ("dialback", FITTING, None),
    "dane-unsigned-ca.example": ("external", WRONG, None),
    "dane-none.example": ("dialback", None, "signed"),
    "dane-none-ca.example": ("external", None, "signed"),
}


def _hash(path):
    """SHA-256 of the (first) certificate of a PEM file."""
    with open(path) as pem:
        found = re.search(r"-----BEGIN CERTIFICATE-----(.*?)-----END", pem.read(), re.S)
    return hashlib.sha256(base64.b64decode(found.group(1))).hexdigest()


class Scene:
    def __init__(self):
        self.bed = bed()
        self.remote = Remote(self.bed)
        for domain, (auth, told, _) in DOMAINS.items():
            number = self.remote.number()
            cert, key = self.bed.certificate(domain, auth)
            lines = records(domain, number)
            if told:
                digest = _hash(cert) if told == FITTING else "ab" * 32
                lines.append(f"_5269._tcp.xmpp.{domain}. IN TLSA 3 0 1 {digest}")
            self.bed.names.set(domain, lines)
            self.remote.fake(domain, "good", number, cert, key)
        name_server = self.remote.names(self.remote.number(), v4(DNS),
                                        {domain: how for domain, (_, _, how) in DOMAINS.items() if how})
        self.server = Comity(self.bed, "comity.example", "external", {"dns_servers": name_server, "dane": True})
        self.bed.names.set("server", records(self.server.domain, self.server.number))
        self.bed.names.publish()
        self.remote.start()
        self.server.start()
        self.user = User(self.server, USERS[0], PASSWORD).online()

    def close(self):
        self.user.stop()
        self.server.remove()
        self.remote.remove()
        for name in (*DOMAINS, "server"):
            self.bed.names.set(name, [])

    def arrives(self, domain):
        self.user.say(f"user@{domain}", f"to {domain}")
        got = self.remote.until(event="message", domain=domain)
        equal(got["body"], f"to {domain}")

    def refused(self, domain, sentence):
        ident = self.user.say(f"user@{domain}", f"to {domain}")
        error = self.user.until("message", type="error", id=ident)
        check(condition(error), f"no error: {error}")
        text = error.find("error").child_text("text", STANZAS) or ""
        check(sentence in text, f"the sender's text does not match: {text!r}")
        return self.server.why(domain)


@dedicated(start=False, timeout=120)
def what_dns_says_of_certificates_counts_where_it_is_proved(server):
    del server
    scene = Scene()
    try:
        scene.arrives("dane-fits.example")
        check("as DNS names it (DANE)" in scene.server.why("dane-fits.example"), "comityctl why does not tell")
        for domain in ("dane-wrong.example", "dane-wrong-ca.example"):
            said = scene.refused(domain, SENTENCE)
            check(SENTENCE in said, f"comityctl why: {said}")
        for domain in ("dane-unsigned.example", "dane-none.example"):
            scene.refused(domain, "self-signed")
        for domain in ("dane-unsigned-ca.example", "dane-none-ca.example"):
            scene.arrives(domain)
    finally:
        scene.close()
