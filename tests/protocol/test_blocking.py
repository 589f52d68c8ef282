# SPDX-License-Identifier: MIT
"""Blocking of addresses (XEP-0191): the list, pushes, and what a block stops in every path."""
import os
import resource

from harness import Client, cases, check, dedicated, equal, escape
from harness.client import check_error

NS = "urn:xmpp:blocking"
NS_ERRORS = "urn:xmpp:blocking:errors"


def _items(*jids):
    return "".join(f"<item jid='{escape(j)}'/>" for j in jids)


def _blocklist(client):
    return [i["jid"] for i in client.get(f"<blocklist xmlns='{NS}'/>").find_all("item", NS)]


def _block(client, *jids):
    client.set(f"<block xmlns='{NS}'>{_items(*jids)}</block>")


def _unblock(client, *jids):
    client.set(f"<unblock xmlns='{NS}'>{_items(*jids)}</unblock>")


def _pair(server, presence=True):
    ua, ca = server.accounts("user", "contact")
    u, c = Client.login(ua, "u", presence=presence), Client.login(ca, "c", presence=presence)
    u.account, c.account = ua, ca
    return u, c


def _friends(server):
    u, c = _pair(server)
    for a, b in ((u, c), (c, u)):
        a.presence("subscribe", to=b.bare)
        b.expect("presence", type="subscribe", from_=a.bare)
        b.presence("subscribed", to=a.bare)
        a.expect("presence", type="subscribed", from_=b.bare)
    u.drain(c)
    c.drain(u)
    return u, c


def _seen(client, after=None):
    return [(e["type"] or "available", e["from"]) for e in client.drain(after)]


def _check_blocked(stanza):
    error = check_error(stanza, "not-acceptable", "cancel")
    check(error.find("blocked", NS_ERRORS) is not None, f"no <blocked/> in {stanza!r}")


# The list

def support_is_announced(server):
    client = Client.login(server.account("user"))
    for to in (server.domain, client.bare):
        info = client.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", to=to)
        check(NS in [f["var"] for f in info.find_all("feature")], f"not announced by {to}")


def list_is_kept_with_prepared_addresses(server):
    u = Client.login(server.account("user"))
    equal(_blocklist(u), [])
    _block(u, "Romeo@Montague.Example", "example.net", "a@example.org/Phone")
    _block(u, "romeo@montague.example", "example.net/x")
    expected = ["a@example.org/Phone", "example.net", "example.net/x", "romeo@montague.example"]
    equal(_blocklist(u), expected)
    _unblock(u, "EXAMPLE.net", "never@blocked.example")
    equal(_blocklist(u), [j for j in expected if j != "example.net"])
    _unblock(u)
    equal(_blocklist(u), [])
    _unblock(u)


@dedicated()
def list_survives_a_restart(server):
    ua = server.account("user")
    u, contact = Client.login(ua), server.account("contact").jid
    _block(u, contact, "example.net")
    server.restart(hard=True)
    u = Client.login(ua)
    equal(_blocklist(u), sorted([contact, "example.net"]))
    _check_blocked(u.iq("get", "<ping xmlns='urn:xmpp:ping'/>", to=contact))
    _unblock(u)
    server.restart(hard=True)
    equal(_blocklist(Client.login(ua)), [])


@cases([("no item", "block", "", "bad-request"),
        ("item without address", "block", "<item/>", "bad-request"),
        ("something else", "block", "<jid>a@b</jid>", "bad-request"),
        ("an item of another namespace", "block", "<item xmlns='urn:example' jid='a@b'/>", "bad-request"),
        ("no address", "block", "<item jid='@x'/>", "jid-malformed"),
        ("empty address", "block", "<item jid=''/>", "jid-malformed"),
        ("one of two is none", "block", "<item jid='ok@example.org'/><item jid='a b@c'/>", "jid-malformed"),
        ("unblock without address", "unblock", "<item/>", "bad-request"),
        ("unblock of something else", "unblock", "<all/>", "bad-request"),
        ("unblock of no address", "unblock", "<item jid='a@'/>", "jid-malformed")])
def wrong_requests_change_nothing(server, _what, name, inner, condition):
    u = Client.login(server.account("user"))
    _block(u, "kept@example.org")
    check_error(u.iq("set", f"<{name} xmlns='{NS}'>{inner}</{name}>"), condition)
    equal(_blocklist(u), ["kept@example.org"])


