#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the protocol tests: see --help and harness/runner.py."""
import sys

sys.dont_write_bytecode = True

from harness.runner import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main("protocol", __file__))
