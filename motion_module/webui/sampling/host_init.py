"""img2img's `init` of the host for a part of the frames at a time, and what it has made joined for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from motion_module.patching import assign, replaced_all
from motion_module.webui.host_types import Img2Img
from motion_module.webui.request import listening
from motion_module.webui.request.frame_files import FrameFiles

BLOCK = 16
"""Frames that are floating-point pixels at the same time; the host alone would make all of them so."""

Init = Callable[..., None]


@dataclass(frozen=True)
class Overlay:
    """What lies over one finished frame.

    Attributes:
        mask: what is returned as its mask, and cut out of the overlay.
        paste_to: where a cropped frame belongs: left, top, width, height.
    """

    mask: Any
    paste_to: Any


@dataclass(frozen=True)
class Prepared:
    """What the host's `init` makes of some frames.

    Attributes:
        latent: f c h w.
        mask, nmask: c h w, what is kept and what changes in all of them; None without a mask.
        conditioning: f ..., what an inpainting checkpoint sees.
        overlays, colors: of each frame; none without a mask, without the colours' correction.
        overlay: the mask and the place of these frames.
    """

    latent: Tensor
    mask: Tensor | None
    nmask: Tensor | None
    conditioning: Tensor
    overlays: list[Any]
    colors: list[Any]
    overlay: Overlay


class Frames:
    """The frames of a run, of which the host prepares some at a time.

    Args:
        p: the host's processing object.
        init: its own `init`.
        pictures: that frame i starts from.
        prompts, seeds, subseeds: the arguments of `init`.
    """

    def __init__(
        self,
        p: Img2Img,
        init: Init,
        pictures: Sequence[Image.Image],
        prompts: Sequence[str],
        seeds: Sequence[int],
        subseeds: Sequence[int],
    ) -> None:
        self.p, self.pictures = p, pictures
        self._init = init
        self._of_frames = prompts, seeds, subseeds
        self._corrections = p.color_corrections

    def prepare(self, first: int, count: int = 1, **changes: Any) -> Prepared:
        """Have the host prepare some frames.

        Args:
            first, count: which.
            changes: attributes of `p` that have other values meanwhile.

        Raises:
            PictureError: a file cannot be read any more.
            UserError: the run was interrupted or skipped.
        """
        p, part = self.p, slice(first, first + count)
        listening.show_frame("pictures", first, len(self.pictures))
        pictures = list(self.pictures[part])
        assign(p, color_corrections=self._corrections)
        with replaced_all(p, {"init_images": pictures, "batch_size": len(pictures), **changes}):
            self._init(*(values[part] for values in self._of_frames))
            overlay = Overlay(p.mask_for_overlay, p.paste_to)
            colors, overlays = list(p.color_corrections or []), list(p.overlay_images or [])
            return Prepared(p.init_latent, p.mask, p.nmask, p.image_conditioning, overlays, colors, overlay)

    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of each picture in pixels."""
        files = self.pictures
        return files.sizes() if isinstance(files, FrameFiles) else [picture.size for picture in files]

    def join(self, prepared: Sequence[Prepared]) -> None:
        """Have `p` hold for all frames what it holds after one `init`.

        Where the parts have masks of their own, and each is one frame, masks are f c h w afterwards.
        """
        p = self.p
        given = self._corrections if self._corrections and len(self._corrections) > 1 else None  # one is for all alike
        masks = _joined([part.mask for part in prepared]), _joined([part.nmask for part in prepared])
        assign(
            p,
            init_latent=torch.cat([part.latent for part in prepared]),
            mask=masks[0],
            nmask=masks[1],
            image_conditioning=torch.cat([part.conditioning for part in prepared]),
            overlay_images=[overlay for part in prepared for overlay in part.overlays] or p.overlay_images,
            mask_for_overlay=prepared[0].overlay.mask,
            paste_to=prepared[0].overlay.paste_to,
            color_corrections=given or [color for part in prepared for color in part.colors] or None,
        )


def init_in_blocks(frames: Frames) -> None:
    """Run the host's `init` for some frames after the other; `p` holds the same afterwards as after one `init`."""
    frames.join([frames.prepare(first, BLOCK) for first in range(0, len(frames.pictures), BLOCK)])


def _joined(masks: Sequence[Tensor | None]) -> Tensor | None:
    """One mask for all where the parts have the same; f c h w where each part is a frame with its own."""
    first, *others = masks
    if first is None or all(other is not None and torch.equal(first, other) for other in others):
        return first
    return torch.stack([mask for mask in masks if mask is not None])
