# SPDX-License-Identifier: MIT
"""Rosters: get, set, removal, versions, pushes, errors and limits (RFC 6121 2)."""
from harness import Client, cases, check, dedicated, equal, escape
from harness.client import NS_ROSTER, check_error

NS_ROSTERVER = "urn:xmpp:features:rosterver"
NS_PREAPPROVAL = "urn:xmpp:features:pre-approval"


def _query(inner="", ver=None):
    version = "" if ver is None else f" ver='{escape(ver)}'"
    return f"<query xmlns='{NS_ROSTER}'{version}>{inner}</query>"


def _item(jid, name=None, groups=(), **attrs):
    attrs = {"jid": jid, "name": name} | attrs
    text = "".join(f" {k}='{escape(v)}'" for k, v in attrs.items() if v is not None)
    return f"<item{text}>" + "".join(f"<group>{escape(g)}</group>" for g in groups) + "</item>"


def _user(server, resource=None, presence=False, name="user"):
    """A session that has asked for its (empty) roster."""
    account = server.account(name)
    client = Client.login(account, resource, presence=presence)
    client.account = account
    equal(client.roster(), {})
    return client


def _version(client, ver=""):
    """(version, items) as the server gives them to one who knows `ver`; items None for "nothing new"."""
    query = client.get(_query(ver=ver))
    return (None, None) if query is None else (query["ver"], {i["jid"]: i for i in query.find_all("item")})


def _push(client):
    """The next roster push: (item, version); answered as a client does."""
    push = client.expect("iq", type="set", where=lambda e: e.find("query", NS_ROSTER))
    check(push["from"] in (None, client.bare, client.jid), f"push from {push['from']}")
    equal(push["to"], client.jid)
    check(push["id"], "a push without id")
    items = push.find("query").find_all("item")
    equal(len(items), 1, "items in a push")
    client.answer(push)
    return items[0], push.find("query")["ver"]


def _groups(item):
    return sorted(g.text for g in item.find_all("group"))


# Get and set

def features_are_offered(server):
    client = Client.login(server.account("user"))
    check(client.features.find("ver", NS_ROSTERVER) is not None, "no roster versioning in the features")
    check(client.features.find("sub", NS_PREAPPROVAL) is not None, "no pre-approval in the features")


def item_is_added_and_pushed(server):
    client = _user(server)
    answer = client.iq("set", _query(_item("juliet@example.com", "Juliet", ["Friends", "Verona"])))
    equal((answer["type"], answer.children), ("result", []))
    item, _ = _push(client)
    for got in (item, client.roster()["juliet@example.com"]):
        equal((got["jid"], got["name"], got["subscription"], got["ask"]),
              ("juliet@example.com", "Juliet", "none", None))
        equal(_groups(got), ["Friends", "Verona"])


def item_is_changed_as_a_whole(server):
    """RFC 6121 2.4: what the new item does not name is gone."""
    client = _user(server)
    client.set(_query(_item("a@example.com", "A", ["G1", "G2"])))
    client.set(_query(_item("a@example.com", "Ä", ["G2", "G3"])))
    got = client.roster()["a@example.com"]
    equal((got["name"], _groups(got)), ("Ä", ["G2", "G3"]))
    client.set(_query(_item("a@example.com")))
    got = client.roster()["a@example.com"]
    equal((got["name"], _groups(got)), (None, []))


def item_is_removed(server):
    client = _user(server)
    client.set(_query(_item("a@example.com")))
    _push(client)
    client.set(_query(_item("a@example.com", subscription="remove")))
    item, _ = _push(client)
    equal((item["jid"], item["subscription"]), ("a@example.com", "remove"))
    equal(client.roster(), {})


@cases([("own bare address", "{bare}"), ("no address", None)])
def roster_may_be_addressed(server, _name, to):
    client = _user(server)
    to = to and to.format(bare=client.bare)
    client.set(_query(_item("a@example.com")), to=to)
    query = client.get(_query(), to=to)
    equal([i["jid"] for i in query.find_all("item")], ["a@example.com"])


