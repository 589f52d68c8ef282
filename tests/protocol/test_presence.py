# SPDX-License-Identifier: MIT
"""Presence: broadcast, probes, directed presence, unavailability, priority (RFC 6121 4)."""
from harness import Client, cases, check, dedicated, equal, escape
from harness.client import check_error


def _friends(server, one="both"):
    """Two available sessions whose accounts see each other, and their accounts."""
    ua, ca = server.accounts("user", "contact")
    u, c = Client.login(ua, "u", presence=True), Client.login(ca, "c", presence=True)
    u.account, c.account = ua, ca
    _subscribe(u, c)
    if one == "both":
        _subscribe(c, u)
    u.drain(c)
    c.drain(u)
    return u, c


def _subscribe(u, c):
    """From now on u sees c."""
    u.presence("subscribe", to=c.bare)
    c.expect("presence", type="subscribe", from_=u.bare)
    c.presence("subscribed", to=u.bare)
    u.expect("presence", type="subscribed", from_=c.bare)


def _seen(client, after=None):
    """[(type or "available", from)] of the presence that has come by now; all else must not have come."""
    inbox = client.drain(after)
    check(all(e.name == "presence" for e in inbox), f"{client.name}: more than presence: {inbox}")
    return [(e["type"] or "available", e["from"]) for e in inbox]


# Broadcast

def initial_presence_comes_back(server):
    client = Client.login(server.account("user"))
    client.presence(payload="<show>away</show><status>Hi</status><priority>3</priority>")
    got = client.expect("presence", from_=client.jid)
    equal((got["to"], got.child_text("show"), got.child_text("status"), got.child_text("priority")),
          (client.jid, "away", "Hi", "3"))
    client.expect_nothing()


def initial_presence_reaches_subscribers_and_probes_contacts(server):
    u, c = _friends(server)
    u.close()
    equal(_seen(c), [("unavailable", u.jid)])
    u = Client.login(u.account, "again")
    c.expect_nothing(u)   # binding is not yet presence
    u.presence(payload="<status>back</status>")
    got = c.expect("presence", from_=u.jid, type=None)
    equal((got["to"], got.child_text("status")), (c.bare, "back"))
    equal(sorted(_seen(u, c)), sorted([("available", u.jid), ("available", c.jid)]))


def updates_are_broadcast_without_new_probes(server):
    u, c = _friends(server)
    for show in ("away", "xa", "dnd", "chat"):
        c.presence(payload=f"<show>{show}</show>")
        got = u.expect("presence", from_=c.jid, type=None)
        equal(got.child_text("show"), show)
    c.presence(payload="<status xml:lang='de'>da</status><status xml:lang='en'>here</status>"
                       "<x xmlns='vcard-temp:x:update'><photo>abc</photo></x>")
    got = u.expect("presence", from_=c.jid)
    equal([(s["xml:lang"], s.text) for s in got.find_all("status")], [("de", "da"), ("en", "here")])
    equal(got.path("x", "photo").text, "abc")
    u.expect_nothing(c)
    equal(_seen(c, u), [("available", c.jid)] * 5)


def later_login_sees_the_last_presence(server):
    u, c = _friends(server)
    c.presence(payload="<show>away</show>")
    c.presence(payload="<show>dnd</show><status>busy</status>")
    c.ping()
    late = Client.login(u.account, "late")
    late.presence()
    got = late.expect("presence", from_=c.jid)
    equal((got.child_text("show"), got.child_text("status")), ("dnd", "busy"))
    check(got["to"] in (late.jid, late.bare), f"to {got['to']}")


def presence_is_kept_in_order(server):
    u, c = _friends(server)
    for i in range(100):
        c.presence(payload=f"<status>{i}</status>")
    for i in range(100):
        equal(u.expect_next("presence").child_text("status"), str(i))


def resources_of_one_user_see_each_other(server):
    account = server.account("user")
    one = Client.login(account, "one", presence=True)
    two = Client.login(account, "two")
    two.presence(payload="<show>xa</show>")
    equal(one.expect("presence", from_=two.jid).child_text("show"), "xa")
    equal(sorted(_seen(two)), sorted([("available", one.jid), ("available", two.jid)]))
    one.expect_nothing(two)
    one.presence(payload="<status>new</status>")
    equal(two.expect("presence", from_=one.jid).child_text("status"), "new")
    two.presence("unavailable")
    equal(one.expect("presence", from_=two.jid)["type"], "unavailable")


