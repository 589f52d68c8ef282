# SPDX-License-Identifier: MIT
"""Server dialback (XEP-0220) against servers made of a few lines: proof by pair of domains, several on one stream,
servers of before XMPP 1.0, and what may be said on a stream."""
from harness import Client, Closed, Comity, Stream, cases, check, dedicated, equal
from harness.client import check_error
from harness.fake import A, NS_DIALBACK, NS_SERVER, FakeServer, call, prove, send_message
from harness.server import certificates


def _server(fake, **options):
    server = Comity(domains=(A,), options=options)
    server.text = f"route *.fake.test {{\n\thost = 127.0.0.1\n\tport = {fake.port}\n\tsecurity = insecure\n}}\n"
    return server.start()


@dedicated(start=False)
def several_domains_prove_themselves_on_one_stream(server):
    del server
    fake = FakeServer()
    server = _server(fake)
    romeo = Client.login(server.account("romeo"), presence=True)
    stream = call(server)
    for domain in ("x1.fake.test", "x2.fake.test"):
        equal(prove(stream, domain)["type"], "valid")
        send_message(stream, f"ann@{domain}", romeo.bare, domain)
        equal(romeo.expect("message", from_=f"ann@{domain}").child_text("body"), domain)
    equal({(e.name, e["to"]) for e in fake.asked if e.name == "verify"},
          {("verify", "x1.fake.test"), ("verify", "x2.fake.test")})
    check(stream.header["id"] in {e["id"] for e in fake.asked}, "another stream id was asked for")
    send_message(stream, "ann@x3.fake.test", romeo.bare)
    stream.expect_stream_error("invalid-from")
    romeo.expect_nothing()


@dedicated(start=False)
def nothing_is_taken_before_the_proof(server):
    del server
    server = _server(FakeServer())
    romeo = Client.login(server.account("romeo"), presence=True)
    stream = call(server)
    send_message(stream, "ann@x1.fake.test", romeo.bare)
    stream.expect_stream_error("invalid-from")
    romeo.expect_nothing()


@dedicated(start=False)
def an_impostor_is_told_and_hung_up_on(server):
    del server
    server = _server(FakeServer(verdict="invalid"))
    stream = call(server)
    equal(prove(stream, "x1.fake.test")["type"], "invalid")
    try:
        stream.expect_end()
    except Closed:
        pass


@dedicated(start=False)
def a_domain_that_cannot_be_asked_is_an_error_and_the_stream_stays(server):
    del server
    fake = FakeServer()
    server = _server(fake, s2s_connect_timeout="1s", dns_servers="127.0.0.1:9", dns_timeout="100ms")
    stream = call(server)
    answer = prove(stream, "elsewhere.test")
    equal(answer["type"], "error")
    # Without TLS only domains whose route says so are believed.
    equal(answer.find("error").find("policy-violation") is not None, True)
    equal(prove(stream, "x1.fake.test")["type"], "valid")


@dedicated(start=False)
def keys_of_this_server_are_known_again(server):
    del server
    fake = FakeServer()
    server = _server(fake)
    juliet = Client.login(server.account("juliet"), presence=True)
    juliet.message("ann@x1.fake.test", "hello")
    equal(fake.wait_stanza("message").child_text("body", NS_SERVER), "hello")
    key = next(e for e in fake.asked if e.name == "result").text
    stream = call(server, "x1.fake.test")
    for sent, verdict in ((key, "valid"), (key[:-1], "invalid"), ("", "invalid")):
        stream.send(f"<db:verify from='x1.fake.test' to='{A}' id='fake1'>{sent}</db:verify>")
        equal(stream.expect("verify", NS_DIALBACK)["type"], verdict, sent)
    stream.send(f"<db:verify from='x1.fake.test' to='{A}' id='fake2'>{key}</db:verify>")
    equal(stream.expect("verify", NS_DIALBACK)["type"], "invalid", "another stream id")


@cases([("of before XMPP 1.0", True), ("of today", False)])
@dedicated(start=False)
def messages_reach_servers(server, _what, old):
    del server
    fake = FakeServer(old=old)
    server = _server(fake)
    juliet = Client.login(server.account("juliet"), presence=True)
    juliet.message("ann@x1.fake.test", "hello")
    got = fake.wait_stanza("message")
    equal((got.ns, got["from"], got["to"], got.child_text("body", NS_SERVER)),
          (NS_SERVER, juliet.jid, "ann@x1.fake.test", "hello"))


@dedicated(start=False)
def a_caller_of_before_xmpp_1_0_gets_no_features(server):
    del server
    server = _server(FakeServer())
    romeo = Client.login(server.account("romeo"), presence=True)
    stream = call(server, version=None)
    equal(stream.header["version"], None)
    equal(prove(stream, "x1.fake.test")["type"], "valid")
    send_message(stream, "ann@x1.fake.test", romeo.bare)
    romeo.expect("message", from_="ann@x1.fake.test")


