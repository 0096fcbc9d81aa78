"""The little world that the pocket model knows: one flat shape on a flat background, moving in one of eight ways."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SIZE = 64  # pixels of a frame's side
FRAMES = 16  # frames of a clip

Colour = tuple[float, float, float]

COLOURS: Mapping[str, Colour] = {
    "red": (0.90, 0.10, 0.10),
    "orange": (1.00, 0.55, 0.05),
    "yellow": (0.98, 0.92, 0.15),
    "green": (0.10, 0.62, 0.20),
    "cyan": (0.15, 0.85, 0.90),
    "blue": (0.12, 0.22, 0.90),
    "purple": (0.50, 0.12, 0.68),
    "pink": (1.00, 0.55, 0.78),
    "white": (0.96, 0.96, 0.96),
    "black": (0.05, 0.05, 0.05),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "ring")
MOTIONS = ("left", "right", "up", "down", "circling", "growing", "shrinking", "still")
SIZES: Mapping[str, tuple[float, float]] = {"small": (12.0, 14.5), "medium": (14.0, 17.5), "large": (17.0, 20.0)}

_HELD_OUT_SHARE = 8  # one in so many (shape, colour, background) is never shown in training
_COLOUR_JITTER = 0.03


@dataclass(frozen=True)
class Scene:
    """One clip before it is drawn.

    Attributes:
        shape, colour, background, motion, size: names from the tables above.
        fill, ground: the colours of this very clip, 0..1.
        x, y, radius: the shape's centre and half width in pixels, for each frame.
    """

    shape: str
    colour: str
    background: str
    motion: str
    size: str
    fill: Colour
    ground: Colour
    x: tuple[float, ...]
    y: tuple[float, ...]
    radius: tuple[float, ...]


def is_held_out(shape: str, colour: str, background: str) -> bool:
    """Whether this combination is kept from training, for measuring."""
    place = (list(COLOURS).index(colour) * 11 + list(COLOURS).index(background) * 5 + SHAPES.index(shape) * 3) % 97
    return place % _HELD_OUT_SHARE == 0


def random_scene(rng: random.Random, frames: int = FRAMES, held_out: bool = False) -> Scene:
    """A scene from the training combinations, or from the others where `held_out`."""
    while True:
        shape, colour, background = rng.choice(SHAPES), rng.choice(list(COLOURS)), rng.choice(list(COLOURS))
        if colour != background and is_held_out(shape, colour, background) == held_out:
            break
    motion, size = rng.choice(MOTIONS), rng.choice(list(SIZES))
    x, y, radius = track(rng, motion, size, frames)
    fill, ground = _jittered(rng, COLOURS[colour]), _jittered(rng, COLOURS[background])
    return Scene(shape, colour, background, motion, size, fill, ground, x, y, radius)


def scenes_of(seed: int, count: int, frames: int = FRAMES) -> list[Scene]:
    """The first `count` training scenes of a seed; scene i does not depend on `count`."""
    return [random_scene(random.Random(f"scene {seed} {place}"), frames) for place in range(count)]


def track(
    rng: random.Random, motion: str, size: str, frames: int
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Centre (x, y) and radius for each frame, one of many that are called so."""
    radius = rng.uniform(*SIZES[size])
    times = [frame / max(frames - 1, 1) for frame in range(frames)]  # 0..1
    middle = SIZE / 2
    aside, along = rng.uniform(-8, 8), rng.uniform(-3, 3)
    constant = tuple(radius for _ in times)
    if motion in ("left", "right", "up", "down"):
        travel = rng.uniform(0.85, 1.0) * min(36.0, 2 * (middle - 0.85 * radius))
        sign = -1 if motion in ("left", "up") else 1
        moving = tuple(middle + along + sign * travel * (time - 0.5) for time in times)
        resting = tuple(middle + aside for _ in times)
        return (moving, resting, constant) if motion in ("left", "right") else (resting, moving, constant)
    if motion == "circling":
        start, orbit = rng.uniform(-0.6, 0.6) - math.pi / 2, rng.uniform(0.8, 1.0) * min(15.0, middle - 0.95 * radius)
        turns = [start + 2 * math.pi * frame / frames for frame in range(frames)]
        return (
            tuple(middle + along + orbit * math.cos(turn) for turn in turns),
            tuple(middle + along + orbit * math.sin(turn) for turn in turns),
            constant,
        )
    x, y = tuple(middle + aside for _ in times), tuple(middle + rng.uniform(-8, 8) for _ in range(1)) * frames
    if motion == "still":
        return x, y, constant
    small, large = rng.uniform(9.0, 11.0), rng.uniform(20.0, 24.0)
    first, last = (small, large) if motion == "growing" else (large, small)
    near = tuple(middle + (value - middle) / 2 for value in x), tuple(middle + (value - middle) / 2 for value in y)
    return (*near, tuple(first + (last - first) * time for time in times))


