# SPDX-License-Identifier: MIT
"""The directory of routes: servers without DNS that find each other, and what happens when they do not."""
import os
import re
import subprocess
import time

from harness import Client, Comity, cases, check, dedicated, equal
from harness.attack import route
from harness.fake import FakeServer, call, prove
from harness.server import ROOT, Failure, free_port, route_to

A, B, C = "a.test", "b.test", "c.test"
RETRY = {"s2s_retry_min": "100ms", "s2s_retry_max": "300ms"}


def _options(peers=(), members=("*.test",), extra=""):
    def names(them):
        return "{ " + ", ".join(f'"{n}"' for n in them) + " }"
    return (f"modules_enabled = {{ directory }}\nmodule directory {{\n\tregister_allow = {names(members)}\n"
            f"\tpeers = {names(peers)}\n\t{extra}\n}}")


def _directories(count=2, ring=False, **more):
    """Directories that know the way to each other; in a ring each has the next as its peer."""
    names = [f"dir{n + 1}.test" for n in range(count)]
    made = []
    for n, name in enumerate(names):
        peers = [names[(n + 1) % count]] if ring else [x for x in names if x != name]
        # A directory finds its members as they are registered with it.
        made.append(Comity(options={"s2s_dns": False, "directories": [name]}, hosts={name: _options(peers, **more)}))
    for directory in made:
        directory.text = "".join(route_to(d.domain, d.s2s) for d in made if d is not directory)
    return made


def _member(domain, directories, asks=None, options=None, **more):
    """A server that knows the way to the directories, and to nothing else."""
    asks = asks or directories
    server = Comity(domains=(domain,), options={
        "s2s_dns": False, "directories": [d.domain for d in asks], "directory_register": True,
        "directory_host": "127.0.0.1", **RETRY, **(options or {})}, **more)
    server.text = "".join(route_to(d.domain, d.s2s) for d in directories)
    return server


def _start(directories, *members):
    """Starts all, and waits until every member is registered with those that it asks."""
    for server in (*directories, *members):
        server.start()
    for member in members:
        _await_registration(member)


def _await_registration(member, count=None):
    asks = count or len(member.options["directories"])
    member.wait_for(lambda: len(re.findall(r"registered host=", member.log())) >= asks, "registration")


def _user(server, name):
    client = Client.login(server.account(name), "somewhere", presence=True)
    return client


def _lookups(directory, domain, by=re.escape(A)):
    # Not those of the directory itself, which looks for its members to answer them.
    return len(re.findall(rf"lookup domain={re.escape(domain)} for={by}:", directory.log()))


def _refused(client, to, condition, within=None):
    begin = time.monotonic()
    client.message(to, "anyone?")
    error = client.expect_error(condition, name="message")
    took = time.monotonic() - begin
    check(within is None or took < within, f"the refusal took {took:.2f} s")
    return error.find("error").child_text("text")


@dedicated(start=False)
def members_without_streams_in_both_directions_find_each_other(server):
    del server
    directories = _directories(1)
    a, b = (_member(d, directories, options={"s2s_bidi": False}) for d in (A, B))
    _start(directories, a, b)
    juliet, romeo = _user(a, "juliet"), _user(b, "romeo")
    juliet.message(romeo.bare, "hello")
    romeo.expect("message", from_=juliet.jid)
    romeo.message(juliet.bare, "hello")
    juliet.expect("message", from_=romeo.jid)


@dedicated(start=False)
def a_hundred_messages_take_one_lookup(server):
    del server
    directories = _directories()
    a, b, c = (_member(d, directories) for d in (A, B, C))
    _start(directories, a, b, c)
    juliet, romeo, nurse = _user(a, "juliet"), _user(b, "romeo"), _user(c, "nurse")
    for n in range(100):
        juliet.message(romeo.bare, f"message {n}")
    for n in range(100):
        equal(romeo.expect_next("message", from_=juliet.jid).child_text("body"), f"message {n}")
    equal((_lookups(directories[0], B), _lookups(directories[1], B)), (1, 0))
    romeo.message(nurse.bare, "hello")
    nurse.expect("message", from_=romeo.jid)
    check("message 5" not in directories[0].log() + directories[1].log(), "a message passed through a directory")
    said = a.ctl("why", C)
    shown = a.ctl("s2s", "show", B)
    check(f"127.0.0.1 port {b.s2s}" in shown, shown)
    check("asking the directory dir1.test" in said and f"127.0.0.1 port {c.s2s}" in said and "can be reached" in said, said)


