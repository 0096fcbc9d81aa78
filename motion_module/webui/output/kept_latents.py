"""The latents of a video, kept beside its files, so that it can be continued exactly."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from motion_module.core.denoising.latents_file import are_latents, latents_as_file
from motion_module.media.errors import describe
from motion_module.media.placing import replace
from motion_module.webui.output.videos import Saved
from motion_module.webui.request.continued import FAMILY, FPS, latents_file
from motion_module.webui.settings import settings_of

PARAMETERS = "parameters"  # as the WebUI calls an infotext in a file
_log = logging.getLogger(__name__)


def note(latents: dict[int, Tensor], number: int, samples: Any) -> None:
    """Keep what a video was sampled to, if the settings want that.

    Args:
        latents: of the run's videos, by number.
        number: which video, from 0.
        samples: what the host's sampling gives: latents f c h w, or pictures that it has decoded already.
    """
    if settings_of().keep_latents and are_latents(samples):
        latents[number] = samples.detach().cpu()


def write(saved: Saved, latents: Mapping[int, Tensor], fps: float, family: str) -> None:
    """Write the latents of each saved video beside its files; what fails costs the video nothing, and is logged.

    Args:
        saved: what is saved of each video, by its number.
        latents: of the videos that have some.
        fps: frames per second, of the frames as generated.
        family: of the checkpoint.
    """
    for number, video in saved.items():
        if video is not None and video.paths and number in latents:
            file = latents_file(Path(next(iter(video.paths.values()))))
            try:
                _write(file, latents[number], {PARAMETERS: video.infotext, FPS: str(fps), FAMILY: family})
            except OSError as error:
                _log.warning("AnimateDiff could not keep the latents in %s: %s", file, describe(error))


def _write(file: Path, latents: Tensor, notes: Mapping[str, str]) -> None:
    part = file.with_name(f".{file.name}.part")
    try:
        part.write_bytes(latents_as_file(latents, notes))
        replace(part, file)
    finally:
        part.unlink(missing_ok=True)
