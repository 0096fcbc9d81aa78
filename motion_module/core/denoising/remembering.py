"""Windows that remember: what the first window shows is mixed into the later ones, the less the less noise is left.

Each later window is drawn near the first one while its picture is laid out, and goes its own way with the details. As
NaiveReuse of AnimateDiff-Evolved does, in terms of the latents that an answer stands for: noises differ from frame to
frame, and must not be mixed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from motion_module.windows import Window


@dataclass(frozen=True)
class Prediction:
    """What a model's answer says of the latents x0 in its input `x = sqrt(a) x0 + sqrt(1 - a) noise`.

    Attributes:
        alphas: a of each timestep.
        of_v: it answers `sqrt(a) noise - sqrt(1 - a) x0`, not the noise.
    """

    alphas: Tensor
    of_v: bool = False

    def slope(self, t: Tensor) -> Tensor:
        """How much an answer grows with x where x0 stays the same.

        Args:
            t: timesteps, which may lie between two whole ones.
        """
        alphas = self.alphas.to(device=t.device, dtype=torch.float32).clamp(1e-9, 1 - 1e-6)  # some end with 0
        at = t.float().clamp(0, len(alphas) - 1)
        low, high = at.floor().long(), at.ceil().long()
        odds = torch.log(alphas / (1 - alphas))  # straight between two timesteps, as samplers see them
        a = torch.sigmoid(odds[low] + (odds[high] - odds[low]) * (at - low))
        return (a if self.of_v else torch.ones_like(a)).sqrt() / (1 - a).sqrt()


@dataclass(frozen=True)
class Memory:
    """How much later windows remember of the first one.

    Attributes:
        weight: share of the first window in the later ones where all is noise, 0..1; it falls with the timestep, to 0.
        prediction: what the answers of the model of the moment say.
    """

    weight: float
    prediction: Callable[[], Prediction]

    def recall(self, windows: Sequence[Window], x: Tensor, t: Tensor, frames: int) -> Recall:
        """What is remembered in one call of the denoiser; arguments as those of `Recall`."""
        prediction = self.prediction()
        share = self.weight * (t.float() / (len(prediction.alphas) - 1)).clamp(0, 1)
        return Recall(windows, frames, x, prediction.slope(t), share)


class Recall:
    """What the later windows of one denoiser call remember of the first one.

    The first window is the one that begins nearest to the first frame, of those that are computed; where windows leave
    out frames (a stride), those with the same distance between their frames have a first one of their own.

    Args:
        windows: those that are computed.
        frames: N, frames of the video.
        x: `(rows, c, h, w)`, the input of the whole call.
        slope, share: of each row.

    Attributes:
        windows: the same, first ones first.
    """

    def __init__(self, windows: Sequence[Window], frames: int, x: Tensor, slope: Tensor, share: Tensor) -> None:
        self._frames = frames
        self._x, self._slope, self._share = x, slope, share
        self._first: dict[int, Window] = {}
        for window in sorted(windows, key=lambda window: window[0]):
            self._first.setdefault(self._distance(window), window)
        self.windows = sorted(windows, key=lambda window: window is not self._first[self._distance(window)])
        self._kept: dict[tuple[int, int], Tensor] = {}

    def mixed(self, branches: Sequence[Sequence[int]], windows: Sequence[Window], out: Tensor) -> Tensor:
        """What one call of the model has made, with what is remembered.

        Args:
            branches: for each branch in this call the row of each frame of the video.
            windows: those in this call.
            out: for each branch, for each window its frames, one behind the other.
        """
        made = []
        for (branch, window), own in zip(itertools.product(branches, windows), out.split(len(windows[0])), strict=True):
            distance = self._distance(window)
            first, key = self._first[distance], (branch[0], distance)
            if window is first:
                self._kept[key] = own
                made.append(own)
            else:
                made.append(self._near(own, self._kept[key], [branch[f] for f in window], [branch[f] for f in first]))
        return torch.cat(made)

    def _near(self, own: Tensor, kept: Tensor, rows: Sequence[int], first: Sequence[int]) -> Tensor:
        """`own` mixed with an answer that stands for the same latents as `kept`, in frames of other noise."""
        here, there = (torch.tensor(each, device=self._x.device) for each in (rows, first))
        shape = (-1, *[1] * (own.dim() - 1))
        slope, share = self._slope[here].view(shape), self._share[here].view(shape)
        latents = self._x[:, : own.shape[1]]  # an inpainting model's x holds the masked picture, too
        again = kept.float() + slope * (latents[here] - latents[there]).float()
        return (own.float() + share * (again - own.float())).to(own.dtype)

    def _distance(self, window: Window) -> int:
        return (window[1] - window[0]) % self._frames if len(window) > 1 else 0
