# SPDX-License-Identifier: MIT
"""What was promised, told and seen in a crash test, and the proof that all of it fits together.

Clients write down every message sent, acknowledged, returned and received. What can be judged at once is judged at
once: nothing invented or altered, nothing twice, nothing out of order. Whether something is missing shows when all
devices are there and nothing moves any more: check(). self_test() feeds the checker with wrong histories."""
import collections
import dataclasses
import time
import zlib

# What the server did so shortly before a kill may be forgotten where nothing was promised (it is not for messages).
GRACE = 0.25

KINDS = {
    "lost": "acknowledged to its sender, not returned, and it is nowhere",
    "missed": "acknowledged, to the bare address, and a device that was there all the time did not get it",
    "astray": "to a device whose session never ended, and it came to another one",
    "doubled": "came twice to one device, and neither a new login nor a kill explains it",
    "again": "sent again after a resumption because it was not acknowledged, and came twice to one device",
    "unwritten": "came twice, or to another device, or was returned and came, after a kill with the disk full",
    "reordered": "came before one that the same device had sent earlier to the same account",
    "invented": "came, and nobody has sent it",
    "altered": "came with another body or other addresses than it was sent with",
    "refused": "returned though the disk was not full",
    "both": "sent once, returned to its sender, and it came later or had been acknowledged by its receiver",
    "unacknowledged": "never acknowledged though the sender asked again and again",
    "forgot": "the server counts fewer stanzas than it has acknowledged before",
    "count": "the server acknowledges or demands more stanzas than there were",
    "session": "could not be resumed though its time was not over",
    "stream": "the stream was ended with an error that nothing explains",
    "stuck": "a device could not come back in time",
    "server": "the server died, did not start or stop, or a sanitizer has spoken",
}


@dataclasses.dataclass(eq=False)
class Device:
    """One client program of an account; it is the same over all its sessions."""
    name: str
    account: str
    managed: bool = True      # speaks stream management
    alone: bool = True        # the only device of its account
    # [from, to]: it was bound and had not enabled stream management yet, so that nothing is promised to it.
    windows: list = dataclasses.field(default_factory=list)

    def __str__(self):
        return self.name


@dataclasses.dataclass(eq=False)
class Session:
    """One session of a device over all its resumptions, as the device knows it."""
    device: Device
    number: int
    enabled: float = 0.0      # when the server said that it can be resumed
    available: float = None   # when the server had surely handled its presence
    alive: float = 0.0        # when it was surely there the last time
    ended: float = None       # when the device knew that it was over
    lifetime: float = 0.0     # seconds that it may be resumed

    def held(self, since):
        """It took messages at that time and does still."""
        return self.available is not None and self.available <= since and self.ended is None

    def __str__(self):
        return f"{self.device}#{self.number}"


@dataclasses.dataclass(eq=False)
class Arrival:
    when: float
    device: Device
    session: Session
    settled: float = None     # when the server had surely handled the acknowledgement of this device


class Message:
    """One message from a device to an account, or to one device of it."""

    __slots__ = ("uid", "sender", "account", "device", "seq", "round", "sends", "acked", "arrivals", "returns")

    def __init__(self, uid, sender, account, device, seq, number):
        self.uid, self.sender, self.account, self.device = uid, sender, account, device
        self.seq, self.round = seq, number
        self.sends, self.arrivals, self.returns, self.acked = [], [], [], None

    @property
    def sessions(self):
        """How many sessions it was sent in; within one the server knows what it has already."""
        return len({session for _, session in self.sends})


@dataclasses.dataclass
class Violation:
    kind: str
    text: str
    when: float
    round: int
    message: Message = None


def body_of(uid):
    """The body of a message, of a length that only its id decides."""
    dice = zlib.crc32(uid.encode())
    length = (dice >> 8) % 60 if dice % 50 else (dice >> 8) % 9000
    return f"{uid} <&> " + "".join(chr(97 + (dice + i * i) % 26) for i in range(length))


