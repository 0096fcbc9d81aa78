"""256 colours for a picture, fast: k-means over a histogram, started from the frame before.

Neighbouring frames have nearly the same colours, so a step or two of Lloyd's algorithm a frame keep the palette at its
optimum. Working on the cells of a coarse colour cube instead of pixels makes a step cost milliseconds.

Pixels are kept as planes here: (3, n) uint8, which numpy works through many times faster than (n, 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MOST_COLOURS = 256  # in the colour table of a picture
COLOURS = MOST_COLOURS - 1  # of a tracked palette: the last place is free, for "as in the frame before"

Planes = NDArray[np.uint8]

_FINEST_BITS, _FINE_BITS, _COARSE_BITS = 7, 6, 5
# Above this many occupied cells the fine cube costs more time than it gains in quality; far below it, a finer one
# costs next to nothing.
_MOST_FINE_CELLS = 8_192
_FEW_CELLS, _MANY_CELLS = 1_500, 4_000
_FIRST_STEPS, _LAST_STEPS = 6, 3
_SAMPLE = 16_384  # pixels
# An error that has grown so many times since the frame before is a cut: the palette begins anew.
_CUT = 1.5
# Colours whose distances to the palette are looked at together: they fit into the processor's cache.
_BLOCK = 2048
# Entries of the palette that may move to other colours in one step.
_MOST_MOVES = 16


@dataclass(frozen=True)
class _Cells:
    """The occupied cells of a picture's colour cube.

    Attributes:
        bits: bits per channel of the cube.
        of_pixel: the cell of every pixel, (pixels,), below n.
        colours: mean colour of the pixels in each occupied cell, (n, 3) float32.
        counts: pixels in each, (n,) float32.
    """

    bits: int
    of_pixel: NDArray[np.uint16]
    colours: NDArray[np.float32]
    counts: NDArray[np.float32]


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

    def follow(self, planes: Planes) -> NDArray[np.uint8]:
        """Move the palette to these pixels and return the place of the nearest colour for each, (n,) below 255.

        Args:
            planes: red, green and blue of the pixels, (3, n) with n > 0.
        """
        cells = _occupied_cells(planes)
        enough = cells if len(cells.colours) <= _MANY_CELLS else _joined(cells)
        before = self.error
        if self._palette is not None:
            nearest = self._take(_refined(self._palette, enough, self._steps), cells)
        if self._palette is None or self.error > _CUT * max(before, 1):
            roughly = _refined(_first_palette(planes), enough, _FIRST_STEPS)
            nearest = self._take(_refined(roughly, cells, _LAST_STEPS), cells)
        return nearest.astype(np.uint8)[cells.of_pixel]

    def _take(self, palette: NDArray[np.float32], cells: _Cells) -> NDArray[np.intp]:
        """Go on with a palette; the nearest of its colours for each cell, (n,)."""
        self._palette = palette
        nearest, errors = _assign(palette, cells.colours)
        self.error = float(np.average(errors, weights=cells.counts))
        return nearest


def exact_table(planes: Planes, most: int) -> NDArray[np.uint8] | None:
    """The colours of these pixels as a table (256, 3) in ascending order; None where they are more than `most`."""
    colours = Image.fromarray(np.ascontiguousarray(planes.T)[None]).getcolors(most)
    return None if colours is None else _table(np.array(sorted(colour for _, colour in colours), np.uint8))


def exact_places(planes: Planes, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Where in a table of `exact_table` the colour of each pixel stands, (n,)."""
    return np.searchsorted(np.maximum.accumulate(_packed(table.T)), _packed(planes)).astype(np.uint8)


