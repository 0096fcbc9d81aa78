"""Video in: the frames and masks that a request names, as picture files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from motion_module.params import VideoParams


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
        messages: sentences for the person.
    """

    name: str
    files: tuple[Path, ...] = ()
    masks: tuple[Path, ...] = ()
    fps: float | None = None
    sound: Path | None = None
    sound_start: float = 0
    messages: tuple[str, ...] = ()


@contextmanager
def opened(params: VideoParams) -> Iterator[VideoIn | None]:
    """The video and the masks of a request, None where it names none. Temporary files go when the block ends.

    Raises:
        ParamError: one sentence that names the field: there is no such video or folder, it is damaged or empty.
    """
    yield None
