# SPDX-License-Identifier: MIT
"""A server of a few lines for other domains, and streams to the server under test that claim to be one."""
import contextlib
import os
import socket
import ssl
import threading

from .checks import check
from .elements import StreamReader
from .stream import Stream

A = "a.test"
NS_SERVER, NS_DIALBACK = "jabber:server", "jabber:server:dialback"
NS_TLS, NS_SM = "urn:ietf:params:xml:ns:xmpp-tls", "urn:xmpp:sm:3"
HEADER = (f"<?xml version='1.0'?><stream:stream xmlns='{NS_SERVER}' xmlns:db='{NS_DIALBACK}' "
          "xmlns:stream='http://etherx.jabber.org/streams' id='fake1' from='{}'{}>")
FEATURES = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>{}</stream:features>"


class FakeServer:
    """A server for whatever domain it is asked for. verdict: of db:verify (None: it never answers); old: before XMPP
    1.0; limit: so many bytes are read of a connection, then nothing; last_words: said after the header; manages: it
    enables stream management with the id MANAGED and acknowledges nothing; tls: a path without .crt and .key."""

    MANAGED = "managed"

    def __init__(self, verdict="valid", old=False, limit=None, last_words="", manages=False, tls=None):
        self.verdict, self.old, self.limit, self.last_words, self.manages = verdict, old, limit, last_words, manages
        self.believes = self.resumes = True   # db:result; <resume/>, at which it hangs up else
        self.suffers = True                   # a stanza, at which it hangs up else
        self.context = self._context(tls) if tls else None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.asked, self.stanzas, self.came = [], [], threading.Condition()
        self.connections, self.certificates = [], []
        threading.Thread(target=self._accept, daemon=True).start()

    @staticmethod
    def _context(path):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{path}.crt", f"{path}.key")
        context.load_verify_locations(os.path.join(os.path.dirname(path), "ca.crt"))
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _accept(self):
        with contextlib.suppress(OSError):   # at the end
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _features(self, connection):
        if self.context is not None and not isinstance(connection, ssl.SSLSocket):
            return FEATURES.format(f"<starttls xmlns='{NS_TLS}'/>")
        return FEATURES.format(f"<sm xmlns='{NS_SM}'/>" if self.manages else "")

    def _serve(self, connection):
        reader, read = StreamReader(), 0
        while data := self._read(connection):
            reader.feed(data)
            read += len(data)
            if self.limit is not None and read > self.limit:
                threading.Event().wait(60)
            for kind, element in reader.take():
                if kind == "open":
                    connection.sendall(HEADER.format(element["to"], "" if self.old else " version='1.0'").encode() +
                                       (b"" if self.old else self._features(connection).encode()) + self.last_words.encode())
                elif kind == "element" and element.ns == NS_TLS:
                    connection, reader = self._start_tls(connection), StreamReader()
                elif kind == "element":
                    self._answer(connection, element)

    def _read(self, connection):
        with contextlib.suppress(OSError):
            return connection.recv(65536 if self.limit is None else 4096)
        return b""

    def _start_tls(self, connection):
        connection.sendall(f"<proceed xmlns='{NS_TLS}'/>".encode())
        connection = self.context.wrap_socket(connection, server_side=True)
        self.connections.append(connection)
        self.certificates.append(connection.getpeercert(binary_form=True))
        return connection

    def _answer(self, connection, e):
        with self.came:
            (self.stanzas if e.ns == NS_SERVER else self.asked).append(e)
            self.came.notify_all()
        if e.ns == NS_DIALBACK:
            if e.name == "verify" and self.verdict is None:
                return
            verdict = self.verdict if e.name == "verify" else "valid" if self.believes else "invalid"
            ident = f" id='{e['id']}'" if e["id"] else ""
            connection.sendall(f"<db:{e.name} from='{e['to']}' to='{e['from']}'{ident} type='{verdict}'/>".encode())
        elif e.ns == NS_SM and e.name == "enable":
            connection.sendall(f"<enabled xmlns='{NS_SM}' id='{self.MANAGED}' resume='true'/>".encode())
        elif e.ns == NS_SM and e.name == "resume" and self.resumes:
            connection.sendall(f"<resumed xmlns='{NS_SM}' previd='{self.MANAGED}' h='0'/>".encode())
        elif (e.ns == NS_SM and e.name == "resume") or (e.ns == NS_SERVER and not self.suffers):
            self.hang_up()

    def hang_up(self):
        """Ends all connections; others may come."""
        connections, self.connections = self.connections, []
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def refuse(self):
        """From now on nobody can connect to it; connections stay."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def wait_asked(self, name, count=1):
        """Until so many elements of that name came that are no stanzas."""
        with self.came:
            check(self.came.wait_for(lambda: sum(e.name == name for e in self.asked) >= count, 15), f"no {name} came")

    def wait_stanzas(self, count):
        """Until so many have come; a server that suffers none gets one again and again."""
        with self.came:
            check(self.came.wait_for(lambda: len(self.stanzas) >= count, 10), f"{len(self.stanzas)} stanzas came, not {count}")

    def wait_stanza(self, name):
        with self.came:
            check(self.came.wait_for(lambda: any(s.name == name for s in self.stanzas), 15), f"no {name} came")
            return next(s for s in self.stanzas if s.name == name)


def call(server, domain="x1.fake.test", version="1.0", source=None, tls=None):
    """A stream of that domain, up to the features, with TLS if tls says how; what it says is not proved yet."""
    stream = Stream(server, port=server.s2s, domain=A, source=source, name=domain, tls=tls)

    def begin():
        stream.open_raw(ns=NS_SERVER, version=version, extra=f" xmlns:db='{NS_DIALBACK}' from='{domain}'")
        stream.wait_header()
        if version:
            stream.features = stream.expect_next("features")

    begin()
    if tls is not None:
        stream.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        stream.expect_next("proceed")
        stream.start_tls_layer()
        stream.restart()
        begin()
    return stream


def prove(stream, domain, to=A):
    """The answer to a key, which the fake server of the domain vouches for or not."""
    stream.send(f"<db:result from='{domain}' to='{to}'>0123abc</db:result>")
    return stream.expect("result", NS_DIALBACK, to=domain)


def send_message(stream, from_, to, body="hi"):
    stream.send(f"<message from='{from_}' to='{to}' type='chat'><body>{body}</body></message>")




class FakeNames:
    """A name server that answers every question for services with 1,000 of them and every other with 1,000 addresses
    on which nobody listens; over TCP, as that is more than a datagram holds."""

    COUNT = 1000

    def __init__(self, address=("127.0.0.1", 0)):
        self.questions, self.over_tcp = [], 0
        while True:
            self.tcp = socket.create_server(address)
            self.port = self.tcp.getsockname()[1]
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self.udp.bind((address[0], self.port))
                break
            except OSError:
                self.tcp.close()
                self.udp.close()
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def _question(self, message):
        """The question's bytes and its type."""
        at = 12
        while message[at]:
            at += message[at] + 1
        return message[12:at + 5], int.from_bytes(message[at + 1:at + 3], "big")

    @staticmethod
    def _record(kind, number):
        data = {33: b"\0\1\0\1" + (20000 + number).to_bytes(2, "big") + b"\5h" + b"%04d" % number + b"\4many\0",
                1: bytes([127, 88, number // 250, 1 + number % 250]),
                28: bytes(10) + b"\xff\xff" + bytes([127, 88, number // 250, 1 + number % 250])}[kind]
        return b"\xc0\x0c" + kind.to_bytes(2, "big") + b"\0\1" + (60).to_bytes(4, "big") + len(data).to_bytes(2, "big") + data

    def _answer(self, message, is_cut):
        question, kind = self._question(message)
        self.questions.append(kind)
        count = 0 if is_cut or kind not in (1, 28, 33) else self.COUNT
        flags = b"\x87\x80" if is_cut else b"\x85\x80"
        return (message[:2] + flags + b"\0\1" + count.to_bytes(2, "big") + bytes(4) + question +
                b"".join(self._record(kind, n) for n in range(count)))

    def _serve_udp(self):
        while True:
            message, peer = self.udp.recvfrom(4096)
            self.udp.sendto(self._answer(message, True), peer)

    def _serve_tcp(self):
        while True:
            connection = self.tcp.accept()[0]
            threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _serve_one(self, connection):
        stream = connection.makefile("rb")
        while len(head := stream.read(2)) == 2:
            answer = self._answer(stream.read(int.from_bytes(head, "big")), False)
            self.over_tcp += 1
            connection.sendall(len(answer).to_bytes(2, "big") + answer)


class NamesOfNoService(FakeNames):
    """A name server by which all domains say fifty times that they offer no service, as much as one datagram holds."""

    COUNT = 50

    @staticmethod
    def _record(kind, number):
        del kind, number
        return b"\xc0\x0c\0\x21\0\1" + (3600).to_bytes(4, "big") + b"\0\7" + bytes(7)

    def _answer(self, message, is_cut):
        return super()._answer(message, False)


class FaultyNames(FakeNames):
    """A name server for domains under test. at: the port at which all of them can be reached on this machine.
    While how(name) returns one of FAULTS, that is what it answers."""

    FAULTS = ("SERVFAIL", "NXDOMAIN", "nothing", "truncated for ever", "cut short", "noise", "another id", "a loop",
              "thousands", "nowhere")

    def __init__(self, at, how, **args):
        self.at, self.how = at, how
        super().__init__(**args)

    def _records(self, kind, domain):
        """What is true: services at this machine, and its address; answers may be kept for a second."""
        data = {33: b"\0\1\0\1" + self.at.to_bytes(2, "big") + b"\4host" + domain, 1: b"\x7f\0\0\1"}.get(kind)
        if data is None:
            return []
        return [b"\xc0\x0c" + kind.to_bytes(2, "big") + b"\0\1\0\0\0\1" + len(data).to_bytes(2, "big") + data]

    def _answer(self, message, is_cut):
        question, kind = self._question(message)
        labels, domain = self._labels(question)
        fault = self.how(".".join(labels))
        if fault is None and labels[0] not in ("_xmpp-server", "host"):
            fault = "NXDOMAIN"
        self.questions.append((kind, fault))
        if fault == "thousands" and kind in (1, 28, 33):
            return super()._answer(message, is_cut)
        if fault == "nothing" or (fault == "truncated for ever" and not is_cut):
            return None
        if fault == "noise":
            return message[:2] + bytes((i * 37 + kind) % 256 for i in range(200))
        code = {"SERVFAIL": b"\x81\x82", "NXDOMAIN": b"\x81\x83", "truncated for ever": b"\x83\x80"}.get(fault, b"\x81\x80")
        records = self._records(kind, domain) if code == b"\x81\x80" else []
        if fault == "a loop":
            records = [b"\xc0" + bytes([12 + len(question)]) + kind.to_bytes(2, "big") + b"\0\1\0\0\0\1\xff\xff"]
        elif fault == "nowhere":
            records = [r[:-11] + b"\0" for r in records if kind == 33]   # says more than there is
        answer = message[:2] + code + b"\0\1" + len(records).to_bytes(2, "big") + bytes(4) + question + b"".join(records)
        if fault == "cut short":
            return answer[:len(answer) - 7]
        if fault == "another id":
            return bytes([answer[0] ^ 1]) + answer[1:]
        return answer

    @staticmethod
    def _labels(question):
        """The labels of the name that is asked for, and the bytes of the last two, which are the domain."""
        labels, starts, at = [], [], 0
        while question[at]:
            starts.append(at)
            labels.append(question[at + 1:at + 1 + question[at]].decode().lower())
            at += question[at] + 1
        return labels, question[starts[-2]:at + 1]

    def _serve_udp(self):
        while True:
            message, peer = self.udp.recvfrom(4096)
            if (answer := self._answer(message, True)) is not None:
                self.udp.sendto(answer, peer)

    def _serve_one(self, connection):
        stream = connection.makefile("rb")
        while len(head := stream.read(2)) == 2:
            answer = self._answer(stream.read(int.from_bytes(head, "big")), False)
            if answer is None:
                break
            self.over_tcp += 1
            connection.sendall(len(answer).to_bytes(2, "big") + answer)
        connection.close()
