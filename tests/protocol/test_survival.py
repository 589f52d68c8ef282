# SPDX-License-Identifier: MIT
"""Sessions that outlive the server: restarts, crashes, and what is acknowledged when (XEP-0198)."""
import contextlib
import glob
import os
import re
import sqlite3

from harness import Client, cases, check, dedicated, equal
from harness.attack import stats
from test_management import NS_SM, _again, _bodies, _count, _managed, _nothing_more

RESTARTS = [("gracefully", False), ("after_a_kill", True)]
STAY = "<status>still here</status>"


def _received(client):
    """The h that the client owes the server."""
    return client.stanzas - client.enabled_at


def _resume(client, h=None):
    """The client on a new stream; h is what it has received, .told what the server says in turn."""
    stream = _again(client, _received(client) if h is None else h)
    answer = stream.expect("resumed", NS_SM)
    equal(answer["previd"], client.enabled["id"])
    stream.enabled, stream.told = client.enabled, int(answer["h"])
    stream.enabled_at = stream.stanzas - (_received(client) if h is None else h)
    return stream


def _chat(to, body):
    return f"<message to='{to}' type='chat' id='{body}'><body>{body}</body></message>"


def _befriend(a, b):
    """a sees the presence of b."""
    a.presence("subscribe", to=b.bare)
    b.expect("presence", type="subscribe")
    b.presence("subscribed", to=a.bare)
    a.expect("presence", type="subscribed")
    # What it caused is on disk.
    _count(b)


@dedicated()
@cases(RESTARTS)
def a_session_survives_a_restart(server, _name, hard):
    account, bob = server.account("ann"), _managed(server.account("bob"), "phone")
    ann = Client.login(account, presence=True)
    before = _received(bob)
    for n in range(3):
        ann.send(_chat(bob.jid, f"before {n}"))
    equal(_bodies(bob, 3), ["before 0", "before 1", "before 2"])
    server.restart(hard=hard)
    ann = Client.login(account, presence=True)
    ann.message(bob.jid, "full")
    ann.message(bob.bare, "bare")
    ann.settle()
    # The last of the three was lost on its way.
    again = _resume(bob, before + 2)
    equal(_bodies(again, 3), ["before 2", "full", "bare"])
    _nothing_more(again)


@dedicated()
@cases(RESTARTS)
def what_stands_behind_resume_is_answered_behind_what_was_missed(server, _name, hard):
    """Both in one piece, while the account is yet to be read."""
    account, bob = server.account("ann"), _managed(server.account("bob"), "phone")
    ann, before, missed = Client.login(account, presence=True), _received(bob), ["one", "two", "three"]
    for body in missed:
        ann.message(bob.jid, body)
    equal(_bodies(bob, 3), missed)
    server.restart(hard=hard)
    behind = f"<iq type='get' id='behind' to='{bob.domain}'><ping xmlns='urn:xmpp:ping'/></iq>"
    again = _again(bob, before, behind=behind)
    told = int(again.expect("resumed", NS_SM)["h"])
    again.enabled_at = -before
    got = [again.expect(where=lambda e: e.name in ("message", "iq")) for _ in range(4)]
    equal([e["id"] if e.name == "iq" else e.child_text("body") for e in got], [*missed, "behind"])
    _nothing_more(again)
    # Both count alike.
    again.send(f"<a xmlns='{NS_SM}' h='{_received(again)}'/>")
    Client.login(account, presence=True).message(bob.jid, "four")
    equal(_bodies(again, 1), ["four"])
    equal(_count(again), told + 4)


@dedicated()
@cases(RESTARTS)
def what_was_told_to_be_handled_still_is(server, _name, hard):
    ann, bob = _managed(server.account("ann")), _managed(server.account("bob"))
    for n in range(3):
        ann.message(bob.jid, f"m{n}")
    ann.presence(payload="<show>away</show>")
    equal(_count(ann), 4)
    server.restart(hard=hard)
    equal(_resume(ann).told, 4)


