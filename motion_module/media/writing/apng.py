"""APNG: one PNG a frame, muxed here, so that frames stream through and stay exact."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from motion_module.media.writing.base import Writer
from motion_module.media.writing.png import COMPRESSION

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class ApngWriter(Writer):
    """Animated PNG, lossless, with the infotext in the text chunk `parameters`. Durations are exact fractions."""

    suffix = ".apng"

    def open(self) -> None:
        self._file: BinaryIO = self.part.open("w+b")
        self._sequence = 0
        rate = Fraction(self.info.fps).limit_denominator(500)  # both parts have 16 bits
        self._delay = (rate.denominator, rate.numerator)

    def add(self, image: Image.Image) -> None:
        chunks = list(_chunks(self._encoded(image)))
        if not self.frames_written:
            self._file.write(_SIGNATURE + _chunk(*chunks[0]))
            self._count_at = self._file.tell()
            self._file.write(self._count(0))
            self._file.write(b"".join(_chunk(name, data) for name, data in chunks[1:] if name in (b"tEXt", b"iTXt")))
        self._file.write(
            _chunk(b"fcTL", self._next() + struct.pack(">IIIIHHBB", *image.size, 0, 0, *self._delay, 0, 0))
        )
        for name, data in chunks:
            if name == b"IDAT":
                self._file.write(_chunk(b"fdAT", self._next() + data) if self.frames_written else _chunk(name, data))

    def finish(self) -> None:
        with self._file as file:
            file.write(_chunk(b"IEND", b""))
            file.seek(self._count_at)
            file.write(self._count(self.frames_written))

    def abort(self, error: BaseException) -> None:
        self.close_quietly(self._file)

    def _encoded(self, image: Image.Image) -> bytes:
        text, buffer = PngInfo(), io.BytesIO()
        if self.info.infotext and not self.frames_written:
            text.add_text("parameters", self.info.infotext)
        image.save(buffer, "PNG", pnginfo=text, compress_level=COMPRESSION)
        return buffer.getvalue()

    def _count(self, frames: int) -> bytes:
        return _chunk(b"acTL", struct.pack(">II", frames, self.info.loop))

    def _next(self) -> bytes:
        """The number of the next animation chunk, as bytes."""
        self._sequence += 1
        return struct.pack(">I", self._sequence - 1)


WRITER = ApngWriter


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and data of each chunk of a PNG file."""
    offset = len(_SIGNATURE)
    while offset < len(png):
        length = struct.unpack_from(">I", png, offset)[0]
        yield png[offset + 4 : offset + 8], png[offset + 8 : offset + 8 + length]
        offset += 12 + length
