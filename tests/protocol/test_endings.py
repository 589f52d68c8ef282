# SPDX-License-Identifier: MIT
"""What is on its way to a client without stream management when its stream, or the server, ends."""
import array
import contextlib
import fcntl
import os
import signal
import socket
import struct
import termios
import threading
import time

from harness import Client, Comity, Stream, cases, check, dedicated, equal
from harness.attack import NO_RATE, federating, login, start
from harness.fake import NS_SERVER, FakeServer, call, prove, send_message
from harness.server import certificates

NS_SM, FAKE = "urn:xmpp:sm:3", "x1.fake.test"


@contextlib.contextmanager
def _stopped(server):
    """What arrives meanwhile is read in one turn, in its order."""
    server.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, server.process.pid, os.WSTOPPED | os.WNOWAIT)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


@cases([("it has closed, to the bare address", "</stream:stream>", "bare"),
        ("it has closed, to the full address", "</stream:stream>", "jid"),
        ("an error has ended, to the bare address", "<broken/>", "bare")])
@dedicated(start=False, options={"workers": 1})
def no_message_is_lost_on_a_stream_that(server, _what, last, address):
    """Of messages that are read before and behind the end, all have left or are stored."""
    start(server)
    senders = [login(server, "bob") for _ in range(10)]
    stored = 0
    for _ in range(3):
        ann = login(server, "ann")
        ann.settle(senders)
        with _stopped(server):
            for n, bob in enumerate(senders):
                bob.message(getattr(ann, address), "hello")
                if n == 2:
                    ann.send(last)
        ann.pump_to_end()
        for bob in senders:
            bob.ping()
        came = sum(e.name == "message" for e in ann.inbox)
        server.wait_for(lambda: came + server.stored_messages(ann.bare) == len(senders), "the other messages in storage")
        stored += len(senders) - came
        ann.inbox.clear()
    check(stored > 0, "all were read before the end")


@dedicated(start=False, options=NO_RATE | {"output_queue": "16MiB"}, timeout=60)
def what_waits_for_a_slow_client_leaves_before_the_server_does(server):
    """More than the system takes at once; the client begins to read when the server is told to stop."""
    start(server)
    ann, bob = login(server, "ann"), login(server, "bob")
    for n in range(600):
        bob.message(ann.bare, f"{n} " + "x" * 20000)
    bob.ping()
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    came = [int(ann.expect("message", timeout=20).child_text("body").split()[0]) for _ in range(600)]
    equal(came, list(range(600)))
    check(ann.expect("error", "http://etherx.jabber.org/streams").find("system-shutdown") is not None, "another end")
    stopping.join()


def _reset(server, client):
    """Ends the connection by a reset, behind all that was said."""
    unsent = array.array("i", [1])

    def is_sent():
        fcntl.ioctl(client.sock, termios.TIOCOUTQ, unsent)
        return unsent[0] == 0

    server.wait_for(is_sent, "what was said to be with the server's system")
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


@dedicated(start=False, options=NO_RATE | {"workers": 1})
def what_came_before_a_reset_is_read(server):
    """More than is read at once, some of which is answered: it arrives, and then the end is known."""
    start(server)
    ann, bob = login(server, "ann"), login(server, "bob")
    bob.presence(to=ann.jid)
    ann.expect("presence", from_=bob.jid)
    with _stopped(server):
        bob.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
        for n in range(40):
            bob.message(ann.jid, f"{n} " + "x" * 1000)
        _reset(server, bob)
    equal([int(ann.expect("message").child_text("body").split()[0]) for _ in range(40)], list(range(40)))
    ann.expect("presence", type="unavailable", from_=bob.jid)


@dedicated(start=False, options={"workers": 1})
def a_copy_for_a_stream_that_has_ended_is_none(server):
    """What waits for one session is stored when its time is over, though another one, just closed, got a carbon."""
    start(server)
    bob, account = login(server, "bob"), server.account("ann")
    away = Client.login(account, "away", presence=True)
    away.send(f"<enable xmlns='{NS_SM}' resume='true' max='2'/>")
    away.expect("enabled", NS_SM)
    copied = Client.login(account, "copied")
    copied.set("<enable xmlns='urn:xmpp:carbons:2'/>")
    copied.presence()
    copied.settle([away, bob])
    away.abort()
    server.wait_for(lambda: "waits to be resumed" in server.log(), "the session to be away")
    with _stopped(server):
        copied.send("<broken/>")
        time.sleep(0.05)   # so that it is read first
        bob.message(away.jid, "hello")
    copied.pump_to_end()
    check(all(e.name != "message" for e in copied.inbox), "the copy was sent before the end")
    server.wait_for(lambda: server.stored_messages(away.bare) == 1, "the message in storage")