@dedicated()
@cases([("an_iq_between", True), ("only_messages", False)])
def a_message_sent_again_after_a_crash_is_not_shown_twice(server, _name, between):
    ann, bob = _managed(server.account("ann")), _managed(server.account("bob"))
    stanzas = [_chat(bob.jid, f"m{n}") for n in range(3)]
    if between:
        stanzas.insert(1, "<iq type='get' id='between'><query xmlns='jabber:iq:roster'/></iq>")
    for stanza in stanzas:
        ann.send(stanza)
    equal(_bodies(bob, 3), ["m0", "m1", "m2"])
    server.kill()
    server.start()
    bob = _resume(bob)
    ann = _resume(ann)
    # Nobody has told ann that they are safe: she sends again what the server does not count.
    for stanza in stanzas[ann.told:]:
        ann.send(stanza)
    equal(_count(ann), len(stanzas))
    _nothing_more(bob)


@dedicated()
def a_message_sent_again_is_not_shown_twice_though_it_was_acknowledged(server):
    ann, bob = _managed(server.account("ann")), _managed(server.account("bob"))
    once = _chat(bob.jid, "once")
    ann.send(once)
    equal(_bodies(bob, 1), ["once"])
    bob.send(f"<a xmlns='{NS_SM}' h='{_received(bob)}'/>")
    bob.ping()
    server.kill()
    server.start()
    bob, ann = _resume(bob), _resume(ann)
    # She has not asked: no count is known, but what it would have covered is.
    equal(ann.told, 0)
    ann.send(once + _chat(bob.jid, "next"))
    equal(_bodies(bob, 1), ["next"])
    equal(_count(ann), 2)


@dedicated()
def a_message_is_not_shown_twice_after_a_crash_though_a_copy_of_it_was_not_safe(server):
    """The desk acknowledges nothing; the phone has the message, and logs in anew."""
    ann, bob = _managed(server.account("ann")), _managed(server.account("bob"), "phone")
    desk = _managed(bob.account, "desk")
    desk.set("<enable xmlns='urn:xmpp:carbons:2'/>")
    once = _chat(bob.jid, "once")
    ann.send(once)
    equal(_bodies(bob, 1), ["once"])
    desk.expect("message")
    bob.send(f"<a xmlns='{NS_SM}' h='{_received(bob)}'/>")
    bob.ping()
    server.kill()
    server.start()
    bob = _managed(bob.account, "phone")
    ann = _resume(ann)
    ann.send(once + _chat(bob.jid, "next"))
    equal(_bodies(bob, 1), ["next"])


@dedicated()
def a_message_for_storage_is_kept_once_though_it_was_sent_again(server):
    ann, account = _managed(server.account("ann")), server.account("bob")
    ann.send(_chat(account.jid, "kept"))
    equal(_count(ann), 1)
    server.kill()
    server.start()
    again = _resume(ann)
    equal(again.told, 1)
    # As a client does that never heard of it.
    bob = Client.login(account, presence=True)
    equal(_bodies(bob, 1), ["kept"])
    bob.expect_nothing()


@dedicated()
@cases(RESTARTS)
def stored_messages_on_their_way_to_a_session_are_not_doubled(server, _name, hard):
    ann, account = Client.login(server.account("ann"), presence=True), server.account("bob")
    for n in range(3):
        ann.message(account.jid, f"stored {n}")
    ann.settle()
    bob = Client.login(account, "phone")
    bob.account = account
    bob.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
    bob.enabled = bob.expect("enabled", NS_SM)
    bob.enabled_at = bob.stanzas
    bob.presence()
    equal(_bodies(bob, 3), ["stored 0", "stored 1", "stored 2"])
    server.restart(hard=hard)
    # Another device does not get what the phone has been sent, whoever comes first.
    other = Client.login(account, "desk", presence=True)
    again = _resume(bob, _received(bob) - 2)
    equal(_bodies(again, 2), ["stored 1", "stored 2"])
    check(all(e.name != "message" for e in other.drain()), "the other device got stored messages")
    # Otherwise a kill may come before it is known where they have gone.
    again.send(f"<a xmlns='{NS_SM}' h='{_received(again)}'/>")
    again.drain()
    again.send(f"<a xmlns='{NS_SM}' h='{_received(again)}'/>")
    again.close()
    server.restart(hard=hard)
    fresh = Client.login(account, "phone", presence=True)
    check(all(e.name != "message" for e in fresh.drain()), "stored messages came again")


