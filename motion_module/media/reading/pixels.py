"""Pictures of any kind as what a video is made of: 8-bit RGB, or an 8-bit grey mask."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from motion_module.media.errors import DAMAGE, ReaderError
from motion_module.media.reading.folders import load_small, opened_picture

_ORIENTATION = 0x0112  # of EXIF
_TURNS = {  # how a picture is turned that a camera has saved lying, by EXIF's number of it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PLAIN = ("RGB", "L")
_WITH_ALPHA = ("LA", "PA", "RGBA", "RGBa")
_SIXTEEN_BITS = (None, "PNG", "PPM")  # formats whose 32-bit pictures, as Pillow calls them, go from 0 to 65535
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT, _LEAST, _MOST = 258, 262, 339, 340, 341  # tags of TIFF
_WHITE_IS_ZERO, _UNSIGNED = 0, 1


def read_rgb(file: Path, background: str = "white") -> Image.Image:
    """A picture file as 8-bit RGB, standing upright.

    Args:
        file: any that Pillow reads.
        background: the colour behind what is transparent.

    Raises:
        ReaderError: it cannot be read, or what its numbers mean cannot be told; names the file.
    """
    with opened_picture(file) as picture:
        return as_rgb(picture, background)


def read_mask(file: Path) -> Image.Image:
    """A picture file as an 8-bit grey mask, standing upright; white is what may change.

    Raises:
        ReaderError: it cannot be read, or what its numbers mean cannot be told; names the file.
    """
    with opened_picture(file) as picture:
        return as_mask(picture)


def is_plain(file: Path, modes: tuple[str, ...] = _PLAIN) -> bool:
    """Whether any program reads a picture file as it is meant: 8 bits, nothing transparent, and it stands upright.

    The picture is decoded once, so that a broken one is found before work begins.

    Args:
        file: the picture.
        modes: Pillow's names of what counts as plain.

    Raises:
        ReaderError: it cannot be read, or what its numbers mean cannot be told; names the file.
    """
    with opened_picture(file) as picture:
        if picture.mode not in modes or "transparency" in picture.info:
            as_rgb(picture)
            return False
        load_small(picture)
        return _orientation(picture) not in _TURNS


def as_rgb(picture: Image.Image, background: str = "white") -> Image.Image:
    """A picture as 8-bit RGB, standing upright.

    16 bits are scaled to 8, palettes are looked up, and what is transparent is laid on a colour, as the host does it
    with the pictures of img2img.

    Raises:
        ReaderError: what its numbers mean cannot be told.
    """
    eight_bits = _eight_bits(picture)
    if eight_bits.mode == "RGBA":
        below = Image.new("RGBA", eight_bits.size, background)
        below.paste(eight_bits, mask=eight_bits)
        eight_bits = below
    return _upright(picture, eight_bits.convert("RGB"))


def as_mask(picture: Image.Image) -> Image.Image:
    """A picture as an 8-bit grey mask, standing upright: its transparency where it has any, else its brightness.

    Raises:
        ReaderError: what its numbers mean cannot be told.
    """
    eight_bits = _eight_bits(picture)
    if eight_bits.mode == "RGBA":
        alpha = eight_bits.getchannel("A")
        eight_bits = alpha if alpha.getextrema() != (255, 255) else eight_bits
    return _upright(picture, eight_bits.convert("L"))


def _eight_bits(picture: Image.Image) -> Image.Image:
    """The picture in mode L, RGB, or RGBA where something may be transparent."""
    coarse = _coarse_colours(picture)  # which loading forgets
    picture.load()
    mode, key = picture.mode, picture.info.get("transparency")
    if mode in ("I", "F") or mode.startswith("I;16"):
        return _with_key(_scaled(picture), np.asarray(picture), key)
    if mode == "LAB":
        return _from_lab(picture)
    if mode in _WITH_ALPHA or (mode == "P" and (key is not None or _palette_has_alpha(picture))):
        return picture.convert("RGBA")
    if mode in ("1", "L"):
        grey = picture.convert("L")
        one_bit = mode == "1" and isinstance(key, int)  # its white is 1, or 255 in newer Pillow
        return _with_key(grey, np.asarray(grey), 255 * bool(key) if one_bit else key)
    rgb = picture if mode == "RGB" else picture.convert("RGB")
    if mode == "RGB" and isinstance(key, tuple):
        return _with_key(rgb, np.asarray(rgb), tuple(part >> 8 for part in key) if coarse else key)
    if mode == "RGB" and isinstance(key, bytes):
        return rgb.convert("RGBA")
    return rgb


def _palette_has_alpha(picture: Image.Image) -> bool:
    return picture.palette is not None and picture.palette.mode == "RGBA"


def _from_lab(picture: Image.Image) -> Image.Image:
    try:
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, lab, srgb, outputMode="RGB") or picture
    except (ImportError, ImageCms.PyCMSError) as error:
        raise ReaderError("its colours are in CIELAB, which cannot be converted here; save it as RGB") from error


def _coarse_colours(picture: Image.Image) -> bool:
    """Whether it has 16 bits a channel, of which Pillow reads the upper 8."""
    tiles: Any = getattr(picture, "tile", None) or []
    return any(";16" in str(tile[-1]) for tile in tiles)


def _with_key(picture: Image.Image, values: np.ndarray, key: Any) -> Image.Image:
    """The picture, transparent where its values are those that its file calls so."""
    if not isinstance(key, (int, tuple)):
        return picture
    same = values == np.asarray(key)
    hidden = same.all(axis=2) if same.ndim == 3 else same
    rgba = picture.convert("RGBA")
    rgba.putalpha(Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8)))
    return rgba


def _scaled(picture: Image.Image) -> Image.Image:
    """Grey values of more than 8 bits, scaled to 8.

    Raises:
        ReaderError: the file does not say between which values they lie.
    """
    least, most, inverted = _value_range(picture)
    values = np.asarray(picture).astype(np.float64)
    if not np.isfinite(values).all():
        raise ReaderError("some of its values are not numbers (NaN or infinity)")
    scaled = np.clip((values - least) * (255 / (most - least)), 0, 255)
    return Image.fromarray(np.rint(255 - scaled if inverted else scaled).astype(np.uint8))


def _value_range(picture: Image.Image) -> tuple[float, float, bool]:
    """The values of black and white, and whether they are the other way round."""
    tags: Any = getattr(picture, "tag_v2", None) or {}
    inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    least, most = _first(tags.get(_LEAST)), _first(tags.get(_MOST))
    if least is not None and most is not None and most > least:
        return least, most, inverted
    sixteen = picture.mode.startswith("I;16") or picture.format in _SIXTEEN_BITS
    bits = int(_first(tags.get(_BITS)) or (16 if sixteen else 32))
    if picture.mode == "F" or bits > 16 or _first(tags.get(_SAMPLE_FORMAT, _UNSIGNED)) != _UNSIGNED:
        kind = "floating-point" if picture.mode == "F" else "whole"
        raise ReaderError(
            f"its values are {kind} numbers, and it does not say which of them are black and white; "
            f"save it with 8 or 16 bits"
        )
    return 0, 2**bits - 1, inverted


def _first(value: Any) -> float | None:
    """A number of a TIFF's tag, which may be a list of one for each channel."""
    value = value[0] if isinstance(value, tuple) and value else value
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _orientation(picture: Image.Image) -> Any:
    """EXIF's number of how a decoded picture lies; None where there is none, or EXIF is damaged."""
    if picture.format == "TIFF":
        return None  # Pillow has turned it, but leaves the number
    try:
        return picture.getexif().get(_ORIENTATION)
    except DAMAGE:
        return None


def _upright(picture: Image.Image, converted: Image.Image) -> Image.Image:
    turn = _TURNS.get(_orientation(picture))
    if turn is not None:
        return converted.transpose(turn)
    return converted.copy() if converted is picture else converted
