"""A clip as palette pictures whose colours stay put: a pixel is drawn anew only where its colour has really changed.

A palette of its own for each frame gives a smooth picture other colours in every frame: bands that crawl and flicker,
although nothing moves. So a frame leaves the pixels of the frame before in place where these still show the right
colour (by the transparent entry of its colour table), and spends its colours on the others. After a few frames, a
smooth picture shows many more than 256 colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from motion_module.media.writing.palette import MOST_COLOURS, PaletteTracker, dithered, exact_indices, exact_table
from motion_module.media.writing.planes import (
    Planes,
    blocks,
    differences,
    distances,
    either,
    looked_up,
    planes_of,
    unlike,
)

KEPT = MOST_COLOURS - 1
"""The index in the colour table that stands for "as in the frame before"."""

# Colours are as far apart as the sum of their squared differences in red, green and blue says.
# So near to the wanted colour (1 or 2 levels in each channel), a colour is right however good the palette is.
_RIGHT = 6
# A pixel that moves by no more than so many levels a frame belongs to a smooth, slow change. There, the new colour is
# looked for so much of the way back to the one that is shown: smaller jumps, for a little of the PSNR.
_SLOW, _INERTIA, _WHOLE_WAY = 2, 10, 32
# Dithering that takes a pixel further off than so many times the palette's usual error is not followed.
_WILDEST = 5
# Of so many pixels, those that are drawn tell early when there are too many colours.
_SAMPLE = 4096


@dataclass(frozen=True)
class Drawing:
    """What a frame changes.

    Attributes:
        indices: for every pixel the index of its colour in the table, (h, w) uint8.
        table: the colours, (256, 3) uint8.
        keeps: whether pixels of the frame before show through, at the index `KEPT`.
        changes: whether anything is drawn, and so a colour of the table used.
    """

    indices: NDArray[np.uint8]
    table: NDArray[np.uint8]
    keeps: bool
    changes: bool


@dataclass(frozen=True)
class _Strokes:
    """Some pixels of a frame with their colours.

    Attributes:
        drawn: which pixels, (n,).
        indices: in the table, (n,); of those that are not drawn, anything.
        colours: that stand there, (3, n).
        table: (256, 3).
    """

    drawn: NDArray[np.bool_]
    indices: NDArray[np.uint8]
    colours: Planes
    table: NDArray[np.uint8]


class SteadyPainter:
    """Turns RGB frames of one size into drawings, each to be laid over those before it.

    A pixel that is the same as in the frame before is never touched. Where the colours that a frame needs fit into its
    table, they are exact.

    Args:
        tracker: finds the colours.
        dither: spread the error over neighbours (Floyd-Steinberg): smooth gradients, larger files.
    """

    def __init__(self, tracker: PaletteTracker, dither: bool = False) -> None:
        self._tracker = tracker
        self._dither = dither
        self._before: Planes | None = None  # the frame before
        self._shown: Planes  # the colours that a viewer sees of it
        self._meant: Planes  # the colour that each pixel had when it was drawn

    def draw(self, image: Image.Image) -> Drawing:
        """What this frame changes in the picture that the frames before left.

        Args:
            image: mode RGB, of the same size as the others.
        """
        frame = planes_of(image)
        before, self._before = self._before, frame
        strokes = self._first(frame, image) if before is None else self._next(frame, before, image)
        indices = self._lay(strokes, frame)
        drawn = strokes.drawn
        return Drawing(indices.reshape(image.size[::-1]), strokes.table, not drawn.all(), bool(drawn.any()))

    def _lay(self, strokes: _Strokes, frame: Planes) -> NDArray[np.uint8]:
        """Lay pixels over what is shown; the indices for the whole frame, (n,)."""
        indices = np.full_like(strokes.indices, KEPT)
        for block in blocks(len(indices)):
            drawn = strokes.drawn[block]
            indices[block] = either(drawn, strokes.indices[block], indices[block])
            self._shown[:, block] = either(drawn, strokes.colours[:, block], self._shown[:, block])
            if self._dither:
                self._meant[:, block] = either(drawn, frame[:, block], self._meant[:, block])
        return indices

    def _first(self, frame: Planes, image: Image.Image) -> _Strokes:
        self._shown, self._meant = np.zeros_like(frame), np.zeros_like(frame)
        everywhere = np.ones(frame.shape[1], np.bool_)
        exact = _exact(frame, everywhere, MOST_COLOURS)
        if exact is not None:
            return exact
        return self._dithered(frame, everywhere, image) if self._dither else self._nearest(frame, everywhere)

    def _next(self, frame: Planes, before: Planes, image: Image.Image) -> _Strokes:
        moved, off = unlike(frame, before), unlike(frame, self._shown)
        due = moved & off
        exact = _exact(frame, due, MOST_COLOURS - 1)
        if exact is None and (due == off).all():
            exact = _exact(frame, np.ones_like(due), MOST_COLOURS)
        if exact is not None:
            return exact
        if self._dither:
            return self._dithered(frame, self._drifted(frame, due), image)
        return self._corrected(frame, before, due)

    def _corrected(self, frame: Planes, before: Planes, due: NDArray[np.bool_]) -> _Strokes:
        """Of these pixels, those whose colour is wrong and that the palette has a better one for."""
        wrong, wanted = np.empty(len(due), np.int32), np.empty_like(frame)
        for block in blocks(len(due)):
            colours, shown = frame[:, block], self._shown[:, block]
            slow = differences(colours, before[:, block]).max(axis=0) <= _SLOW
            wrong[block] = distances(colours, shown)
            good_enough = slow & (wrong[block] <= int(self._tracker.error))
            due[block] &= (wrong[block] > _RIGHT) & ~good_enough
            wanted[:, block] = either(slow, _held_back(colours, shown), colours)
        if not due.any():
            return _nothing(frame)
        nearest = self._nearest(wanted, due)
        for block in blocks(len(due)):
            nearest.drawn[block] &= distances(frame[:, block], nearest.colours[:, block]) < wrong[block]
        return nearest

    def _nearest(self, wanted: Planes, drawn: NDArray[np.bool_]) -> _Strokes:
        """These pixels in the nearest colours of the palette."""
        indices = self._tracker.follow(wanted, drawn)
        return _with_colours(drawn, indices, self._tracker.table)

    def _dithered(self, frame: Planes, drawn: NDArray[np.bool_], image: Image.Image) -> _Strokes:
        """Pixels from a picture of the whole frame: dithered, but of the nearest colour where that goes too far."""
        nearest = self._tracker.follow(frame)
        table, farthest = self._tracker.table, _WILDEST * self._tracker.error
        indices = dithered(image, table)
        for block in blocks(len(indices)):
            wild = distances(frame[:, block], looked_up(table, indices[block])) > farthest
            indices[block] = either(wild, nearest[block], indices[block])
        return _with_colours(drawn, indices, table)

    def _drifted(self, frame: Planes, due: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Of these pixels, those that are no longer meant to have the colour that they were drawn for, (n,)."""
        drifted = np.empty_like(due)
        for block in blocks(len(due)):
            drifted[block] = due[block] & (distances(frame[:, block], self._meant[:, block]) > _RIGHT)
        return drifted


