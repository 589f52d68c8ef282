# SPDX-License-Identifier: MIT
"""Delivery: each row of RFC 6121 8.5, the rules of RFC 6120 8 and 10, and content that arrives as it was."""
import random
import re

from harness import Client, cases, check, dedicated, equal, escape
from harness.client import NS_PING, NS_ROSTER, check_error

NS_DELAY = "urn:xmpp:delay"
NS_SID = "urn:xmpp:sid:0"
STANZA_ERROR = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
TYPES = ("normal", "chat", "groupchat", "headline", "error")


class Scene:
    """A sender and an account with sessions of the given priorities; None: bound but not available."""

    def __init__(self, server, priorities):
        self.server = server
        self.sender = Client.login(server.account("sender"))
        self.account = server.account("user")
        self.sessions = {}
        for name, priority in priorities.items():
            client = self.sessions[name] = Client.login(self.account, name)
            if priority is not None:
                client.presence(payload=f"<priority>{priority}</priority>")
                client.expect("presence", from_=client.jid)
        for client in self.sessions.values():
            client.drain(list(self.sessions.values()))

    def send(self, to, type_, id_="m1"):
        payload = STANZA_ERROR if type_ == "error" else ""
        self.sender.message(to, "text", type_, id_, payload)
        return id_

    def arrived(self):
        """The names of sessions that got exactly one message, and nothing else came anywhere."""
        names = set()
        for name, client in self.sessions.items():
            inbox = client.drain(self.sender)
            check(len(inbox) <= 1, f"{name} got more than one stanza: {inbox}")
            for got in inbox:
                equal((got.name, got["from"], got.child_text("body")), ("message", self.sender.jid, "text"))
                names.add(name)
        return names

    def answers(self, to):
        """The conditions of the errors that the sender got for what it sent there, and their senders."""
        found = []
        # An iq waits for the account as the message did.
        check_error(self.sender.iq("get", "<x xmlns='urn:example:last'/>", to=to), "service-unavailable")
        for got in self.sender.drain():
            check(got.name == "message" and got["type"] == "error" and got["id"] == "m1", f"the sender got {got}")
            found.append((got["from"], [c.name for c in got.find("error").children if c.name != "text"]))
        return found

    def stored(self):
        """The bodies that a new login gets, each with the mark of a delay."""
        late = Client.login(self.account, "late", presence=True)
        end = late.drain(self.sender)   # what comes later waits for what was stored
        for message in end:
            if message.name != "message":
                continue
            delay = message.find("delay", NS_DELAY)
            check(delay is not None, f"a stored message without delay: {message}")
            equal(delay["from"], self.server.domain)
            check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", delay["stamp"]), f"stamp of {delay}")
            equal(message["from"], self.sender.jid)
        return [m.child_text("body") for m in end if m.name == "message"]


# What happens: the names of sessions that get it, and one of
NOTHING, REFUSED, STORED = "nothing", "an error", "stored"

# (what is online: {resource: priority}, address, type): (who gets it, what else happens)
_ONE = {"a": 0}
_TWO = {"low": 1, "high": 5}
_EQUAL = {"a": 2, "b": 2, "c": 1}
_NEGATIVE = {"neg": -1}
_MIXED = {"neg": -1, "pos": 0}
_BOUND = {"bound": None}
_NOBODY = {}

DELIVERY = []


def _rows(online, address, **outcomes):
    for type_ in TYPES:
        DELIVERY.append((online, address, type_, *outcomes[type_]))


# 8.5.2.1: bare address, somebody is available
_rows(_ONE, "{bare}", normal=({"a"}, NOTHING), chat=({"a"}, NOTHING), groupchat=((), REFUSED),
      headline=({"a"}, NOTHING), error=((), NOTHING))
_rows(_TWO, "{bare}", normal=({"high"}, NOTHING), chat=({"high"}, NOTHING), groupchat=((), REFUSED),
      headline=({"low", "high"}, NOTHING), error=((), NOTHING))