@dedicated(start=False)
def known_routes_go_on_without_directories(server):
    del server
    directories = _directories()
    a, b = (_member(d, directories) for d in (A, B))
    _start(directories, a, b)
    juliet, romeo = _user(a, "juliet"), _user(b, "romeo")
    juliet.message(romeo.bare, "one")
    romeo.expect("message", from_=juliet.jid)
    for directory in directories:
        directory.stop()
    a.ctl("s2s", "close", B)
    juliet.message(romeo.bare, "two")
    equal(romeo.expect("message", from_=juliet.jid, timeout=15).child_text("body"), "two")


@dedicated(start=False)
def a_server_that_moved_is_found_again(server):
    del server
    directories = _directories()
    a, b = (_member(d, directories) for d in (A, B))
    _start(directories, a, b)
    juliet, romeo = _user(a, "juliet"), _user(b, "romeo")
    account = b.named_account("mover")
    romeo = Client.login(account, "here", presence=True)
    juliet.message(romeo.bare, "one")
    romeo.expect("message", from_=juliet.jid)
    b.stop()
    b.s2s = free_port()
    b.start()
    b.wait_for(lambda: len(re.findall("registered host=", b.log())) >= 4, "registration")
    romeo = Client.login(account, "there", presence=True)
    juliet.message(romeo.bare, "two")
    equal(romeo.expect("message", from_=juliet.jid, timeout=15).child_text("body"), "two")
    check("asking the directories whether it has moved" in a.log(), "the old place was not tried")


@dedicated(start=False)
def a_ring_of_directories_does_not_loop(server):
    del server
    directories = _directories(3, ring=True)
    a = _member(A, directories, asks=directories[:1])
    b = _member(B, directories, asks=directories[2:])
    _start(directories, a, b)
    juliet, romeo = _user(a, "juliet"), _user(b, "romeo")
    text = _refused(juliet, "x@unknown.test", "remote-server-not-found")
    check("no directory knows unknown.test" in text, text)
    text = _refused(juliet, "x@nowhere.test", "remote-server-not-found", within=1)
    check("no directory knows nowhere.test" in text, text)
    equal([_lookups(d, "nowhere.test", r"\S+") for d in directories], [1, 1, 1])
    juliet.message(romeo.bare, "found at the third")
    romeo.expect("message", from_=juliet.jid)


@dedicated(start=False)
def a_member_that_is_denied_is_told_so(server):
    del server
    directories = _directories(1, members=(A, B), extra='restricted = { "b.test c.test" }\n\task_allow = { a.test }')
    a, b, c = (_member(d, directories) for d in (A, B, C))
    for one in (*directories, a, b, c):
        one.start()
    _await_registration(a)
    _await_registration(b)
    c.wait_for(lambda: "does not take registrations of your domain" in c.log(), "refusal to register")
    text = _refused(_user(a, "juliet"), f"romeo@{B}", "remote-server-not-found", within=2)
    check("may not tell you where that domain is" in text, text)
    text = _refused(_user(c, "nurse"), f"juliet@{A}", "remote-server-not-found", within=2)
    check("your domain may not ask this directory" in text, text)
    check("may not ask" in c.ctl("why", A, ok=False)[1], "why does not tell")


@dedicated(start=False)
def a_dead_directory_falls_through_to_the_next(server):
    del server
    directories = _directories()
    a, b = (_member(d, directories) for d in (A, B))
    _start(directories, a, b)
    juliet, romeo = _user(a, "juliet"), _user(b, "romeo")
    directories[0].stop()
    juliet.message(romeo.bare, "by the second")
    romeo.expect("message", from_=juliet.jid)
    text = _refused(juliet, "x@nowhere.test", "remote-server-not-found", within=1)
    check("dir2.test says: no directory knows nowhere.test" in text, text)


