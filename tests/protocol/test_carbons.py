# SPDX-License-Identifier: MIT
"""Message Carbons (XEP-0280): who gets copies of what, and who cannot forge them."""
from harness import Client, cases, check, dedicated, equal
from harness.client import check_error

NS = "urn:xmpp:carbons:2"
NS_FORWARD = "urn:xmpp:forward:0"
NS_HINTS = "urn:xmpp:hints"
NS_SID = "urn:xmpp:sid:0"
NS_SM = "urn:xmpp:sm:3"
INFO = "http://jabber.org/protocol/disco#info"
MUC_USER = "http://jabber.org/protocol/muc#user"
STATE = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
BODY = "<body>text</body>"


class Scene:
    """Two sessions of one user, `desk` and `phone`, the latter with carbons, and a contact with one session."""

    def __init__(self, server, phone=0, desk=0, carbons=("phone",)):
        self.account = server.account("user")
        self.peer = Client.login(server.account("peer"), "peer", presence=True)
        self.desk, self.phone = (Client.login(self.account, name) for name in ("desk", "phone"))
        for name, priority in (("desk", desk), ("phone", phone)):
            client = getattr(self, name)
            if name in carbons:
                client.set(f"<enable xmlns='{NS}'/>")
            if priority is not None:
                client.presence(payload=f"<priority>{priority}</priority>")
                client.expect("presence", from_=client.jid)
        self.quiet()

    def quiet(self):
        all_ = [self.desk, self.phone, self.peer]
        return [client.drain(all_) for client in all_]


def _send(client, to, inner=BODY, type_="chat", id_="m1"):
    kind = f" type='{type_}'" if type_ else ""
    client.send(f"<message to='{to}' id='{id_}'{kind}>{inner}</message>")


def _copy(client, name, type_="chat"):
    """The message inside of the copy that must come next."""
    wrapper = client.expect("message", where=lambda e: e.find(ns=NS) is not None)
    equal((wrapper["from"], wrapper["to"], wrapper["type"]), (client.bare, client.jid, type_))
    equal([(c.ns, c.name) for c in wrapper.children], [(NS, name)])
    forwarded = wrapper.children[0].find("forwarded", NS_FORWARD)
    equal(len(forwarded.children), 1, f"messages in {wrapper}")
    inner = forwarded.children[0]
    equal((inner.ns, inner.name), ("jabber:client", "message"))
    return inner


# Enabling

def the_server_says_what_it_can(server):
    client = Client.login(server.account("user"))
    features = [f["var"] for f in client.get(f"<query xmlns='{INFO}'/>", to=server.domain).find_all("feature")]
    for wanted in (NS, "urn:xmpp:carbons:rules:0"):
        check(wanted in features, f"{wanted} in {features}")


def enabling_and_disabling_may_be_repeated(server):
    scene = Scene(server, carbons=())
    for verb, wanted in (("disable", 0), ("enable", 1), ("enable", 1), ("disable", 0), ("disable", 0), ("enable", 1)):
        answer = scene.phone.iq("set", f"<{verb} xmlns='{NS}'/>", to=scene.phone.bare if wanted else None)
        equal((answer["type"], answer.children), ("result", []))
        _send(scene.peer, scene.desk.jid)
        scene.desk.expect("message", body="text")
        equal(len(scene.phone.drain(scene.peer)), wanted, f"copies after {verb}")


def others_cannot_enable(server):
    scene = Scene(server, carbons=())
    for verb in ("enable", "disable"):
        check_error(scene.peer.iq("set", f"<{verb} xmlns='{NS}'/>", to=scene.phone.bare), "not-allowed", "cancel")
    check_error(scene.phone.iq("get", f"<enable xmlns='{NS}'/>"), "not-allowed")
    check_error(scene.phone.iq("set", f"<other xmlns='{NS}'/>"), "service-unavailable")


def who_has_not_enabled_gets_no_copies(server):
    scene = Scene(server, carbons=())
    _send(scene.peer, scene.desk.jid)
    _send(scene.desk, scene.peer.jid)
    equal([len(inbox) for inbox in scene.quiet()], [1, 0, 1])