def unavailable_resources_get_no_presence(server):
    u, c = _friends(server)
    quiet = Client.login(u.account, "quiet")
    gone = Client.login(u.account, "gone", presence=True)
    gone.presence("unavailable")
    gone.drain(c)
    c.presence(payload="<show>away</show>")
    u.expect("presence", from_=c.jid)
    for client in (quiet, gone):
        client.expect_nothing(c)


def each_resource_of_the_contact_is_seen(server):
    u, c = _friends(server)
    second = Client.login(c.account, "second", presence=True)
    u.expect("presence", from_=second.jid)
    late = Client.login(u.account, "late", presence=True)
    for jid in (c.jid, second.jid, u.jid):
        late.expect("presence", from_=jid, type=None)
    second.abort()
    equal(late.expect("presence", from_=second.jid)["type"], "unavailable")
    late.presence("unavailable")
    late.drain(c)
    late.presence()
    equal(sorted(_seen(late, c)), sorted([("available", j) for j in (c.jid, u.jid, late.jid)]))


# Unavailability

def unavailable_carries_its_status(server):
    u, c = _friends(server)
    c.presence("unavailable", payload="<status>Good night</status>")
    got = u.expect("presence", from_=c.jid)
    equal((got["type"], got.child_text("status")), ("unavailable", "Good night"))
    u.expect_nothing(c)


def _close(c):
    c.close()


def _close_after_unavailable(c):
    c.presence("unavailable")
    c.close()


def _cut(c):
    c.abort()


def _stream_error(c):
    c.send("<not-a-stanza/>")


@cases([("close", _close), ("close after unavailable", _close_after_unavailable), ("cut", _cut),
        ("stream error", _stream_error)])
def end_of_a_session_is_seen_once(server, _name, end):
    u, c = _friends(server)
    end(c)
    got = u.expect("presence", from_=c.jid)
    equal(got["type"], "unavailable")
    u.expect_nothing()
    late = Client.login(u.account, "late", presence=True)
    check(("available", c.jid) not in _seen(late, u), "a session that has ended is seen")


def replaced_session_leaves_before_the_new_one_comes(server):
    u, c = _friends(server)
    again = Client.login(c.account, "c")
    c.expect_stream_error("conflict")
    equal(_seen(u, again), [("unavailable", c.jid)])
    again.presence()
    equal(u.expect("presence", from_=c.jid)["type"], None)


def own_resources_see_the_end(server):
    account = server.account("user")
    one, two = (Client.login(account, r, presence=True) for r in ("one", "two"))
    one.drain(two)
    two.abort()
    equal(one.expect("presence", from_=two.jid)["type"], "unavailable")


def end_of_a_session_that_was_not_available_is_silent(server):
    u, c = _friends(server)
    quiet = Client.login(c.account, "quiet")
    quiet.close()
    u.expect_nothing(c)


def unavailable_twice_is_seen_once(server):
    u, c = _friends(server)
    c.presence("unavailable")
    c.presence("unavailable")
    c.ping()
    equal(_seen(u, c), [("unavailable", c.jid)])


def unavailable_before_available_is_silent(server):
    u, c = _friends(server)
    quiet = Client.login(c.account, "quiet")
    quiet.presence("unavailable")
    u.expect_nothing(quiet)
    quiet.expect_nothing()


# Directed presence

def directed_presence_reaches_a_stranger_and_ends_with_the_session(server):
    """RFC 6121 4.6: who has seen somebody come sees him leave, however he leaves."""
    for end in (_close, _cut, lambda c: c.presence("unavailable", payload="<status>bye</status>")):
        one, two = (Client.login(a, presence=True) for a in server.accounts("one", "two"))
        one.presence(to=two.jid, payload="<show>chat</show>")
        got = two.expect("presence", from_=one.jid)
        equal((got["to"], got["type"], got.child_text("show")), (two.jid, None, "chat"))
        end(one)
        equal(two.expect("presence", from_=one.jid)["type"], "unavailable")
        two.expect_nothing()


