# SPDX-License-Identifier: MIT
"""Two servers of our own, found by routes: proof, traffic both ways, failures and what is said about them."""
import contextlib
import json
import os
import re
import selectors
import socket
import ssl
import subprocess
import threading

from harness import Client, Comity, cases, check, dedicated, equal
from harness.attack import federating, login
from harness.fake import NS_SM, FakeServer, call, prove, send_message
from harness.server import certificates, route_to

A, B, FAKE = "a.test", "b.test", "x1.fake.test"


def _pair(options_a=None, options_b=None, direct=False, route_a=None, route_b=None, domain_b=B):
    """Two servers that know the way to each other."""
    a, b = Comity(options=options_a, domains=(A,)), Comity(options=options_b, domains=(domain_b,))
    extra = {"direct_tls": "yes"} if direct else {}
    a.text = route_to(domain_b, b.s2s_tls if direct else b.s2s, **extra, **(route_a or {}))
    b.text = route_to(A, a.s2s_tls if direct else a.s2s, **extra, **(route_b or {}))
    a.start()
    b.start()
    return a, b


def _users(a, b):
    clients = []
    for account, resource in ((a.account("juliet"), "balcony"), (b.account("romeo"), "orchard")):
        clients.append(Client.login(account, resource, presence=True))
        clients[-1].account = account
    return clients


def _chat(juliet, romeo):
    juliet.message(romeo.bare, "wherefore art thou?")
    got = romeo.expect("message", from_=juliet.jid)
    equal(got.child_text("body"), "wherefore art thou?")
    romeo.message(juliet.jid, "here <&>")
    got = juliet.expect("message", from_=romeo.jid)
    equal((got.child_text("body"), got.ns), ("here <&>", "jabber:client"))


@dedicated(start=False)
def content_has_one_namespace_however_it_is_spelled(server):
    """jabber:client on one side is jabber:server on the other (RFC 6120 4.8.3)."""
    del server
    fake = FakeServer()
    a = federating(fake)
    user = login(a)
    for n, spelled in enumerate(("jabber:client", "jabber:&#99;lient", "jabber&#x3a;client")):
        user.send(f"<message type='chat' to='u@{FAKE}'><body xmlns='{spelled}'>hi</body></message>")
        fake.wait_stanzas(n + 1)
        equal([c.ns for c in fake.stanzas[n].children], ["jabber:server"], spelled)
    stream = call(a, FAKE)
    equal(prove(stream, FAKE)["type"], "valid")
    for spelled in ("jabber:server", "jabber&#58;server"):
        stream.send(f"<message type='chat' from='u@{FAKE}' to='{user.bare}'><body xmlns='{spelled}'>hi</body></message>")
        equal(user.expect("message").children[0].ns, "jabber:client", spelled)


@cases([("external", False, True), ("external-direct", True, True), ("dialback", False, False),
        ("dialback-direct", True, False)])
@dedicated(start=False)
def messages_pass_both_ways(server, how, direct, trusted):
    del server
    # A route has its own security; the default of routes is verify.
    route = None if trusted else {"security": "opportunistic", "ca_file": f'"{certificates("nobody.test")}/nobody.test.crt"'}
    a, b = _pair(direct=direct, route_a=route, route_b=route)
    juliet, romeo = _users(a, b)
    _chat(juliet, romeo)
    check(("by certificate" if trusted else "by dialback") in a.log(), f"{how}: not proved as expected")


@dedicated(start=False)
def a_subscription_and_presence_pass_between_servers(server):
    del server
    a, b = _pair()
    juliet, romeo = _users(a, b)
    juliet.presence("subscribe", to=romeo.bare)
    romeo.expect("presence", type="subscribe", from_=juliet.bare)
    romeo.presence("subscribed", to=juliet.bare)
    juliet.expect("presence", type="subscribed", from_=romeo.bare)
    juliet.expect("presence", type=None, from_=romeo.jid)
    romeo.presence(payload="<show>away</show>")
    got = juliet.expect("presence", from_=romeo.jid, where=lambda e: e.child_text("show") == "away")
    check(got is not None, "no presence")
    romeo.drain()
    romeo.close()
    juliet.expect("presence", type="unavailable", from_=romeo.jid)