def a_closed_session_is_not_counted(server):
    """Nor does one that comes again have what the one before had."""
    scene = Scene(server)
    scene.phone.close()
    scene.desk.expect("presence", type="unavailable")
    scene.phone = Client.login(scene.account, "phone", presence=True)
    scene.quiet()
    _send(scene.peer, scene.desk.jid)
    scene.phone.expect_nothing(scene.peer)
    scene.desk.set(f"<enable xmlns='{NS}'/>")
    _send(scene.peer, scene.phone.jid)
    equal(_copy(scene.desk, "received")["to"], scene.phone.jid)


# Both ways

def a_message_to_another_client_is_copied(server):
    scene = Scene(server)
    _send(scene.peer, scene.desk.jid, BODY + "<thread>t</thread><x xmlns='urn:example:x' a='&lt;'>y</x>")
    inner = _copy(scene.phone, "received")
    equal((inner["from"], inner["to"], inner["type"], inner["id"]), (scene.peer.jid, scene.desk.jid, "chat", "m1"))
    equal([(c.name, c.text) for c in inner.children if c.ns != NS_SID], [("body", "text"), ("thread", "t"), ("x", "y")])
    equal(inner.find("x")["a"], "<")
    equal(scene.desk.expect("message").find(ns=NS), None, "copy in the message")
    equal(scene.quiet(), [[], [], []])


def a_message_of_another_client_is_copied(server):
    """Whether its sender has enabled copies or not; a copy holds what the sender sent, not what others add."""
    for carbons in (("phone",), ("phone", "desk")):
        scene = Scene(server, carbons=carbons)
        _send(scene.desk, scene.peer.bare)
        inner = _copy(scene.phone, "sent")
        equal((inner["from"], inner["to"], inner["id"]), (scene.desk.jid, scene.peer.bare, "m1"))
        equal([(c.name, c.text) for c in inner.children], [("body", "text")])
        scene.peer.expect("message", body="text")
        equal(scene.quiet(), [[], [], []])


def a_message_to_another_server_is_copied(server):
    scene = Scene(server)
    _send(scene.desk, "someone@elsewhere.example")
    equal(_copy(scene.phone, "sent")["to"], "someone@elsewhere.example")
    check_error(_copy(scene.phone, "received", "error"), "remote-server-not-found")
    check_error(scene.desk.expect("message"), "remote-server-not-found")
    equal(scene.quiet(), [[], [], []])


def one_copy_for_each_client(server):
    scene = Scene(server, carbons=("phone", "desk"))
    more = []
    for name in ("a", "b", "c"):
        client = Client.login(scene.account, name, presence=True)
        client.set(f"<enable xmlns='{NS}'/>")
        more.append(client)
    for client in (*more, scene.phone, scene.desk):
        client.drain(more)
    _send(scene.peer, scene.desk.jid)
    for client in (*more, scene.phone):
        equal(_copy(client, "received")["to"], scene.desk.jid)
    for client in (*more, scene.phone, scene.desk):
        equal([e.child_text("body") for e in client.drain(scene.peer)], ["text"] if client is scene.desk else [])


# Priorities and delivery (RFC 6121 8.5)

@cases([((1, 1), "message", "message"), ((1, 5), "copy", "message"), ((5, 1), "message", "copy"),
        ((-1, 0), "copy", "message"), ((0, -1), "message", "copy"), ((None, 0), "nothing", "message")],
       name=lambda row: f"phone {row[0][0]}, desk {row[0][1]}")
def the_bare_address(server, priorities, phone, desk):
    """Who gets the message gets no copy; who is not available gets nothing."""
    scene = Scene(server, *priorities, carbons=("phone", "desk"))
    _send(scene.peer, scene.account.jid)
    scene.peer.ping()
    for client, wanted in ((scene.phone, phone), (scene.desk, desk)):
        if wanted == "copy":
            equal(_copy(client, "received")["to"], scene.account.jid)
        elif wanted == "message":
            equal(client.expect("message", body="text")["to"], scene.account.jid)
    equal(scene.quiet(), [[], [], []])


