# SPDX-License-Identifier: MIT
"""Presence subscriptions: every state and event of RFC 6121 appendix A, seen from both sides at once."""
import itertools

from harness import Client, cases, check, dedicated, equal
from harness.client import NS_ROSTER

EVENTS = ("subscribe", "unsubscribe", "subscribed", "unsubscribed")

# A state is (subscription, pending out, pending in). The names are those of the RFC.
STATES = {
    "None": ("none", False, False),
    "None + Pending Out": ("none", True, False),
    "None + Pending In": ("none", False, True),
    "None + Pending Out+In": ("none", True, True),
    "To": ("to", False, False),
    "To + Pending In": ("to", False, True),
    "From": ("from", False, False),
    "From + Pending Out": ("from", True, False),
    "Both": ("both", False, False),
}

# How the user (u) and the contact (c) get there from nothing.
WAYS = {
    "None": "",
    "None + Pending Out": "u subscribe",
    "None + Pending In": "c subscribe",
    "None + Pending Out+In": "u subscribe, c subscribe",
    "To": "u subscribe, c subscribed",
    "To + Pending In": "u subscribe, c subscribed, c subscribe",
    "From": "c subscribe, u subscribed",
    "From + Pending Out": "c subscribe, u subscribed, u subscribe",
    "Both": "u subscribe, c subscribed, c subscribe, u subscribed",
}

MIRROR = {
    "None": "None",
    "None + Pending Out": "None + Pending In",
    "None + Pending In": "None + Pending Out",
    "None + Pending Out+In": "None + Pending Out+In",
    "To": "From",
    "To + Pending In": "From + Pending Out",
    "From": "To",
    "From + Pending Out": "To + Pending In",
    "Both": "Both",
}

# Appendix A.2: outbound event: {state: new state}, and the states in which it is not routed.
OUTBOUND = {
    "subscribe": {"None": "None + Pending Out", "None + Pending In": "None + Pending Out+In",
                  "From": "From + Pending Out"},
    "unsubscribe": {"None + Pending Out": "None", "None + Pending Out+In": "None + Pending In", "To": "None",
                    "To + Pending In": "None + Pending In", "From + Pending Out": "From", "Both": "From"},
    "subscribed": {"None + Pending In": "From", "None + Pending Out+In": "From + Pending Out",
                   "To + Pending In": "Both"},
    "unsubscribed": {"None + Pending In": "None", "None + Pending Out+In": "None + Pending Out",
                     "To + Pending In": "To", "From": "None", "From + Pending Out": "None + Pending Out",
                     "Both": "To"},
}
NOT_ROUTED = {
    "subscribe": (), "unsubscribe": (),
    "subscribed": ("None", "None + Pending Out", "To", "From", "From + Pending Out", "Both"),
    "unsubscribed": ("None", "None + Pending Out", "To"),
}

# Appendix A.3: inbound event: {state: new state}; it is delivered exactly where the state changes.
INBOUND = {
    "subscribe": {"None": "None + Pending In", "None + Pending Out": "None + Pending Out+In",
                  "To": "To + Pending In"},
    "unsubscribe": {"None + Pending In": "None", "None + Pending Out+In": "None + Pending Out",
                    "To + Pending In": "To", "From": "None", "From + Pending Out": "None + Pending Out",
                    "Both": "To"},
    "subscribed": {"None + Pending Out": "To", "None + Pending Out+In": "To + Pending In",
                   "From + Pending Out": "Both"},
    "unsubscribed": {"None + Pending Out": "None", "None + Pending Out+In": "None + Pending In", "To": "None",
                     "To + Pending In": "None + Pending In", "From + Pending Out": "From", "Both": "From"},
}

PRE_APPROVAL = ("None", "None + Pending Out", "To")   # RFC 6121 3.4.2, cases 3 and 4


class Side:
    """One of the two: three sessions that differ in what they asked for."""

    def __init__(self, server, name):
        self.account = server.account(name)
        self.main = Client.login(self.account, "main")           # available, asked for the roster
        self.main.roster()
        self.main.presence()
        self.plain = Client.login(self.account, "plain", presence=True)   # never asked for the roster
        self.silent = Client.login(self.account, "silent")       # asked for the roster, is not available
        self.silent.roster()
        self.sessions = [self.main, self.plain, self.silent]
        self.available = [self.main, self.plain]
        self.interested = [self.main, self.silent]
        self.bare = self.main.bare

    def drain(self):
        return {session: session.drain() for session in self.sessions}


