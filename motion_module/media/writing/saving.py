"""One clip to several formats at once: every frame passes through once, encoders run beside each other."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from motion_module.formats import format_named
from motion_module.media.errors import WriterError, describe
from motion_module.media.writing import WRITERS, Writer
from motion_module.media.writing.clip import Clip, has_alpha
from motion_module.media.writing.names import Claim
from motion_module.settings import Settings
from motion_module.wording import for_client

logger = logging.getLogger(__name__)

_WAITING_FRAMES = 4


@dataclass
class WriteReport:
    """What became of each format.

    Attributes:
        files: finished files by format, in the order of the formats; PNG has one for each frame.
        failures: why a format could not be written, by format.
        notes: what is not as one might expect of a finished file, by format.
    """

    files: dict[str, list[Path]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


class _Lane:
    """One writer in a thread of its own, behind a short queue, so that memory stays bounded."""

    def __init__(self, writer: Writer) -> None:
        self.failure: Exception | None = None
        self.writer = writer
        self._complete = False
        self._queue: queue.Queue[Image.Image | None] = queue.Queue(_WAITING_FRAMES)
        self._thread = threading.Thread(target=self._run, name=f"save {writer.final.name}", daemon=True)
        self._thread.start()

    def put(self, frame: Image.Image) -> None:
        """Pass on a frame. Waits while the queue is full."""
        self._queue.put(frame)

    def close(self, complete: bool) -> None:
        """There are no more frames; `complete` says whether these were all, or the file is not wanted any more."""
        self._complete = complete
        self._queue.put(None)

    def join(self) -> list[Path]:
        """Wait for the writer and return its files (none if it failed)."""
        self._thread.join()
        return [] if self.failure else self.writer.files

    def _run(self) -> None:
        frames = iter(self._queue.get, None)
        try:
            with self.writer as writer:
                for frame in frames:
                    # Pillow keeps the options of a running save on the picture itself, so each thread has its own.
                    writer.write_frame(frame.copy())
                if not self._complete:
                    raise WriterError("The frames ended early")
        except Exception as error:  # noqa: BLE001 - whatever breaks one encoder must not cost the others
            self.failure = error
        for _ in frames:  # a full queue would hold up the others
            pass


def write_clip(
    clip: Clip,
    formats: Iterable[str],
    claim: Claim,
    settings: Settings | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> WriteReport:
    """Write a clip in several formats. A format that fails leaves no file and costs the others nothing.

    Args:
        clip: frames of any mode; they are written as RGB, or as RGBA where they are transparent and the format can be.
        formats: names of `WRITERS`.
        claim: the name that belongs to the clip (`names.claimed`).
        settings: the person's; None is those that nobody has changed.
        on_frame: called with the number of frames passed on so far.

    Raises:
        KeyError: there is no such format.
        Exception: whatever iterating over the frames raises; nothing is left behind then.
    """
    settings = settings or Settings()
    writers = {name: WRITERS[name](format_named(name), claim, clip.info, settings) for name in dict.fromkeys(formats)}
    lanes = {name: _Lane(writer) for name, writer in writers.items()}
    complete = False
    try:
        for number, frame in enumerate(clip.frames, start=1):
            rgb, whole = _in_modes(frame)
            for lane in lanes.values():
                lane.put(whole if lane.writer.row.alpha else rgb)
            if on_frame:
                on_frame(number)
        complete = True
    finally:
        for lane in lanes.values():
            lane.close(complete)
        done = {name: lane.join() for name, lane in lanes.items()}
    return _report(lanes, done)


def _in_modes(frame: Image.Image) -> tuple[Image.Image, Image.Image]:
    """A frame as RGB, and as RGBA if it is transparent; both decoded, as several threads must not do that at once."""
    whole = frame.convert("RGBA") if has_alpha(frame) else frame
    rgb = frame if frame.mode == "RGB" else frame.convert("RGB")
    rgb.load()
    return rgb, whole if has_alpha(frame) else rgb


def _report(lanes: dict[str, _Lane], done: dict[str, list[Path]]) -> WriteReport:
    report = WriteReport()
    for name, lane in lanes.items():
        if lane.failure is None:
            report.files[name] = done[name]
            if lane.writer.note:
                report.notes[name] = lane.writer.note
        else:
            report.failures[name] = describe(lane.failure)
            unexpected = None if isinstance(lane.failure, WriterError) else lane.failure
            logger.warning("%s was not written: %s", name, for_client(report.failures[name]), exc_info=unexpected)
    return report