def a_stored_message_is_seen_by_negative_priority_once(server):
    scene = Scene(server, -1, None)
    _send(scene.peer, scene.account.jid)
    equal(_copy(scene.phone, "received").child_text("body"), "text")
    scene.desk.presence()
    equal(scene.desk.expect("message", body="text").find("delay", "urn:xmpp:delay") is None, False)
    equal([e.name for e in scene.phone.drain(scene.desk)], ["presence"], "of the desk")


def a_resource_that_is_gone(server):
    """Chat is delivered as to the bare address, what is refused is not copied."""
    scene = Scene(server, 0, 5)
    _send(scene.peer, f"{scene.account.jid}/gone")
    equal(_copy(scene.phone, "received")["to"], f"{scene.account.jid}/gone")
    equal(scene.desk.expect("message", body="text")["from"], scene.peer.jid)
    _send(scene.peer, f"{scene.account.jid}/gone", type_="normal", id_="m2")
    scene.peer.expect_error("service-unavailable", id_="m2")
    equal(scene.quiet(), [[], [], []])


def stored_messages_are_not_copied_when_they_are_delivered(server):
    account = server.account("user")
    peer = Client.login(server.account("peer"))
    _send(peer, account.jid)
    peer.ping()
    phone = Client.login(account, "phone")
    phone.presence(payload="<priority>-5</priority>")
    phone.set(f"<enable xmlns='{NS}'/>")
    desk = Client.login(account, "desk", presence=True)
    desk.expect("message", body="text")
    phone.settle([peer, desk])
    equal([e for e in phone.drain(desk) if e.name == "message"], [], "copies")


# Oneself

@cases([("bare", "{bare}"), ("no to", None), ("the other", "{phone}"), ("the own", "{desk}")])
def a_message_to_oneself_comes_once_to_each(server, _name, to):
    scene = Scene(server, 0, 0, carbons=("phone", "desk"))
    third = Client.login(scene.account, "third")
    third.presence(payload="<priority>-1</priority>")
    third.set(f"<enable xmlns='{NS}'/>")
    for client in (scene.desk, scene.phone, third):
        client.drain([scene.desk, scene.phone, third])
    to = to and to.format(bare=scene.account.jid, phone=scene.phone.jid, desk=scene.desk.jid)
    scene.desk.send(f"<message{f' to={to!r}' if to else ''} type='chat'>{BODY}</message>")
    for client, most in ((scene.phone, 1), (third, 1), (scene.desk, 0 if to == scene.phone.jid else 1)):
        inbox = client.drain(scene.desk)
        equal(len(inbox), most, f"messages that came to {client.jid}: {inbox}")


# Which messages (XEP-0280 6.1)

ROOM_INVITE = f"<x xmlns='{MUC_USER}'><invite from='a@b'/></x>"
ELIGIBLE = [
    ("chat", "chat", BODY, True), ("chat without body", "chat", "<x xmlns='urn:example:x'/>", True),
    ("empty chat", "chat", "", True), ("normal", None, BODY, True),
    ("normal without body", None, "<subject>s</subject>", False),
    ("receipt", None, "<received xmlns='urn:xmpp:receipts' id='1'/>", True),
    ("chat state", None, STATE, True), ("marker", None, "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", True),
    ("headline", "headline", BODY, False), ("headline with a receipt", "headline",
                                            "<received xmlns='urn:xmpp:receipts' id='1'/>", True),
    ("groupchat", "groupchat", BODY, False), ("groupchat with a state", "groupchat", BODY + STATE, False),
    ("direct invitation", None, "<x xmlns='jabber:x:conference' jid='room@rooms.example'/>", True),
    ("invitation by the room", None, ROOM_INVITE, True),
    ("private", "chat", BODY + f"<private xmlns='{NS}'/>", False),
    ("no-copy", "chat", BODY + f"<no-copy xmlns='{NS_HINTS}'/>", False),
    ("private as both say", "chat", BODY + f"<private xmlns='{NS}'/><no-copy xmlns='{NS_HINTS}'/>", False),
    ("private of another namespace", "chat", BODY + "<private xmlns='urn:example:x'/>", True),
    ("other hints", "chat", BODY + f"<no-store xmlns='{NS_HINTS}'/>", True),
    ("an error for nothing", "error", BODY, False),
]


