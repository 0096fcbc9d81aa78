"""`python3 pocket farm REQUESTS.jsonl`: many API requests, several at a time, each with a folder for its results."""

from __future__ import annotations

import argparse

from telling import tell

from bootstrap import say
from commands.dask_there import require_dask
from stopping import SIGNALS


def run(args: argparse.Namespace) -> int:
    """Makes what is missing, prints what became of every request, and returns 0 if each has its result."""
    if not args.webui:
        require_dask("farm")
    from farm.run import run_farm

    with SIGNALS.clearing_away():
        index = run_farm(args)
    if table := index.table():
        tell(table)
    say(index.line())
    return 0 if index.complete else 1