def directed_presence_to_a_bare_address_reaches_all_available(server):
    one = Client.login(server.account("one"), presence=True)
    account = server.account("two")
    sessions = [Client.login(account, r, presence=r != "c") for r in "abc"]
    sessions[1].presence(payload="<priority>-3</priority>")
    for s in sessions:
        s.drain(sessions)
    one.presence(to=account.jid)
    for s in sessions[:2]:
        equal(s.expect("presence", from_=one.jid)["to"], account.jid)
    sessions[2].expect_nothing(one)
    one.close()
    for s in sessions[:2]:
        equal(s.expect("presence", from_=one.jid)["type"], "unavailable")


def directed_presence_is_not_broadcast(server):
    u, c = _friends(server)
    stranger = Client.login(server.account("stranger"), presence=True)
    u.presence(to=stranger.jid, payload="<show>dnd</show>")
    stranger.expect("presence", from_=u.jid)
    c.expect_nothing(u)
    u.presence(payload="<show>away</show>")   # updates go to subscribers only (RFC 6121 4.6.3)
    c.expect("presence", from_=u.jid)
    stranger.expect_nothing(u)


def directed_presence_without_initial_presence(server):
    one, two = Client.login(server.account("one")), Client.login(server.account("two"), presence=True)
    one.presence(to=two.jid)
    two.expect("presence", from_=one.jid, type=None)
    one.close()
    equal(two.expect("presence", from_=one.jid)["type"], "unavailable")


def directed_unavailable_ends_it(server):
    one, two = (Client.login(a, presence=True) for a in server.accounts("one", "two"))
    one.presence(to=two.jid)
    one.presence("unavailable", to=two.jid, payload="<status>for you</status>")
    two.expect("presence", from_=one.jid, type=None)
    equal(two.expect("presence", from_=one.jid, type="unavailable").child_text("status"), "for you")
    one.close()
    two.expect_nothing()


def directed_unavailable_leaves_the_session_available(server):
    u, c = _friends(server)
    u.presence("unavailable", to=c.bare)
    equal(c.expect("presence", from_=u.jid)["type"], "unavailable")
    third = Client.login(u.account, "third", presence=True)
    third.expect("presence", from_=u.jid, type=None)
    u.message(third.jid, "x")
    third.expect("message", body="x")
    c.message(u.bare, "still there")
    u.expect("message", body="still there")


def directed_presence_to_a_subscriber_is_seen_to_end_once(server):
    u, c = _friends(server)
    u.presence(to=c.bare, payload="<show>chat</show>")
    c.expect("presence", from_=u.jid)
    u.close()
    equal(_seen(c), [("unavailable", u.jid)])


@cases([("nobody", "nobody-here@{domain}"), ("gone resource", "{bare}/gone"), ("server", "{domain}")])
def directed_presence_to_nobody_is_ignored(server, _name, to):
    one, two = (Client.login(a, presence=True) for a in server.accounts("one", "two"))
    one.presence(to=to.format(domain=server.domain, bare=two.bare))
    one.expect_nothing()
    two.expect_nothing(one)
    one.close()
    two.expect_nothing()


def directed_presence_to_another_server_gets_an_error(server):
    one = Client.login(server.account("one"), presence=True)
    one.presence(to="someone@elsewhere.example", id_="p1")
    got = one.expect_error("remote-server-not-found", name="presence", id_="p1")
    equal(got["from"], "someone@elsewhere.example")


@dedicated(text="module presence { max_directed = 2 }")
def directed_presence_has_a_limit(server):
    one = Client.login(server.account("one"), presence=True)
    others = [Client.login(a, presence=True) for a in server.accounts("a", "b", "c")]
    for i, other in enumerate(others):
        one.presence(to=other.jid, id_=f"d{i}")
    one.expect_error("resource-constraint", name="presence", id_="d2")
    one.presence(to=others[0].jid, payload="<status>again</status>")
    one.presence("unavailable", to=others[1].jid)
    one.presence(to=others[2].jid)
    others[2].expect("presence", from_=one.jid, type=None)
    one.close()
    equal(_seen(others[0])[-1], ("unavailable", one.jid))
    equal(_seen(others[2])[-1], ("unavailable", one.jid))
    equal(_seen(others[1]), [("available", one.jid), ("unavailable", one.jid)])


# Probes

def probe_of_a_stranger_shows_nothing(server):
    """Whatever the server makes of a client's probe, no presence leaks."""
    one, two = (Client.login(a, presence=True) for a in server.accounts("one", "two"))
    for to in (two.bare, two.jid, f"nobody-here@{server.domain}"):
        one.presence("probe", to=to)
    got = [e for e in one.drain(two) if e["type"] not in ("unsubscribed", "error")]
    equal(got, [])
    two.expect_nothing(one)


