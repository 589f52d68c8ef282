# SPDX-License-Identifier: MIT
"""Failures with a text that says what was expected, and what to clean up after each test."""


class Failure(AssertionError):
    """What the server did is not what the test demands."""


class Skip(Exception):
    """The test cannot run here; its text says why."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def equal(got, wanted, what="value"):
    if got != wanted:
        raise Failure(f"{what}: wanted {wanted!r}, got {got!r}")


class Context:
    """What the running test has opened: closed after it, and told about when it fails."""

    def __init__(self):
        self.streams = []
        self.servers = []

    def reset(self):
        self.streams, self.servers = [], []


context = Context()
