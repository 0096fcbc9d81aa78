"""The frames of one video to files, with the person's settings, frames made between them, and progress."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from modules import shared
from motion_module.errors import UserError
from motion_module.media.errors import WriterError, describe
from motion_module.media.writing.clip import Clip, ClipInfo
from motion_module.media.writing.names import Claim
from motion_module.media.writing.saving import WriteReport, write_clip
from motion_module.webui.host_counters import show
from motion_module.webui.request.interpolation import Interpolation
from motion_module.webui.settings import settings_of
from motion_module.wording import for_client, number_text

logger = logging.getLogger(__name__)
OnShare = Callable[[float], None]


@dataclass(frozen=True)
class Length:
    """How many frames a video has, and how many of them are shown in a second."""

    frames: int
    fps: float

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return self.frames / self.fps


@dataclass
class Written:
    """What became of the frames of a video.

    Attributes:
        frames: all frames, those made between others included where they were to be kept.
        fps: frames per second of `frames`.
        length: of the files, in which there are also frames between others.
        report: what became of each format.
        messages: sentences for the person about what did not work.
    """

    frames: Sequence[Image.Image]
    fps: float
    length: Length
    report: WriteReport = field(default_factory=WriteReport)
    messages: list[str] = field(default_factory=list)


class Progress:
    """Tells the page and API clients how far saving is, and how fast.

    Args:
        frames: how many there will be.
        clock: seconds that only grow.
        on_share: called with the share of the frames that have been passed on.
    """

    def __init__(
        self, frames: int, clock: Callable[[], float] = time.perf_counter, on_share: OnShare | None = None
    ) -> None:
        self._frames, self._on_share = frames, on_share
        self._clock = clock
        self._start = clock()

    def __call__(self, done: int) -> None:
        """So many frames have been passed on to the writers."""
        speed = number_text(round(done / max(self._clock() - self._start, 1e-6), 1))
        show(f"saving frame {done} of {self._frames}, {speed} frames/s")
        if self._on_share is not None:
            self._on_share(done / max(self._frames, 1))


def write_frames(
    frames: Sequence[Image.Image],
    info: ClipInfo,
    formats: Sequence[str],
    claim: Claim | None,
    between: Interpolation | None = None,
    keep: bool = False,
    on_share: OnShare | None = None,
) -> Written:
    """Write the frames of a video, after making those between them. If that fails, they are written as they are.

    So they are, too, if the person interrupts: making them may take long.

    Args:
        frames: RGB pictures of one size.
        info: their speed before interpolation, loop number, infotext.
        formats: names of writers; with none the frames are only made.
        claim: the name that belongs to the video; None where nothing is to be written.
        between: the interpolation that is asked for.
        keep: the result's `frames` shall be the interpolated ones; otherwise they are not held in memory.
        on_share: called with the share of the frames that have been passed on to the writers so far.
    """
    if between is not None:
        try:
            return _interpolated(frames, info, formats, claim, between, keep, on_share)
        except Exception as error:  # whatever breaks it must not cost the generated frames
            why = describe(error)
            message = f"AnimateDiff could not interpolate the frames, so they stay as generated: {why}."
            unexpected = None if isinstance(error, (UserError, WriterError)) else error
            logger.warning("%s", for_client(message), exc_info=unexpected)
        written = write_frames(frames, info, formats, claim, on_share=on_share)
        return replace(written, messages=[message])
    report = _write(frames, info, formats, claim, len(frames), on_share)
    return Written(frames, info.fps, Length(len(frames), info.fps), report)


def _interpolated(
    frames: Sequence[Image.Image],
    info: ClipInfo,
    formats: Sequence[str],
    claim: Claim | None,
    between: Interpolation,
    keep: bool,
    on_share: OnShare | None,
) -> Written:
    made: list[Image.Image] = []

    def passing() -> Iterator[Image.Image]:
        for frame in between.frames(frames):
            if getattr(shared.state, "interrupted", False):
                raise WriterError("interrupted")
            if keep:
                made.append(frame)
            yield frame

    faster = replace(info, fps=between.fps(info.fps))
    length = Length(between.count(len(frames)), faster.fps)
    report = _write(passing(), faster, formats, claim, length.frames, on_share)
    return Written(made, faster.fps, length, report) if keep else Written(frames, info.fps, length, report)


def _write(
    frames: Iterable[Image.Image],
    info: ClipInfo,
    formats: Sequence[str],
    claim: Claim | None,
    count: int,
    on_share: OnShare | None,
) -> WriteReport:
    progress = Progress(count, on_share=on_share)
    if claim is not None:
        return write_clip(Clip(frames, info), formats, claim, settings_of(), progress)
    for number, _ in enumerate(frames, start=1):
        progress(number)
    return WriteReport()