def address_is_prepared(server):
    client = _user(server)
    client.set(_query(_item("RoMeO@EXAMPLE.com", "one")))
    client.set(_query(_item("romeo@example.com", "two")))
    equal({jid: item["name"] for jid, item in client.roster().items()}, {"romeo@example.com": "two"})


def domains_can_be_contacts(server):
    client = _user(server)
    client.set(_query(_item("transport.example.com", "Gateway")))
    equal(client.roster()["transport.example.com"]["name"], "Gateway")


@cases([("markup", "<b> & \"quotes\" 'single'"), ("unicode", "Ζεύς 🜨 ไทย"), ("spaces", "  two  spaces  "),
        ("1023 bytes", "x" * 1023)])
def names_are_kept_as_they_are(server, _name, text):
    client = _user(server)
    client.set(_query(_item("a@example.com", text, [text])))
    for session in (client, Client.login(client.account)):
        got = session.roster()["a@example.com"]
        equal((got["name"], _groups(got)), (text, [text]))


def client_may_not_set_states(server):
    """RFC 6121 2.1.2: only the server says what subscription, ask and approved are."""
    client = _user(server)
    client.set(_query(_item("a@example.com", subscription="both", ask="subscribe", approved="true")))
    got = client.roster()["a@example.com"]
    equal((got["subscription"], got["ask"], got["approved"]), ("none", None, None))


@cases(["none", "to", "from", "both", "nonsense"])
def other_values_of_subscription_are_ignored(server, value):
    client = _user(server)
    client.set(_query(_item("a@example.com", "A", subscription=value)))
    got = client.roster()["a@example.com"]
    equal((got["name"], got["subscription"]), ("A", "none"))


def foreign_elements_in_an_item_are_ignored(server):
    client = _user(server)
    client.set(_query("<item jid='a@example.com'><group>G</group><x xmlns='urn:example:x'><group>no</group></x></item>"))
    got = client.roster()["a@example.com"]
    equal([(c.ns, c.name, c.text) for c in got.children], [(NS_ROSTER, "group", "G")])


# Pushes

def pushes_reach_only_who_asked(server):
    """RFC 6121 2.1.6: available or not does not matter, having asked does."""
    account = server.account("user")
    asked, asked_available, available, bound = (
        Client.login(account, r, presence="available" in r) for r in ("asked", "asked-available", "available", "bound"))
    for client in (asked, asked_available):
        client.roster()
    for client in (asked, asked_available, available):
        client.drain()
    bound.set(_query(_item("a@example.com", "A")))
    for client in (asked, asked_available):
        equal(_push(client)[0]["name"], "A")
    for client in (asked, asked_available, available, bound):
        client.expect_nothing(bound)


def each_session_has_its_own_push_ids(server):
    account = server.account("user")
    sessions = [Client.login(account) for _ in range(3)]
    for s in sessions:
        s.roster()
    sessions[0].set(_query(_item("a@example.com")))
    pushes = [s.expect("iq", type="set") for s in sessions]
    check(all(p["id"] for p in pushes), f"ids: {pushes}")


def pushes_tell_the_last_version_last(server):
    """Who loses the connection in the middle is never told that nothing is new."""
    account = server.account("user")
    one, two = Client.login(account), Client.login(account)
    one.roster(), two.roster()
    for i in range(50):
        one.send(f"<iq type='set' id='s{i}'>{_query(_item(f'c{i % 5}@example.com', str(i)))}</iq>")
    for client in (one, two):
        names, versions = {}, []
        for _ in range(50):
            item, ver = _push(client)
            names[item["jid"]] = item["name"]
            versions.append(ver)
        equal(names, {f"c{i}@example.com": str(45 + i) for i in range(5)})
        equal(_version(client, versions[-1]), (None, None), "what is new after the last push")


