"""DDIM, DDIM CFG++ and PLMS, written for timesteps and the model's `alphas_cumprod`.

All take `model(x, t, **extra_args)`, which gives the noise in `x`, and `timesteps` in rising order, and walk them down.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import tqdm

from modules import torch_compat  # noqa: F401  (comes before k_diffusion)
from modules.sd_samplers_unipc import unipc  # noqa: F401  (part of this module's interface)

import k_diffusion.sampling  # isort: skip

Callback = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class _Step:
    """One step down: from a timestep with `alpha` to one with `alpha_prev` (both alphas_cumprod)."""

    number: int
    timestep: int
    next_timestep: int
    alpha: float
    alpha_prev: float

    def x0(self, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """The picture that `x` is if `noise` is in it."""
        return (x - math.sqrt(1 - self.alpha) * noise) / math.sqrt(self.alpha)

    def sigma(self, eta: float) -> float:
        """Standard deviation of the new noise (DDIM, equation 16)."""
        return eta * math.sqrt((1 - self.alpha_prev) / (1 - self.alpha) * (1 - self.alpha / self.alpha_prev))


def _steps(model: Any, timesteps: torch.Tensor, disable: bool | None) -> Iterator[_Step]:
    """One step between each two timesteps, from the highest down; the picture is read off at the lowest."""
    alphas = model.inner_model.inner_model.alphas_cumprod[timesteps].tolist()
    times = timesteps.tolist()
    for number in tqdm.trange(len(times) - 1, disable=disable):
        place = len(times) - 1 - number
        yield _Step(number, times[place], times[place - 1], alphas[place], alphas[place - 1])


def _report(callback: Callback | None, step: _Step, x: torch.Tensor, denoised: torch.Tensor) -> None:
    if callback is not None:
        callback({"x": x, "i": step.number, "sigma": 0, "sigma_hat": 0, "denoised": denoised})


def _walk(
    model: Any,
    x: torch.Tensor,
    timesteps: torch.Tensor,
    extra_args: dict[str, Any] | None,
    callback: Callback | None,
    disable: bool | None,
    eta: float,
    towards: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """DDIM's walk; `towards(noise)` is the noise that is put back into the picture at each step."""
    ones = x.new_ones([x.shape[0]])
    for step in _steps(model, timesteps, disable):
        noise = model(x, step.timestep * ones, **(extra_args or {}))
        picture, sigma = step.x0(x, noise), step.sigma(eta)
        # drawn even where its share is 0, so that the job's later draws are the same for every eta
        fresh = k_diffusion.sampling.torch.randn_like(x)
        back = math.sqrt(1 - step.alpha_prev - sigma**2) * towards(noise)
        x = math.sqrt(step.alpha_prev) * picture + back + sigma * fresh
        _report(callback, step, x, picture)
    return x


@torch.no_grad()
def ddim(
    model: Any,
    x: torch.Tensor,
    timesteps: torch.Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callback | None = None,
    disable: bool | None = None,
    eta: float = 0.0,
) -> torch.Tensor:
    """Denoising diffusion implicit models (Song et al., 2020), equation 12; eta 0 is deterministic, 1 is DDPM."""
    return _walk(model, x, timesteps, extra_args, callback, disable, eta, lambda noise: noise)


@torch.no_grad()
def ddim_cfgpp(
    model: Any,
    x: torch.Tensor,
    timesteps: torch.Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callback | None = None,
    disable: bool | None = None,
    eta: float = 0.0,
) -> torch.Tensor:
    """CFG++ (Chung et al., 2024): DDIM whose steps go along uncond's noise; CFG scales 0..12.5 stand for 0..1."""
    model.cond_scale_miltiplier = 1 / 12.5
    model.need_last_noise_uncond = True
    return _walk(model, x, timesteps, extra_args, callback, disable, eta, lambda _: model.last_noise_uncond)


def _adams_bashforth(noise: torch.Tensor, past: list[torch.Tensor]) -> torch.Tensor:
    """Noise to step along, from this one and up to three past ones, newest last (PNDM, Liu et al., 2022)."""
    weights = {1: (3, -1), 2: (23, -16, 5), 3: (55, -59, 37, -9)}[len(past)]
    mixed = sum(weight * each for weight, each in zip(weights, [noise, *reversed(past)], strict=True))
    return mixed / sum(weights)


@torch.no_grad()
def plms(
    model: Any,
    x: torch.Tensor,
    timesteps: torch.Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callback | None = None,
    disable: bool | None = None,
) -> torch.Tensor:
    """Pseudo linear multistep (PNDM, Liu et al., 2022); the first step takes two calls of the model."""
    ones = x.new_ones([x.shape[0]])
    past: list[torch.Tensor] = []

    def moved(step: _Step, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        picture = step.x0(x, noise)
        return math.sqrt(step.alpha_prev) * picture + math.sqrt(1 - step.alpha_prev) * noise, picture

    for step in _steps(model, timesteps, disable):
        noise = model(x, step.timestep * ones, **(extra_args or {}))
        if past:
            along = _adams_bashforth(noise, past)
        else:
            ahead = model(moved(step, noise)[0], step.next_timestep * ones, **(extra_args or {}))
            along = (noise + ahead) / 2
        past = [*past, noise][-3:]
        x, picture = moved(step, along)
        _report(callback, step, x, picture)
    return x
