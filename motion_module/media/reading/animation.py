"""Frames of animated pictures (GIF, WEBP, APNG) through Pillow, which knows the exact time of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

from PIL import Image

from motion_module.media.errors import DAMAGE, ReaderError, reason_of
from motion_module.media.reading.folders import check_size, open_small
from motion_module.media.reading.pixels import as_rgb
from motion_module.media.reading.timing import Selection, Timeline

FORMATS = ("GIF", "WEBP", "PNG")
_TOO_SHORT_MS = 10  # browsers show such a frame for 100 ms
_INSTEAD_MS = 100


def hidden_frames(picture: Image.Image) -> int:
    """How many of an animation's frames are not shown: an APNG may have a still picture for old programs."""
    return 1 if picture.info.get("default_image") else 0


def is_animation(path: Path) -> bool:
    """Whether a file is a picture in a format that may be animated.

    Raises:
        ReaderError: it is, but too large.
    """
    try:
        with open_small(path, FORMATS):
            return True
    except DAMAGE:
        return False


class Animation:
    """One pass over an animated picture, as `decode.Decoding` over a video.

    Args:
        path: the file.
        selection: which frames are wanted; duplicates are not looked for here.
        on_met: called after each frame of the source, wanted or not, with the number of those so far; may raise.
    """

    def __init__(self, path: Path, selection: Selection, on_met: Callable[[int], None]) -> None:
        self.timeline = Timeline()
        self.complaints: list[str] = []
        self._path, self._selection, self._on_met = path, selection, on_met

    def __enter__(self) -> Animation:
        self._picture = open_small(self._path, FORMATS)
        return self

    def __exit__(self, *_: object) -> None:
        self._picture.close()

    def frames(self) -> Iterator[Image.Image]:
        """The wanted frames as RGB pictures; what is transparent is shown on white.

        Raises:
            ReaderError: no frame can be decoded.
        """
        timeline, clock, last = self.timeline, Fraction(0), self._selection.last
        if self._picture.format == "GIF":
            timeline.tick = Fraction(1, 100)
        for number, frame in enumerate(self._decoded()):
            timeline.starts.append(clock)
            clock += _seconds(self._picture)
            self._on_met(number + 1)
            if last is not None and number > last:
                return
            if self._selection.wants(number):
                yield frame
        timeline.end = clock

    def stop(self, number: int) -> None:
        """There is enough; the time of a frame is known as soon as that is decoded."""

    def _decoded(self) -> Iterator[Image.Image]:
        picture = self._picture
        hidden = hidden_frames(picture)
        number = 0
        try:
            for number in range(hidden, getattr(picture, "n_frames", 1)):
                picture.seek(number)
                check_size(*picture.size)  # a GIF grows with the frames that are larger than itself
                picture.load()  # only then the frame's duration is there
                yield as_rgb(picture)
        except (ReaderError, *DAMAGE) as error:
            if isinstance(error, (ReaderError, Image.DecompressionBombError)) or number <= hidden:
                raise ReaderError(f"it cannot be decoded ({reason_of(error)})") from error
            self.complaints.append(reason_of(error))


def _seconds(picture: Image.Image) -> Fraction:
    """How long the current frame is shown."""
    shown = Fraction(picture.info.get("duration") or 0).limit_denominator(1000)
    return (shown if shown > _TOO_SHORT_MS else Fraction(_INSTEAD_MS)) / 1000
