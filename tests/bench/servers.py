# SPDX-License-Identifier: MIT
"""The servers that are compared: how each is configured, started, filled with accounts and stopped.

Each runs as the invoking user on loopback in a folder of its own, with its limits off and nothing logged for a
message. All offer STARTTLS with the same certificate and keep SCRAM-SHA-1 keys of 4,096 iterations, but jabberd2, which
keeps plain passwords."""
import atexit
import contextlib
import gzip
import json
import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

from client import DOMAIN

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
ITERATIONS = 4096


SANITIZERS = (b"__asan_init", b"__tsan_init", b"__ubsan_handle", b"__msan_init")


def compiler_flags(build):
    """Those of a build folder of Comity that decide how fast it is, as configure chose them."""
    with open(os.path.join(build, "config.status")) as source:
        text = source.read().replace('"\\\n"', "")
    flags = " ".join(re.findall(r'^S\["(?:comity_cflags|CFLAGS)"\]="(.*)"$', text, re.M)).split()
    return [f for f in flags if f.startswith(("-O", "-fsanitize=", "-flto", "-march=", "--coverage"))]


def check_build(build, is_any_allowed=False):
    """A build with sanitizers measures the sanitizers: it is refused. Returns the flags of the compiler."""
    program = os.path.join(build, "src/comityd/comityd")
    if not os.path.exists(program):
        raise SystemExit(f"{program} is missing: build first, or name a build folder with --build")
    with open(program, "rb") as source:
        text = source.read()
    if any(s in text for s in SANITIZERS) and not is_any_allowed:
        raise SystemExit(f"{build} is built with sanitizers; name one without by --build")
    try:
        flags = compiler_flags(build)
    except OSError:
        return "flags unknown"
    if next((f for f in reversed(flags) if f.startswith("-O")), "-O0") == "-O0":
        print(f"warning: {build} is built without optimisation", file=sys.stderr, flush=True)
    return " ".join(flags)


