# SPDX-License-Identifier: MIT
"""What is on its way to a client without stream management when its stream, or the server, ends."""
import contextlib
import os
import signal
import threading

from harness import cases, check, dedicated, equal
from harness.attack import NO_RATE, login, start


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
