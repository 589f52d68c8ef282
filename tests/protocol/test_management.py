# SPDX-License-Identifier: MIT
"""Stream management of clients (XEP-0198): acknowledgements, resumption, and what becomes of what was not
acknowledged."""
import socket

from harness import Client, cases, check, dedicated, equal
from harness.client import check_error
from harness.stream import NS_BIND, NS_SESSION

NS_SM = "urn:xmpp:sm:3"


def _managed(account, resource=None, resume=True, presence=True, enable=""):
    client = Client.login(account, resource, presence=presence)
    client.account = account
    client.send(f"<enable xmlns='{NS_SM}'" + (" resume='true'" if resume else "") + enable + "/>")
    client.enabled = client.expect("enabled", NS_SM)
    client.enabled_at = client.stanzas
    return client


def _again(client, h, previd=None, behind=""):
    """A new stream of the same account that asks to resume the session, and sends more in the same piece."""
    stream = Client(client.server, domain=client.domain, name="again")
    stream.secure()
    stream.authenticate(client.account.user, client.account.password)
    stream.open()
    check(stream.features.find("sm", NS_SM) is not None, "stream management is not offered")
    stream.jid, stream.bare, stream.account = client.jid, client.bare, client.account
    stream.send(f"<resume xmlns='{NS_SM}' previd='{previd or client.enabled['id']}' h='{h}'/>" + behind)
    return stream


def _count(client):
    client.send(f"<r xmlns='{NS_SM}'/>")
    return int(client.expect("a", NS_SM)["h"])


def _bodies(client, count):
    return [client.expect("message").child_text("body") for _ in range(count)]


def _nothing_more(client):
    more = [e for e in client.drain() if e.name == "message"]
    check(not more, f"too many messages: {more}")


def both_sides_count_stanzas(server):
    ann, bob = _managed(server.account("ann")), _managed(server.account("bob"))
    equal(_count(ann), 0)
    for n in range(3):
        ann.message(bob.jid, f"m{n}")
    ann.presence(payload="<show>away</show>")
    ann.get("<query xmlns='jabber:iq:roster'/>")
    equal(_count(ann), 5)
    equal(_bodies(bob, 3), ["m0", "m1", "m2"])
    bob.expect("r", NS_SM, timeout=5)
    bob.send(f"<a xmlns='{NS_SM}' h='3'/>")
    bob.ping()


def a_lost_session_is_resumed_with_what_it_missed(server):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"), "phone")
    ann.message(bob.jid, "before")
    equal(_bodies(bob, 1), ["before"])
    for n in range(3):
        ann.message(bob.jid, f"lost {n}")
    ann.settle()
    bob.abort()
    for n in range(3):
        ann.message(bob.bare, f"meanwhile {n}")
    ann.settle()
    back = _again(bob, 1)
    resumed = back.expect("resumed", NS_SM)
    equal((resumed["previd"], resumed["h"]), (bob.enabled["id"], "0"))
    equal(_bodies(back, 6), ["lost 0", "lost 1", "lost 2", "meanwhile 0", "meanwhile 1", "meanwhile 2"])
    ann.message(bob.jid, "and on")
    equal(_bodies(back, 1), ["and on"])
    back.message(ann.jid, "hello")
    equal(ann.expect("message").child_text("body"), "hello")
    equal(_count(back), 1)


@cases([("session", f"<session xmlns='{NS_SESSION}'/>", "result"), ("bind", f"<bind xmlns='{NS_BIND}'/>", "error")])
def what_the_stream_itself_answers_comes_again(server, _what, payload, type_):
    bob = _managed(server.account("bob"), presence=False)
    bob.send(f"<iq type='set' id='lost'>{payload}</iq>")
    equal(_count(bob), 1)
    bob.abort()
    back = _again(bob, 0)
    back.expect("resumed", NS_SM)
    back.expect("iq", type=type_, id="lost")


def contacts_see_nothing_of_a_resumption(server):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"))
    ann.presence("subscribe", to=bob.bare)
    bob.expect("presence", type="subscribe")
    bob.presence("subscribed", to=ann.bare)
    ann.expect("presence", type=None, from_=bob.jid)
    ann.drain()
    bob.abort()
    ann.settle()
    back = _again(bob, 1)
    back.expect("resumed", NS_SM)
    ann.expect_nothing()
    back.close()
    ann.expect("presence", type="unavailable", from_=bob.jid)


