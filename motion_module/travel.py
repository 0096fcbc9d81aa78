"""Prompt travel: a prompt with lines like `8: open mouth` changes from frame to frame."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from motion_module.errors import ParamError
from motion_module.travel_lines import Key, counting_texts, is_bracket, key_lines, order_faults, tags_of, without_tags

_AND = re.compile(r"\bAND\b")  # as the WebUI splits prompts


class KeyMix(NamedTuple):
    """Where a frame lies: `share` of the way from what frame `left` has to what frame `right` has."""

    left: int
    right: int
    share: float


def mixes_of(keys: Sequence[int], frames: int, closed: bool, hold: bool = False) -> list[KeyMix]:
    """For every frame the two keys between which it lies.

    Args:
        keys: frame numbers, ascending, at least one.
        frames: N, frames of the video.
        closed: after the last key the way leads back to the first, over the end of the video; else the frames before
            the first key have what that has, and those after the last one what that has.
        hold: there is no way from key to key: each counts until the next one.
    """
    mixes = [_mix(keys, frame, frames, closed) for frame in range(frames)]
    return [KeyMix(mix.left, mix.left, 0.0) for mix in mixes] if hold else mixes


def _mix(keys: Sequence[int], frame: int, frames: int, closed: bool) -> KeyMix:
    after = bisect_right(keys, frame)
    if 0 < after < len(keys):
        left, right = keys[after - 1], keys[after]
        return KeyMix(left, right, (frame - left) / (right - left))
    first, last = keys[0], keys[-1]
    if not closed or first == last:
        nearest = last if after else first
        return KeyMix(nearest, nearest, 0.0)
    way = first + frames - last
    return KeyMix(last, first, ((frame - last) % frames) / way)


@dataclass(frozen=True)
class Travel:
    """The travel of one prompt: its keys, and how the frames between them mix.

    Attributes:
        keys: frame number -> the whole prompt of that frame, ascending.
        frames: N, frames of the video.
        closed: after the last key the way leads back to the first, over the end of the video.
        hold: each key's prompt counts until the next one, and nothing is mixed.
    """

    keys: dict[int, str]
    frames: int
    closed: bool
    hold: bool = False

    def prompts(self) -> list[str]:
        """For every frame the prompt of the key it comes from; at a key's own frame that is the key's prompt."""
        return [self.keys[mix.left] for mix in self.mixes()]

    def mixes(self) -> list[KeyMix]:
        """For every frame the two keys whose prompts it mixes."""
        return mixes_of(list(self.keys), self.frames, self.closed, self.hold)

    def __str__(self) -> str:
        """The keys and their prompts, for the log."""
        return "; ".join(f"{frame}: {text}" for frame, text in self.keys.items())


def parse(prompt: str, frames: int, closed: bool, with_tags: bool = True, hold: bool = False) -> Travel | None:
    """Read a prompt as prompt travel.

    Lines before the first key line are the head of every frame's prompt, lines after the last one its tail. Blanks
    before the number, none after the colon, and any kind of line end do no harm; a key given twice counts as the last.

    Args:
        prompt: as typed, without comments.
        frames: N, frames of the video.
        closed: whether the way leads back to the first key.
        with_tags: the WebUI has not taken `<lora:name:1>` and its like out yet; of a key that was nothing else an
            empty text is left afterwards.
        hold: whether each key's prompt counts until the next one.

    Returns:
        None where the prompt has no key line.

    Raises:
        ParamError: a key at or beyond N, keys that descend, a key or a line between keys that says nothing useful,
            keys with different numbers of prompts joined by AND.
    """
    lines = _Lines.of(prompt)
    if lines is None:
        return None
    texts = _read_keys(lines, frames, with_tags)
    prompts = {frame: _joined([*lines.head, text, *lines.tail]) for frame, text in texts.items()}
    return Travel(prompts, frames, closed, hold)


def outline(prompt: str, frames: int) -> list[Line]:
    """The lines of a prompt that travels, each with what is wrong with it; to be shown to the person who types it.

    Args:
        prompt: as typed, without comments.
        frames: N, frames of the video.

    Returns:
        From the first to the last key line; empty where the prompt does not travel.
    """
    lines = _Lines.of(prompt)
    if lines is None:
        return []
    faults = dict(reversed(list(_faults(lines, frames, with_tags=True))))  # of a line with several the first counts
    return [Line(text.strip(), key, faults.get(number, "")) for number, (text, key) in enumerate(lines.between)]


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


def own_texts(prompt: str) -> tuple[dict[int, str], str]:
    """The text that each key has for itself, by its frame; and what stands outside of keys."""
    lines = _Lines.of(prompt)
    if lines is None:
        return {}, prompt
    texts = {key.frame: key.text for _, key in lines.between if key is not None}
    return texts, "\n".join([*lines.head, *(line for line, key in lines.between if key is None), *lines.tail])


class Line(NamedTuple):
    """One line between the first and the last key: as typed, its key, and what is wrong with it ("" if nothing)."""

    text: str
    key: Key | None
    fault: str


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


def _read_keys(lines: _Lines, frames: int, with_tags: bool) -> dict[int, str]:
    for _, fault in _faults(lines, frames, with_tags):
        raise ParamError(f"Prompt travel: {fault}")
    return counting_texts((key for _, key in lines.between if key is not None), "Prompt travel")


def _faults(lines: _Lines, frames: int, with_tags: bool) -> Iterator[tuple[int, str]]:
    """What is wrong, by the number of the line."""
    yield from order_faults(lines.between, frames)
    keyed = [(number, key) for number, (_, key) in enumerate(lines.between) if key is not None]
    last = {key.frame: number for number, key in keyed}
    counting = {number: key for number, key in keyed if last[key.frame] == number}
    yield from _part_faults(counting)
    around = _joined([*lines.head, *lines.tail])
    for number, key in counting.items() if with_tags else ():
        if not key.text or not without_tags(key.text + around).strip(", "):
            yield number, f"frame {key.frame} has no text; write what it shows after the colon"


def _part_faults(keys: dict[int, Key]) -> Iterator[tuple[int, str]]:
    parts = {number: len(_AND.findall(key.text)) + 1 for number, key in keys.items()}
    first = next(iter(keys))
    for number, key in keys.items():
        if parts[number] != parts[first]:
            yield (
                number,
                f"AND joins {parts[first]} prompts at frame {keys[first].frame}, but {parts[number]} at frame "
                f"{key.frame}; every frame number needs as many",
            )


def _joined(parts: list[str]) -> str:
    return ", ".join(part.strip() for part in parts if part.strip())
