# SPDX-License-Identifier: MIT
"""Accounts that are removed while something of theirs is under way: nothing of it is there afterwards, least of all for the
next owner of the name."""
import contextlib
import threading
import time

from harness import Client, Failure, check, dedicated, equal

REMOVE = "<iq type='set' id='r' to='{0}'><query xmlns='jabber:iq:register'><remove/></query></iq>"
CHANGE = ("<iq type='set' id='p' to='{0}'><query xmlns='jabber:iq:register'><username>{1}</username>"
          "<password>another</password></query></iq>")


def _again(server, account):
    """Another owner of the name, who has logged in."""
    server.wait_for(lambda: server.ctl("user", "show", account.jid, ok=False)[0] != 0, "the account to be gone")
    server.ctl("user", "add", account.jid, "--stdin", stdin="otherpass\n")
    account.password = "otherpass"
    return Client.login(account, presence=True)


@dedicated(timeout=60)
def changes_of_a_password_do_not_bring_a_removed_account_back(server):
    """One client changes the password all the time while the administrator removes the account."""
    for n in range(30):
        account = server.account(f"u{n}")
        client = Client.login(account)
        begun, is_over = threading.Event(), threading.Event()

        def change(client=client, account=account, begun=begun, is_over=is_over):
            with contextlib.suppress(Failure, OSError):
                while not is_over.is_set():
                    client.send(CHANGE.format(client.domain, account.jid.split("@")[0]))
                    client.expect("iq", id="p", timeout=5)
                    begun.set()

        changing = threading.Thread(target=change)
        changing.start()
        begun.wait(10)
        time.sleep(n * 0.0007)
        server.ctl("user", "remove", account.jid)
        is_over.set()
        changing.join()
        # What was under way is behind it now.
        Client.login(server.account(f"other{n}")).set("<query xmlns='jabber:iq:private'><x xmlns='y'/></query>")
        check(server.ctl("user", "show", account.jid, ok=False)[0] != 0, "the account is there again")


@dedicated(timeout=60)
def private_data_do_not_outlive_their_account(server):
    """They are stored when it has been read what is there already."""
    for n in range(25):
        account = server.account(f"u{n}")
        client = Client.login(account)
        client.send("<iq type='set' id='p'><query xmlns='jabber:iq:private'><x xmlns='y'>SECRET</x></query></iq>" +
                    REMOVE.format(client.domain))
        client.pump_to_end()
        found = _again(server, account).get("<query xmlns='jabber:iq:private'><x xmlns='y'/></query>")
        equal(found.find("x", "y").text, "")


def blocked_addresses_do_not_outlive_their_account(server):
    """Many changes that are saved one after the other."""
    account = server.account("juliet")
    client = Client.login(account)
    client.send("".join(f"<iq type='set' id='b{n}'><block xmlns='urn:xmpp:blocking'><item jid='u{n}@enemy.test'/></block></iq>"
                        for n in range(60)) + REMOVE.format(client.domain))
    client.pump_to_end()
    blocked = _again(server, account).get("<blocklist xmlns='urn:xmpp:blocking'/>")
    equal([i["jid"] for i in blocked.find_all("item")], [])