def a_session_can_be_resumed_over_a_stream_that_still_seems_alive(server):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"))
    back = _again(bob, 0)
    back.expect("resumed", NS_SM)
    bob.expect_stream_error("conflict")
    ann.message(bob.jid, "there?")
    equal(_bodies(back, 1), ["there?"])


@cases([("unknown", "0123456789abcdef0123456789abcdef"), ("empty", "none")])
def another_id_is_not_found_and_binding_goes_on(server, _what, previd):
    bob = _managed(server.account("bob"))
    bob.abort()
    back = _again(bob, 0, previd=previd)
    check(back.expect("failed", NS_SM).find("item-not-found") is not None, "not item-not-found")
    back.bind()
    back.ping()


def a_session_of_another_account_is_not_found(server):
    ann, bob = _managed(server.account("ann")), _managed(server.account("bob"))
    bob.abort()
    bob.account = ann.account
    back = _again(bob, 0)
    check(back.expect("failed", NS_SM).find("item-not-found") is not None, "not item-not-found")


def what_was_not_acknowledged_goes_to_storage_when_the_time_is_over(server):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"), enable=" max='1'")
    equal(bob.enabled["max"], "1")
    ann.message(bob.jid, "seen")
    ann.message(bob.jid, "unseen")
    equal(_bodies(bob, 2), ["seen", "unseen"])
    bob.send(f"<a xmlns='{NS_SM}' h='1'/>")
    bob.ping()
    bob.abort()
    server.wait_for(lambda: server.stored_messages(bob.bare) == 1, "the message on disk")
    again = Client.login(bob.account, presence=True)
    got = again.expect("message")
    equal(got.child_text("body"), "unseen")
    check(got.find("delay", "urn:xmpp:delay") is not None, "no stamp")
    again.expect_nothing()


def a_clean_end_stores_what_was_not_acknowledged(server):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"))
    ann.message(bob.jid, "unseen")
    equal(_bodies(bob, 1), ["unseen"])
    bob.close()
    again = Client.login(bob.account, presence=True)
    equal(_bodies(again, 1), ["unseen"])


def another_session_gets_what_was_not_acknowledged(server):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"), "one")
    other = Client.login(bob.account, "two", presence=True)
    ann.message(bob.jid, "for one")
    equal(_bodies(bob, 1), ["for one"])
    bob.drain()
    bob.close()
    equal(_bodies(other, 1), ["for one"])


def a_request_that_nobody_answered_gets_an_error(server):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"))
    ann.send(f"<iq type='get' id='q1' to='{bob.jid}'><query xmlns='x:y'/></iq>")
    bob.expect("iq", id="q1")
    bob.close()
    check_error(ann.expect("iq", id="q1"), "service-unavailable")


def without_resumption_the_session_ends_at_once(server):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"), resume=False)
    equal((bob.enabled["id"], bob.enabled["resume"]), (None, None))
    ann.message(bob.jid, "unseen")
    bob.expect("message")
    bob.abort()
    server.wait_for(lambda: server.stored_messages(bob.bare) == 1, "the message on disk")


@cases([("ack of too many", "<a xmlns='{ns}' h='7'/>", "undefined-condition"),
        ("ack of nothing", "<a xmlns='{ns}'/>", "undefined-condition"),
        ("ack of no number", "<a xmlns='{ns}' h='x'/>", "undefined-condition")])
def wrong_acknowledgements_end_the_stream(server, _what, text, condition):
    bob = _managed(server.account("bob"))
    bob.send(text.format(ns=NS_SM))
    bob.expect_stream_error(condition)


@cases([("before binding", False), ("twice", True)])
def enabling_is_refused(server, _what, bound):
    if bound:
        client = _managed(server.account("bob"))
    else:
        account = server.account("bob")
        client = Client(server)
        client.secure()
        client.authenticate(account.user, account.password)
        client.open()
    client.send(f"<enable xmlns='{NS_SM}'/>")
    check(client.expect("failed", NS_SM).find("unexpected-request") is not None, "not unexpected-request")