_rows(_EQUAL, "{bare}", normal=({"a", "b"}, NOTHING), chat=({"a", "b"}, NOTHING), groupchat=((), REFUSED),
      headline=({"a", "b", "c"}, NOTHING), error=((), NOTHING))
_rows(_MIXED, "{bare}", normal=({"pos"}, NOTHING), chat=({"pos"}, NOTHING), groupchat=((), REFUSED),
      headline=({"pos"}, NOTHING), error=((), NOTHING))
# 8.5.2.2: nobody, or only who does not take messages for the account
for _online in (_NOBODY, _NEGATIVE, _BOUND):
    _rows(_online, "{bare}", normal=((), STORED), chat=((), STORED), groupchat=((), REFUSED),
          headline=((), NOTHING), error=((), NOTHING))
# 8.5.3.1: the full address of a session, available or not, whatever its priority
for _online, _name in ((_TWO, "low"), (_NEGATIVE, "neg"), (_BOUND, "bound")):
    _rows(_online, "{bare}/" + _name, **{t: ({_name}, NOTHING) for t in TYPES})
# 8.5.3.2: a full address that nobody has; others are there
_rows(_TWO, "{bare}/gone", normal=((), REFUSED), chat=({"high"}, NOTHING), groupchat=((), REFUSED),
      headline=((), NOTHING), error=((), NOTHING))
_rows(_EQUAL, "{bare}/gone", normal=((), REFUSED), chat=({"a", "b"}, NOTHING), groupchat=((), REFUSED),
      headline=((), NOTHING), error=((), NOTHING))
# ... or nobody is
for _online in (_NOBODY, _NEGATIVE):
    _rows(_online, "{bare}/gone", normal=((), REFUSED), chat=((), STORED), groupchat=((), REFUSED),
          headline=((), NOTHING), error=((), NOTHING))


def _row_name(row):
    online = ",".join(f"{n}={p}" for n, p in row[0].items()) or "nobody"
    return f"{row[2]} to {row[1]} with {online}"


@cases(DELIVERY, name=_row_name)
def message_goes_where_the_rules_say(server, online, address, type_, receivers, outcome):
    scene = Scene(server, online)
    to = address.format(bare=scene.account.jid)
    scene.send(to, type_)
    if to.rpartition("/")[2] in online:
        scene.sender.expect_nothing(list(scene.sessions.values()))
    else:
        equal(scene.answers(to), [(to, ["service-unavailable"])] if outcome == REFUSED else [], "answers")
    equal(scene.arrived(), set(receivers), "who got it")
    if outcome != NOTHING or not receivers:
        equal(scene.stored(), ["text"] if outcome == STORED else [], "what was stored")


@dedicated(options={"modules_disabled": ["offline"]})
def without_offline_storage_the_sender_is_told(server):
    for online in (_NOBODY, _NEGATIVE, _BOUND):
        for type_, address in (("normal", "{bare}"), ("chat", "{bare}"), ("chat", "{bare}/gone")):
            scene = Scene(server, online)
            to = address.format(bare=scene.account.jid)
            scene.send(to, type_)
            equal(scene.answers(to), [(to, ["service-unavailable"])])
            equal(scene.arrived(), set())
            equal(scene.stored(), [])


@cases([(t, a) for t in TYPES for a in ("nobody-here@{domain}", "nobody-here@{domain}/x")],
       name=lambda row: f"{row[0]} to {row[1]}")
def message_to_no_such_user(server, type_, address):
    """RFC 6121 8.5.1."""
    scene = Scene(server, {})
    to = address.format(domain=server.domain)
    scene.send(to, type_)
    equal(scene.answers(to), [] if type_ == "error" else [(to, ["service-unavailable"])])


@cases([("absent", None), ("unknown", "nonsense"), ("empty", "")])
def other_types_count_as_normal(server, _name, type_):
    """RFC 6121 5.2.2."""
    scene = Scene(server, {"low": 1, "high": 5})
    scene.send(scene.account.jid, type_)
    equal(scene.arrived(), {"high"})