class Records:
    """All that clients have written down, and the counts of what was checked already."""

    def __init__(self, clock=time.monotonic):
        self.clock, self.start = clock, clock()
        self.round = 0
        self.devices = {}
        self.messages = {}                    # by uid, since the last forget()
        self.next_seq = collections.Counter()  # (device, account): of the next message
        self.checked = {}                     # (device name, account): numbers below are checked and forgotten
        self.newest = {}                      # (sender, receiver device): highest number that came in order
        self.faults = []                      # (when, until, kind, text)
        self.violations = []
        self.counts = collections.Counter()
        self.moved = 0                        # grows with everything that happens

    def now(self):
        return self.clock() - self.start

    # What happens

    def add_device(self, device):
        self.devices[device.name] = device
        siblings = [d for d in self.devices.values() if d.account == device.account]
        for each in siblings:
            each.alone = len(siblings) == 1
        return device

    def fault(self, kind, text="", until=None):
        """Something went wrong on purpose, now or (disk-full) from now until `until`."""
        self.faults.append([self.now(), until, kind, text])
        self.counts["fault " + kind] += 1
        return self.faults[-1]

    def violation(self, kind, text, message=None):
        self.violations.append(Violation(kind, text, self.now(), message.round if message else self.round, message))

    def new_message(self, sender, account, device=None):
        seq = self.next_seq[sender, account]
        self.next_seq[sender, account] += 1
        message = Message(f"{sender.name}.{account}.{seq}", sender, account, device, seq, self.round)
        self.messages[message.uid] = message
        return message

    def sent(self, message, session):
        self.counts["resent" if message.sends else "sent"] += 1
        message.sends.append((self.now(), session))
        self.moved += 1

    def acked(self, message):
        message.acked = self.now()
        self.counts["acknowledged"] += 1
        self.moved += 1

    def returned(self, uid, sender, text):
        """An error for a message has come to its sender."""
        message = self.messages.get(uid)
        self.moved += 1
        self.counts["returned"] += 1
        if message is None or message.sender is not sender:
            self.violation("invented", f"{sender} was told of an error for {uid}, which it has not sent: {text}", message)
            return
        message.returns.append((self.now(), text))

    def arrived(self, uid, session, sound):
        """A message has come to a device; sound: with the addresses and the body it was sent with. Returns the
        Arrival, or None when there is no such message."""
        message, device = self.messages.get(uid), session.device
        self.moved += 1
        self.counts["arrived"] += 1
        if message is None:
            self._unknown(uid, device)
            return None
        arrival = Arrival(self.now(), device, session)
        if not sound:
            self.violation("altered", f"{uid} came to {device} unlike it was sent", message)
        elif message.account != device.account or not message.sends:
            self.violation("invented", f"{uid} for {message.account} came to {device}", message)
        earlier = [a for a in message.arrivals if a.device is device]
        message.arrivals.append(arrival)
        if earlier:
            self._repeated(message, earlier, arrival)
        else:
            self._in_order(message, arrival)
        return arrival

    def settled(self, arrival):
        """The server has surely handled the acknowledgement of it."""
        arrival.settled = self.now()

    # Judgement at once

    def _unknown(self, uid, device):
        sender, _, rest = uid.partition(".")
        account, _, seq = rest.rpartition(".")
        below = self.checked.get((sender, account), 0)
        if seq.isdigit() and int(seq) < below:
            # It may have lain in storage since a kill with the disk full, until the next presence.
            kind = "unwritten" if self.was_full_at_a_kill(0) else "doubled"
            self.violation(kind, f"{uid} came to {device} again, long after all was settled")
        else:
            self.violation("invented", f"{uid} came to {device}, and nobody has sent it")

    def forgettable(self, when):
        """A kill came so soon, or the disk was full, that the server need not remember what was then."""
        for kill, _, kind, _ in self.faults:
            if kind != "kill" or kill < when:
                continue
            if kill <= when + GRACE:
                return True
            if self._was_full(kill, when):
                return True
        return False

    def is_full(self):
        """Now, or a moment ago: an answer may have been on its way."""
        return self._was_full(self.now())

    def _was_full(self, kill, since=0.0):
        return any(k == "disk-full" and begin <= kill and (end is None or end >= max(since, kill - GRACE))
                   for begin, end, k, _ in self.faults)

    def _repeated(self, message, earlier, arrival):
        device, last = arrival.device, earlier[-1]
        anew = message.sessions - 1
        if last.session is not arrival.session and (last.settled is None or self.forgettable(last.settled)):
            self.counts["repeated to a receiver that logged in anew"] += 1
        elif anew > 0 and sum(a.session is arrival.session for a in earlier) <= anew:
            self.counts["repeated by a sender that logged in anew"] += 1
        elif len(message.sends) > 1 and self._killed(message.sends[0][0]):
            kind = "unwritten" if self._killed(message.sends[0][0], full=True) else "again"
            self.violation(kind, f"{message.uid} came to {device} {len(earlier) + 1} times", message)
        else:
            kind = "unwritten" if self.was_full_at_a_kill(last.when) else "doubled"
            self.violation(kind, f"{message.uid} came to {device} {len(earlier) + 1} times", message)

    def was_full_at_a_kill(self, since):
        """What the server did since then, a full disk may have kept it from remembering."""
        return self._killed(since, full=True)

    def _killed(self, since, full=False):
        return any(kind == "kill" and when >= since and (not full or self._was_full(when))
                   for when, _, kind, _ in self.faults)

    def _in_order(self, message, arrival):
        """First arrivals keep the order of sending. With several devices in an account what one has left behind
        may reach another late, so there it is about what was sent while the session was there, and for it."""
        device = arrival.device
        if message.returns:
            return   # its sender knows that it was not taken the first time
        if not device.managed and len(message.sends) > 1:
            return   # what it was sent at first may have been lost, as nothing is promised
        if not device.alone:
            begin = arrival.session.available
            if begin is None or begin > message.sends[0][0] or message.device not in (None, device):
                return
        key = message.sender, device
        newest = self.newest.get(key, -1)
        if message.seq < newest:
            self.violation("reordered", f"{message.uid} came to {device} after number {newest}", message)
        if message.device is None or arrival.session.available is not None:
            # Otherwise it was for a session that may have had no presence yet, and overtakes what waits for that.
            self.newest[key] = max(newest, message.seq)

    # Judgement when all is quiet

    def missing(self):
        """The messages that are still to come, all devices being there."""
        return [m for m in self.messages.values() if self._lacks(m) or m.acked is None and m.sends and m.sender.managed]

    def _is_strict(self, message):
        return any(d.account == message.account and d.managed for d in self.devices.values())

    def _lacks(self, message):
        """The kind of violation if nothing more comes, or None."""
        if message.acked is None or message.returns or not self._is_strict(message):
            return None
        if not message.arrivals:
            return None if self._fell_in_window(message) else "lost"
        if message.device is None and any(self._was_there(d, message) for d in self.devices.values()
                                          if d.account == message.account and d.managed):
            return "missed"
        return None

    @staticmethod
    def _fell_in_window(message):
        """It may have been written to a session of its device that had no stream management yet."""
        windows = message.device.windows if message.device else []
        return any(begin <= message.acked and (end is None or end >= message.sends[0][0]) for begin, end in windows)

    def _was_there(self, device, message):
        """The device has had one session from before it was sent until now, and has not got it."""
        session = getattr(device, "session", None)
        return session is not None and session.held(message.sends[0][0]) and \
            not any(a.device is device for a in message.arrivals)

    def check(self):
        """All devices are there and nothing moves: what is missing now is lost."""
        for message in self.messages.values():
            self._check_message(message)
        self.counts["checks"] += 1

    def _check_message(self, message):
        if not message.sends:
            return
        kind = self._lacks(message)
        if kind:
            self.violation(kind, f"{message.uid} was acknowledged: {KINDS[kind]}", message)
        if message.sender.managed and message.acked is None:
            self.violation("unacknowledged", f"{message.uid} was never acknowledged", message)
        if not self._is_strict(message) and not message.arrivals:
            self.counts["missing where nothing is promised"] += 1
        elif message.acked is not None and not message.arrivals and not message.returns and not kind:
            self.counts["lost between binding and enabling"] += 1
        self._check_place(message)
        if message.returns:
            self._check_return(message)

    def _check_place(self, message):
        if message.device is None or not message.device.managed:
            return
        session = getattr(message.device, "session", None)
        elsewhere = [a for a in message.arrivals if a.device is not message.device]
        if elsewhere and session is not None and session.held(message.sends[0][0]):
            # That the session had ended could not be written: it is there again.
            kind = "unwritten" if self.was_full_at_a_kill(elsewhere[0].when) else "astray"
            self.violation(kind, f"{message.uid} to {message.device} came to {elsewhere[0].device}", message)

    def _check_return(self, message):
        first, (when, text) = message.sends[0][0], message.returns[0]
        if not any(kind == "disk-full" and begin <= when and (end is None or end >= first)
                   for begin, end, kind, _ in self.faults):
            self.violation("refused", f"{message.uid} was returned: {text}", message)
        # A client that had it and never said so is none of the server's fault.
        known = [a for a in message.arrivals if a.when > when or a.settled is not None and a.settled < when]
        if len(message.sends) == 1 and known:
            kind = "unwritten" if self.was_full_at_a_kill(when) else "both"
            self.violation(kind, f"{message.uid} was returned and came too: {text}", message)

    def forget(self):
        """Drops what is checked; what comes of it from now on came twice."""
        for message in self.messages.values():
            key = message.sender.name, message.account
            self.checked[key] = max(self.checked.get(key, 0), message.seq + 1)
        for device in self.devices.values():
            device.windows[:] = [w for w in device.windows if w[1] is None]
        self.messages.clear()
        self.faults = [f for f in self.faults if f[0] > self.now() - 60]

    # Reports

    def history(self, message):
        """What happened to a message, with the faults of that time."""
        events = [(when, f"sent in {session}" + (" again" if n else "")) for n, (when, session) in enumerate(message.sends)]
        if message.acked is not None:
            events.append((message.acked, "acknowledged to the sender"))
        for a in message.arrivals:
            events.append((a.when, f"came to {a.session}"))
            if a.settled is not None:
                events.append((a.settled, f"{a.device}'s acknowledgement was handled"))
        events += [(when, f"returned: {text}") for when, text in message.returns]
        if not events:
            return ""
        first, last = min(e[0] for e in events) - 0.1, max(e[0] for e in events) + 1.0
        events += [(when, f"-- {kind} {text}" + (f" until {until:.3f}" if until else ""))
                   for when, until, kind, text in self.faults if when <= last and (until or when) >= first]
        target = message.device.name if message.device else f"all of {message.account}"
        head = f"    {message.uid} to {target}, number {message.seq}, round {message.round}"
        devices = [d for d in self.devices.values() if d.account == message.account or d is message.sender]
        there = [f"    {s} available {_time(s.available)}, last seen {_time(s.alive)}, ended {_time(s.ended)}"
                 for s in (getattr(d, "session", None) for d in devices) if s is not None]
        return "\n".join([head] + [f"    {when:9.3f} {text}" for when, text in sorted(events)] + there)

    def summary(self):
        kinds = collections.Counter(v.kind for v in self.violations)
        return ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()) or "no violation"