@dedicated(start=False, options={"s2s_pairs_per_stream": 2})
def pairs_of_a_stream_are_limited(server):
    del server
    server = _server(FakeServer(), s2s_pairs_per_stream=2)
    stream = call(server)
    answers = [prove(stream, f"x{n}.fake.test") for n in range(3)]
    equal([answer["type"] for answer in answers], ["valid", "valid", "error"])
    error = check_error(answers[-1], "resource-constraint")
    equal(error.child_text("text"), "too many domains on one stream")


@dedicated(start=False)
def stream_management_is_not_offered_on_a_stream_of_both_directions(server):
    del server
    server = _server(FakeServer())
    folder, domain = certificates(A, "x1.fake.test"), "x1.fake.test"
    stream = call(server, domain, tls={"verify": False, "cert": [f"{folder}/{domain}.{end}" for end in ("crt", "key")]})
    check(stream.features.find("sm") is not None, "not offered before")
    stream.send("<bidi xmlns='urn:xmpp:bidi'/><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
    stream.expect("success")
    stream.restart()
    stream.open_raw(ns=NS_SERVER, extra=f" xmlns:db='{NS_DIALBACK}' from='{domain}'")
    stream.wait_header()
    features = stream.expect_next("features")
    check(features.find("bidi") is None and features.find("sm") is None, features)


@cases([("no from", "<message to='{to}'><body>x</body></message>", "improper-addressing"),
        ("no to", "<message from='ann@x1.fake.test'><body>x</body></message>", "improper-addressing"),
        ("client namespace", "<message xmlns='jabber:client' from='ann@x1.fake.test' to='{to}'/>", "invalid-namespace"),
        ("other element", "<thing xmlns='urn:thing'/>", "unsupported-stanza-type"),
        ("dialback without addresses", "<db:result>k</db:result>", "improper-addressing"),
        ("comment", "<!-- x -->", "restricted-xml"), ("not XML", "<<", "not-well-formed")])
@dedicated(start=False)
def wrong_input_ends_the_stream(server, _what, text, condition):
    del server
    server = _server(FakeServer())
    romeo = Client.login(server.account("romeo"), presence=True)
    stream = call(server)
    equal(prove(stream, "x1.fake.test")["type"], "valid")
    stream.send(text.format(to=romeo.bare))
    stream.expect_stream_error(condition)


# What one line has room for ends inside one of the characters, for one of the three.
@cases([(f"after {before} bytes", "x" * before) for before in range(3)])
@dedicated(start=False)
def words_of_another_server_are_cut_between_characters(server, _what, before):
    del server
    ns, euro = "urn:ietf:params:xml:ns:xmpp-streams", "\u20ac"
    server = _server(FakeServer(last_words=f"<stream:error><policy-violation xmlns='{ns}'/><text xmlns='{ns}'>"
                                           f"{before}{euro * 100}</text></stream:error></stream:stream>"))
    romeo = Client.login(server.account("romeo"), presence=True)
    romeo.send("<message to='ann@x1.fake.test' type='chat' id='m1'><body>hi</body></message>")
    text = romeo.expect("message", type_="error", id_="m1").find("error").child_text("text")
    check(text.endswith("policy-violation: " + before + euro * 66), f"not what it said: {text}")


@cases([("unknown host", dict(to="unknown.test"), "host-unknown"), ("no host", dict(to=False), "improper-addressing"),
        ("of clients", dict(ns="jabber:client"), "invalid-namespace"),
        ("another namespace", dict(stream_ns="urn:wrong"), "invalid-namespace")])
@dedicated(start=False)
def wrong_headers_are_refused(server, _what, header, condition):
    del server
    server = _server(FakeServer())
    stream = Stream(server, port=server.s2s, domain=A)
    stream.open_raw(**({"ns": NS_SERVER} | header))
    stream.expect_stream_error(condition)


@dedicated(start=False)
def tls_is_demanded_of_those_whose_route_does_not_say_otherwise(server):
    del server
    server = _server(FakeServer())
    stream = Stream(server, port=server.s2s, domain=A)
    stream.open_raw(ns=NS_SERVER, extra=f" xmlns:db='{NS_DIALBACK}' from='b.test'")
    stream.wait_header()
    features = stream.expect_next("features")
    check(features.path("starttls", "required") is not None, f"TLS is not required: {features}")
    check(features.find("dialback") is None and features.find("mechanisms") is None, f"too early: {features}")
    answer = prove(stream, "b.test")
    equal((answer["type"], answer.find("error").find("policy-violation") is not None), ("error", True))
