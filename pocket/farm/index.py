"""What became of each request: `index.json` in the folder of results, and a table for the terminal."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from interpreter import PocketError

from commands.results import write_whole
from farm.request_file import Request

WAITING, MADE, THERE, REFUSED, FAILED = "waiting", "made", "there", "refused", "failed"
STATES = (MADE, THERE, REFUSED, FAILED, WAITING)
LONGEST_TABLE = 60
"""Rows; of more requests only those are shown that have no result."""


@dataclass
class Entry:
    """One request.

    Attributes:
        status: `made` now, `there` from an earlier time, `refused` by the host, `failed` for another reason, `waiting`.
        folder: name of its folder in the folder of results.
        files: names of the files in it.
        sentence: why there is no result.
        tries: how often it was begun.
        seconds: how long the last of them took.
    """

    number: int
    line: int
    hash: str
    mode: str
    status: str = WAITING
    folder: str = ""
    files: list[str] = field(default_factory=list)
    sentence: str = ""
    tries: int = 0
    seconds: float = 0.0
    frames: int = 0

    @classmethod
    def of(cls, request: Request) -> Entry:
        """The entry of a request that waits, or that is refused already because its line is wrong."""
        status = REFUSED if request.wrong else WAITING
        entry = cls(request.number, request.line, request.hash, request.mode, status, sentence=request.wrong)
        entry.frames = 0 if request.wrong else request.frames
        return entry


class Index:
    """All entries, in the order of the requests."""

    def __init__(self, file: Path, entries: list[Entry]) -> None:
        self.file, self.entries = file, entries

    @property
    def counts(self) -> Counter[str]:
        """How many entries are in each state."""
        return Counter(entry.status for entry in self.entries)

    @property
    def complete(self) -> bool:
        """Whether every request has its result."""
        return all(entry.status in (MADE, THERE) for entry in self.entries)

    def write(self) -> None:
        """Writes the file anew, with a line for each request.

        Raises:
            PocketError: it cannot be written.
        """
        counts = self.counts
        totals = {
            "requests": len(self.entries),
            **{state: counts[state] for state in STATES},
            "frames": sum(entry.frames for entry in self.entries if entry.status in (MADE, THERE)),
            "seconds": round(sum(entry.seconds for entry in self.entries), 3),
        }
        rows = ",\n".join(json.dumps(vars(entry)) for entry in self.entries)
        text = f'{{"totals": {json.dumps(totals)},\n"requests": [\n{rows}\n]}}\n'
        try:
            write_whole(self.file, text.encode())
        except OSError as error:
            raise PocketError(f"{self.file} cannot be written: {error.strerror or error}.") from error

    def table(self) -> str:
        """Number, status, frames, seconds, and folder or sentence of each request."""
        shown = self.entries
        if len(shown) > LONGEST_TABLE:
            shown = [entry for entry in shown if entry.status not in (MADE, THERE)]
        rows = [("number", "status", "frames", "seconds", "folder, or what is wrong"), *map(_row, shown)]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = (
            f"{row[0]:>{widths[0]}}  {row[1]:{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}  {row[4]}"
            for row in rows
        )
        return "\n".join(lines) if shown else ""

    def line(self) -> str:
        """How many requests are in each state that any is in."""
        counts = self.counts
        said = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
        return f"{len(self.entries)} requests: {said}"


def _row(entry: Entry) -> tuple[str, str, str, str, str]:
    has_result = entry.status in (MADE, THERE)
    seconds = f"{entry.seconds:.1f}" if entry.status == MADE else ""
    frames = str(entry.frames) if has_result else ""
    return str(entry.number), entry.status, frames, seconds, entry.folder if has_result else entry.sentence
