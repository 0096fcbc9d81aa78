"""What all samplers share: the table they stand in, their noise, their settings, and how they stop."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from modules import devices, shared, torch_compat  # noqa: F401  (torch_compat comes before k_diffusion and torchsde)
from modules.sd_samplers_latents import (  # noqa: F401  (part of this module's interface)
    approximation_indexes,
    decode_first_stage,
    images_tensor_to_samples,
    sample_to_image,
    samples_to_image_grid,
    samples_to_images_tensor,
    single_sample_to_image,
    store_latent,
)
from modules.sd_samplers_refiner import apply_refiner  # noqa: F401  (part of this module's interface)

import k_diffusion.sampling  # isort: skip
import torchsde._brownian.brownian_interval as brownian_interval  # isort: skip


class InterruptedException(BaseException):
    """Sampling was interrupted or skipped. Not an Exception, so that no handler of a script catches it."""


class _SamplerFields(NamedTuple):
    name: str
    constructor: Callable[[Any], Any]
    aliases: list[str]
    options: dict[str, Any]


class SamplerData(_SamplerFields):
    """A sampler as the menus and the API know it; `constructor(model)` makes one."""

    def total_steps(self, steps: int) -> int:
        """Calls of the denoiser that so many steps take."""
        return steps * 2 if self.options.get("second_order", False) else steps


def setup_img2img_steps(p: Any, steps: int | None = None) -> tuple[int, int]:
    """Steps of the whole schedule, and how many of them (less one) img2img goes through at its end."""
    if not shared.opts.img2img_fix_steps and steps is None:
        return p.steps, int(min(p.denoising_strength, 0.999) * p.steps)
    wanted = steps or p.steps
    whole = int(wanted / min(p.denoising_strength, 0.999)) if p.denoising_strength > 0 else 0
    return whole, wanted - 1


def is_sampler_using_eta_noise_seed_delta(p: Any) -> bool:
    """Whether the job's sampler draws noise after the first one, so that ENSD matters."""
    from modules import sd_samplers

    config = sd_samplers.find_sampler_config(p.sampler_name)
    if config is None:
        return False
    eta = p.eta
    if eta is None and p.sampler is not None:
        eta = p.sampler.eta
    if eta is None:
        eta = 0 if config.options.get("default_eta_is_0", False) else 1.0
    return eta != 0 and config.options.get("uses_ensd", False)


def _brownian_normals(size: Sequence[int], dtype: torch.dtype, device: torch.device, seed: int) -> torch.Tensor:
    return devices.randn_local(seed, size).to(device=device, dtype=dtype)  # type: ignore[attr-defined]


brownian_interval._randn = _brownian_normals  # torchsde's trees, too, take the noise source of the settings


class TorchHijack:
    """Stands for torch inside k-diffusion: `randn_like` takes the job's noise, each image's from its own seed.

    Some of k-diffusion's samplers have no argument for a noise source.
    """

    def __init__(self, p: Any) -> None:
        self.rng = p.rng

    def __getattr__(self, item: str) -> Any:
        return getattr(torch, item)

    def randn_like(self, x: torch.Tensor) -> torch.Tensor:
        """The next noise of the job."""
        return self.rng.next()


@contextmanager
def noise_of(p: Any) -> Iterator[None]:
    """While entered, k-diffusion draws the noise of this job."""
    former = k_diffusion.sampling.torch
    k_diffusion.sampling.torch = TorchHijack(p)
    try:
        yield
    finally:
        k_diffusion.sampling.torch = former