@dedicated(options={"unacknowledged_stanzas": 10})
@cases([("at once", 32, 30, 0), ("after it was asked", 12, 12, 5.5)])
def unacknowledged_stanzas_are_limited_and_kept(server, _when, count, taken, pause):
    """Three times as many while an acknowledgement may be on its way."""
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"))
    sent = [f"m{n}" for n in range(count)]
    for body in sent:
        ann.message(bob.jid, body)
    equal(_bodies(bob, taken), sent[:taken])
    bob.expect("r", NS_SM)
    if pause:
        bob.still_open(pause)
        sent.append("late")
        ann.message(bob.jid, "late")
    bob.expect_stream_error("resource-constraint")
    again = Client.login(bob.account, presence=True)
    equal(_bodies(again, len(sent)), sent)


@dedicated(options={"acknowledge_timeout": "1s"})
def a_client_that_acknowledges_nothing_is_cut_off_and_may_resume(server):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"))
    ann.message(bob.jid, "hello")
    equal(_bodies(bob, 1), ["hello"])
    bob.expect("r", NS_SM, timeout=5)
    bob.expect_eof()
    back = _again(bob, 0)
    back.expect("resumed", NS_SM)
    equal(_bodies(back, 1), ["hello"])


@dedicated(options={"acknowledge_timeout": "1s", "bytes_per_second": 20000})
def a_client_whose_acknowledgement_is_yet_to_be_read_is_not_cut_off(server):
    """It stands behind 4 s of what the client has said at once."""
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"))
    ann.message(bob.jid, "hello")
    equal(_bodies(bob, 1), ["hello"])
    bob.send(f"<message to='{ann.jid}' type='headline'><body>{'x' * 4000}</body></message>" * 30 + f"<a xmlns='{NS_SM}' h='1'/>")
    bob.expect("r", NS_SM)
    equal(len(_bodies(ann, 30)), 30)
    bob.still_open(2.5)


@dedicated()
def a_graceful_stop_keeps_what_sessions_without_a_stream_missed(server):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"))
    bob.abort()
    ann.message(bob.bare, "missed")
    ann.settle()
    check("cut off" in server.ctl("session", "list"), "the session is not listed as cut off")
    server.stop()
    server.start()
    again = _again(bob, bob.stanzas - bob.enabled_at)
    again.expect("resumed", NS_SM)
    equal(_bodies(again, 1), ["missed"])


@dedicated()
def a_message_to_oneself_that_is_yet_to_be_safe_can_be_acknowledged_by_resuming(server):
    ann = _managed(server.account("ann"))
    ann.message(ann.jid, "me")
    equal(_bodies(ann, 1), ["me"])
    back = _again(ann, ann.stanzas - ann.enabled_at)
    equal(back.expect("resumed", NS_SM)["h"], "1")
    back.ping()
    check(all(e.name != "message" for e in back.drain()), "what was acknowledged came again")


@dedicated(start=False)
def what_the_count_did_not_cover_may_be_left_out_after_resuming(server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server.text = f"route silent.test {{\n\thost = 127.0.0.1\n\tport = {silent.getsockname()[1]}\n}}\n"
        server.start()
        ann, bob = _managed(server.account("ann")), Client.login(server.account("bob"), presence=True)
        before = _count(ann)
        far = "<message to='x@silent.test' id='far'><body>far</body></message>"
        near = f"<message to='{bob.jid}' id='near'><body>near</body></message>"
        ann.send(far + "<presence><show>away</show></presence>" + near)
        equal(_bodies(bob, 1), ["near"])
        again = _again(ann, ann.stanzas - ann.enabled_at)
        # What is under way to another server is not safe.
        equal(int(again.expect("resumed", NS_SM, timeout=5)["h"]), before)
        again.send(near + f"<message to='{bob.jid}' id='new'><body>new</body></message>")
        equal(_bodies(bob, 1), ["new"])
        equal(_count(again), before + 2)
        again.send(near)
        equal(_bodies(bob, 1), ["near"])
