"""What the layers in the UNet must know about the UNet call that is running."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from motion_module.errors import HostError

Factor = float | Tensor
"""A number for all frames, or `(copies, 1, f, 1)`: one for each frame of each copy."""


@dataclass
class CallFrames:
    """Shared by the motion layers and norms of one borrowed UNet; whoever calls the UNet sets it first.

    Attributes:
        frames: how many frames each copy of the video has in this call; 0 = no call is running.
        motion_scale: multiplies q.k of the temporal attention (more or less motion).
        effect: multiplies what a motion module adds to its input; 0 = still pictures.
        motion_scales, effects: the same for each frame of the whole video, in their place; empty where all are alike.
        levels: multiply the effect in each level of the UNet, as `MotionModel.levels` has them; empty where all are 1.
        weights: of LoRA that count differently in different frames, by name, for each frame of the whole video.
    """

    frames: int = 0
    motion_scale: float = 1.0
    effect: float = 1.0
    motion_scales: Sequence[float] = ()
    effects: Sequence[float] = ()
    weights: dict[str, Sequence[float]] = field(default_factory=dict)
    levels: Sequence[float] = ()
    _resting: bool = field(default=False, init=False)
    _shown: Sequence[int] = field(default=(), init=False)
    _factors: dict[tuple[str, int, torch.device, torch.dtype], Tensor] = field(default_factory=dict, init=False)
    _at: tuple[int, slice] = field(default=(0, slice(None)), init=False, repr=False)

    @property
    def travels(self) -> bool:
        """Whether the layers must know which frame of the video each row shows."""
        return bool(self.motion_scales or self.effects or self.weights)

    @property
    def resting(self) -> bool:
        """Whether the UNet is to do without the motion module in this step: its own norms, and no layers."""
        return self._resting

    def rest(self, resting: bool) -> None:
        """Say for the steps from now on whether the motion module is `resting`."""
        self._resting = resting

    @contextmanager
    def running(self, frames: int, shown: Sequence[int] = ()) -> Iterator[None]:
        """A UNet call with so many frames in each copy is running.

        Args:
            frames: of each copy.
            shown: the frame of the video that each row shows, where `travels`.
        """
        before = self.frames, self._shown, self._factors
        self.frames, self._shown, self._factors = frames, shown, {}
        try:
            yield
        finally:
            self.frames, self._shown, self._factors = before

    def copies(self, rows: int) -> int:
        """How many copies of the video `rows` rows hold.

        Raises:
            HostError: no call is running, or the rows are not whole copies.
        """
        if self.frames < 1:
            raise HostError("A motion layer ran although no frames were announced; the model was called from outside")
        if rows % self.frames:
            raise HostError(f"The UNet was called with {rows} rows, not with whole copies of {self.frames} frames")
        return rows // self.frames

    def motion_scale_of(self, x: Tensor) -> Factor:
        """That of the rows `x: (b f) c h w`; raises HostError as `copies`, and where nobody knows their frames."""
        if not self.motion_scales:
            return self.motion_scale
        return self._factor("motion scale", self.motion_scales, x.shape[0], x)

    def effect_of(self, x: Tensor, level: int | None = None) -> Factor:
        """That of the rows `x: (b f) c h w` in a level of the UNet, None for one that nobody knows.

        Raises:
            HostError: as `copies`, and where nobody knows the frames of the rows.
        """
        share = self.levels[level] if self.levels and level is not None else 1.0
        if not self.effects or not share:
            return self.effect * share
        if share == 1:
            return self._factor("effect", self.effects, x.shape[0], x)
        return self._factor(f"effect, {share} of it", [effect * share for effect in self.effects], x.shape[0], x)

    @contextmanager
    def lora(self, name: str, weights: Sequence[float]) -> Iterator[None]:
        """Inside the block a LoRA has these weights, for each frame of the whole video."""
        self.weights[name] = weights
        try:
            yield
        finally:
            self.weights.pop(name, None)

    def at(self, rows: int, copies: slice) -> None:
        """The parts of a layer are given these copies next, of so many rows of the layer."""
        self._at = rows, copies

    def weight_of(self, lora: str, x: Tensor) -> Tensor:
        """A LoRA's weight at `x: (pixels, f, c)`, of the copies that are next: `(pixels, f, 1)`."""
        rows, copies = self._at
        factor = self._factor(f"LoRA {lora}", self.weights[lora], rows, x)[copies]
        return factor.expand(-1, x.shape[0] // factor.shape[0], -1, -1).reshape(-1, self.frames, 1)

    def _factor(self, what: str, values: Sequence[float], rows: int, x: Tensor) -> Tensor:
        """Made once for all layers of a call; float32, so that half precision rounds it only in the product."""
        copies, dtype = self.copies(rows), torch.promote_types(x.dtype, torch.float32)
        key = what, copies, x.device, dtype
        if key not in self._factors:
            of_rows = [values[frame] for frame in self._shown_by(rows)]
            self._factors[key] = torch.tensor(of_rows, dtype=dtype, device=x.device).view(copies, 1, self.frames, 1)
        return self._factors[key]

    def _shown_by(self, rows: int) -> Sequence[int]:
        """The frame of each row; who calls the UNet for some copies alone may do so where all show the same frames."""
        if len(self._shown) == rows:
            return self._shown
        first = list(self._shown[: self.frames])
        copies = len(self._shown) // self.frames
        if not first or list(self._shown) != first * copies:
            raise HostError(f"The UNet was called with {rows} rows, and {len(self._shown)} were announced")
        return first * self.copies(rows)


def times(x: Tensor, factor: Factor) -> Tensor:
    """`x * factor` in x's dtype; a tensor of equal factors gives what the number gives, bit for bit."""
    return (x * factor).to(x.dtype) if isinstance(factor, Tensor) else x * factor
