"""The inpaint masks that a request brings along, as pictures for its frames."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from motion_module.errors import ParamError
from motion_module.media.errors import ReaderError
from motion_module.media.reading.pixels import read_mask
from motion_module.webui.request import listening
from motion_module.webui.request.mask_matching import are_enough
from motion_module.webui.request.video_source import VideoIn
from motion_module.wording import mention


def read_masks(video: VideoIn, frames: int) -> list[Image.Image]:
    """The masks that a request brings along: none, one for all frames, or one for each.

    Raises:
        ParamError: there are as many as neither this video nor the one that comes in has frames, or one cannot be read.
        UserError: the run was interrupted or skipped.
    """
    count = len(video.masks)
    if not are_enough(count, frames, len(video.files)):
        raise ParamError(
            f"{mention(video.name)} has {count} masks for {frames} frames; allowed is one mask, or one for each frame"
        )
    try:
        return [_heard(file) for file in video.masks[: max(1, frames)]]
    except ReaderError as error:
        raise ParamError(f"the masks of {mention(video.name)} cannot be used: {error}") from error


def _heard(file: Path) -> Image.Image:
    listening.check("masks")
    return read_mask(file)


def fitted(mask: Image.Image, picture: Image.Image) -> Image.Image:
    """The mask in its picture's size; the host cuts parts out of both by the mask's pixels."""
    return mask if mask.size == picture.size else mask.resize(picture.size)
