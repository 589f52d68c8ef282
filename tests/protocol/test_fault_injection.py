# SPDX-License-Identifier: MIT
"""Calls on sockets and files, allocations and answers of name servers that fail under a seed: see doc/reliability.md.
That nothing acknowledged is lost meanwhile is the matter of test_crash.py."""
import collections
import os
import random
import sys
import time

from harness import Client, Comity, Failure, cases, check, dedicated, equal
from harness.attack import stats
from harness.checks import context
from harness.client import Closed
from harness.fake import FaultyNames
from harness.stream import Stream
from test_management import _again, _bodies, _count, _managed, _nothing_more
from test_memory import _press

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../crash"))

import faults  # noqa: E402

SEED = int(os.environ.get("FAULT_SEED", "1"))
OPTIONS = {"bytes_per_second": 0, "stanzas_per_second": 0, "login_failures_free": 10000}
SLOW = 20.0   # seconds within which whoever asks has an answer or no connection
ROUNDS = 12
A = "a.test"
FAR = [f"d{n}.test" for n in range(len(FaultyNames.FAULTS))]


def _start(**arguments):
    arguments["options"] = OPTIONS | arguments.get("options", {})
    return faults.Faulty(**arguments).start()


def _leave(*clients):
    for client in clients:
        client.close()
        client.abort()


def _finish(server):
    """All have left: the server knows of no connection, and can still stop as it should."""
    server.faults.off()

    def count():
        figures = stats(server)
        return figures["connections_opened"] - figures["connections_closed"]
    server.wait_for(lambda: count() == 0, "end of all connections")
    server.stop()
    server.check_database()


def _is_served(server, number):
    """A stream is opened, and answered or ended within the time."""
    try:
        stream = Stream(server, name=f"caller {number}")
    except OSError:
        return False
    try:
        stream.open_raw()
        stream.expect_next("features", timeout=SLOW / 4)
        stream.close()
        return True
    except Closed:
        return False
    except Failure as failure:
        if "the connection ended" in str(failure):
            return False
        raise Failure(f"{failure} (FAULT_SEED={SEED})") from failure
    finally:
        stream.abort()


@dedicated(start=False)
@cases([(call, call) for call in ("accept", "recv", "send", "setsockopt", "shutdown", "epoll_ctl", "epoll_wait")])
def a_call_on_a_socket_that_fails_ends_its_connection_at_most(server, _what, call):
    del server
    server = _start()
    account = server.account("juliet")
    server.faults.on(SEED, only=[call], sockets=0.5)
    rounds = 3 if call == "shutdown" else ROUNDS   # each waits for the other to close, then
    served = sum(_is_served(server, number) for number in range(rounds))
    check(server.faults.counts()[call][1] > 0, f"no {call} failed")
    server.faults.off()
    client = Client.login(account, presence=True)
    client.ping()
    _leave(client)
    check(call not in ("accept", "setsockopt", "shutdown", "epoll_wait") or served == rounds, f"{served} were served")
    _finish(server)


def _ask_all(client, absent, number):
    """Requests that read and write the store; each must be answered. Returns what was not returned of the messages."""
    for text in (f"<query xmlns='jabber:iq:roster'><item jid='friend{number}@b'/></query>",
                 f"<query xmlns='jabber:iq:private'><x xmlns='test{number}'/></query>"):
        client.iq("set", text, timeout=SLOW)
    client.iq("get", "<query xmlns='jabber:iq:roster'/>", timeout=SLOW)
    sent = client.message(absent.jid, f"number {number}")
    client.ping()
    return sent


@dedicated(start=False, timeout=60)
@cases([(call, kind, call) for kind in ("files", "memory") for call in faults.CALLS[kind] if call != "malloc_net"])
def a_call_of_the_store_that_fails_is_told_to_whoever_asked(server, _what, kind, call):
    """Messages to one who is absent are returned or kept, and never both."""
    del server
    server = _start()
    client, absent = Client.login(server.account("juliet"), presence=True), server.account("romeo")
    server.faults.on(SEED, only=[call], **{kind: 0.3})
    sent = [_ask_all(client, absent, number) for number in range(ROUNDS)]
    server.faults.off()
    client.roster()
    last = client.message(absent.jid, "the last")
    client.settle()
    server.wait_for(lambda: server.stored_messages(absent.jid) > 0, "the last message on disk")
    returned = [e["id"] for e in client.drain() if e.name == "message"]
    got = Client.login(absent, presence=True)
    kept = []
    while last not in kept:
        kept.append(got.expect("message")["id"])
    equal(kept, [id_ for id_ in sent if id_ not in returned] + [last], f"kept; returned: {returned}; FAULT_SEED={SEED}")
    _leave(got, client)
    _finish(server)


