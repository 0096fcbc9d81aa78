"""How fast a video plays: from the times of its frames to frames per second that keep its duration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

_NTSC = tuple(Fraction(rate * 1000, 1001) for rate in (12, 24, 30, 48, 60, 120))
_NEAR = Fraction(1, 50)
_ROUNDED = Fraction(1, 100)  # files are said to have 29.97 and 23.98 frames per second


@dataclass(frozen=True)
class Selection:
    """Which frames of a source are wanted.

    Attributes:
        start: the first one, from 0.
        end: the last one; None is the source's last.
        step: every how many-th of these.
        limit: how many at most.
        drop_duplicates: leave out a frame that shows what the frame before shows.
    """

    start: int = 0
    end: int | None = None
    step: int = 1
    limit: int | None = None
    drop_duplicates: bool = False

    @property
    def last(self) -> int | None:
        """The last frame of the source that has to be looked at; None where only its end tells."""
        if self.limit is None or self.drop_duplicates:
            return self.end
        enough = self.start + (self.limit - 1) * self.step
        return enough if self.end is None else min(enough, self.end)

    def count(self, frames: int) -> int:
        """How many frames are wanted of a source that has so many (duplicates aside)."""
        last = frames - 1 if self.last is None else min(frames - 1, self.last)
        return max(0, last - self.start + self.step) // self.step

    def wants(self, number: int) -> bool:
        """Whether a frame of the source is among them (duplicates aside)."""
        return (
            number >= self.start and (number - self.start) % self.step == 0 and (self.end is None or number <= self.end)
        )


@dataclass
class Timeline:
    """When each frame of a source is shown, as far as the source has been read.

    Attributes:
        starts: seconds.
        tick: the unit that the file counts them in.
        declared: frames per second to 2 digits, as the file says; None where it does not.
        end: when the last frame ends; None while there may be more frames.
    """

    starts: list[Fraction] = field(default_factory=list)
    tick: Fraction = Fraction(1, 1000)
    declared: Fraction | None = None
    end: Fraction | None = None

    def time_of(self, number: int) -> Fraction:
        """When a frame starts, or where there is none any more, when the last one ends."""
        if number < len(self.starts):
            return self.starts[number]
        return self.end if self.end is not None else self.starts[-1] + self.usual_gap()

    def usual_gap(self) -> Fraction:
        """How long a frame is shown as a rule."""
        gaps = sorted(after - before for before, after in zip(self.starts, self.starts[1:], strict=False))
        middle = gaps[len(gaps) // 2] if gaps else Fraction(0)
        return middle or (1 / self.declared if self.declared else Fraction(0))


def rate_of(timeline: Timeline, frame_numbers: Sequence[int], step: int, looked_at: int) -> Fraction | None:
    """Frames per second at which the kept frames last as long as they did; exact for a constant rate.

    Args:
        timeline: of the whole source, as far as read.
        frame_numbers: those of the frames that were taken of the source.
        step: every how many-th frame was wanted.
        looked_at: how many frames were wanted before duplicates were left out.

    Returns:
        None where that cannot be told (a single picture).
    """
    if not timeline.starts:
        return timeline.declared and timeline.declared / step
    constant = constant_rate(timeline)
    if constant is not None and len(frame_numbers) == looked_at:
        return constant / step
    span = timeline.time_of(frame_numbers[0] + looked_at * step) - timeline.time_of(frame_numbers[0])
    return len(frame_numbers) / span if span > 0 else None


def constant_rate(timeline: Timeline) -> Fraction | None:
    """The rate of frames that follow each other evenly, as far as the file's unit of time allows; else None.

    The last frame may last up to twice as long as the others: containers know its end less well.
    """
    starts, tick = timeline.starts, timeline.tick
    if len(starts) < 2 or starts[-1] <= starts[0]:
        return None
    mean = (len(starts) - 1) / (starts[-1] - starts[0])
    if timeline.end is not None:
        if timeline.end - starts[-1] > 2 / mean:
            return None
        mean = len(starts) / (timeline.end - starts[0])
    for rate in _likely(mean, timeline.declared):
        if all(abs(start - starts[0] - number / rate) <= tick for number, start in enumerate(starts)):
            return rate
    return None


def _likely(mean: Fraction, declared: Fraction | None) -> Iterator[Fraction]:
    """Rates near a measured one: usual ones, those first that the file means, then the measured one itself."""
    usual = {*_NTSC, Fraction(round(mean)), Fraction(round(2 * mean), 2)}
    near = [rate for rate in usual if rate and abs(rate - mean) <= _NEAR * mean]
    meant = [rate for rate in near if declared and abs(rate - declared) <= _ROUNDED]
    yield from sorted(meant, key=lambda rate: abs(rate - mean))
    yield from sorted(near, key=lambda rate: abs(rate - mean))
    yield mean
