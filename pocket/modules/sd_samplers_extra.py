"""A sampler in k-diffusion's manner that k-diffusion does not have."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import tqdm

from modules import torch_compat  # noqa: F401  (comes before k_diffusion)

import k_diffusion.sampling  # isort: skip

RESTART_AT, RESTART_FROM = 0.1, 2.0  # sigmas between which a run goes back and down again


def _plan(sigmas: torch.Tensor) -> tuple[torch.Tensor, int, int]:
    """Steps of the main way down, of each restart, and how many restarts so many steps allow."""
    steps = len(sigmas) - 1
    if steps < 20:
        return sigmas, 0, 0
    of_restart, times = (steps // 4, 2) if steps >= 36 else (9, 1)
    lowest, highest = sigmas[-2].item(), sigmas[0].item()
    main = k_diffusion.sampling.get_sigmas_karras(steps - of_restart * times, lowest, highest, device=sigmas.device)
    return main, of_restart, times


def _levels(sigmas: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Pairs (from, to) of the whole way, restarts included."""
    main, of_restart, times = _plan(sigmas)
    low = int((main - RESTART_AT).abs().argmin())
    high = int((main - RESTART_FROM).abs().argmin())
    for place in range(len(main) - 1):
        yield main[place], main[place + 1]
        if times and place + 1 == low and high < low:
            again = k_diffusion.sampling.get_sigmas_karras(
                of_restart + 1, main[low].item(), main[high].item(), device=main.device
            )[:-1]
            for _ in range(times):
                yield from itertools.pairwise(again)


@torch.no_grad()
def restart_sampler(
    model: Callable[..., torch.Tensor],
    x: torch.Tensor,
    sigmas: torch.Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
    disable: bool | None = None,
    s_noise: float = 1.0,
) -> torch.Tensor:
    """Restart sampling (Xu et al., 2023): Heun steps; near the end back up to sigma 2 with new noise, then down."""
    extra_args = extra_args or {}
    ones = x.new_ones([x.shape[0]])

    def slope(latents: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        denoised = model(latents, sigma * ones, **extra_args)
        return (latents - denoised) / sigma, denoised

    reached: torch.Tensor | None = None
    for step, (start, end) in enumerate(tqdm.tqdm(list(_levels(sigmas)), disable=disable)):
        if reached is not None and reached < start:
            x = x + k_diffusion.sampling.torch.randn_like(x) * s_noise * (start**2 - reached**2) ** 0.5
        direction, denoised = slope(x, start)
        if callback is not None:
            callback({"x": x, "i": step, "sigma": end, "sigma_hat": start, "denoised": denoised})
        if end != 0:
            direction = (direction + slope(x + direction * (end - start), end)[0]) / 2
        x = x + direction * (end - start)
        reached = end
    return x
