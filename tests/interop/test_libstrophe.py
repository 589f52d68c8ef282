# SPDX-License-Identifier: MIT
"""A small client made with libstrophe, which profanity and others are built on."""
import os
import queue
import shutil
import subprocess
import threading
import time
import xml.etree.ElementTree as ET

from harness import Failure, Skip, cases, check, equal
from harness.server import ROOT, shared_folder

TIMEOUT = 20
HERE = os.path.dirname(os.path.abspath(__file__))
CLIENT = "{jabber:client}"


def _program():
    """Compiles the client once per run."""
    path = os.path.join(shared_folder(), "strophe_client")
    if not os.path.exists(path):
        if not shutil.which("cc") or not os.path.exists("/usr/include/strophe.h"):
            raise Skip("libstrophe-dev is not installed")
        done = subprocess.run(["cc", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-O1", "-o", path,
                               os.path.join(HERE, "strophe_client.c"), "-lstrophe"], capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"strophe_client.c does not compile:\n{done.stderr}")
    return path


class Strophe:
    """One running client; lines it prints go to a queue."""

    def __init__(self, account, resource=None, direct=False, ca=None):
        server = account.server
        self.account = account
        self.log = open(os.path.join(server.folder, f"strophe-{account.user}-{time.monotonic_ns()}.log"), "w+")
        jid = account.jid + (f"/{resource}" if resource else "")
        self.process = subprocess.Popen(
            [_program(), jid, account.password, ca or server.ca, server.address,
             str(server.c2s_tls if direct else server.c2s), "direct" if direct else "starttls"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.lines = queue.Queue()
        self.seen = []
        self.jid = None
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put("ended")

    def command(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def until(self, condition, what):
        """Waits for a line, also one that has been passed over, and removes it."""
        end = time.monotonic() + TIMEOUT
        tried = 0
        while True:
            for i in range(tried, len(self.seen)):
                found = condition(self.seen[i])
                if found is not None and found is not False:
                    del self.seen[i]
                    return found
            tried = len(self.seen)
            try:
                self.seen.append(self.lines.get(timeout=max(0, end - time.monotonic())))
            except queue.Empty:
                raise Failure(f"libstrophe {self.account.jid}: no {what}; seen:\n    " + "\n    ".join(self.seen)
                              + "\n  its log:\n" + self.log_text()[-3000:]) from None

    def log_text(self):
        self.log.flush()
        with open(self.log.name) as log:
            return log.read()

    def online(self, presence=True):
        line = self.until(lambda x: x.startswith(("secured ", "insecure ")) and x, "login")
        check(line.startswith("secured "), line)
        self.jid = line.split(" ", 1)[1]
        self.command("roster")
        self.stanza("iq", "roster answer", id="roster", type="result")
        if presence:
            self.command("presence")
            self.stanza("presence", "presence of oneself", from_=self.jid)
        return self

    def stanza(self, name, what, where=None, **attrs):
        def look(line):
            if not line.startswith("stanza <" + name):
                return None
            element = ET.fromstring(line[7:].replace(f"<{name}", f"<{name} xmlns='jabber:client'", 1)
                                    if "xmlns=\"jabber:client\"" not in line.split(">")[0] else line[7:])
            for key, wanted in attrs.items():
                if element.get(key.rstrip("_")) != wanted:
                    return None
            return element if where is None or where(element) else None
        return self.until(look, what)

    def roster(self):
        """{jid: subscription}"""
        self.command("roster")
        answer = self.stanza("iq", "roster", id="roster", type="result")
        return {i.get("jid"): i.get("subscription") for i in answer.iter("{jabber:iq:roster}item")}

    def message(self, body):
        return self.stanza("message", f"message {body!r}", lambda m: m.findtext(CLIENT + "body") == body)

    def quit(self):
        if self.process.poll() is None:
            self.command("quit")
            try:
                self.process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                raise Failure("libstrophe does not end after disconnecting") from None

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
        self.clients.append(Strophe(account, **args))
        return self.clients[-1]


def _befriend(one, other):
    for asker, asked in ((one, other), (other, one)):
        a, b = asker.account.jid, asked.account.jid
        asker.command(f"presence subscribe {b}")
        asked.stanza("presence", "request", type="subscribe", from_=a)
        asked.command(f"presence subscribed {a}")
        asker.stanza("presence", "approval", type="subscribed", from_=b)
        asker.stanza("presence", "presence", from_=asked.jid, type=None)
    equal(one.roster(), {other.account.jid: "both"}, "roster")
    equal(other.roster(), {one.account.jid: "both"}, "roster")


@cases(["starttls", "direct"])
def logs_in(server, how):
    with _Stage() as stage:
        client = stage.add(server.account("juliet"), direct=how == "direct").online()
        log = client.log_text()
        check("SCRAM-SHA-256" in log or "SCRAM-SHA-1" in log, "SCRAM was not used")
        client.quit()


def wrong_authority_is_noticed(server):
    folder = os.path.join(server.folder, "other-ca")
    subprocess.run([os.path.join(ROOT, "tools/certs"), folder, "other.test"], check=True)
    with _Stage() as stage:
        client = stage.add(server.account("juliet"), ca=os.path.join(folder, "ca.crt"))
        client.until(lambda line: line.startswith("disconnected"), "refusal")


def subscription_presence_and_chat(server):
    with _Stage() as stage:
        juliet, romeo = (stage.add(a).online() for a in server.accounts("juliet", "romeo"))
        equal(juliet.roster(), {}, "roster of a new account")
        _befriend(juliet, romeo)
        juliet.command(f"chat {romeo.account.jid} Wherefore art thou? ä€😀 <&>")
        equal(romeo.message("Wherefore art thou? ä€😀 <&>").get("from"), juliet.jid)
        romeo.command(f"chat {juliet.jid} here")
        juliet.message("here")
        romeo.quit()
        juliet.stanza("presence", "end", type="unavailable", from_=romeo.jid)


def messages_wait_for_the_absent(server):
    with _Stage() as stage:
        juliet, romeo = server.accounts("juliet", "romeo")
        sender = stage.add(juliet).online()
        for i in range(3):
            sender.command(f"chat {romeo.jid} away {i}")
        sender.roster()
        receiver = stage.add(romeo).online()
        for i in range(3):
            message = receiver.message(f"away {i}")
            check(message.find("{urn:xmpp:delay}delay") is not None, "no delay on a stored message")


def vcards_are_kept_and_seen(server):
    with _Stage() as stage:
        juliet, romeo = (stage.add(a).online() for a in server.accounts("juliet", "romeo"))
        juliet.command("set-vcard Juliet Capulet ä")
        juliet.stanza("iq", "answer", id="set-vcard", type="result")
        for asker, argument in ((juliet, ""), (romeo, f" {juliet.account.jid}")):
            asker.command("vcard" + argument)
            answer = asker.stanza("iq", "vCard", id="vcard", type="result")
            equal(answer.findtext("{vcard-temp}vCard/{vcard-temp}FN"), "Juliet Capulet ä")


def two_resources(server):
    with _Stage() as stage:
        juliet, romeo = (stage.add(a).online() for a in server.accounts("juliet", "romeo"))
        _befriend(juliet, romeo)
        phone = stage.add(romeo.account, resource="phone").online()
        equal(phone.jid, f"{romeo.account.jid}/phone")
        juliet.stanza("presence", "second resource", from_=phone.jid)
        juliet.command(f"chat {phone.jid} to the phone")
        phone.message("to the phone")
        juliet.command(f"chat {romeo.account.jid} to both")
        phone.message("to both")
        romeo.message("to both")
        phone.quit()
        juliet.stanza("presence", "end", type="unavailable", from_=phone.jid)
