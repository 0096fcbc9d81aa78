"""The host decodes the latents of a video frame by frame: how far that is, and what it need not decode."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor

from modules import processing, shared
from motion_module.core.denoising.noise import noise_as_pictures
from motion_module.patching import replaced_call
from motion_module.stand_in import StandIn, given_original
from motion_module.webui.progress import Progress

_MILLION = 1_000_000


def decoding_shown(progress: Progress) -> AbstractContextManager[StandIn]:
    """Inside the block, every frame of a video that the host decodes is told. What hires fix decodes between its
    passes, and other extensions for a picture of their own, is none.

    Where a video was stopped before anything was made of its noise, the noise itself is shown: decoding it would take
    as long as for any video, and give nothing to look at.
    """

    def decode(original: Callable[..., Any], model: Any, batch: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not progress.awaits_decoding:
            return original(model, batch, *args, **kwargs)
        decoder = _Decoder(progress, len(batch))
        with replaced_call(model, "decode_first_stage", given_original(decoder)):
            return original(model, batch, *args, **kwargs)

    return replaced_call(processing, "decode_latent_batch", given_original(decode))


class _Decoder:
    """Stands for the model's decoder while the frames of one video are decoded."""

    def __init__(self, progress: Progress, frames: int) -> None:
        self._progress, self._frames = progress, frames
        self._done = 0
        self._thread = threading.get_ident()
        progress.decoding()

    def __call__(self, original: Callable[..., Tensor], latents: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if threading.get_ident() != self._thread:
            return original(latents, *args, **kwargs)  # a live preview
        if not self._progress.anything_made:
            return noise_as_pictures(latents, processing.opt_f)
        shared.state.textinfo = f"AnimateDiff: decoding frame {self._done + 1} of {self._frames}"
        pictures = original(latents, *args, **kwargs)
        self._done += len(latents)
        self._progress.decoded(pictures.shape[0] * pictures.shape[-1] * pictures.shape[-2] / _MILLION)
        return pictures