def probe_without_to_is_harmless(server):
    u, c = _friends(server)
    u.presence("probe")
    u.drain(c)
    c.expect_nothing(u)


def stale_subscription_is_not_shown_at_login(server):
    """The contact has withdrawn it while the user was away."""
    u, c = _friends(server)
    u.close()
    c.drain()
    c.presence("unsubscribed", to=u.bare)
    c.ping()
    late = Client.login(u.account, "late", presence=True)
    c.expect("presence", from_=late.jid)
    check(c.jid not in [jid for _, jid in _seen(late, c)], "presence of one who has withdrawn it")
    equal(late.roster()[c.bare]["subscription"], "from")


# Errors and what is malformed

@cases(["nonsense", "available", "", "Unavailable"])
def bad_type_is_refused(server, type_):
    u, c = _friends(server)
    u.send(f"<presence type='{escape(type_)}' id='bad'/>")
    u.expect_error("bad-request", name="presence", id_="bad")
    c.expect_nothing(u)
    u.send(f"<presence type='{escape(type_)}' id='bad2' to='{c.jid}'/>")
    u.expect_error("bad-request", name="presence", id_="bad2")
    c.expect_nothing(u)


def errors_are_delivered_and_never_answered(server):
    one, two = (Client.login(a, presence=True) for a in server.accounts("one", "two"))
    error = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    one.presence("error", to=two.jid, payload=error, id_="e1")
    check_error(two.expect("presence", id="e1", from_=one.jid), "gone")
    for to in (f"{two.bare}/gone", f"nobody-here@{server.domain}", "someone@elsewhere.example", server.domain, None):
        one.presence("error", to=to, payload=error)
    one.expect_nothing()


@cases(["127", "-128", "5", " 7 ", "+1", "0"])
def good_priority_is_taken(server, value):
    client = Client.login(server.account("user"))
    client.presence(payload=f"<priority>{value}</priority>")
    client.expect("presence", from_=client.jid)
    other = Client.login(server.account("other"))
    other.message(client.bare, "hello", "headline")
    if int(value) >= 0:
        client.expect("message", body="hello")
    else:
        client.expect_nothing(other)


@cases(["128", "-129", "high", "", "1.5", "99999999999999999999"])
def bad_priority_is_zero_or_refused(server, value):
    client = Client.login(server.account("user"))
    client.presence(payload=f"<priority>{value}</priority>", id_="p")
    if client.expect("presence")["type"] == "error":
        return
    other = Client.login(server.account("other"))
    other.message(client.bare, "hello")
    client.expect("message", body="hello")


def changed_priority_counts_at_once(server):
    account, sender = server.account("user"), Client.login(server.account("sender"))
    one, two = (Client.login(account, r, presence=True) for r in ("one", "two"))
    for high, low in ((one, two), (two, one), (one, two)):
        high.presence(payload="<priority>5</priority>")
        low.presence(payload="<priority>1</priority>")
        high.drain(low), low.drain(high)
        sender.message(account.jid, "for the higher")
        high.expect("message", body="for the higher")
        low.expect_nothing(sender)
    one.presence("unavailable")
    one.drain(), two.drain(one)
    sender.message(account.jid, "for the other")
    two.expect("message", body="for the other")
    one.expect_nothing(sender)


def large_presence_is_delivered(server):
    u, c = _friends(server)
    text = "🜨é&" * 5000
    c.presence(payload=f"<status>{escape(text)}</status>")
    equal(u.expect("presence", from_=c.jid).child_text("status"), text)


def presence_of_many_contacts(server):
    """A login sees all contacts, on whatever worker they live, and all see it once."""
    account = server.account("hub")
    hub = Client.login(account, presence=True)
    contacts = [Client.login(server.account("contact"), presence=True) for _ in range(12)]
    for c in contacts:
        _subscribe(hub, c)
        _subscribe(c, hub)
    hub.abort()
    for c in contacts:
        c.expect("presence", type="unavailable", from_=hub.jid)
        c.drain()
    again = Client.login(account, "again")
    again.presence()
    for c in contacts:
        again.expect("presence", from_=c.jid, type=None)
        c.expect("presence", from_=again.jid, type=None)
    again.abort()
    for c in contacts:
        equal(c.expect("presence", from_=again.jid)["type"], "unavailable")
        c.expect_nothing()
