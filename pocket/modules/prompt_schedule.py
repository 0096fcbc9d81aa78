"""Reads what changes over the steps in a prompt: `[from:to:when]`, `[add:when]`, `[drop::when]` and `[a|b]`.

A prompt becomes a tree of plain strings, `Scheduled` and `Alternate` nodes. Brackets that form none of these are text
(the weights of `(word:1.2)` and `[word]` are read later, from the text of each step), but a `|` or a backslash that
belongs nowhere makes the whole prompt plain, as in the WebUI.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_PLAIN = re.compile(r"(?:[^\\\[\]():|]|\\.)+")
_WHEN = re.compile(r":\s*([+-]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)\s*\]")


@dataclass(frozen=True)
class Scheduled:
    """`before` up to a step, `after` from then on; `when` is the number as typed."""

    before: Sequence
    after: Sequence
    when: str


@dataclass(frozen=True)
class Alternate:
    """A choice that moves on with every step."""

    choices: tuple[Sequence, ...]


@dataclass(frozen=True)
class Sequence:
    """What stands one behind the other."""

    parts: tuple[str | Scheduled | Alternate | Sequence, ...] = field(default=())


class _NotThisError(Exception):
    """The text at this place is not what was looked for."""


class _Reader:
    """Recursive descent over one prompt; each method takes a place and gives (node, place behind it).

    Readings are tried in the order scheduled, alternate, emphasis; each place is read once, so that a prompt full of
    unmatched brackets stays cheap.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.inner = functools.cache(self._inner)
        self.group = functools.cache(self._group)

    def whole(self) -> Sequence:
        """The whole prompt; a bracket or colon without a partner is text here, and only here."""
        parts: list[str | Scheduled | Alternate | Sequence] = []
        place = 0
        while place < len(self.text):
            inner, place = self.inner(place)
            parts.append(inner)
            if place < len(self.text):
                if self.text[place] not in "[]():":
                    raise _NotThisError
                parts.append(self.text[place])
                place += 1
        return Sequence(tuple(parts))

    def _inner(self, place: int) -> tuple[Sequence, int]:
        """As much as reads without a bracket or colon left over; may be empty."""
        parts: list[str | Scheduled | Alternate | Sequence] = []
        while place < len(self.text):
            plain = _PLAIN.match(self.text, place)
            if plain:
                parts.append(plain.group())
                place = plain.end()
                continue
            found = self.group(place)
            if found is None:
                break
            node, place = found
            parts.append(node)
        return Sequence(tuple(parts)), place

    def _group(self, place: int) -> tuple[Scheduled | Alternate | Sequence, int] | None:
        opener = self.text[place]
        readings = {"[": (self._scheduled, self._alternate, self._square), "(": (self._round,)}.get(opener, ())
        for reading in readings:
            try:
                return reading(place)
            except _NotThisError:
                continue
        return None

    def _literal(self, place: int, wanted: str) -> int:
        if not self.text.startswith(wanted, place):
            raise _NotThisError
        return place + 1

    def _scheduled(self, place: int) -> tuple[Scheduled, int]:
        first, place = self.inner(self._literal(place, "["))
        when = _WHEN.match(self.text, place)
        if when:
            return Scheduled(Sequence(), first, when[1]), when.end()
        second, place = self.inner(self._literal(place, ":"))
        when = _WHEN.match(self.text, place)
        if not when:
            raise _NotThisError
        return Scheduled(first, second, when[1]), when.end()

    def _alternate(self, place: int) -> tuple[Alternate, int]:
        first, place = self.inner(self._literal(place, "["))
        choices = [first]
        while self.text.startswith("|", place):
            choice, place = self.inner(place + 1)
            choices.append(choice)
        if len(choices) == 1:
            raise _NotThisError
        return Alternate(tuple(choices)), self._literal(place, "]")

    def _square(self, place: int) -> tuple[Sequence, int]:
        inner, place = self.inner(self._literal(place, "["))
        return Sequence(("[", inner, "]")), self._literal(place, "]")

    def _round(self, place: int) -> tuple[Sequence, int]:
        inner, place = self.inner(self._literal(place, "("))
        parts: list[str | Sequence] = ["(", inner]
        if self.text.startswith(":", place):
            weight, place = self.inner(place + 1)
            parts += [":", weight]
        return Sequence((*parts, ")")), self._literal(place, ")")


def _nodes(node: str | Scheduled | Alternate | Sequence) -> Iterator[Scheduled | Alternate]:
    """All nodes that change over the steps."""
    if isinstance(node, (Scheduled, Alternate)):
        yield node
    for child in _children(node):
        yield from _nodes(child)


def _children(node: str | Scheduled | Alternate | Sequence) -> tuple[str | Scheduled | Alternate | Sequence, ...]:
    if isinstance(node, Scheduled):
        return (node.before, node.after)
    if isinstance(node, Alternate):
        return node.choices
    return () if isinstance(node, str) else node.parts


@dataclass(frozen=True)
class _Clock:
    """Turns the number in `[a:b:number]` into a step of the pass asked for."""

    steps: int
    base_steps: int
    second_pass: bool
    old: bool

    def last_step(self, when: str) -> int:
        """The last step, counted from 1, that still uses what comes before."""
        value = float(when)
        if self.old:
            value = value * self.steps if value < 1 else value
        elif "." in when:
            value = (value - 1.0 if self.second_pass else value) * self.steps
        elif self.second_pass:
            value -= self.base_steps
        return min(self.steps, int(value))


def _text_at(node: str | Scheduled | Alternate | Sequence, step: int, clock: _Clock) -> str:
    if isinstance(node, str):
        return node
    if isinstance(node, Scheduled):
        return _text_at(node.before if step <= clock.last_step(node.when) else node.after, step, clock)
    if isinstance(node, Alternate):
        return _text_at(node.choices[(step - 1) % len(node.choices)], step, clock)
    return "".join(_text_at(part, step, clock) for part in node.parts)


def schedule_of_prompt(
    prompt: str, base_steps: int, hires_steps: int | None = None, use_old_scheduling: bool = False
) -> list[tuple[int, str]]:
    """The texts of a prompt as (last step that uses it, text), steps counted from 1.

    Args:
        prompt: as typed.
        base_steps: steps of the first pass.
        hires_steps: steps of the second pass, if that is the one asked for: fractions then count from 1.0 and whole
            numbers from `base_steps`.
        use_old_scheduling: numbers below 1 are fractions and others steps, in either pass.
    """
    second_pass = hires_steps is not None and not use_old_scheduling
    steps = hires_steps if hires_steps is not None and second_pass else base_steps
    clock = _Clock(steps, base_steps, second_pass, use_old_scheduling)
    try:
        tree = _Reader(prompt).whole()
    except (_NotThisError, RecursionError):  # brackets nested hundreds deep are no prompt that changes, either
        return [(steps, prompt)]
    ends = {steps}
    for node in _nodes(tree):
        if isinstance(node, Alternate):
            ends.update(range(1, steps + 1))
        elif (end := clock.last_step(node.when)) >= 1:
            ends.add(end)
    return [(end, _text_at(tree, end, clock)) for end in sorted(ends)]
