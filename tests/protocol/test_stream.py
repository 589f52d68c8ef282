# SPDX-License-Identifier: MIT
"""Streams: opening, closing, TLS, and each stream error where it belongs (RFC 6120 4, 5, 11; XEP-0368)."""
import signal
import socket
import ssl
import time
import warnings

from harness import Client, Closed, Skip, Stream, cases, check, dedicated, equal
from harness.stream import NO_GOODBYE, NS_SASL, NS_STREAM, NS_TLS, TIMEOUT

NS_LIMITS = "urn:xmpp:stream-limits:0"
LIMIT_GUESS = 300000   # more than any server takes in one stanza before authentication


def _opened(server, **args):
    """A stream with TLS whose features have come, not authenticated."""
    client = Client(server, **args)
    client.secure()
    return client


def _bound(server):
    return Client.login(server.account("stream"))


# Opening

def header_is_answered(server):
    stream = Stream(server)
    stream.open_raw()
    header = stream.wait_header()
    equal((header.ns, header.name), (NS_STREAM, "stream"))
    equal(header["from"], server.domain)
    equal(header["version"], "1.0")
    check(header["id"], "the stream id is missing")
    check(header["xml:lang"], "RFC 6120 4.7.4: the answer must carry xml:lang")
    features = stream.expect_next("features", NS_STREAM)
    starttls = features.find("starttls", NS_TLS)
    check(starttls is not None and starttls.find("required", NS_TLS), f"STARTTLS is not required: {features}")
    check(features.find("mechanisms", NS_SASL) is None, "mechanisms are offered in the clear")


def content_namespace_is_declared_in_the_answer(server):
    stream = Stream(server)
    stream.open()
    first = b"".join(d for _, who, d in stream.transcript if who == "S")
    check(b"xmlns='jabber:client'" in first or b'xmlns="jabber:client"' in first, f"no content namespace: {first}")


def stream_ids_differ(server):
    ids = set()
    for _ in range(5):
        stream = Stream(server)
        stream.open()
        ids.add(stream.header["id"])
        stream.starttls()
        ids.add(stream.header["id"])
    equal(len(ids), 10, "stream ids that differ")


def header_may_come_without_declaration(server):
    Stream(server).open(declaration=False)


def header_may_come_byte_by_byte(server):
    stream = Stream(server)
    for byte in f"<?xml version='1.0'?><stream:stream to='{server.domain}' version='1.0' " \
                f"xmlns='jabber:client' xmlns:stream='{NS_STREAM}'>".encode():
        stream.send(bytes([byte]))
    stream.expect_next("features", NS_STREAM)


def header_may_have_white_space_and_double_quotes(server):
    stream = Stream(server)
    stream.send(f'<?xml version="1.0" encoding="utf-8" ?>\n <stream:stream\n\tto="{server.domain}"\r\n version="1.0"'
                f' xmlns="jabber:client" xmlns:stream="{NS_STREAM}"\n>\n')
    stream.expect_next("features", NS_STREAM)


def header_may_carry_from_and_lang(server):
    stream = Stream(server)
    stream.open(extra=f" from='juliet@{server.domain}' xml:lang='de'")
    check(stream.header["xml:lang"], "no xml:lang in the answer")
    check(stream.header["to"] in (None, f"juliet@{server.domain}"), f"strange to: {stream.header}")


def domain_is_compared_after_preparation(server):
    stream = Stream(server)
    stream.open(to=server.domain.upper())
    equal(stream.header["from"], server.domain)


def stream_prefix_is_free(server):
    """RFC 6120 4.8.5: only the namespace counts, though a server may insist on the prefix."""
    stream = Stream(server)
    stream.send(f"<s:stream to='{server.domain}' version='1.0' xmlns='jabber:client' xmlns:s='{NS_STREAM}'>")
    stream.wait_header()
    got = stream.next()
    check(got.name == "features" or got.find("bad-namespace-prefix"), f"got {got}")


@cases([("absent", None), ("zero", "0.9"), ("words", "one")])
def old_versions_are_unsupported(server, _name, version):
    stream = Stream(server)
    stream.open_raw(version=version)
    stream.expect_stream_error("unsupported-version", "bad-format")


@cases(["1.1", "1.10", "2.0", "01.0"])
def newer_versions_get_ours(server, version):
    """RFC 6120 4.7.5: the answer carries the lower of the two versions."""
    stream = Stream(server)
    stream.open(version=version)
    equal(stream.header["version"], "1.0")


