# SPDX-License-Identifier: MIT
"""Unique and stable stanza ids (XEP-0359): who gets them, and that nobody forges them."""
from harness import Client, cases, check, dedicated, equal

NS = "urn:xmpp:sid:0"
NS_CARBONS = "urn:xmpp:carbons:2"
INFO = "http://jabber.org/protocol/disco#info"
BODY = "<body>text</body>"
STATE = "<active xmlns='http://jabber.org/protocol/chatstates'/>"


def _pair(server):
    sender, receiver = (Client.login(a, presence=True) for a in server.accounts("sender", "user"))
    return sender, receiver


def _ids(message):
    return [(e["by"], e["id"]) for e in message.find_all("stanza-id", NS)]


def _id(message, by):
    """The only stanza id of it, which is by that account."""
    found = _ids(message)
    equal([who for who, _ in found], [by], f"stanza-id in {message}")
    element = message.find("stanza-id", NS)
    equal((sorted(element.attrs), element.children, element.text), (["by", "id"], [], ""))
    return found[0][1]


def the_account_says_that_it_gives_ids(server):
    client = Client.login(server.account("user"))
    query = client.get(f"<query xmlns='{INFO}'/>", to=client.bare)
    check(NS in [f["var"] for f in query.find_all("feature")], f"features of the account: {query}")


def each_message_has_its_own_id(server):
    sender, receiver = _pair(server)
    seen = []
    for i in range(600):
        sender.message((receiver.bare, receiver.jid)[i % 2], "x", ("chat", "normal")[i % 3 == 0])
    for i in range(600):
        seen.append(_id(receiver.expect("message"), receiver.bare))
    equal(len(set(seen)), 600, "different ids")
    check(all(len(s) == 16 for s in seen), f"lengths: {seen[:3]}")
    check(seen != sorted(seen) and seen != sorted(seen, reverse=True), "ids tell the order")


@cases([("chat", "chat", BODY, True), ("normal", None, BODY, True), ("headline", "headline", BODY, False),
        ("groupchat", "groupchat", BODY, False), ("error", "error", BODY, False),
        ("receipt", "chat", "<received xmlns='urn:xmpp:receipts' id='1'/>", True),
        ("other payload", "chat", "<x xmlns='urn:example:secret'/>", True),
        ("chat state", "chat", STATE, False), ("chat state to be stored", "chat",
                                               STATE + "<store xmlns='urn:xmpp:hints'/>", True),
        ("no-store", "chat", BODY + "<no-store xmlns='urn:xmpp:hints'/>", False),
        ("no-permanent-store", "chat", BODY + "<no-permanent-store xmlns='urn:xmpp:hints'/>", False),
        ("nothing", "chat", "", False)])
def what_an_archive_would_keep_gets_an_id(server, _name, type_, inner, wanted):
    sender, receiver = _pair(server)
    kind = f" type='{type_}'" if type_ else ""
    sender.send(f"<message to='{receiver.jid}'{kind} id='m'>{inner}</message>")
    equal(len(_ids(receiver.expect("message", id="m"))), 1 if wanted else 0, "ids")


FORGED = ["{bare}", "{upper}", "{domain}"]


@cases([(by, type_) for by in FORGED for type_ in ("chat", "headline", "groupchat", "error", "normal")],
       name=lambda row: f"{row[0]} in {row[1]}")
def forged_ids_are_taken_away(server, by, type_):
    sender, receiver = _pair(server)
    by = by.format(bare=receiver.bare, upper=receiver.bare.upper(), domain=server.domain)
    fake = f"<stanza-id xmlns='{NS}' by='{by}' id='fake'/>"
    sender.send(f"<message to='{receiver.jid}' type='{type_}' id='m'>{fake}a{BODY}{fake}<x xmlns='urn:example:x'>"
                f"{fake}</x></message>")
    got = receiver.expect("message", id="m")
    check(all(id_ != "fake" for _, id_ in _ids(got)), f"a forged id came: {got}")
    equal((got.child_text("body"), got.text, got["type"] or "normal"), ("text", "a", type_))
    check(got.find("x").find("stanza-id") is not None, "deeper elements are not touched")


