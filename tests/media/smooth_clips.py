"""Smooth moving pictures, where a GIF's 256 colours show, and how much their colours flicker."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

STEADY = 2  # levels: pixels that change by no more between two frames should not be seen to change


@dataclass(frozen=True)
class Flicker:
    """How far apart neighbouring shown frames are, in levels of the channel that differs most."""

    largest: int
    nearly_largest: float  # the 99.9th percentile
    mean: float


def flicker(frames: list[np.ndarray], shown: list[np.ndarray], steady: int = STEADY) -> Flicker:
    """Of all pixels that change by at most `steady` levels in every channel; frames are (h, w, 3) uint8."""
    found = [np.zeros(0, int)]
    for (before, after), (shown_before, shown_after) in zip(
        itertools.pairwise(frames), itertools.pairwise(shown), strict=True
    ):
        quiet = _difference(before, after) <= steady
        found.append(_difference(shown_before, shown_after)[quiet])
    levels = np.concatenate(found)
    if not len(levels):
        return Flicker(0, 0.0, 0.0)
    return Flicker(int(levels.max()), float(np.percentile(levels, 99.9)), float(levels.mean()))


def _difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(one.astype(int) - other).max(axis=-1)


def _picture(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(levels + 0.5, 0, 255).astype(np.uint8))


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:size, 0:size] / size
    return y, x


def gradient(count: int, size: int, speed: float = 0.5, noise: int = 0) -> list[Image.Image]:
    """All of red and green, and a wave of blue, that get lighter or darker by `speed` levels a frame."""
    y, x = _grid(size)
    start = np.stack([255 * x, 255 * y, 128 + 100 * np.sin(3 * x + 2 * y)], axis=-1)
    rng = np.random.default_rng(0)
    grain = [rng.integers(-noise, noise, start.shape, endpoint=True) if noise else 0 for _ in range(count)]
    return [_picture(start + step * speed * np.array([1, -1, 0.7]) + grain[step]) for step in range(count)]


def waves(count: int, size: int, noise: int = 0) -> list[Image.Image]:
    """Waves of all three colours that wander, by up to 2 levels a frame."""
    y, x = _grid(size)
    rng = np.random.default_rng(1)
    clip = []
    for turn in np.arange(count) * 0.02:
        rounds = 5 * np.hypot(x - 0.5, y - 0.5)
        wave = np.stack([np.sin(3 * x + turn), np.sin(4 * y - turn + 2 * x), np.cos(rounds + turn)], axis=-1)
        grain = rng.integers(-noise, noise, wave.shape, endpoint=True) if noise else 0
        clip.append(_picture(128 + 90 * wave + grain))
    return clip


def shapes(count: int, size: int, drift: float = 0.0) -> list[Image.Image]:
    """Three flat discs that circle over a smooth background, which changes by `drift` levels a frame."""
    y, x = _grid(size)
    clip = []
    for step in range(count):
        light = step * drift
        picture = np.stack([40 + 150 * x + light, 90 + 100 * y - light, 200 - 120 * x * y + light], axis=-1)
        for number, colour in enumerate([(250, 230, 30), (20, 20, 20), (220, 30, 40)]):
            angle = step / 4 + 2.1 * number
            distance = np.hypot(x - 0.5 - 0.35 * np.cos(angle), y - 0.5 - 0.3 * np.sin(angle))
            picture[distance < 0.06 + 0.03 * number] = colour
        clip.append(_picture(picture))
    return clip


def confetti(count: int, size: int) -> list[Image.Image]:
    """Forty small discs of as many colours that fly over a slow gradient, with soft edges."""
    rng = np.random.default_rng(5)
    places, steps = rng.uniform(0, 1, (40, 2)), rng.uniform(-0.02, 0.02, (40, 2))
    colours, radii = rng.integers(0, 256, (40, 3)), rng.uniform(0.006, 0.02, 40) * 2 * size
    clip = []
    for step, ground in enumerate(gradient(count, size)):
        large = ground.resize((2 * size, 2 * size))
        draw = ImageDraw.Draw(large)
        for (x, y), radius, colour in zip((places + steps * step) % 1 * 2 * size, radii, colours, strict=True):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tuple(map(int, colour)))
        clip.append(large.resize((size, size), Image.Resampling.LANCZOS))
    return clip


def pulse(count: int, size: int) -> list[Image.Image]:
    """Soft spots of every colour, which get lighter and darker together: far more colours than a palette holds."""
    spots = np.random.default_rng(5).integers(0, 256, (size // 16, size // 16, 3), np.uint8)
    soft = np.asarray(Image.fromarray(spots).resize((size, size), Image.Resampling.BICUBIC), float)
    return [_picture(12 + 0.9 * soft + 10 * np.sin(step / 5)) for step in range(count)]


def fade(count: int, size: int, end: float) -> list[Image.Image]:
    """A picture that gets darker, down to `end` of its light."""
    start = np.asarray(waves(1, size)[0], float)
    return [_picture(start * (1 + (end - 1) * step / max(count - 1, 1))) for step in range(count)]


CLIPS: dict[str, Callable[[int, int], list[Image.Image]]] = {
    "slow gradient": gradient,
    "moving gradient": lambda count, size: gradient(count, size, speed=2),
    "gradient, noise of 1": lambda count, size: gradient(count, size, noise=1),
    "waves": waves,
    "waves, noise of 1": lambda count, size: waves(count, size, noise=1),
    "flat shapes, still ground": shapes,
    "flat shapes, slow ground": lambda count, size: shapes(count, size, drift=0.5),
    "confetti on a gradient": confetti,
    "pulsing spots": pulse,
    "slow fade": lambda count, size: fade(count, size, end=1 - 0.01 * count),
    "fade to black": lambda count, size: fade(count, size, end=0),
}
