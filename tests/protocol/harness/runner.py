# SPDX-License-Identifier: MIT
"""Finds the tests of a folder, runs them file by file in processes of their own, and adds them up.

Every public function of a test_*.py file whose first parameter is `server` is a test. It gets the
server that its file shares, or one of its own when it is marked with @dedicated. Files may set
SERVER = dict(options=..., hosts=..., text=..., domains=...) for the shared one. @cases(rows) makes
one test of each row."""
import argparse
import contextlib
import importlib.util
import inspect
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from .checks import Failure, Skip, context
from .server import make_server
from .stream import Closed

DEFAULT_TIMEOUT = 60   # seconds for one test unless @dedicated(timeout=...) says otherwise
FILE_TIMEOUT = 900


def dedicated(timeout=DEFAULT_TIMEOUT, start=True, **server):
    """Marks a test that needs a server of its own; arguments as for Comity(). With start=False the
    test starts it."""
    if callable(timeout):
        raise TypeError(f"{timeout.__name__}: write @dedicated(), or it is no test")
    def mark(function):
        function.dedicated, function.start, function.timeout = server, start, timeout
        return function
    return mark


def cases(rows, name=None):
    """Runs the test once for each row, passed as its further arguments. name: row to text."""
    def mark(function):
        function.rows = [(name(row) if name else str(row[0] if isinstance(row, tuple) else row),
                          row if isinstance(row, tuple) else (row,)) for row in rows]
        return function
    return mark


def tests_of(module):
    """[(name, function, arguments)] in the order of the file."""
    found = []
    for name, function in vars(module).items():
        if name.startswith("_") or not inspect.isfunction(function) or function.__module__ != module.__name__:
            continue
        if next(iter(inspect.signature(function).parameters), None) != "server":
            continue
        if hasattr(function, "rows"):
            found += [(f"{name}[{label}]", function, args) for label, args in function.rows]
        else:
            found.append((name, function, ()))
    return found


def load(path):
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class FileRun:
    """The tests of one file in this process, one after the other."""

    def __init__(self, path, filters, seed, emit):
        self.stem = os.path.splitext(os.path.basename(path))[0]
        self.module = load(path)
        self.emit = emit
        self.tests = [t for t in tests_of(self.module) if selected(f"{self.stem}.{t[0]}", filters)]
        if seed is not None:
            random.Random(seed).shuffle(self.tests)
        self.shared = None
        self.broken = None      # why the shared server does not start

    def run(self):
        for name, function, args in self.tests:
            self.run_one(f"{self.stem}.{name}", function, args)
        if self.shared:
            problem = self.guard(self.shared.remove)
            if problem:
                self.emit(name=f"{self.stem}.(shutdown)", result="failed", text=problem, seconds=0)

    def server_for(self, function):
        if hasattr(function, "dedicated"):
            server = make_server(**function.dedicated)
            return server.start() if function.start else server
        if self.shared is not None and not self.shared.alive():
            self.shared.kill()
            self.shared = None
        if self.shared is None:
            if self.broken:
                raise Failure(f"the shared server does not start, see the first failure ({self.broken})")
            try:
                self.shared = make_server(**getattr(self.module, "SERVER", {})).start()
            except Failure as failure:
                self.broken = str(failure).split("\n", 1)[0]
                raise
        return self.shared

    def run_one(self, name, function, args):
        """One test. A failure that may lie in the timing of a busy machine is tried once more, and told
        either way; what a sanitizer, the end of a server or the crash test says counts at once."""
        started, is_unsteady = time.monotonic(), False
        result, text = self.attempt(function, args)
        if result == "failed" and not FINAL.search(text):
            first = text
            result, text = self.attempt(function, args)
            is_unsteady = result == "passed"
            if is_unsteady:
                text = "unsteady, failed at first: " + first.split("\n", 1)[0]
        self.emit(name=name, result=result, text=text, unsteady=is_unsteady, seconds=round(time.monotonic() - started, 2))

    def attempt(self, function, args):
        context.reset()
        signal.alarm(getattr(function, "timeout", DEFAULT_TIMEOUT))
        server, result, text = None, "passed", ""
        try:
            server = self.server_for(function)
            function(server, *args)
            if server.process is not None and not server.alive():
                raise Failure(f"the server died with {server.process.returncode}")
            server.check_log()
        except Skip as skip:
            result, text = "skipped", str(skip)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a failing test must never end the run
            result, text = "failed", self.report(error, server)
        signal.alarm(0)
        for stream in context.streams:
            with contextlib.suppress(OSError):
                stream.sock.close()
        for other in context.servers:
            if other is not self.shared:
                problem = self.guard(other.remove)
                if problem and result != "failed":
                    result, text = "failed", problem
        return result, text

    @staticmethod
    def guard(function):
        """Runs it; the text of what went wrong, or None."""
        try:
            function()
        except Exception as error:
            return str(error)
        return None

    @staticmethod
    def report(error, server):
        if isinstance(error, (Failure, Closed)):
            where = [f for f in traceback.extract_tb(error.__traceback__) if "/harness/" not in f.filename]
            lines = [f"{error}"] + [f"  at {os.path.basename(f.filename)}:{f.lineno}: {f.line}" for f in where]
        else:
            lines = ["".join(traceback.format_exception(error)).rstrip()]
        for stream in context.streams[-4:]:
            lines.append(f"  what went over {stream.name}:\n{stream.story()}")
        if server is not None:
            found = FileRun.guard(server.check_log)
            if found and found != str(error):
                lines.append(found)
        for one in [server] if server is not None and server.log() else context.servers:
            lines.append(f"  the log of the server of {one.domain}:\n{one.log_tail()}")
        return "\n".join(lines)


