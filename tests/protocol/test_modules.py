# SPDX-License-Identifier: MIT
"""What each module answers, keeps and refuses."""
import base64
import hashlib
import time

from harness import Client, cases, check, dedicated, equal
from harness.client import check_error
from harness.stream import NS_SASL

INFO = "http://jabber.org/protocol/disco#info"
SMALL = "aGVsbG8="                                     # "hello"
SMALL_SHA1 = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"


def _login(server, name="juliet", **args):
    account = server.account(name)
    client = Client.login(account, **args)
    client.account = account
    return client


@cases(["host", "own", "other"])
def ping(server, whom):
    client, other = _login(server), server.account("romeo")
    to = {"host": server.domain, "own": None, "other": other.jid}[whom]
    client.get("<ping xmlns='urn:xmpp:ping'/>", to=to)


def version_tells_name_and_no_system(server):
    query = _login(server).get("<query xmlns='jabber:iq:version'/>", to=server.domain)
    equal(query.child_text("name"), "Comity", "name")
    check(query.child_text("version"), "no version")
    check(query.find("os") is None, "the system is told")


@dedicated(text="module version { show_os = yes }")
def version_tells_the_system_when_asked_to(server):
    query = _login(server).get("<query xmlns='jabber:iq:version'/>", to=server.domain)
    equal(query.child_text("os"), "Linux", "system")


def time_is_utc_with_an_offset(server):
    e = _login(server).get("<time xmlns='urn:xmpp:time'/>", to=server.domain)
    check(e.child_text("utc").endswith("Z"), "utc")
    check(e.child_text("tzo")[0] in "+-", "tzo")


def disco_of_the_host(server):
    query = _login(server).get(f"<query xmlns='{INFO}'/>", to=server.domain)
    identities = {(i["category"], i["type"]) for i in query.find_all("identity")}
    check(("server", "im") in identities, identities)
    features = [f["var"] for f in query.find_all("feature")]
    equal(len(features), len(set(features)), "features told once")
    for feature in (INFO, "urn:xmpp:ping", "jabber:iq:version", "urn:xmpp:time", "msgoffline", "vcard-temp"):
        check(feature in features, f"{feature} is missing")


def disco_of_an_account_is_for_those_who_see_it(server):
    client, stranger = _login(server), _login(server, "romeo")
    query = client.get(f"<query xmlns='{INFO}'/>")
    check(query.find("identity")["category"] == "account", "no account identity")
    id_ = stranger.new_id()
    stranger.send(f"<iq type='get' id='{id_}' to='{client.account.jid}'><query xmlns='{INFO}'/></iq>")
    stranger.expect_error("service-unavailable", id_=id_)


def disco_of_an_unknown_node(server):
    client = _login(server)
    id_ = client.new_id()
    client.send(f"<iq type='get' id='{id_}' to='{server.domain}'><query xmlns='{INFO}' node='nothing'/></iq>")
    client.expect_error("item-not-found", id_=id_)


def _verification_string(query):
    """XEP-0115 5.1 and 5.4, of what was found out by asking."""
    text = "".join(sorted(f"{i['category']}/{i['type']}/{i.get('xml:lang', '')}/{i.get('name', '')}<"
                          for i in query.find_all("identity")))
    text += "".join(sorted(f"{f['var']}<" for f in query.find_all("feature")))
    for form in query.find_all("x"):
        fields = {f["var"]: sorted(v.text for v in f.find_all("value")) for f in form.find_all("field")}
        text += "".join(f"{value}<" for value in fields.pop("FORM_TYPE"))
        text += "".join("".join(f"{word}<" for word in [var, *fields[var]]) for var in sorted(fields))
    return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()


@dedicated()
def capabilities_in_features_are_those_that_disco_tells(server):
    seen = set()
    for text in ("", 'module disco { abuse_addresses = { "xmpp:abuse@localhost", "mailto:a@b.test" } }',
                 "modules_disabled = { ping }"):
        server.text = text
        server.write_config()
        server.reload()
        for _ in range(2):
            client = _login(server)
            caps = client.features.find("c", "http://jabber.org/protocol/caps")
            equal(caps["ver"], _verification_string(client.get(f"<query xmlns='{INFO}'/>", to=server.domain)))
            seen.add(caps["ver"])
    equal(len(seen), 3)


@dedicated(text='module disco { abuse_addresses = { "xmpp:abuse@localhost" } }')
def contact_addresses_are_told(server):
    query = _login(server).get(f"<query xmlns='{INFO}'/>", to=server.domain)
    field = next(f for f in query.find("x").find_all("field") if f["var"] == "abuse-addresses")
    equal(field.child_text("value"), "xmpp:abuse@localhost", "address")


