"""The pictures of a folder in the host's own order, by which it and ControlNet pair those of two folders."""

from __future__ import annotations

from pathlib import Path

from modules import shared
from motion_module.errors import ParamError
from motion_module.media.errors import ReaderError
from motion_module.media.reading.folders import picture_files
from motion_module.webui.request.allowed_paths import check_inside


def pictures_listed(name: str, folder: str, endings: tuple[str, ...]) -> list[str]:
    """The picture files in a folder, in natural order.

    Args:
        name: what to call the folder in a sentence.
        folder: one that is there, and that may be read.
        endings: of the files that count, in small letters.

    Raises:
        ParamError: what is in it leads out of the folders that may be read, or is none that can be listed.
    """
    check_inside(name, Path(folder))
    try:
        picture_files(Path(folder))
    except ReaderError as error:
        raise ParamError(f"{name} is {folder[:200]!r}; {error}") from error
    return [file for file in shared.listfiles(folder) if file.lower().endswith(endings)]