def _time(when):
    return "-" if when is None else f"{when:.3f}"


# The checker itself is tested with histories that are known to be right or wrong.

class _Story:
    """A sender and receivers whose every step is told, on a clock that moves by a tenth of a second a step."""

    def __init__(self):
        self.time = 0.0
        self.records = Records(lambda: self.time)
        self.ann, self.joe = (self.records.add_device(Device(n, n)) for n in ("ann", "joe"))
        self.bob, self.eve = (self.records.add_device(Device(f"bob-{n}", "bob")) for n in ("phone", "laptop"))
        self.plain = self.records.add_device(Device("old", "old", managed=False))
        for device in self.records.devices.values():
            self.login(device)
        self.step()

    def step(self, seconds=0.1):
        self.time += seconds

    def login(self, device):
        self.step()
        old = getattr(device, "session", None)
        if old is not None:
            old.ended = self.time
        device.session = Session(device, old.number + 1 if old else 1, self.time, self.time, self.time)
        return self

    def send(self, to="joe", device=None, ack=True):
        self.step()
        message = self.records.new_message(self.ann, to, device)
        self.records.sent(message, self.ann.session)
        if ack:
            self.ack(message)
        return message

    def ack(self, message):
        self.step()
        self.records.acked(message)

    def resend(self, message):
        self.step()
        self.records.sent(message, self.ann.session)

    def come(self, message, device=None, settle=True, sound=True):
        self.step()
        arrival = self.records.arrived(message if isinstance(message, str) else message.uid,
                                       (device or self.joe).session, sound)
        if settle and arrival:
            self.records.settled(arrival)

    def fault(self, kind, seconds=0.0):
        self.step()
        self.records.fault(kind, until=self.time + seconds if seconds else None)
        self.step(seconds)


