# SPDX-License-Identifier: MIT
"""Logging in: SASL, channel binding and resource binding (RFC 6120 6 and 7, RFC 5802, XEP-0440)."""
import glob
import ssl

from harness import Client, Closed, Failure, Skip, cases, check, dedicated, equal
from harness.client import check_error
from harness.scram import Scram, b64, channel_binding, unb64
from harness.stream import NS_BIND, NS_SASL, NS_SESSION, NS_STREAM

SCRAMS = ["SCRAM-SHA-256", "SCRAM-SHA-1"]
WEAK_LIMIT = 40   # tries after which any server must have had enough


def _secured(server, **args):
    client = Client(server, **args)
    client.secure()
    return client


def _authenticated(server, account):
    client = _secured(server)
    client.authenticate(account.user, account.password)
    client.open()
    return client


# Mechanisms

def mechanisms_offered(server):
    offered = _secured(server).mechanisms()
    for wanted in SCRAMS + ["PLAIN"]:
        check(wanted in offered, f"{wanted} is not offered: {offered}")
    for unwanted in ("ANONYMOUS", "EXTERNAL", "DIGEST-MD5", "CRAM-MD5", "LOGIN"):
        check(unwanted not in offered, f"{unwanted} is offered: {offered}")
    equal(len(offered), len(set(offered)), "mechanisms without repetition")


def mechanisms_vanish_after_login(server):
    client = _authenticated(server, server.account("juliet"))
    check(client.features.find("mechanisms", NS_SASL) is None, f"mechanisms after login: {client.features}")
    check(client.features.find("bind", NS_BIND) is not None, f"no bind after login: {client.features}")


@cases(SCRAMS + ["PLAIN"])
def each_mechanism_logs_in(server, mechanism):
    account = server.account("juliet")
    client = Client.login(account, mechanism=mechanism)
    equal(client.bare, account.jid)
    client.ping()
    client.close()


@cases([(f"{m}-PLUS {b} {v.name}", m, b, v)
        for m in SCRAMS for b in ("tls-exporter", "tls-server-end-point", "tls-unique")
        for v in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
        if not (b == "tls-unique" and v == ssl.TLSVersion.TLSv1_3)])
def channel_binding_logs_in(server, _name, mechanism, kind, version):
    account = server.account("juliet")
    client = _secured(server, tls={"minimum": version, "maximum": version})
    if mechanism + "-PLUS" not in client.mechanisms():
        raise Skip(f"{mechanism}-PLUS is not offered on {version.name}")
    if kind not in client.binding_types():
        raise Skip(f"{kind} is not offered on {version.name}")
    client.authenticate(account.user, account.password, mechanism + "-PLUS", kind)
    client.open()
    client.bind()
    client.ping()


def channel_binding_is_offered(server):
    client = _secured(server)
    check("SCRAM-SHA-256-PLUS" in client.mechanisms(), f"{client.mechanisms()}")
    types = client.binding_types()
    check("tls-exporter" in types, f"XEP-0440: tls-exporter is missing on TLS 1.3: {types}")
    check("tls-unique" not in types, "tls-unique is not defined for TLS 1.3")


@cases(SCRAMS)
def channel_binding_of_another_connection_is_refused(server, mechanism):
    account = server.account("juliet")
    client = _secured(server)
    if not client.binding_types():
        raise Skip("no channel binding")
    kind = client.binding_types()[0]
    data = bytearray(channel_binding(client.tls, kind))
    data[0] ^= 1
    exchange = Scram(mechanism, account.user, account.password, (kind, bytes(data)))
    client.auth(mechanism + "-PLUS", exchange.first())
    client.response(exchange.final(client.expect_challenge()))
    client.expect_failure("not-authorized")


