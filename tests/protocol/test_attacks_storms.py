# SPDX-License-Identifier: MIT
"""Storms and floods of users who have logged in: requests, presence, rosters, subscriptions, messages to the absent, and
what sessions and accounts keep. Each stops at a limit that its error names; others are served meanwhile."""
import signal
import threading
import time

from harness import Client, cases, check, dedicated, equal
from harness.attack import NO_RATE, Innocents, bounded, login, seconds_of, start, stats, subscribe
from harness.client import check_error
from harness.fake import NS_SM


@dedicated(start=False, options=NO_RATE)
def iq_flood_is_answered_and_harms_nobody(server):
    """10,000 requests to the host, to accounts that are not there, to a session that does not answer."""
    start(server)
    silent = login(server, "silent")
    with Innocents(server), bounded(server, 60):
        client = login(server)
        for target in (server.domain, f"nobody@{server.domain}", silent.jid):
            for begin in range(0, 3330, 333):
                client.send("".join(f"<iq type='get' id='f{n}' to='{target}'><q xmlns='urn:flood'/></iq>"
                                    for n in range(begin, begin + 333)))
                if target != silent.jid:
                    for n in range(333):
                        equal(client.expect_next("iq", timeout=20)["type"], "error")
        client.ping()
        equal(sum(e.name == "iq" for e in silent.drain(client)), 3330, "requests that reached the silent session")


@dedicated(start=False, options=NO_RATE, timeout=100)
def presence_storm_reaches_contacts_and_harms_nobody(server):
    start(server)
    storm = login(server, "storm")
    contacts = [login(server, "contact") for _ in range(20)]
    for contact in contacts:
        contact.presence("subscribe", to=storm.bare)
        storm.expect("presence", type="subscribe", from_=contact.bare)
        storm.presence("subscribed", to=contact.bare)
        contact.expect("presence", type=None, from_=storm.jid)
    with Innocents(server) as innocents, bounded(server, 80):
        for begin in range(0, 1000, 100):
            storm.send("".join(f"<presence><priority>{n % 128}</priority></presence>" for n in range(begin, begin + 100)))
            storm.ping()
            storm.inbox.clear()
        storm.presence(payload="<status>over</status>")
        for contact in contacts:
            contact.expect("presence", from_=storm.jid, timeout=30, where=lambda e: e.child_text("status") == "over")
        check(innocents.slowest < 4, f"an innocent waited {innocents.slowest:.1f} s")


def _block_and_unblock(user, jid):
    for _ in range(80):
        for what in ("block", "unblock"):
            user.set(f"<{what} xmlns='urn:xmpp:blocking'><item jid='{jid}'/></{what}>")


@cases([("presence", lambda user, _: user.send("<presence/>" * 200)),
        ("coming and going", lambda user, _: user.send("<presence type='unavailable'/><presence/>" * 80)),
        ("blocking", _block_and_unblock)])
@dedicated(start=False, options={"stanzas_per_second": 50})
def what_goes_to_contacts_is_charged_to_who_sends_it(server, _what, send):
    """Each time costs one stanza more, at least; without that all would be read in two seconds."""
    start(server)
    user, contact = login(server), login(server, "contact")
    subscribe(contact, user)
    subscribe(user, contact)
    with Innocents(server):
        began = time.monotonic()
        send(user, contact.bare)
        user.presence(payload="<status>end</status>")
        contact.expect("presence", from_=user.jid, timeout=30, where=lambda e: e.child_text("status") == "end")
        took = time.monotonic() - began
    check(took >= 3, f"it was read within {took:.1f} s")


@dedicated(start=False, options=NO_RATE | {"output_queue": "128KiB", "workers": 1})
def contacts_who_read_are_not_cut_off(server):
    """1,400 changes of presence come at once: for each contact they are more than the server may keep for it."""
    start(server)
    contacts = [login(server, "contact") for _ in range(2)]
    user = Client.login(server.account("user"), "r" * 500, presence=True)
    for contact in contacts:
        subscribe(contact, user)
    for client in (user, *contacts):
        client.drain()
    user.send("<presence/>" * 1400)
    for client in (user, *contacts):
        for _ in range(1400):
            client.expect_next("presence", from_=user.jid)
        client.ping()