@cases(["presence", "unavailable"])
def presence_follows_its_rules(server, kind):
    """Bare: all available; full: that session; gone or nobody: ignored."""
    scene = Scene(server, {"low": -1, "high": 5, "bound": None})
    type_ = None if kind == "presence" else "unavailable"
    for to, wanted in (("{bare}", {"low", "high"}), ("{bare}/low", {"low"}), ("{bare}/bound", {"bound"}),
                       ("{bare}/gone", set()), ("nobody-here@{domain}", set()), ("nobody-here@{domain}/x", set())):
        to = to.format(bare=scene.account.jid, domain=server.domain)
        scene.sender.presence(type_, to=to)
        got = {n for n, c in scene.sessions.items() if [e["to"] for e in c.drain(scene.sender)] == [to]}
        equal(got, wanted, to)
        scene.sender.expect_nothing()


# Iqs

def iq_to_a_session_is_delivered_and_answered(server):
    """Whatever the priority, available or not; the answer finds its way back (RFC 6121 8.5.3.1)."""
    scene = Scene(server, {"low": -1, "bound": None})
    for client in scene.sessions.values():
        for type_ in ("get", "set"):
            scene.sender.send(f"<iq type='{type_}' id='q&apos;1' to='{client.jid}'><x xmlns='urn:example:x'/></iq>")
            got = client.expect("iq", from_=scene.sender.jid, to=client.jid)
            equal((got["type"], got["id"], got.children[0].ns), (type_, "q'1", "urn:example:x"))
            client.send(f"<iq type='result' id='q&apos;1' to='{scene.sender.jid}'><y xmlns='urn:example:y'/></iq>")
            answer = scene.sender.expect("iq", id="q'1")
            equal((answer["type"], answer["from"], answer.children[0].name), ("result", client.jid, "y"))
            client.send(f"<iq type='error' id='z' to='{scene.sender.jid}'>{STANZA_ERROR}</iq>")
            check_error(scene.sender.expect("iq", id="z", from_=client.jid), "gone")


@cases([("gone resource", "{bare}/gone"), ("account", "{bare}"), ("nobody", "nobody-here@{domain}"),
        ("full nobody", "nobody-here@{domain}/x"), ("server", "{domain}"), ("server resource", "{domain}/x"),
        ("oneself", "{own}"), ("nowhere", None)])
def unknown_iq_is_unavailable(server, _name, to):
    """RFC 6120 8.4, RFC 6121 8.5: the server answers, the sessions see nothing."""
    scene = Scene(server, {"a": 0})
    to = to and to.format(bare=scene.account.jid, domain=server.domain, own=scene.sender.bare)
    for type_ in ("get", "set"):
        answer = scene.sender.iq(type_, "<x xmlns='urn:example:unknown'/>", to=to)
        check_error(answer, "service-unavailable", "cancel")
        check(answer["from"] in ((to,) if to else (None, scene.sender.bare)), f"from of {answer}")
    scene.sessions["a"].expect_nothing(scene.sender)


@cases([(t, a) for t in ("result", "error") for a in (
    "{bare}/gone", "{bare}", "nobody-here@{domain}", "{domain}", "{own}", "someone@elsewhere.example", None)],
    name=lambda row: f"{row[0]} to {row[1]}")
def answers_are_never_answered(server, type_, to):
    scene = Scene(server, {"a": 0})
    to = to and to.format(bare=scene.account.jid, domain=server.domain, own=scene.sender.bare)
    payload = STANZA_ERROR if type_ == "error" else ""
    scene.sender.send(f"<iq type='{type_}' id='r'{f' to={to!r}' if to else ''}>{payload}</iq>")
    scene.sender.expect_nothing()
    scene.sessions["a"].expect_nothing(scene.sender)


_PING = f"<ping xmlns='{NS_PING}'/>"


