"""Video in: the frames and masks that a request names, as picture files."""

from __future__ import annotations

import dataclasses
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from motion_module.errors import HostError
from motion_module.media.errors import describe
from motion_module.media.reading.duplicates import DuplicateFinder
from motion_module.media.reading.folders import check_picture
from motion_module.media.reading.frame_store import Stored, stored
from motion_module.media.reading.pixels import read_rgb
from motion_module.media.reading.reader import Extract, Heartbeat, extract, sound_in
from motion_module.media.reading.timing import Selection
from motion_module.params import VideoParams
from motion_module.webui.amounts import Amount
from motion_module.webui.progress import Progress
from motion_module.webui.request import listening, sources
from motion_module.webui.request.mask_matching import masks_of
from motion_module.webui.request.picture_files import PictureFiles, frame_bounds
from motion_module.webui.request.sources import Source, described, field_named, masks_named, selection_of
from motion_module.webui.settings import settings_of
from motion_module.wording import mention, number_text

_log = logging.getLogger(__name__)
_WHAT = "video source"  # is read, as sentences call a folder of frames, too
_RATE = VideoParams.table()["fps"]


@dataclass(frozen=True)
class VideoIn:
    """What a request brings along.

    Attributes:
        name: the field it came from: `video_source`, `video_path`, or `mask_path` where there are only masks.
        files: one picture file for each frame, in order, each frame exactly once (after trim, every n-th and
            duplicates); never more than `video_length`, where that is set. Empty where there are only masks.
        masks: inpaint masks: none, one for all, or one for each frame.
        fps: the video's own frames per second (of these frames); None for a folder.
        sound: where the sound is that `keep_sound` asks for; None where it does not, or there is none.
        sound_start: at which second of it the first frame is.
        title: name of the file or folder, without its path.
        messages: sentences for the person.
    """

    name: str
    files: tuple[Path, ...] = ()
    masks: tuple[Path, ...] = ()
    fps: float | None = None
    sound: Path | None = None
    sound_start: float = 0
    title: str = ""
    messages: tuple[str, ...] = ()


def source_of_run(params: VideoParams) -> Source | None:
    """What a request names, as `described` has it; from here on the person is heard.

    Raises:
        ParamError: as `described`.
        UserError: the run was interrupted or skipped.
    """
    listening.forget_last_skip()
    return described(params, _check)


@contextmanager
def opened(
    params: VideoParams,
    pictures: PictureFiles | None = None,
    source: Source | None = None,
    progress: Progress | None = None,
) -> Iterator[VideoIn | None]:
    """The video and the masks of a request, None where it names none.

    Frames of a video file are written to a temporary folder, which the settings choose; it goes when the block ends,
    if the settings say so. So do copies of the pictures of a folder that are not 8-bit RGB.

    Args:
        params: of the request.
        pictures: makes and keeps these copies; None for some that go when the block ends.
        source: what `source_of_run` has said of this request; None to ask it here.
        progress: shows how far reading is.

    Raises:
        ParamError: as `source_of_run`, or a picture is damaged.
        HostError: the frames cannot be written.
        UserError: the run was interrupted or skipped.
    """
    progress = progress or Progress(Amount())
    source = source or source_of_run(params)
    with ExitStack() as stack:
        if source is None:
            yield None
        elif source.name == "video_source":
            yield _from_file(stack, params, source, progress)
        elif source.name == "video_path":
            yield _from_folder(params, source, pictures or PictureFiles(stack, frames_folder()), progress)
        else:
            with masks_named(params):
                masks = _checked(source.masks)
            yield VideoIn("mask_path", masks=masks, title=source.title)


def _from_file(stack: ExitStack, params: VideoParams, source: Source, progress: Progress) -> VideoIn:
    with field_named("video_source", source.path):
        frames = _frames_of(stack, source, selection_of(params), progress)
        extracted = frames.extract
        with masks_named(params):
            masks = _checked(masks_of(source.masks, extracted.frame_numbers, extracted.frames))
    messages = []
    if extracted.complaint:
        messages.append(
            f"{source.title} is damaged ({extracted.complaint}); "
            f"{len(extracted.frame_numbers)} frames of it could be read."
        )
    fps, rate_messages = _possible_rate(extracted.fps, source.title, params.keep_sound)
    messages += rate_messages
    video = VideoIn("video_source", frames.files, masks, fps, title=source.title, messages=tuple(messages))
    return _with_sound(video, source.path, extracted) if params.keep_sound and not rate_messages else video


