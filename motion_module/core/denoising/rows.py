"""The rows of one denoiser call: which belong to which frame, part of an AND prompt, and branch (cond or uncond)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from motion_module.errors import HostError


@dataclass(frozen=True)
class RowLayout:
    """Rows as the CFG denoiser of the host orders them, or as another extension has moved or stacked them.

    The host's order: frame 0 part 0, frame 0 part 1, ..., frame N-1 part k-1; then for each frame the negative prompt.

    Attributes:
        frames: N, frames of the video.
        parts: k, prompts joined with AND; 1 without.
        uncond: whether the rows of the negative prompt are there (the host may skip them in some steps).
        copies: how many of these blocks of rows are in one call: another extension's tiles of the picture.
        moved_rows: where the rows of the host's order (one block behind the other) are; empty where they are in order.
    """

    frames: int
    parts: int
    uncond: bool
    copies: int = 1
    moved_rows: tuple[int, ...] = ()

    @classmethod
    def of_call(cls, rows: int, frames: int, parts: int) -> RowLayout:
        """The layout of a call with this many rows, in the host's order.

        Raises:
            HostError: the numbers do not fit, so nobody knows which row is which.
        """
        if frames > 0 and parts > 0 and rows in (frames * parts, frames * (parts + 1)):
            return cls(frames, parts, uncond=rows == frames * (parts + 1))
        expected = f"{frames * parts} or {frames * (parts + 1)}" if parts > 0 else f"at least {2 * frames}"
        raise HostError(f"The host called the model with {rows} rows, but {frames} frames make {expected}")

    @property
    def block(self) -> int:
        """How many rows one copy of everything has."""
        return self.frames * (self.parts + self.uncond)

    @property
    def rows(self) -> int:
        """How many rows the call has."""
        return self.copies * self.block

    @property
    def whole(self) -> bool:
        """Whether the frames of each branch lie one behind the other, one branch behind the other."""
        return self.parts == 1 and not self.moved_rows

    def branches(self) -> list[list[int]]:
        """For each copy of the video the row of each of its frames: part 0, part 1, ..., negative prompt."""
        conds = [[frame * self.parts + part for frame in range(self.frames)] for part in range(self.parts)]
        first = self.frames * self.parts
        block = conds + [list(range(first, first + self.frames))] * self.uncond
        usual = [[copy * self.block + row for row in branch] for copy in range(self.copies) for branch in block]
        return [[self.moved_rows[row] for row in branch] for branch in usual] if self.moved_rows else usual

    def frame_of(self, row: int) -> tuple[int, bool]:
        """Which frame a row belongs to, and whether it is a row of the negative prompt."""
        row = (self._usual[row] if self.moved_rows else row) % self.block
        uncond = row >= self.frames * self.parts
        return (row - self.frames * self.parts if uncond else row // self.parts), uncond

    @cached_property
    def _usual(self) -> dict[int, int]:
        return {moved: row for row, moved in enumerate(self.moved_rows)}


def take_rows(value: Any, index: Tensor, layout: RowLayout, device: torch.device | None = None) -> Any:
    """The rows `index` of a call's argument.

    Args:
        value: a tensor with the rows of the call, or with one that counts for all; or a dict or list of such;
            anything else is passed on as it is. Where the host skips the negative prompt it leaves some conditions
            (c_concat) as long as if it had not; their first rows are those of the call.
        index: 1-D, int64, on any device.
        layout: the rows of the whole call.
        device: where the rows go; conditions of a long video wait elsewhere. None leaves them where they are.

    Raises:
        HostError: a tensor has another number of rows.
    """
    if isinstance(value, Tensor):
        return _tensor_rows(value, index, layout).to(device or value.device)
    if isinstance(value, dict):
        return type(value)({key: take_rows(item, index, layout, device) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return [take_rows(item, index, layout, device) for item in value]
    return value


def _tensor_rows(value: Tensor, index: Tensor, layout: RowLayout) -> Tensor:
    if value.dim() == 0 or (value.shape[0] == 1 and layout.rows != 1):
        return value
    longer = layout.frames * (layout.parts + 1)
    if value.shape[0] not in (layout.rows, layout.copies * longer):
        raise HostError(f"A condition of the model has {value.shape[0]} rows where the call has {layout.rows}")
    if value.shape[0] != layout.rows:
        index = index // layout.block * longer + index % layout.block
    return value.index_select(0, index.to(value.device))
