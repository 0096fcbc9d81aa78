"""The sampling scope: every change around one `p.sample`, in order, and how it is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from modules import shared
from motion_module.core.denoising.model_calls import AroundCall
from motion_module.core.denoising.sliding import Wanted
from motion_module.core.module.arch import MotionKind
from motion_module.core.module.attention import stretching
from motion_module.core.module.attention_ways import attending_by
from motion_module.core.module.pieces import small_pieces
from motion_module.patching import put_right_options
from motion_module.settings import AS_HOST, AS_TRAINED
from motion_module.webui.host import host
from motion_module.webui.host_counters import show_nothing
from motion_module.webui.host_types import Checkpoint, Processing, is_img2img
from motion_module.webui.progress import progress_of
from motion_module.webui.sampling.frame_guidance import guiding
from motion_module.webui.sampling.freeinit_passes import freeinit_passes
from motion_module.webui.sampling.frozen_frames import freezing
from motion_module.webui.sampling.init_pictures import Pictures
from motion_module.webui.sampling.loan import Borrower, Loan
from motion_module.webui.sampling.motion_lora import Networks
from motion_module.webui.sampling.noise_order import keeping_order, order_of
from motion_module.webui.settings import settings_of

Hints = AbstractContextManager[AroundCall]
Noted = AbstractContextManager[None]


@contextmanager
def around_sample(
    p: Processing, borrower: Borrower, networks: Networks, pictures: Pictures, hints: Hints, noted: Noted
) -> Iterator[None]:
    """Lend the host's model to the motion module for the length of one `p.sample`: all passes of one video.

    Whatever ends the block - the last step, an interrupt, an error - everything is undone in reverse order.

    Args:
        p, borrower: the run, and what for it borrows the model.
        networks, pictures: its LoRA, and what its frames start from.
        hints: ControlNet's part, which yields what goes around each call of the model.
        noted: shows the frames so far, and notes where the video was stopped, if it was.

    Raises:
        UserError: another UNet (TensorRT) stands in the place of the model's own.
    """
    host.check_unet()
    put_right()
    b, kind, from_noise = borrower, borrower.model.spec.kind, not is_img2img(p)
    with (
        networks.sampling(b.call),  # LoRA change the motion module's layers
        hints as around,  # each model call sees what ControlNet holds for its frames
        _in_memory(b),
        Loan(borrower, around) as loan,
        loan.of_each_checkpoint(loan.counting),  # what others hold for each row is cut with the rows
        loan.of_each_checkpoint(lambda sd_model: _layers(sd_model, b)),
        loan.of_each_checkpoint(lambda sd_model: host.noise_schedule(sd_model, chosen_schedule(kind))),
        loan.of_each_checkpoint(lambda sd_model: host.model_calls(sd_model, loan.sliding)),
        host.checkpoint_changes(loan.around_reload),  # the refiner, the hires checkpoint
        host.whole_calls(b.together),
        _negatives_of_one_length(b),
        host.denoiser_callbacks(loan.around_callbacks, loan.around_later_callbacks),  # prompt travel
        _without_text_afterwards(),
        _given(p, pictures, b.wanted),
        _passes(p, b),
        progress_of(p).sampling(p.iteration, from_noise=from_noise),
        noted,
    ):
        yield


@contextmanager
def _layers(sd_model: Checkpoint, b: Borrower) -> Iterator[None]:
    """The motion layers in the UNet, which never sees more rows than those of a window; its own layers see a few at a
    time where memory is to be saved."""
    over_frames = b.model.spec.kind.groupnorm_over_frames
    with (
        host.rows_at_once(sd_model, b.frames, b.options.context * b.options.windows_per_call),
        host.motion_layers(sd_model, b.model, b.call),
        host.rows_in_turn(sd_model, over_frames) if b.least_memory else nullcontext(),
    ):
        yield


@contextmanager
def _in_memory(b: Borrower) -> Iterator[None]:
    """The motion module on the host's device, with its positions spread over more frames where that is asked for, and
    with attention as the person has chosen it for videos, or for all pictures."""
    chosen = settings_of().attention
    with (
        host.in_memory(b.model, b.least_memory),
        small_pieces() if b.least_memory else nullcontext(),
        stretching(b.model.layers(), b.params.pe_stretch),
        attending_by(host.attention() if chosen == AS_HOST else chosen),
    ):
        yield


@contextmanager
def _given(p: Processing, pictures: Pictures, wanted: Wanted) -> Iterator[None]:
    """Frames start from their pictures, and some of them stay what they are given."""
    with pictures.starting(), freezing(p, pictures.frozen if pictures.freeze else None, wanted):
        yield


@contextmanager
def _passes(p: Processing, b: Borrower) -> Iterator[None]:
    """Each pass has a CFG scale for each frame, where that travels, adds noise in FreeNoise's order, and is repeated by
    FreeInit."""
    with (
        guiding(p, b.params.values_of("cfg_travel", b.frames)),
        keeping_order(p, order_of(p, b.params)),
        freeinit_passes(p, b.params),
    ):
        yield


def put_right() -> None:
    """Take back what somebody has kept of a former run, and put back when that was over: options, noise schedule."""
    put_right_options(shared.opts.data)
    host.put_schedule_right()


def chosen_schedule(kind: MotionKind) -> str:
    """The noise schedule of the settings, else the one that the motion module was trained with."""
    chosen = settings_of().alpha_schedule
    return kind.schedule if chosen == AS_TRAINED else chosen


def _negatives_of_one_length(borrower: Borrower) -> AbstractContextManager[Any]:
    """Where a negative prompt travels, its texts may have different lengths."""
    travels = any(borrower.mixes(hires)[1] for hires in (False, True))
    return host.negatives_of_one_length() if travels else nullcontext()


@contextmanager
def _without_text_afterwards() -> Iterator[None]:
    """No step is on while the host decodes."""
    try:
        yield
    finally:
        show_nothing()
