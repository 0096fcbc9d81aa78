"""What the runs of a script (X/Y/Z plot, prompt matrix, loopback) say together in the script's one result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modules import processing
from motion_module.webui.host_types import Processing


class _Line(str):
    """A line of the comments that knows what the runs of its script have saved, in a list that grows with each run."""

    files: list[dict[str, str]]


def add_lines(
    p: Processing, processed: Any, lines: Sequence[str], files: Sequence[dict[str, str]]
) -> list[dict[str, str]]:
    """Add the lines of one run to the comments of its script's result.

    The plot shows a copy of its first cell's result, so that this one learns what later cells say: all cells are
    copies of one `p`, and have its comments in common.

    Args:
        p: of this run.
        processed: its result; becomes one that has the comments of all runs.
        lines: what is said of this run.
        files: what it has saved.

    Returns:
        What all runs of the script have saved, a list that grows with them.
    """
    before = (line.files for line in p.comments if isinstance(line, _Line))
    together = next(before, [])
    together += files
    for text in lines:
        line = _Line(text)
        line.files = together
        p.comment(line)
    own = processed.comments
    processed.__class__ = _OfScript
    processed.script_lines = p.comments
    processed.comments = own
    return together


class _OfScript(processing.Processed):
    """A result with the comments of all runs of its script, those that follow it included."""

    script_lines: dict[str, int]

    @property
    def comments(self) -> str:
        """The comments, line by line."""
        return "".join(f"{line}\n" for line in dict.fromkeys([*self._own.splitlines(), *self.script_lines]))

    @comments.setter
    def comments(self, text: str) -> None:
        self._own = text
