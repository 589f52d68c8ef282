# SPDX-License-Identifier: MIT
"""Reloads that change modules and hosts while clients go on."""
import contextlib
import os
import sqlite3
import time

from harness import Client, Comity, cases, check, dedicated, equal
from harness.client import check_error
from harness.server import route_to

FREE = {"bytes_per_second": 0, "stanzas_per_second": 0}
READ_WITH_ACCOUNTS = ["blocking", "carbons", "last", "offline", "presence", "private", "register", "roster", "vcard"]


def _modules(server, *disabled):
    server.text = f'modules_disabled = {{ {", ".join(disabled)} }}' if disabled else ""
    server.write_config()
    server.reload()


def _busy(client, number):
    """What modules watch, in one piece."""
    return "".join(f"<message to='{client.jid}' type='chat' id='b{number}-{n}'><body>x</body></message>"
                   "<presence><status>here</status></presence>"
                   "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>" for n in range(20))


@dedicated(options=FREE)
def modules_are_enabled_under_traffic(server):
    """What is read with accounts is not there at once for those who are logged in."""
    accounts = server.accounts(*["juliet"] * 20)
    clients = [Client.login(account, presence=True) for account in accounts]
    for number in range(4):
        _modules(server, *READ_WITH_ACCOUNTS)
        for client in clients:
            client.send(_busy(client, number))
        server.text = ""
        server.write_config()
        for client in clients:
            client.send(_busy(client, number))
        server.reload()
        for client in clients:
            client.send(_busy(client, number) + "<presence type='unavailable'/><presence/>")
        for client in clients:
            client.ping()
            client.drain()
    _all_modules_work(server, accounts[0], clients)


def _all_modules_work(server, account, clients):
    one, two = clients[:2]
    other = Client.login(account, presence=True)
    one.settle()
    one.drain()
    other.set("<enable xmlns='urn:xmpp:carbons:2'/>")
    one.set(f"<query xmlns='jabber:iq:roster'><item jid='{two.bare}' name='two'/></query>")
    one.message(two.jid, "hello")
    sent = other.expect("message", where=lambda e: e.find("sent") is not None)
    equal(sent["from"], str(one.bare), "copy")
    two.expect("message", where=lambda e: e.child_text("body") == "hello")
    gone = server.account("nurse")
    one.message(gone.jid, "for later")
    one.ping()
    late = Client.login(gone, presence=True)
    late.expect("message", where=lambda e: e.child_text("body") == "for later")


@contextlib.contextmanager
def _without_table(server, name):
    """Nothing of that table can be read for now."""
    with contextlib.closing(sqlite3.connect(os.path.join(server.folder, "data", "comity.sqlite"))) as database:
        database.execute(f"ALTER TABLE {name} RENAME TO hidden")
        database.commit()
        yield
        database.execute(f"ALTER TABLE hidden RENAME TO {name}")
        database.commit()


@dedicated(text="modules_disabled = { private }")
def an_account_that_a_reload_cannot_read_keeps_its_sessions(server):
    """They go on without what was enabled; the next reload has it."""
    one, two = (Client.login(server.account("juliet"), presence=True) for _ in range(2))
    payload = "<query xmlns='jabber:iq:private'><a xmlns='b'/></query>"
    with _without_table(server, "map"):
        _modules(server)
        server.wait_for(lambda: server.log().count("cannot read account") == 2, "accounts that cannot be read")
        one.message(two.jid, "still here")
        two.expect("message", where=lambda e: e.child_text("body") == "still here")
        check_error(one.iq("set", payload), "service-unavailable")
    server.reload()
    one.set(payload)
    one.message(two.jid, "and now")
    two.expect("message", where=lambda e: e.child_text("body") == "and now")


A, B = "a.test", "b.test"


def _hosts(server, *names):
    server.hosts = {name: "" for name in names}
    server.write_config()
    server.reload()


def _body(client, body):
    return client.expect("message", where=lambda e: e.child_text("body") == body)


@dedicated(options=FREE | {"resume_time": "1h"}, hosts={A: "", B: ""})
def a_host_is_removed_and_comes_again(server):
    """Its sessions end, those that wait to be resumed too; what they had not acknowledged is stored."""
    sender = Client.login(server.account("romeo", domain=A), presence=True)
    accounts = [server.account("juliet", domain=B) for _ in range(6)]
    for number in range(3):
        clients = [Client.login(account, presence=True) for account in accounts]
        for client in clients[::2]:
            client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
            client.expect("enabled")
            client.abort()
        server.wait_for(lambda: server.log().count("waits to be resumed") >= 3 * (number + 1), "suspended sessions")
        for client in clients:
            sender.message(client.bare, f"before {number}")
        sender.ping()
        for client in clients:
            sender.send(f"<message to='{client.bare}' type='chat'><body>under way</body></message>" * 20)
        _hosts(server, A)
        for client in clients[1::2]:
            client.expect("error")
            client.abort()
        sender.ping()
        _hosts(server, A, B)
        for account in accounts:
            client = Client.login(account, presence=True)
            if account in accounts[::2]:
                _body(client, f"before {number}")
            sender.message(client.jid, f"after {number}")
            _body(client, f"after {number}")
            client.drain()
            client.close()
        sender.drain()


