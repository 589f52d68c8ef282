# SPDX-License-Identifier: MIT
"""What other servers and their names can cost this one: stanzas, streams and answers that wait, records of DNS. Each is
limited; others are served meanwhile."""
import contextlib
import os
import re
import socket
import sqlite3
import time

from harness import Client, Comity, Failure, cases, check, dedicated, equal
from harness.attack import (NO_RATE, Innocents, bounded, bytes_at_end, connect, federating, figures_bounded, login, read_all,
                            route, slowest_ping, start, stats)
from harness.client import check_error
from harness.fake import A, NS_SERVER, NS_SM, FakeNames, FakeServer, NamesOfNoService, call, prove


def _requests(server, account):
    """How many people wait for an answer of the user, looked up in the database."""
    path = os.path.join(server.folder, "data", "comity.sqlite")
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as database:
        return database.execute("SELECT count(*) FROM map WHERE owner = ? AND store = 'roster' AND key <> ''",
                                (str(account.jid),)).fetchone()[0]


def _refused(client, count):
    """Of so many messages sent, the errors that came back at once."""
    client.ping()
    return [e for e in client.drain() if e["type"] == "error"][:count]


@cases([("stanzas of a domain", {"s2s_queue_stanzas": 20}, 1, 20),
        ("bytes of a domain", {"s2s_queue_bytes": "512KiB"}, 1, 8),
        ("bytes of all domains", {"s2s_queue_total": "1MiB"}, 50, 8)])
@dedicated(start=False)
def what_waits_for_other_servers_is_limited(server, _what, options, domains, most):
    """Of 400 messages of 20 kB, each of which counts for three times as much."""
    del server
    server = federating(FakeServer(limit=0), **options, workers=1, s2s_negotiate_timeout="1m")
    with Innocents(server), figures_bounded(server, memory_remote=1 << 20):
        sender = login(server, "sender", presence=False)
        for n in range(400):
            sender.message(f"ann@x{n % domains}.fake.test", "x" * 20000)
        errors = _refused(sender, 400)
        check(abs(len(errors) - (400 - most)) <= 2, f"{len(errors)} of 400 came back")
        check_error(errors[0], "resource-constraint")


@dedicated(start=False)
def what_waits_for_one_user_leaves_room_for_others(server):
    """One user writes 8 MB to 40 domains whose servers say nothing; another one reaches a new domain meanwhile."""
    del server
    honest = FakeServer()
    server = federating(FakeServer(limit=0), route("honest.test", honest), s2s_queue_total="8MiB", workers=1,
                        s2s_negotiate_timeout="1m")
    with Innocents(server), figures_bounded(server, memory_remote=5 << 20):
        sender, other = login(server, "sender", presence=False), login(server, "other")
        for n in range(600):
            sender.message(f"ann@x{n % 40}.fake.test", "x" * (20000 if n < 400 else 1))
        errors = _refused(sender, 600)
        check("of yours" in check_error(errors[-1], "resource-constraint").child_text("text"), errors[-1])
        other.message("ann@honest.test", "hello")
        equal(honest.wait_stanza("message")["from"], str(other.jid))


@dedicated(start=False)
def who_has_nothing_waiting_is_not_told_that_he_has(server):
    """One user has half of all; a message of another one is larger than the eighth that a user may have then."""
    del server
    honest = FakeServer()
    server = federating(FakeServer(limit=0), route("honest.test", honest), s2s_queue_total="1MiB", workers=1,
                        s2s_negotiate_timeout="1m")
    sender, other = login(server, "sender", presence=False), login(server, "other", presence=False)
    for n in range(20):
        sender.message(f"ann@x{n}.fake.test", "x" * 20000)
    check("of yours" in sender.expect("message", type="error").find("error").child_text("text"), "the half is not used")
    other.message("ann@honest.test", "x" * 60000)
    equal(honest.wait_stanza("message")["from"], str(other.jid))


