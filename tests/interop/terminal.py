# SPDX-License-Identifier: MIT
"""A program in a terminal of its own (tmux): keys in, screen out, every wait for a condition."""
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time

from harness import Failure, Skip

TIMEOUT = 20
WIDTH, HEIGHT = 200, 50


class Terminal:
    """Runs a command with a private home folder; use it as a context manager."""

    def __init__(self, program, *arguments, name="terminal", parent=None):
        for needed in ("tmux", program):
            if not shutil.which(needed):
                raise Skip(f"{needed} is not installed")
        self.name = name
        self.home = tempfile.mkdtemp(prefix=f"{name}-", dir=parent)
        self.socket = os.path.join(self.home, "tmux")
        self.command = [program, *arguments]

    def tmux(self, *arguments, check=True):
        environment = {k: v for k, v in os.environ.items() if k not in ("TMUX", "DISPLAY", "DBUS_SESSION_BUS_ADDRESS")}
        environment |= {"HOME": self.home, "XDG_CONFIG_HOME": f"{self.home}/.config", "LC_ALL": "C.UTF-8",
                        "XDG_DATA_HOME": f"{self.home}/.local/share", "TERM": "screen", "SHELL": "/bin/sh",
                        "XDG_CACHE_HOME": f"{self.home}/.cache"}
        done = subprocess.run(["tmux", "-u", "-S", self.socket, "-f", "/dev/null", *arguments], text=True,
                              capture_output=True, env=environment, stdin=subprocess.DEVNULL)
        if check and done.returncode:
            raise Failure(f"tmux {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def write(self, path, text):
        """A file in the home folder."""
        path = os.path.join(self.home, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as out:
            out.write(text)
        os.chmod(path, 0o600)

    def start(self):
        self.tmux("new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT), *self.command)
        self.tmux("set-option", "-g", "remain-on-exit", "on")
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(Failure, OSError):
            self.tmux("kill-server", check=False)
        shutil.rmtree(self.home, ignore_errors=True)

    def type(self, text, enter=True):
        """Types a line as a person would."""
        self.tmux("send-keys", "-l", text)
        if enter:
            self.tmux("send-keys", "Enter")

    def key(self, *names):
        self.tmux("send-keys", *names)

    def screen(self):
        return self.tmux("capture-pane", "-p", "-J")

    def ended(self):
        return self.tmux("display-message", "-p", "#{pane_dead}", check=False).strip() in ("1", "")

    def until(self, pattern, timeout=TIMEOUT, repeat=None):
        """Waits until the screen matches; repeat is called now and then, to ask the program again."""
        end = time.monotonic() + timeout
        asked = time.monotonic()
        while True:
            screen = self.screen()
            found = re.search(pattern, screen)
            if found:
                return found
            if time.monotonic() > end:
                raise Failure(f"{self.name}: {pattern!r} did not appear within {timeout} s; the screen:\n" +
                              "\n".join("    | " + line.rstrip() for line in screen.rstrip().splitlines() if line.strip()))
            if repeat and time.monotonic() - asked > 2:
                asked = time.monotonic()
                repeat()
            time.sleep(0.1)

    def until_ended(self, timeout=TIMEOUT):
        end = time.monotonic() + timeout
        while not self.ended():
            if time.monotonic() > end:
                raise Failure(f"{self.name} does not end; the screen:\n{self.screen()}")
            time.sleep(0.1)
