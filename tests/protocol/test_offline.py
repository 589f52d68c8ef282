# SPDX-License-Identifier: MIT
"""Stored messages (XEP-0160) that weigh more than may wait for a client at once: they come a page at a time."""
import socket
import time

from harness import Client, cases, check, dedicated, equal
from harness.attack import bounded, start, stats
from harness.client import check_error

NS_SM = "urn:xmpp:sm:3"
NO_RATE = {"bytes_per_second": 0, "stanzas_per_second": 0}
SMALL = NO_RATE | {"output_queue": "256KiB"}
COUNT = 60   # of 20 kB each: nearly five times what may wait


def _store(server, account, count=COUNT, size=20000, first=0):
    """Messages that begin with their numbers; returns their sender."""
    sender = Client.login(server.account("sender"), presence=True)
    before = server.stored_messages(account.jid)
    for n in range(first, first + count):
        sender.message(account.jid, f"{n} " + "x" * size)
    server.wait_for(lambda: server.stored_messages(account.jid) == before + count, "messages in storage", timeout=30)
    return sender


def _enable(client, account, **args):
    client.account = account
    client.send(f"<enable xmlns='{NS_SM}' resume='true'/>", **args)
    client.enabled = client.expect("enabled", NS_SM)
    client.enabled_at = client.stanzas


def _login(account, managed, resource=None):
    """A session that is yet to send presence."""
    client = Client.login(account, resource)
    if managed:
        _enable(client, account)
    return client


def _acknowledge(client):
    client.send(f"<a xmlns='{NS_SM}' h='{client.stanzas - client.enabled_at}'/>")


def _take(client, managed, count, timeout=20):
    """The numbers of so many messages, acknowledged as they come."""
    numbers = []
    for _ in range(count):
        numbers.append(int(client.expect("message", timeout=timeout).child_text("body").split()[0]))
        if managed:
            _acknowledge(client)
    return numbers


def _resume(client, h):
    stream = Client(client.server, domain=client.domain, name="again")
    stream.secure()
    stream.authenticate(client.account.user, client.account.password)
    stream.open()
    stream.jid, stream.bare, stream.account = client.jid, client.bare, client.account
    stream.enabled = client.enabled
    stream.send(f"<resume xmlns='{NS_SM}' previd='{client.enabled['id']}' h='{h}'/>")
    stream.expect("resumed", NS_SM)
    stream.enabled_at = stream.stanzas - h
    return stream


def _gone(server, account):
    server.wait_for(lambda: server.stored_messages(account.jid) == 0, "an empty storage")


def _arrived(client):
    """The numbers of what has come, once nothing more comes."""
    def messages():
        return [e for e in client.inbox if e.name == "message"]

    client.inbox.insert(0, client.expect("message", timeout=20))
    count = -1
    while count != len(messages()):
        count = len(messages())
        client.ping()
        time.sleep(0.3)
    return [int(e.child_text("body").split()[0]) for e in messages()]


@cases([("plain", False), ("managed", True)])
@dedicated(start=False, options=SMALL)
def more_than_the_output_queue_arrives(server, _what, managed):
    start(server)
    account = server.account("absent")
    sender = _store(server, account)
    with bounded(server, 30):
        client = _login(account, managed)
        client.presence()
        equal(_take(client, managed, COUNT), list(range(COUNT)))
        _gone(server, account)
        sender.message(account.jid, "60 and on")
        equal(_take(client, managed, 1), [COUNT])
        check(not [e for e in client.drain() if e.name == "message"], "some came twice")


@dedicated(start=False, options=NO_RATE, timeout=120)
def a_full_default_storage_arrives(server):
    start(server)
    account = server.account("absent")
    _store(server, account, count=300)
    client = _login(account, False)
    client.presence()
    equal(_take(client, False, 300), list(range(300)))
    _gone(server, account)


@dedicated(start=False, options=SMALL)
def who_goes_amid_the_pages_loses_nothing(server):
    """Without stream management: what has not left stays for the next session."""
    start(server)
    account = server.account("absent")
    _store(server, account, count=500)
    client = _login(account, False)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.presence()
    time.sleep(1)   # it reads nothing
    check(server.stored_messages(account.jid) > 0, "all of them left for a client that does not read")
    left = server.stored_messages(account.jid)
    client.abort()
    time.sleep(0.5)
    other = _login(account, False)
    other.presence()
    numbers = _take(other, False, 1)
    numbers += _take(other, False, 500 - numbers[0] - 1)
    equal(numbers, list(range(numbers[0], 500)), "all from the first that had not left")
    check(numbers[0] <= 500 - left, f"{numbers[0]} came first, {left} were stored")
    _gone(server, account)


@dedicated(start=False, options=SMALL)
def a_session_resumed_amid_the_pages_gets_the_rest(server):
    start(server)
    account = server.account("absent")
    _store(server, account)
    client = _login(account, True)
    client.presence()
    equal(_take(client, True, 5), list(range(5)))
    h = client.stanzas - client.enabled_at
    client.abort()
    time.sleep(0.3)
    again = _resume(client, h)
    numbers = _take(again, True, 1)
    equal(numbers + _take(again, True, COUNT - 1 - numbers[0]), list(range(numbers[0], COUNT)))
    check(numbers[0] <= 5, "some are missing")
    _gone(server, account)