def _table(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours (n, 3) as a table of 256, filled up with black."""
    return np.concatenate([colours, np.zeros((MOST_COLOURS - len(colours), 3), np.uint8)])


def _packed(planes: Planes) -> NDArray[np.int32]:
    red, green, blue = planes.astype(np.int32)
    return (red << 16) | (green << 8) | blue


def _occupied_cells(planes: Planes) -> _Cells:
    """Sort pixels into a cube as fine as the number of their colours allows."""
    bits = _FINE_BITS
    number, counts = _counted(planes, bits)
    occupied = int(np.count_nonzero(counts))
    if not _FEW_CELLS < occupied <= _MOST_FINE_CELLS:
        bits = _COARSE_BITS if occupied > _FEW_CELLS else _FINEST_BITS
        number, counts = _counted(planes, bits)
    return _cells(planes, bits, number, counts)


def _counted(planes: Planes, bits: int) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """The number of every pixel's cell, and how many pixels each cell of the cube has."""
    red, green, blue = (planes >> (8 - bits)).astype(np.int32)
    number = (red << 2 * bits) | (green << bits) | blue
    return number, np.bincount(number, minlength=1 << (3 * bits))


def _cells(planes: Planes, bits: int, number: NDArray[np.int32], counts: NDArray[np.intp]) -> _Cells:
    occupied = np.flatnonzero(counts)
    rank = np.zeros(len(counts), np.uint16)
    rank[occupied] = np.arange(len(occupied))
    of_pixel, counts = rank[number], counts[occupied]
    sums = [np.bincount(of_pixel, plane) for plane in planes]
    colours = (np.stack(sums, axis=1) / counts[:, None]).astype(np.float32)
    return _Cells(bits, of_pixel, colours, counts.astype(np.float32))


def _first_palette(planes: Planes) -> NDArray[np.float32]:
    """A start for k-means: Pillow's median cut of a small sample, (255, 3)."""
    count = planes.shape[1]
    chosen = np.random.default_rng(0).integers(0, count, _SAMPLE) if count > _SAMPLE else slice(None)
    sample = planes[:, chosen]
    picture = Image.fromarray(np.ascontiguousarray(sample.T)[None])
    found = np.array(picture.quantize(COLOURS).getpalette() or [], np.float32).reshape(-1, 3)[:COLOURS]
    return np.concatenate([found, np.zeros((COLOURS - len(found), 3), np.float32)])


def _joined(cells: _Cells) -> _Cells:
    """The same colours in a cube of half the resolution; good enough to move a palette, but of no pixels."""
    bits = cells.bits - 1
    red, green, blue = cells.colours.T.astype(np.int32) >> (8 - bits)
    number = (red << 2 * bits) | (green << bits) | blue
    number = np.unique(number, return_inverse=True)[1].reshape(-1)
    weights = np.bincount(number, cells.counts)
    sums = [np.bincount(number, cells.counts * cells.colours[:, k]) for k in range(3)]
    colours = (np.stack(sums, axis=1) / weights[:, None]).astype(np.float32)
    return _Cells(bits, np.zeros(0, np.uint16), colours, weights.astype(np.float32))


def _refined(palette: NDArray[np.float32], cells: _Cells, steps: int) -> NDArray[np.float32]:
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
    nearest, error = np.empty(len(colours), np.intp), np.empty(len(colours), np.float32)
    squares = (palette * palette).sum(axis=1)
    for start in range(0, len(colours), _BLOCK):
        block = slice(start, start + _BLOCK)
        distances = colours[block] @ (-2 * palette.T)
        distances += squares
        nearest[block] = distances.argmin(axis=1)
        error[block] = distances.min(axis=1)
    error += (colours * colours).sum(axis=1)
    return nearest, np.maximum(error, 0)


def _move_idle(
    palette: NDArray[np.float32],
    weights: NDArray[np.float64],
    nearest: NDArray[np.intp],
    error: NDArray[np.float32],
    cells: _Cells,
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
    served = (weights[cheapest] == 0) | ~np.isin(neighbour[cheapest], cheapest)  # by one that stays
    better = served & (error[worst] > cost[cheapest]) & (nearest[worst] != cheapest)
    palette[cheapest[better]] = cells.colours[worst[better]]


def _nearest_others(palette: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """For each entry the squared distance to the nearest of the others, and which that is."""
    squares = (palette * palette).sum(axis=1)
    distances = squares[:, None] + squares - 2 * palette @ palette.T
    np.fill_diagonal(distances, np.inf)
    return np.maximum(distances.min(axis=1), 0), distances.argmin(axis=1)


def dithered(planes: Planes, size: tuple[int, int], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture drawn with the first 255 colours of a table by Floyd-Steinberg dithering: the places, (h * w,)."""
    palette = Image.new("P", (1, 1))
    # The last colour is not for use: it repeats the first, whose place is taken instead.
    palette.putpalette(np.concatenate([table[:COLOURS], table[:1]]).tobytes())
    picture = Image.merge("RGB", [Image.fromarray(plane.reshape(size[::-1])) for plane in planes])
    places = np.array(picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)).reshape(-1)
    places[places == COLOURS] = 0
    return places