def channel_binding_of_unknown_type_is_refused(server):
    account = server.account("juliet")
    client = _secured(server)
    if "SCRAM-SHA-256-PLUS" not in client.mechanisms():
        raise Skip("no channel binding")
    exchange = Scram("SCRAM-SHA-256", account.user, account.password, ("tls-something", b"x" * 32))
    client.auth("SCRAM-SHA-256-PLUS", exchange.first())
    try:
        client.response(exchange.final(client.expect_challenge()))
    except Failure:
        pass  # refused at once
    else:
        client.expect_failure("not-authorized", "malformed-request")


def downgrade_of_channel_binding_is_refused(server):
    """RFC 5802 6: "y" says that the server did not offer -PLUS, which it did."""
    account = server.account("juliet")
    client = _secured(server)
    if "SCRAM-SHA-256-PLUS" not in client.mechanisms():
        raise Skip("no channel binding")
    exchange = Scram("SCRAM-SHA-256", account.user, account.password, flag="y")
    client.auth("SCRAM-SHA-256", exchange.first())
    answer = client.next()
    if answer.matches("challenge", NS_SASL):
        client.response(exchange.final(unb64(answer.text)))
        client.expect_failure("not-authorized", "malformed-request")
    else:
        check(answer.matches("failure", NS_SASL), f"got {answer}")


def plus_without_binding_is_refused(server):
    account = server.account("juliet")
    client = _secured(server)
    if "SCRAM-SHA-256-PLUS" not in client.mechanisms():
        raise Skip("no channel binding")
    exchange = Scram("SCRAM-SHA-256", account.user, account.password)
    client.auth("SCRAM-SHA-256-PLUS", exchange.first())
    answer = client.next()
    if answer.matches("challenge", NS_SASL):
        client.response(exchange.final(unb64(answer.text)))
        answer = client.next()
    check(answer.matches("failure", NS_SASL), f"got {answer}")


def binding_without_plus_is_refused(server):
    account = server.account("juliet")
    client = _secured(server)
    exchange = Scram("SCRAM-SHA-256", account.user, account.password, ("tls-exporter", b"x" * 32))
    client.auth("SCRAM-SHA-256", exchange.first())
    answer = client.next()
    if answer.matches("challenge", NS_SASL):
        client.response(exchange.final(unb64(answer.text)))
        answer = client.next()
    check(answer.matches("failure", NS_SASL), f"got {answer}")


def changed_binding_flag_is_refused(server):
    """The flag of the first message is repeated, and signed, in the second (c=)."""
    account = server.account("juliet")
    client = _secured(server)
    exchange = Scram("SCRAM-SHA-256", account.user, account.password)
    client.auth("SCRAM-SHA-256", exchange.first())
    exchange.gs2 = "y,,"
    client.response(exchange.final(client.expect_challenge()))
    client.expect_failure("not-authorized", "malformed-request")


# Passwords and users

@cases(SCRAMS + ["PLAIN"])
def wrong_password(server, mechanism):
    account = server.account("juliet")
    client = _secured(server)
    _try_password(client, mechanism, account.user, account.password + "x")
    client.expect_failure("not-authorized")


def _try_password(client, mechanism, user, password):
    """An attempt up to the server's verdict, which the caller reads. Returns the exchange."""
    if mechanism == "PLAIN":
        client.auth("PLAIN", f"\0{user}\0{password}")
        return None
    exchange = Scram(mechanism, user, password)
    client.auth(mechanism, exchange.first())
    client.response(exchange.final(client.expect_challenge()))
    return exchange


@cases(SCRAMS + ["PLAIN"])
def unknown_user_looks_like_a_wrong_password(server, mechanism):
    known, client = server.account("known"), _secured(server)
    shapes = []
    for user in (known.user, "nobody-of-that-name"):
        exchange = _try_password(client, mechanism, user, "wrong")
        failure = client.expect_failure("not-authorized")
        shapes.append((failure.xml(), exchange and (exchange.iterations, len(exchange.salt),
                                                    len(exchange.full_nonce))))
    equal(shapes[0], shapes[1], "answers for a known and an unknown user")