@cases([("gracefully", False), ("killed", True)])
@dedicated(start=False, options=SMALL)
def a_restart_amid_the_pages_loses_and_repeats_nothing(server, _what, hard):
    start(server)
    account = server.account("absent")
    _store(server, account)
    client = _login(account, True)
    client.presence()
    first = _arrived(client)
    check(first == list(range(len(first))) and 0 < len(first) < COUNT, f"the first page is {first}")
    h = client.stanzas - client.enabled_at
    server.restart(hard=hard)
    again = _resume(client, h)
    equal(_take(again, True, COUNT - len(first)), list(range(len(first), COUNT)))
    _gone(server, account)
    check(not [e for e in again.drain() if e.name == "message"], "some came twice")


@cases([("before", False), ("after the first is lost", True)])
@dedicated(start=False, options=SMALL)
def another_session_amid_the_pages(server, _what, is_lost):
    """One that comes meanwhile gets what is new, and the rest when the first is lost."""
    start(server)
    account = server.account("absent")
    sender = _store(server, account)
    first = _login(account, True, "first")
    first.presence()
    page = _arrived(first)   # and acknowledges none of it
    check(0 < len(page) < COUNT, f"the first page is {page}")
    if is_lost:
        first.abort()
        time.sleep(0.3)
    second = _login(account, False, "second")
    second.presence()
    if is_lost:
        equal(_take(second, False, COUNT - len(page)), list(range(len(page), COUNT)))
        again = _resume(first, 0)
        equal(_arrived(again), page)
        return
    sender.message(account.jid, "1000 new")
    equal(_take(second, False, 1), [1000])
    first.inbox.clear()
    _acknowledge(first)
    equal(sorted(page + _take(first, True, COUNT + 1 - len(page))), list(range(COUNT)) + [1000])
    _gone(server, account)


@cases([("plain", False), ("managed", True)])
@dedicated(start=False, options=SMALL)
def what_comes_amid_the_pages_keeps_its_order(server, _what, managed):
    start(server)
    account = server.account("absent")
    sender = _store(server, account)
    client = _login(account, managed)
    client.send("<presence/>")
    for n in range(COUNT, COUNT + 10):
        sender.message(account.jid, f"{n} new")
    equal(_take(client, managed, COUNT + 10), list(range(COUNT + 10)))


@dedicated(start=False, options=SMALL)
def who_asks_an_account_that_is_being_told_is_read_on(server):
    """The requests wait for the stored messages; what their sender says to others does not."""
    start(server)
    account = server.account("absent")
    sender = _store(server, account)
    client = _login(account, True)
    client.send("<presence/>")
    client.expect("message")
    sender.send(f"<iq type='get' id='q' to='{account.jid}'><query xmlns='jabber:iq:last'/></iq>" * 100)
    sender.send(f"<iq type='get' id='p' to='{server.domain}'><ping xmlns='urn:xmpp:ping'/></iq>")
    sender.expect("iq", id="p", timeout=2)


@dedicated(start=False, options=NO_RATE, text="module offline { max_total = 100KiB }")
def bytes_of_an_account_are_limited(server):
    """The sender is told as over the number of messages; what is taken out gives room again."""
    start(server)
    account = server.account("absent")
    sender = Client.login(server.account("sender"), presence=True)
    for n in range(10):
        sender.message(account.jid, f"{n} " + "x" * 20000, id_=f"m{n}")
    sender.ping()
    refused = [sender.expect_error("service-unavailable", name="message") for _ in range(5)]
    check("full" in refused[0].find("error").child_text("text"), refused[0])
    equal([e["id"] for e in refused], [f"m{n}" for n in range(5, 10)])
    client = _login(account, False)
    client.presence()
    equal(_take(client, False, 5), list(range(5)))
    _gone(server, account)
    client.abort()
    time.sleep(0.3)
    _store(server, account, count=5)
    sender.message(account.jid, "x" * 20000, id_="again")
    check_error(sender.expect("message", id="again"), "service-unavailable")


@dedicated()
def who_has_none_is_not_looked_up_again(server):
    account, sender = server.account("absent"), Client.login(server.account("sender"))

    def come(client):
        """How often the store is read for it."""
        before = stats(server)["store_reads"]
        client.presence()
        client.ping()
        return stats(server)["store_reads"] - before

    def take(client, words):
        equal(client.expect("message").child_text("body"), words)

    def leave(client):
        client.drain()
        client.close()
        server.wait_for(lambda: account.jid not in server.ctl("session", "list"), "an end of the session")

    first = Client.login(account)
    equal(come(first), 1)
    leave(first)
    second = Client.login(account)
    equal(come(second), 0)
    leave(second)
    # Kept for an account that nobody is logged in to, and for one whose session has not said that it is there.
    for words, is_there in (("for nobody", False), ("for one who is silent", True)):
        client = Client.login(account) if is_there else None
        sender.message(account.jid, words)
        server.wait_for(lambda: server.stored_messages(account.jid) == 1, "a message in storage")
        client = client or Client.login(account)
        client.presence()
        take(client, words)
        _gone(server, account)
        leave(client)
    last = Client.login(account)
    come(last)
    check(not [e for e in last.drain() if e.name == "message"], "one came twice")


@dedicated(start=False, options=NO_RATE | {"output_queue": "64MiB"})
def what_one_has_not_taken_comes_though_another_saw_none(server):
    start(server)
    account = server.account("absent")
    _store(server, account, count=400)
    one = _login(account, False, "one")
    one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.send("<presence/>")   # and reads nothing
    server.wait_for(lambda: stats(server)["memory_output"] > 1000000, "a page that waits for its reader")
    two = _login(account, False, "two")
    two.presence()
    check(not [e for e in two.drain() if e.name == "message"], "what is with one came to another")
    two.close()
    one.abort()
    server.wait_for(lambda: account.jid not in server.ctl("session", "list"), "an end of the sessions")
    three = _login(account, False, "three")
    three.presence()
    equal(_take(three, False, 400), list(range(400)))
