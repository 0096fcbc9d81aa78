"""What a clip shows, from its pixels alone: the shape, both colours, and the motion."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch

from train.world import COLOURS, SHAPES, signed_distance

_FAINT = 0.25  # share of the greatest distance from the background's colour that still belongs to the background
_FEWEST = 20  # pixels; less than that is no shape
UNCLEAR = "unclear"


@dataclass(frozen=True)
class Seen:
    """What a clip shows; names as in `world`, or `UNCLEAR`.

    Attributes:
        jerk: how uneven the track is: median length of the centroid's second difference, in pixels of 64.
        flicker: mean frame-to-frame difference outside the shape, in levels of 255.
    """

    shape: str
    colour: str
    background: str
    motion: str
    jerk: float
    flicker: float


def look_at(pixels: np.ndarray, masks: np.ndarray | None = None) -> Seen:
    """Measures `pixels: f h w 3`, 0..1; `masks: f h w` says where the shape is, where that is known already."""
    background = background_of(pixels)
    masks = shape_masks(pixels, background) if masks is None else masks
    x, y, area = tracks(masks)
    inside = pixels[masks & (area >= _FEWEST)[:, None, None]]
    if not len(inside):
        return Seen(UNCLEAR, UNCLEAR, colour_name(background), UNCLEAR, 0.0, flicker(pixels, masks))
    return Seen(
        shape=shape_of(masks),
        colour=colour_name(np.median(inside, axis=0)),
        background=colour_name(background),
        motion=motion_of(x, y, area),
        jerk=jerk_of(x, y),
        flicker=flicker(pixels, masks),
    )


def background_of(pixels: np.ndarray) -> np.ndarray:
    """The colour of most of the border, `3`, over all frames of `f h w 3`."""
    return np.median(_border(pixels), axis=0)


def colour_name(colour: np.ndarray) -> str:
    """The nearest of the world's colours."""
    names = list(COLOURS)
    away = np.square(np.array([COLOURS[name] for name in names]) - colour).sum(1)
    return names[int(away.argmin())]


def shape_masks(pixels: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Where the picture differs from its background: `f h w`, bool."""
    away = np.abs(pixels - background).max(-1)
    strength = np.quantile(away, 0.97)
    return away > max(0.5 * strength, _FAINT * away.max(), 0.08)


def tracks(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centroid (x, y) and area in each frame, in pixels of 64; without a shape, its neighbours' place."""
    frames, height, width = masks.shape
    area = masks.sum((1, 2))
    some = np.maximum(area, 1)
    x = (masks.sum(1) * (np.arange(width) + 0.5)).sum(1) / some * 64 / width
    y = (masks.sum(2) * (np.arange(height) + 0.5)).sum(1) / some * 64 / height
    seen = np.flatnonzero(area)
    if len(seen):
        x, y = (np.interp(np.arange(frames), seen, track[seen]) for track in (x, y))
    return x, y, area * (64 * 64 / (height * width))


def motion_of(x: np.ndarray, y: np.ndarray, area: np.ndarray) -> str:
    """The motion that a track shows, by the way from its first to its last places, or `UNCLEAR`."""
    if len(x) < 4:
        return UNCLEAR
    ends = max(1, len(x) // 8)
    growth = (area[-ends:].mean() + 1) / (area[:ends].mean() + 1)
    dx, dy = x[-ends:].mean() - x[:ends].mean(), y[-ends:].mean() - y[:ends].mean()
    if growth > 1.8 or growth < 1 / 1.8:
        return "growing" if growth > 1 else "shrinking"
    spread = max(np.ptp(x), np.ptp(y))
    if max(abs(dx), abs(dy)) >= 12:
        if min(abs(dx), abs(dy)) > 0.6 * max(abs(dx), abs(dy)):
            return UNCLEAR
        return ("right" if dx > 0 else "left") if abs(dx) > abs(dy) else ("down" if dy > 0 else "up")
    if min(np.ptp(x), np.ptp(y)) >= 10:
        return "circling"
    return "still" if spread < 8 else UNCLEAR


def jerk_of(x: np.ndarray, y: np.ndarray) -> float:
    """Median length of the second difference of a track."""
    return float(np.median(np.hypot(np.diff(x, 2), np.diff(y, 2)))) if len(x) > 2 else 0.0


def flicker(pixels: np.ndarray, masks: np.ndarray) -> float:
    """Mean difference of neighbouring frames where neither shows the shape (nor its edge), in levels of 255."""
    if len(pixels) < 2:
        return 0.0
    wide = _widened(masks)
    outside = ~(wide[1:] | wide[:-1])
    change = np.abs(np.diff(pixels, axis=0)).mean(-1)
    return float(change[outside].mean() * 255) if outside.any() else float(change.mean() * 255)


def shape_of(masks: np.ndarray) -> str:
    """The shape whose outline, of the same place and area, covers the masks best (intersection over union)."""
    x, y, area = tracks(masks)
    scale = 64 / masks.shape[1]
    whole = [i for i in range(len(masks)) if area[i] >= _FEWEST and not _touches_border(masks[i])]
    frames = whole or [i for i in range(len(masks)) if area[i] >= _FEWEST]
    frames = frames[:: max(1, len(frames) // 6)]
    places = (np.arange(masks.shape[1]) + 0.5) * scale
    scores = dict.fromkeys(SHAPES, 0.0)
    for shape in SHAPES:
        unit, low = _unit_area(shape)
        for i in frames:
            radius = (area[i] / unit) ** 0.5
            p = np.stack(np.broadcast_arrays(places[None] - x[i], places[:, None] - y[i])) / radius
            p[1] += low
            ideal = signed_distance(shape, torch.from_numpy(p)).numpy() < 0
            scores[shape] += (ideal & masks[i]).sum() / max((ideal | masks[i]).sum(), 1)
    return max(scores, key=lambda name: scores[name])


@functools.cache
def _unit_area(shape: str) -> tuple[float, float]:
    """Area of a shape of radius 1, and how far its centroid lies below its centre."""
    axis = torch.linspace(-1.5, 1.5, 301)
    p = torch.stack(torch.broadcast_tensors(axis[None], axis[:, None]))
    inside = signed_distance(shape, p) < 0
    return float(inside.sum()) * (3 / 300) ** 2, float(p[1][inside].mean())


def _border(pixels: np.ndarray) -> np.ndarray:
    edge = max(1, pixels.shape[1] // 32)
    parts = (pixels[:, :edge], pixels[:, -edge:], pixels[:, :, :edge], pixels[:, :, -edge:])
    return np.concatenate([part.reshape(-1, 3) for part in parts])


def _touches_border(mask: np.ndarray) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def _widened(masks: np.ndarray, by: int = 3) -> np.ndarray:
    wide = masks.copy()
    for _ in range(by):
        grown = wide.copy()
        grown[:, 1:] |= wide[:, :-1]
        grown[:, :-1] |= wide[:, 1:]
        grown[:, :, 1:] |= wide[:, :, :-1]
        grown[:, :, :-1] |= wide[:, :, 1:]
        wide = grown
    return wide
