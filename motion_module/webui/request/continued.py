"""A video that is continued: what a request names, and its frames or the latents that lie beside it."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from motion_module import formats
from motion_module.core.denoising.latents_file import read_header, read_latents
from motion_module.errors import ParamError, SaidError
from motion_module.media.child import Beat, silent
from motion_module.params import VideoParams
from motion_module.webui.request.allowed_paths import permitted, shown_path
from motion_module.webui.request.module_choice import Base
from motion_module.webui.request.sources import Source, described
from motion_module.wording import mention

NAME = "continue_from"
FPS, FAMILY = "fps", "family"
"""What is noted with kept latents: frames per second, and the checkpoint's family."""

PIXELS_PER_LATENT = 8
_ENDING = ".latents.safetensors"


@dataclass(frozen=True)
class Continued:
    """What is to be continued, as far as headers tell.

    Attributes:
        params: fields that name it as the source of a video, all of whose frames are taken.
        source: its frames.
        latents: the file with its latents f c h w; None where there is none for frames of this size.
        frames: how many there are; of a film as far as its header says, and 0 where that says nothing.
        is_counted: the number is certain.
        fps: frames per second of these frames; None where nothing says.
        family: of the checkpoints that the latents belong to; "" where nothing says.
    """

    params: VideoParams
    source: Source
    latents: Path | None
    frames: int
    is_counted: bool
    fps: float | None = None
    family: str = ""


def latents_file(video: Path) -> Path:
    """Where the latents of a video are kept: beside its file, whatever its format, or its folder of frames."""
    if os.path.isdir(video):  # a name that is too long is none
        return video.with_name(f"{video.name}{_ENDING}")
    stem = Path(video.stem)  # of some formats the ending has their name, too: .prores422.mov
    named = stem.suffix[1:].upper() in formats.NAMES
    return video.with_name(f"{stem.stem if named else stem}{_ENDING}")


def described_clip(params: VideoParams, width: int, height: int, beat: Beat = silent) -> Continued | None:
    """What a request continues, None for nothing. Headers are read, nothing is decoded.

    Args:
        params: of the request.
        width, height: of its frames, in pixels.
        beat: called while ffmpeg looks at a file; may raise to stop.

    Raises:
        ParamError: it may not be read, or is neither a video nor a folder of frames, or not of this size; the sentence
            names the field.
    """
    if not params.continue_from:
        return None
    path = Path(permitted(mention(NAME), params.continue_from))
    with _named():
        as_source = VideoParams.from_json({"video_path" if os.path.isdir(path) else "video_source": str(path)})
        source = described(as_source, beat)
    if source is None:
        raise ParamError(f"{mention(NAME)} is {shown_path(str(path))!r:.200}; allowed is a video or a folder of frames")
    if source.size is not None and source.size != (width, height):
        raise ParamError(
            f"{mention(NAME)} is a video of {source.size[0]}x{source.size[1]}, but the request is {width}x{height}; "
            f"set width and height to those of the video"
        )
    return _with_latents(as_source, source, path, (height, width))


def with_old_frames(params: VideoParams, before: int) -> VideoParams:
    """The fields with which a source for all frames is read: what is asked for comes after the old frames."""
    return dataclasses.replace(params, video_length=params.video_length + before) if params.video_length else params


def latents_of(file: Path) -> Tensor:
    """The latents f c h w of a video.

    Raises:
        ParamError: the file is damaged.
    """
    latents = read_latents(file)
    if latents is None:
        raise _damaged(file)
    return latents


def _with_latents(params: VideoParams, source: Source, path: Path, size: tuple[int, int]) -> Continued:
    pictures = Continued(params, source, None, source.expected, source.count is not None, source.fps)
    file = latents_file(path)
    if not _is_readable(file):
        return pictures
    header = read_header(file)
    if header is None:
        raise _damaged(file)
    if tuple(side * PIXELS_PER_LATENT for side in header.shape[2:]) != size:  # those of another size, as a cropped part
        return pictures
    fps, family = header.notes.get(FPS, ""), header.notes.get(FAMILY, "")
    rate = float(fps) if re.fullmatch(r"\d+(\.\d+)?", fps) else source.fps
    return Continued(params, source, file, header.shape[0], True, rate, family)


def _is_readable(file: Path) -> bool:
    try:
        permitted("", str(file))
    except ParamError:  # a link to elsewhere: the pictures are there
        return False
    return file.is_file()


def _damaged(file: Path) -> ParamError:
    return ParamError(f"{mention(NAME)} has damaged latents beside it; remove {shown_path(str(file))} to go on without")


def check_family(clip: Continued | None, base: Base) -> None:
    """See that kept latents belong to the kind of checkpoint that is there.

    Raises:
        ParamError: they belong to another one, whose latents mean other pictures.
    """
    if clip is not None and clip.latents is not None and clip.family not in ("", base.family):
        raise ParamError(
            f"{mention(NAME)} has latents of {clip.family}, and {base.called} is {base.family}; choose a checkpoint of "
            f"{clip.family}, or remove {shown_path(str(clip.latents))} to go on from the pictures"
        )


@contextmanager
def _named() -> Iterator[None]:
    """What is wrong with a source is said of this field."""
    try:
        yield
    except SaidError as error:
        text = error.sentence
        for name in ("video_source", "video_path"):
            text = text.replace(mention(name), mention(NAME))
        raise ParamError(text) from error