def list_of_somebody_else_is_not_shown(server):
    u, c = _pair(server)
    check_error(u.iq("get", f"<blocklist xmlns='{NS}'/>", to=c.bare), "service-unavailable")
    check_error(u.iq("set", f"<block xmlns='{NS}'>{_items('a@b.example')}</block>", to=c.bare), "service-unavailable")
    equal(_blocklist(c), [])


@dedicated(text="module blocking { max_blocked = 3 }")
def limit_is_named(server):
    u = Client.login(server.account("user"))
    _block(u, "a@example.org", "b@example.org", "b@example.org")
    answer = u.iq("set", f"<block xmlns='{NS}'>{_items('c@example.org', 'd@example.org')}</block>")
    error = check_error(answer, "resource-constraint")
    check("max_blocked" in error.child_text("text"), f"not named: {answer!r}")
    _block(u, "a@example.org", "c@example.org")
    check_error(u.iq("set", f"<block xmlns='{NS}'>{_items('d@example.org')}</block>"), "resource-constraint")
    _block(u, "a@example.org")
    _unblock(u, "a@example.org")
    _block(u, "d@example.org")
    equal(_blocklist(u), ["b@example.org", "c@example.org", "d@example.org"])


@dedicated(text="module blocking { max_blocked = 3 }")
def a_request_over_the_limit_is_not_read_to_its_end(server):
    u = Client.login(server.account("user"))
    answer = u.iq("set", f"<block xmlns='{NS}'>{_items('a@example.org', 'b@example.org', 'c@example.org', 'd@example.org')}"
                         "<nonsense/></block>")
    check("max_blocked" in check_error(answer, "resource-constraint").child_text("text"), f"not named: {answer!r}")
    _unblock(u, *(f"{n}@example.org" for n in range(10)))


def _long(n, character="x"):
    return f"{n:02}@example.org/{character * 1000}"


@dedicated(text="module blocking { max_size = 100KiB }")
def a_list_over_its_size_is_kept_and_may_shrink(server):
    """As it is when the limit was higher before."""
    ua = server.account("user")
    u = Client.login(ua)
    _block(u, *(_long(n) for n in range(50)))
    server.text = "module blocking { max_size = 10KiB }"
    server.restart()
    u = Client.login(ua)
    equal(_blocklist(u), [_long(n) for n in range(50)])
    answer = u.iq("set", f"<block xmlns='{NS}'>{_items('new@example.org')}</block>")
    check("max_size" in check_error(answer, "resource-constraint", "wait").child_text("text"), f"not named: {answer!r}")
    _block(u, _long(0))   # is there already
    _unblock(u, *(_long(n) for n in range(2, 50)))
    _block(u, "new@example.org")
    answer = u.iq("set", f"<block xmlns='{NS}'>{_items(_long(1, '&'), _long(2, '&'))}</block>")   # of five bytes each
    check_error(answer, "resource-constraint", "wait")
    _block(u, _long(1, "&"))
    equal(len(_blocklist(u)), 4)
    _unblock(u)
    equal(_blocklist(u), [])


def long_lists_in_any_order_are_sorted(server):
    u = Client.login(server.account("user"))
    names = [f"{n:04}@example.org" for n in range(500)]
    _block(u, *reversed(names[:400]), *names[:10])
    _block(u, *names[300:])
    equal(_blocklist(u), names)
    _unblock(u, *reversed(names[100:]), *names[200:])
    equal(_blocklist(u), names[:100])
    _unblock(u)


def changes_sent_at_once_are_made_in_order(server):
    u = Client.login(server.account("user"))
    u.send("".join(f"<iq type='set' id='b{n}'><block xmlns='{NS}'>{_items(f'x{n}@example.org')}</block></iq>"
                   for n in range(5)) +
           f"<iq type='set' id='all'><unblock xmlns='{NS}'/></iq>"
           f"<iq type='set' id='last'><block xmlns='{NS}'>{_items('last@example.org')}</block></iq>"
           f"<iq type='set' id='again'><block xmlns='{NS}'>{_items('last@example.org')}</block></iq>")
    equal([u.expect_next("iq")["id"] for _ in range(8)], [f"b{n}" for n in range(5)] + ["all", "last", "again"])
    equal(_blocklist(u), ["last@example.org"])


# Pushes

