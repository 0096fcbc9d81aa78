"""Videos that a person has stopped: where, whether they stay, and how that is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from modules import shared
from motion_module.patching import assign_items, drop_items
from motion_module.webui.host_types import Processing, State, is_stopped

LABEL = "AnimateDiff unfinished"  # in the infotext


@contextmanager
def noted(p: Processing, unfinished: dict[int, str]) -> Iterator[None]:
    """One `p.sample`: whether it was stopped goes into the infotext, and into `unfinished` by the video's number."""
    drop_items(p.extra_generation_params, [LABEL])  # the video before was skipped
    yield
    if is_stopped(shared.state):
        state: State = shared.state
        where = f"interrupted in step {min(state.sampling_step + 1, state.sampling_steps)} of {state.sampling_steps}"
        unfinished[p.iteration] = where
        assign_items(p.extra_generation_params, {LABEL: where})


def are_saved() -> bool:
    """Whether the files of videos that were stopped stay, as the host's setting for pictures has it."""
    return bool(getattr(shared.opts, "save_incomplete_images", False))


def sentence(where: str) -> str:
    """What a person reads about a video that was stopped."""
    saved, state = ("saved", "on") if are_saved() else ("not saved", "off")
    setting = '"Save interrupted images" (Settings, Saving images/grids)'
    return f"AnimateDiff: the video is unfinished, {where}. It was {saved}: {setting} is {state}."
