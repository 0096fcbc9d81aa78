"""One bar for all videos of a farm, or a line for each where nobody watches."""

from __future__ import annotations

import sys

from tqdm import tqdm

from bootstrap import say
from farm.index import MADE, Entry

_SHAPE = "{desc} |{bar}| {n_fmt}/{total_fmt} frames, {rate_noinv_fmt}, {remaining} left"


class Progress:
    """Counts what is done of the requests that are to be made; how long the rest takes is told by frames."""

    def __init__(self, videos: int, frames: int, watched: bool | None = None) -> None:
        self._videos, self._done = videos, 0
        self._watched = sys.stderr.isatty() if watched is None else watched
        self._bar = tqdm(
            total=frames,
            desc=self._count(),
            bar_format=_SHAPE,
            smoothing=0,
            disable=not self._watched,
            dynamic_ncols=True,
            unit=" frames",
        )

    def done(self, entry: Entry) -> None:
        """One more is done; what has gone wrong is said in a line of its own."""
        self._done += 1
        self._bar.set_description_str(self._count(), refresh=False)
        if entry.status == MADE:
            self._bar.update(entry.frames)
            said = f"made: {entry.frames} frame{'s' * (entry.frames != 1)} in {entry.seconds:.1f} s, {entry.folder}"
        else:
            self._bar.total -= entry.frames  # what was refused at once says nothing of how fast the rest is
            self._bar.refresh()
            said = f"{entry.status}: {entry.sentence}"
        if not self._watched:
            say(f"{entry.number} {said}")
        elif entry.status != MADE:
            self._bar.write(f"pocket: {entry.number} {said}", file=sys.stderr)

    def close(self) -> None:
        """Leaves the bar as it is."""
        self._bar.close()

    def _count(self) -> str:
        return f"{self._done}/{self._videos} videos"
