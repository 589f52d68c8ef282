# SPDX-License-Identifier: MIT
"""xmpp.js from npm, the library of web and node clients: it resumes by itself (XEP-0198) over cut
connections and restarts of the server."""
import json
import os
import queue
import re
import shutil
import subprocess
import threading
import time

from harness import Failure, Skip, cases, check, dedicated, equal
from harness.server import shared_folder

TIMEOUT = 30
INSTALL_TIMEOUT = 50
HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(HERE, "xmppjs")
# What npm says when the registry is out of reach, unlike a package that is not there or not what was pinned.
UNREACHABLE = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|"
                         r"ERR_SOCKET_TIMEOUT|ENOTCACHED|E50[0-9]|FETCH_ERROR)\b")
RESTARTS = [("gracefully", False), ("after_a_kill", True)]


def _install():
    """The folder with the client and the library, made once per run outside the checkout. npm's cache is in the
    build folder, so that later runs need no network."""
    folder = os.path.join(shared_folder(), "xmppjs")
    done = os.path.join(folder, "done")
    if os.path.exists(done):
        return folder
    if not shutil.which("node") or not shutil.which("npm"):
        raise Skip("node and npm are not installed")
    os.makedirs(folder, exist_ok=True)
    for name in ("package.json", "package-lock.json", "client.js"):
        shutil.copy(os.path.join(SOURCE, name), folder)
    cache = os.path.join(os.path.abspath(os.environ.get("COMITY_BUILD", folder)), "npm-cache")
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--cache", cache,
               "--fetch-retries", "1", "--fetch-retry-mintimeout", "1000", "--loglevel", "error"]
    try:
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                             timeout=INSTALL_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise Skip(f"the npm registry does not answer within {INSTALL_TIMEOUT} s") from None
    found = UNREACHABLE.search(ran.stderr)
    if ran.returncode and found:
        raise Skip(f"the npm registry cannot be reached: {found.group()}")
    if ran.returncode:
        raise Failure(f"npm ci ended with exit code {ran.returncode}:\n{ran.stderr}")
    open(done, "w").close()
    return folder


class XmppJs:
    """One running client; what it tells goes to a queue."""

    def __init__(self, account, resource=None, direct=False, ca=None):
        server = account.server
        self.account = account
        self.log = open(os.path.join(server.folder, f"xmppjs-{account.user}-{time.monotonic_ns()}.log"), "w+")
        service = f"xmpps://localhost:{server.c2s_tls}" if direct else f"xmpp://localhost:{server.c2s}"
        folder = _install()
        self.process = subprocess.Popen(
            ["node", "--dns-result-order=ipv4first", "client.js", service, account.domain, account.user,
             account.password, *([resource] if resource else [])], cwd=folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            env=os.environ | {"NODE_EXTRA_CA_CERTS": ca or server.ca})
        self.told = queue.Queue()
        self.passed = []
        self.jid = None
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.told.put(json.loads(line))
        self.told.put({"event": "ended"})

    def do(self, command, **args):
        self.process.stdin.write(json.dumps({"command": command, **args}) + "\n")
        self.process.stdin.flush()

    def until(self, event, where=None, timeout=TIMEOUT, **wanted):
        """Waits for an event, also one that has been passed over, and removes it."""
        end, tried = time.monotonic() + timeout, 0
        while True:
            for i in range(tried, len(self.passed)):
                it = self.passed[i]
                if it["event"] == event and all(it.get(k.rstrip("_")) == v for k, v in wanted.items()) \
                        and (where is None or where(it)):
                    return self.passed.pop(i)
            tried = len(self.passed)
            try:
                it = self.told.get(timeout=max(0, end - time.monotonic()))
                self.passed.append(it)
                if it["event"] == "ended":
                    raise queue.Empty
            except queue.Empty:
                raise Failure(f"xmpp.js {self.account.jid}: no {event} {wanted}; told:\n    " + "\n    ".join(
                    map(str, self.passed[-40:])) + "\n  its log:\n" + self.log_text()[-3000:]) from None

    def log_text(self):
        self.log.flush()
        with open(self.log.name) as log:
            return log.read()

    def online(self):
        told = self.until("online")
        check(told["secure"], "the stream is not secured")
        self.jid = told["jid"]
        enabled = self.until("nonza", name="enabled")["xml"]
        check('resume="true"' in enabled, f"no resumption: {enabled}")
        self.do("presence")
        self.until("presence", from_=self.jid)
        return self

    def bodies(self, count):
        """The bodies of the next messages, in the order they came in."""
        return [self.until("message")["body"] for _ in range(count)]

    def settle(self):
        """All that this client has sent before has been handled, and what that sent to it is here."""
        self.do("ping")
        self.until("pong", type="result")

    def nothing_more(self):
        self.settle()
        more = [it for it in self.passed if it["event"] == "message"]
        check(not more, f"{self.account.jid}: too many messages: {more}")

    def cut(self):
        self.do("cut")
        self.until("status", status="disconnect")

    def resumed(self):
        told = self.until("resumed")
        equal(told["jid"], self.jid, "address after resumption")
        check(told["secure"], "the stream is not secured")
        check(not any(it["event"] in ("online", "fail") for it in self.passed), f"logged in anew: {self.passed}")
        return told

    def quit(self):
        self.do("stop")
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            raise Failure("xmpp.js does not end after stop()") from None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.log.close()


