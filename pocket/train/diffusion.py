"""Noise: the two schedules, noisy training examples, the loss, and a small sampler for looking at progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from motion_module.core.denoising.schedule import alphas_cumprod

STEPS = 1000
PICTURES, CLIPS = "sqrt-linear", "linear"  # Stable Diffusion's own schedule, and AnimateDiff's
_INTERVALS = 10


@dataclass(frozen=True)
class Noisy:
    """Training examples.

    Attributes:
        x: what the denoiser sees, `b ...`.
        t: its timesteps, `b`.
        target: the noise that it is to name, like `x`.
    """

    x: Tensor
    t: Tensor
    target: Tensor


def draw_times(count: int, generator: torch.Generator, power: float = 0.7) -> Tensor:
    """Timesteps 0..999, the late (noisy) ones more often: there the caption decides what becomes of the noise.

    Args:
        power: 1 draws all alike; the smaller, the later.
    """
    return (torch.rand(count, generator=generator) ** power * STEPS).long().clamp(max=STEPS - 1)


def make_noisy(clean: Tensor, t: Tensor, schedule: str, generator: torch.Generator) -> Noisy:
    """Noise as a sampler meets it.

    A sampler starts from noise alone, although even at t = 999 both schedules leave a trace of the picture. A denoiser
    that is shown this trace learns to read places and motions from it instead of from the caption. So most examples
    lie on the straight way from pure noise at the greatest sigma to the picture, x = clean + sigma * (noise - clean /
    sigma_max); the others lie between that and the usual x = clean + sigma * noise. The target is in all cases the
    noise that leads from this very x to the clean picture.

    Args:
        clean: `b ...`, latents.
        t: `b`, timesteps.
        schedule: `PICTURES` or `CLIPS`.
        generator: on the CPU.
    """
    alphas = alphas_cumprod(schedule, STEPS)
    sigmas = ((1 - alphas) / alphas).sqrt()
    shape = (-1, *[1] * (clean.dim() - 1))
    sigma, alpha = sigmas[t].view(shape), alphas[t].sqrt().view(shape)
    straight = torch.rand(len(t), generator=generator)
    share = torch.where(torch.rand(len(t), generator=generator) < 0.75, torch.ones(len(t)), straight).view(shape)
    noise = torch.randn(clean.shape, generator=generator) - clean.cpu() * share / sigmas[-1]
    return Noisy((alpha * (clean.cpu() + sigma * noise)).to(clean), t.to(clean.device), noise.to(clean))


class Balance(nn.Module):
    """Weights the loss so that each tenth of the timesteps counts alike, by the running mean of its own loss.

    (As the learnt weights of Karras et al., 2312.02696 section 2, without the learning.)
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.ones(_INTERVALS))

    def forward(self, errors: Tensor, t: Tensor) -> Tensor:
        """Mean weighted loss of examples with squared errors `errors: b`."""
        place = t * _INTERVALS // STEPS
        with torch.no_grad():
            for interval in place.unique().tolist():
                self.mean[interval].lerp_(errors[place == interval].mean(), 0.03)
        return (errors / (self.mean[place] + 1e-5)).mean()


def sampling_times(steps: int) -> Tensor:
    """The WebUI's timesteps for k-diffusion samplers, descending, float."""
    return torch.linspace(STEPS - 1, 0, steps)


@torch.no_grad()
def sample(denoise: Callable[[Tensor, Tensor], Tensor], noise: Tensor, schedule: str, steps: int = 16) -> Tensor:
    """Euler's method from `noise: b ...` to clean latents; `denoise(x, t)` gives the noise in x (guidance included)."""
    alphas = alphas_cumprod(schedule, STEPS)
    sigmas = ((1 - alphas) / alphas).sqrt().log()
    times = sampling_times(steps)
    low = times.floor().long()
    part = times - low
    between = sigmas[low] * (1 - part) + sigmas[(low + 1).clamp(max=STEPS - 1)] * part
    levels = [*between.exp().tolist(), 0.0]
    x = noise * levels[0]
    for step, time in enumerate(times.tolist()):
        scaled = x / (levels[step] ** 2 + 1) ** 0.5
        x = x + denoise(scaled, torch.full((len(x),), time, device=x.device)) * (levels[step + 1] - levels[step])
    return x
