# SPDX-License-Identifier: MIT
"""Hosts in network namespaces of their own, on one switch that nobody outside sees.

Every namespace lives only as long as a process of this run holds it, and that process dies with us, so
that nothing is left behind even after kill -9, and runs side by side cannot meet: all use the same
addresses. Without root, a user namespace is made first, where the system allows it."""
import ctypes
import itertools
import os
import shutil
import subprocess
import time

from harness import Failure, Skip

PREFIX4, PREFIX6 = "10.53.0.", "fd53::"
DNS = 2             # number of the host with the name server
NOWHERE = 250       # an address whose packets are lost without a trace
ABSENT = 251        # an address that nobody answers for (no ARP answer: host unreachable)
PR_SET_PDEATHSIG = 1
SIGKILL = 9
_libc = ctypes.CDLL(None, use_errno=True)


def v4(number):
    return PREFIX4 + str(number)


def v6(number):
    return f"{PREFIX6}{number:x}"


def die_with_parent():
    """For preexec_fn: the process ends when the test process does, however that ends."""
    _libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)



class Space:
    """One network and mount namespace, and how to start processes in it."""

    def __init__(self, parent=None):
        # unshare and nsenter replace themselves by what they start: one process, whose id we know.
        flags = ["-n", "-m"]
        if parent is None and os.getuid() != 0:
            flags = ["-U", "-r"] + flags
        self.root_user = parent.root_user if parent else flags[0] == "-U"
        argv = ["unshare", *flags, "--propagation", "private", "sh", "-c", "echo in && exec sleep infinity"]
        self.holder = subprocess.Popen((parent.enter() if parent else []) + argv, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                       preexec_fn=die_with_parent)
        if self.holder.stdout.readline() != "in\n":
            raise Skip(f"network namespaces cannot be made here: {self.holder.stderr.read().strip()}")
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self):
        return self.holder.pid

    def enter(self):
        """The start of a command line that runs in here."""
        user = ["-U", "--preserve-credentials"] if self.root_user else []
        return ["nsenter", "-t", str(self.pid), *user, "-n", "-m", "--"]

    def run(self, *argv, **options):
        """Runs a command to its end; returns its output."""
        options = dict(stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30) | options
        done = subprocess.run([*self.enter(), *argv], **options)
        if done.returncode:
            raise Failure(f"{' '.join(argv)}: {done.stderr or done.stdout}")
        return done.stdout

    def popen(self, argv, **options):
        """Starts a process, which dies with us."""
        return subprocess.Popen([*self.enter(), *argv], preexec_fn=die_with_parent, **options)

    def close(self):
        self.holder.kill()
        self.holder.wait()
        for pipe in (self.holder.stdout, self.holder.stderr):
            pipe.close()


class Host(Space):
    """A machine on the switch, with an IPv4 and an IPv6 address for each of its numbers."""

    def __init__(self, network, name, numbers):
        super().__init__(network.switch)
        self.network, self.name, self.numbers = network, name, list(numbers)
        self.port = f"port{self.numbers[0]}"
        network.switch.run("ip", "link", "add", "name", self.port, "type", "veth", "peer", "name", "eth0",
                           "netns", str(self.pid))
        network.switch.run("ip", "link", "set", "dev", self.port, "master", "switch", "up")
        lines = ["link set dev eth0 up"]
        for number in self.numbers:
            lines += [f"addr add {v4(number)}/24 dev eth0", f"addr add {v6(number)}/64 dev eth0 nodad"]
        for address in (v4(NOWHERE), v6(NOWHERE)):
            lines.append(f"neigh add {address} lladdr 02:00:00:00:00:fe dev eth0 nud permanent")
        self.run("ip", "-batch", "-", stdin=None, input="\n".join(lines) + "\n")
        self.resolve_with(v4(DNS))

    def resolve_with(self, server):
        """Makes this the name server of the host, for processes started from now on."""
        folder = os.path.join(self.network.folder, self.name)
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "resolv.conf")
        with open(path, "w") as out:
            out.write(f"nameserver {server}\noptions timeout:2 attempts:2\n")
        with open(os.path.join(folder, "hosts"), "w") as out:
            out.write("127.0.0.1 localhost\n::1 localhost\n")
        for name in ("resolv.conf", "hosts"):
            self.run("mount", "--bind", os.path.join(folder, name), f"/etc/{name}")

    @property
    def address(self):
        return v4(self.numbers[0])

    @property
    def address6(self):
        return v6(self.numbers[0])

    def cut(self):
        """The switch loses all frames of this host; the host itself sees no change."""
        self.network.switch.run("bridge", "link", "set", "dev", self.port, "state", "0")

    def mend(self):
        self.network.switch.run("bridge", "link", "set", "dev", self.port, "state", "3")

    def listens(self, port, address=None):
        """Whether a socket listens there, looked up without connecting (which would disturb logs)."""
        for line in self.run("ss", "-Hltn", f"sport = :{port}").splitlines():
            if address is None or address in line:
                return True
        return False


class Network:
    """The switch and its hosts. Use as context manager, or call close()."""

    _counter = itertools.count(DNS + 10)

    def __init__(self, folder):
        self.folder = folder
        self.hosts = {}
        for program in ("unshare", "nsenter", "ip", "bridge", "ss"):
            if not shutil.which(program):
                raise Skip(f"{program} is not installed")
        os.makedirs(folder, exist_ok=True)
        self.switch = Space()
        try:
            self.switch.run("ip", "link", "add", "name", "switch", "type", "bridge", "forward_delay", "0",
                            "mcast_snooping", "0")
            self.switch.run("ip", "link", "set", "dev", "switch", "up")
        except Failure as failure:
            self.close()
            raise Skip(f"network namespaces cannot be made here: {failure}") from None

    def host(self, name, *numbers):
        """A new host; without numbers it gets the next free one."""
        self.hosts[name] = Host(self, name, numbers or [next(self._counter)])
        return self.hosts[name]

    def close(self):
        for host in self.hosts.values():
            host.close()
        self.hosts = {}
        self.switch.close()


class Daemon:
    """A process (or several) on a host with a log, stopped at the end."""

    START_TIMEOUT = 40.0
    STOP_TIMEOUT = 8.0

    def __init__(self, host, folder):
        self.host, self.folder = host, folder
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.log_path = os.path.join(folder, "log")
        self.processes = []

    def spawn(self, argv, env=None, **options):
        with open(self.log_path, "ab") as log:
            options = dict(stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                           env=os.environ | (env or {})) | options
            self.processes.append(self.host.popen(argv, **options))
        return self.processes[-1]

    def wait_for(self, condition, what, timeout=START_TIMEOUT):
        end = time.monotonic() + timeout
        while not condition():
            for process in self.processes:
                if process.poll() is not None:
                    raise Failure(f"{process.args[-1]} ended with {process.returncode} before {what}:\n"
                                  f"{self.log_tail()}")
            if time.monotonic() > end:
                raise Failure(f"{type(self).__name__}: no {what} within {timeout} s:\n{self.log_tail()}")
            time.sleep(0.05)

    def log(self):
        try:
            with open(self.log_path, errors="backslashreplace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def log_tail(self, lines=60):
        return "\n".join(f"    {type(self).__name__} | {line}" for line in self.log().splitlines()[-lines:])

    def stop(self):
        """Asks the processes to end, and makes them."""
        processes, self.processes = self.processes[::-1], []
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(self.STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill(self):
        """kill -9, as a power cut would."""
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes = []
