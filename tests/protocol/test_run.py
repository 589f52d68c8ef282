# SPDX-License-Identifier: MIT
"""How it is run: the instance of tools/run, without its build; the unit of systemd; as another user."""
import contextlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness import Client, Skip, check, dedicated, equal
from harness.server import free_port

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))


def _tree(server):
    """A folder that looks like a tree which tools/run has built before, with the programs of this build."""
    top = tempfile.mkdtemp(dir=server.folder)
    build = os.path.join(top, "build/run")
    os.makedirs(build)
    shutil.copytree(os.path.join(TOP, "tools"), os.path.join(top, "tools"))
    for name, place in (("comityd", server.comityd), ("comityctl", server.comityctl_path)):
        os.symlink(place, os.path.join(build, name))
    os.makedirs(os.path.join(build, "modules"))
    os.symlink(server.module_dir(), os.path.join(build, "modules/.libs"))
    with open(os.path.join(build, "Makefile"), "w") as out:
        out.write("all:\n")
    with open(os.path.join(top, "configure"), "w") as out:
        out.write("#!/bin/sh\nexit 1\n")
    return top


def _run(server, top, *options):
    """Starts, waits until it is ready, stops; returns {JID: what is said of its password}."""
    ready, log = os.path.join(top, "run.ready"), os.path.join(top, "run.log")
    offset = free_port() - 5222
    with contextlib.suppress(FileNotFoundError):
        os.unlink(ready)
    with open(log, "w") as out:
        process = subprocess.Popen([os.path.join(top, "tools/run"), "--no-install", "--port-offset", str(offset),
                                    "--ready-file", ready, *options], stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, env=os.environ | server.environment())
        end = time.monotonic() + 20
        while not os.path.exists(ready) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
    with open(log) as said:
        text = said.read()
    check(os.path.exists(ready), f"never ready: {text}")
    equal(code, 0, text)
    return dict(re.findall(r"^  account      (\S+)(.*)$", text, re.MULTILINE))


def demo_passwords_are_those_of_the_accounts(server):
    top = _tree(server)
    juliet, romeo = "juliet@localhost", "romeo@localhost"
    equal(_run(server, top, "--account", juliet + ":of her own"), {juliet: ""})
    # Juliet exists and her password is not known here; Romeo is made.
    second = _run(server, top)
    equal(second[juliet], "  password  as you have set it")
    check(re.fullmatch(r"  password  [\w-]{16}", second[romeo]), second)
    equal(_run(server, top), second)
    # One that was made by chance and is replaced is forgotten.
    equal(_run(server, top, "--account", romeo + ":mine"), {romeo: ""})
    equal(_run(server, top), {juliet: second[juliet], romeo: second[juliet]})


def the_unit_of_systemd_is_confined(server):
    """Exposure by systemd's own measure, from 0 to 10; under 2.0."""
    if shutil.which("systemd-analyze") is None:
        raise Skip("there is no systemd-analyze")
    with open(os.path.join(os.path.dirname(__file__), "../../etc/comity.service.in")) as file:
        text = file.read().replace("@sbindir@", "/usr/sbin").replace("@sysconfdir@", "/etc")
    unit = os.path.join(server.folder, "comity.service")
    with open(unit, "w") as file:
        file.write(text)
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=20", unit], capture_output=True,
                          text=True)
    if "Unknown" in done.stderr or "unrecognized" in done.stderr:
        raise Skip("systemd-analyze is too old")
    equal(done.returncode, 0, f"systemd-analyze: {done.stdout[-300:]}{done.stderr[-300:]}")


def _system_calls(unit):
    """What the unit's lines SystemCallFilter= allow: the first says what is, later ones add or, with ~, take away."""
    done = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True)
    if done.returncode:
        raise Skip("systemd-analyze knows no sets of system calls")
    sets, last = {}, None
    for line in done.stdout.splitlines():
        if line.startswith("@"):
            last = sets.setdefault(line.strip(), [])
        elif line.startswith(" ") and not line.strip().startswith("#"):
            last.append(line.strip())

    def names_of(word):
        return {word} if not word.startswith("@") else {n for inner in sets[word] for n in names_of(inner)}

    allowed = names_of("@default") | {"execve"}
    for line in re.findall(r"(?m)^SystemCallFilter=(.*)$", unit):
        names = {n for word in line.lstrip("~").split() for n in names_of(word)}
        allowed = allowed - names if line.startswith("~") else allowed | names
    return sorted(allowed)


# Runs a program with the system calls that are named before "--", and no others.
FILTERED = """
import ctypes, os, sys
at = sys.argv.index("--")
lib = ctypes.CDLL("libseccomp.so.2")
lib.seccomp_init.restype = ctypes.c_void_p
refuse, allow = ctypes.c_uint32(0x50001), ctypes.c_uint32(0x7fff0000)
made = ctypes.c_void_p(lib.seccomp_init(refuse))
for name in sys.argv[1:at]:
    number = lib.seccomp_syscall_resolve_name(name.encode())
    if number >= 0:
        lib.seccomp_rule_add(made, allow, number, 0)
if lib.seccomp_load(made) != 0:
    sys.exit("cannot load a filter of system calls")
os.execv(sys.argv[at + 1], sys.argv[at + 1:])
"""


@dedicated(start=False)
def the_unit_of_systemd_allows_what_the_server_does(server):
    if shutil.which("systemd-analyze") is None:
        raise Skip("there is no systemd-analyze")
    with open(os.path.join(os.path.dirname(__file__), "../../etc/comity.service.in")) as file:
        allowed = _system_calls(file.read())
    server.write_config()
    # To look for leaks a sanitizer traces.
    server.spawn([sys.executable, "-c", FILTERED, *allowed, "--", server.comityd, "-c", server.config],
                 server.daemon_environment() | {"ASAN_OPTIONS": "exitcode=99:detect_leaks=0"})
    server.wait_for(lambda: os.path.exists(server.ready_file), "ready file")
    juliet, romeo = server.accounts("juliet", "romeo")
    server.reload()
    server.ctl("backup", os.path.join(server.folder, "backup"))
    client = Client.login(juliet)
    client.message(romeo.jid, "Good night!")
    client.settle()
    Client.login(romeo, presence=True).expect("message", from_=client.jid)


@dedicated(start=False)
def a_log_file_that_is_made_belongs_to_the_user(server):
    """So that it can be rotated by who may not do more."""
    if os.geteuid() != 0:
        raise Skip("only root becomes another user")
    if not all(os.stat(place).st_mode & 1 for place in pathlib.Path(server.module_dir()).resolve().parents):
        raise Skip("the build is for root's eyes only")
    folder = os.path.join(server.folder, "logs")
    path, user = os.path.join(folder, "log"), pwd.getpwnam("nobody")
    keys = shutil.copytree(server.certs, os.path.join(server.folder, "keys"))
    server.options |= {"user": "nobody", "log_to": path, "certificate_dir": keys}
    server.write_config()
    os.mkdir(folder)
    os.chmod(os.path.dirname(server.folder), 0o711)
    for place in (server.folder, *(os.path.join(top, name) for top, folders, files in os.walk(server.folder)
                                   for name in folders + files)):
        os.chown(place, user.pw_uid, user.pw_gid)
    server.start()
    equal((os.stat(path).st_uid, os.stat(path).st_gid), (user.pw_uid, user.pw_gid))
    os.rename(path, path + ".1")
    server.reload()
    check(os.path.exists(path), "there is no new log file")
    server.stop()
    os.remove(path)
    with open(path, "w"):
        pass
    # One that was there is left to whom it belongs.
    server.start()
    equal(os.stat(path).st_uid, 0)
