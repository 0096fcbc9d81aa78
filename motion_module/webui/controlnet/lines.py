"""The lines in a ControlNet unit's *Batch* folder: the folder, and below it what its pictures are for.

    /pictures/cat
    mask: /pictures/masks
    keyframe: 0, 8, 16
    weight: 0: 1, 16: 0.2
    falloff: 8

Without a folder the unit takes the request's video; then `weight:` may stand alone. ControlNet itself knows the first
three.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from motion_module import travel_values
from motion_module.errors import ParamError
from motion_module.paths import typed_path
from motion_module.travel_values import ValueTravel

_LOWEST, _HIGHEST = 0, 2
"""Of a weight: ControlNet's own range."""

_MOST_DIGITS = 9  # of a frame's number
_COLON = re.compile("[:\uff1a]")  # the second one is as wide as Chinese and Japanese keyboards have it
_KEYS = ("mask", "keyframe", "weight", "falloff")
_SAYS = {"mask": "a folder of masks", "weight": "frames with a number each, as in 0: 1, 16: 0.2"}
_ALLOWED = "mask: with a folder, keyframe: with frame numbers, weight: with frames and numbers, falloff: with a number"


@dataclass(frozen=True)
class Lines:
    """What stands in a unit's *Batch* folder.

    Attributes:
        folder: of pictures, or "".
        masks: a folder of masks, or "".
        keyframes: the frames that the pictures are for; None where there is one for each frame.
        weight: what the unit's own weight is multiplied by, frame by frame; None for 1.
        falloff: how many frames away from its own a key picture counts no more; None where it goes over into the next.
    """

    folder: str = ""
    masks: str = ""
    keyframes: tuple[int, ...] | None = None
    weight: ValueTravel | None = None
    falloff: float | None = None

    @property
    def weighing(self) -> str:
        """The first line that gives each frame a weight of its own, by its name; "" where there is none."""
        return "weight:" if self.weight is not None else "falloff:" if self.falloff is not None else ""

    def __str__(self) -> str:
        """The lines that give each frame a weight of its own, as one would write them."""
        said = {"weight": self.weight, "falloff": self.falloff and f"{self.falloff:g}"}
        return "; ".join(f"{key}: {value}" for key, value in said.items() if value is not None)


def names_folder(text: str) -> bool:
    """Whether a folder stands in it, before any lines."""
    return bool(text.strip()) and _parts(text.strip().splitlines()[0])[0] not in _KEYS


def read_lines(number: int, text: str) -> Lines:
    """Read what stands in a unit's *Batch* folder.

    Args:
        number: which unit it is, from 0.
        text: as typed.

    Raises:
        ParamError: a line that says nothing, or what is not allowed; the folders are not looked at.
    """
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    folder = typed_path(lines.pop(0)) if names_folder(text) else ""
    said = _said(number, lines)
    for key in said if not folder else ():
        if key != "weight":
            raise ParamError(
                f"{key}: of ControlNet unit {number} has no folder of pictures above it; "
                f"without one only weight: is allowed"
            )
    return Lines(
        folder,
        typed_path(said.get("mask", "")),
        _keyframes(number, said["keyframe"]) if "keyframe" in said else None,
        _weight(number, said.get("weight", "")),
        _falloff(number, said) if "falloff" in said else None,
    )


def check_frames(number: int, lines: Lines, frames: int) -> None:
    """See that a video of so many frames has the frames that are named.

    Raises:
        ParamError: one is beyond the last frame.
    """
    beyond = [frame for frame in lines.keyframes or () if frame >= frames]
    if beyond:
        raise ParamError(
            f"keyframe: of ControlNet unit {number} names frame {beyond[0]}; "
            f"the {frames} frames of this video are 0 to {frames - 1}"
        )
    fault = lines.weight.fault(frames) if lines.weight is not None else ""
    if fault:
        raise ParamError(f"{_title('weight', number, str(lines.weight))}; {fault}")


def _parts(line: str) -> tuple[str, str]:
    key, *rest = _COLON.split(line, maxsplit=1)
    return key.strip().lower(), rest[0].strip() if rest else ""


def _said(number: int, lines: Sequence[str]) -> dict[str, str]:
    said: dict[str, str] = {}
    for line in lines:
        key, value = _parts(line)
        if key not in _KEYS:
            raise ParamError(
                f"ControlNet unit {number} has the line {line[:80]!r} after its folder; allowed are {_ALLOWED}"
            )
        if key in said:
            raise ParamError(f"ControlNet unit {number} has two lines {key}:; write all of it on one of them")
        if not value and key in _SAYS:
            raise ParamError(f"{_title(key, number, value)}; allowed is {_SAYS[key]}")
        said[key] = value
    return said


def _keyframes(number: int, text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    numbers = tuple(int(word) for word in words if word.isdecimal() and len(word) <= _MOST_DIGITS)
    if len(numbers) < len(words) or list(numbers) != sorted(set(numbers)):
        raise ParamError(
            f"{_title('keyframe', number, text)}; "
            f"allowed are ascending frame numbers with commas between them, such as 0,8,16"
        )
    return numbers


def _weight(number: int, text: str) -> ValueTravel | None:
    title = _title("weight", number, text)
    try:
        travel = travel_values.read(text, f"weight: of ControlNet unit {number}")
    except ParamError as error:
        raise ParamError(f"{title}; {error.sentence}") from None
    for frame, value in travel.keys.items() if travel else ():
        if not _LOWEST <= value <= _HIGHEST:
            raise ParamError(f"{title}; allowed at frame {frame} is a number from {_LOWEST} to {_HIGHEST}")
    return travel


def _falloff(number: int, said: dict[str, str]) -> float:
    text = said["falloff"]
    try:
        reach = float(text)
    except ValueError:
        reach = math.nan
    if not 0 < reach < math.inf:
        raise ParamError(f"{_title('falloff', number, text)}; allowed is a number of frames above 0, such as 8")
    if "keyframe" not in said:
        raise ParamError(
            f"falloff: of ControlNet unit {number} needs a keyframe: line with the frames of its pictures, "
            f"such as 0,8,16"
        )
    return reach


def _title(key: str, number: int, text: str) -> str:
    return f"{key}: of ControlNet unit {number} is {text.strip()[:80]!r}"