def strangers_cannot_push(server):
    """A roster push of another user is an attack (RFC 6121 2.1.6); the server lets it reach a client at
    most with the true sender."""
    victim, attacker = _user(server, name="victim"), _user(server, name="attacker")
    attacker.send(f"<iq type='set' id='x1' to='{victim.jid}'>{_query(_item('evil@example.com'))}</iq>")
    attacker.send(f"<iq type='set' id='x2' to='{victim.bare}'>{_query(_item('evil@example.com'))}</iq>")
    attacker.expect_error("forbidden", name="iq", id_="x2")
    for iq in victim.drain(attacker):
        equal(iq["from"], attacker.jid)
    equal(victim.roster(), {})


def errors_in_answer_to_pushes_are_harmless(server):
    client = _user(server)
    for i in range(3):
        client.set(_query(_item("a@example.com", str(i))))
        push = client.expect("iq", type="set")
        client.send(f"<iq type='error' id='{push['id']}'><error type='cancel'><not-allowed "
                    f"xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>")
    client.expect_nothing()


# Versions

def versions_tell_what_is_new(server):
    """RFC 6121 2.6: an empty result when the client has all."""
    client = _user(server)
    first, items = _version(client)
    check(first is not None, "no version in the first answer")
    equal(items, {})
    equal(_version(client, first), (None, None))
    client.set(_query(_item("a@example.com")))
    pushed = _push(client)[1]
    second, items = _version(client, first)
    check(second not in (None, first), f"version {second} after {first}")
    equal(second, pushed, "version of the push")
    equal(list(items), ["a@example.com"])
    equal(_version(client, second), (None, None))


@cases([("empty", ""), ("unknown", "no-such-version"), ("future", "99999999"), ("odd", "&<'\""), ("long", "9" * 500)])
def unknown_version_gets_the_whole_roster(server, _name, ver):
    client = _user(server)
    client.set(_query(_item("a@example.com")))
    got, items = _version(client, ver)
    check(got not in (None, ver), f"version {got}")
    equal(list(items), ["a@example.com"])


@cases([("change", lambda c: c.set(_query(_item("a@example.com", "New")))),
        ("removal", lambda c: c.set(_query(_item("a@example.com", subscription="remove")))),
        ("request", lambda c: c.presence("subscribe", to="a@example.com")),
        ("approval in advance", lambda c: c.presence("subscribed", to="a@example.com"))])
def version_changes_with(server, _name, act):
    client = _user(server)
    client.set(_query(_item("a@example.com")))
    before = _version(client)[0]
    act(client)
    client.ping()
    after, items = _version(client, before)
    check(items is not None and after != before, f"nothing new since {before}")


def version_survives_logout_and_restart(server):
    account = server.account("user")
    client = Client.login(account)
    client.roster()
    client.set(_query(_item("a@example.com")))
    ver = _version(client)[0]
    client.drain()
    client.close()
    equal(_version(Client.login(account), ver), (None, None))


def get_while_knowing_the_version_still_asks_for_pushes(server):
    account = server.account("user")
    one, two = Client.login(account), Client.login(account)
    ver = _version(one)[0]
    equal(_version(two, ver), (None, None))
    one.set(_query(_item("a@example.com")))
    _push(two)


# Errors (RFC 6121 2.1.5, 2.3.3, 2.5.3)

@cases([("get", "get", ""), ("set", "set", "<item jid='a@example.com'/>")])
def roster_of_another_is_forbidden(server, _name, type_, inner):
    client, other = _user(server), _user(server, name="other")
    answer = client.iq(type_, _query(inner), to=other.bare)
    check_error(answer, "forbidden", "auth")
    equal(answer["from"], other.bare)
    other.expect_nothing(client)
    equal(other.roster(), {})


def roster_of_nobody_shows_no_more(server):
    """The answer does not tell who exists... RFC 6121 8.5.1 wants service-unavailable for nobody."""
    client = _user(server)
    check_error(client.iq("get", _query(), to=f"nobody-here@{server.domain}"), ["forbidden", "service-unavailable"])


