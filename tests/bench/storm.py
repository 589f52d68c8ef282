#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A storm of logins: many clients connect at once, with full TLS, while others who are there go on chatting.

Usage: tests/bench/storm.py --xmppload DIR [--build DIR] [--logins N] [--only NAME,...] [--keep FILE]

First the chat alone, for its latency and processor time; then the same with all logins at once. What the server
takes more is the logins'. Time is that from the first connection until the last client is online.
"""
import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import DOMAIN  # noqa: E402
from servers import KINDS, ROOT  # noqa: E402

CHATTERS, RATE, ALONE_S = 100, 500, 8


class Storm:
    def __init__(self, load, server, logins):
        self.load, self.server, self.logins = load, server, logins

    def spawn(self, out, scenario, *options):
        return subprocess.Popen([self.load, scenario, "-p", str(self.server.port), "-d", DOMAIN, "--mech",
                                 self.server.mech, "--starttls", "--json", out, "--quiet", *options],
                                stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)

    def chat(self, seconds):
        return self.spawn(self.path("chat"), "chat", "-n", str(CHATTERS), "--user-prefix", "p", "--rate", str(RATE),
                          "--duration", str(seconds), "--drain", "20")

    def path(self, name):
        return os.path.join(self.server.folder, name + ".json")

    def result(self, name):
        with open(self.path(name)) as source:
            text = source.read().splitlines()[-1]
        os.unlink(self.path(name))
        return json.loads(text)

    def alone(self):
        """Seconds of processor time for each second of the chat, and its p99."""
        chat = self.chat(ALONE_S)
        time.sleep(3)
        before, began = self.server.cpu(), time.monotonic()
        time.sleep(ALONE_S - 4)
        cpu, took = self.server.cpu() - before, time.monotonic() - began
        chat.wait()
        return cpu / took, self.result("chat")["latency_ms"]["p99"]

    def run(self):
        share, p99_alone = self.alone()
        chat = self.chat(self.logins / 100 + 20)
        time.sleep(4)
        before, began = self.server.cpu(), time.monotonic()
        storm = self.spawn(self.path("storm"), "idle", "-n", str(self.logins), "--parallel", str(self.logins),
                           "--hold", "0", "--timeout", "300", "--sm", "--carbons")
        failed = storm.wait()
        cpu, took = self.server.cpu() - before, time.monotonic() - began
        chat.wait()
        with_storm, storm = self.result("chat"), self.result("storm")
        online = storm.get("sessions", 0)
        return {"server": self.server.name, "logins": online, "failed": self.logins - online, "exit": failed,
                "seconds": took, "login_cpu_ms": 1000 * (cpu - share * took) / max(online, 1),
                "chat_p99_ms": with_storm["latency_ms"]["p99"], "chat_max_ms": with_storm["latency_ms"]["max"],
                "chat_p99_alone_ms": p99_alone}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xmppload", required=True)
    parser.add_argument("--build", default=os.path.join(ROOT, "build/run"))
    parser.add_argument("--logins", type=int, default=10000)
    parser.add_argument("--port", type=int, default=26800)
    parser.add_argument("--only", default="comity,prosody,ejabberd")
    parser.add_argument("--keep", help="where to write the results as JSON")
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    load = os.path.join(os.path.abspath(args.xmppload), "xmppload")
    folder = tempfile.mkdtemp(prefix="comity-storm-")
    certs = os.path.join(folder, "certs")
    subprocess.run([os.path.join(ROOT, "tools/certs"), certs, DOMAIN], check=True, stdout=subprocess.DEVNULL)
    results = []
    for i, key in enumerate(args.only.split(",")):
        server = KINDS[key](os.path.join(folder, key), args.port + 10 * i, certs, build=os.path.abspath(args.build))
        server.start()
        server.register(load, "u", args.logins)
        server.register(load, "p", CHATTERS)
        server.stop()
        server.save()
        server.restore()
        server.start()
        results.append(Storm(load, server, args.logins).run())
        server.stop()
        print(json.dumps(results[-1]), flush=True)
    if args.keep:
        with open(args.keep, "w") as out:
            json.dump(results, out, indent=1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
