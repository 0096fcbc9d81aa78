"""`python3 pocket test [pytest arguments]`: all tests but the slow ones (docs/slow-tests.md)."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from bootstrap import ROOT

_MOST_PROCESSES = 4  # each is a host of its own, with some 2 GB


def run(args: argparse.Namespace) -> int:
    """Runs pytest in the repository's root and returns its exit code; without arguments, on several cores."""
    arguments = args.pytest_args or _side_by_side(os.cpu_count() or 1)
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT).returncode


def _side_by_side(cores: int) -> list[str]:
    """pytest-xdist's options; the tests of one file stay together, because they share what is slow to make.

    Files are given out in the order of tests/conftest.py, in which long ones come first.
    """
    if cores == 1:
        return []
    return ["-n", str(min(cores, _MOST_PROCESSES)), "--dist", "loadfile", "--no-loadscope-reorder"]
