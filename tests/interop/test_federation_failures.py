# SPDX-License-Identifier: MIT
"""What senders and administrators are told when another server cannot be reached or believed, and what
is told to others that cannot be believed. All troubles happen at the same time, in the first test."""
import os
import re
import threading

from federation.bed import bed
from federation.comity import Comity
from federation.names import records
from federation.network import DNS, v4
from federation.people import User
from federation.peers import PASSWORD, USERS, Prosody
from federation.remote import Remote
from federation.story import STANZAS, condition
from federation.troubles import GOOD, TROUBLES, certificate
from harness import Failure, cases, check, dedicated, equal

TIMES = {"s2s_connect_timeout": "2s", "s2s_reach_timeout": "8s", "s2s_negotiate_timeout": "5s",
         "s2s_verify_timeout": "4s", "dns_timeout": "1s", "s2s_queue_age": "12s"}
PATIENCE = 30.0
AS_PROSODY = os.environ.get("COMITY_TEST_SERVER") == "prosody"     # tries the tests themselves
# Domains whose certificates are self-signed and need not be valid, and what is found there.
OPPORTUNISTIC = {"denier.example": "denies_keys", "honest.example": "good", "nobody.example": None,
                 "mute.example": "silent"}
STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"


class Scene:
    """The server under test, a user on it, and the fakes."""

    def __init__(self):
        self.bed = bed()
        self.remote = Remote(self.bed)
        faults, self.said, self.reasons = {}, {}, {}
        for trouble in TROUBLES + GOOD:
            number = self.remote.number()
            self.bed.names.set(trouble.domain, trouble.records(trouble.domain, number))
            if trouble.fault:
                faults[trouble.domain] = trouble.fault
            if trouble.act:
                self.remote.fake(trouble.domain, trouble.act, number, *certificate(self.bed, trouble),
                                 port=trouble.port, tls=trouble.tls, v6=trouble.v6, ca=self.bed.authority.ca)
        name_server = self.remote.names(self.remote.number(), v4(DNS), faults)
        self.server = self.make_server(name_server)
        self.caller = self.server.host.address
        self.more_fakes()
        self.bed.names.set("server", records(self.server.domain, self.server.number))
        self.bed.names.publish()
        self.remote.start()
        self.server.start()
        self.user = User(self.server, USERS[0], PASSWORD).online()
        for trouble in TROUBLES + GOOD:
            self.say(trouble)

    def make_server(self, name_server):
        if not AS_PROSODY:
            routes = "".join(f"route {domain} {{\n\tsecurity = opportunistic\n}}\n" for domain in OPPORTUNISTIC)
            return Comity(self.bed, "comity.example", "external", TIMES | {"dns_servers": name_server}, routes)
        server = Prosody(self.bed, "comity.example", "external")
        server.host.resolve_with(name_server)
        insecure = "; ".join(f'"{domain}"' for domain in OPPORTUNISTIC)
        server.text = f"s2s_timeout = 5\ns2s_insecure_domains = {{ {insecure} }}"
        return server

    def more_fakes(self):
        """Fakes that call us and may be called back."""
        for domain, act in (*OPPORTUNISTIC.items(), ("caller.example", "good"), ("closed.example", "good")):
            if act is None:
                continue
            number = self.remote.number()
            self.bed.names.set(domain, records(domain, number))
            auth = "external" if domain == "caller.example" else "dialback"
            self.remote.fake(domain, act, number, *self.bed.certificate(domain, auth))

    def say(self, trouble):
        """Sends a message there, and asks why it does not arrive, without waiting."""
        self.said[trouble.name] = self.user.say(f"user@{trouble.domain}", f"to {trouble.domain}")
        if not AS_PROSODY and trouble.condition:
            thread = threading.Thread(target=self.ask, args=(trouble,), daemon=True)
            self.reasons[trouble.name] = [thread, None]
            thread.start()

    def ask(self, trouble):
        try:
            text = self.server.why(trouble.domain)
        except Exception as error:  # told by the test that looks
            text = f"(comityctl why failed: {error})"
        self.reasons[trouble.name][1] = text

    def why(self, trouble):
        thread, _ = self.reasons[trouble.name]
        thread.join(PATIENCE)
        return self.reasons[trouble.name][1] or "(comityctl why has not ended)"


_scene = []


def _scenery():
    if not _scene:
        _scene.append(Scene())
    return _scene[0]


def _scenario(function):
    """Runs it with the scene; a failure tells the end of the server's log."""
    scene = _scenery()
    try:
        function(scene)
    except Failure as failure:
        raise Failure(f"{failure}\n{scene.server.log_tail(15)}") from failure


def _named(row):
    return row[0].name


@cases([(t,) for t in GOOD], name=_named)
@dedicated(start=False, timeout=120)
def reached(server, trouble):
    del server

    def story(scene):
        if trouble.name not in scene.said:
            scene.say(trouble)
        scene.said.pop(trouble.name)
        got = scene.remote.until(PATIENCE, event="message", domain=trouble.domain)
        equal((got["body"], got["sender"]), (f"to {trouble.domain}", scene.user.full))
    _scenario(story)


