"""A clip: the frames of one video and what every format has to know about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from PIL import Image

Frame = TypeVar("Frame")

APPEND, WITHOUT_FIRST, WITHOUT_LAST = 0, 1, 2
_WITH_ALPHA = ("LA", "PA", "RGBA", "RGBa")
PING_PONG = (APPEND, WITHOUT_FIRST, WITHOUT_LAST)


@dataclass(frozen=True)
class Sound:
    """A part of the sound of a file.

    Attributes:
        path: a file with a sound track.
        start: where the part begins, in seconds.
        seconds: how long it is.
    """

    path: Path
    start: float
    seconds: float


@dataclass(frozen=True)
class ClipInfo:
    """What a writer needs besides the frames.

    Attributes:
        fps: frames per second, above 0; fractions are kept.
        loop: how often the clip plays, 0 = for ever.
        infotext: the generation parameters to embed; "" embeds nothing. What cannot be written becomes "?".
        sound: what is heard, in formats that have sound.
    """

    fps: float = 8
    loop: int = 0
    infotext: str = ""
    sound: Sound | None = None

    def __post_init__(self) -> None:
        if not self.fps > 0:
            raise ValueError(f"A clip needs more than 0 frames per second, not {self.fps}.")
        if not 0 <= self.loop <= 65_535:
            raise ValueError(f"A clip plays 0 (for ever) to 65535 times, not {self.loop}.")
        object.__setattr__(self, "infotext", encodable(self.infotext))

    @property
    def rate(self) -> Fraction:
        """Frames per second as a fraction that containers can hold (29.97 becomes 2997/100)."""
        return Fraction(self.fps).limit_denominator(1001)


@dataclass(frozen=True)
class Clip:
    """The frames of one video, in order.

    Attributes:
        frames: pictures of one size. They are passed through once, so a lazy iterable keeps memory flat.
        info: frame rate, loop number and infotext.
    """

    frames: Iterable[Image.Image]
    info: ClipInfo


def encodable(text: str) -> str:
    """A text as UTF-8 can hold it. Halves of a surrogate pair, which JSON can bring, become "?"."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def has_alpha(image: Image.Image) -> bool:
    """Whether something of a picture may be transparent."""
    return image.mode in _WITH_ALPHA or "transparency" in image.info


def with_reverse(frames: Sequence[Frame], reverse: Iterable[int]) -> list[Frame]:
    """Append the frames backwards, as the options in `reverse` say.

    Args:
        frames: the frames of a video.
        reverse: 0 = append the frames backwards; 1 = without the first of the reversed part; 2 = without its last.
            1 and 2 do nothing alone.

    Returns:
        A new list; the frames themselves are shared.
    """
    options = set(reverse)
    if APPEND not in options:
        return list(frames)
    back = list(reversed(frames))
    if WITHOUT_FIRST in options:
        back = back[1:]
    if WITHOUT_LAST in options:
        back = back[:-1]
    return [*frames, *back]