def _right(s):
    for message in [s.send() for _ in range(3)]:
        s.come(message)
    both = s.send("bob")
    s.come(both, s.bob)
    s.come(both, s.eve)
    s.come(s.send("bob", s.eve), s.eve)
    s.send("old")


def _lost(s):
    s.come(s.send())
    s.send()


def _lost_over_kill(s):
    message = s.send()
    s.fault("kill")
    s.come(s.send())
    assert not message.arrivals


def _lost_before_management(s):
    s.joe.windows.append([s.time + 0.05, s.time + 0.15])
    s.send("joe", s.joe)


def _unpromised(s):
    s.send(ack=False)


def _missed_by_one_device(s):
    s.come(s.send("bob"), s.bob)


def _left_by_a_dead_session(s):
    message = s.send("bob", s.bob)
    s.login(s.bob)
    s.come(message, s.eve)


def _astray(s, full=False):
    s.come(s.send("bob", s.bob), s.eve)
    if full:
        s.fault("disk-full")
        s.fault("kill")


def _doubled(s):
    message = s.send()
    s.come(message, settle=False)
    s.come(message)


def _doubled_for_another_device(s):
    message = s.send("bob")
    s.come(message, s.bob)
    s.come(message, s.eve, settle=False)
    s.come(message, s.eve)


