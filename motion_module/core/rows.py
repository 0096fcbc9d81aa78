"""The rows of one denoiser call: which belong to which frame, prompt part, and side of the guidance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from motion_module.errors import HostError


@dataclass(frozen=True)
class RowLayout:
    """Rows as the WebUI's CFG denoiser orders them.

    Frame 0 part 0, frame 0 part 1, ..., frame N-1 part k-1; then the negative prompt for frame 0..N-1.

    Attributes:
        frames: N, frames of the video.
        parts: k, prompts joined with AND; 1 without.
        uncond: whether the rows of the negative prompt are there (the host may skip them in some steps).
    """

    frames: int
    parts: int
    uncond: bool

    @classmethod
    def of_call(cls, rows: int, frames: int, parts: int) -> RowLayout:
        """The layout of a call with this many rows.

        Raises:
            HostError: the numbers do not fit, so nobody knows which row is which.
        """
        if frames > 0 and parts > 0 and rows in (frames * parts, frames * (parts + 1)):
            return cls(frames, parts, uncond=rows == frames * (parts + 1))
        expected = f"{frames * parts} or {frames * (parts + 1)}" if parts > 0 else f"at least {2 * frames}"
        raise HostError(f"The host called the model with {rows} rows, but {frames} frames make {expected}.")

    @property
    def rows(self) -> int:
        """How many rows the call has."""
        return self.frames * (self.parts + self.uncond)

    def branches(self) -> list[list[int]]:
        """For each copy of the video the row of each of its frames: part 0, part 1, ..., negative prompt."""
        conds = [[frame * self.parts + part for frame in range(self.frames)] for part in range(self.parts)]
        first = self.frames * self.parts
        return conds + [list(range(first, first + self.frames))] * self.uncond

    def frame_of(self, row: int) -> tuple[int, bool]:
        """Which frame a row belongs to, and whether it is a row of the negative prompt."""
        uncond = row >= self.frames * self.parts
        return (row - self.frames * self.parts if uncond else row // self.parts), uncond


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
    if value.shape[0] not in (layout.rows, layout.frames * (layout.parts + 1)):
        raise HostError(f"A condition of the model has {value.shape[0]} rows where the call has {layout.rows}.")
    return value.index_select(0, index.to(value.device))
