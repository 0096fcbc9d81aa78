"""Video in: the frames and masks that a request names, as picture files."""

from __future__ import annotations

import dataclasses
import logging
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from modules import shared
from motion_module.errors import HostError, ParamError, as_text
from motion_module.media.reading.duplicates import DuplicateFinder
from motion_module.media.reading.folders import (
    ReaderError,
    check_picture,
    frames_and_masks,
    kind_of,
    pictures_in,
    reason_of,
)
from motion_module.media.reading.frame_store import Stored, stored
from motion_module.media.reading.pixels import read_rgb
from motion_module.media.reading.reader import Extract, extract, sound_in
from motion_module.media.reading.timing import Selection
from motion_module.media.writing.saving import describe
from motion_module.params import VideoParams
from motion_module.paths import typed_path
from motion_module.webui.request.allowed_paths import check_fields, check_inside
from motion_module.webui.request.picture_files import PictureFiles, frame_bounds, stop_if_interrupted
from motion_module.webui.request.sent_videos import check_path
from motion_module.wording import mention, number_text

_log = logging.getLogger(__name__)
MOST = int(VideoParams.table()["video_length"].high)
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


@contextmanager
def opened(params: VideoParams, pictures: PictureFiles | None = None) -> Iterator[VideoIn | None]:
    """The video and the masks of a request, None where it names none.

    Frames of a video file are written to a temporary folder, which the settings choose; it goes when the block ends,
    if the settings say so. So do copies of the pictures of a folder that are not 8-bit RGB.

    Args:
        params: of the request.
        pictures: makes and keeps these copies; None for some that go when the block ends.

    Raises:
        ParamError: one sentence that names the field: it may not be read, there is no such video or folder, it is
            damaged or empty.
        HostError: the frames cannot be written.
    """
    if params.video_source:
        with _told("video_source", params.video_source):
            check_path(params.video_source)
    check_fields(params)
    with ExitStack() as stack:
        if params.video_source:
            video = _from_file(stack, params, _path(params.video_source))
        elif params.video_path:
            files = pictures or PictureFiles(stack, frames_folder())
            video = _from_folder(params, _path(params.video_path), files)
        elif params.mask_path:
            folder = _path(params.mask_path)
            video = VideoIn("mask_path", masks=_checked_masks(folder), title=as_text(folder.name))
        else:
            video = None
        yield video


def _path(text: str) -> Path:
    return Path(os.path.abspath(text))


@contextmanager
def _told(name: str, value: object) -> Iterator[None]:
    """Errors of reading become a sentence that names the field and its value."""
    try:
        yield
    except ReaderError as error:
        raise ParamError(f"AnimateDiff: {mention(name)} is {str(value)!r:.200}; {error}.") from error


def _selection(params: VideoParams) -> Selection:
    return Selection(
        start=params.video_start,
        end=params.video_end or None,
        step=params.every_nth,
        limit=params.video_length or None,
        drop_duplicates=params.drop_duplicates,
    )


def _from_file(stack: ExitStack, params: VideoParams, path: Path) -> VideoIn:
    selection = _selection(params)
    with _told("video_source", path):
        _check_file(path)
        frames = _frames_of(stack, path, selection)
        masks = _masks_for(params, [], frames.extract.places, frames.extract.frames)
    found = frames.extract
    messages = []
    if found.complaint:
        messages.append(
            f"AnimateDiff: {as_text(path.name)} is damaged ({found.complaint}); "
            f"{len(found.places)} frames of it could be read."
        )
    fps, said = _possible_rate(found.fps, as_text(path.name), params.keep_sound)
    messages += said
    video = VideoIn("video_source", frames.files, masks, fps, title=as_text(path.name), messages=tuple(messages))
    return _with_sound(video, path, found) if params.keep_sound and not said else video


def _possible_rate(fps: float | None, name: str, keep_sound: bool) -> tuple[float | None, list[str]]:
    """The nearest rate that the field FPS takes, so that an infotext can be pasted, with a word where it is another."""
    low, high = _RATE.low, _RATE.high
    if fps is None or low <= fps <= high:
        return fps, []
    possible = min(max(fps, low), high)
    few, how = (f"{number_text(round(rate, 3))} frames a second" for rate in (fps, possible))
    slower = fps > possible
    hint = f"take fewer of them with {mention('every_nth')}" if slower else "take more of them"
    said = f"AnimateDiff: {name} has {few}, but {how} are {'the most' if slower else 'the fewest'}"
    said += f": the video plays {'slower' if slower else 'faster'} than its source; {hint}."
    silent = f"AnimateDiff: {mention('keep_sound')} puts in no sound, because the video plays at another speed."
    return possible, [said, silent] if keep_sound else [said]


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise ReaderError(
                f"it is a folder; allowed is a video file (a folder of frames goes into {mention('video_path')})"
            )
        if not os.path.lexists(path):
            raise ReaderError("allowed is the path of a video file on the server, and there is none")
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # a name that is too long, a link in a circle
        raise ReaderError(f"allowed is the path of a video file on the server ({reason_of(error)})") from error
    if not stat.S_ISREG(mode):
        raise ReaderError(f"it is no file, but {kind_of(mode)}; allowed is a video file")