@dedicated(start=False)
def iq_errors_and_results_come_back(server):
    del server
    a, b = _pair()
    juliet, romeo = _users(a, b)
    answer = juliet.iq("get", "<query xmlns='jabber:iq:version'/>", to=B)
    equal(answer["type"], "result")
    answer = juliet.iq("get", "<query xmlns='unknown:thing'/>", to=B)
    equal(answer["type"], "error")
    answer = juliet.iq("get", "<query xmlns='unknown:thing'/>", to=f"nobody@{B}")
    equal(answer["type"], "error")


@dedicated(start=False)
def one_stream_serves_both_directions_when_both_can(server):
    del server
    a, b = _pair(options_a={"s2s_resume_time": "0s"})
    juliet, romeo = _users(a, b)
    _chat(juliet, romeo)
    check("shared" in b.ctl("s2s", "list"), "b does not use the stream of a")
    check("s2s-out" not in b.log(), "b opened a stream of its own")


@dedicated(start=False)
def without_bidi_each_side_opens_its_stream(server):
    del server
    a, b = _pair(options_a={"s2s_bidi": False, "s2s_resume_time": "0s"})
    _chat(*_users(a, b))
    check("s2s-out" in b.log(), "b used the stream of a")


def _renew(server):
    """A certificate of its own for its host, made by the authority of all, which OpenSSL takes from a client too;
    returns it as bytes."""
    own = os.path.join(server.folder, "own")
    with open(f"{own}.template", "w") as template:
        template.write(f"cn = {server.domain}\ndns_name = {server.domain}\ntls_www_server\ntls_www_client\nsigning_key\n")
    for arguments in (f"--generate-privkey --key-type=ecdsa --outfile {own}.key",
                      f"--generate-certificate --load-privkey {own}.key --load-ca-certificate {server.ca} "
                      f"--load-ca-privkey {server.certs}/ca.key --template {own}.template --outfile {own}.crt"):
        subprocess.run(["certtool", *arguments.split()], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    with open(f"{own}.crt") as certificate:
        return ssl.PEM_cert_to_DER_cert(certificate.read())


class _Wire:
    """A way to a port that can be cut, and that can swallow what is sent."""

    def __init__(self, port):
        self.port = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.way = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.pairs, self.swallows, self.refuses = {}, False, False
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            for key, _ in self.selector.select(0.05):
                with self.lock, contextlib.suppress(OSError, KeyError, ValueError):
                    self._serve(key.fileobj)

    def _serve(self, ready):
        if ready is self.listener:
            near, _ = self.listener.accept()
            if self.refuses:
                near.close()
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.port), timeout=5)
            except OSError:
                near.close()
                return
            for one, other in ((near, far), (far, near)):
                self.pairs[one] = other
                self.selector.register(one, selectors.EVENT_READ)
            return
        data = ready.recv(65536)
        if not data:
            self._drop(ready)
        elif not self.swallows:
            self.pairs[ready].sendall(data)

    def _drop(self, one):
        for end in (one, self.pairs.get(one)):
            if end is not None and self.pairs.pop(end, None) is not None:
                self.selector.unregister(end)
                end.close()

    def cut(self):
        """Ends all connections, with what is under way in them."""
        with self.lock:
            for one in list(self.pairs):
                self._drop(one)
            self.swallows = False

    def listening(self, on):
        """False: cuts, and refuses new connections."""
        with self.lock:
            self.refuses = not on
        self.cut()

    def swallow(self):
        with self.lock:
            self.swallows = True


def _wired_pair(options):
    a, b = Comity(options=options, domains=(A,)), Comity(options=options, domains=(B,))
    wire = _Wire(b.s2s)
    a.text, b.text = route_to(B, wire.way), route_to(A, a.s2s)
    a.start()
    b.start()
    return a, b, wire


@cases([("cut", False), ("swallowed and cut", True)])
@dedicated(start=False)
def a_lost_stream_is_resumed_without_loss_or_repetition(server, how, swallow):
    del server, how
    a, b, wire = _wired_pair({"s2s_retry_min": "100ms", "s2s_retry_max": "300ms"})
    juliet, romeo = _users(a, b)
    _chat(juliet, romeo)
    for round_ in range(3):
        for n in range(20):
            juliet.message(romeo.bare, f"{round_}-{n}")
            if n == 10 and swallow:
                wire.swallow()
        juliet.settle()
        wire.cut()
        for n in range(20):
            got = romeo.expect_next("message", from_=juliet.jid, timeout=15)
            equal(got.child_text("body"), f"{round_}-{n}")
    romeo.expect_nothing()
    check("resumed" in b.log(), "no stream was resumed")


