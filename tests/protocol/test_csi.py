# SPDX-License-Identifier: MIT
"""Client state (XEP-0352): what an inactive client is spared, what it is not, and when it gets the rest."""
import time

from harness import Client, cases, check, dedicated, equal

NS = "urn:xmpp:csi:0"
NS_SM = "urn:xmpp:sm:3"
STATES = "http://jabber.org/protocol/chatstates"
RECEIPT = "<received xmlns='urn:xmpp:receipts' id='m1'/>"
DISPLAYED = "<displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/>"
HINTS = "<no-store xmlns='urn:xmpp:hints'/><origin-id xmlns='urn:xmpp:sid:0' id='o1'/>"


def _state(client, name):
    client.send(f"<{name} xmlns='{NS}'/>")


def _pair(server, managed=False):
    """(phone, other): the phone sees presence that the other sends it directly, and is inactive."""
    pa, oa = server.accounts("phone", "other")
    phone, other = Client.login(pa, "p", presence=True), Client.login(oa, "o", presence=True)
    phone.account, other.account = pa, oa
    if managed:
        phone.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
        phone.enabled = phone.expect("enabled", NS_SM)
    _state(phone, "inactive")
    phone.ping()
    return phone, other


def _show(other, phone, *shows):
    for show in shows:
        other.presence(to=phone.jid, payload=f"<show>{show}</show>")
    other.ping()
    other.ping()


def _got(client):
    """What has come so far, each in a word; asks for nothing, because an answer would bring all that is held."""
    while client.pump(0.3):
        pass
    inbox, client.inbox = client.inbox, []
    return [_word(e) for e in inbox if e.name != "r"]


def _word(e):
    if e.name == "presence":
        return e["type"] or e.child_text("show") or "available"
    return e.child_text("body") or next((c.name for c in e.children if c.name != "stanza-id"), e.name)


def _flushed(client):
    """What comes when the client is active again, before the answer to what it asks next (XEP-0352 5.1)."""
    id_ = client.new_id()
    client.send(f"<active xmlns='{NS}'/><iq type='get' id='{id_}' to='{client.domain}'>"
                "<ping xmlns='urn:xmpp:ping'/></iq>")
    words = []
    while True:
        e = client.next()
        if e["id"] == id_:
            return words
        words.append(_word(e))


def support_is_announced_after_login(server):
    stream = Client(server)
    check(stream.secure().find("csi", NS) is None, "announced before login")
    check(Client.login(server.account("phone")).features.find("csi", NS) is not None, "not announced")


def states_are_not_answered(server):
    client = Client.login(server.account("phone"), presence=True)
    for name in ("active", "inactive", "inactive", "active", "active"):
        _state(client, name)
    client.expect_nothing()


@cases([("unknown element", "<asleep xmlns='urn:xmpp:csi:0'/>"), ("unknown namespace", "<active xmlns='urn:example'/>")])
def other_elements_end_the_stream(server, _what, element):
    client = Client.login(server.account("phone"))
    client.send(element)
    client.expect_stream_error("unsupported-stanza-type")


def a_state_before_login_is_an_error(server):
    stream = Client(server)
    stream.secure()
    _state(stream, "inactive")
    stream.expect_stream_error("unsupported-stanza-type", "not-authorized")


def active_clients_get_everything(server):
    phone, other = _pair(server)
    equal(_flushed(phone), [])
    _show(other, phone, "away", "dnd")
    other.message(phone.jid, payload=f"<composing xmlns='{STATES}'/>")
    other.message(phone.jid, payload=RECEIPT)
    other.settle()
    equal(_got(phone), ["away", "dnd", "composing", "received"])


def presence_waits_and_only_the_last_counts(server):
    phone, other = _pair(server)
    second = Client.login(other.account, "second", presence=True)
    _show(other, phone, "away", "dnd")
    _show(second, phone, "chat")
    _show(other, phone, "xa")
    equal(_got(phone), [])
    equal(_flushed(phone), ["chat", "xa"])
    _state(phone, "inactive")
    phone.ping()
    _show(other, phone, "away")
    other.presence("unavailable", to=phone.jid)
    _show(second, phone, "dnd")
    equal(_got(phone), [])
    equal(_flushed(phone), ["unavailable", "dnd"])
    _show(other, phone, "chat")
    equal(_got(phone), ["chat"])


@cases([("composing", f"<composing xmlns='{STATES}'/>"), ("thread", f"<active xmlns='{STATES}'/><thread>t</thread>"),
        ("hints", f"<gone xmlns='{STATES}'/>" + HINTS)])
def chat_states_alone_are_dropped(server, _what, payload):
    phone, other = _pair(server)
    other.message(phone.jid, payload=payload)
    other.settle()
    equal(_got(phone), [])
    equal(_flushed(phone), [])


