# SPDX-License-Identifier: MIT
"""What memory is used for, and what is given up when it becomes short: logins, then presence, then messages."""
import contextlib
import json
import os
import re
import socket
import sqlite3
import threading
import time

from harness import Client, Failure, cases, check, dedicated, equal
from harness.attack import federating, figures_bounded
from harness.client import check_error
from harness.fake import FakeServer
from test_federation import A, B, _pair, _users
from test_management import NS_SM, _again, _managed

NS_SERVER = "jabber:server"
NS_CSI = "urn:xmpp:csi:0"
NS_CARBONS = "urn:xmpp:carbons:2"
NS_BLOCKING = "urn:xmpp:blocking"
KINDS = ("connections", "input", "output", "sessions", "unacknowledged", "accounts", "names", "stanzas", "remote", "presence",
         "store")
BIG = "x" * 200000
# So that a client may fill the memory of the server fast, and nobody is asked for a sign of life meanwhile.
ROOMY = {"journal_size": 1 << 30, "output_queue": 1 << 28, "bytes_per_second": 0, "acknowledge_timeout": "10m", "preauth_timeout": "10m"}


def _stats(server):
    return {row["name"]: row["value"] for row in json.loads(server.ctl("--json", "stats"))}


def _tallies(server):
    stats = _stats(server)
    return {kind: stats["memory_" + kind] for kind in KINDS}


def _table(server, what):
    """Rows of stats memory."""
    return [row for row in json.loads(server.ctl("--json", "stats", "memory")) if row["what"] == what]


def _bytes_of(server, *command):
    return json.loads(server.ctl("--json", *command))[0]["bytes"]


def _befriend(a, b):
    """a sees the presence of b."""
    a.presence("subscribe", to=b.bare)
    b.expect("presence", type="subscribe")
    b.presence("subscribed", to=a.bare)
    a.expect("presence", type="subscribed")
    a.expect("presence", type=None, from_=b.jid)


# Figures

