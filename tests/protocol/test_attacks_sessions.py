# SPDX-License-Identifier: MIT
"""Attacks of users who have logged in: bombs of XML, floods of all kinds, and reading nothing. Whoever does that gets an
error that names the limit, is slowed down or cut off; others are served meanwhile."""
import contextlib
import signal
import threading
import time

from harness import Client, cases, check, dedicated, equal
from harness.attack import (NO_RATE, Innocents, bounded, bytes_at_end, figures_bounded, login, often, seconds_of, slowest_ping,
                            start, stats)
from harness.stream import NS_STREAM

NS_SM = "urn:xmpp:sm:3"


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
        client = login(server)
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

_KEPT = 256 << 10   # output_queue


def _ended_as_it_does_not_read(server, _client):
    waited = bytes_at_end(server)
    check(_KEPT < waited < 1.5 * _KEPT, f"{waited} bytes waited at the end")


def _ended_as_it_acknowledges_nothing(server, client):
    """A client that may yet acknowledge a burst may leave three times the limit unacknowledged, where a stanza counts
    for more than its bytes."""
    check("stream error resource-constraint: too many stanzas are not acknowledged" in server.log(), "the log does not tell why")
    error = client.expect("error", NS_STREAM)
    check(error.find("resource-constraint") is not None and "not acknowledged" in error.child_text("text"), error)
    sent = sum(len(e.child_text("body")) for e in client.inbox if e.name == "message")
    check(_KEPT / 2 < sent < 3 * _KEPT, f"it was sent {sent} bytes")


@cases([("plain", False, _ended_as_it_does_not_read), ("with stream management", True, _ended_as_it_acknowledges_nothing)])
@dedicated(start=False, options=NO_RATE | {"output_queue": f"{_KEPT}B", "resume_time": 0})
def reader_that_never_reads_costs_bounded_memory_and_harms_no_sender(server, _name, managed, check_end):
    start(server)
    lazy, sender = login(server, "lazy"), login(server, "sender")
    if managed:
        lazy.send(f"<enable xmlns='{NS_SM}'/>")
        lazy.expect_next("enabled", NS_SM)
    with Innocents(server), figures_bounded(server, memory_output=2 * _KEPT, memory_unacknowledged=2 * 3 * _KEPT), \
            bounded(server, 30):
        slowest, _ = slowest_ping(sender, lazy.jid, 3000, 40000, "headline")   # 120 MB, none of them stored
        server.wait_for(lambda: any("closed" in line for line in server.log().splitlines() if f"jid={lazy.jid}" in line),
                        "the end of the one who does not read")
    check_end(server, lazy)
    check(slowest < 3, f"the sender waited {slowest:.1f} s for an answer")
    lazy.abort()


@dedicated(start=False)
def a_burst_ends_no_session_that_acknowledges(server):
    """Four sessions of a stranger say all they may say at once, more than unacknowledged_stanzas; the client acknowledges
    what it was sent when it has read all of it."""
    start(server)
    victim = login(server, "victim")
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
        client = login(server)
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
    request = _large_card(login(server, "owner"))
    clients = [login(server, "asker", presence=False) for _ in range(16)]
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
    request = _large_card(login(server, "owner"))
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
    owners = [login(server, name) for name in ("a", "b", "c", "d")]
    requests = "".join(_large_card(owner) for owner in owners)
    client, waiting = login(server, "asker", presence=False), []
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
        took = _flood_to_oneself(login(server), count, unit)
    if seconds:
        check(took >= seconds, f"the flood was read within {took:.1f} s")
    else:
        check(took < 2, f"without a limit it took {took:.1f} s")


@dedicated(start=False, options=NO_RATE)
def records_of_one_byte_are_read_together(server):
    """Each behind 15,000 bytes of an attribute, which is looked at again when there is more of it."""
    start(server)
    client = login(server)
    began = seconds_of(server)
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
    took = seconds_of(server) - began
    check(took < 0.35, f"it took {took:.2f} s of the processor")
