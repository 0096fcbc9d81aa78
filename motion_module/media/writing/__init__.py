"""The formats a clip can be saved in. A new one is a `Writer` and a line in `WRITERS`."""

from __future__ import annotations

from motion_module.media.ffmpeg import WriterError
from motion_module.media.writing.apng import ApngWriter
from motion_module.media.writing.avif import AvifWriter
from motion_module.media.writing.base import LOSSLESS, TEN_BIT, Writer, WriterOptions
from motion_module.media.writing.encoded import VideoWriter
from motion_module.media.writing.gif import GifWriter
from motion_module.media.writing.mp4 import Mp4Writer
from motion_module.media.writing.png import PngWriter
from motion_module.media.writing.txt import TxtWriter
from motion_module.media.writing.webm import WebmWriter
from motion_module.media.writing.webp import WebpWriter

WRITERS: dict[str, type[Writer]] = {
    "GIF": GifWriter,
    "MP4": Mp4Writer,
    "WEBP": WebpWriter,
    "WEBM": WebmWriter,
    "AVIF": AvifWriter,
    "APNG": ApngWriter,
    "PNG": PngWriter,
    "TXT": TxtWriter,
}

WITH_SOUND = tuple(name for name, writer in WRITERS.items() if issubclass(writer, VideoWriter) and writer.sound)


def available_formats() -> list[str]:
    """Names of all formats that can be written, in the order in which results are listed."""
    return list(WRITERS)


__all__ = [
    "LOSSLESS",
    "TEN_BIT",
    "WITH_SOUND",
    "WRITERS",
    "Writer",
    "WriterError",
    "WriterOptions",
    "available_formats",
]