@cases(["http://etherx.jabber.org/stream", "jabber:client", "http://etherx.jabber.org/streams/"])
def wrong_stream_namespace(server, ns):
    stream = Stream(server)
    stream.open_raw(stream_ns=ns)
    stream.expect_stream_error("invalid-namespace")


@cases([("server", "jabber:server"), ("unknown", "urn:example:none"), ("component", "jabber:component:accept")])
def wrong_content_namespace(server, _name, ns):
    stream = Stream(server)
    stream.open_raw(ns=ns)
    stream.expect_stream_error("invalid-namespace")


def wrong_root_element(server):
    stream = Stream(server)
    stream.send(f"<stream:strom to='{server.domain}' version='1.0' xmlns='jabber:client' "
                f"xmlns:stream='{NS_STREAM}'>")
    stream.expect_stream_error("bad-format", "invalid-namespace", "not-well-formed")


def stanza_instead_of_header(server):
    stream = Stream(server)
    stream.send("<presence xmlns='jabber:client'/>")
    stream.expect_stream_error("bad-format", "invalid-namespace", "not-well-formed")


def unknown_host(server):
    stream = Stream(server)
    stream.open_raw(to="nowhere.example")
    stream.expect_stream_error("host-unknown")


@cases([("absent", False), ("empty", ""), ("not an address", "@@"), ("with local part", "juliet@{domain}"),
        ("with resource", "{domain}/x")])
def missing_or_bad_host(server, _name, to):
    stream = Stream(server)
    stream.open_raw(to=to and to.format(domain=server.domain))
    stream.expect_stream_error("host-unknown", "improper-addressing")


def http_request_is_refused(server):
    stream = Stream(server)
    stream.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    stream.expect_stream_error("not-well-formed", "bad-format")


def second_header_inside_the_stream(server):
    stream = _opened(server)
    stream.open_raw(declaration=False)
    stream.expect_stream_error("bad-format", "unsupported-stanza-type", "invalid-namespace", "not-well-formed",
                               "not-authorized")


def header_may_not_change_the_host_after_tls(server):
    """A restarted stream for an unknown host is refused like a first one."""
    stream = Client(server)
    stream.open()
    stream.send(f"<starttls xmlns='{NS_TLS}'/>")
    stream.expect_next("proceed", NS_TLS)
    stream.start_tls_layer()
    stream.restart()
    stream.open_raw(to="nowhere.example")
    stream.expect_stream_error("host-unknown", "not-authorized", "bad-format")


# Closing

def close_is_answered_before_tls(server):
    stream = Stream(server)
    stream.open()
    stream.close()


def close_is_answered_under_tls(server):
    stream = _opened(server)
    stream.close()
    check(not any(words == NO_GOODBYE for _, _, words in stream.transcript), "the server did not end TLS with close_notify")


def close_is_answered_after_login(server):
    _bound(server).close()


def close_straight_after_the_header(server):
    stream = Stream(server)
    stream.open_raw()
    stream.send("</stream:stream>")
    stream.expect_next("features")
    stream.expect_end()


def lost_connections_harm_nobody(server):
    for _ in range(10):
        Stream(server).abort()
        stream = Stream(server)
        stream.open_raw()
        stream.abort()
        _opened(server).abort()
    _opened(server).close()


@dedicated()
def stop_ends_streams_with_system_shutdown(server):
    clients = [_bound(server), _opened(server)]
    server.signal(signal.SIGTERM)
    for client in clients:
        client.expect_stream_error("system-shutdown")


# XML that is not well formed, or not allowed