def _possible_rate(fps: float | None, name: str, keep_sound: bool) -> tuple[float | None, list[str]]:
    """The nearest rate that the field FPS takes, so that an infotext can be pasted, with a word where it is another."""
    low, high = _RATE.low, _RATE.high
    if fps is None or low <= fps <= high:
        return fps, []
    possible = min(max(fps, low), high)
    slower = fps > possible
    hint = f"take fewer of them with {mention('every_nth')}" if slower else "take more of them"
    other_rate = f"{name} has {_rate_text(fps)}, but the {'fastest' if slower else 'slowest'} possible is "
    other_rate += _rate_text(possible)
    other_rate += f": the video plays {'slower' if slower else 'faster'} than its source; {hint}."
    no_sound = f"{mention('keep_sound')} adds no sound, because the video plays at another speed."
    return possible, [other_rate, no_sound] if keep_sound else [other_rate]


def _rate_text(fps: float) -> str:
    number = number_text(round(fps, 3))
    return f"{number} {'frame' if number == '1' else 'frames'} per second"


def _frames_of(stack: ExitStack, source: Source, selection: Selection, progress: Progress) -> Stored:
    root, path = frames_folder(), source.path
    remove = settings_of().frame_extract_remove

    def make(folder: Path) -> Extract:
        return extract(path, selection, folder, sources.MOST, _heartbeat(source, selection, progress), source.described)

    try:
        return stack.enter_context(stored(root, path, repr(selection), make, remove, frame_bounds(), _check))
    except OSError as error:
        raise HostError(f"frames cannot be written to {root}: {describe(error)}") from error


def frames_folder() -> Path:
    """Where frames of videos are written meanwhile."""
    chosen = settings_of().frame_extract_path
    return Path(os.path.abspath(chosen)) if chosen else Path(tempfile.gettempdir()) / "AnimateDiff frames"


def _check() -> None:
    listening.check(_WHAT)


def _heartbeat(source: Source, selection: Selection, progress: Progress) -> Heartbeat:
    def heartbeat(written: int, met: int) -> None:
        if not written and met < selection.start:
            listening.show_frame(_WHAT, met, searched=selection.start)
            progress.searched(met)
            return
        total = source.about or _looked_at(source, selection)
        number = max(0, met - selection.start) if selection.drop_duplicates else written
        listening.show_frame(_WHAT, number, total)
        progress.read(number / total if total else 0)

    return heartbeat


def _looked_at(source: Source, selection: Selection) -> int | None:
    """How many frames of a film have to be looked at, where duplicates are dropped; None where that is not known."""
    about = source.described.about if source.described is not None else None
    return dataclasses.replace(selection, drop_duplicates=False, limit=None).count(about) if about else None


def _with_sound(video: VideoIn, path: Path, extracted: Extract) -> VideoIn:
    seconds = len(extracted.frame_numbers) / extracted.fps if extracted.fps else 0
    if seconds and sound_in(path, extracted.start, seconds, _check):
        return dataclasses.replace(video, sound=path, sound_start=extracted.start)
    message = f"{mention('keep_sound')} finds no sound in this part of {video.title}."
    return dataclasses.replace(video, messages=(*video.messages, message))


def _from_folder(params: VideoParams, source: Source, pictures: PictureFiles, progress: Progress) -> VideoIn:
    with field_named("video_path", source.path):
        frame_numbers = _taken_frames(source.pictures, selection_of(params), pictures, progress)
        with masks_named(params):
            masks = _checked(masks_of(source.masks, frame_numbers, len(source.pictures)))
        files = tuple(pictures.plain(source.pictures[number]) for number in frame_numbers)
    return VideoIn("video_path", files, masks, title=source.title)


def _taken_frames(
    frames: Sequence[Path], selection: Selection, pictures: PictureFiles, progress: Progress
) -> list[int]:
    """Which pictures of a folder are taken; each of them has been decoded once.

    Raises:
        ReaderError: one cannot be read.
    """
    most = min(sources.MOST, selection.limit or sources.MOST)
    wanted = list(filter(selection.wants, range(len(frames))))
    taken: list[int] = []
    duplicates = DuplicateFinder() if selection.drop_duplicates else None
    for done, number in enumerate(wanted):
        listening.show_frame(_WHAT, done, len(wanted))
        progress.read(done / len(wanted))
        if duplicates is None:
            pictures.plain(frames[number])
            taken.append(number)
        elif duplicates.is_new(read_rgb(frames[number], pictures.background)):
            taken.append(number)
        if len(taken) == most:
            break
    return taken


def _checked(masks: tuple[Path, ...]) -> tuple[Path, ...]:
    for mask in masks:
        listening.check("masks")
        check_picture(mask)
    return masks