FINAL = re.compile(r"sanitizer report|Sanitizer|runtime error:|the server died|ended with|exit code|does not start|promise broken")


def selected(name, filters):
    return not filters or any(f in name for f in filters)


def on_alarm(_number, _frame):
    raise Failure("the test took too long")


def child(path, filters, seed):
    """The process of one file: results as JSON lines on file descriptor 3."""
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds, so that terminals are closed
    out = os.fdopen(3, "w", buffering=1)

    def emit(**result):
        out.write(json.dumps(result) + "\n")

    try:
        FileRun(path, filters, seed, emit).run()
    except Exception:
        emit(name=f"{os.path.basename(path)}", result="failed", text=traceback.format_exc(), seconds=0)


class Run:
    """All files, a few at a time."""

    def __init__(self, label, options):
        self.label, self.options = label, options
        self.lock = threading.Lock()
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.unsteady = 0       # of those that passed: at the second try
        self.failed = []
        self.processes = set()
        self.over = False

    def stop(self):
        """Ends all that runs, first by asking."""
        self.over = True
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in list(self.processes):
                with contextlib.suppress(ProcessLookupError):
                    if number == signal.SIGTERM:
                        process.terminate()
                    else:
                        os.killpg(process.pid, number)
            time.sleep(1 if number == signal.SIGTERM and self.processes else 0)

    def take(self, line):
        result = json.loads(line)
        with self.lock:
            self.counts[result["result"]] += 1
            self.unsteady += result.get("unsteady", False)
            if result["result"] == "failed":
                self.failed.append(result["name"])
                print(f"FAILED {result['name']} ({result['seconds']} s)\n{result['text']}\n", flush=True)
            elif result["result"] == "skipped":
                print(f"skipped {result['name']}: {result['text']}", flush=True)
            elif result["text"]:
                print(f"passed {result['name']}: {result['text']}", flush=True)
            elif self.options.verbose:
                print(f"ok {result['name']} ({result['seconds']} s)", flush=True)

    def run_file(self, path, script):
        """One file in its own process and process group, which is killed when it takes too long."""
        reader, writer = os.pipe()
        command = [sys.executable, script, "--child", path, *self.options.filters]
        if self.options.seed is not None:
            command += ["--seed", str(self.options.seed)]
        process = subprocess.Popen(["bash", "-c", f'exec 3>&{writer} {writer}>&-; exec "$@"', "bash", *command],
                                   pass_fds=[writer], stdin=subprocess.DEVNULL, start_new_session=True)
        os.close(writer)
        timer = threading.Timer(FILE_TIMEOUT, lambda: os.killpg(process.pid, signal.SIGKILL))
        timer.daemon = True
        timer.start()
        self.processes.add(process)
        with os.fdopen(reader) as lines:
            for line in lines:
                self.take(line)
        code = process.wait()
        timer.cancel()
        self.processes.discard(process)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever it has left running
        if code != 0:
            self.take(json.dumps({"name": os.path.basename(path), "result": "failed", "seconds": 0,
                                  "text": f"the test process ended with {code}"}))

    def run(self, files, script):
        queue, started = list(files), time.monotonic()

        def work():
            while not self.over:
                with self.lock:
                    if not queue:
                        return
                    path = queue.pop(0)
                try:
                    self.run_file(path, script)
                except BrokenPipeError:  # nobody reads what we print
                    self.over = True

        threads = [threading.Thread(target=work) for _ in range(self.options.jobs)]
        try:
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads) and not self.over:
                time.sleep(0.05)
        except KeyboardInterrupt:
            self.over = True
        if self.over:
            self.stop()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 130
        if self.failed:
            print("failed: " + " ".join(sorted(self.failed)))
        skipped = f", {self.counts['skipped']} skipped" if self.counts["skipped"] else ""
        print(f"{self.label}: {time.monotonic() - started:.0f} s{skipped}")
        # tools/test adds up what the line ends with.
        unsteady = f"{self.unsteady} only at the second try: " if self.unsteady else ""
        print(f"{self.label}: {unsteady}{self.counts['passed']} passed, {self.counts['failed']} failed", flush=True)
        return 1 if self.counts["failed"] or not self.counts["passed"] else 0


