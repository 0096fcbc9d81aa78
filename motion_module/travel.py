"""Prompt travel: a prompt with lines like `8: open mouth` changes from frame to frame."""

from __future__ import annotations

import logging
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from motion_module.errors import ParamError
from motion_module.travel_lines import Key, is_bracket, is_filling, key_lines, tags_of, without_tags

_log = logging.getLogger(__name__)
_AND = re.compile(r"\bAND\b")  # as the WebUI splits prompts


class KeyMix(NamedTuple):
    """Where a frame lies: `share` of the way from the prompt of frame `left` to that of frame `right`."""

    left: int
    right: int
    share: float


@dataclass(frozen=True)
class Travel:
    """The travel of one prompt: its keys, and how the frames between them mix.

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
        return [self.keys[mix.left] for mix in self.mixes()]

    def mixes(self) -> list[KeyMix]:
        """For every frame the two keys whose prompts it mixes."""
        return [self._mix(frame) for frame in range(self.frames)]

    def _mix(self, frame: int) -> KeyMix:
        numbers = list(self.keys)
        after = bisect_right(numbers, frame)
        if 0 < after < len(numbers):
            left, right = numbers[after - 1], numbers[after]
            return KeyMix(left, right, (frame - left) / (right - left))
        first, last = numbers[0], numbers[-1]
        if not self.closed or first == last:
            nearest = last if after else first
            return KeyMix(nearest, nearest, 0.0)
        way = first + self.frames - last
        return KeyMix(last, first, ((frame - last) % self.frames) / way)

    def __str__(self) -> str:
        """The keys and their prompts, for the log."""
        return "; ".join(f"{frame}: {text}" for frame, text in self.keys.items())


def parse(prompt: str, frames: int, closed: bool, with_tags: bool = True) -> Travel | None:
    """Read a prompt as prompt travel.

    Lines before the first key line are the head of every frame's prompt, lines after the last one its tail. Blanks
    before the number, none after the colon, and any kind of line end do no harm; a key given twice counts as the last.

    Args:
        prompt: as typed, without comments.
        frames: N, frames of the video.
        closed: whether the way leads back to the first key.
        with_tags: the WebUI has not taken `<lora:name:1>` and its like out yet; of a key that was nothing else an
            empty text is left afterwards.

    Returns:
        None where the prompt has no key line.

    Raises:
        ParamError: a key at or beyond N, keys that descend, a key or a line between keys that says nothing useful,
            keys with different numbers of prompts joined by AND.
    """
    lines = _Lines.of(prompt)
    if lines is None:
        return None
    texts = _read_keys(lines, frames)
    if with_tags:
        _check_texts(texts, around=_joined([*lines.head, *lines.tail]))
    return Travel({frame: _joined([*lines.head, text, *lines.tail]) for frame, text in texts.items()}, frames, closed)


def with_style(prompt: str, style: str, merge: Callable[[str, str], str]) -> str:
    """A prompt with one style, which applies to the text of every key; without keys it is merged as a whole.

    Args:
        prompt: as typed, without comments.
        style: the style's text, without comments; a style may have the keys, too.
        merge: the host's way to merge a style's text (first) and a prompt.

    Returns:
        A prompt that `parse` reads, and that people can paste again.

    Raises:
        ParamError: both have keys.
    """
    lines, of_style = _Lines.of(prompt), _Lines.of(style)
    if lines is not None and of_style is not None:
        raise ParamError("Prompt travel: the prompt has frame numbers, and so has a style; keep them in one of the two")
    if lines is not None:
        return lines.each(lambda text: merge(without_tags(style), text), tags_of(style))
    if of_style is not None:
        return of_style.each(lambda text: merge(text, without_tags(prompt)), tags_of(prompt))
    return merge(style, prompt)


@dataclass(frozen=True)
class _Lines:
    """The lines of a prompt that has keys: those before the first and after the last key, and those from it to it."""

    head: list[str]
    between: list[tuple[str, Key | None]]
    tail: list[str]

    @classmethod
    def of(cls, prompt: str) -> _Lines | None:
        lines = prompt.splitlines()
        keys = key_lines(lines)
        if not keys:
            return None
        first, last = min(keys), max(keys)
        before, after = ([line for line in part if not is_bracket(line)] for part in (lines[:first], lines[last + 1 :]))
        return cls(before, [(lines[number], keys.get(number)) for number in range(first, last + 1)], after)

    def each(self, change: Callable[[str], str], tags: list[str]) -> str:
        """The same keys, each with its whole prompt changed; tags outside of keys stand once, before all of them."""
        outside = [*self.head, *(line for line, key in self.between if key is None), *self.tail]
        own = [tag for line in outside for tag in tags_of(line)]
        head, tail = (_joined([without_tags(line) for line in part]) for part in (self.head, self.tail))
        keys = [key for _, key in self.between if key is not None]
        texts = [_joined(change(_joined([head, key.text, tail])).splitlines()) for key in keys]
        return "\n".join([*tags, *own, *(f"{key.frame}: {text}" for key, text in zip(keys, texts, strict=True))])


def _read_keys(lines: _Lines, frames: int) -> dict[int, str]:
    texts: dict[int, str] = {}
    for line, key in lines.between:
        if key is None:
            if not is_filling(line):
                raise ParamError(
                    f"Prompt travel: {line.strip()!r:.80} stands between two keys; begin it with its frame number"
                )
            continue
        _check_key(key.frame, frames, max(texts, default=-1))
        if key.frame in texts:
            _log.warning("Prompt travel: frame %d appears twice; the last one counts.", key.frame)
        texts[key.frame] = key.text
    _check_parts(texts)
    return texts


def _check_parts(texts: dict[int, str]) -> None:
    parts = {frame: len(_AND.findall(text)) + 1 for frame, text in texts.items()}
    first = next(iter(parts))
    odd = next((frame for frame in parts if parts[frame] != parts[first]), None)
    if odd is not None:
        raise ParamError(
            f"Prompt travel: AND joins {parts[first]} prompts at frame {first}, but {parts[odd]} at frame {odd}; "
            f"every frame number needs as many"
        )


def _check_key(frame: int, frames: int, last: int) -> None:
    if frame >= frames:
        raise ParamError(f"Prompt travel: frame {frame} is beyond the last frame, {frames - 1}, of {frames} frames")
    if frame < last:
        raise ParamError(f"Prompt travel: frame {frame} stands after frame {last}; the frame numbers have to ascend")


def _check_texts(texts: dict[int, str], around: str) -> None:
    for frame, text in texts.items():
        if not text or not without_tags(text + around).strip(", "):
            raise ParamError(f"Prompt travel: frame {frame} has no text; write what it shows after the colon")


def _joined(parts: list[str]) -> str:
    return ", ".join(part.strip() for part in parts if part.strip())
