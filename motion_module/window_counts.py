"""How many windows the steps of a video have, without making them: many steps cost no more than few."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator

from motion_module.windows import ClosedLoop, WindowPlan, check_stride, halving, powers, shift, window_starts


def window_counts_after(plan: WindowPlan, frames: int, steps: int, before: int) -> Counter[int]:
    """The same, without the windows that hold only the first `before` frames; where there are any, each is made.

    Args:
        plan, frames, steps: as in `window_counts`.
        before: frames that are there already.
    """
    if not before or frames <= plan.context:
        return window_counts(plan, frames, steps)
    moving = plan.resolved_schedule != "static"
    counts: Counter[int] = Counter()
    for step in range(steps if moving else 1):
        wanted = sum(max(window) >= before for window in plan.windows(step, frames))
        counts[max(1, wanted)] += 1 if moving else steps
    return counts


def window_counts(plan: WindowPlan, frames: int, steps: int) -> Counter[int]:
    """Of the steps 0 .. steps - 1 of a video, how many have so many windows: number of windows -> of steps.

    Args:
        plan: how the video is cut.
        frames: N, frames of the video.
        steps: of a sampling pass.

    Raises:
        ParamError: as `context_windows`.
    """
    if frames <= plan.context or plan.resolved_schedule == "static":
        return Counter({len(plan.windows(0, frames)): steps})
    loop = ClosedLoop(plan.closed_loop)
    check_stride(plan.stride, loop)
    if loop.stays_inside:
        return _counts_inside(plan, frames, steps)
    counts: Counter[int] = Counter()
    period = 2 ** (powers(frames, plan.context, plan.stride) - 1)  # the first frames of windows repeat, but for a shift
    for step in range(min(period, steps)):
        starts = window_starts(step, frames, plan.context, plan.stride, plan.shared_frames, loop.wraps)
        counts[sum(len(each) for _, each in starts)] += len(range(step, steps, period))
    return counts


def _counts_inside(plan: WindowPlan, frames: int, steps: int) -> Counter[int]:
    """Where no window wraps: those that do not by themselves, and one at each end.

    These two are always there: only they have the first and the last frame.
    """
    counts: Counter[int] = Counter()
    context, overlap = plan.context, plan.shared_frames
    last = frames - context
    for pad, times in _shifts(frames, steps):
        starts = range(pad, frames + pad - overlap, context - overlap)
        inside = _below(starts, last + 1) + _below(starts, frames + last + 1) - _below(starts, frames)
        ends = sum(edge not in starts and edge + frames not in starts for edge in (0, last))
        counts[inside + ends] += times
    return counts


def _below(numbers: range, limit: int) -> int:
    return len(range(numbers.start, min(limit, numbers.stop), numbers.step))


def _shifts(frames: int, steps: int) -> Iterator[tuple[int, int]]:
    """By how many frames the steps 0 .. steps - 1 move the windows, and how many of them do.

    A block of 2**k steps goes, in another order, through 2**k parts that lie evenly: equal shifts lie side by side.
    """
    begin = 0
    while begin < steps:
        size = 1 << (steps - begin).bit_length() - 1
        yield from _shifts_of_block(frames, halving(begin), size)
        begin += size


def _shifts_of_block(frames: int, part: float, size: int) -> Iterator[tuple[int, int]]:
    done = 0
    while done < size:
        pad = shift(frames, part + done / size)
        behind = bisect.bisect_right(range(size), pad, lo=done, key=lambda place: shift(frames, part + place / size))
        yield pad, behind - done
        done = behind
