#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The crash test: clients with stream management write to each other while the server is killed, stopped, out of disk,
out of time, and their connections are cut at random bytes; then it is proved that nothing acknowledged was lost,
doubled or reordered. See --help and doc/reliability.md."""
import argparse
import asyncio
import collections
import contextlib
import glob
import logging
import os
import random
import resource
import shutil
import struct
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(HERE, "../protocol")]

import checker  # noqa: E402
import client  # noqa: E402
import faults  # noqa: E402
from harness import Failure  # noqa: E402
from harness.attack import stats  # noqa: E402

# What happens in a round beside cut connections, and how often.
FAULTS = {"kill": 62, "term": 10, "cut": 8, "disk": 10, "clock": 10, "sockets": 10, "files": 10, "memory": 6}

# One of how many calls fails while they do, and what follows.
CHANCES = (0.002, 0.01, 0.05, 0.3)
SEQUELS = ("nothing", "nothing", "nothing", "kill", "term", "start")

# Accounts and the roles of their devices.
ACCOUNTS = [("steady", "steady"), ("steady", "steady"), ("steady", "slack"), ("steady", "brief"), ("steady",),
            ("slack",), ("brief",), ("absent",), ("absent",), ("absent", "absent"), ("plain",), ("plain",)]

START_FAILED = 1
MOST_SECONDS_STEPPED = 3 * 3600
OPTIONS = {"resume_time": "1d", "acknowledge_timeout": "20s", "unacknowledged_stanzas": 20000, "scram_iterations": 4096,
           "connections_per_address": 10000, "stanzas_per_second": 0, "bytes_per_second": 0, "login_failures_free": 10000}
MODULES = "module offline {\n\tmax_messages = 100000\n\tmax_total = 1GiB\n\tmax_waiting = 100000\n}"


class Daemon(faults.Faulty):
    """comityd with a log for each of its lives, which end in many ways."""

    def __init__(self, records, log_level):
        super().__init__(options=OPTIONS | {"log_level": log_level}, hosts={"localhost": "require_tls = no"}, text=MODULES)
        self.records = records
        self.life = 0
        self.is_up = False
        self.on_up = lambda: None
        self.clock = os.path.join(self.folder, "clock")
        self.step_clock(0)
        found = glob.glob(os.path.join(self.build, "tests/crash/.libs/clock.so"))
        self.clock_library = found[0] if found else None

    def daemon_environment(self):
        env = super().daemon_environment()
        if self.clock_library:
            env |= {"LD_PRELOAD": f"{self.clock_library} {env['LD_PRELOAD']}", "CRASH_CLOCK": self.clock}
        return env

    def step_clock(self, seconds):
        """Moves the server's time of day; the file is mapped by the library that is preloaded."""
        with open(self.clock, "r+b" if os.path.exists(self.clock) else "wb") as out:
            out.write(struct.pack("=q", seconds))

    async def begin(self, may_fail=False):
        """Starts it in the folder as it is, and waits until it accepts; False when it says that it cannot."""
        self.life += 1
        self.log_path, self.log_mark = os.path.join(self.folder, f"log.{self.life}"), 0
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.ready_file)
        self.write_config()
        self.spawn([self.comityd, "-c", self.config], self.daemon_environment())
        end = time.monotonic() + 30
        while not os.path.exists(self.ready_file):
            code = self.process.poll()
            if may_fail and code == START_FAILED:
                self.check_log()
                return False
            if code is not None or time.monotonic() > end:
                raise Failure(f"comityd did not start ({code}):\n{self.log_tail()}")
            await asyncio.sleep(0.005)
        self.is_up = True
        self.on_up()
        return True

    async def end(self, hard):
        """kill -9 or a graceful stop."""
        self.is_up = False
        self.check_alive()
        self.process.kill() if hard else self.process.terminate()
        end = time.monotonic() + 20
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise Failure(f"comityd did not stop:\n{self.log_tail()}")
            await asyncio.sleep(0.005)
        self.check_log()
        if not hard and self.process.returncode != 0:
            raise Failure(f"comityd ended with {self.process.returncode}:\n{self.log_tail()}")
        self.process = None

    def check_alive(self):
        if self.process.poll() is not None:
            self.check_log()
            raise Failure(f"comityd died with {self.process.returncode}:\n{self.log_tail()}")

    def limit_files(self, size):
        """A disk that is full from now on: no file can be written beyond that size; None: there is room again."""
        hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY if size is None else size, hard))

    def drop_logs(self):
        """Only those of the last two lives are still of interest."""
        for number in range(self.life - 2, 0, -1):
            try:
                os.unlink(os.path.join(self.folder, f"log.{number}"))
            except FileNotFoundError:
                break


