#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs Comity and the other servers that are installed under the same loads, in turn, and writes tables with ratios.

Usage: tests/bench/compare.py --xmppload DIR [--build DIR] [--rounds N] [--seconds N] [--only NAME,...]
       [--what CELL,...] [--keep FILE] [--from FILE] [--document FILE] [--any-build]

xmppload is the load generator (a folder with xmppload in it, built). Prosody, ejabberd and jabberd2 are those of
Debian's packages. In each round every server has its turn in each cell, started anew; a ratio is the median of those
of the rounds. With --document the tables replace what stands between the two marker comments there, if the run was a
full one: all servers that are installed, all cells, three rounds or more, 1,000 users. A round in which a server failed
(the generator, a message that was lost, a server that does not start, or Comity that does not end well, as with a
report of a sanitizer) does not count and is marked in its cell; then
the program ends with 1. Builds of Comity with sanitizers are refused but with --any-build, which writes no document.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import offline  # noqa: E402
from client import DOMAIN, Closed  # noqa: E402
from servers import KINDS, ROOT, BadEnd, Server, check_build, source_of, version_of, workplace  # noqa: E402

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
FRIENDS = "p"       # prefix of the accounts with contacts; the others are u0, u1, ...
CONTACTS = 50
CELLS = ("offline", "chat", "login", "presence", "idle")
# What each cell measures: labels of results.
LABELS = {"offline": ("offline",), "chat": ("chat8", "rate", "chat"), "login": ("login",), "presence": ("presence",),
          "idle": ("idle",)}
ALL = "comity,comity2,prosody,ejabberd,plain,jabberd2"
FULL_ROUNDS, FULL_USERS = 3, 1000
FAILURES = (OSError, ValueError, KeyError, IndexError, SystemExit, Closed)


