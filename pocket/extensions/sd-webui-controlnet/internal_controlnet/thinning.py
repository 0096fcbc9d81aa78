"""Lines one pixel wide: telling them, and keeping them so when a picture changes its size."""

import cv2
import numpy as np

CORNERS = ([[-1, -1, -1], [0, 1, 0], [1, 1, 1]], [[0, -1, -1], [1, 1, -1], [0, 1, 0]])
"""Neighbourhoods (1 on, -1 off, 0 either) whose middle a line can lose; with the three turns of each."""

ENDS = ([[-1, -1, -1], [-1, 1, -1], [0, 0, -1]], [[-1, -1, -1], [-1, 1, -1], [-1, 0, 0]])
"""Neighbourhoods of a line's end."""

DIRECTIONS = tuple(
    np.array(kernel, np.uint8)
    for kernel in (
        [[0, 0, 0], [1, 1, 1], [0, 0, 0]],
        [[0, 1, 0], [0, 1, 0], [0, 1, 0]],
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
    )
)
MOST_PASSES = 32


def is_thin(picture: np.ndarray) -> bool:
    """Whether opening a binary picture takes away more than half of what is on."""
    square = np.ones((3, 3), np.uint8)
    opened = cv2.dilate(cv2.erode(picture, square), square)
    return int((opened < picture).sum()) * 2 > int((picture > 127).sum())


def peaks(grey: np.ndarray) -> np.ndarray:
    """What is the largest among its neighbours in at least one direction; the rest is 0."""
    highest = np.zeros(grey.shape, bool)
    for direction in DIRECTIONS:
        highest |= cv2.dilate(grey, direction) == grey
    return np.where(highest, grey, 0).astype(grey.dtype)


def _one_pass(grey: np.ndarray, kernels: tuple[list[list[int]], ...]) -> bool:
    """Take the middle of each neighbourhood away, in place, turn by turn; whether there was one."""
    changed = False
    for turns in range(4):
        for kernel in kernels:
            turned = np.ascontiguousarray(np.rot90(np.array(kernel, np.int32), turns))
            hits = cv2.morphologyEx(grey, cv2.MORPH_HITMISS, turned) > 127
            grey[hits] = 0
            changed |= bool(hits.any())
    return changed


def thinned(grey: np.ndarray, prune: bool) -> np.ndarray:
    """A binary picture (h, w) whose lines are one pixel wide; without their last pixels if `prune`."""
    grey = grey.copy()
    for _ in range(MOST_PASSES):
        if not _one_pass(grey, CORNERS):
            break
    if prune:
        _one_pass(grey, ENDS)
    return grey
