"""The one table of formats: requests, settings, help texts, the page and README take every list of formats from here.

A new format is a row of `FORMATS` and a file `media/writing/<name in small letters>.py` that calls its writer `WRITER`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

Kind = Literal["video", "frames", "text"]


@dataclass(frozen=True)
class Format:
    """One row of the table.

    Attributes:
        name: as requests and people call it.
        kind: one file that plays, a folder with a file for each frame, or the generation parameters as text.
        about: what it is, in a few words, for README.
        in_img: browsers, and so the gallery, play it as a picture (`<img>`).
        in_video: browsers play it in a player (`<video>`), which the page puts in the gallery's place.
        mime: what browsers call its kind of file; "" where they show none.
        picture: libraries for pictures open it; what they cannot open is left out with `returned: pictures`.
        sound: it has the sound of the video that came in.
        alpha: what is transparent in frames stays so; other formats have no such thing here.
        fastest: frames per second above which browsers slow it down; None where there is no such limit.
        by_default: it is saved where nobody has chosen.
        written: it is a file; the others are only part of an API client's answer.
    """

    name: str
    kind: Kind
    about: str
    in_img: bool = False
    in_video: bool = False
    mime: str = ""
    picture: bool = False
    sound: bool = False
    alpha: bool = False
    fastest: int | None = None
    by_default: bool = False
    written: bool = True


PNG = "PNG"  # the frames as the WebUI can save them, too
FRAME = "Frame"  # the frames themselves, in an API client's answer

# Browsers show a frame of 10 ms or less (a GIF's, which counts hundredths of a second: of less than 20) for 100 ms.
_OF_GIF, _OF_PICTURES = 50, 90

FORMATS: tuple[Format, ...] = (  # in the order in which API clients get the files of a video
    Format(
        "GIF",
        "video",
        "256 colours a frame",
        in_img=True,
        mime="image/gif",
        picture=True,
        fastest=_OF_GIF,
        by_default=True,
    ),
    Format("MP4", "video", "H.264; plays everywhere", in_video=True, mime="video/mp4", sound=True),
    Format("WEBP", "video", "lossy or lossless", in_img=True, mime="image/webp", picture=True, fastest=_OF_PICTURES),
    Format("WEBM", "video", "VP9", in_video=True, mime="video/webm", sound=True),
    Format(
        "AVIF",
        "video",
        "AV1; small, and slow to make",
        in_img=True,
        mime="image/avif",
        picture=True,
        fastest=_OF_PICTURES,
    ),
    Format("APNG", "video", "lossless; large", in_img=True, mime="image/png", picture=True, fastest=_OF_PICTURES),
    Format("PRORES422", "video", "ProRes 422 HQ, 10 bits, for editing programs", sound=True),
    Format("PRORES4444", "video", "ProRes 4444, 10 bits, for editing programs", sound=True, alpha=True),
    Format("FFV1", "video", "FFV1 in Matroska; lossless", sound=True, alpha=True),
    Format("H265", "video", "H.265 with 10 bits, in MP4; small", sound=True),
    Format("AV1", "video", "AV1 in MP4; small, and slow to make", in_video=True, mime="video/mp4", sound=True),
    Format(PNG, "frames", "a picture of each frame, lossless, in a folder", picture=True, by_default=True),
    Format("TXT", "text", "the generation parameters"),
    Format(FRAME, "frames", "each frame in an API client's answer; no file", picture=True, written=False),
)


def _names(wanted: Callable[[Format], bool]) -> tuple[str, ...]:
    return tuple(row.name for row in FORMATS if wanted(row))


NAMES = _names(lambda row: True)
DEFAULT = _names(lambda row: row.by_default)
WRITTEN = _names(lambda row: row.written)
VIDEOS = _names(lambda row: row.kind == "video")
FOLDERS = _names(lambda row: row.kind == "frames" and row.written)
TEXTS = _names(lambda row: row.kind == "text")
IN_IMG = _names(lambda row: row.in_img)
IN_VIDEO = _names(lambda row: row.in_video)
WITH_SOUND = _names(lambda row: row.sound)
NO_PICTURES = _names(lambda row: row.kind == "video" and not row.picture)


def format_named(name: str) -> Format:
    """The row of a format.

    Raises:
        KeyError: there is none of that name.
    """
    return {row.name: row for row in FORMATS}[name]


def listed(names: Iterable[str], last: str = "and") -> str:
    """Names in a sentence: "WEBP, AVIF and APNG"."""
    *first, end = names
    return f"{', '.join(first)} {last} {end}" if first else end


def limits_text() -> str:
    """Above how many frames per second formats leave frames out, in words."""
    limited = sorted((row for row in FORMATS if row.fastest), key=lambda row: row.fastest or 0)
    groups = [(fastest, [row.name for row in rows]) for fastest, rows in groupby(limited, key=lambda row: row.fastest)]
    return ", ".join(f"{listed(names)} above {fastest}" for fastest, names in groups)
