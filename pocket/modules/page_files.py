"""The page's own route to files, in the place of gradio's.

gradio refuses every path with a part that begins with a dot, so a page whose clone or data folder lies below such a
folder would get neither its scripts nor its pictures. Here only what is hidden *inside* of an allowed folder is.
"""

import os
import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import HTTPException
from fastapi.responses import FileResponse, StreamingResponse

from modules import ui_tempdir

_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")
_CHUNK = 2**16


def add_file_route(app: FastAPI, demo: Any) -> None:
    """Adds `file=PATH`, by which the page loads scripts, styles, pictures and videos.

    Args:
        app: to be called before gradio's page is put behind it.
        demo: the page, whose `allowed_paths` and temporary files may be shown.
    """

    @app.api_route("/file={path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    def file(path: str, request: Request) -> Response:
        shown = Path(os.path.abspath(path))
        if not may_be_shown(demo, shown) or shown.is_dir():
            raise HTTPException(403, f"File not allowed: {path}.")
        if not shown.is_file():
            raise HTTPException(404, f"File not found: {path}.")
        return _response(shown, request.headers.get("Range", ""))


def may_be_shown(demo: Any, path: Path) -> bool:
    """Whether the page may load a file: it made it, or it lies in an allowed folder and is not hidden in there."""
    if ui_tempdir.check_tmp_file(demo, str(path)):
        return True
    return any(_lies_open_in(path, Path(folder)) for folder in (*demo.allowed_paths, *ui_tempdir.temp_folders()))


def _lies_open_in(path: Path, folder: Path) -> bool:
    if not path.is_relative_to(folder):
        return False
    return not any(part.startswith(".") for part in path.relative_to(folder).parts)


def _response(path: Path, wanted: str) -> Response:
    """The whole file, or the part of it that a player asks for when somebody winds a video."""
    size = path.stat().st_size
    asked = _RANGE.match(wanted)
    whole = FileResponse(path, headers={"Accept-Ranges": "bytes"})
    if asked is None:
        return whole
    start, end = int(asked[1]), min(int(asked[2] or size), size - 1)
    if start > end:
        return whole
    headers = {"Content-Range": f"bytes {start}-{end}/{size}", "Content-Length": str(end - start + 1)}
    return StreamingResponse(
        _part(path, start, end - start + 1), status_code=206, media_type=whole.media_type, headers=headers
    )


def _part(path: Path, start: int, length: int) -> Any:
    with path.open("rb") as file:
        file.seek(start)
        while length > 0 and (chunk := file.read(min(_CHUNK, length))):
            length -= len(chunk)
            yield chunk
