"""Prompt travel: a prompt with lines like `8: open mouth` changes from frame to frame."""

from __future__ import annotations

import logging
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from motion_module.errors import ParamError

_log = logging.getLogger(__name__)
_KEY_LINE = re.compile(r"\s*(\d+)\s*:\s*(.*?)\s*$")
_AND = re.compile(r"\bAND\b")  # as the WebUI splits prompts


class Between(NamedTuple):
    """Where a frame lies: `share` of the way from the prompt of frame `left` to that of frame `right`."""

    left: int
    right: int
    share: float


@dataclass(frozen=True)
class Travel:
    """The schedule of one prompt.

    Attributes:
        keys: frame number -> the whole prompt of that frame, ascending.
        frames: N, frames of the video.
        closed: after the last key the way leads back to the first, over the end of the video.
    """

    keys: dict[int, str]
    frames: int
    closed: bool

    def prompts(self) -> list[str]:
        """For every frame the prompt of the key it comes from; at a key's own frame that is the key's prompt."""
        return [self.keys[between.left] for between in self.places()]

    def places(self) -> list[Between]:
        """For every frame the keys it lies between."""
        return [self._place(frame) for frame in range(self.frames)]

    def _place(self, frame: int) -> Between:
        numbers = list(self.keys)
        after = bisect_right(numbers, frame)
        if 0 < after < len(numbers):
            left, right = numbers[after - 1], numbers[after]
            return Between(left, right, (frame - left) / (right - left))
        first, last = numbers[0], numbers[-1]
        if not self.closed or first == last:
            nearest = last if after else first
            return Between(nearest, nearest, 0.0)
        way = first + self.frames - last
        return Between(last, first, ((frame - last) % self.frames) / way)

    def __str__(self) -> str:
        """The schedule for the log."""
        return "; ".join(f"{frame}: {text}" for frame, text in self.keys.items())


def parse(prompt: str, frames: int, closed: bool) -> Travel | None:
    """Read a prompt as prompt travel.

    Lines before the first key line are the head of every frame's prompt, lines after the last one its tail. Blanks
    before the number, none after the colon, and any kind of line end do no harm; a key given twice counts as the last.

    Args:
        prompt: as typed.
        frames: N, frames of the video.
        closed: whether the way leads back to the first key.

    Returns:
        None where the prompt has no key line.

    Raises:
        ParamError: a key at or beyond N, keys that descend, a key or a line between keys that says nothing useful,
            keys with different numbers of prompts joined by AND.
    """
    lines = prompt.splitlines()
    found = [place for place, line in enumerate(lines) if _KEY_LINE.match(line)]
    if not found:
        return None
    head, tail = _joined(lines[: found[0]]), _joined(lines[found[-1] + 1 :])
    texts = _read_keys(lines[found[0] : found[-1] + 1], frames)
    return Travel({frame: _joined([head, text, tail]) for frame, text in texts.items()}, frames, closed)


def _read_keys(lines: list[str], frames: int) -> dict[int, str]:
    texts: dict[int, str] = {}
    for line in lines:
        if not line.strip():
            continue
        match = _KEY_LINE.match(line)
        if match is None:
            raise ParamError(
                f"Prompt travel: {line.strip()!r:.80} stands between two keys; begin it with its frame number."
            )
        frame, text = int(match[1]), match[2]
        _check_key(frame, text, frames, max(texts, default=-1))
        if frame in texts:
            _log.warning("Prompt travel: frame %d is given twice; the last one counts.", frame)
        texts[frame] = text
    _check_parts(texts)
    return texts


def _check_parts(texts: dict[int, str]) -> None:
    parts = {frame: len(_AND.findall(text)) + 1 for frame, text in texts.items()}
    first = next(iter(parts))
    odd = next((frame for frame in parts if parts[frame] != parts[first]), None)
    if odd is not None:
        raise ParamError(
            f"Prompt travel: AND joins {parts[first]} prompts at frame {first}, but {parts[odd]} at frame {odd}; "
            f"every frame number needs as many."
        )


def _check_key(frame: int, text: str, frames: int, last: int) -> None:
    if frame >= frames:
        raise ParamError(f"Prompt travel: frame {frame} is beyond the last frame, {frames - 1}, of {frames} frames.")
    if frame < last:
        raise ParamError(f"Prompt travel: frame {frame} stands after frame {last}; the frame numbers have to ascend.")
    if not text:
        raise ParamError(f"Prompt travel: frame {frame} has no text; write what it shows after the colon.")


def _joined(parts: list[str]) -> str:
    return ", ".join(part.strip() for part in parts if part.strip())
