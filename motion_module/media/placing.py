"""A finished file gets its name. Windows refuses that as long as another program has the file, or the one of that name,
open: a viewer, a virus scanner, an indexer."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from pathlib import Path

_WAITS_S = (0.05, 0.1, 0.2, 0.4, 0.8)  # scanners let go soon


def replace(part: Path, final: Path) -> None:
    """Give a file or folder its name, in the place of what has it; tried again for a moment where that is refused.

    Raises:
        OSError: it is refused for longer, or for good.
    """
    for wait in _WAITS_S:
        try:
            os.replace(part, final)
        except PermissionError:
            time.sleep(wait)
        else:
            return
    os.replace(part, final)


def place(part: Path, final: Path) -> Path:
    """Give a finished file or folder its name, or one beside it where another program does not let go of what has it.

    Returns:
        Where it is.

    Raises:
        OSError: it cannot be put there in any way; nothing new is there then.
    """
    try:
        replace(part, final)
        return final
    except PermissionError:
        target = _unused(final)
    try:
        os.replace(part, target)
    except PermissionError:  # it is the finished file that is held, which others can read all the same
        _copy(part, target)
    return target


def _unused(final: Path) -> Path:
    names = itertools.chain([final], (final.with_name(f"{final.stem}-{i}{final.suffix}") for i in itertools.count(2)))
    return next(path for path in names if not os.path.lexists(path))


def _copy(part: Path, target: Path) -> None:
    try:
        if part.is_dir():
            shutil.copytree(part, target)
        else:
            shutil.copyfile(part, target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        if target.is_file():
            target.unlink()
        raise
