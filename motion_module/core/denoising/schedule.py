"""The noise schedules that motion modules were trained with, lent to the model while they are in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from motion_module.errors import ParamError
from motion_module.patching import put_right, replaced_value
from motion_module.settings import KEEP

_START, _END = 0.00085, 0.012


def _linear(end: float) -> Callable[[int], Tensor]:
    return lambda timesteps: torch.linspace(_START, end, timesteps, dtype=torch.float32)


def _square_root_linear(end: float) -> Callable[[int], Tensor]:
    return lambda timesteps: torch.linspace(_START**0.5, end**0.5, timesteps, dtype=torch.float32) ** 2


SCHEDULES: Mapping[str, Callable[[int], Tensor]] = {  # name -> betas of that many timesteps
    "linear": _linear(_END),
    "sqrt-linear": _square_root_linear(_END),  # Stable Diffusion's own
    "sqrt-linear 0.020": _square_root_linear(0.020),
}


def alphas_cumprod(schedule: str, timesteps: int) -> Tensor:
    """cumprod(1 - betas) of a schedule in `SCHEDULES`, float32.

    Raises:
        ParamError: no such schedule.
    """
    if schedule not in SCHEDULES:
        raise ParamError(f"There is no schedule {schedule!r}; choose one of {', '.join(SCHEDULES)}")
    return torch.cumprod(1.0 - SCHEDULES[schedule](timesteps), dim=0)


@contextmanager
def lent_schedule(sd_model: Any, attributes: Sequence[str], schedule: str) -> Iterator[None]:
    """The model with another schedule, which comes back as the very tensors it was.

    Samplers copy the schedule when they are made, so they must be made inside. `KEEP` changes nothing.

    Args:
        sd_model: the host's.
        attributes: the attributes in which it holds cumprod(1 - betas), as far as it has them.
        schedule: one of `SCHEDULES`, or `KEEP`.
    """
    put_schedule_right(sd_model, attributes)
    with ExitStack() as stack:
        if schedule != KEEP:
            for name in attributes:
                own = getattr(sd_model, name, None)
                if own is not None:
                    lent = alphas_cumprod(schedule, own.shape[0]).to(own)
                    stack.enter_context(replaced_value(sd_model, name, lent))
        yield


def put_schedule_right(sd_model: Any, attributes: Sequence[str]) -> None:
    """Take a schedule of ours that somebody has kept, and put back when its loan was over, off the model again."""
    for name in attributes:
        put_right(sd_model, name)