@dedicated()
@cases(RESTARTS)
def contacts_see_a_session_that_is_yet_to_be_resumed(server, _name, hard):
    account, bob = server.account("ann"), _managed(server.account("bob"), "phone")
    ann = Client.login(account, presence=True)
    _befriend(ann, bob)
    bob.presence(payload=STAY)
    ann.expect("presence", where=lambda e: e.child_text("status") == "still here")
    server.restart(hard=hard)
    ann = Client.login(account, presence=True)
    ann.expect("presence", from_=bob.jid, where=lambda e: e.child_text("status") == "still here")


@dedicated()
def a_restart_is_no_flap_for_a_contact_that_resumes_as_well(server):
    ann, bob = _managed(server.account("ann")), _managed(server.account("bob"), "phone")
    _befriend(ann, bob)
    ann.drain()
    server.restart()
    ann, bob = _resume(ann), _resume(bob)
    bob.ping()
    check(all(e.name != "presence" for e in ann.drain(bob)), "the contact was told of the restart")


@dedicated()
@cases(RESTARTS)
def what_modules_know_of_a_session_survives(server, _name, hard):
    bob = _managed(server.account("bob"), "phone")
    bob.get("<query xmlns='jabber:iq:roster'/>")
    server.restart(hard=hard)
    again = _resume(bob)
    desk = Client.login(bob.account, "desk", presence=True)
    desk.set("<query xmlns='jabber:iq:roster'><item jid='new@example.org'/></query>")
    again.expect("iq", where=lambda e: e.find("query", "jabber:iq:roster") is not None)


@dedicated()
@cases(RESTARTS)
def who_got_directed_presence_hears_of_the_end_after_a_restart(server, _name, hard):
    account, bob = server.account("ann"), _managed(server.account("bob"), "phone")
    ann = Client.login(account, presence=True)
    bob.presence(to=ann.bare)
    ann.expect("presence", from_=bob.jid)
    server.restart(hard=hard)
    ann = Client.login(account, presence=True)
    _resume(bob).close()
    ann.expect("presence", from_=bob.jid, type="unavailable")


@dedicated(options={"bytes_per_second": 0, "stanzas_per_second": 0})
@cases([("with carbons", "enable"), ("without", "disable")])
def of_a_session_only_what_has_changed_is_written(server, _name, last):
    """Each change alone costs little, whatever else the session has; after a crash all of it is as it was last."""
    accounts = [server.account(name) for name in ("ann", "carol", "dan")]
    ann, carol, dan = (Client.login(account, presence=True) for account in accounts)
    bob = _managed(server.account("bob"), "phone")
    _befriend(ann, bob)
    bob.presence(to=dan.bare)
    bob.presence(payload=f"<status>{'s' * 200000}</status>")
    bob.presence(to=carol.bare)
    bob.presence("unavailable", to=dan.bare)
    bob.ping()
    before = stats(server)["journal_bytes"]
    for n in range(200):
        bob.set(f"<{'enable' if n % 2 == (last == 'disable') else 'disable'} xmlns='urn:xmpp:carbons:2'/>")
    bob.set(f"<{last} xmlns='urn:xmpp:carbons:2'/>")
    written = (stats(server)["journal_bytes"] - before) / 200
    check(written < 2048, f"{written:.0f} bytes were written each time")
    server.kill()
    server.start()
    ann, carol, dan = (Client.login(account, presence=True) for account in accounts)
    ann.expect("presence", from_=bob.jid, where=lambda e: e.child_text("status") == "s" * 200000)
    again, desk = _resume(bob), Client.login(bob.account, "desk", presence=True)
    ann.message(desk.jid, "for the desk")
    equal(_bodies(desk, 1), ["for the desk"])
    copies = [e for e in again.drain() if e.name == "message"]
    equal(len(copies), 1 if last == "enable" else 0, "copies of what the desk got")
    again.presence("unavailable")
    carol.expect("presence", from_=bob.jid, type="unavailable")
    check(all(e["from"] != bob.jid for e in dan.drain()), "who was told of the end before was told again")


