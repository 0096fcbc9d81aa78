"""Names of result files that never collide, also between two processes that write into one folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_NUMBERED = re.compile(r"\.?(\d{5,})[-.]")
_ATTEMPTS = 10_000
_LARGEST_SEED = (1 << 32) - 1  # that the WebUI draws
_BEHIND_STEM = 20  # suffixes, a folder's frames; Windows wants room for a name of MS-DOS behind a folder's path


@dataclass(frozen=True)
class Claim:
    """A name that belongs to one video.

    Attributes:
        folder: where the finished files go.
        stem: their common name without a suffix.
        work: a hidden folder on the same file system for files that are not finished yet.
    """

    folder: Path
    stem: str
    work: Path


@contextmanager
def claimed(folder: Path, seed: int, request_id: str = "") -> Iterator[Claim]:
    """Claim the next free name `{sequence:05}-{seed}[-{request_id}]` in `folder`, which is made if missing.

    The claim is a hidden folder made exclusively, so it holds against other processes. It goes, with everything in
    it, when the block ends; finished files have been renamed out of it by then. A process that is killed leaves the
    hidden folder, and nobody takes its number again.

    Args:
        folder: where the files are to go.
        seed: the seed of the video's first frame.
        request_id: a client's own mark. Anything besides letters, digits, `_` and `-` is left out.

    Raises:
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number, work = _claim_number(folder)
    try:
        yield Claim(folder, _stem(number, seed, request_id), work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def longest_path(folder: Path, request_id: str) -> int:
    """How many characters the longest path of a claim in `folder` may have."""
    return len(str(_work(folder, 0) / _stem(0, _LARGEST_SEED, request_id))) + _BEHIND_STEM


def _stem(number: int, seed: int, request_id: str) -> str:
    mark = re.sub(r"[^A-Za-z0-9_-]", "", request_id)[:64]
    return "-".join([f"{number:05}", str(int(seed)), *([mark] if mark else [])])


def _work(folder: Path, number: int) -> Path:
    return folder / f".{number:05}.part"


def _claim_number(folder: Path) -> tuple[int, Path]:
    number = max(_numbers(folder), default=-1) + 1
    for _ in range(_ATTEMPTS):
        work = _work(folder, number)
        try:
            work.mkdir()
        except FileExistsError:
            number += 1
            continue
        if number not in _numbers(folder, hidden=False):
            return number, work
        work.rmdir()  # its owner finished between our look at the folder and our claim
        number += 1
    raise FileExistsError(f"No free file name was found in {folder}.")


def _numbers(folder: Path, hidden: bool = True) -> set[int]:
    """The sequence numbers in use; `hidden` counts claims too."""
    matches = (_NUMBERED.match(entry.name) for entry in folder.iterdir() if hidden or not entry.name.startswith("."))
    return {int(match.group(1)) for match in matches if match}
