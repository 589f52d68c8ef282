# SPDX-License-Identifier: MIT
"""Links between servers that break in the middle of traffic: nothing is lost, and all heals by itself."""
import re
import time

from federation.bed import bed
from federation.comity import Comity
from federation.names import records
from federation.people import User
from federation.peers import PASSWORD, USERS, Prosody
from federation.story import befriend
from harness import Failure, cases, check, dedicated, equal

FAST = {"s2s_dead_timeout": "3s", "s2s_connect_timeout": "2s", "s2s_negotiate_timeout": "4s",
        "s2s_retry_min": "200ms", "s2s_retry_max": "1s", "s2s_queue_age": "60s", "s2s_reach_timeout": "30s"}
HEALS = 25.0        # seconds from the mended link to the last message


class Pair:
    """Comity and another server, each with a user that has talked to the other."""

    def __init__(self, other, options=None):
        self.bed = bed()
        self.comity = Comity(self.bed, "comity.example", "external", FAST | (options or {}))
        self.other = (Comity(self.bed, "other.example", "external", FAST | (options or {}), name="other")
                      if other == "comity" else Prosody(self.bed, "prosody.example", "external"))
        self.users = []

    def __enter__(self):
        for server in (self.comity, self.other):
            self.bed.names.set(server.kind, records(server.domain, server.number))
        self.bed.names.publish()
        try:
            for server in (self.other, self.comity):
                server.start()
            self.users = [User(server, USERS[0], PASSWORD).online() for server in (self.comity, self.other)]
            befriend(*self.users)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind, error, trace):
        logs = f"{self.comity.log_tail()}\n{self.other.log_tail(25)}"
        self.comity.host.mend()
        for user in self.users:
            user.stop()
        try:
            self.other.remove()
        finally:
            self.comity.remove()
        if isinstance(error, Failure):
            raise Failure(f"{error}\n{logs}") from error


def _bodies(user, wanted, until):
    """Waits for messages with these bodies; returns all that came, in order, errors as "error: body"."""
    wanted, came = set(wanted), []
    while wanted - set(came) and time.monotonic() < until:
        try:
            message = user.until("message", max(0.1, until - time.monotonic()))
        except Failure:
            break
        body = message.child_text("body") or ""
        came.append(f"error: {message['id']}" if message["type"] == "error" else body)
        wanted.discard(came[-1])
    return came


def _lost_and_doubled(came, wanted):
    return [w for w in wanted if w not in came], sorted({c for c in came if came.count(c) > 1})


@cases([("comity", 3), ("comity", 9), ("prosody", 3), ("prosody", 9)],
       name=lambda row: f"{row[0]}, {row[1]} seconds")
@dedicated(start=False, timeout=120)
def a_partition_loses_nothing(server, kind, seconds):
    del server
    with Pair(kind, {"s2s_dead_timeout": "20s" if seconds < 5 else "3s"}) as pair:   # short: TCP itself heals
        one, other = pair.users
        count = 20 + seconds * 10
        there, back = [f"there {i}" for i in range(count)], [f"back {i}" for i in range(count)]
        mended = None
        for i in range(count):
            if i == 10:
                pair.comity.host.cut()
                cut_at = time.monotonic()
            if i >= 10 and not mended and time.monotonic() - cut_at >= seconds:
                pair.comity.host.mend()
                mended = time.monotonic()
            one.say(other.full, there[i])
            other.say(one.full, back[i])
            time.sleep(0.1)
        if not mended:
            time.sleep(max(0, cut_at + seconds - time.monotonic()))
            pair.comity.host.mend()
            mended = time.monotonic()
        lost, doubled = _lost_and_doubled(_bodies(other, there, mended + HEALS), there)
        equal(lost, [], "lost messages")
        if kind == "comity":    # Prosody does not resume: what it has not acknowledged must be sent again
            equal(doubled, [], "doubled messages")
            lost, doubled = _lost_and_doubled(_bodies(one, back, mended + HEALS), back)
            equal((lost, doubled), ([], []), "lost and doubled messages")
        elif seconds < 5:       # and what it does when its own link dies is not ours to judge
            equal(_lost_and_doubled(_bodies(one, back, mended + HEALS), back)[0], [], "lost messages")


@dedicated(start=False, timeout=120)
def a_restart_loses_nothing(server):
    del server
    with Pair("comity") as pair:
        one, other = pair.users
        bodies = [f"message {i}" for i in range(60)]
        came = []
        for i, body in enumerate(bodies):
            one.say(other.bare, body, ident=body.replace(" ", "-"))
            if i == 20:
                came += _bodies(other, bodies[:15], time.monotonic() + 10)
                pair.other.stop()
            if i == 40:
                pair.other.start()
            time.sleep(0.05)
        again = User(pair.other, USERS[0], PASSWORD).online()
        pair.users.append(again)
        for user in (other, again):
            came += _bodies(user, [b for b in bodies if b not in came], time.monotonic() + (1 if user is other else HEALS))
        bounced = [m for m in _bodies(one, ["-"], time.monotonic() + 1)]
        missing = [b for b in bodies if b not in came and f"error: {b.replace(' ', '-')}" not in bounced]
        equal(missing, [], f"lost messages (bounced: {bounced})")
        check(len(bounced) < 5, f"too many came back: {bounced}")


@dedicated(start=False, timeout=120)
def a_server_that_is_gone_leaves_no_ghosts(server):
    """Contacts of a server that is given up are unavailable; when it is back, so are they."""
    del server
    with Pair("comity", {"s2s_queue_age": "4s", "s2s_reach_timeout": "4s"}) as pair:
        one, other = pair.users
        # The subscriptions are kept behind the exchange of presence; what is not on disk would be gone.
        pair.other.wait_for(lambda: re.search(r"^store_waiting +0 ", pair.other.ctl("stats"), re.M), "a store at rest")
        pair.other.kill()
        ident = one.say(other.full, "Are you there?")
        one.until("message", type="error", id=ident)
        one.until("presence", HEALS, type="unavailable", from_=other.full)
        pair.other.start()
        again = User(pair.other, USERS[0], PASSWORD).online()
        pair.users.append(again)
        one.until("presence", HEALS, type=None, from_=again.full)
        again.until("presence", HEALS, type=None, from_=one.full)
        one.say(again.full, "And now?")
        again.until("message", HEALS, body="And now?")
