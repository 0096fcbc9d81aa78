"""FreeInit around the host's own sampling: the same sampler runs again, from noise that remembers the last result."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor

from modules import shared
from motion_module.core.denoising.freeinit import low_pass, mix_frequencies, noised_again
from motion_module.params import VideoParams
from motion_module.webui.host import host
from motion_module.webui.host_types import Processing, is_stopped
from motion_module.webui.sampling.samplers import SAMPLE, SAMPLE_IMG2IMG, each_pass

_METHODS = {SAMPLE: 1, SAMPLE_IMG2IMG: 2}  # name -> which argument is the noise (p, x / p, x, noise)


def freeinit_passes(p: Processing, params: VideoParams) -> AbstractContextManager[None]:
    """Every sampler that `p` uses inside the block samples `params.freeinit_iters` times."""
    if not params.freeinit_enable:
        return nullcontext()
    return each_pass(p, lambda sampler, name: functools.partial(_passes, sampler, params, _METHODS[name]))


def _passes(
    sampler: Any, params: VideoParams, noise_arg: int, once: Callable[..., Tensor], *args: Any, **kwargs: Any
) -> Tensor:
    noise = args[noise_arg].clone()
    frames, _, height, width = noise.shape
    mask = low_pass((frames, height, width), params.freeinit_filter, params.freeinit_ds, params.freeinit_dt)
    result = once(*args, **kwargs)
    for _ in range(params.freeinit_iters - 1):
        if is_stopped(shared.state):
            break
        shared.state.nextjob()
        again = noised_again(result, noise, host.last_alpha(shared.sd_model))
        mixed = mix_frequencies(again, noise, mask)
        latents = once(*args[:noise_arg], mixed, *args[noise_arg + 1 :], **kwargs)
        if is_stopped(shared.state) and not sampler.model_wrap_cfg.step:
            break  # what it gives is the noise that it has begun with
        result = latents
    return result
