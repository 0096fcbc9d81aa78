"""Whether files are the same as before, without reading them whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

_PART = 1 << 20  # bytes


def states_of(files: Iterable[Path]) -> list[str]:
    """Names, sizes and times of files; of one that has vanished only the name."""
    return [f"{file} {_state(file)}" for file in files]


def part_of(file: Path) -> str:
    """Size and a digest of the first and the last MiB, which stay when a file is sent or copied again; "" where it
    cannot be read."""
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            digest = hashlib.sha256(opened.read(_PART))
            opened.seek(max(0, size - _PART))
            digest.update(opened.read(_PART))
    except OSError:
        return ""
    return f"{size} {digest.hexdigest()}"


def _state(file: Path) -> str:
    try:
        state = file.stat()
    except OSError:
        return ""
    return f"{state.st_size} {state.st_mtime_ns}"