@cases([("no child", f"<iq type='get' id='b' {{to}}/>"),
        ("only text", "<iq type='get' id='b' {to}>text</iq>"),
        ("two children", f"<iq type='get' id='b' {{to}}>{_PING}{_PING}</iq>"),
        ("two children in a set", f"<iq type='set' id='b' {{to}}>{_PING}<x xmlns='urn:example:x'/></iq>"),
        ("no type", f"<iq id='b' {{to}}>{_PING}</iq>"),
        ("bad type", f"<iq type='fetch' id='b' {{to}}>{_PING}</iq>"),
        ("empty type", f"<iq type='' id='b' {{to}}>{_PING}</iq>"),
        ("no id", f"<iq type='get' {{to}}>{_PING}</iq>")])
def malformed_iq_is_a_bad_request(server, _name, xml):
    """RFC 6120 8.2.3, wherever it goes; the stream lives on."""
    scene = Scene(server, {"a": 0})
    for to in (None, server.domain, scene.sender.bare, scene.account.jid, scene.sessions["a"].jid):
        scene.sender.send(xml.replace("{to}", f"to='{to}'" if to else ""))
        check_error(scene.sender.expect("iq"), "bad-request")
    scene.sender.expect_nothing()
    scene.sessions["a"].expect_nothing(scene.sender)


def result_with_two_children_does_not_get_through(server):
    scene = Scene(server, {"a": 0})
    scene.sender.send(f"<iq type='result' id='b' to='{scene.sessions['a'].jid}'>{_PING}{_PING}</iq>")
    scene.sessions["a"].expect_nothing(scene.sender)
    scene.sender.expect_nothing()


def iq_without_to_is_for_the_own_account(server):
    client = Client.login(server.account("user"))
    equal(client.iq("get", f"<query xmlns='{NS_ROSTER}'/>")["type"], "result")
    equal(client.iq("get", _PING)["type"], "result")
    equal(client.iq("get", _PING, to=client.bare)["from"], client.bare)
    equal(client.iq("get", _PING, to=server.domain)["from"], server.domain)


# Addresses

@cases(["{bare}/other", "other@{domain}", "{domain}", "@@", ""])
def wrong_from_ends_the_stream(server, from_):
    """RFC 6120 8.1.2.1."""
    client = Client.login(server.account("user"), "here")
    victim = Client.login(server.account("victim"))
    client.message(victim.jid, "x", from_=from_.format(bare=client.bare, domain=server.domain))
    client.expect_stream_error("invalid-from")
    victim.expect_nothing()


@cases(["{bare}/here", "{bare}", "{upper}/here"])
def true_from_becomes_the_full_address(server, from_):
    client = Client.login(server.account("user"), "here")
    other = Client.login(server.account("other"))
    client.message(other.jid, "x", from_=from_.format(bare=client.bare, upper=client.bare.upper()))
    equal(other.expect("message", body="x")["from"], client.jid)


@cases(["@{domain}", "a@b@c", "user@", "{bare}/", "us er@{domain}", "user@exa mple", "",
        "x" * 1024 + "@{domain}", "{bare}/" + "r" * 1024, "\"x\"@{domain}", "\u200b@{domain}"],
       name=lambda row: ascii(row)[:40])
def malformed_to_is_told(server, to):
    """RFC 6120 8.1.1: jid-malformed, for each kind; results and errors are dropped."""
    client = Client.login(server.account("user"))
    to = escape(to.format(bare=client.bare, domain=server.domain))
    client.send(f"<message to='{to}' id='1'><body>x</body></message>")
    client.send(f"<iq to='{to}' id='2' type='get'>{_PING}</iq>")
    client.send(f"<presence to='{to}' id='3'/>")
    for id_, name in (("1", "message"), ("2", "iq"), ("3", "presence")):
        client.expect_error("jid-malformed", name=name, id_=id_)
    client.send(f"<iq to='{to}' id='4' type='result'/>")
    client.expect_nothing()


