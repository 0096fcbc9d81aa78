"""One loan of the model that the host samples with: who has it, and what happens in each denoiser call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from modules import sd_samplers_common, shared
from motion_module.core.denoising.conditioning import past_mark
from motion_module.core.denoising.model_calls import AroundCall, Executor, ModelCall, chosen_executor, nothing_around
from motion_module.core.denoising.remembering import Memory
from motion_module.core.denoising.row_order import Snapshot
from motion_module.core.denoising.slerp import travelled
from motion_module.core.denoising.sliding import SlidingModel, Wanted
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.model import MotionModel
from motion_module.params import VideoParams
from motion_module.patching import assign
from motion_module.travel import KeyMix
from motion_module.webui.amounts import Amount
from motion_module.webui.host import host
from motion_module.webui.host_counters import show
from motion_module.webui.host_types import Callback, Checkpoint, DenoiserCall, is_stopped
from motion_module.webui.progress import Progress, progress_of
from motion_module.webui.sampling import neighbours
from motion_module.webui.sampling.denoiser_steps import calls_of, step_of
from motion_module.webui.sampling.kept_rows import KeptRows
from motion_module.windows import WindowPlan

Mixes = Sequence[KeyMix] | None
MixesOfPass = Callable[[bool], tuple[Mixes, Mixes]]
Lend = Callable[[Any], AbstractContextManager[Any]]
"""Changes a checkpoint's model for the length of a block."""


@dataclass(frozen=True)
class Borrower:
    """Who borrows the host's model, and for what.

    Attributes:
        params: what is asked for.
        model: the motion module, on the CPU; it goes back there.
        frames: number of frames of the video.
        call: shared with the layers; holds motion scale and effect.
        mixes: for the hires pass (true) or the first one (false) the way of the prompt and the negative prompt.
        options: how the context windows are laid and blended.
        together: whether the person lets branches share calls, which a request may override; None: as it is.
        least_memory: whether everything is to take as little memory as it can.
        wanted: the frames that somebody looks at, which may change from step to step.
    """

    params: VideoParams
    model: MotionModel
    frames: int
    call: CallFrames
    mixes: MixesOfPass
    options: WindowPlan
    together: bool | None = None
    least_memory: bool = False
    wanted: Wanted = field(default_factory=Wanted)

    @classmethod
    def of(
        cls,
        params: VideoParams,
        model: MotionModel,
        frames: int,
        mixes: MixesOfPass,
        options: WindowPlan,
        together: bool | None,
        least_memory: bool = False,
    ) -> Borrower:
        """The borrower that a request makes; the arguments as the attributes."""
        call = CallFrames(
            motion_scale=params.motion_scale,
            effect=params.effect,
            motion_scales=params.values_of("motion_scale_travel", frames),
            effects=params.values_of("effect_travel", frames),
            levels=params.effect_levels(len(model.spec.widths)),
        )
        return cls(params, model, frames, call, mixes, options, together, least_memory)


