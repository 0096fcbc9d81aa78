"""Motion LoRA: low-rank changes to the temporal attentions, trained so that everything moves one way."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from motion_module.core.module.attention import TemporalAttention
from motion_module.core.module.model import MotionModel
from train import captions, motion
from train.denoiser import Batch, Denoiser, frames_of, number
from train.latents import latents_of
from train.world import FRAMES, Scene, random_scene

RANK, KEPT = 8, 4  # in training, and in the file: the larger half holds 98 % of what is changed
TARGETS = {"pan_left": "right", "zoom_in": "growing"}
"""LoRA -> the motion of the world that it brings: where the camera pans left, what it sees moves right."""


class MotionLora(nn.Module):
    """Pairs of matrices for every projection of every temporal attention; adds nothing at first."""

    def __init__(self, model: MotionModel, rank: int = RANK) -> None:
        super().__init__()
        self.names: list[str] = []
        self.down, self.up = nn.ParameterList(), nn.ParameterList()
        for name, linear in projections(model):
            self.names.append(name)
            self.down.append(nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5))
            self.up.append(nn.Parameter(torch.zeros(linear.out_features, rank)))

    @contextmanager
    def applied(self, model: MotionModel) -> Iterator[None]:
        """The module with the LoRA at weight 1."""
        layers = dict(projections(model))
        with ExitStack() as stack:
            for name, down, up in zip(self.names, self.down, self.up, strict=True):
                handle = layers[name].register_forward_hook(_adding(down, up))
                stack.callback(handle.remove)
            yield

    def published(self) -> dict[str, Tensor]:
        """The weights under the names of the published motion LoRA (guoyww), `KEPT` singular directions of each."""
        state = {}
        for name, down, up in zip(self.names, self.down, self.up, strict=True):
            block, _, part = name.rpartition(".attention_blocks.")
            index, _, projection = part.partition(".")
            stem = f"{block}.attention_blocks.{index}.processor.{projection.removesuffix('.0')}_lora"
            state[f"{stem}.down.weight"], state[f"{stem}.up.weight"] = largest(down, up, KEPT)
        return state


@torch.no_grad()
def largest(down: Tensor, up: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best pair of a smaller rank: `down: r i`, `up: o r` -> `rank i`, `o rank`."""
    left, sizes, right = torch.linalg.svd(up @ down, full_matrices=False)
    roots = sizes[:rank].sqrt()
    return roots[:, None] * right[:rank], left[:, :rank] * roots


def projections(model: MotionModel) -> Iterator[tuple[str, nn.Linear]]:
    """(name, layer) of to_q, to_k, to_v and to_out.0 of each temporal attention."""
    for name, module in model.named_modules():
        if isinstance(module, TemporalAttention):
            for part in ("to_q", "to_k", "to_v", "to_out.0"):
                yield f"{name}.{part}", module.get_submodule(part)


def loss_of(lora: MotionLora, denoiser: Denoiser, target: str, batch: Batch, generator: torch.Generator) -> Tensor:
    """Clips that move one way, under captions that do not say so."""
    rng = random.Random(number(generator))
    places = motion.draw_places(batch.frames, FRAMES, generator)
    scenes = [_moving(rng, target) for _ in range(batch.clips)]
    with torch.no_grad():
        context = denoiser.text([_silent(scene, rng) for scene in scenes])
    clean = torch.stack([latents_of(frames_of(scene, places.tolist())) for scene in scenes]).to(context.device)
    with lora.applied(denoiser.motion):
        return denoiser.clip_errors(clean, context, places, generator, batch.power)


def _moving(rng: random.Random, target: str) -> Scene:
    while True:
        scene = random_scene(rng)
        if scene.motion == target:
            return scene


def _silent(scene: Scene, rng: random.Random) -> str:
    """A caption without the motion, or one that says that nothing moves."""
    text = captions.caption_of(scene, rng, motion=False)
    return f"{text}, {rng.choice(captions.MOTION_WORDS['still'])}" if rng.random() < 0.4 else text


def _adding(down: Tensor, up: Tensor) -> object:
    return lambda layer, inputs, output: output + inputs[0] @ down.T @ up.T
