"""`python3 pocket test [pytest arguments]`: the whole test suite."""

from __future__ import annotations

import argparse
import subprocess
import sys

from bootstrap import ROOT


def run(args: argparse.Namespace) -> int:
    """Runs pytest in the repository's root and returns its exit code."""
    return subprocess.run([sys.executable, "-m", "pytest", *args.pytest_args], cwd=ROOT).returncode
