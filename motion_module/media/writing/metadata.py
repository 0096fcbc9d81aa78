"""The infotext as it stands inside a file: as a tag for ffmpeg, and as EXIF."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

_SPECIAL = re.compile(r"[=;#\\\n]")
_EXIF_IFD, _USER_COMMENT, _UNDEFINED, _LONG = 0x8769, 0x9286, 7, 4
_UNICODE = b"UNICODE\0"


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


def exif_comment(text: str) -> bytes:
    """EXIF data with nothing but a UserComment, as UTF-16, which is how the WebUI writes and reads it.

    By hand, because `PIL.Image.Exif` calls the comment a list of numbers, and the WebUI then cannot read it.
    """
    comment = _UNICODE + text.encode("utf-16-be", errors="replace")
    offset = 8 + 18  # behind the header and a directory of one entry
    header = b"MM\0*" + struct.pack(">I", 8)
    first = struct.pack(">HHHIII", 1, _EXIF_IFD, _LONG, 1, offset, 0)
    second = struct.pack(">HHHIII", 1, _USER_COMMENT, _UNDEFINED, len(comment), offset + 18, 0)
    return header + first + second + comment
