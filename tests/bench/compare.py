#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs Comity, Prosody and jabberd2 under the same loads, in turn, and prints a table with ratios.

Usage: tests/bench/compare.py --xmppload DIR [--build DIR] [--rounds N] [--quick] [--only NAME,...]

xmppload is the load generator (a folder with xmppload in it, built). Prosody and jabberd2 come from
Debian's packages and run as the invoking user on loopback in folders of their own, with their limits off.
"""
import argparse
import atexit
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
DOMAIN = "localhost"


def wait_port(port, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def wait_file(path, seconds=30):
    end = time.monotonic() + seconds
    while not os.path.exists(path):
        if time.monotonic() > end:
            raise SystemExit(f"{path} does not appear")
        time.sleep(0.05)


class Server:
    """A server of one kind on its own port; started anew for every measurement."""
    name = "?"
    mech = "SCRAM-SHA-1"

    def __init__(self, folder, port, users, certs):
        self.folder, self.port, self.users, self.certs = folder, port, users, certs
        self.processes = []
        os.makedirs(folder)
        atexit.register(self.stop)

    def spawn(self, *command):
        out = open(os.path.join(self.folder, "out.log"), "ab")
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                               cwd=self.folder))

    def pids(self):
        return ",".join(str(p.pid) for p in self.processes)

    def stop(self):
        for p in reversed(self.processes):
            p.send_signal(signal.SIGTERM)
        for p in self.processes:
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.processes = []

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as out:
            out.write(text)

    def register(self, load):
        """In-band, through the generator."""
        subprocess.run([load, "register", "-p", str(self.port), "-d", DOMAIN, "-n", str(self.users), "--quiet",
                        "--parallel", "20"], check=True, stdout=subprocess.DEVNULL)


class Comity(Server):
    name = "comity"
    workers = 1

    def __init__(self, *args, build):
        super().__init__(*args)
        self.build = build
        os.mkdir(os.path.join(self.folder, "data"), 0o700)

    def start(self):
        self.write("comity.conf", f"""
data_dir = "{self.folder}/data"
module_dir = "{self.build}/modules/.libs"
certificate_dir = "{self.certs}"
ready_file = "{self.folder}/ready"
log_level = warning
listen = {{ "127.0.0.1" }}
c2s_port = {self.port}
c2s_tls_port = 0
workers = {self.workers}
bytes_per_second = 0
stanzas_per_second = 0
connections_per_address = 1000000
host {DOMAIN} {{ require_tls = no }}
""")
        self.spawn(f"{self.build}/src/comityd/comityd", "-c", f"{self.folder}/comity.conf")
        wait_file(f"{self.folder}/ready")

    def register(self, load):
        for i in range(self.users):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(f"{self.folder}/data/control.sock")
                s.sendall(json.dumps({"args": ["user", "add", f"u{i}@{DOMAIN}"], "input": "pw"}).encode() + b"\n")
                if b'"ok":true' not in s.recv(65536):
                    raise SystemExit("comity: an account could not be made")


class ComityTwo(Comity):
    name = "comity, two workers"
    workers = 2


class Prosody(Server):
    name = "prosody"

    def start(self):
        self.write("prosody.cfg.lua", f"""
run_as_root = true
daemonize = false
pidfile = "{self.folder}/prosody.pid"
data_path = "{self.folder}/data"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.port} }}
s2s_ports = {{ }} http_ports = {{ }} https_ports = {{ }}
modules_enabled = {{ "roster", "saslauth", "tls", "disco", "presence", "message", "iq", "offline", "ping", "register",
    "private", "vcard_legacy", "version", "uptime", "time" }}
