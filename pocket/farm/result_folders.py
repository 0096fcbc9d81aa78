"""The folders with results: each appears whole or not at all, and is known again by the hash in its name."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from interpreter import PocketError

from commands.results import write_images, write_response
from farm.request_file import Request

_UNFINISHED = ".unfinished-"
_NAME = re.compile(r"(\d{5,})-([0-9a-f]{12})")


@contextlib.contextmanager
def held(out: Path) -> Iterator[None]:
    """Keeps a second farm from filling the same folder, where the system can lock folders. The folder is made.

    Raises:
        PocketError: there is a farm, or no folder can be there.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PocketError(f"--out {out} cannot be a folder: {error.strerror}.") from error
    if os.name == "nt":
        yield
        return
    import fcntl

    folder = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise PocketError(f"another farm is filling {out}; wait for it, or name another folder.") from error
    finally:
        os.close(folder)


def clear_unfinished(out: Path) -> None:
    """Removes what a farm left in the middle of writing."""
    for folder in out.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(folder, ignore_errors=True)


def renumber(out: Path, requests: Iterable[Request]) -> set[int]:
    """Gives the folders that are there the numbers that their requests have now.

    Of equal requests, those whose own folder is there keep it; the others get what is over, in order.

    Returns:
        The numbers of the requests whose folders are there.
    """
    found, wanted = _numbers(out), defaultdict(set)
    for request in requests:
        wanted[request.hash[:12]].add(request.number)
    there: set[int] = set()
    for mark, numbers in wanted.items():
        kept = numbers & found[mark]
        moves = dict(zip(sorted(numbers - kept), sorted(found[mark] - kept), strict=False))
        for now, before in moves.items():
            os.rename(out / f"{before:05}-{mark}", out / f"{now:05}-{mark}")
        there |= kept | set(moves)
    return there


def _numbers(out: Path) -> dict[str, set[int]]:
    """For each hash in a folder's name, the numbers before it."""
    found = defaultdict(set)
    for entry in out.iterdir():
        match = _NAME.fullmatch(entry.name)
        if match and entry.is_dir():
            found[match[2]].add(int(match[1]))
    return found


def files_in(folder: Path) -> list[str]:
    """Names of the files in a result's folder, `response.json` last."""
    names = sorted(entry.name for entry in folder.iterdir())
    return sorted(names, key=lambda name: name == "response.json")


def keep(out: Path, request: Request, response: dict[str, Any]) -> Path:
    """Writes one result, and returns its folder.

    Raises:
        PocketError: it cannot be written; nothing of it is left.
    """
    unfinished, folder = out / f"{_UNFINISHED}{request.name}", out / request.name
    try:
        write_response(response, write_images(response, unfinished), unfinished)
        os.rename(unfinished, folder)
    except OSError as error:
        raise PocketError(f"{folder} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder
