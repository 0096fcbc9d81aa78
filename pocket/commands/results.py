"""Writes what the API returned as files."""

from __future__ import annotations

import base64
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESPONSE = "response.json"

LONGEST_TEXT = 4000
"""Characters; longer strings in a response are pictures in base64, which the files hold already."""

NOT_RETURNED = {"", ".txt"}
"""Endings of what the extension saves, but does not return as a file of the video: folders of frames, and texts."""

_LONGEST_ENDING = 10

_MATROSKA, _LONGEST_HEAD = b"\x1aE\xdf\xa3", 64

_SIGNS = (
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"GIF8", "gif"),
    (0, b"\xff\xd8\xff", "jpg"),
    (8, b"WEBP", "webp"),
    (4, b"ftypavif", "avif"),
    (4, b"ftypavis", "avif"),
    (4, b"ftypqt", "mov"),
    (4, b"ftyp", "mp4"),
    (0, _MATROSKA, "webm"),
)


def extension_of(data: bytes) -> str:
    """The file name's ending that fits the content: png, gif, jpg, webp, avif, mov, mp4, mkv, webm; else bin."""
    if data.startswith(_MATROSKA) and b"matroska" in data[:_LONGEST_HEAD]:  # WEBM is a kind of it, and says so there
        return "mkv"
    return next((ending for place, sign, ending in _SIGNS if data[place:].startswith(sign)), "bin")


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file beside and renames it, so that it appears whole or not at all."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else the name may outlive a power cut, and not the content
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_images(response: dict[str, Any], folder: Path) -> list[Path]:
    """Writes each base64 text of `images`, with an ending by its content, and returns the paths.

    The files of one video have one number (`00000.gif`, `00000.mp4` and `00000.h265.mp4`), pictures and frames one each
    behind them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in zip(_names(response), response["images"], strict=False):
        data = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text)
        paths.append(folder / f"{name}.{extension_of(data)}")
        write_whole(paths[-1], data)
    return paths


def _names(response: dict[str, Any]) -> Iterator[str]:
    """The name of each image without its last ending: a number, and what tells kinds of one ending apart.

    The extension says which files each video has, in the order of the images.
    """
    videos = _files_of_videos(response)
    for number, files in enumerate(videos):
        yield from (f"{number:05}{_middle(path)}" for path in _returned(files))
    for number in itertools.count(len(videos) if any(map(_returned, videos)) else 0):
        yield f"{number:05}"


def _middle(path: str) -> str:
    """The ending before the last one (`.h265`); of a WebUI elsewhere a name may be anything."""
    middle = "".join(Path(path).suffixes[:-1][-1:])
    return middle if len(middle) <= _LONGEST_ENDING else ""


def _returned(files: dict[str, str]) -> list[str]:
    """The paths of a video's files that are in the response."""
    return [path for path in files.values() if Path(path).suffix not in NOT_RETURNED]


def _files_of_videos(response: dict[str, Any]) -> list[dict[str, str]]:
    """The paths of each video's files by their formats; none where the answer does not say so as the extension does."""
    videos = extra_params(response).get("AnimateDiff files")
    return videos if isinstance(videos, list) and all(map(_is_files, videos)) else []


def extra_params(response: dict[str, Any]) -> dict[str, Any]:
    """The `extra_generation_params` in a response's `info`; empty where there are none."""
    try:
        info = json.loads(response["info"])
    except (ValueError, RecursionError):
        return {}
    params = info.get("extra_generation_params") if isinstance(info, dict) else None
    return params if isinstance(params, dict) else {}


def _is_files(video: Any) -> bool:
    return isinstance(video, dict) and all(isinstance(path, str) for path in video.values())


def _without_pictures(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_pictures(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_pictures(item) for item in value]
    if isinstance(value, str) and len(value) > LONGEST_TEXT and " " not in value:
        return f"({len(value)} characters)"
    return value


def write_response(response: dict[str, Any], paths: list[Path], folder: Path) -> Path:
    """Writes response.json: the response with the files' names in place of the base64, and the info taken apart."""
    kept = _without_pictures({key: value for key, value in response.items() if key not in ("images", "info")})
    try:
        info = json.loads(response["info"])
    except ValueError:
        info = response["info"]
    body = {"images": [path.name for path in paths], **kept, "info": info}
    path = folder / RESPONSE
    text = json.dumps(body, indent=1, ensure_ascii=False, default=str)
    write_whole(path, text.encode("utf-8", "backslashreplace"))  # half of a pair of surrogates, as JSON escapes it
    return path
