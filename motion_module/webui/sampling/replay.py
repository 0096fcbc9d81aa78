"""The host's denoiser answers from what is noted of a run that broke off, until that is used up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from modules import sd_samplers_common, shared
from motion_module.core.denoising.noted_calls import NotedCall, set_generators
from motion_module.patching import assign, assign_items, replaced_call
from motion_module.stand_in import given_original
from motion_module.webui.host import host
from motion_module.webui.host_types import Processing, is_stopped
from motion_module.webui.progress import progress_of
from motion_module.webui.sampling.denoiser_steps import calls_of
from motion_module.webui.sampling.record import Record
from motion_module.webui.sampling.samplers import each_pass


def noting(p: Processing, record: Record | None) -> AbstractContextManager[None]:
    """The answers of every sampler's denoiser that `p` uses inside the block are played back, or else noted.

    To be entered after what answers in a denoiser's place (frozen frames): that changes what it is asked.
    """
    return (
        nullcontext() if record is None else each_pass(p, lambda sampler, _: _Pass(p, sampler.model_wrap_cfg, record))
    )


@dataclass(frozen=True)
class _Pass:
    """One pass of a sampler, in the place of its method."""

    p: Processing
    denoiser: Any
    record: Record

    def __call__(self, original: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        with replaced_call(self.denoiser, "forward", given_original(self._answer)):
            return original(*args, **kwargs)

    def _answer(self, original: Callable[..., Tensor], x: Tensor, sigma: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        noted = self.record.played_back(x, sigma)
        if noted is not None:
            return self._as_noted(noted, x, sigma)
        denoiser, before = self.denoiser, dict(self.p.extra_generation_params)
        with self.record.noting(x, sigma, calls_of(denoiser)) as answer:
            out = original(x, sigma, *args, **kwargs)
            answer.value = out
            if getattr(denoiser, "need_last_noise_uncond", False):
                answer.negative = denoiser.last_noise_uncond
            answer.notes = _plain(self.p.extra_generation_params, before)
        return out

    def _as_noted(self, noted: NotedCall, x: Tensor, sigma: Tensor) -> Tensor:
        """All that a call leaves behind for the sampler, for the host and for later calls.

        Raises:
            InterruptedException: the person has asked to stop.
        """
        if is_stopped(shared.state):
            raise sd_samplers_common.InterruptedException
        denoiser = self.denoiser
        host.change_checkpoint_in_turn(denoiser, x, sigma)
        out = noted.answer.to(x.device)
        if noted.negative is not None:
            assign(denoiser, last_noise_uncond=noted.negative.to(x.device))
        assign(denoiser.sampler, last_latent=host.predicted_x0(denoiser)(x, out, sigma))
        set_generators(noted.generators, x.device)
        assign_items(self.p.extra_generation_params, {name: json.loads(value) for name, value in noted.notes.items()})
        progress_of(self.p).played_back(denoiser.step, calls_of(denoiser))
        assign(denoiser, step=denoiser.step + 1)
        return out


def _plain(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, str]:
    """As JSON, what was not there before."""
    new = {name: value for name, value in now.items() if name not in before}
    return {name: json.dumps(value) for name, value in new.items() if isinstance(value, (bool, int, float, str))}
