"""Temporary folders of frames: written whole or not at all, kept or removed, never left behind by a crash.

Beside each folder lies a lock file, held while the folder is in use. A folder whose lock nobody holds belongs to
nobody: what is unfinished in it goes, what is whole may be used again. Nothing without such a lock is touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from motion_module.media import file_lock, placing, private_folder
from motion_module.media.child import Beat, silent
from motion_module.media.reading.reader import Extract, file_name

_INDEX = "index.json"
_OURS = re.compile(r".+-[0-9a-f]{16}-\d+(\.lock|\.part)?")
_ATTEMPTS = 1000


@dataclass(frozen=True)
class Bounds:
    """How long folders that nobody uses are kept, and how much of them.

    Attributes:
        seconds: since one was last used; None for ever.
        size: of all together, in bytes; None for any. Those go first that were not used for longest.
    """

    seconds: float | None = None
    size: int | None = None


_UNBOUNDED = Bounds()


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
    root: Path,
    source: Path,
    wanted: str,
    make: Callable[[Path], Extract],
    remove: bool = False,
    bounds: Bounds = _UNBOUNDED,
    beat: Beat = silent,
) -> Iterator[Stored]:
    """Frames of `source` in a folder below `root`: those of an earlier run, or else made now.

    Args:
        root: where such folders are; made if missing, closed to other users.
        source: the video.
        wanted: what is wanted of it, in words that differ when the frames would.
        make: writes the frames into an empty folder.
        remove: the folder goes when the block ends. Otherwise it stays for the next run.
        bounds: of what stays; looked at before and after.
        beat: called for each frame of an earlier run that is looked at; may raise to stop.

    Raises:
        OSError: the frames cannot be written, or `root` is not ours.
        Exception: whatever `make` raises; nothing is left behind then.
    """
    with _claimed(root, _name(source, wanted), remove, bounds) as folder:
        extract = _whole(folder, beat) or _made(folder, make)
        try:
            yield extract
        finally:
            if remove:
                shutil.rmtree(folder, ignore_errors=True)
                file_lock.remove(_lock(folder))


@contextmanager
def scratch(root: Path, name: str, bounds: Bounds = _UNBOUNDED) -> Iterator[Path]:
    """An empty folder below `root` that goes when the block ends, or when somebody next finds it without an owner.

    Args:
        root: where such folders are; made if missing, closed to other users.
        name: begins the folder's name.
        bounds: of what others have left there.

    Raises:
        OSError: it cannot be made, or `root` is not ours.
    """
    with _claimed(root, f"{name}-{secrets.token_hex(8)}", False, bounds) as folder:
        part = _part(folder)
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(mode=0o700)
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)
            if not folder.exists():
                file_lock.remove(_lock(folder))


def sweep(root: Path, finished: bool, bounds: Bounds = _UNBOUNDED) -> None:
    """Remove what nobody uses in `root`: unfinished folders, whole ones if `finished`, and what is out of bounds."""
    folders: list[tuple[float, int, Path]] = []
    for lock in root.glob("*.lock"):
        if _OURS.fullmatch(lock.name):
            with file_lock.held(lock) as ours:
                if ours and _stays(lock, finished, bounds):
                    folder = lock.with_suffix("")
                    folders.append((_last_use(folder), _size(folder), lock))
    if bounds.size is not None:
        _shrink(folders, bounds.size)


def _stays(lock: Path, finished: bool, bounds: Bounds) -> bool:
    """Whether a folder is left, after what is to go of it is gone. Its lock is held."""
    folder = lock.with_suffix("")
    shutil.rmtree(_part(folder), ignore_errors=True)
    old = bounds.seconds is not None and time.time() - _last_use(folder) > bounds.seconds
    if finished or old or not folder.exists():
        _remove(lock)
        return False
    return True


def _remove(lock: Path) -> None:
    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    file_lock.remove(lock)


def _shrink(folders: list[tuple[float, int, Path]], most: int) -> None:
    """Remove the folders that were not used for longest, until the rest is small enough."""
    total = sum(size for _, size, _ in folders)
    for _, size, lock in sorted(folders):
        if total <= most:
            return
        with file_lock.held(lock) as ours:
            if ours:
                _remove(lock)
        total -= size


def _last_use(folder: Path) -> float:
    """When it was last used, in seconds as `time.time` counts them; 0 where that is not known."""
    try:
        return (folder / _INDEX).stat().st_mtime
    except OSError:
        return 0


def _size(folder: Path) -> int:
    """Of all its files, in bytes; what has just gone counts nothing."""
    total = 0
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            total += entry.stat(follow_symlinks=False).st_size
    return total


def _name(source: Path, wanted: str) -> str:
    """The same for the same file, unchanged, and the same wish."""
    state = source.stat()
    key = f"{source}\n{state.st_size}\n{state.st_mtime_ns}\n{wanted}".encode(errors="surrogatepass")
    stem = re.sub(r"[^\w-]+", "_", source.stem)[:40] or "video"
    return f"{stem}-{hashlib.sha256(key).hexdigest()[:16]}"


@contextmanager
def _claimed(root: Path, name: str, remove: bool, bounds: Bounds) -> Iterator[Path]:
    """The first folder of this name that nobody uses; two runs at once have one each."""
    private_folder.make(root, lambda entry: bool(_OURS.fullmatch(entry)))
    with ExitStack() as stack:
        folder = _locked(stack, root, name)
        sweep(root, remove, bounds)
        yield folder
    sweep(root, remove, bounds)


def _locked(stack: ExitStack, root: Path, name: str) -> Path:
    for number in range(_ATTEMPTS):
        folder = root / f"{name}-{number}"
        attempt = stack.enter_context(ExitStack())
        if attempt.enter_context(file_lock.held(_lock(folder))):
            return folder
        attempt.close()
    raise FileExistsError(f"no free folder was found in {root}")


def _whole(folder: Path, beat: Beat) -> Stored | None:
    """Frames that are there already; None where they are not, not all, or not as they were written."""
    if not private_folder.is_private(folder):
        return None
    try:
        fields, digests = _read_index(folder)
        extract = Extract(**fields)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    files = _files(folder, extract)
    if len(digests) != len(files):
        return None
    for file, digest in zip(files, digests, strict=True):
        beat()
        if _differs(file, digest):
            return None
    os.utime(folder / _INDEX)  # the time of its last use
    return Stored(files, extract)


def _made(folder: Path, make: Callable[[Path], Extract]) -> Stored:
    part = _part(folder)
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        part.mkdir(mode=0o700)
        extract = make(part)
        _write_index(part, extract)
        placing.replace(part, folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        file_lock.remove(_lock(folder))
        raise
    return Stored(_files(folder, extract), extract)


def _files(folder: Path, extract: Extract) -> tuple[Path, ...]:
    return tuple(folder / file_name(number) for number in range(len(extract.frame_numbers)))


def _write_index(folder: Path, extract: Extract) -> None:
    """What is known of the frames, and a digest of each; before it a digest of all that."""
    digests = [_digest(file.read_bytes()) for file in _files(folder, extract)]
    text = json.dumps({"extract": asdict(extract), "digests": digests})
    (folder / _INDEX).write_text(f"{_digest(text.encode())}\n{text}", encoding="utf-8", newline="")


def _read_index(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Raises: OSError, ValueError, KeyError: there is none, or it is damaged."""
    digest, _, text = (folder / _INDEX).read_bytes().decode("utf-8").partition("\n")
    if digest != _digest(text.encode()):
        raise ValueError("the index is damaged")
    index = json.loads(text)
    return index["extract"], index["digests"]


def _differs(file: Path, digest: str) -> bool:
    """Whether a frame is another than was written, or gone; links and pipes are not opened."""
    try:
        return not stat.S_ISREG(os.lstat(file).st_mode) or _digest(file.read_bytes()) != digest
    except OSError:
        return True


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _part(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.part")
