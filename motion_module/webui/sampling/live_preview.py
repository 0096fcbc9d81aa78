"""The frames so far of a video that is sampled, small and moving, for the page's live-preview slot.

After each denoiser call, which is all windows of a step, the host keeps the latents of all frames as that call sees the
result (docs/host-facts.md 23). The page's slot takes no more than a still of these, so the moving preview goes past it:
out of memory through a route of ours (webui/routes), and onto the page by a script (javascript/
animatediff_live_preview.js). Nothing is made that nobody has asked for.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from modules import paths, sd_samplers, sd_samplers_common, sd_vae_approx, shared
from motion_module.media.writing.webp import in_memory
from motion_module.patching import replaced_call
from motion_module.side_work import SideWork
from motion_module.stand_in import given_original

_log = logging.getLogger(__name__)

SHARE = 0.02  # of the run's processor time
PAUSE = 5.0  # seconds between two previews
_MOST_FRAMES = 32
_FEWEST_FRAMES = 8  # with fewer it waits until it can afford more, unless the video has no more
_MOST_IN_STILL = 16  # frames of a video that the host decodes for its grid
_LONGEST_SIDE = 256
_CELL = 8  # pixels of a frame along a side of its latents
_TAESD = "TAESD"
# Seconds a frame of a million pixels takes at most, as long as none has been measured: to encode; to decode by TAESD.
_USUAL, _USUAL_TAESD = 0.1, 2.0

_OFFERED: list[LivePreview] = []
"""Those of the runs that last, the newest last."""
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Shown:
    """One preview.

    Attributes:
        number: a later one has a higher one, also of another run.
        webp: the file, an animated WEBP.
    """

    number: int
    webp: bytes


class LivePreview:
    """The live preview of one run, offered from `__enter__` to `__exit__`.

    Frames are taken in the run's thread, between two denoiser calls, where somebody has asked since they were last
    taken; they are encoded in the thread of who asks. Both together stay below a share of what the run has computed so
    far. Whatever goes wrong ends the preview, with a line in the log, and nothing else.

    Args:
        fps: of the video.
        work: how much it may compute.
    """

    def __init__(self, fps: float, work: SideWork | None = None) -> None:
        self._fps = fps
        self.work = work or SideWork(SHARE, PAUSE)
        self._wanted = self._failed = False
        self._frame_seconds: float | None = None  # that a frame of the last preview took to decode and to encode
        self._taken: list[Image.Image] = []
        self._shown: Shown | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> LivePreview:
        _OFFERED.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _OFFERED.remove(self)
        self._taken, self._shown = [], None

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """What is sampled inside the block is the video."""
        with (
            replaced_call(sd_samplers_common, "store_latent", given_original(self._store)),
            replaced_call(sd_samplers, "samples_to_image_grid", given_original(self._grid)),
        ):
            yield

    def newest(self, known: int) -> Shown | None:
        """The newest preview; None where there is none newer than number `known`. The next is wanted from now on."""
        self._wanted = True
        with self._lock, self._nothing_lost():
            if self._taken:
                self._encode()
        return self._shown if self._shown is not None and self._shown.number > known else None

    def _store(self, original: Callable[[Tensor], None], latents: Tensor) -> None:
        """The host keeps latents `f 4 h w`, of all frames of the video."""
        original(latents)
        if self._wanted and not self._failed and is_on():
            with self._nothing_lost():
                self._take(latents)

    def _grid(self, original: Callable[..., Any], samples: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The host's still of all frames, of which it decodes each one, with whatever the settings say."""
        most = 1 if self._shown is not None else _MOST_IN_STILL  # the moving one lies over it
        return original(_spread(samples, min(len(samples), most)), *args, **kwargs)

    def _take(self, latents: Tensor) -> None:
        frames = self._affordable(latents)
        if not frames:
            return
        start = time.process_time()  # threads of torch included
        self.work.begin()
        self._wanted = False
        pictures = [_picture(frame) for frame in _spread(latents, frames)]
        seconds = time.process_time() - start
        self.work.spend(seconds)
        self._frame_seconds = seconds / frames
        self._taken = pictures

    def _encode(self) -> None:
        start = time.thread_time()
        pictures, self._taken = self._taken, []
        self._shown = Shown(next(_NUMBERS), in_memory(pictures, self._fps))
        seconds = time.thread_time() - start
        self.work.spend(seconds)
        self._frame_seconds = (self._frame_seconds or 0.0) + seconds / len(pictures)

    def _affordable(self, latents: Tensor) -> int:
        """How many frames the next preview may have; 0 where it has to wait."""
        most = min(len(latents), _MOST_FRAMES)
        each = self._frame_seconds or _usual_seconds(*latents.shape[-2:])
        frames = min(most, int(self.work.affordable / max(each, 1e-9)))
        return frames if frames >= min(most, _FEWEST_FRAMES) else 0

    @contextmanager
    def _nothing_lost(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever breaks a preview must not cost the video
            self._failed, self._taken = True, []
            _log.warning("There is no moving live preview of this video: %s", error or type(error).__name__)


def is_on() -> bool:
    """Whether the person wants live previews while something is sampled."""
    return bool(shared.opts.live_previews_enable) and shared.opts.show_progress_every_n_steps != -1


def newest(known: int) -> Shown | None:
    """The newest preview of the run that lasts; None where there is none newer than number `known`."""
    return next((preview.newest(known) for preview in reversed(_OFFERED)), None)


def _spread(latents: Tensor, count: int) -> Tensor:
    """So many of the frames `f c h w`, the first and the last among them."""
    places = torch.linspace(0, len(latents) - 1, count).round().long()
    return latents[places.to(latents.device)]


def _picture(latents: Tensor) -> Image.Image:
    """A frame of latents `4 h w`, small."""
    colours = _colours(latents[None])[0].float().cpu().permute(1, 2, 0)  # h w c
    pixels = colours.mul(127.5).add(127.5).clamp(0, 255).byte().contiguous()
    return Image.fromarray(pixels.numpy()).resize(_size(*latents.shape[-2:]), Image.Resampling.BICUBIC)


@torch.no_grad()
def _colours(latents: Tensor) -> Tensor:
    """Latents `f 4 h w` as pictures `f 3 H W` in -1..1: by TAESD if the person has set it, else the quickest way."""
    if _by_taesd():
        return sd_samplers_common.samples_to_images_tensor(latents, sd_samplers_common.approximation_indexes[_TAESD])
    return sd_vae_approx.cheap_approximation(latents.float())


def _by_taesd() -> bool:
    """Whether the person has set TAESD, and its file is there: the host would download it."""
    name = "taesdxl_decoder.pth" if shared.sd_model.is_sdxl else "taesd_decoder.pth"
    return shared.opts.show_progress_type == _TAESD and (Path(paths.models_path) / "VAE-taesd" / name).is_file()


def _size(height: int, width: int) -> tuple[int, int]:
    """Width and height of a preview of latents of this size: the video's own, if that is small."""
    scale = min(_CELL, _LONGEST_SIDE / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _usual_seconds(height: int, width: int) -> float:
    shown, whole = _size(height, width), _CELL**2 * height * width
    return (_USUAL * shown[0] * shown[1] + (_USUAL_TAESD * whole if _by_taesd() else 0.0)) / 1_000_000