@cases([("receipt", RECEIPT), ("marker", DISPLAYED), ("hints", RECEIPT + HINTS),
        ("state", f"<active xmlns='{STATES}'/>" + DISPLAYED)])
def receipts_and_markers_wait(server, _what, payload):
    phone, other = _pair(server)
    _show(other, phone, "away")
    other.message(phone.jid, payload=payload, id_="held")
    _show(other, phone, "dnd")
    equal(_got(phone), [])
    _state(phone, "active")
    equal(phone.expect_next("message")["id"], "held")
    equal(phone.expect_next("presence").child_text("show"), "dnd")


MUC_INVITE = "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b.example'/></x>"
URGENT = [
    ("body", "<body>Hello</body>", "Hello"),
    ("body with state", f"<active xmlns='{STATES}'/><body>Hello</body>", "Hello"),
    ("encrypted", "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>", "encrypted"),
    ("openpgp", "<openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp>", "openpgp"),
    ("mediated invitation", MUC_INVITE, "x"),
    ("direct invitation", "<x xmlns='jabber:x:conference' jid='r@c.example'/>", "x"),
    ("call", "<propose xmlns='urn:xmpp:jingle-message:0' id='c'/>", "propose"),
    ("subject", "<subject>Now</subject>", "subject"),
    ("thread alone", "<thread>t</thread>", "thread"),
    ("something unknown", "<wish xmlns='urn:example'/>", "wish"),
    ("receipt and more", RECEIPT + "<wish xmlns='urn:example'/>", "received"),
]


@cases([(a, (b, c)) for a, b, c in URGENT])
def what_matters_comes_at_once_behind_what_waits(server, _what, row):
    payload, word = row
    phone, other = _pair(server)
    _show(other, phone, "away")
    other.message(phone.jid, payload=RECEIPT)
    other.message(phone.jid, payload=payload)
    other.settle()
    equal(_got(phone), ["away", "received", word])
    _show(other, phone, "dnd")   # still inactive
    equal(_got(phone), [])
    equal(_flushed(phone), ["dnd"])


def errors_come_at_once(server):
    phone, other = _pair(server)
    _show(other, phone, "away")
    error = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    other.message(phone.jid, type_="error", payload=f"<active xmlns='{STATES}'/>" + error, id_="e")
    other.settle()
    equal(_got(phone), ["away", "active"])
    _show(other, phone, "dnd")
    other.presence("error", to=phone.jid, payload=error)
    other.settle()
    equal(_got(phone), ["dnd", "error"])


def requests_and_subscriptions_come_at_once(server):
    phone, other = _pair(server)
    _show(other, phone, "away")
    other.send(f"<iq type='get' id='q' to='{phone.jid}'><ping xmlns='urn:xmpp:ping'/></iq>")
    other.settle()
    equal(_got(phone), ["away", "ping"])
    _show(other, phone, "dnd")
    other.presence("subscribe", to=phone.bare)
    other.settle()
    equal(_got(phone), ["dnd", "subscribe"])
    _show(other, phone, "xa")
    phone.ping()   # an answer
    equal(_got(phone), ["xa"])


def own_presence_in_a_room_comes_at_once(server):
    phone, other = _pair(server)
    x = "<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant'/>"
    other.presence(to=phone.jid, payload=x + "</x>")
    equal(_got(phone), [])
    other.presence(to=phone.jid, payload=x + "<status code='110'/></x>")
    other.settle()
    equal(len(_got(phone)), 2)


@dedicated(text="module csi { max_held = 4 }")
def the_queue_is_sent_when_it_is_full(server):
    phone, other = _pair(server)
    for n in range(3):
        other.message(phone.jid, payload=RECEIPT)
    _show(other, phone, "away", "dnd")
    equal(_got(phone), ["received"] * 3 + ["away"])
    _show(other, phone, "xa")
    equal(_got(phone), [])
    equal(_flushed(phone), ["xa"])


@dedicated(text="module csi { max_bytes = 16KiB }")
def the_queue_is_sent_when_it_is_heavy(server):
    phone, other = _pair(server)
    sessions = [Client.login(other.account, f"o{n}") for n in range(2)]
    for n, session in enumerate(sessions):
        session.presence(to=phone.jid, payload=f"<show>away</show><status>{'x' * 9000}</status>")
        session.ping()
    equal(_got(phone), ["away", "away"])


def stored_messages_come_to_an_inactive_client(server):
    account, other = server.account("phone"), Client.login(server.account("other"), presence=True)
    other.message(account.jid, "kept")
    other.settle()
    phone = Client.login(account, "p")
    _state(phone, "inactive")
    phone.presence()
    equal(_got(phone), ["available", "kept"])