@dedicated(start=False)
def a_peer_that_no_longer_acknowledges_is_reached_anew(server):
    del server
    a, b, wire = _wired_pair({"s2s_retry_min": "100ms", "s2s_dead_timeout": "2s", "parser_idle": "300ms"})
    juliet, romeo = _users(a, b)
    _chat(juliet, romeo)
    wire.swallow()
    juliet.message(romeo.bare, "lost at first")
    juliet.settle()
    a.wait_for(lambda: "acknowledged nothing" in a.log(), "the end of patience")
    wire.cut()
    equal(romeo.expect("message", from_=juliet.jid, timeout=15).child_text("body"), "lost at first")
    romeo.expect_nothing()


@dedicated(start=False)
def a_peer_that_restarts_gets_what_waited(server):
    del server
    a, b = _pair(options_a={"s2s_retry_min": "100ms", "s2s_retry_max": "500ms"})
    juliet, romeo = _users(a, b)
    _chat(juliet, romeo)
    b.stop()
    for n in range(5):
        juliet.message(romeo.bare, f"waits {n}")
    juliet.settle()
    b.start()
    romeo = Client.login(romeo.account, "orchard", presence=True)
    for n in range(5):
        equal(romeo.expect("message", from_=juliet.jid, timeout=15).child_text("body"), f"waits {n}")


@dedicated(start=False)
def an_unreachable_server_returns_messages_with_the_cause(server):
    del server
    a, b = _pair(options_a={"s2s_queue_age": "1s", "s2s_retry_min": "100ms"})
    juliet = Client.login(a.account("juliet"), "balcony", presence=True)
    b.stop()
    juliet.message(f"romeo@{B}", "anyone?")
    error = juliet.expect_error("remote-server-timeout", name="message")
    check("refused" in error.find("error").child_text("text"), f"no cause: {error}")
    code, said = a.ctl("why", B, ok=False)
    equal(code, 1)
    check("refused" in said.splitlines()[-1] and "firewall" in said, said)
    check("last attempt" in said, said)
    shown = a.ctl("s2s", "show", B)
    check("refused" in shown and "waiting" in shown, shown)
    b.start()
    juliet.message(f"romeo@{B}", "and now?")
    a.ctl("s2s", "retry", B)
    juliet.expect_error("service-unavailable", name="message")
    check("by certificate" in a.ctl("s2s", "show", B), "no stream is shown")


@dedicated(start=False)
def what_waits_is_returned_when_the_administrator_says_so(server):
    del server
    a, b = _pair(options_a={"s2s_retry_min": "10s"})
    juliet = Client.login(a.account("juliet"), "balcony", presence=True)
    b.stop()
    juliet.message(f"romeo@{B}", "anyone?")
    a.wait_for(lambda: "waiting" in a.ctl("s2s", "list"), "a link that waits")
    check("returned 1 " in a.ctl("s2s", "flush", B), "nothing was returned")
    juliet.expect_error("remote-server-timeout", name="message")


@dedicated(start=False)
def why_tells_each_step_of_a_domain_that_can_be_reached(server):
    del server
    a, _ = _pair()
    said = a.ctl("why", B)
    for step in ("connecting to 127.0.0.1", "TLS", f"certificate for {B}", "certificate: valid", "EXTERNAL", "can be reached"):
        check(step in said, f"{step} is missing in:\n{said}")


@cases([("deny", {"s2s_deny": [B]}), ("allow", {"s2s_allow": ["c.test"]}), ("wildcard", {"s2s_deny": ["*.test"]})])
@dedicated(start=False)
def a_domain_that_is_not_allowed_is_neither_called_nor_let_in(server, how, options):
    del server, how
    a, b = _pair(options_a=options)
    juliet, romeo = _users(a, b)
    juliet.message(romeo.bare, "psst")
    juliet.expect_error("not-allowed", name="message")
    romeo.message(juliet.bare, "psst")
    romeo.expect("message", type="error", from_=juliet.bare)


@dedicated(start=False)
def a_host_without_federation_stays_alone(server):
    del server
    a, b = Comity(hosts={A: "federation = no"}), Comity(domains=(B,))
    b.text = route_to(A, a.s2s)
    a.start()
    b.start()
    juliet, romeo = _users(a, b)
    juliet.message(romeo.bare, "psst")
    juliet.expect_error("remote-server-not-found", name="message")
    romeo.message(juliet.bare, "psst")
    romeo.expect("message", type="error", from_=juliet.bare)


