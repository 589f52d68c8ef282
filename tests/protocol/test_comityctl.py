# SPDX-License-Identifier: MIT
"""comityctl: what it says, shows, asks and returns, against comityd and against a server of the test's own."""
import contextlib
import json
import os
import pty
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import termios
import threading
import time

from harness import Client, Skip, cases, check, dedicated, equal

OK, REFUSED, USAGE, UNREACHED = range(4)


class Fake:
    """Listens as comityd does, answers every request with the same bytes and keeps what was asked."""

    def __init__(self, server, answer):
        self.path = os.path.join(server.folder, "fake.sock")
        self.answer = answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n"
        self.requests = []

    def __enter__(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(5)
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with connection, connection.makefile("rb") as lines:
                    self.requests.append(json.loads(lines.readline()))
                    connection.sendall(self.answer)


def _run(server, *arguments, stdin="", path=None):
    """(exit code, standard output, standard error); without a terminal."""
    done = subprocess.run([server.comityctl_path, "-s", path or server.control, *arguments], input=stdin.encode(),
                          capture_output=True, timeout=20, start_new_session=True,
                          env=os.environ | server.environment())
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def _ask(server, answer, *arguments, stdin=""):
    with Fake(server, answer) as fake:
        code, out, err = _run(server, *arguments, stdin=stdin, path=fake.path)
    return code, out, err, fake.requests


# How answers are shown

TABLE = {"ok": True, "columns": ["jid", "is_on", "priority"],
         "rows": [["juliet@example.org/\u732b", True, 5], ["a@b/\u001b[31m\u0085", False, None], ["r@c", "x", -10]]}


def table_is_aligned(server):
    code, out, err, _ = _ask(server, TABLE, "session", "list")
    equal((code, err), (OK, ""))
    equal(out, "JID                    IS ON  PRIORITY\n"
               "juliet@example.org/\u732b  yes           5\n"
               "a@b/\\x1b[31m\\xc2\\x85   no            -\n"
               "r@c                    x           -10\n")


def json_has_objects(server):
    code, out, err, _ = _ask(server, TABLE, "--json", "session", "list")
    equal((code, err), (OK, ""))
    equal(json.loads(out)[2], {"jid": "r@c", "is_on": "x", "priority": -10})


@cases([("text", [], "none\n"), ("json", ["--json"], "[]\n")])
def empty_table_says_so(server, _name, options, wanted):
    equal(_ask(server, {"ok": True, "columns": ["a"], "rows": []}, *options, "host", "list")[:3], (OK, wanted, ""))


def sentence_is_shown(server):
    equal(_ask(server, {"ok": True, "text": "took over"}, "reload")[:3], (OK, "took over\n", ""))
    code, out, _, _ = _ask(server, {"ok": True, "text": "took over"}, "reload", "--json")
    equal((code, json.loads(out)), (OK, {"ok": True, "text": "took over"}))


def refusal_is_told(server):
    answer = {"ok": False, "error": "there is no user x@y", "code": 1}
    equal(_ask(server, answer, "user", "show", "x@y")[:3], (REFUSED, "", "comityctl: there is no user x@y\n"))
    code, out, _, _ = _ask(server, answer, "--json", "user", "show", "x@y")
    equal((code, json.loads(out)), (REFUSED, answer))


# What is asked

def arguments_are_sent_whole(server):
    equal(_ask(server, {"ok": True}, "user", "show", "x@y")[3], [{"args": ["user", "show", "x@y"]}])
    equal(_ask(server, {"ok": True}, "session", "kick", "--", "x@y/-a b")[3], [{"args": ["session", "kick", "x@y/-a b"]}])


def backup_gets_a_full_path(server):
    asked = _ask(server, {"ok": True}, "backup", "here.sqlite")[3]
    equal(asked, [{"args": ["backup", os.path.join(os.getcwd(), "here.sqlite")]}])


@cases([("user add", "add"), ("user password", "password")])
def password_from_stdin(server, _name, word):
    asked = _ask(server, {"ok": True}, "user", word, "x@y", "--stdin", stdin="p\u00e4ss word\r\nmore\n")[3]
    equal(asked, [{"args": ["user", word, "x@y"], "input": "p\u00e4ss word"}])


@cases([("nothing", "", "no password"), ("empty", "\n", "empty"), ("long", "x" * 1024 + "\n", "longer than 1023")])
def bad_password_is_not_sent(server, _name, text, wanted):
    code, _, err, asked = _ask(server, {"ok": True}, "user", "add", "x@y", "--stdin", stdin=text)
    equal((code, asked), (USAGE, []))
    check(wanted in err, err)


def _type(server, path, *answers):
    """comityctl user add at a terminal of its own: (exit code, what it wrote, whether echo is on again)."""
    pid, fd = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests that run in the background ignore it
        os.execve(server.comityctl_path, ["comityctl", "-s", path, "user", "add", "x@y"],
                  os.environ | server.environment())
    seen = b""
    for answer in answers:
        end, mark = time.monotonic() + 10, len(seen)
        while not seen[mark:].endswith(b": ") and time.monotonic() < end:
            if select.select([fd], [], [], 0.1)[0]:
                seen += os.read(fd, 4096)
        os.write(fd, answer)
    with contextlib.suppress(OSError):
        while piece := os.read(fd, 4096):
            seen += piece
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    is_echoing = bool(termios.tcgetattr(fd)[3] & termios.ECHO)
    os.close(fd)
    return code, seen.decode(), is_echoing


def password_at_a_terminal(server):
    with Fake(server, {"ok": True, "text": "added x@y"}) as fake:
        code, seen, is_echoing = _type(server, fake.path, b"s3cret\n", b"s3cret\n")
    equal((code, fake.requests), (OK, [{"args": ["user", "add", "x@y"], "input": "s3cret"}]))
    check("s3cret" not in seen and "added x@y" in seen, seen)
    check(is_echoing, "the terminal does not echo afterwards")


def different_passwords_at_a_terminal(server):
    with Fake(server, {"ok": True}) as fake:
        code, seen, _ = _type(server, fake.path, b"s3cret\n", b"secret\n")
    equal((code, fake.requests), (USAGE, []))
    check("differ" in seen, seen)


def interrupt_at_a_terminal(server):
    code, seen, is_echoing = _type(server, server.control, b"s3c\x03")
    equal(code, -2, "ended by")
    check("s3c" not in seen and is_echoing, f"echo {is_echoing}: {seen}")


def no_terminal_says_stdin(server):
    code, _, err = _run(server, "user", "add", "x@y")
    equal(code, USAGE)
    check("--stdin" in err, err)


# Mistakes

@cases([("no command", [], "Commands:"), ("near", ["usr", "list"], 'did you mean "user list"'),
        ("near second", ["user", "lst"], 'did you mean "user list"'), ("half", ["session"], "session kick FULL-JID"),
        ("far", ["xyzzyplugh"], "comityctl help"), ("few", ["user", "add"], "usage: comityctl user add JID"),
        ("many", ["stats", "x"], "usage: comityctl stats"), ("option", ["--nope"], "comityctl help"),
        ("stdin", ["stats", "--stdin"], "password"), ("shell", ["--completion", "tcsh"], "bash, zsh and fish")])
def misuse_is_explained(server, _name, arguments, wanted):
    code, out, err = _run(server, *arguments)
    equal((code, out), (USAGE, ""))
    check(wanted in err, err)


def help_and_version(server):
    for arguments, wanted in [(["help"], "backup FILE"), (["--help"], "--socket"), (["--version"], "comityctl "),
                              (["help", "user"], "user show JID"), (["help", "log", "level"], "log level [LEVEL]")]:
        code, out, err = _run(server, *arguments)
        equal((code, err), (OK, ""))
        check(wanted in out, out)


def unreached_server(server):
    missing = os.path.join(server.folder, "missing.sock")
    code, _, err = _run(server, "stats", path=missing)
    equal(code, UNREACHED)
    check(missing in err and "is it running?" in err, err)
    check("longer than" in _run(server, "stats", path="/x" * 100)[2], "no word on the length of the path")


@cases([("silence", b"", "without an answer"), ("no JSON", b"hello\n", "does not answer as comityd does"),
        ("another JSON", b"[1]\n", "does not answer as comityd does")])
def strange_answers(server, _name, answer, wanted):
    code, _, err, _ = _ask(server, answer, "stats")
    equal(code, UNREACHED)
    check(wanted in err, err)


# Completion

def _complete(server, line):
    """What bash would offer at the end of the line."""
    script = """source <("$CTL" --completion bash); COMP_WORDBREAKS=$' \\t\\n"\\'@><=;|&(:'
comityctl() { "$CTL" "$@"; }
COMP_LINE=$1 COMP_POINT=${#1}; _comityctl; printf '%s\\n' "${COMPREPLY[@]}\""""
    done = subprocess.run(["bash", "-c", script, "bash", line], capture_output=True, text=True, timeout=20,
                          env=os.environ | server.environment() |
                          {"CTL": server.comityctl_path, "COMITY_SOCKET": server.control})
    return done.stdout.split()


@cases([("us", ["user"]), ("", "user session host module modules stats reload backup log s2s why help".split()),
        ("session ", ["list", "kick"]), ("log level w", ["warning"]), ("help user s", ["show"]), ("stats ", []),
        ("--js", ["--json"]), ("--json module l", ["list"]), ("--completion f", ["fish"])], lambda row: row[0] or "all")
def completion_offers(server, typed, wanted):
    equal(_complete(server, f"comityctl {typed}"), wanted)


def completion_asks_the_server(server):
    account = server.account("kate")
    equal(_complete(server, f"comityctl user show {account.user}"), [account.jid])
    equal(_complete(server, f"comityctl user show {account.jid}"), [account.domain])
    equal(_complete(server, f"comityctl user list {server.domain[:2]}"), [server.domain])


@cases(["bash", "zsh", "fish"])
def completion_scripts_parse(server, shell):
    script = _run(server, "--completion", shell)[1]
    check("--candidates" in script, script)
    if not shutil.which(shell):
        raise Skip(f"no {shell} here")
    done = subprocess.run([shell, "-n", "/dev/stdin"], input=script, capture_output=True, text=True)
    equal((done.returncode, done.stderr), (0, ""))


# With comityd

def users(server):
    account = server.account("juliet")
    rows = json.loads(server.ctl("--json", "user", "list"))
    check({"jid": account.jid} in rows, rows)
    check(account.jid in server.ctl("user", "list", server.domain), "not in the list of its host")
    shown = json.loads(server.ctl("--json", "user", "show", account.jid))[0]
    equal((shown["jid"], shown["sessions"]), (account.jid, 0))
    check("SCRAM-SHA-256" in shown["keys"], shown)
    code, out = server.ctl("user", "add", account.jid, "--stdin", stdin="other\n", ok=False)
    equal(code, REFUSED)
    check("exists" in out, out)
    server.ctl("user", "password", account.jid, "--stdin", stdin="changed\n")
    account.password = "changed"
    Client.login(account).close()
    server.ctl("user", "remove", account.jid)
    equal(server.ctl("user", "show", account.jid, ok=False), (REFUSED, f"comityctl: there is no user {account.jid}\n"))


@dedicated()
def all_of_very_many_users_are_listed(server):
    names = [f"user{n:06}@{server.domain}" for n in range(100_001)]
    server.stop()
    with contextlib.closing(sqlite3.connect(os.path.join(server.folder, "data", "comity.sqlite"))) as database:
        database.executemany("INSERT INTO map VALUES (?, 'account', 'created', '0')", ((name,) for name in names))
        database.commit()
    server.start()
    check(server.ctl("user", "list").split()[1:] == names, "not all of them, or in another order")


@cases([("no address", "juliet", "is not an address"), ("foreign", "x@elsewhere.example", "not served"),
        ("full", "x@localhost/y", "is not an address")])
def bad_users_are_refused(server, _name, jid, wanted):
    code, out = server.ctl("user", "add", jid, "--stdin", stdin="x\n", ok=False)
    equal(code, REFUSED)
    check(wanted in out, out)


def sessions(server):
    account = server.account("juliet")
    client = Client.login(account)
    rows = json.loads(server.ctl("--json", "session", "list", account.jid))
    equal([row["jid"] for row in rows], [client.jid])
    check(rows[0]["tls"].startswith("TLS"), rows)
    check(client.jid in server.ctl("session", "list"), "not in the list of all")
    server.ctl("session", "kick", client.jid)
    client.expect_stream_error("policy-violation")
    equal(json.loads(server.ctl("--json", "session", "list", account.jid)), [])
    equal(server.ctl("session", "kick", client.jid, ok=False)[0], REFUSED)


def overviews(server):
    hosts = json.loads(server.ctl("--json", "host", "list"))
    equal([h["host"] for h in hosts], [server.domain])
    check(hosts[0]["certificate_days_left"] > 0, hosts)
    modules = json.loads(server.ctl("--json", "module", "list"))
    equal(len(modules), hosts[0]["modules"])
    equal(json.loads(server.ctl("--json", "modules", server.domain)), modules)
    figures = {row["name"]: row["value"] for row in json.loads(server.ctl("--json", "stats"))}
    equal(figures["workers"], 2)
    check(figures["uptime_seconds"] < 3600, figures)


def log_levels(server):
    before = server.ctl("log", "level").strip()
    server.ctl("log", "level", "error")
    equal(server.ctl("log", "level"), "error\n")
    equal(server.ctl("log", "level", "loud", ok=False)[0], REFUSED)
    server.ctl("log", "level", before)


@dedicated()
def reload_keeps_a_sound_configuration(server):
    server.ctl("reload")
    with open(server.config, "a") as out:
        out.write("max_dept = 4\n")
    code, out = server.ctl("reload", ok=False)
    equal(code, REFUSED)
    check("max_dept" in out and "max_depth" in out, out)


def backup_while_running(server):
    server.account("juliet")
    path = os.path.join(server.folder, "copy.sqlite")
    server.ctl("backup", path)
    with open(path, "rb") as copy:
        equal(copy.read(15), b"SQLite format 3")
    code, out = server.ctl("backup", path, ok=False)
    equal(code, REFUSED)
    check("exists" in out, out)


def server_knows_every_command(server):
    """The daemon's table has the same rows as comityctl's: with too many arguments it says just that."""
    rows = [line.split("  ")[1].split() for line in _run(server, "help")[1].split("\n\n")[1].splitlines()[1:]]
    commands = [[word for word in row if word.islower()] for row in rows if row[0] != "help"]
    check(["user", "add"] in commands and ["stats"] in commands and len(commands) > 10, commands)
    for words in commands:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(server.control)
            control.sendall(json.dumps({"args": words + ["x"] * (5 - len(words))}).encode() + b"\n")
            answer = json.loads(control.makefile().readline())
        equal((answer["ok"], answer["error"]), (False, "wrong number of arguments"), " ".join(words))


def slow_request_holds_up_nobody(server):
    """The server answers others though a client on its socket sends a byte now and then."""
    stop = threading.Event()

    def trickle():
        with socket.socket(socket.AF_UNIX) as slow, contextlib.suppress(OSError):
            slow.connect(server.control)
            while not stop.wait(0.2):
                slow.sendall(b" ")

    thread = threading.Thread(target=trickle)
    thread.start()
    time.sleep(0.3)
    try:
        started = time.monotonic()
        server.ctl("stats")
        check(time.monotonic() - started < 4, "a slow client holds up others")
    finally:
        stop.set()
        thread.join()