def _doubled_after_it_was_settled(s):
    message = s.send()
    s.come(message)
    s.step(2)
    s.login(s.joe)
    s.come(message)


def _doubled_after_the_check(s):
    message = s.send()
    s.come(message)
    s.records.check()
    s.records.forget()
    s.come(message)


def _repeated_for_a_new_login(s):
    message = s.send()
    s.come(message, settle=False)
    s.login(s.joe)
    s.come(message)


def _repeated_because_the_ack_was_forgotten(s):
    message = s.send()
    s.come(message)
    s.fault("kill")
    s.login(s.joe)
    s.come(message)


def _repeated_by_a_new_login(s, resend=True):
    message = s.send(ack=False)
    s.come(message)
    s.login(s.ann)
    if resend:
        s.resend(message)
    s.come(message)
    s.ack(message)


def _repeated_too_often(s):
    _repeated_by_a_new_login(s)
    s.come(list(s.records.messages)[0])


def _sent_again_when_resumed(s, kill=False, full=False):
    message = s.send(ack=False)
    s.come(message)
    if full:
        s.fault("disk-full")
    if kill:
        s.fault("kill")
    s.resend(message)
    s.ack(message)
    s.come(message)


def _reordered(s):
    first, second = s.send(), s.send()
    s.come(second)
    s.come(first)


def _reordered_between_kinds(s):
    first, second = s.send("bob", s.bob), s.send("bob")
    for message in (second, first):
        s.come(message, s.bob)
    s.come(second, s.eve)


def _early_for_a_session_without_presence(s):
    first, second = s.send(), s.send("joe", s.joe)
    s.login(s.joe).joe.session.available = None
    s.come(second)
    s.joe.session.available = s.time
    s.come(first)


