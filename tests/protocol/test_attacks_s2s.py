# SPDX-License-Identifier: MIT
"""Attacks of other servers, or of who claims to be one: floods of keys, streams and stanzas, lines of the log, presence
to remember. What may pass between servers is bounded; users go on meanwhile."""
import itertools
import threading
import time

from harness import Client, Comity, Stream, cases, check, dedicated, equal
from harness.attack import (NO_RATE, Innocents, bounded, bytes_at_end, connect, federating, login, often, read_all, route,
                            send_until_cut_off, start, stats)
from harness.fake import A, FakeServer, call, prove, send_message
from harness.server import certificates


# Proofs

@dedicated(start=False)
def keys_being_verified_are_limited(server):
    """Sixty callers claim domains whose server never says whether the key is its own."""
    del server
    server = federating(FakeServer(verdict=None), s2s_verifications=10, s2s_verify_timeout="3s", workers=1)
    with Innocents(server), bounded(server, 40):
        streams = [call(server, f"x{n}.fake.test") for n in range(60)]
        for n, stream in enumerate(streams):
            stream.send(f"<db:result from='x{n}.fake.test' to='{A}'>key</db:result>")
        errors = [s.expect("result", type="error").find("error") for s in streams]
        named = [e for e in errors if e.find("resource-constraint") is not None]
        equal(len(named), 50, "keys that were refused at once")
        check("too many dialback keys" in named[0].child_text("text"), named[0])
        check(all(e.find("remote-server-timeout") is not None for e in errors if e not in named), errors)
        equal(prove(call(server, "y.fake.test"), "y.fake.test")["type"], "error", "after the others")


@dedicated(start=False)
def keys_of_one_address_leave_room_for_others(server):
    """One address claims 297 domains whose server says nothing; another one proves itself meanwhile."""
    del server
    honest = FakeServer()
    server = federating(FakeServer(verdict=None), route("honest.test", honest), s2s_verifications=100, s2s_verify_timeout="4s",
                        workers=1)
    with Innocents(server), bounded(server, 40):
        streams = [call(server, f"x{n}.fake.test", source="127.33.0.1") for n in range(3)]
        for n, stream in enumerate(streams):
            stream.send("".join(f"<db:result from='d{i}.x{n}.fake.test' to='{A}'>key</db:result>" for i in range(99)))
        equal(prove(call(server, "honest.test", source="127.33.0.2"), "honest.test")["type"], "valid", "another address")
        errors = [s.expect("result", type="error").find("error") for s in streams for _ in range(99)]
        named = [e for e in errors if e.find("resource-constraint") is not None]
        equal(len(named), 287, "keys over the tenth of one address")
        check("of your address" in named[0].child_text("text"), named[0])
        check(all(e.find("remote-server-timeout") is not None for e in errors if e not in named), errors)
        equal(prove(call(server, "honest.test", source="127.33.0.1"), "honest.test")["type"], "valid", "after their time")


