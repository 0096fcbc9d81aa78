"""TXT: the infotext in a file of its own."""

from __future__ import annotations

from PIL import Image

from motion_module.media.writing.base import Writer


class TxtWriter(Writer):
    """The infotext, UTF-8, with a line break at the end."""

    suffix = ".txt"
    one_size = False

    def open(self) -> None:
        self.part.write_text(f"{self.info.infotext}\n", encoding="utf-8", newline="")

    def add(self, image: Image.Image) -> None:
        """Frames are not text."""

    def finish(self) -> None:
        """Nothing: the text was written at once."""

    def abort(self, error: BaseException) -> None:
        """Nothing: no file stays open."""


WRITER = TxtWriter