@cases([(t,) for t in TROUBLES], name=_named)
@dedicated(start=False, timeout=120)
def explained(server, trouble):
    del server

    def story(scene):
        if trouble.name not in scene.said:
            scene.say(trouble)
        ident = scene.said.pop(trouble.name)
        error = scene.user.until("message", PATIENCE, type="error", id=ident)
        equal(error["from"], f"user@{trouble.domain}", "from of the error")
        check(re.fullmatch(trouble.condition, condition(error) or "") or AS_PROSODY,
              f"wanted {trouble.condition}, got {error}")
        text = error.find("error").child_text("text", STANZAS) or ""
        if AS_PROSODY:
            return
        check(re.search(trouble.sentence, text, re.I), f"the sender's text does not match: {text!r}")
        reason = scene.why(trouble)
        check(re.search(trouble.sentence, reason, re.I), f"comityctl why does not explain it: {reason}")
    _scenario(story)


def _call(scene, do, domain, cert=None, **more):
    auth = "dialback" if domain in OPPORTUNISTIC or domain == "closed.example" else "external"
    cert, key = cert or scene.bed.certificate(domain, auth)
    scene.remote.call(do, domain=domain, to=scene.server.domain, address=scene.caller, cert=cert, key=key, **more)


def _stream_error(answer, *conditions):
    """Checks that the answer is a stream error with one of these conditions."""
    check(not isinstance(answer, str), f"the stream ended without an error: {answer}")
    equal(answer.name, "error", f"name of {answer}")
    found = [c.name for c in answer.find_all(ns=STREAM_ERRORS)]
    check(set(found) & set(conditions) or AS_PROSODY, f"wanted one of {conditions}, got {answer}")


@dedicated(start=False, timeout=120)
def a_wrong_dialback_key_is_refused(server):
    del server

    def story(scene):
        _call(scene, "key", "denier.example", key_text="0123456789abcdef" * 4)
        answer = scene.remote.answer()
        equal((answer.name, answer["type"], answer["from"], answer["to"]),
              ("result", "invalid", scene.server.domain, "denier.example"))
        if not AS_PROSODY:
            check(re.search(r"denier\.example.*(key|dialback)", scene.server.log(), re.I), "the log gives no reason")
    _scenario(story)


@dedicated(start=False, timeout=120)
def a_right_dialback_key_is_taken(server):
    del server

    def story(scene):
        for domain in ("honest.example", "caller.example"):
            _call(scene, "key", domain, key_text="0123456789abcdef" * 4)
            equal((domain, scene.remote.answer()["type"]), (domain, "valid"))
    _scenario(story)


@cases([("nobody.example",), ("mute.example",)])
@dedicated(start=False, timeout=120)
def a_key_that_cannot_be_verified_is_an_error(server, domain):
    del server

    def story(scene):
        _call(scene, "key", domain, key_text="0123456789abcdef" * 4)
        answer = scene.remote.answer()
        check(not isinstance(answer, str), f"the stream ended: {answer}")
        equal((answer.name, answer["type"]), ("result", "error"))
    _scenario(story)


@dedicated(start=False, timeout=120)
def a_key_does_not_replace_a_valid_certificate(server):
    """Where nothing else is configured, dialback alone is not believed."""
    del server

    def story(scene):
        _call(scene, "key", "closed.example", key_text="0123456789abcdef" * 4)
        answer = scene.remote.answer()
        check(isinstance(answer, str) or answer["type"] != "valid", f"believed: {answer}")
    _scenario(story)


CERTIFICATES = [("good", True), ("server use only", True), ("expired", False), ("not yet", False),
                ("wrong name", False), ("self-signed", False), ("other authority", False)]


@cases(CERTIFICATES)
@dedicated(start=False, timeout=120)
def certificates_of_callers(server, kind, believed):
    del server

    def story(scene):
        trouble = next(t for t in TROUBLES + GOOD if t.cert == kind)
        _call(scene, "authenticate", trouble.domain, cert=certificate(scene.bed, trouble))
        answer = scene.remote.answer()
        if believed:
            check(not isinstance(answer, str) and answer.name == "success", f"not believed: {answer}")
        else:
            check(isinstance(answer, str) or answer.name in ("failure", "error"), f"believed: {answer}")
    _scenario(story)


MESSAGE = "<message from='{}' to='{}' type='chat'><body>forged</body></message>"


@dedicated(start=False, timeout=120)
def a_stanza_of_a_domain_that_is_not_proved_closes_the_stream(server):
    del server

    def story(scene):
        for sender in ("user@other.example", scene.user.full, "caller.example.org", ""):
            _call(scene, "stanza", "caller.example", stanza=MESSAGE.format(sender, scene.user.full))
            _stream_error(scene.remote.answer(), "invalid-from", "improper-addressing", "invalid-xml")
        scene.user.absent("message", body="forged")
    _scenario(story)


@dedicated(start=False, timeout=120)
def a_stanza_to_a_domain_that_is_not_ours_is_not_passed_on(server):
    del server

    def story(scene):
        _call(scene, "stanza", "caller.example", patience=3,
              stanza=MESSAGE.format("user@caller.example", "user@all-well.example"))
        scene.remote.answer()   # a stream error, or silence
        check(not [e for e in scene.remote.events if e.get("body") == "forged"], "it was passed on")
    _scenario(story)


@dedicated(start=False, timeout=120)
def a_stanza_before_any_proof_closes_the_stream(server):
    del server

    def story(scene):
        _call(scene, "early_stanza", "caller.example", stanza=MESSAGE.format("user@caller.example", scene.user.full))
        _stream_error(scene.remote.answer(), "not-authorized", "invalid-from", "policy-violation")
        scene.user.absent("message", body="forged")
    _scenario(story)
