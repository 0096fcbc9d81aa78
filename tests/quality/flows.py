"""How things move in a clip, and how true they stay to themselves, by optical flow. Clips are `f h w 3`, 0..1.

The flow is OpenCV's DIS (Kroeger et al. 2016, arXiv 1603.03590), which runs on a CPU and needs no weights. The two
measures belong together: a clip that stands still has no warping error, and no dynamic degree either.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

_CHECK_SHARE, _CHECK_FREE = 0.01, 0.5  # of squared lengths, and squared pixels: Sundaram et al. 2010
_FASTEST = 0.05  # share of the pixels that tell how much moves: VBench's (Huang et al. 2023, arXiv 2311.17982)


@dataclass(frozen=True)
class Motion:
    """What the flow of a clip tells.

    Attributes:
        warping: mean difference of each frame to the one before it, moved along with the flow, where both show the
            same thing; in levels of 255. Small is good.
        dynamic: how far the fastest 5 % of the pixels move from one frame to the next, in pixels; 0 in a frozen clip.
    """

    warping: float
    dynamic: float


def motion_of(clip: np.ndarray) -> Motion:
    """Both measures of a clip of 2 frames or more, with sides of 12 pixels or more.

    Pixels that the next frame hides, or that enter the picture, have nothing to be compared with and are left out.
    Where there is no pixel in a whole frame that could be followed, it is compared as it stands.
    """
    pairs = list(_pairs(clip))
    return Motion(float(np.mean([pair.warping for pair in pairs])), float(np.mean([pair.dynamic for pair in pairs])))


def _pairs(clip: np.ndarray) -> Iterator[Motion]:
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)  # the clips are small
    grey = [cv2.cvtColor((frame * 255).round().astype(np.uint8), cv2.COLOR_RGB2GRAY) for frame in clip]
    for number, (first, second) in enumerate(itertools.pairwise(grey)):
        forward, backward = dis.calc(first, second, None), dis.calc(second, first, None)
        seen = _seen_in_both(forward, backward)
        if seen.any():
            error = np.abs(_moved(clip[number], backward) - clip[number + 1])[seen]
            lengths = np.sort(np.hypot(*backward[seen].T))
            yield Motion(float(error.mean() * 255), float(lengths[-max(1, round(len(lengths) * _FASTEST)) :].mean()))
        else:
            yield Motion(float(np.abs(clip[number] - clip[number + 1]).mean() * 255), 0.0)


def _seen_in_both(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Pixels of the second frame, `h w`, that the flow leads back into the first and from there to themselves."""
    x, y = _sources(backward)
    height, width = x.shape
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    there = _moved(forward, backward)
    off = np.square(there + backward).sum(-1)
    bound = _CHECK_SHARE * (np.square(there).sum(-1) + np.square(backward).sum(-1)) + _CHECK_FREE
    return inside & (off < bound)


def _moved(first: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """A picture, `h w c`, as it looks one frame later."""
    x, y = _sources(backward)
    return cv2.remap(first.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _sources(backward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel comes from: x and y, `h w`."""
    y, x = np.indices(backward.shape[:2], dtype=np.float32)
    return x + backward[..., 0], y + backward[..., 1]
