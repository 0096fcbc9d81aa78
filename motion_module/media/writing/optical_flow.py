"""The picture between two, along the motion that OpenCV's DIS finds (Kroeger et al. 2016, arXiv 1603.03590).

Flow is measured at half the size, where it is as good and takes a quarter of the time; pixels are moved at full size.
Shapes: a picture is `h w c`, uint8; a flow is `h w 2`, float32: how many pixels right and down what is there moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from motion_module.media.writing.clip import has_alpha

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]
_Pixels = TypeVar("_Pixels", Picture, Floats)

_SMALLEST = 32  # DIS wants 12 pixels, of half the size
_DESCENTS, _REFINEMENTS = 12, 2  # rounds; the preset's 25 and 5 take a fifth longer and are no better
_ROUNDS = 2  # in which a flow that belongs to a frame becomes that of a time between; more change nothing
_AROUND = 5  # pixels a side of the square in which two pictures are compared
_SOURCE_OUTSIDE = 15  # levels by which two pixels count as different, one of which is not in the picture
_UNLIKE = 20  # levels by which pixels differ that are hardly the same thing
_HIDDEN = 4  # square of the pixels by which a flow misses its start, there and back, from where it is surely hidden
_PREFERENCE = 1.25  # how much more a pixel counts that the other frame hides
_FOLLOWED, _RIGHT = 0.25, 25  # square of pixels, and levels, up to which a pixel is found again in the other frame
_CUT = 0.2  # share of the pixels that are found again (moving clips: above 0.7, cuts: below 0.15), and ...
_CALM = 8  # ... levels of difference, below which there is no cut to be seen


class Flow:
    """Makes pictures between two, of one clip."""

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
        self._search.setFinestScale(0)
        self._search.setGradientDescentIterations(_DESCENTS)
        self._search.setVariationalRefinementIterations(_REFINEMENTS)

    def between(self, first: Image.Image, last: Image.Image, count: int) -> Iterator[Image.Image]:
        """So many pictures, at equal distances, on the way from one to the other; across a cut the nearer one again.

        Args:
            first, last: of one size; with transparency if one of them has it, RGB otherwise.
            count: from 1.
        """
        mode, shown = ("RGBa", "RGBA") if has_alpha(first) or has_alpha(last) else ("RGB", "RGB")
        way = _Way(self._search, *(_padded(np.asarray(_as(mode, image))) for image in (first, last)))
        is_cut = way.is_cut()
        for number in range(1, count + 1):
            time = number / (count + 1)
            if is_cut:
                yield (first if time <= 0.5 else last).convert(shown)
            else:
                pixels = way.at(time)[: first.height, : first.width]
                yield _as(shown, Image.frombytes(mode, first.size, pixels.tobytes()))


class _Way:
    """From one picture to another."""

    def __init__(self, search: cv2.DISOpticalFlow, first: Picture, last: Picture) -> None:
        self._pictures = (first, last)
        self._grey = (_half_grey(first), _half_grey(last))
        one, other = self._grey
        self._flows = (_found(search, one, other), _found(search, other, one))
        self._places, self._half_places = _places(first), _places(one)
        forth, back = self._flows
        self._hidden = (self._missed(forth, back), self._missed(back, forth))

    def is_cut(self) -> bool:
        """Hardly anything of the first picture is found in the last."""
        one, other = self._grey
        if cv2.absdiff(one, other).mean() < _CALM:
            return False
        unlike = cv2.absdiff(one, _taken(other, self._half_places + self._flows[0]))
        return float(((self._hidden[0] < _FOLLOWED) & (unlike < _RIGHT)).mean()) < _CUT

    def at(self, time: float) -> Picture:
        """The picture at a time, above 0 (the first) and below 1 (the last)."""
        flow, unlike = self._flow_at(time)
        share = self._share_of_first(flow, unlike, time)
        flow, share = 2 * _doubled(flow), _doubled(share)
        first, last = (
            _taken(picture, self._places + by * flow)
            for picture, by in zip(self._pictures, (-time, 1 - time), strict=True)
        )
        return np.asarray(cv2.blendLinear(first, last, share, 1 - share))

    def _flow_at(self, time: float) -> tuple[Floats, Floats]:
        """The flow of what is seen at a time, and how unlike the two pixels are that it leads to.

        Both flows are moved to that time, which is ambiguous where things cover each other; of several answers the one
        counts in each place whose two pixels are most alike.
        """
        forth, back = self._flows
        moved_forth, moved_back = forth, back
        for _ in range(_ROUNDS):
            moved_forth = _taken(forth, self._half_places - time * moved_forth)
            moved_back = _taken(back, self._half_places - (1 - time) * moved_back)
        best = moved_forth.copy()
        least = self._unlike(best, time)
        for flow in (-moved_back, forth, -back):
            unlike = self._unlike(flow, time)
            better = unlike < least
            best[better], least = flow[better], np.minimum(unlike, least)
        return best, least

    def _unlike(self, flow: Floats, time: float) -> Floats:
        """By how many levels the pixels around differ that a flow at a time leads to, `h w`."""
        sources = [self._half_places + by * flow for by in (-time, 1 - time)]
        unlike = cv2.absdiff(*(_taken(grey, source) for grey, source in zip(self._grey, sources, strict=True)))
        unlike[~(_inside(sources[0]) & _inside(sources[1]))] = _SOURCE_OUTSIDE
        return np.asarray(cv2.boxFilter(unlike, cv2.CV_32F, (_AROUND, _AROUND)), np.float32)

    def _share_of_first(self, flow: Floats, unlike: Floats, time: float) -> Floats:
        """How much the first picture counts at a time, `h w`, 0..1.

        The nearer one counts more; what one of them does not show, the other must. A pixel whose flow does not lead
        back to it is hidden in the other picture, so this one is the one to be seen, where the two are unlike at all.
        """
        doubt = _PREFERENCE * unlike / (unlike + _UNLIKE)
        weights = []
        for by, weight, hidden in zip((-time, 1 - time), (1 - time, time), self._hidden, strict=True):
            source = self._half_places + by * flow
            seen = np.where(_inside(source), np.float32(1), np.float32(1e-4))
            weights.append(weight * seen * (1 + doubt * _taken(hidden, source)))
        return np.asarray(weights[0] / (weights[0] + weights[1]), np.float32)

    def _missed(self, there: Floats, back: Floats) -> Floats:
        """The square of the distance by which each pixel misses itself, there and back again; `_HIDDEN` at most."""
        off = np.square(there + _taken(back, self._half_places + there))
        return np.minimum(off[..., 0] + off[..., 1], np.float32(_HIDDEN))


def _found(search: cv2.DISOpticalFlow, one: Picture, other: Picture) -> Floats:
    begun: Any = None  # a flow that is given is where the search begins
    return np.asarray(search.calc(one, other, begun), np.float32)


def _taken(picture: _Pixels, sources: Floats) -> _Pixels:
    """What is at places of a picture (`h w 2`, x and y), also between its pixels; outside, what is at its edge."""
    x, y = sources[..., 0], sources[..., 1]
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), picture.dtype)


def _places(picture: Picture) -> Floats:
    """x and y of each pixel, `h w 2`."""
    y, x = np.indices(picture.shape[:2], np.float32)
    return np.stack([x, y], axis=-1)


def _inside(sources: Floats) -> NDArray[np.bool_]:
    """Which places are in the picture, or nearly so: half a pixel of the full size is no border."""
    height, width = sources.shape[:2]
    x, y = sources[..., 0], sources[..., 1]
    return (x >= -0.25) & (y >= -0.25) & (x <= width - 0.75) & (y <= height - 0.75)


def _half_grey(picture: Picture) -> Picture:
    grey = cv2.cvtColor(np.ascontiguousarray(picture[..., :3]), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))


def _doubled(values: Floats) -> Floats:
    return np.asarray(cv2.resize(values, None, fx=2, fy=2), np.float32)


def _padded(picture: Picture) -> Picture:
    """Widened by its own edge to even sides, as halves need, that are large enough for a search."""
    more = [max(side + side % 2, _SMALLEST) - side for side in picture.shape[:2]]
    return np.pad(picture, [(0, more[0]), (0, more[1]), (0, 0)], mode="edge")


def _as(mode: str, image: Image.Image) -> Image.Image:
    """In another mode. "RGBa", whose colours count as far as they are seen, is made from RGBA alone."""
    if mode == "RGBa" and image.mode != "RGBA":
        image = image.convert("RGBA")
    return image if image.mode == mode else image.convert(mode)
