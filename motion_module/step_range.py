"""The part of a sampler's steps in which something acts, as ControlNet has it for its units."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepRange:
    """From a share of the steps to another, both included.

    Attributes:
        start, end: 0..1, `start <= end`.
    """

    start: float = 0.0
    end: float = 1.0

    def holds(self, over: int, steps: int) -> bool:
        """Whether a step is in the range.

        Args:
            over: what the host says of the step: 0 in the first and in the second, 1 in the third, because it counts a
                step when that is over.
            steps: of the whole pass; a sampler that chooses its own number of steps may take more.
        """
        return self.start <= min(1.0, over / max(1, steps)) <= self.end

    def count(self, steps: int) -> int:
        """How many of so many steps are in the range."""
        return sum(self.holds(max(0, step - 1), steps) for step in range(steps))
