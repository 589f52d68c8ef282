# SPDX-License-Identifier: MIT
"""What two users on two servers do: the same story for every pair of servers."""
from harness import check, equal

from .peers import PASSWORD, USERS
from .people import User

BIG = 100 * 1024
VCARD = "vcard-temp"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"


def condition(stanza):
    """The defined condition of an error stanza."""
    error = stanza.find("error")
    check(error is not None, f"no error in {stanza}")
    return next((c.name for c in error.find_all(ns=STANZAS) if c.name != "text"), None)


def chat(one, other, text="Wherefore art thou? ä€😀 &lt;&amp;&gt;"):
    """A message there and one back."""
    one.say(other.full, text)
    plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    got = other.until("message", from_=one.full, body=plain)
    equal(got["to"], other.full, "to")
    other.say(one.full, "Here")
    one.until("message", from_=other.full, body="Here")


def pushed(user, jid, subscription):
    user.until("iq", type="set", where=lambda iq: iq.find("query", "jabber:iq:roster") and [
        i for i in iq.find("query").find_all("item") if (i["jid"], i["subscription"]) == (jid, subscription)])


def befriend(one, other):
    """Subscriptions both ways, each asked for and approved; pushes and presence are seen."""
    for asker, asked, before in ((one, other, ("to", "from")), (other, one, ("both", "both"))):
        asker.send(f"<presence type='subscribe' to='{asked.bare}'/>")
        asked.until("presence", type="subscribe", from_=asker.bare)
        asked.send(f"<presence type='subscribed' to='{asker.bare}'/>")
        asker.until("presence", type="subscribed", from_=asked.bare)
        asker.until("presence", type=None, from_=asked.full)
        pushed(asker, asked.bare, before[0])
        pushed(asked, asker.bare, before[1])


def see_presence(one, other):
    for user, friend in ((one, other), (other, one)):
        friend.send("<presence><show>away</show><status>in Mantua</status></presence>")
        seen = user.until("presence", from_=friend.full, where=lambda p: p.child_text("show") == "away")
        equal(seen.child_text("status"), "in Mantua")


def fetch_vcards(one, other):
    for user, friend in ((one, other), (other, one)):
        answer = friend.ask(f"<vCard xmlns='{VCARD}'><FN>Name of {friend.bare}</FN></vCard>", type_="set")
        equal(answer["type"], "result", f"publishing a vCard ({answer})")
        answer = user.ask(f"<vCard xmlns='{VCARD}'/>", to=friend.bare)
        check(answer["type"] == "result" and answer.path("vCard", "FN") is not None, f"no vCard: {answer}")
        equal(answer.path("vCard", "FN").text, f"Name of {friend.bare}")


def iq_errors(one, other):
    for user, friend in ((one, other), (other, one)):
        answer = user.ask("<query xmlns='urn:example:unknown'/>", to=friend.server.domain)
        equal(answer["type"], "error", "answer to an unknown namespace")
        check(condition(answer) in ("service-unavailable", "feature-not-implemented"), f"got {answer}")
        answer = user.ask("<query xmlns='jabber:iq:version'/>", to=f"nobody@{friend.server.domain}")
        equal(answer["type"], "error", "answer for an unknown user")
        check(condition(answer) in ("service-unavailable", "item-not-found"), f"got {answer}")


def large(one, other):
    body = "0123456789abcdef" * (BIG // 16)
    for user, friend in ((one, other), (other, one)):
        user.say(friend.full, body)
        friend.until("message", from_=user.full, body=body)


def leave(one, other):
    """The unavailable presence of someone who goes is seen."""
    other.stop()
    one.until("presence", type="unavailable", from_=other.full)


def whole(beginner, answerer):
    """The whole story between the servers; the first stanza goes from beginner to answerer."""
    users = []
    try:
        for server in (beginner, answerer):
            users.append(User(server, USERS[0], PASSWORD))
        one, other = (user.online() for user in users)
        for act in (chat, befriend, see_presence, fetch_vcards, iq_errors, large, leave):
            act(one, other)
    finally:
        for user in users:
            user.stop()