def _with_colours(drawn: NDArray[np.bool_], indices: NDArray[np.uint8], table: NDArray[np.uint8]) -> _Strokes:
    colours = np.empty((3, len(indices)), np.uint8)
    for block in blocks(len(indices)):
        colours[:, block] = looked_up(table, indices[block])
    return _Strokes(drawn, indices, colours, table)


def _nothing(frame: Planes) -> _Strokes:
    count = frame.shape[1]
    table = np.zeros((MOST_COLOURS, 3), np.uint8)
    return _Strokes(np.zeros(count, np.bool_), np.zeros(count, np.uint8), frame, table)


def _exact(frame: Planes, drawn: NDArray[np.bool_], most: int) -> _Strokes | None:
    """These pixels without any error; None where they have more than so many colours."""
    if not drawn.any():
        return _nothing(frame)
    some = slice(None, None, len(drawn) // _SAMPLE + 1)
    sample = frame[:, some][:, drawn[some]]
    if sample.shape[1] > most and exact_table(sample, most) is None:
        return None
    pixels = frame if drawn.all() else np.stack([plane[drawn] for plane in frame])
    table = exact_table(pixels, most)
    if table is None:
        return None
    indices = np.zeros(len(drawn), np.uint8)
    indices[drawn] = exact_indices(pixels, table)
    return _Strokes(drawn, indices, frame, table)


def _held_back(wanted: Planes, shown: Planes) -> Planes:
    """Colours a little on the way from the wanted ones back to those that are shown, rounded to the wanted ones."""
    mixed = wanted.astype(np.uint16) * np.uint16(_WHOLE_WAY - _INERTIA)
    mixed += shown.astype(np.uint16) * np.uint16(_INERTIA)
    mixed += np.uint16(_WHOLE_WAY // 2 - 1)
    mixed //= np.uint16(_WHOLE_WAY)
    return mixed.astype(np.uint8)