@dedicated(start=False)
def what_waits_for_many_users_is_limited(server):
    """Each of eight has less than a user may have at the end."""
    del server
    server = federating(FakeServer(limit=0), s2s_queue_total="1MiB", workers=1, s2s_negotiate_timeout="1m")
    with Innocents(server), figures_bounded(server, memory_remote=1 << 20):
        for number in range(8):
            sender = login(server, f"sender{number}", presence=False)
            for n in range(60):
                sender.message(f"ann@x{n}.fake.test", "x" * (20000 if n < 10 else 1))
            errors = _refused(sender, 60)
        check("of this domain" in check_error(errors[-1], "resource-constraint").child_text("text"), errors[-1])


@dedicated(start=False)
def server_that_never_reads_is_cut_off_and_harms_no_sender(server):
    del server
    server = federating(FakeServer(limit=5000), s2s_output_queue="256KiB", s2s_queue_bytes="1MiB", s2s_resume_time=0,
                        s2s_queue_age="1s", s2s_retry_min="5s")
    with Innocents(server), figures_bounded(server, memory_output=1 << 20, memory_remote=2 << 20), bounded(server, 40):
        sender = login(server, "sender", presence=False)
        slowest, returned = slowest_ping(sender, "ann@x1.fake.test", 2500, 40000)   # 100 MB
        server.wait_for(lambda: "does not read" in server.log(), "the end of the stream that is not read")
        check(returned is not None, "nothing came back")
        check_error(returned, ("resource-constraint", "remote-server-timeout", "remote-server-not-found"))
    check(bytes_at_end(server) < 384 << 10, f"{bytes_at_end(server)} bytes waited at the end")
    check(slowest < 3, f"the sender waited {slowest:.1f} s for an answer")


@dedicated(start=False)
def server_that_hangs_up_at_each_stanza_is_not_reached_at_once(server):
    """The stream is there each time, so that this is no failure to reach it."""
    del server
    fake = FakeServer(manages=True)
    fake.suffers = False
    server = federating(fake, s2s_retry_min="1s")
    login(server, "ann", presence=False).message("bob@x1.fake.test", "hello")
    fake.wait_stanzas(1)
    began = time.monotonic()
    fake.wait_stanzas(3)
    took = time.monotonic() - began
    check(took > 1.4, f"it was reached twice more in {took:.2f} s")