@dedicated()
def a_presence_that_was_taken_back_does_not_return_after_a_crash(server):
    account, bob = server.account("ann"), _managed(server.account("bob"), "phone")
    ann = Client.login(account, presence=True)
    _befriend(ann, bob)
    bob.presence("unavailable")
    ann.expect("presence", from_=bob.jid, type="unavailable")
    server.kill()
    server.start()
    ann = Client.login(account, presence=True)
    check(all(e["from"] != bob.jid for e in ann.drain(_resume(bob))), "the presence has returned")


@dedicated(options={"resume_time": "2s"})
@cases(RESTARTS)
def a_session_that_nobody_resumes_after_a_restart_ends(server, _name, hard):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"), "phone")
    ann.message(bob.jid, "missed")
    equal(_bodies(bob, 1), ["missed"])
    server.restart(hard=hard)
    server.wait_for(lambda: server.stored_messages(bob.bare) == 1, "message that goes to storage", 10)
    equal(_again(bob, 0).expect("failed", NS_SM).find("item-not-found") is not None, True)
    desk = Client.login(bob.account, "desk", presence=True)
    equal(_bodies(desk, 1), ["missed"])


@dedicated()
@cases(RESTARTS)
def a_session_of_before_a_restart_can_be_kicked(server, _name, hard):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"), "phone")
    ann.message(bob.jid, "missed")
    equal(_bodies(bob, 1), ["missed"])
    server.restart(hard=hard)
    check(bob.jid in server.ctl("session", "list"), "it is not listed")
    server.ctl("session", "kick", bob.jid)
    server.wait_for(lambda: server.stored_messages(bob.bare) == 1, "message that goes to storage", 10)
    check(bob.jid not in server.ctl("session", "list"), "it is still listed")
    equal(_again(bob, 0).expect("failed", NS_SM).find("item-not-found") is not None, True)
    check(server.ctl("session", "kick", bob.jid, ok=False)[0] != 0, "there is none any more")
    desk = Client.login(bob.account, "desk", presence=True)
    equal(_bodies(desk, 1), ["missed"])


@dedicated()
def what_a_session_that_cannot_be_resumed_had_not_acknowledged_is_stored_after_a_crash(server):
    ann, bob = _managed(server.account("ann")), _managed(server.account("bob"), "phone", resume=False)
    ann.send(_chat(bob.jid, "safe"))
    equal(_bodies(bob, 1), ["safe"])
    equal(_count(ann), 1)
    server.kill()
    server.start()
    server.wait_for(lambda: server.stored_messages(bob.bare) == 1, "message that goes to storage", 10)
    desk = Client.login(bob.account, "desk", presence=True)
    equal(_bodies(desk, 1), ["safe"])


@dedicated(options={"journal_size": "64KiB"})
def a_journal_that_has_grown_is_replaced(server):
    ann, bob = _managed(server.account("ann")), _managed(server.account("bob"), "phone")
    for _ in range(12):
        for _ in range(10):
            ann.message(bob.jid, "x" * 5000)
        _bodies(bob, 10)
        bob.send(f"<a xmlns='{NS_SM}' h='{_received(bob)}'/>")
    ann.message(bob.jid, "last")
    equal(_bodies(bob, 1), ["last"])
    equal(_count(ann), 121)

    def files():
        return glob.glob(os.path.join(server.folder, "data", "journal", "journal-*"))

    def size():
        with contextlib.suppress(FileNotFoundError):   # while one takes the place of another
            return sum(os.path.getsize(f) for f in files())

    server.wait_for(lambda: 0 < (size() or 0) < 500000, "smaller journal", 8)
    check(any(re.search("-0000000[2-9a-f]$", f) for f in files()), f"no file was replaced: {files()}")
    server.kill()
    server.start()
    equal(_bodies(_resume(bob, _received(bob) - 1), 1), ["last"])


@dedicated()
def a_journal_that_ends_in_the_middle_is_read_as_far_as_it_is_sound(server):
    ann, bob = _managed(server.account("ann")), _managed(server.account("bob"), "phone")
    ann.message(bob.jid, "first")
    equal(_bodies(bob, 1), ["first"])
    server.kill()
    for name in glob.glob(os.path.join(server.folder, "data", "journal", "journal-*")):
        with open(name, "ab") as file:
            file.write(b"\x40\0\0\0torn")
    server.start()
    equal(_bodies(_resume(bob, _received(bob) - 1), 1), ["first"])
    check("ends in the middle" in server.log(), "the log does not say that the journal was torn")


