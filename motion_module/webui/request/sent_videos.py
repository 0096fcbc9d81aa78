"""What people send as a video source though it is no path: addresses, and whole videos as text."""

from __future__ import annotations

import base64
import binascii
import re

from motion_module.media.errors import ReaderError

_ALLOWED = "allowed is the path of a video file on the server"
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # two letters at least: C:/ is a drive
_PROTOCOL = re.compile(  # what ffmpeg would read without slashes
    r"(async|cache|concat|concatf|crypto|data|fd|file|gopher|hls|md5|pipe|rtmp|rtp|rtsp|srtp|subfile|tcp|tee|udp|unix)[:,]",
    re.IGNORECASE,
)
_DATA = re.compile(r"data:", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+=*\s*")
_LONGEST_PATH = 4096
_STARTS = (
    b"GIF8",
    b"\x1aE\xdf\xa3",
    b"\x89PNG",
    b"RIFF",
    b"\xff\xd8\xff",
    b"OggS",
    b"FLV\x01",
    b"0&\xb2u",
    b"\0\0\1\xba",
)


def check_path(text: str) -> None:
    """See that a video source may be a path. It is not looked for here.

    Args:
        text: as it was sent.

    Raises:
        ReaderError: it is the address of something, or a video in base64.
    """
    text = text.strip().strip("\"'").strip()
    if _DATA.match(text):
        raise ReaderError(f"it is a URL with the data in it, as base64; {_ALLOWED}")
    if _ADDRESS.match(text) or _PROTOCOL.match(text):
        raise ReaderError(f"it is a URL; {_ALLOWED}")
    if _is_base64(text):
        raise ReaderError(f"it is a video as base64 text; {_ALLOWED}")


def _is_base64(text: str) -> bool:
    head = "".join(text[:80].split())
    if not _BASE64.fullmatch(head) or len(head) < 16:
        return False
    start = _decoded(head[: len(head.rstrip("=")) // 4 * 4])
    known = start.startswith(_STARTS) or start[4:8] == b"ftyp"
    return known or (len(text) > _LONGEST_PATH and bool(_BASE64.fullmatch(text)))


def _decoded(head: str) -> bytes:
    try:
        return base64.b64decode(head)
    except binascii.Error:
        return b""