@cases(SCRAMS)
def salt_of_unknown_users_is_stable(server, mechanism):
    """A salt that changes with each try would give unknown users away; so would one shared by all."""
    salts = []
    for user in ("ghost-one", "ghost-one", "ghost-two"):
        client = _secured(server)
        salts.append(_try_password(client, mechanism, user, "x").salt)
        client.expect_failure("not-authorized")
    equal(salts[0], salts[1], "salt of one unknown user")
    check(salts[0] != salts[2], "all unknown users have the same salt")


def salts_differ_between_accounts_and_mechanisms(server):
    salts = set()
    for account in server.accounts("a", "b"):
        for mechanism in SCRAMS:
            client = _secured(server)
            salts.add(_try_password(client, mechanism, account.user, "x").salt)
    check(len(salts) >= 2, "accounts share a salt")


@cases(["ä€😀 pässwörd", "a,b=c\\ '\"<&>", " leading and trailing "])
def passwords_of_any_characters(server, password):
    account = server.account("juliet", password)
    for mechanism in SCRAMS + ["PLAIN"]:
        Client.login(account, mechanism=mechanism).close()


def user_names_are_prepared(server):
    account = server.account("romeo")
    for mechanism in SCRAMS + ["PLAIN"]:
        client = _secured(server)
        client.authenticate(account.user.upper(), account.password, mechanism)
        client.open()
        client.bind()
        equal(client.bare, account.jid)


def authorization_identity_of_oneself(server):
    account = server.account("juliet")
    client = _secured(server)
    client.auth("PLAIN", f"{account.jid}\0{account.user}\0{account.password}")
    client.expect_success()
    client = _secured(server)
    client.authenticate(account.user, account.password, "SCRAM-SHA-256", authzid=account.jid)


def authorization_identity_of_another(server):
    account, other = server.accounts("juliet", "romeo")
    client = _secured(server)
    client.auth("PLAIN", f"{other.jid}\0{account.user}\0{account.password}")
    client.expect_failure("invalid-authzid", "not-authorized")
    client = _secured(server)
    exchange = Scram("SCRAM-SHA-256", account.user, account.password, authzid=other.jid)
    client.auth("SCRAM-SHA-256", exchange.first())
    client.response(exchange.final(client.expect_challenge()))
    client.expect_failure("invalid-authzid", "not-authorized")


@dedicated(domains=("localhost", "second.localhost"))
def accounts_belong_to_one_host(server):
    account = server.named_account("juliet", domain="localhost")
    Client.login(account).close()
    client = _secured(server, domain="second.localhost")
    _try_password(client, "SCRAM-SHA-256", account.user, account.password)
    client.expect_failure("not-authorized")
    twin = server.named_account("juliet", domain="second.localhost")
    equal(Client.login(twin).bare, "juliet@second.localhost")


# Failure conditions (RFC 6120 6.5)

@cases(["X-NOTHING", "", "scram sha 256", "DIGEST-MD5", "ANONYMOUS", "EXTERNAL"])
def invalid_mechanism(server, mechanism):
    client = _secured(server)
    client.auth(mechanism, b"x")
    client.expect_failure("invalid-mechanism", "malformed-request" if mechanism == "" else "invalid-mechanism")


@cases(["SCRAM-SHA-256", "PLAIN"])
def aborted(server, mechanism):
    client = _secured(server)
    if mechanism == "PLAIN":
        client.auth("PLAIN")
        client.expect_challenge()
    else:
        client.auth(mechanism, Scram(mechanism, "juliet", "x").first())
        client.expect_challenge()
    client.send(f"<abort xmlns='{NS_SASL}'/>")
    client.expect_failure("aborted")
    account = server.account("juliet")
    client.authenticate(account.user, account.password)


