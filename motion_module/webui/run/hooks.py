"""The host's hooks, each a step of the session of one `p`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from motion_module.webui.run.session import NAME, Session
from motion_module.webui.sampling.scope import put_right


def of(p: Any) -> Session | None:
    """The session of this very `p`, until it is over; a copy of a running `p` has none."""
    session = getattr(p, NAME, None)
    return session if session is not None and session.p is p and not session.over else None


def before_process(p: Any, args: Sequence[Any]) -> None:
    """Hook: read the request and begin a session, if a video is asked for."""
    put_right()
    _part_from_original(p)
    running = of(p)
    if running is not None:
        running.end()
    session = Session(p)
    session.guarded("setup_prompts", lambda: session.begin(args))


def process(p: Any) -> None:
    """Hook: the settings and the checkpoint of `override_settings` are there now."""
    session = of(p)
    if session is not None:
        session.guarded("init", session.settle)


def process_batch(p: Any) -> None:
    """Hook: one video is about to be made; its prompts are not encoded yet. ControlNet has made its hints."""
    session = of(p)
    if session is not None:
        session.guarded("setup_conds", session.spread_prompts)


def before_every_sampling(p: Any, noise: Tensor) -> None:
    """Hook: one sampling pass (first, or hires) is about to start from this noise."""
    session = of(p)
    if session is not None:
        session.guarded("close", lambda: session.shape_noise(noise))  # p.sample is running already


def before_overlay(p: Any, args: Any) -> None:
    """Hook: the original is about to be laid over a finished frame (inpainting)."""
    session = of(p)
    if session is not None:
        session.guarded("close", lambda: session.place(args))


def postprocess(p: Any, processed: Any) -> None:
    """Hook: all pictures are there; save the videos, and end the session."""
    session = of(p)
    if session is not None:
        session.guarded("close", lambda: session.save(processed))


def _part_from_original(p: Any) -> None:
    """A copy of a running `p` carries the original's patched methods along; take them off the copy."""
    session = getattr(p, NAME, None)
    if session is not None and session.p is not p:
        session.disown(p)
