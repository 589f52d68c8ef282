#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What an idle TLS session costs in memory, of the server's process and of the kernel, by the number of sessions.

Usage: tests/bench/memory.py --xmppload DIR [--build DIR] [--sessions N,N,...] [--wait S] [--rounds N] [--plain]
       [--no-tls] [--keep FILE]

Each number of sessions has a server of its own that was just started, with one worker. The sessions have stream
management and carbons on (not with --plain), have fetched their roster and sent presence. Before the logins and S
seconds after the last one (30) are taken: PSS of the process; what the kernel's slabs hold (Slab in /proc/meminfo),
whose growth is halved, as the clients' ends of the connections are on this machine too; and that of the caches which
hold sockets and files (/proc/slabinfo, which only root may read), since other programs that come and go move the first.
Then a straight line through the growth of PSS: what is taken once, and for each session. Ends with 1 when one of 10,000
sessions or more takes more than 20 KiB, of the process and the kernel.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import DOMAIN  # noqa: E402
from servers import ROOT, check_build, source_of, workplace  # noqa: E402
from waiting import Waiting, wait_for_sessions  # noqa: E402

# Caches of what a connection has. Others that it uses are shared with everything else (kmalloc-*).
CACHES = {"TCP", "sock_inode_cache", "filp", "dentry", "eventpoll_epi", "eventpoll_pwq", "tw_sock_TCP",
          "request_sock_TCP"}


# What a session may take, when there are so many that what is taken once does not count.
GATE_KIB, GATE_SESSIONS = 20, 10000


def slab_kib():
    with open("/proc/meminfo") as info:
        return int(re.search(r"^Slab: +(\d+)", info.read(), re.M)[1])


def sockets_kib():
    """Of CACHES; None for who may not read it."""
    try:
        with open("/proc/slabinfo") as info:
            rows = [line.split() for line in info if line.split()[0] in CACHES]
    except OSError:
        return None
    return sum(int(r[1]) * int(r[3]) for r in rows) / 1024


def growth(after, before, count):
    return None if after is None else (after - before) / count / 2


def sample(args, load, server, count):
    """One server with so many sessions."""
    server.restore()
    server.start()
    time.sleep(2)
    pss, slab, sockets = server.pss_kib(), slab_kib(), sockets_kib()
    command = [load, "idle", "-p", str(server.port), "-d", DOMAIN, "--mech", server.mech, "-n", str(count), "--roster",
               "--hold", "3600", "--timeout", "120", "--quiet", *([] if args.plain else ["--sm", "--carbons"]),
               *([] if args.no_tls else ["--starttls"])]
    clients = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for_sessions(clients, server, count)
        time.sleep(args.wait)
        found = {"sessions": count, "before_kib": pss, "pss_kib": server.pss_kib(),
                 "slab_each_kib": growth(slab_kib(), slab, count),
                 "sockets_each_kib": growth(sockets_kib(), sockets, count)}
        if server.stats()["sessions"] != count:
            raise SystemExit(f"of {count} sessions {server.stats()['sessions']} are left")
    finally:
        clients.terminate()
        clients.wait()
        server.stop()
    found["pss_each_kib"] = (found["pss_kib"] - pss) / count
    return found


def fit(results):
    """By least squares: what is taken once and for each session, in KiB."""
    x, y = [r["sessions"] for r in results], [r["pss_kib"] - r["before_kib"] for r in results]
    slope, once = statistics.linear_regression(x, y)
    return once, slope


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xmppload", required=True)
    parser.add_argument("--build", default=os.path.join(ROOT, "build/run"))
    parser.add_argument("--sessions", default="1000,4000,10000")
    parser.add_argument("--wait", type=float, default=30, help="seconds between the last login and the measurement")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="without stream management and carbons")
    parser.add_argument("--no-tls", action="store_true")
    parser.add_argument("--port", type=int, default=26550)
    parser.add_argument("--keep", help="where to write the results as JSON")
    args = parser.parse_args()
    flags = check_build(args.build)
    counts = [int(n) for n in args.sessions.split(",")]
    folder, certs = workplace("memory")
    server = Waiting(os.path.join(folder, "comity"), args.port, certs, build=os.path.abspath(args.build))
    load = os.path.join(os.path.abspath(args.xmppload), "xmppload")
    server.start()
    server.register(load, "u", max(counts))
    server.stop()
    server.save()
    print(f"Comity {source_of(args.build)} ({flags}), {'no TLS' if args.no_tls else 'TLS'}"
          f"{'' if args.plain else ', stream management, carbons'}; KiB for each session, of the kernel one end\n\n"
          "| sessions | process before, MiB | with them | PSS each | kernel: slabs | of these sockets and files "
          "| PSS and slabs |\n"
          "|---|---|---|---|---|---|---|", flush=True)
    results = []
    for _ in range(args.rounds):
        for count in counts:
            r = sample(args, load, server, count)
            results.append(r)
            sockets = "-" if r["sockets_each_kib"] is None else f"{r['sockets_each_kib']:.1f}"
            print(f"| {count:,} | {r['before_kib'] / 1024:.1f} | {r['pss_kib'] / 1024:.1f} | {r['pss_each_kib']:.1f} | "
                  f"{r['slab_each_kib']:.1f} | {sockets} | {r['pss_each_kib'] + r['slab_each_kib']:.1f} |", flush=True)
            if args.keep:
                with open(args.keep, "w") as out:
                    json.dump(results, out, indent=1)
    if len(set(counts)) > 1:
        once, each = fit(results)
        print(f"\nprocess: {once / 1024:.1f} MiB once and {each:.2f} KiB for each session")
    shutil.rmtree(folder)
    over = [r for r in results if r["sessions"] >= GATE_SESSIONS and r["pss_each_kib"] + r["slab_each_kib"] > GATE_KIB]
    if over:
        print(f"the gate of {GATE_KIB} KiB for a session is missed")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
