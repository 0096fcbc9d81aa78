"""Paths as people type them: without quotes, and whether one lies inside a folder.

Nothing here looks at what a path leads to, besides following links. The system's own rules are a parameter (`ntpath`
or `posixpath`), so that those of Windows can be tested everywhere.
"""

from __future__ import annotations

import ctypes
import ntpath
import os
import re
import sys
import unicodedata
from collections.abc import Iterable
from typing import Any

_QUOTES = {'"': '"', "'": "'", "“": "”“", "”": "”", "„": "“”", "‘": "’‘", "’": "’", "‚": "‘’", "«": "»", "»": "«"}
# Windows' own dialogs put a mark of writing direction before a path that is copied there.
_EDGES = re.compile(r"^[\s\u200e\u200f\u202a-\u202c\ufeff]+|[\s\u200e\u200f\u202a-\u202c\ufeff]+$")
_ENTRY = re.compile(r"""(?:"[^"\n]*"|“[^”\n]*”|'[^'\n]*'(?=\s*(?:[,\n]|\Z))|[^,\n])+""")
_DEVICES = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    "CONIN$",
    "CONOUT$",
    *(f"{kind}{n}" for kind in ("COM", "LPT") for n in "123456789¹²³"),
}
_LONGEST_OF_WINDOWS = 259
_LONG = "\\\\?\\"  # how Windows writes paths of any length
_LONG_UNC = "\\\\?\\UNC\\"


def typed_path(text: str) -> str:
    """A path as it was meant: without the blanks and the quotes that are pasted with it."""
    while True:
        text = _EDGES.sub("", text)
        if len(text) < 2 or text[-1] not in _QUOTES.get(text[0], ""):
            return text
        text = text[1:-1]


def split_folders(text: str) -> list[str]:
    """The folders of a setting that holds several: in lines, or with commas between them; quotes keep a comma."""
    return [folder for entry in _ENTRY.findall(text) if (folder := typed_path(entry))]


class Folders:
    """Folders, and whether a path is one of them or lies in one of them once all links are followed.

    On Windows a path is outside if it says one thing and may mean another: relative to the place that a drive
    remembers (`C:x`), past the usual rules (`\\\\?\\`), a device, a stream of a file (`a:b`), or a name whose trailing
    dots and blanks are dropped. No server is asked for anything unless a folder names it: Windows would tell it who
    asks.

    Args:
        roots: the folders; empty ones do not count.
        system: `os.path`, or another system's rules.
        composed: letters with accents are the same in both of Unicode's forms, as macOS has it.
    """

    def __init__(self, roots: Iterable[str], system: Any = os.path, composed: bool = sys.platform == "darwin") -> None:
        self._system, self._composed = system, composed
        self._typed = [system.abspath(_short(root)) for root in roots if root.strip()]
        self._real = [real for folder in self._typed if (real := self._resolved(folder)) is not None]

    def hold(self, path: str) -> bool:
        """Whether a path, as it was typed, is inside; it need not exist."""
        system = self._system
        absolute = system.abspath(path)
        if not path.strip() or (system.sep == "\\" and (_is_ambiguous(path) or _is_foreign(absolute, self._typed))):
            return False
        real = self._resolved(absolute)
        return real is not None and any(_is_below(real, folder, system.sep) for folder in self._real)

    def _resolved(self, absolute: str) -> str | None:
        try:
            return _real(absolute, self._system, self._composed)
        except (OSError, ValueError):  # no name that this system can have
            return None


def limit_of_paths() -> int | None:
    """How many characters a path may have on Windows, unless somebody has changed that; None on other systems."""
    if os.name != "nt":
        return None
    library: Any = getattr(ctypes, "WinDLL")("ntdll")  # noqa: B009 - other systems lack it
    allowed = getattr(library, "RtlAreLongPathsEnabled", None)  # Windows before 10 1607 lacks it, and long paths
    return None if allowed is not None and allowed() & 1 else _LONGEST_OF_WINDOWS


def _real(path: str, system: Any, composed: bool) -> str:
    """One spelling for all that lead to the same place."""
    real = _short(system.normcase(system.realpath(path)))
    if system.sep == "/":
        real = "/" + real.lstrip("/")  # POSIX lets two slashes at the beginning mean something else; nobody does
    return unicodedata.normalize("NFC", real) if composed else real


def _is_below(path: str, folder: str, separator: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(separator) + separator)


def _short(path: str) -> str:
    if path[: len(_LONG_UNC)].upper() == _LONG_UNC:
        return "\\\\" + path[len(_LONG_UNC) :]
    return path.removeprefix(_LONG)


def _is_foreign(absolute: str, folders: Iterable[str]) -> bool:
    """Whether it is on a server, and on none that a folder is on."""
    spelt = ntpath.normcase(absolute)
    return spelt.startswith("\\\\") and not any(_is_below(spelt, ntpath.normcase(folder), "\\") for folder in folders)


def _is_ambiguous(path: str) -> bool:
    path = path.replace("/", "\\")
    drive, rest = ntpath.splitdrive(path)
    relative_to_drive = drive.endswith(":") and not rest.startswith("\\")
    if path.startswith((_LONG, "\\\\.\\", "\\??\\")) or ":" in drive[:-1] + rest or relative_to_drive:
        return True
    names = [name for name in rest.split("\\") if name not in ("", ".", "..")]
    return any(name[-1] in ". " or name.split(".")[0].rstrip().upper() in _DEVICES for name in names)
