"""The infotext inside every format: how it is escaped, and one function that reads it back."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from motion_module.media.ffmpeg import run_ffmpeg
from motion_module.media.reading.probe import input_options
from motion_module.media.writing.isobmff import read_exif

_SPECIAL = re.compile(r"[=;#\\\n]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_VIDEO = {".mp4", ".webm"}
_EXIF_IFD, _USER_COMMENT, _UNDEFINED, _LONG = 0x8769, 0x9286, 7, 4
_UNICODE = b"UNICODE\0"


def read_infotext(path: Path) -> str | None:
    """The infotext of a result file, or None if there is none.

    Args:
        path: a file of any format that is written here, or a folder of frames (then its first frame's).

    Raises:
        OSError, ValueError: the file cannot be read as what its name says.
        WriterError: ffmpeg, which reads videos, is missing or cannot read the file.
    """
    if path.is_dir():
        frames = sorted(path.glob("*.png"))
        return read_infotext(frames[0]) if frames else None
    suffix = path.suffix.lower()
    if suffix == ".txt":
        with path.open(encoding="utf-8", newline="") as file:
            return file.read().removesuffix("\n") or None
    if suffix in _VIDEO:
        tags = run_ffmpeg([*input_options(path), "-f", "ffmetadata", "-"])
        return parse_ffmetadata(tags.decode("utf-8", errors="replace")).get("comment")
    if suffix == ".avif":  # which Pillow cannot read
        return _user_comment(read_exif(path.read_bytes()) or b"")
    with Image.open(path) as image:
        return _picture_infotext(image)


def ffmetadata(tags: Mapping[str, str]) -> str:
    """Tags as a text that ffmpeg reads as metadata (its "ffmetadata" format); empty tags are left out.

    Line ends are written as "\\n", and NUL, which no tag can hold, is dropped. The last line is not ended: ffmpeg
    takes a line end behind a backslash for a part of the value, even where the backslash is itself escaped.
    """
    lines = [";FFMETADATA1"]
    for name, value in tags.items():
        clean = value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
        if clean:
            lines.append(f"{name}={_SPECIAL.sub(lambda match: chr(92) + match.group(), clean)}")
    return "\n".join(lines)


def parse_ffmetadata(text: str) -> dict[str, str]:
    """The file-wide tags of an ffmetadata text, names in lower case."""
    tags: dict[str, str] = {}
    for line in re.findall(r"(?:\\.|[^\\\n])+", text, re.DOTALL):
        if line.startswith("["):
            break  # chapters and streams follow
        name, separator, value = line.partition("=")
        if separator and not line.startswith(";"):
            tags[name.lower()] = _ESCAPED.sub(r"\1", value)
    return tags


def exif_comment(text: str) -> bytes:
    """EXIF data with nothing but a UserComment, as UTF-16, which is how the WebUI writes and reads it."""
    comment = _UNICODE + text.encode("utf-16-be", errors="replace")
    place = 8 + 18  # behind the header and a directory of one entry
    header = b"MM\0*" + struct.pack(">I", 8)
    first = struct.pack(">HHHIII", 1, _EXIF_IFD, _LONG, 1, place, 0)
    second = struct.pack(">HHHIII", 1, _USER_COMMENT, _UNDEFINED, len(comment), place + 18, 0)
    return header + first + second + comment


def _picture_infotext(image: Image.Image) -> str | None:
    text = image.info.get("parameters", image.info.get("comment"))
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="replace")
    return text or _user_comment(image.info.get("exif", b""))


def _user_comment(data: bytes) -> str | None:
    exif = Image.Exif()
    exif.load(data)
    comment = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
    if not comment.startswith(_UNICODE):
        return None
    return comment[len(_UNICODE) :].decode("utf-16-be", errors="replace") or None
