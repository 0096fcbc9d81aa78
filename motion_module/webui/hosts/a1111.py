"""AUTOMATIC1111's WebUI."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from modules import (
    devices,
    errors,
    sd_hijack,
    sd_models,
    sd_samplers_cfg_denoiser,
    sd_samplers_common,
    shared,
)
from modules.styles import merge_prompts
from motion_module.core.denoising.conditioning import all_of_one_length, pad_to_same_length, waiting
from motion_module.core.denoising.remembering import Prediction
from motion_module.core.denoising.row_order import Announced, Snapshot, find_moved_rows
from motion_module.core.denoising.schedule import lent_schedule, put_schedule_right
from motion_module.core.denoising.sliding import LayoutOf
from motion_module.core.module.attention_ways import SDP, XFORMERS
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.lent_weights import on_device, on_device_in_turn
from motion_module.core.module.model import MotionModel
from motion_module.core.module.norm import layers_named
from motion_module.core.module.pieces import in_pieces
from motion_module.core.module.placement import mounted
from motion_module.errors import UserError
from motion_module.patching import (
    replaced_call,
    replaced_option,
)
from motion_module.stand_in import given_original
from motion_module.webui.host_types import Checkpoint, DenoiserCall, Loads, Model, Wrapped
from motion_module.webui.hosts.a1111_lora import A1111Lora
from motion_module.webui.hosts.common import CommonHost, negatives_stacked
from motion_module.wording import mention

_SCHEDULE = ("alphas_cumprod", "alphas_cumprod_original")  # samplers read the first, which is reset from the second
_NORM = "GroupNorm32"  # of ldm and of sgm, which are two classes; used in their ResBlocks and before the last layer
_FEED_FORWARD, _RES_BLOCK = "FeedForward", "ResBlock"  # two classes each, as well


class A1111(CommonHost, A1111Lora):
    """AUTOMATIC1111's WebUI, 1.10.1 and its branch `dev`; see `Host` for what each method is for."""

    def unet(self, sd_model: Checkpoint) -> nn.Module:
        """That of ldm or sgm itself."""
        return sd_model.model.diffusion_model

    def motion_layers(self, sd_model: Checkpoint, model: MotionModel, call: CallFrames) -> AbstractContextManager[None]:
        """The spatial transformers have norms of another class, which stay as they are."""
        unet = self.unet(sd_model)
        return mounted(unet, model, call, layers_named(unet, _NORM))

    def row_layout(self, frames: int, parts: int, announced: DenoiserCall, moved_rows: tuple[int, ...]) -> LayoutOf:
        """The prompts of frame 0, of frame 1, ..., then the negative prompt of each frame; read from the rows, because
        the host may leave the negative prompt out, and other extensions stand between."""
        return Announced(frames, parts, announced.x, announced.text_cond, announced.text_uncond, moved_rows).layout_of

    def moved_rows(self, before: Snapshot, after: Snapshot, frames: int, parts: int) -> tuple[int, ...]:
        """Callbacks see every row of the call."""
        return find_moved_rows(before, after, frames, parts)

    def texts_for_call(self, cond: Any, uncond: Any, in_windows: bool) -> tuple[Any, Any]:
        """Else the host pads: in another way, or in ours but with the empty prompt on its device."""
        if not shared.opts.pad_cond_uncond_v0 and (in_windows or not shared.opts.pad_cond_uncond):
            cond, uncond = pad_to_same_length(cond, uncond, shared.sd_model.cond_stage_model_empty_prompt)
        return waiting(cond, uncond) if in_windows else (cond, uncond)

    def rows_at_once(self, sd_model: Checkpoint, frames: int, context: int) -> AbstractContextManager[None]:
        """The host asks for no room."""
        return nullcontext()

    def telling_rows(self, rows: Sequence[int], whole: int) -> AbstractContextManager[None]:
        """All that it tells has rows of its own."""
        return nullcontext()

    def predicted_x0(self, denoiser: Any) -> Callable[..., Tensor]:
        """Its denoisers know."""
        predict_x0: Callable[..., Tensor] = denoiser.get_pred_x0
        return predict_x0

    def is_loaded(self, sd_model: Checkpoint) -> bool:
        """None of its models is half there."""
        return sd_model is not None

    def reports_errors_by(self) -> tuple[Any, str]:
        """A function of its own, which prints a traceback."""
        return errors, "report"

    def with_style(self, style: str, prompt: str) -> str:
        """As it does itself."""
        return merge_prompts(style, prompt)

    def branches_share_calls(self) -> bool:
        """A setting of the host's."""
        return bool(shared.opts.batch_cond_uncond)

    def whole_calls(self, lasting: bool | None) -> AbstractContextManager[None]:
        """Without that setting the host would cut the rows in pieces that mix frames and AND parts."""
        if self.branches_share_calls():
            return nullcontext()
        return replaced_option(shared.opts.data, "batch_cond_uncond", True, lasting)

    def noise_schedule(self, sd_model: Checkpoint, schedule: str) -> AbstractContextManager[None]:
        """In the model itself, from which samplers copy it."""
        return lent_schedule(sd_model, _SCHEDULE, schedule)

    def last_alpha(self, sd_model: Checkpoint) -> float:
        """As it is now, which may be a schedule that is lent."""
        return float(getattr(sd_model, _SCHEDULE[0])[-1])

    def prediction(self, sd_model: Checkpoint) -> Prediction:
        """All samplers go by these two."""
        return Prediction(getattr(sd_model, _SCHEDULE[0]), getattr(sd_model, "parameterization", "eps") == "v")

    def put_schedule_right(self) -> None:
        """Of the model that is loaded; `shared.sd_model` would load one."""
        put_schedule_right(sd_models.model_data.sd_model, _SCHEDULE)

    def weights_dtype(self) -> torch.dtype:
        """That of its UNet, to which it casts what stands in it."""
        dtype: torch.dtype = devices.dtype_unet
        return dtype

    def attention(self) -> str:
        """By the option of its command line or its settings. Its other ways save memory that attention between
        few frames does not take; who left xformers out has it left out here, too."""
        return XFORMERS if sd_hijack.model_hijack.optimization_method == "xformers" else SDP

    def in_memory(self, model: MotionModel, in_turn: bool) -> AbstractContextManager[Any]:
        """The host's device, which --use-cpu decides, too. With --lowvram each block of the UNet is moved
        there before it is called, and back before the next one, with what is in it; --medvram a whole UNet, once."""
        device = None if shared.cmd_opts.lowvram else devices.device
        if in_turn and device is not None:
            return on_device_in_turn(model, [layer.temporal_transformer for layer in model.layers()], device)
        return on_device(model, device)

    def rows_in_turn(self, sd_model: Checkpoint, over_frames: bool) -> AbstractContextManager[None]:
        """The spatial transformers as a whole are left alone: ControlNet (reference, IP-Adapter) stands in their
        attention, and counts rows."""
        unet = self.unet(sd_model)
        by_row = layers_named(unet, _FEED_FORWARD)
        return in_pieces(by_row if over_frames else [*by_row, *layers_named(unet, _RES_BLOCK)])

    def model_calls(self, sd_model: Checkpoint, wrap: Callable[[Model], Model]) -> AbstractContextManager[Any]:
        """All samplers come to the model through this method."""
        return replaced_call(sd_model, "apply_model", wrap)

    def checkpoint_changes(self, around: Callable[[Loads], Loads]) -> AbstractContextManager[Any]:
        """For the refiner and the hires checkpoint; some come into the very same UNet."""
        return replaced_call(sd_models, "reload_model_weights", around)

    def change_checkpoint_in_turn(self, denoiser: Any, x: Tensor, sigma: Tensor) -> None:
        """It counts by the noise level from 1.9 on, by the calls before that."""
        takes_sigma = "sigma" in inspect.signature(sd_samplers_common.apply_refiner).parameters
        sd_samplers_common.apply_refiner(denoiser, *[sigma] * takes_sigma)

    def negatives_of_one_length(self) -> AbstractContextManager[Any]:
        """It stacks positive prompts of different lengths, but not negative ones."""
        return negatives_stacked(lambda conds: all_of_one_length(conds, shared.sd_model.cond_stage_model_empty_prompt))

    def guidance_of_others(self, sampler: Any) -> Callable[..., Any] | None:
        """They replace a method of its denoiser, of the object or of the class, or derive a class."""
        combine = sampler.model_wrap_cfg.combine_denoised
        function = getattr(combine, "__func__", combine)
        return None if getattr(function, "__globals__", None) is vars(sd_samplers_cfg_denoiser) else combine

    def guidance(self, sampler: Any, scales: Sequence[float], scale: float) -> AbstractContextManager[Any]:
        """All samplers weigh in this method of their denoiser, but for InstructPix2Pix, which has two scales."""
        if getattr(shared.sd_model, "cond_stage_key", "") == "edit":
            raise UserError(
                f"{mention('cfg_travel')} does not work with InstructPix2Pix, which weighs picture and text in its own "
                "way; leave it empty, or use another checkpoint"
            )
        denoiser = sampler.model_wrap_cfg

        def weighed(combine: Wrapped, out: Tensor, parts: Sequence[Any], uncond: Any, scale: float) -> Tensor:
            if _skips_uncond(denoiser, out, parts, scale):
                return combine(out, parts, uncond, scale)
            own = [[(row, weight * value) for row, weight in of] for of, value in zip(parts, scales, strict=True)]
            return combine(out, own, uncond, _multiplier(denoiser))

        return replaced_call(denoiser, "combine_denoised", given_original(weighed))


def _multiplier(denoiser: Any) -> float:
    """What CFG++ multiplies the scale by; WebUIs before 1.10 have none."""
    return float(getattr(denoiser, "cond_scale_miltiplier", 1.0))


def _skips_uncond(denoiser: Any, out: Tensor, parts: Sequence[Any], scale: float) -> bool:
    """Whether a step has no negative prompt: the scale is 1 then, and the prompt's own rows stand in its place."""
    if scale != 1.0:
        return False
    if denoiser.p.cfg_scale * _multiplier(denoiser) != 1.0:
        return True
    return torch.equal(out[-len(parts) :], out[[of[0][0] for of in parts]])


HOST = A1111()
