"""Which fields change nothing as the others are, and why: shown on the panel beforehand, and after a run."""

from __future__ import annotations

from motion_module.params import SAME_NOISE, VideoParams
from motion_module.wording import either, mention

_OF_FADING = ("latent_power", "latent_scale", "last_frame", "latent_power_last", "latent_scale_last", "hold_pictures")
_OF_WINDOWS = ("stride", "overlap", "blend", "schedule", "windows_per_call", "freenoise_enable", "remember", "elastic")
_FEWEST_POSITIONS = 24  # that a motion module has learnt; of more frames nobody here knows
_OF_MOTION = ("motion_scale", "motion_scale_travel", "pe_stretch", "effect_blocks")


def idle_fields(params: VideoParams, frames: int | None, each_has_picture: bool = False) -> dict[str, str]:
    """The fields that change nothing in a video while the others stay as they are.

    Args:
        params: what is asked for.
        frames: of the video; None where nobody knows yet.
        each_has_picture: img2img starts each frame from a picture of its own.

    Returns:
        Field name -> why, in a few words with mentions.
    """
    idle = _without_what_they_need(params)
    if each_has_picture:
        idle.update(dict.fromkeys(_OF_FADING, "each frame has a picture of its own"))
    if params.effect == 0 and not params.effect_travel:
        idle.update(dict.fromkeys(_OF_MOTION, f"{mention('effect')} is 0"))
    for number, travel in (("motion_scale", "motion_scale_travel"), ("effect", "effect_travel")):
        if getattr(params, travel):
            idle.setdefault(number, f"{mention(travel)} says it for each frame")
    if frames is not None and min(frames, params.batch_size) <= min(params.pe_stretch, _FEWEST_POSITIONS):
        least = min(frames, params.batch_size)
        idle["pe_stretch"] = f"the motion module sees {least} frames at once, which are not more"
    if params.reverse and 0 not in params.reverse:
        idle["reverse"] = f"it needs {either('0', params.table()['reverse'].labels[0])}"
    if params.noise == SAME_NOISE:
        idle["freenoise_enable"] = "every frame starts from the same noise"
    idle.update(_of_windows(params, frames))
    if "elastic" not in idle and (why := _why_not_elastic(params)):
        idle["elastic"] = why
    return idle


def _of_windows(params: VideoParams, frames: int | None) -> dict[str, str]:
    """Those that are about windows, by how many there are and whether they move."""
    idle: dict[str, str] = {}
    if frames is not None and frames <= params.batch_size:
        why = f"{frames} frames fit into one window of {params.batch_size}"
        idle = dict.fromkeys(_OF_WINDOWS, why)
        if params.continue_from:  # so many of the new frames are fitted to the old ones
            del idle["overlap"]
        if params.closed_loop.stays_inside:  # A plays the video backwards, too, and R+P closes prompt travel
            idle["closed_loop"] = why
    elif params.schedule == "static":
        idle["stride"] = "static windows have none"
        if not params.closed_loop.is_left_open:
            travel = ", it only closes prompt travel" if params.closed_loop.closes_travel else ""
            idle["closed_loop"] = f"static windows never wrap{travel}"
    return idle


def without_effect(params: VideoParams, frames: int | None, each_has_picture: bool = False) -> dict[str, str]:
    """The idle fields that were changed from their defaults, so that somebody may wonder; but no `off_beside`."""
    idle, table = idle_fields(params, frames, each_has_picture), params.table()
    wondered = (name for name in idle if not table[name].off_beside)
    return {name: idle[name] for name in wondered if getattr(params, name) != params.default_of(name)}


def _why_not_elastic(params: VideoParams) -> str:
    """Why windows keep their length whatever the switch says; "" where they may have another one."""
    if params.blend == "overwrite":
        return f"{mention('blend')} is overwrite"
    if params.windows.resolved_schedule != "static":
        return "the windows of this video move from step to step"
    if params.pe_stretch:
        return f"{mention('pe_stretch')} goes with the windows that are asked for"
    too_much = params.overlap > params.batch_size // 2
    return f"{mention('overlap')} is more than half of {mention('batch_size')}" if too_much else ""


def _without_what_they_need(params: VideoParams) -> dict[str, str]:
    table = params.table()
    unset = {name for name in table if getattr(params, name) == params.default_of(name)}
    waiting = {name: field.needs for name, field in table.items() if field.needs and unset.issuperset(field.needs)}
    return {name: f"it needs {' or '.join(map(mention, needs))}" for name, needs in waiting.items()}
