"""Folders of pictures: which files count, in which order, and whether they can be read."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from motion_module.wording import system_says

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
_NUMBER = re.compile(r"(\d+)")
_SMALL = (64, 64)  # JPEG decodes to about this size in a fraction of the time
_BROKEN = (OSError, EOFError, SyntaxError, ValueError, OverflowError, Image.DecompressionBombError)


class ReaderError(Exception):
    """A video, a picture or a folder cannot be read; the sentence says why."""


def natural_key(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """A sorting key that puts 2 before 10, whatever the case and the zeros in front."""
    parts = [part for part in _NUMBER.split(name) if part]
    read = [(False, int(part), "") if part.isdecimal() else (True, 0, part.casefold()) for part in parts]
    return read, name


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder in natural order; hidden and other files and folders do not count.

    Raises:
        ReaderError: there is no such folder, or no picture in it.
    """
    if not os.path.exists(folder):  # unlike Path.exists it has no errors of its own, for a name that is too long
        raise ReaderError(f"there is no folder {str(folder)[:200]}")
    if not os.path.isdir(folder):
        raise ReaderError(f"{folder} is a file, not a folder")
    try:
        names = sorted((path.name for path in folder.iterdir()), key=natural_key)
    except OSError as error:
        raise ReaderError(f"the folder {folder} cannot be read ({system_says(error)})") from error
    files = [folder / name for name in names if not name.startswith(".") and Path(name).suffix.lower() in PICTURES]
    files = [file for file in files if file.is_file()]
    if not files:
        kinds = ", ".join(sorted(suffix[1:] for suffix in PICTURES))
        raise ReaderError(f"the folder {folder} has no pictures ({kinds})")
    return files


def frames_and_masks(folder: Path) -> tuple[list[Path], list[Path]]:
    """Frames and inpaint masks of a folder. Where it has a folder `image` inside, they are there and in `mask`.

    Raises:
        ReaderError: a folder is missing or has no pictures.
    """
    images, masks = folder / "image", folder / "mask"
    if os.path.isdir(images):
        return pictures_in(images), pictures_in(masks) if os.path.exists(masks) else []
    if os.path.isdir(masks):
        raise ReaderError(f"the folder {folder} has masks in mask; its frames belong into a folder image beside that")
    return pictures_in(folder), []


def check_picture(file: Path) -> None:
    """Decode a picture once, so that a broken one is found before work begins.

    Raises:
        ReaderError: it is empty, damaged or too large.
    """
    with opened_picture(file) as picture:
        picture.draft("RGB", _SMALL)
        picture.load()


@contextmanager
def opened_picture(file: Path) -> Iterator[Image.Image]:
    """A picture, to be decoded inside the block.

    Raises:
        ReaderError: it is empty, damaged or too large.
    """
    try:
        if not file.stat().st_size:
            raise ReaderError(f"the picture {file} is empty")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # beyond twice that size it is an error
            picture = Image.open(file)
        with picture:
            yield picture
    except _BROKEN as error:
        raise ReaderError(f"the picture {file} cannot be read ({reason_of(error)})") from error


def reason_of(error: BaseException) -> str:
    """An error of Pillow or of the system in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return system_says(error)
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is no picture"
    return str(error).rstrip(".") or type(error).__name__
