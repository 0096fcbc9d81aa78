"""Moving pictures for the page's gallery of videos that it cannot play. They lie among the page's temporary files."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image

from modules import shared
from motion_module.media.errors import describe
from motion_module.media.writing.clip import Clip, ClipInfo
from motion_module.media.writing.names import claimed
from motion_module.media.writing.saving import write_clip

logger = logging.getLogger(__name__)

_KEPT = 50


def preview(frames: Sequence[Image.Image], info: ClipInfo, seed: int) -> list[Path]:
    """A GIF of a video's frames; none, with a warning in the log, where it cannot be written."""
    try:
        with claimed(_folder(), seed) as claim:
            return write_clip(Clip(frames, info), ["GIF"], claim).files.get("GIF", [])
    except OSError as error:
        logger.warning("There is no preview of the video: %s", describe(error))
        return []


def forget_old(most: int = _KEPT) -> None:
    """Remove all previews but the newest: nobody else does, and a page shows those of its last run only.

    To be called before those of a run are made, so that none of them goes.
    """
    try:
        newest_last = sorted(_folder().glob("*.gif"), key=lambda path: path.stat().st_mtime)
    except OSError as error:
        logger.debug("Old previews stay: %s", describe(error))
        return
    for path in newest_last[: max(len(newest_last) - most, 0)]:
        with suppress(OSError):  # somebody else's, or still open
            path.unlink(missing_ok=True)


def _folder() -> Path:
    chosen = getattr(shared.opts, "temp_dir", "")
    return Path(chosen or Path(tempfile.gettempdir()) / "gradio") / "AnimateDiff"
