"""Hires fix: what size the second pass has."""

import math
from typing import NamedTuple

STANDARD_PIXELS = 512 * 512
MULTIPLE = 64


class Target(NamedTuple):
    """Size to enlarge to, in pixels, and how many latents to cut off of it, in both directions."""

    width: int
    height: int
    cut_x: int = 0
    cut_y: int = 0


def old_hires_fix_first_pass_dimensions(width: int, height: int) -> tuple[int, int]:
    """The first pass's size as it once was chosen: about 512x512 pixels in the final proportions."""
    scale = math.sqrt(STANDARD_PIXELS / (width * height))
    return math.ceil(scale * width / MULTIPLE) * MULTIPLE, math.ceil(scale * height / MULTIPLE) * MULTIPLE


def target_of(width: int, height: int, scale: float, resize_x: int, resize_y: int, pixels_a_latent: int) -> Target:
    """The second pass's size.

    Args:
        width, height: of the first pass.
        scale: used if neither `resize_x` nor `resize_y` is given (0).
        resize_x, resize_y: wanted sides; with one of them the proportions are kept, with both the picture
            is enlarged to cover them and cut.
    """
    if not resize_x and not resize_y:
        return Target(int(width * scale), int(height * scale))
    by_width = Target(resize_x, resize_x * height // width)
    by_height = Target(resize_y * width // height, resize_y)
    if not resize_y:
        return by_width
    if not resize_x:
        return by_height
    covering = by_width if width / height < resize_x / resize_y else by_height
    cut_x, cut_y = covering.width - resize_x, covering.height - resize_y
    return Target(covering.width, covering.height, cut_x // pixels_a_latent, cut_y // pixels_a_latent)