def arguments(label):
    parser = argparse.ArgumentParser(description=f"Runs the {label} tests. COMITY_BUILD names the build folder.")
    parser.add_argument("filters", nargs="*", help="run only tests whose FILE.NAME contains one of these")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="files at a time (default 2)")
    parser.add_argument("-s", "--seed", type=int, help="run in a random order drawn from this number")
    parser.add_argument("-r", "--random", action="store_true", help="run in a random order, print its seed")
    parser.add_argument("-v", "--verbose", action="store_true", help="print passed tests too")
    parser.add_argument("-l", "--list", action="store_true", help="only list the tests")
    parser.add_argument("--server", choices=("comity", "prosody"), default=os.environ.get(
        "COMITY_TEST_SERVER", "comity"), help="what to test (prosody: to try the tests themselves)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def main(label, script):
    """The whole command line program; script is its path, in the folder of the tests."""
    script = os.path.abspath(script)
    folder = os.path.dirname(script)
    options = arguments(label)
    os.environ["COMITY_TEST_SERVER"] = options.server
    if options.child:
        child(options.child, options.filters, options.seed)
        return 0
    files = sorted(os.path.join(folder, f) for f in os.listdir(folder) if f.startswith("test_") and f.endswith(".py"))
    named = {f: [f"{os.path.splitext(os.path.basename(f))[0]}.{t[0]}" for t in tests_of(load(f))] for f in files}
    files = [f for f in files if any(selected(name, options.filters) for name in named[f])]
    if options.list:
        print("\n".join(n for f in files for n in named[f] if selected(n, options.filters)))
        return 0
    if options.random and options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 30)
    if options.seed is not None:
        print(f"{label}: order by --seed {options.seed}")
        random.Random(options.seed).shuffle(files)
    own = None
    if "COMITY_TEST_TMP" not in os.environ:
        own = os.environ["COMITY_TEST_TMP"] = tempfile.mkdtemp(prefix="comity-test-")
    try:
        return Run(label, options).run(files, script)
    finally:
        if own:
            shutil.rmtree(own, ignore_errors=True)
