"""Forge (lllyasviel), which has its own UNet, its own way through a step and its own management of memory."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from backend import attention, memory_management
from backend.sampling import sampling_function
from modules_forge import main_thread
from torch import Tensor, nn

from modules import devices, sd_models, sd_samplers_common, shared
from modules.styles import apply_styles_to_prompt
from motion_module.core.denoising.remembering import Prediction
from motion_module.core.denoising.row_order import Snapshot, UnknownRowsError, text_of
from motion_module.core.denoising.rows import RowLayout
from motion_module.core.denoising.schedule import alphas_cumprod
from motion_module.core.denoising.sliding import LayoutOf
from motion_module.core.module.attention_ways import SDP, SPLIT, XFORMERS
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.lent_weights import on_device, on_device_in_turn
from motion_module.core.module.model import MotionModel
from motion_module.core.module.norm import layers_named, norms_of_blocks
from motion_module.core.module.pieces import in_pieces
from motion_module.core.module.placement import mounted
from motion_module.errors import UserError
from motion_module.patching import assign, preserved, replaced_call
from motion_module.settings import KEEP
from motion_module.stand_in import given_original
from motion_module.webui.host_types import Checkpoint, DenoiserCall, Loads, Model, Wrapped
from motion_module.webui.hosts.common import CommonHost, negatives_stacked
from motion_module.webui.hosts.forge_control import lazily
from motion_module.webui.hosts.forge_lora import ForgeLora
from motion_module.webui.hosts.forge_rows import OPTIONS, Options, these_rows, told_rows
from motion_module.wording import mention

_LAYER = "motion"  # Forge merges LoRA by the names of layers while they are in the UNet; those of its own stay the same
_FEED_FORWARD = "FeedForward"
_IN_PIECES = ("attention_basic", "attention_split", "attention_sub_quad")
_SCHEDULE = ("sigmas", "log_sigmas")


class Forge(CommonHost, ForgeLora):
    """See `Host` for what each method is for."""

    def unet(self, sd_model: Checkpoint) -> nn.Module:
        """Of ldm's shape, with the names of ldm's layers."""
        return _model_of(sd_model).diffusion_model

    def is_loaded(self, sd_model: Checkpoint) -> bool:
        """Forge loads its checkpoint in the first run."""
        return getattr(sd_model, "forge_objects", None) is not None

    def motion_layers(self, sd_model: Checkpoint, model: MotionModel, call: CallFrames) -> AbstractContextManager[None]:
        """Norms of ResBlocks and of spatial transformers are of one class here."""
        unet = self.unet(sd_model)
        return mounted(unet, model, call, norms_of_blocks(unet), _LAYER)

    def row_layout(self, frames: int, parts: int, announced: DenoiserCall, moved_rows: tuple[int, ...]) -> LayoutOf:
        """The frames of a branch always lie one behind the other; which branches are in a call Forge decides by its
        memory. Whoever cuts the picture into tiles has the branches of each tile one behind the other."""

        def layout_of(x: Tensor, cond: Any) -> RowLayout:
            if x.shape[0] % frames:
                raise UnknownRowsError(x.shape[0], frames)
            return RowLayout(frames, 1, uncond=False, copies=x.shape[0] // frames)

        return layout_of

    def moved_rows(self, before: Snapshot, after: Snapshot, frames: int, parts: int) -> tuple[int, ...]:
        """Callbacks see each frame once, and have nothing to order."""
        if before.x.shape != after.x.shape or before.text.shape != after.text.shape:
            raise UnknownRowsError(len(after.x), frames)
        return ()

    def texts_for_call(self, cond: Any, uncond: Any, in_windows: bool) -> tuple[Any, Any]:
        """Forge brings the two to one length when it joins them."""
        return cond, uncond

    def reports_errors_by(self) -> tuple[Any, str]:
        """Python's own printing of tracebacks, in the thread that does all runs of the page."""
        return main_thread.traceback, "print_exc"

    def with_style(self, style: str, prompt: str) -> str:
        """As Forge does itself, for one style."""
        return str(apply_styles_to_prompt(prompt, [style]))

    def branches_share_calls(self) -> bool:
        """What Forge puts into one call may stay together."""
        return True

    def whole_calls(self, lasting: bool | None) -> AbstractContextManager[None]:
        """Forge never cuts a branch."""
        return nullcontext()

    @contextmanager
    def rows_at_once(self, sd_model: Checkpoint, frames: int, context: int) -> Iterator[None]:
        """Forge makes room for all rows of a call before it samples, and cuts calls that do not fit."""
        share = min(1.0, context / frames)

        def required(original: Wrapped, input_shape: Sequence[int]) -> Any:
            return original([math.ceil(input_shape[0] * share), *input_shape[1:]])

        asked_by_call = lazily() if share < 1 else nullcontext()
        with replaced_call(_model_of(sd_model), "memory_required", given_original(required)), asked_by_call:
            yield

    @contextmanager
    def noise_schedule(self, sd_model: Checkpoint, schedule: str) -> Iterator[None]:
        """In its predictor, from which samplers and schedulers read it; some note it on the checkpoint."""
        predictor = _predictor(sd_model)
        with ExitStack() as stack:
            if schedule != KEEP:
                alphas = alphas_cumprod(schedule, predictor.sigmas.shape[0])
                sigmas = ((1 - alphas) / alphas).sqrt().to(predictor.sigmas)
                stack.enter_context(preserved(sd_model, "alphas_cumprod"))  # where samplers by timesteps note it
                assign(sd_model, alphas_cumprod=alphas.to(predictor.sigmas))
                for name, lent in zip(_SCHEDULE, (sigmas, sigmas.log()), strict=True):
                    stack.enter_context(_lent_buffer(predictor, name, lent))
            yield

    def last_alpha(self, sd_model: Checkpoint) -> float:
        """As it is now, which may be a schedule that is lent."""
        return float(_alphas(sd_model)[-1])

    def prediction(self, sd_model: Checkpoint) -> Prediction:
        """Of the UNet's own answers, which Forge turns into latents afterwards."""
        return Prediction(_alphas(sd_model), _predictor(sd_model).prediction_type == "v_prediction")

    def put_schedule_right(self) -> None:
        """Nobody but Forge keeps its schedule, and what that keeps is from before ours."""

    def weights_dtype(self) -> torch.dtype:
        """In which its UNet computes, whatever its weights are stored in; a guess before it is there."""
        loaded = sd_models.model_data.sd_model
        dtype: torch.dtype = _model_of(loaded).computation_dtype if self.is_loaded(loaded) else devices.dtype
        return dtype

    def attention(self) -> str:
        """By the option of its command line; its ways in pieces are for cards that have no other."""
        name = attention.attention_function.__name__
        if name == "attention_xformers":
            return XFORMERS
        return SPLIT if name in _IN_PIECES else SDP

    @contextmanager
    def in_memory(self, model: MotionModel, in_turn: bool) -> Iterator[Any]:
        """Forge makes room first: it leaves models on the card after a run as long as there is any."""
        device, layers = memory_management.get_torch_device(), [layer.temporal_transformer for layer in model.layers()]
        if device.type != "cpu" and not in_turn:
            size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
            memory_management.free_memory(size + memory_management.minimum_inference_memory(), device)
        with on_device_in_turn(model, layers, device) if in_turn else on_device(model, device):
            try:
                yield model
            except Exception:
                self.merge_anew()
                raise

    def rows_in_turn(self, sd_model: Checkpoint, over_frames: bool) -> AbstractContextManager[None]:
        """Only feed-forwards: what Forge tells ResBlocks besides is about all rows of a call."""
        return in_pieces(layers_named(self.unet(sd_model), _FEED_FORWARD))

    def model_calls(self, sd_model: Checkpoint, wrap: Callable[[Model], Model]) -> AbstractContextManager[Any]:
        """Below whatever cuts the picture into tiles; scaled latents and timesteps go in, the answer comes out."""

        def stand_in(unet: Wrapped) -> Wrapped:
            model = wrap(lambda x, t, conds: unet(x, t, **told_rows(conds)))

            def forward(x: Tensor, timesteps: Tensor, **conds: Any) -> Tensor:
                return model(x, timesteps, {**conds, OPTIONS: Options(conds.get(OPTIONS, {}))})

            return forward

        return replaced_call(self.unet(sd_model), "forward", stand_in)

    @contextmanager
    def telling_rows(self, rows: Sequence[int], whole: int) -> Iterator[None]:
        """Forge tells its layers and ControlNets which row is on which side."""
        with these_rows(tuple(rows) if list(rows) != list(range(whole)) else ()):
            yield

    def checkpoint_changes(self, around: Callable[[Loads], Loads]) -> AbstractContextManager[Any]:
        """For the refiner and the hires checkpoint."""
        return replaced_call(sd_models, "forge_model_reload", around)

    def change_checkpoint_in_turn(self, denoiser: Any, x: Tensor, sigma: Tensor) -> None:
        """Forge asks how large the latents are, to make room for them; Neo asks for the noise level, too."""
        takes_sigma = "sigma" in inspect.signature(sd_samplers_common.apply_refiner).parameters
        sd_samplers_common.apply_refiner(denoiser, x, *[sigma] * takes_sigma)

    def negatives_of_one_length(self) -> AbstractContextManager[Any]:
        """By repeating them, as Forge does with a prompt and a negative prompt."""
        return negatives_stacked(_repeated)

    def predicted_x0(self, denoiser: Any) -> Callable[..., Tensor]:
        """Samplers by timesteps get the noise as an answer, and latents in another scale."""
        if not getattr(denoiser, "classic_ddim_eps_estimation", False):
            return denoiser.get_pred_x0

        def of_noise(x: Tensor, out: Tensor, timesteps: Tensor) -> Tensor:
            alphas = denoiser.inner_model.inner_model.alphas_cumprod.to(x.device)
            a = alphas[timesteps.round().long().clip(0, len(alphas) - 1)].to(x)[:, None, None, None]
            return (x - (1 - a).sqrt() * out) / a.sqrt()

        return of_noise

    def guidance_of_others(self, sampler: Any) -> Callable[..., Any] | None:
        """They leave a function in the options of the UNet."""
        return shared.sd_model.forge_objects.unet.model_options.get("sampler_cfg_function")

    def guidance(self, sampler: Any, scales: Sequence[float], scale: float) -> AbstractContextManager[Any]:
        """Where the negative prompt is left out, there is nothing to weigh."""
        if scale == 1:
            raise UserError(
                f"{mention('cfg_travel')} does not work with a CFG scale of 1, with which Forge leaves the negative "
                "prompt out of the whole run; set another CFG scale"
            )

        def weigh(strength: float, args: Mapping[str, Any]) -> Tensor:
            each = torch.tensor(scales, device=args["cond"].device)[:, None, None, None]
            return args["uncond"] + (args["cond"] - args["uncond"]) * each * strength

        def inner(original: Wrapped, *of: Any, **how: Any) -> Any:
            *others, cond, scale, options, seed = of
            if not math.isclose(scale, 1.0):
                strength = sum(part.get("strength", 1) for part in cond)  # of all prompts joined with AND
                options = {**options, "sampler_cfg_function": partial(weigh, strength)}
            return original(*others, cond, scale, options, seed, **how)

        return replaced_call(sampling_function, "sampling_function_inner", given_original(inner))


