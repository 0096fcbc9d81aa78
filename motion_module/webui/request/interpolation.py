"""Frame interpolation as a request asks for it: what it needs, and the frames it makes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import torch
from PIL import Image

from modules import devices, paths
from motion_module.core.film import Film, load_film
from motion_module.errors import HostError, ParamError
from motion_module.media.errors import WriterError
from motion_module.media.writing.interpolation import (
    along_flow,
    check_motion_compensation,
    check_optical_flow,
    interpolated_count,
    motion_compensated,
    pairwise,
)
from motion_module.memory import is_out_of_memory
from motion_module.params import VideoParams
from motion_module.settings import DEFAULT_FOLDER
from motion_module.webui.settings import settings_of
from motion_module.wording import mention

# As published, and as some packages rename it. A TorchScript file is a program, so neither the names nor the folders
# come from a request or from a setting, which a request may override.
FILM_NAMES = ("film_net_fp16.pt", "film_net_fp32.pt", "film_interp_fp16.pt")


_CHECKS = {"FFMPEG": check_motion_compensation, "FLOW": check_optical_flow}
_CHECKED: WeakValueDictionary[Path, Film] = WeakValueDictionary()
"""What a run has loaded to see that it can be used, as long as the run lasts."""


@dataclass(frozen=True)
class Interpolation:
    """What is to be made of a video.

    Attributes:
        method: FILM, FFMPEG or FLOW.
        between: frames made between two.
        closed: also between the last frame and the first.
    """

    method: str
    between: int
    closed: bool

    def count(self, frames: int) -> int:
        """Frames that come out of so many."""
        return interpolated_count(frames, self.between, self.closed)

    def fps(self, fps: float) -> float:
        """Frames per second of the result: multiplied as the frames are, or unchanged where slow motion is wanted."""
        return fps if settings_of().interp_slow else fps * (self.between + 1)

    def frames(self, frames: Sequence[Image.Image]) -> Iterator[Image.Image]:
        """The frames with those between them, made one by one.

        Raises:
            WriterError: ffmpeg is missing or fails, or OpenCV is missing.
            CheckpointError: FILM's file is missing or damaged.
            HostError: there is too little memory for FILM.
        """
        if self.method == "FFMPEG":
            return motion_compensated(frames, self.between, self.closed)
        if self.method == "FLOW":
            return along_flow(frames, self.between, self.closed)
        return self._by_film(frames)

    def _by_film(self, frames: Sequence[Image.Image]) -> Iterator[Image.Image]:
        film = (_CHECKED.get(film_path()) or load_film(film_path())).on(devices.device)

        def predict(first: Image.Image, last: Image.Image, time: float) -> Image.Image:
            return _picture(film(_tensor(first), _tensor(last), time))

        try:
            yield from pairwise(frames, self.between, predict, self.closed)
        except Exception as error:
            if is_out_of_memory(error):
                raise _film_too_large(frames[0]) from error
            raise
        finally:
            devices.torch_gc()


def interpolation_of(params: VideoParams, frames: int) -> Interpolation | None:
    """What a request asks for; None where there is nothing to do.

    A closed loop, and a clip played back without its last frame, go on from their last frame to their first.
    """
    if params.interp == "Off" or frames < 2:
        return None
    plays_on = params.closed_loop.wraps or {0, 2} <= set(params.reverse)
    return Interpolation(params.interp, params.interp_x, plays_on)


def check_possible(params: VideoParams) -> None:
    """Refuse a request for which something is missing, before any file is read.

    Raises:
        ParamError: ffmpeg, OpenCV or FILM's file.
    """
    if params.interp == "FILM":
        film_path()
    elif params.interp in _CHECKS:
        try:
            _CHECKS[params.interp]()
        except WriterError as error:
            raise ParamError(f"{mention('interp')} is {params.interp}. {error}") from error


def loaded_film(params: VideoParams) -> Film | None:
    """FILM, where it is asked for: as long as somebody has it, its file is not read again.

    Raises:
        CheckpointError: the file is damaged.
    """
    if params.interp != "FILM":
        return None
    film = load_film(film_path())
    _CHECKED[film_path()] = film
    return film


def _film_too_large(frame: Image.Image) -> HostError:
    return HostError(
        f"out of memory for FILM with frames of {frame.width}x{frame.height}; "
        f"make width and height smaller, or set {mention('interp')} to FLOW"
    )


def film_folders() -> list[Path]:
    """Where FILM's file may lie: where the Deforum extension keeps it, or in this extension's own folder."""
    deforum = Path(paths.models_path) / "Deforum"
    return [deforum / "film_interpolation", deforum, DEFAULT_FOLDER]


def film_path() -> Path:
    """FILM's file.

    Raises:
        ParamError: there is none; the sentence says which file goes where.
    """
    for folder in film_folders():
        for name in FILM_NAMES:
            if os.path.isfile(folder / name):
                return folder / name
    deforum, _, own = film_folders()
    raise ParamError(f"{mention('interp')} is FILM, whose file is missing; put {FILM_NAMES[0]} into {own} or {deforum}")


def _tensor(image: Image.Image) -> torch.Tensor:
    """An RGB picture as 3 h w, values 0..1."""
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255


def _picture(tensor: torch.Tensor) -> Image.Image:
    return Image.fromarray((tensor * 255).round().byte().permute(1, 2, 0).numpy())