@dedicated(start=False)
def contacts_of_a_server_that_is_lost_become_unavailable_and_come_back(server):
    del server
    options = {"s2s_retry_min": "100ms", "s2s_retry_max": "200ms", "s2s_queue_age": "1s"}
    a, b, wire = _wired_pair(options)
    juliet, romeo = _users(a, b)
    juliet.presence("subscribe", to=romeo.bare)
    romeo.expect("presence", type="subscribe", from_=juliet.bare)
    romeo.presence("subscribed", to=juliet.bare)
    juliet.expect("presence", type=None, from_=romeo.jid)
    wire.listening(False)
    juliet.expect("presence", type="unavailable", from_=romeo.jid, timeout=15)
    wire.listening(True)
    juliet.message(romeo.bare, "are you there?")
    juliet.expect("presence", type=None, from_=romeo.jid, timeout=15)


@dedicated(start=False)
def presence_is_exchanged_anew_with_a_server_that_was_killed(server):
    del server
    a, b = _pair(options_a={"s2s_retry_min": "100ms", "s2s_retry_max": "200ms", "s2s_queue_age": "1s"})
    juliet, romeo = _users(a, b)
    for one, other in ((juliet, romeo), (romeo, juliet)):
        one.presence("subscribe", to=other.bare)
        other.expect("presence", type="subscribe", from_=one.bare)
        other.presence("subscribed", to=one.bare)
        one.expect("presence", type=None, from_=other.jid)
    b.wait_for(lambda: re.search(r"^store_waiting +0 ", b.ctl("stats"), re.M), "a store that has written all")
    b.kill()
    juliet.message(romeo.bare, "are you there?")
    juliet.expect("message", type="error", timeout=15)
    juliet.expect("presence", type="unavailable", from_=romeo.jid, timeout=15)
    b.start()
    romeo = Client.login(romeo.account, "again", presence=True)
    romeo.expect("presence", type=None, from_=juliet.jid, timeout=15)
    juliet.expect("presence", type=None, from_=romeo.jid, timeout=15)


@dedicated(start=False)
def the_server_stops_at_once_while_why_is_at_work(server):
    del server
    with socket.create_server(("127.0.0.1", 0)) as mute:
        a = Comity(domains=(A,))
        a.text = route_to(B, mute.getsockname()[1])
        a.start()
        asking = threading.Thread(target=lambda: a.ctl("why", B, ok=False))
        asking.start()
        mute.accept()
        equal(a.ctl("log", "level").strip(), "debug")   # the control socket is free meanwhile
        a.stop()
        asking.join()


@dedicated(start=False)
def a_domain_that_is_denied_by_a_reload_is_hung_up_on(server):
    del server
    a, b = _pair()
    juliet, romeo = _users(a, b)
    _chat(juliet, romeo)
    a.options["s2s_deny"] = [B]
    a.write_config()
    a.reload()
    a.wait_for(lambda: "policy-violation" in a.log(), "the end of the streams")
    juliet.message(romeo.bare, "still there?")
    juliet.expect_error("not-allowed", name="message")
    romeo.message(juliet.bare, "still there?")
    romeo.expect("message", type="error", from_=juliet.bare)
    a.options["s2s_deny"] = []
    a.write_config()
    a.reload()
    juliet.message(romeo.bare, "again")
    romeo.expect("message", from_=juliet.jid, timeout=15)


@dedicated(start=False)
def a_new_certificate_is_shown_to_domains_that_are_known(server):
    del server
    fake = FakeServer(tls=f"{certificates(A, FAKE)}/{FAKE}")
    a = Comity(hosts={A: ""})
    a.hosts = {A: f'certificate = "{a.folder}/own.crt"\ncertificate_key = "{a.folder}/own.key"'}
    own = _renew(a)
    a.text = route_to(FAKE, fake.port)
    a.start()
    juliet = Client.login(a.account("juliet"), presence=True)
    juliet.message(f"ann@{FAKE}", "hello")
    fake.wait_stanza("message")
    equal(fake.certificates, [own])
    own = _renew(a)
    a.reload()
    fake.stanzas.clear()
    fake.hang_up()
    a.wait_for(lambda: any(state in a.ctl("s2s", "show", FAKE) for state in ("idle", "waiting")), "the end of the stream")
    juliet.message(f"ann@{FAKE}", "hello again")
    fake.wait_stanza("message")
    equal(fake.certificates[1:], [own])


