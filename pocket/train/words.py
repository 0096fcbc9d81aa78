"""First lessons for the text encoder: to tell from a caption what the scene is.

Attention to words that all look alike has no gradient worth speaking of, so a denoiser learns late which word is which.
Here the encoder learns it alone, which costs seconds: what the padding behind the caption holds must tell every
property of the scene by a linear map. The denoiser then finds all of it wherever it looks.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from train import captions
from train.text import WIDTH, TextEncoder
from train.world import COLOURS, MOTIONS, SHAPES, SIZES, Scene, random_scene

_NAMES: Mapping[str, Sequence[str]] = {
    "shape": SHAPES,
    "colour": list(COLOURS),
    "background": list(COLOURS),
    "motion": MOTIONS,
    "size": list(SIZES),
}
_TAIL = 45  # so many last places are padding behind any caption made here


class Reader(nn.Module):
    """The encoder with one linear map for each property; the maps are thrown away afterwards."""

    def __init__(self, text: TextEncoder) -> None:
        super().__init__()
        self.text = text
        self.heads = nn.ModuleDict({name: nn.Linear(WIDTH, len(values)) for name, values in _NAMES.items()})

    def forward(self, count: int, generator: torch.Generator) -> Tensor:
        """Mean cross entropy over the properties, of `count` new captions."""
        rng = random.Random(int(torch.randint(2**31, (), generator=generator)))
        scenes = [random_scene(rng, frames=1) for _ in range(count)]
        tail = self.text([captions.caption_of(scene, rng) for scene in scenes])[:, -_TAIL:]
        losses = [self._loss(name, tail, scenes) for name in _NAMES if name != "size"]
        return torch.stack([*losses, 0.1 * self._loss("size", tail, scenes)]).mean()  # many captions hide the size

    def right(self, count: int = 128, seed: int = 77) -> str:
        """One line: the share of new captions from which each property is told rightly."""
        rng = random.Random(seed)
        scenes = [random_scene(rng, frames=1, held_out=True) for _ in range(count)]
        with torch.no_grad():
            tail = self.text([captions.caption_of(scene, rng) for scene in scenes])[:, -_TAIL:].mean(1)
        shares = []
        for name, head in self.heads.items():
            found = head(tail).argmax(-1).cpu()
            shares.append(f"{name} {(found == _places(name, scenes)).float().mean():.0%}")
        return "  ".join(shares)

    def _loss(self, name: str, tail: Tensor, scenes: Sequence[Scene]) -> Tensor:
        logits = self.heads[name](tail)  # b tail classes
        wanted = _places(name, scenes).to(logits.device)[:, None].expand(-1, tail.shape[1])
        return functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())


def _places(name: str, scenes: Sequence[Scene]) -> Tensor:
    values = list(_NAMES[name])
    return torch.tensor([values.index(getattr(scene, name)) for scene in scenes])
