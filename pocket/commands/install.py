"""`python3 pocket install PART`: what a command needs besides, in the pocket's environment."""

from __future__ import annotations

import argparse

from bootstrap import install_here, say, uses_current


def run(args: argparse.Namespace) -> int:
    """Says that the part is there: the way into the environment has put it in, unless that is the running Python."""
    if uses_current():
        install_here(args.part)
    say(f"{args.part} is installed")
    return 0
