# SPDX-License-Identifier: MIT
"""Attacks from outside, before anyone has logged in: connections, handshakes, logins. Each must end in a clear answer
or a closed connection, cost bounded memory, and leave those who have logged in alone."""
import concurrent.futures
import contextlib
import select
import ssl
import time

from harness import Client, Stream, cases, check, dedicated, equal
from harness.attack import (Innocents, bounded, bytes_at_end, connect, figures_bounded, read_all, send_until_cut_off, start,
                            stats, vanish)
from harness.stream import NS_SASL

HEADER = (b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
          b"xmlns:stream='http://etherx.jabber.org/streams'>")
NS_SM = "urn:xmpp:sm:3"


@dedicated(start=False, timeout=90)
def thousands_of_strangers_leave_sessions_alone(server):
    """2,000 connections from 100 addresses say hello and stay."""
    start(server)
    strangers = []
    with Innocents(server) as innocents, bounded(server, 100):
        for number in range(2000):
            strangers.append(connect(server, source=f"127.77.{number % 100}.1"))
            strangers[-1].sendall(HEADER)
        for stranger in strangers:
            check(stranger.recv(64), "a stranger within the limits was hung up on")
        check(innocents.slowest < 3, f"an innocent waited {innocents.slowest:.1f} s")
        Client.login(server.account("late")).close()
        for stranger in strangers:
            stranger.close()
    server.wait_for(lambda: stats(server)["connections_closed"] >= 2000, "the end of all connections")


def _refusals(server, count, source):
    """Connects so often; the streams that were refused, and how many stay."""
    streams = [Stream(server, source=source(n)) for n in range(count)]
    deadline = time.monotonic() + 8
    refused = []
    while len(refused) < 10 and time.monotonic() < deadline:
        ready = select.select([s.sock for s in streams], [], [], 0.2)[0]
        refused = [s for s in streams if s.sock in ready]
    return streams, refused


@cases([("of one address", "connections_per_address", lambda n: "127.66.0.1", "policy-violation", "of this address"),
        ("in all", "connections_unauthenticated", lambda n: f"127.66.{n}.1", "resource-constraint", "too many connections")])
@dedicated(start=False)
def connections_over_the_limit_are_told_and_closed(server, _what, option, source, condition, words):
    server.options[option] = 20
    start(server)
    with Innocents(server):
        streams, refused = _refusals(server, 30, source)
        equal(len(refused), 10, "refused connections")
        for stream in refused:
            error = stream.expect_stream_error(condition)
            check(words in error.child_text("text"), error)
        equal(stats(server)["connections_refused"], 10)
        for stream in streams:
            stream.sock.close()
        server.wait_for(lambda: stats(server)["connections_closed"] >= 20, "the end of all connections")
    Client.login(server.account("late"), source=source(0)).close()


@cases([("clients of one address", "connections_per_address", lambda server: server.c2s, lambda n: "127.67.0.1"),
        ("clients in all", "connections_unauthenticated", lambda server: server.c2s, lambda n: f"127.67.{n}.1"),
        ("servers of one address", "connections_per_address", lambda server: server.s2s, lambda n: "127.67.0.1"),
        ("streams of one address", "s2s_streams_per_address", lambda server: server.s2s, lambda n: "127.67.0.1")])
@dedicated(start=False)
def connections_count_until_they_are_gone(server, _what, option, port, source):
    """A connection that was ended keeps its descriptor until the peer has read why, and its place as long."""
    server.options[option] = 20
    start(server)
    # The refusals of one burst, which takes less time than a closed connection is kept.
    socks = []
    for number in range(30):
        socks.append(connect(server, port(server), source(number)))
        with contextlib.suppress(ConnectionError):   # turned away already
            socks[-1].sendall(b"</x>")
    server.wait_for(lambda: stats(server)["connections_refused"] == 10, "ten to be turned away")
    server.wait_for(lambda: stats(server)["connections_closed"] >= 20, "the end of all connections")
    late = connect(server, port(server), source(0))
    late.sendall(b"</x>")
    check(late.recv(4096), "nothing was given back")
    equal(stats(server)["connections_refused"], 10)
    for sock in [late, *socks]:
        sock.close()


@dedicated(start=False, options={"preauth_timeout": "2s"})
def slow_drip_ends_when_the_time_to_log_in_is_over(server):
    start(server)
    with Innocents(server), bounded(server, 20):
        drips = [connect(server) for _ in range(40)]
        began, at = time.monotonic(), 0
        while drips and time.monotonic() - began < 12:
            for drip in list(drips):
                try:
                    drip.sendall(HEADER[at % len(HEADER):][:1] if at < len(HEADER) else b" ")
                    if select.select([drip], [], [], 0)[0] and not drip.recv(4096):
                        drips.remove(drip)
                except ConnectionError:
                    drips.remove(drip)
            at += 1
            time.sleep(0.05)
        equal(len(drips), 0, "connections that drip on after the time to log in")
        check(time.monotonic() - began > 1.5, "they were cut off too soon")