@cases(ELIGIBLE)
def which_messages_are_copied(server, name, type_, inner, wanted):
    scene = Scene(server)
    _send(scene.peer, scene.desk.jid, inner, type_)
    got = scene.desk.expect("message", id="m1")
    # XEP-0280 9: the private element stays, so that nobody can hide how a message was delivered.
    equal(got.find("private", NS) is not None, "private xmlns='urn:xmpp:carbons" in inner, "private element")
    equal(got.find("no-copy", NS_HINTS) is not None, "no-copy" in inner, "hint")
    copies = scene.phone.drain(scene.peer)
    equal(len(copies), 1 if wanted else 0, f"received copies: {copies}")
    _send(scene.desk, scene.peer.jid, inner, type_)
    scene.peer.expect("message", id="m1")
    copies = scene.phone.drain(scene.desk)
    equal(len(copies), 1 if wanted else 0, f"sent copies: {copies}")


def private_messages_of_a_room(server):
    """The room sends them to all clients that joined; what is sent to a participant only the server can copy."""
    scene = Scene(server)
    mark = f"<x xmlns='{MUC_USER}'/>"
    _send(scene.peer, scene.desk.jid, BODY + mark)
    scene.desk.expect("message")
    scene.phone.expect_nothing(scene.peer)
    _send(scene.desk, scene.peer.jid, BODY + mark)
    equal(_copy(scene.phone, "sent").find("x", MUC_USER) is None, False)