def _settle(u, c):
    """All that either has caused at the other, and answers to that, has arrived."""
    for _ in range(2):
        c.settle(u)
        u.settle(c)


def _bring(u, c, way):
    """Lets two clients send what leads to a state: "u subscribe, c subscribed"."""
    for step in filter(None, way.split(", ")):
        who, event = step.split()
        sender, other = (u, c) if who == "u" else (c, u)
        sender.presence(event, to=other.bare)
        other.settle(sender)
        sender.settle(other)


def _item_state(item):
    return (item["subscription"], item["ask"] == "subscribe") if item is not None else ("none", False)


def _has(state, direction):
    return STATES[state][0] in (direction, "both")


def _presences(inbox, *types):
    return [e for e in inbox if e.name == "presence" and e["type"] in types]


def _pushes(inbox):
    return [e for e in inbox if e.name == "iq" and e["type"] == "set" and e.find("query", NS_ROSTER)]


def _check_side(side, other, inboxes, before, after, event, approved=False):
    """Pushes, events and presence that one side must have got, and nothing else. event: delivered or None."""
    visible = STATES[before][:2] != STATES[after][:2] or approved
    for session in side.sessions:
        inbox, what = inboxes[session], f"{session.name} from {before} to {after}"
        pushes = _pushes(inbox)
        if session not in side.interested:
            equal(len(pushes), 0, f"roster pushes to {what}, who never asked for the roster")
        elif visible:
            equal(len(pushes), 1, f"roster pushes to {what}")
        else:
            check(len(pushes) <= 1, f"several roster pushes to {what}: {pushes}")
        for push in pushes:
            item = push.path("query", "item")
            equal((item["jid"], item["approved"]), (other.bare, "true" if approved else None), f"push to {what}")
            equal(_item_state(item), STATES[after][:2], f"pushed item of {what}")
            check(push["from"] in (None, side.bare, session.jid), f"push from {push['from']}")
        got = [(e["type"], e["from"], e["to"]) for e in _presences(inbox, *EVENTS)]
        wants = side.available if event == "subscribe" else side.interested
        if event and session in wants:
            equal(got, [(event, other.bare, side.bare)], f"events for {what}")
        elif not event or event == "subscribe":
            equal(got, [], f"events for {what}")
        seen = sorted((e["type"] or "available", e["from"]) for e in _presences(inbox, None, "unavailable"))
        change = {(False, True): "available", (True, False): "unavailable"}.get(
            (_has(before, "to"), _has(after, "to")))
        wanted = [(change, s.jid) for s in other.available] if change and session in side.available else []
        if session in side.available or seen:
            equal(seen, sorted(wanted), f"presence for {what}")
        rest = [e for e in inbox if e not in pushes and e.name != "presence"]
        equal(rest, [], f"what else came to {what}")


def _check_stored(side, other, state, approved=False):
    """The state as a new login sees it: the roster, and the request if one is open."""
    fresh = Client.login(side.account, "fresh")
    item = fresh.roster().get(other.bare)
    equal(_item_state(item), STATES[state][:2], f"roster of {side.bare}")
    equal(item["approved"] if item else None, "true" if approved else None, "approved")
    fresh.presence()
    fresh.expect("presence", from_=fresh.jid)
    requests = _presences(fresh.drain(), "subscribe")
    equal([(e["from"], e["to"]) for e in requests], [(other.bare, side.bare)] if STATES[state][2] else [],
          f"requests at the login of {side.bare}")


def _event_in_state(server, state, event, listed):
    u, c = Side(server, "user"), Side(server, "contact")
    if listed:
        u.main.set(f"<query xmlns='{NS_ROSTER}'><item jid='{c.bare}' name='Contact'><group>G</group></item></query>")
    _bring(u.main, c.main, WAYS[state])
    for side in (u, c):
        side.drain()
    u.main.presence(event, to=c.bare, id_="e1")
    _settle(u.main, c.main)
    user_after = OUTBOUND[event].get(state, state)
    contact_before = contact_after = MIRROR[state]
    delivered = None
    if state not in NOT_ROUTED[event]:
        contact_after = INBOUND[event].get(contact_before, contact_before)
        delivered = event if contact_after != contact_before else None
    approved = event == "subscribed" and state in PRE_APPROVAL
    _check_side(u, c, u.drain(), state, user_after, None, approved)
    _check_side(c, u, c.drain(), contact_before, contact_after, delivered)
    _check_stored(u, c, user_after, approved)
    _check_stored(c, u, contact_after)
    if listed:
        item = u.main.roster()[c.bare]
        equal((item["name"], item.child_text("group")), ("Contact", "G"), "name and group of the item")