_BAD_SETS = [
    ("no item", "", "bad-request"),
    ("two items", _item("a@example.com") + _item("b@example.com"), "bad-request"),
    ("foreign child", "<item xmlns='urn:example:x' jid='a@example.com'/>", "bad-request"),
    ("item after something else", "<x xmlns='urn:example:x'/>" + _item("a@example.com"), "bad-request"),
    ("no address", "<item name='x'/>", "bad-request"),
    ("empty address", "<item jid=''/>", ("bad-request", "jid-malformed")),
    ("no address at all", _item("@@"), ("bad-request", "jid-malformed")),
    ("full address", _item("a@example.com/x"), ("bad-request", "jid-malformed")),
    ("duplicate groups", _item("a@example.com", None, ["G", "G"]), "bad-request"),
    ("duplicate among others", _item("a@example.com", None, ["A", "B", "C", "A"]), "bad-request"),
    ("empty group", "<item jid='a@example.com'><group/></item>", "not-acceptable"),
    ("long name", _item("a@example.com", "x" * 1024), "not-acceptable"),
    ("long group", _item("a@example.com", None, ["x" * 1024]), "not-acceptable"),
    ("many groups", _item("a@example.com", None, [str(i) for i in range(21)]), "not-acceptable"),
    ("removal of nobody", _item("a@example.com", subscription="remove"), "item-not-found"),
]


@cases(_BAD_SETS)
def bad_set_is_refused_and_changes_nothing(server, _name, inner, condition):
    client = _user(server)
    client.set(_query(_item("kept@example.com", "Kept", ["G"])))
    client.drain()
    check_error(client.iq("set", _query(inner)), condition)
    client.expect_nothing()
    equal(list(client.roster()), ["kept@example.com"])


def own_address_is_refused(server):
    """RFC 6121 2.3.3: a server may refuse the own address; then the roster stays as it was."""
    client = _user(server)
    check_error(client.iq("set", _query(_item(client.bare))), ["not-allowed", "not-acceptable"])
    equal(client.roster(), {})


def failed_change_leaves_the_item(server):
    client = _user(server)
    client.set(_query(_item("a@example.com", "Old", ["G"])))
    check_error(client.iq("set", _query(_item("a@example.com", "New", ["G", "G"]))), "bad-request")
    got = client.roster()["a@example.com"]
    equal((got["name"], _groups(got)), ("Old", ["G"]))


@cases([("unknown element", f"<roster xmlns='{NS_ROSTER}'/>")])
def other_payloads_are_refused(server, _name, payload):
    client = _user(server)
    check_error(client.iq("get", payload), ["service-unavailable", "bad-request", "feature-not-implemented"])


# Limits

_SMALL = dict(text="module roster { max_items = 3  max_groups = 2  max_name = 16  max_requests = 2  "
                   "max_request_size = 600 }")


@dedicated(**_SMALL)
def limits_are_kept(server):
    client = _user(server, presence=True)
    for i in range(3):
        client.set(_query(_item(f"c{i}@example.com", "x" * 16, ["1", "2"])))
    check_error(client.iq("set", _query(_item("c3@example.com"))), "resource-constraint", "wait")
    for event in ("subscribe", "subscribed"):
        client.presence(event, to=f"c4@{server.domain}", id_=event)
        client.expect_error("resource-constraint", name="presence", id_=event)
    equal(len(client.roster()), 3)
    client.set(_query(_item("c0@example.com", "changed")))   # changing is no growth
    check_error(client.iq("set", _query(_item("c0@example.com", "x" * 17))), "not-acceptable")
    check_error(client.iq("set", _query(_item("c0@example.com", None, ["1", "2", "3"]))), "not-acceptable")
    client.set(_query(_item("c0@example.com", subscription="remove")))
    client.set(_query(_item("c3@example.com")))
    equal(sorted(client.roster()), [f"c{i}@example.com" for i in (1, 2, 3)])