@dedicated(start=False)
def a_server_that_cannot_register_is_found_all_the_same(server):
    del server
    b = Comity(domains=(B,), options={"s2s_dns": False})
    directories = _directories(1, extra=f'fixed = {{ "{B} 127.0.0.1 {b.s2s_tls} direct-tls" }}')
    a = _member(A, directories)
    _start(directories, a)
    b.text = route_to(A, a.s2s)
    b.start()
    juliet, romeo = _user(a, "juliet"), _user(b, "romeo")
    juliet.message(romeo.bare, "hello")
    romeo.expect("message", from_=juliet.jid)


@cases([("restricted", 'restricted = { "a.test b.test c.test" }'), ("fixed", 'fixed = { "a.test 127.0.0.1" }')])
@dedicated(start=False)
def what_is_no_rule_stops_the_start(server, option, text):
    del server
    directory = Comity(hosts={"dir1.test": _options(extra=text)})
    directory.write_config()
    code, said = directory.run_daemon("-c", directory.config)
    check(code != 0 and f"{option}: " in said, said)


@dedicated(start=False)
def a_server_can_only_register_itself(server):
    del server
    directories = _directories(1)
    a, b = (_member(d, directories) for d in (A, B))
    _start(directories, a, b)
    juliet = _user(a, "juliet")
    ns = "urn:comity:directory:1"
    answer = juliet.iq("set", f"<register xmlns='{ns}' domain='{A}' host='127.0.0.1' port='1'/>", to="dir1.test")
    equal(answer["type"], "error")
    check(answer.find("error").find("forbidden") is not None, f"a user may register: {answer}")
    answer = juliet.iq("get", f"<lookup xmlns='{ns}' domain='{B}'/>", to="dir1.test")
    equal(answer["type"], "error")


@dedicated(start=False)
def a_question_with_a_token_that_is_too_long_is_refused(server):
    """Cut for the next directory it might end within a character."""
    del server
    fake = FakeServer()
    directory = Comity(domains=(), hosts={A: _options(peers=("peer.fake.test",), members=("*.fake.test",))})
    directory.text = route("*.fake.test", fake)
    directory.start()
    stream = call(directory)
    stream.send("<bidi xmlns='urn:xmpp:bidi'/>")
    equal(prove(stream, "x1.fake.test")["type"], "valid")
    for token, condition in (("a" * 63 + "\u00e9", "bad-request"), ("a" * 65, "bad-request"), ("a" * 64, "item-not-found")):
        stream.send(f"<iq type='get' id='{condition}' from='x1.fake.test' to='{A}'><lookup domain='zz.test' wait='500'"
                    f" xmlns='urn:comity:directory:1' token='{token}'/></iq>")
        answer = stream.expect("iq", id=condition)
        check(answer.find("error").find(condition) is not None, f"{token}: {answer}")


