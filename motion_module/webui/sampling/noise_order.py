"""FreeNoise's order in the noise that sampling begins with, and in what a sampler adds in its steps."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor

from motion_module.core.denoising.noise import free_noise
from motion_module.params import FREENOISE, VideoParams
from motion_module.webui.host import host
from motion_module.webui.host_types import Processing
from motion_module.webui.sampling.samplers import each_pass

Order = Callable[[Tensor], None]
"""Puts noise f c h w into order, in place."""


def order_of(p: Processing, params: VideoParams) -> Order | None:
    """The order in which later frames of the video that is made repeat the noise of the first ones; None for none."""
    if params.noise != FREENOISE:
        return None
    context, overlap, seed = params.batch_size, params.windows.shared_frames, int(p.seeds[0])
    return lambda noise: free_noise(noise, context, overlap, seed)


def keeping_order(p: Processing, order: Order | None) -> AbstractContextManager[None]:
    """What every sampler that `p` uses inside the block adds has the order, too; None changes nothing."""
    if order is None:
        return nullcontext()
    return each_pass(p, lambda *_: functools.partial(_pass, p, order))


def _pass(p: Processing, order: Order, original: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    with host.noise_of_steps(p, order):
        return original(*args, **kwargs)