def _begun_handshake(server, port, source=None):
    """Says half of what a TLS client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        half.do_handshake()
    sock = connect(server, port, source)
    if port == server.c2s:
        sock.sendall(HEADER + b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        seen = b""
        while b"<proceed" not in seen:
            seen += sock.recv(4096)
    hello = outgoing.read()
    sock.sendall(hello[:len(hello) // 2])
    return sock


@cases([("after starttls", False), ("on the port of direct TLS", True)])
@dedicated(start=False, options={"preauth_timeout": "2s"})
def half_a_handshake_is_cut_off(server, _how, direct):
    start(server)
    port = server.c2s_tls if direct else server.c2s
    with Innocents(server), bounded(server, 40):
        half = [_begun_handshake(server, port) for _ in range(30)]
        for sock in half:
            read_all(sock, 8)


def _silent(server, source):
    return connect(server, source=source)


def _greeted(server, source):
    sock, seen = connect(server, source=source), b""
    sock.sendall(HEADER)
    while b"</stream:features>" not in seen:
        seen += sock.recv(4096)
    return sock


@cases([("before a word", _silent), ("after the header", _greeted),
        ("in a handshake", lambda server, source: _begun_handshake(server, server.c2s, source))])
@dedicated(start=False, options={"preauth_timeout": "2s", "connections_per_address": 20})
def peers_that_vanish_give_their_places_back(server, _when, begin):
    """Their machine is gone without a word: nothing ends the connections, nor is anything acknowledged."""
    start(server)
    user, source = server.account("late"), "127.68.0.1"
    with Innocents(server):
        socks = [begin(server, source) for _ in range(20)]
        for sock in socks:
            vanish(sock)
        server.wait_for(lambda: stats(server)["connections_closed"] >= 20, "the end of those who are gone", timeout=12)
        Client.login(user, source=source).close()
        equal(select.select(socks, [], [], 0)[0], [], "those who are gone and heard of their end")


@dedicated(start=False)
def half_closed_connections_are_let_go(server):
    """Who has said all there is to say without logging in is not waited for."""
    start(server)
    socks = [connect(server) for _ in range(50)]
    for number, sock in enumerate(socks):
        sock.sendall(HEADER if number % 2 else b"")
        sock.shutdown(1)
    for sock in socks:
        read_all(sock, 8)


# Logins

def _try_plain(client, user, password):
    """Seconds until the answer to a wrong password."""
    began = time.monotonic()
    client.auth("PLAIN", f"\0{user}\0{password}")
    client.expect_failure("not-authorized", timeout=15)
    return time.monotonic() - began


def _stranger(server, source):
    client = Client(server, source=source)
    client.secure()
    return client


@dedicated(start=False, options={"login_failures_free": 2, "login_failure_delay": "1s",
                                 "login_failure_delay_max": "2s", "login_tries": 100})
def wrong_passwords_are_answered_ever_more_slowly(server):
    """Three addresses guess at the same time. None is answered too soon; and one of the three, as a slow machine delays
    now this one and now that, not too late."""
    start(server)
    victim = server.account("victim")

    def guess(source):
        took = []
        for stream in range(2):   # a new stream does not begin anew
            client = _stranger(server, source)
            took += [_try_plain(client, victim.user, f"guess {stream} {n}") for n in range(3)]
        return took

    wanted = [0, 0, 1, 2, 2, 2]
    with Innocents(server), concurrent.futures.ThreadPoolExecutor() as pool:
        rounds = list(pool.map(guess, ["127.55.0.1", "127.55.1.1", "127.55.2.1"]))
        for took in rounds:
            check(all(t >= w for t, w in zip(took, wanted)), f"delays {took}, wanted at least {wanted}")
        soonest = [min(times) for times in zip(*rounds)]
        check(all(t < w + 0.9 for t, w in zip(soonest, wanted)), f"delays {rounds}, wanted {wanted}")
        # The owner, who is elsewhere, is not locked out.
        began = time.monotonic()
        Client.login(victim, mechanism="PLAIN").close()
        check(time.monotonic() - began < 4, "the owner of the account had to wait")


@dedicated(start=False, options={"login_failures_free": 1, "login_failure_window": "2s", "login_failure_delay": "5s",
                                 "login_failure_delay_max": "5s", "login_tries": 100})
def refused_logins_are_forgotten_after_their_time(server):
    start(server)
    client = _stranger(server, "127.55.0.2")
    check(_try_plain(client, "nobody", "one") < 4, "the free one was delayed")
    check(_try_plain(client, "nobody", "two") >= 5, "the second was not delayed")
    check(_try_plain(client, "nobody", "three") < 4, "the window of 2 s is over, but the delay is not")


@dedicated(start=False, timeout=110, options={"login_failures_free": 100000})
def a_thousand_wrong_passwords_lock_nobody_out(server):
    start(server)
    victim = server.account("victim")
    with Innocents(server), bounded(server, 60):
        for number in range(200):
            client = _stranger(server, f"127.54.{number % 50}.1")
            for n in range(4):
                _try_plain(client, victim.user, f"guess {number} {n}")
            client.auth("PLAIN", f"\0{victim.user}\0last")
            client.expect_failure("not-authorized")
            error = client.expect_stream_error("policy-violation")
            check("refused logins" in error.child_text("text"), error)
        equal(stats(server)["login_failures"], 1000)
        Client.login(victim).close()


@dedicated(start=False, options={"password_threads": 1, "preauth_timeout": "3s"}, timeout=60)
def logins_that_were_given_up_are_not_hashed_and_count(server):
    """Each takes most of a second of the only thread; when the time to log in is over, most of them still wait."""
    start(server)
    innocent = server.account("innocent")
    server.options["scram_iterations"] = 3000000
    server.write_config()
    server.reload()
    victim = server.account("victim")
    clients = [_stranger(server, "127.53.0.1") for _ in range(30)]
    for client in clients:
        client.auth("PLAIN", f"\0{victim.user}\0guess")
    server.wait_for(lambda: stats(server)["login_failures"] == 30, "all of them to count")
    given_up = server.log().count("given up")
    check(given_up > 15, f"{given_up} logins were given up")
    began = time.monotonic()
    Client.login(innocent, mechanism="PLAIN").close()
    took = time.monotonic() - began
    check(took < 3, f"a login took {took:.1f} s after that")
    equal(stats(server)["login_failures"], 30, "no login counts twice")


def _registering(server):
    client = _stranger(server, None)
    return client, "<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>", "iq"


def _aborting(server):
    return _stranger(server, None), f"<auth xmlns='{NS_SASL}' mechanism='SCRAM-SHA-1'/><abort xmlns='{NS_SASL}'/>", "failure"


def _guessing(server):
    account = server.account("guesser")
    client = _stranger(server, None)
    client.authenticate(account.user, account.password)
    client.open()
    return client, f"<resume xmlns='{NS_SM}' h='0' previd='" + "0123456789abcdef" * 2 + "'/>", "failed"


@cases([("forms of registration", _registering), ("logins begun and given up", _aborting),
        ("guessed ids of sessions", _guessing)])
@dedicated(start=False, options={"max_preauth_elements": 30, "login_tries": 100, "login_failures_free": 1000})
def elements_before_a_resource_is_bound_are_limited(server, _what, attack):
    start(server)
    with Innocents(server), bounded(server, 20):
        client, text, answer = attack(server)
        client.send(text * 40)
        error = client.expect("error")
        check(error.find("policy-violation") and "before a resource is bound" in error.child_text("text"), error)
        check(10 < sum(e.name == answer for e in client.inbox) < 40, "answers before the end")
        client.inbox.clear()
        client.expect_end()


@dedicated(start=False, options={"max_preauth_output": "16KiB", "max_preauth_elements": 100000})
def answers_that_nobody_reads_end_a_client_before_login(server):
    """Each answer to who asks how to register is longer than its id."""
    start(server)
    request = f"<iq type='get' id='{'i' * 5000}'><query xmlns='jabber:iq:register'/></iq>".encode() * 20
    with Innocents(server), figures_bounded(server, memory_output=64 << 10), bounded(server, 30):
        client = _stranger(server, None)
        send_until_cut_off(server, client, request)
    check(bytes_at_end(server) < 32 << 10, f"{bytes_at_end(server)} bytes waited at the end")
    client.abort()


@dedicated(start=False, options={"max_preauth_elements": 1000})
def ids_of_sessions_cannot_be_guessed(server):
    """Not even by one who knows the id: it is worth something to its account only."""
    start(server)
    victim = Client.login(server.account("victim"), presence=True)
    victim.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
    id_ = victim.expect_next("enabled", NS_SM)["id"]
    check(len(id_) >= 22, f"the id {id_} is short")
    with Innocents(server):
        client = _guessing(server)[0]
        for guess in [id_, id_[:-1], id_.upper(), "", "x" * 5000] + [f"{n:032x}" for n in range(300)]:
            client.send(f"<resume xmlns='{NS_SM}' h='0' previd='{guess}'/>")
            failed = client.expect_next("failed", NS_SM)
            check(failed.find("item-not-found") is not None, failed)
        client.bind()
        victim.ping()


@cases([("before login", False), ("after login", True)])
@dedicated(start=False)
def compression_is_neither_offered_nor_begun(server, _when, login):
    """What is compressed could be small on the way and endless here; nor does TLS compress."""
    start(server)
    client = Client.login(server.account("user")) if login else _stranger(server, None)
    check(not [f for f in client.features.children if "compress" in (f.ns or "") + f.name], client.features)
    equal(client.tls.compression(), None, "compression of TLS")
    client.send("<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>")
    client.expect_stream_error("unsupported-stanza-type")
