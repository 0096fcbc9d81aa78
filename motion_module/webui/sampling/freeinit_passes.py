"""FreeInit around the host's own sampling: the same sampler runs again, from noise that remembers the last result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor

from modules import sd_samplers, shared
from motion_module.core.denoising.freeinit import low_pass, mix_frequencies, noised_again
from motion_module.params import VideoParams
from motion_module.patching import replaced_call
from motion_module.stand_in import given_original
from motion_module.webui.host import host
from motion_module.webui.host_types import Processing, is_stopped

_METHODS = {"sample": 1, "sample_img2img": 2}  # name -> which argument is the noise (p, x / p, x, noise)


@contextmanager
def freeinit_passes(p: Processing, params: VideoParams) -> Iterator[None]:
    """Every sampler that `p` uses inside the block samples `params.freeinit_iters` times.

    img2img has its sampler already; txt2img and hires fix make theirs inside `p.sample`.
    """
    if not params.freeinit_enable:
        yield
        return
    with ExitStack() as stack:

        def create_sampler(create: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            return _repeating(create(*args, **kwargs), params, stack)

        if getattr(p, "sampler", None) is not None:
            _repeating(p.sampler, params, stack)
        stack.enter_context(replaced_call(sd_samplers, "create_sampler", given_original(create_sampler)))
        yield


def _repeating(sampler: Any, params: VideoParams, stack: ExitStack) -> Any:
    for name, noise_arg in _METHODS.items():
        passes = functools.partial(_passes, sampler, params, noise_arg)
        stack.enter_context(replaced_call(sampler, name, given_original(passes)))
    return sampler


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
