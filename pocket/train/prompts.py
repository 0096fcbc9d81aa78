"""Prompts to measure with: combinations that training never shows."""

from __future__ import annotations

import random

from train import captions
from train.world import MOTIONS, Scene, random_scene


def held_out_prompts(count: int, seed: int = 5) -> list[tuple[Scene, str]]:
    """Combinations that training never shows, the motions in turn, with one caption each."""
    rng = random.Random(f"held out {seed}")
    found: list[tuple[Scene, str]] = []
    while len(found) < count:
        scene = random_scene(rng, held_out=True)
        if scene.motion == MOTIONS[len(found) % len(MOTIONS)]:
            found.append((scene, captions.caption_of(scene, rng)))
    return found
