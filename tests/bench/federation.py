#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures federation: chat between two servers of one kind, and one server with very many remote domains.

Usage: tests/bench/federation.py --xmppload DIR [--build DIR] [--rounds N] [--seconds N] [--users N]
       tests/bench/federation.py --domains N [--variants NAME,...] [--build DIR] [--links N] [--queue-total SIZE]

The first form runs two Comity servers and two Prosody servers in turn in the network of tests/interop, which
has a name server and an authority of its own (so it needs what those tests need: root or user namespaces,
nsd, certtool), under the load of `xmppload s2s`: users of the one server write to users of the other, both
ways, over TLS on all connections. It counts the processor time of both servers.

The second form lets one server send a message to each of N domains and follows its memory and its open
files: to a server that has them all (up), to a port where nothing listens (refused), and to an address that
never answers (silent)."""
import argparse
import json
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
sys.path[:0] = [os.path.join(ROOT, "tests/interop"), os.path.join(ROOT, "tests/protocol")]

from federation.bed import bed  # noqa: E402
from federation.comity import Comity  # noqa: E402
from federation.names import records  # noqa: E402
from federation.peers import C2S, S2S, Prosody  # noqa: E402
from harness import Client, Skip  # noqa: E402
from harness import Comity as Local  # noqa: E402

# Nothing here is to be a limit.
UNLIMITED = {"workers": 1, "log_level": "warning", "bytes_per_second": 0, "stanzas_per_second": 0,
             "connections_per_address": 1000000, "s2s_bytes_per_second": 0, "s2s_stanzas_per_second": 0}


# ---- two servers ----

class ComityPair(Comity):
    """One worker; acknowledged, one stream for each direction."""

    label, more = "comity", {}

    def __init__(self, here, side):
        super().__init__(here, f"{side}.comity.example", "external", UNLIMITED | self.more, name=f"comity-{side}")

    def join(self, other, users):
        self.text = f"route {other.domain} {{\n\thost = {other.host.address}\n\tport = {S2S}\n}}"
        self.start()
        for i in range(users):
            tell(self.control, "user", "add", f"u{i}@{self.domain}", stdin="pw")


class ComityBidi(ComityPair):
    """Without acknowledgement, one stream for both directions (XEP-0288)."""

    label, more = "comity, bidi", {"s2s_resume_time": "0s"}


class ProsodyPair(Prosody):
    """With few modules and no debug log; no acknowledgement between servers."""

    label = "prosody"
    MODULES = ("roster saslauth tls dialback disco private vcard_legacy version time ping offline presence message iq "
               "c2s s2s s2s_auth_certs posix").split()
    level = "warn"

    def __init__(self, here, side):
        self.kind = f"prosody-{side}"
        super().__init__(here, f"{side}.prosody.example", "external")

    def join(self, other, users):
        del other   # by the name server
        folder = f"data/{self.domain.replace('.', '%2e')}/accounts"
        for i in range(users):
            self.write(f"{folder}/u{i}.dat", 'return { ["password"] = "pw" };\n')
        self.start()


class ProsodyAcked(ProsodyPair):
    """With the modules that Debian's configuration has, which acknowledge as Comity does."""

    label = "prosody, smacks"
    MODULES = Prosody.MODULES


KINDS = (ComityPair, ComityBidi, ProsodyPair, ProsodyAcked)


def tell(control, *words, stdin=""):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(control)
        s.sendall(json.dumps({"args": words, "input": stdin}).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            part = s.recv(65536)
            if not part:
                break
            answer += part
    answer = json.loads(answer)
    if not answer.get("ok"):
        raise SystemExit(f"{' '.join(words)}: {answer}")
    return answer


def measure(here, kind, window, args, profile=None):
    """One run of fresh servers; returns what xmppload says."""
    a, b = kind(here, "a"), kind(here, "b")
    out = os.path.join(here.folder, "result.json")
    if os.path.exists(out):
        os.unlink(out)
    try:
        a.join(b, args.users)
        b.join(a, args.users)
        pids = ",".join(str(p.pid) for s in (a, b) for p in s.processes)
        command = [os.path.join(os.path.abspath(args.xmppload), "xmppload"), "s2s", "--host", a.host.address, "-p",
                   str(C2S), "-d", a.domain, "--host2", b.host.address, "--port2", str(C2S), "--domain2", b.domain,
                   "-n", str(2 * args.users), "--window", str(window), "--duration", str(args.seconds), "--starttls",
                   "--parallel", "10", "--server-pid", pids, "--json", out, "--quiet"]
        recorder = None
        if profile:
            recorder = subprocess.Popen(["perf", "record", "-q", "-g", "-o", profile, "-p", pids],
                                        stdin=subprocess.DEVNULL)
        done = here.network.hosts["load"].popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                                stdin=subprocess.DEVNULL, text=True)
        said = done.communicate()[0]
        if recorder:
            recorder.terminate()
            recorder.wait()
        if not os.path.exists(out):
            raise SystemExit(f"{kind.label}: {said[-600:]}\n{a.log_tail()}\n{b.log_tail()}")
        with open(out) as source:
            return json.loads(source.read().splitlines()[-1])
    finally:
        a.kill()
        b.kill()


