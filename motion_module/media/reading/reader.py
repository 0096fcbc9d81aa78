"""A video file to a folder of pictures: lazily, every frame once, with its own rate."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from motion_module.media.child import Beat, finished, silent
from motion_module.media.errors import ReaderError
from motion_module.media.reading.animation import Animation, is_animation
from motion_module.media.reading.decode import Decoding
from motion_module.media.reading.describe import Description, check_amount, describe_video, nothing_left, too_many
from motion_module.media.reading.duplicates import DuplicateFinder
from motion_module.media.reading.probe import input_options, probe, reading_ffmpeg
from motion_module.media.reading.timing import Selection, rate_of

_FAST = 1  # of PNG; the files are temporary
Heartbeat = Callable[[int, int], None]
"""Called for each frame of a source, kept or not, and at least every `BEAT_S` while there is none: with the number of
frames that are written, and of those of the source that were met so far. It may raise to stop the reading."""
_HEARD = ["-ac", "1", "-ar", "8000", "-f", "s16le", "pipe:1"]


@dataclass(frozen=True)
class Extract:
    """The wanted frames of a video, as they were written.

    Attributes:
        frame_numbers: those of the frames in the source, ascending.
        frames: how many frames the source has; None where it was not read to its end.
        fps: at which these frames last as long as in the source; None for a single picture.
        start: seconds from the source's beginning to the first of them.
        complaint: what is wrong with the source, though it could be read; "" for nothing.
    """

    frame_numbers: list[int]
    frames: int | None
    fps: float | None
    start: float
    complaint: str = ""


def _unheard(written: int, met: int) -> None:
    """A heartbeat that nobody listens to."""


def extract(
    path: Path,
    selection: Selection,
    folder: Path,
    most: int = 10_000,
    heartbeat: Heartbeat = _unheard,
    known: Description | None = None,
) -> Extract:
    """Read a video and write each wanted frame as `00000.png`, ... One frame is in memory at a time.

    Args:
        path: mp4, webm, mov, mkv, gif, animated webp, ...
        selection: which frames.
        folder: an empty folder, which is there.
        most: how many frames may come.
        heartbeat: tells how far it is, and may stop it.
        known: what `describe_video` has said about it; None to ask here.

    Raises:
        ReaderError: it is no video, is damaged from its first frame on, has none of the wanted frames, or too many.
        OSError: the frames cannot be written.
    """
    frame_numbers: list[int] = []

    def on_met(met: int) -> None:
        heartbeat(len(frame_numbers), met)

    known = known or describe_video(path, lambda: on_met(0))
    source = _opened(known, selection, most, folder / "times.txt", on_met)
    with source:
        looked_at = _write(source, selection, folder, most, frame_numbers)
    if not frame_numbers:
        raise ReaderError(_nothing_read(selection, len(source.timeline.starts), source.complaints))
    return _extract_of(source, frame_numbers, selection.step, looked_at)


def _extract_of(source: Animation | Decoding, frame_numbers: list[int], step: int, looked_at: int) -> Extract:
    timeline = source.timeline
    fps = rate_of(timeline, frame_numbers, step, looked_at)
    return Extract(
        frame_numbers,
        len(timeline.starts) if timeline.end is not None else None,
        float(fps) if fps else None,
        float(timeline.starts[frame_numbers[0]] if frame_numbers[0] < len(timeline.starts) else 0),
        "; ".join(source.complaints),
    )


def file_name(number: int) -> str:
    """Of a written frame."""
    return f"{number:05}.png"


def sound_in(path: Path, start: float, seconds: float, beat: Beat = silent) -> bool:
    """Whether there is any sound in a part of a file, and it can be decoded; `beat` is called while ffmpeg tries."""
    if is_animation(path) or not probe(path, beat).sound:
        return False
    asked = ["-ss", f"{start:.6f}", "-t", f"{seconds:.6f}"]
    command = [reading_ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "error", *asked, *input_options(path)]
    try:
        heard = finished([*command, "-map", "0:a:0", *_HEARD], 600, beat)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return heard.returncode == 0 and len(heard.stdout) > 0


def _write(
    source: Animation | Decoding, selection: Selection, folder: Path, most: int, frame_numbers: list[int]
) -> int:
    """Write the frames and add their numbers in the source to `frame_numbers`; returns how many were looked at."""
    looked_at = 0
    duplicates = DuplicateFinder() if selection.drop_duplicates else None
    for frame in source.frames():
        if duplicates is None or duplicates.is_new(frame):
            if len(frame_numbers) == most:
                raise ReaderError(too_many(f"more than {most}", most))
            frame.save(folder / file_name(len(frame_numbers)), compress_level=_FAST)
            frame_numbers.append(selection.start + looked_at * selection.step)
        looked_at += 1
        if duplicates is not None and len(frame_numbers) == selection.limit:
            source.stop(selection.start + looked_at * selection.step)
            break
    return looked_at


def _opened(
    source: Description, selection: Selection, most: int, notes: Path, on_met: Callable[[int], None]
) -> Animation | Decoding:
    check_amount(source, selection, most)
    if source.probe is None:
        return Animation(source.path, selection, on_met)
    return Decoding(source.path, source.probe, selection, notes, on_met)


def _nothing_read(selection: Selection, frames: int, complaints: list[str]) -> str:
    if frames:
        return nothing_left(selection, frames)
    why = f" ({complaints[0]})" if complaints else ""
    return f"it has no pictures in it that can be decoded{why}"
