"""Where the files of a run go."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path


def folder_below(outpath: str | None) -> Path:
    """The folder of today's videos, below the one where the host puts pictures."""
    return Path(os.path.abspath(str(outpath))) / "AnimateDiff" / date.today().isoformat()


def as_people_see_it(folder: Path) -> str:
    """A folder as seen from that of the host, where it lies in there."""
    try:
        shown = os.path.relpath(folder)
    except ValueError:  # another drive of Windows
        return str(folder)
    return str(folder) if shown.startswith(os.pardir) else shown
