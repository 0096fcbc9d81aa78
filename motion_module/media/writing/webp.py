"""WEBP: one still picture a frame, muxed here, so that frames stream through and equal ones are not merged."""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from PIL import Image

from motion_module.media.errors import WriterError
from motion_module.media.writing.base import Writer
from motion_module.media.writing.metadata import exif_comment

_HAS_ANIMATION, _HAS_EXIF = 0x02, 0x08
_REPLACE = 0x02  # a frame covers the one before, nothing shines through
_LONGEST_MS = 0xFFFFFF
_LARGEST_SIDE = 16_383


class WebpWriter(Writer):
    """Animated WEBP, lossy or lossless. The infotext is EXIF's UserComment, where the WebUI looks for it.

    WEBP counts milliseconds: the rounding is spread so that the total is right.
    """

    suffix = ".webp"

    def open(self) -> None:
        self._file: BinaryIO = self.part.open("wb")

    def add(self, image: Image.Image) -> None:
        if not self.frames_written:
            self._file.write(_start(image.size, self.info.loop, bool(self.info.infotext)))
        start, end = (round(frame * 1000 / self.info.fps) for frame in (self.frames_written, self.frames_written + 1))
        head = bytes(6) + b"".join(map(_uint24, (image.width - 1, image.height - 1, min(end - start, _LONGEST_MS))))
        self._file.write(_chunk(b"ANMF", head + bytes([_REPLACE]) + self._encoded(image)))

    def finish(self) -> None:
        with self._file as file:
            if self.info.infotext:
                file.write(_chunk(b"EXIF", exif_comment(self.info.infotext)))
            size = file.tell()
            file.seek(4)
            file.write(struct.pack("<I", size - 8))

    def abort(self, error: BaseException) -> None:
        self.close_quietly(self._file)

    def _encoded(self, image: Image.Image) -> bytes:
        settings, buffer = self.settings, io.BytesIO()
        image.save(buffer, "WEBP", quality=settings.webp_quality, lossless=settings.webp_lossless)
        for name, chunk in _chunks(buffer.getvalue()):
            if name in (b"VP8 ", b"VP8L"):
                return chunk
        raise WriterError("Pillow wrote a WEBP without a picture")


WRITER = WebpWriter


def in_memory(frames: Sequence[Image.Image], fps: float) -> bytes:
    """A few small frames as an animated WEBP without end, made as fast as can be; equal frames may be merged.

    Args:
        frames: one at least, all of one size.
        fps: above 0.
    """
    buffer, times = io.BytesIO(), [round(frame * 1000 / fps) for frame in range(len(frames) + 1)]
    durations = [max(1, end - start) for start, end in itertools.pairwise(times)]
    frames[0].save(
        buffer, "WEBP", save_all=True, append_images=frames[1:], duration=durations, loop=0, method=0, quality=80
    )
    return buffer.getvalue()


def _start(size: tuple[int, int], loop: int, exif: bool) -> bytes:
    if max(size) > _LARGEST_SIDE:
        raise WriterError(f"A WEBP has {_LARGEST_SIDE} pixels a side at most, not {max(size)}")
    flags = _HAS_ANIMATION | (_HAS_EXIF if exif else 0)
    canvas = struct.pack("<I", flags) + _uint24(size[0] - 1) + _uint24(size[1] - 1)
    animation = struct.pack("<IH", 0, loop)
    return b"RIFF\0\0\0\0WEBP" + _chunk(b"VP8X", canvas) + _chunk(b"ANIM", animation)


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _chunks(riff: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and whole of each chunk of a WEBP file."""
    offset = 12
    while offset < len(riff):
        length = struct.unpack_from("<I", riff, offset + 4)[0]
        end = offset + 8 + length + length % 2
        yield riff[offset : offset + 4], riff[offset:end]
        offset = end


def _uint24(value: int) -> bytes:
    return struct.pack("<I", value)[:3]