@dedicated(start=False, options=NO_RATE, text="module roster { max_items = 100 }")
def roster_storm_stops_at_the_limit(server):
    start(server)
    with Innocents(server), bounded(server, 60):
        client = login(server)
        client.roster()
        client.send("".join(f"<iq type='set' id='r{n}'><query xmlns='jabber:iq:roster'><item jid='c{n}@example.com' "
                            f"name='{'x' * 500}'/></query></iq>" for n in range(1000)))
        answers = [client.expect("iq", id=f"r{n}", timeout=20) for n in range(1000)]
        equal([a["type"] for a in answers], ["result"] * 100 + ["error"] * 900)
        check_error(answers[-1], "resource-constraint")
        client.inbox.clear()
        for _ in range(100):
            equal(len(client.roster()), 100)


def _set_until_full(client, make, most):
    """Sets what make(n) says for n = 0, 1 and so on, until there is no more room; returns how many there was room for."""
    for n in range(most):
        answer = client.iq("set", make(n))
        if answer["type"] != "result":
            break
    check("max_size" in (check_error(answer, "resource-constraint", "wait").child_text("text") or ""), answer)
    return n


def _heavy_contact(n, character="x"):
    groups = "".join(f"<group>{g:02}{character * 1000}</group>" for g in range(20))
    return f"<query xmlns='jabber:iq:roster'><item jid='c{n}@example.com'>{groups}</item></query>"


@cases([("plain", "x", 50), ("written as six bytes each", '"', 8)])
@dedicated(start=False, options=NO_RATE)
def heavy_roster_stops_at_its_size_and_can_be_read(server, _what, character, fit):
    """Contacts of 20 groups of 1,000 characters; what can be added can be fetched within output_queue."""
    start(server)
    with Innocents(server), bounded(server, 60):
        client = login(server)
        count = _set_until_full(client, lambda n: _heavy_contact(n, character), 300)
        check(fit <= count <= fit + 5, f"{count} contacts are within 1 MiB")
        for n in range(1000):
            client.send(f"<iq type='set' id='r{n}'><query xmlns='jabber:iq:roster'><item jid='c0@example.com' "
                        f"name='{n}'/></query></iq>")
        for n in range(1000):
            equal(client.expect_next("iq", timeout=20)["type"], "result")
        again = Client.login(client.account)
        equal(len(again.roster()), count)
        again.set(_heavy_contact(0, character))   # there was room for it before
        equal(len(again.roster()), count)


@cases([("plain", "x", 254), ("written as six bytes each", "'", 43)])
@dedicated(start=False, options=NO_RATE)
def heavy_blocklist_stops_at_its_size_and_can_be_read(server, _what, character, fit):
    """Addresses with resources of 1,000 characters; what can be blocked can be fetched within output_queue."""
    start(server)
    with Innocents(server), bounded(server, 60):
        client = login(server)
        resource = character.replace("'", "&apos;") * 1000
        count = _set_until_full(client, lambda n: "<block xmlns='urn:xmpp:blocking'><item "
                                                  f"jid='{n:03}@example.com/{resource}'/></block>", 1000)
        check(fit - 5 <= count <= fit, f"{count} addresses are within 256 KiB")
        again = Client.login(client.account)
        equal(len(again.get("<blocklist xmlns='urn:xmpp:blocking'/>").children), count)


@dedicated(start=False, options=NO_RATE, text="module roster { max_size = 100MiB }")
def changes_of_a_heavy_roster_cost_no_more(server):
    """The server's time for 1,000 changes beside 8 MB of groups, and for as many alone."""
    start(server)

    def cost(client):
        before = seconds_of(server)
        client.send("".join(f"<iq type='set' id='r{n}'><query xmlns='jabber:iq:roster'><item jid='small@example.com' "
                            f"name='{n}'/></query></iq>" for n in range(1000)))
        for _ in range(1000):
            equal(client.expect_next("iq", timeout=20)["type"], "result")
        return seconds_of(server) - before

    light, heavy = login(server), login(server)
    for n in range(400):
        heavy.set(_heavy_contact(n))
    alone, beside = cost(light), cost(heavy)
    check(beside < 4 * alone, f"{beside:.2f} s instead of {alone:.2f} s")


