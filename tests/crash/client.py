# SPDX-License-Identifier: MIT
"""A client that speaks stream management (XEP-0198) with care, over connections that are cut at any byte."""
import asyncio
import collections
import contextlib
import random
import socket
from xml.parsers import expat

from harness.elements import StreamReader, escape
from harness.scram import Scram, b64, unb64
from harness.stream import NS_BIND, NS_SASL, NS_STREAM, NS_STREAM_ERRORS

import checker

NS_SM = "urn:xmpp:sm:3"
STANZAS = ("message", "presence", "iq")
COUNT = 1 << 32
LOGIN_TIMEOUT = 20.0


class Lost(Exception):
    """The connection has ended before what was waited for came."""


class Wire(asyncio.Protocol):
    """One connection: text out, elements in. cut_in makes it end inside of the bytes that come next."""

    def __init__(self, take):
        self.take = take            # called with (wire, kind, element); kinds: open, element, end, lost
        self.reader = StreamReader()
        self.transport = None
        self.is_over = False
        self.cut_in = None

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        cut = self.cut_in
        if cut is not None:
            data = data[:cut % (len(data) + 1)]
        if self.is_over:
            return
        try:
            self.reader.feed(data)
        except expat.ExpatError as error:
            self.take(self, "broken", f"{error}: {data[-200:]!r}")
            self.abort()
            return
        for kind, element in self.reader.take():
            if not self.is_over:
                self.take(self, kind, element)
        if cut is not None:
            self.abort()

    def connection_lost(self, error):
        del error
        self.abort()

    def send(self, text):
        if not self.is_over:
            self.transport.write(text.encode())

    def abort(self):
        """Ends the connection without a word."""
        if not self.is_over:
            self.is_over = True
            self.transport.abort()
            self.take(self, "lost", None)

    def hang(self):
        """From now on nothing is read."""
        if not self.is_over:
            self.transport.pause_reading()


class Out:
    """A stanza that the server has not acknowledged yet."""

    __slots__ = ("text", "message", "told", "is_presence")

    def __init__(self, text, message, told, is_presence):
        self.text, self.message, self.is_presence = text, message, is_presence
        self.told = told    # the count that the server had been told before this was sent


class Session(checker.Session):
    """A session with the counters of both sides."""

    def __init__(self, device, number):
        super().__init__(device, number)
        self.id = None                       # what it can be resumed by
        self.acked = 0                       # stanzas of ours that the server has acknowledged
        self.queue = collections.deque()     # those that it has not, in order
        self.received = 0                    # stanzas of the server that we have handled
        self.told = 0                        # the last count that we have sent
        self.unsettled = collections.deque()  # (count, Arrival): the server may not know that we have it


