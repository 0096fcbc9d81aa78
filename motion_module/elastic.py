"""Windows a little longer than asked for, where a video then needs one window less."""

from __future__ import annotations

import math
from dataclasses import replace

from motion_module.window_counts import window_counts_after
from motion_module.windows import WindowPlan

# By one frame of so many at most: longer windows show, and so do shorter ones (tests/quality/elastic.md).
_LONGER = 8


def fitted(plan: WindowPlan, frames: int, learnt: int, before: int = 0) -> WindowPlan:
    """The plan that the video is cut by: with one window less, if that makes the others little longer and saves work.

    Neighbours share at least as many frames as asked for. Windows stay as they are where they move from step to step or
    are blended by "overwrite", and where somebody asks for an overlap of more than half of them.

    Args:
        plan: as it is asked for.
        frames: N, frames of the video.
        learnt: how many frames at once the motion module has learnt.
        before: frames that are there already; windows that hold no others are not computed.
    """
    if not _may_change(plan) or frames <= plan.context:
        return plan
    overlap, count = plan.shared_frames, len(plan.windows(0, frames)) - 1
    context = math.ceil((frames + (count - 1) * overlap) / count)
    if context > min(plan.context + plan.context // _LONGER, learnt):
        return plan
    longer = replace(plan, context=context, overlap=overlap)
    return longer if rows_of_step(longer, frames, before) < rows_of_step(plan, frames, before) else plan


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
