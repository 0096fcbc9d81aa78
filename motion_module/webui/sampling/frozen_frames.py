"""Frames that are frozen while the host samples: its denoiser answers for them with what is given."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from modules import sd_samplers_common
from motion_module.core.denoising.frozen import FrozenFrames
from motion_module.core.denoising.sliding import Wanted
from motion_module.patching import assign, replaced_call
from motion_module.stand_in import given_original
from motion_module.webui.host import host
from motion_module.webui.host_types import Processing
from motion_module.webui.sampling.denoiser_steps import step_of
from motion_module.webui.sampling.samplers import SAMPLE, each_pass

FrozenOf = Callable[[Tensor], FrozenFrames | None]
"""What is frozen in a sampling pass over latents `x: f c h w`."""


def freezing(p: Processing, frozen_of: FrozenOf | None, wanted: Wanted) -> AbstractContextManager[None]:
    """Every sampler that `p` uses inside the block keeps these frames; None changes nothing.

    Args:
        p: the host's processing object.
        frozen_of: tells of them.
        wanted: is told which frames the model is needed for.
    """
    if frozen_of is None:
        return nullcontext()
    return each_pass(p, lambda sampler, name: _Pass(sampler.model_wrap_cfg, frozen_of, wanted, name == SAMPLE))


@dataclass(frozen=True)
class _Pass:
    """One pass of a sampler, in the place of its method.

    Attributes:
        denoiser: the sampler's.
        frozen_of, wanted: as in `freezing`.
        from_noise: it begins with noise alone.
    """

    denoiser: Any
    frozen_of: FrozenOf
    wanted: Wanted
    from_noise: bool

    def __call__(self, original: Callable[..., Tensor], p: Processing, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        frozen = self.frozen_of(x)
        if frozen is None:
            return original(p, x, *args, **kwargs)
        with replaced_call(self.denoiser, "forward", given_original(functools.partial(self._answer, frozen))):
            return frozen.kept(original(p, x, *args, **kwargs))

    def _answer(
        self,
        frozen: FrozenFrames,
        original: Callable[..., Tensor],
        x: Tensor,
        sigma: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        predict_x0, step = host.predicted_x0(self.denoiser), step_of(self.denoiser)
        if self.from_noise and not self.denoiser.step:
            frozen.put_into_noise(x, sigma, predict_x0)
        with self._left_out(frozen, len(x), step), self._shown(frozen, step):
            out = original(x, sigma, *args, **kwargs)
            seen = self.wanted.seen
        sampler = self.denoiser.sampler
        assign(sampler, last_latent=frozen.given(sampler.last_latent, step))  # an interrupt leaves it
        return frozen.answer(out, x, sigma, step, predict_x0, seen)

    def _left_out(self, frozen: FrozenFrames, frames: int, step: int) -> AbstractContextManager[None]:
        """The model is not asked for windows of frozen frames alone, unless the sampler looks at its other answers."""
        if getattr(self.denoiser, "need_last_noise_uncond", False):  # CFG++
            return nullcontext()
        return self.wanted.only(frozen.free(frames, step))

    def _shown(self, frozen: FrozenFrames, step: int) -> AbstractContextManager[Any]:
        """Live previews show what is given, too."""

        def store(original: Callable[..., Any], latents: Tensor) -> Any:
            return original(frozen.given(latents, step))

        return replaced_call(sd_samplers_common, "store_latent", given_original(store))