class _Stage:
    """Starts clients and makes sure that none is left."""

    def __init__(self):
        self.clients = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.kill()

    def add(self, account, **args):
        self.clients.append(XmppJs(account, **args))
        return self.clients[-1]

    def pair(self, server):
        one, other = (self.add(a) for a in server.accounts("juliet", "romeo"))
        return one.online(), other.online()


def _numbers(name, count):
    return [f"{name} {n}" for n in range(count)]


@cases(["starttls", "direct"])
def logs_in_and_chats(server, how):
    with _Stage() as stage:
        juliet, romeo = (stage.add(a, direct=how == "direct") for a in server.accounts("juliet", "romeo"))
        juliet.online(), romeo.online()
        juliet.do("chat", to=romeo.jid, bodies=["Wherefore art thou? ä€😀 <&>"])
        equal(romeo.until("message")["from"], juliet.jid)
        romeo.do("chat", to=juliet.account.jid, bodies=["here"])
        equal(juliet.bodies(1), ["here"])
        # The library asks, the server acknowledges.
        romeo.until("ack", name="message", id="here")
        juliet.quit()
        romeo.quit()


def wrong_authority_is_noticed(server):
    with _Stage() as stage:
        client = stage.add(server.account("juliet"), ca=os.devnull)
        client.until("error", where=lambda it: "certificate" in it["text"])


@cases(["starttls", "direct"])
def resumes_after_a_cut(server, how):
    with _Stage() as stage:
        juliet, romeo = (stage.add(a, direct=how == "direct").online() for a in server.accounts("juliet", "romeo"))
        romeo.do("hold")
        romeo.until("held")
        romeo.cut()
        juliet.do("chat", to=romeo.jid, bodies=_numbers("full", 5))
        juliet.do("chat", to=romeo.account.jid, bodies=_numbers("bare", 5))
        juliet.settle()
        romeo.do("release")
        romeo.resumed()
        equal(romeo.bodies(10), _numbers("full", 5) + _numbers("bare", 5))
        romeo.nothing_more()
        romeo.do("chat", to=juliet.jid, bodies=["back"])
        equal(juliet.bodies(1), ["back"])


def what_was_on_its_way_out_is_sent_once(server):
    with _Stage() as stage:
        juliet, romeo = stage.pair(server)
        bodies = []
        for turn in range(3):
            bodies += _numbers(f"turn {turn}", 20)
            juliet.do("chatAndCut", to=romeo.jid, bodies=bodies[-20:])
            juliet.resumed()
        juliet.settle()
        equal(romeo.bodies(60), bodies)
        romeo.nothing_more()
        for body in bodies:
            juliet.until("ack", id=body)


@dedicated(timeout=120)
@cases(RESTARTS)
def resumes_over_a_restart(server, _name, hard):
    with _Stage() as stage:
        juliet, romeo = stage.pair(server)
        juliet.do("chat", to=romeo.jid, bodies=_numbers("before", 5))
        equal(romeo.bodies(5), _numbers("before", 5))
        romeo.do("hold")
        romeo.until("held")
        romeo.cut()
        juliet.do("chat", to=romeo.jid, bodies=_numbers("away", 5))
        for body in _numbers("away", 5):
            juliet.until("ack", id=body)
        server.restart(hard=hard)
        juliet.resumed()
        juliet.do("chat", to=romeo.jid, bodies=_numbers("after", 5))
        juliet.settle()
        romeo.do("release")
        romeo.resumed()
        equal(romeo.bodies(10), _numbers("away", 5) + _numbers("after", 5))
        romeo.nothing_more()
        juliet.nothing_more()
        check(not [it for it in juliet.passed if it["event"] == "fail"], "xmpp.js gave up a stanza")


@dedicated(timeout=120)
@cases(RESTARTS)
def what_was_on_its_way_at_a_restart_arrives_once(server, _name, hard):
    with _Stage() as stage:
        juliet, romeo = stage.pair(server)
        bodies = []
        for turn in range(2):
            bodies += _numbers(f"turn {turn}", 50)
            juliet.do("chat", to=romeo.jid, bodies=bodies[-50:])
            server.restart(hard=hard)
            juliet.resumed()
            romeo.resumed()
        juliet.settle()
        equal(romeo.bodies(100), bodies)
        romeo.nothing_more()


def a_session_that_is_over_is_begun_anew(server):
    with _Stage() as stage:
        juliet, romeo = stage.pair(server)
        romeo.do("hold")
        romeo.until("held")
        romeo.cut()
        juliet.do("chat", to=romeo.account.jid, bodies=["waits"])
        juliet.settle()
        server.ctl("session", "kick", romeo.jid)
        romeo.do("release")
        romeo.until("online")
        romeo.do("presence")
        equal(romeo.bodies(1), ["waits"])
        romeo.nothing_more()
