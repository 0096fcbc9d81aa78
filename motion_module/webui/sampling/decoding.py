"""The host decodes the latents of a video frame by frame: how far that is, and what it need not decode."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor

from modules import processing
from motion_module.core.denoising.noise import noise_as_pictures
from motion_module.patching import replaced_call
from motion_module.stand_in import StandIn, given_original
from motion_module.webui.amounts import units_of
from motion_module.webui.host_counters import show
from motion_module.webui.progress import Progress

DECODE = "decode_latent_batch"  # the host's function


def decoding_shown(
    progress: Progress, around: Callable[[], AbstractContextManager[None]] = nullcontext
) -> AbstractContextManager[StandIn]:
    """Inside the block, every frame of a video that the host decodes is shown. What hires fix decodes between its
    passes, and other extensions for a picture of their own, is none.

    Where a video was stopped before anything was made of its noise, the noise itself is shown: decoding it would take
    as long as for any video, and give nothing to look at.

    Args:
        progress: of the run.
        around: entered while the frames of a video are decoded.
    """

    def decode(original: Callable[..., Any], model: Any, batch: Tensor, *args: Any, **kwargs: Any) -> Any:
        if not progress.awaits_decoding:
            return original(model, batch, *args, **kwargs)
        decoder = _Decoder(progress, len(batch))
        with around(), replaced_call(model, "decode_first_stage", given_original(decoder)):
            pictures = original(model, batch, *args, **kwargs)
        progress.all_decoded()
        return pictures

    return replaced_call(processing, DECODE, given_original(decode))


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
        show(f"decoding frame {self._done + 1} of {self._frames}")
        pictures = original(latents, *args, **kwargs)
        self._done += len(latents)
        self._progress.decoded(units_of(pictures.shape[-1] * pictures.shape[-2], pictures.shape[0]))
        return pictures