class Crash:
    """One run: a server, its clients, and rounds until the end or the first violation."""

    def __init__(self, options):
        self.options = options
        self.records = checker.Records()
        self.daemon = Daemon(self.records, options.log_level)
        self.daemon.on_up = self.wake
        self.devices = []
        self.offset = 0             # of the server's clock, in seconds
        self.allowed = set(options.allow)
        self.seconds = []           # that rounds took

    def wake(self):
        for device in self.devices:
            device.wake.set()

    def bad(self):
        return [v for v in self.records.violations if v.kind not in self.allowed]

    # Setting up

    def add_accounts(self):
        for number, roles in enumerate(ACCOUNTS):
            account = self.daemon.named_account(f"u{number}", f"password-{number}")
            for position, role in enumerate(roles):
                name = f"u{number}-{role}-{position}"
                self.devices.append(client.Device(self.records, name, account, role, self.daemon))

    def others(self, device):
        return [d for d in self.devices if d.account != device.account]

    # Rounds

    def seed_of(self, number):
        """What the round draws from; --replay takes such a number."""
        return self.options.seed if self.options.replay else self.options.seed * 1000003 + number

    async def round(self, number):
        """Load with a fault in it, then everybody who wants to be there is back."""
        seed, started = self.seed_of(number), time.monotonic()
        self.records.round = seed
        dice = random.Random(seed)
        until = self.records.now() + dice.uniform(0.3, 0.6)
        kind = dice.choices(self.options.faults, [FAULTS[f] for f in self.options.faults])[0]
        moment = dice.uniform(0.05, 0.5)
        acts = []
        for device in self.devices:
            own = random.Random(f"{seed} {device.name}")
            device.dice = random.Random(f"{seed} {device.name} connecting")
            device.begin_round(own)
            acts.append(device.act(own, until, self.others(device), self.options.cuts))
        await asyncio.gather(self.cause(kind, moment, dice), *acts)
        await self.everybody_back()
        self.seconds.append(time.monotonic() - started)

    async def everybody_back(self, timeout=30):
        """All devices that are wanted are connected."""
        end = time.monotonic() + timeout
        while True:
            self.daemon.check_alive()
            waiting = [d for d in self.devices if d.wanted and not d.is_live]
            if not waiting:
                return
            if time.monotonic() > end:
                self.records.violation("stuck", "not back: " + ", ".join(f"{d} ({d.refused_login})" for d in waiting))
                return
            await asyncio.sleep(0.005)

    async def cause(self, kind, moment, dice):
        await asyncio.sleep(moment)
        if kind == "kill":
            await self.restart(True)
        elif kind == "term":
            await self.restart(False)
        elif kind == "disk":
            await self.fill_disk(dice.uniform(0.1, 0.5), dice.random() < 0.5, dice.choice((0, 4096, 65536)))
        elif kind == "clock":
            await self.move_clock(dice)
        elif kind in faults.KINDS:
            await self.fail_calls(kind, dice)
        else:
            self.records.fault("cut", "connections only")

    async def restart(self, hard):
        self.records.fault("kill" if hard else "term", f"of life {self.daemon.life}")
        await self.daemon.end(hard)
        await self.daemon.begin()
        self.records.fault("start", f"of life {self.daemon.life}")

    async def fill_disk(self, seconds, then_kill, size):
        fault = self.records.fault("disk-full", f"beyond {size} bytes of each file")
        self.daemon.limit_files(size)
        await asyncio.sleep(seconds)
        self.daemon.check_alive()
        if then_kill:
            await self.restart(True)
        else:
            self.daemon.limit_files(None)
        fault[1] = self.records.now()

    async def fail_calls(self, kind, dice):
        """Calls of that kind fail now and then; they work again after a while, or with another life of the server."""
        chance, seed, sequel = dice.choice(CHANCES), dice.getrandbits(64), dice.choice(SEQUELS)
        seconds = dice.uniform(0.1, 0.5)
        fault = self.records.fault("sockets" if kind == "sockets" else "disk-full", f"{chance} of {kind} fail, {sequel}")
        self.daemon.faults.on(seed, **{kind: chance})
        await asyncio.sleep(seconds)
        self.daemon.check_alive()
        if sequel != "nothing":
            # What a stop cannot write is as good as killed.
            killed = sequel != "term" or kind != "sockets"
            self.records.fault("kill" if killed else "term", f"of life {self.daemon.life}, {kind} failing, {sequel}")
            await self.daemon.end(sequel != "term")
        if sequel != "start" or not await self.daemon.begin(may_fail=True):
            self.daemon.faults.off()
            if sequel != "nothing":
                await self.daemon.begin()
        self.daemon.faults.off()
        fault[1] = self.records.now()

    async def move_clock(self, dice):
        self.offset = dice.randrange(-MOST_SECONDS_STEPPED, MOST_SECONDS_STEPPED)
        self.records.fault("clock", f"{self.offset:+d} s")
        self.daemon.step_clock(self.offset)
        await asyncio.sleep(dice.uniform(0.05, 0.3))
        if dice.random() < 0.7:
            await self.restart(dice.random() < 0.8)

    # Checking

    async def settle(self, timeout=30.0, quiet=0.3):
        """All come back, acknowledge what they have, and wait until nothing moves."""
        for device in self.devices:
            device.is_calm, device.silent_until = True, 0
            device.come_back()
        await self.everybody_back()
        for device in self.devices:
            if device.is_live:
                device.tidy()
                device.ping()
        end = time.monotonic() + timeout
        moved, since = -1, time.monotonic()
        while time.monotonic() < end:
            await asyncio.sleep(0.05)
            self.daemon.check_alive()
            now = time.monotonic()
            if self.records.moved != moved or not self.is_all_settled():
                moved, since = self.records.moved, now
            patience = 3.0 if self.records.missing() else quiet   # what is missing may only be late
            if now - since > patience:
                return
            self.tidy_all()

    def is_all_settled(self):
        return all(device.is_settled() for device in self.devices)

    def tidy_all(self):
        for device in self.devices:
            device.tidy()
            if device.is_live and device.managed and device.session.unsettled and not device.session.queue:
                device.ping()   # its acknowledgement says that ours was handled

    async def full_check(self):
        await self.settle()
        self.records.check()
        if not self.bad():
            self.records.forget()
            self.daemon.drop_logs()

    # Running

    async def run(self):
        """All rounds; ends at the first violation that is not allowed."""
        try:
            await self.daemon.begin()
            self.add_accounts()
            async with client.kept(self.devices):
                await self.everybody_back()
                await self.rounds()
            if not self.bad():
                await self.nobody_is_left()
                await self.daemon.end(False)
                self.daemon.check_database()
        except Failure as failure:
            self.records.violation("server", str(failure))
        finally:
            self.daemon.is_up = False
            self.daemon.kill()
        return self.bad()

    async def nobody_is_left(self, timeout=10):
        """All clients go, and the server knows of no connection any more."""
        for device in self.devices:
            device.wire.abort()
        end = time.monotonic() + timeout
        while True:
            figures = stats(self.daemon)
            count = figures["connections_opened"] - figures["connections_closed"]
            if count == 0:
                return
            if time.monotonic() > end:
                self.records.violation("stuck", f"{count} connections are open after all clients have left")
                return
            await asyncio.sleep(0.05)

    async def rounds(self):
        started = time.monotonic()
        for number in range(1, self.options.rounds + 1):
            await self.round(number)
            if number % self.options.check_every == 0 or number == self.options.rounds or self.bad():
                await self.full_check()
                if self.options.verbose:
                    print(f"round {number}: {time.monotonic() - started:.0f} s, {self.records.counts['sent']} sent, "
                          f"{self.records.summary()}", flush=True)
            if self.bad():
                break

    # Telling

    def keep(self, folder):
        """Saves the histories, the server's logs and its data."""
        path = os.path.join(folder, f"crash-{self.options.seed}-{os.path.basename(self.daemon.folder)}")
        shutil.copytree(self.daemon.folder, path, ignore_dangling_symlinks=True,
                        ignore=lambda _, names: [n for n in names if n.endswith(".sock")])
        with open(os.path.join(path, "violations"), "w") as out:
            out.write(self.story(1000) + "\n")
        return path

    def story(self, most=8):
        """The violations with their histories, and how to run them again."""
        lines = []
        seen = collections.Counter()

        def rank(violation):
            """The first of each kind come first."""
            seen[violation.kind] += 1
            return seen[violation.kind]

        for violation in sorted(self.records.violations, key=rank)[:most]:
            lines.append(f"{violation.kind} at {violation.when:.3f} ({checker.KINDS[violation.kind]}): {violation.text}")
            if violation.message is not None:
                lines.append(self.records.history(violation.message))
            lines.append(f"    again: tests/crash/crash.py --seed {violation.round} --rounds 1 --replay")
        if len(self.records.violations) > most:
            lines.append(f"and {len(self.records.violations) - most} more")
        faults = [f"    {when:9.3f} {kind} {text}" + (f" until {until:.3f}" if until else "")
                  for when, until, kind, text in self.records.faults[-30:]]
        return "\n".join(lines + ["the last faults:"] + faults)

    def figures(self):
        counts = self.records.counts
        rows = [f"    {n:8} {name}" for name, n in sorted(counts.items())]
        rows += [f"    {failed:8} of {done} {name} failed" for name, (done, failed) in self.daemon.faults.counts().items() if done]
        if self.seconds:
            rows.append(f"    {sum(self.seconds) / len(self.seconds):8.2f} seconds a round")
        return "\n".join(rows)


