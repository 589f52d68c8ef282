# SPDX-License-Identifier: MIT
"""mcabber, which is built on loudmouth and GnuTLS, in terminals."""
import os
import re
import subprocess

from harness import Client, Failure, check
from harness.server import ROOT
from terminal import Terminal


class Mcabber(Terminal):
    """One running mcabber of one account."""

    def __init__(self, account, resource="mcabber", direct=False, ca=None):
        server = account.server
        super().__init__("mcabber", name=f"mcabber-{account.user}", parent=server.folder)
        self.account, self.resource = account, resource
        self.write(".mcabber/mcabberrc", "\n".join((
            f"set jid = {account.jid}",
            f"set password = {account.password}",
            f"set server = {server.domain}",   # the name that the certificate must have
            f"set port = {server.c2s_tls if direct else server.c2s}",
            f"set resource = {resource}",
            "set disable_random_resource = 1",
            f"set tls = {0 if direct else 1}",
            f"set ssl = {1 if direct else 0}",
            f"set ssl_ca = {ca or server.ca}",
            "set ssl_ignore_checks = 0",
            "set log_win_height = 12",
            "set show_status_in_buffer = 1",
            "set logging = 0",
            "set beep_on_message = 0",
        )) + "\n")

    def online(self):
        self.start()
        self.until(r"Authentication successful|is now online|Connection.*established")
        self.console("/status")
        self.until(r"Your status is", repeat=lambda: self.console("/status"))
        return self

    def console(self, command):
        self.type(command)

    def ask(self, command, pattern):
        """Gives a command again and again until the answer is this."""
        self.console(command)
        return self.until(pattern, repeat=lambda: self.console(command))

    def subscription(self, jid, wanted):
        """What /info says of a contact, which becomes the selected one."""
        self.console(f"/roster search {jid}")
        self.ask("/info", rf"Type: +\w+.*\n?.*Subscription: {wanted}|Subscription: {wanted}")

    def chat(self, jid):
        """Shows the window of a contact."""
        self.console(f"/roster search {jid}")
        self.key("Enter")

    def quit(self):
        self.console("/quit")
        self.until_ended()


def _befriend(one, other):
    for asker, asked in ((one, other), (other, one)):
        asker.console(f"/add {asked.account.jid}")
        asked.until(re.escape(asker.account.jid) + r"> wants to subscribe")
        asked.console(f"/authorization allow {asker.account.jid}")
    one.subscription(other.account.jid, "both")
    other.subscription(one.account.jid, "both")


def logs_in(server):
    with Mcabber(server.account("juliet")) as client:
        client.online()
        client.quit()


def wrong_authority_is_noticed(server):
    folder = os.path.join(server.folder, "other-ca")
    subprocess.run([os.path.join(ROOT, "tools/certs"), folder, "other.test"], check=True)
    with Mcabber(server.account("juliet"), ca=os.path.join(folder, "ca.crt")) as client:
        client.start()
        client.until(r"Certificate is not trusted")
        try:
            client.until("Authentication successful", timeout=2)
        except Failure:
            return
        check(False, "mcabber logged in though it does not trust the certificate")


def subscription_presence_and_chat(server):
    a, b = server.accounts("juliet", "romeo")
    with Mcabber(a) as juliet, Mcabber(b) as romeo:
        juliet.online()
        romeo.online()
        _befriend(juliet, romeo)
        romeo.console("/status away gone to Mantua")
        juliet.until("gone to Mantua")
        juliet.console(f"/say_to {b.jid} Wherefore art thou? ä€")
        romeo.chat(a.jid)
        romeo.until("Wherefore art thou\\? ä€")
        romeo.type("here I am")
        juliet.chat(b.jid)
        juliet.until("here I am")
        romeo.quit()
        juliet.until(r"(?i)buddy status has changed.*\[_\]|\[a>_\]")


def messages_wait_for_the_absent(server):
    a, b = server.accounts("juliet", "romeo")
    with Mcabber(a) as juliet, Mcabber(b) as romeo:
        juliet.online()
        juliet.console(f"/say_to {b.jid} while you were away")
        juliet.console(f"/request ping {server.domain}")
        romeo.online()
        romeo.chat(a.jid)
        romeo.until("while you were away")


def vcards_are_seen(server):
    a, b = server.accounts("juliet", "romeo")
    setter = Client.login(b)
    setter.set("<vCard xmlns='vcard-temp'><FN>Romeo Montague</FN></vCard>")
    setter.close()
    with Mcabber(a) as juliet:
        juliet.online()
        juliet.console(f"/roster search {b.jid}")
        juliet.console(f"/add {b.jid}")
        juliet.console(f"/request vcard {b.jid}")
        juliet.chat(b.jid)
        juliet.until("Romeo Montague")


def two_resources(server):
    a, b = server.accounts("juliet", "romeo")
    with Mcabber(a) as juliet, Mcabber(b, "desk") as desk, Mcabber(b, "phone") as phone:
        juliet.online()
        desk.online()
        _befriend(juliet, desk)
        phone.online()
        juliet.ask("/info", r"(?s)Resource:.*desk.*Resource:.*phone|Resource:.*phone.*Resource:.*desk")
        juliet.console(f"/say_to {b.jid}/phone to the phone")
        phone.chat(a.jid)
        phone.until("to the phone")
        phone.quit()
        juliet.until(r"(?i)status has changed.*_\]")
