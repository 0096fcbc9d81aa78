"""The temporal transformer that a motion module puts behind each block of the UNet (AnimateDiff, 2307.04725).

Everything behind its GroupNorm is independent from pixel to pixel, and is therefore done in blocks of pixels: the
temporaries stay in the processor's cache, and their size does not grow with the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from motion_module.core.module.arch import ModuleSpec
from motion_module.core.module.attention import MAX_BATCH_HEADS, TemporalAttention
from motion_module.core.module.call_frames import CallFrames, Factor, times
from motion_module.core.module.devices import autocasts
from motion_module.core.module.pieces import most_values

_CPU_BLOCK = 64  # pixels; measured, see tests/bench/bench_unet.py
_TILE = 64  # rows of a product that a kernel takes at once


class GatedLinear(nn.Module):
    """The first half of a GEGLU feed-forward (2002.05202): linear(x) * gelu(linear'(x))."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, inner * 2)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * functional.gelu(gate)


class FeedForward(nn.Module):
    """GEGLU, four times as wide inside; the middle of `net` is where training has its dropout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([GatedLinear(width, width * 4), nn.Identity(), nn.Linear(width * 4, width)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.net:
            x = layer(x)
        return x


class TransformerBlock(nn.Module):
    """Temporal attentions, then a feed-forward; each with its LayerNorm before and its input added behind."""

    def __init__(self, width: int, spec: ModuleSpec) -> None:
        super().__init__()
        attentions = [TemporalAttention(width, spec.heads, spec.frames) for _ in range(spec.attentions)]
        self.attention_blocks = nn.ModuleList(attentions)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in attentions])
        self.ff = FeedForward(width)
        self.ff_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, scale: Factor) -> Tensor:
        for norm, attention in zip(self.norms, self.attention_blocks, strict=True):
            x = x + attention(norm(x), scale)
        return x + self.ff(self.ff_norm(x))


class TemporalTransformer(nn.Module):
    """`(b f) c h w -> (b f) c h w`: what the frames tell each other, added to the input."""

    def __init__(self, width: int, spec: ModuleSpec) -> None:
        super().__init__()
        self.heads = spec.heads
        self.norm = nn.GroupNorm(32, width, eps=1e-6)
        self.proj_in = nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, spec) for _ in range(spec.depth)])
        self.proj_out = nn.Linear(width, width)

    def forward(self, x: Tensor, call: CallFrames, level: int | None = None) -> Tensor:
        """Raises HostError where the rows do not fit the call, ParamError for more frames than were learnt."""
        copies, effect, scale = call.copies(x.shape[0]), call.effect_of(x, level), call.motion_scale_of(x)
        if not isinstance(effect, Tensor) and not effect:
            return x
        last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        out = _ordered(self.norm(_in_weights_dtype(x, self.norm.weight)).to(x.dtype), last)
        source, target = _per_pixel(_ordered(x, last), copies), _per_pixel(out, copies)
        for block in _blocks(source, self.heads):
            call.at(x.shape[0], block[0])
            added = self._of_pixels(_in_weights_dtype(target[block], self.proj_in.weight), _of_copies(scale, block))
            added = added.to(x.dtype).view(target[block].shape)
            added = added if isinstance(effect, float) and effect == 1 else times(added, _of_copies(effect, block))
            _put_sum(target[block], source[block], added)
        return out

    def _of_pixels(self, x: Tensor, scale: Factor) -> Tensor:
        """What is added at some pixels of some copies: `(b, pixels, f, c) -> (b * pixels, f, c)`."""
        if isinstance(scale, Tensor):
            scale = scale.expand(-1, x.shape[1], -1, -1).reshape(-1, 1, x.shape[2], 1)
        x = self.proj_in(x.flatten(0, 1).contiguous())  # torch is slow at products with strided pixels
        for block in self.transformer_blocks:
            x = block(x, scale)
        return self.proj_out(x)


class MotionModule(nn.Module):
    """One layer as the UNet calls it, `layer(x)`; `call` is shared by all layers in a UNet.

    Attributes:
        width: channels.
        level: of the UNet, as `MotionModel.levels` counts them; None where nobody knows.
    """

    def __init__(self, width: int, spec: ModuleSpec) -> None:
        super().__init__()
        self.width = width
        self.level: int | None = None
        self.call = CallFrames()
        self.temporal_transformer = TemporalTransformer(width, spec)

    def forward(self, x: Tensor) -> Tensor:
        """`x: (b f) c h w`, the frames of a copy one behind the other."""
        return self.temporal_transformer(x, self.call, self.level)


class LentLayer(MotionModule):
    """A layer as it stands in somebody's UNet: it holds the layer's weights until `give_back`.

    Afterwards it holds nothing and changes nothing, so that whoever has kept it may put it back.

    Args:
        layer: whose weights it shares.
        call: what the layer must know about each call of the UNet.
        level: of the UNet.
        stays: its weights stay where they are when the UNet is moved.
    """

    def __init__(self, layer: MotionModule, call: CallFrames, level: int | None = None, stays: bool = False) -> None:
        nn.Module.__init__(self)  # no weights of its own
        self.width = layer.width
        self.level = level
        self.stays = stays
        self.lend(layer, call)

    def _apply(self, fn: Any, *args: Any, **kwargs: Any) -> LentLayer:
        return self if self.stays else super()._apply(fn, *args, **kwargs)

    @property
    def empty(self) -> bool:
        """Whether it has been given back."""
        return self._modules["temporal_transformer"] is None

    def lend(self, layer: MotionModule, call: CallFrames) -> None:
        """Hold the layer (again)."""
        self.training = layer.training
        self.call = call
        self.temporal_transformer = layer.temporal_transformer

    def give_back(self) -> None:
        """Hold nothing any more."""
        self.call = CallFrames()
        self._modules["temporal_transformer"] = None

    def forward(self, x: Tensor) -> Tensor:
        """`x: (b f) c h w`, the frames of a copy one behind the other; x itself while it rests or is given back."""
        return x if self.empty or self.call.resting else super().forward(x)


def _blocks(x: Tensor, heads: int) -> Iterator[tuple[slice, slice]]:
    """Cut `x: (b, pixels, f, c)` along its first two dimensions into pieces of the right size for the device."""
    copies, pixels, frames, channels = x.shape
    limit = _CPU_BLOCK if x.device.type == "cpu" else max(1, most_values() // (frames * channels))
    size = _even(pixels, min(limit, MAX_BATCH_HEADS // heads))
    rows = max(1, size // pixels)
    for b in range(0, copies, rows):
        for p in range(0, pixels, size):
            yield slice(b, b + rows), slice(p, p + size)


def _even(pixels: int, limit: int) -> int:
    """The size of pieces of at most `limit` pixels, of which none is much smaller than the others, because a small one
    takes a GPU as long as a large one. Whole tiles, where that is possible."""
    if pixels <= limit:
        return limit
    size = -(-pixels // -(-pixels // limit))
    tiled = -(-size // _TILE) * _TILE
    return tiled if tiled <= limit else size


def _ordered(x: Tensor, last: bool) -> Tensor:
    """`x: n c h w` one after the other in memory; with the channels last, where the UNet works so."""
    return x.contiguous(memory_format=torch.channels_last) if last else x.contiguous()


def _put_sum(target: Tensor, one: Tensor, other: Tensor) -> None:
    """One pass over memory instead of two, where nobody wants gradients."""
    if torch.is_grad_enabled() and (one.requires_grad or other.requires_grad):
        target.copy_(one + other)
    else:
        torch.add(one, other, out=target)


def _of_copies(factor: Factor, block: tuple[slice, slice]) -> Factor:
    """The factor of the copies in a block."""
    return factor[block[0]] if isinstance(factor, Tensor) else factor


def _per_pixel(x: Tensor, copies: int) -> Tensor:
    """A view, never a copy: `(b f) c h w -> b (h w) f c`."""
    frames, channels = x.shape[0] // copies, x.shape[1]
    if x.is_contiguous():
        return x.view(copies, frames, channels, -1).permute(0, 3, 1, 2)
    return x.permute(0, 2, 3, 1).view(copies, frames, -1, channels).transpose(1, 2)


def _in_weights_dtype(x: Tensor, weight: Tensor) -> Tensor:
    """`x` as the weights can take it; under autocast torch sees to that itself."""
    return x if autocasts(x.device.type) else x.to(weight.dtype)