def silence():
    """Writing to a connection that has just been lost is nothing to warn of."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)


def run(**given):
    """A run from Python: the Crash, after it. Options as on the command line."""
    options = arguments([])
    for name, value in given.items():
        setattr(options, name, value)
    silence()
    crash = Crash(options)
    asyncio.run(crash.run())
    return crash


def arguments(argv=None):
    parser = argparse.ArgumentParser(description="The crash test. COMITY_BUILD names the build folder.")
    parser.add_argument("--seed", type=int, default=1, help="all that is random follows from it (default 1)")
    parser.add_argument("--rounds", type=int, default=25, help="how many (default 25)")
    parser.add_argument("--replay", action="store_true", help="the seed is that of a round, as a violation tells it; "
                        "all rounds are that one")
    parser.add_argument("--check-every", type=int, default=25, metavar="N", help="all is checked after N rounds (25)")
    parser.add_argument("--faults", type=lambda text: text.split(","), default=list(FAULTS), metavar="LIST",
                        help=f"of {','.join(FAULTS)} (default: all)")
    parser.add_argument("--no-cuts", dest="cuts", action="store_false", help="clients have no accidents of their own")
    parser.add_argument("--allow", type=lambda text: text.split(","), default=["unwritten"], metavar="LIST",
                        help=f"violations that do not count, of {','.join(checker.KINDS)}")
    parser.add_argument("--log-level", default="info", help="of the server (default info)")
    parser.add_argument("--keep", default=".", metavar="FOLDER", help="where logs go after a violation (default .)")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell of each check")
    parser.add_argument("--self-test", action="store_true", help="only try the checker on wrong histories")
    options = parser.parse_args(argv)
    for what, known in ((options.faults, FAULTS), (options.allow, checker.KINDS)):
        for word in what:
            if word not in known:
                parser.error(f"{word} is none of {', '.join(known)}")
    return options


def main():
    options = arguments()
    silence()
    wrong = checker.self_test()
    print("\n".join(f"the checker is wrong: {w}" for w in wrong) or f"crash: the checker judges "
          f"{len(checker.STORIES)} histories rightly", flush=True)
    if wrong or options.self_test:
        return 1 if wrong else 0
    own = None
    if "COMITY_TEST_TMP" not in os.environ:
        own = os.environ["COMITY_TEST_TMP"] = tempfile.mkdtemp(prefix="comity-crash-")
    try:
        crash = Crash(options)
        bad = asyncio.run(crash.run())
        print(crash.figures())
        if crash.records.violations:
            print(crash.story())
            print(f"logs, data and all histories: {crash.keep(options.keep)}")
        print(f"crash: seed {options.seed}, {len(crash.seconds)} rounds: {crash.records.summary()}", flush=True)
        return 1 if bad else 0
    except Failure as failure:
        print(f"crash: {failure}")
        return 1
    finally:
        if own:
            shutil.rmtree(own, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
