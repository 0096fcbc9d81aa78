"""What the methods of a `p` do while a session lives on it: each gets the session and the method that it replaces."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from modules import shared
from motion_module.patching import replaced
from motion_module.webui.answers import add_message, worded_for
from motion_module.webui.host import host
from motion_module.webui.output import interrupted
from motion_module.webui.plan import prompts
from motion_module.webui.plan.amount import amount_of
from motion_module.webui.plan.job_lists import for_videos
from motion_module.webui.plan.plan import Plan
from motion_module.webui.progress import progress_of
from motion_module.webui.sampling.loan import Borrower
from motion_module.webui.sampling.prompt_travel import give_styles
from motion_module.webui.sampling.scope import around_sample, chosen_schedule

if TYPE_CHECKING:
    from motion_module.webui.run.session import Session

_log = logging.getLogger(__name__)
Original = Callable[..., Any]


def of_session(session: Session, method: Callable[..., Any]) -> Callable[..., Any]:
    """One of these as a replacement for the method of `p`."""
    return functools.partial(method, session)


def replace_first(session: Session) -> None:
    """Those that are replaced as soon as a session begins; `sample` and the networks' have places of their own."""
    for name, method in (("close", close), ("setup_prompts", setup_prompts), ("init", init)):
        session.borrowed.wrap(name, of_session(session, method))


def close(session: Session, original: Original) -> Any:
    """However a run has ended, the host closes its `p`."""
    session.give_up()
    return original()


def setup_prompts(session: Session, original: Original) -> None:
    """The host makes the lists of all prompts, with styles; scripts after ours may have changed the prompt."""
    p, request = session.borrowed.p, session.request
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


def init(session: Session, original: Original, *args: Any, **kwargs: Any) -> Any:
    """What other scripts did in `process` is there; img2img makes its sampler, with the noise schedule of that moment,
    already here."""
    p, plan = session.borrowed.p, session.plan
    if not isinstance(plan, Plan):
        return original(*args, **kwargs)
    session.borrowed.set_all(for_videos(p, plan.request.frames, session.work.runs))
    progress_of(p).expect(amount_of(p, plan.request))
    session.work.prompts.check_all(p)
    # ControlNet has taken its units in `process`; whoever runs with the same arguments meanwhile gets the person's own.
    session.borrowed.set("script_args_value", session.work.script_args)
    with host.noise_schedule(shared.sd_model, chosen_schedule(plan.module.spec.kind)):
        return session.work.pictures.init(original, p.all_prompts, p.all_seeds, p.all_subseeds, *args[3:], **kwargs)


def parse_networks(session: Session, original: Original, *args: Any, **kwargs: Any) -> Any:
    """The host takes the networks out of a batch's prompts, and will load them next."""
    result = original(*args, **kwargs)
    session.work.networks.expect()
    return result


def sample(session: Session, original: Original, *args: Any, **kwargs: Any) -> Any:
    """The host makes the latents of one video."""
    samples = session.samples
    if not isinstance(session.plan, Plan) or samples.running:  # the latter: below what another has put between
        return original(*args, **kwargs)
    samples.called = True
    try:
        with replaced(samples, "running", True), _changes(session, session.plan):
            return original(*args, **kwargs)
    except BaseException:  # also what ends the program: XYZ plot never closes its copies of p
        session.give_up()
        raise


def _changes(session: Session, plan: Plan) -> AbstractContextManager[None]:
    p, work, request = session.borrowed.p, session.work, plan.request
    borrower = Borrower.of(request.params, plan.model, request.frames, work.prompts.of_call, work.together)
    hints, noted = work.control.handing_out(request.frames), interrupted.noted(p, work.unfinished)
    return around_sample(p, borrower, work.networks, work.pictures, hints, noted)