def source_of(build):
    """The commit of the sources that a build folder is made from, with -dirty when they were changed."""
    folder = ROOT
    with contextlib.suppress(OSError, TypeError):
        with open(os.path.join(build, "Makefile")) as source:
            folder = re.search(r"^abs_top_srcdir = (.*)$", source.read(), re.M)[1]
    with contextlib.suppress(OSError):
        done = subprocess.run(["git", "-C", folder, "describe", "--always", "--dirty"], capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip()
    return "of no known commit"


def version_of(package):
    """Of a package of Debian's."""
    with contextlib.suppress(OSError):
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip()
    return "of an unknown version"


def workplace(name):
    """A folder for servers and what they keep, and one in it with a certificate; with as many descriptors as allowed."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tempfile.mkdtemp(prefix=f"comity-{name}-")
    certs = os.path.join(folder, "certs")
    subprocess.run([os.path.join(ROOT, "tools/certs"), certs, DOMAIN], check=True, stdout=subprocess.DEVNULL)
    return folder, certs


def wait_port(port, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def wait_file(path, seconds=60):
    end = time.monotonic() + seconds
    while not os.path.exists(path):
        if time.monotonic() > end:
            raise SystemExit(f"{path} does not appear")
        time.sleep(0.01)


def neighbours(i, users, contacts):
    """Numbers of the contacts of user i, as the generator's scenario "presence" has them."""
    return [n % users for k in range(1, contacts // 2 + 1) for n in (i + k, i - k)]


def cpu_seconds(pids):
    """Of these processes and their children."""
    total, parents = 0, set(pids)
    for entry in sorted((int(e) for e in os.listdir("/proc") if e.isdigit())):
        with contextlib.suppress(OSError):
            with open(f"/proc/{entry}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            if entry in parents or int(fields[1]) in parents:
                parents.add(entry)
                total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


class Server:
    """A server of one kind on its own port; started anew for every measurement, with the data of its accounts as they
    were when save() was called."""
    name = "?"
    program = "?"
    package = None      # of Debian's
    is_ours = False
    mech = "SCRAM-SHA-1"
    has_sm = True
    stored = "data"     # below the folder: what holds the accounts
    cells = ("chat", "login", "presence", "offline", "idle")     # where it takes part
    breaks_off = ()     # labels of results that count though some sessions fail

    def __init__(self, folder, port, certs, build=None):
        self.folder, self.port, self.certs, self.build = folder, port, certs, build
        self.processes = []
        os.makedirs(folder)
        atexit.register(self.stop)

    @classmethod
    def installed(cls):
        return shutil.which(cls.program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

    def spawn(self, *command, **environment):
        with open(os.path.join(self.folder, "out.log"), "ab") as out:
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                                   cwd=self.folder, env={**os.environ, **environment}))

    def pids(self):
        return ",".join(str(p.pid) for p in self.processes)

    def cpu(self):
        return cpu_seconds([p.pid for p in self.processes])

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

    def save(self):
        """Keeps the stored data; the server is stopped."""
        source = os.path.join(self.folder, self.stored)
        if os.path.isdir(source):
            shutil.copytree(source, os.path.join(self.folder, "saved"), ignore=shutil.ignore_patterns("*.sock"))
        else:
            shutil.copy(source, os.path.join(self.folder, "saved"))

    def restore(self):
        source, target = os.path.join(self.folder, "saved"), os.path.join(self.folder, self.stored)
        if not os.path.exists(source):
            return
        if os.path.isdir(source):
            shutil.rmtree(target)
            shutil.copytree(source, target)
        else:
            for extra in ("-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(target + extra)
            shutil.copy(source, target)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as out:
            out.write(text)

    def register(self, load, prefix, users):
        """In-band, through the generator."""
        subprocess.run([load, "register", "-p", str(self.port), "-d", DOMAIN, "-n", str(users), "--user-prefix", prefix,
                        "--quiet", "--parallel", "20"], check=True, stdout=subprocess.DEVNULL)

    def befriend(self, load, prefix, users, contacts):
        """Gives each user the contacts that the generator's scenario "presence" has, by subscriptions."""
        subprocess.run([load, "roster-seed", "-p", str(self.port), "-d", DOMAIN, "-n", str(users), "--user-prefix",
                        prefix, "--contacts", str(contacts), "--mech", self.mech, "--quiet", "--timeout", "120"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class BadEnd(Exception):
    """Of a server that was to stop."""


class Comity(Server):
    name = "Comity"
    is_ours = True
    workers = 1
    options = ""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        os.mkdir(os.path.join(self.folder, "data"), 0o700)

    def start(self):
        ready = os.path.join(self.folder, "ready")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(ready)
        self.write("comity.conf", f"""
data_dir = "{self.folder}/data"
module_dir = "{self.build}/modules/.libs"
certificate_dir = "{self.certs}"
ready_file = "{ready}"
log_level = warning
listen = {{ "127.0.0.1" }}
c2s_port = {self.port}
c2s_tls_port = 0
s2s_port = 0
s2s_tls_port = 0
workers = {self.workers}
bytes_per_second = 0
stanzas_per_second = 0
connections_per_address = 1000000
scram_iterations = {ITERATIONS}
{self.options}
module offline {{ max_messages = 1000000  max_total = 10GiB }}
host {DOMAIN} {{ require_tls = no }}
""")
        self.spawn(f"{self.build}/src/comityd/comityd", "-c", f"{self.folder}/comity.conf")
        wait_file(ready)

    def stop(self):
        stopped = self.processes
        super().stop()
        codes = [p.returncode for p in stopped if p.returncode]
        if codes:
            with open(os.path.join(self.folder, "out.log"), errors="replace") as log:
                raise BadEnd(f"{self.name} ended with {codes[0]}: {log.read()[-2000:]}")

    def register(self, load, prefix, users):
        """Through the control socket."""
        for i in range(users):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(f"{self.folder}/data/control.sock")
                request = {"args": ["user", "add", f"{prefix}{i}@{DOMAIN}"], "input": "pw"}
                s.sendall(json.dumps(request).encode() + b"\n")
                if b'"ok":true' not in s.recv(65536):
                    raise SystemExit("comity: an account could not be made")


class ComityTwo(Comity):
    name = "Comity, two workers"
    workers = 2
    cells = ("chat", "presence")


class ComityPlain(Comity):
    """Whose sessions use neither stream management nor carbons: for servers that lack them."""
    name = "Comity, plain"
    has_sm = False
    cells = ("chat", "login", "presence", "idle")


class Prosody(Server):
    name = "Prosody"
    program = "prosody"
    package = "prosody"

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
    "private", "vcard_legacy", "version", "time", "lastactivity", "smacks", "carbons", "csi_simple", "blocklist" }}
modules_disabled = {{ "s2s", "limits" }}
allow_registration = true
authentication = "internal_hashed"
default_iteration_count = {ITERATIONS}
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

    def befriend(self, load, prefix, users, contacts):
        """Into its files; by subscriptions it takes many minutes, as each of them writes a whole roster anew."""
        os.makedirs(f"{self.folder}/data/{DOMAIN}/roster", exist_ok=True)
        for i in range(users):
            items = "".join(f'["{prefix}{j}@{DOMAIN}"] = {{ ["subscription"] = "both"; ["groups"] = {{}}; }};\n'
                            for j in neighbours(i, users, contacts))
            self.write(f"data/{DOMAIN}/roster/{prefix}{i}.dat",
                       f'return {{\n[false] = {{ ["version"] = 1; ["pending"] = {{}}; }};\n{items}}};\n')


class Ejabberd(Server):
    """Started without ejabberdctl, which would become another user and start a daemon for names. Its schedulers do not
    spin while they wait, or that would count as work."""
    name = "ejabberd"
    program = "ejabberdctl"
    package = "ejabberd"
    stored = "mnesia"
    task = "ok"         # done when it has started

    def start(self):
        pem = f"{self.folder}/server.pem"
        with open(pem, "w") as out:
            for part in ("crt", "key"):
                with open(f"{self.certs}/{DOMAIN}.{part}") as source:
                    out.write(source.read())
        self.write("ejabberd.yml", f"""
loglevel: error
log_rotate_count: 0
hosts: ["{DOMAIN}"]
certfiles: ["{pem}"]
listen:
  - port: {self.port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    max_stanza_size: 1048576
    starttls: true
    shaper: none
    backlog: 1000
auth_password_format: scram
auth_scram_hash: sha
registration_timeout: infinity
shaper_rules:
  max_user_offline_messages: infinity
  max_user_sessions: 1000
modules:
  mod_blocking: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_disco: {{}}
  mod_last: {{}}
  mod_offline:
    access_max_user_messages: max_user_offline_messages
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_register:
    ip_access: all
    welcome_message: {{}}
  mod_roster: {{}}
  mod_stream_mgmt: {{}}
  mod_vcard:
    search: false
  mod_version: {{}}
""")
        self.write("inetrc", '{lookup,["file","native"]}.\n{host,{127,0,0,1}, ["localhost"]}.\n'
                             '{file, resolv, "/etc/resolv.conf"}.\n')
        ready = f"{self.folder}/ready"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(ready)
        self.spawn("erl", "+K", "true", "+S", "2", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none", "+P",
                   "250000", "-noinput", "-mnesia", "dir", f'"{self.folder}/mnesia"', "-eval",
                   f'{{ok, _}} = application:ensure_all_started(ejabberd), {self.task}, '
                   f'file:write_file("{ready}", "").',
                   ERL_LIBS="/usr/lib/x86_64-linux-gnu", EJABBERD_CONFIG_PATH=f"{self.folder}/ejabberd.yml",
                   EJABBERD_LOG_PATH=f"{self.folder}/ejabberd.log", EJABBERD_PID_PATH=f"{self.folder}/pid",
                   ERL_INETRC=f"{self.folder}/inetrc", ERL_CRASH_DUMP=f"{self.folder}/crash", ERL_MAX_PORTS="32000",
                   HOME=self.folder)
        wait_file(ready)
        wait_port(self.port)

    def befriend(self, load, prefix, users, contacts):
        """Into its table, by a start that does just this."""
        self.stop()
        self.task = (f'S = <<"{DOMAIN}">>, '
                     f'N = fun(I) -> iolist_to_binary(["{prefix}", integer_to_list((I + {users}) rem {users})]) end, '
                     '[mnesia:dirty_write({roster, {N(I), S, {N(J), S, <<>>}}, {N(I), S}, '
                     '{N(J), S, <<>>}, <<>>, both, none, [], <<>>, []}) || '
                     f'I <- lists:seq(0, {users - 1}), K <- lists:seq(1, {contacts // 2}), J <- [I + K, I - K]]')
        self.start()
        self.task = "ok"


class Jabberd2(Server):
    name = "jabberd2"
    program = "jabberd2-c2s"
    package = "jabberd2"
    mech = "PLAIN"   # its accounts are plain text; SCRAM would make it hash at every login
    has_sm = False
    cells = ("chat", "login", "presence", "idle")
    # It confuses sessions whose sockets have the same number, one after another.
    breaks_off = ("warm-up", "login")
    stored = "sqlite.db"

    def config(self, part, *changes):
        with open(f"/etc/jabberd2/{part}.xml") as source:
            text = source.read()
        common = [(r"/var/run/jabberd2", self.folder), (r"/var/log/jabberd2", self.folder),
                  (r"<port>5347</port>", f"<port>{self.port + 1}</port>"),
                  (r"<ip>0\.0\.0\.0</ip>", "<ip>127.0.0.1</ip>"),
                  (r"<max_fds>1024</max_fds>", "<max_fds>60000</max_fds>"),
                  (r"localhost\.localdomain", DOMAIN), (r"/var/lib/jabberd2/fs", self.folder + "/fs"),
                  (r"<stanzas>1000</stanzas>", "<stanzas>0</stanzas>"),
                  (r"/var/lib/jabberd2/sqlite.db", f"{self.folder}/sqlite.db")]
        for old, new in [*common, *changes]:
            text = re.sub(old, new, text, flags=re.S)
        self.write(part + ".xml", text)

    @contextlib.contextmanager
    def database(self):
        path = f"{self.folder}/sqlite.db"
        is_new = not os.path.exists(path)
        with contextlib.closing(sqlite3.connect(path)) as database:
            if is_new:
                with gzip.open("/usr/share/doc/jabberd2/db-setup.sqlite.gz", "rt") as schema:
                    database.executescript(schema.read())
            yield database
            database.commit()

    def start(self):
        os.makedirs(f"{self.folder}/fs", exist_ok=True)
        pem = f"{self.folder}/server.pem"
        with open(pem, "w") as out:
            for part in ("crt", "key"):
                with open(f"{self.certs}/{DOMAIN}.{part}") as source:
                    out.write(source.read())
        with self.database():
            pass
        self.config("router")
        self.config("sm", (r"<id>vhost[12].localdomain</id>", ""))
        self.config("c2s", (r"<id register-enable='mu'>", f"<id register-enable='mu' pemfile='{pem}'>"),
                    (r"<port>5222</port>", f"<port>{self.port}</port>"))
        for part in ("router", "sm", "c2s"):
            self.spawn(f"/usr/sbin/jabberd2-{part}", "-c", f"{self.folder}/{part}.xml")
            time.sleep(0.5)
        wait_port(self.port)

    def register(self, load, prefix, users):
        with self.database() as database:
            for i in range(users):
                database.execute("INSERT INTO authreg VALUES (?, ?, 'pw')", (f"{prefix}{i}", DOMAIN))
                database.execute('INSERT INTO active ("collection-owner", "time") VALUES (?, 1)',
                                 (f"{prefix}{i}@{DOMAIN}",))

    def befriend(self, load, prefix, users, contacts):
        with self.database() as database:
            for i in range(users):
                for j in neighbours(i, users, contacts):
                    database.execute('INSERT INTO "roster-items" ("collection-owner", jid, "to", "from", ask) '
                                     'VALUES (?, ?, 1, 1, 0)', (f"{prefix}{i}@{DOMAIN}", f"{prefix}{j}@{DOMAIN}"))


KINDS = {"comity": Comity, "plain": ComityPlain, "comity2": ComityTwo, "prosody": Prosody, "ejabberd": Ejabberd,
         "jabberd2": Jabberd2}