@dedicated(text="module roster { max_size = 100KiB }")
def a_roster_over_its_size_is_kept_and_may_shrink(server):
    """As it is when the limit was higher before."""
    client = _user(server)
    for i in range(50):
        client.set(_query(_item(f"c{i}@example.com", "x" * 1000)))
    server.text = "module roster { max_size = 10KiB }"
    server.restart()
    client = Client.login(client.account)
    equal(len(client.roster()), 50)
    for change in (_item("new@example.com"), _item("c0@example.com", "x" * 1001), _item("c0@example.com", "&" * 999)):
        error = check_error(client.iq("set", _query(change)), "resource-constraint", "wait")
        check("max_size" in error.child_text("text"), error)
    for event in ("subscribe", "subscribed"):
        client.presence(event, to=f"new@{server.domain}", id_=event)
        check("max_size" in client.expect_error("resource-constraint", name="presence", id_=event).find("error")
              .child_text("text"), event)
        client.presence(event, to="c1@example.com")   # a contact already
    client.set(_query(_item("c0@example.com", "y" * 1000)))
    client.set(_query(_item("c0@example.com", "short")))
    for i in range(1, 50):
        client.set(_query(_item(f"c{i}@example.com", subscription="remove")))
    client.set(_query(_item("new@example.com", "x" * 1000)))
    equal(sorted(client.roster()), ["c0@example.com", "new@example.com"])


@dedicated(**_SMALL)
def requests_have_limits_of_their_own(server):
    """Strangers fill neither the roster nor the memory."""
    victim = server.account("victim")
    strangers = [Client.login(a, presence=True) for a in server.accounts("a", "b", "c")]
    for i, s in enumerate(strangers):
        s.presence("subscribe", to=victim.jid, id_="r")
        s.ping()
        if i == 2:
            s.expect_error("resource-constraint", name="presence", id_="r")
    client = Client.login(victim, presence=True)
    equal(len([e for e in client.drain() if e["type"] == "subscribe"]), 2, "requests")
    for i in range(3):
        client.set(_query(_item(f"c{i}@example.com")))
    client.presence("subscribed", to=strangers[0].bare, id_="full")   # it would become a contact
    client.expect_error("resource-constraint", name="presence", id_="full")
    client.presence("unsubscribed", to=strangers[0].bare)
    strangers[0].expect("presence", type="unsubscribed")
    strangers[2].presence("subscribe", to=victim.jid, payload=f"<status>{'x' * 700}</status>", id_="big")
    strangers[2].expect_error("not-acceptable", name="presence", id_="big")
    strangers[2].presence("subscribe", to=victim.jid)
    client.expect("presence", type="subscribe", from_=strangers[2].bare)


def large_rosters_work(server):
    client = _user(server)
    for i in range(300):
        client.send(f"<iq type='set' id='s{i}'>{_query(_item(f'c{i}@example.com', f'Name {i}', [f'G{i % 7}']))}</iq>")
    for i in range(300):
        equal(client.expect("iq", id=f"s{i}", where=lambda e: e["type"] != "set")["type"], "result")
    roster = Client.login(client.account).roster()
    equal({jid: (item["name"], _groups(item)) for jid, item in roster.items()},
          {f"c{i}@example.com": (f"Name {i}", [f"G{i % 7}"]) for i in range(300)})


# What lasts

def _as_table(roster):
    return {jid: (i["name"], _groups(i), i["subscription"], i["ask"]) for jid, i in roster.items()}


