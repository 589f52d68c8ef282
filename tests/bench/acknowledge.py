#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The delay that group commit adds: the time from <r/> to <a/> for a message that must be kept first.

Usage: tests/bench/acknowledge.py --xmppload DIR [--build DIR] [--messages N] [--rate R]

One client sends a message and <r/> in one write and waits for the <a/> that covers it, again and again: to a
session that acknowledges nothing for now (the message goes to the journal), to an account that is offline (to the
store), and, to compare, <r/> alone with nothing to keep. First on an idle server, then while the load generator sends
R messages a second between 100 users with stream management."""
import argparse
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import DOMAIN, Client  # noqa: E402
from servers import ROOT, Comity, check_build, workplace  # noqa: E402

CONFIRM_EVERY = 100     # messages; well below unacknowledged_stanzas


def session(server, user):
    c = Client(server.port)
    c.log_in(user, tls=True)
    c.bind()
    c.enable()
    return c


def delays(server, to, receiver, count):
    """In milliseconds, sorted. The receiver reads and acknowledges only from time to time, between the messages."""
    sender, found = session(server, "probe0"), []
    for i in range(count):
        began = time.perf_counter()
        message = f"<message to='{to}' type='chat' id='m{i}'><body>{'x' * 100}</body></message>" if to else ""
        sender.send(message + "<r xmlns='urn:xmpp:sm:3'/>")
        sender.acknowledge_sent(i + 1 if to else 0)
        found.append(1000 * (time.perf_counter() - began))
        if receiver and i % CONFIRM_EVERY == CONFIRM_EVERY - 1:
            receiver.wait(f"id='m{i}'")
            receiver.send(f"<a xmlns='urn:xmpp:sm:3' h='{i + 2}'/>")
        time.sleep(0.003)
    sender.close()
    return sorted(found)


def measure(server, count, label):
    receiver = session(server, "probe1")
    receiver.send("<presence/>")
    receiver.wait("<presence[^>]*>")
    # Its own presence is the first stanza that it counts.
    receiver.send("<a xmlns='urn:xmpp:sm:3' h='1'/>")
    for what, to, other in (("nothing to keep", None, None),
                            ("online, not acknowledged: the journal", f"probe1@{DOMAIN}/probe", receiver),
                            ("offline: the store", f"probe2@{DOMAIN}", None)):
        d = delays(server, to, other, count)
        print(f"| {label} | {what} | {d[len(d) // 2]:.2f} | {d[len(d) * 99 // 100]:.2f} | {d[-1]:.2f} |", flush=True)
    receiver.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xmppload", required=True)
    parser.add_argument("--build", default=os.path.join(ROOT, "build/run"))
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=5000)
    args = parser.parse_args()
    check_build(args.build)
    folder, certs = workplace("acknowledge")
    server = Comity(os.path.join(folder, "comity"), 26700, certs, build=os.path.abspath(args.build))
    load = os.path.join(os.path.abspath(args.xmppload), "xmppload")
    server.start()
    server.register(load, "u", 100)
    server.register(load, "probe", 3)
    print("| server | message to | p50 ms | p99 ms | most |\n|---|---|---|---|---|")
    measure(server, args.messages, "idle")
    other = subprocess.Popen([load, "chat", "-p", str(server.port), "-d", DOMAIN, "-n", "100", "--rate", str(args.rate),
                              "--duration", "600", "--starttls", "--sm", "--carbons", "--quiet"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(4)
    measure(server, args.messages, f"{args.rate:,} messages a second")
    other.terminate()
    other.wait()
    server.stop()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