class Bench:
    def __init__(self, load, args):
        self.load, self.args = load, args
        self.results, self.about = [], []

    def save(self):
        if self.args.keep:
            with open(self.args.keep, "w") as out:
                json.dump({"about": self.about, "results": self.results}, out, indent=1)

    def keep(self, number, server, label, result):
        """One result; what was lost or ended with an error is a failure."""
        if result.get("exit") or result.get("lost"):
            result["failed"] = result.get("failed") or f"exit {result.get('exit', 0)}, {result.get('lost', 0)} lost"
        if result.get("failed"):
            result["failed"] = " ".join(result["failed"].split())
            print(f"  {server.name}: {label}: FAILED: {result['failed']}", flush=True)
        self.results.append({"round": number, "server": server.name, "label": label, "result": result})

    def run(self, number, server, scenario, label, *options):
        out = os.path.join(server.folder, "result.json")
        if os.path.exists(out):
            os.unlink(out)
        sm = ["--sm", "--carbons"] if server.has_sm else []
        done = subprocess.run([self.load, scenario, "-p", str(server.port), "-d", DOMAIN, "--mech", server.mech,
                               "--server-pid", server.pids(), "--json", out, "--quiet", "--starttls",
                               "--login-retries", "3", *sm, *options],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        result = {}
        if os.path.exists(out):
            with open(out) as source:
                result = json.loads(source.read().splitlines()[-1])
        broken_off = result.pop("failed", 0)
        if broken_off and label in server.breaks_off:
            result |= {"broken_off": broken_off, "exit": 0}
        elif done.returncode:
            result["failed"] = f"exit {done.returncode}: {done.stdout.strip()[-300:]}"
        self.keep(number, server, label, result)

    def attempt(self, number, server, cell):
        """A cell of which nothing may be missing: what has no result has failed."""
        problem, before = "no result", len(self.results)
        try:
            self.cell(number, server, cell)
        except FAILURES as error:
            problem = f"{type(error).__name__}: {error}"
        try:
            server.stop()
        except BadEnd as error:
            problem = str(error)
            del self.results[before:]
        known = {r["label"] for r in self.results if (r["round"], r["server"]) == (number, server.name)}
        for label in LABELS[cell]:
            if label not in known:
                self.keep(number, server, label, {"failed": problem})

    def cell(self, number, server, cell):
        users, seconds = str(self.args.users), str(self.args.seconds)
        few = str(min(self.args.users, 100))
        server.restore()
        server.start()
        if cell == "chat":
            self.run(number, server, "chat", "chat8", "-n", few, "--window", "8", "--duration", seconds)
            self.run(number, server, "chat", "rate", "-n", few, "--rate", "2000", "--duration", seconds)
            self.run(number, server, "chat", "chat", "-n", users, "--window", "1", "--duration", seconds)
        elif cell == "login":
            # By itself: chats that are broken off leave messages, which would come with each login and go back. What a
            # server does once for its first clients does not count.
            self.run(number, server, "churn", "warm-up", "-n", few, "--parallel", "8", "--duration", seconds)
            self.run(number, server, "churn", "login", "-n", few, "--parallel", "8", "--duration", seconds)
        elif cell == "presence":
            self.run(number, server, "presence", cell, "-n", users, "--contacts", str(CONTACTS), "--user-prefix",
                     FRIENDS, "--window", "4", "--duration", seconds)
        elif cell == "offline":
            self.keep(number, server, cell, offline.run(server, "u", self.args.users, FRIENDS, self.args.seconds))
        elif cell == "idle":
            self.run(number, server, "idle", cell, "-n", users, "--hold", "25", "--roster")

    def rounds(self, label, name):
        """How many rounds failed, and how many there were."""
        found = [bool(r["result"].get("failed")) for r in self.results if (r["label"], r["server"]) == (label, name)]
        return sum(found), len(found)

    def figures(self, label, name, get):
        """One for each round: {round: figure}."""
        found = {}
        for r in self.results:
            if (r["label"], r["server"]) == (label, name) and not r["result"].get("failed"):
                try:
                    found[r["round"]] = get(r["result"])
                except (KeyError, ZeroDivisionError, TypeError):
                    pass
        return found


def per_cpu(result):
    return 1e6 / result["server_cpu_s_per_million"]


def login_ms(result):
    """Logins that a server broke off count as if they were whole."""
    return 1000 * result["server_cpu_s"] / (result["sessions"] + result.get("broken_off", 0))


# Title, cell, figure, whether less is better, gates of the ratios to Prosody, ejabberd, jabberd2.
ROWS = (
    ("chat, 1,000 users, one in flight: per CPU-s", "chat", per_cpu, False, (12, 3, 5)),
    ("chat, 100 users, eight in flight: per CPU-s", "chat8", per_cpu, False, (20, 11, 9)),
    ("presence to 50 contacts, 1,000 users: per CPU-s", "presence", per_cpu, False, (15, 5, 10)),
    ("messages to offline accounts: per CPU-s", "offline", per_cpu, False, (20, 20, None)),
    ("login with full TLS: server CPU ms", "login", login_ms, True, (4, 3, 2.5)),
    ("memory per idle TLS session: KiB", "idle", lambda r: r["pss_per_session_kib"], True, (None, None, None)),
    ("chat, one in flight: per second", "chat", lambda r: r["msgs_per_s"], False, (None, None, None)),
    ("chat, eight in flight: per second", "chat8", lambda r: r["msgs_per_s"], False, (None, None, None)),
    ("presence: deliveries per second", "presence", lambda r: r["deliveries_per_s"], False, (None, None, None)),
    ("messages to offline accounts: per second", "offline", lambda r: r["msgs_per_s"], False, (None, None, None)),
    ("logins per second", "login", lambda r: r["sessions_per_s"], False, (None, None, None)),
)
LATENCIES = (("2,000 messages a second, 100 users", "rate"), ("1,000 users, one in flight", "chat"),
             ("100 users, eight in flight", "chat8"))


def number(value):
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def median(found):
    return statistics.median(found.values()) if found else None


def ratio(ours, theirs, is_less_better, gate):
    """Cell of the ratio: the median of the rounds, their range, and the gate."""
    both = sorted((theirs[n] / ours[n] if is_less_better else ours[n] / theirs[n]) for n in ours
                  if theirs.get(n) and ours[n])
    if not both:
        return "-"
    middle = statistics.median(both)
    mark = "" if gate is None else f", gate {gate}" + ("" if middle >= gate else ": missed")
    return f"**{middle:.1f}** ({both[0]:.1f}-{both[-1]:.1f}{mark})"


def marked(bench, label, name, text):
    """The text of a cell, and whether rounds failed."""
    failed, count = bench.rounds(label, name)
    return text if not failed else "failed" if failed == count else f"{text} (failed in {failed} of {count})"


def report(bench):
    present = {r["server"] for r in bench.results}
    peers = [("Prosody", "Comity", 0), ("ejabberd", "Comity", 1), ("jabberd2", "Comity, plain", 2)]
    peers = [p for p in peers if p[0] in present]
    names = [n for n in ("Comity", "Prosody", "ejabberd", "Comity, plain", "jabberd2") if n in present]
    lines = ["| | " + " | ".join([*names, *(f"to {p[0]}" for p in peers)]) + " |",
             "|---" * (len(names) + len(peers) + 1) + "|"]
    for title, label, get, is_less_better, gates in ROWS:
        found = {n: bench.figures(label, n, get) for n in names}
        if any(bench.rounds(label, n)[1] for n in names):
            cells = [marked(bench, label, n, number(median(found[n]))) for n in names]
            cells += [ratio(found.get(ours, {}), found[peer], is_less_better, gates[i]) for peer, ours, i in peers]
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines += ["", "Latency of chat in ms, p50 / p99 / p99.9 (medians of the rounds):", "",
              "| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for title, label in LATENCIES:
        cells = []
        for n in names:
            values = [median(bench.figures(label, n, lambda r, q=q: r["latency_ms"][q]))
                      for q in ("p50", "p99", "p99_9")]
            cells.append(marked(bench, label, n, "-" if None in values else " / ".join(f"{v:.1f}" for v in values)))
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    if "Comity, two workers" in present:
        lines += ["", "Comity with two workers against one, per second:", "",
                  "| | one worker | two workers | ratio |", "|---|---|---|---|"]
        for title, label, get in (("chat, one in flight", "chat", lambda r: r["msgs_per_s"]),
                                  ("chat, eight in flight", "chat8", lambda r: r["msgs_per_s"]),
                                  ("presence to 50 contacts", "presence", lambda r: r["deliveries_per_s"])):
            one, two = bench.figures(label, "Comity", get), bench.figures(label, "Comity, two workers", get)
            if one or two or bench.rounds(label, "Comity, two workers")[1]:
                cells = [marked(bench, label, n, number(median(f)))
                         for n, f in (("Comity", one), ("Comity, two workers", two))]
                lines.append(f"| {title} | {cells[0]} | {cells[1]} | {ratio(two, one, False, 1.6)} |")
    for name in names:
        broken_off = bench.figures("login", name, lambda r: 100 * r["broken_off"] / (r["sessions"] + r["broken_off"]))
        if broken_off:
            lines += ["", f"{name} broke off {median(broken_off):.0f}% of the logins; its processor time is divided by all of them."]
    return "\n".join(lines)


def missing(bench):
    """Why this is not a full run; "" when it is."""
    found = []
    for key in ALL.split(","):
        kind = KINDS[key]
        if not kind.is_ours and not kind.installed():
            continue
        counts = {label: bench.rounds(label, kind.name)[1] for cell in kind.cells for label in LABELS[cell]}
        if min(counts.values()) < FULL_ROUNDS:
            fewest = min(counts, key=counts.get)
            found.append(f"{kind.name}: {fewest}: rounds: {counts[fewest]} of {FULL_ROUNDS}")
    if any(a["users"] != FULL_USERS for a in bench.about):
        found.append(f"not {FULL_USERS:,} users")
    if any(a["is_any_build"] for a in bench.about):
        found.append("any build")
    return "; ".join(found)


def failures(bench):
    """One line for each round that failed, without what was only a warm-up."""
    return [f"{r['server']}: {r['label']}: {r['result']['failed']}" for r in bench.results
            if r["result"].get("failed") and r["label"] != "warm-up"]


def told(about):
    """What a reader needs to judge or repeat a run."""
    peers = ", ".join(f"{name} {version}" for name, version in about["peers"].items()) or "no other servers"
    return (f"Measured {about['date']}, Comity {about['commit']} ({about['flags']}), {peers}; rounds: "
            f"{about['rounds']}, of {about['seconds']} seconds, {about['users']:,} users; {about['cores']} cores, load "
            f"average {about['load'][0]} before, {about['load'][1]} after.")


def describe(args):
    """Of a run that begins."""
    keys = [k for k in args.only.split(",") if not KINDS[k].is_ours and KINDS[k].installed()]
    return {"date": time.strftime("%Y-%m-%d"), "commit": source_of(args.build),
            "flags": check_build(args.build, args.any_build), "is_any_build": args.any_build,
            "peers": {KINDS[k].name: version_of(KINDS[k].package) for k in keys}, "rounds": args.rounds,
            "seconds": args.seconds, "users": args.users, "cores": os.cpu_count(), "load": [load_average()] * 2}


def load_average():
    return f"{os.getloadavg()[0]:.1f}"


def put_into(document, text):
    with open(document) as source:
        before, rest = source.read().split(BEGIN)
    with open(document, "w") as out:
        out.write(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


def measure(bench, args, folder, certs):
    servers = []
    for i, key in enumerate(args.only.split(",")):
        if KINDS[key].is_ours or KINDS[key].installed():
            servers.append(KINDS[key](os.path.join(folder, key), args.port + 10 * i, certs,
                                      build=os.path.abspath(args.build)))
        else:
            print(f"{key} is not installed", flush=True)
    what = args.what.split(",")
    for s in servers:
        print(f"making accounts: {s.name}", flush=True)
        s.start()
        s.register(bench.load, "u", args.users)
        s.register(bench.load, FRIENDS, max(args.users, offline.SENDERS))
        if "presence" in what:
            s.befriend(bench.load, FRIENDS, args.users, CONTACTS)
        s.stop()
        s.save()
    for n in range(args.rounds):
        for cell in what:
            for s in servers:
                # With two workers only some cells are compared, but all are of use to see that all is well.
                if cell not in (Server.cells if args.any_build and s.has_sm else s.cells):
                    continue
                print(f"round {n + 1}: {cell}: {s.name}", flush=True)
                bench.attempt(n, s, cell)
                bench.about[-1]["load"] = [bench.about[-1]["load"][0], load_average()]
                bench.save()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xmppload")
    parser.add_argument("--build", default=os.path.join(ROOT, "build/run"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--port", type=int, default=26000)
    parser.add_argument("--only", default=ALL, help=ALL)
    parser.add_argument("--what", default=",".join(CELLS), help=",".join(CELLS))
    parser.add_argument("--keep", help="where to write all results as JSON")
    parser.add_argument("--from", dest="source", action="append", default=[],
                        help="results to report on, instead of a run; may be given more than once")
    parser.add_argument("--document", help="a file with two marker comments, between which a full run puts its tables")
    parser.add_argument("--any-build", action="store_true", help="also one with sanitizers, to see that all is well")
    args = parser.parse_args()
    bench = Bench(os.path.join(os.path.abspath(args.xmppload or "."), "xmppload"), args)
    if args.source:
        for i, path in enumerate(args.source):
            with open(path) as source:
                kept = json.load(source)
            bench.about += kept["about"]
            bench.results += [{**r, "round": (i, r["round"])} for r in kept["results"]]
    elif not args.xmppload:
        parser.error("--xmppload is missing")
    else:
        bench.about.append(describe(args))
        folder, certs = workplace("bench")
        measure(bench, args, folder, certs)
        shutil.rmtree(folder)
    text = "\n".join(f"{told(a)}\n" for a in bench.about) + "\n" + report(bench)
    print(text)
    failed, lacking = failures(bench), missing(bench)
    print("".join(f"\nFAILED: {f}" for f in failed))
    if args.document and lacking:
        print(f"{args.document} stays as it is, as this was no full run: {lacking}")
    elif args.document:
        put_into(args.document, text)
        print(f"written to {args.document}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
