"""Who takes the frames of a request's video: ControlNet's units, img2img as the pictures it starts from, or nobody."""

from __future__ import annotations

from motion_module.errors import ParamError
from motion_module.params import VideoParams
from motion_module.webui.controlnet.control import Control
from motion_module.webui.plan.facts import Facts
from motion_module.webui.request.allowed_paths import shown_path
from motion_module.webui.request.sources import Source, without_controlnet
from motion_module.wording import mention


def started_from(params: VideoParams, facts: Facts, source: Source | None, control: Control) -> str:
    """The field whose frames img2img starts from, because no unit takes them or there is no picture; "" for none.

    Args:
        params, facts: what is asked for, and where.
        source: what the fields name.
        control: ControlNet's units.

    Raises:
        ParamError: there are frames that nobody takes.
    """
    if source is None or not source.has_frames:
        return ""
    on_img2img, several = facts.tab == "img2img", facts.pictures > 1 or facts.is_folder
    if on_img2img and (facts.lacks_picture or not (control.takes_source or several)):
        return source.name
    if not control.takes_source:
        raise _untaken(str(getattr(params, source.name)), source.name, several, control)
    return ""


def _untaken(value: str, name: str, several: bool, control: Control) -> ParamError:
    if several:
        why = "img2img has pictures of its own for the frames; use one of them"
    elif not control.is_there:
        return without_controlnet(name)
    else:
        has = "every enabled ControlNet unit has pictures of its own; take them out of one"
        none = "no ControlNet unit is enabled that could take its frames; enable one"
        why = f"{has if control.has_units else none}, use img2img, where frames start from it"
    return ParamError(f"{mention(name)} is {shown_path(value)!r:.200}, but {why}, or leave {mention(name)} empty")
