# SPDX-License-Identifier: MIT
"""What tests of attacks share: a server whose memory can be measured, innocents who go on meanwhile, raw sockets."""
import contextlib
import ctypes
import os
import re
import resource
import socket
import struct
import subprocess
import threading
import time

from .checks import Failure, check
from .client import Client
from .server import Comity
from .stream import fresh_source

MIB = 1 << 20
NO_RATE = {"bytes_per_second": 0, "stanzas_per_second": 0}
PATIENCE = 6.0   # seconds that an innocent waits for one message; two busy cores and sanitizers are slow


def start(server):
    """Starts it so that memory that was given back is not kept by a sanitizer, with as many descriptors as allowed."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    usual = server.environment()
    usual["ASAN_OPTIONS"] += ":quarantine_size_mb=4:thread_local_quarantine_size_kb=64:allocator_release_to_os_interval_ms=100"
    server.environment = lambda: usual
    return server.start()


def federating(fake, text="", **options):
    """A server of a.test without rates, for which the fake one has all of fake.test."""
    server = Comity(domains=("a.test",), options=NO_RATE | options)
    server.text = route("*.fake.test", fake) + text
    return start(server)


def route(domain, fake):
    return f"route {domain} {{\n\thost = 127.0.0.1\n\tport = {fake.port}\n\tsecurity = insecure\n}}\n"


def login(server, name="user", presence=True):
    """A client of a new account, which it names."""
    account = server.account(name)
    client = Client.login(account, presence=presence)
    client.account = account
    return client


def subscribe(contact, user):
    contact.presence("subscribe", to=user.bare)
    user.expect("presence", type="subscribe", from_=contact.bare)
    user.presence("subscribed", to=contact.bare)
    contact.expect("presence", type=None, from_=user.jid)


def memory(server):
    """The process's own share of memory in bytes."""
    with open(f"/proc/{server.process.pid}/smaps_rollup") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) * 1024


def seconds_of(server):
    """The processor time that the server has used."""
    with open(f"/proc/{server.process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stats(server):
    """The figures of `comityctl stats` by name."""
    rows = (line.split() for line in server.ctl("stats").splitlines()[1:])
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


@contextlib.contextmanager
def often(look):
    """Calls it again and again while what is inside goes on."""
    over = threading.Event()

    def watch():
        while not over.wait(0.005):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@contextlib.contextmanager
def bounded(server, mebibytes):
    """What happens inside may cost so much memory at its highest, as seen every 50 ms, and no more."""
    before, highest, over = memory(server), [0], threading.Event()

    def watch():
        while not over.wait(0.05):
            with contextlib.suppress(OSError, StopIteration):
                highest[0] = max(highest[0], memory(server))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
        highest[0] = max(highest[0], memory(server))
    finally:
        over.set()
        watcher.join()
    grown = (highest[0] - before) / MIB
    check(grown <= mebibytes, f"the server grew by {grown:.1f} MiB, wanted at most {mebibytes}")


@contextlib.contextmanager
def figures_bounded(server, **most):
    """While what is inside goes on, no figure of `comityctl stats` that is named may be more than is said; yields the
    highest that were seen."""
    highest, count = dict.fromkeys(most, 0), [0]

    def look():
        seen = stats(server)
        highest.update({name: max(highest[name], seen[name]) for name in most})

    def glimpse():
        """Who is attacked may be slow to answer, but not each time."""
        with contextlib.suppress(Failure, OSError, subprocess.SubprocessError):
            look()
            count[0] += 1

    with often(glimpse):
        yield highest
    look()
    check(count[0] > 0, "the figures were not seen once while it went on")
    over = [f"{name} was {highest[name]}, wanted at most {most[name]}" for name in most if highest[name] > most[name]]
    check(not over, "; ".join(over))


def slowest_ping(sender, to, count, size, type_="chat"):
    """Sends so many messages of that size, and pings meanwhile; the seconds that the slowest ping took, and the last
    message that came back, or None."""
    slowest, returned = 0.0, None
    for number in range(count):
        sender.message(to, "x" * size, type_)
        if number % 20 == 0:
            began = time.monotonic()
            sender.ping()
            slowest = max(slowest, time.monotonic() - began)
            returned = next((e for e in reversed(sender.inbox) if e.name == "message" and e["type"] == "error"), returned)
            sender.inbox.clear()
            sender.transcript.clear()
    return slowest, returned


def send_until_cut_off(server, stream, words):
    """Says it again and again without reading, until the server hangs up for that."""
    stream.sock.settimeout(10)
    began = time.monotonic()
    with contextlib.suppress(OSError):
        while "does not read" not in server.log() and time.monotonic() - began < 15:
            stream.sock.sendall(words)
    check("does not read" in server.log(), "it was not cut off")


def bytes_at_end(server):
    """The most that waited for a peer that was cut off because it did not read."""
    found = re.findall(r"does not read: (\d+) bytes wait, closing", server.log())
    check(found, "nobody was cut off")
    return max(map(int, found))


class Innocents:
    """Two users who write to each other as long as the block lasts; each message must come in time."""

    def __init__(self, server):
        self.pair = [Client.login(a, presence=True) for a in server.accounts("good", "kind")]
        self.count, self.slowest, self.failure = 0, 0.0, None
        self.over = threading.Event()

    def exchange(self, number):
        for sender, receiver in (self.pair, self.pair[::-1]):
            started = time.monotonic()
            receiver.expect("message", id=sender.message(receiver.jid, f"still here {number}"), timeout=PATIENCE)
            self.slowest = max(self.slowest, time.monotonic() - started)

    def run(self):
        try:
            while not self.over.is_set():
                self.exchange(self.count)
                self.count += 1
                for one in self.pair:
                    one.transcript.clear()
                self.over.wait(0.01)
        except Exception as error:  # told by the thread of the test
            self.failure = error

    def __enter__(self):
        self.exchange("before")
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self.over.set()
        self.thread.join(3 * PATIENCE)
        if kind is None:
            if self.failure:
                raise Failure(f"an innocent was harmed: {self.failure}")
            check(not self.thread.is_alive() and self.count > 0, "innocents had no turn")
            self.exchange("after")


def connect(server, port=None, source=None):
    """A bare socket to a port of the server."""
    return socket.create_connection((server.address, port or server.c2s), 8, (source or fresh_source(), 0))


def vanish(sock):
    """From now on nothing that is sent to it is heard or acknowledged, as if its machine were gone without a word."""
    rule = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))   # of a socket filter: keep no byte
    sock.setsockopt(socket.SOL_SOCKET, 26, struct.pack("@HP", 1, ctypes.addressof(rule)))   # SO_ATTACH_FILTER


def read_all(sock, seconds):
    """All bytes until the server closes; fails when it does not within that time."""
    end, data = time.monotonic() + seconds, b""
    try:
        while True:
            sock.settimeout(max(end - time.monotonic(), 0.01))
            piece = sock.recv(65536)
            if not piece:
                return data
            data += piece
    except ConnectionError:
        return data
    except (TimeoutError, socket.timeout):
        raise Failure(f"the server keeps the connection; it sent {data[-300:]!r}") from None
