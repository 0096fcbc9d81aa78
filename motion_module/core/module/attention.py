"""Attention between the frames at one place of the picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from motion_module.core.module.attention_ways import attended
from motion_module.core.module.call_frames import Factor, times
from motion_module.core.module.devices import cast_once, where_it_can
from motion_module.errors import ParamError
from motion_module.patching import replaced
from motion_module.wording import mention

MAX_BATCH_HEADS = 65_535  # a CUDA grid's second and third dimension end here, and kernels put batch*heads there


def sinusoid(frames: int, width: int) -> Tensor:
    """Positions as in "Attention Is All You Need", 1706.03762 section 3.5: (1, frames, width), float32, on the CPU.

    Also where a model is built on the device "meta", whose sines take torch seconds to prepare.
    """
    position = torch.arange(frames, dtype=torch.float32, device="cpu")[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32, device="cpu") * (-math.log(10000.0) / width))
    table = torch.zeros(1, frames, width, device="cpu")
    table[0, :, 0::2] = torch.sin(position * rate)
    table[0, :, 1::2] = torch.cos(position * rate)
    return table


class Positions(nn.Module):
    """Adds the stored positions of the frames to `(..., f, c)`.

    Attributes:
        pe: `(1, positions, c)`.
        stretch: so many of them are spread over the frames where these are more; 0 for none.
    """

    pe: Tensor

    def __init__(self, frames: int, width: int) -> None:
        super().__init__()
        self.stretch = 0
        self.register_buffer("pe", sinusoid(frames, width))

    def forward(self, x: Tensor) -> Tensor:
        frames, learnt = x.shape[-2], self.pe.shape[1]
        if self.stretch and frames > min(self.stretch, learnt):
            return x + stretched(self.pe[0, : self.stretch], frames).to(x.dtype)
        if frames > learnt:
            raise ParamError(
                f"This motion module has learnt {learnt} frames at a time, but the context window has {frames}: "
                f"set {mention('batch_size')} to {learnt} or less, or {mention('pe_stretch')} to {learnt}"
            )
        return x + self.pe[0, :frames].to(x.dtype)


def stretched(positions: Tensor, frames: int) -> Tensor:
    """Positions for more frames than there are positions: the first and the last stay, straight lines between.

    Position Interpolation (Chen et al., 2306.15595) for a learnt table.

    Args:
        positions: `(p, c)`, at least two of them, or one for all frames.
        frames: f, more than p.

    Returns:
        `(f, c)`, calculated in float32 at least and rounded once, to the dtype of the positions.
    """
    exact, last = positions.to(torch.promote_types(positions.dtype, torch.float32)), len(positions) - 1
    place = torch.arange(frames, device=positions.device) * last  # in parts of frames - 1, so that no place is rounded
    left = place.div(frames - 1, rounding_mode="floor").clamp(max=max(0, last - 1))
    share = (place - left * (frames - 1)).to(exact.dtype) / (frames - 1)
    ends = exact[left], exact[(left + 1).clamp(max=last)]
    return where_it_can("PE stretch", torch.lerp, *ends, share[:, None].expand_as(ends[0])).to(positions.dtype)


@contextmanager
def stretching(layers: Iterable[nn.Module], positions: int) -> Iterator[None]:
    """Inside the block these layers spread so many of their positions over longer windows; 0 changes nothing."""
    with ExitStack() as stack:
        for part in (part for layer in layers for part in layer.modules()) if positions else ():
            if isinstance(part, Positions):
                stack.enter_context(replaced(part, "stretch", positions))
        yield


class TemporalAttention(nn.Module):
    """Self-attention over the frames; the positions are part of the input of q, k and v.

    The parts are plain `nn.Linear` under their published names and are called, so that a LoRA of the host that hooks
    linear layers reaches them.
    """

    def __init__(self, width: int, heads: int, frames: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(width, width, bias=False)
        self.to_v = nn.Linear(width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])
        self.pos_encoder = Positions(frames, width)

    def forward(self, x: Tensor, scale: Factor = 1.0) -> Tensor:
        """Attend within each row of `x: (pixels, f, c)`; `pixels * heads` is at most `MAX_BATCH_HEADS`.

        Args:
            x: of some pixels.
            scale: multiplies q.k: a number, or `(pixels, 1, f, 1)` with one for each frame that looks at the others.
        """
        pixels, frames, width = x.shape
        x = cast_once(self.pos_encoder(x))
        q, k, v = (
            part(x).view(pixels, frames, self.heads, width // self.heads).transpose(1, 2)
            for part in (self.to_q, self.to_k, self.to_v)
        )
        mixed = attended(q if not isinstance(scale, Tensor) and scale == 1 else times(q, scale), k, v)
        return self.to_out[0](mixed.transpose(1, 2).reshape(pixels, frames, width))
