"""How far a piece of work is, by how long its kinds of work have taken so far.

>>> seconds = 0.0
>>> estimate = Estimate(lambda: seconds, usual={"bake": 1.0})
>>> estimate.expect("bake", 4)
>>> seconds = 3.0
>>> estimate.reach("bake", 1)
>>> estimate.left(), estimate.fraction()
(9.0, 0.25)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

_KEPT = 0.01  # of the whole, for each kind


@dataclass
class _Kind:
    """One kind of work.

    Attributes:
        units: how much there is.
        done: how much of it is done, or left out.
        measured, seconds: how much was done while the clock was read, and how long it took.
        first_units, first_seconds: of these, what was done first. It is no measure for the rest: it may have warmed
            up a device.
    """

    units: float = 0.0
    done: float = 0.0
    measured: float = 0.0
    seconds: float = 0.0
    first_units: float = 0.0
    first_seconds: float = 0.0

    def measure(self, units: float, seconds: float) -> None:
        if not self.measured:
            self.first_units, self.first_seconds = units, seconds
        self.measured += units
        self.seconds += seconds

    @property
    def rate(self) -> float | None:
        """Seconds a unit takes; None where none was measured."""
        if self.measured > self.first_units:
            return (self.seconds - self.first_seconds) / (self.measured - self.first_units)
        return self.seconds / self.measured if self.measured else None


class Estimate:
    """How much of some work is done, and how long the rest will take.

    Args:
        clock: seconds.
        usual: how many seconds a unit of each kind takes where nothing else is known.
        known: the same as it was measured before; goes before `usual`.
        relative: kind -> another kind and a factor: where neither tells of it, a unit takes so many times as long as
            one of the other kind.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        usual: Mapping[str, float],
        known: Mapping[str, float] | None = None,
        relative: Mapping[str, tuple[str, float]] | None = None,
    ) -> None:
        self._clock = clock
        self._usual, self._known, self._relative = usual, known or {}, relative or {}
        self._kinds: dict[str, _Kind] = {}
        self._start = self._last = self._last_told = clock()
        self._shown = 0.0

    def expect(self, kind: str, units: float) -> None:
        """There are so many units of this kind in all, done ones included."""
        self._kind(kind).units = units

    def begin(self) -> None:
        """Something of a known kind begins: the time until now belongs to none."""
        self._last = self._clock()

    def reach(self, kind: str, units: float) -> None:
        """So many units in all are done now; the time since the last call belongs to them."""
        now, part = self._clock(), self._kind(kind)
        if units > part.done:
            part.measure(units - part.done, now - self._last)
            part.done = units
        self._last = now

    def leave_out(self, kind: str, units: float) -> None:
        """Of the first so many units, those that are not done never will be."""
        part = self._kind(kind)
        part.done = max(part.done, units)

    def left(self) -> float:
        """How many seconds the rest will take."""
        return sum(max(0.0, part.units - part.done) * self._rate(kind) for kind, part in self._kinds.items())

    def fraction(self) -> float:
        """How far it is, from 0 to 1: the share of the time that is over.

        It never falls. Where more is left than was expected, it goes on more slowly instead; and each kind keeps a
        small part of the whole for as long as it is not done.
        """
        now, left = self._clock(), self.left()
        over, new = now - self._start, now - self._last_told
        self._last_told = now
        if new > 0:
            reserved = _KEPT * sum(
                1 - min(1.0, part.done / part.units) for part in self._kinds.values() if part.units > 0
            )
            slower = self._shown + (1 - self._shown) * new / (new + left)
            self._shown = max(self._shown, min(max(slower, over / (over + left)), 1 - reserved))
        return self._shown

    def rates(self) -> dict[str, float]:
        """Seconds a unit takes, of each kind of which some are done."""
        return {kind: part.rate for kind, part in self._kinds.items() if part.rate is not None}

    def _kind(self, name: str) -> _Kind:
        return self._kinds.setdefault(name, _Kind())

    def _rate(self, kind: str) -> float:
        measured = self._kind(kind).rate
        if measured is not None:
            return measured
        if kind in self._known:
            return self._known[kind]
        if kind in self._relative:
            other, factor = self._relative[kind]
            return factor * self._rate(other)
        return self._usual[kind]
