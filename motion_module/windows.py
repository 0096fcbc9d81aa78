"""Which frames go through the motion module together, and how much each counts where windows overlap."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from motion_module.errors import ParamError
from motion_module.wording import mention, number_text

Window = list[int]
BLENDS = ("overwrite", "flat", "pyramid", "linear")
SCHEDULES = ("uniform", "static")
AUTO = "auto"


class ClosedLoop(str):
    """How much of a loop a video is: "N" none, "R-P" and "R+P" as little as the windows give, "A" wholly."""

    __slots__ = ()

    @property
    def stays_inside(self) -> bool:
        """Whether no window reaches beyond the last frame."""
        return self == "N"

    @property
    def is_left_open(self) -> bool:
        """Whether neither a loop is asked for nor that there be none."""
        return self == "R-P"

    @property
    def wraps(self) -> bool:
        """Whether windows reach from the last frame on to the first."""
        return self == "A"

    @property
    def closes_travel(self) -> bool:
        """Whether what travels, prompts and numbers, leads back to its start."""
        return self in ("R+P", "A")


CLOSED_LOOPS = tuple(map(ClosedLoop, ("N", "R-P", "R+P", "A")))


@dataclass(frozen=True)
class WindowPlan:
    """How a long video is cut into windows, and put together again; see `context_windows` and `window_weights`.

    Attributes:
        context: B, frames of a window.
        stride: largest exponent of the distance between a window's frames.
        overlap: frames that two windows share; -1 is a quarter of the context.
        closed_loop: one of `CLOSED_LOOPS`.
        schedule: one of `SCHEDULES`, or `AUTO`.
        blend: one of `BLENDS`.
        windows_per_call: so many windows go through the UNet in one call.
        elastic: whether windows may be a little longer than `context`; see `elastic.fitted`.
    """

    context: int = 16
    stride: int = 1
    overlap: int = -1
    closed_loop: str = "R-P"
    schedule: str = AUTO
    blend: str = "pyramid"
    windows_per_call: int = 1
    elastic: bool = True

    @property
    def shared_frames(self) -> int:
        """Frames that two neighbouring windows share."""
        return resolve_overlap(self.overlap, self.context)

    @property
    def resolved_schedule(self) -> str:
        """One of `SCHEDULES`; see `resolve_schedule`."""
        return resolve_schedule(self.schedule, self.blend, self.closed_loop, self.stride)

    @property
    def wraps(self) -> bool:
        """Whether windows of a long video reach from its last frame on to its first."""
        return ClosedLoop(self.closed_loop).wraps and self.resolved_schedule != "static"

    def windows(self, step: int, frames: int) -> list[Window]:
        """The windows of one step of a video of so many frames; see `context_windows`."""
        schedule = self.resolved_schedule
        return context_windows(step, frames, self.context, self.stride, self.overlap, self.closed_loop, schedule)


def context_windows(
    step: int, frames: int, context: int, stride: int, overlap: int, closed_loop: str, schedule: str = "uniform"
) -> list[Window]:
    """The windows of one denoising step; together they hold every frame.

    Args:
        step: number of the step; the uniform schedule shifts its windows from step to step.
        frames: N, frames of the video.
        context: B, frames of a window.
        stride: largest exponent of the distance between a window's frames: 1, 2, 4, ... up to 2**(stride - 1).
        overlap: O, frames that neighbouring windows share; -1 is a quarter of the context; see `resolve_overlap`.
        closed_loop: "N" nothing wraps, "R-P" and "R+P" as little as the schedule gives, "A" wraps fully.
        schedule: "uniform" (that of the AnimateDiff command line) or "static" (the same windows at every step).

    Returns:
        Lists of frame numbers 0..N-1, B in each; one list of all frames where N <= B.

    Raises:
        ParamError: an unknown schedule, or a stride with closed loop "N".
    """
    if frames <= context:
        return [list(range(frames))]
    overlap = resolve_overlap(overlap, context)
    if schedule == "static":
        return _static(frames, context, overlap)
    if schedule != "uniform":
        raise ParamError(f"{mention('schedule')} is {schedule!r}; allowed are {', '.join(SCHEDULES)}")
    loop = ClosedLoop(closed_loop)
    check_stride(stride, loop)
    windows = list(_uniform(step, frames, context, stride, overlap, wraps=loop.wraps))
    return _unwrapped(windows, frames, context) if loop.stays_inside else windows


def check_stride(stride: int, loop: ClosedLoop) -> None:
    """Refuse windows that take every second frame, and so reach beyond the last frame, where none may.

    Raises:
        ParamError: names both fields.
    """
    if loop.stays_inside and stride > 1:
        raise ParamError(f"{mention('stride')} is {stride}; with {mention('closed_loop')} {loop} it has to be 1")


def resolve_schedule(schedule: str, blend: str, closed_loop: str, stride: int) -> str:
    """The schedule that is used: `AUTO` is static where a video is to go on and on, and uniform otherwise.

    The uniform schedule moves its windows from step to step, so that some of them join the end of the video to its
    beginning even with closed loop "R-P": such a video returns to its start (measured on the pocket model, see
    tests/quality/windows.py). It stays where that is wanted (the other closed loops), where only it serves (a stride),
    and with "overwrite", which gives the frames that other extensions give.
    """
    if schedule != AUTO:
        return schedule
    return "static" if ClosedLoop(closed_loop).is_left_open and stride == 1 and blend != "overwrite" else "uniform"


def resolve_overlap(overlap: int, context: int) -> int:
    """The overlap that is used: -1 is a quarter of the context; one that leaves no step forward is half of it."""
    if overlap == -1:
        return context // 4
    return context // 2 if overlap >= context else max(overlap, 0)


def overlap_note(frames: int, plan: WindowPlan) -> str:
    """What an overlap of more than half the context costs, as a sentence; "" where it is less, or there is one window.

    Args:
        frames: of the video; 0 where nobody knows yet.
        plan: how it is cut.
    """
    if frames <= plan.context or plan.overlap <= plan.context // 2:
        return ""
    counts = [len(replace(plan, overlap=overlap).windows(0, frames)) for overlap in (plan.overlap, -1)]
    usual = f" instead of {number_text(counts[1])}" if counts[0] != counts[1] else ""
    work = f"{number_text(counts[0])} windows a step{usual}"
    if plan.shared_frames == plan.overlap:
        return f"{mention('overlap')} {plan.overlap} makes {work}."
    too_much = f"{mention('overlap')} is {plan.overlap}, and {mention('batch_size')} is {plan.context}"
    return f"{too_much}: two windows share half of it, {plan.shared_frames} frames, which makes {work}."


def window_weights(name: str, context: int, overlap: int) -> list[float]:
    """How much the frame at each position of a window counts against the same frame of other windows; always > 0.

    Args:
        name: one of `BLENDS`; "overwrite" has no weights, the last window wins.
        context: frames of the window.
        overlap: frames it shares with a neighbour; see `resolve_overlap`.

    Raises:
        ParamError: no such way of blending.
    """
    if name not in BLENDS:
        raise ParamError(f"{mention('blend')} is {name!r}; allowed are {', '.join(BLENDS)}")
    return [_WEIGHTS[name](min(k, context - 1 - k), overlap) for k in range(context)]


# Pyramid is the default: near the end of its window a frame is seen from one side only, and counts less and less,
# whatever the overlap and the stride. Measured by tests/quality/windows.py; see tests/quality/windows.md.
_WEIGHTS: dict[str, Callable[[int, int], float]] = {  # (positions to the nearer end, overlap) -> weight
    "overwrite": lambda position, overlap: 1.0,
    "flat": lambda position, overlap: 1.0,
    "pyramid": lambda position, overlap: float(position + 1),
    "linear": lambda position, overlap: min(1.0, (position + 1) / (overlap + 1)),
}


def halving(step: int) -> float:
    """The bits of `step` mirrored behind the binary point: 0, 1/2, 1/4, 3/4, 1/8, 5/8, ..."""
    value, weight = 0.0, 0.5
    while step > 0:
        value += weight * (step & 1)
        step, weight = step >> 1, weight / 2
    return value


def _uniform(step: int, frames: int, context: int, stride: int, overlap: int, wraps: bool) -> Iterator[Window]:
    for distance, starts in window_starts(step, frames, context, stride, overlap, wraps):
        for start in starts:
            yield [(start + k * distance) % frames for k in range(context)]


def window_starts(
    step: int, frames: int, context: int, stride: int, overlap: int, wraps: bool
) -> Iterator[tuple[int, range]]:
    """The distances between the frames of a window, and where the windows of each begin."""
    part = halving(step)
    pad = shift(frames, part)
    end = frames + pad - (0 if wraps else overlap)
    for power in range(powers(frames, context, stride)):
        distance = 2**power
        yield distance, range(int(part * distance) + pad, end, context * distance - overlap)


def shift(frames: int, part: float) -> int:
    """By how many frames the windows are moved at this part of the way."""
    return round(frames * part)


def powers(frames: int, context: int, stride: int) -> int:
    """How many distances there are between the frames of a window."""
    return min(stride, math.ceil(math.log2(frames / context)) + 1)


def _static(frames: int, context: int, overlap: int) -> list[Window]:
    last = frames - context
    starts = [*range(0, last, context - overlap), last]
    return [list(range(start, start + context)) for start in starts]


def _unwrapped(windows: list[Window], frames: int, context: int) -> list[Window]:
    """Put the first or the last frames, whichever are nearer, in the place of a window that wraps; cover both ends."""
    first, last = list(range(context)), list(range(frames - context, frames))
    unwrapped: list[Window] = []
    for window in windows:
        if window[0] > window[-1]:
            window = last if frames - window[0] > window[-1] else first
        if window not in unwrapped:
            unwrapped.append(window)
    covered = {frame for window in unwrapped for frame in window}
    return unwrapped + [edge for edge in (first, last) if not covered.issuperset(edge)]