class Device(checker.Device):
    """A client program: keeps itself connected while it is wanted, and acts at random."""

    roles = {"steady": 0, "slack": 0, "brief": 1, "absent": 0, "plain": 0}  # and the lifetime they ask for, 0 for any

    def __init__(self, records, name, account, role, daemon):
        super().__init__(name, account.user, role != "plain")
        self.records, self.login, self.role, self.daemon = records, account, role, daemon
        self.session = Session(self, 0)
        self.session.ended = 0.0
        self.dice = random.Random(name)
        self.numbers = 0
        self.wire = None
        self.is_bound = False       # connected and bound, not yet live
        self.is_live = False        # connected, and the session goes on
        self.wanted = True
        self.away_until = None      # when it comes back, if it has gone for a time
        self.is_calm = False        # acknowledges at once
        self.silent_until = 0.0     # nothing is acknowledged before
        self.owes = False           # was asked and has not answered
        self.cut_at = None
        self.pings, self.pongs = 0, 0
        self.inbox = asyncio.Queue()
        self.wake = asyncio.Event()
        self.refused_login = None
        records.add_device(self)

    @property
    def jid(self):
        return f"{self.login.jid}/{self.name}"

    # Connecting

    async def keep(self):
        """Connects again and again, as long as it is wanted."""
        while True:
            if self.is_live or not self.wanted or not self.daemon.is_up:
                await self.wake.wait()
                self.wake.clear()
                continue
            try:
                async with asyncio.timeout(LOGIN_TIMEOUT):
                    await self.connect()
                self.records.counts["logins"] += 1
            except (Lost, OSError, TimeoutError) as error:
                if isinstance(error, TimeoutError) and self.daemon.is_up:
                    self.records.counts["logins that took too long"] += 1
                if self.wire:
                    self.wire.abort()
                await asyncio.sleep(0.01 + self.dice.random() * 0.05)

    async def connect(self):
        """Logs in, resumes the session or begins one. Raises Lost."""
        self.inbox = asyncio.Queue()
        _, self.wire = await asyncio.get_running_loop().create_connection(
            lambda: Wire(self.on_event), self.daemon.address, self.daemon.c2s)
        await self.open()
        await self.authenticate()
        await self.open()
        if self.session.id is None or self.session.ended is not None or not await self.resume():
            await self.begin()

    async def next(self, *names):
        kind, element = await self.inbox.get()
        if kind != "element" or element.name not in names:
            if kind == "element":
                self.refused_login = f"wanted {' or '.join(names)}, got {element!r}"
            raise Lost(f"{kind} {element!r}")
        return element

    async def open(self):
        self.wire.reader = StreamReader()
        self.wire.send(f"<?xml version='1.0'?><stream:stream to='{self.login.domain}' version='1.0' "
                       f"xmlns='jabber:client' xmlns:stream='{NS_STREAM}'>")
        return await self.next("features")

    async def authenticate(self):
        exchange = Scram("SCRAM-SHA-1", self.login.user, self.login.password)
        self.wire.send(f"<auth xmlns='{NS_SASL}' mechanism='SCRAM-SHA-1'>{b64(exchange.first())}</auth>")
        challenge = unb64((await self.next("challenge")).text)
        self.wire.send(f"<response xmlns='{NS_SASL}'>{b64(exchange.final(challenge))}</response>")
        exchange.verify(unb64((await self.next("success")).text))

    async def resume(self):
        session = self.session
        session.told = session.received
        self.wire.send(f"<resume xmlns='{NS_SM}' previd='{session.id}' h='{session.received}'/>")
        answer = await self.next("resumed", "failed")   # on_event has done what there is to do
        return answer.name == "resumed"

    async def begin(self):
        """Binds, enables stream management, becomes available, and sends what was not acknowledged before."""
        self.windows.append([self.records.now(), None])
        self.wire.send(f"<iq type='set' id='bind'><bind xmlns='{NS_BIND}'><resource>{self.name}</resource></bind></iq>")
        answer = await self.next("iq")
        jid = answer.path("bind", "jid")
        if jid is None or jid.text != self.jid:
            self.records.violation("stream", f"{self}: bind was answered by {answer!r}")
            raise Lost
        left = [out.message for out in self.session.queue if out.message is not None]
        self.end_session()
        self.numbers += 1
        session = self.session = Session(self, self.numbers)
        self.is_bound = True
        # Until it begins, what was left belongs to it, unsent.
        session.queue.extend(Out(None, message, 0, False) for message in left)
        if not self.managed:
            self.on_begun()
        else:
            life = self.roles[self.role]
            self.wire.send(f"<enable xmlns='{NS_SM}' resume='true'" + (f" max='{life}'" if life else "") + "/>")
            await self.next("enabled")   # on_event has done the rest

    def on_begun(self):
        """The session is there: becomes available and sends first what was not acknowledged before."""
        left = [out.message for out in self.session.queue]
        self.session.queue.clear()
        self.close_window()
        self.is_live = True
        self.send("<presence/>", is_presence=True)
        for message in left:
            self.send_message(message)

    def close_window(self):
        """The time in which the device is bound and stream management is not enabled is over."""
        self.is_bound = False
        if self.windows and self.windows[-1][1] is None:
            self.windows[-1][1] = self.records.now()

    def end_session(self):
        if self.session.ended is None:
            self.session.ended = self.records.now()

    # What comes

    def on_event(self, wire, kind, element):
        if wire is not self.wire:
            return
        session, now = self.session, self.records.now()
        if kind == "lost":
            self.on_lost(now)
        elif kind == "broken":
            self.records.violation("stream", f"{self}: broken XML: {element}")
        elif kind == "end":
            wire.abort()
        elif kind == "element":
            if self.is_live:
                session.alive = now
            if element.ns == NS_STREAM and element.name == "error":
                self.on_stream_error(element)
            elif element.ns == NS_SM:
                self.on_management(element, now)
            elif self.is_live:
                self.on_stanza(element)
            elif self.is_bound and element.name == "message":
                self.on_message(element)   # before stream management is enabled; nobody counts it
            elif not self.is_bound or element.name != "presence":
                self.inbox.put_nowait((kind, element))

    def on_lost(self, now):
        if self.is_live:
            self.is_live, self.cut_at, self.owes = False, now, False
            if not self.managed:
                self.end_session()
        self.close_window()
        self.inbox.put_nowait(("lost", None))
        self.wake.set()

    def on_stream_error(self, element):
        conditions = [c.name for c in element.find_all(ns=NS_STREAM_ERRORS) if c.name != "text"]
        condition = conditions[0] if conditions else "none"
        self.records.counts["stream error " + condition] += 1
        if condition == "undefined-condition":
            self.records.violation("count", f"{self.session}: {element!r}; received {self.session.received}")
        elif condition == "internal-server-error" and not self.is_live and self.records.is_full():
            return   # the account cannot be read while the disk fails; the session is not over
        elif condition not in ("system-shutdown", "conflict", "connection-timeout", "resource-constraint"):
            self.records.violation("stream", f"{self.session}: {element!r}")
        if condition not in ("system-shutdown", "connection-timeout"):
            self.end_session()
        elif self.dice.random() < 0.5:
            self.wire.send("</stream:stream>")

    def on_management(self, element, now):
        session = self.session
        if element.name == "r":
            self.owes = True
            self.answer_in_time()
            return
        if element.name == "a":
            self.on_count(element)
            return
        if element.name == "enabled":
            session.id, session.enabled, session.alive = element["id"], now, now
            session.lifetime = float(element.get("max", "0"))
            if session.id is None:
                self.records.violation("session", f"{session} was refused resumption: {element!r}")
            self.on_begun()
        elif element.name == "resumed":
            self.records.counts["resumptions"] += 1
            session.alive, self.is_live = now, True
            self.on_count(element)
            self.settle(session.told)
            for out in session.queue:
                out.told = session.told
                if out.message is not None:
                    self.records.sent(out.message, session)
            self.wire.send("".join(out.text for out in session.queue))
        elif element.name == "failed":
            self.on_failed(element, now)
        self.inbox.put_nowait(("element", element))

    def on_failed(self, element, now):
        """The session is over; it should be only when its time is."""
        session, records = self.session, self.records
        if element["h"] is not None:
            self.on_count(element)
        records.counts["resumptions refused"] += 1
        if session.lifetime > 60 and not records.forgettable(session.enabled):
            records.violation("session", f"{session} of {session.enabled:.3f}, cut off at {self.cut_at:.3f}: {element!r}")
        session.ended = now

    def on_count(self, element):
        session = self.session
        h = int(element["h"])
        count = (h - session.acked) % COUNT
        if count > COUNT // 2:
            self.records.violation("forgot", f"{session}: {element!r} after h='{session.acked}'")
            session.acked = h
            return
        if count > len(session.queue):
            self.records.violation("count", f"{session}: {element!r}, but {session.acked + len(session.queue)} were sent")
            count = len(session.queue)
        session.acked = h
        told = None
        for _ in range(count):
            out = session.queue.popleft()
            told = out.told
            if out.message is not None:
                self.records.acked(out.message)
            if out.is_presence and session.available is None:
                session.available = self.records.now()
        if told is not None:
            self.settle(told)

    def settle(self, told):
        """The server has surely handled an acknowledgement of so many stanzas."""
        waiting = self.session.unsettled
        while waiting and waiting[0][0] <= told:
            self.records.settled(waiting.popleft()[1])

    def on_stanza(self, element):
        session = self.session
        session.received = (session.received + 1) % COUNT
        if element.name == "message":
            self.on_message(element)
        elif element.name == "iq":
            if element["type"] in ("get", "set"):
                self.send(f"<iq type='result' id='{escape(element['id'] or '')}' to='{escape(element['from'] or '')}'/>")
            else:
                self.pongs += 1
        elif not self.managed and element["from"] == self.jid and session.available is None:
            session.available = self.records.now()

    def on_message(self, element):
        uid = element.get("id", "")
        if element["type"] == "error":
            error = element.find("error")
            self.records.returned(uid, self, repr(error))
            return
        message = self.records.messages.get(uid)
        sound = message is not None and element.child_text("body") == checker.body_of(uid) and \
            element["from"] == message.sender.jid and element["to"] == self.address(message)
        arrival = self.records.arrived(uid, self.session, sound)
        if arrival is not None and self.managed and self.is_live:
            self.session.unsettled.append((self.session.received, arrival))

    # What goes

    def send(self, text, message=None, is_presence=False):
        """Sends a stanza, which then waits for its acknowledgement."""
        if self.managed:
            self.session.queue.append(Out(text, message, self.session.told, is_presence))
        if message is not None:
            self.records.sent(message, self.session)
        self.wire.send(text)

    @staticmethod
    def address(message):
        return message.device.jid if message.device else f"{message.account}@{message.sender.login.domain}"

    def text_of(self, message):
        return f"<message type='chat' id='{message.uid}' to='{self.address(message)}'>" \
               f"<body>{escape(checker.body_of(message.uid))}</body></message>"

    def send_message(self, message):
        self.send(self.text_of(message), message)

    def ask(self):
        if self.managed and self.is_live:
            self.wire.send(f"<r xmlns='{NS_SM}'/>")

    def answer(self):
        if self.managed and self.is_live:
            self.owes = False
            self.session.told = self.session.received
            self.wire.send(f"<a xmlns='{NS_SM}' h='{self.session.received}'/>")

    def answer_in_time(self):
        """Acknowledges now, soon, or when the silence is over."""
        now = self.records.now()
        if self.is_calm:
            self.answer()
            return
        late = self.silent_until - now
        if late <= 0 and self.dice.random() < 0.3:
            late = self.dice.random() * 0.3
        if late <= 0:
            self.answer()
        else:
            session = self.session
            asyncio.get_running_loop().call_later(late, lambda: self.session is session and self.owes and self.answer())

    def ping(self):
        self.pings += 1
        self.send(f"<iq type='get' id='ping{self.pings}' to='{self.login.domain}'><ping xmlns='urn:xmpp:ping'/></iq>")

    # Accidents

    def cut(self, dice, others):
        """The connection ends, at a random byte of what goes or comes or in between."""
        where = dice.random()
        if where < 0.4:
            message = self.new_message(dice, others)
            text = self.text_of(message)
            part = text.encode()[:dice.randrange(len(text.encode()) + 1)]
            if self.managed:
                self.session.queue.append(Out(text, message, self.session.told, False))
            self.records.sent(message, self.session)
            self.wire.transport.write(part)
        if 0.4 <= where < 0.8:
            self.wire.cut_in = dice.randrange(10000)
            self.ask()
            wire = self.wire
            asyncio.get_running_loop().call_later(0.2, wire.abort)
        elif dice.random() < 0.5:
            self.wire.abort()   # what is still in our buffers is lost
        else:
            self.close_gently()
        self.records.counts["connections cut"] += 1

    def close_gently(self):
        """The end of the connection after all that was sent, but not the end of the session."""
        wire = self.wire
        wire.is_over = True
        wire.transport.close()
        self.on_event(wire, "lost", None)

    def hang(self, seconds):
        """The client stops reading, for good as far as this connection goes."""
        self.wire.hang()
        asyncio.get_running_loop().call_later(seconds, self.wire.abort)
        self.records.counts["connections hung"] += 1

    def leave(self, cleanly):
        """Goes offline; with a word it is the end of the session."""
        self.wanted = False
        if not self.is_live:
            return
        if cleanly:
            self.answer()
            self.wire.send("</stream:stream>")
            self.end_session()
            self.records.counts["clean ends"] += 1
        self.close_gently()

    def come_back_in_time(self, now):
        if self.away_until is not None and now >= self.away_until:
            self.come_back()

    def come_back(self):
        self.wanted, self.away_until = True, None
        self.wake.set()

    # A round

    def new_message(self, dice, others):
        target = dice.choice(others)
        return self.records.new_message(self, target.account, target if dice.random() < 0.5 else None)

    def begin_round(self, dice):
        self.is_calm = False
        now = self.records.now()
        if self.role == "slack" and now > self.silent_until and dice.random() < 0.4:
            self.silent_until = now + dice.uniform(1, 6)
        if self.away_until is not None:
            self.come_back_in_time(now)
        elif not self.wanted and dice.random() < 0.4:
            self.come_back()

    async def act(self, dice, until, others, troubled):
        """Writes, asks, and has accidents until the end of the load."""
        while True:
            await asyncio.sleep(dice.uniform(0, 0.12))
            now = self.records.now()
            if now >= until:
                break
            self.come_back_in_time(now)
            if self.is_live and not self.wire.is_over:
                self.act_once(dice, dice.random(), others, troubled)

    def act_once(self, dice, roll, others, troubled):
        if roll < 0.72:
            for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
                self.send_message(self.new_message(dice, others))
            if dice.random() < 0.4:
                self.ask()
        elif roll < 0.82:
            self.ask()
        elif roll < 0.87:
            self.ping()
        elif roll < 0.90:
            self.send(f"<presence><status>{dice.randrange(1000)}</status></presence>")
        elif not troubled:
            pass
        elif roll < 0.94:
            self.cut(dice, others)
        elif roll < 0.955:
            self.hang(dice.uniform(0.05, 0.4))
        elif self.role == "absent" and roll < 0.99:
            self.leave(dice.random() < 0.5)
        elif self.role == "brief" and roll < 0.98:
            self.leave(False)
            self.away_until = self.records.now() + dice.uniform(0.2, 2.5)

    def tidy(self):
        """Acknowledges and asks, so that both sides come to know all."""
        if self.is_live:
            if self.managed and (self.owes or self.session.told != self.session.received):
                self.answer()
            if self.session.queue:
                self.ask()

    def is_settled(self):
        return self.is_live and not self.session.queue and not (self.managed and self.session.unsettled)


def stop_all(tasks):
    for task in tasks:
        task.cancel()


@contextlib.asynccontextmanager
async def kept(devices):
    """All devices keep themselves connected inside of this."""
    tasks = [asyncio.create_task(device.keep()) for device in devices]
    try:
        yield tasks
    finally:
        stop_all(tasks)
        await asyncio.gather(*tasks, return_exceptions=True)
