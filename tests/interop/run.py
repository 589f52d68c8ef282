#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the tests with real clients: see --help and ../protocol/harness/runner.py."""
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../protocol")]

from harness.runner import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main("interop", __file__))
