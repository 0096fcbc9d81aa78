"""What commands tell, for whoever listens: that nobody does (`| head -1`, a full disk, `>&-`) stops no work.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import sys


def open_streams() -> None:
    """Gives a process that lacks one of the three streams an empty one: else the next file would get its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def tell(text: str) -> None:
    """Lines on the standard output, with what it has no signs for as Python escapes it."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still to be written goes there


def say(text: str) -> None:
    """One line on what is being done."""
    tell(f"pocket: {text}")
