"""256 colours for a picture, fast: k-means over a histogram, started from the frame before.

Neighbouring frames have nearly the same colours, so a step or two of Lloyd's algorithm a frame keep the palette at its
optimum. Working on the cells of a coarse colour cube instead of pixels makes a step cost a millisecond.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from motion_module.media.writing.cells import Cells, joined, occupied_cells
from motion_module.media.writing.planes import IN_RANGE, Planes, blocks

MOST_COLOURS = 256  # in the colour table of a picture
COLOURS = MOST_COLOURS - 1  # of a tracked palette: the last index is free, for "as in the frame before"

_MANY_CELLS = 4_000  # more than are needed to move a palette
_FIRST_STEPS, _LAST_STEPS = 6, 3
_SAMPLE = 16_384  # pixels
# An error that has grown so many times since the frame before is a cut: the palette begins anew.
_CUT = 1.5
# Colours whose distances to the palette are looked at together. These fit into the processor's cache and into memory
# that is at hand, and are too few for numpy to wake other threads, which cost more than they help.
_BLOCK = 192
# Entries of the palette that may move to other colours in one step.
_MOST_MOVES = 16


class PaletteTracker:
    """A palette that follows the colours of a clip, frame by frame.

    Args:
        steps: Lloyd steps for each frame after the first; more is a little better and slower.
    """

    def __init__(self, steps: int = 2) -> None:
        self._steps = steps
        self._palette: NDArray[np.float32] | None = None
        self.error = 0.0
        """Squared distance between the pixels that were followed last and their colours, in the mean."""

    @property
    def table(self) -> NDArray[np.uint8]:
        """The palette as it is now, (256, 3); its last colour stands for no pixel.

        Raises:
            ValueError: no pixels were seen yet.
        """
        if self._palette is None:
            raise ValueError("The palette has seen no pixels yet.")
        return _table(np.clip(self._palette + 0.5, 0, 255).astype(np.uint8))

    def follow(self, planes: Planes, counting: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
        """Move the palette to these pixels and return the index of the nearest colour for each, (n,).

        Args:
            planes: red, green and blue of the pixels, (3, n).
            counting: which of them count, (n,), at least one; None for all. The index of the others is 255.
        """
        cells = occupied_cells(planes, counting)
        enough = cells if len(cells.colours) <= _MANY_CELLS else joined(cells)
        before = self.error
        if self._palette is not None:
            nearest = self._take(_refined(self._palette, enough, self._steps), cells)
        if self._palette is None or self.error > _CUT * max(before, 1):
            first = _first_palette(planes if counting is None else planes[:, counting])
            nearest = self._take(_refined(_refined(first, enough, _FIRST_STEPS), cells, _LAST_STEPS), cells)
        return _spread(nearest, cells.of_pixel)

    def _take(self, palette: NDArray[np.float32], cells: Cells) -> NDArray[np.intp]:
        """Go on with a palette; the nearest of its colours for each cell, (n,)."""
        self._palette = palette
        nearest, errors = _assign(palette, cells.colours)
        self.error = float(np.average(errors, weights=cells.counts))
        return nearest


def exact_table(planes: Planes, most: int) -> NDArray[np.uint8] | None:
    """The colours of these pixels as a table (256, 3) in ascending order; None where they are more than `most`."""
    colours = Image.fromarray(np.ascontiguousarray(planes.T)[None]).getcolors(most)
    return None if colours is None else _table(np.array(sorted(colour for _, colour in colours), np.uint8))


def exact_indices(planes: Planes, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Where in a table of `exact_table` the colour of each pixel stands, (n,)."""
    return np.searchsorted(np.maximum.accumulate(_packed(table.T)), _packed(planes)).astype(np.uint8)


