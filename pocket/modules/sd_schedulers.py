"""Noise schedules: which noise levels (sigmas) a k-diffusion sampler goes through, high to low, with 0 at the end.

Every function takes the number of steps `n`, `sigma_min`, `sigma_max` and `device`, and those that need the model's own
levels take `inner_model` too: a k_diffusion `DiscreteSchedule`. They give `n + 1` sigmas where they say nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats

from modules import shared, torch_compat  # noqa: F401  (torch_compat comes before k_diffusion)

from k_diffusion import sampling  # isort: skip

Device = torch.device | str

# sigmas of ten steps, from NVIDIA's "Align Your Steps" page (research.nvidia.com/labs/toronto-ai/AlignYourSteps)
ALIGNED_SD1 = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)
ALIGNED_SDXL = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029)


@dataclass
class Scheduler:
    """A schedule as the menus and the API know it.

    Attributes:
        name, label, aliases: what it may be called.
        function: makes the sigmas; None: the sampler's own choice.
        default_rho: its rho if it has one, else -1.
        need_inner_model: whether it takes `inner_model`.
    """

    name: str
    label: str
    function: Callable[..., torch.Tensor] | None
    default_rho: float = -1
    need_inner_model: bool = False
    aliases: list[str] | None = None


def _with_zero(sigmas: Iterable[Any], device: Device) -> torch.Tensor:
    return torch.tensor([*(float(sigma) for sigma in sigmas), 0.0], dtype=torch.float32, device=device)


def _time_range(inner_model: Any, sigma_min: float, sigma_max: float) -> tuple[float, float]:
    """Timesteps (fractional) of the highest and the lowest sigma."""
    start, end = (inner_model.sigma_to_t(torch.tensor(sigma)) for sigma in (sigma_max, sigma_min))
    return float(start), float(end)


def uniform(n: int, sigma_min: float, sigma_max: float, inner_model: Any, device: Device) -> torch.Tensor:
    """The model's own levels at even timesteps."""
    return inner_model.get_sigmas(n).to(device)


def sgm_uniform(n: int, sigma_min: float, sigma_max: float, inner_model: Any, device: Device) -> torch.Tensor:
    """Even timesteps, the last one left out (as in Stability's sgm)."""
    start, end = _time_range(inner_model, sigma_min, sigma_max)
    return _with_zero((inner_model.t_to_sigma(t) for t in torch.linspace(start, end, n + 1)[:-1]), device)


def normal_scheduler(n: int, sigma_min: float, sigma_max: float, inner_model: Any, device: Device) -> torch.Tensor:
    """Even timesteps from the highest level to the lowest."""
    start, end = _time_range(inner_model, sigma_min, sigma_max)
    return _with_zero((inner_model.t_to_sigma(t) for t in torch.linspace(start, end, n)), device)


def simple_scheduler(n: int, sigma_min: float, sigma_max: float, inner_model: Any, device: Device) -> torch.Tensor:
    """Every (T/n)-th of the model's levels, from the highest on."""
    stride = len(inner_model.sigmas) / n
    return _with_zero((inner_model.sigmas[-(1 + int(step * stride))] for step in range(n)), device)


def ddim_scheduler(n: int, sigma_min: float, sigma_max: float, inner_model: Any, device: Device) -> torch.Tensor:
    """Every (T//n)-th of the model's levels from the second lowest up; may have more than n steps."""
    stride = max(len(inner_model.sigmas) // n, 1)
    return _with_zero(inner_model.sigmas[1::stride].flip(0), device)


def beta_scheduler(n: int, sigma_min: float, sigma_max: float, inner_model: Any, device: Device) -> torch.Tensor:
    """Sigmas at quantiles of a beta distribution (Lee et al., "Beta Sampling is All You Need", 2024)."""
    places = stats.beta.ppf(1 - np.linspace(0, 1, n), shared.opts.beta_dist_alpha, shared.opts.beta_dist_beta)
    return _with_zero(sigma_min + places * (sigma_max - sigma_min), device)


def kl_optimal(n: int, sigma_min: float, sigma_max: float, device: Device) -> torch.Tensor:
    """Even steps of arctan(sigma) (Sabour et al., "Align Your Steps", 2024); ends at sigma_min, not at 0."""
    share = torch.arange(n + 1, device=device) / n
    return torch.tan(share * math.atan(sigma_min) + (1 - share) * math.atan(sigma_max))


def get_align_your_steps_sigmas(n: int, sigma_min: float, sigma_max: float, device: Device) -> torch.Tensor:
    """Levels found by optimisation for ten steps; other numbers of steps interpolate their logarithms."""
    sigmas: Any = ALIGNED_SDXL if shared.sd_model.is_sdxl else ALIGNED_SD1
    if n != len(sigmas):
        places = 1 - np.linspace(0, 1, n)[::-1]  # counted from the lowest, which is all that one step has
        sigmas = np.exp(np.interp(places, np.linspace(0, 1, len(sigmas)), np.log(sigmas)))
    return _with_zero(sigmas, device)


schedulers: list[Scheduler] = [
    Scheduler("automatic", "Automatic", None),
    Scheduler("uniform", "Uniform", uniform, need_inner_model=True),
    Scheduler("karras", "Karras", sampling.get_sigmas_karras, default_rho=7.0),
    Scheduler("exponential", "Exponential", sampling.get_sigmas_exponential),
    Scheduler("polyexponential", "Polyexponential", sampling.get_sigmas_polyexponential, default_rho=1.0),
    Scheduler("sgm_uniform", "SGM Uniform", sgm_uniform, need_inner_model=True, aliases=["SGMUniform"]),
    Scheduler("kl_optimal", "KL Optimal", kl_optimal),
    Scheduler("align_your_steps", "Align Your Steps", get_align_your_steps_sigmas),
    Scheduler("simple", "Simple", simple_scheduler, need_inner_model=True),
    Scheduler("normal", "Normal", normal_scheduler, need_inner_model=True),
    Scheduler("ddim", "DDIM", ddim_scheduler, need_inner_model=True),
    Scheduler("beta", "Beta", beta_scheduler, need_inner_model=True),
]

schedulers_map: dict[str, Scheduler] = {key: each for each in schedulers for key in (each.name, each.label)}