def an_error_in_answer_to_a_copied_message_is_copied(server):
    scene = Scene(server)
    to = f"nobody-here@{server.domain}"
    _send(scene.desk, to, id_="e1")
    equal(_copy(scene.phone, "sent")["to"], to)
    scene.desk.expect_error("service-unavailable", id_="e1")
    check_error(_copy(scene.phone, "received", "error"), "service-unavailable")
    # of one that was not copied
    _send(scene.desk, to, BODY + f"<private xmlns='{NS}'/>", id_="e2")
    scene.desk.expect_error("service-unavailable", id_="e2")
    # and an answer to what came
    _send(scene.peer, scene.desk.jid, id_="e3")
    equal(_copy(scene.phone, "received")["id"], "e3")
    scene.desk.expect("message", id="e3")
    scene.desk.send(f"<message to='{scene.peer.jid}' id='e3' type='error'>{BODY}<error type='cancel'>"
                    "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
    check_error(_copy(scene.phone, "sent", "error"), "gone")
    equal([len(inbox) for inbox in scene.quiet()], [0, 0, 1])


# Forged copies

def _forged(name, of, to, more=""):
    return (f"<{name} xmlns='{NS}'><forwarded xmlns='{NS_FORWARD}'><message xmlns='jabber:client' from='{of}' "
            f"to='{to}' type='chat'><body>lie</body></message></forwarded></{name}>{more}")


@cases([(name, who, to) for name in ("sent", "received") for who in ("peer", "desk") for to in ("{bare}", "{phone}")],
       name=lambda row: f"{row[0]} by {row[1]} to {row[2]}")
def forged_copies_do_not_arrive(server, name, who, to):
    """Not even those that come from the bare address of the user, by one of the own clients."""
    scene = Scene(server, 5, 0)
    sender = getattr(scene, who)
    to = to.format(bare=scene.account.jid, phone=scene.phone.jid)
    for type_ in ("chat", "normal", "headline", "error"):
        extra = f" from='{sender.bare}'" if who == "desk" else ""
        sender.send(f"<message to='{to}' type='{type_}'{extra}>{_forged(name, 'a@b/c', scene.phone.jid)}</message>")
    equal(scene.quiet(), [[], [], []])


def the_rest_of_a_message_with_a_forged_copy_arrives(server):
    scene = Scene(server)
    inner = "one" + _forged("sent", "a@b", "c@d") + BODY + f"<private xmlns='{NS}'/>" + _forged("received", "a@b", "c@d")
    _send(scene.peer, scene.phone.jid, inner + "<received xmlns='urn:xmpp:receipts' id='1'/>")
    got = scene.phone.expect("message", id="m1")
    equal([(c.ns, c.name) for c in got.children if c.ns != NS_SID],
          [("jabber:client", "body"), (NS, "private"), ("urn:xmpp:receipts", "received")])
    equal((got.text, got["type"]), ("one", "chat"))


def forged_copies_are_not_stored(server):
    account, peer = server.account("user"), Client.login(server.account("peer"))
    _send(peer, account.jid, _forged("received", "a@b", "c@d"), id_="f1")
    _send(peer, account.jid, _forged("received", "a@b", "c@d", BODY), id_="f2")
    peer.expect_nothing()
    client = Client.login(account, presence=True)
    message = client.expect("message")
    equal((message["id"], message.find(ns=NS)), ("f2", None))
    client.expect_nothing(peer)


def a_forwarded_message_is_no_copy(server):
    scene = Scene(server)
    inner = (f"<forwarded xmlns='{NS_FORWARD}'><message xmlns='jabber:client' from='a@b'>"
             f"{_forged('sent', 'a@b', 'c@d')}</message></forwarded>")
    _send(scene.peer, scene.desk.jid, inner)
    check(scene.desk.expect("message").find("forwarded") is not None, "the forwarded message is gone")


# Resuming

def _managed(client):
    client.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
    return client.expect("enabled", ns=NS_SM)["id"]


def _resume(account, id_, h=0):
    client = Client(account.server, name=account.user)
    client.secure()
    client.authenticate(account.user, account.password)
    client.open()
    client.send(f"<resume xmlns='{NS_SM}' previd='{id_}' h='{h}'/>")
    client.expect("resumed", ns=NS_SM)
    return client


def copies_wait_for_a_session_that_resumes(server):
    """And it has carbons still, without asking again."""
    scene = Scene(server)
    jid, bare = scene.phone.jid, scene.phone.bare
    id_ = _managed(scene.phone)
    scene.phone.ping()
    scene.phone.sock.close()
    _send(scene.peer, scene.desk.jid, id_="w1")
    scene.desk.expect("message", id="w1")
    scene.phone = _resume(scene.account, id_)
    scene.phone.jid, scene.phone.bare = jid, bare
    equal(_copy(scene.phone, "received")["id"], "w1")
    _send(scene.peer, scene.desk.jid, id_="w2")
    equal(_copy(scene.phone, "received")["id"], "w2")


@cases([("stopped", False), ("killed", True)])
@dedicated()
def a_restart_of_the_server_does_not_end_carbons(server, _name, hard):
    scene = Scene(server)
    jid, bare = scene.phone.jid, scene.phone.bare
    id_ = _managed(scene.phone)
    _send(scene.peer, scene.phone.jid, id_="before")
    scene.phone.expect("message", id="before")
    scene.phone.send(f"<a xmlns='{NS_SM}' h='1'/>")
    scene.phone.ping()
    server.restart(hard=hard)
    scene.phone = _resume(scene.account, id_, 2)
    scene.phone.jid, scene.phone.bare = jid, bare
    scene.desk, scene.peer = (Client.login(a, presence=True) for a in (scene.account, server.account("peer")))
    _send(scene.peer, scene.desk.jid, id_="after")
    equal(_copy(scene.phone, "received")["id"], "after")


@dedicated(options={"resume_time": "1s"})
def copies_for_a_session_that_never_resumes_are_gone(server):
    """They are no messages of their own: neither delivered elsewhere nor stored."""
    scene = Scene(server, 5, 0)
    _managed(scene.phone)
    scene.phone.ping()
    scene.phone.sock.close()
    _send(scene.peer, scene.desk.jid, id_="w1")
    scene.desk.expect("message", id="w1")
    scene.desk.expect("presence", type="unavailable", from_=scene.phone.jid)
    scene.desk.expect_nothing(scene.peer)
    again = Client.login(scene.account, "phone", presence=True)
    equal([e for e in again.drain(scene.peer) if e.name == "message"], [], "stored")