def a_failed_resumption_tells_what_was_handled(server):
    ann, bob = _managed(server.account("ann"), "phone"), Client.login(server.account("bob"), presence=True)
    ann.message(bob.jid, "one")
    ann.message(bob.jid, "two")
    equal(_bodies(bob, 2), ["one", "two"])
    equal(_count(ann), 2)
    ann.close()
    failed = _again(ann, 0).expect("failed", NS_SM)
    equal(failed["h"], "2")
    # Nobody else's business.
    failed = _again(_managed(server.account("eve")), 0, previd=ann.enabled["id"]).expect("failed", NS_SM)
    equal(failed["h"], None)


@dedicated(options={"resume_location": "back.example.org:5222"})
def a_client_is_told_where_to_resume(server):
    equal(_managed(server.account("ann")).enabled["location"], "back.example.org:5222")


def an_acknowledgement_covers_what_only_the_journal_has(server):
    """The recipient never acknowledges."""
    ann, bob = _managed(server.account("ann")), _managed(server.account("bob"))
    for n in range(5):
        ann.message(bob.jid, f"m{n}")
    equal(_count(ann), 5)


def stored_messages_come_once_though_they_are_not_acknowledged(server):
    ann, account = Client.login(server.account("ann"), presence=True), server.account("bob")
    ann.message(account.jid, "stored")
    ann.settle()
    bob = Client.login(account, "phone")
    bob.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
    bob.expect("enabled", NS_SM)
    bob.presence()
    equal(_bodies(bob, 1), ["stored"])
    bob.presence(payload="<show>away</show>")
    desk = Client.login(account, "desk", presence=True)
    for client in bob, desk:
        check(all(e.name != "message" for e in client.drain()), "the stored message came again")


@cases([("acknowledged", True), ("unacknowledged", False)])
def a_message_to_two_devices_is_not_passed_on_when_one_is_lost(server, _name, acknowledged):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"), "phone")
    desk = _managed(bob.account, "desk")
    desk.drain()
    bob.drain()
    ann.message(bob.bare, "for both")
    equal(_bodies(bob, 1), ["for both"])
    equal(_bodies(desk, 1), ["for both"])
    if acknowledged:
        desk.send(f"<a xmlns='{NS_SM}' h='{_received(desk)}'/>")
        desk.ping()
    bob.abort()
    # The resource is taken over: the old session is over.
    again = Client.login(bob.account, "phone")
    again.presence(payload="<priority>-1</priority>")
    again.ping()
    check(all(e.name != "message" for e in desk.drain()), "the other device got it twice")
    desk.abort()
    Client.login(bob.account, "desk").presence(payload="<priority>-1</priority>")
    server.wait_for(lambda: server.stored_messages(bob.bare) == (0 if acknowledged else 1),
                    "message in storage unless a client has it", 5)


@dedicated()
@cases([("to_a_session", True), ("to_storage", False)])
def a_message_without_an_id_may_be_said_twice(server, _name, online):
    ann, account = _managed(server.account("ann")), server.account("bob")
    bob = _managed(account, "phone") if online else None
    words = f"<message to='{account.jid}' type='chat'><body>yes</body></message>"
    ann.send(words)
    if online:
        equal(_bodies(bob, 1), ["yes"])
    equal(_count(ann), 1)
    server.restart(hard=True)
    ann = _resume(ann)
    equal(ann.told, 1)
    if online:
        bob = _resume(bob)
    ann.send(words)
    server.wait_for(lambda: _count(ann) == 2, "the second one to be safe")
    if not online:
        bob = Client.login(account, "phone", presence=True)
        equal(_bodies(bob, 1), ["yes"])
    equal(_bodies(bob, 1), ["yes"])
    _nothing_more(bob)


@dedicated(options={"unacknowledged_stanzas": 10})
def more_may_be_stored_than_left_unacknowledged(server):
    ann, account = Client.login(server.account("ann"), presence=True), server.account("bob")
    sent = [f"stored {n}" for n in range(35)]
    for body in sent:
        ann.message(account.jid, body)
    ann.settle()
    bob = _managed(account, "phone")
    equal(_bodies(bob, len(sent)), sent)
    ann.message(bob.jid, "and one more")
    equal(_bodies(bob, 1), ["and one more"])