@cases([("not base64", "!!!"), ("white space", "AGEA Yg=="), ("padding only", "=="), ("bad padding", "AGEAYg="),
        ("text after padding", "AGEAYg==AGEA"), ("one character", "A")])
def incorrect_encoding(server, _name, text):
    client = _secured(server)
    client.send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{text}</auth>")
    client.expect_failure("incorrect-encoding", *(["malformed-request"] if text == "==" else []))


def incorrect_encoding_in_a_response(server):
    client = _secured(server)
    client.auth("SCRAM-SHA-256", Scram("SCRAM-SHA-256", "juliet", "x").first())
    client.expect_challenge()
    client.send(f"<response xmlns='{NS_SASL}'>*</response>")
    client.expect_failure("incorrect-encoding")


@cases([
    ("plain without nul", "PLAIN", b"juliet"),
    ("plain with one nul", "PLAIN", b"juliet\0secret"),
    ("plain with four parts", "PLAIN", b"a\0b\0c\0d"),
    ("plain with invalid utf-8", "PLAIN", b"\0\xff\xfe\0secret"),
    ("plain without user", "PLAIN", b"\0\0secret"),
    ("plain without password", "PLAIN", b"\0juliet\0"),
    ("scram without header", "SCRAM-SHA-256", b"n=juliet,r=abc"),
    ("scram without nonce", "SCRAM-SHA-256", b"n,,n=juliet"),
    ("scram with empty nonce", "SCRAM-SHA-256", b"n,,n=juliet,r="),
    ("scram with bad escape", "SCRAM-SHA-256", b"n,,n=ju=XXliet,r=abcdefghijkl"),
    ("scram with mandatory extension", "SCRAM-SHA-256", b"n,,m=future,n=juliet,r=abcdefghijkl"),
    ("scram with bad flag", "SCRAM-SHA-256", b"q,,n=juliet,r=abcdefghijkl"),
    ("scram with invalid utf-8", "SCRAM-SHA-256", b"n,,n=\xff,r=abcdefghijkl"),
    ("scram of nuls", "SCRAM-SHA-256", b"\0\0\0\0"),
    ("scram empty", "SCRAM-SHA-256", b""),
    ("scram of letters", "SCRAM-SHA-256", b"x" * 1000),
])
def malformed_first_messages(server, _name, mechanism, data):
    """Refused at once or at the second message, and never with a login."""
    client = _secured(server)
    client.auth(mechanism, data)
    answer = client.next()
    if answer.matches("challenge", NS_SASL):
        client.response(b"c=biws,r=x,p=AAAA")
        answer = client.next()
    check(answer.matches("failure", NS_SASL), f"got {answer}")
    found = {c.name for c in answer.find_all(ns=NS_SASL)} - {"text"}
    check(found and found <= {"malformed-request", "not-authorized", "invalid-authzid", "incorrect-encoding"},
          f"got {answer}")


@cases([
    ("garbage", lambda final: b"garbage"),
    ("empty", lambda final: b""),
    ("no proof", lambda final: final.rpartition(b",p=")[0]),
    ("other nonce", lambda final: final.replace(b"r=", b"r=x", 1)),
    ("proof too short", lambda final: final.rpartition(b",p=")[0] + b",p=AAAA"),
    ("proof not base64", lambda final: final.rpartition(b",p=")[0] + b",p=***"),
    ("proof empty", lambda final: final.rpartition(b",p=")[0] + b",p="),
    ("proof changed", lambda final: final[:-6] + bytes([final[-6] ^ 1]) + final[-5:]),
    ("binding changed", lambda final: final.replace(b"c=biws", b"c=eSws")),
    ("twice", lambda final: final + b"," + final),
])
def malformed_final_messages(server, _name, change):
    account = server.account("juliet")
    client = _secured(server)
    exchange = Scram("SCRAM-SHA-256", account.user, account.password)
    client.auth("SCRAM-SHA-256", exchange.first())
    client.response(change(exchange.final(client.expect_challenge())))
    client.expect_failure("not-authorized", "malformed-request", "incorrect-encoding")


