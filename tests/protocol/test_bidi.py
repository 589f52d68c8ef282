# SPDX-License-Identifier: MIT
"""Streams of other servers that go both ways (XEP-0288), and what others do to reach the same domain."""
import contextlib
import threading

from harness import cases, check, dedicated, equal
from harness.attack import federating, login
from harness.fake import FakeServer, call, prove

REMOTE = "x1.fake.test"
PASSES = 5   # seconds; less than it takes until a server that says nothing is given up


def _call_both_ways(server):
    stream = call(server)
    stream.send("<bidi xmlns='urn:xmpp:bidi'/>")
    equal(prove(stream, REMOTE)["type"], "valid")
    return stream


@contextlib.contextmanager
def _in_touch(keeps=False, **options):
    """A server whose user sees ann of the other one, over the stream that it has made and proved; keeps: the one on which
    its key was verified stays."""
    fake = FakeServer()
    server = federating(fake, **options)
    user, stream = login(server), _call_both_ways(server)
    user.presence("subscribe", to=f"ann@{REMOTE}")
    stream.expect("presence", type="subscribe")
    stream.send(f"<presence type='subscribed' from='ann@{REMOTE}' to='{user.bare}'/>"
                f"<presence from='ann@{REMOTE}/r' to='{user.bare}'/>")
    user.expect("presence", from_=f"ann@{REMOTE}/r")
    if not keeps:
        fake.hang_up()
    yield fake, server, user, stream


def _comes(stream, user, text):
    user.message(f"ann@{REMOTE}/r", text)
    stream.expect("message", where=lambda m: m.child_text("body") == text, timeout=PASSES)


def _claim(server):
    """A stranger says that it is the same domain."""
    stranger = call(server)
    stranger.send(f"<db:result from='{REMOTE}' to='a.test'>forged</db:result>")
    return stranger


@dedicated(start=False)
def a_stranger_does_not_take_away_the_presence_of_a_domain(server):
    """To verify its key the domain is called, and refuses."""
    del server
    with _in_touch() as (fake, server, user, stream):
        fake.last_words = ("<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
                           "</stream:stream>")
        equal(_claim(server).expect("result")["type"], "error")
        _comes(stream, user, "still here")
        user.ping()
        check(all(e["type"] != "unavailable" for e in user.inbox if e.name == "presence"), "ann seems to be gone")


@dedicated(start=False)
def a_stranger_does_not_delay_messages_to_a_domain(server):
    """To verify its key the domain is called, and says nothing."""
    del server
    with _in_touch() as (fake, server, user, stream):
        fake.limit = 0
        stranger = _claim(server)
        server.wait_for(lambda: "negotiating" in server.ctl("s2s", "show", REMOTE), "the call")
        _comes(stream, user, "at once")
        stranger.close()


@dedicated(start=False)
def the_stream_that_was_proved_last_is_used(server):
    """Nobody knows of the one before whether it is still alive."""
    del server
    with _in_touch() as (fake, server, user, _stream):
        newer = _call_both_ways(server)
        fake.hang_up()
        _comes(newer, user, "to the newer one")


class _Resuming(FakeServer):
    """It has the first message, and answers <resume/> when it is let."""

    def __init__(self):
        super().__init__(manages=True)
        self.may_answer = threading.Event()

    def _answer(self, connection, e):
        if e.name != "resume":
            super()._answer(connection, e)
            return
        with self.came:
            self.asked.append(e)
            self.came.notify_all()
        threading.Thread(target=self._answer_later, args=(connection, e), daemon=True).start()

    def _answer_later(self, connection, e):
        if self.may_answer.wait(20):
            super()._answer(connection, e)


def _came_to(stream):
    return [e.child_text("body") for e in stream.inbox if e.name == "message"]


@dedicated(start=False)
def messages_do_not_overtake_what_is_not_acknowledged(server):
    """Our own stream is resumed while the other server makes one that goes both ways."""
    del server
    fake = _Resuming()
    server = federating(fake)
    user = login(server)
    user.message(f"ann@{REMOTE}/r", "m1")
    fake.wait_stanzas(1)
    fake.hang_up()
    fake.wait_asked("resume")
    theirs = _call_both_ways(server)
    user.message(f"ann@{REMOTE}/r", "m2")
    user.ping()
    prove(theirs, "x2.fake.test")
    equal(_came_to(theirs), [], "before the first is known to have come")
    fake.may_answer.set()
    fake.wait_stanzas(3)
    equal([s.child_text("body") for s in fake.stanzas if s.name == "message"], ["m1", "m1", "m2"])


@dedicated(start=False)
def what_was_not_acknowledged_goes_the_other_way_when_ours_cannot_be_made_again(server):
    """As with a server behind a firewall: first what it may not have got, then the rest."""
    del server
    fake = FakeServer(manages=True)
    server = federating(fake)
    user = login(server)
    user.message(f"ann@{REMOTE}/r", "m1")
    fake.wait_stanzas(1)
    theirs = _call_both_ways(server)
    user.message(f"ann@{REMOTE}/r", "m2")
    fake.wait_stanzas(2)
    fake.refuse()
    fake.hang_up()
    server.wait_for(lambda: "was lost" in server.log(), "the end of our stream")
    user.message(f"ann@{REMOTE}/r", "m3")
    for text in ("m1", "m2", "m3"):
        equal(theirs.expect("message").child_text("body"), text)


@cases([("ours is gone", False), ("ours is there to verify keys", True)])
@dedicated(start=False)
def who_was_seen_over_a_stream_that_is_lost_is_looked_for(server, _what, keeps):
    """And seen no more when the domain cannot be reached in time."""
    del server
    with _in_touch(keeps, s2s_queue_age="2s", s2s_retry_min="100ms", s2s_retry_max="200ms") as (fake, server, user, stream):
        fake.refuse()
        fake.verdict, fake.believes = None, False
        stream.abort()
        user.expect("presence", type="unavailable", from_=f"ann@{REMOTE}/r", timeout=20)


@dedicated(start=False)
def a_claim_of_a_stranger_does_not_shorten_the_time_of_a_domain(server):
    """What failed to verify it is forgotten: its contacts stay for the usual time after the stream is lost."""
    del server
    with _in_touch(s2s_queue_age="3s", s2s_retry_min="100ms", s2s_retry_max="200ms") as (fake, server, user, stream):
        fake.refuse()
        equal(_claim(server).expect("result")["type"], "error")
        user.pump(3.5)
        stream.abort()
        server.wait_for(lambda: server.log().count("(unreachable)") >= 2, "the next try")
        user.ping()
        check(all(e["type"] != "unavailable" for e in user.inbox if e.name == "presence"), "ann is gone at once")