def _managed(**options):
    """A server, a fake one that acknowledges nothing, and who has written to it."""
    fake = FakeServer(manages=True)
    a = Comity(hosts={A: ""}, options={"s2s_retry_min": "100ms", "s2s_retry_max": "200ms"} | options)
    a.text = route_to(FAKE, fake.port, security="insecure") + route_to("*.fake.test", fake.port, security="insecure")
    a.start()
    juliet = Client.login(a.account("juliet"), presence=True)
    juliet.message(f"ann@{FAKE}", "hello")
    fake.wait_stanza("message")
    fake.stanzas.clear()
    return a, fake, juliet


@dedicated(start=False)
def what_was_not_acknowledged_comes_back_when_a_host_no_longer_federates(server):
    del server
    a, _, juliet = _managed()
    a.hosts = {A: "federation = no"}
    a.write_config()
    a.reload()
    equal(juliet.expect("message", type="error")["from"], f"ann@{FAKE}")
    a.wait_for(lambda: re.search(r"^memory_remote +0 ", a.ctl("stats"), re.M), "an end of what is kept")


@dedicated(start=False)
def a_server_that_hangs_up_on_a_resumption_is_tried_again(server):
    del server
    _, fake, _ = _managed()
    fake.resumes = False
    fake.hang_up()
    fake.wait_asked("resume")
    fake.resumes = True
    equal(fake.wait_stanza("message")["to"], f"ann@{FAKE}")


@dedicated(start=False)
def contacts_of_a_server_that_no_longer_believes_this_one_become_unavailable(server):
    del server
    a, fake, juliet = _managed(s2s_resume_time=0, s2s_bidi=False)
    stream = call(a, FAKE)
    equal(prove(stream, FAKE)["type"], "valid")
    juliet.presence("subscribe", to=f"ann@{FAKE}")
    fake.wait_stanza("presence")
    stream.send(f"<presence type='subscribed' from='ann@{FAKE}' to='{juliet.bare}'/>"
                f"<presence from='ann@{FAKE}/r' to='{juliet.bare}'/>")
    juliet.expect("presence", type=None, from_=f"ann@{FAKE}/r")
    fake.believes = False
    fake.hang_up()
    juliet.expect("presence", type="unavailable", from_=f"ann@{FAKE}/r")


@dedicated(start=False)
def what_a_resumption_counts_survives_a_crash(server):
    """The store takes a second for what the other server will not send again."""
    del server
    fake = FakeServer()
    a = Comity(domains=(A,), options={"store_log_size": 0, "store_commit_delay": "1s"})
    a.text = route_to(FAKE, fake.port, security="insecure")
    a.start()
    absent, stream = a.account("absent"), call(a, FAKE)
    equal(prove(stream, FAKE)["type"], "valid")
    stream.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
    id_ = stream.expect_next("enabled")["id"]
    send_message(stream, f"ann@{FAKE}", absent.jid, "remember")
    stream.send(f"<iq type='get' id='p' from='ann@{FAKE}' to='{A}'><ping xmlns='urn:xmpp:ping'/></iq>")
    fake.wait_stanza("iq")   # so the message has come
    stream.abort()
    stream = call(a, FAKE)
    equal(prove(stream, FAKE)["type"], "valid")
    stream.send(f"<resume xmlns='{NS_SM}' h='0' previd='{id_}'/>")
    equal(stream.expect_next("resumed")["h"], "2")
    a.restart(hard=True)
    Client.login(absent, presence=True).expect("message", body="remember")


@dedicated(start=False)
def an_internationalised_domain_is_proved_by_its_certificate(server):
    del server
    a, b = Comity(domains=(A,)), Comity(hosts={"bücher.test": ""})
    a.text, b.text = route_to('"bücher.test"', b.s2s), route_to(A, a.s2s)
    b.hosts = {'"bücher.test"': ""}
    a.start()
    b.start()
    juliet, romeo = _users(a, b)
    _chat(juliet, romeo)
    check("by certificate" in a.log(), "not proved by certificate")


@dedicated(start=False)
def why_speaks_json_too(server):
    del server
    a, b = _pair()
    said = json.loads(a.ctl("--json", "why", B, "--from", A))
    check(said["ok"] and any("connecting" in line for line in said["lines"]), str(said))
    b.stop()
    code, text = a.ctl("--json", "why", B, ok=False)
    equal(code, 1)
    said, _ = json.JSONDecoder().raw_decode(text[text.index("{"):])
    check("refused" in said["error"], text)
