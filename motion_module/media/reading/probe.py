"""What a video file holds, as ffmpeg tells it; nothing is decoded."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from motion_module.media.child import Beat, finished, silent
from motion_module.media.errors import ReaderError, WriterError
from motion_module.media.ffmpeg import ffmpeg_path
from motion_module.media.reading.folders import check_size, most_pixels
from motion_module.wording import system_says

# Files that hold pictures themselves. A playlist, which names other files, is none of them.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,flv,mpeg,mpegts,mpegvideo,asf,ogg,nut,mxf,ivf,rm,swf,wtv,"
    "h264,hevc,m4v,mjpeg,yuv4mpegpipe,dv,obu,av1"
)
_STREAM = re.compile(r"^ {2,4}Stream #0:(\d+)\S*: (Video|Audio): (.*)$", re.MULTILINE)
_CLOCK = re.compile(r"^  Duration: (\d+):(\d+):([\d.]+)", re.MULTILINE)
_SIZE = re.compile(r"(?:^|[ ,])(\d+)x(\d+)(?=[ ,\[]|$)")
_RATE = re.compile(r"([\d.]+)(k?) (?:fps|tbr)\b")
_UNIT = re.compile(r"([\d.]+)(k?) tbn\b")
_ALPHA = re.compile(r"\b(?:yuva\w+|rgba\w*|argb\w*|bgra\w*|abgr\w*|gbrap\w*|ya8|ya16\w*|pal8)\b")
_SHAPE = re.compile(r"\bSAR (\d+):(\d+)")
_REFUSED = re.compile(r"Picture size (\d+)x(\d+) (?:is invalid|exceeds)")
_REASON = re.compile(r"^(?:\[[^]]*\] )?(?:Error opening input: )?(.*?)\.?$")
_TIMEOUT_S = 60
_FASTEST = 240  # some files say 100,000 frames per second and mean that they do not know


@dataclass(frozen=True)
class Probe:
    """A video file.

    Attributes:
        stream: which of the file's video streams is the film (not a cover, nor the still picture of an AVIF).
        size: width and height in pixels, as shown.
        alpha: it may be transparent.
        seconds: how long it says it is; None where it does not.
        rate: frames per second, as it says, to about 2 digits; None where it does not.
        tick: the unit of its times, in seconds.
        sound: there is a sound track.
    """

    stream: int
    size: tuple[int, int]
    alpha: bool
    seconds: float | None
    rate: Fraction | None
    tick: Fraction
    sound: bool

    @property
    def frames(self) -> float:
        """About how many frames there are; 0 where it does not say, or says what cannot be."""
        return (self.seconds or 0) * (self.fps or 0)

    @property
    def fps(self) -> float | None:
        """Frames per second as it says, where that can be."""
        return float(self.rate) if self.rate and self.rate <= _FASTEST else None


def input_options(path: Path, formats: str = _CONTAINERS) -> list[str]:
    """ffmpeg's options for reading a file: this file, and nothing that it names.

    Args:
        path: the file.
        formats: ffmpeg's names of those that it may have, with commas between them.
    """
    return ["-protocol_whitelist", "file", "-format_whitelist", formats, "-i", f"file:{path}"]


def size_limit() -> list[str]:
    """ffmpeg's option, to stand before those of a file, for decoding no pictures that fill the memory."""
    return ["-max_pixels", str(most_pixels())]


def reading_ffmpeg() -> str:
    """Path of the bundled ffmpeg.

    Raises:
        ReaderError: there is none.
    """
    try:
        return ffmpeg_path()
    except WriterError as error:
        raise ReaderError(str(error)) from error


def probe(path: Path, beat: Beat = silent) -> Probe:
    """Look into a video file.

    Args:
        path: the file.
        beat: called meanwhile; may raise to stop.

    Raises:
        ReaderError: it is no video, or holds no pictures.
    """
    return _read(_ffmpeg_says(path, beat))


def _ffmpeg_says(path: Path, beat: Beat) -> str:
    command = [reading_ffmpeg(), "-hide_banner", "-nostdin", *size_limit(), *input_options(path)]
    try:
        done = finished(command, _TIMEOUT_S, beat)
    except subprocess.TimeoutExpired as error:
        raise ReaderError(f"ffmpeg could not tell within {_TIMEOUT_S} seconds what it is") from error
    except OSError as error:
        raise ReaderError(f"ffmpeg does not start: {system_says(error)}") from error
    return done.stderr.decode("utf-8", errors="replace")


def _read(text: str) -> Probe:
    if not text.startswith("Input #0") and "\nInput #0" not in text:
        raise ReaderError(f"it is not a readable video ({_reason(text)})")
    streams = [(kind, line) for _, kind, line in _STREAM.findall(text)]
    films = [line for kind, line in streams if kind == "Video"]
    moving = [index for index, line in enumerate(films) if "(attached pic)" not in line and _SIZE.search(line)]
    if not moving:
        for width, height in _REFUSED.findall(text):
            check_size(int(width), int(height))
        raise ReaderError("it has no pictures in it, only sound" if streams else "it has no pictures in it")
    # A phone's film comes first; an animated AVIF begins with a still picture of its first frame.
    best = max(moving, key=lambda index: (_number(_RATE, films[index]) > 0, _number(_UNIT, films[index]) > 1, -index))
    return Probe(
        stream=best,
        size=_shown_size(films[best]),
        alpha=bool(_ALPHA.search(films[best])),
        seconds=_seconds(text),
        rate=_number(_RATE, films[best]) or None,
        tick=1 / (_number(_UNIT, films[best]) or Fraction(1000)),
        sound=any(kind == "Audio" for kind, _ in streams),
    )


def _shown_size(stream: str) -> tuple[int, int]:
    """Width and height of a stream's line, as players show pixels that are not square."""
    size, shape = _SIZE.search(stream), _SHAPE.search(stream)
    if size is None:
        return 0, 0
    width, height = int(size.group(1)), int(size.group(2))
    across, down = (int(shape.group(1)), int(shape.group(2))) if shape else (1, 1)
    return (max(1, round(width * across / down)) if across and down else width), height


def _number(pattern: re.Pattern[str], stream: str) -> Fraction:
    """A number of a stream's line, such as `29.97 fps` or `30k tbn`; 0 where there is none."""
    match = pattern.search(stream)
    return Fraction(match.group(1)) * (1000 if match.group(2) else 1) if match else Fraction(0)


def _seconds(text: str) -> float | None:
    clock = _CLOCK.search(text)
    if not clock:
        return None
    hours, minutes, seconds = clock.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _reason(text: str) -> str:
    """The first thing that ffmpeg complained about."""
    lines = [_REASON.sub(r"\1", line.strip()) for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "misdetection" not in line]
    return (telling or ["it gave no reason"])[0]