@dedicated(start=False, options=NO_RATE, text="module roster { max_items = 50  max_requests = 20 }")
def subscription_floods_stop_at_the_limits(server):
    """One asks hundreds, and hundreds of resources of one domain ask one."""
    start(server)
    victim = login(server, "victim")
    with Innocents(server), bounded(server, 60):
        client = login(server)
        for n in range(500):
            client.presence("subscribe", to=f"nobody{n}@{server.domain}", id_=f"s{n}")
        client.ping()
        errors = [e for e in client.inbox if e.name == "presence" and e["type"] == "error"]
        equal(len(errors), 450, "requests over max_items")
        check_error(errors[0], "resource-constraint")
        askers = [login(server, "asker") for _ in range(30)]
        for asker in askers:
            for _ in range(20):   # asking again is no other request
                asker.presence("subscribe", to=victim.bare)
            asker.ping()
        seen = {e["from"] for e in victim.drain(askers) if e["type"] == "subscribe"}
        check(20 <= len(seen) <= 30, f"{len(seen)} requests were shown")


@dedicated(start=False, options=NO_RATE, text="module offline { max_messages = 50  max_bytes = 4KiB }")
def offline_flood_stops_at_the_limits(server):
    start(server)
    absent = server.account("absent")
    with Innocents(server), bounded(server, 60):
        sender = login(server, "sender")
        sender.message(absent.jid, "x" * 5000, id_="big")
        sender.expect_error(("service-unavailable", "not-acceptable", "policy-violation", "resource-constraint"), id_="big")
        for n in range(2000):
            sender.message(absent.jid, f"message {n}")
        sender.ping()
        errors = 0
        while errors < 1950:
            sender.expect_error(("service-unavailable", "resource-constraint"), name="message", timeout=20)
            errors += 1
        server.wait_for(lambda: server.stored_messages(absent.jid) == 50, "the others in storage")
    got = Client.login(absent, presence=True)
    equal([got.expect("message").child_text("body") for _ in range(50)], [f"message {n}" for n in range(50)])


@dedicated(start=False, options=NO_RATE | {"idle_accounts": 20})
def messages_to_nobodies_fill_no_memory(server):
    """5,000 addresses that do not exist, each of which is looked up."""
    start(server)
    with Innocents(server), bounded(server, 60):
        sender = login(server, "sender")
        for begin in range(0, 5000, 250):
            for n in range(begin, begin + 250):
                sender.message(f"nobody{n}@{server.domain}", "anyone?")
            for n in range(250):
                sender.expect_next("message", type="error", timeout=20)
        held = stats(server)["accounts_in_memory"]
        check(held <= 2 * 20 + 10, f"{held} accounts are in memory")


@dedicated(start=False, options={"waiting_stanzas": 5, "workers": 1})
def stanzas_that_wait_for_an_account_are_limited(server):
    """What comes in one piece for an account that is yet to be read waits; what is too much comes back."""
    start(server)
    sender, absent = login(server, "sender"), server.account("absent")
    with Innocents(server):
        sender.send("".join(f"<message to='{absent.jid}' id='w{n}'><body>{n}</body></message>" for n in range(100)))
        sender.ping()
        errors = [e for e in sender.drain() if e["type"] == "error"]
        check(len(errors) > 0, "all of them waited")
        for error in errors:
            check_error(error, "resource-constraint")
        server.wait_for(lambda: server.stored_messages(absent.jid) == 100 - len(errors), "the rest of them in storage")


@dedicated(start=False, options=NO_RATE | {"mailbox_limit": 100}, timeout=100)
def full_mailboxes_pause_their_sources_and_lose_nothing(server):
    """Eight users flood one whose home has to copy each message to twenty sessions."""
    start(server)
    account = server.account("popular")
    popular = [Client.login(account, f"r{n}", presence=True) for n in range(15)]
    senders = [login(server, "sender") for _ in range(8)]
    for client in popular:
        client.settle()
        client.inbox.clear()
    with Innocents(server), bounded(server, 80):
        threads = [threading.Thread(target=lambda s=s, i=i: [
            s.send("".join(f"<message to='{account.jid}' type='headline' id='h{i}-{k}'/>" for k in range(j, j + 50)))
            for j in range(0, 500, 50)], daemon=True) for i, s in enumerate(senders)]
        for thread in threads:
            thread.start()
        for client in popular:
            got = [client.expect_next("message", timeout=30)["id"] for _ in range(4000)]
            for i in range(8):
                equal([g for g in got if g.startswith(f"h{i}-")], [f"h{i}-{k}" for k in range(500)], "order")
            client.transcript.clear()
        for thread in threads:
            thread.join()
    check(stats(server)["mailbox_pauses"] > 0, "nothing was paused")