def draw(scene: Scene, size: int = SIZE) -> Tensor:
    """The scene's frames: `f 3 h w`, float32, 0..1."""
    scale = size / SIZE
    places = (torch.arange(size, dtype=torch.float32) + 0.5) / scale
    x, y, radius = (torch.tensor(track)[:, None, None] for track in (scene.x, scene.y, scene.radius))
    p = torch.stack(torch.broadcast_tensors((places[None, None, :] - x) / radius, (places[None, :, None] - y) / radius))
    inside = (0.5 - signed_distance(scene.shape, p) * radius * scale).clamp(0, 1)[:, None]  # f 1 h w
    fill, ground = (torch.tensor(colour)[None, :, None, None] for colour in (scene.fill, scene.ground))
    return ground + inside * (fill - ground)


def signed_distance(shape: str, p: Tensor) -> Tensor:
    """Distance to the outline of a shape of radius 1 around the origin, negative inside.

    Args:
        shape: a name in `SHAPES`.
        p: `2 ...`, x to the right and y down.
    """
    length = p.square().sum(0).sqrt()
    if shape == "circle":
        return length - 1.0
    if shape == "ring":
        return (length - 0.72).abs() - 0.28
    return _polygon_distance(_CORNERS[shape], p)


def _jittered(rng: random.Random, colour: Colour) -> Colour:
    red, green, blue = (min(1.0, max(0.0, value + rng.uniform(-_COLOUR_JITTER, _COLOUR_JITTER))) for value in colour)
    return red, green, blue


def _on_circle(count: int, radii: Sequence[float]) -> Tensor:
    """`count` corners around the origin, the first at the top, the radii taken in turn: `count 2`."""
    turns = [2 * math.pi * place / count - math.pi / 2 for place in range(count)]
    corners = [
        (radii[i % len(radii)] * math.cos(turn), radii[i % len(radii)] * math.sin(turn)) for i, turn in enumerate(turns)
    ]
    return torch.tensor(corners)


def _heart(count: int = 28) -> Tensor:
    """Corners on the well-known heart curve (Weisstein, MathWorld "Heart Curve", the sixth), y down."""
    turns = [2 * math.pi * (place + 0.5) / count for place in range(count)]
    return torch.tensor(
        [
            (
                math.sin(t) ** 3 * 1.02,
                -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t) + 2.5) / 15.5,
            )
            for t in turns
        ]
    )


def _polygon_distance(corners: Tensor, p: Tensor) -> Tensor:
    """Signed distance to a polygon: the nearest edge, and the parity of the edges that a ray crosses."""
    before = corners.roll(1, 0)
    nearest = torch.full(p.shape[1:], math.inf)
    inside = torch.zeros(p.shape[1:], dtype=torch.bool)
    for (x0, y0), (x1, y1) in zip(before.tolist(), corners.tolist(), strict=True):
        edge_x, edge_y = x1 - x0, y1 - y0
        from_x, from_y = p[0] - x0, p[1] - y0
        along = ((from_x * edge_x + from_y * edge_y) / (edge_x**2 + edge_y**2)).clamp(0, 1)
        nearest = torch.minimum(nearest, (from_x - along * edge_x) ** 2 + (from_y - along * edge_y) ** 2)
        crosses = (p[1] >= y0) != (p[1] >= y1)
        inside ^= crosses & ((from_x * edge_y - from_y * edge_x) * (1 if edge_y > 0 else -1) < 0)
    return torch.where(inside, -nearest.sqrt(), nearest.sqrt())


_CORNERS: Mapping[str, Tensor] = {
    "square": torch.tensor([(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)]),
    "triangle": _on_circle(3, [1.2]),
    "star": _on_circle(10, [1.28, 0.55]),
    "heart": _heart(),
}
