"""Frames of a video file through the bundled ffmpeg: every frame once, in order, one at a time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import IO

from PIL import Image

from motion_module.media.child import Child, finished, plain
from motion_module.media.errors import ReaderError, reason_of
from motion_module.media.reading.folders import check_size
from motion_module.media.reading.notes import Notes
from motion_module.media.reading.pixels import as_rgb
from motion_module.media.reading.probe import Probe, input_options, reading_ffmpeg, size_limit
from motion_module.media.reading.timing import Selection, Timeline

_COLOURS = "flags=bicubic+accurate_rnd+full_chroma_int"
_SQUARE = "scale=w='max(1,round(iw*if(sar,sar,1)))':h=ih"  # as players show pixels that are not square
_HEADER_LINES = 12
_MICRO = 1_000_000


class Decoding:
    """One pass over a video file; a context manager that ends ffmpeg when it is left.

    Beside the wanted frames ffmpeg notes the time of each frame that it meets, so the rate comes from the frames
    themselves and not from what the file says about them. Rotation and edit lists are applied, as players do.

    Args:
        path: the file.
        probe: what it holds.
        selection: which frames are wanted; duplicates are not looked for here.
        notes: a file to be written meanwhile; it goes at the end.
        on_met: called before each frame, and at least every `BEAT_S` while ffmpeg is silent, with the number of frames
            of the source that it has met so far; may raise to stop.

    Attributes:
        timeline: when the frames are shown, as far as they were met, once the block has ended.
    """

    def __init__(
        self, path: Path, probe: Probe, selection: Selection, notes: Path, on_met: Callable[[int], None]
    ) -> None:
        self.timeline = Timeline(tick=probe.tick, declared=probe.rate)
        self._command = _command(path, probe, selection, notes)
        self._probe, self._selection, self._notes = probe, selection, Notes(notes)
        self._on_met, self._met = on_met, 0

    def __enter__(self) -> Decoding:
        try:
            self._child = Child(self._command)
        except OSError as error:
            raise ReaderError(f"ffmpeg does not start: {reason_of(error)}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()  # it has ended, unless the reader has enough
        if self._child.stdout:
            self._child.stdout.close()
        self._code = self._child.wait()
        self._read_notes()

    @property
    def complaints(self) -> list[str]:
        """The first thing that ffmpeg found wrong with the file, if any, once the block has ended."""
        return [plain(message) for message in self._child.messages[:1]]

    def frames(self) -> Iterator[Image.Image]:
        """The wanted frames as RGB pictures; what is transparent is shown on white.

        Raises:
            ReaderError: ffmpeg wrote something else, or nothing for a long time.
        """
        while (frame := self._next()) is not None:
            yield frame
        self._child.wait(self._beat)

    def stop(self, number: int) -> None:
        """There is enough, once the time of a frame is noted: ffmpeg may note it later than it hands out the frame."""
        while self._notes.met() <= number and self._next() is not None:
            pass

    def _next(self) -> Image.Image | None:
        stdout = self._child.stdout
        if stdout is None:
            return None
        frame = None
        try:
            frame = self._child.awaited(lambda: read_pam(stdout), self._beat)
        except ReaderError:
            if not self._child.hung:  # else it was ended in the middle of a picture
                raise
        if self._child.hung:
            raise ReaderError(self._child.failure(0))
        return frame

    def _beat(self) -> None:
        met = self._notes.met()
        if met > self._met:
            self._child.sign_of_life()
        self._met = met
        self._on_met(met)

    def _read_notes(self) -> None:
        rows = self._notes.rows()  # pts in microseconds
        self._notes.remove()
        timeline, last = self.timeline, self._selection.last
        timeline.starts = [Fraction(int(row[2]), _MICRO) for row in rows]
        whole = self._code == 0 and (last is None or len(rows) < last + 2)
        if rows and whole:
            timeline.end = self._end(Fraction(int(rows[-1][3]), _MICRO))

    def _end(self, duration: Fraction) -> Fraction:
        """When the last frame ends: as it says itself, as the file says where no sound may outlast it, or as usual."""
        start, length = self.timeline.starts[-1], Fraction(self._probe.seconds or 0)
        if length > start and not self._probe.sound and not self.complaints:
            return length
        return start + (duration if duration > 1 / Fraction(1000) else self.timeline.usual_gap())


def read_pam(stream: IO[bytes]) -> Image.Image | None:
    """The next picture of a stream of PAM pictures with 3 or 4 channels, as RGB; None at its end.

    Raises:
        ReaderError: the stream is none.
    """
    fields: dict[bytes, bytes] = {}
    for _ in range(_HEADER_LINES):
        line = stream.readline()
        if line in (b"", b"ENDHDR\n"):
            break
        name, _, value = line.strip().partition(b" ")
        fields[name] = value
    if not fields:
        return None
    try:
        width, height, depth = (int(fields[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH"))
        mode = {3: "RGB", 4: "RGBA"}[depth]
    except (KeyError, ValueError) as error:
        raise ReaderError("ffmpeg wrote something that is no picture") from error
    check_size(width, height)
    data = stream.read(width * height * depth)
    if len(data) < width * height * depth:
        return None
    picture = Image.frombytes(mode, (width, height), data)
    return picture if mode == "RGB" else as_rgb(picture)


def _command(path: Path, probe: Probe, selection: Selection, notes: Path) -> list[str]:
    ffmpeg = reading_ffmpeg()
    every = _passthrough(ffmpeg)
    film = ["-map", f"0:v:{probe.stream}", "-an", "-sn", "-dn"]
    first, step, last = selection.start, selection.step, selection.last
    chosen = f"select='gte(n,{first})*not(mod(n-{first},{step}))'"
    wanted = [] if last is None else ["-frames:v", str(max(0, last - first) // step + 1)]
    met = [] if last is None else ["-frames:v", str(last + 2)]  # one more tells when the last one ends
    pixels = "rgba" if probe.alpha else "rgb24"
    pictures = ["-vf", f"{chosen},{_SQUARE}:{_COLOURS},setsar=1", *every, *wanted, "-c:v", "pam", "-pix_fmt", pixels]
    times = ["-vf", "crop=2:2:0:0", *every, *met, "-c:v", "rawvideo", "-enc_time_base", f"1:{_MICRO}"]
    head = [ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error", "-y", *size_limit(), *input_options(path)]
    noted = [*times, "-flush_packets", "1", "-f", "framecrc", f"file:{notes}"]
    return [*head, *film, *pictures, "-f", "image2pipe", "pipe:1", *film, *noted]


@lru_cache(maxsize=4)
def _passthrough(ffmpeg: str) -> tuple[str, str]:
    """ffmpeg's option for "every frame once"; its name changed with version 5.1."""
    command = [ffmpeg, "-hide_banner", "-h", "long"]
    try:
        help_text = finished(command, 60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ReaderError(f"ffmpeg does not start: {reason_of(error)}") from error
    return ("-fps_mode", "passthrough") if b"-fps_mode" in help_text.stdout else ("-vsync", "0")
