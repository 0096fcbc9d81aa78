"""The frames of a video that is continued, as latents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from motion_module.webui.request import listening
from motion_module.webui.sampling.encoding import encoded_in_size


class ClipFrames:
    """What is there of a video already.

    Args:
        pictures: its frames; none where there are latents.
        latents: f c h w, where they were kept.
        fps: frames per second; None where nothing says.

    Attributes:
        fps: the same.
    """

    def __init__(
        self, pictures: Sequence[Image.Image], latents: Tensor | None = None, fps: float | None = None
    ) -> None:
        self._pictures, self._latents = pictures, latents
        self.fps = fps

    def __len__(self) -> int:
        return len(self._pictures) if self._latents is None else len(self._latents)

    def latents(self, width: int, height: int) -> Tensor:
        """f c h w, those that were kept, or each frame encoded by the host's VAE, one after the other.

        Args:
            width, height: of the frames in pixels.

        Raises:
            PictureError: a file cannot be read any more.
            UserError: the run was interrupted or skipped.
        """
        if self._latents is None:
            self._latents = torch.cat([self._encoded(frame, width, height) for frame in range(len(self._pictures))])
        return self._latents

    def _encoded(self, frame: int, width: int, height: int) -> Tensor:
        listening.show_frame("frames to go on with", frame, len(self._pictures))
        return encoded_in_size(self._pictures[frame], width, height).cpu()