def messages_wait_in_order_and_come_once(server):
    sender, account = _login(server, presence=True), server.account("romeo")
    for number in range(20):
        sender.message(account.jid, str(number))
    sender.settle()
    receiver = Client.login(account, presence=True)
    for number in range(20):
        message = receiver.expect("message")
        equal(message.child_text("body"), str(number), "body")
        check(message.find("delay", "urn:xmpp:delay")["stamp"], "stamp")
    receiver.settle()
    receiver.close()
    again = Client.login(account, presence=True)
    again.expect_nothing()


@dedicated()
def offline_message_survives_kill_dash_nine(server):
    sender, account = _login(server, presence=True), server.account("romeo")
    sender.message(account.jid, "kept")
    server.wait_for(lambda: server.stored_messages(account.jid) == 1, "the message on disk")
    server.restart(hard=True)
    receiver = Client.login(account, presence=True)
    equal(receiver.expect("message").child_text("body"), "kept", "body")


@dedicated(text="module offline { max_messages = 2 }")
def full_offline_storage_is_told_to_the_sender(server):
    sender, account = _login(server, presence=True), server.account("romeo")
    for number in range(3):
        sender.message(account.jid, str(number), id_=f"m{number}")
    sender.expect_error("service-unavailable", id_="m2")
    receiver = Client.login(account, presence=True)
    equal([receiver.expect("message").child_text("body") for _ in range(2)], ["0", "1"], "kept")


def negative_priority_takes_no_stored_messages(server):
    sender, account = _login(server, presence=True), server.account("romeo")
    sender.message(account.jid, "later")
    sender.settle()
    receiver = Client.login(account)
    receiver.presence(payload="<priority>-1</priority>")
    receiver.drain()
    receiver.expect_nothing()
    receiver.presence(payload="<priority>0</priority>")
    equal(receiver.expect("message").child_text("body"), "later", "body")


def private_xml_is_kept_per_element(server):
    client = _login(server)
    ns = "jabber:iq:private"
    equal(len(client.get(f"<query xmlns='{ns}'><a xmlns='x'/></query>").children[0].children), 0, "nothing yet")
    client.set(f"<query xmlns='{ns}'><a xmlns='x'><b>1 &amp; 2</b></a></query>")
    client.set(f"<query xmlns='{ns}'><a xmlns='y'><b>other</b></a></query>")
    got = client.get(f"<query xmlns='{ns}'><a xmlns='x'/></query>").children[0]
    equal(got.child_text("b"), "1 & 2", "what was kept")


def private_xml_of_others_is_forbidden(server):
    client, other = _login(server), server.account("romeo")
    id_ = client.new_id()
    client.send(f"<iq type='get' id='{id_}' to='{other.jid}'><query xmlns='jabber:iq:private'><a xmlns='x'/></query></iq>")
    client.expect_error("forbidden", id_=id_)


@dedicated()
def vcard_is_kept_and_public(server):
    client, other = _login(server), _login(server, "romeo")
    equal(client.get("<vCard xmlns='vcard-temp'/>").children, [], "no card yet")
    id_ = other.new_id()
    other.send(f"<iq type='get' id='{id_}' to='{client.account.jid}'><vCard xmlns='vcard-temp'/></iq>")
    other.expect_error("item-not-found", id_=id_)
    client.set("<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>")
    server.restart(hard=True)
    other = Client.login(other.account)
    card = other.get("<vCard xmlns='vcard-temp'/>", to=client.account.jid)
    equal(card.child_text("FN"), "Juliet", "name")


def vcard_photo_shows_in_presence(server):
    client = _login(server)
    client.set(f"<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>{SMALL}</BINVAL></PHOTO></vCard>")
    client.presence()
    presence = client.expect("presence")
    equal(presence.find("x", "vcard-temp:x:update").child_text("photo"), SMALL_SHA1, "hash")


def last_activity(server):
    client = _login(server)
    query = client.get("<query xmlns='jabber:iq:last'/>", to=server.domain)
    check(int(query.get("seconds")) >= 0, "uptime")
    stranger = _login(server, "romeo")
    id_ = stranger.new_id()
    stranger.send(f"<iq type='get' id='{id_}' to='{client.account.jid}'><query xmlns='jabber:iq:last'/></iq>")
    stranger.expect_error("forbidden", id_=id_)


def last_activity_keeps_the_last_words(server):
    client = _login(server, presence=True)
    client.presence("unavailable", payload="<status>gone fishing</status>")
    client.settle()
    query = client.get("<query xmlns='jabber:iq:last'/>", to=client.account.jid)
    equal(query.text, "gone fishing", "status")


@dedicated(options={"store_lazy_delay": "1m"})
def last_activity_does_not_hold_up_a_stop(server):
    """It waits for other writes, and there are none."""
    client = _login(server, presence=True)
    client.presence("unavailable", payload="<status>gone fishing</status>")
    client.close()
    server.wait_for(lambda: client.account.jid not in server.ctl("session", "list"), "an end of the session")
    began = time.monotonic()
    server.restart()
    took = time.monotonic() - began
    check(took < 5, f"a stop and a start took {took:.1f} s")
    query = Client.login(client.account).get("<query xmlns='jabber:iq:last'/>", to=client.account.jid)
    equal(query.text, "gone fishing", "status")


