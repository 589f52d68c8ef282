#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How many system calls the server makes for each message that it delivers and for each login, by perf, which only root
may run.

Usage: tests/bench/calls.py --xmppload DIR [--build DIR] [--seconds N]

Taken while clients with TLS, stream management and carbons chat and nobody logs in or out, and while they do nothing but
log in and out, eight at a time. A `sendto` carries one TLS record or more.
"""
import argparse
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import DOMAIN  # noqa: E402
from servers import ROOT, check_build, source_of, workplace  # noqa: E402
from waiting import Waiting, figures, wait_for_sessions  # noqa: E402

# What each is called, its users, how it is made, and the figure that says how many there were. Logins come first: chats
# that are broken off leave messages.
LOADS = (("logins", 200, ["churn", "--parallel", "8"], "connections_closed"),
         ("one in flight", 1000, ["chat", "--window", "1"], "stanzas_out"),
         ("eight in flight", 100, ["chat", "--window", "8"], "stanzas_out"),
         ("2,000 a second", 100, ["chat", "--rate", "2000"], "stanzas_out"))
EVENT = "syscalls:sys_enter_"
FEWEST = 0.01       # for a message: what is called less often is not shown


def count(server, seconds):
    """{call: how often}, and the figures of the server for the same time."""
    look = " ".join(server.stats_command())
    # perf takes its time to begin and to end.
    done = subprocess.run(["perf", "stat", "-x", ",", "-e", EVENT + "*,context-switches", "-p", server.pids(), "--", "sh",
                           "-c", f"{look}; echo; sleep {seconds}; {look}"], capture_output=True, text=True, check=True)
    before, after = (figures(text) for text in done.stdout.split("\n\n"))
    fields = (line.split(",") for line in done.stderr.splitlines())
    calls = {f[2].removeprefix(EVENT): int(f[0]) for f in fields if len(f) > 2 and f[0].isdigit()}
    return calls, {name: after[name] - before[name] for name in ("stanzas_out", "connections_closed", "bytes_out")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xmppload", required=True)
    parser.add_argument("--build", default=os.path.join(ROOT, "build/run"))
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--port", type=int, default=26650)
    args = parser.parse_args()
    print(f"Comity {source_of(args.build)} ({check_build(args.build)}), one worker\n")
    folder, certs = workplace("calls")
    server = Waiting(os.path.join(folder, "comity"), args.port, certs, build=os.path.abspath(args.build))
    load = os.path.join(os.path.abspath(args.xmppload), "xmppload")
    server.start()
    server.register(load, "u", max(users for _, users, _, _ in LOADS))
    for name, users, how, counted in LOADS:
        clients = subprocess.Popen([load, how[0], "-n", str(users), "-p", str(server.port), "-d", DOMAIN, "--mech",
                                    server.mech, "--starttls", "--sm", "--carbons", "--quiet", "--duration", "600",
                                    *how[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if how[0] == "chat":
            wait_for_sessions(clients, server, users)
        time.sleep(3)
        calls, moved = count(server, args.seconds)
        clients.terminate()
        clients.wait()
        server.stop()
        server.start()
        number = moved[counted]
        each = sorted(((n / number, call) for call, n in calls.items()), reverse=True)
        print(f"{name}: {number:,}, {moved['bytes_out'] / calls['sendto']:.0f} bytes in a sendto; for each: " +
              ", ".join(f"{call} {n:.2f}" for n, call in each if n >= FEWEST), flush=True)
    server.stop()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
