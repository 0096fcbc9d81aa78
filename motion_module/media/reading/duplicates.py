"""Frames that show what the frame before them shows."""

from __future__ import annotations

import numpy as np
from PIL import Image

_SIDE = 64
# Of 255, in the place that differs most. Measured on textured 512x512 films whose pictures come twice, H.264 crf 18 to
# 28: twins differ by 5 at most, pictures that move by a pixel or have a ball that does by 9 in the median.
THRESHOLD = 6


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