@dedicated(options={"unacknowledged_stanzas": 10})
def devices_that_acknowledge_nothing_end_together(server):
    ann, phone = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"), "phone")
    desk = _managed(phone.account, "desk")
    sent = [f"m{n}" for n in range(35)]
    ann.send("".join(_chat(phone.bare, body) for body in sent))
    server.wait_for(lambda: server.stored_messages(phone.bare) == len(sent), "messages that go to storage", 5)
    again = Client.login(phone.account, "phone", presence=True)
    equal(_bodies(again, len(sent)), sent)
    _nothing_more(again)


@dedicated()
@cases([("online", True), ("offline", False)])
def a_message_sent_again_is_not_shown_twice_to_who_logs_in_anew_after_a_crash(server, _name, online):
    ann, account = _managed(server.account("ann")), server.account("bob")
    bob = _managed(account, "phone") if online else None
    stanzas = [_chat(account.jid, f"m{n}") for n in range(3)]
    for stanza in stanzas:
        ann.send(stanza)
    if online:
        equal(_bodies(bob, 3), ["m0", "m1", "m2"])
    else:
        server.wait_for(lambda: server.stored_messages(account.jid) == 3, "messages that are stored", 5)
    server.kill()
    server.start()
    bob = _managed(account, "phone")
    equal(_bodies(bob, 3), ["m0", "m1", "m2"])
    ann = _resume(ann)
    for stanza in stanzas[ann.told:]:
        ann.send(stanza)
    equal(_count(ann), len(stanzas))
    bob.ping()
    _nothing_more(bob)


@dedicated()
@cases(RESTARTS)
def stored_messages_wait_for_a_session_that_comes_back(server, _name, hard):
    """The server ends between a client's presence and what is stored for it."""
    ann, account = Client.login(server.account("ann"), presence=True), server.account("bob")
    bob = _managed(account, "phone", presence=False)
    for n in range(3):
        ann.message(account.jid, f"stored {n}")
    server.wait_for(lambda: server.stored_messages(account.jid) == 3, "messages that are stored", 5)
    bob.send("<presence/>")
    server.restart(hard=hard)
    again = _again(bob, 0)
    answer = again.next()
    if answer.name == "failed":  # the end came before the session was written down
        return
    if answer["h"] == "0":
        again.presence()
    got = [e.child_text("body") for e in [again.expect("message") for _ in range(3)]]
    equal(got, [f"stored {n}" for n in range(3)])


def acknowledging_what_was_held_back_says_nothing_of_the_message_behind_it(server):
    """The presence waits for the inactive phone (XEP-0352), and is written when the message comes."""
    ann, phone = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"), "phone")
    desk = _managed(phone.account, "desk")
    phone.drain(desk)
    phone.send("<inactive xmlns='urn:xmpp:csi:0'/>")
    phone.ping()
    desk.presence(payload=STAY)
    desk.ping()
    before = _received(phone)
    ann.message(phone.jid, "important")
    equal(phone.expect("presence").child_text("status"), "still here")
    phone.expect("message")
    # It has the first of the two.
    phone.send(f"<a xmlns='{NS_SM}' h='{before + 1}'/>")
    phone.close()
    equal(_bodies(desk, 1), ["important"])


@dedicated(options={"store_log_size": 0})
def of_two_sessions_of_a_resource_the_older_one_ends(server):
    """What the older one has not acknowledged is on its way to the store when the server is killed, so that both are in the
    journal. Of several accounts, as chance may be right about one."""
    bob = Client.login(server.account("bob"))
    older = [_managed(server.account(f"ann{n}"), "phone") for n in range(6)]
    for client in older:
        bob.message(client.bare, "hello")
    bob.settle()
    with contextlib.closing(sqlite3.connect(os.path.join(server.folder, "data", "comity.sqlite"), isolation_level=None)) as held:
        held.execute("BEGIN IMMEDIATE")
        younger = [_managed(client.account, "phone", presence=False) for client in older]
        server.kill()
        held.execute("ROLLBACK")
    server.start()
    for client in younger:
        _again(client, 0).expect("resumed", NS_SM)
