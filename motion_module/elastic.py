"""Windows a little shorter or longer than asked for, where a step then has less to do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from motion_module.window_counts import window_counts_after
from motion_module.windows import WindowPlan

# By one frame of so many at most: clips in windows of other lengths are worse, see tests/quality/elastic.md.
_SHORTER, _LONGER = 16, 8


def fitted(plan: WindowPlan, frames: int, learnt: int, before: int = 0) -> WindowPlan:
    """The plan that the video is cut by: the one that is asked for, or its elastic windows if they have fewer rows.

    As many windows as asked for become shorter, by a sixteenth at most, or one fewer become longer, by an eighth at
    most. Neighbours share at least as many frames as asked for. Windows stay as they are where they move from step to
    step or are blended by "overwrite", and where somebody asks for an overlap of more than half of them.

    Args:
        plan: as it is asked for.
        frames: N, frames of the video.
        learnt: how many frames at once the motion module has learnt.
        before: frames that are there already; windows that hold no others are not computed.
    """
    if not _may_change(plan) or frames <= plan.context:
        return plan
    candidates = [
        plan,
        *(replace(plan, context=context, overlap=plan.shared_frames) for context in _contexts(plan, frames, learnt)),
    ]
    return min(candidates, key=lambda candidate: rows_of_step(candidate, frames, before))  # of equals the first


def rows_of_step(plan: WindowPlan, frames: int, before: int = 0) -> int:
    """How many frames go through the UNet in the first step, each as often as there are windows with it.

    Args:
        plan, frames, before: as in `fitted`.
    """
    (windows,) = window_counts_after(plan, frames, 1, before)
    return windows * min(plan.context, frames)


def _may_change(plan: WindowPlan) -> bool:
    is_static, is_usual = plan.resolved_schedule == "static", plan.overlap <= plan.context // 2
    return plan.elastic and is_static and is_usual and plan.blend != "overwrite"


def _contexts(plan: WindowPlan, frames: int, learnt: int) -> Iterator[int]:
    """The shortest windows that reach from end to end: as many as asked for, and one fewer, as far as they may be."""
    overlap = plan.shared_frames
    least, most = plan.context - plan.context // _SHORTER, min(plan.context + plan.context // _LONGER, learnt)
    count = len(plan.windows(0, frames))
    for fewer in (count, count - 1):
        context = max(least, math.ceil((frames + (fewer - 1) * overlap) / fewer))
        if context <= most:
            yield context
