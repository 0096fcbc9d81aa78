"""Folders that nobody else can read or write, where the system has such rights."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from motion_module.media.errors import ForeignFolderError

_OURS_ALONE = 0o700
_OF_OTHERS = 0o077


def make(folder: Path, is_ours: Callable[[str], bool]) -> None:
    """Make a folder that only its owner can look into, or see that the one that is there may be used.

    In a place where anybody may lay folders (that for temporary files), a link or a folder of somebody else's is
    refused; elsewhere somebody has chosen it. One that is there and holds nothing but what is ours is closed to others.
    One with other things in it keeps its rights, for somebody has chosen them.

    Args:
        folder: to be made, with those it lies in.
        is_ours: whether a name is one that we give.

    Raises:
        ForeignFolderError: it is a link, or belongs to somebody else.
        OSError: it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=_OURS_ALONE)
    except FileExistsError:
        if _anybody_writes(folder.parent):
            check(folder)
        elif not folder.is_dir():
            raise ForeignFolderError(f"{folder} is not a folder") from None
        if _is_ours(folder) and _is_open(folder) and all(map(is_ours, os.listdir(folder))):
            folder.chmod(_OURS_ALONE)


def check(folder: Path) -> None:
    """See that a folder is one, is no link, and belongs to the user that runs this.

    Raises:
        ForeignFolderError: it is none of ours.
        OSError: it is not there.
    """
    state = os.lstat(folder)
    if stat.S_ISLNK(state.st_mode):
        raise ForeignFolderError(f"{folder} is a link, and where it leads may be somebody else's")
    if not stat.S_ISDIR(state.st_mode):
        raise ForeignFolderError(f"{folder} is not a folder")
    if hasattr(os, "getuid") and state.st_uid != os.getuid():
        raise ForeignFolderError(f"{folder} belongs to another user")


def is_private(folder: Path) -> bool:
    """Whether a folder is there, belongs to us, and is closed to others."""
    try:
        check(folder)
    except OSError:
        return False
    return not _is_open(folder)


def _is_open(folder: Path) -> bool:
    return os.name == "posix" and bool(os.lstat(folder).st_mode & _OF_OTHERS)


def _anybody_writes(folder: Path) -> bool:
    return os.name == "posix" and bool(os.stat(folder).st_mode & stat.S_IWOTH)


def _is_ours(folder: Path) -> bool:
    try:
        check(folder)
    except ForeignFolderError:
        return False
    return True
