"""What the page is told of a run's videos: a line below the gallery, and what its scripts make players from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from motion_module import formats
from motion_module.formats import format_named
from motion_module.webui.output.saved_video import SavedVideo
from motion_module.webui.output.write import Length
from motion_module.webui.plan.out_folder import as_people_see_it
from motion_module.webui.plan.summary import duration
from motion_module.wording import number_text


def lines(saved: Iterable[SavedVideo], seconds: float | None) -> list[str]:
    """What was made, how long it took, and where it is: a line for all videos that are alike.

    Args:
        saved: the videos of a run; nothing is said of one that was not kept.
        seconds: that the run has taken; None where it is one of several, of which nobody wants to know.
    """
    alike = Counter((video.length, _folders(video.kept)) for video in saved if video.kept)
    return [_line(length, folders, count, seconds) for (length, folders), count in alike.items()]


def for_page(video: SavedVideo) -> dict[str, Any]:
    """A video for javascript/animatediff_results.js, as JSON: its length, size, files, and what stands for it."""
    width, height = video.frames[0].size
    return {
        "frames": video.length.frames,
        "fps": video.length.fps,
        "width": width,
        "height": height,
        "files": [_file(name, paths) for name, paths in video.kept.items()],
        "standIns": [str(path) for path in video.stand_ins],
    }


def _line(length: Length, folders: Sequence[Path], count: int, seconds: float | None) -> str:
    frames = f"{number_text(length.frames)} frame{'s' * (length.frames != 1)}"
    videos = f"{count} videos of {frames}" if count > 1 else frames
    made = f", made in {duration(seconds)}" if seconds is not None else ""
    where = " and ".join(map(as_people_see_it, folders))
    return f"{videos}, {length.seconds:.1f} s, {number_text(length.fps)} FPS{made}; in {where}"


def _folders(files: dict[str, list[Path]]) -> tuple[Path, ...]:
    """Where the files are; the folder of the frames does not count beside files that are next to it."""
    folders = {path.parent for name, paths in files.items() if name not in formats.FOLDERS for path in paths[:1]}
    frames = {paths[0].parent for name, paths in files.items() if name in formats.FOLDERS}
    return tuple(sorted(folders | {folder for folder in frames if not folders & {folder, folder.parent}}))


def _file(name: str, paths: list[Path]) -> dict[str, Any]:
    row, is_folder = format_named(name), name in formats.FOLDERS
    path = paths[0].parent if is_folder else paths[0]
    shown = "frames" if is_folder else "video" if row.in_video else "picture" if row.in_img else ""
    names = {"names": [path.name for path in paths]} if is_folder else {}
    return {"format": name, "path": str(path), "bytes": _size(paths), "shown": shown, "type": row.mime, **names}


def _size(paths: Iterable[Path]) -> int | None:
    """Bytes of all files together; None where one is gone."""
    try:
        return sum(path.stat().st_size for path in set(paths))
    except OSError:
        return None