# Stream management

def _again(phone, h):
    stream = Client(phone.server, domain=phone.domain, name="again")
    stream.secure()
    stream.authenticate(phone.account.user, phone.account.password)
    stream.open()
    stream.jid, stream.bare, stream.account = phone.jid, phone.bare, phone.account
    stream.send(f"<resume xmlns='{NS_SM}' previd='{phone.enabled['id']}' h='{h}'/>")
    stream.expect_next("resumed", NS_SM)
    return stream


def what_waits_is_not_counted_as_sent(server):
    phone, other = _pair(server, managed=True)
    sent = 1   # the answer to the ping
    _show(other, phone, "away")
    other.message(phone.jid, payload=RECEIPT)
    other.settle()
    equal(_got(phone), [])
    phone.send(f"<a xmlns='{NS_SM}' h='{sent}'/>")   # more would be a stream error
    _state(phone, "active")
    equal([_word(phone.expect(n)) for n in ("presence", "message")], ["away", "received"])
    phone.send(f"<a xmlns='{NS_SM}' h='{sent + 2}'/>")
    phone.ping()


def a_resumed_session_is_active_and_has_all(server):
    phone, other = _pair(server, managed=True)
    _show(other, phone, "away")
    other.message(phone.jid, payload=RECEIPT)
    other.settle()
    phone.abort()
    server.wait_for(lambda: f"session {phone.jid} waits" in server.log(), "lost stream")
    _show(other, phone, "dnd")
    other.message(phone.jid, "and this")
    other.settle()
    back = _again(phone, 1)
    equal(sorted(_got(back)), sorted(["away", "received", "dnd", "and this"]))
    _show(other, phone, "xa")
    equal(_got(back), ["xa"])


def a_session_resumed_over_a_live_stream_is_active(server):
    phone, other = _pair(server, managed=True)
    _show(other, phone, "away")
    back = _again(phone, 1)
    equal(_got(back), ["away"])
    _show(other, phone, "dnd")
    equal(_got(back), ["dnd"])


@cases(["closed", "cut"])
def receipts_find_another_session(server, how):
    phone, other = _pair(server)
    tablet = Client.login(phone.account, "tablet", presence=True)
    tablet.drain()
    _show(other, phone, "away")
    other.message(phone.jid, payload=RECEIPT, id_="held")
    other.message(phone.jid, payload=f"<composing xmlns='{STATES}'/>")
    other.settle()
    phone.close() if how == "closed" else phone.abort()
    equal(tablet.expect("message")["id"], "held")
    tablet.expect("presence", type="unavailable", from_=phone.jid)
    tablet.expect_nothing(other)


def receipts_of_a_session_that_was_not_resumed_go_on(server):
    phone, other = _pair(server, managed=True)
    tablet = Client.login(phone.account, "tablet", presence=True)
    tablet.drain()
    other.message(phone.jid, payload=RECEIPT, id_="held")
    other.settle()
    phone.close()
    equal(tablet.expect("message")["id"], "held")


def what_was_held_leaves_the_time_to_acknowledge(server):
    """Also to a client that is asked for an acknowledgement already."""
    phone, other = _pair(server, managed=True)
    other.message(phone.jid, "now")
    phone.expect("r", NS_SM)
    other.message(phone.jid, payload=RECEIPT)
    other.settle()
    _state(phone, "active")
    time.sleep(1.5)
    phone.ping()
    equal(_got(phone), ["now", "received"])


@dedicated()
def disabling_the_module_stops_holding(server):
    phone, other = _pair(server)
    server.text = 'modules_disabled = { "csi" }'
    server.write_config()
    server.reload()
    _show(other, phone, "away", "dnd")
    equal(_got(phone), ["away", "dnd"])
    check(Client.login(other.account, "late").features.find("csi", NS) is None, "still announced")
    _state(phone, "active")
    phone.expect_nothing()


def what_was_held_comes_once_though_the_old_stream_still_seems_alive(server):
    phone, other = _pair(server, managed=True)
    other.send(f"<message to='{phone.jid}' type='chat'>{RECEIPT}</message>")
    other.settle()
    stream = Client(server, domain=phone.domain, name="again")
    stream.secure()
    stream.authenticate(phone.account.user, phone.account.password)
    stream.open()
    # The ping of _pair has been answered.
    stream.send(f"<resume xmlns='{NS_SM}' previd='{phone.enabled['id']}' h='1'/>")
    stream.expect("resumed", NS_SM)
    equal(_got(stream), ["received"])
    stream.send(f"<a xmlns='{NS_SM}' h='2'/>")
    stream.jid = phone.jid
    stream.ping()