@dedicated(start=False)
def what_came_from_other_servers_is_acknowledged_before_the_end(server):
    """They would send it again, and it would be shown twice."""
    del server
    a = federating(FakeServer())
    absent, stream = a.account("absent"), call(a, FAKE)
    equal(prove(stream, FAKE)["type"], "valid")
    stream.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
    stream.expect_next("enabled")
    with _stopped(a):
        send_message(stream, f"ann@{FAKE}", absent.jid, "once")
        time.sleep(0.05)
        a.process.terminate()
    h = int(stream.expect("a", NS_SM)["h"])
    a.stop()
    equal(h, a.stored_messages(absent.jid), "acknowledged, and stored")


@cases([("at a stop", True, {}), ("when it is idle", False, {"s2s_idle_timeout": "2s"})])
@dedicated(start=False)
def what_crosses_the_end_of_a_stream_between_servers_is_heard(server, _what, is_stop, options):
    """The other server has no stream management, and says something before it has read our last words."""
    del server
    a = federating(FakeServer(), **options)
    absent, stream = a.account("absent"), call(a, FAKE)
    equal(prove(stream, FAKE)["type"], "valid")
    if is_stop:
        a.process.terminate()
    stream.pump_until_goodbye()
    send_message(stream, f"ann@{FAKE}", absent.jid, "crossing")
    stream.send("<unknown/>")   # nothing but stanzas counts
    send_message(stream, f"ann@{FAKE}", absent.jid, "and more")
    stream.send("</stream:stream>")
    stream.expect_eof()
    a.wait_for(lambda: a.stored_messages(absent.jid) == 2, "the messages in storage")


@dedicated(start=False)
def a_server_that_ends_no_stream_does_not_delay_the_stop(server):
    del server
    a = federating(FakeServer())
    stream = call(a, FAKE)
    equal(prove(stream, FAKE)["type"], "valid")
    began = time.monotonic()
    a.stop()
    check(time.monotonic() - began < 2.5, "the stop took long")


def _client_in_handshake(server):
    stream = Client(server)
    stream.open()
    return stream


def _server_in_handshake(server):
    stream = Stream(server, port=server.s2s, domain=server.domain)
    stream.open_raw(ns=NS_SERVER, extra=f" from='{FAKE}'")
    stream.wait_header()
    stream.expect_next("features")
    return stream


@cases([("a client", _client_in_handshake), ("a server", _server_in_handshake)])
@dedicated(start=False)
def a_handshake_does_not_delay_the_stop(server, _who, begin):
    start(server)
    stream = begin(server)
    stream.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    stream.expect_next("proceed")
    began = time.monotonic()
    server.stop()
    check(time.monotonic() - began < 1.5, "the stop took long")


class _Slow(FakeServer):
    def _features(self, connection):
        time.sleep(0.2)
        return super()._features(connection)


@dedicated(start=False)
def what_waits_for_a_server_that_is_being_reached_leaves_before_the_end(server):
    del server
    fake = _Slow()
    a = federating(fake)
    bob = login(a, "bob")
    bob.message(f"ann@{FAKE}", "last words")
    bob.ping()
    a.stop()
    equal(fake.wait_stanza("message")["to"], f"ann@{FAKE}")


@dedicated(start=False)
def what_waits_for_a_server_that_calls_back_leaves_before_the_end(server):
    """The other server has no reason to believe the certificate, and asks this one about its key."""
    del server
    b = Comity(domains=("b.test",))
    a = Comity(domains=("a.test",))
    doubts = {"security": "opportunistic", "ca_file": f'"{certificates("nobody.test")}/nobody.test.crt"'}
    for one, other in ((a, b), (b, a)):
        lines = "".join(f"\t{k} = {v}\n" for k, v in (doubts | {"host": "127.0.0.1", "port": other.s2s}).items())
        one.text = f"route {other.domain} {{\n{lines}}}\n"
    start(a)
    start(b)
    bob, ann = login(a, "bob"), login(b, "ann")
    with _stopped(b):
        bob.message(ann.bare, "last words")
        bob.ping()
        a.process.terminate()
        a.wait_for(lambda: "stopping" in a.log(), "the stop")
        time.sleep(0.15)   # its clients have left
    a.stop()
    equal(ann.expect("message").child_text("body"), "last words")
    check("by dialback" in b.log(), "another proof")


@dedicated(start=False, options={"workers": 1, "stanzas_per_second": 10})
def messages_go_past_a_client_that_cannot_be_reached_any_more(server):
    """It has reset its connection, and much of what it said before is not read yet."""
    start(server)
    account, bob = server.account("ann"), login(server, "bob")
    ann, other = Client.login(account, "a"), Client.login(account, "b", presence=True)
    ann.presence(payload="<priority>5</priority>")
    other.settle([ann, bob])
    for n in range(60):
        ann.message(f"nobody@{ann.bare.split('@')[1]}", f"{n}")
    _reset(server, ann)
    for n in range(4):
        bob.message(ann.bare, f"{n}")
        bob.ping()
    came = [other.expect("message").child_text("body") for _ in range(3)]
    # The first is lost with her, or comes too, if her end is known already.
    equal(came, ["0", "1", "2"] if came[0] == "0" else ["1", "2", "3"])
