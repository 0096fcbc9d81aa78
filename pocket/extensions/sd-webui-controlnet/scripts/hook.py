"""The UNet of a run, guided: its `forward` is replaced on the instance until `restore`."""

from __future__ import annotations

from typing import Any

import torch
from ldm.modules.diffusionmodules.util import timestep_embedding

from modules import devices, script_callbacks
from modules.processing import StableDiffusionProcessing
from modules.prompt_parser import ScheduledPromptConditioning
from scripts.enums import ControlModelType, HiResFixOption

MARK = 1024.0
"""Fills a row put before the text of a conditioning: plus if it is a prompt's, minus if a negative prompt's."""

TOLERANCE = 1e-3
SOFTER = 0.825
"""From one skip connection to the next outer one, when a unit leaves more to the prompt."""


def prompt_context_is_marked(context: torch.Tensor) -> bool:
    """Whether the first token's row of (..., tokens, width) is a mark."""
    return float((context[..., 0, :].abs() - MARK).abs().mean()) < TOLERANCE


def _marked(cond: torch.Tensor, positive: bool) -> torch.Tensor:
    if prompt_context_is_marked(cond):
        return cond
    return torch.cat([torch.full_like(cond[:1], MARK if positive else -MARK), cond])


def mark_prompt_context(conds: Any, positive: bool) -> Any:
    """Put a mark before every conditioning in a list, a multicond or a schedule, in place where it can be."""
    if isinstance(conds, list):
        conds[:] = [mark_prompt_context(one, positive) for one in conds]
    elif isinstance(conds, ScheduledPromptConditioning):
        return ScheduledPromptConditioning(conds.end_at_step, _marked(conds.cond, positive))
    else:
        for name in ("batch", "schedules"):
            if hasattr(conds, name):
                mark_prompt_context(getattr(conds, name), positive)
    return conds


def unmark_prompt_context(context: torch.Tensor) -> tuple[torch.Tensor, list[int], list[int], torch.Tensor]:
    """What the marks say, and the text without them. Text without marks counts as a prompt's.

    Returns:
        (b, 1, 1, 1) of 1 for a prompt's row and 0 for a negative prompt's; the places of the latter, of the former
        (both empty without marks); (b, tokens, width).
    """
    rows = context.shape[0]
    if not prompt_context_is_marked(context):
        return context.new_ones(rows, 1, 1, 1), [], [], context
    # The host keeps conditionings from run to run; these hold marks.
    StableDiffusionProcessing.cached_c = [None, None]
    StableDiffusionProcessing.cached_uc = [None, None]
    positive = context[:, 0].mean(dim=1) > 0
    places = {sign: [row for row, one in enumerate(positive.tolist()) if one is sign] for sign in (False, True)}
    return positive.to(context)[:, None, None, None], places[False], places[True], context[:, 1:]


class ControlParams:
    """One unit while it acts.

    `hint_cond` is what the network sees, (rows, 3, h, w) in 0..1: 1 row for all pictures, or as many as the UNet gets.
    Other extensions may set it at any step; what was made from the old one is then forgotten.
    """

    def __init__(
        self,
        control_model: Any,
        preprocessor: dict[str, Any],
        hint_cond: Any,
        weight: float,
        guidance_stopped: bool,
        start_guidance_percent: float,
        stop_guidance_percent: float,
        advanced_weighting: list[float] | None,
        control_model_type: ControlModelType,
        hr_hint_cond: Any,
        global_average_pooling: bool,
        soft_injection: bool,
        cfg_injection: bool,
        hr_option: HiResFixOption = HiResFixOption.BOTH,
        control_context_override: Any = None,
        effective_region_mask: torch.Tensor | None = None,
        **_kwargs: Any,
    ) -> None:
        self.control_model = control_model
        self.preprocessor = preprocessor
        self.weight = weight
        self.guidance_stopped = guidance_stopped
        self.start_guidance_percent = start_guidance_percent
        self.stop_guidance_percent = stop_guidance_percent
        self.advanced_weighting = advanced_weighting
        self.control_model_type = control_model_type
        self.hr_hint_cond = hr_hint_cond
        self.global_average_pooling = global_average_pooling
        self.soft_injection = soft_injection
        self.cfg_injection = cfg_injection
        self.hr_option = hr_option
        self.control_context_override = control_context_override
        self.effective_region_mask = effective_region_mask
        self.hint_cond = hint_cond

    @property
    def hint_cond(self) -> Any:
        """What the network sees in the first pass."""
        return self._hint_cond

    @hint_cond.setter
    def hint_cond(self, value: Any) -> None:
        self._hint_cond = value
        self.used_hint_cond = None
        self.used_hint_cond_latent = None
        self.used_hint_inpaint_hijack = None

    def choose_hint(self, x: torch.Tensor) -> bool:
        """Take the hint whose height is nearer to that of the latents (b, 4, h, w); whether it is hires fix's."""
        self.used_hint_cond = self.hint_cond if self.used_hint_cond is None else self.used_hint_cond
        if self.hr_hint_cond is None:
            return False
        height = x.shape[2] * 8
        is_hr = abs(height - self.hint_cond.shape[2]) >= abs(height - self.hr_hint_cond.shape[2])
        self.used_hint_cond = self.hr_hint_cond if is_hr else self.hint_cond
        return is_hr

    def disabled_by_hr_option(self, is_in_high_res_fix: bool) -> bool:
        """Whether the unit does not act in this pass."""
        other = HiResFixOption.LOW_RES_ONLY if is_in_high_res_fix else HiResFixOption.HIGH_RES_ONLY
        return self.hr_option is other

    def scales(self, is_in_high_res_fix: bool, count: int) -> list[float]:
        """What each of the network's values is multiplied by, the outermost first."""
        if self.advanced_weighting is not None:
            return self.advanced_weighting
        if self.soft_injection or (is_in_high_res_fix and "canny" in self.preprocessor["name"]):
            return [self.weight * SOFTER ** float(count - 1 - place) for place in range(count)]
        return [self.weight] * count

    def control(
        self, x: torch.Tensor, timesteps: torch.Tensor, context: torch.Tensor, cond_mark: torch.Tensor, is_hr: bool
    ) -> list[torch.Tensor]:
        """What the unit adds to the UNet."""
        model = self.control_model.to(x.device)
        values = model(x=x, hint=self.used_hint_cond, timesteps=timesteps, context=context)
        if self.cfg_injection:
            values = [value * cond_mark for value in values]
        scales = self.scales(is_hr, len(values))
        return [self.apply_effective_region_mask(value * scale) for value, scale in zip(values, scales, strict=False)]

    def apply_effective_region_mask(self, value: torch.Tensor) -> torch.Tensor:
        """What the unit adds where it may; every value that it adds comes by here, weighed."""
        if self.effective_region_mask is None:
            return value
        mask = self.effective_region_mask.to(value)
        return value * torch.nn.functional.interpolate(mask, size=value.shape[2:], mode="bilinear")