def address_is_prepared_before_delivery(server):
    """RFC 7622: case does not matter before the slash, and does after it."""
    account = server.named_account("Jürgen-" + server.account("x").user)
    client = Client.login(account, "Res", presence=True)
    other = Client.login(server.account("other"))
    for to in (account.jid, account.user.upper() + "@" + server.domain.upper(),
               account.user.replace("ü", "u\u0308") + "@" + server.domain):
        other.message(to + "/Res", "x")
        equal(client.expect("message", body="x")["to"], client.jid)
    other.message(account.jid + "/res", "y", "headline")
    client.expect_nothing(other)


@cases([("message", "<message to='{to}' id='1'><body>x</body></message>"),
        ("iq", "<iq to='{to}' id='1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>"),
        ("presence", "<presence to='{to}' id='1'/>")])
def other_servers_are_not_found(server, _name, xml):
    client = Client.login(server.account("user"))
    for to in ("someone@elsewhere.example", "someone@elsewhere.example/x", "elsewhere.example",
               f"sub.{server.domain}"):
        client.send(xml.replace("{to}", to))
        got = client.expect_error("remote-server-not-found", id_="1")
        equal((got["from"], got["to"]), (to, client.jid))
    client.send(f"<message to='someone@elsewhere.example' type='error'>{STANZA_ERROR}</message>")
    client.expect_nothing()


@cases([("no to", None), ("own bare", "{bare}")])
def message_to_oneself(server, _name, to):
    """RFC 6120 10.3.1: without 'to' it is for the own account."""
    account = server.account("user")
    one, two = (Client.login(account, r) for r in ("one", "two"))
    two.presence(payload="<priority>9</priority>")
    one.presence()
    one.drain(two), two.drain(one)
    one.message(to and to.format(bare=one.bare), "note to self")
    got = two.expect("message", body="note to self")
    equal(got["from"], one.jid)
    check(got["to"] in (one.bare, None), f"to of {got}")
    one.expect_nothing()


def message_to_the_own_full_address(server):
    one = Client.login(server.account("user"))
    one.message(one.jid, "echo")
    got = one.expect("message", body="echo")
    equal((got["from"], got["to"]), (one.jid, one.jid))


@cases([("host", "{domain}"), ("host resource", "{domain}/admin")])
def message_to_the_server(server, _name, to):
    client = Client.login(server.account("user"))
    client.message(to.format(domain=server.domain), "hello", id_="h")
    got = client.drain()
    for e in got:
        check_error(e, "service-unavailable")
    check(len(got) <= 1, f"got {got}")


def error_has_the_id_and_the_addresses(server):
    client = Client.login(server.account("user"))
    to = f"nobody-here@{server.domain}/x"
    for id_ in ("plain", "with 'quotes' & <marks>", "ü🜨", "x" * 500):
        client.message(to, "x", id_=id_)
        got = client.expect_error("service-unavailable", "cancel")
        equal((got["id"], got["from"], got["to"]), (id_, to, client.jid))
    client.send(f"<message to='{to}'><body>no id</body></message>")
    equal(client.expect_error("service-unavailable")["id"], None)


# Content

NS_XHTML = "http://www.w3.org/1999/xhtml"

