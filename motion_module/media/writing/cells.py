"""The pixels of a picture sorted into the cells of a colour cube: few colours with weights instead of many pixels.

The cube is as fine as the number of colours allows. It begins coarse; each occupied cell may be split into eight. Thus
cells are always numbered closely, and no histogram is larger than that of the coarse cube.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motion_module.media.writing.planes import IN_RANGE, Planes, blocks

_COARSE_BITS, _FINE_BITS, _FINEST_BITS = 5, 6, 7
# Above this many occupied cells the fine cube costs more time than it gains in quality; far below it, a finer one
# costs next to nothing.
_MOST_FINE_CELLS = 8_192
_FEW_CELLS = 1_500
# So many coarse cells seldom become few enough fine ones: splitting one that is not alone gives three or more.
_MOST_TO_SPLIT = _MOST_FINE_CELLS // 3
_PARTS = 8  # of a cell that is split
_SUM_BITS = 24


@dataclass(frozen=True)
class Cells:
    """The occupied cells of a picture's colour cube.

    Attributes:
        bits: bits per channel of the cube.
        of_pixel: the cell of every pixel, (pixels,) uint16; n for a pixel that does not count.
        colours: mean colour of the pixels in each occupied cell, (n, 3) float32.
        counts: pixels in each, (n,) float32.
    """

    bits: int
    of_pixel: NDArray[np.uint16]
    colours: NDArray[np.float32]
    counts: NDArray[np.float32]


@dataclass(frozen=True)
class _Sorting:
    """Where pixels are in a cube that still has empty cells.

    Attributes:
        bits: bits per channel of the cube.
        of_pixel: the cell of every pixel, (pixels,) uint16; one from n on for a pixel that does not count.
        counts: pixels in each cell, (n,).
    """

    bits: int
    of_pixel: NDArray[np.uint16]
    counts: NDArray[np.intp]

    @property
    def occupied(self) -> int:
        return int(np.count_nonzero(self.counts))

    def ranks(self) -> tuple[int, NDArray[np.intp]]:
        """How many cells are occupied, and for every cell the number that it has among these, (n + 8,)."""
        occupied = np.flatnonzero(self.counts)
        ranks = np.full(len(self.counts) + _PARTS, len(occupied), np.intp)
        ranks[occupied] = np.arange(len(occupied))
        return len(occupied), ranks


def occupied_cells(planes: Planes, counting: NDArray[np.bool_] | None = None) -> Cells:
    """Sort pixels into a cube as fine as the number of their colours allows.

    Args:
        planes: red, green and blue of the pixels, (3, n).
        counting: which of them count, (n,), at least one; None for all.
    """
    coarse = _coarse(planes, counting)
    if coarse.occupied > _MOST_TO_SPLIT:
        return _cells(planes, coarse)
    fine = _split(planes, coarse)
    if fine.occupied > _MOST_FINE_CELLS:
        return _cells(planes, coarse)
    return _cells(planes, fine if fine.occupied > _FEW_CELLS else _split(planes, fine))


def joined(cells: Cells) -> Cells:
    """The same colours in a cube of half the resolution; good enough to move a palette, but of no pixels."""
    bits = cells.bits - 1
    red, green, blue = cells.colours.T.astype(np.int32) >> (8 - bits)
    number = (red << 2 * bits) | (green << bits) | blue
    number = np.unique(number, return_inverse=True)[1].reshape(-1)
    weights = np.bincount(number, cells.counts)
    sums = [np.bincount(number, cells.counts * cells.colours[:, k]) for k in range(3)]
    colours = (np.stack(sums, axis=1) / weights[:, None]).astype(np.float32)
    return Cells(bits, np.zeros(0, np.uint16), colours, weights.astype(np.float32))


def _coarse(planes: Planes, counting: NDArray[np.bool_] | None) -> _Sorting:
    size = np.uint16(1 << 3 * _COARSE_BITS)
    of_pixel = np.empty(planes.shape[1], np.uint16)
    for block in blocks(len(of_pixel)):
        red, green, blue = (planes[:, block] >> (8 - _COARSE_BITS)).astype(np.uint16)
        of_pixel[block] = (red << 2 * _COARSE_BITS) | (green << _COARSE_BITS) | blue
        if counting is not None:
            np.maximum(of_pixel[block], (~counting[block]).astype(np.uint16) * size, out=of_pixel[block])
    return _Sorting(_COARSE_BITS, of_pixel, _counted(of_pixel, int(size)))


def _split(planes: Planes, whole: _Sorting) -> _Sorting:
    """Each occupied cell in eight parts."""
    bits = whole.bits + 1
    occupied, ranks = whole.ranks()
    of_pixel = np.empty_like(whole.of_pixel)
    for block in blocks(len(of_pixel)):
        red, green, blue = (planes[:, block] >> (8 - bits)) & 1
        part = (red << 2) | (green << 1) | blue
        of_pixel[block] = ranks.take(whole.of_pixel[block], mode=IN_RANGE) * _PARTS + part
    return _Sorting(bits, of_pixel, _counted(of_pixel, occupied * _PARTS))


def _counted(of_pixel: NDArray[np.uint16], size: int) -> NDArray[np.intp]:
    counts = np.zeros(size, np.intp)
    for block in blocks(len(of_pixel)):
        counts += np.bincount(of_pixel[block], minlength=size)[:size]
    return counts


def _cells(planes: Planes, sorting: _Sorting) -> Cells:
    occupied, ranks = sorting.ranks()
    of_pixel = np.empty_like(sorting.of_pixel)
    sums = np.zeros((3, occupied), np.int64)
    for block in blocks(len(of_pixel)):
        cells = ranks.take(sorting.of_pixel[block], mode=IN_RANGE)
        of_pixel[block] = cells
        sums += _summed(cells, planes[:, block], occupied)
    counts = sorting.counts[sorting.counts > 0]
    colours = (sums / counts).T.astype(np.float32)
    return Cells(sorting.bits, of_pixel, np.ascontiguousarray(colours), counts.astype(np.float32))


def _summed(cells: NDArray[np.intp], planes: Planes, occupied: int) -> NDArray[np.int64]:
    """The sums of a block's colours for every occupied cell, (3, n)."""
    # One histogram has room for two sums: those of red stay below 2 ** 24, those of green stand above.
    both = planes[1] * np.float64(1 << _SUM_BITS)
    both += planes[0]
    pairs, blue = (np.bincount(cells, weights, occupied)[:occupied].astype(np.int64) for weights in (both, planes[2]))
    return np.stack([pairs & ((1 << _SUM_BITS) - 1), pairs >> _SUM_BITS, blue])