@dedicated(start=False, timeout=90)
def faults_of_all_kinds_leave_no_session_stuck(server):
    """Logins over TLS while everything fails now and then."""
    del server
    server = _start()
    accounts, dice = server.accounts("juliet", "romeo", "nurse"), random.Random(SEED)
    results = collections.Counter()
    for number in range(40):
        server.faults.on(SEED + number, sockets=dice.choice((0.02, 0.1)), files=0.05, memory=dice.choice((0.005, 0.05)))
        try:
            client = Client.login(accounts[number % 3], "here", presence=True)
            client.message(accounts[(number + 1) % 3].jid, "hello")
            client.drain()
            _leave(client)
            results["done"] += 1
        except (Closed, OSError):
            results["closed"] += 1
        except Failure as failure:
            results["failed"] += 1
            check(" within " not in str(failure), f"{failure} (FAULT_SEED={SEED}, login {number})")
        context.streams.pop().abort()
    server.faults.off()
    for account in accounts:
        client = Client.login(account, "here", presence=True)
        client.drain()
        _leave(client)
    check(results["done"] > 0 and results["done"] < 40, f"what came of the logins: {dict(results)}")
    _finish(server)


def _resume(account, id_):
    """What becomes of it: resumed, failed, the condition of a stream error, or refused when the login failed before."""
    client = Client(account.server, domain=account.domain, name=account.user)
    try:
        client.secure()
        client.authenticate(account.user, account.password)
        client.open()
        client.send(f"<resume xmlns='urn:xmpp:sm:3' previd='{id_}' h='0'/>")
        answer = client.next()
        return answer.children[0].name if answer.name == "error" else answer.name
    except (Closed, Failure):
        return "refused"
    finally:
        client.abort()


@dedicated(start=False, timeout=60)
def an_account_that_cannot_be_read_now_is_not_gone(server):
    """Its client is told to come again, and can resume its session when it does."""
    del server
    server = _start()
    kept, told = [], collections.Counter()
    for account in server.accounts(*["juliet"] * ROUNDS):
        client = Client.login(account)
        client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        kept.append((account, client.expect_next("enabled")["id"]))
        client.abort()
    server.restart(hard=True)
    server.faults.on(SEED, only=["malloc"], memory=0.05)
    for account, id_ in kept:
        for _ in range(40):
            answer = _resume(account, id_)
            told[answer] += 1
            if answer == "resumed":
                break
    server.faults.off()
    equal((told["resumed"], set(told) - {"refused", "resumed"}), (ROUNDS, {"internal-server-error"}), f"answers: {told}")
    _finish(server)


def _two_servers(how):
    """One that finds the domains of the other by a faulty name server."""
    far = Comity(domains=FAR, options=OPTIONS)
    names = FaultyNames(far.s2s, how)
    near = faults.Faulty(domains=(A,), options=OPTIONS | {
        "dns_servers": f"127.0.0.1:{names.port}", "dns_timeout": "200ms", "s2s_retry_min": "50ms", "s2s_retry_max": "200ms",
        "s2s_queue_age": "30s", "s2s_connect_timeout": "2s", "s2s_negotiate_timeout": "4s", "s2s_reach_timeout": "5s",
        "dns_cache": 0})
    far.text = f"route {A} {{\n\thost = 127.0.0.1\n\tport = {near.s2s}\n}}\n"
    far.start()
    near.start()
    return near, far, names


