# SPDX-License-Identifier: MIT
"""Things that go wrong around the server: files, ports, disks, descriptors."""
import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

from harness import Client, cases, check, dedicated, equal

START_FAILED, CONFIG_WRONG = 1, 78


def _start_fails(server, *words, code=START_FAILED):
    """The daemon ends with that code and one line that has all the words."""
    server.write_config()
    got, text = server.run_daemon("-c", server.config)
    equal(got, code, f"exit code; output: {text}")
    check(any(all(w in line for w in words) for line in text.splitlines()), f"no line with {words} in: {text}")


@dedicated(start=False)
def taken_port_is_named(server):
    with socket.socket() as other:
        other.bind((server.address, server.c2s))
        other.listen()
        _start_fails(server, str(server.c2s), "Address already in use")


@dedicated(start=False)
def a_control_socket_that_is_another_file_is_left_alone(server):
    path = os.path.join(server.folder, "notes")
    server.options["control_socket"] = path
    with open(path, "w") as out:
        out.write("precious")
    _start_fails(server, path, "no socket")
    with open(path) as again:
        equal(again.read(), "precious", "the file")


@dedicated()
def a_second_start_leaves_the_ready_file_of_the_first(server):
    code, output = server.run_daemon("-c", server.config)
    equal(code, START_FAILED, output)
    check(os.path.exists(server.ready_file), "the ready file has gone")
    server.stop()
    check(not os.path.exists(server.ready_file), "the ready file is still there")


@dedicated(start=False, hosts={"localhost": 'certificate = "/nonexistent.crt"'})
def missing_certificate_is_named(server):
    _start_fails(server, "/nonexistent.crt", "No such file")


@dedicated(start=False, domains=("localhost", "second.localhost"))
def key_of_another_certificate_is_told(server):
    folder = server.certs
    server.hosts = {"localhost": f'certificate = "{folder}/localhost.crt"\n'
                                 f'certificate_key = "{folder}/second.localhost.key"'}
    _start_fails(server, "second.localhost.key", "does not belong to")


@dedicated(start=False, options={"data_dir": "/nonexistent/folder/data"})
def data_folder_that_cannot_be_made_is_named(server):
    _start_fails(server, "/nonexistent/folder/data", "No such file")


@dedicated(start=False, options={"module_dir": "/nonexistent/modules"}, text="module ping { }")
def missing_modules_are_told(server):
    _start_fails(server, "ping", "no module", code=CONFIG_WRONG)


@cases([("unknown option", "lissten = 1", "listen"), ("open block", "host x {", "}"),
        ("bad time", "idle_timeout = soon", "such as 10s"), ("bad choice", "log_to = stderr\nresource_conflict = maybe", "replace"),
        ("unknown module", "module pingg { }", "ping"), ("no such include", 'include "/nonexistent.conf"', "/nonexistent.conf")])
def configuration_errors_say_file_and_line(server, _what, text, expected):
    path = os.path.join(server.folder, "wrong.conf")
    with open(path, "w") as out:
        out.write(f'module_dir = "{server.module_dir()}"\n\n{text}\nhost localhost {{ }}\n')
    for arguments in (("--check", "-c", path), ("-c", path)):
        code, output = server.run_daemon(*arguments)
        equal(code, CONFIG_WRONG, "exit code")
        check(re.search(r"wrong\.conf:\d", output) and expected in output, output)


@dedicated(start=False, hosts={"localhost": "", "LocalHost": ""})
def a_host_in_two_spellings_is_refused(server):
    server.write_config()
    code, output = server.run_daemon("--check", "-c", server.config)
    equal(code, CONFIG_WRONG, output)
    check("twice" in output, output)


@cases([("none", "0"), ("less", "-3"), ("a word", "abc"), ("with a word", "2x")])
@dedicated()
def a_number_of_workers_that_cannot_start_is_refused(server, _what, text):
    """By all that reads it, in the same words."""
    expected = f'workers: expected auto or a number from 1 to 256, got "{text}"'
    server.options["workers"] = text
    server.write_config()
    for arguments in (("--check", "-c", server.config), ("-c", server.config)):
        code, output = server.run_daemon(*arguments)
        equal(code, CONFIG_WRONG, output)
        check(expected in output, output)
    code, output = server.ctl("reload", ok=False)
    check(code != 0 and expected in output, output)