NOT_WELL_FORMED = [
    ("end tag of another", b"<message><body></message>"),
    ("duplicate attribute", b"<message to='a' to='b'/>"),
    ("unquoted attribute", b"<message to=a/>"),
    ("lone ampersand", b"<message><body>a & b</body></message>"),
    ("less-than in attribute", b"<message to='<'/>"),
    ("undeclared prefix", b"<x:message/>"),
    ("undeclared attribute prefix", b"<message x:a='b'/>"),
    ("control character", b"<message><body>\x01</body></message>"),
    ("nul", b"<message><body>\x00</body></message>"),
    ("reference to nul", b"<message><body>&#0;</body></message>"),
    ("reference to surrogate", b"<message><body>&#xD800;</body></message>"),
    ("reference to U+FFFE", b"<message><body>&#xFFFE;</body></message>"),
    ("cdata end in text", b"<message><body>]]></body></message>"),
    ("duplicate after namespaces", b"<message xmlns:a='u:n' xmlns:b='u:n' a:x='1' b:x='2'/>"),
    ("xml prefix rebound", b"<message xmlns:xml='urn:other'/>"),
    ("xmlns prefix declared", b"<message xmlns:xmlns='urn:other'/>"),
    ("two colons", b"<a:b:c xmlns:a='urn:a'/>"),
    ("wrong end of stream", b"</stream:strom>"),
]


@cases(NOT_WELL_FORMED)
def not_well_formed(server, _name, data):
    stream = _opened(server)
    stream.send(data)
    stream.expect_stream_error("not-well-formed")


@cases(NOT_WELL_FORMED[:12])
def not_well_formed_after_login(server, _name, data):
    client = _bound(server)
    client.send(data)
    client.expect_stream_error("not-well-formed")


RESTRICTED = [
    ("comment", b"<!-- hello -->"),
    ("comment inside", b"<message><body>a<!-- b -->c</body></message>"),
    ("processing instruction", b"<?php echo 1; ?>"),
    ("processing instruction inside", b"<message><?a b?></message>"),
    ("entity reference", b"<message><body>&nbsp;</body></message>"),
    ("entity reference in attribute", b"<message to='&nbsp;'/>"),
]


@cases(RESTRICTED)
def restricted_xml(server, _name, data):
    stream = _opened(server)
    stream.send(data)
    stream.expect_stream_error("restricted-xml")


@cases(RESTRICTED)
def restricted_xml_after_login(server, _name, data):
    client = _bound(server)
    client.send(data)
    client.expect_stream_error("restricted-xml")


@cases([
    ("plain", "<!DOCTYPE stream>"),
    ("external", "<!DOCTYPE stream SYSTEM 'file:///etc/passwd'>"),
    ("billion laughs", "<!DOCTYPE s [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'><!ENTITY c '&b;&b;&b;&b;'>]>"),
    ("after declaration", "<?xml version='1.0'?><!DOCTYPE stream [ ]>"),
])
def document_type_before_the_header(server, _name, doctype):
    stream = Stream(server)
    stream.send(doctype)
    stream.open_raw(declaration=False)
    stream.expect_stream_error("restricted-xml")


@cases([("comment", "<!-- hello -->"), ("processing instruction", "<?hello world?>")])
def restricted_before_the_header(server, _name, data):
    stream = Stream(server)
    stream.send(data)
    stream.open_raw(declaration=False)
    stream.expect_stream_error("restricted-xml")


def document_type_inside_the_stream(server):
    stream = _opened(server)
    stream.send("<!DOCTYPE message [<!ENTITY a 'b'>]>")
    stream.expect_stream_error("restricted-xml", "not-well-formed")


def declaration_inside_the_stream(server):
    stream = _opened(server)
    stream.send("<?xml version='1.0'?>")
    stream.expect_stream_error("restricted-xml", "not-well-formed")


def predefined_entities_and_references_are_allowed(server):
    client = _bound(server)
    client.send(f"<message to='{client.jid}' type='chat' id='entities'><body>&lt;&amp;&gt;&apos;&quot;&#228;&#x1F600;"
                "<![CDATA[<raw>]]></body></message>")
    message = client.expect("message", id="entities")
    equal(message.child_text("body"), "<&>'\"ä😀<raw>")


# Encodings

@cases(["ISO-8859-1", "UTF-16", "US-ASCII", "KOI8-R"])
def declared_encodings_other_than_utf8(server, encoding):
    stream = Stream(server)
    stream.send(f"<?xml version='1.0' encoding='{encoding}'?>")
    stream.open_raw(declaration=False)
    stream.expect_stream_error("unsupported-encoding", *(["not-well-formed"] if encoding == "UTF-16" else []))


@cases(["utf-16", "utf-32", "utf-16-be"])
def bytes_of_other_encodings(server, encoding):
    stream = Stream(server)
    stream.send(f"<?xml version='1.0'?><stream:stream to='{server.domain}' version='1.0' xmlns='jabber:client' "
                f"xmlns:stream='{NS_STREAM}'>".encode(encoding))
    stream.expect_stream_error("unsupported-encoding", "not-well-formed", "bad-format")


