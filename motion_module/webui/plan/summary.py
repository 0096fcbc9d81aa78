"""A plan in one line, for a person who is about to start it."""

from __future__ import annotations

from collections.abc import Iterator

from modules import sd_samplers
from motion_module.formats import FRAME
from motion_module.params import VideoParams
from motion_module.webui.plan.plan import Plan
from motion_module.webui.plan.written import written_frames
from motion_module.webui.progress import Foreseen
from motion_module.webui.settings import settings_of
from motion_module.wording import number_text

_BETWEEN = " \u00b7 "
_MINUTE, _HOUR = 60, 3600


def summary(plan: Plan, time: Foreseen | None, folder: str) -> str:
    """What a run will make, how much work that is, how long it will take and where the files will be.

    Args:
        plan: the run's.
        time: that it will take; None where no run has told yet how fast this machine is.
        folder: of the files.
    """
    return _BETWEEN.join(_parts(plan, time, folder))


def _parts(plan: Plan, time: Foreseen | None, folder: str) -> Iterator[str]:
    params, facts, frames = plan.params, plan.request.facts, plan.request.frames
    videos = f"{facts.batch_count} videos of " if facts.batch_count > 1 else ""
    if not frames:
        yield f"{videos}as many frames as there are pictures in the source"
    else:
        yield f"{videos}{_length(params, frames)}"
        yield _work(plan, frames)
    loop = _loop(params, frames)
    if loop:
        yield loop
    if time is not None and frames:
        yield f"about {duration(time.total)}{_per_call(plan, time.sampling)}"
    files = [name for name in params.format if name != FRAME]
    if files:
        yield f"{', '.join(files)} -> {folder}"


def _length(params: VideoParams, frames: int) -> str:
    """The frames that are made, those that are written if they are more, and how long they play."""
    played, written = written_frames(params, frames)
    slow = settings_of().interp_slow and params.interp != "Off"
    more = f", {number_text(written)} with those added" if written > frames else ""
    return f"{_counted(frames, 'frame')}{more}, {(written if slow else played) / params.fps:.1f} s"


def _work(plan: Plan, frames: int) -> str:
    windows, about = plan.windows, "about " * _calls_twice(plan.request.facts.sampler)
    count = len(windows.windows(0, frames))
    calls = f"{about}{_counted((plan.model_calls or 0) * (1 + bool(about)), 'model call')}"
    if count == 1:
        return f"one window, {calls}"
    times = f"{count * windows.context / frames:.2f}".rstrip("0").rstrip(".")
    return f"{count} windows of {windows.context} a step, {calls}, {times} times the work of one pass"


def _counted(number: int, what: str) -> str:
    return f"{number_text(number)} {what}{'s' * (number != 1)}"


def _calls_twice(sampler: str) -> bool:
    """The host's samplers of the second order call the model twice in each step but the last."""
    found = sd_samplers.all_samplers_map.get(sampler)
    return bool(found is not None and found.options.get("second_order"))


def _per_call(plan: Plan, seconds: float) -> str:
    calls = (plan.model_calls or 0) * plan.request.facts.batch_count
    return f" ({seconds / calls:.1f} s a call)" if calls and seconds >= calls / 10 else ""


def _loop(params: VideoParams, frames: int) -> str:
    """Whether the last frame leads to the first, where somebody has asked for it."""
    if 0 in params.reverse or (params.closed_loop.wraps and 0 < frames <= params.batch_size):
        return "it plays back to its first frame"
    if params.closed_loop.wraps:
        closes = params.windows.wraps
        return "the last frame leads to the first" if closes else "the last frame does not lead to the first"
    return ""


def duration(seconds: float) -> str:
    """A time that somebody has to wait, as exactly as it can be foreseen: "40 s", "3 min", "2 h 10 min"."""
    if seconds < _MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    hours, rest = divmod(round(seconds / _MINUTE), 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
