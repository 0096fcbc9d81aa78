"""The plan of a clip: what its caption alone foretells, frame by frame, and how the denoiser is taught it.

A sampler starts from pure noise, where all that a denoiser can know is the caption. Its best answer there is the mean
of all clips that the caption fits, and in that mean lies the motion: which way the blurred shape goes. Learnt from
single clips it drowns, because each of them is far from the mean, and a step sees only a few. But this world is ours,
so the mean can be drawn. (Without it, no run of the sizes that were tried learnt the words of motion: see the model's
card.)

What says "left" and what knows a frame's place meet in the motion layers only, so the features that these see must
hold the words. Nothing but the plan asks for that, and the plan cannot ask before it is so. Linear maps behind the
first norm of each motion layer, the `Listeners`, break the circle: they must tell the motion from what they see.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from motion_module.core.module.model import MotionModel
from train import captions, latents, world
from train.world import COLOURS, FRAMES, MOTIONS, SHAPES, SIZES, Colour, Scene

_CLIPS_OF_A_MEAN = 24
_WHITE, _BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


class Listeners(nn.Module):
    """A linear map for each motion layer that tells the motion from the mean of what the layer sees."""

    def __init__(self, model: MotionModel) -> None:
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(layer.width, len(MOTIONS)) for layer in model.layers()])

    @contextmanager
    def listening(self, model: MotionModel) -> Iterator[list[Tensor]]:
        """The list that gets what each layer sees, `(b f) c`, in the order of their calls while this lasts."""
        heard: list[Tensor] = []
        with ExitStack() as stack:
            for layer in model.layers():
                norm = layer.temporal_transformer.norm
                handle = norm.register_forward_hook(lambda layer, inputs, seen: heard.append(seen.mean((2, 3))))
                stack.callback(handle.remove)
            yield heard

    def forward(self, heard: Sequence[Tensor], scenes: Sequence[Scene]) -> Tensor:
        """Mean cross entropy over the layers; `heard` is of one call with `scenes` as its rows' clips."""
        wanted = torch.tensor([MOTIONS.index(scene.motion) for scene in scenes], device=heard[0].device)
        losses = [
            functional.cross_entropy(head(seen.unflatten(0, (len(scenes), -1)).mean(1)), wanted)
            for head, seen in zip(self.heads, heard, strict=True)
        ]
        return torch.stack(losses).mean()


def expected(scene: Scene, caption: str) -> Tensor:
    """The mean of all clips that a caption of this scene fits, as latents `16 4 8 8`."""
    often = {size: 1 - captions.TOLD if size in captions.SIZE_WORDS else 1.0 for size in SIZES}  # untold, that is
    sizes = {scene.size: 1.0} if captions.tells_size(caption) else often
    weighed = [_mean(scene.shape, scene.motion, size) * share for size, share in sizes.items()]
    cover, away = torch.stack(weighed).sum(0) / sum(sizes.values())
    return _coloured(cover, away, COLOURS[scene.colour], COLOURS[scene.background])


@functools.cache
def expected_of_anything() -> Tensor:
    """The mean of all clips, as latents `16 4 8 8`."""
    everything = itertools.product(SHAPES, MOTIONS, SIZES)
    cover, away = torch.stack([_mean(*names) for names in everything]).mean(0)
    middle = torch.tensor(list(COLOURS.values())).mean(0).tolist()
    return _coloured(cover, away, middle, middle)


def _coloured(cover: Tensor, away: Tensor, fill: Colour, ground: Colour) -> Tensor:
    """Latents from the share of each cell that the shape covers and from its distance channel, `16 8 8` each."""
    inside, outside = (torch.tensor(colour)[None, :, None, None] for colour in (fill, ground))
    colours = outside + cover[:, None] * (inside - outside)
    return torch.cat([(colours - latents.COLOUR_MEAN) / latents.COLOUR_STD, away[:, None]], 1)


@functools.cache
def _mean(shape: str, motion: str, size: str) -> Tensor:
    """The share of each cell that is covered, and the distance channel, as means of many clips: `2 16 8 8`."""
    rng = random.Random(f"mean {shape} {motion} {size}")
    tracks = zip(*(world.track(rng, motion, size, FRAMES) for _ in range(_CLIPS_OF_A_MEAN)), strict=True)
    x, y, radius = (tuple(itertools.chain.from_iterable(parts)) for parts in tracks)  # as one long clip
    scene = Scene(shape, "white", "black", motion, size, _WHITE, _BLACK, x, y, radius)
    cover = functional.avg_pool2d(world.draw(scene, world.SIZE // 2)[:, 0], latents.CELL // 2)
    return torch.stack([cover, latents.distance_channel(scene)[:, 0]]).unflatten(1, (-1, FRAMES)).mean(1)