class Loan:
    """The loan of the model for one `p.sample`; it follows the host when that changes its checkpoint.

    Args:
        borrower: whose loan it is.
        around: entered around each call of the model; hands out what belongs to its frames.
    """

    def __init__(self, borrower: Borrower, around: AroundCall = nothing_around) -> None:
        self._borrower = borrower
        self._given_out = around
        self._together = host.branches_share_calls() and not borrower.least_memory
        self._changes: list[_ModelChange] = []
        self._sliding: SlidingModel | None = None
        self._step = 1
        self._progress = Progress(Amount())
        self._counted: AroundCall = nothing_around
        self._kept: KeptRows | None = None

    def __enter__(self) -> Loan:
        return self

    def __exit__(self, *error: object) -> None:
        self._sliding = None

    @contextmanager
    def of_each_checkpoint(self, lend: Lend) -> Iterator[None]:
        """A change of the model that the host samples with; taken back and made anew where it loads another one."""
        change = _ModelChange(lend)
        self._changes.append(change)
        try:
            change.begin()
            yield
        finally:
            change.end()

    def around_reload(self, reload: Callable[..., Any]) -> Callable[..., Any]:
        """The host's `reload_model_weights`, with the loan given back before it and taken anew after it.

        The refiner and the hires checkpoint are loaded in the middle of sampling, some into the very same UNet, whose
        layers must then be in their own slots.
        """

        def give_back_and_borrow(*args: Any, **kwargs: Any) -> Any:
            for change in reversed(self._changes):
                change.end()
            result = reload(*args, **kwargs)
            for change in self._changes:
                change.begin()
            return result

        return give_back_and_borrow

    def around_callbacks(self, callbacks: Callback) -> Callback:
        """The host's denoiser callbacks, as they are called before each model call: those of other extensions see the
        conditions of each frame, and may change rows; what has become of the rows is looked at after them."""

        def call(params: DenoiserCall) -> None:
            parts = params.text_cond.shape[0] // self._borrower.frames  # not by x: InstructPix2Pix has two unconds
            self._travel(params, parts)
            before = Snapshot.of(params.x, params.text_cond)
            with neighbours.failures_raised(self._long):
                callbacks(params)
            after = Snapshot.of(params.x, params.text_cond)
            moved_rows = neighbours.with_neighbour_named(host.moved_rows, before, after, self._borrower.frames, parts)
            self._announce(params, parts, moved_rows)

        return call

    def around_later_callbacks(self, callbacks: Callback) -> Callback:
        """The host's callbacks after each model call; what others have kept of its parts is one whole by then."""

        def call(params: Any) -> None:
            with neighbours.failures_raised(self._long):
                callbacks(params)

        return call

    def sliding(self, call_model: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """The host's call of the model, cut into windows and branches."""
        b = self._borrower
        sliding = SlidingModel(
            call_model, b.call, b.frames, b.options, self._together, self._around, b.wanted, _memory(b.params),
            self._executor(),
        )  # fmt: skip
        self._sliding = sliding

        def slide(x: Tensor, t: Tensor, cond: Any) -> Tensor:
            out = neighbours.with_neighbour_named(sliding, x, t, cond)
            if self._kept is not None:
                self._kept.put_together()
            return out

        return slide

    def _executor(self) -> Executor:
        """ControlNet's hints and what it does with them stay in this process."""
        chosen = chosen_executor()
        return chosen if self._given_out is nothing_around else chosen.kept_here("ControlNet takes part in it")

    @contextmanager
    def counting(self, sd_model: Checkpoint) -> Iterator[None]:
        """Where the video is cut into windows, others in the UNet count the rows of a window, but keep those of all."""
        if not self._long:
            yield
            return
        unet = host.unet(sd_model)
        self._kept = KeptRows(unet)
        self._borrower.wanted.in_any_case(self._kept.any)
        with neighbours.counting_by_window(unet, self._borrower.frames) as self._counted:
            yield

    @property
    def _long(self) -> bool:
        """Whether the video is cut into windows."""
        return self._borrower.frames > self._borrower.options.context

    def _acts(self, params: DenoiserCall) -> bool:
        """Whether the motion module acts in this call, by the same two numbers that ControlNet goes by."""
        return self._borrower.params.motion_steps.holds(params.sampling_step, params.total_sampling_steps)

    def _travel(self, params: DenoiserCall, parts: int) -> None:
        """Give every frame its own condition."""
        way, negative_way = self._borrower.mixes(getattr(params.denoiser.p, "is_hr_pass", False))
        cond, uncond = params.text_cond, params.text_uncond
        if way:
            assign(params, text_cond=past_mark(cond, lambda text: travelled(text, way, parts)))
        if negative_way and uncond is not None:
            assign(params, text_uncond=past_mark(uncond, lambda text: travelled(text, negative_way)))

    def _announce(self, params: DenoiserCall, parts: int, moved_rows: tuple[int, ...]) -> None:
        """Make the rows of the coming model call known."""
        cond, uncond = host.texts_for_call(params.text_cond, params.text_uncond, self._long)
        assign(params, text_cond=cond, text_uncond=uncond)
        self._borrower.call.rest(not self._acts(params))
        self._step = step_of(params.denoiser)
        self._progress = progress_of(params.denoiser.p)
        self._progress.step(params.denoiser.step, calls_of(params.denoiser))
        if self._sliding is not None:
            layout_of = host.row_layout(self._borrower.frames, parts, params, moved_rows)
            self._sliding.begin(params.denoiser.step, parts, layout_of)

    @contextmanager
    def _around(self, model_call: ModelCall) -> Iterator[None]:
        with (
            _watched(model_call, self._step, self._progress),
            self._given_out(model_call),
            host.telling_rows(model_call.rows, model_call.layout.rows),
            neighbours.failing_in_windows(model_call),
            self._counted(model_call),
            self._kept.during(model_call) if self._kept is not None else nullcontext(),
        ):
            yield


class _ModelChange:
    """One change of the model of the moment, which may be taken back and made again."""

    def __init__(self, lend: Lend) -> None:
        self._lend = lend
        self._stack = ExitStack()

    def begin(self) -> None:
        self._stack.enter_context(self._lend(shared.sd_model))

    def end(self) -> None:
        self._stack.close()


def _memory(params: VideoParams) -> Memory | None:
    """What later windows remember of the first one; None for nothing."""
    return Memory(params.remember, lambda: host.prediction(shared.sd_model)) if params.remember else None


@contextmanager
def _watched(model_call: ModelCall, number: int, progress: Progress) -> Iterator[None]:
    """Say which step and window is on, and stop between two windows as the host stops between two steps."""
    if is_stopped(shared.state):
        raise sd_samplers_common.InterruptedException
    window = f", window {model_call.number} of {model_call.calls}" if model_call.calls > 1 else ""
    show(f"step {number} of {shared.state.sampling_steps}{window}")
    yield
    progress.window(model_call.number, model_call.calls)
