"""Which run that broke off a request goes on with."""

from __future__ import annotations

from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.webui.plan.facts import Facts
from motion_module.webui.request import unfinished
from motion_module.webui.request.unfinished import NAME, Unfinished
from motion_module.wording import mention


def run_to_resume(params: VideoParams, facts: Facts) -> Unfinished | None:
    """The run that broke off and that a request names; None for none.

    Raises:
        ParamError: there is none of that name, or this request cannot be played back.
    """
    found = unfinished.named(params)
    if found is not None and several_passes(params, facts):
        raise ParamError(
            f"{mention(NAME)} needs a single sampling pass; switch {several_passes(params, facts)} off, "
            f"or leave {mention(NAME)} empty"
        )
    return found


def several_passes(params: VideoParams, facts: Facts) -> str:
    """What makes several sampling passes of a run; "" for a single one."""
    if len(facts.steps) > 1:
        return "hires fix"
    return mention("freeinit_enable") if params.freeinit_enable else ""
