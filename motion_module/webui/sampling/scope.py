"""The sampling scope: what is changed in the borrowed model while the host samples, and how it is taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from modules import (
    devices,
    prompt_parser,
    script_callbacks,
    sd_models,
    sd_samplers_cfg_denoiser,
    sd_samplers_common,
    sd_unet,
    shared,
)
from motion_module.core.denoising.conditioning import all_of_one_length, pad_to_same_length, past_mark, waiting
from motion_module.core.denoising.row_order import Announced, Snapshot, places_after
from motion_module.core.denoising.schedule import alpha_schedule, put_schedule_right
from motion_module.core.denoising.slerp import travelled
from motion_module.core.denoising.sliding import AroundCall, ModelCall, SlidingModel
from motion_module.core.module.arch import MotionKind
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.model import MotionModel
from motion_module.core.module.placement import mounted
from motion_module.errors import UserError
from motion_module.patching import put_right_options, replaced_call, replaced_option
from motion_module.settings import AS_TRAINED
from motion_module.stand_in import given_original
from motion_module.travel import Between
from motion_module.webui.sampling import neighbours
from motion_module.webui.settings import settings_of
from motion_module.windows import WindowPlan

Places = Sequence[Between] | None
DenoiserCallback = Callable[[script_callbacks.CFGDenoiserParams], None]


@dataclass(frozen=True)
class Borrower:
    """Who borrows the host's model, and for what.

    Attributes:
        model: the motion module, on the CPU; it goes back there.
        frames: number of frames of the video.
        options: how the context windows are laid and blended.
        call: shared with the layers; holds motion scale and effect.
        places: for the hires pass (true) or the first one (false) the way of the prompt and the negative prompt.
        around: entered around each call of the model; hands out what belongs to its frames.
        together: the person's own setting of batch_cond_uncond, which a request may override; None: the one there is.
    """

    model: MotionModel
    frames: int
    options: WindowPlan
    call: CallFrames
    places: Callable[[bool], tuple[Places, Places]]
    around: AroundCall = nullcontext
    together: bool | None = None


@contextmanager
def sampling_scope(borrower: Borrower) -> Iterator[None]:
    """Lend the host's model to the motion module for the length of one `p.sample`.

    Whatever ends the block - the last step, an interrupt, an error - everything is undone in reverse order.

    Raises:
        UserError: another UNet (TensorRT) stands in the place of the model's own.
    """
    _check_unet()
    put_right()
    with ExitStack() as stack:
        stack.enter_context(_on_device(borrower.model))
        loan = _Loan(borrower)
        stack.enter_context(loan)
        stack.enter_context(replaced_call(sd_models, "reload_model_weights", loan.around))
        if not shared.opts.batch_cond_uncond:
            # The host would cut the rows in pieces that mix frames and AND parts; the sliding model cuts by branches.
            stack.enter_context(replaced_option(shared.opts.data, "batch_cond_uncond", True, borrower.together))
        if any(borrower.places(hires)[1] for hires in (False, True)):
            stack.enter_context(_negatives_of_one_length())
        stack.enter_context(replaced_call(sd_samplers_cfg_denoiser, "cfg_denoiser_callback", loan.around_callbacks))
        stack.callback(setattr, shared.state, "textinfo", None)  # no step is on while the host decodes
        yield


def put_right() -> None:
    """Take back what somebody has kept of a former run, and put back when that was over: options, noise schedule."""
    put_right_options(shared.opts.data)
    put_schedule_right(sd_models.model_data.sd_model)  # not shared.sd_model, which would load one


def _check_unet() -> None:
    if sd_unet.current_unet is not None:  # it would be called past the layers, and make unrelated pictures
        label = getattr(sd_unet.current_unet_option, "label", "another one")
        raise UserError(
            f"AnimateDiff needs the checkpoint's own UNet, but {label} stands in for it; "
            f'set "SD Unet" to None in the settings.'
        )


class _Loan:
    """One loan of the model that the host samples with; it follows the host when that changes its checkpoint."""

    def __init__(self, borrower: Borrower) -> None:
        self._borrower = borrower
        self._together = bool(shared.opts.batch_cond_uncond)
        self._stack = ExitStack()
        self._sliding: SlidingModel | None = None
        self._step = 1
        self._counted: AroundCall = lambda call: nullcontext()

    def __enter__(self) -> _Loan:
        with ExitStack() as stack:  # a step that fails takes back those before it
            self._mount(shared.sd_model, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        self._sliding = None

    def around(self, reload: Callable[..., Any]) -> Callable[..., Any]:
        """The host's `reload_model_weights`, with the loan given back before it and taken anew after it.

        The refiner and the hires checkpoint are loaded in the middle of sampling, some into the very same UNet, whose
        layers must then be at their own places.
        """

        def give_back_and_borrow(*args: Any, **kwargs: Any) -> Any:
            self.__exit__()
            result = reload(*args, **kwargs)
            self.__enter__()
            return result

        return give_back_and_borrow

    def around_callbacks(self, callbacks: DenoiserCallback) -> DenoiserCallback:
        """The host's denoiser callbacks, as they are called before each model call: those of other extensions see the
        conditions of each frame, and may change rows; what has become of the rows is looked at after them."""

        def call(params: script_callbacks.CFGDenoiserParams) -> None:
            parts = params.text_cond.shape[0] // self._borrower.frames  # not by x: InstructPix2Pix has two unconds
            self._travel(params, parts)
            before = Snapshot.of(params.x, params.text_cond)
            with neighbours.failures_told(self._long):
                callbacks(params)
            after = Snapshot.of(params.x, params.text_cond)
            places = neighbours.told(places_after, before, after, self._borrower.frames, parts)
            self._announce(params, parts, places)

        return call

    @property
    def _long(self) -> bool:
        """Whether the video is cut into windows."""
        return self._borrower.frames > self._borrower.options.context

    def _travel(self, params: script_callbacks.CFGDenoiserParams, parts: int) -> None:
        """Give every frame its own condition."""
        way, negative_way = self._borrower.places(getattr(params.denoiser.p, "is_hr_pass", False))
        cond, uncond = params.text_cond, params.text_uncond
        params.text_cond = past_mark(cond, lambda text: travelled(text, way, parts)) if way else cond
        params.text_uncond = past_mark(uncond, lambda text: travelled(text, negative_way)) if negative_way else uncond

    def _announce(self, params: script_callbacks.CFGDenoiserParams, parts: int, places: tuple[int, ...]) -> None:
        """Make the rows of the coming model call known."""
        cond, uncond = params.text_cond, params.text_uncond
        # Else the host pads: in another way, or in ours but with the empty prompt on its device.
        if not shared.opts.pad_cond_uncond_v0 and (self._long or not shared.opts.pad_cond_uncond):
            cond, uncond = pad_to_same_length(cond, uncond, shared.sd_model.cond_stage_model_empty_prompt)
        if self._long:
            cond, uncond = waiting(cond), waiting(uncond)
        params.text_cond, params.text_uncond = cond, uncond
        self._step = _step_of(params.denoiser)
        if self._sliding is not None:
            announced = Announced(self._borrower.frames, parts, params.x, cond, uncond, places)
            self._sliding.begin(params.denoiser.step, parts, announced.layout_of)

    def _mount(self, sd_model: Any, stack: ExitStack) -> None:
        b = self._borrower
        if self._long:
            unet = sd_model.model.diffusion_model
            self._counted = stack.enter_context(neighbours.counting_by_window(unet, b.frames))
        stack.enter_context(mounted(sd_model.model.diffusion_model, b.model, b.call))
        stack.enter_context(alpha_schedule(sd_model, chosen_schedule(b.model.spec.kind)))
        stack.enter_context(replaced_call(sd_model, "apply_model", self._slide))

    def _slide(self, apply_model: Callable[..., Tensor]) -> Callable[..., Tensor]:
        b = self._borrower
        sliding = SlidingModel(apply_model, b.call, b.frames, b.options, self._together, self._around)
        self._sliding = sliding

        def slide(x: Tensor, t: Tensor, cond: Any) -> Tensor:
            return neighbours.told(sliding, x, t, cond)

        return slide

    @contextmanager
    def _around(self, model_call: ModelCall) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(_watched(model_call, self._step))
            stack.enter_context(self._borrower.around(model_call))
            stack.enter_context(neighbours.failing_in_windows(model_call))
            stack.enter_context(self._counted(model_call))
            yield


def chosen_schedule(kind: MotionKind) -> str:
    """The noise schedule of the settings, else the one that the motion module was trained with."""
    chosen = settings_of().alpha_schedule
    return kind.schedule if chosen == AS_TRAINED else chosen


def _step_of(denoiser: Any) -> int:
    """The step that a denoiser call belongs to, from 1; the host's state counts the steps that are over, less one."""
    over = denoiser.step * denoiser.steps // denoiser.total_steps  # some samplers call twice in each step,
    return min(over + 1, denoiser.steps)  # and some in the first one alone


