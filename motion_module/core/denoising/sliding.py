"""A denoiser call for a video: cut into windows and sides of the guidance, and put together again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from motion_module.core.denoising.model_calls import (
    IN_TURN,
    AroundCall,
    Executor,
    GivenCall,
    Model,
    ModelCall,
    nothing_around,
)
from motion_module.core.denoising.remembering import Memory
from motion_module.core.denoising.rows import RowLayout, take_rows
from motion_module.core.module.call_frames import CallFrames
from motion_module.core.module.devices import place_of_video
from motion_module.windows import Window, WindowPlan, resolve_overlap, window_weights

_log = logging.getLogger(__name__)


@dataclass
class Wanted:
    """Which frames the model is asked for, shared by those who know and those who ask.

    Attributes:
        frames: their numbers; None for all.
        whole: somebody looks at all frames in any case.
        seen: the frames of the windows that were chosen last; None for all.
    """

    frames: frozenset[int] | None = None
    whole: bool = False
    seen: frozenset[int] | None = None

    @contextmanager
    def only(self, frames: frozenset[int]) -> Iterator[None]:
        """Inside the block nobody looks at what the model makes of the others."""
        before, self.frames, self.seen = self.frames, frames, None
        try:
            yield
        finally:
            self.frames, self.seen = before, None

    def in_any_case(self, whole: bool) -> None:
        """Whether somebody looks at all frames, whatever is said in a block."""
        self.whole = whole

    def of(self, windows: list[Window]) -> list[Window]:
        """The windows with a frame that is wanted; one where there is none. Notes which frames they show."""
        if self.frames is None or self.whole:
            return windows
        chosen = [window for window in windows if not self.frames.isdisjoint(window)] or windows[:1]
        self.seen = frozenset().union(*chosen)
        return chosen


LayoutOf = Callable[[Tensor, Any], RowLayout]


class SlidingModel:
    """Stands in for the host's calls of the model, `(x, t, cond)`, while a video is made.

    Args:
        call_model: the host's; gets rows ordered `(copies f)`.
        call: told the number of frames of each call, and which they are where it wants to know.
        frames: N, frames of the video.
        options: the windows.
        together: whether the sides of the guidance and `AND` parts may share one call.
        around_call: entered around each call of the model; for ControlNet hints and the like.
        wanted: the frames that somebody looks at; windows without any are left out, and are 0 in what comes back.
        memory: how much later windows remember of the first one; None for nothing.
        executor: has the calls of the model made, where there are several.
    """

    def __init__(
        self,
        call_model: Model,
        call: CallFrames,
        frames: int,
        options: WindowPlan,
        together: bool = True,
        around_call: AroundCall | None = None,
        wanted: Wanted | None = None,
        memory: Memory | None = None,
        executor: Executor = IN_TURN,
    ) -> None:
        self.call_model = call_model
        self.call = call
        self.frames = frames
        self.options = options
        self.together = together
        self.around_call = around_call or nothing_around
        self.wanted = wanted or Wanted()
        self.memory = memory
        self.executor = executor
        self.step = 0
        self.layout_of: LayoutOf = self._usual_layout(1)
        overlap = options.shared_frames
        if frames > options.context and options.overlap not in (-1, overlap):
            _log.warning("overlap %d does not fit %d frames, %d is used", options.overlap, options.context, overlap)

    def begin(self, step: int, parts: int = 1, layout_of: LayoutOf | None = None) -> None:
        """Announce the next denoiser call.

        Args:
            step: its step.
            parts: how many prompts each frame has (joined with AND).
            layout_of: tells of `(x, cond)` of a call of the model which rows are whose; None where the rows are in
                the host's order.
        """
        self.step = step
        self.layout_of = layout_of or self._usual_layout(parts)

    def _usual_layout(self, parts: int) -> LayoutOf:
        return lambda x, cond: RowLayout.of_call(x.shape[0], self.frames, parts)

    def __call__(self, x: Tensor, t: Tensor, cond: Any, *args: Any, **kwargs: Any) -> Tensor:
        """The model's output for all rows.

        Args:
            x: `(rows, c, h, w)`, rows as `layout_of` tells.
            t: `(rows,)`.
            cond: a tensor, or dicts and lists of tensors, whose rows belong to those of x.
            args, kwargs: passed on.

        Raises:
            HostError, UserError: nobody knows which row is which.
        """
        layout = self.layout_of(x, cond)
        windows = self._windows()
        given = GivenCall(ModelCall(layout, list(range(layout.rows)), self.frames), x, t, cond, args, kwargs)
        if len(windows) == 1 and self.together and layout.whole:
            return self._make(given)
        wanted = self.wanted.of(windows)
        blend = _Blend(layout, "overwrite" if len(wanted) == 1 else self.options.blend, self.options.overlap)
        recall = self.memory.recall(wanted, x, t, self.frames) if self.memory and len(wanted) > 1 else None
        groups = list(self._groups(layout, recall.windows if recall else wanted))
        calls = [
            ModelCall(layout, _rows_of(branches, group), len(group[0]), number, len(groups))
            for number, (branches, group) in enumerate(groups, start=1)
        ]
        outputs = self.executor((_cut(given, call) for call in calls), self._make, self.call)
        for call, (branches, group), out in zip(calls, groups, outputs, strict=True):
            blend.add(call.rows, call.frames, recall.mixed(branches, group, out) if recall else out)
        return blend.result(whole=len(wanted) == len(windows)).to(x.device)

    def _windows(self) -> list[Window]:
        return self.options.windows(self.step, self.frames)

    def _groups(self, layout: RowLayout, windows: list[Window]) -> Iterator[tuple[list[list[int]], list[Window]]]:
        """What goes into one call of the model: some branches of the rows, and some windows."""
        branches = layout.branches()
        width = self.options.windows_per_call
        for start in range(0, len(windows), width):
            for side in [branches] if self.together else [[branch] for branch in branches]:
                yield side, windows[start : start + width]

    def _make(self, call: GivenCall, model: Model | None = None) -> Tensor:
        shown = call.of.shown if self.call.travels else ()
        with self.call.running(call.of.frames, shown), self.around_call(call.of):
            return (model or self.call_model)(call.x, call.t, call.cond, *call.args, **call.kwargs)


def _rows_of(branches: list[list[int]], windows: list[Window]) -> list[int]:
    return [branch[frame] for branch in branches for window in windows for frame in window]


def _cut(whole: GivenCall, call: ModelCall) -> GivenCall:
    """What a call is given of a whole denoiser call."""
    index, layout = torch.tensor(call.rows, device=whole.x.device), call.layout
    x, t, cond = (take_rows(value, index, layout, whole.x.device) for value in (whole.x, whole.t, whole.cond))
    return GivenCall(call, x, t, cond, whole.args, whole.kwargs)


class _Blend:
    """The weighted mean of what several windows say about a frame, summed in float32."""

    def __init__(self, layout: RowLayout, name: str, overlap: int) -> None:
        self.layout = layout
        self.name = name
        self.overlap = overlap
        self.total: Tensor | None = None
        self.weight: Tensor | None = None
        self.dtype = torch.float32

    def add(self, rows: list[int], frames: int, out: Tensor) -> None:
        """Take in the output `(rows, ...)` of one call, whose copies have `frames` rows each."""
        if self.total is None or self.weight is None:
            self.dtype, place = out.dtype, place_of_video(out.device, 4 * self.layout.rows * out[0].numel())
            self.total = torch.zeros(self.layout.rows, *out.shape[1:], dtype=torch.float32, device=place)
            self.weight = torch.zeros(self.layout.rows, *[1] * (out.dim() - 1), device=place)
        out = out if self.total.device.type == "cuda" else out.cpu()
        if self.name == "overwrite":
            last = {row: position for position, row in enumerate(rows)}  # a window with a stride may hold a frame twice
            last_positions = torch.tensor(list(last), device=out.device)
            self.total[last_positions] = out[list(last.values())].float()
            self.weight[last_positions] = 1.0
            return
        weights = window_weights(self.name, frames, resolve_overlap(self.overlap, frames))
        factor = torch.tensor(weights * (len(rows) // frames), device=out.device).view(-1, *[1] * (out.dim() - 1))
        index, added = torch.tensor(rows, device=out.device), out.float() * factor
        # A GPU adds what goes to one row in whatever order; the rows of one window are different ones.
        for piece in [slice(None)] if out.device.type == "cpu" else _pieces(len(rows), frames):
            self.total.index_add_(0, index[piece], added[piece])
            self.weight.index_add_(0, index[piece], factor[piece])

    def result(self, whole: bool = True) -> Tensor:
        """The mean, in the model's dtype; 0 for frames that were in no window, if that is not the `whole` video."""
        if self.total is None or self.weight is None:
            raise ValueError("no window has been added")
        weight = self.weight if whole else torch.where(self.weight > 0, self.weight, 1)
        return (self.total / weight).to(self.dtype)


def _pieces(rows: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, rows, size)]
