"""Folders of pictures: which files count, in which order, and whether they can be read."""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from PIL import Image

from motion_module.media.errors import DAMAGE, PictureError, ReaderError, reason_of
from motion_module.wording import system_says

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
_NUMBER = re.compile(r"(\d+)")
_MOST_PIXELS = 89_478_485  # where another extension has switched off Pillow's own limit, which is this one
_SMALL = (64, 64)  # JPEG decodes to about this size
_THUMBNAIL = 254, 1  # a tag of TIFF, and its bit that says "this page is another one, only smaller"


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
    files = sorted(picture_files(folder), key=lambda file: natural_key(file.name))
    if not files:
        kinds = ", ".join(sorted(suffix[1:] for suffix in PICTURES))
        raise ReaderError(f"the folder {folder} has no pictures ({kinds})")
    return files


def picture_files(folder: Path) -> list[Path]:
    """What is called a picture in a folder, in any order. One that cannot be opened shifts all that follow it.

    Raises:
        ReaderError: the folder cannot be read, or one of them is no file but a pipe, or a link that leads nowhere.
    """
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise ReaderError(f"the folder {folder} cannot be read ({system_says(error)})") from error
    files = [folder / name for name in names if not name.startswith(".") and Path(name).suffix.lower() in PICTURES]
    files = [file for file in files if not os.path.isdir(file)]
    for file in files:
        check_regular(file)
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
        raise ReaderError(
            f"the folder {folder} has masks in mask; its frames belong in a folder named image next to it"
        )
    return pictures_in(folder), []


def check_regular(file: Path) -> None:
    """See that a picture is a file, and not something that only looks like one in a list.

    Raises:
        PictureError: it is a link to nowhere, or a pipe, which would never come to its end.
    """
    try:
        mode = os.stat(file).st_mode
    except (OSError, ValueError) as error:
        link = os.path.islink(file)
        why = "it is a link that leads nowhere" if link else reason_of(error)
        raise PictureError(file, why) from error
    if not stat.S_ISREG(mode):
        raise PictureError(file, f"it is not a file but {kind_of(mode)}")


def check_size(width: int, height: int) -> None:
    """See that a picture is not so large that it would fill the memory.

    Raises:
        ReaderError: it is.
    """
    if width * height > most_pixels():
        raise ReaderError(
            f"its pictures of {width}x{height} are too large: that exceeds limits ({most_pixels()} pixels)"
        )


def most_pixels() -> int:
    """How many pixels a picture may have."""
    return Image.MAX_IMAGE_PIXELS or _MOST_PIXELS


def check_picture(file: Path) -> None:
    """Decode a picture once, so that a broken one is found before work begins.

    Raises:
        PictureError: it is empty, damaged, too large, or several in one; names the file.
    """
    with opened_picture(file) as picture:
        load_small(picture)


def load_small(picture: Image.Image) -> None:
    """Decode a picture, in a fraction of the time where nobody needs its pixels and its format has a way to."""
    picture.draft(picture.mode, _SMALL)
    picture.load()


@contextmanager
def opened_picture(file: Path) -> Iterator[Image.Image]:
    """A picture, to be decoded inside the block.

    Raises:
        PictureError: it is empty, damaged, too large, or several in one; names the file.
    """
    check_regular(file)
    try:
        with open_small(file) as picture:
            _check_alone(picture)
            yield picture
    except (ReaderError, *DAMAGE) as error:
        raise PictureError(file, reason_of(error)) from error


def open_small(source: Path | IO[bytes], formats: Sequence[str] | None = None) -> Image.Image:
    """Open a picture that is not too large; only its first bytes are read.

    Args:
        source: the file.
        formats: Pillow's names of those to try; None for all.

    Raises:
        ReaderError: it is empty or too large.
        Exception: one of `DAMAGE`: it is not a picture.
    """
    if isinstance(source, Path) and not source.stat().st_size:
        raise ReaderError("it is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is looked at below
        try:
            picture = Image.open(source, formats=formats)
        except Image.DecompressionBombError as error:
            raise ReaderError(reason_of(error)) from error
    try:
        check_size(*picture.size)
    except ReaderError:
        picture.close()
        raise
    return picture


def _check_alone(picture: Image.Image) -> None:
    """One file of a folder is one frame. A phone's second picture and a page that is a thumbnail do not count."""
    if picture.format == "MPO" or getattr(picture, "n_frames", 1) == 1:
        return
    pages = picture.n_frames
    if picture.format == "TIFF":
        pages = sum(not _is_thumbnail(picture, page) for page in range(pages))
        picture.seek(0)
    if pages > 1:
        raise ReaderError(f"there are {pages} pictures in it; save each as a file of its own")


def _is_thumbnail(picture: Any, page: int) -> bool:
    tag, bit = _THUMBNAIL
    picture.seek(page)
    return bool(int(picture.tag_v2.get(tag, 0)) & bit)


def kind_of(mode: int) -> str:
    """What `stat` found that is no regular file, in words."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
