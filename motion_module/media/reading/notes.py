"""What ffmpeg notes of each frame that it meets, beside the frames that it hands out."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


class Notes:
    """A file in ffmpeg's format `framecrc`: `stream, dts, pts, duration, size, checksum`, as frames are shown.

    Args:
        path: the file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._met, self._read, self._rest = 0, 0, b""

    def met(self) -> int:
        """How many frames are noted so far. Only what is new since the last call is read."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except FileNotFoundError:
            return self._met
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        self._met += sum(map(_is_row, lines))
        return self._met

    def rows(self) -> list[list[str]]:
        """What is noted so far, in the unit of time that ffmpeg was told."""
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [line.decode("ascii", errors="replace").split(",") for line in lines if _is_row(line)]

    def remove(self) -> None:
        """They are not needed any more."""
        with suppress(OSError):  # somebody holds them; they go with their folder
            self.path.unlink(missing_ok=True)


def _is_row(line: bytes) -> bool:
    return line.startswith(b"0,") and line.count(b",") >= 5
