"""The stages that train the denoiser: pictures first, then clips and pictures together, then v1 on the frozen rest."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from motion_module.core.module.model import MotionModel
from train import captions, diffusion, motion, plans
from train.latents import SIDES, latents_of
from train.text import TextEncoder
from train.words import Reader
from train.world import FRAMES, Scene, random_scene

EMPTY_SHARE = 0.1  # captions that say nothing, for classifier-free guidance


@dataclass(frozen=True)
class Batch:
    """How much one step looks at: single frames, and clips of which so many frames are taken.

    Attributes:
        power: how late the clips' timesteps are, see `diffusion.draw_times`.
    """

    pictures: int
    clips: int
    frames: int
    power: float = 0.7


class Denoiser(nn.Module):
    """UNet, text encoder and motion module as one thing to train, with what helps their losses.

    Attributes:
        unet, reader, motion: what is trained; the reader holds the text encoder.
        listeners: thrown away with the reader's maps when all is learnt.
        balance: of the losses over the timesteps.
    """

    def __init__(self, unet: nn.Module, reader: Reader, model: MotionModel) -> None:
        super().__init__()
        self.unet, self.reader, self.motion = unet, reader, model
        self.listeners = plans.Listeners(model)
        self.balance = nn.ModuleDict({"pictures": diffusion.Balance(), "clips": diffusion.Balance()})

    @property
    def text(self) -> TextEncoder:
        """The text encoder."""
        return self.reader.text

    def pictures_loss(self, count: int, generator: torch.Generator) -> Tensor:
        """Single frames, without motion layers, on Stable Diffusion's own schedule."""
        rng = random.Random(number(generator))
        scenes = [_one_frame(random_scene(rng), rng) for _ in range(count)]
        context = self.text([_caption(scene, rng, motion=rng.random() < 0.6) for scene in scenes])
        clean = torch.cat([latents_of(scene) for scene in scenes]).to(context.device)
        noisy = diffusion.make_noisy(clean, diffusion.draw_times(count, generator), diffusion.PICTURES, generator)
        errors = (self.unet(noisy.x, noisy.t, context=context) - noisy.target).square().mean((1, 2, 3))
        return self.balance["pictures"](errors, noisy.t)

    def clips_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Some frames of each clip, with the motion layers, on AnimateDiff's schedule."""
        rng = random.Random(number(generator))
        places = motion.draw_places(batch.frames, FRAMES, generator)
        scenes = [random_scene(rng) for _ in range(batch.clips)]
        context = self.text([_caption(scene, rng, motion=rng.random() < 0.85) for scene in scenes])
        clean = torch.stack([latents_of(frames_of(scene, places.tolist())) for scene in scenes]).to(context.device)
        return self.clip_errors(clean, context, places, generator, batch.power)

    def clip_errors(
        self, clean: Tensor, context: Tensor, places: Tensor, generator: torch.Generator, power: float
    ) -> Tensor:
        """Balanced loss of clips `clean: b f c h w` with captions' `context: b 77 c`."""
        count, frames = clean.shape[:2]
        times = diffusion.draw_times(count, generator, power)
        noisy = diffusion.make_noisy(clean, times, diffusion.CLIPS, generator)
        with motion.on_clips(self.unet, self.motion, places):
            out = self.unet(
                noisy.x.flatten(0, 1),
                noisy.t.repeat_interleave(frames),
                context=context.repeat_interleave(frames, 0),
            )
        errors = (out.view_as(noisy.target) - noisy.target).square().mean((1, 2, 3, 4))
        return self.balance["clips"](errors, noisy.t)

    def plan_losses(self, count: int, frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """What is foreseen in pure noise, and what the motion layers hear: see `plans`.

        Returns:
            Mean squared error of the clean clips foreseen, and the cross entropy of the listeners.
        """
        rng, places = random.Random(number(generator)), motion.draw_places(frames, FRAMES, generator)
        scenes = [random_scene(rng, frames=1) for _ in range(count)]
        texts = [captions.caption_of(scene, rng) for scene in scenes]
        wanted = [plans.expected(scene, text) for scene, text in zip(scenes, texts, strict=True)]
        context = self.text([*texts, captions.other_words(rng)])
        clean = torch.stack([*wanted, plans.expected_of_anything()])[:, places].to(context.device)
        with self.listeners.listening(self.motion) as heard:
            foreseen = self.foreseen(context, places, generator)
        told = self.listeners([seen[:-frames] for seen in heard], scenes)
        return (foreseen - clean).square().mean(), told

    def foreseen(self, context: Tensor, places: Tensor, generator: torch.Generator) -> Tensor:
        """The clean clips `b f c h w` that are foreseen in pure noise for captions' `context: b 77 c`."""
        count, frames, last = len(context), len(places), diffusion.STEPS - 1
        noise = torch.randn(count * frames, *SIDES, generator=generator).to(context.device)
        alpha = float(diffusion.alphas_cumprod(diffusion.CLIPS, diffusion.STEPS)[last])
        times = torch.full((len(noise),), last, device=noise.device)
        with motion.on_clips(self.unet, self.motion, places):
            named = self.unet(noise * (1 - alpha) ** 0.5, times, context=context.repeat_interleave(frames, 0))
        return ((noise - named) * ((1 - alpha) / alpha) ** 0.5).view(count, frames, *SIDES)

    @torch.no_grad()
    def make(
        self, prompts: Sequence[str], seeds: Sequence[int], frames: int, scale: float = 5.0, steps: int = 16
    ) -> Tensor:
        """Samples latents `b f c h w` of frames spread over a clip; with one frame the motion layers stay out."""
        count, device = len(prompts), next(self.parameters()).device
        noise = torch.stack([_noise(seed, frames) for seed in seeds]).flatten(0, 1).to(device)
        context = torch.cat([self.text(list(prompts)), self.text([""]).expand(count, -1, -1)])
        context = context.repeat_interleave(frames, 0)

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            wanted, free = self.unet(x.repeat(2, 1, 1, 1), t.repeat(2), context=context).chunk(2)
            return free + scale * (wanted - free)

        if frames == 1:
            return diffusion.sample(denoise, noise, diffusion.PICTURES, steps).view(count, 1, *noise.shape[1:])
        places = torch.linspace(0, FRAMES - 1, frames).round().long()
        with motion.on_clips(self.unet, self.motion, places):
            out = diffusion.sample(denoise, noise, diffusion.CLIPS, steps)
        return out.view(count, frames, *out.shape[1:])


def _caption(scene: Scene, rng: random.Random, motion: bool) -> str:
    return captions.other_words(rng) if rng.random() < EMPTY_SHARE else captions.caption_of(scene, rng, motion)


def number(generator: torch.Generator) -> int:
    """A seed for Python's own generator."""
    return int(torch.randint(2**31, (), generator=generator))


def _noise(seed: int, frames: int) -> Tensor:
    """Frame i has the noise of seed + i, as in the WebUI (whose generator is another one)."""
    return torch.stack([torch.randn(SIDES, generator=torch.Generator().manual_seed(seed + i)) for i in range(frames)])


def _one_frame(scene: Scene, rng: random.Random) -> Scene:
    return frames_of(scene, [rng.randrange(len(scene.x))])


def frames_of(scene: Scene, places: Sequence[int]) -> Scene:
    """The scene at some of its frames only."""
    x, y, radius = (tuple(track[i] for i in places) for track in (scene.x, scene.y, scene.radius))
    return replace(scene, x=x, y=y, radius=radius)
