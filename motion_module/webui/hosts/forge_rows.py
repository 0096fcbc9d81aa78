"""What Forge tells the UNet about the rows of a call, for the rows of a window of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from motion_module.webui.hosts.forge_control import LazyControl

OPTIONS, _CONTROL = "transformer_options", "control"
_COND = 0  # in Forge's lists of sides
_ROWS: ContextVar[tuple[int, ...]] = ContextVar("rows of the whole that are in a call; none for all", default=())


@contextmanager
def these_rows(rows: tuple[int, ...]) -> Iterator[None]:
    """Inside the block the UNet is called with these rows of the whole; none for all, in their order."""
    token = _ROWS.set(rows)
    try:
        yield
    finally:
        _ROWS.reset(token)


class Options:
    """What Forge tells the layers about a call: no condition, but some of it is about rows.

    Args:
        options: as Forge has made them for the whole call.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options

    def of_rows(self, rows: Sequence[int]) -> dict[str, Any]:
        """The same for some rows of the whole: frames of one branch, then of another; none for the whole itself."""
        sides, sigmas = self._options.get("cond_or_uncond"), self._options.get("sigmas")
        if not sides or sigmas is None or not rows:
            return self._options
        frames = len(sigmas)
        branches = [number for number, _ in itertools.groupby(rows, lambda row: row // frames)]
        side_of = [sides[row // frames % len(sides)] for row in rows]
        return {
            **self._options,
            "cond_or_uncond": [sides[branch % len(sides)] for branch in branches],
            "sigmas": sigmas[[row % frames for row in rows[: len(rows) // len(branches)]]],
            "cond_mark": torch.tensor(side_of).to(sigmas),
            "cond_indices": [index for index, side in enumerate(side_of) if side == _COND],
            "uncond_indices": [index for index, side in enumerate(side_of) if side != _COND],
        }


def told_rows(conds: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the UNet for the rows that are left in a call."""
    rows = _ROWS.get()
    told, control = conds[OPTIONS].of_rows(rows), conds.get(_CONTROL)
    added = {_CONTROL: control.of_rows(rows, told)} if isinstance(control, LazyControl) else {}
    return {**conds, **added, OPTIONS: told}