@dedicated(hosts={A: "", B: ""})
def what_a_module_refuses_changes_nothing(server):
    """However often: hosts, modules and options are those of before."""
    one, two = (Client.login(server.account("juliet", domain=domain), presence=True) for domain in (A, B))
    good = server.hosts
    for bad in ('restricted = { "not a rule at all" }', 'fixed = { "a.test" }'):
        server.hosts = {A: f'modules_enabled = {{ "directory" }}\nmodules_disabled = {{ "ping" }}\nmodule directory {{ {bad} }}'}
        server.write_config()
        code, out = server.ctl("reload", ok=False)
        equal(code, 1)
        check("module directory" in out and bad.split('"')[1] in out, out)
        for client in (one, two):
            client.ping()
        one.message(two.jid, bad)
        two.expect("message", where=lambda e: e.child_text("body") == bad)
        Client.login(server.account("nurse", domain=B), presence=True).close()
    server.hosts = good
    server.write_config()
    server.reload()
    one.ping()


@dedicated(options=FREE)
def what_waits_behind_stored_messages_outlives_their_module(server):
    """They were accepted, and go on when nothing is stored any more."""
    sender, account = Client.login(server.account("romeo"), presence=True), server.account("juliet")
    for number in range(60):
        sender.message(account.jid, f"old {number} " + 50000 * "x")
    sender.ping()
    receiver = Client.login(account)
    receiver.send("<enable xmlns='urn:xmpp:sm:3'/>")
    receiver.expect("enabled")
    receiver.presence()
    receiver.expect("message")
    for number in range(5):
        sender.message(account.jid, f"new {number}")
    sender.ping()
    _modules(server, "offline")
    for number in range(5):
        _body(receiver, f"new {number}")


NS_CSI = "urn:xmpp:csi:0"
NS_SM = "urn:xmpp:sm:3"


def _inactive(account, managed):
    client = Client.login(account, presence=True)
    if managed:
        client.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
        client.enabled = client.expect("enabled", NS_SM)
    client.send(f"<inactive xmlns='{NS_CSI}'/>")
    client.ping()
    return client


def _receipt(client, to, id_):
    return client.message(to.jid, id_=id_, payload=f"<received xmlns='urn:xmpp:receipts' id='{id_}'/>")


def _held(client, wanted=0):
    """What has come, without asking for anything; it is waited for so much, or for silence."""
    end = time.monotonic() + 8
    while client.pump(0.3) or (len(_came(client)) < wanted and time.monotonic() < end):
        pass
    return _came(client)


def _came(client):
    return [e["id"] for e in client.inbox if e["id"] in ("1", "2", "3")]


@cases([("a plain session", False, ["csi"]), ("a managed session", True, ["csi"]),
        ("a plain session, all modules go", False, ["csi", *READ_WITH_ACCOUNTS]),
        ("a managed session, all modules go", True, ["csi", *READ_WITH_ACCOUNTS])])
@dedicated(options=FREE)
def what_a_module_held_back_is_sent_when_it_goes(server, _what, managed, gone):
    """To all sessions of the host, also of one account, and before what comes later."""
    accounts = server.accounts("juliet", "nurse", "tybalt")
    clients = [_inactive(account, managed) for account in [*accounts, accounts[0]]]
    away = _inactive(accounts[1], True)
    sender = Client.login(server.account("romeo"), presence=True)
    for client in [*clients, away]:
        _receipt(sender, client, "1")
        if not managed:
            sender.presence(to=client.jid, id_="2")
        _receipt(sender, client, "3")
    sender.settle()
    for client in clients:
        equal(_held(client), [])
    away.abort()
    server.wait_for(lambda: "waits to be resumed" in server.log(), "a suspended session")
    _modules(server, *gone)
    wanted = ["1", "3"] if managed else ["1", "2", "3"]
    for client in clients:
        equal(_held(client, len(wanted)), wanted)
        _receipt(sender, client, "4")
        client.expect("message", id="4")
    again = Client(server, domain=away.domain)
    again.secure()
    again.authenticate(accounts[1].user, accounts[1].password)
    again.open()
    again.send(f"<resume xmlns='{NS_SM}' previd='{away.enabled['id']}' h='1'/>")
    again.expect("resumed", NS_SM)
    equal([again.expect("message")["id"] for _ in range(2)], ["1", "3"])


