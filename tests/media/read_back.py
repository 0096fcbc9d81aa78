"""The infotext of a result file, read back: PNG's text, a GIF's comment, EXIF's UserComment, ffmpeg's tag `comment`."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from motion_module.media.ffmpeg import ffmpeg_path
from motion_module.media.reading.probe import input_options
from motion_module.media.writing import isobmff

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_UNICODE = b"UNICODE\0"


def read_infotext(path: Path) -> str | None:
    """The infotext of a file of any format, or of the first of a folder of frames; None if there is none.

    Raises:
        subprocess.CalledProcessError: ffmpeg cannot read the file.
    """
    if path.is_dir():
        return read_infotext(min(path.iterdir()))
    if path.suffix == ".txt":
        with path.open(encoding="utf-8", newline="") as file:
            return file.read().removesuffix("\n") or None
    if path.suffix == ".avif":  # which Pillow cannot read
        return user_comment(read_exif(path.read_bytes()) or b"")
    try:
        with Image.open(path) as image:
            return _of_picture(image)
    except UnidentifiedImageError:
        return parse_ffmetadata(_tags_of(path)).get("comment")


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


def read_exif(data: bytes) -> bytes | None:
    """The EXIF data of an AVIF file, from the TIFF header on; None if there are none.

    Raises:
        ValueError: it is not an AVIF file, or one that is not built as those of `isobmff.with_exif`.
    """
    isobmff._body(data, *isobmff._META)
    for meta in (isobmff._TRACK_META, isobmff._META):
        if isobmff._find(data, *meta):
            start, end = isobmff._body(data, *meta, b"iinf")
            boxes = isobmff._boxes(data, start + isobmff._FULL + 2, end)
            entries = [body for name, body, _ in boxes if name == b"infe"]
            kinds = dict(struct.unpack_from(">H2x4s", data, body + isobmff._FULL) for body in entries)
            for number, _, _, place, length in isobmff._locations(data, meta):
                if kinds.get(number) == b"Exif":
                    (skip,) = struct.unpack_from(">I", data, place)
                    return data[place + 4 + skip : place + length]
    return None


def user_comment(data: bytes) -> str | None:
    """EXIF's UserComment, as the WebUI reads it."""
    exif = Image.Exif()
    exif.load(data)
    comment = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
    if not comment.startswith(_UNICODE):
        return None
    return comment[len(_UNICODE) :].decode("utf-16-be") or None


def _of_picture(image: Image.Image) -> str | None:
    text = image.info.get("parameters", image.info.get("comment"))
    return (text.decode("utf-8") if isinstance(text, bytes) else text) or user_comment(image.info.get("exif", b""))


def _tags_of(path: Path) -> str:
    command = [ffmpeg_path(), "-hide_banner", "-nostdin", "-loglevel", "error", *input_options(path)]
    return subprocess.run([*command, "-f", "ffmetadata", "-"], capture_output=True, check=True).stdout.decode("utf-8")
