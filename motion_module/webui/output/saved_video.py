"""One video: from its generated frames to its files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from modules import shared
from motion_module import formats
from motion_module.errors import HostError
from motion_module.media.writing.clip import APPEND, Clip, ClipInfo, with_reverse
from motion_module.params import VideoParams
from motion_module.webui.host_types import Processing
from motion_module.webui.output.folders import claim_name, folder_of, rescue_frames
from motion_module.webui.output.sound import sound_for
from motion_module.webui.output.write import Length, Written, write_frames
from motion_module.webui.plan.written import reverse_options
from motion_module.webui.progress import progress_of
from motion_module.webui.request import interpolation
from motion_module.webui.request.video_source import VideoIn
from motion_module.webui.settings import settings_of


@dataclass(frozen=True)
class Generated:
    """One video as the host has made it.

    Attributes:
        frames: its frames.
        infotext: generation parameters of the first of them.
        seed: of the first of them.
    """

    frames: list[Image.Image]
    infotext: str
    seed: int


@dataclass
class SavedVideo:
    """One video and what was saved of it.

    Attributes:
        frames: its frames, reversed part included; also those made between them, where the result returns frames.
        infotext: generation parameters of its first frame.
        seed: seed of its first frame.
        fps: frames per second of `frames`.
        length: of its files.
        files: finished files by format; one for each frame where the format is a folder.
        messages: sentences for the person about what did not work.
        stays: whether the files stay; those of an interrupted video may not.
        stand_ins: what the page's gallery shows in its place, besides its own files.
    """

    frames: list[Image.Image]
    infotext: str
    seed: int
    fps: float = ClipInfo.fps
    length: Length = field(default_factory=lambda: Length(0, ClipInfo.fps))
    files: dict[str, list[Path]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    stays: bool = True
    stand_ins: list[Path] = field(default_factory=list)

    @classmethod
    def unwritten(cls, generated: Generated, params: VideoParams) -> SavedVideo:
        """A video of which nothing is saved yet."""
        frames = with_reverse(generated.frames, reverse_options(params, len(generated.frames)))
        length = Length(len(frames), params.fps)
        return cls(frames, generated.infotext, generated.seed, length=length)

    @property
    def paths(self) -> dict[str, str]:
        """Where each format is: a file, or the folder of the frames; nowhere where they do not stay."""
        if not self.stays:
            return {}
        return {
            name: str(files[0].parent if name in formats.FOLDERS else files[0]) for name, files in self.files.items()
        }

    @property
    def kept(self) -> dict[str, list[Path]]:
        """All files that stay, in the order of the table; also the frames that the host has saved by itself."""
        if not self.stays:
            return {}
        by_host = [getattr(frame, "already_saved_as", None) for frame in self.frames]
        files = {formats.PNG: [Path(path) for path in by_host if path]} if all(by_host) else {}
        files = {**files, **self.files}
        return {name: files[name] for name in formats.WRITTEN if files.get(name)}

    def take(self, written: Written) -> None:
        """Note what has been written, and what has not."""
        report = written.report
        self.frames, self.fps, self.length = list(written.frames), written.fps, written.length
        self.files = report.files
        failures = [f"AnimateDiff could not save {name}: {why}." for name, why in report.failures.items()]
        notes = [f"AnimateDiff saved {name}, but {note}." for name, note in report.notes.items()]
        self.messages += [*written.messages, *failures, *notes]


def host_saves_frames(params: VideoParams) -> bool:
    """Whether frames go to the WebUI's own place, saved by the WebUI (setting `save_to_custom` off)."""
    return (
        formats.PNG in params.format
        and params.interp == "Off"  # the WebUI knows nothing of frames made between its own
        and not settings_of().save_to_custom
    )


def embedded(infotext: str) -> str:
    """The generation parameters inside the files, which the host's own setting may switch off."""
    return infotext if getattr(shared.opts, "enable_pnginfo", True) else ""


def save_video(
    p: Processing,
    params: VideoParams,
    generated: Generated,
    source: VideoIn | None = None,
    frame_files: Sequence[Path] = (),
    folder: Path | None = None,
) -> SavedVideo:
    """Save one video in the formats of `params.format` under `<outpath_samples>/AnimateDiff/<date>/`.

    A format that fails is reported in `SavedVideo.messages` and costs the others nothing.

    Args:
        p: the host's processing object; only its `outpath_samples` is read.
        params: what was asked for.
        generated: the frames.
        source: the video that came in, whose sound may be wanted.
        frame_files: where the frames are saved already; PNG is then written only if there are frames made between them.
        folder: where to save; None for the usual place.

    Raises:
        HostError: nothing but text could be saved. The frames are then saved as PNG wherever that works.
    """
    video = SavedVideo.unwritten(generated, params)
    info, video.messages = _clip_info(params, generated, source)
    wanted = _formats_to_write(params, frame_files)
    with ExitStack() as stack:
        claim = None
        if wanted:
            claim, messages = claim_name(stack, folder or folder_of(p), video.seed, params.request_id)
            video.messages += messages
        between = interpolation.interpolation_of(params, len(video.frames))
        keep, on_share = _returns_frames(params), progress_of(p).saved
        written = write_frames(video.frames, info, wanted, claim, between, keep, on_share)
        video.take(written)
        if frame_files:
            video.files.setdefault(formats.PNG, list(frame_files))
        if claim is not None and written.report.failures and not set(video.files) - set(formats.TEXTS):
            raise HostError(rescue_frames(Clip(video.frames, info), claim, written.report, video.seed))
    return video


def _clip_info(params: VideoParams, generated: Generated, source: VideoIn | None) -> tuple[ClipInfo, list[str]]:
    """What the writers have to know, and why there is no sound, though it was asked for."""
    frames = len(generated.frames)
    sound, messages = sound_for(source, params, frames, APPEND in reverse_options(params, frames))
    return ClipInfo(params.fps, params.loop_number, embedded(generated.infotext), sound), messages


def _formats_to_write(params: VideoParams, frame_files: Sequence[Path]) -> list[str]:
    elsewhere = host_saves_frames(params) or (frame_files and params.interp == "Off")
    return [name for name in params.format if name in formats.WRITTEN and not (name == formats.PNG and elsewhere)]


def _returns_frames(params: VideoParams) -> bool:
    """Whether the result holds the frames themselves, and not only files that show them."""
    return formats.FRAME in params.format or not set(params.format) & set(formats.VIDEOS)