def _table(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours (n, 3) as a table of 256, filled up with black."""
    return np.concatenate([colours, np.zeros((MOST_COLOURS - len(colours), 3), np.uint8)])


def _packed(planes: Planes) -> NDArray[np.int32]:
    red, green, blue = planes.astype(np.int32)
    return (red << 16) | (green << 8) | blue


def _spread(nearest: NDArray[np.intp], of_pixel: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """The index for every pixel, from those for cells."""
    of_cell = np.append(nearest, COLOURS).astype(np.uint8)
    indices = np.empty(len(of_pixel), np.uint8)
    for block in blocks(len(of_pixel)):
        of_cell.take(of_pixel[block], out=indices[block], mode=IN_RANGE)
    return indices


def _first_palette(planes: Planes) -> NDArray[np.float32]:
    """A start for k-means: Pillow's median cut of a small sample, (255, 3)."""
    count = planes.shape[1]
    chosen = np.random.default_rng(0).integers(0, count, _SAMPLE) if count > _SAMPLE else slice(None)
    sample = planes[:, chosen]
    picture = Image.fromarray(np.ascontiguousarray(sample.T)[None])
    colours = np.array(picture.quantize(COLOURS).getpalette() or [], np.float32).reshape(-1, 3)[:COLOURS]
    return np.concatenate([colours, np.zeros((COLOURS - len(colours), 3), np.float32)])


def _refined(palette: NDArray[np.float32], cells: Cells, steps: int) -> NDArray[np.float32]:
    """Lloyd's algorithm: the moved palette, (255, 3)."""
    for _ in range(steps):
        nearest, error = _assign(palette, cells.colours)
        weights = np.bincount(nearest, cells.counts, COLOURS).astype(np.float64)
        sums = [np.bincount(nearest, cells.counts * cells.colours[:, k], COLOURS) for k in range(3)]
        used = weights > 0
        palette = palette.copy()
        palette[used] = np.stack(sums, axis=1)[used] / weights[used, None]
        _move_idle(palette, weights, nearest, error * cells.counts, cells)
    return palette


def _assign(palette: NDArray[np.float32], colours: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """For each colour (n, 3) the index of the nearest palette entry, and its squared distance."""
    # |entry|^2 - 2 colour * entry, which is least for the nearest, as one product of matrices. A last entry is
    # infinitely far: processors like 256 columns better than 255.
    factors = np.zeros((4, MOST_COLOURS), np.float32)
    factors[:3, :COLOURS], factors[3, :COLOURS] = -2 * palette.T, (palette * palette).sum(axis=1)
    factors[3, COLOURS] = np.finfo(np.float32).max
    points = np.concatenate([colours, np.ones((len(colours), 1), np.float32)], axis=1)
    nearest, error = np.empty(len(colours), np.intp), np.empty(len(colours), np.float32)
    rows = np.arange(_BLOCK) * MOST_COLOURS
    for start in range(0, len(colours), _BLOCK):
        block = slice(start, start + _BLOCK)
        distances = points[block] @ factors
        least = distances.argmin(axis=1, out=nearest[block])
        error[block] = distances.reshape(-1).take(rows[: len(least)] + least)
    error += (colours * colours).sum(axis=1)
    return nearest, np.maximum(error, 0)


def _move_idle(
    palette: NDArray[np.float32],
    weights: NDArray[np.float64],
    nearest: NDArray[np.intp],
    error: NDArray[np.float32],
    cells: Cells,
) -> None:
    """Move entries that are of little use to the cells served worst, where that lowers the error.

    An entry that no pixel uses moves in any case (after a cut, all of them); one whose neighbour could serve its
    pixels nearly as well moves, too: Lloyd's algorithm alone never takes a colour across the cube.
    """
    moves = min(max(int(np.count_nonzero(weights == 0)), _MOST_MOVES), len(cells.colours))
    worst = np.argpartition(error, -moves)[-moves:]
    worst = worst[np.argsort(-error[worst])]
    distance, neighbour = _nearest_others(palette)
    cost = weights * distance
    cheapest = np.argsort(cost)[:moves]
    stays = np.ones(COLOURS, np.bool_)
    stays[cheapest] = False
    served = (weights[cheapest] == 0) | stays[neighbour[cheapest]]
    better = served & (error[worst] > cost[cheapest]) & (nearest[worst] != cheapest)
    palette[cheapest[better]] = cells.colours[worst[better]]


def _nearest_others(palette: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """For each entry the squared distance to the nearest of the others, and which that is."""
    squares = (palette * palette).sum(axis=1)
    distances = squares[:, None] + squares - 2 * palette @ palette.T
    np.fill_diagonal(distances, np.inf)
    return np.maximum(distances.min(axis=1), 0), distances.argmin(axis=1)


def dithered(image: Image.Image, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture drawn with the first 255 colours of a table by Floyd-Steinberg dithering: the indices, (h * w,)."""
    palette = Image.new("P", (1, 1))
    # The last colour is not for use: it repeats the first, whose index is taken instead.
    palette.putpalette(np.concatenate([table[:COLOURS], table[:1]]).tobytes())
    indices = np.array(image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)).reshape(-1)
    indices[indices == COLOURS] = 0
    return indices
