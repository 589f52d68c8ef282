#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How soon a server is ready with many accounts in its store, and what a process takes that has nothing to do.

Usage: tests/bench/start.py [--build DIR] [--accounts N] [--rounds N]

One account is made by the server; the others are copies of it, written into the database. Times count from the start
of the process until it accepts connections, and until the last of the accounts has logged in. Ends with 1 when the
process takes more than 10 MiB, or is not ready within 200 ms (the median of the rounds).
"""
import argparse
import os
import re
import shutil
import sqlite3
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import DOMAIN, Client  # noqa: E402
from servers import ROOT, Comity, check_build, workplace  # noqa: E402


GATE_MIB, GATE_MS = 10, 200


class Started(Comity):
    def memory_mib(self):
        """Proportional and resident size of the process."""
        with open(f"/proc/{self.processes[0].pid}/smaps_rollup") as maps:
            text = maps.read()
        return [int(re.search(rf"^{what}: +(\d+)", text, re.M)[1]) / 1024 for what in ("Pss", "Rss")]

    def kill(self):
        for p in self.processes:
            p.kill()
            p.wait()
        self.processes = []

    def fill(self, accounts):
        """Copies u0, of a server that is stopped; each has a message that waits for it."""
        with sqlite3.connect(f"{self.folder}/data/comity.sqlite") as db:
            for i in range(1, accounts):
                owner = f"u{i}@{DOMAIN}"
                db.execute("INSERT INTO map SELECT ?, store, key, value FROM map WHERE owner=?", (owner, f"u0@{DOMAIN}"))
                db.execute("INSERT INTO archive (owner, store, when_us, with_jid, value) VALUES (?, 'offline', ?, ?, ?)",
                           (owner, 1_700_000_000_000_000, f"p@{DOMAIN}",
                            f"<message xmlns='jabber:client' from='p@{DOMAIN}' to='{owner}'><body>hello</body></message>"))
        db.close()


def measure(server, user):
    began = time.monotonic()
    server.start()
    ready = time.monotonic() - began
    client = Client(server.port)
    client.log_in(user)
    client.bind()
    logged_in = time.monotonic() - began
    client.sock.close()
    return 1000 * ready, 1000 * logged_in


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build/run"))
    parser.add_argument("--accounts", type=int, default=100000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port", type=int, default=26600)
    args = parser.parse_args()
    check_build(args.build)
    folder, certs = workplace("start")
    server = Started(os.path.join(folder, "comity"), args.port, certs, build=os.path.abspath(args.build))
    server.start()
    pss, rss = server.memory_mib()
    print(f"a process with nothing to do: PSS {pss:.1f} MiB, RSS {rss:.1f} MiB", flush=True)
    missed = [f"{pss:.1f} MiB"] if pss > GATE_MIB else []
    server.register(None, "u", 1)
    server.stop()
    for accounts, end in ((1, server.stop), (args.accounts, server.stop), (args.accounts, server.kill)):
        if accounts != 1 and end == server.stop:
            server.fill(accounts)
        server.start()
        times = []
        for _ in range(args.rounds):
            end()
            times.append(measure(server, f"u{accounts - 1}"))
        size = os.path.getsize(f"{server.folder}/data/comity.sqlite") / 1048576
        ready, logged_in = (statistics.median(column) for column in zip(*times))
        missed += [f"{ready:.0f} ms with {accounts} accounts"] if ready > GATE_MS else []
        print(f"{accounts} accounts ({size:.0f} MiB), after {'a graceful stop' if end == server.stop else 'kill -9'}: ready after "
              f"{ready:.0f} ms ({min(t[0] for t in times):.0f}-{max(t[0] for t in times):.0f}), the last account logged in "
              f"after {logged_in:.0f} ms; process: PSS {server.memory_mib()[0]:.1f} MiB", flush=True)
        server.stop()
    shutil.rmtree(folder)
    if missed:
        print(f"gates are missed: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
