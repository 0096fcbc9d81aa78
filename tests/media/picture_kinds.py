"""Picture files of every kind, and what they show: made here, with values that can be worked out by hand."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

SIDE = 64
RED, BLUE = (255, 0, 0), (0, 0, 255)


@dataclass(frozen=True)
class Kind:
    """A kind of picture file.

    Attributes:
        suffix: of its name.
        save: writes one.
        rgb: what it shows on white: one colour, or those of its upper and lower half.
        mask: as a mask; None where that is the brightness of `rgb`.
        near: how far values may be from that (JPEG).
    """

    suffix: str
    save: Callable[[Path], Any]
    rgb: tuple[Any, ...]
    mask: int | None = None
    near: int = 0

    def pixels(self) -> np.ndarray:
        """(64, 64, 3) uint8."""
        found = np.empty((SIDE, SIDE, 3), np.uint8)
        halves = self.rgb if isinstance(self.rgb[0], tuple) else (self.rgb, self.rgb)
        found[: SIDE // 2], found[SIDE // 2 :] = halves
        return found

    def grey(self) -> np.ndarray:
        """(64, 64) uint8: the mask."""
        if self.mask is not None:
            return np.full((SIDE, SIDE), self.mask, np.uint8)
        return np.asarray(Image.fromarray(self.pixels()).convert("L"))


def new(mode: str, colour: Any) -> Image.Image:
    return Image.new(mode, (SIDE, SIDE), colour)


def sixteen(value: int) -> Image.Image:
    return Image.fromarray(np.full((SIDE, SIDE), value, np.uint16))


def palette(colours: list[int]) -> Image.Image:
    """A picture of colour 1."""
    picture = new("P", 1)
    picture.putpalette(colours)
    return picture


def lying() -> Image.Image:
    """Red on the left, blue on the right; turned by orientation 6 (90 degrees clockwise) red is above."""
    picture = new("RGB", BLUE)
    picture.paste(RED, (0, 0, SIDE // 2, SIDE))
    return picture


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def png(path: Path, kind: int, bits: int, pixel: bytes, *chunks: tuple[bytes, bytes]) -> None:
    """A PNG as Pillow cannot write it: every pixel is `pixel`."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, bits, kind, 0, 0, 0))
    rows = zlib.compress((b"\0" + pixel * SIDE) * SIDE)
    body = b"".join(chunk(*one) for one in chunks) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)


def tiff(path: Path, bits: int, data: bytes, photometric: int = 1, order: str = "<", sample_format: int = 1) -> None:
    """A TIFF as Pillow cannot write it."""
    tags = {256: SIDE, 257: SIDE, 258: bits, 259: 1, 262: photometric, 277: 1, 278: SIDE, 279: len(data)}
    tags |= {339: sample_format}
    place = 8 + 2 + 12 * (len(tags) + 1) + 4
    tags[273] = place
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, 4, 1) + struct.pack(f"{order}I", value) for tag, value in sorted(tags.items())
    )
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    path.write_bytes(head + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + data)  # no further page


def float_tiff(path: Path, value: float, span: tuple[float, float] | None = None) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, end in zip((340, 341), span or (), strict=False):
        tags.tagtype[tag] = 11
        tags[tag] = end
    Image.fromarray(np.full((SIDE, SIDE), value, np.float32)).save(path, tiffinfo=tags)


def signed_tiff(path: Path) -> None:
    tiff(path, 16, struct.pack("<h", -5) * SIDE * SIDE, sample_format=2)


def pages(path: Path) -> None:
    new("RGB", RED).save(path, save_all=True, append_images=[new("RGB", BLUE)])