def last_words_end_with_a_whole_character(server):
    """What is kept of them is cut: half a character would end the stream of whoever asks."""
    client, friend = _login(server, presence=True), _login(server, "romeo", presence=True)
    client.presence("subscribed", to=friend.account.jid)
    friend.presence("subscribe", to=client.account.jid)
    friend.expect("presence", type="subscribed")
    for text in ("a" * 1023 + "\u00e9", "a" * 1022 + "\u20ac", "a" * 1021 + "\U0001f600", "a" * 1022 + "\u00e9"):
        client.presence()
        client.presence("unavailable", payload=f"<status>{text}</status>")
        client.settle()
        query = friend.get("<query xmlns='jabber:iq:last'/>", to=client.account.jid)
        equal(query.text, text if len(text.encode()) <= 1024 else text[:-1], "status")


def password_change(server):
    client = _login(server)
    name = client.account.user
    client.set(f"<query xmlns='jabber:iq:register'><username>{name}</username><password>new one</password></query>",
               to=server.domain)
    client.account.password = "new one"
    Client.login(client.account).close()


def account_removal_ends_everything(server):
    client = _login(server, presence=True)
    other = _login(server, "romeo", presence=True)
    client.send("<iq type='set' id='gone'><query xmlns='jabber:iq:register'><remove/></query></iq>")
    client.expect("iq", id="gone", type="result")
    client.expect_stream_error("not-authorized")
    other.message(client.account.jid, "anybody?", id_="m")
    other.expect_error("service-unavailable", id_="m")
    code, _ = server.ctl("user", "show", client.account.jid, ok=False)
    check(code != 0, "the user is still there")


def registration_is_closed_by_default(server):
    client = Client(server)
    client.secure()
    client.send("<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>")
    client.expect_error("not-allowed", id_="r")


@dedicated(text="module register { allow_registration = yes registrations_per_address = 2 }", options={"workers": 1})
def registration_where_it_is_open(server):
    client = Client(server)
    client.secure()
    client.send("<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>")
    form = client.expect("iq", id="r", type="result").children[0]
    check(form.find("username") is not None, "no form")
    for number, answer in ((1, None), (1, "conflict"), (2, "resource-constraint")):
        id_ = client.new_id()
        client.send(f"<iq type='set' id='{id_}'><query xmlns='jabber:iq:register'><username>new{number}</username>"
                    f"<password>secret</password></query></iq>")
        if answer is None:
            client.expect("iq", id=id_, type="result")
        else:
            client.expect_error(answer, id_=id_)
    client.authenticate("new1", "secret")


@dedicated(text="module register { allow_registration = yes }", options={"workers": 2})
def registration_is_answered_before_the_login_behind_it(server):
    """The login may take the stream to another worker."""
    account, client = server.account("user"), Client(server)
    client.secure()
    secret = base64.b64encode(f"\0{account.user}\0{account.password}".encode()).decode()
    client.send("<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>other</username><password>secret"
                f"</password></query></iq><auth xmlns='{NS_SASL}' mechanism='PLAIN'>{secret}</auth>")
    equal([client.next().name for _ in range(2)], ["iq", "success"])


@dedicated(text="module private { max_elements = 3  max_size = 1KiB }")
def private_xml_is_limited(server):
    account = server.account("user")
    client = Client.login(account)

    def put(number, inner="<x/>"):
        return client.iq("set", f"<query xmlns='jabber:iq:private'><e xmlns='urn:e:{number}'>{inner}</e></query>")

    equal([put(n)["type"] for n in range(3)], ["result"] * 3)
    error = check_error(put(3), "resource-constraint")
    check("max_elements" in error.child_text("text"), error)
    equal(put(2, "<y/>")["type"], "result", "a change is no growth")
    check("max_size" in check_error(put(1, "x" * 2000), "not-acceptable").child_text("text"), "max_size is not named")
    # What is read anew counts, too; and what is removed does not.
    server.restart()
    client = Client.login(account)
    check_error(put(3), "resource-constraint")
    equal(put(1, "")["type"], "result", "removal")
    equal(put(3)["type"], "result", "in the place that is free again")
    got = client.get("<query xmlns='jabber:iq:private'><e xmlns='urn:e:1'/></query>")
    equal((got.children[0].ns, got.children[0].children), ("urn:e:1", []))


@dedicated(text="module private { max_elements = 10 }")
def a_flood_of_private_xml_keeps_the_limit(server):
    client = Client.login(server.account("user"))
    client.send("".join(f"<iq type='set' id='p{n}'><query xmlns='jabber:iq:private'><e xmlns='urn:e:{n}'>x</e></query></iq>"
                        for n in range(200)))
    answers = [client.expect("iq", id=f"p{n}") for n in range(200)]
    equal(sum(a["type"] == "result" for a in answers), 10)
