"""PNG: every frame as a picture of its own, in a folder."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from motion_module.media.writing.base import Writer
from motion_module.media.writing.clip import encodable

# Measured at 512x512: level 2 takes a quarter of the time of zlib's default for files that are 0-8 % larger.
COMPRESSION = 2


class PngWriter(Writer):
    """Frames `00000.png`, `00001.png`, ... with the infotext in the text chunk `parameters`, as the WebUI writes it.

    A frame that brings its own infotext (`image.info["parameters"]`) keeps that.
    """

    suffix = ""
    one_size = False

    def open(self) -> None:
        self.part.mkdir()

    def add(self, image: Image.Image) -> None:
        infotext = encodable(image.info.get("parameters", self.info.infotext))
        text = PngInfo()
        if infotext:
            text.add_text("parameters", infotext)
        image.save(self.part / _name(self.frames_written), "PNG", pnginfo=text, compress_level=COMPRESSION)

    def finish(self) -> None:
        """Nothing: each frame is complete."""

    def abort(self, error: BaseException) -> None:
        """Nothing: no file stays open."""

    @property
    def files(self) -> list[Path]:
        return [self.final / _name(number) for number in range(self.frames_written)]


WRITER = PngWriter


def _name(number: int) -> str:
    return f"{number:05}.png"
