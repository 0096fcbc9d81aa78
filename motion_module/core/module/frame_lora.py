"""A motion LoRA beside a layer's weights, not in them: with a weight for each frame, or where the host merges none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from motion_module.core.module.call_frames import CallFrames, times
from motion_module.core.module.lora import LowRank


@contextmanager
def added_by_frame(layer: nn.Module, low_rank: LowRank, name: str, call: CallFrames) -> Iterator[None]:
    """Inside the block the layer adds `weight[frame] * alpha / rank * up(down(x))` to what it makes of x.

    Args:
        layer: a linear one of a motion module; gets `(pixels, f, c)`.
        low_rank: what the LoRA has for it.
        name: of the LoRA, whose weights `call` knows.
        call: shared with the layers.
    """
    with _added(layer, low_rank, lambda added, x: times(added, call.weight_of(name, x))):
        yield


@contextmanager
def added_always(layer: nn.Module, low_rank: LowRank, weight: float) -> Iterator[None]:
    """Inside the block the layer adds `weight * alpha / rank * up(down(x))`; arguments as above."""
    with _added(layer, low_rank, lambda added, x: added * weight):
        yield


@contextmanager
def _added(layer: nn.Module, low_rank: LowRank, weighed: Callable[[Tensor, Tensor], Tensor]) -> Iterator[None]:
    down, up = low_rank.down.flatten(1), low_rank.up.flatten(1)
    up = up * (1.0 if low_rank.alpha is None else low_rank.alpha / down.shape[0])
    ready: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def add(module: nn.Module, args: tuple[Any, ...], out: Tensor) -> Tensor:
        x = args[0]
        key = x.device, x.dtype
        if key not in ready:
            ready[key] = down.to(*key), up.to(*key)
        added = functional.linear(functional.linear(x, ready[key][0]), ready[key][1])
        return out + weighed(added, x).to(out.dtype)

    handle = layer.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