@cases(list(itertools.product(EVENTS, STATES)), name=lambda row: f"{row[0]} in {row[1]}")
def event_with_listed_contact(server, event, state):
    """The user has the contact in the roster, with a name and a group; the contact has nothing."""
    _event_in_state(server, state, event, True)


@cases(list(itertools.product(EVENTS, ("None", "None + Pending In", "From", "Both"))),
       name=lambda row: f"{row[0]} in {row[1]}")
def event_with_unlisted_contact(server, event, state):
    """Nobody has made an item by hand."""
    _event_in_state(server, state, event, False)


# Requests

def _pair(server, presence=True):
    u, c = (Client.login(a, presence=presence) for a in server.accounts("user", "contact"))
    u.roster()
    c.roster()
    return u, c


def _accounts_in(server, state, offline=False):
    """Two accounts in a state, and their sessions unless offline."""
    ua, ca = server.accounts("user", "contact")
    u, c = (Client.login(a, presence=True) for a in (ua, ca))
    u.roster()
    c.roster()
    _bring(u, c, WAYS[state])
    u.drain(c)
    c.drain(u)
    if offline:
        u.close()
        c.drain()
        c.close()
    return ua, ca, u, c


def request_carries_its_content_and_language(server):
    u, c = _pair(server)
    u.send(f"<presence type='subscribe' to='{c.bare}' id='r1' xml:lang='de'><status>Bitte &amp; danke</status>"
           f"<nick xmlns='http://jabber.org/protocol/nick'>Jül</nick></presence>")
    got = c.expect("presence", type="subscribe", from_=u.bare, to=c.bare)
    equal((got["id"], got["xml:lang"], got.child_text("status"), got.child_text("nick")),
          ("r1", "de", "Bitte & danke", "Jül"))


def request_waits_for_the_next_login_with_its_content(server):
    ua, ca = server.accounts("user", "contact")
    u = Client.login(ua, presence=True)
    u.presence("subscribe", to=ca.jid, payload="<status>Hello</status>", id_="r7")
    u.ping()
    for _ in range(3):
        c = Client.login(ca, presence=True)
        got = c.expect("presence", type="subscribe", from_=ua.jid)
        equal((got.child_text("status"), got["to"], got["id"]), ("Hello", ca.jid, "r7"))
        equal(c.roster(), {}, "the roster of one who was asked")
        c.close()
    c = Client.login(ca, presence=True)
    c.expect("presence", type="subscribe", from_=ua.jid)
    c.presence("subscribed", to=ua.jid)
    u.expect("presence", type="subscribed", from_=ca.jid)
    c.close()
    c = Client.login(ca, presence=True)
    equal(_presences(c.drain(u), "subscribe"), [], "requests after the answer")


def request_comes_again_when_the_session_becomes_available_again(server):
    u, c = _pair(server)
    u.presence("subscribe", to=c.bare)
    c.expect("presence", type="subscribe")
    c.presence()
    equal(_presences(c.drain(), "subscribe"), [], "requests after an update of presence")
    c.presence("unavailable")
    c.presence()
    equal(len(_presences(c.drain(), "subscribe")), 1, "requests after coming back")


def requests_of_several_come_each_once(server):
    c_account = server.account("contact")
    others = [Client.login(a, presence=True) for a in server.accounts("a", "b", "c")]
    for o in others:
        for _ in range(3):
            o.presence("subscribe", to=c_account.jid)
        o.ping()
    c = Client.login(c_account, presence=True)
    got = sorted(e["from"] for e in _presences(c.drain(others), "subscribe"))
    equal(got, sorted(o.bare for o in others))


@cases([("subscribed",), ("unsubscribed",)])
def answered_request_does_not_come_again(server, answer):
    ua, ca, u, c = _accounts_in(server, "None + Pending Out")
    c.presence(answer, to=u.bare)
    u.expect("presence", type=answer, from_=c.bare)
    fresh = Client.login(ca, presence=True)
    equal(_presences(fresh.drain(u), "subscribe"), [])


def withdrawn_request_does_not_come(server):
    ua, ca = server.accounts("user", "contact")
    u = Client.login(ua, presence=True)
    u.presence("subscribe", to=ca.jid)
    u.presence("unsubscribe", to=ca.jid)
    u.ping()
    c = Client.login(ca, presence=True)
    equal(_presences(c.drain(u), *EVENTS), [])