def check_accepts_what_runs(server):
    code, output = server.run_daemon("--check", "-c", server.config)
    equal(code, 0, output)


@dedicated(start=False)
def damaged_store_is_refused_and_left_alone(server):
    server.write_config()
    path = os.path.join(server.folder, "data", "comity.sqlite")
    with open(path, "wb") as out:
        out.write(b"this is not a database" * 200)
    _start_fails(server, path, "left as it is")
    with open(path, "rb") as again:
        equal(again.read(), b"this is not a database" * 200, "the file")


@contextlib.contextmanager
def _no_descriptors(server):
    """All are used up, by connections of strangers."""
    pid, waiting = server.process.pid, []
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 4, hard))
    try:
        for number in range(12):
            waiting.append(socket.create_connection((server.address, server.c2s), 5, (f"127.9.9.{number + 1}", 0)))
        server.wait_for(lambda: "cannot accept connections for now" in server.log(), "a word on it")
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        for sock in waiting:
            sock.close()


@dedicated()
def accepting_pauses_without_descriptors_and_recovers(server):
    client = Client.login(server.account("juliet"), presence=True)
    with _no_descriptors(server):
        client.message(client.jid, "still here")
        client.expect("message", body="still here")
    Client.login(server.account("romeo")).close()
    client.ping()


def _main_thread_seconds(server):
    """Of processor time."""
    with open(f"/proc/{server.process.pid}/task/{server.process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dedicated()
def comityctl_waits_for_descriptors_and_is_served_then(server):
    """The main thread rests meanwhile, and signals are still taken."""
    with socket.socket(socket.AF_UNIX) as control:
        with _no_descriptors(server):
            control.connect(server.control)
            control.sendall(b'{"args": ["host", "list"]}\n')
            before = _main_thread_seconds(server)
            time.sleep(1)
            used = _main_thread_seconds(server) - before
            check(used < 0.3, f"the main thread used {used} s in 1 s")
            check("cannot serve comityctl for now" in server.log(), "the log does not tell")
            server.signal(signal.SIGHUP)
            server.wait_for(lambda: "the old configuration stays" in server.log(), "a signal that is taken")
        control.settimeout(10)
        with control.makefile() as answer:
            check('"ok":true' in answer.readline(), "no answer")


@dedicated()
def the_first_message_that_is_stored_needs_no_descriptor(server):
    client, absent = Client.login(server.account("juliet"), presence=True), server.account("romeo")
    with _no_descriptors(server):
        client.message(absent.jid, "kept")
        client.ping()
        equal([e["type"] for e in client.drain() if e.name == "message"], [], "returned messages")
        server.wait_for(lambda: server.stored_messages(absent.jid) == 1, "the message on disk")


def _text(path):
    with open(path) as file:
        return file.read()


@cases([("comityctl", lambda server: server.reload()), ("SIGHUP", lambda server: server.signal(signal.SIGHUP))])
@dedicated(options={"log_to": "here.log"})
def the_log_file_is_opened_anew(server, _how, reload):
    """Unless that is impossible; then what was open is still written to."""
    path = os.path.join(server.folder, "here.log")
    os.rename(path, path + ".1")
    reload(server)
    server.wait_for(lambda: os.path.exists(path) and "took over" in _text(path), "a new log file")
    check("took over" not in _text(path + ".1"), "the old file is still written to")
    os.rename(path, path + ".2")
    os.mkdir(path)
    reload(server)
    server.wait_for(lambda: _text(path + ".2").count("took over") == 2, "a line in the file that was open")
    check("cannot open the log file" in _text(path + ".2"), "the log does not tell")


def the_process_is_confined(server):
    """In each of its threads: capabilities belong to a thread, and so does a filter."""
    threads = f"/proc/{server.process.pid}/task"
    check(len(os.listdir(threads)) > 1, "there is one thread only")
    for thread in os.listdir(threads):
        with open(f"{threads}/{thread}/status") as status:
            fields = {key: value.strip() for key, value in (line.split(":", 1) for line in status)}
        equal((fields["NoNewPrivs"], fields["Seccomp"]), ("1", "2"), f"{fields['Name']}: no new privileges, filter")
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            equal(int(fields[kind], 16), 0, f"{fields['Name']}: {kind}")


@dedicated()
def full_disk_is_told_and_survived(server):
    client, absent = Client.login(server.account("juliet"), presence=True), server.account("romeo")
    client.message(absent.jid, "before")
    server.wait_for(lambda: server.stored_messages(absent.jid) == 1, "the first message on disk")
    pid = server.process.pid
    files = [os.path.join(server.folder, "data", name) for name in ("comity.sqlite", "comity.sqlite-wal")]
    size = min(os.path.getsize(name) for name in files if os.path.exists(name))
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (min(size, 4096), hard))
    try:
        client.message(absent.jid, "x" * 20000, id_="lost")
        client.expect_error("resource-constraint", id_="lost")
        answer = client.iq("set", "<query xmlns='jabber:iq:roster'><item jid='a@b'/></query>")
        equal(answer["type"], "error", "roster set on a full disk")
        client.ping()
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    client.message(absent.jid, "after")
    server.wait_for(lambda: server.stored_messages(absent.jid) == 2, "the last message on disk")
    client.set("<query xmlns='jabber:iq:roster'><item jid='a@b'/></query>")
    got = Client.login(absent, presence=True)
    equal([got.expect("message").child_text("body") for _ in range(2)], ["before", "after"], "messages kept")


