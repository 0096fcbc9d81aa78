"""Inpainting with a mask for each frame: the host, which knows one mask a run, prepares each frame by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from PIL import Image

from modules import masking
from motion_module.errors import ParamError
from motion_module.patching import replaced_call
from motion_module.webui.sampling.host_init import Frames, Overlay

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels."""


def init_each(frames: Frames, masks: Sequence[Image.Image]) -> list[Overlay]:
    """Run the host's `init` once for each frame with its own mask, and join what it has made.

    Afterwards `p` holds for all frames what it holds after one `init`: latents, masks (f c h w), overlays, condition of
    inpainting checkpoints. Only masked: the parts that are cut out have one size, and follow the mask.

    Args:
        frames: with the picture of each.
        masks: white where frame i is to change.

    Returns:
        What belongs to each frame when it is finished.

    Raises:
        ParamError: only masked parts are asked for, and there are none.
    """
    sizes = frames.sizes()
    masks = [mask if mask.size == size else mask.resize(size) for mask, size in zip(masks, sizes, strict=True)]
    boxes = _crops(frames, masks, sizes) if frames.p.inpaint_full_res else [None] * len(masks)
    prepared = []
    for frame, box in enumerate(boxes):
        with _cropping_to(box):
            prepared.append(frames.prepare(frame, image_mask=masks[frame]))
    frames.join(prepared)
    return [frame.overlay for frame in prepared]


class _MaskedPart(Exception):  # noqa: N818  (a way out, no error)
    """Ends an `init` as soon as it knows the part that is masked (None: nothing is)."""

    def __init__(self, box: Box | None) -> None:
        super().__init__()
        self.box = box


def _crops(frames: Frames, masks: Sequence[Image.Image], sizes: list[tuple[int, int]]) -> list[Box]:
    """The part of each frame that is worked on, of one size where the frames have one size.

    A size of its own for each frame would make its content swell and shrink from frame to frame.
    """
    p = frames.p
    masked = [_masked_part(frames, frame, mask) for frame, mask in enumerate(masks)]
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


def _masked_part(frames: Frames, frame: int, mask: Image.Image) -> Box | None:
    def finding(part: Callable[..., Box | None]) -> Callable[..., None]:
        def stop(mask: Any, padding: int = 0) -> None:
            raise _MaskedPart(part(mask, padding))

        return stop

    with replaced_call(masking, "get_crop_region_v2", finding):
        try:
            frames.prepare(frame, image_mask=mask)
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