@dedicated()
@cases([("gracefully", False), ("killed", True)])
def requests_and_states_survive_a_restart(server, _name, hard):
    made = {state: _accounts_in(server, state, offline=True)[:2] for state in STATES}
    approver, approved = server.accounts("approver", "approved")
    client = Client.login(approver)
    client.presence("subscribed", to=approved.jid)
    client.set(f"<query xmlns='{NS_ROSTER}'><item jid='later@{server.domain}'/></query>")  # after this all is on disk
    client.close()
    server.restart(hard=hard)
    for state, (ua, ca) in made.items():
        for account, other, wanted in ((ua, ca, state), (ca, ua, MIRROR[state])):
            client = Client.login(account)
            equal(_item_state(client.roster().get(other.jid)), STATES[wanted][:2], f"{account} in {wanted}")
            client.presence()
            client.expect("presence", from_=client.jid)
            equal(len(_presences(client.drain(), "subscribe")), int(STATES[wanted][2]), f"requests in {wanted}")
            client.close()
    equal(Client.login(approver).roster()[approved.jid]["approved"], "true")


def full_address_counts_as_the_account(server):
    """RFC 6121 3.1.1: the server takes off the resource."""
    u, c = _pair(server)
    for sender, other, event in ((u, c, "subscribe"), (c, u, "subscribed"), (u, c, "unsubscribe")):
        sender.presence(event, to=other.jid)
        got = other.expect("presence", type=event)
        equal((got["from"], got["to"]), (sender.bare, other.bare))


def from_is_always_the_account(server):
    u, c = _pair(server)
    u.presence("subscribe", to=c.bare, from_=u.jid)
    equal(c.expect("presence", type="subscribe")["from"], u.bare)


@cases(EVENTS)
def event_without_to_is_refused(server, event):
    u = Client.login(server.account("user"), presence=True)
    u.presence(event, id_="e9")
    u.expect_error("bad-request", name="presence", id_="e9")
    equal(u.roster(), {})


@cases(EVENTS)
def event_to_oneself_changes_nothing(server, event):
    u = Client.login(server.account("user"), presence=True)
    u.roster()
    u.presence(event, to=u.bare)
    u.presence(event, to=u.jid)
    got = u.drain()
    check(all(e["type"] == "error" for e in got), f"got {got}")
    equal(u.roster(), {})


@cases(EVENTS)
def event_to_nobody(server, event):
    """No such user: the request stays open, and what the answer shows is the same as for anyone."""
    u = Client.login(server.account("user"), presence=True)
    u.roster()
    nobody = f"nobody-at-all@{server.domain}"
    u.presence(event, to=nobody)
    pushes = _pushes(u.drain())
    item = u.roster().get(nobody)
    equal(_item_state(item), ("none", event == "subscribe"))
    equal(len(pushes), 1 if event in ("subscribe", "subscribed") else 0, "pushes")


@cases(["subscribe", "subscribed"])
def event_to_the_server_itself_is_harmless(server, event):
    u = Client.login(server.account("user"), presence=True)
    u.roster()
    u.presence(event, to=server.domain)
    u.drain()
    u.ping()


def event_to_another_server_is_answered_with_an_error(server):
    u = Client.login(server.account("user"), presence=True)
    u.presence("subscribe", to="someone@elsewhere.example")
    got = u.expect("presence", type="error")
    check(got.path("error", "remote-server-not-found"), f"got {got}")
    equal(got["from"], "someone@elsewhere.example")


# Approval in advance, and answers by the server

def approval_in_advance_answers_the_request(server):
    """RFC 6121 3.4: the user is not asked, the contact sees presence at once."""
    u, c = _pair(server)
    u.presence("subscribed", to=c.bare)
    u.drain()
    c.expect_nothing(u)
    c.presence("subscribe", to=u.bare)
    got = c.expect("presence", type="subscribed")
    equal(got["from"], u.bare)
    c.expect("presence", from_=u.jid, type=None)
    inbox = u.drain(c)
    equal(_presences(inbox, "subscribe"), [], "requests to the user")
    equal([_item_state(p.path("query", "item")) for p in _pushes(inbox)], [("from", False)], "pushes")
    equal(c.roster()[u.bare]["subscription"], "to")
    equal(u.roster()[c.bare]["subscription"], "from")


