"""Clips whose motion is known, drawn from seeds: `f h w 3`, uint8."""

from __future__ import annotations

import cv2
import numpy as np

Clip = list[np.ndarray]


def texture(seed: int, size: int) -> np.ndarray:
    """Noise of many scales, as clouds and stones have it, with some hard edges: `size size 3`, float32, 0..255."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((size, size, 3), np.float32)
    for scale in (2, 4, 8, 16, 32, 64):
        coarse = rng.random((max(2, size // scale), max(2, size // scale), 3)).astype(np.float32) - 0.5
        picture += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC) * scale**0.35
    picture = (picture - picture.mean()) / picture.std() * 45 + 128
    for _ in range(size // 16):
        centre, colour = rng.integers(0, size, 2).tolist(), rng.integers(20, 235, 3).tolist()
        cv2.circle(picture, centre, int(rng.integers(size // 60, size // 16)), colour, -1, cv2.LINE_AA)
    return picture.clip(0, 255)


def seen(picture: np.ndarray, place: np.ndarray, size: int) -> np.ndarray:
    """What a camera sees: `place`, 2x3, says where in the picture each pixel of the frame comes from.

    Each pixel is the mean of four, as of a lens, so that nothing finer than a pixel is left to flicker.
    """
    twice = place @ np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    fine = cv2.warpAffine(picture, twice, (2 * size, 2 * size), flags=flags, borderMode=cv2.BORDER_REFLECT)
    return cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA)


def shifted(x: float, y: float) -> np.ndarray:
    """The picture's part whose corner is there."""
    return np.array([[1, 0, x], [0, 1, y]], np.float64)


def translation(frames: int, size: int) -> Clip:
    """A camera that pans over a picture: 3.4 pixels a frame to one side, 1.3 down."""
    wide = texture(1, 3 * size)
    return [_bytes(seen(wide, shifted(size + 3.4 * frame, size + 1.3 * frame), size)) for frame in range(frames)]


def turning(frames: int, size: int) -> Clip:
    """A camera that turns by 1.2 degrees a frame and comes nearer by 1 %."""
    wide, middle = texture(2, 3 * size), (size - 1) / 2
    clip = []
    for frame in range(frames):
        place = cv2.getRotationMatrix2D((middle, middle), 1.2 * frame, 0.99**frame)
        place[:, 2] += size
        clip.append(_bytes(seen(wide, place, size)))
    return clip


def crossing(frames: int, size: int) -> Clip:
    """Two textured discs that pass before a background, and the one before the other."""
    ground, parts = texture(3, 3 * size), [texture(4, 3 * size), texture(5, 3 * size)]
    discs = [((0.25, 0.45), (0.03, 0.004), 0.17), ((0.75, 0.55), (-0.024, -0.006), 0.2)]  # place, speed, radius
    clip = []
    for frame in range(frames):
        picture = seen(ground, shifted(size + 0.6 * frame, size), size)
        for part, (start, speed, radius) in zip(parts, discs, strict=True):
            x, y = ((at + by * frame / 2) * size for at, by in zip(start, speed, strict=True))
            inside = _disc(size, x, y, radius * size)[..., None]
            picture = inside * seen(part, shifted(2 * size - x, 2 * size - y), size) + (1 - inside) * picture
        clip.append(_bytes(picture))
    return clip


def fast(frames: int, size: int) -> Clip:
    """A thing that swings to and fro, up to 6 % of the picture's width a frame, before a panning background."""
    ground, part = texture(6, 3 * size), texture(7, 3 * size)
    clip = []
    for frame in range(frames):
        picture = seen(ground, shifted(size + 5 * frame, size), size)
        x, y = size * (0.5 + 0.3 * np.sin(0.2 * frame)), size * (0.5 + 0.15 * np.cos(0.2 * frame))
        inside = _disc(size, x, y, 0.22 * size)[..., None]
        picture = inside * seen(part, shifted(2 * size - x, 2 * size - y), size) + (1 - inside) * picture
        clip.append(_bytes(picture))
    return clip


CLIPS = {"translation": translation, "rotation and zoom": turning, "two things crossing": crossing, "fast": fast}


def _disc(size: int, x: float, y: float, radius: float) -> np.ndarray:
    """How much of each pixel is inside, 0..1."""
    rows, columns = np.indices((size, size), dtype=np.float32)
    return (radius - np.hypot(columns - x, rows - y) + 0.5).clip(0, 1)


def _bytes(picture: np.ndarray) -> np.ndarray:
    return picture.round().clip(0, 255).astype(np.uint8)
