"""Pictures in files, each read when it is asked for: a long video is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from PIL import Image

from motion_module.media.reading.folders import opened_picture
from motion_module.media.reading.pixels import read_rgb


class FrameFiles(Sequence[Image.Image]):
    """A sequence of 8-bit RGB pictures.

    Args:
        files: of plain pictures, as `PictureFiles.plain` makes them.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, which: int) -> Image.Image: ...

    @overload
    def __getitem__(self, which: slice) -> FrameFiles: ...

    def __getitem__(self, which: int | slice) -> Image.Image | FrameFiles:
        """One picture, or a part of the sequence, of which nothing is read yet.

        Raises:
            PictureError: the file cannot be read any more.
        """
        return FrameFiles(self._files[which]) if isinstance(which, slice) else read_rgb(self._files[which])

    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of each, from the files' headers.

        Raises:
            PictureError: a file cannot be read any more.
        """
        return [_size_of(file) for file in self._files]


def _size_of(file: Path) -> tuple[int, int]:
    with opened_picture(file) as picture:
        return picture.size
