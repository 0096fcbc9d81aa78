"""What others hold for the whole video, one row for each frame, and which of it belongs to one call of the model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from motion_module.core.denoising.model_calls import ModelCall
from motion_module.errors import HostError


def counts_for_all(value: object) -> bool:
    """Whether something is no tensor, or one row that holds for every frame; such a thing is never cut."""
    return not isinstance(value, Tensor) or value.dim() == 0 or value.shape[0] == 1


def rows_of_call(call: ModelCall, held: int) -> list[int]:
    """For each row of a call, the row of what is held.

    Args:
        call: says which rows of the denoiser call, and so which frames, are in it.
        held: how many rows are held: one for each frame, or one for each frame and branch, all of the
            prompt before all of the negative prompt (as ControlNet stacks its hints). `AND` makes no difference:
            every part of a frame has the frame's row.

    Raises:
        HostError: another number of rows, so that nobody knows whose they are.
    """
    frames = call.layout.frames
    if held not in (frames, 2 * frames):
        raise HostError(f"ControlNet holds {held} pictures for a video of {frames} frames")
    frame_numbers = (call.layout.frame_of(row) for row in call.rows)
    return [frame + frames * (uncond and held > frames) for frame, uncond in frame_numbers]


def uncond_rows_of_call(call: ModelCall) -> tuple[bool, ...]:
    """For each row of a call, whether it belongs to the negative prompt."""
    return tuple(call.layout.frame_of(row)[1] for row in call.rows)


def picked(value: Tensor, rows: Sequence[int], device: torch.device | str | None = None) -> Tensor:
    """A copy of the rows, on a device; the whole stays where it is."""
    index = torch.tensor(rows, device=value.device)
    return value.index_select(0, index).to(device or value.device)
