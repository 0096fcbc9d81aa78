"""Samplers of k-diffusion: they walk down a schedule of sigmas."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from modules import devices, sd_samplers_common, sd_samplers_extra, sd_schedulers, shared
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.sd_samplers_common import SamplerData

import k_diffusion.external  # isort: skip  (sd_samplers_common has made k_diffusion importable)
import k_diffusion.sampling  # isort: skip

CHURN = ("s_churn", "s_tmin", "s_tmax", "s_noise")
NOISE = ("s_noise",)
OLD_KARRAS_SIGMAS = (0.1, 10.0)

# label: (function, aliases, options, which of CHURN the function is given)
SAMPLERS: dict[str, tuple[str | Callable[..., torch.Tensor], list[str], dict[str, Any], tuple[str, ...]]] = {
    "DPM++ 2M": ("sample_dpmpp_2m", ["k_dpmpp_2m"], {"scheduler": "karras"}, ()),
    "DPM++ SDE": (
        "sample_dpmpp_sde",
        ["k_dpmpp_sde"],
        {"scheduler": "karras", "second_order": True, "brownian_noise": True},
        NOISE,
    ),
    "DPM++ 2M SDE": (
        "sample_dpmpp_2m_sde",
        ["k_dpmpp_2m_sde"],
        {"scheduler": "exponential", "brownian_noise": True},
        NOISE,
    ),
    "DPM++ 2M SDE Heun": (
        "sample_dpmpp_2m_sde",
        ["k_dpmpp_2m_sde_heun"],
        {"scheduler": "exponential", "brownian_noise": True, "solver_type": "heun"},
        NOISE,
    ),
    "DPM++ 2S a": (
        "sample_dpmpp_2s_ancestral",
        ["k_dpmpp_2s_a"],
        {"scheduler": "karras", "uses_ensd": True, "second_order": True},
        NOISE,
    ),
    "DPM++ 3M SDE": (
        "sample_dpmpp_3m_sde",
        ["k_dpmpp_3m_sde"],
        {"scheduler": "exponential", "discard_next_to_last_sigma": True, "brownian_noise": True},
        NOISE,
    ),
    "Euler a": ("sample_euler_ancestral", ["k_euler_a", "k_euler_ancestral"], {"uses_ensd": True}, ()),
    "Euler": ("sample_euler", ["k_euler"], {}, CHURN),
    "LMS": ("sample_lms", ["k_lms"], {}, ()),
    "Heun": ("sample_heun", ["k_heun"], {"second_order": True}, CHURN),
    "DPM2": (
        "sample_dpm_2",
        ["k_dpm_2"],
        {"scheduler": "karras", "discard_next_to_last_sigma": True, "second_order": True},
        CHURN,
    ),
    "DPM2 a": (
        "sample_dpm_2_ancestral",
        ["k_dpm_2_a"],
        {"scheduler": "karras", "discard_next_to_last_sigma": True, "uses_ensd": True, "second_order": True},
        NOISE,
    ),
    "DPM fast": ("sample_dpm_fast", ["k_dpm_fast"], {"uses_ensd": True}, NOISE),
    "DPM adaptive": ("sample_dpm_adaptive", ["k_dpm_ad"], {"uses_ensd": True}, ()),
    "Restart": (sd_samplers_extra.restart_sampler, ["restart"], {"scheduler": "karras", "second_order": True}, ()),
}


class CFGDenoiserKDiffusion(CFGDenoiser):
    """Guidance around k-diffusion's wrapper of the model, made from the schedule the model has at that moment."""

    @property
    def inner_model(self) -> Any:
        """`inner_model(x, sigma, cond=...)` gives the denoised latents."""
        if self.model_wrap is None:
            model = shared.sd_model
            external = k_diffusion.external
            wrapper = external.CompVisVDenoiser if model.parameterization == "v" else external.CompVisDenoiser
            self.model_wrap = wrapper(model, quantize=shared.opts.enable_quantization)
        return self.model_wrap


