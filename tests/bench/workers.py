#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What two workers do against one, on a machine whose cores the load generator shares: each worker gets the same part
of a core and no more, so that there is a place left for all.

Usage: tests/bench/workers.py --xmppload DIR [--build DIR] [--share PERCENT] [--rounds N] [--seconds N] [--only NAME,...]

The kernel keeps each worker to its share (SCHED_DEADLINE, set with chrt, which only root may), as if it had a slower
core for itself. One worker and two take turns; a ratio is the median of those of the rounds. What this cannot show is
what cores take from each other: caches and memory. Ends with 1 when a ratio is below 1.6, or a worker starves.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import DOMAIN  # noqa: E402
from servers import ROOT, Comity, ComityTwo, check_build, workplace  # noqa: E402

PERIOD_NS = 2_000_000
GATE, STARVES = 1.6, 0.5     # STARVES: the idler of two workers did less than this part of what the other did
LOADS = {
    "chat": ["chat", "-n", "1000", "--window", "1"],
    "chat8": ["chat", "-n", "100", "--window", "8"],
    "presence": ["presence", "-n", "1000", "--contacts", "50", "--user-prefix", "p", "--window", "32"],
}


def workers(server):
    """{thread: name}"""
    folder = f"/proc/{server.pids()}/task"
    found = {}
    for thread in os.listdir(folder):
        with open(f"{folder}/{thread}/comm") as comm:
            name = comm.read().strip()
        if name.startswith("worker-"):
            found[thread] = name
    return found


def confine(server, share):
    for thread in workers(server):
        subprocess.run(["chrt", "-d", "-T", str(PERIOD_NS * share // 100), "-D", str(PERIOD_NS), "-P", str(PERIOD_NS),
                        "-p", "0", thread], check=True)


def seconds_of(server):
    """Processor time of each worker so far."""
    found = {}
    for thread, name in workers(server).items():
        with open(f"/proc/{server.pids()}/task/{thread}/schedstat") as stat:
            found[name] = int(stat.read().split()[0]) / 1e9
    return found


def run(args, load, server, name):
    server.restore()
    server.start()
    confine(server, args.share)
    out = os.path.join(server.folder, "result.json")
    done = subprocess.run([load, *LOADS[name], "-p", str(server.port), "-d", DOMAIN, "--mech", server.mech,
                           "--server-pid", server.pids(), "--json", out, "--quiet", "--starttls", "--sm", "--carbons",
                           "--timeout", "120", "--duration", str(args.seconds)])
    if done.returncode:
        print(f"  {server.name}: {name}: exit {done.returncode}", flush=True)
    with open(out) as source:
        result = json.loads(source.read().splitlines()[-1])
    os.unlink(out)
    taken = seconds_of(server)
    server.stop()
    rate = result["deliveries_per_s" if name == "presence" else "msgs_per_s"]
    return rate, result["server_cpu_s_per_million"], min(taken.values()) / max(taken.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xmppload", required=True)
    parser.add_argument("--build", default=os.path.join(ROOT, "build/run"))
    parser.add_argument("--share", type=int, default=40, help="per cent of a core for each worker (40)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--port", type=int, default=26900)
    parser.add_argument("--only", default=",".join(LOADS))
    args = parser.parse_args()
    check_build(args.build)
    load = os.path.join(os.path.abspath(args.xmppload), "xmppload")
    folder, certs = workplace("workers")
    servers = []
    for i, kind in enumerate((Comity, ComityTwo)):
        server = kind(os.path.join(folder, str(i)), args.port + 10 * i, certs, build=os.path.abspath(args.build))
        server.start()
        server.register(load, "u", 1000)
        server.register(load, "p", 1000)
        server.befriend(load, "p", 1000, 50)
        server.stop()
        server.save()
        servers.append(server)
    missed = []
    for name in args.only.split(","):
        rounds = []
        for _ in range(args.rounds):
            one, two = (run(args, load, server, name) for server in servers)
            rounds.append((two[0] / one[0], two[1] / one[1], two[2]))
            print(f"{name}: {one[0]:,.0f} and {two[0]:,.0f} per second; processor time for a million {one[1]:.2f} and "
                  f"{two[1]:.2f} s; the idler of two workers {two[2]:.2f} of the other", flush=True)
        rate, cost, idler = (statistics.median(r[i] for r in rounds) for i in (0, 1, 2))
        missed += [name] if rate < GATE or idler < STARVES else []
        print(f"{name}: two workers {rate:.2f} times the rate of one ({min(r[0] for r in rounds):.2f}-"
              f"{max(r[0] for r in rounds):.2f}), at {cost:.2f} times the processor time for each", flush=True)
    shutil.rmtree(folder)
    if missed:
        print(f"the gate is missed: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