@cases([("hosts that are not here", "<db:result from='x1.fake.test' to='h{}.test'>key</db:result>"),
        ("domains without TLS", "<db:result from='d{}.test' to='a.test'>key</db:result>"),
        ("wrong keys of ours", "<db:verify from='x1.fake.test' to='a.test' id='{}'>key</db:verify>"),
        ("keys of hosts that are not here", "<db:verify from='x1.fake.test' to='h.test' id='{}'>key</db:verify>"),
        ("logins", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>={}</auth>")])
@dedicated(start=False)
def refused_proofs_of_a_stream_are_limited(server, _what, text):
    del server
    server = federating(FakeServer(), s2s_pairs_per_stream=20)
    with Innocents(server), bounded(server, 20):
        stream = call(server)
        stream.send("".join(text.format(n) for n in range(1000)))
        error = stream.expect("error")
        check(error.find("policy-violation") is not None and "too many refused" in error.child_text("text"), error)
        equal(len(stream.inbox), 21, "answers before the end")
        stream.inbox.clear()
        stream.expect_end()


def _key_of(server, fake):
    """The key that the server showed to the fake one, for the stream id fake1."""
    juliet = Client.login(server.account("juliet"), presence=True)
    juliet.message("ann@x1.fake.test", "hello")
    fake.wait_stanza("message")
    return next(e for e in fake.asked if e.name == "result").text


def _ask(stream, key, count):
    """The answers to so many questions about a key."""
    stream.send(f"<db:verify from='x1.fake.test' to='{A}' id='fake1'>{key}</db:verify>" * count)
    return {stream.expect("verify", timeout=20)["type"] for _ in range(count)}


@dedicated(start=False)
def who_asks_about_keys_of_others_keeps_its_stream(server):
    """Right keys are no refusals; wrong ones are those of others when the asker has proved itself."""
    del server
    fake = FakeServer()
    server = federating(fake, s2s_pairs_per_stream=20)
    key = _key_of(server, fake)
    stranger = call(server)
    equal(_ask(stranger, key, 50), {"valid"})
    proved = call(server)
    equal(prove(proved, "x1.fake.test")["type"], "valid")
    equal(_ask(proved, "wrong", 50), {"invalid"})
    equal(_ask(proved, key, 1), {"valid"})


@dedicated(start=False, timeout=60)
def lines_of_the_log_that_others_cause_are_limited(server):
    """One that has proved a domain asks about wrong keys, each of which is a line."""
    del server
    server = federating(FakeServer())
    stream = call(server)
    equal(prove(stream, "x1.fake.test")["type"], "valid")
    began = time.monotonic()
    for _ in range(12):
        equal(_ask(stream, "wrong", 1000), {"invalid"})
    # The next line after the flood tells how many are missing.
    server.wait_for(lambda: (_ask(stream, "wrong", 1), "were left out" in server.log())[1], "the number of lines left out")
    lines = server.log().count("a dialback key is not ours")
    most = 5000 + 500 * (time.monotonic() - began)
    check(4000 < lines <= most, f"{lines} lines, wanted at most {most:.0f}")


@dedicated(start=False, timeout=60)
def warnings_that_others_cause_are_limited(server):
    """A user writes to servers that there are not, each of which is a warning."""
    del server
    server = start(Comity(domains=(A,), options=NO_RATE | {"s2s_dns": False}))
    user = login(server)
    began = time.monotonic()
    for k in range(12):
        for n in range(1000):
            user.message(f"ann@x{k}-{n}.test", "hi")
        for n in range(1000):
            user.expect("message", type="error", timeout=20)
        user.inbox.clear()
        user.transcript.clear()
    count = itertools.count()
    server.wait_for(lambda: (user.message(f"ann@y{next(count)}.test", "hi"),
                             "lines of level warning were left out" in server.log())[1], "the number of lines left out")
    lines = server.log().count(" failed (")
    most = 5000 + 500 * (time.monotonic() - began)
    check(4000 < lines <= most, f"{lines} lines, wanted at most {most:.0f}")


@dedicated(start=False)
def a_login_on_a_stream_that_has_no_place_for_it_is_refused(server):
    """The certificate is good, and the stream has proved as many domains by dialback as it may."""
    del server
    server = federating(FakeServer(), s2s_pairs_per_stream=20)
    folder, domain = certificates(A, "x1.fake.test"), "x1.fake.test"
    with Innocents(server):
        stream = call(server, domain, tls={"verify": False, "cert": [f"{folder}/{domain}.{end}" for end in ("crt", "key")]})
        equal({prove(stream, f"d{n}.fake.test")["type"] for n in range(20)}, {"valid"})
        stream.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
        check("dialback has begun" in stream.expect("failure").child_text("text"), "another cause")
        send_message(stream, "ann@d1.fake.test", f"nobody@{A}")
        equal(prove(stream, "d1.fake.test")["type"], "valid", "what was proved before")


@dedicated(start=False)
def guesses_at_streams_to_resume_are_limited(server):
    del server
    server = federating(FakeServer(), s2s_pairs_per_stream=20)
    stream = call(server)
    equal(prove(stream, "x1.fake.test")["type"], "valid")
    stream.send("<resume xmlns='urn:xmpp:sm:3' previd='guess' h='0'/>" * 1000)
    error = stream.expect("error")
    check(error.find("policy-violation") is not None and "too many refused" in error.child_text("text"), error)
    equal(sum(e.name == "failed" for e in stream.inbox), 21, "answers before the end")


@dedicated(start=False)
def answers_that_nobody_reads_end_a_caller_without_a_proof(server):
    """Questions about keys need neither TLS nor a proof, and each has an answer as long as itself."""
    del server
    server = federating(FakeServer(), s2s_pairs_per_stream=10000, max_preauth_output="16KiB")
    with Innocents(server), bounded(server, 20):
        stream = call(server)
        question = f"<db:verify from='x.fake.test' to='{A}' id='{'i' * 2000}'>key</db:verify>".encode() * 50
        send_until_cut_off(server, stream, question)
    check(bytes_at_end(server) < 32 << 10, f"{bytes_at_end(server)} bytes waited at the end")


@dedicated(start=False)
def long_keys_are_not_kept(server):
    del server
    server = federating(FakeServer())
    stream = call(server)
    equal(prove(stream, "x1.fake.test")["type"], "valid")
    stream.send(f"<db:result from='x2.fake.test' to='{A}'>{'k' * 1025}</db:result>")
    check("1024" in stream.expect_stream_error("policy-violation").child_text("text"), "the limit is not named")


@dedicated(start=False)
def streams_of_an_address_are_limited_though_they_prove_domains(server):
    del server
    server = federating(FakeServer(), s2s_streams_per_address=5)
    with Innocents(server):
        streams = [call(server, f"x{n}.fake.test", source="127.33.0.1") for n in range(5)]
        for n, stream in enumerate(streams):
            equal(prove(stream, f"x{n}.fake.test")["type"], "valid")
        refused = Stream(server, port=server.s2s, domain=A, source="127.33.0.1")
        check("streams of this address" in refused.expect_stream_error("policy-violation").child_text("text"), "no reason")
        equal(prove(call(server, "y.fake.test", source="127.33.0.2"), "y.fake.test")["type"], "valid", "another address")
        streams[0].close()
        server.wait_for(lambda: stats(server)["connections_closed"] >= 1, "the end of a stream")
        equal(prove(call(server, "x9.fake.test", source="127.33.0.1"), "x9.fake.test")["type"], "valid", "in its place")


@dedicated(start=False)
def silent_and_dripping_callers_are_cut_off(server):
    del server
    server = federating(FakeServer(), s2s_negotiate_timeout="2s")
    with Innocents(server), bounded(server, 20):
        callers = [connect(server, server.s2s) for _ in range(40)] + [call(server).sock for _ in range(10)]
        for sock in callers[:20]:
            sock.sendall(b"<?xml version='1.0'?><stream:str")
        began = time.monotonic()
        for sock in callers:
            read_all(sock, 10)
        check(1 < time.monotonic() - began < 9, "the time to agree")


@dedicated(start=False)
def members_of_a_directory_that_come_and_go_are_counted_now_and_then(server):
    """All members are read from the store to count them."""
    del server
    server = federating(FakeServer(), 'modules_enabled = { directory }\nmodule directory { register_allow = { "*.test" } }\n')
    stream, about = call(server), "from='x1.fake.test' to='a.test'"
    equal(prove(stream, "x1.fake.test")["type"], "valid")
    come = (f"<iq type='set' id='i' {about}><register xmlns='urn:comity:directory:1' host='192.0.2.1' port='5269'/></iq>"
            f"<iq type='set' id='o' {about}><unregister xmlns='urn:comity:directory:1'/></iq>")

    def come_and_go(count):
        before = server.log().count("unregistered domain=")
        stream.send(come * count)
        server.wait_for(lambda: server.log().count("unregistered domain=") == before + count, "all of them", 20)

    come_and_go(1)
    before = stats(server)["store_reads"]
    come_and_go(100)
    reads = stats(server)["store_reads"] - before
    check(100 <= reads < 150, f"{reads} reads for 100 registrations")


# Stanzas

@dedicated(start=False)
def stanzas_of_other_servers_are_limited(server):
    del server
    server = federating(FakeServer(), s2s_max_stanza_bytes="20000B", max_elements=100)
    with Innocents(server):
        romeo = login(server, "romeo")
        for payload, words in (("x" * 30000, "bytes"), ("<a/>" * 200, "elements")):
            stream = call(server)
            equal(prove(stream, "x1.fake.test")["type"], "valid")
            send_message(stream, "ann@x1.fake.test", romeo.bare, "fine")
            romeo.expect("message", body="fine")
            send_message(stream, "ann@x1.fake.test", romeo.bare, payload)
            error = stream.expect_stream_error("policy-violation")
            check("too many" in error.child_text("text") and words in error.child_text("text"), error)
        romeo.expect_nothing()


@cases([("stanzas", {"s2s_stanzas_per_second": 500, "s2s_bytes_per_second": 0}, 3000, "", 3),
        ("bytes", {"s2s_stanzas_per_second": 0, "s2s_bytes_per_second": "100KiB"}, 20, "x" * 32768, 3),
        ("none", {"s2s_stanzas_per_second": 0, "s2s_bytes_per_second": 0}, 3000, "", 0)])
@dedicated(start=False)
def floods_of_other_servers_are_read_at_the_rate_that_is_allowed(server, _what, options, count, body, seconds):
    del server
    server = federating(FakeServer(), **options)
    with Innocents(server), bounded(server, 60):
        romeo, stream = login(server, "romeo"), call(server)
        equal(prove(stream, "x1.fake.test")["type"], "valid")
        began = time.monotonic()
        text = f"<message from='ann@x1.fake.test' to='{romeo.bare}'><body>{body}</body></message>" * count
        threading.Thread(target=lambda: stream.send(text), daemon=True).start()
        for _ in range(count):
            romeo.expect_next("message", timeout=30)
        took = time.monotonic() - began
    check(took >= seconds if seconds else took < 3, f"the flood was read within {took:.1f} s")


@dedicated(start=False)
def requests_of_a_stream_that_wait_for_answers_are_limited(server):
    """Another server asks for a large vCard 2,500 times, and reads nothing; it is read on with what is answered."""
    del server
    server = federating(FakeServer(), s2s_stanzas_per_second=0, s2s_bytes_per_second=0, workers=1)
    romeo, waiting = login(server, "romeo"), []
    equal(romeo.iq("set", f"<vCard xmlns='vcard-temp'><NOTE>{'x' * 60000}</NOTE></vCard>")["type"], "result")
    with Innocents(server), bounded(server, 60):
        stream = call(server)
        equal(prove(stream, "x1.fake.test")["type"], "valid")
        text = f"<iq type='get' id='v' from='ann@x1.fake.test' to='{romeo.bare}'><vCard xmlns='vcard-temp'/></iq>" * 2500
        text += f"<message from='ann@x1.fake.test' to='{romeo.jid}'><body>the last</body></message>"
        threading.Thread(target=lambda: stream.send(text), daemon=True).start()
        with often(lambda: waiting.append(stats(server)["store_waiting"])):
            romeo.expect("message", timeout=40)
    check(512 < max(waiting) <= 1024 + 8, f"{max(waiting)} reads waited for one stream")


# Presence that is remembered

def _show(stream, domain, to, count, size=1):
    for begin in range(0, count, 100):
        stream.send("".join(f"<presence from='ann@{domain}/{n}{'r' * size}' to='{to}'/>" for n in range(begin, begin + 100)))


@cases([("one worker", 1), ("several", 3)])
@dedicated(start=False)
def presence_for_nobody_is_not_remembered(server, _what, workers):
    del server
    server = federating(FakeServer(), workers=workers, idle_accounts=20, s2s_stanzas_per_second=0, s2s_bytes_per_second=0)
    with Innocents(server), bounded(server, 20):   # of 60 MB that came
        romeo, absent = login(server, "romeo"), server.account("absent")
        for number in range(2):
            domain = f"x{number}.fake.test"
            stream = call(server, domain)
            equal(prove(stream, domain)["type"], "valid")
            for begin in range(0, 2500, 50):
                stream.send("".join(f"<presence from='{'u' * 1000}@{domain}/{n}{'r' * 1000}' to='{'n' * 980}{n}@{A}/{'r' * 980}'/>"
                                    for n in range(begin, begin + 50)))
            _show(stream, domain, absent.jid, 200)
            send_message(stream, f"ann@{domain}", romeo.bare, "that was all")
            romeo.expect("message", body="that was all", timeout=20)
        server.wait_for(lambda: stats(server)["memory_presence"] == 0, "an end of what is remembered for nobody")


def _shows_itself(server, *users):
    """A stream of both directions, on which ann is available to them."""
    stream = call(server)
    stream.send("<bidi xmlns='urn:xmpp:bidi'/>")
    equal(prove(stream, "x1.fake.test")["type"], "valid")
    stream.send("".join(f"<presence from='ann@x1.fake.test/r' to='{to}'/>" for to in users))
    return stream


@dedicated(start=False)
def strangers_do_not_learn_who_has_got_their_presence(server):
    """A server shows a stranger to users and goes away: it is neither called back nor asked for those who are here and
    have not wanted to see anybody of it, as it is for who has shown himself."""
    del server
    fake = FakeServer()
    server = federating(fake, workers=1)   # so that all is known of a presence when it is seen
    juliet, romeo, absent = login(server, "juliet"), login(server, "romeo"), server.account("absent")
    stream = _shows_itself(server, juliet.bare, absent.jid)
    juliet.expect("presence", type=None, from_="ann@x1.fake.test/r")
    fake.hang_up()
    asked = len(fake.asked)
    stream.abort()
    server.wait_for(lambda: "ready" not in server.ctl("s2s", "show", "x1.fake.test"), "the loss of the domain")
    stream = _shows_itself(server)
    equal(sum(e.name == "result" for e in fake.asked[asked:]), 0, "calls to see whether it is there")
    romeo.presence(to="ann@x1.fake.test/r")
    stream.expect("presence", from_=romeo.jid)
    stream.send("".join(f"<presence from='ann@x1.fake.test/r' to='{user.bare}'/>" for user in (romeo, juliet)))
    romeo.expect("presence", type=None, from_="ann@x1.fake.test/r")
    juliet.expect("presence", type=None, from_="ann@x1.fake.test/r")
    fake.believes = False
    stream.abort()
    fake.hang_up()
    romeo.expect("presence", type="unavailable", from_="ann@x1.fake.test/r")
    juliet.expect("presence", type="unavailable", from_="ann@x1.fake.test/r")
    fake.believes = True
    stream = _shows_itself(server)
    stream.expect("presence", type="probe", from_=romeo.bare)
    stream.send(f"<iq type='get' id='p' from='ann@x1.fake.test' to='{A}'><ping xmlns='urn:xmpp:ping'/></iq>")
    stream.expect("iq", id="p")
    equal([e["from"] for e in [*stream.inbox, *fake.stanzas] if e["type"] == "probe"], [], "who else is asked for")


@cases([("one who is here", True, False, 1), ("one who is absent", False, False, 1),
        ("one who is here, of two workers", True, False, 2), ("one who is absent, of two workers", False, False, 2),
        ("one who has shown himself, of two workers", True, True, 2)])
@dedicated(start=False)
def stranger_that_goes_at_once_does_not_learn_who_is_there(server, _what, is_here, is_wanted, workers):
    """It is gone before the server knows what has become of its presence."""
    del server
    fake = FakeServer()
    server = federating(fake, workers=workers)
    accounts = [server.account(f"user{n}") for n in range(4)]
    server.restart()   # so that none of them is in memory
    users = [Client.login(account, presence=True) for account in accounts] if is_here else []
    stream = _shows_itself(server)
    fake.hang_up()
    server.wait_for(lambda: "both directions" in server.log(), "a stream of both directions")
    time.sleep(1.1)   # s2s_retry_min: a stream that is lost sooner is not called back at once
    for user in users[:1] if is_wanted else ():
        user.presence(to="ann@x1.fake.test/r")
        stream.expect("presence", from_=user.jid)
    asked = len(fake.asked)
    stream.send("".join(f"<presence from='ann@x1.fake.test/r' to='{account.jid}'/>" for account in accounts))
    stream.abort()
    for user in users:
        user.expect("presence", type=None, from_="ann@x1.fake.test/r")
    if is_wanted:
        server.wait_for(lambda: len(fake.asked) > asked, "a call to see whether it is there")
    time.sleep(0.7)
    equal(sum(e.name == "result" for e in fake.asked[asked:]), int(is_wanted), "calls to see whether it is there")


@cases([("of one domain", {"s2s_presence_bytes": "100KiB"}, 1), ("of all domains", {"s2s_presence_total": "100KiB"}, 3)])
@dedicated(start=False)
def presence_that_is_remembered_is_limited(server, _what, options, domains):
    del server
    server = federating(FakeServer(), workers=1, **options)
    with Innocents(server), bounded(server, 20):
        romeo = login(server, "romeo")
        streams = [call(server, f"x{n}.fake.test") for n in range(domains)]
        for n, stream in enumerate(streams):
            equal(prove(stream, f"x{n}.fake.test")["type"], "valid")
            _show(stream, f"x{n}.fake.test", romeo.bare, 300, 500)
        for _ in range(300 * domains):
            romeo.expect_next("presence", type=None, timeout=20)
        held = stats(server)["memory_presence"]
        check(90000 < held <= 102400, f"{held} bytes are remembered")
        for n in range(300):
            streams[0].send(f"<presence type='unavailable' from='ann@x0.fake.test/{n}{'r' * 500}' to='{romeo.bare}'/>")
        for _ in range(300):
            romeo.expect_next("presence", type="unavailable", timeout=20)
        check(stats(server)["memory_presence"] < held, "nothing was given back")


def _stop_reaching(server, user):
    """After a moment it is as good as gone."""
    server.text = server.text.replace("port = ", "port = 1 # ")
    server.write_config()
    server.reload()
    server.ctl("s2s", "close", "x1.fake.test")
    user.message("ann@x1.fake.test", "are you there?")
    time.sleep(0.3)
    user.message("ann@x1.fake.test", "and now?")


def _talk_to_others(server, user):
    server.ctl("s2s", "close", "x1.fake.test")
    for n in range(20):
        user.message(f"ann@y{n}.fake.test", "hi")
        time.sleep(0.02)


@cases([("it cannot be reached", {"s2s_queue_age": "100ms", "s2s_retry_min": "50ms", "s2s_retry_max": "50ms"}, _stop_reaching),
        ("others take its place", {"s2s_links": 10}, _talk_to_others)])
@dedicated(start=False)
def all_who_were_seen_of_a_lost_server_become_unavailable(server, _what, options, lose):
    """More than are told of in one turn; others are served between."""
    del server
    server = federating(FakeServer(), workers=1, **options)
    with Innocents(server):
        romeo, stream = login(server, "romeo"), call(server)
        equal(prove(stream, "x1.fake.test")["type"], "valid")
        _show(stream, "x1.fake.test", romeo.bare, 1100)
        for _ in range(1100):
            romeo.expect_next("presence", type=None, timeout=20)
        check(stats(server)["memory_presence"] > 100000, "nothing is remembered")
        lose(server, romeo)
        gone = {romeo.expect("presence", type="unavailable", timeout=20)["from"] for _ in range(1100)}
        equal(len(gone), 1100)