def response_without_authentication(server):
    client = _secured(server)
    client.response(b"x")
    answer = client.next()
    check(answer.matches("failure", NS_SASL) or answer.matches("error", NS_STREAM), f"got {answer}")


def initial_response_may_be_left_out(server):
    """RFC 6120 6.4.2: the server then sends an empty challenge."""
    account = server.account("juliet")
    client = _secured(server)
    client.auth("PLAIN")
    equal(client.expect_challenge(), b"")
    client.response(f"\0{account.user}\0{account.password}")
    client.expect_success()
    client = _secured(server)
    exchange = Scram("SCRAM-SHA-256", account.user, account.password)
    client.auth("SCRAM-SHA-256")
    equal(client.expect_challenge(), b"")
    client.response(exchange.first())
    client.response(exchange.final(client.expect_challenge()))
    exchange.verify(client.expect_success())


def attributes_on_auth_are_ignored(server):
    account = server.account("juliet")
    client = _secured(server)
    exchange = Scram("SCRAM-SHA-1", account.user, account.password)
    client.send(f"<auth xmlns='{NS_SASL}' xml:lang='en' mechanism='SCRAM-SHA-1' "
                f"xmlns:ga='http://www.google.com/talk/protocol/auth' ga:client-uses-full-bind-result='true'>"
                f"{b64(exchange.first())}</auth>")
    client.response(exchange.final(client.expect_challenge()))
    exchange.verify(client.expect_success())


def several_tries_on_one_stream(server):
    """Real clients go on with their next mechanism after a failure."""
    account = server.account("juliet")
    client = _secured(server)
    _try_password(client, "SCRAM-SHA-256", account.user, "wrong")
    client.expect_failure("not-authorized")
    _try_password(client, "SCRAM-SHA-1", account.user, "wrong")
    client.expect_failure("not-authorized")
    client.authenticate(account.user, account.password, "PLAIN")
    client.open()
    client.bind()


def tries_are_limited(server):
    """RFC 6120 6.4.5 wants at least two and then the end of the stream."""
    client = _secured(server)
    for count in range(1, WEAK_LIMIT + 1):
        client.auth("PLAIN", "\0juliet\0wrong")
        try:
            client.expect_failure("not-authorized", timeout=20)
            client.pump(0.05)
        except Closed:
            break
        if client.inbox or client.ended:
            break
    check(3 <= count <= 20, f"the server ended the stream after {count} tries")
    if not client.ended and not client.inbox:
        return
    client.expect_stream_error("policy-violation", "not-authorized")


def new_try_in_the_middle_of_another(server):
    account = server.account("juliet")
    client = _secured(server)
    client.auth("SCRAM-SHA-256", Scram("SCRAM-SHA-256", account.user, "x").first())
    client.expect_challenge()
    client.auth("PLAIN", f"\0{account.user}\0{account.password}")
    answer = client.next()
    check(answer.name in ("failure", "error", "success"), f"got {answer}")


def stanza_in_the_middle_of_authentication(server):
    client = _secured(server)
    client.auth("SCRAM-SHA-256", Scram("SCRAM-SHA-256", "juliet", "x").first())
    client.expect_challenge()
    client.send("<presence/>")
    client.expect_stream_error("not-authorized")


def second_authentication(server):
    account = server.account("juliet")
    client = _authenticated(server, account)
    client.auth("PLAIN", f"\0{account.user}\0{account.password}")
    client.expect_stream_error("not-authorized", "policy-violation", "unsupported-stanza-type")
    client = Client.login(account)
    client.auth("PLAIN", f"\0{account.user}\0{account.password}")
    client.expect_stream_error("not-authorized", "policy-violation", "unsupported-stanza-type")