@contextmanager
def _lent_buffer(predictor: Any, name: str, lent: Tensor) -> Iterator[None]:
    """Forge moves its predictor with the UNet, also in the middle of sampling: what is there then is a copy of ours."""
    own: Tensor = getattr(predictor, name)
    assign(predictor, **{name: lent})
    try:
        yield
    finally:
        now = getattr(predictor, name)
        if now.shape == lent.shape and torch.equal(now.cpu(), lent.cpu()):
            assign(predictor, **{name: own.to(now.device)})


def _repeated(conds: list[Any]) -> list[Any]:
    """Conditions `(tokens, c)`, or SDXL's dicts of such, repeated until all have one length."""
    tokens = math.lcm(*(text_of(cond).shape[-2] for cond in conds))
    return [_lengthened(cond, tokens) for cond in conds]


def _lengthened(cond: Any, tokens: int) -> Any:
    text = text_of(cond)
    longer = text.repeat(tokens // text.shape[-2], 1)
    return type(cond)({**cond, "crossattn": longer}) if isinstance(cond, dict) else longer


def _model_of(sd_model: Any) -> Any:
    return sd_model.forge_objects.unet.model


def _predictor(sd_model: Any) -> Any:
    return _model_of(sd_model).predictor


def _alphas(sd_model: Any) -> Tensor:
    sigmas: Tensor = _predictor(sd_model).sigmas
    return 1 / (sigmas.square() + 1)


HOST = Forge()