@dedicated(start=False, options=NO_RATE | {"mailbox_limit": 100, "workers": 4}, timeout=100)
def presence_for_many_pauses_its_source_when_mailboxes_are_full(server):
    """Each is read for a moment only before others are served, but all at once are too many."""
    start(server)
    storms = [login(server, "storm") for _ in range(8)]
    contacts = [login(server, "contact") for _ in range(8)]
    for contact in contacts:
        for storm in storms:
            subscribe(contact, storm)
    for contact in contacts:
        contact.settle(storms)
        contact.inbox.clear()
    with bounded(server, 80):
        server.process.send_signal(signal.SIGSTOP)
        try:
            for storm in storms:
                storm.send("".join(f"<presence id='p{n}'/>" for n in range(400)))
        finally:
            server.process.send_signal(signal.SIGCONT)
        for contact in contacts:
            got = [contact.expect_next("presence", timeout=30) for _ in range(3200)]
            for storm in storms:
                equal([p["id"] for p in got if p["from"] == storm.jid], [f"p{n}" for n in range(400)], "order")
            contact.transcript.clear()
    check(stats(server)["mailbox_pauses"] > 0, "nothing was paused")


def _change_password(name, password):
    return f"<iq type='set' id='{name}'><query xmlns='jabber:iq:register'><password>{password}</password></query></iq>"


@dedicated(start=False, options=NO_RATE | {"password_threads": 1})
def password_changes_of_one_account_delay_no_login(server):
    """2,100 at once: all but one at a time are refused, and the last that was accepted counts."""
    start(server)
    account, innocent = server.accounts("user", "innocent")
    sessions = [Client.login(account) for _ in range(3)]
    for k, session in enumerate(sessions):
        session.send("".join(_change_password(f"c{n}", f"secret-{k}-{n}") for n in range(700)))
    began = time.monotonic()
    Client.login(innocent, mechanism="PLAIN")
    took = time.monotonic() - began
    check(took < 2, f"the login took {took:.1f} s")
    for session in sessions:
        answers = [session.expect_next("iq", timeout=20) for _ in range(700)]
        refused = [a for a in answers if a["type"] == "error"]
        check(refused, "all changes were accepted")
        for answer in refused:
            check_error(answer, "resource-constraint", "wait")
    sessions[0].send("".join(_change_password(f"d{n}", f"other-{n}") for n in range(100)))
    accepted = [a["id"] for a in (sessions[0].expect_next("iq", timeout=20) for _ in range(100)) if a["type"] == "result"]
    check(accepted, "no change was accepted")
    account.password = f"other-{accepted[-1][1:]}"
    Client.login(account, mechanism="PLAIN").set("<query xmlns='jabber:iq:register'><password>again</password></query>")
    account.password = "again"
    Client.login(account)


@dedicated(start=False, options={"password_threads": 1, "scram_iterations": 4096})
def logins_go_before_password_changes(server):
    """Many accounts, each of which changes its password once; that takes about a quarter of a second each."""
    start(server)
    innocent, sessions = server.account("innocent"), [login(server, presence=False) for _ in range(16)]
    server.options["scram_iterations"] = 1000000
    server.write_config()
    server.reload()
    client = Client(server)
    client.secure()
    began = time.monotonic()
    for session in sessions:
        session.send(_change_password("c", "secret"))
    for session in sessions:
        session.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
        session.expect("iq", id="p")
    client.authenticate(innocent.user, innocent.password, "PLAIN")
    waited = time.monotonic() - began
    for session in sessions:
        equal(session.expect("iq", id="c", timeout=30)["type"], "result")
    took = time.monotonic() - began
    check(waited < took / 3, f"the login took {waited:.1f} s, all changes {took:.1f} s")


# What sessions keep

def _show_to_many(client, server, count):
    """Directed presence to so many addresses of 2 KB each, which need not be there."""
    for begin in range(0, count, 50):
        client.send("".join(f"<presence id='d{n}' to='{n}{'u' * 990}@{server.domain}/{'r' * 990}'/>"
                            for n in range(begin, begin + 50)))
        client.ping()


@dedicated(start=False, options=NO_RATE)
def addresses_of_directed_presence_are_limited_in_bytes(server):
    start(server)
    with Innocents(server), bounded(server, 20):
        client = login(server)
        _show_to_many(client, server, 200)
        errors = [e for e in client.inbox if e.name == "presence" and e["type"] == "error"]
        equal([e["id"] for e in errors], [f"d{n}" for n in range(32, 200)], "those over 64 KiB")
        check_error(errors[0], "resource-constraint")
        client.presence("unavailable", to=f"0{'u' * 990}@{server.domain}/{'r' * 990}")
        client.presence(to=f"200{'u' * 988}@{server.domain}/{'r' * 990}", id_="again")
        client.presence(to=f"201{'u' * 988}@{server.domain}/{'r' * 990}", id_="over")
        client.expect_error("resource-constraint", name="presence", id_="over")
        check(not any(e["id"] == "again" for e in client.inbox), "the room of who was taken off is not given back")


