"""The host's hooks, each a step of the session of one `p`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from motion_module.webui.host_types import OverlayOfFrame, Processed, Processing
from motion_module.webui.run import inner_runs
from motion_module.webui.run.beginning import begin
from motion_module.webui.run.borrowed_p import BorrowedP
from motion_module.webui.run.hook_errors import BEFORE_PROMPTS, NAME, FailedRun, guarded
from motion_module.webui.run.session import Session
from motion_module.webui.sampling.scope import put_right


def run_of(p: Processing) -> Session | FailedRun | None:
    """The run of this very `p`, until it is over; a copy of a running `p` has none."""
    run = getattr(p, NAME, None)
    return run if run is not None and run.borrowed.p is p and not run.borrowed.over else None


def before_process(p: Processing, args: Sequence[Any]) -> None:
    """Hook: read the request and begin a session, if a video is asked for."""
    put_right()
    inner_runs.end_left_over()
    _part_from_original(p)
    running = run_of(p)
    if running is not None:
        running.borrowed.end()
    borrowed = BorrowedP(p)
    guarded(p, BEFORE_PROMPTS, lambda: begin(borrowed, args), borrowed.end, _nothing)


def process(p: Processing) -> None:
    """Hook: the settings and the checkpoint of `override_settings` are there now."""
    _step(p, "init", Session.settle)


def process_batch(p: Processing) -> None:
    """Hook: one video is about to be made; its prompts are not encoded yet. ControlNet has made its hints."""
    _step(p, "setup_conds", Session.spread_prompts)


def before_every_sampling(p: Processing, noise: Tensor) -> None:
    """Hook: one sampling pass (first, or hires) is about to start from this noise."""
    _step(p, "close", lambda session: session.shape_noise(noise))  # p.sample is running already


def before_overlay(p: Processing, args: OverlayOfFrame) -> None:
    """Hook: the original is about to be laid over a finished frame (inpainting)."""
    _step(p, "close", lambda session: session.work.pictures.before_overlay(args))


def postprocess(p: Processing, processed: Processed) -> None:
    """Hook: all pictures are there; save the videos, and end the session."""
    _step(p, "close", lambda session: session.save(processed))


def _step(p: Processing, method: str, step: Callable[[Session], None]) -> None:
    """A step of the session of `p`, if it has one; an error is raised by the method of `p` that comes next."""
    session = run_of(p)
    if isinstance(session, Session):
        end, let_go = session.borrowed.end, session.work.control.let_go
        guarded(p, method, functools.partial(step, session), end, let_go, session)


def _part_from_original(p: Processing) -> None:
    """A copy of a running `p` carries the original's patched methods along; take them off the copy."""
    run = getattr(p, NAME, None)
    if run is not None and run.borrowed.p is not p:
        run.borrowed.take_off(p)


def _nothing() -> None:
    """Nothing for others to undo before our first hook."""
