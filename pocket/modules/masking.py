"""Inpainting: which part of the picture the mask is about, and filling the masked part with colours from around it."""

import numpy as np
from PIL import Image, ImageFilter, ImageOps

Box = tuple[int, int, int, int]

FIXED_POINT = 256

FILL_PASSES = ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1))
"""Blur radius and how often it is laid on; the last pass is the picture itself."""


def _as_image(mask: Image.Image | np.ndarray) -> Image.Image:
    return mask if isinstance(mask, Image.Image) else Image.fromarray(mask)


def get_crop_region_v2(mask: Image.Image | np.ndarray, pad: int = 0) -> Box | None:
    """The box `(left, top, right, bottom)` of what is not black, `pad` pixels larger; None if all is black."""
    picture = _as_image(mask)
    box = picture.getbbox()
    if box is None:
        return None
    width, height = picture.size
    left, top, right, bottom = box
    return max(left - pad, 0), max(top - pad, 0), min(right + pad, width), min(bottom + pad, height)


def get_crop_region(mask: Image.Image | np.ndarray, pad: int = 0) -> Box:
    """As `get_crop_region_v2`, but a black mask gives a box whose sides may be the wrong way round."""
    width, height = _as_image(mask).size
    inside_out = max(width - pad, 0), max(height - pad, 0), min(pad, width), min(pad, height)
    return get_crop_region_v2(mask, pad) or inside_out


def _widened(start: int, end: int, wanted: float, limit: int) -> tuple[int, int]:
    """The stretch made `wanted` long about its middle, moved to lie within 0..limit, and cut if it does not fit."""
    more = int(wanted - (end - start))
    start, end = start - more // 2, end + more - more // 2
    if end >= limit:
        start, end = start - (end - limit), limit
    if start < 0:
        start, end = 0, end - start
    return start, min(end, limit)


def expand_crop_region(
    crop_region: Box, processing_width: int, processing_height: int, image_width: int, image_height: int
) -> Box:
    """The box made wider or higher to have the proportions in which it will be processed."""
    left, top, right, bottom = crop_region
    ratio = processing_width / processing_height
    if (right - left) / (bottom - top) > ratio:
        top, bottom = _widened(top, bottom, (right - left) / ratio, image_height)
    else:
        left, right = _widened(left, right, (bottom - top) * ratio, image_width)
    return left, top, right, bottom


def fill(image: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture with its masked part painted over with blurred colours of the rest."""
    visible = Image.new("RGBa", image.size)
    visible.paste(image.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask.convert("L")))
    painted = Image.new("RGBA", image.size)
    for radius, times in FILL_PASSES:
        layer = visible.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(times):
            painted.alpha_composite(layer)
    return painted.convert("RGB")


def _kernel(sigma: float) -> list[int]:
    """A Gaussian in 256ths that add up to 256: what rounding one weight leaves over goes to the next one inward.

    This is how OpenCV blurs 8-bit pictures, with which WebUI blurs masks; so the masks are the same to the bit.
    """
    radius = int(2.5 * sigma + 0.5)
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    side, left_over = [], 0.0
    for weight in weights[:radius] * FIXED_POINT:
        side.append(round(weight + left_over))
        left_over += weight - side[-1]
    return [*side, FIXED_POINT - 2 * sum(side), *reversed(side)]


def _blurred(pixels: np.ndarray, sigma: float, axis: int) -> np.ndarray:
    if sigma <= 0:
        return pixels
    kernel = _kernel(sigma)
    radius, length = len(kernel) // 2, pixels.shape[axis]
    padding = [(radius, radius) if direction == axis else (0, 0) for direction in range(2)]
    padded = np.pad(pixels.astype(np.int64), padding, mode="reflect")
    total = sum(weight * np.take(padded, range(at, at + length), axis) for at, weight in enumerate(kernel))
    return ((total + FIXED_POINT // 2) // FIXED_POINT).astype(np.uint8)


def blur_mask(mask: Image.Image, blur_x: float, blur_y: float) -> Image.Image:
    """The greyscale mask blurred by a Gaussian of these standard deviations in pixels (0: not at all)."""
    pixels = np.asarray(mask.convert("L"))
    return Image.fromarray(_blurred(_blurred(pixels, blur_x, axis=1), blur_y, axis=0))
