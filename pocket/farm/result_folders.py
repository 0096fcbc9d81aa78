"""The folders with results: each appears whole or not at all, and is known again by the hash in its name."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from interpreter import PocketError

from commands.results import RESPONSE, write_images, write_response
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

    with contextlib.ExitStack() as stack:
        try:
            folder = os.open(out, os.O_RDONLY)
            stack.callback(os.close, folder)
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PocketError(f"another farm is filling {out}; wait for it, or name another folder.") from error
        except OSError as error:
            raise PocketError(
                f"--out {out} cannot be locked: {error.strerror or error}; name another folder."
            ) from error
        yield


def clear_unfinished(out: Path) -> None:
    """Removes what a farm left in the middle of writing."""
    for folder in out.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(folder, ignore_errors=True)


def renumber(out: Path, requests: Iterable[Request]) -> set[int]:
    """Gives the folders that are there the numbers that their requests have now.

    Of equal requests, those whose own folder is there keep it; the others get what is over, in order. One that is not
    whole any more is set aside.

    Returns:
        The numbers of the requests whose folders are there.

    Raises:
        PocketError: a folder cannot be read or renamed.
    """
    wanted = defaultdict(set)
    for request in requests:
        wanted[request.hash[:12]].add(request.number)
    there: set[int] = set()
    try:
        found = _numbers(out, wanted)
        for mark, numbers in wanted.items():
            kept = numbers & found[mark]
            moves = dict(zip(sorted(numbers - kept), sorted(found[mark] - kept), strict=False))
            for now, before in moves.items():
                os.rename(out / f"{before:05}-{mark}", out / f"{now:05}-{mark}")
            there |= kept | set(moves)
    except OSError as error:
        raise PocketError(f"the folders in --out {out} cannot be sorted: {error.strerror or error}.") from error
    return there


def _numbers(out: Path, wanted: Collection[str]) -> dict[str, set[int]]:
    """For each of these hashes, the numbers before it in the names of whole folders. Others are set aside."""
    found = defaultdict(set)
    for entry in list(out.iterdir()):
        match = _NAME.fullmatch(entry.name)
        if not match or match[2] not in wanted or not entry.is_dir():
            continue
        if _is_whole(entry):
            found[match[2]].add(int(match[1]))
        else:
            _set_aside(entry)
    return found


def _is_whole(folder: Path) -> bool:
    """Whether the response can be read, and every file that it names is there with something in it."""
    try:
        names = json.loads((folder / RESPONSE).read_text(encoding="utf-8"))["images"]
        return bool(names) and all((folder / name).stat().st_size > 0 for name in names)
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return False


def _set_aside(folder: Path) -> None:
    """Its request is made anew under its name; what is in it may be dear to somebody all the same."""
    names = (f"{folder.name}.incomplete{number or ''}" for number in itertools.count())
    os.rename(folder, next(folder.with_name(name) for name in names if not folder.with_name(name).exists()))


def files_in(folder: Path) -> list[str]:
    """Names of the files in a result's folder, `response.json` last."""
    names = sorted(entry.name for entry in folder.iterdir())
    return sorted(names, key=lambda name: name == RESPONSE)


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