CONTENT = [
    ("entities", "<body>&lt;b&gt; &amp;amp; &quot;x&quot; &apos;y&apos; &#38; &#x1F728; &#13;&#10;&#9;end</body>"),
    ("cdata", "<body><![CDATA[<not> & markup ]]>]]&gt;<![CDATA[]] ]]></body>"),
    ("mixed content", f"<html xmlns='{NS_XHTML}'><p>one <b>two</b> three <i>four<br/>five</i>\n six</p></html>"),
    ("empty elements", "<x xmlns='urn:example:x'/><x xmlns='urn:example:x'></x><body/>"),
    ("white space", "<body>  \n\t two  spaces \r\n end </body>\n <x xmlns='urn:example:x'> </x> "),
    ("attributes", "<x xmlns='urn:example:x' a='&lt;&amp;&quot;&apos;&#10;&#9;' b=\"it's\" c='\"' d='' e=' x '/>"),
    ("own prefix", "<p:x xmlns:p='urn:example:p' p:a='1' a='2'><p:y/><y xmlns='urn:example:y'><p:z/></y></p:x>"),
    ("prefix twice", "<p:x xmlns:p='urn:example:1'><p:x xmlns:p='urn:example:2' p:a='1'/><p:y p:b='2'/></p:x>"),
    ("default namespace undeclared", "<x xmlns='urn:example:x'><y xmlns=''><z/></y></x>"),
    ("client namespace inside", "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat' "
                                "from='a@b' to='c@d'><body>inner</body></message></forwarded>"),
    ("server namespace inside", "<x xmlns='jabber:server'><message/></x>"),
    ("languages", "<body xml:lang='de'>Hallo</body><body xml:lang='en'>Hello</body><subject xml:lang=''>?</subject>"),
    ("unicode", "<body>Ωμέγα 漢字 עברית \u202eabc\u202c 👩‍👩‍👧 \U0010fffd é e\u0301 \u2028 \ufeff</body>"),
    ("xml attributes", "<x xmlns='urn:example:x' xml:space='preserve' xml:lang='fr'/>"),
    ("text beside elements", "loose text<body>b</body>more"),
    ("deep", "<d xmlns='urn:example:d'>" * 20 + "core" + "</d>" * 20),
    ("many children", "".join(f"<x xmlns='urn:example:x{i}' i='{i}'>{i}</x>" for i in range(100))),
    ("nothing", ""),
    ("end of cdata", "<body>]]&gt;</body>"),
    ("long attribute", f"<x xmlns='urn:example:x' a='{'ä' * 3000}'/>"),
]


def _shape(element):
    """All of an element that a reader of XML may rely on."""
    return (element.ns, element.name, sorted(element.attrs.items()), element.text,
            [_shape(c) for c in element.children])


def _content(message):
    """What the sender put into it: without what the recipient's server adds."""
    return [_shape(c) for c in message.children
            if c.ns != NS_DELAY and (c.ns, c.name, c["by"]) != (NS_SID, "stanza-id", message["to"].partition("/")[0])]


def _parsed(xml, outer=""):
    """The children of a message as expat sees them in the stream that the clients use."""
    from harness.elements import StreamReader
    reader = StreamReader()
    reader.feed(f"<s xmlns='jabber:client'><message{outer}>{xml}</message>".encode())
    return reader.take()[1][1]


def _same_content(sender, receiver, xml, outer=""):
    sender.send(f"<message to='{receiver.jid}' id='c'{outer}>{xml}</message>")
    got, wanted = receiver.expect("message", id="c"), _parsed(xml, outer)
    equal(_content(got), [_shape(c) for c in wanted.children])
    equal(got.text, wanted.text, "text beside elements")
    return got


@cases(CONTENT)
def content_arrives_as_it_was(server, _name, xml):
    sender, receiver = (Client.login(a) for a in server.accounts("sender", "receiver"))
    _same_content(sender, receiver, xml)
    _same_content(sender, receiver, xml, " type='chat' xml:lang='sv'")
    # byte by byte the same
    for byte in f"<message to='{receiver.jid}' id='b'>{xml}</message>".encode()[:3000]:
        sender.send(bytes([byte]))
    rest = f"<message to='{receiver.jid}' id='b'>{xml}</message>".encode()[3000:]
    if rest:
        sender.send(rest)
    equal(_content(receiver.expect("message", id="b")), [_shape(c) for c in _parsed(xml).children])


@cases(CONTENT)
def stored_content_arrives_as_it_was(server, _name, xml):
    sender, account = Client.login(server.account("sender")), server.account("receiver")
    sender.send(f"<message to='{account.jid}' id='c' type='chat'><body>kept</body>{xml}</message>")
    sender.ping()
    receiver = Client.login(account, presence=True)
    got, wanted = receiver.expect("message", id="c"), _parsed("<body>kept</body>" + xml)
    equal(_content(got), [_shape(c) for c in wanted.children])


@cases([("on the stanza", " xmlns:p='urn:example:p'", "<p:x p:a='1'><p:y/></p:x>"),
        ("on the stanza twice", " xmlns:p='urn:example:p' xmlns:q='urn:example:q'", "<p:x q:a='1'/><q:x p:a='2'/>"),
        ("unused", " xmlns:p='urn:example:p'", "<body>x</body>"),
        ("the same as the default", " xmlns:c='jabber:client'", "<c:body>x</c:body><body>y</body>"),
        ("attribute of the stanza", " xmlns:p='urn:example:p' p:own='1'", "<body>x</body>")])
def prefixes_of_the_stanza_are_kept(server, _name, outer, xml):
    sender, receiver = (Client.login(a) for a in server.accounts("sender", "receiver"))
    _same_content(sender, receiver, xml, outer)


def prefixes_of_the_stream_are_kept(server):
    """Declared on <stream:stream>, used in a stanza, meaningless in the stream of the receiver."""
    account, receiver = server.account("sender"), Client.login(server.account("receiver"))
    sender = Client(server)
    sender.secure()
    sender.authenticate(account.user, account.password)
    sender.open(extra=" xmlns:p='urn:example:p'")
    sender.bind()
    sender.send(f"<message to='{receiver.jid}' id='s'><p:x p:a='1'>t</p:x><body>b</body></message>")
    got = receiver.expect("message", id="s")
    equal(_content(got),
          [("urn:example:p", "x", [("{urn:example:p}a", "1")], "t", []), ("jabber:client", "body", [], "b", [])])
    sender.send(f"<stream:odd xmlns='urn:example:x'/>")
    sender.expect_stream_error("unsupported-stanza-type", "bad-format", "invalid-namespace")


def stanza_with_a_prefix_of_its_own(server):
    """RFC 6120 4.8.4: the namespace counts, not the prefix."""
    sender, receiver = (Client.login(a) for a in server.accounts("sender", "receiver"))
    sender.send(f"<c:message xmlns:c='jabber:client' to='{receiver.jid}' id='p'><c:body>x</c:body></c:message>")
    equal(receiver.expect("message", id="p").child_text("body"), "x")


def declared_entities_are_refused(server):
    sender, receiver = (Client.login(a) for a in server.accounts("sender", "receiver"))
    sender.send(f"<message to='{receiver.jid}'><body>&nbsp;</body></message>")
    sender.expect_stream_error("not-well-formed", "restricted-xml", "bad-format")
    receiver.expect_nothing()


@cases([("200 kB body", 200_000, "a"), ("markup", 20_000, "<&>'\""), ("unicode", 30_000, "🜨é")])
def large_bodies_arrive(server, _name, count, unit):
    sender, receiver = (Client.login(a) for a in server.accounts("sender", "receiver"))
    text = (unit * count)[:count]
    for _ in range(3):
        sender.message(receiver.jid, text)
        equal(receiver.expect("message").child_text("body"), text)


@cases([(seed,) for seed in range(4)])
def random_content_arrives_as_it_was(server, seed):
    """Trees of elements, attributes, namespaces and text that nobody thought of."""
    rng = random.Random(seed)
    sender, receiver = (Client.login(a) for a in server.accounts("sender", "receiver"))

    def text():
        return "".join(escape(rng.choice("ab <>&'\"\n\té漢🜨")) for _ in range(rng.randrange(12)))

    def element(depth, prefixes):
        prefix = rng.choice([""] + sorted(prefixes))
        name = rng.choice(["x", "y", "body", "message", "long-name.1"])
        out, inner = f"<{prefix + ':' if prefix else ''}{name}", set(prefixes)
        if rng.random() < 0.4:
            out += f" xmlns='{rng.choice(['urn:a', 'urn:b', 'jabber:client', 'jabber:server', ''])}'"
        if rng.random() < 0.3:
            new = rng.choice("pqr")
            if new != prefix:
                out, inner = out + f" xmlns:{new}='urn:{rng.choice('xyz')}'", inner | {new}
        for attribute in rng.sample(["a", "b", "xml:lang", "id", "from"], rng.randrange(3)):
            out += f" {attribute}='{text()}'"
        children = "".join(text() + element(depth + 1, inner) for _ in range(rng.randrange(4))) if depth < 4 else ""
        return out + f">{children}{text()}</{prefix + ':' if prefix else ''}{name}>"

    for _ in range(40):
        _same_content(sender, receiver, "".join(element(0, set()) for _ in range(rng.randrange(1, 4))))