INVALID_UTF8 = [
    ("lone continuation", b"\x80"),
    ("overlong slash", b"\xc0\xaf"),
    ("overlong nul", b"\xc0\x80"),
    ("overlong of three", b"\xe0\x80\xaf"),
    ("surrogate", b"\xed\xa0\x80"),
    ("above U+10FFFF", b"\xf4\x90\x80\x80"),
    ("five bytes", b"\xf8\x88\x80\x80\x80"),
    ("truncated", b"\xe2\x82"),
    ("latin1", b"\xe4"),
    ("ff", b"\xff"),
    ("U+FFFF", b"\xef\xbf\xbf"),
]


@cases(INVALID_UTF8)
def invalid_utf8(server, _name, data):
    stream = _opened(server)
    stream.send(b"<message><body>" + data + b"</body></message>")
    stream.expect_stream_error("not-well-formed", "unsupported-encoding", "bad-format")


@cases(INVALID_UTF8)
def invalid_utf8_after_login(server, _name, data):
    client = _bound(server)
    client.send(b"<message><body>" + data + b"</body></message>")
    client.expect_stream_error("not-well-formed", "unsupported-encoding", "bad-format")


def invalid_utf8_in_attribute_and_name(server):
    for data in (b"<message to='\xff'/>", b"<m\xff/>"):
        stream = _opened(server)
        stream.send(data)
        stream.expect_stream_error("not-well-formed", "unsupported-encoding", "bad-format")


def utf8_may_be_split_anywhere(server):
    client = _bound(server)
    for byte in f"<message to='{client.jid}' id='split' type='chat'><body>ä€😀</body></message>".encode():
        client.send(bytes([byte]))
    equal(client.expect("message", id="split").child_text("body"), "ä€😀")


# First-level elements

STANZAS = [
    ("message", "<message to='{domain}'><body>x</body></message>"),
    ("presence", "<presence/>"),
    ("ping", "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>"),
    ("old authentication", "<iq type='get' id='1'><query xmlns='jabber:iq:auth'/></iq>"),
    ("bind", "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"),
]


@cases(STANZAS)
def stanza_before_authentication(server, _name, stanza):
    for stream in (Client(server), _opened(server)):
        if stream.features is None:
            stream.open()
        stream.send(stanza.format(domain=server.domain))
        stream.expect_stream_error("not-authorized")


def unknown_element_before_authentication(server):
    stream = _opened(server)
    stream.send("<foo xmlns='urn:example:foo'/>")
    stream.expect_stream_error("unsupported-stanza-type", "not-authorized")


@cases([("own namespace", "<foo xmlns='urn:example:foo'/>"), ("client namespace", "<foo/>"),
        ("stream namespace", "<stream:foo/>"), ("sasl", f"<pardon xmlns='{NS_SASL}'/>")])
def unknown_element_after_login(server, _name, data):
    client = _bound(server)
    client.send(data)
    client.expect_stream_error("unsupported-stanza-type")


@cases(["message", "presence", "iq"])
def stanza_of_another_content_namespace(server, name):
    client = _bound(server)
    client.send(f"<{name} xmlns='jabber:server' type='get' id='1'/>")
    client.expect_stream_error("invalid-namespace", "unsupported-stanza-type")


def stanza_with_prefix_is_a_stanza(server):
    client = _bound(server)
    client.send(f"<c:iq xmlns:c='jabber:client' type='get' id='prefixed' to='{server.domain}'>"
                "<p:ping xmlns:p='urn:xmpp:ping'/></c:iq>")
    client.expect("iq", id="prefixed", type="result")


@cases([("before login", False), ("after login", True)])
def text_between_stanzas(server, _name, login):
    stream = _bound(server) if login else _opened(server)
    stream.send("hello")
    stream.expect_stream_error("bad-format", "not-well-formed", "unsupported-stanza-type", "invalid-xml",
                               "not-authorized")


def white_space_keeps_alive(server):
    stream = Stream(server)
    stream.open()
    stream.send(" \n\t\r\n ")
    stream.still_open(0.2)
    stream = _bound(server)
    for _ in range(50):
        stream.send(" ")
    stream.send("\n\n")
    stream.expect_nothing()


# TLS