@contextmanager
def _watched(model_call: ModelCall, number: int) -> Iterator[None]:
    """Say which step and window is on, and stop between two windows as the host stops between two steps."""
    if shared.state.interrupted or shared.state.skipped:
        raise sd_samplers_common.InterruptedException
    window = f", window {model_call.number} of {model_call.calls}" if model_call.calls > 1 else ""
    shared.state.textinfo = f"AnimateDiff: step {number} of {shared.state.sampling_steps}{window}"
    yield


@contextmanager
def _on_device(model: MotionModel) -> Iterator[MotionModel]:
    try:
        yield model.to(devices.device)  # which --use-cpu decides, too
    finally:
        model.to("cpu")


@contextmanager
def _negatives_of_one_length() -> Iterator[None]:
    """The host stacks positive prompts of different lengths, but not the negative ones of a travel."""

    def padded_and_stacked(stacked: Callable[..., Any], schedules: Sequence[Sequence[Any]], step: int) -> Any:
        conds = [item.cond for schedule in schedules for item in schedule]
        padded = iter(all_of_one_length(conds, shared.sd_model.cond_stage_model_empty_prompt))
        return stacked([[item._replace(cond=next(padded)) for item in schedule] for schedule in schedules], step)

    with replaced_call(prompt_parser, "reconstruct_cond_batch", given_original(padded_and_stacked)):
        yield