def compare(args):
    here = bed()
    here.network.host("load")
    kinds = [k for k in KINDS if not args.only or k.label in args.only.split(",")]
    windows = [int(w) for w in args.windows.split(",")]
    for kind in kinds:   # the hosts keep their numbers
        for side in "ab":
            server = kind(here, side)
            here.names.set(server.domain, records(server.domain, server.number, S2S, None))
    here.names.publish()
    results = {}
    for number in range(args.rounds):
        for window in windows:
            for kind in kinds:
                r = measure(here, kind, window, args, args.profile)
                results.setdefault((kind, window), []).append(r)
                print(f"round {number + 1}, {window} in flight, {kind.label}: {r['msgs_per_s']:,.0f} per second, "
                      f"{1e6 / r['server_cpu_s_per_million']:,.0f} per server-CPU-second, lost {r['lost']}, "
                      f"reordered {r['reordered']}", flush=True)
    report(results, kinds, windows)


def report(results, kinds, windows):
    ours = [k for k in kinds if issubclass(k, Comity)]
    theirs = [k for k in kinds if k not in ours]

    def median(kind, window, get):
        return statistics.median(get(r) for r in results[kind, window])

    ratios = [f"{o.label} to {t.label}" for o in ours for t in theirs]
    print("\n| deliveries | " + " | ".join([k.label for k in kinds] + ratios) + " |")
    print("|---" * (1 + len(kinds) + len(ratios)) + "|")
    for title, get in (("per server-CPU-second", lambda r: 1e6 / r["server_cpu_s_per_million"]),
                       ("per second", lambda r: r["msgs_per_s"])):
        for window in windows:
            cells = [f"{median(k, window, get):,.0f}" for k in kinds]
            cells += [f"{median(o, window, get) / median(t, window, get):.1f}" for o in ours for t in theirs]
            print(f"| {window} in flight, {title} | " + " | ".join(cells) + " |")


# ---- many domains ----

class Watch:
    """Memory (PSS, MiB) and open files of a process, with their peaks."""

    def __init__(self, pid):
        self.pid, self.peak, self.files_peak, self.over = pid, 0.0, 0, False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def memory(self):
        with open(f"/proc/{self.pid}/smaps_rollup") as source:
            kib = next(int(line.split()[1]) for line in source if line.startswith("Pss:"))
        self.peak = max(self.peak, kib / 1024)
        return kib / 1024

    def files(self):
        count = len(os.listdir(f"/proc/{self.pid}/fd"))
        self.files_peak = max(self.files_peak, count)
        return count

    def cpu(self):
        with open(f"/proc/{self.pid}/stat") as source:
            fields = source.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _run(self):
        while not self.over:
            self.memory()
            self.files()
            time.sleep(0.1)

    def end(self):
        self.over = True
        self.thread.join()


