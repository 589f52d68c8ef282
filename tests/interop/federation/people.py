# SPDX-License-Identifier: MIT
"""Users: slixmpp clients inside the namespaces, spoken to over pipes in JSON lines."""
import itertools
import json
import os
import queue
import secrets
import subprocess
import sys
import threading
import time

from harness import Failure
from harness.elements import StreamReader

HELPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slixmpp_user.py")
TIMEOUT = 25.0


def parse(xml):
    """One stanza as the client saw it."""
    reader = StreamReader()
    reader.feed(f"<stream xmlns='jabber:client'>{xml}")
    return reader.take()[1][1]


class User:
    """A client that is logged in. Keeps all stanzas in order, so that a test can wait for one of them."""

    _ids = itertools.count(1)

    def __init__(self, server, user, password, resource=None):
        self.server = server
        self.bare = f"{user}@{server.domain}"
        self.resource = resource or f"r{secrets.token_hex(3)}"
        self.full = f"{self.bare}/{self.resource}"
        self.seen, self.incoming = [], queue.Queue()
        self.process = server.host.popen([sys.executable, HELPER], stdin=subprocess.PIPE, text=True,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        threading.Thread(target=self._read, args=(self.process.stdout, "line"), daemon=True).start()
        threading.Thread(target=self._read, args=(self.process.stderr, "error"), daemon=True).start()
        self.errors = []
        self._tell(jid=self.full, password=password, address=server.host.address, port=server.c2s,
                   ca=server.client_ca)

    def _read(self, pipe, kind):
        for line in pipe:
            self.incoming.put((kind, line))
        self.incoming.put((kind, None))

    def _tell(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def _next(self, end):
        """Takes one line of the helper into self.seen; false when time is up."""
        try:
            kind, line = self.incoming.get(timeout=max(0, end - time.monotonic()))
        except queue.Empty:
            return False
        if kind == "error":
            self.errors.append(line or "")
        elif line is None:
            raise Failure(f"{self.full}: the client ended:\n{''.join(self.errors[-30:])}")
        else:
            event = json.loads(line)
            self.seen.append((event["event"], parse(event["xml"]) if "xml" in event else event.get("text", "")))
        return True

    def _until(self, matches, what, timeout):
        end, at = time.monotonic() + timeout, 0
        while True:
            while at < len(self.seen):
                if matches(*self.seen[at]):
                    return self.seen.pop(at)[1]
                at += 1
            if not self._next(end):
                seen = "\n    ".join(f"{n}: {str(d)[:300]}" for n, d in self.seen[-12:]) or "nothing"
                raise Failure(f"{self.full}: no {what} within {timeout:.0f} s; seen:\n    {seen}"
                              + ("\n    " + "".join(self.errors[-5:]) if self.errors else ""))

    def online(self, presence=True):
        """Waits for the login; gets the roster, sends presence."""
        def over(event, _data):
            return event in ("online", "failed")
        text = self._until(over, "login", TIMEOUT)
        if text:
            raise Failure(f"{self.full}: login failed: {text}")
        self.ask("<query xmlns='jabber:iq:roster'/>")
        if presence:
            self.send("<presence/>")    # jabberd2 does not echo it, so what tells that it is in force is
            self.ask("<query xmlns='jabber:iq:roster'/>")
        return self

    def send(self, xml):
        self._tell(send=xml)

    def until(self, name, timeout=TIMEOUT, where=None, **attributes):
        """Waits for a stanza (also one that has been) and removes it. See Element.matches."""
        def fits(event, data):
            return event == "stanza" and data.matches(name, where=where, **attributes)
        return self._until(fits, f"{name} {attributes}", timeout)

    def absent(self, name, where=None, **attributes):
        """Fails if such a stanza has come."""
        while self._next(time.monotonic()):
            pass
        for event, data in self.seen:
            if event == "stanza" and data.matches(name, where=where, **attributes):
                raise Failure(f"{self.full}: unwanted {data}")

    def ask(self, payload, to=None, type_="get", timeout=TIMEOUT):
        """An IQ request and its answer, whatever that is."""
        ident = f"q{next(self._ids)}"
        where = f" to='{to}'" if to else ""
        self.send(f"<iq type='{type_}' id='{ident}'{where}>{payload}</iq>")
        return self.until("iq", timeout, id=ident, where=lambda iq: iq["type"] in ("result", "error"))

    def say(self, to, body, ident=None):
        ident = ident or f"m{next(self._ids)}"
        self.send(f"<message type='chat' to='{to}' id='{ident}'><body>{body}</body></message>")
        return ident

    def stop(self):
        if self.process.poll() is None:
            try:
                self._tell(stop=True)
                self.process.wait(4)
            except (subprocess.TimeoutExpired, OSError):
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()
