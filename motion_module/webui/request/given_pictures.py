"""The pictures among the fields of a request: the last frame, and those that single frames are held at."""

from __future__ import annotations

import base64
import binascii
import io
import re
from pathlib import Path
from typing import Any

from PIL import Image

from motion_module.errors import ParamError
from motion_module.media.errors import DAMAGE, ReaderError, reason_of
from motion_module.media.reading.folders import open_small
from motion_module.media.reading.pixels import as_rgb, read_rgb
from motion_module.params import VideoParams
from motion_module.webui.request.allowed_paths import is_path, shown_path
from motion_module.wording import either, mention

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def read_picture(value: Any, background: str = "white", name: str = "last_frame") -> Image.Image | None:
    """A picture of a request as 8-bit RGB: a picture, or one in base64 as the host takes its init pictures.

    Args:
        value: the picture or the text, which may have line ends in it, and a head `data:image/png;base64,`.
        background: the colour behind what is transparent.
        name: the field.

    Raises:
        ParamError: the text is no picture, or what the picture's numbers mean cannot be told.
    """
    if value is None:
        return None
    try:
        return as_rgb(value if isinstance(value, Image.Image) else _decoded(value), background)
    except (ReaderError, *DAMAGE) as error:
        shown = repr(value[:40] if isinstance(value, str) else value)
        allowed = either("a picture in base64", "a picture")
        raise ParamError(f"{mention(name)} is {shown} ({_why(error)}); allowed is {allowed}") from error


def _decoded(text: str) -> Image.Image:
    """Raises: ReaderError, or one of DAMAGE: it is not a picture."""
    text = text.strip()
    if text[:5].lower() == "data:":
        text = text.partition(",")[2]
    elif _URL.match(text):
        raise ReaderError("it is a URL, and nothing is downloaded")
    return open_small(io.BytesIO(base64.b64decode(text)))  # what is no base64 in it does not count


def _why(error: Exception) -> str:
    return "it is not base64" if isinstance(error, binascii.Error) else reason_of(error)


def held_pictures(params: VideoParams, background: str = "white") -> dict[int, Image.Image]:
    """The pictures that single frames are held at, by the frame.

    Args:
        params: of the request; its paths may be read.
        background: the colour behind what is transparent.

    Raises:
        ParamError: a text is no picture, or the file it names cannot be read.
    """
    return {frame: _held(frame, value, background) for frame, value in params.hold}


def _held(frame: int, value: Any, background: str) -> Image.Image:
    if isinstance(value, str) and is_path(value) and not _URL.match(value):
        try:
            return read_rgb(Path(value), background)
        except (ReaderError, OSError, ValueError) as error:
            shown = f"{mention('hold')} is {shown_path(value)!r:.200} for frame {frame}"
            raise ParamError(f"{shown}; allowed is the path of a picture on the server ({reason_of(error)})") from error
    picture = read_picture(value, background, "hold")
    if picture is None:
        raise ParamError(f"{mention('hold')} is empty for frame {frame}; give it a picture, or leave the frame out")
    return picture
