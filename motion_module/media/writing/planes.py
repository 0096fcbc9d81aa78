"""Pixels as planes, (3, n) uint8: numpy works through them many times faster than through (n, 3).

Whatever takes a step for every pixel takes it for a block of pixels after the other. So what is computed on the way
stays in the processor's cache, and needs no fresh memory: to get that from the system and to give it back takes longer
than to compute.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Planes = NDArray[np.uint8]

# For numpy's `take` with numbers that are all in range: the quickest way.
IN_RANGE: Final = "wrap"
_BLOCK = 32_768


def planes_of(image: Image.Image) -> Planes:
    """The pixels of an RGB picture, row by row."""
    return np.stack([np.asarray(plane).reshape(-1) for plane in image.split()])


def blocks(count: int) -> Iterator[slice]:
    """So many pixels in blocks."""
    return (slice(start, start + _BLOCK) for start in range(0, count, _BLOCK))


def distances(first: Planes, second: Planes) -> NDArray[np.int32]:
    """How far apart the colours of pixels are, as the sum of the squared differences in their channels, (n,)."""
    steps = differences(first, second).astype(np.uint16)
    steps *= steps
    total = steps[0].astype(np.int32)
    total += steps[1]
    total += steps[2]
    return total


def differences(first: Planes, second: Planes) -> Planes:
    """How many levels the channels of pixels differ."""
    steps = np.maximum(first, second)
    steps -= np.minimum(first, second)
    return steps


def unlike(first: Planes, second: Planes) -> NDArray[np.bool_]:
    """Which pixels are not the same, (n,)."""
    different = np.empty(first.shape[1], np.bool_)
    for block in blocks(len(different)):
        (first[:, block] != second[:, block]).any(axis=0, out=different[block])
    return different


def looked_up(table: NDArray[np.uint8], indices: NDArray[np.uint8]) -> Planes:
    """The colours at these indices, (n,), of a table, (256, 3)."""
    return np.ascontiguousarray(table.T).take(indices.astype(np.intp), axis=1, mode=IN_RANGE)


def either(where: NDArray[np.bool_], first: Planes, second: Planes) -> Planes:
    """The pixels of one picture where that is wished for, (n,), else those of the other. Also for one channel, (n,)."""
    # By arithmetic: numpy's own choices guess what comes next, and take ten times as long where that is not regular.
    chosen = np.negative(where.view(np.int8)).view(np.uint8)
    chosen = (first ^ second) & chosen
    chosen ^= second
    return chosen
