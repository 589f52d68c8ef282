# SPDX-License-Identifier: MIT
"""The host with the fake servers, as the tests see it."""
import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time

from harness import Failure

from .network import Daemon, v4
from .network import v6 as address_v6
from .people import parse

HELPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fakes.py")
FIRST = 100         # number of the first address of the host
ADDRESSES = 64


class Remote(Daemon):
    """Fakes, each with an address of its own. Add them with fake() and names(), then start()."""

    def __init__(self, bed):
        super().__init__(bed.network.host("remote", *range(FIRST, FIRST + ADDRESSES)),
                         os.path.join(bed.network.folder, "remote"))
        self.bed, self.orders, self.numbers = bed, [], itertools.count(FIRST)
        self.events, self.incoming = [], queue.Queue()
        self.calls = 0

    def number(self):
        return next(self.numbers)

    def fake(self, domain, act, number, cert=None, key=None, v6=False, **more):
        self.orders.append({"domain": domain, "act": act, "address": address_v6(number) if v6 else v4(number), "cert": cert, "key": key} | more)

    def names(self, number, upstream, faults):
        """A bad name server; returns its address."""
        self.orders.append({"act": "names", "address": v4(number), "upstream": upstream, "faults": faults})
        return v4(number)

    def start(self):
        path = os.path.join(self.folder, "orders")
        with open(path, "w") as out:
            json.dump(self.orders, out)
        process = self.spawn([sys.executable, HELPER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()
        self.until(event="ready")
        return self

    def _read(self, pipe):
        for line in pipe:
            self.incoming.put(json.loads(line))
        self.incoming.put(None)

    def until(self, timeout=20.0, **wanted):
        """Waits for an event with these values (also one that has been), and removes it."""
        end = time.monotonic() + timeout
        while True:
            for event in self.events:
                if all(event.get(k) == v for k, v in wanted.items()):
                    self.events.remove(event)
                    return event
            try:
                event = self.incoming.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                seen = "\n    ".join(map(str, self.events[-8:]))
                raise Failure(f"the fake servers saw no {wanted} within {timeout:.0f} s, but\n    {seen}") from None
            if event is None:
                raise Failure(f"the fake servers have ended:\n{self.log_tail()}")
            self.events.append(event)

    def call(self, do, **order):
        """Makes a fake connect to the server under test."""
        self.calls += 1
        self.processes[0].stdin.write(json.dumps({"do": do, "call": self.calls} | order) + "\n")
        self.processes[0].stdin.flush()

    def answer(self, timeout=40.0):
        """What came of the last call: an Element, or the text of how the stream ended."""
        event = self.until(timeout, event="answer", call=self.calls)
        return parse(event["xml"]) if event["xml"] else event["end"]

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
