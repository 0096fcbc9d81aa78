"""GIF: frames streamed one by one, so that memory stays flat; none is merged, and none shows what is behind the GIF.

Each frame leaves the pixels of the frame before in place where they are still right, by its transparent colour. The
first frame has none, so a viewer never sees through.
"""

from __future__ import annotations

import io
import logging
import shutil
import struct
import subprocess
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from motion_module.media.child import finished
from motion_module.media.placing import replace
from motion_module.media.writing.base import Writer
from motion_module.media.writing.palette import PaletteTracker
from motion_module.media.writing.steady import KEPT, Drawing, SteadyPainter

logger = logging.getLogger(__name__)

# Browsers show a frame with a delay of 0 or 1 hundredths of a second for 10 of them.
_SHORTEST, _LONGEST = 2, 65_535
_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
_LEAVE_IN_PLACE, _HAS_TRANSPARENT = 1 << 2, 1
_BEST_STEPS = 4
_GIFSICLE_LIMIT_S = 600


class GifWriter(Writer):
    """GIF89a with a palette for each frame. The infotext is the file's comment, in UTF-8.

    GIF counts hundredths of a second: the rounding is spread so that the total is right.
    """

    suffix = ".gif"

    def open(self) -> None:
        best = self.settings.optimize_gif_palette
        self._painter = SteadyPainter(PaletteTracker(_BEST_STEPS) if best else PaletteTracker(), dither=best)
        self._file: BinaryIO = self.part.open("wb")
        self._table = b""

    def add(self, image: Image.Image) -> None:
        drawing = self._painter.draw(image)
        table, picture = _encoded(drawing)
        if not self.frames_written:
            self._table = table
            self._file.write(_header(image.size, table) + _loop(self.info.loop) + _comment(self.info.infotext))
        delay = _delay(self.frames_written, self.info.fps)
        see_through = _HAS_TRANSPARENT if drawing.keeps else 0
        self._file.write(bytes([_EXTENSION, 0xF9, 4, _LEAVE_IN_PLACE | see_through]))
        self._delay_at = self._file.tell()
        self._file.write(struct.pack("<HBB", delay, KEPT if drawing.keeps else 0, 0))
        own = table if drawing.changes and table != self._table else b""
        flags = 0x80 | _size_bits(own) if own else 0
        self._file.write(struct.pack("<BHHHHB", _IMAGE, 0, 0, *image.size, flags) + own + picture)

    def finish(self) -> None:
        with self._file as file:
            file.write(bytes([_END]))
            if self.left_out:
                file.seek(self._delay_at)
                file.write(struct.pack("<H", self._last_delay()))
        if self.settings.optimize_gif_gifsicle:
            _shrink(self.part)

    def abort(self, error: BaseException) -> None:
        self.close_quietly(self._file)

    def _last_delay(self) -> int:
        """Hundredths of a second for the last frame, which also stands for those left out behind it."""
        before = round((self.frames_written - 1) * 100 / self.info.fps)
        return max(round(self.seconds * 100) - before, _SHORTEST)


WRITER = GifWriter


def _delay(frame: int, fps: float) -> int:
    """Hundredths of a second that a frame stays, so that the first n frames together are right for every n."""
    exact = round((frame + 1) * 100 / fps) - round(frame * 100 / fps)
    return min(max(exact, _SHORTEST), _LONGEST)


def _encoded(drawing: Drawing) -> tuple[bytes, bytes]:
    """Colour table and compressed pixels of a drawing, as Pillow writes them for a GIF of one frame."""
    buffer = io.BytesIO()
    image = Image.fromarray(drawing.indices, "P")
    image.putpalette(drawing.table.tobytes())
    image.save(buffer, "GIF", optimize=False, interlace=False)
    data = buffer.getvalue()
    table_end = 13 + 3 * (2 << (data[10] & 7))
    offset = table_end
    while data[offset] == _EXTENSION:
        offset = _after_blocks(data, offset + 2)
    start = offset + 10
    return data[13:table_end], data[start : _after_blocks(data, start + 1)]


def _after_blocks(data: bytes, offset: int) -> int:
    """Where a chain of length-prefixed blocks that begins at `offset` ends."""
    while data[offset]:
        offset += 1 + data[offset]
    return offset + 1


def _header(size: tuple[int, int], table: bytes) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", *size, 0xF0 | _size_bits(table), 0, 0) + table


def _size_bits(table: bytes) -> int:
    """The size of a colour table as GIF stores it: n for 2 ** (n + 1) colours."""
    return (len(table) // 3).bit_length() - 2


def _loop(number: int) -> bytes:
    return struct.pack("<BBB11sBBHB", _EXTENSION, 0xFF, 11, b"NETSCAPE2.0", 3, 1, number, 0)


def _comment(text: str) -> bytes:
    data = text.encode("utf-8", errors="replace")
    if not data:
        return b""
    pieces = [data[start : start + 255] for start in range(0, len(data), 255)]
    return bytes([_EXTENSION, 0xFE]) + b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"


def _shrink(path: Path) -> None:
    """Let gifsicle make the file smaller; the file stays as it is where that does not work."""
    program = shutil.which("gifsicle")
    if program is None:
        logger.warning("gifsicle is not installed: the GIF is saved without it.")
        return
    smaller = path.with_name(f"{path.name}.small")
    try:
        command = [program, "-O3", "-Okeep-empty", "--no-warnings", "-o", str(smaller), str(path)]
        done = finished(command, _GIFSICLE_LIMIT_S)
        if not done.returncode:
            replace(smaller, path)
            return
        reason = done.stderr.decode("utf-8", errors="replace").strip() or f"exit code {done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    logger.warning("gifsicle failed, the GIF is saved without it: %s", reason)
