"""Attention as several libraries do it: the same result, another need of memory and of the device.

All take q, k and v as `(pixels, heads, f, c)` and scale by `c ** -0.5`, which torch 2.0 does not let anybody change.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor
from torch.nn import functional

from motion_module.core.module.devices import tried

SDP, XFORMERS, SPLIT = "sdp", "xformers", "split"
WAYS = (SDP, XFORMERS, SPLIT)
_Way = Callable[[Tensor, Tensor, Tensor], Tensor]
_WHAT = "attention between frames"
_CHOSEN: ContextVar[str] = ContextVar("attention", default=SDP)


@contextmanager
def attending_by(way: str) -> Iterator[None]:
    """Inside the block attention is calculated in one of `WAYS`, as far as the device can."""
    token = _CHOSEN.set(way)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention in the chosen way; where the device or the machine cannot, in the next one, with a line in the log."""
    way = _CHOSEN.get()
    if way == SPLIT:
        return by_parts(q, k, v)
    if way == XFORMERS and q.device.type == "cuda":  # it has kernels for CUDA alone
        return tried(
            f"{_WHAT} by xformers", q.device, lambda: by_xformers(q, k, v), lambda: _by_torch(q, k, v), "by torch"
        )
    return _by_torch(q, k, v)


def _by_torch(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return tried(_WHAT, q.device, lambda: by_sdp(q, k, v), lambda: by_parts(q, k, v), "step by step")


def by_sdp(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """By torch, which chooses a kernel for the device."""
    return functional.scaled_dot_product_attention(q, k, v)


def by_xformers(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """By xformers, which wants `(pixels, f, heads, c)`.

    Raises:
        NotImplementedError: it is not installed, or has no kernel for this.
    """
    try:
        ops = importlib.import_module("xformers.ops")
    except ImportError as error:
        raise NotImplementedError("xformers is not installed") from error
    there = (tensor.transpose(1, 2).contiguous() for tensor in (q, k, v))
    made: Tensor = ops.memory_efficient_attention(*there)
    return made.transpose(1, 2)


def by_parts(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Product, softmax, product: for devices without a kernel for all of it."""
    return torch.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, dim=-1) @ v
