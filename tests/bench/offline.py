# SPDX-License-Identifier: MIT
"""Messages to accounts that are offline, each acknowledged to its sender by stream management."""
import re
import time

from client import DOMAIN, Client

SENDERS, BATCH = 100, 8


def batch(sender, turn, prefix, recipients):
    """BATCH messages to as many accounts, and a request for an acknowledgement."""
    text = ""
    for i in range(BATCH):
        to = ((turn * SENDERS + sender) * BATCH + i) % recipients
        text += (f"<message to='{prefix}{to}@{DOMAIN}' type='chat' id='{sender}-{turn}-{i}'><body>{'x' * 100}</body>"
                 "</message>")
    return text + "<r xmlns='urn:xmpp:sm:3'/>"


def run(server, prefix, recipients, sender_prefix, seconds):
    """Each sender has BATCH messages on their way and sends the next when all are acknowledged. Returns a result like
    those of the load generator. The processor time counts until a second after the last acknowledgement; then all
    messages of ten accounts are fetched and counted."""
    clients = []
    for i in range(SENDERS):
        c = Client(server.port)
        c.log_in(f"{sender_prefix}{i}", tls=True)
        c.bind()
        c.enable()
        clients.append(c)
    time.sleep(0.5)
    cpu, mine, began, turn = server.cpu(), time.process_time(), time.monotonic(), 0
    while time.monotonic() - began < seconds:
        for i, c in enumerate(clients):
            c.send(batch(i, turn, prefix, recipients))
        turn += 1
        for c in clients:
            c.acknowledge_sent(turn * BATCH)
            if "type='error'" in c.text or 'type="error"' in c.text:
                raise SystemExit(f"{server.name}: offline: an error came back: {c.text[:300]}")
    took, mine = time.monotonic() - began, time.process_time() - mine
    time.sleep(1)
    cpu, count = server.cpu() - cpu, turn * BATCH * SENDERS
    for c in clients:
        c.close()
    return {"stored": count, "window_s": took, "server_cpu_s": cpu, "server_cpu_s_per_million": cpu / count * 1e6,
            "msgs_per_s": count / took, "generator_cpu_pct": mine / took * 100,
            "lost": missing(server, prefix, recipients, count)}


def missing(server, prefix, recipients, count):
    """Of the messages for the first ten accounts, how many do not come when they log in."""
    lost = 0
    for i in range(10):
        wanted = count // recipients + (i < count % recipients)
        c = Client(server.port, timeout=5)
        c.log_in(f"{prefix}{i}", tls=True)
        c.bind()
        c.send("<presence/>")
        text, got = "", 0
        try:
            while got < wanted and (piece := c.sock.recv(65536)):
                text += piece.decode(errors="replace")
                got += len(re.findall("</message>", text))
                text = text[text.rfind("</message>") + 10:] if "</message>" in text else text
        except OSError:
            pass
        lost += wanted - got
        c.close()
    return lost
