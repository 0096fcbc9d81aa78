"""How well the windows of a long clip are joined, from its frames alone. Clips are `f h w 3`, 0..1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def changes(clip: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each frame to the next one: `f - 1`."""
    return np.abs(np.diff(clip, axis=0)).mean((1, 2, 3))


def seam(clip: np.ndarray, borders: Sequence[int]) -> float:
    """How much larger the change is at the borders (i: between frames i and i + 1) than elsewhere; 1 is no seam."""
    change = changes(clip)
    at_border = np.isin(np.arange(len(change)), borders)
    return float(change[at_border].mean() / max(change[~at_border].mean(), 1e-6))


def jump(clip: np.ndarray) -> float:
    """The largest change between two frames, wherever it is, in usual (median) ones."""
    change = changes(clip)
    return float(change.max() / max(np.median(change), 1e-6))


def kept(x: np.ndarray, y: np.ndarray, span: int = 4, least: float = 1.0) -> float:
    """How far a track keeps its direction: 1 always, 0 at random, -1 if it turns round all the time.

    The mean cosine between the way of the `span` frames before a frame and of those after it, where both are `least`
    pixels long; 1 for a thing at rest.
    """
    track = np.stack([x, y], axis=1)
    way = track[span:] - track[:-span]
    before, after = way[:-span], way[span:]
    lengths = np.hypot(*before.T), np.hypot(*after.T)
    moving = (lengths[0] >= least) & (lengths[1] >= least)
    if not moving.any():
        return 1.0
    cosines = (before * after).sum(1)[moving] / (lengths[0] * lengths[1])[moving]
    return float(cosines.mean())


def closing(clip: np.ndarray) -> float:
    """The difference from the last frame to the first, in usual (median) changes: about 1 in a closed loop."""
    return float(np.abs(clip[-1] - clip[0]).mean() / max(np.median(changes(clip)), 1e-6))


def distance(clip: np.ndarray, context: int) -> float:
    """How far from its start a video ends: 1 as far as frames a window or more apart are, 0 at the first frame again.

    What neighbouring frames differ by in any case (noise) counts for nothing.
    """
    usual = np.median(changes(clip))
    far = np.mean(
        [np.abs(clip[gap:] - clip[:-gap]).mean() for gap in range(context, len(clip) - context, context // 4)]
    )
    return float((np.abs(clip[-1] - clip[0]).mean() - usual) / max(far - usual, 1e-6))


def drift(clip: np.ndarray, context: int) -> float:
    """How far the mean colour of the frames after the first window is from that of the first window: levels of 255."""
    colours = clip.mean((1, 2))
    return float(np.abs(colours[context:] - colours[:context].mean(0)).mean() * 255)
