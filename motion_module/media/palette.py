"""256 colours for a picture, fast: k-means over a histogram, started from the frame before.

Neighbouring frames have nearly the same colours, so one step of Lloyd's algorithm a frame keeps the palette at its
optimum, and colours do not jump from frame to frame. Working on the cells of a coarse colour cube instead of pixels
makes a step cost milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLOURS = 256
_FINE_BITS, _COARSE_BITS = 6, 5
# Above this many occupied cells the fine cube costs more time than it gains in quality.
_MOST_FINE_CELLS = 16_384
_FIRST_STEPS = 6
_SAMPLE_SIDE = 128


@dataclass(frozen=True)
class _Cells:
    """The occupied cells of a picture's colour cube.

    Attributes:
        bits: bits per channel of the cube.
        of_pixel: the cell of every pixel, (h * w,).
        occupied: cell numbers, (n,).
        colours: middle of each occupied cell, (n, 3) float32.
        counts: pixels in each, (n,) float32.
    """

    bits: int
    of_pixel: NDArray[np.int32]
    occupied: NDArray[np.intp]
    colours: NDArray[np.float32]
    counts: NDArray[np.float32]


class PaletteTracker:
    """Turns RGB frames into palette pictures, one after the other.

    Args:
        steps: Lloyd steps for each frame after the first; more is a little better and slower.
        dither: spread the error over neighbours (Floyd-Steinberg): smooth gradients, larger files.
    """

    def __init__(self, steps: int = 1, dither: bool = False) -> None:
        self._steps = steps
        self._dither = dither
        self._palette: NDArray[np.float32] | None = None

    def quantize(self, image: Image.Image) -> Image.Image:
        """The frame as a picture of mode P with its own 256-colour palette; no transparency.

        Args:
            image: mode RGB.
        """
        cells = _occupied_cells(np.asarray(image))
        if self._palette is None:
            palette, nearest = _refine(_first_palette(image), cells, _FIRST_STEPS)
        else:
            palette, nearest = _refine(self._palette, cells, self._steps)
        self._palette = palette
        table = np.clip(palette + 0.5, 0, 255).astype(np.uint8).tobytes()
        if self._dither:
            return _dithered(image, table)
        lookup = np.zeros(1 << (3 * cells.bits), np.uint8)
        lookup[cells.occupied] = nearest
        quantized = Image.frombytes("P", image.size, lookup[cells.of_pixel].tobytes())
        quantized.putpalette(table)
        return quantized


def _occupied_cells(pixels: NDArray[np.uint8]) -> _Cells:
    """Sort pixels (h, w, 3) into the fine cube, or into the coarse one where there are many colours."""
    cells = _cells(pixels, _FINE_BITS)
    return cells if len(cells.occupied) <= _MOST_FINE_CELLS else _cells(pixels, _COARSE_BITS)


def _cells(pixels: NDArray[np.uint8], bits: int) -> _Cells:
    shift, mask = 8 - bits, (1 << bits) - 1
    red, green, blue = (pixels[..., channel].reshape(-1).astype(np.int32) >> shift for channel in range(3))
    of_pixel = (red << 2 * bits) | (green << bits) | blue
    counts = np.bincount(of_pixel, minlength=1 << (3 * bits))
    occupied = np.flatnonzero(counts)
    corners = np.stack([occupied >> 2 * bits, (occupied >> bits) & mask, occupied & mask], axis=1)
    colours = (corners.astype(np.float32) + 0.5) * (1 << shift) - 0.5
    return _Cells(bits, of_pixel, occupied, colours, counts[occupied].astype(np.float32))


def _first_palette(image: Image.Image) -> NDArray[np.float32]:
    """A start for k-means: Pillow's median cut of a small sample, (256, 3)."""
    sample = image.resize((min(_SAMPLE_SIDE, image.width), min(_SAMPLE_SIDE, image.height)), Image.Resampling.NEAREST)
    table = sample.quantize(COLOURS).getpalette() or []
    found = np.array(table, np.float32).reshape(-1, 3)[:COLOURS]
    return np.concatenate([found, np.zeros((COLOURS - len(found), 3), np.float32)])


def _refine(palette: NDArray[np.float32], cells: _Cells, steps: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Lloyd's algorithm: the moved palette (256, 3) and the index of the nearest colour for each cell (n,)."""
    for _ in range(steps):
        nearest, error = _assign(palette, cells.colours)
        weights = np.bincount(nearest, cells.counts, COLOURS)
        sums = [np.bincount(nearest, cells.counts * cells.colours[:, k], COLOURS) for k in range(3)]
        used = weights > 0
        palette = palette.copy()
        palette[used] = np.stack(sums, axis=1)[used] / weights[used, None]
        _reuse_idle(palette, np.flatnonzero(~used), cells, error)
    return palette, _assign(palette, cells.colours)[0]


def _assign(palette: NDArray[np.float32], colours: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """For each colour (n, 3) the index of the nearest palette entry, and its squared distance."""
    distances = colours @ (-2 * palette.T) + (palette * palette).sum(axis=1)
    nearest = distances.argmin(axis=1)
    error = distances[np.arange(len(colours)), nearest] + (colours * colours).sum(axis=1)
    return nearest, error


def _reuse_idle(
    palette: NDArray[np.float32], idle: NDArray[np.intp], cells: _Cells, error: NDArray[np.float32]
) -> None:
    """Move palette entries that no pixel uses to the cells that are served worst (after a cut, all of them)."""
    count = min(len(idle), len(cells.occupied))
    if count:
        worst = np.argsort(error * cells.counts)[-count:]
        palette[idle[:count]] = cells.colours[worst]


def _dithered(image: Image.Image, table: bytes) -> Image.Image:
    palette = Image.new("P", (1, 1))
    palette.putpalette(table)
    return image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