def _other_certificate(server):
    """A certificate for the domain of a server by an authority that nobody knows; its fingerprint."""
    folder = os.path.join(server.folder, "other")
    os.makedirs(folder)
    done = subprocess.run([os.path.join(ROOT, "tools/certs"), folder, server.domain], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Failure(f"tools/certs failed: {done.stderr}")
    shown = subprocess.run(["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", f"{folder}/{server.domain}.crt"],
                           capture_output=True, text=True, check=True).stdout
    # Its users believe that authority, other servers do not.
    server.options |= {"certificate_dir": folder, "s2s_ca_file": server.ca}
    server.ca = os.path.join(folder, "ca.crt")
    return shown.strip().rpartition("=")[2]


@cases([("not trusted", False), ("trusted", True)])
@dedicated(start=False)
def a_directory_can_vouch_for_a_certificate(server, how, trusted):
    del server, how
    directories = _directories(1)
    a, b = _member(A, directories, options={"directory_trusted": trusted}), _member(B, directories)
    pin = _other_certificate(b)
    directories[0].text += f"route {B} {{\n\tcertificate_sha256 = \"{pin}\"\n}}\n"
    _start(directories, a, b)
    juliet, romeo = _user(a, "juliet"), _user(b, "romeo")
    if trusted:
        juliet.message(romeo.bare, "one")
        romeo.expect("message", from_=juliet.jid)
        romeo.message(juliet.bare, "two")
        juliet.expect("message", from_=romeo.jid)
    else:
        text = _refused(juliet, romeo.bare, "remote-server-timeout")
        check("cannot be trusted" in text, text)


@dedicated(start=False)
def a_certificate_that_was_not_registered_is_refused(server):
    del server
    directories = _directories(1)
    a, b = (_member(d, directories) for d in (A, B))
    _start(directories, a, b)
    b.stop()
    b.options["directory_register"] = False
    _other_certificate(b)
    b.start()
    text = _refused(_user(a, "juliet"), f"romeo@{B}", "remote-server-timeout")
    check("its certificate is not the one that the directory named" in text, text)


@dedicated(start=False)
def a_reload_unregisters_and_registers(server):
    del server
    directories = _directories(1)
    a, b = (_member(d, directories) for d in (A, B))
    _start(directories, a, b)
    juliet, romeo = _user(a, "juliet"), _user(b, "romeo")
    b.options["directory_register"] = False
    b.write_config()
    b.reload()
    directories[0].wait_for(lambda: "unregistered domain=b.test" in directories[0].log(), "end of the registration")
    _refused(juliet, romeo.bare, "remote-server-not-found")
    b.options["directory_register"] = True
    b.write_config()
    b.reload()
    _await_registration(b, 2)
    a.ctl("s2s", "retry", B)
    juliet.message(romeo.bare, "again")
    romeo.expect("message", from_=juliet.jid)


@dedicated(start=False)
def without_any_directory_messages_wait_and_say_why(server):
    del server
    directories = _directories(1)
    a = _member(A, directories)
    _start(directories, a)
    directories[0].stop()
    text = _refused_later(a, _user(a, "juliet"))
    check("no directory of routes answers: dir1.test did not in time" in text, text)


def _refused_later(server, client):
    """The text of the error for a message that waits until its time is over."""
    server.ctl("s2s", "list")
    client.message(f"x@{B}", "anyone?")
    server.wait_for(lambda: "waiting" in server.ctl("s2s", "list", B), "a link that waits")
    server.ctl("s2s", "flush", B)
    return client.expect_error("remote-server-not-found", name="message").find("error").child_text("text")


# Limits

@dedicated(start=False)
def registrations_are_limited(server):
    del server
    directories = _directories(1, extra="max_entries = 1\n\tmax_expiry = 2s\n\tmin_expiry = 1s")
    a, b = (_member(d, directories) for d in (A, B))
    _start(directories, a)
    check(re.search(r"registered host=a\.test directory=dir1\.test for 2 s", a.log()), "max_expiry does not count")
    b.start()
    b.wait_for(lambda: "the directory is full" in b.log(), "refusal")
    a.stop()
    # The place is free once nobody renews it.
    _await_registration(b)


@dedicated(start=False)
def a_shorter_life_than_allowed_is_made_longer(server):
    del server
    directories = _directories(1, extra="min_expiry = 5m")
    a = _member(A, directories, options={"directory_expiry": "10s"})
    _start(directories, a)
    check(re.search(r"registered host=a\.test directory=dir1\.test for 300 s", a.log()), "min_expiry does not count")


@cases([("enough", 2, True), ("too few", 1, False)])
@dedicated(start=False)
def questions_pass_so_many_directories(server, _what, hops, is_found):
    """In a ring of three, the third is reached by way of the second."""
    del server
    directories = _directories(3, ring=True, extra=f"hops = {hops}")
    a = _member(A, directories, asks=directories[:1])
    b = _member(B, directories, asks=directories[2:])
    _start(directories, a, b)
    juliet, romeo = _user(a, "juliet"), _user(b, "romeo")
    if is_found:
        juliet.message(romeo.bare, "hello")
        romeo.expect("message", from_=juliet.jid)
    else:
        _refused(juliet, romeo.bare, "remote-server-not-found")
        equal(_lookups(directories[2], B, r"\S+"), 0, "questions at the third")
