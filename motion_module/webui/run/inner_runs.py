"""Runs inside a run: a detailer starts img2img for each finished picture, with the scripts of the run around it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from motion_module.webui.host_counters import left_over
from motion_module.webui.host_types import Processing
from motion_module.webui.run.hook_errors import NAME

ALLOWED = "animatediff_allow_inner"  # attribute of an inner `p` that is to be a video all the same
_RUNNING = ("process_images", "process_images_inner")  # the host's functions, whose argument is `p`


def outer_of(p: Processing) -> Any | None:
    """The `p` of the video in whose making the run of `p` has been started; None where there is none.

    X/Y/Z plot, prompt matrix, loopback and SD upscale start runs, too, but not from within one.
    """
    return None if getattr(p, ALLOWED, False) else next((other for other in _running() if other is not p), None)


def end_left_over() -> None:
    """End the runs that the host has broken off without closing their `p`: cells of a plot. Else they would hold their
    pictures, their motion module and the checkpoint for ever, and change what the host counts."""
    for p in left_over(_running()):
        run = getattr(p, NAME, None)
        if run is not None:
            run.borrowed.end()


def _running() -> Iterator[Any]:
    """Every `p` with a session of its own that the host is processing in this thread, the innermost first."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        p = frame.f_locals.get("p") if frame.f_code.co_name in _RUNNING else None
        session = getattr(p, NAME, None)
        if session is not None and session.borrowed.p is p and not session.borrowed.over:
            yield p
        frame = frame.f_back
