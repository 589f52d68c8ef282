# SPDX-License-Identifier: MIT
"""A client in a few words: log in, send stanzas, wait for what must come and for what must not."""
import itertools

from .checks import Failure, check, equal
from .elements import escape
from .scram import Scram, b64, channel_binding, unb64
from .stream import NS_BIND, NS_SASL, NS_STANZA_ERRORS, NS_STREAM, TIMEOUT, Closed, Stream

NS_CB = "urn:xmpp:sasl-cb:0"
NS_PING = "urn:xmpp:ping"
NS_ROSTER = "jabber:iq:roster"

_ids = itertools.count(1)


def attributes(**attrs):
    """Attributes as XML; `from_` and `type_` stand for from and type, None leaves one out."""
    return "".join(f" {k.rstrip('_')}='{escape(str(v))}'" for k, v in attrs.items() if v is not None)


class Client(Stream):
    """A stream that can authenticate, bind and exchange stanzas."""

    jid = None   # the full JID once bound
    bare = None

    @classmethod
    def login(cls, account, resource=None, mechanism=None, presence=False, **args):
        """A new bound session of an Account; with presence=True also available."""
        args.setdefault("domain", account.domain)
        client = cls(account.server, name=account.user + (f"/{resource}" if resource else ""), **args)
        client.secure()
        client.authenticate(account.user, account.password, mechanism)
        client.open()
        client.bind(resource)
        if presence:
            client.presence()
            client.expect("presence", from_=client.jid, type=None)
        return client

    def secure(self):
        """Opens the stream, with STARTTLS unless TLS is there already; returns the features."""
        features = self.open()
        return features if self.tls else self.starttls()

    # SASL

    def mechanisms(self):
        offered = self.features.find("mechanisms", NS_SASL)
        return [] if offered is None else [m.text for m in offered.find_all("mechanism")]

    def binding_types(self):
        offered = self.features.find("sasl-channel-binding", NS_CB)
        return [] if offered is None else [c["type"] for c in offered.find_all("channel-binding")]

    def auth(self, mechanism, data=None):
        """Sends <auth/>; data None sends none at all, b"" sends "="."""
        inner = "" if data is None else b64(data) or "="
        self.send(f"<auth xmlns='{NS_SASL}' mechanism='{mechanism}'>{inner}</auth>")

    def response(self, data):
        self.send(f"<response xmlns='{NS_SASL}'>{b64(data) or '='}</response>")

    def expect_challenge(self):
        return unb64(self.expect_next("challenge", NS_SASL, timeout=TIMEOUT).text)

    def expect_success(self):
        text = self.expect_next("success", NS_SASL).text
        return unb64(text) if text not in ("", "=") else b""

    def expect_failure(self, *conditions, timeout=TIMEOUT):
        """A SASL failure with one of these conditions; returns the element."""
        failure = self.expect_next("failure", NS_SASL, timeout=timeout)
        found = [c.name for c in failure.find_all(ns=NS_SASL) if c.name != "text"]
        check(len(found) == 1 and found[0] in conditions,
              f"{self.name}: wanted the SASL failure {' or '.join(conditions)}, got {failure!r}")
        return failure

    def authenticate(self, user, password, mechanism=None, binding=None, **scram):
        """Authenticates or raises; picks SCRAM-SHA-256 unless told. binding names a type for -PLUS."""
        mechanism = mechanism or next((m for m in ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")
                                       if m in self.mechanisms()), None)
        check(mechanism, f"no usable mechanism in {self.mechanisms()}")
        if mechanism == "PLAIN":
            self.auth("PLAIN", f"\0{user}\0{password}")
            self.expect_success()
            return
        data = (binding, channel_binding(self.tls, binding)) if binding else None
        exchange = Scram(mechanism, user, password, data, **scram)
        self.auth(mechanism, exchange.first())
        self.response(exchange.final(self.expect_challenge()))
        last = self.next()
        if last.matches("challenge", NS_SASL):  # the server's signature may come as a challenge
            exchange.verify(unb64(last.text))
            self.response(b"")
            last = self.next()
        elif last.matches("success", NS_SASL):
            exchange.verify(unb64(last.text))
        if not last.matches("success", NS_SASL):
            raise Failure(f"{self.name}: wanted success, got {last!r}")

    # Binding

    def bind_raw(self, resource=None, id_=None):
        """Sends the bind request and returns the answer, a result or an error."""
        inner = "" if resource is None else f"<resource>{escape(resource)}</resource>"
        return self.iq("set", f"<bind xmlns='{NS_BIND}'>{inner}</bind>", id_=id_)

    def bind(self, resource=None):
        answer = self.bind_raw(resource)
        equal(answer["type"], "result", f"bind: {answer!r}")
        self.jid = answer.path("bind", "jid").text
        self.bare = self.jid.partition("/")[0]
        return self.jid

    # Stanzas

    def new_id(self):
        return f"{self.name.partition('/')[0]}-{next(_ids)}"

    def iq(self, type_, payload="", to=None, timeout=TIMEOUT, id_=None, from_=None):
        """Sends a request and waits for its answer, result or error."""
        id_ = id_ or self.new_id()
        self.send(f"<iq{attributes(type=type_, id=id_, to=to, from_=from_)}>{payload}</iq>")
        return self.expect("iq", id=id_, timeout=timeout, where=lambda e: e["type"] in ("result", "error"))

    def get(self, payload, to=None, **args):
        """A get whose answer must be a result; returns its payload, or None."""
        return self._result("get", payload, to, args)

    def set(self, payload, to=None, **args):
        return self._result("set", payload, to, args)

    def _result(self, type_, payload, to, args):
        answer = self.iq(type_, payload, to, **args)
        if answer["type"] != "result":
            raise Failure(f"{self.name}: wanted a result for {payload}, got {answer!r}")
        return answer.children[0] if answer.children else None

    def presence(self, type_=None, to=None, payload="", id_=None, **attrs):
        self.send(f"<presence{attributes(type=type_, to=to, id=id_, **attrs)}>{payload}</presence>")

    def message(self, to, body=None, type_="chat", id_=None, payload="", **attrs):
        """Sends a message, returns its id."""
        id_ = id_ or self.new_id()
        inner = ("" if body is None else f"<body>{escape(body)}</body>") + payload
        self.send(f"<message{attributes(type=type_, to=to, id=id_, **attrs)}>{inner}</message>")
        return id_

    def roster(self, ver=None):
        """Asks for the roster; returns {jid: item element}."""
        query = self.get(f"<query xmlns='{NS_ROSTER}'{attributes(ver=ver)}/>")
        return {} if query is None else {item["jid"]: item for item in query.find_all("item")}

    def answer(self, iq, payload=""):
        """Answers a request of the server with a result."""
        self.send(f"<iq{attributes(type='result', id=iq['id'], to=iq['from'])}>{payload}</iq>")

    # What must not come

    def ping(self):
        """One round trip to the server: all that this client sent before has been handled."""
        return self.iq("get", f"<ping xmlns='{NS_PING}'/>", to=self.domain)

    def settle(self, after=None):
        """After this, all that `after` (a client, or several) caused by now has reached this client."""
        others = [] if after is None else after if isinstance(after, (list, tuple)) else [after]
        self.ping()  # what this client itself has caused is under way before the others are asked
        for other in others:
            other.ping()
            if other is not self and self.jid:
                marker = other.message(self.jid, "settled?", "headline")
                self.expect("message", id=marker, from_=other.jid)
        self.ping()
        self.ping()  # the first may have overtaken another worker's mailbox in one turn of the loop

    def expect_nothing(self, after=None):
        """Nothing has come and nothing is on its way (see settle)."""
        self.settle(after)
        if self.inbox:
            raise Failure(f"{self.name}: wanted nothing; {self._inbox_text()}")

    def drain(self, after=None):
        """Empties and returns the inbox after settling."""
        self.settle(after)
        inbox, self.inbox = self.inbox, []
        return inbox

    def expect_error(self, condition, type_=None, name=None, id_=None, timeout=TIMEOUT):
        """Waits for a stanza of type error with that condition."""
        args = {"type": "error"} | ({"id": id_} if id_ else {})
        stanza = self.expect(name, timeout=timeout, **args)
        check_error(stanza, condition, type_)
        return stanza


def check_error(stanza, condition, type_=None):
    """The stanza is an error with that condition and (if given) error type, well made (RFC 6120 8.3)."""
    error = stanza.find("error")
    check(stanza["type"] == "error" and error is not None, f"wanted the error {condition}, got {stanza!r}")
    found = [c.name for c in error.find_all(ns=NS_STANZA_ERRORS) if c.name != "text"]
    conditions = condition if isinstance(condition, (list, tuple)) else [condition]
    check(len(found) == 1 and found[0] in conditions, f"wanted the error {condition}, got {stanza!r}")
    check(error["type"] in ("auth", "cancel", "continue", "modify", "wait"), f"bad error type: {stanza!r}")
    if type_:
        equal(error["type"], type_, f"error type of {stanza!r}")
    return error


__all__ = ["Client", "Closed", "attributes", "check_error", "NS_STREAM"]