@dedicated()
def what_was_delivered_leaves_a_full_disk_when_there_is_room(server):
    client, absent = Client.login(server.account("juliet"), presence=True), server.account("romeo")
    client.message(absent.jid, "stored")
    server.wait_for(lambda: server.stored_messages(absent.jid) == 1, "the message on disk")
    got = Client.login(absent)
    pid = server.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))
    try:
        got.presence()
        equal(got.expect("message").child_text("body"), "stored")
        server.wait_for(lambda: "cannot write" in server.log(), "a store that has no room")
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    equal(server.stored_messages(absent.jid), 1, "messages on the full disk")
    server.wait_for(lambda: server.stored_messages(absent.jid) == 0, "the message taken out")


@dedicated(options={"output_queue": "64KiB", "bytes_per_second": 0, "stanzas_per_second": 0})
def reader_that_never_reads_is_closed_and_harms_nobody(server):
    sender = Client.login(server.account("juliet"), presence=True)
    lazy = Client.login(server.account("romeo"), presence=True)
    body = "x" * 30000
    end = time.monotonic() + 20
    while "does not read" not in server.log() and time.monotonic() < end:
        for _ in range(20):
            sender.message(lazy.jid, body)
        sender.ping()
        sender.drain()
    check("does not read" in server.log(), "the slow reader is still there")
    with contextlib.suppress(OSError):
        lazy.abort()


@dedicated()
def backup_of_a_running_server_can_be_used(server):
    account = server.account("juliet")
    Client.login(account).set("<query xmlns='jabber:iq:roster'><item jid='friend@b'/></query>")
    path = os.path.join(server.folder, "backup.sqlite")
    server.ctl("backup", path)
    code, output = server.ctl("backup", path, ok=False)
    check(code != 0 and "exists" in output, output)
    server.stop()
    for name in os.listdir(os.path.join(server.folder, "data")):
        if name.startswith("comity.sqlite"):
            os.unlink(os.path.join(server.folder, "data", name))
    shutil.copy(path, os.path.join(server.folder, "data", "comity.sqlite"))
    server.start()
    items = Client.login(account).roster()
    check("friend@b" in repr(items), items)


@dedicated()
def stop_takes_less_than_five_seconds_with_a_client_that_hangs(server):
    client = Client.login(server.account("juliet"), presence=True)
    started = time.monotonic()
    server.stop()
    seconds = time.monotonic() - started
    check(seconds < (15 if "asan" in server.comityd or "tsan" in server.comityd else 5), f"took {seconds:.1f} s")
    client.abort()