def approval_in_advance_can_be_taken_back(server):
    u, c = _pair(server)
    u.presence("subscribed", to=c.bare)
    equal(u.expect("iq", type="set").path("query", "item")["approved"], "true")
    u.presence("unsubscribed", to=c.bare)
    equal(u.expect("iq", type="set").path("query", "item")["approved"], None)
    c.expect_nothing(u)
    c.presence("subscribe", to=u.bare)
    u.expect("presence", type="subscribe", from_=c.bare)


def approval_in_advance_while_offline(server):
    ua, ca = server.accounts("user", "contact")
    u = Client.login(ua)
    u.presence("subscribed", to=ca.jid)
    u.ping()
    u.close()
    c = Client.login(ca, presence=True)
    c.roster()
    c.presence("subscribe", to=ua.jid)
    c.expect("presence", type="subscribed", from_=ua.jid)
    equal(c.roster()[ua.jid]["subscription"], "to")


def approval_in_advance_of_both_with_pending_request(server):
    """The user has asked already; approving in advance does not lose that."""
    u, c = _pair(server)
    u.presence("subscribe", to=c.bare)
    u.presence("subscribed", to=c.bare)
    u.settle()
    c.settle(u)
    item = u.roster()[c.bare]
    equal((_item_state(item), item["approved"]), (("none", True), "true"))
    c.presence("subscribe", to=u.bare)
    c.expect("presence", type="subscribed", from_=u.bare)
    c.presence("subscribed", to=u.bare)
    u.expect("presence", type="subscribed", from_=c.bare)
    u.settle(c)
    equal((_item_state(u.roster()[c.bare]), _item_state(c.roster()[u.bare])), (("both", False), ("both", False)))


def late_request_after_approval_leads_to_both(server):
    """What converse.js does: it approves first and asks afterwards, while the other side has asked long ago."""
    u, c = _pair(server)
    u.presence("subscribe", to=c.bare)
    c.expect("presence", type="subscribe", from_=u.bare)
    c.presence("subscribed", to=u.bare)
    c.presence("subscribe", to=u.bare)
    u.expect("presence", type="subscribed", from_=c.bare)
    u.expect("presence", type="subscribe", from_=c.bare)
    u.presence("subscribed", to=c.bare)
    u.presence("subscribe", to=c.bare)   # once more although subscribed
    c.expect("presence", type="subscribed", from_=u.bare)
    _settle(u, c)
    for client, other in ((u, c), (c, u)):
        equal(_item_state(client.roster()[other.bare]), ("both", False))
    equal(_presences(c.drain(u), "subscribe"), [], "requests to one who has approved")


def request_when_subscribed_is_answered_by_the_server(server):
    """RFC 6121 3.1.3: helps a contact whose own record is lost; here the contact removed its item offline."""
    ua, ca, u, c = _accounts_in(server, "From")
    c.presence("subscribe", to=u.bare)
    _settle(c, u)
    equal(_presences(u.drain(), "subscribe"), [], "requests to one who has approved")
    equal(_item_state(c.roster()[u.bare]), ("to", False))


def crossing_requests_and_approvals(server):
    """Both ask at the same moment and approve at the same moment, many times over."""
    for _ in range(8):
        u, c = _pair(server)
        u.presence("subscribe", to=c.bare)
        c.presence("subscribe", to=u.bare)
        u.presence("subscribed", to=c.bare)
        c.presence("subscribed", to=u.bare)
        _settle(u, c)
        for client, other in ((u, c), (c, u)):
            equal(_item_state(client.roster()[other.bare]), ("both", False), f"{client.name}")


# What is seen

def no_presence_without_subscription(server):
    u, c = _pair(server)
    u.presence("subscribe", to=c.bare)
    c.expect("presence", type="subscribe")
    u.drain(c)
    c.presence(payload="<show>away</show>")
    u.expect_nothing(c)
    c.drain()
    u.presence(payload="<show>dnd</show>")
    c.expect_nothing(u)
    u.drain()
    c.close()
    u.expect_nothing()


def subscription_shows_one_direction_only(server):
    ua, ca, u, c = _accounts_in(server, "To")
    c.presence(payload="<show>away</show>")
    equal(u.expect("presence", from_=c.jid).child_text("show"), "away")
    c.drain()
    u.presence(payload="<show>dnd</show>")
    c.expect_nothing(u)


def no_presence_after_the_end(server):
    ua, ca, u, c = _accounts_in(server, "Both")
    u.presence("unsubscribed", to=c.bare)
    u.presence("unsubscribe", to=c.bare)
    _settle(u, c)
    u.drain()
    c.drain()
    u.presence(payload="<show>dnd</show>")
    c.presence(payload="<show>dnd</show>")
    _settle(u, c)
    equal([e["from"] for e in u.drain()], [u.jid])
    equal([e["from"] for e in c.drain()], [c.jid])