@dedicated()
@cases([("gracefully", False), ("killed", True)])
def roster_survives_a_restart(server, _name, hard):
    """What the server has confirmed is there after kill -9."""
    account = server.account("user")
    client = Client.login(account)
    client.set(_query(_item("gone@example.com", "Gone")))
    client.presence("subscribe", to=f"nobody@{server.domain}")
    for i in range(20):
        client.set(_query(_item(f"c{i}@example.com", f"Ñame {i}", ["G", f"G{i}"])))
    client.set(_query(_item("c0@example.com", "changed")))
    client.set(_query(_item("gone@example.com", subscription="remove")))
    if hard:
        wanted = {f"c{i}@example.com": (f"Ñame {i}", ["G", f"G{i}"], "none", None) for i in range(20)}
        wanted |= {"c0@example.com": ("changed", [], "none", None),
                   f"nobody@{server.domain}": (None, [], "none", "subscribe")}
    else:
        wanted = _as_table(client.roster())
    ver = None if hard else _version(client)[0]
    server.restart(hard=hard)
    client = Client.login(account)
    equal(_as_table(client.roster()), wanted)
    if ver is not None:
        equal(_version(client, ver), (None, None), "what is new after the restart")


@dedicated()
def each_confirmed_change_survives_a_kill(server):
    """The very last result before kill -9 counts, again and again."""
    account = server.account("user")
    for i in range(5):
        client = Client.login(account)
        equal(sorted(client.roster()), sorted(f"c{j}@example.com" for j in range(i)))
        client.set(_query(_item(f"c{i}@example.com")))
        server.restart(hard=True)


def name_and_groups_stay_through_all_states(server):
    ua, ca = server.accounts("user", "contact")
    u, c = Client.login(ua, presence=True), Client.login(ca, presence=True)
    u.set(_query(_item(ca.jid, "Contact", ["A", "B"])))
    for sender, other, event in ((u, c, "subscribe"), (c, u, "subscribed"), (c, u, "subscribe"),
                                 (u, c, "subscribed"), (c, u, "unsubscribe"), (c, u, "unsubscribed")):
        sender.presence(event, to=other.bare)
        other.settle(sender)
        got = u.roster()[ca.jid]
        equal((got["name"], _groups(got)), ("Contact", ["A", "B"]), f"after {event}")


def change_of_the_name_keeps_the_state(server):
    ua, ca = server.accounts("user", "contact")
    u, c = Client.login(ua, presence=True), Client.login(ca, presence=True)
    u.presence("subscribe", to=ca.jid)
    u.set(_query(_item(ca.jid, "First")))
    equal((u.roster()[ca.jid]["subscription"], u.roster()[ca.jid]["ask"]), ("none", "subscribe"))
    c.presence("subscribed", to=ua.jid)
    u.settle(c)
    u.set(_query(_item(ca.jid, "Second")))
    got = u.roster()[ca.jid]
    equal((got["name"], got["subscription"], got["ask"]), ("Second", "to", None))


def listing_one_who_has_asked_keeps_the_request(server):
    """None + Pending In with an item: the request still waits (RFC 6121 3.1.3)."""
    ua, ca = server.accounts("user", "contact")
    u, c = Client.login(ua, presence=True), Client.login(ca, presence=True)
    c.presence("subscribe", to=ua.jid)
    u.expect("presence", type="subscribe")
    u.set(_query(_item(ca.jid, "Asker")))
    fresh = Client.login(ua, presence=True)
    fresh.expect("presence", type="subscribe", from_=ca.jid)
    u.presence("subscribed", to=ca.jid)
    c.expect("presence", type="subscribed")
    equal((u.roster()[ca.jid]["name"], u.roster()[ca.jid]["subscription"]), ("Asker", "from"))


def changes_of_two_sessions_at_once(server):
    account = server.account("user")
    one, two = Client.login(account), Client.login(account)
    one.roster(), two.roster()
    for i in range(30):
        one.send(f"<iq type='set' id='a{i}'>{_query(_item('a@example.com', f'one {i}'))}</iq>")
        two.send(f"<iq type='set' id='a{i}'>{_query(_item('a@example.com', f'two {i}'))}</iq>")
    last = {}
    for client in (one, two):
        for _ in range(60):
            last[client] = _push(client)[0]["name"]
    equal(last[one], last[two], "the last push of both")
    equal(one.roster()["a@example.com"]["name"], last[one])
