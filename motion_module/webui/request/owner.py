"""Which process is sampling a run right now."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TOKEN = secrets.token_hex(8)  # of this process, whose id an ended one may have had


def this_process() -> dict[str, Any]:
    """For JSON: who samples."""
    return {"pid": os.getpid(), "started": _started(os.getpid()), "token": _TOKEN}


def is_running(owner: Mapping[str, Any]) -> bool:
    """Whether the process of `this_process` still runs; where that cannot be asked (Windows), only of this one.

    An id that another process has got since is told by when that was started, where the system says so (Linux).
    """
    pid = owner.get("pid")
    if pid == os.getpid():
        return owner.get("token") == _TOKEN
    if os.name != "posix" or not isinstance(pid, int) or pid <= 0:  # os.kill would end the process on Windows
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:  # it is there, and somebody else's
        pass
    except (OSError, OverflowError):
        return False
    return owner.get("started") == _started(pid)


def _started(pid: int) -> str:
    """When a process was started, in the system's own count; "" where that does not say."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text("utf8", "replace")
    except OSError:
        return ""
    return told.rpartition(")")[2].split()[19]  # behind the program's name, which may hold anything; see proc(5)
