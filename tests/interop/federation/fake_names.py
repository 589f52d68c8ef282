# SPDX-License-Identifier: MIT
"""A name server that does wrong for some names, and asks the real one for all others."""
import random
import socket
import threading
import time

NXDOMAIN, SERVFAIL, REFUSED = 3, 2, 5


def question(packet):
    """The name asked for, in lower case without the last dot."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("ascii", "replace").lower())
        at += 1 + packet[at]
    return ".".join(labels), packet[12:at + 5]


def answer(packet, code):
    """An empty answer with that code."""
    _, asked = question(packet)
    return packet[:2] + bytes([0x84, 0x80 | code]) + b"\0\1\0\0\0\0\0\0" + asked


class Names:
    """order: address, upstream, and faults {domain: fault}, which holds for all names under the domain.
    Faults: servfail, refused, never, slow (seconds as a number), garbage, wrong_id, wrong_name, once (the
    first question of each name is not answered), signed (no fault: answers are marked as checked by DNSSEC)."""

    def __init__(self, order):
        self.upstream, self.faults = order["upstream"], order["faults"]
        self.seen = set()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((order["address"], 53))

    def forward(self, packet):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(3)
            sock.sendto(packet, (self.upstream, 53))
            return sock.recv(65535)

    def reply(self, packet):
        """The answer, or None for none."""
        name, asked = question(packet)
        fault = next((f for domain, f in self.faults.items() if f".{name}".endswith(f".{domain}")), None)
        if fault in ("servfail", "refused"):
            return answer(packet, SERVFAIL if fault == "servfail" else REFUSED)
        if fault == "never" or fault == "once" and asked not in self.seen:
            self.seen.add(asked)
            return None
        if fault == "garbage":
            return packet[:2] + random.randbytes(40)
        if isinstance(fault, (int, float)):
            time.sleep(fault)
        good = self.forward(packet)
        if fault == "signed" and packet[3] & 0x20:
            return good[:3] + bytes([good[3] | 0x20]) + good[4:]
        if fault == "wrong_id":
            return bytes([good[0] ^ 0x55]) + good[1:]
        if fault == "wrong_name":
            return good[:13] + bytes([good[13] ^ 1]) + good[14:]
        return good

    def serve(self):
        while True:
            packet, client = self.sock.recvfrom(65535)

            def respond(packet=packet, client=client):
                try:
                    good = self.reply(packet)
                except OSError:
                    return
                if good:
                    self.sock.sendto(good, client)
            threading.Thread(target=respond, daemon=True).start()


def serve_names(order):
    threading.Thread(target=Names(order).serve, daemon=True).start()