def changes_are_pushed_to_those_who_asked(server):
    account = server.account("user")
    one, two, other = (Client.login(account, r) for r in ("one", "two", "other"))
    _blocklist(one)
    _blocklist(two)
    steps = [("block", ["a@example.org", "example.net"]), ("unblock", ["a@example.org"]), ("unblock", [])]
    for name, jids in steps:
        id_ = one.new_id()
        one.send(f"<iq type='set' id='{id_}'><{name} xmlns='{NS}'>{_items(*jids)}</{name}></iq>")
        equal(one.expect_next("iq")["id"], id_, "the answer comes before the push")
        for client in (one, two):
            push = client.expect("iq", type="set")
            equal((push["to"], push["from"], push.children[0].name), (client.jid, None, name))
            equal([i["jid"] for i in push.children[0].find_all("item", NS)], jids)
            client.answer(push)
        other.expect_nothing(one)
    one.expect_nothing()
    two.expect_nothing(one)


# What is stopped: incoming

def messages_come_back_as_from_nobody(server):
    u, c = _pair(server)
    _block(u, c.bare)
    for to in (u.bare, u.jid):
        for type_ in ("chat", "normal"):
            id_ = c.message(to, "Can you hear me?", type_)
            error = c.expect_error("service-unavailable", "cancel", "message", id_)
            equal(error["from"], to)
            check(error.path("error", "text") is None, "the error must not say why")
        for type_ in ("headline", "groupchat", "error"):
            c.message(to, "nor me", type_)
    c.expect_nothing()
    u.expect_nothing(())