class Sampler:
    """One run of a sampling function on a CFG denoiser.

    Args:
        func: called as `func(denoiser, x, extra_args=..., disable=..., callback=..., **what it has parameters for)`.
        extra_params: which of `s_churn`, `s_tmin`, `s_tmax`, `s_noise` it takes.

    Attributes:
        model_wrap_cfg: the CFG denoiser (set by subclasses), `model_wrap` the denoiser inside it.
        last_latent: the newest estimate of the result, what an interrupt leaves.
        stop_at: number of the step after which to stop, or None.
    """

    eta_option_field = "eta_ancestral"
    eta_infotext_field = "Eta"
    eta_default = 1.0

    def __init__(self, func: Callable[..., torch.Tensor], extra_params: Sequence[str] = ()) -> None:
        self.func = func
        self.funcname = func.__name__
        self.extra_params = list(extra_params)
        self.config: SamplerData | None = None  # set by create_sampler
        self.options: dict[str, Any] = {}
        self.p: Any = None
        self.model_wrap_cfg: Any = None
        self.model_wrap: Any = None
        self.sampler_extra_args: dict[str, Any] = {}
        self.last_latent: torch.Tensor | None = None
        self.stop_at: int | None = None
        self.eta: float | None = None
        self.s_min_uncond: float = 0.0
        self.s_churn, self.s_tmin, self.s_tmax, self.s_noise = 0.0, 0.0, float("inf"), 1.0
        self.conditioning_key: str = getattr(shared.sd_model.model, "conditioning_key", "crossattn")

    def option(self, name: str, default: Any = None) -> Any:
        """A property of the sampler from the table of samplers."""
        return default if self.config is None else self.config.options.get(name, default)

    def callback_state(self, d: dict[str, Any]) -> None:
        """Called by the sampling function after each step."""
        step = d["i"]
        if self.stop_at is not None and step > self.stop_at:
            raise InterruptedException
        shared.state.sampling_step = step
        shared.total_tqdm.update()

    def launch_sampling(self, steps: int, func: Callable[[], torch.Tensor]) -> torch.Tensor | None:
        """Runs `func`; an interrupt gives the newest estimate instead of the result."""
        self.model_wrap_cfg.steps = steps
        self.model_wrap_cfg.total_steps = steps if self.config is None else self.config.total_steps(steps)
        shared.state.sampling_steps = steps
        shared.state.sampling_step = 0
        try:
            with noise_of(self.p):
                return func()
        except InterruptedException:
            return self.last_latent

    def initialize(self, p: Any) -> dict[str, Any]:
        """Readies the denoiser for a run; gives the arguments for the sampling function that come from settings."""
        self.p = p
        denoiser = self.model_wrap_cfg
        denoiser.p = p
        denoiser.mask = getattr(p, "mask", None)
        denoiser.nmask = getattr(p, "nmask", None)
        denoiser.step = 0
        denoiser.image_cfg_scale = getattr(p, "image_cfg_scale", None)
        self.s_min_uncond = getattr(p, "s_min_uncond", 0.0)
        self.eta = p.eta if p.eta is not None else getattr(shared.opts, self.eta_option_field, 0.0)
        parameters = inspect.signature(self.func).parameters
        arguments = {name: getattr(p, name) for name in self.extra_params if name in parameters and hasattr(p, name)}
        if "eta" in parameters:
            arguments["eta"] = self.eta
            if self.eta != self.eta_default:
                p.extra_generation_params[self.eta_infotext_field] = self.eta
        arguments.update(self._noise_arguments(p, arguments))
        return arguments

    def _noise_arguments(self, p: Any, arguments: dict[str, Any]) -> dict[str, float]:
        """Churn and noise settings that differ from the sampler's own; noted in the infotext."""
        changed: dict[str, float] = {}
        for name in ("s_churn", "s_tmin", "s_tmax", "s_noise"):
            if name not in arguments:
                continue
            own = getattr(self, name)
            value = getattr(shared.opts, name, getattr(p, name))
            if name == "s_tmax":
                value = value or own  # 0 stands for no limit
            if value != own:
                changed[name] = value
                setattr(p, name, value)
                p.extra_generation_params["Sigma " + name.removeprefix("s_")] = value
        return changed

    def create_noise_sampler(self, x: torch.Tensor, sigmas: torch.Tensor, p: Any) -> Any:
        """Brownian noise that depends on each image's seed, not on its batch; None leaves it to k-diffusion."""
        if shared.opts.no_dpmpp_sde_batch_determinism:
            return None
        seeds = p.all_seeds[p.iteration * p.batch_size : (p.iteration + 1) * p.batch_size]
        lowest, highest = sigmas[sigmas > 0].min(), sigmas.max()
        return k_diffusion.sampling.BrownianTreeNoiseSampler(x, lowest, highest, seed=seeds)

    def run(
        self, p: Any, x: torch.Tensor, steps: int, conds: tuple[Any, Any, Any], arguments: dict[str, Any]
    ) -> torch.Tensor | None:
        """Samples from `x` and adds what happened to the infotext.

        Args:
            p: the job.
            x: noised latents, (images, c, h, w).
            steps: of this run, for the progress display.
            conds: cond, uncond and image conditioning.
            arguments: for the sampling function.
        """
        cond, uncond, image_cond = conds
        self.sampler_extra_args = {
            "cond": cond,
            "image_cond": image_cond,
            "uncond": uncond,
            "cond_scale": p.cfg_scale,
            "s_min_uncond": self.s_min_uncond,
        }
        fixed = {
            "extra_args": self.sampler_extra_args,
            "disable": shared.cmd_opts.disable_console_progressbars,
            "callback": self.callback_state,
        }
        samples = self.launch_sampling(steps, lambda: self.func(self.model_wrap_cfg, x, **fixed, **arguments))
        self.add_infotext(p)
        return samples

    def with_extra_noise(self, p: Any, x: torch.Tensor, noise: torch.Tensor, xi: torch.Tensor, scale: Any) -> Any:
        """Adds the "extra noise" of the settings to img2img's noised latents `xi`; `scale` multiplies it."""
        from modules.script_callbacks import ExtraNoiseParams, extra_noise_callback

        share = shared.opts.img2img_extra_noise
        if share <= 0:
            return xi
        p.extra_generation_params["Extra noise"] = share
        params = ExtraNoiseParams(noise, x, xi)
        extra_noise_callback(params)
        return xi + params.noise * share * scale

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
        raise NotImplementedError

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
        """Makes latents from latents `x` (images, c, h, w) and `noise` of the same shape."""
        raise NotImplementedError

    def add_infotext(self, p: Any) -> None:
        """Notes how the denoiser made cond and uncond equally long."""
        if self.model_wrap_cfg.padded_cond_uncond:
            p.extra_generation_params["Pad conds"] = True
        if self.model_wrap_cfg.padded_cond_uncond_v0:
            p.extra_generation_params["Pad conds v0"] = True
