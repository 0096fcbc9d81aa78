"""Which fields change nothing as the others are, and why: told on the panel beforehand, and after a run."""

from __future__ import annotations

from motion_module.params import VideoParams
from motion_module.wording import either, mention

_OF_WINDOWS = ("stride", "overlap", "blend", "schedule", "windows_per_call", "freenoise_enable")


def idle_fields(params: VideoParams, frames: int | None) -> dict[str, str]:
    """The fields that change nothing in a video while the others stay as they are.

    Args:
        params: what is asked for.
        frames: of the video; None where nobody knows yet.

    Returns:
        Field name -> why, in a few words with mentions.
    """
    idle = _without_what_they_need(params)
    if params.effect == 0:
        idle["motion_scale"] = f"{mention('effect')} is 0"
    if params.reverse and 0 not in params.reverse:
        idle["reverse"] = f"it needs {either('0', params.table()['reverse'].labels[0])}"
    if params.same_noise:
        idle["freenoise_enable"] = "every frame starts from the same noise"
    if frames is not None and frames <= params.batch_size:
        why = f"{frames} frames fit into one window of {params.batch_size}"
        idle.update(dict.fromkeys(_OF_WINDOWS, why))
        if params.closed_loop == "N":  # A plays the video backwards, too, and R+P closes prompt travel
            idle["closed_loop"] = why
    elif params.schedule == "static":
        idle["stride"] = "static windows have none"
        if params.closed_loop != "R-P":
            travel = "" if params.closed_loop == "N" else ", it only closes prompt travel"
            idle["closed_loop"] = f"static windows never wrap{travel}"
    return idle


def without_effect(params: VideoParams, frames: int | None) -> dict[str, str]:
    """The idle fields that were changed from their defaults, so that somebody may wonder."""
    idle = idle_fields(params, frames)
    return {name: why for name, why in idle.items() if getattr(params, name) != params.default_of(name)}


def _without_what_they_need(params: VideoParams) -> dict[str, str]:
    table = params.table()
    unset = {name for name in table if getattr(params, name) == params.default_of(name)}
    waiting = {name: field.needs for name, field in table.items() if field.needs and unset.issuperset(field.needs)}
    return {name: f"it needs {' or '.join(map(mention, needs))}" for name, needs in waiting.items()}