def ids_of_others_stay(server):
    sender, receiver = _pair(server)
    others = [("room@rooms.example", "1"), (f"{receiver.bare}.example", "2"), ("not an address", "3"),
              (f"{receiver.bare}/x", "4")]
    inner = "".join(f"<stanza-id xmlns='{NS}' by='{by}' id='{id_}'/>" for by, id_ in others)
    inner += f"<origin-id xmlns='{NS}' id='mine'/><stanza-id xmlns='urn:example:x' by='{receiver.bare}' id='5'/>"
    sender.message(receiver.jid, "x", payload=inner)
    got = receiver.expect("message")
    equal(_ids(got)[:4], others)
    equal([by for by, _ in _ids(got)[4:]], [receiver.bare])
    equal(got.find("origin-id", NS)["id"], "mine")
    equal(got.find("stanza-id", "urn:example:x")["id"], "5")


def an_account_cannot_forge_its_own(server):
    """What it sends to others claims to be by its own archive, or by the host."""
    sender, receiver = _pair(server)
    for by in (sender.bare, server.domain):
        sender.message(receiver.jid, "x", payload=f"<stanza-id xmlns='{NS}' by='{by}' id='fake'/>")
        _id(receiver.expect("message"), receiver.bare)


def a_stored_message_keeps_its_id(server):
    sender, account = Client.login(server.account("sender")), server.account("user")
    sender.message(account.jid, "x", payload=f"<stanza-id xmlns='{NS}' by='{account.jid}' id='fake'/>")
    sender.ping()
    check(_id(Client.login(account, presence=True).expect("message"), account.jid) != "fake", "forged")


def all_clients_see_the_same_id(server):
    sender, account = Client.login(server.account("sender")), server.account("user")
    one, two = (Client.login(account, r, presence=True) for r in ("one", "two"))
    two.set(f"<enable xmlns='{NS_CARBONS}'/>")
    sender.message(one.jid, "x")
    inner = two.expect("message").path("received", "forwarded", "message")
    equal(_id(inner, account.jid), _id(one.expect("message"), account.jid))
    sender.message(account.jid, "to both")
    equal(_id(one.expect("message"), account.jid), _id(two.expect("message"), account.jid))


def what_one_sends_has_no_id_of_the_other(server):
    receiver, account = Client.login(server.account("receiver"), presence=True), server.account("user")
    one, two = (Client.login(account, r, presence=True) for r in ("one", "two"))
    two.set(f"<enable xmlns='{NS_CARBONS}'/>")
    one.message(receiver.jid, "x")
    equal(_ids(two.expect("message").path("sent", "forwarded", "message")), [])
    _id(receiver.expect("message"), receiver.bare)


def a_managed_session_gets_ids(server):
    """Also in what is sent again."""
    sender, account = Client.login(server.account("sender")), server.account("user")
    receiver = Client.login(account, presence=True)
    receiver.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    session = receiver.expect("enabled")["id"]
    sender.message(receiver.jid, "x")
    id_ = _id(receiver.expect("message"), account.jid)
    receiver.sock.close()
    again = Client(server, name="again")
    again.secure()
    again.authenticate(account.user, account.password)
    again.open()
    again.send(f"<resume xmlns='urn:xmpp:sm:3' previd='{session}' h='0'/>")
    again.expect("resumed")
    got = again.expect("message")
    equal((_id(got, account.jid), got.child_text("body")), (id_, "x"))


@dedicated(options={"resume_time": "1s"})
def a_message_that_looks_for_another_session_keeps_its_id(server):
    sender, account = Client.login(server.account("sender")), server.account("user")
    receiver = Client.login(account, "one", presence=True)
    receiver.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    receiver.expect("enabled")
    sender.message(receiver.jid, "x", payload=f"<stanza-id xmlns='{NS}' by='{account.jid}' id='fake'/>")
    id_ = _id(receiver.expect("message"), account.jid)
    receiver.sock.close()
    server.wait_for(lambda: server.stored_messages(account.jid) == 1, "the message in the store", timeout=10)
    equal(_id(Client.login(account, presence=True).expect("message"), account.jid), id_)
