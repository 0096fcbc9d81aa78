"""What a picture's or a video's file says about how it was made."""

import re
import subprocess
from collections.abc import Mapping
from typing import Any

import imageio_ffmpeg

from modules import images
from modules.ui_common import plaintext_to_html

VIDEOS = (".mp4", ".webm", ".mov", ".mkv")
NOTHING = "Nothing found in the file."
_LINE, _ESCAPED = re.compile(r"(?:\\.|[^\\\n])+", re.DOTALL), re.compile(r"\\(.)", re.DOTALL)


def run_pnginfo(image: Any) -> tuple[str, str | None, str]:
    """Nothing, a PIL picture's infotext, and all texts of its file as HTML."""
    if image is None:
        return "", "", ""
    geninfo, items = images.read_info_from_image(image)
    return "", geninfo, _told({"parameters": geninfo, **items})


def run_video_info(file: Any) -> tuple[str, str | None, str]:
    """The same of an uploaded video, whose infotext is its comment. The WebUI has no such thing.

    Raises:
        ValueError: it is no video.
    """
    if file is None:
        return "", "", ""
    tags = _tags(file.name)
    geninfo = tags.pop("comment", None)
    return "", geninfo, _told({"parameters": geninfo, **tags})


def _told(texts: Mapping[str, Any]) -> str:
    told = [
        f"<div><p><b>{plaintext_to_html(name)}</b></p>{plaintext_to_html(text)}</div>"
        for name, text in texts.items()
        if isinstance(text, str)  # numbers and bytes say how the file is made
    ]
    return "\n".join(told) or f"<div>{plaintext_to_html(NOTHING)}</div>"


def _tags(path: str) -> dict[str, str]:
    """The tags of a video's file, names in lower case."""
    asked = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", f"file:{path}", "-f", "ffmetadata", "-"]
    ran = subprocess.run(asked, capture_output=True, stdin=subprocess.DEVNULL)
    if ran.returncode:
        raise ValueError("PNG Info: the file cannot be read as a video.")
    tags: dict[str, str] = {}
    for line in _LINE.findall(ran.stdout.decode("utf-8", errors="replace")):
        if line.startswith("["):
            break  # chapters and streams follow
        name, separator, value = line.partition("=")
        if separator and not line.startswith(";"):
            tags[name.lower()] = _ESCAPED.sub(r"\1", value)
    return tags
