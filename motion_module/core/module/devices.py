"""What a device cannot do is done in another way: Apple's MPS, DirectML and others lack some of torch's functions.

Which ones changes with each version of torch, and each device says so in its own words. So everything that may be
refused goes through here: it is tried, and from its first refusal on done in the other way for the rest of a run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch
from torch import Tensor

from motion_module.memory import is_out_of_memory

_log = logging.getLogger(__name__)
_Made = TypeVar("_Made")
_REFUSALS = (NotImplementedError, RuntimeError, TypeError)  # TypeError: MPS has no float64
_MOST_ON_DEVICE = 256 << 20  # bytes; at 512x512 with two branches sums take 128 KB a frame, SD1.5's text 231 in half
_REFUSED: ContextVar[set[tuple[str, str]] | None] = ContextVar("refused", default=None)


@contextmanager
def refusals_of_run(refused: set[tuple[str, str]]) -> Iterator[None]:
    """Inside the block every kind of work is refused, and logged, once.

    Args:
        refused: what has been refused in the run before; grows.
    """
    token = _REFUSED.set(refused)
    try:
        yield
    finally:
        _REFUSED.reset(token)


def tried(
    kind: str, device: torch.device, way: Callable[[], _Made], other: Callable[[], _Made], where: str = "on the CPU"
) -> _Made:
    """What one way makes, or another one where a device refuses the first.

    Args:
        kind: what is made, as people know it.
        device: that of the first way.
        way, other: make it.
        where: what the other one does, in words.

    Raises:
        Exception: what the other way raises, too; or there is too little memory.
    """
    refused = _REFUSED.get()
    refused = set() if refused is None else refused
    if (kind, device.type) in refused:
        return other()
    try:
        return way()
    except _REFUSALS as error:
        if is_out_of_memory(error):
            raise
        made = other()
        _log.warning("%s is calculated %s, because %s cannot do it (%s)", kind, where, device, _first_line(error))
        refused.add((kind, device.type))
        return made


def place_of_video(device: torch.device, size: int) -> torch.device:
    """Where something of so many bytes is kept that has a part for each frame: sums of windows, conditions.

    On CUDA, as long as it is small: to fetch what each window gives, or to send each its own, is to wait for it. Else
    on the CPU, so that the accelerator's memory does not grow with the video; and where accelerators lack the
    operations for it.
    """
    return device if device.type == "cuda" and size <= _MOST_ON_DEVICE else torch.device("cpu")


def cast_once(x: Tensor) -> Tensor:
    """Under autocast the dtype in which products take `x`, so that several of them do not each cast it."""
    kind = x.device.type
    if not autocasts(kind):
        return x
    dtype = torch.get_autocast_cpu_dtype() if kind == "cpu" else torch.get_autocast_gpu_dtype()
    return x.to(dtype) if x.dtype == torch.float32 else x


def autocasts(kind: str) -> bool:
    """Whether torch casts for products on this kind of device."""
    return torch.is_autocast_cpu_enabled() if kind == "cpu" else torch.is_autocast_enabled()


def where_it_can(kind: str, work: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """What some work makes of tensors: on the device of the first one, else on the CPU and back.

    Args:
        kind: what is made, as people know it.
        work: changes none of its arguments.
        values: its arguments; those on another device than the first one stay there, or come to the CPU.
    """
    device = values[0].device
    if device.type == "cpu":
        return work(*values)
    return tried(kind, device, lambda: work(*values), lambda: work(*(value.cpu() for value in values)).to(device))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
