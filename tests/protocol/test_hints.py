# SPDX-License-Identifier: MIT
"""Message processing hints (XEP-0334): what is stored for who is offline; no-copy is tested with carbons."""
from harness import Client, cases, equal

NS = "urn:xmpp:hints"
BODY = "<body>text</body>"
STATE = "<active xmlns='http://jabber.org/protocol/chatstates'/>"
HINTS = ("no-copy", "no-store", "no-permanent-store", "store")


def _hints(*names):
    return "".join(f"<{name} xmlns='{NS}'/>" for name in names)


STORED, REFUSED, DROPPED = "stored", "refused", "dropped"


@cases([("body", BODY, STORED), ("no-store", BODY + _hints("no-store"), REFUSED),
        ("no-permanent-store", BODY + _hints("no-permanent-store"), STORED),
        ("no-copy", BODY + _hints("no-copy"), STORED), ("store", BODY + _hints("store"), STORED),
        ("both", BODY + _hints("store", "no-store"), REFUSED),
        ("hint of another namespace", BODY + "<no-store xmlns='urn:example:x'/>", STORED),
        ("chat state", STATE, DROPPED), ("chat state in a thread", "<thread>t</thread>" + STATE, DROPPED),
        ("chat state with no-store", STATE + _hints("no-store", "no-copy"), DROPPED),
        ("chat state with store", STATE + _hints("store"), STORED),
        ("chat state with more", STATE + "<x xmlns='urn:example:x'/>", STORED),
        ("encrypted", "<x xmlns='urn:example:secret'/>" + _hints("store"), STORED)])
def what_is_stored_for_the_absent(server, _name, inner, wanted):
    sender, account = Client.login(server.account("sender")), server.account("user")
    for type_ in ("chat", "normal"):
        sender.send(f"<message to='{account.jid}' id='{type_}' type='{type_}'>{inner}</message>")
        if wanted == REFUSED:
            sender.expect_error("service-unavailable", id_=type_)
    sender.expect_nothing()
    client = Client.login(account, presence=True)
    equal([e["id"] for e in client.drain(sender) if e.name == "message"], ["chat", "normal"] * (wanted == STORED))


@cases(["online", "stored"])
def hints_are_passed_on(server, how):
    sender, account = Client.login(server.account("sender")), server.account("user")
    client = Client.login(account, presence=True) if how == "online" else None
    hints = [h for h in HINTS if how == "online" or h != "no-store"]
    sender.send(f"<message to='{account.jid}' type='chat'>{BODY}{_hints(*hints)}</message>")
    sender.ping()
    client = client or Client.login(account, presence=True)
    equal([c.name for c in client.expect("message").find_all(ns=NS)], hints)
