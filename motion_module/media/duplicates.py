"""Frames that show what the frame before them shows."""

from __future__ import annotations

import numpy as np
from PIL import Image

_SIDE = 64
THRESHOLD = 6  # of 255, in the place that differs most


class DuplicateFinder:
    """Compares each frame with the last one that was kept, on small grey pictures."""

    def __init__(self) -> None:
        self._kept: np.ndarray | None = None

    def is_new(self, frame: Image.Image) -> bool:
        """Whether a frame shows something else than the last new one; the first one always does."""
        small = np.asarray(frame.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.int16)
        if self._kept is not None and int(np.abs(small - self._kept).max()) < THRESHOLD:
            return False
        self._kept = small
        return True
