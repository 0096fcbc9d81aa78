"""What the methods of a `p` do while a session lives on it: each gets the session and the method that it replaces."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from modules import shared
from motion_module.core.module.devices import refusals_of_run
from motion_module.memory import is_out_of_memory
from motion_module.patching import replaced
from motion_module.webui.answers import add_message, answering, worded_for
from motion_module.webui.host import host
from motion_module.webui.host_types import Processing
from motion_module.webui.output import interrupted, kept_latents
from motion_module.webui.plan import prompts
from motion_module.webui.plan.amount import amount_of, jobs_of
from motion_module.webui.plan.job_lists import for_videos
from motion_module.webui.plan.plan import LoadedPlan
from motion_module.webui.progress import progress_of
from motion_module.webui.run import finished_videos, resuming, too_little_memory
from motion_module.webui.run.borrowed_p import BorrowedP
from motion_module.webui.run.hook_errors import NAME
from motion_module.webui.run.work import Run, Work
from motion_module.webui.sampling import decoding
from motion_module.webui.sampling.loan import Borrower
from motion_module.webui.sampling.prompt_travel import give_styles
from motion_module.webui.sampling.replay import noting
from motion_module.webui.sampling.scope import around_sample, chosen_schedule

_log = logging.getLogger(__name__)
Original = Callable[..., Any]


def of_session(run: Run, method: Callable[..., Any]) -> Callable[..., Any]:
    """One of these as a replacement for the method of `p`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with too_little_memory.told(run, method.__name__):
            return method(run, *args, **kwargs)

    return call


def replace_first(run: Run) -> None:
    """Those that are replaced as soon as a session begins; `sample` and the networks' have places of their own."""
    for name, method in (("close", close), ("setup_prompts", setup_prompts), ("init", init)):
        run.borrowed.wrap(name, of_session(run, method))


def close(run: Run, original: Original) -> Any:
    """However a run has ended, the host closes its `p`: also while what it has failed with is on its way."""
    error = sys.exc_info()[1]
    failure = too_little_memory.passed(run, error)
    if failure is None and isinstance(error, Exception):
        finished_videos.say_what_is_kept(run.borrowed.p, run, error)
    run.give_up()
    result = original()
    if failure is not None:
        raise failure
    return result


@contextmanager
def while_decoding(borrowed: BorrowedP) -> Iterator[None]:
    """The host decodes the frames of a video of the run that lives on `borrowed`, outside of any method of its `p`."""
    with answering(borrowed.p), too_little_memory.told(borrowed.own_value(NAME), decoding.DECODE):
        yield


def setup_prompts(run: Run, original: Original) -> None:
    """The host makes the lists of all prompts, with styles; scripts after ours may have changed the prompt."""
    p, request = run.borrowed.p, run.request
    closed = request.params.closed_loop.closes_travel
    for message in prompts.check(prompts.texts_of(p), prompts.texts_as_read(p), request.frames, closed):
        _log.warning("%s", worded_for(p, message))
        add_message(p, message)
    if not (p.styles and prompts.travels(p)):
        original()
        return
    with replaced(p, "styles", []):  # the host would merge them with the prompt as if it were one text
        original()
    give_styles(p)


def init(run: Run, original: Original, *args: Any, **kwargs: Any) -> Any:
    """What other scripts did in `process` is there; img2img makes its sampler, with the noise schedule of that moment,
    already here."""
    p, plan = run.borrowed.p, run.plan
    if not isinstance(plan, LoadedPlan):
        return original(*args, **kwargs)
    run.borrowed.set_all(for_videos(p, plan.request.frames, run.work.runs))
    progress_of(p).expect(amount_of(plan.request, p.n_iter))
    progress_of(p).expect_jobs(*jobs_of(plan.request, p.n_iter))
    run.work.prompts.check_all(p)
    # ControlNet has taken its units in `process`; whoever runs with the same arguments meanwhile gets the person's own.
    run.borrowed.set("script_args_value", run.work.script_args)
    with host.noise_schedule(shared.sd_model, chosen_schedule(plan.module.spec.kind)):
        return run.work.pictures.init(original, p.all_prompts, p.all_seeds, p.all_subseeds, *args[3:], **kwargs)


def parse_networks(run: Run, original: Original, *args: Any, **kwargs: Any) -> Any:
    """The host takes the networks out of a batch's prompts, and will load them next."""
    travels = [run.work.prompts.lora_of(run.borrowed.p, hires) for hires in (False, True)]
    result = original(*args, **kwargs)
    run.work.networks.expect(*travels)
    return result


def sample(run: Run, original: Original, *args: Any, **kwargs: Any) -> Any:
    """The host makes the latents of one video."""
    samples = run.samples
    if not isinstance(run.plan, LoadedPlan) or samples.running:  # the latter: below what another has put between
        return original(*args, **kwargs)
    samples.called = True
    try:
        resuming.begin_video(run.borrowed.p, run.work)
        refused = run.work.refused
        with replaced(samples, "running", True), refusals_of_run(refused), _arguments(run), _changes(run, run.plan):
            result = original(*args, **kwargs)
        resuming.say_how(run.borrowed.p, run.work)
        kept_latents.note(run.work.latents, run.borrowed.p.iteration, result)
        return result
    except BaseException as error:  # also what ends the program: XYZ plot never closes its copies of p
        if isinstance(error, Exception) and not is_out_of_memory(error):
            finished_videos.say_what_is_kept(run.borrowed.p, run, error)
        run.give_up()
        raise


def _arguments(run: Run) -> AbstractContextManager[Any]:
    """Those of scripts that are read while the host samples."""
    arguments = run.work.control.read_again
    return nullcontext() if arguments is None else replaced(run.borrowed.p, "script_args_value", arguments)


def _changes(run: Run, plan: LoadedPlan) -> AbstractContextManager[None]:
    p, work, request = run.borrowed.p, run.work, plan.request
    prompts, together = work.prompts.of_call, work.together
    least = request.facts.least_memory
    borrower = Borrower.of(request.params, plan.model, request.frames, prompts, plan.windows, together, least)
    return around_sample(
        p, borrower, work.networks, work.pictures, work.control.handing_out(request.frames), _noted(p, work)
    )


@contextmanager
def _noted(p: Processing, work: Work) -> Iterator[None]:
    """What goes on in one `p.sample`, for the page to show and for the infotext."""
    with work.preview.sampling(), interrupted.noted(p, work.unfinished), noting(p, work.record):
        yield
