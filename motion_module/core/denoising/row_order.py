"""Which row of a model call shows which frame: read from the rows, since other extensions move and stack them.

The host lines up the rows, lets callbacks of other extensions change them, and calls the model; on the way there
other extensions may stand once more, and cut the picture into tiles that they stack. Frames are told by their
latents, which are noise and therefore all different; prompts joined with AND by their conditioning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from motion_module.core.denoising.rows import RowLayout
from motion_module.errors import HostError

_SAMPLES = 256  # values of a row that stand for it
_SAME = 1e-5  # 1 - cosine, below which two rows are one times a factor (the sampler's scale), up to rounding
_CLEARLY = 0.25  # how much nearer the nearest frame has to be than the second


class UnknownRowsError(HostError):
    """Nobody can tell which row is which.

    Attributes:
        numbers: how many rows of how many frames, in words.
    """

    def __init__(self, rows: int, frames: int) -> None:
        self.numbers = f"which of the {rows} rows of a model call belong to which of the {frames} frames"
        super().__init__(f"It cannot be told {self.numbers}.")


@dataclass(frozen=True)
class Snapshot:
    """What is needed to know the rows of a denoiser call again.

    Attributes:
        x: `(rows, samples)` of the latents.
        text: `(frames * parts, samples)` of the prompts' conditioning.
    """

    x: Tensor
    text: Tensor

    @classmethod
    def of(cls, x: Tensor, cond: Any) -> Snapshot:
        """Of `x: (rows, c, h, w)` and the prompts' conditions (SDXL: a dict)."""
        return cls(_samples(x).clone(), _samples(text_of(cond)).clone())


def text_of(cond: Any) -> Tensor:
    """The tokens `(rows, tokens, c)` of a condition: a tensor, SDXL's dict, or what the model gets."""
    if isinstance(cond, dict):
        text = cond["crossattn"] if "crossattn" in cond else cond["c_crossattn"]
        return text[0] if isinstance(text, list) else text
    return cond


def find_moved_rows(before: Snapshot, after: Snapshot, frames: int, parts: int) -> tuple[int, ...]:
    """Where callbacks have moved the rows of a denoiser call.

    Args:
        before, after: the callbacks; `before` is in the host's order.
        frames: N, frames of the video.
        parts: k, prompts joined with AND.

    Returns:
        For each row of the host's order the row that it is now; empty where all are in order.

    Raises:
        UnknownRowsError: the latents have become others, and they are in no order that can be told.
    """
    if _equal(before.x, after.x) and _equal(before.text, after.text):
        return ()
    usual = [frame for frame in range(frames) for _ in range(parts)] + list(range(frames))
    alike = after.x.shape == before.x.shape and len(after.x) == len(usual) and len(after.text) == len(before.text)
    shown = _shown(before.x[-frames:], after.x, usual) if alike else None
    if shown is None or not _whole(shown, frames, parts):
        raise UnknownRowsError(len(after.x), frames)
    conds = [row for frame in range(frames) for row in _rows_showing(frame, shown, before, after, parts)]
    moved_rows = (*conds, *(frames * parts + shown[frames * parts :].index(frame) for frame in range(frames)))
    return () if moved_rows == tuple(range(len(usual))) else moved_rows


def _shown(frames: Tensor, rows: Tensor, usual: Sequence[int]) -> list[int] | None:
    """The frame that each row shows, None where that cannot be told: `usual` where nothing speaks against it."""
    own = torch.tensor(usual)
    each = torch.arange(len(usual))
    distance = torch.stack([(frames - row).square().sum(dim=1) for row in rows])
    if _equal(rows, rows[-len(frames) :][own]) and not (distance == 0).any():
        return list(usual)  # other latents, but the rows of a frame are alike where the host has them
    least = distance.min(dim=1).values
    if bool((distance[each, own] <= least).all()):
        return list(usual)
    nearest = torch.where(distance[each, own] <= least, own, distance.argmin(dim=1))
    second = distance.scatter(1, nearest[:, None], torch.inf).min(dim=1).values
    clear = (least == 0) | (least < _CLEARLY * second)
    return [int(frame) for frame in nearest] if bool(clear.all()) else None


def _whole(shown: Sequence[int], frames: int, parts: int) -> bool:
    """Whether every frame is there once for each of its prompts, and once for the negative one."""
    conds, unconds = sorted(shown[: frames * parts]), sorted(shown[frames * parts :])
    return conds == sorted([*range(frames)] * parts) and unconds == [*range(frames)]


def _rows_showing(frame: int, shown: Sequence[int], before: Snapshot, after: Snapshot, parts: int) -> list[int]:
    """The rows that show a frame: that of its first prompt, of its second, ...

    Rows whose conditions tell nothing (they are alike, or have been changed) are in the host's order.
    """
    rows = [row for row, other in enumerate(shown[: len(before.text)]) if other == frame]
    free, row_of = list(range(parts)), {}
    for row in rows:
        alike = [part for part in free if _equal(before.text[frame * parts + part], after.text[row])]
        if alike:
            row_of[alike[0]] = row
            free.remove(alike[0])
    left = iter([row for row in rows if row not in row_of.values()])
    return [row_of[part] if part in row_of else next(left) for part in range(parts)]