def _collect(receivers, returns, sent, timeout=SLOW):
    """Until each message has come or was returned; how often each came."""
    end, came, returned = time.monotonic() + timeout, collections.Counter(), collections.Counter()
    while len(came.keys() | returned.keys()) < len(sent):
        if time.monotonic() > end:
            missing = [id_ for id_ in sent if id_ not in came and id_ not in returned]
            raise Failure(f"neither came nor was returned: {missing} (FAULT_SEED={SEED})")
        for stream, into in [(r, came) for r in receivers] + [(returns, returned)]:
            stream.pump(0.02)
            into.update(e["id"] for e in stream.inbox if e.name == "message" and e["id"] in sent)
            stream.inbox.clear()
    return came, returned


@dedicated(start=False, timeout=120)
def messages_to_other_servers_outlive_faulty_names(server):
    """Each domain gets each wrong answer; when answers are right again, all that waits comes, once."""
    del server
    now = {"right": False}

    def how(name):
        if now["right"]:
            return None
        return dict(zip(FAR, FaultyNames.FAULTS)).get(".".join(name.split(".")[-2:]), "thousands")
    near, far, names = _two_servers(how)
    sender = Client.login(near.account("juliet"), presence=True)
    receivers = [Client.login(far.account("romeo", domain=domain), presence=True) for domain in FAR]
    sent = [sender.message(receiver.jid, domain) for receiver, domain in zip(receivers, FAR)]
    for fault in FaultyNames.FAULTS:
        near.wait_for(lambda fault=fault: names.questions.count((33, fault)) > 1, f"question answered by {fault}")
    sender.ping()
    now["right"] = True
    came, returned = _collect(receivers, sender, sent)
    # That there is no such name is an answer; all else may pass.
    unknown = [sent[FaultyNames.FAULTS.index("NXDOMAIN")]]
    equal((dict(came), dict(returned)), ({id_: 1 for id_ in sent if id_ not in unknown}, {id_: 1 for id_ in unknown}),
          "how often messages came, and were returned")
    _leave(sender, *receivers)
    far.stop()
    _finish(near)


@dedicated(start=False, timeout=120)
def messages_to_other_servers_outlive_faults(server):
    """Names and sockets fail at random; a message comes once, or is returned."""
    del server
    dice, now = random.Random(SEED), {"on": True}
    near, far, names = _two_servers(lambda _: dice.choice(FaultyNames.FAULTS) if now["on"] and dice.random() < 0.6 else None)
    sender = Client.login(near.account("juliet"), presence=True)
    receivers = [Client.login(far.account("romeo", domain=domain), presence=True) for domain in FAR]
    calls = [c for c in faults.CALLS["sockets"] if c not in ("accept", "recv", "send")]
    sent = []
    for number in range(20):
        # Now the calls of making connections, now those of any connection but that of the sender, which is quiet.
        near.faults.on(SEED + number, only=calls, sockets=0.3, memory=0.02)
        for receiver in receivers:
            sent.append(sender.message(receiver.jid, f"number {number}"))
        sender.ping()
        near.faults.off()
        if number % 5 == 4:
            time.sleep(0.5)
    now["on"] = False
    came, returned = _collect(receivers, sender, sent)
    twice = [id_ for id_ in sent if came[id_] + returned[id_] != 1]
    equal(twice, [], f"came twice or was returned too (FAULT_SEED={SEED})")
    done = near.faults.counts()
    check(done["connect"][1] + done["socket"][1] + done["getsockopt"][1] > 0, f"no connection failed: {done}")
    _leave(sender, *receivers)
    far.stop()
    _finish(near)


@dedicated(start=False, timeout=60)
def what_waited_for_the_store_at_a_stop_comes_to_every_device(server):
    del server
    server = _start()
    juliet, romeo = Client.login(server.account("juliet"), presence=True), server.account("romeo")
    devices = [_managed(romeo, name, presence=False) for name in ("desk", "phone")]
    server.faults.on(SEED, only=["malloc"], memory=1)
    # Stored messages are looked for, and cannot be read now; later ones wait for those.
    for device in devices:
        device.presence()
        device.ping()
    juliet.message(romeo.jid, "to all")
    juliet.ping()
    for device in devices:
        _nothing_more(device)
    server.faults.off()
    server.stop()
    server.start()
    for device in devices:
        again = _again(device, device.stanzas - device.enabled_at)
        equal(_bodies(again, 1), ["to all"])
    juliet.abort()
    server.stop()


