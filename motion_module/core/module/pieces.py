"""Work in small pieces, for who has little memory: what a layer needs meanwhile is then that of a piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from motion_module.patching import replaced_call
from motion_module.stand_in import given_original

_LARGE = 1 << 26  # values of a layer's input
_SMALL = 1 << 22  # less saves no more: tests/bench/bench_gpu_memory.py
_MOST: ContextVar[int] = ContextVar("most values of a piece", default=_LARGE)


def most_values() -> int:
    """How many values of a layer's input an accelerator is given at once."""
    return _MOST.get()


@contextmanager
def small_pieces() -> Iterator[None]:
    """Inside the block the motion layers work in small pieces."""
    token = _MOST.set(_SMALL)
    try:
        yield
    finally:
        _MOST.reset(token)


@contextmanager
def in_pieces(layers: Iterable[nn.Module]) -> Iterator[None]:
    """Inside the block these layers are called with a few rows at a time; what comes out is the same but for rounding.

    Args:
        layers: what they make of a row depends on that row alone, of each of their arguments.
    """
    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced_call(layer, "forward", given_original(_by_rows)))
        yield


def _by_rows(forward: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    """What a layer makes of `rows: (n, ...)` each."""
    count = len(rows[0])
    size = max(1, _SMALL // rows[0][0].numel())
    if count <= size:
        return forward(*rows)
    first, *others = (slice(start, start + size) for start in range(0, count, size))
    out = forward(*(each[first] for each in rows))
    made = _room_for(count, out)
    made[first] = out
    del out  # the others need the room
    for piece in others:
        made[piece] = forward(*(each[piece] for each in rows))
    return made


def _room_for(rows: int, piece: Tensor) -> Tensor:
    """For so many rows like those of a piece, in its order of memory."""
    last = piece.dim() == 4 and piece.is_contiguous(memory_format=torch.channels_last) and not piece.is_contiguous()
    order = torch.channels_last if last else torch.contiguous_format
    return torch.empty(rows, *piece.shape[1:], dtype=piece.dtype, device=piece.device, memory_format=order)