def silent_port():
    """A listener whose queue is full: the kernel drops further requests without an answer."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    filler = []
    for _ in range(4):
        filler.append(socket.socket())
        filler[-1].setblocking(False)
        filler[-1].connect_ex(listener.getsockname())
    return listener.getsockname()[1], [listener, *filler]


def many_hosts(args):
    """A server that has all the domains, with one certificate for them all."""
    server = Local(options=UNLIMITED | {"log_level": "error", "s2s_bidi": False, "s2s_negotiate_timeout": "3m"},
                   domains=("many.test",))
    certificate = "".join(f"\t{key} = \"{server.certs}/many.test.{end}\"\n"
                          for key, end in (("certificate", "crt"), ("certificate_key", "key")))
    server.hosts = {f"d{i}.many.test": certificate for i in range(args.domains)}
    return server


def counters(server):
    """How many stanzas were written to other servers, and how many were returned."""
    stats = json.loads(server.ctl("--json", "stats"))
    found = re.findall(r'"s2s_(stanzas_out|bounced)"[^0-9]*([0-9]+)', json.dumps(stats))
    values = {name: int(number) for name, number in found}
    return values["stanzas_out"], values["bounced"]


def run_variant(name, args):
    """Before, at the peak and afterwards; prints one row of the table."""
    kept, other = [], None
    if name == "up":
        other = many_hosts(args)
        other.write_config()
        other.spawn([other.comityd, "-c", other.config])
        other.wait_for(lambda: os.path.exists(other.ready_file), "ready file", 300)
        port = other.s2s
    elif name == "refused":
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
    else:
        port, kept = silent_port()
    options = UNLIMITED | {"log_level": "error", "s2s_idle_timeout": "20s", "s2s_connect_timeout": "5s",
                           "s2s_reach_timeout": "10s", "s2s_queue_age": "20s", "s2s_resume_time": args.resume,
               "s2s_links_per_user": args.domains}   # one user writes to all of them
    options |= {k: v for k, v in (("s2s_links", args.links), ("s2s_queue_total", args.queue_total)) if v}
    if name == "up":   # ten thousand handshakes at once, and the other server needs as long for its side
        options |= {"s2s_queue_age": "3m", "s2s_negotiate_timeout": "3m"}
    server = Local(options=options, domains=("a.test",), text=(
        f"route \"*.many.test\" {{\n\thost = 127.0.0.1\n\tport = {port}\n\tsecurity = opportunistic\n}}"))
    server.start()
    client = Client.login(server.account("sender"), "bench", presence=True)
    time.sleep(1)
    watch = Watch(server.process.pid)
    before, files_before, cpu = watch.memory(), watch.files(), watch.cpu()
    began = time.monotonic()
    body = "x" * args.body
    for i in range(args.domains):
        client.send(f"<message type='headline' to='u@d{i}.many.test' id='m{i}'><body>{body}</body></message>")
        while client.pump(0):   # who does not read is cut off
            client.inbox.clear()
    settled = wait_settled(server, client, args.domains)
    took = time.monotonic() - began
    sent, bounced = counters(server)
    read_for(client, 1)
    full, files_full, used = watch.memory(), watch.files(), watch.cpu() - cpu
    read_for(client, 35 if name == "up" else 12)   # what is idle is closed, what was freed is given back
    after, files_after = watch.memory(), watch.files()
    watch.end()
    print(f"| {name} | {sent:,} | {bounced:,} | {before:.1f} | {watch.peak:.1f} | {full:.1f} | {after:.1f} | "
          f"{files_before} | {watch.files_peak} | {files_after} | {took:.1f} | {used:.1f} |"
          f"{'' if settled else ' NOT SETTLED'}", flush=True)
    client.abort()
    for one in (server, other):
        if one:
            one.remove()
    del kept


def read_for(client, seconds):
    """Takes what comes and lets it go."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        client.pump(min(left, 0.2))
        client.inbox.clear()


def wait_settled(server, client, count, seconds=90):
    """Until each message has been written to a stream or returned."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if sum(counters(server)) >= count:
            return True
        read_for(client, 0.3)
    return False


def many_domains(args):
    print(f"{args.domains} domains, one message of {args.body} bytes to each")
    print("| domains are | sent | returned | MiB before | peak | all done | later | open files before | peak | later "
          "| seconds | CPU s |")
    print("|---" * 12 + "|")
    for name in args.variants.split(","):
        run_variant(name, args)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--xmppload", help="folder of the load generator")
    parser.add_argument("--build", default=os.path.join(ROOT, "build/run"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--users", type=int, default=100, help="of each server")
    parser.add_argument("--windows", default="1,8", help="messages in flight for each user")
    parser.add_argument("--only", help="of " + ", ".join(f'"{k.label}"' for k in KINDS))
    parser.add_argument("--profile", help="where perf is to record the servers")
    parser.add_argument("--domains", type=int)
    parser.add_argument("--variants", default="up,refused,silent")
    parser.add_argument("--links", type=int, help="s2s_links; the default of the server if not given")
    parser.add_argument("--queue-total", help="s2s_queue_total, the same")
    parser.add_argument("--resume", default="5m", help="s2s_resume_time")
    parser.add_argument("--body", type=int, default=1000, help="size of the messages to the domains")
    args = parser.parse_args()
    os.environ["COMITY_BUILD"] = os.path.abspath(args.build)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if not args.domains and not args.xmppload:
        parser.error("--xmppload or --domains is needed")
    try:
        many_domains(args) if args.domains else compare(args)
    except Skip as skip:
        raise SystemExit(f"not possible here: {skip}") from None


if __name__ == "__main__":
    main()
