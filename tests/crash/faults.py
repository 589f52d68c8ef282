# SPDX-License-Identifier: MIT
"""Faults under a seed for a comityd into which faults.c is preloaded: calls on sockets and files, and allocations."""
import glob
import mmap
import os
import struct

from harness import Comity

KINDS = ("sockets", "files", "memory")
HEAD = struct.Struct("=Q4I")
ROW = struct.Struct("=16sQQ")
CALLS = {"sockets": ("accept", "recv", "recvfrom", "send", "connect", "getsockopt", "socket", "setsockopt", "shutdown",
                     "epoll_ctl", "epoll_wait"),
         "files": ("open", "read", "write", "fsync", "ftruncate", "unlink", "rename", "fstat"),
         "memory": ("malloc", "malloc_net", "mmap")}   # as faults.c has them
NAMES = [name for kind in KINDS for name in CALLS[kind]]
CERTAIN = 65536


class Faults:
    """What fails is written to a file that the server maps; off until on()."""

    def __init__(self, server):
        found = glob.glob(os.path.join(server.build, "tests/crash/.libs/faults.so"))
        self.preload = found[0] if found else None
        self.path = os.path.join(server.folder, "faults")
        with open(self.path, "wb") as out:
            out.truncate(HEAD.size + len(NAMES) * ROW.size)
        with open(self.path, "r+b") as both:
            self.map = mmap.mmap(both.fileno(), 0)

    def add_to(self, environment):
        """Lets a server that is started with that environment have faults."""
        if self.preload is None:
            raise FileNotFoundError("tests/crash/faults.so is not built")
        asan = environment["ASAN_OPTIONS"] + ":verify_asan_link_order=0"
        return environment | {"LD_PRELOAD": self.preload, "CRASH_FAULTS": self.path, "ASAN_OPTIONS": asan}

    def on(self, seed, only=(), **chances):
        """From now on calls of these kinds fail, with that chance each; only some of the calls, if they are named."""
        words = [round(chances.get(kind, 0) * CERTAIN) for kind in KINDS]
        mask = sum(1 << NAMES.index(name) for name in only)
        self.map[:HEAD.size] = HEAD.pack(seed % (1 << 64), *words, mask)

    def off(self):
        self.on(0)

    def counts(self):
        """{call: (how often it was made, how often it failed)} of the times when it could."""
        rows = (ROW.unpack_from(self.map, HEAD.size + n * ROW.size) for n in range(len(NAMES)))
        return {name: row[1:] for name, row in zip(NAMES, rows)}


class Faulty(Comity):
    """comityd whose calls can be made to fail."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.faults = Faults(self)

    def daemon_environment(self):
        return self.faults.add_to(self.environment())