class KDiffusionSampler(sd_samplers_common.Sampler):
    """A sampling function of k-diffusion (by name) or one with the same arguments."""

    def __init__(
        self,
        funcname: str | Callable[..., torch.Tensor],
        sd_model: Any,
        options: dict[str, Any] | None = None,
        extra_params: tuple[str, ...] = (),
    ) -> None:
        func = getattr(k_diffusion.sampling, funcname) if isinstance(funcname, str) else funcname
        super().__init__(func, extra_params)
        self.options = options or {}
        self.model_wrap_cfg = CFGDenoiserKDiffusion(self)
        self.model_wrap = self.model_wrap_cfg.inner_model

    def get_sigmas(self, p: Any, steps: int) -> torch.Tensor:
        """Sigmas of a run, (steps + 1,), by the job's scheduler; notes it in the infotext."""
        discard = self.option("discard_next_to_last_sigma", False)
        if shared.opts.always_discard_next_to_last_sigma and not discard:
            discard = True
            p.extra_generation_params["Discard penultimate sigma"] = True
        sigmas = self._schedule(p, steps + 1 if discard else steps)
        if discard:
            sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])
        return sigmas.cpu()

    def _schedule(self, p: Any, steps: int) -> torch.Tensor:
        if p.sampler_noise_scheduler_override:
            return p.sampler_noise_scheduler_override(steps)
        name = (p.hr_scheduler if p.is_hr_pass else p.scheduler) or "Automatic"
        if name == "Automatic":
            name = self.option("scheduler")
        scheduler = sd_schedulers.schedulers_map.get(name)
        if scheduler is None or scheduler.function is None:
            return self.model_wrap.get_sigmas(steps)
        notes = p.extra_generation_params
        if not p.is_hr_pass:
            notes["Schedule type"] = scheduler.label
        elif scheduler.label != notes.get("Schedule type"):
            notes["Hires schedule type"] = scheduler.label
        return scheduler.function(n=steps, **self._schedule_arguments(scheduler, notes), device=devices.cpu)

    def _schedule_arguments(self, scheduler: sd_schedulers.Scheduler, notes: dict[str, Any]) -> dict[str, Any]:
        opts = shared.opts
        lowest, highest = self.model_wrap.sigmas[0].item(), self.model_wrap.sigmas[-1].item()
        arguments: dict[str, Any] = {"sigma_min": lowest, "sigma_max": highest}
        if opts.use_old_karras_scheduler_sigmas:
            arguments["sigma_min"], arguments["sigma_max"] = OLD_KARRAS_SIGMAS
        if opts.sigma_min not in (0, lowest):
            arguments["sigma_min"] = notes["Schedule min sigma"] = opts.sigma_min
        if opts.sigma_max not in (0, highest):
            arguments["sigma_max"] = notes["Schedule max sigma"] = opts.sigma_max
        if scheduler.default_rho != -1 and opts.rho not in (0, scheduler.default_rho):
            arguments["rho"] = notes["Schedule rho"] = opts.rho
        if scheduler.need_inner_model:
            arguments["inner_model"] = self.model_wrap
        if scheduler.label == "Beta":
            notes["Beta schedule alpha"] = opts.beta_dist_alpha
            notes["Beta schedule beta"] = opts.beta_dist_beta
        return arguments

    def _arguments(
        self, p: Any, x: torch.Tensor, sigmas: torch.Tensor, used: torch.Tensor, limits: tuple[Any, Any]
    ) -> dict[str, Any]:
        """What the sampling function has parameters for: the sigmas in one of k-diffusion's ways, and the noise."""
        arguments = self.initialize(p)
        possible = {"sigma_min": limits[0], "sigma_max": limits[1], "n": len(used) - 1, "sigmas": used}
        parameters = inspect.signature(self.func).parameters
        arguments.update({name: value for name, value in possible.items() if name in parameters})
        if self.option("brownian_noise", False):
            arguments["noise_sampler"] = self.create_noise_sampler(x, sigmas, p)
        if self.option("solver_type") == "heun":
            arguments["solver_type"] = "heun"
        return arguments

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
        sigmas = self.get_sigmas(p, steps)
        if shared.opts.sgm_noise_multiplier:
            p.extra_generation_params["SGM noise multiplier"] = True
            x = x * torch.sqrt(1.0 + sigmas[0] ** 2.0)
        else:
            x = x * sigmas[0]
        levels = self.model_wrap.sigmas
        arguments = self._arguments(p, x, sigmas, sigmas, (levels[0].item(), levels[-1].item()))
        if "n" in arguments:
            arguments["n"] = steps
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
        sigmas = self.get_sigmas(p, whole)
        used = sigmas[whole - last - 1 :]
        xi = self.with_extra_noise(p, x, noise, x + noise * used[0], 1.0)
        # the last sigma is 0, which DPM fast and DPM adaptive do not allow
        arguments = self._arguments(p, x, sigmas, used, (used[-2], used[0]))
        self.model_wrap_cfg.init_latent = x
        self.last_latent = x
        conds = (conditioning, unconditional_conditioning, image_conditioning)
        return self.run(p, xi, last + 1, conds, arguments)


def _constructor(
    function: str | Callable[..., torch.Tensor], extra_params: tuple[str, ...]
) -> Callable[[Any], KDiffusionSampler]:
    return lambda model: KDiffusionSampler(function, model, extra_params=extra_params)


samplers_data_k_diffusion: list[SamplerData] = [
    SamplerData(label, _constructor(function, extra_params), aliases, options)
    for label, (function, aliases, options, extra_params) in SAMPLERS.items()
]
samplers_k_diffusion = [
    (label, function, aliases, options) for label, (function, aliases, options, _) in SAMPLERS.items()
]
k_diffusion_samplers_map: dict[str, SamplerData] = {each.name: each for each in samplers_data_k_diffusion}
k_diffusion_scheduler = {each.name: each.function for each in sd_schedulers.schedulers}
