# SPDX-License-Identifier: MIT
"""The crash test in its short form; `make check-crash` runs the long one, see doc/reliability.md."""
import os
import sys

from harness import Failure, cases, dedicated, equal

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../crash"))

import checker  # noqa: E402
import crash  # noqa: E402

SEED = 4
PIECES = [("nothing", ["cut"], 2, False), ("connections", ["cut"], 6, True), ("kill", ["kill"], 8, True),
          ("stop", ["term"], 3, True), ("disk", ["disk"], 4, True), ("clock", ["clock"], 4, True),
          ("sockets", ["sockets"], 5, True), ("files", ["files"], 6, True), ("memory", ["memory"], 4, True),
          ("together", list(crash.FAULTS), 8, True)]

@dedicated(start=False)
@cases(checker.STORIES)
def the_checker_judges_known_histories(server, _name, story, expected):
    del server
    equal(sorted(checker.tell(story)), sorted(expected), "kinds of violation")


@dedicated(start=False, timeout=120)
@cases(PIECES)
def nothing_acknowledged_is_lost_or_doubled(server, what, faults, rounds, cuts):
    run = crash.run(seed=SEED, rounds=rounds, check_every=4, faults=faults, cuts=cuts)
    if run.bad():
        raise Failure(f"promise broken: {run.records.summary()}\n{run.story()}\nlogs and data: {run.keep(server.build)}")
