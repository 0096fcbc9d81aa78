"""What the runs of a script (X/Y/Z plot, prompt matrix, loopback) say together in the script's one result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modules import processing
from motion_module.patching import assign
from motion_module.webui.host_types import Processing


class _Line(str):
    """A line of the comments that knows what the runs of its script have saved, in lists that grow with each run."""

    saved: dict[str, list[Any]]


def add_lines(
    p: Processing, processed: Any, lines: Sequence[str], saved: Mapping[str, Sequence[Any]]
) -> dict[str, list[Any]]:
    """Add the lines of one run to the comments of its script's result.

    The plot shows a copy of its first cell's result, so that this one learns what later cells say: all cells are
    copies of one `p`, and have its comments in common.

    Args:
        p: of this run.
        processed: its result; becomes one that has the comments of all runs.
        lines: what is said of this run.
        saved: what it has saved, by the keys of the result.

    Returns:
        What all runs of the script have saved, in lists that grow with them.
    """
    before = (line.saved for line in p.comments if isinstance(line, _Line))
    together: dict[str, list[Any]] = next(before, {})
    for key, values in saved.items():
        together.setdefault(key, []).extend(values)
    for text in lines:
        line = _Line(text)
        line.saved = together
        p.comment(line)
    own = processed.comments
    assign(processed, __class__=_OfScript, script_lines=p.comments)
    assign(processed, comments=own)
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