def _fitting(value: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The value in the size of the other; sizes that are no multiples of 64 pixels do not halve evenly."""
    if value.shape[2:] == other.shape[2:]:
        return value
    return torch.nn.functional.interpolate(value, other.shape[2:], mode="nearest")


class UnetHook:
    """Guides one UNet by the units in `control_params`."""

    def __init__(self, lowvram: bool = False) -> None:
        self.lowvram = lowvram
        self.model: Any = None
        self.sd_ldm: Any = None
        self.control_params: list[ControlParams] | None = None
        self.is_in_high_res_fix = False

    def hook(self, model: Any, sd_ldm: Any, control_params: list[ControlParams], process: Any) -> None:
        """Replace the UNet's `forward`, mark the run's conditionings when it samples, and follow its steps."""
        self.model, self.sd_ldm, self.control_params = model, sd_ldm, control_params
        self._shadowed = vars(model).get("forward")
        model._original_forward = model.forward
        model.forward = self._forward
        if getattr(process, "sample_before_CN_hack", None) is None:
            process.sample_before_CN_hack = process.sample
        process.sample = lambda *args, **kwargs: self._sample(process, *args, **kwargs)
        script_callbacks.on_cfg_denoiser(self.guidance_schedule_handler)

    def restore(self) -> None:
        """Give the UNet back as it was; again is harmless."""
        script_callbacks.remove_callbacks_for_function(self.guidance_schedule_handler)
        self.control_params = None
        model, self.model = self.model, None
        if model is None:
            return
        if self._shadowed is None:
            del model.forward
        else:
            model.forward = self._shadowed
        del model._original_forward

    @staticmethod
    def _sample(process: Any, *args: Any, **kwargs: Any) -> Any:
        mark_prompt_context(kwargs.get("conditioning"), positive=True)
        mark_prompt_context(kwargs.get("unconditional_conditioning"), positive=False)
        mark_prompt_context(getattr(process, "hr_c", None), positive=True)
        mark_prompt_context(getattr(process, "hr_uc", None), positive=False)
        return process.sample_before_CN_hack(*args, **kwargs)

    def guidance_schedule_handler(self, params: Any) -> None:
        """Start and stop the units by how much of the sampling is done."""
        done = params.sampling_step / params.total_sampling_steps
        for param in self.control_params or []:
            param.guidance_stopped = not param.start_guidance_percent <= done <= param.stop_guidance_percent

    def _added(
        self, x: torch.Tensor, timesteps: torch.Tensor, context: torch.Tensor, cond_mark: torch.Tensor
    ) -> list[Any]:
        """What all units add, by place: a tensor, or 0.0 where nothing is added."""
        params = self.control_params or []
        for param in params:
            self.is_in_high_res_fix = param.choose_hint(x)
        total: list[Any] = [0.0] * (len(self.model.input_blocks) + 1)
        for param in params:
            if param.guidance_stopped or param.disabled_by_hr_option(self.is_in_high_res_fix):
                continue
            values = param.control(x[:, :4], timesteps, context, cond_mark, self.is_in_high_res_fix)
            total = [value + other for value, other in zip(values, total, strict=True)]
        return total

    def _forward(
        self, x: torch.Tensor, timesteps: Any = None, context: Any = None, y: Any = None, **_kwargs: Any
    ) -> torch.Tensor:
        unet = self.model
        cond_mark, self.current_uc_indices, self.current_c_indices, context = unmark_prompt_context(context)
        added = self._added(x, timesteps, context, cond_mark)
        emb = unet.time_embed(
            devices.cond_cast_unet(timestep_embedding(timesteps, unet.model_channels, repeat_only=False))
        )
        skips = []
        h = x
        for block in unet.input_blocks:
            h = block(h, emb, context)
            skips.append(h)
        h = self._plus(unet.middle_block(h, emb, context), added.pop())
        for block in unet.output_blocks:
            skip = self._plus(skips.pop(), added.pop())
            h = block(torch.cat([_fitting(h, skip), skip], dim=1), emb, context)
        return unet.out(h.type(x.dtype))

    @staticmethod
    def _plus(h: torch.Tensor, value: Any) -> torch.Tensor:
        return h + _fitting(value, h) if isinstance(value, torch.Tensor) else h