def stream_must_restart_after_success(server):
    account = server.account("juliet")
    client = _secured(server)
    client.authenticate(account.user, account.password)
    client.restart()
    client.send("<presence/>")
    client.expect_stream_error("not-well-formed", "bad-format", "invalid-namespace", "not-authorized")


def header_after_success_may_carry_from(server):
    account = server.account("juliet")
    client = _secured(server)
    client.authenticate(account.user, account.password)
    client.open(extra=f" from='{account.jid}'")
    client.bind()


# Binding

def server_makes_a_resource(server):
    account = server.account("juliet")
    one, two = Client.login(account), Client.login(account)
    for client in (one, two):
        bare, _, resource = client.jid.partition("/")
        equal(bare, account.jid)
        check(len(resource) >= 8, f"a guessable resource: {resource}")
    check(one.jid != two.jid, "both sessions have the same resource")


@cases(["balcony", "Ätna 3", "a&b<c>'\"", "x" * 1023, "a/b@c"])
def client_chooses_a_resource(server, resource):
    account = server.account("juliet")
    client = _secured(server)
    client.authenticate(account.user, account.password)
    client.open()
    equal(client.bind(resource), f"{account.jid}/{resource}")
    client.ping()


def empty_resource_means_none(server):
    account = server.account("juliet")
    client = _authenticated(server, account)
    check(client.bind("").partition("/")[2], "an empty resource was bound")


def bind_with_required_element(server):
    """libstrophe sends the feature's <required/> back."""
    client = _authenticated(server, server.account("juliet"))
    client.set(f"<bind xmlns='{NS_BIND}'><required/><resource>strophe</resource></bind>")


@cases([("control character", "a&#x85;b"), ("too long", "x" * 1024), ("too long in bytes", "ä" * 512),
        ("noncharacter", "a&#xFDD0;")])
def bad_resource(server, _name, resource):
    client = _authenticated(server, server.account("juliet"))
    answer = client.iq("set", f"<bind xmlns='{NS_BIND}'><resource>{resource}</resource></bind>")
    check_error(answer, "bad-request", "modify")
    client.bind("good")


def two_resources_live_side_by_side(server):
    account = server.account("juliet")
    one, two = Client.login(account, "one"), Client.login(account, "two")
    one.message(two.jid, "hello")
    two.expect("message", from_=one.jid, body="hello")
    one.close()
    two.ping()


def conflict_replaces_the_older_session(server):
    """RFC 6120 7.7.2.2, the default policy: the newcomer gets the resource."""
    account = server.account("juliet")
    old = Client.login(account, "balcony")
    new = Client.login(account, "balcony")
    equal(new.jid, f"{account.jid}/balcony")
    old.expect_stream_error("conflict")
    new.ping()
    new.message(new.jid, "still me")
    new.expect("message", body="still me")


@dedicated(options={"max_sessions_per_account": 3})
def sessions_per_account_are_limited(server):
    account = server.account("juliet")
    clients = [Client.login(account) for _ in range(3)]
    late = _authenticated(server, account)
    check_error(late.bind_raw(), "resource-constraint", "wait")
    clients.pop().close()
    clients[0].settle()
    late.bind()


@cases([("bind", "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>a&#x85;b</resource></bind></iq>", "iq"),
        ("resume", "<resume xmlns='urn:xmpp:sm:3' previd='none' h='0'/>", "failed")])
@dedicated(options={"preauth_timeout": "3s", "workers": 4})
def time_before_binding_is_bounded_after_a_refusal(server, _what, request, answer):
    """On the worker of the account too, to which most of these move."""
    clients = [_authenticated(server, account) for account in server.accounts(*(f"u{n}" for n in range(8)))]
    for client in clients:
        client.send(request)
    for client in clients:
        client.expect_next(answer)
    for client in clients:
        client.expect_stream_error("connection-timeout", timeout=6)


