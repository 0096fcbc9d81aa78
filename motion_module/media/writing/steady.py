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

from motion_module.media.writing.palette import (
    MOST_COLOURS,
    PaletteTracker,
    Planes,
    dithered,
    exact_places,
    exact_table,
)

KEPT = MOST_COLOURS - 1
"""The place in the colour table that stands for "as in the frame before"."""

# Colours are as far apart as the sum of their squared differences in red, green and blue says.
# So near to the wanted colour (1 or 2 levels in each channel), a colour is right however good the palette is.
_RIGHT = 6
# A pixel that moves by no more than so many levels a frame belongs to a smooth, slow change. There, the new colour is
# looked for so much of the way back to the one that is shown: smaller jumps, for a little of the PSNR.
_SLOW, _INERTIA = 2, 10  # 32nds
# Dithering that takes a pixel further off than so many times the palette's usual error is not followed.
_WILDEST = 5
# Pixels that tell early when there are too many colours.
_SAMPLE = 2048


@dataclass(frozen=True)
class Drawing:
    """What a frame changes.

    Attributes:
        places: for every pixel its place in the table, (h, w) uint8.
        table: the colours, (256, 3) uint8.
        keeps: whether pixels of the frame before show through, at the place `KEPT`.
    """

    places: NDArray[np.uint8]
    table: NDArray[np.uint8]
    keeps: bool


@dataclass(frozen=True)
class _Strokes:
    """Some pixels and their colours.

    Attributes:
        where: the pixels' numbers in the frame, (n,).
        places: in the table, (n,).
        colours: which are there, (3, n).
        table: (256, 3).
    """

    where: NDArray[np.intp]
    places: NDArray[np.uint8]
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
        frame = np.stack([np.asarray(plane).reshape(-1) for plane in image.split()])
        before, self._before = self._before, frame
        strokes = self._first(frame, image.size) if before is None else self._next(frame, before, image.size)
        for shown, meant, colours, wanted in zip(self._shown, self._meant, strokes.colours, frame, strict=True):
            shown[strokes.where] = colours
            if self._dither:
                meant[strokes.where] = wanted[strokes.where]
        places = np.full(frame.shape[1], KEPT, np.uint8)
        places[strokes.where] = strokes.places
        return Drawing(places.reshape(image.size[::-1]), strokes.table, len(strokes.where) < frame.shape[1])

    def _first(self, frame: Planes, size: tuple[int, int]) -> _Strokes:
        self._shown, self._meant = np.zeros_like(frame), np.zeros_like(frame)
        everywhere = np.arange(frame.shape[1])
        return _exact(frame, everywhere, MOST_COLOURS) or self._whole(frame, everywhere, size)

    def _next(self, frame: Planes, before: Planes, size: tuple[int, int]) -> _Strokes:
        moved = (np.maximum(frame, before) - np.minimum(frame, before)).max(axis=0)
        wrong = _distance(frame, self._shown)
        due = (moved > 0) & (wrong > 0)
        exact = _exact(frame, np.flatnonzero(due), MOST_COLOURS - 1)
        if exact is None and not wrong[moved == 0].any():
            exact = _exact(frame, np.arange(frame.shape[1]), MOST_COLOURS)
        if exact is not None:
            return exact
        if self._dither:
            drifted = _distance(frame, self._meant) > _RIGHT
            return self._whole(frame, np.flatnonzero(due & drifted), size)
        return self._nearest(frame, moved, wrong)

    def _nearest(self, frame: Planes, moved: NDArray[np.uint8], wrong: NDArray[np.int32]) -> _Strokes:
        """The pixels whose colour is wrong, where the palette has a better one."""
        slow = moved <= _SLOW
        good_enough = slow & (wrong <= int(self._tracker.error))
        where = np.flatnonzero((moved > 0) & (wrong > _RIGHT) & ~good_enough)
        if not len(where):
            return _nothing()
        wanted = _at(frame, where)
        places = self._tracker.follow(np.where(slow[where], _held_back(wanted, _at(self._shown, where)), wanted))
        colours = _looked_up(self._tracker.table, places)
        better = np.flatnonzero(_distance(wanted, colours) < wrong[where])
        return _Strokes(where[better], places[better], _at(colours, better), self._tracker.table)

    def _whole(self, frame: Planes, where: NDArray[np.intp], size: tuple[int, int]) -> _Strokes:
        """Pixels from a palette picture of the whole frame, dithered if that is wished for."""
        places = self._tracker.follow(frame)
        table = self._tracker.table
        if self._dither:
            spread = dithered(frame, size, table)
            wild = _distance(frame, _looked_up(table, spread)) > _WILDEST * self._tracker.error
            places = np.where(wild, places, spread)
        places = places[where]
        return _Strokes(where, places, _looked_up(table, places), table)


def _nothing() -> _Strokes:
    nothing = np.zeros((3, 0), np.uint8)
    return _Strokes(np.zeros(0, np.intp), nothing[0], nothing, np.zeros((MOST_COLOURS, 3), np.uint8))


def _exact(frame: Planes, where: NDArray[np.intp], most: int) -> _Strokes | None:
    """These pixels without any error; None where they have more than so many colours."""
    if not len(where):
        return _nothing()
    if exact_table(_at(frame, where[:: len(where) // _SAMPLE + 1]), most) is None:
        return None
    pixels = _at(frame, where)
    table = exact_table(pixels, most)
    return None if table is None else _Strokes(where, exact_places(pixels, table), pixels, table)


def _held_back(wanted: Planes, shown: Planes) -> Planes:
    """Colours a little on the way from the wanted ones back to those that are shown."""
    step = wanted.astype(np.int16) - shown
    return (wanted - ((step * _INERTIA + 16) >> 5)).astype(np.uint8)


def _at(planes: Planes, where: NDArray[np.intp]) -> Planes:
    return planes if len(where) == planes.shape[1] else np.stack([plane[where] for plane in planes])


def _looked_up(table: NDArray[np.uint8], places: NDArray[np.uint8]) -> Planes:
    return np.stack([colours[places] for colours in np.ascontiguousarray(table.T)])


def _distance(one: Planes, other: Planes) -> NDArray[np.int32]:
    """How far apart the colours of pixels are, (n,)."""
    steps = [np.subtract(first, second, dtype=np.int16) for first, second in zip(one, other, strict=True)]
    red, green, blue = (np.multiply(step, step, dtype=np.int32) for step in steps)
    return red + green + blue
