#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Sessions that wait to be resumed: what they cost in memory, and how soon one is resumed after a restart.

Usage: tests/bench/waiting.py --xmppload DIR [--build DIR] [--accounts N] [--devices N]

Every account logs in from so many devices with stream management; the load generator is then killed, so that all
of them wait. After a restart (graceful, and after kill -9) the time from the start of the process to its readiness
and to the first <resumed/> is taken.
"""
import argparse
import base64
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from compare import DOMAIN, ROOT, Comity, wait_file  # noqa: E402

HEADER = (f"<stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' "
          "xmlns:stream='http://etherx.jabber.org/streams'>")


class Waiting(Comity):
    def start(self):
        began = time.monotonic()
        super().start()
        return time.monotonic() - began

    def write(self, name, text):
        if name == "comity.conf":
            text = text.replace(f"host {DOMAIN} {{", "resume_time = 1h\nmax_sessions_per_account = 100\n"
                                f"scram_iterations = 4096\nhost {DOMAIN} {{")
            text = text.replace("require_tls = no", "require_tls = no")
        super().write(name, text)

    def pss_kib(self):
        with open(f"/proc/{self.processes[0].pid}/smaps_rollup") as maps:
            return int(re.search(r"^Pss: +(\d+)", maps.read(), re.M)[1])

    def stats(self):
        text = subprocess.run([f"{self.build}/src/comityctl/comityctl", "-s", f"{self.folder}/data/control.sock",
                               "stats"], capture_output=True, text=True, check=True).stdout
        return {line.split()[0]: int(line.split()[1]) for line in text.splitlines()
                if len(line.split()) > 1 and line.split()[1].isdigit()}

    def kill(self):
        for p in self.processes:
            p.kill()
            p.wait()
        self.processes = []


class Client:
    def __init__(self, server):
        self.sock = socket.create_connection(("127.0.0.1", server.port), 10)
        self.text = ""

    def say(self, text, wanted):
        self.sock.sendall(text.encode())
        self.text = ""
        while wanted not in self.text:
            piece = self.sock.recv(65536)
            if not piece:
                raise SystemExit(f"the server closed the stream before {wanted}: {self.text}")
            self.text += piece.decode()
        return self.text

    def log_in(self, user):
        """SCRAM-SHA-1 by the book; the connection is without TLS."""
        import hashlib
        import hmac
        nonce = base64.b64encode(os.urandom(12)).decode()
        first = f"n={user},r={nonce}"
        self.say(HEADER, "</stream:features>")
        answer = self.say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>"
                          + base64.b64encode(f"n,,{first}".encode()).decode() + "</auth>", "</challenge>")
        challenge = base64.b64decode(re.search(r"<challenge[^>]*>([^<]*)", answer)[1]).decode()
        fields = dict(part.split("=", 1) for part in challenge.split(","))
        final = f"c=biws,r={fields['r']}"
        salted = hashlib.pbkdf2_hmac("sha1", b"pw", base64.b64decode(fields["s"]), int(fields["i"]))
        key = hmac.digest(salted, b"Client Key", "sha1")
        signature = hmac.digest(hashlib.sha1(key).digest(), f"{first},{challenge},{final}".encode(), "sha1")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
        self.say("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
                 + base64.b64encode(f"{final},p={proof}".encode()).decode() + "</response>", "</success>")
        self.say(HEADER, "</stream:features>")

    def enable(self):
        self.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>probe</resource>"
                 "</bind></iq>", "</iq>")
        return re.search(r"id='([0-9a-f]+)'", self.say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>", "<enabled"))[1]

    def resume(self, previd):
        self.say(f"<resume xmlns='urn:xmpp:sm:3' previd='{previd}' h='0'/>", "<resumed")


def wait_for_sessions(load, server, resource_name, count, wanted):
    p = subprocess.Popen([load, "idle", "-p", str(server.port), "-d", DOMAIN, "--mech", server.mech, "-n", str(count),
                          "--sm", "--hold", "600", "--resource", resource_name, "--quiet"], stdout=subprocess.DEVNULL)
    while server.stats()["sessions"] < wanted:
        if p.poll() is not None:
            raise SystemExit("the load generator ended")
        time.sleep(0.3)
    time.sleep(2)
    return p


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xmppload", required=True)
    parser.add_argument("--build", default=os.path.join(ROOT, "build/run"))
    parser.add_argument("--accounts", type=int, default=2000)
    parser.add_argument("--devices", type=int, default=10)
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tempfile.mkdtemp(prefix="comity-waiting-")
    certs = os.path.join(folder, "certs")
    subprocess.run([os.path.join(ROOT, "tools/certs"), certs, DOMAIN], check=True, stdout=subprocess.DEVNULL)
    server = Waiting(os.path.join(folder, "comity"), 26500, args.accounts, certs, build=os.path.abspath(args.build))
    load = os.path.join(os.path.abspath(args.xmppload), "xmppload")
    total = args.accounts * args.devices
    server.start()
    server.register(load)
    print(f"{args.accounts} accounts made", flush=True)
    empty = server.pss_kib()
    for device in range(args.devices):
        p = wait_for_sessions(load, server, f"device{device}", args.accounts, (device + 1) * args.accounts)
        p.send_signal(signal.SIGKILL)
        p.wait()
    probe = Client(server)
    probe.log_in("u0")
    previd = probe.enable()
    time.sleep(12)  # unused memory goes back to the system every ten seconds
    waiting = server.pss_kib()
    print(f"{total} sessions wait: {(waiting - empty) / total:.2f} KiB each (process {waiting / 1024:.0f} MiB, "
          f"before {empty / 1024:.0f} MiB)", flush=True)
    for how, end in (("a graceful stop", server.stop), ("kill -9", server.kill)):
        end()
        os.unlink(f"{server.folder}/ready") if os.path.exists(f"{server.folder}/ready") else None
        size = sum(os.path.getsize(os.path.join(server.folder, "data/journal", f))
                   for f in os.listdir(f"{server.folder}/data/journal"))
        began = time.monotonic()
        server.start()
        ready = time.monotonic() - began
        client = Client(server)
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
