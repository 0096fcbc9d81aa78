"""Locks between processes that end with their owner, however that ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _let_go(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)  # closing the file does so some time later only

else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _let_go(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` for the length of the block. The system lets go of it when a process ends.

    Yields:
        Whether it is held; it is not where somebody else, in this process or another, holds it.

    Raises:
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        taken = _taken(descriptor, path)
        try:
            yield taken
        finally:
            if taken:
                _let_go(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a lock file that is held. Windows does not allow that; there the empty file stays."""
    with contextlib.suppress(OSError):
        path.unlink()


def _taken(descriptor: int, path: Path) -> bool:
    try:
        _take(descriptor)
        return os.path.samestat(os.fstat(descriptor), path.stat())  # its last owner may have removed it meanwhile
    except OSError:
        return False
