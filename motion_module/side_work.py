"""Work beside a run that may take a small share of the run's processor time, and no more.

>>> seconds = used = 0.0
>>> work = SideWork(share=0.1, pause=5.0, clock=lambda: seconds, used=lambda: used)
>>> work.affordable
0.0
>>> seconds, used = 60.0, 20.0
>>> work.affordable
2.0
>>> work.begin()
>>> work.spend(0.5)
>>> work.affordable
0.0
>>> seconds, used = 65.0, 40.0
>>> work.affordable
3.5
"""

from __future__ import annotations

import time
from collections.abc import Callable


class SideWork:
    """How many seconds such work may take now.

    Args:
        share: of the processor time that the process has used since this was made, side work included.
        pause: the fewest seconds between two beginnings; while it is young, a quarter of its age is enough.
        clock: seconds.
        used: seconds of processor time.

    Attributes:
        spent: seconds of processor time that the work has taken so far.
    """

    def __init__(
        self,
        share: float,
        pause: float,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        self.spent = 0.0
        self._share, self._pause, self._clock, self._used = share, pause, clock, used
        self._made, self._used_before = clock(), used()
        self._begun = self._made

    @property
    def affordable(self) -> float:
        """Seconds of processor time that it may take now; 0 while it pauses."""
        now = self._clock()
        if now - self._begun < min(self._pause, (now - self._made) / 4):
            return 0.0
        return max(0.0, self._share * (self._used() - self._used_before) - self.spent)

    def begin(self) -> None:
        """It begins again; the pause counts from now."""
        self._begun = self._clock()

    def spend(self, seconds: float) -> None:
        """It has taken so many seconds of processor time more."""
        self.spent += seconds