def second_bind(server):
    client = Client.login(server.account("juliet"), "one")
    check_error(client.bind_raw("two"), ("not-allowed", "conflict", "service-unavailable"))
    client.ping()


@cases([("get", "get", f"<bind xmlns='{NS_BIND}'/>"), ("other payload", "set", "<query xmlns='jabber:iq:roster'/>"),
        ("no payload", "set", "")])
def other_requests_before_bind(server, _name, type_, payload):
    """RFC 6120 7.1: nothing may be sent before a resource is bound."""
    client = _authenticated(server, server.account("juliet"))
    client.send(f"<iq type='{type_}' id='early'>{payload}</iq>")
    answer = client.next()
    check(answer.matches("error", NS_STREAM) and answer.find("not-authorized") or
          answer.matches("iq", id="early", type="error"), f"got {answer}")


@cases(["<presence/>", "<message to='{jid}'><body>x</body></message>"])
def stanzas_before_bind(server, stanza):
    account = server.account("juliet")
    client = _authenticated(server, account)
    client.send(stanza.format(jid=account.jid))
    answer = client.next()
    check(answer.matches("error", NS_STREAM) and answer.find("not-authorized") or
          answer["type"] == "error", f"got {answer}")


def session_element_is_accepted(server):
    """RFC 3921 clients wait for the result; the feature must say that it is optional."""
    client = Client.login(server.account("juliet"))
    feature = client.features.find("session", NS_SESSION)
    check(feature is None or feature.find("optional"), f"the session feature is not optional: {client.features}")
    client.set(f"<session xmlns='{NS_SESSION}'/>")
    client.set(f"<session xmlns='{NS_SESSION}'/>", to=server.domain)


def bind_answer_carries_the_id(server):
    client = _authenticated(server, server.account("juliet"))
    answer = client.bind_raw("x", id_="<&'\">")
    equal((answer["id"], answer["type"]), ("<&'\">", "result"))


def removed_user_cannot_log_in(server):
    account = server.account("juliet")
    Client.login(account).close()
    if server.kind != "comity":
        raise Skip("needs comityctl")
    server.ctl("user", "remove", account.jid)
    client = _secured(server)
    _try_password(client, "SCRAM-SHA-256", account.user, account.password)
    client.expect_failure("not-authorized")


def changed_password_counts_at_once(server):
    if server.kind != "comity":
        raise Skip("needs comityctl")
    account = server.account("juliet")
    server.ctl("user", "password", account.jid, "--stdin", stdin="the new one\n")
    client = _secured(server)
    for mechanism in SCRAMS + ["PLAIN"]:
        _try_password(client, mechanism, account.user, account.password)
        client.expect_failure("not-authorized")
    account.password = "the new one"
    for mechanism in SCRAMS + ["PLAIN"]:
        Client.login(account, mechanism=mechanism).close()


def passwords_are_neither_stored_nor_logged(server):
    if server.kind != "comity":
        raise Skip("looks into Comity's files")
    account = server.account("juliet", "correct-horse-battery")
    for mechanism in SCRAMS + ["PLAIN"]:
        Client.login(account, mechanism=mechanism).close()
    paths = glob.glob(f"{server.folder}/data/**", recursive=True) + [server.log_path]
    for path in paths:
        try:
            data = open(path, "rb").read()
        except IsADirectoryError:
            continue
        for secret in (b"correct-horse-battery", b"Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"):
            check(secret not in data, f"{path} holds the password")


@dedicated(hosts={"localhost": "allow_anonymous = yes"})
def anonymous_where_a_host_allows_it(server):
    names = set()
    for _ in range(2):
        client = _secured(server)
        check("ANONYMOUS" in client.mechanisms(), f"{client.mechanisms()}")
        client.auth("ANONYMOUS", b"")
        client.expect_success()
        client.open()
        client.bind()
        client.ping()
        names.add(client.bare)
    equal(len(names), 2, "anonymous users that differ")