def language_of_the_stream_is_added(server):
    """RFC 6120 8.1.5: a stanza without xml:lang speaks the language of its stream."""
    account, receiver = server.account("sender"), Client.login(server.account("receiver"), presence=True)
    sender = Client(server)
    sender.secure()
    sender.authenticate(account.user, account.password)
    sender.open(extra=" xml:lang='de-CH'")
    sender.bind()
    sender.message(receiver.jid, "Grüezi")
    equal(receiver.expect("message")["xml:lang"], "de-CH")
    sender.send(f"<message to='{receiver.jid}' xml:lang='fr'><body>Salut</body></message>")
    equal(receiver.expect("message")["xml:lang"], "fr")
    sender.presence(to=receiver.jid)
    equal(receiver.expect("presence")["xml:lang"], "de-CH")
    offline = server.account("offline")
    sender.message(offline.jid, "später")
    sender.ping()
    equal(Client.login(offline, presence=True).expect("message")["xml:lang"], "de-CH")


# Order

def order_is_kept_both_ways(server):
    """RFC 6120 10.1, while both send as fast as they can."""
    one, two = (Client.login(a) for a in server.accounts("one", "two"))
    for i in range(0, 500, 50):
        for sender, receiver in ((one, two), (two, one)):
            sender.send("".join(f"<message to='{receiver.jid}' type='chat'><body>{j}</body></message>"
                                for j in range(i, i + 50)))
    for receiver in (one, two):
        for i in range(500):
            equal(receiver.expect_next("message").child_text("body"), str(i))


def order_is_kept_between_kinds(server):
    one, two = (Client.login(a, presence=True) for a in server.accounts("one", "two"))
    one.send("".join(f"<message to='{two.jid}' id='{i}'/><presence to='{two.jid}' id='{i}'/>"
                     f"<iq to='{two.jid}' id='{i}' type='get'><x xmlns='urn:example:x'/></iq>" for i in range(60)))
    got = [two.next() for _ in range(180)]
    equal([(e.name, e["id"]) for e in got], [(k, str(i)) for i in range(60) for k in ("message", "presence", "iq")])


def order_is_kept_from_storage_to_live(server):
    """Stored messages come first and in order, also when new ones come at the same time."""
    sender, account = Client.login(server.account("sender")), server.account("user")
    for i in range(100):
        sender.message(account.jid, str(i))
    sender.ping()
    receiver = Client.login(account)
    receiver.presence()
    for i in range(100, 200):
        sender.message(account.jid, str(i))
    for i in range(200):
        equal(receiver.expect("message").child_text("body"), str(i))


def many_senders_lose_nothing(server):
    receiver = Client.login(server.account("receiver"), presence=True)
    receiver.expect_nothing()
    senders = [Client.login(server.account("sender")) for _ in range(8)]
    for i in range(50):
        for s in senders:
            s.message(receiver.bare, f"{i}")
    last = {s.jid: -1 for s in senders}
    for _ in range(400):
        got = receiver.expect_next("message")
        equal(int(got.child_text("body")), last[got["from"]] + 1)
        last[got["from"]] += 1


def message_on_its_way_to_storage_is_not_left_there(server):
    """The user comes online at the moment when the message is being stored."""
    sender = Client.login(server.account("sender"))
    for i in range(20):
        receiver = Client.login(server.account("receiver"))
        sender.message(receiver.bare, f"{i}")
        receiver.presence()
        equal(receiver.expect("message", from_=sender.jid).child_text("body"), f"{i}")