@dedicated(options=FREE | {"unacknowledged_stanzas": 10, "max_sessions_per_account": 50})
def what_a_module_held_back_may_end_sessions(server):
    """One after the other, while all are sent what they missed; the others have theirs."""
    many, few = server.accounts("juliet", "nurse")
    ending = [_inactive(many, True) for _ in range(4)]
    going_on = _inactive(few, False)
    account = server.account("romeo")
    # More than three times of what may be unacknowledged, each of another resource.
    senders = [Client.login(account) for _ in range(35)]
    for n, sender in enumerate(senders):
        for client in [*ending, going_on]:
            sender.presence(to=client.jid, id_=f"p{n}")
    for sender in senders:
        sender.ping()
    senders[0].settle(senders[1:])
    _modules(server, "csi")
    for client in ending:
        client.pump_to_end()
    for n in range(len(senders)):
        going_on.expect("presence", id=f"p{n}")
    late = Client.login(many, presence=True)
    late.expect("message", id=senders[0].message(late.jid, "still here"))


@dedicated()
def elements_of_a_module_that_has_gone_are_ignored(server):
    """Clients were told that they may send them; what no module ever took ends the stream."""
    client = _inactive(server.account("juliet"), False)
    _modules(server, "csi")
    for name in ("active", "inactive", "active"):
        client.send(f"<{name} xmlns='{NS_CSI}'/>")
    client.expect_nothing()
    _modules(server)
    client.send(f"<inactive xmlns='{NS_CSI}'/>")
    client.ping()
    _receipt(client, client, "1")
    equal(_held(client), [])
    client.send(f"<active xmlns='{NS_CSI}'/>")
    client.expect("message", id="1")
    _modules(server, "csi")
    client.send(f"<other xmlns='{NS_CSI}'/>")
    client.expect_stream_error("unsupported-stanza-type")


TOLD = ["blocking", "carbons", "presence", "roster", "last"]


def _off_and_on(server, clients):
    for _ in range(2):
        _modules(server, *TOLD)
        for client in clients:
            client.ping()
        _modules(server)
        for client in clients:
            # waits until the account has been read again
            client.expect("message", id=client.message(client.jid, "there?", "headline"))


@dedicated(options=FREE)
def what_clients_asked_of_a_module_outlives_off_and_on(server):
    """They were told that it is so, and not that it is over."""
    account = server.account("juliet")
    told, other, silent = (Client.login(account, presence=True) for _ in range(3))
    told.roster()
    told.get("<blocklist xmlns='urn:xmpp:blocking'/>")
    told.set("<enable xmlns='urn:xmpp:carbons:2'/>")
    for client in (told, other, silent):
        client.drain([told, other, silent])
    _off_and_on(server, [told, other, silent])
    other.set("<block xmlns='urn:xmpp:blocking'><item jid='x@y.test'/></block>")
    told.expect("iq", type="set", where=lambda e: e.find("block") is not None)
    other.set("<query xmlns='jabber:iq:roster'><item jid='tybalt@y.test'/></query>")
    told.expect("iq", type="set", where=lambda e: e.find("query") is not None)
    id_ = other.message(f"nobody@{server.domain}", "hello")
    other.expect_error("service-unavailable", id_=id_)
    told.expect("message", where=lambda e: e.find("sent") is not None)
    check(not silent.drain([other, told]), "it had asked for nothing")
    told.drain([other, silent])
    told.set("<disable xmlns='urn:xmpp:carbons:2'/>")
    _off_and_on(server, [told, other, silent])
    id_ = other.message(f"nobody@{server.domain}", "hello")
    other.expect_error("service-unavailable", id_=id_)
    told.expect_nothing(other)


@cases([("plain", False), ("managed", True)])
@dedicated(options=FREE)
def directed_presence_outlives_off_and_on(server, _what, managed):
    """Who was shown it hears of the end."""
    client, contact = (Client.login(server.account(name), presence=True) for name in ("juliet", "romeo"))
    if managed:
        client.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
        client.expect("enabled")
    client.presence(to=contact.jid)
    contact.expect("presence", from_=client.jid)
    _off_and_on(server, [client, contact])
    client.close()
    contact.expect("presence", from_=client.jid, type="unavailable")
    contact.expect_nothing()


@dedicated(start=False)
def contacts_elsewhere_see_the_users_of_a_host_leave_that_goes(server):
    """Links to other servers go with the host, behind what all workers have said on them."""
    del server
    a = Comity(hosts={"a.test": "", "c.test": ""}, options={"workers": 4})
    b = Comity(domains=("b.test",))
    a.text = route_to("b.test", b.s2s)
    b.text = route_to("a.test", a.s2s) + route_to("c.test", a.s2s)
    a.start()
    b.start()
    romeo = Client.login(b.account("romeo"), presence=True)
    leaving = [Client.login(a.account(f"u{n}", domain="c.test"), presence=True) for n in range(8)]
    for user in leaving:
        romeo.presence("subscribe", to=user.bare)
        user.expect("presence", type="subscribe")
        user.presence("subscribed", to=romeo.bare)
        romeo.expect("presence", type=None, from_=user.jid)
    a.hosts = {"a.test": ""}
    a.write_config()
    a.reload()
    for user in leaving:
        romeo.expect("presence", type="unavailable", from_=user.jid)
