"""Temporary folders of frames: written whole or not at all, kept or removed, never left behind by a crash.

Beside each folder lies a lock file, held while the folder is in use. A folder whose lock nobody holds belongs to
nobody: what is unfinished in it goes, what is whole may be used again. Nothing without such a lock is touched.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from motion_module.media import file_lock
from motion_module.media.reader import Extract, file_name

_INDEX = "index.json"
_OURS = re.compile(r".+-[0-9a-f]{16}-\d+\.lock")
_ATTEMPTS = 1000


@dataclass(frozen=True)
class Stored:
    """Frames of a video in a folder of their own.

    Attributes:
        files: one for each frame.
        extract: what is known of them.
    """

    files: tuple[Path, ...]
    extract: Extract


@contextmanager
def stored(
    root: Path, source: Path, wanted: str, make: Callable[[Path], Extract], remove: bool = False
) -> Iterator[Stored]:
    """Frames of `source` in a folder below `root`: those of an earlier run, or else made now.

    Args:
        root: where such folders are; made if missing.
        source: the video.
        wanted: what is wanted of it, in words that differ when the frames would.
        make: writes the frames into an empty folder.
        remove: the folder goes when the block ends. Otherwise it stays for the next run.

    Raises:
        OSError: the frames cannot be written.
        Exception: whatever `make` raises; nothing is left behind then.
    """
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = _claimed(stack, root, _name(source, wanted))
        sweep(root, finished=remove)
        found = _whole(folder) or _made(folder, make)
        try:
            yield found
        finally:
            if remove:
                shutil.rmtree(folder, ignore_errors=True)
                file_lock.remove(_lock(folder))


def sweep(root: Path, finished: bool) -> None:
    """Remove what processes that died have left in `root`: unfinished folders, and whole ones if `finished`."""
    for lock in root.glob("*.lock"):
        if not _OURS.fullmatch(lock.name):
            continue
        with file_lock.held(lock) as ours:
            if not ours:
                continue
            folder = lock.with_suffix("")
            shutil.rmtree(_part(folder), ignore_errors=True)
            if finished or not folder.exists():
                shutil.rmtree(folder, ignore_errors=True)
                file_lock.remove(lock)


def _name(source: Path, wanted: str) -> str:
    """The same for the same file, unchanged, and the same wish."""
    state = source.stat()
    key = f"{source}\n{state.st_size}\n{state.st_mtime_ns}\n{wanted}"
    stem = re.sub(r"[^\w-]+", "_", source.stem)[:40] or "video"
    return f"{stem}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _claimed(stack: ExitStack, root: Path, name: str) -> Path:
    """The first folder of this name that nobody uses; two runs at once have one each."""
    for number in range(_ATTEMPTS):
        folder = root / f"{name}-{number}"
        attempt = stack.enter_context(ExitStack())
        if attempt.enter_context(file_lock.held(_lock(folder))):
            return folder
        attempt.close()
    raise FileExistsError(f"no free folder was found in {root}")


def _whole(folder: Path) -> Stored | None:
    """Frames that are there already, None where they are not, or not all."""
    try:
        extract = Extract(**json.loads((folder / _INDEX).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    files = tuple(folder / file_name(number) for number in range(len(extract.places)))
    return Stored(files, extract) if all(file.is_file() for file in files) else None


def _made(folder: Path, make: Callable[[Path], Extract]) -> Stored:
    part = _part(folder)
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        part.mkdir()
        extract = make(part)
        (part / _INDEX).write_text(json.dumps(asdict(extract)), encoding="utf-8")
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        file_lock.remove(_lock(folder))
        raise
    return Stored(tuple(folder / file_name(number) for number in range(len(extract.places))), extract)


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _part(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.part")
