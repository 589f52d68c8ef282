#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Sessions that wait to be resumed: what they cost in memory, and how soon one is resumed after a restart.

Usage: tests/bench/waiting.py --xmppload DIR [--build DIR] [--accounts N] [--devices N]

Every account logs in from so many devices with stream management; the load generator is then killed, so that all
of them wait. After a restart (graceful, and after kill -9) the time from the start of the process to its readiness
and to the first <resumed/> is taken.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import DOMAIN, Client  # noqa: E402
from servers import ROOT, Comity, check_build, workplace  # noqa: E402


class Waiting(Comity):
    options = "resume_time = 1h\nmax_sessions_per_account = 100"

    def pss_kib(self):
        with open(f"/proc/{self.processes[0].pid}/smaps_rollup") as maps:
            return int(re.search(r"^Pss: +(\d+)", maps.read(), re.M)[1])

    def stats_command(self):
        return [f"{self.build}/src/comityctl/comityctl", "-s", f"{self.folder}/data/control.sock", "stats"]

    def stats(self):
        return figures(subprocess.run(self.stats_command(), capture_output=True, text=True, check=True).stdout)

    def kill(self):
        for p in self.processes:
            p.kill()
            p.wait()
        self.processes = []


def figures(text):
    """{name: value} of what `comityctl stats` prints."""
    return {line.split()[0]: int(line.split()[1]) for line in text.splitlines()
            if len(line.split()) > 1 and line.split()[1].isdigit()}


def wait_for_sessions(process, server, wanted):
    while server.stats()["sessions"] < wanted:
        if process.poll() is not None:
            raise SystemExit("the load generator ended")
        time.sleep(0.3)


def log_in(load, server, resource_name, count, wanted):
    p = subprocess.Popen([load, "idle", "-p", str(server.port), "-d", DOMAIN, "--mech", server.mech, "-n", str(count),
                          "--sm", "--hold", "600", "--resource", resource_name, "--quiet"], stdout=subprocess.DEVNULL)
    wait_for_sessions(p, server, wanted)
    time.sleep(2)
    return p


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xmppload", required=True)
    parser.add_argument("--build", default=os.path.join(ROOT, "build/run"))
    parser.add_argument("--accounts", type=int, default=2000)
    parser.add_argument("--devices", type=int, default=10)
    args = parser.parse_args()
    check_build(args.build)
    folder, certs = workplace("waiting")
    server = Waiting(os.path.join(folder, "comity"), 26500, certs, build=os.path.abspath(args.build))
    load = os.path.join(os.path.abspath(args.xmppload), "xmppload")
    total = args.accounts * args.devices
    server.start()
    server.register(load, "u", args.accounts)
    print(f"{args.accounts} accounts made", flush=True)
    empty = server.pss_kib()
    for device in range(args.devices):
        p = log_in(load, server, f"device{device}", args.accounts, (device + 1) * args.accounts)
        p.send_signal(signal.SIGKILL)
        p.wait()
    probe = Client(server.port)
    probe.log_in("u0")
    probe.bind()
    previd = probe.enable()
    time.sleep(12)  # unused memory goes back to the system every ten seconds
    waiting = server.pss_kib()
    print(f"{total} sessions wait: {(waiting - empty) / total:.2f} KiB each (process {waiting / 1024:.0f} MiB, "
          f"before {empty / 1024:.0f} MiB)", flush=True)
    for how, end in (("a graceful stop", server.stop), ("kill -9", server.kill)):
        end()
        size = sum(os.path.getsize(os.path.join(server.folder, "data/journal", f))
                   for f in os.listdir(f"{server.folder}/data/journal"))
        began = time.monotonic()
        server.start()
        ready = time.monotonic() - began
        client = Client(server.port)
        client.log_in("u0")
        client.resume(previd)
        resumed = time.monotonic() - began
        stats = server.stats()
        print(f"after {how}: journal {size / 1048576:.1f} MiB, ready after {ready * 1000:.0f} ms, first session resumed "
              f"after {resumed * 1000:.0f} ms, {stats['sessions_asleep']} sessions asleep, process "
              f"{server.pss_kib() / 1024:.0f} MiB", flush=True)
        client.sock.close()
    server.stop()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