GREY = (156, 156, 156)  # 40000 / 257
HALF_RED = (255, 127, 127)  # 128 / 255 of red on white
WHITE = (255, 255, 255)
KINDS = {
    "8-bit RGB": Kind(".png", new("RGB", (9, 80, 200)).save, (9, 80, 200)),
    "8-bit grey": Kind(".png", new("L", 77).save, (77, 77, 77)),
    "16-bit grey PNG": Kind(".png", sixteen(40000).save, GREY),
    "16-bit grey TIFF": Kind(".tif", sixteen(40000).save, GREY),
    "16-bit grey TIFF, big-endian": Kind(
        ".tif", lambda path: tiff(path, 16, b"\x9c\x40" * SIDE * SIDE, order=">"), GREY
    ),
    "16-bit grey TIFF, white is 0": Kind(
        ".tif", lambda path: tiff(path, 16, struct.pack("<H", 25535) * SIDE * SIDE, photometric=0), GREY
    ),
    "12-bit grey TIFF": Kind(
        ".tif", lambda path: tiff(path, 12, b"\x80\x08\x00" * (SIDE * SIDE // 2)), (128, 128, 128)
    ),
    "16-bit RGB PNG": Kind(
        ".png", lambda path: png(path, 2, 16, struct.pack(">HHH", 40000, 65535, 256)), (156, 255, 1)
    ),
    "16-bit RGB PNG with a transparent colour": Kind(
        ".png",
        lambda path: png(
            path, 2, 16, struct.pack(">HHH", 40000, 65535, 256), (b"tRNS", struct.pack(">HHH", 40000, 65535, 256))
        ),
        WHITE,
        0,
    ),
    "16-bit grey PNG with a transparent value": Kind(
        ".png", lambda path: png(path, 0, 16, b"\x9c\x40", (b"tRNS", b"\x9c\x40")), WHITE, 0
    ),
    "float TIFF that says its range": Kind(".tif", lambda path: float_tiff(path, 0.5, (0, 1)), (128, 128, 128)),
    "palette": Kind(".png", palette([0, 0, 0, *RED]).save, RED),
    "palette with transparency": Kind(
        ".png", lambda path: palette([0, 0, 0, *RED]).save(path, transparency=b"\xff\x80"), HALF_RED, 128
    ),
    "palette with a transparent colour": Kind(
        ".png", lambda path: palette([0, 0, 0, *RED]).save(path, transparency=1), WHITE, 0
    ),
    "1-bit": Kind(".png", new("1", 1).save, WHITE),
    "1-bit TIFF": Kind(".tif", new("1", 1).save, WHITE),
    "1-bit with transparent white": Kind(".png", lambda path: new("1", 1).save(path, transparency=1), WHITE, 0),
    "grey with alpha": Kind(".png", new("LA", (0, 128)).save, (127, 127, 127), 128),
    "RGB with alpha": Kind(".png", new("RGBA", (255, 0, 0, 128)).save, HALF_RED, 128),
    "RGB with alpha that hides nothing": Kind(".png", new("RGBA", (255, 0, 0, 255)).save, RED),
    "grey with a transparent value": Kind(".png", lambda path: new("L", 7).save(path, transparency=7), WHITE, 0),
    "RGB with a transparent colour": Kind(
        ".png", lambda path: new("RGB", (7, 8, 9)).save(path, transparency=(7, 8, 9)), WHITE, 0
    ),
    "WEBP with alpha": Kind(
        ".webp", lambda path: new("RGBA", (255, 0, 0, 128)).save(path, lossless=True), HALF_RED, 128
    ),
    "CMYK JPEG": Kind(".jpg", lambda path: new("CMYK", (0, 255, 255, 0)).save(path, quality=100), RED, near=2),
    "CMYK TIFF": Kind(".tif", new("CMYK", (0, 255, 255, 0)).save, RED),
    "CIELAB TIFF": Kind(".tif", new("LAB", (138, 128, 128)).save, (131, 131, 131), near=2),
    "JPEG of a phone held upright": Kind(
        ".jpg", lambda path: lying().save(path, exif=turned(), quality=100, subsampling=0), (RED, BLUE), near=3
    ),
    "PNG that EXIF turns": Kind(".png", lambda path: lying().save(path, exif=turned()), (RED, BLUE)),
    "WEBP that EXIF turns": Kind(".webp", lambda path: lying().save(path, exif=turned(), lossless=True), (RED, BLUE)),
    "TIFF that is turned": Kind(".tif", lambda path: lying().save(path, exif=turned()), (RED, BLUE)),
}
UNKNOWN = {  # what cannot be meant: how it is made, and what is said
    "float TIFF": (lambda path: float_tiff(path, 0.5), "floating-point numbers"),
    "float TIFF of no numbers": (lambda path: float_tiff(path, float("nan"), (0, 1)), "NaN"),
    "signed TIFF": (signed_tiff, "whole numbers"),
    "32-bit TIFF": (lambda path: tiff(path, 32, struct.pack("<I", 7) * SIDE * SIDE), "whole numbers"),
    "TIFF of two pages": (pages, "2 pictures in it"),
}


def folder_of_kinds(folder: Path) -> list[Kind]:
    """Write one picture of each kind, named by their order."""
    folder.mkdir(parents=True)
    for place, kind in enumerate(KINDS.values()):
        kind.save(folder / f"{place:02}{kind.suffix}")
    return list(KINDS.values())
