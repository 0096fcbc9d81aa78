"""What a request names as its video, folder and masks: described by headers and lists, before anything is decoded."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from motion_module.errors import ParamError, as_text
from motion_module.media.child import Beat, silent
from motion_module.media.errors import ReaderError, reason_of
from motion_module.media.reading.describe import Description, check_amount, describe_folder, describe_video
from motion_module.media.reading.folders import frames_and_masks, kind_of, pictures_in
from motion_module.media.reading.timing import Selection
from motion_module.params import VideoParams
from motion_module.webui.request.allowed_paths import check_fields, check_inside, shown_path
from motion_module.webui.request.mask_matching import masks_of
from motion_module.webui.request.sent_videos import check_path
from motion_module.wording import mention

MOST = int(VideoParams.table()["video_length"].high)


@dataclass(frozen=True)
class Source:
    """What a request names. All counts are after first, last, every n-th frame and number of frames.

    Attributes:
        name: the field: `video_source`, `video_path`, or `mask_path` where there are only masks.
        path: of the file or the folder.
        title: its name, without the path.
        size: width and height of the first frame in pixels; None where there are only masks.
        count: how many frames will be taken; None where only reading tells: of films, and where duplicates are dropped.
        about: how many as far as a film's header says; None where that says nothing, or duplicates are dropped.
        fps: frames per second of these frames, to about 2 digits; None for a folder, and where a header does not say.
        pictures: all picture files of a folder, in order; none for a file.
        masks: all mask files that are named or lie beside the frames, in order.
        described: the file or the folder as a whole; None where there are only masks.
    """

    name: str
    path: Path
    title: str
    size: tuple[int, int] | None = None
    count: int | None = None
    about: int | None = None
    fps: float | None = None
    pictures: tuple[Path, ...] = ()
    masks: tuple[Path, ...] = ()
    described: Description | None = None

    @property
    def has_frames(self) -> bool:
        """Whether it is a video or a folder of frames, and not only masks."""
        return self.name != "mask_path"

    @property
    def expected(self) -> int:
        """How many frames will be taken, as far as its header tells; 0 where it does not."""
        return self.count or self.about or 0


def described(params: VideoParams, beat: Beat = silent) -> Source | None:
    """What a request names, None where it names nothing. Headers and folders are read, no picture is decoded.

    Args:
        params: of the request.
        beat: called while ffmpeg looks at a file; may raise to stop.

    Raises:
        ParamError: one sentence that names the field: it may not be read, there is no such video or folder, it is
            empty, no frames would be left or too many, or masks do not go with them.
    """
    if params.video_source:
        with field_named("video_source", params.video_source):
            check_path(params.video_source)
    check_fields(params)
    if params.video_source:
        return _file(params, _path(params.video_source), beat)
    if params.video_path:
        return _folder(params, _path(params.video_path))
    if params.mask_path:
        folder = _path(params.mask_path)
        return Source("mask_path", folder, as_text(folder.name), masks=_masks_in(folder))
    return None


def without_controlnet(name: str) -> ParamError:
    """Why txt2img cannot take a video where ControlNet is not installed.

    Args:
        name: the field.
    """
    return ParamError(
        f"{mention(name)} needs the extension ControlNet on txt2img; install it, use img2img, where frames start "
        f"from it, or leave it empty"
    )


@contextmanager
def field_named(name: str, value: object) -> Iterator[None]:
    """Errors of reading become a sentence that names the field and its value."""
    try:
        yield
    except ReaderError as error:
        raise ParamError(f"{mention(name)} is {shown_path(str(value))!r:.200}; {error}") from error


def selection_of(params: VideoParams) -> Selection:
    """Which frames of its source a request wants."""
    return Selection(
        start=params.video_start,
        end=params.video_end or None,
        step=params.every_nth,
        limit=params.video_length or None,
        drop_duplicates=params.drop_duplicates,
    )


@contextmanager
def masks_named(params: VideoParams) -> Iterator[None]:
    """Errors of the masks' files name `mask_path`, where that brings them; else the field of the frames beside them."""
    if not params.mask_path:
        yield
        return
    with field_named("mask_path", _path(params.mask_path)):
        yield


def _path(text: str) -> Path:
    return Path(os.path.abspath(text))


def _file(params: VideoParams, path: Path, beat: Beat) -> Source:
    selection = selection_of(params)
    with field_named("video_source", path):
        _check_file(path)
        video = describe_video(path, beat)
        check_amount(video, selection, MOST)
    masks = _masks_in(_path(params.mask_path)) if params.mask_path else ()
    return _source(params, "video_source", video, selection, masks)


def _folder(params: VideoParams, folder: Path) -> Source:
    check_inside(mention("video_path"), folder)
    selection = selection_of(params)
    with field_named("video_path", folder):
        pictures, beside = frames_and_masks(folder)
        _check_left(selection, len(pictures))
        video = describe_folder(folder, pictures, selection.start)
        masks = _masks_in(_path(params.mask_path)) if params.mask_path else tuple(beside)
        return _source(params, "video_path", video, selection, masks, tuple(pictures))


def _source(
    params: VideoParams,
    name: str,
    video: Description,
    selection: Selection,
    masks: tuple[Path, ...],
    pictures: tuple[Path, ...] = (),
) -> Source:
    known = not selection.drop_duplicates
    count = selection.count(video.count) if known and video.count is not None else None
    if count is not None:
        frame_numbers = [selection.start + number * selection.step for number in range(count)]
        with masks_named(params):
            masks_of(masks, frame_numbers, video.count if pictures else _met(selection, video.count))
    return Source(
        name,
        video.path,
        as_text(video.path.name),
        (video.width, video.height),
        count,
        selection.count(video.about) if known and video.about is not None else None,
        video.fps / selection.step if video.fps else None,
        pictures,
        masks,
        video,
    )


def _met(selection: Selection, frames: int | None) -> int | None:
    """How many frames a file is found to have; None where it will not be read to its end."""
    last = selection.last
    return frames if frames is None or last is None or last >= frames - 1 else None


def _check_left(selection: Selection, pictures: int) -> None:
    """See that a folder has pictures that are wanted, and not too many.

    Raises:
        ReaderError: none are left, or too many.
    """
    if pictures <= selection.start:
        first = f"{selection.start} ({mention('video_start')})"
        raise ReaderError(f"it has {pictures} pictures, so nothing is left from {first} on")
    wanted = selection.count(pictures)
    if not selection.drop_duplicates and wanted > MOST:
        raise ReaderError(f"it has {wanted} pictures, {MOST} are allowed; take fewer with {mention('video_end')}")


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
        raise ReaderError(f"it is not a file but {kind_of(mode)}; allowed is a video file")


def _masks_in(folder: Path) -> tuple[Path, ...]:
    check_inside(mention("mask_path"), folder)
    with field_named("mask_path", folder):
        return tuple(pictures_in(folder))
