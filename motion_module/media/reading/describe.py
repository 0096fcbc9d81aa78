"""What a video or a folder of pictures is, by its headers: no picture is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from motion_module.media.child import Beat, silent
from motion_module.media.errors import DAMAGE, ReaderError
from motion_module.media.reading.animation import FORMATS, hidden_frames, is_animation
from motion_module.media.reading.folders import check_size, open_small, opened_picture
from motion_module.media.reading.probe import Probe, probe
from motion_module.media.reading.timing import Selection
from motion_module.wording import mention

_LONGEST_WALK = 10_000_000  # bytes; the frames of a GIF are counted by going from block to block, 20 ms at this length


@dataclass(frozen=True)
class Description:
    """A video, or a folder of pictures.

    Attributes:
        path: of the file or the folder.
        width, height: of its first picture in pixels, as shown.
        count: how many frames it has; None where only reading them all tells.
        about: how many it has as far as its header says, which may be wrong; None where that says nothing.
        fps: frames per second to about 2 digits; None where its header does not say.
        probe: what ffmpeg says about a film; None for pictures.
    """

    path: Path
    width: int
    height: int
    count: int | None = None
    about: int | None = None
    fps: float | None = None
    probe: Probe | None = None


def describe_video(path: Path, beat: Beat = silent) -> Description:
    """Look into a video file.

    Args:
        path: the file.
        beat: called while ffmpeg looks; may raise to stop.

    Raises:
        ReaderError: it is empty, no video, or its pictures are too large.
        OSError: it is not there.
    """
    if not path.stat().st_size:
        raise ReaderError("it is empty")
    return _animation(path) if is_animation(path) else _film(path, beat)


def describe_folder(folder: Path, pictures: Sequence[Path], first: int = 0) -> Description:
    """Look at the pictures of a folder.

    Args:
        folder: where they are.
        pictures: at least one.
        first: which one tells the size.

    Raises:
        PictureError: this one is empty, no picture, too large, or several in one.
    """
    with opened_picture(pictures[first]) as picture:
        width, height = picture.size
    return Description(folder, width, height, len(pictures), len(pictures))


def _film(path: Path, beat: Beat) -> Description:
    film = probe(path, beat)
    check_size(*film.size)
    return Description(path, *film.size, None, round(film.frames) or None, film.fps, film)


def _animation(path: Path) -> Description:
    with open_small(path, FORMATS) as picture:
        width, height = picture.size
        count = _frames_of(picture, path.stat().st_size)
    return Description(path, width, height, count, count)


def _frames_of(picture: Image.Image, size: int) -> int | None:
    """Of an animated picture: from its header, for a GIF block by block, where that does not take long."""
    if picture.format == "GIF" and size > _LONGEST_WALK:
        return None
    try:
        return int(getattr(picture, "n_frames", 1)) - hidden_frames(picture) or None
    except DAMAGE:
        return None


def check_amount(source: Description, selection: Selection, most: int) -> None:
    """See that a video has frames that are wanted, and not too many, as far as that is known before it is read.

    Raises:
        ReaderError: none are left, or far more than `most`.
    """
    if source.count is not None and source.count <= selection.start:
        raise ReaderError(nothing_left(selection, source.count))
    expected = 0 if selection.drop_duplicates else selection.count(source.about or 0)
    exact = source.count is not None
    if expected > (most if exact else 1.1 * most):
        raise ReaderError(too_many(f"{'' if exact else 'about '}{expected}", most))


def too_many(frames: str, most: int) -> str:
    """Why a video cannot be taken that has more frames than there may be, and what to do."""
    fewer = f"{mention('video_length')}, {mention('video_end')} or {mention('every_nth')}"
    return f"it has {frames} frames, {most} are allowed; take fewer with {fewer}"


def nothing_left(selection: Selection, frames: int) -> str:
    """Why a video cannot be taken that ends before the first frame that is wanted."""
    first = f"{selection.start} ({mention('video_start')})"
    return f"it has {frames} frames, so nothing is left from frame {first} on"
