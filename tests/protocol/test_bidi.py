# SPDX-License-Identifier: MIT
"""Streams of other servers that go both ways (XEP-0288), and what others do to reach the same domain."""
import contextlib

from harness import check, dedicated, equal
from harness.attack import federating, login
from harness.fake import FakeServer, call, prove

REMOTE = "x1.fake.test"
PASSES = 5   # seconds; less than it takes until a server that says nothing is given up


@contextlib.contextmanager
def _in_touch():
    """A server whose user sees ann of the other one, over the stream that it has made and proved."""
    fake = FakeServer()
    server = federating(fake)
    user, stream = login(server), call(server)
    stream.send("<bidi xmlns='urn:xmpp:bidi'/>")
    equal(prove(stream, REMOTE)["type"], "valid")
    user.presence("subscribe", to=f"ann@{REMOTE}")
    stream.expect("presence", type="subscribe")
    stream.send(f"<presence type='subscribed' from='ann@{REMOTE}' to='{user.bare}'/>"
                f"<presence from='ann@{REMOTE}/r' to='{user.bare}'/>")
    user.expect("presence", from_=f"ann@{REMOTE}/r")
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
        newer = call(server)
        newer.send("<bidi xmlns='urn:xmpp:bidi'/>")
        equal(prove(newer, REMOTE)["type"], "valid")
        fake.hang_up()
        _comes(newer, user, "to the newer one")
