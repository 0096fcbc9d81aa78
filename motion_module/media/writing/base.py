"""What all writers share: the promise that a file appears whole or not at all."""

from __future__ import annotations

import logging
import shutil
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, ClassVar

from PIL import Image

from motion_module.formats import Format
from motion_module.media.errors import WriterError
from motion_module.media.placing import place
from motion_module.media.writing.clip import ClipInfo
from motion_module.media.writing.names import Claim
from motion_module.settings import Settings

logger = logging.getLogger(__name__)


class Writer(ABC):
    """Writes one clip in one format; a context manager.

    Frames go to `write_frame` one by one. Leaving the block finishes the file and renames it to its final name;
    leaving it by an exception, or failing to finish, removes what was written. Of a clip that is faster than players
    show the format, frames are left out evenly, so that it lasts as long as it should.

    Args:
        row: the format's row of the table.
        claim: the name that belongs to this clip.
        info: frame rate, loop number, infotext.
        settings: the person's.
    """

    suffix: ClassVar[str]
    one_size: ClassVar[bool] = True  # frames of another size than the first are refused

    def __init__(self, row: Format, claim: Claim, info: ClipInfo, settings: Settings) -> None:
        self.row = row
        self.info = info if row.fastest is None else replace(info, fps=min(info.fps, row.fastest))
        self._rate, self._pace = info.rate, self.info.rate / info.rate
        self.settings = settings
        self.final = claim.folder / f"{claim.stem}{self.suffix}"
        self.part = claim.work / self.final.name
        self.frames_written = 0
        self._frames_seen = 0
        self._size: tuple[int, int] | None = None
        self._moved_from: Path | None = None

    def __enter__(self) -> Writer:
        try:
            self.open()
        except BaseException:
            self._discard()
            raise
        return self

    def write_frame(self, image: Image.Image) -> None:
        """Take the next frame: an RGB picture, in most formats of the same size as the others.

        Raises:
            WriterError: the size differs, or the encoder gave up.
            OSError: the disk is full, and the like.
        """
        if self._size is None:
            self._size = image.size
        elif self.one_size and image.size != self._size:
            raise WriterError(
                f"Frame {self._frames_seen} is {image.width}x{image.height}, the frames before it are "
                f"{self._size[0]}x{self._size[1]}"
            )
        self._frames_seen += 1
        if int((self._frames_seen - 1) * self._pace) < self.frames_written:
            return  # the frame before still shows
        self.add(image)
        self.frames_written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self.abort(error)
                return
            if not self.frames_written:
                raise WriterError("There are no frames to write")
            self.finish()
            wanted, self.final = self.final, place(self.part, self.final)
            self._moved_from = wanted if wanted != self.final else None
        finally:
            self._discard()

    @property
    def seconds(self) -> Fraction:
        """How long the frames so far last, those left out included."""
        return self._frames_seen / self._rate

    @property
    def note(self) -> str:
        """What a person should know of the finished file; "" if nothing."""
        notes = []
        if self._moved_from is not None:
            notes.append(f"as {self.final.name}, because another program has {self._moved_from.name} open")
        if self.left_out:
            held = f"{self.frames_written} of the {self._frames_seen} frames"
            notes.append(f"it holds {held}, because browsers slow down more than {self.row.fastest} a second")
        return ", and ".join(notes)

    @property
    def left_out(self) -> int:
        """How many frames are not in the file, because players would slow them down."""
        return self._frames_seen - self.frames_written

    @property
    def files(self) -> list[Path]:
        """The finished files."""
        return [self.final]

    @abstractmethod
    def open(self) -> None:
        """Check what the format needs and start writing to `self.part`."""

    @abstractmethod
    def add(self, image: Image.Image) -> None:
        """Write one frame; its size has been checked."""

    @abstractmethod
    def finish(self) -> None:
        """Complete and close `self.part`."""

    @abstractmethod
    def abort(self, error: BaseException) -> None:
        """Stop and close whatever is open."""

    def close_quietly(self, file: BinaryIO) -> None:
        """Close a file that is given up; what stopped it may stop its buffer too, and is known already."""
        try:
            file.close()
        except OSError:
            logger.debug("The rest of %s could not be written.", self.part)

    def _discard(self) -> None:
        """Remove what is left of an unfinished file (nothing, after a rename)."""
        if self.part.is_dir():
            shutil.rmtree(self.part, ignore_errors=True)
        else:
            with suppress(OSError):  # somebody holds it; it goes with its folder
                self.part.unlink(missing_ok=True)
