#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A long run: many TLS sessions with mixed traffic; memory, latency and the log must stay as they are.

Usage: tests/bench/soak.py --xmppload DIR [--build DIR] [--minutes N] [--sessions N] [--keep FILE]

Most sessions are there and idle for all of the time. Beside them, in slices of some minutes: chat at a steady rate,
broadcasts of presence, messages to accounts that are offline and are read later, requests, and clients that log in
and out again. After each slice the memory of the process, the latency of the chat and the lines of the log are taken.
Ends with 1 when a client failed, a message was lost, the log has a line, or memory or latency went up.
"""
import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import DOMAIN  # noqa: E402
from servers import ROOT, workplace  # noqa: E402
from waiting import Waiting, wait_for_sessions  # noqa: E402

CHATTERS, BROADCASTERS, CONTACTS, RECIPIENTS = 1000, 200, 20, 50


class Soaked(Waiting):
    workers = 2
    options = "resume_time = 1m"


class Soak:
    def __init__(self, load, server, args):
        self.load, self.server, self.args = load, server, args
        self.failures = 0

    def path(self, name):
        return os.path.join(self.server.folder, name + ".json")

    def spawn(self, name, scenario, *options, tls=True):
        command = [self.load, scenario, "-p", str(self.server.port), "-d", DOMAIN, "--mech", self.server.mech, "--json",
                   self.path(name), "--user-prefix", name[0], "--quiet", *(["--starttls"] if tls else []), *options]
        return name, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)

    def finish(self, name, process):
        """The result of a generator; {} when it has none."""
        code = process.wait()
        if code != 0:
            self.failures += 1
            print(f"{name} ended with {code}", flush=True)
        with contextlib.suppress(FileNotFoundError):
            with open(self.path(name)) as source:
                text = source.read().splitlines()[-1]
            os.unlink(self.path(name))
            return json.loads(text)
        return {}

    def slice(self, seconds):
        """One slice of everything; returns the result of the chat."""
        running = [
            self.spawn("chat", "chat", "-n", str(CHATTERS), "--sm", "--carbons", "--rate", str(self.args.rate),
                       "--duration", str(seconds - 15), "--drain", "20", "--strict", "--timeout", "120"),
            self.spawn("presence", "presence", "-n", str(BROADCASTERS), "--contacts", str(CONTACTS), "--sm", "--count",
                       "2000", "--duration", str(seconds), "--timeout", "120"),
            self.spawn("offline", "offline", "-n", str(RECIPIENTS), "--senders", "5", "--messages", "200", "--sm",
                       "--duration", str(seconds), "--timeout", "120"),
            self.spawn("query", "iq", "-n", "20", "--iq", "disco", "--count", "20000", "--duration", str(seconds)),
            self.spawn("logins", "churn", "-n", "200", "--parallel", "10", "--count", "2000", "--duration", str(seconds)),
        ]
        results = {name: self.finish(name, process) for name, process in running}
        return results["chat"]

    def log_lines(self):
        with open(os.path.join(self.server.folder, "out.log"), errors="replace") as log:
            return sum(1 for _ in log)

    def run(self):
        idle = self.args.sessions - CHATTERS - BROADCASTERS - RECIPIENTS
        waiting = self.spawn("idle", "idle", "-n", str(idle), "--sm", "--carbons", "--roster", "--hold",
                             str(self.args.minutes * 60 + 600), "--timeout", "600")
        wait_for_sessions(waiting[1], self.server, idle)
        rows, began = [], time.monotonic()
        while time.monotonic() - began < self.args.minutes * 60:
            before = self.server.cpu()
            start = time.monotonic()
            chat = self.slice(self.args.slice)
            stats = self.server.stats()
            latency = chat.get("latency_ms", {})
            rows.append({"minutes": (time.monotonic() - began) / 60, "sessions": stats["sessions"],
                         "pss_mib": self.server.pss_kib() / 1024, "p50": latency.get("p50"), "p99": latency.get("p99"),
                         "p999": latency.get("p999"), "max": latency.get("max"), "received": chat.get("delivered", chat.get("messages")),
                         "cpu": (self.server.cpu() - before) / (time.monotonic() - start), "log": self.log_lines()})
            print(json.dumps(rows[-1]), flush=True)
            if waiting[1].poll() is not None or stats["sessions"] < idle:
                raise SystemExit(f"of {idle} idle sessions {stats['sessions']} are left")
        waiting[1].terminate()
        waiting[1].wait()
        return rows


def unsteady(rows):
    """What is more in the last quarter of a run than in the second: memory by 5%, or the slowest messages threefold."""
    quarter = len(rows) // 4
    if quarter == 0:
        return ["too few slices to tell"]
    found = []
    for name, most in (("pss_mib", 1.05), ("p99", 3)):
        early, late = (statistics.median(r[name] or 0 for r in part) for part in (rows[quarter:2 * quarter], rows[-quarter:]))
        if late > early * most:
            found.append(f"{name} went from {early:.2f} to {late:.2f}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xmppload", required=True)
    parser.add_argument("--build", default=os.path.join(ROOT, "build/run"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--slice", type=int, default=240, help="seconds")
    parser.add_argument("--sessions", type=int, default=12000)
    parser.add_argument("--rate", type=int, default=1000, help="messages a second")
    parser.add_argument("--port", type=int, default=26700)
    parser.add_argument("--keep", help="where to write the rows as JSON")
    args = parser.parse_args()
    folder, certs = workplace("soak")
    server = Soaked(os.path.join(folder, "comity"), args.port, certs, build=os.path.abspath(args.build))
    load = os.path.join(os.path.abspath(args.xmppload), "xmppload")
    server.start()
    for prefix, count in (("i", args.sessions), ("c", CHATTERS), ("p", BROADCASTERS), ("o", 2 * RECIPIENTS), ("q", 20),
                          ("l", 200)):
        server.register(load, prefix, count)
    server.befriend(load, "p", BROADCASTERS, CONTACTS)
    soak = Soak(load, server, args)
    rows = soak.run()
    server.stop()
    if args.keep:
        with open(args.keep, "w") as out:
            json.dump(rows, out, indent=1)
    with open(os.path.join(server.folder, "out.log"), errors="replace") as log:
        said = log.read()
    print(f"{soak.failures} generators failed; the log: {said[:2000] or 'nothing'}")
    grown = unsteady(rows)
    print("steady" if not grown else "; ".join(grown))
    shutil.rmtree(folder)
    return 1 if soak.failures or said or grown else 0


if __name__ == "__main__":
    sys.exit(main())
