"""The sampling scope: every change around one `p.sample`, in order, and how it is taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from modules import prompt_parser, sd_models, sd_samplers_cfg_denoiser, sd_unet, shared
from motion_module.core.denoising.conditioning import all_of_one_length
from motion_module.core.denoising.sliding import AroundCall
from motion_module.core.module.arch import MotionKind
from motion_module.errors import UserError
from motion_module.patching import assign, put_right_options, replaced_call
from motion_module.settings import AS_TRAINED
from motion_module.stand_in import given_original
from motion_module.webui.host import host
from motion_module.webui.host_types import Processing, is_img2img
from motion_module.webui.progress import progress_of
from motion_module.webui.sampling.freeinit_passes import freeinit_passes
from motion_module.webui.sampling.init_pictures import Pictures
from motion_module.webui.sampling.loan import Borrower, Loan
from motion_module.webui.sampling.motion_lora import Networks
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
        noted: notes where the video was stopped, if it was.

    Raises:
        UserError: another UNet (TensorRT) stands in the place of the model's own.
    """
    _check_unet()
    put_right()
    b, kind, from_noise = borrower, borrower.model.spec.kind, not is_img2img(p)
    with (
        networks.sampling(),  # LoRA change the motion module's layers
        hints as around,  # each model call sees what ControlNet holds for its frames
        host.in_memory(b.model),
        Loan(borrower, around) as loan,
        loan.of_each_checkpoint(loan.counting),  # what others hold for each row is cut with the rows
        loan.of_each_checkpoint(lambda sd_model: host.motion_layers(sd_model, b.model, b.call)),
        loan.of_each_checkpoint(lambda sd_model: host.noise_schedule(sd_model, chosen_schedule(kind))),
        loan.of_each_checkpoint(lambda sd_model: host.model_calls(sd_model, loan.sliding)),
        replaced_call(sd_models, "reload_model_weights", loan.around_reload),  # the refiner, the hires checkpoint
        host.whole_calls(b.together),
        _negatives_of_one_length(b),
        replaced_call(sd_samplers_cfg_denoiser, "cfg_denoiser_callback", loan.around_callbacks),  # prompt travel
        _without_text_afterwards(),
        pictures.fading(),
        freeinit_passes(p, b.params),
        progress_of(p).sampling(p.iteration, from_noise=from_noise),
        noted,
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


def _check_unet() -> None:
    if sd_unet.current_unet is not None:  # it would be called past the layers, and make unrelated pictures
        label = getattr(sd_unet.current_unet_option, "label", "another one")
        raise UserError(
            f"AnimateDiff needs the checkpoint's own UNet, but {label} stands in for it; "
            f'set "SD Unet" to None in the settings'
        )


def _negatives_of_one_length(borrower: Borrower) -> AbstractContextManager[Any]:
    """The host stacks positive prompts of different lengths, but not the negative ones of a travel."""
    if not any(borrower.mixes(hires)[1] for hires in (False, True)):
        return nullcontext()

    def padded_and_stacked(stacked: Callable[..., Any], schedules: Sequence[Sequence[Any]], step: int) -> Any:
        conds = [item.cond for schedule in schedules for item in schedule]
        padded = iter(all_of_one_length(conds, shared.sd_model.cond_stage_model_empty_prompt))
        return stacked([[item._replace(cond=next(padded)) for item in schedule] for schedule in schedules], step)

    return replaced_call(prompt_parser, "reconstruct_cond_batch", given_original(padded_and_stacked))


@contextmanager
def _without_text_afterwards() -> Iterator[None]:
    """No step is on while the host decodes."""
    try:
        yield
    finally:
        assign(shared.state, textinfo=None)
