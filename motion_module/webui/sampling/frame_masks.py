"""Inpainting with a mask for each frame: the host, which knows one mask a run, prepares each frame by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from modules import masking
from motion_module.errors import ParamError
from motion_module.patching import assign, replaced, replaced_call
from motion_module.webui.host_types import Img2Img
from motion_module.webui.request.masks import fitted

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels."""

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
class _Prepared:
    """What the host's `init` makes of one frame."""

    latent: Tensor
    mask: Tensor
    nmask: Tensor
    conditioning: Tensor
    overlays: list[Any]
    colors: list[Any]
    overlay: Overlay

    @classmethod
    def taken_from(cls, p: Img2Img) -> _Prepared:
        overlay = Overlay(p.mask_for_overlay, p.paste_to)
        colors = list(p.color_corrections or [])
        return cls(p.init_latent, p.mask, p.nmask, p.image_conditioning, list(p.overlay_images or []), colors, overlay)


def init_each(
    p: Img2Img, masks: Sequence[Image.Image], init: Init, prompts: Any, seeds: Sequence[int], subseeds: Sequence[int]
) -> list[Overlay]:
    """Run the host's `init` once for each frame with its own mask, and join what it has made.

    Afterwards `p` holds for all frames what it holds after one `init`: latents, masks (f c h w), overlays, condition of
    inpainting checkpoints. Only masked: the parts that are cut out have one size, and follow the mask.

    Args:
        p: the host's processing object, with one picture or one for each frame.
        masks: white where frame i is to change.
        init: `p`'s own `init`.
        prompts, seeds, subseeds: its arguments.

    Returns:
        What belongs to each frame when it is finished.

    Raises:
        ParamError: only masked parts are asked for, and there are none.
    """
    pictures = list(p.init_images) if len(p.init_images) > 1 else list(p.init_images) * len(masks)
    masks = [fitted(mask, picture) for mask, picture in zip(masks, pictures, strict=True)]

    def init_frame(frame: int) -> None:
        with _one_frame(p, pictures[frame], masks[frame]):
            init(prompts[frame : frame + 1], seeds[frame : frame + 1], subseeds[frame : frame + 1])

    boxes = _crops(p, init_frame, [picture.size for picture in pictures]) if p.inpaint_full_res else [None] * len(masks)
    corrections_before = p.color_corrections
    prepared = []
    for frame, box in enumerate(boxes):
        assign(p, color_corrections=corrections_before)
        with _cropping_to(box):
            init_frame(frame)
        prepared.append(_Prepared.taken_from(p))
    _join(p, prepared, corrections_before)
    return [frame.overlay for frame in prepared]


@contextmanager
def _one_frame(p: Img2Img, picture: Image.Image, mask: Image.Image) -> Iterator[None]:
    with ExitStack() as stack:
        for name, value in (("init_images", [picture]), ("image_mask", mask), ("batch_size", 1)):
            stack.enter_context(replaced(p, name, value))
        yield


def _join(p: Img2Img, prepared: list[_Prepared], corrections: Any) -> None:
    several = corrections if corrections and len(corrections) > 1 else None  # one counts for all frames alike
    assign(
        p,
        init_latent=torch.cat([frame.latent for frame in prepared]),
        mask=torch.stack([frame.mask for frame in prepared]),
        nmask=torch.stack([frame.nmask for frame in prepared]),
        image_conditioning=torch.cat([frame.conditioning for frame in prepared]),
        overlay_images=[overlay for frame in prepared for overlay in frame.overlays],
        mask_for_overlay=prepared[0].overlay.mask,
        paste_to=prepared[0].overlay.paste_to,
        color_corrections=several or [color for frame in prepared for color in frame.colors] or None,
    )


class _MaskedPart(Exception):  # noqa: N818  (a way out, no error)
    """Ends an `init` as soon as it knows the part that is masked (None: nothing is)."""

    def __init__(self, box: Box | None) -> None:
        super().__init__()
        self.box = box


def _crops(p: Img2Img, init_frame: Callable[[int], None], sizes: list[tuple[int, int]]) -> list[Box]:
    """The part of each frame that is worked on, of one size where the frames have one size.

    A size of its own for each frame would make its content swell and shrink from frame to frame.
    """
    masked = [_masked_part(init_frame, frame) for frame in range(len(sizes))]
    if not any(masked):
        raise ParamError(f"all {len(masked)} masks are black; allowed are masks with white, which changes")
    boxes = _filled(masked)
    if len(set(sizes)) > 1:
        return [
            masking.expand_crop_region(box, p.width, p.height, *size) for box, size in zip(boxes, sizes, strict=True)
        ]
    width, height = (max(box[axis + 2] - box[axis] for box in boxes) for axis in (0, 1))
    _, _, width, height = _at_origin(masking.expand_crop_region((0, 0, width, height), p.width, p.height, *sizes[0]))
    return [_centred(box, width, height, *sizes[0]) for box in boxes]


def _masked_part(init_frame: Callable[[int], None], frame: int) -> Box | None:
    def finding(part: Callable[..., Box | None]) -> Callable[..., None]:
        def stop(mask: Any, padding: int = 0) -> None:
            raise _MaskedPart(part(mask, padding))

        return stop

    with replaced_call(masking, "get_crop_region_v2", finding):
        try:
            init_frame(frame)
        except _MaskedPart as stopped:
            return stopped.box
    return None


def _filled(masked: list[Box | None]) -> list[Box]:
    """A frame whose mask is black stays as it is, wherever it is cut: it takes the part of the frame before it."""
    first = next(box for box in masked if box)
    boxes = []
    for box in masked:
        first = box or first
        boxes.append(first)
    return boxes


def _at_origin(box: Box) -> Box:
    return 0, 0, box[2] - box[0], box[3] - box[1]


def _centred(box: Box, width: int, height: int, whole_width: int, whole_height: int) -> Box:
    """A box of this size about the middle of `box`, moved to lie inside the picture."""
    left = min(max((box[0] + box[2] - width) // 2, 0), whole_width - width)
    top = min(max((box[1] + box[3] - height) // 2, 0), whole_height - height)
    return left, top, left + width, top + height


@contextmanager
def _cropping_to(box: Box | None) -> Iterator[None]:
    """The host cuts out this part, whatever is masked; None leaves it to the host."""
    if box is None:
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(replaced_call(masking, "get_crop_region_v2", lambda _: lambda *_: box))
        stack.enter_context(replaced_call(masking, "expand_crop_region", lambda _: lambda region, *_: region))
        yield