def _late_from_a_dead_session(s):
    first = s.send("bob", s.bob)
    s.login(s.bob)
    second = s.send("bob")
    s.come(second, s.bob)
    s.come(second, s.eve)
    s.come(first, s.eve)


def _refused(s, full=False):
    if full:
        s.fault("disk-full", 0.5)
    message = s.send()
    if full:
        s.records.faults[-1][1] = s.time
    s.records.returned(message.uid, s.ann, "resource-constraint")


def _returned_and_came(s, came_before=False):
    s.fault("disk-full", 5)
    s.records.faults[-1][1] = s.time
    s.records.faults[-1][0] = s.time - 1
    message = s.send()
    s.records.faults[-1][1] = s.time
    if came_before:
        s.come(message, settle=False)
        s.login(s.joe)
        s.step(2)
    s.records.returned(message.uid, s.ann, "resource-constraint")
    if not came_before:
        s.come(message)


STORIES = [
    ("all is well", _right, set()),
    ("lost", _lost, {"lost"}),
    ("lost over a kill", _lost_over_kill, {"lost"}),
    ("lost before stream management was enabled", _lost_before_management, set()),
    ("never acknowledged", _unpromised, {"unacknowledged"}),
    ("missed by one of two devices", _missed_by_one_device, {"missed"}),
    ("left by a dead session", _left_by_a_dead_session, set()),
    ("astray", _astray, {"astray"}),
    ("astray with the disk full", lambda s: _astray(s, True), {"unwritten"}),
    ("doubled", _doubled, {"doubled"}),
    ("doubled for another device", _doubled_for_another_device, {"doubled"}),
    ("doubled after the acknowledgement was handled", _doubled_after_it_was_settled, {"doubled"}),
    ("doubled after the check", _doubled_after_the_check, {"doubled"}),
    ("repeated for a receiver that logged in anew", _repeated_for_a_new_login, set()),
    ("repeated because an acknowledgement went down with the server", _repeated_because_the_ack_was_forgotten, set()),
    ("repeated by a sender that logged in anew", _repeated_by_a_new_login, set()),
    ("sent once and doubled over a new login", lambda s: _repeated_by_a_new_login(s, False), {"doubled"}),
    ("repeated more often than sent", _repeated_too_often, {"doubled"}),
    ("sent again when resumed, and doubled", _sent_again_when_resumed, {"doubled"}),
    ("sent again when resumed after a kill, and doubled", lambda s: _sent_again_when_resumed(s, True), {"again"}),
    ("the same with the disk full", lambda s: _sent_again_when_resumed(s, True, True), {"unwritten"}),
    ("reordered", _reordered, {"reordered"}),
    ("bare and full addresses reordered", _reordered_between_kinds, {"reordered"}),
    ("early for a session without presence", _early_for_a_session_without_presence, set()),
    ("late from a dead session", _late_from_a_dead_session, set()),
    ("invented", lambda s: s.come("ann.joe.7"), {"invented"}),
    ("to the wrong account", lambda s: s.come(s.send("bob", None, False)), {"invented", "unacknowledged"}),
    ("altered", lambda s: s.come(s.send(), sound=False), {"altered"}),
    ("refused", _refused, {"refused"}),
    ("refused by a full disk", lambda s: _refused(s, True), set()),
    ("returned and came", _returned_and_came, {"both"}),
    ("came to a session that did not say so, and returned", lambda s: _returned_and_came(s, True), set()),
    ("an error for nothing", lambda s: s.records.returned("ann.joe.7", s.ann, "x"), {"invented"}),
]


def tell(story):
    """The kinds of violation that the checker finds in a story."""
    told = _Story()
    story(told)
    told.records.check()
    return {v.kind for v in told.records.violations}


def self_test():
    """The stories that the checker misjudges, as text."""
    wrong = []
    for name, story, expected in STORIES:
        found = tell(story)
        if found != expected:
            wrong.append(f"{name}: wanted {sorted(expected) or 'nothing'}, found {sorted(found) or 'nothing'}")
    return wrong
