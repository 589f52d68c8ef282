# SPDX-License-Identifier: MIT
"""Servers under test on loopback: Comity from a build folder, and Prosody to prove the tests themselves."""
import contextlib
import fcntl
import glob
import itertools
import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time

from .checks import Failure, context

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
SANITIZER = re.compile(r"ERROR: AddressSanitizer|runtime error:|WARNING: ThreadSanitizer|LeakSanitizer"
                       r"|UndefinedBehaviorSanitizer|Assertion .* failed")
START_TIMEOUT = 30.0
STOP_TIMEOUT = 20.0   # the daemon promises 5; sanitizers need longer to look for leaks


def shared_folder():
    """The folder of this run: certificates and port locks that all test processes share."""
    path = os.environ.get("COMITY_TEST_TMP") or os.path.join(tempfile.gettempdir(), f"comity-test-{os.getuid()}")
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def certificates(*domains):
    """A folder with ca.crt and, for each domain, DOMAIN.crt and DOMAIN.key; made once per run."""
    folder = os.path.join(shared_folder(), "certs")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [d for d in domains if not os.path.exists(os.path.join(folder, f"{d}.crt"))]
        if missing:
            done = subprocess.run([os.path.join(ROOT, "tools/certs"), folder, *missing],
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL)
            if done.returncode:
                raise Failure(f"tools/certs failed: {done.stderr}")
    return folder


_held = {}


def free_port():
    """A port that nobody listens on, held for this process by a lock file."""
    folder = os.path.join(shared_folder(), "ports")
    os.makedirs(folder, exist_ok=True)
    while True:
        port = random.SystemRandom().randrange(18000, 32000)
        if port in _held:
            continue
        lock = open(os.path.join(folder, str(port)), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _held[port] = lock
        return port


def route_to(domain, port, **more):
    """A block of the configuration: where a server of this machine is."""
    lines = "".join(f"\t{k} = {v}\n" for k, v in more.items())
    return f"route {domain} {{\n\thost = 127.0.0.1\n\tport = {port}\n{lines}}}\n"


class Account:
    """A local user made for a test."""

    def __init__(self, server, jid, password):
        self.server, self.jid, self.password = server, jid, password
        self.user, _, self.domain = jid.rpartition("@")

    def __str__(self):
        return self.jid


class Server:
    """What both kinds share: a folder, ports, a process and its log."""

    kind = None
    address = "127.0.0.1"
    _counter = itertools.count(1)

    def __init__(self, domains=("localhost",), folder=None):
        self.domains = list(domains)
        self.domain = self.domains[0]
        self.folder = folder or tempfile.mkdtemp(prefix=f"{self.kind}-", dir=shared_folder())
        self.certs = certificates(*self.domains)
        self.ca = os.path.join(self.certs, "ca.crt")
        self.c2s, self.c2s_tls, self.s2s, self.s2s_tls = free_port(), free_port(), free_port(), free_port()
        self.log_path = os.path.join(self.folder, "log")
        self.log_mark = 0
        self.process = None
        self.expected_exit = (0,)
        context.servers.append(self)

    # Process

    def spawn(self, argv, env=None):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.folder, env=os.environ | (env or {}))

    def wait_for(self, condition, what, timeout=START_TIMEOUT):
        """Waits until condition() is true; fails when the process ends before or time runs out."""
        end = time.monotonic() + timeout
        while not condition():
            if self.process and self.process.poll() is not None:
                raise Failure(f"{self.kind} ended with {self.process.returncode} before {what}:\n{self.log_tail()}")
            if time.monotonic() > end:
                raise Failure(f"{self.kind}: no {what} within {timeout} s:\n{self.log_tail()}")
            time.sleep(0.02)

    def accepts(self, port):
        try:
            socket.create_connection((self.address, port), 1).close()
            return True
        except OSError:
            return False

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """A graceful stop, which must end in time, with exit code 0 and without sanitizer reports."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.terminate()
        try:
            code = process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failure(f"{self.kind} did not stop within {STOP_TIMEOUT} s:\n{self.log_tail()}") from None
        self.check_log()
        if code not in self.expected_exit:
            raise Failure(f"{self.kind} ended with exit code {code}:\n{self.log_tail()}")

    def kill(self):
        """kill -9, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self, hard=False):
        self.kill() if hard else self.stop()
        self.start()

    def remove(self):
        """Stops whatever runs and deletes the folder."""
        try:
            self.stop()
        finally:
            self.kill()
            shutil.rmtree(self.folder, ignore_errors=True)

    # Log

    def log(self):
        with contextlib.suppress(FileNotFoundError), open(self.log_path, errors="backslashreplace") as log:
            return log.read()
        return ""

    def log_tail(self, lines=40):
        return "\n".join("    | " + line for line in self.log().splitlines()[-lines:])

    def check_log(self):
        """Fails when a sanitizer has reported something since the last call."""
        log = self.log()
        fresh, self.log_mark = log[self.log_mark:], len(log)
        found = SANITIZER.search(fresh)
        if found:
            raise Failure(f"sanitizer report:\n{fresh[max(0, found.start() - 200):found.start() + 6000]}")

    # Accounts

    def add_user(self, user, password, domain):
        raise NotImplementedError

    def account(self, user="user", password=None, domain=None):
        """A new account whose name starts with `user`, unlike all others of this run."""
        return self.named_account(f"{user}-{next(self._counter)}", password, domain)

    def accounts(self, *users):
        return [self.account(user) for user in users]

    def named_account(self, user, password=None, domain=None):
        domain, password = domain or self.domain, password or secrets.token_urlsafe(9)
        self.add_user(user, password, domain)
        return Account(self, f"{user}@{domain}", password)