class _Choosy(FakeServer):
    """Ends the stream with an error at a message that is too long for it."""

    def __init__(self, knows):
        super().__init__(manages=True)
        self.knows, self.refused = knows, 0   # knows: the stream that is resumed

    def _answer(self, connection, e):
        with contextlib.suppress(OSError):
            if e.name == "message" and len(e.child_text("body")) > 1000:
                self.refused += 1
                connection.sendall(b"<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                                   b"</stream:error></stream:stream>")
                connection.shutdown(socket.SHUT_RDWR)
            elif e.name == "resume" and not self.knows:
                connection.sendall(f"<failed xmlns='{NS_SM}'/>".encode())
            else:
                super()._answer(connection, e)


@cases([("that resumes", True), ("that does not", False)])
@dedicated(start=False)
def a_stanza_that_ends_each_stream_comes_back(server, _what, knows):
    """It is not sent again at once, nor for ever, and what others send goes on then."""
    del server
    fake = _Choosy(knows)
    server = federating(fake, s2s_queue_age="3s", s2s_retry_min="1s")
    ann, other = login(server, "ann", presence=False), login(server, "other", presence=False)
    ann.message("bob@x1.fake.test", "x" * 5000)
    check_error(ann.expect("message", type="error", timeout=15), "remote-server-timeout")
    check(2 <= fake.refused <= 12, f"it was sent {fake.refused} times")
    fake.stanzas.clear()
    other.message("bob@x1.fake.test", "hello")
    equal(fake.wait_stanza("message")["from"], other.jid)


@dedicated(start=False)
def domains_that_are_talked_to_are_limited(server):
    """Eight users write to 200 domains at once, none of whose servers answers."""
    del server
    server = federating(FakeServer(limit=0), s2s_links=30, workers=1, s2s_negotiate_timeout="1m")
    with Innocents(server), bounded(server, 40):
        errors = []
        for number in range(8):
            sender = login(server, f"sender{number}", presence=False)
            for n in range(25):
                sender.message(f"ann@x{n}.of{number}.fake.test", "hello")
            errors += _refused(sender, 25)
        equal(len(errors), 170, "messages that came back")
        check("too many other servers are talked to" in check_error(errors[-1], "resource-constraint").child_text("text"), errors[-1])


@dedicated(start=False)
def domains_of_one_user_leave_room_for_others(server):
    """One user writes to 300 domains whose servers say nothing; another one reaches a new domain meanwhile."""
    del server
    honest = FakeServer()
    routes = route("honest.test", honest) + route("*.honest.test", honest)
    server = federating(FakeServer(limit=0), routes, s2s_links=200, workers=1, s2s_negotiate_timeout="2s", s2s_queue_age="4s",
                        s2s_retry_min="1m", s2s_retry_max="1m")
    with Innocents(server), bounded(server, 40):
        sender, other = login(server, "sender"), login(server, "other")
        for n in range(300):
            sender.message(f"ann@x{n}.fake.test", "hello")
        errors = _refused(sender, 300)
        equal(len(errors), 290, "messages over the twentieth of one user")
        check("for you" in check_error(errors[-1], "resource-constraint").child_text("text"), errors[-1])
        other.message("ann@honest.test", "hello")
        equal(honest.wait_stanza("message")["from"], str(other.jid))
        for _ in range(10):
            check_error(sender.expect("message", type="error", timeout=20), "remote-server-timeout")
        honest.stanzas.clear()
        sender.message("ann@others.honest.test", "hello")
        equal(honest.wait_stanza("message")["from"], str(sender.jid))


@dedicated(start=False)
def slowed_callers_that_move_leave_no_timer_on_their_old_worker(server):
    """The header tells on which worker a stream is at home, and may be more than is read at once."""
    del server
    server = federating(FakeServer(), workers=2, s2s_bytes_per_second="1KiB", s2s_negotiate_timeout="1s")
    padding = " ".join(f"a{n}='{'y' * 700}'" for n in range(8))
    header = (f"<stream:stream xmlns='{NS_SERVER}' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' "
              f"to='{A}' from='x%d.fake.test' {padding}>")
    with Innocents(server):
        callers = [connect(server, server.s2s) for _ in range(20)]
        for n, caller in enumerate(callers):
            caller.sendall((header % n).encode())
        for caller in callers:
            read_all(caller, 8)


@dedicated(start=False)
def idle_streams_of_other_servers_are_closed(server):
    """Even when white space comes all the time."""
    del server
    server = federating(FakeServer(), s2s_idle_timeout="2s", parser_idle="200ms")
    stream = call(server)
    equal(prove(stream, "x1.fake.test")["type"], "valid")
    began = time.monotonic()
    while not stream.ended and not stream.eof and time.monotonic() - began < 12:
        stream.send(" ")
        stream.pump(0.1)
    check(1.5 < time.monotonic() - began < 12, "the stream was not closed in time")


@cases([("in time", "1m", 0, "resumed"), ("too late", "1s", 1.5, "failed")])
@dedicated(start=False)
def lost_streams_of_other_servers_are_kept_for_their_time(server, _what, option, pause, wanted):
    del server
    server = federating(FakeServer(), s2s_resume_time=option)
    stream = call(server)
    prove(stream, "x1.fake.test")
    stream.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    id_ = stream.expect_next("enabled")["id"]
    stream.abort()
    server.wait_for(lambda: stats(server)["connections_closed"] >= 1, "the end of the stream")
    time.sleep(pause)
    stream = call(server)
    prove(stream, "x1.fake.test")
    stream.send(f"<resume xmlns='urn:xmpp:sm:3' h='0' previd='{id_}'/>")
    answer = stream.expect_next()
    equal(answer.name, wanted, answer)
    check(wanted == "resumed" or answer.find("item-not-found") is not None, answer)


@dedicated(start=False)
def streams_of_this_server_are_not_for_others_to_resume(server):
    """The id of a stream to another server is chosen by that one, which could name it on a stream of its own."""
    del server
    fake = FakeServer(manages=True)
    server = federating(fake)
    with Innocents(server):
        login(server).message("ann@x1.fake.test", "hello")
        fake.wait_stanza("message")
        stream = call(server)
        equal(prove(stream, "x1.fake.test")["type"], "valid")
        stream.send(f"<resume xmlns='{NS_SM}' h='0' previd='{fake.MANAGED}'/>")
        equal(stream.expect_next().name, "failed")
        stream.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
        stream.expect_next("enabled")
        stream.send(f"<a xmlns='{NS_SM}' h='0'/><r xmlns='{NS_SM}'/>")
        equal(stream.expect_next("a")["h"], "0")
        stream.send(f"<a xmlns='{NS_SM}' h='1'/>")
        stream.expect_next("a")   # the last word on what was handled
        stream.expect_stream_error("undefined-condition")


# Names

@dedicated(start=False, timeout=100)
def a_thousand_records_of_dns_are_no_thousand_connections(server):
    del server
    names = FakeNames()
    server = Comity(domains=(A,), options={"dns_servers": f"127.0.0.1:{names.port}", "s2s_reach_timeout": "20s",
                                           "s2s_queue_age": "20s", "s2s_connect_timeout": "1s"})
    start(server)
    with Innocents(server), bounded(server, 30):
        sender = login(server, "sender")
        sender.message("ann@many.test", "hello")
        error = check_error(sender.expect("message", type="error", timeout=60), ("remote-server-timeout",
                                                                                "remote-server-not-found"))
        check(error.child_text("text"), "no reason")
    check(names.over_tcp > 0, "no answer of 1,000 records was asked for")
    equal(set(re.findall(r"looked up .* of \S+: (\d+) found", server.log())), {"64"}, "records of 1,000 that were looked at")
    # 16 targets with both kinds of addresses, each asked once by datagram and once by stream; two kinds of services.
    check(len(names.questions) <= 2 * 2 * 16 * 2 + 8, f"{len(names.questions)} questions were asked")
    check(stats(server)["sessions"] >= 3, "sessions were lost")


@dedicated(start=False, timeout=60)
def names_of_thousands_of_domains_are_kept_within_the_limit(server):
    """Of each domain 100 records, of 26 kB; twice the ten answers of each worker are 500 kB."""
    del server
    names = NamesOfNoService()
    server = Comity(domains=(A,), options=NO_RATE | {"dns_servers": f"127.0.0.1:{names.port}", "dns_cache": 10,
                                                     "s2s_queue_age": "1s"})
    start(server)
    with Innocents(server), figures_bounded(server, memory_names=4 << 20), bounded(server, 40):
        sender = login(server, "sender")
        for first in range(0, 2000, 500):
            for n in range(first, first + 500):
                sender.message(f"ann@d{n}.test", "hello")
            for _ in range(500):
                try:
                    check_error(sender.expect("message", type="error", timeout=20),
                                ("remote-server-timeout", "remote-server-not-found", "resource-constraint"))
                except Failure as failure:
                    raise Failure(f"not all came back: {failure}") from None
    check(len(names.questions) >= 2 * 2000, f"only {len(names.questions)} questions were asked")


@cases([("plain", False), ("managed", True)])
@dedicated(start=False, timeout=60)
def requests_that_wait_lock_nobody_out(server, _what, managed):
    """700 of 4 kB from accounts of one domain: as many as may wait are kept, and come at each login at once."""
    del server
    server = federating(FakeServer(), workers=1, unacknowledged_stanzas=50)
    victim = server.account("victim")
    stream = call(server)
    equal(prove(stream, "x1.fake.test")["type"], "valid")
    for n in range(700):
        stream.send(f"<presence type='subscribe' from='u{n}@x1.fake.test' to='{victim.jid}'><status>{'x' * 3900}</status></presence>")
    server.wait_for(lambda: _requests(server, victim) > 200, "requests in storage", timeout=20)
    time.sleep(1)
    kept = _requests(server, victim)
    check(230 <= kept <= 270, f"{kept} requests of 4 kB are within 1 MiB")
    for _ in range(2):
        client = Client.login(victim)
        if managed:
            client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
            client.expect("enabled")
        for _ in range(3):   # coming and going does not make them more
            client.presence()
            client.presence("unavailable")
        client.presence()
        client.ping()
        seen = [e["from"] for e in client.drain() if e["type"] == "subscribe"]
        equal(len(set(seen)), kept, "requests that are shown")
        client.abort()
