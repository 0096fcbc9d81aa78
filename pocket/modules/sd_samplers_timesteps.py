"""Samplers that walk down timesteps: DDIM, PLMS, UniPC."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import torch

from modules import devices, sd_samplers_common, sd_samplers_timesteps_impl, shared
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.sd_samplers_common import SamplerData

TIMESTEPS = 1000


class CompVisTimestepsDenoiser(torch.nn.Module):
    """Gives the noise that a model predicts."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner_model = model

    def forward(self, input: torch.Tensor, timesteps: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """Noise in latents (images, c, h, w) at timesteps (images,)."""
        return self.inner_model.apply_model(input, timesteps, **kwargs)


class CompVisTimestepsVDenoiser(CompVisTimestepsDenoiser):
    """Gives the noise, for a model that predicts v (Salimans & Ho, 2022)."""

    def forward(self, input: torch.Tensor, timesteps: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """Noise in latents (images, c, h, w) at timesteps (images,)."""
        v = super().forward(input, timesteps, **kwargs)
        alphas = self.inner_model.alphas_cumprod[timesteps.to(torch.int)][:, None, None, None]
        return alphas.sqrt() * v + (1 - alphas).sqrt() * input


class CFGDenoiserTimesteps(CFGDenoiser):
    """Guidance of the predicted noise; takes timesteps where k-diffusion's takes sigmas."""

    def __init__(self, sampler: Any) -> None:
        super().__init__(sampler)
        self.alphas = shared.sd_model.alphas_cumprod
        self.mask_before_denoising = True

    def get_pred_x0(self, x_in: torch.Tensor, x_out: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """The picture (as latents) that is left when the predicted noise is taken out."""
        alphas = self.alphas[sigma.to(dtype=torch.int)][:, None, None, None]
        return (x_in - (1 - alphas).sqrt() * x_out) / alphas.sqrt()

    @property
    def inner_model(self) -> Any:
        """`inner_model(x, timesteps, cond=...)` gives the noise."""
        if self.model_wrap is None:
            predicts_v = shared.sd_model.parameterization == "v"
            wrapper = CompVisTimestepsVDenoiser if predicts_v else CompVisTimestepsDenoiser
            self.model_wrap = wrapper(shared.sd_model)
        return self.model_wrap


class CompVisSampler(sd_samplers_common.Sampler):
    """A sampling function of `sd_samplers_timesteps_impl`."""

    eta_option_field = "eta_ddim"
    eta_infotext_field = "Eta DDIM"
    eta_default = 0.0

    def __init__(self, funcname: Callable[..., torch.Tensor], sd_model: Any) -> None:
        super().__init__(funcname)
        self.model_wrap_cfg = CFGDenoiserTimesteps(self)
        self.model_wrap = self.model_wrap_cfg.inner_model

    def get_timesteps(self, p: Any, steps: int) -> torch.Tensor:
        """Even timesteps in rising order; more than `steps` where that does not divide 1000."""
        discard = self.option("discard_next_to_last_sigma", False)
        if shared.opts.always_discard_next_to_last_sigma and not discard:
            discard = True
            p.extra_generation_params["Discard penultimate sigma"] = True
        stride = TIMESTEPS // (steps + 1 if discard else steps)
        return torch.arange(1, TIMESTEPS + 1, stride, device=devices.device).clip(0, TIMESTEPS - 1)

    def _arguments(self, p: Any, timesteps: torch.Tensor, is_img2img: bool) -> dict[str, Any]:
        arguments = self.initialize(p)
        parameters = inspect.signature(self.func).parameters
        possible = {"timesteps": timesteps, "is_img2img": is_img2img}
        return arguments | {name: value for name, value in possible.items() if name in parameters}

    def sample(
        self,
        p: Any,
        x: torch.Tensor,
        conditioning: Any,
        unconditional_conditioning: Any,
        steps: int | None = None,
        image_conditioning: torch.Tensor | None = None,
    ) -> torch.Tensor | None:
        """Makes latents from noise `x` (images, c, h, w)."""
        steps = steps or p.steps
        arguments = self._arguments(p, self.get_timesteps(p, steps), False)
        self.last_latent = x
        conds = (conditioning, unconditional_conditioning, image_conditioning)
        return self.run(p, x, steps, conds, arguments)

    def sample_img2img(
        self,
        p: Any,
        x: torch.Tensor,
        noise: torch.Tensor,
        conditioning: Any,
        unconditional_conditioning: Any,
        steps: int | None = None,
        image_conditioning: torch.Tensor | None = None,
    ) -> torch.Tensor | None:
        """Makes latents from latents `x` (images, c, h, w) and `noise`, from as far down as the job's strength says."""
        whole, last = sd_samplers_common.setup_img2img_steps(p, steps)
        timesteps = self.get_timesteps(p, whole)
        alpha = shared.sd_model.alphas_cumprod[timesteps[last]]
        xi = x * alpha.sqrt() + noise * (1 - alpha).sqrt()
        xi = self.with_extra_noise(p, x, noise, xi, alpha.sqrt())
        arguments = self._arguments(p, timesteps[:last], True)
        self.model_wrap_cfg.init_latent = x
        self.last_latent = x
        conds = (conditioning, unconditional_conditioning, image_conditioning)
        return self.run(p, xi, last + 1, conds, arguments)


def _constructor(function: Callable[..., torch.Tensor]) -> Callable[[Any], CompVisSampler]:
    return lambda model: CompVisSampler(function, model)


samplers_timesteps: list[tuple[str, Callable[..., torch.Tensor], list[str], dict[str, Any]]] = [
    ("DDIM", sd_samplers_timesteps_impl.ddim, ["ddim"], {}),
    ("DDIM CFG++", sd_samplers_timesteps_impl.ddim_cfgpp, ["ddim_cfgpp"], {}),
    ("PLMS", sd_samplers_timesteps_impl.plms, ["plms"], {}),
    ("UniPC", sd_samplers_timesteps_impl.unipc, ["unipc"], {}),
]
samplers_data_timesteps: list[SamplerData] = [
    SamplerData(label, _constructor(function), aliases, options)
    for label, function, aliases, options in samplers_timesteps
]

VanillaStableDiffusionSampler = CompVisSampler
sys.modules["modules.sd_samplers_compvis"] = sys.modules[__name__]  # its name in older extensions
