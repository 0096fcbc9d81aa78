"""Looks at what a denoiser makes while it trains, in latents: no decoder is needed for that."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from train import measure
from train.denoiser import Denoiser, frames_of
from train.latents import distances, latents_of, thumbnails
from train.prompts import held_out_prompts
from train.world import FRAMES, Scene, random_scene

_WAYS = ("left", "right", "up", "down")


def report(denoiser: Denoiser, count: int, frames: int, scale: float = 5.0, steps: int = 12) -> str:
    """One line: how many of `count` held-out prompts came out right in each respect."""
    wanted = held_out_prompts(count)
    made = denoiser.make([text for _, text in wanted], [1000 + 100 * i for i in range(count)], frames, scale, steps)
    right: Counter[str] = Counter()
    seen_motions, jerks = [], []
    for (scene, _), clip in zip(wanted, made, strict=True):
        seen = measure.look_at(*_pictures(clip))
        for name in ("colour", "background", "shape", "motion"):
            right[name] += getattr(seen, name) == getattr(scene, name)
        seen_motions.append(f"{scene.motion}:{seen.motion}" if scene.motion != seen.motion else scene.motion)
        jerks.append(seen.jerk)
    shares = "  ".join(f"{name} {right[name]}/{count}" for name in ("colour", "background", "shape", "motion"))
    motions = " ".join(seen_motions) if frames > 1 else ""
    errors = denoiser.balance["clips" if frames > 1 else "pictures"].mean
    return f"{shares}  jerk {np.median(jerks):.2f}  {motions}\n  errors by time {[round(float(e), 4) for e in errors]}"


@torch.no_grad()
def plan(denoiser: Denoiser, each: int = 2, frames: int = 8) -> str:
    """One line: how far the clip that is foreseen in pure noise moves the way its caption asks.

    That is what the first step of a sampler goes by. It is a blurred mean of many clips, which moves less than any of
    them; the mean of clips that were drawn, measured likewise, tells how far it should.
    """
    rng, places = random.Random(3), torch.linspace(0, FRAMES - 1, frames).round().long()
    scenes = {way: _clips_of(way, 24, rng) for way in _WAYS}
    text = [
        f"a {s.colour} {s.shape} moving {way}, {s.background} background" for way in _WAYS for s in scenes[way][:each]
    ]
    foreseen = denoiser.foreseen(denoiser.text(text), places, torch.Generator().manual_seed(4))
    means = foreseen.unflatten(0, (len(_WAYS), each)).mean(1).cpu()
    shown = []
    for way, seen in zip(_WAYS, means, strict=True):
        mean = torch.stack([latents_of(frames_of(scene, places.tolist())) for scene in scenes[way]]).mean(0)
        shown.append(f"{way} {shift(seen, way):.1f} of {shift(mean, way):.1f}")
    return f"planned shift in pixels: {', '.join(shown)}"


def motions(denoiser: Denoiser, count: int, scale: float = 5.0, steps: int = 12) -> str:
    """The motions of clips whose prompts say nothing about motion."""
    prompts = [f"a {scene.colour} {scene.shape}, {scene.background} background" for scene, _ in held_out_prompts(count)]
    made = denoiser.make(prompts, [2000 + 100 * i for i in range(count)], 16, scale, steps)
    return " ".join(measure.look_at(*_pictures(latents)).motion for latents in made)


def _clips_of(way: str, count: int, rng: random.Random) -> list[Scene]:
    found: list[Scene] = []
    while len(found) < count:
        scene = random_scene(rng, held_out=True)
        if scene.motion == way:
            found.append(scene)
    return found


def shift(clip: Tensor, way: str) -> float:
    """How far the middle of what is near the shape moves from first to last frame of `f 4 8 8`, along the way asked."""
    away = distances(clip)
    near = (away.flatten(1).amax(1)[:, None, None] - away).square()
    axis = torch.arange(8) * 8.0
    middle = (near.sum(1 if way in ("left", "right") else 2) * axis).sum(1) / near.sum((1, 2))
    return float(middle[-1] - middle[0]) * (-1 if way in ("left", "up") else 1)


def _pictures(latents: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(pixels `f h w 3`, masks `f h w`) at 64x64, from latents `f 4 8 8`."""
    latents = latents.cpu()
    pixels = functional.interpolate(thumbnails(latents), scale_factor=8, mode="nearest").permute(0, 2, 3, 1)
    # the distances stand at the cells' lower right corners: shift the enlarged map there
    padded = functional.pad(distances(latents)[:, None], (1, 0, 1, 0), mode="replicate")
    places = (torch.arange(64) + 0.5) / 8
    grid = torch.stack(torch.meshgrid(places, places, indexing="ij")[::-1], -1) / 4 - 1
    masks = functional.grid_sample(padded, grid.expand(len(latents), -1, -1, -1), align_corners=True)[:, 0] < 0
    return pixels.cpu().numpy(), masks.cpu().numpy()
