"""Which mask belongs to which frame. One mask counts for all frames, everywhere; of several there is one for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from motion_module.media.errors import ReaderError

_Mask = TypeVar("_Mask")


def masks_of(masks: Sequence[Path], frame_numbers: Sequence[int], frames: int | None) -> tuple[Path, ...]:
    """The masks of the frames that are taken of a source.

    Args:
        masks: all that there are.
        frame_numbers: those that are taken.
        frames: how many the source has; None where it was not read to its end.

    Raises:
        ReaderError: there are neither one nor as many as frames.
    """
    if len(masks) in (0, 1, len(frame_numbers)):
        return tuple(masks)
    if len(masks) == frames or (frames is None and len(masks) > frame_numbers[-1]):
        return tuple(masks[number] for number in frame_numbers)
    needed = len(frame_numbers) if frames is None else frames
    raise ReaderError(f"there are {len(masks)} masks; allowed is one, or one for each of the {needed} frames")


def are_enough(masks: int, frames: int, taken: int) -> bool:
    """Whether so many masks serve a video of so many frames, which may be fewer than were taken of its source."""
    return masks in (0, 1, frames) or frames <= masks == taken


def masks_by_name(masks: Sequence[str], frames: Sequence[str], pictures: int) -> list[str] | None:
    """The masks of the first files of a folder: those of the same names, else as many as frames or as pictures there.

    Args:
        masks: at least one.
        frames: the files that are taken.
        pictures: how many there are.

    Returns:
        One, or one for each frame; None where they do not fit.
    """
    named = {Path(mask).stem: mask for mask in masks}
    if len(masks) == 1:
        return list(masks)
    if all(Path(frame).stem in named for frame in frames):
        return [named[Path(frame).stem] for frame in frames]
    return list(masks[: len(frames)]) if len(masks) in (len(frames), pictures) else None


def masks_in_order(masks: Sequence[_Mask], pictures: int) -> list[_Mask]:
    """As ControlNet has it: one for each picture, or where there are fewer the first one for all."""
    return list(masks[: pictures if len(masks) >= pictures else 1])