@dedicated(start=False, timeout=60)
def what_was_accepted_outlives_a_stop_that_cannot_store_it(server):
    del server
    server = _start(options={"store_log_size": 0})
    juliet, romeo = _managed(server.account("juliet")), _managed(server.account("romeo"), enable=" max='1'")
    juliet.message(romeo.jid, "kept")
    equal(_bodies(romeo, 1), ["kept"])
    equal(_count(juliet), 1)
    server.faults.on(SEED, only=["malloc"], memory=1)
    romeo.abort()
    server.wait_for(lambda: "what is written now is refused" in server.log(), "a message that cannot be stored")
    # The sender leaves, too: nobody could be told that it was not kept.
    juliet.close()
    juliet.abort()
    server.stop()
    server.faults.off()
    server.start()
    again = Client.login(romeo.account, presence=True)
    equal(_bodies(again, 1), ["kept"])
    again.abort()
    server.stop()


@dedicated(start=False, timeout=60)
def messages_keep_their_order_over_a_stop_that_could_not_read_them(server):
    del server
    server = _start()
    juliet, romeo = _managed(server.account("juliet")), server.account("romeo")
    texts = [f"<message to='{romeo.jid}' id='m{n}'><body>m{n}</body></message>" for n in range(2)]
    juliet.send(texts[0])
    equal(_count(juliet), 1)
    desk = _managed(romeo, "desk", presence=False)
    server.faults.on(SEED, only=["malloc"], memory=1)
    desk.presence()
    desk.ping()
    juliet.send(texts[1])
    juliet.ping()
    _nothing_more(desk)
    server.stop()
    server.faults.off()
    server.start()
    again = _again(desk, desk.stanzas - desk.enabled_at)
    back = _again(juliet, juliet.stanzas - juliet.enabled_at)
    if back.expect("resumed")["h"] == "1":
        back.send(texts[1])
    equal(_bodies(again, 2), ["m0", "m1"])
    again.abort()
    back.abort()
    server.stop()


@dedicated(start=False, timeout=60)
def a_page_that_was_read_for_one_who_has_left_goes_to_another_device(server):
    del server
    server = _start()
    juliet, romeo = _managed(server.account("juliet")), server.account("romeo")
    for n in range(2):
        juliet.message(romeo.jid, f"m{n}")
    equal(_count(juliet), 2)
    devices = [_managed(romeo, name, presence=False) for name in ("desk", "phone")]
    server.faults.on(SEED, only=["malloc"], memory=1)
    for device in devices:
        device.presence()
        device.ping()
    devices[0].abort()
    server.wait_for(lambda: "waits to be resumed" in server.log(), "the one who has left")
    server.faults.off()
    equal(_bodies(devices[1], 2), ["m0", "m1"])
    for client in (juliet, devices[1]):
        client.abort()
    server.stop()


@dedicated(start=False)
def each_question_is_answered_while_nothing_is_safe(server):
    del server
    server = _start()
    juliet, romeo = _managed(server.account("juliet")), _managed(server.account("romeo"))
    server.faults.on(SEED, only=["write", "fsync"], files=1)
    juliet.message(romeo.jid, "not safe")
    equal(_count(juliet), 0)
    equal(_count(juliet), 0)
    server.faults.off()
    server.wait_for(lambda: _count(juliet) == 1, "count of what is safe")
    for client in (juliet, romeo):
        client.abort()
    server.stop()


@dedicated(start=False)
def memory_that_cannot_be_measured_keeps_its_level(server):
    """It is measured ten times a second while there is little."""
    del server
    server = _start()
    juliet = Client.login(server.account("juliet"))
    _press(server, 84, 1)
    before = stats(server)["memory_used"]
    server.faults.on(SEED, only=["read"], files=1)
    server.wait_for(lambda: "memory: cannot read /proc/self/statm" in server.log(), "a word on it")
    time.sleep(0.5)
    seen = stats(server)
    server.faults.off()
    equal(seen["memory_level"], 1, f"level, of {before} and then {seen['memory_used']} bytes")
    server.wait_for(lambda: "/proc/self/statm can be read again" in server.log(), "an end of it")
    equal(server.log().count("cannot read /proc/self/statm"), 1, "lines that tell")
    _press(server, 50, 0)
    juliet.ping()
    _leave(juliet)
    server.stop()