modules_disabled = {{ "s2s", "limits" }}
allow_registration = true
authentication = "internal_hashed"
storage = "internal"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
ssl = {{ certificate = "{self.certs}/{DOMAIN}.crt"; key = "{self.certs}/{DOMAIN}.key"; }}
log = {{ error = "{self.folder}/error.log" }}
VirtualHost "{DOMAIN}"
""")
        os.makedirs(os.path.join(self.folder, "data"), exist_ok=True)
        self.spawn("prosody", "-F", "--config", f"{self.folder}/prosody.cfg.lua")
        wait_port(self.port)


class Jabberd2(Server):
    name = "jabberd2"
    mech = "PLAIN"   # its accounts are plain text; SCRAM would make it hash at every login

    def config(self, part, *changes):
        with open(f"/etc/jabberd2/{part}.xml") as source:
            text = source.read()
        common = [(r"/var/run/jabberd2", self.folder), (r"/var/log/jabberd2", self.folder),
                  (r"<port>5347</port>", f"<port>{self.port + 1}</port>"),
                  (r"<ip>0\.0\.0\.0</ip>", "<ip>127.0.0.1</ip>"),
                  (r"<max_fds>1024</max_fds>", "<max_fds>60000</max_fds>"),
                  (r"localhost\.localdomain", DOMAIN), (r"/var/lib/jabberd2/fs", self.folder + "/fs"),
                  (r"<stanzas>1000</stanzas>", "<stanzas>0</stanzas>")]
        for old, new in [*common, *changes]:
            text = re.sub(old, new, text, flags=re.S)
        self.write(part + ".xml", text)

    def start(self):
        os.makedirs(f"{self.folder}/fs", exist_ok=True)
        pem = f"{self.folder}/server.pem"
        with open(pem, "w") as out:
            for part in ("crt", "key"):
                with open(f"{self.certs}/{DOMAIN}.{part}") as source:
                    out.write(source.read())
        self.config("router")
        database = (r"/var/lib/jabberd2/sqlite.db", f"{self.folder}/sqlite.db")
        self.config("sm", database, (r"<id>vhost[12].localdomain</id>", ""))
        self.config("c2s", database, (r"<id register-enable='mu'>", f"<id register-enable='mu' pemfile='{pem}'>"),
                    (r"<port>5222</port>", f"<port>{self.port}</port>"))
        if not os.path.exists(f"{self.folder}/sqlite.db"):
            schema = "/usr/share/doc/jabberd2/examples/db-setup.sqlite.gz"
            schema = schema if os.path.exists(schema) else schema.replace("/examples", "")
            if not os.path.exists(schema):
                schema = subprocess.run(["sh", "-c", "dpkg -L jabberd2 | grep db-setup.sqlite"], text=True,
                                        capture_output=True).stdout.split()[0]
            text = subprocess.run(["zcat", "-f", schema], capture_output=True, check=True).stdout
            subprocess.run(["sqlite3", f"{self.folder}/sqlite.db"], input=text, check=True)
        for part in ("router", "sm", "c2s"):
            self.spawn(f"/usr/sbin/jabberd2-{part}", "-c", f"{self.folder}/{part}.xml")
            time.sleep(0.5)
        wait_port(self.port)


class Bench:
    def __init__(self, load, rounds):
        self.load, self.rounds = load, rounds
        self.results = {}

    def run(self, server, scenario, label, *options):
        out = os.path.join(server.folder, "result.json")
        if os.path.exists(out):
            os.unlink(out)
        command = [self.load, scenario, "-p", str(server.port), "-d", DOMAIN, "--mech", server.mech, "--server-pid",
                   server.pids(), "--json", out, "--quiet", *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if not os.path.exists(out):
            print(f"  {server.name}: {label}: {done.stdout.strip()[-300:]}", flush=True)
            return
        with open(out) as source:
            result = json.loads(source.read().splitlines()[-1])
        self.results.setdefault((label, server.name), []).append(result)

    def figure(self, label, name, get):
        values = []
        for r in self.results.get((label, name), []):
            try:
                values.append(get(r))
            except (KeyError, ZeroDivisionError, TypeError):
                pass
        return statistics.median(values) if values else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xmppload", required=True)
    parser.add_argument("--build", default=os.path.join(ROOT, "build/run"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--only", default="comity,comity2,prosody,jabberd2")
    parser.add_argument("--what", default="chat,login,idle")
    parser.add_argument("--keep", help="where to write all results as JSON")
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tempfile.mkdtemp(prefix="comity-bench-")
    certs = os.path.join(folder, "certs")
    subprocess.run([os.path.join(ROOT, "tools/certs"), certs, DOMAIN], check=True, stdout=subprocess.DEVNULL)
    load = os.path.join(os.path.abspath(args.xmppload), "xmppload")
    build = os.path.abspath(args.build)
    servers, only, what = [], args.only.split(","), args.what.split(",")
    port = 26000
    for key, kind, extra in (("comity", Comity, {"build": build}), ("comity2", ComityTwo, {"build": build}),
                             ("prosody", Prosody, {}), ("jabberd2", Jabberd2, {})):
        if key in only:
            servers.append(kind(os.path.join(folder, key), port, args.users, certs, **extra))
            port += 10
    bench = Bench(load, args.rounds)
    seconds = str(args.seconds)
    for s in servers:
        print(f"making accounts: {s.name}", flush=True)
        s.start()
        s.register(load)
        s.stop()
    for number in range(args.rounds):
        for s in servers:
            print(f"round {number + 1}: {s.name}", flush=True)
            n = str(min(args.users, 200))
            if "chat" in what or "login" in what:
                s.start()
            if "chat" in what:
                bench.run(s, "chat", "chat", "-n", n, "--window", "1", "--duration", seconds, "--starttls")
                bench.run(s, "chat", "chat8", "-n", str(min(args.users, 100)), "--window", "8", "--duration",
                          seconds, "--starttls")
            if "login" in what:
                bench.run(s, "churn", "login", "-n", n, "--parallel", "8", "--duration", seconds)
                bench.run(s, "churn", "login tls", "-n", n, "--parallel", "8", "--duration", seconds, "--starttls")
            s.stop()
            # Long enough for what sessions free when they are idle.
            for label, options in (("idle", []), ("idle tls", ["--starttls"])) if "idle" in what else ():
                s.start()
                bench.run(s, "idle", label, "-n", str(args.users), "--hold", "25", "--roster", *options)
                s.stop()
    if args.keep:
        with open(args.keep, "w") as out:
            json.dump([{"label": k[0], "server": k[1], "results": v} for k, v in bench.results.items()], out, indent=1)
    report(bench, [s.name for s in servers])
    shutil.rmtree(folder)


ROWS = (
    ("chat, one in flight: deliveries per server-CPU-second", "chat", lambda r: 1e6 / r["server_cpu_s_per_million"]),
    ("chat, eight in flight: deliveries per server-CPU-second", "chat8", lambda r: 1e6 / r["server_cpu_s_per_million"]),
    ("chat, one in flight: deliveries per second", "chat", lambda r: r["msgs_per_s"]),
    ("chat, eight in flight: deliveries per second", "chat8", lambda r: r["msgs_per_s"]),
    ("login: server CPU ms", "login", lambda r: 1000 * r["server_cpu_s"] / r["sessions"]),
    ("login over TLS: server CPU ms", "login tls", lambda r: 1000 * r["server_cpu_s"] / r["sessions"]),
    ("logins per second", "login", lambda r: r["sessions_per_s"]),
    ("logins over TLS per second", "login tls", lambda r: r["sessions_per_s"]),
    ("memory per idle session, KiB (PSS)", "idle", lambda r: r["pss_per_session_kib"]),
    ("memory per idle TLS session, KiB (PSS)", "idle tls", lambda r: r["pss_per_session_kib"]),
)


def report(bench, names):
    print("\n| | " + " | ".join(names) + " | ratio to " + ", ".join(names[1:]) + " |")
    print("|---" * (len(names) + 2) + "|")
    for title, label, get in ROWS:
        values = [bench.figure(label, n, get) for n in names]
        cells = ["-" if v is None else f"{v:,.0f}" if v >= 100 else f"{v:.2f}" for v in values]
        ratios = [f"{values[0] / v:.2f}" if v and values[0] else "-" for v in values[1:]]
        print(f"| {title} | " + " | ".join(cells) + " | " + ", ".join(ratios) + " |")


if __name__ == "__main__":
    main()