def _frames_of(stack: ExitStack, path: Path, selection: Selection) -> Stored:
    root = frames_folder()
    remove = bool(getattr(shared.opts, "animatediff_frame_extract_remove", False))

    def make(folder: Path) -> Extract:
        return extract(path, selection, folder, MOST, _progress)

    try:
        return stack.enter_context(stored(root, path, repr(selection), make, remove, frame_bounds()))
    except OSError as error:
        raise HostError(f"AnimateDiff: frames cannot be written to {root}: {describe(error)}.") from error


def frames_folder() -> Path:
    """Where frames of videos are written meanwhile."""
    chosen = typed_path(getattr(shared.opts, "animatediff_frame_extract_path", "") or "")
    return _path(chosen) if chosen else Path(tempfile.gettempdir()) / "AnimateDiff frames"


def _progress(frames: int) -> None:
    shared.state.textinfo = f"AnimateDiff: reading frame {frames} of the video source"
    stop_if_interrupted("video source")


def _with_sound(video: VideoIn, path: Path, found: Extract) -> VideoIn:
    seconds = len(found.places) / found.fps if found.fps else 0
    if seconds and sound_in(path, found.start, seconds):
        return dataclasses.replace(video, sound=path, sound_start=found.start)
    message = f"AnimateDiff: {mention('keep_sound')} finds no sound in this part of {as_text(path.name)}."
    return dataclasses.replace(video, messages=(*video.messages, message))


def _from_folder(params: VideoParams, folder: Path, pictures: PictureFiles) -> VideoIn:
    check_inside(mention("video_path"), folder)
    with _told("video_path", folder):
        frames, masks = frames_and_masks(folder)
        places = _places(frames, _selection(params), pictures)
        chosen = _masks_for(params, masks, places, len(frames))
        files = tuple(pictures.plain(frames[place]) for place in places)
    return VideoIn("video_path", files, chosen, title=as_text(folder.name))


def _places(frames: Sequence[Path], selection: Selection, pictures: PictureFiles) -> list[int]:
    """Which pictures of a folder are wanted; each of them has been decoded once.

    Raises:
        ReaderError: one cannot be read, or there are none or too many.
    """
    candidates = [place for place in range(len(frames)) if selection.wants(place)]
    if not candidates:
        first = f"{selection.start} ({mention('video_start')})"
        raise ReaderError(f"it has {len(frames)} pictures, so nothing is left from {first} on")
    most = min(MOST, selection.limit or MOST)
    if selection.limit is None and not selection.drop_duplicates and len(candidates) > MOST:
        raise ReaderError(
            f"it has {len(candidates)} pictures, {MOST} are allowed; take fewer with {mention('video_end')}"
        )
    kept: list[int] = []
    duplicates = DuplicateFinder() if selection.drop_duplicates else None
    for place in candidates:
        if duplicates is None:
            pictures.plain(frames[place])
            kept.append(place)
        elif duplicates.is_new(read_rgb(frames[place], pictures.background)):
            kept.append(place)
        if len(kept) == most:
            break
        _progress(len(kept))
    return kept


def _masks_for(
    params: VideoParams, beside: Sequence[Path], places: Sequence[int], frames: int | None
) -> tuple[Path, ...]:
    """The masks of the frames that were taken: of Mask path, or else those beside the frames.

    Args:
        params: of the request.
        beside: masks that lie beside the frames.
        places: of the frames in the source.
        frames: how many the source has; None where it was not read to its end.

    Raises:
        ParamError, ReaderError: there are neither one nor as many as frames, or one cannot be read.
    """
    if params.mask_path:
        folder = _path(params.mask_path)
        with _told("mask_path", folder):
            return _matched(_masks_in(folder), places, frames)
    return _matched(beside, places, frames) if beside else ()


def _matched(masks: Sequence[Path], places: Sequence[int], frames: int | None) -> tuple[Path, ...]:
    if len(masks) == 1 or len(masks) == len(places):
        chosen = tuple(masks)
    elif len(masks) == frames or (frames is None and len(masks) > places[-1]):
        chosen = tuple(masks[place] for place in places)
    else:
        told = len(places) if frames is None else frames
        raise ReaderError(f"there are {len(masks)} masks; allowed is one, or one for each of the {told} frames")
    for mask in chosen:
        check_picture(mask)
    return chosen


def _masks_in(folder: Path) -> list[Path]:
    check_inside(mention("mask_path"), folder)
    return pictures_in(folder)


def _checked_masks(folder: Path) -> tuple[Path, ...]:
    with _told("mask_path", folder):
        masks = tuple(_masks_in(folder))
        for mask in masks:
            check_picture(mask)
    return masks
