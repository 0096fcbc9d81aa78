"""The sampler of latent consistency models (Luo et al., "Latent Consistency Models", 2023), and LCM LoRA.

They are distilled on 50 of the model's 1000 timesteps: 19, 39, ..., 999. Each step takes the noise out wholly, by the
boundary scalings of consistency models, and adds new noise for the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from modules import sd_samplers_kdiffusion, shared
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.sd_samplers_common import SamplerData

import k_diffusion.external  # isort: skip  (sd_samplers_common has made k_diffusion importable)
import k_diffusion.sampling  # isort: skip
import k_diffusion.utils  # isort: skip

TIMESTEPS, DISTILLED = 1000, 50
STRIDE = TIMESTEPS // DISTILLED
SIGMA_DATA, TIMESTEP_SCALING = 0.5, 10.0  # of the boundary scalings


class LCMDenoiser(k_diffusion.external.DiscreteSchedule):
    """k-diffusion's view of a model that knows 50 timesteps.

    Args:
        model: the host's; its noise schedule as it is at that moment.
    """

    def __init__(self, model: Any) -> None:
        alphas = model.alphas_cumprod[STRIDE - 1 :: STRIDE].float()
        super().__init__(((1 - alphas) / alphas) ** 0.5, quantize=None)
        self.inner_model = model

    def get_sigmas(self, n: int | None = None) -> torch.Tensor:
        """Levels at `n` even timesteps, highest first, and 0; all of them without a number."""
        if n is None:
            return super().get_sigmas()
        timesteps = torch.linspace(TIMESTEPS - 1, STRIDE - 1, n, device=self.sigmas.device)
        return k_diffusion.sampling.append_zero(self.t_to_sigma(timesteps))

    def sigma_to_t(self, sigma: torch.Tensor, quantize: bool | None = None) -> torch.Tensor:
        """The nearest of the 50 timesteps for each level; there is nothing between them."""
        away = (sigma.log() - self.log_sigmas[:, None]).abs()
        return away.argmin(dim=0).view(sigma.shape) * STRIDE + STRIDE - 1

    def t_to_sigma(self, t: torch.Tensor) -> torch.Tensor:
        """The level at a timestep; between two of the 50, between theirs."""
        place = ((t - (STRIDE - 1)) / STRIDE).float().clamp(0, DISTILLED - 1)
        return super().t_to_sigma(place)

    def forward(self, input: torch.Tensor, sigma: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """The denoised latents for latents (images, c, h, w) at levels (images,)."""
        level = k_diffusion.utils.append_dims(sigma, input.ndim)
        timesteps = self.sigma_to_t(sigma)
        noise = self.inner_model.apply_model(input / (level**2 + 1) ** 0.5, timesteps, **kwargs)
        scaled = k_diffusion.utils.append_dims(timesteps, input.ndim) * TIMESTEP_SCALING
        spread = scaled**2 + SIGMA_DATA**2
        return (scaled / spread**0.5) * (input - level * noise) + (SIGMA_DATA**2 / spread) * input


@torch.no_grad()
def sample_lcm(
    model: Callable[..., torch.Tensor],
    x: torch.Tensor,
    sigmas: torch.Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
    disable: bool | None = None,
    noise_sampler: Callable[..., torch.Tensor] | None = None,
) -> torch.Tensor:
    """Walks down `sigmas`; in k-diffusion's manner, whose noise is the job's own."""
    noise_sampler = noise_sampler or k_diffusion.sampling.default_noise_sampler(x)
    ones = x.new_ones([x.shape[0]])
    for step in k_diffusion.sampling.trange(len(sigmas) - 1, disable=disable):
        level, following = sigmas[step], sigmas[step + 1]
        denoised = model(x, level * ones, **(extra_args or {}))
        if callback is not None:
            callback({"x": x, "i": step, "sigma": level, "sigma_hat": level, "denoised": denoised})
        x = denoised
        if following > 0:
            x = x + following * noise_sampler(level, following)
    return x


class CFGDenoiserLCM(CFGDenoiser):
    """Guidance around the view of a model that knows 50 timesteps."""

    @property
    def inner_model(self) -> LCMDenoiser:
        """`inner_model(x, sigma, cond=...)` gives the denoised latents."""
        if self.model_wrap is None:
            self.model_wrap = LCMDenoiser(shared.sd_model)
        return self.model_wrap


class LCMSampler(sd_samplers_kdiffusion.KDiffusionSampler):
    """`sample_lcm` as a sampler of the menus; any schedule of the menus is taken from the 50 levels."""

    def __init__(self, funcname: Callable[..., torch.Tensor], sd_model: Any) -> None:
        super().__init__(funcname, sd_model)
        self.model_wrap_cfg = CFGDenoiserLCM(self)
        self.model_wrap = self.model_wrap_cfg.inner_model


samplers_lcm: list[tuple[str, Callable[..., torch.Tensor], list[str], dict[str, Any]]] = [
    ("LCM", sample_lcm, ["k_lcm"], {})
]
samplers_data_lcm: list[SamplerData] = [
    SamplerData(label, lambda model, function=function: LCMSampler(function, model), aliases, options)
    for label, function, aliases, options in samplers_lcm
]