# Removal of the item

@cases(["To", "To + Pending In", "From", "From + Pending Out", "Both", "None + Pending Out",
        "None + Pending Out+In"])
def removal_ends_both_directions(server, state):
    """RFC 6121 2.5.2: the other side is told as if unsubscribe and unsubscribed had been sent."""
    u, c = Side(server, "user"), Side(server, "contact")
    _bring(u.main, c.main, WAYS[state])
    u.drain(), c.drain()
    u.main.set(f"<query xmlns='{NS_ROSTER}'><item jid='{c.bare}' subscription='remove'/></query>")
    _settle(u.main, c.main)
    inboxes = c.drain()
    wanted = []
    if _has(state, "to") or STATES[state][1]:
        wanted.append("unsubscribe")
    if _has(state, "from") or STATES[state][2]:
        wanted.append("unsubscribed")
    got = _presences(inboxes[c.main], *EVENTS)
    equal(sorted(e["type"] for e in got), sorted(wanted), "what the contact is told")
    for session, other in ((c.main, u), (u.main, c)):
        lost = _has(state if session is u.main else MIRROR[state], "to")
        seen = _presences(inboxes[session] if session is c.main else u.main.drain(), "unavailable")
        equal(sorted(e["from"] for e in seen), sorted(s.jid for s in other.available) if lost else [], "who left")
    equal(u.main.roster(), {})
    equal(_item_state(c.main.roster().get(u.bare)), ("none", False))
    for side in (u, c):
        fresh = Client.login(side.account, "fresh", presence=True)
        equal(_presences(fresh.drain(), "subscribe"), [], "requests after the removal")
    c.drain(), u.drain()
    u.main.presence(payload="<show>dnd</show>")
    equal([e for e in c.main.drain(u.main) if e.name == "presence"], [], "presence after the removal")


def removal_and_new_request_in_one_breath(server):
    """What clients do to ask anew: the contact first hears of the end, then of the request."""
    ua, ca, u, c = _accounts_in(server, "Both")
    u.send(f"<iq type='set' id='r'><query xmlns='{NS_ROSTER}'><item jid='{c.bare}' subscription='remove'/></query></iq>"
           f"<iq type='set' id='s'><query xmlns='{NS_ROSTER}'><item jid='{c.bare}' name='Again'/></query></iq>"
           f"<presence type='subscribe' to='{c.bare}'/>")
    for id_ in "rs":
        u.expect("iq", id=id_, type="result")
    _settle(u, c)
    equal([e["type"] for e in _presences(c.drain(), *EVENTS)], ["unsubscribe", "unsubscribed", "subscribe"])
    equal((_item_state(u.roster()[c.bare]), u.roster()[c.bare]["name"]), (("none", True), "Again"))
    c.presence("subscribed", to=u.bare)
    u.expect("presence", type="subscribed", from_=c.bare)
    u.expect("presence", from_=c.jid, type=None)
    equal(_item_state(c.roster()[u.bare]), ("from", False))


def removal_takes_the_approval_back(server):
    u, c = _pair(server)
    u.presence("subscribed", to=c.bare)
    u.drain()
    u.set(f"<query xmlns='{NS_ROSTER}'><item jid='{c.bare}' subscription='remove'/></query>")
    c.presence("subscribe", to=u.bare)
    u.expect("presence", type="subscribe", from_=c.bare)


def removed_account_ends_subscriptions(server):
    """Contacts of a deleted account do not wait for it for ever."""
    ua, ca, u, c = _accounts_in(server, "Both")
    server.ctl("user", "remove", ua.jid)
    c.expect("presence", type="unsubscribe", from_=ua.jid)
    c.expect("presence", type="unsubscribed", from_=ua.jid)
    c.settle()
    equal(_item_state(c.roster().get(ua.jid)), ("none", False))


def many_resources_each_get_the_request(server):
    u = Client.login(server.account("user"), presence=True)
    account = server.account("contact")
    sessions = [Client.login(account, f"r{i}", presence=True) for i in range(4)]
    sessions[0].presence(payload="<priority>-5</priority>")
    for s in sessions:
        s.drain()
    u.presence("subscribe", to=account.jid)
    for s in sessions:
        s.expect("presence", type="subscribe", from_=u.bare, to=account.jid)