def presence_and_requests_do_not_arrive(server):
    u, c = _pair(server)
    _block(u, c.bare)
    for type_ in ("subscribe", "subscribed", "unsubscribe", "unsubscribed", "unavailable", None):
        c.presence(type_, to=u.bare)
    c.presence(to=u.jid)
    check_error(c.iq("get", "<ping xmlns='urn:xmpp:ping'/>", to=u.jid), "service-unavailable", "cancel")
    check_error(c.iq("get", "<vCard xmlns='vcard-temp'/>", to=u.bare), "service-unavailable", "cancel")
    c.send(f"<iq type='result' id='r' to='{u.jid}'/>"
           f"<iq type='error' id='e' to='{u.jid}'><error type='cancel'>"
           "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
    c.ping()
    equal(c.drain(), [])
    u.expect_nothing(())
    equal(list(u.roster()), [])
    # RFC 6121 3.1.3: a request that was kept would come again.
    again = Client.login(u.account, "again", presence=True)
    u.drain()
    equal(_seen(again), [("available", u.jid)])


def requests_from_before_wait_for_the_unblocking(server):
    u, c = _pair(server)
    u.close()
    c.presence("subscribe", to=u.bare)
    c.ping()
    u = Client.login(u.account, "u")
    _block(u, c.bare)
    u.presence()
    equal(_seen(u), [("available", u.jid)])
    u.presence("unavailable")
    _unblock(u, c.bare)
    u.drain()
    u.presence()
    u.expect("presence", type="subscribe", from_=c.bare)


def probes_are_not_answered(server):
    u, c = _friends(server)
    _block(u, c.bare)
    equal(_seen(c, ()), [("unavailable", u.jid)])
    late = Client.login(c.account, "late", presence=True)   # the server probes for it
    late.settle()
    equal([e for e in _seen(late) if e[1].startswith(u.bare)], [])
    u.expect_nothing(())


def nothing_is_kept_while_offline(server):
    u, c = _pair(server)
    _block(u, c.bare)
    u.close()
    id_ = c.message(u.bare, "for later")
    c.expect_error("service-unavailable", "cancel", "message", id_)
    u = Client.login(u.account, "u", presence=True)
    _unblock(u)
    u.expect_nothing(c)


def what_was_kept_is_not_delivered_to_who_blocked_since(server):
    u, c = _pair(server)
    other = Client.login(server.account("other"), presence=True)
    u.close()
    c.message(u.bare, "kept")
    other.message(u.bare, "kept too")
    c.settle(other)
    u = Client.login(u.account, "u")
    _block(u, c.bare)
    u.presence()
    equal(u.expect("message").child_text("body"), "kept too")
    equal(_seen(u), [("available", u.jid)])


# What is stopped: outgoing

def own_stanzas_are_refused(server):
    u, c = _pair(server)
    _block(u, c.bare)
    for to in (c.bare, c.jid):
        for type_ in ("chat", "normal", "headline", "groupchat"):
            id_ = u.message(to, "Hello?", type_)
            error = u.expect("message", id=id_)
            _check_blocked(error)
            equal(error["from"], to)
        _check_blocked(u.iq("get", "<ping xmlns='urn:xmpp:ping'/>", to=to))
        for type_ in (None, "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed"):
            u.presence(type_, to=to, id_=f"p-{type_}")
            _check_blocked(u.expect("presence", id=f"p-{type_}"))
    u.send(f"<message type='error' to='{c.bare}'><error type='cancel'>"
           "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
           f"<iq type='result' id='r' to='{c.jid}'/>")
    u.expect_nothing()
    c.expect_nothing(())
    equal(list(u.roster()), [])


# Whom an entry means

@cases([("full", "{full}", True, False), ("bare", "{bare}", True, True), ("domain", "{domain}", True, True),
        ("another resource", "{bare}/other", False, True), ("domain with resource", "{domain}/c", False, False),
        ("somebody else", "x{bare}", False, False)])
def entries_mean(server, _what, entry, full, other):
    u, c = _pair(server)
    second = Client.login(c.account, "other", presence=True)
    c.drain()
    _block(u, entry.format(full=c.jid, bare=c.bare, domain=server.domain))
    for client, expected in ((c, full), (second, other)):
        id_ = client.message(u.jid, "x")
        if expected:
            client.expect_error("service-unavailable", name="message", id_=id_)
        else:
            u.expect("message", id=id_)
        id_ = u.message(client.jid, "y")
        if expected:
            _check_blocked(u.expect("message", id=id_))
        else:
            client.expect("message", id=id_)
    u.expect_nothing(())


def nobody_locks_himself_out(server):
    u, c = _pair(server)
    second = Client.login(u.account, "second", presence=True)
    u.drain()
    second.drain()
    _block(u, server.domain, u.bare, u.jid, second.jid)
    u.ping()
    u.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", to=server.domain)
    equal(list(u.roster()), [])
    for to in (u.bare, second.jid):
        second.expect("message", id=u.message(to, "from me to me"))
    equal(second.iq("get", "<vCard xmlns='vcard-temp'/>", to=u.bare)["type"], "result")
    u.presence(payload="<show>away</show>")
    second.expect("presence", from_=u.jid)
    id_ = c.message(u.jid, "but others of the domain are")
    c.expect_error("service-unavailable", id_=id_)
    _unblock(second)
    c.message(u.jid, "again")
    u.expect("message", where=lambda e: e.child_text("body") == "again")


# Presence

def contact_sees_the_user_leave_and_come(server):
    u, c = _friends(server)
    second = Client.login(u.account, "second", presence=True)
    hidden = Client.login(u.account, "hidden")
    for client in (u, c, second):
        client.drain(second)
    _block(u, c.bare)
    equal(sorted(_seen(c, ())), [("unavailable", second.jid), ("unavailable", u.jid)])
    # Nothing more while blocked, in both directions.
    u.presence(payload="<show>away</show>")
    c.presence(payload="<show>dnd</show>")
    second.presence("unavailable")
    second.presence()
    late = Client.login(u.account, "late", presence=True)
    late.drain()
    late.close()
    u.settle((second, hidden))
    c.expect("presence", from_=c.jid)
    c.expect_nothing(())
    equal([e for e in _seen(u) if e[1].startswith(c.bare)], [])
    second.drain()
    _unblock(hidden, c.bare)
    got = {e["from"]: e for e in c.drain()}
    equal(sorted(got), [second.jid, u.jid])
    equal(got[u.jid].child_text("show"), "away")
    for client in (u, second):   # the contact was probed
        equal(client.expect("presence", from_=c.jid, type=None).child_text("show"), "dnd")
    u.close()
    equal(_seen(c, ()), [("unavailable", u.jid)])


def who_must_not_see_the_user_hears_nothing(server):
    u, c = _pair(server)
    _block(u, c.bare)
    _unblock(u)
    c.expect_nothing(u)
    c.presence("subscribe", to=u.bare)
    u.expect("presence", type="subscribe")
    _block(u, c.bare)
    _unblock(u, c.bare)
    c.expect_nothing(u)


def one_entry_of_two_hides_no_less(server):
    u, c = _friends(server)
    _block(u, c.bare)
    _block(u, server.domain)
    equal(_seen(c, ()), [("unavailable", u.jid)])
    _unblock(u, c.bare)
    c.expect_nothing(())
    _unblock(u, server.domain)
    equal(_seen(c, u), [("available", u.jid)])


def a_full_address_is_told(server):
    u, c = _friends(server)
    second = Client.login(c.account, "second", presence=True)
    second.drain(u)
    c.drain()
    u.drain()
    _block(u, c.jid)
    equal(_seen(c, second), [("unavailable", u.jid)])
    second.drain()
    equal(_seen(second), [])
    _unblock(u, c.jid)
    equal(_seen(c, u), [("available", u.jid)])
    equal(_seen(second, u), [])


def directed_presence_is_taken_back(server):
    u, c = _pair(server)
    hidden = Client.login(u.account, "hidden")
    u.presence(to=c.jid)
    hidden.presence(to=c.bare)
    equal(sorted(_seen(c, (u, hidden))), [("available", hidden.jid), ("available", u.jid)])
    _block(u, c.bare)
    equal(sorted(_seen(c, ())), [("unavailable", hidden.jid), ("unavailable", u.jid)])
    _unblock(u, c.bare)
    u.close()
    hidden.close()
    c.settle()
    equal(_seen(c), [])


def a_login_while_blocked_shows_nothing(server):
    u, c = _friends(server)
    _block(u, c.bare)
    u.close()
    c.drain()
    u = Client.login(u.account, "u")
    u.presence()
    equal(_seen(u), [("available", u.jid)])
    u.presence("unavailable")
    u.settle()
    c.expect_nothing(())


def a_blocked_contact_that_is_removed_does_not_learn_who_is_there(server):
    """The user came anew while the contact was blocked."""
    u, c = _friends(server)
    _block(u, c.bare)
    c.expect("presence", type="unavailable", from_=u.jid)
    u.close()
    u = Client.login(u.account, "secret", presence=True)
    c.settle()
    c.drain()
    u.set(f"<query xmlns='jabber:iq:roster'><item jid='{c.bare}' subscription='remove'/></query>")
    c.expect("presence", type="unsubscribe", from_=u.bare)
    c.expect("presence", type="unsubscribed", from_=u.bare)
    equal(_seen(c), [])


def subscriptions_outlive_a_block(server):
    u, c = _friends(server)
    _block(u, c.bare)
    equal((u.roster()[c.bare]["subscription"], c.roster()[u.bare]["subscription"]), ("both", "both"))
    _unblock(u)
    u.drain()
    u.presence(payload="<show>xa</show>")
    c.expect("presence", from_=u.jid, where=lambda e: e.child_text("show") == "xa")


# Failures

@dedicated()
def nothing_happens_when_the_disk_is_full(server):
    u, c = _friends(server)
    _blocklist(u)
    pid = server.process.pid
    size = os.path.getsize(os.path.join(server.folder, "data", "comity.sqlite"))
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (min(size, 4096), hard))
    try:
        for n in range(200):   # until what the store has left is used up
            answer = u.iq("set", f"<block xmlns='{NS}'>{_items(f'{n}.' + 'x' * 50 + '.example')}</block>")
            if answer["type"] == "error":
                break
        check_error(answer, ["resource-constraint", "internal-server-error"])
        before = _blocklist(u)
        u.drain()
        check_error(u.iq("set", f"<block xmlns='{NS}'>{_items(c.bare)}</block>"),
                    ["resource-constraint", "internal-server-error"])
        equal(_blocklist(u), before)
        u.expect_nothing()
        c.expect_nothing(u)
        c.expect("message", id=u.message(c.jid, "not blocked"))
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    _block(u, c.bare)
    equal(_seen(c, ()), [("unavailable", u.jid)])


@dedicated()
def disabling_the_module_ends_blocking(server):
    u, c = _pair(server)
    _block(u, c.bare)
    server.text = 'modules_disabled = { "blocking" }'
    server.write_config()
    server.reload()
    c.message(u.jid, "now")
    u.expect("message", where=lambda e: e.child_text("body") == "now")
    check_error(u.iq("get", f"<blocklist xmlns='{NS}'/>"), "service-unavailable")
    server.text = ""
    server.write_config()
    server.reload()
    equal(_blocklist(u), [c.bare])
    id_ = c.message(u.jid, "no more")
    c.expect_error("service-unavailable", id_=id_)