@dataclass(frozen=True)
class Announced:
    """What the host is about to call the model with, and so what a call of the model is compared with.

    Attributes:
        frames: N.
        parts: k, prompts joined with AND.
        x: `(rows, c, h, w)`, without the sampler's scale.
        cond, uncond: the conditions of the prompts and of the negative prompt.
        moved_rows: as in `RowLayout`.
    """

    frames: int
    parts: int
    x: Tensor
    cond: Any
    uncond: Any
    moved_rows: tuple[int, ...] = ()

    def layout_of(self, x: Tensor, cond: Any) -> RowLayout:
        """The layout of a call of the model.

        Args:
            x: `(rows, c, h, w)`: the announced latents times a factor, or a part of the picture of them.
            cond: as the model gets it.

        Raises:
            UnknownRowsError: no layout fits the rows.
        """
        layouts = list(self._possible(x.shape[0]))
        text = text_of(cond)
        frames_fit = [self._shows_frames_of(layout, x) for layout in layouts]
        texts_fit = [self._has_texts_of(layout, text) for layout in layouts]
        for wanted in ((True, True), (True, False), (None, True)):
            fitting = [
                layout for layout, *fits in zip(layouts, frames_fit, texts_fit, strict=True) if tuple(fits) == wanted
            ]
            if fitting and (wanted[0] or fitting[0].copies == 1 or len(fitting) == 1):
                return fitting[0]
        raise UnknownRowsError(x.shape[0], self.frames)

    def _possible(self, rows: int) -> Iterator[RowLayout]:
        """Every layout with so many rows, the host's own first."""
        for parts, uncond in ((self.parts, True), (self.parts, False), (1, False)):
            block = self.frames * (parts + uncond)
            copies, rest = divmod(rows, block)
            if rest or copies == 0:
                continue
            usual, moved_rows = tuple(range(block)), self.moved_rows[:block]
            orders = [moved_rows, usual] if moved_rows and sorted(moved_rows) == list(usual) else [usual]
            for order in orders:
                stacked = tuple(copy * block + row for copy in range(copies) for row in order)
                in_order = stacked == tuple(range(rows))
                yield RowLayout(self.frames, parts, uncond, copies, () if in_order else stacked)
                if copies > 1:  # each row as often as there are tiles, instead of all rows for each tile
                    woven = tuple(row * copies + copy for copy in range(copies) for row in order)
                    yield RowLayout(self.frames, parts, uncond, copies, woven)

    def _shows_frames_of(self, layout: RowLayout, x: Tensor) -> bool | None:
        """Whether the rows show the frames of the layout; None where they show none that are known."""
        x, latents = _on_cpu(x), _on_cpu(self.x[-self.frames :])
        if self.moved_rows:
            latents = latents[[row - self.frames * self.parts for row in self.moved_rows[-self.frames :]]]
        shown = [self._shows(latents, x, branch) for branch in layout.branches()]
        if all(shown):
            return True
        return None if all(branch is None for branch in shown) else False

    def _shows(self, latents: Tensor, x: Tensor, branch: Sequence[int]) -> bool | None:
        """Whether the rows of one branch show these frames; None where that cannot be told."""
        rows = x[list(branch)]
        corner = _corner(latents, rows[0]) if rows.shape[1] == latents.shape[1] else None
        if corner is None:
            return None
        top, left = corner
        shown = latents[:, :, top : top + rows.shape[2], left : left + rows.shape[3]]
        unlike = 1 - torch.cosine_similarity(_samples(rows), _samples(shown))
        return bool((unlike.nan_to_num(nan=0.0) < _SAME).all())  # a row without numbers shows nothing else

    def _has_texts_of(self, layout: RowLayout, text: Tensor) -> bool:
        """Whether the rows have the conditions of the layout."""
        if text.shape[0] != layout.rows:
            return False
        sides = [text_of(self.cond), text_of(self.uncond)]
        tokens = min(side.shape[1] for side in (text, *sides))
        announced = torch.cat([_samples(side[:, :tokens]) for side in sides])
        order = self.moved_rows or range(len(announced))
        called = _samples(text[:, :tokens])[list(layout.moved_rows or range(layout.rows))]
        alone = layout.parts == 1 and not layout.uncond  # others may ask for the negative prompt alone, too
        starts = [0, self.frames * self.parts] if alone else [0]
        usual = ([order[start + row % layout.block] for row in range(layout.rows)] for start in starts)
        return any(_equal(announced[rows], called) for rows in usual)


def _corner(latents: Tensor, tile: Tensor) -> tuple[int, int] | None:
    """Where in the picture a tile `(c, h, w)` is, times a factor, of the first of the `latents: (frames, c, h, w)`
    or, if it shows none of that, of another; None where it is nowhere."""
    height, width = latents.shape[2] - tile.shape[1] + 1, latents.shape[3] - tile.shape[2] + 1
    if height < 1 or width < 1:
        return None
    points = [(top, left) for top in {0, tile.shape[1] // 2, tile.shape[1] - 1} for left in {0, tile.shape[2] - 1}]
    probe = torch.cat([tile[:, top, left] for top, left in points])
    around = torch.cat([latents[:, :, top : top + height, left : left + width] for top, left in points], dim=1)
    unlike = 1 - torch.cosine_similarity(around, probe[None, :, None, None], dim=1)
    for candidates in (unlike[:1], unlike):
        index = int(candidates.argmin())
        if float(candidates.flatten()[index]) < _SAME:
            top, left = divmod(index % (height * width), width)
            return top, left
    return None


def _samples(rows: Tensor) -> Tensor:
    """Values that stand for each row, evenly spread over it; on the CPU."""
    flat = rows.flatten(1)
    return _on_cpu(flat[:, :: max(1, flat.shape[1] // _SAMPLES)])


def _on_cpu(rows: Tensor) -> Tensor:
    """In float32 on the CPU, which can compare all that an accelerator may hold, and is waited for in any case."""
    return rows.cpu().float()


def _equal(value: Tensor, other: Tensor) -> bool:
    """Whether all values are the same; what is no number is like what is no number."""
    if value.shape != other.shape:
        return False
    return torch.equal(value, other) or torch.equal(value.nan_to_num(), other.nan_to_num())