def value(v):
    """A Python value as comity.conf wants it."""
    if isinstance(v, bool):
        return "yes" if v else "no"
    if isinstance(v, (list, tuple)):
        return "{ " + ", ".join(value(x) for x in v) + " }"
    return str(v) if isinstance(v, int) else v if re.fullmatch(r"[A-Za-z0-9_.-]+", v) else json.dumps(v)


class Comity(Server):
    """comityd of the build folder that COMITY_BUILD names.

    options: top-level options, over the defaults below; None removes one.
    hosts: {domain: body of its block}; the domains with an empty body if not given.
    text: configuration added at the end as it is."""

    kind = "comity"

    def __init__(self, options=None, hosts=None, text="", domains=("localhost",), folder=None):
        self.build = os.path.abspath(os.environ.get("COMITY_BUILD", "."))
        self.comityd = self.program("comityd")
        self.comityctl_path = self.program("comityctl")
        super().__init__(list(hosts) if hosts else domains, folder)
        self.options, self.hosts, self.text = options or {}, hosts or {d: "" for d in domains}, text
        self.config = os.path.join(self.folder, "comity.conf")
        self.control = os.path.join(self.folder, "control.sock")
        self.ready_file = os.path.join(self.folder, "ready")

    def program(self, name):
        for place in (name, f"src/{name}/{name}"):
            path = os.path.join(self.build, place)
            if os.path.exists(path):
                return path
        raise Failure(f"no {name} in {self.build}; set COMITY_BUILD to a build folder")

    def module_dir(self):
        found = glob.glob(os.path.join(self.build, "**/.libs/mod_*.so"), recursive=True)
        return os.path.dirname(found[0]) if found else os.path.join(self.build, ".libs")

    def default_options(self):
        return {
            "data_dir": os.path.join(self.folder, "data"),
            "module_dir": self.module_dir(),
            "control_socket": self.control,
            "log_level": "debug",
            "log_to": "stderr",
            "workers": 2,
            "listen": [self.address],
            "c2s_port": self.c2s,
            "c2s_tls_port": self.c2s_tls,
            "s2s_port": self.s2s,
            "s2s_tls_port": self.s2s_tls,
            "s2s_ca_file": self.ca,
            "ready_file": self.ready_file,
            "ca_file": self.ca,
            "certificate_dir": self.certs,
        }

    def config_text(self):
        options = {k: v for k, v in (self.default_options() | self.options).items() if v is not None}
        lines = [f"{key} = {value(v)}" for key, v in options.items()]
        lines += [f"host {domain} {{\n{body}\n}}" for domain, body in self.hosts.items()]
        return "\n".join(lines) + f"\n{self.text}\n"

    def write_config(self):
        os.makedirs(os.path.join(self.folder, "data"), mode=0o700, exist_ok=True)
        with open(self.config, "w") as out:
            out.write(self.config_text())

    def start(self, config=True):
        """Starts and waits until it accepts connections; config=False keeps the file as it is."""
        if config:
            self.write_config()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.ready_file)
        self.spawn([self.comityd, "-c", self.config], self.daemon_environment())
        self.wait_for(lambda: os.path.exists(self.ready_file), "ready file")
        return self

    @staticmethod
    def environment():
        common = "exitcode=99:abort_on_error=0:handle_abort=1"
        return {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", common + ":detect_leaks=1"),
                "UBSAN_OPTIONS": os.environ.get("UBSAN_OPTIONS", "print_stacktrace=1:" + common),
                "TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS", "halt_on_error=1:exitcode=99")}

    def daemon_environment(self):
        """That of the server alone; environment() is also that of comityctl."""
        return self.environment()

    def run_daemon(self, *arguments, timeout=20):
        """Runs comityd with other arguments to its end; returns (exit code, all output)."""
        self.write_config() if not os.path.exists(self.config) else None
        done = subprocess.run([self.comityd, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout, cwd=self.folder,
                              env=os.environ | self.environment())
        return done.returncode, done.stdout

    def stored_messages(self, jid):
        """How many messages are kept on disk for an address, looked up in the database itself."""
        path = os.path.join(self.folder, "data", "comity.sqlite")
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as database:
            return database.execute("SELECT count(*) FROM archive WHERE owner = ?", (str(jid),)).fetchone()[0]

    def check_database(self):
        """What the server has left on disk is sound."""
        path = os.path.join(self.folder, "data", "comity.sqlite")
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as database:
            found = [row[0] for row in database.execute("PRAGMA integrity_check")]
        if found != ["ok"]:
            raise Failure(f"the database is damaged: {found[:5]}")

    def ctl(self, *arguments, stdin="", ok=True, timeout=20):
        """Runs comityctl against this server; returns its output, or (code, output) when ok is False."""
        done = subprocess.run([self.comityctl_path, "-s", self.control, *arguments], input=stdin, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
                              env=os.environ | self.environment())
        if not ok:
            return done.returncode, done.stdout
        if done.returncode:
            raise Failure(f"comityctl {' '.join(arguments)} ended with {done.returncode}: {done.stdout}")
        return done.stdout

    def reload(self):
        return self.ctl("reload")

    def add_user(self, user, password, domain):
        self.ctl("user", "add", f"{user}@{domain}", "--stdin", stdin=password + "\n")


class Prosody(Server):
    """Debian's Prosody with a configuration of its own, to try the tests on a server known to work."""

    kind = "prosody"
    MODULES = ("roster saslauth tls disco private blocklist vcard_legacy vcard4 pep version uptime time ping "
               "register offline lastactivity limits smacks carbons presence message iq c2s posix").split()

    def __init__(self, options=None, hosts=None, text="", domains=("localhost",), folder=None):
        del options, text  # they speak of Comity
        super().__init__(list(hosts) if hosts else domains, folder)
        self.expected_exit = (0, -signal.SIGTERM)

    def config_text(self):
        modules = ";".join(f'"{m}"' for m in self.MODULES)
        hosts = "\n".join(f'VirtualHost "{d}"\n ssl = {{ key = "{self.certs}/{d}.key"; certificate = '
                          f'"{self.certs}/{d}.crt" }}' for d in self.domains)
        first = self.domains[0]
        return f"""
run_as_root = true
prosodyctl_service_warnings = false
pidfile = "{self.folder}/pid"
data_path = "{self.folder}/data"
modules_enabled = {{ {modules} }}
modules_disabled = {{ "s2s" }}
allow_registration = false
c2s_require_encryption = true
authentication = "internal_plain"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.c2s} }}
c2s_direct_tls_ports = {{ {self.c2s_tls} }}
c2s_direct_tls_ssl = {{ key = "{self.certs}/{first}.key"; certificate = "{self.certs}/{first}.crt" }}
s2s_ports = {{ }}
ssl = {{ key = "{self.certs}/{first}.key"; certificate = "{self.certs}/{first}.crt" }}
log = {{ {{ levels = {{ min = "debug" }}, to = "console" }} }}
{hosts}
"""

    def start(self, config=True):
        del config
        os.makedirs(os.path.join(self.folder, "data"), exist_ok=True)
        path = os.path.join(self.folder, "prosody.cfg.lua")
        with open(path, "w") as out:
            out.write(self.config_text())
        self.spawn(["prosody", "-F", "--config", path])
        self.wait_for(lambda: self.accepts(self.c2s) and self.accepts(self.c2s_tls), "open port")
        return self

    def add_user(self, user, password, domain):
        encode = re.sub(r"[^A-Za-z0-9]", lambda m: "%%%02x" % ord(m.group()), domain)
        name = re.sub(r"[^A-Za-z0-9]", lambda m: "%%%02x" % ord(m.group()), user)
        folder = os.path.join(self.folder, "data", encode, "accounts")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name + ".dat"), "w") as out:
            quoted = password.replace("\\", "\\\\").replace('"', '\\"')
            out.write(f'return {{ ["password"] = "{quoted}" }};\n')


def make_server(**args):
    """The server that COMITY_TEST_SERVER names: comity (the default) or prosody."""
    return {"comity": Comity, "prosody": Prosody}[os.environ.get("COMITY_TEST_SERVER", "comity")](**args)