@cases([("as configured by default", "64KiB", 4), ("with room for many", "4MiB", 64)])
@dedicated(start=False, options=NO_RATE | {"workers": 1, "max_preauth_elements": 1000})
def changes_of_what_a_session_keeps_are_written_once_a_turn(server, _what, size, mebibytes):
    """Who has shown presence to many addresses shows it to one more and takes it back, over and over, so that a small
    stanza seems to change much; turning carbons on and off does the same."""
    server.text = f"module presence {{ max_directed_size = {size} }}"
    start(server)
    with Innocents(server) as innocents, bounded(server, 40):
        client = login(server)
        client.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
        client.expect_next("enabled", NS_SM)
        _show_to_many(client, server, 450)
        innocents.slowest, before = 0.0, stats(server)["journal_bytes"]
        client.send("".join(f"<presence to='{client.bare}/z'/><presence type='unavailable' to='{client.bare}/z'/>"
                            for _ in range(150)))
        client.ping()
        client.send("".join(f"<iq type='set' id='c{n}'><{what} xmlns='urn:xmpp:carbons:2'/></iq>"
                            for n in range(75) for what in ("enable", "disable")))
        client.ping()
        written = stats(server)["journal_bytes"] - before
        check(written < mebibytes << 20, f"{written} bytes were written")
        check(innocents.slowest < 0.5, f"an innocent waited {innocents.slowest:.2f} s")


# What accounts keep

@dedicated(start=False, text="module vcard { max_size = 2KiB }")
def vcards_are_limited(server):
    start(server)
    client = login(server)
    error = client.iq("set", "<vCard xmlns='vcard-temp'><NOTE>" + "x" * 3000 + "</NOTE></vCard>")
    check("max_size" in check_error(error, ("not-acceptable", "policy-violation")).child_text("text"), error)
    equal(client.iq("set", "<vCard xmlns='vcard-temp'><NOTE>small</NOTE></vCard>")["type"], "result")


@dedicated(start=False, options={"workers": 1, "max_preauth_elements": 1000}, text="module register { allow_registration = yes "
           "registrations_per_address = 1  registration_window = 2s  max_addresses = 1 }")
def registrations_of_an_address_are_limited_for_their_time(server):
    start(server)

    def register(name, source):
        client = Client(server, source=source)
        client.secure()
        client.send(f"<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{name}</username>"
                    "<password>secret</password></query></iq>")
        return client.expect("iq", id="r")["type"]

    equal([register("a", "127.44.0.1"), register("b", "127.44.0.1")], ["result", "error"])
    # Only one address is remembered: another one takes the place of the first.
    equal([register("c", "127.44.0.2"), register("d", "127.44.0.2"), register("e", "127.44.0.1")],
          ["result", "error", "result"])
    time.sleep(2.1)
    equal([register("f", "127.44.0.1"), register("g", "127.44.0.1")], ["result", "error"], "after the window")


@cases([("enough room", 100, 35), ("little room", 5, 10)])
@dedicated(start=False, options={"workers": 1})
def messages_wait_for_stored_ones_within_a_limit(server, _what, limit, behind):
    """What comes while stored messages are read waits, so that order is kept; what is over the limit overtakes."""
    server.text = f"module offline {{ max_waiting = {limit} }}"
    start(server)
    account, sender = server.account("absent"), login(server, "sender")
    for n in range(5):
        sender.message(account.jid, f"stored {n}")
    server.wait_for(lambda: server.stored_messages(account.jid) == 5, "messages in storage")
    client = Client.login(account)
    client.send("<presence/>" + "".join(f"<message to='{client.bare}'><body>new {n}</body></message>" for n in range(30)))
    bodies = [client.expect("message", timeout=20).child_text("body") for _ in range(35)]
    equal(sorted(bodies), sorted([f"stored {n}" for n in range(5)] + [f"new {n}" for n in range(30)]), "all of them")
    equal(len(bodies) - bodies.index("stored 0"), behind, "what came from the first stored one on")
