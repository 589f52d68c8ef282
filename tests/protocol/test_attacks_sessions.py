# SPDX-License-Identifier: MIT
"""Attacks of users who have logged in: bombs of XML, floods of all kinds, and reading nothing. Whoever does that gets an
error that names the limit, is slowed down or cut off; others are served meanwhile."""
import contextlib
import os
import signal
import threading
import time

from harness import Client, cases, check, dedicated, equal
from harness.attack import Innocents, bounded, often, start, stats
from harness.client import check_error

NO_RATE = {"bytes_per_second": 0, "stanzas_per_second": 0}
NS_SM = "urn:xmpp:sm:3"


def _user(server, name="user", presence=True):
    account = server.account(name)
    client = Client.login(account, presence=presence)
    client.account = account
    return client


def _seconds_of(server):
    """The processor time that the server has used."""
    with open(f"/proc/{server.process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# Bombs

_SMALL = {"max_stanza_bytes": "20000B", "max_depth": 10, "max_attributes": 10, "max_namespaces": 10, "max_elements": 100}


def _deep(n):
    return "<a xmlns='urn:a'>" + "<a>" * (n - 3) + "</a>" * (n - 3) + "</a>"


@cases([("bytes", lambda n: "<a xmlns='urn:a'>" + "x" * (n - 200) + "</a>", 20000),
        ("nested elements", _deep, 10),
        ("attributes", lambda n: "<a xmlns='urn:a' " + " ".join(f"a{i}=''" for i in range(n)) + "/>", 10),
        ("namespace declarations", lambda n: "<a xmlns='urn:a'>" + "".join(f"<b xmlns='urn:{i}'/>" for i in range(n - 2)) + "</a>", 10),
        ("elements", lambda n: "<a xmlns='urn:a'>" + "<a/>" * (n - 2) + "</a>", 100)])
@dedicated(start=False, options=_SMALL)
def stanzas_over_a_limit_name_it_and_those_below_pass(server, what, make, limit):
    start(server)
    with Innocents(server):
        client = _user(server)
        client.send(f"<message to='{client.jid}' id='below'>{make(limit)}</message>")
        client.expect("message", id="below")
        client.send(f"<message to='{client.jid}' id='over'>{make(limit * 2)}</message>")
        error = client.expect_stream_error("policy-violation")
        check("too many" in error.child_text("text") and what in error.child_text("text"), error)


@cases([("text", "x"), ("elements", "<a/>"), ("attributes", "<a " + " ".join(f"a{i}=''" for i in range(60)) + "/>"),
        ("depth", "<a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a>"), ("references", "&amp;")])
@dedicated(start=False, options=NO_RATE)
def stanzas_that_never_end_cost_no_more_than_their_limit(server, _what, piece):
    """Forty sessions hold a stanza each that is a byte or so short of its end."""
    start(server)
    room = min(250000, 9000 // piece.count("<a") * len(piece) if "<a" in piece else 250000)
    with Innocents(server), bounded(server, 120):
        clients = []
        for account in server.accounts("one", "two"):
            clients += [Client.login(account, f"r{n}") for n in range(20)]
        for client in clients:
            client.send("<message><body xmlns='urn:b'>" + piece * (room // len(piece)))
        clients[0].send("</body></message>")
        clients[0].ping()
        for client in clients[1:]:
            client.abort()


# Who reads nothing

@cases([("plain", False, "does not read"), ("with stream management", True, "")])
@dedicated(start=False, options=NO_RATE | {"output_queue": "256KiB", "resume_time": 0})
def reader_that_never_reads_costs_bounded_memory_and_harms_no_sender(server, _name, managed, words):
    start(server)
    lazy, sender = _user(server, "lazy"), _user(server, "sender")
    if managed:
        lazy.send(f"<enable xmlns='{NS_SM}'/>")
        lazy.expect_next("enabled", NS_SM)
    with Innocents(server), bounded(server, 90):
        for number in range(600):   # 24 MB
            sender.message(lazy.jid, "x" * 40000)
            if number % 20 == 0:
                sender.ping()
                sender.inbox.clear()
        sender.ping()
        server.wait_for(lambda: any("closed" in line for line in server.log().splitlines() if f"jid={lazy.jid}" in line),
                        "the end of the one who does not read")
        check(words in server.log(), "the log does not tell why")
    lazy.abort()


@dedicated(start=False)
def a_burst_ends_no_session_that_acknowledges(server):
    """Four sessions of a stranger say all they may say at once, more than unacknowledged_stanzas; the client acknowledges
    what it was sent when it has read all of it."""
    start(server)
    victim = _user(server, "victim")
    victim.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
    victim.expect_next("enabled", NS_SM)
    burst, account, known = f"<message to='{victim.jid}' type='headline'/>" * 2000, server.account("mallory"), victim.stanzas
    for sender in [Client.login(account, f"r{n}") for n in range(4)]:
        sender.send(burst)
    for _ in range(4 * 2000):
        victim.expect("message")
    victim.send(f"<a xmlns='{NS_SM}' h='{victim.stanzas - known}'/>")
    victim.ping()


@cases([("requests", "<iq type='get' id='i' to='{}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"),
        ("elements of stream management", f"<r xmlns='{NS_SM}'/>"),
        ("nonsense", f"<nonsense xmlns='{NS_SM}'/>")])
@dedicated(start=False, options=NO_RATE | {"output_queue": "64KiB"})
def answers_that_nobody_reads_end_the_one_who_asked(server, _what, request):
    """A flood of requests, none of whose answers is read."""
    start(server)
    with Innocents(server), bounded(server, 40):
        client = _user(server)
        if "<r" in request:
            client.send(f"<enable xmlns='{NS_SM}'/>")
            client.expect_next("enabled", NS_SM)
        client.sock.settimeout(10)
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while "does not read" not in server.log() and time.monotonic() - began < 15:
                client.sock.sendall(request.format(server.domain).encode() * 500)
        check("does not read" in server.log(), "it was not cut off")
    client.abort()


def _send_at_once(clients, text):
    """As far as the server reads."""
    def send(client):
        with contextlib.suppress(OSError):
            client.send(text)
    for client in clients:
        threading.Thread(target=send, args=(client,), daemon=True).start()


def _large_card(owner):
    """Stores one, and returns a request for it."""
    card = f"<vCard xmlns='vcard-temp'><NOTE>{'x' * 130000}</NOTE></vCard>"
    equal(owner.iq("set", card)["type"], "result")
    return f"<iq type='get' id='v' to='{owner.bare}'><vCard xmlns='vcard-temp'/></iq>"


@dedicated(start=False, options=NO_RATE | {"output_queue": "1MiB", "workers": 1})
def large_answers_of_the_store_do_not_pile_up(server):
    """Sixteen sessions ask for a large vCard a thousand times each, and read nothing. It is read faster than written."""
    start(server)
    request = _large_card(_user(server, "owner"))
    clients = [_user(server, "asker", presence=False) for _ in range(16)]
    with Innocents(server) as innocents, bounded(server, 60):
        for client in clients:
            client.send(request * 1000)
        server.wait_for(lambda: server.log().count("does not read") == len(clients), "an end of those who do not read")
        server.wait_for(lambda: stats(server)["store_waiting"] == 0, "an end of reading")
        check(innocents.slowest < 1, f"an innocent waited for {innocents.slowest:.1f} s")
    for client in clients:
        client.abort()


@dedicated(start=False, options={"workers": 1}, timeout=60)
def logins_do_not_wait_for_what_others_have_read(server):
    """All sessions of an account ask for a large vCard as often as they may at once, and read nothing."""
    start(server)
    request = _large_card(_user(server, "owner"))
    asker, friend = server.account("asker"), server.account("friend")
    clients = [Client.login(asker) for _ in range(20)]
    _send_at_once(clients, request * 1900)
    server.wait_for(lambda: stats(server)["store_waiting"] >= 64, "reading")
    for _ in range(3):
        began = time.monotonic()
        Client.login(friend).close()
        took = time.monotonic() - began
        check(took < 2, f"a login took {took:.1f} s")
    for client in clients:
        client.abort()


@dedicated(start=False, options=NO_RATE | {"output_queue": "256MiB"}, timeout=60)
def requests_that_wait_for_answers_are_limited(server):
    """More are read when some have been answered; nothing is lost, also when they are for an account of another worker."""
    start(server)
    owners = [_user(server, name) for name in ("a", "b", "c", "d")]
    requests = "".join(_large_card(owner) for owner in owners)
    client, waiting = _user(server, "asker", presence=False), []
    with often(lambda: waiting.append(stats(server)["store_waiting"])):
        _send_at_once([client], requests * 200)
        for n in range(800):
            equal(client.expect("iq", id="v", timeout=20)["type"], "result", f"answer {n}")
    check(32 <= max(waiting) <= 64 + 8, f"{max(waiting)} reads waited for one session")


# Rates

def _flood_to_oneself(client, count, unit):
    """Seconds until so many messages have come back to the one who sent them."""
    began = time.monotonic()
    text = unit.format(client.jid) * count
    sender = threading.Thread(target=lambda: client.send(text), daemon=True)
    sender.start()
    for _ in range(count):
        client.expect("message", timeout=30)
    sender.join()
    return time.monotonic() - began


_STANZA = "<message to='{}'/>"


@cases([("stanzas", {"stanzas_per_second": 500, "bytes_per_second": 0}, 3000, _STANZA, 3),
        ("elements of stream management", {"stanzas_per_second": 500, "bytes_per_second": 0}, 100,
         _STANZA + f"<nonsense xmlns='{NS_SM}'/>" * 29, 3),
        ("bytes", {"stanzas_per_second": 0, "bytes_per_second": "64KiB"}, 10,
         "<message to='{}'><a xmlns='urn:a'>" + "x" * 32768 + "</a></message>", 1.5),
        ("none", NO_RATE, 400, _STANZA, 0)])
@dedicated(start=False)
def floods_are_read_at_the_rate_that_is_allowed(server, _what, options, count, unit, seconds):
    """What is allowed for two seconds may come at once; the rest takes its time, and nothing is lost."""
    server.options.update(options)
    start(server)
    with Innocents(server):
        took = _flood_to_oneself(_user(server), count, unit)
    if seconds:
        check(took >= seconds, f"the flood was read within {took:.1f} s")
    else:
        check(took < 2, f"without a limit it took {took:.1f} s")


@dedicated(start=False, options=NO_RATE)
def records_of_one_byte_are_read_together(server):
    """Each behind 15,000 bytes of an attribute, which is looked at again when there is more of it."""
    start(server)
    client = _user(server)
    began = _seconds_of(server)
    for _ in range(60):
        server.process.send_signal(signal.SIGSTOP)
        try:
            client.sock.sendall(b"<message to='nobody@localhost' type='headline'><a xmlns='urn:a' a='" + b"x" * 15000)
            for _ in range(600):
                client.sock.sendall(b"y")
            client.sock.sendall(b"'/></message>")
        finally:
            server.process.send_signal(signal.SIGCONT)
        client.ping()
    took = _seconds_of(server) - began
    check(took < 0.35, f"it took {took:.2f} s of the processor")


# Storms

@dedicated(start=False, options=NO_RATE)
def iq_flood_is_answered_and_harms_nobody(server):
    """10,000 requests to the host, to accounts that are not there, to a session that does not answer."""
    start(server)
    silent = _user(server, "silent")
    with Innocents(server), bounded(server, 60):
        client = _user(server)
        for target in (server.domain, f"nobody@{server.domain}", silent.jid):
            for begin in range(0, 3330, 333):
                client.send("".join(f"<iq type='get' id='f{n}' to='{target}'><q xmlns='urn:flood'/></iq>"
                                    for n in range(begin, begin + 333)))
                if target != silent.jid:
                    for n in range(333):
                        equal(client.expect_next("iq", timeout=20)["type"], "error")
        client.ping()
        equal(sum(e.name == "iq" for e in silent.drain(client)), 3330, "requests that reached the silent session")


@dedicated(start=False, options=NO_RATE, timeout=100)
def presence_storm_reaches_contacts_and_harms_nobody(server):
    start(server)
    storm = _user(server, "storm")
    contacts = [_user(server, "contact") for _ in range(20)]
    for contact in contacts:
        contact.presence("subscribe", to=storm.bare)
        storm.expect("presence", type="subscribe", from_=contact.bare)
        storm.presence("subscribed", to=contact.bare)
        contact.expect("presence", type=None, from_=storm.jid)
    with Innocents(server) as innocents, bounded(server, 80):
        for begin in range(0, 1000, 100):
            storm.send("".join(f"<presence><priority>{n % 128}</priority></presence>" for n in range(begin, begin + 100)))
            storm.ping()
            storm.inbox.clear()
        storm.presence(payload="<status>over</status>")
        for contact in contacts:
            contact.expect("presence", from_=storm.jid, timeout=30, where=lambda e: e.child_text("status") == "over")
        check(innocents.slowest < 4, f"an innocent waited {innocents.slowest:.1f} s")


def _subscribe(contact, user):
    contact.presence("subscribe", to=user.bare)
    user.expect("presence", type="subscribe", from_=contact.bare)
    user.presence("subscribed", to=contact.bare)
    contact.expect("presence", type=None, from_=user.jid)


def _block_and_unblock(user, jid):
    for _ in range(80):
        for what in ("block", "unblock"):
            user.set(f"<{what} xmlns='urn:xmpp:blocking'><item jid='{jid}'/></{what}>")


@cases([("presence", lambda user, _: user.send("<presence/>" * 200)),
        ("coming and going", lambda user, _: user.send("<presence type='unavailable'/><presence/>" * 80)),
        ("blocking", _block_and_unblock)])
@dedicated(start=False, options={"stanzas_per_second": 50})
def what_goes_to_contacts_is_charged_to_who_sends_it(server, _what, send):
    """Each time costs one stanza more, at least; without that all would be read in two seconds."""
    start(server)
    user, contact = _user(server), _user(server, "contact")
    _subscribe(contact, user)
    _subscribe(user, contact)
    with Innocents(server):
        began = time.monotonic()
        send(user, contact.bare)
        user.presence(payload="<status>end</status>")
        contact.expect("presence", from_=user.jid, timeout=30, where=lambda e: e.child_text("status") == "end")
        took = time.monotonic() - began
    check(took >= 3, f"it was read within {took:.1f} s")


@dedicated(start=False, options=NO_RATE | {"output_queue": "128KiB", "workers": 1})
def contacts_who_read_are_not_cut_off(server):
    """1,400 changes of presence come at once: for each contact they are more than the server may keep for it."""
    start(server)
    contacts = [_user(server, "contact") for _ in range(2)]
    user = Client.login(server.account("user"), "r" * 500, presence=True)
    for contact in contacts:
        _subscribe(contact, user)
    for client in (user, *contacts):
        client.drain()
    user.send("<presence/>" * 1400)
    for client in (user, *contacts):
        for _ in range(1400):
            client.expect_next("presence", from_=user.jid)
        client.ping()


@dedicated(start=False, options=NO_RATE, text="module roster { max_items = 100 }")
def roster_storm_stops_at_the_limit(server):
    start(server)
    with Innocents(server), bounded(server, 60):
        client = _user(server)
        client.roster()
        client.send("".join(f"<iq type='set' id='r{n}'><query xmlns='jabber:iq:roster'><item jid='c{n}@example.com' "
                            f"name='{'x' * 500}'/></query></iq>" for n in range(1000)))
        answers = [client.expect("iq", id=f"r{n}", timeout=20) for n in range(1000)]
        equal([a["type"] for a in answers], ["result"] * 100 + ["error"] * 900)
        check_error(answers[-1], "resource-constraint")
        client.inbox.clear()
        for _ in range(100):
            equal(len(client.roster()), 100)


def _heavy_contact(n, character="x"):
    groups = "".join(f"<group>{g:02}{character * 1000}</group>" for g in range(20))
    return f"<query xmlns='jabber:iq:roster'><item jid='c{n}@example.com'>{groups}</item></query>"


@cases([("plain", "x", 50), ("written as six bytes each", '"', 8)])
@dedicated(start=False, options=NO_RATE)
def heavy_roster_stops_at_its_size_and_can_be_read(server, _what, character, fit):
    """Contacts of 20 groups of 1,000 characters; what can be added can be fetched within output_queue."""
    start(server)
    with Innocents(server), bounded(server, 60):
        client = _user(server)
        answers = []
        while len(answers) < 300 and (not answers or answers[-1]["type"] == "result"):
            answers.append(client.iq("set", _heavy_contact(len(answers), character)))
        check("max_size" in (check_error(answers[-1], "resource-constraint", "wait").child_text("text") or ""), answers[-1])
        check(fit <= len(answers) - 1 <= fit + 5, f"{len(answers) - 1} contacts are within 1 MiB")
        for n in range(1000):
            client.send(f"<iq type='set' id='r{n}'><query xmlns='jabber:iq:roster'><item jid='c0@example.com' "
                        f"name='{n}'/></query></iq>")
        for n in range(1000):
            equal(client.expect_next("iq", timeout=20)["type"], "result")
        again = Client.login(client.account)
        equal(len(again.roster()), len(answers) - 1)
        again.set(_heavy_contact(0, character))   # there was room for it before
        equal(len(again.roster()), len(answers) - 1)


@cases([("plain", "x", 254), ("written as six bytes each", "'", 43)])
@dedicated(start=False, options=NO_RATE)
def heavy_blocklist_stops_at_its_size_and_can_be_read(server, _what, character, fit):
    """Addresses with resources of 1,000 characters; what can be blocked can be fetched within output_queue."""
    start(server)
    with Innocents(server), bounded(server, 60):
        client = _user(server)
        resource = character.replace("'", "&apos;") * 1000
        answers = []
        while len(answers) < 1000 and (not answers or answers[-1]["type"] == "result"):
            answers.append(client.iq("set", f"<block xmlns='urn:xmpp:blocking'><item jid='{len(answers):03}@example.com/"
                                            f"{resource}'/></block>"))
        check("max_size" in (check_error(answers[-1], "resource-constraint", "wait").child_text("text") or ""), answers[-1])
        check(fit - 5 <= len(answers) - 1 <= fit, f"{len(answers) - 1} addresses are within 256 KiB")
        again = Client.login(client.account)
        equal(len(again.get("<blocklist xmlns='urn:xmpp:blocking'/>").children), len(answers) - 1)


@dedicated(start=False, options=NO_RATE, text="module roster { max_size = 100MiB }")
def changes_of_a_heavy_roster_cost_no_more(server):
    """The server's time for 1,000 changes beside 8 MB of groups, and for as many alone."""
    start(server)

    def cost(client):
        before = _seconds_of(server)
        client.send("".join(f"<iq type='set' id='r{n}'><query xmlns='jabber:iq:roster'><item jid='small@example.com' "
                            f"name='{n}'/></query></iq>" for n in range(1000)))
        for _ in range(1000):
            equal(client.expect_next("iq", timeout=20)["type"], "result")
        return _seconds_of(server) - before

    light, heavy = _user(server), _user(server)
    for n in range(400):
        heavy.set(_heavy_contact(n))
    alone, beside = cost(light), cost(heavy)
    check(beside < 4 * alone, f"{beside:.2f} s instead of {alone:.2f} s")


@dedicated(start=False, options=NO_RATE, text="module roster { max_items = 50  max_requests = 20 }")
def subscription_floods_stop_at_the_limits(server):
    """One asks hundreds, and hundreds of resources of one domain ask one."""
    start(server)
    victim = _user(server, "victim")
    with Innocents(server), bounded(server, 60):
        client = _user(server)
        for n in range(500):
            client.presence("subscribe", to=f"nobody{n}@{server.domain}", id_=f"s{n}")
        client.ping()
        errors = [e for e in client.inbox if e.name == "presence" and e["type"] == "error"]
        equal(len(errors), 450, "requests over max_items")
        check_error(errors[0], "resource-constraint")
        askers = [_user(server, "asker") for _ in range(30)]
        for asker in askers:
            for _ in range(20):   # asking again is no other request
                asker.presence("subscribe", to=victim.bare)
            asker.ping()
        seen = {e["from"] for e in victim.drain(askers) if e["type"] == "subscribe"}
        check(20 <= len(seen) <= 30, f"{len(seen)} requests were shown")


@dedicated(start=False, options=NO_RATE, text="module offline { max_messages = 50  max_bytes = 4KiB }")
def offline_flood_stops_at_the_limits(server):
    start(server)
    absent = server.account("absent")
    with Innocents(server), bounded(server, 60):
        sender = _user(server, "sender")
        sender.message(absent.jid, "x" * 5000, id_="big")
        sender.expect_error(("service-unavailable", "not-acceptable", "policy-violation", "resource-constraint"), id_="big")
        for n in range(2000):
            sender.message(absent.jid, f"message {n}")
        sender.ping()
        errors = 0
        while errors < 1950:
            sender.expect_error(("service-unavailable", "resource-constraint"), name="message", timeout=20)
            errors += 1
        server.wait_for(lambda: server.stored_messages(absent.jid) == 50, "the others in storage")
    got = Client.login(absent, presence=True)
    equal([got.expect("message").child_text("body") for _ in range(50)], [f"message {n}" for n in range(50)])


@dedicated(start=False, options=NO_RATE | {"idle_accounts": 20})
def messages_to_nobodies_fill_no_memory(server):
    """5,000 addresses that do not exist, each of which is looked up."""
    start(server)
    with Innocents(server), bounded(server, 60):
        sender = _user(server, "sender")
        for begin in range(0, 5000, 250):
            for n in range(begin, begin + 250):
                sender.message(f"nobody{n}@{server.domain}", "anyone?")
            for n in range(250):
                sender.expect_next("message", type="error", timeout=20)
        held = stats(server)["accounts_in_memory"]
        check(held <= 2 * 20 + 10, f"{held} accounts are in memory")


@dedicated(start=False, options={"waiting_stanzas": 5, "workers": 1})
def stanzas_that_wait_for_an_account_are_limited(server):
    """What comes in one piece for an account that is yet to be read waits; what is too much comes back."""
    start(server)
    sender, absent = _user(server, "sender"), server.account("absent")
    with Innocents(server):
        sender.send("".join(f"<message to='{absent.jid}' id='w{n}'><body>{n}</body></message>" for n in range(100)))
        sender.ping()
        errors = [e for e in sender.drain() if e["type"] == "error"]
        check(len(errors) > 0, "all of them waited")
        for error in errors:
            check_error(error, "resource-constraint")
        server.wait_for(lambda: server.stored_messages(absent.jid) == 100 - len(errors), "the rest of them in storage")


@dedicated(start=False, options=NO_RATE | {"mailbox_limit": 100}, timeout=100)
def full_mailboxes_pause_their_sources_and_lose_nothing(server):
    """Eight users flood one whose home has to copy each message to twenty sessions."""
    start(server)
    account = server.account("popular")
    popular = [Client.login(account, f"r{n}", presence=True) for n in range(15)]
    senders = [_user(server, "sender") for _ in range(8)]
    for client in popular:
        client.settle()
        client.inbox.clear()
    with Innocents(server), bounded(server, 80):
        threads = [threading.Thread(target=lambda s=s, i=i: [
            s.send("".join(f"<message to='{account.jid}' type='headline' id='h{i}-{k}'/>" for k in range(j, j + 50)))
            for j in range(0, 500, 50)], daemon=True) for i, s in enumerate(senders)]
        for thread in threads:
            thread.start()
        for client in popular:
            got = [client.expect_next("message", timeout=30)["id"] for _ in range(4000)]
            for i in range(8):
                equal([g for g in got if g.startswith(f"h{i}-")], [f"h{i}-{k}" for k in range(500)], "order")
            client.transcript.clear()
        for thread in threads:
            thread.join()
    check(stats(server)["mailbox_pauses"] > 0, "nothing was paused")


@dedicated(start=False, options=NO_RATE | {"mailbox_limit": 100, "workers": 4}, timeout=100)
def presence_for_many_pauses_its_source_when_mailboxes_are_full(server):
    """Each is read for a moment only before others are served, but all at once are too many."""
    start(server)
    storms = [_user(server, "storm") for _ in range(8)]
    contacts = [_user(server, "contact") for _ in range(8)]
    for contact in contacts:
        for storm in storms:
            _subscribe(contact, storm)
    for contact in contacts:
        contact.settle(storms)
        contact.inbox.clear()
    with bounded(server, 80):
        server.process.send_signal(signal.SIGSTOP)
        try:
            for storm in storms:
                storm.send("".join(f"<presence id='p{n}'/>" for n in range(400)))
        finally:
            server.process.send_signal(signal.SIGCONT)
        for contact in contacts:
            got = [contact.expect_next("presence", timeout=30) for _ in range(3200)]
            for storm in storms:
                equal([p["id"] for p in got if p["from"] == storm.jid], [f"p{n}" for n in range(400)], "order")
            contact.transcript.clear()
    check(stats(server)["mailbox_pauses"] > 0, "nothing was paused")


def _change_password(name, password):
    return f"<iq type='set' id='{name}'><query xmlns='jabber:iq:register'><password>{password}</password></query></iq>"


@dedicated(start=False, options=NO_RATE | {"password_threads": 1})
def password_changes_of_one_account_delay_no_login(server):
    """2,100 at once: all but one at a time are refused, and the last that was accepted counts."""
    start(server)
    account, innocent = server.accounts("user", "innocent")
    sessions = [Client.login(account) for _ in range(3)]
    for k, session in enumerate(sessions):
        session.send("".join(_change_password(f"c{n}", f"secret-{k}-{n}") for n in range(700)))
    began = time.monotonic()
    Client.login(innocent, mechanism="PLAIN")
    took = time.monotonic() - began
    check(took < 2, f"the login took {took:.1f} s")
    for session in sessions:
        answers = [session.expect_next("iq", timeout=20) for _ in range(700)]
        refused = [a for a in answers if a["type"] == "error"]
        check(refused, "all changes were accepted")
        for answer in refused:
            check_error(answer, "resource-constraint", "wait")
    sessions[0].send("".join(_change_password(f"d{n}", f"other-{n}") for n in range(100)))
    accepted = [a["id"] for a in (sessions[0].expect_next("iq", timeout=20) for _ in range(100)) if a["type"] == "result"]
    check(accepted, "no change was accepted")
    account.password = f"other-{accepted[-1][1:]}"
    Client.login(account, mechanism="PLAIN").set("<query xmlns='jabber:iq:register'><password>again</password></query>")
    account.password = "again"
    Client.login(account)


@dedicated(start=False, options={"password_threads": 1, "scram_iterations": 4096})
def logins_go_before_password_changes(server):
    """Many accounts, each of which changes its password once; that takes about a quarter of a second each."""
    start(server)
    innocent, sessions = server.account("innocent"), [_user(server, presence=False) for _ in range(16)]
    server.options["scram_iterations"] = 1000000
    server.write_config()
    server.reload()
    client = Client(server)
    client.secure()
    began = time.monotonic()
    for session in sessions:
        session.send(_change_password("c", "secret"))
    for session in sessions:
        session.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
        session.expect("iq", id="p")
    client.authenticate(innocent.user, innocent.password, "PLAIN")
    waited = time.monotonic() - began
    for session in sessions:
        equal(session.expect("iq", id="c", timeout=30)["type"], "result")
    took = time.monotonic() - began
    check(waited < took / 3, f"the login took {waited:.1f} s, all changes {took:.1f} s")


# What sessions keep

def _show_to_many(client, server, count):
    """Directed presence to so many addresses of 2 KB each, which need not be there."""
    for begin in range(0, count, 50):
        client.send("".join(f"<presence id='d{n}' to='{n}{'u' * 990}@{server.domain}/{'r' * 990}'/>"
                            for n in range(begin, begin + 50)))
        client.ping()


@dedicated(start=False, options=NO_RATE)
def addresses_of_directed_presence_are_limited_in_bytes(server):
    start(server)
    with Innocents(server), bounded(server, 20):
        client = _user(server)
        _show_to_many(client, server, 200)
        errors = [e for e in client.inbox if e.name == "presence" and e["type"] == "error"]
        equal([e["id"] for e in errors], [f"d{n}" for n in range(32, 200)], "those over 64 KiB")
        check_error(errors[0], "resource-constraint")
        client.presence("unavailable", to=f"0{'u' * 990}@{server.domain}/{'r' * 990}")
        client.presence(to=f"200{'u' * 988}@{server.domain}/{'r' * 990}", id_="again")
        client.presence(to=f"201{'u' * 988}@{server.domain}/{'r' * 990}", id_="over")
        client.expect_error("resource-constraint", name="presence", id_="over")
        check(not any(e["id"] == "again" for e in client.inbox), "the room of who was taken off is not given back")


@cases([("as configured by default", "64KiB", 4), ("with room for many", "4MiB", 64)])
@dedicated(start=False, options=NO_RATE | {"workers": 1, "max_preauth_elements": 1000})
def changes_of_what_a_session_keeps_are_written_once_a_turn(server, _what, size, mebibytes):
    """Who has shown presence to many addresses shows it to one more and takes it back, over and over, so that a small
    stanza seems to change much; turning carbons on and off does the same."""
    server.text = f"module presence {{ max_directed_size = {size} }}"
    start(server)
    with Innocents(server) as innocents, bounded(server, 40):
        client = _user(server)
        client.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
        client.expect_next("enabled", NS_SM)
        _show_to_many(client, server, 450)
        innocents.slowest, before = 0.0, stats(server)["journal_bytes"]
        client.send("".join(f"<presence to='{client.bare}/z'/><presence type='unavailable' to='{client.bare}/z'/>"
                            for _ in range(150)))
        client.ping()
        client.send("".join(f"<iq type='set' id='c{n}'><{what} xmlns='urn:xmpp:carbons:2'/></iq>"
                            for n in range(75) for what in ("enable", "disable")))
        client.ping()
        written = stats(server)["journal_bytes"] - before
        check(written < mebibytes << 20, f"{written} bytes were written")
        check(innocents.slowest < 0.5, f"an innocent waited {innocents.slowest:.2f} s")


# What accounts keep

@dedicated(start=False, text="module vcard { max_size = 2KiB }")
def vcards_are_limited(server):
    start(server)
    client = _user(server)
    error = client.iq("set", "<vCard xmlns='vcard-temp'><NOTE>" + "x" * 3000 + "</NOTE></vCard>")
    check("max_size" in check_error(error, ("not-acceptable", "policy-violation")).child_text("text"), error)
    equal(client.iq("set", "<vCard xmlns='vcard-temp'><NOTE>small</NOTE></vCard>")["type"], "result")


@dedicated(start=False, options={"workers": 1, "max_preauth_elements": 1000}, text="module register { allow_registration = yes "
           "registrations_per_address = 1  registration_window = 2s  max_addresses = 1 }")
def registrations_of_an_address_are_limited_for_their_time(server):
    start(server)

    def register(name, source):
        client = Client(server, source=source)
        client.secure()
        client.send(f"<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{name}</username>"
                    "<password>secret</password></query></iq>")
        return client.expect("iq", id="r")["type"]

    equal([register("a", "127.44.0.1"), register("b", "127.44.0.1")], ["result", "error"])
    # Only one address is remembered: another one takes the place of the first.
    equal([register("c", "127.44.0.2"), register("d", "127.44.0.2"), register("e", "127.44.0.1")],
          ["result", "error", "result"])
    time.sleep(2.1)
    equal([register("f", "127.44.0.1"), register("g", "127.44.0.1")], ["result", "error"], "after the window")


@cases([("enough room", 100, 35), ("little room", 5, 10)])
@dedicated(start=False, options={"workers": 1})
def messages_wait_for_stored_ones_within_a_limit(server, _what, limit, behind):
    """What comes while stored messages are read waits, so that order is kept; what is over the limit overtakes."""
    server.text = f"module offline {{ max_waiting = {limit} }}"
    start(server)
    account, sender = server.account("absent"), _user(server, "sender")
    for n in range(5):
        sender.message(account.jid, f"stored {n}")
    server.wait_for(lambda: server.stored_messages(account.jid) == 5, "messages in storage")
    client = Client.login(account)
    client.send("<presence/>" + "".join(f"<message to='{client.bare}'><body>new {n}</body></message>" for n in range(30)))
    bodies = [client.expect("message", timeout=20).child_text("body") for _ in range(35)]
    equal(sorted(bodies), sorted([f"stored {n}" for n in range(5)] + [f"new {n}" for n in range(30)]), "all of them")
    equal(len(bodies) - bodies.index("stored 0"), behind, "what came from the first stored one on")
