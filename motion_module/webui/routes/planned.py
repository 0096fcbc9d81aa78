"""What a request would make, as JSON: the plan of its run, without the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from motion_module.errors import ParamError
from motion_module.patching import assign
from motion_module.webui.answers import message_for
from motion_module.webui.host_types import Processing, init_images
from motion_module.webui.plan.plan import Plan
from motion_module.webui.request.checkpoints import base_of_run, later_bases
from motion_module.webui.request.read import params_of
from motion_module.webui.request.same_run import check_same
from motion_module.webui.request.sources import described
from motion_module.webui.routes.numbers import check_numbers
from motion_module.webui.run.beginning import possible
from motion_module.webui.run.module_settings import module_settings
from motion_module.wording import mention, number_text

_MOST_SEEDS = 1000


def planned(p: Processing, script: str | None = None) -> dict[str, Any]:
    """The plan of a run that does not begin. Files are looked at by their headers, and nothing is loaded or changed.

    Args:
        p: what the host would run; no script has been called with it.
        script: the one that the request chooses, by its name; it is not asked what it would do.

    Returns:
        `Plan.asked`, and the messages that the run would begin with.

    Raises:
        ParamError, CheckpointError: the run is impossible, in its own words; or there would be no video, or a number
            is none that the host could work with.
    """
    params = params_of(p)
    if not params.enable:
        raise ParamError(f"{mention('enable')} is false, so that there is no video to plan; set it to true")
    check_numbers(p)
    wanted = module_settings(p, params)
    assign(p, **wanted.of_host)
    request, control = possible(p, wanted.params, described)
    if request.frames:
        control.check_frames(request.frames)
    request, base = request.at_rate_of_source(), base_of_run(p.override_settings)
    plan = Plan.foreseen(request, base, _seeds(p, request.frames), init_images(p)[: request.frames or None])
    _check_resumed(plan)
    later = [base.unread for base in later_bases(p) if base.unread]
    said = [*filter(None, [wanted.message]), *request.messages, *plan.messages, *later, *_left_out(plan, script)]
    return {**plan.asked, "messages": [message_for(p, message) for message in said]}


def _check_resumed(plan: Plan) -> None:
    """See that a run that broke off is the one that is asked for, as far as that is known before anything is read.

    Raises:
        ParamError: names what differs.
    """
    found, asked = plan.request.facts.resumes, plan.asked
    if found is None:
        return
    unknown = {"pictures"}  # the run compares those that it has prepared
    if len(plan.seeds) != plan.request.facts.batch_count:  # they are still to be drawn, or not all listed
        unknown.add("seeds")
    if not plan.checkpoint:
        unknown.add("checkpoint")
    if not plan.request.frames:  # only reading tells
        unknown.add("frames")
        asked["fields"]["video_length"] = found.asked["fields"].get("video_length")
    check_same(found, {name: value for name, value in asked.items() if name not in unknown})


def _seeds(p: Processing, frames: int) -> list[int]:
    """Of the first frame of each video; none where they are drawn only when the run begins."""
    seed = getattr(p, "seed", None)
    if not isinstance(seed, int) or seed < 0 or not frames:
        return []
    apart = 0 if p.subseed_strength else frames
    return [seed + video * apart for video in range(min(p.n_iter, _MOST_SEEDS))]


def _left_out(plan: Plan, script: str | None) -> Iterator[str]:
    """What the plan does not say, as sentences."""
    if script:
        yield f"this is one run without the script {script!r:.120}, which may change it or make several runs"
    videos = plan.request.facts.batch_count
    if plan.seeds and videos > len(plan.seeds):
        yield f"seeds are those of the first {number_text(len(plan.seeds))} of {number_text(videos)} videos"