def figures_add_up(server):
    client = Client.login(server.account("ann"), presence=True)
    rows = {row["what"]: row for row in json.loads(server.ctl("--json", "stats", "memory")) if row["name"] is None}
    equal([what for what in rows], [*KINDS, "rest", "all", "limit"])
    check(rows["connections"]["bytes"] > 10000 * rows["connections"]["number"] > 0, rows["connections"])
    for what in ("sessions", "accounts"):
        check(rows[what]["number"] > 0, what)
        equal(rows[what]["average"], rows[what]["bytes"] // rows[what]["number"])
    kinds = sum(rows[kind]["bytes"] for kind in KINDS)
    equal(rows["rest"]["bytes"], max(rows["all"]["bytes"] - kinds, 0), f"what is left of all but for {kinds} bytes of kinds")
    check(0 < rows["all"]["bytes"] < rows["limit"]["bytes"], f"{rows['all']}, {rows['limit']}")
    stats = _stats(server)
    equal((stats["memory_limit"], stats["memory_level"]), (rows["limit"]["bytes"], 0))
    client.ping()


def the_largest_are_named(server):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"), "phone")
    before = _bytes_of(server, "session", "list", bob.bare)
    check(before > 10000, f"a session of {before} bytes")
    ann.message(bob.jid, BIG[:100000])
    ann.settle()
    after = _bytes_of(server, "session", "list", bob.bare)
    check(before + 100000 < after, f"{before}, then {after} bytes")
    largest = _table(server, "session")[0]
    equal((largest["name"], largest["bytes"] > before + 100000), (bob.jid, True))
    equal(_table(server, "account")[0]["name"], bob.bare)
    equal(_bytes_of(server, "user", "show", bob.bare) > after, True)
    bob.expect("message")
    bob.send(f"<a xmlns='{NS_SM}' h='1'/>")
    bob.ping()
    check(_bytes_of(server, "session", "list", bob.bare) < before + 50000, "what was acknowledged still counts")


@dedicated(options={"bytes_per_second": 0})
def a_presence_counts_after_a_restart(server):
    bob = _managed(server.account("bob"), "phone")
    bob.presence(payload=f"<status>{BIG}</status>")
    bob.ping()
    server.restart()
    again = _again(bob, bob.stanzas - bob.enabled_at)
    again.expect("resumed", NS_SM)
    whole = _bytes_of(server, "session", "list", bob.bare)
    check(whole > len(BIG), f"{whole} bytes with the presence")
    again.presence("unavailable")
    again.ping()
    left = _bytes_of(server, "session", "list", bob.bare)
    check(0 < left < whole - len(BIG) // 2, f"{left} of {whole} bytes are left without it")


def an_account_counts_its_contacts(server):
    ann = Client.login(server.account("ann"))
    before = _bytes_of(server, "user", "show", ann.bare)
    for n in range(20):
        ann.set(f"<query xmlns='jabber:iq:roster'><item jid='contact-{n}@example.org' name='{'n' * 500}'/></query>")
    ann.set(f"<block xmlns='{NS_BLOCKING}'><item jid='spam.example.org'/></block>")
    grown = _bytes_of(server, "user", "show", ann.bare) - before
    check(20 * 500 < grown < 20 * 2000, f"20 contacts take {grown} bytes")
    for n in range(20):
        ann.set(f"<query xmlns='jabber:iq:roster'><item jid='contact-{n}@example.org' subscription='remove'/></query>")
    left = _bytes_of(server, "user", "show", ann.bare) - before
    check(left < 1000, f"{left} bytes are left")


def what_is_half_sent_counts(server):
    ann = Client.login(server.account("ann"), presence=True)
    ann.ping()
    before = _stats(server)["memory_input"]
    ann.send("<message to='x@localhost'><body>" + BIG)
    server.wait_for(lambda: _stats(server)["memory_input"] > before + len(BIG), "input that counts")
    ann.send("</body></message>")
    ann.expect_error("service-unavailable")
    server.wait_for(lambda: _stats(server)["memory_input"] < before + len(BIG) // 2, "input that is gone")


@dedicated(options={"output_queue": 1 << 24, "bytes_per_second": 0})
def what_is_not_read_counts(server):
    ann, bob = Client.login(server.account("ann"), presence=True), Client.login(server.account("bob"), presence=True)
    while _stats(server)["memory_output"] < 2 * len(BIG):
        for _ in range(5):
            ann.message(bob.jid, BIG)
        ann.ping()
    check(_table(server, "connection")[0]["bytes"] > len(BIG), "the connection is not among the largest")
    bob.abort()
    server.wait_for(lambda: _stats(server)["memory_output"] == 0, "output that is gone")


# What waits counts with all its bytes

def _wait_at_least(server, least, *kinds):
    """Until each of these kinds has so many bytes."""
    server.wait_for(lambda: all(_tallies(server)[kind] >= least for kind in kinds), f"{least} bytes of {kinds}", timeout=5)


def _wait_gone(server, least, *kinds):
    server.wait_for(lambda: all(_tallies(server)[kind] < least for kind in kinds), f"an end of {kinds}: {_tallies(server)}")


@contextlib.contextmanager
def _store_held(server):
    """Nothing can be written to the database, for which the server waits ten seconds."""
    path = os.path.join(server.folder, "data", "comity.sqlite")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


@dedicated(options={"store_log_size": 0, "bytes_per_second": 0})
def what_waits_for_the_store_counts(server):
    """Each message as a stanza that waits, and as what the store was asked to keep."""
    ann, away = Client.login(server.account("ann"), presence=True), server.account("away")
    with _store_held(server):
        for _ in range(10):
            ann.message(away.jid, BIG)
        ann.ping()
        _wait_at_least(server, 10 * len(BIG), "stanzas", "store")
    server.wait_for(lambda: server.stored_messages(away.jid) == 10, "messages in storage")
    _wait_gone(server, len(BIG), "stanzas", "store")


@cases([("that says nothing", {"limit": 0}), ("that acknowledges nothing", {"manages": True})])
@dedicated(start=False)
def what_waits_for_another_server_counts(server, _name, kind):
    del server
    fake = FakeServer(**kind)
    server = federating(fake, s2s_negotiate_timeout="1m", s2s_queue_age="3s")
    ann = Client.login(server.account("ann"))
    for _ in range(10):
        ann.message("bob@x1.fake.test", BIG[:20000])
    ann.ping()
    if fake.manages:
        fake.wait_stanza("message")
    _wait_at_least(server, 10 * 20000, "remote")
    if not fake.manages:
        for _ in range(10):
            ann.expect_error("remote-server-timeout")
        _wait_gone(server, 20000, "remote")


def what_a_client_does_not_acknowledge_counts(server):
    ann, bob = Client.login(server.account("ann"), presence=True), _managed(server.account("bob"), "phone")
    before = _tallies(server)["unacknowledged"]
    for _ in range(10):
        ann.message(bob.jid, BIG[:20000])
    ann.settle()
    _wait_at_least(server, before + 10 * 20000, "unacknowledged")
    for _ in range(10):
        bob.expect("message")
    bob.send(f"<a xmlns='{NS_SM}' h='10'/>")
    _wait_gone(server, before + 20000, "unacknowledged")


class _Mute:
    """A server whose figures cannot be asked for by who looks at them during an attack, nor perhaps afterwards."""

    def __init__(self, server, recovers):
        self.server, self.recovers = server, recovers

    def ctl(self, *words):
        if self.recovers and threading.current_thread() is threading.main_thread():
            return self.server.ctl(*words)
        raise Failure("no answer")


@cases([("during an attack", True), ("nor afterwards", False)])
def figures_that_were_not_seen_bound_nothing(server, _name, recovers):
    """The tests of attacks rely on it."""
    try:
        with figures_bounded(_Mute(server, recovers), memory_output=1 << 40):
            time.sleep(0.1)
    except Failure:
        return
    raise Failure("a bound held at which nobody looked")


# Nothing stays counted

def _busy(server):
    """Sessions of many kinds that do what makes memory come and go; ends them all."""
    ann, bob, carol = (_managed(server.account(name), "one") for name in ("ann", "bob", "carol"))
    other = Client.login(bob.account, "two", presence=True)
    away = server.account("away")
    other.set(f"<enable xmlns='{NS_CARBONS}'/>")
    _befriend(ann, bob)
    ann.set("<query xmlns='jabber:iq:roster'><item jid='x@localhost' name='X'><group>G</group></item></query>")
    ann.set(f"<block xmlns='{NS_BLOCKING}'><item jid='spam@localhost'/><item jid='y@localhost'/></block>")
    ann.set(f"<unblock xmlns='{NS_BLOCKING}'><item jid='y@localhost'/></unblock>")
    carol.send(f"<inactive xmlns='{NS_CSI}'/>")
    for show in ("away", "dnd", "xa"):
        ann.presence(to=carol.jid, payload=f"<show>{show}</show>")
        bob.presence(payload=f"<show>{show}</show>")
    for n in range(20):
        ann.message(bob.jid, f"to bob {n}")
        ann.message(away.jid, f"stored {n}")
        ann.message("nobody@localhost", "to nobody")
        carol.message(bob.bare, BIG[:5000])
    ann.settle()
    bob.abort()
    for n in range(5):
        ann.message(bob.jid, f"meanwhile {n}")
    ann.settle()
    bob = _again(bob, 1)
    bob.expect("resumed", NS_SM)
    late = Client.login(away, "late", presence=True)
    for n in range(20):
        late.expect("message")
    carol.send(f"<active xmlns='{NS_CSI}'/>")
    carol.ping()
    half = Client(server)
    half.secure()
    half.send("<stream:stream to='localhost' xmlns='jabber:client'")
    half.abort()
    # One that is cut off and not resumed, one that ends in the middle of a stanza, and the rest as they should.
    carol.abort()
    server.wait_for(lambda: "cut off" in server.ctl("session", "list", carol.bare), "a session that is cut off")
    server.ctl("session", "kick", carol.jid)
    other.send("<message to='x@localhost'><body>" + BIG[:30000])
    other.abort()
    for client in (ann, bob, late):
        client.drain()
        client.close()


@cases([("one_worker", 1), ("three_workers", 3)])
@dedicated(start=False)
def nothing_stays_counted(server, _name, workers):
    # No account stays in memory without a session.
    server.options = {"idle_accounts": 0, "workers": workers}
    server.start()
    server.wait_for(lambda: not any(_tallies(server).values()), "a beginning with nothing")
    for _ in range(2):
        _busy(server)
        server.wait_for(lambda: not any(_tallies(server).values()), f"an end with nothing: {_tallies(server)}")
    check(_stats(server)["memory_used"] > 0, "nothing is used")


@dedicated(start=False)
def nothing_stays_counted_between_servers(server):
    del server
    # Neither accounts without sessions nor answers of name servers stay in memory.
    nothing = {"idle_accounts": 0, "dns_cache": 0}
    a, b = _pair(options_a=nothing, options_b=nothing)
    juliet, romeo = _users(a, b)
    _befriend(juliet, romeo)
    check(_tallies(a)["presence"] > len(romeo.jid), "whom a user sees is not counted")
    for n in range(20):
        juliet.message(romeo.jid, f"to romeo {n}")
        romeo.message(f"nobody@{A}", BIG[:10000])
    for _ in range(20):
        romeo.expect_error("service-unavailable")
        juliet.message("x@nowhere.invalid", "to nowhere")
    for _ in range(20):
        juliet.expect("message", type="error", timeout=30)
    for client in (juliet, romeo):
        client.drain()
        client.close()
    # Presence of the other side keeps links; what was returned is gone with the answers.
    for one, other in ((a, B), (b, A)):
        one.wait_for(lambda: _stats(one)["memory_remote"] == 0, f"an end of what waits: {_tallies(one)}")
        # Closing it on one side closes it on the other.
        one.ctl("s2s", "close", other, ok=False)
    for one in (a, b):
        one.wait_for(lambda: not any(_tallies(one).values()), f"an end with nothing: {_tallies(one)}")


# Pressure

def _set_limit(server, limit):
    server.options = server.options | {"memory_limit": limit}
    server.write_config()
    server.reload()


def _set_percent(server, percent):
    """Moves the ceiling so that so much of it is used."""
    _set_limit(server, _stats(server)["memory_used"] * 100 // percent)


def _wait_level(server, level):
    server.wait_for(lambda: _stats(server)["memory_level"] == level, f"level {level}: {_stats(server)}")


def _press(server, percent, level):
    """Until that is the level; anew when memory that nothing needed any more was given back meanwhile."""
    for _ in range(5):
        _set_percent(server, percent)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            if _stats(server)["memory_level"] == level:
                return
    _wait_level(server, level)


def _fill(sender, gone, count):
    """Sends so many large messages; waits until what they take has been measured, or messages are refused."""
    server, before = sender.server, _stats(sender.server)["memory_used"]
    for _ in range(count):
        sender.message(gone.jid, BIG)
    sender.ping()
    server.wait_for(lambda: (now := _stats(server))["memory_level"] == 3 or
                    now["memory_used"] > before + count * len(BIG), "memory that was measured")


class _Scene:
    """A server with a large queue for a session that was cut off, and people who are there already."""

    def __init__(self, server):
        self.server = server
        self.ann, self.bob = (Client.login(server.account(name), presence=True) for name in ("ann", "bob"))
        _befriend(self.ann, self.bob)
        self.gone = _managed(server.account("gone"), "away")
        self.gone.abort()
        server.wait_for(lambda: "cut off" in server.ctl("session", "list", self.gone.bare), "a session that is cut off")
        self.account = server.account("new")
        # These have come halfway.
        self.connected, self.unbound = Client(server), Client(server)
        for stream in (self.connected, self.unbound):
            stream.secure()
        self.unbound.authenticate(self.account.user, self.account.password)
        self.unbound.open()

    def fill(self, count):
        _fill(self.ann, self.gone, count)

    def empty(self):
        self.server.ctl("session", "kick", self.gone.jid)

    # What holds at a level

    def logins_are_refused(self):
        for port, ns in ((self.server.c2s, "jabber:client"), (self.server.s2s, NS_SERVER)):
            stream = Client(self.server, port=port)
            stream.open_raw(ns=ns)
            error = stream.expect_stream_error("resource-constraint")
            check("memory" in error.child_text("text", "urn:ietf:params:xml:ns:xmpp-streams"), repr(error))
        for port in (self.server.c2s_tls, self.server.s2s_tls):
            with socket.create_connection((self.server.address, port), 8) as sock:
                equal(sock.recv(1), b"")
        self.connected.auth("PLAIN", "\0x\0y")
        failure = self.connected.expect_failure("temporary-auth-failure")
        check("memory" in failure.child_text("text", failure.ns), repr(failure))
        check_error(self.unbound.bind_raw("r"), "resource-constraint", "wait")

    def chat_goes_on(self):
        for one, other in ((self.ann, self.bob), (self.bob, self.ann)):
            marker = one.message(other.jid, "are you there?")
            other.expect("message", id=marker)

    def presence_goes_on(self):
        self.bob.presence(payload="<show>away</show>")
        equal(self.ann.expect("presence", from_=self.bob.jid).child_text("show"), "away")

    def presence_is_held_back(self, show):
        self.bob.presence(payload=f"<show>{show}</show>")
        for client in (self.bob, self.ann, self.ann):
            client.ping()
        check(all(e.name != "presence" for e in self.ann.inbox), "presence was not held back")

    def presence_is_made_good(self, show):
        equal(self.ann.expect("presence", from_=self.bob.jid).child_text("show"), show)

    def messages_are_refused(self):
        for to in (self.bob.jid, self.bob.bare, self.gone.jid):
            error = self.ann.expect_error("resource-constraint", "wait", "message", self.ann.message(to, "too much"))
            check("memory" in error.path("error").child_text("text", "urn:ietf:params:xml:ns:xmpp-stanzas"), repr(error))
        check_error(self.ann.iq("get", "<ping xmlns='urn:xmpp:ping'/>", to=self.bob.jid), "resource-constraint", "wait")
        self.ann.presence("subscribe", to="x@localhost")
        self.ann.expect_error("resource-constraint", "wait", "presence")
        # Who is there stays, and may ask the server.
        self.ann.roster()
        self.bob.ping()
        self.bob.pump(0.3)
        check(all(e.name != "message" for e in self.bob.inbox), f"a refused message came: {self.bob.inbox}")

    def all_is_well(self):
        client = Client.login(self.account, presence=True)
        marker = client.message(self.bob.jid, "back")
        self.bob.expect("message", id=marker)
        client.close()
        self.chat_goes_on()
        self.presence_goes_on()


@dedicated(options=ROOMY)
def each_level_gives_up_more(server):
    scene = _Scene(server)
    scene.fill(80)
    scene.chat_goes_on()
    equal(_stats(server)["memory_level"], 0)
    _press(server, 84, 1)
    scene.logins_are_refused()
    scene.chat_goes_on()
    scene.presence_goes_on()
    _press(server, 93, 2)
    scene.logins_are_refused()
    scene.presence_is_held_back("dnd")
    scene.chat_goes_on()
    _press(server, 99, 3)
    scene.presence_is_held_back("xa")
    scene.logins_are_refused()
    scene.messages_are_refused()
    # A level is left well below where it is entered.
    _set_percent(server, 94)
    time.sleep(0.5)
    equal(_stats(server)["memory_level"], 3)
    _press(server, 88, 2)
    scene.chat_goes_on()
    check(all(e.name != "presence" for e in scene.ann.drain()), "presence came too early")
    _press(server, 50, 0)
    # What was said last, once.
    scene.presence_is_made_good("xa")
    scene.ann.expect_nothing()
    scene.all_is_well()
    levels = re.findall(r"(warning|info) memory: \d+ of \d+ MiB are used, (.*)", server.log())
    equal([level for level, _ in levels], ["warning"] * 3 + ["info"] * 2)
    stats = _stats(server)
    check(stats["shed_logins"] >= 18 and stats["shed_presence"] >= 2 and stats["shed_stanzas"] == 5, str(stats))


@dedicated(options=ROOMY, timeout=120)
def growth_is_stopped_and_undone(server):
    scene, levels = _Scene(server), [0]
    limit = _stats(server)["memory_used"] + (48 << 20)
    _set_limit(server, limit)
    # It holds about what was sent twice over, and half as much again for a moment.
    scene.fill(60)
    for _ in range(200):
        if levels[-1] == 3:
            break
        scene.fill(2)
        levels.append(_stats(server)["memory_level"])
    equal(sorted(set(levels)), [0, 1, 2, 3])
    equal(levels, sorted(levels))
    scene.messages_are_refused()
    # Which is slow now.
    scene.fill(2)
    check(_stats(server)["memory_used"] < limit, f"{_stats(server)['memory_used']} of {limit}")
    scene.ann.drain()
    # They go to storage, as nobody is logged in for them.
    scene.empty()
    _wait_level(server, 0)
    scene.all_is_well()
    check(server.stored_messages(scene.gone.bare) > 20, "what had been accepted was lost")


@cases([("known", True), ("new", False)])
@dedicated(start=False)
def presence_of_other_servers_is_asked_for_afterwards(server, _name, is_known):
    del server
    a, b = _pair(options_a=ROOMY)
    juliet, romeo = _users(a, b)
    juliet.presence("subscribe", to=romeo.bare)
    romeo.expect("presence", type="subscribe")
    romeo.presence("subscribed", to=juliet.bare)
    juliet.expect("presence", type=None, from_=romeo.jid)
    juliet.drain()
    gone = _managed(a.account("gone"), "away")
    gone.abort()
    _fill(juliet, gone, 60)
    if not is_known:
        romeo.presence("unavailable")
        juliet.expect("presence", type="unavailable", from_=romeo.jid)
    _press(a, 93, 2)
    romeo.presence(payload="<show>dnd</show>")
    # Behind it on the same way.
    juliet.expect("message", id=romeo.message(juliet.jid, "still there"))
    check(all(e.name != "presence" for e in juliet.drain()), "presence was not held back")
    _press(a, 99, 3)
    error = romeo.expect_error("resource-constraint", "wait", "message", romeo.message(juliet.jid, "too much"))
    equal(error["from"], juliet.jid)
    _press(a, 50, 0)
    equal(juliet.expect("presence", from_=romeo.jid).child_text("show"), "dnd")


@dedicated()
def the_default_is_a_part_of_the_machine(server):
    with open("/proc/meminfo") as info:
        total = int(info.readline().split()[1]) * 1024
    limit = _stats(server)["memory_limit"]
    check(16 << 20 < limit <= total * 3 // 4, f"{limit} of {total}")
