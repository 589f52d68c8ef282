# SPDX-License-Identifier: MIT
"""Profanity in terminals: what its users type and see."""
import os
import re
import shutil
import subprocess

from harness import check
from harness.server import ROOT
from terminal import Terminal


def _trust(home, ca):
    """A folder of authorities as OpenSSL looks them up."""
    folder = os.path.join(home, "ca")
    os.makedirs(folder)
    shutil.copy(ca, os.path.join(folder, "ca.crt"))
    subprocess.run(["openssl", "rehash", folder], check=True, capture_output=True)
    return folder


class Profanity(Terminal):
    """One running profanity of one account."""

    def __init__(self, account, resource="profanity", direct=False, ca=None):
        server = account.server
        super().__init__("profanity", "-a", account.jid, name=f"profanity-{account.user}", parent=server.folder)
        self.account, self.resource = account, resource
        trusted = _trust(self.home, ca or server.ca)
        self.write(".config/profanity/profrc",
                   f"[connection]\ntls.certpath={trusted}\nautoping=0\n"
                   "[ui]\nsplash=false\nintype=false\nresource.message=true\n[notifications]\nmessage=off\n"
                   "[logging]\nchlog=false\nhistory=false\n[presence]\nconsole.presence=all\n")
        self.write(".local/share/profanity/accounts",
                   f"[{account.jid}]\nenabled=true\njid={account.jid}\nserver={server.address}\n"
                   f"port={server.c2s_tls if direct else server.c2s}\npassword={account.password}\n"
                   f"resource={resource}\npresence.last=online\npresence.login=online\n"
                   f"tls.policy={'legacy' if direct else 'force'}\n")

    def online(self):
        self.start()
        self.until(r"logged in successfully")
        return self

    def console(self, command):
        """Types a command in the console window."""
        self.type("/win 1")
        self.type("/clear")
        self.type(command)

    def ask(self, command, pattern):
        """Gives a command again and again until the answer is this."""
        self.console(command)
        return self.until(pattern, repeat=lambda: self.console(command))

    def chat(self, jid):
        """Shows the chat window with someone."""
        self.type("/win 1")
        self.type(f"/msg {jid}")
        self.until(re.escape(jid))

    def quit(self):
        self.type("/win 1")
        self.type("/quit")
        self.until_ended()


def _befriend(one, other):
    for asker, asked in ((one, other), (other, one)):
        a, b = re.escape(asker.account.jid), re.escape(asked.account.jid)
        asker.console(f"/sub request {asked.account.jid}")
        asked.ask("/sub received", a)
        asked.console(f"/sub allow {asker.account.jid}")
        asker.ask(f"/sub show {asked.account.jid}", rf"{b} subscription status: (to|both)")
    for one_side, jid in ((one, other.account.jid), (other, one.account.jid)):
        one_side.ask(f"/sub show {jid}", "subscription status: both")


def logs_in(server):
    with Profanity(server.account("juliet")) as client:
        client.online()
        client.ask("/tls cert", r"(?s)Fingerprint")
        client.quit()


def logs_in_with_direct_tls(server):
    with Profanity(server.account("juliet"), direct=True) as client:
        client.online()
        client.quit()


def wrong_authority_is_noticed(server):
    folder = os.path.join(server.folder, "other-ca")
    subprocess.run([os.path.join(ROOT, "tools/certs"), folder, "other.test"], check=True)
    with Profanity(server.account("juliet"), ca=os.path.join(folder, "ca.crt")) as client:
        client.start()
        client.until(r"(?i)TLS certificate verification failed")
        client.type("/tls deny")
        client.until(r"(?i)failed|disconnected|lost")


def wrong_password_is_told(server):
    account = server.account("juliet")
    account.password = "wrong"
    with Profanity(account) as client:
        client.start()
        client.until(r"Login failed")


def subscription_presence_and_chat(server):
    a, b = server.accounts("juliet", "romeo")
    with Profanity(a) as juliet, Profanity(b) as romeo:
        juliet.online()
        romeo.online()
        _befriend(juliet, romeo)
        juliet.console("/online")
        juliet.ask("/roster", re.escape(b.jid))
        romeo.type('/status set away "gone to Mantua"')
        juliet.ask(f"/status get {b.jid}", r"gone to Mantua")
        juliet.chat(b.jid)
        juliet.type("Wherefore art thou? ä€")
        romeo.chat(a.jid)
        romeo.until("Wherefore art thou\\? ä€")
        romeo.type("here I am")
        juliet.until("here I am")
        romeo.quit()
        juliet.ask(f"/status get {b.jid}", r"offline")


def messages_wait_for_the_absent(server):
    a, b = server.accounts("juliet", "romeo")
    with Profanity(a) as juliet, Profanity(b) as romeo:
        juliet.online()
        juliet.chat(b.jid)
        juliet.type("while you were away")
        juliet.until("while you were away")
        juliet.console("/ping")
        juliet.until(r"(?i)ping response|ping error|pinged server", repeat=None)
        romeo.online()
        romeo.chat(a.jid)
        romeo.until("while you were away")


def two_resources(server):
    a, b = server.accounts("juliet", "romeo")
    with Profanity(a) as juliet, Profanity(b, "desk") as desk, Profanity(b, "phone") as phone:
        juliet.online()
        desk.online()
        _befriend(juliet, desk)
        phone.online()
        juliet.ask(f"/info {b.jid}", r"(?s)desk.*phone|phone.*desk")
        juliet.chat(b.jid)
        juliet.type("/resource set phone")
        juliet.type("to the phone")
        phone.chat(a.jid)
        phone.until("to the phone")
        phone.quit()
        found = juliet.ask(f"/info {b.jid}", r"(?s)Resources \(1\).*desk|Resources:(?!.*phone).*desk")
        check(found, "the phone is gone")


def carbons_show_both_sides(server):
    """What the desk writes and gets in a conversation, the phone shows too."""
    a, b = server.accounts("juliet", "romeo")
    with Profanity(a) as juliet, Profanity(b, "desk") as desk, Profanity(b, "phone") as phone:
        juliet.online()
        desk.online()
        _befriend(juliet, desk)
        phone.online()
        phone.console("/carbons on")
        phone.until(r"(?i)carbons? enabled|carbons on|message carbons")
        juliet.ask(f"/info {b.jid}", r"(?s)desk.*phone|phone.*desk")
        juliet.chat(b.jid)
        juliet.type("/resource set desk")
        juliet.type("to the desk")
        desk.chat(a.jid)
        desk.until("to the desk")
        phone.chat(a.jid)
        phone.until("to the desk")
        desk.type("from the desk")
        juliet.until("from the desk")
        phone.until("from the desk")


def services_of_the_server(server):
    with Profanity(server.account("juliet")) as client:
        client.online()
        client.console(f"/disco info {server.domain}")
        client.until(r"server.{0,40}im|im.{0,40}server|urn:xmpp:ping")
        client.console("/ping")
        client.until(r"(?i)ping response|pinged server")
        client.console(f"/lastactivity get {server.domain}")
        client.until(r"(?i)up since|uptime|last activity|seconds")