def starttls_works_and_vanishes(server):
    stream = _opened(server)
    check(stream.features.find("starttls", NS_TLS) is None, "STARTTLS is offered under TLS")
    check(stream.features.find("mechanisms", NS_SASL) is not None, "no mechanisms under TLS")


def starttls_needs_a_new_header(server):
    stream = Stream(server)
    stream.open()
    stream.send(f"<starttls xmlns='{NS_TLS}'/>")
    stream.expect_next("proceed", NS_TLS)
    stream.start_tls_layer()
    stream.restart()
    stream.send("<presence/>")
    stream.expect_stream_error("not-well-formed", "bad-format", "invalid-namespace", "not-authorized")


def starttls_twice(server):
    stream = _opened(server)
    stream.send(f"<starttls xmlns='{NS_TLS}'/>")
    got = stream.next()
    check(got.matches("failure", NS_TLS) or got.matches("error", NS_STREAM), f"got {got}")
    try:
        stream.expect_end()
    except Closed:
        pass


def starttls_in_a_wrong_namespace(server):
    stream = Stream(server)
    stream.open()
    stream.send("<starttls/>")
    stream.expect_stream_error("unsupported-stanza-type", "not-authorized", "invalid-namespace")


@cases([
    ("stanza", "<iq xmlns='jabber:client' type='get' id='evil'><ping xmlns='urn:xmpp:ping'/></iq>"),
    ("authentication", f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>AGEAYg==</auth>"),
    ("header", f"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='{NS_STREAM}'>"),
    ("broken", "<<<"),
    ("half an element", "<auth "),
])
def bytes_after_starttls_are_never_interpreted(server, _name, evil):
    """RFC 6120 5.4.3.3 and the injection of CVE-2011-0411: either thrown away or the connection ends."""
    stream = Stream(server)
    stream.open()
    stream.send(f"<starttls xmlns='{NS_TLS}'/>" + evil)
    try:
        got = stream.next()
        if not got.matches("proceed", NS_TLS):
            check(got.name in ("failure", "error"), f"got {got}")
            return
        stream.start_tls_layer()
        stream.open()
    except (OSError, Closed):
        return
    check(stream.features.find("mechanisms", NS_SASL) is not None, "no mechanisms after STARTTLS")
    stream.still_open(0.2)
    stream.close()


def authentication_before_tls(server):
    stream = Client(server)
    stream.open()
    stream.auth("PLAIN", "\0juliet\0secret")
    got = stream.next()
    if got.matches("error", NS_STREAM):
        check(got.find("not-authorized") or got.find("policy-violation"), f"got {got}")
    else:
        check(got.matches("failure", NS_SASL) and (got.find("encryption-required") or
              got.find("mechanism-too-weak")), f"got {got}")


def garbage_instead_of_a_handshake(server):
    for direct in (False, True):
        stream = Stream(server, port=server.c2s_tls if direct else server.c2s)
        if not direct:
            stream.open()
            stream.send(f"<starttls xmlns='{NS_TLS}'/>")
            stream.expect_next("proceed", NS_TLS)
        stream.transcript.append((0, "-", b"garbage from here"))
        stream.sock.sendall(b"<presence/>" * 200)
        end = time.monotonic() + TIMEOUT
        stream.sock.settimeout(TIMEOUT)
        try:
            while stream.sock.recv(4096):
                check(time.monotonic() < end, "the connection stays open")
        except ConnectionError:
            pass
    _opened(server).close()


def direct_tls(server):
    stream = Client(server, direct=True)
    features = stream.open()
    equal(stream.tls.selected_alpn_protocol(), "xmpp-client", "ALPN")
    check(features.find("starttls", NS_TLS) is None, "STARTTLS is offered under direct TLS")
    check(features.find("mechanisms", NS_SASL) is not None, "no mechanisms")
    stream.close()


def direct_tls_without_alpn(server):
    stream = Stream(server, port=server.c2s_tls)
    stream.start_tls_layer()
    stream.open()


def plain_text_on_the_direct_tls_port(server):
    stream = Stream(server, port=server.c2s_tls)
    stream.transcript.append((0, "-", b"in the clear"))
    stream.sock.sendall(f"<stream:stream to='{server.domain}'>".encode())
    stream.sock.settimeout(TIMEOUT)
    try:
        while True:
            data = stream.sock.recv(4096)
            check(b"stream" not in data, f"answered in the clear: {data!r}")
            if not data:
                break
    except ConnectionError:
        pass


@cases([("1.2", ssl.TLSVersion.TLSv1_2, "TLSv1.2"), ("1.3", ssl.TLSVersion.TLSv1_3, "TLSv1.3")])
def tls_versions(server, _name, version, text):
    for direct in (False, True):
        stream = Client(server, direct=direct, tls={"minimum": version, "maximum": version})
        stream.secure()
        equal(stream.tls.version(), text)


@cases([("1.0", ssl.TLSVersion.TLSv1), ("1.1", ssl.TLSVersion.TLSv1_1)])
def old_tls_versions_are_refused(server, _name, version):
    warnings.simplefilter("ignore", DeprecationWarning)
    stream = Stream(server, tls={"minimum": version, "maximum": version, "ciphers": "ALL:@SECLEVEL=0"})
    stream.open()
    stream.send(f"<starttls xmlns='{NS_TLS}'/>")
    stream.expect_next("proceed", NS_TLS)
    try:
        stream.start_tls_layer()
    except (ssl.SSLError, ConnectionError) as error:
        if "NO_PROTOCOLS_AVAILABLE" in str(error) or "NO_CIPHERS" in str(error):
            raise Skip(f"this OpenSSL cannot offer TLS {version.name}") from error
        return
    check(False, f"{stream.tls.version()} was accepted")


def tls_takes_no_second_client_hello(server):
    """A client that offers a key for X25519, as most do, has none to make for another group (RFC 8446 4.1.4)."""
    stream = Stream(server, port=server.c2s_tls)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(coming, going, server_hostname=server.domain)
    flights = 0
    while flights < 5:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            flights += bool(going.pending)
            stream.sock.sendall(going.read())
            coming.write(stream.sock.recv(16384))
    equal(flights, 1, "flights of the client before its Finished")
    equal(tls.version(), "TLSv1.3")


def tls_sessions_resume(server):
    """A ticket of one connection shortens the handshake of the next (RFC 5077, RFC 8446 2.2)."""
    stream = Client(server, direct=True)
    stream.open()
    session = stream.tls.session
    if session is None or not session.has_ticket:
        check(False, "no session ticket")
    made = stream.tls.context
    stream.close()
    sock = made.wrap_socket(socket.create_connection((server.address, server.c2s_tls), TIMEOUT),
                            server_hostname=server.domain, session=session)
    check(sock.session_reused, "the session was not resumed")
    sock.close()


@dedicated(domains=("localhost", "second.localhost", "third.localhost"))
def certificate_follows_the_host(server):
    for domain in server.domains:
        for direct in (True, False):
            stream = Stream(server, direct=direct, domain=domain)
            stream.open()
            if not direct:
                stream.starttls()
            names = [v for k, v in stream.tls.getpeercert()["subjectAltName"] if k == "DNS"]
            equal(names, [domain], "names of the certificate")


def large_records_and_many_small_ones(server):
    client = _bound(server)
    body = "ä€" * 1500
    ids = [client.message(client.jid, body) for _ in range(20)]
    for id_ in ids:
        equal(client.expect("message", id=id_).child_text("body"), body)


# Limits

def _limit_of(stream):
    limits = stream.features.find("limits", NS_LIMITS)
    check(limits is not None and limits.find("max-bytes") is not None, f"no limits in {stream.features}")
    return int(limits.child_text("max-bytes"))


def limits_are_advertised(server):
    """XEP-0478; RFC 6120 13.12 wants at least 10000 bytes."""
    client = _opened(server)
    before = _limit_of(client)
    account = server.account("limits")
    client.authenticate(account.user, account.password)
    client.open()
    after = _limit_of(client)
    check(after >= before and after >= 10000, f"limits: {before}, then {after}")
    idle = client.features.find("limits", NS_LIMITS).child_text("idle-seconds")
    check(idle is None or int(idle) > 0, "idle-seconds")


def _send_until_closed(stream, start, piece=b"a" * 4096, limit=LIMIT_GUESS):
    stream.send(start)
    sent = 0
    while sent < limit and not stream.pump(0):
        stream.send(piece)
        sent += len(piece)
    return sent


def _send_over(stream, start, limit, words):
    """Of what is too large by 2,000 bytes, all but the last 3,000 pass."""
    check(10000 <= limit <= 16384, f"{limit} bytes are allowed before login")
    stream.send(start + b"a" * (limit - 1000 - len(start)))
    stream.still_open(0.2)
    stream.send(b"a" * 3000)
    error = stream.expect_stream_error("policy-violation")
    check(stream.server.kind != "comity" or words in error.child_text("text"), error)


@cases([
    ("text", b"<message><body>", "stanza"),
    ("element name", b"<", "tag"),
    ("attribute", b"<message to='", "tag"),
    ("cdata", b"<message><![CDATA[", "stanza"),
])
def too_large_before_authentication(server, _name, start, what):
    stream = _opened(server)
    _send_over(stream, start, _limit_of(stream), f"bytes of one {what}")


def too_large_header(server):
    limit = _limit_of(_opened(server))
    stream = Stream(server)
    _send_over(stream, b"<?xml version='1.0'?><stream:stream x='", limit, "bytes of the stream header")


def too_large_after_login(server):
    client = _bound(server)
    limit = _limit_of(client)
    _send_until_closed(client, b"<message><body>", b"a" * 16384, limit + 100000)
    client.expect_stream_error("policy-violation")


def largest_stanza_passes(server):
    client = _bound(server)
    start, end = f"<message id='big' to='{client.jid}' type='chat'><body>", "</body></message>"
    size = min(_limit_of(client), 262144) - len(start) - len(end) - 200
    client.send(start + "a" * size + end)
    equal(len(client.expect("message", id="big").child_text("body")), size)


def comments_cannot_hide_from_the_limit(server):
    stream = _opened(server)
    _send_until_closed(stream, b"<!--")
    stream.expect_stream_error("policy-violation", "restricted-xml")


def too_deep(server):
    client = _bound(server)
    client.send("<message>" + "<a>" * 2000)
    client.expect_stream_error("policy-violation")


def too_many_attributes(server):
    client = _bound(server)
    client.send("<message " + " ".join(f"a{i}=''" for i in range(1000)) + "/>")
    client.expect_stream_error("policy-violation")


def too_many_namespaces(server):
    client = _bound(server)
    client.send("<message " + " ".join(f"xmlns:a{i}='urn:{i}'" for i in range(1000)) + "/>")
    client.expect_stream_error("policy-violation")


def white_space_is_no_way_around_the_limit(server):
    """Much white space between stanzas is harmless, not an endless stanza."""
    client = _bound(server)
    for _ in range(80):
        client.send(b" " * 4096)
    client.expect_nothing()


@dedicated(options={"preauth_timeout": "2s"})
def time_before_authentication_is_bounded(server):
    silent, talking, secured = Stream(server), Stream(server), _opened(server)
    talking.open()
    for stream in (talking, secured):
        stream.expect_stream_error("connection-timeout", "policy-violation")
    try:
        silent.expect_eof()
    except Closed:
        pass
    client = _bound(server)
    client.still_open(3)


@dedicated(options={"idle_timeout": "2s", "idle_probe_timeout": "3s", "parser_idle": "200ms"})
def idle_sessions_are_probed(server):
    """An idle client is sent a ping; one that answers goes on, and one that does not is told so when its time is over."""
    spoke = time.monotonic()
    client = _bound(server)
    for _ in range(2):
        probe = client.expect_next("iq", type="get")
        check(probe.find("ping", "urn:xmpp:ping") is not None, probe)
        check(time.monotonic() - spoke > 1.9, "it was asked while it was not idle")
        spoke = time.monotonic()
        client.answer(probe)
        client.expect_nothing()
    client.expect_next("iq", type="get")
    error = client.expect_stream_error("connection-timeout")
    equal(error.child_text("text"), "no answer to a ping")
    check(time.monotonic() - spoke > 4.9, "it had no time to answer")


@dedicated(options={"idle_timeout": "1s", "idle_probe_timeout": "1s", "parser_idle": "1s", "bytes_per_second": 3000})
def who_is_not_read_is_not_idle(server):
    """Two records of what was said at once are read 3 s apart, for the rate."""
    client = _bound(server)
    client.send(f"<message to='{client.bare}' type='error'><body>{'x' * 24000}</body></message>")
    client.iq("get", "<ping xmlns='urn:xmpp:ping'/>", to=client.domain, timeout=20)
    equal(client.inbox, [], "what came besides")
